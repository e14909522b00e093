"""Splits that stand in files: a run's split.csv, a user's own, BreakHis' official folds."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.datasets import listed
from common.errors import InputError, many
from common.files import csv_lines, expanded, read_columns, read_text, write_csv
from common.splits.arguments import require_images, require_table
from common.splits.draw import sorted_rows, stem
from common.splits.group_wise import draw_groups
from common.splits.parts import (
    GIVEN,
    PARTS,
    check_fractions,
    check_known,
    check_parts,
    with_parts,
)

if TYPE_CHECKING:
    import pandas as pd

FOLD_COLUMNS = ("fold", "mag", "grp", "filename")
"""Columns of the `Folds.csv` that comes with Kaggle's copy of BreakHis."""

_NO_SPLIT = "a split is a CSV file with the columns image and part"

SPLIT_COLUMNS = ("image", "case", "slide", "folder", "magnification", "label", "part")
"""Columns of a split's file, where the index has them."""


def from_fold_files(
    index: pd.DataFrame,
    fold_dir: str | os.PathLike | None,
    fold: int,
    *,
    validation: float,
    seed: int,
) -> pd.DataFrame:
    """Use a fold of the official BreakHis protocol: `dsfold1.txt` ... `dsfold5.txt` or `Folds.csv`.

    Rows of the text files read ``image|magnification|fold|train`` or ``...|test``. The five folds
    are independent 70/30 draws over slide folders, not a partition. Validation is drawn by `case`
    out of the training images.

    Parameters
    ----------
    index : DataFrame
        Of BreakHis, any magnifications.
    fold_dir : path
        Folder with the text files, or with the `Folds.csv` of Kaggle's copy; or this file.
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
    path = _fold_list(expanded(fold_dir), fold)
    given = _parts_of_fold(path, fold)
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


def _fold_list(path: Path, fold: int) -> Path:
    """File that tells a fold: `dsfold<n>.txt` in a folder, else Kaggle's `Folds.csv`."""
    if not path.is_dir() and path.suffix.lower() == ".csv":
        return path
    official, kaggle = path / f"dsfold{fold}.txt", path / "Folds.csv"
    return kaggle if kaggle.is_file() and not official.is_file() else official


def _parts_of_fold(path: Path, fold: int) -> dict[str, str]:
    """Part of each image, by its name without folder and ending, in one fold of a list."""
    from common.datasets import breakhis

    if not path.is_file():
        raise InputError(f"{path}: missing. {breakhis.FOLDS}; give their folder with --fold-files")
    given: dict[str, str] = {}
    for number, image, magnification, part in _fold_lines(path, fold):
        named = re.search(r"-(40|100|200|400)-\d+(\.\w+)?$", image)
        if named and magnification.upper().removesuffix("X") != named[1]:
            raise InputError(
                f"{path}:{number}: {image} is of magnification {named[1]} by its name, "
                f"{magnification!r} by the column"
            )
        if given.setdefault(stem(image), part) != part:
            raise InputError(f"{path}:{number}: {image} is both in train and in test")
    return given


