"""What a slide in a TIFF claims, checked before anything is allocated or decoded."""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.images import ImageError
from common.images.tiff import tiff_pages
from common.slides.segments import is_bounded

if TYPE_CHECKING:
    from tifffile import TiffPage

Image = NDArray[np.uint8]
"""RGB, shape (H, W, 3), uint8."""

MAX_SIDE = 2**20
MAX_SEGMENT = 64 * 2**20
"""Bytes of one tile or strip, decoded: a reader holds it whole."""

TILED = (
    "save it as a tiled TIFF (vips tiffsave IN OUT.tif --tile --pyramid --compression jpeg "
    "--Q 90, or QuPath's export as OME-TIFF)"
)
"""What to do about a file that cannot be read in parts."""

AGAIN = "copy it again"
_RGB = "save it as 8-bit RGB, or take the original file"


def in_short(error: BaseException) -> str:
    """What a library says of a file, in one line that is not too long.

    Parameters
    ----------
    error : BaseException
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}..."


def check_file(path: Path) -> None:
    """Look through a TIFF's directories: every tag and page must be there and of a likely size.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        Naming the file, what is wrong and what to do.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for _ in tiff_pages(data):
                pass
    except ImageError as problem:
        raise InputError(f"{path}: {problem}") from None
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise InputError(f"{path}: is cut short or damaged ({in_short(error)}); {AGAIN}") from None


def check_level(path: Path, number: int, page: TiffPage, size: int) -> NDArray[np.bool_]:
    """Check one level of a pyramid.

    Parameters
    ----------
    path : Path
        For messages.
    number : int
        Of the level, 0 is the full size.
    page : TiffPage
        As tifffile read it.
    size : int
        Of the file, bytes.

    Returns
    -------
    bool array (rows, columns)
        Which tiles or strips the file leaves out: they are glass.

    Raises
    ------
    InputError
        Naming the file, what is wrong and what to do.
    """
    where = f"{path}: level {number}" if number else f"{path}"
    _require_colours(where, page)
    width, height = page.imagewidth, page.imagelength
    if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
        raise InputError(f"{where}: claims {width}x{height} px, at most {MAX_SIDE} a side")
    wide = page.tilewidth if page.is_tiled else width
    tall = page.tilelength if page.is_tiled else min(page.rowsperstrip, height)
    if wide < 1 or tall < 1:
        raise InputError(f"{where}: is damaged (tiles of {wide}x{tall} px); {AGAIN}")
    whole = 3 * wide * tall
    kind = "tile" if page.is_tiled else "strip"
    if whole > MAX_SEGMENT and not is_plain(page):
        raise InputError(
            f"{where}: one {kind} has {whole >> 20} MB, at most {MAX_SEGMENT >> 20}; {TILED}"
        )
    grid = math.ceil(height / tall), math.ceil(width / wide)
    offsets = np.zeros(math.prod(grid), np.int64)
    counts = np.zeros_like(offsets)
    for target, values in ((offsets, page.dataoffsets), (counts, page.databytecounts)):
        given = np.asarray(values[: len(target)], np.int64)
        target[: len(given)] = given
    beyond = np.flatnonzero(offsets + counts > size)
    if len(beyond):
        raise InputError(
            f"{where}: is cut short, {len(beyond)} of {len(offsets)} {kind}s lie beyond its end; "
            f"{AGAIN}"
        )
    # JPEG and the others seldom swell what they pack.
    if (counts > 2 * whole + 2**16).any():
        raise InputError(f"{where}: is damaged (a {kind} of {counts.max() >> 20} MB); {AGAIN}")
    return ((offsets == 0) | (counts == 0)).reshape(grid)


def is_plain(page: TiffPage) -> bool:
    """Whether a level lies in the file row after row, not compressed.

    Parameters
    ----------
    page : TiffPage
    """
    return page.is_contiguous and not page.is_tiled and page.compression == 1


def _require_colours(where: str, page: TiffPage) -> None:
    """Refuse what is no plain 8-bit RGB, and coded as nothing here can decode."""
    import tifffile

    samples, photometric = page.samplesperpixel, int(page.photometric)
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    if bits != 8:
        raise InputError(f"{where}: has {bits} bits per channel; {_RGB}")
    if photometric in (0, 1) or samples == 1:
        raise InputError(f"{where}: is a grey-scale or palette image; {_RGB}")
    if samples == 4:
        raise InputError(f"{where}: has an alpha channel; save it as RGB on white, without alpha")
    if samples != 3 or photometric not in (2, 6) or page.planarconfig != 1:
        raise InputError(f"{where}: has unusual colours ({samples} channels); {_RGB}")
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except (KeyError, ImportError):
        name = getattr(page.compression, "name", page.compression)
        raise InputError(
            f"{where}: is coded as {name}, which is not read here; pip install imagecodecs, or "
            f"{TILED}"
        ) from None
    if not is_bounded(int(page.compression)):
        name = getattr(page.compression, "name", page.compression)
        raise InputError(f"{where}: is coded as {name}, which is not read here; {TILED}")
