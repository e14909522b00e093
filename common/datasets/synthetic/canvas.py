"""Where a picture is drawn, and fields on it: noise, distances, soft masks.

Lengths are micrometres unless the name says px.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

MARGIN = 9.0  # drawn beyond the picture's edge, so that no contour follows the edge


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
        """Canvas for a picture.

        Parameters
        ----------
        size : (int, int)
            Height and width of the picture in px.
        scale : float
            px per micrometre.
        rng : Generator
            The image's.

        Returns
        -------
        Canvas
            Wider by the margin on each side.
        """
        margin = int(np.ceil(MARGIN * scale))
        return cls(size[0] + 2 * margin, size[1] + 2 * margin, scale, rng, margin)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px, margins included."""
        return self.height, self.width

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Cut the margin off.

        Parameters
        ----------
        image : ndarray, shape (height, width, ...)

        Returns
        -------
        ndarray
            A view.
        """
        m = self.margin
        return image[m : self.height - m, m : self.width - m]


def noise(canvas: Canvas, size: float) -> np.ndarray:
    """Smooth noise with bumps of `size` micrometres: mean about 0, standard deviation about 1.

    Parameters
    ----------
    canvas : Canvas
    size : float
        Micrometres.

    Returns
    -------
    ndarray, float32, of the canvas' shape
    """
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
    """Gaussian blur; below a quarter of a pixel nothing happens.

    Parameters
    ----------
    image : ndarray, float32, shape (H, W) or (H, W, C)
    sigma_px : float
        Standard deviation in px.

    Returns
    -------
    ndarray, float32, shaped like `image`
    """
    if sigma_px < 0.25:
        return image
    return cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)


def depth(canvas: Canvas, mask: np.ndarray) -> np.ndarray:
    """Distance to the nearest place outside `mask`, in micrometres; 0 outside.

    Parameters
    ----------
    canvas : Canvas
    mask : ndarray, bool, of the canvas' shape

    Returns
    -------
    ndarray, float32, of the canvas' shape
    """
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    # Where nothing lies outside, OpenCV gives the largest float, which overflows further on.
    return np.minimum(distance, np.float32(1e4)) / np.float32(canvas.scale)


def soft(mask: np.ndarray, sigma_px: float) -> np.ndarray:
    """A bool mask as float32 with blurred edges.

    Parameters
    ----------
    mask : ndarray, bool, shape (H, W)
    sigma_px : float
        Standard deviation of the blur in px.

    Returns
    -------
    ndarray, float32, shape (H, W), in [0, 1]
    """
    return blur(mask.astype(np.float32), sigma_px)


def at(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of `image` at `points` (x, y), clipped to its edge.

    Parameters
    ----------
    image : ndarray, shape (H, W)
    points : ndarray, float or int, shape (n, 2)
        x and y in px.

    Returns
    -------
    ndarray, shape (n,)
    """
    x = np.clip(points[:, 0].astype(int), 0, image.shape[1] - 1)
    y = np.clip(points[:, 1].astype(int), 0, image.shape[0] - 1)
    return image[y, x]


def within(canvas: Canvas, points: np.ndarray) -> np.ndarray:
    """Those of `points` that lie on the canvas.

    Parameters
    ----------
    canvas : Canvas
    points : ndarray, float, shape (n, 2)
        x and y in px.

    Returns
    -------
    ndarray, float, shape (m, 2)
    """
    inside = (points >= 0).all(1) & (points < (canvas.width, canvas.height)).all(1)
    return points[inside]


def borders(labels: np.ndarray) -> np.ndarray:
    """True where a label differs from the one to the right or below.

    Parameters
    ----------
    labels : ndarray, int, shape (H, W)

    Returns
    -------
    ndarray, bool, shape (H, W)
    """
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge
