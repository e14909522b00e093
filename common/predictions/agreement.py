"""Whether predictions are those of a split's test images."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from common.errors import RESTORE, InputError
from common.files import MAX_CSV
from common.predictions.columns import of_part

if TYPE_CHECKING:
    import pandas as pd

    Table: TypeAlias = Mapping[str, list[str]] | pd.DataFrame

_SPLITS: list[tuple[bytes, dict[str, list[str]]]] = []  # file and test part; runs share folds


def test_part(path: Path) -> dict[str, list[str]]:
    """Read the test part of a split.csv, of which many runs may have the same.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        Column -> values, str.

    Raises
    ------
    InputError
        As `common.splits.read`; if the file is cut short, or has no column `label`.
    """
    # pandas comes with splits and is not needed before there is a file to read.
    from common import splits

    data = b""
    with contextlib.suppress(OSError):  # what is wrong with it is told below
        if path.stat().st_size <= MAX_CSV:
            data = path.read_bytes()
    for known, test in _SPLITS:
        if known == data:  # sooner told than a hash
            return test
    split = splits.read(path)
    if not data.endswith(b"\n"):
        raise InputError(f"{path}: cut short, its last line does not end; {RESTORE}")
    if "label" not in split:
        raise InputError(f"{path}: no column label; {RESTORE}")
    if len(_SPLITS) == 32:
        _SPLITS.clear()
    rows = of_part(split)
    _SPLITS.append((data, {str(name): rows[name].tolist() for name in rows}))
    return _SPLITS[-1][1]


def require_same_images(frame: Table, split: Table, path: str | Path) -> None:
    """Refuse predictions that are not those of the test part of a split.

    Parameters
    ----------
    frame : DataFrame or mapping of lists
        From `read`.
    split : DataFrame or mapping of lists
        Its `image`, `part` and `label` are looked at, and `magnification` where it has it.
    path : path
        The file of the predictions, for the message.

    Raises
    ------
    InputError
        If test images are missing, were added, or carry another label or magnification than in the
        split.
    """
    if _same_images(frame, split):
        return
    import pandas as pd

    wanted, said = (
        of_part(pd.DataFrame(each, dtype=str)).set_index("image") for each in (split, frame)
    )
    twice = wanted.index[wanted.index.duplicated()]
    if len(twice):
        raise InputError(
            f"{path}: its split.csv names {twice[0]} twice in the test part; {RESTORE}"
        )
    expected, found = wanted["label"], said["label"]
    for images, what in (
        (expected.index.difference(found.index), "missing, though split.csv tests on them"),
        (found.index.difference(expected.index), "not in the test part of split.csv"),
    ):
        if len(images):
            raise InputError(
                f"{path}: {len(images)} test images are {what}, for example {images[0]}; {RESTORE}"
            )
    other = found.index[found.to_numpy() != expected.reindex(found.index).to_numpy()]
    if len(other):
        raise InputError(f"{path}: {other[0]} has another label than in split.csv; {RESTORE}")
    if "magnification" in wanted:
        there = wanted["magnification"].reindex(said.index)
        other = said.index[said["magnification"].to_numpy() != there.to_numpy()]
        if len(other):
            raise InputError(
                f"{path}: {other[0]} has another magnification than in split.csv; {RESTORE}"
            )


def _same_images(table: Table, split: Table) -> bool:
    """Whether both say the same of the same test images, each of which stands there once."""
    facts = [name for name in ("image", "label", "magnification") if name in split]
    wanted, said = _of_test(split, facts), _of_test(table, facts)
    count = len(wanted[0])
    if not count or not count == len(said[0]) == len(set(said[0])):
        return False
    return said == wanted or set(zip(*said, strict=True)) == set(zip(*wanted, strict=True))


def _of_test(table: Table, facts: Sequence[str]) -> list[list[str]]:
    test = [part == "test" for part in _listed(table["part"])]
    return [list(itertools.compress(_listed(table[name]), test)) for name in facts]


def _listed(values: list[str] | pd.Series) -> list[str]:
    # pandas gives its strings one by one, an array of objects all at once.
    return values if isinstance(values, list) else values.to_numpy(object).tolist()
