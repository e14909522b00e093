from __future__ import annotations

import json
import shutil
from pathlib import Path

import edge_bundle
import numpy as np
import pandas as pd
import pytest

from common import confidence, notices, runs
from common.errors import InputError
from common.files import file_hash
from wrn_edge import bundle
from wrn_edge.bundle.programs import SHARED


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> runs.Run:
    return edge_bundle.exported_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(run, tmp_path_factory) -> Path:
    """The int8 bundle."""
    return bundle.bundle(run, tmp_path_factory.mktemp("made") / "bundle")


@pytest.fixture
def copy(run, tmp_path) -> runs.Run:
    """A copy of the run to spoil, its pictures beside it."""
    shutil.copytree(run.path, tmp_path / "wrn_edge" / run.path.name)
    shutil.copytree(run.path.parents[1] / "demo-data", tmp_path / "demo-data")
    return runs.load(tmp_path / "wrn_edge" / run.path.name)


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def expected(folder: Path) -> list[dict]:
    text = (folder / "golden/expected.json").read_text(encoding="utf-8")
    return json.loads(text)["pictures"]


def test_a_bundle_holds_what_a_device_needs(made, run):
    names = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    programs = {path.name for path in bundle.DEVICE.iterdir() if path.is_file()}
    programs |= {f"common/{name}" for name in (*SHARED, "__init__.py", "images/__init__.py")}
    assert names == programs | {
        "ABOUT.txt", "labels.txt", "preprocessing.json", "manifest.json", "published.csv",
        "model-int8.tflite", "class-weights.npy", "golden/expected.json", "golden/blank.png",
        "golden/1-benign.png", "golden/2-benign.png",
        "golden/3-malignant.png", "golden/4-malignant.png",
    }  # fmt: skip
    assert {
        "infer.py", "bench.py", "selftest.py", "README.md", "infer.service",
        "requirements-64bit.txt", "requirements-32bit.txt",
    } <= programs  # fmt: skip
    found = manifest(made)
    assert set(found["files"]) == names - {"manifest.json"}
    for name, entry in found["files"].items():
        assert entry == {
            "sha256": file_hash(made / name), "bytes": (made / name).stat().st_size,
        }  # fmt: skip
    assert (found["run_id"], found["schema"]) == ("0123456789", 1)
    loaded = edge_bundle.device("sealed").load(made)
    assert loaded.model_id == found["files"]["model-int8.tflite"]["sha256"][:10]
    assert loaded.exact
    assert found["synthetic"] is True
    export = json.loads((run.path / "export/export.json").read_text())
    assert found["calibration"] == export["calibration"]
    assert found["model"]["agreement"] == export["files"][0]["agreement"]
    assert found["model"]["exported_sha256"] == export["files"][0]["sha256"]
    assert (made / "labels.txt").read_text() == "benign\nmalignant\n"
    preprocessing = json.loads((made / "preprocessing.json").read_text())
    assert (preprocessing["image_size"], preprocessing["threshold"]) == (32, 0.5)
    about = (made / "ABOUT.txt").read_text()
    assert about.startswith(notices.SYNTHETIC_MODEL)
    assert "calibrated on validation pictures, with temperature 1.6." in about
    assert export["temperature"] == 1.6
    assert notices.RESEARCH_USE in about


def test_golden_pictures_are_held_out_pictures_of_each_class_and_of_two_patients(made, run):
    frame = pd.read_csv(run.path / "predictions.csv").set_index("image")
    data = run.path.parents[1] / "demo-data/breakhis"
    pictures = [each for each in expected(made) if each["truth"]]
    for label in edge_bundle.CLASSES:
        cases = set()
        for each in pictures:
            if each["truth"] == label:
                (image,) = [name for name in frame.index if name.endswith(each["source"])]
                assert (made / "golden" / each["file"]).read_bytes() == (data / image).read_bytes()
                assert frame.part[image] == "test"
                answer = frame.loc[[image], ["p_benign", "p_malignant"]].to_numpy(float)
                sure = confidence.apply_temperature(answer, edge_bundle.TEMPERATURE)
                assert each["keras"] == sure[0].tolist() != answer[0].tolist()
                cases.add(frame.case[image])
        assert len(cases) == 2
    assert [each["file"] for each in expected(made) if not each["tissue"]] == ["blank.png"]


