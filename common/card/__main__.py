"""Write a run's model card, or a folder to publish: python -m common.card --run RUN [--out DIR]."""

from __future__ import annotations

from common import card, errors, notices
from common.arguments import Parser
from common.files import output_folder, path_argument
from common.report import files as run_files


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m common.card``.

    Parameters
    ----------
    arguments : list of str, optional
        Default: the process's own.

    Returns
    -------
    int
        Exit code.
    """
    parser = Parser(
        prog="python -m common.card",
        description="Print a run's model card; with --out, write a folder with card, model, "
        f"labels, scores and an example, ready to publish. {notices.RESEARCH_USE}",
    )
    parser.add_argument(
        "--run", required=True, type=path_argument, metavar="RUN", help="a run of a classifier"
    )
    parser.add_argument(
        "--out", type=output_folder, metavar="DIR", help="a new folder; without it the card is "
        "printed",
    )  # fmt: skip
    chosen = parser.parse_args(arguments)
    if chosen.out is None:
        print(card.card(run_files.read(chosen.run)), end="")
    else:
        path = card.pack(chosen.run, chosen.out)
        print(f"{path}: fill in what says {card.FILL.strip('*')!r}, then publish {path.parent}")
    return 0


if __name__ == "__main__":
    errors.main(main)
