"""A review in words: for a terminal, and what its page shows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from common import charts, metrics, notices
from common.forensics.show import summary
from common.metrics import shown
from common.metrics.summary import aligned
from common.report import words
from common.report.pictures import embedded
from common.review.finding import LEVELS, TOPICS, Finding
from common.review.making import Review
from common.review.parts import WORDS
from common.splits import leakage
from common.terminal import plain

WIDTH = 100
"""Columns of the text."""

MOST, LEAST = 15, 3
"""Findings, and questions, that the text shows; and of each level at least. The page has all."""


def counts(found: Sequence[Finding]) -> str:
    """Count findings by how sure they are: ``2 wrong, 3 in doubt``.

    Parameters
    ----------
    found : sequence of Finding
    """
    names = {"wrong": "wrong", "doubt": "in doubt"}
    number = {level: sum(each.level == level for each in found) for level in names}
    parts = [f"{number[level]} {name}" for level, name in names.items() if number[level]]
    return ", ".join(parts) or "nothing wrong, nothing in doubt"


def text(review: Review) -> str:
    """Write a review for a terminal: findings and their questions.

    Parameters
    ----------
    review : Review

    Returns
    -------
    str
    """
    out = [notices.SYNTHETIC] if review.synthetic else []
    out += [f"review: {counts(review.found)}"]
    for name, what in sources(review):
        out += _wrapped(f"{name}: {what}", "  ")
    room = MOST
    for level, meaning in LEVELS.items():
        group = [each for each in review.found if each.level == level]
        if not group:
            continue
        out += ["", f"{level}: {meaning}"]
        first = _first([(each.topic, each.rule) for each in group], max(room, LEAST))
        room -= len(first)
        for each in (group[i] for i in first):
            out += _wrapped(f"{TOPICS[each.topic]}, {each.rule}: {each.what}", "  ")
            out += _wrapped(each.shown, "    ")
        out += _more(len(group) - len(first))
    if review.judged is not None:
        out += ["", "scores, recomputed"]
        out += [f"  {line}" for line in scores_in_words(review)]
    if review.questions:
        out += ["", "questions to the authors"]
        topics = {each.question: each.topic for each in review.found}
        first = _first([topics[question] for question in review.questions], MOST)
        for i in first:
            out += _wrapped(f"{i + 1}. {review.questions[i]}", "  ")
        out += _more(len(review.questions) - len(first))
    lists = "; ".join(
        f"{each.checklist.title}: {each.seen} of {len(each.items)} items seen in the files, "
        f"{len(each.items) - each.seen} to ask"
        for each in review.gaps
    )
    return "\n".join([*out, "", *_wrapped(lists, "")]) + "\n"


def _first(kinds: Sequence[object], room: int) -> list[int]:
    """Places of so many, in order: one of each kind before a second one of any."""
    rank = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return sorted(sorted(range(len(kinds)), key=lambda i: (rank[i], i))[:room])


def _more(rest: int) -> list[str]:
    return [f"  and {rest} more, on the page"] if rest > 0 else []


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(
        plain(line), WIDTH, initial_indent=indent, subsequent_indent=indent + "  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def sources(review: Review) -> list[tuple[str, str]]:
    """Say what each file is: its name, and what it holds.

    Parameters
    ----------
    review : Review

    Returns
    -------
    list of (str, str)
    """
    found = []
    if review.printed is not None:
        found.append((review.printed.name, summary(review.printed.table)))
    if review.split is not None:
        report = review.split.report
        parts = ", ".join(f"{WORDS[p]} {n}" for p, n in report["parts"].items() if n)
        cases = report["groups"]["case"]
        called = "case numbers, read off the names" if review.split.by_name else "patients"
        who = f"{cases['groups']} {called}" if cases["groups"] else "patients unknown"
        found.append((review.split.name, f"{report['images']} images: {parts}; {who}"))
    if review.predictions is not None:
        given = review.predictions
        taken = ", ".join(
            f"{role} from {column}" if role != column else role
            for role, column in given.columns.items()
        )
        found.append(
            (given.name, f"{words.plural(len(given.frame), 'prediction')} of "
             f"{', '.join(given.classes)}; columns taken: {taken}")
        )  # fmt: skip
    if review.looked is not None:
        found.append((str(review.looked.folder), f"{review.looked.images} images compared"))
    return found


def scores_in_words(review: Review) -> list[str]:
    """Lay out the recomputed scores for a terminal.

    Parameters
    ----------
    review : Review
        With predictions.
    """
    assert review.judged is not None
    over = "patients" if review.judged.patients else "images"
    rows = [["score", "value", f"95 % interval over {over}"]]
    for each in review.judged.scores():
        if each.value is not None:
            ends = words.interval(each) if each.interval else words.UNKNOWN
            rows.append([each.score.title, words.score(each), ends])
    lines = [line.replace("\xa0", " ") for line in aligned(rows)]
    if review.judged.resolvable is not None:
        width = 100 * review.judged.resolvable
        lines.append(f"smallest difference of accuracies that can be seen: {width:.2f} points")
    return lines


def content(review: Review) -> dict[str, Any]:
    """Give what the page shows.

    Parameters
    ----------
    review : Review

    Returns
    -------
    dict
    """
    groups = [
        (level, meaning, [each for each in review.found if each.level == level])
        for level, meaning in LEVELS.items()
    ]
    return {
        "synthetic": review.synthetic,
        "synthetic_notice": notices.SYNTHETIC,
        "counts": counts(review.found),
        "sources": sources(review),
        "groups": [group for group in groups if group[2]],
        "topics": TOPICS,
        "questions": review.questions,
        "numbers": _numbers(review),
        "split": _split(review),
        "scores": _scores(review),
        "images": _images(review),
        "gaps": review.gaps,
    }


def _numbers(review: Review) -> dict[str, Any] | None:
    if review.printed is None:
        return None
    rows = [
        {"place": number.place, "what": number.label, "printed": number.printed.text,
         **{name: str(row[name]) for name in ("verdict", "repair", "counts")}}
        for number, row in zip(
            review.printed.numbers, review.printed.table.to_dict("records"), strict=True
        )
    ]  # fmt: skip
    return {
        "name": review.printed.name,
        "summary": summary(review.printed.table),
        "rows": rows,
        "apart": review.printed.apart,
    }


def _split(review: Review) -> dict[str, Any] | None:
    if review.split is None:
        return None
    report = review.split.report
    used = review.split.frame[review.split.frame["part"] != ""].drop_duplicates(["image", "part"])
    labels = sorted(set(used["label"]) - {""})
    parts = [
        (WORDS[part], n, [int(((used["part"] == part) & (used["label"] == k)).sum())
                          for k in labels],
         used.loc[(used["part"] == part) & (used["case"] != ""), "case"].nunique())
        for part, n in report["parts"].items()
    ]  # fmt: skip
    shared = [
        (group, " and ".join(WORDS[part] for part in pair.split("-")), told["groups"],
         told["images"], told["share"], ", ".join(told["names"]))
        for group, found in report["groups"].items() if found["groups"]
        for pair, told in found["pairs"].items()
    ]  # fmt: skip
    return {"name": review.split.name, "labels": labels, "parts": parts, "shared": shared}


def _scores(review: Review) -> dict[str, Any] | None:
    if review.judged is None or review.predictions is None:
        return None
    given, judged = review.predictions, review.judged
    found = judged.metrics
    rows = [
        (each.score.title, words.score(each),
         words.interval(each) if each.interval else words.UNKNOWN, each.meaning)
        for each in judged.scores() if each.value is not None
    ]  # fmt: skip
    classes = [
        (name, found["support"][name],
         [(words.score(each), words.interval(each) if each.interval else "")
          for each in shown.of_class(found, name)])
        for name in given.classes
    ]  # fmt: skip
    heads = [each.score.title for each in shown.of_class(found, given.classes[0])]
    matrix = charts.confusion_matrix(found["confusion_matrix"], given.classes)
    pictures = [embedded(matrix, "Confusion matrix: " + "; ".join(
        f"{name}: {', '.join(map(str, row))}"
        for name, row in zip(given.classes, found["confusion_matrix"], strict=True)
    ))]  # fmt: skip
    if judged.of_probabilities is not None and given.scores is not None:
        bins = metrics.reliability(given.labels, given.scores)
        error = judged.of_probabilities["ece"]
        curve = charts.reliability(bins, error)
        pictures.append(
            embedded(curve, f"Calibration: accuracy against confidence; expected calibration error "
                     f"{error:.3f}")
        )  # fmt: skip
    magnifications = [
        (name, part["n"], part["accuracy"], part["accuracy_ci"])
        for name, part in found["by_magnification"].items()
    ]
    return {
        "name": given.name, "n": found["n"], "correct": found["correct"],
        "patients": found["n_patients"], "rows": rows, "heads": heads, "classes": classes,
        "pictures": pictures, "resolvable": judged.resolvable, "magnifications": magnifications,
        "positive": given.positive, "proper": given.proper, "has_scores": given.scores is not None,
        "notes": list(dict.fromkeys(shown.notes(shown.of_test(found)))),
    }  # fmt: skip


def _images(review: Review) -> dict[str, Any] | None:
    if review.looked is None:
        return None
    return {
        "folder": str(review.looked.folder),
        "lines": leakage.text(review.looked.report).splitlines(),
    }
