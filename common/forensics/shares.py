"""Numbers judged alone: their range, shares of a test set, means of shares, mean and deviation."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from common.forensics.cells import COUNT_KEYS
from common.forensics.finding import Finding, listing
from common.forensics.means import fold_sizes, grimmer, mean_share_fits, rounded_shares_fit
from common.forensics.reading import UNITS, Number
from common.forensics.rounding import Printed, nearest_counts
from common.forensics.scores import OUTSIDE_UNIT, SCORES

OF_ALL = (
    "accuracy", "error", "recall_micro_at_half", "precision_micro", "recall_micro", "f1_micro",
    "recall_weighted",
)  # fmt: skip
"""Scores that are shares of all images."""

MOST_SIZES = 1_000_000
"""Sizes of a test set that are tried."""

FEW_SIZES = 10
"""Sizes for which it is tried whether shares that were rounded before have a mean."""

FAR = 100
"""How far from sizes that were derived another one is looked for."""


def is_score(number: Number) -> bool:
    """Whether a number is one that cannot be below 0 or above 1.

    Parameters
    ----------
    number : Number
    """
    name = number.score.removesuffix("_macro")
    known = name in SCORES or name in ("specificity", "sensitivity", "auc")
    known = known or number.score in OF_ALL or number.score.endswith(("_at_half", "_weighted"))
    return known and number.unit in ("percent", "fraction") and name not in COUNT_KEYS


def whole(number: Number) -> range | None:
    """Sizes of what a number is a share of, if it is a share of known images.

    Parameters
    ----------
    number : Number
    """
    if number.of_class:
        if number.score in ("recall", "fnr", "sensitivity"):
            return number.sizes.get(number.of_class)
        rest = [size for name, size in number.sizes.items() if name != number.of_class]
        known = len(rest) == (number.n_classes or 0) - 1
        if known and number.score in ("tnr", "fpr", "specificity"):
            return range(sum(each[0] for each in rest), sum(each[-1] for each in rest) + 1)
        return None
    # A mean over equally large classes is the accuracy, but may be one of printed scores.
    return number.n if number.score in OF_ALL else None


def alone(number: Number) -> Iterator[Finding]:
    """Give what can be said of a number without any other.

    Parameters
    ----------
    number : Number

    Yields
    ------
    Finding
    """
    if number.unit not in UNITS:
        return
    out = _outside(number)
    if out:
        yield Finding("range", (number.line,), False, out)
        return
    sizes = whole(number) if number.unit in ("percent", "fraction") else None
    if number.folds and number.score not in OF_ALL:  # how many of a class each has is not known
        sizes = None
    if sizes is not None and len(sizes) <= MOST_SIZES and sizes[0] > 0:
        yield of_size(number, sizes) if number.rounds == 1 else mean_of_size(number, sizes)
    elif number.score in OF_ALL and not number.of_class and number.n is None:
        yield from _of_any_size(number)
    if number.sd is not None:
        yield from _with_deviation(number, sizes)


def _of_any_size(number: Number) -> Iterator[Finding]:
    """Judge a share of an unknown number of images: the smallest test set that gives it."""
    exact = number.printed
    last = max(10 ** min(exact.decimals + 2, 6), number.taken or 0)
    fitting = sizes_that_fit(exact, range(1, last + 1))
    if number.rounds > 1 or number.unit == "images" or not len(fitting):
        return
    n = int(fitting[0])
    k = exact.counts(n)[0]
    shown = f"n is not known: {k}/{n} = {exact.said(Fraction(k, n))} is of the smallest test set"
    if number.taken is not None and number.taken not in fitting:
        near = int(min(fitting, key=lambda size: abs(size - number.taken)))
        shown += f"; n = {number.taken}, which was taken, does not give it, n = {near} would"
    yield Finding("k of n", (number.line,), True, shown)


def _outside(number: Number) -> str:
    """What is wrong with a number that no share or count can be; "" if nothing is."""
    exact = number.printed
    if is_score(number):
        least = -1 if number.score.removesuffix("_macro") in OUTSIDE_UNIT else 0
        if exact.high < least or exact.low > 1:
            return f"{exact.text} is outside {least * exact.scale} to {exact.scale}"
    if number.unit == "images" and number.score in COUNT_KEYS and number.rounds == 1:
        if number.exact_count is None or number.exact_count < 0:
            return f"{exact.text} is no count of images"
        if number.n is not None and number.exact_count > number.n[-1]:
            return f"{exact.text} is more than all {number.n[-1]} images"
    return ""


def of_size(number: Number, sizes: range) -> Finding:
    """Judge a share of a known number of images, or of one in a range.

    Parameters
    ----------
    number : Number
    sizes : range
        Each at least 1.

    Returns
    -------
    Finding
    """
    exact = number.printed
    if len(sizes) == 1:
        n = sizes[0]
        counts = exact.counts(n)
        near = nearest_counts(exact, n)
        if counts:
            shown = listing(f"{k}/{n} = {exact.said(Fraction(k, n))}" for k in counts)
            return Finding("k of n", (number.line,), True, shown, len(counts), shown)
        said = [f"{k}/{n} = {exact.said(Fraction(k, n))}" for k in near]
        text = f"{' and '.join(said)}, not {exact.text}{cut_from(exact, near, n)}"
        return Finding(
            "k of n", (number.line,), False, text, 0,
            repairs={number.line: closest(exact, [Fraction(k, n) for k in near])},
        )  # fmt: skip
    fitting = sizes_that_fit(exact, sizes)
    shown = f"n from {sizes[0]} to {sizes[-1]}: "
    if not len(fitting):
        shown += f"none gives {exact.text}{_other_size(number, sizes)}"
        return Finding("k of n", (number.line,), False, shown, 0)
    first = int(fitting[0])
    example = f"{exact.counts(first)[0]}/{first} = {exact.said(exact.value)}"
    return Finding(
        "k of n", (number.line,), True, f"{shown}{len(fitting)} of {len(sizes)} give it, "
        f"{example} first", len(fitting),
    )  # fmt: skip


def cut_from(exact: Printed, near: list[int], n: int) -> str:
    """Say that a number is a share that was cut instead of rounded; "" if it is none.

    Parameters
    ----------
    exact : Printed
    near : list of int
        Counts to try.
    n : int
    """
    cut = [k for k in near if exact.cut_holds(Fraction(k, n))]
    return f" (cut instead of rounded: {cut[0]}/{n})" if cut else ""


def sizes_that_fit(exact: Printed, sizes: range) -> np.ndarray:
    """Sizes of which a printed share is k/n.

    Parameters
    ----------
    exact : Printed
    sizes : range

    Returns
    -------
    int array
    """
    low, high = exact.low, exact.high
    n = np.arange(sizes.start, sizes.stop)
    if sizes.stop * max(abs(high.numerator), abs(low.numerator)) > 2**62:
        n = n.astype(object)  # exact, if slow
    first = np.maximum(0, -(-n * low.numerator // low.denominator))
    last = np.minimum(n, n * high.numerator // high.denominator)
    return n[(first <= last).astype(bool)].astype(int)


def mean_of_size(number: Number, sizes: range) -> Finding:
    """Judge a mean over rounds of shares of a known number of images, or of one in a range.

    Parameters
    ----------
    number : Number
    sizes : range
        Of each round; with `folds` of all together.

    Returns
    -------
    Finding
    """
    exact, rounds = number.printed, number.rounds
    rule, line = "mean of k of n", (number.line,)
    parts = f"{rounds} folds of {{n}}" if number.folds else f"{rounds} rounds of {{n}}"
    if len(sizes) * rounds > MOST_SIZES or (number.folds and sizes[0] < rounds):
        return Finding(rule, line, None, "too many sizes to try")
    for n in sizes:
        each = _rounds_of(number, n)
        if len(set(each)) > 1 and len(sizes) * n > MOST_SIZES:
            return Finding(rule, line, None, "too many sizes to try")
        if mean_share_fits(exact, each):
            shown = f"{exact.text} is a mean of {parts.format(n=n)}"
            if len(set(each)) == 1:
                total = sum(each)
                k = exact.counts(total)[0]
                shown = f"{k}/({rounds} * {each[0]}) = {exact.said(Fraction(k, total))}"
            return Finding(rule, line, True, shown)
    n = sizes[0]
    total = n if number.folds else n * rounds
    near = nearest_counts(exact, total)
    said = [f"{k}/{total} = {exact.said(Fraction(k, total))}" for k in near]
    shown = f"{parts.format(n=n)}: {' and '.join(said)}, not {exact.text}"
    shown += cut_from(exact, near, total)
    if number.folds and n % rounds:
        shown = f"no mean of {parts.format(n=n)} is {exact.text}"
    if len(sizes) > 1:
        shown = f"no n from {n} to {sizes[-1]} in {rounds} rounds gives {exact.text}"
    shown += _rounded_first(number, sizes) + _other_size(number, sizes)
    equal = len(sizes) == 1 and not (number.folds and n % rounds)
    if not equal:
        return Finding(rule, line, False, shown, 0)
    repairs = {number.line: closest(exact, [Fraction(k, total) for k in near])}
    return Finding(rule, line, False, shown, 0, repairs=repairs)


def _rounds_of(number: Number, n: int) -> list[int]:
    return fold_sizes(n, number.rounds) if number.folds else [n] * number.rounds


def _rounded_first(number: Number, sizes: range) -> str:
    """Say what is assumed of a mean that fits nowhere, and whether without it one would fit."""
    fit = None
    if len(sizes) <= FEW_SIZES:
        each = [rounded_shares_fit(number.printed, _rounds_of(number, n)) for n in sizes]
        fit = True if True in each else None if None in each else False
    if fit is False:
        return ", as a mean of exact shares or of rounded ones"
    more = "; of shares that were rounded first it can be one" if fit else ""
    return f", as a mean of exact shares{more}"


def _other_size(number: Number, sizes: range) -> str:
    """Say that a size is not printed, and the nearest other one that would give the number."""
    if not number.derived:
        return ""
    said = "; the size is derived, not printed"
    for away in range(1, FAR):
        for n in (sizes[0] - away, sizes[-1] + away):
            if n >= number.rounds and mean_share_fits(number.printed, _rounds_of(number, n)):
                return f"{said}: n = {n} would give it"
    return f"{said}: another may give it"


def closest(exact: Printed, values: list[Fraction]) -> str:
    """Write the value that is nearest to a printed number as that would be printed.

    Parameters
    ----------
    exact : Printed
    values : list of Fraction
        Not empty.
    """
    return exact.said(min(values, key=lambda each: abs(each - exact.value)))


def _with_deviation(number: Number, sizes: range | None) -> Iterator[Finding]:
    """`alone` for a standard deviation of whole counts, or of shares of one size."""
    if number.sd is None or number.rounds < 2 or number.folds:
        return
    step, most = Fraction(1), None
    if number.unit != "images":
        if sizes is None or len(sizes) > 1:
            return
        step, most = Fraction(1, sizes[0]), sizes[0]
    found = grimmer(number.printed, number.sd, number.rounds, step=step, most=most)
    of = f"{number.rounds} whole counts" + (f" out of {most}" if most else "")
    has = {True: "some", False: "no", None: "perhaps"}[found]
    shown = f"{has} {of} have mean {number.printed.text} and deviation {number.sd.text}"
    yield Finding("mean and sd", (number.line,), found, shown)
