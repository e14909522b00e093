"""Confusion matrices, and the scores that need nothing else.

All scores take (..., K, K) and reduce the last axes, so that bootstrap replicates go in one call.
Counts are finite and not negative; anything else is a ValueError that names the argument.
What has nothing to be divided by is NaN. The precision of a class that occurs and is never
predicted is 0, as in scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.metrics.arguments import class_numbers, matrices, numbers, whole

MOST_CLASSES = 10_000
"""Of a confusion matrix, which has the square of them as cells."""


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Count images by true class (rows) and predicted class (columns).

    Parameters
    ----------
    labels, predicted : int array (n,)
        Class numbers in [0, n_classes).
    n_classes : int
        Number of classes K, whatever is present.

    Returns
    -------
    int64 array (K, K)
        Its sum is n.

    Raises
    ------
    ValueError
        If the lengths differ or a number is no class.
    """
    n_classes = whole(n_classes, 1, "n_classes")
    if n_classes > MOST_CLASSES:
        raise ValueError(f"n_classes {n_classes}: at most {MOST_CLASSES}")
    labels = class_numbers(labels, n_classes)
    predicted = class_numbers(predicted, n_classes, "predicted")
    if labels.shape != predicted.shape:
        raise ValueError(f"labels {labels.shape} and predicted {predicted.shape} must be (n,)")
    cells = labels * n_classes + predicted
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def one_vs_rest(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Count true and false positives and negatives of each class against the rest.

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    dict of arrays (..., K)
        ``tp``, ``tn``, ``fp``, ``fn``.
    """
    matrix = matrices(matrix)
    tp = np.diagonal(matrix, axis1=-2, axis2=-1)
    fn = matrix.sum(axis=-1) - tp
    fp = matrix.sum(axis=-2) - tp
    tn = matrix.sum(axis=(-2, -1))[..., None] - tp - fn - fp
    return {"tp": tp, "tn": tn, "fp": fp, "fn": fn}


def ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Divide; 0/0 is 0.

    Parameters
    ----------
    numerator, denominator : array-like
        Of shapes that broadcast. A numerator over 0 must be 0.

    Returns
    -------
    float64 array
        Of the common shape.
    """
    numerator, denominator = np.asarray(numerator), np.asarray(denominator)
    out = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    return np.divide(numerator, denominator, out, where=denominator != 0, dtype=np.float64)


def _where(defined: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values where they are defined, else NaN."""
    return np.where(defined, values, np.nan)


# --- of all classes ----------------------------------------------------------------------------


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of images whose predicted class is right.

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (...)
        In [0, 1]; NaN without an image.
    """
    matrix = matrices(matrix)
    n = matrix.sum(axis=(-2, -1))
    return _where(n > 0, ratio(np.trace(matrix, axis1=-2, axis2=-1), n))


def balanced_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that occur in the labels.

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (...)
        In [0, 1]; NaN without an image.
    """
    return macro(recall(matrix), matrix)


def macro(per_class: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Mean of a per-class score over the classes that occur in the labels.

    Parameters
    ----------
    per_class : array (..., K)
        Scores, for example ``precision(matrix)``; those of absent classes may be anything.
    matrix : array (..., K, K)
        The confusion matrices they come from.

    Returns
    -------
    float64 array (...)
        The means; NaN where a class that occurs has no such score.

    Notes
    -----
    scikit-learn's ``average="macro"`` with ``labels`` the classes present and ``zero_division=0``.
    Left alone, it also counts a class that was predicted and does not occur, as 0.
    """
    matrix, per_class = matrices(matrix), numbers(per_class, "per_class")
    if per_class.shape != matrix.shape[:-1]:
        raise ValueError(
            f"per_class must be {matrix.shape[:-1]}, as matrix is, not {per_class.shape}"
        )
    occurs = matrix.sum(axis=-1) > 0
    n = occurs.sum(axis=-1)
    return _where(n > 0, ratio(np.where(occurs, per_class, 0).sum(axis=-1), n))


def kappa(matrix: np.ndarray) -> np.ndarray:
    """Cohen's kappa, agreement beyond chance.

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (...)
        In [-1, 1]; 0 is chance. NaN where fewer than two classes occur in the labels.

    References
    ----------
    Cohen, A coefficient of agreement for nominal scales, 1960.
    """
    matrix = matrices(matrix).astype(np.float64, copy=False)
    n = matrix.sum(axis=(-2, -1))
    observed = np.trace(matrix, axis1=-2, axis2=-1) * n
    chance = (matrix.sum(axis=-1) * matrix.sum(axis=-2)).sum(axis=-1)
    return _where(_several(matrix), ratio(observed - chance, n**2 - chance))


def mcc(matrix: np.ndarray) -> np.ndarray:
    """Matthews correlation coefficient, for K classes Gorodkin's R_K.

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (...)
        In [-1, 1]; 0 is chance. NaN where fewer than two classes occur in the labels.

    References
    ----------
    Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004.
    """
    matrix = matrices(matrix).astype(np.float64, copy=False)
    n = matrix.sum(axis=(-2, -1))
    true, predicted = matrix.sum(axis=-1), matrix.sum(axis=-2)
    covariance = np.trace(matrix, axis1=-2, axis2=-1) * n - (true * predicted).sum(axis=-1)
    spread_true = n**2 - (true**2).sum(axis=-1)
    spread_predicted = n**2 - (predicted**2).sum(axis=-1)
    score = ratio(covariance, np.sqrt(spread_true) * np.sqrt(spread_predicted))
    return _where(_several(matrix), score)


def _several(matrix: np.ndarray) -> np.ndarray:
    """Whether two classes or more occur in the labels."""
    return (matrix.sum(axis=-1) > 0).sum(axis=-1) > 1


# --- of each class against the rest ------------------------------------------------------------


def precision(matrix: np.ndarray) -> np.ndarray:
    """Precision of each class, tp / (tp + fp).

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (..., K)
        In [0, 1]; NaN of a class without an image. One that occurs and is never predicted has 0.
    """
    counts = one_vs_rest(matrix)
    return _where(counts["tp"] + counts["fn"] > 0, ratio(counts["tp"], counts["tp"] + counts["fp"]))


def recall(matrix: np.ndarray) -> np.ndarray:
    """Recall (sensitivity) of each class, tp / (tp + fn).

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (..., K)
        In [0, 1]; NaN of a class without an image.
    """
    counts = one_vs_rest(matrix)
    return _where(counts["tp"] + counts["fn"] > 0, ratio(counts["tp"], counts["tp"] + counts["fn"]))


def fpr(matrix: np.ndarray) -> np.ndarray:
    """False positive rate of each class, fp / (fp + tn).

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (..., K)
        In [0, 1]; NaN where no other class has an image.
    """
    counts = one_vs_rest(matrix)
    return _where(counts["fp"] + counts["tn"] > 0, ratio(counts["fp"], counts["fp"] + counts["tn"]))


def tnr(matrix: np.ndarray) -> np.ndarray:
    """True negative rate (specificity) of each class, tn / (fp + tn).

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (..., K)
        In [0, 1]; NaN where no other class has an image.
    """
    counts = one_vs_rest(matrix)
    return _where(counts["fp"] + counts["tn"] > 0, ratio(counts["tn"], counts["fp"] + counts["tn"]))


def f1(matrix: np.ndarray) -> np.ndarray:
    """F1 of each class, 2 tp / (2 tp + fp + fn).

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    float64 array (..., K)
        In [0, 1]; NaN of a class without an image.
    """
    counts = one_vs_rest(matrix)
    score = ratio(2 * counts["tp"], 2 * counts["tp"] + counts["fp"] + counts["fn"])
    return _where(counts["tp"] + counts["fn"] > 0, score)


def two_by_two(matrix: np.ndarray) -> np.ndarray:
    """Confusion matrix of each class against the rest.

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    array (..., K, 2, 2)
        Rest first, class second: ``[[tn, fp], [fn, tp]]``.
    """
    tp, tn, fp, fn = (one_vs_rest(matrix)[name] for name in ("tp", "tn", "fp", "fn"))
    return np.stack([np.stack([tn, fp], -1), np.stack([fn, tp], -1)], -2)
