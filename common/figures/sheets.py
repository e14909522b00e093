"""Sheets of pictures: examples, mistakes, pairs, Grad-CAM, mosaics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.figures.canvas import (
    FONT,
    HEAT,
    INK,
    SMALL,
    TEXT,
    TINY,
    VERMILLION,
    WIDTH,
    empty,
    font,
    label,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Image = NDArray[np.uint8]
"""RGB, shape (H, W, 3), uint8."""

Images = Sequence[Image] | Image
"""Several, of any size, or as one array (N, H, W, 3)."""


def examples(images: Images, titles: Sequence[str], columns: int | None = None) -> Figure:
    """Contact sheet: images in reading order, each with its title above.

    Parameters
    ----------
    images : sequence of uint8 (H, W, 3), RGB
        At least one.
    titles : sequence of str
        One or more lines per image; what is too long is broken or cut.
    columns : int, optional
        Images per line; by default as many as stay legible.

    Returns
    -------
    Figure
        Its label lists the titles, as alternative text.

    Raises
    ------
    InputError
        If there are no images.
    """
    return _sheet(images, titles, columns, "Example images", frame=None)


def mistakes(images: Images, titles: Sequence[str], columns: int | None = None) -> Figure:
    """Contact sheet of wrongly classified images, each in a coloured frame.

    Parameters
    ----------
    images : sequence of uint8 (H, W, 3), RGB
        At least one.
    titles : sequence of str
        One or more lines per image; what is too long is broken or cut.
    columns : int, optional
        Images per line; by default as many as stay legible.

    Returns
    -------
    Figure
        Its label lists the titles, as alternative text.

    Raises
    ------
    InputError
        If there are no images.
    """
    return _sheet(images, titles, columns, "Wrongly classified images", frame=VERMILLION)


def _sheet(
    images: Images,
    titles: Sequence[str],
    columns: int | None,
    what: str,
    frame: str | None,
) -> Figure:
    _some(images)
    columns = columns or min(4, len(images))
    rows = math.ceil(len(images) / columns)
    side = min(2.4, WIDTH / columns)
    ratio = max(np.shape(image)[0] / np.shape(image)[1] for image in images)
    drawn = [words(title, TINY, side - 0.12) for title in titles]
    lines = max(title.count("\n") + 1 for title in drawn)
    figure = empty(side * columns, rows * (side * ratio + 0.08 + 0.15 * lines))
    figure.set_label(_listing(what, titles))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, title in zip(grid.flat, images, drawn, strict=False):
        axes.imshow(image)
        axes.set_title(
            title, loc="left", fontproperties=font(TINY), color=INK, pad=3, parse_math=False,
        )  # fmt: skip
        if frame:
            axes.set_axis_on()
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color=frame, linewidth=1.6)
    return figure


def pairs(
    images: Sequence[tuple[Image, Image]],
    titles: Sequence[tuple[str, str]],
    notes: Sequence[str],
) -> Figure:
    """Pairs of images side by side, with words above each pair.

    Parameters
    ----------
    images : sequence of two uint8 (H, W, 3), RGB
        At least one pair; sizes may differ.
    titles : sequence of two str
        Above the left and the right image; what is too long is broken or cut.
    notes : sequence of str
        What is said of each pair.

    Returns
    -------
    Figure
        A row per pair; its label lists the words, as alternative text.

    Raises
    ------
    InputError
        If there are no images.
    """
    _some(images)
    side = WIDTH / 2
    ratios = [
        min(1.0, max(np.shape(each)[0] / np.shape(each)[1] for each in pair)) for pair in images
    ]
    drawn = [
        [words(text, SMALL, side - 0.12) for text in (f"{note}\n{left}", right)]
        for note, (left, right) in zip(notes, titles, strict=True)
    ]
    lines = max(text.count("\n") + 1 for pair in drawn for text in pair)
    figure = empty(WIDTH, side * sum(ratios) + len(images) * (0.1 + 0.17 * lines))
    told = [f"{a}; {b}: {note}" for (a, b), note in zip(titles, notes, strict=True)]
    figure.set_label(_listing("Pairs of images", told))
    grid = figure.subplots(len(images), 2, squeeze=False, height_ratios=ratios)
    for row, pair, above in zip(grid, images, drawn, strict=True):
        for axes, image, text in zip(row, pair, above, strict=True):
            axes.set_axis_off()
            axes.set_anchor("NW")  # the tops of images of two sizes in one line
            axes.imshow(image)
            axes.set_title(
                text, loc="left", fontproperties=font(), color=INK, pad=3, parse_math=False
            )
    return figure


def gradcam_gallery(
    images: Images,
    heatmaps: Mapping[str, Sequence[NDArray[np.floating]] | NDArray[np.floating]],
    titles: Sequence[str],
) -> Figure:
    """Images at the left, and over each the Grad-CAM of every stage.

    Where the map is 0 the image shows through; the hotter, the less of it.

    Parameters
    ----------
    images : sequence of uint8 (H, W, 3), RGB
        At least one.
    heatmaps : mapping of str to sequence of float (h, w) in [0, 1]
        Stage name to one map per image.
    titles : sequence of str
        One line or more per image, written above its row.

    Returns
    -------
    Figure
        A row per image; its label lists the titles, as alternative text.

    Raises
    ------
    InputError
        If there are no images.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    _some(images)
    columns = 1 + len(heatmaps)
    side = min(1.7, (WIDTH - 0.2) / columns)
    ratio = np.shape(images[0])[0] / np.shape(images[0])[1]
    width = side * columns + 0.2
    drawn = [words(title, SMALL, width - 0.1) for title in titles]
    lines = max(title.count("\n") + 1 for title in drawn)
    figure = empty(width, len(images) * (side * ratio + 0.06 + 0.17 * lines) + 0.75)
    figure.set_label(_listing(f"Grad-CAM of {', '.join(heatmaps)}", titles))
    grid = figure.subplots(len(images), columns, squeeze=False)
    names = ["Image", *heatmaps]
    for row, image in enumerate(images):
        for column, axes in enumerate(grid[row]):
            axes.set_axis_off()
            axes.imshow(image)
            if column:
                _overlay(axes, image, heatmaps[names[column]][row])
            if row == 0:
                axes.annotate(
                    words(names[column], TEXT, side), (0.5, 1), xycoords="axes fraction",
                    xytext=(0, 5 + 12.5 * lines), textcoords="offset points", ha="center",
                    va="bottom", color=INK, fontproperties=font(TEXT, weight="bold"),
                    annotation_clip=False, parse_math=False,
                )  # fmt: skip
        grid[row][0].set_title(
            drawn[row], loc="left", fontproperties=font(), color=INK, pad=3, parse_math=False,
        )  # fmt: skip
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), cmap=HEAT), ax=grid, location="bottom",
        shrink=min(1.0, max(0.5, 3.5 / figure.get_figwidth())),  # room for its words
        aspect=40, pad=0.01,
    )  # fmt: skip
    bar.outline.set_visible(False)
    bar.set_ticks([0, 0.5, 1], labels=["0", "Evidence for the class, relative to its maximum", "1"])
    bar.ax.tick_params(labelsize=SMALL, length=0, labelcolor=INK, labelfontfamily=FONT)
    return figure


