"""Charts of test results: confusion matrix, ROC, reliability, patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from common.errors import InputError
from common.figures.canvas import (
    BLUE,
    COLOURS,
    FONT,
    GREY,
    INK,
    MARKERS,
    SKY,
    SMALL,
    STYLES,
    TEXT,
    TINY,
    VERMILLION,
    WIDTH,
    Margins,
    breadth,
    chart,
    font,
    label,
    literal,
    style,
    words,
)
from common.metrics import clopper_pearson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Affine2DBase, Transform


SLANT = (math.cos(math.radians(35)), math.sin(math.radians(35)))
"""How far slanted names reach to the left and down, as shares of their length."""


def confusion_matrix(matrix: ArrayLike, classes: Sequence[str]) -> Figure:
    """Counts, and each row's percentages, of true (rows) against predicted (columns) classes.

    The colour is the percentage; a class without images shows a dash.

    Parameters
    ----------
    matrix : array-like of int, (K, K)
        Images; rows are true classes.
    classes : sequence of str
        K names in the matrix' order.

    Returns
    -------
    Figure
        As large as K needs.

    Raises
    ------
    InputError
        If the matrix has another shape.
    """
    from matplotlib import colormaps

    matrix = np.asarray(matrix, dtype=np.int64)
    count = len(classes)
    if matrix.shape != (count, count):
        raise InputError(f"a confusion matrix for {count} classes has not the shape {matrix.shape}")
    rows = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, rows, out=np.zeros(matrix.shape), where=rows > 0)
    cell = {2: 1.15, 3: 1.0, 4: 0.92}.get(count, 0.72 if count > 5 else 0.82)
    classes = [words(name, TEXT, 2) for name in classes]
    longest = max(breadth(name, TEXT) for name in classes)
    slanted = longest + 0.08 > cell
    left = 0.42 + longest
    if slanted:  # the first name reaches to the left as well
        left = max(left, 0.3 + SLANT[0] * longest - cell / 2)
    bottom = 0.42 + (SLANT[1] * longest + 0.1 if slanted else 0.12)
    margins = Margins(left, 0.1, 0.1, bottom)
    side = count * cell
    figure, (axes,) = chart(side + left + 0.1, side + bottom + 0.1, margins=margins)
    axes.xaxis.set_label_coords(0.5, -(bottom - 0.2) / side)
    # Coloured before it is enlarged: K x K colours are looked up, not one for each pixel.
    axes.imshow(colormaps["Blues"](shares, bytes=True))
    style(axes, grid="")
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(count), labels=classes, rotation=35 if slanted else 0,
                    ha="right" if slanted else "center", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(range(count), labels=classes)
    literal([*axes.get_xticklabels(), *axes.get_yticklabels()])
    axes.tick_params(length=0, labelsize=TEXT, labelfontfamily=FONT)
    for edge in np.arange(count + 1) - 0.5:
        # Between picture and numbers. A grid of minor ticks looks the same and takes longer.
        axes.axvline(edge, color="white", linewidth=1.5, zorder=2.5)
        axes.axhline(edge, color="white", linewidth=1.5, zorder=2.5)
    _cells(axes, matrix, shares)
    label(axes, "Predicted class", "True class")
    return figure


def _cells(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Write the count into each cell, and the row's percentage below it."""
    count = len(matrix)
    large = TEXT + (2 if count <= 4 else 0)
    for (row, column), images in np.ndenumerate(matrix):
        share = shares[row, column]
        ink = "white" if share > 0.55 else INK
        alone = not matrix[row].sum()
        axes.annotate(
            "–" if alone else f"{images:d}", (column, row),
            xytext=(0, 0 if alone else 6), textcoords="offset points", ha="center",
            va="center", color=ink, annotation_clip=False,
            fontproperties=font(large, weight="bold" if row == column else "normal"),
        )  # fmt: skip
        if not alone:
            axes.annotate(
                f"{100 * share:.1f} %", (column, row), xytext=(0, -8),
                textcoords="offset points", ha="center", va="center", color=ink,
                annotation_clip=False,
                fontproperties=font(SMALL if count <= 5 else 7.0),
            )  # fmt: skip


