"""Decode PNGs faster, where isal and kornia-rs are installed (the extra `decode`): the same pixels.

Half of what OpenCV does with a PNG is to inflate it. isal inflates several times as fast; what
comes out is put into a PNG that is not compressed, for kornia-rs or OpenCV to take the filters
from. kornia-rs alone would be as fast, but it passes over a wrong or missing Adler-32. Whatever is
unusual is left to OpenCV, whose word on it is the same with and without the extra.
"""

from __future__ import annotations

import functools
import struct
from types import ModuleType

import cv2
import numpy as np

from common.backend import cores
from common.images.header import Header

_MOST = 2**26  # bytes of pixels: a few copies of them are held, and larger images are rare
_BLOCK = 2**16 - 1  # of deflate's blocks without compression
_LARGEST_WINDOW = b"\x78"  # so that no distance in the zlib stream reaches too far back
# kornia-rs takes the filters off in half of OpenCV's time, and holds Python's lock meanwhile: from
# some number of threads on OpenCV does more.
_LOCKED_CORES = 3


def decode_png(data: bytes, header: Header) -> np.ndarray | None:
    """Decode a PNG that `inspect` has verified.

    Parameters
    ----------
    data : bytes
        The whole file.
    header : Header

    Returns
    -------
    ndarray or None
        RGB, or RGBA with an alpha channel; None where another reader has to decide.
    """
    plain = _uncompressed(data, header)
    if plain is None:
        return None
    kornia = _kornia() if cores() <= _LOCKED_CORES else None
    if kornia is not None:
        shape, mode = (header.height, header.width), "rgba" if header.alpha else "rgb"
        try:
            return np.asarray(kornia.decode_image_png_u8(plain, shape, mode))
        except KeyboardInterrupt:
            raise
        except BaseException:  # it raises Exception itself; a panic of Rust code is none
            return None
    return decode_with_opencv(plain, header)


def decode_with_opencv(data: bytes, header: Header) -> np.ndarray | None:
    """Decode an image that `inspect` has verified.

    Parameters
    ----------
    data : bytes
        The whole file.
    header : Header

    Returns
    -------
    ndarray or None
        RGB, or RGBA with an alpha channel; None if it cannot be decoded.
    """
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if header.alpha and image is not None and image.ndim == 3 and image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    return image


def _uncompressed(data: bytes, header: Header) -> bytes | None:
    """The same PNG without compression; None unless all of its pixels, and no more, are there."""
    isal = _isal()
    count = header.height * (1 + header.width * (4 if header.alpha else 3))
    if isal is None or count > _MOST or data[28]:  # interlaced
        return None
    file, (position, last) = memoryview(data), header.segments
    chunks: list[bytes | memoryview] = []
    while position < last:
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append(file[position + 8 : position + 8 + length])
        position += 12 + length
    packed = b"".join(chunks)
    if not packed.startswith(_LARGEST_WINDOW):
        return None
    stream = isal.decompressobj()
    try:
        rows = stream.decompress(packed, count + 1)
    except isal.error:
        return None
    if len(rows) != count or not stream.eof or stream.unused_data:
        return None
    view = memoryview(rows)
    blocks: list[bytes | memoryview] = [b"IDAT\x78\x01"]
    for start in range(0, count, _BLOCK):
        length = min(_BLOCK, count - start)
        head = struct.pack("<BHH", start + length == count, length, length ^ _BLOCK)
        blocks += [head, view[start : start + length]]
    body = b"".join([*blocks, packed[-4:]])  # its Adler-32 stays the same
    parts = [
        data[:33],  # signature and header
        struct.pack(">I", len(body) - 4),
        body,
        struct.pack(">I", isal.crc32(body)),
        b"\0\0\0\0IEND\xaeB`\x82",
    ]
    return b"".join(parts)


@functools.cache
def _isal() -> ModuleType | None:
    try:
        from isal import isal_zlib
    except ImportError:
        return None
    return isal_zlib


@functools.cache
def _kornia() -> ModuleType | None:
    try:
        from kornia_rs import io
    except ImportError:
        return None
    return io
