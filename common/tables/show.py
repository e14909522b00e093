"""How the tables look: cells with footnotes, as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from common import evaluation, runs
from common.errors import InputError, many
from common.notices import FABRICATED
from common.tables import as_printed, elsewhere
from common.tables.behind import lookup
from common.tables.cells import HEADER, OTHER, Notes, cells, table_title
from common.tables.comparison import compared
from common.tables.paper import Paper
from common.tables.printed import SCALES
from common.tables.resolution import told
from common.tables.tally import Tally, in_words, tally

_LATEX = dict.fromkeys(
    ("paper", "ours", "95 % interval", "difference", "honest twin", "images", "patients",
     "accuracy %", "balanced %"), "r",
)  # fmt: skip
"""Columns of numbers, which stand to the right."""

_DIFFERENCES = 3
"""How many differences from a row a line names."""

LEGEND = [
    "Percentages, or in the unit that the paper prints. ours: one run with its k/n, or mean ± "
    "standard deviation (runs).",
    "Interval: over patients for one run, exact where none moves the score, t for the mean of "
    "several. difference: ours minus",
    "the paper's with its interval, for which the paper's own is Clopper-Pearson, or as wide as "
    "ours where its counts are not known.",
    "status: above, below: ours, of the paper's, as the difference's interval leaves out 0; "
    "consistent: it holds 0 and is",
    "at most 6 points wide; inconclusive: it is wider; m of n rounds: the paper's number is a mean "
    "of n runs, ours of m;",
    "impossible as printed: what it would have to be stands beside it; not comparable: for the "
    "reason beside it.",
    "A count of parameters is exact: consistent if it rounds to the printed one. ≈: best of its "
    "test set, or tied with it: the",
    "difference in accuracy is one that this test set cannot show. Every word: docs/verdicts.md.",
]
"""What the columns mean."""

LEGEND_OTHER = [
    "same task, other images: ours and the paper's are of different test images, so nothing is "
    "reproduced: alike, unclear,",
    "higher, lower, as consistent, inconclusive, above, below, by Newcombe's hybrid score interval "
    "of two independent shares.",
]
"""What the column of `OTHER` means, of a paper that has one."""


def markdown(paper: Paper, *more: str) -> str:
    """The tables as Markdown that also reads well in a terminal.

    Parameters
    ----------
    paper : Paper
        From `load`.
    *more : str
        Texts that stand between the tables and the count at the end; empty ones are left out.

    Returns
    -------
    str
        A table per printed table, below it the runs that fill none of its rows; then the notes
        and commands that the cells refer to, and how many numbers have which judgement.
    """
    table = compared(paper)
    commands, notes = Notes(), Notes()
    out: list[str] = [f"**{FABRICATED}**", ""] if paper.fabricated else []
    listed: set[str] = set()
    for name, lines in cells(table, commands, notes):
        header, lines = without_empty(lines)
        out += [f"## {table_title(name)}", "", *markdown_table(header, lines), ""]
        part = table[table["table"] == name]
        out += [line for text in told(part) for line in (text, "")]
        presets = {*part["preset"], *part["honest"]} - listed  # once, where the row comes first
        listed |= presets
        others = _other_lines(paper, presets)
        if others:
            out += ["Runs that fill no row, with what differs:", "", *others, ""]
    out += _experiments(paper)
    if paper.elsewhere:
        lines = elsewhere.cells(paper.elsewhere)
        out += [f"## {elsewhere.TITLE}", "", *markdown_table(elsewhere.HEADER, lines), ""]
    counted = tally(table)
    out += [
        *LEGEND,
        *(LEGEND_OTHER if counted.other_images else []),
        "",
        "Notes:",
        "",
        *(f"[{i}] {text}  " for i, text in enumerate(notes.texts, 1)),
        "",
        "Commands:",
        "",
        *(f"({i}) `{text}`  " for i, text in enumerate(commands.texts, 1)),
        "",
        *(line for text in more if text for line in (text.rstrip(), "")),
        *_counted(counted),
    ]
    return "\n".join(out) + "\n"


def _counted(counted: Tally) -> list[str]:
    """How many numbers have a verdict, and why the others have none."""
    lines = [[name, str(count)] for name, count in counted.judgements.items()]
    table = markdown_table(["judgement", "numbers"], lines)
    return ["## Verdicts", "", *table, "", *in_words(counted)]


def without_empty(lines: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Leave out the column of other images where no line has anything in it.

    Parameters
    ----------
    lines : sequence of sequence of str
        Cells under `HEADER`.

    Returns
    -------
    header : list of str
    lines : list of list of str
    """
    at = HEADER.index(OTHER)
    kept = [i for i in range(len(HEADER)) if i != at or any(line[at] for line in lines)]
    return [HEADER[i] for i in kept], [[line[i] for i in kept] for line in lines]


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
    table = compared(paper)
    commands, notes = Notes(), Notes()
    out: list[str] = [f"% {FABRICATED}"] if paper.fabricated else []
    for name, lines in cells(table, commands, notes):
        header, lines = without_empty(lines)
        out += _tabular(table_title(name), header, lines)
        out += [*(f"% {text}" for text in told(table[table["table"] == name])), ""]
    if paper.elsewhere:
        lines = elsewhere.cells(paper.elsewhere)
        out += [*_tabular(elsewhere.TITLE, elsewhere.HEADER, lines), ""]
    counted = tally(table)
    out += [f"% {name}: {count}" for name, count in counted.judgements.items()]
    out += [f"% {text}" for text in in_words(counted)]
    out += [f"% [{i}] {text}" for i, text in enumerate(notes.texts, 1)]
    out += [f"% ({i}) {text}" for i, text in enumerate(commands.texts, 1)]
    return "\n".join(out) + "\n"


def _tabular(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    kinds = "".join(_LATEX.get(name, "l") for name in header)
    out = [f"% {title}", f"\\begin{{tabular}}{{{kinds}}}", "\\hline"]
    for i, line in enumerate([header, *lines]):
        out.append(" & ".join(_escaped(cell) for cell in line) + " \\\\")
        if i == 0:
            out.append("\\hline")
    return [*out, "\\hline", "\\end{tabular}"]


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
        return f"accuracy {100 * metrics['accuracy']:.2f} % ({many(metrics.get('n', 0), 'image')})"
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
    return text.replace("±", "$\\pm$").replace("–", "--").replace("≈", "$\\approx$")
