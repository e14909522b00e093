"""The steps of the accelerated normalisation, each against the one that it stands for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from common import stain
from common.errors import InputError
from common.stain import Flag, MacenkoNormalizer, VahadaneNormalizer
from common.stain.estimation import macenko_matrix, percentiles
from common.stain.mixing import unmix_flat
from common.stain.padding import content


def mixture(seed=0, shape=(20, 24), turn=0.0, strength=1.5):
    """Two stains in all ratios, (H, W, 3), uint8."""
    random = np.random.default_rng(seed)
    matrix = stain.RUIFROK + turn * np.array([[0.1, -0.1, 0.05], [0.1, -0.05, 0.1]])
    amounts = random.uniform(0.2, strength, (*shape, 2))
    return np.rint(240 * np.exp(-amounts @ matrix)).astype(np.uint8)


def fitted(**conventions):
    normalizer = MacenkoNormalizer(**conventions)
    normalizer.set_target(matrix=stain.RUIFROK, maximum=[1.4, 1.3])
    return normalizer


def layer(**conventions):
    from common.stain.accelerator import StainNormalization

    return StainNormalization(fitted(**conventions))


def tensor(values, kind=np.float32):
    from common.backend import ops

    return ops.convert_to_tensor(np.asarray(values, kind))


# --- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [0, 12.5, 30, 40, 50, 77, 100])
@pytest.mark.parametrize("rule", ["linear", "nearest"])
def test_percentiles_of_what_is_counted(percent, rule):
    random = np.random.default_rng(0)
    values = random.normal(size=(6, 9)).astype(np.float32)
    mask = random.random((6, 9)) < 0.6
    mask[0], mask[1], mask[2] = True, False, [True, *[False] * 8]
    found = np.asarray(
        layer(percentile=rule)._percentile(tensor(values), tensor(mask, bool), percent)
    )
    for i in (0, 2, 3, 4, 5):
        expected = percentiles(values[i][mask[i]], [percent], rule)
        assert found[i] == pytest.approx(expected[0], abs=1e-5)
    assert found[1] > 1e38  # of nothing: no number that anything is close to


@pytest.mark.parametrize("rule", ["least_squares", "lasso"])
def test_concentrations(rule):
    random = np.random.default_rng(0)
    density = random.uniform(0, 2, (3, 30, 3)).astype(np.float32)
    matrices = np.stack([stain.RUIFROK, [[1, 0, 0], [0.6, 0.8, 0]], [[0, 1, 0], [0, 0.8, 0.6]]])
    made = layer(concentrations=rule, regularizer=0.2)
    found, inverse = map(np.asarray, made._unmix(tensor(density), tensor(matrices)))
    for i, matrix in enumerate(matrices):
        expected = unmix_flat(density[i], matrix, rule, 0.2).T
        np.testing.assert_allclose(found[i], expected, atol=1e-4)
        np.testing.assert_allclose(inverse[i], np.linalg.pinv(matrix), atol=1e-4)
    assert rule == "least_squares" or (found == 0).any()


def fan(degrees):
    """Densities at angles between the red and the green axis, weak and strong ones of each."""
    t = np.radians(degrees)
    circle = np.stack([np.cos(t), np.sin(t), np.zeros(len(t))], axis=1)
    return np.concatenate([0.2 * circle, 3.0 * circle]).astype(np.float32)


@pytest.mark.parametrize("eigenvectors", ["oriented", "red"])
@pytest.mark.parametrize("percent", [0, 10, 25])
def test_vectors(eigenvectors, percent):
    made = layer(eigenvectors=eigenvectors, angle_percentile=percent, mask="none")
    # Between the axes, and where red is brighter than white: there the two conventions differ.
    fans = np.stack([fan(d) for d in ((0, 9, 30, 60, 81, 90), (100, 103, 104, 116, 117, 120))])
    counted = np.ones(fans.shape[:2], bool)
    counted[:, 4] = False
    matrix, enough, scarce = map(np.asarray, made._matrix(tensor(fans), tensor(counted, bool)))
    for i, density in enumerate(fans):
        expected = macenko_matrix(density[counted[i]], percent, "linear", eigenvectors)
        np.testing.assert_allclose(matrix[i], expected, atol=1e-4)
    assert enough.tolist() == [False, False] and scarce.tolist() == [True, True]


@pytest.mark.parametrize("eigenvectors", ["oriented", "red"])
def test_the_solvers_signs_do_not_matter(eigenvectors, monkeypatch):
    """Of each image's directions it may give either sign; a pixel lies behind, at its own angle."""
    from common.stain import accelerator

    random = np.random.default_rng(0)
    stains = random.uniform(0.1, 1, (8, 2, 3))
    density = (random.uniform(0.2, 2, (8, 90, 2)) @ stains).astype(np.float32)
    density[:, 0] = [-0.1, -0.2, 0.05]
    made = layer(eigenvectors=eigenvectors, angle_percentile=5.0, mask="none")
    solve = accelerator.ops.eigh
    signs = np.array([*itertools.product((1, -1), repeat=3)])[:, None]

    def with_signs(matrix):
        values, vectors = solve(matrix)
        return values, vectors * tensor(signs)

    monkeypatch.setattr(accelerator.ops, "eigh", with_signs)
    matrix, _, _ = made._matrix(tensor(density), tensor(np.ones((8, 90)), bool))
    for found, one in zip(np.asarray(matrix), density, strict=True):
        expected = macenko_matrix(one, 5.0, "linear", eigenvectors)
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("pixels", "tissue", "enough"), [
    (400, 15, False), (400, 16, True), (20_000, 19, False), (20_000, 20, True),
])  # fmt: skip
def test_how_much_tissue_is_enough(pixels, tissue, enough):
    density = np.zeros((3, 2 * pixels, 3), np.float32)
    density[:, :tissue] = np.random.default_rng(0).uniform(0.2, 1, (3, tissue, 3))
    density[:, pixels:] = 1  # does not count
    counted = np.stack([np.arange(2 * pixels) < pixels] * 3)
    _, found, _ = layer()._matrix(tensor(density), tensor(counted, bool))
    assert np.asarray(found).tolist() == [enough] * 3


