"""Real conversions: a small network in every precision, and every refusal with a real file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common import backend, export
from common.errors import InputError
from common.export import flatbuffer

SIZE = 16
TOLERANCE = {"float32": 1e-5, "float16": 5e-3, "dynamic": 0.02, "int8": 0.1}


def small_network(seed: int = 0):
    """Residual, with a BatchNorm that folds and one that does not, neither of them the identity."""
    import keras

    from common.normalise import InputScaling

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = InputScaling("torch", name="input_scaling")(image)
    x = trunk = layers.Conv2D(16, 3, padding="same", strides=2, name="stem")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="unfolded")(x))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="first")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="folded")(x))
    x = layers.Conv2D(16, 3, padding="same", name="second")(x)
    x = layers.Add(name="add")([x, trunk])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    x = layers.Dense(2, bias_initializer="ones", name="logits")(x)
    model = keras.Model(image, layers.Softmax()(x), name="small")
    rng = np.random.default_rng(seed)
    for name in ("unfolded", "folded"):
        norm = model.get_layer(name)
        gamma, variance = rng.uniform(0.5, 2, (2, 16))
        beta, mean = rng.normal(size=(2, 16))
        norm.set_weights([gamma, beta, mean, variance])
    logits = keras.Model(image, model.get_layer("logits").output)
    dense = model.get_layer("logits")
    kernel, bias = dense.get_weights()
    dense.set_weights([3 * kernel, bias])
    centre = logits.predict(pictures(16), verbose=0).mean(axis=0)
    dense.set_weights([3 * kernel, bias - centre])
    return model


def pictures(count: int, seed: int = 1) -> np.ndarray:
    """Images of one colour each and some noise, uint8 (N, SIZE, SIZE, 3)."""
    rng = np.random.default_rng(seed)
    colours = rng.uniform(40, 215, (count, 1, 1, 3))
    noise = rng.normal(0, 20, (count, SIZE, SIZE, 3))
    return (colours + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    return small_network()


@pytest.fixture(scope="module")
def files(model) -> dict[str, bytes]:
    rewritten = export.rewrite(model)
    return {
        precision: export.with_tensorflow(rewritten, precision, pictures(64))
        for precision in export.PRECISIONS
    }


# --- what is converted -------------------------------------------------------------------------


def test_the_rewritten_network_is_the_same_function(model):
    rewritten = export.rewrite(model)
    kinds = {layer.name: type(layer).__name__ for layer in rewritten.layers}
    assert kinds["input_scaling"] == "Conv2D"
    assert kinds["unfolded"] == "DepthwiseConv2D"
    assert kinds["folded"] == "BatchNormalization"  # the converter folds it
    before, after = (each.predict(pictures(32), verbose=0) for each in (model, rewritten))
    assert np.abs(before - after).max() < 1e-5
    assert np.ptp(before[:, 0]) > 0.1  # or the comparison would say nothing


def uneven(model):
    """The same function, its feature maps' channels of ranges from 1 to 30."""
    import keras

    result = keras.models.clone_model(model)
    result.set_weights(model.get_weights())
    factors = np.geomspace(1, 30, 16)
    stem, unfolded, second = (result.get_layer(name) for name in ("stem", "unfolded", "second"))
    for layer in (stem, second):  # both write the sum
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * factors, bias * factors])
    gamma, beta, mean, variance = unfolded.get_weights()
    unfolded.set_weights([gamma, beta, mean * factors, variance * factors**2])
    logits = result.get_layer("logits")
    kernel, bias = logits.get_weights()
    logits.set_weights([kernel / factors[:, None], bias])
    return result


def test_equalised_channels_change_no_output_and_take_nearer_ranges(model):
    import keras

    rewritten = export.rewrite(uneven(model))
    equalised = export.equalise(rewritten, pictures(64))
    images = pictures(32, seed=2)
    before, after = (each.predict(images, verbose=0) for each in (rewritten, equalised))
    assert np.abs(before - after).max() < 1e-4

    def spread(network, name):
        part = keras.Model(network.input, network.get_layer(name).output)
        largest = np.abs(part.predict(pictures(64), verbose=0)).max(axis=(0, 1, 2))
        return largest.max() / largest.min()

    for name in ("add", "stem"):
        assert spread(equalised, name) < 1.5 * spread(rewritten, name) ** 0.5


