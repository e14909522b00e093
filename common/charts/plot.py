"""A frame with two scales, into which lines are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.charts.drawing import DASHES, SIZE, Drawing, breadth
from common.figures.canvas import GREY, INK


@dataclass(frozen=True)
class Plot:
    """Where values lie on a drawing.

    Attributes
    ----------
    drawing : Drawing
    left, top, width, height : float
        The frame, CSS pixels.
    x, y : (float, float)
        Values at its ends.
    """

    drawing: Drawing
    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of two values.

        Parameters
        ----------
        x, y : float
        """
        (x0, x1), (y0, y1) = self.x, self.y
        return (
            self.left + (x - x0) / (x1 - x0) * self.width,
            self.top + (1 - (y - y0) / (y1 - y0)) * self.height,
        )

    def frame(
        self,
        x_name: str,
        y_name: str,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        write: Callable[[float], str] = lambda value: f"{value:g}",
    ) -> None:
        """Draw a grid with its numbers, and what they are.

        Parameters
        ----------
        x_name, y_name : str
        x_ticks, y_ticks : sequence of float
        write : callable
            Words for a value.
        """
        bottom = self.top + self.height
        for value in y_ticks:
            _, y = self.at(self.x[0], value)
            self.drawing.line([(self.left, y), (self.left + self.width, y)])
            self.drawing.text(self.left - 6, y + 4, write(value), anchor="end", fill=GREY)
        for value in x_ticks:
            x, _ = self.at(value, self.y[0])
            self.drawing.line([(x, bottom), (x, bottom + 4)], GREY)
            self.drawing.text(x, bottom + 17, write(value), anchor="middle", fill=GREY)
        self.drawing.line([(self.left, bottom), (self.left + self.width, bottom)], GREY)
        if x_name:
            self.drawing.text(self.left + self.width / 2, bottom + 34, x_name, anchor="middle")
        if y_name:
            self.drawing.text(self.left, self.top - 9, y_name, bold=True)

    def curve(self, xs: Sequence[float], ys: Sequence[float], colour: str, number: int = 0) -> None:
        """Draw a line through values; where one is not known, it is broken.

        Parameters
        ----------
        xs, ys : sequence of float
        colour : str
        number : int
            Of its dashes.
        """
        part: list[tuple[float, float]] = []
        for x, y in [*zip(xs, ys, strict=True), (math.nan, math.nan)]:
            if math.isfinite(x) and math.isfinite(y):
                part.append(self.at(x, min(max(y, self.y[0]), self.y[1])))
                continue
            if len(part) == 1:
                self.drawing.dot(*part[0], 2.5, colour)
            elif part:
                self.drawing.line(thinned(part), colour, 1.8, DASHES[number % len(DASHES)])
            part = []


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points that lie within half a pixel of the one before, corners aside.

    Parameters
    ----------
    points : sequence of (float, float)
    """
    kept = [points[0]]
    for i, point in enumerate(points[1:-1], 1):
        (x, y), (bx, by), (ax, ay) = point, kept[-1], points[i + 1]
        straight = abs((x - bx) * (ay - by) - (ax - bx) * (y - by)) < 0.05
        if not straight and math.hypot(x - bx, y - by) > 0.5:
            kept.append(point)
    return [*kept, points[-1]]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from low to high, about so many.

    Parameters
    ----------
    low, high : float
    count : int
    """
    span = max(high - low, 1e-9)
    raw = span / max(1, count)
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-6)
    last = math.floor(high / step + 1e-6)
    return [round(i * step, 10) for i in range(first, last + 1)]


def legend(
    drawing: Drawing,
    entries: Sequence[tuple[str, str, int]],
    left: float,
    top: float,
    room: float,
) -> float:
    """Write what the lines are, one beside the other as far as there is room.

    Parameters
    ----------
    drawing : Drawing
    entries : sequence of (words, colour, number of dashes)
    left, top, room : float
        CSS pixels.

    Returns
    -------
    float
        How high it is.
    """
    x, y = left, top
    for words, colour, number in entries:
        wide = 34 + breadth(words) + 14
        if x > left and x + wide - 14 > left + room:
            x, y = left, y + SIZE + 6
        drawing.line([(x, y + 6), (x + 26, y + 6)], colour, 2.2, DASHES[number % len(DASHES)])
        drawing.text(x + 32, y + 10, words, fill=INK)
        x += wide
    return y + SIZE + 6 - top
