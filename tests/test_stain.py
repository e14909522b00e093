"""Stain normalisation: known stains are found, peers are reproduced, nothing breaks a pipeline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import images, stain
from common.errors import InputError
from common.stain import (
    Flag,
    MacenkoNormalizer,
    ReinhardNormalizer,
    StainAugmenter,
    VahadaneNormalizer,
    choose_target,
)
from common.stain import __main__ as commands

HE = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
OTHER = np.array([[0.65, 0.70, 0.29], [0.25, 0.90, 0.35]])
NORMALIZERS = (MacenkoNormalizer, VahadaneNormalizer, ReinhardNormalizer)
# torchstain 1.4.1, torch 2.13.0 and StainTools 2.1.2 (spams-bin 2.6.14) on mixture(OTHER, seed=2,
# strength=0.7), normalised to mixture(seed=1): pixels [::19, ::23], the first 12; mean of each
# channel; stain matrix of the image.
PEERS = {
    (MacenkoNormalizer, "torchstain_numpy"): (
        [[112, 51, 89], [98, 45, 83], [216, 135, 158], [121, 101, 147], [159, 143, 179],
         [201, 106, 133], [102, 46, 84], [118, 98, 144], [151, 134, 172], [139, 121, 162],
         [182, 75, 105], [109, 89, 136]],
        [149.673, 97.94, 130.029],
        [[0.65749, 0.69525, 0.29041], [0.1962, 0.91394, 0.35528]],
    ),
    (MacenkoNormalizer, "torchstain"): (
        [[112, 51, 89], [98, 45, 83], [216, 135, 158], [121, 101, 147], [159, 143, 179],
         [201, 106, 133], [102, 46, 84], [118, 98, 144], [151, 134, 172], [139, 121, 162],
         [182, 75, 105], [109, 89, 136]],
        [149.683, 97.944, 130.033],
        [[0.65749, 0.69525, 0.29041], [0.1962, 0.91394, 0.35527]],
    ),
    (MacenkoNormalizer, "staintools"): (
        [[111, 49, 90], [97, 43, 84], [213, 130, 159], [119, 97, 148], [157, 138, 180],
         [199, 102, 134], [101, 45, 85], [116, 94, 145], [149, 129, 174], [137, 116, 164],
         [181, 72, 106], [108, 85, 138]],
        [148.658, 95.155, 131.053],
        [[0.65429, 0.6986, 0.28958], [0.24747, 0.9031, 0.35095]],
    ),
    (VahadaneNormalizer, "staintools"): (
        [[112, 50, 91], [98, 44, 85], [211, 131, 161], [121, 96, 146], [159, 137, 179],
         [197, 103, 136], [103, 45, 86], [118, 93, 143], [151, 128, 172], [139, 115, 162],
         [179, 74, 108], [110, 84, 136]],
        [148.776, 95.44, 131.245],
        [[0.63966, 0.7104, 0.29354], [0.27999, 0.89432, 0.34898]],
    ),
    (ReinhardNormalizer, "torchstain"): (
        [[109, 46, 99], [97, 39, 93], [207, 130, 157], [132, 106, 139], [170, 145, 164],
         [190, 102, 140], [100, 41, 94], [129, 103, 137], [163, 137, 159], [150, 125, 151],
         [169, 70, 119], [120, 94, 131]],
        [148.628, 93.789, 129.149],
        None,
    ),
    (ReinhardNormalizer, "staintools"): (
        [[108, 48, 99], [96, 41, 93], [206, 131, 159], [132, 107, 139], [169, 146, 165],
         [188, 102, 141], [99, 42, 95], [130, 104, 138], [161, 137, 159], [149, 126, 153],
         [169, 72, 119], [120, 93, 131]],
        [147.751, 94.369, 129.686],
        None,
    ),
}  # fmt: skip
# StainTools' LuminosityStandardizer on the same image.
BRIGHTENED = [
    [130, 77, 157], [118, 71, 152], [221, 149, 208], [139, 133, 194], [172, 168, 214],
    [208, 123, 192], [122, 72, 154], [136, 129, 192], [164, 160, 210], [154, 149, 205],
    [194, 94, 173], [127, 121, 187],
]  # fmt: skip


def mixture(
    stains: np.ndarray = HE,
    white: float = 255,
    seed: int = 0,
    strength: float = 1.0,
    shape: tuple[int, int] = (96, 120),
) -> np.ndarray:
    """Image by Beer and Lambert's law: pixels of one stain, of the other, of both and of none."""
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.8, 1.8, (*shape, 2)) * strength
    kind = rng.integers(0, 10, shape)
    amounts[kind < 3, 1] = 0
    amounts[(kind >= 3) & (kind < 6), 0] = 0
    amounts[kind == 9] = 0
    return np.rint(white * np.exp(-amounts @ unit(stains))).astype(np.uint8)


def unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def degrees(a: np.ndarray, b: np.ndarray) -> float:
    return np.degrees(np.arccos(np.clip((unit(a) * unit(b)).sum(axis=1), -1, 1))).max()


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(cv2.absdiff(a, b).mean())


@pytest.fixture(scope="module")
def target() -> np.ndarray:
    return mixture(seed=1)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return mixture(OTHER, seed=2, strength=0.7)


# --- the stains that were mixed ----------------------------------------------------------------


@pytest.mark.parametrize("stains", [HE, OTHER])
@pytest.mark.parametrize("white", [255, 240])
def test_macenko_finds_the_stains_that_were_mixed(stains: np.ndarray, white: int) -> None:
    # Percentiles that are not in the tail's noise: half the tissue has one stain only.
    normalizer = MacenkoNormalizer(white_level=white, angle_percentile=5.0)
    made = mixture(stains, white, shape=(300, 400))
    assert degrees(normalizer.stain_matrix(made), stains) < 1


