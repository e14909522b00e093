"""What predictions.csv looks like, and what it says of an image: the one place that knows.

One row per image, `COLUMNS` first, then one column ``p_<class>`` per class, in the order of the
classes. All that is unknown is empty. Everything else about a run's quality is computed from this
file; no other module spells its columns or picks a predicted class in its own way.
"""

from common.predictions.agreement import require_same_images, test_part
from common.predictions.columns import (
    COLUMNS,
    PREFIX,
    SUM_TOLERANCE,
    classes_of,
    column,
    correct,
    labels,
    of_part,
    predicted,
    predicted_classes,
    probabilities,
    table,
)
from common.predictions.file import read, write

__all__ = [
    "COLUMNS",
    "PREFIX",
    "SUM_TOLERANCE",
    "classes_of",
    "column",
    "correct",
    "labels",
    "of_part",
    "predicted",
    "predicted_classes",
    "probabilities",
    "read",
    "require_same_images",
    "table",
    "test_part",
    "write",
]
