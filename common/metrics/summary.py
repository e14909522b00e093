"""What metrics.json holds, laid out for a terminal."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

from common import notices
from common.metrics import shown


def percent(value: float | None, decimals: int = 2) -> str:
    """Write a fraction as a percentage; an undefined one as a dash.

    Parameters
    ----------
    value : float or None
        A fraction.
    decimals : int
        Of the percentage.

    Returns
    -------
    str
        For example ``93.20 %``.
    """
    return "–" if value is None else f"{100 * value:.{decimals}f} %"


def summary(metrics: dict[str, Any]) -> str:
    """Lay out metrics for a terminal: scores, classes, confusion matrix, patients.

    Parameters
    ----------
    metrics : dict
        What metrics.json holds.

    Returns
    -------
    str
        Several lines; the first says SYNTHETIC where the images were generated.
    """
    patients = metrics["n_patients"]
    entries = [("split", metrics["split"])] if metrics["split"] else []
    half = shown.half_known(metrics)
    who = f"of {metrics['n_without_patient']} the patient is unknown" if half else (
        f"patients {patients or 'unknown'}"
    )  # fmt: skip
    entries.append(("test images", f"{metrics['n']}, {who}"))
    for line, found in itertools.groupby(shown.of_test(metrics), key=lambda each: each.score.line):
        entries.append((str(line), _line(list(found))))
        if line == "accuracy":
            entries[-1] = ("accuracy", f"{entries[-1][1]}, {_interval(metrics)}")
    width = max(len(name) for name, _ in entries)
    lines = [notices.SYNTHETIC] if metrics["synthetic"] else []
    lines += [f"{name:<{width}}  {value}" for name, value in entries]
    tables = (
        _intervals(metrics),
        _of_classes(metrics),
        _intervals_of_classes(metrics),
        _confusion(metrics),
        _of_magnifications(metrics),
        _of_folders(metrics),
    )
    for table in tables:
        lines += ["", *aligned(table)] if table else []
    told = _notes(metrics)
    return "\n".join([*lines, "", *told] if told else lines)


def _line(found: Sequence[shown.Shown]) -> str:
    """Scores that share a line, each with its counts, and what is said of them."""
    texts = []
    for each in found:
        counts = f"  ({each.k_of_n[0]}/{each.k_of_n[1]})" if each.k_of_n else ""
        texts.append(f"{each.score.short} {each.text}{counts}".lstrip())
    asides = ", ".join(each.aside for each in found if each.aside)
    return ", ".join(texts) + (f"  ({asides})" if asides else "")


def _interval(metrics: dict[str, Any]) -> str:
    if metrics["accuracy_ci"] is None:
        return f"no interval ({_why(metrics)})"
    low, high = metrics["accuracy_ci"]
    method = metrics["ci_method"].replace("clopper-pearson", "Clopper-Pearson")
    return (
        f"95 % interval {100 * low:.2f} to {percent(high)}  ({method} over {metrics['ci_unit']}s)"
    )


def _why(metrics: dict[str, Any]) -> str:
    """Why the accuracy has no interval."""
    return str((metrics.get("reasons") or {}).get("accuracy", "not known"))


def _of_classes(metrics: dict[str, Any]) -> list[list[str]]:
    rows: list[list[str]] = []
    for name in metrics["classes"]:
        found = shown.of_class(metrics, name)
        if not rows:
            rows.append(["class", "images", *(each.score.short for each in found)])
        support = metrics["per_class"][name]["support"]
        rows.append([name, str(support), *(each.text for each in found)])
    return rows


def _intervals(metrics: dict[str, Any]) -> list[list[str]]:
    """Intervals of the scores that have one; the accuracy's stands beside it."""
    rows = [
        [each.score.title, _ends(each)]
        for each in shown.of_test(metrics)
        if each.interval is not None and each.score.key != "accuracy"
    ]
    return [["score", "95 % interval"], *rows] if rows else []


def _intervals_of_classes(metrics: dict[str, Any]) -> list[list[str]]:
    rows: list[list[str]] = []
    for name in metrics["classes"]:
        found = shown.of_class(metrics, name)
        if any(each.interval for each in found):
            rows.append([name, *(_ends(each) for each in found)])
    head = [each.score.short for each in shown.of_class(metrics, metrics["classes"][0])]
    return [["95 % interval", *head], *rows] if rows else []


def _ends(each: shown.Shown) -> str:
    """Both ends of an interval, in the unit of the score."""
    if each.interval is None:
        return "–"
    low, high = (each.score.text(end) for end in each.interval)
    return f"{low.removesuffix(' %')} to {high}"


def _notes(metrics: dict[str, Any]) -> list[str]:
    """Why intervals are too narrow, and scores and intervals missing."""
    told = [half] if (half := shown.half_known(metrics)) else []
    told += shown.notes(shown.of_test(metrics))
    for name in metrics["classes"]:
        told += [f"{name}: {note}" for note in shown.notes(shown.of_class(metrics, name))]
    return [line for note in told for line in textwrap.wrap(note, 98, subsequent_indent="  ")]


def _confusion(metrics: dict[str, Any]) -> list[list[str]]:
    classes = metrics["classes"]
    counts = zip(classes, metrics["confusion_matrix"], strict=True)
    return [["true \\ predicted", *classes], *([name, *map(str, row)] for name, row in counts)]


def _of_magnifications(metrics: dict[str, Any]) -> list[list[str]]:
    if not metrics["by_magnification"]:
        return []
    rows = [["magnification", "images", "accuracy", "95 % interval", "patient rate"]]
    for name, part in metrics["by_magnification"].items():
        ends = part["accuracy_ci"]
        rows.append(
            [
                name,
                str(part["n"]),
                percent(part["accuracy"]),
                f"– ({_why(part)})"
                if ends is None
                else f"{100 * ends[0]:.2f} to {percent(ends[1])}",
                percent(part["patient_recognition_rate"]),
            ]
        )
    return rows


def _of_folders(metrics: dict[str, Any]) -> list[list[str]]:
    """Official patient recognition rates, where folders are known."""
    rows = [
        [name, str(part["n_folders"]), each.text, _ends(each)]
        for name, part in metrics["by_magnification"].items()
        for each in shown.of_test(part)
        if each.score.key == "folder_recognition_rate"
    ]
    head = ["magnification", "slide folders", "official patient recognition rate", "95 % interval"]
    return [head, *rows] if rows else []


def aligned(table: list[list[str]]) -> list[str]:
    """Lines of a text table: the first column to the left, the others to the right.

    Parameters
    ----------
    table : list of list of str
        Rows of the same length, the header first.

    Returns
    -------
    list of str
        One line a row, without spaces at the end.
    """
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
