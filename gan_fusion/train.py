"""Train one row of the paper, from the data set's folder to a result page.

python -m gan_fusion.train --preset T11-fusion-trad --data-dir D
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from common import config as configuration
from common import errors, papers, terminal
from common.config import Request
from gan_fusion.config import AUGMENTATIONS, OWN_WAY, PRESETS, Config, TrainExecution, leaks

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from common.augment import Augmenter
    from common.images import Pixels
    from common.runs import Run
    from gan_fusion.data import Generated


def main() -> None:
    """Read the command line and train."""
    train(
        configuration.parse(
            Config,
            PRESETS,
            package="gan_fusion",
            description="Train a classifier on BreakHis or BACH or, with --demo, on synthetic "
            "tissue.",
            execution_class=TrainExecution,
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
        `gan_fusion.config.TrainExecution`, such as ``epochs=3, data_dir="/data"``.

    Returns
    -------
    Run
        Finished; the same call finds it again.
    """
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import backend, lifecycle, material
    from gan_fusion import data

    request = configuration.request(
        Config, PRESETS, config,
        package="gan_fusion", execution_class=TrainExecution, **settings,
    )  # fmt: skip
    asked = request.config
    if request.execution.images is None:  # before the images are looked for, which takes time
        data.require_generated(cast(TrainExecution, request.execution).gan_images, asked)
    found = material.gather(request, functools.partial(data.card, asked), data.load_index)
    request = found.request
    config = chosen = request.config
    execution = cast(TrainExecution, request.execution)
    if found.own and execution.gan_images is None and not {"gan", "preset"} & request.asked:
        terminal.line("no --gan-images: trained without generated images (--gan none)")
    else:
        data.require_generated(execution.gan_images, config)
    generated = None
    if execution.gan_images is not None:
        generated = data.read_generated(execution.gan_images, config, found.card)
    pixels = data.load_pixels(
        found.index, generated, config, found.data_dir, execution.cache_dir,
        skip_bad=execution.skip_bad, meanwhile=backend.load,
    )  # fmt: skip
    index = found.checked(found.index, pixels)
    split = found.split(index, lambda index: data.make_split(index, chosen, execution))
    if generated is not None:
        data.require_same_training(generated, split, config)
    own_way = generated is not None and config.gan in OWN_WAY
    request = with_generated(request, generated)
    config = request.config

    return lifecycle.complete(
        "gan_fusion", request, found.card, found.data_dir, index, pixels,
        material=found,
        draw=lambda: (split, data.make_samples(split, generated)),
        fit=functools.partial(fit, config, pixels, workers=execution.workers),
        leaks=replace(found, request=request).leaks(
            functools.partial(leaks, listed=execution.patients is not None, own_way=own_way)
        ),
        more_data=data.more_data(None if found.own else execution.patients, generated),
        facts={} if generated is None else {"generated": generated.describe()},
    )  # fmt: skip


def with_generated(
    request: configuration.Request[Config], generated: Generated | None
) -> configuration.Request[Config]:
    """Let the config say what was generated in fact: a row wants its own GAN and its own number.

    Parameters
    ----------
    request : Request
    generated : Generated or None
        The generated images that are trained on.
    """
    gan, number = ("none", 0) if generated is None else (generated.gan, len(generated.table))
    config = replace(request.config, gan=gan, generated=number)
    if config == request.config:
        return request
    if config.dataset == "own":
        return replace(request, config=config)
    asked = request.preset.removesuffix("-changed")
    name = configuration.preset_name(config, PRESETS, asked if asked in PRESETS else None)
    return replace(request, config=config, preset=name)


def augmenter(config: Config) -> Augmenter:
    """Give the random transform of the training images.

    Parameters
    ----------
    config : Config
    """
    from common.augment import Augmenter

    return Augmenter(**AUGMENTATIONS[config.augmentation])


def fit(
    config: Config,
    pixels: Pixels,
    run: Run,
    split: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    workers: int = 0,
) -> tuple[keras.Model, Pixels]:
    """Train until the validation loss stops falling.

    Parameters
    ----------
    config : Config
    pixels : Pixels
        The decoded images, generated ones included.
    run : Run
        Notes the layers for Grad-CAM.
    split : DataFrame
        Whose test images `gan_fusion.lengths` judges; the samples say all else.
    samples : DataFrame
        What is trained and validated on (`gan_fusion.data.make_samples`).
    workers : int
        Threads that prepare batches.

    Returns
    -------
    model : keras.Model
        Of the epoch with the lowest validation loss.
    judged : Pixels
        The images it is judged on, the same.
    """
    from common import training
    from common.backend import keras
    from common.pipeline import batches
    from gan_fusion import lengths
    from gan_fusion.model import build_model, gradcam_layers

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    model = build_model(config)
    run.note(gradcam_layers=gradcam_layers(config))
    if config.augmentation == "printed":
        terminal.line(
            "augmentation as printed: zoom 2 draws factors from -1 to 3, which mirror the image or "
            "shrink it to a third (G24); those within 0.05 of zero are left out. "
            "--augmentation sane draws from 0.8 to 1.2"
        )
    history = training.trained(run.path)
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
        metrics=[training.accuracy()],
    )
    epochs, callbacks = config.epochs, []
    if validation is not None:
        callbacks = [training.EarlyStopping(history, config.patience)]
        if training.exhausted([row["val_loss"] for row in history], config.patience):
            epochs = len(history)  # killed after its last epoch
    fitted = training.fit(
        model,
        train,
        validation,
        run,
        epochs,
        keep="last" if config.select_on == "last" else "best",
        monitor="loss",
        callbacks=callbacks,
        lengths=lengths.tried(config),
    )
    lengths.write(run, model, fitted, split, pixels, config.batch_size)
    stopped = len(fitted.history)
    if stopped < config.epochs:
        terminal.line(
            f"stopped after epoch {stopped} of {config.epochs}: {config.patience} epochs "
            "without a lower validation loss"
        )
    return model, pixels


papers.callable_module(__name__)

if __name__ == "__main__":
    errors.main(main)
