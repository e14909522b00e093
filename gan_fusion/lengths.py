"""What trainings of 10, 20, ... 50 epochs would have given, read off one training (Table 10).

The learning rate falls by epoch whatever their number, so a training that is longer is at its
tenth epoch where one of ten ends. `by_epochs.json` holds the scores of each length on the test
images, which choose nothing; `predictions-10.csv` and so on what they are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import evaluation
from common.errors import RESTORE, InputError
from common.files import read_json, write_json
from common.metrics.stored import require_scores
from gan_fusion.config import EPOCHS_TRIED, Config

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from common.images import Pixels
    from common.runs import Run
    from common.training import Fitted

FILE = "by_epochs.json"
"""In the run folder."""


def tried(config: Config) -> tuple[int, ...]:
    """Lengths that a training tells of; none where it is not longer than the first.

    Parameters
    ----------
    config : Config
    """
    return tuple(n for n in EPOCHS_TRIED if n <= config.epochs and config.epochs > EPOCHS_TRIED[0])


def write(
    run: Run, model: keras.Model, fitted: Fitted, split: pd.DataFrame, pixels: Pixels, batch: int
) -> None:
    """Judge on the test images what each length would have kept; nothing without lengths.

    Parameters
    ----------
    run : Run
    model : keras.Model
        Left as it was.
    fitted : Fitted
    split : DataFrame
        Index with the column `part`.
    pixels : Pixels
        The decoded images.
    batch : int
        Images per step.
    """
    if not fitted.lengths:
        return
    from common import models
    from common.pipeline import Batches

    rows = split[split["part"] == "test"].reset_index(drop=True)
    classes = run.record["classes"]
    numbers = pixels.rows(rows["image"])
    images = Batches(pixels, numbers, list(rows["label"]), classes, batch_size=batch)
    seen: dict[Path, tuple[pd.DataFrame, dict[str, Any]]] = {}
    found = {}
    for length, (kept, weights) in fitted.lengths.items():
        if weights not in seen:
            models.load_weights(model, weights)
            table = evaluation.predict(model, images, rows, classes)
            scores = evaluation.evaluate(
                table, classes, positive=run.record.get("positive"),
                split=str(run.config.get("split", "")), synthetic=run.synthetic,
            )  # fmt: skip
            seen[weights] = table, {**scores, "best_epoch": kept}
        table, found[str(length)] = seen[weights]
        evaluation.write_predictions(run.path / f"predictions-{length}.csv", table)
    models.load_weights(model, run.path / "model.keras")
    write_json(run.path / FILE, {"trained": len(fitted.history), "epochs": found})


def read(run: Run) -> tuple[int, dict[int, Mapping[str, Any]]] | None:
    """Read what `write` wrote.

    Parameters
    ----------
    run : Run

    Returns
    -------
    (int, dict) or None
        How many epochs were trained, and length -> scores as in metrics.json; None of a run
        without.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    file = run.path / FILE
    if not file.is_file():
        return None
    said = read_json(file)
    try:
        for scores in said["epochs"].values():
            require_scores(scores)
        return int(said["trained"]), {int(n): each for n, each in said["epochs"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: damaged ({error!r}); {RESTORE}") from None
