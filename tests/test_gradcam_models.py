"""Grad-CAM on models of every kind, against gradients taken directly; what it refuses, and how."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest

from common import gradcam
from common.errors import InputError
from common.normalise import InputScaling

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("the reference here is TensorFlow's tape", allow_module_level=True)

layers = keras.layers
SIZE = 8


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(5)


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.float32)


def stem(name="stem"):
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    return keras.Model(inputs, layers.Activation("tanh", name="squash")(x), name=name)


def head(x, classes=3, **options):
    return layers.Dense(classes, **options)(layers.GlobalAveragePooling2D()(x))


def reference(features, scores, images, chosen):
    """Equations 1 and 2 with a tape over two functions: image to map, map to scores."""
    activation = tf.convert_to_tensor(features(images))
    with tf.GradientTape() as tape:
        tape.watch(activation)
        values = scores(activation)
        total = tf.reduce_sum(tf.gather(values, chosen, axis=1, batch_dims=1))
    weights = tf.reduce_mean(tape.gradient(total, activation), axis=(1, 2))
    return np.maximum(np.einsum("nhwk,nk->nhw", activation, weights), 0)


def agrees(model, features, scores, images, layer, chosen=(2, 0, 1), **options):
    found = gradcam.heatmaps(model, images, layer, chosen, normalise=False, **options)
    expected = reference(features, scores, images, list(chosen))
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())


# --- how a model ends --------------------------------------------------------------------------


def ends():
    """Name -> (end of the network as layers on pooled features, its Dense)."""
    dense = lambda **options: layers.Dense(3, name="last", **options)  # noqa: E731
    return {
        "linear": lambda d: [d(dense())],
        "Dense with softmax": lambda d: [d(dense(activation="softmax"))],
        "Softmax layer": lambda d: [d(dense()), layers.Softmax()],
        "Activation": lambda d: [d(dense()), layers.Activation("softmax")],
        "log_softmax": lambda d: [d(dense(activation="log_softmax"))],
        "sigmoids": lambda d: [d(dense(activation="sigmoid"))],
        "operation": lambda d: [d(dense()), keras.ops.softmax],
    }


@pytest.mark.parametrize("end", ends())
def test_scores_are_taken_before_the_softmax(end, images):
    """By itself, and when the softmax's own layer is named."""
    kept = []
    keep = lambda layer: kept.append(layer) or layer  # noqa: E731
    inputs = keras.Input((SIZE, SIZE, 3))
    base = stem()
    x = pooled = layers.GlobalAveragePooling2D()(base(inputs))
    for layer in ends()[end](keep):
        x = layer(x)
    model = keras.Model(inputs, x)
    del pooled
    kernel, bias = kept[0].get_weights()
    scores = lambda a: tf.reduce_mean(a, (1, 2)) @ kernel + bias  # noqa: E731
    agrees(model, base, scores, images, "squash")
    agrees(model, base, scores, images, None)
    agrees(model, base, scores, images, "stem/squash", logits=x._keras_history.operation.name)


def test_a_single_score_speaks_for_class_1_and_against_class_0(images):
    inputs = keras.Input((SIZE, SIZE, 3))
    base = stem()
    last = layers.Dense(1, activation="sigmoid")
    model = keras.Model(inputs, last(layers.GlobalAveragePooling2D()(base(inputs))))
    kernel, bias = last.get_weights()
    both = lambda a: (tf.reduce_mean(a, (1, 2)) @ kernel + bias) * [[-1.0, 1.0]]  # noqa: E731
    for chosen in ((0, 0, 0), (1, 1, 1)):
        agrees(model, base, both, images, "squash", chosen)
    predicted = (np.asarray(model(images))[:, 0] > 0.5).astype(int)
    np.testing.assert_allclose(
        gradcam.heatmaps(model, images), gradcam.heatmaps(model, images, class_index=predicted)
    )


def test_probabilities_that_come_otherwise_are_told(images):
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.ops.exp(head(layers.Conv2D(4, 3)(inputs)) / 100)
    model = keras.Model(inputs, x / keras.ops.sum(x, axis=1, keepdims=True))
    with pytest.raises(InputError, match=r"are probabilities already.* before the softmax"):
        gradcam.heatmaps(model, images)


# --- what a model is ---------------------------------------------------------------------------


