"""What predictions.csv looks like, and what it says of an image: the one place that knows.

One row per image, `COLUMNS` first, then one column ``p_<class>`` per class, in the order of the
classes. All that is unknown is empty. Everything else about a run's quality is computed from this
file; no other module spells its columns or picks a predicted class in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import RESTORE, InputError
from common.files import csv_lines, expanded, write_csv

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS", "PREFIX", "SUM_TOLERANCE", "classes_of", "column", "correct", "labels", "of_part",
    "predicted", "predicted_classes", "probabilities", "read", "require_same_images", "table",
    "write",
]  # fmt: skip

COLUMNS = ("image", "case", "slide", "magnification", "part", "label")
"""What stands before the probabilities."""

PREFIX = "p_"
"""Begins the name of a column of probabilities; the class's name follows."""

MAX_CLASSES = 100  # each class against the rest has scores and intervals of its own

SUM_TOLERANCE = 1e-3
"""How far the probabilities of an image may add up to something else than 1."""


# --- columns -----------------------------------------------------------------------------------


def column(name: str) -> str:
    """Name of the column with a class's probability.

    Parameters
    ----------
    name : str
        A class.

    Returns
    -------
    str
        ``p_<class>``.
    """
    return f"{PREFIX}{name}"


def classes_of(frame: pd.DataFrame) -> list[str]:
    """Classes that a table has probabilities of, in the order of its columns.

    Parameters
    ----------
    frame : DataFrame
        As in predictions.csv.

    Returns
    -------
    list of str
        Class names; empty if there is no column of probabilities.
    """
    return _classes(frame.columns)


def _classes(names: Iterable[str]) -> list[str]:
    return [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]


def table(
    rows: pd.DataFrame, values: np.ndarray, classes: Sequence[str], group: str = "case"
) -> pd.DataFrame:
    """Put probabilities beside the rows of their images.

    Parameters
    ----------
    rows : DataFrame
        Rows of a split, one per image. Of `COLUMNS`, case, slide and magnification may be missing:
        unknown. Others are left out.
    values : float array (n, K)
        Probabilities, one row per row of `rows`.
    classes : sequence of str
        K class names, in the order of `values`.
    group : str
        Column of `rows` with the patients; it becomes `case`.

    Returns
    -------
    DataFrame
        What predictions.csv holds. Probabilities are rounded to the file's 9 significant digits,
        so that metrics are the same before writing and after reading.
    """
    if group != "case" and group not in rows:
        raise InputError(f"unknown group {group!r}: it is no column of the rows")
    unknown = {"case": "", "slide": "", "magnification": ""}
    given = {**unknown, **rows, "case": rows[group].astype(str) if group in rows else ""}
    frame = rows.assign(**given).loc[:, list(COLUMNS)].reset_index(drop=True)
    for i, name in enumerate(classes):
        frame[column(name)] = [float(f"{value:.9g}") for value in values[:, i]]
    return frame


# --- what it says ------------------------------------------------------------------------------


