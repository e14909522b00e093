"""Seeds, fitting and exact resume.

`fit` takes a compiled model: optimizer, loss and schedule belong to the paper. A training that is
killed, at any moment, goes on from its last whole epoch and ends with the same predictions.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from common import evaluation
from common.errors import InputError
from common.files import atomic_path, write_csv

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


def set_seed(seed: int, *, deterministic: bool = True, mixed_precision: str = "off") -> None:
    """Seed Python, NumPy and the backend; choose deterministic kernels and the number format.

    Parameters
    ----------
    seed : int
    deterministic : bool
        The same command gives the same bytes. Free on a CPU, slower on a GPU.
    mixed_precision : {"off", "bfloat16", "float16"}
    """
    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_dtype_policy(
        "float32" if mixed_precision == "off" else f"mixed_{mixed_precision}"
    )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if deterministic:
            tf.config.experimental.enable_op_determinism()


def trained_epochs(run: str | Path) -> int:
    """Count the whole epochs that the checkpoint in a run folder holds; 0 when there is none."""
    found = Checkpoint(Path(run) / "checkpoint", {}).newest()
    return found[1]["epoch"] if found else 0


def fit(
    model: keras.Model,
    train: keras.utils.PyDataset,
    validation: keras.utils.PyDataset | None,
    run: str | Path,
    epochs: int,
    *,
    keep: Literal["best", "last"] = "best",
    monitor: Literal["accuracy", "loss"] = "accuracy",
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Train `model` up to `epochs`, or on from where a killed run stopped.

    Writes `history.csv`, `checkpoint/` and, at the end, `model.keras`; the model is left with the
    weights that `model.keras` holds.

    Parameters
    ----------
    model : keras.Model
        Compiled, with an accuracy metric named "accuracy".
    train, validation : PyDataset
        Batches of (images, one-hot labels). If `train` has a method `start`, as
        `common.pipeline.Batches` has, each epoch begins with ``train.start(epoch)``, counted from
        0; another must have been made to begin with epoch `trained_epochs(run)`.
    run : path
        The run folder.
    epochs : int
        Total number of epochs.
    keep : {"best", "last"}
        Which epoch's weights are kept: the best on `validation`, or the last.
    monitor : {"accuracy", "loss"}
        What "best" means. Ties in accuracy go to the lower loss, then to the earlier epoch.
    callbacks : sequence of keras.callbacks.Callback
        Outputs such as TensorBoard. State that matters does not belong there: it is not resumed.

    Returns
    -------
    history : pandas.DataFrame
        One row per epoch, columns `HISTORY`.

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
    run = Path(run)
    model.optimizer.build(model.trainable_variables)
    checkpoint = Checkpoint(
        run / "checkpoint", {"model": model.variables, "optimizer": model.optimizer.variables}
    )
    state = checkpoint.restore() or {"epoch": 0, "best": None, "history": []}
    start = state["epoch"]
    if start:
        print(f"resuming after epoch {start} of {epochs}", file=sys.stderr)
        # A run that was killed between the two has an epoch more in the checkpoint.
        _write_history(run, state["history"])
    recorder = _Recorder(run, checkpoint, state, epochs, keep, monitor, train)
    if start < epochs:
        try:
            model.fit(
                train,
                epochs=epochs,
                initial_epoch=start,
                validation_data=validation,
                shuffle=False,  # the batches shuffle themselves, by seed and epoch
                verbose=0,
                callbacks=[*callbacks, recorder],
            )
        except KeyboardInterrupt:
            done = trained_epochs(run)  # on disk: the interruption may have come while saving
            print(
                f"\ninterrupted; {done} of {epochs} epochs are saved in {run}\n"
                f"the same command goes on from there",
                file=sys.stderr,
            )
            raise
    best = recorder.state["best"]
    source = checkpoint.folder / best["file"]
    with atomic_path(run / "model.keras") as temporary:
        shutil.copyfile(source, temporary)
    model.set_weights(keras.saving.load_model(source, compile=False).get_weights())
    return _write_history(run, recorder.state["history"])


class Checkpoint:
    """State of a training that can go on exactly, in two generations.

    Works with or without `fit`: a loop of its own saves whatever variables it names.

    Parameters
    ----------
    folder : path
    variables : mapping of str to sequence of keras.Variable
        All that changes while training. `model.variables` holds weights, moving statistics and
        the states of seed generators (Dropout); `optimizer.variables` the moments and the step.
    """

    def __init__(self, folder: str | Path, variables: Mapping[str, Sequence[Any]]):
        self.folder = Path(folder)
        self.variables = variables

    def save(self, epoch: int, meta: Mapping[str, Any], files: Iterable[str] = ()) -> None:
        """Write the state after `epoch`; states before the previous one are deleted.

        Parameters
        ----------
        epoch : int
            Whole epochs (or steps) done.
        meta : mapping
            What else must be known to go on; JSON.
        files : iterable of str
            Names of files in the folder that this state refers to.
        """
        arrays = {
            f"{group}/{i}": variable.numpy()  # also of a variable that several devices mirror
            for group, variables in self.variables.items()
            for i, variable in enumerate(variables)
        }
        record = {**meta, "epoch": epoch, "files": list(files)}
        text = np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)
        with atomic_path(self.folder / f"state-{epoch:06d}.npz") as temporary:
            np.savez(temporary, meta=text, **arrays)
        states = self._states()
        for old in states[2:]:
            old.unlink()
        used = {name for state in states[:2] for name in self._meta(state).get("files", ())}
        for file in self.folder.glob("best-*.keras"):
            if file.name not in used:
                file.unlink()

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Newest state that is whole, and what it says; a cut one is named and passed over."""
        states = self._states()
        for state in states:
            meta = self._meta(state)
            if meta and all(_is_whole(self.folder / name) for name in meta["files"]):
                return state, meta
            instead = "starting anew" if state is states[-1] else "using the state before it"
            print(f"{state}: damaged, or a file beside it; {instead}", file=sys.stderr)
        return None

    def restore(self) -> dict[str, Any] | None:
        """Set the variables to the newest whole state; None when there is none.

        Raises
        ------
        InputError
            If the state belongs to another model.
        """
        found = self.newest()
        if found is None:
            return None
        path, meta = found
        with np.load(path) as arrays:
            try:
                whole = all(
                    self._assign(group, variables, arrays)
                    for group, variables in self.variables.items()
                )
            except ValueError:  # objects, which NumPy would have to unpickle
                whole = False
        if not whole:
            raise InputError(
                f"{path}: holds the state of another model (another version of Keras?); "
                f"start anew with --fresh"
            )
        return meta

    @staticmethod
    def _assign(group: str, variables: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> bool:
        """Set a group of variables; False if the arrays are not theirs."""
        names = [f"{group}/{i}" for i in range(len(variables))]
        if sum(name.startswith(f"{group}/") for name in arrays) != len(names):
            return False
        pairs = list(zip(names, variables, strict=True))
        if any(arrays[name].shape != tuple(variable.shape) for name, variable in pairs):
            return False
        for name, variable in pairs:
            variable.assign(arrays[name])
        return True

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("state-*.npz"), reverse=True)

    @staticmethod
    def _meta(path: Path) -> dict[str, Any]:
        """Read a state's record after checking every byte; {} when it is damaged."""
        if not _is_whole(path):
            return {}
        try:
            with np.load(path) as arrays:
                return json.loads(arrays["meta"].tobytes())
        except (OSError, ValueError, KeyError, EOFError):
            return {}