@pytest.mark.parametrize(("tissue", "scarce"), [(9_999, True), (10_000, False)])
def test_how_much_tissue_is_scarce(tissue, scarce):
    density = np.zeros((1, 12_000, 3), np.float32)
    density[0, :tissue] = np.random.default_rng(0).uniform(0.2, 1, (tissue, 3))
    _, _, found = layer()._matrix(tensor(density), tensor(np.ones((1, 12_000)), bool))
    assert np.asarray(found).tolist() == [scarce]


@pytest.mark.parametrize("zero", ["floor", "plus_one"])
@pytest.mark.parametrize("value", [None, 40, 100, 139, 201])
def test_tissue_begins_at_the_same_pixel_value(zero, value):
    """Also where the threshold is the density of a value, which is then tissue."""
    table = stain.tissue.density_table(230, zero)
    threshold = 0.5 if value is None else float(table[value])
    made = layer(zero=zero, white_level=230.0, mask_threshold=threshold)
    np.testing.assert_allclose(made._density(tensor(np.arange(256))), table, atol=1e-5)
    first = int((table >= threshold).sum())
    for level in (first - 1, first):
        image = np.full((1, 400, 3), level, np.uint8)
        _, enough, _ = made._matrix(made._density(tensor(image)), tensor(np.ones((1, 400)), bool))
        mask = stain.tissue.tissue_mask(image, "optical_density", threshold, table)
        assert bool(np.asarray(enough)[0]) == bool(mask.all()) == (level < first)


