"""BreakHis or BACH images: index, split, samples, and the GAN's images beside the real ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from common import datasets, images, samples, splits
from common.errors import InputError
from common.files import file_hash
from gan_fusion.config import NO_PATIENTS, TASK

if TYPE_CHECKING:
    from types import ModuleType

    from common.config import Execution
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

INDEX, GENERATION = "index.csv", "generation.json"
INDEX_COLUMNS = ("image", "label", "patient", "synthetic", "seed")

# The real images' paths never begin so: data sets name their folders otherwise.
_PREFIX = "generated/"


def card(config: Config) -> ModuleType:
    """The data set's module, from `common.datasets`."""
    return datasets.get(config.dataset)


def load_index(config: Config, data_dir: Path | None) -> pd.DataFrame:
    """Index the images of the data set, labelled benign/malignant or with BACH's four classes."""
    if config.dataset == "bach":
        return card(config).index(data_dir)
    return card(config).index(data_dir, classes=2, magnifications=config.magnifications)


def make_split(index: pd.DataFrame, config: Config, execution: Execution) -> pd.DataFrame:
    """Assign every image to train, validation or test; the GAN and the classifier share it.

    Raises
    ------
    InputError
        If the data cannot be split so: BACH by patient, or a copy of the data set that is too
        small for the printed counts.
    """
    shares = {"test": config.test, "validation": config.validation, "seed": config.split_seed}
    match config.split:
        case "counts":
            return _by_counts(index, config)
        case "image":
            return splits.by_image(index, **shares)
        case "patient":
            if config.dataset == "bach":
                raise InputError(f"--split patient: {NO_PATIENTS}; use --split counts or image")
            return splits.by_group(index, group=config.group, **shares)
        case "file":
            return splits.from_file(index, execution.split_file)


def _by_counts(index: pd.DataFrame, config: Config) -> pd.DataFrame:
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
    """
    train = split[split["part"] == "train"]
    names = train["image"].str.rpartition("/")[2]
    rows = sorted(f"{name}\t{label}" for name, label in zip(names, train["label"], strict=True))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


# --- generated images --------------------------------------------------------------------------


@dataclass(frozen=True)
class Generated:
    """Images that a GAN made, and what is known of it."""

    folder: Path
    table: pd.DataFrame
    """`image` (path below `folder`), `label`."""
    record: dict[str, Any]
    """What generation.json says."""
    sha256: str
    """Of every image's bytes and label."""

    @property
    def gan(self) -> str:
        """Preset of the GAN, "custom" where it is none."""
        return self.record.get("preset") or "custom"

    def describe(self) -> dict[str, Any]:
        """What a run's config.json says of the images."""
        return {
            "gan": self.gan,
            "gan_run_id": self.record.get("run_id"),
            "training_hash": self.record["training_hash"],
            "images": datasets.counts(self.table, "label"),
            "sha256": self.sha256,
        }


def require_generated(folder: Path | None, config: Config) -> None:
    """Refuse a config that wants generated images when no folder with them is given.

    Raises
    ------
    InputError
        Saying how they are made.
    """
    if folder is None and config.gan != "none":
        raise InputError(
            f"this row trains on {config.generated} images of the GAN {config.gan} as well: train "
            "it (python -m gan_fusion.train_gan), generate the images (python -m "
            "gan_fusion.generate) and give their folder with --gan-images; or leave them out with "
            "--gan none"
        )


def load_generated(folder: str | Path, split: pd.DataFrame, config: Config) -> Generated:
    """Read the images that `python -m gan_fusion.generate` wrote.

    Parameters
    ----------
    folder : path
        Holds index.csv (columns `INDEX_COLUMNS`, `patient` empty) and generation.json.
    split : DataFrame
        The split that the classifier uses; the GAN must have seen its training part, no more and
        no less.
    config : Config
        Names the data set.

    Raises
    ------
    InputError
        If the folder holds no generated images, the generation did not finish, an image is
        missing, a row is not marked as synthetic, or the images belong to another data set, other
        classes or another split.
    """
    folder = Path(folder)
    record = _generation(folder)
    table = _generated_index(folder)
    if record["dataset"] != config.dataset:
        raise InputError(
            f"{folder}: generated from {record['dataset']}, the run uses {config.dataset}; give "
            f"--gan-images a folder made from a GAN of {config.dataset}"
        )
    known = card(config).CLASSES[TASK[config.dataset]]
    unknown = sorted(set(table["label"]) - set(known))
    if unknown:
        raise InputError(
            f"{folder / INDEX}: class {', '.join(unknown)} is none of {', '.join(known)}"
        )
    mine = training_hash(split)
    if record["training_hash"] != mine:
        raise InputError(
            f"{folder}: the GAN was trained on another training part "
            f"({record['training_hash'][:10]}, this split has {mine[:10]}), which may hold images "
            "that are tested on here; train the GAN with the same --split, --split-seed and data"
        )
    return Generated(folder, table, record, _content(folder, table))


def _generation(folder: Path) -> dict[str, Any]:
    path = folder / GENERATION
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; make it with python -m gan_fusion.generate --run RUN"
        )
    if not path.is_file():
        raise InputError(
            f"{path}: missing, so the generation did not finish or this folder holds something "
            "else; run python -m gan_fusion.generate again, it goes on where it stopped"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["training_hash"], record["dataset"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); generate the images again") from None
    if not record.get("finished"):
        raise InputError(
            f"{folder}: the generation did not finish; run the same python -m gan_fusion.generate "
            "command again, it goes on where it stopped"
        )
    return record


def _generated_index(folder: Path) -> pd.DataFrame:
    path = folder / INDEX
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); generate the images again") from None
    missing = [name for name in INDEX_COLUMNS if name not in table]
    if missing or table.empty:
        what = f"has no column {', '.join(missing)}" if missing else "lists no image"
        raise InputError(f"{path}: {what}; generate the images again")
    if (table["patient"] != "").any() or (table["synthetic"].str.lower() != "true").any():
        raise InputError(
            f"{path}: a generated image has synthetic=true and no patient; this file lists others"
        )
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: {twice.iloc[0]} stands twice; generate the images again")
    absent = [name for name in table["image"] if not (folder / name).is_file()]
    if absent:
        raise InputError(f"{folder}: {len(absent)} images are missing: {datasets.listed(absent)}")
    return table[["image", "label"]]


def _content(folder: Path, table: pd.DataFrame) -> str:
    rows = [f"{file_hash(folder / row.image)}\t{row.label}" for row in table.itertuples()]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


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
    data_dir, cache_dir : path
        See `common.images.cached`.
    skip_bad : bool
        Leave out images that cannot be used; only without generated ones.

    Raises
    ------
    InputError
        As `common.images.cached`; also if the generated images are smaller than the input.
    """
    root = datasets.data_folder(card(config), data_dir)
    if generated is not None:
        _check_size(generated, config)
    names = list(index["image"])
    files: list[str] = list(names)
    if generated is not None:
        names += list(_PREFIX + generated.table["image"])
        files += [str(generated.folder.resolve() / name) for name in generated.table["image"]]
    pixels = images.cached(
        root,
        files,
        config.image_size,
        filter=config.resize_filter,
        cache_dir=cache_dir,
        skip_bad=skip_bad,
    )
    return pixels if generated is None else pixels.renamed(names)