@pytest.mark.parametrize("stains", [HE, OTHER])
def test_vahadane_finds_the_stains_that_were_mixed(stains: np.ndarray) -> None:
    # The penalty draws the atoms together, so it must be small against the concentrations.
    normalizer = VahadaneNormalizer(dictionary_regularizer=0.01)
    assert degrees(normalizer.stain_matrix(mixture(stains)), stains) < 1


@pytest.mark.parametrize("penalty", [0.1, 0.4])
def test_vahadane_reaches_the_minimum_that_slow_alternation_reaches(penalty: float) -> None:
    x = -np.log(np.maximum(mixture(), 1).reshape(-1, 3) / 255)
    x = x[x.max(axis=1) > 0.2]
    atoms = unit(OTHER)
    for _ in range(400):
        gram = atoms @ atoms.T
        correlation = x @ atoms.T - penalty
        both = correlation @ np.linalg.inv(gram)
        codes = np.where(both[:, :1] < 0, 0, both)
        first, second = both[:, 0] > 0, both[:, 1] > 0
        codes = np.where((first & second)[:, None], both, 0)
        norms = np.diag(gram)
        only = np.maximum(correlation / norms, 0)
        codes[~second, 0], codes[~first, 1] = only[~second, 0], only[~first, 1]
        codes[~first & ~second] = 0
        codes_codes, codes_x = codes.T @ codes, codes.T @ x
        for k in range(2):
            atom = atoms[k] + (codes_x[k] - codes_codes[k] @ atoms) / codes_codes[k, k]
            atom = np.maximum(atom, 0)
            atoms[k] = atom / max(1, np.linalg.norm(atom))
    found = stain.estimation.vahadane_matrix(x.astype(np.float32), OTHER, penalty)
    assert degrees(found, atoms) < 0.05


def test_concentrations_are_those_that_were_mixed() -> None:
    amounts = np.random.default_rng(0).uniform(0.2, 1.5, (40, 50, 2))
    made = np.rint(255 * np.exp(-amounts @ unit(HE))).astype(np.uint8)
    normalizer = MacenkoNormalizer(white_level=255)
    found = normalizer.concentrations(made, HE)
    assert found.shape == (40, 50, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, amounts, atol=0.06)  # rounding to 8 bits
    assert abs(found - amounts).mean() < 0.01


def test_lasso_concentrations_satisfy_the_optimality_conditions() -> None:
    made = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    normalizer = VahadaneNormalizer()
    atoms = unit(HE)
    codes = normalizer.concentrations(made, HE).reshape(-1, 2).astype(float)
    density = -np.log(np.maximum(made.reshape(-1, 3), 1) / 255)
    gradient = (codes @ atoms - density) @ atoms.T + 0.01
    assert (codes >= 0).all()
    assert abs(gradient[codes > 0]).max() < 1e-4
    assert gradient[codes == 0].min() > -1e-4
    assert 0 < (codes == 0).mean() < 1


def test_separate_images_multiply_to_the_whole(image: np.ndarray, target: np.ndarray) -> None:
    normalizer = MacenkoNormalizer().fit(target)
    whole = normalizer.transform(image).astype(float)
    first, second = normalizer.separate(image)
    product = first / 240.0 * second
    inside = (first < 255).all(-1) & (second < 255).all(-1)
    assert abs(product - whole)[inside].max() < 2
    own = normalizer.separate(image, normalized=False)
    assert mean_difference(own[0], first) > 5
    # Unmixed with the image's own stains and mixed again: the image, up to what is in neither.
    both = own[0] / 240.0 * own[1]
    tissue = (image < 200).any(-1)
    assert abs(both - image)[tissue].mean() < 3
    unit_haematoxylin = normalizer.stain_matrix(image)[0]
    strong = own[0][(own[0] < 150).any(-1)].astype(float)
    direction = -np.log(strong / 240).mean(axis=0)
    assert degrees(direction[None], unit_haematoxylin[None]) < 1


# --- peers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "preset"), PEERS)
def test_presets_reproduce_their_packages(
    kind: type, preset: str, image: np.ndarray, target: np.ndarray
) -> None:
    assert image.sum(axis=(0, 1)).tolist() == [1876615, 1369331, 2108013]
    assert target.sum(axis=(0, 1)).tolist() == [1717113, 1092895, 1504775]
    pixels, mean, matrix = PEERS[kind, preset]
    normalizer = kind(preset).fit(target)
    result = normalizer.transform(image)
    # StainTools' dictionary learning stops after a second.
    loose = kind is VahadaneNormalizer
    found = result[::19, ::23].reshape(-1, 3)[:12].astype(int)
    assert abs(found - pixels).max() <= (3 if loose else 1)
    np.testing.assert_allclose(result.mean(axis=(0, 1)), mean, atol=1.0 if loose else 0.05)
    if matrix is not None:
        assert degrees(normalizer.stain_matrix(image), np.array(matrix)) < (1 if loose else 0.01)


def test_brightness_is_standardised_as_in_staintools(image: np.ndarray) -> None:
    found = stain.tissue.standardize_brightness(image, 95)
    assert found[::19, ::23].reshape(-1, 3)[:12].tolist() == BRIGHTENED
    dark = (image * 0.6).astype(np.uint8)
    plain, bright = MacenkoNormalizer(), MacenkoNormalizer(brightness=95.0)
    apart = plain.estimate(dark).maximum - plain.estimate(image).maximum
    closer = bright.estimate(dark).maximum - bright.estimate(image).maximum
    assert abs(closer).max() < 0.5 * abs(apart).max()


