"""Command: write the page of one run or several from the files of their folders."""

from __future__ import annotations

from collections.abc import Sequence

from common import errors, notices
from common.arguments import Parser
from common.files import path_argument
from common.report.page import write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m common.report RUN...``."""
    parser = Parser(
        prog="python -m common.report",
        description="Write report.html of a run from the files of its folder; needs no model, no "
        f"images and no network. {notices.RESEARCH_USE}",
    )
    parser.add_argument("run", nargs="+", type=path_argument, metavar="RUN", help="a run folder")
    for path in parser.parse_args(arguments).run:
        print(write(path))
    return 0


if __name__ == "__main__":
    errors.main(main)
