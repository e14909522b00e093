"""Users' models through the exporter: every file that can be written is, the rest says why not."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import export_matrix as matrix
from common import errors, export, runs
from common.errors import InputError, WriteError
from tests import run_folder

SIZE = 32
MODELS = matrix.models()


def settled(name: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    matrix.settle(model, matrix.pictures(48, SIZE, 1))
    return model


def exported(model, out, precisions=export.PRECISIONS, **options):
    return export.export(
        model, out, calibration=matrix.pictures(12, SIZE, 1), heldout=matrix.pictures(24, SIZE, 2),
        precisions=precisions, converters=["tensorflow"], **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> keras.Model:
    return settled("user: one branch")


# --- one that fails takes no other along ----------------------------------------------------------


def failing(precision):
    def convert(model, asked, calibration):
        if asked == precision:
            raise RuntimeError("no kernel for\x1b[2J this\nand a trace")
        return export.with_tensorflow(model, asked, calibration)

    return convert


def test_what_can_be_written_is(plain, tmp_path, monkeypatch):
    out = tmp_path / "out"
    exported(plain, out, ["float32", "int8"])
    monkeypatch.setitem(export.CONVERTERS, "tensorflow", failing("int8"))
    record = exported(plain, out, ["float32", "int8"])
    assert [each["precision"] for each in record["files"]] == ["float32"]
    assert record["refused"] == [
        {"precision": "int8", "problem": "tensorflow: RuntimeError: no kernel for\x1b[2J this"}
    ]
    # The earlier int8 file is of another export; it is not left beside the new record.
    assert {file.name for file in out.iterdir()} == {"export.json", "model-float32.tflite"}
    assert json.loads((out / "export.json").read_text()) == record
    said = export.table(record)
    assert "int8 not written: tensorflow: RuntimeError: no kernel for\\x1b[2J this." in said
    assert said.endswith("Written: model-float32.tflite")


def test_the_exit_code_says_so(plain, tmp_path, monkeypatch, capsys):
    folder = run_folder.make(tmp_path / "runs", pictures=False)
    (folder / "model.keras").touch()

    def export_run(run, data_dir, out, **options):
        return exported(plain, out, options["precisions"], facts={"dataset": "d", "licence": "l"})

    monkeypatch.setattr(export.command, "export_run", export_run)
    command = ["--run", str(folder), "--data-dir", str(tmp_path), "--precision"]
    assert export.main(arguments=[*command, "float32"]) == 0
    monkeypatch.setitem(export.CONVERTERS, "tensorflow", failing("float16"))
    assert export.main(arguments=[*command, "float32", "float16"]) == export.INCOMPLETE == 3
    assert "float16 not written" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["x"])
    with pytest.raises(SystemExit) as end:
        errors.main(lambda: export.main(arguments=[*command, "float16"]))
    assert end.value.code == 2
    assert "nothing written, files failed their checks" in capsys.readouterr().err
    assert runs.load(folder).finished


# --- models that are not like ours ----------------------------------------------------------------


FAST = ("user: Lambda", "user: nested model", "user: open image size", "user: mixed float16")
SLOW = ("user: no ReLU", "user: shared layers", "user: float16 weights", "user: Sequential")


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(each, marks=pytest.mark.slow) for each in SLOW)]
)
def test_users_models_are_rewritten_and_checked(name, tmp_path, capsys):
    model = settled(name)
    before = [variable.path for variable in model.weights]
    record = exported(model, tmp_path, ["float32", "int8"])
    assert record["refused"] == []
    assert "left out" not in capsys.readouterr().err
    for each, limit in zip(record["files"], (1e-4, 0.1), strict=True):
        assert each["input"]["shape"] == [1, SIZE, SIZE, 3]
        assert each["agreement"]["max_abs_probability_error"] < limit
    # The user's model is as it was: layers can still be looked into.
    assert [variable.path for variable in model.weights] == before
    assert model.layers[-1].output.shape == (None, 2)


def test_a_rewriting_that_fails_is_left_out(plain, tmp_path, monkeypatch, capsys):
    """The model itself is converted then; so it is when the rewritten one computes other things."""

    def wrong(model, images):
        return keras.models.clone_model(model)  # with other weights

    def broken(model):
        raise IndexError("no such channel")

    monkeypatch.setattr(export.preparing, "rewrite", broken)
    monkeypatch.setattr(export.preparing, "equalise", wrong)
    record = exported(plain, tmp_path, ["float32", "int8"])
    said = capsys.readouterr().err
    assert "broken is left out: IndexError: no such channel" in said
    assert "wrong is left out: changes a probability by 0." in said
    assert len(record["files"]) == 2


class Own(keras.Model):
    """A subclassed model: no graph of layers."""

    def call(self, images):
        return keras.ops.softmax(keras.ops.mean(images, (1, 2))[:, :2] / 10)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            MODELS["user: several outputs"],
            r"gives \(None, 2\), \(None, 2\); a file gives .* export",
        ),
        (
            MODELS["user: several inputs"],
            r"takes \(None, 32, 32, 3\), .* a file takes one RGB image",
        ),
        (
            MODELS["user: no softmax"],
            r"not probabilities .* end the model in a softmax: keras.Model",
        ),
        (Own, r"own: has no graph of layers; wrap it: x = keras.Input"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "has no graph of layers"),
    ],
    ids=["outputs", "inputs", "logits", "subclassed", "unbuilt"],
)
def test_models_that_no_file_can_be_of(build, words, tmp_path):
    with pytest.raises(InputError, match=words):
        exported(build(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_advice_works(tmp_path):
    model = MODELS["user: no softmax"]()
    model = keras.Model(model.inputs, keras.layers.Softmax()(model.outputs[0]))
    matrix.settle(model, matrix.pictures(48, SIZE, 1))
    assert not exported(model, tmp_path, ["float32"])["refused"]
    image = keras.Input((SIZE, SIZE, 3))
    wrapped = keras.Model(image, Own()(image))
    assert not exported(wrapped, tmp_path, ["float32"])["refused"]
    model = MODELS["user: several outputs"]()
    matrix.settle(model, matrix.pictures(48, SIZE, 1))
    first = keras.Model(model.inputs, model.outputs[0])
    assert not exported(first, tmp_path, ["float32"])["refused"]


# --- where files go -------------------------------------------------------------------------------


def test_a_folder_that_is_none(plain, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="file: no folder; give another one for the files"):
        exported(plain, file, ["float32"])
    with pytest.raises(WriteError, match="cannot be written"):
        exported(plain, file / "below", ["float32"])
    assert file.read_text() == "mine"


def test_a_full_disk_leaves_an_earlier_export(plain, tmp_path):
    out = tmp_path / "out"
    exported(plain, out, ["float32"])
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["model-float32.tflite"]) - 1, limits[1]))
    try:
        with pytest.raises(WriteError, match=r"model-float32.tflite: .*the disk is full"):
            exported(plain, out, ["int8", "float32"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_names_with_line_ends_stay_on_one_line(plain, tmp_path):
    names = [f"a\n\x1b[2Jb{i}.png" for i in range(24)]
    record = exported(
        plain, tmp_path, ["int8"], heldout_names=names, facts={"classes": ["a\nb", "c"]}
    )
    assert json.loads((tmp_path / "export.json").read_text())["classes"] == ["a\nb", "c"]
    agreement = record["files"][0]["agreement"]
    agreement["disagreements"] = [{"image": names[0], "float_margin": 0.1}]
    (line,) = [line for line in export.table(record).splitlines() if "differs on" in line]
    assert line == "model-int8.tflite differs on a\\n\\x1b[2Jb0.png: float margin 0.100"


@pytest.mark.slow
def test_mutated_files_are_refused_and_end_no_process():
    """Each runs in a process of its own; one that dies of a signal would be named."""
    script = Path(__file__).with_name("fuzz_tflite.py")
    done = subprocess.run(
        [sys.executable, script, "--count", "100"], capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith(" 0 failed\n"), done.stdout
    assert done.returncode == 0


# --- every network --------------------------------------------------------------------------------


# Of the same blocks as a smaller one; the command prints them, and five minutes are enough here.
LARGER = {
    "resnet101", "vgg19", "ernet34", "ernet50", "ernet101", "wrn_edge, strided stem",
    "wrn_edge, pooled stem", "gan_fusion, fusion_counts", "gan_fusion, fusion_described",
}  # fmt: skip
NETWORKS = [name for name in MODELS if not name.startswith("user") and name not in LARGER]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_in_every_precision(name):
    found = matrix.row(MODELS[name])
    assert found["problem"] is None
    for precision, each in found["cells"].items():
        # Random weights may be too sensitive for 8 bits; that alone may keep a file back.
        close = re.fullmatch(r".*: agrees with .* on (\d+) of 40 images.*", each.get("problem", ""))
        agrees = int(close[1]) if close else each["agreement"]["k"]
        assert agrees >= 36, f"{precision}: {each}"
        assert precision in ("dynamic", "int8") or not close


def test_images_that_are_told_apart():
    """What the matrix measures is no constant: the logits follow the colours."""
    model = settled("user: one branch")
    found = model.predict(matrix.pictures(24, SIZE, 2), verbose=0)
    assert 0.2 < np.mean(found[:, 0] > 0.5) < 0.8
    assert found[:, 0].std() > 0.2


# --- ONNX -----------------------------------------------------------------------------------------


def outputs_of(file, images):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (feed,) = session.get_inputs()
    assert (feed.name, feed.type, feed.shape[1:]) == ("images", "tensor(uint8)", [SIZE, SIZE, 3])
    return session.run(None, {"images": images})[0]


def test_onnx_beside_tflite_gives_the_same(plain, tmp_path):
    pytest.importorskip("tf2onnx")
    record = exported(plain, tmp_path, ["float32"], onnx=True)
    assert {file.name for file in tmp_path.iterdir()} == {
        "export.json", "model-float32.tflite", "model.onnx",
    }  # fmt: skip
    images = matrix.pictures(5, SIZE, 7)  # any number of images at once
    expected = plain.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(outputs_of(tmp_path / "model.onnx", images), expected, atol=1e-5)
    assert record["onnx"]["agreement"]["k"] == record["onnx"]["agreement"]["n"] == 24
    assert "model.onnx: " in export.table(record)
    # Of an earlier export: gone with the next one, which does not know it.
    record = exported(plain, tmp_path, ["float32"])
    assert "onnx" not in record and not (tmp_path / "model.onnx").exists()


def test_an_onnx_file_that_differs_is_not_written(plain, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    from common.export import onnx_file

    run = onnx_file._run
    monkeypatch.setattr(onnx_file, "_run", lambda *arguments: run(*arguments) + 2e-4)
    record = exported(plain, tmp_path, ["float32"], onnx=True)
    assert not (tmp_path / "model.onnx").exists()
    assert record["refused"][0]["precision"] == "onnx"
    assert "differs by 0.0002" in record["refused"][0]["problem"]
    assert "onnx not written: a probability differs" in export.table(record)


def test_without_the_packages_an_onnx_file_says_what_to_install(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    record = exported(plain, tmp_path, ["float32"], onnx=True)
    assert "pip install 'histopapers[onnx]'" in record["refused"][0]["problem"]


def test_onnx_is_made_in_place_and_with_copies_where_that_fails(plain, monkeypatch):
    """Copies let tf2onnx leave out a pass that fails; they take many times a network's memory."""
    tf2onnx = pytest.importorskip("tf2onnx")
    from common.export import onnx_file

    convert, in_place = tf2onnx.convert.from_function, []

    def failing_once(*arguments, **options):
        in_place.append("TF2ONNX_CATCH_ERRORS" in os.environ)
        if len(in_place) == 1:
            raise IndexError("a pass")
        return convert(*arguments, **options)

    monkeypatch.setattr(tf2onnx.convert, "from_function", failing_once)
    content, record = onnx_file.make(plain, matrix.pictures(8, SIZE, 2))
    assert in_place == [True, False]
    assert "TF2ONNX_CATCH_ERRORS" not in os.environ
    assert record["bytes"] == len(content)
    monkeypatch.setenv("TF2ONNX_CATCH_ERRORS", "mine")
    with onnx_file._without_copies():
        assert os.environ["TF2ONNX_CATCH_ERRORS"]
    assert os.environ["TF2ONNX_CATCH_ERRORS"] == "mine"


