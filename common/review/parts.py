"""A split of anyone, and what its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import InputError, listed
from common.files import read_table
from common.review.finding import Finding, many, of_all
from common.review.names import PARTS, plain, roles, told_by_names
from common.splits import leakage

if TYPE_CHECKING:
    import pandas as pd

REPAIR = "docs/review.md says how such a file looks"

NOUNS = {"case": "patient", "slide": "slide", "folder": "folder"}

WORDS = {"train": "training", "validation": "validation", "test": "test"}


@dataclass
class Split:
    """A split, and what is found in it.

    Attributes
    ----------
    name : str
        The file.
    frame : DataFrame
        `image, case, slide, folder, magnification, label, part`, str, "" where unknown.
    by_name : bool
        Whether cases were read off file names.
    report : dict
        Of `leakage.report`, by names alone.
    found : list of Finding
    """

    name: str
    frame: pd.DataFrame
    by_name: bool
    report: dict[str, Any]
    found: list[Finding] = field(default_factory=list)


def read(path: str | Path) -> Split:
    """Read a split.

    Parameters
    ----------
    path : path
        CSV with a line for each image and its part.

    Returns
    -------
    Split

    Raises
    ------
    InputError
        If it is no CSV table, or has no images, no parts, or unknown ones.
    """
    table = read_table(path, repair=REPAIR)
    columns = roles(list(table), {})
    missing = [role for role in ("image", "part") if role not in columns]
    if missing:
        raise InputError(
            f"{path}: no column of {' and of '.join(f'{m}s' for m in missing)} among "
            f"{listed(table)}; {REPAIR}"
        )
    table = table.apply(lambda column: column.str.strip())
    parts = table[columns["part"]].map(lambda part: PARTS.get(plain(part)))
    if parts.isna().any():
        names = sorted(set(table[columns["part"]][parts.isna()]))
        raise InputError(
            f"{path}, column {columns['part']}: {listed(names)} is no part; parts are "
            "train, validation, test"
        )
    if not (parts != "").any():
        raise InputError(f"{path}: no image is in any part")
    wanted = ("image", "case", "slide", "folder", "magnification", "label")
    frame = table.assign(**{r: table[columns[r]] if r in columns else "" for r in wanted})
    frame = frame[list(wanted)].assign(part=parts.to_numpy())
    frame, by_name = told_by_names(frame)
    found = _twice(frame)
    once = frame[frame["part"] != ""].drop_duplicates(["image", "part"])
    # An image in two parts, which is told on its own, counts in both.
    names = once["image"].where(~once["image"].duplicated(), once["image"] + " " + once["part"])
    report = leakage.report(once.assign(image=names))
    return Split(str(path), frame, by_name, report, [*found, *_shared(report, by_name),
                 *_sizes(once, report)])  # fmt: skip


def _twice(frame: pd.DataFrame) -> list[Finding]:
    used = frame[frame["part"] != ""]
    parts = used.groupby("image")["part"].nunique()
    both = parts[parts > 1].index
    found = []
    if len(both):
        pairs = (
            used[used["image"].isin(both)]
            .groupby("image")["part"]
            .agg(lambda parts: " and ".join(sorted(set(parts), key=list(WORDS).index)))
        )
        found.append(
            Finding(
                "wrong", "split", "an image in two parts",
                f"{of_all(len(both), len(parts))} stand in more than one part "
                f"({listed(sorted(set(pairs)))})", listed(both),
                "Why are some images in more than one part?",
            )
        )  # fmt: skip
    again = used[used.duplicated(["image", "part"])]["image"].unique()
    if len(again):
        found.append(
            Finding("doubt", "split", "an image twice",
                    f"{many(len(again), 'image')} stand twice in one part", listed(again),
                    "Why do some images stand twice in the split?")
        )  # fmt: skip
    return found


def _shared(report: dict[str, Any], by_name: bool) -> list[Finding]:
    """Patients in two parts; slides and folders where patients say nothing."""
    found: list[Finding] = []
    told: set[str] = set()
    for group, noun in NOUNS.items():
        for pair, shared in report["groups"][group]["pairs"].items():
            first, second = pair.split("-")
            if not shared["groups"] or pair in told:
                continue
            told.add(pair)
            called = "case number" if by_name and group == "case" else noun
            images = of_all(shared["images"], report["parts"][second], f"{WORDS[second]} image")
            more = "; a case number may be one patient" if called == "case number" else ""
            found.append(
                Finding(
                    "wrong", "split", f"{noun}s in two parts",
                    f"{many(shared['groups'], called)} have images both in {WORDS[first]} and in "
                    f"{WORDS[second]}: {images}{more}", listed(shared["names"], 12),
                    f"Why are {noun}s shared between {WORDS[first]} and {WORDS[second]}, and what "
                    f"are the scores without them?",
                )
            )  # fmt: skip
    return found


def _sizes(frame: pd.DataFrame, report: dict[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    for part in ("train", "test"):
        if not report["parts"][part]:
            found.append(
                Finding("doubt", "split", f"no {part} part",
                        f"no image is in {WORDS[part]}", "",
                        f"Which images are those of the {WORDS[part]} part?")
            )  # fmt: skip
    if not report["parts"]["validation"]:
        found.append(
            Finding("doubt", "split", "no validation part", "no image is in validation", "",
                    "On which images were the epoch and the settings chosen?")
        )  # fmt: skip
    unknown = report["groups"]["case"]["unknown"]
    if unknown:
        found.append(
            Finding(
                "doubt", "split", "patients unknown",
                f"the patients of {of_all(unknown, report['images'])} are not told: whether parts "
                "share patients cannot be seen", "",
                "Which image is of which patient, and are patients kept apart?",
            )
        )  # fmt: skip
    labels = frame[frame["label"] != ""]
    for part in ("train", "test"):
        there = set(labels.loc[labels["part"] == part, "label"])
        lacking = sorted(set(labels["label"]) - there)
        if there and lacking:
            found.append(
                Finding("doubt", "split", "a class is missing",
                        f"no {WORDS[part]} image is of {listed(lacking)}", "",
                        f"Why has the {WORDS[part]} part no image of {listed(lacking)}?")
            )  # fmt: skip
    few = labels[(labels["part"] == "test") & (labels["case"] != "")]
    single = few.groupby("label")["case"].nunique()
    single = single[single < 2]
    if len(single):
        found.append(
            Finding("doubt", "split", "a single patient",
                    f"a single test patient stands for {listed(map(str, single.index))}", "",
                    "How far do results of one patient hold for others?")
        )  # fmt: skip
    return found