def of_part(frame: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """Rows of one part of the split.

    Parameters
    ----------
    frame : DataFrame
        As in predictions.csv.
    part : {"test", "validation", "train"}
        Which.

    Returns
    -------
    DataFrame
        The same columns, rows numbered from 0; without any row if the part is not in the file.
    """
    return frame[frame["part"] == part].reset_index(drop=True)


def probabilities(frame: pd.DataFrame, classes: Sequence[str] | None = None) -> np.ndarray:
    """Probabilities as an array.

    Parameters
    ----------
    frame : DataFrame
        As in predictions.csv.
    classes : sequence of str, optional
        Which classes, in this order; unset, those of the columns.

    Returns
    -------
    float64 array (n, K)
        One row per image, one column per class.
    """
    names = classes_of(frame) if classes is None else classes
    return frame[[column(name) for name in names]].to_numpy(dtype=np.float64)


def labels(frame: pd.DataFrame, classes: Sequence[str] | None = None) -> np.ndarray:
    """True class numbers.

    Parameters
    ----------
    frame : DataFrame
        As in predictions.csv.
    classes : sequence of str, optional
        Class names in order; unset, those of the columns.

    Returns
    -------
    int64 array (n,)
        Place of each image's label in `classes`.

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    names = list(classes_of(frame) if classes is None else classes)
    numbers = frame["label"].map({name: i for i, name in enumerate(names)})
    if numbers.isna().any():
        raise ValueError(f"label {frame['label'][numbers.isna()].iloc[0]!r} is none of {names}")
    return numbers.to_numpy(dtype=np.int64)


def predicted_classes(values: np.ndarray) -> np.ndarray:
    """Class number of the largest probability, the first among equal ones.

    Parameters
    ----------
    values : float array (n, K)
        Probabilities, or logits: anything in which the largest wins.

    Returns
    -------
    int64 array (n,)
        Numbers in [0, K).

    Raises
    ------
    ValueError
        If `values` are not (n, K) with at least one column, or NaN is among them.
    """
    try:
        table = np.asarray(values)
    except ValueError:  # ragged
        table = np.empty(0)
    if table.ndim != 2 or not table.shape[1] or table.dtype.kind not in "biuf":
        raise ValueError(f"values must be numbers (n, K), not {table.dtype} {table.shape}")
    if np.isnan(table).any():
        raise ValueError("values: NaN is no probability, so no class is the largest")
    return table.argmax(axis=1)


def predicted(frame: pd.DataFrame) -> np.ndarray:
    """Name of the predicted class of every image, by `predicted_classes`.

    Parameters
    ----------
    frame : DataFrame
        As in predictions.csv.

    Returns
    -------
    str array (n,)
        Class names.
    """
    return np.array(classes_of(frame))[predicted_classes(probabilities(frame))]


def correct(frame: pd.DataFrame) -> np.ndarray:
    """Which images have their label predicted.

    Parameters
    ----------
    frame : DataFrame
        As in predictions.csv.

    Returns
    -------
    bool array (n,)
        True where `predicted` is the label.
    """
    return predicted(frame) == frame["label"].to_numpy()


# --- the file ----------------------------------------------------------------------------------


def write(path: str | Path, frame: pd.DataFrame) -> None:
    """Write predictions.csv: 9 significant digits, unknown values empty.

    Parameters
    ----------
    path : path
        The file; it is whole or not there.
    frame : DataFrame
        `COLUMNS` and the probabilities; other columns are left out.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    classes = classes_of(frame)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing or not classes:
        raise ValueError(f"predictions lack the columns {missing or column('<class>')}")
    write_csv(path, frame.loc[:, [*COLUMNS, *map(column, classes)]])


def read(path: str | Path, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Read and check predictions.csv.

    Parameters
    ----------
    path : path
        The file.
    classes : sequence of str, optional
        The classes its columns of probabilities must have, in this order; unset, they are taken as
        they are.

    Returns
    -------
    DataFrame
        ``image, case, slide, magnification, part, label`` as str and ``p_<class>`` as float64.

    Raises
    ------
    InputError
        With the file and the line or column, if the file is missing, cut short or edited: a missing
        column, a line with too few or too many values, a probability that is none, probabilities
        that do not add up to 1, an unknown label or part, an image that stands there twice.
    """
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; the run did not finish, start it again")
    lines = csv_lines(path, whole=True)
    _, header = next(lines)
    names = _check_header(path, header, classes)

    first_line: dict[str, int] = {}
    records = []
    for line, values in lines:
        place = f"{path}, line {line}"
        record = _record(dict(zip(header, values, strict=True)), names, place)
        image = record["image"]
        if image in first_line:
            raise InputError(f"{place}: {image} stands in line {first_line[image]} already")
        first_line[image] = line
        records.append(record)
    if not records:
        raise InputError(f"{path}: no predictions in it; {RESTORE}")
    import pandas as pd

    return pd.DataFrame(records, columns=[*COLUMNS, *map(column, names)])


def require_same_images(frame: pd.DataFrame, split: pd.DataFrame, path: str | Path) -> None:
    """Refuse predictions that are not those of the test part of a split.

    Parameters
    ----------
    frame : DataFrame
        From `read`.
    split : DataFrame
        Its `image`, `part` and `label` are looked at, and `magnification` where it has it.
    path : path
        The file of the predictions, for the message.

    Raises
    ------
    InputError
        If test images are missing, were added, or carry another label or magnification than in the
        split.
    """
    wanted, said = of_part(split).set_index("image"), of_part(frame).set_index("image")
    twice = wanted.index[wanted.index.duplicated()]
    if len(twice):
        raise InputError(
            f"{path}: its split.csv names {twice[0]} twice in the test part; {RESTORE}"
        )
    expected, found = wanted["label"], said["label"]
    for images, what in (
        (expected.index.difference(found.index), "missing, though split.csv tests on them"),
        (found.index.difference(expected.index), "not in the test part of split.csv"),
    ):
        if len(images):
            raise InputError(
                f"{path}: {len(images)} test images are {what}, for example {images[0]}; {RESTORE}"
            )
    other = found.index[found.to_numpy() != expected.reindex(found.index).to_numpy()]
    if len(other):
        raise InputError(f"{path}: {other[0]} has another label than in split.csv; {RESTORE}")
    if "magnification" in wanted:
        there = wanted["magnification"].reindex(said.index)
        other = said.index[said["magnification"].to_numpy() != there.to_numpy()]
        if len(other):
            raise InputError(
                f"{path}: {other[0]} has another magnification than in split.csv; {RESTORE}"
            )


def _check_header(path: Path, header: list[str], classes: Sequence[str] | None) -> list[str]:
    """Classes that the first line of the file names; refuses a line that is not as it must be."""
    names = _classes(header)
    wanted = [*COLUMNS, *map(column, names if classes is None else classes)]
    missing = [name for name in wanted if name not in header]
    if missing or not names:
        raise InputError(f"{path}: no column {', '.join(missing) or column('<class>')}; {RESTORE}")
    if len(names) > MAX_CLASSES:
        raise InputError(f"{path}: {len(names)} classes, and at most {MAX_CLASSES} are judged")
    if classes is not None and names != list(classes):
        raise InputError(
            f"{path}: classes {', '.join(names)}, but the run has {', '.join(classes)}; {RESTORE}"
        )
    return names


def _record(record: dict[str, Any], names: list[str], place: str) -> dict[str, Any]:
    """One line, its probabilities as numbers; refuses what cannot be."""
    # pandas comes with splits and is not needed before there is a file to read.
    from common.splits import PARTS

    if record["part"] not in PARTS:
        raise InputError(f"{place}, column part: {record['part']!r} is none of {PARTS}")
    if record["label"] not in names:
        raise InputError(
            f"{place}, column label: {record['label']!r} is none of {', '.join(names)}"
        )
    for each in map(column, names):
        record[each] = _probability(record[each], f"{place}, column {each}")
    total = sum(record[each] for each in map(column, names))
    if abs(total - 1) > SUM_TOLERANCE:
        raise InputError(f"{place}: the probabilities add up to {total:.6g}, not 1; {RESTORE}")
    return record


def _probability(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1 + SUM_TOLERANCE:
        raise InputError(f"{place}: {text!r} is no probability")
    return value
