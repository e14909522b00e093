"""A folder of generated images: what it holds, how it is filled, how it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import datasets, writers
from common.errors import InputError, many
from common.files import as_bytes, file_hash, read_json, read_table, write_csv, write_json

if TYPE_CHECKING:
    import pandas as pd

IMAGES, INDEX, GENERATION = "images", "index.csv", "generation.json"
COLUMNS = ("image", "label", "patient", "synthetic", "seed")
"""Of index.csv; `image` is a path below the folder, `patient` is empty, `synthetic` is true."""


def image_name(label: str, number: int) -> str:
    """Path of an image below its folder.

    Parameters
    ----------
    label : str
    number : int
        From 0, within the class.
    """
    return f"{IMAGES}/{label}-{number:06d}.png"


# --- filling it --------------------------------------------------------------------------------


def claim(folder: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a folder, or go on with the one that an equal call began.

    Parameters
    ----------
    folder : Path
        Exists; new, empty, or left by a call that wanted the same.
    wanted : mapping
        What generation.json will say, `finished` aside.

    Returns
    -------
    dict
        What generation.json says; `finished` is None if the folder is still to be filled.

    Raises
    ------
    InputError
        If the folder holds images made otherwise, other files, or a damaged generation.json.
    """
    file = folder / GENERATION
    if file.is_file():
        try:
            found = read_json(file)
            finished = found.pop("finished")
        except (ValueError, KeyError, AttributeError, TypeError):
            raise InputError(f"{file}: damaged; delete the folder, or choose another") from None
        differing = sorted(
            name for name in {*found, *wanted} if found.get(name) != wanted.get(name)
        )
        if differing:
            raise InputError(
                f"{folder}: holds images generated otherwise ({', '.join(differing)} differ); "
                "choose another folder, or delete it"
            )
        writers.remove_halves(folder, alone=True)
        return {**found, "finished": finished}
    writers.remove_halves(folder, deep=False)
    strangers = [entry.name for entry in folder.iterdir() if entry.name != ".lock"]
    if strangers:
        raise InputError(
            f"{folder}: holds other files ({strangers[0]}); generated images need a folder of "
            "their own"
        )
    record = {**wanted, "finished": None}
    write_json(file, record)
    return record


def write_index(folder: Path, classes: Sequence[str], count: int, seed: int) -> None:
    """Write index.csv.

    Parameters
    ----------
    folder : Path
    classes : sequence of str
    count : int
        Images per class.
    seed : int
        Of the noise, which stands beside every image.
    """
    import pandas as pd

    names = [(image_name(label, i), label) for label in classes for i in range(count)]
    table = pd.DataFrame(names, columns=["image", "label"])
    table = table.assign(patient="", synthetic="true", seed=seed)
    write_csv(folder / INDEX, table)


# --- reading it --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Generated:
    """Images that a GAN made, and what is known of it."""

    folder: Path
    table: pd.DataFrame
    """`image` (path below `folder`), `label`."""
    record: dict[str, Any]
    """What generation.json says."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over every image's bytes and label."""
        rows = [f"{file_hash(self.folder / row.image)}\t{row.label}"
                for row in self.table.itertuples()]  # fmt: skip
        return hashlib.sha256(as_bytes("\n".join(rows))).hexdigest()

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


def read(folder: Path) -> Generated:
    """Read what `python -m gan_fusion.generate` wrote.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        If the folder holds no generated images, the generation did not finish, an image is
        missing, or a row is not marked as synthetic.
    """
    record = _generation(folder)
    return Generated(folder, _index(folder), record)


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
        record = read_json(path)
        record["training_hash"], record["dataset"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: damaged ({error}); generate the images again") from None
    if not record.get("finished"):
        raise InputError(
            f"{folder}: the generation did not finish; run the same python -m gan_fusion.generate "
            "command again, it goes on where it stopped"
        )
    return record


def _index(folder: Path) -> pd.DataFrame:

    path = folder / INDEX
    table = read_table(path, COLUMNS, repair="generate the images again")
    if table.empty:
        raise InputError(f"{path}: lists no image; generate the images again")
    if (table["patient"] != "").any() or (table["synthetic"].str.lower() != "true").any():
        raise InputError(
            f"{path}: a generated image has synthetic=true and no patient; this file lists others"
        )
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: {twice.iloc[0]} stands twice; generate the images again")
    absent = [name for name in table["image"] if not (folder / name).is_file()]
    if absent:
        raise InputError(
            f"{folder}: {many(len(absent), 'image is', 'images are')} missing: "
            f"{datasets.listed(absent)}"
        )
    return table[["image", "label"]]
