"""BreakHis: 7,909 fields of 82 breast tumour slides at four magnifications."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from common.datasets.card import Card
from common.datasets.folder import data_folder
from common.datasets.index import assemble, warn_two_labels
from common.datasets.listing import ENDING, looks_like_image, scan
from common.errors import InputError
from common.files import csv_lines

if TYPE_CHECKING:
    import pandas as pd

NAME = "breakhis"
TITLE = "BreakHis"
LICENCE = "CC BY 4.0"
NON_COMMERCIAL = False
CITATION = (
    "F. A. Spanhol, L. S. Oliveira, C. Petitjean, L. Heutte: A Dataset for Breast Cancer "
    "Histopathological Image Classification. IEEE Transactions on Biomedical Engineering 63(7), "
    "2016, 1455-1462. doi:10.1109/TBME.2015.2496264"
)
HOME = "https://web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis/"
OBTAIN = (
    "`python -m common.datasets download breakhis --data-dir DIR` fetches and unpacks it: "
    "BreaKHis_v1.tar.gz (about 4 GB) from the page of the Vision, Robotics and Imaging group of "
    f"UFPR, {HOME}. No checksum is published."
)
ARCHIVE: str | None = "BreaKHis_v1.tar.gz"
SUFFIX = ".png"
ARCHIVE_BYTES = 4_000_000_000  # about
URL: str | None = f"http://www.inf.ufpr.br/vri/databases/{ARCHIVE}"
RECORD: str | None = None  # no page states its size and checksum
FOLDER = "BreaKHis_v1"
LAYOUT = """\
  BreaKHis_v1/histology_slides/breast/
    {benign,malignant}/SOB/<tumour type>/SOB_B_A_14-22549AB/{40X,100X,200X,400X}/
      SOB_B_A-14-22549AB-40-001.png"""
FOLDS = (
    "dsfold1.txt ... dsfold5.txt come with the data set's own page, "
    f"{HOME}, as a small archive of fold lists (mkfold)"
)
MAGNIFICATIONS: tuple[str, ...] = ("40X", "100X", "200X", "400X")
IMAGE_SIZE = (460, 700)  # some are 456 high
# Read off red cells (7 micrometres, 11 px at 100X) and nuclei of real images; the other
# magnifications in proportion. It is what a 10x objective gives on a sensor with px of 6.5. The
# effective sizes that circulate, 0.20 at 100X and so on, would make red cells of 35 px.
MICRONS: dict[str, float] = {"40X": 1.5625, "100X": 0.625, "200X": 0.3125, "400X": 0.15625}
NO_PATIENTS = ""
SELECTED_BY: tuple[str, ...] = ("magnifications",)
SERIES: dict[str, dict[str, Any]] = {TITLE: {}}
# The data set's web page prints 652 benign images at 40X, which does not add up; 625 does.
_PER_MAGNIFICATION = {
    "A": (114, 113, 111, 106),
    "F": (253, 260, 264, 237),
    "PT": (109, 121, 108, 115),
    "TA": (149, 150, 140, 130),
    "DC": (864, 903, 896, 788),
    "LC": (156, 170, 163, 137),
    "MC": (205, 222, 196, 169),
    "PC": (145, 142, 135, 138),
}
COUNTED_BY: tuple[str, ...] = ("type", "magnification")
EXPECTED_COUNTS: dict[Any, int] = {
    (kind, magnification): n
    for kind, row in _PER_MAGNIFICATION.items()
    for magnification, n in zip(MAGNIFICATIONS, row, strict=True)
}
EXPECTED_IMAGES = 7909
EXPECTED_GROUPS = {"folder": 82, "slide": 81, "case": 70}
CLASSES: dict[int, tuple[str, ...]] = {
    2: ("benign", "malignant"),
    8: ("A", "F", "PT", "TA", "DC", "LC", "MC", "PC"),
}
POSITIVE: dict[int, str | None] = {2: "malignant", 8: None}
TYPES = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes tumour",
    "TA": "tubular adenoma",
    "DC": "ductal carcinoma",
    "LC": "lobular carcinoma",
    "MC": "mucinous carcinoma",
    "PC": "papillary carcinoma",
}
CASES = (
    "A case number may be one patient: letters behind it (22549AB, 22549CD) may mark slides of one."
)
"""What is to be said where two parts share a case number."""
NOTES: tuple[str, ...] = (
    "82 patients are 82 slide folders: 81 slide ids (14-22549AB), 70 case numbers (22549). Letters "
    "after a number may mark slides of one patient, so `case` is the safe unit to split by.",
    "Slide 14-13412 is filed under two types, DC and LC, with the same images.",
    "Some images are exact duplicates of others: python -m common.splits report finds them.",
)

_BENIGN = ("A", "F", "PT", "TA")
_SLIDE = r"(?P<year>\d+)-(?P<case>\d+)(?P<letters>[A-Z]*)"
_FIELD = r"-(?P<magnification>40|100|200|400)-(?P<number>\d+)"
_PATTERN = re.compile(
    rf"SOB_(?P<side>[BM])_(?P<type>A|F|PT|TA|DC|LC|MC|PC)-{_SLIDE}{_FIELD}{ENDING}", re.IGNORECASE
)
# A folder has an underscore where a file name has a hyphen; lists of folders have either.
_LIKE = re.compile(
    rf"SOB_(?P<side>[BM])_(?P<type>A|F|PT|TA|DC|LC|MC|PC)[-_]{_SLIDE}(?:{_FIELD})?(?![0-9A-Z])",
    re.IGNORECASE,
)
_ID = re.compile(r"(?:\d+-)?\d+[A-Z]*", re.IGNORECASE)
_FOLDERS = "breakhis_folders.csv"


def index(
    data_dir: str | os.PathLike[str] | None,
    classes: int = 2,
    magnifications: Sequence[str] | None = None,
    *,
    strict: bool = False,
) -> pd.DataFrame:
    """Index the BreakHis images below a folder by their file names.

    Parameters
    ----------
    data_dir : path or None
        Folder anywhere above the images; None means $HISTOPAPERS_DATA.
    classes : {2, 8}
        Task: benign or malignant, or the eight tumour types.
    magnifications : sequence of str, optional
        Some of "40X", "100X", "200X", "400X"; all by default.
    strict : bool
        Names that nearly parse, and cases with two labels, are errors instead of warnings.

    Returns
    -------
    DataFrame
        See `common.datasets`. `case` is the number of the case ("22549"), `slide` the slide's id
        ("14-22549AB"), `folder` the name of its folder in the official layout
        ("SOB_B_A_14-22549AB"), made from the file name.

    Raises
    ------
    InputError
        See `common.datasets.assemble`; also if a choice is unknown.
    """
    if classes not in CLASSES:
        raise InputError(f"{TITLE} has tasks of {' or '.join(map(str, CLASSES))} classes")
    wanted = _magnifications(magnifications)
    root = data_folder(_CARD, data_dir)
    found = scan(root)
    rows: dict[str, dict[str, str]] = {}
    near_misses: list[str] = []
    other: set[str] = set()
    for file in found[0]:
        match = _PATTERN.fullmatch(file.name)
        kind = match["type"].upper() if match else ""
        if match is None or (match["side"].upper() == "B") != (kind in _BENIGN):
            if file.name[:4].upper() == "SOB_" and looks_like_image(file.name):
                near_misses.append(file.path)
            continue
        magnification = f"{match['magnification']}X"
        if magnification not in wanted:
            other.add(magnification)
            continue
        rows[file.path] = {
            "label": kind if classes == 8 else CLASSES[2][0 if kind in _BENIGN else 1],
            **_groups(match),
            "magnification": magnification,
            "official": "",
        }
    if not rows and other:
        have = ", ".join(name for name in MAGNIFICATIONS if name in other)
        raise InputError(
            f"{root}: no BreakHis image at {', '.join(wanted)}; the folder holds {have}"
        )
    table = assemble(_CARD, root, rows, found, near_misses, strict=strict)
    warn_two_labels(table, strict=strict)
    return table


def _groups(match: re.Match[str]) -> dict[str, str]:
    """Type, case, slide and folder that a name tells."""
    kind = match["type"].upper()
    slide = f"{match['year']}-{match['case']}{match['letters'].upper()}"
    folder = f"SOB_{'B' if kind in _BENIGN else 'M'}_{kind}_{slide}"
    return {"type": kind, "case": match["case"], "slide": slide, "folder": folder}


def named(name: str) -> dict[str, str] | None:
    """Tell what an image, a folder or a slide of a list is, by its name alone.

    Parameters
    ----------
    name : str
        The path or name of an image, with or without ending and with whatever was added behind its
        number (`..-001_flip.png`, a copy or a piece of it); of a slide's folder, with a hyphen or
        an underscore before the slide; a slide's id, with or without the year (`14-22549AB`,
        `22549AB`); a case number.

    Returns
    -------
    dict or None
        `image` (the original's name without ending), `type`, `case`, `slide`, `folder` and
        `magnification`, "" where the name does not tell them; None if it is no name of BreakHis.
    """
    unknown = dict.fromkeys(("image", "type", "case", "slide", "folder", "magnification"), "")
    parts = [part.strip() for part in re.split(r"[/\\]", name)]
    for part in reversed(parts):  # a renamed image may still lie in the folder of its slide
        match = _LIKE.match(part)
        if match is None:
            continue
        found = unknown | _groups(match)
        if (match["side"].upper() == "B") != (found["type"] in _BENIGN):
            return None
        if match["magnification"]:
            field = f"-{match['magnification']}-{match['number']}"
            found["image"] = f"{found['folder'].rpartition('_')[0]}-{found['slide']}{field}"
            found["magnification"] = f"{match['magnification']}X"
        return found
    if len(parts) > 1 or not _ID.fullmatch(name.strip()):
        return None
    return _by_id(name.strip().upper(), unknown)


def _by_id(name: str, unknown: dict[str, str]) -> dict[str, str] | None:
    """What a slide's id or a case number stands for; one that BreakHis lacks for nothing."""
    known = [_LIKE.match(folder) for folder in folders()]
    matches = [match for match in known if match is not None]
    slides = [m for m in matches if name in (f"{m['case']}{m['letters']}", _groups(m)["slide"])]
    if slides:
        found = unknown | _groups(slides[0])
        # Slide 13412 has two folders, of two types.
        return found if len(slides) == 1 else found | {"type": "", "folder": ""}
    return unknown | {"case": name} if name in {match["case"] for match in matches} else None


@functools.cache
def folders() -> dict[str, tuple[int, ...]]:
    """List the 82 folders of slides, with their images at each of `MAGNIFICATIONS`.

    Counted in public listings of the data set; they add up to `EXPECTED_COUNTS`.
    """
    lines = csv_lines(Path(__file__).with_name(_FOLDERS), repair="install the package again")
    next(lines)
    return {name: tuple(map(int, counts)) for _, (name, *counts) in lines}


def expected_images(magnifications: Sequence[str] | None = None) -> int:
    """Count the images that the whole data set has at these magnifications.

    Parameters
    ----------
    magnifications : sequence of str, optional
        As `index` takes them; all by default.

    Raises
    ------
    InputError
        If one is unknown.
    """
    wanted = _magnifications(magnifications)
    return sum(n for (_, magnification), n in EXPECTED_COUNTS.items() if magnification in wanted)


def check(data_dir: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Find nothing: its names and counts say all that can be checked.

    Parameters
    ----------
    data_dir : path or None
        As `index` takes it.
    """
    return ()


def _magnifications(chosen: Sequence[str] | None) -> tuple[str, ...]:
    if chosen is None:
        return MAGNIFICATIONS
    chosen = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    unknown = [name for name in chosen if name not in MAGNIFICATIONS]
    if unknown or not chosen:
        raise InputError(
            f"unknown magnification {', '.join(map(str, unknown)) or '(none)'}; "
            f"BreakHis has {', '.join(MAGNIFICATIONS)}"
        )
    return tuple(name for name in MAGNIFICATIONS if name in chosen)


_CARD = cast(Card, sys.modules[__name__])  # `common.datasets.card` has mypy look whether it is one
