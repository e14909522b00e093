"""The steps that the stain methods share: optical density, tissue, stain vectors, mixing.

References
----------
M. Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
A. Vahadane et al., "Structure-preserving color normalization and sparse stain separation for
histological images", IEEE TMI 35(8), 2016.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from common.errors import InputError

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
# Haematoxylin and eosin as in A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical
# staining by color deconvolution", Anal. Quant. Cytol. Histol. 23(4), 2001.
RUIFROK = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
RUIFROK /= np.linalg.norm(RUIFROK, axis=1, keepdims=True)


class Flag(enum.IntEnum):
    """What happened to an image; from `NO_TISSUE` on it was returned unchanged."""

    OK = 0
    GAIN_LIMITED = 1  # one stain is so weak or so strong here that its gain met `max_gain`
    NO_TISSUE = 2  # white, blank, empty or tiny
    SINGLE_STAIN = 3  # all tissue has one colour: one stain only, black, grey or a uniform image

    @property
    def unchanged(self) -> bool:
        """Whether the image was returned as it came."""
        return self >= Flag.NO_TISSUE


@dataclass(frozen=True)
class Stains:
    """Stains estimated on an image.

    Attributes
    ----------
    matrix : ndarray
        Shape (2, 3), float64: unit optical-density vectors (R, G, B) of haematoxylin and eosin.
    maximum : ndarray
        Shape (2,), float64: high percentile of each stain's concentration.
    flag : Flag
        If `flag.unchanged`, the two arrays are NaN.
    """

    matrix: np.ndarray
    maximum: np.ndarray
    flag: Flag = Flag.OK


def unusable(flag: Flag) -> Stains:
    """Give the result of an estimate that could not be made."""
    return Stains(np.full((2, 3), np.nan), np.full(2, np.nan), flag)


def require_images(images: Any, what: str = "image") -> np.ndarray:
    """Check that `images` is RGB uint8, (H, W, 3) or (N, H, W, 3), and say what else it is."""
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
    """Rows of an image, some at a time."""
    rows = max(1, STRIP // max(1, image.shape[1]))
    for start in range(0, image.shape[0], rows):
        yield slice(start, start + rows)


def density_table(white_level: float, zero: str) -> np.ndarray:
    """Optical density of every pixel value, (256,) float32, natural logarithm."""
    values = np.arange(256.0)
    # The logarithm of 0 has two customs: shift every value by 1, or lift 0 to 1.
    values = values + 1 if zero == "plus_one" else np.maximum(values, 1)
    return -np.log(values / white_level).astype(np.float32)


def percentiles(
    values: np.ndarray,
    percents: Sequence[float],
    rule: str,
    monotone: Callable[[float], float] = lambda x: x,
) -> np.ndarray:
    """Percentiles of a monotone function of `values`, which is evaluated at few of them only."""
    result = np.empty(len(percents))
    for i, percent in enumerate(percents):
        place = percent / 100 * (len(values) - 1)
        if rule == "nearest":
            place = round(place)
        low = int(place)
        # NumPy has a fast path for a single element: its neighbour is the least of the rest.
        ordered = np.partition(values, low)
        found = monotone(float(ordered[low]))
        if place > low:
            found += (monotone(float(ordered[low + 1 :].min())) - found) * (place - low)
        result[i] = found
    return result


# --- tissue ------------------------------------------------------------------------------------


def tissue_mask(image: np.ndarray, rule: str, threshold: float, table: np.ndarray) -> np.ndarray:
    """Tissue as a mask (H, W), uint8, 0 or 255."""
    if rule == "luminosity":
        lightness = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0]
        return cv2.LUT(lightness, (np.arange(256) / 255 < threshold).astype(np.uint8) * 255)
    if rule == "optical_density":
        # Densities fall with the pixel value, so "all >= threshold" is a range of values.
        dark = int((table >= threshold).sum()) - 1
        if dark < 0:
            return np.zeros(image.shape[:2], np.uint8)
        return cv2.inRange(image, (0, 0, 0), (dark, dark, dark))
    return np.full(image.shape[:2], 255, np.uint8)


def grid_stride(height: int, width: int, stride: int) -> int:
    """Stride to sample with: 1 on a small image, wider than asked on a huge one."""
    if stride == 1 or (height // stride) * (width // stride) < MIN_SAMPLES:
        return 1
    while (height // stride) * (width // stride) > MAX_SAMPLES:
        stride += 2  # even ones see one phase of the period 2 that cameras and JPEG leave
    return stride


def sample(image: np.ndarray, stride: int) -> np.ndarray:
    """Every n-th pixel in both directions, n by `grid_stride`."""
    stride = grid_stride(*image.shape[:2], stride)
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

    Returns
    -------
    tuple
        The pixels, and whether they are enough to be called tissue.
    """
    tissue = mask(grid)
    count = cv2.countNonZero(tissue)
    if count < MIN_SAMPLES and grid.size < image.size <= 3 * MAX_SAMPLES:
        grid = np.ascontiguousarray(image)
        tissue = mask(grid)
        count = cv2.countNonZero(tissue)
    return select(grid, tissue), count >= max(MIN_PIXELS, MIN_TISSUE * tissue.size)


