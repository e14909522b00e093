"""Measure how soon a command answers: `--help`, and the imports that need no framework.

Prints the median of several fresh processes for each, its target and PASS or MISS.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common.arguments import Parser
from common.errors import main
from common.papers import PAPERS

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = "import common.datasets, common.metrics, common.tables"


def cases() -> list[tuple[str, list[str], float]]:
    """What is measured: its name, Python's arguments and the target in seconds."""
    papers = PAPERS
    found = [
        (f"python -m {paper}.train --help", ["-m", f"{paper}.train", "--help"], 1.0)
        for paper in papers
        if importlib.util.find_spec(f"{paper}.train") is not None
    ]
    return [*found, (IMPORTS, ["-c", IMPORTS], 0.5)]


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - start


def run() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=9, help="processes for each")
    flags = parser.parse_args()
    met = 0
    chosen = cases()
    for name, arguments, target in chosen:
        seconds(arguments)  # compiles what is new and brings the files into memory
        median = statistics.median(seconds(arguments) for _ in range(flags.times))
        met += median <= target
        print(
            f"{'PASS' if median <= target else 'MISS'}  {name}: {median:.2f} s "
            f"(target <= {target:g} s)",
            flush=True,
        )
    print(f"{met} of {len(chosen)} targets met")
    return 0


if __name__ == "__main__":
    main(run)
