"""Library calls with what they must not get, and commands' odd ends; `fuzz_calls.py` tries more."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import fuzz_calls
import numpy as np
import pandas as pd
import pytest
import run_folder

from common import (
    backend,
    classification,
    confidence,
    files,
    generative,
    images,
    lifecycle,
    runs,
    splits,
    stain,
)
from common.card import text as card_text
from common.errors import InputError, many
from common.images.fingerprints import Fingerprints
from common.report import data as report_data
from common.report.files import read as read_files
from common.splits import leakage
from common.stain import Flag

ROOT = Path(__file__).parents[1]


def test_wrong_arguments_are_named_or_have_a_defined_result():
    """The short form of ``python tests/fuzz_calls.py --count 20000``."""
    wrong = {}
    for number in range(600):
        call, what, verdict = fuzz_calls.case(7, number)
        if verdict not in ("refused", "result"):
            wrong[number] = call, what, verdict
    assert not wrong


# --- padding -----------------------------------------------------------------------------------


def tissue(seed=0, shape=(120, 150)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2.0, 0.25, (*shape, 2))
    return np.clip(255 * np.exp(-amounts @ stain.RUIFROK), 0, 255).astype(np.uint8)


def framed(image, value):
    padded = np.full((image.shape[0] + 60, image.shape[1] + 90, 3), value, np.uint8)
    padded[30:-30, 60:-30] = image
    return padded, (slice(30, -30), slice(60, -30))


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("method", sorted(stain.METHODS))
def test_padding_takes_no_part_in_an_estimate(method, value):
    normalizer = stain.METHODS[method]().fit(tissue(1))
    image = tissue(2)
    padded, inside = framed(image, value)
    expected, flag = normalizer.transform(image, return_flags=True)
    found, padded_flag = normalizer.transform(padded, return_flags=True)
    assert padded_flag == flag
    np.testing.assert_array_equal(found[inside], expected)


@pytest.mark.parametrize("method", sorted(stain.METHODS))
def test_black_corners_of_a_rotation_take_no_part(method):
    image = tissue(2, (200, 200))
    turn = cv2.getRotationMatrix2D((100, 100), 30, 1)
    turned = cv2.warpAffine(image, turn, (200, 200), flags=cv2.INTER_NEAREST)
    filled = cv2.warpAffine(
        image, turn, (200, 200), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT
    )
    inside = (turned > 8).any(axis=-1)
    normalizer = stain.METHODS[method]().fit(tissue(1))
    difference = (
        normalizer.transform(turned)[inside].astype(int) - normalizer.transform(filled)[inside]
    )
    assert np.abs(difference).mean() < 1.5


@pytest.mark.parametrize("method", sorted(stain.METHODS))
def test_what_has_no_colour_is_unchanged(method):
    half = np.zeros((256, 256, 3), np.uint8)
    half[:, 128:] = 255
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None].repeat(256, 0), 3, 2)
    one = np.random.default_rng(0).uniform(0.3, 1.5, (64, 80, 1)) * stain.RUIFROK[0]
    single = np.rint(255 * np.exp(-one)).astype(np.uint8)
    normalizer = stain.METHODS[method]().fit(tissue())
    for image in (half, ramp, single):
        result, flag = normalizer.transform(image, return_flags=True)
        assert flag == Flag.SINGLE_STAIN
        np.testing.assert_array_equal(result, image)


@pytest.mark.data
def test_real_images_have_no_padding(real_data):
    from common.stain.padding import content

    found = [name for name in real_data.rglob("SOB_*.png") if "-100-" in name.name]
    assert len(found) == 213
    for name in found:
        image = images.read(name)
        assert content(image, 3)[0] is image


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 4, 6])
def test_a_copy_has_ratio_0_whatever_copies_are_trained_on(copies):
    training = np.arange(6.0)[:, None] * [1.0, 2.0]
    training[:copies] = training[0]
    found = generative.memorisation(training, np.stack([training[0], training[0] + 9]))
    assert found["ratio"][0] == 0 == found["smallest_ratio"]
    assert found["ratio"][1] > (1e9 if copies == 6 else 0.5)


def test_a_table_for_spreadsheets_holds_no_formula(tmp_path):
    names = ["=HYPERLINK(1).png", "+1.png", "-1.png", "@a.png", " =x", "\t=x", "a=b.png"]
    table = pd.DataFrame({"image": names, "p": np.linspace(-1, 1, 7)})
    files.write_sheet(tmp_path / "a.csv", table)
    again = pd.read_csv(tmp_path / "a.csv")
    assert again["image"].tolist() == [f"'{name}" for name in names[:6]] + names[6:]
    np.testing.assert_allclose(again["p"], table["p"], atol=1e-8)


@pytest.mark.parametrize(
    "code, name", [(33003, "JPEG 2000"), (34712, "JPEG 2000"), (50001, "WebP")]
)
def test_codings_of_a_tiff_are_named(code, name, tmp_path):
    ok, data = cv2.imencode(".tif", tissue(), [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    assert ok
    content = bytearray(data.tobytes())
    tag = content.index(struct.pack("<HH", 259, 3))
    struct.pack_into("<H", content, tag + 8, code)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match=f"a.tif.* {name}"):
        images.read(tmp_path / "a.tif")


def test_a_magnification_that_contradicts_the_name_is_refused(tmp_path):
    index = fuzz_calls.INDEX
    split = splits.by_image(index, test=0.3, validation=0, seed=0)
    split.to_csv(tmp_path / "split.csv", index=False)
    assert (splits.from_file(index, tmp_path / "split.csv")["part"] == split["part"]).all()
    split.loc[3, "magnification"] = "400X"
    split.to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(InputError, match="column magnification: 1 image contradicts its name"):
        splits.from_file(index, tmp_path / "split.csv")


# --- leaks -------------------------------------------------------------------------------------


def test_a_leaky_split_file_is_told_and_noted(tmp_path, capsys):
    folder = run_folder.make(tmp_path / "made", "binary", pictures=False)
    run = runs.load(folder)
    split = splits.by_image(fuzz_calls.INDEX, test=0.3, validation=0, seed=0)
    found = leakage.report(split)
    for kind in ("patient", "file", "file"):
        run.record.config["split"] = kind
        lifecycle._tell_leaks(run, found)
    words = leakage.shared(found)
    assert len(words) == 1
    patients = split.loc[split["part"] == "test", "case"].nunique()
    assert (
        f"12 of 12 test images (100.0%) are of {patients} patients that are also trained on"
        in words[0]
    )
    assert json.loads((folder / "config.json").read_text())["leaks"].count(words[0]) == 1
    assert f"warning: the split file leaks: {words[0]}" in capsys.readouterr().err
    apart = splits.by_patient(fuzz_calls.INDEX, test=0.25, validation=0.25, seed=0)
    assert leakage.shared(leakage.report(apart)) == []


def test_a_copy_under_another_patient_is_told_with_its_lines_and_noted(tmp_path, capsys):
    """The report's verdict alone told of it, in half a sentence."""
    folder = run_folder.make(tmp_path / "made", "binary", pictures=False)
    run = runs.load(folder)
    run.record.config["split"] = "patient"
    split = splits.by_patient(fuzz_calls.INDEX, test=0.25, validation=0.25, seed=0)
    trained, tested = (split.index[split["part"] == part][0] for part in ("train", "test"))
    rng, n = np.random.default_rng(0), len(split)
    digests = rng.integers(0, 256, (n, 32), np.uint8)
    digests[tested] = digests[trained]
    prints = Fingerprints(digests, rng.integers(0, 2**63, (n, 8, 4), np.uint64))
    shades = np.zeros((n, 1, 1, 3), np.uint8)
    known = images.Pixels(list(split["image"]), shades, np.arange(n), fingerprints=lambda: prints)
    found = leakage.report(split, pixels=known)
    where = {name: f"mine.csv, line {i + 2}" for i, name in enumerate(split["image"])}
    material = SimpleNamespace(images=SimpleNamespace(where=where))
    for _ in range(2):
        lifecycle._tell_leaks(run, found, material)
    err = capsys.readouterr().err
    a, b = split.loc[trained], split.loc[tested]
    for each, part in ((a, "train"), (b, "test")):
        assert f"{where[each['image']]}: {each['image']} ({part}, patient {each['case']})" in err
    assert "warning: 1 of " in err and "the split file" not in err
    leaks = json.loads((folder / "config.json").read_text())["leaks"]
    assert sum("one patient?" in each for each in leaks) == 1 and "mine.csv" not in str(leaks)
    assert sum("have an exact or near copy" in each for each in leaks) == 1
    text = card_text.card(read_files(folder))
    assert "one patient?" in text and "have an exact or near copy" in text


