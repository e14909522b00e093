"""Several of a kind in one figure: confusion matrices, curves of runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from common.errors import InputError
from common.figures.canvas import (
    COLOURS,
    DPI,
    INK,
    MARKERS,
    SMALL,
    STYLES,
    TEXT,
    WIDTH,
    Margins,
    chart,
    font,
    label,
    style,
    words,
)
from common.figures.paper import Sheet
from common.figures.png import pixels
from common.figures.results import confusion_matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = ("accuracy", "loss")
"""Columns of history.csv, from the top."""


def confusion_matrices(matrices: Mapping[str, ArrayLike], classes: Sequence[str]) -> Figure:
    """Several confusion matrices of the same classes, each under its name.

    Parameters
    ----------
    matrices : mapping of str to array-like of int, (K, K)
        For instance magnification -> images; rows are true classes.
    classes : sequence of str
        K names.

    Returns
    -------
    Figure
        As many beside each other as a page's width holds, two at least.

    Raises
    ------
    InputError
        If there is none, or one has another shape.
    """
    if not matrices:
        raise InputError("no confusion matrix to draw")
    drawn = {name: pixels(confusion_matrix(each, classes)) for name, each in matrices.items()}
    tall, wide = (side / DPI for side in next(iter(drawn.values())).shape[:2])
    columns = min(len(drawn), max(2, math.floor(WIDTH / (wide + 0.15))))
    head, gap = 0.28, 0.15
    rows = math.ceil(len(drawn) / columns)
    sheet = Sheet(columns * (wide + gap), rows * (tall + head + gap))
    for number, (name, picture) in enumerate(drawn.items()):
        x = gap / 2 + (number % columns) * (wide + gap)
        y = number // columns * (tall + head + gap) + head
        sheet.write(words(name, TEXT, wide), x, y - 0.06, TEXT)
        sheet.paste(picture, x, y, wide, exact=True)
    shown = "; ".join(f"{n}: {np.asarray(each).tolist()}" for n, each in matrices.items())
    return sheet.figure(
        f"Confusion matrices of {', '.join(classes)}, true classes in rows. {shown}"
    )


def run_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy and loss of several runs against the epoch: of validation images, else of training.

    Parameters
    ----------
    histories : mapping of str to DataFrame
        Name of a run -> its history: `epoch, loss, accuracy, val_loss, val_accuracy`; those of
        validation may be missing or empty.

    Returns
    -------
    Figure
        Two panels; a colour and a line for each run.

    Raises
    ------
    InputError
        If there is none, or there are more than can be told apart.
    """
    from matplotlib.ticker import MaxNLocator

    if not 1 <= len(histories) <= len(COLOURS):
        raise InputError(f"{len(histories)} runs: 1 to {len(COLOURS)} can be told apart")
    across = 2 if len(histories) > 1 else 1
    lines = math.ceil(len(histories) / across)
    room = WIDTH / across - 1
    top = 0.3 + 0.2 * lines
    figure, grid = chart(
        WIDTH, 4.1 + top, [1, 1], margins=Margins(left=0.85, top=top), gap=0.15
    )  # fmt: skip
    handles: list[Any] = []
    for axes, name in zip(grid, CURVES, strict=True):
        style(axes)
        validated = []
        handles = []
        for number, (run, history) in enumerate(histories.items()):
            history = history.apply(pd.to_numeric, errors="coerce")
            column = f"val_{name}"
            of_validation = column in history and bool(history[column].notna().any())
            validated.append(of_validation)
            values = history[column if of_validation else name].to_numpy(float)
            (line,) = axes.plot(
                history["epoch"].to_numpy(float), values, color=COLOURS[number],
                linestyle=STYLES[number], linewidth=1.5, label=words(run, SMALL, room),
                marker=MARKERS[number], markevery=max(1, len(values) // 10), markersize=3.5,
            )  # fmt: skip
            handles.append(line)
        part = "validation" if all(validated) else "training" if not any(validated) else "either"
        label(axes, y=f"{name.capitalize()}, {part}")
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.75 / WIDTH, 1), ncols=across,
        frameon=False, prop=font(SMALL), labelcolor=INK, handlelength=2.6,
    )  # fmt: skip
    label(grid[-1], x="Epoch", y=grid[-1].get_ylabel())
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure
