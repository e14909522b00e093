"""Which images a probe is fitted and judged on: a list, a folder per class, or a run's split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import runs, splits
from common.datasets import own
from common.datasets.lists import read_list
from common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image", "label", "case", "slide", "magnification", "part")


def of_source(source: Path) -> pd.DataFrame:
    """Read a list of images, or a folder with a folder per class; the images need not be there.

    Parameters
    ----------
    source : Path
        A CSV with `image`, `label` and, where known, `patient`, `slide`, `magnification`, `part`;
        or a folder.

    Returns
    -------
    DataFrame
        `COLUMNS`, one row an image; what is not known is empty.

    Raises
    ------
    InputError
        As `common.datasets.own.read`; or if an image stands there twice, or has no label.
    """
    if source.is_dir():
        table = own.read(source).table
        return _table(table.assign(part=table["official"]).to_dict("records"))
    found = read_list(source, needs=("label",))
    rows: dict[str, dict[str, str]] = {}
    for row in found.rows:
        record = {name: row["patient" if name == "case" else name] for name in COLUMNS}
        if not record["label"]:
            raise InputError(f"{source}, line {row.line}: {row['image']} has no label")
        if rows.setdefault(record["image"], record) != record:
            raise InputError(
                f"{source}, line {row.line}: {row['image']} stands there twice, and differently"
            )
    return _table(list(rows.values()))


def of_run(run: runs.Run) -> pd.DataFrame:
    """Give the images of a run, with its parts.

    Parameters
    ----------
    run : Run

    Returns
    -------
    DataFrame
        `COLUMNS`.

    Raises
    ------
    InputError
        If the run has no split.
    """
    split = splits.read(run.path / "split.csv")
    known = {name: split[name].fillna("") for name in COLUMNS if name in split}
    return _table(split.assign(**known).to_dict("records"))


def _table(records: Sequence[Mapping[Any, Any]]) -> pd.DataFrame:
    import pandas as pd

    rows = [{name: str(each.get(name) or "") for name in COLUMNS} for each in records]
    return pd.DataFrame(rows, columns=list(COLUMNS))
