"""What a run shows, in plain words: the sentences above its numbers, and the rules they follow.

The network is compared with always saying the commonest class of its test images, image by image
and with an interval over the same patients, so that both stand or fall with the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from common import metrics, papers, predictions, tables
from common.errors import InputError, listed
from common.report.files import RunFiles
from common.report.words import plural, signed
from common.splits import PARTS

if TYPE_CHECKING:
    import pandas as pd

FEW_PATIENTS = 10
"""Below this number of patients nothing is settled by an interval over them (Cameron, Gelbach and
Miller, Bootstrap-based improvements for inference with clustered errors, 2008: "few" is five to
thirty)."""

WIDE = 0.05
"""Half-width of an interval of a difference above which no difference found means nothing."""

Acquaintance = Literal["unseen", "seen", "unknown"]


@dataclass(frozen=True)
class Facts:
    """What the sentences are made of.

    Attributes
    ----------
    majority : str
        Commonest class of the test images.
    images : int
        Test images.
    difference : float
        Share of them that the network has right, less the share of the commonest class.
    interval : (float, float), optional
        Of the difference, at 95 %; None without one.
    patients : int, optional
        Of the test images; None where one is unknown.
    acquaintance : {"unseen", "seen", "unknown"}
        Whether the network was trained on images of the patients it is tested on.
    seen : int
        Test images of patients that were trained on.
    copies : int
        Test images with an equal or nearly equal image in training.
    rounds : int
        Of how many runs the paper's number is a mean.
    synthetic : bool
        Whether the images were generated.
    """

    majority: str
    images: int
    difference: float
    interval: tuple[float, float] | None
    patients: int | None = None
    acquaintance: Acquaintance = "unseen"
    seen: int = 0
    copies: int = 0
    rounds: int = 1
    synthetic: bool = False


def verdict(files: RunFiles) -> list[str] | None:
    """Say in plain words what a run shows, and what keeps it from showing more.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    list of str
        Sentences, the finding first; None without test predictions.
    """
    found = facts(files)
    return None if found is None else sentences(found)


def facts(files: RunFiles) -> Facts | None:
    """Gather what the sentences are made of.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    Facts or None
        None without test predictions.
    """
    test = files.test
    if test is None:
        return None
    counts = test["label"].value_counts()
    majority = max(files.classes, key=lambda name: counts.get(name, 0))  # of equals the first
    gain = predictions.correct(test).astype(float) - (test["label"] == majority).to_numpy()
    known = bool((test["case"] != "").all())
    cases = test["case"].to_numpy(str) if known else None
    patients = None if cases is None else len(np.unique(cases))
    interval = metrics.difference_interval(gain, cases)
    acquaintance, seen = _acquaintance(files)
    copies = [(files.leakage.get(kind) or {}).get("test_images", 0) for kind in ("exact", "near")]
    return Facts(
        majority=majority,
        images=len(gain),
        difference=float(gain.mean()),
        interval=interval,
        patients=patients,
        acquaintance=acquaintance,
        seen=seen,
        copies=max(copies),
        rounds=_rounds(files),
        synthetic=files.synthetic,
    )


def _acquaintance(files: RunFiles) -> tuple[Acquaintance, int]:
    """Whether patients of test images were trained on, and of how many test images."""
    split = files.split
    if split is None or "case" not in split:
        return "unknown", 0
    used = split[split["part"].isin(("train", "test"))]
    trained = set(used["case"][used["part"] == "train"]) - {""}
    seen = int(used["case"][used["part"] == "test"].isin(trained).sum())
    if seen:
        return "seen", seen
    return ("unknown" if (used["case"] == "").any() else "unseen"), 0


def _rounds(files: RunFiles) -> int:
    """Of how many runs the numbers of the run's row are means."""
    try:
        if not (papers.folder(files.record.package) / "published.csv").is_file():
            return 1
    except InputError:
        return 1
    table = tables.published_text(files.record.package)
    row = files.record.preset.removesuffix("-honest")
    rounds: list[Any] = list(table["rounds"][table["preset"] == row])
    return max((int(each or 1) for each in rounds), default=1)


