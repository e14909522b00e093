"""BCI: 4,873 pairs of H&E and IHC patches with the HER2 score of their slide."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from common.datasets.card import Card
from common.datasets.folder import data_folder
from common.datasets.index import assemble
from common.datasets.listing import ENDING, File, looks_like_image, scan
from common.errors import InputError, listed, many

if TYPE_CHECKING:
    import pandas as pd

NAME = "bci"
TITLE = "BCI"
LICENCE = "the authors' own, non-commercial research only"
NON_COMMERCIAL = True
CITATION = (
    "S. Liu, C. Zhu, F. Xu, X. Jia, Z. Shi, M. Jin: BCI: Breast Cancer Immunohistochemical Image "
    "Generation through Pyramid Pix2pix. CVPR Workshops 2022, 1815-1824"
)
HOME = "https://bupt-ai-cz.github.io/BCI/"
OBTAIN = f"from the authors' page, {HOME}, by cloud drive. No checksum is published."
# Its authors give it out by cloud drive: there is no address to download from.
ARCHIVE: str | None = None
URL: str | None = None
RECORD: str | None = None
SUFFIX = ".png"
ARCHIVE_BYTES = 20_000_000_000  # no archive of it is larger
FOLDER = "BCI_dataset"
LAYOUT = """\
  BCI_dataset/{HE,IHC}/{train,test}/
    00000_train_1+.png        number, part, HER2 score; the same name under HE and IHC"""
SCORES = ("0", "1+", "2+", "3+")
STAINS = {"he": "HE", "ihc": "IHC"}
MAGNIFICATIONS: tuple[str, ...] = ()  # one, 20X
IMAGE_SIZE = (1024, 1024)
MICRONS: dict[str, float] = {"": 0.46}
NO_PATIENTS = "BCI's file names carry no slide or patient"
SELECTED_BY: tuple[str, ...] = ("stain",)
SERIES: dict[str, dict[str, Any]] = {
    f"{TITLE} {name}": {"stain": stain} for stain, name in STAINS.items()
}
COUNTED_BY: tuple[str, ...] = ("official", "label")
# The test part was counted from published file lists. The train part is the difference to the
# totals that are quoted for the whole set (240, 1153, 2142, 1338); it adds up to 3896.
EXPECTED_COUNTS: dict[Any, int] = {
    ("train", "0"): 202, ("train", "1+"): 918, ("train", "2+"): 1696, ("train", "3+"): 1080,
    ("test", "0"): 38, ("test", "1+"): 235, ("test", "2+"): 446, ("test", "3+"): 258,
}  # fmt: skip
EXPECTED_IMAGES = 4873
EXPECTED_GROUPS: dict[str, int] = {}
CLASSES: dict[int, tuple[str, ...]] = {3: ("negative", "borderline", "positive"), 4: SCORES}
POSITIVE: dict[int, str | None] = {3: None, 4: None}
# 0 and 1+ are HER2 negative, 2+ is equivocal (borderline), 3+ is positive.
THREE = {"0": "negative", "1+": "negative", "2+": "borderline", "3+": "positive"}
NOTES: tuple[str, ...] = (
    f"The score belongs to the slide, not to the patch. {NO_PATIENTS}: no split by patient can be "
    "made, and patient leakage cannot be excluded.",
    "The counts of the train part are derived from quoted totals, not counted.",
)

_PATTERN = re.compile(rf"(\d+)_(train|test)_(0|1\+|2\+|3\+){ENDING}", re.IGNORECASE)
_NEARLY = re.compile(r"\d+_(train|test|val)", re.IGNORECASE)

_Images: TypeAlias = dict[str, tuple[str, str, str, str]]
"""Path -> stain, number, part, score."""


def index(
    data_dir: str | os.PathLike[str] | None,
    stain: str = "he",
    classes: int = 4,
    *,
    strict: bool = False,
) -> pd.DataFrame:
    """Index the BCI images of one stain by their file names.

    Parameters
    ----------
    data_dir : path or None
        Folder above HE and IHC; None means $HISTOPAPERS_DATA. The stain is read off the folder
        HE or IHC, as the names do not tell it.
    stain : {"he", "ihc"}
        Haematoxylin and eosin, or the HER2 stain beside it.
    classes : {3, 4}
        Task: negative (0, 1+), borderline (2+), positive (3+); or the four scores.
    strict : bool
        Names that nearly parse are an error instead of a warning.

    Returns
    -------
    DataFrame
        See `common.datasets`. `type` is the score; `case`, `slide` and `folder` are unknown.

    Raises
    ------
    InputError
        See `common.datasets.assemble`; also if one number has two scores.
    """
    _require_stain(stain)
    if classes not in CLASSES:
        raise InputError(f"{TITLE} has tasks of {' or '.join(map(str, CLASSES))} classes")
    root, found, images, near_misses = _read(data_dir)
    _scores(root, images)
    rows = {
        path: {
            "label": score if classes == 4 else THREE[score],
            "type": score,
            "case": "",
            "slide": "",
            "folder": "",
            "magnification": "",
            "official": part,
        }
        for path, (stained, _, part, score) in images.items()
        if stained == stain
    }
    others = sum(stained != stain for stained, *_ in images.values())
    if not rows and others:
        raise InputError(
            f"{root}: no {STAINS[stain]} image of BCI; the folder holds {others} of the other "
            "stain: give the folder above HE and IHC, or the other --stain"
        )
    return assemble(_CARD, root, rows, found, near_misses, strict=strict)


def pairs(data_dir: str | os.PathLike[str] | None) -> pd.DataFrame:
    """Pair the H&E with the IHC image of each number and part.

    Parameters
    ----------
    data_dir : path or None
        As `index` takes it.

    Returns
    -------
    DataFrame
        `number`, `part`, `he`, `ihc` (paths below `data_dir`), `score`; sorted by part and number.

    Raises
    ------
    InputError
        If an image has no partner, or partners disagree about the score.
    """
    import pandas as pd

    root, found, images, _ = _read(data_dir)
    if not images:
        assemble(_CARD, root, {}, found)  # raises: says what was found instead
    scores = _scores(root, images)
    paths: dict[tuple[str, str], dict[str, str]] = {key: {} for key in scores}
    for path, (stained, number, part, _) in images.items():
        paths[part, number].setdefault(stained, path)
    alone = sorted(next(iter(pair.values())) for pair in paths.values() if len(pair) == 1)
    if alone:
        raise InputError(
            f"{root}: {many(len(alone), 'image has', 'images have')} no partner in the other "
            "stain: "
            f"{listed(alone)}; copy the missing ones, or remove these"
        )
    rows = [
        {"number": number, "part": part, **paths[part, number], "score": scores[part, number]}
        for part, number in sorted(paths)
    ]
    return pd.DataFrame(rows, columns=["number", "part", "he", "ihc", "score"])


def expected_images(stain: str = "he") -> int:
    """Count the images that the whole data set has of one stain.

    Parameters
    ----------
    stain : {"he", "ihc"}
        Both have as many.

    Raises
    ------
    InputError
        If there is no such stain.
    """
    _require_stain(stain)
    return EXPECTED_IMAGES


def check(data_dir: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Look whether every H&E image has its IHC image with the same score.

    Parameters
    ----------
    data_dir : path or None
        As `index` takes it.

    Returns
    -------
    tuple of str
        One line if not.
    """
    try:
        pairs(data_dir)
    except InputError as error:
        return (f"pairs of H&E and IHC: {error}",)
    return ()


