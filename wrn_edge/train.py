"""Train one row of the paper, from the data set's folder to a result page.

python -m wrn_edge.train --data-dir D --magnification 200X --split patient
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import config as configuration
from common import errors
from common.files import write_csv
from wrn_edge.config import PRESETS, Config, leaks

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
        package="wrn_edge",
        description="Train WRN-28-2 on one magnification of BreakHis or, with --demo, on synthetic "
        "tissue.",
    )
    train(request)


def train(request: configuration.Request[Config]) -> Run:
    """Index, split, cache, train, predict, evaluate, report; resume what a killed run began."""
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import backend, evaluation, images, report, runs, splits
    from common.datasets import breakhis, synthetic
    from wrn_edge import data

    config, execution = request.config, request.execution
    if config.weights == "imagenet":
        raise errors.InputError(
            "--weights imagenet: no ImageNet weights of a wide residual network of this size were "
            "ever published; give none, or the model.keras that python -m wrn_edge.pretrain makes"
        )
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
    samples = data.make_samples(split, config, pixels)

    record = runs.describe(
        "wrn_edge",
        request,
        breakhis,
        index,
        leaks=[*leaks(config), *data.pretraining_leaks(config, split)],
        skipped=pixels.skipped,
    )
    record["expected_images"] = breakhis.expected_images((config.magnification,))
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


def fit(
    config: Config, samples: pd.DataFrame, pixels: Pixels, run: Run, *, workers: int = 0
) -> keras.Model:
    """Train on the training samples; return the model of the last or of the best epoch."""
    from common import training
    from common.pipeline import batches
    from wrn_edge.model import build_model, gradcam_layers, optimizer

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    model = build_model(config)
    run.note(gradcam_layers=gradcam_layers(config))
    shared = {"batch_size": config.batch_size, "workers": workers}
    classes = run.record["classes"]
    train = batches(
        samples[samples.part == "train"],
        pixels,
        classes,
        shuffle=True,
        seed=config.seed,
        initial_epoch=training.trained_epochs(run.path),
        **shared,
    )
    validation = None
    if (samples.part == "validation").any():
        validation = batches(samples[samples.part == "validation"], pixels, classes, **shared)
    model.compile(
        optimizer=optimizer(config), loss="categorical_crossentropy", metrics=["accuracy"]
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
