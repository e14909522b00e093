"""All rows of the papers by one command: python -m common.reproduce plan|run|status ..."""

from __future__ import annotations

import argparse
import json
import sys

from common import errors, results, terminal
from common.arguments import Parser
from common.files import output_folder, path_argument
from common.papers import PAPERS
from common.reproduce import TWINS, Item, executors, items
from common.reproduce.check import check
from common.reproduce.check import text as report
from common.reproduce.collect import add, collect
from common.reproduce.commands import Options
from common.reproduce.doctor import examine, measure, require
from common.reproduce.doctor import text as said
from common.reproduce.hours import estimates
from common.reproduce.plan import KINDS, entries, text
from common.reproduce.runner import Runner
from common.reproduce.show import Board, counted, summary
from common.reproduce.states import Place, states


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says.

    Parameters
    ----------
    arguments : list of str, optional
        Command line; that of the process by default.
    """
    parser = Parser(
        prog="python -m common.reproduce",
        description="All rows of the papers by one command, on this machine.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    plan = commands.add_parser("plan", help="what would run, how long it takes, what is done")
    _selection(plan)
    plan.add_argument("--json", action="store_true", help="a list with an entry per item of work")
    run = commands.add_parser("run", help="do what is missing; the same command goes on")
    _selection(run)
    _options(run)
    executors.flags(run)
    status = commands.add_parser("status", help="what is done, runs, failed, waits, and for what")
    _selection(status)
    ready = commands.add_parser(
        "doctor", help="are data, weights, memory, disk there; how fast is it"
    )
    _selection(ready)
    _options(ready)
    ready.add_argument("--time", action="store_true", help="time a few steps of each network; "
                       "`plan` then says this machine's hours")  # fmt: skip
    gather = commands.add_parser("collect", help="write the scores of finished runs as data")
    gather.add_argument("--paper", nargs="+", choices=PAPERS, default=PAPERS, metavar="PAPER")
    gather.add_argument("--demo", action="store_true", help="SYNTHETIC runs, which fill no row")
    gather.add_argument("--runs-dir", type=path_argument, default="runs", metavar="DIR",
                        help="default: runs")  # fmt: skip
    gather.add_argument("--results", type=path_argument, default=str(results.FOLDER), metavar="DIR",
                        help="folder of a file per paper (default: results)")  # fmt: skip
    gather.add_argument("--tier", choices=results.TIERS, default=results.TIERS[2],
                        help="who vouches for them (default: %(default)s)")  # fmt: skip
    look = commands.add_parser("check", help="is a stranger's run what it says; does it fill a row")
    look.add_argument("runs", nargs="+", type=path_argument, metavar="FOLDER", help="run folders")
    look.add_argument("--add", type=output_folder, metavar="DIR",
                      help="write what is fine to the results files there")  # fmt: skip
    pages = commands.add_parser("site", help="write all that is known as a static site")
    pages.add_argument("out", type=output_folder, metavar="OUT", help="its folder; an earlier site "
                       "there is replaced")  # fmt: skip
    pages.add_argument("--demo", action="store_true", help="of SYNTHETIC runs: which there are, "
                       "and their pages; they fill no row")  # fmt: skip
    pages.add_argument("--runs-dir", type=path_argument, default="runs", metavar="DIR",
                       help="default: runs")  # fmt: skip
    pages.add_argument("--results", type=path_argument, default=str(results.FOLDER), metavar="DIR",
                       help="folder of a file per paper (default: results)")  # fmt: skip
    chosen = parser.parse_args(arguments)
    actions = {
        "plan": _plan,
        "run": _run,
        "status": _status,
        "doctor": _doctor,
        "collect": _collect,
        "check": _check,
        "site": _site,
    }
    return actions[chosen.command](chosen)


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paper", nargs="+", choices=PAPERS, default=PAPERS, metavar="PAPER",
                        help=f"of {', '.join(PAPERS)}; default: all")  # fmt: skip
    parser.add_argument("--table", metavar="T", help="rows of one table: T1, T2, F8")
    parser.add_argument("--row", metavar="PRESET", help="one row, and its twin")
    parser.add_argument("--only", choices=KINDS, help="work of one kind, and what it needs")
    parser.add_argument("--twins", choices=TWINS, help="honest twins (default: yes; of --demo: no)")
    parser.add_argument("--as-printed", action="store_true", help="the papers' own ways, too, "
                        "where a row does otherwise because that flatters")  # fmt: skip
    parser.add_argument("--seeds", type=int, metavar="N", help="trainings of every round")
    parser.add_argument("--rounds", type=int, metavar="N", help="the first N folds or trials of "
                        "each row alone; the row stays incomplete")  # fmt: skip
    parser.add_argument("--demo", action="store_true", help="the same chains in minutes, with "
                        "small networks on SYNTHETIC tissue; fills no row")  # fmt: skip
    parser.add_argument("--runs-dir", type=path_argument, default="runs", metavar="DIR",
                        help="default: runs")  # fmt: skip


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", type=path_argument, metavar="D",
        help="folder of the data, or of one for each data set (bci, breakhis, bach); default: "
        "$HISTOPAPERS_DATA",
    )  # fmt: skip
    parser.add_argument("--cache-dir", type=path_argument, metavar="DIR",
                        help="for decoded images")  # fmt: skip
    parser.add_argument("--patients", type=path_argument, metavar="CSV",
                        help="list of BACH's patients")  # fmt: skip
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="at once; each gets its share of the cores (default: "
        "one per graphics card, else one; --demo: one per core)",
    )  # fmt: skip


def _chosen(chosen: argparse.Namespace) -> tuple[list[Item], Place]:
    found = items(
        chosen.paper,
        table=chosen.table,
        row=chosen.row,
        twins=chosen.twins or ("no" if chosen.demo else "yes"),
        as_printed=chosen.as_printed,
        seeds=chosen.seeds,
        rounds=chosen.rounds,
        demo=chosen.demo,
        only=chosen.only,
    )
    if chosen.rounds is not None and not chosen.demo:
        terminal.line(f"--rounds {chosen.rounds}: a row with more rounds stays incomplete")
    return found, Place(chosen.runs_dir, chosen.demo)


def _given(chosen: argparse.Namespace) -> Options:
    given = {name: getattr(chosen, name) for name in ("data_dir", "cache_dir", "patients")}
    return Options(**{n: None if v is None else str(v) for n, v in given.items()})


def _run(chosen: argparse.Namespace) -> int:
    found, place = _chosen(chosen)
    options = _given(chosen)
    executor = executors.make(chosen, place.folder)
    require(found, states(found, place), place, options)
    board = Board(place)
    try:
        code = Runner(found, place, options, executor, board).run()
    finally:
        board.close()
    state = states(found, place)
    print(counted(state))
    print(f"summary {place.folder / 'summary.md'}")
    return code


def _doctor(chosen: argparse.Namespace) -> int:
    found, place = _chosen(chosen)
    state = states(found, place)
    findings = examine(found, state, place, _given(chosen))
    print(said(findings))
    if chosen.time:
        for name, rate in measure(found, state, place).items():
            print(f"{name}: {rate / 1e9:.1f} billion multiply-accumulates a second")
    return int(any(not finding.fine for finding in findings))


def _status(chosen: argparse.Namespace) -> int:
    found, place = _chosen(chosen)
    print(summary(found, states(found, place), place))
    return 0


def _collect(chosen: argparse.Namespace) -> int:
    place = Place(chosen.runs_dir, chosen.demo)
    for paper in chosen.paper:
        count, total = collect(place, paper, chosen.results, chosen.tier)
        if total:
            print(f"{paper}: {count} runs, {total} lines in {chosen.results}/{paper}.csv")
        else:
            print(f"{paper}: no finished run of its rows in {place.runs_dir}")
    return 0


def _check(chosen: argparse.Namespace) -> int:
    found = [check(path) for path in chosen.runs]
    print("\n\n".join(map(report, found)))
    fine = [each.run for each in found if each.fills]
    if chosen.add is not None:
        for paper in dict.fromkeys(run.record.package for run in fine):
            mine = [run for run in fine if run.record.package == paper]
            total = add(mine, chosen.add / f"{paper}.csv", results.TIERS[1])
            print(f"{paper}: {len(mine)} runs added, {total} lines in {chosen.add}/{paper}.csv")
    return int(len(fine) < len(found))


def _site(chosen: argparse.Namespace) -> int:
    from common import site

    place = Place(chosen.runs_dir, chosen.demo)
    print(site.write(chosen.out, place, chosen.results))
    return 0


def _plan(chosen: argparse.Namespace) -> int:
    found, place = _chosen(chosen)
    state = states(found, place)
    hours = estimates(found, state, place)
    if chosen.json:
        print(json.dumps(entries(found, state, hours), indent=1))
    else:
        print(text(found, state, hours))
    return 0


if __name__ == "__main__":
    errors.main(lambda: sys.exit(main()))
