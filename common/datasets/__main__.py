"""Commands about data sets: `python -m common.datasets info|download|verify|synthetic NAME`."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from common import datasets, errors, terminal
from common.arguments import Parser
from common.backend import cores
from common.datasets.card import Card, indexes
from common.errors import InputError
from common.files import path_argument

_PROBLEMS_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all is well, 1 if `verify` found the data set not whole."""
    parser = Parser(
        prog="python -m common.datasets", description="Cards and checks of the public data sets."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data_help = f"folder anywhere above the images (default: ${datasets.DATA_VARIABLE})"

    command = commands.add_parser("info", help="print a data set's card, and counts of a copy")
    command.add_argument("name", choices=datasets.MODULES)
    command.add_argument("--data-dir", type=path_argument, help=data_help)
    command.set_defaults(run=lambda o: info(datasets.get(o.name), o.data_dir))

    command = commands.add_parser("download", help="download and unpack it; continues if stopped")
    command.add_argument("name", choices=datasets.MODULES)
    command.add_argument(
        "--data-dir",
        type=path_argument,
        help=f"folder to put it in (default: ${datasets.DATA_VARIABLE})",
    )
    source = command.add_mutually_exclusive_group()
    source.add_argument("--url", help="address of a mirror (default: the data set's own host)")
    source.add_argument(
        "--archive", type=path_argument, metavar="FILE", help="unpack an archive that you have"
    )
    command.add_argument("--keep-archive", action="store_true", help="do not delete it at the end")
    command.set_defaults(run=download)

    command = commands.add_parser("verify", help="check that a copy is whole and readable")
    command.add_argument("name", choices=datasets.MODULES)
    command.add_argument("--data-dir", type=path_argument, help=data_help)
    command.set_defaults(run=lambda o: verify(datasets.get(o.name), o.data_dir))

    command = commands.add_parser("synthetic", help="write a synthetic data set for trials")
    command.add_argument("name", choices=datasets.MODULES)
    command.add_argument("--data-dir", type=path_argument, required=True, help="folder to write to")
    command.add_argument(
        "--size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="height and width, or one number for both (default: as the data set)",
    )
    command.set_defaults(run=lambda o: synthetic(datasets.get(o.name), o.data_dir, o.size))

    options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = errors.show_warning
        return options.run(options)


def info(card: Card, data_dir: Path | None) -> int:
    """Print what a data set is; with a data folder, the counts found beside those expected."""
    print(f"{card.TITLE}\n{'=' * len(card.TITLE)}")
    for title, text in (
        ("home", card.HOME),
        ("licence", card.LICENCE),
        ("use", "not commercial" if card.NON_COMMERCIAL else "also commercial"),
        ("cite", card.CITATION),
        ("obtain", card.OBTAIN),
        ("layout", "any; the file names count. Official:\n" + card.LAYOUT),
        (
            "images",
            ", ".join(f"{card.EXPECTED_IMAGES} of {title}" for title in card.SERIES)
            + f"; most are {card.IMAGE_SIZE[1]} x {card.IMAGE_SIZE[0]} px",
        ),
        *(("at", ", ".join(card.MAGNIFICATIONS)) for _ in card.MAGNIFICATIONS[:1]),
        *(("scale", _scales(card)) for _ in list(card.MICRONS)[:1]),
        ("tasks", "; ".join(f"{n} classes: {', '.join(c)}" for n, c in card.CLASSES.items())),
        *(("note", note) for note in card.NOTES),
    ):
        print(f"{title + ':':<9}{text}")
    if not data_dir and not os.environ.get(datasets.DATA_VARIABLE):
        return 0
    for name, index in indexes(card, data_dir).items():
        print(f"\n{name}: {_summary(index)}")
        print(_table(card, index).to_string())
    return 0


def _scales(card: Card) -> str:
    """Micrometres per px, of each magnification where there are several."""
    told = (f"{value:.3g} at {name}".removesuffix(" at ") for name, value in card.MICRONS.items())
    return f"micrometres per px: {', '.join(told)}"


def download(options: argparse.Namespace) -> int:
    """Bring a data set into a folder; 1 if it is not whole then."""
    from common.datasets import fetch

    whole = fetch.dataset(
        datasets.get(options.name),
        options.data_dir,
        url=options.url,
        archive=options.archive,
        keep_archive=options.keep_archive,
    )
    return 0 if whole else 1


def verify(card: Card, data_dir: Path | None) -> int:
    """Compare a copy with what is expected; 1 if images are missing, extra or damaged."""
    root = datasets.data_folder(card, data_dir)
    whole = True
    for name, index in indexes(card, data_dir).items():
        print(f"{name}: {_summary(index)}")
        if index["synthetic"].any():
            print("  these images are SYNTHETIC: this is not the data set")
            whole = False
        wrong = _table(card, index).query("difference != 0")
        for cell, row in wrong.iterrows():
            text = " ".join(cell) if isinstance(cell, tuple) else cell
            amount = abs(int(row["difference"]))
            kind = "missing" if row["difference"] < 0 else "extra"
            print(f"  {text}: {amount} {kind} ({row['found']} of {row['expected']})")
        whole &= wrong.empty
        whole &= _groups(card, index)
        whole &= _readable(root, index)
    problems = card.check(data_dir)
    for problem in problems:
        print(terminal.plain(problem))
    whole &= not problems
    print("the data set is whole" if whole else "the data set is NOT whole")
    return 0 if whole else 1


def synthetic(card: Card, data_dir: Path, size: Sequence[int] | None) -> int:
    """Write a synthetic data set in the official layout."""
    from common.datasets import synthetic as generator

    choices: dict[str, int | tuple[int, int]] = {}
    if size is not None:
        if len(size) > 2:
            raise InputError("--size takes one number, or a height and a width")
        height, width = size[0], size[-1]
        square = card.IMAGE_SIZE[0] == card.IMAGE_SIZE[1]
        if square and height != width:
            raise InputError(f"--size: {card.TITLE} images are square; give one number")
        choices["size"] = height if square else (height, width)
    getattr(generator, card.NAME)(data_dir, **choices)
    for title, index in indexes(card, data_dir).items():
        print(f"{title}: {_summary(index)}")
    return 0


def _summary(index: pd.DataFrame) -> str:
    kind = "SYNTHETIC images" if index["synthetic"].any() else "images"
    return f"{len(index)} {kind}, {index['bytes'].sum() / 1e9:.2f} GB"


def _table(card: Card, index: pd.DataFrame) -> pd.DataFrame:
    """Counts per cell: found, expected, difference; cells in the card's order."""
    by = list(card.COUNTED_BY)
    found = datasets.counts(index, by)
    cells = [*card.EXPECTED_COUNTS, *sorted(set(found) - set(card.EXPECTED_COUNTS))]
    table = pd.DataFrame(
        {
            "found": [found.get(cell, 0) for cell in cells],
            "expected": [card.EXPECTED_COUNTS.get(cell, 0) for cell in cells],
        },
        index=pd.MultiIndex.from_tuples(cells, names=by) if len(by) > 1 else cells,
    )
    table["difference"] = table["found"] - table["expected"]
    return table


def _groups(card: Card, index: pd.DataFrame) -> bool:
    """Compare the numbers of patients and slides, where the card states them."""
    right = True
    for group, expected in card.EXPECTED_GROUPS.items():
        found = index[group].nunique()
        if found != expected:
            print(f"  {group}s: {found} of {expected}")
            right = False
    return right


def _readable(root: Path, index: pd.DataFrame) -> bool:
    """Decode every image, each file read once, to find damaged ones and exact copies."""
    problems: list[str] = []
    same: dict[bytes, list[str]] = {}
    with terminal.progress("reading", len(index), "images") as bar:
        for name, digest, problem in bar.over(_decoded(root, list(index["image"]))):
            if problem:
                problems.append(problem)
            else:
                same.setdefault(digest, []).append(name.rpartition("/")[2])
    for problem in problems[:_PROBLEMS_SHOWN]:
        print(f"  {problem}")
    if len(problems) > _PROBLEMS_SHOWN:
        print(f"  and {len(problems) - _PROBLEMS_SHOWN} more damaged images")
    copies = [names for names in same.values() if len(names) > 1]
    # Not a fault of the copy: the official archive of BreakHis has some.
    print(f"  exact copies: {len(copies)} sets of images with the same pixels")
    for names in copies[: datasets.SHOWN]:
        print(f"    {', '.join(names)}")
    return not problems


def _decoded(root: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes, str]]:
    """Each image's name, hash of its pixels, and what is wrong with it; in order."""
    from concurrent.futures import ThreadPoolExecutor

    from common import images
    from common.images import fingerprints

    def one(name: str) -> tuple[str, bytes, str]:
        try:
            return name, fingerprints.pixel_hash(images.read(root / name)), ""
        except InputError as error:
            return name, b"", str(error)

    # Decoding and hashing release the interpreter lock, so threads are enough.
    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(one, names)


if __name__ == "__main__":
    errors.main(main)
