"""Distances between two sets of features: FID, KID, precision and recall, nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from common.errors import InputError
from common.generative.pairs import closest, inside_each_other, radii

_ROWS_AT_ONCE = 1024  # of a kernel's matrix


# --- Frechet distance --------------------------------------------------------------------------


def fid(real: np.ndarray, generated: np.ndarray) -> float:
    """Frechet distance between two sets of features, each taken as a Gaussian.

    ``|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))`` with covariances that divide by n - 1.
    With X, Y the centred features over the roots of n - 1, the last trace is the sum of the
    singular values of ``X Y'``: no root of a matrix is taken, and fewer images than features
    (singular covariances) are no special case. They do make the value large, however: compare it
    only with values of equally many images.

    Parameters
    ----------
    real, generated : array-like of float, (N, D) and (M, D)
        Features of the two sets, of one network.

    Returns
    -------
    float
        Not negative, but for rounding.

    Raises
    ------
    InputError
        For fewer than two vectors, vectors of unequal length, or values that are not finite.
    """
    real, generated = _features(real, generated)
    means = real.mean(axis=0), generated.mean(axis=0)
    x, y = (
        _reduced((each - mean) / np.sqrt(len(each) - 1))
        for each, mean in zip((real, generated), means, strict=True)
    )
    between = float(np.sum((means[0] - means[1]) ** 2))
    root = float(np.linalg.svd(x @ y.T, compute_uv=False).sum())
    return between + float(np.sum(x**2) + np.sum(y**2)) - 2 * root


def _reduced(x: np.ndarray) -> np.ndarray:
    """A matrix with the same ``x' x`` and at most as many rows as columns."""
    return np.asarray(np.linalg.qr(x, mode="r")) if x.shape[0] > x.shape[1] else x


# --- kernel distance ---------------------------------------------------------------------------


class Kid(NamedTuple):
    """A kernel distance and how far it can be trusted."""

    value: float
    """Unbiased estimate from all vectors; it may be negative where the sets hardly differ."""
    error: float
    """Standard error: standard deviation of the blocks' estimates over the root of their number."""
    blocks: np.ndarray
    """Unbiased estimate from each block, float64."""


