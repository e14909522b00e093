"""The rules of stain estimation, each by a case that is worked out by hand."""

from __future__ import annotations

import ctypes
import math
import sys

import cv2
import edge_bundle
import numpy as np
import pytest

from common import stain
from common.datasets.synthetic import stains
from common.errors import InputError
from common.stain import (
    Flag,
    MacenkoNormalizer,
    ReinhardNormalizer,
    Stains,
    VahadaneNormalizer,
    estimation,
    tissue,
)
from common.stain.estimation import (
    _kept,
    macenko_matrix,
    online_matrix,
    percentiles,
    vahadane_matrix,
)
from common.stain.mixing import checked_matrix, mix_densities, unmix, unmix_flat
from common.tissue import judge

AXES = np.array([[1.0, 0, 0], [0, 1.0, 0]])  # haematoxylin absorbs red, eosin green: for hands


def grey(values, side=1):
    """Image (len(values), side, 3) with one grey value per row."""
    rows = np.repeat(np.array(values, np.uint8)[:, None, None], side, axis=1)
    return np.repeat(rows, 3, axis=2)


# --- optical density and tissue ----------------------------------------------------------------


def test_density_of_a_pixel():
    floor, plus_one = (tissue.density_table(240, zero) for zero in ("floor", "plus_one"))
    assert floor.shape == (256,) and floor.dtype == np.float32
    assert floor[240] == 0 and floor[255] < 0
    assert floor[0] == floor[1] == pytest.approx(math.log(240))
    assert floor[120] == pytest.approx(math.log(2))
    assert plus_one[0] == pytest.approx(math.log(240)) and plus_one[239] == 0
    assert plus_one[119] == pytest.approx(math.log(2))


def test_tissue_begins_at_the_threshold():
    """-ln(206 / 240) = 0.1527, -ln(207 / 240) = 0.1479: the threshold 0.15 lies between."""
    table = tissue.density_table(240, "floor")
    image = grey([206, 207, 0, 255])
    image = np.concatenate([image, [[[206, 206, 207]]]]).astype(np.uint8)
    mask = tissue.tissue_mask(image, "optical_density", 0.15, table)
    assert mask.dtype == np.uint8 and mask.ravel().tolist() == [255, 0, 255, 0, 0]
    # Equal to the threshold is tissue.
    mask = tissue.tissue_mask(image, "optical_density", float(table[206]), table)
    assert mask.ravel().tolist() == [255, 0, 255, 0, 0]
    none = tissue.tissue_mask(image, "optical_density", 10, table)
    assert none.shape == (5, 1) and not none.any()
    assert tissue.tissue_mask(image, "none", 10, table).all()
    # Black alone is dark enough.
    table = tissue.density_table(240, "plus_one")
    mask = tissue.tissue_mask(grey([0, 1]), "optical_density", float(table[0]), table)
    assert mask.ravel().tolist() == [255, 0]


def test_tissue_by_lightness_is_darker_than_the_fraction():
    image = grey(range(256))
    lightness = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[:, 0, 0].astype(int)
    assert {203, 204, 205} <= set(lightness)  # 204 / 255 is 0.8
    mask = tissue.tissue_mask(image, "luminosity", 0.8, tissue.density_table(255, "floor"))
    assert (mask[:, 0] == np.where(lightness < 204, 255, 0)).all()


def test_pixels_of_a_mask():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    mask = np.random.default_rng(1).choice([0, 1, 255], (5, 7)).astype(np.uint8)
    found = tissue.select(image, mask)
    assert (found == image[mask > 0]).all() and found.dtype == np.uint8
    none = tissue.select(image, np.zeros_like(mask))
    assert none.shape == (0, 3) and none.dtype == np.uint8
    assert (tissue.select(image, np.ones_like(mask)) == image.reshape(-1, 3)).all()


def test_share_of_tissue():
    image = grey([206, 207, 240, 255])
    assert stain.tissue_share(image) == 0.25
    # By the mean of the channels: (ln 2 + 0 + 0) / 3 = 0.231, with brighter than white as 0.
    eosin = np.array([[[255, 120, 240]]], np.uint8)
    assert stain.tissue_share(eosin) == 1
    assert stain.tissue_share(eosin, threshold=0.2311) == 0
    assert stain.tissue_share(eosin, threshold=0.2310) == 1
    assert stain.tissue_share(image, white_level=207) == 0.0  # -ln(206 / 207) = 0.005
    assert stain.tissue_share(image, threshold=0) == 1  # white, too: at least
    assert stain.tissue_share(image[:0]) == 0


