"""Results patient by patient and image by image: accuracies, mistakes, Grad-CAM."""

from __future__ import annotations

from typing import Any

import numpy as np

from common import metrics, predictions
from common.report import pictures
from common.report.files import RunFiles
from common.report.words import plural

WRONG_SHOWN = 20
"""How many mistakes are listed."""


def per_case(files: RunFiles) -> dict[str, Any] | None:
    """Draw every patient's accuracy, and list it.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None unless the patients of all test images are known.
    """
    if files.test is None or (files.test["case"] == "").any():
        return None
    table = metrics.case_table(files.test)
    mean = float(table["accuracy"].mean())
    worst = table.iloc[0]
    perfect = int((table["accuracy"] == 1).sum())
    alt = (
        f"Accuracy of {plural(len(table), 'patient')}: mean {100 * mean:.1f} %, "
        f"{perfect} without any error; lowest {100 * worst['accuracy']:.1f} % "
        f"({worst['correct']} of {worst['n']} images, patient {worst['case']})."
    )
    figure = files.charts.per_case(table, files.classes)
    return {
        "picture": pictures.draw(files, "per_case", figure, alt),
        "rows": table.to_dict("records"),
        "mean": mean,
        "perfect": perfect,
    }


def wrong(files: RunFiles) -> dict[str, Any] | None:
    """List the mistakes in which the network was surest.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without test predictions.
    """
    test = files.test
    if test is None:
        return None
    probabilities = predictions.probabilities(test)
    sure, said = probabilities.max(axis=1), predictions.predicted(test)
    mistaken = np.flatnonzero(~predictions.correct(test))
    mistaken = mistaken[np.argsort(-sure[mistaken], kind="stable")]
    rows = [
        {
            "image": test["image"][i],
            "label": test["label"][i],
            "predicted": said[i],
            "p_predicted": float(sure[i]),
            "p_label": float(test[predictions.column(test["label"][i])][i]),
        }
        for i in mistaken[:WRONG_SHOWN]
    ]
    return {"rows": rows, "total": len(mistaken), "n": len(test)}


def mistakes(files: RunFiles) -> pictures.Picture | None:
    """Give the picture of the mistakes.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None if there is none.
    """
    return pictures.found(files, "mistakes", "Wrongly classified test images")


def gradcam(files: RunFiles) -> pictures.Picture | None:
    """Give the picture of where the network looked.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None if there is none.
    """
    return pictures.found(files, "gradcam", "Grad-CAM of test images")
