"""Train one row of the paper, from the data set's folder to a result page.

python -m her2scoring.train --stain he --classes 4 --data-dir D
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import errors, papers
from common.config import Request
from her2scoring.config import PRESETS, Config, leaks

if TYPE_CHECKING:
    import keras
    import pandas as pd

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
        Finished; the same call finds it again.
    """
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import images, lifecycle
    from common.datasets import bci
    from her2scoring import data

    request = configuration.request(Config, PRESETS, config, package="her2scoring", **settings)
    config, execution = request.config, request.execution
    data_dir = lifecycle.data_folder(request, bci)
    index = data.load_index(config, data_dir)
    pixels = images.cached(
        data_dir,
        index.image,
        config.image_size,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
        skip_bad=execution.skip_bad,
    )
    index = data.keep_tissue(pixels.kept(index), pixels, config.min_tissue)

    def draw() -> tuple[pd.DataFrame, pd.DataFrame]:
        split = data.make_split(index, config, execution)
        return split, data.make_samples(split, config)

    return lifecycle.complete(
        "her2scoring", request, bci, data_dir, index, pixels,
        draw=draw,
        fit=functools.partial(fit, config, pixels, workers=execution.workers),
        leaks=leaks(config),
    )  # fmt: skip


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
    from common.augment import Augmenter
    from common.backend import keras
    from common.pipeline import batches
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
    watched = batches(
        samples[samples.part != "train"],
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
        run,
        config.epochs,
        keep="last" if config.select_on == "last" else "best",
    )
    return model, pixels


papers.callable_module(__name__)

if __name__ == "__main__":
    errors.main(main)
