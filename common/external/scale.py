"""At which scale other data lie, and how they are brought to that of a run's training images.

A network resizes whatever it is given to its input, so that an image is at the training's scale
only if it shows as much tissue as a training image did: images are resampled, and cut into fields
of a training image's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from common import acquaintance, images, runs
from common.errors import InputError, listed
from common.external.others import Others
from common.report.words import plural
from common.slides.scale import plausible

FURTHEST = 16.0
"""By what factor images may be enlarged or made smaller: beyond it there is nothing to compare."""

LEAST, MOST = 16, 8192
"""Px of a training image's side, and what an image must have at the training's scale at least."""

_SPARE = 0.1
"""Share of a field by which an image may be longer before a second field is cut of it."""

_OBJECTIVE, _WHOLE = 40, 80
"""Below, a magnification is an objective's alone; from the other on, it is the eyepiece's, too."""


@dataclass(frozen=True)
class Match:
    """How other data are brought to the training's scale.

    Attributes
    ----------
    field : (int, int)
        Height and width of a training image, px.
    factors : dict
        Image -> px of a training image per px of this one; below 1 it is made smaller.
    trained : float or None
        Micrometres per px of a training image; None where magnifications alone are known.
    words : str
        What the scale was taken from.
    """

    field: tuple[int, int]
    factors: dict[str, float]
    trained: float | None
    words: str

    def fields(self, image: str, pixels: np.ndarray) -> list[np.ndarray]:
        """Cut an image into fields as large as a training image, at its scale.

        Fields cover the image evenly, overlapping where they must; what is less than a tenth of a
        field longer loses its margins. Where an image shows less than a field, its border is
        mirrored.

        Parameters
        ----------
        image : str
            Its name.
        pixels : ndarray
            RGB uint8 (H, W, 3).

        Returns
        -------
        list of ndarray
            RGB uint8, all of the field's size.

        Raises
        ------
        InputError
            If it is nearly nothing at the training's scale.
        """
        factor = self.factors[image]
        height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
        if min(height, width) < LEAST:
            raise InputError(
                f"{image}: is {width}x{height} px at the training's scale, and {LEAST} are the "
                "least; check the scales, or leave it out"
            )
        down, across = (
            _places(side, length, factor)
            for side, length in zip(pixels.shape[:2], self.field, strict=True)
        )
        return [
            _filled(pixels[top:bottom, left:right], (height, width), self.field, factor)
            for top, bottom, height in down
            for left, right, width in across
        ]

    def share(self, image: str, pixels: np.ndarray) -> float:
        """Share of a field's area that an image fills, at most 1.

        Parameters
        ----------
        image : str
            Its name.
        pixels : ndarray
            RGB uint8 (H, W, 3).
        """
        sides = np.multiply(pixels.shape[:2], self.factors[image]) / self.field
        return float(np.minimum(sides, 1).prod())


def _places(side: int, length: int, factor: float) -> list[tuple[int, int, int]]:
    """Where fields begin and end along one side of an image, and the px that this fills."""
    window = max(1, round(length / factor))
    if side <= window:
        return [(0, side, min(length, max(1, round(side * factor))))]
    count = max(1, int(np.ceil(side / window - _SPARE)))
    first = (side - window) // 2 if count == 1 else 0
    starts = np.linspace(first, side - window, count).round().astype(int).tolist()
    return [(start, start + window, length) for start in starts]


def _filled(
    part: np.ndarray, size: tuple[int, int], field: tuple[int, int], factor: float
) -> np.ndarray:
    """Resample a part of an image, and mirror its border where it is less than a field."""
    import cv2

    # Averaging keeps what is made smaller from aliasing; what it enlarges gets blocks.
    small = images.resize(part, size, "area" if factor <= 1 else "cubic")
    down, across = (length - got for length, got in zip(field, size, strict=True))
    if not (down or across):
        return small
    edges = down // 2, down - down // 2, across // 2, across - across // 2
    return cv2.copyMakeBorder(small, *edges, cv2.BORDER_REFLECT_101)


def compare(run: runs.Run, others: Others) -> dict[str, Any]:
    """Say at which scale a run was trained, and other data are, as far as it is known.

    Parameters
    ----------
    run : Run
    others : Others

    Returns
    -------
    dict
        `trained`, `here` magnifications; `trained_microns`, `microns` per px; `words`.
    """
    trained, here = acquaintance.magnifications(run), set(others.table["magnification"]) - {""}
    known = acquaintance.microns(run)
    theirs = sorted({each for each in _microns(others, None) if each is not None})
    found: dict[str, Any] = {
        "trained": _sorted(trained),
        "here": _sorted(here),
        "trained_microns": [known[m] for m in (_sorted(trained) or [""]) if m in known],
        "microns": theirs if len(theirs) <= 8 else [theirs[0], theirs[-1]],
    }
    words = ""
    if found["trained_microns"] and theirs:
        a, b = (float(np.mean(each)) for each in (found["trained_microns"], theirs))
        if abs(np.log(b / a)) > np.log(acquaintance.ALIKE):
            words = (
                f"one px of these images is {b:.3g} µm of tissue, in the training it was {a:.3g}: "
                "they show it at another scale (--match-scale brings them to the training's)"
            )
    elif trained and here and not here & trained:
        words = (
            f"these images are at {', '.join(_sorted(here))}, the run was trained at "
            f"{', '.join(_sorted(trained))}"
        )
    elif not (trained or found["trained_microns"]) or not (here or theirs):
        words = "the scale of these images or of the training is not known, so not compared"
    return found | {"words": words}


def match(
    run: runs.Run,
    others: Others,
    *,
    mpp: float | None = None,
    trained_mpp: float | None = None,
    trained_size: tuple[int, int] | None = None,
) -> Match:
    """Find how other data are brought to the scale of a run's training images.

    Parameters
    ----------
    run : Run
    others : Others
    mpp : float, optional
        Micrometres per px of images whose list does not say it; of a public data set, instead of
        its card's.
    trained_mpp : float, optional
        Of the training images, where neither card nor list says it, or wrongly.
    trained_size : (int, int), optional
        Height and width of the training images, where the run did not note them.

    Raises
    ------
    InputError
        Naming what is to be given where a scale is not known; if the two are too far apart.
    """
    field = trained_size or acquaintance.trained_size(run)
    if field is None:
        raise InputError(
            f"--match-scale: how large the training images of {run.path} were is not known; say "
            "it with --trained-size WIDTHxHEIGHT, in px"
        )
    if not LEAST <= min(field) <= max(field) <= MOST:
        raise InputError(f"--trained-size {field[1]}x{field[0]}: from {LEAST} to {MOST} px a side")
    here = _microns(others, None if mpp is None else plausible("--mpp", mpp))
    trained: float | None = None
    if trained_mpp is not None:
        trained = plausible("--trained-mpp", trained_mpp)
    elif known := _one_scale(run):
        trained = known
    if trained is None and not any(here):
        factors, words = _by_magnification(run, others)
    else:
        if trained is None:
            raise InputError(
                f"--match-scale: at which scale the training images of {run.path} lie is not "
                "known; say it with --trained-mpp MICROMETRES, per px of a training image"
            )
        _require_known(others, here)
        factors = [each / trained for each in here if each is not None]
        words = "micrometres per px"
    for image, factor in zip(others.table["image"], factors, strict=True):
        if not 1 / FURTHEST <= factor <= FURTHEST:
            raise InputError(
                f"--match-scale: {image} is to be made {max(factor, 1 / factor):.3g} times "
                f"{'larger' if factor > 1 else 'smaller'}, and {FURTHEST:g} times is the most; "
                "check the scales, or judge it without the flag"
            )
    names = others.table["image"].tolist()
    return Match(field, dict(zip(names, factors, strict=True)), trained, words)


def _microns(others: Others, said: float | None) -> list[float | None]:
    """Micrometres per px of each image: what its list says; then the flag; then the card."""
    return [
        others.mpp.get(image) or said or others.microns.get(magnification)
        for image, magnification in zip(
            others.table["image"], others.table["magnification"], strict=True
        )
    ]


def _one_scale(run: runs.Run) -> float | None:
    """Scale of a run's training images; None where it is not known."""
    known, seen = acquaintance.microns(run), acquaintance.magnifications(run)
    there = sorted({known[name] for name in seen or {""} if name in known})
    if not there:
        return None
    if there[-1] > acquaintance.ALIKE * there[0]:
        names = ", ".join(f"{each:.3g}" for each in there)
        raise InputError(
            f"--match-scale: {run.path} was trained at several scales ({names} µm per px); say to "
            "which these images are to be brought with --trained-mpp"
        )
    return there[0]


