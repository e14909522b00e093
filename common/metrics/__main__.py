"""Commands: ``python -m common.metrics recompute|compare`` on finished runs, and ``plan``."""

from __future__ import annotations

import argparse

from common import errors, evaluation, notices, runs
from common.arguments import Parser
from common.files import path_argument
from common.metrics import pairs, plan, simulation


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m common.metrics``."""
    parser = Parser(
        prog="python -m common.metrics",
        description="Metrics of finished runs, from their files; and what "
        "a study of so many patients can tell.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    again = commands.add_parser(
        "recompute", help="rewrite metrics.json from predictions.csv and print it"
    )
    again.add_argument("run", type=path_argument, metavar="RUN", help="a run folder")
    pair = commands.add_parser("compare", help="compare two runs on the same test images")
    pair.add_argument("runs", type=path_argument, metavar="RUN", nargs=2, help="a run folder")
    _add_plan(commands)
    flags = parser.parse_args(arguments)

    if flags.command == "plan":
        asked = plan.Question(flags.accuracy, flags.correlation, flags.images, flags.seed)
        print(plan.answer(asked, flags.patients, flags.detect, flags.width, flags.power))
        return 0
    if flags.command == "recompute":
        print(evaluation.summary(evaluation.evaluate_run(flags.run)))
        return 0
    found = [runs.load_classifier(path) for path in flags.runs]
    a, b = found
    result = pairs.compare(evaluation.read_run(a), evaluation.read_run(b))
    if any(run.synthetic for run in found):
        print(notices.SYNTHETIC)
    print(pairs.text(str(a.path), str(b.path), result))
    if a.path.samefile(b.path) or (a.record.run_id and a.record.run_id == b.record.run_id):
        print("note       a and b are the same run: name two to compare them")
    return 0


def _add_plan(commands: argparse._SubParsersAction[Parser]) -> None:
    command = commands.add_parser(
        "plan",
        help="how many patients a study needs, and what one with few can tell",
        description="Simulate studies in which the images of a patient are right or wrong "
        "together, and say how wide the accuracy's interval will be, how often two networks on "
        "the same images are told apart, and how many patients that takes (docs/intervals.md).",
    )
    command.add_argument("--accuracy", type=float, required=True, help="that is expected, as 0.9")
    command.add_argument("--patients", type=int, metavar="N", help="that there are to test on")
    command.add_argument(
        "--detect", type=float, metavar="X", help="difference to be told apart: 0.03 is 3 points"
    )
    command.add_argument(
        "--width", type=float, metavar="W", help="of the interval that is wanted: 0.1 is 10 points"
    )
    command.add_argument(
        "--power", type=float, default=plan.POWER, metavar="P",
        help=f"share of studies that are to tell the difference (default: {plan.POWER})",
    )  # fmt: skip
    command.add_argument(
        "--correlation", type=float, default=simulation.CORRELATION, metavar="R",
        help="intraclass correlation of right and wrong within a patient: 0 if patients are all "
        f"alike, 1 if a patient's images are all right or all wrong (default: "
        f"{simulation.CORRELATION})",
    )  # fmt: skip
    command.add_argument(
        "--images", type=int, metavar="N",
        help="images of each patient (default: as cases of BreakHis have at 100x)",
    )  # fmt: skip
    command.add_argument("--seed", type=int, default=0, help="of the simulation")


if __name__ == "__main__":
    errors.main(main)
