"""What stands behind a number of metrics.json: value, counts, interval, or why it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.metrics import clopper_pearson, shown
from common.metrics.catalogue import PER_CLASS
from common.metrics.ground import STILL


def lookup(metrics: Mapping[str, Any], key: str) -> Any:
    """Value at a dotted path of metrics.json, or None.

    Parameters
    ----------
    metrics : mapping
        What metrics.json holds.
    key : str
        For example ``per_class.benign.precision``.

    Returns
    -------
    object
        A number, a part of the file, or None where the path leads nowhere.
    """
    value: Any = metrics
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def reason(metrics: Mapping[str, Any], key: str) -> str:
    """Say why a score of metrics.json, or its interval, is missing.

    Parameters
    ----------
    metrics : mapping
        What metrics.json holds.
    key : str
        As in `lookup`.

    Returns
    -------
    str
        "" where nothing is missing, or the file does not say why. Of a count that of its share.
    """
    section, rest = section_of(metrics, key)
    path, dot, name = rest.rpartition(".")
    told = section.get("reasons") or {}
    return str(told.get(rest) or told.get(f"{path}{dot}{_SHARES.get(name, name)}", ""))


def section_of(metrics: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], str]:
    """Split a key into the part of metrics.json it is about, and the rest of the path.

    Parameters
    ----------
    metrics : mapping
        What metrics.json holds.
    key : str
        As in `lookup`.

    Returns
    -------
    section : mapping
        The whole file, or a magnification; empty where there is none.
    rest : str
    """
    if key.startswith("by_magnification."):
        _, magnification, rest = key.split(".", 2)
        return lookup(metrics, f"by_magnification.{magnification}") or {}, rest
    return metrics, key


def counts_behind(metrics: Mapping[str, Any], key: str) -> tuple[int, int] | None:
    """Numerator and denominator of a score, where it is a share of images.

    Parameters
    ----------
    metrics : mapping
        What metrics.json holds.
    key : str
        As in `lookup`.

    Returns
    -------
    (int, int) or None
    """
    section, rest = section_of(metrics, key)
    return None if rest.rpartition(".")[2] in _SHARES else counts_of(section, rest)


def interval_behind(metrics: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    """95 % interval of a number of one run.

    Parameters
    ----------
    metrics : mapping
        What metrics.json holds.
    key : str
        As in `lookup`.

    Returns
    -------
    (low, high), or None
        That of metrics.json; where nothing moves the score, the exact one of the counts: over
        images or, of all images of known patients, over these; of a count that of its share, times
        the images that it is out of.
    """
    return _interval(*section_of(metrics, key))


_OF_CLASS = {
    **{score.key: score.share for score in PER_CLASS if score.share is not None},
    **{"tp": ("tp", "fn"), "fn": ("fn", "tp"), "fp": ("fp", "tn"), "tn": ("tn", "fp")},
}
"""Shares and counts of a class: the count above the line, and the other one below it."""

_SHARES = {"tp": "recall", "fn": "recall", "fp": "fpr", "tn": "fpr", "correct": "accuracy"}
"""Counts: the score whose interval theirs is; of ``fn`` and ``tn`` what it leaves of 1."""


def counts_of(section: Mapping[str, Any], rest: str) -> tuple[int, int] | None:
    """Numerator and denominator of a share of images; of a count, itself and what it is out of.

    Parameters
    ----------
    section : mapping
        From `section_of`.
    rest : str
        From `section_of`.

    Returns
    -------
    (int, int) or None
    """
    if rest in ("accuracy", "correct"):
        k, n = section.get("correct"), section.get("n")
    elif rest == "recall_micro_at_half":
        k, n = section.get("tp_at_half"), section.get("n")
    elif rest == "precision_micro_at_half":
        k, n = section.get("tp_at_half"), section.get("above_half")
    elif rest.startswith("per_class.") and rest.rpartition(".")[2] in _OF_CLASS:
        path, _, score = rest.rpartition(".")
        row = lookup(section, path) or {}
        k, other = (row.get(name) for name in _OF_CLASS[score])
        n = None if k is None or other is None else k + other
    else:
        return None
    return None if k is None or n is None else (k, n)


def _interval(section: Mapping[str, Any], rest: str) -> tuple[float, float] | None:
    """Interval of a number of one run, in its own unit."""
    path, _, name = rest.rpartition(".")
    counts = counts_of(section, rest)
    if name in _SHARES and counts is not None:
        share = f"{path}.{_SHARES[name]}" if path else _SHARES[name]
        pair = _interval(section, share)
        if pair is None:
            return None
        low, high = pair if name in ("tp", "fp", "correct") else (1 - pair[1], 1 - pair[0])
        return low * counts[1], high * counts[1]
    pair = shown.interval(section, rest)
    if pair is not None or (section.get("reasons") or {}).get(rest) not in STILL:
        return pair
    if name == "f1" and path.startswith("per_class."):
        # F1 = 2J / (1 + J), and J = TP / (TP + FP + FN) is a share.
        row = lookup(section, path) or {}
        if any(row.get(each) is None for each in ("tp", "fp", "fn")):
            return None
        n = row["tp"] + row["fp"] + row["fn"]
        pair = _exact(section, row["tp"], n) if n else (0.0, 1.0)
        return None if pair is None else (2 * pair[0] / (1 + pair[0]), 2 * pair[1] / (1 + pair[1]))
    return None if counts is None else _exact(section, *counts)


def _exact(section: Mapping[str, Any], k: int, n: int) -> tuple[float, float] | None:
    """Clopper-Pearson of a share that is the same in every sample: of images, or of patients.

    metrics.json says how many patients all images are of, not how many those of a class are: a
    share of some images has none where patients are known.
    """
    patients = section.get("n_patients")
    if not n or (patients and n != section.get("n")):
        return None
    trials = patients or n
    return clopper_pearson(k / n * trials, trials)
