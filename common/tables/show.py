"""How the tables look: cells with footnotes, as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common import evaluation, runs
from common.errors import InputError
from common.notices import FABRICATED
from common.tables import as_printed
from common.tables.arithmetic import impossible
from common.tables.comparison import compared
from common.tables.ours import lookup
from common.tables.paper import Paper
from common.tables.printed import SCALES, unknown

if TYPE_CHECKING:
    import pandas as pd

HEADER = [
    "row",
    "metric",
    "paper",
    "ours",
    "95 % interval",
    "difference",
    "status",
    "honest twin",
    "command",
    "notes",
]
"""Heads of the columns."""

_DECIMALS = {"percent": 2, "fraction": 3}
"""Digits of our numbers at least, by unit; 1 of the others."""

_DIFFERENCES = 3
"""How many differences from a row a line names."""

LEGEND = [
    "Percentages, or in the unit that the paper prints. ours: one run with its k/n, or mean ± "
    "standard deviation (runs).",
    "Interval: bootstrap for one run, t for the mean of several. difference: ours minus the "
    "paper's with its interval, for",
    "which the paper's own is Clopper-Pearson, or as wide as ours where its counts are not known.",
    "status: above, below: ours, of the paper's, as the difference's interval leaves out 0; "
    "consistent: it holds 0 and is",
    "at most 6 points wide; inconclusive: it is wider; m of n rounds: the paper's number is a mean "
    "of n runs, ours of m.",
    "A count of parameters is exact: consistent if it rounds to the printed one.",
]
"""What the columns mean."""


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


def markdown(paper: Paper) -> str:
    """The tables as Markdown that also reads well in a terminal.

    Parameters
    ----------
    paper : Paper
        From `load`.

    Returns
    -------
    str
        A table per printed table, below it the runs that fill none of its rows; then the notes
        and commands that the cells refer to.
    """
    table = compared(paper)
    commands, notes = Notes(), Notes()
    out: list[str] = [f"**{FABRICATED}**", ""] if paper.fabricated else []
    listed: set[str] = set()
    for name, lines in cells(table, commands, notes):
        out += [f"## {table_title(name)}", "", *markdown_table(HEADER, lines), ""]
        part = table[table["table"] == name]
        presets = {*part["preset"], *part["honest"]} - listed  # once, where the row comes first
        listed |= presets
        others = _other_lines(paper, presets)
        if others:
            out += ["Runs that fill no row, with what differs:", "", *others, ""]
    out += _experiments(paper)
    out += [
        *LEGEND,
        "",
        "Notes:",
        "",
        *(f"[{i}] {text}  " for i, text in enumerate(notes.texts, 1)),
        "",
        "Commands:",
        "",
        *(f"({i}) `{text}`  " for i, text in enumerate(commands.texts, 1)),
    ]
    return "\n".join(out) + "\n"


def _experiments(paper: Paper) -> list[str]:
    """Rows done the paper's own way, below all tables; nothing where a paper has none."""
    lines, missing = as_printed.experiment_lines(paper)
    told = f"such as `{missing[0]}`." if missing else ""
    if not lines:
        # Named in one line: a list of them all would hide the tables.
        head = f"The paper's own way, which flatters: {len(missing)} experiments, none run,"
        return [f"{head} {told}", ""] if told else []
    title = "## The paper's own way, which flatters and fills no row"
    out = [title, "", *markdown_table(as_printed.HEADER, lines), ""]
    return [*out, f"{len(missing)} more are not run, {told}", ""] if told else out


def latex(paper: Paper) -> str:
    """The tables as LaTeX ``tabular`` environments, notes and commands as comments.

    Parameters
    ----------
    paper : Paper
        From `load`.

    Returns
    -------
    str
        To be put into a document; it needs no package.
    """
    commands, notes = Notes(), Notes()
    out: list[str] = [f"% {FABRICATED}"] if paper.fabricated else []
    for name, lines in cells(compared(paper), commands, notes):
        out += [f"% {table_title(name)}", "\\begin{tabular}{llrrrrlrll}", "\\hline"]
        for i, line in enumerate([HEADER, *lines]):
            out.append(" & ".join(_escaped(cell) for cell in line) + " \\\\")
            if i == 0:
                out.append("\\hline")
        out += ["\\hline", "\\end{tabular}", ""]
    out += [f"% [{i}] {text}" for i, text in enumerate(notes.texts, 1)]
    out += [f"% ({i}) {text}" for i, text in enumerate(commands.texts, 1)]
    return "\n".join(out) + "\n"


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table whose columns also line up in a terminal.

    Parameters
    ----------
    header : sequence of str
        Heads of the columns.
    lines : sequence of sequence of str
        As many cells each.

    Returns
    -------
    list of str
        All of one length: the heads, a rule, the lines.
    """
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    out = []
    for line in (header, ["-" * width for width in widths], *lines):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.append("| " + " | ".join(cells) + " |")
    return out


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


# --- cells ---------------------------------------------------------------------------------------


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
                    "" if record["row"] == before else record["row"],
                    record["metric"],
                    record["printed"] + "*" * wrong,
                    _ours(record),
                    _interval(record),
                    _difference(record),
                    record["status"],
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
    return f"{value:+.{decimals}f} [{low:+.{decimals}f} to {high:+.{decimals}f}]"


# --- runs that fill no row -----------------------------------------------------------------------


def _other_lines(paper: Paper, presets: set[str]) -> list[str]:
    """Runs that fill no row, each in a line with the first of what differs from the nearest one."""
    lines = []
    for preset, run, what in paper.others:
        if preset not in presets:
            continue
        more = [f"{len(what) - _DIFFERENCES} more"] if len(what) > _DIFFERENCES else []
        shown = "; ".join([*what[:_DIFFERENCES], *more])
        called = f" ({run.record.name})" if run.record.name else ""
        lines.append(
            f"- {preset}: {run.path.as_posix()}{called}: {_found(paper, preset, run)}; {shown}"
        )
    return lines


def _found(paper: Paper, preset: str, run: runs.Run) -> str:
    """Scores of a run: its accuracy, or what else the paper prints of the preset's row."""
    try:
        metrics = evaluation.read_metrics(run)
    except InputError:
        return "no metrics.json"
    if "accuracy" in metrics:
        return f"accuracy {100 * metrics['accuracy']:.2f} % ({metrics.get('n')} images)"
    rows = {preset, *(row for row, twin in paper.honest.items() if twin == preset)}
    scores: dict[str, str] = {}
    for row in paper.table[paper.table["preset"].isin(rows)].to_dict("records"):
        value = lookup(metrics, row["metrics_key"])
        if value is not None:
            shown = SCALES.get(row["unit"], 1) * value
            scores.setdefault(row["metric"], f"{row['metric']} {shown:.{row['decimals']}f}")
    return ", ".join(scores.values()) or "none of the printed scores"


def _escaped(text: str) -> str:
    """Text for LaTeX."""
    text = re.sub(r"([&%$#_{}])", r"\\\1", text)
    return text.replace("±", "$\\pm$").replace("–", "--")
