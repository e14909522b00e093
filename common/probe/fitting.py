"""A linear probe and a nearest-neighbour probe, fitted and judged on different patients.

In each of k folds one fold is judged, the next one chooses the strength (L2, or the number of
neighbours), and the others are fitted on; with the strength chosen, the probe is fitted to both.
Where the images have parts, these take the place of the folds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from common import predictions, splits, terminal
from common.errors import InputError, listed, many

if TYPE_CHECKING:
    import pandas as pd

STRENGTHS = tuple(10.0**i for i in range(-6, 4))
"""Inverse strengths of the L2 penalty, scikit-learn's C, from which the linear probe chooses."""

NEIGHBOURS = (1, 3, 5, 10, 20, 50)
"""Numbers of neighbours from which the other one chooses."""

_STEPS = 5000
_LEAST = 0.01  # probability in the loss that a strength is chosen by

Probe = Callable[[np.ndarray, np.ndarray, np.ndarray, float, int], np.ndarray]
"""Features and class numbers that are fitted to, features that are asked about, strength, number
of classes; gives probabilities."""


class Probed(NamedTuple):
    """What a probe says."""

    predictions: pd.DataFrame
    """As in predictions.csv; all rows are of the part test."""
    chosen: list[float]
    """The strength of each fold."""


def linear(
    known: np.ndarray, labels: np.ndarray, asked: np.ndarray, strength: float, n_classes: int
) -> np.ndarray:
    """Multinomial logistic regression on standardised features, classes weighing the same.

    With few patients the shares of the classes differ between folds, and what is left out of the
    fit is more frequent in what is judged: unweighted, a probe that has learnt nothing but these
    shares is worse than chance.

    Parameters
    ----------
    known : float array (n, D)
        Features that are fitted to.
    labels : int array (n,)
        Their class numbers, two different ones at least.
    asked : float array (m, D)
        Features that are asked about.
    strength : float
        scikit-learn's C: the inverse of the L2 penalty.
    n_classes : int
        Number of classes, those without an example among them.

    Returns
    -------
    float64 array (m, n_classes)
        Probabilities; 0 for a class without an example.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(known)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_STEPS)
    with warnings.catch_warnings():
        # Of separable features the weakest penalties end at the last step, and are not chosen.
        warnings.simplefilter("ignore")
        model.fit(scaler.transform(known), labels)
    found = np.zeros((len(asked), n_classes))
    found[:, model.classes_] = model.predict_proba(scaler.transform(asked))
    return found


def nearest(
    known: np.ndarray, labels: np.ndarray, asked: np.ndarray, strength: float, n_classes: int
) -> np.ndarray:
    """Classes of the nearest neighbours by the cosine, a rare class weighing more.

    Parameters
    ----------
    known : float array (n, D)
        Features of the neighbours.
    labels : int array (n,)
        Their class numbers.
    asked : float array (m, D)
        Features that are asked about.
    strength : float
        Number of neighbours; all where there are fewer.
    n_classes : int
        Number of classes.

    Returns
    -------
    float64 array (m, n_classes)
        Shares of the neighbours, each divided by the share of its class among all, made to add up
        to 1.
    """
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(int(strength), len(known)), metric="cosine")
    model.fit(known, labels)
    found = np.zeros((len(asked), n_classes))
    shares = np.bincount(labels, minlength=n_classes)[model.classes_]
    votes = model.predict_proba(asked) / shares
    found[:, model.classes_] = votes / votes.sum(axis=1, keepdims=True)
    return found


PROBES: dict[str, tuple[Probe, Sequence[float]]] = {
    "linear": (linear, STRENGTHS),
    "nearest neighbours": (nearest, NEIGHBOURS),
}
"""What is fitted, and the strengths that it chooses from."""


def probe(
    features: np.ndarray,
    table: pd.DataFrame,
    classes: Sequence[str],
    kind: str,
    *,
    folds: int = 5,
    seed: int = 0,
    divided: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]] = (),
) -> Probed:
    """Fit a probe fold by fold, or on parts, and judge it on images of other patients.

    Parameters
    ----------
    features : float array (n, D)
        One row an image.
    table : DataFrame
        Of the same images, as `of_source` gives it.
    classes : sequence of str
        Class names in order.
    kind : {"linear", "nearest neighbours"}
        A key of `PROBES`.
    folds : int
        How many, at least 3; of no meaning where the images have parts.
    seed : int
        Of the folds.
    divided : sequence of (train, validation, test), optional
        What `divisions` gives; by default it is asked.

    Returns
    -------
    Probed

    Raises
    ------
    InputError
        If there are too few patients for the folds, or all images that are fitted to are of one
        class.
    """
    fit, strengths = PROBES[kind]
    labels = predictions.labels(table, classes)
    values = np.full((len(table), len(classes)), np.nan)
    chosen = []
    for train, validation, test in divided or divisions(table, folds, seed):
        if len(np.unique(labels[train])) < 2:
            raise InputError("a probe is fitted to images of one class; take fewer folds, or more "
                             "patients of the other classes")  # fmt: skip
        losses = [
            _loss(
                labels[validation],
                fit(features[train], labels[train], features[validation], each, len(classes)),
            )
            for each in strengths
        ]
        best = strengths[int(np.argmin(losses))]
        both = train | validation
        values[test] = fit(features[both], labels[both], features[test], best, len(classes))
        chosen.append(float(best))
    judged = ~np.isnan(values).any(axis=1)
    rows = table[judged].assign(part="test")
    return Probed(predictions.table(rows, values[judged], classes), chosen)


def _loss(labels: np.ndarray, values: np.ndarray) -> float:
    """Log loss, each class weighing the same; neighbours that are all wrong cost no infinity."""
    true = np.log(np.maximum(values[np.arange(len(labels)), labels], _LEAST))
    return float(np.mean([-true[labels == each].mean() for each in np.unique(labels)]))


def _warn_of_shared(split: pd.DataFrame) -> None:
    """Say which patients lie in two parts that others have made, or that it is not known."""
    shared = splits.shared_groups(split, "case")
    if shared:
        names = listed(f"{name} ({' and '.join(parts)})" for name, parts in shared.items())
        terminal.line(
            f"warning: {many(len(shared), 'patient lies', 'patients lie')} in more than one "
            "part, so images of one patient "
            f"may be fitted to and judged: {names}",
            always=True,
        )
    unknown = int((split["case"] == "").sum())
    if unknown:
        terminal.line(
            f"warning: the patients of {unknown} of {len(split)} images are unknown, so images of "
            "one patient may be fitted to and judged",
            always=True,
        )


def divisions(
    table: pd.DataFrame, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Say which images are fitted to, which choose and which are judged, once for each fold.

    Parameters
    ----------
    table : DataFrame
        As `of_source` gives it.
    folds : int
        At least 3.
    seed : int
        Of the folds.

    Returns
    -------
    list of (train, validation, test)
        Each a bool array (n,).

    Raises
    ------
    InputError
        If a part is missing, or there are too few patients.
    """
    parts = table["part"].to_numpy(str)
    if (parts != "").any():
        found = tuple(parts == name for name in splits.PARTS)
        empty = [name for name, rows in zip(splits.PARTS, found, strict=True) if not rows.any()]
        if empty:
            raise InputError(
                f"no image has the part {' or '.join(empty)}; a probe needs all three, or no parts"
            )
        _warn_of_shared(table[parts != ""])
        train, validation, test = found
        return [(train, validation, test)]
    if folds < 3:
        raise InputError(f"--folds {folds}: three or more: one is judged, one chooses")
    known = table["case"] != ""
    by_patient = bool(known.any())
    if not by_patient:
        terminal.line(
            "warning: patients are unknown, so images of one patient may be fitted to and judged",
            always=True,
        )
    elif not known.all():
        terminal.line(
            f"warning: the patients of {int((~known).sum())} of {len(known)} images are unknown: "
            "these stay together in one fold, and a known patient's may be among them",
            always=True,
        )
    number = splits.k_folds(
        splits.unknown_together(table) if by_patient else table, folds, seed=seed,
        group="case" if by_patient else None, stratify=not by_patient,
    )  # fmt: skip
    return [
        (
            (number != fold) & (number != (fold + 1) % folds),
            number == (fold + 1) % folds,
            number == fold,
        )
        for fold in range(folds)
    ]
