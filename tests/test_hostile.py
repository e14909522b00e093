"""Bad input through the command line: one clear message, a non-zero exit, nothing lost."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pickle
import runpy
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import run_folder
from test_images import bad_images, encoded, tissue

from common import backend, runs
from common.datasets import bci, synthetic
from common.files import atomic_path, plain, write_json

ROOT = Path(__file__).parent.parent
SMALL = ("--demo", "--image-size", "32", "--epochs", "2", "--batch-size", "16")


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run ``python -m MODULE ARGUMENTS...`` in this process: exit code, stdout, stderr."""

    def run(module: str, *arguments) -> Result:
        monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # as a user has it; the tests' own would raise
            warnings.filterwarnings("ignore", message=".*found in sys.modules", module="runpy")
            warnings.filterwarnings("ignore", message="__array__ implementation")
            with pytest.raises(SystemExit) as caught:
                runpy.run_module(module, run_name="__main__")
        output = capsys.readouterr()
        return Result(caught.value.code, output.out, output.err)

    return run


def fails(result: Result, *words: object) -> str:
    """Check that a command ended with one clear message; give the message."""
    assert result.code == 2, result.err
    assert "Traceback" not in result.err
    _, *messages = ("\n" + result.err).split("\nerror: ")
    assert len(messages) == 1, result.err
    assert result.out == ""
    for word in words:
        assert str(word) in messages[0], messages[0]
    return messages[0].rstrip("\n")


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> Path:
    """A small synthetic data set in the layout of BreakHis."""
    return synthetic.breakhis(
        tmp_path_factory.mktemp("slides") / "data",
        patients=24, images_per_patient=2, magnifications=("100X",), size=(46, 70),
    )  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def copied(slides: Path, folder: Path) -> tuple[Path, list[Path]]:
    """A copy of the data set, and its images."""
    shutil.copytree(slides, folder)
    return folder, sorted((folder / "BreaKHis_v1").rglob("*.png"))


