"""Every network: parameter counts, own scaling, weights files, save and load, flat layers."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import textwrap
from typing import get_args, get_type_hints

import keras
import numpy as np
import pytest

from common import networks
from common.backbones import (
    NETWORKS,
    build,
    classifier,
    features,
    flat,
    freeze,
    gradcam_layers,
    multiply_accumulates,
    parameters,
    weights,
)
from common.errors import InputError
from common.normalise import InputScaling

# Parameters with the 1000 ImageNet classes, from the table in Keras' documentation of its
# applications (ResNet50 25.6M, ...) and each model's summary(). VGG: with the two dense layers.
PUBLISHED = {
    "convnext_tiny": 28_589_128,
    "resnet50": 25_636_712,
    "resnet101": 44_707_176,
    "inception_v3": 23_851_784,
    "mobilenet_v2": 3_538_984,
    "densenet201": 20_242_984,
    "nasnet_mobile": 5_326_716,
    "mobilenet": 4_253_864,
    "xception": 22_910_480,
}
# Without the classifier, where the published number above has dense layers that we replace.
NOTOP = {"vgg16": 14_714_688, "vgg19": 20_024_384}
VGG19_WITH_TOP = 143_667_240

PREPROCESS = {
    "convnext_tiny": "convnext",
    "resnet50": "resnet50",
    "resnet101": "resnet",
    "nasnet_mobile": "nasnet",
    "densenet201": "densenet",
}
FAST = ("mobilenet", "vgg16")


def by_speed(names=tuple(NETWORKS), fast=FAST):
    return [n if n in fast else pytest.param(n, marks=pytest.mark.slow) for n in names]


def size_of(name):
    """Smallest size with a last feature map of at least 2x2."""
    return max(64, NETWORKS[name].smallest_size + 32)


def pixels(size, n=2):
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def save_legacy(model, path):
    """Write weights in the format of the files that Keras downloads."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.fixture
def keep_policy():
    yield
    keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize("name", by_speed())
def test_trains_saves_and_loads(name, tmp_path):
    keras.utils.set_random_seed(3)
    size = size_of(name)
    model = classifier(name, size, 1000 if name in PUBLISHED else 3)
    count = parameters(model)
    assert count["total"] == count["trainable"] + count["non_trainable"] == model.count_params()
    if name in PUBLISHED:
        assert count["total"] == PUBLISHED[name]
    else:
        assert count["total"] == NOTOP[name] + 3 * 513

    nested = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    expected = ["stem", *(f"downsampling_block_{i}" for i in range(3))]
    assert nested == ([f"convnext_tiny_{p}" for p in expected] if name == "convnext_tiny" else [])
    assert [layer.name for layer in model.layers][-2:] == ["logits", "probabilities"]
    for layer in gradcam_layers(name).values():
        assert len(model.get_layer(layer).output.shape) == 4
        # Connected to this model's input, not to a forgotten one.
        keras.Model(model.input, model.get_layer(layer).output)

    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    before = model.get_layer("logits").get_weights()[0]
    labels = np.eye(model.output.shape[-1], dtype=np.float32)[:2]
    loss = model.train_on_batch(pixels(size).astype(np.float32), labels)
    assert np.isfinite(loss)
    assert not np.array_equal(model.get_layer("logits").get_weights()[0], before)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    result = keras.ops.convert_to_numpy(loaded(pixels(size), training=False))
    np.testing.assert_allclose(result, model(pixels(size), training=False), atol=1e-6)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", by_speed(fast=("mobilenet_v2", "vgg16")))
