"""BreakHis images of one magnification: index, split, and the fourfold training samples."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common import samples, splits
from common.datasets import breakhis
from common.files import expanded, read_table
from wrn_edge.config import Config

if TYPE_CHECKING:
    from common.config import Execution
    from common.images import Pixels


def load_index(config: Config, data_dir: Path | None) -> pd.DataFrame:
    """Index the images of the chosen magnification, labelled benign or malignant.

    Parameters
    ----------
    config : Config
        `magnification`.
    data_dir : path, optional
        See `common.datasets.data_folder`.
    """
    return breakhis.index(data_dir, classes=config.classes, magnifications=(config.magnification,))


def make_split(index: pd.DataFrame, config: Config, execution: Execution) -> pd.DataFrame:
    """Assign every image to train, validation or test; the seed governs both draws (W12).

    Parameters
    ----------
    index : DataFrame
        From `load_index`.
    config : Config
        `split`, `test`, `validation`, `seed`, `stratify`, `group`.
    execution : Execution
        `split_file`, for the split of that name.

    Returns
    -------
    DataFrame
        The index with a column `part`.
    """
    shares: dict[str, Any] = {
        "test": config.test, "validation": config.validation, "seed": config.seed,
    }  # fmt: skip
    match config.split:
        case "image":
            return splits.by_image(index, stratify=config.stratify, **shares)
        case "patient":
            return splits.by_group(index, group=config.group, **shares)
        case "file":
            return splits.from_file(index, execution.split_file)


def pretraining_leaks(config: Config, split: pd.DataFrame) -> list[str]:
    """Say whether the starting weights have seen test images.

    `wrn_edge.pretrain` and `wrn_edge.train` leave a split.csv beside their model.keras.

    Parameters
    ----------
    config : Config
        `weights`: "none" or a file.
    split : DataFrame
        Columns image, part.

    Returns
    -------
    list of str
        A sentence with the number of test images, or nothing.
    """
    seen = expanded(config.weights).parent / "split.csv"
    if config.weights == "none" or not seen.is_file():
        return []
    before = read_table(seen, ("image", "part"))
    known = set(before.image[before.part == "train"].str.rpartition("/")[2])
    test = split.image[split.part == "test"].str.rpartition("/")[2]
    count = int(test.isin(known).sum())
    if not count:
        return []
    return [f"the starting weights were trained on {count} of the {len(test)} test images"]


def make_samples(split: pd.DataFrame, config: Config, pixels: Pixels) -> pd.DataFrame:
    """List what is trained and validated on.

    `augment_when="before"` enlarges the whole data set before it is split, which the paper's order
    of sections suggests: a copy falls to the training set with the same chance as an original,
    whichever image it was made of. The test set is the same unchanged images either way.

    Parameters
    ----------
    split : DataFrame
        Columns image, label, part.
    config : Config
        `augmentation`, `augment_when`, `stain`, `seed`, and the sizes of what `copies` draws.
    pixels : Pixels
        The decoded images, among which the stain target is chosen.

    Returns
    -------
    DataFrame
        Columns image, op, args, label, part.
    """
    train = samples.plain(split, "train")
    validated = (split.part == "validation").any()
    validation = samples.plain(split, "validation") if validated else train[:0]
    if config.augmentation == "fourfold":
        normaliser = stain_normaliser(train.image, config, pixels)
        if config.augment_when == "after":
            copied = copies(train, config, pixels.shape[1], normaliser)
        else:
            everything = samples.plain(split.assign(part="train"))
            copied = copies(everything, config, pixels.shape[1], normaliser)
            drawn = np.random.default_rng(config.seed).random(len(copied))
            copied = copied[drawn < len(train) / len(split)]
        train = pd.concat([train, copied], ignore_index=True)
    return pd.concat(
        [train.assign(part="train"), validation.assign(part="validation")], ignore_index=True
    )


def copies(table: pd.DataFrame, config: Config, size: int, normaliser: str) -> pd.DataFrame:
    """Three copies of every sample: a patch, an affine transform, the stains normalised (2.2).

    What is drawn for an image depends on the seed and its file name alone.

    Parameters
    ----------
    table : DataFrame
        Samples whose images are used as they are.
    config : Config
        `seed`, `patch_side`, `rotation`, `shift`, `scale`, `shear`.
    size : int
        Side of the images in px; shifts are drawn in pixels.
    normaliser : str
        JSON of a fitted normaliser's state, from `stain_normaliser`.

    Returns
    -------
    DataFrame
        Columns image, op, args, label; the three copies of an image follow each other.
    """
    from common.augment import Augmenter

    affine = Augmenter(
        rotation_range=config.rotation,
        width_shift_range=config.shift,
        height_shift_range=config.shift,
        zoom_range=config.scale,
        shear_range=config.shear,
    )
    stain = json.dumps({"normalizer": json.loads(normaliser)})
    rows = []
    for image, label in zip(table.image, table.label, strict=True):
        rng = np.random.default_rng([config.seed, zlib.crc32(os.fsencode(Path(image).name))])
        corner = rng.random(2) * (1 - config.patch_side)
        box = [*corner.round(6).tolist(), *(corner + config.patch_side).round(6).tolist()]
        drawn = affine.draw(rng, (size, size))
        moves = {name: round(drawn[name], 6) for name in ("theta", "tx", "ty", "shear", "zx", "zy")}
        rows += [
            (image, "patch", json.dumps({"box": box}), label),
            (image, "affine", json.dumps(moves), label),
            (image, "stain", stain, label),
        ]
    return pd.DataFrame(rows, columns=list(samples.COLUMNS))


def stain_normaliser(images: pd.Series, config: Config, pixels: Pixels) -> str:
    """Fit the stain normaliser to the training image whose stains are nearest the median.

    Parameters
    ----------
    images : Series of str
        The training images.
    config : Config
        `stain`, the method.
    pixels : Pixels
        In which they are found.

    Returns
    -------
    str
        JSON of its `state()`.
    """
    from common import stain

    names = sorted(images)
    # Macenko's matrices choose the target for every method; Reinhard has none of its own.
    normaliser = stain.METHODS[config.stain]()
    stain.fit_typical(normaliser, None, names, pixels, chooser=stain.MacenkoNormalizer())
    return json.dumps(normaliser.state())