def tiny_model(config, mean=None, std=None):
    """Build a network of a few hundred weights with the layers that Grad-CAM asks for."""
    import keras

    from common import backbones

    inputs = keras.Input((config.image_size, config.image_size, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for name in backbones.gradcam_layers(config.network).values():
        x = keras.layers.Conv2D(4, 3, 2, "same", activation="relu", name=name)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.1, seed=config.seed)(x)
    x = keras.layers.Dense(config.classes, name="logits")(x)
    return keras.Model(
        inputs, keras.layers.Activation("softmax", name="probabilities", dtype="float32")(x)
    )


def use_tiny_model(patch: pytest.MonkeyPatch) -> None:
    """Let `breakhis` train `tiny_model` and draw no pictures: a run takes tenths of seconds.

    Everything else is as it is; pictures are files like any others here.
    """
    load = backend.load

    def load_and_patch() -> str:
        found = load()
        patch.setattr(backend, "load", load)  # which a model's module asks for, too
        patch.setattr(importlib.import_module("breakhis.model"), "build_model", tiny_model)
        patch.setattr(importlib.import_module("common.figures.png"), "_png", small_png)
        # Tracing would take longer than these few steps do.
        eager = property(lambda model: True, lambda model, value: None)
        patch.setattr(importlib.import_module("keras").Model, "run_eagerly", eager)
        return found

    patch.setattr(backend, "load", load_and_patch)


def small_png(figure, synthetic: bool, description: str = "") -> bytes:
    return encoded(tissue(0, 8, 8))


@pytest.fixture
def tiny(monkeypatch):
    use_tiny_model(monkeypatch)


@pytest.fixture
def train(cli, tiny, slides, cache):
    """Run ``python -m breakhis.train`` on the small data set."""

    def run(runs_dir, *arguments, data=slides, cache_dir=cache) -> Result:
        return cli(
            "breakhis.train", *SMALL, "--data-dir", data, "--runs-dir", runs_dir,
            "--cache-dir", cache_dir, *arguments,
        )  # fmt: skip

    return run


def only(folder: Path) -> Path:
    (path,) = (folder / "breakhis").iterdir()
    return path


@pytest.fixture(scope="module")
def whole(slides, cache, tmp_path_factory):
    """A finished run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    import breakhis.train

    patch = pytest.MonkeyPatch()
    use_tiny_model(patch)
    patch.setattr(
        sys, "argv",
        ["train", *SMALL, "--data-dir", str(slides), "--runs-dir", str(folder),
         "--cache-dir", str(cache)],
    )  # fmt: skip
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        breakhis.train.main()
    patch.undo()
    return only(folder)


SAME = ("predictions.csv", "history.csv", "metrics.json", "split.csv", "samples.csv")


def same_results(path: Path, whole: Path) -> None:
    for name in SAME:
        assert (path / name).read_bytes() == (whole / name).read_bytes(), name
    assert runs.load(path).finished
    assert not list(path.rglob(".part-*"))
    assert not (path / "checkpoint").exists()


# --- images ------------------------------------------------------------------------------------


def deflated_tiff(rgb: np.ndarray) -> bytes:
    data = bytearray(encoded(rgb, "TIFF", compression="tiff_adobe_deflate"))
    data[len(data) // 2] ^= 0x40
    return bytes(data)


def worse_images() -> dict[str, tuple[str, bytes, str]]:
    """What OpenCV reads without a word."""
    rgb = tissue(0)
    jpeg, tiff = encoded(rgb, "JPEG"), encoded(rgb, "TIFF")
    progressive = encoded(rgb, "JPEG", progressive=True)
    restarts = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes()
    second = restarts.index(b"\xff\xd1")
    scans = [i for i in range(len(progressive)) if progressive[i : i + 2] == b"\xff\xda"]
    header = struct.pack(">4sIIBBBBB", b"IHDR", 9000, 9000, 8, 2, 0, 0, 0)
    png = encoded(rgb)
    claims = png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
    lzw = bytearray(encoded(rgb, "TIFF", compression="tiff_lzw"))
    lzw[3000:3200] = bytes(200)
    at = tiff.index(struct.pack("<HHI", 278, 4, 1)) + 8  # RowsPerStrip
    strips = tiff[:at] + struct.pack("<I", 10) + tiff[at + 4 :]
    return {
        "half a JPEG with an end": ("a.jpg", jpeg[: len(jpeg) // 2] + b"\xff\xd9", "is cut short"),
        "JPEG without its last bytes": ("a.jpg", jpeg[:-90] + b"\xff\xd9", "is cut short"),
        "progressive JPEG, scans gone": (
            "a.jpg", progressive[: scans[-2]] + b"\xff\xd9", "scans are missing",
        ),
        "JPEG with a gap": ("a.jpg", restarts[: second - 40] + restarts[second:], "is cut short"),
        "JPEG with a piece lost": (
            "a.jpg", restarts[:second] + restarts[second + 90 :], "is damaged",
        ),
        "two JPEGs in one": ("a.jpg", jpeg[:300] + jpeg, "is damaged"),
        "broken deflate": ("a.tif", deflated_tiff(rgb), "cannot be decoded"),
        "broken LZW": ("a.tif", bytes(lzw), "cannot be decoded"),
        "TIFF strips missing": ("a.tif", strips, "is cut short"),
        "PNG that claims more pixels": ("a.png", claims, "is cut short"),
    }  # fmt: skip


CASES = {**bad_images(), **worse_images()}


@pytest.fixture
def finished(tmp_path) -> Path:
    """A run folder as `predict` finds it, but for what is in the model."""
    folder = run_folder.make(tmp_path / "made", "binary", pictures=False)
    (folder / "model.keras").touch()
    record = json.loads((folder / "config.json").read_text())
    record["config"] |= {"image_size": 32, "resize_filter": "area"}
    write_json(folder / "config.json", record)
    return folder


@pytest.mark.parametrize("case", sorted(CASES))
def test_no_bad_image_is_classified(case, cli, finished, tmp_path):
    name, data, reason = CASES[case]
    (tmp_path / name).write_bytes(data)
    result = cli(
        "breakhis.predict", "--run", finished, tmp_path / name, "--output", tmp_path / "out.csv"
    )
    fails(result, tmp_path / name, reason)
    assert not (tmp_path / "out.csv").exists()


def test_training_names_every_kind_of_bad_image_at_once(train, slides, tmp_path):
    data, images = copied(slides, tmp_path / "data")
    pngs = {case: (content, why) for case, (name, content, why) in CASES.items() if name == "a.png"}
    assert len(pngs) == 17
    for file, (content, _) in zip(images, pngs.values(), strict=False):
        file.write_bytes(content)
    images[30].unlink()
    images[30].symlink_to("nowhere.png")
    result = train(tmp_path / "runs", data=data, cache_dir=tmp_path / "cache")
    message = fails(result, f"{len(pngs) + 1} images cannot be used:")
    lines = message.split("\n")
    for file, (_, reason) in zip(images, pngs.values(), strict=False):
        assert any(file.name in line and reason in line for line in lines), reason
    assert not (tmp_path / "runs").exists()


def test_verify_lists_every_bad_tiff(cli, tmp_path):
    synthetic.bach(tmp_path / "data", per_class=3, size=(64, 64))
    images = sorted((tmp_path / "data").rglob("*.tif"))
    tiffs = [(content, why) for name, content, why in CASES.values() if name == "a.tif"]
    for file, (content, _) in zip(images, tiffs, strict=False):
        file.write_bytes(content)
    result = cli("common.datasets", "verify", "bach", "--data-dir", tmp_path / "data")
    assert result.code == 1
    assert "NOT whole" in result.out
    for file, (_, reason) in zip(images, tiffs, strict=False):
        assert any(file.name in line and reason in line for line in result.out.split("\n")), reason


def test_fuzzed_images_are_refused_or_read_right():
    """The short form; ``python tests/fuzz_images.py`` takes 10,000."""
    result = subprocess.run(
        [sys.executable, ROOT / "tests" / "fuzz_images.py", "--count", "500"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "PASS: 500 cases from 0" in result.stdout


# --- data folders ------------------------------------------------------------------------------


def test_names_that_do_not_parse_are_one_line(train, slides, tmp_path):
    data, images = copied(slides, tmp_path / "data")
    images[0].rename(images[0].with_name("SOB_B_A-14-90001AB-55-001.png"))
    for file in images[1:]:
        file.rename(file.with_name(file.name.replace("SOB_", "SUB_")))
    result = train(tmp_path / "runs", data=data)
    fails(result, "no image of BreakHis", "48 .png", "--data-dir")
    first = result.err.split("\n")[0]
    assert first.startswith(f"warning: {data}: 1 file names nearly follow the scheme of BreakHis")
    assert "SOB_B_A-14-90001AB-55-001.png" in first


def test_one_name_for_different_images(train, slides, tmp_path):
    data, images = copied(slides, tmp_path / "data")
    (data / "again").mkdir()
    for file in images[:2]:
        (data / "again" / file.name).write_bytes(encoded(tissue(1)))
    fails(train(tmp_path / "runs", data=data), "2 files have the name of another", images[1].name)


def test_bci_scores_that_disagree_and_images_without_a_partner(cli, tmp_path):
    # So small a field that some hold no membrane to stain.
    data = synthetic.bci(tmp_path / "data", slides=8, patches_per_slide=2, size=32)
    images = sorted(data.rglob("*_1+.png"))
    stained = [file for file in images if "IHC" in file.parts]
    stained[0].unlink()
    result = cli("common.datasets", "verify", "bci", "--data-dir", data)
    assert result.code == 1
    partner = stained[0].relative_to(data).as_posix().replace("IHC", "HE")
    assert f"1 image has no partner in the other stain: {partner}; copy" in result.out
    stained[1].rename(stained[1].with_name(stained[1].name.replace("1+", "3+")))
    for command in (
        ("common.datasets", "verify", "bci", "--data-dir", data),
        ("her2scoring.train", "--demo", "--data-dir", data, "--runs-dir", tmp_path / "runs"),
    ):
        message = fails(cli(*command), "two different HER2 scores", stained[1].name)
        assert "take both files from the original" in message
    assert bci.SCORES


def test_links_that_go_round_in_circles(cli, slides, tmp_path):
    data, images = copied(slides, tmp_path / "data")
    (data / "BreaKHis_v1" / "round").symlink_to(data)
    (data / "itself").symlink_to(data / "itself")
    result = cli("common.datasets", "info", "breakhis", "--data-dir", data)
    assert result.code == 0
    assert f"{len(images)} SYNTHETIC images" in result.out
    itself = tmp_path / "loop"
    itself.symlink_to(itself)
    fails(cli("breakhis.train", "--data-dir", itself), itself, "no such folder")


@pytest.fixture
def open_folder():
    """A folder that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@contextlib.contextmanager
def bound_by_permissions():
    """Be a user whom permissions bind; the tests may run as root, whom none does."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_folder_that_cannot_be_listed(train, slides, open_folder):
    data, images = copied(slides, open_folder / "data")
    runs_dir, cache_dir = open_folder / "runs", open_folder / "cache"
    images[0].parent.chmod(0)
    # Everything is imported before, as the other user may not read this installation.
    fails(train(runs_dir, data=open_folder / "absent"), "no such folder")
    with bound_by_permissions():
        result = train(runs_dir, data=data, cache_dir=cache_dir)
    images[0].parent.chmod(0o755)
    fails(result, images[0].parent, "cannot be read (Permission denied)", "take it out of the data")


def test_image_that_cannot_be_opened(train, slides, open_folder):
    data, images = copied(slides, open_folder / "data")
    images[0].chmod(0)
    fails(train(open_folder / "runs", data=open_folder / "absent"), "no such folder")
    with bound_by_permissions():
        result = train(open_folder / "runs", data=data, cache_dir=open_folder / "cache")
    fails(result, images[0], "cannot be read (Permission denied); check its permissions")


@pytest.mark.parametrize("which", ["runs", "cache"])
def test_folder_that_cannot_be_written(which, train, slides, open_folder):
    data, _ = copied(slides, open_folder / "data")
    for name in ("runs", "cache"):
        (open_folder / name).mkdir()
        (open_folder / name).chmod(0o555 if name == which else 0o777)
    fails(train(open_folder / "runs", data=open_folder / "absent"), "no such folder")
    with bound_by_permissions():
        result = train(open_folder / "runs", data=data, cache_dir=open_folder / "cache")
    fails(result, open_folder / which, f"--{which}-dir")


# --- images that change ------------------------------------------------------------------------


@pytest.mark.slow
def test_an_image_that_was_cut_after_it_was_cached(train, slides, tmp_path):
    data, images = copied(slides, tmp_path / "data")
    where = {"data": data, "cache_dir": tmp_path / "cache"}
    assert train(tmp_path / "runs", **where).code == 0
    images[3].write_bytes(images[3].read_bytes()[:500])
    fails(train(tmp_path / "runs", **where), images[3], "is cut short")


@pytest.mark.slow
def test_an_image_of_other_content_but_the_same_size(train, slides, tmp_path):
    """The run's identity holds names and sizes: only the content tells."""
    data, images = copied(slides, tmp_path / "data")
    where = {"data": data, "cache_dir": tmp_path / "cache"}
    assert train(tmp_path / "runs", **where).code == 0
    before = (only(tmp_path / "runs") / "predictions.csv").read_bytes()
    old = images[5].read_bytes()
    other = bytearray(old)
    text = other.index(b"SYNTHETIC tissue")  # a text chunk: other bytes, whole all the same
    other[text + 10] ^= 0x20
    start = other.index(b"tEXt")
    length = struct.unpack(">I", other[start - 4 : start])[0]
    checksum = struct.pack(">I", zlib.crc32(other[start : start + 4 + length]))
    other[start + 4 + length : start + 8 + length] = checksum
    images[5].write_bytes(other)
    result = train(tmp_path / "runs", **where)
    fails(result, f"1 image has changed since this run began: {images[5].name}", "--fresh")
    assert f"1 image has changed, read again:\n  {images[5]}" in result.err
    assert (only(tmp_path / "runs") / "predictions.csv").read_bytes() == before
    images[5].write_bytes(old)
    assert train(tmp_path / "runs", **where).code == 0


# --- --skip-bad --------------------------------------------------------------------------------


def test_skipped_images_are_recorded_and_fill_no_row(train, cli, slides, tmp_path, monkeypatch):
    data, images = copied(slides, tmp_path / "data")
    images[2].write_bytes(images[2].read_bytes()[:400])
    images[7].write_bytes(b"")
    images[9].unlink()
    images[9].symlink_to("nowhere.png")
    where = {"data": data, "cache_dir": tmp_path / "cache"}
    fails(train(tmp_path / "runs", **where), "3 images cannot be used", *(
        images[i].name for i in (2, 7, 9)
    ))  # fmt: skip
    assert not (tmp_path / "runs").exists()

    result = train(tmp_path / "runs", "--skip-bad", **where)
    assert result.code == 0, result.err
    assert "3 images are left out (--skip-bad):" in result.err
    assert "LEFT OUT 3 images that cannot be used (--skip-bad)" in result.out
    path = only(tmp_path / "runs")
    record = json.loads((path / "config.json").read_text())
    expected = {
        images[2].relative_to(data).as_posix(): "is cut short; copy or download it again",
        images[7].relative_to(data).as_posix(): "is empty (0 bytes); copy or download it again",
        images[9].relative_to(data).as_posix():
            "is a link that leads nowhere; mend or remove it",
    }  # fmt: skip
    assert {each["image"]: each["reason"] for each in record["skipped"]} == expected
    assert record["n_images"] == len(images) - 3
    split = pd.read_csv(path / "split.csv")
    assert len(split) == len(images) - 3
    assert not set(split.image) & set(expected)
    page = (path / "report.html").read_text()
    assert "3 images could not be used and were left out (--skip-bad)" in page
    for image, reason in expected.items():
        assert f"{image}: {reason}" in page
        assert f"  {image}: {reason}" in result.out

    # Were it a run of real images, in number those of the whole data set, and of a row's settings:
    import breakhis.config

    name = "T2-binary-resnet50"
    write_json(
        path / "config.json",
        record | {"synthetic": False, "expected_images": record["n_images"], "preset": name,
                  "config": plain(vars(breakhis.config.PRESETS[name]))},
    )  # fmt: skip
    table = cli("breakhis.tables", "--runs-dir", tmp_path / "runs")
    assert table.code == 0, table.err
    (line,) = [line for line in table.out.split("\n") if line.startswith(f"- {name}: ")]
    assert "3 left out by --skip-bad" in line
    assert f"{images[2].name}: is cut short" in line
    record["skipped"] = []
    full = record | {"synthetic": False, "expected_images": record["n_images"]}
    full["config"] = plain(vars(breakhis.config.PRESETS[name]))
    write_json(path / "config.json", full)
    assert f"- {name}: " not in cli("breakhis.tables", "--runs-dir", tmp_path / "runs").out


def test_skipping_every_image_is_an_error(train, slides, tmp_path):
    data, images = copied(slides, tmp_path / "data")
    for file in images:
        file.write_bytes(b"")
    fails(
        train(tmp_path / "runs", "--skip-bad", data=data, cache_dir=tmp_path / "cache"),
        f"{len(images)} images cannot be used", "is empty",
    )  # fmt: skip


# --- cut files of a run ------------------------------------------------------------------------


def cut(path: Path, keep: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def lose_lines(path: Path) -> None:
    """Lose whole lines about test images: what is left looks like a table."""
    lines = path.read_text().splitlines(keepends=True)
    tested = [line for line in lines if ",test" in line]
    path.write_text("".join(line for line in lines if line not in tested[-3:]))


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "runs" / "breakhis" / whole.name)


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("predictions.csv", cut, "restore the file, or train again with --fresh"),
        ("predictions.csv", lose_lines, "test images are missing"),
        ("split.csv", cut, "values, not 7"),
        ("split.csv", lose_lines, "not in the test part of split.csv"),
        ("config.json", cut, "--fresh"),
    ],
)
def test_evaluate_names_a_cut_file(name, damage, words, cli, copy):
    before = (copy / "metrics.json").read_bytes()
    damage(copy / name)
    fails(cli("breakhis.evaluate", "--run", copy), copy / name if name != "split.csv" else "",
          name, words)  # fmt: skip
    assert (copy / "metrics.json").read_bytes() == before


