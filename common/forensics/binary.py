"""All matrices of two classes that printed scores allow, found by exact whole-number search.

For a number of positive images and of true positives, every score that is a share leaves an
interval of false positives; what is left is tried out, in floating point first and exactly where
that is near an end. A search that would be too large says so and decides nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from common.forensics.rounding import ZERO
from common.forensics.scores import COUNTS, OUTSIDE_UNIT, SAME, WEIGHTED, Matrix, between, floats

Limits = Mapping[str, tuple[Fraction, Fraction]]
"""Least and largest value of each score, ends included."""

MOST = 3_000_000
"""Pairs of numbers, and matrices, that one search looks at."""

SHOWN = 6
"""Matrices that a result holds; of more it says how many."""

NEAR = 1e-9
"""Floating point decides farther from an end than this; nearer, fractions do."""

_BLOCK = 250_000
_LARGEST = 2**62

TRIED = ("precision_macro", "f1_macro", *WEIGHTED, "kappa", "mcc")
"""Scores for which no interval of false positives can be given."""

_COMPLEMENTS = {"fpr": "tnr", "fnr": "recall", "error": "accuracy", "fpr_macro": "recall_macro"}
_MIRROR = {
    "precision": "npv", "recall": "tnr", "f1": "f1_other", "tp": "tn", "fp": "fn",
}  # fmt: skip
_MIRROR |= {other: name for name, other in _MIRROR.items()}


@dataclass(frozen=True)
class Fits:
    """What a search found.

    Attributes
    ----------
    number : int
        How many matrices fit.
    complete : bool
        Whether all were looked at; if not, `number` counts nothing.
    some : list of Matrix
        The first ones, up to `SHOWN`.
    """

    number: int
    complete: bool = True
    some: list[Matrix] = field(default_factory=list)

    @property
    def possible(self) -> bool | None:
        """Whether any fits; None where the search was not complete."""
        return self.number > 0 if self.complete else None


class TooManyError(Exception):
    """A search would be too large."""


def matrices(
    limits: Limits, n: Iterable[int], positives: range | None = None, *, most: int = MOST
) -> Fits:
    """Find the matrices of two classes, both of which occur, that keep within limits.

    Parameters
    ----------
    limits : mapping of str to (Fraction, Fraction)
        By names of `scores.SCORES` and `scores.SAME`.
    n : iterable of int
        Numbers of images to try.
    positives : range, optional
        Numbers of images of the positive class to try. Default: any.
    most : int
        Size of the largest search.

    Returns
    -------
    Fits

    Examples
    --------
    >>> from common.forensics.rounding import printed
    >>> triple = {"accuracy": "99.03", "precision": "98.53", "recall": "98.40", "f1": "98.46"}
    >>> limits = {k: (printed(v).low, printed(v).high) for k, v in triple.items()}
    >>> found = matrices(limits, [2373])
    >>> found.number
    2
    >>> for matrix in found.some:
    ...     print(*matrix)
    736 12 11 1614
    737 12 11 1613
    """
    number = 0
    some: list[Matrix] = []
    try:
        for count, block in _blocks(limits, n, positives, most, whole=False):
            number += count
            if len(some) < SHOWN:
                some += [Matrix(*map(int, column)) for column in block.T[: SHOWN - len(some)]]
    except TooManyError:
        return Fits(0, complete=False)
    return Fits(number, some=some)


def blocks(
    limits: Limits, n: Iterable[int], positives: range | None = None, *, most: int = MOST
) -> Iterator[np.ndarray]:
    """Give the matrices that keep within limits, many at a time.

    Parameters
    ----------
    limits, n, positives, most
        As `matrices` takes them.

    Yields
    ------
    int64 array (4, m)
        In the order of `Matrix`.

    Raises
    ------
    TooManyError
        Where the search would be too large.
    """
    for _, block in _blocks(limits, n, positives, most, whole=True):
        yield block


def _blocks(
    limits: Limits, n: Iterable[int], positives: range | None, most: int, *, whole: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """How many matrices there are, many at a time; and all of them, or some."""
    known = normalised(limits)
    if known is None:
        return
    whole = whole or any(name in known for name in TRIED)
    left = most
    for size in n:
        cells = max((abs(end.numerator) + end.denominator for pair in known.values()
                     for end in pair), default=1)  # fmt: skip
        if 8 * size * size * cells > _LARGEST:
            raise TooManyError
        left -= yield from _of_size(known, size, positives, left, whole)


def normalised(limits: Limits) -> dict[str, tuple[Fraction, Fraction]] | None:
    """Name equal scores alike and join their limits; None if two exclude each other.

    Parameters
    ----------
    limits : mapping
        As `matrices` takes it.
    """
    known: dict[str, tuple[Fraction, Fraction]] = {}
    for given, (low, high) in limits.items():
        name = SAME.get(given, given)
        name = "recall_macro" if name == "tnr_macro" else name
        if (high < 0 and name not in OUTSIDE_UNIT) or (low > 1 and name not in COUNTS):
            return None
        if name in _COMPLEMENTS:
            name, low, high = _COMPLEMENTS[name], 1 - high, 1 - low
        if name == "jaccard":
            name = "f1"
            low, high = (2 * max(each, ZERO) / (1 + max(each, ZERO)) for each in (low, high))
        if name in known:
            low, high = max(low, known[name][0]), min(high, known[name][1])
        if low > high:
            return None
        known[name] = (low, high)
    return known


def _of_size(
    known: Limits, n: int, positives: range | None, left: int, whole: bool
) -> Generator[tuple[int, np.ndarray], None, int]:
    """`blocks` of one number of images; returns how many cases were looked at."""
    low, high = (1, n - 1) if positives is None else (positives.start, positives.stop - 1)
    low, high = max(low, 1), min(high, n - 1)
    if low > high:
        return 0
    count = np.arange(low, high + 1)
    turned = {_MIRROR.get(name, name): pair for name, pair in known.items()}
    straight, mirrored = _true_positives(known, count, n), _true_positives(turned, n - count, n)
    sizes = [np.maximum(0, b - a + 1) for a, b in (straight, mirrored)]
    swap = sizes[1].sum() < sizes[0].sum()
    use = turned if swap else known
    first = (mirrored if swap else straight)[0]
    size = sizes[int(swap)]
    of_class = n - count if swap else count
    pairs = looked = int(size.sum())
    if pairs > left:
        raise TooManyError
    ends = np.concatenate([[0], np.cumsum(size)])
    for start in range(0, pairs, _BLOCK):
        stop = min(start + _BLOCK, pairs)
        flat = np.arange(start, stop)
        which = np.searchsorted(ends, flat, side="right") - 1
        tp = first[which] + flat - ends[which]
        positive = of_class[which]
        fewest, largest = _false_positives(use, positive, tp, n)
        length = np.maximum(0, largest - fewest + 1)
        number = total = int(length.sum())
        if not whole:
            # Counted, and not looked at one by one.
            length = np.where(np.cumsum(length > 0) <= SHOWN, np.minimum(length, SHOWN), 0)
            total = int(length.sum())
        looked += total
        if looked > left:
            raise TooManyError
        if not total:
            continue
        each = np.repeat(np.arange(len(tp)), length)
        within = np.arange(total) - np.repeat(np.cumsum(length) - length, length)
        fp = fewest[each] + within
        found = np.stack([tp[each], (positive - tp)[each], fp, (n - positive)[each] - fp])
        if whole:
            found = _kept(use, found)
            number = found.shape[1]
        if number:
            yield number, found[[3, 2, 1, 0]] if swap else found
    return looked


def _true_positives(known: Limits, positive: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest number of true positives for each number of positive images."""
    first, last = np.zeros_like(positive), positive.copy()

    def at_least(values: np.ndarray) -> None:
        np.maximum(first, values, out=first)

    def at_most(values: np.ndarray) -> None:
        np.minimum(last, values, out=last)

    if "recall" in known:
        low, high = known["recall"]
        at_least(_up(low, positive))
        at_most(_down(high, positive))
    if "tp" in known:
        low, high = known["tp"]
        at_least(np.full_like(positive, _ceil(low)))
        at_most(np.full_like(positive, _floor(high)))
    if "fn" in known:
        low, high = known["fn"]
        at_least(positive - _floor(high))
        at_most(positive - _ceil(low))
    if "accuracy" in known:
        low, high = known["accuracy"]
        at_least(positive - (n - _ceil(low * n)))
        at_most(np.full_like(positive, _floor(high * n)))
    if "f1" in known and known["f1"][0] > 0:
        low = known["f1"][0]  # f1 <= 2 tp / (tp + positive)
        at_least(_up(low / (2 - low), positive) if low < 2 else positive + 1)
    if "recall_macro" in known:
        low, high = known["recall_macro"]
        at_least(_up(max(2 * low - 1, ZERO), positive))
        at_most(_down(2 * high, positive))
    return first, last


