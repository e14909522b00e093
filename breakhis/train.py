"""Train one row of the paper, from the data set's folder to a result page.

python -m breakhis.train --data-dir D --classes 2 --network resnet50 --split patient
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from breakhis.config import PRESETS, Config, leaks
from common import config as configuration
from common import errors
from common.files import write_csv

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
        package="breakhis",
        description="Train a classifier on BreakHis or, with --demo, on synthetic tissue.",
    )
    train(request)


def train(request: configuration.Request[Config]) -> Run:
    """Index, split, cache, train, predict, evaluate, report; resume what a killed run began."""
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from breakhis import data
    from common import backend, evaluation, images, report, runs, splits
    from common.datasets import breakhis, synthetic

    config, execution = request.config, request.execution
    data_dir = execution.data_dir
    if data_dir is None and request.preset.startswith("demo"):
        data_dir = synthetic.demo(execution.runs_dir, "breakhis")
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
    split = data.make_split(index, config, execution)
    samples, split = data.make_samples(split, config)

    record = runs.describe(
        "breakhis", request, breakhis, index, leaks=leaks(config), skipped=pixels.skipped
    )
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=pixels) as run:
        if not run.finished:
            backend.load()
            from common import evidence

            splits.write(split, run.path / "split.csv")
            write_csv(run.path / "samples.csv", samples)
            model = fit(config, split, samples, pixels, run, workers=execution.workers)
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
    config: Config,
    split: pd.DataFrame,
    samples: pd.DataFrame,
    pixels: Pixels,
    run: Run,
    *,
    workers: int = 0,
) -> keras.Model:
    """Train on the training samples; return the model of the best validation epoch."""
    import keras

    from breakhis import data
    from breakhis.model import AdamL2, Plateau, build_model
    from common import normalise, training
    from common.augment import Augmenter
    from common.pipeline import batches

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    mean = std = None
    if config.normalisation == "dataset":
        rows = pixels.rows(data.statistics_images(split, config))
        mean, std = normalise.rgb_statistics(pixels, rows)
        run.note(rgb_mean=mean, rgb_std=std)
    model = build_model(config, mean, std)
    shared = {"batch_size": config.batch_size, "workers": workers}
    classes = run.record["classes"]
    train = batches(
        samples[samples.part == "train"],
        pixels,
        classes,
        shuffle=True,
        seed=config.seed,
        augmenter=Augmenter(
            horizontal_flip=config.horizontal_flip, vertical_flip=config.vertical_flip
        ),
        initial_epoch=training.trained_epochs(run.path),
        **shared,
    )
    validation = None
    if (samples.part == "validation").any():
        validation = batches(samples[samples.part == "validation"], pixels, classes, **shared)
    rate, callbacks = config.learning_rate, []
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            config.learning_rate,
            config.epochs * len(train),
            alpha=config.learning_rate_end / config.learning_rate,
        )
    elif config.schedule == "plateau":
        callbacks = [Plateau(run.path, config.learning_rate, config.learning_rate_end)]
    model.compile(
        optimizer=AdamL2(rate, l2=config.weight_decay, epsilon=config.epsilon),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    training.fit(
        model,
        train,
        validation,
        run.path,
        config.epochs,
        keep="last" if config.select_on == "last" else "best",
        monitor=config.monitor,
        callbacks=callbacks,
    )
    return model


if __name__ == "__main__":
    errors.main(main)
