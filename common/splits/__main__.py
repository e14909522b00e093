"""`python -m common.splits report`: what the parts of a split share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from common import errors
from common.datasets import DATA_VARIABLE
from common.errors import InputError
from common.files import path_argument, write_json
from common.splits import leakage
from common.splits.files import read


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m common.splits",
        description="Which images train, validate and test, and what leaks between these parts.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "report", help="what the parts of a split share: patients, slides, duplicate images"
    )
    command.add_argument(
        "--split-file", required=True, type=path_argument, help="a run's split.csv"
    )
    command.add_argument(
        "--data-dir",
        type=path_argument,
        default=os.environ.get(DATA_VARIABLE) or None,
        help=f"folder of the images (default: ${DATA_VARIABLE}); without it only names count",
    )
    command.add_argument(
        "--json", type=path_argument, metavar="FILE", help="write the whole report here"
    )
    command.add_argument(
        "--picture", type=path_argument, metavar="FILE", help="write a PNG of the worst pairs here"
    )
    options = parser.parse_args(arguments)

    if options.picture and not options.data_dir:
        raise InputError("--picture needs the images: give --data-dir")
    split = read(options.split_file)
    found = leakage.report(split, options.data_dir)
    print(leakage.text(found))
    if options.json:
        write_json(options.json, found)
    if options.picture:
        from common import evidence, figures

        picture = evidence.leakage_picture(found, options.data_dir)
        if picture is None:
            print("no picture: no pair of duplicates lies across parts")
        else:
            figures.save(picture, options.picture, synthetic=bool(found["synthetic"]))
    return 0


if __name__ == "__main__":
    errors.main(main)
