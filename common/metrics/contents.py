"""What metrics.json holds: every score of the catalogue, its counts and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.errors import InputError
from common.metrics import catalogue
from common.metrics.arguments import (
    class_names,
    class_numbers,
    matrices,
    numbers,
    same_length,
    softmax,
    whole,
)
from common.metrics.bootstrap import intervals_of, values_of
from common.metrics.catalogue import class_scores
from common.metrics.counts import confusion_matrix, one_vs_rest
from common.metrics.ground import ground_of
from common.metrics.groups import by_number, half_known, known, slide_folders, without_name
from common.metrics.intervals import REPLICATES
from common.metrics.probabilities import above_half, auc_of
from common.metrics.score import Counts, Images
from common.predictions import predicted_classes


def compute(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    cases: np.ndarray | Sequence[str] | None = None,
    magnifications: np.ndarray | Sequence[str] | None = None,
    folders: np.ndarray | Sequence[str] | None = None,
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
        Patient of each image. Where one is unknown (empty), patients count as not known, and
        ``n_without_patient`` says how many are.
    magnifications : str array (n,), optional
        For example ``40X``; where all are known, `by_magnification` repeats the metrics for each.
    folders : str array (n,), optional
        Slide folder of each image; where all are known, as the magnifications are, each of these
        has the official patient recognition rate.
    positive : str, optional
        Positive class of a two-class problem; gives `auc` and `specificity` their meaning.
    split : str
        Name of the split, copied.
    synthetic : bool
        Whether the images were generated, copied.
    replicates : int
        Bootstrap samples.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        See ``docs/run-folder.md``. ``intervals`` holds a 95 % interval for each of the scores that
        a table may print, by their path (``per_class.benign.precision``), or None: where patients
        are known, by leaving each of them out (``intervals_method`` "jackknife"), else by the
        bootstrap over images. ``reasons`` says why a score or an interval is None,
        ``intervals_replicates`` how many bootstrap samples were left where some lacked what the
        score rests on. ``accuracy_ci`` is Clopper-Pearson's where all samples are the same: without
        a single error or a single hit, or with the same share of hits of every patient; None with
        a single patient. ``ci_method`` says which. Over images every share of them that is the
        same in all samples has Clopper-Pearson's.

    Raises
    ------
    InputError
        If there is no image.
    ValueError
        If the shapes do not fit, a label is no class number, a row of probabilities is no softmax,
        a class stands there twice, or `positive` is no class.
    """
    names = class_names(classes)
    labels = numbers(labels, "labels")
    if labels.size == 0:
        raise InputError("no predictions to evaluate: labels are none, this part is empty")
    labels, probabilities = (
        class_numbers(labels, len(names)),
        numbers(probabilities, "probabilities"),
    )
    replicates, seed = whole(replicates, 1, "replicates"), whole(seed, 0, "seed")
    if probabilities.shape != (labels.size, len(names)):
        raise ValueError(f"probabilities {probabilities.shape}, not {(labels.size, len(names))}")
    if positive is not None and positive not in names:
        raise ValueError(f"positive class {positive!r} is none of {names}")
    probabilities = softmax(probabilities)
    nameless = np.zeros(labels.size, bool)
    if cases is not None:
        cases = same_length(cases, labels.size, "cases")
        nameless, cases = without_name(cases), known(cases)
    if magnifications is not None:
        magnifications = known(same_length(magnifications, labels.size, "magnifications"))

    result: dict[str, Any] = {"split": split, "synthetic": bool(synthetic)}
    result |= _section(
        labels, probabilities, names, cases, positive, replicates, seed, nameless=nameless
    )
    result["by_magnification"] = {}
    if magnifications is not None:
        folders = slide_folders(folders, cases, labels.size)
        for name in sorted(set(magnifications.tolist()), key=by_number):
            chosen = magnifications == name
            result["by_magnification"][name] = _section(
                labels[chosen],
                probabilities[chosen],
                names,
                None if cases is None else cases[chosen],
                positive,
                replicates,
                seed,
                None if folders is None else folders[chosen],
                nameless=nameless[chosen],
            )
    return result


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
        ``{name: {support, tp, tn, fp, fn, precision, recall, fpr, tnr, f1, kappa, mcc}}``, None
        where a score has nothing to be divided by.
    """
    matrix, classes = matrices(matrix), class_names(classes)
    if matrix.shape != (len(classes), len(classes)):
        raise ValueError(f"matrix must be ({len(classes)}, {len(classes)}), not {matrix.shape}")
    counts = one_vs_rest(matrix)
    scores = class_scores(matrix)
    return {
        name: {
            "support": int(counts["tp"][i] + counts["fn"][i]),
            **{key: int(value[i]) for key, value in counts.items()},
            **{key: _number(value[i]) for key, value in scores.items()},
        }
        for i, name in enumerate(classes)
    }


def _section(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: list[str],
    cases: np.ndarray | None,
    positive: str | None,
    replicates: int,
    seed: int,
    folders: np.ndarray | None = None,
    *,
    nameless: np.ndarray,
) -> dict[str, Any]:
    """Metrics of one set of images: the whole test set, or one magnification of it."""
    predicted = predicted_classes(probabilities)
    images = Images(
        labels=labels,
        probabilities=probabilities,
        predicted=predicted,
        correct=predicted == labels,
        matrix=confusion_matrix(labels, predicted, len(classes)),
        cases=cases,
        positive=None if positive is None else classes.index(positive),
        folders=folders,
    )
    half = above_half(labels, probabilities)
    tp_at_half, above = half.sum(axis=0)
    values = values_of(Counts(images.matrix, tp_at_half, above), classes)
    ground = ground_of(labels, classes, cases)
    found = intervals_of(images, half, values, ground, replicates=replicates, seed=seed)
    ends = found.intervals["accuracy"]

    section: dict[str, Any] = {
        "n": len(labels),
        "correct": int(images.correct.sum()),
        "n_patients": None if cases is None else ground.total,
        **half_known(nameless),
        "accuracy": float(values["accuracy"]),
        "accuracy_ci": None if ends is None else list(ends),
        "ci_unit": ground.unit,
        "ci_method": found.method,
        "intervals_method": found.samples,
    }
    facts = {
        "tp_at_half": int(tp_at_half),
        "above_half": int(above),
        "auc_kind": auc_of(labels, probabilities, images.positive)[1],
        "positive_class": positive,
        "n_folders": None if folders is None else len(np.unique(folders)),
    }
    _add_scores(section, images, values, facts)
    classwise = per_class(images.matrix, classes)
    told = {"reasons": found.reasons, "intervals_replicates": found.used}
    return (
        section
        | {
            "classes": classes,
            "confusion_matrix": images.matrix.tolist(),
            "support": {name: classwise[name]["support"] for name in classes},
            "per_class": classwise,
            "intervals": found.intervals,
        }
        | {key: value for key, value in told.items() if value}
    )


def _number(value: Any) -> float | None:
    """A value for JSON, which knows no NaN."""
    return None if value is None or np.isnan(value) else float(value)


def _add_scores(
    section: dict[str, Any], images: Images, values: dict[str, np.ndarray], facts: dict[str, Any]
) -> None:
    """Add every score of the catalogue, in its order: counts, value, facts."""
    binary = images.probabilities.shape[1] == 2 and images.positive is not None
    for score in catalogue.SCORES:
        if score.applies == "folders" and images.folders is None:
            continue
        for name in score.k_of_n or ():
            section.setdefault(name, facts.get(name))
        if score.key in values:
            section.setdefault(score.key, _number(values[score.key]))
        elif score.from_images is not None:
            applies = binary or score.applies != "two classes"
            section[score.key] = _number(score.from_images(images)) if applies else None
        for name in score.facts:
            section.setdefault(name, facts[name])
