"""The one door for model files: what comes through, and what is refused at once."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from common import models
from common.errors import InputError
from tests import fuzz_models, import_graph


@pytest.fixture(scope="module")
def wholes(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wholes")
    return {file.name: file for file in fuzz_models.originals(folder)}


def changed(whole: Path, out: Path, **members) -> Path:
    """A `.keras` file with other members: bytes, what makes new bytes of the old, or None."""
    content = fuzz_models.parts(whole)
    for name, change in members.items():
        name = {"config": "config.json", "weights": "model.weights.h5"}.get(name, name)
        data = change(content.get(name)) if callable(change) else change
        if data is None:
            content.pop(name)
        else:
            content[name] = data
    large = max(map(len, content.values())) > 2**24
    out.write_bytes(
        fuzz_models.packed(content, zipfile.ZIP_DEFLATED if large else zipfile.ZIP_STORED)
    )
    return out


def config(change):
    """What changes the parsed config in place, as a change of its bytes."""

    def of(text: bytes) -> bytes:
        whole = json.loads(text)
        change(whole)
        return json.dumps(whole).encode()

    return of


def weights(change):
    """What changes the opened HDF5 file, as a change of its bytes."""

    def of(data: bytes) -> bytes:
        buffer = io.BytesIO(data)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    return of


def layer(whole, name):
    return next(each for each in whole["config"]["layers"] if each["config"]["name"] == name)


def refused(file: Path, *words: str, model=None) -> None:
    start = time.perf_counter()
    with pytest.raises(InputError) as error:
        models.load(file) if model is None else models.load_weights(model, file)
    assert time.perf_counter() - start < 10
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)
    for each in words:
        assert each in str(error.value)


def test_whole_files_come_through(wholes):
    model = models.load(wholes["model.keras"])
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)
    again = keras.models.clone_model(model)
    for file in wholes.values():
        for variable in again.weights:
            variable.assign(keras.ops.zeros_like(variable))
        models.load_weights(again, file)
        np.testing.assert_array_equal(again.predict(images, verbose=0),
                                      model.predict(images, verbose=0))  # fmt: skip


def test_a_compiled_model_takes_weights_and_keeps_its_optimizer(wholes):
    model = models.load(wholes["model.keras"])
    model.compile("adam", "categorical_crossentropy")
    optimizer = model.optimizer
    models.load_weights(model, wholes["model.keras"])
    assert model.compiled
    assert model.optimizer is optimizer


def test_every_loader_goes_through_the_door():
    """No other module asks Keras, HDF5 or TensorFlow for a model."""
    # The script that a user would write is a text of the benchmark that is set against it.
    doors = {"common.models.loading", "common.models.contents", "benchmarks.one_run"}
    for name, file in import_graph.modules(
        "common", "her2scoring", "breakhis", "ernet", "gan_fusion", "wrn_edge", "benchmarks"
    ).items():
        text = file.read_text(encoding="utf-8")
        for call in ("saving.load_model(", "models.load_model(", "h5py.File(", "model_from_json("):
            assert name in doors or call not in text, name
        own = "models.load_weights(" in text or "wrn_edge.model" in name
        assert name in doors or own or ".load_weights(" not in text, name


# --- code ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        {"class_name": "Lambda", "module": "keras.layers", "config": {"function": {
            "class_name": "__lambda__", "config": {"value": "4wEAAAA="}}}},
        {"class_name": "Layer", "module": "antigravity", "config": {}},
        {"class_name": "Layer", "module": "antigravity", "registered_name": "histopapers>Layer",
         "config": {}},
        {"class_name": "Thing", "module": "keras_hub.layers", "config": {}},
        {"class_name": "histopapers>Nothing", "config": {}},
        {"class_name": "get_file", "module": "keras.utils", "config": {}},
        {"class_name": "function", "module": "builtins", "config": "get_file"},
        {"class_name": "function", "module": "os", "config": "system"},
        {"class_name": "TextVectorization", "module": "keras.layers",
         "config": {"vocabulary": "/etc/passwd"}},
        {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/tmp"}},
        {"class_name": "__numpy__", "config": {"value": ["x"], "dtype": "U1000000000"}},
        {"class_name": ["Lambda"], "module": "antigravity", "config": {}},
    ],
    ids=lambda item: str(item["class_name"]) + str(item.get("module", "")),
)  # fmt: skip
def test_code_and_foreign_objects(item, wholes, tmp_path):
    def change(whole):
        layer(whole, "conv")["config"]["kernel_initializer"] = item

    file = changed(wholes["model.keras"], tmp_path / "model.keras", config=config(change))
    refused(file, "refused, it wants to run code of its own")


def test_an_object_registered_by_others(wholes, tmp_path):
    """A name in Keras' registry is not enough; this module's is none of the project's packages."""

    @keras.saving.register_keras_serializable("histopapers")
    class Intruder(keras.layers.Layer):
        pass

    def change(whole):
        layer(whole, "bn")["registered_name"] = "histopapers>Intruder"

    file = changed(wholes["model.keras"], tmp_path / "model.keras", config=config(change))
    refused(file, "refused, it wants to run code of its own")


