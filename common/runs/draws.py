"""The split and the samples of a run: written once, and the same whenever it goes on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from common.errors import InputError
from common.files import as_bytes, csv_text, file_hash, write_text
from common.runs.folder import Run
from common.splits import SPLIT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def settle(run: Run, split: pd.DataFrame, samples: pd.DataFrame | None = None) -> None:
    """Write `split.csv` and `samples.csv`, or make sure that they are still those of the run.

    Parameters
    ----------
    run : Run
    split : DataFrame
        The columns of split.csv.
    samples : DataFrame, optional
        What is trained and validated on; a run without samples of its own has none.

    Raises
    ------
    InputError
        If the draw, or the file, is not what the run began with. Nothing is written then: an
        image that was trained on could otherwise be tested on.
    """
    for name, frame in (("split", split), ("samples", samples)):
        if frame is None:
            continue
        file = run.path / f"{name}.csv"
        text = csv_text(
            frame[[c for c in SPLIT_COLUMNS if c in frame]] if name == "split" else frame
        )
        drawn = hashlib.sha256(as_bytes(text)).hexdigest()
        began = getattr(run.record, f"{name}_sha256")
        if began is None and file.is_file():  # begun by a version that noted no hash
            began = file_hash(file)
        if began is None:
            write_text(file, text)
        elif file.is_file() and file_hash(file) != began:
            raise InputError(
                f"{file}: changed since this run began; delete it and start the same command "
                "again, which draws it again, or start anew with --fresh"
            )
        elif drawn != began:
            raise InputError(
                f"{file}: this run began with another {name}, and images that it was trained on "
                f"would be judged now; the code that draws it has changed since "
                f"(environment.json or git log say when): start anew with --fresh"
            )
        elif not file.is_file():
            write_text(file, text)
        run.note(**{f"{name}_sha256": drawn})
