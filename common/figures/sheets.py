"""Sheets of pictures: examples, mistakes, pairs, Grad-CAM, mosaics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.figures.canvas import HEAT, SMALL, TEXT, TINY, VERMILLION, WIDTH, breadth, words
from common.figures.paper import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 0.1
"""Inches between pictures."""

HEADINGS, SCALE = 0.3, 0.45
"""Inches of a Grad-CAM gallery above its first image and its title, and below the last."""

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
    head = 0.06 + 0.145 * max(title.count("\n") + 1 for title in drawn)
    tall = ratio * (side - GAP)
    sheet = Sheet(side * columns, rows * (tall + head + GAP))
    for number, (image, title) in enumerate(zip(images, drawn, strict=True)):
        x = GAP / 2 + side * (number % columns)
        y = number // columns * (tall + head + GAP) + head
        sheet.paste(image, x, y, side - GAP, frame=frame)
        sheet.write(title, x, y - 0.05, TINY)
    return sheet.figure(listing(what, titles))


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
    drawn = [
        [words(text, SMALL, side - 0.12) for text in (f"{note}\n{left}", right)]
        for note, (left, right) in zip(notes, titles, strict=True)
    ]
    head = 0.08 + 0.16 * max(text.count("\n") + 1 for pair in drawn for text in pair)
    # Nothing is taller than wide: a tall image is as high as its neighbour is wide.
    heights = [
        (side - GAP) * min(1.0, max(np.shape(each)[0] / np.shape(each)[1] for each in pair))
        for pair in images
    ]
    sheet = Sheet(WIDTH, sum(heights) + len(images) * (head + GAP))
    y = 0.0
    for pair, above, tall in zip(images, drawn, heights, strict=True):
        for number, (image, text) in enumerate(zip(pair, above, strict=True)):
            x = GAP / 2 + number * side
            sheet.paste(image, x, y + head, side - GAP, tall)
            sheet.write(text, x, y + head - 0.05)
        y += tall + head + GAP
    told = [f"{a}; {b}: {note}" for (a, b), note in zip(titles, notes, strict=True)]
    return sheet.figure(listing("Pairs of images", told))


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
    _some(images)
    side, width = gallery_columns(len(heatmaps))
    wide = side - GAP
    drawn = [words(title, SMALL, width - 0.1) for title in titles]
    head = title_height(max(title.count("\n") + 1 for title in drawn))
    heights = [wide * np.shape(image)[0] / np.shape(image)[1] for image in images]
    sheet = Sheet(width, gallery_height(heights, head))
    for column, name in enumerate(["Image", *heatmaps]):
        sheet.write(words(name, TEXT, side), GAP / 2 + side * column + wide / 2, 0.27, TEXT,
                    weight="bold", align="center")  # fmt: skip
    y = HEADINGS
    for row, (image, tall) in enumerate(zip(images, heights, strict=True)):
        y += head
        sheet.write(drawn[row], GAP / 2, y - 0.05)
        plain = sheet.paste(image, GAP / 2, y, wide)
        for column, maps in enumerate(heatmaps.values(), 1):
            sheet.paste(hot(plain, maps[row]), GAP / 2 + side * column, y, wide)
        y += tall + GAP
    _scale(sheet, y + 0.05)
    return sheet.figure(listing(f"Grad-CAM of {', '.join(heatmaps)}", titles))


def gallery_columns(stages: int) -> tuple[float, float]:
    """Widths in a Grad-CAM gallery.

    Parameters
    ----------
    stages : int
        Maps beside each image.

    Returns
    -------
    column, all : float
        Inches.
    """
    side = min(1.7, (WIDTH - 0.1) / (1 + stages))
    return side, side * (1 + stages)


def gallery_height(images: Sequence[float], title: float) -> float:
    """Height of a Grad-CAM gallery.

    Parameters
    ----------
    images : sequence of float
        Heights of its images, in inches.
    title : float
        Height of each one's title.

    Returns
    -------
    float
        Inches.
    """
    return HEADINGS + sum(images) + len(images) * (title + GAP) + SCALE


def title_height(lines: int) -> float:
    """Inches of a title in a Grad-CAM gallery.

    Parameters
    ----------
    lines : int
        Of the title.
    """
    return 0.08 + 0.16 * lines


def hot(image: Image, heatmap: NDArray[np.floating]) -> Image:
    """Lay a map over the whole of its image: where it is 0 the image shows, where 1 a quarter.

    Parameters
    ----------
    image : uint8 (H, W, 3), RGB
    heatmap : float (h, w)
        In [0, 1]; enlarged bilinearly.

    Returns
    -------
    uint8 array (H, W, 3)
    """
    import cv2
    from matplotlib import colormaps

    height, width = image.shape[:2]
    small = np.clip(np.asarray(heatmap, dtype=np.float32), 0, 1)
    heat = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    colours = colormaps[HEAT](heat, bytes=True)[..., :3].astype(np.float32)
    share = 0.75 * heat[..., None]
    return np.rint(image * (1 - share) + colours * share).astype(np.uint8)


def _scale(sheet: Sheet, y: float) -> None:
    """Draw what the colours of maps mean, in the middle below them."""
    from matplotlib import colormaps

    meaning = "Evidence for the class, relative to its maximum"
    # Between the ends of the scale, with room around its words.
    wide = min(sheet.width - 0.2, max(0.5 * sheet.width, breadth(meaning) + 0.5))
    x = (sheet.width - wide) / 2
    ramp = colormaps[HEAT](np.linspace(0, 1, 256), bytes=True)[None, :, :3]
    sheet.paste(ramp, x, y, wide, 0.09, fill=True)
    for word, at in (("0", x), (words(meaning, SMALL, wide - 0.4), x + wide / 2), ("1", x + wide)):
        lines = word.count("\n") + 1
        sheet.write(word, at, y + 0.13 + 0.15 * lines, align="center")


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
    sheet = Sheet(WIDTH, scale * sum(heights) + 0.1 * len(blocks))
    y = 0.05
    for name, block in blocks.items():
        tall = scale * len(block)
        sheet.paste(block, 0.35, y, WIDTH - 0.4, exact=True)
        sheet.write(words(name, TEXT), 0.04, y + tall / 2, TEXT, align="center", upright=True)
        y += tall + 0.1
    return sheet.figure("; ".join(f"{len(rows[name])} images, {name}" for name in blocks))


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


def listing(what: str, titles: Sequence[str]) -> str:
    """Say in words what a sheet of pictures shows.

    Parameters
    ----------
    what : str
        Kind of sheet.
    titles : sequence of str

    Returns
    -------
    str
        As alternative text.
    """
    return f"{what}: " + "; ".join(str(title).replace("\n", ", ") for title in titles)
