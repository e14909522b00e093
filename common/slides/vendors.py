"""Slides that OpenSlide alone reads, several of which are more than one file."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.slides.structure import AGAIN, MAX_SIDE, TILED, Image, in_short

OPENSLIDE = "pip install openslide-python openslide-bin"
LEFT = ("aperio", "generic-tiff", "philips")
"""What OpenSlide knows and tiffslide reads as well."""

# Beside the file that is named lie others, of which it says little itself.
_SEVERAL = ("dicom", "hamamatsu", "mirax", "trestle")


def vendor_of(path: Path, left: tuple[str, ...] = LEFT) -> str:
    """Give OpenSlide's name of a file's format.

    Parameters
    ----------
    path : Path
    left : tuple of str
        Formats that are left to others.

    Returns
    -------
    str
        "" for what is left, what it does not know, and where it is not installed.
    """
    try:
        import openslide
    except (ImportError, OSError):  # the package, or its library
        return ""
    try:
        vendor = openslide.OpenSlide.detect_format(str(path)) or ""
    except openslide.OpenSlideError:
        return ""
    return "" if vendor in left else vendor


def unknown(path: Path) -> str:
    """Say what is wrong with a file that nothing here reads, and what to do.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        Without the file's name.
    """
    try:
        import openslide  # noqa: F401
    except (ImportError, OSError):
        return f"is no TIFF, PNG or JPEG; OpenSlide may know it: {OPENSLIDE}; or {TILED}"
    if path.suffix.lower() == ".mrxs":
        # OpenSlide takes the ending as it is written.
        folder = path.with_suffix("")
        if path.suffix != ".mrxs":
            return "its ending has to be .mrxs, in small letters; rename it"
        if not (folder / "Slidedat.ini").is_file():
            return (
                f"the folder {folder.name} with Slidedat.ini, which holds its image, is not "
                "beside it; copy both"
            )
    return f"is no TIFF, PNG or JPEG, and OpenSlide does not know it; {TILED}"


class VendorSlide:
    """What OpenSlide reads and tiffslide does not, or in part.

    Parameters
    ----------
    path : Path
    vendor : str
        OpenSlide's name of the format.

    Raises
    ------
    InputError
        If it cannot be opened.
    """

    rows = False
    synthetic = False

    def __init__(self, path: Path, vendor: str):
        import openslide

        self._others = ", with the files that belong to it" if vendor in _SEVERAL else ""
        try:
            self._slide = openslide.OpenSlide(str(path))
            sizes = [(int(w), int(h)) for w, h in self._slide.level_dimensions]
            self._factors = [float(each) for each in self._slide.level_downsamples]
            properties = dict(self._slide.properties)
        except openslide.OpenSlideError as error:
            raise InputError(
                f"{path}: OpenSlide cannot open it ({in_short(error)}); {AGAIN}{self._others}, or "
                f"{TILED}"
            ) from None
        self.kind = f"{vendor}, by OpenSlide"
        self.mpp = both(properties.get("openslide.mpp-x"), properties.get("openslide.mpp-y"))
        x, y, width, height = _scanned(properties) or (0, 0, *sizes[0])
        self.origin = x, y
        whole = (width, height) == sizes[0]
        self.levels = [
            size if whole else (max(1, round(width / factor)), max(1, round(height / factor)))
            for size, factor in zip(sizes, self._factors, strict=True)
        ]
        if max(width, height) > MAX_SIDE:
            raise InputError(f"{path}: claims {width}x{height} px, at most {MAX_SIDE} a side")
        self.mark = str(properties.get("openslide.quickhash-1", "")) if self._others else ""

    def pixels(self, level: int, x: int, y: int, width: int, height: int) -> Image:
        """Read a rectangle, white where nothing was scanned.

        Parameters
        ----------
        level, x, y, width, height : int
            In the level's own px, inside the part that was scanned.
        """
        factor = self._factors[level]
        place = self.origin[0] + round(x * factor), self.origin[1] + round(y * factor)
        found = np.asarray(self._slide.read_region(place, level, (width, height)))
        opaque = found[..., 3:] == 255
        return np.where(opaque, found[..., :3], np.uint8(255)).astype(np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def _scanned(properties: dict[str, str]) -> tuple[int, int, int, int] | None:
    """x, y, width and height of what was scanned of a canvas, to which QuPath crops as well."""
    names = ("bounds-x", "bounds-y", "bounds-width", "bounds-height")
    with contextlib.suppress(KeyError, ValueError):
        x, y, width, height = (int(properties[f"openslide.{name}"]) for name in names)
        if width > 0 and height > 0:
            return x, y, width, height
    return None


def both(x: Any, y: Any) -> tuple[float, float] | None:
    """Give micrometres per px across and down, if a file says a number of both.

    Parameters
    ----------
    x, y : object
        What it says.
    """
    with contextlib.suppress(TypeError, ValueError):
        pair = float(x), float(y)
        if all(math.isfinite(each) and each > 0 for each in pair):
            return pair
    return None
