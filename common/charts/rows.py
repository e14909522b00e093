"""A table's rows as dots: what was printed, what we found, and what the honest twin found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.charts.drawing import Chart, Drawing, fitting
from common.charts.plot import ticks
from common.figures.canvas import COLOURS, GREY, PALE

PRINTED, OURS, TWIN = "#000000", COLOURS[0], COLOURS[1]


@dataclass(frozen=True)
class Row:
    """One row, in percent.

    Attributes
    ----------
    name : str
    printed : float
    ours, twin : float, optional
    ours_interval, twin_interval : (float, float), optional
    """

    name: str
    printed: float
    ours: float | None = None
    ours_interval: tuple[float, float] | None = None
    twin: float | None = None
    twin_interval: tuple[float, float] | None = None


def rows(found: Sequence[Row], width: int = 690) -> Chart:
    """Draw rows on one scale: a stroke printed, a disc ours, a ring the twin's, bars intervals.

    Parameters
    ----------
    found : sequence of Row
        At least one.
    width : int
        CSS pixels.

    Returns
    -------
    Chart
    """
    values = [row.printed for row in found]
    for row in found:
        values += [value for value in (row.ours, row.twin) if value is not None]
        for ends in (row.ours_interval, row.twin_interval):
            values += list(ends or ())
    low, high = max(0.0, min(values) - 1), min(100.0, max(values) + 1)
    left, line, top = 210, 24, 30
    span = width - left - 16
    drawing = Drawing(width, top + line * len(found) + 42)

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * span

    bottom = top + line * len(found)
    for value in ticks(low, high, 6):
        drawing.line([(at(value), top), (at(value), bottom)])
        drawing.text(at(value), bottom + 17, f"{value:g}", anchor="middle", fill=GREY)
    drawing.text(left + span / 2, bottom + 34, "Percent", anchor="middle", fill=GREY)
    _key(drawing, left)
    for i, row in enumerate(found):
        y = top + line * i + line / 2
        drawing.text(left - 10, y + 4, fitting(row.name, left - 14), anchor="end")
        drawing.line([(left, top + line * (i + 1)), (left + span, top + line * (i + 1))], PALE)
        for pair, below, colour in ((row.twin_interval, 4, TWIN), (row.ours_interval, -4, OURS)):
            if pair:
                drawing.line([(at(value), y + below) for value in pair], colour, 2)
        if row.twin is not None:
            drawing.dot(at(row.twin), y + 4, 4, "#fff", TWIN)
        if row.ours is not None:
            drawing.dot(at(row.ours), y - 4, 4.5, OURS)
        drawing.line([(at(row.printed), y - 9), (at(row.printed), y + 9)], PRINTED, 3)
    return drawing.chart()


def _key(drawing: Drawing, left: float) -> None:
    drawing.line([(left, 5), (left, 21)], PRINTED, 3)
    drawing.text(left + 8, 17, "printed")
    drawing.dot(left + 82, 13, 4.5, OURS)
    drawing.text(left + 92, 17, "ours")
    drawing.dot(left + 148, 13, 4, "#fff", TWIN)
    drawing.text(left + 158, 17, "honest twin")