def test_missing_staintools_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "staintools", None)
    stain.staintools.package.cache_clear()
    with pytest.raises(InputError, match=r"histopapers\[stain\]"):
        MacenkoNormalizer(engine="staintools")
    with pytest.raises(InputError, match="has its package's conventions"):
        MacenkoNormalizer(engine="staintools", stride=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NORMALIZERS)
def test_engine_staintools_calls_the_package(
    kind: type, image: np.ndarray, target: np.ndarray
) -> None:
    staintools = pytest.importorskip("staintools", reason="the extra `stain` is not installed")
    if kind is ReinhardNormalizer:
        peer = staintools.ReinhardColorNormalizer()
    else:
        peer = staintools.StainNormalizer(kind.method)
    peer.fit(target.copy())
    before = image.copy()
    result, flag = kind(engine="staintools").fit(target).transform(image, return_flags=True)
    assert flag == Flag.OK
    assert (image == before).all()
    apart = cv2.absdiff(result, peer.transform(image.copy()))
    if kind is VahadaneNormalizer:  # it learns on random pixels
        assert apart.mean() < 2
    else:
        assert apart.max() <= 1
    white = np.full((64, 64, 3), 255, np.uint8)
    result, flag = kind(engine="staintools").fit(target).transform(white, return_flags=True)
    assert flag == Flag.NO_TISSUE
    assert (result == white).all()


# --- invariances -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_target_stays_as_it_is(kind: type, target: np.ndarray) -> None:
    normalizer = kind(stride=1).fit(target)
    result, flag = normalizer.transform(target, return_flags=True)
    assert flag == Flag.OK
    tissue = (target < 235).any(axis=-1)  # Macenko's white level is 240: nothing above it is known
    assert mean_difference(result[tissue], target[tissue]) < 1.5


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_different_stains_become_the_same(kind: type, image: np.ndarray) -> None:
    """One tissue, stained twice: normalised, the two look the same."""
    tissue = {"seed": 5, "shape": (150, 200)}
    one, two = mixture(HE, **tissue), mixture(OTHER, strength=0.75, **tissue)
    normalizer = kind(stride=1).fit(image)
    before = mean_difference(one, two)
    after = mean_difference(normalizer.transform(one), normalizer.transform(two))
    assert before > 15
    assert after < (2.5 if kind is not ReinhardNormalizer else 0.6 * before)


def test_scaled_concentrations_do_not_matter(target: np.ndarray) -> None:
    normalizer = MacenkoNormalizer(white_level=255, stride=1).fit(target)
    weak, strong = (mixture(seed=7, strength=factor) for factor in (0.6, 1.0))
    assert mean_difference(weak, strong) > 20
    assert mean_difference(normalizer.transform(weak), normalizer.transform(strong)) < 1.5


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_batch_views_and_turned_images_give_the_same(kind: type, target: np.ndarray) -> None:
    normalizer = kind().fit(target)
    batch = np.stack([mixture(OTHER, seed=s, strength=0.8) for s in range(3)])
    result, flags = normalizer.transform(batch, return_flags=True)
    assert result.shape == batch.shape
    assert result.dtype == np.uint8
    assert flags.tolist() == [0, 0, 0]
    for one, done in zip(batch, result, strict=True):
        assert (normalizer.transform(one) == done).all()
    view = np.pad(batch[0], ((2, 2), (3, 3), (0, 0)))[2:-2, 3:-3]
    assert (normalizer.transform(view) == result[0]).all()
    backwards = batch[0][::-1, ::-1]
    assert cv2.absdiff(normalizer.transform(backwards)[::-1, ::-1], result[0]).max() <= 1
    empty = normalizer.transform(batch[:0])
    assert empty.shape == (0, 96, 120, 3)


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_sub_sampled_pixels_give_nearly_the_same(kind: type, target: np.ndarray) -> None:
    large = cv2.GaussianBlur(mixture(OTHER, seed=3, shape=(460, 700)), (0, 0), 0.7)
    quick, whole = kind().fit(target), kind(stride=1).fit(target)
    assert mean_difference(quick.transform(large), whole.transform(large)) <= 0.5


def test_samples_are_every_third_pixel() -> None:
    large = np.random.default_rng(0).integers(0, 256, (460, 700, 3)).astype(np.uint8)
    assert (stain.tissue.sample(large, 3) == large[:459:3, :699:3]).all()
    assert stain.tissue.grid_stride(460, 700, 3) == 3
    assert stain.tissue.grid_stride(224, 224, 3) == 1
    assert stain.tissue.grid_stride(20_000, 20_000, 3) == 29


def test_percentiles_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(size=1001).astype(np.float32)
    percents = [0, 1, 37.3, 99, 100]
    for rule in ("linear", "nearest"):
        found = stain.estimation.percentiles(values, percents, rule)
        np.testing.assert_allclose(found, np.percentile(values, percents, method=rule), rtol=1e-6)


def test_input_is_not_written_to(image: np.ndarray, target: np.ndarray) -> None:
    for kind in NORMALIZERS:
        frozen = image.copy()
        frozen.flags.writeable = False
        normalizer = kind().fit(target)
        result = normalizer.transform(frozen)
        assert result.flags.writeable
        assert (frozen == image).all()


