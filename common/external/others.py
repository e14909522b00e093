"""Other data, read in the classes that a run knows."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import datasets, runs
from common.datasets import own, patients
from common.errors import InputError, listed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Others:
    """Other data, with the classes of a run.

    Attributes
    ----------
    name : str
        Name of the folder below `external/`.
    title : str
        As texts name them.
    root : Path
        Where the paths of the table count from.
    table : DataFrame
        Columns `common.datasets.COLUMNS`; `label` is a class of the run.
    labels : dict
        Their own class -> the run's, "" where it is left out.
    left_out : dict
        Their own class -> images that are left out.
    microns : dict
        Magnification -> micrometres per px, where it is known.
    dataset : str
        Name of a public data set; "" for one's own images.
    source : str
        What tells them from other data of the same name: the list's or folder's place, or the data
        set with what was chosen of it.
    mpp : dict
        Image -> micrometres per px, of those whose list says it.
    """

    name: str
    title: str
    root: Path
    table: pd.DataFrame
    labels: dict[str, str]
    left_out: dict[str, int]
    microns: dict[str, float]
    dataset: str = ""
    source: str = ""
    mpp: dict[str, float] = field(default_factory=dict)


def of_images(
    run: runs.Run,
    source: Path,
    label_map: Mapping[str, str],
    *,
    data_dir: Path | None = None,
    listing: Path | None = None,
    name: str | None = None,
) -> Others:
    """Read images of one's own, in the classes of a run.

    Parameters
    ----------
    run : Run
        A finished classifier.
    source : Path
        A list or a folder, see `common.datasets.own.read`.
    label_map : mapping
        Their classes -> the run's; "" leaves a class out.
    data_dir : Path, optional
        Where the paths of a list count from.
    listing : Path, optional
        A list of their patients.
    name : str, optional
        What to call them.

    Raises
    ------
    InputError
        As `common.datasets.own.read`; if a class is none of the run's.
    """
    images = own.read(source, data_dir=data_dir)
    table = images.table if listing is None else patients.with_patients(images.table, listing)
    table, labels, left_out = _in_classes(run, table, label_map, str(images.source))
    called = name or re.sub(r"[^\w.+-]+", "-", images.source.stem)
    return Others(
        _checked_name(called), images.source.name, images.root, table, labels, left_out, {},
        source=str(images.source.resolve()), mpp=images.mpp,
    )  # fmt: skip


def of_dataset(
    run: runs.Run,
    dataset: str,
    label_map: Mapping[str, str],
    *,
    data_dir: Path | None = None,
    listing: Path | None = None,
    magnifications: Sequence[str] = (),
    stain: str | None = None,
    name: str | None = None,
) -> Others:
    """Index a public data set, in the classes of a run.

    Parameters
    ----------
    run : Run
        A finished classifier.
    dataset : str
        A key of `common.datasets.MODULES`.
    label_map : mapping
        Its classes -> the run's; "" leaves a class out.
    data_dir : Path, optional
        Where it lies; None: $HISTOPAPERS_DATA.
    listing : Path, optional
        A list of its patients.
    magnifications : sequence of str
        Those that are used; all by default.
    stain : str, optional
        Of BCI, "he" or "ihc"; by default that of the run.
    name : str, optional
        What to call it.

    Raises
    ------
    InputError
        If it is not there, or a class is none of the run's.
    """
    card = datasets.get(dataset)
    options: dict[str, Any] = {"classes": _task(card, run, label_map)}
    if magnifications and "magnifications" not in card.SELECTED_BY:
        raise InputError(f"--magnification: {card.TITLE} has one")
    if magnifications:
        options["magnifications"] = tuple(magnifications)
    if "stain" in card.SELECTED_BY:
        said = run.config.get("stain")
        options["stain"] = stain or (said if said in ("he", "ihc") else "he")
    table = card.index(data_dir, **options)
    if listing is not None:
        table = patients.with_patients(table, listing)
    table, labels, left_out = _in_classes(run, table, label_map, card.TITLE)
    at = "-".join(["", *magnifications]).lower()
    chosen = " ".join([dataset, *sorted(magnifications), options.get("stain", "")]).strip()
    return Others(
        _checked_name(name or dataset + at), card.TITLE, datasets.data_folder(card, data_dir),
        table, labels, left_out, dict(card.MICRONS), dataset, chosen,
    )  # fmt: skip


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]{0,63}", name):
        raise InputError(f"--name {name!r}: give up to 64 letters, digits, dots, hyphens")
    return name


def _task(card: datasets.Card, run: runs.Run, label_map: Mapping[str, str]) -> int:
    """The task of a data set whose classes the map names, or that are the run's."""
    known = {name.casefold() for name in run.record["classes"]}
    wanted = {name.casefold() for name in label_map}
    for n, names in sorted(card.CLASSES.items(), reverse=True):
        if wanted and wanted <= {name.casefold() for name in names}:
            return n
    for n, names in sorted(card.CLASSES.items()):
        if {name.casefold() for name in names} <= known:
            return n
    return max(card.CLASSES)


