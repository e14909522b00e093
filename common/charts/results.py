"""Charts of test results, as `common.figures` has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.charts.drawing import Chart, Drawing, breadth, fitting
from common.charts.plot import Plot, legend, ticks
from common.figures.canvas import COLOURS, GREY, INK

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

_SHARES = [0, 0.2, 0.4, 0.6, 0.8, 1]
_WIDTH = 336


def confusion_matrix(matrix: ArrayLike, classes: Sequence[str], title: str = "") -> Chart:
    """Counts, and each row's percentages, of true (rows) against predicted (columns) classes.

    Parameters
    ----------
    matrix : array-like of int, (K, K)
    classes : sequence of str
    title : str
        Stands above it.

    Returns
    -------
    Chart
    """
    counts = np.asarray(matrix, dtype=np.int64)
    names = [fitting(str(name), 110) for name in classes]
    side = {2: 88, 3: 84, 4: 78}.get(len(names), 54)
    left = 24 + max(breadth(name) for name in names) + 8
    top = 22 if title else 4
    slant = max(breadth(name) for name in names) > side
    below = 26 + (0.6 * max(breadth(name) for name in names) if slant else 14)
    drawing = Drawing(left + side * len(names) + 6, top + side * len(names) + below + 6)
    if title:
        drawing.text(left, 14, title, bold=True)
    for i, row in enumerate(counts):
        y, total = top + i * side, int(row.sum())
        drawing.text(left - 8, y + side / 2 + 4, names[i], anchor="end")
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            drawing.box(left + j * side, y, side - 1.5, side - 1.5, _blue(share))
            ink, x = ("#fff" if share > 0.5 else INK), left + j * side + side / 2
            if not total:
                drawing.text(x, y + side / 2 + 4, "–", anchor="middle")
                continue
            drawing.text(x, y + side / 2 - 2, f"{count}", anchor="middle", fill=ink, bold=i == j,
                         size=14 if side > 60 else 12)  # fmt: skip
            drawing.text(x, y + side / 2 + 14, f"{100 * share:.1f} %", anchor="middle", fill=ink,
                         size=11)  # fmt: skip
    floor = top + side * len(names)
    for j, name in enumerate(names):
        x = left + j * side + side / 2
        if slant:
            drawing.text(x + 4, floor + 13, name, anchor="end", turn=-35)
        else:
            drawing.text(x, floor + 15, name, anchor="middle")
    drawing.text(left + side * len(names) / 2, drawing.height - 5, "Predicted class",
                 anchor="middle", fill=GREY)  # fmt: skip
    middle = top + side * len(names) / 2
    drawing.text(13, middle, "True class", anchor="middle", fill=GREY, turn=-90)
    return drawing.chart()


def _blue(share: float) -> str:
    """White to blue; above one half white letters can be read on it, below it black ones."""
    low, high, middle = (247, 251, 255), (8, 48, 107), (94, 155, 205)
    a, b, t = (low, middle, 2 * share) if share <= 0.5 else ((33, 100, 171), high, 2 * share - 1)
    return "#" + "".join(f"{round(p + (q - p) * t):02x}" for p, q in zip(a, b, strict=True))


def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike, float]]) -> Chart:
    """Receiver operating characteristic, with the areas below it.

    Parameters
    ----------
    curves : mapping
        Name -> false positive rates, true positive rates, area under the curve.

    Returns
    -------
    Chart
    """
    entries = [
        (f"{fitting(str(name), 90)} {area:.3f}", COLOURS[i % len(COLOURS)], i)
        for i, (name, (_, _, area)) in enumerate(curves.items())
    ]
    side = 262
    below = legend(Drawing(1, 1), entries, 44, 0, side + 20)
    drawing = Drawing(_WIDTH, 26 + side + 64 + below)
    plot = Plot(drawing, 44, 26, side, side, (0, 1), (0, 1))
    plot.frame("False positive rate", "True positive rate", _SHARES, _SHARES)
    drawing.line([plot.at(0, 0), plot.at(1, 1)], GREY, 1, "3 3")
    for i, (fpr, tpr, _) in enumerate(curves.values()):
        plot.curve(np.asarray(fpr).tolist(), np.asarray(tpr).tolist(), COLOURS[i % len(COLOURS)], i)
    drawing.text(44, 26 + side + 56, "Area under the curve", fill=GREY)
    legend(drawing, entries, 44, 26 + side + 62, side + 20)
    return drawing.chart()


def reliability(bins: Mapping[str, ArrayLike], ece: float) -> Chart:
    """Accuracy against confidence.

    Parameters
    ----------
    bins : mapping
        `n`, `accuracy` and `confidence`, as `common.metrics.reliability` gives them.
    ece : float
        Expected calibration error.

    Returns
    -------
    Chart
    """
    from common.metrics import clopper_pearson

    side = 262
    drawing = Drawing(_WIDTH, 26 + side + 64)
    plot = Plot(drawing, 44, 26, side, side, (0, 1), (0, 1))
    plot.frame("Confidence", "Accuracy", _SHARES, _SHARES)
    drawing.line([plot.at(0, 0), plot.at(1, 1)], GREY, 1, "3 3")
    columns = (np.asarray(bins[name], float) for name in ("n", "accuracy", "confidence"))
    known = [(n, right, sure) for n, right, sure in zip(*columns, strict=True) if n]
    for n, right, sure in known:
        low, high = clopper_pearson(round(right * n), int(n))
        drawing.line([plot.at(sure, low), plot.at(sure, high)], COLOURS[5], 3)
    for _, right, sure in known:
        drawing.dot(*plot.at(sure, right), 4, COLOURS[0])
    drawing.text(44, 26 + side + 56, f"Expected calibration error {ece:.3f}", fill=GREY)
    return drawing.chart()


def risk_coverage(
    coverage: ArrayLike, risk: ArrayLike, kept: tuple[float, float] | None = None
) -> Chart:
    """Share of wrong answers against the share of images that is answered, the surest first.

    Parameters
    ----------
    coverage, risk : array-like (n,)
        In [0, 1].
    kept : (float, float), optional
        Coverage and risk at the threshold that was chosen.

    Returns
    -------
    Chart
    """
    xs, ys = (100 * np.asarray(each, float) for each in (coverage, risk))
    top = min(max(5.0, 1.12 * float(ys.max()), 0.0 if kept is None else 112 * kept[1]), 100.0)
    drawing = Drawing(_WIDTH, 286)
    plot = Plot(drawing, 50, 14, 262, 222, (0, 100), (0, top))
    marks = [each for each in ticks(0, top) if each <= top]
    plot.frame("Images answered, the surest first (%)", "Of these wrong (%)",
               [0, 20, 40, 60, 80, 100], marks)  # fmt: skip
    drawing.line([plot.at(0, ys[-1]), plot.at(100, ys[-1])], GREY, 1, "3 3")
    plot.curve(xs.tolist(), ys.tolist(), COLOURS[0])
    if kept is not None:
        drawing.dot(*plot.at(100 * kept[0], 100 * kept[1]), 4.5, COLOURS[1])
    return drawing.chart()


def per_case(table: pd.DataFrame, classes: Sequence[str] = ()) -> Chart:
    """Accuracy of every patient, the best first, coloured by label.

    Parameters
    ----------
    table : DataFrame
        `case, label, n, accuracy`, one row per patient.
    classes : sequence of str, optional
        Order of the labels.

    Returns
    -------
    Chart
        A bar per patient, with its number of images.
    """
    order = table.sort_values(["accuracy", "n", "case"], ascending=[False, False, True])
    labels = list(dict.fromkeys([*classes, *sorted(table["label"])]))
    patients: list[dict[str, Any]] = order.to_dict("records")
    columns = 1 if len(patients) <= 16 else 2
    lines = math.ceil(len(patients) / columns)
    used = [name for name in labels if name in set(table["label"])]
    entries = [(str(name), COLOURS[labels.index(name) % len(COLOURS)], 0) for name in used]
    width = 340 if columns == 1 else 690
    top = 8 + legend(Drawing(1, 1), entries, 6, 0, width - 12)
    drawing = Drawing(width, top + 18 * lines + 40)
    legend(drawing, entries, 6, 4, width - 12)
    left, span = 78, 190
    for i, patient in enumerate(patients):
        x = left + (i // lines) * 350
        y = top + (i % lines) * 18
        colour = COLOURS[labels.index(patient["label"]) % len(COLOURS)]
        drawing.text(x - 7, y + 13, fitting(str(patient["case"]), 72), anchor="end")
        drawing.box(x, y + 3, span, 12, "#efefef")
        drawing.box(x, y + 3, span * patient["accuracy"], 12, colour)
        drawing.text(x + span + 6, y + 13, f"n {patient['n']}", fill=GREY)
    for column in range(columns):
        for value in ticks(0, 1, 2):
            place = left + column * 350 + span * value
            drawing.text(place, top + 18 * lines + 16, f"{100 * value:g} %", anchor="middle",
                         fill=GREY)  # fmt: skip
    return drawing.chart()
