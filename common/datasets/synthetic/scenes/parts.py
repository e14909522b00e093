"""What several scenes are made of: glands, nests, clefts, fat, capillaries."""

from __future__ import annotations

import cv2
import numpy as np

from common.datasets.synthetic.canvas import Canvas, at, depth, noise, within
from common.datasets.synthetic.nuclei import FIBROBLAST, nuclei, row, scatter, wobbly
from common.datasets.synthetic.tissue import Tissue, fat, fill


def glands(
    tissue: Tissue,
    *,
    spacing: float,
    radius: float,
    spread: float,
    wobble: float,
    jitter: float = 0.15,
    region: np.ndarray | None = None,
) -> np.ndarray:
    """Mask of round glands `spacing` apart, in `region` if one is given.

    Parameters
    ----------
    tissue : Tissue
        Gives the canvas.
    spacing, radius : float
        Micrometres.
    spread : float
        Relative standard deviation of the radius.
    wobble : float
        0 circles ... 0.3 lobed.
    jitter : float
        Displacement, as a share of the spacing.
    region : ndarray, bool, of the canvas' shape, optional
        Where the centres may lie.

    Returns
    -------
    ndarray, bool, of the canvas' shape
    """
    canvas = tissue.canvas
    points = scatter(canvas, spacing, jitter)
    # Push and pull the lattice, or its rows show.
    for axis in (0, 1):
        points[:, axis] += 0.2 * spacing * canvas.scale * at(noise(canvas, 4.0 * spacing), points)
    points = within(canvas, points)
    if region is not None:
        points = points[at(region, points)]
    sizes = radius * canvas.scale * np.exp(canvas.rng.normal(0.0, spread, len(points)))
    return fill(canvas, wobbly(canvas, points, sizes, wobble))


def largest(field: np.ndarray, share: float) -> np.ndarray:
    """Mask of the largest values of `field`, covering `share` of it.

    Parameters
    ----------
    field : ndarray, float, shape (H, W)
    share : float
        In [0, 1].

    Returns
    -------
    ndarray, bool, shape (H, W)
    """
    return field > np.quantile(field[::4, ::4], 1.0 - share)


def corner_of_fat(tissue: Tissue, share: float) -> np.ndarray:
    """Put fat into `share` of the canvas.

    Parameters
    ----------
    tissue : Tissue
        Changed in place.
    share : float
        In [0, 1].
    """
    inside = largest(noise(tissue.canvas, 260.0) + 0.15 * noise(tissue.canvas, 60.0), share)
    inside &= ~tissue.epithelium & ~tissue.empty
    fat(tissue, inside)
    return inside


def capillaries(tissue: Tissue, spacing: float = 150.0) -> None:
    """Small vessels in the stroma: flat endothelium around an empty lumen.

    Parameters
    ----------
    tissue : Tissue
        Changed in place.
    spacing : float
        Micrometres.
    """
    canvas = tissue.canvas
    points = within(canvas, scatter(canvas, spacing, jitter=0.35))
    free = depth(canvas, ~(tissue.epithelium | tissue.empty | tissue.mucin)) > 12.0
    points = points[at(free, points)]
    if not len(points):
        return
    sizes = canvas.scale * canvas.rng.uniform(3.0, 8.0, len(points))
    inside = fill(canvas, wobbly(canvas, points, sizes, 0.5))
    tissue.empty |= inside
    ring, direction = row(canvas, depth(canvas, ~inside) * -1.0, -1.5, 13.0)
    tissue.nuclei.append(
        nuclei(canvas, ring, diameter=5.5, aspect=2.4, angle=direction, dark=0.95, kind=FIBROBLAST)
    )


def clefts(canvas: Canvas, size: float, width: float) -> np.ndarray:
    """Curved, branching clefts `width` wide: a level line of smooth noise.

    Parameters
    ----------
    canvas : Canvas
    size : float
        Of the bumps of the noise, micrometres.
    width : float
        Micrometres.

    Returns
    -------
    ndarray, bool, of the canvas' shape
    """
    field = noise(canvas, size) + 0.22 * noise(canvas, 0.3 * size)
    level = np.quantile(field[::4, ::4], canvas.rng.uniform(0.4, 0.6))
    side = field > level
    away = depth(canvas, side) + depth(canvas, ~side)
    return away < 0.5 * width * (1.0 + 0.35 * np.clip(noise(canvas, 50.0), -1.5, 2.0))


def nests(canvas: Canvas, size: float, share: float) -> np.ndarray:
    """Irregular nests covering `share` of the canvas: thresholded noise, without specks.

    Parameters
    ----------
    canvas : Canvas
    size : float
        Micrometres.
    share : float
        In [0, 1].

    Returns
    -------
    ndarray, bool, of the canvas' shape
    """
    field = noise(canvas, size) + 0.45 * noise(canvas, 0.38 * size) + 0.10 * noise(canvas, 8.0)
    nests = largest(field, share).astype(np.uint8)
    across = max(3, round(11.0 * canvas.scale) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    return cv2.morphologyEx(nests, cv2.MORPH_OPEN, disc) > 0
