"""What `common.images` and the device's reader take, what they refuse, and with which words.

Both inspect files by the same code and decode them by different libraries.
"""

from __future__ import annotations

import io
import os
import struct
import zlib

import edge_bundle
import numpy as np
import pytest
from image_mutations import chunk, mutant, originals, picture, png_chunks
from PIL import Image, PngImagePlugin
from test_hostile import worse_images
from test_images import bad_images, encoded

from common import images
from common.errors import InputError

SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif"}


def by_library(path):
    """Pixels, or the reason why not."""
    try:
        return images.read(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
        return str(error).removeprefix(f"{path}: ")


def by_device(path):
    pixels = edge_bundle.device("pixels")
    try:
        return pixels.read(path)
    except pixels.ImageError as error:
        return str(error)


READERS = pytest.mark.parametrize("reader", [by_library, by_device])


# --- what is read ------------------------------------------------------------------------------


def raw_png(width: int, height: int, raw: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """RGB PNG with any bytes for its rows, and chunks before them."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def with_odd_chunks() -> bytes:
    """Whole pixels beside chunks that are broken, or unpack to a gigabyte."""
    rgb = picture(0)
    bomb = zlib.compress(bytes(2**26))
    return raw_png(
        rgb.shape[1], rgb.shape[0], b"".join(b"\0" + row.tobytes() for row in rgb),
        (b"gAMA", b"\0"), (b"cHRM", b"abc"), (b"pHYs", b""), (b"zTXt", b"note\0\0" + bomb),
        (b"iCCP", b"profile\0\0" + bomb), (b"tIME", b"x"), (b"eXIf", b"MM\0*broken"),
    )  # fmt: skip


def upside_down(bmp: bytes) -> bytes:
    """The same rows, said to begin at the top."""
    (height,) = struct.unpack_from("<i", bmp, 22)
    return bmp[:22] + struct.pack("<i", -height) + bmp[26:]


def good() -> dict[str, tuple[str, bytes, np.ndarray | None]]:
    """Name of the case: suffix, bytes, pixels (None: those that Pillow decodes)."""
    rgb = picture(0)
    words = PngImagePlugin.PngInfo()
    words.add_text("comment", "x" * 3_000_000, zip=True)
    turned = Image.Exif()
    turned[0x0112] = 1
    cases = {
        f"{kind} {number}": (SUFFIXES[kind], data, None if b"\xff\xd8\xff" in data else rgb)
        for number, (kind, data) in enumerate(originals())
    }
    cases |= {
        "long text": (".png", encoded(rgb, pnginfo=words), rgb),
        "odd chunks": (".png", with_odd_chunks(), rgb),
        "upright": (".png", encoded(rgb, exif=turned), rgb),
        "capital letters": (".PNG", encoded(rgb), rgb),
        "no suffix": ("", encoded(rgb), rgb),
        "BMP": (".bmp", encoded(rgb, "BMP"), rgb),
        "BMP from the top": (".bmp", upside_down(encoded(rgb[::-1], "BMP")), rgb),
        **{
            f"{width}x{height}": (
                ".png", encoded(picture(1, height, width)), picture(1, height, width)
            )
            for width, height in ((1, 1), (1, 5000), (5000, 1), (2, 65_535), (65_535, 2))
        },
    }  # fmt: skip
    return cases


GOOD = good()


@READERS
@pytest.mark.parametrize("case", GOOD)
def test_good_images(reader, case, tmp_path):
    suffix, data, expected = GOOD[case]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    if expected is None:
        expected = np.asarray(Image.open(io.BytesIO(data)))[..., :3]
    found = reader(path)
    assert isinstance(found, np.ndarray), found
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


# --- what is refused ---------------------------------------------------------------------------


def interlaced_quarter() -> bytes:
    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 1)
    rows = zlib.compress(b"".join(b"\0" + bytes([90]) * 24 for _ in range(8)))
    chunks = (b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def many_scans() -> bytes:
    """A progressive JPEG whose last scan comes thousands of times."""
    data = encoded(picture(0), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 5000 + b"\xff\xd9"


def tiff_of(entries: list[tuple[int, int, int, int]], *, rest: bytes = b"") -> bytes:
    """Little-endian TIFF of one page: (tag, type, count, value)."""
    return (
        struct.pack("<2sHIH", b"II", 42, 8, len(entries))
        + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        + struct.pack("<I", 0)
        + rest
    )


def greedy_tiffs() -> dict[str, bytes]:
    """Files that would make a reader copy themselves a thousand times, or read for hours."""
    plain = [(256, 4, 1, 40), (257, 4, 1, 30), (258, 3, 1, 8), (262, 3, 1, 2), (277, 3, 1, 3)]
    many = [(65000, 1, 1_000_000, 8)] * 2000
    strips = [(273, 4, 2_000_000, 8), (279, 4, 2_000_000, 8)]
    pages = b"".join(
        struct.pack("<HHHIII", 1, 254, 4, 1, 1, 8 + 18 * (number + 1)) for number in range(5000)
    )
    big = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 2**40)
    return {
        "tags that overlap": tiff_of(plain + many, rest=bytes(1_000_000)),
        "millions of strips": tiff_of(plain + strips, rest=bytes(17_000_000)),
        "thousands of pages": struct.pack("<2sHI", b"II", 42, 8) + pages,
        "a trillion tags": big + bytes(5_000_000),
    }


BAD = {
    **{name: case for name, case in (bad_images() | worse_images()).items() if name != "huge"},
    "huge": ("a.png", bad_images()["huge"][1], "60000x60000 px, more than"),
    "a quarter of the rows": (
        "a.png", raw_png(256, 256, (b"\0" + b"\xb0\x60\xa0" * 256) * 64), "damaged",
    ),
    "all rows but one byte": ("a.png", raw_png(40, 30, bytes(30 * 121 - 1)), "damaged"),
    "interlaced, the first pass alone": ("a.png", interlaced_quarter(), "damaged"),
    "1x33000000": (
        "a.png", raw_png(1, 33_000_000, bytes(4 * 33_000_000)), "with a side of more than 65535 px",
    ),
    "3x1000000": (
        "a.png", raw_png(3, 1_000_000, bytes(10_000_000)), "with a side of more than 65535 px",
    ),
    "thousands of scans": ("a.jpg", many_scans(), "more than 100 JPEG scans"),
    **{name: ("a.tif", data, "is ") for name, data in greedy_tiffs().items()},
}  # fmt: skip


@READERS
@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_images(reader, case, tmp_path):
    name, data, reason = BAD[case]
    path = tmp_path / name
    path.write_bytes(data)
    found = reader(path)
    assert isinstance(found, str), f"read as an image of {np.shape(found)}"
    assert reason in found
    assert ";" in found, "says what to do"


@pytest.mark.parametrize("case", sorted(BAD))
def test_only_what_more_bytes_could_mend_is_waited_for(case, tmp_path):
    name, data, _ = BAD[case]
    path = tmp_path / name
    path.write_bytes(data)
    pixels = edge_bundle.device("pixels")
    with pytest.raises(pixels.ImageError) as caught:
        pixels.read(path)
    mends = ("cut short", "damaged", "is empty", "not an image", "cannot be decoded", "no pixels")
    assert caught.value.incomplete == any(each in str(caught.value) for each in (*mends, "missing"))


@READERS
def test_what_is_no_file(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nowhere.png").symlink_to("gone.png")
    for name in ("pipe.png", "folder.png", "/dev/zero", "missing.png", "nowhere.png"):
        assert isinstance(reader(tmp_path / name), str)


def test_damaged_files_are_read_alike_or_refused_by_both(tmp_path):
    """`fuzz_images` holds the library's reader against others; the device's is held against it."""
    files = originals()
    apart = {}
    for number in range(700):
        kind, data, _, done = mutant(number, files)
        path = tmp_path / f"a{SUFFIXES[kind]}"
        path.write_bytes(data)
        one, other = by_library(path), by_device(path)
        if isinstance(one, str) != isinstance(other, str):
            # libpng unpacks no further than the rows that the header names.
            if kind != "PNG" or unpacks(data):
                apart[number] = kind, done, one, other
        elif not isinstance(one, str) and not np.array_equal(one, other):
            apart[number] = kind, done, "other pixels"
    assert apart == {}


def unpacks(png: bytes) -> bool:
    try:
        zlib.decompress(b"".join(data for kind, data in png_chunks(png) if kind == b"IDAT"))
    except zlib.error:
        return False
    return True
