from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from scipy import ndimage, stats

from common.augment import Augmenter
from common.errors import InputError

SETTINGS = {
    "her2scoring": {
        "width_shift_range": 0.1,
        "height_shift_range": 0.1,
        "horizontal_flip": True,
        "vertical_flip": True,
    },
    "full": {
        "rotation_range": 40,
        "width_shift_range": 0.2,
        "height_shift_range": 0.15,
        "shear_range": 15,
        "zoom_range": 0.3,
        "horizontal_flip": True,
        "vertical_flip": True,
    },
    "printed zoom": {"zoom_range": 2.0, "rotation_range": 25},
    "pixels": {"width_shift_range": 5, "height_shift_range": [3, 7]},
    "flips": {"horizontal_flip": True, "vertical_flip": True},
    "far": {"width_shift_range": 90.0, "height_shift_range": 90.0},
}


def keras_generator(**arguments):
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**arguments)


def keras_apply(image: np.ndarray, parameters: dict, **arguments) -> np.ndarray:
    with warnings.catch_warnings():  # the generator calls SciPy by a deprecated name
        warnings.simplefilter("ignore")
        found = keras_generator(**arguments).apply_transform(image.astype(np.float32), parameters)
    return np.clip(found, 0, 255)


def picture(height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "wrap", "constant"])
@pytest.mark.parametrize("name", SETTINGS)
def test_images_equal_the_generators(name, fill_mode):
    settings = {**SETTINGS[name], "fill_mode": fill_mode, "cval": 17}
    augmenter, rng = Augmenter(**settings), np.random.default_rng(1)
    for _ in range(20):
        parameters = augmenter.draw(rng, (64, 64, 3))
        expected = keras_apply(picture(), parameters, **settings)
        found = augmenter.apply(picture(), parameters)
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= 0.51, parameters


@pytest.mark.data
def test_real_images_equal_the_generators(real_data):
    from common import images

    settings, rng = SETTINGS["full"], np.random.default_rng(2)
    for path in sorted((real_data / "data/breakhis_100x").rglob("*.png"))[::70]:
        image = images.resize(images.read(path), 224)
        parameters = Augmenter(**settings).draw(rng, image.shape)
        difference = Augmenter(**settings).apply(image, parameters) - keras_apply(
            image, parameters, **settings
        )
        assert np.abs(difference).max() <= 0.51


def keras_draws(settings: dict, count: int, shape: tuple[int, int, int]) -> list[dict]:
    generator = keras_generator(**settings)
    state = np.random.get_state()
    try:
        np.random.seed(7)
        return [generator.get_random_transform(shape) for _ in range(count)]
    finally:
        np.random.set_state(state)


@pytest.mark.parametrize("name", ["her2scoring", "full", "pixels", "flips", "far"])
def test_parameters_are_distributed_as_the_generators(name):
    shape, count = (100, 60, 3), 4000
    theirs = keras_draws(SETTINGS[name], count, shape)
    augmenter, rng = Augmenter(**SETTINGS[name]), np.random.default_rng(3)
    ours = [augmenter.draw(rng, shape) for _ in range(count)]
    for key in ours[0]:
        a = np.array([float(draw[key]) for draw in ours])
        b = np.array([float(draw[key]) for draw in theirs])
        assert stats.ks_2samp(a, b, method="asymp").pvalue > 1e-3, key
        assert abs(a.min() - b.min()) <= 0.01 * np.ptp(b) + 1e-12, key
        assert abs(a.max() - b.max()) <= 0.01 * np.ptp(b) + 1e-12, key


def test_parameters_are_independent():
    augmenter, rng = Augmenter(**SETTINGS["full"]), np.random.default_rng(4)
    draws = [augmenter.draw(rng, (50, 50)) for _ in range(3000)]
    table = np.array([[float(value) for value in draw.values()] for draw in draws])
    correlation = np.corrcoef(table.T)
    assert np.abs(correlation - np.eye(8)).max() < 0.07


