"""Two runs on the same images: which is better, and by how much."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import InputError
from common.metrics import shown
from common.metrics.arguments import columns, whole
from common.metrics.groups import half_known, known, without_name
from common.metrics.intervals import REPLICATES, percentile_interval, resample
from common.metrics.jackknife import MOST_UNITS, jackknife_interval, without_each
from common.predictions import COLUMNS, classes_of, column, correct, of_part

if TYPE_CHECKING:
    import pandas as pd


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

    Raises
    ------
    ValueError
        Unless both are whole and not negative.
    """
    only_a, only_b = whole(only_a, 0, "only_a"), whole(only_b, 0, "only_b")
    n = only_a + only_b
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
    replicates : int
        Bootstrap samples, where patients are not known.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``n, n_patients, accuracy_a, accuracy_b, difference`` (a - b), ``difference_ci`` (paired,
        over ``ci_unit``, by ``ci_method``: "jackknife" over patients, "bootstrap" over images; None
        without a single differing image, or with one patient), ``both_right, only_a, only_b,
        both_wrong, mcnemar_p``.

    Raises
    ------
    InputError
        If the two were not tested on the same images, or one of them has an image twice.
    ValueError
        If a table lacks a column, or holds a probability that is not finite.
    """
    replicates, seed = whole(replicates, 1, "replicates"), whole(seed, 0, "seed")
    a, b = _paired(predictions_a, predictions_b, part)
    right_a, right_b = correct(a), correct(b)
    cases = known(a["case"].to_numpy())
    n_patients = None if cases is None else len(np.unique(cases))
    difference = right_a.astype(int) - right_b.astype(int)
    interval = difference_interval(difference, cases, replicates=replicates, seed=seed)
    only_a, only_b = int((difference > 0).sum()), int((difference < 0).sum())
    return {
        "n": len(a),
        "n_patients": n_patients,
        **half_known(without_name(a["case"].to_numpy())),
        "accuracy_a": float(right_a.mean()),
        "accuracy_b": float(right_b.mean()),
        "difference": float(difference.mean()),
        "difference_ci": None if interval is None else list(interval),
        "ci_unit": "image" if cases is None else "patient",
        "ci_method": _method(n_patients),
        "both_right": int((right_a & right_b).sum()),
        "only_a": only_a,
        "only_b": only_b,
        "both_wrong": int((~right_a & ~right_b).sum()),
        "mcnemar_p": mcnemar(only_a, only_b),
    }


def difference_interval(
    gain: np.ndarray,
    cases: np.ndarray | None = None,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Interval of the mean of what one way of judging gains over another, image by image.

    Parameters
    ----------
    gain : array (n,)
        Of each image, in [-1, 1]: 1 where only the first way is right, -1 where only the second.
    cases : str array (n,), optional
        Patient of each image: each is left out once. Without them, images are drawn.
    replicates, seed : int
        Of the bootstrap, without patients.

    Returns
    -------
    (low, high), or None
        None with a single patient, or where nothing varies.

    Raises
    ------
    ValueError
        If the lengths differ, or there is no image.
    """
    each = np.stack([np.asarray(gain, np.float64), np.ones(len(gain))], axis=1)
    patients = None if cases is None else len(np.unique(cases))
    if cases is None or _method(patients) == "bootstrap":
        sums = resample(each, cases, replicates=replicates, seed=seed)
        return percentile_interval(sums[:, 0] / sums[:, 1])
    if patients == 1:
        return None
    sums, total = without_each(cases).sums(each), each.sum(axis=0)
    low, high = jackknife_interval(total[0] / total[1], sums[:, 0] / sums[:, 1], -1, 1)
    return None if np.isnan(low) else (float(low), float(high))


def _method(patients: int | None) -> str:
    return "bootstrap" if patients is None or patients > MOST_UNITS else "jackknife"


def _paired(
    predictions_a: pd.DataFrame, predictions_b: pd.DataFrame, part: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One part of both, in the same order of images."""
    frames = []
    for name, argument, frame in (
        ("first", "predictions_a", predictions_a),
        ("second", "predictions_b", predictions_b),
    ):
        columns(frame, COLUMNS, argument)
        if not classes_of(frame):
            raise ValueError(f"{argument}: the column {column('<class>')} is missing")
        columns(frame, [column(each) for each in classes_of(frame)], argument)
        chosen = of_part(frame, part).set_index("image").sort_index()
        if chosen.empty:
            raise InputError(f"the {name} run has no predictions for the {part} part")
        if not chosen.index.is_unique:
            twice = chosen.index[chosen.index.duplicated()][0]
            raise InputError(f"the {name} run has predictions of {twice} twice ({argument})")
        frames.append(chosen)
    a, b = frames
    if not a.index.equals(b.index):
        raise InputError(
            f"the two runs have different {part} images ({len(a.index.difference(b.index))} only "
            f"in the first, {len(b.index.difference(a.index))} only in the second): compare runs "
            "that share split and split seed"
        )
    return a, b


def text(a: str, b: str, result: dict[str, Any]) -> str:
    """Lay out what `compare` found for a terminal.

    Parameters
    ----------
    a, b : str
        What to call the two runs.
    result : dict
        From `compare`.

    Returns
    -------
    str
        Several lines.
    """
    points = 100 * result["difference"]
    lines = [
        f"a  {a}",
        f"b  {b}",
        f"images     {result['n']}, patients {result['n_patients'] or 'unknown'}",
        f"accuracy   a {100 * result['accuracy_a']:.2f} %   b {100 * result['accuracy_b']:.2f} %",
    ]
    if result["difference_ci"] is None:
        why = "one patient" if result["n_patients"] == 1 else "every image counts the same"
        lines.append(f"a - b      {points:+.2f} points, no interval ({why})")
    else:
        low, high = (100 * value for value in result["difference_ci"])
        lines.append(
            f"a - b      {points:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f} "
            f"(paired {result['ci_method']} over {result['ci_unit']}s)"
        )
    if half := shown.half_known(result):
        lines.append(f"note       {half}")
    lines += [
        f"right      both {result['both_right']}   only a {result['only_a']}   "
        f"only b {result['only_b']}   neither {result['both_wrong']}",
        f"McNemar    p = {result['mcnemar_p']:.3g} (exact, two-sided; images taken as independent)",
    ]
    return "\n".join(lines)
