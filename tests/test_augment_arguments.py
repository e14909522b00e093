"""What the augmenter is given: every setting and argument that does not fit is named."""

from __future__ import annotations

import numpy as np
import pytest

from common.augment import DRAWS, Augmenter
from common.errors import InputError

IMAGE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def is_said(message):
    return pytest.raises(InputError, match=message)


@pytest.mark.parametrize(
    "name",
    ["rotation_range", "shear_range", "cval", "zoom_range", "width_shift_range",
     "height_shift_range"],
)  # fmt: skip
@pytest.mark.parametrize("value", [np.nan, np.inf, "1", True, None])
def test_a_setting_is_a_finite_number(name, value):
    with is_said(f"{name}: a finite number is wanted, not"):
        Augmenter(**{name: value})


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int8(1)])
def test_any_type_of_number_is_one(value):
    assert Augmenter(rotation_range=value).rotation_range == value


@pytest.mark.parametrize("name", ["horizontal_flip", "vertical_flip"])
def test_a_flip_is_true_or_false(name):
    for value in (2, "yes", None, 0.5):
        with is_said(f"{name}: true or false is wanted"):
            Augmenter(**{name: value})
    assert getattr(Augmenter(**{name: 1}), name) is True
    assert getattr(Augmenter(**{name: 0}), name) is False


def test_other_settings():
    for fill_mode in ("mirror", None, 0):
        with is_said("fill mode .*: choose from nearest"):
            Augmenter(fill_mode=fill_mode)
    for name in ("width_shift_range", "height_shift_range"):
        with is_said(f"{name}: no shift to choose from"):
            Augmenter(**{name: []})
        for wrong, value in (([1, "2"], "'2'"), ([1, True], "True"), ([0.5, None], "None")):
            with is_said(f"{name}: a finite number is wanted, not {value}"):
                Augmenter(**{name: wrong})
    with is_said("zoom_range: a finite number is wanted"):
        Augmenter(zoom_range=(0.5, np.nan))


def test_uniform_numbers():
    augmenter, shape = Augmenter(), (4, 5, 3)
    given = [0.0, 0.25] * (DRAWS // 2)
    assert augmenter.parameters(given, shape) == augmenter.parameters(np.array(given), shape)
    for place in range(DRAWS):
        for wrong in (1.0, -0.01, np.nan):
            uniforms = [0.5] * DRAWS
            uniforms[place] = wrong
            with is_said(r"uniforms must be 8 numbers in \[0, 1\)"):
                augmenter.parameters(uniforms, shape)
    for wrong in ([0.5] * (DRAWS - 1), [0.5] * (DRAWS + 1), None, ["a"] * DRAWS):
        with is_said("uniforms must be 8 numbers"):
            augmenter.parameters(wrong, shape)


def test_the_shape_of_an_image():
    uniforms = [0.5] * DRAWS
    assert Augmenter().parameters(uniforms, (1, 1)) == Augmenter().parameters(uniforms, (1, 1, 3))
    no_side = (0, -1, np.inf, np.nan)
    sides = [(side, 5, 3) for side in no_side] + [(5, side, 3) for side in no_side]
    for wrong in (*sides, (5,), None, {}, -1):
        with is_said(r"shape must be \(H, W, ...\) of an image"):
            Augmenter().parameters(uniforms, wrong)


def test_draws_come_from_a_generator():
    with is_said("rng must be a numpy.random.Generator, not RandomState"):
        Augmenter().draw(np.random.RandomState(0), (4, 5, 3))


def test_an_image():
    for wrong, words in (
        (IMAGE[..., :2], r"uint8 of shape \(4, 5, 2\)"), (IMAGE[0], r"uint8 of shape \(5, 3\)"),
        (IMAGE.astype(np.float32), r"float32 of shape \(4, 5, 3\)"), (None, "NoneType"),
        (IMAGE[:0], r"uint8 of shape \(0, 5, 3\)"),
        (IMAGE[:, :0], r"uint8 of shape \(4, 0, 3\)"),
        ([[[0, 0, 0]]], "list"),
    ):  # fmt: skip
        with is_said(rf"image must be RGB uint8 .* not {words}"):
            Augmenter().apply(wrong, {})
    assert Augmenter().apply(IMAGE[:1, :1], {}).tolist() == [[[0, 1, 2]]]


def test_where_the_result_goes():
    for out in (
        np.empty((5, 4, 3), np.uint8), np.empty((4, 5, 3), np.float32),
        np.empty((4, 10, 3), np.uint8)[:, ::2],
    ):  # fmt: skip
        with is_said(r"out must be a C-contiguous uint8 array of shape \(4, 5, 3\)"):
            Augmenter().apply(IMAGE, {}, out)


@pytest.mark.parametrize("name", ["theta", "tx", "ty", "shear", "zx", "zy"])
def test_parameters(name):
    for wrong in (np.nan, np.inf, "1", None):
        with is_said("parameters must be a mapping to finite numbers"):
            Augmenter().apply(IMAGE, {name: wrong})
    with is_said("parameters: unknown angle, brightness; known are flip_horizontal, "):
        Augmenter().apply(IMAGE, {name: 1, "angle": 1, "brightness": 2})
    for no_mapping in ([name], ["angle"], None, 5):
        with is_said("parameters must be a mapping"):
            Augmenter().apply(IMAGE, no_mapping)
