"""Check a JPEG: its markers, its scans, and whether its compressed data can be whole."""

from __future__ import annotations

import re
import struct

from common.images.header import (
    AGAIN,
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

_SOF, _DHT, _RST, _SOI, _EOI, _SOS, _DQT, _DRI, _APP, _COM = (
    (0xC0, 0xC1, 0xC2), 0xC4, range(0xD0, 0xD8), 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, range(0xE0, 0xF0),
    0xFE,
)  # fmt: skip
_OTHER_SOF = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
# Some ten are usual. A file of a few bytes with thousands keeps a decoder busy for hours.
_MOST_PASSES = 100
_MARKER = re.compile(rb"\xff+([^\x00\xff])")


def jpeg_header(data: bytes) -> Header:
    """Check the structure of a JPEG.

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
    position, orientation, restart = 2, 1, 0
    frame: tuple[int, int, int, int] | None = None
    progressive = False
    # Bits of each coefficient of each component that are still to come; 16: none has come.
    missing: dict[int, list[int]] = {}
    segments: list[int] = []
    passes = 0
    while True:
        if data[position] != 0xFF:
            raise damaged("a JPEG marker is missing")
        marker = data[position + 1]
        if marker == 0xFF:  # padding before a marker
            position += 1
            continue
        if marker == _EOI:
            break
        if marker in _OTHER_SOF:
            raise ImageError(f"has an unusual JPEG coding (SOF{marker - 0xC0}); {RESAVE}")
        if not (marker in (*_SOF, _DHT, _SOS, _DQT, _DRI, _COM) or marker in _APP):
            raise damaged(f"JPEG marker {marker:02X} out of place")
        length = struct.unpack_from(">H", data, position + 2)[0]
        body, end = position + 4, position + 2 + length
        if end > len(data):
            raise ImageError(CUT)
        if marker in _SOF:
            if frame is not None:
                raise damaged("two JPEG frames")
            frame = struct.unpack_from(">BHHB", data, body)
            progressive = marker == 0xC2
            missing = {data[body + 6 + 3 * i]: [16] * 64 for i in range(frame[3])}
        elif marker == _DRI:
            restart = struct.unpack_from(">H", data, body)[0]
        elif marker == 0xE1 and data[body : body + 6] == b"Exif\x00\x00":
            orientation = exif_orientation(data[body + 6 : end])
        position = end
        if marker == _SOS:
            if frame is None:
                raise damaged("JPEG pixels before their frame")
            passes += 1
            if passes > _MOST_PASSES:
                raise damaged(f"more than {_MOST_PASSES} JPEG scans")
            _note_scan(data, body, missing, progressive)
            ends = _scan_segments(data, position, restart, -(-frame[1] // 8) * -(-frame[2] // 8))
            segments += ends
            position = ends[-1]
    if frame is None or not segments:
        raise ImageError(CUT)
    depth, height, width, components = frame
    require_8_bit(depth)
    if components == 1:
        raise ImageError(f"is a grey-scale image; {RESAVE}")
    if components == 4:
        raise ImageError(f"has CMYK colours; {RESAVE}")
    if components != 3:
        raise ImageError(f"has {components} channels; {RESAVE}")
    require_upright(orientation)
    require_size(width, height)
    if any(any(bits) for bits in missing.values()):
        raise ImageError(f"is cut short (JPEG scans are missing); {AGAIN}")
    return Header(
        width, height, "JPEG", forgiven=True, segments=tuple(segments), passes=passes
    )  # fmt: skip


def _note_scan(data: bytes, body: int, missing: dict[int, list[int]], progressive: bool) -> None:
    """Note which coefficients of which components a scan brings, and to how many bits."""
    count = data[body]
    first, last, precision = struct.unpack_from("BBB", data, body + 1 + 2 * count)
    for i in range(count):
        component = data[body + 1 + 2 * i]
        if component not in missing:
            raise damaged("JPEG pixels of an unknown channel")
        bits = missing[component]
        if not progressive:
            if bits[0] == 0:
                raise damaged("JPEG pixels stand there twice")
            bits[:] = [0] * 64
            continue
        for coefficient in range(first, min(last, 63) + 1):
            bits[coefficient] = precision & 15


def _scan_segments(data: bytes, position: int, restart: int, blocks: int) -> list[int]:
    """Where the pieces of a scan's compressed data end; the last is where the next marker stands.

    Markers inside are restarts, which count from 0 to 7; there are not more than blocks.
    """
    ends: list[int] = []
    for found in _MARKER.finditer(data, position):
        ends.append(found.start())
        marker = found[1][0]
        if marker not in _RST:
            return ends
        if not restart or marker != 0xD0 + (len(ends) - 1) % 8 or len(ends) > blocks:
            raise damaged("a JPEG restart marker out of place")
    raise ImageError(CUT)


def with_filler(data: bytes, segments: tuple[int, ...]) -> bytes:
    """Put bytes behind every piece of a JPEG's compressed data.

    A decoder never reads them where a piece is whole. Where one is cut short it reads them instead
    of the zeros that it makes up otherwise, and gives another picture: the only way to notice
    without decoding by hand, as JPEG has no checksums and decoders go on in silence.

    Parameters
    ----------
    data : bytes
        A whole JPEG file.
    segments : tuple of int
        Where the pieces of compressed data end.
    """
    starts = (0, *segments)
    pieces = [data[a:b] for a, b in zip(starts, segments)]
    return _FILLER.join([*pieces, data[segments[-1] :]])


_FILLER = bytes(range(1, 128))
