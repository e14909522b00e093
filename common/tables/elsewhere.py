"""What runs are worth on other data than the paper's: beside their own test images, not judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from common import evaluation, runs, terminal
from common.errors import DAMAGE, InputError
from common.tables.ours import ends_text

TITLE = "On other data, judged against no printed number"

HEADER = (
    "run", "on", "images", "patients", "accuracy %", "95 % interval", "balanced %", "difference",
)  # fmt: skip
"""Heads of the columns; the difference is an adapted network's to the same as it was."""

NOT_JUDGED = "not judged"
"""Status of such a line among the printed numbers."""


class Line(NamedTuple):
    """A run's score on some images.

    Attributes
    ----------
    run, preset : str
        What the run is called, and its preset.
    on : str
        Which images, and how it was adapted.
    images : int
    patients : int or None
        None where they are not known.
    correct : int or None
        None where it is not noted.
    accuracy : float
    ends : (float, float) or None
        95 % interval of the accuracy.
    balanced : float or None
        Balanced accuracy.
    difference, difference_ends : float and (float, float), or None
        Accuracy of an adapted network less that of the network as it is, and its interval.
    nameless : int or None
        Images of unknown patients, where those of others are known.
    """

    run: str
    preset: str
    on: str
    images: int
    patients: int | None
    correct: int | None
    accuracy: float
    ends: Sequence[float] | None
    balanced: float | None
    difference: float | None = None
    difference_ends: Sequence[float] | None = None
    nameless: int | None = None


def of_run(run: runs.Run) -> list[Line]:
    """Lines of a run: its own test images, then each of the other data; none without these.

    Parameters
    ----------
    run : Run
        A finished run. What is damaged is named and left out.
    """
    found, damaged = runs.elsewhere(run.path)
    for words in damaged:
        terminal.line(f"{run.path}: {words}", always=True)
    lines = []
    for each in found:
        if each.found.get("synthetic") and not run.record.fabricated:
            continue
        try:
            lines += _of_others(run, each)
        except DAMAGE as error:
            terminal.line(
                f"{run.path}: {each.name} is damaged and was left out: {error}", always=True
            )
    if lines:
        try:
            lines.insert(0, _line(run, "its own test images", evaluation.read_metrics(run)))
        except InputError:
            return lines
    return lines


def _of_others(run: runs.Run, each: runs.Elsewhere) -> list[Line]:
    lines = [_line(run, each.title, each.metrics)]
    if each.without_copies is not None:
        lines.append(_line(run, f"{each.title}, without copies", each.without_copies))
    if each.adapted is not None:
        counts = {
            "n": int(each.adapted["held_out"]),
            "n_patients": int(each.adapted["held_out_patients"]) or None,
        }
        for way in each.adapted["ways"]:
            line = _line(run, f"{each.title}, held out: {way['name']}", way["metrics"] | counts)
            lines.append(
                line._replace(
                    difference=way.get("difference"), difference_ends=way.get("difference_ci")
                )
            )
    return lines


def _line(run: runs.Run, on: str, metrics: Mapping[str, Any]) -> Line:
    return Line(
        run.record.name or run.path.name, run.record.preset or "", on, int(metrics["n"]),
        metrics.get("n_patients"), metrics.get("correct"), float(metrics["accuracy"]),
        metrics.get("accuracy_ci"), metrics.get("balanced_accuracy"),
        nameless=metrics.get("n_without_patient"),
    )  # fmt: skip


def cells(lines: Sequence[Line]) -> list[list[str]]:
    """Write lines under `HEADER`.

    Parameters
    ----------
    lines : sequence of Line

    Returns
    -------
    list of list of str
        Percentages; a run's name stands in its first line.
    """
    found, before = [], ""
    for line in lines:
        apart = "" if line.difference is None else f"{100 * line.difference:+.2f}"
        if line.difference_ends is not None:
            apart += " ({:+.2f} to {:+.2f})".format(*(100 * end for end in line.difference_ends))
        found.append(
            [
                "" if line.run == before else line.run,
                line.on,
                str(line.images),
                _patients(line),
                f"{100 * line.accuracy:.2f}",
                ends_text(line.ends, 100, 2),
                "–" if line.balanced is None else f"{100 * line.balanced:.2f}",
                apart,
            ]
        )
        before = line.run
    return found


def _patients(line: Line) -> str:
    if line.patients is not None:
        return str(line.patients)
    return f"unknown of {line.nameless}" if line.nameless else "unknown"


def records(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Give lines the columns of `common.tables.comparison.rows`, as far as they have them.

    Parameters
    ----------
    lines : sequence of Line
    """
    return [
        {
            "table": TITLE,
            "row": f"{line.run}: {line.on}",
            "metric": "accuracy",
            "unit": "percent",
            "decimals": 2,
            "preset": line.preset,
            "metrics_key": "accuracy",
            "ours": 100 * line.accuracy,
            "n_runs": 1,
            "low": None if line.ends is None else 100 * line.ends[0],
            "high": None if line.ends is None else 100 * line.ends[1],
            "k": line.correct,
            "n": line.images,
            "status": NOT_JUDGED,
            "reason": "other data than the paper's",
        }
        for line in lines
    ]
