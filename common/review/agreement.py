"""Predictions beside printed numbers: whether they give them, and are of as many images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from common.errors import listed
from common.forensics import Number
from common.metrics import accuracy, balanced_accuracy, class_scores, confusion_matrix, kappa, mcc
from common.review.finding import Finding, many, of_all
from common.review.judged import Judged
from common.review.names import plain
from common.review.predicted import Predictions
from common.tables import lookup

SAME = {
    "sensitivity": "recall", "tpr": "recall", "ppv": "precision", "tnr": "tnr",
    "specificity": "specificity",
}  # fmt: skip
"""Other names of scores."""


def beside_numbers(
    given: Predictions, judged: Judged, numbers: Sequence[Number], system: str | None
) -> list[Finding]:
    """Compare what predictions give with what is printed.

    Parameters
    ----------
    given : Predictions
    judged : Judged
    numbers : sequence of Number
        All printed ones.
    system : str, optional
        Which system the predictions are of; default: the one that they fit best.

    Returns
    -------
    list of Finding
    """
    groups: dict[str, list[Number]] = {}
    for number in numbers:
        groups.setdefault(number.measured or number.table, []).append(number)
    if system is not None:
        groups = {name: group for name, group in groups.items() if plain(name) == plain(system)}
    compared = {name: [(n, v) for n in group if (v := values(given, judged, n))]
                for name, group in groups.items()}  # fmt: skip
    compared = {name: each for name, each in compared.items() if each}
    if not compared:
        return [
            Finding("doubt", "together", "no number to compare",
                    "no printed number is one that these predictions have", "",
                    "Which of the printed numbers are of these predictions?")
        ]  # fmt: skip
    missing = {
        name: [(n, v) for n, v in each if not any(n.printed.holds(x) for x in v)]
        for name, each in compared.items()
    }
    hits = {name: len(each) - len(missing[name]) for name, each in compared.items()}
    if len(compared) > 1 and not any(hits.values()):
        sizes = [_sizes(given, groups[name]) for name in compared]
        alike = all(each == sizes[0] for each in sizes)
        return [*(sizes[0] if alike else ()), _of_none(compared)]
    # Most hits, less misses: a system with many numbers hits one of them by chance.
    name = max(compared, key=lambda each: hits[each] - len(missing[each]) if hits[each] else -inf)
    missed, total = missing[name], len(compared[name])
    of = f" of {name}" if name and len(groups) > 1 else ""
    found = _sizes(given, groups[name])
    if not missed:
        said = f"the predictions give {many(total, 'printed number')}{of}"
        return [*found, Finding("told", "together", "predictions give the numbers", said)]
    shown = "; ".join(
        f"{n.label} {n.printed.text}, by the predictions "
        f"{' or '.join(dict.fromkeys(n.printed.said(x) for x in v[:3]))}"
        for n, v in missed[:8]
    )
    more = "" if len(groups) == 1 else ", which they fit best"
    what = f"the predictions do not give {of_all(len(missed), total, 'printed number')}{of}{more}"
    if _exchanged_fit(given, judged, [n for n, _ in missed]):
        what += "; with the two classes exchanged they do"
    rule = "predictions do not give the numbers"
    ask = "Are these the predictions that the printed numbers were made from?"
    return [*found, Finding("wrong", "together", rule, what, shown, ask)]


def _of_none(compared: Mapping[str, Sequence[tuple[Number, list[Fraction]]]]) -> Finding:
    """Predictions that give no number of any system."""
    total = sum(map(len, compared.values()))
    return Finding(
        "wrong", "together", "predictions do not give the numbers",
        f"the predictions give none of {many(total, 'printed number')} of {len(compared)} systems",
        f"systems: {listed(compared)}; --system NAME says which is meant",
        "Of which of the printed systems are these predictions?",
    )  # fmt: skip


def _sizes(given: Predictions, group: Sequence[Number]) -> list[Finding]:
    """Printed sizes of the test set that are not those of the predictions."""
    n, support = len(given.frame), given.frame["label"].value_counts().to_dict()
    printed: dict[str, tuple[range, int]] = {}
    for number in group:
        if number.path:
            continue
        if number.n is not None and n not in number.n:
            printed.setdefault("images", (number.n, n))
        for name, size in number.sizes.items():
            there = next((k for k in support if plain(k) == plain(name)), None)
            if there is not None and support[there] not in size:
                printed.setdefault(f"images of {name}", (size, support[there]))
    if not printed:
        return []
    shown = "; ".join(
        f"{size[0] if len(size) == 1 else f'{size[0]} to {size[-1]}'} {what} printed, {there} here"
        for what, (size, there) in printed.items()
    )
    return [
        Finding("wrong", "together", "another number of images",
                "the predictions are of other numbers of images than are printed", shown,
                "Which images were left out, or added?")
    ]  # fmt: skip


def _exchanged_fit(given: Predictions, judged: Judged, missed: Sequence[Number]) -> bool:
    """Whether numbers fit once each class is taken for the other."""
    if len(given.classes) != 2 or not any(n.of_class or n.score in SAME for n in missed):
        return False
    first, second = given.classes
    other = {plain(first): second, plain(second): first}
    for number in missed:
        exchanged = values(given, judged, number, other)
        if not any(number.printed.holds(x) for x in exchanged):
            return False
    return True


def values(
    given: Predictions, judged: Judged, number: Number, other: Mapping[str, str] | None = None
) -> list[Fraction]:
    """Give what predictions have for a printed number: exactly, in each way it may be meant.

    Parameters
    ----------
    given : Predictions
    judged : Judged
    number : Number
    other : mapping of str to str, optional
        Class, in plain letters -> the class to take in its place.

    Returns
    -------
    list of Fraction
        Empty where they have nothing of the kind.
    """
    chosen = np.ones(len(given.frame), bool)
    if number.path:
        found = re.fullmatch(r"by_magnification\.(\w+)", number.path)
        if not found:
            return []
        chosen = (given.frame["magnification"].str.lower() == found[1].lower()).to_numpy()
    if (
        not chosen.any()
        or number.rounds > 1
        or number.unit not in ("percent", "fraction", "images")
    ):
        return []
    matrix = confusion_matrix(given.labels[chosen], given.predicted[chosen], len(given.classes))
    score = SAME.get(number.score, number.score)
    places = _places(given, number, score, other)
    if number.unit == "images":
        return _counts(matrix, score, places)
    if score == "accuracy":
        return [_exact(accuracy(matrix))]
    if score in ("kappa", "mcc") and not number.of_class:
        return [_exact((kappa if score == "kappa" else mcc)(matrix))]
    if score in ("balanced_accuracy", "recall_macro"):
        return [_exact(balanced_accuracy(matrix))]
    by_class = class_scores(matrix)
    base, _, mean = score.partition("_")
    if mean in ("macro", "weighted", "micro") and base in by_class:
        return _means(matrix, by_class[base], mean)
    if score == "specificity":
        score = "tnr"
    if score in by_class:
        found_values = [_exact(by_class[score][i]) for i in places]
        if not number.of_class:  # a bare recall may be a mean as well
            found_values += [v for kind in ("macro", "weighted", "micro")
                             for v in _means(matrix, by_class[score], kind)]  # fmt: skip
        return [value for value in found_values if value is not None]
    if score in ("auc", "brier", "log_loss", "ece") and judged.of_probabilities and chosen.all():
        value = lookup(judged.of_probabilities, score)
        return [] if value is None else [_exact(value)]
    return []


def _places(
    given: Predictions, number: Number, score: str, other: Mapping[str, str] | None
) -> list[int]:
    """Numbers of the classes that a score may be of."""
    by_name = {plain(name): name for name in given.classes}
    if number.of_class:
        name = plain(number.of_class)
        if name not in by_name:
            return []
        return [given.classes.index((other or by_name)[name] if other else by_name[name])]
    if score in SAME.values() and len(given.classes) == 2 and given.positive and not other:
        first = given.classes.index(given.positive)
        return [first] if score == "specificity" else [first, 1 - first]
    return list(range(len(given.classes)))


def _counts(matrix: np.ndarray, score: str, places: Sequence[int]) -> list[Fraction]:
    total, right = int(matrix.sum()), int(np.trace(matrix))
    if score in ("n", "correct", "wrong"):
        return [Fraction({"n": total, "correct": right, "wrong": total - right}[score])]
    found = []
    for i in places:
        tp, true, said = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
        counts = {"tp": tp, "fn": true - tp, "fp": said - tp, "tn": total - true - said + tp}
        if score in counts:
            found.append(Fraction(counts[score]))
    return found


def _means(matrix: np.ndarray, by_class: np.ndarray, kind: str) -> list[Fraction]:
    support = matrix.sum(axis=1)
    if kind == "micro":
        return [_exact(accuracy(matrix))]
    known = np.nan_to_num(by_class)[support > 0]
    weights = support[support > 0] if kind == "weighted" else None
    return [_exact(np.average(known, weights=weights))] if len(known) else []


def _exact(value: Any) -> Fraction:
    """A share of images as a fraction: floating point is nearer to it than any other one."""
    number = float(np.nan_to_num(value))
    return Fraction(number).limit_denominator(10**9)
