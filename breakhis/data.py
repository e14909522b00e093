"""BreakHis images: index, split, and the samples trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from breakhis.config import Config
from common import samples, splits
from common.config import Execution
from common.datasets import breakhis


def load_index(config: Config, data_dir: Path | None) -> pd.DataFrame:
    """Index the images of the chosen magnifications, labelled with the 2 or 8 classes.

    Parameters
    ----------
    config : Config
    data_dir : path or None
        Where the images lie; None: $HISTOPAPERS_DATA.
    """
    return breakhis.index(data_dir, classes=config.classes, magnifications=config.magnifications)


def make_split(index: pd.DataFrame, config: Config, execution: Execution) -> pd.DataFrame:
    """Assign every image to train, validation or test.

    Parameters
    ----------
    index : DataFrame
    config : Config
        Which split, its shares and its seed.
    execution : Execution
        Files that hold a split.
    """
    shares: dict[str, Any] = {
        "test": config.test,
        "validation": config.validation,
        "seed": config.split_seed,
    }
    match config.split:
        case "image":
            return splits.by_image(index, stratify=config.stratify, **shares)
        case "patient":
            return splits.by_group(index, group=config.group, **shares)
        case "official":
            return splits.from_fold_files(
                index,
                execution.fold_files,
                config.fold,
                validation=config.validation,
                seed=config.split_seed,
            )
        case "file":
            return splits.from_file(index, execution.split_file, config.fold)


def make_samples(split: pd.DataFrame, config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List what is trained and validated on.

    `oversample="before"` is the paper's order: the whole 70 % is raised to the largest class and
    validation is drawn from the result, so that it holds copies of training images (B05).

    Parameters
    ----------
    split : DataFrame
    config : Config

    Returns
    -------
    samples : DataFrame
        Columns image, op, args, label, part.
    split : DataFrame
        The split, its validation part as drawn.
    """
    train = samples.plain(split, "train")
    validated = (split.part == "validation").any()  # a file's split need not have them
    validation = samples.plain(split, "validation") if validated else train[:0]
    if config.oversample == "after":
        train = samples.oversample(train, operations=config.oversample_with, seed=config.seed)
    elif config.oversample == "before":
        both = samples.oversample(
            pd.concat([train, validation], ignore_index=True),
            operations=config.oversample_with,
            seed=config.seed,
        )
        validation = both.sample(frac=config.validation, random_state=config.split_seed)
        train = both.drop(index=validation.index)
        drawn = split.image.isin(validation.image[validation.op == "none"])
        part = split.part.where(
            split.part == "test", drawn.map({True: "validation", False: "train"})
        )
        split = split.assign(part=part)
    table = pd.concat(
        [train.assign(part="train"), validation.assign(part="validation")], ignore_index=True
    )
    return table, split


def statistics_images(split: pd.DataFrame, config: Config) -> pd.Series:
    """Names of the images whose mean and std standardise all others.

    Parameters
    ----------
    split : DataFrame
    config : Config
        `statistics_from` says of which parts.
    """
    parts = config.statistics_from.split("+")
    return split.image[split.part.isin(parts)]