# --- bombs ---------------------------------------------------------------------------------------


def test_configs_that_are_too_much(wholes, tmp_path):
    whole = wholes["model.keras"]
    file = tmp_path / "model.keras"
    refused(changed(whole, file, config=b" " * 2**28), "unpack to many times its size")
    refused(changed(whole, file, config=np.random.bytes(9 * 2**20)), "config.json has 9,437,184")
    refused(changed(whole, file, config=b'{"a":' * 10**5), "damaged or no Keras model")
    nested = b'{"a":' * 500 + b"1" + b"}" * 500
    refused(changed(whole, file, config=nested), "nested more than 100 deep")
    refused(changed(whole, file, config=b"[" * 10**5), "damaged or no Keras model")
    refused(changed(whole, file, config=b"9" * 10**5), "damaged or no Keras model")

    def many(config):
        config["config"]["layers"] *= 1000

    refused(changed(whole, file, config=config(many)), "more than 30,000 objects")


def test_models_in_models_are_counted_as_often_as_they_are_called(wholes, tmp_path):
    """Twelve of them, each called four times by the next, are 16 million calls."""

    def change(whole):
        inner = layer(whole, "conv")
        for depth in range(12):
            inner = {
                "class_name": "Functional", "module": "keras", "name": f"m{depth}",
                "config": {"layers": [inner]}, "inbound_nodes": [{"args": []}] * 4,
            }  # fmt: skip
        whole["config"]["layers"].append(inner)

    file = changed(wholes["model.keras"], tmp_path / "model.keras", config=config(change))
    refused(file, "more than 30,000 objects")


def test_layers_and_maps_that_no_file_can_hold(wholes, tmp_path):
    def setting(name, key, value):
        return config(lambda whole: layer(whole, name)["config"].update({key: value}))

    whole, file = wholes["model.keras"], tmp_path / "model.keras"
    for name, key, value in (
        ("logits", "units", 10**9), ("conv", "filters", 10**7), ("conv", "kernel_size", [999, 999]),
    ):  # fmt: skip
        refused(changed(whole, file, config=setting(name, key, value)), "its layers want", name)
    refused(changed(whole, file, config=setting("logits", "units", -(10**9))), "damaged")
    refused(
        changed(whole, file, config=setting("image", "batch_shape", [None, 10**6, 10**6, 3])),
        "refused, layer image gives (None, 1000000, 1000000, 3) numbers",
    )


def test_members_that_do_not_belong(wholes, tmp_path):
    whole, file = wholes["model.keras"], tmp_path / "model.keras"
    for name in ("../evil.py", "assets/a", "/etc/passwd", "config.json/", "model.weights.npz"):
        refused(changed(whole, file, **{name: b"x"}), "is no part of a Keras model")
    refused(changed(whole, file, weights=None), "must be in it once each")
    refused(changed(whole, file, config=None), "must be in it once each")
    refused(changed(whole, file, weights=b"\0" * 2**28), "unpack to many times its size")
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name in ("config.json", "config.json", "model.weights.h5"):
            archive.writestr(name, fuzz_models.parts(whole)[name])
    refused(file, "must be in it once each")
    refused(tmp_path, "a whole model is a .keras file")
    refused(tmp_path / "none.keras", "no such file")


