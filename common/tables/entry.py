"""Entry point of ``python -m PKG.tables``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from common import terminal
from common.errors import InputError
from common.files import output_text, path_argument, require_not_among, sheet_text, write_text
from common.tables.comparison import compared, with_others
from common.tables.paper import Paper, load
from common.tables.quoted import quoted_markdown
from common.tables.show import latex, markdown
from common.tables.unprinted import unprinted_markdown


def main(
    package: str,
    arguments: Sequence[str] | None = None,
    views: Mapping[str, tuple[str, Callable[[Paper], str]]] | None = None,
) -> int:
    """Print a paper's tables, or write them to a file.

    Parameters
    ----------
    package : str
        Name of the paper's package.
    arguments : list of str, optional
        Command line; that of the process by default.
    views : mapping, optional
        What else the paper prints: its name -> what it is, and what makes it as Markdown.

    Returns
    -------
    int
        Exit status.
    """
    from common.arguments import Parser

    parser = Parser(
        prog=f"python -m {package}.tables",
        description="The paper's numbers with our finished runs beside them.",
    )
    parser.add_argument(
        "--runs-dir", type=path_argument, metavar="DIR", help="where runs live (default: runs)"
    )
    parser.add_argument(
        "--results", type=path_argument, metavar="DIR", help="count the runs of results files, too"
    )
    parser.add_argument("--format", choices=["markdown", "csv", "latex"], default="markdown")
    parser.add_argument(
        "--output", type=output_text, metavar="FILE", help="write there instead of printing"
    )
    views = views or {}
    if views:
        told = "; ".join(f"{name}: {what}" for name, (what, _) in views.items())
        parser.add_argument(
            "view", nargs="?", choices=[*views], help=f"instead of all numbers: {told}"
        )
    flags = parser.parse_args(arguments)
    view = flags.view if views else None
    if view is not None and flags.format != "markdown":
        raise InputError(f"--format {flags.format}: is for all numbers, {view} is Markdown alone")
    if flags.runs_dir is not None and not flags.runs_dir.is_dir():
        raise InputError(f"--runs-dir {flags.runs_dir}: is no folder")
    if flags.output and flags.results is not None:
        require_not_among([flags.output], flags.results.glob("*.csv"), "--output")
    paper = load(package, flags.runs_dir or "runs", flags.results)
    if view is not None:
        text = views[view][1](paper)
    elif flags.format == "csv":
        text = sheet_text(with_others(compared(paper), paper))
    elif flags.format == "latex":
        text = latex(paper)
    else:
        lacking = unprinted_markdown(paper, flags.runs_dir or "runs")
        text = markdown(paper, lacking, quoted_markdown(package))
    if flags.output:
        write_text(flags.output, text)
    else:
        print(text, end="")
    if views and view is None:
        terminal.line(f"more: python -m {package}.tables {'|'.join(views)} (--help says what)")
    return 0