def test_a_finished_run_names_its_cut_files(train, copy):
    before = (copy / "metrics.json").read_bytes()
    cut(copy / "metrics.json")
    result = train(copy.parent.parent)  # made again from the predictions
    assert result.code == 0, result.err
    assert "made again: metrics.json" in result.err
    assert (copy / "metrics.json").read_bytes() == before
    cut(copy / "config.json")
    fails(train(copy.parent.parent), copy / "config.json", "--fresh")


def test_report_names_cut_files_and_goes_on(cli, copy):
    for name in ("metrics.json", "split.csv", "leakage.json"):
        cut(copy / name)
    result = cli("common.report", copy)
    assert result.code == 0, result.err
    page = (copy / "report.html").read_text()
    for name in ("metrics.json", "leakage.json"):
        assert f"{name} is damaged and was left out" in page


def test_a_cut_model_is_named(cli, copy, slides):
    image = next(slides.rglob("SOB*.png"))
    whole = (copy / "model.keras").read_bytes()
    for data in (whole[:-900], whole[:300], b"", b"not a model", swapped_weights(whole)):
        (copy / "model.keras").write_bytes(data)
        fails(
            cli("breakhis.predict", "--run", copy, image),
            copy / "model.keras", "damaged", "train again with --fresh",
        )  # fmt: skip
    (copy / "model.keras").unlink()
    fails(cli("breakhis.predict", "--run", copy, image), copy / "model.keras", "missing")