def test_threads_share_a_normalizer(target: np.ndarray) -> None:
    pictures = [mixture(OTHER, seed=s, strength=0.5 + s / 20) for s in range(12)]
    for kind in NORMALIZERS:
        normalizer = kind().fit(target)
        alone = [normalizer.transform(one) for one in pictures]
        with ThreadPoolExecutor(4) as pool:
            for expected, found in zip(alone, pool.map(normalizer, pictures), strict=True):
                assert (expected == found).all()


# --- images without two stains -----------------------------------------------------------------


def degenerate() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    white = np.full((64, 80, 3), 255, np.uint8)
    dust = white.copy()
    dust[0, :3] = (90, 40, 120)
    amounts = rng.uniform(0.3, 1.5, (64, 80, 1))
    return {
        "white": white,
        "blank": np.clip(rng.normal(243, 2, (64, 80, 3)), 0, 255).astype(np.uint8),
        "black": np.zeros((64, 80, 3), np.uint8),
        "uniform": np.full((64, 80, 3), (150, 80, 160), np.uint8),
        "grey": np.repeat(rng.integers(20, 200, (64, 80, 1)), 3, axis=2).astype(np.uint8),
        "haematoxylin": np.rint(255 * np.exp(-amounts * unit(HE)[0])).astype(np.uint8),
        "dust": dust,
        "one pixel": np.array([[[120, 60, 150]]], np.uint8),
        "tiny": rng.integers(40, 200, (2, 3, 3)).astype(np.uint8),
        "no pixels": np.zeros((0, 7, 3), np.uint8),
    }


@pytest.mark.parametrize("name", degenerate())
@pytest.mark.parametrize("kind", [MacenkoNormalizer, VahadaneNormalizer])
@pytest.mark.parametrize("preset", ["default", "staintools"])
def test_image_without_two_stains_is_unchanged(
    kind: type, preset: str, name: str, target: np.ndarray
) -> None:
    made = degenerate()[name]
    normalizer = kind(preset).fit(target)
    result, flag = normalizer.transform(made, return_flags=True)
    if name in ("white", "blank", "dust", "no pixels", "one pixel", "tiny"):
        assert flag == Flag.NO_TISSUE
    elif name != "haematoxylin" or preset == "default":
        assert flag == Flag.SINGLE_STAIN
    if flag.unchanged:
        assert result is not made
        assert (result == made).all()
        parts = normalizer.separate(made)
        assert all((part == made).all() for part in parts)
        with pytest.raises(InputError, match="stain"):
            normalizer.stain_matrix(made)
        with pytest.raises(InputError, match="stain target"):
            kind(preset).fit(made)
    estimated = normalizer.estimate(made)
    assert np.isnan(estimated.matrix).all() == flag.unchanged
    assert (estimated.matrix.shape, estimated.maximum.shape) == ((2, 3), (2,))


@pytest.mark.parametrize("name", degenerate())
def test_reinhard_survives_every_image(name: str, target: np.ndarray) -> None:
    made = degenerate()[name]
    for preset in stain.PRESETS["reinhard"]:
        result, flag = ReinhardNormalizer(preset).fit(target).transform(made, return_flags=True)
        assert result.shape == made.shape
        if name in ("white", "black", "uniform", "one pixel", "tiny", "no pixels"):
            assert flag.unchanged
            assert (result == made).all()


def test_batch_with_blank_images_keeps_its_order(image: np.ndarray, target: np.ndarray) -> None:
    white = np.full_like(image, 255)
    batch = np.stack([white, image, np.zeros_like(image)])
    normalizer = MacenkoNormalizer().fit(target)
    result, flags = normalizer.transform(batch, return_flags=True)
    assert flags.tolist() == [Flag.NO_TISSUE, Flag.OK, Flag.SINGLE_STAIN]
    assert (result[0] == 255).all()
    assert (result[1] == normalizer.transform(image)).all()
    assert (result[2] == 0).all()


def test_gain_is_bounded(target: np.ndarray) -> None:
    faint = mixture(OTHER, seed=4, strength=0.3)
    free = MacenkoNormalizer(mask_threshold=0.05, max_gain=100.0, stride=1).fit(target)
    bound = MacenkoNormalizer(mask_threshold=0.05, max_gain=1.5, stride=1).fit(target)
    strong, flag = free.transform(faint, return_flags=True)
    assert flag == Flag.OK
    weak, flag = bound.transform(faint, return_flags=True)
    assert flag == Flag.GAIN_LIMITED
    ratio = bound.concentrations(weak, HE).mean() / bound.concentrations(faint, OTHER).mean()
    assert ratio == pytest.approx(1.5, rel=0.1)
    assert strong.mean() < weak.mean() < faint.mean()


