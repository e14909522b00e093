"""Slides: read in parts, at a scale, with tissue found and tiles laid; what is damaged is told."""

from __future__ import annotations

import functools
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tiffslide")

import imagecodecs
import tifffile
from slide_files import halved, mirax, pyramid, tissue, vms

from common.errors import InputError
from common.slides import opened, segments, sources, structure, tissue_mask, vendors
from common.slides.scale import Field, scale_of
from common.slides.tiles import lay


def whole(path: Path) -> np.ndarray:
    with opened(path) as slide:
        return slide.region((0, 0, slide.width, slide.height), (slide.height, slide.width))


# --- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "deflate"},
        {"compression": "lzw", "predictor": True},
        {"tile": None, "rowsperstrip": 7},
        {"tile": None, "rowsperstrip": 7, "compression": "deflate"},
        {"tile": None, "rowsperstrip": 10**6},
        {"tile": None, "rowsperstrip": 10**6, "compression": "deflate"},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_pixels_are_those_of_the_file_wherever_they_are_read(tmp_path, options):
    image = tissue(150, 210)
    tile = options.get("tile", 64)
    path = (
        pyramid(tmp_path / "a.tif", image, **{"levels": 1, **options, "tile": tile or 64})
        if (tile)
        else tmp_path / "a.tif"
    )
    if tile is None:
        rest = {name: value for name, value in options.items() if name != "tile"}
        tifffile.imwrite(path, image, photometric="rgb", metadata=None, **rest)
    assert (whole(path) == image).all()
    with opened(path) as slide:
        for x, y, wide, tall in (
            (0, 0, 5, 9),
            (63, 62, 3, 4),
            (100, 80, 110, 70),
            (209, 149, 1, 1),
        ):
            part = slide.region((x, y, wide, tall), (tall, wide))
            assert (part == image[y : y + tall, x : x + wide]).all(), (x, y)


def test_the_level_nearest_above_is_read_and_averaged(tmp_path):
    image = tissue(256, 256)
    path = pyramid(tmp_path / "a.tif", image, levels=3, tile=32)
    with opened(path) as slide:
        assert list(slide.levels) == [0, 1, 2]
        # A factor of two lies in the file, of three is averaged from it.
        assert (slide.region((32, 64, 64, 64), (32, 32)) == halved(image)[32:64, 16:48]).all()
        third = slide.region((0, 0, 192, 192), (64, 64)).astype(float)
    by_hand = image[:192, :192].reshape(64, 3, 64, 3, 3).mean((1, 3))
    # From halves, of which one and a half make a third.
    assert abs(third - by_hand).mean() < 4.0
    single = pyramid(tmp_path / "b.tif", image, levels=1, tile=32)
    with opened(single) as slide:
        third = slide.region((0, 0, 192, 192), (64, 64))
    assert abs(third - by_hand).max() <= 0.5 + 1e-6


def test_a_large_region_is_averaged_in_pieces_that_do_not_show(tmp_path, monkeypatch):
    image = tissue(300, 420)
    for name, options in (("t", {"tile": 32}), ("s", {"rows": 5})):
        path = tmp_path / f"{name}.tif"
        if "rows" in options:
            tifffile.imwrite(path, image, photometric="rgb", metadata=None, rowsperstrip=5)
        else:
            pyramid(path, image, levels=1, **options)
        with opened(path) as slide:
            box = (0, 0, 420, 300)
            expected = slide.region(box, (30, 42)).astype(int)
            monkeypatch.setattr("common.slides.reading._BLOCK", 2000)
            pieces = slide.region(box, (30, 42)).astype(int)
            monkeypatch.undo()
        assert abs(pieces - expected).max() <= 1


def test_what_a_file_leaves_out_is_white(tmp_path):
    image = tissue(128, 128)
    path = pyramid(tmp_path / "a.tif", image, levels=1)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["TileByteCounts"]
        at = tag.valueoffset + 2 * struct.calcsize((tag.dtype_name == "SHORT" and "H") or "I")
        width = struct.calcsize((tag.dtype_name == "SHORT" and "H") or "I")
    data[at : at + width] = bytes(width)
    path.write_bytes(data)
    found = whole(path)
    assert (found[64:, :64] == 255).all()
    assert (found[:64] == image[:64]).all() and (found[64:, 64:] == image[64:, 64:]).all()


