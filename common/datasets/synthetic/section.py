"""A section cut from the tissue: cells drawn, and how much of each stain they and the rest take."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.datasets.synthetic.canvas import at, blur, borders, depth, noise, soft
from common.datasets.synthetic.nuclei import FIBROBLAST, TUMOUR, Nuclei, joined
from common.datasets.synthetic.tissue import Tissue


@dataclass
class Cells:
    """Nuclei drawn on the canvas, and which nucleus each pixel belongs to."""

    nuclei: Nuclei
    label: np.ndarray  # int32: 0 outside nuclei, else number + 1
    owner: np.ndarray  # int32: number of the nearest nucleus
    distance: np.ndarray  # float32, micrometres to that nucleus
    border: np.ndarray  # bool: between the territories of two cells


def draw(tissue: Tissue) -> Cells:
    """Draw the nuclei and share the canvas out among them.

    Parameters
    ----------
    tissue : Tissue

    Returns
    -------
    Cells
        Without those nuclei that overlap others.
    """
    canvas, rng = tissue.canvas, tissue.canvas.rng
    cells = joined(tissue.nuclei)
    label = np.zeros(canvas.shape, np.int32)
    n = len(cells)
    if n:
        t = np.linspace(0.0, 2 * np.pi, 18, endpoint=False)
        bumps = np.ones((n, len(t)))
        for wave, strength in ((2, 0.05), (3, 0.05), (4, 0.03)):
            phase = rng.uniform(0.0, 2 * np.pi, (n, 1))
            bumps += strength * rng.normal(0.0, 1.0, (n, 1)) * np.cos(wave * t + phase)
        along = cells.a[:, None] * bumps * np.cos(t)
        # Spindle nuclei taper to their ends and are a little bent.
        spindle = (cells.kind == FIBROBLAST)[:, None]
        sine = np.where(spindle, np.sign(np.sin(t)) * np.abs(np.sin(t)) ** 1.7, np.sin(t))
        bend = spindle * rng.normal(0.0, 0.35, (n, 1)) * (np.cos(t) ** 2 - 0.5)
        aside = cells.b[:, None] * bumps * (sine + bend)
        cos, sin = np.cos(cells.angle)[:, None], np.sin(cells.angle)[:, None]
        x = cells.x[:, None] + along * cos - aside * sin
        y = cells.y[:, None] + along * sin + aside * cos
        outlines = np.round(np.stack([x, y], axis=2) * 16).astype(np.int32)
        for number in range(n):
            cv2.fillPoly(label, [outlines[number]], number + 1, shift=4)
    outside = label == 0
    if outside.all():
        far = np.full(canvas.shape, 1e3, np.float32)
        return Cells(cells, label, np.zeros(canvas.shape, np.int32), far, ~outside)
    distance, nearest = cv2.distanceTransformWithLabels(
        outside.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number_of = np.zeros(int(nearest.max()) + 1, np.int32)
    number_of[nearest[~outside]] = label[~outside] - 1
    owner = number_of[nearest]
    return Cells(cells, label, owner, distance / np.float32(canvas.scale), borders(owner))


@dataclass(frozen=True)
class Membrane:
    """HER2 staining of tumour cell membranes: what the ASCO/CAP score describes.

    Attributes
    ----------
    share : float
        Share of tumour cells that stain.
    intensity : float
        DAB at the membrane.
    complete : float
        Share of a stained cell's circumference that stains; 1 is complete.
    """

    share: float
    intensity: float
    complete: float


@dataclass
class Section:
    """A cut through the tissue, with the amounts that twins in two stainings share."""

    tissue: Tissue
    cells: Cells
    haematoxylin: np.ndarray  # of everything but the nuclei
    eosin: np.ndarray
    chromatin: np.ndarray  # haematoxylin of the nuclei, where `nuclear` is not 0
    nuclear: np.ndarray  # how far a nucleus covers the pixel, 0 ... 1


def section(tissue: Tissue) -> Section:
    """Draw everything but the choice of stains.

    Parameters
    ----------
    tissue : Tissue

    Returns
    -------
    Section
    """
    cells = draw(tissue)
    H, E = _stroma(tissue)
    _epithelium(tissue, cells, H, E)
    _cavities(tissue, H, E)
    return Section(tissue, cells, H, E, *_chromatin(tissue, cells))


def haematoxylin_eosin(cut: Section) -> np.ndarray:
    """Amounts of haematoxylin, eosin (and no DAB).

    Parameters
    ----------
    cut : Section

    Returns
    -------
    ndarray, float32, shape (H, W, 3) of the canvas
    """
    H, E = cut.haematoxylin.copy(), cut.eosin.copy()
    _blend(H, cut.chromatin, cut.nuclear)
    _blend(E, 0.13, 0.75 * cut.nuclear)
    return _focus(cut, H, E, np.zeros_like(H))


def her2(cut: Section, membrane: Membrane) -> np.ndarray:
    """Amounts of haematoxylin (and no eosin) and DAB for HER2 immunohistochemistry.

    Parameters
    ----------
    cut : Section
    membrane : Membrane
        How the membranes of tumour cells stain.

    Returns
    -------
    ndarray, float32, shape (H, W, 3) of the canvas
    """
    tissue, canvas = cut.tissue, cut.tissue.canvas
    # Without eosin, tissue shows by a trace of counterstain and of unspecific DAB.
    H = 0.5 * cut.haematoxylin + 0.13 * cut.eosin
    _blend(H, 0.62 * cut.chromatin, cut.nuclear)
    haze = 0.12 * membrane.intensity * membrane.share * soft(tissue.epithelium, 1.5 * canvas.scale)
    D = haze * (1.0 + 0.3 * noise(canvas, 3.0)) * (1.0 - soft(tissue.empty, 0.5 * canvas.scale))
    D += 0.05 * cut.eosin + _membranes(tissue, cut.cells, membrane)
    return _focus(cut, H, np.zeros_like(H), D)


def _focus(cut: Section, *stains: np.ndarray) -> np.ndarray:
    """Stack amounts as the microscope resolves them."""
    amounts = np.maximum(cv2.merge(stains), 0.0)
    return blur(amounts, max(0.22 * cut.tissue.canvas.scale, 0.5))


def _stroma(tissue: Tissue) -> tuple[np.ndarray, np.ndarray]:
    canvas, rng, collagen = tissue.canvas, tissue.canvas.rng, tissue.collagen
    bundle = _fibres(tissue, width=7.0, length=90.0)
    fibril = _fibres(tissue, width=2.2, length=30.0)
    E = collagen * (0.36 + 0.055 * bundle + 0.06 * fibril + 0.05 * noise(canvas, 30.0))
    E += (1.0 - collagen) * np.maximum(0.12 + 0.06 * fibril + 0.03 * bundle, 0.0)
    # Shrinkage opens narrow white slits between bundles.
    split = np.abs(bundle) + 0.25 * fibril - 0.55 * noise(canvas, 35.0)
    level = np.float32(rng.uniform(-0.75, -0.15))
    E *= 1.0 - 0.85 * np.clip(2.5 * (level - split), 0.0, 1.0)
    E += 0.035 * noise(canvas, 1.1) * collagen
    H = 0.035 + 0.05 * (1.0 - collagen) + 0.015 * noise(canvas, 12.0)
    return np.maximum(H, 0.0).astype(np.float32), np.maximum(E, 0.0).astype(np.float32)


def _fibres(tissue: Tissue, *, width: float, length: float) -> np.ndarray:
    """Noise drawn out along the fibres."""
    canvas = tissue.canvas
    texture = canvas.rng.standard_normal((256, 256), dtype=np.float32)
    coarse = max(1, int(width * canvas.scale / 5.0))  # px per sample: broad fibres need fewer
    across = tissue.fibre[::coarse, ::coarse] / np.float32(width)
    # Any second coordinate serves along the fibre; a diagonal one is never parallel to it for long.
    along = noise(canvas, 60.0)[::coarse, ::coarse].copy()
    diagonal = np.float32(0.7 * coarse / (canvas.scale * length))
    along += diagonal * np.arange(along.shape[1], dtype=np.float32)
    along += diagonal * np.arange(along.shape[0], dtype=np.float32)[:, None]
    drawn = cv2.remap(texture, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    if coarse > 1:
        drawn = cv2.resize(drawn, (drawn.shape[1] * coarse, drawn.shape[0] * coarse))
    return 1.5 * drawn[: canvas.height, : canvas.width]


def _epithelium(tissue: Tissue, cells: Cells, H: np.ndarray, E: np.ndarray) -> None:
    canvas, rng = tissue.canvas, tissue.canvas.rng
    s, n = canvas.scale, max(len(cells.nuclei), 1)
    cover = soft(tissue.epithelium, 0.5 * s)
    h, e = tissue.cytoplasm
    shade = rng.normal(1.0, 0.15, n).astype(np.float32)[cells.owner]
    grain = 1.0 + 0.10 * noise(canvas, 1.1) + 0.07 * noise(canvas, 3.3) + 0.09 * noise(canvas, 11.0)
    seam = soft(cells.border, 0.45 * s) * min(1.5 * s, 1.6)
    # Cytoplasm is densest around the nucleus and pale towards the border.
    grain *= 1.08 - 0.30 * np.clip(seam, 0.0, 1.0) - 0.02 * np.minimum(cells.distance, 8.0)
    cyto_e = e * shade * grain
    cyto_h = h * (2.0 - shade) * grain
    gap = np.clip(seam * 1.4, 0.0, 1.0)
    gap *= noise(canvas, 16.0) + 0.5 * noise(canvas, 5.0) > 2.6 - 6.0 * tissue.cracks
    gap = blur(gap.astype(np.float32), 0.35 * s)
    _blend(H, cyto_h * (1.0 - gap), cover)
    _blend(E, cyto_e * (1.0 - gap), cover)
    outside = depth(canvas, ~tissue.epithelium)
    if tissue.retraction:
        width = 1.8 * (
            noise(canvas, 40.0) + 0.4 * noise(canvas, 12.0) - 1.3 + 3.0 * tissue.retraction
        )
        keep = 1.0 - 0.9 * soft((outside > 0) & (outside < width), 0.45 * s)
        H *= keep
        E *= keep
    if tissue.basement:
        E += tissue.basement * np.exp(-(((outside - 1.0) / 1.1) ** 2)) * (cover < 0.7)


def _cavities(tissue: Tissue, H: np.ndarray, E: np.ndarray) -> None:
    canvas = tissue.canvas
    s = canvas.scale
    if tissue.mucin.any():
        cover = soft(tissue.mucin, 0.8 * s)
        strands = np.abs(_fibres(tissue, width=9.0, length=45.0) + 0.5 * noise(canvas, 8.0))
        strands = np.exp(-4.0 * strands) * np.clip(noise(canvas, 40.0) + 0.3, 0.0, 1.2)
        _blend(H, 0.055 + 0.05 * strands + 0.018 * noise(canvas, 25.0), cover)
        _blend(E, 0.03 + 0.05 * strands, cover)
    if tissue.necrosis is not None:
        cover = soft(tissue.necrosis, 1.5 * s)
        debris = 0.05 * noise(canvas, 1.4) + 0.06 * noise(canvas, 4.0) + 0.08 * noise(canvas, 11.0)
        _blend(E, 0.50 + debris, cover)
        dust = np.maximum(noise(canvas, 1.9) + 0.7 * noise(canvas, 9.0) - 1.6, 0.0)
        _blend(H, 0.10 + 0.45 * dust, cover)
    if tissue.empty.any():
        cover = soft(tissue.empty, 0.45 * s)
        fluid = np.zeros_like(H)
        if tissue.secretion:
            fluid = noise(canvas, 55.0) + 0.3 * noise(canvas, 12.0) - 1.4 + 2.0 * tissue.secretion
            fluid = np.clip(1.5 * fluid, 0.0, 1.0)
            fluid *= 0.17 + 0.03 * noise(canvas, 2.5) + 0.04 * noise(canvas, 9.0)
        _blend(H, 0.15 * fluid, cover)
        _blend(E, fluid, cover)


def _chromatin(tissue: Tissue, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Haematoxylin of the nuclei, and how far a nucleus covers each pixel."""
    canvas, s = tissue.canvas, tissue.canvas.scale
    if not len(cells.nuclei):
        return np.zeros(canvas.shape, np.float32), np.zeros(canvas.shape, np.float32)
    mask = (cells.label > 0).astype(np.float32)
    cover = blur(mask, 0.28 * s)
    dark = cells.nuclei.dark.astype(np.float32)[cells.owner]
    clump = cells.nuclei.clump.astype(np.float32)[cells.owner]
    chromatin = 0.5 * noise(canvas, 0.8) + noise(canvas, 1.7) + 0.5 * noise(canvas, 3.5)
    # Coarse chromatin gathers under the nuclear membrane and leaves the inside pale (vesicular).
    inside = blur(mask, 0.9 * s)
    rim = np.clip((0.95 - inside) * 2.2, 0.0, 1.0)
    amount = dark * (0.92 + clump * (0.13 * chromatin - 0.30 + 0.42 * rim))
    spots = _nucleoli(tissue, cells)
    if spots is not None:
        amount += 0.38 * spots
    return np.maximum(amount, 0.12), cover


