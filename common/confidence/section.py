"""The section `confidence` of metrics.json: chosen on validation images, judged on test images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common import metrics
from common.confidence import conformal
from common.confidence.patients import Patients, by_patient, threshold
from common.confidence.temperature import apply_temperature, fit_temperature
from common.metrics.groups import known
from common.metrics.intervals import Draws
from common.metrics.jackknife import MOST_UNITS, jackknife_interval, without_each
from common.metrics.replicates import mean_of_units
from common.predictions import correct, labels, of_part, probabilities

if TYPE_CHECKING:
    import pandas as pd

POINTS = 20
"""Of the risk-coverage curve, evenly over the coverage."""

METHOD = "LAC, hierarchical by patient (Lee, Barber and Willett 2023)"


def of_predictions(
    frame: pd.DataFrame,
    classes: Sequence[str],
    *,
    positive: str | None = None,
    split: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Choose on validation images and judge on test images how sure a network may be.

    Parameters
    ----------
    frame : DataFrame
        As in predictions.csv, with test images.
    classes : sequence of str
        Class names in order.
    positive : str, optional
        Positive class of a two-class problem.
    split : DataFrame, optional
        The run's split, which says in ``case`` which patients were trained on. Sets are given only
        where it does, and none of the validation patients is among them.

    Returns
    -------
    dict
        See ``docs/run-folder.md``. What cannot be chosen is None, and ``reasons`` says why.
    """
    validation, test = (_Part(of_part(frame, part), classes) for part in ("validation", "test"))
    trained = None
    if split is not None and {"case", "part"} <= set(split):
        trained = set(split["case"][split["part"] == "train"].fillna("").astype(str))
    found: dict[str, Any] = {"validation": _about(validation, trained)}
    reasons: dict[str, str] = {}
    temperature, reasons["temperature"] = (
        fit_temperature(validation.labels, validation.values)
        if validation.size
        else (None, "no validation images")
    )
    found["temperature"] = temperature
    found["before"] = _calibration(test.labels, test.values)
    found["after"] = None
    if temperature is not None:
        found["after"] = _calibration(test.labels, apply_temperature(test.values, temperature))
    found["abstain"], reasons["abstain"] = _abstain(validation, test, temperature)
    found["risk_coverage"] = _points(test, temperature)
    found["sets"], reasons["sets"] = _sets(validation, test, trained)
    found["patients"], told = _patients(validation, test, temperature, classes, positive)
    reasons |= told
    return found | {"reasons": {name: why for name, why in reasons.items() if why}}


class _Part:
    """Labels, probabilities and patients of the images of a part."""

    def __init__(self, frame: pd.DataFrame, classes: Sequence[str]) -> None:
        self.size = len(frame)
        self.labels, self.values = labels(frame, classes), probabilities(frame, classes)
        self.correct = correct(frame) if self.size else np.zeros(0, bool)
        self.cases = known(frame["case"].fillna("").to_numpy(str))

    def sure(self, temperature: float | None) -> np.ndarray:
        return apply_temperature(self.values, temperature).max(axis=1)


def _about(part: _Part, trained: Collection[str] | None) -> dict[str, Any]:
    patients = None if part.cases is None else set(part.cases.tolist())
    shared = None
    if patients is not None and trained is not None and "" not in trained:
        shared = len(patients & set(trained))
    return {
        "n": part.size,
        "n_patients": None if patients is None else len(patients),
        "trained_patients": shared,
    }


def _calibration(truth: np.ndarray, values: np.ndarray) -> dict[str, float]:
    return {
        "log_loss": metrics.log_loss(truth, values),
        "ece": metrics.ece(truth, values),
        "brier": metrics.brier(truth, values),
    }


def _abstain(
    validation: _Part, test: _Part, temperature: float | None
) -> tuple[dict[str, Any] | None, str]:
    """Confidence below which no answer is given, and what remains of the test images."""
    if not validation.size:
        return None, "no validation images"
    below = metrics.threshold_at_risk(validation.correct, validation.sure(temperature))
    if below is None:
        share = f"{100 * metrics.RISK:g} %"
        return None, f"no confidence leaves {share} errors or fewer on the validation images"
    answered = test.sure(temperature) >= below
    wrong = answered & ~test.correct
    ends = None
    if answered.any():
        columns = np.stack([wrong, answered], axis=1).astype(float)
        ends = _interval(test, lambda draws: _ratio(draws.sums(columns)))
        if ends is None and test.cases is None:  # as of every share of images that nothing varies
            ends = list(metrics.clopper_pearson(int(wrong.sum()), int(answered.sum())))
    return {
        "risk": metrics.RISK,
        "below": below,
        "answered": int(answered.sum()),
        "wrong": int(wrong.sum()),
        "coverage": float(answered.mean()),
        "error": float(wrong.sum() / answered.sum()) if answered.any() else None,
        "error_ci": ends,
    }, ""


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1), np.nan)


