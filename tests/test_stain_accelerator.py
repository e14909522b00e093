"""The steps of the accelerated normalisation, each against the one that it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from common import stain
from common.errors import InputError
from common.stain import MacenkoNormalizer, VahadaneNormalizer
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


@pytest.mark.parametrize(("pixels", "tissue", "enough"), [
    (400, 15, False), (400, 16, True), (20_000, 19, False), (20_000, 20, True),
])  # fmt: skip
def test_how_much_tissue_is_enough(pixels, tissue, enough):
    density = np.zeros((1, 2 * pixels, 3), np.float32)
    density[0, :tissue] = np.random.default_rng(0).uniform(0.2, 1, (tissue, 3))
    density[0, pixels:] = 1  # does not count
    counted = np.arange(2 * pixels)[None] < pixels
    _, found, _ = layer()._matrix(tensor(density), tensor(counted, bool))
    assert np.asarray(found).tolist() == [enough]


@pytest.mark.parametrize(("tissue", "scarce"), [(9_999, True), (10_000, False)])
def test_how_much_tissue_is_scarce(tissue, scarce):
    density = np.zeros((1, 12_000, 3), np.float32)
    density[0, :tissue] = np.random.default_rng(0).uniform(0.2, 1, (tissue, 3))
    _, _, found = layer()._matrix(tensor(density), tensor(np.ones((1, 12_000)), bool))
    assert np.asarray(found).tolist() == [scarce]


@pytest.mark.parametrize("zero", ["floor", "plus_one"])
def test_tissue_begins_at_the_same_pixel_value(zero):
    made = layer(zero=zero, white_level=230.0, mask_threshold=0.5)
    values = np.arange(256, dtype=np.float32)
    density = made._density(tensor(values))
    np.testing.assert_allclose(density, stain.tissue.density_table(230, zero), atol=1e-5)
    table = stain.tissue.density_table(230, zero)
    for value in (int((table >= 0.5).sum()) - 1, int((table >= 0.5).sum())):
        image = np.full((1, 400, 3), value, np.uint8)
        _, enough, _ = made._matrix(made._density(tensor(image)), tensor(np.ones((1, 400)), bool))
        mask = stain.tissue.tissue_mask(image, "optical_density", 0.5, table)
        assert bool(np.asarray(enough)[0]) == bool(mask.all())


def test_padding_is_what_the_other_one_takes_for_it():
    from common.stain.accelerator import _content

    random = np.random.default_rng(0)
    image = random.integers(9, 255, (12, 15, 3)).astype(np.uint8)
    made = []
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
        one[rows, columns] = 3
        one[5, 7] = 0  # black inside: out, too, where a corner is black
        made.append(one)
        inner = np.zeros_like(image)
        inner[2:-3, 1:-2] = one[2:-3, 1:-2]
        inner[[2, -4][rows], [1, -3][columns]] = 0
        made.append(inner)
    white = image.copy()
    white[0, 0] = 255
    inside = image.copy()
    inside[5, 7] = 0
    crossed = image.copy()
    crossed[6], crossed[:, 7] = 0, 255
    made += [white, inside, crossed, np.zeros_like(image), np.full_like(image, 255)]
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


def test_the_layer_is_not_trained_and_is_made_again():
    from common.stain.accelerator import StainNormalization

    made = layer(stride=1, min_angle=5.0)
    assert (made.trainable, made.dtype, made.weights) == (False, "float32", [])
    assert made.compute_output_shape((None, 4, 5, 3)) == (None, 4, 5, 3)
    settings = made.get_config()
    assert settings["trainable"] is False
    again = StainNormalization.from_config(settings)
    assert again._normalizer.identity() == made._normalizer.identity()
    assert StainNormalization(made._normalizer, name="stains").name == "stains"


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
