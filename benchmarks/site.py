"""How long the site of all runs takes.

python -m benchmarks.site

The runs are those of `tests/grid.py`: one for every training of the plan, made up. Wall seconds
hold where nothing else works; processor seconds, of this process and those that it starts, always.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from common import site
from common.backend import cores
from common.reproduce.states import Place
from tests import grid

TARGET = 30.0
"""Seconds on two cores."""


def main() -> int:
    """Print the seconds; 1 if the target is missed."""
    with tempfile.TemporaryDirectory() as folder:
        count = len(grid.make(Path(folder) / "runs"))
        place = Place(Path(folder) / "runs", fabricated=True)
        begin, worked = time.perf_counter(), _processor()
        site.write(Path(folder) / "site", place)
        wall, processor = time.perf_counter() - begin, _processor() - worked
        pages = [file.stat().st_size for file in (Path(folder) / "site").rglob("*.html")]
    verdict = "PASS" if wall <= TARGET else "MISS"
    print(
        f"{count} runs, {len(pages)} pages, {sum(pages) / 1e6:.0f} MB: {wall:.1f} s on {cores()} "
        f"cores (processor {processor:.1f} s); target {TARGET:.0f} s: {verdict}"
    )
    return int(verdict == "MISS")


def _processor() -> float:
    found = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in found)


if __name__ == "__main__":
    sys.exit(main())
