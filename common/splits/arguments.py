"""What the functions of this room are given, checked: an InputError names the argument."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.errors import InputError, listed, many


def require_table(index: Any, *columns: str, name: str = "index") -> None:
    """Refuse what is no table with certain columns of text, unknown values empty.

    Parameters
    ----------
    index : DataFrame
    *columns : str
        Those that are looked at.
    name : str
        What it is called in the message.

    Raises
    ------
    InputError
        It is no DataFrame, or a column is missing or holds NaN.
    """
    import pandas as pd

    if not isinstance(index, pd.DataFrame):
        raise InputError(f"{name} must be a table (DataFrame), not {type(index).__name__}")
    for column in columns:
        if column not in index:
            raise InputError(f"{name}: the column {column!r} is missing")
        if index[column].isna().any():
            raise InputError(f"{name}: the column {column!r} holds NaN; unknown values are empty")


def require_images(index: Any, *columns: str, name: str = "index") -> None:
    """Refuse a table without `image`, or in which an image stands twice.

    Parameters
    ----------
    index : DataFrame
    *columns : str
        Others that are looked at.
    name : str
        What it is called in the message.

    Raises
    ------
    InputError
    """
    require_table(index, "image", *columns, name=name)
    if not all(isinstance(image, str) for image in index["image"]):
        raise InputError(f"{name}: the column 'image' must hold paths as text")
    if not index["image"].is_unique:
        twice = index.loc[index["image"].duplicated(), "image"]
        raise InputError(
            f"{name}: {many(len(twice), 'image stands', 'images stand')} twice: {listed(twice)}"
        )


def whole(value: Any, least: int, name: str) -> int:
    """Give a whole number.

    Parameters
    ----------
    value : int
        Of any integer type.
    least : int
        The smallest that is allowed.
    name : str
        What it is called in the message.

    Returns
    -------
    int

    Raises
    ------
    InputError
        It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)


def is_number(value: Any) -> bool:
    """Whether a value is a number; NaN is one, a bool is none.

    Parameters
    ----------
    value : object
    """
    number = isinstance(value, int | float | np.integer | np.floating)
    return number and not isinstance(value, bool)
