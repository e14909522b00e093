"""What PNG, JPEG and TIFF files say of themselves, checked without decoding their pixels.

`inspect` finds what is no plain 8-bit RGB image, and damage that OpenCV would pass over: it decodes
half a JPEG and a TIFF with broken compressed data without a word, ignores the checksums of a PNG,
and turns 16-bit and grey images into 8-bit colour.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

# A patch, not a whole slide: 128 megapixels are 384 MiB once decoded.
MAX_PIXELS = 2**27

EXTENSIONS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".tif": "TIFF", ".tiff": "TIFF",
    ".bmp": "BMP", ".gif": "GIF", ".webp": "WebP",
}  # fmt: skip
_OTHER_FORMATS = {b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WebP", b"\x00\x00\x00\x0cjP": "JPEG 2000"}

AGAIN = "copy or download it again"
RESAVE = "save it as 8-bit RGB, or take the original image"
_CUT = f"is cut short; {AGAIN}"


class ImageError(Exception):
    """What is wrong with an image, and what to do; the caller knows the file's name."""


@dataclass(frozen=True)
class Header:
    """What a sound file is: its size in px, whether it has an alpha channel.

    `kind` is "PNG", "JPEG" or "TIFF". `forgiven` says that OpenCV would pass over damage to the
    compressed pixels, so that another reader must decode them. `segments` are the places in a JPEG
    where a piece of compressed data ends.
    """

    width: int
    height: int
    kind: str
    alpha: bool = False
    forgiven: bool = False
    segments: tuple[int, ...] = ()


def inspect(data: bytes, extension: str) -> Header:
    """Check header, structure and end of an encoded image; cheap beside decoding it.

    Parameters
    ----------
    data : bytes
        The whole file.
    extension : str
        Of its name, such as ".png"; a file of another format is refused.

    Raises
    ------
    ImageError
    """
    if not data:
        raise ImageError(f"is empty (0 bytes); {AGAIN}")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        kind, header = "PNG", _png
    elif data.startswith(b"\xff\xd8\xff"):
        kind, header = "JPEG", _jpeg
    elif data[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        kind, header = "TIFF", _tiff
    else:
        for magic, name in _OTHER_FORMATS.items():
            if data.startswith(magic):
                raise ImageError(f"is a {name} file; PNG, JPEG and TIFF are read: convert it")
        raise ImageError(
            f"is not an image (it begins with {data[:8]!r}); remove it, or download it again"
        )
    claimed = EXTENSIONS.get(extension.lower(), kind)
    if claimed != kind:
        raise ImageError(
            f"is a {kind} file with a {claimed} name, so not the original; "
            "take the original image, or rename the file"
        )
    try:
        return header(data)
    except (struct.error, IndexError, OverflowError):
        raise ImageError(_CUT) from None


def _damaged(what: str) -> ImageError:
    return ImageError(f"is damaged ({what}); {AGAIN}")


def _require_size(width: int, height: int) -> None:
    if width == 0 or height == 0:
        raise ImageError(f"has no pixels ({width}x{height}); {AGAIN}")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"is {width}x{height} px, more than {MAX_PIXELS // 2**20} megapixels; "
            "cut it into patches"
        )


def _require_8_bit(depth: int) -> None:
    if depth != 8:
        raise ImageError(f"has {depth} bits per channel; {RESAVE}")


def _require_upright(orientation: int) -> None:
    if orientation not in (0, 1):
        raise ImageError(
            f"is turned by its EXIF orientation ({orientation}); save it with its pixels turned"
        )


# --- PNG ---------------------------------------------------------------------------------------


