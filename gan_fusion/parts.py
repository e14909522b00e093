"""Which BreakHis or BACH images train, validate and test; the GAN and the classifier share it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from common import datasets, splits
from common.datasets import bach
from common.datasets.patients import with_patients
from common.errors import InputError
from common.files import as_bytes

if TYPE_CHECKING:
    from common.config import Execution, Group
    from common.datasets.card import Card
    from gan_fusion.gan.config import DataSet, Split


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


class DataSettings(Protocol):
    """What the classifier's Config and the GAN's say of their data, in the same words."""

    @property
    def dataset(self) -> DataSet:
        """Which data set."""

    @property
    def magnifications(self) -> tuple[str, ...]:
        """Of BreakHis' images, which."""

    @property
    def split(self) -> Split:
        """How the images are parted."""

    @property
    def group(self) -> Group:
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
    if config.dataset == "own":
        raise InputError("--dataset own: give your images with --images FILE.csv, or a folder")
    return datasets.get(config.dataset)


def load_index(
    config: DataSettings, data_dir: Path | None, patients: Path | None = None
) -> pd.DataFrame:
    """Index the images of the data set, labelled benign/malignant or with BACH's four classes.

    Parameters
    ----------
    config : Config or GanConfig
        `dataset`; of BreakHis, `magnifications`.
    data_dir : path, optional
        See `common.datasets.data_folder`.
    patients : path, optional
        List of patients, see `common.datasets.patients.with_patients`; without it BACH's are
        unknown.

    Raises
    ------
    InputError
        For a list that cannot be used, or that contradicts the file names.
    """
    if config.dataset == "bach":
        index = card(config).index(data_dir)
    else:
        index = card(config).index(data_dir, classes=2, magnifications=config.magnifications)
    return index if patients is None else with_patients(index, patients)


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
        If the data cannot be split so: BACH by patient without a list of them, BACH's partition
        of a copy that is not whole or against such a list, or a copy of the data set that is too
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
            if config.dataset == "bach":
                return _by_listed_patient(index, shares)
            return splits.by_group(index, group=config.group, **shares)
        case "partition":
            return _by_partition(index, config)
        case "file":
            return splits.from_file(index, execution.split_file)


def _by_listed_patient(index: pd.DataFrame, shares: dict[str, Any]) -> pd.DataFrame:
    """By the patients of a list; images that it leaves out stay together, whosever they are."""
    if not (index["case"] != "").any():
        raise InputError(
            f"--split patient: {bach.NO_PATIENTS}; give those that are published ({bach.PATIENTS}) "
            "with --patients CSV, columns image and patient. Others: --split partition, the "
            "published one by patient, counts, image, file"
        )
    together = index.assign(case=index["case"].where(index["case"] != "", "not in the list"))
    return splits.by_group(together, **shares).assign(case=index["case"])


def _by_partition(index: pd.DataFrame, config: DataSettings) -> pd.DataFrame:
    if config.dataset != "bach":
        raise InputError(f"--split partition is BACH's; {card(config).TITLE} has --split patient")
    try:
        return splits.by_positions(
            index, bach.partition_order(index), bach.PARTITION,
            validation=config.validation, seed=config.split_seed,
            group="case" if (index["case"] != "").any() else None,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"--split partition: {error}") from None


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
    return hashlib.sha256(as_bytes("\n".join(rows))).hexdigest()
