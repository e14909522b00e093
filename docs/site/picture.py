"""The first screen of a report as a small PNG, by Chromium: make picture."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import narrow
from PIL import Image


def main() -> int:
    """Take the picture.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="report.html")
    parser.add_argument("out", type=Path, help="the PNG")
    parser.add_argument("--size", type=int, nargs=2, default=(860, 800), metavar=("W", "H"))
    chosen = parser.parse_args()
    browser = narrow.browser()
    if browser is None:
        print("no Chromium: install it", file=sys.stderr)
        return 1
    width, height = chosen.size
    with tempfile.TemporaryDirectory() as work:
        shot = Path(work) / "page.png"
        flags = ("--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={shot}")
        page = chosen.page.resolve().as_uri()
        command = [browser, *flags, f"--window-size={width},{height}", page]
        subprocess.run(command, check=True, capture_output=True)
        with Image.open(shot) as image:
            # Few colours: a page of text and charts takes a quarter of the room.
            image.convert("RGB").quantize(64).save(chosen.out, optimize=True)
    print(f"{chosen.out}: {chosen.out.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