def _require_stain(stain: str) -> None:
    if stain not in STAINS:
        raise InputError(f"unknown stain {stain!r}; BCI has {' and '.join(STAINS)}")


def _read(
    data_dir: str | os.PathLike[str] | None,
) -> tuple[Path, tuple[list[File], list[str]], _Images, list[str]]:
    """Find the images of both stains: path -> (stain, number, part, score)."""
    root = data_folder(_CARD, data_dir)
    found = scan(root)
    above = [name.casefold() for name in root.resolve().parts[-2:]]
    images: _Images = {}
    near_misses: list[str] = []
    unplaced: list[str] = []
    for file in found[0]:
        match = _PATTERN.fullmatch(file.name)
        if match is None:
            if _NEARLY.match(file.name) and looks_like_image(file.name):
                near_misses.append(file.path)
            continue
        folders = above + [name.casefold() for name in Path(file.path).parts[:-1]]
        stain = next((name for name in reversed(folders) if name in STAINS), None)
        if stain is None:
            unplaced.append(file.path)
            continue
        images[file.path] = (stain, match[1], match[2].lower(), match[3])
    if unplaced and not images:
        raise InputError(
            f"{root}: {len(unplaced)} BCI images lie in no folder named HE or IHC, so their stain "
            f"is unknown: {listed(unplaced)}"
        )
    return root, found, images, near_misses + unplaced


def _scores(root: Path, images: _Images) -> dict[tuple[str, str], str]:
    """Score of each (part, number); an error where files of one number disagree."""
    scores: dict[tuple[str, str], str] = {}
    first: dict[tuple[str, str], str] = {}
    wrong = []
    for path, (_, number, part, score) in images.items():
        key = part, number
        if scores.setdefault(key, score) != score:
            wrong.append(f"{first[key]} and {path}")
        first.setdefault(key, path)
    if wrong:
        raise InputError(
            f"{root}: {len(wrong)} numbers have two different HER2 scores: "
            f"{listed(wrong)}; take both files from the original data set"
        )
    return scores


_CARD = cast(Card, sys.modules[__name__])  # `common.datasets.card` has mypy look whether it is one
