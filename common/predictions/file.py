"""predictions.csv: written whole, and read with every line checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import RESTORE, InputError
from common.files import csv_lines, expanded, read_columns, write_csv
from common.predictions.agreement import require_same_images
from common.predictions.columns import (
    COLUMNS,
    MAX_CLASSES,
    SUM_TOLERANCE,
    class_names,
    classes_of,
    column,
)

if TYPE_CHECKING:
    import pandas as pd

    from common.predictions.agreement import Table


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


def read(
    path: str | Path,
    classes: Sequence[str] | None = None,
    *,
    split: Table | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read and check predictions.csv.

    Parameters
    ----------
    path : path
        The file.
    classes : sequence of str, optional
        The classes its columns of probabilities must have, in this order; unset, they are taken as
        they are.
    split : DataFrame or mapping of lists, optional
        Whose test images these must be, see `require_same_images`.
    columns : sequence of str, optional
        Those that the table is to have; all by default. The file is checked in whole all the same.

    Returns
    -------
    DataFrame
        ``image, case, slide, magnification, part, label`` as str and ``p_<class>`` as float64.

    Raises
    ------
    InputError
        With the file and the line or column, if the file is missing, cut short or edited: a missing
        column, a line with too few or too many values, a probability that is none, probabilities
        that do not add up to 1, an unknown label or part, an image that stands there twice; if
        `columns` names one that there is not; or as `require_same_images`.
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
    if split is not None:
        require_same_images(table, split, path)
    by_class = dict(zip(map(column, names), found, strict=True))
    chosen = [*COLUMNS, *by_class] if columns is None else list(columns)
    missing = [name for name in chosen if name not in COLUMNS and name not in by_class]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; its classes: {', '.join(names)}")
    texts = pd.DataFrame({name: table[name] for name in chosen if name in COLUMNS}, dtype=str)
    return texts.assign(**{name: by_class[name] for name in chosen if name not in COLUMNS})


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