def weak_parts(split: pd.DataFrame) -> list[str]:
    """Say which parts of a split have few patients, and which of their classes have one.

    Parameters
    ----------
    split : DataFrame
        With `part, label, case`; nothing is said of patients that are unknown.

    Returns
    -------
    list of str
        One for each such part: "test part is of 3 patients only".
    """
    told = []
    for part in PARTS:
        rows = split[split["part"] == part]
        if rows.empty:
            continue
        known = rows[rows["case"] != ""]
        patients = known["case"].nunique()
        words = []
        if 0 < patients < FEW_PATIENTS:
            words.append(f"is of {plural(patients, 'patient')} only")
        if rows["label"].nunique() == 1:
            words.append(f"holds one class only, {rows['label'].iloc[0]}")
        elif patients > 1:
            single = known.groupby("label")["case"].nunique()
            names = [str(name) for name in single.index[single == 1]]
            if names:
                words.append(f"has a single patient of {listed(names)}")
        if words:
            says = "; its scores will say little of other patients" if part == "test" else ""
            told.append(f"{part} part {' and '.join(words)}{says}")
    return told


# --- the rules ---------------------------------------------------------------------------------


def sentences(found: Facts) -> list[str]:
    """Put facts into words.

    Parameters
    ----------
    found : Facts
        Of a run.

    Returns
    -------
    list of str
        The finding, with why no more can be said; then what limits it.
    """
    told = [f"On {_whom(found)}, this network is {_finding(found)}; {_more(found)}."]
    if found.synthetic:
        told.append("Generated images say nothing about tissue.")
    if found.acquaintance == "seen":
        told.append(
            f"{_share(found.seen, found.images)} are of patients that it was trained on: that says "
            "little about new patients."
        )
    if found.acquaintance == "unknown":
        told.append(
            "Whose images they are is not known for all: it may have been trained on the same "
            "patients, and "
            + ("the interval is narrower than it would be over patients."
               if found.patients is None else "then this says little about new ones.")
        )  # fmt: skip
    if found.copies:
        told.append(
            f"{_share(found.copies, found.images)} have an equal or nearly equal image among the "
            "training images."
        )
    if found.rounds > 1:
        told.append(f"This is one round of {found.rounds}; only all of them make the row.")
    return told


def _whom(found: Facts) -> str:
    made = "generated images of " if found.synthetic else ""
    seen = "it was trained on" if found.seen == found.images else "of whom it was trained on some"
    which = {"unseen": "it has not seen", "seen": seen, "unknown": "it may have seen"}
    return f"{made}patients {which[found.acquaintance]}"


def _finding(found: Facts) -> str:
    name = found.majority
    always = f"always saying {name if name.isalpha() else f'“{name}”'}"
    low, high = found.interval or (0.0, 0.0)
    if low > 0:
        return f"better than {always}"
    if high < 0:
        return f"worse than {always}"
    return f"{'not clearly' if found.difference > 0 else 'no'} better than {always}"


def _more(found: Facts) -> str:
    """The difference with its interval; or why it tells no more."""
    points = f"{signed(100 * found.difference, 1)} points"
    if found.patients is not None and found.patients < FEW_PATIENTS:
        are = "is" if found.patients == 1 else "are"
        return f"{plural(found.patients, 'patient')} {are} too few to say more"
    if found.interval is None:
        return f"{points} in accuracy, the same of every {'patient' if found.patients else 'image'}"
    low, high = (signed(100 * end, 1) for end in found.interval)
    between = f"95 % interval {low} to {high}"
    if found.interval[0] <= 0 <= found.interval[1] and np.ptp(found.interval) > 2 * WIDE:
        return f"{points} in accuracy, {between}, which is too wide to say more"
    return f"{points} in accuracy, {between}"


def _share(images: int, total: int) -> str:
    return f"{images:,} of {total:,} test images ({100 * images / total:.1f} %)"
