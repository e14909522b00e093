"""The parts of one's own images: as a list gives them, or drawn; and what a list lacks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import splits, terminal
from common.datasets.lists import read_list
from common.errors import InputError, listed
from common.files import expanded

if TYPE_CHECKING:
    import pandas as pd

    from common.config import Execution
    from common.datasets.own import Images


@contextlib.contextmanager
def missing_labels(path: Path | None, data_dir: Path | None) -> Iterator[None]:
    """Say of a list that names images beside it, and none of a data set, that it lacks labels.

    Parameters
    ----------
    path : Path or None
        A list of images and patients that was given as images; None: nothing is looked at.
    data_dir : Path or None
        Folder that its paths may count from.

    Raises
    ------
    InputError
        What was raised inside, or that there is no column label.
    """
    try:
        yield
    except InputError:
        if path is not None:
            folder = path.parent if data_dir is None else expanded(data_dir)
            if any((folder / row["image"]).is_file() for row in read_list(path).rows):
                read_list(path, needs=("label",))
        raise


def drawn(
    index: pd.DataFrame,
    config: Any,
    make: Callable[[pd.DataFrame], pd.DataFrame],
    source: str | Path,
) -> pd.DataFrame:
    """Draw the parts; images whose patient is unknown stay together where patients are kept whole.

    Parameters
    ----------
    index : DataFrame
        The images that can be used.
    config : object
        Names the split.
    make : callable
        The paper's split of an index.
    source : path or str
        One's own list or folder, for messages; "" of a data set.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If no such split can be drawn.
    """
    known = index["case"] != ""
    by_patient = config.split == "patient" and getattr(config, "group", "case") == "case"
    together = by_patient and known.any() and not known.all()
    try:
        if together:
            return make(splits.unknown_together(index)).assign(case=index["case"])
        return make(index)
    except InputError as error:
        text = str(error)
        if source and str(source) not in text:
            text = f"{source}: {text}"
        if together:
            text += (
                f". The {int((~known).sum())} images whose patient is unknown stay together in one "
                "part, as if they were of one: say their patients, or leave them out"
            )
        raise InputError(text) from None


def given(images: Images, index: pd.DataFrame, config: Any, execution: Execution) -> pd.DataFrame:
    """Take the parts of a list's column.

    Parameters
    ----------
    images : Images
        As the list names them.
    index : DataFrame
        Those that can be used.
    config, execution : object
        Of the request.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If a split file says other parts, or patients that are to be kept apart lie in two.
    """
    split = index.assign(part=index["official"])
    if execution.split_file is not None:
        other = splits.from_file(index, execution.split_file)
        differ = other["part"].to_numpy() != split["part"].to_numpy()
        if differ.any():
            row = split[differ].iloc[0]
            raise InputError(
                f"{images.where[row['image']]}: part {row['part'] or '(none)'}, and "
                f"{other.loc[differ, 'part'].iloc[0] or '(none)'} in {execution.split_file}; two "
                "sources that differ: leave one out"
            )
    validated = (split["part"] == "validation").any()
    splits.check_parts(split, splits.PARTS if validated else ("train", "test"), cure=splits.GIVEN)
    group = getattr(config, "group", "case")
    shared = splits.shared_groups(split[split["part"] != ""], group)
    if shared:
        names = listed(f"{name} ({' and '.join(parts)})" for name, parts in shared.items())
        what = "patients lie" if group == "case" else f"{group}s lie"
        text = f"{images.source}: {len(shared)} {what} in more than one part: {names}"
        if config.split == "patient":
            raise InputError(f"--split patient: {text}; put each into one")
        terminal.line(f"warning: {text}", always=True)
    return split
