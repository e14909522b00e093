"""Images that belong together: by patient, and by magnification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common.metrics.arguments import columns, same_length, truths
from common.metrics.probabilities import area_under, roc_curve
from common.predictions import COLUMNS, classes_of, column, correct

if TYPE_CHECKING:
    import pandas as pd


def known(values: Any) -> np.ndarray | None:
    """Give what images are grouped by, unless it is unknown for some.

    Parameters
    ----------
    values : array-like of str (n,), or None
        Patients or magnifications; an unknown one is empty, None or NaN.

    Returns
    -------
    str array (n,) or None
        None if any is unknown, or there are none.
    """
    given = np.asarray(values)
    return None if not given.size or without_name(given).any() else given.astype(str)


def half_known(nameless: np.ndarray) -> dict[str, int]:
    """Count the images without a patient where others have one, as metrics.json keeps it.

    Parameters
    ----------
    nameless : bool array (n,)
        From `without_name`.

    Returns
    -------
    dict
        `n_without_patient`; empty where all or none have a patient, which goes without saying.
    """
    unknown = int(nameless.sum())
    return {"n_without_patient": unknown} if 0 < unknown < len(nameless) else {}


def without_name(values: Any) -> np.ndarray:
    """Say which images have no patient, magnification or other name.

    Parameters
    ----------
    values : array-like of str (n,)
        An unknown one is empty, None or NaN.

    Returns
    -------
    bool array (n,)
    """
    given = np.asarray(values)
    unknown = given.astype(str) == ""
    if given.dtype.kind in "fO":
        unknown |= np.array([each is None or each != each for each in given.ravel()], bool)
    return unknown


# --- patients ----------------------------------------------------------------------------------


def per_patient(correct: np.ndarray, cases: np.ndarray) -> dict[str, tuple[int, int]]:
    """Count right and all images of every patient.

    Parameters
    ----------
    correct : bool array (n,)
        Which images have their label predicted.
    cases : str array (n,)
        Patient of each image.

    Returns
    -------
    dict
        ``{case: (correct, total)}``, sorted by case; empty without images.

    Raises
    ------
    ValueError
        If the lengths differ, or `correct` holds anything but true and false.
    """
    correct = truths(correct, "correct")
    cases = same_length(cases, len(correct), "cases")
    names, place = np.unique(cases.astype(str), return_inverse=True)
    right = np.bincount(place, weights=np.asarray(correct, dtype=np.float64)).astype(int)
    total = np.bincount(place)
    return {str(name): (int(k), int(n)) for name, k, n in zip(names, right, total, strict=True)}


def patient_recognition_rate(correct: np.ndarray, cases: np.ndarray) -> float:
    """Mean over patients of the share of their images that is right.

    Parameters
    ----------
    correct : bool array (n,)
        Which images have their label predicted.
    cases : str array (n,)
        Patient of each image. Each patient counts once, however many images there are.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As `per_patient`, and if there is no image.

    See Also
    --------
    rates_by_folder : As the data set's authors take it.

    References
    ----------
    Spanhol et al., A dataset for breast cancer histopathological image classification, 2016.
    """
    counts = per_patient(correct, cases)
    if not counts:
        raise ValueError("correct and cases of no image")
    return float(np.mean([k / n for k, n in counts.values()]))


def rates_by_folder(
    correct: np.ndarray, folders: np.ndarray, magnifications: np.ndarray
) -> dict[str, tuple[float, int]]:
    """Patient recognition rate as the authors of BreakHis take it: of each magnification.

    What they call a patient is a slide folder, of which a case may have several.

    Parameters
    ----------
    correct : bool array (n,)
        Which images have their label predicted.
    folders, magnifications : str array (n,)
        Of each image.

    Returns
    -------
    dict
        Magnification to (rate in [0, 1], number of its folders), sorted by magnification.

    Raises
    ------
    ValueError
        If the lengths differ, or `correct` holds anything but true and false.

    References
    ----------
    Spanhol et al., A dataset for breast cancer histopathological image classification, 2016.
    """
    correct = truths(correct, "correct")
    folders = same_length(folders, len(correct), "folders")
    magnifications = same_length(magnifications, len(correct), "magnifications").astype(str)
    found = {}
    for name in sorted(set(magnifications.tolist()), key=by_number):
        here = magnifications == name
        rate = patient_recognition_rate(correct[here], folders[here])
        found[name] = rate, len(np.unique(folders[here]))
    return found


def slide_folders(folders: Any, cases: np.ndarray | None, n: int) -> np.ndarray | None:
    """Give the slide folder of each image; those of two patients are two, also if named alike.

    Parameters
    ----------
    folders : array-like of str (n,), or None
        An unknown one is empty, None or NaN.
    cases : str array (n,) or None
        Patients, where all are known.
    n : int
        How many images there are.

    Returns
    -------
    str array (n,) or None
        None if any folder is unknown, or there are none.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if folders is None:
        return None
    found = known(same_length(folders, n, "folders"))
    if found is None or cases is None:
        return found
    return np.array([f"{case}/{folder}" for case, folder in zip(cases, found, strict=True)])


def case_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each patient, the worst first.

    Parameters
    ----------
    predictions : DataFrame
        As in predictions.csv.

    Returns
    -------
    DataFrame
        ``case, label, n, correct, accuracy``; several labels of one case are joined by ``+``.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    columns(predictions, ("case", "label"), "predictions")
    columns(predictions, [column(name) for name in classes_of(predictions)], "predictions")
    table = predictions.assign(correct=correct(predictions))
    table = table.groupby("case", sort=True).agg(
        label=("label", lambda values: "+".join(sorted(set(values)))),
        n=("correct", "size"),
        correct=("correct", "sum"),
    )
    table["correct"] = table["correct"].astype(int)
    table["accuracy"] = table["correct"] / table["n"]
    return table.reset_index().sort_values(["accuracy", "case"], ignore_index=True)


# --- magnifications ----------------------------------------------------------------------------


def by_number(name: str) -> tuple[int, str]:
    """Sort key that puts 40X before 100X.

    Parameters
    ----------
    name : str
        A magnification, for example ``40X``.

    Returns
    -------
    tuple of (int, str)
        Its digits as a number (0 without any), and the name.
    """
    digits = "".join(character for character in name if character.isdigit())
    return (int(digits) if digits else 0, name)


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

    Raises
    ------
    ValueError
        If a column is missing, the one of the positive class for instance.
    """
    columns(predictions, (*COLUMNS[3:4], "label", column(positive)), "predictions")
    # As objects: pandas compares its strings ten times as slowly.
    magnification = predictions["magnification"].to_numpy(object)
    truth = predictions["label"].to_numpy(object) == positive
    scores = predictions[column(positive)].to_numpy()
    curves = {}
    for name in sorted(set(magnification.tolist()) - {""}, key=by_number):
        here = magnification == name
        curve = roc_curve(truth[here], scores[here])
        if curve is not None:
            curves[name] = (curve[0], curve[1], area_under(curve))
    return curves
