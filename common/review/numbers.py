"""Printed numbers: what forensics finds in them, and which rows cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common import forensics
from common.forensics import Number
from common.forensics.show import named
from common.review.finding import Finding
from common.tables.resolution import nearest

if TYPE_CHECKING:
    import pandas as pd

LEVEL = {
    "impossible": "wrong", "impossible together": "wrong", "differs": "doubt",
    "not decided": "told",
}  # fmt: skip
"""Verdict of forensics -> level of a finding; others are no finding."""

ASK = {
    "impossible": ("which count of images gives this number?",
                   "which counts of images give these?"),
    "impossible together": ("is this number right, and what is it a mean of?",
                            "which of these numbers is wrong, or what are they means of?"),
    "differs": ("is this number right, and what is it of?",
                "which of these are right, and what is each of?"),
    "remark": ("is that so by chance?", "is that so by chance?"),
}  # fmt: skip
"""Verdict of forensics, the surest first -> what to ask about one number, and about several."""

NAMED = 12
"""Numbers that a question names."""


@dataclass
class Printed:
    """Printed numbers, judged.

    Attributes
    ----------
    name : str
        The file, or the paper.
    numbers : list of Number
    table : DataFrame
        With the verdicts.
    found : list of Finding
    apart : list of tuple
        Table, metric, best row, its number, how many rows, how many of them cannot be told from
        it, the difference that could be, in the unit of the number.
    """

    name: str
    numbers: list[Number]
    table: pd.DataFrame
    found: list[Finding]
    apart: list[tuple[str, str, str, str, int, int, str]]


def read(name: str) -> Printed:
    """Read printed numbers and judge them.

    Parameters
    ----------
    name : str
        A file of numbers as `common.forensics` takes it, or the name of one of the papers.

    Returns
    -------
    Printed

    Raises
    ------
    InputError
        As `forensics.read` and `forensics.numbers`.
    """
    table, _ = forensics.table_of(name)
    numbers = forensics.numbers(table, name)
    judged = forensics.findings(numbers, name)
    asked = _questions(judged, numbers)
    found = [
        Finding(
            LEVEL[each.verdict], "numbers", each.rule,
            f"{named(each, numbers)}: {each.verdict}", each.shown,
            asked.get(each.lines[0], "") if each.verdict in ASK else "",
        )
        for each in judged
        if each.verdict in LEVEL and not each.remark
    ]  # fmt: skip
    found += [
        Finding("doubt", "numbers", each.rule, named(each, numbers), each.shown,
                asked.get(each.lines[0], ""))
        for each in judged if each.remark
    ]  # fmt: skip
    apart = _apart(numbers)
    found += [
        Finding(
            "doubt", "numbers", "rows cannot be told apart",
            f"{table}, {metric}: {near} of {rows - 1} other rows are too near to the best one, "
            f"{row} ({best}), to be told from it by one test set of this size",
            f"on images that they do not share, systems are told apart from {width} on",
            f"{table}: is {row} better than the others beyond chance, compared in pairs and over "
            "patients?",
        )
        for table, metric, row, best, rows, near, width in apart
        if near
    ]  # fmt: skip
    return Printed(name, numbers, forensics.with_verdicts(table, judged), found, apart)


def _questions(judged: Sequence[forensics.Finding], numbers: Sequence[Number]) -> dict[int, str]:
    """What to ask about each number, by its line; about those that hang together, one question."""
    kinds = list(ASK)
    asking = [(each, "remark" if each.remark else each.verdict) for each in judged]
    asking = [(each, kind) for each, kind in asking if kind in ASK and each.lines]
    together: dict[int, set[int]] = {}
    for each, kind in sorted(asking, key=lambda pair: pair[1] == "remark"):
        # A remark is about many, and is asked about where nothing else is.
        if kind == "remark" and together.keys() & set(each.lines):
            continue
        joined = set(each.lines).union(*(together.get(line, set()) for line in each.lines))
        together.update(dict.fromkeys(joined, joined))
    worst: dict[int, str] = {}
    for each, kind in sorted(asking, key=lambda pair: kinds.index(pair[1])):
        for line in together.get(each.lines[0], ()):
            worst.setdefault(line, kind)
    # What is asked of single numbers of one table is asked once.
    alone: dict[tuple[str, str], set[int]] = {}
    for line, joined in together.items():
        if len(joined) == 1:
            alone.setdefault((numbers[line].table, worst[line]), set()).add(line)
    for lines in alone.values():
        together.update(dict.fromkeys(lines, lines))
    found = {}
    for line, joined in together.items():
        kind = worst[line]
        if kind == "impossible" and len(joined) > 1 and joined not in alone.values():
            kind = "impossible together"
        found[line] = f"{_all_named(sorted(joined), numbers)}: {ASK[kind][len(joined) > 1]}"
    return found


def _all_named(lines: Sequence[int], numbers: Sequence[Number]) -> str:
    """Numbers by their places, each place once: ``T1, VGG19: accuracy 99.03, recall 98.40``."""
    places: dict[str, list[str]] = {}
    for number in (numbers[line] for line in lines[:NAMED]):
        places.setdefault(number.place, []).append(f"{number.label} {number.printed.text}")
    texts = [f"{place}: {', '.join(each)}" if place else ", ".join(each)
             for place, each in places.items()]  # fmt: skip
    rest = len(lines) - NAMED
    return "; ".join(texts) + (f"; and {rest} more" if rest > 0 else "")


def _apart(numbers: Sequence[Number]) -> list[tuple[str, str, str, str, int, int, str]]:
    """Rows of each table whose accuracies cannot be told apart, by their images alone."""
    groups: dict[tuple[str, str, int], list[Number]] = {}
    for number in numbers:
        if number.score == "accuracy" and not number.of_class and number.unit != "images":
            size = number.n_only or number.taken
            if size and number.rounds == 1:
                groups.setdefault((number.table, number.label, size), []).append(number)
    found = []
    for (table, metric, n), group in groups.items():
        rows = list({number.row: number for number in group}.values())
        near = nearest([float(number.printed.value) for number in rows], n)
        if len(rows) < 2 or near is None:
            continue
        best = rows[near.best]
        scale = best.printed.scale
        unit = " points" if scale == 100 else ""
        text = f"{scale * near.fewer / n:.2f}{unit}"
        found.append((table, metric, best.row, best.printed.text, len(rows), len(near.ties), text))
    return found
