"""Figures of a run, drawn so that they can be printed, and read by colour-blind readers.

Every function that draws returns a `matplotlib.figure.Figure` that belongs to nobody else: nothing
goes through pyplot or changes `rcParams`, so figures can be drawn in any thread and without a
display. Colours are those of Okabe and Ito; line style or marker repeats what a colour says, so
that a grey print loses nothing. Matplotlib is imported when the first figure is drawn.

References
----------
M. Okabe and K. Ito, "Color Universal Design", 2008.
"""

from common.figures.canvas import (
    BLACK,
    BLUE,
    COLOURS,
    DPI,
    FONT,
    GREEN,
    GREY,
    HEAT,
    INK,
    MARKERS,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    SMALL,
    STYLES,
    TEXT,
    VERMILLION,
    WIDTH,
    YELLOW,
)
from common.figures.png import data_uri, save
from common.figures.results import confusion_matrix, per_case, reliability, roc
from common.figures.sheets import examples, gradcam_gallery, mistakes, mosaic, pairs
from common.figures.training import curves, learning_curves

__all__ = [
    "BLACK", "BLUE", "COLOURS", "DPI", "FONT", "GREEN", "GREY", "HEAT", "INK", "MARKERS", "ORANGE",
    "PALE", "PURPLE", "SKY", "SMALL", "STYLES", "TEXT", "VERMILLION", "WIDTH", "YELLOW",
    "confusion_matrix", "curves", "data_uri", "examples", "gradcam_gallery", "learning_curves",
    "mistakes", "mosaic", "pairs", "per_case", "reliability", "roc", "save",
]  # fmt: skip
