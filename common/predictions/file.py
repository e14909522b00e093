"""predictions.csv: written whole, and read with every line checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import RESTORE, InputError
from common.files import csv_lines, expanded, read_columns, write_csv
from common.predictions.columns import (
    COLUMNS,
    MAX_CLASSES,
    SUM_TOLERANCE,
    class_names,
    classes_of,
    column,
    of_part,
)

if TYPE_CHECKING:
    import pandas as pd


def write(path: str | Path, frame: pd.DataFrame) -> None:
    """Write predictions.csv: 9 significant digits, unknown values empty.

    Parameters
    ----------
    path : path
        The file; it is whole or not there.
    frame : DataFrame
        `COLUMNS` and the probabilities; other columns are left out.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    classes = classes_of(frame)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing or not classes:
        raise ValueError(f"predictions lack the columns {missing or column('<class>')}")
    write_csv(path, frame.loc[:, [*COLUMNS, *map(column, classes)]])


def read(path: str | Path, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Read and check predictions.csv.

    Parameters
    ----------
    path : path
        The file.
    classes : sequence of str, optional
        The classes its columns of probabilities must have, in this order; unset, they are taken as
        they are.

    Returns
    -------
    DataFrame
        ``image, case, slide, magnification, part, label`` as str and ``p_<class>`` as float64.

    Raises
    ------
    InputError
        With the file and the line or column, if the file is missing, cut short or edited: a missing
        column, a line with too few or too many values, a probability that is none, probabilities
        that do not add up to 1, an unknown label or part, an image that stands there twice.
    """
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; the run did not finish, start it again")
    table = read_columns(path, whole=True)
    names = _check_header(path, list(table), classes)
    if not table["image"]:
        raise InputError(f"{path}: no predictions in it; {RESTORE}")
    import pandas as pd

    found = _numbers(table, names)
    if found is None:
        first: dict[str, int] = {}
        lines = csv_lines(path, whole=True)
        _, header = next(lines)
        for line, values in lines:
            record = dict(zip(header, values, strict=True))
            _require_possible(record, names, f"{path}, line {line}")
            image = record["image"]
            if image in first:
                raise InputError(
                    f"{path}, line {line}: {image} stands in line {first[image]} already"
                )
            first[image] = line
        found = [list(map(float, table[column(name)])) for name in names]
    texts = pd.DataFrame({name: table[name] for name in COLUMNS}, dtype=str)
    return texts.assign(**dict(zip(map(column, names), found, strict=True)))


def _numbers(table: Mapping[str, list[str]], names: Sequence[str]) -> Sequence[Any] | None:
    """Probabilities by class; None unless every line is fine at a glance."""
    from common.splits import PARTS

    try:
        values = np.array([list(map(float, table[column(name)])) for name in names])
    except ValueError:
        return None
    # Inside the tolerance by more than what the order of a sum costs.
    near = np.abs(values.sum(axis=0) - 1) < SUM_TOLERANCE / 2
    fine = (
        ((values >= 0) & (values <= 1)).all()
        and near.all()
        and set(table["part"]) <= set(PARTS)
        and set(table["label"]) <= set(names)
        and len(set(table["image"])) == values.shape[1]
    )
    return list(values) if fine else None


def require_same_images(frame: pd.DataFrame, split: pd.DataFrame, path: str | Path) -> None:
    """Refuse predictions that are not those of the test part of a split.

    Parameters
    ----------
    frame : DataFrame
        From `read`.
    split : DataFrame
        Its `image`, `part` and `label` are looked at, and `magnification` where it has it.
    path : path
        The file of the predictions, for the message.

    Raises
    ------
    InputError
        If test images are missing, were added, or carry another label or magnification than in the
        split.
    """
    facts = [name for name in ("image", "label", "magnification") if name in split]
    if (expected := _test_images(split, facts)) and expected == _test_images(frame, facts):
        return
    wanted, said = of_part(split).set_index("image"), of_part(frame).set_index("image")
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


def _test_images(frame: pd.DataFrame, facts: Sequence[str]) -> set[tuple[str, ...]] | None:
    """What is said of each test image; None if one stands there twice."""
    test = frame["part"].to_numpy(object) == "test"
    # pandas gives its strings one by one, an array of objects all at once.
    values = [frame[name].to_numpy(object)[test].tolist() for name in facts]
    found = set(zip(*values, strict=True))
    return found if len(found) == len(values[0]) else None


def _check_header(path: Path, header: list[str], classes: Sequence[str] | None) -> list[str]:
    """Classes that the first line of the file names; refuses a line that is not as it must be."""
    names = class_names(header)
    wanted = [*COLUMNS, *map(column, names if classes is None else classes)]
    missing = [name for name in wanted if name not in header]
    if missing or not names:
        raise InputError(f"{path}: no column {', '.join(missing) or column('<class>')}; {RESTORE}")
    if len(names) > MAX_CLASSES:
        raise InputError(f"{path}: {len(names)} classes, and at most {MAX_CLASSES} are judged")
    if classes is not None and names != list(classes):
        raise InputError(
            f"{path}: classes {', '.join(names)}, but the run has {', '.join(classes)}; {RESTORE}"
        )
    return names


def _require_possible(record: Mapping[str, str], names: list[str], place: str) -> None:
    """Refuse a line that cannot be."""
    # pandas comes with splits and is not needed before there is a file to read.
    from common.splits import PARTS

    if record["part"] not in PARTS:
        raise InputError(f"{place}, column part: {record['part']!r} is none of {PARTS}")
    if record["label"] not in names:
        raise InputError(
            f"{place}, column label: {record['label']!r} is none of {', '.join(names)}"
        )
    total = sum(
        _probability(record[each], f"{place}, column {each}") for each in map(column, names)
    )
    if abs(total - 1) > SUM_TOLERANCE:
        raise InputError(f"{place}: the probabilities add up to {total:.6g}, not 1; {RESTORE}")


def _probability(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1 + SUM_TOLERANCE:
        raise InputError(f"{place}: {text!r} is no probability")
    return value
