"""How a printed number and our runs compare: the interval of their difference, and the status."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from common import measurements
from common.metrics import clopper_pearson
from common.tables.arithmetic import impossible, rounds_to
from common.tables.ours import Estimate
from common.tables.printed import SCALES, unknown

MARGIN = 0.03
"""Largest half-width of the interval of a difference that still counts as agreement."""

_NO_TEST_SET = {
    "epoch": "an epoch has no test set to compare on",
    "images": "a count; the shares beside it are compared",
    "FID": "FID and KID compare only over equal features and equally many images",
    "KID": "FID and KID compare only over equal features and equally many images",
    "MB": "of what the paper measured is not said; ours is the peak of the whole process",
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


class Difference(NamedTuple):
    """Ours minus the paper's, in fractions (or the unit of what is no score), with its interval."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    """95 % interval; None where either side has none."""


def difference(
    row: Mapping[str, Any], possible: bool | None, k: int, n: int, ours: Estimate | None
) -> Difference:
    """How far our runs lie from a printed number, whether or not that says anything.

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
    Difference
        Empty where we have no such number, or of another device; without an interval for what is
        no score on test images, and where nothing tells how uncertain one of the two is.

    Notes
    -----
    The paper's interval is Clopper-Pearson where its counts are known. Elsewhere (macro averages)
    the paper is taken to be as uncertain as one of our runs.
    """
    if ours is None or ours.value is None or _other_device(row, ours):
        return Difference()
    printed = k / n if possible else float(row["printed"]) / SCALES.get(row["unit"], 1)
    value = ours.value - printed
    if not (row["unit"] in SCALES or ours.device) or ours.low is None or ours.high is None:
        return Difference(value)
    if possible:
        ends = clopper_pearson(k, n)
    elif ours.half_widths is not None:
        ends = printed - ours.half_widths[0], printed + ours.half_widths[1]
    else:
        return Difference(value)
    mine = ours.value, ours.low, ours.high
    return Difference(value, *difference_interval(mine, (printed, *ends)))


def status(
    row: Mapping[str, Any],
    possible: bool | None,
    k: int,
    n: int,
    ours: Estimate | None,
    rounds: int | None = None,
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
    rounds : int, optional
        How many rounds of the paper's protocol ours are; by default as many as runs.

    Returns
    -------
    status : str
        In this order: ``not run``, ``impossible as printed``, ``not comparable``, ``m of n
        rounds`` (the number is a mean of n, we have m different: never judged before the row is
        whole); of a count, which is exact, ``consistent`` if it rounds to the printed number, else
        ``above`` or ``below``; then, by the 95 % interval of the `difference`, ``above`` or
        ``below`` (ours, of the paper's), ``consistent`` (it contains 0, its half-width is at most
        3 points, or 3 % of a printed latency) or ``inconclusive`` (it contains 0 and is wider, or
        there is none).
    reason : str
        Why, for ``not comparable``, ``impossible as printed`` and ``inconclusive`` without an
        interval; else "".
    """
    if ours is None:
        return "not run", ""
    if possible is False:
        return "impossible as printed", impossible(row)
    if str(row["metrics_key"]).startswith("parameters"):
        return _of_counts(row, ours), ""
    reason = _incomparable(row, ours)
    if reason:
        return "not comparable", reason
    wanted, done = int(row.get("rounds") or 1), ours.n_runs if rounds is None else rounds
    if done < wanted:
        return f"{done} of {wanted} rounds", ""
    _, low, high = difference(row, possible, k, n, ours)
    if low is None or high is None:
        return "inconclusive", f"no interval: {ours.reason}" if ours.reason else "no interval"
    if low > 0:
        return "above", ""
    if high < 0:
        return "below", ""
    margin = MARGIN * (1 if row["unit"] in SCALES else float(row["printed"]))
    return ("consistent" if (high - low) / 2 <= margin else "inconclusive"), ""


def _of_counts(row: Mapping[str, Any], ours: Estimate) -> str:
    """Status of a count, which is exact."""
    printed, value = float(row["printed"]), float(ours.value or 0)
    if rounds_to(value, printed, int(row["decimals"])):
        return "consistent"
    return "above" if value > printed else "below"


def _other_device(row: Mapping[str, Any], ours: Estimate) -> str:
    """Why a measurement is not of the row's device; "" if it is."""
    if not ours.device or measurements.of_device(str(row["row"]), ours.device):
        return ""
    return f"other device: ours on {ours.device}, the paper's on {row['row']}"


def _incomparable(row: Mapping[str, Any], ours: Estimate) -> str:
    """Why a printed number and ours do not measure the same; "" if they do."""
    if row["metrics_key"] == "flops":
        return "by which rule the paper counted is not known; ours are multiply-accumulates"
    if other := _other_device(row, ours):
        return other
    if ours.device and row["unit"] == "ms":
        return ""
    if row["unit"] not in SCALES:
        return _NO_TEST_SET.get(row["unit"], "not a score on test images")
    if ours.value is None and ours.reason:
        return f"{row['metrics_key']} is not defined: {ours.reason}"
    if ours.value is None:
        return f"the runs have no {row['metrics_key']}"
    if unknown(row["n_test"]):
        return "the paper's test set is not known"
    if ours.n_test != row["n_test"]:
        found = "of several sizes" if ours.n_test is None else f"of {ours.n_test} images"
        return f"another test set: ours {found}, the paper's of {int(row['n_test'])}"
    return ""