def select(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Rows (n, 3) of `values` (h, w, 3) where the mask (h, w) is set."""
    return values.reshape(-1, 3).take(np.flatnonzero(mask), axis=0)


def standardize_brightness(image: np.ndarray, percent: float) -> np.ndarray:
    """Stretch the lightness so that its `percent`-th percentile becomes white."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    counts = np.cumsum(cv2.calcHist([lab], [0], None, [256], [0, 256]).ravel().astype(np.int64))
    place = percent / 100 * (counts[-1] - 1)
    low, high = np.searchsorted(counts, [int(place), int(np.ceil(place))], side="right")
    level = low + (high - low) * (place - int(place))
    if level == 0:
        return image
    table = np.clip(255 * np.arange(256.0) / level, 0, 255).astype(np.uint8)
    same = np.arange(256, dtype=np.uint8)
    lab = cv2.LUT(lab, np.stack([table, same, same], axis=-1)[None])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


# --- stain vectors -----------------------------------------------------------------------------


def macenko_matrix(
    density: np.ndarray, percent: float, rule: str, eigenvectors: str
) -> np.ndarray | None:
    """Stain matrix as the extreme directions in the plane of the two main components.

    Parameters
    ----------
    density : ndarray
        Optical densities of tissue, shape (n, 3), float32.
    percent : float
        Angles at this percentile and at 100 minus it are the stains'.
    rule : {"linear", "nearest"}
        Percentiles between two samples.
    eigenvectors : {"oriented", "red", "solver"}
        The sign of an eigenvector is arbitrary. `oriented`: tissue projects positively. `red`: its
        red component is not negative. `solver`: left as it comes, angles from the second axis.

    Returns
    -------
    ndarray or None
        Unit rows, haematoxylin first: it absorbs more red light. None if there is no plane.
    """
    mean = np.ones(len(density), np.float32) @ density / np.float32(len(density))
    centred = density - mean
    covariance = (centred.T @ centred).astype(np.float64) / max(len(density) - 1, 1)
    _, vectors = np.linalg.eigh(covariance)
    principal, second = vectors[:, 2], vectors[:, 1]
    if principal @ mean < 0 and eigenvectors != "solver":
        principal = -principal
    if eigenvectors == "red":
        principal = -principal if principal[0] < 0 else principal
        second = -second if second[0] < 0 else second
    plane = np.stack([principal, second])
    along, across = plane.astype(np.float32) @ density.T
    percents = (percent, 100 - percent)
    if along.min() > 0 or (eigenvectors == "solver" and along.max() < 0):
        # Then every convention gives the same two directions, and the tangent grows with the angle.
        plane[0] *= np.sign(along[0])
        angles = percentiles(across / abs(along), percents, rule, np.arctan)
    elif eigenvectors == "solver":
        angles = np.pi / 2 - percentiles(np.arctan2(along, across), percents, rule)
    else:
        angles = percentiles(np.arctan2(across, along), percents, rule)
    matrix = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane
    return matrix if matrix[0, 0] > matrix[1, 0] else matrix[::-1]


def vahadane_matrix(density: np.ndarray, start: np.ndarray, regularizer: float) -> np.ndarray:
    """Stain matrix by sparse non-negative dictionary learning with two atoms.

    Minimises mean(|x - a D|^2 / 2 + regularizer * sum(a)) over a >= 0, D >= 0, |D_k| <= 1.

    With two atoms the codes `a` are known in closed form, and linear in x among all pixels that use
    the same atoms: sums of x and of its products over these three groups stand for the pixels, so
    that the dictionary moves far between two passes over the pixels.
    """
    x = np.ascontiguousarray(density.T)
    features = np.empty((10, x.shape[1]), np.float32)
    features[0] = 1
    features[1:4] = x
    for row, (i, j) in enumerate(_PRODUCTS, start=4):
        np.multiply(x[i], x[j], out=features[row])
    atoms = _unit_rows(np.maximum(start, 1e-3))
    for passes in range(1, 61):
        before = atoms
        groups = _groups(x, atoms, regularizer)
        moments = (groups @ features.T).astype(np.float64)
        for _ in range(passes):  # few at first: far from the end, the groups still change
            previous = atoms
            atoms = _dictionary_step(atoms, moments, regularizer)
            if abs(atoms - previous).max() < 1e-6:
                break
        if abs(atoms - before).max() < 3e-5:
            break
    atoms = _unit_rows(atoms)
    return atoms if atoms[0, 0] >= atoms[1, 0] else atoms[::-1]


def online_matrix(density: np.ndarray, regularizer: float, batches: int) -> np.ndarray:
    """Stain matrix by online dictionary learning, stopped early as StainTools stops it.

    StainTools lets SPAMS learn for one second: some 130 batches of 512 pixels on the machines that
    we tried. Where two stains are hard to tell apart that is several degrees short of the minimum
    that `vahadane_matrix` finds, and depends on the first two pixels.

    References
    ----------
    J. Mairal et al., "Online dictionary learning for sparse coding", ICML 2009, algorithms 1 and 2
    with section 3.4's batches.
    """
    size = 512
    order = np.random.default_rng(0).permutation(len(density))
    # SPAMS begins at the pixels that the C library's generator names first, seeded with 0.
    atoms = density[[1_804_289_383 % len(density), 846_930_886 % len(density)]].astype(np.float64)
    atoms /= np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)
    codes, mixed = np.zeros((2, 2)), np.zeros((2, 3))
    for step in range(1, batches + 1):
        chosen = np.arange((step - 1) * size, step * size) % len(density)
        x = np.ascontiguousarray(density[order[chosen]].T)
        both = _codes(x, atoms, regularizer)
        seen = step * size if step < size else size**2 + step - size
        keep = (seen + 1 - size) / (seen + 1)
        codes = keep * codes + (both @ both.T).astype(np.float64)
        mixed = keep * mixed + (both @ x.T).astype(np.float64)
        atoms = _moved_atoms(atoms, codes, mixed)
    atoms = atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)
    return atoms if atoms[0, 0] >= atoms[1, 0] else atoms[::-1]