def test_equals_the_application_on_preprocessed_input(name, tmp_path):
    """Oracle for scaling, weights file and reconnection: Keras' application, used as documented."""
    size = size_of(name)
    application = getattr(keras.applications, NETWORKS[name].application)(
        include_top=False,
        weights=None,
        input_shape=(size, size, 3),
    )
    rng = np.random.default_rng(0)
    for layer in application.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Statistics other than 0 and 1, else a lost one would go unnoticed.
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, layer.moving_mean.shape))
        elif hasattr(layer, "gamma") and layer.name.endswith("layer_scale"):
            # 1e-6 at the start: ConvNeXt's blocks would not show in the output.
            layer.gamma.assign(rng.uniform(0.1, 1, layer.gamma.shape))
    preprocess = getattr(keras.applications, PREPROCESS.get(name, name)).preprocess_input
    expected = application(preprocess(pixels(size).astype(np.float32)), training=False)

    if name == "convnext_tiny":
        # Ours leaves out the Normalization layer; the format of the downloaded files allows that.
        file = tmp_path / "network.h5"
        save_legacy(application, file)
    else:
        file = tmp_path / "network.weights.h5"
        application.save_weights(file)
    inputs, feature_map = features(name, size, weights=file)
    result = keras.Model(inputs, feature_map)(pixels(size), training=False)
    scale = np.abs(expected).max()
    assert scale > 1e-3
    np.testing.assert_allclose(result / scale, expected / scale, atol=1e-5)


@pytest.mark.slow
def test_vgg19_keeps_its_dense_layers(tmp_path):
    name = "vgg19"
    application = keras.applications.VGG19(weights=None)
    file = tmp_path / "top.weights.h5"
    application.save_weights(file)
    model = classifier(name, 224, 1000, keep_top_dense=True, weights=file)
    assert parameters(model)["total"] == VGG19_WITH_TOP
    names = [layer.name for layer in model.layers]
    assert names[-7:] == [
        "flatten", "fc1", "fc1_dropout", "fc2", "fc2_dropout", "logits", "probabilities",
    ]  # fmt: skip
    assert model.get_layer("fc2_dropout").rate == 0.5
    module = getattr(keras.applications, name)
    x = pixels(224, 1)
    fc2 = keras.Model(application.input, application.get_layer("fc2").output)
    expected = fc2(module.preprocess_input(x.astype(np.float32)))
    result = keras.Model(model.input, model.get_layer("fc2").output)(x)
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)
    frozen = freeze(model, "all", name)
    assert frozen[-1] == "block5_pool" and model.get_layer("fc1").trainable

    notop = tmp_path / "notop.weights.h5"
    weights.construct(NETWORKS[name], 224, None, False).save_weights(notop)
    with pytest.raises(InputError, match=r"include_top=True\), 1\d\d,\d\d\d,\d\d\d parameters"):
        classifier(name, 224, 2, keep_top_dense=True, weights=notop)


def test_dense_layers_that_are_kept_have_dropout_behind_each(monkeypatch):
    """On a small network with VGG's names, since VGG's own dense layers weigh half a gigabyte."""
    inputs = keras.Input((224, 224, 3))
    x = keras.layers.Conv2D(2, 1, strides=32, activation="relu", name="block5_pool")(inputs)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(4, activation="relu", name="fc1")(x)
    x = keras.layers.Dense(3, activation="relu", name="fc2")(x)
    application = keras.Model(inputs, keras.layers.Dense(1000, name="predictions")(x))
    monkeypatch.setattr(build, "load", lambda *args, include_top: include_top and application)
    monkeypatch.setattr(flat, "_layer_names", {})
    for dropout, rate in ((None, 0.5), (0.25, 0.25)):
        model = classifier("vgg16", 224, 2, keep_top_dense=True, dropout=dropout, prefix="a_")
        names = [layer.name for layer in model.layers]
        assert names[-8:] == [
            "a_block5_pool", "a_flatten", "a_fc1", "a_fc1_dropout", "a_fc2", "a_fc2_dropout",
            "logits", "probabilities",
        ]  # fmt: skip
        assert [model.get_layer(f"a_{name}_dropout").rate for name in ("fc1", "fc2")] == [rate] * 2
        for name in ("fc1", "fc2"):
            kept, given = (
                m.get_layer(n).get_weights()[0]
                for m, n in ((model, f"a_{name}"), (application, name))
            )
            np.testing.assert_array_equal(kept, given)


