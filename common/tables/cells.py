"""Numbers as text: a cell for each column, with footnotes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common.tables.arithmetic import impossible
from common.tables.printed import SCALES, unknown
from common.tables.resolution import marked

if TYPE_CHECKING:
    import pandas as pd

OTHER = "same task, other images"
"""Head of the second judgement, which is no reproduction."""

HEADER = [
    "row",
    "metric",
    "paper",
    "ours",
    "95 % interval",
    "difference",
    "status",
    OTHER,
    "honest twin",
    "command",
    "notes",
]
"""Heads of the columns; that of `OTHER` is shown where something stands below it."""

_DECIMALS = {"percent": 2, "fraction": 3}
"""Digits of our numbers at least, by unit; 1 of the others."""


class Notes:
    """Footnotes: each text once, numbered in order of appearance."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """Number a text; one that is new is added.

        Parameters
        ----------
        text : str
            What the footnote says.

        Returns
        -------
        str
            Its number, counted from 1.
        """
        if text not in self.texts:
            self.texts.append(text)
        return str(self.texts.index(text) + 1)


def table_title(name: str) -> str:
    """Write out a table's short name: ``T2`` as Table 2, ``F8`` as Figure 8.

    Parameters
    ----------
    name : str
        As in published.csv; any other stays as it is.

    Returns
    -------
    str
    """
    found = re.fullmatch(r"([TF])(\d+)", name)
    if not found:
        return name
    return f"Table {found[2]}" if found[1] == "T" else f"Figure {found[2]}"


def split_notes(note: str) -> list[str]:
    """Split a note of published.csv into its discrepancies, ``H05: ...; H04: ...``.

    Parameters
    ----------
    note : str
        The cell; it may be empty.

    Returns
    -------
    list of str
        One text each, with its number.
    """
    return [text for text in re.split(r"; (?=[A-Z]\d\d: )", note) if text]


def cells(table: pd.DataFrame, commands: Notes, notes: Notes) -> list[tuple[str, list[list[str]]]]:
    """Tables as text.

    Parameters
    ----------
    table : DataFrame
        From `compared`.
    commands, notes : Notes
        Get what the cells refer to.

    Returns
    -------
    list of (str, list of list of str)
        For each printed table its name and its lines, a cell for each of `HEADER`.
    """
    found = []
    for name, part in table.groupby("table", sort=False):
        lines: list[list[str]] = []
        before = None
        for record in part.to_dict("records"):
            # Missing where the counts are unknown; only a plain False says that none fits.
            wrong = not unknown(record["paper_possible"]) and not record["paper_possible"]
            # In this order: notes are numbered as they appear.
            marks = [notes.mark(text) for text in _remarks(record, wrong)]
            lines.append(
                [
                    "" if record["row"] == before else marked(record["row"], record["tie"]),
                    record["metric"],
                    record["printed"] + "*" * wrong,
                    _ours(record),
                    _interval(record),
                    _difference(record),
                    _status(record),
                    record["other_images"],
                    _twin(record, notes),
                    _commands(record, commands),
                    f"[{','.join(sorted(marks, key=int))}]" if marks else "",
                ]
            )
            before = record["row"]
        found.append((str(name), lines))
    return found


def _remarks(record: Mapping[str, Any], wrong: bool) -> list[str]:
    """What the notes say of a line."""
    texts = [*split_notes(record["note"]), *filter(None, [record["paper_remark"]])]
    if record["measured"]:
        texts.append(f"ours: {record['measured']}")
    if wrong:
        texts.append(f"* {impossible(record)}")
    elif record["reason"]:
        texts.append(record["reason"])
    texts += [f"may flatter ours: {text}" for text in record["leaks"].split("; ") if text]
    if record["n_runs"] > 1:
        text = f"± over {record['varied'].replace(',', ', ') or 'repeated runs'}"
        if not record["independent"]:
            text += "; not independent: folds share test images"
        texts.append(text)
    return texts


def _status(record: Mapping[str, Any]) -> str:
    """The judgement with its one reason, or with the nearest possible number."""
    if record["nearest"]:
        return f"{record['status']}; nearest {record['nearest']}"
    return ": ".join(filter(None, [record["status"], record["because"]]))


def _twin(record: Mapping[str, Any], notes: Notes) -> str:
    """What the honest twin gives, or why there is none."""
    if not record["honest_command"]:
        return f"none [{notes.mark(record['honest'].removeprefix('none: '))}]"
    if not record["honest_n_runs"]:
        return "not run"
    text = _ours(record, "honest_")
    if unknown(record["honest_low"]):
        return text
    return f"{text} [{_interval(record, 'honest_')}]"


def _commands(record: Mapping[str, Any], commands: Notes) -> str:
    asked = [record["command"], *filter(None, [record["honest_command"]])]
    return " ".join(f"({commands.mark(text)})" for text in asked)


def _ours(record: Mapping[str, Any], prefix: str = "") -> str:
    """Value with k/n for one run; mean ± sd (runs) for several."""
    value, sd = record[f"{prefix}ours"], record[f"{prefix}sd"]
    if unknown(value):
        return "–"
    decimals = _decimals(record, sd)
    if not unknown(sd):
        return f"{value:.{decimals}f} ± {sd:.{decimals}f} ({record[f'{prefix}n_runs']})"
    if not prefix and not unknown(record["k"]):
        return f"{value:.{decimals}f} ({record['k']}/{record['n']})"
    return f"{value:.{decimals}f}"


def _decimals(record: Mapping[str, Any], sd: Any) -> int:
    """As many digits as the paper prints; of scores and means enough to tell ours apart."""
    if record["unit"] not in SCALES and unknown(sd):
        return int(record["decimals"])
    return max(int(record["decimals"]), _DECIMALS.get(record["unit"], 1))


def _interval(record: Mapping[str, Any], prefix: str = "") -> str:
    low, high = record[f"{prefix}low"], record[f"{prefix}high"]
    decimals = _DECIMALS.get(record["unit"], 1)
    return "–" if unknown(low) else f"{low:.{decimals}f} to {high:.{decimals}f}"


def _difference(record: Mapping[str, Any]) -> str:
    value, low, high = (record[f"difference{end}"] for end in ("", "_low", "_high"))
    if unknown(value):
        return "–"
    decimals = _decimals(record, record["sd"])
    if unknown(low):
        return f"{value:+.{decimals}f}"
    within = max(decimals, 1)  # a whole number of images could seem to hold 0
    return f"{value:+.{decimals}f} [{low:+.{within}f} to {high:+.{within}f}]"
