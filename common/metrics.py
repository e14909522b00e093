"""Classification metrics from predictions alone: pure NumPy, no model and no images.

Everything here is a fraction, never a percentage. Conventions, the same throughout:

- `labels` and `predicted` are class numbers; a confusion matrix has true classes in its rows.
- The predicted class is the largest probability; among equal ones, the first class.
- 0/0 is 0 (scikit-learn's ``zero_division=0``): the precision of a class that is never predicted,
  the recall of one that never occurs, MCC and kappa when all labels and predictions are one class.
- Macro averages run over the classes that occur in the labels or in the predictions, balanced
  accuracy over those in the labels, AUC over those with positives and negatives. So a class absent
  from a small test set lowers no average; it is still listed, with support 0.
- What cannot be defined at all (the AUC of a test set with one class) is None.

``python -m common.metrics recompute RUN`` and ``python -m common.metrics compare RUN RUN`` work on
finished run folders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import InputError
from common.predictions import column, correct, of_part, predicted_classes

if TYPE_CHECKING:
    import pandas as pd

REPLICATES = 2000
LEVEL = 0.95
BINS = 15
THRESHOLD = 0.5


# --- counts ------------------------------------------------------------------------------------


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

    Raises
    ------
    ValueError
        If the lengths differ or a number is no class.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and predicted {predicted.shape} must be (n,)")
    for name, values in (("labels", labels), ("predicted", predicted)):
        if values.size and not 0 <= values.min() <= values.max() < n_classes:
            raise ValueError(f"{name} outside [0, {n_classes})")
    cells = labels.astype(np.int64) * n_classes + predicted
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
    matrix = np.asarray(matrix)
    tp = np.diagonal(matrix, axis1=-2, axis2=-1)
    fn = matrix.sum(axis=-1) - tp
    fp = matrix.sum(axis=-2) - tp
    tn = matrix.sum(axis=(-2, -1))[..., None] - tp - fn - fp
    return {"tp": tp, "tn": tn, "fp": fp, "fn": fn}


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Divide; 0/0 is 0."""
    numerator = np.asarray(numerator, dtype=np.float64)
    denominator = np.asarray(denominator, dtype=np.float64)
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator != 0)


# --- scores from a confusion matrix ------------------------------------------------------------
# All take (..., K, K) and reduce the last two axes, so that bootstrap replicates go in one call.


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of images whose predicted class is right; (..., K, K) -> (...)."""
    matrix = np.asarray(matrix)
    return _ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(axis=(-2, -1)))


def precision(matrix: np.ndarray) -> np.ndarray:
    """Precision of each class, tp / (tp + fp); (..., K, K) -> (..., K)."""
    counts = one_vs_rest(matrix)
    return _ratio(counts["tp"], counts["tp"] + counts["fp"])


def recall(matrix: np.ndarray) -> np.ndarray:
    """Recall (sensitivity) of each class, tp / (tp + fn); (..., K, K) -> (..., K)."""
    counts = one_vs_rest(matrix)
    return _ratio(counts["tp"], counts["tp"] + counts["fn"])


def f1(matrix: np.ndarray) -> np.ndarray:
    """F1 of each class, 2 tp / (2 tp + fp + fn); (..., K, K) -> (..., K)."""
    counts = one_vs_rest(matrix)
    return _ratio(2 * counts["tp"], 2 * counts["tp"] + counts["fp"] + counts["fn"])


def balanced_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that occur in the labels; (..., K, K) -> (...)."""
    occurs = np.asarray(matrix).sum(axis=-1) > 0
    return _ratio((recall(matrix) * occurs).sum(axis=-1), occurs.sum(axis=-1))


