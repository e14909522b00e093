"""Numbers of one system in one table: matrices that give them all, or none does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from common.forensics.binary import MOST, Fits, Limits, TooManyError, blocks, matrices
from common.forensics.cells import COUNT_KEYS
from common.forensics.finding import Finding, in_words, lines
from common.forensics.reading import Number
from common.forensics.rounding import Printed
from common.forensics.scores import COUNTS, SAME, SCORES, Matrix, floats, said, values

SMALL = 200
"""Images of the largest test set that is tried where its size is not known."""

MOST_FOR_REPAIR = 400_000
"""Size of the largest search for what one number would have to be."""

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


def matrix_findings(group: Sequence[Number]) -> Iterator[Finding]:
    """Search the matrices of a group whose numbers are of one run.

    Parameters
    ----------
    group : sequence of Number
        Of one system and test set.

    Yields
    ------
    Finding
        One for two classes together, or one a class against the rest.
    """
    sizes = size_of(group)
    if sizes is None:
        if two_classes(group):
            yield from _of_any_size(group)
        return
    if not len(sizes) or sizes[0] < 2:
        return
    if two_classes(group):
        found = list(_readings(group, sizes))
        if found:
            yield from _search(found, "one matrix")
        return
    for name in dict.fromkeys(n.of_class for n in group if n.of_class):
        problem = _against_the_rest(group, name, sizes)
        if len(problem.names) > 1:
            yield from _search([problem], "one class")


def _of_any_size(group: Sequence[Number]) -> Iterator[Finding]:
    """Search the smallest test set of which a matrix of two classes gives all numbers."""
    problems = list(_readings(group, range(2, SMALL + 1)))
    if not problems:
        return
    where = lines(number for each in problems for number in each.names)
    for n in range(2, SMALL + 1):
        for problem in problems:
            fits = matrices(problem.all_limits(), [n], problem.positives)
            if fits.number:
                shown = f"n is not known: of {n}, the smallest test set, {_said(problem, fits)}"
                yield Finding("one matrix", where, True, shown, None, _list(fits))
                return
    yield Finding("one matrix", where, None, f"n is not known: no matrix of up to {SMALL} images")


def _readings(group: Sequence[Number], sizes: range) -> Iterator[Problem]:
    """Ways to read the scores of a group as those of two classes.

    One that names no class may be of either, or a mean over both.
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
    specific = any(n.score in _BARE_TOO for n in bare)
    seen = []
    for positive in named if len(named) == 1 else classes or ("",):
        for mean in ("", "_macro", "_weighted", "_micro"):
            for other in ("", mean) if specific and mean else (mean,):
                reading = mean[1:] or (f"of {positive}" if positive else "of one class")
                problem = _problem(rest, positive, sizes, classes)
                for number in bare:
                    name = _read_as(number, mean, other)
                    if name is not None:
                        problem.names[number] = name
                what = (sorted(problem.names.values()), problem.positives)
                if len(problem.names) > 1 and what not in seen:
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


def _against_the_rest(group: Sequence[Number], name: str, sizes: range) -> Problem:
    """The scores of one class of several; an image that is right for all is right for it."""
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


def _search(problems: Sequence[Problem], rule: str) -> Iterator[Finding]:
    """Judge by all readings: it is impossible where none of them has a matrix."""
    found = [
        matrices(each.all_limits(), each.sizes, each.positives, most=MOST) for each in problems
    ]
    where = lines(number for each in problems for number in each.names)
    fitting = [(each, fits) for each, fits in zip(problems, found, strict=True) if fits.number]
    if fitting:
        total = sum(fits.number for _, fits in fitting)
        complete = all(fits.complete for fits in found)
        shown = "; ".join(_said(each, fits) for each, fits in fitting)
        yield Finding(
            rule, where, True, shown, total if complete else None, _list(fitting[0][1])
        )  # fmt: skip
        return
    if not all(fits.complete for fits in found):
        yield Finding(rule, where, None, "too many matrices to try")
        return
    readings = ", ".join(each.reading for each in problems if each.reading)
    size = _size(problems[0].sizes)
    shown = f"no matrix of {size} images has all" + (f" ({readings})" if readings else "")
    cut = _if_cut(problems)
    repairs = {} if cut else _repairs(problems)
    if cut:
        shown += f"; cut instead of rounded: {cut}"
    elif repairs:
        shown += "; " + ", or ".join(_mended(problems, i, text) for i, text in repairs.items())
    yield Finding(rule, where, False, shown, 0, repairs=repairs)


