"""Pre-train the wide residual network on any folder of images, one sub-folder per class.

python -m wrn_edge.pretrain --data-dir FOLDER [--image-size 64 --stem strided]
python -m wrn_edge.train --weights runs/wrn_edge_pretrain/.../model.keras --stem strided ...

No weights of WRN-28-2 on ImageNet were ever published (W10). What this command writes stands in for
them: ``FOLDER/<class>/.../*.png`` may be ImageNet itself or anything smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common import config as configuration
from common import errors, notices, terminal
from common.config import ASSUMED, MixedPrecision, ResizeFilter, hp
from common.errors import InputError
from common.files import read_table

if TYPE_CHECKING:
    import pandas as pd

    from common.images import Pixels
    from common.runs import Run

PACKAGE = "wrn_edge_pretrain"
"""Name of the folder below --runs-dir; no table reads it."""

_AUTHORS = ASSUMED + "not mentioned; the WRN authors' value"
_LAYOUT = "one sub-folder per class with its images in it: FOLDER/<class>/.../*.png"
HELD_OUT = "validation"


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of the pre-training, of which the paper says nothing but 'ImageNet'."""

    image_size: int = hp(224, "side of the input, px; images are squeezed to it", "3, 4", low=32)
    resize_filter: ResizeFilter = hp(
        "area", "filter from the images' own size down", ASSUMED + "not mentioned"
    )
    held_out: float = hp(
        0.1,
        "share of every class that is not trained on and measures the result",
        ASSUMED + "not mentioned",
        low=0.01,
        high=0.9,
    )
    depth: Literal[10, 16, 22, 28, 40] = hp(
        28, "convolutions along the trunk, 6 n + 4", "abstract, 3"
    )
    width: int = hp(2, "widening factor", "abstract, 3", low=1)
    stem: Literal["cifar", "strided", "pooled", "patch"] = hp(
        "cifar", "first layers, see wrn_edge.train", ASSUMED + "the CIFAR network, unchanged"
    )
    bn_momentum: float = hp(0.9, "of BatchNorm's moving statistics", _AUTHORS, low=0, high=0.999)
    learning_rate: float = hp(
        0.1, "of SGD with Nesterov momentum 0.9, falling to 0 by a cosine", _AUTHORS, low=0
    )
    l2: float = hp(
        2.5e-4,
        "times the sum of squares of every kernel, added to the loss",
        _AUTHORS + ": weight decay 5e-4 is twice this",
        low=0,
    )
    shift: float = hp(
        0.125, "largest random shift, share of the side; reflected", _AUTHORS, low=0, high=1
    )
    horizontal_flip: bool = hp(True, "random flips while training", _AUTHORS)
    epochs: int = hp(100, "passes over the training images", ASSUMED + "not mentioned", low=1)
    batch_size: int = hp(128, "images per step", _AUTHORS, low=1)
    seed: int = hp(42, "of split, initialisation, order and augmentation", "4", low=0)
    mixed_precision: MixedPrecision = hp(
        "off", "number format of the layers", ASSUMED + "not mentioned"
    )
    deterministic: bool = hp(
        True, "same command, same weights; slower on a GPU", ASSUMED + "not mentioned"
    )


@dataclass(frozen=True)
class Folders:
    """Where images and results lie. Nothing here can change the weights."""

    data_dir: Path | None = hp(
        None, "folder with one sub-folder of images per class; unset: HISTOPAPERS_DATA", ""
    )
    images: Path | None = hp(
        None, "instead: a CSV with the columns image and label, or such a folder", ""
    )
    runs_dir: Path = hp(Path("runs"), "folder for run folders", "")
    cache_dir: Path | None = hp(
        None, "folder for decoded images; unset: HISTOPAPERS_CACHE or the user's cache folder", ""
    )
    workers: int = hp(1, "threads that prepare batches", "")
    skip_bad: bool = hp(False, "leave out images that cannot be used, instead of stopping", "")
    fresh: bool = hp(False, "delete what an earlier run of the same config left, start anew", "")


def main() -> None:
    """Read the command line and pre-train."""
    request = configuration.parse(
        PretrainConfig,
        {},
        package="wrn_edge",
        module="pretrain",
        execution_class=Folders,
        description="Pre-train WRN on a folder with one sub-folder of images per class. The "
        "model.keras it writes is what `python -m wrn_edge.train --weights` takes.",
    )
    pretrain(request)


def pretrain(request: configuration.Request[PretrainConfig]) -> Run:
    """Index, split, cache, train; resume what a killed run began.

    Parameters
    ----------
    request : Request
        Its execution is `Folders`.

    Returns
    -------
    Run
        Finished; `model.keras` in it is what `wrn_edge.train` starts from.
    """
    from common import backend, datasets, images, runs, splits
    from common.datasets import own

    config, execution = request.config, request.execution
    if execution.images is not None:
        listed = own.read(execution.images, data_dir=execution.data_dir)
        own.card(listed)  # which says what is wrong with its classes
        data_dir, index = listed.root, listed.table
    else:
        data_dir = _require_folder(execution.data_dir)
        index = load_index(data_dir)
    pixels = images.cached(
        data_dir,
        index.image,
        config.image_size,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
        skip_bad=execution.skip_bad,
        meanwhile=backend.load,
    )
    index = pixels.kept(index)
    classes = sorted(index.label.unique())
    split = splits.by_image(
        index, test=config.held_out, validation=0, seed=config.seed, stratify=True
    )
    # The held-out part watches the training and chooses nothing: the last epoch is kept.
    split["part"] = split.part.replace("test", HELD_OUT)
    missing = sorted(set(classes) - set(split.label[split.part == "train"]))
    if missing:
        raise InputError(f"class {missing[0]}: all its images are held out; give it more images")
    record = {
        "package": PACKAGE,
        "preset": request.preset,
        "config": configuration.to_dict(config),
        "sources": configuration.sources(config),
        "data": datasets.index_hash(index),
        "weights": "none",
        "dataset": data_dir.name,
        "classes": classes,
        "n_images": len(index),
        "skipped": [{"image": image, "reason": reason} for image, reason in pixels.skipped],
        "synthetic": bool(index.synthetic.any()),
        "command": request.command,
    }
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=pixels) as run:
        if not run.finished:
            backend.load()
            run.note_machine()
            runs.settle(run, split)
            fit(config, split, pixels, run, workers=execution.workers)
            run.record_environment()
            run.finish()
    terminal.out(summary(run, split))
    return run