def _png(data: bytes) -> Header:
    view = memoryview(data)
    position, ended, pixel_bytes, before = 8, False, 0, b""
    transparent = animated = False
    orientation = 1
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        # OpenCV's reader does not look at the checksums: a flipped bit would pass as pixels.
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise _damaged("a PNG checksum is wrong")
        if (name == b"IHDR") != (position == 8):
            raise _damaged("the PNG header is not where it belongs")
        if name == b"IEND":
            ended = True
            break
        if name == b"IDAT":
            if pixel_bytes and before != name:
                raise _damaged("the PNG's pixels lie apart")
            pixel_bytes += length
        elif name == b"tRNS":
            transparent = True
        elif name == b"acTL":
            animated = struct.unpack_from(">I", data, position + 8)[0] > 1
        elif name == b"eXIf":
            orientation = _orientation(data[position + 8 : end])
        elif name[0] < 0x60 and name not in (b"IHDR", b"PLTE"):  # upper case: must be understood
            raise _damaged(f"unknown PNG chunk {name!r}")
        before, position = name, end + 4
    if not ended:
        raise ImageError(_CUT)
    if struct.unpack_from(">I", data, 8)[0] != 13:
        raise _damaged("the PNG header has a wrong length")
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
        raise _damaged(f"unknown kind of PNG {colour}.{packing}.{filtering}.{interlace}")
    _require_8_bit(depth)
    if transparent:
        raise ImageError(f"has a transparent colour; {RESAVE}")
    _require_upright(orientation)
    _require_size(width, height)
    # Deflate packs at most 1032 to 1: fewer bytes cannot be these pixels.
    if 1032 * pixel_bytes < height * (1 + width * (3 if colour == 2 else 4)):
        raise ImageError(_CUT)
    return Header(width, height, "PNG", alpha=colour == 6)


# --- JPEG --------------------------------------------------------------------------------------

_SOF, _DHT, _RST, _SOI, _EOI, _SOS, _DQT, _DRI, _APP, _COM = (
    (0xC0, 0xC1, 0xC2), 0xC4, range(0xD0, 0xD8), 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, range(0xE0, 0xF0),
    0xFE,
)  # fmt: skip
_OTHER_SOF = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_MARKER = re.compile(rb"\xff+([^\x00\xff])")


def _jpeg(data: bytes) -> Header:
    position, orientation, restart = 2, 1, 0
    frame: tuple[int, int, int, int] | None = None
    progressive = False
    # Bits of each coefficient of each component that are still to come; 16: none has come.
    missing: dict[int, list[int]] = {}
    segments: list[int] = []
    while True:
        if data[position] != 0xFF:
            raise _damaged("a JPEG marker is missing")
        marker = data[position + 1]
        if marker == 0xFF:  # padding before a marker
            position += 1
            continue
        if marker == _EOI:
            break
        if marker in _OTHER_SOF:
            raise ImageError(f"has an unusual JPEG coding (SOF{marker - 0xC0}); {RESAVE}")
        if not (marker in (*_SOF, _DHT, _SOS, _DQT, _DRI, _COM) or marker in _APP):
            raise _damaged(f"JPEG marker {marker:02X} out of place")
        length = struct.unpack_from(">H", data, position + 2)[0]
        body, end = position + 4, position + 2 + length
        if end > len(data):
            raise ImageError(_CUT)
        if marker in _SOF:
            if frame is not None:
                raise _damaged("two JPEG frames")
            frame = struct.unpack_from(">BHHB", data, body)
            progressive = marker == 0xC2
            missing = {data[body + 6 + 3 * i]: [16] * 64 for i in range(frame[3])}
        elif marker == _DRI:
            restart = struct.unpack_from(">H", data, body)[0]
        elif marker == 0xE1 and data[body : body + 6] == b"Exif\x00\x00":
            orientation = _orientation(data[body + 6 : end])
        position = end
        if marker == _SOS:
            if frame is None:
                raise _damaged("JPEG pixels before their frame")
            _note_scan(data, body, missing, progressive)
            ends = _scan_segments(data, position, restart)
            segments += ends
            position = ends[-1]
    if frame is None or not segments:
        raise ImageError(_CUT)
    depth, height, width, components = frame
    _require_8_bit(depth)
    if components == 1:
        raise ImageError(f"is a grey-scale image; {RESAVE}")
    if components == 4:
        raise ImageError(f"has CMYK colours; {RESAVE}")
    if components != 3:
        raise ImageError(f"has {components} channels; {RESAVE}")
    _require_upright(orientation)
    _require_size(width, height)
    if any(any(bits) for bits in missing.values()):
        raise ImageError(f"is cut short (JPEG scans are missing); {AGAIN}")
    return Header(width, height, "JPEG", forgiven=True, segments=tuple(segments))


def _note_scan(data: bytes, body: int, missing: dict[int, list[int]], progressive: bool) -> None:
    """Note which coefficients of which components a scan brings, and to how many bits."""
    count = data[body]
    first, last, precision = struct.unpack_from("BBB", data, body + 1 + 2 * count)
    for i in range(count):
        component = data[body + 1 + 2 * i]
        if component not in missing:
            raise _damaged("JPEG pixels of an unknown channel")
        bits = missing[component]
        if not progressive:
            if bits[0] == 0:
                raise _damaged("JPEG pixels stand there twice")
            bits[:] = [0] * 64
            continue
        for coefficient in range(first, min(last, 63) + 1):
            bits[coefficient] = precision & 15


def _scan_segments(data: bytes, position: int, restart: int) -> list[int]:
    """Where the pieces of a scan's compressed data end; the last is where the next marker stands.

    Markers inside are restarts, which count from 0 to 7.
    """
    ends: list[int] = []
    for found in _MARKER.finditer(data, position):
        ends.append(found.start())
        marker = found[1][0]
        if marker not in _RST:
            return ends
        if not restart or marker != 0xD0 + (len(ends) - 1) % 8:
            raise _damaged("a JPEG restart marker out of place")
    raise ImageError(_CUT)


def with_filler(data: bytes, segments: tuple[int, ...]) -> bytes:
    """Put bytes behind every piece of a JPEG's compressed data.

    A decoder never reads them where a piece is whole. Where one is cut short it reads them instead
    of the zeros that it makes up otherwise, and gives another picture: the only way to notice
    without decoding by hand, as JPEG has no checksums and decoders go on in silence.
    """
    starts = (0, *segments)
    pieces = [data[a:b] for a, b in zip(starts, segments, strict=False)]
    return _FILLER.join([*pieces, data[segments[-1] :]])


_FILLER = bytes(range(1, 128))


# --- TIFF, and EXIF, which is a TIFF without pixels --------------------------------------------

_TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339
_SUBFILE = 254
# What decides the pixels, or whether there are any: readers disagree about odd values of these.
_TAGS = frozenset((
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIPS, _ORIENTATION,
    _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES,
    _SAMPLE_FORMAT, _EXTRA_SAMPLES, _SUBFILE,
))  # fmt: skip


