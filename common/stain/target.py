"""Which image the others are normalised to: the one whose stains are nearest the median."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from common import images as image_files
from common.errors import InputError
from common.stain.normalizer import Normalizer
from common.stain.unmixing import MacenkoNormalizer, StainMatrixNormalizer


def choose_target(
    images: Iterable[np.ndarray | str | Path], normalizer: Normalizer | None = None
) -> int:
    """Find the image whose stain matrix is nearest the median of all.

    Give training images only: a target chosen among test images would leak them.

    Parameters
    ----------
    images : iterable
        RGB uint8 (H, W, 3) arrays, or paths, which are read one at a time.
    normalizer : Normalizer, optional
        Estimates the matrices if it unmixes stains; otherwise (Reinhard's knows none) Macenko's
        with the default conventions does.

    Returns
    -------
    int
        Position in `images`; the first of equals. Images without stained tissue are passed over.

    Raises
    ------
    InputError
        None of the images has stained tissue, or one is not RGB uint8.
    """
    if isinstance(images, str | bytes | Mapping) or not isinstance(images, Iterable):
        raise InputError(f"images must be several, arrays or paths, not {type(images).__name__}")
    estimator = normalizer if isinstance(normalizer, StainMatrixNormalizer) else MacenkoNormalizer()
    places, matrices = [], []
    for i, image in enumerate(images):
        pixels = image_files.read(image) if isinstance(image, str | Path) else image
        stains = estimator.estimate(pixels)
        if not stains.flag.unchanged:
            places.append(i)
            matrices.append(stains.matrix)
    if not matrices:
        raise InputError("no image has stained tissue: none can be the stain target")
    median = np.median(matrices, axis=0)
    distances = ((np.array(matrices) - median) ** 2).sum(axis=(1, 2))
    return places[int(np.argmin(distances))]


def fit_typical(
    normalizer: Normalizer,
    data_dir: str | Path | None,
    names: Sequence[str],
    pixels: image_files.Pixels,
    chooser: Normalizer | None = None,
) -> str:
    """Fit a normaliser to the image whose stains are nearest the median of all: `choose_target`.

    Parameters
    ----------
    normalizer : Normalizer
        Takes the target.
    data_dir : path or None
        Where the target is read at its full size; None: it is taken as `pixels` holds it.
    names : sequence of str
        Images below `data_dir`; training images only.
    pixels : common.images.Pixels
        Holds them decoded, at any size: there the stains of each are estimated.
    chooser : Normalizer, optional
        Estimates them, as in `choose_target`; by default `normalizer`.

    Returns
    -------
    str
        Name of the target.

    Raises
    ------
    InputError
        None of the images has stained tissue.
    """
    rows = [pixels.row(name) for name in names]
    chosen = choose_target((pixels[row] for row in rows), chooser or normalizer)
    name = names[chosen]
    normalizer.fit(
        pixels[rows[chosen]] if data_dir is None else image_files.read(Path(data_dir) / name)
    )
    return name
