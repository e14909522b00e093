"""Figures of a run, drawn so that they can be printed, and read by colour-blind readers.

Every function that draws returns a `matplotlib.figure.Figure` that belongs to nobody else: nothing
goes through pyplot, and `rcParams` are neither followed nor changed (`settings`), so figures can be
drawn in any thread and without a display. Colours are those of Okabe and Ito; line style or marker
repeats what a colour says, so that a grey print loses nothing. Matplotlib is imported when the
first figure is drawn.

References
----------
M. Okabe and K. Ito, "Color Universal Design", 2008.
"""

from common.figures import png, results, several, sheets, slides, training
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
from common.figures.overlays import Overlays
from common.figures.settings import own
from common.figures.slides import colour_of

class_map = own(slides.class_map)
confusion_matrices = own(several.confusion_matrices)
confusion_matrix = own(results.confusion_matrix)
curves = own(training.curves)
data_uri = own(png.data_uri)
examples = own(sheets.examples)
gradcam_gallery = own(sheets.gradcam_gallery)
heat_map = own(slides.heat_map)
learning_curves = own(training.learning_curves)
mistakes = own(sheets.mistakes)
mosaic = own(sheets.mosaic)
pairs = own(sheets.pairs)
per_case = own(results.per_case)
reliability = own(results.reliability)
risk_coverage = own(results.risk_coverage)
roc = own(results.roc)
run_curves = own(several.run_curves)
save = own(png.save)

__all__ = [
    "BLACK",
    "BLUE",
    "COLOURS",
    "DPI",
    "FONT",
    "GREEN",
    "GREY",
    "HEAT",
    "INK",
    "MARKERS",
    "ORANGE",
    "PALE",
    "PURPLE",
    "SKY",
    "SMALL",
    "STYLES",
    "TEXT",
    "VERMILLION",
    "WIDTH",
    "YELLOW",
    "Overlays",
    "class_map",
    "colour_of",
    "confusion_matrices",
    "confusion_matrix",
    "curves",
    "data_uri",
    "examples",
    "gradcam_gallery",
    "heat_map",
    "learning_curves",
    "mistakes",
    "mosaic",
    "pairs",
    "per_case",
    "reliability",
    "risk_coverage",
    "roc",
    "run_curves",
    "save",
]  # fmt: skip
