"""A field of synthetic tissue: its compartments, and what is put into them.

Lengths are micrometres unless the name says px. A scene (see `scenes`) fills a `Tissue`;
`section.py` cuts and stains it; `stains.Look` photographs the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Unpack

import cv2
import numpy as np

from common.datasets.synthetic.canvas import Canvas, at, borders, depth, noise, within
from common.datasets.synthetic.nuclei import (
    FIBROBLAST,
    LYMPHOCYTE,
    Looks,
    Nuclei,
    nuclei,
    row,
    scatter,
)


@dataclass
class Tissue:
    """What a scene decides: the compartments (bool masks of the canvas) and the nuclei."""

    canvas: Canvas
    epithelium: np.ndarray
    empty: np.ndarray  # lumina, clefts, fat vacuoles: glass shows through
    mucin: np.ndarray
    collagen: np.ndarray  # float32: 0 loose, myxoid ... 1 dense, fibrous
    fibre: np.ndarray  # coordinate across the collagen fibres
    nuclei: list[Nuclei] = field(default_factory=list)
    secretion: float = 0.0
    necrosis: np.ndarray | None = None
    cytoplasm: tuple[float, float] = (0.16, 0.34)  # haematoxylin and eosin of epithelium
    cracks: float = 0.15  # white gaps between epithelial cells
    retraction: float = 0.25  # white gaps around nests
    basement: float = 0.0  # eosinophilic line around glands

    @classmethod
    def stroma(cls, canvas: Canvas, *, collagen: float = 0.7, wave: float = 14.0) -> Tissue:
        """Fibrous stroma and nothing else.

        Parameters
        ----------
        canvas : Canvas
        collagen : float
            Mean density: 0 loose ... 1 dense.
        wave : float
            How far the fibres swing to the side, micrometres.

        Returns
        -------
        Tissue
        """
        rng = canvas.rng
        angle = rng.uniform(0.0, np.pi)
        y, x = (np.arange(extent, dtype=np.float32) / canvas.scale for extent in canvas.shape)
        across = (np.cos(angle) * y)[:, None] - (np.sin(angle) * x)[None, :]
        across = across.astype(np.float32)
        across += wave * noise(canvas, 90.0) + 0.25 * wave * noise(canvas, 28.0)
        dense = np.clip(collagen + 0.18 * noise(canvas, 70.0), 0.0, 1.0)
        none = np.zeros(canvas.shape, bool)
        return cls(canvas, none, none.copy(), none.copy(), dense, across)


def fill(canvas: Canvas, outlines: list[np.ndarray]) -> np.ndarray:
    """Bool mask of the inside of `outlines`; neighbours stay apart by a thin septum.

    Parameters
    ----------
    canvas : Canvas
    outlines : list of ndarray
        From `wobbly`.

    Returns
    -------
    ndarray, bool, of the canvas' shape
    """
    labels = np.zeros(canvas.shape, np.int32)
    septum = max(1, round(2.0 * canvas.scale))
    for number, outline in enumerate(outlines, start=1):
        cv2.fillPoly(labels, [outline], number, shift=4)
        cv2.polylines(labels, [outline], True, 0, septum, shift=4)
    return labels > 0


def line(
    tissue: Tissue,
    inside: np.ndarray,
    *,
    thickness: float,
    diameter: float = 7.0,
    layers: int = 2,
    lumen: bool = True,
    spacing: float = 1.12,
    **looks: Unpack[Looks],
) -> np.ndarray:
    """Line the region `inside` with epithelium of `thickness` along its edge.

    The outer row of nuclei is flat (myoepithelium), the inner ones stand upright, `spacing`
    diameters apart. What is deeper than `thickness` becomes lumen.

    Parameters
    ----------
    tissue : Tissue
        Changed in place.
    inside : ndarray, bool, of the canvas' shape
    thickness : float
        Of the epithelium, micrometres.
    diameter : float
        Of the inner nuclei, micrometres.
    layers : int
        Rows of nuclei; one row has no flat cells.
    lumen : bool
        False: what is deeper is epithelium, too, without nuclei.
    spacing : float
        Of the inner nuclei, in diameters.
    **looks
        See `Looks`.

    Returns
    -------
    ndarray, float32, of the canvas' shape
        Depth below the edge, micrometres.
    """
    canvas = tissue.canvas
    deep = depth(canvas, inside)
    uneven = deep + 0.12 * thickness * noise(canvas, 9.0)
    band = inside & (uneven < thickness)
    tissue.epithelium |= band if lumen else inside
    if lumen:
        tissue.empty |= inside & ~band
    rows = np.linspace(0.22, 0.68, layers) * thickness if layers > 1 else [0.5 * thickness]
    for number, level in enumerate(rows):
        flat = layers > 1 and number == 0
        points, direction = row(canvas, deep, level, (1.55 if flat else spacing) * diameter)
        tissue.nuclei.append(
            nuclei(
                canvas,
                points,
                diameter=0.8 * diameter if flat else diameter,
                aspect=2.0 if flat else 1.35,
                angle=direction if flat else direction + np.pi / 2,
                **looks,
            )
        )
    return deep


def populate(
    tissue: Tissue,
    inside: np.ndarray,
    *,
    spacing: float,
    diameter: float,
    aspect: float = 1.25,
    **looks: Unpack[Looks],
) -> None:
    """Fill the region `inside` with cells `spacing` apart.

    Parameters
    ----------
    tissue : Tissue
        Changed in place.
    inside : ndarray, bool, of the canvas' shape
    spacing, diameter : float
        Micrometres.
    aspect : float
        Mean ratio of a nucleus' length and width.
    **looks
        See `Looks`.
    """
    canvas = tissue.canvas
    points = within(canvas, scatter(canvas, spacing, jitter=0.16))
    clear = depth(canvas, inside) > 0.4 * diameter
    points = points[at(clear, points)]
    tissue.nuclei.append(nuclei(canvas, points, diameter=diameter, aspect=aspect, **looks))


def fibroblasts(
    tissue: Tissue, *, spacing: float, diameter: float = 5.6, dark: float = 0.7
) -> None:
    """Spindle nuclei along the stroma's fibres, wherever no other compartment lies.

    Parameters
    ----------
    tissue : Tissue
        Changed in place.
    spacing, diameter : float
        Micrometres.
    dark : float
        Mean amount of haematoxylin.
    """
    canvas, rng = tissue.canvas, tissue.canvas.rng
    points = within(canvas, scatter(canvas, spacing, jitter=0.4))
    free = ~(tissue.epithelium | tissue.empty | tissue.mucin)
    points = points[at(free, points)]
    right, below = np.array([2, 0]), np.array([0, 2])
    left = at(tissue.fibre, points - right) - at(tissue.fibre, points + right)
    up = at(tissue.fibre, points - below) - at(tissue.fibre, points + below)
    tissue.nuclei.append(
        nuclei(
            canvas,
            points,
            diameter=diameter,
            spread=0.24,
            aspect=rng.uniform(3.0, 4.6),
            angle=np.arctan2(up, left) + np.pi / 2,
            dark=dark,
            clump=0.25,
            kind=FIBROBLAST,
        )
    )


def lymphocytes(tissue: Tissue, amount: float) -> None:
    """Groups of small, round, dark nuclei in the stroma; `amount` is the share that they cover.

    Parameters
    ----------
    tissue : Tissue
        Changed in place.
    amount : float
        In [0, 1].
    """
    canvas = tissue.canvas
    infiltrate = noise(canvas, 55.0) + 0.4 * noise(canvas, 14.0)
    points = within(canvas, scatter(canvas, 8.0, jitter=0.3))
    free = ~(tissue.epithelium | tissue.empty | tissue.mucin)
    chosen = at(free & (infiltrate > np.quantile(infiltrate, 1.0 - amount)), points)
    tissue.nuclei.append(
        nuclei(
            canvas, points[chosen], diameter=5.8, spread=0.07, aspect=1.08,
            dark=1.15, clump=0.5, kind=LYMPHOCYTE,
        )
    )  # fmt: skip


def fat(tissue: Tissue, inside: np.ndarray, size: float = 62.0) -> None:
    """Adipose tissue in the region `inside`: large empty vacuoles between thin walls.

    Parameters
    ----------
    tissue : Tissue
        Changed in place.
    inside : ndarray, bool, of the canvas' shape
    size : float
        Of a vacuole, micrometres.
    """
    canvas = tissue.canvas
    seeds = np.ones(canvas.shape, np.uint8)
    points = within(canvas, scatter(canvas, size, jitter=0.2)).astype(int)
    if not len(points):
        return
    seeds[points[:, 1], points[:, 0]] = 0
    _, nearest = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    to_wall = depth(canvas, ~borders(nearest))
    to_wall = np.minimum(to_wall, depth(canvas, inside))
    rounded = depth(canvas, to_wall <= 10.0) < 9.2  # an opening: corners become round
    tissue.empty |= rounded & (to_wall > 0.7)
    points, direction = row(canvas, to_wall, 0.6, 160.0)
    tissue.nuclei.append(
        nuclei(
            canvas, points, diameter=5.0, aspect=2.8, angle=direction,
            dark=0.9, kind=FIBROBLAST,
        )
    )  # fmt: skip
