"""Scores printed beside four counts, the sums of those counts, and matrices that stand twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from common.forensics.finding import Finding, lines
from common.forensics.groups import counts_of
from common.forensics.reading import Number
from common.forensics.readings import size_of
from common.forensics.rounding import ZERO
from common.forensics.scores import COUNTS, SAME, SCORES, Matrix, holds, mcc_shown, said, values

Matrices = Mapping[str, Matrix]
"""The four counts of each class against the rest."""


def matrices_of(group: Sequence[Number]) -> dict[str, Matrix]:
    """Give the four counts of each class that has all of them in one run.

    Parameters
    ----------
    group : sequence of Number
    """
    single = [n for n in group if n.rounds == 1]
    names = dict.fromkeys(n.of_class for n in single)
    found = {name: counts_of(single, name) for name in names}
    return {name: matrix for name, matrix in found.items() if matrix is not None}


def counts_findings(group: Sequence[Number]) -> Iterator[Finding]:
    """Judge the scores of classes whose counts stand beside them, and the counts by each other.

    Parameters
    ----------
    group : sequence of Number
        Of one system and table.

    Yields
    ------
    Finding
    """
    found = matrices_of(group)
    if not found:
        return
    yield from _sums(group, found)
    for number in group:
        finding = score_finding(number, found, group)
        if finding is not None:
            yield finding


def score_finding(number: Number, found: Matrices, group: Sequence[Number] = ()) -> Finding | None:
    """Judge one score by printed counts; None if it does not follow from them.

    Parameters
    ----------
    number : Number
    found : mapping of str to Matrix
        The four counts of each class.
    group : sequence of Number
        What stands beside it: a mean may be of the printed scores as well.

    Returns
    -------
    Finding or None
    """
    if number.unit not in ("percent", "fraction"):
        return None
    score = SAME.get(number.score, number.score)
    if number.of_class or number.of_class in found:
        matrix = found.get(number.of_class)
        if matrix is None or score not in SCORES or score in COUNTS:
            return None
        possible = holds(matrix, score, number.printed)
        text = said(matrix, score, number.printed)
        mended = mcc_shown(matrix, number.printed) if score == "mcc" else ""
        if not mended:
            mended = number.printed.said(values(matrix, score)[0])
        return _finding(number, possible, text, mended)
    if score == "accuracy":
        return _accuracy(number, found)
    if number.score.endswith("_macro"):
        return _mean(number, found, group)
    return None


def _finding(number: Number, possible: bool, text: str, mended: str) -> Finding:
    repairs = {} if possible else {number.line: mended}
    text += "" if possible else f", not {number.printed.text}"
    # The counts may be the wrong ones.
    return Finding(
        "counts beside it", (number.line,), possible, text, None if possible else 0,
        repairs=repairs, together=True,
    )  # fmt: skip


def _accuracy(number: Number, found: Matrices) -> Finding | None:
    """Judge an accuracy by the counts of two classes, or of all."""
    names = list(found)
    if number.n_classes == 2 or (len(names) == 1 and not names[0]):
        matrix = found[names[0]]
        right, n = matrix.tp + matrix.tn, matrix.n
    elif number.n_classes == len(names):
        right = sum(matrix.tp for matrix in found.values())
        n = sum(matrix.tp + matrix.fn for matrix in found.values())
    else:
        return None
    if not n:
        return None
    exact = Fraction(right, n)
    text = f"{right}/{n} = {number.printed.said(exact)}"
    return _finding(number, number.printed.holds(exact), text, number.printed.said(exact))


def _mean(number: Number, found: Matrices, group: Sequence[Number]) -> Finding | None:
    """Judge a mean over classes; it may be of the exact or of the printed scores."""
    score = number.score.removesuffix("_macro")
    score = SAME.get(score, score)
    beside = [
        n.printed.value for n in group
        if n.of_class in found and n.of_class and SAME.get(n.score, n.score) == score
        and n.unit == number.unit
    ]  # fmt: skip
    classes = {name: matrix for name, matrix in found.items() if name}
    if len(classes) < 2 or number.n_classes not in (None, len(classes)) or score not in SCORES:
        return None
    if score == "mcc":
        # A root: to so many decimals as decide.
        exact = [Fraction(mcc_shown(m, number.printed.__class__("0", 12))) for m in classes.values()
                 if "nan" not in mcc_shown(m, number.printed)]  # fmt: skip
    else:
        exact = [values(matrix, score)[0] for matrix in classes.values()]
    if len(exact) < len(classes) or not all(
        len(values(m, score)) == 1 for m in classes.values() if score != "mcc"
    ):
        return None
    means = [sum(exact, ZERO) / len(exact)]
    if len(beside) == len(classes):
        means.append(sum(beside, ZERO) / len(beside))
    text = f"the mean over {len(classes)} classes is {number.printed.said(means[0])}"
    possible = any(number.printed.holds(each) for each in means)
    return _finding(number, possible, text, number.printed.said(means[0]))


def _sums(group: Sequence[Number], found: Matrices) -> Iterator[Finding]:
    """Judge the counts of each class by n, and those of all classes by each other."""
    sizes = size_of(group)
    n = sizes[0] if sizes is not None and len(sizes) == 1 else None
    for name, matrix in found.items():
        counts = [x for x in group if x.of_class == name and x.score in COUNTS]
        total = matrix.n
        sum_ = f"{' + '.join(str(c) for c in _printed_order(matrix))} = {total}"
        if n is None:
            continue
        repairs = {} if total == n else _mended_count(group, name, matrix, n)
        text = sum_ if total == n else f"{sum_} where there are {n} images"
        if repairs:
            named = {x.line: x.score.upper() for x in counts}
            either = " or ".join(f"{named[line]} {value}" for line, value in repairs.items())
            text += f"; {either} would make it right"
        yield Finding(
            "sum of counts", lines(counts), total == n, text, None if total == n else 0,
            repairs=repairs,
        )  # fmt: skip
    classes = [name for name in found if name]
    number_of = next((x.n_classes for x in group if x.n_classes), None)
    if len(classes) == 2 and number_of in (None, 2):
        one, other = (found[name] for name in classes)
        if one != other.mirrored:
            texts = [f"{name}: {', '.join(map(str, found[name]))}" for name in classes]
            counts = [x for x in group if x.of_class in classes and x.score in COUNTS]
            yield Finding(
                "sum of counts", lines(counts), False,
                f"TP, FN, FP, TN of two classes mirror each other, not so {'; '.join(texts)}", 0,
            )  # fmt: skip
    elif len(classes) > 2 and number_of == len(classes):
        yield from _of_several(group, found, n)


def _of_several(group: Sequence[Number], found: Matrices, n: int | None) -> Iterator[Finding]:
    """Judge the counts of several classes: images add up to n, and each error has two sides."""
    counts = [x for x in group if x.of_class in found and x.score in COUNTS]
    images = [matrix.tp + matrix.fn for matrix in found.values()]
    wrong = sum(matrix.fn for matrix in found.values())
    taken = sum(matrix.fp for matrix in found.values())
    if n is not None and sum(images) != n:
        text = f"{' + '.join(map(str, images))} = {sum(images)} images of all classes, not {n}"
        yield Finding("sum of counts", lines(counts), False, text, 0)
    if wrong != taken:
        text = f"the classes miss {wrong} images and take {taken} that are not theirs: one number"
        yield Finding("sum of counts", lines(counts), False, text, 0)


def _printed_order(matrix: Matrix) -> tuple[int, int, int, int]:
    return matrix.tp, matrix.tn, matrix.fp, matrix.fn


def _mended_count(group: Sequence[Number], name: str, matrix: Matrix, n: int) -> dict[int, str]:
    """Each count that, changed alone, makes the sum right and the most scores beside it.

    Where the images of the class are known, a count that then leaves another number of them is
    none.
    """
    scores = [
        x for x in group
        if x.of_class == name and SAME.get(x.score, x.score) in SCORES and x.score not in COUNTS
        and x.unit != "images"
    ]  # fmt: skip
    able: list[tuple[int, int, str]] = []
    for number in group:
        if number.of_class != name or number.score not in COUNTS:
            continue
        value = getattr(matrix, number.score) + n - matrix.n
        mended = matrix._replace(**{number.score: value})
        size = number.sizes.get(name)
        if value < 0 or (size is not None and mended.tp + mended.fn not in size):
            continue
        right = sum(holds(mended, SAME.get(x.score, x.score), x.printed) for x in scores)
        able.append((right, number.line, str(value)))
    most = max((right for right, _, _ in able), default=0)
    return {line: value for right, line, value in able if right == most}


def same_matrix_findings(groups: Sequence[Sequence[Number]]) -> Iterator[Finding]:
    """Name systems of one table that have the same counts in every class.

    Parameters
    ----------
    groups : sequence of sequence of Number
        Each of one system, all of one table.

    Yields
    ------
    Finding
    """
    seen: dict[tuple[tuple[str, Matrix], ...], Sequence[Number]] = {}
    for group in groups:
        found = matrices_of(group)
        key = tuple(sorted(found.items()))
        if not key or (len(key) == 1 and not group[0].n_classes):
            continue
        before = seen.setdefault(key, group)
        if before is group or before[0].measured == group[0].measured:
            continue
        both = [n for each in (before, group) for n in each if n.score in COUNTS]
        first = key[0][1]
        text = (
            f"{before[0].measured} and {group[0].measured} have one matrix: TP, FN, FP, TN = "
            f"{', '.join(map(str, first))}" + (f" of {key[0][0]}" if key[0][0] else "")
        )
        yield Finding("same matrix", lines(both), True, text, remark=True)
