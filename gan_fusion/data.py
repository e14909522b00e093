"""BreakHis or BACH images: index, split, samples, and the GAN's images beside the real ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd

from common import datasets, images, samples, splits
from common.errors import InputError
from gan_fusion.config import TASK
from gan_fusion.gan import folder as generated_folder
from gan_fusion.gan.folder import Generated

if TYPE_CHECKING:
    from common.config import Execution
    from common.datasets.card import Card
    from gan_fusion.config import Config


COUNTS = {
    "breakhis": {
        "benign": {"train": 1924, "validation": 481, "test": 75},
        "malignant": {"train": 4274, "validation": 1070, "test": 85},
    },
    "bach": {
        name: {"train": 70, "validation": 20, "test": 10}
        for name in ("Normal", "Benign", "InSitu", "Invasive")
    },
}
"""Images per class and part as printed (Table 2)."""

# The real images' paths never begin so: data sets name their folders otherwise.
_PREFIX = "generated/"


class DataSettings(Protocol):
    """What the classifier's Config and the GAN's say of their data, in the same words."""

    @property
    def dataset(self) -> Literal["breakhis", "bach"]:
        """Which data set."""

    @property
    def magnifications(self) -> tuple[str, ...]:
        """Of BreakHis' images, which."""

    @property
    def split(self) -> Literal["counts", "image", "patient", "file"]:
        """How the images are parted."""

    @property
    def group(self) -> Literal["case", "slide", "folder"]:
        """What counts as one patient."""

    @property
    def test(self) -> float:
        """Share of the images."""

    @property
    def validation(self) -> float:
        """Share of the training images."""

    @property
    def split_seed(self) -> int:
        """Of the split."""


def card(config: DataSettings) -> Card:
    """The data set's card, from `common.datasets`.

    Parameters
    ----------
    config : Config or GanConfig
        Names the data set.
    """
    return datasets.get(config.dataset)


def load_index(config: DataSettings, data_dir: Path | None) -> pd.DataFrame:
    """Index the images of the data set, labelled benign/malignant or with BACH's four classes.

    Parameters
    ----------
    config : Config or GanConfig
        `dataset`; of BreakHis, `magnifications`.
    data_dir : path, optional
        See `common.datasets.data_folder`.
    """
    if config.dataset == "bach":
        return card(config).index(data_dir)
    return card(config).index(data_dir, classes=2, magnifications=config.magnifications)


def make_split(index: pd.DataFrame, config: DataSettings, execution: Execution) -> pd.DataFrame:
    """Assign every image to train, validation or test; the GAN and the classifier share it.

    Parameters
    ----------
    index : DataFrame
        From `load_index`.
    config : Config or GanConfig
        `split`, `group`, `test`, `validation`, `split_seed`.
    execution : Execution
        `split_file`, for the split of that name.

    Returns
    -------
    DataFrame
        The index with a column `part`.

    Raises
    ------
    InputError
        If the data cannot be split so: BACH by patient, or a copy of the data set that is too
        small for the printed counts.
    """
    shares: dict[str, Any] = {
        "test": config.test, "validation": config.validation, "seed": config.split_seed,
    }  # fmt: skip
    match config.split:
        case "counts":
            return _by_counts(index, config)
        case "image":
            return splits.by_image(index, **shares)
        case "patient":
            if card(config).NO_PATIENTS:
                raise datasets.no_patients(card(config), ("counts", "image"))
            return splits.by_group(index, group=config.group, **shares)
        case "file":
            return splits.from_file(index, execution.split_file)


def _by_counts(index: pd.DataFrame, config: DataSettings) -> pd.DataFrame:
    try:
        return splits.by_counts(index, COUNTS[config.dataset], config.split_seed)
    except InputError as error:
        raise InputError(
            f"--split counts: {error}. The printed split needs the whole data set; use "
            f"--split {'image' if config.dataset == 'bach' else 'patient, image'} or file"
        ) from None


def training_hash(split: pd.DataFrame) -> str:
    """SHA-256 over the sorted file names of the training part, each with its label.

    A GAN records it, and its images may be trained on together with this training part alone.
    Folders and the order of the rows do not enter, so a copy in another layout gives the same.

    Parameters
    ----------
    split : DataFrame
        Columns image, label, part.
    """
    train = split[split["part"] == "train"]
    names = train["image"].str.rpartition("/")[2]
    rows = sorted(f"{name}\t{label}" for name, label in zip(names, train["label"], strict=True))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


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
    require_same_training(generated, split)
    return generated


def read_generated(folder: str | Path, config: Config) -> Generated:
    """Read a folder of generated images, of this data set and its classes.

    Parameters
    ----------
    folder : path
        See `gan_fusion.gan.folder`.
    config : Config
        Names the data set.

    Raises
    ------
    InputError
        If the folder holds no generated images, the generation did not finish, an image is
        missing, a row is not marked as synthetic, or the images belong to another data set or to
        other classes.
    """
    generated = generated_folder.read(Path(folder))
    if generated.record["dataset"] != config.dataset:
        raise InputError(
            f"{folder}: generated from {generated.record['dataset']}, the run uses "
            f"{config.dataset}; give --gan-images a folder made from a GAN of {config.dataset}"
        )
    known = card(config).CLASSES[TASK[config.dataset]]
    unknown = sorted(set(generated.table["label"]) - set(known))
    if unknown:
        raise InputError(
            f"{generated.folder / generated_folder.INDEX}: class {', '.join(unknown)} is none of "
            f"{', '.join(known)}"
        )
    return generated


def require_same_training(generated: Generated, split: pd.DataFrame) -> None:
    """Refuse images of a GAN that saw more or less than a split's training part.

    Parameters
    ----------
    generated : Generated
    split : DataFrame
        The split that the classifier uses.

    Raises
    ------
    InputError
        Since the GAN may have seen images that are tested on here.
    """
    theirs, mine = generated.record["training_hash"], training_hash(split)
    if theirs != mine:
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
        datasets.data_folder(card(config), data_dir),
        list(files),
        config.image_size,
        filter=config.resize_filter,
        cache_dir=cache_dir,
        skip_bad=skip_bad,
    )
    damaged = [file for file, _ in pixels.skipped if files[file].startswith(_PREFIX)]
    if damaged:
        raise InputError(
            f"{len(damaged)} generated images cannot be used: {datasets.listed(damaged)}; "
            "generate them again"
        )
    return pixels.renamed([files[file] for file in pixels.images])