def macro(per_class: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Mean of a per-class score over the classes in the labels or the predictions.

    Parameters
    ----------
    per_class : array (..., K)
        Scores, for example ``precision(matrix)``.
    matrix : array (..., K, K)
        The confusion matrices they come from.
    """
    matrix = np.asarray(matrix)
    occurs = (matrix.sum(axis=-1) > 0) | (matrix.sum(axis=-2) > 0)
    return _ratio((per_class * occurs).sum(axis=-1), occurs.sum(axis=-1))


def kappa(matrix: np.ndarray) -> np.ndarray:
    """Cohen's kappa, agreement beyond chance; (..., K, K) -> (...).

    References
    ----------
    Cohen, A coefficient of agreement for nominal scales, 1960.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    n = matrix.sum(axis=(-2, -1))
    observed = np.trace(matrix, axis1=-2, axis2=-1) * n
    chance = (matrix.sum(axis=-1) * matrix.sum(axis=-2)).sum(axis=-1)
    return _ratio(observed - chance, n**2 - chance)


def mcc(matrix: np.ndarray) -> np.ndarray:
    """Matthews correlation coefficient, for K classes Gorodkin's R_K; (..., K, K) -> (...).

    References
    ----------
    Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    n = matrix.sum(axis=(-2, -1))
    true, predicted = matrix.sum(axis=-1), matrix.sum(axis=-2)
    covariance = np.trace(matrix, axis1=-2, axis2=-1) * n - (true * predicted).sum(axis=-1)
    spread_true = n**2 - (true**2).sum(axis=-1)
    spread_predicted = n**2 - (predicted**2).sum(axis=-1)
    return _ratio(covariance, np.sqrt(spread_true) * np.sqrt(spread_predicted))


def class_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of each class against the rest.

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    dict of float arrays (..., K)
        ``precision, recall, fpr, tnr, f1, kappa, mcc``.
    """
    counts = one_vs_rest(matrix)
    tp, tn, fp, fn = (counts[name] for name in ("tp", "tn", "fp", "fn"))
    two_by_two = np.stack([np.stack([tn, fp], -1), np.stack([fn, tp], -1)], -2)  # (..., K, 2, 2)
    return {
        "precision": precision(matrix),
        "recall": recall(matrix),
        "fpr": _ratio(fp, fp + tn),
        "tnr": _ratio(tn, fp + tn),
        "f1": f1(matrix),
        "kappa": kappa(two_by_two),
        "mcc": mcc(two_by_two),
    }


def per_class(matrix: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Counts and scores of each class against the rest.

    Parameters
    ----------
    matrix : int array (K, K)
        Confusion matrix, true classes in rows.
    classes : sequence of str
        K class names.

    Returns
    -------
    dict
        ``{name: {support, tp, tn, fp, fn, precision, recall, fpr, tnr, f1, kappa, mcc}}``.
    """
    counts = one_vs_rest(matrix)
    scores = class_scores(matrix)
    return {
        name: {
            "support": int(counts["tp"][i] + counts["fn"][i]),
            **{key: int(value[i]) for key, value in counts.items()},
            **{key: float(value[i]) for key, value in scores.items()},
        }
        for i, name in enumerate(classes)
    }


# --- scores from probabilities -----------------------------------------------------------------


def micro_at_half(labels: np.ndarray, probabilities: np.ndarray) -> tuple[int, int]:
    """Count what Keras' ``Precision()`` and ``Recall()`` count on one-hot labels.

    They threshold every softmax output at 0.5 and pool all classes: an image whose largest
    probability is 0.5 or less has no predicted class. Recall is `tp` / n, precision is `tp` /
    `above`.

    Returns
    -------
    tp : int
        Images whose true class has a probability strictly above 0.5.
    above : int
        Probabilities strictly above 0.5, right or wrong.
    """
    probabilities = np.asarray(probabilities)
    above = probabilities > THRESHOLD
    return int(above[np.arange(len(labels)), labels].sum()), int(above.sum())


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
    positive, scores = np.asarray(positive, dtype=bool), np.asarray(scores, dtype=np.float64)
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        return None
    order = np.argsort(-scores, kind="stable")
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

    None if there are no positives or no negatives. Parameters as in `roc_curve`.
    """
    curve = roc_curve(positive, scores)
    return None if curve is None else float(np.trapezoid(curve[1], curve[0]))


def auc_of(
    labels: np.ndarray, probabilities: np.ndarray, positive: int | None = None
) -> tuple[float | None, str]:
    """AUC of a classifier and what kind it is.

    Parameters
    ----------
    labels : int array (n,)
    probabilities : float array (n, K)
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
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    n_classes = probabilities.shape[1]
    if n_classes == 2 and positive is not None:
        return auc(labels == positive, probabilities[:, positive]), "positive class"
    areas = [auc(labels == i, probabilities[:, i]) for i in range(n_classes)]
    known = [area for area in areas if area is not None]
    kind = "macro one-vs-rest"
    if len(known) < n_classes:
        kind += f" over {len(known)} of {n_classes} classes"
    return (float(np.mean(known)) if known else None), kind


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> dict[str, np.ndarray]:
    """Accuracy against confidence, in equally wide bins of the largest probability.

    Returns
    -------
    dict of arrays
        ``edges`` (bins + 1,), ``n`` (bins,), and ``accuracy`` and ``confidence`` (bins,), NaN where
        a bin is empty. A confidence on an edge belongs to the bin below it.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    confidence = probabilities.max(axis=1)
    correct = predicted_classes(probabilities) == labels
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    n = np.bincount(place, minlength=bins)
    empty = np.where(n > 0, 1.0, np.nan)
    return {
        "edges": edges,
        "n": n,
        "accuracy": _ratio(np.bincount(place, weights=correct, minlength=bins), n) * empty,
        "confidence": _ratio(np.bincount(place, weights=confidence, minlength=bins), n) * empty,
    }


def ece(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean |accuracy - confidence| over bins, weighted by images.

    References
    ----------
    Guo et al., On calibration of modern neural networks, 2017, equation 3 (15 bins).
    """
    table = reliability(labels, probabilities, bins)
    gap = np.abs(np.nan_to_num(table["accuracy"]) - np.nan_to_num(table["confidence"]))
    return float((gap * table["n"]).sum() / table["n"].sum())


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Brier score, mean over images of the summed squared error over classes, in [0, 2]."""
    error = np.array(probabilities, dtype=np.float64)
    error[np.arange(len(labels)), labels] -= 1.0
    return float((error**2).sum(axis=1).mean())


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative logarithm of the true class's probability, bounded at 1e-15."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(true, 1e-15, 1.0)).mean())


# --- patients ----------------------------------------------------------------------------------


def per_patient(correct: np.ndarray, cases: np.ndarray) -> dict[str, tuple[int, int]]:
    """Count right and all images of every patient.

    Parameters
    ----------
    correct : bool array (n,)
    cases : str array (n,)
        Patient of each image.

    Returns
    -------
    dict
        ``{case: (correct, total)}``, sorted by case.
    """
    names, place = np.unique(np.asarray(cases, dtype=str), return_inverse=True)
    right = np.bincount(place, weights=np.asarray(correct, dtype=np.float64)).astype(int)
    total = np.bincount(place)
    return {str(name): (int(k), int(n)) for name, k, n in zip(names, right, total, strict=True)}


def patient_recognition_rate(correct: np.ndarray, cases: np.ndarray) -> float:
    """Mean over patients of the share of their images that is right.

    References
    ----------
    Spanhol et al., A dataset for breast cancer histopathological image classification, 2016.
    """
    return float(np.mean([k / n for k, n in per_patient(correct, cases).values()]))


def case_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each patient, the worst first.

    Parameters
    ----------
    predictions : DataFrame
        ``case``, ``label`` and one ``p_<class>`` column per class.

    Returns
    -------
    DataFrame
        ``case, label, n, correct, accuracy``; several labels of one case are joined by ``+``.
    """
    table = predictions.assign(correct=correct(predictions))
    table = table.groupby("case", sort=True).agg(
        label=("label", lambda values: "+".join(sorted(set(values)))),
        n=("correct", "size"),
        correct=("correct", "sum"),
    )
    table["correct"] = table["correct"].astype(int)
    table["accuracy"] = table["correct"] / table["n"]
    return table.reset_index().sort_values(["accuracy", "case"], ignore_index=True)


# --- intervals ---------------------------------------------------------------------------------


def roc_by_magnification(
    predictions: pd.DataFrame, positive: str
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """ROC curve of a two-class problem at each magnification.

    Parameters
    ----------
    predictions : DataFrame
        As in predictions.csv.
    positive : str
        The positive class.

    Returns
    -------
    dict
        Magnification to (false positive rates, true positive rates, area under the curve), as
        `common.figures.roc` takes it; unknown ones, and those with images of one class, are left
        out.
    """
    curves = {}
    for name in sorted(set(predictions["magnification"]) - {""}, key=_by_number):
        part = predictions[predictions["magnification"] == name]
        truth, scores = (part["label"] == positive).to_numpy(), part[column(positive)].to_numpy()
        curve = roc_curve(truth, scores)
        if curve is not None:
            curves[name] = (curve[0], curve[1], auc(truth, scores))
    return curves


def clopper_pearson(k: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of a proportion k/n.

    Raises
    ------
    ValueError
        Unless 0 <= k <= n and n > 0.

    References
    ----------
    Clopper and Pearson, The use of confidence or fiducial limits, 1934.
    """
    from scipy.special import betaincinv

    if not 0 <= k <= n or n <= 0:
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
    replicates, seed : int
        The same seed gives the same replicates.

    Returns
    -------
    float64 array (replicates, D)
        Summed `features` of every bootstrap sample.
    """
    features = np.asarray(features, dtype=np.float64)
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
    """
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(np.asarray(values, dtype=np.float64), [tail, 100 - tail])
    if np.ptp(values) == 0:
        return None
    return float(low), float(high)


def compute(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    cases: np.ndarray | None = None,
    magnifications: np.ndarray | None = None,
    positive: str | None = None,
    split: str = "",
    synthetic: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any]:
    """All that `metrics.json` holds, as fractions.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    probabilities : float array (n, K)
        Softmax outputs in the order of `classes`.
    classes : sequence of str
        K class names, those absent from the labels too.
    cases : str array (n,), optional
        Patient of each image. Where one is unknown (empty), patients count as not known.
    magnifications : str array (n,), optional
        For example ``40X``; where all are known, `by_magnification` repeats the metrics for each.
    positive : str, optional
        Positive class of a two-class problem; gives `auc` and `specificity` their meaning.
    split, synthetic
        Copied into the result.
    replicates, seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        See ``docs/run-folder.md``. ``intervals`` holds a 95 % bootstrap interval for each of the
        scores that a table may print, by their path (``per_class.benign.precision``), or None.
        ``accuracy_ci`` without a single error (or a single hit) is Clopper-Pearson's, over images
        or, where the bootstrap is over patients, over patients; ``ci_method`` says which.
    """
    labels = np.asarray(labels, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    classes = list(classes)
    if labels.size == 0:
        raise InputError("no predictions to evaluate: this part of the split is empty")
    if probabilities.shape != (labels.size, len(classes)):
        raise ValueError(f"probabilities {probabilities.shape}, not {(labels.size, len(classes))}")
    if positive is not None and positive not in classes:
        raise ValueError(f"positive class {positive!r} is none of {classes}")
    cases = _known(cases)
    magnifications = _known(magnifications)

    result: dict[str, Any] = {"split": split, "synthetic": bool(synthetic)}
    result |= _section(labels, probabilities, classes, cases, positive, replicates, seed)
    result["by_magnification"] = {}
    if magnifications is not None:
        for name in sorted(set(magnifications.tolist()), key=_by_number):
            chosen = magnifications == name
            result["by_magnification"][name] = _section(
                labels[chosen],
                probabilities[chosen],
                classes,
                None if cases is None else cases[chosen],
                positive,
                replicates,
                seed,
            )
    return result


def _known(values: Any) -> np.ndarray | None:
    """Give the values as strings, or None if any is unknown."""
    if values is None:
        return None
    values = np.asarray(values, dtype=str)
    return values if values.size and (values != "").all() else None


def _by_number(name: str) -> tuple[int, str]:
    """Sort key that puts 40X before 100X."""
    digits = "".join(character for character in name if character.isdigit())
    return (int(digits) if digits else 0, name)


def _scores(matrix: np.ndarray, half: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Every score that gets an interval, by its path in metrics.json, for stacked counts.

    `matrix` is (..., K, K), `half` is (..., 2): the two counts of `micro_at_half`.
    """
    by_class = class_scores(matrix)
    scores = {
        "accuracy": accuracy(matrix),
        "balanced_accuracy": balanced_accuracy(matrix),
        **{f"{name}_macro": macro(values, matrix) for name, values in by_class.items()},
        "precision_micro_at_half": _ratio(half[..., 0], half[..., 1]),
        "recall_micro_at_half": _ratio(half[..., 0], matrix.sum(axis=(-2, -1))),
        "kappa": kappa(matrix),
        "mcc": mcc(matrix),
    }
    for i, name in enumerate(classes):
        for score, values in by_class.items():
            scores[f"per_class.{name}.{score}"] = values[..., i]
    return scores


def _section(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: list[str],
    cases: np.ndarray | None,
    positive: str | None,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """Metrics of one set of images: the whole test set, or one magnification of it."""
    n, n_classes = probabilities.shape
    predicted = predicted_classes(probabilities)
    right = predicted == labels
    matrix = confusion_matrix(labels, predicted, n_classes)
    tp_at_half, above_half = micro_at_half(labels, probabilities)
    values = _scores(matrix, np.array([tp_at_half, above_half]), classes)

    n_patients = None if cases is None else len(np.unique(cases))
    # One patient cannot be resampled; fall back to images, and say so in ci_unit.
    clustered = n_patients is not None and n_patients > 1
    features = np.zeros((n, n_classes**2 + 2))
    features[np.arange(n), labels * n_classes + predicted] = 1
    features[:, -2] = probabilities[np.arange(n), labels] > THRESHOLD
    features[:, -1] = (probabilities > THRESHOLD).sum(axis=1)
    sums = resample(features, cases if clustered else None, replicates=replicates, seed=seed)
    replicated = _scores(sums[:, :-2].reshape(-1, n_classes, n_classes), sums[:, -2:], classes)
    intervals = {name: percentile_interval(drawn) for name, drawn in replicated.items()}
    method = "bootstrap"
    if intervals["accuracy"] is None:
        units = n_patients if clustered else n
        intervals["accuracy"] = clopper_pearson(units if right.all() else 0, units)
        method = "clopper-pearson"

    area, auc_kind = auc_of(
        labels, probabilities, None if positive is None else classes.index(positive)
    )
    classwise = per_class(matrix, classes)
    binary = n_classes == 2 and positive is not None
    return {
        "n": n,
        "correct": int(right.sum()),
        "n_patients": n_patients,
        "accuracy": float(values["accuracy"]),
        "accuracy_ci": list(intervals["accuracy"]),
        "ci_unit": "patient" if clustered else "image",
        "ci_method": method,
        "patient_recognition_rate": (
            None if cases is None else patient_recognition_rate(right, cases)
        ),
        "balanced_accuracy": float(values["balanced_accuracy"]),
        "precision_macro": float(values["precision_macro"]),
        "recall_macro": float(values["recall_macro"]),
        "f1_macro": float(values["f1_macro"]),
        "fpr_macro": float(values["fpr_macro"]),
        "tnr_macro": float(values["tnr_macro"]),
        "kappa_macro": float(values["kappa_macro"]),
        "mcc_macro": float(values["mcc_macro"]),
        "tp_at_half": tp_at_half,
        "above_half": above_half,
        "precision_micro_at_half": float(values["precision_micro_at_half"]),
        "recall_micro_at_half": float(values["recall_micro_at_half"]),
        "kappa": float(values["kappa"]),
        "mcc": float(values["mcc"]),
        "auc": area,
        "auc_kind": auc_kind,
        "positive_class": positive,
        "specificity": classwise[positive]["tnr"] if binary else None,
        "ece": ece(labels, probabilities),
        "brier": brier(labels, probabilities),
        "log_loss": log_loss(labels, probabilities),
        "classes": classes,
        "confusion_matrix": matrix.tolist(),
        "support": {name: classwise[name]["support"] for name in classes},
        "per_class": classwise,
        "intervals": {
            name: None if pair is None else list(pair) for name, pair in intervals.items()
        },
    }


# --- two runs on the same images ---------------------------------------------------------------


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar test of two classifiers on the same images.

    Parameters
    ----------
    only_a, only_b : int
        Images that only the first, only the second classifier has right.

    Returns
    -------
    float
        Probability of a split at least as uneven if both were equally good. It treats images as
        independent: with several images per patient it is too small.
    """
    n = only_a + only_b
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, i) for i in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**n)  # big integers, divided once: no overflow, no rounding


def compare(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    *,
    part: str = "test",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare the accuracy of two runs on the same images.

    Parameters
    ----------
    predictions_a, predictions_b : DataFrame
        As in predictions.csv. They are paired by ``image``; the classes may differ, an accuracy
        of each against its own labels is what is compared.
    part : str
        Part of the split to compare on.

    Returns
    -------
    dict
        ``n, n_patients, accuracy_a, accuracy_b, difference`` (a - b), ``difference_ci`` (paired
        bootstrap over ``ci_unit``, None without a single differing image), ``both_right, only_a,
        only_b, both_wrong, mcnemar_p``.

    Raises
    ------
    InputError
        If the two were not tested on the same images.
    """
    frames = []
    for name, frame in (("first", predictions_a), ("second", predictions_b)):
        chosen = of_part(frame, part).set_index("image").sort_index()
        if chosen.empty:
            raise InputError(f"the {name} run has no predictions for the {part} part")
        frames.append(chosen)
    a, b = frames
    if not a.index.equals(b.index):
        raise InputError(
            f"the two runs have different {part} images ({len(a.index.difference(b.index))} only "
            f"in the first, {len(b.index.difference(a.index))} only in the second): compare runs "
            "that share split and split seed"
        )
    right_a, right_b = correct(a), correct(b)
    cases = _known(a["case"].to_numpy())
    clustered = cases is not None and len(np.unique(cases)) > 1
    difference = right_a.astype(int) - right_b.astype(int)
    sums = resample(
        np.stack([difference, np.ones_like(difference)], axis=1),
        cases if clustered else None,
        replicates=replicates,
        seed=seed,
    )
    interval = percentile_interval(sums[:, 0] / sums[:, 1])
    only_a, only_b = int((difference > 0).sum()), int((difference < 0).sum())
    return {
        "n": len(a),
        "n_patients": None if cases is None else len(np.unique(cases)),
        "accuracy_a": float(right_a.mean()),
        "accuracy_b": float(right_b.mean()),
        "difference": float(difference.mean()),
        "difference_ci": None if interval is None else list(interval),
        "ci_unit": "patient" if clustered else "image",
        "both_right": int((right_a & right_b).sum()),
        "only_a": only_a,
        "only_b": only_b,
        "both_wrong": int((~right_a & ~right_b).sum()),
        "mcnemar_p": mcnemar(only_a, only_b),
    }


# --- command line ------------------------------------------------------------------------------


def _comparison(a: str, b: str, result: dict[str, Any]) -> str:
    """Lay out what `compare` found."""
    points = 100 * result["difference"]
    lines = [
        f"a  {a}",
        f"b  {b}",
        f"images     {result['n']}, patients {result['n_patients'] or 'unknown'}",
        f"accuracy   a {100 * result['accuracy_a']:.2f} %   b {100 * result['accuracy_b']:.2f} %",
    ]
    if result["difference_ci"] is None:
        lines.append(f"a - b      {points:+.2f} points, no interval (every image counts the same)")
    else:
        low, high = (100 * value for value in result["difference_ci"])
        lines.append(
            f"a - b      {points:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f} "
            f"(paired bootstrap over {result['ci_unit']}s)"
        )
    lines += [
        f"right      both {result['both_right']}   only a {result['only_a']}   "
        f"only b {result['only_b']}   neither {result['both_wrong']}",
        f"McNemar    p = {result['mcnemar_p']:.3g} (exact, two-sided; images taken as independent)",
    ]
    return "\n".join(lines)


def _main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m common.metrics``."""
    import argparse

    from common import evaluation, notices, runs

    parser = argparse.ArgumentParser(
        prog="python -m common.metrics", description="Metrics of finished runs, from their files."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    again = commands.add_parser(
        "recompute", help="rewrite metrics.json from predictions.csv and print it"
    )
    again.add_argument("run", metavar="RUN", help="a run folder")
    pair = commands.add_parser("compare", help="compare two runs on the same test images")
    pair.add_argument("runs", metavar="RUN", nargs=2, help="a run folder")
    flags = parser.parse_args(arguments)

    if flags.command == "recompute":
        metrics = evaluation.evaluate_run(flags.run)
        print(evaluation.summary(metrics))
        return 0
    found = [runs.load_classifier(path) for path in flags.runs]
    result = compare(*(evaluation.read_run(run) for run in found))
    if any(run.synthetic for run in found):
        print(notices.SYNTHETIC)
    print(_comparison(*(str(run.path) for run in found), result))
    return 0


if __name__ == "__main__":
    from common.errors import main

    main(_main)
