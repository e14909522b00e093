"""Random draws that depend on a seed and on file names alone."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from common.splits.arguments import is_number, require_images, whole

if TYPE_CHECKING:
    import pandas as pd


def stem(image: str) -> str:
    """Shorten a path to what stays the same between copies of a data set.

    Parameters
    ----------
    image : str
        With either kind of slash.

    Returns
    -------
    str
        File name without folder and suffix, in one case.
    """
    return Path(re.split(r"[/\\]", image)[-1]).stem.casefold()


def sorted_rows(index: pd.DataFrame) -> np.ndarray:
    """Put the rows into the order of the file names, wherever the files lie.

    Parameters
    ----------
    index : DataFrame
        With the column `image`.

    Returns
    -------
    ndarray
        Row numbers, shape (n,), int.

    Raises
    ------
    InputError
        If there are no rows, the column is missing, or an image stands twice.
    """
    require_images(index)
    if not len(index):
        raise InputError("there are no images to split")
    images = list(index["image"])
    return np.array(sorted(range(len(images)), key=lambda i: (stem(images[i]), images[i])))


def apportion(total: int, shares: np.ndarray) -> np.ndarray:
    """Find whole numbers in proportion to shares that add up to a total (largest remainders).

    Parameters
    ----------
    total : int
    shares : ndarray
        Shape (k,), not negative, not all 0. Of equal remainders the first is served first.

    Returns
    -------
    ndarray
        Shape (k,), int.

    Raises
    ------
    InputError
        If `total` is no whole number, or the shares are not as they must be.
    """
    total = whole(total, 0, "total")
    try:
        shares = np.asarray(shares)
    except ValueError:  # ragged
        shares = np.empty(0)
    sound = shares.ndim == 1 and shares.size and shares.dtype.kind in "iuf"
    if not sound or not np.isfinite(shares).all() or shares.min() < 0 or not shares.sum() > 0:
        raise InputError(f"shares must be numbers (k,), not negative and not all 0: {shares}")
    exact = shares * (total / shares.sum())
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def random_state(seed: int, name: str = "") -> np.random.RandomState:
    """Begin the random numbers that belong to a seed.

    Parameters
    ----------
    seed : int
        0 to 2**32 - 1.
    name : str
        Of a class, where classes are drawn apart.

    Returns
    -------
    RandomState
        NumPy keeps its stream the same in all versions.

    Raises
    ------
    InputError
        If the seed is out of range.
    """
    if not is_number(seed) or not 0 <= seed < 2**32 or seed != int(seed):
        raise InputError(f"the split seed must be from 0 to {2**32 - 1}, not {seed}")
    seed = int(seed)
    return np.random.RandomState([seed, *name.encode()] if name else seed)


def draw(
    index: pd.DataFrame, rows: np.ndarray, fraction: float, seed: int, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a fraction of rows.

    Parameters
    ----------
    index : DataFrame
    rows : ndarray
        Row numbers to draw from, shape (n,), int, in an order that does not depend on the folders.
    fraction : float
        ceil(fraction * n) rows are drawn.
    seed : int
    stratify : bool
        Keep the classes' shares.

    Returns
    -------
    others, drawn : ndarray
        Row numbers, int.
    """
    if not len(rows):
        raise InputError("there are no images left to draw a part from")
    drawn = min(math.ceil(fraction * len(rows)), len(rows))
    if not stratify:
        shuffled = rows[random_state(seed).permutation(len(rows))]
        return shuffled[drawn:], shuffled[:drawn]
    labels = index["label"].to_numpy()[rows]
    names, sizes = np.unique(labels, return_counts=True)
    per_class = apportion(drawn, sizes)
    taken = np.zeros(len(rows), bool)
    for name, n in zip(names, per_class, strict=True):
        mine = np.flatnonzero(labels == name)
        taken[mine[random_state(seed, str(name)).permutation(len(mine))[:n]]] = True
    return rows[~taken], rows[taken]


def group_table(
    index: pd.DataFrame, rows: np.ndarray, group: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the images of groups (patients) and classes.

    Parameters
    ----------
    index : DataFrame
    rows : ndarray
        Row numbers to count, shape (n,), int.
    group : {"case", "slide", "folder"}

    Returns
    -------
    names : ndarray
        Of the groups, sorted, shape (G,).
    member : ndarray
        Group of each row, shape (n,), int.
    table : ndarray
        Images per group and class, shape (G, K), int.
    """
    names, member = np.unique(index[group].to_numpy()[rows].astype(str), return_inverse=True)
    labels, kind = np.unique(index["label"].to_numpy()[rows].astype(str), return_inverse=True)
    table = np.zeros((len(names), len(labels)), int)
    np.add.at(table, (member, kind), 1)
    return names, member, table
