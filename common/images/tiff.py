"""Check a TIFF, and read the orientation in EXIF data, which is a TIFF without pixels."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator

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

_TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339
_SUBFILE = 254
_OTHER_CODINGS = {
    33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000",
    50001: "WebP", 34927: "WebP", 50002: "JPEG XL", 52546: "JPEG XL", 34925: "LZMA",
    50000: "Zstandard",
}  # fmt: skip
_TYPE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
# More than any writer makes; a small file that claims more keeps a reader busy for hours.
_MOST_PAGES, _MOST_TAGS, _MOST_VALUES = 256, 4096, 2**19
# What decides the pixels, or whether there are any: readers disagree about odd values of these.
_TAGS = frozenset((
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIPS, _ORIENTATION,
    _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES,
    _SAMPLE_FORMAT, _EXTRA_SAMPLES, _SUBFILE,
))  # fmt: skip
# Of these a page has several values.
_LISTS = frozenset((
    _BITS, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, _SAMPLE_FORMAT, _EXTRA_SAMPLES,
))  # fmt: skip


def tiff_pages(data: bytes | mmap.mmap) -> Iterator[dict[int, tuple[int, ...]]]:
    """Read the tags that decide the pixels of every page of a TIFF, or of EXIF data.

    Parameters
    ----------
    data : bytes or mmap
        The whole file.

    Yields
    ------
    dict
        Tag -> values.

    Raises
    ------
    ImageError
        If it claims more than it holds. A file that is cut short may also raise `struct.error`,
        `IndexError` or `OverflowError`.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, count_format, entry_size, field = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    offset = struct.unpack_from(order + word, data, 8 if big else 4)[0]
    seen: set[int] = set()
    claimed = 0
    while offset and offset not in seen:
        seen.add(offset)
        entries = struct.unpack_from(order + count_format, data, offset)[0]
        if entries > _MOST_TAGS or len(seen) > _MOST_PAGES:
            raise damaged("the TIFF claims thousands of tags or pages")
        first = offset + struct.calcsize(order + count_format)
        tags: dict[int, tuple[int, ...]] = {}
        for entry in range(first, first + entries * entry_size, entry_size):
            tag, kind, count = struct.unpack_from(order + "HH" + word, data, entry)
            # Readers copy what tags hold, so that overlapping ones multiply the file.
            claimed += count * (_TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 0)
            if claimed > len(data):
                raise ImageError(CUT)
            if tag not in _TAGS:
                continue
            if tag in tags:
                raise damaged(f"the TIFF tag {tag} stands there twice")
            if kind not in _TIFF_TYPES or not count or (count > 1 and tag not in _LISTS):
                raise damaged(f"the TIFF tag {tag} is of an impossible type")
            if count > _MOST_VALUES:
                raise damaged(f"the TIFF tag {tag} holds {count} values")
            values = f"{order}{count}{_TIFF_TYPES[kind]}"
            at = entry + entry_size - field
            if struct.calcsize(values) > field:
                at = struct.unpack_from(order + word, data, at)[0]
            tags[tag] = struct.unpack_from(values, data, at)
        yield tags
        offset = struct.unpack_from(order + word, data, first + entries * entry_size)[0]


def exif_orientation(exif: bytes) -> int:
    """Read the orientation from EXIF data.

    Parameters
    ----------
    exif : bytes
        Without the marker before it.

    Returns
    -------
    int
        1 (upright) where it says none or is damaged.
    """
    # Damaged EXIF data is the writer's slip, not a fault of the pixels.
    with contextlib.suppress(struct.error, IndexError, OverflowError, ImageError):
        for tags in tiff_pages(exif):
            return tags.get(_ORIENTATION, (1,))[0]
    return 1


def tiff_header(data: bytes) -> Header:
    """Check the structure of a TIFF.

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
    # Pages marked as reduced copies (NewSubfileType bit 0) are previews of the first one.
    pages = [page for page in tiff_pages(data) if not page.get(_SUBFILE, (0,))[0] & 1]
    if not pages or _WIDTH not in pages[0] or _HEIGHT not in pages[0]:
        raise ImageError(CUT)
    if len(pages) > 1:
        raise ImageError(f"holds {len(pages)} images; save the one that is meant on its own")
    page = pages[0]

    def value(tag: int, default: int) -> int:
        return page.get(tag, (default,))[0]

    coded = _OTHER_CODINGS.get(value(_COMPRESSION, 1))
    if coded is not None:
        raise ImageError(f"is a TIFF whose pixels are {coded}, which is not read; {RESAVE}")
    photometric = value(_PHOTOMETRIC, 2)
    if photometric in (0, 1):
        raise ImageError(f"is a grey-scale image; {RESAVE}")
    if photometric == 3:
        raise ImageError(f"has palette colours; {RESAVE}")
    if photometric == 5:
        raise ImageError(f"has CMYK colours; {RESAVE}")
    bits = page.get(_BITS, (1,))
    require_8_bit(next((depth for depth in bits if depth != 8), 8))
    samples, compression = value(_SAMPLES, 1), value(_COMPRESSION, 1)
    # YCbCr (6) is what JPEG makes of RGB; elsewhere it stands for other colours.
    known = photometric == 2 or (photometric == 6 and compression == 7)
    if not known or samples not in (3, 4) or value(_SAMPLE_FORMAT, 1) != 1:
        raise ImageError(f"has unusual colours (TIFF photometric {photometric}); {RESAVE}")
    require_upright(value(_ORIENTATION, 1))
    width, height = page[_WIDTH][0], page[_HEIGHT][0]
    require_size(width, height)
    plain = compression == 1 and value(_FILL_ORDER, 1) == 1
    _require_pixels(page, len(data), width, height, samples, plain)
    return Header(width, height, "TIFF", alpha=samples == 4, forgiven=not plain)


def _require_pixels(
    page: dict[int, tuple[int, ...]], size: int, width: int, height: int, samples: int, plain: bool
) -> None:
    """Check that a page's strips or tiles are all there, and long enough if not compressed."""
    planar = page.get(_PLANAR, (1,))[0]
    tiled = {tag in page for tag in (_TILE_WIDTH, _TILE_HEIGHT, _TILES)}
    if planar not in (1, 2) or len(tiled) > 1:
        raise damaged("its TIFF tags contradict each other")
    planes = samples if planar == 2 else 1
    channels = samples // planes
    if _TILES in page:
        across, down = page.get(_TILE_WIDTH, (0,))[0], page.get(_TILE_HEIGHT, (0,))[0]
        if not across or not down:
            raise ImageError(CUT)
        count = -(-width // across) * -(-height // down)
        needed = [across * down * channels] * count
        offsets, lengths = page[_TILES], page.get(_TILE_BYTES, ())
    else:
        rows = min(page.get(_ROWS, (height,))[0], height)
        if not rows:
            raise ImageError(CUT)
        needed = [min(rows, height - top) * width * channels for top in range(0, height, rows)]
        offsets, lengths = page.get(_STRIPS, ()), page.get(_STRIP_BYTES, ())
    needed = needed * planes
    if len(offsets) != len(needed) or len(lengths) != len(needed):
        raise ImageError(CUT)
    for offset, length, pixels in zip(offsets, lengths, needed):
        if offset + length > size or (plain and length < pixels) or not length:
            raise ImageError(CUT)
