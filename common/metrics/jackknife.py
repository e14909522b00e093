"""Intervals over patients: leave each of them out, once.

A percentile bootstrap over few patients is too short: of 24 patients at an accuracy of 0.95, its
95 % interval held the truth in about 80 of 100 simulated studies. docs/intervals.md has the table,
which `python -m benchmarks.interval_coverage` prints.
"""

from __future__ import annotations

import numpy as np

from common.metrics.arguments import coverage, numbers, same_length
from common.metrics.intervals import LEVEL, NOISE, Draws

MOST_UNITS = 2000
"""Of more patients the bootstrap is as good, and takes less memory."""

PER_UNIT = 2.0
"""Degrees of freedom for each unit that counts. Satterthwaite's rule on squares of normal moves
gives 3, which is too many for the skewed ones of an accuracy near 1; chosen by simulation."""


def without_each(groups: np.ndarray) -> Draws:
    """Samples that lack one unit each.

    Parameters
    ----------
    groups : array (n,)
        Patient of each image, at least one image.

    Returns
    -------
    Draws
        As many samples as there are patients, in the order of their names.

    Raises
    ------
    ValueError
        If there is no image.
    """
    groups = np.asarray(groups)
    if not groups.size:
        raise ValueError("groups of no image")
    names, unit = np.unique(same_length(groups, len(groups), "groups"), return_inverse=True)
    return Draws(1.0 - np.eye(len(names)), unit)


def jackknife_interval(
    value: np.ndarray | float,
    without: np.ndarray,
    lowest: float = -np.inf,
    highest: float = np.inf,
    level: float = LEVEL,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of scores by how each unit moves them.

    The standard error is the jackknife's, about the value; the interval is Student's on the scale
    on which the score has no end: the logit between two ends, the logarithm above one. Degrees of
    freedom follow from how evenly the units move the score: `PER_UNIT` for each of the ``(sum of
    squared moves)^2 / (sum of their squares)`` units that count, at least 1, below the number of
    units that move it at all. When one patient has nearly all the errors, they are few, and the
    interval is long.

    Parameters
    ----------
    value : float array (...)
        Scores.
    without : float array (..., units)
        The same scores without one unit each.
    lowest, highest : float
        Ends of the score's range.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    low, high : float array (...)
        Inside the range. NaN where no unit moves the score, or there is one alone, or the score
        stands at an end of its range, or is not defined without one of the units.

    Raises
    ------
    ValueError
        If the shapes do not fit, or `level` is none.

    References
    ----------
    Lipsitz, Ibrahim and Parzen, A degrees-of-freedom approximation for a t-statistic with
    heterogeneous variance, 1999. Efron and Stein, The jackknife estimate of variance, 1981.
    """
    from scipy.special import expit, logit, stdtrit

    value = numbers(value, "value").astype(np.float64)
    without = numbers(without, "without").astype(np.float64)
    if without.shape[:-1] != value.shape or not without.shape[-1:] > (0,):
        raise ValueError(f"without must be {value.shape} and a unit each, not {without.shape}")
    upper = (1 + coverage(level)) / 2
    moves = without - value[..., None]
    moves[np.abs(moves) <= NOISE] = 0
    squares, units = moves**2, moves.shape[-1]
    total = squares.sum(axis=-1)
    with np.errstate(invalid="ignore", over="ignore"):
        even = total**2 / (squares**2).sum(axis=-1)
        moving = np.count_nonzero(moves, axis=-1)
        freedom = np.minimum(PER_UNIT * even, np.maximum(moving - 1, 1))
        half = stdtrit(freedom, upper) * np.sqrt((units - 1) / units * total)
        half = np.where(units > 1, half, np.nan)
        if np.isfinite(highest):
            width = highest - lowest
            share = (value - lowest) / width
            slope = np.where((share > 0) & (share < 1), share * (1 - share), np.nan)
            middle, step = logit(share), half / (width * slope)
            return lowest + width * expit(middle - step), lowest + width * expit(middle + step)
        if np.isfinite(lowest):
            above = np.where(value > lowest, value - lowest, np.nan)
            return lowest + above * np.exp(-half / above), lowest + above * np.exp(half / above)
        return value - half, value + half
