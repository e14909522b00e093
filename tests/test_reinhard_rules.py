"""Reinhard's colours: CIELAB as its standards write it, and when an image has a single colour."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from common.stain import Flag, ReinhardNormalizer, reinhard

# IEC 61966-2-1 and CIE 15, white D65.
TO_XYZ = np.array([
    [0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227],
])  # fmt: skip
WHITE = np.array([0.95047, 1.0, 1.08883])


def to_lab(image):
    """L (0 to 100), a and b of RGB pixels, in float64."""
    value = np.asarray(image, float) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    xyz = linear @ TO_XYZ.T / WHITE
    x, y, z = np.moveaxis(np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def from_lab(lab):
    """RGB pixels, 0 to 255, in float64."""
    light, a, b = np.moveaxis(np.asarray(lab, float), -1, 0)
    y = (light + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(roots > 0.2068966, roots**3, (roots - 16 / 116) / 7.787) * WHITE
    linear = np.clip(xyz @ np.linalg.inv(TO_XYZ).T, 0, 1)
    value = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.clip(255 * value, 0, 255)


def colours(seed=0, shape=(40, 64)):
    """Pixels of every grey level and of many colours, dark ones among them."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
    image[:4] = np.arange(256, dtype=np.uint8).reshape(4, 64, 1)
    image[4:8] = random.integers(0, 24, (4, 64, 3))
    return image


def tissue(seed=0, low=40, high=190, shape=(30, 40)):
    """Colours of no single stain."""
    return np.random.default_rng(seed).integers(low, high, (*shape, 3)).astype(np.uint8)


# --- colours -------------------------------------------------------------------------------------


def test_lab_is_that_of_the_standards():
    image = colours()
    found = cv2.transform(reinhard._cube_roots(image), reinhard._LAB)
    np.testing.assert_allclose(found, to_lab(image), atol=2e-3)
    opencv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    np.testing.assert_allclose(found, opencv, atol=2)


def test_pixels_come_back():
    image = colours()
    np.testing.assert_allclose(
        reinhard._from_cube_roots(reinhard._cube_roots(image)), image, atol=0.02
    )
    roots = np.array([[[2, 2, 2], [-1, -1, -1], [1, 1, 1], [0.5, 0.5, 0.5]]], np.float32)
    found = reinhard._from_cube_roots(roots.copy())[0, :, 1]
    light = from_lab([[100, 0, 0], [42, 0, 0]])[:, 1]
    assert found == pytest.approx([255, 0, *light], abs=0.05)