def test_a_real_slide(real_data):
    path = real_data / "data" / "slides" / "CMU-1-Small-Region.svs"
    image = tifffile.imread(path)
    with opened(path) as slide:
        assert (slide.width, slide.height, slide.mpp) == (2220, 2967, (0.499, 0.499))
        assert (slide.region((500, 700, 300, 200), (200, 300)) == image[700:900, 500:800]).all()
        thumbnail = slide.region((0, 0, 2220, 2967), (742, 555))
    share = tissue_mask(thumbnail).mean()
    assert 0.25 < share < 0.4  # a strip of skin


def test_openslide_reads_the_same(real_data, monkeypatch):
    pytest.importorskip("openslide")
    path = real_data / "data" / "slides" / "CMU-1-Small-Region.svs"
    with opened(path) as slide:
        expected = slide.region((100, 2000, 400, 300), (300, 400)).astype(int)
    monkeypatch.setattr(sources, "vendor_of", lambda path, left=(): "aperio")
    with opened(path) as slide:
        assert slide.kind == "aperio, by OpenSlide" and slide.mpp == (0.499, 0.499)
        assert abs(slide.region((100, 2000, 400, 300), (300, 400)) - expected).max() <= 1


def test_a_description_that_is_no_ascii(tmp_path, monkeypatch):
    path = pyramid(tmp_path / "a.tif", tissue(64, 64), levels=1, description="made by Uller")
    path.write_bytes(path.read_bytes().replace(b"Uller", b"\x81\x8dler"))
    if vendors.vendor_of(path, ()):
        with opened(path) as slide:
            assert slide.kind == "generic-tiff, by OpenSlide"
            assert slide.region((3, 4, 50, 40), (40, 50)).shape == (40, 50, 3)
    monkeypatch.setattr(sources, "vendor_of", lambda path, left=(): "")
    assert "ImageDescription is no ASCII" in refused(path)


# --- what OpenSlide alone reads ------------------------------------------------------------------


def test_a_slide_on_a_canvas_is_what_was_scanned_of_it(tmp_path):
    pytest.importorskip("openslide")
    image = tissue(320, 448)
    path = mirax(tmp_path / "a.mrxs", image, columns=16, rows=12, at=(4, 2), mpp=0.25)
    with opened(path) as slide:
        assert slide.kind == "mirax, by OpenSlide" and slide.mpp == (0.25, 0.25)
        # As QuPath does, which crops to these bounds: px count from there.
        assert (slide.width, slide.height, slide.origin) == (448, 320, (256, 128))
        assert slide.levels == {0: (1.0, 1.0), 1: (2.0, 2.0)}
        assert (slide.region((0, 0, 448, 320), (320, 448)) == image).all()
        assert (slide.region((64, 30, 100, 80), (40, 50)) == halved(image)[15:55, 32:82]).all()
        assert slide.region((447, 319, 1, 1), (1, 1))[0, 0].tolist() == image[319, 447].tolist()


def test_a_slide_of_jpegs_is_read_in_tiles_and_scaled(tmp_path):
    pytest.importorskip("openslide")
    image = tissue(512, 1024)
    path = vms(tmp_path / "a.vms", image, mpp=0.46)
    with opened(path) as slide:
        assert slide.kind == "hamamatsu, by OpenSlide" and len(slide.mark) == 64
        assert slide.mpp == pytest.approx((0.46, 0.46)) and slide.origin == (0, 0)
        assert (slide.width, slide.height) == (1024, 512) and slide.levels[2] == (4, 4)
        found = slide.region((300, 100, 200, 150), (150, 200)).astype(int)
        assert abs(found - image[100:250, 300:500]).mean() < 1.5
        half = slide.region((300, 100, 200, 150), (75, 100)).astype(int)
        assert abs(half - halved(image)[50:125, 150:250]).mean() < 3
    (tmp_path / "a-ImageFile.jpg").unlink()
    text = refused(path)
    assert "a-ImageFile.jpg" in text and "with the files that belong to it" in text