def _codes(x: np.ndarray, atoms: np.ndarray, regularizer: float) -> np.ndarray:
    """Lasso codes (2, n) of pixels `x` (3, n)."""
    correlation = atoms.astype(np.float32) @ x - np.float32(regularizer)
    free = _inverse_gram(atoms).astype(np.float32) @ correlation
    alone = correlation / np.maximum((atoms**2).sum(axis=1), 1e-12).astype(np.float32)[:, None]
    return np.maximum(np.minimum(free, alone), 0)


# Rows of `features`: 1, x, and the six products of which the others are copies.
_PRODUCTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_SYMMETRIC = np.array([[4, 5, 6], [5, 7, 8], [6, 8, 9]])


def _unit_rows(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def _inverse_gram(atoms: np.ndarray) -> np.ndarray:
    # Two atoms that fall together would be singular; the ridge is far below what a pixel resolves.
    return np.linalg.inv(atoms @ atoms.T + 1e-9 * np.eye(2))


def _groups(x: np.ndarray, atoms: np.ndarray, regularizer: float) -> np.ndarray:
    """Pixels of `x` (3, n) that use both atoms, the first or the second only: (3, n), 0 or 1."""
    correlation = atoms.astype(np.float32) @ x
    correlation -= np.float32(regularizer)
    first, second = _inverse_gram(atoms).astype(np.float32) @ correlation > 0
    groups = np.empty((3, x.shape[1]), np.float32)
    groups[0] = first & second
    groups[1] = ~second & (correlation[0] > 0)
    groups[2] = ~first & second & (correlation[1] > 0)
    return groups


def _dictionary_step(atoms: np.ndarray, moments: np.ndarray, regularizer: float) -> np.ndarray:
    """One pass of block coordinate descent over the atoms, the codes' groups being kept."""
    codes, mixed = np.zeros((2, 2)), np.zeros((2, 3))  # sums of a a^T and of a x^T
    norms = (atoms**2).sum(axis=1)
    inverse = _inverse_gram(atoms)
    for group, moment in enumerate(moments):
        if group == 0:
            slope, shift = inverse @ atoms, -regularizer * inverse.sum(axis=1)
        else:
            slope, shift = np.zeros((2, 3)), np.zeros(2)
            slope[group - 1] = atoms[group - 1] / norms[group - 1]
            shift[group - 1] = -regularizer / norms[group - 1]
        total, products = moment[1:4], moment[_SYMMETRIC]
        cross = np.outer(slope @ total, shift)
        codes += slope @ products @ slope.T + cross + cross.T + moment[0] * np.outer(shift, shift)
        mixed += slope @ products + np.outer(shift, total)
    return _moved_atoms(atoms, codes, mixed)


def _moved_atoms(atoms: np.ndarray, codes: np.ndarray, mixed: np.ndarray) -> np.ndarray:
    atoms = atoms.copy()
    for k in range(2):
        if codes[k, k] > 1e-12:  # an atom that no pixel uses stays where it is
            atom = np.maximum(atoms[k] + (mixed[k] - codes[k] @ atoms) / codes[k, k], 0)
            atoms[k] = atom / max(1.0, float(np.linalg.norm(atom)))
    return atoms
