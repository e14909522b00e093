"""A split of anyone, and what its parts share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import InputError, listed
from common.files import read_table
from common.review.finding import Finding, many, of_all
from common.review.names import in_brief, plain, roles, told_by_names
from common.splits import GROUPS, forms, leakage
from common.splits.audit import Audit, audit
from common.splits.lists import Listed, part_of
from common.splits.pairs import PAIRS_OF_PARTS

if TYPE_CHECKING:
    import pandas as pd

REPAIR = "docs/review.md says how such a file looks"

NOUNS = {"case": "patient", "slide": "slide", "folder": "folder"}

COLUMNS = ("image", "case", "slide", "folder", "magnification", "label")

WORDS = {"train": "training", "validation": "validation", "test": "test"}


@dataclass
class Split:
    """A split, and what is found in it.

    Attributes
    ----------
    name : str
        The file, and which of its folds where it has several.
    frame : DataFrame
        `image, case, slide, folder, magnification, label, part`, str, "" where unknown. `image` may
        be a slide, a folder or a patient, where the file lists those.
    by_name : bool
        Whether cases were read off names.
    report : dict
        Of `leakage.report`, by names alone.
    found : list of Finding
    """

    name: str
    frame: pd.DataFrame
    by_name: bool
    report: dict[str, Any]
    found: list[Finding] = field(default_factory=list)


def read(path: str | Path) -> list[Split]:
    """Read a split in any form, or several: lists of folds have one for each.

    Parameters
    ----------
    path : path
        CSV with a line for each image and its part; or any other form of `common.splits.forms`.

    Returns
    -------
    list of Split

    Raises
    ------
    InputError
        If it is in none of the forms, or has no images, no parts, or unknown ones.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        table = read_table(path, repair=REPAIR, foreign=True)
        columns = roles(list(table), {})
        folds = {"fold", "folds", "kfold", "fold_id", "cv_fold"} & set(map(plain, table))
        if {"image", "part"} <= columns.keys() and not folds:
            frame = _of_table(path, table, columns)
            return [looked_at(str(path), *told_by_names(frame))]
        if "image" in columns and not folds and not any(map(part_of, table)):
            raise InputError(f"{path}: no column of parts among {in_brief(table)}; {REPAIR}")
    frames = {each.title: _of_list(each) for each in forms.read_all([path])}
    many_of = len(frames) > 1
    return [
        looked_at(f"{path}, {title}" if many_of else str(path), *told_by_names(frame))
        for title, frame in frames.items()
    ]


def _of_table(path: Path, table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows of a CSV that says all of an image in its line."""
    table = table.apply(lambda column: column.str.strip())
    parts = table[columns["part"]].map(part_of)
    strange = (parts == "") & (table[columns["part"]] != "")
    if strange.any():
        names = sorted(set(table[columns["part"]][strange]))
        raise InputError(
            f"{path}, column {columns['part']}: {in_brief(names)} is no part; parts are "
            "train, validation, test"
        )
    if not (parts != "").any():
        raise InputError(f"{path}: no image is in any part")
    frame = table.assign(**{r: table[columns[r]] if r in columns else "" for r in COLUMNS})
    return frame[list(COLUMNS)].assign(part=parts.to_numpy())


def _of_list(split: Listed) -> pd.DataFrame:
    import pandas as pd

    known = {"image": split.names, "part": split.parts, **split.groups}
    frame = pd.DataFrame({name: known.get(name, "") for name in (*COLUMNS, "part")}, dtype=str)
    return frame[frame["image"] != ""].reset_index(drop=True)


def looked_at(name: str, frame: pd.DataFrame, by_name: bool) -> Split:
    """Look at a split.

    Parameters
    ----------
    name : str
        The file.
    frame : DataFrame
        As in `Split`.
    by_name : bool
        Whether cases were read off names.
    """
    used = frame[frame["part"] != ""]
    once = used.drop_duplicates(["image", "part"])
    # An image in two parts, which is told on its own, counts in both.
    names = once["image"].where(~once["image"].duplicated(), once["image"] + " " + once["part"])
    report = leakage.report(once.assign(image=names))
    groups = {group: list(once[group]) for group in GROUPS if (once[group] != "").any()}
    audited = audit(Listed(name, list(once["image"]), list(once["part"]), groups), images=False)
    found = [*_shared(audited, by_name), *_twice(used), *_sizes(once, report)]
    return Split(name, frame, by_name, report, found)


def _shared(audited: Audit, by_name: bool) -> list[Finding]:
    """Patients in two parts; slides and folders where patients say nothing; and images."""
    found: list[Finding] = []
    told: set[tuple[str, str]] = set()
    for group in (*NOUNS, audited.kind):
        for pair in PAIRS_OF_PARTS:
            shared = [each for each in audited.shared if (each.group, each.parts) == (group, pair)]
            if not shared or (group in NOUNS and pair in told):
                continue
            told.add(pair)
            first, second = (WORDS[part] for part in pair)
            names = [each.name for each in shared]
            tested = {name for each in shared for name in each.names[1]}
            total = audited.parts[pair[1]]
            if group not in NOUNS:
                found.append(
                    Finding(
                        "wrong", "split", f"an {group} in two parts" if group == "image" else
                        f"a {group} in two parts",
                        f"{of_all(len(tested), total, f'{second} {group}')} are also in {first}, "
                        "or are copies of one that is, by their names", listed(names),
                        f"Why are some {group}s both in {first} and in {second}?",
                    )
                )  # fmt: skip
                continue
            noun = NOUNS[group]
            called = "case number" if by_name and group == "case" else noun
            more = "; a case number may be one patient" if called == "case number" else ""
            found.append(
                Finding(
                    "wrong", "split", f"{noun}s in two parts",
                    f"{many(len(shared), called)} lie both in {first} and in {second}: "
                    f"{of_all(len(tested), total, f'{second} {audited.kind}')}{more}",
                    listed(names, 12),
                    f"Why are {noun}s shared between {first} and {second}, and what are the "
                    "scores without them?",
                )
            )  # fmt: skip
    return found


def _twice(used: pd.DataFrame) -> list[Finding]:
    again = used[used.duplicated(["image", "part"])]["image"].unique()
    if not len(again):
        return []
    return [
        Finding("doubt", "split", "an image twice",
                f"{many(len(again), 'image')} stand twice in one part", listed(again),
                "Why do some images stand twice in the split?")
    ]  # fmt: skip


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
                    "How far do results of one patient hold for others "
                    f"({listed(map(str, single.index))})?")
        )  # fmt: skip
    return found