def _require_known(others: Others, here: list[float | None]) -> None:
    lacking = [image for image, mpp in zip(others.table["image"], here, strict=True) if mpp is None]
    if lacking:
        how = "" if others.dataset else ", or in a column mpp of the list"
        raise InputError(
            f"--match-scale: at which scale {len(lacking)} of {len(here)} images of "
            f"{others.title} lie is not known ({listed(lacking, 3)}); say it with --mpp "
            f"MICROMETRES per px{how}"
        )


def _by_magnification(run: runs.Run, others: Others) -> tuple[list[float], str]:
    """Factors where no micrometres are known: magnifications as they stand in both lists."""
    trained, named = acquaintance.magnifications(run), others.table["magnification"]
    if len(trained) != 1 or (named == "").any():
        raise InputError(
            "--match-scale: the scale of these images or of the training is not known; say both "
            "with --mpp and --trained-mpp, in micrometres per px, or in a column mpp or "
            "magnification of each list"
        )
    said, values = float(next(iter(trained))[:-1]), [float(name[:-1]) for name in named]
    if min(said, *values) < _OBJECTIVE and max(said, *values) >= _WHOLE:
        raise InputError(
            f"--match-scale: {said:g}X and {listed(sorted(set(named)))} can hardly be named in one "
            "way (an objective's, or objective and eyepiece together); say the scales with --mpp "
            "and --trained-mpp, in micrometres per px"
        )
    return [said / value for value in values], (
        "magnifications alone, as if they were of one microscope and camera"
    )