def test_a_picture_is_judged_by_the_same_tissue():
    """The judge of pictures knows no normaliser; background begins where theirs does."""
    picture = edge_bundle.picture(3, 200, 200)
    picture[:, :80] = np.random.default_rng(0).integers(195, 220, (200, 80, 1))  # 207 is its edge
    picture[:, -20:] = 255  # the light, which the judge takes from the picture
    measures, _ = judge(picture)
    assert 0.6 < measures["dark"] < 0.8
    assert measures["dark"] == pytest.approx(stain.tissue_share(picture), abs=0.01)


@pytest.mark.parametrize(
    ("shape", "tissue_pixels", "enough"),
    [
        ((50, 50), 15, False), ((50, 50), 16, True),  # at least 16 pixels
        ((200, 200), 39, False), ((200, 200), 40, True),  # and one in a thousand
    ],
)  # fmt: skip
def test_how_much_tissue_is_enough(shape, tissue_pixels, enough):
    image = np.full((*shape, 3), 255, np.uint8)
    image.reshape(-1, 3)[:tissue_pixels] = 100
    table = tissue.density_table(240, "floor")
    found, answer = tissue.sample_tissue(
        image,
        tissue.sample(image, 3),
        lambda part: tissue.tissue_mask(part, "optical_density", 0.15, table),
    )
    assert answer == enough
    assert found.shape == (tissue_pixels, 3) and (found == 100).all()


@pytest.mark.parametrize(("columns", "whole"), [(99, True), (100, False)])
def test_scarce_tissue_is_sampled_whole(columns, whole):
    """300 x 600 at stride 3 are 100 x 200 samples; 100 x 100 of them are enough tissue."""
    image = np.full((300, 600, 3), 255, np.uint8)
    image[:, : 3 * columns] = 100
    grid = tissue.sample(image, 3)
    found, enough = tissue.sample_tissue(image, grid, lambda part: 255 - part[..., 0])
    assert enough and len(found) == 100 * columns * (9 if whole else 1)


def test_huge_images_are_never_sampled_whole():
    image = np.full((750, 750, 3), 255, np.uint8)  # 562,500 pixels > 2**19
    image[:10] = 100
    grid = tissue.sample(image, 3)
    found, _ = tissue.sample_tissue(image, grid, lambda part: 255 - part[..., 0])
    assert len(found) == (grid[..., 0] == 100).sum()


@pytest.mark.parametrize(
    ("height", "width", "stride", "expected"),
    [
        (300, 300, 3, 3),  # 100 x 100 samples are enough
        (299, 300, 3, 1),
        (300, 300, 1, 1),
        (2000, 2000, 1, 1),  # all of a target, however large
        (400, 400, 2, 2),
        (3072, 1536, 3, 3),  # 1024 x 512 = 2**19 samples, the most
        (3000, 1575, 3, 5),  # 1000 x 525
    ],
)
def test_stride_leaves_enough_and_not_too_many(height, width, stride, expected):
    assert tissue.grid_stride(height, width, stride) == expected


def test_even_stride_samples_from_the_corner():
    image = np.random.default_rng(0).integers(0, 256, (401, 400, 3), np.uint8)
    assert (tissue.sample(image, 2) == image[:400:2, ::2]).all()
    # 99 x 100 samples at stride 3 would be too few.
    assert (tissue.sample(image[:299, :300], 3) == image[:299, :300]).all()


def test_strips_cover_every_row_once():
    image = np.zeros((100, 1000, 3), np.uint8)
    parts = list(tissue.strips(image))
    assert parts[0] == slice(0, 16)  # 16,384 pixels
    assert next(tissue.strips(np.zeros((20_000, 1, 3)))) == slice(0, 16_384)
    assert [row for part in parts for row in range(100)[part]] == list(range(100))
    assert list(tissue.strips(np.zeros((2, 100_000, 3)))) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize(("percent", "place"), [(0, 0), (25, 0.5), (50, 1), (75, 1.5), (100, 2)])
def test_brightness_is_stretched_to_a_percentile(percent, place):
    image = grey([60 if percent < 50 else 0, 120, 200])
    lightness = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[:, 0, 0].astype(float)
    level = np.interp(place, range(3), lightness)
    lab = np.full((3, 1, 3), 128, np.uint8)
    lab[:, 0, 0] = np.minimum(255 * lightness / level, 255)
    expected = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    assert (tissue.standardize_brightness(image, percent) == expected).all()
    black = np.zeros_like(image)
    assert tissue.standardize_brightness(black, percent) is black


