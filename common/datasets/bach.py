"""BACH (ICIAR 2018, part A): 400 H&E micrographs, 100 per class."""

from __future__ import annotations

import os
import re
import sys

import pandas as pd

from common import datasets
from common.errors import InputError

NAME = "bach"
TITLE = "BACH (ICIAR 2018)"
LICENCE = "CC BY-NC-ND 4.0"
CITATION = (
    "G. Aresta, T. Araujo, S. Kwok et al.: BACH: Grand Challenge on Breast Cancer Histology "
    "Images. Medical Image Analysis 56, 2019, 122-139. doi:10.1016/j.media.2019.05.010"
)
HOME = "https://zenodo.org/records/3632035"
OBTAIN = (
    "`python -m common.datasets download bach --data-dir DIR` fetches and unpacks it: "
    f"ICIAR2018_BACH_Challenge.zip (10.4 GB) from Zenodo, {HOME}"
)
ARCHIVE = "ICIAR2018_BACH_Challenge.zip"
ARCHIVE_BYTES = 10_400_000_000  # about; the record has the exact size and an MD5
URL = f"{HOME}/files/{ARCHIVE}"
RECORD = "https://zenodo.org/api/records/3632035"
FOLDER = "ICIAR2018_BACH_Challenge"
LAYOUT = """\
  ICIAR2018_BACH_Challenge/Photos/
    {Benign/b001.tif, InSitu/is001.tif, Invasive/iv001.tif, Normal/n001.tif}, 100 of each
    microscopy_ground_truth.csv"""
PREFIXES = {"n": "Normal", "b": "Benign", "is": "InSitu", "iv": "Invasive"}
COUNTED_BY = ("label",)
EXPECTED_COUNTS = dict.fromkeys(PREFIXES.values(), 100)
EXPECTED_IMAGES = 400
CLASSES = {4: ("Normal", "Benign", "InSitu", "Invasive")}
POSITIVE = {4: None}
NOTES = ("Patients are not published: no split by patient can be made.",)

_PATTERN = re.compile(r"(n|b|is|iv)(\d{3})\.tiff?", re.IGNORECASE)
_NEARLY = re.compile(r"(n|b|is|iv)\d+\.", re.IGNORECASE)


def index(
    data_dir: str | os.PathLike | None, classes: int = 4, *, strict: bool = False
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
    root = datasets.data_folder(sys.modules[__name__], data_dir)
    found = datasets.scan(root)
    rows, near_misses = {}, []
    for file in found[0]:
        match = _PATTERN.fullmatch(file.name)
        if match is None:
            if _NEARLY.match(file.name) and datasets.looks_like_image(file.name):
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
    return datasets.assemble(sys.modules[__name__], root, rows, found, near_misses, strict=strict)


def expected_images() -> int:
    """Count the images that the whole data set has."""
    return EXPECTED_IMAGES