def test_padding_is_what_the_other_one_takes_for_it():
    from common.stain.accelerator import _content

    random = np.random.default_rng(0)
    image = random.integers(9, 255, (12, 15, 3)).astype(np.uint8)
    image[5, 7], image[6, 3] = 0, 255  # inside, where a picture may have them
    made = [image]
    for top, bottom, left, right in (
        (0, 0, 0, 0), (3, 0, 0, 0), (0, 2, 0, 0), (0, 0, 4, 0), (0, 0, 0, 1), (1, 2, 3, 4),
    ):  # fmt: skip
        for level in (0, 8, 9, 254, 255):
            one = image.copy()
            one[:top], one[12 - bottom :], one[:, :left], one[:, 15 - right :] = [level] * 4
            made.append(one)
    both = image.copy()
    both[:, :4], both[:2], both[-3:] = 0, 255, 4
    made.append(both)
    for rows, columns in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        one = image.copy()
        one[rows, columns] = 3  # black inside is out, too, where a corner is black
        made.append(one)
        inner = np.zeros_like(image)
        inner[2:-3, 1:-2] = one[2:-3, 1:-2]
        inner[[2, -4][rows], [1, -3][columns]] = 0
        made.append(inner)
    white = image.copy()
    white[0, 0] = 255
    reds, row, column = image.copy(), np.zeros_like(image), np.zeros_like(image)
    reds[0, :, 0], row[7], column[:, 2] = 255, image[7], image[:, 2]
    crossed = image.copy()
    crossed[6], crossed[:, 7] = 0, 255
    made += [white, reds, row, column, crossed, np.zeros_like(image), np.full_like(image, 255)]
    found = np.asarray(_content(tensor(np.stack(made))))
    for one, mask in zip(made, found, strict=True):
        whole = content(one, 1)[0].reshape(-1, 3)
        assert sorted(map(tuple, one[mask].tolist())) == sorted(map(tuple, whole.tolist()))


# --- all of it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conventions",
    [
        {}, {"stride": 1}, {"mask": "none"}, {"rounding": "truncate"}, {"zero": "plus_one"},
        {"percentile": "nearest", "angle_percentile": 5.0}, {"white_level": 255.0},
        {"concentration_percentile": 80.0}, {"max_gain": 1.2}, {"min_angle": 30.0},
        {"concentrations": "lasso", "regularizer": 0.05},
    ],
)  # fmt: skip
def test_a_small_batch_agrees(conventions):
    batch = np.stack([
        mixture(1, turn=1.0), mixture(2, strength=0.5), mixture(3, strength=3.0, turn=0.5),
        np.full((20, 24, 3), 255, np.uint8), np.full((20, 24, 3), (200, 90, 160), np.uint8),
    ])  # fmt: skip
    normalizer = fitted(**conventions)
    expected, flags = normalizer.transform(batch, return_flags=True)
    made = layer(**conventions)
    found = np.asarray(made(batch))
    assert np.asarray(made.flags(batch)).tolist() == flags.tolist()
    difference = np.abs(found - expected)
    assert difference.max() <= 1 and difference.mean() < 0.01
    assert (found == np.round(found)).all()
    assert np.asarray(made.flags(batch)).dtype == np.int32


def test_a_grid_is_sampled_as_the_other_one_does():
    """From 10,000 samples on; what lies beside the grid must not count."""
    image = mixture(1, shape=(303, 305), turn=1.0)
    other = mixture(2, shape=(303, 305), turn=-1.0)
    image[::3, ::3] = other[::3, ::3]
    scarce = np.full_like(image, 250)
    scarce[:120, :100] = image[:120, :100]
    batch = np.stack([image, scarce])
    normalizer = fitted()
    assert abs(np.asarray(layer()(batch)) - normalizer.transform(batch)).max() <= 1
    whole = fitted(stride=1)
    assert abs(whole.transform(image) - normalizer.transform(image).astype(int)).max() > 5


