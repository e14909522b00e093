"""PNGs by the extra `decode`: the same pixels, fingerprints and refusals as without it."""

import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from common import images
from common.errors import InputError
from common.images import fast_png, reading
from common.images.formats import ImageError, inspect

pytest.importorskip("isal")
pytest.importorskip("kornia_rs")

COUNT = 24


@pytest.fixture(params=["kornia-rs", "OpenCV"], autouse=True)
def reader(request, monkeypatch):
    """What takes the filters off: it depends on how many cores there are."""
    cores = 2 if request.param == "kornia-rs" else 64
    monkeypatch.setattr(fast_png, "cores", lambda: cores)
    return request.param


@pytest.fixture
def folder(tmp_path):
    """PNGs of every filter and packing, one with an opaque alpha channel, and a JPEG."""
    rng = np.random.default_rng(0)
    names = []
    for number in range(COUNT):
        image = rng.integers(0, 256, (9, 11, 3), np.uint8).repeat(8, 0).repeat(7, 1)
        image += rng.integers(0, 3, image.shape, np.uint8)
        picture = Image.fromarray(image[: 60 + number])
        if number == 3:
            picture.putalpha(255)
        ending = "jpg" if number == 5 else "png"
        names.append(f"{number}.{ending}")
        picture.save(tmp_path / names[-1], compress_level=number % 10)
    return tmp_path, names


def without(monkeypatch):
    """As where the extra is not installed."""
    monkeypatch.setattr(fast_png, "_isal", lambda: None)


def cached(folder, names, where):
    return images.cached(folder, names, 32, cache_dir=folder / where, workers=2, progress=False)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(rows, packed, interlace=0, parts=1):
    """A PNG of 5 px width, sound as far as its chunks go."""
    head = struct.pack(">IIBBBBB", 5, rows, 8, 2, 0, 0, interlace)
    cuts = [round(len(packed) * i / parts) for i in range(parts + 1)]
    pixels = [chunk(b"IDAT", packed[a:b]) for a, b in itertools.pairwise(cuts)]
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), *pixels, chunk(b"IEND", b"")])


def verdict(data):
    try:
        return reading.decode(data, ".png")
    except ImageError as problem:
        return str(problem)


def test_the_same_pixels_and_fingerprints(folder, monkeypatch):
    folder, names = folder
    found = cached(folder, names, "found")
    without(monkeypatch)
    plain = cached(folder, names, "plain")
    np.testing.assert_array_equal(found[np.arange(COUNT)], plain[np.arange(COUNT)])
    for name in ("pixels", "hashes"):
        ours, theirs = (getattr(each.fingerprints(), name) for each in (found, plain))
        np.testing.assert_array_equal(ours, theirs)


def test_opencv_is_not_asked_to_inflate(folder, monkeypatch, reader):
    folder, _ = folder
    inflated = []
    opencv = fast_png.decode_with_opencv
    monkeypatch.setattr(reading, "decode_with_opencv", None)  # the whole file
    monkeypatch.setattr(
        fast_png, "decode_with_opencv", lambda *given: inflated.append(1) or opencv(*given)
    )
    for name in ("0.png", "3.png", "9.png"):
        images.read(folder / name)
    assert len(inflated) == (3 if reader == "OpenCV" else 0)


def test_what_is_refused_is_refused_too(folder, monkeypatch):
    folder, names = folder
    data = (folder / "7.png").read_bytes()
    (folder / "7.png").write_bytes(data[:-30])
    (folder / "8.png").write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    Image.new("L", (20, 20)).save(folder / "9.png")
    with pytest.raises(InputError) as found:
        cached(folder, names, "found")
    without(monkeypatch)
    with pytest.raises(InputError) as plain:
        cached(folder, names, "plain")
    assert str(found.value) == str(plain.value) and "9.png" in str(plain.value)


RAW = b"".join(bytes([kind]) + bytes(range(40 * kind, 40 * kind + 15)) for kind in range(5))
SOUND = zlib.compress(RAW)
ODD = {
    "wrong Adler-32": (SOUND[:-1] + bytes([SOUND[-1] ^ 1]), False),
    "no Adler-32": (SOUND[:-4], False),
    "half an Adler-32": (SOUND[:-2], False),
    "cut": (SOUND[: len(SOUND) // 2], False),
    "a row is missing": (zlib.compress(RAW[:-16]), False),
    "a byte is missing": (zlib.compress(RAW[:-1]), False),
    "nothing": (b"", False),
    "no zlib stream": (b"\x78\x01" + bytes(40), False),
    "wrong first bytes": (b"\x78\x02" + SOUND[2:], False),
    "an unknown filter": (zlib.compress(b"\x05" + RAW[1:]), False),
    "a byte too many": (zlib.compress(RAW + b"\0"), True),
    "more after its end": (SOUND + b"more", True),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_pixels_have_the_same_verdict(what, monkeypatch):
    packed, readable = ODD[what]
    for parts in (1, 3):
        data = png(5, packed, parts=parts)
        with monkeypatch.context() as patch:
            without(patch)
            plain = verdict(data)
        assert isinstance(plain, np.ndarray) == readable
        np.testing.assert_array_equal(verdict(data), plain)


def test_each_filter_in_parts_and_interlaced(monkeypatch):
    for parts in (1, 2, 7):
        image = verdict(png(5, SOUND, parts=parts))
        np.testing.assert_array_equal(image, verdict(png(5, SOUND)))
        assert image[1, 1].tolist() == [83, 85, 87]  # Sub: 43 + 40, ...
    packed = zlib.compress(bytes(86))  # seven passes of black
    data = png(5, packed, interlace=1)
    assert fast_png.decode_png(data, inspect(data, ".png")) is None
    with monkeypatch.context() as patch:
        without(patch)
        plain = verdict(data)
    np.testing.assert_array_equal(verdict(data), plain)


def test_many_blocks_and_an_alpha_channel(tmp_path):
    rng = np.random.default_rng(1)
    for shape in ((300, 71, 3), (300, 71, 4)):
        image = rng.integers(0, 256, shape, np.uint8)
        data = cv2.imencode(".png", image)[1].tobytes()
        found = fast_png.decode_png(data, inspect(data, ".png"))
        order = [2, 1, 0, 3][: shape[2]]
        np.testing.assert_array_equal(found, image[..., order])


def test_an_image_of_many_pixels_is_left_to_opencv(monkeypatch):
    data = png(5, SOUND)
    assert fast_png.decode_png(data, inspect(data, ".png")) is not None
    monkeypatch.setattr(fast_png, "_MOST", len(RAW) - 1)
    assert fast_png.decode_png(data, inspect(data, ".png")) is None


def test_a_reader_that_fails_is_done_without(monkeypatch, reader):
    class Failing:
        def decode_image_png_u8(self, *given):
            raise BaseException("a panic")

    data = png(5, SOUND)
    plain = verdict(data)
    monkeypatch.setattr(fast_png, "_kornia", Failing)
    np.testing.assert_array_equal(verdict(data), plain)
    monkeypatch.setattr(fast_png, "_kornia", lambda: None)  # isal alone
    np.testing.assert_array_equal(verdict(data), plain)


def test_ctrl_c_is_not_taken_for_a_failure(monkeypatch, reader):
    class Stopped:
        def decode_image_png_u8(self, *given):
            raise KeyboardInterrupt

    monkeypatch.setattr(fast_png, "_kornia", Stopped)
    if reader == "kornia-rs":
        with pytest.raises(KeyboardInterrupt):
            verdict(png(5, SOUND))
