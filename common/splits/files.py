"""Splits that stand in files: a run's split.csv, a user's own, BreakHis' official folds."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.datasets import listed
from common.errors import InputError
from common.files import expanded, read_table, read_text, write_csv
from common.splits.arguments import require_images
from common.splits.draw import sorted_rows, stem
from common.splits.group_wise import draw_groups
from common.splits.parts import PARTS, check_fractions, check_known, check_parts, with_parts

if TYPE_CHECKING:
    import pandas as pd

SPLIT_COLUMNS = ("image", "case", "slide", "folder", "magnification", "label", "part")


def from_fold_files(
    index: pd.DataFrame,
    fold_dir: str | os.PathLike | None,
    fold: int,
    *,
    validation: float,
    seed: int,
) -> pd.DataFrame:
    """Use a fold of the official BreakHis protocol, read from `dsfold1.txt` ... `dsfold5.txt`.

    Rows of the files read ``image|magnification|fold|train`` or ``...|test``. The five folds are
    independent 70/30 draws over slide folders, not a partition. Validation is drawn by `case` out
    of the training images.

    Parameters
    ----------
    index : DataFrame
        Of BreakHis, any magnifications.
    fold_dir : path
        Folder with the files.
    fold : int
        1 to 5.
    validation : float
        Fraction of the fold's training images.
    seed : int
        Governs the validation draw.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If the file is missing or damaged, does not name every image of the index, or gives one
        another magnification than its name does.
    """
    from common.datasets import breakhis

    check_fractions(None, validation)
    if fold not in (1, 2, 3, 4, 5):
        raise InputError(f"--fold {fold}: the official BreakHis folds are 1 to 5")
    if fold_dir is None:
        raise InputError(f"the official split needs --fold-files DIR. {breakhis.FOLDS}")
    path = expanded(fold_dir) / f"dsfold{fold}.txt"
    if not path.is_file():
        raise InputError(f"{path}: missing. {breakhis.FOLDS}; give their folder with --fold-files")
    given: dict[str, str] = {}
    for number, line in enumerate(read_text(path, repair=breakhis.FOLDS).splitlines(), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 4 or fields[2] != str(fold) or fields[3] not in ("train", "test"):
            raise InputError(
                f"{path}:{number}: expected image|magnification|{fold}|train or test, "
                f"found {line.strip()!r}"
            )
        named = re.search(r"-(40|100|200|400)-\d+(\.\w+)?$", fields[0])
        if named and fields[1].upper().removesuffix("X") != named[1]:
            raise InputError(
                f"{path}:{number}: {fields[0]} is of magnification {named[1]} by its name, "
                f"{fields[1]!r} by the column"
            )
        if given.setdefault(stem(fields[0]), fields[3]) != fields[3]:
            raise InputError(f"{path}:{number}: {fields[0]} is both in train and in test")
    order = sorted_rows(index)
    parts = np.array([given.get(stem(index["image"].iloc[i]), "") for i in order])
    unlisted = order[parts == ""]
    if len(unlisted):
        names = listed(list(index["image"].iloc[unlisted]))
        raise InputError(f"{path}: does not name {len(unlisted)} of the images: {names}")
    train, tested = order[parts == "train"], order[parts == "test"]
    validated = np.array([], int)
    if validation:
        check_known(index, "case", "no validation part can be drawn by patient")
        train, validated = draw_groups(index, train, "case", validation, seed, left=1)
    return with_parts(index, {"train": train, "validation": validated, "test": tested}, validation)


def from_file(index: pd.DataFrame, path: str | os.PathLike | None) -> pd.DataFrame:
    """Use the parts in a CSV with the columns `image` and `part`, such as a run's split.csv.

    Images are matched by their path; where no path of the file is known here (another layout), by
    file name.

    Parameters
    ----------
    index : DataFrame
        Of the images that the file is to name, all of them.
    path : path
        The CSV.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If the file names images that are unknown or twice, leaves images out, or gives one another
        magnification than its name does.
    """
    require_images(index, "label")
    if path is None:
        raise InputError("a split from a file needs --split-file CSV, with columns image and part")
    path = expanded(path)
    table = read(path)
    given = table["image"].str.replace("\\", "/")
    known = index["image"]
    if not given.isin(set(known)).any():
        given, known = given.map(stem), known.map(stem)
    problems = []
    twice = sorted(set(given[given.duplicated()]))
    unknown = sorted(set(given) - set(known))
    missing = sorted(set(known) - set(given))
    if twice:
        problems.append(f"{len(twice)} images stand twice: {listed(twice)}")
    if unknown:
        problems.append(f"{len(unknown)} images are not in the data: {listed(unknown)}")
    if missing:
        problems.append(f"{len(missing)} images of the data are left out: {listed(missing)}")
    if problems:
        raise InputError(f"{path}: " + "; ".join(problems))
    _require_agreement(path, table.assign(image=given), index.assign(image=known))
    split = index.copy()
    split["part"] = known.map(dict(zip(given, table["part"], strict=True))).to_numpy()
    check_parts(split, PARTS if (split["part"] == "validation").any() else ("train", "test"))
    return split


def _require_agreement(path: Path, table: pd.DataFrame, index: pd.DataFrame) -> None:
    """Refuse a file whose magnifications are not those of the file names."""
    if "magnification" not in table or "magnification" not in index:
        return
    here = index.set_index("image")["magnification"].astype(str)
    there = table.set_index("image")["magnification"].reindex(here.index)
    there = there.str.upper().str.removesuffix("X")
    wrong = (there != "") & (here != "") & (there != here.str.upper().str.removesuffix("X"))
    if wrong.any():
        image = wrong.index[wrong][0]
        raise InputError(
            f"{path}, column magnification: {int(wrong.sum())} images contradict their names, for "
            f"example {image}: {there[image]!r}, by its name {here[image]!r}"
        )


def read(path: str | os.PathLike) -> pd.DataFrame:
    """Read a split.csv: every column as text, unknown values as "".

    Parameters
    ----------
    path : path

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If the file is missing or no split.
    """
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"{path}: no such split file")
    table = read_table(path, repair="a split is a CSV file with the columns image and part")
    missing = [name for name in ("image", "part") if name not in table]
    if missing:
        raise InputError(
            f"{path}: the column {' and '.join(missing)} is missing; a split has image and part"
        )
    wrong = sorted(set(table["part"]) - {*PARTS, ""})
    if wrong:
        raise InputError(
            f"{path}: unknown part {listed([repr(name) for name in wrong])}; "
            f"parts are {', '.join(PARTS)} or empty"
        )
    return table


def write(split: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write split.csv.

    Parameters
    ----------
    split : DataFrame
        Index with the column `part`; of its columns, `SPLIT_COLUMNS` are written.
    path : path
    """
    write_csv(Path(path), split[list(SPLIT_COLUMNS)])
