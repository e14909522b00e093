"""Lists of patients: whose images are, for data sets whose file names do not tell."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from common import terminal
from common.datasets.listing import ENDING
from common.datasets.lists import List, read_list
from common.errors import InputError, listed
from common.files import expanded

if TYPE_CHECKING:
    import pandas as pd


def read(path: str | os.PathLike[str]) -> List:
    """Read a list of patients.

    Parameters
    ----------
    path : path
        CSV with the columns image and patient.

    Raises
    ------
    InputError
        If the file is missing or is no such list; file and line are named.
    """
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"{path}: no such list of patients")
    found = read_list(path, needs=("patient",))
    for row in found.rows:
        if not row["patient"]:
            raise InputError(
                f"{path}, line {row.line}: no patient; leave out images whose patient is unknown"
            )
    return found


def with_patients(index: pd.DataFrame, path: str | os.PathLike[str]) -> pd.DataFrame:
    """Fill in the patients that a list names; says what else the list holds or lacks.

    Parameters
    ----------
    index : DataFrame
        Of any data set.
    path : path
        CSV with the columns image and patient. An image is found by its path or, where no path of
        the list is known here, by its name, with or without ending (`Benign/b001.tif`, `b001`).
        Images that the list leaves out keep the patient that they have, or an unknown one.

    Returns
    -------
    DataFrame
        The index, its column `case` filled.

    Raises
    ------
    InputError
        If the file is missing, is no such list, gives an image two patients or another one than
        the data do, or names no image of the index; file and line are named.
    """
    found = _matched(index, path)
    path, names = found.path, found.names
    strange = sorted(set(found.named) - set(names))
    absent = list(index["image"][~names.isin(set(found.named))])
    cases = names.map({name: patient for name, (patient, _) in found.named.items()}).fillna("")
    known = cases[cases != ""]
    terminal.line(
        f"{path}: the patients of {len(known)} of {len(index)} images, {known.nunique()} in all"
    )
    for what, these in (
        ("images of the list are not in the data", strange),
        ("lines name an image again, with the same patient", found.twice),
        ("images are not in the list, their patients stay unknown", absent),
    ):
        if these:
            terminal.line(f"{path}: {len(these)} {what}: {listed(these)}", always=these is strange)
    return index.assign(case=cases.where(cases != "", index["case"]))


def require_fitting(index: pd.DataFrame | None, path: str | os.PathLike[str]) -> None:
    """Refuse what `with_patients` would refuse, and say nothing.

    Parameters
    ----------
    index : DataFrame or None
        Of any data set; None: it is not known, and the list alone is read.
    path : path
        CSV with the columns image and patient.

    Raises
    ------
    InputError
        As `with_patients`.
    """
    if index is None:
        read(path)
    else:
        _matched(index, path)


class _Matched(NamedTuple):
    """A list beside an index, both by the same short names."""

    path: Path
    names: pd.Series
    """Of the images of the index."""
    named: dict[str, tuple[str, int]]
    """Of the list: patient and line."""
    twice: list[str]


def _matched(index: pd.DataFrame, path: str | os.PathLike[str]) -> _Matched:
    """Find the images of a list in an index."""
    listing = read(path)
    path, rows = listing.path, listing.rows
    shorten = _stem
    if {row["image"].replace("\\", "/") for row in rows} & set(index["image"]):
        shorten = _path
    named: dict[str, tuple[str, int]] = {}
    twice: list[str] = []
    for row in rows:
        image, patient = row["image"], row["patient"]
        first = named.setdefault(shorten(image), (patient, row.line))
        if first[0] != patient:
            raise InputError(
                f"{path}, line {row.line}: {image} is of patient {patient} here and of {first[0]} "
                f"in line {first[1]}"
            )
        if first[1] != row.line:
            twice.append(f"{image} (line {row.line})")
    names = index["image"].map(shorten)
    if not names.isin(set(named)).any():
        raise InputError(
            f"{path}: names no image of these data (of the list: "
            f"{listed(dict.fromkeys(row['image'] for row in rows))}); a list of images of one's "
            "own has the columns image and label"
        )
    _require_one_each(path, index, names, named)
    return _Matched(path, names, named, twice)


def _require_one_each(
    path: os.PathLike[str], index: pd.DataFrame, names: pd.Series, named: dict[str, tuple[str, int]]
) -> None:
    """Refuse a name of several images, and a patient that is not the one that the data tell."""
    of_list = names.isin(set(named))
    several = names[of_list & names.duplicated(keep=False)]
    if len(several):
        name = several.iloc[0]
        images = list(index["image"][names == name])
        raise InputError(
            f"{path}, line {named[name][1]}: {name} may be each of {listed(images)}; write the path"
        )
    for image, name, case in zip(index["image"], names, index["case"], strict=True):
        patient, line = named.get(name, (case, 0))
        if case and patient != case:
            raise InputError(
                f"{path}, line {line}: {image} is of patient {patient} here and of {case} by the "
                "data themselves; two sources that differ: correct one, or leave one out"
            )


def _path(image: str) -> str:
    return image.replace("\\", "/")


def _stem(image: str) -> str:
    """File name without folder and ending, in small letters."""
    return re.sub(f"{ENDING}$", "", _path(image).rpartition("/")[2].lower())
