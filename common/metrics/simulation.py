"""Studies that are drawn, not done: a few patients with many images each, whose errors go together.

A patient's chance that an image is right is drawn from a beta distribution about the accuracy, of
which the intraclass correlation says how far patients differ; given it, images are independent.
Patients have as many images as cases of BreakHis have at 100x, and are benign and malignant in its
proportion. `python -m benchmarks.interval_coverage` and the planner draw from here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from common.metrics.intervals import NOISE, REPLICATES, clopper_pearson, draw
from common.metrics.jackknife import jackknife_interval

CORRELATION = 0.3
"""Intraclass correlation of right and wrong within a patient: about what 213 images of 12 cases
show (docs/unseen-patients.md); 0.1 and 0.5 are tried beside it."""

ALIKE = 0.8
"""Correlation of two networks' chances of the same patients, as normal scores: assumed."""

MAGNIFICATION = "100X"

STUDIES = 1000
"""That are drawn; a share of them is known to 3 points."""

SCORES = ("accuracy", "recall, benign", "balanced accuracy", "F1, malignant")
"""Those that counts are enough for."""


@functools.cache
def images_per_case() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Images at `MAGNIFICATION` of each benign, and of each malignant case of BreakHis."""
    from common.datasets import breakhis

    place = breakhis.MAGNIFICATIONS.index(MAGNIFICATION)
    sizes: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for folder, counts in breakhis.folders().items():
        told = breakhis.named(folder)
        assert told is not None
        of_side = sizes[folder.startswith("SOB_M")]
        of_side[told["case"]] = of_side.get(told["case"], 0) + counts[place]
    return tuple(sizes[0].values()), tuple(sizes[1].values())


@dataclass(frozen=True)
class Studies:
    """Studies of the same number of patients.

    Attributes
    ----------
    accuracy : float
        The truth they are drawn from: of each class, and of all.
    malignant : bool array (patients,)
    images : int array (studies, patients)
    right : int array (studies, patients)
    chance : float array (studies, patients)
        Of each patient, that an image is right.
    """

    accuracy: float
    malignant: np.ndarray
    images: np.ndarray
    right: np.ndarray
    chance: np.ndarray


def studies(
    patients: int,
    accuracy: float,
    correlation: float = CORRELATION,
    count: int = STUDIES,
    *,
    images: int | None = None,
    seed: int = 0,
) -> Studies:
    """Draw studies.

    Parameters
    ----------
    patients : int
        Of each study, at least 2.
    accuracy : float
        In (0, 1).
    correlation : float
        Within patients, in (0, 1).
    count : int
        How many studies.
    images : int, optional
        Of each patient; by default as cases of BreakHis have.
    seed : int

    Returns
    -------
    Studies
    """
    rng = np.random.default_rng(seed)
    benign, malignant = images_per_case()
    n_benign = round(patients * len(benign) / (len(benign) + len(malignant)))
    side = np.arange(patients) >= n_benign
    if images is None:
        shape = (count, patients)
        sizes = np.where(side, rng.choice(malignant, shape), rng.choice(benign, shape))
    else:
        sizes = np.full((count, patients), images)
    chance = chances(rng.random((count, patients)), accuracy, correlation)
    return Studies(accuracy, side, sizes, rng.binomial(sizes, chance), chance)


def chances(uniform: np.ndarray, accuracy: float, correlation: float) -> np.ndarray:
    """Turn uniform numbers into patients' chances.

    Parameters
    ----------
    uniform : float array
        In (0, 1).
    accuracy, correlation : float
        Mean of the beta distribution, and how far it spreads: its variance is
        ``correlation * accuracy * (1 - accuracy)``.

    Returns
    -------
    float array
        Of the same shape.
    """
    from scipy.special import betaincinv

    both = (1 - correlation) / correlation
    return betaincinv(accuracy * both, (1 - accuracy) * both, uniform)


def score(drawn: Studies, name: str, times: np.ndarray) -> np.ndarray:
    """Compute a score of samples of each study's patients.

    Parameters
    ----------
    drawn : Studies
    name : str
        One of `SCORES`.
    times : float array (patients,) or (samples, patients)
        How often a sample holds each patient.

    Returns
    -------
    float array (studies,) or (studies, samples)
        NaN where a sample lacks a class that the score needs.
    """
    right, images = drawn.right.astype(np.float64), drawn.images.astype(np.float64)
    if name == "accuracy":
        return (right @ times.T) / (images @ times.T)
    positive = times * drawn.malignant
    negative = times * ~drawn.malignant
    tp, tn = right @ positive.T, right @ negative.T
    p, n = images @ positive.T, images @ negative.T
    with np.errstate(invalid="ignore"):  # 0 / 0, without a class
        found = {
            "recall, benign": tn / n,
            "balanced accuracy": (tp / p + tn / n) / 2,
            "F1, malignant": np.where((p > 0) & (n > 0), 2 * tp / (tp + p + n - tn), np.nan),
        }[name]
    return np.where(np.isfinite(found), found, np.nan)


def truth(drawn: Studies, name: str) -> float:
    """Give what a score would be over infinitely many such patients.

    Parameters
    ----------
    drawn : Studies
    name : str
        One of `SCORES`.

    Returns
    -------
    float
    """
    if name != "F1, malignant":
        return drawn.accuracy
    positive = drawn.images[:, drawn.malignant].sum()
    negative = drawn.images.sum() - positive
    tp, wrong = drawn.accuracy * positive, (1 - drawn.accuracy) * (positive + negative)
    return float(2 * tp / (2 * tp + wrong))


def jackknife(drawn: Studies, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Intervals as `metrics.compute` gives them for patients; NaN where there is none.

    Parameters
    ----------
    drawn : Studies
    name : str
        One of `SCORES`.

    Returns
    -------
    low, high : float array (studies,)
    """
    units = drawn.images.shape[1]
    value = score(drawn, name, np.ones(units))
    low, high = jackknife_interval(value, score(drawn, name, 1 - np.eye(units)), 0, 1)
    return _constant(name, value, units, low, high)