def test_brightness_is_that_of_what_is_counted():
    """White pixels count, too: of 60, 255, 255 the middle is white, and nothing changes."""
    image = grey([60, 255, 255])
    assert (tissue.standardize_brightness(image, 50) == image).all()
    brighter = tissue.standardize_brightness(image, 25)
    assert 80 < brighter[0, 0, 0] < 160 and (brighter[1:] == 255).all()
    alone = tissue.standardize_brightness(image, 50, grey([60]))
    assert (alone == 255).all()


# --- percentiles -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "linear", "nearest"),
    [
        (0, 1, 1), (25, 2, 2), (30, 2.4, 2), (40, 3.2, 4), (100, 16, 16),
        (12.5, 1.5, 1), (37.5, 3, 4),  # half way the even position: 0 and 2
    ],
)  # fmt: skip
def test_percentile_between_two_values(percent, linear, nearest):
    values = np.array([16, 2, 8, 1, 4], np.float32)
    assert percentiles(values, [percent], "linear") == pytest.approx([linear])
    assert percentiles(values, [percent], "nearest") == pytest.approx([nearest])
    assert values.tolist() == [16, 2, 8, 1, 4]


def test_percentile_is_interpolated_between_values_of_the_function():
    found = percentiles(np.array([1, 0], np.float32), [50, 75], "linear", np.arctan)
    assert found == pytest.approx([math.pi / 8, 3 * math.pi / 16])


# --- Macenko's vectors -------------------------------------------------------------------------


def fan(degrees=(0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90)):
    """Densities at angles between the red and the green axis, weak and strong ones of each.

    By symmetry the components are the directions at 45 and 135 degrees; the strengths spread more
    than the angles, so the first is the main one.
    """
    t = np.radians(degrees)
    circle = np.stack([np.cos(t), np.sin(t), np.zeros(len(t))], axis=1)
    return np.concatenate([0.2 * circle, 3.0 * circle]).astype(np.float32)


def angles_of(matrix):
    return np.degrees(np.arctan2(matrix[:, 1], matrix[:, 0]))


