"""What a tile or strip claims of its own size, read before a decoder allocates it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_NO_LENGTH = (0x01, 0xD8, *range(0xD0, 0xD8))  # TEM, SOI, RST
_FRAME = tuple(each for each in range(0xC0, 0xD0) if each not in (0xC4, 0xC8, 0xCC))
_MOST_TILES = 256  # of one JPEG 2000; a decoder keeps some KB for each
_LERC = 34887  # says its own size, too


def require_fit(compression: int, pieces: tuple[bytes, ...], width: int, height: int) -> None:
    """Refuse encoded data that claim to be larger than their place.

    Parameters
    ----------
    compression : int
        As the TIFF says it, one that `is_bounded`.
    pieces : tuple of bytes
        The data, after the tables that the decoder reads with them, if there are any.
    width, height : int
        Of the tile or strip.

    Raises
    ------
    ValueError
        If they are larger, or do not say their size.
    """
    if compression not in _SIZES:
        return
    try:
        found = [size for piece in pieces for size in _SIZES[compression](piece)]
    except (struct.error, IndexError):
        raise ValueError("a tile or strip whose header is cut short") from None
    if not found:
        raise ValueError("a tile or strip that does not say its size")
    for wide, tall in found:
        if wide > width or tall > height:
            raise ValueError(
                f"a tile or strip that claims {wide}x{tall} px in a place of {width}x{height}"
            )


def is_bounded(compression: int) -> bool:
    """Whether what a coding decodes to is bounded: by its header, or by its decoder.

    Parameters
    ----------
    compression : int
        As the TIFF says it.
    """
    from tifffile import TIFF

    # A general decoder is given the size of its result; one of images allocates what these say.
    return compression in _SIZES or compression not in (_LERC, *TIFF.IMAGE_COMPRESSIONS)


def _jpeg(data: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of each frame, markers being sought as libjpeg does."""
    position = 0
    while (found := _MARKER.search(data, position)) and found[1][0] not in (0xD9, 0xDA):
        marker, position = found[1][0], found.end()
        if marker in _NO_LENGTH:
            continue
        if marker in (0xC8, 0xF7):  # JPEG-LS may say its size elsewhere
            raise ValueError("a tile or strip of an unusual JPEG")
        if marker in _FRAME:
            height, width, channels = struct.unpack_from(">HHB", data, position + 3)
            if channels > 4:
                raise ValueError(f"a tile or strip of {channels} channels")
            yield width, height
        position += struct.unpack_from(">H", data, position)[0]


def _jpeg2000(data: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    if not data.startswith(b"\xff\x4f\xff\x51"):  # boxes before the codestream
        kind = b""
        while kind != b"jp2c":
            length, kind = struct.unpack_from(">I4s", data, start)
            head = 8
            if length == 1:
                length, head = struct.unpack_from(">Q", data, start + 8)[0], 16
            if kind != b"jp2c" and length < head:
                raise ValueError("a tile or strip whose boxes are damaged")
            start += head if kind == b"jp2c" else length
        if data[start : start + 4] != b"\xff\x4f\xff\x51":
            raise ValueError("a tile or strip without the size of its JPEG 2000")
    right, bottom, left, top, wide, tall, x, y, channels = struct.unpack_from(
        ">8IH", data, start + 8
    )
    if channels > 4:
        raise ValueError(f"a tile or strip of {channels} channels")
    if not wide or not tall or -(-(right - x) // wide) * -(-(bottom - y) // tall) > _MOST_TILES:
        raise ValueError(f"a tile or strip of more than {_MOST_TILES} tiles of its own")
    yield right - left, bottom - top


def _png(data: bytes) -> Iterator[tuple[int, int]]:
    if data[12:16] != b"IHDR":
        raise ValueError("a tile or strip that is no PNG")
    yield struct.unpack_from(">II", data, 16)


def _webp(data: bytes) -> Iterator[tuple[int, int]]:
    kind = data[12:16] if data.startswith(b"RIFF") else b""
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise ValueError("a tile or strip that is no WebP")
    yield width, height


_SIZES: dict[int, Callable[[bytes], Iterator[tuple[int, int]]]] = {
    **dict.fromkeys((6, 7, 33007, 34892), _jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg2000),
    34933: _png,
    **dict.fromkeys((50001, 34927), _webp),
}
"""Compression -> sizes that data claim."""
