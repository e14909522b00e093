"""Fitting.

`fit` takes a compiled model: optimizer, loss and schedule belong to the paper. A training that is
killed, at any moment, goes on from its last whole epoch and ends with the same predictions.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from common import loggers, models, terminal
from common.backend import keras
from common.errors import BEFORE_ANYTHING, InputError
from common.files import atomic_path, write_csv
from common.runs import Run
from common.training.checkpoint import Checkpoint, trained_epochs

SECOND = ("second.keras", "second.csv")
"""What `fit` leaves of the epoch that its second images chose."""

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class Fitted:
    """What a training gave.

    Attributes
    ----------
    history : DataFrame
        One row per epoch, columns `HISTORY`.
    kept_epoch : int
        The epoch, counted from 1, whose weights `model.keras` holds.
    lengths : dict
        Number of epochs -> the epoch that a training of so many would have kept, and its weights,
        a file that is gone when the run is finished; of those that `fit` was asked for.
    """

    history: pd.DataFrame
    kept_epoch: int
    lengths: Mapping[int, tuple[int, Path]] = field(default_factory=dict)


def fit(
    model: keras.Model,
    train: keras.utils.PyDataset,
    validation: keras.utils.PyDataset | None,
    run: Run | str | Path,
    epochs: int,
    *,
    keep: Literal["best", "last"] = "best",
    monitor: Literal["accuracy", "loss"] = "accuracy",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    second: keras.utils.PyDataset | None = None,
    lengths: Sequence[int] = (),
) -> Fitted:
    """Train `model` up to `epochs`, or on from where a killed run stopped.

    Writes `history.csv`, `checkpoint/` and, at the end, `model.keras`; the model is left with the
    weights that `model.keras` holds.

    Parameters
    ----------
    model : keras.Model
        Compiled, with an accuracy metric named "accuracy" (`accuracy`).
    train, validation : PyDataset
        Batches of (images, one-hot labels). If `train` has a method `start`, as
        `common.pipeline.Batches` has, each epoch begins with ``train.start(epoch)``, counted from
        0; another must have been made to begin with epoch `trained_epochs(run)`.
    run : Run or path
        The run, which notes the epoch that was kept, or any folder.
    epochs : int
        Total number of epochs.
    keep : {"best", "last"}
        Which epoch's weights are kept: the best on `validation`, or the last.
    monitor : {"accuracy", "loss"}
        What "best" means. Ties in accuracy go to the lower loss, then to the earlier epoch.
    callbacks : sequence of keras.callbacks.Callback
        Outputs such as TensorBoard. State that matters does not belong there: it is not resumed.
    second : PyDataset, optional
        Images that choose an epoch of their own, by the same rule: one training, two choices. What
        they choose is kept as `second.keras`, their losses and accuracies as `second.csv`, for
        `adopt`. They change nothing else.
    lengths : sequence of int
        Numbers of epochs: of each is said what a training of that length would have kept, which is
        so where no schedule depends on the length. They change nothing else.

    Returns
    -------
    Fitted
        The history, and the epoch that was kept.

    Raises
    ------
    InputError
        If the loss becomes NaN or infinite; the last good state is kept.

    Notes
    -----
    The commands train on one device. To use several with TensorFlow, build and compile the model
    and call `fit` under one strategy; every batch is then divided among them::

        with tf.distribute.MirroredStrategy().scope():
            model = build_model(config)
            model.compile(...)
            training.fit(model, train, validation, run, epochs)

    `batch_size` stays the whole batch, and loss and steps are those of one device up to rounding,
    with two exceptions: BatchNorm takes its statistics from each device's share of a batch, unless
    its layers are made with ``synchronized=True``, and Dropout draws on each device. So the number
    of devices belongs to what must be kept for the same result, and to what a report should say.
    """
    if validation is None and keep == "best":
        raise InputError("no validation images to choose the epoch on: use --select-on last")
    folder = run.path if isinstance(run, Run) else Path(run)
    model.optimizer.build(model.trainable_variables)
    checkpoint = Checkpoint(
        folder / "checkpoint", {"model": model.variables, "optimizer": model.optimizer.variables}
    )
    state = checkpoint.restore() or {"epoch": 0, "best": None, "history": []}
    start = state["epoch"]
    if start:
        terminal.line(f"resuming after epoch {start} of {epochs}")
        # A run that was killed between the two has an epoch more in the checkpoint.
        _write_history(folder, state["history"])
    recorder = _Recorder(folder, checkpoint, state, epochs, keep, monitor, train, second, lengths)
    followed = run if isinstance(run, Run) else None
    try:
        # Also where nothing is left to train: a killed process may not have told the last row.
        with loggers.following(followed, state["history"]) as tell:
            told = keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: tell(recorder.state["history"][-1])
            )
            if start < epochs:
                model.fit(
                    train,
                    epochs=epochs,
                    initial_epoch=start,
                    validation_data=validation,
                    shuffle=False,  # the batches shuffle themselves, by seed and epoch
                    verbose=0,
                    callbacks=[*callbacks, recorder, told],
                )
    except KeyboardInterrupt:
        done = trained_epochs(folder)  # on disk: the interruption may have come while saving
        if not done:
            raise KeyboardInterrupt(BEFORE_ANYTHING) from None
        raise KeyboardInterrupt(
            f"interrupted; {done} of {epochs} epochs are saved in {folder}\n"
            f"the same command goes on from there"
        ) from None
    finally:
        recorder.close()
    chosen = recorder.state.get("second")
    if second is not None and chosen is not None:  # None: begun without them
        _write_history(folder, _of_second(recorder.state["history"]), SECOND[1])
        with atomic_path(folder / SECOND[0]) as temporary:
            shutil.copyfile(checkpoint.folder / chosen["file"], temporary)
        if isinstance(run, Run):
            run.note(second_epoch=int(chosen["epoch"]))
    best = recorder.state["best"]
    source = checkpoint.folder / best["file"]
    with atomic_path(folder / "model.keras") as temporary:
        shutil.copyfile(source, temporary)
    models.load_weights(model, source)
    history = _write_history(folder, recorder.state["history"])
    kept = int(best["epoch"])
    if isinstance(run, Run):
        run.note(kept_epoch=kept)
    return Fitted(history, kept, _lengths(recorder.state, lengths, checkpoint.folder))


def _lengths(
    state: Mapping[str, Any], lengths: Sequence[int], folder: Path
) -> dict[int, tuple[int, Path]]:
    """What trainings of these lengths would have kept; one that ended before them, the same."""
    kept = state.get("lengths", {})
    found = {
        length: state["best"] if length >= state["epoch"] else kept.get(str(length))
        for length in lengths
    }
    return {
        length: (int(each["epoch"]), folder / each["file"])
        for length, each in found.items()
        if each is not None  # begun without them
    }


def _of_second(history: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The history as it is seen by the second images."""
    return [
        {**row, "val_loss": row["second_loss"], "val_accuracy": row["second_accuracy"]}
        for row in history
    ]


