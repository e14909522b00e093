"""What an image file says of itself without its pixels: whether it is synthetic, or a JPEG."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

from common.datasets.listing import LOSSY

KEYWORD = b"histopapers"
"""Keyword of the PNG text chunks that this library writes."""
STATEMENT = b"SYNTHETIC tissue, not a patient"
"""Text of a synthetic image, in a PNG's chunk or a TIFF's ImageDescription."""
_COMPRESSION, _JPEG_IN_TIFF = 259, (6, 7)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def is_synthetic_png(path: str | os.PathLike) -> bool:
    """Whether a PNG carries the text chunk of a synthetic image; its pixels are not decoded.

    Parameters
    ----------
    path : path

    Returns
    -------
    bool
        False for a file that is no PNG or is damaged.
    """
    with Path(path).open("rb") as file:
        if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
            return False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"tEXt" and length < 4096:
                if file.read(length) == KEYWORD + b"\0" + STATEMENT:
                    return True
                file.seek(4, os.SEEK_CUR)
            elif kind == b"IEND":
                return False
            else:
                file.seek(length + 4, os.SEEK_CUR)
    return False


def is_jpeg(path: str | os.PathLike) -> bool:
    """Whether an image's pixels went through JPEG: by its ending, of a TIFF by its compression.

    Parameters
    ----------
    path : path

    Returns
    -------
    bool
        False where it cannot be opened or is no such file: who reads its pixels reports that.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".tif", ".tiff"):
        return suffix in LOSSY
    with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
        head = file.read(8)
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
        if order is None:
            return False
        file.seek(struct.unpack(order + "I", head[4:])[0])
        count = struct.unpack(order + "H", file.read(2))[0]
        for tag, _, _, value in struct.iter_unpack(order + "HHIH2x", file.read(12 * count)):
            if tag == _COMPRESSION:
                return value in _JPEG_IN_TIFF
    return False


def says_synthetic(path: str | os.PathLike) -> bool:
    """Whether an image file, PNG or TIFF, carries the text of a synthetic one.

    Parameters
    ----------
    path : path

    Returns
    -------
    bool
        False where it cannot be opened: who reads its pixels reports that.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    with contextlib.suppress(OSError):
        if suffix == ".png":
            return is_synthetic_png(path)
        if suffix in (".tif", ".tiff"):
            with path.open("rb") as file:  # the description lies right behind the directory
                return STATEMENT in file.read(4096)
    return False