def test_keep_top_dense_is_refused_elsewhere():
    with pytest.raises(InputError, match="224 px images only, not 160"):
        classifier("vgg19", 160, 2, keep_top_dense=True)
    with pytest.raises(InputError, match="only vgg16 and vgg19"):
        classifier("resnet50", 224, 2, keep_top_dense=True)
    with pytest.raises(InputError, match="give no other head"):
        classifier("vgg19", 224, 2, keep_top_dense=True, head=keras.layers.Flatten())


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NETWORKS))
def test_builds_at_the_smallest_size_and_not_below(name):
    smallest = NETWORKS[name].smallest_size
    inputs, feature_map = features(name, smallest)
    assert np.isfinite(keras.Model(inputs, feature_map)(pixels(smallest))).all()
    with pytest.raises(ValueError, match="Input size must be at least"):
        weights.construct(NETWORKS[name], smallest - 1, None, False)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_too_small_an_image_is_refused(name):
    smallest = NETWORKS[name].smallest_size
    with pytest.raises(InputError, match=f"{name} needs images of at least {smallest} px"):
        classifier(name, smallest - 1, 2)


def test_unknown_network_lists_the_known():
    with pytest.raises(InputError, match=r"unknown network 'resnet34'.*resnet50"):
        classifier("resnet34", 64, 2)
    with pytest.raises(InputError, match="unknown network"):
        gradcam_layers("resnet34")


def test_one_class_is_refused():
    with pytest.raises(InputError, match="at least 2 classes"):
        classifier("mobilenet", 64, 1)


def test_batch_norm_momentum():
    def momenta(**arguments):
        inputs, feature_map = features("mobilenet_v2", 32, **arguments)
        return {
            layer.momentum
            for layer in keras.Model(inputs, feature_map).layers
            if isinstance(layer, keras.layers.BatchNormalization)
        }

    assert momenta() == {0.9}
    assert momenta(bn_momentum=None) == {0.999}


def test_names_do_not_depend_on_what_was_built_before():
    names = []
    for _ in range(2):
        model = classifier("xception", 71, 2)
        names.append([layer.name for layer in model.layers])
        keras.layers.Conv2D(1, 1)  # moves Keras' counter on
    assert names[0] == names[1]
    assert {"xception_conv2d", "xception_conv2d_3", "xception_add_11"} <= set(names[0])


def test_two_networks_share_one_input():
    """`conv1_conv`-like clashes (two networks with equal layer names) are solved by the prefix."""
    inputs, a = features("mobilenet", 64, prefix="a_")
    same, b = features("mobilenet", 64, prefix="b_", inputs=inputs)
    assert same is inputs
    x = keras.layers.Concatenate()([a, b])
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    assert parameters(model)["total"] == 2 * 3_228_864 + 2 * 2049
    assert model.get_layer("a_conv_pw_13_relu") is not model.get_layer("b_conv_pw_13_relu")
    assert gradcam_layers("mobilenet", "b_")["stage_4"] == "b_conv_pw_13_relu"
    frozen = freeze(model, "all", "mobilenet", prefix="b_")
    assert all(name.startswith("b_") for name in frozen)
    assert parameters(model)["non_trainable"] == 3_228_864 + 21_888
    with pytest.raises(InputError, match="not part of the model"):
        freeze(model, "all", "mobilenet")


def test_freeze_counts_along_the_application():
    application = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    for layer in application.layers[:20]:
        layer.trainable = False
    expected = sum(v.shape.num_elements() for v in application.trainable_weights)
    model = classifier("mobilenet", 64, 2)
    # Keras' default momentum, 0.99, is not above 0.99.
    assert model.get_layer("conv1_bn").momentum == 0.99
    total = parameters(model)
    assert len(freeze(model, 20, "mobilenet")) == 19  # the input layer is counted, not frozen
    assert parameters(model)["trainable"] == expected + 2 * 1025
    assert parameters(model)["total"] == total["total"]
    assert freeze(model, 0, "mobilenet") == []
    with pytest.raises(InputError, match="0 to 86, or 'all'"):
        freeze(model, 87, "mobilenet")


def test_freeze_knows_the_layers_of_a_loaded_model(monkeypatch):
    """A process that loads a model never built the application."""
    model = classifier("mobilenet", 64, 2)
    first = freeze(model, 30, "mobilenet")
    monkeypatch.setattr(flat, "_layer_names", {})
    state = random.getstate()
    assert freeze(model, 30, "mobilenet") == first
    assert random.getstate() == state


