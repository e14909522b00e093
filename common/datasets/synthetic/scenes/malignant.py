"""Scenes of carcinoma, in situ and invasive."""

from __future__ import annotations

import cv2
import numpy as np

from common.datasets.synthetic.canvas import Canvas, at, depth, noise, within
from common.datasets.synthetic.nuclei import FIBROBLAST, Looks, nuclei, row, scatter, wobbly
from common.datasets.synthetic.scenes.parts import (
    capillaries,
    clefts,
    corner_of_fat,
    glands,
    nests,
)
from common.datasets.synthetic.tissue import (
    Tissue,
    fibroblasts,
    fill,
    line,
    lymphocytes,
    populate,
)


def ductal(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Irregular nests and sheets of large pleomorphic cells in desmoplastic stroma.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.5, 0.85), wave=20.0)
    size = slide.uniform(10.5, 13.0)
    islands = nests(canvas, slide.uniform(60.0, 95.0), canvas.rng.uniform(0.42, 0.66))
    tissue.epithelium |= islands
    populate(
        tissue, islands, spacing=1.42 * size, diameter=size, spread=slide.uniform(0.2, 0.3),
        aspect=1.3, dark=0.75, clump=0.8, nucleolus=1.0,
    )  # fmt: skip
    tissue.cytoplasm = (0.17, slide.uniform(0.28, 0.42))
    tissue.retraction = 0.35
    capillaries(tissue, 200.0)
    lymphocytes(tissue, slide.uniform(0.03, 0.12))
    fibroblasts(tissue, spacing=19.0, diameter=6.8)
    return tissue


def lobular(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Small uniform cells one behind the other (Indian files) between the stroma's fibres.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.75, 0.95), wave=24.0)
    rng = canvas.rng
    lane = slide.uniform(15.0, 20.0)
    phase = tissue.fibre / lane + 0.5 * noise(canvas, 80.0)
    files = np.abs(phase - np.round(phase)) * lane
    present = noise(canvas, 42.0) + 0.5 * noise(canvas, 18.0) > rng.uniform(0.0, 0.35)
    cord = (files < 5.2) & present
    tissue.epithelium |= cord
    middle, direction = row(canvas, np.where(cord, phase - np.round(phase), -1.0), 0.0, 10.5)
    middle += rng.normal(0.0, 1.2 * canvas.scale, middle.shape)
    looks: Looks = {"spread": 0.12, "dark": 0.8, "clump": 0.35}
    on_cord = at(files < 2.0, middle)
    tissue.nuclei.append(
        nuclei(
            canvas,
            middle[on_cord],
            diameter=7.2,
            aspect=1.3,
            angle=direction[on_cord],
            **looks,
        )
    )
    loose = within(canvas, scatter(canvas, 30.0, 0.4))
    tissue.nuclei.append(nuclei(canvas, loose, diameter=7.2, aspect=1.12, **looks))
    tissue.epithelium |= fill(
        canvas, wobbly(canvas, loose, np.full(len(loose), 6.0 * canvas.scale), 0.12)
    )
    tissue.cytoplasm = (0.12, 0.34)
    tissue.cracks = 0.0
    tissue.retraction = 0.1
    capillaries(tissue, 200.0)
    fibroblasts(tissue, spacing=26.0)
    return tissue


def mucinous(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Clusters of tumour cells that float in pools of pale mucin between thin septa.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.6, 0.85))
    rng = canvas.rng
    size = slide.uniform(8.0, 9.5)
    pools = clefts(canvas, 150.0, 22.0)
    pools = ~pools
    tissue.mucin |= pools & (depth(canvas, pools) > 2.0)
    spacing = slide.uniform(72.0, 90.0)
    points = within(canvas, scatter(canvas, spacing, 0.28))
    points = points[at(depth(canvas, pools) > 12.0, points)]
    sizes = canvas.scale * np.exp(rng.normal(np.log(24.0), 0.35, len(points)))
    clusters = fill(canvas, wobbly(canvas, points, sizes, 0.28)) & pools
    tissue.epithelium |= clusters
    tissue.mucin &= ~clusters
    holes = clusters & (depth(canvas, clusters) > 11.0) & (noise(canvas, 16.0) > 0.9)
    tissue.epithelium &= ~holes
    tissue.mucin |= holes
    populate(
        tissue, tissue.epithelium, spacing=1.25 * size, diameter=size, spread=0.13,
        aspect=1.2, dark=0.8, clump=0.5,
    )  # fmt: skip
    tissue.cracks = 0.03
    tissue.retraction = 0.0
    fibroblasts(tissue, spacing=20.0)
    return tissue


