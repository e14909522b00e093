"""What stain normalisation is given: where each range ends, and what is said of the rest."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from common import images, stain
from common.errors import InputError
from common.stain import (
    PRESETS,
    Conventions,
    MacenkoNormalizer,
    ReinhardNormalizer,
    StainAugmenter,
    VahadaneNormalizer,
    tissue,
    unmixing,
)


def is_said(message):
    return pytest.raises(InputError, match=message)


# --- conventions ---------------------------------------------------------------------------------


def test_conventions_are_these():
    """They are part of what names a cache; none changes unseen."""
    assert asdict(Conventions()) == {
        "white_level": 240.0, "zero": "floor", "mask": "optical_density", "mask_threshold": 0.15,
        "brightness": None, "angle_percentile": 1.0, "eigenvectors": "oriented",
        "percentile": "linear", "concentrations": "least_squares", "regularizer": 0.01,
        "dictionary_regularizer": 0.1, "dictionary": "minimum", "dictionary_batches": 128,
        "concentration_percentile": 99.0, "rounding": "nearest", "stride": 3, "max_gain": 5.0,
        "min_angle": 2.0, "lab": "float",
    }  # fmt: skip
    torchstain = {
        "white_level": 240.0, "zero": "plus_one", "eigenvectors": "solver",
        "percentile": "nearest", "rounding": "truncate", "stride": 1, "max_gain": 100.0,
        "min_angle": 0.5,
    }  # fmt: skip
    staintools = {
        "white_level": 255.0, "mask": "luminosity", "mask_threshold": 0.8, "eigenvectors": "red",
        "concentrations": "lasso", "rounding": "truncate", "stride": 1, "max_gain": 100.0,
        "min_angle": 0.5,
    }  # fmt: skip
    reinhard = {"mask": "none", "rounding": "truncate", "stride": 1, "max_gain": 100.0}
    vahadane = {
        "white_level": 255.0, "mask": "luminosity", "mask_threshold": 0.8,
        "concentrations": "lasso",
    }  # fmt: skip
    assert {
        "macenko": {
            "default": {}, "luminosity": {"mask": "luminosity", "mask_threshold": 0.8},
            "torchstain": torchstain,
            "torchstain_numpy": {**torchstain, "percentile": "linear"}, "staintools": staintools,
        },
        "vahadane": {"default": vahadane, "staintools": {**staintools, "dictionary": "online"}},
        "reinhard": {
            "default": {"mask": "none"}, "torchstain": reinhard,
            "staintools": {**reinhard, "lab": "8bit"},
        },
    } == PRESETS  # fmt: skip


@pytest.mark.parametrize(
    ("name", "low", "high", "kind"),
    [
        ("white_level", 1, 255, "a number"), ("mask_threshold", 0, 10, "a number"),
        ("angle_percentile", 0, 49, "a number"), ("regularizer", 0, 10, "a number"),
        ("dictionary_regularizer", 0, 10, "a number"),
        ("concentration_percentile", 50, 100, "a number"), ("stride", 1, 100, "a whole number"),
        ("max_gain", 1, 1_000_000, "a number"), ("min_angle", 0, 90, "a number"),
        ("dictionary_batches", 1, 1_000_000, "a whole number"), ("brightness", 1, 100, "a number"),
    ],
)  # fmt: skip
def test_where_the_range_of_a_convention_ends(name, low, high, kind):
    for value in (low, high, float(low)):
        assert getattr(Conventions(**{name: value}), name) == value
    outside = [low - 1, high + 1, low - 1e-9, high + 1e-3, math.nan, math.inf, "1", True, [1]]
    outside += [low + 0.5] if kind == "a whole number" else []
    outside += [None] if name != "brightness" else []
    for value in outside:
        said = f"stain convention {name}: expected {kind} from {low:g} to {high:g}, received "
        with pytest.raises(InputError) as caught:
            Conventions(**{name: value})
        assert str(caught.value) == f"{said}{value!r}"
    if kind == "a number":
        assert Conventions(**{name: low + 0.5})


def test_words_of_a_convention():
    with is_said("stain convention zero: expected one of floor, plus_one, received 'x'"):
        Conventions(zero="x")
    with is_said("stain convention lab: expected one of float, 8bit, received None"):
        Conventions(lab=None)


# --- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ([1], "received list; read it with images.read"),
        (np.zeros((4, 5), np.uint8), r"uint8 of shape \(4, 5\); grey or RGBA images need 3"),
        (np.zeros((4, 5, 4), np.uint8), "grey or RGBA images need 3 channels"),
        (np.zeros((3, 4, 5), np.uint8), "the channels stand first: move them last"),
        (np.zeros((2, 3, 4, 5), np.uint8), "the channels stand first: move them last"),
        (np.zeros((3, 2, 4, 5), np.uint8), "grey or RGBA images need 3 channels"),
        (np.zeros((1, 1, 1, 4, 3), np.uint8), "grey or RGBA images need 3 channels"),
        (np.zeros((4, 5, 3), np.int32), "int32 of shape .*; convert it to uint8"),
        (np.full((4, 5, 3), 0.5), r"its values reach 0.5: give \(image \* 255\)\.round"),
        (np.full((4, 5, 3), 1.0), r"its values reach 1: give \(image \* 255\)\.round"),
        (np.array([[[0, 0.25, 0.5]]]), r"its values reach 0.5: give"),
        (np.full((4, 5, 3), 1.5), r"its values reach 1.5: give image\.round"),
        (np.zeros((0, 5, 3)), r"its values reach 0: give \(image \* 255\)\.round"),
    ],
)
def test_images_that_are_none(image, said):
    with is_said(rf"thing: expected RGB uint8 of shape \(H, W, 3\) or \(N, H, W, 3\), .*{said}"):
        tissue.require_images(image, "thing")


def test_what_a_share_of_tissue_is_given():
    image = np.full((2, 2, 3), 100, np.uint8)
    for name, low in (("white_level", 1), ("threshold", 0)):
        for value in (low, 255, np.float32(200)):
            assert 0 <= stain.tissue_share(image, **{name: value}) <= 1
        for value in (low - 0.1, 255.1, math.nan, True, "1", None):
            with is_said(f"{name} must be a number from {low} to 255, not {value!r}"):
                stain.tissue_share(image, **{name: value})


# --- normalisers and the augmenter ---------------------------------------------------------------


def test_what_a_normalizer_is_given():
    with is_said(
        "stain preset 'x': macenko has default, luminosity, torchstain, "
        "torchstain_numpy, staintools"
    ):
        MacenkoNormalizer("x")
    with is_said("stain engine 'x': choose from own, staintools"):
        MacenkoNormalizer(engine="x")
    with is_said("reinhard does not use eigenvectors, zero; its conventions are lab, mask"):
        ReinhardNormalizer(zero="floor", eigenvectors="red")
    for normalizer in (MacenkoNormalizer(), VahadaneNormalizer(), ReinhardNormalizer()):
        name = type(normalizer).__name__
        for call in (normalizer.identity, normalizer.require_fitted, normalizer.state):
            with is_said(f"{name} has no target yet: call fit"):
                call()
        with is_said("stain target: expected one image, received"):
            normalizer.fit(np.zeros((1, 4, 5, 3), np.uint8))
        with is_said("stain target: expected RGB uint8"):
            normalizer.fit(np.zeros((4, 5), np.uint8))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"mean": [1, 2, 3]}, "stain target: expected mean and deviation, received"),
        ({"mean": [1, 2], "deviation": [1, 2, 3]}, "mean, deviation: expected three numbers each"),
        ({"mean": [1, 2, 3], "deviation": [1, 2, math.nan]}, "expected three numbers each"),
        ({"mean": "abc", "deviation": [1, 2, 3]}, "expected three numbers each"),
        ({"mean": [1, 2, 3], "deviation": [1, 2, -0.1]}, "three numbers that are not negative"),
    ],
)
def test_reinhards_target_is_checked(target, said):
    normalizer = ReinhardNormalizer()
    with is_said(said):
        normalizer.set_target(**target)
    assert not normalizer.fitted
    normalizer.set_target(mean=[1, 2, 3], deviation=[0, 2, 3])
    assert normalizer.fitted


def test_what_a_state_is_given():
    normalizer = ReinhardNormalizer()
    normalizer.set_target(mean=[1, 2, 3], deviation=[0, 2, 3])
    state = normalizer.state()
    assert stain.from_state(state).state() == state
    for change, said in (
        ({"engine": "x"}, "stain engine 'x': choose from own, staintools$"),
        ({"preset": "x"}, "stain preset 'x': reinhard has default"),
        ({"conventions": {}}, "^its conventions are not those of this version$"),
        ({"method": "x"}, "^the state of a stain normaliser is damaged$"),
        ({"target": 3}, "^the state of a stain normaliser is damaged$"),
    ):
        with is_said(said):
            stain.from_state({**state, **change})


def test_results_lie_in_memory_as_images_do():
    batch = np.asfortranarray(np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)), np.uint8)
    assert not batch.flags.c_contiguous
    normalizer = ReinhardNormalizer()
    normalizer.set_target(mean=[50, 2, 3], deviation=[9, 2, 3])
    assert normalizer.transform(batch).flags.c_contiguous
    assert StainAugmenter()(batch, np.random.default_rng(0)).flags.c_contiguous


def test_what_an_augmenter_is_given():
    for name in ("sigma_alpha", "sigma_beta"):
        for value in (-0.1, 1.1, math.nan, "1", None):
            with is_said(f"{name}: expected a number from 0 to 1, received {value!r}"):
                StainAugmenter(**{name: value})
        for value in (0, 1, np.float32(0.5)):
            assert getattr(StainAugmenter(**{name: value}), name) == value
    made = StainAugmenter()
    assert (made.sigma_alpha, made.sigma_beta, made.background) == (0.05, 0.05, True)
    with is_said("stains 'x': choose from ruifrok, macenko, vahadane, or a matrix"):
        StainAugmenter("x")
    image = np.full((2, 2, 3), 100, np.uint8)
    good = {"alpha": [1, 1], "beta": [0, 0]}
    assert (made.apply(image, good) == image).all()
    for wrong in (None, {}, {"alpha": [1, 1]}, {**good, "gamma": 1}):
        with is_said("parameters must be alpha and beta, as `draw` gives it"):
            made.apply(image, wrong)
    for name in good:
        for value in ([1], [1, 1, 1], [1, math.nan], "ab", 1):
            with is_said(f"parameters: {name} must be two finite numbers, one of each stain"):
                made.apply(image, {**good, name: value})
    with is_said(r"image: expected one image \(H, W, 3\), received"):
        made.apply(image[None], good)


def test_versions_of_caches_and_of_files(tmp_path):
    with is_said("ReinhardNormalizer has no target yet"):
        ReinhardNormalizer().save(tmp_path / "stain.json")
    assert not (tmp_path / "stain.json").exists()
    normalizer = ReinhardNormalizer()
    normalizer.set_target(mean=[1, 2, 3], deviation=[0, 2, 3])
    normalizer.save(tmp_path / "stain.json")
    assert normalizer.identity().startswith('{"version":3,"method":"reinhard","engine":"own",')
    assert json.loads((tmp_path / "stain.json").read_text())["stain_normalizer"] == 1
    assert stain.load(tmp_path / "stain.json").identity() == normalizer.identity()


@pytest.mark.parametrize("given", ["a.png", b"a", {"a": 1}, 3, None])
def test_a_target_is_chosen_among_several(given):
    with is_said(f"images must be several, arrays or paths, not {type(given).__name__}"):
        stain.choose_target(given)


# --- estimates and targets -----------------------------------------------------------------------


def mixture(seed=0, shape=(20, 24)):
    """Two stains in all ratios, (H, W, 3), uint8."""
    amounts = np.random.default_rng(seed).uniform(0.2, 1.5, (*shape, 2))
    return np.rint(240 * np.exp(-amounts @ stain.RUIFROK)).astype(np.uint8)


def test_what_an_estimate_is_given():
    normalizer, image = MacenkoNormalizer(), mixture()
    for function in (normalizer.estimate, normalizer.stain_matrix):
        with is_said("image: expected RGB uint8 of shape"):
            function(image / 255)
        with is_said(r"image: expected one image \(H, W, 3\), received \(1, 20, 24, 3\)"):
            function(image[None])
    own = normalizer.concentrations(image)
    assert (own == normalizer.concentrations(image, normalizer.stain_matrix(image))).all()
    assert (own != normalizer.concentrations(image, stain.RUIFROK)).any()


def test_what_a_separation_needs_and_gives():
    normalizer, image = MacenkoNormalizer(), mixture()
    for picture in (image, np.full_like(image, 255)):
        with is_said("MacenkoNormalizer has no target yet"):
            normalizer.separate(picture)
    assert len(normalizer.separate(image, normalized=False)) == 2
    first, second, flag = normalizer.separate(image, normalized=False, return_flags=True)
    assert (first != second).any() and flag == stain.Flag.OK


class Told(MacenkoNormalizer):
    """Is told the stains of each image, which is one grey level."""

    asked = ()

    def estimate(self, image):
        level = float(image[0, 0, 0])
        self.asked = (*self.asked, level)
        matrix = np.array([[level, 0, 0], [0, 1, 0]])
        return stain.Stains(matrix, np.ones(2))


def levels(*values):
    return [np.full((2, 2, 3), value, np.uint8) for value in values]


def test_the_target_is_nearest_the_median_that_the_normalizer_finds():
    assert stain.choose_target(levels(200, 3, 0, 2, 1), Told()) == 3  # the mean, 41, is nearer 3
    with is_said("no image has stained tissue"):
        stain.choose_target(levels(255, 255), VahadaneNormalizer())
    with is_said("no image has stained tissue"):
        stain.choose_target([])


def test_a_typical_target_is_fitted_as_it_is_held():
    """Without a folder it is taken from the pixels; a chooser may be another normaliser."""
    pictures = np.stack([mixture(0), mixture(1), mixture(2)])
    pictures[:, 0, 0] = np.array([9, 5, 6])[:, None]
    pixels = images.Pixels(["a", "b", "c"], pictures, np.arange(3))
    chooser, normalizer = Told(), MacenkoNormalizer()
    assert stain.fit_typical(normalizer, None, ["c", "a", "b"], pixels, chooser) == "c"
    assert chooser.asked == (6.0, 9.0, 5.0)
    assert normalizer.identity() == MacenkoNormalizer().fit(pictures[2]).identity()
    own = Told()
    assert stain.fit_typical(own, None, ["a", "b", "c"], pixels) == "c"
    assert own.asked == (9.0, 5.0, 6.0)


def test_beta_is_drawn_on_both_sides_of_nothing():
    augmenter, random = StainAugmenter(sigma_beta=0.1), np.random.default_rng(0)
    beta = np.array([augmenter.draw(random)["beta"] for _ in range(200)])
    assert (beta.min(axis=0) < -0.08).all() and (beta.max(axis=0) > 0.08).all()


@pytest.mark.parametrize("kind", [MacenkoNormalizer, VahadaneNormalizer, ReinhardNormalizer])
def test_a_target_without_stains_changes_nothing(kind):
    normalizer, white = kind(), np.full((20, 24, 3), 255, np.uint8)
    with is_said("stain target: it has too little stained tissue"):
        normalizer.fit(white)
    assert not normalizer.fitted
    before = normalizer.fit(mixture()).identity()
    with is_said("stain target: it has too little stained tissue"):
        normalizer.fit(white)
    assert normalizer.identity() == before


def test_brightness_is_that_of_all_pixels_without_padding(monkeypatch):
    normalizer, image = MacenkoNormalizer(brightness=95.0), mixture()
    assert normalizer.estimate(image[:0]).flag == stain.Flag.NO_TISSUE
    asked, content = [], unmixing.content
    monkeypatch.setattr(unmixing, "content", lambda *given: asked.append(given) or content(*given))
    image[0] = 0
    expected = tissue.standardize_brightness(image, 95.0, image[1:])
    assert (normalizer._prepared(image) == expected).all()
    assert (expected != tissue.standardize_brightness(image, 95.0)).any()
    assert [stride for _, stride in asked] == [1]