def adopt(model: keras.Model, run: Run, other: Run) -> Fitted | None:
    """Take over the epoch that another training's second images chose, instead of training.

    Parameters
    ----------
    model : keras.Model
        Built as the other training's; gets the weights.
    run : Run
        Gets `model.keras`, `history.csv` and the note of the epoch, as `fit` would leave them.
    other : Run
        Its training had `run`'s validation images as its `second`.

    Returns
    -------
    Fitted or None
        None if the other training kept no second epoch.
    """
    weights, table = (other.path / name for name in SECOND)
    kept = other.record.get("second_epoch")
    if kept is None or not weights.is_file() or not table.is_file():
        return None
    models.load_weights(model, weights)
    for source, name in ((weights, "model.keras"), (table, "history.csv")):
        with atomic_path(run.path / name) as temporary:
            shutil.copyfile(source, temporary)
    run.note(kept_epoch=int(kept))
    return Fitted(pd.read_csv(table), int(kept))


def preference(row: Mapping[str, float], monitor: str = "accuracy") -> tuple[float, ...]:
    """What an epoch is preferred by, the larger the better; of equals the earlier is kept.

    Parameters
    ----------
    row : mapping
        One epoch of history.csv, with `val_accuracy` and `val_loss`.
    monitor : {"accuracy", "loss"}
        Validation accuracy, and at equal accuracy the lower loss; or the loss alone.
    """
    if monitor == "loss":
        return (-row["val_loss"],)
    return row["val_accuracy"], -row["val_loss"]


