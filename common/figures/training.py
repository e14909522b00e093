"""Curves over training: loss, accuracy and learning rate, or any named values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.figures.canvas import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    MARKERS,
    SMALL,
    STYLES,
    TEXT,
    VERMILLION,
    WIDTH,
    Margins,
    chart,
    font,
    label,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits of an exponent."""


def learning_curves(history: pd.DataFrame, best: int | None = None) -> Figure:
    """Loss and accuracy against the epoch; the learning rate below them where it changes.

    Parameters
    ----------
    history : DataFrame
        `epoch, loss, accuracy, val_loss, val_accuracy, learning_rate`; the last three may be
        missing or empty.
    best : int, optional
        Epoch whose weights were kept, to be marked; default: none is.

    Returns
    -------
    Figure
        Two panels or three.
    """
    from matplotlib.ticker import MaxNLocator

    history = history.apply(pd.to_numeric, errors="coerce")
    epochs = history["epoch"].to_numpy(dtype=float)
    rate = history.get("learning_rate", pd.Series(np.nan, index=history.index)).to_numpy(float)
    changes = np.flatnonzero(~np.isclose(rate[1:], rate[:-1], rtol=1e-3)) + 1
    changes = changes[np.isfinite(rate[changes]) & np.isfinite(rate[changes - 1])]
    heights = [2.0, 2.0, 0.8] if len(changes) else [2.0, 2.0]
    figure, grid = chart(
        5.6, sum(heights) + 0.9, heights, margins=Margins(left=0.75, top=0.55), gap=0.12
    )
    for axes, name in zip(grid[:2], ("loss", "accuracy"), strict=True):
        _values(axes, name, history, epochs, best)
    handles = grid[0].get_legend_handles_labels()[0] or grid[1].get_legend_handles_labels()[0]
    if len(changes):
        handles += _rate(grid, epochs, rate, changes)
    if best is not None and (epochs == best).any():
        handles.append(_kept(grid, best))
    if handles:
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0.65 / 5.6, 1), ncols=2,
            frameon=False, prop=font(TEXT), labelcolor=INK, handlelength=2.6,
        )  # fmt: skip
    label(grid[-1], x="Epoch", y=grid[-1].get_ylabel())
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(epochs) == 1:
        grid[-1].set_xlim(epochs[0] - 1, epochs[0] + 1)
    return figure


def _values(
    axes: Axes, name: str, history: pd.DataFrame, epochs: np.ndarray, best: int | None
) -> None:
    """Draw `loss` or `accuracy` of training and validation, with a ring at the epoch kept."""
    style(axes)
    label(axes, y=name.capitalize())
    marker: dict[str, Any] = {"marker": "o", "markersize": 3} if len(history) <= 12 else {}
    for column, text, colour, dashes in (
        (name, "training", BLUE, "-"),
        (f"val_{name}", "validation", VERMILLION, "--"),
    ):
        values = history.get(column, pd.Series(dtype=float)).to_numpy(dtype=float)
        if not np.isfinite(values).any():
            continue
        axes.plot(
            epochs, values, color=colour, linestyle=dashes, linewidth=1.6, label=text, **marker
        )
        at = (epochs == best) & np.isfinite(values)
        if column.startswith("val_") and at.any():
            axes.plot(
                epochs[at][0], values[at][0], "o", markersize=7, markerfacecolor="white",
                markeredgecolor=VERMILLION, markeredgewidth=1.6, zorder=5,
            )  # fmt: skip
    seen = [v for line in axes.lines for v in np.asarray(line.get_ydata(), float)]
    seen = [v for v in seen if math.isfinite(v)]
    if name == "loss" and seen and min(seen) > 0 and max(seen) / min(seen) > 200:
        _decades(axes)
    elif name == "loss" and seen:
        # A single epoch leaves no margin: its mark would be cut.
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.04 * max(seen)))
    elif seen:
        axes.set_ylim(max(0.0, min(seen) - 0.05), min(1.0, max(seen) + 0.05) + 0.01)


