"""Conformal prediction sets whose promise is about new patients, not about new images.

Images of a patient are alike, so that a hundred of them are not a hundred trials. What is
exchangeable here is the patient: each calibration patient has the same weight, whatever the number
of images, and so has the new one, of whom nothing is known yet (hierarchical conformal prediction).
The promise is about a patient drawn like the calibration patients, and an image drawn of this one;
it is broken when calibration patients were trained on.
"""

from __future__ import annotations

import math

import numpy as np

from common.metrics.arguments import coverage, judged, numbers, same_length, softmax

LEVEL = 0.9
"""How often a set holds the true class, at least."""

_ROUNDING = 1e-9


def lac_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Score how little a network believes in the true class: 1 less its probability.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.

    Returns
    -------
    float64 array (n,)
        In [0, 1].

    Raises
    ------
    ValueError
        If labels and probabilities do not fit, or there is no image.

    References
    ----------
    Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error levels,
    2019.
    """
    labels, table = judged(labels, probabilities)
    return 1.0 - table[np.arange(len(labels)), labels]


def needed_patients(level: float = LEVEL) -> int:
    """Smallest number of calibration patients with which a level can be promised.

    Parameters
    ----------
    level : float
        In (0, 1).

    Returns
    -------
    int
        9 for 90 %, 19 for 95 %: the new patient is one more, and may be the worst of all.

    Raises
    ------
    ValueError
        If `level` is none.
    """
    level = coverage(level)
    return math.ceil(level / (1 - level) - _ROUNDING)


def quantile(
    scores: np.ndarray, patients: np.ndarray | None = None, level: float = LEVEL
) -> float | None:
    """Score up to which classes belong into a set.

    Parameters
    ----------
    scores : float array (n,)
        Of the true classes of calibration images, from `lac_scores`.
    patients : array (n,), optional
        Patient of each image; unset, each image is its own.
    level : float
        How often a set is to hold the true class, in (0, 1).

    Returns
    -------
    float or None
        One of the scores; None with fewer than `needed_patients`, when no set but that of all
        classes keeps the promise.

    Raises
    ------
    ValueError
        If there is no score, one is not finite, or an argument does not fit.

    References
    ----------
    Lee, Barber and Willett, Distribution-free inference with hierarchical data, 2023: of K patients
    with N_k images, the quantile of all scores with weights 1 / ((K + 1) N_k) and of infinity with
    weight 1 / (K + 1). With one image each it is split conformal prediction.
    """
    scores = numbers(scores, "scores").astype(np.float64)
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(f"scores must be (n,), finite, n at least 1, not {scores.shape}")
    level = coverage(level)
    group = np.arange(len(scores))
    if patients is not None:
        named = same_length(patients, len(scores), "patients").astype(str)
        group = np.unique(named, return_inverse=True)[1]
    images = np.bincount(group)
    order = np.argsort(scores)
    weights = 1.0 / (images[group[order]] * (len(images) + 1))
    enough = np.flatnonzero(np.cumsum(weights) >= level - _ROUNDING)
    return float(scores[order[enough[0]]]) if len(enough) else None


def prediction_sets(probabilities: np.ndarray, limit: float) -> np.ndarray:
    """Say which classes are in the set of each image.

    Parameters
    ----------
    probabilities : float array (n, K)
        Softmax outputs, of the same kind as those that were calibrated on.
    limit : float
        From `quantile`.

    Returns
    -------
    bool array (n, K)
        A set may be empty: then no class is as likely as the true one mostly was.

    Raises
    ------
    ValueError
        If a row is no softmax, or `limit` no score.
    """
    number = isinstance(limit, int | float | np.integer | np.floating)
    if not number or isinstance(limit, bool) or not 0 <= limit <= 1:
        raise ValueError(f"limit must be a score in [0, 1], not {limit!r}")
    return 1.0 - softmax(probabilities) <= limit