def _require_folder(data_dir: Path | None) -> Path:
    from common import datasets

    root, origin = datasets.resolved(data_dir)
    if root is None:
        raise InputError(f"no folder of images is given: --data-dir FOLDER, {_LAYOUT}")
    if not root.is_dir():
        raise InputError(f"{root} ({origin}): no such folder; give {_LAYOUT}")
    return root


def load_index(data_dir: Path | None) -> pd.DataFrame:
    """Index a folder of images, one sub-folder per class, at any depth below it.

    Parameters
    ----------
    data_dir : path, optional
        The folder.

    Returns
    -------
    DataFrame
        The columns of `common.datasets.COLUMNS`, sorted by `image`; `label` is the sub-folder.

    Raises
    ------
    InputError
        If there is no folder, fewer than two classes, or a class without images.
    """
    import pandas as pd

    from common import datasets

    data_dir = _require_folder(data_dir)
    files, folders = datasets.scan(data_dir)
    classes = sorted(folder for folder in folders if "/" not in folder)
    if len(classes) < 2:
        found = f"has {len(classes)} sub-folder" + ("s" if not classes else f", {classes[0]}")
        raise InputError(f"{data_dir}: {found}; pre-training needs two classes or more, {_LAYOUT}")
    rows = [
        {
            "image": file.path,
            "bytes": file.entry.stat().st_size,
            "label": file.path.split("/")[0],
            "synthetic": file.marked,
        }
        for file in files
        if "/" in file.path and datasets.looks_like_image(file.name)
    ]
    empty = sorted(set(classes) - {row["label"] for row in rows})
    if empty:
        raise InputError(
            f"{data_dir / empty[0]}: no image in this class; fill or remove its folder"
        )
    index = pd.DataFrame(rows)
    for name in datasets.COLUMNS:
        if name not in index:
            index[name] = ""
    return index[list(datasets.COLUMNS)].assign(type=index.label)


def fit(
    config: PretrainConfig, split: pd.DataFrame, pixels: Pixels, run: Run, *, workers: int = 0
) -> None:
    """Train on the training images and keep the last epoch.

    Parameters
    ----------
    config : PretrainConfig
    split : DataFrame
        Parts "train" and `HELD_OUT`.
    pixels : Pixels
    run : Run
        Its folder gets `model.keras` and the checkpoints.
    workers : int
        Threads that prepare batches.
    """
    from common import samples, training
    from common.augment import Augmenter
    from common.backend import keras
    from common.pipeline import batches
    from wrn_edge.model import wide_resnet

    training.set_seed(
        config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
    )
    classes = run.record["classes"]
    model = wide_resnet(
        config.image_size,
        len(classes),
        depth=config.depth,
        width=config.width,
        stem=config.stem,
        l2=config.l2,
        bn_momentum=config.bn_momentum,
    )
    shared: dict[str, Any] = {"batch_size": config.batch_size, "workers": workers}
    train = batches(
        samples.plain(split, "train"),
        pixels,
        classes,
        shuffle=True,
        seed=config.seed,
        augmenter=Augmenter(
            width_shift_range=config.shift,
            height_shift_range=config.shift,
            horizontal_flip=config.horizontal_flip,
            fill_mode="reflect",
        ),
        initial_epoch=training.trained_epochs(run.path),
        **shared,
    )
    held_out = batches(samples.plain(split, HELD_OUT), pixels, classes, **shared)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * len(train))
    model.compile(
        optimizer=keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        loss="categorical_crossentropy",
        metrics=[training.accuracy()],
    )
    training.fit(model, train, held_out, run, config.epochs, keep="last")


def summary(run: Run, split: pd.DataFrame) -> str:
    """Say how good the features are, and how to use them.

    Parameters
    ----------
    run : Run
        Finished.
    split : DataFrame
        Tells how many images were held out, and of which classes.
    """
    from common.metrics import clopper_pearson

    held_out = split[split.part == HELD_OUT]
    n = len(held_out)
    accuracy = read_table(run.path / "history.csv", ("val_accuracy",)).val_accuracy.iloc[-1]
    k = round(float(accuracy) * n)
    low, high = clopper_pearson(k, n)
    most = held_out.label.value_counts().max()
    config = run.config
    lines = [
        *([notices.SYNTHETIC_MODEL] if run.synthetic else []),
        f"held-out accuracy  {100 * k / n:.2f} %  ({k}/{n}), 95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f} %, {len(run.record['classes'])} classes",
        f"largest class      {100 * most / n:.2f} %  ({most}/{n})",
        f"weights            {run.path / 'model.keras'}",
        "fine-tune with     python -m wrn_edge.train --weights "
        f"{run.path / 'model.keras'} --depth {config['depth']} --width {config['width']} "
        f"--stem {config['stem']}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    errors.main(main)