def test_the_device_answers_as_keras_does(made, run):
    """Keras with the run's temperature, which lies in the exported model."""
    assert manifest(made)["temperature"] == edge_bundle.TEMPERATURE
    limit = manifest(made)["model"]["agreement"]["max_abs_probability_error"]
    for each in expected(made):
        if each["truth"]:
            assert set(each["outputs"]) == {"xnnpack", "builtin"}
            for family, outputs in each["outputs"].items():
                # The exporter measured XNNPACK's.
                more = 1e-6 if family == "xnnpack" else manifest(made)["tolerance"]
                assert np.abs(np.subtract(outputs, each["keras"])).max() <= limit + more
                assert sum(outputs) == pytest.approx(1, abs=1e-6)
            assert each["drift_from_training_resize"] == 0


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("int8", 0.05)])
def test_the_mean_of_the_activation_maps_is_the_logits(run, tmp_path, precision, tolerance):
    folder = bundle.bundle(run, tmp_path / "bundle", precision=precision)
    classifier, pixels = edge_bundle.device("classifier"), edge_bundle.device("pixels")
    model = classifier.Classifier(edge_bundle.device("sealed").load(folder))
    for each in expected(folder)[:4]:
        picture = pixels.read(folder / "golden" / each["file"])
        probabilities = model.run(pixels.resize(picture, 32))
        assert np.array_equal(probabilities, np.float32(each["outputs"][model.family]))
        maps = model.activation_maps()
        assert maps.shape == (4, 4, 2)
        logits = maps.mean(axis=(0, 1)) + edge_bundle.BIAS / edge_bundle.TEMPERATURE
        odds = np.exp(logits - logits.max())
        assert np.allclose(odds / odds.sum(), probabilities, atol=tolerance)


def test_a_model_without_logits_takes_no_temperature():
    import keras

    from common.export.preparing import divide_logits

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    before = [each.copy() for each in model.get_weights()]
    divide_logits(model, None)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    with pytest.raises(InputError, match="no dense layer logits"):
        divide_logits(model, 2.0)


def test_the_second_output_changes_no_probability(run, made):
    from common import export

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    before = export.run((run.path / "export/model-int8.tflite").read_bytes(), noise)
    after = export.run((made / "model-int8.tflite").read_bytes(), noise)
    assert np.array_equal(before, after)


def test_the_weights_of_the_maps_are_the_last_layers(run):
    from wrn_edge import maps

    opened = maps.open_up((run.path / "export/model-float32.tflite").read_bytes())
    weights = runs.load_model(run).get_layer("logits").get_weights()[0]
    assert np.allclose(opened.weights, weights / edge_bundle.TEMPERATURE, atol=1e-6)
    assert opened.logit_step is None


def test_a_model_of_another_form_gets_no_second_output():
    import keras

    from common import export
    from wrn_edge import maps

    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(inputs)
    dense = keras.layers.Dense(2, bias_initializer="ones", activation="softmax")(flat)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    without_bias = keras.layers.Dense(2, use_bias=False, activation="softmax")(pooled)
    for outputs, words in ((dense, "average pooling"), (without_bias, "no bias")):
        images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
        content = export.with_tensorflow(keras.Model(inputs, outputs), "float32", images)
        with pytest.raises(InputError, match=words):
            maps.open_up(content)


def test_tolerance_between_kernels_is_two_steps_of_each_logit():
    assert bundle.tolerance("int8", 0.03) == 0.03
    assert bundle.tolerance("float32", None) == 1e-4
    step = 0.03
    worst = 0.0
    for logit in np.linspace(-3, 3, 61):
        p = 1 / (1 + np.exp(-np.array([logit - 4 * step / 2, logit + 4 * step / 2])))
        worst = max(worst, p[1] - p[0])
    assert 0.95 * step < worst <= step


def test_the_same_run_gives_the_same_files(run, made, tmp_path):
    again = bundle.bundle(run, tmp_path / "again")
    a, b = manifest(made), manifest(again)
    assert a["files"] == b["files"]


def test_real_images_carry_their_licence_and_no_synthetic_label(runtime_stub, tmp_path):
    folder = edge_bundle.build(tmp_path, synthetic=False)
    about = (folder / "ABOUT.txt").read_text()
    assert "SYNTHETIC" not in about
    assert "BreakHis, CC BY 4.0" in about
    assert "golden-1.png, golden-2.png" in about
    assert "F. A. Spanhol" in about
    assert manifest(folder)["licence"] == "CC BY 4.0"


@pytest.fixture
def runtime_stub(tmp_path, monkeypatch):
    import sys

    folder = edge_bundle.install_runtime(tmp_path / "runtime")
    module = edge_bundle.load_runtime(folder)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_run_that_was_not_exported(copy):
    shutil.rmtree(copy.path / "export")
    with pytest.raises(InputError, match=r"export it first: python -m wrn_edge\.export --run"):
        bundle.bundle(copy, None)


def test_a_damaged_export(copy):
    path = copy.path / "export/export.json"
    text = path.read_text()
    path.write_text(text[:200])
    with pytest.raises(InputError, match=r"export\.json: damaged"):
        bundle.bundle(copy, None)
    path.write_text(text)
    model = copy.path / "export/model-int8.tflite"
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"not the file that was exported; export it again"):
        bundle.bundle(copy, None)
    with pytest.raises(InputError, match=r"no float16 model was exported.*--precision float16"):
        bundle.bundle(copy, None, precision="float16")
    assert not list(copy.path.glob("*bundle"))


def test_an_unfinished_run(copy):
    copy.note(finished=None)
    with pytest.raises(InputError, match="not finished"):
        bundle.bundle(copy, None)


def test_another_resize_filter(copy):
    copy.note(config={**copy.config, "resize_filter": "cubic"})
    with pytest.raises(InputError, match="'cubic', the device with 'area' only"):
        bundle.bundle(copy, None)


