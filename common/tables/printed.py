"""The printed numbers of a paper: the one reader of published.csv, and what its units mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common import papers
from common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("table", "row", "metric", "printed", "unit", "decimals", "n_test", "preset"),
    *("metrics_key", "select", "note"),
)
"""Columns of published.csv; those of `OPTIONAL` may follow."""

OPTIONAL = ("rounds", "n_from", "classes")
"""Of how many runs a number is a mean; whence `n_test` comes where the paper does not print it; the
classes, with the test images of each where they are printed: ``benign=75; malignant=85``."""

SCALES = {"percent": 100, "fraction": 1}
"""Units of scores on the test images, and what 1 is in them. Others have no interval."""


def published_text(package: str) -> pd.DataFrame:
    """Read a paper's published.csv, every cell as it stands there; the package is not imported.

    For pages that show the numbers without reckoning with them; otherwise `published`.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    DataFrame
        One row per printed number, columns `COLUMNS` and `OPTIONAL`, all text, "" where the file
        has nothing. The last ones may be missing from the file: ``rounds``, of how many runs the
        number is a mean, "" for one; ``n_from``, "" where the paper prints `n_test`; ``classes``.

    Raises
    ------
    InputError
        If the package, the file or a column is missing.
    """
    import pandas as pd

    path = papers.folder(package) / "published.csv"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}")
    return table.reindex(columns=[*COLUMNS, *OPTIONAL], fill_value="")


def published(package: str) -> pd.DataFrame:
    """Read a paper's published.csv, its numbers checked.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    DataFrame
        As `published_text`, but ``decimals`` is int64 and ``n_test`` a nullable Int64; ``printed``
        stays text (``97.30``).

    Raises
    ------
    InputError
        If the package, the file or a column is missing, or a number is none.
    """
    import pandas as pd

    table = published_text(package)
    for column, kind in (("decimals", "int64"), ("n_test", "Int64"), ("printed", "float64")):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = numbers.isna() & ~((table[column] == "") & (column == "n_test"))
        if wrong.any():
            line = int(np.flatnonzero(wrong)[0]) + 2
            value = table[column][line - 2]
            path = papers.folder(package) / "published.csv"
            raise InputError(f"{path}, line {line}, column {column}: {value!r} is no number")
        if column != "printed":
            table[column] = numbers.astype(kind)
    return table


def unknown(value: Any) -> bool:
    """Whether a table's cell is empty.

    Parameters
    ----------
    value : object
        None, NaN and pandas' NA are empty; "" is not.

    Returns
    -------
    bool
    """
    import pandas as pd

    return bool(pd.isna(value))
