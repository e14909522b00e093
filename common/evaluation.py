"""From a model to predictions.csv, and from predictions.csv to metrics.json and its summary.

Predictions are the evidence: they are written once, and everything else is computed from the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import confidence, notices, runs, splits, terminal
from common import metrics as scores
from common.errors import InputError
from common.files import path_argument, read_json, write_json
from common.metrics.summary import aligned, percent, summary
from common.predictions import (
    COLUMNS,
    SUM_TOLERANCE,
    classes_of,
    labels,
    of_part,
    probabilities,
    table,
    test_part,
)
from common.predictions import read as read_predictions
from common.predictions import write as write_predictions

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "aligned",
    "best_epoch",
    "evaluate",
    "evaluate_run",
    "main",
    "percent",
    "predict",
    "predict_run",
    "read_metrics",
    "read_predictions",
    "read_run",
    "summary",
    "write_predictions",
]


# --- predictions -------------------------------------------------------------------------------


def predict(
    model: Callable[[Any], Any],
    batches: Iterable[tuple[Any, Any]],
    rows: pd.DataFrame,
    classes: Sequence[str],
    group: str = "case",
) -> pd.DataFrame:
    """Run a model over batches and put its probabilities beside the images' rows.

    Parameters
    ----------
    model : keras.Model or callable
        Maps a batch of pixels to softmax probabilities (B, K).
    batches : iterable of (pixels, one-hot labels)
        Unshuffled, not augmented, in the order of `rows`; for example `common.pipeline.Batches`.
    rows : DataFrame
        Rows of a split, one per image: ``image, part, label``, and where they are known ``case,
        slide, magnification``.
    classes : sequence of str
        K class names in the order of the model's outputs.
    group : str
        Column of `rows` with the patients, over which intervals are drawn.

    Returns
    -------
    DataFrame
        What predictions.csv holds. Probabilities are rounded to the file's 9 significant digits,
        so that metrics are the same before writing and after reading.

    Raises
    ------
    InputError
        If a probability is not finite (the training diverged).
    ValueError
        If the outputs are no probabilities, or batches and rows do not belong together.
    """
    from common.backend import ops

    classes = list(classes)
    numbers = labels(rows, classes)

    # predict_on_batch is compiled; calling a model runs it op by op, which is slow on JAX.
    call = getattr(model, "predict_on_batch", model)
    outputs, seen = [], 0
    with terminal.progress("predicting", len(rows), "images") as bar:
        for pixels, targets in _each(batches):
            output = np.asarray(ops.convert_to_numpy(call(pixels)), dtype=np.float64)
            if output.ndim != 2 or output.shape[1] != len(classes):
                raise ValueError(f"the model gives {output.shape}, not (batch, {len(classes)})")
            if targets is not None:
                targets = np.asarray(ops.convert_to_numpy(targets)).argmax(axis=1)
                if not np.array_equal(targets, numbers[seen : seen + len(output)]):
                    raise ValueError("labels of batches and rows differ: are the batches shuffled?")
            outputs.append(output)
            seen += len(output)
            bar.at(seen)
    if seen != len(rows):
        raise ValueError(f"{seen} predictions for {len(rows)} images")
    values = np.concatenate(outputs) if outputs else np.zeros((0, len(classes)))
    if not np.isfinite(values).all():
        image = rows["image"].iloc[int(np.argmin(np.isfinite(values).all(axis=1)))]
        raise InputError(
            f"the model's output for {image} is not finite: the training diverged; "
            "try a lower learning rate, or without --mixed-precision"
        )
    off = np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE
    if off.any() or (values < 0).any():
        raise ValueError("the model's outputs are not softmax probabilities (sum 1, none negative)")
    return table(rows, values, classes, group)


def predict_run(
    run: runs.Run, model: Callable[[Any], Any], split: pd.DataFrame, pixels: Any, batch_size: int
) -> None:
    """Write a run's predictions.csv: its validation and its test part.

    Parameters
    ----------
    run : Run
        Its record names the classes.
    model : keras.Model
        The model of the chosen epoch.
    split : DataFrame
        Index with the column `part`.
    pixels : common.images.Pixels
        The decoded images of the split.
    batch_size : int
        Images per step.
    """
    from common.pipeline import Batches

    rows = split[split["part"].isin(["validation", "test"])].reset_index(drop=True)
    classes = run.record["classes"]
    numbers = pixels.rows(rows["image"])
    batches = Batches(pixels, numbers, list(rows["label"]), classes, batch_size=batch_size)
    write_predictions(run.path / "predictions.csv", predict(model, batches, rows, classes))


def _each(batches: Any) -> Iterable[tuple[Any, Any]]:
    """Go through batches once; a PyDataset has a length and numbered batches, but no end."""
    if hasattr(batches, "__getitem__") and hasattr(batches, "__len__"):
        return (batches[i] for i in range(len(batches)))
    return iter(batches)


def read_run(run: runs.Run | str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a run's predictions, and check that they are the images of its split.

    Parameters
    ----------
    run : Run or path
        A run, or its folder.
    columns : sequence of str, optional
        Those that the table is to have; all by default. The file is checked in whole all the same.

    Returns
    -------
    DataFrame
        As `common.predictions.read`.

    Raises
    ------
    InputError
        As `common.predictions.read`; and if images of the test part are missing, were added, or
        carry another label than in split.csv.
    """
    run = run if isinstance(run, runs.Run) else runs.load(run)
    split = run.path / "split.csv"
    return read_predictions(
        run.path / "predictions.csv",
        run.record.get("classes"),
        split=test_part(split) if split.is_file() else None,
        columns=columns,
    )