def _fold_lines(path: Path, fold: int) -> Iterator[tuple[int, str, str, str]]:
    """Number, image, magnification and part of each line of a fold."""
    from common.datasets import breakhis

    if path.suffix.lower() == ".csv":
        lines = csv_lines(path, repair="take it from the data set again")
        number, header = next(lines)
        if not is_fold_list(header):
            raise InputError(f"{path}: a list of folds has the columns {', '.join(FOLD_COLUMNS)}")
        for number, values in lines:
            row = dict(zip(header, values, strict=True))
            if not row["fold"].strip().isdecimal() or row["grp"] not in ("train", "test"):
                raise InputError(f"{path}:{number}: expected a fold's number and train or test")
            if int(row["fold"]) == fold:
                yield number, row["filename"], row["mag"].strip(), row["grp"]
        return
    for number, line in enumerate(read_text(path, repair=breakhis.FOLDS).splitlines(), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 4 or fields[2] != str(fold) or fields[3] not in ("train", "test"):
            raise InputError(
                f"{path}:{number}: expected image|magnification|{fold}|train or test, "
                f"found {line.strip()!r}"
            )
        yield number, fields[0], fields[1], fields[3]


def is_fold_list(columns: Iterable[str]) -> bool:
    """Whether a table lists the folds of BreakHis, as Kaggle's copy of the data set has them.

    Parameters
    ----------
    columns : iterable of str
        Names of its columns.
    """
    return set(FOLD_COLUMNS) <= set(columns)


def from_file(
    index: pd.DataFrame, path: str | os.PathLike | None, fold: int | None = None
) -> pd.DataFrame:
    """Use the parts in a CSV with the columns `image` and `part`, such as a run's split.csv.

    Images are matched by their path; where no path of the file is known here (another layout), by
    file name.

    Parameters
    ----------
    index : DataFrame
        Of the images that the file is to name, all of them.
    path : path
        The CSV; also the `Folds.csv` of Kaggle's copy of BreakHis, of which one fold is taken.
    fold : int, optional
        Which, from 1; for a file of folds alone.

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
    table = _one_fold(path, index, fold) if _lists_folds(path) else read(path)
    given = table["image"].str.replace("\\", "/")
    known = index["image"]
    if not given.isin(set(known)).any():
        given, known = given.map(stem), known.map(stem)
    problems = []
    twice = sorted(set(given[given.duplicated()]))
    unknown = sorted(set(given) - set(known))
    missing = sorted(set(known) - set(given))
    if twice:
        problems.append(
            f"{many(len(twice), 'image stands', 'images stand')} twice: {listed(twice)}"
        )
    if unknown:
        problems.append(
            f"{many(len(unknown), 'image is', 'images are')} not in the data: {listed(unknown)}"
        )
    if missing:
        problems.append(
            f"{many(len(missing), 'image of the data is', 'images of the data are')} left "
            f"out: {listed(missing)}"
        )
    if problems:
        raise InputError(f"{path}: " + "; ".join(problems))
    _require_agreement(path, table.assign(image=given), index.assign(image=known))
    split = index.copy()
    split["part"] = known.map(dict(zip(given, table["part"], strict=True))).to_numpy()
    check_parts(split, PARTS if (split["part"] == "validation").any() else ("train", "test"),
                cure=GIVEN)  # fmt: skip
    return split


def _lists_folds(path: Path) -> bool:
    if not path.is_file():
        return False
    with contextlib.closing(csv_lines(path, repair=_NO_SPLIT)) as lines:
        return is_fold_list(next(lines)[1])


def _one_fold(path: Path, index: pd.DataFrame, fold: int | None) -> pd.DataFrame:
    """One fold of a list as a split of the images of an index; the list may hold more of them."""
    import pandas as pd

    if fold is None:
        raise InputError(
            f"{path}: lists the folds of BreakHis, and this command takes none of them; give a CSV "
            "with the columns image and part, or use breakhis.train --split file --fold N"
        )
    given = _parts_of_fold(path, fold)
    if not given:
        raise InputError(f"{path}: has no fold {fold}")
    here = set(index["image"].map(stem))
    rows = [(image, part) for image, part in given.items() if image in here]
    return pd.DataFrame(rows, columns=["image", "part"])


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
        said = many(int(wrong.sum()), "image contradicts its name", "images contradict their names")
        raise InputError(
            f"{path}, column magnification: "
            f"{said}, for "
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
    import pandas as pd

    table = read_columns(path, repair=_NO_SPLIT)
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
    return pd.DataFrame(table, dtype=str)


def write(split: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write split.csv.

    Parameters
    ----------
    split : DataFrame
        Index with the column `part`; of its columns, `SPLIT_COLUMNS` are written. Of those, case,
        slide, folder and magnification may be missing: unknown.
    path : path

    Raises
    ------
    InputError
        `split` is none.
    """
    require_table(split, "image", "label", "part", name="split")
    unknown = dict.fromkeys(SPLIT_COLUMNS, "")
    write_csv(Path(path), split.assign(**{**unknown, **split})[list(SPLIT_COLUMNS)])
