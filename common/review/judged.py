"""What predictions are worth: scores with intervals, calibration, what another model must beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from common import metrics
from common.errors import listed
from common.metrics import shown
from common.review.finding import Finding, many, of_all
from common.review.predicted import Predictions

SATURATED = 0.9999
"""Networks give a probability above it to many images alike; equal ones then show nothing."""

DIGITS = 5
"""Decimals that equal probabilities must have at least to be striking."""

SURE = 3.29
"""Standard deviations beyond which nothing is taken for chance: one in a thousand."""


@dataclass
class Judged:
    """Scores of predictions.

    Attributes
    ----------
    metrics : dict
        As `metrics.compute` gives them, from the predicted classes.
    of_probabilities : dict or None
        The same from the probabilities, where every row is a distribution.
    patients : bool
        Whether intervals are over patients.
    resolvable : float or None
        The smallest difference of two accuracies that this test set shows.
    found : list of Finding
    """

    metrics: dict[str, Any]
    of_probabilities: dict[str, Any] | None
    patients: bool
    resolvable: float | None
    found: list[Finding]

    def scores(self) -> list[shown.Shown]:
        """Scores that are shown: of the predicted classes, then of the probabilities."""
        counted = [each for each in shown.of_test(self.metrics) if _is_counted(each)]
        others = [] if self.of_probabilities is None else shown.of_test(self.of_probabilities)
        return counted + [each for each in others if not _is_counted(each)]


def judge(given: Predictions) -> Judged:
    """Work out the scores of predictions, and what is odd about them.

    Parameters
    ----------
    given : Predictions

    Returns
    -------
    Judged
    """
    frame = given.frame
    cases = frame["case"].to_numpy(str)
    known = bool((cases != "").all())
    magnifications = frame["magnification"].to_numpy(str)
    options: dict[str, Any] = {
        "cases": cases if known else None,
        "magnifications": magnifications if (magnifications != "").all() else None,
        "positive": given.positive,
    }
    labels, predicted = given.labels, given.predicted
    hard = np.eye(len(given.classes))[predicted]
    counted = metrics.compute(labels, hard, given.classes, **options)
    soft = None
    if given.proper and given.scores is not None:
        soft = metrics.compute(labels, given.scores, given.classes, **options)
    found = [*_twice(given), *_exchanged(given, counted, options["cases"])]
    found += [*_guessing(given, counted), *_alike(given), *_patients(given, cases)]
    if soft is not None and given.scores is not None:
        found += _calibration(given, soft)
    resolved = resolvable(predicted == labels, cases if known else None)
    return Judged(counted, soft, known, resolved, found)


def resolvable(correct: np.ndarray, cases: np.ndarray | None = None) -> float | None:
    """Give the smallest difference of two accuracies that a test set shows.

    Two systems of about this accuracy whose mistakes have nothing to do with each other differ by
    chance by up to so much in 95 of 100 test sets of this size. Systems that make the same mistakes
    are told apart sooner, by a paired comparison, which takes the predictions of both.

    Parameters
    ----------
    correct : bool array (n,)
        Which images are right.
    cases : str array (n,), optional
        Patients; the spread is then that of patients.

    Returns
    -------
    float or None
        A fraction; None with fewer than two patients.
    """
    n = len(correct)
    # Two more right and two more wrong ones: without a mistake there would be no spread.
    share = (correct.sum() + 2) / (n + 4)
    spread = math.sqrt(share * (1 - share) / n)
    if cases is not None:
        units, place = np.unique(cases, return_inverse=True)
        if len(units) < 2:
            return None
        off = np.bincount(place, weights=correct - correct.mean())
        clustered = math.sqrt(len(units) / (len(units) - 1) * float(off @ off)) / n
        spread = max(spread, clustered)
    return 1.96 * math.sqrt(2) * spread


def _is_counted(each: shown.Shown) -> bool:
    score = each.score
    of_images = score.from_images is not None and score.applies == "always"
    return score.from_counts is None and not of_images


def _twice(given: Predictions) -> list[Finding]:
    """Images that stand there twice, and lines that do."""
    frame = given.frame
    named = frame[frame["image"] != ""]
    twice = named[named["image"].duplicated(keep=False)]
    if twice.empty:
        return []
    images = twice["image"].unique()
    labels = twice.groupby("image")["label"].nunique()
    more = f", {many(int((labels > 1).sum()), 'image')} with different labels" * bool(
        (labels > 1).any()
    )
    return [
        Finding(
            "wrong", "predictions", "an image twice",
            f"{many(len(images), 'image')} of {named['image'].nunique()} stand there more than "
            f"once{more}", listed(images),
            "Why are some images tested on more than once?",
        )
    ]  # fmt: skip


def _exchanged(
    given: Predictions, counted: dict[str, Any], cases: np.ndarray | None
) -> list[Finding]:
    """Pairs of classes of which more images are predicted as the other than as themselves."""
    matrix = np.array(counted["confusion_matrix"])
    found = []
    for i in range(len(matrix)):
        for j in range(i):
            right, wrong = matrix[i, i] + matrix[j, j], matrix[i, j] + matrix[j, i]
            total = right + wrong
            apart = matrix[i, i] < matrix[i, j] and matrix[j, j] < matrix[j, i]
            if apart and right < total / 2 - SURE * math.sqrt(total) / 2:
                first, second = given.classes[j], given.classes[i]
                sure = _below_half(given, (j, i), cases)
                if sure:
                    why = "labels or columns of the two are exchanged"
                elif cases is None:
                    why = "labels or columns of the two may be exchanged, or the images be of few "
                    why += "patients, who are not told"
                else:
                    why = "labels or columns of the two may be exchanged; so few patients may also "
                    why += "give it by chance"
                found.append(
                    Finding(
                        "wrong" if sure else "doubt", "predictions", "classes exchanged",
                        f"of {many(int(total), 'image')} of {first} and {second} that are "
                        f"predicted as one of the two only {right} are right, fewer than by "
                        f"guessing: {why}",
                        f"{first}: {matrix[j, j]} right, {matrix[j, i]} as {second}; {second}: "
                        f"{matrix[i, i]} right, {matrix[i, j]} as {first}",
                        f"Are {first} and {second} exchanged in the labels, or in the predictions?",
                    )
                )  # fmt: skip
    return found


def _below_half(given: Predictions, pair: tuple[int, int], cases: np.ndarray | None) -> bool:
    """Whether predictions as one of two classes are right for less than half, over patients."""
    if cases is None:
        return False
    rows = np.isin(given.labels, pair) & np.isin(given.predicted, pair)
    labels, predicted = ((values[rows] == pair[1]) for values in (given.labels, given.predicted))
    names = [given.classes[k] for k in pair]
    hard = np.eye(2)[predicted.astype(int)]
    scores = metrics.compute(labels.astype(int), hard, names, cases=cases[rows])
    if scores["accuracy_ci"] is None:
        return False
    share, high = scores["accuracy"], scores["accuracy_ci"][1]
    # At SURE deviations: of few patients one probe in forty lies below the usual interval.
    return bool(share + SURE / 1.96 * (high - share) < 0.5)


def _guessing(given: Predictions, counted: dict[str, Any]) -> list[Finding]:
    """Predictions of one class alone, and accuracies that always saying one class has too."""
    said = given.frame["predicted"].unique()
    support = counted["support"]
    commonest = max(support, key=support.get)
    share = support[commonest] / counted["n"]
    if len(said) == 1 and len([n for n in support.values() if n]) > 1:
        return [
            Finding("wrong", "predictions", "one class alone",
                    f"every image ({counted['n']}) is predicted as {said[0]}", "",
                    "Why is one class alone predicted?")
        ]  # fmt: skip
    low = (counted["accuracy_ci"] or [0.0])[0]  # without an interval nothing is certain
    present = [name for name, n in support.items() if n]
    if len(present) == 1:
        return [
            Finding("doubt", "predictions", "one class alone",
                    f"every image ({counted['n']}) is of {present[0]}: nothing is told about "
                    "others",
                    "", "Which images of other classes were tested on?")
        ]  # fmt: skip
    if low <= share:
        return [
            Finding("doubt", "predictions", "no better than one class",
                    f"always saying {commonest} is right for {100 * share:.2f} % of the images, "
                    f"and the accuracy of {100 * counted['accuracy']:.2f} % is not above that for "
                    "certain", "", "What is gained over always saying the commonest class?")
        ]  # fmt: skip
    return []


def _alike(given: Predictions) -> list[Finding]:
    """Rows of equal probabilities to many digits: copies, or the same image under two names."""
    if given.scores is None:
        return []
    scores = np.where(np.isfinite(given.scores), given.scores, 1.0)
    if len(scores) > 1 and (scores == scores[0]).all():
        return [
            Finding("wrong", "predictions", "the same for every image",
                    f"all {len(scores)} images have the same probabilities", "",
                    "Why does every image have the same probabilities?")
        ]  # fmt: skip
    digits = np.round(scores, DIGITS - 1)
    fine = (np.abs(scores - digits).max(axis=1) > 0) & (scores.max(axis=1) < SATURATED)
    _, place, counts = np.unique(scores[fine], axis=0, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    rows = np.flatnonzero(fine)[counts[place] > 1]
    named = given.frame["image"].to_numpy(str)
    if given.frame["image"].duplicated().any():
        # An image that stands there twice is told on its own.
        names, times = np.unique(named, return_counts=True)
        once = set(names[times == 1])
        rows = np.array([row for row in rows if named[row] in once or not named[row]], int)
    if len(rows) < 2:
        return []
    return [
        Finding(
            "doubt", "predictions", "equal probabilities",
            f"{of_all(len(rows), len(scores))} have exactly the probabilities of another one: they "
            "may be copies", listed(named[row] or f"row {row + 1}" for row in rows),
            "Are some test images copies of others?",
        )
    ]  # fmt: skip


def _patients(given: Predictions, cases: np.ndarray) -> list[Finding]:
    found: list[Finding] = []
    if not (cases != "").all():
        unknown = int((cases == "").sum())
        found.append(
            Finding(
                "doubt", "predictions", "patients unknown",
                f"the patients of {of_all(unknown, len(cases))} are not told: intervals are over "
                "images, and too narrow where a patient has several", "",
                "From how many patients are the test images, and which image is of which?",
            )
        )  # fmt: skip
        return found
    frame = given.frame.assign(case=cases)
    per_class = frame.groupby("label")["case"].nunique()
    few = {name: int(n) for name, n in per_class.items() if n < 2}
    if few:
        found.append(
            Finding(
                "doubt", "predictions", "a single patient",
                f"a single patient stands for {listed(few)}: scores of it have no interval", "",
                f"How far do results of one patient hold for others ({listed(few)})?",
            )
        )  # fmt: skip
    mixed = frame.groupby("case")["label"].nunique()
    mixed = mixed[mixed > 1]
    if len(mixed):
        found.append(
            Finding(
                "told", "predictions", "patients of two classes",
                f"{many(len(mixed), 'patient')} of {len(frame['case'].unique())} have images of "
                "more than one class", listed(map(str, mixed.index)),
            )
        )  # fmt: skip
    return found


def _calibration(given: Predictions, soft: dict[str, Any]) -> list[Finding]:
    assert given.scores is not None
    top = given.scores.max(axis=1)
    if (top == 1).all():
        return [
            Finding("doubt", "predictions", "no probabilities",
                    "every probability is 0 or 1: calibration and ROC curves say nothing", "",
                    "What are the probabilities before they were rounded?")
        ]  # fmt: skip
    if soft["accuracy_ci"] is None:
        return []
    low, high = soft["accuracy_ci"]
    gap = float(top.mean()) - soft["accuracy"]
    # The interval at SURE deviations in place of 1.96: one in twenty clean files would be doubted.
    wide = SURE / 1.96
    if not wide * (low - soft["accuracy"]) <= gap <= wide * (high - soft["accuracy"]):
        how = "surer than it is right" if gap > 0 else "less sure than it is right"
        return [
            Finding("doubt", "predictions", "calibration",
                    f"the model is {how}: on average {100 * top.mean():.1f} % sure and "
                    f"{100 * soft['accuracy']:.1f} % right "
                    f"({100 * low:.1f} to {100 * high:.1f})", "",
                    "Are the probabilities calibrated, and on which images?")
        ]  # fmt: skip
    return []
