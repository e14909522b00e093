"""Train one row of the paper, from the data set's folder to a result page.

python -m breakhis.train --data-dir D --classes 2 --network resnet50 --split patient
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from breakhis.config import PRESETS, Config, leaks
from common import config as configuration
from common import errors, papers
from common.config import Request

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
            package="breakhis",
            description="Train a classifier on BreakHis or, with --demo, on synthetic tissue.",
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
        Finished; the same call finds it again.
    """
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from breakhis import data
    from common import backend, images, lifecycle, material
    from common.datasets import breakhis

    request = configuration.request(Config, PRESETS, config, package="breakhis", **settings)
    execution = request.execution
    found = material.gather(request, breakhis, data.load_index)
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
    index = found.checked(found.index, pixels)

    def draw() -> tuple[pd.DataFrame, pd.DataFrame]:
        split = found.split(index, lambda index: data.make_split(index, config, execution))
        samples, split = data.make_samples(split, config)
        return split, samples

    return lifecycle.complete(
        "breakhis", request, found.card, found.data_dir, index, pixels,
        material=found,
        draw=draw,
        fit=functools.partial(fit, config, pixels, workers=execution.workers),
        leaks=found.leaks(leaks),
    )  # fmt: skip


def augmenter(config: Config) -> Augmenter:
    """Give the random transform of the training images.

    Parameters
    ----------
    config : Config
    """
    from common.augment import Augmenter

    return Augmenter(horizontal_flip=config.horizontal_flip, vertical_flip=config.vertical_flip)


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
        The decoded images.
    run : Run
        Notes the z-score's statistics.
    split : DataFrame
        Says whose statistics these are.
    samples : DataFrame
        What is trained and validated on (`breakhis.data.make_samples`).
    workers : int
        Threads that prepare batches.

    Returns
    -------
    model : keras.Model
        Of the best validation epoch.
    judged : Pixels
        The images it is judged on, the same.
    """
    from breakhis import data
    from breakhis.model import AdamL2, build_model
    from common import normalise, training
    from common.backend import keras
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
    shared: dict[str, Any] = {"batch_size": config.batch_size, "workers": workers}
    classes = run.record["classes"]
    train = batches(
        samples[samples.part == "train"],
        pixels,
        classes,
        shuffle=True,
        seed=config.seed,
        augmenter=augmenter(config),
        stain_augmentation=config.stain_augmentation,
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
        history = training.trained(run.path)
        callbacks = [training.Plateau(history, config.learning_rate, config.learning_rate_end)]
    model.compile(
        optimizer=AdamL2(rate, l2=config.weight_decay, epsilon=config.epsilon),
        loss="categorical_crossentropy",
        metrics=[training.accuracy()],
    )
    training.fit(
        model,
        train,
        validation,
        run,
        config.epochs,
        keep="last" if config.select_on == "last" else "best",
        monitor=config.monitor,
        callbacks=callbacks,
    )
    return model, pixels


papers.callable_module(__name__)

if __name__ == "__main__":
    errors.main(main)