def test_a_slide_whose_files_are_not_all_there(tmp_path):
    pytest.importorskip("openslide")
    path = mirax(tmp_path / "a.mrxs", tissue(128, 128))
    folder = tmp_path / "a"
    with opened(path) as slide:
        known = slide.mark
    assert len(known) == 64
    index = (folder / "Index.dat").read_bytes()
    (folder / "Index.dat").unlink()
    text = refused(path)
    assert "OpenSlide cannot open it" in text and "Index.dat" in text
    assert "copy it again, with the files that belong to it" in text
    (folder / "Index.dat").write_bytes(index)
    data = (folder / "Data0000.dat").read_bytes()
    (folder / "Data0000.dat").write_bytes(data[: len(data) // 4])
    refused(path)
    (folder / "Slidedat.ini").unlink()
    assert "the folder a with Slidedat.ini, which holds its image, is not beside it" in refused(
        path
    )
    capital = path.rename(tmp_path / "a.MRXS")
    assert "its ending has to be .mrxs" in refused(capital)


def test_what_openslide_would_read_without_it(tmp_path, monkeypatch):
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff\xe0 a thumbnail")
    monkeypatch.setitem(sys.modules, "openslide", None)
    assert "OpenSlide may know it: pip install openslide-python" in refused(tmp_path / "a.mrxs")


# --- what cannot be read -------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error, opened(path) as slide:
        scale_of(slide)
        whole(path)
    text = str(error.value)
    assert text.startswith(str(path)) and "\n" not in text and len(text) < 500
    return text


def test_colours_that_are_no_8_bit_rgb(tmp_path):
    image = tissue(64, 64)
    for name, pixels, photometric, words in (
        ("16.tif", image.astype(np.uint16), "rgb", "16 bits per channel"),
        ("grey.tif", image[..., 0], "minisblack", "grey-scale"),
        ("alpha.tif", np.dstack([image, image[..., 0]]), "rgb", "alpha channel"),
    ):
        extra = {"extrasamples": ["unassalpha"]} if name == "alpha.tif" else {}
        tifffile.imwrite(tmp_path / name, pixels, photometric=photometric, tile=(32, 32), **extra)
        assert words in refused(tmp_path / name)


def test_a_cut_file_and_damaged_tiles(tmp_path):
    path = pyramid(tmp_path / "a.tif", tissue(256, 256), levels=1, compression="deflate")
    data = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    for cut in (0, 3, 20, 200, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        refused(path)
    path.write_bytes(data[:offset] + bytes(count) + data[offset + count :])
    assert "cannot be decoded at x" in refused(path)


def test_a_coding_without_its_decoder(tmp_path, monkeypatch):
    path = pyramid(tmp_path / "a.tif", tissue(64, 64), levels=1, compression="jpeg2000")
    assert abs(whole(path).astype(int) - tissue(64, 64)).mean() < 8

    class Without(dict):
        def __getitem__(self, key):
            raise KeyError(key)

    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", Without())
    assert "JPEG2000, which is not read here; pip install imagecodecs" in refused(path)


def _encoded(kind: str, side: int) -> bytes:
    """A plain picture, encoded."""
    image = np.full((side, side, 3), 200, np.uint8)
    encode = {
        "jpeg": imagecodecs.jpeg8_encode,
        "jpeg2000": functools.partial(imagecodecs.jpeg2k_encode, codecformat="j2k"),
        "jpeg2000-boxes": functools.partial(imagecodecs.jpeg2k_encode, codecformat="jp2"),
        "png": imagecodecs.png_encode,
        "webp": functools.partial(imagecodecs.webp_encode, level=80, lossless=False),
        "webp-lossless": functools.partial(imagecodecs.webp_encode, lossless=True),
    }[kind]
    return encode(image)


@pytest.mark.parametrize(
    "kind", ["jpeg", "jpeg2000", "jpeg2000-boxes", "png", "webp", "webp-lossless"]
)
def test_a_tile_that_claims_to_be_larger_than_its_place_is_not_decoded(tmp_path, monkeypatch, kind):
    path, compression = tmp_path / "a.tif", kind.partition("-")[0]
    options = {"photometric": "rgb", "metadata": None, "tile": (64, 64),
               "resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}  # fmt: skip
    shape = {"shape": (64, 64, 3), "dtype": np.uint8, "compression": compression}
    tifffile.imwrite(path, iter([_encoded(kind, 64)]), **shape, **options)
    assert abs(whole(path).astype(int) - 200).max() < 5
    for name in ("jpeg_decode", "jpeg2k_decode", "png_decode", "webp_decode"):
        monkeypatch.delattr(imagecodecs, name, raising=False)
    tifffile.imwrite(path, iter([_encoded(kind, 80)]), **shape, **options)
    assert "claims 80x80 px in a place of 64x64" in refused(path)


def test_the_size_of_a_jpeg_is_that_which_its_decoder_takes():
    data = _encoded("jpeg", 16)
    frame = data.index(b"\xff\xc0")
    huge = data[: frame + 5] + struct.pack(">HH", 10_000, 10_000) + data[frame + 9 :]
    tables = data[:2] + huge[frame : frame + 19] + b"\xff\xd9"
    segments.require_fit(7, (data,), 16, 16)
    for pieces in (
        (huge,),
        (tables, data),  # tables are read first, and a frame there counts
        (data[:2] + b"\0\0junk" + huge[2:],),  # which a decoder passes over
        (data[:2] + b"\xff\xff\xff\x01" + huge[2:],),
    ):
        with pytest.raises(ValueError, match="claims 10000x10000"):
            segments.require_fit(7, pieces, 16, 16)
    with pytest.raises(ValueError, match="does not say its size"):
        segments.require_fit(7, (data[:2] + data[-2:],), 16, 16)
    with pytest.raises(ValueError, match="cut short"):
        segments.require_fit(7, (data[: frame + 6],), 16, 16)
    many = _encoded("jpeg2000", 64)
    many = many[:24] + struct.pack(">II", 1, 1) + many[32:]
    with pytest.raises(ValueError, match="256 tiles of its own"):
        segments.require_fit(34712, (many,), 64, 64)


def test_a_coding_whose_size_is_not_known_before_it_is_decoded(tmp_path):
    path = pyramid(tmp_path / "a.tif", tissue(64, 64), levels=1, compression="jpegxl")
    assert "coded as JPEGXL" in refused(path) and "--compression jpeg" in refused(path)


def test_scales_that_are_not_said_or_cannot_be(tmp_path):
    image = tissue(64, 64)
    assert "--mpp" in refused(pyramid(tmp_path / "none.tif", image, mpp=None))
    assert "says 352.8 micrometres" in refused(pyramid(tmp_path / "dpi.tif", image, mpp=352.8))
    ome = '<OME><Pixels PhysicalSizeX="0.25" PhysicalSizeXUnit="µm" PhysicalSizeY="0.25"/></OME>'
    assert sources._ome(ome) == (0.25, 0.25)
    assert sources._ome(ome.replace("µm", "nm")) is None
    with opened(pyramid(tmp_path / "b.tif", image, mpp=0.25)) as slide:
        assert scale_of(slide) == pytest.approx((0.25, 0.25), rel=1e-5)
        assert scale_of(slide, 0.4) == (0.4, 0.4)
        with pytest.raises(InputError, match=r"--mpp 100: from 0.02 to 20"):
            scale_of(slide, 100)


def test_claims_are_checked_before_anything_is_allocated(tmp_path):
    path = pyramid(tmp_path / "a.tif", tissue(64, 64), levels=1)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tags = {name: file.pages[0].tags[name].valueoffset for name in (
            "ImageWidth", "ImageLength", "TileWidth", "TileLength")}  # fmt: skip
    for names, value, words in (
        (("ImageWidth", "ImageLength"), 60_000, "beyond|damaged|cut"),
        (("TileWidth", "TileLength"), 60_000, "MB, at most 64"),
    ):
        huge = bytearray(data)
        for name in names:
            huge[tags[name] : tags[name] + 2] = struct.pack("<H", value)
        path.write_bytes(huge)
        try:  # tiles that the file does not have are glass
            with opened(path) as slide:
                assert (slide.region((59_000, 59_000, 64, 64), (64, 64)) == 255).all()
        except InputError as error:
            assert words.split("|")[0] in str(error)


def test_pictures_are_read_as_far_as_they_can_be_decoded(tmp_path, monkeypatch):
    import cv2

    image = tissue(90, 120)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    assert (whole(tmp_path / "a.png") == image).all()
    # 7 bytes a px, and the file.
    needed = 7 * 90 * 120 + (tmp_path / "a.png").stat().st_size
    monkeypatch.setattr(sources, "PICTURE_ROOM", needed - 1)
    assert "120x90 px can only be decoded whole" in refused(tmp_path / "a.png")
    monkeypatch.setattr(sources, "PICTURE_ROOM", needed)
    whole(tmp_path / "a.png")
    (tmp_path / "c.jpg").write_bytes(b"")
    assert "is empty" in refused(tmp_path / "c.jpg")


def test_files_that_are_no_slides(tmp_path):
    (tmp_path / "empty.svs").touch()
    (tmp_path / "text.svs").write_text("no slide at all")
    assert "is empty" in refused(tmp_path / "empty.svs")
    assert "is no TIFF, PNG or JPEG" in refused(tmp_path / "text.svs")
    assert "no such file" in refused(tmp_path / "none.svs")
    assert "is a folder" in refused(tmp_path)


def test_random_damage_ends_in_one_line_or_in_pixels(tmp_path):
    path = tmp_path / "a.tif"
    pyramid(path, tissue(96, 128), levels=2, tile=32, compression="deflate")
    data = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        begin, end = page.offset, page.offset + 400
    for seed in range(60):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        for at in rng.integers(begin, min(end, len(data)), 3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            with opened(path) as slide:
                slide.region((0, 0, slide.width, slide.height), (16, 16))
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


# --- tissue and tiles ----------------------------------------------------------------------------


def test_glass_borders_and_pens_are_no_tissue():
    import cv2

    rng = np.random.default_rng(0)
    scene = np.full((300, 400, 3), (243, 244, 240), np.int16)
    stained = tissue(300, 400)
    island = np.zeros((300, 400), bool)
    island[60:240, 60:200] = True
    scene[island] = np.where(rng.random((300, 400, 1)) < 0.3, (110, 70, 140), (214, 130, 178))[
        island
    ]
    scene += rng.integers(-3, 4, scene.shape, np.int16)
    scene = scene.clip(0, 255).astype(np.uint8)
    scene[:12] = scene[:, :9] = (4, 3, 6)
    pens = {"black": (20, 20, 25), "blue": (40, 70, 170), "green": (30, 130, 60),
            "red": (200, 30, 45), "violet": (60, 60, 200)}  # fmt: skip
    for number, colour in enumerate(pens.values()):
        cv2.line(scene, (230, 40 + 50 * number), (380, 60 + 50 * number), colour, 9)
    mask = tissue_mask(scene)
    assert mask[island].mean() > 0.97
    assert mask[~island].mean() < 0.01
    assert not tissue_mask(np.full((50, 60, 3), 243, np.uint8)).any()
    assert not tissue_mask(np.zeros((50, 60, 3), np.uint8)).any()
    # Tinted glass, and a piece that is tissue all over.
    tinted = (stained * (1, 0.99, 0.88)).astype(np.uint8)
    both = tissue_mask(stained), tissue_mask(tinted)
    assert (both[0] == both[1]).mean() > 0.97
    assert tissue_mask(stained[110:190, 150:250]).mean() > 0.97
    # Brown of immunohistochemistry.
    brown = np.full((60, 60, 3), (150, 100, 60), np.uint8)
    assert tissue_mask(brown, any_stain=True).mean() > 0.9


class Sized:
    """As much of a slide as laying tiles wants."""

    path = Path("a.svs")

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height


def test_tiles_are_laid_by_hand():
    field = Field(50, 100, 1.0)  # 200 x 100 px of a slide with half a micrometre
    mask = np.zeros((10, 20), bool)  # a px is 50 px of the slide
    mask[2:4, 4:8] = True
    tiles = lay(Sized(1000, 500), (0.5, 0.5), field, mask, least=0.5)
    assert (tiles.width, tiles.height, tiles.looked_at) == (200, 100, 25)
    assert (tiles.x.tolist(), tiles.y.tolist(), tiles.tissue.tolist()) == ([200], [100], [1.0])
    half = lay(Sized(1000, 500), (0.5, 0.5), field, mask, stride=0.5, least=0.25)
    assert half.looked_at == 9 * 9
    found = dict(zip(zip(half.x, half.y, strict=True), half.tissue, strict=True))
    assert found[(100, 100)] == found[(200, 50)] == 0.5 and found[(100, 50)] == 0.25
    assert len(half) == 9
    # The last column ends at the edge; a sliver is none.
    edge = lay(Sized(1090, 501), (0.5, 0.5), field, np.ones((10, 20), bool))
    assert edge.x.reshape(5, 6)[0].tolist() == [0, 200, 400, 600, 800, 890]
    one = lay(Sized(200, 100), (0.5, 0.5), field, np.ones((3, 3), bool))
    assert one.box(0) == (0, 0, 200, 100) and len(one) == 1


def test_slides_that_have_no_tiles():
    field, some = Field(50, 100, 1.0), np.ones((4, 4), bool)
    with pytest.raises(InputError, match=r"less than one tile .*is --mpp right"):
        lay(Sized(190, 500), (0.5, 0.5), field, some)
    with pytest.raises(InputError, match=r"no tissue was found .* most has 0 %"):
        lay(Sized(1000, 500), (0.5, 0.5), field, ~some)
    with pytest.raises(InputError, match="at most 2000000; take a larger --stride"):
        lay(Sized(10**6, 10**6), (0.5, 0.5), field, some, stride=0.1)
    assert structure.MAX_SIDE >= 10**6
