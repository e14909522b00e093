"""Images at hand: copies within and across parts, files that are missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.datasets import is_synthetic
from common.datasets.listing import pictures
from common.errors import SHOWN, InputError, listed
from common.review.finding import Finding, many, of_all
from common.review.parts import WORDS
from common.review.paths import match
from common.splits import leakage, two_patients
from common.splits.lists import part_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Looked:
    """What the images show.

    Attributes
    ----------
    folder : Path
    images : int
        How many were compared.
    report : dict
        Of `leakage.report`.
    synthetic : bool
    found : list of Finding
    """

    folder: Path
    images: int
    report: dict[str, Any]
    synthetic: bool
    found: list[Finding] = field(default_factory=list)


def look(folder: Path, frame: pd.DataFrame | None) -> Looked:
    """Compare images.

    Parameters
    ----------
    folder : Path
        With the images, at any depth.
    frame : DataFrame, optional
        `image, part, label` and, where known, `case` of those that matter; default: all in the
        folder, whose parts are told by folders named train, validation and test.

    Returns
    -------
    Looked

    Raises
    ------
    InputError
        If the folder is not there, has no image of these, or one cannot be read.
    """
    import pandas as pd

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    there = pictures(folder)
    if not there:
        raise InputError(f"{folder}: no image in it")
    found: list[Finding] = []
    if frame is None:
        parts = [_part_of(path) for path in there]
        used = pd.DataFrame({"image": there, "part": parts, "label": ""})
    else:
        same = match(frame["image"], there)
        paths = [same.names.get(image, "") for image in frame["image"]]
        used = frame.assign(image=paths)
        used = used[[name for name in ("image", "part", "label", "case") if name in used]]
        lost = frame["image"][(used["image"] == "").to_numpy()]
        unclear = int(lost.isin(same.unclear).sum())
        more = f", or are not told apart there by their names ({unclear})" if unclear else ""
        used = used[used["image"] != ""].drop_duplicates("image")
        if used.empty:
            raise InputError(
                f"{folder}: holds none of {many(len(frame), 'image')}{more}, "
                f"{frame['image'].iloc[0]} for example; give the folder above them"
            )
        if len(lost):
            found.append(
                Finding("doubt", "images", "images are missing",
                        f"{of_all(len(lost), len(frame))} are not in the folder{more}",
                        listed(lost),
                        "Where are these images?")
            )  # fmt: skip
    used = used.reset_index(drop=True)
    report = leakage.report(used, folder)
    found += [*_copies(report), *_two_patients(report)]
    synthetic = is_synthetic(folder, list(used["image"]))
    return Looked(folder, len(used), report, synthetic, found)


def _part_of(path: str) -> str:
    """Part of an image by a folder above it; all images are one part where nothing tells."""
    for name in path.split("/")[:-1]:
        if part := part_of(name):
            return part
    return "test"


def _copies(report: dict[str, Any]) -> list[Finding]:
    found = []
    for kind, noun in (("exact", "equal"), ("near", "nearly equal")):
        told = report[kind]
        if not told or not told["pairs"]:
            continue
        known = told["worst"] + told["within"]
        if told["across"]:
            across = ", ".join(
                f"{n} between {' and '.join(WORDS[part] for part in name.split('-'))}"
                for name, n in told["by_parts"].items()
                if n
            )
            tested = ""
            if told["test_images"]:
                tested = of_all(told["test_images"], report["parts"]["test"], "test image")
                tested = f"; {tested} have a copy that is trained on"
            pairs = _named(told["worst"], told["across"])
            found.append(
                Finding("wrong", "images", f"{noun} images in two parts",
                        f"{many(told['across'], 'pair')} of {noun} images lie in different parts "
                        f"({across}){tested}", pairs,
                        "Were copies removed before the images were divided?")
            )  # fmt: skip
        within = told["pairs"] - told["across"]
        if within:
            # Copies among training images cost little; those that are tested on count twice.
            tested_twice = any(each["parts"]["test"] > 1 for each in told.get("largest_sets") or [])
            found.append(
                Finding("wrong" if tested_twice else "doubt", "images", f"{noun} images",
                        f"{many(within, 'pair')} of {noun} images lie in one part",
                        _named(told["within"], within),
                        "Why does one image stand there several times?")
            )  # fmt: skip
        if told["label_conflicts"]:
            pairs = _named([x for x in known if not x["same_label"]], told["label_conflicts"])
            found.append(
                Finding("wrong", "images", f"{noun} images with two labels",
                        f"{many(told['label_conflicts'], 'pair')} of {noun} images have different "
                        "labels", pairs, "Which of the labels is right?")
            )  # fmt: skip
    return found


def _two_patients(report: dict[str, Any]) -> list[Finding]:
    """The same image of two patients: at best they are one, at worst it is wrongly filed."""
    told = report["two_patients"]
    if not told["pairs"]:
        return []
    return [
        Finding("doubt", "images", "an image of two patients",
                f"{many(told['pairs'], 'pair')} of equal or nearly equal images: of two patients",
                "; ".join(two_patients.sentences(told)),
                "Are patients who share an image one patient, and are they kept apart as one?")
    ]  # fmt: skip


def _named(pairs: list[dict[str, Any]], total: int) -> str:
    """The first pairs by their images' names, and how many more there are."""
    names = [
        f"{each['a'].rpartition('/')[2]} ({each['a_part']}) and "
        f"{each['b'].rpartition('/')[2]} ({each['b_part']})"
        for each in pairs[:SHOWN]
    ]
    rest = total - len(names)
    return "; ".join(names) + (f"; and {rest} more" if rest > 0 and names else "")
