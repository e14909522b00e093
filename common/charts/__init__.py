"""Charts as SVG text, drawn in milliseconds: for a site's many pages, where `figures` takes long.

Those that have a namesake in `figures` take the same arguments. Text is left to the reader's fonts,
so a chart is the same bytes everywhere, and looks a little different everywhere.

drawing -> plot -> training, results, rows
"""

from common.charts.drawing import Chart
from common.charts.results import confusion_matrix, per_case, reliability, risk_coverage, roc
from common.charts.rows import Row, rows
from common.charts.training import learning_curves, progress

__all__ = [
    "Chart",
    "Row",
    "confusion_matrix",
    "learning_curves",
    "per_case",
    "progress",
    "reliability",
    "risk_coverage",
    "roc",
    "rows",
]
