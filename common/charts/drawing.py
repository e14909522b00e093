"""Lines, dots and words of an SVG picture, in CSS pixels."""

from __future__ import annotations

import html
import math
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from common import terminal
from common.figures.canvas import INK, PALE

DASHES = ("", "5 3", "7 2 1.5 2", "1.5 2", "8 2", "4 2 1 2 1 2", "1 1.5", "11 3")
"""A line's dashes by its number, so that colour alone tells nothing."""

SIZE = 12
"""Of words."""

_BREADTH = 0.58
"""Of a letter, in sizes: of the wider fonts that readers have."""


@dataclass(frozen=True)
class Chart:
    """A picture.

    Attributes
    ----------
    svg : str
    width, height : int
        CSS pixels.
    """

    svg: str
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/svg+xml;base64,{b64encode(self.svg.encode()).decode('ascii')}"


class Drawing:
    """An empty white picture.

    Parameters
    ----------
    width, height : float
        CSS pixels.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = math.ceil(width), math.ceil(height)
        self.parts: list[str] = []

    def chart(self) -> Chart:
        """Give what was drawn."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="system-ui, -apple-system, '
            f'Segoe UI, Roboto, Helvetica Neue, Arial, Liberation Sans, sans-serif" '
            f'font-size="{SIZE}" fill="{INK}">'
        )
        back = f'<rect width="{self.width}" height="{self.height}" fill="#fff"/>'
        return Chart("".join([head, back, *self.parts, "</svg>"]), self.width, self.height)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        fill: str = INK,
        size: float = SIZE,
        bold: bool = False,
        turn: float = 0,
    ) -> None:
        """Write words whose base line begins, has its middle or ends at a point.

        Parameters
        ----------
        x, y : float
        words : str
        anchor : {"start", "middle", "end"}
        fill : str
        size : float
        bold : bool
        turn : float
            Degrees, clockwise.
        """
        more = "" if anchor == "start" else f' text-anchor="{anchor}"'
        more += "" if fill == INK else f' fill="{fill}"'
        more += "" if size == SIZE else f' font-size="{size:g}"'
        more += ' font-weight="600"' if bold else ""
        more += f' transform="rotate({turn:g} {_n(x)} {_n(y)})"' if turn else ""
        shown = html.escape(terminal.plain(words), quote=False)
        self.parts.append(f'<text x="{_n(x)}" y="{_n(y)}"{more}>{shown}</text>')

    def line(
        self,
        points: Iterable[tuple[float, float]],
        stroke: str = PALE,
        width: float = 1,
        dash: str = "",
    ) -> None:
        """Draw a line through points.

        Parameters
        ----------
        points : iterable of (float, float)
        stroke : str
        width : float
        dash : str
        """
        where = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        more = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline points="{where}" fill="none" stroke="{stroke}" stroke-width="{width:g}" '
            f'stroke-linejoin="round"{more}/>'
        )

    def box(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """Fill a rectangle.

        Parameters
        ----------
        x, y : float
            Its upper left corner.
        width, height : float
        fill : str
        """
        self.parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
            f'fill="{fill}"/>'
        )

    def dot(self, x: float, y: float, radius: float, fill: str, stroke: str = "none") -> None:
        """Draw a disc, or a ring.

        Parameters
        ----------
        x, y : float
        radius : float
        fill, stroke : str
        """
        more = "" if stroke == "none" else f' stroke="{stroke}" stroke-width="2"'
        self.parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{radius:g}" fill="{fill}"{more}/>')


def breadth(words: str, size: float = SIZE) -> float:
    """About how broad words are.

    Parameters
    ----------
    words : str
    size : float
    """
    return len(words) * size * _BREADTH


def fitting(words: str, room: float, size: float = SIZE) -> str:
    """Words that fit, or their beginning with dots.

    Parameters
    ----------
    words : str
    room : float
        CSS pixels.
    size : float
    """
    most = max(1, int(room / (size * _BREADTH)))
    return words if len(words) <= most else f"{words[: max(1, most - 1)]}…"


def _n(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{round(float(value), 1) + 0.0:g}"