def _is_whole(path: Path) -> bool:
    """Whether every byte of a zip archive (.npz, .keras) is as it was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError):
        return False


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
    ):
        super().__init__()
        self.run = run
        self.checkpoint = checkpoint
        self.state = state
        self.epochs = epochs
        self.keep = keep
        self.monitor = monitor
        self.train = train
        self.live = sys.stderr.isatty()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Named here and not counted by the batches: Keras' own passes before the first epoch differ
        # between backends.
        if hasattr(self.train, "start"):
            self.train.start(epoch)
        self.began = self.shown = time.monotonic()
        # The rate of the epoch's first step: after its last one a schedule has moved on.
        self.rate = _learning_rate(self.model.optimizer)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.monotonic()
        if self.live and now - self.shown > 0.5:
            self.shown = now
            left = (now - self.began) / (batch + 1) * (len(self.train) - batch - 1)
            print(
                f"\r  step {batch + 1} of {len(self.train)}, {left:.0f} s left \x1b[K",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        seconds = time.monotonic() - self.began
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in (logs or {}).items()}}
        row["learning_rate"] = self.rate
        broken = [name for name, value in row.items() if not math.isfinite(value)]
        if broken:
            saved = self.state["epoch"]
            kept = f"the state after epoch {saved} is kept in {self.run}"
            what = broken[0].replace("val_", "validation ").replace("_", " ")
            raise InputError(
                f"the {what} became {row[broken[0]]} in epoch {epoch + 1}; "
                f"{kept if saved else 'no epoch before it is saved'}; try a smaller --learning-rate"
            )
        best = self._is_best(row)
        history = [*self.state["history"], row]
        if best:
            name = f"best-{epoch + 1:06d}.keras"
            _save_model(self.model, self.checkpoint.folder / name)
            record = {"file": name, **row}
        else:
            record = self.state["best"]
        self.state = {"epoch": epoch + 1, "best": record, "history": history}
        self.checkpoint.save(
            epoch + 1, {"best": record, "history": history}, files=[record["file"]]
        )
        _write_history(self.run, history)
        self._print(row, best, seconds)

    def _is_best(self, row: Mapping[str, float]) -> bool:
        best = self.state["best"]
        if best is None or self.keep == "last":
            return True
        preference = evaluation.preference
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
        print(("\r\x1b[K" if self.live else "") + text, file=sys.stderr, flush=True)


def _learning_rate(optimizer: keras.Optimizer) -> float:
    """Rate of the next step; of a MultiOptimizer, the rate of the variables it does not name."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # float16's loss scaling
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        optimizer = optimizer.optimizers[-1]  # its default comes last
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _save_model(model: keras.Model, path: Path) -> None:
    """Write a model without its optimizer, whose moments would triple the file."""
    optimizer = model.optimizer
    model.optimizer, model.compiled = None, False
    try:
        with atomic_path(path) as temporary:
            model.save(temporary)
    finally:
        model.optimizer, model.compiled = optimizer, True


def _write_history(run: Path, history: list[dict[str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(history)
    frame = frame[[name for name in HISTORY if name in frame]]
    write_csv(run / "history.csv", frame)
    return frame
