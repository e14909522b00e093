"""What each diagnosis looks like: scenes that fill a `Tissue` with compartments and nuclei."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from common.datasets.synthetic.section import (
    Membrane,
    haematoxylin_eosin,
    her2,
    section,
)
from common.datasets.synthetic.stains import look
from common.datasets.synthetic.tissue import (
    FIBROBLAST,
    Canvas,
    Tissue,
    at,
    depth,
    fat,
    fibroblasts,
    fill,
    line,
    lymphocytes,
    noise,
    nuclei,
    populate,
    row,
    scatter,
    within,
    wobbly,
)

Scene = Callable[[Canvas, np.random.Generator], Tissue]


# --- shared parts ------------------------------------------------------------------------------


def _glands(
    tissue: Tissue,
    *,
    spacing: float,
    radius: float,
    spread: float,
    wobble: float,
    jitter: float = 0.15,
    region: np.ndarray | None = None,
) -> np.ndarray:
    """Mask of round glands `spacing` apart, in `region` if one is given."""
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


def _share(field: np.ndarray, share: float) -> np.ndarray:
    """Mask of the largest values of `field`, covering `share` of it."""
    return field > np.quantile(field[::4, ::4], 1.0 - share)


def _corner_of_fat(tissue: Tissue, share: float) -> np.ndarray:
    """Put fat into `share` of the canvas."""
    inside = _share(noise(tissue.canvas, 260.0) + 0.15 * noise(tissue.canvas, 60.0), share)
    inside &= ~tissue.epithelium & ~tissue.empty
    fat(tissue, inside)
    return inside


def capillaries(tissue: Tissue, spacing: float = 150.0) -> None:
    """Small vessels in the stroma: flat endothelium around an empty lumen."""
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


# --- benign ------------------------------------------------------------------------------------


def normal(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Fibrous and fatty stroma with lobules of small two-layered acini in loose stroma."""
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.7, 0.9))
    field = noise(canvas, 190.0) + 0.2 * noise(canvas, 50.0)
    lobule = _share(field, canvas.rng.uniform(0.16, 0.30))
    tissue.collagen *= 1.0 - 0.75 * cv2.GaussianBlur(
        lobule.astype(np.float32), (0, 0), 6.0 * canvas.scale
    )
    acini = _glands(
        tissue, spacing=42.0, radius=16.0, spread=0.15, wobble=0.14,
        region=depth(canvas, lobule) > 8.0,
    )  # fmt: skip
    line(tissue, acini, thickness=11.5, diameter=6.6, dark=0.75)
    tissue.basement = 0.12
    adipose = _share(noise(canvas, 240.0) - 1.2 * lobule, slide.uniform(0.15, 0.45))
    fat(tissue, adipose & (depth(canvas, ~lobule) > 14.0))
    tissue.retraction = 0.0
    capillaries(tissue, 180.0)
    fibroblasts(tissue, spacing=24.0)
    lymphocytes(tissue, 0.012)
    return tissue


def adenosis(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Crowded small round glands, more and closer than in a lobule, in fibrous stroma."""
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.55, 0.85))
    crowd = _share(noise(canvas, 260.0) + 0.2 * noise(canvas, 60.0), 0.88)
    glands = _glands(
        tissue, spacing=slide.uniform(42.0, 48.0), radius=18.5, spread=0.26, wobble=0.22,
        jitter=0.17, region=crowd,
    )  # fmt: skip
    line(tissue, glands, thickness=12.5, diameter=7.2, dark=0.75)
    tissue.secretion = slide.uniform(0.1, 0.6)
    tissue.basement = 0.14
    tissue.retraction = 0.05
    capillaries(tissue, 220.0)
    fibroblasts(tissue, spacing=18.0)
    lymphocytes(tissue, 0.02)
    return tissue


def _clefts(canvas: Canvas, size: float, width: float) -> np.ndarray:
    """Curved, branching clefts `width` wide: a level line of smooth noise."""
    field = noise(canvas, size) + 0.22 * noise(canvas, 0.3 * size)
    level = np.quantile(field[::4, ::4], canvas.rng.uniform(0.4, 0.6))
    side = field > level
    away = depth(canvas, side) + depth(canvas, ~side)
    return away < 0.5 * width * (1.0 + 0.35 * np.clip(noise(canvas, 50.0), -1.5, 2.0))


def fibroadenoma(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Compressed, slit-like ducts (intracanalicular pattern) between nodules of pale stroma."""
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.25, 0.55), wave=22.0)
    ducts = _clefts(canvas, slide.uniform(105.0, 135.0), 27.0)
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
    """Leaf-like fronds of cellular stroma that project into wide clefts lined by epithelium."""
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.2, 0.45), wave=18.0)
    field = noise(canvas, slide.uniform(170.0, 220.0)) + 0.35 * noise(canvas, 60.0)
    space = _share(field, canvas.rng.uniform(0.24, 0.36))
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
    """Tightly packed, uniform tubules with small lumina and hardly any stroma between."""
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.4, 0.7))
    size = slide.uniform(36.0, 41.0)
    tubules = _glands(
        tissue, spacing=size, radius=0.48 * size, spread=0.08, wobble=0.11, jitter=0.08
    )
    line(tissue, tubules, thickness=0.34 * size, diameter=6.9, dark=0.75)
    tissue.secretion = slide.uniform(0.2, 0.7)
    tissue.basement = 0.08
    tissue.retraction = 0.0
    fibroblasts(tissue, spacing=17.0)
    return tissue