@pytest.mark.parametrize(
    ("place", "rule", "expected"),
    [
        # The angles in order are 0, 0, 9, 9, 18, 18 ...: 22 of them.
        (2, "linear", 9), (2.5, "linear", 9), (3.25, "linear", 11.25), (3.75, "linear", 15.75),
        (3.25, "nearest", 9), (3.75, "nearest", 18), (0, "linear", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("eigenvectors", ["oriented", "red", "solver"])
def test_macenkos_vectors_are_percentiles_of_the_angle(place, rule, expected, eigenvectors):
    """Both tails alike; haematoxylin, which absorbs more red, first; unit rows."""
    matrix = macenko_matrix(fan(), 100 * place / 21, rule, eigenvectors)
    assert angles_of(matrix) == pytest.approx([expected, 90 - expected], abs=1e-3)
    assert np.linalg.norm(matrix, axis=1) == pytest.approx([1, 1])
    assert matrix[:, 2] == pytest.approx([0, 0], abs=1e-6)


def give_signs(monkeypatch, signs):
    """Let the solver give the second and the main direction with these signs of their red."""
    solve = np.linalg.eigh

    def flipped(covariance):
        values, vectors = solve(covariance)
        known = [v if v[0] >= 0 else -v for v in vectors.T]
        return values, np.stack([known[0], signs[0] * known[1], signs[1] * known[2]], axis=1)

    monkeypatch.setattr(np.linalg, "eigh", flipped)


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
@pytest.mark.parametrize("eigenvectors", ["oriented", "red"])
@pytest.mark.parametrize("strength", [1, 0.3])
@pytest.mark.parametrize("outlier", [False, True])
def test_the_solvers_signs_do_not_matter(monkeypatch, signs, eigenvectors, outlier, strength):
    """Also where a pixel lies behind: it then takes the arctangent of both projections."""
    density = np.float32(strength) * fan()
    if outlier:  # brighter than white, along the main direction: its angle is 180 degrees
        density = np.concatenate([density, [[-0.1, -0.1, 0]]]).astype(np.float32)
    expected = macenko_matrix(density, 100 * 2.5 / 21, "nearest", eigenvectors)
    give_signs(monkeypatch, signs)
    found = macenko_matrix(density, 100 * 2.5 / 21, "nearest", eigenvectors)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert 5 < angles_of(found)[0] < 20 and 70 < angles_of(found)[1] < 85


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_a_pixel_behind_is_at_an_angle_of_its_own(monkeypatch, signs):
    """At 245 degrees: 200 or -160 from the main direction, which is the extreme on the near side.

    The solver's convention counts from the other axis, up to 270 degrees, so there the side depends
    on the signs.
    """
    behind = 0.1 * np.array([[math.cos(math.radians(245)), math.sin(math.radians(245)), 0]])
    density = np.concatenate([fan(), behind]).astype(np.float32)
    give_signs(monkeypatch, signs)
    for eigenvectors in ("oriented", "red"):
        matrix = macenko_matrix(density, 0, "linear", eigenvectors)
        assert angles_of(matrix) == pytest.approx([90, 245 - 360], abs=1)
    red, _ = angles_of(macenko_matrix(density, 0, "linear", "solver"))
    assert red == pytest.approx(90 if signs[0] == 1 else 0, abs=1)


def test_angles_are_those_of_the_densities_not_of_their_deviations():
    """The plane goes through white, not through the mean."""
    density = fan((20, 30, 40, 50, 60, 70))
    assert angles_of(macenko_matrix(density, 0, "linear", "oriented")) == pytest.approx([20, 70])


def test_conventions_of_the_sign_differ_where_red_is_brighter_than_white():
    """Tissue at 100 to 120 degrees. `red` turns the main direction to 290 degrees.

    From there it lies at 170, 174, -174 and -170 degrees, and the two in the middle are extreme.
    """
    density = fan((100, 104, 116, 120))
    for eigenvectors, expected in (
        ("oriented", [100, 120]), ("solver", [100, 120]), ("red", [104, 116]),
    ):  # fmt: skip
        matrix = macenko_matrix(density, 0, "linear", eigenvectors)
        assert angles_of(matrix) == pytest.approx(expected, abs=1e-3)


def test_a_pixel_without_density_has_the_middle_angle():
    density = np.concatenate([fan(), np.zeros((1, 3))]).astype(np.float32)
    for eigenvectors in ("oriented", "red"):
        matrix = macenko_matrix(density, 0, "linear", eigenvectors)
        assert angles_of(matrix) == pytest.approx([0, 90], abs=1)


# --- Vahadane's vectors ------------------------------------------------------------------------


@pytest.mark.parametrize("find", [
    lambda x: vahadane_matrix(x, np.array([[0.8, 0.2, 0], [0.3, 0.9, 0]]), 1e-4),
    lambda x: online_matrix(x, 1e-4, 200),
])  # fmt: skip
def test_dictionary_of_two_pure_stains(find):
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0.3, 2, (4000, 2)) * [[1, 0]]
    amounts[::2] = amounts[::2, ::-1]
    matrix = find((amounts @ AXES).astype(np.float32))
    np.testing.assert_allclose(matrix, AXES, atol=0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers are glibc's")
def test_numbers_are_those_of_the_c_library():
    library = ctypes.CDLL(None)
    library.random.restype = ctypes.c_long
    library.srandom(0)
    expected = [library.random() for _ in range(132_000)]
    assert expected[:3] == [1_804_289_383, 846_930_886, 1_681_692_777]
    for count in (1, 64, 131_072, 132_000):
        assert estimation._random_numbers(count).tolist() == expected[:count]


def test_pixels_come_in_the_order_of_spams():
    """Its `randperm`: one of the rest is drawn, and the last of the rest takes its place."""
    table, expected = list(range(700)), []
    for number in estimation._random_numbers(700).tolist():
        place = number % len(table)
        expected.append(table[place])
        table[place] = table[-1]
        table.pop()
    assert estimation._spams_order(700, 9_999).tolist() == expected
    assert estimation._spams_order(700, 700).tolist() == expected
    assert estimation._spams_order(700, 31).tolist() == expected[:31]
    assert estimation._spams_order(700, 0).tolist() == []


def test_online_learning_begins_at_two_pixels_and_moves_with_each_batch():
    """The pixels that the C library's generator names first: 1804289383 and 846930886, modulo n."""
    x = np.random.default_rng(0).uniform(0.1, 1, (1000, 3)).astype(np.float32)
    start = x[[383, 886]] / np.linalg.norm(x[[383, 886]], axis=1, keepdims=True)
    start = start if start[0, 0] > start[1, 0] else start[::-1]
    np.testing.assert_allclose(online_matrix(x, 0.1, 0), start, rtol=1e-5)
    once, twice = online_matrix(x, 0.1, 1), online_matrix(x, 0.1, 2)
    assert abs(once - start).max() > 0.01 and abs(twice - once).max() > 1e-3


def test_the_second_atom_is_of_another_colour():
    """A pixel of the first one's colour would never part from it."""
    x = np.random.default_rng(0).uniform(0.1, 1, (1000, 3)).astype(np.float32)
    x[886] = 2 * x[383]
    unit = x[[383, 777]] / np.linalg.norm(x[[383, 777]], axis=1, keepdims=True)
    np.testing.assert_allclose(estimation._first_atoms(x), unit, rtol=1e-5)
    angle = np.arccos([0.9999985, 0.9999995])
    for a, second in zip(angle, (886, 777), strict=True):
        x[383], x[886] = [1, 0, 0], [np.cos(a), np.sin(a), 0]
        found = estimation._first_atoms(x)[1]
        np.testing.assert_allclose(found, x[second] / np.linalg.norm(x[second]), rtol=1e-5)
    same = np.tile(np.float32([0.3, 0.6, 0.2]), (50, 1))
    assert (estimation._first_atoms(same)[0] == estimation._first_atoms(same)[1]).all()
    assert np.isfinite(estimation._first_atoms(0 * same)).all()


def haematoxylin_and_eosin(pixels=700):
    """Optical densities of pixels with both stains, faint enough to have norms below 1."""
    amounts = np.random.default_rng(5).uniform(0.05, 0.6, (pixels, 2))
    return (amounts @ stain.RUIFROK).astype(np.float32)


def naive_online(density, regularizer, batches):
    """`Trainer::train` of SPAMS 2.6 on two cores, one subset of atoms after the other."""

    def codes_of(pixel):
        best = (0.5 * pixel @ pixel, np.zeros(2))
        for used in ([0], [1], [0, 1]):
            part = atoms[used]
            code = np.zeros(2)
            code[used] = np.linalg.solve(part @ part.T, part @ pixel - regularizer)
            if (code >= 0).all():
                rest = pixel - code @ atoms
                best = min(
                    best, (0.5 * rest @ rest + regularizer * code.sum(), code), key=lambda b: b[0]
                )
        return best[1]

    x, count = density.astype(np.float64), len(density)
    size = min(768, count)
    order = estimation._spams_order(count, count)
    atoms = x[[1_804_289_383 % count, 846_930_886 % count]]
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    a_start, b_start = 1e-5 * np.eye(2), 1e-5 * atoms
    a_odd, b_odd = np.zeros((2, 2)), np.zeros((2, 3))
    a_even, b_even = np.zeros((2, 2)), np.zeros((2, 3))
    even = True
    for i in range(batches):
        batch = x[[order[(j + i * size) % count] for j in range(size)]]
        codes = np.array([codes_of(pixel) for pixel in batch])
        epoch = ((i + 1) % count) * size // count
        if even != (epoch % 2 == 0):
            a_odd, b_odd, a_even, b_even = a_even, b_even, 0 * a_even, 0 * b_even
            even = not even
        seen = min(2 * count, i * size if i < size else size * size + i - size)
        scale = (seen + 1 - size) / (seen + 1)
        for sums in (a_start, b_start, a_odd, b_odd, a_even, b_even):
            sums *= scale
        a_even += codes.T @ codes / size
        b_even += codes.T @ batch / size
        a, b = a_odd + a_even, b_odd + b_even
        if i * size < 10_000:
            a, b = a + a_start, b + b_start
        for j in range(2):
            u = np.maximum((b[j] - a[j] @ atoms) / a[j, j] + atoms[j], 0)
            atoms[j] = u / max(np.linalg.norm(u), 1)
    return atoms[np.argsort(-atoms[:, 0])]


@pytest.mark.parametrize(("pixels", "batches"), [
    (700, 0), (700, 1), (700, 2), (700, 3), (1_300, 1), (1_300, 2), (1_000, 5), (901, 2), (40, 45),
])  # fmt: skip
def test_online_learning_is_that_of_spams(pixels, batches):
    x = haematoxylin_and_eosin(pixels)
    expected = naive_online(x, 0.02, batches)
    np.testing.assert_allclose(online_matrix(x, 0.02, batches), expected, atol=3e-6)


def test_online_learning_gives_unit_vectors_where_an_atom_became_short():
    """Without a penalty the best atom may be shorter than 1: here 0.971."""
    x = np.random.default_rng(3).exponential(1, (20, 3)).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(online_matrix(x, 0.0, 10), axis=1), 1, rtol=1e-9)


def test_the_dictionary_is_learnt_as_asked():
    image = np.rint(255 * np.exp(-haematoxylin_and_eosin().reshape(20, 35, 3))).astype(np.uint8)
    density = -np.log(np.maximum(image.reshape(-1, 3), 1) / np.float32(255))
    chosen = {"stride": 1, "mask": "none", "dictionary_regularizer": 0.02}
    early = VahadaneNormalizer(dictionary="online", dictionary_batches=2, **chosen)
    expected = online_matrix(density, 0.02, 2)
    np.testing.assert_allclose(early.stain_matrix(image), expected, atol=1e-5)
    last = VahadaneNormalizer(**chosen).stain_matrix(image)
    start = macenko_matrix(density, 1.0, "linear", "oriented")
    np.testing.assert_allclose(last, vahadane_matrix(density, start, 0.02), atol=1e-5)
    assert abs(last - expected).max() > 1e-4


def test_what_was_learnt_before_keeps_its_weight():
    """SPAMS: batches weigh alike up to the number of their images, then as single images."""
    assert _kept(0, 512, 10**9) == -511 and _kept(1, 512, 10**9) == 1 / 513
    assert _kept(2, 512, 10**9) == 513 / 1025
    assert _kept(511, 512, 10**9) == (511 * 512 + 1 - 512) / (511 * 512 + 1)
    assert _kept(512, 512, 10**9) == 261633 / 262145
    assert _kept(513, 512, 10**9) == 261634 / 262146
    assert _kept(511, 512, 600) == (1201 - 512) / 1201  # two epochs


def test_haematoxylin_comes_first_wherever_the_search_begins():
    x = haematoxylin_and_eosin()
    for start in (stain.RUIFROK, stain.RUIFROK[::-1]):
        found = vahadane_matrix(x, start, 1e-4)
        assert found[0, 0] > 0.5 > found[1, 0]


def test_constants_are_ruifrok_and_johnstons():
    """Haematoxylin and eosin; synthetic tissue is mixed with the same."""
    table = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
    np.testing.assert_allclose(
        stain.RUIFROK, table / np.linalg.norm(table, axis=1, keepdims=True), rtol=1e-12
    )
    assert tuple(map(tuple, table.tolist())) == (stains.HAEMATOXYLIN, stains.EOSIN)


# --- concentrations and mixing -----------------------------------------------------------------


def test_concentrations_by_hand():
    """Atoms e1 and (e1 + e2) / sqrt 2, x = (0.9, 0.5): least squares 0.4 and 0.707."""
    half = 1 / math.sqrt(2)
    matrix = np.array([[1, 0, 0], [half, half, 0]])
    x = np.array([[[0.9, 0.5, 0.3], [0.2, 0.9, 0]]], np.float32)
    found = unmix(x, matrix, "least_squares", 9)
    np.testing.assert_allclose(found[0, :, :2], [[0.4, 0.5 / half], [-0.7, 0.9 / half]], rtol=1e-5)
    assert (found[..., 2] == 0).all()
    # Lasso: correlations 0.9 - l and 1.4 half - l, times [[2, -sqrt 2], [-sqrt 2, 2]].
    first, second = 0.9 - 0.1, 1.4 * half - 0.1
    both = [2 * first - second / half, 2 * second - first / half]
    # Second pixel: the first atom would be negative, so the other takes 1.1 half - l alone.
    found = unmix(x, matrix, "lasso", 0.1)
    np.testing.assert_allclose(found[0, :, :2], [both, [0, 1.1 * half - 0.1]], rtol=1e-5)
    for rule in ("least_squares", "lasso"):
        flat = unmix_flat(x, matrix, rule, 0.1)
        np.testing.assert_allclose(flat.T, unmix(x, matrix, rule, 0.1)[0, :, :2], rtol=1e-5)


@pytest.mark.parametrize(("rounding", "green"), [("nearest", 71), ("truncate", 70)])
def test_mixing_by_hand(rounding, green):
    """Twice the density of 170 is 240 (170 / 240)^2 = 120.4; 0.347 more than that of 100, 70.7."""
    image = np.array([[[170, 100, 255]]], np.uint8)
    table = tissue.density_table(240, "floor")
    shift = np.array([0, 0.347, -1])
    result = mix_densities(image, table, np.diag([2, 1, 1]), shift, 240, rounding)
    assert result.tolist() == [[[120, green, 255]]]


@pytest.mark.parametrize(
    ("zero", "white", "matrix", "pixel"),
    [
        ("floor", 240, [-10, 1, 1], 0),  # 11 times ln 240 is 60: too much for a whole number
        ("floor", 240, [1, 1, 400], 255),  # as is 400 times what 255 is brighter than 240
        ("floor", 254, [1, 5000, 1], 255),  # 254 alone would not be
        ("plus_one", 240, [1, -3.025, 1], 0),  # nor would 1: its exponent is 19.96, that of 0 22.06
    ],
)
def test_light_beyond_all_numbers_is_white(zero, white, matrix, pixel):
    image = np.full((1, 2, 3), pixel, np.uint8)
    image[0, 1] = 100
    table, place = tissue.density_table(white, zero), int(np.argmax(np.abs(matrix)))
    found = mix_densities(image, table, np.diag(matrix), np.zeros(3), white, "nearest")
    plain = mix_densities(image, table, np.eye(3), np.zeros(3), white, "nearest")
    assert found[0, 0, place] == 255
    others = [channel for channel in range(3) if channel != place]
    assert (found[..., others] == plain[..., others]).all()


@pytest.mark.parametrize("wrong", [[["1", "0", "0"], ["0", "1", "0"]], AXES * 1j, "ab", None,
                                   [[1, 0, 0], [1, 0]], [[1, 0, np.nan], [0, 1, 0]],
                                   [[1, 0, 0], [0, 0, 0]]])  # fmt: skip
def test_numbers_that_are_none_are_no_stain_matrix(wrong):
    with pytest.raises(InputError, match="stain matrix: expected 2 x 3 numbers"):
        checked_matrix(wrong)


def test_stain_matrix_is_normalised_and_checked():
    np.testing.assert_allclose(checked_matrix([[3, 0, 0], [0, 3, 4]]), [[1, 0, 0], [0, 0.6, 0.8]])
    half = [[1, 0, 0], [0, 1.5, 0]]
    np.testing.assert_allclose(checked_matrix(half), [[1, 0, 0], [0, 1, 0]])
    for seed in range(50):  # to the last bit, whatever their norms are to that bit
        exact = np.random.default_rng(seed).uniform(0.1, 1, (2, 3))
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
        assert checked_matrix(exact).tobytes() == exact.tobytes()


# --- gains, angles, strengths ------------------------------------------------------------------


def test_flags_are_numbered_as_files_and_arrays_hold_them():
    assert [(flag.name, flag.value, flag.unchanged) for flag in Flag] == [
        ("OK", 0, False), ("GAIN_LIMITED", 1, False), ("NO_TISSUE", 2, True),
        ("SINGLE_STAIN", 3, True),
    ]  # fmt: skip


def with_stains(maximum, matrix=AXES, **conventions):
    """Normaliser to strengths 1, 1, for which every image has the stains given."""
    normalizer = MacenkoNormalizer(stride=1, **conventions)
    normalizer.set_target(matrix=AXES.tolist(), maximum=[1, 1])
    normalizer._estimate = lambda image, stride: Stains(np.array(matrix), np.array(maximum))
    return normalizer


@pytest.mark.parametrize(
    ("maximum", "red", "flag"),
    [
        ([1, 1], 120, Flag.OK),
        ([0.5, 1], 60, Flag.OK),  # gain 2, the limit: 240 exp(-2 ln 2)
        ([0.49, 1], 60, Flag.GAIN_LIMITED),
        ([0.1, 1], 60, Flag.GAIN_LIMITED),
        ([2, 1], 170, Flag.OK),  # gain 1/2: 240 / sqrt 2 = 169.7
        ([2.1, 1], 170, Flag.GAIN_LIMITED),
        ([1, 0.1], 120, Flag.GAIN_LIMITED),  # of the other stain
    ],
)
def test_gain_keeps_within_its_bounds(maximum, red, flag):
    image = np.array([[[120, 240, 240]]], np.uint8)
    result, found = with_stains(maximum, max_gain=2.0).transform(image, return_flags=True)
    assert found == flag
    assert result.tolist() == [[[red, 240, 240]]]


@pytest.mark.parametrize(("value", "flag"), [(5.0, Flag.OK), (5.2, Flag.GAIN_LIMITED)])
def test_reinhards_spread_keeps_within_the_same_bounds(value, flag):
    normalizer = ReinhardNormalizer()
    normalizer.set_target(mean=[60, 0, 0], deviation=[value, 1, 1])
    normalizer._statistics = lambda image, stride: (
        np.array([60.0, 0, 0]), np.array([1.0, 1, 1]), Flag.OK,
    )  # fmt: skip
    _, found = normalizer.transform(np.full((4, 4, 3), 120, np.uint8), return_flags=True)
    assert found == flag


@pytest.mark.parametrize(
    ("degrees", "flag"), [(1.99, Flag.SINGLE_STAIN), (2.01, Flag.OK), (90, Flag.OK)]
)
def test_vectors_closer_than_the_least_angle_are_one_stain(degrees, flag):
    t = np.radians(degrees)
    normalizer = MacenkoNormalizer(stride=1, mask="none")
    normalizer._matrix = lambda density: np.array([[1, 0, 0], [np.cos(t), np.sin(t), 0]])
    # Green densities of 0 to 0.008: seen from the first vector they are small at any angle.
    image = np.full((40, 40, 3), 240, np.uint8)
    image[..., 0] = 90
    image[..., 1] = np.random.default_rng(0).integers(238, 241, (40, 40))
    assert normalizer.estimate(image).flag == flag


def test_pale_eosin_is_tissue_by_lightness():
    """Eosin of a red density below the mask's 0.15 is no tissue for the default."""
    eosin = np.array([0.06, 0.99, 0.12]) / np.linalg.norm([0.06, 0.99, 0.12])
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0.6, 1.5, (200, 200, 2)) * [1, 1.2]
    amounts[:, 60:, 0] = 0
    image = np.rint(240 * np.exp(-amounts @ np.stack([stain.RUIFROK[0], eosin]))).astype(np.uint8)
    apart = [
        np.degrees(np.arccos(MacenkoNormalizer(preset).stain_matrix(image)[1] @ eosin))
        for preset in ("luminosity", "default")
    ]
    assert apart[0] < 1 and apart[1] > 5


def test_strength_is_the_percentile_over_all_pixels():
    """Background included: of 100 pixels the 90th percentile, position 89.1."""
    normalizer = MacenkoNormalizer(stride=1, concentration_percentile=90.0, mask="none")
    normalizer._matrix = lambda density: AXES
    image = np.full((10, 10, 3), 240, np.uint8)
    image.reshape(-1, 3)[:10, 0] = 120  # ten of a hundred have haematoxylin ln 2
    image.reshape(-1, 3)[:20, 1] = 60  # twenty have eosin ln 4
    stains = normalizer.estimate(image)
    assert stains.flag == Flag.OK
    assert stains.maximum == pytest.approx([0.1 * math.log(2), math.log(4)], rel=1e-5)
    none = normalizer.estimate(np.full((10, 10, 3), 240, np.uint8))
    assert none.flag == Flag.SINGLE_STAIN  # nothing to scale


def test_a_target_is_estimated_on_every_pixel():
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0.2, 1.5, (360, 360, 2))
    image = np.rint(240 * np.exp(-amounts @ stain.RUIFROK)).astype(np.uint8)
    fitted = MacenkoNormalizer(stride=3).fit(image).fitted_target
    whole, third = (MacenkoNormalizer(stride=n).estimate(image) for n in (1, 3))
    assert (fitted.matrix == whole.matrix).all() and (fitted.maximum == whole.maximum).all()
    assert (fitted.matrix != third.matrix).any()
    reinhard = ReinhardNormalizer(stride=3).fit(image)
    mean, deviation, _ = reinhard._statistics(image, 1)
    target = reinhard.state()["target"]
    assert (target["mean"], target["deviation"]) == (mean.tolist(), deviation.tolist())
    assert (reinhard._statistics(image, 2)[0] != mean).any()


