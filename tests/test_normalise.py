"""The channel statistics against numpy, the scaling layer against keras.applications."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from common.errors import InputError
from common.normalise import IMAGENET_MEAN, IMAGENET_STD, InputScaling, rgb_statistics


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 12, 10, 3), dtype=np.uint8)


def test_statistics_equal_numpy(images):
    mean, std = rgb_statistics(images, block=3)
    flat = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(std, flat.std(axis=0), rtol=1e-13)
    assert mean.dtype == std.dtype == np.float64


def test_statistics_by_hand():
    pixels = np.zeros((2, 1, 1, 3), np.uint8)
    pixels[1] = 255, 51, 0
    mean, std = rgb_statistics(pixels)
    assert mean.tolist() == [0.5, 0.1, 0.0]
    np.testing.assert_allclose(std, [0.5, 0.1, 0.0], rtol=1e-15)


def test_statistics_of_rows_and_weights(images):
    expected = np.concatenate([images[[1, 4, 4, 6]]]).reshape(-1, 3) / 255
    for arguments in ({"rows": [1, 4, 4, 6]}, {"rows": [4, 6, 1], "weights": [2, 1, 1]}):
        mean, std = rgb_statistics(images, **arguments, block=2)
        np.testing.assert_allclose(mean, expected.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(std, expected.std(axis=0), rtol=1e-13)
    # Only the ratio of the weights counts.
    fractional = rgb_statistics(images, rows=[4, 6, 1], weights=[0.5, 0.25, 0.25])
    np.testing.assert_allclose(fractional, (mean, std), rtol=1e-12)


def test_statistics_do_not_depend_on_order_or_block(images):
    expected = rgb_statistics(images)
    for block in (1, 2, 100):
        assert np.array_equal(
            rgb_statistics(images, rows=np.arange(7)[::-1], block=block), expected
        )


def test_statistics_of_a_memory_map(images, tmp_path):
    images.tofile(tmp_path / "pixels")
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "r", shape=images.shape)
    assert np.array_equal(rgb_statistics(mapped, rows=[0, 3]), rgb_statistics(images[[0, 3]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": []}, "no images at all"),
        ({"rows": [0, 1], "weights": [1.0]}, "1 weights given for 2 images"),
        ({"rows": [0], "weights": [0]}, "not all zero"),
        ({"rows": [0], "weights": [-1]}, "not negative"),
    ],
)
def test_statistics_errors(images, arguments, message):
    with pytest.raises(InputError, match=message):
        rgb_statistics(images, **arguments)


def test_statistics_need_uint8_images(images):
    with pytest.raises(InputError, match="uint8"):
        rgb_statistics(images.astype(np.float32))
    with pytest.raises(InputError, match=r"\(N, H, W, 3\)"):
        rgb_statistics(images[..., 0])


APPLICATIONS = {
    "caffe": ("resnet", "resnet50", "vgg16", "vgg19"),
    "tf": ("inception_v3", "mobilenet", "mobilenet_v2", "nasnet", "xception"),
    "torch": ("densenet",),
    "raw": ("convnext",),
}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("scale", "module"), [(s, m) for s, modules in APPLICATIONS.items() for m in modules]
)
def test_own_scaling_is_preprocess_input(images, scale, module, dtype):
    x = images.astype(dtype)
    if dtype == "float32":
        x = x + np.float32(0.37)
    preprocess = getattr(keras.applications, module).preprocess_input
    expected = preprocess(x.astype(np.float32))  # a copy: Keras writes into float arrays
    result = keras.ops.convert_to_numpy(InputScaling(scale)(x))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


def test_convnext_scaling_is_the_one_left_out(images):
    """`torch` stands in for the Normalization layer of ConvNeXt's include_preprocessing."""
    layer = keras.layers.Normalization(
        mean=[255 * m for m in IMAGENET_MEAN], variance=[(255 * s) ** 2 for s in IMAGENET_STD]
    )
    x = images.astype(np.float32)
    np.testing.assert_allclose(InputScaling("torch")(x), layer(x), atol=1e-5)


def test_z_score_reaches_the_scale_of_the_weights(images):
    mean, std = (0.8, 0.6, 0.7), (0.1, 0.2, 0.15)
    z = (images / 255 - mean) / std
    scaled = {s: np.asarray(InputScaling(s, mean, std)(images)) for s in APPLICATIONS}
    np.testing.assert_allclose(scaled["torch"], z, atol=1e-5)
    np.testing.assert_allclose(scaled["caffe"], (z * IMAGENET_STD * 255)[..., ::-1], atol=1e-3)
    like_image = z * IMAGENET_STD + IMAGENET_MEAN
    np.testing.assert_allclose(scaled["tf"], 2 * like_image - 1, atol=1e-5)
    np.testing.assert_allclose(scaled["raw"], 255 * like_image, atol=1e-3)


@pytest.mark.parametrize(("scale", "grey_levels"), [("caffe", 0.51), ("tf", 1e-3), ("torch", 1e-3)])
def test_imagenet_z_score_is_the_own_scaling(images, scale, grey_levels):
    """Caffe's mean is another: 116.779 for green, where the torch convention has 116.28."""
    unit = {"caffe": 1, "tf": 1 / 127.5, "torch": 1 / (255 * 0.224)}[scale]
    own = InputScaling(scale)(images)
    z_scored = InputScaling(scale, IMAGENET_MEAN, IMAGENET_STD)(images)
    np.testing.assert_allclose(z_scored, own, atol=grey_levels * unit)


def test_per_image_z_score(images):
    images = images.copy()
    images[3] = 200  # blank
    z = np.asarray(InputScaling("torch", per_image=True)(images))
    np.testing.assert_allclose(z.mean(axis=(1, 2)), 0, atol=1e-5)
    expected = np.ones((7, 3))
    expected[3] = 0
    np.testing.assert_allclose(z.std(axis=(1, 2)), expected, atol=1e-5)
    # Brightness and contrast of an image do not matter, up to rounding to grey levels.
    darker = (images / 2).astype(np.float32)
    np.testing.assert_allclose(InputScaling("torch", per_image=True)(darker), z, atol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": "caffe"},
        {"scale": "tf", "mean": [0.8, 0.6, 0.7], "std": np.array([0.1, 0.2, 0.15])},
        {"scale": "torch", "per_image": True},
    ],
)
def test_config_round_trip(images, arguments):
    layer = InputScaling(**arguments)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(images), layer(images))
    assert layer.weights == []


def test_stays_float32_under_mixed_precision(images):
    expected = InputScaling("torch")(images)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        layer = InputScaling("torch")
        inputs = keras.Input((12, 10, 3))
        assert keras.backend.standardize_dtype(layer(inputs).dtype) == "float32"
        np.testing.assert_array_equal(layer(images.astype(np.float32)), expected)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "imagenet"}, "unknown scale"),
        ({"scale": "tf", "mean": (0.5,) * 3}, "belong together"),
        ({"scale": "tf", "mean": (0.5,) * 3, "std": (0.1,) * 3, "per_image": True}, "per_image"),
        ({"scale": "tf", "mean": (123.0,) * 3, "std": (0.1,) * 3}, "not in grey levels"),
        ({"scale": "tf", "mean": (0.5,) * 3, "std": (0.0,) * 3}, "below one grey level"),
        ({"scale": "tf", "mean": (0.5, 0.5), "std": (0.1, 0.1)}, "three finite numbers"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        InputScaling(**arguments)