def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike, float]]) -> Figure:
    """Receiver operating characteristic, one curve per class (against the rest) or one in all.

    Parameters
    ----------
    curves : mapping
        Class name to (false positive rates (n,), true positive rates (n,), area under the curve),
        all in [0, 1].

    Returns
    -------
    Figure
        A square with the areas in words below it.

    Raises
    ------
    InputError
        If there is no curve.
    """
    if not curves:
        raise InputError("no ROC curve to draw: every class is all or nothing of the test images")
    columns = 1 if len(curves) <= 2 or max(map(len, curves)) > 12 else 2
    lines = math.ceil(len(curves) / columns)
    # Two lines of names make it as tall as the reliability diagram that stands beside it.
    height = 3.5 + 0.19 * max(2, lines)
    below = 0.55 + 0.165 * (max(2, lines) + 1)
    side = height - below - 0.12
    left = max(0.52, (3.5 - side) / 2)
    figure, (axes,) = chart(3.5, height, margins=Margins(left, 3.5 - left - side, 0.12, below))
    style(axes)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.annotate(
        "chance", (0.62, 0.62), xytext=(3, -3), textcoords="offset points", rotation=45,
        rotation_mode="anchor", va="top", ha="center", color=GREY, fontproperties=font(),
    )  # fmt: skip
    for number, (name, (fpr, tpr, area)) in enumerate(curves.items()):
        axes.plot(
            np.asarray(fpr), np.asarray(tpr), color=COLOURS[number % len(COLOURS)],
            linestyle=STYLES[number % len(STYLES)], linewidth=1.6,
            label=f"{words(name, SMALL, 2)} {area:.3f}", clip_on=False,
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1))
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    label(axes, "False positive rate", "True positive rate")
    legend = figure.legend(
        loc="lower center", bbox_to_anchor=((left + side / 2) / 3.5, 0), ncols=columns,
        frameon=False, prop=font(), labelcolor=INK, handlelength=2.8,
        title="Area under the curve", title_fontproperties=font(),
        borderaxespad=0.3, labelspacing=0.25, columnspacing=1.2,
    )  # fmt: skip
    legend.get_title().set_color(GREY)
    literal(legend.get_texts())
    return figure


def reliability(bins: Mapping[str, ArrayLike], ece: float) -> Figure:
    """Accuracy against confidence, and how many images fall into each bin.

    Parameters
    ----------
    bins : mapping
        `edges` (B + 1,), `n`, `accuracy` and `confidence` (B,), as `common.metrics.reliability`
        gives them; empty bins are left out.
    ece : float
        Expected calibration error in [0, 1], written into the figure.

    Returns
    -------
    Figure
        Two panels.
    """
    edges, n, accuracy, confidence = (
        np.asarray(bins[key], dtype=float) for key in ("edges", "n", "accuracy", "confidence")
    )
    filled = n > 0
    figure, (above, below) = chart(3.5, 3.88, (4, 1), margins=Margins(left=0.55, top=0.3))
    for axes in (above, below):
        style(axes)
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
    above.annotate(
        "perfect", (0.13, 0.13), xytext=(4, -2), textcoords="offset points", va="top", ha="left",
        color=GREY, fontproperties=font(),
    )  # fmt: skip
    for x, share, images in zip(confidence[filled], accuracy[filled], n[filled], strict=True):
        low, high = clopper_pearson(round(share * images), int(images))
        above.plot([x, x], [low, high], color=BLUE, linewidth=1.1, alpha=0.6)
    above.plot(
        confidence[filled], accuracy[filled], color=BLUE, marker="o", markersize=4.5,
        linewidth=1.4, clip_on=False,
    )  # fmt: skip
    above.set_title(
        f"expected calibration error {ece:.3f}", loc="left", fontproperties=font(TEXT), color=INK,
        pad=5, y=1.0,
    )  # fmt: skip
    above.set(xlim=(0, 1), ylim=(0, 1))
    above.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    label(above, y="Share correct")
    below.bar(
        edges[:-1], n, width=np.diff(edges), align="edge", color=SKY, edgecolor="white",
        linewidth=0.6,
    )  # fmt: skip
    below.set_ylim(bottom=0)
    below.locator_params(axis="y", nbins=3, integer=True)
    label(below, "Confidence (largest probability)", "Images")
    return figure


