"""Intervals of one task's score on two test sets: ours, and the paper's other images.

The two are independent of one another; the interval of their difference is Newcombe's hybrid score
(`common.tables.judge.difference_interval` over Wilson's limits). Where ours is a mean of rounds, or
images of a patient hang together, our own interval takes the place of Wilson's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from common.metrics import LEVEL
from common.tables.arithmetic import is_share
from common.tables.ours import Estimate
from common.tables.printed import SCALES, unknown

Ends = tuple[float, float]
Counts = tuple[float, int]


def wilson(k: float, n: int, level: float = LEVEL) -> Ends:
    """Score interval of a proportion k/n, in [0, 1].

    Parameters
    ----------
    k : float
        Successes; of a rounded mean not whole.
    n : int
        Trials.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    low, high : float

    References
    ----------
    Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    p = k / n
    centre = p + z * z / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At k = 0 and k = n the end is exact; rounding must not leave [0, 1].
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def share_of_all(row: Mapping[str, Any]) -> Counts | None:
    """Printed share of all test images as right ones of one round's, of a mean, too.

    Parameters
    ----------
    row : mapping
        A row of published.csv.

    Returns
    -------
    (float, int) or None
        None of another score, where the size is not known, and of what is no share.
    """
    if row["unit"] not in SCALES or unknown(row["n_test"]) or not is_share(row):
        return None
    n, share = int(row["n_test"]), float(row["printed"]) / SCALES[row["unit"]]
    return (share * n, n) if n > 0 and 0 <= share <= 1 else None


def ends(
    printed: float, counts: Counts | None, n_test: int, ours: Estimate
) -> tuple[Ends | None, Ends | None]:
    """Intervals of a printed score and of ours, on images that they do not share.

    Parameters
    ----------
    printed : float
        A fraction.
    counts : (float, int) or None
        Behind it, where it is a share whose images are known.
    n_test : int
        The paper's test images.
    ours : Estimate

    Returns
    -------
    paper, ours : (float, float) or None
        The paper's is Wilson's where its counts are known, else as wide as that of one of our runs
        would be on as many images.
    """
    mine = ours.ends
    if ours.k is not None and ours.n and ours.by_image:
        mine = wilson(ours.k, ours.n)
    if counts is not None and counts[1]:
        return wilson(*counts), mine
    if ours.half_widths is None or not ours.n_test or n_test < 1:
        return None, mine
    wider = math.sqrt(ours.n_test / n_test)
    return (printed - wider * ours.half_widths[0], printed + wider * ours.half_widths[1]), mine
