"""Train one row of the paper, from the data set's folder to a result page.

python -m her2scoring.train --stain he --classes 4 --data-dir D
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import config as configuration
from common import errors
from her2scoring.config import PRESETS, Config, leaks

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from common.images import Pixels
    from common.runs import Run


def main() -> None:
    """Read the command line and train."""
    request = configuration.parse(
        Config,
        PRESETS,
        package="her2scoring",
        description="Train a HER2 score classifier on BCI or, with --demo, on synthetic tissue.",
    )
    train(request)


def train(request: configuration.Request[Config]) -> Run:
    """Index, split, cache, train, predict, evaluate, report; resume what a killed run began."""
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import backend, evaluation, images, report, runs, splits
    from common.datasets import bci, synthetic
    from her2scoring import data

    config, execution = request.config, request.execution
    data_dir = execution.data_dir
    if data_dir is None and request.preset.startswith("demo"):
        data_dir = synthetic.demo(execution.runs_dir, "bci")
    index = data.load_index(config, data_dir)
    pixels = images.cached(
        data_dir,
        index.image,
        config.image_size,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
        skip_bad=execution.skip_bad,
    )
    index = pixels.kept(index)
    index = data.keep_tissue(index, pixels, config.min_tissue)
    split = data.make_split(index, config, execution)

    record = runs.describe(
        "her2scoring", request, bci, index, leaks=leaks(config), skipped=pixels.skipped
    )
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=pixels) as run:
        if not run.finished:
            backend.load()
            from common import evidence

            splits.write(split, run.path / "split.csv")
            model = fit(config, split, pixels, run, workers=execution.workers)
            evaluation.predict_run(run, model, split, pixels, config.batch_size)
            evaluation.evaluate_run(run.path)
            evidence.collect(run, model, split, pixels, data_dir)
            run.record_environment()
            report.write(run.path)
            run.finish()
    print(evaluation.summary(evaluation.read_metrics(run)))
    print(run.closing_words())
    return run


def fit(
    config: Config, split: pd.DataFrame, pixels: Pixels, run: Run, *, workers: int = 0
) -> keras.Model:
    """Train on the split's training part; return the model of the chosen epoch."""
    import keras

    from common import samples, training
    from common.augment import Augmenter
    from common.pipeline import batches
    from her2scoring import data
    from her2scoring.model import build_model, crossentropy

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    model = build_model(config)
    classes = run.record["classes"]
    train = batches(
        samples.plain(split, "train"),
        pixels,
        classes,
        batch_size=config.batch_size,
        shuffle=True,
        seed=config.seed,
        augmenter=Augmenter(
            horizontal_flip=config.horizontal_flip,
            vertical_flip=config.vertical_flip,
            width_shift_range=config.shift,
            height_shift_range=config.shift,
            fill_mode=config.fill_mode,
        ),
        initial_epoch=training.trained_epochs(run.path),
        workers=workers,
    )
    part = "test" if config.select_on == "test" else "validation"
    watched = batches(
        samples.plain(split, part),
        pixels,
        classes,
        batch_size=config.batch_size,
        workers=workers,
    )
    # 1e-4 for epochs 1-15, 1e-5 for 16-30 (III.C).
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [config.drop_epoch * len(train) - 1],
        [config.learning_rate, config.learning_rate * config.drop_factor],
    )
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=crossentropy(data.class_weights(split, config, classes)),
        metrics=["accuracy"],
    )
    training.fit(
        model,
        train,
        watched,
        run.path,
        config.epochs,
        keep="last" if config.select_on == "last" else "best",
    )
    return model


if __name__ == "__main__":
    errors.main(main)
