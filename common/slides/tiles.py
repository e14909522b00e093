"""Which tiles of a slide are looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.slides.reading import Slide
from common.slides.scale import Field

MOST = 2_000_000
"""Tiles of one slide."""


@dataclass(frozen=True)
class Tiles:
    """Tiles of a slide, row after row.

    Attributes
    ----------
    x, y : float array (N,)
        Upper left corners, px of the full size.
    width, height : float
        Of each, px of the full size.
    tissue : float array (N,)
        Share of each that is tissue.
    looked_at : int
        How many there were before those without tissue were left out.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    width: float
    height: float
    tissue: NDArray[np.float64]
    looked_at: int

    def __len__(self) -> int:
        return len(self.x)

    def box(self, number: int) -> tuple[float, float, float, float]:
        """Give x, y, width and height of a tile.

        Parameters
        ----------
        number : int
        """
        return float(self.x[number]), float(self.y[number]), self.width, self.height


def lay(
    slide: Slide,
    scale: tuple[float, float],
    field: Field,
    mask: NDArray[np.bool_],
    *,
    stride: float = 1.0,
    least: float = 0.25,
) -> Tiles:
    """Lay tiles over a slide, and keep those that have tissue.

    The last column and row end at the slide's edge and overlap their neighbours.

    Parameters
    ----------
    slide : Slide
    scale : (float, float)
        Micrometres per px of the full size, across and down.
    field : Field
        What a tile shows.
    mask : bool array (H, W)
        Where tissue is, on a thumbnail of the whole slide.
    stride : float
        From one tile to the next, as a share of its side.
    least : float
        Share of tissue from which on a tile is kept.

    Returns
    -------
    Tiles

    Raises
    ------
    InputError
        If the slide is smaller than a tile, there are too many, or none has tissue.
    """
    width, height = field.width * field.mpp / scale[0], field.height * field.mpp / scale[1]
    # A px less than a tile is a matter of rounding.
    if slide.width < width - 1 or slide.height < height - 1:
        raise InputError(
            f"{slide.path}: {slide.width}x{slide.height} px of {scale[0]:.3g} micrometres are less "
            f"than one tile ({field.width}x{field.height} px of {field.mpp:.3g}); is --mpp right? "
            "A picture at the training scale needs no --tiles"
        )
    width, height = min(width, slide.width), min(height, slide.height)
    counts = [
        math.floor((whole - side) / (stride * side)) + 2
        for whole, side in ((slide.width, width), (slide.height, height))
    ]
    if math.prod(counts) > MOST:
        raise InputError(
            f"{slide.path}: would be {math.prod(counts)} tiles, at most {MOST}; take a larger "
            "--stride"
        )
    columns = _starts(slide.width, width, stride)
    rows = _starts(slide.height, height, stride)
    y, x = (each.ravel() for each in np.meshgrid(rows, columns, indexing="ij"))
    tissue = _shares(mask, x / slide.width, y / slide.height, width / slide.width,
                     height / slide.height)  # fmt: skip
    kept = tissue >= least
    if not kept.any():
        raise InputError(
            f"{slide.path}: no tissue was found on it: of {len(x)} tiles the one with most has "
            f"{100 * tissue.max():.0f} %, --least-tissue asks for {100 * least:.0f} %"
        )
    return Tiles(x[kept], y[kept], width, height, tissue[kept], len(x))


def _starts(whole: int, side: float, stride: float) -> np.ndarray:
    """Where tiles begin along one side of the slide."""
    starts = np.arange(math.floor((whole - side) / (stride * side) + 1e-9) + 1) * stride * side
    # What remains is a tile of its own if it is more than a sliver.
    if whole - side - starts[-1] > 0.02 * side:
        starts = np.append(starts, whole - side)
    return starts


def _shares(
    mask: NDArray[np.bool_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    width: float,
    height: float,
) -> NDArray[np.float64]:
    """Share of tissue in each box; places and sizes are shares of the slide's."""
    tall, wide = mask.shape
    sums = np.zeros((tall + 1, wide + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(0).cumsum(1)
    left, top = np.rint(x * wide).astype(int), np.rint(y * tall).astype(int)
    right, bottom = (
        np.rint((x + width) * wide).astype(int),
        np.rint((y + height) * tall).astype(int),
    )
    left, top = np.minimum(left, wide - 1), np.minimum(top, tall - 1)
    right, bottom = np.maximum(right, left + 1).clip(max=wide), np.maximum(bottom, top + 1)
    bottom = bottom.clip(max=tall)
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(inside / ((right - left) * (bottom - top)), np.float64)
