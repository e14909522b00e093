"""Scores and curves that need the probabilities: ROC, calibration, what lies above one half.

Probabilities are finite, in [0, 1] and add up to 1 in each row, labels are the numbers of their
columns; anything else, and no image at all, is a ValueError that names the argument.
"""

from __future__ import annotations

import numpy as np

from common.metrics.arguments import judged, numbers, truths, whole
from common.metrics.counts import ratio
from common.predictions import predicted_classes

BINS = 15
"""Of the reliability diagram, as in Guo et al. (2017)."""

THRESHOLD = 0.5
"""A probability counts as a prediction only strictly above it (`micro_at_half`)."""


# --- above one half ----------------------------------------------------------------------------


def above_half(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Count, image by image, what Keras' ``Precision()`` and ``Recall()`` count on one-hot labels.

    They threshold every softmax output at 0.5 and pool all classes: an image whose largest
    probability is 0.5 or less has no predicted class.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.

    Returns
    -------
    int64 array (n, 2)
        Whether the true class's probability is strictly above 0.5; how many are, right or wrong.
    """
    labels, probabilities = judged(labels, probabilities)
    above = probabilities > THRESHOLD
    true = above[np.arange(len(above)), labels]
    return np.stack([true, above.sum(axis=1)], axis=1).astype(np.int64)


def micro_at_half(labels: np.ndarray, probabilities: np.ndarray) -> tuple[int, int]:
    """Sum `above_half` over the images: recall is `tp` / n, precision is `tp` / `above`.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.

    Returns
    -------
    tp : int
        Images whose true class has a probability strictly above 0.5.
    above : int
        Probabilities strictly above 0.5, right or wrong.
    """
    tp, above = above_half(labels, probabilities).sum(axis=0)
    return int(tp), int(above)


# --- ROC ---------------------------------------------------------------------------------------


def roc_curve(
    positive: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Receiver operating characteristic, one point per distinct score.

    Parameters
    ----------
    positive : bool array (n,)
        Which images belong to the positive class.
    scores : float array (n,)
        Larger means more positive; equal scores share one point.

    Returns
    -------
    fpr, tpr, thresholds : float arrays, or None
        From (0, 0) at threshold infinity to (1, 1); None if there are no positives or no negatives.
    """
    positive = truths(positive, "positive")
    scores = numbers(scores, "scores").astype(np.float64, copy=False)
    if scores.shape != positive.shape:
        raise ValueError(f"scores {scores.shape} and positive {positive.shape} must be (n,)")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        return None
    order = np.argsort(-scores)
    scores, positive = scores[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(scores)), scores.size - 1)
    tp = np.cumsum(positive)[last]
    fp = last + 1 - tp
    return (
        np.append(0.0, fp / n_negative),
        np.append(0.0, tp / n_positive),
        np.append(np.inf, scores[last]),
    )


def auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve: P(a positive scores above a negative), ties counted half.

    Parameters
    ----------
    positive : bool array (n,)
        Which images belong to the positive class.
    scores : float array (n,)
        Larger means more positive.

    Returns
    -------
    float or None
        In [0, 1]; None if there are no positives or no negatives.
    """
    curve = roc_curve(positive, scores)
    return None if curve is None else area_under(curve)


def area_under(curve: tuple[np.ndarray, ...]) -> float:
    """Area under a ROC curve.

    Parameters
    ----------
    curve : tuple of float array
        As `roc_curve` gives it.

    Returns
    -------
    float
        In [0, 1].
    """
    return float(np.trapezoid(curve[1], curve[0]))


def auc_of(
    labels: np.ndarray, probabilities: np.ndarray, positive: int | None = None
) -> tuple[float | None, str]:
    """AUC of a classifier and what kind it is.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.
    positive : int, optional
        Number of the positive class of a two-class problem.

    Returns
    -------
    value : float or None
        The positive class's AUC with two classes and a `positive` one, else the unweighted mean of
        the one-vs-rest AUCs of the classes that have positives and negatives.
    kind : str
        Says which, and over how many classes if some are absent.
    """
    labels, probabilities = judged(labels, probabilities)
    n_classes = probabilities.shape[1]
    if positive is not None and not whole(positive, 0, "positive") < n_classes:
        raise ValueError(f"positive must be a class number below {n_classes}, not {positive}")
    if n_classes == 2 and positive is not None:
        return auc(labels == positive, probabilities[:, positive]), "positive class"
    areas = [auc(labels == i, probabilities[:, i]) for i in range(n_classes)]
    known = [area for area in areas if area is not None]
    kind = "macro one-vs-rest"
    if len(known) < n_classes:
        kind += f" over {len(known)} of {n_classes} classes"
    return (float(np.mean(known)) if known else None), kind


# --- calibration -------------------------------------------------------------------------------


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> dict[str, np.ndarray]:
    """Accuracy against confidence, in equally wide bins of the largest probability.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.
    bins : int
        Number of bins of [0, 1].

    Returns
    -------
    dict of arrays
        ``edges`` (bins + 1,), ``n`` (bins,), and ``accuracy`` and ``confidence`` (bins,), NaN where
        a bin is empty. A confidence on an edge belongs to the bin below it.
    """
    labels, probabilities = judged(labels, probabilities)
    bins = whole(bins, 1, "bins")
    confidence = probabilities.max(axis=1)
    right = predicted_classes(probabilities) == labels
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    n = np.bincount(place, minlength=bins)

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(place, weights=values, minlength=bins)
        return np.where(n > 0, ratio(sums, n), np.nan)

    return {"edges": edges, "n": n, "accuracy": mean(right), "confidence": mean(confidence)}


def ece(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of accuracy and confidence over bins, by images.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.
    bins : int
        Number of bins of [0, 1].

    Returns
    -------
    float
        In [0, 1]; 0 is calibrated.

    References
    ----------
    Guo et al., On calibration of modern neural networks, 2017, equation 3 (15 bins).
    """
    table = reliability(labels, probabilities, bins)
    gap = np.abs(np.nan_to_num(table["accuracy"]) - np.nan_to_num(table["confidence"]))
    return float((gap * table["n"]).sum() / table["n"].sum())


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Brier score, mean over images of the summed squared error over classes.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.

    Returns
    -------
    float
        In [0, 2]; 0 is certain and right.
    """
    return float(squared_errors(labels, probabilities).mean())


def squared_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Summed squared error of each image, whose mean is the Brier score.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.

    Returns
    -------
    float64 array (n,)
        In [0, 2].
    """
    labels, probabilities = judged(labels, probabilities)
    error = probabilities.copy()
    error[np.arange(len(labels)), labels] -= 1.0
    return (error**2).sum(axis=1)


LEAST = 1e-15
"""What the probability of a true class counts as at least."""


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative logarithm of the true class's probability, which is bounded at 1e-15.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.

    Returns
    -------
    float
        In nats, in [0, 34.6].
    """
    return float(surprises(labels, probabilities).mean())


def surprises(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative logarithm of each image's true class's probability, whose mean is the log loss.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs.

    Returns
    -------
    float64 array (n,)
        In nats, in [0, 34.6].
    """
    labels, probabilities = judged(labels, probabilities)
    true = probabilities[np.arange(len(labels)), labels]
    return 0.0 - np.log(np.clip(true, LEAST, 1.0))  # 0.0 of certainty, not -0.0
