"""At which scale a slide lies, and at which scale, and how large, a run's training images were."""

from __future__ import annotations

from dataclasses import dataclass

from common import acquaintance, runs, splits
from common.datasets.lists import LEAST_MPP, MOST_MPP
from common.errors import InputError
from common.slides.reading import Slide

_LARGEST = 8192  # px of a tile's side, as of a training image


@dataclass(frozen=True)
class Field:
    """What one training image shows, and so a tile.

    Attributes
    ----------
    height, width : int
        In px.
    mpp : float
        Micrometres per px.
    """

    height: int
    width: int
    mpp: float


def field_of(
    run: runs.Run,
    *,
    magnification: str | None = None,
    mpp: float | None = None,
    size: tuple[int, int] | None = None,
) -> Field:
    """Find how large the images were that a run was trained on, and at which scale.

    Parameters
    ----------
    run : Run
    magnification : str, optional
        Which of several it is to be asked at.
    mpp : float, optional
        Micrometres per px, where the data set's card does not say it, or says it wrongly.
    size : (int, int), optional
        Height and width, where the run did not note it.

    Raises
    ------
    InputError
        Naming the flag that is to say what is not known.
    """
    if size is None:
        size = acquaintance.trained_size(run)
    if size is None:
        raise InputError(
            f"{run.path}: how large its training images were is not known; say it with "
            "--tile-size WIDTHxHEIGHT, in px"
        )
    if not 16 <= min(size) <= max(size) <= _LARGEST:
        raise InputError(f"--tile-size {size[1]}x{size[0]}: from 16 to {_LARGEST} px a side")
    if mpp is None:
        mpp = _trained_scale(run, magnification)
    elif magnification is not None:
        raise InputError("--magnification and --trained-mpp say the same: give one of them")
    return Field(*size, plausible("--trained-mpp", mpp))


def _trained_scale(run: runs.Run, magnification: str | None) -> float:
    known = acquaintance.microns(run)
    if not known:
        raise InputError(
            f"{run.path}: at which scale its training images lie is not known; say it with "
            "--trained-mpp MICROMETRES, per px of a training image"
        )
    seen = _magnifications(run) or set(known)
    chosen = magnification or (next(iter(seen)) if len(seen) == 1 else None)
    if chosen is None:
        names = ", ".join(name for name in known if name in seen)
        raise InputError(
            f"{run.path}: was trained at {names}; choose the one at which the tiles are to be read "
            "with --magnification"
        )
    if chosen not in seen or chosen not in known:
        have = ", ".join(name for name in known if name in seen and name) or "one scale alone"
        raise InputError(f"--magnification {chosen}: the run was trained at {have}")
    return known[chosen]


def _magnifications(run: runs.Run) -> set[str]:
    """What the training images' magnifications were, {""} where the data set has one."""
    try:
        split = splits.read(run.path / "split.csv")
    except InputError:
        return set()
    return set(split.get("magnification", "")[split["part"] == "train"])


def scale_of(slide: Slide, mpp: float | None = None) -> tuple[float, float]:
    """Find at which scale a slide lies.

    Parameters
    ----------
    slide : Slide
    mpp : float, optional
        What the user says; it counts more than the file.

    Returns
    -------
    (float, float)
        Micrometres per px of the full size, across and down.

    Raises
    ------
    InputError
        If nobody says it, or what is said cannot be.
    """
    if mpp is not None:
        return (plausible("--mpp", mpp),) * 2
    if slide.mpp is None:
        raise InputError(
            f"{slide.path}: the file does not say how many micrometres a px has; say it with --mpp "
            "(a 20x scan has about 0.5, a 40x scan 0.25)"
        )
    for each in slide.mpp:
        if not LEAST_MPP <= each <= MOST_MPP:
            raise InputError(
                f"{slide.path}: says {each:.4g} micrometres per px, which no slide scan has "
                f"({LEAST_MPP} to {MOST_MPP:g}); say the right one with --mpp"
            )
    if max(slide.mpp) > 1.2 * min(slide.mpp):
        raise InputError(
            f"{slide.path}: says {slide.mpp[0]:.4g} micrometres per px across and "
            f"{slide.mpp[1]:.4g} down; say the right one with --mpp"
        )
    return slide.mpp


def plausible(flag: str, mpp: float) -> float:
    """Give a scale that someone said; refuse what no microscope gives.

    Parameters
    ----------
    flag : str
        What said it.
    mpp : float
        Micrometres per px.

    Raises
    ------
    InputError
        If it cannot be.
    """
    if not LEAST_MPP <= mpp <= MOST_MPP:
        raise InputError(f"{flag} {mpp:g}: from {LEAST_MPP} to {MOST_MPP:g} micrometres per px")
    return float(mpp)