@pytest.mark.parametrize("most", [303 * 305, 303 * 305 - 1])
@pytest.mark.parametrize("stride", [2, 3])
def test_scarce_tissue_is_taken_whole_of_an_image_that_is_not_huge(most, stride, monkeypatch):
    from common.stain import accelerator

    monkeypatch.setattr(accelerator, "MAX_SAMPLES", most)
    monkeypatch.setattr(stain.tissue, "MAX_SAMPLES", most)
    image = np.full((303, 305, 3), 250, np.uint8)
    image[:90, :100] = mixture(1, shape=(90, 100), turn=1.0)
    image[:90:stride, :100:stride] = mixture(2, shape=(90, 100), turn=-1.0)[::stride, ::stride]
    expected = fitted(stride=stride).transform(image)
    assert abs(np.asarray(layer(stride=stride)(image[None]))[0] - expected).max() <= 1


def test_what_is_no_two_stains():
    """Vectors are given here: two that hold all, a stain that is nowhere, and no number."""
    axes = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    nowhere, unknown = axes[::-1].copy(), axes.copy()
    nowhere[1] = [0, 0, 1]
    unknown[1, 2] = np.nan
    made, image = layer(mask="none", stride=1, max_gain=2.0), np.full((4, 5, 3), 120, np.uint8)
    image[..., 2] = 240
    weak = image.copy()  # red absorbs ln 2 = 0.69, of 1.4 half; green here a sixth as much
    weak[..., 1] = 214
    made._matrix = lambda density, counted: (
        tensor([axes, nowhere, unknown, axes, axes]), tensor([1, 1, 1, 0, 1], bool),
        tensor([0] * 5, bool),
    )  # fmt: skip
    flags = np.asarray(made.flags(np.stack([image, image, image, image, weak]))).tolist()
    single = Flag.SINGLE_STAIN
    assert flags == [Flag.GAIN_LIMITED, single, single, Flag.NO_TISSUE, Flag.GAIN_LIMITED]
    made._normalizer.set_target(matrix=stain.RUIFROK, maximum=[1.3, 1.3])
    flags = np.asarray(made.flags(np.stack([image, image, image, image, weak]))).tolist()
    assert flags == [Flag.OK, single, single, Flag.NO_TISSUE, Flag.GAIN_LIMITED]


def test_the_layer_is_not_trained_and_is_made_again():
    import keras

    from common.stain.accelerator import StainNormalization

    made = layer(stride=1, min_angle=5.0)
    assert (made.trainable, made.dtype, made.weights) == (False, "float32", [])
    assert made.compute_output_shape((None, 4, 5, 3)) == (None, 4, 5, 3)
    settings = made.get_config()
    assert settings["trainable"] is False
    again = StainNormalization.from_config(settings)
    assert again._normalizer.identity() == made._normalizer.identity()
    assert StainNormalization(made._normalizer, name="stains").name == "stains"
    # Saved models name it.
    name = "histopapers>StainNormalization"
    assert keras.saving.get_registered_name(StainNormalization) == name


def test_what_the_layer_refuses():
    from common.stain.accelerator import StainNormalization

    def is_said(message):
        return pytest.raises(InputError, match=message)

    image = mixture()
    with is_said("expected a MacenkoNormalizer with engine='own'"):
        StainNormalization(VahadaneNormalizer().fit(image))
    engine = fitted()
    engine.engine = "staintools"
    with is_said("expected a MacenkoNormalizer with engine='own'"):
        StainNormalization(engine)
    with is_said("fit"):
        StainNormalization(MacenkoNormalizer())
    for conventions in ({"brightness": 90.0}, {"mask": "luminosity", "mask_threshold": 0.8}):
        with is_said("brightness and mask='luminosity' need 8-bit CIELAB"):
            StainNormalization(fitted(**conventions))

    class Unknown:
        def __init__(self, *shape):
            self.shape = shape

    for shape in ((None, None, 5, 3), (None, 4, None, 3)):
        with is_said("the images' height and width must be known"):
            layer()._run(Unknown(*shape))