def percentile(
    drawn: Studies, name: str, replicates: int = REPLICATES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of a bootstrap over patients, as they were before.

    Parameters
    ----------
    drawn : Studies
    name : str
        One of `SCORES`.
    replicates, seed : int
        Of the bootstrap; all studies have the same samples, as all test sets have.

    Returns
    -------
    low, high : float array (studies,)
    """
    units = drawn.images.shape[1]
    value = score(drawn, name, np.ones(units))
    low, high = _percentiles(score(drawn, name, _samples(units, replicates, seed)))
    return _constant(name, value, units, low, high)


def _samples(units: int, replicates: int, seed: int) -> np.ndarray:
    """How often each bootstrap sample holds each patient."""
    return draw(units, np.arange(units), replicates=replicates, seed=seed).times


def _percentiles(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As they were before, some of no width; NaN where all samples are the same."""
    low, high = np.nanpercentile(samples, [2.5, 97.5], axis=1)
    same = np.nanmax(samples, axis=1) - np.nanmin(samples, axis=1) <= NOISE
    return np.where(same, np.nan, low), np.where(same, np.nan, high)


def _constant(
    name: str, value: np.ndarray, units: int, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """An accuracy that nothing moves has Clopper and Pearson's interval over patients."""
    if name == "accuracy":
        for i in np.flatnonzero(np.isnan(low)):
            low[i], high[i] = clopper_pearson(value[i] * units, units)
    return low, high


# --- two networks on the same images -------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Studies of two networks.

    Attributes
    ----------
    images : int array (studies, patients)
    gained : int array (studies, patients)
        How many more of a patient's images the first has right.
    """

    images: np.ndarray
    gained: np.ndarray


def pairs(
    patients: int,
    accuracy: float,
    difference: float,
    correlation: float = CORRELATION,
    count: int = STUDIES,
    *,
    images: int | None = None,
    seed: int = 0,
) -> Pairs:
    """Draw studies of two networks, which find the same patients hard.

    Parameters
    ----------
    patients, accuracy, correlation, count, images, seed
        As `studies` takes them; the accuracy is the first network's.
    difference : float
        By how much the second's is lower.

    Returns
    -------
    Pairs
        Patients' chances of the two go together (normal scores with the correlation `ALIKE`);
        given them, their errors are independent.
    """
    from scipy.special import ndtr

    rng = np.random.default_rng([seed, 1])
    first = studies(patients, accuracy, correlation, count, images=images, seed=seed)
    one, other = rng.normal(size=(2, count, patients))
    other = ALIKE * one + np.sqrt(1 - ALIKE**2) * other
    chance = chances(ndtr(one), accuracy, correlation)
    lower = chances(ndtr(other), accuracy - difference, correlation)
    right = rng.binomial(first.images, chance) - rng.binomial(first.images, lower)
    return Pairs(first.images, right)


def jackknife_difference(drawn: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of the difference as `metrics.compare` gives them; NaN where there is none.

    Parameters
    ----------
    drawn : Pairs

    Returns
    -------
    low, high : float array (studies,)
    """
    gained, images = drawn.gained.sum(axis=1), drawn.images.sum(axis=1)
    without = (gained[:, None] - drawn.gained) / (images[:, None] - drawn.images)
    return jackknife_interval(gained / images, without, -1, 1)


def percentile_difference(
    drawn: Pairs, replicates: int = REPLICATES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of the difference, as they were before.

    Parameters
    ----------
    drawn : Pairs
    replicates, seed : int
        Of the bootstrap.

    Returns
    -------
    low, high : float array (studies,)
    """
    times = _samples(drawn.images.shape[1], replicates, seed)
    return _percentiles((drawn.gained @ times.T) / (drawn.images @ times.T))


# --- how often they hold it ----------------------------------------------------------------------


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the truth.

    Attributes
    ----------
    share : float
        Of the studies that have an interval.
    width : float
        Median width of these.
    none : float
        Share of the studies without one.
    """

    share: float
    width: float
    none: float


def coverage(drawn: Studies, name: str, low: np.ndarray, high: np.ndarray) -> Coverage:
    """Count how often intervals hold the truth.

    Parameters
    ----------
    drawn : Studies
    name : str
        One of `SCORES`.
    low, high : float array (studies,)

    Returns
    -------
    Coverage
    """
    return held(truth(drawn, name), low, high)


def held(true: float, low: np.ndarray, high: np.ndarray) -> Coverage:
    """Count how often intervals hold a value.

    Parameters
    ----------
    true : float
    low, high : float array (studies,)

    Returns
    -------
    Coverage
    """
    there = ~np.isnan(low)
    inside = (low <= true) & (true <= high)
    return Coverage(
        float(inside[there].mean()) if there.any() else float("nan"),
        float(np.median((high - low)[there])) if there.any() else float("nan"),
        float(1 - there.mean()),
    )
