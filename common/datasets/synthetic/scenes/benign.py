"""Scenes of normal and benign tissue."""

from __future__ import annotations

import cv2
import numpy as np

from common.datasets.synthetic.canvas import Canvas, at, depth, noise
from common.datasets.synthetic.scenes.parts import (
    capillaries,
    clefts,
    glands,
    largest,
)
from common.datasets.synthetic.tissue import (
    Tissue,
    fat,
    fibroblasts,
    line,
    lymphocytes,
)


def normal(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Fibrous and fatty stroma with lobules of small two-layered acini in loose stroma.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.7, 0.9))
    field = noise(canvas, 190.0) + 0.2 * noise(canvas, 50.0)
    lobule = largest(field, canvas.rng.uniform(0.16, 0.30))
    tissue.collagen *= 1.0 - 0.75 * cv2.GaussianBlur(
        lobule.astype(np.float32), (0, 0), 6.0 * canvas.scale
    )
    acini = glands(
        tissue, spacing=42.0, radius=16.0, spread=0.15, wobble=0.14,
        region=depth(canvas, lobule) > 8.0,
    )  # fmt: skip
    line(tissue, acini, thickness=11.5, diameter=6.6, dark=0.75)
    tissue.basement = 0.12
    adipose = largest(noise(canvas, 240.0) - 1.2 * lobule, slide.uniform(0.15, 0.45))
    fat(tissue, adipose & (depth(canvas, ~lobule) > 14.0))
    tissue.retraction = 0.0
    capillaries(tissue, 180.0)
    fibroblasts(tissue, spacing=24.0)
    lymphocytes(tissue, 0.012)
    return tissue


def adenosis(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Crowded small round glands, more and closer than in a lobule, in fibrous stroma.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.55, 0.85))
    crowd = largest(noise(canvas, 260.0) + 0.2 * noise(canvas, 60.0), 0.88)
    rounds = glands(
        tissue, spacing=slide.uniform(42.0, 48.0), radius=18.5, spread=0.26, wobble=0.22,
        jitter=0.17, region=crowd,
    )  # fmt: skip
    line(tissue, rounds, thickness=12.5, diameter=7.2, dark=0.75)
    tissue.secretion = slide.uniform(0.1, 0.6)
    tissue.basement = 0.14
    tissue.retraction = 0.05
    capillaries(tissue, 220.0)
    fibroblasts(tissue, spacing=18.0)
    lymphocytes(tissue, 0.02)
    return tissue


def fibroadenoma(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Compressed, slit-like ducts (intracanalicular pattern) between nodules of pale stroma.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.25, 0.55), wave=22.0)
    ducts = clefts(canvas, slide.uniform(105.0, 135.0), 27.0)
    ducts &= noise(canvas, 150.0) > -1.0
    line(tissue, ducts, thickness=10.5, diameter=6.8, dark=0.75)
    # Collagen follows the ducts, so the nodules look whorled.
    tissue.fibre = 0.45 * tissue.fibre + 0.9 * np.minimum(depth(canvas, ~ducts), 60.0)
    tissue.basement = 0.10
    tissue.retraction = 0.0
    capillaries(tissue, 200.0)
    fibroblasts(tissue, spacing=slide.uniform(16.0, 20.0))
    return tissue


def phyllodes(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Leaf-like fronds of cellular stroma that project into wide clefts lined by epithelium.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.2, 0.45), wave=18.0)
    field = noise(canvas, slide.uniform(170.0, 220.0)) + 0.35 * noise(canvas, 60.0)
    space = largest(field, canvas.rng.uniform(0.24, 0.36))
    line(tissue, space, thickness=11.0, diameter=7.0, dark=0.75)
    tissue.secretion = 0.15
    tissue.retraction = 0.0
    capillaries(tissue, 220.0)
    # The stroma is most cellular right below the epithelium.
    fibroblasts(tissue, spacing=10.0, diameter=6.8, dark=0.95)
    stromal = tissue.nuclei[-1]
    below = depth(canvas, ~tissue.epithelium)
    density = 0.45 + 0.55 * np.exp(-below / 30.0)
    kept = canvas.rng.random(len(stromal)) < at(density, np.stack([stromal.x, stromal.y], 1))
    tissue.nuclei[-1] = stromal[kept]
    return tissue


def tubular_adenoma(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Tightly packed, uniform tubules with small lumina and hardly any stroma between.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.4, 0.7))
    size = slide.uniform(36.0, 41.0)
    tubules = glands(
        tissue, spacing=size, radius=0.48 * size, spread=0.08, wobble=0.11, jitter=0.08
    )
    line(tissue, tubules, thickness=0.34 * size, diameter=6.9, dark=0.75)
    tissue.secretion = slide.uniform(0.2, 0.7)
    tissue.basement = 0.08
    tissue.retraction = 0.0
    fibroblasts(tissue, spacing=17.0)
    return tissue


def benign(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """One of the benign patterns, the same for all pictures of a slide.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    return [adenosis, fibroadenoma, tubular_adenoma][int(slide.integers(3))](canvas, slide)