def _in_classes(
    run: runs.Run, table: pd.DataFrame, label_map: Mapping[str, str], title: str
) -> tuple[pd.DataFrame, dict[str, str], dict[str, int]]:
    """The table with the run's classes, how they were read, and what is left out."""
    classes = list(run.record["classes"])
    by_letters = {name.casefold(): name for name in classes}
    there = list(dict.fromkeys(table["label"]))
    theirs = {name.casefold() for name in there}
    if strange := [name for name in label_map if name.casefold() not in theirs]:
        words = ", ".join(f"{name}=" for name in strange)
        raise InputError(f"--label-map {words}: {title} has {', '.join(sorted(there))}")
    given = {}
    for name, label in label_map.items():
        if label and label.casefold() not in by_letters:
            near = difflib.get_close_matches(label.casefold(), by_letters, n=1)
            hint = f"; did you mean {name}={by_letters[near[0]]}?" if near else ""
            raise InputError(
                f"--label-map {name}={label}: {label} is none of the run's classes, "
                f"{', '.join(classes)}{hint}"
            )
        given[name.casefold()] = by_letters.get(label.casefold(), "")
    read = by_letters | given
    if unknown := [name for name in there if name.casefold() not in read]:
        # Which class one is, its owner knows: an example with a class would be taken as advice.
        example = " ".join(shlex.quote(f"{name}=...") for name in unknown)
        raise InputError(
            f"{title}: {listed(unknown)}: none of the classes that the run knows "
            f"({', '.join(classes)}); say of each which of these it is: --label-map {example}; "
            f"{unknown[0]}= leaves one out"
        )
    labels = {name: read[name.casefold()] for name in there}
    chosen = table["label"].map(labels)
    left_out = {
        name: int((table["label"] == name).sum()) for name, label in labels.items() if not label
    }
    if not chosen.any():
        raise InputError(
            f"--label-map: leaves out every class of {title}; no image is left to judge"
        )
    used = table.assign(label=chosen)[chosen != ""].reset_index(drop=True)
    return used, labels, left_out


def parsed_map(words: Sequence[str]) -> dict[str, str]:
    """Read what --label-map says.

    Parameters
    ----------
    words : sequence of str
        THEIRS=OURS, several with commas between them; THEIRS= leaves a class out.

    Raises
    ------
    InputError
        If one is no such thing, or is said twice.
    """
    found: dict[str, str] = {}
    for each in (part for word in words for part in word.split(",") if part.strip()):
        name, sign, label = (piece.strip() for piece in each.partition("="))
        if not sign or not name:
            raise InputError(f"--label-map {each}: give THEIRS=OURS, such as InSitu=malignant")
        if found.setdefault(name, label) != label:
            raise InputError(f"--label-map {name}: is {found[name]} and {label}; give one")
    return found
