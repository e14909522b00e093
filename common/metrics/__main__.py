"""Commands on finished runs: ``python -m common.metrics recompute`` and ``compare``."""

from __future__ import annotations

import argparse

from common import errors, evaluation, notices, runs
from common.files import path_argument
from common.metrics import pairs


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m common.metrics``."""
    parser = argparse.ArgumentParser(
        prog="python -m common.metrics", description="Metrics of finished runs, from their files."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    again = commands.add_parser(
        "recompute", help="rewrite metrics.json from predictions.csv and print it"
    )
    again.add_argument("run", type=path_argument, metavar="RUN", help="a run folder")
    pair = commands.add_parser("compare", help="compare two runs on the same test images")
    pair.add_argument("runs", type=path_argument, metavar="RUN", nargs=2, help="a run folder")
    flags = parser.parse_args(arguments)

    if flags.command == "recompute":
        print(evaluation.summary(evaluation.evaluate_run(flags.run)))
        return 0
    found = [runs.load_classifier(path) for path in flags.runs]
    a, b = found
    result = pairs.compare(evaluation.read_run(a), evaluation.read_run(b))
    if any(run.synthetic for run in found):
        print(notices.SYNTHETIC)
    print(pairs.text(str(a.path), str(b.path), result))
    return 0


if __name__ == "__main__":
    errors.main(main)
