"""Fitted normalisers in files, and the choice of a target."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common import images as image_files
from common.errors import InputError
from common.stain.conventions import VERSION
from common.stain.normalizers import (
    MacenkoNormalizer,
    Normalizer,
    StainMatrixNormalizer,
    VahadaneNormalizer,
)
from common.stain.reinhard import ReinhardNormalizer

METHODS: dict[str, type[Normalizer]] = {
    kind.method: kind for kind in (MacenkoNormalizer, VahadaneNormalizer, ReinhardNormalizer)
}


def load(path: str | Path) -> Normalizer:
    """Read a fitted normaliser that `Normalizer.save` wrote.

    Raises
    ------
    InputError
        Names the file and what is wrong with it.
    """
    again = "make it again with: python -m common.stain fit"
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist; {again}") from None
    except (OSError, ValueError):
        raise InputError(f"{path}: is not a JSON file that can be read; {again}") from None
    if not isinstance(state, dict) or state.get("stain_normalizer") != VERSION:
        raise InputError(f"{path}: is no stain normaliser of this version; {again}")
    try:
        return from_state(state)
    except InputError as error:
        raise InputError(f"{path}: {error}; {again}") from None


def from_state(state: Mapping[str, Any]) -> Normalizer:
    """Make the fitted normaliser again whose `Normalizer.state` this is.

    Raises
    ------
    InputError
        It is none, or another version's.
    """
    try:
        kind = METHODS[state["method"]]
        normalizer = kind(state["preset"], engine=state["engine"])
        conventions = state["conventions"]
        if set(conventions) != kind.uses:
            raise InputError("its conventions are not those of this version")
        normalizer.conventions = replace(normalizer.conventions, **conventions)
        normalizer.set_target(**state["target"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("the state of a stain normaliser is damaged") from None
    return normalizer


def choose_target(
    images: Iterable[np.ndarray | str | Path], normalizer: StainMatrixNormalizer | None = None
) -> int:
    """Find the image whose stain matrix is nearest the median of all.

    Give training images only: a target chosen among test images would leak them.

    Parameters
    ----------
    images : iterable
        RGB uint8 (H, W, 3) arrays, or paths, which are read one at a time.
    normalizer : MacenkoNormalizer or VahadaneNormalizer, optional
        Estimates the matrices; by default Macenko's with the default conventions.

    Returns
    -------
    int
        Position in `images`; the first of equals. Images without stained tissue are passed over.

    Raises
    ------
    InputError
        None of the images has stained tissue, or one is not RGB uint8.
    """
    normalizer = normalizer or MacenkoNormalizer()
    places, matrices = [], []
    for i, image in enumerate(images):
        pixels = image_files.read(image) if isinstance(image, str | Path) else image
        stains = normalizer.estimate(pixels)
        if not stains.flag.unchanged:
            places.append(i)
            matrices.append(stains.matrix)
    if not matrices:
        raise InputError("no image has stained tissue: none can be the stain target")
    median = np.median(matrices, axis=0)
    distances = ((np.array(matrices) - median) ** 2).sum(axis=(1, 2))
    return places[int(np.argmin(distances))]


def fit_typical(
    normalizer: Normalizer, data_dir: str | Path, names: Sequence[str], pixels: image_files.Pixels
) -> str:
    """Fit a normaliser to the image whose stains are nearest the median of all: `choose_target`.

    Parameters
    ----------
    normalizer : Normalizer
        Takes the target, which is read at its full size.
    data_dir : path
    names : sequence of str
        Images below `data_dir`; training images only.
    pixels : common.images.Pixels
        Holds them decoded, at any size: there the stains of each are estimated.

    Returns
    -------
    str
        Name of the target.

    Raises
    ------
    InputError
        None of the images has stained tissue.
    """
    chooser = normalizer if isinstance(normalizer, StainMatrixNormalizer) else None
    chosen = names[choose_target((pixels[row] for row in pixels.rows(names)), chooser)]
    normalizer.fit(image_files.read(Path(data_dir) / chosen))
    return chosen
