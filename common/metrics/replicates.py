"""Scores of bootstrap samples that a confusion matrix is not enough for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
    return draws.sums(values) / draws.sizes


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
    return within.sums(own) / within.sizes


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
    one = probabilities.shape[1] == 2 and positive is not None
    chosen = [positive] if one else np.unique(labels).tolist()
    return np.mean(_areas([(labels == i, probabilities[:, i]) for i in chosen], draws), axis=0)


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
    return _areas([(positive, scores)], draws)[0]


def _areas(sets: Sequence[tuple[np.ndarray, np.ndarray]], draws: Draws) -> list[np.ndarray]:
    """Areas of several classes of the same images: what is positive, and its score."""
    ranked = [_Ranked.of(positive, scores) for positive, scores in sets]
    if draws.times.shape[1] < len(draws.unit):
        wins = [_wins_between_units(each, draws) for each in ranked]
    else:
        wins = _wins_between_images(ranked, draws)
    # All classes at once: each sum reads every sample.
    ours = draws.sums(np.stack([positive for positive, _ in sets], axis=1))
    pairs = (ours * (draws.sizes[:, None] - ours)).T
    return [
        np.where(each > 0, ratio(won, each), np.nan) for won, each in zip(wins, pairs, strict=True)
    ]


class _Ranked(NamedTuple):
    """The order of scores: which images are positive, which others lie below each of them."""

    positive: np.ndarray
    """int64 (P,), numbers of the positive images."""
    others: np.ndarray
    """int64 (N,), numbers of the others, by rising score."""
    below: np.ndarray
    """int64 (P,), how many of the others have a lower score than each positive one."""
    not_above: np.ndarray
    """int64 (P,), how many have none above it: those between are ties, which count half."""

    @classmethod
    def of(cls, positive: np.ndarray, scores: np.ndarray) -> _Ranked:
        positive, scores = np.asarray(positive, dtype=bool), np.asarray(scores)
        mine, others = np.flatnonzero(positive), np.flatnonzero(~positive)
        others = others[np.argsort(scores[others])]
        rising = scores[others]
        ends = (np.searchsorted(rising, scores[mine], side) for side in ("left", "right"))
        return cls(mine, others, *ends)


def _wins_between_units(ranked: _Ranked, draws: Draws) -> np.ndarray:
    """Few units: pairs are counted once, between each two of them."""
    n_units = draws.times.shape[1]
    counted = np.zeros((len(ranked.others) + 1, n_units))
    counted[np.arange(1, len(counted)), draws.unit[ranked.others]] = 1
    counted = np.cumsum(counted, axis=0)
    won = np.zeros((n_units, n_units))
    below = (counted[ranked.below] + counted[ranked.not_above]) / 2
    np.add.at(won, draws.unit[ranked.positive], below)
    return ((draws.times @ won) * draws.times).sum(axis=1)


def _wins_between_images(ranked: Sequence[_Ranked], draws: Draws) -> list[np.ndarray]:
    """Every image by itself, with the samples along the fast axis; whole numbers are exact."""
    wins: list[list[np.ndarray]] = [[] for _ in ranked]
    for times in np.array_split(draws.times, max(1, draws.times.size // AT_ONCE)):
        drawn = np.ascontiguousarray(times.T.astype(np.int32)[draws.unit])
        for each, found in zip(ranked, wins, strict=True):
            counted = np.zeros((len(each.others) + 1, len(times)), np.int32)
            np.cumsum(drawn[each.others], axis=0, out=counted[1:])
            twice = counted[each.below]
            twice += counted[each.not_above]
            found.append(np.einsum("ij,ij->j", drawn[each.positive], twice, dtype=np.float64) / 2)
    return [np.concatenate(found) for found in wins]
