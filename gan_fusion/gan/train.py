"""The training command of the GAN: index, split, cache, train and measure, in one flow."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from common import config as configuration
from common import terminal
from common.config import Request
from common.errors import InputError
from gan_fusion.gan import evaluation
from gan_fusion.gan.config import PRESETS, DataExecution, GanConfig, check_size, leaks
from gan_fusion.gan.draws import central_square
from gan_fusion.gan.loop import Training

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from common.runs import Run

FEWEST = 8
"""Fewest training images: KID compares two halves of them, in two blocks of two."""

NO_CLASSIFIER = (
    "a GAN's run, no classifier's; its scores are in its metrics.json, python -m "
    "gan_fusion.gan.report RUN writes its page, and python -m gan_fusion.generate --run RUN draws "
    "images with it"
)
"""What config.json says under `no_classifier`, to whatever asks for predictions."""


def main() -> None:
    """Read the command line and train."""
    request = configuration.parse(
        GanConfig,
        PRESETS,
        package="gan_fusion",
        module="train_gan",
        description="Train a conditional GAN on BreakHis or BACH or, with --demo, on synthetic "
        "tissue.",
        execution_class=DataExecution,
    )
    train(request)


def train(config: GanConfig | Request[GanConfig] | None = None, **settings: Any) -> Run:
    """Index, split, cache, train and evaluate; resume what a killed run began.

    Parameters
    ----------
    config : GanConfig or Request, optional
        The settings; unset, the paper's main row, or the one that `preset` names.
    **settings : object
        ``preset=``, and what differs from it: fields of `GanConfig` and of
        `gan_fusion.gan.config.DataExecution`, such as ``kimg=8, data_dir="/data"``.

    Returns
    -------
    Run
        Finished; the same call finds it again.
    """
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import acquaintance, backend, images, lifecycle, loggers, material, runs
    from gan_fusion import data
    from gan_fusion.gan import report

    request = configuration.request(
        GanConfig, PRESETS, config,
        package="gan_fusion", module="train_gan", execution_class=DataExecution, **settings,
    )  # fmt: skip
    check_size(request.config.image_size)
    found = material.gather(request, functools.partial(data.card, request.config), data.load_index)
    request, card, data_dir = found.request, found.card, found.data_dir
    config, execution = request.config, cast(DataExecution, request.execution)
    if found.own and "labels" not in request.asked:
        config = replace(config, labels=())
        request = replace(request, config=config)
    classes = chosen_classes(config, card.CLASSES[config.classes])
    index = found.index
    side = round(config.image_size / config.crop)
    pixels = images.cached(
        data_dir,
        index.image,
        side,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
        transform=lambda image: field(image, side, whole=config.crop == 1),
        transform_id=f"{'whole' if config.crop == 1 else 'central square'}, at least {side} px",
        skip_bad=execution.skip_bad,
    )
    index = found.checked(index, pixels)
    split = found.split(index, lambda index: data.make_split(index, config, execution))
    if config.train_on == "all":
        split = split.assign(part="train")
    seen = training_images(split, classes)

    record = runs.describe(
        "gan_fusion",
        request,
        card,
        index,
        leaks=replace(found, request=request).leaks(leaks),
        skipped=pixels.skipped,
        more_data=found.more(index, data.more_data(None if found.own else execution.patients)),
    ) | {
        **found.facts(),
        "kind": "gan",
        "no_classifier": NO_CLASSIFIER,
        "classes": classes,
        "training_hash": data.training_hash(split),
        "n_training": len(seen),
    }
    loggers.require(execution.log)
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=pixels) as run:
        run.log = execution.log
        if run.finished:
            lifecycle.require_whole(run, report.write)
        else:
            backend.load()
            run.note_machine()
            runs.settle(run, split)
            patients = seen.case[seen.case != ""].nunique()
            terminal.line(
                f"{len(seen)} images{f' of {patients} patients' if patients else ''}, "
                f"{', '.join(classes)}, {config.image_size} px, {config.kimg:g} kimg; "
                f"run {run.path}"
            )
            if found.own:
                acquaintance.tell_sizes([data_dir / name for name in seen.image])
            Training(config, seen, pixels, run, images.cache_folder(execution.cache_dir)).run_all()
            run.record_environment()
            report.write(run.path)
            run.finish()
    then = f"\nnext: python -m gan_fusion.generate --run {run.path} --output FOLDER"
    lifecycle.tell(run, then, summary=evaluation.summary)
    return run


def chosen_classes(config: GanConfig, known: Sequence[str]) -> tuple[str, ...]:
    """Classes that the GAN draws, in the data set's order.

    Parameters
    ----------
    config : GanConfig
        `labels`; all classes where it is empty.
    known : sequence of str
        The data set's classes.

    Raises
    ------
    InputError
        For a label that is none of them.
    """
    unknown = [name for name in config.labels if name not in known]
    if unknown:
        raise InputError(
            f"--labels {' '.join(unknown)}: {config.dataset} has the classes {', '.join(known)}"
        )
    return tuple(name for name in known if not config.labels or name in config.labels)


def training_images(split: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Rows of the training part that are of these classes, in the split's order.

    Parameters
    ----------
    split : DataFrame
        Columns label, part.
    classes : sequence of str

    Raises
    ------
    InputError
        If a class has no image there, or all have fewer than `FEWEST`.
    """
    seen = split[(split.part == "train") & split.label.isin(classes)].reset_index(drop=True)
    for name in classes:
        if not (seen.label == name).any():
            raise InputError(
                f"the training part holds no image of class {name}; choose classes that it has "
                "with --labels, or another split"
            )
    if len(seen) < FEWEST:
        raise InputError(
            f"the training part holds {len(seen)} images of {', '.join(classes)}; a GAN needs at "
            f"least {FEWEST}, and hundreds to draw anything"
        )
    return seen


def field(image: np.ndarray, side: int, *, whole: bool) -> np.ndarray:
    """What is squeezed to `side` px: the whole image, or its central square.

    Parameters
    ----------
    image : ndarray (H, W, 3)
    side : int
        px.
    whole : bool

    Raises
    ------
    InputError
        If it would have to be enlarged.
    """
    height, width = image.shape[:2]
    if min(height, width) < side:
        raise InputError(
            f"is {width}x{height} px, smaller than the {side} px that are needed; use a smaller "
            f"--image-size{'' if whole else ' or a larger --crop'}"
        )
    return image if whole else central_square(image)
