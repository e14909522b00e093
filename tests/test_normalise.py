"""The channel statistics against numpy, the scaling layer against keras.applications."""

from __future__ import annotations

from fractions import Fraction

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


def test_statistics_of_many_pixels_are_exact():
    """OpenCV counts in float32, where 2 ** 24 + 1 is 2 ** 24."""
    pixels = np.full((1, 4100, 4100, 3), 3, np.uint8)
    pixels[0, -1, -1] = 255, 3, 4
    count = 4100**2
    mean, _ = rgb_statistics(pixels)
    expected = [3 * (count - 1) + last for last in (255, 3, 4)]
    assert mean.tolist() == [total / count / 255 for total in expected]


def test_statistics_of_a_memory_map(images, tmp_path):
    images.tofile(tmp_path / "pixels")
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "r", shape=images.shape)
    assert np.array_equal(rgb_statistics(mapped, rows=[0, 3]), rgb_statistics(images[[0, 3]]))


def test_weights_are_counts_or_shares():
    pixels = np.zeros((3, 1, 1, 3), np.uint8)
    pixels[1:] = [[[[255, 51, 0]]], [[[0, 0, 255]]]]
    for weights in (
        [3, 1, 0], [0.75, 0.25, 0], [1.5, 0.5, 0.0], [Fraction(3, 4), Fraction(1, 4), 0],
    ):  # fmt: skip
        mean, std = rgb_statistics(pixels, weights=weights)
        np.testing.assert_allclose(mean, [0.25, 0.05, 0], rtol=1e-12)
        # sqrt(p (1 - p)) of the difference between the two
        np.testing.assert_allclose(std, np.sqrt(3 / 16) * np.array([1, 0.2, 0]), rtol=1e-12)


def test_the_spread_of_equal_pixels_is_nothing_whatever_the_weights():
    pixels = np.full((3, 5, 7, 3), 201, np.uint8)
    mean, std = rgb_statistics(pixels, weights=[0.1, 0.2, 0.3])
    np.testing.assert_allclose(mean, 201 / 255, rtol=1e-12)
    assert (std < 1e-7).all()


def test_an_image_of_more_pixels_than_float32_can_count():
    """OpenCV's histogram gives 2**24 for one more."""
    pixels = np.zeros((1, 1, 2**24 + 1, 3), np.uint8)
    pixels[..., 1] = 255
    mean, _ = rgb_statistics(pixels)
    assert mean.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": [0], "weights": [np.inf]}, "finite"),
        ({"rows": [0, 1], "weights": [1.0, np.nan]}, "finite"),
        ({"rows": [0, 7]}, "rows must be from 0 to 6"),
        ({"rows": [-1, 0]}, "rows must be from 0 to 6"),
        ({"block": True}, "block must be a whole number above 0"),
        ({"block": 2.0}, "block must be a whole number above 0"),
        ({"block": 0}, "block must be a whole number above 0"),
        ({"rows": [0, 1], "weights": [1.0, -0.5]}, "not negative"),
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
    for wrong in (images[..., 0], images[..., :2], images[0]):
        with pytest.raises(InputError, match=r"\(N, H, W, 3\)"):
            rgb_statistics(wrong)


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
    ("low", "high", "z"),
    [
        (100, 100, 0),
        (100, 101, 0.5),  # half a grey level is no contrast: divided by one
        (99, 101, 1),  # one grey level
        (97, 103, 1),
        (0, 255, 1),
    ],
)
def test_an_image_is_divided_by_one_grey_level_at_least(low, high, z):
    image = np.full((1, 4, 2, 3), low, np.uint8)
    image[:, ::2] = high
    found = np.asarray(InputScaling("torch", per_image=True)(image))
    expected = np.full(image.shape, -z, np.float32)
    expected[:, ::2] = z
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_every_channel_and_image_has_its_own_z_score():
    image = np.zeros((2, 1, 2, 3), np.uint8)
    image[0, 0] = [[10, 50, 200], [20, 50, 100]]
    image[1, 0] = [[0, 0, 0], [4, 0, 200]]
    found = np.asarray(InputScaling("torch", per_image=True)(image))
    expected = [[[[-1, 0, 1], [1, 0, -1]]], [[[-1, 0, -1], [1, 0, 1]]]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("caffe", [127.5 - 103.939, 51 - 116.779, 255 - 123.68]),
        ("tf", [1, -0.6, 0]),
        ("torch", [(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]),
        ("raw", [255, 51, 127.5]),
    ],
)
def test_one_pixel_by_hand(scale, expected):
    pixel = np.array([[[[255, 51, 127.5]]]], np.float32)
    np.testing.assert_allclose(InputScaling(scale)(pixel)[0, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("scale", "expected"),
    # z is (1, -2, 0.5)
    [
        ("caffe", [0.5 * 0.225 * 255, -2 * 0.224 * 255, 0.229 * 255]),
        ("tf", [2 * (0.229 + 0.485) - 1, 2 * (-2 * 0.224 + 0.456) - 1,
                2 * (0.5 * 0.225 + 0.406) - 1]),
        ("torch", [1, -2, 0.5]),
        ("raw", [255 * (0.229 + 0.485), 255 * (-2 * 0.224 + 0.456), 255 * (0.5 * 0.225 + 0.406)]),
    ],
)  # fmt: skip
def test_one_z_scored_pixel_by_hand(scale, expected):
    layer = InputScaling(scale, mean=(0.8, 0.6, 0.45), std=(0.2, 0.2, 0.1))
    pixel = np.array([[[[255, 51, 127.5]]]], np.float32)
    np.testing.assert_allclose(layer(pixel)[0, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_mean_and_std_at_the_ends_of_what_is_possible():
    layer = InputScaling("tf", mean=(0, 1, 0.5), std=(1 / 255, 1, 0.1))
    assert (layer.mean, layer.std) == ([0, 1, 0.5], [1 / 255, 1, 0.1])
    half = (0.5,) * 3
    for mean, std, message in (
        ((-0.01, 0.5, 0.5), half, "not in grey levels"),
        ((0.5, 0.5, 1.01), half, "not in grey levels"),
        (half, (0.5, 0.99 / 255, 0.5), "below one grey level"),
        (half, (0.5, np.inf, 0.5), "three finite numbers"),
        ((0.5, np.nan, 0.5), half, "three finite numbers"),
        (half, (0.1,) * 4, "three finite numbers"),
        ((0.5,) * 4, half, "three finite numbers"),
        (None, half, "belong together"),
    ):
        with pytest.raises(ValueError, match=message):
            InputScaling("tf", mean=mean, std=std)


def test_a_symbolic_batch_keeps_its_shape_and_becomes_float32():
    found = InputScaling("caffe")(keras.Input((None, 10, 3), dtype="uint8"))
    assert found.shape == (None, None, 10, 3)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert InputScaling("raw", dtype="bfloat16").compute_dtype == "float32"


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