def bomb(file):
    file.create_dataset("bomb", shape=(10**6, 10**6), chunks=(10, 10), compression="gzip")


def zeros(file):
    file.create_dataset("zeros", data=np.zeros(10**7), chunks=(10**6,), compression="gzip")


def external(file):
    file.create_dataset("x", shape=(4,), dtype="u1", external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (4,))
    file.create_virtual_dataset("x", layout)


def linked(link):
    return lambda file: file.__setitem__("x", link)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (bomb, "the file cannot hold them"),
        (zeros, "the file cannot hold them"),
        (external, "x refers to another file"),
        (virtual, "x refers to another file"),
        (linked(h5py.ExternalLink("/etc/passwd", "/")), "x is a link to elsewhere"),
        (linked(h5py.SoftLink("/layers")), "x is a link to elsewhere"),
        (lambda file: file.__setitem__("x", file["layers"]), "stands in it twice"),
        (lambda file: file.__setitem__("x", np.dtype("f4")), "x holds no numbers"),
        (lambda file: file.create_dataset("x", data=["a"], dtype=h5py.string_dtype()),
         "x holds no numbers"),
    ],
    ids=["bomb", "zeros", "external", "virtual", "external link", "soft link", "hard link", "type",
         "text"],
)  # fmt: skip
def test_hdf5_that_claims_or_refers(change, words, wholes, tmp_path):
    model = models.load(wholes["model.keras"])
    file = tmp_path / "model.weights.h5"
    file.write_bytes(weights(change)(wholes["model.weights.h5"].read_bytes()))
    refused(file, "refused", words, model=model)
    archive = changed(wholes["model.keras"], tmp_path / "model.keras", weights=weights(change))
    refused(archive, "refused", words)


# --- weights that are not all there --------------------------------------------------------------


def test_weights_that_are_no_numbers(wholes, tmp_path):
    def spoil(file):
        file["layers/dense/vars/0"][0, 0] = np.nan
        file["layers/conv2d/vars/1"][0] = np.inf

    model = models.load(wholes["model.keras"])
    said = "2 of 8 weights hold NaN or infinity: conv/bias"
    refused(changed(wholes["model.keras"], tmp_path / "model.keras", weights=weights(spoil)), said)
    file = tmp_path / "model.weights.h5"
    file.write_bytes(weights(spoil)(wholes["model.weights.h5"].read_bytes()))
    refused(file, said, model=model)


def test_weights_of_a_part_of_the_network(wholes, tmp_path):
    def cut(file):
        del file["layers/dense"]

    model = models.load(wholes["model.keras"])
    file = tmp_path / "model.weights.h5"
    file.write_bytes(weights(cut)(wholes["model.weights.h5"].read_bytes()))
    refused(file, "holds 6 of 8 weights of small", model=model)
    refused(
        changed(wholes["model.keras"], tmp_path / "model.keras", weights=weights(cut)),
        "holds 6 of 8 weights of small",
    )


def test_arrays_that_claim_more_than_they_hold(tmp_path):
    file = tmp_path / "state.npz"
    np.savez(file, a=np.arange(6.0), b=np.zeros((2, 3)))
    models.check_arrays(file)
    members = fuzz_models.parts(file.rename(tmp_path / "state.keras"))
    members["a.npy"] = members["a.npy"].replace(b"(6,)", b"(6000000000000,)", 1)
    file.write_bytes(fuzz_models.packed(members))
    with pytest.raises(InputError, match=r"state\.npz: "):
        models.check_arrays(file)
    np.savez_compressed(file, a=np.zeros(10**7))
    with pytest.raises(InputError, match="unpack to many times its size"):
        models.check_arrays(file)


# --- mutations -----------------------------------------------------------------------------------


def tried(count: int, seed: int, folder: Path) -> None:
    result = fuzz_models.run(count, seed, folder)
    assert set(result) == {"loaded", "refused"}, f"seed {seed}"
    assert result.total() == count


def test_mutated_files(tmp_path):
    tried(40, 1, tmp_path)


@pytest.mark.slow
def test_many_mutated_files(tmp_path):
    tried(500, 2, tmp_path)
