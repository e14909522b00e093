"""Black and white padding around an image, which takes no part in an estimate of its stains."""

from __future__ import annotations

import numpy as np

from common.stain.tissue import grid_stride, sample

# Padding is 0 or 255; JPEG leaves a few levels of noise on black, and no tissue is as dark.
BLACK, WHITE = 8, 255


def content(image: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Give an image without its padding, and every n-th pixel of that (`common.stain.tissue`).

    Padding is whole rows and columns at the edges that are black or white; and where then a corner
    is still black, as after a rotation, every black pixel. White corners stay: a slide's background
    may be as bright. An image of nothing but padding is taken as it is.

    Parameters
    ----------
    image : ndarray, uint8, shape (H, W, 3), RGB
        With at least one pixel.
    stride : int
        The one asked for.

    Returns
    -------
    whole : ndarray, uint8, shape (h, w, 3), or (n, 1, 3) where black pixels were taken out
        `image` itself where it has no padding.
    grid : ndarray, uint8, likewise
        Sampled from it.
    """
    corners = [image[y, x].tolist() for y in (0, -1) for x in (0, -1)]
    edges = (image[0], image[-1], image[:, 0], image[:, -1])
    white = any(edge.min() >= WHITE for edge in edges)
    if not white and not any(max(corner) <= BLACK for corner in corners):  # no black side, either
        return image, sample(image, stride)
    rows, columns = _inside(image, stride)
    whole = np.ascontiguousarray(image[rows, columns])
    if not whole.size:
        return image, sample(image, stride)
    grid = sample(whole, stride)
    if any((whole[y, x] <= BLACK).all() for y in (0, -1) for x in (0, -1)):
        bright = whole[(whole > BLACK).any(axis=-1)]
        if len(bright):
            return bright[:, None], grid[(grid > BLACK).any(axis=-1)][:, None]
    return whole, grid


def _inside(image: np.ndarray, stride: int) -> tuple[slice, slice]:
    """Rows and columns that are no padding, beginning where the whole image's grid has samples."""
    ranges = [slice(0, image.shape[0]), slice(0, image.shape[1])]
    for axis in (0, 1, 0):
        part = image[ranges[0], ranges[1]]
        across = (1 - axis, 2)
        lines = (part.max(axis=across, initial=0) > BLACK) & (
            part.min(axis=across, initial=255) < WHITE
        )
        found = np.flatnonzero(lines)
        start = ranges[axis].start
        ends = (found[0], found[-1] + 1) if len(found) else (0, 0)
        ranges[axis] = slice(start + int(ends[0]), start + int(ends[1]))
    step = grid_stride(image.shape[0], image.shape[1], stride)
    starts = [-(-each.start // step) * step for each in ranges]
    if all(start < each.stop for start, each in zip(starts, ranges, strict=True)):
        ranges = [slice(start, each.stop) for start, each in zip(starts, ranges, strict=True)]
    return ranges[0], ranges[1]
