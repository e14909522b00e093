"""Results on the test images: classes, probabilities, magnifications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common import metrics, predictions
from common.metrics import shown
from common.metrics.catalogue import CALIBRATION
from common.report import pictures
from common.report.files import RunFiles
from common.report.words import UNKNOWN, interval, plural, score

BY_MAGNIFICATION = {
    "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "f1_macro": "Macro F1",
    "auc": "AUC", "patient_recognition_rate": "Patient rate",
}  # fmt: skip
"""Scores that the page lists for each magnification, with their titles in its narrow columns."""


def confusion(files: RunFiles) -> dict[str, Any] | None:
    """Draw the confusion matrix, and list it.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without metrics.json.
    """
    scores = files.metrics
    if not scores:
        return None
    classes = [str(name) for name in scores["classes"]]
    matrix = np.asarray(scores["confusion_matrix"], dtype=np.int64)
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    recalls = ", ".join(
        f"{name} {100 * matrix[i, i] / matrix[i].sum():.1f} %"
        for i, name in enumerate(classes)
        if matrix[i].sum()
    )
    finding = ""
    if wrong.any():
        row, column = np.unravel_index(wrong.argmax(), wrong.shape)
        finding = (
            f"The commonest confusion is {classes[row]} taken for {classes[column]}: "
            f"{wrong[row, column]} of {matrix[row].sum()} images."
        )
    alt = (
        f"Confusion matrix of {matrix.sum()} test images, {np.trace(matrix)} on the diagonal. "
        f"Share right: {recalls}. {finding}"
    )
    figure = files.charts.confusion_matrix(matrix, classes)
    return {
        "picture": pictures.draw(files, "confusion_matrix", figure, alt),
        "finding": finding,
        "rows": list(zip(classes, matrix.tolist(), strict=True)),
    }


def per_class(files: RunFiles) -> dict[str, Any] | None:
    """List the scores of each class against the rest.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        `titles` of the columns and `rows`, as the template shows them; None without metrics.json.
    """
    scores = files.metrics
    if not scores:
        return None
    found = {name: shown.of_class(scores, name) for name in scores["per_class"]}
    return {
        "titles": [each.score.title for each in next(iter(found.values()))],
        "rows": [
            {
                "name": name,
                "support": scores["support"][name],
                "cells": [(score(each), _below(each, name)) for each in values],
            }
            for name, values in found.items()
        ],
        "notes": [
            f"{name}: {note[0].lower()}{note[1:]}"
            for name, values in found.items()
            for note in shown.notes(values)
        ],
    }


def _below(each: shown.Shown, name: str) -> str:
    """What stands below a value of a class: its interval, or why there is no value."""
    if each.value is None and each.reason:
        return each.reason.removesuffix(f" of {name}")  # the column is narrow
    return interval(each)


def roc(files: RunFiles) -> dict[str, Any] | None:
    """Draw the ROC curve of the positive class, or of each class against the rest.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without test predictions, or if no class has both positives
        and negatives.
    """
    if files.test is None:
        return None
    positive = files.record.positive
    curves = {}
    for name in [positive] if positive in files.classes else files.classes:
        truth = (files.test["label"] == name).to_numpy()
        scores = predictions.probabilities(files.test, [name])[:, 0]
        curve, area = metrics.roc_curve(truth, scores), metrics.auc(truth, scores)
        if curve is not None and area is not None:
            curves[name] = (curve[0], curve[1], area)
    if not curves:
        return None
    against = "" if positive else ", each class against the rest"
    alt = (
        f"ROC curves on {len(files.test)} test images{against}. Area under the curve: "
        f"{_areas(curves)}."
    )
    return {
        "picture": pictures.draw(files, "roc", files.charts.roc(curves), alt),
        "against": against,
    }


def roc_by_magnification(files: RunFiles) -> pictures.Picture | None:
    """Draw the ROC curve of the positive class at each magnification.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without a positive class or with fewer than two curves.
    """
    positive = files.record.positive
    if files.test is None or positive not in files.classes:
        return None
    curves = metrics.roc_by_magnification(files.test, positive)
    if len(curves) < 2:
        return None
    alt = f"ROC curves by magnification. Area under the curve: {_areas(curves)}."
    return pictures.draw(files, "roc_by_magnification", files.charts.roc(curves), alt)


def confusion_by_magnification(files: RunFiles) -> list[dict[str, Any]] | None:
    """Draw the confusion matrix of each magnification.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    list of dict or None
        `name`, `n` and `picture` of each, as the template shows them; None with fewer than two.
    """
    parts = {
        name: part["confusion_matrix"]
        for name, part in (files.metrics.get("by_magnification") or {}).items()
        if part.get("confusion_matrix")
    }
    if len(parts) < 2:
        return None
    classes = [str(name) for name in files.metrics["classes"]]
    found = []
    for number, (name, counts) in enumerate(parts.items(), 1):
        matrix = np.asarray(counts, dtype=np.int64)
        alt = (
            f"Confusion matrix of {matrix.sum()} test images at {name}, {np.trace(matrix)} on the "
            "diagonal."
        )
        figure = files.charts.confusion_matrix(matrix, classes)
        # A list's own names of magnifications may be none of files.
        picture = pictures.draw(files, f"confusion_matrix_{number}", figure, alt)
        found.append({"name": name, "n": int(matrix.sum()), "picture": picture})
    return found


def _areas(curves: Mapping[str, tuple[Any, Any, float]]) -> str:
    return ", ".join(f"{name} {area:.3f}" for name, (_, _, area) in curves.items())


def calibration(files: RunFiles) -> dict[str, Any] | None:
    """Draw how far the probabilities can be believed.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without test predictions.
    """
    if files.test is None:
        return None
    labels = predictions.labels(files.test, files.classes)
    probabilities = predictions.probabilities(files.test, files.classes)
    bins = metrics.reliability(labels, probabilities)
    error = metrics.ece(labels, probabilities)
    confidence = float(probabilities.max(axis=1).mean())
    accuracy = float(predictions.correct(files.test).mean())
    verdict = "above" if confidence > accuracy else "below"
    finding = (
        f"Mean confidence {100 * confidence:.1f} % is {verdict} the accuracy of "
        f"{100 * accuracy:.1f} %; expected calibration error {error:.3f}"
    )
    alt = f"Reliability diagram of {len(labels)} test images. {finding}."
    return {
        "picture": pictures.draw(files, "reliability", files.charts.reliability(bins, error), alt),
        "finding": finding,
        "scores": [
            f"{each.score.short or each.score.title} {score(each)}"
            for each in (shown.of_test(files.metrics) if files.metrics else [])
            # The calibration error stands in the figure.
            if each.score.line == CALIBRATION and each.score.key != "ece"
        ],
        "bins": len(bins["n"]),
    }


def magnifications(files: RunFiles) -> dict[str, Any] | None:
    """List the main scores at each magnification.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        `titles` of the columns, `rows`, and `notes` on what is missing, as the template shows
        them; None where magnifications are not known.
    """
    rows, official = [], []
    notes: dict[str, list[str]] = {}
    for name, part in (files.metrics.get("by_magnification") or {}).items():
        found = {each.score.key: each for each in shown.of_test(part)}
        if rate := found.get("folder_recognition_rate"):
            known = f"; {interval(rate)}" if rate.interval else ""
            official.append(f"{name} {score(rate)} ({plural(part['n_folders'], 'folder')}{known})")
        told = [found[key] for key in BY_MAGNIFICATION if key in found]
        rows.append(
            {
                "name": name,
                "n": part["n"],
                "correct": part.get("correct", round(part["accuracy"] * part["n"])),
                "cells": [
                    (score(found[key]), interval(found[key])) if key in found else (UNKNOWN, "")
                    for key in BY_MAGNIFICATION
                ],
            }
        )
        for note in shown.notes(told):
            notes.setdefault(f"{note[0].lower()}{note[1:]}", []).append(name)
    if not rows:
        return None
    said = [f"{', '.join(names)}: {note}" for note, names in notes.items()]
    if official:
        said.append(
            "The data set's own patient recognition rate, a mean over slide folders at one "
            f"magnification, with 95\xa0% intervals over patients: {', '.join(official)}"
        )
    return {"titles": list(BY_MAGNIFICATION.values()), "rows": rows, "notes": said}
