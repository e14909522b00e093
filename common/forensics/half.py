"""Pooled precision and recall above one half, and the accuracy beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice

from common.forensics.finding import Finding, lines
from common.forensics.reading import Number, by_score
from common.forensics.readings import size_of
from common.forensics.rounding import Printed

MOST_IMAGES = 20_000
"""Size of the largest test set whose counts above one half are tried."""


def half_findings(group: Sequence[Number]) -> Iterator[Finding]:
    """Judge pooled precision and recall above one half, and the accuracy beside them.

    Of n images, m have a class above one half and k of these are right; c are right in all:
    k <= c, and of the n - m others at most all are. With more than two classes m is no more than n.

    Parameters
    ----------
    group : sequence of Number
        Of one system and table, of one run.

    Yields
    ------
    Finding
    """
    sizes = size_of(group)
    if sizes is not None and len(sizes) == 1:
        yield from half_of_size(group, sizes[0])


def half_of_size(group: Sequence[Number], n: int) -> Iterator[Finding]:
    """`half_findings` of a test set of a certain size.

    Parameters
    ----------
    group : sequence of Number
    n : int

    Yields
    ------
    Finding
    """
    scores = by_score(group)
    p, r = scores.get("precision_micro_at_half"), scores.get("recall_micro_at_half")
    if p is None or r is None or n > MOST_IMAGES:
        return
    a = scores.get("accuracy")
    three = tuple(each for each in (p, r, a) if each is not None)
    where = lines(three)
    found = list(triples(n, p.printed, r.printed, a.printed if a else None))
    if found:
        k, m, right = found[0]
        texts = [said_share(p, k, m), said_share(r, k, n)]
        texts += [said_share(a, right[0], n)] if a else []
        # Without an accuracy nothing is said of what is right below one half.
        number = sum(len(right) for *_, right in found) if a else len(found)
        text = ", ".join(texts) + (f"; {number} in all" if number > 1 else "")
        some = ((c, k, m) if a else (k, m) for k, m, right in found for c in right[: 6 if a else 1])
        counts = " ".join(f"({', '.join(map(str, each))})" for each in islice(some, 6))
        yield Finding("above one half", where, True, text, number, counts)
        return
    repairs = half_repairs(n, p, r, a)
    names = {p.line: p, r.line: r} | ({a.line: a} if a else {})
    said = ", or ".join(
        f"{names[i].label} {names[i].printed.text} would have to be {text}"
        for i, text in repairs.items()
    )
    text = f"no counts out of {n} give all" + (f"; {said}" if said else "")
    yield Finding("above one half", where, False, text, 0, repairs=repairs)


def said_share(number: Number, k: int, n: int) -> str:
    """Write a share with its counts, as a number is printed; of nothing, that.

    Parameters
    ----------
    number : Number
    k, n : int
    """
    return f"{k}/{n} = " + (number.printed.said(Fraction(k, n)) if n else "of nothing")


def triples(
    n: int, p: Printed | None, r: Printed | None, a: Printed | None
) -> Iterator[tuple[int, int, range]]:
    """Right ones above one half, all above one half, and how many may be right, for three scores.

    Parameters
    ----------
    n : int
    p, r, a : Printed or None
        Precision and recall above one half, accuracy; None: any.

    Yields
    ------
    (int, int, range)
        The range is not empty.
    """
    of_nothing = p is None or p.low <= 0 or p.high >= 1
    right = a.counts(n) if a else range(n + 1)
    for k in r.counts(n) if r else range(n + 1):
        above = range(max(k, 0 if of_nothing else 1), n + 1)
        if p is not None and k:
            first = math.ceil(k / p.high) if p.high > 0 else n + 1
            last = math.floor(k / p.low) if p.low > 0 else n
            above = range(max(k, first), min(n, last) + 1)
        elif p is not None and p.low > 0:
            above = range(1 if of_nothing else 0)
        for m in above:
            fitting = range(max(k, right.start), min(right.stop, n - m + k + 1))
            if fitting:
                yield k, m, fitting


def half_repairs(n: int, p: Number, r: Number, a: Number | None) -> dict[int, str]:
    """What each of three scores would have to be if the others are right, the nearest first.

    Parameters
    ----------
    n : int
    p, r : Number
        Precision and recall above one half.
    a : Number or None
        Accuracy.
    """
    found: dict[int, tuple[Fraction, str]] = {}
    exact_a = a.printed if a else None
    for number, given in (
        (p, (None, r.printed, exact_a)),
        (r, (p.printed, None, exact_a)),
        (a, (p.printed, r.printed, None)),
    ):
        if number is None:
            continue
        values = set()
        for k, m, right in triples(n, *given):
            if number is a:
                nearest = min(max(round(number.printed.value * n), right[0]), right[-1])
                values.add(Fraction(nearest, n))
            elif number is r or m:
                values.add(Fraction(k, n if number is r else m))
        if values:
            best = min(values, key=lambda each: abs(each - number.printed.value))
            far = abs(best - number.printed.value) / number.printed.unit
            found[number.line] = (far, number.printed.said(best))
    return {line: found[line][1] for line in sorted(found, key=lambda line: found[line][0])[:2]}
