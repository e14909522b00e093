"""What images look like, in a few numbers; which images are unlike those that were trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.images import Pixels

__all__ = [
    "KINDS",
    "MARGIN",
    "SAMPLE",
    "STAINED",
    "checked",
    "magnification",
    "numbers",
    "of_training",
    "unlike",
]

STAINED = 0.15
"""Optical density, mean of the channels, from which a pixel counts as stained tissue."""

MARGIN = 0.4
"""By how much of its width the range of the training images is widened on both sides. New patients
of the same laboratory seldom lie outside it then, another laboratory's often do
(`python -m benchmarks.appearance`)."""

SAMPLE = 500
"""Training images of which the range is taken, at most."""

# Each number, with what is said of an image below and above the range.
KINDS = {
    "tissue": ("less tissue", "more tissue"),
    "density": ("paler", "darker"),
    "red": ("other colours", "other colours"),
    "blue": ("other colours", "other colours"),
    "contrast": ("less contrast", "more contrast"),
}

_DENSITY = -np.log((np.arange(256).astype(np.float32) + 1) / 256)
_MAGNIFICATION = re.compile(r"(?<![0-9])(\d{1,3})[xX](?![0-9A-Za-z])|^SOB_.*-(\d{2,3})-\d+\.")


def numbers(image: np.ndarray) -> np.ndarray:
    """Describe an image by the numbers of `KINDS`.

    Parameters
    ----------
    image : ndarray, uint8, (H, W, 3), RGB

    Returns
    -------
    ndarray, float64, (5,)
        Share of stained pixels; of these the optical density (logarithm of the mean), and the
        shares of it that red and blue have; standard deviation of the density in the whole image.
    """
    density = _DENSITY[image.reshape(-1, 3)]
    red, green, blue = density.T
    mean = (red + green + blue) / np.float32(3)  # NumPy takes long along an axis of three
    stained = mean > STAINED
    colour = density[stained].mean(axis=0) if stained.mean() > 0.01 else density.mean(axis=0)
    colour = colour.astype(np.float64) + 1e-3
    shares = colour / colour.sum()
    found = [stained.mean(), np.log(colour.mean()), shares[0], shares[2], mean.std()]
    return np.array(found, float)


def of_training(pixels: Pixels, rows: Sequence[int] | np.ndarray) -> dict[str, Any]:
    """Range of the training images in each number, for a run's record.

    Parameters
    ----------
    pixels : Pixels
        The decoded images, as they are in the files but for their size.
    rows : array of int
        Which of them are trained on; of many, `SAMPLE` evenly spaced ones are looked at.

    Returns
    -------
    dict
        `images`, how many were looked at; `range`, number -> [low, high]: the first and the last
        hundredth left out, and widened by `MARGIN`.
    """
    rows = np.asarray(rows)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int))]
    found = np.array([numbers(pixels[int(row)]) for row in rows])
    low, high = np.quantile(found, [0.01, 0.99], axis=0)
    margin = MARGIN * (high - low)
    return {
        "images": len(rows),
        "range": {
            name: [float(a), float(b)]
            for name, a, b in zip(KINDS, low - margin, high + margin, strict=True)
        },
    }


def checked(known: Any) -> dict[str, tuple[float, float]]:
    """Take the ranges out of what a run's record holds; it may lack them, or be damaged.

    Parameters
    ----------
    known : object
        What `of_training` gave, after JSON; anything else has no ranges.

    Returns
    -------
    dict
        Number -> (low, high), of those that are whole.
    """
    ranges = known.get("range") if isinstance(known, Mapping) else None
    return {
        name: (float(each[0]), float(each[1]))
        for name, each in (ranges.items() if isinstance(ranges, Mapping) else ())
        if isinstance(each, Sequence)
        and len(each) == 2
        and all(isinstance(value, int | float) for value in each)
    }


def unlike(known: Mapping[str, tuple[float, float]], image: np.ndarray) -> list[str]:
    """Say in which ways an image is outside the range of the training images.

    Parameters
    ----------
    known : mapping
        What `checked` gave: of numbers that it lacks nothing is said.
    image : ndarray, uint8, (H, W, 3), RGB
        At the size of the training images, without stain normalisation.

    Returns
    -------
    list of str
        Words of `KINDS`; none for an image like those.
    """
    words = []
    for (name, (below, above)), value in zip(KINDS.items(), numbers(image), strict=True):
        low, high = known.get(name, (-np.inf, np.inf))
        if value < low:
            words.append(below)
        elif value > high:
            words.append(above)
    return list(dict.fromkeys(words))


def magnification(name: str) -> str:
    """Read the magnification that a file's name states.

    Parameters
    ----------
    name : str
        Of the file, without its folder.

    Returns
    -------
    str
        Such as "100X"; "" if none is stated.

    Examples
    --------
    >>> magnification("SOB_B_A-14-22549AB-40-001.png"), magnification("slide7_20x.tif")
    ('40X', '20X')
    >>> magnification("1024x768.png")
    ''
    """
    found = _MAGNIFICATION.search(name)
    return f"{int(found[1] or found[2])}X" if found else ""
