"""Pictures of scenes in H&E, and in H&E and HER2 side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from common.datasets.synthetic.canvas import Canvas
from common.datasets.synthetic.scenes.benign import (
    adenosis,
    benign,
    fibroadenoma,
    normal,
    phyllodes,
    tubular_adenoma,
)
from common.datasets.synthetic.scenes.her2 import her2_carcinoma, membrane
from common.datasets.synthetic.scenes.malignant import (
    ductal,
    in_situ,
    invasive,
    lobular,
    mucinous,
    papillary,
)
from common.datasets.synthetic.section import haematoxylin_eosin, her2, section
from common.datasets.synthetic.stains import look
from common.datasets.synthetic.tissue import Tissue

Scene = Callable[[Canvas, np.random.Generator], Tissue]
"""Fills a tissue: takes the canvas, and random numbers that are the same for the whole slide."""


BREAKHIS: dict[str, Scene] = {
    "A": adenosis,
    "F": fibroadenoma,
    "PT": phyllodes,
    "TA": tubular_adenoma,
    "DC": ductal,
    "LC": lobular,
    "MC": mucinous,
    "PC": papillary,
}
"""Scene of each tumour type of BreakHis."""

BACH: dict[str, Scene] = {
    "Normal": normal,
    "Benign": benign,
    "InSitu": in_situ,
    "Invasive": invasive,
}


"""Scene of each class of BACH."""


def picture(
    scene: Scene,
    size: tuple[int, int],
    scale: float,
    slide: np.random.Generator,
    image: np.random.Generator,
) -> np.ndarray:
    """Draw an H&E picture.

    Parameters
    ----------
    scene : callable
        One of `BREAKHIS` or `BACH`.
    size : (int, int)
        Height and width in px.
    scale : float
        px per micrometre.
    slide, image : Generator
        What is common to the slide (stain, pattern), and what is the image's own.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8, RGB
    """
    stained = look(slide)
    canvas = Canvas.of(size, scale, image)
    tissue = scene(canvas, slide)
    amounts = haematoxylin_eosin(section(tissue))
    return stained.photograph(canvas.crop(amounts), image)


def her2_pair(
    score: str,
    size: tuple[int, int],
    scale: float,
    slide: np.random.Generator,
    image: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the H&E and the HER2 picture of the same nuclei, and where the tumour lies.

    Parameters
    ----------
    score : str
        One of `SCORES`.
    size, scale, slide, image
        As in `picture`.

    Returns
    -------
    he, ihc : ndarray, shape (H, W, 3), uint8, RGB
    tumour : ndarray, shape (H, W), bool
    """
    stains = look(slide), look(slide, ihc=True)
    membranes = membrane(score, slide)
    canvas = Canvas.of(size, scale, image)
    tissue = her2_carcinoma(canvas, slide, score)
    cut = section(tissue)
    he = stains[0].photograph(canvas.crop(haematoxylin_eosin(cut)), image)
    ihc = stains[1].photograph(canvas.crop(her2(cut, membranes)), image)
    return he, ihc, canvas.crop(tissue.epithelium)
