"""What the functions of this room are given, checked: a ValueError names the argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.predictions import SUM_TOLERANCE


def numbers(values: Any, name: str) -> np.ndarray:
    """Give an array of real numbers.

    Parameters
    ----------
    values : array-like
        Of any shape.
    name : str
        What it is called in the message.

    Returns
    -------
    ndarray
        Of integers, bools or floats; float64 if it was of objects.

    Raises
    ------
    ValueError
        It is something else, text for instance, or ragged.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: an array of numbers is wanted") from None
    if array.dtype.kind not in "iubf":
        raise ValueError(f"{name}: numbers are wanted, not {array.dtype}")
    return array


def class_numbers(values: Any, n_classes: int, name: str = "labels") -> np.ndarray:
    """Give class numbers as int64.

    Parameters
    ----------
    values : array-like (n,)
        Whole numbers in [0, n_classes), of any type.
    n_classes : int
        Number of classes.
    name : str
        What it is called in the message.

    Returns
    -------
    int64 array (n,)

    Raises
    ------
    ValueError
        It is something else.
    """
    array = numbers(values, name)
    if array.ndim != 1:
        raise ValueError(f"{name} must be (n,), not {array.shape}")
    if array.dtype.kind == "f":
        wrong = ~(array == np.floor(array))
        if wrong.any():
            raise ValueError(f"{name}: {array[wrong][0]} is no class number")
    if array.size and not 0 <= array.min() <= array.max() < n_classes:
        raise ValueError(f"{name} outside [0, {n_classes})")
    return array.astype(np.int64, copy=False)


def softmax(values: Any, name: str = "probabilities") -> np.ndarray:
    """Give probabilities as float64.

    Parameters
    ----------
    values : array-like (n, K)
        In [0, 1]; each row adds up to 1 within `common.predictions.SUM_TOLERANCE`.
    name : str
        What it is called in the message.

    Returns
    -------
    float64 array (n, K)

    Raises
    ------
    ValueError
        It is something else.
    """
    array = numbers(values, name).astype(np.float64, copy=False)
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(f"{name} must be (n, K), not {array.shape}")
    if array.size:
        # Comparisons with NaN are false. What is not negative and adds up to 1 is not above 1.
        if not array.min() >= -SUM_TOLERANCE:
            raise ValueError(f"{name}: from {array.min()} to {array.max()}, not in [0, 1]")
        off = array @ np.ones(array.shape[1])  # many times as fast as a sum over a short axis
        off -= 1
        # 0.999 is 1 less a thousandth, and a rounding more.
        if not (off.max() <= SUM_TOLERANCE * 1.001 and off.min() >= -SUM_TOLERANCE * 1.001):
            total = 1 + off[np.abs(off).argmax()]
            raise ValueError(f"{name}: a row adds up to {total:.6g}, not 1: give a softmax")
    return array


def judged(labels: Any, probabilities: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give labels and probabilities of the same images.

    Parameters
    ----------
    labels : array-like (n,)
        As for `class_numbers`.
    probabilities : array-like (n, K)
        As for `softmax`.

    Returns
    -------
    labels : int64 array (n,)
    probabilities : float64 array (n, K)

    Raises
    ------
    ValueError
        They are something else, or there is no image.
    """
    table = softmax(probabilities)
    numbers_ = class_numbers(labels, table.shape[1])
    if len(numbers_) != len(table):
        raise ValueError(f"probabilities of {len(table)} images, labels of {len(numbers_)}")
    if not len(table):
        raise ValueError("labels and probabilities of no image")
    return numbers_, table


def truths(values: Any, name: str) -> np.ndarray:
    """Give yes or no of every image.

    Parameters
    ----------
    values : array-like (n,)
        bool, or 0 and 1.
    name : str
        What it is called in the message.

    Returns
    -------
    bool array (n,)

    Raises
    ------
    ValueError
        It is something else.
    """
    array = numbers(values, name)
    if array.ndim != 1:
        raise ValueError(f"{name} must be (n,), not {array.shape}")
    if array.dtype.kind != "b" and not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{name}: true or false is wanted, or 1 and 0")
    return array.astype(bool, copy=False)


def same_length(values: Any, n: int, name: str) -> np.ndarray:
    """Give one value per image.

    Parameters
    ----------
    values : array-like (n,)
        Of any type.
    n : int
        Number of images.
    name : str
        What it is called in the message.

    Returns
    -------
    ndarray (n,)

    Raises
    ------
    ValueError
        It has another shape.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        array = np.empty(())
    if array.shape != (n,):
        raise ValueError(f"{name} must be one per image, ({n},), not {array.shape}")
    return array


def matrices(values: Any, name: str = "matrix") -> np.ndarray:
    """Give confusion matrices.

    Parameters
    ----------
    values : array-like (..., K, K)
        Counts, or weighted counts: finite and not negative.
    name : str
        What it is called in the message.

    Returns
    -------
    ndarray (..., K, K)

    Raises
    ------
    ValueError
        It is something else.
    """
    array = numbers(values, name)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or not array.shape[-1]:
        raise ValueError(f"{name} must be (..., K, K), not {array.shape}")
    # Of NaN both comparisons are false.
    if array.size and not (array.min() >= 0 and array.max() < np.inf):
        raise ValueError(f"{name}: counts must be finite and not negative")
    return array


def whole(value: Any, least: int, name: str) -> int:
    """Give a whole number.

    Parameters
    ----------
    value : int
        Of any integer type; 5.0 is one, too.
    least : int
        The smallest that is allowed.
    name : str
        What it is called in the message.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        It is something else.
    """
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool) or not value >= least or value != value // 1:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)


def coverage(level: Any) -> float:
    """Give the level of an interval.

    Parameters
    ----------
    level : float
        In (0, 1).

    Returns
    -------
    float

    Raises
    ------
    ValueError
        It is something else.
    """
    if not isinstance(level, int | float | np.floating) or not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level!r}")
    return float(level)


def class_names(classes: Any) -> list[str]:
    """Give the names of the classes.

    Parameters
    ----------
    classes : sequence of str
        Each once.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        It is something else.
    """
    listed = list(classes) if _iterates(classes) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"classes must be a sequence of names, not {classes!r}")
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise ValueError(f"classes: {', '.join(twice)} stands there twice")
    return listed


def columns(frame: Any, wanted: Sequence[str], name: str) -> None:
    """Refuse what is no table with certain columns.

    Parameters
    ----------
    frame : DataFrame
    wanted : sequence of str
        Columns.
    name : str
        What it is called in the message.

    Raises
    ------
    ValueError
        It is something else, or a column is missing or holds NaN.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"{name}: a table is wanted (DataFrame), not {type(frame).__name__}")
    missing = [column for column in wanted if column not in frame]
    if missing:
        raise ValueError(f"{name}: the column {', '.join(missing)} is missing")
    for column in wanted:
        if frame[column].isna().any():
            raise ValueError(f"{name}: the column {column} holds NaN; unknown values are empty")


def _iterates(value: Any) -> bool:
    try:
        iter(value)
    except TypeError:
        return False
    return True
