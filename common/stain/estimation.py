"""What is estimated on an image: percentiles, and the stain vectors of Macenko and Vahadane.

References
----------
M. Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
A. Vahadane et al., "Structure-preserving color normalization and sparse stain separation for
histological images", IEEE TMI 35(8), 2016.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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
    """Give the result of an estimate that could not be made.

    Parameters
    ----------
    flag : Flag
        Why.

    Returns
    -------
    Stains
        Its arrays are NaN.
    """
    return Stains(np.full((2, 3), np.nan), np.full(2, np.nan), flag)


def percentiles(
    values: np.ndarray,
    percents: Sequence[float],
    rule: str,
    monotone: Callable[[float], float] = lambda x: x,
) -> np.ndarray:
    """Percentiles of a monotone function of values, which is evaluated at few of them only.

    Parameters
    ----------
    values : ndarray, float, shape (n,)
    percents : sequence of float
        In [0, 100].
    rule : {"linear", "nearest"}
        Between two values: interpolate, or take the nearer (half way: the even position).
    monotone : callable
        Rising function of one value; interpolation is between its values.

    Returns
    -------
    ndarray, float64, shape (len(percents),)
    """
    result = np.empty(len(percents))
    for i, percent in enumerate(percents):
        place = percent / 100 * (len(values) - 1)
        if rule == "nearest":
            place = float(round(place))
        low = int(place)
        # NumPy has a fast path for a single element: its neighbour is the least of the rest.
        ordered = np.partition(values, low)
        found = monotone(float(ordered[low]))
        if place > low:
            found += (monotone(float(ordered[low + 1 :].min())) - found) * (place - low)
        result[i] = found
    return result


# --- stain vectors -----------------------------------------------------------------------------


def macenko_matrix(density: np.ndarray, percent: float, rule: str, eigenvectors: str) -> np.ndarray:
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
    ndarray
        Unit rows, haematoxylin first: it absorbs more red light. Not numbers if there is no plane.
    """
    mean = np.ones(len(density), np.float32) @ density / np.float32(len(density))
    x = np.ascontiguousarray(density.T)
    centred = x - mean[:, None]
    # The vectors of the sums of squares are those of the covariance. Sum by sum: a BLAS takes five
    # times as long for the product of so thin matrices.
    squares = np.array([[one @ other for other in centred] for one in centred], np.float64)
    _, vectors = np.linalg.eigh(squares)
    principal, second = vectors[:, 2], vectors[:, 1]
    if principal @ mean < 0 and eigenvectors != "solver":
        principal = -principal
    if eigenvectors == "red":
        principal = -principal if principal[0] < 0 else principal  # the second mirrors angles only
    plane = np.stack([principal, second])
    along, across = plane.astype(np.float32) @ x
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

    Parameters
    ----------
    density : ndarray, float32, shape (n, 3)
        Optical densities of tissue.
    start : ndarray, shape (2, 3)
        Where the atoms start.
    regularizer : float
        L1 penalty.

    Returns
    -------
    ndarray, float64, shape (2, 3)
        Unit rows, haematoxylin first: it absorbs more red light.
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

    StainTools lets SPAMS learn for one second: from 40 batches on a busy machine to some hundreds.
    Where two stains are hard to tell apart that is several degrees short of the minimum that
    `vahadane_matrix` finds, so pixels, batches and weights are those of SPAMS on two cores.

    Parameters
    ----------
    density : ndarray, float32, shape (n, 3)
        Optical densities of tissue.
    regularizer : float
        L1 penalty.
    batches : int
        Of `BATCH` pixels.

    Returns
    -------
    ndarray, float64, shape (2, 3)
        Unit rows, haematoxylin first.

    References
    ----------
    J. Mairal et al., "Online dictionary learning for sparse coding", ICML 2009, algorithms 1 and 2
    with section 3.4's batches and two epochs; SPAMS 2.6, `Trainer::train`.
    """
    count = len(density)
    size = min(BATCH, count)
    order = _spams_order(count, size * batches)
    atoms = _first_atoms(density)
    # Sums of codes by codes and by pixels: of the start, of the epoch before, and of this one. The
    # start's weight turns negative at the first step; where its atoms are alike, that decides.
    start = 1e-5 * size * np.hstack([np.eye(2), atoms])
    older = recent = np.zeros((2, 5))
    odd = 0
    for step in range(batches):
        chosen = order[np.arange(step * size, (step + 1) * size) % len(order)]
        x = np.ascontiguousarray(density[chosen].T)
        both = _codes(x, atoms, regularizer)
        epoch = (step + 1) % count * size // count
        if epoch % 2 != odd:
            older, recent, odd = recent, np.zeros((2, 5)), epoch % 2
        keep = _kept(step, size, count)
        older = keep * older
        recent = keep * recent + np.hstack([both @ both.T, both @ x.T])
        start = keep * start
        total = start + older + recent
        atoms = _moved_atoms(atoms, total[:, :2], total[:, 2:])
    atoms = atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)
    return atoms if atoms[0, 0] >= atoms[1, 0] else atoms[::-1]


BATCH = 768
"""SPAMS takes 256 pixels, and 256 more for each core: this is what it does on two."""


def _spams_order(count: int, wanted: int) -> np.ndarray:
    """The first `wanted` pixels of `count` in the random order of SPAMS; all, where fewer exist."""
    wanted = min(count, wanted)
    places = _random_numbers(wanted) % np.arange(count, count - wanted, -1)
    order = []
    moved: dict[int, int] = {}  # which pixel is at a place, where it is not the one of its number
    for drawn, place in enumerate(places.tolist(), start=1):
        last = count - drawn
        order.append(moved.get(place, place))
        moved[place] = moved.get(last, last)
    return np.array(order)


def _random_numbers(count: int) -> np.ndarray:
    """What the C library's `random` (glibc) gives after `srandom(0)`: int64 (count,)."""
    return _drawn(max(count, 2**17))[:count]


@functools.lru_cache(maxsize=2)
def _drawn(count: int) -> np.ndarray:
    words = [1]
    for _ in range(30):
        words.append(16_807 * words[-1] % (2**31 - 1))
    words += words[:3]
    for at in range(34, 344 + count):
        words.append((words[at - 31] + words[at - 3]) % 2**32)
    return np.array(words[344:]) >> 1


def _first_atoms(density: np.ndarray) -> np.ndarray:
    """Unit vectors of the first pixel drawn, and of the next that has another colour."""
    drawn = density[_random_numbers(64) % len(density)].astype(np.float64)
    drawn /= np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), 1e-12)
    other = np.flatnonzero(drawn[1:] @ drawn[0] <= 0.999999)
    return drawn[[0, 1 + other[0] if len(other) else 1]]


def _kept(step: int, size: int, count: int) -> float:
    """Weight of all batches before the batch `step`, counted from 0, beside its own: beta."""
    seen = min(2 * count, step * size if step < size else size**2 + step - size)
    return (seen + 1 - size) / (seen + 1)


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
