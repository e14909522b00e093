"""The images that a run was trained on, where they still lie: their stains, their fingerprints."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import images, runs, splits
from common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from common.stain import Normalizer

FLAG = "--trained-data-dir"


@dataclass(frozen=True)
class Trained:
    """A run's own images.

    Attributes
    ----------
    folder : Path
        That their paths count from.
    split : DataFrame
        Those of its parts.
    pixels : Pixels
        Decoded, in that order, without stain normalisation.
    """

    folder: Path
    split: pd.DataFrame
    pixels: images.Pixels


def find(run: runs.Run, data_dir: Path | None) -> Trained:
    """Find a run's own images, from the cache that its training filled where that is there.

    Parameters
    ----------
    run : Run
    data_dir : Path, optional
        Their folder; by default where the run notes it.

    Raises
    ------
    InputError
        If they are not there.
    """
    split = splits.read(run.path / "split.csv")
    split = split[split["part"] != ""].reset_index(drop=True)
    folder = runs.data_folder(run, data_dir, FLAG)
    lacking = [name for name in split["image"] if not (folder / name).is_file()]
    if lacking:
        raise InputError(
            f"{folder}: {len(lacking)} of the {len(split)} images of {run.path} are not there; say "
            f"where they lie with {FLAG}"
        )
    pixels = images.cached(
        folder,
        split["image"].tolist(),
        run.setting("image_size", int),
        filter=run.setting("resize_filter", str),
        cache_dir=runs.typed_folder(run, "--cache-dir"),
    )
    return Trained(folder, split, pixels)


def find_or_say(run: runs.Run, data_dir: Path | None) -> Trained | str:
    """Find a run's own images, or say why they are not there.

    Parameters
    ----------
    run : Run
    data_dir : Path, optional
        As `find` takes it.

    Raises
    ------
    InputError
        If they are not where they were said to be.
    """
    try:
        return find(run, data_dir)
    except InputError as error:
        if data_dir is not None:
            raise
        told = str(error).splitlines()[0].rstrip(".")
        return told if FLAG in told else f"{told}; say where they lie with {FLAG}"


@dataclass
class Stain:
    """Stain normalisation to a run's training images, which counts what it leaves as it is."""

    normalizer: Normalizer
    target: str
    flags: list[bool] = field(default_factory=list)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image.

        Parameters
        ----------
        image : ndarray
            RGB uint8 (H, W, 3).
        """
        found, flag = self.normalizer.transform(image, return_flags=True)
        self.flags.append(flag.unchanged)
        return found

    def words(self) -> str:
        """Say what was done."""
        name = self.target.rpartition("/")[2]
        told = f"{self.normalizer.method.capitalize()}, to the stains of {name}, a typical "
        told += "training image; nothing is chosen on these images"
        if left := sum(self.flags):
            told += f"; {left} of {len(self.flags)} without two stains are left as they are"
        return told


def require_method(method: str) -> None:
    """Refuse a stain normalisation that there is not.

    Parameters
    ----------
    method : str

    Raises
    ------
    InputError
        Naming those there are.
    """
    from common import stain

    if method not in stain.METHODS:
        raise InputError(f"--stain-method {method}: one of {', '.join(stain.METHODS)}")


def stain_of(run: runs.Run, method: str, own: Trained | str) -> Stain:
    """Make what gives other images the stains of a run's training images.

    The target is the one that the training normalised to; of a training without, the image whose
    stains are nearest the median of its training images.

    Parameters
    ----------
    run : Run
    method : str
        Of `common.stain.METHODS`.
    own : Trained or str
        Its images, or why they are not there.

    Raises
    ------
    InputError
        If the run does so in any case, its images are not stained with H&E, or they are not there.
    """
    from common import stain

    if run.record.get("stain_normalizer") is not None:
        raise InputError(
            "the run normalises the stains of every image as in its training: the network as it is "
            "has this already"
        )
    if run.config.get("stain") == "ihc":
        raise InputError("the run's images are not stained with haematoxylin and eosin")
    if isinstance(own, str):
        raise InputError(own)
    normalizer = stain.METHODS[method]()
    noted = run.record.get("stain_target")
    if isinstance(noted, str) and (own.folder / noted).is_file():
        return Stain(normalizer.fit(images.read(own.folder / noted)), noted)
    names = own.split["image"][own.split["part"] == "train"].tolist()
    return Stain(normalizer, stain.fit_typical(normalizer, own.folder, names, own.pixels))
