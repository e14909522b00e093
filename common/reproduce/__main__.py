"""All rows of the papers by one command: python -m common.reproduce plan|run|status ..."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from common import errors
from common.papers import PAPERS
from common.reproduce import TWINS, items
from common.reproduce.hours import estimates
from common.reproduce.plan import entries, text
from common.reproduce.states import Place, states


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says.

    Parameters
    ----------
    arguments : list of str, optional
        Command line; that of the process by default.
    """
    parser = argparse.ArgumentParser(
        prog="python -m common.reproduce",
        description="All rows of the papers by one command, on this machine.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    plan = commands.add_parser("plan", help="what would run, how long it takes, what is done")
    _selection(plan)
    plan.add_argument("--json", action="store_true", help="a list with an entry per item of work")
    chosen = parser.parse_args(arguments)
    return {"plan": _plan}[chosen.command](chosen)


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paper", nargs="+", choices=PAPERS, default=PAPERS, metavar="PAPER",
                        help=f"of {', '.join(PAPERS)}; default: all")  # fmt: skip
    parser.add_argument("--table", metavar="T", help="rows of one table: T1, T2, F8")
    parser.add_argument("--row", metavar="PRESET", help="one row, and its twin")
    parser.add_argument("--twins", choices=TWINS, default="yes", help="honest twins (default: yes)")
    parser.add_argument("--seeds", type=int, metavar="N", help="trainings of every round")
    parser.add_argument("--runs-dir", default="runs", metavar="DIR", help="default: runs")


def _plan(chosen: argparse.Namespace) -> int:
    found = items(
        chosen.paper, table=chosen.table, row=chosen.row, twins=chosen.twins, seeds=chosen.seeds
    )
    place = Place(Path(chosen.runs_dir))
    state = states(found, place)
    hours = estimates(found, state, place)
    if chosen.json:
        print(json.dumps(entries(found, state, hours), indent=1))
    else:
        print(text(found, state, hours))
    return 0


if __name__ == "__main__":
    errors.main(lambda: sys.exit(main()))
