"""What reaches the model in a training of a few batches, on whichever backend Keras has.

Run by itself, on a backend of its own: ``KERAS_BACKEND=jax python tests/epoch_draws.py``.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from common import training
from common.augment import Augmenter
from common.pipeline import Batches

BATCH, SIDE, EPOCHS = 4, 8, 3
CLASSES = ("even", "odd")


def make(count: int, **options) -> Batches:
    pixels = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    labels = [CLASSES[i % 2] for i in range(count)]
    augmenter = Augmenter(rotation_range=20, width_shift_range=0.2, horizontal_flip=True)
    return Batches(
        pixels, np.arange(count), labels, CLASSES,
        batch_size=BATCH, seed=5, shuffle=True, augmenter=augmenter, **options,
    )  # fmt: skip


def weights() -> np.ndarray:
    return np.random.default_rng(1).random((SIDE, SIDE, 3)).astype(np.float32) / 1000


def expected(batches: int, epochs: range) -> list[list[float]]:
    """Mean weighted sum of each batch's pixels, one row per epoch, without Keras."""
    rows = []
    for epoch in epochs:
        found = make(batches * BATCH, initial_epoch=epoch)
        rows.append(
            [float((found[i][0] * weights()).sum((1, 2, 3)).mean()) for i in range(batches)]
        )
    return rows


def seen(
    run: Path, batches: int, workers: int, epochs: int, initial_epoch: int
) -> list[list[float]]:
    """The same, as the loss of a model that only sums."""
    inputs = keras.Input((SIDE, SIDE, 3))
    layer = keras.layers.Dense(1, use_bias=False)
    model = keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))
    layer.set_weights([weights().reshape(-1, 1)])
    model.compile(
        keras.optimizers.SGD(0.0),
        loss=lambda y_true, y_pred: y_pred[:, 0],
        metrics=[training.accuracy()],
        run_eagerly=True,  # compiling would take longer than these few steps
    )
    means = []

    class Means(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            means.append(float(logs["loss"]))

    train = make(batches * BATCH, workers=workers, initial_epoch=initial_epoch)
    with contextlib.redirect_stderr(io.StringIO()):
        training.fit(model, train, None, run, epochs, keep="last", callbacks=[Means()])
    # Keras gives the mean since the epoch's begin.
    sums = np.array(means).reshape(-1, batches) * np.arange(1, batches + 1)
    return np.diff(sums, axis=1, prepend=0).tolist()


def all_cases(threads: tuple[int, ...] = (1, 2)) -> list[dict]:
    """Trainings of 1, 2, 3 and 5 batches, with one thread or two, whole and resumed."""
    found = []
    for batches, workers in itertools.product((1, 2, 3, 5), threads):
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder)
            found.append(
                {
                    "batches": batches,
                    "workers": workers,
                    "whole": seen(runs / "whole", batches, workers, EPOCHS, 0),
                    "first": seen(runs / "parts", batches, workers, 1, 0),
                    "rest": seen(runs / "parts", batches, workers, EPOCHS, 1),
                }
            )
    return found


def check(cases: list[dict]) -> None:
    assert {case["batches"] for case in cases} == {1, 2, 3, 5}
    for case in cases:
        name = f"{case['batches']} batches, {case['workers']} workers"
        wanted = expected(case["batches"], range(EPOCHS))
        for what, rows in (("whole", wanted), ("first", wanted[:1]), ("rest", wanted[1:])):
            np.testing.assert_allclose(case[what], rows, rtol=1e-4, err_msg=f"{name}, {what}")


if __name__ == "__main__":
    json.dump(all_cases(), sys.stdout)
