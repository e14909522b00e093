"""Train one row of the paper, from the data set's folder to a result page.

python -m gan_fusion.train --preset T11-fusion-trad --data-dir D
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from common import config as configuration
from common import errors
from common.files import write_csv
from gan_fusion.config import AUGMENTATIONS, PRESETS, Config, TrainExecution, leaks

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from common.images import Pixels
    from common.runs import Run
    from gan_fusion.data import Generated


def main() -> None:
    """Read the command line and train."""
    request = configuration.parse(
        Config,
        PRESETS,
        package="gan_fusion",
        description="Train a classifier on BreakHis or BACH or, with --demo, on synthetic tissue.",
        execution_class=TrainExecution,
    )
    train(request)


def train(request: configuration.Request[Config]) -> Run:
    """Index, split, cache, train, predict, evaluate, report; resume what a killed run began."""
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import backend, evaluation, report, runs, splits
    from common.datasets import synthetic
    from gan_fusion import data

    config, execution = request.config, request.execution
    data.require_generated(execution.gan_images, config)
    data_dir = execution.data_dir
    if data_dir is None and request.preset.startswith("demo"):
        data_dir = synthetic.demo(execution.runs_dir, config.dataset)
    index = data.load_index(config, data_dir)
    generated = None
    if execution.gan_images is not None:
        generated = data.read_generated(execution.gan_images, config)
    pixels = data.load_pixels(
        index, generated, config, data_dir, execution.cache_dir, skip_bad=execution.skip_bad
    )
    index = pixels.kept(index)
    split = data.make_split(index, config, execution)
    if generated is not None:
        data.require_same_training(generated, split)
    request = with_generated(request, generated)
    config = request.config
    samples = data.make_samples(split, generated)

    card = data.card(config)
    record = runs.describe(
        "gan_fusion", request, card, index, leaks=leaks(config), skipped=pixels.skipped
    )
    if generated is not None:
        # Other generated images make another run.
        both = f"{record['data']} {generated.sha256}"
        record["data"] = hashlib.sha256(both.encode()).hexdigest()
        record["generated"] = generated.describe()
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=pixels) as run:
        if not run.finished:
            backend.load()
            from common import evidence

            splits.write(split, run.path / "split.csv")
            write_csv(run.path / "samples.csv", samples)
            model = fit(config, samples, pixels, run, workers=execution.workers)
            evaluation.predict_run(run, model, split, pixels, config.batch_size)
            evaluation.evaluate_run(run.path)
            evidence.collect(run, model, split, pixels, data_dir)
            run.record_environment()
            report.write(run.path)
            run.finish()
    print(evaluation.summary(evaluation.read_metrics(run)))
    print(run.closing_words())
    return run


def with_generated(
    request: configuration.Request[Config], generated: Generated | None
) -> configuration.Request[Config]:
    """Let the config say what was generated in fact: a row wants its own GAN and its own number."""
    gan, number = ("none", 0) if generated is None else (generated.gan, len(generated.table))
    config = replace(request.config, gan=gan, generated=number)
    if config == request.config:
        return request
    asked = request.preset.removesuffix("-changed")
    name = configuration.preset_name(config, PRESETS, asked if asked in PRESETS else None)
    return replace(request, config=config, preset=name)


def fit(
    config: Config, samples: pd.DataFrame, pixels: Pixels, run: Run, *, workers: int = 0
) -> keras.Model:
    """Train until the validation loss stops falling; return the model of the best epoch."""
    import keras

    from common import training
    from common.augment import Augmenter
    from common.pipeline import batches
    from gan_fusion.model import EarlyStopping, build_model, exhausted, gradcam_layers, trained

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    model = build_model(config)
    run.note(gradcam_layers=gradcam_layers(config))
    if config.augmentation == "printed":
        print(
            "augmentation as printed: zoom 2 draws factors from -1 to 3, which mirror the image or "
            "shrink it to a third (G24); those within 0.05 of zero are left out. "
            "--augmentation sane draws from 0.8 to 1.2",
            file=sys.stderr,
        )
    history = trained(run.path)
    shared = {"batch_size": config.batch_size, "workers": workers}
    classes = run.record["classes"]
    train = batches(
        samples[samples.part == "train"],
        pixels,
        classes,
        shuffle=True,
        seed=config.seed,
        augmenter=Augmenter(**AUGMENTATIONS[config.augmentation]),
        initial_epoch=len(history),
        **shared,
    )
    validation = None
    if (samples.part == "validation").any():
        validation = batches(samples[samples.part == "validation"], pixels, classes, **shared)
    rate = keras.optimizers.schedules.ExponentialDecay(
        config.learning_rate, len(train), config.decay, staircase=True
    )
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        # Of two softmax outputs it equals the printed binary cross-entropy (G23).
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    epochs, callbacks = config.epochs, []
    if validation is not None:
        callbacks = [EarlyStopping(history, config.patience)]
        if exhausted([row["val_loss"] for row in history], config.patience):
            epochs = len(history)  # killed after its last epoch
    table = training.fit(
        model,
        train,
        validation,
        run.path,
        epochs,
        keep="last" if config.select_on == "last" else "best",
        monitor="loss",
        callbacks=callbacks,
    )
    if len(table) < config.epochs:
        print(
            f"stopped after epoch {len(table)} of {config.epochs}: {config.patience} epochs "
            "without a lower validation loss",
            file=sys.stderr,
        )
    return model


if __name__ == "__main__":
    errors.main(main)
