"""What follows from the four counts of a class against the rest: every score, exactly.

The class in question is the positive one; ``_other`` names the same score of the other class.
A score of nothing (0/0) has no value of its own: 0 and 1 are both printed for it, and a mean over
the classes may count either or leave it out.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from common.forensics.rounding import ONE, ZERO, Printed


class Matrix(NamedTuple):
    """Four counts: right and wrong of the class, wrong and right of the rest."""

    tp: int
    fn: int
    fp: int
    tn: int

    @property
    def n(self) -> int:
        """How many images there are."""
        return sum(self)

    @property
    def mirrored(self) -> Matrix:
        """The same matrix with the other class as the positive one."""
        return Matrix(self.tn, self.fp, self.fn, self.tp)


SHARES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "accuracy": (("tp", "tn"), ("tp", "fn", "fp", "tn")),
    "error": (("fp", "fn"), ("tp", "fn", "fp", "tn")),
    "precision": (("tp",), ("tp", "fp")),
    "recall": (("tp",), ("tp", "fn")),
    "tnr": (("tn",), ("tn", "fp")),
    "fpr": (("fp",), ("tn", "fp")),
    "fnr": (("fn",), ("tp", "fn")),
    "npv": (("tn",), ("tn", "fn")),
    "f1": (("tp", "tp"), ("tp", "tp", "fp", "fn")),
    "f1_other": (("tn", "tn"), ("tn", "tn", "fp", "fn")),
    "jaccard": (("tp",), ("tp", "fp", "fn")),
}
"""Scores that are one sum of counts over another."""

MEANS: dict[str, tuple[str, str]] = {
    "precision_macro": ("precision", "npv"),
    "recall_macro": ("recall", "tnr"),
    "f1_macro": ("f1", "f1_other"),
    "fpr_macro": ("fpr", "fnr"),
    "tnr_macro": ("tnr", "recall"),
}
"""Means over the two classes."""

WEIGHTED: dict[str, tuple[str, str]] = {
    "precision_weighted": ("precision", "npv"),
    "f1_weighted": ("f1", "f1_other"),
}
"""Means over the two classes, each weighted by its images; of the recall it is the accuracy."""

SAME: dict[str, str] = {
    "sensitivity": "recall",
    "tpr": "recall",
    "ppv": "precision",
    "specificity": "tnr",
    "precision_other": "npv",
    "recall_other": "tnr",
    "tnr_other": "recall",
    "fpr_other": "fnr",
    "balanced_accuracy": "recall_macro",
    "specificity_macro": "tnr_macro",
    "recall_weighted": "accuracy",
    "precision_micro": "accuracy",
    "recall_micro": "accuracy",
    "f1_micro": "accuracy",
    "kappa_macro": "kappa",
    "kappa_other": "kappa",
    "mcc_macro": "mcc",
    "mcc_other": "mcc",
    "dice": "f1",
    "iou": "jaccard",
}
"""Other names, with two classes."""

COUNTS = ("tp", "fn", "fp", "tn")

SCORES = (*COUNTS, *SHARES, *MEANS, *WEIGHTED, "kappa", "mcc")
"""All names that `score` takes."""

OUTSIDE_UNIT = ("kappa", "mcc")
"""Scores that may be negative."""


def share(matrix: Matrix, name: str) -> tuple[int, int] | None:
    """Give a score that is a share, as its two counts.

    Parameters
    ----------
    matrix : Matrix
    name : str
        Of `SHARES`; any other gives None.
    """
    if name not in SHARES:
        return None
    above, below = SHARES[name]
    return sum(getattr(matrix, c) for c in above), sum(getattr(matrix, c) for c in below)


def score(matrix: Matrix, name: str) -> Fraction | None:
    """Give a score exactly; MCC, which is a root, is not among them.

    Parameters
    ----------
    matrix : Matrix
    name : str
        Of `SCORES` without ``mcc``.

    Returns
    -------
    Fraction or None
        None where it is of nothing.

    Examples
    --------
    >>> score(Matrix(737, 12, 11, 1613), "precision")
    Fraction(67, 68)
    """
    tp, fn, fp, tn = matrix
    if name in COUNTS:
        return Fraction(int(getattr(matrix, name)))
    counts = share(matrix, name)
    if counts is not None:
        return Fraction(*counts) if counts[1] else None
    if name in MEANS or name in WEIGHTED:
        one, other = (score(matrix, each) for each in (MEANS.get(name) or WEIGHTED[name]))
        if one is None or other is None:
            return None
        if name in MEANS:
            return (one + other) / 2
        return (one * (tp + fn) + other * (tn + fp)) / matrix.n
    if name == "kappa":
        n = matrix.n
        chance = (tp + fn) * (tp + fp) + (tn + fp) * (tn + fn)
        return Fraction(n * (tp + tn) - chance, n * n - chance) if n * n != chance else None
    raise KeyError(name)


def values(matrix: Matrix, name: str) -> tuple[Fraction, ...]:
    """Give all values that a score may be printed as; MCC, which is a root, is not among them.

    Parameters
    ----------
    matrix : Matrix
    name : str
        Of `SCORES` without ``mcc``.

    Returns
    -------
    tuple of Fraction
        One, or those of the conventions about 0/0.
    """
    exact = score(matrix, name)
    if exact is not None:
        return (exact,)
    if name not in MEANS and name not in WEIGHTED:
        return (ZERO, ONE)
    one, other = (values(matrix, each) for each in (MEANS.get(name) or WEIGHTED[name]))
    shares = (Fraction(1, 2), Fraction(1, 2))
    if name in WEIGHTED:
        positive = Fraction(matrix.tp + matrix.fn, matrix.n)
        shares = (positive, 1 - positive)
    means = [a * shares[0] + b * shares[1] for a in one for b in other]
    # Left out: the mean is over the other class alone.
    means += [each for pair, rest in ((one, other), (other, one)) if len(pair) > 1 for each in rest]
    return tuple(means)


def holds(matrix: Matrix, name: str, number: Printed) -> bool:
    """Whether a score of a matrix may be printed as a number.

    Parameters
    ----------
    matrix : Matrix
    name : str
        Of `SCORES`.
    number : Printed
    """
    return between(matrix, name, number.low, number.high)


def between(matrix: Matrix, name: str, low: Fraction, high: Fraction) -> bool:
    """Whether a score of a matrix lies between two values, ends included.

    Parameters
    ----------
    matrix : Matrix
    name : str
        Of `SCORES`.
    low, high : Fraction
    """
    if name != "mcc":
        return any(low <= exact <= high for exact in values(matrix, name))
    tp, fn, fp, tn = matrix
    square = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    above = tp * tn - fp * fn
    # Squares, the sign apart: the root is irrational. Of nothing, it is printed as 0.
    signed = Fraction(above * abs(above), square) if square else ZERO
    return low * abs(low) <= signed <= high * abs(high)


def mcc_shown(matrix: Matrix, number: Printed) -> str:
    """Give MCC with the decimals of a printed number.

    Parameters
    ----------
    matrix : Matrix
    number : Printed
    """
    tp, fn, fp, tn = matrix
    square = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    value = (tp * tn - fp * fn) / math.sqrt(square) if square else math.nan
    return f"{value * number.scale:.{number.decimals}f}"


def said(matrix: Matrix, name: str, number: Printed) -> str:
    """Give a score of a matrix with the decimals of a printed number, with its counts if a share.

    Parameters
    ----------
    matrix : Matrix
    name : str
        Of `SCORES`.
    number : Printed

    Examples
    --------
    >>> said(Matrix(737, 12, 11, 1613), "recall", Printed("98.41", 2, 100))
    '737/749 = 98.40'
    """
    if name == "mcc":
        return mcc_shown(matrix, number)
    exact = score(matrix, name)
    if exact is None:
        return "of nothing"
    counts = share(matrix, name)
    before = f"{counts[0]}/{counts[1]} = " if counts else ""
    return before + number.said(exact)


def floats(counts: np.ndarray, name: str) -> np.ndarray:
    """Give a score of many matrices at once, in floating point.

    Parameters
    ----------
    counts : int array (4, m)
        In the order of `Matrix`.
    name : str
        Of `SCORES`.

    Returns
    -------
    float array (m,)
        NaN where the score is of nothing.
    """
    parts = dict(zip(COUNTS, counts.astype(float), strict=True))
    tp, fn, fp, tn = parts.values()
    if name in COUNTS:
        return parts[name]
    if name in SHARES:
        above, below = (sum(parts[c] for c in side) for side in SHARES[name])
        return np.divide(above, below)
    positive, negative, n = tp + fn, tn + fp, tp + fn + tn + fp
    if name in MEANS:
        one, other = (floats(counts, each) for each in MEANS[name])
        return (one + other) / 2
    if name in WEIGHTED:
        one, other = (floats(counts, each) for each in WEIGHTED[name])
        return (one * positive + other * negative) / n
    if name == "kappa":
        chance = positive * (tp + fp) + negative * (tn + fn)
        return (n * (tp + tn) - chance) / (n * n - chance)
    return (tp * tn - fp * fn) / np.sqrt(positive * (tp + fp) * negative * (tn + fn))
