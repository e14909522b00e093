"""How sure a score is: the exact interval of a proportion, and the bootstrap."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from common.metrics.arguments import coverage, numbers, same_length, whole

LEVEL = 0.95
"""Of every interval in this project."""

NOISE = 1e-9
"""Differences that rounding makes between equal replicates."""

REPLICATES = 2000
"""Bootstrap samples that are drawn."""


def clopper_pearson(k: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of a proportion k/n.

    Parameters
    ----------
    k : float
        Successes; where a trial is a patient, the share of its images that is right counts.
    n : int
        Trials.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    low, high : float
        In [0, 1]; low is 0 for k = 0, high is 1 for k = n.

    Raises
    ------
    ValueError
        Unless 0 <= k <= n, n > 0 and whole, and 0 < level < 1.

    References
    ----------
    Clopper and Pearson, The use of confidence or fiducial limits, 1934.
    """
    from scipy.special import betaincinv

    level = coverage(level)
    try:
        n = whole(n, 1, "n")
        sound = 0 <= k <= n  # false of NaN
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise ValueError(f"k/n = {k}/{n} is no proportion")
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return low, high


@dataclass(frozen=True)
class Draws:
    """Bootstrap samples of images, as how often each unit is drawn.

    Attributes
    ----------
    times : float64 array (replicates, units)
        How often a sample holds each unit.
    unit : int64 array (n,)
        Which unit an image belongs to: its patient, or itself.
    """

    times: np.ndarray
    unit: np.ndarray

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """How many images each sample has."""
        return self.sums(np.ones(len(self.unit)))

    def sums(self, features: np.ndarray) -> np.ndarray:
        """Sum what the images of each sample add.

        Parameters
        ----------
        features : array (n,) or (n, D)
            What each image adds.

        Returns
        -------
        float64 array (replicates,) or (replicates, D)
        """
        features = np.asarray(features)
        sums = np.zeros((self.times.shape[1], *features.shape[1:]))
        np.add.at(sums, self.unit, features)
        return self.times @ sums


def draw(
    n: int, groups: np.ndarray | None = None, *, replicates: int = REPLICATES, seed: int = 0
) -> Draws:
    """Draw bootstrap samples: whole groups where they are given, else images.

    Parameters
    ----------
    n : int
        Number of images.
    groups : array (n,), optional
        Patient of each image.
    replicates : int
        Bootstrap samples.
    seed : int
        The same seed gives the same samples.

    Returns
    -------
    Draws
        As many units in each sample as there are.

    Raises
    ------
    ValueError
        If there is no image, or an argument does not fit.
    """
    n = whole(n, 1, "n")
    replicates, seed = whole(replicates, 1, "replicates"), whole(seed, 0, "seed")
    rng = np.random.default_rng(seed)
    if groups is None:
        drawn = rng.integers(0, n, (replicates, n))
        drawn += np.arange(replicates)[:, None] * n  # each sample counts into n places of its own
        times = np.bincount(drawn.ravel(), minlength=replicates * n)
        return Draws(times.reshape(replicates, n).astype(np.float64), np.arange(n))
    names, unit = np.unique(same_length(groups, n, "groups"), return_inverse=True)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    return Draws(times.astype(np.float64), unit)


def resample(
    features: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> np.ndarray:
    """Bootstrap sums of per-image counts.

    Whole groups are drawn with replacement where they are given (all images of a patient together:
    they are alike, and drawing them one by one would make intervals too narrow), else images.

    Parameters
    ----------
    features : array (n, D)
        What each image adds, for example a one-hot cell of the confusion matrix.
    groups : array (n,), optional
        Patient of each image.
    replicates : int
        Bootstrap samples.
    seed : int
        The same seed gives the same replicates.

    Returns
    -------
    float64 array (replicates, D)
        Summed `features` of every bootstrap sample.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no image, or a number is not finite.
    """
    features = numbers(features, "features").astype(np.float64, copy=False)
    if features.ndim != 2 or not len(features) or not np.isfinite(features).all():
        raise ValueError(f"features must be (n, D), finite, n at least 1, not {features.shape}")
    if groups is not None:
        return draw(len(features), groups, replicates=replicates, seed=seed).sums(features)
    replicates, seed = whole(replicates, 1, "replicates"), whole(seed, 0, "seed")
    # Images that add the same are interchangeable: draw how often each kind occurs.
    kinds, counts = np.unique(features, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(features), counts / counts.sum(), size=replicates)
    return draws @ kinds


def percentile_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """Percentile interval of bootstrap replicates; None if it has no width, or none is left.

    Without variation (no error at all, or nothing but errors; or in too few samples to reach a
    percentile) the bootstrap knows nothing about its own uncertainty, and an interval of width
    zero would claim certainty.

    Parameters
    ----------
    values : float array (replicates,)
        A score of every bootstrap sample; NaN where a sample has none, and is left out.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    (low, high), or None
        The percentiles 100 (1 - level) / 2 and 100 (1 + level) / 2, linearly interpolated.

    Raises
    ------
    ValueError
        If there are no replicates, or `level` is none.
    """
    tail = 100 * (1 - coverage(level)) / 2
    if not np.size(values):
        raise ValueError("values of no bootstrap sample")
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    low, high = np.percentile(values, [tail, 100 - tail])
    return None if high - low <= NOISE else (float(low), float(high))
