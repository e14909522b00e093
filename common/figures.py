"""Figures of a run, drawn so that they can be printed, and read by colour-blind readers.

Every function returns a `matplotlib.figure.Figure` that belongs to nobody else: nothing goes
through pyplot or changes `rcParams`, so figures can be drawn in any thread and without a display.
Colours are those of Okabe and Ito; line style or marker repeats what a colour says, so that a grey
print loses nothing.

References
----------
M. Okabe and K. Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

import base64
import io
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.errors import InputError
from common.files import atomic_path
from common.metrics import clopper_pearson
from common.notices import SYNTHETIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
# A picture of 7.2 inches fills the text column of the report (691 CSS px); text of 9 points is then
# 12 CSS px high.
WIDTH = 7.2
TEXT = 9.0
SMALL = 8.0
FONT = "DejaVu Sans"  # comes with matplotlib: the same bytes on every machine

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, YELLOW = "#E69F00", "#56B4E9", "#000000", "#F0E442"
# Yellow stands last: thin yellow lines vanish on white paper.
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, "#8A7A00")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, GREY, PALE = "#1a1a1a", "#595959", "#d9d9d9"
HEAT = "viridis"
# Matplotlib shares its font objects between figures and promises nothing to threads.
_DRAWING = threading.Lock()


# --- canvas and axes ---------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    """Give an empty white figure with an Agg canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white", edgecolor="white"
    )
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)
    return figure


def _style(axes: Axes, *, grid: str = "both") -> None:
    """Give axes thin grey spines at the left and below, and a pale grid behind the data."""
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, color=PALE, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=GREY, linewidth=0.8)
    axes.tick_params(
        colors=GREY, labelcolor=INK, labelsize=SMALL, width=0.8, length=3, labelfontfamily=FONT
    )


def _label(axes: Axes, x: str = "", y: str = "") -> None:
    axes.set_xlabel(x, fontsize=TEXT, color=INK, fontfamily=FONT)
    axes.set_ylabel(y, fontsize=TEXT, color=INK, fontfamily=FONT)


def _font(size: float = SMALL, **more: Any) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=FONT, size=size, **more)


def _words(text: Any, size: float = SMALL, inches: float = math.inf) -> str:
    """Text from outside as it can be drawn: no unknown glyphs, each line broken or cut to its room.

    File names may hold anything; a glyph that the font lacks would only warn and draw a box. Lines
    break at spaces; a word that is too long alone loses its middle, because names differ at their
    ends.
    """
    from matplotlib.font_manager import findfont, get_font
    from matplotlib.textpath import TextToPath

    prop = _font(size)
    known = get_font(findfont(prop)).get_charmap()
    measure = TextToPath().get_text_width_height_descent

    def fits(line: str) -> bool:
        with _DRAWING:
            return math.isinf(inches) or measure(line or " ", prop, False)[0] <= 72 * inches

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


def _literal(texts: Any) -> None:
    """Keep matplotlib from reading dollar signs in names as mathematics."""
    for text in texts:
        text.set_parse_math(False)


# --- training ----------------------------------------------------------------------------------


