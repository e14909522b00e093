"""Ways to read printed scores as those of one matrix of a class against the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from common.forensics.binary import Limits
from common.forensics.reading import Number
from common.forensics.scores import COUNTS, SAME, SCORES

_BARE = ("precision", "recall", "f1", "sensitivity", "ppv", "tpr")
_BARE_TOO = ("specificity", "tnr", "fpr", "npv")


@dataclass(frozen=True)
class Problem:
    """Numbers that one matrix of a class against the rest must give.

    Attributes
    ----------
    names : dict of Number to str
        Which score of the positive class each is; not in it: it is left out.
    positive : str
        The positive class; "" where it is not named.
    limits : dict
        More limits, as `binary.matrices` takes them.
    sizes : range
        Of the test set.
    positives : range or None
        Of the positive class.
    reading : str
        What the unnamed scores were taken as; "" where none is.
    """

    names: dict[Number, str]
    positive: str
    limits: Limits
    sizes: range
    positives: range | None
    reading: str = ""

    def all_limits(self, without: Number | None = None) -> dict[str, tuple[Fraction, Fraction]]:
        """Give the limits of all numbers but one.

        Parameters
        ----------
        without : Number, optional
            That one.
        """
        found = dict(self.limits)
        for number, name in self.names.items():
            if number is without:
                continue
            name = SAME.get(name, name)
            low, high = number.printed.low, number.printed.high
            if name in COUNTS:
                low = high = number.printed.value
            if name in found:
                low, high = max(low, found[name][0]), min(high, found[name][1])
            found[name] = (low, high)
        return found


def two_classes(group: Sequence[Number]) -> bool:
    """Whether the system of a group is known to tell two classes apart.

    Parameters
    ----------
    group : sequence of Number
    """
    return {number.n_classes for number in group if number.n_classes} == {2}


def size_of(group: Sequence[Number]) -> range | None:
    """Sizes of the test set that all numbers of a group allow; None where none is known.

    Parameters
    ----------
    group : sequence of Number
    """
    known = [number.n for number in group if number.n is not None]
    if not known:
        return None
    return range(max(each[0] for each in known), min(each[-1] for each in known) + 1)


def readings(group: Sequence[Number], sizes: range) -> Iterator[Problem]:
    """Ways to read the scores of a group as those of two classes.

    One that names no class may be of either, or a mean over both.

    Parameters
    ----------
    group : sequence of Number
        Of one system and run.
    sizes : range
        Of the test set.

    Yields
    ------
    Problem
    """
    named = list(dict.fromkeys(n.of_class for n in group if n.of_class))
    classes = next((n.classes for n in group if n.classes), tuple(named))
    # Beside scores of one class, a specificity is of that class.
    bare = [
        n for n in group
        if not n.of_class and (n.score in _BARE or (n.score in _BARE_TOO and not named))
    ]  # fmt: skip
    rest = [n for n in group if n not in bare]
    if not bare:
        positives = [n for n in named if len(named) == 1] or list(classes[-1:]) or [""]
        problem = _problem(rest, positives[0], sizes, classes)
        if len(problem.names) > 1:
            yield problem
        return
    if len(group) < 2:
        return
    specific = any(n.score in _BARE_TOO for n in bare)
    seen = []
    for positive in named if len(named) == 1 else classes or ("",):
        for mean in ("", "_macro", "_weighted", "_micro"):
            for other in dict.fromkeys(("", "_macro", mean)) if specific and mean else (mean,):
                reading = mean[1:] or (f"of {positive}" if positive else "of one class")
                problem = _problem(rest, positive, sizes, classes)
                for number in bare:
                    name = _read_as(number, mean, other)
                    if name is not None:
                        problem.names[number] = name
                what = (sorted(problem.names.values()), problem.positives)
                if what not in seen:
                    seen.append(what)
                    yield replace(problem, reading=reading)


def _read_as(number: Number, mean: str, other: str) -> str | None:
    """Name of a score without a class, read as one of a class or as a mean; None if unknown."""
    base = {"sensitivity": "recall", "tpr": "recall", "ppv": "precision", "specificity": "tnr"}
    score = base.get(number.score, number.score)
    ending = other if number.score in _BARE_TOO else mean
    if ending == "_micro":
        return "accuracy" if score != "fpr" else "error"
    name = score + ending
    return name if SAME.get(name, name) in SCORES else None


def _problem(
    group: Sequence[Number], positive: str, sizes: range, classes: Sequence[str]
) -> Problem:
    names: dict[Number, str] = {}
    limits: dict[str, tuple[Fraction, Fraction]] = {}
    for number in group:
        name = _as_positive(number, positive)
        if name is not None:
            names[number] = name
        elif number.exact_count is not None and len(sizes) == 1 and not number.of_class:
            right = number.exact_count
            right = sizes[0] - right if number.score == "wrong" else right
            if number.score in ("correct", "wrong"):
                limits["accuracy"] = (Fraction(right, sizes[0]),) * 2
    return Problem(names, positive, limits, sizes, _positives(group, positive, classes, sizes))


def _as_positive(number: Number, positive: str) -> str | None:
    """Which score of the positive class a number is; None if none that is known."""
    name = SAME.get(number.score, number.score)
    if number.of_class and number.of_class != positive:
        name = _MIRRORED.get(name, name)
        name = SAME.get(name, name)
    fits = number.unit == ("images" if name in COUNTS else number.unit)
    judged = number.unit in ("percent", "fraction", "images") and fits
    return name if name in SCORES and judged else None


_MIRRORED = {
    "tp": "tn", "tn": "tp", "fp": "fn", "fn": "fp", "precision": "npv", "npv": "precision",
    "recall": "tnr", "tnr": "recall", "fpr": "fnr", "fnr": "fpr", "f1": "f1_other",
}  # fmt: skip


def _positives(
    group: Sequence[Number], positive: str, classes: Sequence[str], sizes: range
) -> range | None:
    """Numbers of images that the positive class can have."""
    known = next((n.sizes for n in group if n.sizes), {})
    found = known.get(positive)
    other = [known[name] for name in classes if name != positive and name in known]
    if other and len(other) == len(classes) - 1:
        low = sizes[0] - sum(each[-1] for each in other)
        high = sizes[-1] - sum(each[0] for each in other)
        if found is not None:
            low, high = max(low, found[0]), min(high, found[-1])
        return range(max(low, 0), max(high, -1) + 1)
    return found


def against_the_rest(group: Sequence[Number], name: str, sizes: range) -> Problem:
    """Give the scores of one class of several; an image that is right for all is right for it.

    Parameters
    ----------
    group : sequence of Number
        Of one system and run.
    name : str
        The class.
    sizes : range
        Of the test set.

    Returns
    -------
    Problem
    """
    own = [n for n in group if n.of_class == name]
    classes = next((n.classes for n in group if n.classes), ())
    problem = _problem(own, name, sizes, classes)
    at_least = [n.printed.low for n in group if not n.of_class and n.score == "accuracy"]
    at_least += [
        Fraction(n.exact_count, sizes[-1]) for n in group
        if not n.of_class and n.score == "correct" and n.exact_count is not None
    ]  # fmt: skip
    limits = dict(problem.limits)
    if at_least and max(at_least) <= 1:
        limits["accuracy"] = (max(at_least), Fraction(1))
    return Problem(problem.names, name, limits, sizes, problem.positives)
