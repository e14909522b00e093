"""A field of synthetic tissue: noise, compartments, and nuclei put in their places.

Lengths are micrometres unless the name says px. A scene (see `scenes.py`) fills a `Tissue`;
`section.py` cuts and stains it; `stains.Look` photographs the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.spatial import cKDTree

MARGIN = 9.0  # drawn beyond the picture's edge, so that no contour follows the edge

TUMOUR, FIBROBLAST, LYMPHOCYTE = 1, 2, 3  # kinds of nucleus; TUMOUR stands for all epithelium


@dataclass
class Canvas:
    """Where a picture is drawn: its size with margin in px, its scale, its random numbers."""

    height: int
    width: int
    scale: float  # px per micrometre
    rng: np.random.Generator
    margin: int = 0

    @classmethod
    def of(cls, size: tuple[int, int], scale: float, rng: np.random.Generator) -> Canvas:
        """Canvas for a picture of `size` (height, width) px."""
        margin = int(np.ceil(MARGIN * scale))
        return cls(size[0] + 2 * margin, size[1] + 2 * margin, scale, rng, margin)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px, margins included."""
        return self.height, self.width

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Cut the margin off."""
        m = self.margin
        return image[m : self.height - m, m : self.width - m]


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
        """Fibrous stroma and nothing else."""
        rng = canvas.rng
        angle = rng.uniform(0.0, np.pi)
        y, x = (np.arange(extent, dtype=np.float32) / canvas.scale for extent in canvas.shape)
        across = (np.cos(angle) * y)[:, None] - (np.sin(angle) * x)[None, :]
        across = across.astype(np.float32)
        across += wave * noise(canvas, 90.0) + 0.25 * wave * noise(canvas, 28.0)
        dense = np.clip(collagen + 0.18 * noise(canvas, 70.0), 0.0, 1.0)
        none = np.zeros(canvas.shape, bool)
        return cls(canvas, none, none.copy(), none.copy(), dense, across)


# --- fields ------------------------------------------------------------------------------------


def noise(canvas: Canvas, size: float) -> np.ndarray:
    """Smooth noise with bumps of `size` micrometres: mean about 0, standard deviation about 1."""
    step = size * canvas.scale
    if step <= 1.0:
        return canvas.rng.standard_normal(canvas.shape, dtype=np.float32)
    # Broad bumps are interpolated on a coarse lattice first; the rest is a linear enlargement.
    coarse = max(1, int(step / 8.0))
    height, width = (-(-extent // coarse) + 1 for extent in canvas.shape)
    cell = step / coarse
    rows, columns = (int(extent / cell) + 3 for extent in (height, width))
    grid = canvas.rng.standard_normal((rows, columns), dtype=np.float32)
    whole = (round(columns * cell), round(rows * cell))
    smooth = cv2.resize(grid, whole, interpolation=cv2.INTER_CUBIC)
    row, column = canvas.rng.integers(1, int(cell) + 1, 2)
    smooth = smooth[row : row + height, column : column + width] * np.float32(1.35)
    if coarse > 1:
        smooth = cv2.resize(smooth, (width * coarse, height * coarse))
    return smooth[: canvas.height, : canvas.width]


def blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur; below a quarter of a pixel nothing happens."""
    if sigma_px < 0.25:
        return image
    return cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)


def depth(canvas: Canvas, mask: np.ndarray) -> np.ndarray:
    """Distance to the nearest place outside `mask`, in micrometres; 0 outside."""
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    # Where nothing lies outside, OpenCV gives the largest float, which overflows further on.
    return np.minimum(distance, np.float32(1e4)) / np.float32(canvas.scale)


def soft(mask: np.ndarray, sigma_px: float) -> np.ndarray:
    """A bool mask as float32 with blurred edges."""
    return blur(mask.astype(np.float32), sigma_px)


# --- placing things ----------------------------------------------------------------------------


def scatter(canvas: Canvas, spacing: float, jitter: float = 0.3) -> np.ndarray:
    """Points of a jittered hexagonal lattice over the canvas: float array (n, 2) of x, y in px."""
    step = max(spacing * canvas.scale, 1.5)
    rows = np.arange(-1, canvas.height / (0.866 * step) + 1)
    columns = np.arange(-1, canvas.width / step + 1)
    x = columns[None, :] + 0.5 * (np.arange(len(rows)) % 2)[:, None]
    y = np.broadcast_to(0.866 * rows[:, None], x.shape)
    points = np.stack([x.ravel(), y.ravel()], axis=1) * step
    points += canvas.rng.uniform(0.0, step, 2)
    return points + canvas.rng.normal(0.0, jitter * step, points.shape)


def at(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of `image` at `points` (x, y), clipped to its edge."""
    x = np.clip(points[:, 0].astype(int), 0, image.shape[1] - 1)
    y = np.clip(points[:, 1].astype(int), 0, image.shape[0] - 1)
    return image[y, x]


def within(canvas: Canvas, points: np.ndarray) -> np.ndarray:
    """Those of `points` that lie on the canvas."""
    inside = (points >= 0).all(1) & (points < (canvas.width, canvas.height)).all(1)
    return points[inside]


def row(
    canvas: Canvas, field_: np.ndarray, level: float, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points `spacing` apart along the contour field = level, and the contour's direction there.

    Nuclei of a lining epithelium stand in such rows: `field_` is then the depth below the
    basement membrane.
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
    """All nuclei, without those that overlap an earlier one by more than a little."""
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
    """Closed outlines around `points` with mean `radius` px: int32 arrays for `cv2.fillPoly`."""
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


# --- adding compartments -----------------------------------------------------------------------


def fill(canvas: Canvas, outlines: list[np.ndarray]) -> np.ndarray:
    """Bool mask of the inside of `outlines`; neighbours stay apart by a thin septum."""
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
    **looks: float,
) -> np.ndarray:
    """Line the region `inside` with epithelium of `thickness` along its edge.

    The outer row of nuclei is flat (myoepithelium), the inner ones stand upright, `spacing`
    diameters apart. What is deeper than `thickness` becomes lumen. Returns the depth field.
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
    tissue: Tissue, inside: np.ndarray, *, spacing: float, diameter: float, **looks: float
) -> None:
    """Fill the region `inside` with cells `spacing` apart."""
    canvas = tissue.canvas
    points = within(canvas, scatter(canvas, spacing, jitter=0.16))
    clear = depth(canvas, inside) > 0.4 * diameter
    points = points[at(clear, points)]
    tissue.nuclei.append(nuclei(canvas, points, diameter=diameter, **looks))


def fibroblasts(
    tissue: Tissue, *, spacing: float, diameter: float = 5.6, dark: float = 0.7
) -> None:
    """Spindle nuclei along the stroma's fibres, wherever no other compartment lies."""
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
    """Groups of small, round, dark nuclei in the stroma; `amount` is the share that they cover."""
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
    """Adipose tissue in the region `inside`: large empty vacuoles between thin walls."""
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


def borders(labels: np.ndarray) -> np.ndarray:
    """True where a label differs from the one to the right or below."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge
