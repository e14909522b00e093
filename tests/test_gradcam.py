"""Grad-CAM on networks whose maps can be worked out by hand, and on both backends."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import textwrap
import types

import keras
import numpy as np
import pytest

from common import gradcam
from common.backbones import NETWORKS, classifier, gradcam_layers
from common.errors import InputError

# Class 0 likes channel 0 and dislikes channel 1, class 1 the reverse.
WEIGHTS = np.array([[2.0, -1.0], [-1.0, 3.0]], np.float32)


def linear_network(size=4):
    """Red and blue, passed on as two feature maps, averaged and weighted."""
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(2, 1, use_bias=False, name="maps")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(2, name="logits")(x)
    model = keras.Model(inputs, keras.layers.Softmax(name="probabilities")(x))
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, 0, 0] = kernel[0, 0, 2, 1] = 1
    model.get_layer("maps").set_weights([kernel])
    model.get_layer("logits").set_weights([WEIGHTS, np.zeros(2, np.float32)])
    return model


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("chosen", [0, 1])
def test_gradcam_by_hand(images, chosen):
    # d score / d A_k = w_k / 16 everywhere, and so is its mean (equation 1).
    red, blue = images[..., 0].astype(float), images[..., 2].astype(float)
    raw = np.maximum(WEIGHTS[0, chosen] * red + WEIGHTS[1, chosen] * blue, 0) / 16
    maps = gradcam.heatmaps(linear_network(), images, "maps", chosen, normalise=False)
    assert maps.dtype == np.float32 and maps.shape == (5, 4, 4)
    np.testing.assert_allclose(maps, raw, rtol=1e-5, atol=1e-5)
    normalised = gradcam.heatmaps(linear_network(), images, "maps", chosen, batch_size=2)
    np.testing.assert_allclose(normalised, raw / raw.max(axis=(1, 2), keepdims=True), atol=1e-6)


def test_gradcam_plus_plus_by_hand(images):
    """With a constant gradient g: alpha = 1 / (2 + g sum A), weight = 16 alpha max(g, 0)."""
    red = images[..., 0].astype(float)
    g = 2 / 16  # class 0; channel 1 has a negative gradient and drops out
    weight = 16 * g / (2 + g * red.sum(axis=(1, 2), keepdims=True))
    maps = gradcam.heatmaps(
        linear_network(), images, "maps", 0, method="gradcam++", normalise=False
    )
    np.testing.assert_allclose(maps, weight * red, rtol=1e-5)


def test_default_class_is_the_predicted_one(images):
    model = linear_network()
    images[::2, ..., 0] //= 2  # less red: class 1
    images[1::2, ..., 2] //= 4
    predicted = np.asarray(model(images)).argmax(axis=1)
    assert predicted.tolist() == [1, 0, 1, 0, 1]
    maps = gradcam.heatmaps(model, images, "maps", normalise=False)
    for i, chosen in enumerate(predicted):
        one = gradcam.heatmaps(model, images[i : i + 1], "maps", int(chosen), normalise=False)
        np.testing.assert_allclose(maps[i], one[0], rtol=1e-6)
    same = gradcam.heatmaps(model, images, "maps", predicted, batch_size=2, normalise=False)
    np.testing.assert_allclose(same, maps, rtol=1e-6)


def test_no_evidence_is_zero():
    black = np.zeros((1, 4, 4, 3), np.uint8)
    for method in gradcam.METHODS:
        assert not gradcam.heatmaps(linear_network(), black, "maps", 0, method).any()


def branched_network():
    """A layer whose output is used three times: convolved, added and concatenated."""
    inputs = keras.Input((8, 8, 3))
    a = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="a")(inputs)
    b = keras.layers.BatchNormalization(name="norm")(a)
    b = keras.layers.Conv2D(4, 3, padding="same", name="b")(b)
    x = keras.layers.Add(name="sum")([a, b])
    x = keras.layers.Concatenate(name="both")([a, keras.layers.Activation("relu")(x)])
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(3, name="logits")(x)
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(x))


def test_gradient_passes_every_branch():
    """Against the gradient by finite differences of the rest of the network."""
    keras.utils.set_random_seed(0)
    model = branched_network()
    x = np.random.default_rng(2).uniform(0, 1, (1, 8, 8, 3)).astype(np.float32)
    a = np.asarray(keras.Model(model.input, model.get_layer("a").output)(x))

    def scores(a):
        b = model.get_layer("b")(model.get_layer("norm")(a, training=False))
        x = np.concatenate([a, np.maximum(a + np.asarray(b), 0)], axis=-1).mean(axis=(1, 2))
        kernel, bias = model.get_layer("logits").get_weights()
        return (x @ kernel + bias)[0]

    step, gradient = 1e-2, np.zeros((*a.shape, 3))
    for index in np.ndindex(a.shape):
        change = np.zeros_like(a)
        change[index] = step
        gradient[index] = (scores(a + change) - scores(a - change)) / (2 * step)
    expected = np.maximum(np.einsum("nhwk,kc->cnhw", a, gradient.mean(axis=(0, 1, 2))), 0)
    assert expected.max() > 1e-3
    for chosen in range(3):
        maps = gradcam.heatmaps(model, x, "a", chosen, normalise=False)
        np.testing.assert_allclose(maps, expected[chosen], atol=0.02 * expected.max())


def test_changes_nothing(images):
    model = linear_network()
    before, training = np.asarray(model(images)), {la.name: la.call for la in model.layers}
    gradcam.heatmaps(model, images, "maps")
    np.testing.assert_array_equal(model(images), before)
    assert {la.name: la.call for la in model.layers} == training
    with pytest.raises(InputError, match="no feature map"):
        gradcam.heatmaps(model, images, "logits")
    assert {la.name: la.call for la in model.layers} == training


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "map"}, "no layer 'map'; near names: maps"),
        ({"layer": "xyz"}, "the last is probabilities"),
        ({"layer": "logits"}, r"'logits' has no feature map .* \(5, 2\)"),
        ({"layer": "maps", "logits": "logit"}, "no layer 'logit'; near names: logits"),
        ({"layer": "maps", "class_index": 2}, "classes 0 to 1"),
        ({"layer": "maps", "class_index": -1}, "classes 0 to 1"),
        ({"layer": "maps", "class_index": [0, 0, 1, 9, 0]}, "class_index 9: the model has"),
        ({"layer": "maps", "method": "cam"}, "unknown method 'cam'"),
        ({"layer": "maps", "batch_size": 0}, "at least 1"),
    ],
)
def test_errors(images, arguments, message):
    with pytest.raises(InputError, match=message):
        gradcam.heatmaps(linear_network(), images, **arguments)


def test_wrong_images(images):
    for wrong in (images[0], images[:, :3], images[..., :1]):
        with pytest.raises(InputError, match=r"takes images \(N, 4, 4, 3\)"):
            gradcam.heatmaps(linear_network(), wrong, "maps")
    with pytest.raises(InputError, match="no images"):
        gradcam.heatmaps(linear_network(), images[:0], "maps")


def test_layer_without_influence(images):
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    logits = keras.layers.Dense(2, name="logits")(x)
    aside = keras.layers.Conv2D(1, 1, name="aside")(inputs)
    model = keras.Model(inputs, [logits, aside])
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(InputError, match="no influence"):
            gradcam.heatmaps(model, images, "aside", 0)


def test_nested_layers_are_found(images):
    inputs = keras.Input((4, 4, 3))
    inner = keras.Sequential([keras.layers.Conv2D(2, 1, name="inner")], name="stem")
    x = keras.layers.GlobalAveragePooling2D()(inner(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
    kernel = np.abs(inner.layers[0].get_weights()[0])
    inner.layers[0].set_weights([kernel, np.zeros(2, np.float32)])
    model.get_layer("logits").set_weights([WEIGHTS, np.zeros(2, np.float32)])
    np.testing.assert_allclose(
        gradcam.heatmaps(model, images, "inner"), gradcam.heatmaps(model, images, "stem")
    )


def squares(n=4, size=32):
    """Blue squares on red, and where they are."""
    rng = np.random.default_rng(3)
    images = np.zeros((n, size, size, 3), np.uint8)
    images[..., 0] = 120
    masks = np.zeros((n, size, size), bool)
    for image, mask in zip(images, masks, strict=True):
        y, x = rng.integers(0, size - 8, 2)
        mask[y : y + 8, x : x + 8] = True
        image[mask] = 0, 0, 255
    return images, masks


@pytest.mark.parametrize("method", gradcam.METHODS)
def test_map_lies_on_the_signal(method):
    images, masks = squares()
    maps = gradcam.heatmaps(linear_network(32), images, "maps", 1, method)
    assert gradcam.pointing_game(maps, masks) == 1
    assert gradcam.pointing_game(maps, ~masks) == 0
    np.testing.assert_allclose(maps, masks, atol=1e-6)


def test_pointing_game_by_hand():
    maps = np.zeros((4, 2, 2), np.float32)
    maps[0, 0, 0] = maps[1, 0, 1] = maps[2, 1, 1] = 1  # the fourth shows no evidence: a miss
    masks = np.zeros((4, 8, 8), np.uint8)
    masks[:, :4, :4] = 1
    assert gradcam.pointing_game(maps, masks) == 0.25
    assert gradcam.pointing_game(maps[:1], masks[:1]) == 1
    with pytest.raises(InputError, match="one mask per map"):
        gradcam.pointing_game(maps, masks[:3])


def test_overlay_by_hand():
    image = np.full((4, 4, 3), 100, np.uint8)
    heatmap = np.zeros((4, 4), np.float32)
    heatmap[0, 0] = 1
    result = gradcam.overlay(image, heatmap, alpha=0.5)
    assert result.dtype == np.uint8 and result.shape == (4, 4, 3)
    # Jet: 0 is (0, 0, 128), 1 is (128, 0, 0).
    assert result[3, 3].tolist() == [50, 50, 114]
    assert result[0, 0].tolist() == [114, 50, 50]
    np.testing.assert_array_equal(gradcam.overlay(image, heatmap, alpha=0), image)
    assert gradcam.overlay(np.zeros((30, 40, 3), np.uint8), heatmap).shape == (30, 40, 3)


@pytest.mark.parametrize(
    ("shape", "heatmap", "alpha", "message"),
    [
        ((4, 4), np.zeros((2, 2)), 0.4, "RGB image and one map"),
        ((4, 4, 3), np.zeros((1, 2, 2)), 0.4, "RGB image and one map"),
        ((4, 4, 3), np.full((2, 2), 2.0), 0.4, "normalise=True"),
        ((4, 4, 3), np.full((2, 2), np.nan), 0.4, "normalise=True"),
        ((4, 4, 3), np.zeros((2, 2)), 1.4, "alpha"),
    ],
)
def test_overlay_errors(shape, heatmap, alpha, message):
    with pytest.raises(InputError, match=message):
        gradcam.overlay(np.zeros(shape, np.uint8), heatmap, alpha)


def test_sanity_check():
    images, _ = squares()
    noise = np.random.default_rng(1).integers(0, 60, images.shape)
    images = (images // 2 + noise).astype(np.uint8)
    model = linear_network(32)
    state = random.getstate()
    weights = model.get_weights()
    first = gradcam.sanity_check(model, images, "maps", seed=4)
    assert random.getstate() == state
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    assert first.shape == (4,) and (np.abs(first[~np.isnan(first)]) <= 1 + 1e-9).all()
    np.testing.assert_array_equal(first, gradcam.sanity_check(model, images, "maps", seed=4))
    assert not np.array_equal(first, gradcam.sanity_check(model, images, "maps", seed=5))


def test_sanity_check_is_a_rank_correlation(monkeypatch):
    """Spearman's coefficient of scipy as the oracle; a constant map has none."""
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    pair = [rng.random((3, 5, 5)).round(1), rng.random((3, 5, 5)).round(1)]
    pair[1][2] = 0
    answers = iter(pair)
    explained = lambda *args: (next(answers), np.zeros(3, int))  # noqa: E731
    monkeypatch.setattr(gradcam.checks, "explained", explained)
    result = gradcam.sanity_check(linear_network(), np.zeros((3, 4, 4, 3), np.uint8), "maps")
    expected = [spearmanr(pair[0][i].ravel(), pair[1][i].ravel()).statistic for i in range(2)]
    np.testing.assert_allclose(result[:2], expected, atol=1e-12)
    assert np.isnan(result[2])


@pytest.mark.parametrize(
    "name",
    [n if n == "mobilenet" else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS],
)
def test_every_stage_of_every_network(name):
    keras.utils.set_random_seed(1)
    size = max(64, NETWORKS[name].smallest_size + 32)
    model = classifier(name, size, 3)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    sides = []
    for layer in gradcam_layers(name).values():
        # Grad-CAM++ takes positive gradients alone: random weights do not cancel to nothing.
        maps = gradcam.heatmaps(model, images, layer, method="gradcam++")
        assert np.isfinite(maps).all() and maps.min() >= 0
        assert (maps.max(axis=(1, 2)) == 1).all()
        sides.append(maps.shape[1])
    assert sides == sorted(sides, reverse=True) and len(set(sides)) == len(sides)
    with pytest.raises(InputError, match="near names: .*" + layer):
        gradcam.heatmaps(model, images, layer + "x")


def test_mixed_precision():
    images, masks = squares()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = linear_network(32)
        maps = gradcam.heatmaps(model, images, "maps", 1)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert maps.dtype == np.float32 and gradcam.pointing_game(maps, masks) == 1


JAX = textwrap.dedent("""
    import sys
    from pathlib import Path

    import keras
    import numpy as np

    from common import gradcam, normalise

    assert keras.backend.backend() == "jax"
    folder = Path(sys.argv[1])
    model = keras.models.load_model(folder / "model.keras")
    images = np.load(folder / "images.npy")
    classes = np.arange(len(images)) % 3
    for layer in sys.argv[2:]:
        for method in gradcam.METHODS:
            maps = gradcam.heatmaps(model, images, layer, classes, method, 2, normalise=False)
            np.save(folder / f"{layer}-{method}.npy", maps)
    assert "tensorflow" not in sys.modules
""")