def _overlay(axes: Axes, image: Image, heatmap: NDArray[np.floating]) -> None:
    heat = np.clip(np.asarray(heatmap, dtype=float), 0, 1)
    height, width = np.shape(image)[:2]
    axes.imshow(
        heat, cmap=HEAT, vmin=0, vmax=1, interpolation="bilinear",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        alpha=0.75 * heat,
    )  # fmt: skip


def mosaic(rows: Mapping[str, Images], columns: int) -> Figure:
    """Small images of equal size, parted by thin white lines, in a block per name.

    Parameters
    ----------
    rows : mapping
        What stands beside a block, for instance a class, to its images, uint8 (S, S, 3), RGB.
    columns : int
        Images per line.

    Returns
    -------
    Figure
        A block below the other; its label says how many images each holds.

    Raises
    ------
    InputError
        If there are no images.
    """
    blocks = {
        name: _block(np.asarray(images), columns) for name, images in rows.items() if len(images)
    }
    _some(blocks)
    heights = [len(block) for block in blocks.values()]
    scale = (WIDTH - 0.4) / next(iter(blocks.values())).shape[1]  # inches per pixel
    figure = empty(WIDTH, scale * sum(heights) + 0.1 * len(blocks))
    figure.set_label("; ".join(f"{len(rows[name])} images, {name}" for name in blocks))
    grid = figure.subplots(len(blocks), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, block) in zip(grid, blocks.items(), strict=True):
        axes.imshow(block, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        label(axes, y=words(name, TEXT))
    return figure


def _block(images: NDArray[np.uint8], columns: int) -> Image:
    """Lay images of one size out in lines, parted by white."""
    height, width = images.shape[1:3]
    gap = max(1, height // 32)
    down, across = height + gap, width + gap
    lines = math.ceil(len(images) / columns)
    block = np.full((lines * down - gap, columns * across - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * down, i % columns * across
        block[top : top + height, left : left + width] = image
    return block


def _some(images: Sized) -> None:
    if not len(images):
        raise InputError("no images to draw")


def _listing(what: str, titles: Sequence[str]) -> str:
    """Say in words what a sheet of pictures shows."""
    return f"{what}: " + "; ".join(str(title).replace("\n", ", ") for title in titles)