def _if_cut(problems: Sequence[Problem]) -> str:
    """A matrix that gives all numbers if some were cut instead of rounded; "" if none does."""
    for problem in problems:
        limits = problem.all_limits()
        for number, name in problem.names.items():
            name = SAME.get(name, name)
            if name not in COUNTS and name in limits:
                exact = number.printed
                limits[name] = (limits[name][0], max(limits[name][1], exact.value + exact.unit))
        fits = matrices(limits, problem.sizes, problem.positives, most=MOST_FOR_REPAIR)
        for matrix in fits.some:
            if all(
                _rounded_or_cut(matrix, SAME.get(name, name), number.printed)
                for number, name in problem.names.items()
            ):
                return f"({', '.join(map(str, matrix))})"
    return ""


def _rounded_or_cut(matrix: Matrix, name: str, number: Printed) -> bool:
    if name == "mcc" or name in COUNTS:
        return True
    return any(number.holds(exact) or number.cut_holds(exact) for exact in values(matrix, name))


def _size(sizes: range) -> str:
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _said(problem: Problem, fits: Fits) -> str:
    """Scores of the first matrix written out."""
    matrix = fits.some[0]
    parts = dict.fromkeys(
        said(matrix, SAME.get(name, name), number.printed)
        for number, name in problem.names.items()
        if SAME.get(name, name) not in COUNTS
    )
    reading = f" {problem.reading}" if problem.reading else ""
    count = "one matrix" if fits.number == 1 else f"{in_words(fits.number)} matrices"
    first = ", ".join(parts)
    return f"{count}{reading}: {first}" if fits.number == 1 else f"{count}{reading}; first: {first}"


def _list(fits: Fits) -> str:
    rest = fits.number - len(fits.some)
    text = " ".join(f"({', '.join(map(str, matrix))})" for matrix in fits.some)
    return text + (f" and {rest} more" if rest > 0 else "")


def _mended(problems: Sequence[Problem], line: int, text: str) -> str:
    number = next(n for each in problems for n in each.names if n.line == line)
    return f"{number.label} {number.printed.text} would have to be {text}"


def _repairs(problems: Sequence[Problem]) -> dict[int, str]:
    """What each number would have to be if all others are right; the smallest change first."""
    found: dict[int, tuple[Fraction, str]] = {}
    for problem in problems:
        for number, name in problem.names.items():
            value = nearest(problem, number, SAME.get(name, name))
            if value is None:
                continue
            far = abs(value - number.printed.value) / number.printed.unit
            if number.line not in found or far < found[number.line][0]:
                found[number.line] = (far, number.printed.said(value))
    ranked = sorted(found, key=lambda line: found[line][0])
    return {line: found[line][1] for line in ranked[:2]}


def nearest(problem: Problem, number: Number, name: str) -> Fraction | None:
    """Value of a number's score nearest to it, among the matrices that give all others.

    Parameters
    ----------
    problem : Problem
    number : Number
        Of the problem.
    name : str
        Its score.

    Returns
    -------
    Fraction or None
        None where the others fit no matrix, or too many.
    """
    target = float(number.printed.value)
    best: tuple[float, Fraction] | None = None
    try:
        limits = problem.all_limits(number)
        for block in blocks(limits, problem.sizes, problem.positives, most=MOST_FOR_REPAIR):
            with np.errstate(divide="ignore", invalid="ignore"):
                value = floats(block, name)
            apart = np.abs(value - target)
            if np.isnan(apart).all():
                continue
            i = int(np.nanargmin(apart))
            if best is None or apart[i] < best[0]:
                matrix = Matrix(*map(int, block[:, i]))
                exact = Fraction(float(value[i])) if name == "mcc" else values(matrix, name)[0]
                best = (float(apart[i]), exact)
    except TooManyError:
        return None
    return best[1] if best else None


def counts_of(group: Sequence[Number], name: str) -> Matrix | None:
    """The four counts of a class, if all are printed.

    Parameters
    ----------
    group : sequence of Number
    name : str
        The class.
    """
    found = {n.score: n.exact_count for n in group if n.of_class == name and n.score in COUNT_KEYS}
    known = [found.get(each) for each in COUNTS]
    return None if None in known else Matrix(*(int(each) for each in known if each is not None))