def test_equalised_channels_lose_less_to_int8(model):
    rewritten = export.rewrite(uneven(model))
    images = pictures(40, seed=2)
    wanted = model.predict(images, verbose=0)
    errors = [
        export.agreement(
            wanted, export.run(export.with_tensorflow(network, "int8", pictures(64)), images)
        )["mean_logit_error"]
        for network in (rewritten, export.equalise(rewritten, pictures(64)))
    ]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("precision", export.PRECISIONS)
def test_each_precision_keeps_the_contract(model, files, precision):
    found = export.check_structure(files[precision], precision, export.rewrite(model))
    quantised = (1.0, 0) if precision == "int8" else (None, None)
    assert found.input["dtype"] == "uint8"
    assert (found.input["scale"], found.input["zero_point"]) == quantised
    assert found.output["dtype"] == "float32"
    assert found.output["shape"] == [1, 2]
    images = pictures(40, seed=2)
    outputs = export.run(files[precision], images)
    assert np.abs(outputs - model.predict(images, verbose=0)).max() < TOLERANCE[precision]


def test_int8_computes_in_integers_up_to_the_softmax(files):
    found = export.describe(files["int8"])
    assert found.float_ops == []
    assert set(found.ops) == {
        "ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED", "MEAN", "QUANTIZE",
        "SOFTMAX",
    }  # fmt: skip


def test_shifted_logits_are_shifted_by_steps_of_the_bias(files):
    images = pictures(20, seed=2)
    shifted = flatbuffer.shift_logits(files["int8"], np.array([0.5, -0.25]))
    before, after = (
        np.log(each[:, 0] / each[:, 1])
        for each in (export.run(files["int8"], images), export.run(shifted, images))
    )
    assert np.median(after - before) == pytest.approx(0.75, abs=0.05)  # a step is 0.02 or so
    assert flatbuffer.shift_logits(files["float32"], np.ones(2)) == files["float32"]


def test_fewer_bits_are_fewer_bytes(files):
    sizes = [len(files[precision]) for precision in ("float32", "float16")]
    assert sizes[0] > sizes[1]


# --- refusals ----------------------------------------------------------------------------------


def refusal(content: bytes, precision: str, model) -> str:
    with pytest.raises(InputError) as caught:
        export.check_structure(content, precision, export.rewrite(model))
    return str(caught.value)


def test_a_file_that_is_none(files, model):
    for damaged in (b"", b"TFL3", files["int8"][:600]):
        assert "not a TFLite model" in refusal(damaged, "int8", model)


def test_a_file_of_another_size(files):
    import keras

    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(200, 7)(image)
    x = keras.layers.Conv2D(200, 3)(x)
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    larger = keras.Model(image, x)
    said = refusal(files["float32"], "float32", larger)
    assert f"{len(files['float32'])} bytes, where {larger.count_params()} parameters" in said


def test_a_file_without_its_weights(model, tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.weights = tf.Variable(np.ones((3, 2), np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), "uint8")])
    def graph(image):
        module.weights.assign_add(tf.zeros((3, 2)))  # so that it is no constant
        return tf.nn.softmax(tf.reduce_mean(tf.cast(image, tf.float32), (1, 2)) @ module.weights)

    module.graph = graph
    tf.saved_model.save(module, tmp_path, signatures=graph)
    with backend.without_greetings():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
        converter.experimental_enable_resource_variables = True
        content = converter.convert()
    assert "READ_VARIABLE: its weights are variables" in refusal(content, "float32", model)


def test_a_file_with_another_input(model):
    import tensorflow as tf

    with backend.without_greetings():
        content = tf.lite.TFLiteConverter.from_keras_model(export.rewrite(model)).convert()
    said = refusal(content, "float32", model)
    assert "input is " in said
    assert "'dtype': 'float32'" in said


