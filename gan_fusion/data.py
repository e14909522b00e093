"""BreakHis or BACH images as they are trained on: samples, and the GAN's beside the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from common import datasets, images, samples
from common.errors import InputError
from common.files import file_hash
from gan_fusion.gan import folder as generated_folder
from gan_fusion.gan.config import OWN_WAY
from gan_fusion.gan.folder import Generated
from gan_fusion.parts import card, load_index, make_split, training_hash

if TYPE_CHECKING:
    from common.datasets import Card
    from gan_fusion.config import Config

__all__ = [
    "card",
    "load_generated",
    "load_index",
    "load_pixels",
    "make_samples",
    "make_split",
    "more_data",
    "read_generated",
    "require_generated",
    "require_same_training",
    "training_hash",
]

# The real images' paths never begin so: data sets name their folders otherwise.
_PREFIX = "generated/"


def more_data(patients: Path | None, generated: Generated | None = None) -> str:
    """Hash of what makes another run of the same images; "" without any.

    Parameters
    ----------
    patients : path, optional
        The list of patients.
    generated : Generated, optional
        Images that are trained on as well.
    """
    found = [] if patients is None else [file_hash(patients)]
    found += [] if generated is None else [generated.sha256]
    return " ".join(found)


# --- generated images --------------------------------------------------------------------------


def require_generated(folder: Path | None, config: Config) -> None:
    """Refuse a config that wants generated images when no folder with them is given.

    Parameters
    ----------
    folder : path, optional
        What --gan-images names.
    config : Config
        `gan` is "none" where no such images are wanted.

    Raises
    ------
    InputError
        Saying how they are made.
    """
    if folder is None and config.gan != "none":
        raise InputError(
            f"this config trains on {config.generated or 'the'} images of the GAN {config.gan} as "
            "well: train it (python -m gan_fusion.train_gan), generate the images (python -m "
            "gan_fusion.generate) and give their folder with --gan-images; or leave them out with "
            "--gan none"
        )


def load_generated(folder: str | Path, split: pd.DataFrame, config: Config) -> Generated:
    """Read the images that `python -m gan_fusion.generate` wrote, for a classifier of this split.

    Parameters
    ----------
    folder : path
    split : DataFrame
        The split that the classifier uses.
    config : Config
        Names the data set.

    Raises
    ------
    InputError
        As `read_generated` and `require_same_training`.
    """
    generated = read_generated(folder, config)
    require_same_training(generated, split, config)
    return generated


def read_generated(folder: str | Path, config: Config, of: Card | None = None) -> Generated:
    """Read a folder of generated images, of this data set and its classes.

    Parameters
    ----------
    folder : path
        See `gan_fusion.gan.folder`.
    config : Config
        Names the data set.
    of : Card, optional
        That data set, where it is the user's own.

    Raises
    ------
    InputError
        If the folder holds no generated images, the generation did not finish, an image is
        missing, a row is not marked as synthetic, or the images belong to another data set or to
        other classes.
    """
    generated = generated_folder.read(Path(folder))
    of = of or card(config)
    if generated.record["dataset"] != of.NAME:
        raise InputError(
            f"{folder}: generated from {generated.record['dataset']}, the run uses "
            f"{of.NAME}; give --gan-images a folder made from a GAN of {of.NAME}"
        )
    known = of.CLASSES[config.classes]
    unknown = sorted(set(generated.table["label"]) - set(known))
    if unknown:
        raise InputError(
            f"{generated.folder / generated_folder.INDEX}: class {', '.join(unknown)} is none of "
            f"{', '.join(known)}"
        )
    return generated


def require_same_training(generated: Generated, split: pd.DataFrame, config: Config) -> None:
    """Refuse images of a GAN that saw more or less than a split's training part.

    Parameters
    ----------
    generated : Generated
    split : DataFrame
        The split that the classifier uses.
    config : Config
        One that asks for the paper's own way by the GAN's name takes the images of that GAN alone,
        which saw all images of the split.

    Raises
    ------
    InputError
        Since the GAN may have seen images that are tested on here.
    """
    own_way = config.gan in OWN_WAY
    wanted = split.assign(part="train") if own_way else split
    theirs, mine = generated.record["training_hash"], training_hash(wanted)
    if theirs == mine:
        return
    if own_way:
        raise InputError(
            f"{generated.folder}: {config.gan} is wanted, which trains on all images "
            "(--train-on all) of the same data; these images come from another GAN"
        )
    raise InputError(
        f"{generated.folder}: the GAN was trained on another training part ({theirs[:10]}, "
        f"this split has {mine[:10]}), which may hold images that are tested on here; train "
        "the GAN with the same --split, --split-seed and data"
    )


def _check_size(generated: Generated, config: Config) -> None:
    first = generated.folder / generated.table["image"].iloc[0]
    side = min(images.read(first).shape[:2])
    if side < config.image_size:
        # Enlarged, they would differ from real images by their blur, and by nothing better.
        raise InputError(
            f"{first}: generated at {side} px, smaller than the network's input of "
            f"{config.image_size} px; train a GAN of larger images, or give --image-size {side}"
        )


# --- what is trained on ------------------------------------------------------------------------


def make_samples(split: pd.DataFrame, generated: Generated | None) -> pd.DataFrame:
    """List what is trained and validated on: real images, then the GAN's, in training only.

    Parameters
    ----------
    split : DataFrame
        Columns image, case, label, part.
    generated : Generated or None

    Returns
    -------
    DataFrame
        Columns image, op, args, label, part, case, synthetic. Generated images have the operation
        "synthetic", no case, and synthetic true.
    """
    cases = dict(zip(split["image"], split["case"], strict=True))
    tables = []
    for part in ("train", "validation"):
        if part == "train" or (split["part"] == part).any():  # a file's split need not validate
            real = samples.plain(split, part)
            tables.append(real.assign(part=part, case=real["image"].map(cases), synthetic=False))
    if generated is not None:
        made = pd.DataFrame({"image": _PREFIX + generated.table["image"]})
        made = made.assign(op="synthetic", args="", label=generated.table["label"])
        tables.insert(1, made.assign(part="train", case="", synthetic=True))
    return pd.concat(tables, ignore_index=True)


def load_pixels(
    index: pd.DataFrame,
    generated: Generated | None,
    config: Config,
    data_dir: Path | None,
    cache_dir: Path | None,
    *,
    skip_bad: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> images.Pixels:
    """Decode real and generated images to the input's size, under the names that samples use.

    Parameters
    ----------
    index : DataFrame
        The real images.
    generated : Generated or None
    config : Config
        `dataset`, `image_size`, `resize_filter`.
    data_dir, cache_dir : path
        See `common.images.cached`.
    skip_bad : bool
        Leave out real images that cannot be used; the result's `skipped` names them.
    meanwhile : callable, optional
        See `common.images.cached`.

    Returns
    -------
    Pixels
        Real images under the index' names, generated ones under the samples'.

    Raises
    ------
    InputError
        As `common.images.cached`; also if the generated images are smaller than the input, or one
        of them cannot be used.
    """
    files = {name: name for name in index["image"]}  # and the name that samples use
    if generated is not None:
        _check_size(generated, config)
        folder = generated.folder.resolve()
        files |= {str(folder / name): _PREFIX + name for name in generated.table["image"]}
    pixels = images.cached(
        Path(data_dir or "")
        if config.dataset == "own"
        else datasets.data_folder(card(config), data_dir),
        list(files),
        config.image_size,
        filter=config.resize_filter,
        cache_dir=cache_dir,
        skip_bad=skip_bad,
        meanwhile=meanwhile,
    )
    damaged = [file for file, _ in pixels.skipped if files[file].startswith(_PREFIX)]
    if damaged:
        raise InputError(
            f"{len(damaged)} generated images cannot be used: {datasets.listed(damaged)}; "
            "generate them again"
        )
    return pixels.renamed([files[file] for file in pixels.images])
