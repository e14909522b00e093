"""One augmenting step by hand: what the draws mean, the order of its parts, fill modes."""

from __future__ import annotations

import numpy as np
import pytest

from common.augment import DRAWS, Augmenter
from common.errors import InputError

ALL = {
    "rotation_range": 40, "width_shift_range": 0.2, "height_shift_range": 0.1,
    "shear_range": 10, "zoom_range": 0.5, "horizontal_flip": True, "vertical_flip": True,
}  # fmt: skip
SHAPE = (100, 50, 3)
ALMOST_ONE = np.nextafter(1, 0)


# --- draws --------------------------------------------------------------------------------------


def drawn(uniforms, shape=SHAPE, **settings):
    return Augmenter(**settings).parameters(uniforms, shape)


def one(name, uniform, shape=SHAPE, **settings):
    """A parameter for one uniform number, all of the image's numbers being the same."""
    return drawn([uniform] * DRAWS, shape, **settings)[name]


def test_what_each_uniform_number_is_for():
    uniforms = [0.75, 0.6, 0.1, 0.25, 0.2, 0.9, 0.4, 0.6]
    assert drawn(uniforms, **ALL) == pytest.approx(
        {
            "theta": 20,
            "tx": 0.2 * 0.1 * 100,  # of the height, by height_shift_range
            "ty": -0.8 * 0.2 * 50,  # of the width, by width_shift_range
            "shear": -5,
            "zx": 0.7,
            "zy": 1.4,
            "flip_horizontal": True,
            "flip_vertical": False,
        }
    )
    swapped = drawn([*uniforms[:6], 0.6, 0.4], **ALL)
    assert (swapped["flip_horizontal"], swapped["flip_vertical"]) == (False, True)
    assert drawn([0.4] * DRAWS) == {
        "theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1,
        "flip_horizontal": False, "flip_vertical": False,
    }  # fmt: skip


def test_draw_takes_the_next_numbers_of_the_generator():
    augmenter = Augmenter(**ALL)
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(2):
        assert augmenter.draw(rng, SHAPE) == augmenter.parameters(same.random(8), SHAPE)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("theta", -40, 40), ("tx", -10, 10), ("ty", -10, 10), ("shear", -10, 10), ("zx", 0.5, 1.5),
     ("zy", 0.5, 1.5)],
)  # fmt: skip
def test_ranges_at_their_ends(name, low, high):
    assert one(name, 0.0, **ALL) == pytest.approx(low)
    assert one(name, 0.5, **ALL) == pytest.approx((low + high) / 2)
    assert one(name, ALMOST_ONE, **ALL) == pytest.approx(high)


@pytest.mark.parametrize("name", ["flip_horizontal", "flip_vertical"])
def test_a_flip_has_probability_one_half(name):
    assert one(name, 0.0, **ALL) is True
    assert one(name, np.nextafter(0.5, 0), **ALL) is True
    assert one(name, 0.5, **ALL) is False


@pytest.mark.parametrize(
    ("limit", "uniform", "shift"),
    [
        (0.25, 0.0, -25),  # a fraction of 100 px
        (1.0, 0.0, -1),  # pixels from 1 on
        (12.5, 0.75, 6.25),
        (3, 0.0, 0),  # of -0, 0, -1, 1, -2, 2
        (3, 2.5 / 6, -1),
        (3, 3.5 / 6, 1),
        (3, ALMOST_ONE, 2),
        (1, ALMOST_ONE, 0),
        (0, 0.9, 0),
        (np.int64(2), ALMOST_ONE, 1),
        (np.float32(0.25), 0.0, -25),
        ([4, 9], 0.0, -4),  # of -4, 4, -9, 9
        ([4, 9], 0.25, 4),
        ([4, 9], 0.5, -9),
        ([4, 9], ALMOST_ONE, 9),
        ([0.1, 0.3], ALMOST_ONE, 30),
        ([0.5, 1], 0.0, -0.5),  # pixels, as not all are below 1
        ((0.5,), 0.0, -50),
        (np.array([0.5]), 0.0, -50),
    ],
)
@pytest.mark.parametrize("name", ["width_shift_range", "height_shift_range"])
def test_shifts_in_pixels(name, limit, uniform, shift):
    key = {"width_shift_range": "ty", "height_shift_range": "tx"}[name]
    assert one(key, uniform, (100, 100, 3), **{name: limit}) == pytest.approx(shift)


def test_no_negative_number_of_pixels():
    with pytest.raises(InputError, match="shift of -3 pixels"):
        Augmenter(width_shift_range=-3)


