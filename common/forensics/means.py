"""What means tell: over rounds, folds or classes, and beside a standard deviation.

Each function gives what is possible for certain; what lies outside is impossible. Means of counts
are whole sums over a known number; means of scores keep within what their convexity allows. Rounds
are taken as exact, not as rounded before the mean; `rounded_shares_fit` tells where that matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

from common.forensics.rounding import ONE, ZERO, Printed

Real = TypeVar("Real", Fraction, float)

MOST_STEPS = 200_000
"""Steps that one search makes before it gives up undecided."""

MOST_BITS = 2 * 10**9
"""Sums of rounded shares that one search marks."""


def harmonic(p: Real, r: Real) -> Real:
    """Harmonic mean of a precision and a recall: their F1.

    Parameters
    ----------
    p, r : Fraction or float
        In [0, 1].

    Examples
    --------
    >>> harmonic(Fraction(1, 2), Fraction(1))
    Fraction(2, 3)
    """
    return 2 * p * r / (p + r) if p + r else p * 0


def f1_range(precision: Real, recall: Real, *, rounds: int) -> tuple[Real, Real]:
    """Least and largest mean F1 of rounds, or classes, with these mean precision and recall.

    The harmonic mean is concave: the mean of several is at most that of the means. It is least
    where all that is missing from 1 is missing in one round, and of the two in different ones: it
    grows faster in one where the other is large.

    Parameters
    ----------
    precision, recall : Fraction or float
        Means over the rounds, in [0, 1].
    rounds : int
        1: both ends are the harmonic mean.

    Returns
    -------
    low, high : Fraction or float
        In [0, 1].
    """
    high = harmonic(precision, recall)
    if rounds == 1:
        return high, high
    nothing = precision * 0
    p, r = (1 - rounds * (1 - each) for each in (precision, recall))
    if min(p, r) < 0:
        return nothing, high
    least = harmonic(p, nothing + 1) + harmonic(nothing + 1, r) + rounds - 2
    return least / rounds, high


def f1_ends(
    precision: tuple[Real, Real], recall: tuple[Real, Real], parts: int | None
) -> tuple[Real, Real]:
    """Least and largest mean F1 where mean precision and recall are known to lie in intervals.

    Parts in which nothing was predicted have a recall of 0 and no precision, and may be left out of
    its mean and of that of the F1: then the recall of the rest is larger.

    Parameters
    ----------
    precision, recall : (Fraction, Fraction) or (float, float)
        In [0, 1].
    parts : int or None
        Over how many rounds and classes they are means, all alike; None: not known, or weighted.

    Returns
    -------
    low, high : Fraction or float
    """
    (p_low, p_high), (r_low, r_high) = precision, recall
    nothing = p_low * 0
    if parts is None:
        # F1 is at least p + r - 1, and so is its mean, whatever the weights.
        least = max(nothing, p_low + r_low - 1)
        return least, harmonic(p_high, nothing + 1 if r_low < 1 else r_high)
    low = f1_range(p_low, r_low, rounds=parts)[0]
    left_out = min(math.floor(parts * (1 - r_low)), parts - 1)
    rest = parts - left_out
    return low, harmonic(p_high, min(nothing + 1, r_high * parts / rest))


def within(number: Printed) -> tuple[Fraction, Fraction]:
    """Ends of what a printed share may stand for, in [0, 1].

    Parameters
    ----------
    number : Printed
    """
    return max(number.low, ZERO), min(number.high, ONE)


def fold_sizes(n: int, folds: int) -> list[int]:
    """Sizes of folds that share out n images as evenly as can be.

    Parameters
    ----------
    n, folds : int

    Examples
    --------
    >>> fold_sizes(11, 3)
    [4, 4, 3]
    """
    return [n // folds + (i < n % folds) for i in range(folds)]


def mean_share_fits(number: Printed, sizes: Sequence[int]) -> bool:
    """Whether a printed number is a mean of shares k/n, one of each size.

    Parameters
    ----------
    number : Printed
    sizes : sequence of int
        Images of each round; of at most two different sizes.

    Examples
    --------
    >>> from common.forensics.rounding import printed
    >>> mean_share_fits(printed("95.10"), [200] * 5), mean_share_fits(printed("95.13"), [200] * 5)
    (True, False)
    """
    rounds, large, small = len(sizes), max(sizes), min(sizes)
    times = sum(size == large for size in sizes)
    if large == small:
        return len(number.counts(large * rounds)) > 0
    other = small * (rounds - times)
    for k in range(large * times + 1):
        share = Fraction(k, large)
        first = max(0, math.ceil((number.low * rounds - share) * small))
        last = min(other, math.floor((number.high * rounds - share) * small))
        if first <= last:
            return True
    return False


def rounded_shares_fit(number: Printed, sizes: Sequence[int]) -> bool | None:
    """Whether a printed number is a mean of shares that were rounded to its decimals before.

    Parameters
    ----------
    number : Printed
    sizes : sequence of int
        Images of each round.

    Returns
    -------
    bool or None
        None: there are too many sums to try.

    Examples
    --------
    90.71, 90.71 and 91.51, of 566, 566 and 571 of 624 images, have the mean 90.98.

    >>> from common.forensics.rounding import printed
    >>> exact, sizes = printed("90.98"), [624] * 3
    >>> rounded_shares_fit(exact, sizes), mean_share_fits(exact, sizes)
    (True, False)
    """
    one = number.unit.denominator  # 1 in units of the last digit
    if len(sizes) * one * sum(sizes) > MOST_BITS:
        return None
    sums = 1  # bit i: some shares of the rounds so far add up to i units
    for n in sizes:
        ups = {(2 * k * one + n) // (2 * n) for k in range(n + 1)}
        evens = {-((n - 2 * k * one) // (2 * n)) for k in range(n + 1)}  # halves down
        following = 0
        for value in ups | evens:
            following |= sums << value
        sums = following
    rounds = len(sizes)
    first = max(0, math.ceil(number.low * one * rounds))
    last = math.floor(number.high * one * rounds)
    return any(sums >> total & 1 for total in range(first, last + 1))


def error_range(
    recall: Printed, specificity: Printed, positive: tuple[Fraction, Fraction]
) -> tuple[Fraction, Fraction]:
    """Least and largest mean error of rounds, given the shares of positive images there may be.

    The error of a round is its missed share of positive images times their share, and that of the
    negative ones times theirs.

    Parameters
    ----------
    recall, specificity : Printed
        Means over the rounds.
    positive : (Fraction, Fraction)
        Least and largest share of positive images in a round.

    Returns
    -------
    low, high : Fraction
    """
    (r_low, r_high), (s_low, s_high) = within(recall), within(specificity)
    least, most = positive
    if least == most:
        return (
            least * (1 - r_high) + (1 - least) * (1 - s_high),
            least * (1 - r_low) + (1 - least) * (1 - s_low),
        )
    return (
        least * (1 - r_high) + (1 - most) * (1 - s_high),
        most * (1 - r_low) + (1 - least) * (1 - s_low),
    )


def precision_at_most(
    specificity: Printed, recall: Printed, positive: tuple[Fraction, Fraction], rounds: int
) -> Fraction:
    """Largest mean precision of rounds whose mean specificity is printed.

    The false share of what is called positive grows ever more slowly with the false positives, so
    the mean is least where they all lie in as few rounds as can be, each with all its positive
    images found.

    Parameters
    ----------
    specificity, recall : Printed
        Means over the rounds.
    positive : (Fraction, Fraction)
        Least and largest share of positive images in a round.
    rounds : int

    Returns
    -------
    Fraction
    """
    missed = max(ZERO, 1 - specificity.high)
    share = positive[1]
    found = min(recall.high, ONE) if rounds == 1 else ONE

    def false_share(part: Fraction) -> Fraction:
        wrong = (1 - share) * part
        below = share * found + wrong
        return wrong / below if below else ZERO

    whole, rest = divmod(missed * rounds, 1)
    return 1 - (whole * false_share(ONE) + false_share(rest)) / rounds


def macro_errors(
    missing: tuple[Fraction, Fraction], sizes: Sequence[tuple[int, int]]
) -> tuple[Fraction, Fraction]:
    """Least and largest number of errors, given how much the classes' recalls lack in all.

    Parameters
    ----------
    missing : (Fraction, Fraction)
        Least and largest sum over the classes of 1 - recall.
    sizes : sequence of (int, int)
        Least and largest number of images of each class.

    Returns
    -------
    low, high : Fraction
        What is missing put into the smallest classes, and into the largest.
    """

    def filled(amount: Fraction, images: list[int]) -> Fraction:
        total = ZERO
        for size in images:
            part = min(max(amount, ZERO), ONE)
            total += part * size
            amount -= part
        return total

    return (
        filled(missing[0], sorted(low for low, _ in sizes)),
        filled(missing[1], sorted((high for _, high in sizes), reverse=True)),
    )


# --- mean and standard deviation of whole numbers ------------------------------------------------


def grimmer(
    mean: Printed, sd: Printed, n: int, *, step: Fraction = ONE, most: int | None = None
) -> bool | None:
    """Whether a mean and a standard deviation can be those of n whole counts.

    Both deviations count, over n and over n - 1.

    Parameters
    ----------
    mean, sd : Printed
    n : int
        How many counts there are, at least 2.
    step : Fraction
        What one more is worth in the unit of the two: 1 for counts, 1/size for shares of a size.
    most : int, optional
        Largest count there may be. Default: any.

    Returns
    -------
    bool or None
        None where the search was given up.

    Examples
    --------
    >>> from common.forensics.rounding import printed
    >>> one = lambda text: printed(text, "images")
    >>> grimmer(one("3.44"), one("2.47"), 18)
    False
    >>> grimmer(one("2.50"), one("1.29"), 4)
    True

    References
    ----------
    Anaya, The GRIMMER test, 2016; Brown and Heathers, The GRIM test, 2017.
    """
    decided = True
    first = max(0, math.ceil(mean.low / step * n))
    last = math.floor(mean.high / step * n)
    if most is not None:
        last = min(last, most * n)
    low, high = max(sd.low, ZERO) / step, sd.high / step
    for total in range(first, last + 1):
        base, rest = divmod(total, n)
        # Squares are counted from `base`, where the counts add up to `rest`.
        centre = Fraction(rest * rest, n)
        found = set()
        for over in (n, n - 1):
            start = math.ceil(low * low * over + centre)
            found |= set(range(start, math.floor(high * high * over + centre) + 1))
            if len(found) > 5000:
                return None
        for squares in sorted(found):
            if squares % 2 != rest % 2:
                continue
            fits = _reachable(n, rest, squares, -base, None if most is None else most - base)
            if fits:
                return True
            decided = decided and fits is not None
    return False if decided else None


def _reachable(n: int, total: int, squares: int, least: int, most: int | None) -> bool | None:
    """Whether n whole numbers in a range have this sum and sum of squares; None if given up."""
    steps = 0
    waiting = [(n, total, squares, math.isqrt(squares) if squares >= 0 else -1)]
    seen = set()
    while waiting:
        left, total, squares, size = waiting.pop()
        steps += 1
        if steps > MOST_STEPS:
            return None
        if squares < 0 or squares * left < total * total or (total - squares) % 2:
            continue
        if left == 0:
            if total == 0 and squares == 0:
                return True
            continue
        size = min(size, math.isqrt(squares))
        # The largest of those left in size comes first.
        if size * size * left < squares or (left, total, squares, size) in seen:
            continue
        seen.add((left, total, squares, size))
        for each in range(size + 1):
            for value in {each, -each}:
                if value >= least and (most is None or value <= most):
                    waiting.append((left - 1, total - value, squares - value * value, each))
    return False