def test_noise_gives_numbers(target: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for low, high in ((0, 256), (0, 4), (200, 256), (100, 110)):
        noise = rng.integers(low, high, (70, 90, 3)).astype(np.uint8)
        for kind in NORMALIZERS:
            for preset in stain.PRESETS[kind.method]:
                result, flag = kind(preset).fit(target).transform(noise, return_flags=True)
                assert result.shape == noise.shape
                assert flag in Flag


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_wrong_input_says_what_was_expected(kind: type, target: np.ndarray) -> None:
    with pytest.raises(InputError, match="no target yet: call fit"):
        kind().transform(target)
    with pytest.raises(InputError, match="no target yet"):
        kind().identity()
    normalizer = kind().fit(target)
    with pytest.raises(InputError, match=r"expected RGB uint8 .* float64 .*\(image \* 255\)"):
        normalizer.transform(target / 255)
    with pytest.raises(InputError, match=r"reach 254: give image\.round"):
        normalizer.transform(np.minimum(target, 254).astype(np.float32))
    with pytest.raises(InputError, match=r"received uint8 of shape \(3, 96, 120\); the channels"):
        normalizer.transform(np.moveaxis(target, -1, 0))
    with pytest.raises(InputError, match=r"\(2, 3, 96, 120\); the channels stand first"):
        normalizer.transform(np.stack([np.moveaxis(target, -1, 0)] * 2))
    with pytest.raises(InputError, match="grey or RGBA"):
        normalizer.transform(target[..., 0])
    with pytest.raises(InputError, match="received list"):
        normalizer.transform([[1, 2, 3]])
    with pytest.raises(InputError, match="expected one image"):
        kind().fit(np.stack([target] * 2))
    with pytest.raises(InputError, match="stain target: it has too little stained tissue"):
        kind().fit(np.full((64, 64, 3), 255, np.uint8))


def test_conventions_are_checked() -> None:
    for wrong, text in (
        ({"preset": "mine"}, "preset 'mine'"),
        ({"engine": "torch"}, "engine 'torch'"),
        ({"white": 240}, "does not use white;"),
        ({"lab": "8bit"}, "does not use lab"),
        ({"white_level": 256}, "white_level: expected a number from 1 to 255"),
        ({"white_level": "240"}, "white_level"),
        ({"stride": 1.5}, "stride: expected a whole number"),
        ({"percentile": "median"}, "one of linear, nearest"),
        ({"max_gain": float("nan")}, "max_gain"),
    ):
        with pytest.raises(InputError, match=text):
            MacenkoNormalizer(**wrong)
    with pytest.raises(InputError, match="stain matrix: expected 2 x 3"):
        MacenkoNormalizer().concentrations(mixture(), np.eye(3))


def test_default_is_macenko_with_white_level_240() -> None:
    assert MacenkoNormalizer().conventions.white_level == 240
    assert next(iter(stain.METHODS)) == "macenko"


# --- files, targets, cache ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_saved_normalizer_is_the_same(
    kind: type, image: np.ndarray, target: np.ndarray, tmp_path: Path
) -> None:
    normalizer = kind("staintools", stride=3).fit(target)
    normalizer.save(tmp_path / "stain.json")
    again = stain.load(tmp_path / "stain.json")
    assert type(again) is kind
    assert again.identity() == normalizer.identity()
    assert (again.transform(image) == normalizer.transform(image)).all()
    assert (tmp_path / "stain.json").stat().st_size < 2000


def test_identity_tells_everything_apart(image: np.ndarray, target: np.ndarray) -> None:
    made = [
        MacenkoNormalizer().fit(target), MacenkoNormalizer().fit(image),
        MacenkoNormalizer("torchstain").fit(target), MacenkoNormalizer(stride=1).fit(target),
        VahadaneNormalizer().fit(target), ReinhardNormalizer().fit(target),
    ]  # fmt: skip
    texts = {normalizer.identity() for normalizer in made}
    assert len(texts) == len(made)
    assert MacenkoNormalizer().fit(target).identity() in texts
    assert "\n" not in made[0].identity()


