from __future__ import annotations

import ast
import csv
import errno
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import cv2
import edge_bundle
import numpy as np
import pytest
from PIL import Image

from common import images, measurements, notices, tissue
from common.errors import InputError as CommonInputError
from wrn_edge.bundle import DEVICE
from wrn_edge.bundle.programs import SHARED


@pytest.fixture(scope="module")
def runtime(tmp_path_factory) -> Path:
    """Folder with the stand-in runtime, which this process imports in the real one's place."""
    folder = edge_bundle.install_runtime(tmp_path_factory.mktemp("runtime"))
    with pytest.MonkeyPatch.context() as patch:
        module = edge_bundle.load_runtime(folder)
        patch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
        yield folder
    edge_bundle.forget_device()


@pytest.fixture(scope="module")
def bundle(runtime, tmp_path_factory) -> Path:
    return edge_bundle.build(tmp_path_factory.mktemp("made"))


@pytest.fixture
def infer(bundle, monkeypatch):
    """The module infer, working on `bundle`."""
    monkeypatch.setattr(edge_bundle.device("sealed"), "FOLDER", bundle)
    for later in ("camera", "heatmap", "serve"):  # imported when they are needed
        edge_bundle.device(later)
    return edge_bundle.device("infer")


@pytest.fixture
def stick(tmp_path) -> Path:
    """A folder of three pictures, one of them in a folder below."""
    folder = tmp_path / "stick"
    for seed, name in enumerate(("a.png", "b/c.tif", "d.jpg")):
        edge_bundle.save(folder / name, edge_bundle.picture(seed))
    return folder


@pytest.fixture
def error():
    """The device's InputError."""
    return edge_bundle.device("errors").InputError


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def start(bundle: Path, runtime: Path, *arguments: object, program: str = "infer.py", **options):
    """Run one of the bundle's programs in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-I", "-c", LAUNCH, str(runtime), str(bundle / program),
         *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


# As `python3 infer.py`, with the stand-in runtime found first.
LAUNCH = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
sys.argv = sys.argv[2:]
sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


# --- pixels ------------------------------------------------------------------------------------

SIZES = [
    (460, 700), (456, 700), (448, 448), (448, 672), (224, 224), (225, 223), (100, 150), (200, 700),
    (700, 200), (1, 1), (3, 900), (1080, 1350),
]  # fmt: skip


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resize_is_opencv_s_area_filter_to_the_last_bit(height, width):
    rng = np.random.default_rng(height)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours = edge_bundle.device("pixels").resize(image, 224)
    assert np.array_equal(ours, cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA))


def test_resize_of_any_size_is_opencv_s():
    rng = np.random.default_rng(0)
    resize = edge_bundle.device("pixels").resize
    for _ in range(120):
        height, width = rng.integers(1, 300, 2)
        size = int(rng.choice([32, 48, 64, 96]))
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        assert np.array_equal(resize(image, size), expected), (height, width, size)


@pytest.mark.data
def test_real_pictures_are_read_and_resized_as_in_training(real_data):
    pixels = edge_bundle.device("pixels")
    files = sorted((real_data / "data/breakhis_100x").rglob("*.png"))[::24]
    for file in files:
        read = pixels.read(file)
        assert np.array_equal(read, images.read(file))
        for size in (224, 96):
            assert np.array_equal(pixels.resize(read, size), images.resize(read, size))


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 64]) + data[at + 1 :]


def _wrong_checksum(png: bytes) -> bytes:
    """Whole pixels, whose chunk's checksum is not theirs."""
    at = png.index(b"IDAT")
    (length,) = struct.unpack(">I", png[at - 4 : at])
    return _flipped(png, at + 4 + length)


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded("JPEG", exif=exif)


def _encoded(kind: str, mode: str = "RGB", **options) -> bytes:
    data = io.BytesIO()
    Image.fromarray(edge_bundle.picture(0)).convert(mode).save(data, kind, **options)
    return data.getvalue()


def _deep_png() -> bytes:
    deep = (edge_bundle.picture(0).astype(np.uint16) * 257)[..., ::-1]
    return cv2.imencode(".png", deep)[1].tobytes()


def _see_through() -> bytes:
    picture = np.dstack([edge_bundle.picture(0), np.full((60, 90), 200, np.uint8)])
    return cv2.imencode(".png", picture)[1].tobytes()


