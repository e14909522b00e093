"""Nuclei and outlines, and the places where they stand: lattices, rows along a contour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import cv2
import numpy as np
from scipy.spatial import cKDTree

from common.datasets.synthetic.canvas import Canvas

TUMOUR, FIBROBLAST, LYMPHOCYTE = 1, 2, 3  # kinds of nucleus; TUMOUR stands for all epithelium


@dataclass
class Nuclei:
    """Nuclei as arrays of equal length; positions and semi-axes in px."""

    x: np.ndarray
    y: np.ndarray
    a: np.ndarray
    b: np.ndarray
    angle: np.ndarray
    dark: np.ndarray  # haematoxylin
    clump: np.ndarray  # 0 smooth chromatin ... 1 coarse
    nucleolus: np.ndarray  # 0 none ... 1 large
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: np.ndarray) -> Nuclei:
        return Nuclei(*(values[chosen] for values in vars(self).values()))


class Looks(TypedDict, total=False):
    """What makes the nuclei of a kind of cell, beside their size and shape; see `nuclei`."""

    spread: float
    dark: float
    clump: float
    nucleolus: float


def scatter(canvas: Canvas, spacing: float, jitter: float = 0.3) -> np.ndarray:
    """Points of a jittered hexagonal lattice over the canvas: x and y in px.

    Parameters
    ----------
    canvas : Canvas
    spacing : float
        Micrometres between neighbours.
    jitter : float
        Standard deviation of the displacement, as a share of the spacing.

    Returns
    -------
    ndarray, float, shape (n, 2)
        Some lie beyond the canvas' edge.
    """
    step = max(spacing * canvas.scale, 1.5)
    rows = np.arange(-1, canvas.height / (0.866 * step) + 1)
    columns = np.arange(-1, canvas.width / step + 1)
    x = columns[None, :] + 0.5 * (np.arange(len(rows)) % 2)[:, None]
    y = np.broadcast_to(0.866 * rows[:, None], x.shape)
    points = np.stack([x.ravel(), y.ravel()], axis=1) * step
    points += canvas.rng.uniform(0.0, step, 2)
    return points + canvas.rng.normal(0.0, jitter * step, points.shape)


def row(
    canvas: Canvas, field_: np.ndarray, level: float, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points `spacing` apart along the contour field = level, and the contour's direction there.

    Nuclei of a lining epithelium stand in such rows: `field_` is then the depth below the
    basement membrane.

    Parameters
    ----------
    canvas : Canvas
    field_ : ndarray, float, of the canvas' shape
    level : float
        Of the field.
    spacing : float
        Micrometres along the contour.

    Returns
    -------
    points : ndarray, float, shape (n, 2)
        x and y in px.
    direction : ndarray, float, shape (n,)
        Radians.
    """
    contours, _ = cv2.findContours(
        (field_ > level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    contours = [contour[:, 0, :] for contour in contours if len(contour) > 6]
    if not contours:
        return np.zeros((0, 2)), np.zeros(0)
    points = np.concatenate(contours).astype(np.float64)
    step = np.hypot(*np.diff(points, axis=0, prepend=points[:1]).T)
    length = np.cumsum(np.where(step < 2.0, step, 0.0))  # a jump leads to the next contour
    slot = np.floor(length / max(spacing * canvas.scale, 1.5))
    chosen = np.flatnonzero(np.diff(slot, prepend=-1.0))
    ahead = points[np.minimum(chosen + 3, len(points) - 1)]
    behind = points[np.maximum(chosen - 3, 0)]
    direction = np.arctan2(*(ahead - behind).T[::-1])
    wander = canvas.rng.normal(0.0, 0.09 * spacing * canvas.scale, (len(chosen), 2))
    return points[chosen] + wander, direction


def nuclei(
    canvas: Canvas,
    points: np.ndarray,
    *,
    diameter: float,
    spread: float = 0.1,
    aspect: float = 1.25,
    angle: np.ndarray | None = None,
    dark: float = 0.8,
    clump: float = 0.5,
    nucleolus: float = 0.0,
    kind: int = TUMOUR,
) -> Nuclei:
    """Nuclei at `points`, of mean `diameter` with relative standard deviation `spread`.

    `spread` also governs how much shape and darkness vary: it is the pleomorphism.

    Parameters
    ----------
    canvas : Canvas
    points : ndarray, float, shape (n, 2)
        x and y in px.
    diameter : float
        Micrometres.
    spread : float
        Relative standard deviation of the diameter.
    aspect : float
        Mean ratio of length and width.
    angle : ndarray, float, shape (n,), optional
        Direction of the long axis in radians; random by default.
    dark : float
        Mean amount of haematoxylin.
    clump : float
        0 smooth chromatin ... 1 coarse.
    nucleolus : float
        0 none ... 1 large.
    kind : int
        `TUMOUR`, `FIBROBLAST` or `LYMPHOCYTE`.

    Returns
    -------
    Nuclei
    """
    rng, n = canvas.rng, len(points)
    radius = 0.5 * diameter * canvas.scale * np.exp(rng.normal(0.0, spread, n))
    stretch = np.sqrt(aspect * np.exp(rng.normal(0.0, 0.5 * spread + 0.05, n)))
    if angle is None:
        angle = rng.uniform(0.0, np.pi, n)
    return Nuclei(
        points[:, 0],
        points[:, 1],
        np.maximum(radius * stretch, 0.8),
        np.maximum(radius / stretch, 0.6),
        angle + rng.normal(0.0, 0.15, n),
        dark * np.exp(rng.normal(0.0, 0.08 + 0.5 * spread, n)),
        np.full(n, clump),
        nucleolus * (rng.random(n) < 0.75),
        np.full(n, kind),
    )


def joined(groups: list[Nuclei]) -> Nuclei:
    """All nuclei, without those that overlap an earlier one by more than a little.

    Parameters
    ----------
    groups : list of Nuclei

    Returns
    -------
    Nuclei
    """
    columns = [np.concatenate(values) for values in zip(*(vars(g).values() for g in groups))]  # noqa: B905
    every = Nuclei(*columns)
    if len(every) < 2:
        return every
    tree = cKDTree(np.stack([every.x, every.y], axis=1))
    radius = np.sqrt(every.a * every.b)
    pairs = tree.query_pairs(1.5 * float(np.percentile(radius, 98)), output_type="ndarray")
    first, second = pairs.min(1), pairs.max(1)
    gap = np.hypot(every.x[first] - every.x[second], every.y[first] - every.y[second])
    crowded = gap < 0.82 * (radius[first] + radius[second])
    keep = np.ones(len(every), bool)
    keep[second[crowded]] = False
    return every[keep]


def wobbly(
    canvas: Canvas, points: np.ndarray, radius: np.ndarray, wobble: float
) -> list[np.ndarray]:
    """Closed outlines around `points` for `cv2.fillPoly` with ``shift=4``.

    Parameters
    ----------
    canvas : Canvas
    points : ndarray, float, shape (n, 2)
        Centres, x and y in px.
    radius : ndarray, float, shape (n,)
        Mean radius of each, px.
    wobble : float
        0 circles ... 0.3 lobed.

    Returns
    -------
    list of ndarray, int32, shape (40, 2)
        In sixteenths of a px.
    """
    rng, n = canvas.rng, len(points)
    t = np.linspace(0.0, 2 * np.pi, 40, endpoint=False)
    r = np.ones((n, len(t)))
    for wave in (2, 3, 4, 5):
        phase = rng.uniform(0.0, 2 * np.pi, (n, 1))
        r += wobble * rng.normal(0.0, 1.0 / wave, (n, 1)) * np.cos(wave * t + phase)
    r *= np.asarray(radius)[:, None]
    x = points[:, :1] + r * np.cos(t)
    y = points[:, 1:] + r * np.sin(t)
    return list(np.round(np.stack([x, y], axis=2) * 16).astype(np.int32))