def test_damaged_files_are_named(target: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "stain.json"
    with pytest.raises(InputError, match="no such file"):
        stain.load(path)
    MacenkoNormalizer().fit(target).save(path)
    good = json.loads(path.read_text())
    for change in (
        {"method": "other"}, {"target": {"matrix": [[1, 0, 0]], "maximum": [1, 1]}},
        {"conventions": {}}, {"preset": "mine"}, {"stain_normalizer": 0}, {"target": {}},
        {"target": {"matrix": HE.tolist(), "maximum": [1, None]}},
    ):  # fmt: skip
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(InputError, match=r"stain\.json.*python -m common\.stain fit"):
            stain.load(path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"stain\.json: damaged \(.*python -m common\.stain fit"):
        stain.load(path)


def test_target_is_nearest_the_median(tmp_path: Path) -> None:
    stains = [HE + step * (OTHER - HE) for step in (0.0, 1.0, 0.5, 0.9, 0.1)]
    pictures = [mixture(one, seed=i) for i, one in enumerate(stains)]
    pictures.insert(0, np.full_like(pictures[0], 255))
    assert choose_target(pictures) == 3
    assert choose_target(iter(pictures), VahadaneNormalizer()) == 3
    paths = []
    for i, picture in enumerate(pictures):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert choose_target(paths) == 3
    with pytest.raises(InputError, match="no image has stained tissue"):
        choose_target(pictures[:1])


def test_normalizer_runs_inside_the_image_cache(
    image: np.ndarray, target: np.ndarray, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    normalizer = MacenkoNormalizer().fit(target)
    arguments = {"cache_dir": tmp_path / "cache", "progress": False}
    plain = images.cached(tmp_path, ["a.png"], 32, **arguments)
    stained = images.cached(
        tmp_path, ["a.png"], 32, transform=normalizer.transform,
        transform_id=normalizer.identity(), **arguments,
    )  # fmt: skip
    expected = images.resize(normalizer.transform(image), 32)
    assert (stained[0] == expected).all()
    assert mean_difference(stained[0], plain[0]) > 5


# --- augmentation ------------------------------------------------------------------------------


@pytest.mark.parametrize("stains", ["ruifrok", "macenko", "vahadane", HE])
def test_augmenter_without_change_gives_the_image(stains: object, image: np.ndarray) -> None:
    augmenter = StainAugmenter(stains)
    same = augmenter.apply(image, {"alpha": [1, 1], "beta": [0, 0]})
    assert (same == image).all()


def test_augmenter_changes_the_concentrations_as_drawn(image: np.ndarray) -> None:
    drawn = {"alpha": [1.3, 0.8], "beta": [0.1, -0.05]}
    unmix = MacenkoNormalizer(white_level=255)
    before = unmix.concentrations(image, OTHER)
    after = unmix.concentrations(StainAugmenter(OTHER).apply(image, drawn), OTHER)
    inside = (after > 0.05).all(axis=-1) & (before > 0.05).all(axis=-1)
    expected = before * drawn["alpha"] + drawn["beta"]
    assert inside.sum() > 1000
    np.testing.assert_allclose(after[inside].mean(0), expected[inside].mean(0), atol=0.01)
    assert abs(after - expected)[inside].mean() < 0.02


def test_augmenter_draws_from_the_generator(image: np.ndarray) -> None:
    augmenter = StainAugmenter(sigma_alpha=0.2, sigma_beta=0.1)
    rng = np.random.default_rng(0)
    draws = [augmenter.draw(rng) for _ in range(500)]
    alpha = np.array([draw["alpha"] for draw in draws])
    beta = np.array([draw["beta"] for draw in draws])
    assert alpha.min() >= 0.8
    assert alpha.max() <= 1.2
    assert abs(beta).max() <= 0.1
    np.testing.assert_allclose(alpha.mean(axis=0), 1, atol=0.02)
    np.testing.assert_allclose(alpha.std(axis=0), 0.4 / np.sqrt(12), rtol=0.1)
    json.dumps(draws[0])
    one = augmenter(image, np.random.default_rng(5))
    assert (one == augmenter(image, np.random.default_rng(5))).all()
    assert mean_difference(one, augmenter(image, np.random.default_rng(6))) > 0.5
    batch = augmenter(np.stack([image] * 2), np.random.default_rng(5))
    assert (batch[0] == one).all()
    assert (batch[1] != one).any()


def test_augmenter_can_leave_the_background(image: np.ndarray) -> None:
    drawn = {"alpha": [1.2, 1.2], "beta": [0.2, 0.2]}
    white = image.min(axis=-1) == 255
    assert white.sum() > 500
    assert (StainAugmenter().apply(image, drawn)[white] < 255).all()
    kept = StainAugmenter(background=False).apply(image, drawn)
    assert (kept[white] == 255).all()
    assert (kept[~white] != image[~white]).any(axis=-1).mean() > 0.9
    blank = np.full((40, 40, 3), 255, np.uint8)
    same, flag = StainAugmenter("macenko").apply(blank, drawn, return_flags=True)
    assert flag == Flag.NO_TISSUE
    assert (same == blank).all()
    for wrong in ({"sigma_alpha": -1}, {"sigma_beta": 2}, {"stains": "hed"}, {"stains": [1, 2]}):
        with pytest.raises(InputError):
            StainAugmenter(**wrong)


# --- command line ------------------------------------------------------------------------------


def folder_of(path: Path, pictures: dict[str, np.ndarray]) -> Path:
    for name, picture in pictures.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return path


def test_commands_fit_apply_and_show(
    image: np.ndarray, target: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    white = np.full_like(image, 255)
    source = folder_of(tmp_path / "in", {"a.png": image, "sub/b.tif": target, "w.png": white})
    (source / "cut.png").write_bytes((source / "a.png").read_bytes()[:500])
    fitted, output = tmp_path / "stain.json", tmp_path / "out"
    chosen = tmp_path / "training"
    folder_of(chosen, {"t.png": target, "white.png": white})
    assert commands.main(["fit", str(chosen), "--output", str(fitted)]) == 0
    assert "target: t.png" in capsys.readouterr().out

    assert commands.main(["apply", str(fitted), str(source), str(output)]) == 1
    text = capsys.readouterr().out
    assert "3 images are in" in text
    assert "unchanged, no stained tissue: 1\n  w.png" in text
    assert "not read: 1" in text
    assert "cut.png" in text
    normalizer = stain.load(fitted)
    for name, picture in (("a.png", image), ("sub/b.tif", target), ("w.png", white)):
        assert (images.read(output / name) == normalizer.transform(picture)).all()
    kept = {path: path.stat().st_mtime_ns for path in output.rglob("*.*") if path.suffix != ".json"}
    assert len(kept) == 3

    (source / "cut.png").unlink()
    assert commands.main(["apply", str(fitted), str(source), str(output), "--workers", "2"]) == 0
    text = capsys.readouterr().out
    assert "3 of 3 images are there already" in text
    assert "w.png" in text  # remembered from the first run
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())

    sheet = tmp_path / "sheet.png"
    arguments = ["show", str(fitted), str(source / "a.png"), str(source / "w.png")]
    assert commands.main([*arguments, "--output", str(sheet)]) == 0
    assert images.read(sheet).shape[1] > 600


def test_commands_say_what_is_wrong(image: np.ndarray, tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", {"a.png": image, "w.png": np.full_like(image, 255)})
    fitted = tmp_path / "stain.json"
    fit = ["fit", str(source / "a.png"), "--output", str(fitted)]
    with pytest.raises(InputError, match=r"w\.png: stain target"):
        commands.main(["fit", str(source / "w.png"), "--output", str(fitted)])
    with pytest.raises(InputError, match="expected NAME=VALUE"):
        commands.main([*fit, "--set", "white_level"])
    assert not fitted.exists()
    assert commands.main([*fit, "--set", "white_level=255", "percentile=nearest"]) == 0
    conventions = stain.load(fitted).conventions
    assert (conventions.white_level, conventions.percentile) == (255, "nearest")
    for output in (source, source / "out", tmp_path):
        with pytest.raises(InputError, match=r"choose another one|give another name"):
            commands.main(["apply", str(fitted), str(source), str(output)])
    output = tmp_path / "out"
    commands.main(["apply", str(fitted), str(source), str(output)])
    commands.main([*fit, "--method", "reinhard"])
    with pytest.raises(InputError, match="was made with another normaliser"):
        commands.main(["apply", str(fitted), str(source), str(output)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no"):
        commands.main(["apply", str(fitted), str(tmp_path / "empty"), str(output)])


def test_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "common.stain", "apply", "none.json", ".", "out"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: none.json: no such file")
    assert done.stderr.count("\n") == 1


def test_synthetic_images_stay_marked(image: np.ndarray, tmp_path: Path) -> None:
    from common import datasets
    from common.datasets.synthetic import files

    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    files.write_png(source / "a.png", image)
    MacenkoNormalizer().fit(image).save(tmp_path / "stain.json")
    commands.apply(tmp_path / "stain.json", source, output)
    assert datasets.is_synthetic(output)
    assert datasets.marks.is_synthetic_png(output / "a.png")


def test_killed_apply_goes_on(target: np.ndarray, tmp_path: Path) -> None:
    names = [f"{i:03}.png" for i in range(36)]
    pictures = {
        name: mixture(OTHER, seed=i, shape=(400, 500)) if i % 7 else np.full((60, 60, 3), 255, "u1")
        for i, name in enumerate(names)
    }
    source = folder_of(tmp_path / "in", pictures)
    fitted, output = tmp_path / "stain.json", tmp_path / "out"
    VahadaneNormalizer().fit(target).save(fitted)
    command = [sys.executable, "-m", "common.stain", "apply", fitted, source, output]
    root = Path(__file__).parents[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 60
    while len(list(output.glob("0*.png"))) < 10 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = sorted(output.glob("0*.png"))
    assert 10 <= len(done) < len(names)
    normalizer = stain.load(fitted)
    for path in done:  # every file that stands there is whole
        assert (images.read(path) == normalizer.transform(pictures[path.name])).all()
    times = {path: path.stat().st_mtime_ns for path in done}
    again = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=True, env=environment
    )
    assert f"{len(done)} of 36 images are there already" in again.stdout
    assert "unchanged, no stained tissue: 6\n  000.png" in again.stdout
    assert sorted(path.name for path in output.glob("0*.png")) == names
    assert all(path.stat().st_mtime_ns == made for path, made in times.items())


# --- accelerator -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conventions",
    [
        {},
        {"eigenvectors": "red", "concentrations": "lasso", "max_gain": 1.1},
        pytest.param({"preset": "torchstain"}, marks=pytest.mark.slow),
        pytest.param({"preset": "torchstain_numpy"}, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_accelerated_batch_agrees(conventions: dict, target: np.ndarray) -> None:
    from common.stain.accelerator import StainNormalization

    made = [mixture(OTHER, seed=s, strength=0.8, shape=(230, 300)) for s in range(3)]
    scarce = np.full_like(made[0], 250)
    scarce[:60, :80] = made[0][:60, :80]
    batch = np.stack([*made, scarce, np.full_like(scarce, 255), np.zeros_like(scarce)])
    normalizer = MacenkoNormalizer(**conventions).fit(target)
    expected, flags = normalizer.transform(batch, return_flags=True)
    layer = StainNormalization(normalizer)
    found = np.asarray(layer(batch))
    assert found.dtype == np.float32
    assert np.asarray(layer.flags(batch)).tolist() == flags.tolist()
    assert flags.tolist()[-2:] == [Flag.NO_TISSUE, Flag.SINGLE_STAIN]
    assert abs(found - expected).max() <= 1


def padded(image: np.ndarray) -> np.ndarray:
    """The image with a black side, a white top, both, and a black corner as after a rotation."""
    black, white, corner = image.copy(), image.copy(), image.copy()
    black[:, :90] = 0
    white[-60:] = 255
    both = black.copy()
    both[:40] = 255
    across = np.add.outer(np.arange(image.shape[0]), np.arange(image.shape[1])) < 80
    corner[across] = 3
    return np.stack([black, white, both, corner])


def test_padding_takes_no_part_on_the_accelerator_either(target: np.ndarray) -> None:
    from common.stain.accelerator import StainNormalization

    image = mixture(OTHER, seed=1, strength=0.8, shape=(230, 300))
    batch = padded(image)
    normalizer = MacenkoNormalizer(stride=1).fit(target)
    found = np.asarray(StainNormalization(normalizer)(batch))
    assert abs(found - normalizer.transform(batch)).max() <= 1
    # What lies beside the padding alone gives the same stains.
    alone = normalizer.transform(np.ascontiguousarray(image[:, 90:]))
    assert abs(found[0][:, 90:] - alone).max() <= 1


def test_accelerated_layer_is_saved_and_picky(target: np.ndarray, tmp_path: Path) -> None:
    import keras

    from common.stain.accelerator import StainNormalization

    normalizer = MacenkoNormalizer(stride=1).fit(target)
    inputs = keras.Input((48, 60, 3))
    model = keras.Model(inputs, StainNormalization(normalizer)(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    batch = np.stack([mixture(OTHER, seed=1, shape=(48, 60))])
    assert (again.predict(batch, verbose=0) == model.predict(batch, verbose=0)).all()
    assert abs(again.predict(batch, verbose=0) - normalizer.transform(batch)).max() <= 1
    for wrong in (MacenkoNormalizer(), MacenkoNormalizer("staintools").fit(target),
                  VahadaneNormalizer().fit(target)):  # fmt: skip
        with pytest.raises(InputError):
            StainNormalization(wrong)


@pytest.mark.slow
def test_accelerated_batch_agrees_under_jax(target: np.ndarray, tmp_path: Path) -> None:
    """Eager and compiled, where `MacenkoNormalizer.transform` is the oracle."""
    pytest.importorskip("jax")
    made = [mixture(OTHER, seed=s, strength=0.8, shape=(230, 300)) for s in range(2)]
    plain = [np.full_like(made[0], 255), np.zeros_like(made[0])]
    batch = np.stack([*made, *plain, *padded(made[0])])
    normalizer = MacenkoNormalizer().fit(target)
    normalizer.save(tmp_path / "stain.json")
    np.save(tmp_path / "batch.npy", batch)
    code = (
        "import jax, numpy as np\n"
        "from pathlib import Path\n"
        "from common import stain\n"
        "from common.stain.accelerator import StainNormalization\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "layer = StainNormalization(stain.load(folder / 'stain.json'))\n"
        "batch = np.load(folder / 'batch.npy')\n"
        "np.save(folder / 'eager.npy', np.asarray(layer(batch)))\n"
        "np.save(folder / 'compiled.npy', np.asarray(jax.jit(layer)(batch)))\n"
        "np.save(folder / 'flags.npy', np.asarray(layer.flags(batch)))\n"
        "import keras\n"
        "assert keras.backend.backend() == 'jax'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[1], env={**os.environ, "KERAS_BACKEND": "jax"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected, flags = normalizer.transform(batch, return_flags=True)
    for name in ("eager", "compiled"):
        assert abs(np.load(tmp_path / f"{name}.npy") - expected).max() <= 1
    assert np.load(tmp_path / "flags.npy").tolist() == flags.tolist()


def test_typical_target_is_read_whole_and_fitted(tmp_path: Path) -> None:
    """Chosen on small pixels, fitted on the file."""
    pictures = [mixture(HE + step * (OTHER - HE), seed=9) for step in (0.0, 0.5, 1.0)]
    names = [f"{i}.png" for i in range(3)]
    for name, picture in zip(names, pictures, strict=True):
        cv2.imwrite(str(tmp_path / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    small = images.cached(tmp_path, names, 48, cache_dir=tmp_path / "cache", progress=False)
    for kind in NORMALIZERS:
        normalizer = kind()
        assert stain.fit_typical(normalizer, tmp_path, names, small) == "1.png"
        assert normalizer.identity() == kind().fit(pictures[1]).identity()


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_state_makes_the_same_normalizer(kind: type, target: np.ndarray) -> None:
    normalizer = kind().fit(target)
    again = stain.from_state(json.loads(json.dumps(normalizer.state())))
    assert again.identity() == normalizer.identity()
    for wrong in ({}, {**normalizer.state(), "method": "x"}, {**normalizer.state(), "target": 1}):
        with pytest.raises(InputError, match="damaged"):
            stain.from_state(wrong)


def test_importing_loads_no_framework() -> None:
    code = (
        "import sys, common.stain; print([m for m in ('keras', 'tensorflow') if m in sys.modules])"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --- real images -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(real_data: Path) -> list[np.ndarray]:
    paths = sorted((real_data / "data" / "breakhis_100x").rglob("*.png"))
    assert len(paths) == 213
    return [images.read(path) for path in paths[::12]]


@pytest.mark.data
@pytest.mark.parametrize("kind", [MacenkoNormalizer, VahadaneNormalizer])
def test_real_images_have_the_target_stains_afterwards(kind: type, real: list[np.ndarray]) -> None:
    normalizer = kind().fit(real[choose_target(real)])
    results = [normalizer.transform(one, return_flags=True) for one in real]
    assert {flag for _, flag in results} == {Flag.OK}
    before, after = (
        np.array([degrees(normalizer.stain_matrix(one), normalizer.target.matrix) for one in part])
        for part in (real, [result for result, _ in results])
    )
    assert np.median(before) > 5
    assert np.median(after) < 2.5
    strengths = np.array([normalizer.estimate(result).maximum for result, _ in results])
    np.testing.assert_allclose(np.median(strengths, axis=0), normalizer.target.maximum, rtol=0.1)


@pytest.mark.data
def test_real_images_have_the_target_colours_afterwards(real: list[np.ndarray]) -> None:
    normalizer = ReinhardNormalizer().fit(real[choose_target(real)])
    for one in real[::3]:
        result, flag = normalizer.transform(one, return_flags=True)
        assert flag == Flag.OK
        again = ReinhardNormalizer().fit(result)
        np.testing.assert_allclose(again.mean, normalizer.mean, atol=1.5)  # clipped at white
        np.testing.assert_allclose(again.deviation, normalizer.deviation, atol=1.5)


@pytest.mark.data
@pytest.mark.parametrize("kind", [MacenkoNormalizer, VahadaneNormalizer])
def test_real_images_sub_sampled(kind: type, real: list[np.ndarray]) -> None:
    target = real[choose_target(real)]
    quick, whole = kind().fit(target), kind(stride=1).fit(target)
    apart = [mean_difference(quick.transform(one), whole.transform(one)) for one in real[::2]]
    assert np.mean(apart) <= 0.5
    assert np.max(apart) <= 1


@pytest.mark.data
def test_real_images_on_the_accelerator(real: list[np.ndarray]) -> None:
    from common.stain.accelerator import StainNormalization

    batch = np.stack([one for one in real[:6] if one.shape == (460, 700, 3)])
    normalizer = MacenkoNormalizer().fit(real[0])
    found = np.asarray(StainNormalization(normalizer)(batch))
    assert abs(found - normalizer.transform(batch)).max() <= 1
