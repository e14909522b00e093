"""`python -m common.splits report|audit|public|price`: what the parts of a split share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from common import datasets, errors, papers
from common.arguments import Parser
from common.datasets import DATA_VARIABLE, own
from common.errors import InputError
from common.files import (
    expanded,
    output_file,
    output_folder,
    output_text,
    path_argument,
    require_not_among,
    write_json,
    write_sheet,
    write_text,
)
from common.splits import audit, forms, leakage, public, shown
from common.splits.files import read
from common.splits.parts import PARTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        Exit code: of `audit` 1 where something is shared; of bad input 2.
    """
    parser = Parser(
        prog="python -m common.splits",
        description="Which images train, validate and test, and what leaks between these parts.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_report(commands)
    _add_audit(commands)
    command = commands.add_parser("public", help="audit the public splits that are known by name")
    command.add_argument(
        "--page", type=output_text, metavar="FILE", help="write them as a page (docs/audits.md)"
    )
    command.set_defaults(run=_public)
    _add_price(commands)
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:end])
    options.settings = given[end + 1 :]
    if options.settings and options.run is not _price:
        raise InputError("what follows -- is given to a training: price alone takes it")
    return options.run(options)


def _add_report(commands: argparse._SubParsersAction[Parser]) -> None:
    command = commands.add_parser(
        "report", help="what the parts of a split.csv share: patients, slides, duplicate images"
    )
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--split-file", type=path_argument, help="a run's split.csv")
    which.add_argument(
        "--images", type=path_argument, metavar="FILE",
        help="a CSV with image,label,part and, where known, patient, slide; or a folder with "
        "folders train and test, each with a folder per class",
    )  # fmt: skip
    command.add_argument(
        "--data-dir",
        type=path_argument,
        help=f"folder of the images (default: ${DATA_VARIABLE}, of a list its own); without it "
        "only names count",
    )
    command.add_argument(
        "--json", type=output_text, metavar="FILE", help="write the whole report here"
    )
    command.add_argument(
        "--picture", type=output_file, metavar="FILE", help="write a PNG of the worst pairs here"
    )
    command.set_defaults(run=_report)


def _add_audit(commands: argparse._SubParsersAction[Parser]) -> None:
    command = commands.add_parser(
        "audit",
        help="what the parts of anybody's split share, in whatever form it comes",
        description="Name the cases, slides, folders and images that lie in two parts of a split, "
        "and copies of images where the images are at hand. Exit code 0: nothing is shared, "
        "1: something is, 2: bad input.",
    )
    command.add_argument(
        "files", nargs="*", type=path_argument, metavar="FILE",
        help="a table with a column of parts or folds, a column for each part, fold files "
        "(dsfold1.txt, Folds.csv), JSON lists, lists named train.txt, test.txt ..., or a folder "
        "with a folder for each part",
    )  # fmt: skip
    for part in PARTS:
        command.add_argument(
            f"--{part}", type=path_argument, metavar="LIST", help=f"names of the {part} part"
        )
    command.add_argument(
        "--dataset", choices=datasets.MODULES, help="whose names they are (default: as they look)"
    )
    command.add_argument(
        "--data-dir", type=path_argument, help="folder of the images: their pixels are compared"
    )
    command.add_argument(
        "--names-only", action="store_true", help="compare no pixels, also of a folder of images"
    )
    command.add_argument(
        "--csv", type=output_text, metavar="OUT", help="write all that is shared as a table"
    )
    command.set_defaults(run=_audit)


def _add_price(commands: argparse._SubParsersAction[Parser]) -> None:
    command = commands.add_parser(
        "price",
        help="what a split over images is worth: the same trainings, patients whole and mixed",
        description="Train a paper's network on folds in which patients stay whole, and on as "
        "many images of each class drawn from all patients; say how much better the second seems. "
        "Given again, it goes on where it was stopped. What follows -- is given to the paper's "
        "training command: -- --network mobilenet_v2 --epochs 8.",
    )
    command.add_argument("package", choices=papers.PAPERS, help="whose network and protocol")
    command.add_argument("--data-dir", type=path_argument, help="folder of the images")
    command.add_argument("--folds", type=int, default=4, help="default: 4")
    command.add_argument("--seeds", type=int, default=3, help="default: 3")
    command.add_argument(
        "--output", type=output_folder, help="folder of runs and result (default: runs/price-PAPER)"
    )
    command.set_defaults(run=_price)


def _report(options: argparse.Namespace) -> int:
    data_dir = options.data_dir
    if options.images is not None:
        named = own.read(options.images, data_dir=data_dir)
        if "part" not in named.columns:
            raise InputError(
                f"{named.source}: says no parts; a list has them in a column "
                "part, a run in its split.csv (--split-file RUN/split.csv)"
            )
        split, data_dir = named.table.assign(part=named.table["official"]), named.root
        if options.picture:
            require_not_among([options.picture], named.paths(), "--picture")
    else:
        split = read(options.split_file)
        if data_dir is None and os.environ.get(DATA_VARIABLE):
            data_dir = expanded(os.environ[DATA_VARIABLE])
    if options.picture and not data_dir:
        raise InputError("--picture needs the images: give --data-dir")
    found = leakage.report(split, data_dir)
    print(leakage.text(found))
    if options.json:
        write_json(options.json, found)
    if options.picture:
        from common import evidence, figures

        picture = evidence.leakage_picture(found, data_dir)
        if picture is None:
            print("no picture: no pair of duplicates lies across parts")
        else:
            figures.save(picture, options.picture, synthetic=bool(found["synthetic"]))
    return 0


def _audit(options: argparse.Namespace) -> int:
    import pandas as pd

    lists = {part: getattr(options, part) for part in PARTS if getattr(options, part)}
    if not options.files and not lists:
        raise InputError("nothing to audit: give a file or a folder, or --train and --test lists")
    card = datasets.get(options.dataset) if options.dataset else None
    if options.csv:
        folders = [each for each in options.files if each.is_dir()]
        require_not_among([options.csv], [x for each in folders for x in each.iterdir()], "--csv")
    found = [
        audit.audit(split, card, options.data_dir, images=not options.names_only)
        for split in forms.read_all(options.files, lists)
    ]
    print("\n\n".join(shown.text(each) for each in found))
    if options.csv:
        write_sheet(options.csv, pd.DataFrame(shown.table(found), columns=list(shown.COLUMNS)))
        print(f"\n{options.csv}")
    return int(not all(each.clean for each in found))


def _public(options: argparse.Namespace) -> int:
    if options.page:
        write_text(options.page, public.page())
        print(options.page)
    else:
        print("\n\n".join(shown.text(public.audited(each)) for each in public.protocols()))
    return 0


def _price(options: argparse.Namespace) -> int:
    from common.reproduce import price

    output = options.output or Path("runs") / f"price-{options.package}"
    plan = price.planned(
        options.package, options.data_dir, output, options.folds, options.seeds, options.settings
    )
    print(price.text(price.run(plan)))
    print(f"\n{output / price.FILE}")
    return 0


if __name__ == "__main__":
    errors.main(main)
