"""What PNG, JPEG, TIFF and BMP files say of themselves, checked without decoding their pixels.

`inspect` finds what is no plain 8-bit RGB image, and damage that OpenCV would pass over: it decodes
half a JPEG and a TIFF with broken compressed data without a word, ignores the checksums of a PNG,
and turns 16-bit and grey images into 8-bit colour.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from common.images.bmp import bmp_header
from common.images.header import AGAIN, CUT, MAX_PIXELS, MAX_SIDE, RESAVE, Header, ImageError
from common.images.jpeg import jpeg_header
from common.images.png import png_header
from common.images.tiff import tiff_header

__all__ = [
    "AGAIN",
    "EXTENSIONS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "RESAVE",
    "Header",
    "ImageError",
    "inspect",
]

EXTENSIONS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".tif": "TIFF", ".tiff": "TIFF",
    ".bmp": "BMP", ".gif": "GIF", ".webp": "WebP",
}  # fmt: skip
_OTHER_FORMATS = {b"GIF8": "GIF", b"RIFF": "WebP", b"\x00\x00\x00\x0cjP": "JPEG 2000"}
_HEADERS: dict[str, Callable[[bytes], Header]] = {
    "PNG": png_header,
    "JPEG": jpeg_header,
    "TIFF": tiff_header,
    "BMP": bmp_header,
}


def inspect(data: bytes, extension: str) -> Header:
    """Check header, structure and end of an encoded image; cheap beside decoding it.

    Parameters
    ----------
    data : bytes
        The whole file.
    extension : str
        Of its name, such as ".png"; a file of another format is refused.

    Returns
    -------
    Header

    Raises
    ------
    ImageError
        Says what is wrong with the file and what to do.
    """
    if not data:
        raise ImageError(f"is empty (0 bytes); {AGAIN}")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        kind = "PNG"
    elif data.startswith(b"\xff\xd8\xff"):
        kind = "JPEG"
    elif data[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        kind = "TIFF"
    elif data.startswith(b"BM"):
        kind = "BMP"
    else:
        for magic, name in _OTHER_FORMATS.items():
            if data.startswith(magic):
                raise ImageError(f"is a {name} file; PNG, JPEG, TIFF and BMP are read: convert it")
        raise ImageError(f"is not an image (it begins with {data[:8]!r}); remove it, or {AGAIN}")
    claimed = EXTENSIONS.get(extension.lower(), kind)
    if claimed != kind:
        raise ImageError(
            f"is a {kind} file with a {claimed} name, so not the original; "
            "take the original image, or rename the file"
        )
    try:
        return _HEADERS[kind](data)
    except (struct.error, IndexError, OverflowError):
        raise ImageError(CUT) from None