def compare_with_jax(model, images, layers, folder):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    model.save(folder / "model.keras")
    np.save(folder / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", JAX, str(folder), *layers],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for layer in layers:
        for method in gradcam.METHODS:
            classes = np.arange(len(images)) % 3
            ours = gradcam.heatmaps(model, images, layer, classes, method, normalise=False)
            theirs = np.load(folder / f"{layer}-{method}.npy")
            assert ours.max() > 0
            np.testing.assert_allclose(theirs, ours, atol=1e-4 * ours.max())


def test_jax_agrees(tmp_path):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    compare_with_jax(branched_network(), images, ["a", "sum", "both"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet", "resnet50"])
def test_jax_agrees_on_an_application(name, tmp_path):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(2).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    layers = list(gradcam_layers(name).values())[-2:]
    compare_with_jax(classifier(name, 64, 3), images, layers, tmp_path)


@pytest.mark.parametrize(
    ("stage", "words"), [("stage_1", "Stage 1"), ("fused", "Fused"), ("resnet101", "Resnet101")]
)
def test_stages_are_called_in_words(stage, words):
    assert gradcam.title(stage) == words


def test_stages_are_those_that_the_model_noted_or_the_network_has():
    run = types.SimpleNamespace(record={}, config={"network": "vgg16"})
    assert gradcam.stages(run) == gradcam_layers("vgg16")
    run.record = {"gradcam_layers": {"fused": "sum"}}
    assert gradcam.stages(run) == {"fused": "sum"}


def test_up_to_five_near_names_are_given(images):
    inputs = x = keras.Input((4, 4, 3))
    for i in range(6):
        x = keras.layers.Activation("relu", name=f"maps_{i}")(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    with pytest.raises(InputError, match=r"near names: (maps_\d, ){4}maps_\d$"):
        gradcam.heatmaps(model, images, "maps_x")
