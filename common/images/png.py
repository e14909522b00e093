"""Check a PNG: its chunks and their checksums, and what its header says."""

from __future__ import annotations

import struct
import zlib

from common.images.header import (
    CUT,
    RESAVE,
    Header,
    ImageError,
    damaged,
    require_8_bit,
    require_size,
    require_upright,
)
from common.images.tiff import exif_orientation


def png_header(data: bytes) -> Header:
    """Check the structure of a PNG.

    Parameters
    ----------
    data : bytes
        The whole file, whose first bytes have been recognised.

    Returns
    -------
    Header

    Raises
    ------
    ImageError
        Says what is wrong with it. A file that is cut short may also raise `struct.error`,
        `IndexError` or `OverflowError`.
    """
    view = memoryview(data)
    position, ended, pixel_bytes, before = 8, False, 0, b""
    first = last = 0
    transparent = animated = False
    orientation = 1
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        # OpenCV's reader does not look at the checksums: a flipped bit would pass as pixels.
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise damaged("a PNG checksum is wrong")
        if (name == b"IHDR") != (position == 8):
            raise damaged("the PNG header is not where it belongs")
        if name == b"IEND":
            ended = True
            break
        if name == b"IDAT":
            if pixel_bytes and before != name:
                raise damaged("the PNG's pixels lie apart")
            first, last = first or position, end + 4
            pixel_bytes += length
        elif name == b"tRNS":
            transparent = True
        elif name == b"acTL":
            animated = struct.unpack_from(">I", data, position + 8)[0] > 1
        elif name == b"eXIf":
            orientation = exif_orientation(data[position + 8 : end])
        # First letter in upper case: it must be understood. Third in lower case: none has that.
        elif (name[0] < 0x60 or name[2] >= 0x60) and name not in (b"IHDR", b"PLTE"):
            raise damaged(f"unknown PNG chunk {name!r}")
        before, position = name, end + 4
    if not ended:
        raise ImageError(CUT)
    if struct.unpack_from(">I", data, 8)[0] != 13:
        raise damaged("the PNG header has a wrong length")
    width, height, depth, colour, packing, filtering, interlace = struct.unpack_from(
        ">IIBBBBB", data, 16
    )
    if animated:
        raise ImageError("is an animation; save the frame that is meant as an image of its own")
    if colour == 3:
        raise ImageError(f"has palette colours; {RESAVE}")
    if colour in (0, 4):
        raise ImageError(f"is a grey-scale image; {RESAVE}")
    if colour not in (2, 6) or packing or filtering or interlace > 1:
        raise damaged(f"unknown kind of PNG {colour}.{packing}.{filtering}.{interlace}")
    require_8_bit(depth)
    if transparent:
        raise ImageError(f"has a transparent colour; {RESAVE}")
    require_upright(orientation)
    require_size(width, height)
    # Deflate packs at most 1032 to 1: fewer bytes cannot be these pixels.
    if 1032 * pixel_bytes < height * (1 + width * (3 if colour == 2 else 4)):
        raise ImageError(CUT)
    return Header(width, height, "PNG", alpha=colour == 6, segments=(first, last))