def test_pictures_that_are_not_there(copy, tmp_path):
    shutil.rmtree(tmp_path / "demo-data")
    with pytest.raises(InputError, match="no data folder is given"):
        bundle.bundle(copy, None)
    with pytest.raises(InputError, match=r"missing; name the folder.*--data-dir"):
        bundle.bundle(copy, None, data_dir=tmp_path)


@pytest.mark.parametrize("flag", ["--data-dir {}", "--epochs 1 --data-dir={} --seed 1"])
def test_the_folder_that_the_run_was_trained_on_is_found(copy, tmp_path, flag, monkeypatch):
    monkeypatch.delenv("HISTOPAPERS_DATA", raising=False)
    other = tmp_path / "the data"
    shutil.move(tmp_path / "demo-data/breakhis", other)
    copy.note(synthetic=False, command=f"python -m wrn_edge.train {flag.format(repr(str(other)))}")
    assert bundle.find_data(copy, None) == other
    assert bundle.find_data(copy, tmp_path) == tmp_path
    shutil.move(other, tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no data folder is given"):
        bundle.find_data(copy, None)
    monkeypatch.setenv("HISTOPAPERS_DATA", str(tmp_path / "elsewhere"))
    assert bundle.find_data(copy, None) == tmp_path / "elsewhere"


def test_a_folder_in_use_is_left_alone(copy, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.csv").write_text("mine")
    with pytest.raises(InputError, match="exists; name a folder that does not, with --out"):
        bundle.bundle(copy, out)
    assert [path.name for path in out.iterdir()] == ["results.csv"]
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        bundle.bundle(copy, file / "below")
    assert not list(tmp_path.glob(".part-*"))


def test_the_same_command_again_finds_its_whole_bundle_and_no_other(copy):
    """As after a kill between the last rename and the end."""
    out = bundle.bundle(copy, None)
    made = (out / "manifest.json").read_bytes()
    (copy.path / "checkpoint").mkdir(exist_ok=True)
    copy.finish()  # its manifest is now written with the bundle in it, and is taken back
    noted = json.loads((copy.path / "manifest.json").read_text())
    noted["files"] = {k: v for k, v in noted["files"].items() if not k.startswith(out.name)}
    (copy.path / "manifest.json").write_text(json.dumps(noted))
    assert bundle.bundle(copy, None) == out
    assert runs.compare(copy.path) == {}
    assert (out / "manifest.json").read_bytes() == made
    with pytest.raises(InputError, match="exists; name a folder that does not, with --out"):
        bundle.bundle(copy, out)
    (out / "labels.txt").write_text("other\n")
    with pytest.raises(InputError, match="exists; name a folder that does not, with --out"):
        bundle.bundle(copy, None)


def test_the_command_says_where_the_bundle_is(copy, capsys, monkeypatch):
    monkeypatch.delenv("HISTOPAPERS_DATA", raising=False)
    assert bundle.main(["--run", str(copy.path)]) == 0
    out = capsys.readouterr().out
    folder = copy.path / "SYNTHETIC-bundle"
    assert f"bundle  {folder} (" in out
    assert "its self-test passed" in out
    assert "SYNTHETIC" in out
    assert notices.RESEARCH_USE in out
    assert manifest(folder)["synthetic"] is True


def test_the_demo_trains_exports_and_bundles(copy, capsys, monkeypatch, tmp_path):
    from common import export
    from wrn_edge import train

    asked = []
    monkeypatch.setattr(train, "train", lambda request: asked.append(request) or copy)
    monkeypatch.setattr(
        export, "main", lambda package, arguments: asked.append((package, arguments))
    )
    arguments = ["--demo", "--runs-dir", str(tmp_path), "--out", str(tmp_path / "ready")]
    assert bundle.main(arguments) == 0
    (request,) = asked  # exported already
    assert request.preset == "demo"
    assert request.execution.runs_dir == tmp_path
    assert "SYNTHETIC" in capsys.readouterr().out
    (copy.path / "export/export.json").unlink()
    with pytest.raises(InputError, match="export it first"):
        bundle.main(["--demo", "--runs-dir", str(tmp_path), "--out", str(tmp_path / "again")])
    assert asked[2] == ("wrn_edge", ["--run", str(copy.path)])


@pytest.mark.slow
def test_the_demo_from_nothing(capsys, tmp_path):
    out = tmp_path / "ready"
    assert bundle.main(["--demo", "--runs-dir", str(tmp_path / "runs"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "its self-test passed" in printed
    found = manifest(out)
    assert found["synthetic"] is True
    assert (out / "ABOUT.txt").read_text().startswith("SYNTHETIC: ")
    agreement = found["model"]["agreement"]
    assert agreement["n"] == 100
    assert agreement["interval"][1] >= 0.985
    for each in expected(out)[:4]:
        keras = dict(zip(edge_bundle.CLASSES, each["keras"], strict=True))
        if max(keras.values()) > 0.7:
            assert set(each["label"].values()) == {max(keras, key=keras.get)}