def _interval(part: _Part, share: Callable[[Draws], np.ndarray]) -> list[float] | None:
    """Interval of a share as those of the scores are: by leaving each patient out, if known."""
    units = 0 if part.cases is None else len(np.unique(part.cases))
    if units == 1:
        return None
    if part.cases is None or units > MOST_UNITS:
        ends = metrics.percentile_interval(share(metrics.draw(part.size, part.cases)))
        return None if ends is None else list(ends)
    whole = share(Draws(np.ones((1, units)), np.unique(part.cases, return_inverse=True)[1]))[0]
    low, high = jackknife_interval(whole, share(without_each(part.cases)), 0.0, 1.0)
    return None if np.isnan(low) else [float(low), float(high)]


def _points(test: _Part, temperature: float | None) -> dict[str, list[float]]:
    coverage, risk = metrics.risk_coverage(test.correct, test.sure(temperature))
    chosen = np.unique(np.linspace(1, len(coverage), POINTS + 1).round().astype(int)[1:] - 1)
    return {"coverage": coverage[chosen].tolist(), "error": risk[chosen].tolist()}


def _sets(
    validation: _Part, test: _Part, trained: Collection[str] | None
) -> tuple[dict[str, Any] | None, str]:
    """Sets at `conformal.LEVEL`, of the network's own probabilities; or why there are none."""
    needed = conformal.needed_patients()
    if not validation.size:
        return None, "no validation images"
    if validation.cases is None or trained is None or "" in trained:
        return None, "patients are not known"
    names = set(validation.cases.tolist())
    if shared := len(names & set(trained)):
        return None, f"{shared} of {len(names)} validation patients were trained on"
    if len(names) < needed:
        return None, (
            f"validation images are of {len(names)} patients, and {100 * conformal.LEVEL:g} % can "
            f"be promised with {needed} or more"
        )
    # Not of calibrated probabilities: the temperature has seen the same images.
    scores = conformal.lac_scores(validation.labels, validation.values)
    limit = conformal.quantile(scores, validation.cases)
    if limit is None:
        raise AssertionError("as many patients as needed, and no quantile")
    inside = conformal.prediction_sets(test.values, limit)
    held = inside[np.arange(test.size), test.labels].astype(float)
    sizes = inside.sum(axis=1)
    per_patient, ends = None, None
    if test.cases is not None:
        place = np.unique(test.cases, return_inverse=True)[1]
        own = np.bincount(place, weights=held) / np.bincount(place)
        per_patient = float(own.mean())
        ends = _interval(test, lambda draws: mean_of_units(held, draws))
    return {
        "level": conformal.LEVEL,
        "method": METHOD,
        "needed_patients": needed,
        "n_patients": len(names),
        "limit": limit,
        "coverage": per_patient,
        "coverage_ci": ends,
        "coverage_of_images": float(held.mean()),
        "mean_size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
        "empty": float((sizes == 0).mean()),
    }, ""


def _patients(
    validation: _Part,
    test: _Part,
    temperature: float | None,
    classes: Sequence[str],
    positive: str | None,
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """How many patients are right by the mean and by the vote of their images."""
    if test.cases is None:
        return None, {"patients": "patients are not known"}
    table = _table(test, temperature)
    clear = table.labels >= 0
    if not clear.any():
        return None, {"patients": "each patient has images of several classes"}
    truth = table.labels[clear]
    found: dict[str, Any] = {
        "n": int(clear.sum()),
        "mixed": int((~clear).sum()),
        "mean": _share(table.by_mean[clear] == truth),
        "vote": _share(table.by_vote[clear] == truth),
        "threshold": None,
    }
    if positive is None or len(classes) != 2:
        return found, {}
    number = list(classes).index(positive)
    chosen, why = _threshold(validation, temperature, number)
    if chosen is None:
        return found, {"patients.threshold": why}
    called = table.mean[clear, number] >= chosen
    found["threshold"] = {"value": chosen} | _share(called == (truth == number))
    return found, {}


def _threshold(part: _Part, temperature: float | None, number: int) -> tuple[float | None, str]:
    if not part.size:
        return None, "no validation images"
    if part.cases is None:
        return None, "validation patients are not known"
    table = _table(part, temperature)
    clear = table.labels >= 0
    chosen = threshold(table.labels[clear] == number, table.mean[clear, number])
    return chosen, "" if chosen is not None else "validation patients are all of one class"


def _table(part: _Part, temperature: float | None) -> Patients:
    if part.cases is None:
        raise ValueError("patients are not known")
    return by_patient(part.labels, apply_temperature(part.values, temperature), part.cases)


def _share(right: np.ndarray) -> dict[str, Any]:
    """Patients are independent, so that their number is what Clopper and Pearson ask for."""
    k, n = int(right.sum()), len(right)
    return {"correct": k, "accuracy": k / n, "accuracy_ci": list(metrics.clopper_pearson(k, n))}
