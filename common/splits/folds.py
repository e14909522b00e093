"""Number folds for cross-validation, over images or over whole groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from common.splits.arguments import is_number, require_table
from common.splits.draw import group_table, random_state, sorted_rows
from common.splits.group_wise import TRIALS
from common.splits.parts import check_known

if TYPE_CHECKING:
    import pandas as pd


def k_folds(
    index: pd.DataFrame,
    k: int,
    *,
    seed: int,
    group: str | None = None,
    stratify: bool = False,
) -> np.ndarray:
    """Number a fold, 0 to k - 1, for every image.

    Parameters
    ----------
    index : DataFrame
        Usually the rows of one part.
    k : int
        Number of folds, at least 2.
    seed : int
    group : {"case", "slide", "folder"}, optional
        Keep each group in one fold; folds are then balanced by class and by size as far as whole
        groups allow. Without it the folds are those of scikit-learn's shuffled `KFold` over the
        sorted file names.
    stratify : bool
        Over images: the numbers of a class differ by at most one between folds.

    Returns
    -------
    ndarray
        Shape (n,), int, in the order of the rows.

    Raises
    ------
    InputError
        If there are fewer images (groups) than folds, or `index` is none.
    """
    if not is_number(k) or not 2 <= k < math.inf or k != int(k):
        raise InputError(f"{k} folds (k): a whole number, at least 2, is needed")
    k = int(k)
    order = sorted_rows(index)
    if group is not None or stratify:
        require_table(index, "label")
    folds = np.empty(len(index), int)
    if group is not None:
        check_known(index, group, "no folds by patient can be made")
        names, member, table = group_table(index, order, group)
        if len(names) < k:
            raise InputError(
                f"{k} folds need at least {k} groups by {group}; there are {len(names)}"
            )
        folds[order] = _deal_groups(table, k, seed)[member]
        return folds
    if len(order) < k:
        raise InputError(f"{k} folds need at least {k} images; there are {len(order)}")
    if not stratify:
        shuffled = np.arange(len(order))
        random_state(seed).shuffle(shuffled)
        for fold, rows in enumerate(np.array_split(order[shuffled], k)):
            folds[rows] = fold
        return folds
    labels = index["label"].to_numpy()[order]
    start = 0
    for name in sorted(set(labels)):
        mine = order[labels == name]
        mine = mine[random_state(seed, name).permutation(len(mine))]
        # Go on where the last class stopped, so that the folds' sizes differ by at most one too.
        folds[mine] = (start + np.arange(len(mine))) % k
        start += len(mine)
    return folds


def _deal_groups(table: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Fold of each group (G,), so that the folds' images per class are as equal as possible."""
    # A class counts as much as another, whatever its size; all images together count four times.
    shares = np.column_stack([table / table.sum(axis=0), 2 * table.sum(axis=1) / table.sum()])
    squares = (shares**2).sum(axis=1)
    products = shares @ shares.T
    random = random_state(seed)
    best, chosen = np.inf, np.zeros(len(table), int)
    for _ in range(TRIALS):
        fold = np.empty(len(table), int)
        fold[random.permutation(len(table))] = np.arange(len(table)) % k
        load = np.stack([shares[fold == f].sum(axis=0) for f in range(k)])
        while True:
            # The sum of the squared loads is least where they are equal. What a move of group g
            # to fold f adds to it, and what an exchange of g and h does.
            own = (shares * load[fold]).sum(axis=1)
            to = shares @ load.T
            move = 2 * (to - own[:, None] + squares[:, None])
            step = shares @ (load[fold]).T  # group g with the load of the fold of h
            apart = squares[:, None] + squares[None] - 2 * products
            swap = 2 * (step.T - own[:, None] - own[None] + step) + 2 * apart
            swap[fold[:, None] == fold[None]] = 0
            if min(move.min(), swap.min()) > -1e-9:
                break
            if move.min() <= swap.min():
                g, f = np.unravel_index(np.argmin(move), move.shape)
                fold[g] = f
            else:
                g, h = np.unravel_index(np.argmin(swap), swap.shape)
                fold[g], fold[h] = fold[h], fold[g]
            load = np.stack([shares[fold == f].sum(axis=0) for f in range(k)])
        if (load**2).sum() < best:
            best, chosen = float((load**2).sum()), fold
    return chosen