def test_the_call_without_names_takes_the_last_map_and_the_output(images):
    model = keras.Sequential([
        keras.Input((SIZE, SIZE, 3)), InputScaling("torch"), layers.Conv2D(5, 3, name="first"),
        layers.Conv2D(6, 3, name="second"), layers.GlobalMaxPooling2D(keepdims=True),
        layers.Flatten(), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    np.testing.assert_array_equal(
        gradcam.heatmaps(model, images), gradcam.heatmaps(model, images, "second")
    )


def test_a_subclassed_model(images):
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.base, self.last = stem(), layers.Dense(3, name="last")

        def call(self, x):
            return keras.ops.softmax(self.last(keras.ops.mean(self.base(x), axis=(1, 2))))

    model = Network()
    with pytest.raises(InputError, match="not built"):
        gradcam.heatmaps(model, images, "squash", logits="last")
    model(images)
    kernel, bias = model.last.get_weights()
    scores = lambda a: tf.reduce_mean(a, (1, 2)) @ kernel + bias  # noqa: E731
    agrees(model, model.base, scores, images, "squash", logits="last")
    with pytest.raises(InputError, match=r"subclassed.* with logits="):
        gradcam.heatmaps(model, images, "squash")
    with pytest.raises(InputError, match="cannot be made anew"):
        gradcam.sanity_check(model, images, "squash", logits="last")


def test_a_layer_that_does_not_run(images):
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.base, self.last, self.spare = stem(), layers.Dense(3, name="last"), stem("spare")
            self.unused = layers.Dense(3, name="unused")
            self.unused.build((None, 4))

        def call(self, x):
            return self.last(keras.ops.mean(self.base(x), axis=(1, 2)))

    model = Network()
    model(images)
    for layer, logits in (("spare", "last"), ("stem", "unused")):
        with pytest.raises(InputError, match=r"(spare|unused)' does not run when the model does"):
            gradcam.heatmaps(model, images, layer, logits=logits)


def test_the_class_is_chosen_in_the_precision_of_the_scores():
    scores = np.array([[0.5, 2.0, -1.0], [3.0, 0.0, 1.0]], np.float32)
    for wanted, expected in ((None, [1, 0]), (np.array([2, 2]), [2, 2])):
        found = np.asarray(gradcam.gradients._one_hot(scores, wanted))
        assert found.dtype == scores.dtype
        np.testing.assert_array_equal(found, np.eye(3)[expected])
        chosen = gradcam.gradients._checked_classes(scores, wanted)
        np.testing.assert_array_equal(chosen, expected)
    level = np.array([[1.0, 2.0, 2.0]], np.float32)  # the first of equal ones
    np.testing.assert_array_equal(gradcam.gradients._one_hot(level, None), np.eye(3)[[1]])


def test_all_layers_in_one_pass(images):
    """Compiled from the second batch on, the last of which is filled: as layer by layer."""
    inputs = keras.Input((SIZE, SIZE, 3))
    first = layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
    second = layers.Conv2D(5, 3, strides=2, activation="relu", name="second")(first)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(second))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    many = np.concatenate([images, images[::-1], images])
    # In another order than they run in, and one of them twice.
    stages = {"b": "second", "a": "first", "c": "second"}
    for method in gradcam.METHODS:
        for batch_size in (4, 100):
            found = list(gradcam.by_stage(model, many, stages, None, method, batch_size))
            outputs = np.concatenate([each for each, _ in found])
            np.testing.assert_allclose(outputs, model.predict(many, verbose=0), atol=1e-6)
            for name, layer in stages.items():
                maps = np.concatenate([each[name] for _, each in found])
                expected = gradcam.heatmaps(model, many, layer, method=method, batch_size=1)
                np.testing.assert_allclose(maps, expected, atol=1e-5)
    with pytest.raises(InputError, match="class_index 3"):
        list(gradcam.by_stage(model, many, stages, 3, batch_size=4))


def test_an_unbuilt_model(images):
    model = keras.Sequential([layers.Conv2D(4, 3, name="maps"), layers.Flatten(), layers.Dense(3)])
    with pytest.raises(InputError, match=r"not built: begin it with an Input"):
        gradcam.heatmaps(model, images, "maps")
    model(images)
    assert gradcam.heatmaps(model, images, "maps").shape == (3, 6, 6)


@pytest.mark.parametrize("wrong", [None, "model.keras", stem, layers.Conv2D(2, 3)])
def test_what_is_no_model(wrong, images):
    with pytest.raises(InputError, match=r"model: a keras.Model is expected, not"):
        gradcam.heatmaps(wrong, images, "conv")


def test_nested_models_with_the_same_names(images):
    inputs = keras.Input((SIZE, SIZE, 3))
    one, other = stem("one"), stem("other")
    joined = layers.Concatenate(name="both")([one(inputs), other(inputs)])
    last = layers.Dense(3)
    model = keras.Model(inputs, last(layers.GlobalAveragePooling2D()(joined)))
    with pytest.raises(InputError, match="near names: one/squash, other/squash"):
        gradcam.heatmaps(model, images, "squash")
    kernel, bias = last.get_weights()
    for name, part, rows in (("one", one, slice(0, 4)), ("other", other, slice(4, 8))):
        scores = lambda a, rows=rows: tf.reduce_mean(a, (1, 2)) @ kernel[rows] + bias  # noqa: E731
        agrees(model, part, scores, images, f"{name}/squash")
        agrees(model, part, scores, images, name)


def test_a_model_inside_a_model_ends_where_the_inner_one_does(images):
    inner = keras.Sequential([
        keras.Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3, name="maps"),
        layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    inputs = keras.Input((SIZE, SIZE, 3))
    outer = keras.Model(inputs, inner(layers.Rescaling(1.0)(inputs)))
    np.testing.assert_allclose(
        gradcam.heatmaps(outer, images), gradcam.heatmaps(inner, images), atol=1e-6
    )


def test_a_backbone_that_is_applied_twice(images):
    """Averaged over the image and its mirror image: two maps, so none."""
    base, last = stem(), layers.Dense(3, name="logits")
    inputs = keras.Input((SIZE, SIZE, 3))
    flipped = layers.Lambda(lambda x: x[:, :, ::-1])(inputs)
    parts = [layers.GlobalAveragePooling2D()(base(x)) for x in (inputs, flipped)]
    model = keras.Model(inputs, last(layers.Average()(parts)))
    for layer in ("squash", "conv", "stem", None):
        with pytest.raises(InputError, match="runs more than once for an image"):
            gradcam.heatmaps(model, images, layer)
    twice = keras.Model(inputs, layers.Average()([last(each) for each in parts]))
    aside = layers.Conv2D(2, 1, name="aside")(inputs)
    other = keras.Model(inputs, twice(inputs) + head(aside))
    with pytest.raises(InputError, match=r"'logits' runs more than once .* with logits="):
        gradcam.heatmaps(other, images, "aside", logits="logits")


def test_several_outputs(images):
    inputs = keras.Input((SIZE, SIZE, 3))
    base = stem()
    x = base(inputs)
    first, second = layers.Dense(3, name="grade"), layers.Dense(2, name="kind")
    pooled = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, {"grade": first(pooled), "kind": second(pooled)})
    with pytest.raises(InputError, match=r"has 2 outputs \(.*\): name the layer .* with logits="):
        gradcam.heatmaps(model, images, "squash")
    for last, chosen in ((first, (2, 0, 1)), (second, (1, 0, 1))):
        kernel, bias = last.get_weights()
        scores = lambda a, k=kernel, b=bias: tf.reduce_mean(a, (1, 2)) @ k + b  # noqa: E731
        agrees(model, base, scores, images, "squash", chosen, logits=last.name)


def test_a_model_that_takes_its_image_in_a_list_or_by_name(images):
    """And is as still as another: nothing is dropped."""
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    output = head(layers.Dropout(0.5)(stem()(inputs)))
    plain = gradcam.heatmaps(keras.Model(inputs, output), images, "squash", 1)
    for structure in ([inputs], {"image": inputs}):
        found = gradcam.heatmaps(keras.Model(structure, output), images, "squash", 1)
        np.testing.assert_array_equal(found, plain)


def test_models_that_take_something_else(images):
    one, age = keras.Input((SIZE, SIZE, 3), name="image"), keras.Input((1,), name="age")
    two = keras.Model([one, age], head(layers.Conv2D(2, 3, name="maps")(one)) + age)
    with pytest.raises(InputError, match=r"has 2 inputs \(image, age\); a map explains one image"):
        gradcam.heatmaps(two, images, "maps")
    flat = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    with pytest.raises(InputError, match=r"takes \(None, 5\), not images"):
        gradcam.heatmaps(flat, images, "dense")
    with pytest.raises(InputError, match="shows no layer with a feature map"):
        gradcam.heatmaps(keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()]), images)
    whole = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(2, 3, name="maps")])
    with pytest.raises(InputError, match=r"gives no class scores \(N, classes\)"):
        gradcam.heatmaps(whole, images)


