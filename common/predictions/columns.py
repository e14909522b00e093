"""Columns of predictions.csv, and what they say of an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

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
    return class_names(frame.columns)


def class_names(columns: Iterable[str]) -> list[str]:
    """Classes that columns hold probabilities of, in their order.

    Parameters
    ----------
    columns : iterable of str
        Names.
    """
    return [name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX)]


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
    # As objects: pandas compares its strings ten times as slowly.
    return frame[frame["part"].to_numpy(object) == part].reset_index(drop=True)


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
