"""metrics.json as it is read again: every score, count and interval is looked at before it is used.

A run folder may come from anywhere, and what tables and pages print of it are these values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import InputError, brief
from common.files import read_json
from common.metrics import catalogue

_COUNTS = {
    "n",
    "correct",
    "n_patients",
    "n_without_patient",
    "n_folders",
    "tp_at_half",
    "above_half",
    "best_epoch",
}
_CLASS_COUNTS = {"support", "tp", "tn", "fp", "fn"}
_TEXTS = {"split", "ci_unit", "ci_method", "intervals_method", "auc_kind", "positive_class"}
_CHOICES = {
    "ci_unit": ("patient", "image", None),
    "ci_method": ("jackknife", "bootstrap", "clopper-pearson", None),
    "intervals_method": ("jackknife", "bootstrap"),
}
_SCORES = {score.key for score in catalogue.SCORES}
"""Others are what a paper notes for itself."""
_RANGES = {
    score.key: (score.lowest, min(score.highest, 1e6))
    for score in (*catalogue.SCORES, *catalogue.PER_CLASS)
}
"""Between what a score lies, by the last part of its key: kappa is kappa, of a class or of all."""
_ROUNDING = 1e-9


def read_scores(path: str | Path, *, repair: str) -> dict[str, Any]:
    """Read the metrics.json of a classifier.

    Parameters
    ----------
    path : path
    repair : str
        What to do about a damaged file, to end the message.

    Returns
    -------
    dict
        What `compute` gave. Keys that an earlier version did not write are missing.

    Raises
    ------
    InputError
        As `common.files.read_json`, or naming the value that cannot be.
    """
    found = read_json(path, repair=repair)
    try:
        require_scores(found)
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {repair}") from error
    return found


def require_scores(values: Mapping[str, Any]) -> None:
    """Refuse what no metrics.json can hold.

    Parameters
    ----------
    values : mapping
        What `compute` gave, after JSON.

    Raises
    ------
    ValueError
        Naming the key.
    """
    missing = [name for name in ("n", "accuracy") if name not in values]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    _section(values, "", _names(values, []))


def _names(values: Mapping[str, Any], without: list[Any]) -> list[Any]:
    """Names of the classes, whatever they are; `_classes` looks at them."""
    found = values.get("classes", without)
    return found if isinstance(found, list) else []


def _section(values: Mapping[str, Any], where: str, classes: list[Any]) -> None:
    for name, value in values.items():
        place = f"{where}{name}"
        if name == "by_magnification":
            for magnification, inner in _mapping(value, place).items():
                _section(_mapping(inner, f"{place}.{magnification}"), f"{place}.{magnification}.",
                         _names(inner, classes))  # fmt: skip
        elif name == "intervals":
            for key, pair in _mapping(value, place).items():
                _pair(pair, f"{place}.{key}")
        elif name in ("reasons", "intervals_replicates"):
            for key, each in _mapping(value, place).items():
                _of(each, f"{place}.{key}", str if name == "reasons" else int)
        elif name == "accuracy_ci":
            _pair(value, place)
        elif name in _TEXTS:
            _of(value, place, str, none=True)
            if name in _CHOICES and value not in _CHOICES[name]:
                raise ValueError(f"{place} is {brief(value)}")
        elif name == "synthetic":
            _of(value, place, bool)
        elif name in _COUNTS:
            _count(value, place, none=name != "n")
        elif name in _SCORES:
            _score(value, place)
    n, correct = values.get("n"), values.get("correct")
    if n == 0 or (n is not None and correct is not None and correct > n):
        raise ValueError(f"{where}correct is {brief(correct)} of {brief(n)}")
    _classes(values, where, classes)


def _classes(values: Mapping[str, Any], where: str, classes: list[Any]) -> None:
    """What stands there per class."""
    if "classes" in values:
        if not isinstance(values["classes"], list) or len(set(map(str, classes))) < len(classes):
            raise ValueError(f"{where}classes is {brief(values['classes'])}")
        for each in classes:
            _of(each, f"{where}classes", str)
    matrix = values.get("confusion_matrix")
    if matrix is not None:
        rows = matrix if isinstance(matrix, list) else [None]
        for row in rows:
            if not isinstance(row, list) or not len(row) == len(rows) == len(classes):
                raise ValueError(f"{where}confusion_matrix is {brief(matrix)}")
            for each in row:
                _count(each, f"{where}confusion_matrix")
    for name in ("support", "per_class"):
        if name not in values:
            continue
        inner = _mapping(values[name], f"{where}{name}")
        if list(inner) != classes:
            raise ValueError(f"{where}{name} is of {brief(list(inner))}")
        for each, value in inner.items():
            place = f"{where}{name}.{each}"
            if name == "support":
                _count(value, place)
                continue
            for key, score in _mapping(value, place).items():
                if key in _CLASS_COUNTS:
                    _count(score, f"{place}.{key}")
                else:
                    _score(score, f"{place}.{key}")


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {brief(value)}")
    return value


def _of(value: Any, place: str, kind: type, *, none: bool = False) -> None:
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not right and not (none and value is None):
        raise ValueError(f"{place} is {brief(value)}")


def _count(value: Any, place: str, *, none: bool = False) -> None:
    _of(value, place, int, none=none)
    if value is not None and not 0 <= value < 2**53:
        raise ValueError(f"{place} is {brief(value)}")


def _score(value: Any, place: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{place} is {brief(value)}")
    lowest, highest = _RANGES.get(place.rpartition(".")[2].removesuffix("_ci"), (-1e6, 1e6))
    # NaN and infinity, which are no JSON, are refused with the rest.
    if not lowest - _ROUNDING <= value <= highest + _ROUNDING:
        raise ValueError(f"{place} is {brief(value)}")


def _pair(value: Any, place: str) -> None:
    if value is None:
        return
    if not isinstance(value, list) or len(value) != 2 or None in value:
        raise ValueError(f"{place} is {brief(value)}")
    for each in value:
        _score(each, place)
    if value[0] > value[1]:
        raise ValueError(f"{place} is {brief(value)}")
