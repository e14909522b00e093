"""How the package StainTools is called, with a stand-in for it: it need not be installed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from common import stain
from common.stain import Flag, MacenkoNormalizer, staintools


class NoTissueError(Exception):
    """As the package raises it."""


class Reinhard:
    """Colours are shifted by the means and the deviations wanted."""

    def transform(self, image):
        shift = sum(each.item() for each in (*self.target_means, *self.target_stds))
        image += np.uint8(shift)  # as packages do: in place
        return image


def mixture(seed=0, shape=(20, 24)):
    """Two stains in all ratios, (H, W, 3), uint8."""
    amounts = np.random.default_rng(seed).uniform(0.2, 1.5, (*shape, 2))
    return np.rint(255 * np.exp(-amounts @ stain.RUIFROK)).astype(np.uint8)


@pytest.fixture
def asked(monkeypatch):
    """Stand in for the package; give what it is asked."""
    own = MacenkoNormalizer("staintools")
    asked = []

    def vectors(image):
        asked.append(image.shape)
        if image.min() == 255:
            raise NoTissueError
        if image.max() == 0:
            raise np.linalg.LinAlgError
        found = own.stain_matrix(image)
        image[:] = 0
        return found

    def amounts(image, matrix):
        found = own.concentrations(image, matrix).reshape(-1, 2)
        image[:] = 0
        return found

    package = SimpleNamespace(
        extractors={"macenko": SimpleNamespace(get_stain_matrix=vectors)},
        no_tissue=NoTissueError, get_concentrations=amounts, reinhard=Reinhard,
    )  # fmt: skip
    monkeypatch.setattr(staintools, "package", lambda: package)
    return asked


def test_the_engine_of_the_package_is_that_of_its_preset(asked):
    """The stand-in reckons as the preset does, so both give the same."""
    target, image = mixture(0), mixture(1)
    expected, flag = MacenkoNormalizer("staintools").fit(target).transform(image, return_flags=True)
    normalizer = MacenkoNormalizer(engine="staintools").fit(target)
    before = image.copy()
    found, flags = normalizer.transform(image, return_flags=True)
    assert flags == flag == Flag.OK
    assert (image == before).all()
    assert abs(found.astype(int) - expected).max() <= 1
    assert asked == [target.shape, image.shape]
    assert normalizer.state()["engine"] == "staintools"
    assert normalizer.state()["preset"] == "staintools"
    again = stain.from_state(normalizer.state())
    assert again.engine == "staintools"


def test_what_the_package_finds_no_stains_in(asked):
    assert staintools.matrix("macenko", np.full((4, 5, 3), 255, np.uint8)) is None
    assert staintools.matrix("macenko", np.zeros((4, 5, 3), np.uint8)) is None
    normalizer = MacenkoNormalizer(engine="staintools").fit(mixture())
    for matrix in (None, np.full((2, 3), np.nan), np.array([[1, 0, 0], [0, np.nan, 0]])):
        own = MacenkoNormalizer(stride=1)
        own._matrix = lambda density, matrix=matrix: matrix
        assert own.estimate(mixture()).flag == Flag.SINGLE_STAIN
    assert normalizer.estimate(np.zeros((20, 24, 3), np.uint8)).flag == Flag.SINGLE_STAIN


def test_amounts_are_the_packages(asked, monkeypatch):
    """Of a stand-in that finds twice as much as we do."""
    image, plain = mixture(), staintools.package()
    normalizer = MacenkoNormalizer(engine="staintools").fit(mixture(1))
    once = normalizer.estimate(image).maximum, normalizer.concentrations(image)
    twice = SimpleNamespace(
        extractors=plain.extractors,
        get_concentrations=lambda *given: 2 * plain.get_concentrations(*given),
        no_tissue=plain.no_tissue, reinhard=plain.reinhard,
    )  # fmt: skip
    monkeypatch.setattr(staintools, "package", lambda: twice)
    np.testing.assert_allclose(normalizer.estimate(image).maximum, 2 * once[0], rtol=1e-6)
    np.testing.assert_allclose(normalizer.concentrations(image), 2 * once[1], rtol=1e-6)


def test_the_packages_reinhard_is_given_the_target(asked):
    image = np.full((4, 5, 3), 100, np.uint8)
    found = staintools.reinhard(image, np.array([1, 2, 3]), np.array([4, 5, 6]))
    assert (found == 121).all() and (image == 100).all()
