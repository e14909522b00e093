"""Run every paper's demo and compare it with always answering the largest class.

Prints the accuracy on held-out synthetic slides (of BACH, which has none: images), the share of the
largest class, the time of the command, the target and PASS or MISS.

    python -m benchmarks.demos
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import errors, evaluation
from common.arguments import Parser

TARGET = 20
"""Points above the largest class."""

DEMOS = {
    "her2scoring": "demo",
    "breakhis": "demo",
    "ernet": "demo",
    "gan_fusion": "demo",
    "gan_fusion-bach": "demo-bach",
    "wrn_edge": "demo",
}


def measure(name: str, runs_dir: Path) -> bool:
    package, start = name.split("-")[0], time.perf_counter()
    before = set(runs_dir.glob(f"{package}/*"))
    subprocess.run(
        [
            sys.executable, "-m", f"{package}.train", "--preset", DEMOS[name],
            "--runs-dir", str(runs_dir),
        ],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (run,) = set(runs_dir.glob(f"{package}/*")) - before
    found = evaluation.read_metrics(run)
    accuracy, largest = 100 * found["accuracy"], 100 * max(found["support"].values()) / found["n"]
    met = accuracy - largest >= TARGET
    print(
        f"{'PASS' if met else 'MISS'}  {name}: {accuracy:.1f} %, {accuracy - largest:+.1f} points "
        f"from the largest class, {largest:.1f} % (target >= {TARGET}); "
        f"{time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return met


def main() -> int:
    """Run the demos; 1 if one misses its target."""
    parser = Parser(prog="python -m benchmarks.demos", description=__doc__)
    parser.add_argument("demos", nargs="*", metavar="DEMO", help=f"of {list(DEMOS)}")
    flags = parser.parse_args()
    unknown = [name for name in flags.demos if name not in DEMOS]
    if unknown:
        raise errors.InputError(f"{', '.join(unknown)}: no demo; they are {', '.join(DEMOS)}")
    with tempfile.TemporaryDirectory() as folder:
        return 0 if all([measure(name, Path(folder)) for name in flags.demos or DEMOS]) else 1


if __name__ == "__main__":
    errors.main(main)