def papillary(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Finger-like fronds with fibrovascular cores, clothed in crowded columnar cells.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.3, 0.6))
    fronds = _fronds(canvas, slide.uniform(75.0, 90.0))
    thickness = slide.uniform(12.5, 15.5)
    tissue.empty |= ~fronds
    deep = line(
        tissue, fronds, thickness=thickness, diameter=7.6, layers=2, lumen=True,
        spread=0.14, dark=0.85, clump=0.6,
    )  # fmt: skip
    core = fronds & (deep >= thickness)
    tissue.epithelium |= fronds & ~core
    tissue.empty &= ~fronds
    tissue.secretion = 0.1
    tissue.retraction = 0.0
    tissue.cracks = 0.02
    fibroblasts(tissue, spacing=11.0)
    return tissue


def _fronds(canvas: Canvas, spacing: float) -> np.ndarray:
    """Mask of branching fingers that grow from stalks in one main direction."""
    rng, s = canvas.rng, canvas.scale
    mask = np.zeros(canvas.shape, np.uint8)
    heading = rng.uniform(0.0, 2 * np.pi)
    for start in scatter(canvas, 2.2 * spacing, 0.3):
        _branch(mask, rng, start, heading + rng.normal(0.0, 0.4), 2.4 * spacing * s, 36.0 * s, 2)
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0 * s) > 0.5


def _branch(
    mask: np.ndarray,
    rng: np.random.Generator,
    start: np.ndarray,
    heading: float,
    length: float,
    width: float,
    generations: int,
) -> None:
    """Draw one finger as a thick, slowly turning line; then its side branches."""
    steps = 7
    headings = heading + np.cumsum(rng.normal(0.0, 0.22, steps))
    path = start + np.cumsum(
        np.stack([np.cos(headings), np.sin(headings)], axis=1) * length / steps, axis=0
    )
    outline = np.round(np.vstack([start, path])).astype(np.int32)
    cv2.polylines(mask, [outline], False, 1, max(1, round(width)))
    if generations == 0:
        return
    for number in (1, 3, 5):
        side = rng.choice([-1.0, 1.0])
        turn = headings[number] + side * rng.uniform(0.8, 1.3)
        _branch(mask, rng, path[number], turn, 0.5 * length, 0.85 * width, generations - 1)


def in_situ(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Ducts distended by uniform tumour cells inside an intact boundary (DCIS).

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.6, 0.9))
    rng = canvas.rng
    size = slide.uniform(8.5, 11.0)
    ducts = glands(
        tissue, spacing=slide.uniform(190.0, 230.0), radius=72.0, spread=0.2, wobble=0.14,
        jitter=0.12,
    )  # fmt: skip
    deep = depth(canvas, ducts)
    tissue.epithelium |= ducts
    cavity = np.zeros_like(ducts)
    pattern = slide.choice(["solid", "cribriform", "comedo"])
    if pattern == "cribriform":
        holes = glands(tissue, spacing=40.0, radius=10.5, spread=0.2, wobble=0.1)
        cavity = holes & (deep > 20.0)
        tissue.empty |= cavity
        tissue.secretion = 0.5
    elif pattern == "comedo":
        cavity = deep + 3.0 * noise(canvas, 15.0) > 38.0
        tissue.necrosis = cavity
    tissue.epithelium &= ~cavity
    ring, direction = row(canvas, depth(canvas, ~ducts) * -1.0, -1.6, 17.0)
    tissue.nuclei.append(  # the intact myoepithelium
        nuclei(canvas, ring, diameter=5.4, aspect=3.4, angle=direction, dark=0.8, kind=FIBROBLAST)
    )
    populate(
        tissue, ducts & ~cavity, spacing=1.32 * size, diameter=size, spread=0.13, aspect=1.2,
        dark=0.75, clump=0.6, nucleolus=0.6,
    )  # fmt: skip
    tissue.basement = 0.2
    tissue.retraction = 0.2
    tissue.fibre = 0.7 * tissue.fibre + 0.6 * np.minimum(depth(canvas, ~ducts), 40.0)
    if rng.random() < 0.3:
        corner_of_fat(tissue, 0.15)
    capillaries(tissue, 200.0)
    lymphocytes(tissue, slide.uniform(0.01, 0.06))
    fibroblasts(tissue, spacing=20.0)
    return tissue


def invasive(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Invasive carcinoma: mostly ductal, some lobular.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.

    Returns
    -------
    Tissue
    """
    return (ductal if slide.random() < 0.75 else lobular)(canvas, slide)
