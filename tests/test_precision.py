"""Mixed precision: half-precision arithmetic, float32 where it matters, and exact resume."""

import keras
import numpy as np
import pytest

from common import training
from common.pipeline import Batches

COUNT, SIDE = 48, 12
CLASSES = ("dark", "light")
FORMATS = ("bfloat16", "float16")


@pytest.fixture(autouse=True)
def keep_policy():
    yield
    keras.mixed_precision.set_dtype_policy("float32")


def batches():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 120, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[1::2] += 30
    labels = [CLASSES[i % 2] for i in range(COUNT)]
    return Batches(pixels, np.arange(COUNT), labels, CLASSES, batch_size=16, shuffle=True)


def build(mixed_precision):
    training.set_seed(1, mixed_precision=mixed_precision)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255, dtype="float32")(inputs)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    x = keras.layers.Dense(2, dtype="float32", name="logits")(x)
    model = keras.Model(inputs, keras.layers.Softmax(dtype="float32", name="probabilities")(x))
    model.compile(
        keras.optimizers.Adam(0.02), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def train(folder, mixed_precision, epochs, initial_scale=None):
    model = build(mixed_precision)
    if initial_scale is not None:
        model.optimizer.initial_scale = initial_scale
    history = training.fit(model, batches(), None, folder, epochs, keep="last").history
    return model, history


@pytest.mark.parametrize("mixed_precision", FORMATS)
def test_a_classifier_trains_resumes_and_loads(mixed_precision, tmp_path):
    # So large that the first gradients overflow in float16: those steps are left out and the scale
    # is halved, so that there is a state of the loss scale to resume.
    scale = 2.0**26 if mixed_precision == "float16" else None
    model, history = train(tmp_path / "whole", mixed_precision, 8, scale)
    assert history.loss.iloc[-1] < 0.8 * history.loss.iloc[0]

    x = batches()[0][0]
    assert model.get_layer("conv").compute_dtype == mixed_precision
    inner = keras.Model(model.input, [model.get_layer(n).output for n in ("conv", "logits")])
    conv, logits = inner(x)
    assert keras.backend.standardize_dtype(conv.dtype) == mixed_precision
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert keras.backend.standardize_dtype(model(x).dtype) == "float32"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}

    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (mixed_precision == "float16")
    if scaled:
        reached = float(keras.ops.convert_to_numpy(model.optimizer.dynamic_scale))
        assert 1 < reached < scale
        stored = np.load(tmp_path / "whole" / "checkpoint" / "state-000008.npz")
        assert reached in [stored[name] for name in stored.files if stored[name].shape == ()]

    train(tmp_path / "parts", mixed_precision, 1, scale)
    train(tmp_path / "parts", mixed_precision, 4)
    resumed, again = train(tmp_path / "parts", mixed_precision, 8)
    assert again.equals(history)
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(resumed.predict(x, verbose=0), expected)

    # The saved model keeps its arithmetic, whatever the policy is where it is loaded.
    keras.mixed_precision.set_dtype_policy("float32")
    loaded = keras.saving.load_model(tmp_path / "whole" / "model.keras", compile=False)
    assert loaded.get_layer("conv").compute_dtype == mixed_precision
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
