"""The block of printed numbers in a paper's README, made of published.csv alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from common.files import replace_block
from common.tables.arithmetic import impossible, paper_counts, size_remarks
from common.tables.cells import Notes, split_notes, table_title
from common.tables.nearest import nearest
from common.tables.printed import published
from common.tables.resolution import BEST, TIE, marked, resolved, told
from common.tables.show import markdown_table

if TYPE_CHECKING:
    import pandas as pd

BEGIN, END = "<!-- published:begin -->", "<!-- published:end -->"
"""What the block stands between."""


def block(package: str) -> str:
    """Markdown of all printed numbers, one table per printed table.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    str
        The tables; a star marks what no count of the printed number of test images gives, with the
        nearest possible number in brackets; numbers refer to the notes below.
    """
    table = published(package)
    table["wrong"] = [counted.possible is False for counted in paper_counts(table)]
    table["nearest"] = nearest(package, list(table["wrong"]))
    table["remark"] = size_remarks(table)
    table = table.join(resolved(table, {}))
    notes = Notes()
    reasons: dict[str, None] = {}
    out: list[str] = []
    for name, part in table.groupby("table", sort=False):
        shown = list(dict.fromkeys(part["metric"]))
        lines = [
            _line(marked(str(row), numbers["tie"].iloc[0]), numbers, shown, notes, reasons)
            for row, numbers in part.groupby("row", sort=False)
        ]
        units = dict(zip(part["metric"], part["unit"], strict=True))
        heads = [f"{metric} %" if units[metric] == "percent" else metric for metric in shown]
        header = ["row", *heads, "preset", "notes"]
        out += [f"**{table_title(str(name))}**", "", *markdown_table(header, lines), ""]
        out += [line for text in told(part) for line in (text, "")]
    for text in reasons:
        why = ": no count of test images rounds to it" if text.startswith("not possible") else ""
        out += [f"\\* {text}{why}.", ""]
    if table["tie"].isin((BEST, TIE)).any():
        out += ["≈: the best of its test set, or tied with it.", ""]
    if table["nearest"].any():
        out += ["In brackets: the nearest number that is possible if all others are right.", ""]
    out += [f"{i}. {text}" for i, text in enumerate(notes.texts, 1)]
    return "\n".join(out).rstrip() + "\n"


def _line(
    row: str, numbers: pd.DataFrame, shown: list[str], notes: Notes, reasons: dict[str, None]
) -> list[str]:
    """Cells of one row; adds to the notes, and to the reasons of the stars."""
    cells = dict.fromkeys(shown, "")
    marks: dict[str, None] = {}
    for number in numbers.to_dict("records"):
        near = f" ({number['nearest']})" if number["nearest"] else ""
        cells[number["metric"]] = number["printed"] + "*" * number["wrong"] + near
        texts = [*split_notes(number["note"]), number["remark"]]
        marks |= dict.fromkeys(map(notes.mark, filter(None, texts)))
        if number["wrong"]:
            reasons[impossible(number)] = None
    presets = ", ".join(f"`{preset}`" for preset in dict.fromkeys(numbers["preset"]))
    return [row, *cells.values(), presets, ", ".join(sorted(marks, key=int))]


def update_readme(path: str | Path, package: str) -> bool:
    """Replace what stands between a README's two markers by `block`.

    Parameters
    ----------
    path : path
        The README.
    package : str
        Name of the paper's package.

    Returns
    -------
    bool
        Whether the file changed.

    Raises
    ------
    InputError
        If the markers are not there, once each and in order.
    """
    return replace_block(path, BEGIN, END, block(package))
