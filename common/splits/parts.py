"""The parts of a split, and what every split has to be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.datasets import listed
from common.errors import InputError, many
from common.splits.arguments import is_number, require_table

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

PARTS = ("train", "validation", "test")
"""In their usual order; "" in a column `part` is an image that is not used."""

GROUPS = ("case", "slide", "folder")
"""Columns of an index that say which images come from one patient, one slide, one folder."""

UNKNOWN = "not in the list"
"""What images of unknown patients are kept together as while a split by patient is drawn."""


def unknown_together(index: pd.DataFrame) -> pd.DataFrame:
    """Give images of unknown patients one patient, so that they stay together in a split.

    Whose they are nobody knows, so that they may be of one patient.

    Parameters
    ----------
    index : DataFrame
        With "" as the case of such images.
    """
    return index.assign(case=index["case"].where(index["case"] != "", UNKNOWN))


def check_disjoint(split: pd.DataFrame, group: str = "case") -> None:
    """Make sure that no group (patient) has images in two parts.

    Parameters
    ----------
    split : DataFrame
        Index with the column `part`.
    group : str
        "case", "slide", "folder" or any other column.

    Raises
    ------
    InputError
        Naming the groups that do, or that groups are unknown.
    """
    require_table(split, "part", name="split")
    used = split[split["part"] != ""]
    check_known(used, group, "whether the parts share patients cannot be checked")
    shared = shared_groups(used, group)
    if shared:
        names = [f"{name} ({', '.join(parts)})" for name, parts in shared.items()]
        raise InputError(f"{len(shared)} {group}s lie in more than one part: {listed(names, 10)}")


def shared_groups(split: pd.DataFrame, group: str) -> dict[str, tuple[str, ...]]:
    """Find the groups in more than one part.

    Parameters
    ----------
    split : DataFrame
        Index with the column `part`; rows whose group is "" are left out.
    group : str
        "case", "slide", "folder" or any other column.

    Returns
    -------
    dict
        Group -> its parts, in their usual order.

    Raises
    ------
    InputError
        If the column `part` or that of the group is missing.
    """
    require_table(split, "part", name="split")
    _require_group(split, group)
    require_table(split, group, name="split")
    parts = split[split[group] != ""].groupby(group)["part"].unique()
    return {
        name: tuple(part for part in PARTS if part in found)
        for name, found in parts.items()
        if len(found) > 1
    }


def _require_group(table: pd.DataFrame, group: object) -> None:
    """Refuse a group that is no column of a table; any column may be one."""
    if not isinstance(group, str) or group not in table:
        columns = [str(name) for name in table if name not in ("image", "label", "part")]
        near = difflib.get_close_matches(str(group), columns)
        hint = f"did you mean {near[0]!r}? " if near else ""
        names = ", ".join(columns) or "none"
        raise InputError(f"unknown group {group!r}; {hint}columns that can say it: {names}")


def check_fractions(test: float | None, validation: float) -> None:
    """Refuse fractions that leave a part, or nothing but it.

    Parameters
    ----------
    test : float or None
        Fraction of all images; None where another rule takes the test images.
    validation : float
        Fraction of the other images; 0 for none.

    Raises
    ------
    InputError
    """
    if test is not None and not (is_number(test) and 0 < test < 1):
        raise InputError(f"the test part must be a fraction between 0 and 1, not {test}")
    if not (is_number(validation) and 0 <= validation < 1):
        raise InputError(
            f"the validation part must be a fraction from 0 to below 1, not {validation}"
        )


def check_known(index: pd.DataFrame, group: str, consequence: str) -> None:
    """Refuse an index in which the group of an image is unknown.

    Parameters
    ----------
    index : DataFrame
    group : str
        Name of the column.
    consequence : str
        What cannot be done then; ends the message.

    Raises
    ------
    InputError
    """
    require_table(index)
    _require_group(index, group)
    require_table(index, group)
    unknown = int((index[group] == "").sum())
    if unknown:
        raise InputError(
            f"the {group} of {unknown} of {len(index)} images is unknown: {consequence}"
        )


DRAWN = "give more images, or another --seed or --split-seed"
GIVEN = "put images of each class into it"
"""What helps where a part of a split that is drawn, or given, lacks images."""


def check_parts(split: pd.DataFrame, parts: Sequence[str], *, cure: str = DRAWN) -> None:
    """Refuse a split with a part that is empty or holds a single class.

    Parameters
    ----------
    split : DataFrame
        Index with the column `part`.
    parts : sequence of str
        Those that are meant to hold images.
    cure : str
        `DRAWN` or `GIVEN`.

    Raises
    ------
    InputError
    """
    for part in parts:
        labels = split.loc[split["part"] == part, "label"]
        if labels.empty:
            raise InputError(
                f"the {part} part of this split is empty ({len(split)} images in all); {cure}"
                f"{', or other fractions' * (cure == DRAWN)}"
            )
        if labels.nunique() == 1:
            raise InputError(
                f"the {part} part of this split has images of one class only "
                f"({labels.iloc[0]}, {many(len(labels), 'image')}); {cure}"
            )


def with_parts(
    index: pd.DataFrame, rows: Mapping[str, ArrayLike], validation: float
) -> pd.DataFrame:
    """Write the parts into a copy of the index and check them.

    Parameters
    ----------
    index : DataFrame
    rows : mapping
        Part -> its row numbers; all others get "".
    validation : float
        0 if the split is meant to have no validation part.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If a part is empty or holds a single class.
    """
    part = np.full(len(index), "", dtype=object)
    for name, chosen in rows.items():
        part[np.asarray(chosen, int)] = name
    split = index.copy()
    split["part"] = part
    check_parts(split, PARTS if validation else ("train", "test"))
    return split