BAD = {
    "empty.png": (lambda: b"", "empty"),
    "text.png": (lambda: b"not a picture at all", "not an image"),
    "cut.png": (lambda: _encoded("PNG")[:2000], "cut short"),
    "flipped.png": (lambda: _flipped(_encoded("PNG"), 3000), "damaged"),
    "checksum.png": (lambda: _wrong_checksum(_encoded("PNG")), "damaged"),
    "head.png": (lambda: _encoded("PNG")[:20], "cut short"),
    "cut.jpg": (lambda: _encoded("JPEG")[:900], "cut short"),
    "cut.tif": (lambda: _encoded("TIFF")[:9000], "cut short"),
    "grey.png": (lambda: _encoded("PNG", "L"), "grey-scale"),
    "grey.jpg": (lambda: _encoded("JPEG", "L"), "grey-scale"),
    "palette.png": (lambda: _encoded("PNG", "P"), "palette"),
    "cmyk.jpg": (lambda: _encoded("JPEG", "CMYK"), "CMYK"),
    "deep.png": (_deep_png, "16 bits"),
    "see-through.png": (_see_through, "transparent"),
    "other-name.png": (lambda: _encoded("JPEG"), "JPEG file with a PNG name"),
    "turned.jpg": (_turned, "EXIF"),
    "pages.tif": (
        lambda: _encoded("TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))]),
        "holds 2 images",
    ),
    "bitmap.png": (lambda: _encoded("BMP"), "is a BMP file with a PNG name"),
}  # fmt: skip


def claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, with bytes enough for it."""
    header = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each))
        for each in (header, b"IDAT" + bytes(width * height * 3 // 1032 + height), b"IEND")
    )


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((9000, 9000), "9000x9000 px, more than 32 megapixels; save it smaller"),
        ((1, 33_000_000), "1x33000000 px, with a side of more than 65535 px"),
        ((3, 1_000_000), "3x1000000 px, with a side of more than 65535 px"),
    ],
)
def test_a_picture_too_large_for_the_device_is_not_decoded(tmp_path, size, words):
    file = tmp_path / "huge.png"
    file.write_bytes(claiming(*size))
    pixels = edge_bundle.device("pixels")
    with pytest.raises(pixels.ImageError, match=words):
        pixels.read(file)


def test_what_needs_too_much_memory_to_decode_is_told_beforehand(tmp_path, monkeypatch):
    """A JPEG of several passes takes 10 bytes for a pixel, one of a single pass 7."""
    pixels, limits = edge_bundle.device("pixels"), edge_bundle.device("limits")
    plain, passes = _encoded("JPEG"), _encoded("JPEG", progressive=True)
    monkeypatch.setattr(limits, "MEMORY", 8 * 60 * 90 + 2 * max(len(plain), len(passes)))
    (tmp_path / "plain.jpg").write_bytes(plain)
    (tmp_path / "passes.jpg").write_bytes(passes)
    assert pixels.read(tmp_path / "plain.jpg").shape == (60, 90, 3)
    with pytest.raises(pixels.ImageError, match=r"MiB of memory, more than the .* save it smaller"):
        pixels.read(tmp_path / "passes.jpg")


def test_an_image_of_the_largest_size_is_read(tmp_path, monkeypatch):
    pixels = edge_bundle.device("pixels")
    file = edge_bundle.save(tmp_path / "x.png", edge_bundle.picture(0))
    for name, most, words in (
        ("MAX_PIXELS", 60 * 90, "megapixels"),
        ("MAX_BYTES", file.stat().st_size, "is larger"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(pixels, name, most)
            assert pixels.read(file).shape == (60, 90, 3)
            patch.setattr(pixels, name, most - 1)
            with pytest.raises(pixels.ImageError, match=words):
                pixels.read(file)


# --- results.csv -------------------------------------------------------------------------------


def _row(number: int) -> dict[str, object]:
    return {"image": f"{number}.png", "bytes": number, "mtime_ns": 5, "model": "m",
            "status": "unusable", "reason": "x, \"y\"\nz"}  # fmt: skip


def test_a_torn_last_line_is_removed_wherever_it_was_torn(tmp_path):
    Results = edge_bundle.device("results").Results
    path = tmp_path / "results.csv"
    table = Results(path, edge_bundle.CLASSES)
    table.add(_row(1))
    before = path.read_bytes()
    table.add(_row(2))
    table.close()
    whole = path.read_bytes()
    tails = [whole[len(before) : cut] for cut in range(len(before), len(whole), 5)]
    for tail in [*tails, b"\0" * 99]:
        path.write_bytes(before + tail)
        table = Results(path, edge_bundle.CLASSES)
        assert path.read_bytes() == before
        assert ("1.png", 1, 5, "m") in table
        assert ("2.png", 2, 5, "m") not in table
        table.add(_row(2))
        table.close()
        assert path.read_bytes() == whole
    for cut in range(0, whole.index(b"\n"), 9):  # the first line, of a file that was just begun
        path.write_bytes(whole[:cut])
        Results(path, edge_bundle.CLASSES).close()
        assert path.read_bytes() == whole[: whole.index(b"\n") + 1]


def test_a_file_that_is_not_ours_or_is_damaged_inside_is_left_alone(tmp_path, error):
    Results = edge_bundle.device("results").Results
    path = tmp_path / "results.csv"
    path.write_bytes(b"name,age\nx,3\n")
    with pytest.raises(error, match="another table"):
        Results(path, edge_bundle.CLASSES)
    assert path.read_bytes() == b"name,age\nx,3\n"
    path.unlink()
    table = Results(path, edge_bundle.CLASSES)
    table.add(_row(1))
    table.add(_row(2))
    table.close()
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = lines[0] + lines[1][:9] + b"\0\0\0\n" + lines[2]
    path.write_bytes(damaged)
    with pytest.raises(error, match="line 2 is damaged"):
        Results(path, edge_bundle.CLASSES)
    assert path.read_bytes() == damaged


def test_two_programs_never_write_to_one_file(tmp_path, error):
    Results = edge_bundle.device("results").Results
    table = Results(tmp_path / "results.csv", edge_bundle.CLASSES)
    with pytest.raises(error, match=r"another infer\.py"):
        Results(tmp_path / "results.csv", edge_bundle.CLASSES)
    table.close()
    Results(tmp_path / "results.csv", edge_bundle.CLASSES).close()


def test_a_write_that_fails_half_way_leaves_whole_lines(tmp_path, monkeypatch, error):
    results = edge_bundle.device("results")
    path = tmp_path / "results.csv"
    table = results.Results(path, edge_bundle.CLASSES)
    table.add(_row(1))
    before = path.read_bytes()
    write = os.write

    def fails(descriptor, data):
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(results.os, "write", fails)
    with pytest.raises(error, match=r"No space left on device.*results before are safe"):
        table.add(_row(2))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert ("2.png", 2, 5, "m") not in table
    table.add(_row(2))
    table.close()
    assert [row["image"] for row in rows(path)] == ["1.png", "2.png"]


# --- pictures and folders ----------------------------------------------------------------------


def test_an_image_gets_label_probability_and_a_line(infer, tmp_path, capsys):
    for seed in range(4):
        image = edge_bundle.picture(seed)
        file = edge_bundle.save(tmp_path / f"{seed}.png", image)
        assert infer.main([str(file), "--csv", str(tmp_path / "results.csv")]) == 0
        p = edge_bundle.probabilities(image)
        label = edge_bundle.CLASSES[int(p[1] >= 0.5)]
        row = rows(tmp_path / "results.csv")[seed]
        assert row["image"] == f"{seed}.png"
        assert row["status"] == "classified"
        assert row["label"] == label
        assert float(row["p_malignant"]) == pytest.approx(p[1], abs=1e-6)
        assert float(row["probability"]) == pytest.approx(p.max(), abs=1e-6)
        assert row["bytes"] == str(file.stat().st_size)
        out = capsys.readouterr().out
        assert f"{seed}.png  {label}  {100 * p.max():.1f} %" in out
        assert notices.SYNTHETIC_MODEL in out
        assert notices.RESEARCH_USE in out
    assert {row["label"] for row in rows(tmp_path / "results.csv")} == set(edge_bundle.CLASSES)


def test_a_folder_is_classified_once(infer, stick, capsys):
    assert infer.main([str(stick)]) == 0
    first = rows(stick / "results.csv")
    assert [row["image"] for row in first] == ["a.png", "b/c.tif", "d.jpg"]
    assert {row["status"] for row in first} == {"classified"}
    assert infer.main([str(stick)]) == 0
    assert "3 have a result already" in capsys.readouterr().out
    assert rows(stick / "results.csv") == first
    # Another picture under the same name is another picture.
    edge_bundle.save(stick / "a.png", edge_bundle.picture(9))
    infer.main([str(stick)])
    assert [row["image"] for row in rows(stick / "results.csv")][3:] == ["a.png"]
    infer.main([str(stick), "--again"])
    assert len(rows(stick / "results.csv")) == 7


def test_names_of_any_kind(infer, stick, tmp_path):
    names = ['comma, quote".png', "line\nbreak.png", "=1+1.png", "bytes-\udcff.png", "ü.PNG"]
    for name in names:
        shutil.copy(stick / "a.png", stick / name)
    for _ in range(2):
        infer.main([str(stick), "--csv", str(tmp_path / "r.csv")])
    found = [row["image"] for row in rows(tmp_path / "r.csv")]
    expected = [name.replace("\n", "\\n").replace("\udcff", "\\udcff") for name in names]
    expected[2] = "'=1+1.png"  # a spreadsheet would compute it
    assert sorted(found) == sorted([*expected, "a.png", "b/c.tif", "d.jpg"])


def test_links_hidden_and_other_files(infer, stick, tmp_path, monkeypatch):
    outside = edge_bundle.save(tmp_path / "outside/secret.png", edge_bundle.picture(5))
    (stick / "z-link.png").symlink_to(outside)
    (stick / "z-folder").symlink_to(outside.parent)
    (stick / "z-loop").symlink_to(stick)
    (stick / "z-broken").symlink_to("nowhere")
    for name in ("._a.png", ".Trash/x.png", "notes.txt", "$RECYCLE.BIN/y.png"):
        (stick / name).parent.mkdir(exist_ok=True)
        shutil.copy(stick / "a.png", stick / name)
    pixels = edge_bundle.device("pixels")
    opened, read = [], pixels.read
    monkeypatch.setattr(pixels, "read", lambda path: opened.append(str(path)) or read(path))
    assert infer.main([str(stick)]) == 1
    found = {row["image"]: row for row in rows(stick / "results.csv")}
    links = {"z-link.png", "z-folder", "z-loop", "z-broken"}
    assert set(found) == {"a.png", "b/c.tif", "d.jpg", *links}
    for name in links:
        assert found[name]["status"] == "unusable"
        assert found[name]["reason"] == "is a link; links are not followed"
    assert sorted(opened) == sorted(str(stick / name) for name in ("a.png", "b/c.tif", "d.jpg"))


def test_bad_pictures_stop_nothing(infer, stick, capsys):
    for name, (make, _) in BAD.items():
        (stick / name).write_bytes(make())
    assert infer.main([str(stick)]) == 1
    found = rows(stick / "results.csv")
    assert len(found) == 3 + len(BAD)
    for row in found:
        if row["image"] in BAD:
            assert (row["status"], row["label"]) == ("unusable", "")
            assert BAD[row["image"]][1] in row["reason"]
    assert f"3 classified, 0 not tissue, {len(BAD)} unusable" in capsys.readouterr().out


def test_whatever_a_picture_raises_the_next_one_is_classified(infer, stick, monkeypatch):
    """Memory, time, and what nobody thought of, at every step of a picture."""
    limits = edge_bundle.device("limits")
    steps = {
        "a.png": ("pixels", "read"), "b/c.tif": ("pixels", "resize"), "d.jpg": ("tissue", "judge"),
    }  # fmt: skip
    modules = {"pixels": edge_bundle.device("pixels"), "tissue": tissue}
    for raised, words in (
        (MemoryError(), "needs more memory"), (limits.TooSlowError("takes too long"), "too long"),
        (RecursionError("too\ndeep"), "cannot be used: too\\ndeep"), (ZeroDivisionError(), "Zero"),
        (OSError(22, "odd"), "odd"), (SyntaxError("broken PNG"), "broken PNG"),
    ):  # fmt: skip
        for name, (module, function) in steps.items():
            (stick / "results.csv").unlink(missing_ok=True)
            calls, real = iter(sorted(steps)), getattr(modules[module], function)

            def fail(*given, name=name, calls=calls, real=real, raised=raised):
                if next(calls) == name:
                    raise raised
                return real(*given)

            with monkeypatch.context() as patch:
                patch.setattr(modules[module], function, fail)
                assert infer.main([str(stick)]) == 1
            found = {row["image"]: row for row in rows(stick / "results.csv")}
            assert {n: row["status"] for n, row in found.items()} == {
                each: "unusable" if each == name else "classified" for each in steps
            }
            assert words in found[name]["reason"]


def test_a_picture_takes_no_more_memory_or_time_than_it_may(monkeypatch):
    limits = edge_bundle.device("limits")
    before = signal.getsignal(signal.SIGALRM), resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), limits.Limits()():
        np.ones(4 * limits.MEMORY, np.uint8)
    monkeypatch.setattr(limits, "SECONDS", 0.05)
    start = time.monotonic()
    with pytest.raises(limits.TooSlowError, match="takes longer"), limits.Limits()():
        while time.monotonic() < start + 5:
            pass
    assert time.monotonic() < start + 2
    with limits.Limits()():
        assert np.ones(2**20, np.uint8).all()
    after = signal.getsignal(signal.SIGALRM), resource.getrlimit(resource.RLIMIT_DATA)
    assert after == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_folders_in_folders_without_end(infer, stick):
    deep = stick
    for _ in range(1500):
        deep = deep / "x"
        deep.mkdir()
    try:
        assert infer.main([str(stick)]) == 0
        assert len(rows(stick / "results.csv")) == 3
    finally:  # Python's own rmtree, which tidies up after tests, cannot go so deep
        subprocess.run(["rm", "-r", str(stick / "x")], check=True)


def test_files_alone_leave_nothing_beside_them(infer, stick, capsys):
    before = sorted(stick.rglob("*"))
    assert infer.main([str(stick / "a.png"), str(stick / "d.jpg")]) == 0
    assert infer.main([str(stick / "a.png")]) == 0
    assert sorted(stick.rglob("*")) == before
    out = capsys.readouterr().out
    assert out.count("a.png  ") == 2
    assert "2 classified, 0 not tissue, 0 unusable; --csv FILE keeps them" in out
    # A folder among them is resumed, so its results are kept.
    infer.main([str(stick / "d.jpg"), str(stick / "b")])
    assert [row["image"] for row in rows(stick / "b/results.csv")] == ["../d.jpg", "c.tif"]


def test_what_is_not_tissue_is_flagged_instead_of_classified(infer, stick, tmp_path):
    edge_bundle.save(stick / "blank.png", np.full((60, 90, 3), 245, np.uint8))
    assert infer.main([str(stick)]) == 0
    row = rows(stick / "results.csv")[2]
    assert (row["image"], row["status"], row["label"]) == ("blank.png", "not tissue", "")
    assert row["reason"].startswith("blank")
    assert row["p_malignant"] == ""
    infer.main([str(stick), "--any-picture", "--csv", str(tmp_path / "r.csv")])
    row = rows(tmp_path / "r.csv")[2]
    assert (row["image"], row["status"]) == ("blank.png", "classified")
    assert row["reason"].startswith("blank")


def test_kernels_are_named_after_what_computes_the_convolutions(bundle):
    classifier = edge_bundle.device("classifier")
    loaded = edge_bundle.device("sealed").load(bundle)
    # The stand-in gives a delegate its softmax always, as tflite-runtime does.
    for kernels, family in (("default", "xnnpack"), ("builtin", "builtin")):
        assert classifier.Classifier(loaded, kernels=kernels).family == family
    model = classifier.Classifier(loaded)
    model._interpreter.delegated = False
    assert model._family("default") == "builtin"


@pytest.mark.parametrize("error", [RuntimeError("Node number 3 failed"), ValueError("no tensor")])
def test_a_model_that_fails_when_it_runs_is_named(error, infer, bundle, monkeypatch, capsys):
    """It is not taken for a fault of the picture: every other one would fail as well."""

    def invoke(self):
        raise error

    classifier = edge_bundle.device("classifier")
    interpreter = classifier.find_runtime()[1].Interpreter
    monkeypatch.setattr(interpreter, "invoke", invoke)
    model = classifier.Classifier(edge_bundle.device("sealed").load(bundle))
    with pytest.raises(edge_bundle.device("errors").InputError) as raised:
        model.run(np.zeros((edge_bundle.SIZE, edge_bundle.SIZE, 3), np.uint8))
    assert str(raised.value).startswith(str(model.bundle.model))
    assert f"cannot run this model ({error}); copy the whole bundle again" in str(raised.value)


def test_the_threshold_decides(runtime, bundle):
    classifier = edge_bundle.device("classifier")
    loaded = edge_bundle.device("sealed").load(bundle)
    model = classifier.Classifier(loaded)
    for threshold, label, probability in ((0.4, "malignant", 0.45), (0.46, "benign", 0.55)):
        loaded.preprocessing["threshold"] = threshold
        assert model.decide(np.array([0.55, 0.45])) == (label, probability)
    loaded.preprocessing.update(positive=None)
    assert model.decide(np.array([0.55, 0.45])) == ("benign", 0.55)


# --- a folder that is watched ------------------------------------------------------------------


@pytest.fixture
def watcher(infer, tmp_path):
    classifier, results = edge_bundle.device("classifier"), edge_bundle.device("results")
    table = results.Results(tmp_path / "r.csv", edge_bundle.CLASSES)
    session = edge_bundle.device("session").Session(
        classifier.Classifier(edge_bundle.device("sealed").load()), table
    )
    folder = tmp_path / "stick"
    folder.mkdir()
    yield edge_bundle.device("watching").Watcher(session, folder)
    table.close()


def test_a_picture_that_is_still_copied_is_left_alone(watcher, tmp_path):
    whole = edge_bundle.save(tmp_path / "x.png", edge_bundle.picture(0)).read_bytes()
    target = watcher.folder / "x.png"
    for second in range(6):
        target.write_bytes(whole[: (second + 1) * 1000])
        assert not watcher.look(second)
    assert rows(tmp_path / "r.csv") == []
    target.write_bytes(whole)
    assert not watcher.look(6)
    assert watcher.look(7)
    assert not watcher.look(8)
    assert [row["status"] for row in rows(tmp_path / "r.csv")] == ["classified"]


def test_a_copy_that_stalls_is_tried_again_and_then_given_up(watcher, tmp_path):
    whole = edge_bundle.save(tmp_path / "x.png", edge_bundle.picture(0)).read_bytes()
    target = watcher.folder / "x.png"
    target.write_bytes(whole[:3000])
    written = [second for second in range(30) if watcher.look(second)]
    # Seen at 0, tried at 1, then 1, 3 and 9 seconds later.
    assert written == [14]
    assert rows(tmp_path / "r.csv")[0]["status"] == "unusable"
    target.write_bytes(whole)
    assert [second for second in range(30, 40) if watcher.look(second)] == [31]
    assert rows(tmp_path / "r.csv")[1]["status"] == "classified"


def test_a_picture_that_no_waiting_mends_is_given_up_at_once(watcher, tmp_path):
    (watcher.folder / "grey.png").write_bytes(_encoded("PNG", "L"))
    assert [second for second in range(5) if watcher.look(second)] == [1]
    assert "grey-scale" in rows(tmp_path / "r.csv")[0]["reason"]


def test_a_drive_that_is_not_there_yet_is_waited_for(watcher, capsys):
    watcher.folder.rmdir()
    for second in range(3):
        assert not watcher.look(second)
    assert capsys.readouterr().err == f"waiting for {watcher.folder}\n"


def test_a_drive_may_be_pulled_out_and_come_back(watcher, tmp_path, capsys):
    edge_bundle.save(watcher.folder / "a.png", edge_bundle.picture(0))
    watcher.look(0)
    watcher.look(1)
    away = watcher.folder.rename(tmp_path / "away")
    for second in range(2, 5):
        assert not watcher.look(second)
    assert capsys.readouterr().err.count("waiting for") == 1
    edge_bundle.save(away / "b.png", edge_bundle.picture(1))
    away.rename(watcher.folder)
    for second in range(5, 8):
        watcher.look(second)
    assert [row["image"] for row in rows(tmp_path / "r.csv")] == ["a.png", "b.png"]


# --- a camera ----------------------------------------------------------------------------------


def test_a_camera_s_pictures_are_kept_and_classified(infer, tmp_path, monkeypatch):
    source = edge_bundle.save(tmp_path / "scene.png", edge_bundle.picture(3))
    arguments = ["--camera", "--camera-command", f"cp {source} {{}}", "--shots", "3",
                 "--every", "0.01", "--captures", str(tmp_path / "shots")]  # fmt: skip
    assert infer.main(arguments) == 0
    found = rows(tmp_path / "shots/results.csv")
    kept = sorted(path.name for path in (tmp_path / "shots").glob("*.png"))
    assert len(kept) == 3
    assert [row["image"] for row in found] == kept
    assert {row["p_malignant"] for row in found} == {
        f"{edge_bundle.probabilities(edge_bundle.picture(3))[1]:.6f}"
    }


def test_a_camera_that_fails(infer, tmp_path, error, capsys, monkeypatch):
    shots = ["--captures", str(tmp_path / "shots"), "--every", "0.01"]
    with pytest.raises(error, match="three times in a row: false took no picture"):
        infer.main(["--camera", "--camera-command", "false {}", *shots])
    assert capsys.readouterr().err.count("camera: ") == 2
    with pytest.raises(error, match="a program that is installed"):
        infer.main(["--camera", "--camera-command", "no-such-program {}", *shots])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(error, match="no program for a camera here"):
        infer.main(["--camera", *shots])


# --- activation maps ---------------------------------------------------------------------------


def test_evidence_is_what_a_class_has_over_the_mean():
    maps = np.zeros((2, 2, 2))
    maps[..., 0] = [[1, 5], [3, 3]]
    maps[..., 1] = [[3, 1], [3, 7]]
    evidence = edge_bundle.device("heatmap").evidence
    assert np.allclose(evidence(maps, 0), [[0, 1], [0, 0]])
    assert np.allclose(evidence(maps, 1), [[0.5, 0], [0, 1]])
    assert np.allclose(evidence(np.ones((2, 2, 2)), 0), 0)


def test_drawings_among_the_pictures_are_no_pictures(infer, stick):
    for _ in range(2):
        infer.main([str(stick), "--cam", str(stick / "b")])
    assert (stick / "b/b_c.tif-cam.png").exists()
    assert [row["image"] for row in rows(stick / "results.csv")] == ["a.png", "b/c.tif", "d.jpg"]


def test_maps_keep_the_colours_of_what_spoke_for_the_label(infer, stick, tmp_path):
    image = edge_bundle.picture(0)
    image[:, :45] = (220, 40, 180)  # 5 for malignant
    image[:, 45:] = (150, 110, 114)  # 1.8 against it
    edge_bundle.save(stick / "a.png", image)
    infer.main([str(stick), "--cam", str(tmp_path / "maps")])
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["a.png-cam.png", "b_c.tif-cam.png", "d.jpg-cam.png"]
    label = rows(stick / "results.csv")[0]["label"]
    with Image.open(tmp_path / "maps/a.png-cam.png") as drawing:
        assert drawing.info["SYNTHETIC"] == notices.SYNTHETIC_MODEL
        assert drawing.size == (448, 299 + 56)
        pixels = np.asarray(drawing).astype(int)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    assert label == "malignant"
    # Only what speaks for the label keeps its colours.
    assert spread[150, 60] > 100
    assert spread[150, 400] < 5


def test_maps_of_pictures_with_names_of_any_length(infer, tmp_path):
    folder = tmp_path / "long"
    names = [
        "é" * 120 + ".png", "y" * 251 + ".png", "y" * 250 + "z.png", f"{'x' * 100}/{'x' * 200}.png",
    ]  # fmt: skip
    for seed, name in enumerate(names):
        edge_bundle.save(folder / name, edge_bundle.picture(seed))
    maps = tmp_path / "maps"
    assert infer.main([str(folder), "--cam", str(maps)]) == 0
    drawings = [path.name for path in maps.iterdir()]
    assert len(drawings) == 4
    assert all(name.endswith("-cam.png") and len(os.fsencode(name)) <= 255 for name in drawings)
    assert {row["reason"] for row in rows(folder / "results.csv")} == {""}


def test_a_map_that_cannot_be_written_costs_no_result(infer, stick, tmp_path):
    (tmp_path / "maps").write_text("no folder")
    assert infer.main([str(stick), "--cam", str(tmp_path / "maps")]) == 0
    found = rows(stick / "results.csv")
    assert {row["status"] for row in found} == {"classified"}
    assert all(row["reason"].startswith("its map cannot be written (") for row in found)


# --- the page ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(bundle, tmp_path_factory) -> Path:
    """A stick with a file of a nasty name, a blank picture and a bad one."""
    folder = tmp_path_factory.mktemp("shown")
    for seed, name in enumerate(("<img src=x onerror=alert(1)>.png", "a.png", "b/c.tif", "d.jpg")):
        edge_bundle.save(folder / name, edge_bundle.picture(seed))
    edge_bundle.save(folder / "blank.png", np.full((60, 90, 3), 245, np.uint8))
    (folder / "cut.png").write_bytes(BAD["cut.png"][0]())
    return folder


@pytest.fixture(scope="module")
def page(bundle, shown):
    """Address of a page that shows what became of these files."""
    edge_bundle.device("heatmap")
    sessions = edge_bundle.device("session")
    classifier, results = edge_bundle.device("classifier"), edge_bundle.device("results")
    model = classifier.Classifier(edge_bundle.device("sealed").load(bundle))
    seen = edge_bundle.device("serve").Page(model.bundle)
    table = results.Results(shown / "results.csv", edge_bundle.CLASSES)
    session = sessions.Session(model, table, maps=shown / ".maps", page=seen)
    address = seen.start("127.0.0.1", 0)
    sessions.classify_all(session, edge_bundle.device("finding").pictures(shown), False)
    yield address
    table.close()
    seen.stop()


def get(address: str, path: str, **headers: str) -> tuple[int, bytes, dict]:
    """GET a path exactly as it is written."""
    import http.client

    connection = http.client.HTTPConnection(address.split("/")[2], timeout=5)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    try:
        return answer.status, answer.read(), dict(answer.headers)
    finally:
        connection.close()


def test_the_page_s_state(page, shown):
    status, data, _ = get(page, "/state.json")
    state = json.loads(data)
    assert status == 200
    assert (state["synthetic"], state["notice"]) == (
        notices.SYNTHETIC_MODEL, notices.RESEARCH_USE,
    )  # fmt: skip
    assert state["counts"] == {"classified": 4, "not tissue": 1, "unusable": 1}
    names = [row["name"] for row in state["rows"]]
    assert names == ["d.jpg", "cut.png", "blank.png", "b/c.tif", "a.png",
                     "<img src=x onerror=alert(1)>.png"]  # fmt: skip
    newest, bad, flagged = state["rows"][:3]
    expected = edge_bundle.probabilities(images.read(shown / "d.jpg"))
    assert newest["probabilities"]["malignant"] == pytest.approx(expected[1], abs=1e-6)
    assert (bad["status"], bad["probability"], bad["images"]) == ("unusable", None, [])
    assert (flagged["status"], flagged["images"]) == ("not tissue", ["picture"])
    for kind, size in (("picture", (90, 60)), ("map", (448, 355))):
        status, data, _ = get(page, f"/{kind}/{newest['id']}")
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("JPEG", size)


def test_the_page_gives_nothing_else(page):
    for path in (
        "/results.csv", "/manifest.json", "/../manifest.json", "/picture/../../manifest.json",
        "/%2e%2e/manifest.json", "//etc/passwd", "/picture/0", "/picture/99", "/picture/-1",
        "/picture/1/", "/map/2e1", "/page.js/../serve.py", "/serve.py", "/picture/1?x", "/.",
        "/picture/" + "9" * 400, "*", "http://127.0.0.1/page.css",
    ):  # fmt: skip
        status, data, _ = get(page, path)
        assert (status, data) == (404, b"no such page\n"), path


def test_the_page_answers_only_to_this_device(page):
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        assert get(page, "/state.json", Host=host)[0] == 403, host
    for host in ("127.0.0.1", "localhost:8000", "[::1]:8000"):
        assert get(page, "/state.json", Host=host)[0] == 200, host


def test_the_page_loads_nothing_from_elsewhere_and_changes_nothing(page):
    _, html, headers = get(page, "/")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers
    for name in ("/page.css", "/page.js"):
        status, data, _ = get(page, name)
        assert status == 200
        html += data
    assert not re.search(rb"https?://|//[a-z]+\.|@import|innerHTML|url\(", html)
    for method in ("POST", "PUT", "DELETE"):
        request = urllib.request.Request(page + "state.json", method=method, data=b"x")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)
        assert caught.value.code == 501
        caught.value.close()


def test_the_page_forgets_old_pictures(infer, bundle):
    serve, sealed = edge_bundle.device("serve"), edge_bundle.device("sealed")
    shown = serve.Page(sealed.load())
    preview = shown.preview(edge_bundle.picture(0))
    for number in range(1, serve.LATEST + 11):
        row = {"image": f"{number}.png", "time": "t", "status": "unusable", "reason": "r"}
        shown.show(row, {"picture": preview})
    state = shown.state()
    assert len(state["rows"]) == serve.LATEST
    assert state["counts"] == {"unusable": serve.LATEST + 10}
    assert state["rows"][0]["name"] == f"{serve.LATEST + 10}.png"
    assert shown.image("picture", 10) is None
    assert shown.image("picture", 11) is not None


def test_a_port_in_use_is_named(page, infer, stick, error, tmp_path):
    port = page.rsplit(":", 1)[1].strip("/")
    with pytest.raises(error, match=rf"--port {port}.*try --port"):
        infer.main([str(stick), "--serve", "--port", port, "--csv", str(tmp_path / "r.csv")])


def test_a_restart_shows_what_the_results_hold(infer, bundle, shown):
    results, serve = edge_bundle.device("results"), edge_bundle.device("serve")
    table = results.Results(shown / "restart.csv", edge_bundle.CLASSES)
    for number in range(results.LATEST + 5):
        row = {"image": f"{number}.png", "status": "classified", "label": "benign", "time": "t",
               "probability": "0.75", "p_benign": "0.75", "p_malignant": "0.25"}  # fmt: skip
        table.add(row)
    table.add({"image": "bad\udcff.png", "status": "unusable", "reason": "is empty", "time": "t"})
    table.close()
    page = serve.Page(edge_bundle.device("sealed").load())
    again = results.Results(shown / "restart.csv", edge_bundle.CLASSES)
    page.restore(again)
    again.close()
    state = page.state()
    json.dumps(state, allow_nan=False)
    assert state["counts"] == {"classified": results.LATEST + 5, "unusable": 1}
    assert len(state["rows"]) == results.LATEST
    bad, newest = state["rows"][:2]
    assert (bad["status"], bad["reason"], bad["probability"]) == ("unusable", "is empty", None)
    assert newest["name"] == f"{results.LATEST + 4}.png"
    assert newest["probabilities"] == {"benign": 0.75, "malignant": 0.25}
    assert newest["images"] == []


@pytest.fixture
def served(infer, bundle, request):
    """A page's server, for everyone in the network or (local) for this device."""
    serve = edge_bundle.device("serve")
    page = serve.Page(edge_bundle.device("sealed").load())
    address = page.start(*getattr(request, "param", ("127.0.0.1", 0)))
    yield page, address
    page.stop()


@pytest.mark.parametrize("served", [("0.0.0.0", 0)], indirect=True)
def test_in_a_network_a_token_is_asked_for(served):
    page, address = served
    token = address.partition("/?token=")[2]
    assert len(token) >= 20
    here = f"http://127.0.0.1:{page._server.server_address[1]}/"
    for path in ("/", "/state.json", "/picture/1", "/page.css", "/?token=", "/?token=x",
                 f"/?token={token[:-1]}", f"/state.json?token={token}"):  # fmt: skip
        status, data, _ = get(here, path)
        assert (status, b"asks for the token" in data) == (403, True), path
    for headers in (
        {"Cookie": "token=x"}, {"Cookie": "other=" + token}, {"Authorization": "Bearer x"},
        {"Authorization": "Basic " + token}, {"Cookie": "token=\xe9"},
    ):  # fmt: skip
        assert get(here, "/state.json", **headers)[0] == 403, headers
    status, _, headers = get(here, f"/?token={token}")
    assert (status, headers["Location"]) == (303, "/")
    cookie, *rest = headers["Set-Cookie"].split("; ")
    assert set(rest) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert get(here, "/state.json", Cookie=f"a=b; {cookie}; c=d")[0] == 200
    assert get(here, "/", Cookie=cookie)[0] == 200
    assert get(here, f"/?token={token}", Cookie=cookie)[2]["Location"] == "/"
    assert get(here, "/state.json", Authorization=f"Bearer {token}")[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.8.8"])
def test_on_the_device_itself_no_token_is_asked_for(infer, bundle, host):
    page = edge_bundle.device("serve").Page(edge_bundle.device("sealed").load())
    address = page.start(host, 0)
    try:
        assert "token" not in address
        assert get(address, "/state.json")[0] == 200
    finally:
        page.stop()


def test_clients_that_hang_up_or_say_nothing_stop_nothing(served, capfd):
    page, address = served
    where = page._server.server_address
    serve = edge_bundle.device("serve")
    idle = [socket.create_connection(where) for _ in range(3 * serve.CONNECTIONS)]
    for number, each in enumerate(idle):  # requests that never end, or end at once
        each.sendall(b"GET /state.json HTT" if number % 2 else b"")
    for linger in (b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", b"\xff\xfe\r\n", b"GET"):
        each = socket.create_connection(where)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.sendall(linger)
        each.close()  # with a reset
    assert get(address, "/state.json")[0] == 200
    assert len(page._server._open) <= serve.CONNECTIONS
    for each in idle:
        each.close()
    assert capfd.readouterr().err == ""


# --- damage ------------------------------------------------------------------------------------


@pytest.fixture
def copy(bundle, tmp_path, monkeypatch) -> Path:
    """A copy of the bundle to spoil."""
    folder = tmp_path / "copy"
    shutil.copytree(bundle, folder)
    monkeypatch.setattr(edge_bundle.device("sealed"), "FOLDER", folder)
    return folder


@pytest.mark.parametrize(
    "name", ["model-int8.tflite", "labels.txt", "preprocessing.json", "pixels.py"]
)
def test_a_changed_file_is_never_used(copy, stick, error, name):
    infer = edge_bundle.device("infer")
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(_flipped(data, len(data) // 2))
    with pytest.raises(error, match=rf"{name}: is not the file that was bundled"):
        infer.main([str(stick)])
    (copy / name).unlink()
    with pytest.raises(error, match=rf"{name}: is missing; copy the whole bundle again"):
        infer.main([str(stick)])
    assert not (stick / "results.csv").exists()


def test_a_damaged_manifest_is_noticed_wherever_it_was_damaged(copy, error):
    sealed = edge_bundle.device("sealed")
    path = copy / "manifest.json"
    data = path.read_bytes()
    original = json.loads(data)
    for at in range(0, len(data), 61):
        path.write_bytes(_flipped(data, at))
        try:
            unharmed = json.loads(path.read_bytes()) == original  # a space between two words
        except ValueError:
            unharmed = False
        if not unharmed:
            with pytest.raises(error, match=r"manifest\.json"):
                sealed.read_manifest(copy)
    for content in (b"", b"{}", b"[]", b"null", data[:-9]):
        path.write_bytes(content)
        with pytest.raises(error, match=r"manifest\.json.*copy the whole bundle again"):
            sealed.read_manifest(copy)
    path.unlink()
    with pytest.raises(error, match="missing; this folder is no bundle"):
        sealed.read_manifest(copy)


def test_a_seal_is_what_it_always_was():
    """Bundles are checked by programs of their own day; that of tomorrow reads them too."""
    sealed = edge_bundle.device("sealed")
    assert sealed.SCHEMA == 1
    text = b'{"files":{"x":1},"schema":1}'
    expected = hashlib.sha256(text).hexdigest()
    assert sealed.seal({"schema": 1, "seal": "any", "files": {"x": 1}}) == expected


def test_a_newer_bundle_is_refused(copy, error):
    sealed = edge_bundle.device("sealed")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["schema"] = 99
    manifest["seal"] = sealed.seal(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(error, match="made by a newer version"):
        sealed.load(copy)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"size": 64}, r"takes \(1, 64, 64, 3\) uint8"),
        ({"dtype": "int8"}, r"int8 scale and zero point \(1.0, 0\)"),
        ({"quantization": [0.0186, 114]}, r"zero point \(0.0186, 114\)"),
    ],
)
def test_a_model_with_another_contract_is_refused(runtime, tmp_path, change, found):
    with pytest.raises(CommonInputError, match=found + r".*needs one input \(1, 32, 32, 3\)"):
        edge_bundle.build(tmp_path, **change)
    assert not (tmp_path / "bundle").exists()
    assert not list(tmp_path.glob(".part-*"))


@pytest.mark.parametrize(
    ("bits", "machine", "needs"),
    [(2**63, "aarch64", "64bit"), (2**31 - 1, "armv7l", "32bit"), (2**63, "x86_64", "64bit")],
)
def test_no_runtime(infer, stick, error, monkeypatch, bits, machine, needs):
    classifier = edge_bundle.device("classifier")
    monkeypatch.setattr(classifier, "RUNTIMES", {"ai-edge-litert": "no_such_runtime.interpreter"})
    monkeypatch.setattr(classifier.sys, "maxsize", bits)
    monkeypatch.setattr(classifier.platform, "machine", lambda: machine)
    with pytest.raises(error, match=rf"no runtime.*pip install -r .*requirements-{needs}\.txt"):
        infer.main([str(stick)])


def test_a_runtime_that_is_broken_says_why(infer, stick, error, monkeypatch, tmp_path):
    package = tmp_path / "broken_runtime"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('GLIBC_2.38 not found')")
    monkeypatch.syspath_prepend(tmp_path)
    classifier = edge_bundle.device("classifier")
    monkeypatch.setattr(classifier, "RUNTIMES", {"tflite-runtime": "broken_runtime.interpreter"})
    with pytest.raises(error, match=r"tflite-runtime: GLIBC_2\.38 not found"):
        infer.main([str(stick)])


# --- the self-test -----------------------------------------------------------------------------


def verdicts(folder: Path) -> dict[str, tuple[bool, str]]:
    check = edge_bundle.device("selftest").check
    found = check(folder, runtime=None, kernels="default", threads=None)
    return {name: (well, text) for name, text, well in found}


def reseal(folder: Path) -> None:
    """Make a spoiled bundle look as if it had been made so."""
    sealed = edge_bundle.device("sealed")
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        entry["sha256"] = sealed.file_hash(folder / name)
    manifest["seal"] = sealed.seal(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_the_self_test_passes_on_a_whole_bundle(bundle):
    found = verdicts(bundle)
    assert list(found) == ["files", "pixels", "tissue", "outputs"]
    assert all(well for well, _ in found.values())
    assert (
        "xnnpack kernels: probabilities equal bit by bit to those of the same kernels"
        in (found["outputs"][1])
    )


def test_the_self_test_finds_every_damaged_file(copy):
    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        name = path.relative_to(copy).as_posix()
        if name == "manifest.json":
            continue
        data = path.read_bytes()
        path.write_bytes(data + b"x")
        found = verdicts(copy)
        assert list(found) == ["files"], name
        assert not found["files"][0]
        assert found["files"][1] == f"{name} is not the file that was bundled (its SHA-256 differs)"
        path.write_bytes(data)
    assert all(well for well, _ in verdicts(copy).values())


@pytest.mark.parametrize(
    ("family", "shift", "well"),
    [
        ("xnnpack", 0, True), ("xnnpack", 1e-5, False), ("xnnpack", float("nan"), False),
        ("other", 0.015, True), ("other", 0.03, False),
    ],
)  # fmt: skip
def test_the_self_test_compares_outputs(copy, family, shift, well):
    """Within one family of kernels to the bit, between families to the tolerance."""
    path = copy / "golden/expected.json"
    expected = json.loads(path.read_text())
    for each in expected["pictures"]:
        if "outputs" in each:
            p = np.add(each["outputs"]["xnnpack"], [shift, -shift])
            each["outputs"] = {family: p.tolist()}
            each["label"] = {family: each["label"]["xnnpack"]}
    path.write_text(json.dumps(expected))
    reseal(copy)
    found = verdicts(copy)
    assert [found[name][0] for name in ("files", "pixels", "tissue")] == [True] * 3
    assert found["outputs"][0] == well
    assert ("other kernels (other)" in found["outputs"][1]) == (family == "other")


def test_the_self_test_notices_another_decoder_and_another_label(copy):
    path = copy / "golden/expected.json"
    original = path.read_text()
    expected = json.loads(original)
    expected["pictures"][0]["pixels_sha256"] = "0" * 64
    expected["pictures"][1]["label"]["xnnpack"] = "neither"
    expected["pictures"][2]["tissue"] = True
    expected["pictures"] = expected["pictures"][:2]
    path.write_text(json.dumps(expected))
    reseal(copy)
    found = verdicts(copy)
    assert not found["pixels"][0]
    assert expected["pictures"][0]["file"] in found["pixels"][1]
    assert not found["outputs"][0]
    assert "a label differs" in found["outputs"][1]


def test_the_self_test_s_exit_code(copy, capsys):
    selftest = edge_bundle.device("selftest")
    assert selftest.main([]) == 0
    assert capsys.readouterr().out.endswith("passed\n")
    (copy / "golden/blank.png").unlink()
    assert selftest.main([]) == 1
    assert "FAIL  golden/blank.png is missing" in capsys.readouterr().out


# --- measuring ---------------------------------------------------------------------------------


def test_bench_writes_what_it_shows(bundle, infer, tmp_path, capsys, monkeypatch):
    bench = edge_bundle.device("bench")
    monkeypatch.setattr(bench, "start_to_answer", lambda bundle, flags: 0.5)
    assert bench.main(["--runs", "20", "--threads", "2", "--json", str(tmp_path / "b.json")]) == 0
    found = json.loads((tmp_path / "b.json").read_text())
    text = capsys.readouterr().out
    assert found["runs"] == 20
    assert found["threads"] == 2
    assert found["kernels"] == "xnnpack"
    assert found["valid"] is True
    assert found["median_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert f"{found['mean_ms']:.1f} ms   (20 runs)" in text
    assert f"{found['peak_memory_mib']:.1f} MiB" in text
    assert "SYNTHETIC" in text
    assert "Raspberry Pi 4 (1 GB)         1065 ms" in text
    assert "May not: any other pair." in text
    assert "This is not one" in text
    (read,) = measurements.read(tmp_path / "b.json")  # as `tables` reads it
    assert read.synthetic
    assert read.device == found["machine"]["device"]
    assert read.run_id == json.loads((bundle / "manifest.json").read_text())["run_id"]
    assert read.values["latency_ms"] == found["mean_ms"]
    low, high = read.intervals["latency_ms"]
    assert low < found["mean_ms"] < high


def test_published_latencies_are_the_paper_s(bundle):
    published = DEVICE.parent / "published.csv"
    paper = {row["row"]: row["printed"] for row in rows(published) if row["table"] == "T6"}
    assert {row["row"]: row["printed"] for row in rows(bundle / "published.csv")} == paper
    assert len(paper) == 4


@pytest.mark.parametrize(
    ("before", "during", "problem"),
    [
        (None, [], ""),
        (0, [0, 0], ""),
        (0, [0, 0x4], "throttled"),
        (0, [0x50005], "under-voltage, throttled"),
        (0x50000, [0x50000], ""),  # long ago, and not now
        (0x50000, [0xD0000], "too hot"),  # came and went between two looks
        (0x50005, [0x50005], "under-voltage, throttled"),
    ],
)
def test_a_throttled_run_is_invalid(before, during, problem):
    assert edge_bundle.device("bench").throttle_problem(before, during) == problem


def test_bench_marks_a_throttled_run(infer, tmp_path, capsys, monkeypatch):
    bench = edge_bundle.device("bench")
    answers = iter([0x0, 0x0, 0x80008])
    monkeypatch.setattr(bench, "throttled_bits", lambda: next(answers))
    monkeypatch.setattr(bench, "start_to_answer", lambda bundle, flags: 0.5)
    assert bench.main(["--runs", "5", "--json", str(tmp_path / "b.json")]) == 1
    assert json.loads((tmp_path / "b.json").read_text())["finished"] is None
    assert "INVALID: too hot during the run" in capsys.readouterr().out
    found = json.loads((tmp_path / "b.json").read_text())
    assert (found["valid"], found["throttled"]) == (False, ["0x0", "0x80008"])


def test_the_firmware_s_answer_is_read(tmp_path, monkeypatch):
    bench = edge_bundle.device("bench")
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x50005\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert bench.throttled_bits() == 0x50005
    program.write_text("#!/bin/sh\necho VCHI initialization failed\n")
    assert bench.throttled_bits() is None
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bench.throttled_bits() is None


# --- as programs -------------------------------------------------------------------------------


def test_a_killed_program_loses_nothing_and_repeats_nothing(bundle, runtime, tmp_path):
    folder = tmp_path / "stick"
    data = edge_bundle.save(folder / "000.png", edge_bundle.picture(0)).read_bytes()
    names = [f"{number:03d}.png" for number in range(70)]
    for name in names:
        (folder / name).write_bytes(data)
    process = start(bundle, runtime, folder)
    told = [process.stdout.readline().split()[0] for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    finish(process)
    kept = [row["image"] for row in rows(folder / "results.csv")]
    assert kept[:30] == told == names[:30]
    assert len(kept) < 70
    code, out, err = finish(start(bundle, runtime, folder))
    assert (code, err) == (0, "")
    assert f"{len(kept)} have a result already" in out
    assert [row["image"] for row in rows(folder / "results.csv")] == names


def test_errors_are_one_line_and_exit_code_2(bundle, runtime, tmp_path):
    for arguments, words in (
        ([tmp_path / "missing.png"], "no such file or folder"),
        ([], "give images or folders"),
        ([tmp_path, "--csv", tmp_path / "no/such/r.csv"], "cannot be written"),
    ):
        code, out, err = finish(start(bundle, runtime, *arguments))
        assert code == 2
        assert words in err
        assert "Traceback" not in err
        assert out == ""


def test_the_programs_are_whole_in_a_bundle_and_need_no_newer_python_than_3_9(bundle):
    programs = {path.name for path in DEVICE.glob("*.py")}
    programs |= {f"common/{name}" for name in (*SHARED, "__init__.py", "images/__init__.py")}
    imported = set()
    for name in programs:
        tree = ast.parse((bundle / name).read_text(encoding="utf-8"), feature_version=(3, 9))
        for node in ast.walk(tree):
            # Not in Python 3.9, though the syntax is.
            assert not (isinstance(node, ast.keyword) and node.arg == "strict"), name
            if isinstance(node, ast.Import):
                imported |= {each.name.split(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    own = {Path(name).stem for name in programs} | {"common"}
    assert imported - own - set(sys.stdlib_module_names) == {"numpy", "PIL"}
    sealed = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert programs <= set(sealed)


def test_only_numpy_pillow_and_the_runtime_are_imported(bundle, runtime, stick):
    program = bundle / "only.py"
    own = {path.stem for path in DEVICE.glob("*.py")} | {"common"}
    program.write_text(
        "import sys\n"
        "before = set(sys.modules)\n"  # what an environment loads at the interpreter's start
        "import errors, infer\n"
        "code = infer.main(sys.argv[1:])\n"
        f"own = {own}\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before if '.' in name or not "
        "name.startswith('_')}\n"
        "print(sorted(names - set(sys.stdlib_module_names) - own))\n"
        "heavy = {'http.server', 'ssl', 'hashlib', 'camera'}\n"
        "print(heavy & (set(sys.modules) - before))\n"
    )
    try:
        code, out, err = finish(start(bundle, runtime, stick, program="only.py"))
    finally:
        program.unlink()
    assert (code, err) == (0, "")
    allowed, heavy = out.splitlines()[-2:]
    assert set(eval(allowed)) == {"PIL", "ai_edge_litert", "numpy"}
    assert heavy == "set()"


def _in_small_disk(options: str, *command: str) -> subprocess.CompletedProcess:
    """Run a shell command with a tmpfs of its own at $1."""
    allowed = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("no right to mount a small disk here (unshare -rm)")
    return subprocess.run(["unshare", "-rm", "sh", "-c", *command], capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip


def _launch(bundle: Path, runtime: Path) -> list[str]:
    return [sys.executable, "-I", "-c", LAUNCH, str(runtime), str(bundle / "infer.py")]


def test_a_full_disk(bundle, runtime, tmp_path):
    folder, disk = tmp_path / "stick", tmp_path / "disk"
    disk.mkdir()
    data = edge_bundle.save(folder / "000.png", edge_bundle.picture(0)).read_bytes()
    for number in range(60):
        (folder / f"{number:03d}.png").write_bytes(data)
    script = (
        'disk=$1; folder=$2; kept=$3; shift 3; mount -t tmpfs -o size=4k tmpfs "$disk" && '
        '"$@" "$folder" --csv "$disk/r.csv"; code=$?; cp "$disk/r.csv" "$kept"; exit $code'
    )
    kept = tmp_path / "kept.csv"
    done = _in_small_disk("", script, "sh", str(disk), str(folder), str(kept),
                          *_launch(bundle, runtime))  # fmt: skip
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "results before are safe" in done.stderr
    told = [line.split()[0] for line in done.stdout.splitlines() if ".png " in line]
    found = rows(kept)
    assert [row["image"] for row in found] == told
    assert 10 < len(told) < 60
    assert all(row["p_malignant"] for row in found)


def test_a_drive_that_cannot_be_written(bundle, runtime, tmp_path, stick):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'disk=$1; folder=$2; other=$3; shift 3; mount -t tmpfs tmpfs "$disk" && '
        'cp -r "$folder"/. "$disk" && mount -o remount,ro "$disk" && "$@" "$disk"; echo $?; '
        '"$@" "$disk" --csv "$other"; echo $?'
    )
    other = tmp_path / "r.csv"
    done = _in_small_disk("", script, "sh", str(disk), str(stick), str(other),
                          *_launch(bundle, runtime))  # fmt: skip
    assert "results.csv: cannot be written (Read-only file system)" in done.stderr
    assert "--csv" in done.stderr
    assert done.stdout.splitlines()[0] == "2"
    assert done.stdout.splitlines()[-1] == "0"
    assert len(rows(other)) == 3


@pytest.mark.slow
def test_five_thousand_pictures_in_bounded_memory(bundle, runtime, tmp_path):
    folder = tmp_path / "stick"
    data = edge_bundle.save(folder / "x.png", edge_bundle.picture(0, 20, 30)).read_bytes()
    (folder / "x.png").unlink()
    program = tmp_path / "measured.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(bundle)!r})\n"
        "import bench, infer, time\n"
        "start = time.process_time()\n"
        "code = infer.main(sys.argv[1:])\n"
        "print(bench.peak_memory(), time.process_time() - start)\n"
    )
    memory, seconds = {}, {}
    for count in (500, 5000):
        for number in range(count):
            (folder / f"{number:04d}.png").write_bytes(data)
        arguments = [sys.executable, "-I", "-c", LAUNCH, str(runtime), str(program), str(folder),
                     "--csv", str(tmp_path / f"{count}.csv")]  # fmt: skip
        out = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
        memory[count], seconds[count] = map(float, out.splitlines()[-1].split())
        assert len(rows(tmp_path / f"{count}.csv")) == count
        assert len({row["image"] for row in rows(tmp_path / f"{count}.csv")}) == count
    assert memory[5000] < memory[500] + 8
    # Ten times the pictures; a cost that grew with what is done would be a hundred.
    assert seconds[5000] < 20 * seconds[500]


def large_pictures(folder: Path) -> dict[str, str]:
    """Pictures as large as is read, and larger: file -> status."""
    folder.mkdir()
    pattern = edge_bundle.picture(0, 512, 512)

    def tiled(height: int, width: int) -> Image.Image:
        tiles = np.tile(pattern, (-(-height // 512), -(-width // 512), 1))
        return Image.fromarray(np.ascontiguousarray(tiles[:height, :width]))

    most = tiled(5792, 5792)
    most.save(folder / "most.png", compress_level=1)
    most.save(folder / "most.jpg", quality=90, subsampling=0)
    most.convert("RGBA").save(folder / "opaque.png", compress_level=1)
    most.save(folder / "most.bmp")
    most.save(folder / "passes-most.jpg", quality=90, subsampling=0, progressive=True)
    tiled(4000, 6000).save(folder / "passes.jpg", quality=90, subsampling=0, progressive=True)
    tiled(4000, 6000).save(folder / "packed.tif", compression="tiff_lzw")
    tiled(65_535, 512).save(folder / "tall.png", compress_level=1)
    tiled(512, 65_535).save(folder / "wide.png", compress_level=1)
    tiled(65_535, 64).save(folder / "thin.png")
    (folder / "more.png").write_bytes(claiming(5793, 5793))
    (folder / "endless.png").write_bytes(claiming(1, 33_000_000))
    exif = struct.pack("<2sHIH", b"II", 42, 8, 5000) + struct.pack("<HHII", 1, 7, 60_000, 0) * 5000
    many = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part
                    for part in (exif[:60_000],) * 3)  # fmt: skip
    data = _encoded("JPEG")
    (folder / "exif.jpg").write_bytes(data[:2] + many + data[2:])
    edge_bundle.save(folder / "z-last.png", edge_bundle.picture(1))
    unusable = {"passes-most.jpg", "more.png", "endless.png"}
    evened = {"thin.png", "wide.png"}  # a pixel of the model averages hundreds: nothing is dark
    return {
        path.name: "unusable" if path.name in unusable
        else "not tissue" if path.name in evened else "classified"
        for path in folder.iterdir()
    }  # fmt: skip


@pytest.mark.slow
def test_no_picture_takes_more_than_400_megabytes(bundle, runtime, tmp_path):
    """The whole program with drawings and page: each picture in a process of its own."""
    expected = large_pictures(tmp_path / "stick")
    program = tmp_path / "measured.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(bundle)!r})\n"
        "import bench, infer, serve\n"
        "serve.Page.wait = serve.Page.stop\n"
        "infer.main(sys.argv[1:])\n"
        "print(bench.peak_memory() * 2**20 / 1e6)\n"
    )
    found, most = {}, {}
    for name in [*expected, ""]:  # the last time all of them
        out = subprocess.run(
            [sys.executable, "-I", "-c", LAUNCH, str(runtime), str(program),
             str(tmp_path / "stick" / name), "--csv", str(tmp_path / "r.csv"), "--again",
             "--cam", str(tmp_path / "maps"), "--serve", "--port", "0"],
            capture_output=True, text=True, check=True, timeout=300,
        ).stdout  # fmt: skip
        most[name] = float(out.splitlines()[-1])
        found |= {row["image"]: row["status"] for row in rows(tmp_path / "r.csv")}
    assert found == expected
    assert max(most.values()) < 400, most


# --- in a browser ------------------------------------------------------------------------------

MEASURE = """
addEventListener("load", () => setTimeout(() => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument;
  const style = frame.contentWindow.getComputedStyle;
  const small = [...page.querySelectorAll("button")].filter(b => b.offsetParent)
    .filter(b => b.getBoundingClientRect().height < 44).length;
  const wide = [...page.querySelectorAll("body *")]
    .filter(e => e.getBoundingClientRect().right > frame.clientWidth + 0.5).length;
  document.title = JSON.stringify({
    scroll: page.documentElement.scrollWidth, tall: page.documentElement.scrollHeight, small, wide,
    label: page.getElementById("label").textContent,
    rows: [...page.querySelectorAll("li .name")].map(e => e.textContent),
    pictures: [...page.images].filter(i => i.naturalWidth).length,
    banner: !page.getElementById("synthetic").hidden,
    made: page.querySelectorAll("li img").length});
}, 2500));
"""


@pytest.fixture
def browser(tmp_path):
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium or google-chrome here to look at the page with")

    def run(address: str, *flags: str) -> str:
        return subprocess.run(
            [
                program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}",
                *flags, address,
            ],
            capture_output=True, text=True, timeout=120, check=True,
        ).stdout  # fmt: skip

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(800, 480), (360, 640)])
def test_the_page_fits_a_small_screen(page, browser, tmp_path, monkeypatch, width, height):
    # Framed by a page of the same origin, which the page's own policy forbids otherwise.
    serve = edge_bundle.device("serve")
    policy = serve._POLICY.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<!DOCTYPE html><title>-</title><iframe src="/" width="{width}" height="{height}" '
        f'style="border:0"></iframe><script>{MEASURE}</script>'
    )
    monkeypatch.setattr(serve, "_POLICY", policy.replace("default-src 'none'; ", "").replace(
        "script-src 'self'", "script-src 'self' 'unsafe-inline'"))  # fmt: skip
    monkeypatch.setitem(serve._FILES, "/outer", (str(outer), "text/html"))
    dom = browser(page + "outer", "--dump-dom", "--window-size=1000,800", "--timeout=9000",
                  "--virtual-time-budget=8000")  # fmt: skip
    found = json.loads(re.search(r"<title>(\{.*?\})</title>", dom).group(1).replace("&quot;", '"')
                       .replace("&lt;", "<").replace("&gt;", ">"))  # fmt: skip
    assert found["scroll"] == width
    assert (found["small"], found["wide"], found["made"]) == (0, 0, 0)
    if height == 480:
        assert found["tall"] == height, "what matters is on one screen"
    assert found["label"] in edge_bundle.CLASSES
    assert found["rows"][0] == "d.jpg"
    assert "<img src=x onerror=alert(1)>.png" in found["rows"]
    assert found["pictures"] == 1
    assert found["banner"] is True


def test_time_is_written_with_its_zone(infer, stick):
    infer.main([str(stick)])
    written = rows(stick / "results.csv")[0]["time"]
    assert abs(time.mktime(time.strptime(written[:19], "%Y-%m-%dT%H:%M:%S")) - time.time()) < 60
    assert re.fullmatch(r"[+-]\d{4}", written[19:])
