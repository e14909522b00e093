from __future__ import annotations

import errno
import io
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from common import images
from common.errors import InputError
from common.images import __main__ as command
from common.images import build as build_module
from common.images.store import Store

ROOT = Path(__file__).resolve().parent.parent


def tissue(seed: int, height: int = 46, width: int = 70) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def write_folder(folder: Path, count: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:03}.png" for i in range(count)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(encoded(tissue(i)))
    return names


# --- reading ---


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("a.png", "PNG", {}),
        ("a.PNG", "PNG", {"optimize": True}),
        ("a.tif", "TIFF", {}),
        ("a.tiff", "TIFF", {"compression": "tiff_lzw"}),
        ("a.tif", "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("a.tif", "TIFF", {"big_tiff": True}),
    ],
)
def test_lossless_files_give_the_pixels_in_rgb(tmp_path, name, kind, options):
    (tmp_path / name).write_bytes(encoded(tissue(0), kind, **options))
    np.testing.assert_array_equal(images.read(tmp_path / name), tissue(0))


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_agrees_with_another_decoder(tmp_path, progressive):
    smooth = cv2.resize(tissue(0, 6, 8), (80, 60), interpolation=cv2.INTER_CUBIC)
    data = encoded(smooth, "JPEG", quality=95, progressive=progressive)
    (tmp_path / "a.jpg").write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(images.read(tmp_path / "a.jpg") - expected).max() <= 2


def test_opaque_alpha_is_dropped(tmp_path):
    alpha = np.dstack([tissue(0), np.full((46, 70), 255, np.uint8)])
    for name, kind in (("a.png", "PNG"), ("a.tif", "TIFF")):
        (tmp_path / name).write_bytes(encoded(alpha, kind))
        np.testing.assert_array_equal(images.read(tmp_path / name), tissue(0))


