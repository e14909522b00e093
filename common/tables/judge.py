"""How a printed number and our runs compare: the interval of their difference, and the status."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from common import measurements
from common.metrics import clopper_pearson
from common.tables.arithmetic import impossible, rounds_to
from common.tables.other_images import ends, share_of_all
from common.tables.ours import Estimate
from common.tables.printed import SCALES, unknown
from common.tables.words import (
    IMPOSSIBLE,
    NO_TEST_SIZE,
    NO_VALUE,
    NOT_COMPARABLE,
    NOT_RUN,
    OTHER_DEVICE,
    OTHER_TEST_SET,
    QUOTED_TOTALS,
    UNIT,
)

MARGIN = 0.03
"""Largest half-width of the interval of a difference that still counts as agreement."""

_NO_SCORE = {
    "epoch": "an epoch is no score of test images",
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
    2008 (MOVER); for two proportions with Wilson's limits Newcombe, Interval estimation for the
    difference between independent proportions, 1998, method 10.
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
        no score on test images, for counts out of different totals, and where nothing tells how
        uncertain one of the two is.

    Notes
    -----
    The paper's interval is Clopper-Pearson where its counts are known. Elsewhere (macro averages)
    the paper is taken to be as uncertain as one of our runs. On other images both intervals are
    those of `common.tables.other_images`.
    """
    if ours is None or ours.value is None or _other_device(row, ours):
        return Difference()
    counted = row["unit"] == "images"
    printed = k / n if possible and not counted else float(row["printed"])
    if not possible:
        printed /= SCALES.get(row["unit"], 1)
    value = ours.value - printed
    because, _ = _incomparable(row, possible, n, ours)
    if because in (UNIT, QUOTED_TOTALS) or (counted and because):
        return Difference(value)
    mine: tuple[float, float] | None
    if because == OTHER_TEST_SET:
        counts = (k, n) if possible else share_of_all(row)
        paper, mine = ends(printed, counts, int(row["n_test"]), ours)
    else:
        mine = ours.ends
        paper = _ends(printed, possible, k, n, ours, counted=counted)
    if mine is None or paper is None:
        return Difference(value)
    interval = difference_interval((ours.value, *mine), (printed, *paper))
    return Difference(value, *interval)


def _ends(
    printed: float, possible: bool | None, k: int, n: int, ours: Estimate, *, counted: bool
) -> tuple[float, float] | None:
    """Interval of a printed number."""
    if possible:
        low, high = clopper_pearson(k, n)
        return (low * n, high * n) if counted else (low, high)
    if ours.half_widths is None:
        return None
    return printed - ours.half_widths[0], printed + ours.half_widths[1]


class Judgement(NamedTuple):
    """What is said of a printed number."""

    status: str
    """One of `words.JUDGEMENTS`, with m and n."""
    because: str = ""
    """One of `words.REASONS` of what is not comparable, else ""."""
    detail: str = ""
    """More of why, in words; it may be ""."""

    @property
    def reason(self) -> str:
        """Why, in one text: ``other test set: ours of 977 images, the paper's of 407``."""
        return ": ".join(filter(None, (self.because, self.detail)))


