"""Train one row of the paper, from the data set's folder to a result page.

python -m ernet.train --data-dir D --network ernet50 --fold 0 --split patient
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from common import config as configuration
from common import errors
from common.files import write_csv
from ernet.config import PRESETS, Config, check, leaks

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
        package="ernet",
        description="Train a classifier on BreakHis or, with --demo, on synthetic tissue.",
    )
    train(request)


def train(request: configuration.Request[Config]) -> Run:
    """Index, split, cache, train, predict, evaluate, report; resume what a killed run began."""
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import backend, evaluation, images, report, runs, splits
    from common.datasets import breakhis, synthetic
    from ernet import data

    config, execution = request.config, request.execution
    check(config)
    data_dir = execution.data_dir
    if data_dir is None and request.preset.startswith("demo"):
        data_dir = synthetic.demo(execution.runs_dir, "breakhis")
    index = data.load_index(config, data_dir)
    decode = functools.partial(
        images.cached,
        data_dir,
        size=config.image_size,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
    )
    raw = decode(index.image, skip_bad=execution.skip_bad)
    index = raw.kept(index)
    split = data.make_split(index, config, execution)
    samples = data.make_samples(split)
    trained, judged, stain = data.normalise_stains(split, raw, config, data_dir, decode)

    record = runs.describe(
        "ernet", request, breakhis, index, leaks=leaks(config), skipped=raw.skipped
    )
    record["expected_images"] = breakhis.expected_images(config.magnifications)
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=raw) as run:
        if not run.finished:
            backend.load()
            from common import evidence
            from ernet.model import gradcam_layers

            splits.write(split, run.path / "split.csv")
            write_csv(run.path / "samples.csv", samples)
            run.note(gradcam_layers=gradcam_layers(config), **stain)
            model = fit(config, samples, trained, judged, run, workers=execution.workers)
            evaluation.predict_run(run, model, split, judged, config.batch_size)
            evaluation.evaluate_run(run.path)
            evidence.collect(run, model, split, judged, data_dir)
            run.record_environment()
            report.write(run.path)
            run.finish()
    print(evaluation.summary(evaluation.read_metrics(run)))
    print(run.closing_words())
    return run


def fit(
    config: Config,
    samples: pd.DataFrame,
    trained: Pixels,
    judged: Pixels,
    run: Run,
    *,
    workers: int = 0,
) -> keras.Model:
    """Train on the training samples; return the model of the best validation epoch."""
    import keras

    from common import training
    from common.augment import Augmenter
    from common.pipeline import batches
    from ernet.model import build_model

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    model = build_model(config)
    # A crop of the side c at a random place is a zoom by c and a shift by up to (1 - c) / 2.
    shift = config.shift + (1 - config.crop) / 2
    augmenter = Augmenter(
        rotation_range=config.rotation,
        width_shift_range=shift,
        height_shift_range=shift,
        zoom_range=(config.crop * (1 - config.zoom), config.crop * (1 + config.zoom)),
        horizontal_flip=config.horizontal_flip,
        vertical_flip=config.vertical_flip,
    )
    shared = {"batch_size": config.batch_size, "workers": workers}
    classes = run.record["classes"]
    train = batches(
        samples[samples.part == "train"],
        trained,
        classes,
        shuffle=True,
        seed=config.seed,
        augmenter=augmenter,
        initial_epoch=training.trained_epochs(run.path),
        **shared,
    )
    validation = None
    if (samples.part == "validation").any():
        validation = batches(samples[samples.part == "validation"], judged, classes, **shared)
    model.compile(
        optimizer=keras.optimizers.Adam(
            config.learning_rate,
            beta_1=config.beta_1,
            beta_2=config.beta_2,
            epsilon=config.epsilon,
        ),
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
    )
    return model


if __name__ == "__main__":
    errors.main(main)