@pytest.mark.parametrize(
    ("zoom", "uniform", "factor"),
    [
        ((0.5, 0.5), 0.7, 0.5),
        ((0.8, 1.2), 0.25, 0.9),
        ([0.8, 1.2], 0.25, 0.9),
        (0.0, 0.7, 1.0),
        # -1 to -0.05 and 0.05 to 3, of 3.9 together
        (2, 0.0, -1.0),
        (2, 0.95 / 3.9 - 1e-9, -0.05),
        (2, 0.95 / 3.9 + 1e-9, 0.05),
        (2, 0.5, 1.05),
        (2, ALMOST_ONE, 3.0),
        ((-1, 1), 0.5, -0.05),  # the end of the first part
        ((-2, -1), 0.25, -1.75),
        # one end lies in what is left out
        ((0.0, 1.05), 0.5, 0.55),
        ((-1.05, 0.0), 0.5, -0.55),
        # nothing is left but the end
        ((0.01, 0.05), 0.5, 0.05),
        ((-0.05, 0.01), 0.5, -0.05),
    ],
)
@pytest.mark.parametrize("name", ["zx", "zy"])
def test_zoom_factors_stay_clear_of_zero(name, zoom, uniform, factor):
    assert one(name, uniform, zoom_range=zoom) == pytest.approx(factor, abs=1e-7)


@pytest.mark.parametrize("zoom", [(0.5,), (0.5, 1, 2), (1.2, 0.8)])
def test_a_zoom_is_one_number_or_two(zoom):
    with pytest.raises(InputError, match="a smaller and a larger"):
        Augmenter(zoom_range=zoom)


def test_the_arguments_can_be_read_again():
    augmenter = Augmenter(**ALL, fill_mode="constant", cval=7)
    found = {name: getattr(augmenter, name) for name in ALL}
    assert found == {**ALL, "zoom_range": (0.5, 1.5)}
    assert (augmenter.fill_mode, augmenter.cval) == ("constant", 7)


# --- one step -----------------------------------------------------------------------------------


