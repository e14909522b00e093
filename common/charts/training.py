"""Learning curves: of one run, and of several side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.charts.drawing import Chart, Drawing, fitting
from common.charts.plot import Plot, legend, ticks
from common.figures.canvas import COLOURS, GREY

if TYPE_CHECKING:
    import pandas as pd


def learning_curves(history: pd.DataFrame, best: int | None = None) -> Chart:
    """Loss and accuracy against the epoch.

    Parameters
    ----------
    history : DataFrame
        `epoch, loss, accuracy`, and perhaps `val_loss, val_accuracy`.
    best : int, optional
        Epoch whose weights were kept, to be marked.

    Returns
    -------
    Chart
    """
    drawing = Drawing(690, 265)
    epochs = history["epoch"].to_numpy(float)
    for number, name in enumerate(("loss", "accuracy")):
        lines = {
            words: history[column].to_numpy(float)
            for words, column in (("training", name), ("validation", f"val_{name}"))
            if column in history
        }
        plot = _panel(drawing, 48 + 350 * number, 52, 285, 160, epochs, list(lines.values()))
        low, high = plot.y
        plot.frame("Epoch", name.capitalize(), ticks(*plot.x, 5), ticks(low, high, 4))
        if best is not None and (epochs == best).any():
            x, _ = plot.at(best, low)
            drawing.line([(x, 52), (x, 212)], GREY, 1, "2 3")
            drawing.text(x - 4, 63, f"kept: {best}", fill=GREY, anchor="end")
        for i, values in enumerate(lines.values()):
            plot.curve(epochs, values, COLOURS[i], i)
        if not number:
            entries = [(words, COLOURS[i], i) for i, words in enumerate(lines)]
            legend(drawing, entries, 48, 6, 600)
    return drawing.chart()


def progress(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, width: int = 336
) -> Chart:
    """Accuracy against the epoch, of several runs.

    Parameters
    ----------
    lines : mapping
        Name -> epochs, values in [0, 1].
    title : str
    width : int
        CSS pixels.

    Returns
    -------
    Chart
        With the names below.
    """
    room = width - 16
    names = [fitting(name, room - 34) for name in lines]
    entries = [(name, COLOURS[i % len(COLOURS)], i) for i, name in enumerate(names)]
    below = legend(Drawing(1, 1), entries, 8, 0, room)
    drawing = Drawing(width, 252 + below)
    xs = np.concatenate([np.asarray(x, float) for x, _ in lines.values()])
    plot = _panel(drawing, 44, 32, width - 56, 166, xs, [np.asarray(y) for _, y in lines.values()])
    plot.frame("Epoch", fitting(title, width - 50), ticks(*plot.x, 5), ticks(*plot.y, 4))
    for i, (x, y) in enumerate(lines.values()):
        plot.curve(x, y, COLOURS[i % len(COLOURS)], i)
    legend(drawing, entries, 8, 246, room)
    return drawing.chart()


def _panel(
    drawing: Drawing,
    left: float,
    top: float,
    width: float,
    height: float,
    epochs: np.ndarray,
    values: Sequence[np.ndarray],
) -> Plot:
    known = np.concatenate([each[np.isfinite(each)] for each in values] or [np.zeros(0)])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    spread = max(high - low, 0.02)
    first, last = (float(epochs.min()), float(epochs.max())) if len(epochs) else (0.0, 1.0)
    if last <= first:
        first, last = first - 1, last + 1
    ends = low - 0.05 * spread, high + 0.05 * spread
    if math.isclose(*ends):
        ends = low - 0.5, high + 0.5
    return Plot(drawing, left, top, width, height, (first, last), ends)
