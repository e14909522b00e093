"""What the papers say: python -m common.protocols show|readme PKG ..."""

from __future__ import annotations

from common import errors, papers, protocols, tables
from common.arguments import Parser
from common.forensics import discrepancies
from common.protocols.show import packages


def main(arguments: list[str] | None = None) -> int:
    """Print a paper's protocol and discrepancies, or write the blocks of its README anew.

    Parameters
    ----------
    arguments : list of str, optional
        Default: the process's own.

    Returns
    -------
    int
        Exit code.
    """
    parser = Parser(prog="python -m common.protocols", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print what a paper says, leaves open and contradicts")
    show.add_argument("package", metavar="PKG", help=", ".join(papers.PAPERS))
    show.add_argument(
        "names", nargs="*", metavar="NAME", help="only these: H02, batch_size, --dropout ..."
    )
    readme = commands.add_parser(
        "readme", help="write the tables and discrepancies in a paper's README anew"
    )
    readme.add_argument("packages", nargs="*", metavar="PKG", help="default: every paper")
    # `show PKG --dropout` asks for a setting by its flag.
    flags, rest = parser.parse_known_args(arguments)
    if flags.command == "show":
        (package,) = packages([flags.package])
        print(protocols.text(package, [*flags.names, *rest]), end="")
        return 0
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    for package in packages(flags.packages):
        path = papers.folder(package) / "README.md"
        written = [
            update(path, package)
            for update in (
                tables.update_readme,
                protocols.update_readme,
                discrepancies.update_readme,
            )
        ]
        print(f"{path}: {'written' if any(written) else 'as it is'}")
    return 0


if __name__ == "__main__":
    errors.main(main)
