"""What a metrics.json says, score by score, as pages and summaries show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.metrics import catalogue
from common.metrics.catalogue import Score


@dataclass(frozen=True)
class Shown:
    """A score with what a metrics.json says of it."""

    score: Score
    value: float | None
    """None where it is not defined."""
    interval: tuple[float, float] | None
    """At `common.metrics.LEVEL`; None where there is none."""
    k_of_n: tuple[int, int] | None
    """The counts of a proportion, where they are told."""
    meaning: str
    aside: str
    reason: str
    """Why the value or its interval is missing, where the file says so."""
    over_patients: bool
    """Whether its interval is over patients."""

    @property
    def text(self) -> str:
        """The value as it is shown."""
        return self.score.text(self.value)


def of_test(metrics: Mapping[str, Any]) -> list[Shown]:
    """Scores of a test set that are listed, in the order of pages.

    Parameters
    ----------
    metrics : mapping
        What metrics.json holds, or what it holds of one magnification. One that was written before
        a score was added lacks it; the score is then left out.

    Returns
    -------
    list of Shown
        Those that apply, with all of a line together.
    """
    found = [
        _shown(score, metrics, score.key, metrics)
        for score in catalogue.SCORES
        if score.line is not None and _applies(score, metrics)
    ]
    told = [each for each in found if each is not None]
    lines = list(dict.fromkeys(each.score.line for each in told))
    return sorted(told, key=lambda each: lines.index(each.score.line))


def of_class(metrics: Mapping[str, Any], name: str) -> list[Shown]:
    """Scores of one class that are listed, in the order of pages.

    Parameters
    ----------
    metrics : mapping
        As in `of_test`.
    name : str
        The class.

    Returns
    -------
    list of Shown
        The same scores for every class.
    """
    words = {**metrics, "class": name}
    found = [
        _shown(score, metrics, f"per_class.{{class}}.{score.key}", words)
        for score in catalogue.PER_CLASS
        if score.line is not None
    ]
    return [each for each in found if each is not None]


def interval(metrics: Mapping[str, Any], path: str) -> tuple[float, float] | None:
    """Interval of a score by its path.

    Parameters
    ----------
    metrics : mapping
        As in `of_test`.
    path : str
        For example ``per_class.benign.precision``.

    Returns
    -------
    (low, high), or None
        None where there is none. Files that were written before the specificity had one of its
        own tell it under that of the class.
    """
    told, intervals = _Words(metrics), metrics.get("intervals") or {}
    score = catalogue.find(path)
    pair = intervals.get(path)
    if pair is None and score is not None and score.interval is not None:
        pair = intervals.get(score.interval.format_map(told))
    return None if pair is None else (pair[0], pair[1])


def half_known(metrics: Mapping[str, Any]) -> str:
    """Say that only some images have a patient, and what follows.

    Parameters
    ----------
    metrics : mapping
        As in `of_test`, or what `pairs.compare` gives.

    Returns
    -------
    str
        Without its full stop; "" where all have one, none has, or an older file does not say.
    """
    unknown = metrics.get("n_without_patient")
    if not unknown:
        return ""
    have = "has" if unknown == 1 else "have"
    return (
        f"{unknown} of {metrics['n']} images {have} no patient, so intervals are over images and "
        "too narrow"
    )


NEARLY_ONE = 0.98
"""An area under the curve above which its interval over patients is too short: in simulated studies
of 12 to 70 patients it held the truth in 75 to 95 of 100 (docs/intervals.md)."""


def notes(found: Sequence[Shown]) -> list[str]:
    """Say of scores without a value or an interval why, and which interval is too short.

    Parameters
    ----------
    found : sequence of Shown
        From `of_test` or `of_class`.

    Returns
    -------
    list of str
        A sentence for each reason, without its full stop.
    """
    groups: dict[tuple[bool, str], list[str]] = {}
    for each in found:
        if each.reason:
            groups.setdefault((each.value is None, each.reason), []).append(each.score.title)
    short = [
        f"{each.score.title}: near 1 an interval over patients is too short"
        for each in found
        if each.score.key == "auc"
        and each.over_patients
        and each.value is not None
        and each.interval is not None
        and each.value > NEARLY_ONE
    ]
    return [
        f"{'Not defined' if undefined else 'No interval'}: {', '.join(titles)} ({reason})"
        for (undefined, reason), titles in groups.items()
    ] + short


def _applies(score: Score, metrics: Mapping[str, Any]) -> bool:
    if score.applies == "two classes":
        return len(metrics["classes"]) == 2 and metrics.get("positive_class") is not None
    if score.applies == "patients":
        return metrics.get("n_patients") is not None
    if score.applies == "folders":
        return metrics.get("n_folders") is not None
    return True


class _Words(dict[str, Any]):
    """Names of a text's braces; one that is not there is empty."""

    def __missing__(self, name: str) -> str:
        return ""


def _shown(
    score: Score,
    metrics: Mapping[str, Any],
    path: str,
    words: Mapping[str, Any],
) -> Shown | None:
    """What the file says of a score; None if it lacks it."""
    positive = metrics.get("positive_class")
    told = _Words({**words, "of_positive": f", {positive}" if positive else ""})
    value: Any = metrics
    for name in path.split("."):  # split first: a class's name may have a dot
        name = name.format_map(told)
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    place = path.format_map(told)
    counts = None
    if score.k_of_n is not None and all(name in metrics for name in score.k_of_n):
        counts = (metrics[score.k_of_n[0]], metrics[score.k_of_n[1]])
    return Shown(
        score=score,
        value=value,
        interval=interval(metrics, place),
        k_of_n=counts,
        meaning=score.meaning.format_map(told),
        aside=score.aside.format_map(told),
        reason=(metrics.get("reasons") or {}).get(place, ""),
        over_patients=metrics.get("ci_unit") == "patient",
    )