def test_head_and_dropout():
    def head(x):
        x = keras.layers.GlobalMaxPooling2D()(x)
        return keras.layers.Dense(7, activation="relu", name="hidden")(x)

    model = classifier("mobilenet", 64, 3, head=head)
    assert model.get_layer("logits").input is model.get_layer("hidden").output
    assert parameters(model)["total"] == 3_228_864 + 1024 * 7 + 7 + 7 * 3 + 3
    assert classifier("mobilenet", 64, 3, dropout=0.3).get_layer("dropout").rate == 0.3
    with pytest.raises(InputError, match="dropout belongs to the default head"):
        classifier("mobilenet", 64, 3, head=head, dropout=0.5)


def test_mixed_precision_ends_in_float32(keep_policy):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    model = classifier("mobilenet", 64, 3)
    assert model.get_layer("input_scaling").compute_dtype == "float32"
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model.get_layer("conv1").variable_dtype == "float32"
    assert model.get_layer("logits").compute_dtype == "float32"
    assert keras.backend.standardize_dtype(model(pixels(64)).dtype) == "float32"


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [
        ("own", {"scale": "tf", "mean": None, "per_image": False}),
        ("none", {"scale": "raw", "mean": None, "per_image": False}),
        ("dataset", {"scale": "tf", "mean": [0.8, 0.6, 0.7], "per_image": False}),
        ("imagenet", {"scale": "tf", "mean": [0.485, 0.456, 0.406], "per_image": False}),
        ("per_image", {"scale": "tf", "mean": None, "per_image": True}),
    ],
)
def test_normalisation(normalisation, expected):
    mean, std = ((0.8, 0.6, 0.7), (0.1, 0.2, 0.15)) if normalisation == "dataset" else (None, None)
    inputs, feature_map = features("mobilenet", 32, normalisation=normalisation, mean=mean, std=std)
    config = keras.Model(inputs, feature_map).get_layer("input_scaling").get_config()
    assert {key: config[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalisation": "z"}, "unknown normalisation 'z'"),
        ({"normalisation": "dataset"}, "needs the mean and std"),
        ({"normalisation": "dataset", "mean": (0.5,) * 3}, "needs the mean and std"),
        ({"normalisation": "dataset", "std": (0.5,) * 3}, "needs the mean and std"),
        ({"mean": (0.5,) * 3, "std": (0.1,) * 3}, "'own' uses none"),
        ({"normalisation": "dataset", "mean": (99.0,) * 3, "std": (9.0,) * 3}, "grey levels"),
    ],
)
def test_normalisation_errors(arguments, message):
    with pytest.raises(InputError, match=message):
        features("mobilenet", 32, **arguments)