def judgement(
    row: Mapping[str, Any],
    possible: bool | None,
    k: int,
    n: int,
    ours: Estimate | None,
    rounds: int | None = None,
) -> Judgement:
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
    Judgement
        Its status, in this order: ``impossible as printed``, whatever has run; ``not run``; of a
        count of parameters, which is exact, ``consistent`` if it rounds to the printed number, else
        ``above`` or ``below``; ``not comparable``, for one reason; ``m of n rounds`` (the number is
        a mean of n, we have m different: never judged before the row is whole); then, by the 95 %
        interval of the `difference`, ``above`` or ``below`` (ours, of the paper's), ``consistent``
        (it contains 0, its half-width is at most 3 points, 3 % of the images that a count is out
        of, or 3 % of a printed latency) or ``inconclusive`` (it contains 0 and is wider, or there
        is none).
    """
    if possible is False:
        return Judgement(IMPOSSIBLE, detail=impossible(row))
    if ours is None:
        return Judgement(NOT_RUN)
    if str(row["metrics_key"]).startswith("parameters"):
        if ours.value is None:
            return Judgement(NOT_COMPARABLE, NO_VALUE, _no_value(row, ours))
        return Judgement(_of_counts(row, ours.value, int(row["decimals"])))
    because, detail = _incomparable(row, possible, n, ours)
    if because:
        return Judgement(NOT_COMPARABLE, because, detail)
    wanted, done = int(row.get("rounds") or 1), ours.n_runs if rounds is None else rounds
    if done < wanted:
        return Judgement(f"{done} of {wanted} rounds")
    _, low, high = difference(row, possible, k, n, ours)
    if low is None or high is None:
        why = f"no interval: {ours.reason}" if ours.reason else "no interval"
        return Judgement("inconclusive", detail=why)
    margin = MARGIN
    if row["unit"] == "images":
        margin *= n
    elif row["unit"] not in SCALES:
        margin *= float(row["printed"])
    return Judgement(sided(low, high, margin, ("above", "below", "consistent", "inconclusive")))


def sided(low: float, high: float, margin: float, words: tuple[str, str, str, str]) -> str:
    """Choose a word by where the interval of a difference lies.

    Parameters
    ----------
    low, high : float
        The interval.
    margin : float
        Largest half-width that still counts as agreement.
    words : tuple of str
        For one above 0, below it, narrow around it, wide around it.

    Returns
    -------
    str
    """
    if low > 0:
        return words[0]
    if high < 0:
        return words[1]
    return words[2] if (high - low) / 2 <= margin else words[3]


def status(
    row: Mapping[str, Any],
    possible: bool | None,
    k: int,
    n: int,
    ours: Estimate | None,
    rounds: int | None = None,
) -> tuple[str, str]:
    """Judge a printed number against our runs: `judgement`, in two texts.

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
        As in `judgement`.

    Returns
    -------
    status : str
    reason : str
        Why, for ``not comparable``, ``impossible as printed`` and ``inconclusive`` without an
        interval; else "".
    """
    found = judgement(row, possible, k, n, ours, rounds)
    return found.status, found.reason


def other_images(found: Judgement, row: Mapping[str, Any], apart: Difference) -> str:
    """Judge a number of the same task on other images: never a reproduction.

    Parameters
    ----------
    found : Judgement
        Of the number.
    row : mapping
        A row of published.csv.
    apart : Difference
        Of the number.

    Returns
    -------
    str
        One of `words.OTHER_IMAGES`; "" of a number that is judged, or cannot be for another reason
        than its test set.
    """
    if found.because != OTHER_TEST_SET or row["unit"] not in SCALES or apart.value is None:
        return ""
    if apart.low is None or apart.high is None:
        return "unclear"
    return sided(apart.low, apart.high, MARGIN, ("higher", "lower", "alike", "unclear"))


def _of_counts(row: Mapping[str, Any], value: float, decimals: int) -> str:
    """Status of a count, which is exact."""
    printed = float(row["printed"])
    if rounds_to(value, printed, decimals):
        return "consistent"
    return "above" if value > printed else "below"


def _no_value(row: Mapping[str, Any], ours: Estimate) -> str:
    if ours.reason:
        return f"{row['metrics_key']} is not defined: {ours.reason}"
    return f"the runs have no {row['metrics_key']}"


def _other_device(row: Mapping[str, Any], ours: Estimate) -> str:
    """Why a measurement is not of the row's device; "" if it is."""
    if not ours.device or measurements.of_device(str(row["row"]), ours.device):
        return ""
    return f"ours on {ours.device}, the paper's on {row['row']}"


def _incomparable(
    row: Mapping[str, Any], possible: bool | None, n: int, ours: Estimate
) -> tuple[str, str]:
    """Why a printed number and ours do not measure the same, one of `REASONS`; "" if they do."""
    if row["metrics_key"] == "flops":
        rule = "by which rule the paper counted is not known; ours are multiply-accumulates"
        return UNIT, rule
    if other := _other_device(row, ours):
        return OTHER_DEVICE, other
    if ours.device and row["unit"] == "ms":
        return "", ""
    if row["unit"] not in SCALES and row["unit"] != "images":
        return UNIT, _NO_SCORE.get(row["unit"], "not a score on test images")
    if ours.value is None:
        return NO_VALUE, _no_value(row, ours)
    if unknown(row["n_test"]):
        return NO_TEST_SIZE, "the paper's test set is not known"
    if ours.n_test != row["n_test"]:
        found = "of several sizes" if ours.n_test is None else f"of {ours.n_test} images"
        because = QUOTED_TOTALS if row["unit"] == "images" else OTHER_TEST_SET
        return because, f"ours {found}, the paper's of {int(row['n_test'])}"
    if row["unit"] == "images" and not possible:
        return QUOTED_TOTALS, "out of how many images of the class the count is, is not known"
    if row["unit"] == "images" and ours.out_of != n:
        found = "of several sizes" if ours.out_of is None else f"of {ours.out_of} images"
        return OTHER_TEST_SET, f"ours has a class {found}, the paper {n}"
    return "", ""