def told(match: Match, counts: dict[str, int], shares: dict[str, float]) -> dict[str, Any]:
    """Say what was done to bring images to the training's scale.

    Parameters
    ----------
    match : Match
    counts : dict
        Image -> its fields.
    shares : dict
        Image -> share of a field that it fills.

    Returns
    -------
    dict
        `by`, `field` (height, width), `trained_mpp`, `factors` (least and largest), `fields` of all
        images, `mirrored` images that show less than nine tenths of a field, `least_share` and
        `words`.
    """
    factors, filled = list(match.factors.values()), [each for each in shares.values() if each < 0.9]
    low, high = min(factors), max(factors)
    span = f"{low:.3g}" if high <= 1.01 * low else f"{low:.3g} to {high:.3g}"
    to = "" if match.trained is None else f" of {match.trained:.3g} µm per px"
    mean = sum(counts.values()) / len(counts)
    words = (
        f"brought to the training's scale{to} by {match.words}: times {span}, cut into fields of "
        f"{match.field[1]}x{match.field[0]} px as the training images were"
    )
    if mean > 1:
        words += f", {mean:.3g} an image, whose probabilities are averaged"
    if filled:
        words += (
            f"; {plural(len(filled), 'image')} of {len(shares)} show less than a field (down to "
            f"{100 * min(filled):.2g}\u00a0% of it) and are filled up with their mirrored borders"
        )
    return {
        "by": match.words,
        "field": list(match.field),
        "trained_mpp": match.trained,
        "factors": [low, high],
        "fields": sum(counts.values()),
        "mirrored": len(filled),
        "least_share": min(shares.values()),
        "words": words,
    }


def _sorted(magnifications: set[str]) -> list[str]:
    return sorted(magnifications, key=lambda name: (len(name), name))