def test_same_seed_same_weights():
    def build():
        keras.utils.set_random_seed(5)
        return classifier("mobilenet", 32, 2).get_weights()

    for a, b in zip(build(), build(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def weights_files(tmp_path_factory):
    """Weights of MobileNet in every format that Keras writes."""
    folder = tmp_path_factory.mktemp("weights")
    network = weights.construct(NETWORKS["mobilenet"], 64, None, False)
    network.save_weights(folder / "a.weights.h5")
    network.save(folder / "a.keras")
    return folder, network


@pytest.mark.parametrize("file", ["a.weights.h5", "a.keras"])
def test_weights_file(weights_files, file):
    folder, network = weights_files
    inputs, feature_map = features("mobilenet", 96, weights=folder / file)
    model = keras.Model(inputs, feature_map)
    for a, b in zip(model.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_legacy_weights_file(weights_files, tmp_path):
    _, network = weights_files
    save_legacy(network, tmp_path / "a.h5")
    inputs, feature_map = features("mobilenet", 64, weights=str(tmp_path / "a.h5"))
    for a, b in zip(
        keras.Model(inputs, feature_map).get_weights(), network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="another network"):
        features("vgg16", 64, weights=tmp_path / "a.h5")


@pytest.mark.parametrize("file", ["a.weights.h5", "a.keras"])
def test_weights_of_another_network(weights_files, file):
    path = weights_files[0] / file
    with pytest.raises(InputError, match="another network") as error:
        features("vgg16", 64, weights=path)
    assert str(path) in str(error.value)
    assert "VGG16(include_top=False), 14,714,688 parameters" in str(error.value)


@pytest.mark.parametrize("file", ["a.weights.h5", "a.keras"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_weights_file(weights_files, tmp_path, file, damage):
    whole = (weights_files[0] / file).read_bytes()
    damaged = tmp_path / file
    damaged.write_bytes(
        {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"<html>404</html>"}[damage]
    )
    with pytest.raises(InputError, match=r"the file is damaged") as error:
        features("mobilenet", 64, weights=damaged)
    assert str(damaged) in str(error.value) and "\n" not in str(error.value)


def test_weights_that_miss_a_layer(weights_files, tmp_path):
    """A file that would leave a layer at its random start is refused, whatever Keras thinks."""
    import h5py

    path = tmp_path / "a.weights.h5"
    path.write_bytes((weights_files[0] / "a.weights.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d_5"]
    with pytest.raises(InputError, match="damaged or belongs to another network"):
        features("mobilenet", 64, weights=path)


def test_weights_that_keras_does_not_load(weights_files, monkeypatch):
    monkeypatch.setattr(keras.Model, "load_weights", lambda *args: None)
    with pytest.raises(InputError, match="27 of 27 weights not in the file: conv1/kernel"):
        features("mobilenet", 64, weights=weights_files[0] / "a.weights.h5")


def test_missing_weights_file(tmp_path):
    with pytest.raises(InputError, match="no weights file"):
        features("mobilenet", 64, weights=tmp_path / "none.weights.h5")
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"must end in .weights.h5"):
        features("mobilenet", 64, weights=tmp_path / "weights.bin")


def test_an_application_has_the_size_that_is_asked_for():
    assert weights.construct(NETWORKS["mobilenet"], 64, None, False).input_shape == (
        None, 64, 64, 3,
    )  # fmt: skip


class Donor:
    """Weights as they come from Keras, or go into an application."""

    def __init__(self):
        self.values = ["random"]

    def get_weights(self):
        return ["downloaded"]

    def set_weights(self, values):
        self.values = values


@pytest.mark.parametrize(
    ("name", "asked", "values"),
    # NASNet's come from the size that Keras documents them for; MobileNet's are the size's own.
    [("nasnet_mobile", 224, ["downloaded"]), ("mobilenet", 160, ["random"])],
)
def test_where_imagenet_weights_of_another_size_come_from(monkeypatch, name, asked, values):
    calls = []
    monkeypatch.setattr(weights, "construct", lambda *args: Donor())
    monkeypatch.setattr(weights, "_download", lambda *args: calls.append(args) or Donor())
    assert weights.load(name, 160, "imagenet", include_top=False).values == values
    assert calls == [(name, asked, False)]


def test_a_download_has_a_time_limit_and_names_its_file(monkeypatch, tmp_path):
    seen = []

    def refused(*args):
        seen.append((*args[1:], socket.getdefaulttimeout()))
        raise Exception("URL fetch failure on https://host/v1/net_tf_no_top.h5: None -- no host")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "construct", refused)
    before = socket.getdefaulttimeout()
    with pytest.raises(InputError, match=r"the file net_tf_no_top.h5 is not in .*/models or "):
        weights.load("mobilenet", 64, "imagenet", include_top=False)
    assert seen == [(64, "imagenet", False, weights.DOWNLOAD_TIMEOUT)]
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize(("name", "tops"), [("mobilenet", [(160, False)]),
                                            ("vgg16", [(160, False), (224, True)])])  # fmt: skip
def test_what_a_download_fetches(monkeypatch, tmp_path, name, tops):
    calls = []
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(
        weights, "load", lambda *args, include_top: calls.append((*args, include_top))
    )
    assert weights.download(name, 160) == []
    assert calls == [(name, size, "imagenet", top) for size, top in tops]


@pytest.mark.slow
def test_nasnet_takes_its_imagenet_weights_at_every_size(monkeypatch):
    donor = weights.construct(NETWORKS["nasnet_mobile"], 224, None, False)
    asked = []
    monkeypatch.setattr(weights, "_download", lambda *a: asked.append(a) or donor)
    inputs, feature_map = features("nasnet_mobile", 160, weights="imagenet")
    assert asked == [("nasnet_mobile", 224, False)]
    model = keras.Model(inputs, feature_map)
    assert feature_map.shape == (None, 5, 5, 1056)
    for a, b in zip(model.get_weights(), donor.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fresh_process_without_network(tmp_path):
    """Loads a saved model where nothing was built, and explains missing ImageNet weights."""
    model = classifier("mobilenet", 64, 3, normalisation="per_image")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", pixels(64))
    np.save(tmp_path / "expected.npy", np.asarray(model(pixels(64), training=False)))
    script = textwrap.dedent("""
        import socket
        import sys
        from pathlib import Path

        import keras
        import numpy as np

        from common import backbones
        from common.errors import InputError

        assert not backbones.flat._layer_names, "importing must build nothing"
        folder = Path(sys.argv[1])
        model = keras.models.load_model(folder / "model.keras")
        result = np.asarray(model(np.load(folder / "images.npy"), training=False))
        np.testing.assert_allclose(result, np.load(folder / "expected.npy"), atol=1e-6)

        def no_network(*args, **kwargs):
            raise socket.gaierror(-2, "Name or service not known")

        socket.getaddrinfo = no_network
        try:
            backbones.features("mobilenet", 64, weights="imagenet")
        except InputError as error:
            print(error)
        assert socket.getdefaulttimeout() is None
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_HOME": str(tmp_path / "keras")},
    )
    assert done.returncode == 0, done.stderr
    message = done.stdout.strip().splitlines()[-1]
    assert message.startswith("no ImageNet weights for mobilenet")
    assert f"mobilenet_1_0_224_tf_no_top.h5 is not in {tmp_path / 'keras' / 'models'}" in message
    for part in ("network access", "~/.keras/models", "--weights PATH", "--weights none"):
        assert part in message


@pytest.mark.data
def test_real_weights(real_data):
    """The weights file for trials was made at 224 px and serves smaller images too."""
    file = real_data / "weights" / "mobilenet_v2_imagenet_notop.weights.h5"
    if not file.exists():
        pytest.skip(f"{file.name} is not among the real data")
    application = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    application.load_weights(file)
    for size in (160, 96):
        inputs, feature_map = features("mobilenet_v2", size, weights=file)
        x = pixels(size)
        expected = application(x.astype(np.float32) / 127.5 - 1)
        result = keras.Model(inputs, feature_map)(x)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)
        assert np.std(expected) > 0.1


def test_every_spec_is_whole():
    assert list(NETWORKS) == [
        "convnext_tiny", "resnet50", "resnet101", "inception_v3", "mobilenet_v2", "vgg16",
        "vgg19", "densenet201", "nasnet_mobile", "mobilenet", "xception",
    ]  # fmt: skip
    for network in NETWORKS.values():
        assert hasattr(keras.applications, network.application)
        InputScaling(network.scale)
        assert network.gradcam


def test_the_table_needs_no_keras():
    script = (
        "import sys; from common import networks; "
        "print(networks.gradcam_layers('vgg16')['stage_5'], {'keras', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "block5_conv3 set()\n"


def test_papers_offer_every_network_their_own_first():
    import breakhis.config
    import gan_fusion.config
    import her2scoring.config

    for paper in (breakhis.config, gan_fusion.config, her2scoring.config):
        own = [name for kind in ("Paper", "Fusion", "Baseline") if hasattr(paper, kind)
               for name in get_args(getattr(paper, kind))]  # fmt: skip
        offered = get_args(get_type_hints(paper.Config)["network"])
        assert offered == (*own, *(name for name in NETWORKS if name not in own))
        assert paper.Config().network == own[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_operations_of_the_table_are_those_of_the_built_network(name):
    inputs, maps = features(name, 224)
    counted = multiply_accumulates(keras.Model(inputs, maps))
    assert networks.operations(name, 224) == pytest.approx(counted, abs=0.6e6)


def test_separable_convolutions_are_counted():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.SeparableConv2D(5, 3, padding="same")(inputs))
    assert multiply_accumulates(model) == 8 * 8 * (9 * 3 + 3 * 5)


def test_multiply_accumulates_by_hand():
    inner = keras.Sequential([keras.layers.Conv2D(6, 2, strides=2, groups=2)], name="stem")
    inputs = keras.Input((8, 8, 4))
    x = inner(inputs)  # 4 x 4 places, 6 kernels of 2 x 2 x (4 / 2 channels)
    x = keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)  # 6 channels twice
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dense(5)(x)  # 1 x 1 convolution
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    by_hand = 16 * 6 * 8 + 16 * 12 * 9 + 16 * 12 * 5 + 5 * 3
    assert multiply_accumulates(model) == by_hand == 3471