def bad_images() -> dict[str, tuple[str, bytes, str]]:
    rgb = tissue(0)
    grey, rgba = rgb[..., 0], np.dstack([rgb, rgb[..., 0]])
    png, jpeg, tiff = encoded(rgb), encoded(rgb, "JPEG"), encoded(rgb, "TIFF")
    thumbnail = Image.Exif()
    thumbnail[0x0112] = 6
    turned = encoded(rgb, "JPEG", exif=thumbnail)
    cmyk = io.BytesIO()
    Image.fromarray(rgb).convert("CMYK").save(cmyk, "JPEG")
    palette = io.BytesIO()
    Image.fromarray(rgb).convert("P").save(palette, "PNG")
    moving, pages = io.BytesIO(), io.BytesIO()
    frames = [Image.fromarray(tissue(i)) for i in (1, 2)]
    Image.fromarray(rgb).save(moving, "PNG", save_all=True, append_images=frames)
    Image.fromarray(rgb).save(pages, "TIFF", save_all=True, append_images=frames)
    deep = cv2.imencode(".png", rgb.astype(np.uint16) * 257)[1].tobytes()
    deep_tiff = cv2.imencode(".tif", rgb.astype(np.uint16) * 257)[1].tobytes()
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 1
    header = struct.pack(">4sIIBBBBB", b"IHDR", 60000, 60000, 8, 2, 0, 0, 0)
    huge = png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
    none = struct.pack(">4sIIBBBBB", b"IHDR", 0, 46, 8, 2, 0, 0, 0)
    empty = png[:12] + none + struct.pack(">I", zlib.crc32(none)) + png[33:]
    # An embedded preview ends like a JPEG: its end marker must not count for the whole.
    preview = jpeg[:2] + b"\xff\xe2" + struct.pack(">H", 12) + b"preview\xff\xd9\x00" + jpeg[2:]
    return {
        "zero byte": ("a.png", b"", "is empty"),
        "text": ("a.png", b"<html>not found</html>", "is not an image"),
        "cut PNG": ("a.png", png[: len(png) // 2], "is cut short"),
        "PNG without its end": ("a.png", png[:-12], "is cut short"),
        "PNG header alone": ("a.png", png[:20], "is cut short"),
        "cut JPEG": ("a.jpg", jpeg[: len(jpeg) // 2], "is cut short"),
        "cut JPEG with a preview": ("a.jpg", preview[:-300], "is cut short"),
        "JPEG header alone": ("a.jpg", jpeg[:40], "is cut short"),
        "cut TIFF": ("a.tif", tiff[: len(tiff) // 2], "is cut short"),
        "TIFF header alone": ("a.tif", tiff[:8], "is cut short"),
        "flipped bit": ("a.png", bytes(flipped), "is damaged"),
        "16-bit PNG": ("a.png", deep, "16 bits"),
        "16-bit TIFF": ("a.tif", deep_tiff, "16 bits"),
        "grey PNG": ("a.png", encoded(grey), "grey-scale"),
        "grey JPEG": ("a.jpg", encoded(grey, "JPEG"), "grey-scale"),
        "grey TIFF": ("a.tif", encoded(grey, "TIFF"), "grey-scale"),
        "transparent": ("a.png", encoded(rgba), "partly transparent"),
        "transparent TIFF": ("a.tif", encoded(rgba, "TIFF"), "partly transparent"),
        "transparent colour": ("a.png", encoded(rgb, transparency=(1, 2, 3)), "transparent"),
        "CMYK": ("a.jpg", cmyk.getvalue(), "CMYK"),
        "palette": ("a.png", palette.getvalue(), "palette"),
        "EXIF-turned JPEG": ("a.jpg", turned, "EXIF orientation (6)"),
        "EXIF-turned PNG": ("a.png", encoded(rgb, exif=thumbnail), "EXIF orientation (6)"),
        "animated": ("a.png", moving.getvalue(), "animation"),
        "several pages": ("a.tif", pages.getvalue(), "holds 3 images"),
        "huge": ("a.png", huge, "60000x60000 px"),
        "no pixels": ("a.png", empty, "no pixels"),
        "JPEG named PNG": ("a.png", jpeg, "is a JPEG file with a PNG name"),
        "PNG named JPEG": ("a.jpeg", png, "is a PNG file with a JPEG name"),
        "GIF": ("a.gif", encoded(rgb, "GIF"), "is a GIF file"),
        "BMP": ("a.bmp", encoded(rgb, "BMP"), "is a BMP file"),
    }


@pytest.mark.parametrize("case", sorted(bad_images()))
def test_bad_images_are_named_with_reason_and_cure(tmp_path, case):
    name, data, reason = bad_images()[case]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        images.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)
    assert ";" in str(error.value) or ":" in str(error.value).split(reason)[1]
    ((found, problem),) = images.check([path])
    assert found == path
    assert f"{path}: {problem}" == str(error.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        images.read(tmp_path / "a.png")
    with pytest.raises(InputError, match="is a folder"):
        images.read(tmp_path)


def test_a_tiff_with_a_preview_page_is_one_image(tmp_path):
    page, preview = Image.fromarray(tissue(0)), Image.fromarray(tissue(1, 8, 8))
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(tmp_path / "a.tif", save_all=True, append_images=[preview])
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif"), tissue(0))


def test_check_names_all_bad_files_at_once(tmp_path):
    names = write_folder(tmp_path, 6)
    (tmp_path / names[1]).write_bytes(b"")
    (tmp_path / names[4]).unlink()
    found = images.check([tmp_path / name for name in names], workers=3)
    assert [Path(path).name for path, _ in found] == [names[1], names[4]]


def test_resize_filters():
    image = tissue(0, 8, 8)
    halves = image.reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert np.abs(images.resize(image, 4) - halves).max() <= 0.5
    np.testing.assert_array_equal(images.resize(image, 4, "nearest"), image[::2, ::2])
    for name in images.FILTERS:
        assert images.resize(image, (3, 5), name).shape == (3, 5, 3)
        flat = np.full((9, 7, 3), 93, np.uint8)
        assert (images.resize(flat, 4, name) == 93).all()
    with pytest.raises(InputError, match="choose from area"):
        images.resize(image, 4, "bilinear")
    with pytest.raises(InputError, match="at least 1"):
        images.resize(image, 0)


@pytest.mark.data
def test_real_images(real_data):
    paths = sorted((real_data / "data/breakhis_100x").rglob("*.png"))
    assert images.check(paths) == []
    for path in paths[::40]:
        np.testing.assert_array_equal(images.read(path), np.asarray(Image.open(path)))
    source = images.read(real_data / "data/stain_pairs/source.png")  # RGBA
    assert source.shape[2] == 3


# --- cache ---


def build(folder: Path, names: list[str], cache: Path, **options) -> images.Pixels:
    return images.cached(folder, names, 16, cache_dir=cache, progress=False, **options)


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that were decoded."""
    decoded = []
    original = build_module.decode

    def record(data, extension):
        decoded.append(zlib.crc32(data))
        return original(data, extension)

    monkeypatch.setattr(build_module, "decode", record)
    return decoded


def expected(names: list[str]) -> np.ndarray:
    return np.stack([images.resize(tissue(int(name[:3])), 16) for name in names])


def test_cache_gives_every_image_in_the_order_asked_for(tmp_path, reads):
    names = write_folder(tmp_path / "data", 7)
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 7
    assert pixels.shape == (7, 16, 16, 3)
    assert len(pixels) == 7
    np.testing.assert_array_equal(np.asarray(pixels), expected(names))
    np.testing.assert_array_equal(pixels[2:5], expected(names)[2:5])
    np.testing.assert_array_equal(pixels[np.array([4, 1, 1])], expected(names)[[4, 1, 1]])
    assert not pixels[3].flags.writeable
    backwards = build(tmp_path / "data", names[::-1], tmp_path / "cache")
    assert len(reads) == 7
    np.testing.assert_array_equal(backwards[:], expected(names[::-1]))
    assert backwards.row(names[6]) == 0
    assert backwards.rows([names[0], names[6]]).tolist() == [6, 0]
    with pytest.raises(InputError, match=r"absent\.png"):
        backwards.row("absent.png")


def test_equal_files_are_stored_and_decoded_once(tmp_path, reads):
    names = write_folder(tmp_path / "data", 3)
    for copy in ("x.png", "y.png"):
        (tmp_path / "data" / copy).write_bytes((tmp_path / "data" / names[1]).read_bytes())
    everything = [*names, "x.png", "y.png", names[1]]
    pixels = build(tmp_path / "data", everything, tmp_path / "cache", workers=1)
    assert len(reads) <= 4  # two equal files may be under way at once
    np.testing.assert_array_equal(pixels[:], expected([*names, names[1], names[1], names[1]]))
    (stored,) = (tmp_path / "cache").glob("*/pixels.u8")
    assert stored.stat().st_size == 3 * 16 * 16 * 3
    # Moved elsewhere, the same bytes are known again.
    (tmp_path / "data").rename(tmp_path / "moved")
    reads.clear()
    build(tmp_path / "moved", everything, tmp_path / "cache")
    assert reads == []


def test_each_size_filter_and_transform_has_its_own_cache(tmp_path):
    names = write_folder(tmp_path / "data", 2)
    where = {"cache_dir": tmp_path / "cache", "progress": False}
    plain = images.cached(tmp_path / "data", names, 16, **where)
    images.cached(tmp_path / "data", names, 12, **where)
    nearest = images.cached(tmp_path / "data", names, 16, filter="nearest", **where)
    inverted = images.cached(
        tmp_path / "data", names, 16, transform=lambda x: 255 - x, transform_id="invert", **where
    )
    assert len(list((tmp_path / "cache").iterdir())) == 4
    np.testing.assert_array_equal(nearest[0], images.resize(tissue(0), 16, "nearest"))
    assert np.abs(inverted[:].astype(int) + plain[:] - 255).max() <= 1
    with pytest.raises(ValueError, match="transform_id"):
        images.cached(tmp_path / "data", names, 16, transform=lambda x: x, **where)
    with pytest.raises(TypeError, match="float64"):
        images.cached(
            tmp_path / "data", names, 16, transform=lambda x: x / 2, transform_id="half", **where
        )


def test_a_changed_file_is_read_again(tmp_path, reads):
    names = write_folder(tmp_path / "data", 3)
    build(tmp_path / "data", names, tmp_path / "cache")
    file = tmp_path / "data" / names[1]
    status = file.stat()
    file.write_bytes(encoded(tissue(77)))
    reads.clear()
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 1
    np.testing.assert_array_equal(pixels[1], images.resize(tissue(77), 16))
    np.testing.assert_array_equal(pixels[2], expected(names)[2])
    # Touched, but the bytes are the same: hashed again, not decoded again.
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    reads.clear()
    build(tmp_path / "data", names, tmp_path / "cache")
    assert reads == []


def test_all_bad_images_are_named_and_the_good_ones_kept(tmp_path, reads):
    names = write_folder(tmp_path / "data", 5)
    (tmp_path / "data" / names[0]).write_bytes(b"")
    (tmp_path / "data" / names[3]).write_bytes(encoded(tissue(3))[:200])
    with pytest.raises(InputError) as error:
        build(tmp_path / "data", names, tmp_path / "cache")
    assert "2 images cannot be used" in str(error.value)
    assert names[0] in str(error.value)
    assert names[3] in str(error.value)
    (stored,) = (tmp_path / "cache").glob("*/pixels.u8")
    assert stored.stat().st_size == 3 * 16 * 16 * 3
    write_folder(tmp_path / "data", 5)
    reads.clear()
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 2
    np.testing.assert_array_equal(pixels[:], expected(names))


def damage_cut(folder: Path) -> None:
    os.truncate(folder / "pixels.u8", 1000)


def damage_bit(folder: Path) -> None:
    with (folder / "pixels.u8").open("r+b") as file:
        file.seek(900)
        byte = file.read(1)
        file.seek(900)
        file.write(bytes([byte[0] ^ 1]))


def damage_index(folder: Path) -> None:
    (folder / "index.json").write_text('{"version": 1,')


def damage_row(folder: Path) -> None:
    text = (folder / "index.json").read_text()
    (folder / "index.json").write_text(text.replace("}", "").replace("]]", "]") + "}")


def damage_missing(folder: Path) -> None:
    (folder / "pixels.u8").unlink()


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_bit, damage_index, damage_row, damage_missing]
)
def test_a_damaged_cache_is_built_anew_with_a_message(tmp_path, capsys, damage):
    names = write_folder(tmp_path / "data", 4)
    build(tmp_path / "data", names, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    damage(folder)
    pixels = images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(pixels[:], expected(names))
    assert "it is built anew" in capsys.readouterr().err


def test_an_open_reader_outlives_a_rebuild(tmp_path):
    names = write_folder(tmp_path / "data", 4)
    old = build(tmp_path / "data", names, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / "index.json").write_text("")
    build(tmp_path / "data", names, tmp_path / "cache")
    np.testing.assert_array_equal(old[:], expected(names))


SLOW_BUILD = """
import sys, time
from common import images
from common.images import build
build._COMMIT_SECONDS = 0.0
original = build.decode
def slow(data, extension):
    time.sleep(float(sys.argv[4]))
    print("decoded", flush=True)
    return original(data, extension)
build.decode = slow
names = sys.argv[3].split(",")
pixels = images.cached(sys.argv[1], names, 16, cache_dir=sys.argv[2], workers=2)
"""


def start_build(folder: Path, names: list[str], cache: Path, pause: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(folder), str(cache), ",".join(names), str(pause)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_build_goes_on_where_it_stopped(tmp_path, reads):
    names = write_folder(tmp_path / "data", 24)
    process = start_build(tmp_path / "data", names, tmp_path / "cache", 0.05)
    for _ in range(12):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    assert 0 < len(reads) < 24 - 4
    np.testing.assert_array_equal(pixels[:], expected(names))
    (stored,) = (tmp_path / "cache").glob("*/pixels.u8")
    assert stored.stat().st_size == 24 * 16 * 16 * 3


def test_two_processes_build_once(tmp_path):
    names = write_folder(tmp_path / "data", 12)
    processes = [start_build(tmp_path / "data", names, tmp_path / "cache", 0.05) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sum(output.count("decoded") for output, _ in outputs) == 12
    np.testing.assert_array_equal(
        build(tmp_path / "data", names, tmp_path / "cache")[:], expected(names)
    )


def test_a_cache_that_cannot_be_written(tmp_path):
    names = write_folder(tmp_path / "data", 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--cache-dir"):
        build(tmp_path / "data", names, tmp_path / "file" / "cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
def test_a_read_only_cache_serves_what_it_holds(tmp_path):
    names = write_folder(tmp_path / "data", 3)
    build(tmp_path / "data", names[:2], tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    folder.chmod(0o555)
    try:
        np.testing.assert_array_equal(
            build(tmp_path / "data", names[:2], tmp_path / "cache")[:], expected(names[:2])
        )
        with pytest.raises(InputError, match="--cache-dir"):
            build(tmp_path / "data", names, tmp_path / "cache")
    finally:
        folder.chmod(0o755)


def test_a_whole_cache_is_read_without_its_lock(tmp_path, monkeypatch):
    names = write_folder(tmp_path / "data", 3)
    build(tmp_path / "data", names, tmp_path / "cache")

    def forbidden(*arguments):
        raise AssertionError("a reader took the lock")

    monkeypatch.setattr(Store, "lock", forbidden)
    np.testing.assert_array_equal(
        build(tmp_path / "data", names, tmp_path / "cache")[:], expected(names)
    )


def test_no_room_is_a_message_and_keeps_what_was_there(tmp_path, monkeypatch):
    names = write_folder(tmp_path / "data", 5)
    build(tmp_path / "data", names[:2], tmp_path / "cache")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"No space left on device.*--cache-dir"):
        build(tmp_path / "data", names, tmp_path / "cache")
    monkeypatch.undo()
    np.testing.assert_array_equal(
        build(tmp_path / "data", names, tmp_path / "cache")[:], expected(names)
    )


def test_a_full_disk_is_a_message(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        names = write_folder(tmp_path / "data", 120)
        with pytest.raises(InputError, match="No space left on device"):
            build(tmp_path / "data", names, small)
        np.testing.assert_array_equal(
            build(tmp_path / "data", names[:5], small)[:], expected(names[:5])
        )
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_progress_and_size_are_said_on_stderr(tmp_path, capsys):
    names = write_folder(tmp_path / "data", 3)
    images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "cache")
    output = capsys.readouterr()
    assert output.out == ""
    assert "3 images read" in output.err
    assert "images/s" in output.err
    assert str(tmp_path / "cache") in output.err


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("HISTOPAPERS_CACHE", raising=False)
    assert images.cache_folder() == tmp_path / "xdg" / "histopapers"
    monkeypatch.setenv("HISTOPAPERS_CACHE", str(tmp_path / "own"))
    assert images.cache_folder() == tmp_path / "own"
    assert images.cache_folder(tmp_path / "given") == tmp_path / "given"


def test_command_line_shows_and_clears(tmp_path):
    names = write_folder(tmp_path / "data", 3)
    build(tmp_path / "data", names, tmp_path / "cache")
    (tmp_path / "cache" / "mine.txt").write_text("not the cache's")
    (tmp_path / "cache" / "features").mkdir()
    np.save(tmp_path / "cache" / "features" / ("0" * 64), np.zeros((3, 8), np.float32))

    def command(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "common.images", "cache", *arguments],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip

    shown = command("--info", "--cache-dir", str(tmp_path / "cache"))
    assert "v2-16px-area-none: 3 images" in shown.stdout
    assert "features: of 1 sets of images" in shown.stdout
    cleared = command("--clear", "--cache-dir", str(tmp_path / "cache"))
    assert (shown.returncode, cleared.returncode) == (0, 0), cleared.stderr
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mine.txt"]
    assert command("--clear", "--info").returncode == 2


def test_clear_waits_for_no_one(tmp_path):
    names = write_folder(tmp_path / "data", 12)
    process = start_build(tmp_path / "data", names, tmp_path / "cache", 0.1)
    process.stdout.readline()
    with pytest.raises(InputError, match="is building it"):
        command._clear(tmp_path / "cache")
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_an_interrupted_build_keeps_what_it_has(tmp_path, monkeypatch, reads):
    names = write_folder(tmp_path / "data", 10)
    original = Store.append
    count = 0

    def interrupt(self, *arguments):
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(Store, "append", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "data", names, tmp_path / "cache", workers=1)
    monkeypatch.setattr(Store, "append", original)
    reads.clear()
    start = time.monotonic()
    build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 6
    assert time.monotonic() - start < 30