def _rate(
    grid: Iterable[Axes], epochs: np.ndarray, rate: np.ndarray, changes: np.ndarray
) -> list[Any]:
    """Draw the learning rate below; few `changes` are marked in all panels and in the legend."""
    from matplotlib.lines import Line2D

    *_, axes = grid
    style(axes)
    label(axes, y="Learning\nrate")
    axes.step(epochs, rate, where="mid", color=INK, linewidth=1.3)
    positive = rate[np.isfinite(rate) & (rate > 0)]
    if len(positive) and positive.max() / positive.min() > 5:
        _decades(axes)
        axes.set_ylim(positive.min() / 2.2, positive.max() * 2.2)
        axes.minorticks_off()
    if len(changes) > 4:
        return []
    for change in changes:
        for axes in grid:
            axes.axvline(
                (epochs[change - 1] + epochs[change]) / 2,
                color=GREY, linewidth=0.9, linestyle=":",
            )  # fmt: skip
    return [Line2D([], [], color=GREY, linestyle=":", label="learning rate changes")]


def _decades(axes: Axes) -> None:
    """Scale by powers of ten, written without Matplotlib's mathematics, which takes long."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    def power(value: float, place: int) -> str:
        return "10" + str(round(math.log10(value))).translate(RAISED)

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(power))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _kept(grid: Iterable[Axes], best: int) -> Any:
    """Mark the epoch kept in all panels; give its entry of the legend."""
    from matplotlib.lines import Line2D

    for axes in grid:
        axes.axvline(best, color=VERMILLION, linewidth=0.9, alpha=0.6, zorder=1)
    return Line2D(
        [], [], color=VERMILLION, alpha=0.8, linewidth=0.9, marker="o", markersize=7,
        markerfacecolor="white", markeredgewidth=1.6, label=f"kept: epoch {best}",
    )  # fmt: skip


def curves(panels: Mapping[str, Mapping[str, tuple[Any, ...]]], x_label: str) -> Figure:
    """Panels below each other over one horizontal axis, each with a few named curves.

    Parameters
    ----------
    panels : mapping
        Label of the vertical axis to curves: name to (x, y) or (x, y, error of y), each of shape
        (n,). One value of y for many of x is drawn as a line of reference. The curve goes on
        where a value of y is NaN.
    x_label : str
        Label of the horizontal axis, with its unit.

    Returns
    -------
    Figure
        One panel per entry.
    """
    figure, grid = chart(
        WIDTH, 0.5 + 1.7 * len(panels), [1] * len(panels), margins=Margins(left=0.85, top=0.32),
        gap=0.33,
    )  # fmt: skip
    for axes, (y_label, named) in zip(grid, panels.items(), strict=True):
        style(axes)
        label(axes, y=y_label)
        for number, (name, (x, y, *error)) in enumerate(named.items()):
            x, colour = np.asarray(x, float), COLOURS[number]
            if np.ndim(y) == 0:
                axes.axhline(float(y), color=GREY, linewidth=1.2, linestyle=":", label=name)
                continue
            y = np.asarray(y, float)
            there = np.isfinite(y)  # what was not measured at a step leaves no gap in the curve
            x, y = x[there], y[there]
            axes.plot(
                x, y, color=colour, linestyle=STYLES[number], linewidth=1.4, label=name,
                marker=MARKERS[number] if len(x) <= 40 else None, markersize=3.5,
            )  # fmt: skip
            if error:
                spread = np.asarray(error[0], float)[there]
                axes.fill_between(x, y - spread, y + spread, color=colour, alpha=0.2, linewidth=0)
        if len(named) > 1:
            axes.legend(
                frameon=False, prop=font(SMALL), labelcolor=INK, handlelength=2.6,
                ncols=len(named), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2,
            )  # fmt: skip
    label(grid[-1], x=x_label, y=grid[-1].get_ylabel())
    return figure