# --- metrics -----------------------------------------------------------------------------------


def evaluate(
    predictions: pd.DataFrame,
    classes: Sequence[str] | None = None,
    *,
    positive: str | None = None,
    split: str = "",
    synthetic: bool = False,
    part: str = "test",
    folders: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Compute what metrics.json holds from predictions.

    Parameters
    ----------
    predictions : DataFrame
        As in predictions.csv.
    classes : sequence of str, optional
        Class names in order; unset, those of the ``p_`` columns.
    positive : str, optional
        Positive class of a two-class problem.
    split : str
        Name of the split, copied.
    synthetic : bool
        Whether the images were generated, copied.
    part : str
        Which part to evaluate; the others in the file are left alone.
    folders : mapping, optional
        Image to its slide folder, for the official patient recognition rate.

    Returns
    -------
    dict
        See `common.metrics.compute`.

    Raises
    ------
    InputError
        If the part holds no image.
    """
    if classes is None:
        classes = classes_of(predictions)
    chosen = of_part(predictions, part)
    if chosen.empty:
        raise InputError(f"no predictions for the {part} part to evaluate")
    return scores.compute(
        labels(chosen, classes),
        probabilities(chosen, classes),
        classes,
        cases=chosen["case"].fillna("").to_numpy(),
        magnifications=chosen["magnification"].fillna("").to_numpy(),
        folders=[(folders or {}).get(image, "") for image in chosen["image"]],
        positive=positive,
        split=split,
        synthetic=synthetic,
    )


def evaluate_run(run_path: str | Path) -> dict[str, Any]:
    """Recompute a run's metrics.json from its predictions.csv, and folders from its split.csv.

    Parameters
    ----------
    run_path : path
        A classifier's run folder.

    Returns
    -------
    dict
        The metrics, as written.

    Raises
    ------
    InputError
        If the folder is no run, or its predictions are missing or damaged.
    """
    run = runs.load_classifier(run_path)
    result = recomputed(run)
    with runs.changing(run.path):
        write_json(run.path / "metrics.json", result)
    return result


def recomputed(run: runs.Run) -> dict[str, Any]:
    """Compute what `evaluate_run` writes.

    Parameters
    ----------
    run : Run
    """
    predictions, positive = read_run(run), run.record.get("positive")
    split, folders = None, None
    with contextlib.suppress(InputError):
        split = splits.read(run.path / "split.csv")
    if split is not None and "folder" in split:
        folders = dict(zip(split["image"], split["folder"], strict=True))
    result = evaluate(
        predictions,
        run.record.get("classes"),
        positive=positive,
        split=str(run.config.get("split", "")),
        synthetic=run.synthetic,
        folders=folders,
    )
    result["best_epoch"] = best_epoch(run)
    result["confidence"] = confidence.of_predictions(
        predictions, result["classes"], positive=positive, split=split
    )
    return result


def best_epoch(run: runs.Run) -> int | None:
    """Epoch whose weights the run keeps, counted from 1; None where that was not noted.

    `common.training.fit` notes it. Runs of earlier versions have it in their metrics.json.

    Parameters
    ----------
    run : Run
    """
    if run.record.kept_epoch is not None:
        return run.record.kept_epoch
    try:
        return int(read_metrics(run)["best_epoch"])
    except (InputError, KeyError, TypeError, ValueError):
        return None


def read_metrics(run: runs.Run | str | Path) -> dict[str, Any]:
    """Read a run's metrics.json.

    Parameters
    ----------
    run : Run or path
        A run, or its folder. It need not be a classifier's: what a run without predictions.csv
        says of itself is its paper's business.

    Returns
    -------
    dict
        What the file holds.

    Raises
    ------
    InputError
        If it is missing or damaged; the message says how to compute it again.
    """
    run = run if isinstance(run, runs.Run) else runs.load(run)
    path = run.path / "metrics.json"
    repair = f"python -m common.metrics recompute {run.path}"
    if not path.is_file():
        raise InputError(f"{path}: missing; {repair}")
    if not (run.path / "predictions.csv").is_file():
        return read_json(path, repair=repair)
    found = scores.read_scores(path, repair=repair)
    confidence.checked(found, path, repair=repair)
    return found


# --- command -----------------------------------------------------------------------------------


def main(package: str, arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m PKG.evaluate``: recompute a run's metrics and print them.

    Parameters
    ----------
    package : str
        The paper's package, which must have made the run.
    arguments : list of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        0.
    """
    from common.arguments import Parser

    parser = Parser(
        prog=f"python -m {package}.evaluate",
        description="Recompute metrics.json of a run from its predictions.csv, and print it. "
        f"Needs no model and no images. {notices.RESEARCH_USE}",
    )
    parser.add_argument(
        "--run", required=True, type=path_argument, metavar="RUN", help="a run folder"
    )
    flags = parser.parse_args(arguments)
    run = runs.load_classifier(flags.run, package)
    print(summary(evaluate_run(run.path)))
    return 0
