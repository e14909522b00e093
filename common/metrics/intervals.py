"""How sure a score is: the exact interval of a proportion, and the bootstrap."""

from __future__ import annotations

import numpy as np

from common.metrics.arguments import coverage, numbers, same_length, whole

LEVEL = 0.95
"""Of every interval in this project."""

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
        groups = same_length(groups, len(features), "groups")
    replicates, seed = whole(replicates, 1, "replicates"), whole(seed, 0, "seed")
    rng = np.random.default_rng(seed)
    if groups is None:
        # Images that add the same are interchangeable: draw how often each kind occurs.
        kinds, counts = np.unique(features, axis=0, return_counts=True)
        draws = rng.multinomial(len(features), counts / counts.sum(), size=replicates)
        return draws @ kinds
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), features.shape[1]))
    np.add.at(sums, place, features)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    return draws @ sums


def percentile_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """Percentile interval of bootstrap replicates; None if they are all the same.

    Without any variation (no error at all, or nothing but errors) the bootstrap knows nothing
    about its own uncertainty, and an interval of width zero would claim certainty.

    Parameters
    ----------
    values : float array (replicates,)
        A score of every bootstrap sample.
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
    low, high = np.percentile(np.asarray(values, dtype=np.float64), [tail, 100 - tail])
    if np.ptp(values) == 0:
        return None
    return float(low), float(high)