# --- images and classes ------------------------------------------------------------------------


def scaled(*first):
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *first, layers.Conv2D(4, 3)])
    return keras.Model(model.inputs, head(model.outputs[0]))


def test_images_on_another_scale_than_the_model_s(images):
    adapted, white = layers.Normalization(), layers.Normalization()
    adapted.adapt(images / 255)
    white.adapt(images)
    for model in map(scaled, (InputScaling("tf"), layers.Rescaling(1 / 255), white)):
        with pytest.raises(InputError, match=r"from \[0, 255\] itself.*multiply them by 255"):
            gradcam.heatmaps(model, images / 255)
        for wrong in (images - 10, images + 10):
            with pytest.raises(InputError, match=r"from \[0, 255\] itself, these lie in \["):
                gradcam.heatmaps(model, wrong)
        black = np.zeros_like(images)
        assert len(gradcam.heatmaps(model, images)) == len(gradcam.heatmaps(model, black)) == 3
        assert len(gradcam.heatmaps(model, (images > 99).astype(np.uint8))) == 3
    for model in map(scaled, (layers.Rescaling(2, offset=-1), adapted)):
        with pytest.raises(InputError, match=r"pixels in \[0, 1\], these reach .*divide them"):
            gradcam.heatmaps(model, images)
        assert len(gradcam.heatmaps(model, images / 255)) == 3