class _Recorder(keras.callbacks.Callback):
    """Keeps the history, the best weights and the checkpoint, and prints a line per epoch."""

    def __init__(
        self,
        run: Path,
        checkpoint: Checkpoint,
        state: dict[str, Any],
        epochs: int,
        keep: str,
        monitor: str,
        train: keras.utils.PyDataset,
        second: keras.utils.PyDataset | None = None,
        lengths: Sequence[int] = (),
    ):
        super().__init__()
        self.second = second
        self.lengths = lengths
        self.run = run
        self.checkpoint = checkpoint
        self.state = state
        self.epochs = epochs
        self.keep = keep
        self.monitor = monitor
        self.train = train
        self.bar: terminal.Bar | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Named here and not counted by the batches: Keras' own passes before the first epoch differ
        # between backends.
        if hasattr(self.train, "start"):
            self.train.start(epoch)
        self.began = time.monotonic()
        title = f"epoch {epoch + 1} of {self.epochs}"
        self.bar = terminal.progress(title, len(self.train), "steps", transient=True)
        # The rate of the epoch's first step: after its last one a schedule has moved on.
        self.rate = _learning_rate(self.model.optimizer)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.bar is not None:
            self.bar.at(batch + 1)

    def close(self) -> None:
        """Take the epoch's bar away, whatever ended it."""
        if self.bar is not None:
            self.bar.end()
            self.bar = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.close()
        seconds = time.monotonic() - self.began
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in (logs or {}).items()}}
        row["learning_rate"] = self.rate
        if self.second is not None:
            found = self.model.evaluate(self.second, verbose=0, return_dict=True)
            row |= {f"second_{name}": float(found[name]) for name in ("loss", "accuracy")}
        broken = [name for name, value in row.items() if not math.isfinite(value)]
        if broken:
            saved = self.state["epoch"]
            kept = f"the state after epoch {saved} is kept in {self.run}"
            what = broken[0].replace("val_", "validation ").replace("_", " ")
            raise InputError(
                f"the {what} became {row[broken[0]]} in epoch {epoch + 1}; "
                f"{kept if saved else 'no epoch before it is saved'}; try a smaller --learning-rate"
            )
        history = [*self.state["history"], row]
        best = self._is_best(row, self.state["best"])
        chosen: dict[str, Any] = {"best": self._record("best", row) if best else self.state["best"]}
        if self.second is not None and (epoch == 0 or self.state.get("second")):
            seen, before = _of_second([row])[0], self.state.get("second")
            better = before is None or self._is_best(seen, _of_second([before])[0])
            chosen["second"] = self._record("best-second", row) if better else before
        names = [each["file"] for each in chosen.values()]
        if self.lengths:
            told: dict[str, dict[str, Any]] = dict(self.state.get("lengths", {}))
            if epoch + 1 in self.lengths:
                told[str(epoch + 1)] = chosen["best"]
            chosen["lengths"] = told
            names += [each["file"] for each in told.values() if each["file"] not in names]
        self.state = {"epoch": epoch + 1, "history": history, **chosen}
        self.checkpoint.save(epoch + 1, {"history": history, **chosen}, files=names)
        _write_history(self.run, history)
        self._print(row, best, seconds)

    def _record(self, name: str, row: Mapping[str, float]) -> dict[str, Any]:
        """Keep the weights of an epoch."""
        file = f"{name}-{row['epoch']:06d}.keras"
        _save_model(self.model, self.checkpoint.folder / file)
        return {"file": file, **row}

    def _is_best(self, row: Mapping[str, float], best: Mapping[str, float] | None) -> bool:
        if best is None or self.keep == "last":
            return True
        return preference(row, self.monitor) > preference(best, self.monitor)

    def _print(self, row: Mapping[str, float], best: bool, seconds: float) -> None:
        width = len(str(self.epochs))
        text = (
            f"epoch {row['epoch']:{width}d}/{self.epochs}  "
            f"loss {row['loss']:.4f}  accuracy {100 * row['accuracy']:5.1f} %"
        )
        if "val_loss" in row:
            text += f"  |  validation {row['val_loss']:.4f}  {100 * row['val_accuracy']:5.1f} %"
        text += f"  |  rate {row['learning_rate']:.2g}  {seconds:.0f} s"
        if best and self.keep == "best":
            text += "  best so far"
        terminal.line(text)


def _learning_rate(optimizer: keras.Optimizer) -> float:
    """Rate of the next step; of a MultiOptimizer, the rate of the variables it does not name."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # float16's loss scaling
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        optimizer = optimizer.optimizers[-1]  # its default comes last
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _save_model(model: keras.Model, path: Path) -> None:
    with models.without_optimizer(model), atomic_path(path) as temporary:
        model.save(temporary)


def _write_history(
    run: Path, history: list[dict[str, float]], name: str = "history.csv"
) -> pd.DataFrame:
    frame = pd.DataFrame(history)
    frame = frame[[name for name in HISTORY if name in frame]]
    write_csv(run / name, frame)
    return frame
