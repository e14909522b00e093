"""How a printed number and our runs compare: the interval of their difference, and the status."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from common.metrics import clopper_pearson
from common.tables.arithmetic import impossible
from common.tables.ours import Estimate
from common.tables.printed import SCALES, unknown

MARGIN = 0.03
"""Largest half-width of the interval of a difference that still counts as agreement."""

_NO_TEST_SET = {
    "epoch": "an epoch has no test set to compare on",
    "images": "a count; the shares beside it are compared",
    "FID": "FID and KID compare only over equal features and equally many images",
    "KID": "FID and KID compare only over equal features and equally many images",
    "ms": "a latency compares on the same device alone; the bundle's bench.py measures it there",
    "MB": "a memory use compares on the same device alone; the bundle's bench.py measures it there",
}


def difference_interval(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> tuple[float, float]:
    """Interval of a - b from the intervals of both, which are independent of one another.

    Parameters
    ----------
    a, b : (float, float, float)
        Value, lower and upper end of its interval.

    Returns
    -------
    low, high : float

    References
    ----------
    Zou and Donner, Construction of confidence limits about effect measures: a general approach,
    2008 (MOVER); for two proportions Newcombe, 1998.
    """
    (p, p_low, p_high), (q, q_low, q_high) = a, b
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return low, high


def status(
    row: Mapping[str, Any], possible: bool | None, k: int, n: int, ours: Estimate | None
) -> tuple[str, str]:
    """Judge a printed number against our runs.

    Parameters
    ----------
    row : mapping
        A row of published.csv.
    possible : bool or None
        From `paper_count`, as `k` and `n`.
    k, n : int
        The paper's counts where `possible` is True.
    ours : Estimate or None
        None if nothing has run.

    Returns
    -------
    status : str
        ``consistent`` (the 95 % interval of paper minus ours contains 0, half-width at most 3
        points), ``inconclusive`` (contains 0, wider; or there is no interval), ``above``,
        ``below`` (ours, of the paper's), ``not comparable``, ``not run``.
    reason : str
        Why, for the last but one and for ``inconclusive`` without interval.

    Notes
    -----
    The paper's interval is Clopper-Pearson where its counts are known. Elsewhere (macro averages)
    the paper is taken to be as uncertain as one of our runs, which has the same test size.
    """
    if ours is None:
        return "not run", ""
    reason = _incomparable(row, possible, ours)
    if reason:
        return "not comparable", reason
    paper = _paper_interval(row, possible, k, n, ours)
    if paper is None or ours.value is None or ours.low is None or ours.high is None:
        return "inconclusive", "no interval"
    low, high = difference_interval(paper, (ours.value, ours.low, ours.high))
    if low > 0:
        return "below", ""
    if high < 0:
        return "above", ""
    return ("consistent" if (high - low) / 2 <= MARGIN else "inconclusive"), ""


def _incomparable(row: Mapping[str, Any], possible: bool | None, ours: Estimate) -> str:
    """Why a printed number and ours do not measure the same; "" if they do."""
    if row["unit"] not in SCALES:
        return _NO_TEST_SET.get(row["unit"], "not a score on test images")
    if possible is False:
        return f"printed value {impossible(row)}"
    if ours.value is None:
        return f"the runs have no {row['metrics_key']}"
    if unknown(row["n_test"]):
        return "the paper's test set is not known"
    if ours.n_test != row["n_test"]:
        found = "of several sizes" if ours.n_test is None else f"of {ours.n_test} images"
        return f"another test set: ours {found}, the paper's of {int(row['n_test'])}"
    return ""


def _paper_interval(
    row: Mapping[str, Any], possible: bool | None, k: int, n: int, ours: Estimate
) -> tuple[float, float, float] | None:
    """Printed value as a fraction and its interval; None where nothing tells how wide it is."""
    if possible:
        return (k / n, *clopper_pearson(k, n))
    if ours.half_widths is None:
        return None
    value = float(row["printed"]) / SCALES[row["unit"]]
    below, above = ours.half_widths
    return value, value - below, value + above