def learning_curves(history: pd.DataFrame, best: int | None = None) -> Figure:
    """Loss and accuracy against the epoch; the learning rate below them where it changes.

    Parameters
    ----------
    history : DataFrame
        `epoch, loss, accuracy, val_loss, val_accuracy, learning_rate`; the last three may be
        missing or empty.
    best : int, optional
        Epoch whose weights were kept (`common.evaluation.best_epoch`), to be marked.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    history = history.apply(pd.to_numeric, errors="coerce")
    epochs = history["epoch"].to_numpy(dtype=float)
    rate = history.get("learning_rate", pd.Series(np.nan, index=history.index)).to_numpy(float)
    changes = np.flatnonzero(~np.isclose(rate[1:], rate[:-1], rtol=1e-3)) + 1
    changes = changes[np.isfinite(rate[changes]) & np.isfinite(rate[changes - 1])]
    panels = ["loss", "accuracy"] + (["learning_rate"] if len(changes) else [])
    heights = [2.0, 2.0, 0.8][: len(panels)]
    figure = _figure(5.6, sum(heights) + 0.9)
    grid = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    marker = {"marker": "o", "markersize": 3} if len(history) <= 12 else {}

    for axes, name in zip(grid[:2], panels[:2], strict=True):
        _style(axes)
        _label(axes, y=name.capitalize())
        for column, text, colour, style in (
            (name, "training", BLUE, "-"),
            (f"val_{name}", "validation", VERMILLION, "--"),
        ):
            values = history.get(column, pd.Series(dtype=float)).to_numpy(dtype=float)
            if not np.isfinite(values).any():
                continue
            axes.plot(
                epochs, values, color=colour, linestyle=style, linewidth=1.6, label=text, **marker
            )
            at = np.flatnonzero(epochs == best) if best is not None else []
            if column.startswith("val_") and len(at) and np.isfinite(values[at[0]]):
                axes.plot(
                    epochs[at[0]], values[at[0]], "o", markersize=7, markerfacecolor="white",
                    markeredgecolor=VERMILLION, markeredgewidth=1.6, zorder=5,
                )  # fmt: skip
        seen = [v for line in axes.lines for v in np.asarray(line.get_ydata(), float)]
        seen = [v for v in seen if math.isfinite(v)]
        if name == "loss" and seen and min(seen) > 0 and max(seen) / min(seen) > 200:
            axes.set_yscale("log")
        elif name == "loss" and seen:
            axes.set_ylim(bottom=0)
        elif seen:
            axes.set_ylim(max(0.0, min(seen) - 0.05), min(1.0, max(seen) + 0.05) + 0.01)
    handles = grid[0].get_legend_handles_labels()[0] or grid[1].get_legend_handles_labels()[0]
    if len(changes):
        axes = grid[2]
        _style(axes)
        _label(axes, y="Learning\nrate")
        axes.step(epochs, rate, where="mid", color=INK, linewidth=1.3)
        positive = rate[np.isfinite(rate) & (rate > 0)]
        if len(positive) and positive.max() / positive.min() > 5:
            axes.set_yscale("log")
            axes.set_ylim(positive.min() / 2.2, positive.max() * 2.2)
            axes.minorticks_off()
        if len(changes) <= 4:
            for change in changes:
                for axes in grid:
                    axes.axvline(
                        (epochs[change - 1] + epochs[change]) / 2,
                        color=GREY, linewidth=0.9, linestyle=":",
                    )  # fmt: skip
            handles.append(Line2D([], [], color=GREY, linestyle=":", label="learning rate changes"))
    if best is not None and (epochs == best).any():
        for axes in grid:
            axes.axvline(best, color=VERMILLION, linewidth=0.9, alpha=0.6, zorder=1)
        handles.append(
            Line2D(
                [], [], color=VERMILLION, alpha=0.8, linewidth=0.9, marker="o", markersize=7,
                markerfacecolor="white", markeredgewidth=1.6, label=f"kept: epoch {best}",
            )
        )  # fmt: skip
    if handles:
        figure.legend(
            handles=handles, loc="outside upper left", ncols=2, frameon=False, prop=_font(TEXT),
            labelcolor=INK, handlelength=2.6,
        )  # fmt: skip
    _label(grid[-1], x="Epoch", y=grid[-1].get_ylabel())
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(epochs) == 1:
        grid[-1].set_xlim(epochs[0] - 1, epochs[0] + 1)
    figure.align_ylabels(grid)
    return figure


# --- results -----------------------------------------------------------------------------------


def confusion_matrix(matrix: Any, classes: Sequence[str]) -> Figure:
    """Counts, and each row's percentages, of true (rows) against predicted (columns) classes.

    The colour is the percentage; a class without images shows a dash.

    Parameters
    ----------
    matrix : array-like of int, (K, K)
        Rows are true classes.
    classes : sequence of str
        K names in the matrix' order.
    """
    matrix = np.asarray(matrix, dtype=np.int64)
    count = len(classes)
    if matrix.shape != (count, count):
        raise InputError(f"a confusion matrix for {count} classes has not the shape {matrix.shape}")
    rows = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, rows, out=np.zeros(matrix.shape), where=rows > 0)
    cell = {2: 1.15, 3: 1.0, 4: 0.92}.get(count, 0.72 if count > 5 else 0.82)
    classes = [_words(name, TEXT, 2) for name in classes]
    longest = max(len(name) for name in classes)
    slanted = longest * 0.085 > cell
    margin = 0.42 + 0.078 * longest
    figure = _figure(count * cell + margin + 0.1, count * cell + (margin if slanted else 0.6) + 0.1)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _style(axes, grid="")
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(count), labels=classes, rotation=35 if slanted else 0,
                    ha="right" if slanted else "center", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(range(count), labels=classes)
    _literal([*axes.get_xticklabels(), *axes.get_yticklabels()])
    axes.tick_params(length=0, labelsize=TEXT, labelfontfamily=FONT)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    axes.set_axisbelow(False)
    large = TEXT + (2 if count <= 4 else 0)
    for row in range(count):
        for column in range(count):
            ink = "white" if shares[row, column] > 0.55 else INK
            alone = not rows[row, 0]
            axes.annotate(
                "–" if alone else f"{matrix[row, column]:d}", (column, row),
                xytext=(0, 0 if alone else 6), textcoords="offset points", ha="center",
                va="center", color=ink,
                fontproperties=_font(large, weight="bold" if row == column else "normal"),
            )  # fmt: skip
            if not alone:
                axes.annotate(
                    f"{100 * shares[row, column]:.1f} %", (column, row), xytext=(0, -8),
                    textcoords="offset points", ha="center", va="center", color=ink,
                    fontproperties=_font(SMALL if count <= 5 else 7.0),
                )  # fmt: skip
    _label(axes, "Predicted class", "True class")
    return figure


def roc(curves: Mapping[str, tuple[Any, Any, float]]) -> Figure:
    """Receiver operating characteristic, one curve per class (against the rest) or one in all.

    Parameters
    ----------
    curves : mapping
        Class name to (false positive rates, true positive rates, area under the curve).
    """
    if not curves:
        raise InputError("no ROC curve to draw: every class is all or nothing of the test images")
    columns = 1 if len(curves) <= 2 or max(map(len, curves)) > 12 else 2
    lines = math.ceil(len(curves) / columns)
    # Two lines of names make it as tall as the reliability diagram that stands beside it.
    figure = _figure(3.5, 3.5 + 0.19 * max(2, lines))
    axes = figure.subplots()
    _style(axes)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.annotate(
        "chance", (0.62, 0.62), xytext=(3, -3), textcoords="offset points", rotation=45,
        rotation_mode="anchor", va="top", ha="center", color=GREY, fontproperties=_font(),
    )  # fmt: skip
    for number, (name, (fpr, tpr, area)) in enumerate(curves.items()):
        axes.plot(
            fpr, tpr, color=COLOURS[number % len(COLOURS)], linestyle=STYLES[number % len(STYLES)],
            linewidth=1.6, label=f"{_words(name, SMALL, 2)} {area:.3f}", clip_on=False,
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    _label(axes, "False positive rate", "True positive rate")
    legend = figure.legend(
        loc="outside lower center", ncols=columns, frameon=False, prop=_font(), labelcolor=INK,
        handlelength=2.8, title="Area under the curve", title_fontproperties=_font(),
        borderaxespad=0.3, labelspacing=0.25, columnspacing=1.2,
    )  # fmt: skip
    legend.get_title().set_color(GREY)
    _literal(legend.get_texts())
    return figure


def reliability(bins: Mapping[str, Any], ece: float) -> Figure:
    """Accuracy against confidence, and how many images fall into each bin.

    Parameters
    ----------
    bins : mapping
        `edges` (B + 1), `n`, `accuracy` and `confidence` (B), as `common.metrics.reliability` gives
        them; empty bins are left out.
    ece : float
        Expected calibration error, written into the figure.
    """
    edges, n, accuracy, confidence = (
        np.asarray(bins[key], dtype=float) for key in ("edges", "n", "accuracy", "confidence")
    )
    filled = n > 0
    figure = _figure(3.5, 3.88)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for axes in (above, below):
        _style(axes)
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
    above.annotate(
        "perfect", (0.13, 0.13), xytext=(4, -2), textcoords="offset points", va="top", ha="left",
        color=GREY, fontproperties=_font(),
    )  # fmt: skip
    for x, share, images in zip(confidence[filled], accuracy[filled], n[filled], strict=True):
        low, high = clopper_pearson(round(share * images), int(images))
        above.plot([x, x], [low, high], color=BLUE, linewidth=1.1, alpha=0.6)
    above.plot(
        confidence[filled], accuracy[filled], color=BLUE, marker="o", markersize=4.5,
        linewidth=1.4, clip_on=False,
    )  # fmt: skip
    above.set_title(
        f"expected calibration error {ece:.3f}", loc="left", fontproperties=_font(TEXT), color=INK,
        pad=5,
    )  # fmt: skip
    above.set(xlim=(0, 1), ylim=(0, 1))
    above.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    _label(above, y="Share correct")
    below.bar(
        edges[:-1], n, width=np.diff(edges), align="edge", color=SKY, edgecolor="white",
        linewidth=0.6,
    )  # fmt: skip
    below.set_ylim(bottom=0)
    below.locator_params(axis="y", nbins=3, integer=True)
    _label(below, "Confidence (largest probability)", "Images")
    figure.align_ylabels()
    return figure


def per_case(table: pd.DataFrame, classes: Sequence[str] = ()) -> Figure:
    """Accuracy of every patient, sorted, coloured by label, with the number of images.

    Parameters
    ----------
    table : DataFrame
        `case, label, n, accuracy`, one row per patient.
    classes : sequence of str, optional
        Order of the labels, so that they have the colours that they have in `roc`.
    """
    from matplotlib.lines import Line2D

    table = table.sort_values(["accuracy", "n", "case"], ascending=[False, False, True])
    labels = list(dict.fromkeys([*classes, *sorted(table["label"])]))
    used = set(table["label"])
    count = len(table)
    columns = 1 if count <= 30 else 2 if count <= 90 else 3
    rows = max(1, math.ceil(count / columns))
    figure = _figure(5.6 if columns == 1 else WIDTH, 0.17 * rows + 1.15)
    grid = figure.subplots(1, columns, squeeze=False)[0]
    figure.get_layout_engine().set(wspace=0.08)
    for column, axes in enumerate(grid):
        part = table.iloc[column * rows : (column + 1) * rows]
        _style(axes, grid="x")
        positions = np.arange(len(part))
        for position, row in zip(positions, part.itertuples(), strict=True):
            number = labels.index(row.label)
            colour = COLOURS[number % len(COLOURS)]
            axes.plot([0, row.accuracy], [position] * 2, color=colour, linewidth=1.0, alpha=0.55)
            axes.plot(
                row.accuracy, position, MARKERS[number % len(MARKERS)], color=colour,
                markersize=5.5, clip_on=False, zorder=4,
            )  # fmt: skip
            axes.annotate(
                f"{row.n}", (1, position), xycoords=("axes fraction", "data"), xytext=(30, 0),
                textcoords="offset points", ha="right", va="center", color=GREY,
                fontproperties=_font(7.5), annotation_clip=False,
            )  # fmt: skip
        axes.annotate(
            "n", (1, 1), xycoords="axes fraction", xytext=(30, 2), textcoords="offset points",
            ha="right", va="bottom", color=GREY, fontproperties=_font(7.5), annotation_clip=False,
        )  # fmt: skip
        axes.set_yticks(positions, labels=[_words(case, 7.5, 1.5) for case in part["case"]])
        _literal(axes.get_yticklabels())
        axes.tick_params(axis="y", labelsize=7.5, length=0)
        axes.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6))
        axes.spines["left"].set_visible(False)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25", "50", "75", "100"])
        _label(axes, "Images classified correctly (%)")
    legend = figure.legend(
        [
            Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)],
                   markersize=5.5, linewidth=1)
            for i, label in enumerate(labels)
            if label in used
        ],
        [_words(label, TEXT, 3) for label in labels if label in used], loc="outside upper left",
        ncols=min(len(used), 4), frameon=False, prop=_font(TEXT), labelcolor=INK,
    )  # fmt: skip
    _literal(legend.get_texts())
    return figure


# --- images ------------------------------------------------------------------------------------


def gradcam_gallery(
    images: Sequence[Any],
    heatmaps: Mapping[str, Sequence[Any]],
    titles: Sequence[str],
) -> Figure:
    """Images at the left, and over each the Grad-CAM of every stage.

    Where the map is 0 the image shows through; the hotter, the less of it.

    Parameters
    ----------
    images : sequence of uint8 (H, W, 3), RGB
    heatmaps : mapping of str to sequence of float (h, w) in [0, 1]
        Stage name to one map per image.
    titles : sequence of str
        One line or more per image, written above its row.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if not len(images):
        raise InputError("no images to draw")
    columns = 1 + len(heatmaps)
    side = min(1.7, (WIDTH - 0.2) / columns)
    ratio = np.shape(images[0])[0] / np.shape(images[0])[1]
    width = side * columns + 0.2
    drawn = [_words(title, SMALL, width - 0.1) for title in titles]
    lines = max(title.count("\n") + 1 for title in drawn)
    figure = _figure(width, len(images) * (side * ratio + 0.06 + 0.17 * lines) + 0.75)
    figure.set_label(_listing(f"Grad-CAM of {', '.join(heatmaps)}", titles))
    grid = figure.subplots(len(images), columns, squeeze=False)
    names = ["Image", *heatmaps]
    for row, image in enumerate(images):
        for column, axes in enumerate(grid[row]):
            axes.set_axis_off()
            axes.imshow(image)
            if column:
                heat = np.clip(np.asarray(heatmaps[names[column]][row], dtype=float), 0, 1)
                height, width = np.shape(image)[:2]
                axes.imshow(
                    heat, cmap=HEAT, vmin=0, vmax=1, interpolation="bilinear",
                    extent=(-0.5, width - 0.5, height - 0.5, -0.5),
                    alpha=0.75 * heat,
                )  # fmt: skip
            if row == 0:
                axes.annotate(
                    _words(names[column], TEXT, side), (0.5, 1), xycoords="axes fraction",
                    xytext=(0, 5 + 12.5 * lines), textcoords="offset points", ha="center",
                    va="bottom", color=INK, fontproperties=_font(TEXT, weight="bold"),
                    annotation_clip=False, parse_math=False,
                )  # fmt: skip
        grid[row][0].set_title(
            drawn[row], loc="left", fontproperties=_font(), color=INK, pad=3, parse_math=False,
        )  # fmt: skip
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), cmap=HEAT), ax=grid, location="bottom", shrink=0.5,
        aspect=40, pad=0.01,
    )  # fmt: skip
    bar.outline.set_visible(False)
    bar.set_ticks([0, 0.5, 1], labels=["0", "Evidence for the class, relative to its maximum", "1"])
    bar.ax.tick_params(labelsize=SMALL, length=0, labelcolor=INK, labelfontfamily=FONT)
    return figure


