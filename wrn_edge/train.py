"""Train one row of the paper, from the data set's folder to a result page.

python -m wrn_edge.train --data-dir D --magnification 200X --split patient
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import errors, papers
from common.config import Request
from wrn_edge.config import PRESETS, Config, leaks

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
            package="wrn_edge",
            description="Train WRN-28-2 on one magnification of BreakHis or, with --demo, on "
            "synthetic tissue.",
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
    from common import backend, images, lifecycle, material
    from common.datasets import breakhis
    from wrn_edge import data

    request = configuration.request(Config, PRESETS, config, package="wrn_edge", **settings)
    execution = request.execution
    if request.config.weights == "imagenet":
        raise errors.InputError(
            "--weights imagenet: no ImageNet weights of a wide residual network of this size were "
            "ever published; give none, or the model.keras that python -m wrn_edge.pretrain makes"
        )
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
    split = found.split(index, lambda index: data.make_split(index, config, execution))

    return lifecycle.complete(
        "wrn_edge", request, found.card, found.data_dir, index, pixels,
        material=found,
        draw=lambda: (split, data.make_samples(split, config, pixels)),
        fit=functools.partial(fit, config, pixels, workers=execution.workers),
        leaks=[*found.leaks(leaks), *data.pretraining_leaks(config, split)],
        expected_images=(
            None if found.own else breakhis.expected_images((config.magnification,))
        ),
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
        The decoded images.
    run : Run
        Notes the layers for Grad-CAM.
    split : DataFrame
        Not needed here: the samples say all.
    samples : DataFrame
        What is trained and validated on (`wrn_edge.data.make_samples`).
    workers : int
        Threads that prepare batches.

    Returns
    -------
    model : keras.Model
        Of the last or of the best epoch.
    judged : Pixels
        The images it is judged on, the same.
    """
    from common import training
    from common.pipeline import batches
    from wrn_edge.model import build_model, gradcam_layers, optimizer

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    model = build_model(config)
    run.note(gradcam_layers=gradcam_layers(config))
    shared: dict[str, Any] = {"batch_size": config.batch_size, "workers": workers}
    classes = run.record["classes"]
    train = batches(
        samples[samples.part == "train"],
        pixels,
        classes,
        shuffle=True,
        seed=config.seed,
        stain_augmentation=config.stain_augmentation,
        initial_epoch=training.trained_epochs(run.path),
        **shared,
    )
    validation = None
    if (samples.part == "validation").any():
        validation = batches(samples[samples.part == "validation"], pixels, classes, **shared)
    model.compile(
        optimizer=optimizer(config), loss="categorical_crossentropy", metrics=[training.accuracy()]
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
    return model, pixels


papers.callable_module(__name__)

if __name__ == "__main__":
    errors.main(main)
