"""Whether printed numbers can be: python -m common.forensics numbers.csv ..."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from common import errors, files, forensics, papers, report
from common.arguments import Parser
from common.forensics.show import content, text

if TYPE_CHECKING:
    import pandas as pd

Judged: TypeAlias = "tuple[str, list[forensics.Number], list[forensics.Finding], pd.DataFrame]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge every number of some files.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: the process's own.

    Returns
    -------
    int
        0: nothing is impossible; 1: something is. Bad input ends with 2.
    """
    import pandas as pd

    parser = Parser(
        prog="python -m common.forensics",
        description="Judge every printed number of a table: possible or not, by which arithmetic, "
        "which counts fit. docs/forensics.md says how such a table looks. Exit code 0: nothing "
        "is impossible, 1: something is, 2: bad input.",
    )
    parser.add_argument(
        "numbers", nargs="+", metavar="NUMBERS",
        help=f"a CSV file of printed numbers, or one of {', '.join(papers.PAPERS)}",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="print what is possible, too")
    parser.add_argument(
        "--csv", type=files.output_text, metavar="OUT", help="write the verdicts beside the lines"
    )
    parser.add_argument("--page", type=files.output_text, metavar="OUT", help="write a page")
    flags = parser.parse_args(arguments)
    judged = [_judged(name, *forensics.table_of(name)) for name in flags.numbers]
    for each in judged:
        print(text(*each, everything=flags.all), end="" if each is judged[-1] else "\n")
    if flags.csv is not None:
        tables = [
            table if len(judged) == 1 else table.assign(file=name) for name, _, _, table in judged
        ]
        files.write_sheet(flags.csv, pd.concat(tables, ignore_index=True).fillna(""))
        print(f"\n{flags.csv}")
    if flags.page is not None:
        names = [name for name, *_ in judged]
        known = {
            "title": f"Forensics: {', '.join(Path(name).name for name in names)}",
            "page_command": f"python -m common.forensics {shlex.join(flags.numbers)} --page OUT",
        }
        page = report.render("common.forensics/page.html", content(judged) | known)
        files.write_text(flags.page, page)
        print(f"\n{flags.page}")
    wrong = {"impossible", "impossible together"}
    return int(any(wrong & set(table["verdict"]) for *_, table in judged))


def _judged(name: str, table: pd.DataFrame, called: str) -> Judged:
    """Name, numbers, findings and verdicts of a table."""
    numbers = forensics.numbers(table, called)
    found = forensics.findings(numbers, called)
    return name, numbers, found, forensics.with_verdicts(table, found)


if __name__ == "__main__":
    errors.main(main)
