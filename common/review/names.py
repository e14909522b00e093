"""Columns, classes and images under the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from common.datasets import breakhis
from common.datasets.lists import known
from common.datasets.words import COLUMNS, POSITIVE_WORDS
from common.errors import listed
from common.terminal import plain as escaped

if TYPE_CHECKING:
    import pandas as pd

ROLES: dict[str, tuple[str, ...]] = {
    "image": (*COLUMNS["image"], "name", "id", "sample"),
    "case": (*COLUMNS["case"], "group"),
    **{role: COLUMNS[role] for role in ("slide", "folder", "magnification")},
    "part": ("part", "split", "subset", "partition", "set", "phase", "usage"),
    "label": (
        *("label", "truth", "true", "y_true", "true_label", "true_class", "ground_truth", "gt"),
        *("target", "targets", "labels", "actual", "class", "reference", "diagnosis", "y"),
    ),
    "predicted": (
        *("prediction", "predicted", "y_pred", "pred", "predicted_label", "predicted_class"),
        *("pred_label", "pred_class", "preds", "predictions", "y_hat", "output", "decision"),
    ),
}
"""Usual names of each column, in small letters, the likeliest first."""

POSITIVE_SCORE = (
    *("p", "prob", "proba", "probability", "score", "y_prob", "y_proba", "y_score", "pred_prob"),
    *("pred_proba", "y_pred_proba", "y_pred_prob", "probabilities", "positive_probability"),
)
"""Names of one column of probabilities: of the positive class of two."""

CONFIDENCE = ("confidence", "conf", "max_prob", "max_probability", "predicted_probability")
"""Names of a column with the probability of the predicted class."""

POSITIVE = (*POSITIVE_WORDS, "m")
"""Names of a class of two that is taken for the positive one."""

_SCORE = "p|prob|proba|probability|score|softmax|logit|logits"
_BEFORE = re.compile(rf"(?:{_SCORE}|pred|prediction|output|class|label)_(.+)")
_AFTER = re.compile(rf"(.+)_(?:{_SCORE})")
_VAGUE = ("pred_", "prediction_", "output_", "class_", "label_")


def plain(name: str) -> str:
    """Give a name in small letters, words joined by underscores.

    Parameters
    ----------
    name : str
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower()
    # The minus of a number stays: -1 is not 1.
    return re.sub(r"(?:(?!(?<![a-z\d])-\d)[^\w+])+", "_", spaced).strip("_")


def spelling(names: Iterable[str], classes: Iterable[str]) -> dict[str, str]:
    """Find classes under other spellings: as they stand, then in any case, then by words alone.

    Parameters
    ----------
    names : iterable of str
    classes : iterable of str

    Returns
    -------
    dict of str to str
        Name -> class, of those that are one and only one; by words alone only one name is.
    """
    classes, names = set(classes) - {""}, set(names) - {""}
    found = {name: name for name in names & classes}
    for key in (str.casefold, plain):
        spelled: dict[str, list[str]] = {}
        for each in classes:
            spelled.setdefault(key(each), []).append(each)
        left = [name for name in names if name not in found]
        keys = [key(name) for name in left]
        taken = set(found.values())
        for name, spelt in zip(left, keys, strict=True):
            there = spelled.get(spelt, [])
            one = key is str.casefold or (keys.count(spelt) == 1 and not taken & set(there))
            if len(there) == 1 and one:
                found[name] = there[0]
    return found


def in_brief(names: Iterable[str]) -> str:
    """List cells of a stranger's file for a message: in one line, each cut.

    Parameters
    ----------
    names : iterable of str
    """
    return listed(escaped(name)[:40] for name in names)


def roles(columns: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Find which column is what.

    Parameters
    ----------
    columns : sequence of str
        Of the file.
    given : mapping of str to str
        Role -> column, where the user says so.

    Returns
    -------
    dict of str to str
        Role -> column, of those that are there.
    """
    found = dict(given)
    free = [column for column in columns if column not in found.values()]
    by_name = {plain(column): column for column in reversed(free)}
    for role, names in ROLES.items():
        if role not in found:
            match = next((by_name[n] for n in names if n in by_name), None)
            if match is not None and match not in found.values():
                found[role] = match
    return found


def class_of_column(column: str, classes: Iterable[str]) -> str:
    """Give the class that a column has probabilities of, by its name.

    Parameters
    ----------
    column : str
    classes : iterable of str
        Those that labels and predictions name; these count whatever stands around them.

    Returns
    -------
    str
        "" if it is none.
    """
    by_name = {plain(name): name for name in classes}
    name = plain(column)
    before, after = _BEFORE.fullmatch(name), _AFTER.fullmatch(name)
    for candidate in (before and before[1], after and after[1], name):
        if candidate and candidate in by_name:
            return by_name[candidate]
    if column.startswith("p_") and len(column) > 2:
        return column[2:]
    if before and not name.startswith(_VAGUE):
        return before[1]
    return after[1] if after else ""


def stem(image: str) -> str:
    """Name of an image without folder and ending.

    Parameters
    ----------
    image : str
    """
    name = image.replace("\\", "/").rpartition("/")[2]
    return re.sub(r"\.(png|jpe?g|jpe|tiff?|bmp|npy|webp)$", "", name, flags=re.IGNORECASE)


def told_by_names(frame: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Fill in what names of images tell where columns are empty, as those of BreakHis do.

    Words that say that a patient is unknown are "", as an empty cell is.

    Parameters
    ----------
    frame : DataFrame
        `image, case, slide, folder, magnification`.

    Returns
    -------
    frame : DataFrame
    by_name : bool
        Whether cases are read off names.
    """
    told = [named(image) for image in frame["image"]]
    filled = frame.copy()
    by_name = False
    for column in ("case", "slide", "folder", "magnification"):
        filled[column] = [known(value) for value in frame[column]]
        if (filled[column] == "").all():
            filled[column] = [each.get(column, "") for each in told]
            by_name |= column == "case" and bool((filled[column] != "").any())
    return filled, by_name


def named(image: str) -> dict[str, str]:
    """Tell what an image of BreakHis is, by its name; nothing of another.

    Parameters
    ----------
    image : str
        With or without folder and ending.

    Returns
    -------
    dict of str to str
        As `breakhis.named`, and the class of two as `side`.
    """
    told = breakhis.named(image)
    # A bare number may be a case, and is as likely the number of an image of another data set.
    if told is None or not told["folder"]:
        return {}
    return {**told, "side": "benign" if told["folder"].startswith("SOB_B") else "malignant"}