def _nucleoli(tissue: Tissue, cells: Cells) -> np.ndarray | None:
    canvas, rng, nuc = tissue.canvas, tissue.canvas.rng, cells.nuclei
    chosen = np.flatnonzero(nuc.nucleolus > 0)
    if not len(chosen):
        return None
    spots = np.zeros(canvas.shape, np.float32)
    reach = 0.3 * nuc.b[chosen]
    x = nuc.x[chosen] + rng.normal(0.0, 1.0, len(chosen)) * reach
    y = nuc.y[chosen] + rng.normal(0.0, 1.0, len(chosen)) * reach
    radius = nuc.nucleolus[chosen] * rng.uniform(0.8, 1.4, len(chosen)) * canvas.scale
    where = np.round(np.stack([x, y, radius], axis=1) * 16).astype(int)
    for px, py, r in where.tolist():
        cv2.circle(spots, (px, py), max(r, 8), 1.0, -1, shift=4)
    return blur(spots, 0.25 * canvas.scale) * (cells.label > 0)


def _blend(under: np.ndarray, over: np.ndarray | float, cover: np.ndarray) -> None:
    """Put `over` on `under` in place, as far as `cover` says."""
    under += (over - under) * cover


def _membranes(tissue: Tissue, cells: Cells, membrane: Membrane) -> np.ndarray:
    """DAB along the borders of those tumour cells that stain."""
    canvas, rng, s, nuc = tissue.canvas, tissue.canvas.rng, tissue.canvas.scale, cells.nuclei
    n = len(nuc)
    if not n:
        return np.zeros(canvas.shape, np.float32)
    tumour = nuc.kind == TUMOUR
    points = np.stack([nuc.x, nuc.y], axis=1)
    # Staining varies over a section: neighbours stain alike.
    rank = at(noise(canvas, 45.0), points) + 0.6 * rng.standard_normal(n)
    rank = np.argsort(np.argsort(np.where(tumour, rank, -9.0))) / n
    stains = tumour & (rank > 1.0 - membrane.share * tumour.mean())
    strength = np.where(stains, membrane.intensity * np.exp(rng.normal(0.0, 0.18, n)), 0.0)
    edge = tissue.epithelium & cells.border
    rim = tissue.epithelium & (depth(canvas, tissue.epithelium) < max(0.9, 1.2 / s))
    y, x = np.nonzero(edge | rim)
    owner = cells.owner[y, x]
    value = strength[owner]
    if membrane.complete < 1.0 and len(y):  # a small field may hold no membrane
        around = np.arctan2(y - nuc.y[owner], x - nuc.x[owner])
        phase = rng.uniform(0.0, 2 * np.pi, (2, n))
        arc = np.cos(around - phase[0, owner]) + 0.6 * np.cos(2 * around - phase[1, owner])
        value = value * (arc > np.quantile(arc, 1.0 - membrane.complete))
    wall: np.ndarray = np.zeros(canvas.shape, np.float32)
    wall[y, x] = value
    # Territories meet in straight lines; real membranes undulate.
    sway = [0.8 * s * noise(canvas, 6.0) + 0.35 * s * noise(canvas, 2.2) for _ in range(2)]
    column, line_ = np.meshgrid(
        *(np.arange(extent, dtype=np.float32) for extent in wall.shape[::-1])
    )
    wall = cv2.remap(wall, column + sway[0], line_ + sway[1], cv2.INTER_LINEAR)
    # A thin line of optical density 1 that the microscope blurs, and a haze beside it.
    sharp = blur(wall, 0.40 * s) * max(1.0, 1.25 * s)
    wide = blur(wall, 1.3 * s) * 1.1 * s
    return (0.75 * sharp + 0.35 * wide) * (
        1.0 + 0.2 * noise(canvas, 2.5) + 0.2 * noise(canvas, 12.0)
    )
