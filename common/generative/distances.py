"""Distances between two sets of features: FID, KID, precision and recall, nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from common.errors import InputError

_ROWS_AT_ONCE = 1024  # of a matrix of distances


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
    if not 2 <= blocks <= fewest // 2:
        raise InputError(
            f"{blocks} blocks of {fewest} images: give at least 2 blocks, each of 2 images or more"
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    parts = [
        np.array_split(each[np.argsort(rng.random(len(each)))], blocks)
        for each in (real, generated)
    ]
    estimates = np.array([_mmd(x, y) for x, y in zip(*parts, strict=True)])
    error = float(estimates.std(ddof=1) / np.sqrt(blocks))
    return Kid(_mmd(real, generated), error, estimates)


def _mmd(x: np.ndarray, y: np.ndarray) -> float:
    n, m = len(x), len(y)
    xx, yy, xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


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
    if not 1 <= neighbours < min(len(real), len(generated)):
        raise InputError(
            f"{neighbours} neighbours among {min(len(real), len(generated))} images: give fewer"
        )

    def inside(points: np.ndarray, centres: np.ndarray) -> float:
        radii = np.concatenate(
            [
                # Each vector is its own nearest, at distance 0.
                np.partition(rows, neighbours, axis=1)[:, neighbours]
                for rows in _distances(centres, centres)
            ]
        )
        hits = [(rows <= radii).any(axis=1) for rows in _distances(points, centres)]
        return float(np.concatenate(hits).mean())

    return inside(generated, real), inside(real, generated)


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
        For no vector at all, vectors of unequal length, or values that are not finite.
    """
    queries, references = _features(queries, references, least=1)
    positions, distances = [], []
    first = 0
    for rows in _distances(queries, references):
        if query_groups is not None:
            own = np.asarray(query_groups)[first : first + len(rows), None]
            rows = np.where(own == np.asarray(reference_groups)[None, :], np.inf, rows)
        first += len(rows)
        chosen = rows.argmin(axis=1)
        positions.append(chosen)
        distances.append(rows[np.arange(len(rows)), chosen])
    return np.concatenate(positions), np.concatenate(distances)


def memorisation(
    training: np.ndarray,
    generated: np.ndarray,
    groups: Sequence[Any] | np.ndarray | None = None,
) -> dict[str, Any]:
    """Whether generated images repeat training images.

    A generated image's distance to its nearest training image is divided by that image's distance
    to its nearest other training image. A copy has ratio 0; images drawn anew from the same
    distribution have ratios around 1.

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
        `below_half` (share of generated images with a ratio under 0.5).

    Raises
    ------
    InputError
        As `nearest`; or if all training images are of one group.
    """
    own_groups = np.arange(len(training)) if groups is None else np.asarray(groups)
    if len(np.unique(own_groups)) < 2:
        raise InputError("copies are judged by the distances between training images: give others")
    positions, distances = nearest(generated, training)
    _, own = nearest(training, training, query_groups=own_groups, reference_groups=own_groups)
    # Of two equal training images each would be the other's copy.
    own = np.where(own > 0, own, np.median(own))
    ratio = distances / own[positions]
    return {
        "nearest": positions,
        "ratio": ratio,
        "median_ratio": float(np.median(ratio)),
        "smallest_ratio": float(ratio.min()),
        "below_half": float((ratio < 0.5).mean()),
    }


def _features(x: np.ndarray, y: np.ndarray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    arrays = np.asarray(x, np.float64), np.asarray(y, np.float64)
    for name, array in zip(("first", "second"), arrays, strict=True):
        if array.ndim != 2 or len(array) < least:
            raise InputError(
                f"features of the {name} set have the shape {array.shape}: give (images, features) "
                f"of at least {least} images"
            )
        if not np.isfinite(array).all():
            raise InputError(f"features of the {name} set are not finite")
    if arrays[0].shape[1] != arrays[1].shape[1]:
        raise InputError(
            f"the sets have {arrays[0].shape[1]} and {arrays[1].shape[1]} features: use one network"
        )
    return arrays


def _distances(x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """Euclidean distances, some rows of `x` at a time; exactly 0 between equal vectors."""
    from scipy.spatial.distance import cdist

    for start in range(0, len(x), _ROWS_AT_ONCE):
        yield cdist(x[start : start + _ROWS_AT_ONCE], y)
