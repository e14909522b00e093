"""BreakHis images: index, split, stain normalisation, and the samples trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from common import samples, splits, terminal
from common.config import Execution
from common.datasets import breakhis
from ernet.config import Config

if TYPE_CHECKING:
    from common.images import Pixels


def load_index(config: Config, data_dir: Path | None) -> pd.DataFrame:
    """Index the images of the chosen magnifications, labelled benign or malignant.

    Parameters
    ----------
    config : Config
    data_dir : path or None
        Where the images lie; None: $HISTOPAPERS_DATA.
    """
    return breakhis.index(data_dir, classes=config.classes, magnifications=config.magnifications)


def make_split(index: pd.DataFrame, config: Config, execution: Execution) -> pd.DataFrame:
    """Assign every image to train, validation or test: 70/30, and folds inside the 70 % (4.1).

    The test part is that of `split_seed` and the same for every fold; fold `fold` validates.

    Parameters
    ----------
    index : DataFrame
    config : Config
        Which split, its shares and its seed.
    execution : Execution
        Files that hold a split.
    """
    if config.split == "file":
        return splits.from_file(index, execution.split_file)
    patients = config.split == "patient"
    shares: dict[str, Any] = {"test": config.test, "validation": 0.0, "seed": config.split_seed}
    if patients:
        split = splits.by_group(index, group=config.group, **shares)
    else:
        split = splits.by_image(index, stratify=config.stratify, **shares)
    rest = split[split.part == "train"]
    folds = splits.k_folds(
        rest,
        config.folds,
        seed=config.split_seed,
        group=config.group if patients else None,
        stratify=config.stratify and not patients,
    )
    split.loc[rest.index[folds == config.fold], "part"] = "validation"
    for part in ("train", "validation"):
        labels = set(split.label[split.part == part])
        if len(labels) < config.classes:
            terminal.line(
                f"fold {config.fold}: {part} images are {', '.join(sorted(labels))} only",
                always=True,
            )
    return split


def make_samples(split: pd.DataFrame) -> pd.DataFrame:
    """List what is trained and validated on: every image of the two parts, as it is.

    Parameters
    ----------
    split : DataFrame

    Returns
    -------
    DataFrame
        Columns image, op, args, label, part.
    """
    train = samples.plain(split, "train").assign(part="train")
    if not (split.part == "validation").any():  # a file's split need not have them
        return train
    validation = samples.plain(split, "validation").assign(part="validation")
    return pd.concat([train, validation], ignore_index=True)


def normalise_stains(
    split: pd.DataFrame,
    raw: Pixels,
    config: Config,
    data_dir: Path,
    decode: Callable[..., Pixels],
) -> tuple[Pixels, Pixels, dict[str, Any]]:
    """Give all images the stains of a training image, by Macenko's method (3.1).

    The normaliser sees training images only: its target is the one whose stain matrix is nearest
    the median of theirs, estimated at the input size and then read at its full size. Images are
    normalised at their full size. A fold has a target, and so a cache, of its own.

    Parameters
    ----------
    split : DataFrame
    raw : Pixels
        The images as they are, which hold every image of the split.
    config : Config
    data_dir : path
        Where the target is read.
    decode : callable
        `images.cached` with everything but the images and the transform.

    Returns
    -------
    trained, judged : Pixels
        What is trained on, and what is validated and tested on; the same but for
        ``test_stain="raw"``. Both hold all images.
    facts : dict
        For `config.json`: `stain_target`, the image, and `stain_normalizer`, the fitted
        normaliser's state, which `common.classification` applies to new images.
    """
    from common import stain

    if config.stain == "none":
        return raw, raw, {}
    normalizer = stain.MacenkoNormalizer(white_level=config.white_level)
    names = list(split.image[split.part == "train"])
    facts = {"stain_target": stain.fit_typical(normalizer, data_dir, names, raw)}
    stained = decode(
        split.image, transform=normalizer.transform, transform_id=normalizer.identity()
    )
    if config.test_stain == "raw":
        return stained, raw, facts
    return stained, stained, {**facts, "stain_normalizer": normalizer.state()}
