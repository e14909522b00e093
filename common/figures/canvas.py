"""What all figures share: sizes, colours, an empty canvas, axes, and text that fits its room."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text

DPI = 150
WIDTH = 7.2
"""Inches of the widest picture: it fills the text column of the report (691 CSS px), where text of
9 points is then 12 CSS px high."""
TEXT = 9.0
SMALL = 8.0
TINY = 7.5
FONT = "DejaVu Sans"  # comes with matplotlib: the same bytes on every machine

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, YELLOW = "#E69F00", "#56B4E9", "#000000", "#F0E442"
# Yellow stands last: thin yellow lines vanish on white paper.
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, "#8A7A00")
STYLES: tuple[Any, ...] = (
    "-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)),
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, GREY, PALE = "#1a1a1a", "#595959", "#d9d9d9"
HEAT = "viridis"

DRAWING = threading.Lock()
"""Held while text is measured or drawn: matplotlib shares its font objects between figures and
promises nothing to threads."""


@dataclass(frozen=True)
class Margins:
    """White around the axes of a figure, in inches; ticks and labels stand in it."""

    left: float = 0.6
    right: float = 0.12
    top: float = 0.12
    bottom: float = 0.47


MARGINS = Margins()
"""Of a chart with numbers at the left and below, and a word for each."""


def empty(width: float, height: float) -> Figure:
    """Give an empty white figure with an Agg canvas and no layout engine.

    An engine measures every text anew for every figure, which takes half of the time of drawing
    it. Here margins are inches that `chart` and the sheets reckon from their words.

    Parameters
    ----------
    width, height : float
        Inches, at `DPI` pixels each.

    Returns
    -------
    Figure
        Without axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from common.figures.drawn import Drawn

    figure = Drawn(figsize=(width, height), dpi=DPI, facecolor="white", edgecolor="white")
    FigureCanvasAgg(figure)
    return figure


def chart(
    width: float,
    height: float,
    ratios: Sequence[float] = (1,),
    *,
    margins: Margins = MARGINS,
    gap: float = 0.15,
    columns: int = 1,
) -> tuple[Figure, list[Axes]]:
    """Give a figure with axes below each other that share x, or beside each other.

    Parameters
    ----------
    width, height : float
        Of the figure, in inches.
    ratios : sequence of float
        Heights of the axes in one column, relative to each other.
    margins : Margins
        Around them; around each of several columns.
    gap : float
        Inches between axes below each other.
    columns : int
        Beside each other, with one row of axes.

    Returns
    -------
    figure : Figure
    axes : list of Axes
        From top to bottom, from left to right.
    """
    figure = empty(width, height)
    across = width / columns
    room = height - margins.top - margins.bottom - gap * (len(ratios) - 1)
    made: list[Axes] = []
    for column in range(columns):
        top = height - margins.top
        for ratio in ratios:
            tall = room * ratio / sum(ratios)
            box = (column * across + margins.left, top - tall,
                   across - margins.left - margins.right, tall)  # fmt: skip
            shared = made[0] if made and columns == 1 else None
            axes = figure.add_axes(_shares(box, width, height), sharex=shared)
            # Fixed places: where they are not, every tick is measured to find them.
            _place_labels(axes, box, margins.left)
            made.append(axes)
            top -= tall + gap
    for axes in made[:-1] if columns == 1 else ():
        axes.tick_params(labelbottom=False)
    return figure, made


def _shares(box: Sequence[float], width: float, height: float) -> tuple[float, float, float, float]:
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _place_labels(axes: Axes, box: Sequence[float], left: float) -> None:
    """The upright label at the figure's left edge, the level one below the numbers of its axis."""
    axes.yaxis.label.set_verticalalignment("top")  # of turned text, its left
    axes.yaxis.set_label_coords(-(left - 0.05) / box[2], 0.5)
    axes.xaxis.set_label_coords(0.5, -0.25 / box[3])


def style(axes: Axes, *, grid: Literal["both", "x", ""] = "both") -> None:
    """Give axes thin grey spines at the left and below, and a pale grid behind the data.

    Parameters
    ----------
    axes : Axes
        Is changed.
    grid : {"both", "x", ""}
        Which grid lines: all, the upright ones, or none.
    """
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, color=PALE, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=GREY, linewidth=0.8)
    axes.tick_params(
        colors=GREY, labelcolor=INK, labelsize=SMALL, width=0.8, length=3, labelfontfamily=FONT
    )


def label(axes: Axes, x: str = "", y: str = "") -> None:
    """Write the labels of both axes.

    Parameters
    ----------
    axes : Axes
        Is changed.
    x, y : str
        What the axes show, with the unit.
    """
    axes.set_xlabel(x, fontsize=TEXT, color=INK, fontfamily=FONT)
    axes.set_ylabel(y, fontsize=TEXT, color=INK, fontfamily=FONT)


def font(size: float = SMALL, weight: str = "normal") -> FontProperties:
    """Give the one font of all figures.

    Parameters
    ----------
    size : float
        Points.
    weight : str
        `normal` or `bold`.

    Returns
    -------
    FontProperties
        For the parameters `fontproperties` and `prop` of matplotlib.
    """
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=FONT, size=size, weight=weight)


def words(text: object, size: float = SMALL, inches: float = math.inf) -> str:
    """Text from outside as it can be drawn: no unknown glyphs, each line broken or cut to its room.

    File names may hold anything; a glyph that the font lacks would only warn and draw a box. Lines
    break at spaces; a word that is too long alone loses its middle, because names differ at their
    ends.

    Parameters
    ----------
    text : object
        Its `str` is drawn; line ends are kept.
    size : float
        Points.
    inches : float
        Room of a line.

    Returns
    -------
    str
        Lines that fit.
    """
    known = _characters()

    def fits(line: str) -> bool:
        return math.isinf(inches) or breadth(line, size) <= inches

    lines = []
    for given in str(text).replace(" %", "\xa0%").split("\n"):
        line = ""
        for word in given.split(" "):
            word = "".join(
                c if ord(c) in known and (c.isprintable() or c == "\xa0") else "?" for c in word
            )
            short, keep = word, len(word)
            while not fits(short) and keep > 2:
                keep -= 1
                short = f"{word[: (keep + 1) // 2]}…{word[len(word) - keep // 2 :]}"
            if line and not fits(f"{line} {short}"):
                lines.append(line)
                line = short
            else:
                line = f"{line} {short}".lstrip()
        lines.append(line)
    return "\n".join(lines)


def breadth(text: str, size: float = SMALL) -> float:
    """How wide a text is drawn.

    Parameters
    ----------
    text : str
        One line or more.
    size : float
        Points.

    Returns
    -------
    float
        Inches of its longest line.
    """
    return max(_breadth(line, size) for line in text.split("\n"))


@functools.lru_cache(maxsize=4096)
def _breadth(line: str, size: float) -> float:
    from matplotlib.textpath import TextToPath

    with DRAWING:
        return TextToPath().get_text_width_height_descent(line or " ", font(size), False)[0] / 72


@functools.lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    """Characters of the one font."""
    from matplotlib.font_manager import findfont, get_font

    with DRAWING:
        return frozenset(get_font(findfont(font())).get_charmap())


def literal(texts: Iterable[Text]) -> None:
    """Keep matplotlib from reading dollar signs in names as mathematics.

    Parameters
    ----------
    texts : iterable of Text
        Are changed.
    """
    for text in texts:
        text.set_parse_math(False)
