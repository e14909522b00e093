"""Maps of a slide: what was predicted where, over a thumbnail, with a legend and a scale bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.figures.canvas import COLOURS, DPI, HEAT, INK, SMALL, TEXT, WIDTH, breadth, words
from common.figures.paper import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Image = NDArray[np.uint8]
"""RGB, shape (H, W, 3), uint8."""

_TALLEST = 8.4  # inches of the picture
_COVER = 0.6  # how much of the tissue a class's colour hides
_COVERS = 0.25, 0.75  # the colours of 0 and of 1: the hotter, the less of the tissue shows through
_EDGE = 0x59  # grey
_HEAD, _FOOT = 0.34, 0.62


def heat_map(
    thumbnail: Image,
    heat: NDArray[np.floating],
    title: str,
    meaning: str,
    microns: float,
) -> Figure:
    """Draw a map of values from 0 to 1 over a thumbnail.

    Parameters
    ----------
    thumbnail : uint8 (H, W, 3), RGB
    heat : float (H, W)
        In [0, 1]; NaN where nothing was looked at.
    title : str
        Stands above.
    meaning : str
        What the values are; stands at the scale of colours.
    microns : float
        Micrometres per px of the thumbnail.

    Returns
    -------
    Figure
        Its label says what it shows.
    """
    from matplotlib import colormaps

    low, high = _COVERS
    cover = low + (high - low) * heat
    colours = colormaps[HEAT](np.nan_to_num(heat), bytes=True)[..., :3]
    sheet, y = _drawn(thumbnail, colours, np.nan_to_num(cover), title, microns)
    ramp = colormaps[HEAT](np.linspace(0, 1, 256), bytes=True)[None, :, :3]
    left = _bar_room(microns, thumbnail)
    wide = sheet.width - left - 0.2
    shown = _over_white(ramp, np.linspace(low, high, 256)[None, :, None])
    sheet.paste(shown, left, y + 0.08, wide, 0.11, fill=True)
    sheet.write("0", left, y + 0.37)
    sheet.write("1", left + wide, y + 0.37, align="center")
    meaning = words(meaning, SMALL, wide - 0.3)
    lines = meaning.count("\n") + 1
    sheet.write(meaning, left + wide / 2, y + 0.22 + 0.15 * lines, align="center")
    return sheet.figure(f"{title}: {meaning}, as colours over the slide".replace("\n", " "))


def class_map(
    thumbnail: Image, classes: NDArray[np.integer], names: Sequence[str], title: str, microns: float
) -> Figure:
    """Draw which class was predicted where, over a thumbnail.

    Parameters
    ----------
    thumbnail : uint8 (H, W, 3), RGB
    classes : int (H, W)
        Numbers of classes; -1 where nothing was looked at.
    names : sequence of str
        Of the classes; the colours are `COLOURS` in this order.
    title : str
        Stands above.
    microns : float
        Micrometres per px of the thumbnail.

    Returns
    -------
    Figure
        Its label says what it shows.
    """
    palette = np.array([colour_of(number) for number in range(len(names))], np.uint8)
    cover = np.where(classes >= 0, _COVER, 0.0)
    left = x = _bar_room(microns, thumbnail)
    places, line = [], 0
    for name in names:
        text = _one_line(name, WIDTH - left - 0.4)
        needed = 0.37 + breadth(text)
        if x > left and x + needed > WIDTH:
            x, line = left, line + 1
        places.append((text, x, 0.08 + 0.19 * line))
        x += needed
    foot = max(_FOOT, 0.38 + 0.19 * line)
    sheet, y = _drawn(thumbnail, palette[classes], cover, title, microns, foot)
    for number, (text, x, below) in enumerate(places):
        sheet.paste(_over_white(palette[number][None, None]), x, y + below, 0.13, 0.13, fill=True)
        sheet.write(text, x + 0.19, y + below + 0.15)
    return sheet.figure(f"{title}: {', '.join(names)}, as colours over the slide")


def _one_line(text: str, inches: float) -> str:
    """Text without what does not fit; its end stays, too, since names differ there."""
    text = " ".join(text.split())
    while "\n" in (drawn := words(text, SMALL, inches)):
        middle = len(text) // 2
        text = f"{text[: middle - 2].rstrip('…')}…{text[middle + 2 :].lstrip('…')}"
    return drawn


def colour_of(number: int) -> tuple[int, int, int]:
    """Give a class's colour as RGB numbers.

    Parameters
    ----------
    number : int
        Of the class; after the last colour they begin again.
    """
    code = COLOURS[number % len(COLOURS)].lstrip("#")
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def _over_white(colours: Image, cover: NDArray[np.floating] | float = _COVER) -> Image:
    """Colours as they look over glass."""
    return np.rint(255 * (1 - cover) + cover * colours.astype(np.float32)).astype(np.uint8)


def _drawn(
    thumbnail: Image,
    colours: Image,
    cover: NDArray[np.floating],
    title: str,
    microns: float,
    foot: float = _FOOT,
) -> tuple[Sheet, float]:
    """A sheet with title, picture and scale bar, and where its foot begins."""
    import cv2

    height, width = thumbnail.shape[:2]
    wide = min(WIDTH - 0.2, _TALLEST * width / height)
    tall = wide * height / width
    # At the size of the paper, so that the tiles' edges stay sharp.
    size = max(1, round(wide * DPI)), max(1, round(tall * DPI))
    smooth = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
    base = cv2.resize(thumbnail, size, interpolation=smooth).astype(np.float32)
    over = cv2.resize(np.ascontiguousarray(colours), size, interpolation=cv2.INTER_NEAREST)
    covers = cv2.resize(cover.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)[..., None]
    picture = np.rint(base * (1 - covers) + over * covers).astype(np.uint8)
    # A line around all that was looked at: pale colours over pale tissue would not tell.
    covered = (covers[..., 0] > 0).astype(np.uint8)
    picture[covered != cv2.erode(covered, np.ones((3, 3), np.uint8))] = _EDGE
    sheet = Sheet(WIDTH, _HEAD + tall + foot)
    x = (WIDTH - wide) / 2
    sheet.write(_one_line(title, WIDTH - 0.4), 0.1, _HEAD - 0.08, TEXT, weight="bold")
    sheet.paste(picture, x, _HEAD, wide, exact=True)
    length, name = scale_bar(microns * width)
    long = wide * length / (microns * width)
    ink = np.full((1, 1, 3), int(INK.lstrip("#")[:2], 16), np.uint8)
    y = _HEAD + tall
    sheet.paste(ink, 0.1, y + 0.12, long, 0.035, fill=True)
    sheet.write(name, 0.1, y + 0.37)
    return sheet, y


def _bar_room(microns: float, thumbnail: Image) -> float:
    """Inches from the left that the scale bar takes, with a gap."""
    height, width = thumbnail.shape[:2]
    wide = min(WIDTH - 0.2, _TALLEST * width / height)
    length, name = scale_bar(microns * width)
    return 0.1 + max(wide * length / (microns * width), breadth(name)) + 0.35


def scale_bar(microns: float) -> tuple[float, str]:
    """Choose a round length of about a fifth of a picture, and its name.

    Parameters
    ----------
    microns : float
        Width of the picture.

    Returns
    -------
    length : float
        Micrometres: 1, 2 or 5 times a power of ten.
    name : str
        Such as "500 µm" or "2 mm".

    Examples
    --------
    >>> scale_bar(1100), scale_bar(23000)
    ((200.0, '200 µm'), (5000.0, '5 mm'))
    """
    power = 10.0 ** math.floor(math.log10(microns / 4))
    length = max(step * power for step in (1, 2, 5) if step * power <= microns / 4)
    return length, f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
