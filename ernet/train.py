"""Train one row of the paper, from the data set's folder to a result page.

python -m ernet.train --data-dir D --network ernet50 --fold 0 --split patient
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import errors, papers
from common.config import Request
from ernet.config import PRESETS, Config, check, leaks

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
            package="ernet",
            description="Train a classifier on BreakHis or, with --demo, on synthetic tissue.",
        )
    )


def train(config: Config | Request[Config] | None = None, **settings: Any) -> Run:
    """Index, split, samples, stains, fit; then predictions, metrics, report. Resumes a killed run.

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
    from common import backend, images, lifecycle, material
    from common.datasets import breakhis
    from ernet import data

    request = configuration.request(Config, PRESETS, config, package="ernet", **settings)
    check(request.config)
    execution = request.execution
    found = material.gather(request, breakhis, data.load_index)
    request, config, data_dir = found.request, found.request.config, found.data_dir
    decode = functools.partial(
        images.cached,
        data_dir,
        size=config.image_size,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
    )
    raw = decode(found.index.image, skip_bad=execution.skip_bad, meanwhile=backend.load)
    index = found.checked(found.index, raw)

    def draw() -> tuple[pd.DataFrame, pd.DataFrame]:
        split = found.split(index, lambda index: data.make_split(index, config, execution))
        return split, data.make_samples(split)

    def fit_stained(
        run: Run, split: pd.DataFrame, samples: pd.DataFrame
    ) -> tuple[keras.Model, Pixels]:
        trained, judged, facts = data.normalise_stains(split, raw, config, data_dir, decode)
        run.note(**facts)
        return fit(config, samples, trained, judged, run, workers=execution.workers), judged

    return lifecycle.complete(
        "ernet", request, found.card, data_dir, index, raw,
        material=found,
        draw=draw,
        fit=fit_stained,
        leaks=found.leaks(leaks),
    )  # fmt: skip


def augmenter(config: Config) -> Augmenter:
    """Give the random transform of the training images.

    Parameters
    ----------
    config : Config
    """
    from common.augment import Augmenter

    # A crop of the side c at a random place is a zoom by c and a shift by up to (1 - c) / 2.
    shift = config.shift + (1 - config.crop) / 2
    return Augmenter(
        rotation_range=config.rotation,
        width_shift_range=shift,
        height_shift_range=shift,
        zoom_range=(config.crop * (1 - config.zoom), config.crop * (1 + config.zoom)),
        horizontal_flip=config.horizontal_flip,
        vertical_flip=config.vertical_flip,
    )


def fit(
    config: Config,
    samples: pd.DataFrame,
    trained: Pixels,
    judged: Pixels,
    run: Run,
    *,
    workers: int = 0,
) -> keras.Model:
    """Train on the training samples; return the model of the best validation epoch.

    Parameters
    ----------
    config : Config
    samples : DataFrame
        What is trained and validated on (`ernet.data.make_samples`).
    trained, judged : Pixels
        The images that are trained on, and those that are validated on.
    run : Run
        Notes the layers for Grad-CAM.
    workers : int
        Threads that prepare batches.
    """
    from common import training
    from common.backend import keras
    from common.pipeline import batches
    from ernet.model import build_model, gradcam_layers

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    run.note(gradcam_layers=gradcam_layers(config))
    model = build_model(config)
    shared: dict[str, Any] = {"batch_size": config.batch_size, "workers": workers}
    classes = run.record["classes"]
    train = batches(
        samples[samples.part == "train"],
        trained,
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
        validation = batches(samples[samples.part == "validation"], judged, classes, **shared)
    model.compile(
        optimizer=keras.optimizers.Adam(
            config.learning_rate,
            beta_1=config.beta_1,
            beta_2=config.beta_2,
            epsilon=config.epsilon,
        ),
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
    )
    return model


papers.callable_module(__name__)

if __name__ == "__main__":
    errors.main(main)
