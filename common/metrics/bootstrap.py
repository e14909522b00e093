"""Intervals of every score of a test set, and why one has none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.metrics import catalogue
from common.metrics.catalogue import class_scores
from common.metrics.counts import macro, one_vs_rest
from common.metrics.ground import CONSTANT, NEARLY, NEEDED, STILL, UNMOVED, Ground
from common.metrics.intervals import (
    NOISE,
    clopper_pearson,
    draw,
    percentile_interval,
    resample,
)
from common.metrics.jackknife import MOST_UNITS, jackknife_interval, without_each
from common.metrics.score import Counts, Images, Score


@dataclass
class Found:
    """What samples of a test set tell: one without each patient, or the bootstrap's.

    Attributes
    ----------
    intervals : dict
        Path of a score in metrics.json to its interval, None without one.
    reasons : dict
        Path to why the score, or its interval, is missing.
    used : dict
        Path to the samples that were left, where some lacked what the score rests on.
    method : str or None
        Of the accuracy's interval: "jackknife", "bootstrap", "clopper-pearson", or None without.
    samples : str
        "jackknife" or "bootstrap": of all other intervals.
    """

    intervals: dict[str, list[float] | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    method: str | None = None
    samples: str = "bootstrap"


def values_of(counts: Counts, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Every score that counts are enough for, by its path in metrics.json.

    Parameters
    ----------
    counts : Counts
        Of a test set, or of many samples of it.
    classes : sequence of str
        K class names.

    Returns
    -------
    dict of float64 arrays
        Each of the counts' leading shape; NaN where a score is not defined.
    """
    by_class = class_scores(counts.matrix)
    values: dict[str, np.ndarray] = {}
    for path, score, number in _entries(classes):
        if number is not None:
            values[path] = by_class[score.key][..., number]
        elif score.mean_of is not None:
            values[path] = macro(by_class[score.mean_of], counts.matrix)
        elif score.from_matrix is not None:
            values[path] = score.from_matrix(counts.matrix)
        elif score.from_counts is not None:
            values[path] = score.from_counts(counts)
    return values


def intervals_of(
    images: Images,
    half: np.ndarray,
    values: dict[str, np.ndarray],
    ground: Ground,
    *,
    replicates: int,
    seed: int,
) -> Found:
    """Intervals of all scores that have one.

    Parameters
    ----------
    images : Images
        A test set.
    half : int array (n, 2)
        From `above_half`.
    values : dict
        From `values_of`, of the test set.
    ground : Ground
        What its scores rest on.
    replicates : int
        Bootstrap samples.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Found
        Over patients where they are known, by leaving each of them out, else over images, by the
        bootstrap. Where no sample changes it, Clopper and Pearson's interval is that of the
        accuracy, and over images that of every share of them.
    """
    leaves = images.cases is not None and 2 <= ground.total <= MOST_UNITS
    found = Found(samples="jackknife" if leaves else "bootstrap")
    counts = _samples(images, half, leaves, replicates, seed)
    sampled, present = values_of(counts, ground.names), counts.matrix.sum(axis=-1)
    shares = _shares(Counts(images.matrix, *half.sum(axis=0)), ground.names)
    out_of = {path: n for path, (_, n) in _shares(counts, ground.names).items()}
    images = _sorted(images)
    if leaves and images.cases is not None:
        draws = without_each(images.cases)
    else:
        draws = draw(len(images.labels), images.cases, replicates=replicates, seed=seed)
    for path, score, number in _entries(ground.names):
        drawn = sampled.get(path)
        value = None if path not in values else float(values[path])
        if score.from_draws is not None and score.from_images is not None:
            if score.applies == "patients" and images.cases is None:
                continue
            if score.applies == "folders" and images.folders is None:
                continue
            drawn = score.from_draws(images, draws)
            value = score.from_images(images)
        if drawn is not None:
            held = ground.held(score.rests_on, present, number)
            if path in shares and shares[path][1] > 0:  # 0/0 of a sample says nothing of its share
                held = held & (out_of[path] > 0)
            known = value is not None and not np.isnan(value)
            reason = "" if known else ground.missing(score.rests_on, number)
            reason = reason or ground.lone(score.rests_on, number)
            if score.applies == "folders" and images.cases is None:
                reason = reason or "patients unknown"
            drawn = np.where(held, drawn, np.nan)
            if leaves:
                _add_left_out(found, path, score, value, drawn, reason)
            else:
                _add(found, path, score, drawn, reason)
    still = found.reasons.get("accuracy") in STILL
    found.method = "clopper-pearson" if still else found.samples
    if still:
        # All right, all wrong, or the same share of every patient: patients are the trials.
        shares["accuracy"] = (float(values["accuracy"]) * ground.total, ground.total)
    for path, (k, n) in shares.items():
        exact = ground.unit == "image" or path == "accuracy"
        if exact and n > 0 and found.reasons.get(path) in STILL:
            found.intervals[path] = list(clopper_pearson(float(k), int(n)))
            del found.reasons[path]
    if found.intervals["accuracy"] is None:
        found.method = None
    _repeat(found, images, ground)
    return found


