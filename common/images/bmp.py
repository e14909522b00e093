"""Check a BMP: what its header says, and that all rows are there."""

from __future__ import annotations

import struct

from common.images.header import CUT, RESAVE, Header, ImageError, damaged, require_size


def bmp_header(data: bytes) -> Header:
    """Check the structure of a BMP.

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
        Says what is wrong with it. A file that is cut short may also raise `struct.error`.
    """
    offset, head, width, height, planes, bits, packing = struct.unpack_from("<IIiiHHI", data, 10)
    if head < 40:
        raise ImageError(f"is a BMP of an old kind; {RESAVE}")
    if bits <= 8:
        raise ImageError(f"has palette colours; {RESAVE}")
    # 32 bits hold a fourth channel, of which readers disagree whether it is opacity.
    if bits != 24 or packing:
        raise ImageError(f"is a BMP of {bits} bits per pixel, packing {packing}; {RESAVE}")
    if planes != 1 or width < 0 or offset < 14 + head:
        raise damaged("the BMP header contradicts itself")
    height = abs(height)  # below 0: its first row is the top one
    require_size(width, height)
    if offset + height * (-(-3 * width // 4) * 4) > len(data):  # rows end at multiples of 4 bytes
        raise ImageError(CUT)
    return Header(width, height, "BMP")
