"""Nearest vectors among many: found by a product of matrices, decided by exact distances.

``|x|^2 + |y|^2 - 2 x . y`` gives all squared distances at once, with the rounding of large sums,
for which there is a bound. What the bound leaves open is computed again, difference by difference:
every result is the one of exact distances, 0 between equal vectors included.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_ROWS_AT_ONCE = 512
_MANY = 0.05
"""Where more than this share of the pairs is open, all are computed: that is faster."""
_SMALL, _LARGE = 1e-140, 1e150
"""Squares of smaller and larger values leave the range of float64."""


def closest(
    queries: np.ndarray,
    references: np.ndarray,
    query_groups: np.ndarray | None = None,
    reference_groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest reference of each query, as `nearest` gives it.

    Parameters
    ----------
    queries, references : float64 array (N, D) and (M, D)
    query_groups, reference_groups : array, optional
        One per vector; those of one group are passed over.

    Returns
    -------
    positions : int array (N,)
        Of several equally near, the first.
    distances : float64 array (N,)
        Infinite where every reference is of the query's group.
    """
    positions, distances = [], []
    for rows, low, high, _ in _bounds(queries, references):
        if query_groups is not None and reference_groups is not None:
            own = query_groups[rows, None] == reference_groups[None, :]
            low[own], high[own] = np.inf, np.inf
        wanted = low <= high.min(axis=1, keepdims=True)
        wanted &= low < np.inf
        found = _exact(queries[rows], references, wanted)
        positions.append(found.argmin(axis=1))
        distances.append(found.min(axis=1))
    return np.concatenate(positions), np.concatenate(distances)


def radii(centres: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance of each vector to its k-th nearest other one.

    Parameters
    ----------
    centres : float64 array (N, D)
    neighbours : int
        k, below N.

    Returns
    -------
    float64 array (N,)
    """
    found = []
    for rows, low, high, _ in _bounds(centres, centres):
        # Each vector is its own nearest, at distance 0.
        kth = np.partition(high, neighbours, axis=1)[:, neighbours]
        exact = _exact(centres[rows], centres, low <= kth[:, None])
        found.append(np.partition(exact, neighbours, axis=1)[:, neighbours])
    return np.concatenate(found)


def inside_each_other(
    x: np.ndarray, y: np.ndarray, x_radii: np.ndarray, y_radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which vectors lie in a ball around a vector of the other set.

    Parameters
    ----------
    x, y : float64 array (N, D) and (M, D)
    x_radii, y_radii : float64 array (N,) and (M,)
        Of the balls around them; their surface is inside.

    Returns
    -------
    x_inside, y_inside : bool array (N,) and (M,)
    """
    x_inside, y_inside = np.zeros(len(x), bool), np.zeros(len(y), bool)
    for rows, low, high, unit in _bounds(x, y):
        # In float32, as the bounds are, with room for its rounding.
        nearer, farther = (
            [
                np.square(each / unit * margin).astype(np.float32)
                for each in (x_radii[rows, None], y_radii[None, :])
            ]
            for margin in (1 - 1e-6, 1 + 1e-6)
        )
        x_inside[rows] = (high < nearer[1]).any(axis=1)
        y_inside |= (high < nearer[0]).any(axis=0)
        open_ = (low <= farther[1]) & ~x_inside[rows, None]
        open_ |= (low <= farther[0]) & ~y_inside[None, :]
        exact = _exact(x[rows], y, open_)
        x_inside[rows] |= (exact <= y_radii[None, :]).any(axis=1)
        y_inside |= (exact <= x_radii[rows, None]).any(axis=0)
    return x_inside, y_inside


def _bounds(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray, float]]:
    """Between what each squared distance lies, in a unit; some rows of `x` at a time."""
    largest = max(float(np.abs(each).max()) for each in (x, y))
    mean = y.mean(axis=0) if largest < _LARGE else 0.0
    unit = max(float(np.abs(each - mean).max()) for each in (x, y))
    if not _SMALL < unit < _LARGE:  # nothing is known
        for start in range(0, len(x), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            low = np.zeros((len(x[rows]), len(y)), np.float32)
            yield rows, low, np.full_like(low, np.finfo(np.float32).max), 1.0
        return
    x, y = (((each - mean) / unit).astype(np.float32) for each in (x, y))
    x_squares, y_squares = (np.einsum("ij,ij->i", each, each) for each in (x, y))
    single, double = np.finfo(np.float32), np.finfo(np.float64)
    size = x.shape[1]
    # A sum of D products is off by at most about D * eps / 2 of the sum of their sizes, in whatever
    # order it is taken; here in two squares, twice in the product, and in the exact distance.
    share = np.float32(4 * (size + 8) * single.eps)
    # What subtracting the mean costs where vectors are far from 0 and close to each other.
    lost = 2 * np.sqrt(size) * float(double.eps) * largest / unit
    least = np.float32(8 * size * single.tiny + 2 * lost * lost / float(single.eps))
    for start in range(0, len(x), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        middle = x[rows] @ y.T
        middle *= -2
        slack = x_squares[rows, None] + y_squares[None, :]
        middle += slack
        slack *= share
        slack += least
        low = middle - slack
        middle += slack
        yield rows, low, middle, unit


def _exact(x: np.ndarray, y: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Distances of the wanted pairs; infinite elsewhere."""
    from scipy.spatial.distance import cdist

    if wanted.mean() > _MANY:
        return np.where(wanted, cdist(x, y), np.inf)
    found = np.full(wanted.shape, np.inf)
    for row in np.flatnonzero(wanted.any(axis=1)):
        columns = np.flatnonzero(wanted[row])
        found[row, columns] = cdist(x[row : row + 1], y[columns])[0]
    return found