def _tiff_pages(data: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """The `_TAGS` of every page of a TIFF, or of EXIF data."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, count_format, entry_size, field = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    offset = struct.unpack_from(order + word, data, 8 if big else 4)[0]
    seen = set()
    while offset and offset not in seen:
        seen.add(offset)
        entries = struct.unpack_from(order + count_format, data, offset)[0]
        first = offset + struct.calcsize(order + count_format)
        tags: dict[int, tuple[int, ...]] = {}
        for entry in range(first, first + entries * entry_size, entry_size):
            tag, kind, count = struct.unpack_from(order + "HH" + word, data, entry)
            if tag not in _TAGS:
                continue
            if tag in tags:
                raise _damaged(f"the TIFF tag {tag} stands there twice")
            if kind not in _TIFF_TYPES or not count:
                raise _damaged(f"the TIFF tag {tag} is of an impossible type")
            if count > len(data):
                raise ImageError(_CUT)
            values = f"{order}{count}{_TIFF_TYPES[kind]}"
            at = entry + entry_size - field
            if struct.calcsize(values) > field:
                at = struct.unpack_from(order + word, data, at)[0]
            tags[tag] = struct.unpack_from(values, data, at)
        yield tags
        offset = struct.unpack_from(order + word, data, first + entries * entry_size)[0]


def _orientation(exif: bytes) -> int:
    # Damaged EXIF data is the writer's slip, not a fault of the pixels.
    with contextlib.suppress(struct.error, IndexError, OverflowError, ImageError):
        for tags in _tiff_pages(exif):
            return tags.get(_ORIENTATION, (1,))[0]
    return 1


def _tiff(data: bytes) -> Header:
    # Pages marked as reduced copies (NewSubfileType bit 0) are previews of the first one.
    pages = [page for page in _tiff_pages(data) if not page.get(_SUBFILE, (0,))[0] & 1]
    if not pages or _WIDTH not in pages[0] or _HEIGHT not in pages[0]:
        raise ImageError(_CUT)
    if len(pages) > 1:
        raise ImageError(f"holds {len(pages)} images; save the one that is meant on its own")
    page = pages[0]

    def value(tag: int, default: int) -> int:
        return page.get(tag, (default,))[0]

    photometric = value(_PHOTOMETRIC, 2)
    if photometric in (0, 1):
        raise ImageError(f"is a grey-scale image; {RESAVE}")
    if photometric == 3:
        raise ImageError(f"has palette colours; {RESAVE}")
    if photometric == 5:
        raise ImageError(f"has CMYK colours; {RESAVE}")
    bits = page.get(_BITS, (1,))
    _require_8_bit(next((depth for depth in bits if depth != 8), 8))
    samples, compression = value(_SAMPLES, 1), value(_COMPRESSION, 1)
    # YCbCr (6) is what JPEG makes of RGB; elsewhere it stands for other colours.
    known = photometric == 2 or (photometric == 6 and compression == 7)
    if not known or samples not in (3, 4) or value(_SAMPLE_FORMAT, 1) != 1:
        raise ImageError(f"has unusual colours (TIFF photometric {photometric}); {RESAVE}")
    _require_upright(value(_ORIENTATION, 1))
    width, height = page[_WIDTH][0], page[_HEIGHT][0]
    _require_size(width, height)
    plain = compression == 1 and value(_FILL_ORDER, 1) == 1
    _require_pixels(page, len(data), width, height, samples, plain)
    return Header(width, height, "TIFF", alpha=samples == 4, forgiven=not plain)


def _require_pixels(
    page: dict[int, tuple[int, ...]], size: int, width: int, height: int, samples: int, plain: bool
) -> None:
    """Check that a page's strips or tiles are all there, and long enough if not compressed."""
    planes = samples if page.get(_PLANAR, (1,))[0] == 2 else 1
    channels = samples // planes
    if _TILES in page:
        across, down = page.get(_TILE_WIDTH, (0,))[0], page.get(_TILE_HEIGHT, (0,))[0]
        if not across or not down:
            raise ImageError(_CUT)
        count = -(-width // across) * -(-height // down)
        needed = [across * down * channels] * count
        offsets, lengths = page[_TILES], page.get(_TILE_BYTES, ())
    else:
        rows = min(page.get(_ROWS, (height,))[0], height)
        if not rows:
            raise ImageError(_CUT)
        needed = [min(rows, height - top) * width * channels for top in range(0, height, rows)]
        offsets, lengths = page.get(_STRIPS, ()), page.get(_STRIP_BYTES, ())
    needed = needed * planes
    if len(offsets) != len(needed) or len(lengths) != len(needed):
        raise ImageError(_CUT)
    for offset, length, pixels in zip(offsets, lengths, needed, strict=True):
        if offset + length > size or (plain and length < pixels) or not length:
            raise ImageError(_CUT)