# --- malignant ---------------------------------------------------------------------------------


def ductal(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Irregular nests and sheets of large pleomorphic cells in desmoplastic stroma."""
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.5, 0.85), wave=20.0)
    size = slide.uniform(10.5, 13.0)
    nests = _nests(canvas, slide.uniform(60.0, 95.0), canvas.rng.uniform(0.42, 0.66))
    tissue.epithelium |= nests
    populate(
        tissue, nests, spacing=1.42 * size, diameter=size, spread=slide.uniform(0.2, 0.3),
        aspect=1.3, dark=0.75, clump=0.8, nucleolus=1.0,
    )  # fmt: skip
    tissue.cytoplasm = (0.17, slide.uniform(0.28, 0.42))
    tissue.retraction = 0.35
    capillaries(tissue, 200.0)
    lymphocytes(tissue, slide.uniform(0.03, 0.12))
    fibroblasts(tissue, spacing=19.0, diameter=6.8)
    return tissue


def _nests(canvas: Canvas, size: float, share: float) -> np.ndarray:
    """Irregular nests covering `share` of the canvas: thresholded noise, without specks."""
    field = noise(canvas, size) + 0.45 * noise(canvas, 0.38 * size) + 0.10 * noise(canvas, 8.0)
    nests = _share(field, share).astype(np.uint8)
    across = max(3, round(11.0 * canvas.scale) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    return cv2.morphologyEx(nests, cv2.MORPH_OPEN, disc) > 0


def lobular(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Small uniform cells one behind the other (Indian files) between the stroma's fibres."""
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
    looks = {"diameter": 7.2, "spread": 0.12, "dark": 0.8, "clump": 0.35}
    on_cord = at(files < 2.0, middle)
    tissue.nuclei.append(
        nuclei(canvas, middle[on_cord], aspect=1.3, angle=direction[on_cord], **looks)
    )
    loose = within(canvas, scatter(canvas, 30.0, 0.4))
    tissue.nuclei.append(nuclei(canvas, loose, aspect=1.12, **looks))
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
    """Clusters of tumour cells that float in pools of pale mucin between thin septa."""
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.6, 0.85))
    rng = canvas.rng
    size = slide.uniform(8.0, 9.5)
    pools = _clefts(canvas, 150.0, 22.0)
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
    """Finger-like fronds with fibrovascular cores, clothed in crowded columnar cells."""
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
    """Ducts distended by uniform tumour cells inside an intact boundary (DCIS)."""
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.6, 0.9))
    rng = canvas.rng
    size = slide.uniform(8.5, 11.0)
    ducts = _glands(
        tissue, spacing=slide.uniform(190.0, 230.0), radius=72.0, spread=0.2, wobble=0.14,
        jitter=0.12,
    )  # fmt: skip
    deep = depth(canvas, ducts)
    tissue.epithelium |= ducts
    cavity = np.zeros_like(ducts)
    pattern = slide.choice(["solid", "cribriform", "comedo"])
    if pattern == "cribriform":
        holes = _glands(tissue, spacing=40.0, radius=10.5, spread=0.2, wobble=0.1)
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
        _corner_of_fat(tissue, 0.15)
    capillaries(tissue, 200.0)
    lymphocytes(tissue, slide.uniform(0.01, 0.06))
    fibroblasts(tissue, spacing=20.0)
    return tissue


def benign(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """One of the benign patterns, the same for all pictures of a slide."""
    return [adenosis, fibroadenoma, tubular_adenoma][int(slide.integers(3))](canvas, slide)


def invasive(canvas: Canvas, slide: np.random.Generator) -> Tissue:
    """Invasive carcinoma: mostly ductal, some lobular."""
    return (ductal if slide.random() < 0.75 else lobular)(canvas, slide)


# --- HER2 --------------------------------------------------------------------------------------

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
    """Draw how the membranes of a slide with this HER2 score stain."""
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
    """
    grade = SCORES.index(score) + float(np.clip(slide.normal(0.0, 0.14), -0.3, 0.3))
    size = 7.0 + 1.6 * grade + 0.35 * grade**2
    tissue = Tissue.stroma(canvas, collagen=slide.uniform(0.5, 0.9), wave=16.0)
    looks = {
        "spread": 0.07 + 0.065 * grade,
        "dark": 0.70 + 0.05 * grade,
        "clump": 0.3 + 0.2 * grade,
        "nucleolus": max(0.0, 0.42 * (grade - 1.0)),
    }
    if score == "0":
        tubules = _glands(tissue, spacing=43.0, radius=17.0, spread=0.2, wobble=0.2, jitter=0.16)
        line(tissue, tubules, thickness=13.5, diameter=size, layers=1, spacing=1.3, **looks)
    else:
        breadth, share = {"1+": (23.0, 0.40), "2+": (62.0, 0.66), "3+": (110.0, 0.88)}[score]
        nests = _nests(canvas, breadth, share + canvas.rng.uniform(-0.06, 0.06))
        tissue.epithelium |= nests
        populate(
            tissue,
            nests,
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
BACH: dict[str, Scene] = {
    "Normal": normal,
    "Benign": benign,
    "InSitu": in_situ,
    "Invasive": invasive,
}


# --- pictures ----------------------------------------------------------------------------------


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
        One of this module's.
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

    Parameters are those of `picture`, with the score instead of a scene.

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
