"""Predictions of anyone, as far as their file has them; and what a column of such a file holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from common.predictions import SUM_TOLERANCE
from common.review.finding import Finding

if TYPE_CHECKING:
    import pandas as pd

_DECIMAL_COMMA = r"^\s*([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)\s*$"


@dataclass
class Predictions:
    """Predictions of a test set, as far as the file has them.

    Attributes
    ----------
    name : str
        The file.
    frame : DataFrame
        Of the rows that are judged: `image, case, slide, folder, magnification, part, label,
        predicted`, str, "" where unknown.
    classes : list of str
        In the order of `scores`.
    scores : float array (n, K), or None
        Probabilities as they stand there, NaN where there is no number.
    proper : bool
        Whether every row of `scores` is a distribution.
    positive : str or None
        Positive class of two.
    columns : dict of str to str
        What each column was taken for.
    parts : DataFrame or None
        `image, case, slide, folder, magnification, label, part` of all rows, where the file tells
        two parts or more.
    found : list of Finding
        What is wrong with the file itself.
    """

    name: str
    frame: pd.DataFrame
    classes: list[str]
    scores: np.ndarray | None
    proper: bool
    positive: str | None
    columns: dict[str, str]
    parts: pd.DataFrame | None = None
    found: list[Finding] = field(default_factory=list)

    @property
    def labels(self) -> np.ndarray:
        """True class numbers."""
        return self._numbers("label")

    @property
    def predicted(self) -> np.ndarray:
        """Predicted class numbers."""
        return self._numbers("predicted")

    def _numbers(self, column: str) -> np.ndarray:
        place = {name: i for i, name in enumerate(self.classes)}
        return self.frame[column].map(place).to_numpy(np.int64)


def threshold(scores: np.ndarray, said: Sequence[str], name: str) -> str:
    """Say which threshold gives the predictions of two classes; "" if none does.

    Parameters
    ----------
    scores : float array (n,)
        Probability of a class.
    said : sequence of str
        Predicted classes.
    name : str
        The class.
    """
    chosen = np.array(said) == name
    if not chosen.any() or chosen.all():
        return ""
    low, high = scores[~chosen].max(), scores[chosen].min()
    if low > high:
        return ""
    return f"a threshold for {name} between {low:.4g} and {high:.4g} gives them"


def class_names(column: pd.Series) -> list[str]:
    """Give names of a column of classes; 1.0 is 1, as pandas writes whole numbers beside gaps.

    Parameters
    ----------
    column : Series of str
    """
    texts = column.tolist()
    if all(re.fullmatch(r"-?\d+\.0*|", text) for text in texts):
        return [text.partition(".")[0] for text in texts]
    return texts


def floats(column: pd.Series) -> np.ndarray:
    """Give the numbers of a column, NaN where there is none; 90% is 90, and 0,9 is 0.9.

    Parameters
    ----------
    column : Series of str
    """
    import pandas as pd

    texts = column.str.removesuffix("%").str.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)
    return pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)


def has_numbers(column: pd.Series) -> bool:
    """Whether at least half of a column are numbers.

    Parameters
    ----------
    column : Series of str
    """
    return bool(np.isfinite(floats(column)).mean() >= 0.5)


def are_shares(column: pd.Series) -> bool:
    """Whether a column holds numbers that are no class numbers.

    Parameters
    ----------
    column : Series of str
    """
    values = floats(column)
    signed = column.str.endswith("%").any()
    return bool(np.isfinite(values).all() and (signed or (values % 1 != 0).any()))


def in_percent(column: pd.Series) -> bool:
    """Whether a column of probabilities of one class is in percent, by its signs or its numbers.

    Parameters
    ----------
    column : Series of str
    """
    values = floats(column)
    values = values[np.isfinite(values)]
    if not len(values) or values.min() < 0 or values.max() > 100 * (1 + SUM_TOLERANCE):
        return False
    # Numbers up to 50 may as well be scores of another kind; no image would be positive.
    return bool(values.max() > 50 or column[column != ""].str.endswith("%").all())


def by_number(name: str) -> tuple[float, str]:
    """Order of class names: numbers first, by their value.

    Parameters
    ----------
    name : str
    """
    return (float(name) if re.fullmatch(r"-?\d{1,9}", name) else np.inf, name)
