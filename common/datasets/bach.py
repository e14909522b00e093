"""BACH (ICIAR 2018, part A): 400 H&E micrographs, 100 per class."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, cast

from common.datasets.card import Card
from common.datasets.folder import data_folder
from common.datasets.index import assemble
from common.datasets.listing import ENDING, looks_like_image, scan
from common.datasets.patients import with_patients as with_patients
from common.errors import InputError
from common.files import read_text

if TYPE_CHECKING:
    import pandas as pd

NAME = "bach"
TITLE = "BACH (ICIAR 2018)"
LICENCE = "CC BY-NC-ND 4.0"
NON_COMMERCIAL = True
CITATION = (
    "G. Aresta, T. Araujo, S. Kwok et al.: BACH: Grand Challenge on Breast Cancer Histology "
    "Images. Medical Image Analysis 56, 2019, 122-139. doi:10.1016/j.media.2019.05.010"
)
HOME = "https://zenodo.org/records/3632035"
OBTAIN = (
    "`python -m common.datasets download bach --data-dir DIR` fetches and unpacks it: "
    f"ICIAR2018_BACH_Challenge.zip (10.4 GB) from Zenodo, {HOME}"
)
ARCHIVE: str | None = "ICIAR2018_BACH_Challenge.zip"
SUFFIX = ".tif"
ARCHIVE_BYTES = 10_400_000_000  # about; the record has the exact size and an MD5
URL: str | None = f"{HOME}/files/{ARCHIVE}"
RECORD: str | None = "https://zenodo.org/api/records/3632035"
FOLDER = "ICIAR2018_BACH_Challenge"
LAYOUT = """\
  ICIAR2018_BACH_Challenge/Photos/
    {Benign/b001.tif, InSitu/is001.tif, Invasive/iv001.tif, Normal/n001.tif}, 100 of each
    microscopy_ground_truth.csv"""
PREFIXES = {"n": "Normal", "b": "Benign", "is": "InSitu", "iv": "Invasive"}
MAGNIFICATIONS: tuple[str, ...] = ()  # one, 200X
IMAGE_SIZE = (1536, 2048)
MICRONS: dict[str, float] = {"": 0.42}
NO_PATIENTS = "BACH's file names carry no patient"
SELECTED_BY: tuple[str, ...] = ()
SERIES: dict[str, dict[str, Any]] = {TITLE: {}}
COUNTED_BY: tuple[str, ...] = ("label",)
EXPECTED_COUNTS: dict[Any, int] = dict.fromkeys(PREFIXES.values(), 100)
EXPECTED_IMAGES = 400
EXPECTED_GROUPS: dict[str, int] = {}
CLASSES: dict[int, tuple[str, ...]] = {4: ("Normal", "Benign", "InSitu", "Invasive")}
POSITIVE: dict[int, str | None] = {4: None}
PATIENTS = "https://iciar2018-challenge.grand-challenge.org/Dataset/"
"""Page that offers the patients of part of the micrographs, as a file `patient_microscopy`."""
NOTES: tuple[str, ...] = (
    f"{NO_PATIENTS}. The challenge's page ({PATIENTS}) offers those of part of the micrographs and "
    "says that all others may be taken as of other patients; whose those are is not known. With "
    "them a partition of 268 and 132 images was made and published, which needs no list here.",
)
PARTITION = ((41, 58), (60, 89), (139, 168), (240, 257), (260, 272), (345, 367))
"""Second part of the published partition by patient: first and last position of each range.

Positions are those of `partition_order`, from 0; 132 images, and the other 268 are the first part.
Of eva (github.com/kaiko-ai/eva, its data set `bach`), which trains on the first part.
"""

_PATTERN = re.compile(rf"(n|b|is|iv)(\d{{3}}){ENDING}", re.IGNORECASE)
_LABELS = "microscopy_ground_truth.csv"
_NEARLY = re.compile(r"(n|b|is|iv)\d+\.", re.IGNORECASE)


def index(
    data_dir: str | os.PathLike[str] | None, classes: int = 4, *, strict: bool = False
) -> pd.DataFrame:
    """Index the BACH micrographs below a folder by their file names.

    Parameters
    ----------
    data_dir : path or None
        Folder anywhere above the images; None means $HISTOPAPERS_DATA.
    classes : {4}
        Task: Normal, Benign, InSitu, Invasive.
    strict : bool
        Names that nearly parse are an error instead of a warning.

    Returns
    -------
    DataFrame
        See `common.datasets`. `case`, `slide` and `folder` are unknown.

    Raises
    ------
    InputError
        See `common.datasets.assemble`.
    """
    if classes not in CLASSES:
        raise InputError(f"{TITLE} has a task of 4 classes")
    root = data_folder(_CARD, data_dir)
    found = scan(root)
    rows: dict[str, dict[str, str]] = {}
    near_misses: list[str] = []
    for file in found[0]:
        match = _PATTERN.fullmatch(file.name)
        if match is None:
            if _NEARLY.match(file.name) and looks_like_image(file.name):
                near_misses.append(file.path)
            continue
        label = PREFIXES[match[1].lower()]
        rows[file.path] = {
            "label": label,
            "type": label,
            "case": "",
            "slide": "",
            "folder": "",
            "magnification": "",
            "official": "",
        }
    return assemble(_CARD, root, rows, found, near_misses, strict=strict)


def partition_order(index: pd.DataFrame) -> list[str]:
    """List the images in the order in which `PARTITION` counts them.

    Parameters
    ----------
    index : DataFrame
        From `index`, of the whole data set.

    Returns
    -------
    list of str
        By class (Benign, InSitu, Invasive, Normal), then by file name.

    Raises
    ------
    InputError
        If an image is missing or there is one more: all positions after it would be another
        image's.
    """
    counts = index["label"].value_counts()
    if len(index) != EXPECTED_IMAGES or dict(counts) != EXPECTED_COUNTS:
        found = ", ".join(f"{counts.get(name, 0)} {name}" for name in sorted(EXPECTED_COUNTS))
        raise InputError(
            f"the published partition counts positions in all {EXPECTED_IMAGES} images, 100 of "
            f"each class, and this copy has {len(index)} ({found}): it would part other images; "
            "complete the copy, or give your own split with --split file"
        )
    names = index["image"].str.rpartition("/")[2]
    return list(index["image"].iloc[sorted(
        range(len(index)), key=lambda i: (index["label"].iloc[i], names.iloc[i])
    )])  # fmt: skip


def expected_images() -> int:
    """Count the images that the whole data set has."""
    return EXPECTED_IMAGES


def check(data_dir: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Compare BACH's own list of labels, where it lies in the folder, with the file names.

    Parameters
    ----------
    data_dir : path or None
        As `index` takes it.

    Returns
    -------
    tuple of str
        One line for each label that differs.
    """
    root = data_folder(_CARD, data_dir)
    files, _ = scan(root)
    names = [_PATTERN.fullmatch(file.name) for file in files]
    labels = {match.string: PREFIXES[match[1].lower()] for match in names if match}
    wrong = []
    for file in files:
        if file.name != _LABELS:
            continue
        text = read_text(root / file.path, repair="copy it from the data set again")
        for line in text.splitlines():
            name, _, label = (field.strip() for field in line.partition(","))
            if labels.get(name, label).casefold() != label.replace(" ", "").casefold():
                wrong.append(f"{name}: {labels[name]} by its name, {label} in {file.path}")
    return tuple(wrong)


_CARD = cast(Card, sys.modules[__name__])  # `common.datasets.card` has mypy look whether it is one