def _shares(counts: Counts, classes: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    """Both counts of every score that is a share of images, by its path."""
    of_class = one_vs_rest(counts.matrix)
    of_all = {
        "correct": np.trace(counts.matrix, axis1=-2, axis2=-1),
        "n": counts.matrix.sum(axis=(-2, -1)),
        "tp_at_half": counts.tp_at_half,
        "above_half": counts.above_half,
    }
    found = {}
    for path, score, number in _entries(classes):
        if score.share is not None and number is not None:
            k, rest = (of_class[name][..., number] for name in score.share)
            found[path] = k, k + rest
        elif score.k_of_n is not None:
            found[path] = of_all[score.k_of_n[0]], of_all[score.k_of_n[1]]
    return found


def _entries(classes: Sequence[str]) -> Iterator[tuple[str, Score, int | None]]:
    """Scores with their path and class, in the order that `intervals` has always had."""
    order = {score.key: place for place, score in enumerate(catalogue.PER_CLASS)}
    for _, scores in itertools.groupby(catalogue.SCORES, key=lambda score: bool(score.mean_of)):
        # Means stand in the order of the classes' scores, the others as they are.
        for score in sorted(scores, key=lambda score: order.get(str(score.mean_of), len(order))):
            yield score.key, score, None
    for number, name in enumerate(classes):
        for score in catalogue.PER_CLASS:
            yield f"per_class.{name}.{score.key}", score, number


def _samples(images: Images, half: np.ndarray, leaves: bool, replicates: int, seed: int) -> Counts:
    """Counts of samples: each image adds a cell of the matrix, and its `above_half`."""
    n, n_classes = images.probabilities.shape
    cells = np.zeros((n, n_classes**2))
    cells[np.arange(n), images.labels * n_classes + images.predicted] = 1
    each = np.hstack([cells, half])
    if leaves and images.cases is not None:
        sums = without_each(images.cases).sums(each)
    else:
        sums = resample(each, images.cases, replicates=replicates, seed=seed)
    # In one piece: every score passes over it several times.
    matrix = np.ascontiguousarray(sums[:, :-2]).reshape(-1, n_classes, n_classes)
    return Counts(matrix, sums[:, -2], sums[:, -1])


def _sorted(images: Images) -> Images:
    """The images in an order that does not depend on theirs: so do no draw and no rounding."""
    order = np.lexsort((*images.probabilities.T, images.labels))
    return images._replace(
        labels=images.labels[order],
        probabilities=images.probabilities[order],
        predicted=images.predicted[order],
        correct=images.correct[order],
        cases=None if images.cases is None else images.cases[order],
        folders=None if images.folders is None else images.folders[order],
    )


def _add(found: Found, path: str, score: Score, drawn: np.ndarray, reason: str) -> None:
    """Add a score's interval; its reason, if it has none; the samples, if some were left out."""
    interval = None if reason else percentile_interval(drawn)
    if interval is None:
        found.intervals[path] = None
        varies = np.isfinite(drawn).any() and np.nanmax(drawn) - np.nanmin(drawn) > NOISE
        found.reasons[path] = reason or (NEARLY if varies else CONSTANT)
        return
    # Rounding may leave the range.
    found.intervals[path] = [max(interval[0], score.lowest), min(interval[1], score.highest)]
    if np.isnan(drawn).any():
        found.used[path] = int((~np.isnan(drawn)).sum())


def _add_left_out(
    found: Found, path: str, score: Score, value: float | None, without: np.ndarray, reason: str
) -> None:
    """Add a score's interval by how each patient moves it; its reason, if it has none."""
    if not reason and np.isnan(without).any():
        reason = NEEDED
    ends = None
    if value is not None and not reason:
        low, high = map(float, jackknife_interval(value, without, score.lowest, score.highest))
        ends = None if np.isnan(low) else [low, min(high, score.most)]
    found.intervals[path] = ends
    if ends is None:
        found.reasons[path] = reason or UNMOVED


def _repeat(found: Found, images: Images, ground: Ground) -> None:
    """Tell of a score that is another one what is told of that."""
    if images.positive is None or len(ground.names) != 2:
        return
    for score in catalogue.SCORES:
        if score.interval is None:
            continue
        path = score.interval.format(positive_class=ground.names[images.positive])
        told: tuple[dict[str, Any], ...] = (found.intervals, found.reasons, found.used)
        for each in told:
            if path in each:
                each[score.key] = each[path]
