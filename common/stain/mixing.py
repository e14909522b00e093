"""From optical densities to concentrations of two stains, and from those to pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from common.errors import InputError
from common.stain.tissue import strips


def unmix(density: np.ndarray, matrix: np.ndarray, rule: str, regularizer: float) -> np.ndarray:
    """Concentrations of two stains.

    Parameters
    ----------
    density : ndarray, float32, shape (H, W, 3)
        Optical densities.
    matrix : ndarray, shape (2, 3)
        The stains, unit rows.
    rule : {"least_squares", "lasso"}
    regularizer : float
        L1 penalty of "lasso".

    Returns
    -------
    ndarray, float32, shape (H, W, 3)
        The last channel is 0: OpenCV's 3 x 3 transform is ten times as fast as its 2 x 3 one.
    """
    if rule == "least_squares":
        return cv2.transform(density, square(np.linalg.pinv(matrix.T)))
    # Lasso with two unit atoms: where both are used, the solution is that of the normal equations;
    # otherwise the one used takes its own correlation less the penalty, and that is the smaller.
    penalty = np.array([[-regularizer], [-regularizer], [0]])
    correlation = cv2.transform(density, np.hstack([square(matrix), penalty]))
    both = cv2.transform(correlation, square(np.linalg.inv(matrix @ matrix.T)))
    # Atoms at more than 90 degrees, which no two stains are, would turn the order around.
    cv2.min(both, correlation, dst=both)
    return cv2.max(both, 0.0, dst=both)  # type: ignore[call-overload]  # the stub lacks scalars


def unmix_flat(
    density: np.ndarray, matrix: np.ndarray, rule: str, regularizer: float
) -> np.ndarray:
    """The same as two rows, which percentiles want.

    Parameters
    ----------
    density, matrix, rule, regularizer
        As in `unmix`.

    Returns
    -------
    ndarray, float32, shape (2, H * W)
    """
    flat = density.reshape(-1, 3).T
    if rule == "least_squares":
        return np.linalg.pinv(matrix.T).astype(np.float32) @ flat
    correlation = matrix.astype(np.float32) @ flat
    correlation -= np.float32(regularizer)
    both = np.linalg.inv(matrix @ matrix.T).astype(np.float32) @ correlation
    np.minimum(both, correlation, out=both)
    return np.maximum(both, 0, out=both)


def square(matrix: np.ndarray) -> np.ndarray:
    """Fill a matrix with zeros to 3 x 3.

    Parameters
    ----------
    matrix : ndarray, shape (at most 3, at most 3)

    Returns
    -------
    ndarray, float64, shape (3, 3)
    """
    full = np.zeros((3, 3))
    full[: matrix.shape[0], : matrix.shape[1]] = matrix
    return full


def to_pixels(
    exponent: np.ndarray, rounding: str, out: np.ndarray, highest: float = np.inf
) -> None:
    """Write exp(exponent) as uint8.

    Parameters
    ----------
    exponent : ndarray, float32, shape (h, W, 3)
        Overwritten.
    rounding : {"nearest", "truncate"}
    out : ndarray, uint8, shape (h, W, 3)
    highest : float
        No exponent is above it.
    """
    cv2.exp(exponent, dst=exponent)
    # A float beyond int32 would wrap around; below that OpenCV's conversion saturates by itself.
    if rounding == "truncate" or highest > 20:
        flat = exponent.reshape(len(exponent), -1)  # a scalar counts for one channel only
        cv2.min(flat, 255.0, dst=flat)  # type: ignore[call-overload]  # the stub lacks scalars
    if rounding == "nearest":
        cv2.convertScaleAbs(exponent, dst=out)
    else:
        np.copyto(out, exponent, casting="unsafe")


def mix_densities(
    image: np.ndarray,
    table: np.ndarray,
    matrix: np.ndarray,
    shift: np.ndarray,
    white_level: float,
    rounding: str,
) -> np.ndarray:
    """white_level * exp(-(matrix OD + shift)) of an image, a strip at a time.

    Parameters
    ----------
    image : ndarray, uint8, shape (H, W, 3), RGB
    table : ndarray, float32, shape (256,)
        Optical density OD of each pixel value, from `common.stain.tissue.density_table`.
    matrix : ndarray, shape (3, 3)
    shift : ndarray, shape (3,)
    white_level : float
        Pixel value of the light that met no tissue.
    rounding : {"nearest", "truncate"}

    Returns
    -------
    ndarray, uint8, shape (H, W, 3), RGB
    """
    result = np.empty(image.shape, np.uint8)
    exponent = np.column_stack([-matrix, np.log(white_level) - shift])
    highest = (
        exponent[:, 3] + np.maximum(-matrix * table[0], -matrix * table[-1]).sum(axis=1)
    ).max()
    density = mixed = None
    for rows in strips(image):
        # Buffers are used again while the strips are equal: fresh memory costs more than the sums.
        density = cv2.LUT(np.ascontiguousarray(image[rows]), table, density)
        mixed = cv2.transform(density, exponent, mixed)
        to_pixels(mixed, rounding, result[rows], highest)
    return result


def real_numbers(values: Any) -> np.ndarray:
    """Give float64 numbers; an empty array, which fits no shape, for anything else.

    Parameters
    ----------
    values : array-like
    """
    try:
        array = np.asarray(values)
        return np.empty(0) if array.dtype.kind in "cSU" else array.astype(np.float64)
    except (TypeError, ValueError):
        return np.empty(0)


def checked_matrix(matrix: Any) -> np.ndarray:
    """Give a stain matrix with unit rows.

    Parameters
    ----------
    matrix : array-like, shape (2, 3)
        Optical densities (R, G, B), haematoxylin's row first.

    Returns
    -------
    ndarray, float64, shape (2, 3)

    Raises
    ------
    InputError
        It is something else.
    """
    matrix = real_numbers(matrix)
    if matrix.shape != (2, 3) or not np.isfinite(matrix).all() or not matrix.any(axis=1).all():
        raise InputError("stain matrix: expected 2 x 3 numbers, haematoxylin's row first")
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    # Unit rows stay as they are to the last bit: a loaded normaliser has the saved one's identity.
    return matrix if abs(norms - 1).max() < 1e-12 else matrix / norms
