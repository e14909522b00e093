"""Files beside each other: predictions, split, printed numbers, and what names say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from common.datasets import looks_like_image
from common.datasets.breakhis import TYPES
from common.errors import listed
from common.review.finding import Finding, many, of_all
from common.review.names import named, plain, spelling
from common.review.parts import WORDS, Split
from common.review.paths import match
from common.review.predicted import Predictions

if TYPE_CHECKING:
    import pandas as pd

# --- predictions and split --------------------------------------------------------------------


def beside_split(given: Predictions, split: Split) -> list[Finding]:
    """Compare predictions with the split that they are said to be of.

    Parameters
    ----------
    given : Predictions
    split : Split

    Returns
    -------
    list of Finding
    """
    frame, parts = given.frame, split.frame
    if (frame["image"] == "").all():
        return [
            Finding("doubt", "together", "no names",
                    "predictions name no image: they cannot be found in the split", "",
                    "Which prediction is of which image?")
        ]  # fmt: skip
    ours, theirs, unclear, possible = _keys(frame, parts)
    found = []
    if unclear:
        found.append(
            Finding("doubt", "together", "names of several images",
                    f"{of_all(len(unclear), frame['image'].nunique(), 'predicted image')} may be "
                    "each of several images of the split, or several may be one of it, by their "
                    "names: they are compared with none", listed(sorted(unclear)),
                    "Which predicted image is which image of the split?")
        )  # fmt: skip
    if not ours.isin(set(theirs)).any():
        return found or [
            Finding("wrong", "together", "no name in common",
                    f"none of {many(len(frame), 'prediction')} is of an image of the split",
                    f"predictions: {frame['image'].iloc[0]}; split: {parts['image'].iloc[0]}",
                    "Are predictions and split of one study?")
        ]  # fmt: skip
    by_part = {part: set(theirs[parts["part"] == part]) for part in WORDS}
    for part in ("train", "validation"):
        seen = sorted(set(ours[ours.isin(by_part[part])]))
        if seen:
            found.append(
                Finding("wrong", "together", f"tested on {WORDS[part]} images",
                        f"{of_all(len(seen), ours.nunique(), 'predicted image')} are in the "
                        f"{WORDS[part]} part of the split", listed(seen),
                        f"Why is the model tested on {WORDS[part]} images?")
            )  # fmt: skip
    missing = sorted(by_part["test"] - set(ours) - possible)
    if missing and by_part["test"]:
        found.append(
            Finding("wrong", "together", "test images without a prediction",
                    f"{of_all(len(missing), len(by_part['test']), 'test image')} have no "
                    "prediction", listed(missing),
                    "Why were test images left out, and how was it decided which?")
        )  # fmt: skip
    foreign = sorted(set(ours) - set(theirs) - unclear)
    if foreign:
        found.append(
            Finding("doubt", "together", "images that the split lacks",
                    f"{of_all(len(foreign), ours.nunique(), 'predicted image')} are not in the "
                    "split", listed(foreign), "Where do these images come from?")
        )  # fmt: skip
    found += _labels(frame.assign(image=ours), parts.assign(image=theirs))
    return found + _patients(frame, parts, by_part, ours)


def tested(given: Predictions, split: Split) -> int:
    """Count predicted images that a split tests on.

    Parameters
    ----------
    given : Predictions
    split : Split
    """
    ours, theirs, *_ = _keys(given.frame, split.frame)
    return int(ours.isin(set(theirs[split.frame["part"] == "test"])).sum())


def _keys(
    frame: pd.DataFrame, parts: pd.DataFrame
) -> tuple[pd.Series, pd.Series, frozenset[str], frozenset[str]]:
    """What images of both are known by: paths, or the folder, slide or case of each.

    Then the images that may be each of several, and those that they may be.
    """
    ours, theirs = frame["image"], parts["image"]
    same = match(ours, theirs)
    if same.names or same.unclear:
        return (
            ours.map(lambda name: same.names.get(name, name)),
            theirs,
            same.unclear,
            same.possible,
        )
    pairs = []
    # A split may list folders, slides or patients; of images these would be no names of theirs.
    if not (parts["magnification"] != "").any() and not any(map(looks_like_image, parts["image"])):
        for group in ("folder", "slide", "case"):
            pairs += [(frame[group], parts[group]), (frame[group], parts["image"])]
    for pair in pairs:
        if pair[0].isin(set(pair[1]) - {""}).any():
            return *pair, frozenset(), frozenset()
    return ours, theirs, frozenset(), frozenset()


def _labels(frame: pd.DataFrame, parts: pd.DataFrame) -> list[Finding]:
    """Images with one label in the split and another beside the prediction."""
    there = parts[parts["label"] != ""].drop_duplicates("image").set_index("image")["label"]
    pairs = frame.assign(other=frame["image"].map(there)).dropna(subset="other")
    if pairs.empty:
        return []
    spelled = _spelling(pairs["other"], pairs["label"])
    if spelled is None:
        return [
            Finding("doubt", "together", "classes have other names",
                    "the split names other classes than the predictions: labels cannot be compared",
                    f"{listed(sorted(set(pairs['other'])))}; {listed(sorted(set(pairs['label'])))}",
                    "Which class of the split is which of the predictions?")
        ]  # fmt: skip
    return _contradicted(pairs.assign(other=pairs["other"].map(spelled)), "in the split")


def _spelling(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str] | None:
    """Class of one file -> class of the other, by names; None if none is the same."""
    theirs = set(theirs)
    found = spelling(theirs, ours)
    return {name: found.get(name, name) for name in theirs} if found else None


def _contradicted(pairs: pd.DataFrame, where: str) -> list[Finding]:
    """Say which labels (`label`) are others somewhere else (`other`)."""
    wrong = pairs[pairs["other"] != pairs["label"]]
    if wrong.empty:
        return []
    kinds = wrong.groupby(["label", "other"]).size().sort_values(ascending=False)
    shown = ", ".join(f"{n} {a} are {b} there" for (a, b), n in kinds.head(4).items())
    rule, what = "labels differ", f"{of_all(len(wrong), len(pairs))} have another label {where}"
    ask = "Which labels are right?"
    names = sorted(set(wrong["label"]))
    if len(wrong) > 0.9 * len(pairs[pairs["label"].isin(names)]) and len(names) > 1:
        rule, what = "labels exchanged", f"{what}: classes are exchanged"
        ask = f"Are {listed(names)} exchanged in one of the files?"
    images = listed(wrong["image"].map(lambda name: name.rpartition("/")[2]))
    return [Finding("wrong", "together", rule, what, f"{shown}: {images}", ask)]


def _patients(
    frame: pd.DataFrame, parts: pd.DataFrame, by_part: Mapping[str, set[str]], ours: pd.Series
) -> list[Finding]:
    """Patients of predicted images that are trained on, where the split does not show it itself."""
    test = set(parts.loc[parts["part"] == "test", "case"])
    trained = set(parts.loc[parts["part"] == "train", "case"]) - {""}
    rows = frame[~ours.isin(by_part["train"]).to_numpy() & frame["case"].isin(trained)]
    rows = rows[~rows["case"].isin(test)]
    if rows.empty:
        return []
    cases = sorted(set(rows["case"]))
    return [
        Finding("wrong", "together", "tested on patients of the training",
                f"{of_all(len(rows), len(frame), 'predicted image')} are of "
                f"{many(len(cases), 'patient')} that are also trained on", listed(cases, 12),
                "What are the scores on patients that were not trained on?")
    ]  # fmt: skip


# --- labels and names -------------------------------------------------------------------------


def beside_names(frame: pd.DataFrame, what: str) -> list[Finding]:
    """Compare labels with what the names of BreakHis' images say.

    Parameters
    ----------
    frame : DataFrame
        `image` and `label`.
    what : str
        What they are of, for the message.

    Returns
    -------
    list of Finding
    """
    told = [named(image) for image in frame["image"]]
    labels = {plain(label): label for label in frame["label"] if label}
    for kind, classes in (("side", ("benign", "malignant")), ("type", tuple(TYPES))):
        if labels and labels.keys() <= set(map(plain, classes)):
            names = [each.get(kind, "") for each in told]
            pairs = frame.assign(other=[labels.get(plain(name), name) for name in names])
            pairs = pairs[(pairs["other"] != "") & (pairs["label"] != "")]
            return _contradicted(pairs, f"by their names ({what})")
    return []