def test_zoom_2_reaches_from_minus_1_to_3_and_stays_clear_of_zero():
    augmenter, rng = Augmenter(zoom_range=2), np.random.default_rng(5)
    zooms = np.array([augmenter.draw(rng, (9, 9))["zx"] for _ in range(4000)])
    assert -1 <= zooms.min() < -0.99
    assert 2.99 < zooms.max() <= 3
    assert np.abs(zooms).min() >= 0.05
    # Uniform on what is left: 0.95 of 3.9 below zero.
    assert abs((zooms < 0).mean() - 0.95 / 3.9) < 0.02
    expected = stats.uniform(0.05, 2.95)
    assert stats.kstest(zooms[zooms > 0], expected.cdf).pvalue > 1e-3


def test_tx_moves_horizontally_and_comes_from_height_shift_range():
    image = picture()
    parameters = Augmenter(height_shift_range=[3]).draw(np.random.default_rng(0), image.shape)
    assert abs(parameters["tx"]) == 3
    assert parameters["ty"] == 0
    moved = Augmenter().apply(image, {"tx": 3})
    np.testing.assert_array_equal(moved[:, :-3], image[:, 3:])
    np.testing.assert_array_equal(moved[:, -3:], np.repeat(image[:, -1:], 3, axis=1))


def test_a_non_square_image_turns_about_its_own_centre():
    # DEVIATION from the generator. Half a turn is exact on any grid.
    image = picture(30, 50)
    np.testing.assert_array_equal(Augmenter().apply(image, {"theta": 180}), image[::-1, ::-1])
    # A mark at the true centre stays there; scipy's matrix about that centre is the oracle.
    angle = np.deg2rad(25)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([14.5, 24.5])
    expected = np.stack(
        [
            ndimage.affine_transform(
                image[..., c].astype(float), matrix, centre - matrix @ centre, order=1,
                mode="nearest",
            )
            for c in range(3)
        ],
        axis=-1,
    )  # fmt: skip
    assert np.abs(Augmenter().apply(image, {"theta": 25}) - expected).max() <= 0.51


def test_the_shift_filter_equals_the_general_warp():
    image, augmenter, rng = picture(37, 53), Augmenter(), np.random.default_rng(6)
    for _ in range(200):
        x, y = rng.uniform(-60, 60, 2)
        parameters = {"tx": x, "ty": y, "flip_horizontal": rng.random() < 0.5}
        matrix = np.array([[1, 0, x], [0, 1, y]])
        expected = cv2.warpAffine(
            image, matrix, (53, 37), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        if parameters["flip_horizontal"]:
            expected = expected[:, ::-1]
        found = augmenter.apply(image, parameters)
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_flips_are_exact_and_the_image_is_left_alone():
    image = picture(31, 41)
    image.flags.writeable = False
    augmenter = Augmenter()
    same = augmenter.apply(image, {})
    np.testing.assert_array_equal(same, image)
    assert not np.shares_memory(same, image)
    for horizontal in (False, True):
        for vertical in (False, True):
            parameters = {"flip_horizontal": horizontal, "flip_vertical": vertical}
            expected = image[:: -1 if vertical else 1, :: -1 if horizontal else 1]
            np.testing.assert_array_equal(augmenter.apply(image, parameters), expected)


@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "wrap", "constant"])
def test_the_result_is_written_where_asked(fill_mode):
    augmenter, out = Augmenter(fill_mode=fill_mode), np.zeros((3, 64, 64, 3), np.uint8)
    for parameters in ({}, {"flip_vertical": True}, {"tx": 2.5}, {"tx": 2.5, "flip_vertical": True},
                       {"theta": 10}):  # fmt: skip
        result = augmenter.apply(picture(), parameters, out[1])
        assert np.shares_memory(result, out)
        np.testing.assert_array_equal(out[1], augmenter.apply(picture(), parameters))
        assert not out[0].any()
        assert not out[2].any()


def test_draws_depend_on_the_generator_alone():
    augmenter = Augmenter(**SETTINGS["full"])
    first = augmenter.draw(np.random.default_rng(9), (64, 64, 3))
    assert first == augmenter.draw(np.random.default_rng(9), (64, 64, 3))
    assert first != augmenter.draw(np.random.default_rng(10), (64, 64, 3))


def test_wrong_arguments_are_errors():
    with pytest.raises(InputError, match="choose from nearest"):
        Augmenter(fill_mode="mirror")
    with pytest.raises(InputError, match="zoom_range"):
        Augmenter(zoom_range=(1.2, 0.8))
    with pytest.raises(InputError, match=r"below 0\.05"):
        Augmenter(zoom_range=(-0.01, 0.01))