def _false_positives(
    known: Limits, positive: np.ndarray, tp: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest number of false positives for positive images and true positives."""
    negative, fn = n - positive, positive - tp
    fewest, largest = np.zeros_like(tp), negative.copy()

    def at_least(values: np.ndarray) -> None:
        np.maximum(fewest, values, out=fewest)

    def at_most(values: np.ndarray) -> None:
        np.minimum(largest, values, out=largest)

    def right(low: np.ndarray | None, high: np.ndarray | None) -> None:
        # Limits of the true negatives.
        if low is not None:
            at_most(negative - low)
        if high is not None:
            at_least(negative - high)

    def none_where(wrong: np.ndarray) -> None:
        largest[wrong] = -1

    for name, (low, high) in known.items():
        if name == "accuracy":
            right(_ceil(low * n) - tp, _floor(high * n) - tp)
        elif name == "fp":
            at_least(np.full_like(tp, _ceil(low)))
            at_most(np.full_like(tp, _floor(high)))
        elif name == "tn":
            right(np.full_like(tp, _ceil(low)), np.full_like(tp, _floor(high)))
        elif name == "tnr":
            right(_up(low, negative), _down(high, negative))
        elif name == "precision":
            # Of no prediction it may be printed as 0 or 1.
            if low > 0:
                at_most(_down((1 - low) / low, tp))
                none_where((tp == 0) & (high < 1))
            if high <= 0:
                none_where(tp > 0)
            elif high < 1:
                at_least(_up((1 - high) / high, tp))
        elif name == "npv":
            if low >= 1:
                none_where(fn > 0)
            elif low > 0:
                right(_up(low / (1 - low), fn), None)
                if high < 1:
                    right(np.where(fn == 0, negative + 1, 0), None)
            if high < 1:
                right(None, _down(max(high, ZERO) / (1 - high), fn))
        elif name == "f1":
            if low > 0:
                at_most(_down(2 / low, tp) - tp - positive)
            if high <= 0:
                none_where(tp > 0)
            elif high < 1:
                at_least(_up(2 / high, tp) - tp - positive)
        elif name == "f1_other":
            # 2 tn / (tn + negative + fn)
            if low > 0:
                right(_up(low / (2 - low), negative + fn), None)
            if high < 1:
                right(None, _down(max(high, ZERO) / (2 - high), negative + fn))
        elif name == "recall_macro":
            # tn >= negative (2 low - tp / positive)
            for limit, least in ((low, True), (high, False)):
                p, q = limit.numerator, limit.denominator
                above, below = negative * (2 * p * positive - q * tp), q * positive
                if least:
                    right(-(-above // below), None)
                else:
                    right(None, above // below)
    return fewest, largest


def _kept(known: Limits, found: np.ndarray) -> np.ndarray:
    """Matrices that keep within the limits of the scores that must be tried out."""
    for name in TRIED:
        if name not in known or not found.shape[1]:
            continue
        low, high = known[name]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = floats(found, name)
        inside = (value > float(low) + NEAR) & (value < float(high) - NEAR)
        outside = (value < float(low) - NEAR) | (value > float(high) + NEAR)
        for i in np.flatnonzero(~inside & ~outside):
            inside[i] = between(Matrix(*map(int, found[:, i])), name, low, high)
        found = found[:, inside]
    return found


def _up(factor: Fraction, counts: np.ndarray) -> np.ndarray:
    """Least whole numbers that are at least `factor` times the counts."""
    return -(-counts * factor.numerator // factor.denominator)


def _down(factor: Fraction, counts: np.ndarray) -> np.ndarray:
    return counts * factor.numerator // factor.denominator


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator
