"""Pooled precision and recall above one half, and the accuracy beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from common.forensics.finding import Finding, lines
from common.forensics.groups import size_of
from common.forensics.reading import Number, by_score
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
    if a is None:  # then nothing is said of what is right below one half
        pairs = dict.fromkeys((k, m) for _, k, m in triples(n, p.printed, r.printed, None))
        found = [(k, k, m) for k, m in pairs]
    else:
        found = list(triples(n, p.printed, r.printed, a.printed))
    if found:
        c, k, m = found[0]
        text = f"{k}/{m} = {p.printed.said(Fraction(k, m))}, {k}/{n} = " + r.printed.said(
            Fraction(k, n)
        )
        text += f", {c}/{n} = {a.printed.said(Fraction(c, n))}" if a else ""
        text += f"; {len(found)} in all" if len(found) > 1 else ""
        counts = " ".join(f"({', '.join(map(str, each))})" for each in found[:6])
        yield Finding("above one half", where, True, text, len(found), counts)
        return
    repairs = half_repairs(n, p, r, a)
    names = {p.line: p, r.line: r} | ({a.line: a} if a else {})
    said = ", or ".join(
        f"{names[i].metric or names[i].key} {names[i].printed.text} would have to be {text}"
        for i, text in repairs.items()
    )
    text = f"no counts out of {n} give all" + (f"; {said}" if said else "")
    yield Finding("above one half", where, False, text, 0, repairs=repairs)


def triples(
    n: int, p: Printed | None, r: Printed | None, a: Printed | None
) -> Iterator[tuple[int, int, int]]:
    """Right images, right ones above one half, and all above one half, that give three scores.

    Parameters
    ----------
    n : int
    p, r, a : Printed or None
        Precision and recall above one half, accuracy; None: any.

    Yields
    ------
    (int, int, int)
    """
    for k in r.counts(n) if r else range(n + 1):
        above = range(max(k, 1), n + 1)
        if p is not None:
            if p.high <= 0:
                above = above if k == 0 else range(0)
            elif p.low > 0:
                last = math.floor(k / p.low)
                above = range(max(k, 1, math.ceil(k / p.high)), min(n, last) + 1)
        right = a.counts(n) if a else range(n + 1)
        for m in above:
            for c in range(max(k, right.start), min(right.stop - 1, n - m + k) + 1):
                yield c, k, m


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
        values = {
            Fraction(k, m) if number is p else Fraction(k if number is r else c, n)
            for c, k, m in triples(n, *given)
        }
        if values:
            best = min(values, key=lambda each: abs(each - number.printed.value))
            far = abs(best - number.printed.value) / number.printed.unit
            found[number.line] = (far, number.printed.said(best))
    return {line: found[line][1] for line in sorted(found, key=lambda line: found[line][0])[:2]}