def test_unknown_patients_are_not_0_shared_ones(tmp_path):
    folder = run_folder.make(tmp_path / "made", "binary", pictures=False)
    split = splits.by_image(fuzz_calls.INDEX, test=0.3, validation=0, seed=0)
    patients = split.loc[split["part"] == "test", "case"].nunique()
    nameless = split.assign(case="", slide="", folder="")
    for changed, shown in ((nameless, "unknown"), (split, patients)):
        files.write_json(folder / "leakage.json", leakage.report(changed))
        rows = {row[0]: row[1] for row in report_data.leakage(read_files(folder))["rows"]}
        assert rows["Patients in both train and test"] == shown


# --- commands ----------------------------------------------------------------------------------


def command(line: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m {line}"],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "breakhis.tables >&-", "breakhis.tables >&- 2>&-", "breakhis.train --help >&-",
        "breakhis.tables | true", "breakhis.train --help | true",
    ],
)  # fmt: skip
def test_a_closed_stdout_ends_quietly(line):
    found = command(line)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("name", ["/dev/null", "nowhere"])
def test_runs_that_are_no_folder_are_one_line(name):
    found = command(f"breakhis.tables --runs-dir {name}")
    assert (found.returncode, found.stderr) == (2, f"error: --runs-dir {name}: is no folder\n")