def test_int8_that_still_computes_in_float32(files, model):
    said = refusal(files["dynamic"], "int8", model)
    assert "computes in float32: " in said
    assert "CONV_2D" in said


def test_an_operator_that_a_device_has_not(model):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), "uint8")])
    def graph(image):
        square = tf.cast(image, tf.float32)[..., 0]
        return tf.nn.softmax(tf.linalg.inv(square + 1000 * tf.eye(SIZE))[:, 0, :2])

    with backend.without_greetings():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS,
        ]  # fmt: skip
        content = converter.convert()
    said = refusal(content, "float32", model)
    assert "CUSTOM FlexMatrixInverse: not a built-in operator" in said


def spoilt(value: float):
    """The small network with one weight of its last layer set."""
    model = small_network()
    kernel, bias = model.get_layer("logits").get_weights()
    kernel[0, 0] = value
    model.get_layer("logits").set_weights([kernel, bias])
    return model


def test_outputs_that_are_not_finite():
    content = export.with_tensorflow(export.rewrite(spoilt(np.nan)), "float32", pictures(2))
    with pytest.raises(InputError, match="the output is not finite for 5 of 5 images"):
        export.run(content, pictures(5))


def test_a_network_that_is_not_finite_itself(tmp_path):
    with pytest.raises(InputError, match="the Keras model itself: the output is not finite"):
        export.export(
            spoilt(np.nan), tmp_path / "out", calibration=pictures(8), heldout=pictures(8)
        )
    assert not (tmp_path / "out").exists()


def test_a_file_of_another_network_does_not_agree(files, model):
    images = pictures(300, seed=3)
    other = -model.predict(images, verbose=0) + 1  # the classes exchanged
    found = export.agreement(other, export.run(files["int8"], images))
    with pytest.raises(InputError, match=r"agrees with the Keras model on .* of 300 images only"):
        export.check_agreement(found, "int8")
    found = export.agreement(other, export.run(files["float32"], images))
    with pytest.raises(InputError, match="a probability differs by"):
        export.check_agreement(found, "float32")


# --- exporting ---------------------------------------------------------------------------------


def exported(model, out: Path, **options) -> dict:
    return export.export(
        model, out, calibration=pictures(16), heldout=pictures(24, seed=2), **options
    )


def test_all_four_are_written_with_their_record(model, tmp_path):
    record = exported(model, tmp_path / "out", facts={"run_id": "0123456789"})
    names = [f"model-{precision}.tflite" for precision in export.PRECISIONS]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [*names, "export.json"]
    )
    assert json.loads((tmp_path / "out/export.json").read_text(encoding="utf-8")) == record
    assert record["run_id"] == "0123456789"
    for each in record["files"]:
        assert (tmp_path / "out" / each["file"]).stat().st_size == each["bytes"]
        assert each["agreement"]["n"] == 24
        assert each["agreement"]["k"] >= 23