@pytest.mark.parametrize("wrong", [
    {"maximum": [1, 1]}, {"matrix": AXES, "maximum": [1, 1], "mean": 0},
    {"matrix": AXES, "maximum": [1, 1, 1]}, {"matrix": AXES, "maximum": [1, 0]},
    {"matrix": AXES, "maximum": [1, np.inf]}, {"matrix": AXES[:1], "maximum": [1, 1]},
])  # fmt: skip
def test_a_target_that_is_none_is_refused(wrong):
    normalizer = MacenkoNormalizer()
    with pytest.raises(InputError, match=r"stain target|maximum|stain matrix"):
        normalizer.set_target(**wrong)
    assert not normalizer.fitted
    with pytest.raises(InputError, match="expected mean and deviation"):
        ReinhardNormalizer().set_target(**wrong)


def test_first_of_equally_typical_images_is_the_target():
    amounts = np.random.default_rng(0).uniform(0.2, 1.5, (40, 40, 2))
    image = np.rint(240 * np.exp(-amounts @ stain.RUIFROK)).astype(np.uint8)
    white = np.full_like(image, 255)
    assert stain.choose_target([white, image, image]) == 1
    # Reinhard's normaliser knows no stains: Macenko's matrices choose for it.
    assert stain.choose_target([white, image, image], ReinhardNormalizer()) == 1