def risk_coverage(
    coverage: ArrayLike, risk: ArrayLike, kept: tuple[float, float] | None = None
) -> Figure:
    """Share of wrong answers against the share of images that is answered, the surest first.

    Parameters
    ----------
    coverage, risk : array-like (n,)
        In [0, 1], as `common.metrics.risk_coverage` gives them.
    kept : (float, float), optional
        Coverage and risk at the threshold that was chosen.

    Returns
    -------
    Figure
    """
    coverage, risk = np.asarray(coverage, float), np.asarray(risk, float)
    figure, (axes,) = chart(3.5, 3.88, margins=Margins(left=0.62, right=0.2, top=0.15))
    style(axes)
    axes.axhline(100 * risk[-1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.plot(100 * coverage, 100 * risk, color=BLUE, linewidth=1.6, clip_on=False)
    top = max(5.0, 112 * float(risk.max()), 0.0 if kept is None else 112 * kept[1])
    axes.set(xlim=(0, 100), ylim=(0, min(top, 100)))
    axes.annotate(
        "all answered", (2, 100 * risk[-1]), xytext=(0, 3), textcoords="offset points",
        color=GREY, fontproperties=font(),
    )  # fmt: skip
    if kept is not None:
        axes.plot(
            [100 * kept[0]], [100 * kept[1]], color=VERMILLION, marker="o", markersize=6,
            clip_on=False,
        )  # fmt: skip
    label(axes, "Images answered, the surest first (%)", "Of these wrong (%)")
    return figure


def per_case(table: pd.DataFrame, classes: Sequence[str] = ()) -> Figure:
    """Accuracy of every patient, sorted, coloured by label, with the number of images.

    Parameters
    ----------
    table : DataFrame
        `case, label, n, accuracy` (in [0, 1]), one row per patient.
    classes : sequence of str, optional
        Order of the labels, so that they have the colours that they have in `roc`.

    Returns
    -------
    Figure
        A line per patient, in one to three columns.
    """
    from matplotlib.lines import Line2D

    table = table.sort_values(["accuracy", "n", "case"], ascending=[False, False, True])
    labels = list(dict.fromkeys([*classes, *sorted(table["label"])]))
    used = set(table["label"])
    count = len(table)
    columns = 1 if count <= 30 else 2 if count <= 90 else 3
    rows = max(1, math.ceil(count / columns))
    names = [words(case, TINY, 1.5) for case in table["case"]]
    width = 5.6 if columns == 1 else WIDTH
    top = 0.24 + 0.19 * math.ceil(len(used) / 4)
    margins = Margins(max(breadth(name, TINY) for name in names) + 0.2, 0.5, top, 0.47)
    height = 0.17 * (rows + 0.2) + top + margins.bottom
    figure, grid = chart(width, height, margins=margins, columns=columns)
    for column, axes in enumerate(grid):
        chosen = slice(column * rows, (column + 1) * rows)
        _patients(axes, table.iloc[chosen], names[chosen], labels, rows, figure.dpi_scale_trans)
    legend = figure.legend(
        [
            Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)],
                   markersize=5.5, linewidth=1)
            for i, name in enumerate(labels)
            if name in used
        ],
        [words(name, TEXT, 3) for name in labels if name in used], loc="upper left",
        bbox_to_anchor=(0.1 / width, 1), ncols=min(len(used), 4), frameon=False, prop=font(TEXT),
        labelcolor=INK,
    )  # fmt: skip
    literal(legend.get_texts())
    return figure


def _patients(
    axes: Axes,
    part: pd.DataFrame,
    names: Sequence[str],
    labels: Sequence[str],
    rows: int,
    inches: Affine2DBase,
) -> None:
    """Draw one column of patients, with room for `rows` of them."""
    from matplotlib.transforms import ScaledTranslation
    from matplotlib.transforms import blended_transform_factory as blended

    style(axes, grid="x")
    positions = np.arange(len(part))
    accuracy = part["accuracy"].to_numpy(dtype=float)
    for number, name in enumerate(labels):
        mine = (part["label"] == name).to_numpy()
        if not mine.any():
            continue
        colour = COLOURS[number % len(COLOURS)]
        axes.hlines(positions[mine], 0, accuracy[mine], color=colour, linewidth=1.0, alpha=0.55)
        axes.plot(
            accuracy[mine], positions[mine], MARKERS[number % len(MARKERS)], color=colour,
            markersize=5.5, clip_on=False, zorder=4,
        )  # fmt: skip
    across: Transform = blended(axes.transAxes, axes.transData)
    beside = across + ScaledTranslation(30 / 72, 0, inches)
    for position, images in enumerate(part["n"]):
        axes.text(
            1, position, f"{images}", transform=beside, ha="right", va="center", color=GREY,
            fontproperties=font(TINY),
        )  # fmt: skip
    axes.annotate(
        "n", (1, 1), xycoords="axes fraction", xytext=(30, 2), textcoords="offset points",
        ha="right", va="bottom", color=GREY, fontproperties=font(TINY), annotation_clip=False,
    )  # fmt: skip
    axes.set_yticks(positions, labels=names)
    literal(axes.get_yticklabels())
    axes.tick_params(axis="y", labelsize=TINY, length=0, pad=5.5)  # beside a mark at 0
    axes.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6))
    axes.spines["left"].set_visible(False)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25", "50", "75", "100"])
    label(axes, "Images classified correctly (%)")
