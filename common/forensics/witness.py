"""A matrix of several classes that gives the macro scores printed of them: found, not enumerated.

Macro averages follow from three counts of each class: right, missed, taken from others. Whole
counts are moved between classes until every mean rounds to what is printed; what is found is
checked exactly. That nothing is found says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from common.forensics.rounding import Printed

MEANS = ("recall_macro", "precision_macro", "f1_macro")
"""Scores that it knows."""

STARTS, STEPS = 10, 100
"""How long is searched: at most about 70 ms, where nothing is found."""

MOST_CLASSES = 20


class Counts(NamedTuple):
    """Counts of a class."""

    tp: int
    fn: int
    fp: int


def witness(
    n: int,
    correct: Sequence[int],
    means: Mapping[str, Printed],
    classes: int,
    sizes: Sequence[int] | None = None,
) -> tuple[Counts, ...] | None:
    """Find counts of each class that give all printed scores.

    Parameters
    ----------
    n : int
        Images.
    correct : sequence of int
        How many may be right: the counts that the accuracy allows.
    means : mapping of str to Printed
        Of `MEANS`, at least one.
    classes : int
        At least 2.
    sizes : sequence of int, optional
        Images of each class, which add up to `n`; else they are free.

    Returns
    -------
    tuple of Counts or None
        Every class has images and predictions.
    """
    if not 2 <= classes <= MOST_CLASSES or n < 4 * classes or not correct:
        return None
    rng = np.random.default_rng(0)
    for start in range(STARTS):
        found = _search(n, correct[start % len(correct)], means, classes, sizes, rng)
        if found is not None:
            each = tuple(Counts(*map(int, column)) for column in found.T)
            if _gives(each, n, means):
                return each
    return None


def _gives(each: Sequence[Counts], n: int, means: Mapping[str, Printed]) -> bool:
    """Whether counts are those of a matrix and give all scores, exactly."""
    wrong = sum(count.fn for count in each)
    if wrong != sum(count.fp for count in each) or sum(c.tp + c.fn for c in each) != n:
        return False
    # What a class misses and what it takes are of other classes.
    if any(min(c) < 0 or c.fn + c.fp > wrong or not c.tp for c in each):
        return False
    return all(printed.holds(mean(each, name)) for name, printed in means.items())


def mean(each: Sequence[Counts], name: str) -> Fraction:
    """Macro average of a score, exactly.

    Parameters
    ----------
    each : sequence of Counts
        Of every class, with at least one right image.
    name : str
        Of `MEANS`.
    """
    of = {
        "recall_macro": lambda c: Fraction(c.tp, c.tp + c.fn),
        "precision_macro": lambda c: Fraction(c.tp, c.tp + c.fp),
        "f1_macro": lambda c: Fraction(2 * c.tp, 2 * c.tp + c.fn + c.fp),
    }[name]
    return sum(map(of, each), Fraction(0)) / len(each)


def _shared_out(total: int, weights: np.ndarray) -> np.ndarray:
    """Whole parts of a total, about proportional to weights."""
    ends = np.rint(np.cumsum(weights) / weights.sum() * total).astype(int)
    return np.diff(ends, prepend=0)


def _search(
    n: int, right: int, means: Mapping[str, Printed], classes: int,
    sizes: Sequence[int] | None, rng: np.random.Generator,
) -> np.ndarray | None:  # fmt: skip
    """From one start: take the best of all moves, a little shaken, until nothing is off."""
    wrong = n - right
    of = np.array(sizes) if sizes is not None else _shared_out(n, 0.3 + rng.random(classes))
    missed = _shared_out(wrong, of * (0.5 + rng.random(classes)))
    state = np.stack([of - missed, missed, _shared_out(wrong, 0.5 + rng.random(classes))])
    moves = _moves(classes, free=sizes is None)
    ends = np.array([[float(p.low), float(p.high)] for p in means.values()])
    middle, half = ends.mean(axis=1), (ends[:, 1] - ends[:, 0]) / 2
    cost = float(_cost(state[None], list(means), middle, half, wrong)[0])
    for _ in range(STEPS):
        if cost == 0:
            return state
        # Far away in strides, at the end one image at a time.
        stride = int(rng.choice((1, 3, 10, 40, 150))) if cost > 3 else 1
        tried = state + stride * moves
        costs = _cost(tried, list(means), middle, half, wrong)
        shaken = costs + 0.3 * (cost if np.isfinite(cost) else 1.0) * rng.random(len(costs))
        best = int(np.argmin(shaken))
        if np.isfinite(costs[best]):
            state, cost = tried[best], float(costs[best])
    return None


def _moves(classes: int, *, free: bool) -> np.ndarray:
    """Moves of one count from a class to another, (moves, 3, classes)."""
    pairs = [(i, j) for i in range(classes) for j in range(classes) if i != j]
    rows: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((1,), (0,)), ((2,), ())]
    if free:  # images may be of another class, too
        rows += [((0,), ()), ((1,), ())]
    found = np.zeros((len(rows) * len(pairs), 3, classes), int)
    for number, (row, (i, j)) in enumerate((row, pair) for row in rows for pair in pairs):
        ours, against = row
        found[number, list(ours), i], found[number, list(ours), j] = -1, 1
        found[number, list(against), i], found[number, list(against), j] = 1, -1
    return found


def _cost(
    states: np.ndarray, names: Sequence[str], middle: np.ndarray, half: np.ndarray, wrong: int
) -> np.ndarray:
    """How far the means of states are outside what is printed, in half units; inf: no matrix."""
    tp, fn, fp = states[:, 0], states[:, 1], states[:, 2]
    bad = ((tp < 1) | (fn < 0) | (fp < 0) | (fn + fp > wrong)).any(axis=1)
    right = np.maximum(tp, 1)
    values = {
        "recall_macro": right / np.maximum(right + fn, 1),
        "precision_macro": right / np.maximum(right + fp, 1),
        "f1_macro": 2 * right / np.maximum(2 * right + fn + fp, 1),
    }
    means = np.stack([values[name].mean(axis=1) for name in names], axis=1)
    # Well inside: what is found is checked exactly.
    off = np.maximum(np.abs(means - middle) - 0.98 * half, 0) / np.maximum(half, 1e-12)
    return np.where(bad, np.inf, off.sum(axis=1))