class Model:
    def predict(self, pixels, **_):
        return np.tile([0.25, 0.75], (len(pixels), 1))


@pytest.fixture
def finished(tmp_path) -> Path:
    """A run folder as `predict` finds it; its model is an empty file."""
    folder = run_folder.make(tmp_path / "made", "binary", pictures=False)
    record = json.loads((folder / "config.json").read_text())
    record["config"] |= {"image_size": 32, "resize_filter": "area"}
    files.write_json(folder / "config.json", record)
    (folder / "model.keras").touch()
    return folder


def test_a_bad_image_among_many_is_told_before_the_network_is_loaded(
    tmp_path, finished, monkeypatch
):
    monkeypatch.setattr(backend, "load", None)
    monkeypatch.setattr(runs, "load_model", None)
    paths = [tmp_path / f"{i:03}.png" for i in range(40)]
    for path in paths:
        assert cv2.imwrite(str(path), tissue()[..., :1] if path == paths[30] else tissue())
    with pytest.raises(InputError, match=f"1 of 40 images cannot be used:\n{paths[30]}: "):
        classification.main("breakhis", ["--run", str(finished), *map(str, paths)])


def test_predict_leaves_out_bad_images_and_says_so(tmp_path, finished, monkeypatch, capsys):
    monkeypatch.setattr(runs, "load_model", lambda run: Model())
    good = [tmp_path / name for name in ("a.png", "=b.png", "c\x1b[2J.png", "d.png")]
    for path in good:
        assert cv2.imwrite(str(path), tissue())
    grey = tmp_path / "grey.png"
    assert cv2.imwrite(str(grey), tissue()[..., 0])
    output = tmp_path / "out.csv"
    monkeypatch.chdir(tmp_path)
    names = [path.name for path in (*good, grey)]
    flags = ["--run", str(finished), "--output", str(output)]
    with pytest.raises(InputError, match="1 of 5 images cannot be used"):
        classification.main("breakhis", [*names, *flags])
    assert not output.exists()
    assert classification.main("breakhis", [*names, *flags, "--skip-bad"]) == 3
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "c\\x1b[2J.png" in said.out
    assert "LEFT OUT 1 of 5 images" in said.err
    assert "grey.png" in said.err
    kept = confidence.read(finished)
    sure = kept.calibrated(np.array([[0.25, 0.75]]))[0]
    table = pd.read_csv(output)
    np.testing.assert_allclose(table[["p_benign", "p_malignant"]], np.tile(sure, (4, 1)))
    assert table.columns[-2:].tolist() == ["abstain", "set"]
    assert set(table.abstain) == {"yes" if sure[1] < kept.below else "no"}
    assert set(table.set) == {"benign|malignant" if kept.limit >= 0.75 else "malignant"}
    assert "set {" in said.out
    assert f"with temperature {kept.temperature:.3g}; abstains below" in said.err
    with output.open(newline="") as lines:
        assert [line.split(",")[0] for line in lines] == [
            "image", "a.png", "'=b.png", "c\x1b[2J.png", "d.png"
        ]  # fmt: skip
    assert classification.main("breakhis", [*names[:4], *flags, "--skip-bad"]) == 0
    with pytest.raises(InputError, match="none of 1 images"):
        classification.main("breakhis", [names[4], *flags, "--skip-bad"])


def test_an_amount_agrees_with_its_noun_and_verb():
    found = [many(n, "image has", "images have") for n in (0, 1, 2)]
    assert found == ["0 images have", "1 image has", "2 images have"]
    assert (many(1, "patient"), many(12, "patient")) == ("1 patient", "12 patients")