def test_a_weight_that_tf2onnx_writes_again_takes_no_further_memory():
    """A message keeps what was taken out of it: some twenty passes kept each weight so often."""
    pytest.importorskip("tf2onnx")
    from tf2onnx.graph import Graph, Node

    from common.export import onnx_file

    graph, update = Graph([], output_shapes={}, dtypes={}), Node.update_proto
    weight = np.random.default_rng(0).normal(size=2_000_000).astype(np.float32)  # 8 MB
    node = graph.make_const("weight", weight)
    node.update_proto()
    before, message = memory(), node._op.SerializeToString()
    with onnx_file._without_copies():
        for _ in range(20):
            node.update_proto()
    assert memory() - before < 50e6
    assert node._op.SerializeToString() == message
    assert Node.update_proto is update
    for _ in range(20):  # what it would be
        node.update_proto()
    assert memory() - before > 100e6


def memory():
    """Bytes that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext_tiny", "vgg19"])
def test_large_networks_as_onnx(name):
    """ConvNeXt's GELU and grouped convolutions are none of ONNX's own operators."""
    pytest.importorskip("tf2onnx")
    from common import backbones
    from common.export import onnx_file

    keras.utils.set_random_seed(0)
    model = backbones.classifier(name, SIZE, 3, weights="none")
    content, record = onnx_file.make(model, matrix.pictures(8, SIZE, 2))
    assert len(content) > 7e7
    assert record["agreement"]["max_abs_probability_error"] <= onnx_file.MARGIN