def test_one_bad_file_and_nothing_is_written(model, tmp_path, monkeypatch):
    exported(model, tmp_path / "out", precisions=["float32"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    other = export.rewrite(small_network(seed=5))

    def wrong(_, precision, calibration):
        return export.with_tensorflow(other, precision, calibration)

    monkeypatch.setitem(export.CONVERTERS, "tensorflow", wrong)
    with pytest.raises(InputError, match=r"nothing written.*\nfloat32, tensorflow: a probability"):
        exported(model, tmp_path / "out", precisions=["float32", "int8"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_images_of_another_size_or_type(model, tmp_path):
    for bad in (pictures(4)[:, :8], pictures(4).astype(np.float32), pictures(0)):
        with pytest.raises(InputError, match=r"calibration images are .* the model takes uint8"):
            export.export(model, tmp_path / "out", calibration=bad, heldout=pictures(4))


def test_the_better_of_two_converters_is_chosen_on_the_calibration_images(
    model, tmp_path, monkeypatch
):
    def worse(rewritten, precision, calibration):
        dense = rewritten.get_layer("logits")
        kernel, bias = dense.get_weights()
        dense.set_weights([1.3 * kernel, bias])
        try:
            return export.with_tensorflow(rewritten, precision, calibration)
        finally:
            dense.set_weights([kernel, bias])

    def broken(*_):
        raise RuntimeError("no such operator\nand a trace")

    monkeypatch.setitem(export.CONVERTERS, "worse", worse)
    monkeypatch.setitem(export.CONVERTERS, "broken", broken)
    # Held-out images on which nothing can be told apart do not change the choice.
    record = export.export(
        model,
        tmp_path / "out",
        calibration=pictures(16),
        heldout=np.zeros((3, SIZE, SIZE, 3), np.uint8),
        precisions=["int8"],
        converters=["broken", "worse", "tensorflow"],
    )
    (file,) = record["files"]
    assert file["converter"]["name"] == "tensorflow"
    broke, worse_one, better = file["converter"]["tried"]
    assert broke["problem"] == "RuntimeError: no such operator"
    errors = [each["on_calibration_images"]["mean_logit_error"] for each in (worse_one, better)]
    assert errors[0] > 2 * errors[1]
    text = export.table(record)
    assert "not by broken: RuntimeError: no such operator" in text
    assert "by worse: on the 16 calibration images" in text


# --- the papers' networks ----------------------------------------------------------------------


def check_all_precisions(model, images: np.ndarray, operators: dict[str, int]) -> None:
    """Convert as `export` does; hold every file to the Keras model's logits."""
    rewritten = export.rewrite(model)
    equalised = export.equalise(rewritten, images)
    wanted = model.predict(images, verbose=0)
    assert np.abs(equalised.predict(images, verbose=0) - wanted).max() < 1e-4
    odds = np.log(wanted[:, 1] / wanted[:, 0])
    assert odds.std() > 0.05
    for precision in export.PRECISIONS:
        network = equalised if precision == "int8" else rewritten
        content = export.with_tensorflow(network, precision, images)
        found = export.check_structure(content, precision, network)
        outputs = export.run(content, images)
        if precision in export.PROBABILITY_LIMIT:
            export.check_agreement(export.agreement(wanted, outputs), precision)
        closeness = np.corrcoef(odds, np.log(outputs[:, 1] / outputs[:, 0]))[0, 1]
        assert closeness > (0.95 if precision in ("dynamic", "int8") else 0.995), precision
    assert {name: found.ops[name] for name in operators} == operators


@pytest.mark.slow
def test_wrn28_2_converts():
    import cv2
    import keras

    from wrn_edge.config import Config
    from wrn_edge.model import build_model

    keras.utils.set_random_seed(0)
    model = build_model(Config(magnification="100X", image_size=64))
    images = np.stack([cv2.resize(each, (64, 64)) for each in pictures(64, seed=4)])
    for i in range(30):  # settles the moving statistics
        model(images[i : i + 16].astype(np.float32), training=True)
    operators = {"ADD": 12, "CONV_2D": 29, "DEPTHWISE_CONV_2D": 12}
    check_all_precisions(model, images, operators)


@pytest.mark.slow
@pytest.mark.data
def test_mobilenet_v2_of_breakhis_converts(real_data):
    import cv2
    import keras

    from breakhis.config import PRESETS
    from breakhis.model import build_model

    keras.utils.set_random_seed(0)
    weights = real_data / "weights" / "mobilenet_v2_imagenet_notop.weights.h5"
    model = build_model(replace(PRESETS["demo"], weights=str(weights), normalisation="own"))
    files = sorted((real_data / "data" / "breakhis_100x").rglob("*.png"))[::7]
    images = np.stack([cv2.resize(cv2.imread(str(file)), (96, 96))[..., ::-1] for file in files])
    check_all_precisions(model, images, {"ADD": 10, "DEPTHWISE_CONV_2D": 17})
