"""One answer of each patient from the answers of the images: their mean, and their vote."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from common.metrics.arguments import judged, numbers, same_length, truths
from common.predictions import predicted_classes


class Patients(NamedTuple):
    """What a network says of patients, sorted by their names."""

    names: np.ndarray
    """str (P,)."""
    labels: np.ndarray
    """int64 (P,), true class numbers; -1 where images of a patient have different labels."""
    images: np.ndarray
    """int64 (P,), how many there are."""
    mean: np.ndarray
    """float64 (P, K), mean probabilities."""
    votes: np.ndarray
    """int64 (P, K), how many images are called what."""

    @property
    def by_mean(self) -> np.ndarray:
        """Class number with the largest mean probability, int64 (P,)."""
        return predicted_classes(self.mean)

    @property
    def by_vote(self) -> np.ndarray:
        """Class number of most images, among equally many that of the larger mean, int64 (P,)."""
        return predicted_classes(self.votes + self.mean / 2)


def by_patient(labels: np.ndarray, probabilities: np.ndarray, cases: np.ndarray) -> Patients:
    """Put the images of each patient together.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.
    cases : str array (n,)
        Patient of each image, all known.

    Returns
    -------
    Patients

    Raises
    ------
    ValueError
        If the arguments do not fit, or there is no image.
    """
    labels, table = judged(labels, probabilities)
    cases = same_length(cases, len(labels), "cases").astype(str)
    names, place = np.unique(cases, return_inverse=True)
    images = np.bincount(place)
    sums = np.zeros((len(names), table.shape[1]))
    np.add.at(sums, place, table)
    votes = np.zeros(sums.shape, dtype=np.int64)
    np.add.at(votes, (place, predicted_classes(table)), 1)
    lowest = np.full(len(names), table.shape[1])
    highest = np.full(len(names), -1)
    np.minimum.at(lowest, place, labels)
    np.maximum.at(highest, place, labels)
    one = np.where(lowest == highest, highest, -1)
    return Patients(names, one, images, sums / images[:, None], votes)


def threshold(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Choose from where on a patient is called positive: with the best balanced accuracy.

    Parameters
    ----------
    positive : bool array (P,)
        Which validation patients are of the positive class.
    scores : float array (P,)
        Their mean probabilities of it, in [0, 1].

    Returns
    -------
    float or None
        Halfway between two patients, or one half; among equally good ones the nearest to one half.
        None unless there are patients of both classes.

    Raises
    ------
    ValueError
        If the lengths differ, or a score is no probability.
    """
    scores = numbers(scores, "scores").astype(np.float64)
    truth = truths(positive, "positive")
    if scores.shape != truth.shape or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must be one probability of each patient")
    if truth.all() or not truth.any():
        return None
    values = np.unique(scores)
    tried = np.append(0.5, (values[1:] + values[:-1]) / 2)
    positives, negatives = np.sort(scores[truth]), np.sort(scores[~truth])
    missed = np.searchsorted(positives, tried) / len(
        positives
    )  # scores below, not at, what is tried
    balanced = 1 - missed + np.searchsorted(negatives, tried) / len(negatives)
    best = tried[balanced >= balanced.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])
