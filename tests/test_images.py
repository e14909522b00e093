from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from common import images
from common.errors import InputError

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
        "BMP of palette colours": ("a.bmp", encoded(grey, "BMP"), "palette colours"),
        "BMP with a fourth channel": ("a.bmp", encoded(rgba, "BMP"), "32 bits per pixel"),
        "cut BMP": ("a.bmp", encoded(rgb, "BMP")[:-9], "is cut short"),
        "BMP header alone": ("a.bmp", encoded(rgb, "BMP")[:20], "is cut short"),
        "old BMP": ("a.bmp", b"BM" + bytes(8) + b"\x1a\0\0\0\x0c" + bytes(60), "of an old kind"),
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


def test_the_commonest_size_is_told_by_the_files_and_damage_is_passed_over(tmp_path):
    paths = []
    for i, size in enumerate([(20, 30), (20, 31), (20, 31), (20, 30), (20, 31)]):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), np.zeros((*size, 3), np.uint8))
    assert images.commonest_size(paths) == (20, 31)
    for path in paths[2:]:
        path.write_bytes(b"no image")
    assert images.commonest_size(paths) == (20, 30)  # the first of two
    assert images.commonest_size(paths[2:]) is None
    assert images.commonest_size([]) is None
