"""Train one row of the paper, from the data set's folder to a result page.

python -m her2scoring.train --stain he --classes 4 --data-dir D
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import errors, papers
from common.config import Request
from her2scoring.config import PRESETS, Config, leaks

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from common.augment import Augmenter
    from common.images import Pixels
    from common.runs import Run


def main() -> None:
    """Read the command line and train."""
    train(
        configuration.parse(
            Config,
            PRESETS,
            package="her2scoring",
            description="Train a HER2 score classifier on BCI or, with --demo, on synthetic "
            "tissue.",
        )
    )


def train(config: Config | Request[Config] | None = None, **settings: Any) -> Run:
    """Index, split, samples, fit; then predictions, metrics, report. Resumes a killed run.

    Parameters
    ----------
    config : Config or Request, optional
        The paper's settings; unset, its main row, or the one that `preset` names.
    **settings : object
        ``preset=``, and what differs from it: fields of `Config` and of
        `common.config.Execution`, such as ``epochs=3, data_dir="/data"``.

    Returns
    -------
    Run
        Finished; the same call finds it again. With ``select_on="test"`` the run whose epoch was
        chosen on validation images is made of the same training, and lies beside it.
    """
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import backend, images, lifecycle, material
    from common.datasets import bci
    from her2scoring import data

    request = configuration.request(Config, PRESETS, config, package="her2scoring", **settings)
    execution = request.execution
    if request.config.stain_augmentation and request.config.stain == "ihc":
        raise errors.InputError(
            "--stain-augmentation: is for H&E; give --stain he, or leave it out"
        )
    found = material.gather(request, bci, data.load_index)
    request, config = found.request, found.request.config
    pixels = images.cached(
        found.data_dir,
        found.index.image,
        config.image_size,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
        skip_bad=execution.skip_bad,
        meanwhile=backend.load,
    )
    index = data.keep_tissue(found.checked(found.index, pixels), pixels, config.min_tissue)

    def complete(request: Request[Config], fit: Callable[..., tuple[keras.Model, Pixels]]) -> Run:
        asked = request.config

        def draw() -> tuple[pd.DataFrame, pd.DataFrame]:
            split = found.split(index, lambda index: data.make_split(index, asked, execution))
            return split, data.make_samples(split, asked)

        return lifecycle.complete(
            "her2scoring", request, found.card, found.data_dir, index, pixels,
            material=found,
            draw=draw,
            fit=functools.partial(fit, asked, pixels, workers=execution.workers),
            leaks=replace(found, request=request).leaks(
                functools.partial(leaks, own=found.own)
            ),
        )  # fmt: skip

    run = complete(request, fit)
    if run.record.get("second_epoch") is not None:
        # One training, two runs: as printed, and as the row has it.
        complete(sibling(request), functools.partial(adopt, run))
    return run


def adopt(
    other: Run,
    config: Config,
    pixels: Pixels,
    run: Run,
    split: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    workers: int = 0,
) -> tuple[keras.Model, Pixels]:
    """Take the epoch that another run's training kept for this one; without it, train.

    Parameters
    ----------
    other : Run
        Its training had this run's validation images beside its test images.
    config, pixels, run, split, samples, workers
        As `fit` takes them.

    Returns
    -------
    model : keras.Model
        Of the chosen epoch.
    judged : Pixels
        The patches it is judged on, the same.
    """
    from common import training
    from her2scoring.model import build_model

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    model = build_model(config)
    if training.adopt(model, run, other) is None:
        return fit(config, pixels, run, split, samples, workers=workers)
    return model, pixels


def sibling(request: Request[Config]) -> Request[Config]:
    """The same with an epoch chosen on validation images.

    Parameters
    ----------
    request : Request
        With ``select_on="test"``.
    """
    config = replace(request.config, select_on="validation")
    asked = request.preset.removesuffix("-changed").removesuffix("-as-printed")
    name = configuration.preset_name(config, PRESETS, asked if asked in PRESETS else None)
    execution = replace(request.execution, name=None)  # a name is one run's
    command = f"{request.command} --select-on validation"
    return replace(request, config=config, execution=execution, preset=name, command=command)


def augmenter(config: Config) -> Augmenter:
    """Give the random transform of the training images.

    Parameters
    ----------
    config : Config
    """
    from common.augment import Augmenter

    return Augmenter(
        horizontal_flip=config.horizontal_flip,
        vertical_flip=config.vertical_flip,
        width_shift_range=config.shift,
        height_shift_range=config.shift,
        fill_mode=config.fill_mode,
    )


def fit(
    config: Config,
    pixels: Pixels,
    run: Run,
    split: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    workers: int = 0,
) -> tuple[keras.Model, Pixels]:
    """Train on the training samples.

    Parameters
    ----------
    config : Config
    pixels : Pixels
        The decoded patches.
    run : Run
    split : DataFrame
        Its training part gives the class weights.
    samples : DataFrame
        What is trained on, and what chooses the epoch (`her2scoring.data.make_samples`).
    workers : int
        Threads that prepare batches.

    Returns
    -------
    model : keras.Model
        Of the chosen epoch.
    judged : Pixels
        The patches it is judged on, the same.
    """
    from common import training
    from common.backend import keras
    from common.pipeline import batches
    from common.samples import plain
    from her2scoring import data
    from her2scoring.model import build_model, crossentropy

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    model = build_model(config)
    classes = run.record["classes"]
    train = batches(
        samples[samples.part == "train"],
        pixels,
        classes,
        batch_size=config.batch_size,
        shuffle=True,
        seed=config.seed,
        augmenter=augmenter(config),
        stain_augmentation=config.stain_augmentation,
        initial_epoch=training.trained_epochs(run.path),
        workers=workers,
    )
    shared: dict[str, Any] = {"batch_size": config.batch_size, "workers": workers}
    watched = batches(samples[samples.part != "train"], pixels, classes, **shared)
    second = None
    if config.select_on == "test" and (split.part == "validation").any():
        second = batches(plain(split, "validation"), pixels, classes, **shared)
    # 1e-4 for epochs 1-15, 1e-5 for 16-30 (III.C).
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [config.drop_epoch * len(train) - 1],
        [config.learning_rate, config.learning_rate * config.drop_factor],
    )
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=crossentropy(data.class_weights(split, config, classes)),
        metrics=[training.accuracy()],
    )
    training.fit(
        model,
        train,
        watched,
        run,
        config.epochs,
        keep="last" if config.select_on == "last" else "best",
        second=second,
    )
    return model, pixels


papers.callable_module(__name__)

if __name__ == "__main__":
    errors.main(main)
