"""Numbers of one system in one table: matrices that give them all, or none does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from common.forensics.binary import MOST, Fits, TooManyError, blocks, matrices
from common.forensics.cells import COUNT_KEYS
from common.forensics.finding import Finding, in_words, lines
from common.forensics.reading import Number
from common.forensics.readings import Problem, against_the_rest, readings, size_of, two_classes
from common.forensics.rounding import Printed
from common.forensics.scores import COUNTS, SAME, Matrix, floats, said, values

SMALL = 200
"""Images of the largest test set that is tried where its size is not known."""

MOST_FOR_REPAIR = 400_000
"""Size of the largest search for what one number would have to be."""


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
        found = list(readings(group, sizes))
        if found:
            yield from _search(found, "one matrix")
        return
    for name in dict.fromkeys(n.of_class for n in group if n.of_class):
        problem = against_the_rest(group, name, sizes)
        if len(problem.names) > 1:
            yield from _search([problem], "one class")


def _of_any_size(group: Sequence[Number]) -> Iterator[Finding]:
    """Search the smallest test set of which a matrix of two classes gives all numbers."""
    problems = list(readings(group, range(2, SMALL + 1)))
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
