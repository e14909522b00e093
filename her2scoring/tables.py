"""The paper's tables with our runs beside them: python -m her2scoring.tables.

python -m her2scoring.tables           every printed number
python -m her2scoring.tables merged    networks of four classes, scored on three (H12)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common import errors, tables, terminal
from common.files import path_argument
from her2scoring import merged


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m her2scoring.tables``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    """
    import argparse

    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] != ["merged"]:
        status = tables.main("her2scoring", arguments)
        terminal.line(
            "networks of four classes on three (H12): python -m her2scoring.tables merged"
        )
        return status
    parser = argparse.ArgumentParser(prog="python -m her2scoring.tables merged")
    parser.add_argument(
        "--runs-dir", type=path_argument, default="runs", metavar="DIR", help="default: runs"
    )
    flags = parser.parse_args(arguments[1:])
    paper = tables.load("her2scoring", flags.runs_dir)
    terminal.out("\n".join(merged.lines(paper)), end="")
    return 0


if __name__ == "__main__":
    errors.main(main)
