"""Splits whose test images are named by their positions in a sorted list, as some are published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from common.splits.draw import draw, sorted_rows
from common.splits.group_wise import draw_groups
from common.splits.parts import check_fractions, shared_groups, with_parts

if TYPE_CHECKING:
    import pandas as pd


def by_positions(
    index: pd.DataFrame,
    order: Sequence[str],
    test: Sequence[tuple[int, int]],
    *,
    validation: float,
    seed: int,
    group: str | None = None,
) -> pd.DataFrame:
    """Test on the images at given positions; validation is drawn from the others.

    Parameters
    ----------
    index : DataFrame
    order : sequence of str
        Every image of the index, in the order that the positions count, from 0.
    test : sequence of (int, int)
        First and last position of each range of test images.
    validation : float
        Fraction of the images that are not tested on; 0 leaves the validation part out.
    seed : int
        Governs the validation draw.
    group : {"case", "slide", "folder"}, optional
        Draw whole groups: of the images whose group is known; all others are trained on, since
        any of them may share theirs. Unset, images are drawn, stratified by label.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If order and index do not hold the same images, a position is out of range, a known group
        lies on both sides of the positions, or too few images have a known group.
    """
    check_fractions(None, validation)
    if sorted(order) != sorted(index["image"]):
        raise InputError("positions count other images than those of the index")
    tested_names: set[str] = set()
    for first, last in test:
        if not 0 <= first <= last < len(order):
            raise InputError(f"positions {first} to {last} are not in a list of {len(order)}")
        tested_names.update(order[first : last + 1])
    rows = sorted_rows(index)
    chosen = index["image"].isin(tested_names).to_numpy()[rows]
    train, tested = rows[~chosen], rows[chosen]
    validated = np.array([], int)
    if group is not None:
        sides = index.assign(part=np.where(index["image"].isin(tested_names), "test", "train"))
        shared = list(shared_groups(sides, group))
        if shared:
            raise InputError(
                f"{len(shared)} {group}s lie on both sides of the partition: {', '.join(shared)}"
            )
    if validation:
        if group is None:
            train, validated = draw(index, train, validation, seed, stratify=True)
        else:
            train, validated = _draw_known(index, train, group, validation, seed)
    return with_parts(index, {"train": train, "validation": validated, "test": tested}, validation)


def _draw_known(
    index: pd.DataFrame, rows: np.ndarray, group: str, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a fraction of rows as whole groups, of those whose group is known."""
    known = (index[group] != "").to_numpy()[rows]
    wanted = fraction * len(rows)
    if known.sum() <= wanted:
        raise InputError(
            f"the {group} of {int(known.sum())} of {len(rows)} images is known, too few to "
            f"validate on {wanted:.0f} of them"
        )
    left, drawn = draw_groups(index, rows[known], group, wanted / int(known.sum()), seed, left=1)
    return np.concatenate([rows[~known], left]), drawn