def line(values, axis):
    """A grey image that is one row (axis 1) or column (axis 0) wide, repeated to four."""
    image = np.tile(np.array(values, np.uint8), (4, 1))
    image = image if axis == 1 else image.T
    return np.ascontiguousarray(np.repeat(image[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("fill_mode", "shift", "expected"),
    [
        ("nearest", 2, [80, 120, 120, 120]),
        ("nearest", -2, [0, 0, 0, 40]),
        ("nearest", 0.25, [10, 50, 90, 120]),
        ("nearest", -0.25, [0, 30, 70, 110]),
        ("nearest", 2.5, [100, 120, 120, 120]),
        ("nearest", -2.5, [0, 0, 0, 20]),
        ("nearest", 3.5, [120, 120, 120, 120]),
        ("nearest", -3.5, [0, 0, 0, 0]),
        ("nearest", 4, [120, 120, 120, 120]),  # from here on by the general warp
        ("nearest", -4, [0, 0, 0, 0]),
        ("nearest", 9.5, [120, 120, 120, 120]),
        ("reflect", 2, [80, 120, 120, 80]),  # the edge twice
        ("reflect", -2, [40, 0, 0, 40]),
        ("reflect", 0.5, [20, 60, 100, 120]),
        # as SciPy: first and last pixel coincide, so it repeats after 3
        ("wrap", 2, [80, 120, 40, 80]),
        ("wrap", -2, [40, 80, 0, 40]),
        ("wrap", 0.5, [20, 60, 100, 20]),
        ("wrap", 6, [0, 40, 80, 0]),
        # as SciPy: nothing is blended with the constant
        ("constant", 1, [40, 80, 120, 7]),
        ("constant", -1, [7, 0, 40, 80]),
        ("constant", 0.5, [20, 60, 100, 7]),
        ("constant", -0.5, [7, 20, 60, 100]),
        ("constant", 5, [7, 7, 7, 7]),
    ],
)
@pytest.mark.parametrize(("axis", "name"), [(1, "tx"), (0, "ty")])
def test_fill_modes_along_a_line(fill_mode, shift, expected, axis, name):
    augmenter = Augmenter(fill_mode=fill_mode, cval=7)
    found = augmenter.apply(line([0, 40, 80, 120], axis), {name: shift})
    np.testing.assert_array_equal(found, line(expected, axis))


def test_a_constant_is_of_every_channel():
    image = np.full((3, 3, 3), 200, np.uint8)
    found = Augmenter(fill_mode="constant", cval=9).apply(image, {"tx": 9})
    assert found.tolist() == [[[9, 9, 9]] * 3] * 3
    assert not Augmenter(fill_mode="constant").apply(image, {"tx": 9}).any()


def test_a_constant_replaces_what_lies_outside_a_large_image():
    augmenter = Augmenter(fill_mode="constant", cval=7)
    image = ramps()
    found = augmenter.apply(image, {"tx": 30})
    np.testing.assert_array_equal(found[:, :11], image[:, 30:])
    assert (found[:, 11:] == 7).all()


def test_a_zoom_alone_by_the_same_factor_moves_pixels():
    found = Augmenter().apply(line([0, 40, 80, 120, 160], 1), {"zx": 2, "zy": 2})
    np.testing.assert_array_equal(found, line([0, 0, 80, 160, 160], 1))


@pytest.mark.parametrize("parameters", [{}, {"tx": 1}, {"theta": 20}, {"flip_horizontal": True}])
@pytest.mark.parametrize("fill_mode", ["nearest", "wrap"])
def test_a_turned_view_gives_an_image_in_order(parameters, fill_mode):
    augmenter, view = Augmenter(fill_mode=fill_mode), ramps().transpose(1, 0, 2)
    found = augmenter.apply(view, parameters)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, augmenter.apply(view.copy(order="C"), parameters))


def ramps(side=41, step=6):
    """An image that says where a pixel comes from: red is 6 x, green 6 y."""
    image = np.zeros((side, side, 3), np.uint8)
    image[..., 0] = step * np.arange(side)
    image[..., 1] = step * np.arange(side)[:, None]
    return image


def sources(parameters, places):
    """Where pixels at (x, y) about the centre come from: rotation, shift, shear, zoom, multiplied.

    The matrices are `ImageDataGenerator`'s for (x, y); a point goes through the last one first.
    """
    theta, shear = (np.deg2rad(parameters[key]) for key in ("theta", "shear"))
    turn = [[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]]
    shift = [[1, 0, parameters["tx"]], [0, 1, parameters["ty"]], [0, 0, 1]]
    slant = [[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]]
    zoom = np.diag([parameters["zx"], parameters["zy"], 1])
    matrix = np.array(turn) @ np.array(shift) @ np.array(slant) @ zoom
    return (matrix @ np.array([(x, y, 1) for x, y in places]).T)[:2].T


PLACES = [(0, 0), (6, 0), (0, 6), (-5, 3), (4, -7)]
STILL = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"theta": 90},
        {"theta": 30, "tx": 4},  # the shift is turned
        {"theta": 30, "ty": 4},
        {"shear": 25},
        {"shear": 25, "zx": 0.5},
        {"shear": 25, "zy": 0.5},  # zoomed before it is slanted
        {"tx": 3.5, "zx": 0.5, "zy": 1.5},  # the shift is not zoomed
        {"zx": -1},
        {"zy": 0.5},
        {"zx": 0.5, "zy": 0.5},
        {"theta": -35, "tx": 2.5, "ty": -3.5, "shear": 15, "zx": 0.7, "zy": 1.3},
    ],
)
@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "wrap", "constant"])
def test_the_order_of_one_step(changes, fill_mode):
    parameters = {**STILL, **changes}
    found = Augmenter(fill_mode=fill_mode).apply(ramps(), changes)
    for (x, y), (from_x, from_y) in zip(PLACES, sources(parameters, PLACES), strict=True):
        pixel = found[20 + y, 20 + x].astype(float)
        assert pixel[:2] == pytest.approx([6 * (20 + from_x), 6 * (20 + from_y)], abs=0.75)


@pytest.mark.parametrize("changes", [{"tx": 3}, {"theta": 20, "tx": 3}, {"tx": 60}])
@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "wrap", "constant"])
def test_the_flip_comes_last(changes, fill_mode):
    augmenter = Augmenter(fill_mode=fill_mode)
    image = ramps()[:, 4:]
    moved = augmenter.apply(image, changes).astype(int)
    for horizontal, vertical in ((True, False), (False, True), (True, True)):
        flips = {"flip_horizontal": horizontal, "flip_vertical": vertical}
        expected = moved[:: -1 if vertical else 1, :: -1 if horizontal else 1]
        found = augmenter.apply(image, {**changes, **flips})
        assert np.abs(found - expected).max() <= 1


def test_the_centre_of_an_image_of_even_sides_lies_between_pixels():
    image = ramps(20, 10)[:14]
    np.testing.assert_array_equal(Augmenter().apply(image, {"zx": -1}), image[:, ::-1])
    np.testing.assert_array_equal(Augmenter().apply(image, {"zy": -1}), image[::-1])
    square = ramps(14, 10)
    # a turn by 90 degrees: the source of (x, y) is (-y, x) about the centre
    turned = Augmenter().apply(square, {"theta": 90})
    np.testing.assert_array_equal(turned, np.rot90(square, -1, axes=(1, 0)))
