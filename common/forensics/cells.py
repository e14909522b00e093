"""The cells of a table of numbers: keys, numbers, sizes and classes as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from common.errors import InputError
from common.forensics.rounding import Printed

COUNT_KEYS = ("tp", "fn", "fp", "tn", "correct", "wrong", "n")
"""Last parts of keys that are whole numbers of images."""

MOST_IMAGES = 10_000_000
"""Of a test set."""

ALIASES = {
    "acc": "accuracy", "f1_score": "f1", "f1_measure": "f1", "f_score": "f1", "f_measure": "f1",
    "sens": "recall", "spec": "specificity", "cohen_kappa": "kappa", "cohens_kappa": "kappa",
    "matthews": "mcc", "bacc": "balanced_accuracy", "error_rate": "error",
    "true_positives": "tp", "false_positives": "fp", "true_negatives": "tn",
    "false_negatives": "fn",
}  # fmt: skip
"""Other names of scores and counts, in small letters."""

PLAIN = (
    "accuracy", "precision", "recall", "sensitivity", "specificity", "f1", "kappa", "mcc", "npv",
    "ppv", "fpr", "tnr", "tpr", "fnr", "error", "balanced_accuracy", "auc", "tp", "fn", "fp", "tn",
)  # fmt: skip
"""Headings that say what a number is where `metrics_key` does not."""

UNIT_ALIASES = {"%": "percent", "count": "images", "counts": "images", "share": "fraction"}

_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,12})?", re.ASCII)
_SCALED = {*PLAIN} | {
    f"{name}_{mean}"
    for name in ("precision", "recall", "f1", "kappa", "mcc", "specificity", "tnr", "fpr")
    for mean in ("macro", "micro", "weighted", "micro_at_half")
}
"""Scores whose largest value is 1, or 100 percent."""

_WITH_SD = re.compile(r"(.*?)\s*(?:±|\+/-|\+-)\s*(.*)")


def key_of(cells: Mapping[str, str]) -> str:
    """Say what a number is: its key, or a heading that leaves no doubt.

    Parameters
    ----------
    cells : mapping of str to str
    """
    path, dot, score = cells["metrics_key"].rpartition(".")
    if score:
        plain = _plain(score)
        return path + dot + ALIASES.get(plain, score)
    plain = _plain(cells["metric"])
    plain = ALIASES.get(plain, plain)
    return plain if plain in PLAIN else ""


def _plain(text: str) -> str:
    return re.sub(r"[\s-]+", "_", text.strip().lower().replace("'", ""))


def parts_of(key: str, where: str) -> tuple[str, str, str]:
    """Divide a key into what stands before the class, the class, and the score.

    Parameters
    ----------
    key : str
    where : str
        What messages call the line.
    """
    *before, score = key.split(".")
    if "per_class" not in before:
        return ".".join(before), "", score
    at = before.index("per_class")
    if at + 1 == len(before):
        raise InputError(f"{where}, column metrics_key: {key!r} names no class")
    return ".".join(before[:at]), ".".join(before[at + 1 :]), score


def printed_of(
    cells: Mapping[str, str], score: str, where: str
) -> tuple[Printed, Printed | None, str]:
    """Read a number, its standard deviation and its unit.

    Parameters
    ----------
    cells : mapping of str to str
    score : str
        Last part of its key.
    where : str
        What messages call the line.

    Returns
    -------
    number : Printed
    sd : Printed or None
        From its own column, or after a ± in the number's.
    unit : str
        Where none is given: of a count images, of a number with a % sign or above 1 percent.
    """
    unit = UNIT_ALIASES.get(cells["unit"], cells["unit"])
    text, spread = cells["printed"], cells["sd"]
    both = _WITH_SD.fullmatch(text.replace("%", ""))
    if "%" in text:
        text, unit = text.replace("%", "").strip(), unit or "percent"
    if both:
        text, spread = both[1], spread or both[2]
    for column, value in (("printed", text), *([("sd", spread)] if spread else [])):
        if not _NUMBER.fullmatch(value.strip()):
            meant = value.strip().replace(",", ".")
            hint = f"; write {meant}" if "," in value and _NUMBER.fullmatch(meant) else ""
            raise InputError(
                f"{where}, column {column}: {cells[column] or value!r} is no number{hint}"
            )
    text, spread = text.strip(), spread.strip()
    if not unit and score in COUNT_KEYS:
        unit = "images"
    elif not unit:
        unit = "percent" if score in _SCALED and abs(float(text)) > 1 else "fraction"
    has = len(text.partition(".")[2])
    decimals = whole_of(cells, "decimals", where, 0, 12)
    if decimals is not None and decimals < has:
        raise InputError(f"{where}, column decimals: {decimals}, but {text} has {has}")
    scale = 100 if unit == "percent" else 1
    number = Printed(text, has if decimals is None else decimals, scale)
    sd = Printed(spread, len(spread.partition(".")[2]), scale) if spread else None
    return number, sd, unit


def whole_of(
    cells: Mapping[str, str], column: str, where: str, least: int, most: int
) -> int | None:
    """Read a whole number; None from an empty cell.

    Parameters
    ----------
    cells : mapping of str to str
    column, where : str
        Its column, and what messages call the line.
    least, most : int
    """
    text = cells[column]
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.0)?", text) or not least <= int(float(text)) <= most:
        raise InputError(f"{where}, column {column}: {text!r} is no number from {least} to {most}")
    return int(float(text))


def range_of(cells: Mapping[str, str], column: str, where: str) -> range | None:
    """Read a size or a range of sizes; None from an empty cell.

    Parameters
    ----------
    cells : mapping of str to str
    column, where : str
        Its column, and what messages call the line.
    """
    # pandas writes whole numbers beside gaps as 407.0
    text = re.sub(r"(?<=\d)\.0$", "", cells[column])
    return _sizes(text, f"{where}, column {column}") if text else None


def _sizes(text: str, where: str) -> range:
    found = _RANGE.fullmatch(text)
    if not found or len(text) > 30:
        raise InputError(f"{where}: {text!r} is no size such as 407, and no range such as 400-420")
    low = int(found[1])
    high = int(found[2] or low)
    if not low <= high <= MOST_IMAGES:
        raise InputError(f"{where}: {text!r} is no range of sizes up to {MOST_IMAGES}")
    return range(low, high + 1)


def classes_of(text: str, where: str) -> tuple[tuple[str, ...], dict[str, range], int | None]:
    """Read names of the classes, images of each as far as they are given, and how many there are.

    Parameters
    ----------
    text : str
    where : str
        What messages call the line.
    """
    if not text:
        return (), {}, None
    if re.fullmatch(r"[0-9]{1,6}(\.0)?", text):
        return (), {}, int(float(text))
    names, sizes = [], {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, _, size = (piece.strip() for piece in part.partition("="))
        names.append(name)
        if size:
            sizes[name] = _sizes(size, f"{where}, column classes")
    if len(set(names)) < len(names) or not all(names):
        raise InputError(f"{where}, column classes: {text!r} names a class twice, or none")
    return tuple(names), sizes, len(names)
