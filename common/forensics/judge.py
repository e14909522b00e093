"""All arithmetic on all numbers, and one verdict for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from common.forensics.across import (
    images_findings,
    merged_findings,
    part_findings,
    size_findings,
    system_findings,
)
from common.forensics.beside import counts_findings, matrices_of, same_matrix_findings
from common.forensics.bounds import (
    between_findings,
    class_mean_findings,
    f1_findings,
    macro_findings,
)
from common.forensics.equals import equals_findings
from common.forensics.finding import VERDICTS, Finding
from common.forensics.groups import matrix_findings
from common.forensics.half import half_findings
from common.forensics.reading import Number, numbers, without_means
from common.forensics.readings import two_classes
from common.forensics.shares import alone

if TYPE_CHECKING:
    import pandas as pd

MATRICES = ("one matrix", "one class", "above one half")
"""Rules whose fits are matrices, or all counts of a row."""

ADDED = ("verdict", "arithmetic", "shown", "fits", "counts", "repair", "remark")
"""Columns of a verdict."""


def findings(found: Sequence[Number], name: str = "numbers") -> list[Finding]:
    """Give all findings about a table of printed numbers.

    Parameters
    ----------
    found : sequence of Number
        From `numbers`.
    name : str
        What messages call the table.

    Returns
    -------
    list of Finding
        Those of single numbers first.

    Raises
    ------
    InputError
        An expression of `equals` cannot be read.
    """
    each_once = {(each.rule, each.lines, each.shown): each for each in _all(found, name)}
    return list(each_once.values())


def _all(found: Sequence[Number], name: str) -> Iterator[Finding]:
    for number in found:
        yield from alone(number)
    groups: dict[tuple[str, str, str], list[Number]] = {}
    systems: dict[str, list[Number]] = {}
    for number in found:
        if number.key:
            groups.setdefault((number.table, number.measured, number.path), []).append(number)
            if number.system:
                systems.setdefault(number.system, []).append(number)
    # Where one key stands twice with different numbers, the lines are of systems that have no name.
    groups = {place: _once_each(group) for place, group in groups.items() if _of_one(group)}
    for group in groups.values():
        yield from _of_group(group)
    places: dict[tuple[str, str], dict[str, list[Number]]] = {}
    for (table, _, path), group in groups.items():
        if group[0].system:
            places.setdefault((group[0].system, path), {})[table] = group
    for tables in places.values():
        yield from system_findings(tables)
        if len(tables) > 1:
            yield from _of_rounds([n for each in tables.values() for n in each])
    for own in systems.values():
        yield from part_findings(own)
    yield from size_findings(found, list(groups.values()))
    yield from merged_findings(systems)
    yield from images_findings(list(groups.values()))
    by_table: dict[str, list[list[Number]]] = {}
    for (table, _, _), group in groups.items():
        by_table.setdefault(table, []).append(group)
    for each in by_table.values():
        yield from same_matrix_findings(each)
    yield from equals_findings(found, name)


def _once_each(group: Sequence[Number]) -> list[Number]:
    """The numbers of a group, of one that stands there several times the first."""
    return list({(n.key, n.rounds, n.unit): n for n in reversed(group)}.values())[::-1]


def _of_one(group: Sequence[Number]) -> bool:
    """Whether the numbers of a group can be of one system: one number for each key."""
    once = {(n.key, n.rounds, n.unit): n.printed for n in group}
    if len(once) < len(group) and not group[0].measured:
        return False
    return all(once[n.key, n.rounds, n.unit] == n.printed for n in group)


def _of_group(group: Sequence[Number]) -> Iterator[Finding]:
    """Findings of one system in one table, runs and means of runs apart."""
    yield from counts_findings(group)
    known = matrices_of(group)
    exact = without_means(group)
    for rounds in dict.fromkeys(n.rounds for n in group):
        part = [n for n in exact if n.rounds == rounds]
        if rounds == 1:
            # What stands beside four counts is judged by them.
            if not (known and two_classes(group)):
                yield from matrix_findings([n for n in part if n.of_class not in known])
            yield from half_findings(part)
        if not known:
            yield from macro_findings(part)
            yield from between_findings(part)
            yield from class_mean_findings([n for n in group if n.rounds == rounds])
        yield from f1_findings(part)


def _of_rounds(everything: Sequence[Number]) -> Iterator[Finding]:
    """What several tables print of the means of one system, taken together."""
    known = matrices_of(everything)
    for rounds in dict.fromkeys(n.rounds for n in everything):
        if rounds == 1 and known:
            continue
        seen: dict[str, Number] = {}
        for number in without_means(everything):
            if number.rounds == rounds:
                seen.setdefault(number.key, number)
        yield from between_findings(list(seen.values()))
        yield from macro_findings(list(seen.values()))


def judged(table: pd.DataFrame, name: str = "numbers") -> pd.DataFrame:
    """Judge every printed number of a table.

    Parameters
    ----------
    table : DataFrame
        One line per number; columns of `COLUMNS`, of which `printed` and `metrics_key` (or
        `equals`) must be there.
    name : str
        What messages call it.

    Returns
    -------
    DataFrame
        The table with the columns `ADDED`: ``verdict``, one of `VERDICTS`; ``arithmetic``, the
        rules of `RULES` that decided it; ``shown``, the sums written out; ``fits``, how many counts
        or matrices fit, and ``counts``, those or the first of them; ``repair``, what the number
        would have to be if all others are right; ``remark``, what is worth telling beside.

    Raises
    ------
    InputError
        A value is not what its column wants; names line and column.

    Examples
    --------
    >>> import pandas as pd
    >>> found = judged(pd.DataFrame({"metrics_key": ["accuracy"], "printed": ["93.91"],
    ...                              "unit": ["percent"], "n_test": ["407"]}))
    >>> found[["verdict", "shown", "repair"]].values.tolist()
    [['impossible', '382/407 = 93.86 and 383/407 = 94.10, not 93.91', '93.86']]
    """
    found = numbers(table, name)
    return with_verdicts(table, findings(found, name))


def with_verdicts(table: pd.DataFrame, found: Sequence[Finding]) -> pd.DataFrame:
    """Put findings beside the numbers that they are about.

    Parameters
    ----------
    table : DataFrame
    found : sequence of Finding
        Their lines are positions in the table.

    Returns
    -------
    DataFrame
        As `judged` gives it.
    """
    about: list[list[Finding]] = [[] for _ in range(len(table))]
    for finding in found:
        for line in finding.lines:
            about[line].append(finding)
    rows = [_row(line, own) for line, own in enumerate(about)]
    result = table.reset_index(drop=True).copy()
    for column in ADDED:
        result[column] = [row[column] for row in rows]
    return result


def _row(line: int, own: Sequence[Finding]) -> dict[str, object]:
    verdict = "not checked"
    if own:
        verdict = min((each.verdict for each in own), key=VERDICTS.index)
    deciding = [each for each in own if each.verdict == verdict]
    # Those of whole matrices first: they say the most.
    most = sorted(deciding, key=lambda each: each.rule not in MATRICES)
    fits = [each for each in most if each.number is not None]
    remarks = [each.shown for each in own if each.remark]
    return {
        "verdict": verdict,
        "arithmetic": "; ".join(dict.fromkeys(each.rule for each in deciding)),
        "shown": "; ".join(dict.fromkeys(each.shown for each in deciding)),
        "fits": str(fits[0].number) if fits else "",
        "counts": next((each.counts for each in most if each.counts), ""),
        "repair": next((each.repairs[line] for each in deciding if line in each.repairs), ""),
        "remark": "; ".join(dict.fromkeys(remarks)),
    }