def encoded(image):
    """OpenCV's 8-bit CIELAB, decoded."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(float) / [2.55, 1, 1] - [0, 128, 128]


def statistics(lab):
    return lab.reshape(-1, 3).mean(axis=0), lab.reshape(-1, 3).std(axis=0)


@pytest.mark.parametrize("lab", ["float", "8bit"])
def test_statistics_are_those_of_lab(lab):
    image = tissue()
    mean, deviation, flag = ReinhardNormalizer(lab=lab)._statistics(image, 1)
    expected = statistics(to_lab(image) if lab == "float" else encoded(image))
    assert flag == Flag.OK
    np.testing.assert_allclose((mean, deviation), expected, atol=5e-3)


def fitted(mean, deviation, **conventions):
    normalizer = ReinhardNormalizer(stride=1, **conventions)
    normalizer.set_target(mean=mean, deviation=deviation)
    return normalizer


# The second and the third leave the range of a pixel at both ends.
@pytest.mark.parametrize("spread", [(9, 6, 11), (60, 6, 11), (20, 60, 90)])
@pytest.mark.parametrize("rounding", ["nearest", "truncate"])
def test_an_image_gets_the_means_and_deviations_wanted(spread, rounding):
    wanted, image = np.array([55.0, 12, -8]), tissue(shape=(300, 90))  # more than a strip
    normalizer = fitted(wanted, spread, rounding=rounding)
    found, flag = normalizer.transform(image, return_flags=True)
    lab = to_lab(image)
    mean, deviation = statistics(lab)
    exact = from_lab((lab - mean) * spread / deviation + wanted)
    expected = np.rint(exact) if rounding == "nearest" else np.floor(exact + 1e-6)
    assert abs(found - expected).max() <= 1 and (found != expected).mean() < 0.01
    assert flag == Flag.OK
    normalizer = fitted(wanted, spread, rounding=rounding, lab="8bit")
    found = normalizer.transform(image)
    lab = encoded(image)
    mean, deviation = statistics(lab)
    values = (lab - mean) * spread / deviation + wanted
    values = (values * [2.55, 1, 1] + [0, 128, 128]).clip(0, 255)
    values = (np.rint(values) if rounding == "nearest" else values).astype(np.uint8)
    expected = cv2.cvtColor(values, cv2.COLOR_LAB2RGB)
    assert (found != expected).mean() < 1e-3


def test_a_small_deviation_is_scaled_as_it_is():
    normalizer = fitted([60, 0, 0], [1, 1, 1], max_gain=100.0)
    normalizer._statistics = lambda image, stride: (
        np.array([60.0, 0, 0]), np.array([1.0, 1, 0.05]), Flag.OK,
    )  # fmt: skip
    image = np.full((1, 1, 3), (146, 145, 143), np.uint8)
    found, flag = normalizer.transform(image, return_flags=True)
    assert flag == Flag.OK
    assert found == pytest.approx(from_lab(to_lab(image) * [1, 1, 20]), abs=0.6)


def test_the_engine_of_staintools_is_asked(monkeypatch):
    normalizer, asked = fitted([60, 1, 2], [9, 8, 7]), []
    normalizer.engine = "staintools"
    monkeypatch.setattr(reinhard.staintools, "reinhard", lambda *given: asked.append(given) or "x")
    image = tissue()
    assert normalizer._transform(image) == ("x", Flag.OK)
    ((given, mean, deviation),) = asked
    assert given is image and (mean.tolist(), deviation.tolist()) == ([60, 1, 2], [9, 8, 7])


# --- one colour ----------------------------------------------------------------------------------


def one_colour(pixels, mean=(50, 20, 20), deviation=(9, 9, 9)):
    return reinhard._one_colour(np.array(pixels, np.uint8), np.array(mean), np.array(deviation))


def test_grey_is_little_chroma():
    few = [[100, 60, 140]]  # too few to look for two stains
    assert one_colour(few, mean=(50, 1.2, 0), deviation=(9, 0, 1.59))
    assert not one_colour(few, mean=(50, 1.2, 0), deviation=(9, 0, 1.61))
    assert not one_colour(few, mean=(0, 0, 2.0), deviation=(0, 0, 0))
    assert one_colour(few, mean=(0, 1.99, 0), deviation=(9, 0, 0))


@pytest.mark.parametrize(("pixels", "expected"), [(15, False), (16, True)])
def test_one_stain_needs_pixels(pixels, expected):
    shades = [[round(240 * 0.97**i), round(240 * 0.9**i), round(240 * 0.95**i)] for i in range(99)]
    dark = [one for one in shades if max(one) <= 206][:16]  # from the density 0.15 on: 206.6
    pale = [[207, 100, 100]] * 50  # not in every channel
    assert one_colour(dark[:pixels] + pale) is expected


@pytest.mark.parametrize(("degrees", "expected"), [(1.99, True), (2.01, False), (np.nan, True)])
def test_one_stain_is_two_vectors_within_two_degrees(degrees, expected, monkeypatch):
    asked = []

    def matrix(density, *rules):
        asked.append((len(density), *rules))
        t = np.radians(degrees)
        return np.array([[1, 0, 0], [np.cos(t), np.sin(t), 0]])

    monkeypatch.setattr(reinhard, "macenko_matrix", matrix)
    for n in (100, 4096, 8191, 8192, 12_288):
        assert one_colour([[100, 60, 140]] * n) == expected
    rules = (1.0, "linear", "oriented")
    assert asked == [(100, *rules), (4096, *rules), (8191, *rules), (4096, *rules), (4096, *rules)]


def test_which_images_have_no_statistics():
    def flag(image, **conventions):
        mean, deviation, found = ReinhardNormalizer(**conventions)._statistics(image, 1)
        assert np.isnan(mean).all() == np.isnan(deviation).all() == found.unchanged
        assert mean.shape == deviation.shape == (3,)
        return found

    assert flag(tissue()) == Flag.OK
    assert flag(tissue()[:0]) == Flag.NO_TISSUE
    assert flag(tissue()[:3, :5]) == Flag.NO_TISSUE  # 15 pixels
    assert flag(tissue()[:4, :4]) == Flag.OK
    for level, expected in ((239, Flag.SINGLE_STAIN), (242, Flag.NO_TISSUE)):  # L is 94.4 and 95.5
        assert flag(np.full((9, 9, 3), level, np.uint8)) == expected
    # Many hues, all as light as one another within 0.1 and within 0.9: deviations of 0.06 and 0.5.
    many = np.random.default_rng(0).integers(40, 200, (400_000, 3)).astype(np.uint8)
    apart = abs(to_lab(many)[:, 0] - 50)
    assert flag(many[apart < 0.1][:900, None]) == Flag.SINGLE_STAIN
    assert flag(many[apart < 0.9][:900, None]) == Flag.OK
    # Pink whose lightness varies by a few hundredths.
    pink = np.full((20, 20, 3), (200, 90, 160), np.uint8)
    pink[::2, :, 2] += 1
    assert flag(pink) == Flag.SINGLE_STAIN
    pale = np.full((20, 20, 3), 250, np.uint8)
    pale[:10] = tissue(shape=(10, 20))
    assert flag(pale, mask="luminosity", mask_threshold=0.9) == Flag.OK
    assert flag(np.full((20, 20, 3), 250, np.uint8), mask="luminosity") == Flag.NO_TISSUE
