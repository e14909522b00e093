"""Scores of bootstrap samples that a confusion matrix is not enough for."""

from __future__ import annotations

import numpy as np

from common.metrics.counts import ratio
from common.metrics.intervals import Draws

AT_ONCE = 4_000_000
"""Numbers that are held at once where every image is drawn by itself (32 MB)."""


def mean(values: np.ndarray, draws: Draws) -> np.ndarray:
    """Mean over the images of each sample.

    Parameters
    ----------
    values : float array (n,)
        One of each image.
    draws : Draws
        The samples.

    Returns
    -------
    float64 array (replicates,)
    """
    return draws.sums(values) / draws.sums(np.ones(len(values)))


def mean_of_units(values: np.ndarray, draws: Draws) -> np.ndarray:
    """Mean over the units of each sample of the mean of their images.

    Parameters
    ----------
    values : float array (n,)
        One of each image, for example whether it is right: then it is the patient recognition rate.
    draws : Draws
        The samples, of patients.

    Returns
    -------
    float64 array (replicates,)
    """
    own = np.bincount(draws.unit, weights=values) / np.bincount(draws.unit)
    return draws.times @ own / draws.times.sum(axis=1)


def mean_of_groups(values: np.ndarray, groups: np.ndarray, draws: Draws) -> np.ndarray:
    """Mean over the groups of each sample of the mean of their images, where units hold groups.

    Parameters
    ----------
    values : float array (n,)
        One of each image.
    groups : array (n,)
        For example the slide folder of each image, all images of which are of one unit.
    draws : Draws
        The samples, of patients, each with all of its groups.

    Returns
    -------
    float64 array (replicates,)
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    own = np.bincount(group, weights=values) / np.bincount(group)
    within = Draws(draws.times, draws.unit[first])
    return within.sums(own) / within.sums(np.ones(len(own)))


def auc_of(
    labels: np.ndarray, probabilities: np.ndarray, positive: int | None, draws: Draws
) -> np.ndarray:
    """Area under the ROC curve of each sample, of the kind that `metrics.auc_of` gives.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.
    positive : int or None
        Number of the positive class of a two-class problem.
    draws : Draws
        The samples.

    Returns
    -------
    float64 array (replicates,)
        NaN where a sample lacks a class that the images have.
    """
    n_classes = probabilities.shape[1]
    if n_classes == 2 and positive is not None:
        chosen = [positive]
    else:
        chosen = [i for i in range(n_classes) if 0 < (labels == i).sum() < len(labels)]
    areas = [auc(labels == i, probabilities[:, i], draws) for i in chosen]
    return np.mean(areas, axis=0) if areas else np.full(len(draws.times), np.nan)


def auc(positive: np.ndarray, scores: np.ndarray, draws: Draws) -> np.ndarray:
    """Area under the ROC curve of each sample: pairs in the right order, ties counted half.

    Parameters
    ----------
    positive : bool array (n,)
        Which images belong to the positive class.
    scores : float array (n,)
        Larger means more positive.
    draws : Draws
        The samples.

    Returns
    -------
    float64 array (replicates,)
        In [0, 1]; NaN where a sample has no positives or no negatives.
    """
    positive = np.asarray(positive, dtype=bool)
    # Equal scores are one step: their pairs are ties.
    distinct, step = np.unique(np.asarray(scores), return_inverse=True)
    n_steps = len(distinct)
    n_units = draws.times.shape[1]
    if n_units < len(positive):
        # Few units: pairs are counted once, between each two of them.
        others = np.zeros((n_steps, n_units))
        np.add.at(others, (step[~positive], draws.unit[~positive]), 1)
        below = np.cumsum(others, axis=0) - others / 2
        won = np.zeros((n_units, n_units))
        np.add.at(won, draws.unit[positive], below[step[positive]])
        wins = ((draws.times @ won) * draws.times).sum(axis=1)
        pairs = draws.sums(positive) * draws.sums(~positive)
    else:
        blocks = max(1, draws.times.size // AT_ONCE)
        order = np.argsort(step, kind="stable")
        starts = np.searchsorted(step[order], np.arange(n_steps))
        found = [
            _won(times[:, draws.unit[order]], positive[order], starts)
            for times in np.array_split(draws.times, blocks)
        ]
        wins, pairs = np.concatenate(found, axis=1)
    return np.where(pairs > 0, ratio(wins, pairs), np.nan)


def _won(times: np.ndarray, positive: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pairs won and pairs in all of each sample; `times` counts its images, by rising score."""
    ours = np.add.reduceat(times * positive, starts, axis=1)
    others = np.add.reduceat(times * ~positive, starts, axis=1)
    wins = (ours * (np.cumsum(others, axis=1) - others / 2)).sum(axis=1)
    return wins, ours.sum(axis=1) * others.sum(axis=1)
