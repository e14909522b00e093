"""Rows done the paper's own way where ours do otherwise: what that is worth."""

from __future__ import annotations

from common.tables.ours import Estimate, ends_text, estimate
from common.tables.paper import Paper, command
from common.tables.printed import SCALES

HEADER = ["row", "metric", "paper", "as printed", "95 % interval", "our row", "difference"]
"""Heads of the columns; the difference is that of the two runs of ours."""


def experiment_lines(paper: Paper) -> tuple[list[list[str]], list[str]]:
    """Numbers of the experiments that have runs, and the commands of those that have none.

    Parameters
    ----------
    paper : Paper
        From `load`.

    Returns
    -------
    lines : list of list of str
        Under `HEADER`, a line for each printed number of a row that has such an experiment.
    commands : list of str
        What makes the others, in the order of the rows.
    """
    lines: list[list[str]] = []
    before = ""
    for row in paper.table.to_dict("records"):
        group = paper.groups.get(paper.as_printed.get(row["preset"], ""))
        if group is None:
            continue
        scale, decimals = SCALES.get(row["unit"], 1), int(row["decimals"])
        theirs = estimate(group, row["metrics_key"])
        beside = paper.groups.get(row["preset"])
        ours = estimate(beside, row["metrics_key"]) if beside else None
        title = f"{row['table']}, {row['row']}"
        lines.append(
            [
                "" if title == before else title,
                row["metric"],
                row["printed"],
                value_text(theirs, scale, decimals),
                ends_text(theirs.ends, scale, decimals),
                value_text(ours, scale, decimals),
                apart_text(theirs, ours, scale, decimals),
            ]
        )
        before = title
    missing = [
        command(paper.package, name, paper.trained_by, paper.chains)
        for row, name in paper.as_printed.items()
        if name not in paper.groups and row in set(paper.table["preset"])
    ]
    return lines, missing


def value_text(found: Estimate | None, scale: float, decimals: int) -> str:
    """Show a value of ours, and of how many runs it is, if of several.

    Parameters
    ----------
    found : Estimate or None
    scale : float
        Printed units in one of metrics.json: 100 for percent.
    decimals : int
    """
    if found is None or found.value is None:
        return "–"
    text = f"{scale * found.value:.{decimals}f}"
    return f"{text} ({found.n_runs} runs)" if found.n_runs > 1 else text


def apart_text(first: Estimate, second: Estimate | None, scale: float, decimals: int) -> str:
    """Show the first value less the second.

    Parameters
    ----------
    first : Estimate
    second : Estimate or None
    scale, decimals
        As in `value_text`.
    """
    if second is None or second.value is None or first.value is None:
        return "–"
    return f"{scale * (first.value - second.value):+.{decimals}f}"