@pytest.mark.parametrize("variance", [1.5, 10.0])
def test_a_normalization_that_fits_neither_scale_says_nothing(images, variance):
    model = scaled(layers.Normalization(mean=0.5, variance=variance))
    assert len(gradcam.heatmaps(model, images)) == len(gradcam.heatmaps(model, images / 255)) == 3


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), ("x", "uint8 or float"),
        (1j, "uint8 or float"), (None, "uint8 or float"), (True, "uint8 or float"),
    ],
)  # fmt: skip
def test_pixels_that_are_none(images, wrong, words):
    array = images.astype(bool if wrong is True else object if wrong is None else type(wrong))
    array[1, 2, 3, 0] = wrong
    with pytest.raises(InputError, match=f"images: .*{words}"):
        gradcam.heatmaps(scaled(), array)


@pytest.mark.parametrize(
    "wrong",
    [
        -1, 3, 10**30, 1.0, 0.5, True, np.nan, None.__class__, "1", b"1", [0, 1], [0, 1, 3],
        [0, 1, -1], [[0], [1], [2]], [0.0, 1.0, 2.0], [True, False, True], ["a", "b", "c"],
        [0, np.nan, 1], [None, 0, 1], [[0, 1], [2]], {}, {0}, np.uint64(2**64 - 1),
        np.zeros((3, 0), int), 1 + 0j, np.array(2, "datetime64[s]"),
    ],
)  # fmt: skip
def test_class_index_of_every_wrong_kind(images, wrong):
    with pytest.raises(InputError, match="class_index"):
        gradcam.heatmaps(scaled(), images, class_index=wrong)


@pytest.mark.parametrize(
    "right", [2, np.int8(2), np.uint64(2), [2, 2, 2], (2, 2, 2), np.full(3, 2)]
)
def test_class_index_of_every_right_kind(images, right):
    model = scaled()
    np.testing.assert_array_equal(
        gradcam.heatmaps(model, images, class_index=right),
        gradcam.heatmaps(model, images, class_index=np.array([2, 2, 2])),
    )


def test_weights_that_hold_nan(images):
    model = scaled()
    model.set_weights([np.full_like(each, np.nan) for each in model.get_weights()])
    with pytest.raises(InputError, match="class scores are not finite"):
        gradcam.heatmaps(model, images)


def test_nothing_is_left_changed(images):
    """Neither by a call that succeeds nor by one that is refused in its middle."""
    inputs = keras.Input((SIZE, SIZE, 3))
    last = layers.Dense(3, activation="softmax")
    model = keras.Model(inputs, last(layers.GlobalAveragePooling2D()(stem()(inputs))))
    before = np.asarray(model(images))
    gradcam.heatmaps(model, images)
    with pytest.raises(InputError):
        gradcam.heatmaps(model, images, class_index=9)
    assert last.activation is keras.activations.softmax
    assert "call" not in last.__dict__
    np.testing.assert_array_equal(model(images), before)


def test_tensorflow_is_quiet_while_maps_are_made_and_as_before_afterwards():
    logger = tf.get_logger()
    level = logger.level
    with gradcam.gradients._quiet_tensorflow():
        assert logger.level == logging.ERROR
    assert logger.level == level != logging.ERROR
