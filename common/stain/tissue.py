"""Pixels, optical densities and tissue: what every stain method starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from common.errors import InputError
from common.stain.conventions import TISSUE_DENSITY, WHITE_LEVEL

# Pixels worked on at a time: the float32 temporaries stay in the processor's cache, and memory
# beside the input and the output stays below 2 MiB whatever the size of the image.
STRIP = 16_384
# Sub-sampling stops where it would leave fewer tissue pixels: the angle percentiles lie in a tail.
MIN_SAMPLES = 10_000
# More would only cost memory.
MAX_SAMPLES = 2**19
# An image with fewer tissue pixels in 1000 has none: dust and the rim of a tissue are no estimate.
MIN_TISSUE = 1e-3
# ... and two vectors and two percentiles need a few pixels to mean anything.
MIN_PIXELS = 16


def require_images(images: Any, what: str = "image") -> np.ndarray:
    """Check that images are RGB uint8, and say what else they are.

    Parameters
    ----------
    images : object
        Wanted: ndarray, uint8, (H, W, 3) or (N, H, W, 3).
    what : str
        Name for messages.

    Returns
    -------
    ndarray
        `images`.

    Raises
    ------
    InputError
        Anything else.
    """
    wanted = f"{what}: expected RGB uint8 of shape (H, W, 3) or (N, H, W, 3)"
    if not isinstance(images, np.ndarray):
        raise InputError(f"{wanted}, received {type(images).__name__}; read it with images.read")
    received = f"received {images.dtype} of shape {images.shape}"
    if images.ndim not in (3, 4) or images.shape[-1] != 3:
        hint = "grey or RGBA images need 3 channels"
        if images.ndim in (3, 4) and images.shape[-3] == 3:
            hint = "the channels stand first: move them last, np.moveaxis(image, -3, -1)"
        raise InputError(f"{wanted}, {received}; {hint}")
    if images.dtype != np.uint8:
        hint = "convert it to uint8"
        if images.dtype.kind == "f":
            largest = float(np.nanmax(images)) if images.size else 0.0
            scale = "(image * 255)" if largest <= 1 else "image"
            hint = f"its values reach {largest:g}: give {scale}.round().astype(np.uint8)"
        raise InputError(f"{wanted}, {received}; {hint}")
    return images


def strips(image: np.ndarray) -> Iterator[slice]:
    """Rows of an image, some at a time.

    Parameters
    ----------
    image : ndarray, shape (H, W, ...)

    Yields
    ------
    slice
        Of the first axis, some `STRIP` pixels each.
    """
    rows = max(1, STRIP // max(1, image.shape[1]))
    for start in range(0, image.shape[0], rows):
        yield slice(start, start + rows)


def density_table(white_level: float, zero: str) -> np.ndarray:
    """Optical density of every pixel value, natural logarithm.

    Parameters
    ----------
    white_level : float
        Pixel value whose density is 0; brighter ones get a negative density.
    zero : {"floor", "plus_one"}
        How the logarithm of 0 is avoided: 0 is read as 1, or 1 is added to every value.

    Returns
    -------
    ndarray, float32, shape (256,)
    """
    values = np.arange(256.0)
    # The logarithm of 0 has two customs: shift every value by 1, or lift 0 to 1.
    values = values + 1 if zero == "plus_one" else np.maximum(values, 1)
    return -np.log(values / white_level).astype(np.float32)


def tissue_mask(image: np.ndarray, rule: str, threshold: float, table: np.ndarray) -> np.ndarray:
    """Tissue by one of the rules of `Conventions.mask`.

    Parameters
    ----------
    image : ndarray, uint8, shape (H, W, 3), RGB
    rule : {"optical_density", "luminosity", "none"}
        All channels at least `threshold`; CIELAB lightness below that fraction of white; all.
    threshold : float
    table : ndarray, float32, shape (256,)
        From `density_table`.

    Returns
    -------
    ndarray, uint8, shape (H, W), 0 or 255
    """
    if rule == "luminosity":
        lightness = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0]
        return cv2.LUT(lightness, (np.arange(256) / 255 < threshold).astype(np.uint8) * 255)
    if rule == "optical_density":
        # Densities fall with the pixel value, so "all >= threshold" is a range of values.
        dark = int((table >= threshold).sum()) - 1
        return cv2.inRange(image, (0, 0, 0), (dark, dark, dark))
    return np.full(image.shape[:2], 255, np.uint8)


def tissue_share(
    image: np.ndarray, white_level: float = WHITE_LEVEL, threshold: float = TISSUE_DENSITY
) -> float:
    """Share of an image's pixels that are tissue, in any stain.

    A pixel is tissue if the mean of its channels' optical densities reaches the threshold. For
    stain vectors `tissue_mask` asks it of every channel, which pale eosin does not meet in red.

    Parameters
    ----------
    image : ndarray, uint8, shape (H, W, 3), RGB
    white_level : float
        Pixel value of the light that met no tissue; what is brighter counts as 0.
    threshold : float
        Optical density, natural logarithm.

    Returns
    -------
    float
        In [0, 1]; 0 of an image without pixels.
    """
    for name, value, low in (("white_level", white_level, 1), ("threshold", threshold, 0)):
        number = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
        if not number or not low <= value <= 255:
            raise InputError(f"{name} must be a number from {low} to 255, not {value!r}")
    density = np.maximum(density_table(white_level, "floor"), 0).astype(np.float64)
    means = density[require_images(image)].mean(axis=-1)
    return float((means >= threshold).mean()) if means.size else 0.0


def grid_stride(height: int, width: int, stride: int) -> int:
    """Stride to sample with: 1 on a small image, wider than asked on a huge one.

    Parameters
    ----------
    height, width : int
        Of the image, px.
    stride : int
        The one asked for.

    Returns
    -------
    int
        Leaves from `MIN_SAMPLES` to `MAX_SAMPLES` pixels where the image has as many.
    """
    if stride == 1 or (height // stride) * (width // stride) < MIN_SAMPLES:
        return 1
    while (height // stride) * (width // stride) > MAX_SAMPLES:
        stride += 2  # even ones see one phase of the period 2 that cameras and JPEG leave
    return stride


def sample(image: np.ndarray, stride: int) -> np.ndarray:
    """Every n-th pixel in both directions, n by `grid_stride`.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3)
    stride : int
        The one asked for.

    Returns
    -------
    ndarray, shape (H // n, W // n, 3), contiguous
    """
    stride = grid_stride(image.shape[0], image.shape[1], stride)
    if stride == 1:
        return np.ascontiguousarray(image)
    # image[::n, ::n] without its incomplete end, in a third of the time
    height, width = image.shape[0] // stride, image.shape[1] // stride
    whole = image[: height * stride, : width * stride]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_NEAREST)


def sample_tissue(
    image: np.ndarray, grid: np.ndarray, mask: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, bool]:
    """Tissue pixels (n, 3) of the grid, or of the whole image where the grid holds few.

    Scarce tissue needs all its pixels: a stain's angle is a percentile far out in the tail.

    Parameters
    ----------
    image : ndarray, uint8, shape (H, W, 3), RGB
    grid : ndarray
        From `sample`.
    mask : callable
        Image -> mask (H, W), uint8, not 0 where there is tissue.

    Returns
    -------
    pixels : ndarray, uint8, shape (n, 3)
    enough : bool
        Whether they are enough to be called tissue: `MIN_PIXELS`, and `MIN_TISSUE` of all.
    """
    tissue = mask(grid)
    count = cv2.countNonZero(tissue)
    if count < MIN_SAMPLES and grid.size < image.size <= 3 * MAX_SAMPLES:
        grid = np.ascontiguousarray(image)
        tissue = mask(grid)
        count = cv2.countNonZero(tissue)
    return select(grid, tissue), count >= max(MIN_PIXELS, MIN_TISSUE * tissue.size)


def select(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pick the pixels where a mask is set.

    Parameters
    ----------
    values : ndarray, uint8, shape (h, w, 3)
    mask : ndarray, uint8, shape (h, w)

    Returns
    -------
    ndarray, uint8, shape (n, 3)
    """
    # As one number a pixel, for NumPy copies rows of three bytes at a third of that speed.
    whole = cv2.cvtColor(values, cv2.COLOR_RGB2RGBA).view(np.uint32)
    chosen = whole.ravel()[mask.ravel() != 0]
    if not chosen.size:
        return np.empty((0, 3), np.uint8)
    return cv2.cvtColor(chosen.view(np.uint8).reshape(len(chosen), 1, 4), cv2.COLOR_RGBA2RGB)[:, 0]


def standardize_brightness(
    image: np.ndarray, percent: float, counted: np.ndarray | None = None
) -> np.ndarray:
    """Stretch the lightness so that a percentile of it becomes white, as StainTools does.

    Parameters
    ----------
    image : ndarray, uint8, shape (H, W, 3), RGB
    percent : float
        Which percentile, in [0, 100].
    counted : ndarray, uint8, shape (h, w, 3), optional
        Pixels of which it is the percentile; by default all of the image.

    Returns
    -------
    ndarray, uint8, shape (H, W, 3), RGB
        The image itself where that percentile is black.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    part = lab if counted is None else cv2.cvtColor(counted, cv2.COLOR_RGB2LAB)
    counts = np.cumsum(cv2.calcHist([part], [0], None, [256], [0, 256]).ravel().astype(np.int64))
    place = percent / 100 * (counts[-1] - 1)
    low, high = np.searchsorted(counts, [int(place), int(np.ceil(place))], side="right")
    level = low + (high - low) * (place - int(place))
    if level == 0:
        return image
    table = np.clip(255 * np.arange(256.0) / level, 0, 255).astype(np.uint8)
    same = np.arange(256, dtype=np.uint8)
    lab = cv2.LUT(lab, np.stack([table, same, same], axis=1)[None])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
