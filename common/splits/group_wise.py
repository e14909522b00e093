"""Splits that keep every group (patient, slide, folder) in one part."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError, many
from common.splits.arguments import require_table
from common.splits.draw import group_table, random_state, sorted_rows
from common.splits.parts import check_disjoint, check_fractions, check_known, with_parts

if TYPE_CHECKING:
    import pandas as pd

TRIALS = 8  # random orders of the groups, of which the best balanced draw is taken


def by_group(
    index: pd.DataFrame, *, group: str = "case", test: float, validation: float, seed: int
) -> pd.DataFrame:
    """Split so that all images of a group (patient) lie in one part.

    From a random draw, groups are exchanged until no exchange brings the parts closer to the
    fractions, over all images and in every class; a class with at least two groups is trained and
    tested on, one with at least three also validated on, as far as possible, and one with a single
    group is trained on. The best of a few such draws is taken.

    Parameters
    ----------
    index : DataFrame
    group : str
        "case" (patients), "slide", "folder" or any other column.
    test, validation : float
        Fractions of images, reached as nearly as whole groups allow. `validation=0` leaves the
        validation part out.
    seed : int
        Governs the test draw; the validation draw has the next one.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Warns
    -----
    UserWarning
        Of classes that have a single group, with the part it went to.

    Raises
    ------
    InputError
        If groups are unknown or too few, or a part comes out empty or with a single class.
    """
    check_fractions(np.nan if test is None else test, validation)
    require_table(index, "image", "label")
    check_known(index, group, "no split by patient can be made; use --split official or image")
    order = sorted_rows(index)
    train, tested = draw_groups(index, order, group, test, seed, left=2 if validation else 1)
    validated = np.array([], int)
    if validation:
        train, validated = draw_groups(index, train, group, validation, seed + 1, left=1)
    split = with_parts(index, {"train": train, "validation": validated, "test": tested}, validation)
    check_disjoint(split, group)
    _warn_single_groups(split, group)
    return split


by_patient = by_group


def draw_groups(
    index: pd.DataFrame, rows: np.ndarray, group: str, fraction: float, seed: int, *, left: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw whole groups with about a fraction of the images.

    Parameters
    ----------
    index : DataFrame
    rows : ndarray
        Row numbers to draw from, shape (n,), int.
    group : str
        "case" (patients), "slide", "folder" or any other column.
    fraction : float
        Of the n images, reached as nearly as whole groups allow.
    seed : int
    left : int
        At least so many groups of each class stay behind, where it has that many besides a drawn
        one.

    Returns
    -------
    others, drawn : ndarray
        Row numbers, int.

    Raises
    ------
    InputError
        If there are no more than `left` groups.
    """
    names, member, table = group_table(index, rows, group)
    if len(names) < left + 1:
        what = {"case": "patient"}.get(group, group)
        raise InputError(
            f"{len(names)} {what}{'s' * (len(names) != 1)}; keeping {what}s apart needs {left + 1} "
            "or more, one for each part; --split image draws images"
        )
    has = (table > 0).astype(int)
    groups, target = has.sum(axis=0), fraction * table.sum(axis=0)
    # A class with one group is trained on; one with two is drawn from once.
    stay = np.minimum(left, np.maximum(groups - 1, 1))

    def cost(drawn: np.ndarray, n: np.ndarray) -> np.ndarray:
        # How bad draws are; of images and groups per class, both (..., K).
        faults = (4 * (groups - n < 1) + 2 * ((n < 1) & (groups > 1)) + (groups - n < stay)).sum(
            axis=-1
        )
        # Too many or too few images: over all, twice, lest no class makes up for another whose
        # few large groups miss the target; and in each class.
        distance = 2 * np.abs((drawn - target).sum(axis=-1)) + np.abs(drawn - target).sum(axis=-1)
        return faults * 4 * table.sum() + distance

    best, chosen = np.inf, np.zeros(len(names), bool)
    random = random_state(seed)
    for _ in range(TRIALS):
        order = random.permutation(len(names))
        taken = np.zeros(len(names), bool)
        taken[order[np.cumsum(table[order].sum(axis=1)) <= target.sum()]] = True
        now = float(cost(taken @ table, taken @ has))
        while True:
            # Every exchange of a drawn for another group, and every move of a single one.
            inside, outside = (
                np.append(np.flatnonzero(taken), -1),
                np.append(np.flatnonzero(~taken), -1),
            )
            change, change_has = (
                np.vstack([of, np.zeros((1, of.shape[1]), int)]) for of in (table, has)
            )
            costs = cost(
                taken @ table - change[inside][:, None] + change[outside][None],
                taken @ has - change_has[inside][:, None] + change_has[outside][None],
            )
            i, o = np.unravel_index(np.argmin(costs), costs.shape)
            if costs[i, o] >= now:
                break
            now = float(costs[i, o])
            for g, value in ((inside[i], False), (outside[o], True)):
                if g >= 0:
                    taken[g] = value
        if now < best:
            best, chosen = now, taken
    drawn_rows = chosen[member]
    return rows[~drawn_rows], rows[drawn_rows]


def _warn_single_groups(split: pd.DataFrame, group: str) -> None:
    """Warn of classes whose images all come from one group."""
    single = []
    for name, rows in split.groupby("label"):
        if rows[group].nunique() == 1:
            single.append(f"{name} ({group} {rows[group].iloc[0]}: {rows['part'].iloc[0]})")
    if single:
        warnings.warn(
            f"{many(len(single), 'class has', 'classes have')} a single {group}, so in one "
            "part only: " + ", ".join(single),
            stacklevel=3,
        )
