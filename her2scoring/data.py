"""BCI patches for one stain: index, cleaning, split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common import datasets, samples, splits
from common.config import Execution
from common.datasets import bci
from common.errors import InputError
from her2scoring.config import Config


def load_index(config: Config, data_dir: Path | None) -> pd.DataFrame:
    """Index the patches of the stain, labelled with the 3 or 4 classes.

    Parameters
    ----------
    config : Config
    data_dir : path or None
        Where the images lie; None: $HISTOPAPERS_DATA.
    """
    return bci.index(data_dir, stain=config.stain, classes=config.classes)


def keep_tissue(index: pd.DataFrame, pixels: Iterable[np.ndarray], smallest: float) -> pd.DataFrame:
    """Leave out patches whose share of tissue is below `smallest`.

    `common.stain.tissue_share` says what tissue is.

    Parameters
    ----------
    index : DataFrame
    pixels : iterable of (H, W, 3) uint8
        RGB, in the order of `index`.
    smallest : float
        0 to 1; 0 keeps all.
    """
    if smallest == 0:
        return index
    from common import stain

    share = np.array([stain.tissue_share(image) for image in pixels])
    kept = index[share >= smallest].reset_index(drop=True)
    if kept.empty:
        raise InputError(f"--min-tissue {smallest}: no patch has that much tissue; lower it")
    return kept


def make_split(index: pd.DataFrame, config: Config, execution: Execution) -> pd.DataFrame:
    """Assign every patch to train, validation or test.

    Parameters
    ----------
    index : DataFrame
    config : Config
        Which split, its shares and its seed.
    execution : Execution
        Files that hold a split.
    """
    match config.split:
        case "official":
            return splits.official(index, validation=config.validation, seed=config.split_seed)
        case "image":
            return splits.by_image(
                index,
                test=config.test,
                validation=config.validation,
                seed=config.split_seed,
                stratify=True,
            )
        case "file":
            return splits.from_file(index, execution.split_file)
        case "patient":
            if not (index["case"] != "").any():
                raise datasets.no_patients(bci)
            return splits.by_group(
                index, test=config.test, validation=config.validation, seed=config.split_seed
            )


def make_samples(split: pd.DataFrame, config: Config) -> pd.DataFrame:
    """List what is trained on, and what chooses the epoch: every patch as it is.

    Parameters
    ----------
    split : DataFrame
    config : Config
        ``select_on="test"`` watches the test part, as the paper does (H06).

    Returns
    -------
    DataFrame
        Columns image, op, args, label, part.
    """
    watched = "test" if config.select_on == "test" else "validation"
    both = [samples.plain(split, part).assign(part=part) for part in ("train", watched)]
    return pd.concat(both, ignore_index=True)


def class_weights(split: pd.DataFrame, config: Config, classes: Sequence[str]) -> np.ndarray | None:
    """Weights n / (classes x n of the class) of the training part; None when they are not used.

    Parameters
    ----------
    split : DataFrame
    config : Config
    classes : sequence of str
        In the order of the network's outputs.
    """
    if config.class_weights == "none":
        return None
    labels = split.label[split.part == "train"]
    counts = np.array([(labels == name).sum() for name in classes])
    return np.where(counts > 0, len(labels) / (len(classes) * np.maximum(counts, 1)), 0.0)
