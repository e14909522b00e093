"""What binds means and scores of several classes, where no single matrix can be searched.

Everything here is a necessary condition: what breaks it is impossible; what keeps it may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from common.forensics.finding import Finding, lines
from common.forensics.means import (
    error_range,
    f1_ends,
    harmonic,
    macro_errors,
    precision_at_most,
    within,
)
from common.forensics.reading import Number, by_score, share_of_class
from common.forensics.readings import size_of, two_classes
from common.forensics.rounding import ONE, ZERO, Printed, shown
from common.forensics.scores import SAME
from common.forensics.witness import MEANS, witness

POOLED = ("precision_micro", "recall_micro", "f1_micro", "recall_weighted")
"""Scores that are the accuracy where each image has one class and one prediction."""

Share = tuple[Fraction, Fraction]
"""Least and largest value."""


def f1_findings(group: Sequence[Number]) -> Iterator[Finding]:
    """Judge every F1 beside a precision and a recall: of a class, and of the mean over classes.

    Parameters
    ----------
    group : sequence of Number
        Of one system, table and number of rounds.

    Yields
    ------
    Finding
    """
    names = dict.fromkeys(n.of_class for n in group)
    for name in names:
        scores = by_score(group, name)
        for ending in ("", "_macro") if not name else ("",):
            three = [scores.get(f"{each}{ending}") for each in ("precision", "recall", "f1")]
            if None in three:
                continue
            p, r, f1 = (each for each in three if each is not None)
            if ending and not f1.n_classes:
                yield f1_finding(p, r, f1, None)
            else:
                # Without a class and a word on means, it may be one over classes with any weights.
                bare = not name and not ending
                classes = f1.n_classes if ending else 1
                yield f1_finding(p, r, f1, None if bare else (classes or 1) * f1.rounds)


def f1_finding(p: Number, r: Number, f1: Number, parts: int | None) -> Finding:
    """Judge an F1 by the printed precision and recall.

    Parameters
    ----------
    p, r, f1 : Number
    parts : int or None
        Over how many rounds and classes they are means; None: not known.

    Returns
    -------
    Finding
    """
    (p_low, p_high), (r_low, r_high) = within(p.printed), within(r.printed)
    if min(p_high, r_high) < 0 or max(p_low, r_low) > 1:
        return Finding("F1 of two means", lines((p, r, f1)), None, "precision or recall is none")
    low, high = f1_ends((p_low, p_high), (r_low, r_high), parts)
    exact = f1.printed
    of_two = harmonic(p.printed.value, r.printed.value)
    scale = exact.scale
    sum_ = (
        f"2 * {p.printed.text} * {r.printed.text} / ({p.printed.text} + {r.printed.text}) = "
        f"{exact.said(of_two)}"
    )
    possible = exact.low <= high and exact.high >= low
    where = lines((p, r, f1))
    if possible:
        remark = not exact.holds(of_two) and exact.cut_holds(of_two)
        text = f"{sum_}, cut to {exact.text}" if remark else sum_
        return Finding("F1 of two means", where, True, text, remark=remark)
    several = parts is None or parts > 1
    end = high if exact.low > high else low
    word = "at most" if exact.low > high else "at least"
    limit = f" ({word} {shown(end * scale, exact.decimals + 2)})" if several else ""
    return Finding(
        "F1 of two means", where, False, f"{sum_}, not {exact.text}{limit}", 0,
        repairs={f1.line: exact.said(min(max(of_two, low), high))},
    )  # fmt: skip


def between_findings(group: Sequence[Number]) -> Iterator[Finding]:
    """Judge means over rounds, or scores of unknown sizes, of two classes by the class shares.

    Parameters
    ----------
    group : sequence of Number
        Of one system and number of rounds.

    Yields
    ------
    Finding
    """
    if not two_classes(group):
        return
    plain = by_score(group)
    accuracy, specificity = plain.get("accuracy"), plain.get("tnr")
    for name in dict.fromkeys(n.of_class for n in group if n.of_class):
        own = by_score(group, name)
        recall, precision = own.get("recall"), own.get("precision")
        negative = own.get("tnr") or specificity
        if recall is None or negative is None:
            continue
        # How many images of a class each fold has is not known.
        positive = (ZERO, ONE) if recall.folds else share_of_class(recall, name)
        if accuracy is not None:
            yield _between(accuracy, recall, negative, positive)
        if precision is not None:
            yield _limited(precision, recall, negative, positive)


def _between(a: Number, r: Number, s: Number, positive: Share) -> Finding:
    """Judge an accuracy between a recall and a specificity."""
    if a.rounds == 1:
        # One run: it lies between them, whatever the share.
        low, high = error_of_one(r.printed, s.printed, positive)
    else:
        low, high = error_range(r.printed, s.printed, positive)
    exact = a.printed
    least, most = 1 - high, 1 - low
    ends = f"{shown(least * exact.scale, exact.decimals)} to " + shown(
        most * exact.scale, exact.decimals
    )
    known = positive != (ZERO, ONE)
    share = (
        f" with {_percent(positive[0])} to {_percent(positive[1])} % positive images"
        if known
        else ""
    )
    text = (
        f"specificity {s.printed.text} and recall {r.printed.text}{share} leave an accuracy from "
        f"{ends}"
    )
    implied = implied_share(a.printed, r.printed, s.printed)
    if implied is not None:
        text += f"; {exact.text} would need {implied}"
    possible = exact.low <= most and exact.high >= least
    rule = "share of positives" if known else "accuracy between"
    repairs = {} if possible else {a.line: exact.said(min(max(exact.value, least), most))}
    return Finding(rule, lines((a, r, s)), possible, text, None if possible else 0, repairs=repairs)


def error_of_one(recall: Printed, specificity: Printed, positive: Share) -> Share:
    """Least and largest error of one run, given the shares of positive images there may be.

    Parameters
    ----------
    recall, specificity : Printed
    positive : (Fraction, Fraction)
    """
    (r_low, r_high), (s_low, s_high) = within(recall), within(specificity)
    least = [w * (1 - r_high) + (1 - w) * (1 - s_high) for w in positive]
    most = [w * (1 - r_low) + (1 - w) * (1 - s_low) for w in positive]
    return min(least), max(most)


def implied_share(accuracy: Printed, recall: Printed, specificity: Printed) -> str | None:
    """Say the share of positive images that three printed scores of one run leave.

    Parameters
    ----------
    accuracy, recall, specificity : Printed

    Examples
    --------
    >>> from common.forensics.rounding import printed
    >>> implied_share(printed("88.29"), printed("97.44"), printed("81.66"))
    '42.0 % positive images: (88.29 - 81.66) / (97.44 - 81.66)'
    """
    if recall.value == specificity.value:
        return None
    share = (accuracy.value - specificity.value) / (recall.value - specificity.value)
    if not 0 <= share <= 1:
        return "a share of positive images outside 0 to 100 %"
    a, r, s = accuracy.text, recall.text, specificity.text
    return f"{_percent(share)} % positive images: ({a} - {s}) / ({r} - {s})"


def _percent(share: Fraction) -> str:
    return shown(100 * share, 1)


def _limited(p: Number, r: Number, s: Number, positive: Share) -> Finding:
    """Judge a precision by the specificity beside it."""
    most = precision_at_most(s.printed, r.printed, positive, p.rounds)
    possible = p.printed.low <= most
    text = (
        f"specificity {s.printed.text} with at most {_percent(positive[1])} % positive images "
        f"leaves a precision of at most {p.printed.said(most)}"
    )
    repairs = {} if possible else {p.line: p.printed.said(most)}
    return Finding(
        "precision and specificity", lines((p, r, s)), possible, text, None if possible else 0,
        repairs=repairs,
    )  # fmt: skip


def macro_findings(group: Sequence[Number]) -> Iterator[Finding]:
    """Judge an accuracy by the macro recall and precision of several classes.

    Parameters
    ----------
    group : sequence of Number
        Of one system, table and number of rounds.

    Yields
    ------
    Finding
    """
    scores = by_score(group)
    accuracy = scores.get("accuracy")
    classes = next((n.n_classes for n in group if n.n_classes), None)
    if accuracy is None or classes is None or classes < 2:
        return
    exact = accuracy.printed
    if classes > 2:  # of two, the search for matrices knows it
        yield from _pooled(accuracy, [scores[name] for name in POOLED if name in scores])
        yield from _witnesses(group, accuracy, classes)
    for name, what in (("recall_macro", "recall"), ("precision_macro", "precision")):
        number = scores.get(name)
        if number is None:
            continue
        low, high = within(number.printed)
        missing = (classes * (1 - high), classes * (1 - low))
        least, most = ZERO, missing[1]
        n = size_of([accuracy, number])
        if what == "recall" and n is not None and n[0] > 0:
            least, most = _errors(missing, number, n)
        possible = exact.low <= 1 - least and exact.high >= 1 - most
        ends = " to ".join(exact.said(max(each, ZERO)) for each in (1 - most, 1 - least))
        text = f"a macro {what} of {number.printed.text} over {classes} classes leaves an accuracy "
        text += f"from {ends}"
        repairs = {} if possible else {
            accuracy.line: exact.said(min(max(exact.value, 1 - most), 1 - least))
        }  # fmt: skip
        yield Finding(
            "macro and accuracy", lines((accuracy, number)), possible or False,
            text, None if possible else 0, repairs=repairs,
        )  # fmt: skip


def _witnesses(group: Sequence[Number], accuracy: Number, classes: int) -> Iterator[Finding]:
    """Find a matrix that gives the accuracy and all macro scores beside it."""
    scores = by_score(group)
    means = {name: scores[name] for name in MEANS if name in scores}
    n, sizes = accuracy.n_only, None
    # Scores of single classes, or of another size, would have to fit as well.
    if n is None or not means or accuracy.rounds > 1 or any(x.of_class for x in group):
        return
    if accuracy.sizes:
        if len(accuracy.sizes) != classes or any(len(x) > 1 for x in accuracy.sizes.values()):
            return
        sizes = [each[0] for each in accuracy.sizes.values()]
    if any(number.n_only != n for number in means.values()) or (sizes and sum(sizes) != n):
        return
    right = accuracy.printed.counts(n)
    found = witness(n, right, {name: x.printed for name, x in means.items()}, classes, sizes)
    if found is None:
        return
    correct = sum(each.tp for each in found)
    share = f"{correct}/{n} = {accuracy.printed.said(Fraction(correct, n))}"
    counts = " ".join(f"({', '.join(map(str, each))})" for each in found)
    text = f"a matrix of {classes} classes gives all: {share}; TP, FN, FP of each: {counts}"
    yield Finding(
        "a matrix of all classes", lines((accuracy, *means.values())), True, text, counts=counts
    )


def _pooled(accuracy: Number, pooled: Sequence[Number]) -> Iterator[Finding]:
    """Judge scores that are the accuracy under another name."""
    for number in pooled:
        one, other = accuracy.printed, number.printed
        possible = max(one.low, other.low) <= min(one.high, other.high)
        text = f"{number.label} {other.text} and accuracy {one.text} are one number"
        yield Finding(
            "pooled", lines((accuracy, number)), possible, text, None if possible else 0
        )  # fmt: skip


def _errors(missing: Share, number: Number, n: range) -> Share:
    """Least and largest share of errors, by what the recalls lack and the sizes of the classes."""
    sizes = [(each[0], each[-1]) for each in number.sizes.values()]
    if len(sizes) != number.n_classes or number.folds:
        # A class without test images may be counted as 0: nothing is known from below.
        return ZERO, missing[1]
    low, high = macro_errors(missing, sizes)
    return low / n[-1], min(high / n[0], ONE)


def class_mean_findings(group: Sequence[Number]) -> Iterator[Finding]:
    """Judge a mean over classes whose printed scores stand beside it.

    Parameters
    ----------
    group : sequence of Number
        Of one system, table and number of rounds.

    Yields
    ------
    Finding
    """
    for number in group:
        if number.of_class or not number.score.endswith("_macro"):
            continue
        score = number.score.removesuffix("_macro")
        score = SAME.get(score, score)
        parts = [
            n for n in group
            if n.of_class and SAME.get(n.score, n.score) == score and n.unit == number.unit
        ]  # fmt: skip
        if len(parts) < 2 or (number.n_classes and len(parts) != number.n_classes):
            continue
        k, exact = len(parts), number.printed
        low, high, middle = (
            sum((getattr(n.printed, end) for n in parts), ZERO) / k
            for end in ("low", "high", "value")
        )
        possible = exact.low <= high and exact.high >= low
        said = f"({' + '.join(n.printed.text for n in parts)}) / {k} = "
        text = said + shown(middle * exact.scale, exact.decimals + 1)
        text += "" if possible else f", not {exact.text}"
        repairs = {} if possible else {number.line: exact.said(middle)}
        yield Finding(
            "mean over classes", lines((*parts, number)), possible, text,
            None if possible else 0, repairs=repairs,
        )  # fmt: skip