def swapped_weights(model: bytes) -> bytes:
    """The same archive with half of its weights' bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(model)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[: len(data) // 2] if name.endswith(".h5") else data)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["config", "split", "history", "best", "newest", "both"])
def test_a_stopped_run_mends_its_cut_files(stop, train, whole, tmp_path, monkeypatch):
    """Stopped before its predictions were written; then a file is cut. The same command ends it."""
    from common import evaluation

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "predict_run", interrupted)
        assert train(tmp_path).code == 130
    path = only(tmp_path)
    states = sorted((path / "checkpoint").glob("state-*.npz"))
    models = sorted((path / "checkpoint").glob("best-*.keras"))
    assert len(states) == 2
    files = {
        "config": [path / "config.json"],
        "split": [path / "split.csv", path / "samples.csv", path / "images.csv"],
        "history": [path / "history.csv", path / "model.keras"],
        "best": models,
        "newest": states[-1:],
        "both": states,
    }[stop]
    for file in files:
        cut(file)
    result = train(tmp_path)
    if stop == "split":  # images that were trained on could be tested on: it stops, and says how on
        for file in files[:2]:
            fails(result, f"{file}: changed since this run began; delete it and start the same")
            file.unlink()
            result = train(tmp_path)
    assert result.code == 0, result.err
    if stop == "config":
        assert f"{path / 'config.json'}: damaged, written anew; the run goes on" in result.err
    if stop == "newest":
        assert f"{states[-1]}: damaged, or a file beside it; using the state before it" in (
            result.err
        )
        assert "resuming after epoch 1 of 2" in result.err
    if stop in ("both", "best"):
        assert "damaged, or a file beside it; starting anew" in result.err
        assert "resuming" not in result.err
    same_results(path, whole)


@pytest.mark.slow
def test_a_cut_cache_is_built_anew(train, whole, slides, cache, tmp_path):
    shutil.copytree(cache, tmp_path / "cache")
    (pixels,) = (tmp_path / "cache").glob("*/pixels.u8")
    cut(pixels)
    result = train(tmp_path / "runs", cache_dir=tmp_path / "cache")
    assert result.code == 0, result.err
    assert "image cache: pixels.u8 is cut short; it is built anew" in result.err
    same_results(only(tmp_path / "runs"), whole)


# --- files that want to run code ---------------------------------------------------------------


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def change_model(file: Path, change) -> None:
    """Rewrite config.json inside a .keras file."""
    old = zipfile.ZipFile(io.BytesIO(file.read_bytes()))
    with zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            new.writestr(name, data)


def as_lambda(marker: Path):
    import keras

    def touch(x):
        Path(marker).touch()
        return x

    keras_lambda = keras.layers.Lambda(touch, name="block_2_add")

    def change(config):
        serialized = keras.saving.serialize_keras_object(keras_lambda)
        for layer in config["config"]["layers"]:
            if layer["name"] == "block_2_add":
                layer.update(serialized)

    return change


def as_module(marker: Path):
    def change(config):
        config["config"]["layers"][1] |= {
            "module": "hostile_module", "class_name": "Layer", "registered_name": "Layer",
        }  # fmt: skip

    return change


def as_torch(marker: Path):
    def change(config):
        config["config"]["layers"][1] |= {
            "module": "keras.layers", "class_name": "TorchModuleWrapper",
            "registered_name": None, "config": {"module": "gASV", "name": "x"},
        }  # fmt: skip

    return change


def test_a_model_for_other_images_or_classes(cli, copy, slides):
    import keras

    for size, classes in ((64, 2), (32, 5)):
        image = keras.Input((size, size, 3))
        x = keras.layers.GlobalAveragePooling2D()(image)
        keras.Model(image, keras.layers.Dense(classes)(x)).save(copy / "model.keras")
        fails(
            cli("breakhis.predict", "--run", copy, next(slides.rglob("SOB*.png"))),
            copy / "model.keras", f"another network, from (None, {size}, {size}, 3) to",
        )  # fmt: skip


@pytest.mark.parametrize("kind", [as_lambda, as_module, as_torch])
def test_a_model_file_that_wants_to_run_code(kind, cli, copy, slides, tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "hostile_module.py").write_text(
        f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "path")
    change_model(copy / "model.keras", kind(marker))
    image = next(slides.rglob("SOB*.png"))
    fails(
        cli("breakhis.predict", "--run", copy, image),
        copy / "model.keras", "refused, it wants to run code of its own",
    )  # fmt: skip
    assert not marker.exists()
    if kind is as_module:  # the trap works
        importlib.import_module("hostile_module")
        assert marker.exists()


def test_pickles_are_not_loaded(cli, copy, slides, tmp_path, train, monkeypatch):
    marker = tmp_path / "ran"
    (copy / "model.keras").write_bytes(pickle.dumps(Payload(marker)))
    image = next(slides.rglob("SOB*.png"))
    fails(cli("breakhis.predict", "--run", copy, image), copy / "model.keras", "no Keras model")
    assert not marker.exists()


@pytest.mark.slow
def test_a_checkpoint_with_a_pickle_is_not_loaded(train, tmp_path, monkeypatch):
    from common import evaluation

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "predict_run", interrupted)
        assert train(tmp_path / "runs").code == 130
    marker = tmp_path / "ran"
    for state in (only(tmp_path / "runs") / "checkpoint").glob("state-*.npz"):
        with np.load(state) as arrays:
            content = {name: arrays[name] for name in arrays.files}
        content["model/0"] = np.array([Payload(marker)], dtype=object)
        np.savez(state, **content)
    fails(train(tmp_path / "runs"), "state-000002.npz", "--fresh")
    assert not marker.exists()


# --- full disks --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield folder
    # Lazily: this process still maps the pixels of the cache on it.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(2**16)):
            pass
    return ballast


STAGES = (
    "index.json", "config.json", "images.csv", "split.csv", "samples.csv", "best-000001.keras",
    "state-000001.npz", "history.csv", "state-000002.npz", "model.keras", "predictions.csv",
    "metrics.json", "leakage.json", "examples.png", "gradcam.png", "environment.json",
    "learning_curves.png", "report.html",
)  # fmt: skip


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_stage(train, whole, small_disk, monkeypatch):
    """Each file in turn meets a full disk. Room is made, the same command goes on, and so on."""
    original = atomic_path
    waiting: list[str] = []

    @contextlib.contextmanager
    def filling(path):
        if waiting and Path(path).name == waiting[0]:
            waiting.pop()
            fill(small_disk)
        with original(path) as temporary:
            yield temporary

    for module in [module for name, module in sys.modules.items() if name.startswith("common")]:
        if getattr(module, "atomic_path", None) is original:
            monkeypatch.setattr(module, "atomic_path", filling)
    runs_dir, cache_dir = small_disk / "runs", small_disk / "cache"
    for stage in STAGES:
        waiting[:] = [stage]
        result = train(runs_dir, cache_dir=cache_dir)
        message = fails(result, f"/{stage}: cannot be written, the disk is full; make room")
        assert message.endswith("then start the same command again")
        assert not waiting
        assert not list(small_disk.rglob(".part-*"))
        (small_disk / "ballast").unlink()
    result = train(runs_dir, cache_dir=cache_dir)
    assert result.code == 0, result.err
    same_results(only(runs_dir), whole)


@pytest.mark.slow
def test_a_full_disk_under_the_pixels_of_the_cache(train, whole, small_disk):
    fill(small_disk)
    with (small_disk / "ballast").open("rb+") as file:  # room for a few images
        file.truncate((small_disk / "ballast").stat().st_size - 40_000)
    result = train(small_disk / "runs", cache_dir=small_disk / "cache")
    fails(result, small_disk / "cache", "No space left on device", "48 images need 0.1 MiB",
          "make room")  # fmt: skip
    (small_disk / "ballast").unlink()
    result = train(small_disk / "runs", cache_dir=small_disk / "cache")
    assert result.code == 0, result.err
    same_results(only(small_disk / "runs"), whole)


@pytest.mark.slow
def test_a_disk_that_fills_while_a_file_is_written(train, whole, small_disk, monkeypatch):
    """Not before the file is begun but under the writer's hands: zip, HDF5, CSV, text."""
    original = atomic_path
    waiting: list[str] = []

    @contextlib.contextmanager
    def filling(path):
        with original(path) as temporary:
            if waiting and Path(path).name == waiting[0]:
                waiting.pop()
                fill(small_disk)
            yield temporary

    for module in [module for name, module in sys.modules.items() if name.startswith("common")]:
        if getattr(module, "atomic_path", None) is original:
            monkeypatch.setattr(module, "atomic_path", filling)
    for stage in ("best-000002.keras", "state-000002.npz", "predictions.csv", "report.html"):
        waiting[:] = [stage]
        fails(
            train(small_disk / "runs"),
            f"/{stage}: cannot be written, the disk is full; make room",
        )
        assert not waiting
        assert not list(small_disk.rglob(".part-*"))
        (small_disk / "ballast").unlink()
    assert train(small_disk / "runs").code == 0
    same_results(only(small_disk / "runs"), whole)


def test_a_read_only_disk(train, whole, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    fails(train(small_disk / "runs"), small_disk / "runs", "Read-only file system", "--runs-dir")
    fails(
        train(small_disk.parent / "runs", cache_dir=small_disk / "cache"),
        small_disk / "cache", "Read-only file system", "--cache-dir",
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written(whole):
    """`python -m breakhis.evaluate --run RUN > FILE` on a full disk is no success."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "breakhis.evaluate", "--run", whole],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == "error: No space left on device\n"