def examples(images: Sequence[Any], titles: Sequence[str], columns: int | None = None) -> Figure:
    """Contact sheet: images in reading order, each with its title above.

    Parameters
    ----------
    images : sequence of uint8 (H, W, 3), RGB
    titles : sequence of str
    columns : int, optional
        By default as many as stay legible.
    """
    return _sheet(images, titles, columns, "Example images", frame=None)


def mistakes(images: Sequence[Any], titles: Sequence[str], columns: int | None = None) -> Figure:
    """Contact sheet of wrongly classified images, each in a coloured frame."""
    return _sheet(images, titles, columns, "Wrongly classified images", frame=VERMILLION)


def mosaic(rows: Mapping[str, Sequence[Any]], columns: int) -> Figure:
    """Small images of equal size, parted by thin white lines, in a block per name.

    Parameters
    ----------
    rows : mapping
        What stands beside a block, for instance a class, to its images, uint8 (S, S, 3), RGB.
    columns : int
        Images per line.
    """
    blocks = {name: np.asarray(images) for name, images in rows.items() if len(images)}
    if not blocks:
        raise InputError("no images to draw")
    lines = {name: math.ceil(len(images) / columns) for name, images in blocks.items()}
    side = (WIDTH - 0.4) / columns
    figure = _figure(WIDTH, side * sum(lines.values()) + 0.1 * len(blocks))
    figure.set_label("; ".join(f"{len(images)} images, {name}" for name, images in blocks.items()))
    grid = figure.subplots(
        len(blocks), squeeze=False, gridspec_kw={"height_ratios": list(lines.values())}
    )[:, 0]
    for axes, (name, images) in zip(grid, blocks.items(), strict=True):
        height, width = images.shape[1:3]
        gap = max(1, height // 32)
        down, across = height + gap, width + gap
        canvas = np.full((lines[name] * down - gap, columns * across - gap, 3), 255, np.uint8)
        for i, image in enumerate(images):
            top, left = i // columns * down, i % columns * across
            canvas[top : top + height, left : left + width] = image
        axes.imshow(canvas, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        _label(axes, y=_words(name, TEXT))
    return figure


def curves(panels: Mapping[str, Mapping[str, tuple[Any, ...]]], x_label: str) -> Figure:
    """Panels below each other over one horizontal axis, each with a few named curves.

    Parameters
    ----------
    panels : mapping
        Label of the vertical axis to curves: name to (x, y) or (x, y, error of y). One value of y
        for many of x is drawn as a line of reference.
    x_label : str
    """
    figure = _figure(WIDTH, 0.5 + 1.7 * len(panels))
    grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (label, named) in zip(grid, panels.items(), strict=True):
        _style(axes)
        _label(axes, y=label)
        for number, (name, (x, y, *error)) in enumerate(named.items()):
            x, colour = np.asarray(x, float), COLOURS[number]
            if np.ndim(y) == 0:
                axes.axhline(float(y), color=GREY, linewidth=1.2, linestyle=":", label=name)
                continue
            y = np.asarray(y, float)
            axes.plot(
                x, y, color=colour, linestyle=STYLES[number], linewidth=1.4, label=name,
                marker=MARKERS[number] if len(x) <= 40 else None, markersize=3.5,
            )  # fmt: skip
            if error:
                spread = np.asarray(error[0], float)
                axes.fill_between(x, y - spread, y + spread, color=colour, alpha=0.2, linewidth=0)
        if len(named) > 1:
            axes.legend(
                frameon=False, prop=_font(SMALL), labelcolor=INK, handlelength=2.6,
                ncols=len(named), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2,
            )  # fmt: skip
    _label(grid[-1], x=x_label, y=grid[-1].get_ylabel())
    figure.align_ylabels(grid)
    return figure


def _listing(what: str, titles: Sequence[str]) -> str:
    """Say in words what a sheet of pictures shows."""
    return f"{what}: " + "; ".join(str(title).replace("\n", ", ") for title in titles)


def _sheet(
    images: Sequence[Any],
    titles: Sequence[str],
    columns: int | None,
    what: str,
    frame: str | None,
) -> Figure:
    if not len(images):
        raise InputError("no images to draw")
    columns = columns or min(4, len(images))
    rows = math.ceil(len(images) / columns)
    side = min(2.4, WIDTH / columns)
    ratio = max(np.shape(image)[0] / np.shape(image)[1] for image in images)
    drawn = [_words(title, 7.5, side - 0.12) for title in titles]
    lines = max(title.count("\n") + 1 for title in drawn)
    figure = _figure(side * columns, rows * (side * ratio + 0.08 + 0.15 * lines))
    figure.set_label(_listing(what, titles))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, title in zip(grid.flat, images, drawn, strict=False):
        axes.imshow(image)
        axes.set_title(
            title, loc="left", fontproperties=_font(7.5), color=INK, pad=3, parse_math=False,
        )  # fmt: skip
        if frame:
            axes.set_axis_on()
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color=frame, linewidth=1.6)
    return figure


# --- files -------------------------------------------------------------------------------------


def _pixels(figure: Figure) -> np.ndarray:
    """Draw a figure: uint8 (H, W, 3), RGB."""
    canvas = figure.canvas
    with _DRAWING:
        # The layout moves a little each time it runs: run it once, then keep it.
        if figure.get_layout_engine() is not None:
            figure.get_layout_engine().execute(figure)
            figure.set_layout_engine("none")
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _png(figure: Figure, synthetic: bool, description: str = "") -> bytes:
    """PNG of a figure; the same figure gives the same bytes."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    pixels = _pixels(figure)
    text = PngInfo()
    if synthetic:
        pixels = np.concatenate([_strip(pixels.shape[1]), pixels])
        text.add_text("SYNTHETIC", SYNTHETIC)
    if description:
        text.add_itxt("Description", description)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True, pnginfo=text, dpi=(DPI, DPI))
    return buffer.getvalue()


def _strip(width: int) -> np.ndarray:
    """Black-on-orange strip that stands above a synthetic picture and hides nothing of it."""
    figure = _figure(width / DPI, 0.26)
    figure.set_layout_engine("none")  # there are no axes to lay out
    figure.set_facecolor(ORANGE)
    fits = "\n" not in _words(SYNTHETIC, TEXT + 1, width / DPI - 0.1)
    note = SYNTHETIC if fits else SYNTHETIC.partition(":")[0]
    figure.text(
        0.5, 0.48, note, ha="center", va="center", color=BLACK,
        fontproperties=_font(TEXT, weight="bold"),
    )  # fmt: skip
    strip = _pixels(figure)
    missing = width - strip.shape[1]
    return np.pad(strip, ((0, 0), (0, max(0, missing)), (0, 0)), mode="edge")[:, :width]


def save(figure: Figure, path: str | Path, synthetic: bool = False, description: str = "") -> Path:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    synthetic : bool
        Put a strip saying SYNTHETIC above the picture, and a text chunk of that name into the
        file, so that a copy without its folder is still known for what it is.
    description : str
        What the picture shows, for readers who do not see it: a text chunk `Description`, which
        the report takes as the picture's alternative text. Default: the figure's label, in which
        `gradcam_gallery`, `examples` and `mistakes` list their titles.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(_png(figure, synthetic, description or str(figure.get_label())))
    return path


def data_uri(source: Figure | str | Path, limit: int = 300_000) -> str:
    """Picture as a `data:` address, for a page that needs no other file.

    Parameters
    ----------
    source : Figure or path
        A figure, or a PNG or JPEG file.
    limit : int
        A picture with more bytes (photographs as PNG) is embedded as JPEG of quality 85.

    Raises
    ------
    InputError
        If the file is no picture.
    """
    from PIL import Image

    data = Path(source).read_bytes() if isinstance(source, (str, Path)) else _png(source, False)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as picture:
            picture.load()
            kind = picture.format.lower()
            if len(data) > limit:
                buffer = io.BytesIO()
                # Without optimize=True, for which Pillow's buffer is too small on noisy images.
                picture.convert("RGB").save(buffer, "JPEG", quality=85, subsampling=0)
                if buffer.tell() < len(data):
                    data, kind = buffer.getvalue(), "jpeg"
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{source}: no PNG or JPEG picture ({error})") from None
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
