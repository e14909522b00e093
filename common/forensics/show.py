"""Verdicts in words: for a terminal, a page and a README."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.forensics.finding import RULES, VERDICTS, Finding, listing
from common.forensics.reading import Number
from common.terminal import plain

if TYPE_CHECKING:
    import pandas as pd

MEANS = {
    "impossible": "impossible: no test set of the size that is stated gives the number",
    "impossible together": "impossible together: at least one of the numbers named is wrong",
    "differs": "differs: two things that are printed do not agree, and both may be true",
    "not decided": "not decided: the search would be too large, or more would have to be known",
    "possible": "possible: there are counts that give the number",
    "not contradicted": "not contradicted: no bound is broken; counts were not searched",
    "not checked": "not checked: nothing is known by which it could be",
}
"""What each verdict says."""

WIDTH = 100
"""Columns of the text."""


def summary(table: pd.DataFrame) -> str:
    """Count the verdicts: ``44 numbers: 32 possible, 12 impossible``.

    Parameters
    ----------
    table : DataFrame
        From `judged`.

    Returns
    -------
    str
    """
    counts = Counter(table["verdict"])
    parts = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
    noun = "number" if len(table) == 1 else "numbers"
    return f"{len(table)} {noun}: {', '.join(parts)}" if parts else "no numbers"


def sorted_findings(found: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    """Group findings by their verdict, the worst first, and remarks last.

    Parameters
    ----------
    found : sequence of Finding

    Returns
    -------
    list of (str, list of Finding)
        Verdicts that none has are left out.
    """
    groups = [(v, [each for each in found if each.verdict == v and not each.remark])
              for v in VERDICTS]  # fmt: skip
    groups.append(("remark", [each for each in found if each.remark]))
    return [(verdict, each) for verdict, each in groups if each]


def assumed(numbers: Sequence[Number], found: Sequence[Finding]) -> list[str]:
    """Say what findings that speak against numbers rest on beside the numbers.

    Parameters
    ----------
    numbers : sequence of Number
        All.
    found : sequence of Finding

    Returns
    -------
    list of str
        Sentences.
    """
    against = [
        numbers[line]
        for each in found
        if each.verdict in ("impossible", "impossible together") and not each.remark
        for line in each.lines
    ]
    said = []
    if any(number.rounds > 1 for number in against):
        said.append(
            "Means over rounds are taken as means of exact values: where each round was rounded "
            "first, a last digit may be another."
        )
    if any(number.derived for number in against):
        said.append(
            "Some sizes of test sets are derived, not printed (n_from, n_range): with another size "
            "a number may be possible."
        )
    return said


def named(finding: Finding, numbers: Sequence[Number]) -> str:
    """Name the numbers of a finding: the first place, then the values.

    Parameters
    ----------
    finding : Finding
    numbers : sequence of Number
        All.

    Returns
    -------
    str
    """
    own = [numbers[line] for line in finding.lines]
    places: dict[str, list[str]] = {}
    for number in own:
        places.setdefault(number.place, []).append(f"{number.label} {number.printed.text}")
    texts = [f"{place}: {listing(each)}" if place else listing(each)
             for place, each in places.items()]  # fmt: skip
    shown = texts[:3]
    rest = len(texts) - len(shown)
    return "; ".join(shown) + (f"; and {rest} more rows" if rest else "")


def text(
    name: str, numbers: Sequence[Number], found: Sequence[Finding], table: pd.DataFrame,
    *, everything: bool = False,
) -> str:  # fmt: skip
    """Write the findings about a table of numbers for a terminal.

    Parameters
    ----------
    name : str
        The file.
    numbers : sequence of Number
    found : sequence of Finding
    table : DataFrame
        From `with_verdicts`.
    everything : bool
        What is possible, too.

    Returns
    -------
    str
    """
    out = [f"{plain(name)}: {summary(table)}"]
    for verdict, group in sorted_findings(found):
        if verdict in ("possible", "not contradicted") and not everything:
            continue
        out += ["", MEANS.get(verdict, "worth telling: nothing is wrong by it alone")]
        for finding in group:
            out += _wrapped(plain(named(finding, numbers)), "  ")
            said = f"{finding.rule}: {finding.shown}"
            if finding.counts and finding.counts not in finding.shown:
                said += f"; {finding.counts}"
            out += _wrapped(plain(said), "    ")
    for sentence in assumed(numbers, found):
        out += ["", *_wrapped(sentence, "")]
    return "\n".join(out) + "\n"


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(
        line, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def content(
    files: Sequence[tuple[str, Sequence[Number], Sequence[Finding], pd.DataFrame]],
) -> dict[str, Any]:
    """Give what the page shows.

    Parameters
    ----------
    files : sequence of (str, sequence of Number, sequence of Finding, DataFrame)
        Name, numbers, findings and verdicts of each.

    Returns
    -------
    dict
    """
    shown = []
    for name, numbers, found, table in files:
        groups = [
            (verdict, MEANS.get(verdict, "Worth telling: nothing is wrong by it alone"), [
                {"what": named(each, numbers), "rule": each.rule, "shown": each.shown,
                 "counts": "" if each.counts in each.shown else each.counts}
                for each in group
            ])
            for verdict, group in sorted_findings(found)
        ]  # fmt: skip
        lines = [
            {
                "place": number.place,
                "what": number.label, "printed": number.printed.text,
                **{column: str(row[column]) for column in ("verdict", "repair", "fits", "counts")},
            }
            for number, row in zip(numbers, table.to_dict("records"), strict=True)
        ]  # fmt: skip
        shown.append({"name": name, "summary": summary(table), "groups": groups, "lines": lines,
                      "assumed": assumed(numbers, found)})  # fmt: skip
    used = {each.rule for _, _, found, _ in files for each in found}
    verdicts: Counter[str] = Counter()
    for _, _, _, table in files:
        verdicts.update(table["verdict"])
    return {
        "files": shown,
        "rules": [(rule, why) for rule, why in RULES.items() if rule in used],
        "verdicts": [(v, verdicts[v]) for v in VERDICTS if verdicts[v]],
        "total": sum(verdicts.values()),
    }
