"""Scenes of carcinoma by HER2 score, and how its membranes stain."""

from __future__ import annotations

import numpy as np

from common.datasets.synthetic.canvas import Canvas
from common.datasets.synthetic.nuclei import Looks
from common.datasets.synthetic.scenes.parts import (
    capillaries,
    glands,
    nests,
)
from common.datasets.synthetic.section import Membrane
from common.datasets.synthetic.tissue import (
    Tissue,
    fibroblasts,
    line,
    lymphocytes,
    populate,
)

# Wolff et al., ASCO/CAP guideline update, J. Clin. Oncol. 36 (2018), 2105-2122, fig. 1: share of
# tumour cells, intensity of the membrane stain, completeness; low and high end of each.
ASCO_CAP = {
    "0": ((0.0, 0.08), (0.10, 0.22), (0.15, 0.35)),
    "1+": ((0.30, 0.65), (0.24, 0.38), (0.30, 0.50)),
    "2+": ((0.45, 0.80), (0.42, 0.62), (0.92, 1.0)),
    "3+": ((0.85, 1.0), (1.05, 1.4), (1.0, 1.0)),
}
SCORES = tuple(ASCO_CAP)


def membrane(score: str, rng: np.random.Generator) -> Membrane:
    """Draw how the membranes of a slide with this HER2 score stain.

    Parameters
    ----------
    score : str
        One of `SCORES`.
    rng : Generator
        The slide's.

    Returns
    -------
    Membrane
    """
    return Membrane(*(float(rng.uniform(*ends)) for ends in ASCO_CAP[score]))


def her2_carcinoma(canvas: Canvas, slide: np.random.Generator, score: str) -> Tissue:
    """Invasive carcinoma whose grade rises with the HER2 score.

    ==================  =============  ==============  ============  =================
    score               0              1+              2+            3+
    ==================  =============  ==============  ============  =================
    pattern             small tubules  narrow cords    round nests   solid sheets
    share of the field  0.4            0.4             0.65          0.9
    nuclear diameter    7 micrometres  9               11.5          15
    sizes and shapes    even           nearly even     uneven        pleomorphic
    chromatin           smooth         smooth          clumped       coarse, nucleoli
    ==================  =============  ==============  ============  =================

    The grade also varies from slide to slide, by a seventh of the step between two scores.

    Parameters
    ----------
    canvas, slide
        As every `Scene` takes them.
    score : str
        One of `SCORES`.

    Returns
    -------
    Tissue
    """
    grade = SCORES.index(score) + float(np.clip(slide.normal(0.0, 0.14), -0.3, 0.3))
    size = 7.0 + 1.6 * grade + 0.35 * grade**2
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.5, 0.9), wave=16.0)
    looks: Looks = {
        "spread": 0.07 + 0.065 * grade,
        "dark": 0.70 + 0.05 * grade,
        "clump": 0.3 + 0.2 * grade,
        "nucleolus": max(0.0, 0.42 * (grade - 1.0)),
    }
    if score == "0":
        tubules = glands(tissue, spacing=43.0, radius=17.0, spread=0.2, wobble=0.2, jitter=0.16)
        line(tissue, tubules, thickness=13.5, diameter=size, layers=1, spacing=1.3, **looks)
    else:
        breadth, share = {"1+": (23.0, 0.40), "2+": (62.0, 0.66), "3+": (110.0, 0.88)}[score]
        islands = nests(canvas, breadth, share + canvas.rng.uniform(-0.06, 0.06))
        tissue.epithelium |= islands
        populate(
            tissue,
            islands,
            spacing=(1.48 - 0.04 * grade) * size,
            diameter=size,
            aspect=1.2 + 0.04 * grade,
            **looks,
        )
    tissue.cracks = 0.08
    tissue.cytoplasm = (0.13 + 0.025 * grade, slide.uniform(0.28, 0.40))
    tissue.retraction = slide.uniform(0.1, 0.4)
    lymphocytes(tissue, slide.uniform(0.0, 0.04))
    capillaries(tissue, 160.0)
    fibroblasts(tissue, spacing=slide.uniform(18.0, 24.0))
    return tissue