def kid(real: np.ndarray, generated: np.ndarray, *, blocks: int = 10, seed: int = 0) -> Kid:
    """Kernel distance: squared maximum mean discrepancy with the kernel ``(x . y / D + 1)^3``.

    Unbiased, therefore usable with few images, other than `fid`. Both sets are shuffled by `seed`
    and cut into `blocks` disjoint parts, whose estimates are independent of each other; their
    spread gives the standard error. Since a small block's estimate is noisier than its share of
    the whole, the error errs on the large side.

    Parameters
    ----------
    real, generated : array-like of float, (N, D) and (M, D)
        Features of the two sets, of one network.
    blocks : int
        At least 2, and few enough for two vectors of each set in each block.
    seed : int
        Of the shuffling.

    Returns
    -------
    Kid
        Value, standard error, and the blocks' estimates.

    Raises
    ------
    InputError
        As `fid`; or for blocks that do not fit.
    """
    real, generated = _features(real, generated)
    fewest = min(len(real), len(generated))
    blocks, seed = _whole(blocks, "blocks"), _whole(seed, "seed")
    if not 2 <= blocks <= fewest // 2:
        raise InputError(
            f"{blocks} blocks of {fewest} images: give at least 2 blocks, each of 2 images or more"
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    parts = [
        np.array_split(np.argsort(rng.random(len(each))), blocks) for each in (real, generated)
    ]
    estimates = np.array([_mmd(real[x], generated[y]) for x, y in zip(*parts, strict=True)])
    error = float(estimates.std(ddof=1) / np.sqrt(blocks))
    return Kid(_mmd(real, generated), error, estimates)


def _mmd(x: np.ndarray, y: np.ndarray) -> float:
    within = sum(
        (_kernel_sum(each, each) - _kernel_trace(each)) / (len(each) * (len(each) - 1))
        for each in (x, y)
    )
    return float(within - 2 * _kernel_sum(x, y) / (len(x) * len(y)))


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of the kernel over all pairs, some rows at a time."""
    total = 0.0
    for start in range(0, len(x), _ROWS_AT_ONCE):
        base = x[start : start + _ROWS_AT_ONCE] @ y.T
        base /= x.shape[1]
        base += 1
        total += float((base * base * base).sum())
    return total


def _kernel_trace(x: np.ndarray) -> float:
    """Sum of the kernel of each vector and itself."""
    return float(((np.einsum("ij,ij->i", x, x) / x.shape[1] + 1) ** 3).sum())


# --- coverage ----------------------------------------------------------------------------------


def precision_recall(
    real: np.ndarray, generated: np.ndarray, *, neighbours: int = 3
) -> tuple[float, float]:
    """Share of generated images that look real, and share of real images that are covered.

    A set's region is made of balls around its vectors, each reaching to its k-th nearest neighbour
    in the set. Precision: generated vectors inside the real region. Recall: real vectors inside
    the generated region.

    Parameters
    ----------
    real, generated : array-like of float, (N, D) and (M, D)
        Features of the two sets, of one network.
    neighbours : int
        k; fewer than there are vectors.

    Returns
    -------
    precision, recall : float
        In [0, 1].

    Raises
    ------
    InputError
        As `fid`; or for too many neighbours.
    """
    real, generated = _features(real, generated)
    neighbours = _whole(neighbours, "neighbours")
    if not 1 <= neighbours < min(len(real), len(generated)):
        raise InputError(
            f"{neighbours} neighbours among {min(len(real), len(generated))} images: give fewer"
        )

    reach = [radii(each, neighbours) for each in (real, generated)]
    covered, precise = inside_each_other(real, generated, *reach)
    return float(precise.mean()), float(covered.mean())


# --- copies ------------------------------------------------------------------------------------


def nearest(
    queries: np.ndarray,
    references: np.ndarray,
    *,
    query_groups: Sequence[Any] | np.ndarray | None = None,
    reference_groups: Sequence[Any] | np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest reference of each query: its position and the Euclidean distance.

    Parameters
    ----------
    queries, references : array-like of float, (N, D) and (M, D)
        Features of the two sets, of one network.
    query_groups, reference_groups : sequence, optional
        A query's references of its own group are passed over, for instance an image itself and
        its mirror images.

    Returns
    -------
    positions : int array (N,)
        Row of the nearest reference.
    distances : float64 array (N,)
        Infinite where every reference is of the query's group.

    Raises
    ------
    InputError
        For no vector at all, vectors of unequal length, values that are not finite, or groups that
        are not one per vector of both sets.
    """
    queries, references = _features(queries, references, least=1)
    if (query_groups is None) != (reference_groups is None):
        raise InputError("query_groups and reference_groups belong together: give both or neither")
    if query_groups is None:
        return closest(queries, references)
    return closest(
        queries,
        references,
        _groups(query_groups, len(queries), "query_groups"),
        _groups(reference_groups, len(references), "reference_groups"),
    )


def memorisation(
    training: np.ndarray,
    generated: np.ndarray,
    groups: Sequence[Any] | np.ndarray | None = None,
) -> dict[str, Any]:
    """Whether generated images repeat training images.

    A generated image's distance to its nearest training image is divided by that image's distance
    to its nearest other training image. A copy has ratio 0, also where training images are copies
    of each other; images drawn anew from the same distribution have ratios around 1.

    Parameters
    ----------
    training, generated : array-like of float, (N, D) and (M, D)
        Features of the two sets, of one network.
    groups : sequence, optional
        One per training vector: variants of one image (flips) share a group.

    Returns
    -------
    dict
        `nearest` (positions), `ratio` (float64 array), `median_ratio`, `smallest_ratio`,
        `below_half` (share of generated images with a ratio under 0.5). A training image with an
        equal one has the median distance of all for its own, or, where most have one, of those
        that have none. Where all training images are equal, the ratio of what is no copy of them
        is infinite.

    Raises
    ------
    InputError
        As `nearest`; or if all training images are of one group.
    """
    training, generated = _features(training, generated, least=1)
    own_groups = (
        np.arange(len(training)) if groups is None else _groups(groups, len(training), "groups")
    )
    if len(np.unique(own_groups)) < 2:
        raise InputError("copies are judged by the distances between training images: give others")
    positions, distances = nearest(generated, training)
    _, own = nearest(training, training, query_groups=own_groups, reference_groups=own_groups)
    # Of two equal training images each would be the other's copy.
    typical = np.median(own) or np.median(own[own > 0] if own.any() else own)
    own = np.where(own > 0, own, typical)
    ratio = np.divide(
        distances, own[positions], where=own[positions] > 0, out=np.where(distances > 0, np.inf, 0)
    )
    return {
        "nearest": positions,
        "ratio": ratio,
        "median_ratio": float(np.median(ratio)),
        "smallest_ratio": float(ratio.min()),
        "below_half": float((ratio < 0.5).mean()),
    }


def _features(x: np.ndarray, y: np.ndarray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    arrays = tuple(_numbers(each) for each in (x, y))
    for name, array in zip(("first", "second"), arrays, strict=True):
        if array.ndim != 2 or len(array) < least or not array.shape[1]:
            raise InputError(
                f"features of the {name} set have the shape {array.shape}: give (images, features) "
                f"of at least {least} images"
            )
        if not np.isfinite(array).all():
            raise InputError(f"features of the {name} set are not finite")
    if arrays[0].shape[1] != arrays[1].shape[1]:
        raise InputError(
            f"the sets have {arrays[0].shape[1]} and {arrays[1].shape[1]} features, of the "
            "first set and of the second set: use one network"
        )
    return arrays[0], arrays[1]


def _numbers(values: Any) -> np.ndarray:
    """An array of numbers; of a shape that is refused, if it is something else."""
    try:
        array = np.asarray(values)
        return np.empty(0) if array.dtype.kind in "cSU" else array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        return np.empty(0)


def _groups(groups: Any, n: int, name: str) -> np.ndarray:
    """One group per vector."""
    try:
        array = np.asarray(groups)
    except ValueError:  # ragged
        array = np.empty(())
    if array.shape != (n,):
        raise InputError(f"{name} must be one per vector, ({n},), not {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity, which is no group")
    try:
        np.unique(array)
    except TypeError:
        raise InputError(f"{name} must be of one type, numbers or text") from None
    return array


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise InputError(f"{name} must be a whole number, not {value!r}")
    return int(value)
