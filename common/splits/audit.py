"""What the parts of anybody's split share: cases, slides, folders, images, and copies of images.

    python -m common.splits audit FILE --dataset breakhis

From names alone where there are no images. Facts only: what is shared is named, what it means is
for the reader to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import datasets
from common.datasets.listing import looks_like_image, pictures
from common.datasets.lists import known as known_name
from common.errors import InputError, listed
from common.splits import leakage
from common.splits.draw import stem
from common.splits.lists import Listed
from common.splits.pairs import PAIRS_OF_PARTS
from common.splits.parts import GROUPS, PARTS

if TYPE_CHECKING:
    from common.datasets import Card

Named = Mapping[str, str]


@dataclass(frozen=True)
class Shared:
    """A case, slide, folder or image that lies in two parts.

    Attributes
    ----------
    group : str
        "case", "slide", "folder", "image" or "name".
    name : str
        Number of the case, id of the slide, ...
    parts : (str, str)
        The two.
    names : (tuple of str, tuple of str)
        What is of it in each: names of the list.
    within : (tuple of str, tuple of str)
        The same as slides or folders, where they are known; else the names.
    """

    group: str
    name: str
    parts: tuple[str, str]
    names: tuple[tuple[str, ...], tuple[str, ...]]
    within: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass
class Audit:
    """What was found in one split.

    Attributes
    ----------
    title : str
        Of the split.
    parts : dict
        Part -> how many names it lists.
    kind : str
        What the names are of: "image", or "name" where they are of slides, folders or patients.
    groups : dict
        "case", "slide" or "folder" -> part -> how many of them are in it; those that are unknown
        for every name are left out.
    shared : list of Shared
        All of them, cases first.
    copies : dict or None
        What `leakage.report` says of the pixels; None where no images were compared.
    notes : list of str
        What a reader should know.
    """

    title: str
    parts: dict[str, int]
    kind: str = "image"
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    shared: list[Shared] = field(default_factory=list)
    copies: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether the parts share nothing that was looked for."""
        kinds = [self.copies[kind] for kind in ("exact", "near")] if self.copies else []
        return not self.shared and not any(kind and kind["across"] for kind in kinds)


def audit(
    split: Listed,
    card: Card | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    images: bool = True,
) -> Audit:
    """Find what the parts of a split share.

    Parameters
    ----------
    split : Listed
        As `forms.read_all` gives it.
    card : Card, optional
        The data set; its `named` says what a name means. By default the data set whose names most
        of them are, if there is one.
    data_dir : path, optional
        Folder of the images; by default that of the split, if it is one of folders.
    images : bool
        Compare pixels where images are at hand.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        If no name is one of the data set, or an image is missing or cannot be read.
    """
    card = card or _data_set_of(split.names)
    rows, notes = _rows(split, card)
    pictures = any(row["image"] or looks_like_image(row["name"]) for row in rows)
    sizes = {part: split.parts.count(part) for part in PARTS}
    found = Audit(split.title, sizes, "image" if pictures else "name", notes=notes)
    for group in GROUPS:
        if any(row[group] for row in rows):
            found.groups[group] = {
                part: len({row[group] for row in rows if row["part"] == part} - {""})
                for part in PARTS
            }
            unknown = sum(not row[group] for row in rows)
            if unknown:
                notes.append(f"the {group} of {unknown} of {len(rows)} names is unknown")
            found.shared += _shared(rows, group)
    alike, namesakes = _same_names(rows, found.kind)
    found.shared += alike
    told = getattr(card, "CASES", None)
    if told and any(each.group == "case" for each in found.shared):
        notes.append(told)
    if not found.groups:
        notes.append(
            "the names tell no case and no slide: whether patients are shared is not known"
        )
    root = Path(data_dir) if data_dir else split.root
    if images and root is not None:
        found.copies = _copies(rows, root, card)
    else:
        notes.append("no images were compared: from names alone")
        if namesakes:
            notes.append(
                f"{len(namesakes)} files in different folders of two parts have one name, which "
                f"may be one image: {listed(namesakes)}"
            )
    return found


# --- what names tell --------------------------------------------------------------------------


def _named(card: Card | None, name: str) -> Named | None:
    """What a data set knows of a name; one without such knowledge knows nothing."""
    tell = getattr(card, "named", None)
    return tell(name) if tell is not None else None


def _data_set_of(names: Sequence[str]) -> Card | None:
    """The data set whose names most of a list's are."""
    for key in datasets.MODULES:
        card = datasets.get(key)
        if sum(_named(card, name) is not None for name in names) > len(names) / 2:
            return card
    return None


def _rows(split: Listed, card: Card | None) -> tuple[list[dict[str, str]], list[str]]:
    """Each name with all that is known of it."""
    rows, strange = [], []
    for i, (name, part) in enumerate(zip(split.names, split.parts, strict=True)):
        told = _named(card, name)
        row = {group: (told or {}).get(group, "") for group in (*GROUPS, "image")}
        for group, values in split.groups.items():
            row[group] = row[group] or known_name(values[i])
        if told is None and not any(row[group] for group in GROUPS):
            strange.append(name)
        rows.append(row | {"name": name, "part": part})
    known = hasattr(card, "named") and card is not None
    if known and len(strange) == len(rows):
        raise InputError(
            f"{split.title}: no name is one of {card.TITLE if card else ''}, for example "
            f"{strange[0][:80]!r}; give the right --dataset, or none"
        )
    notes = []
    if known and strange:
        notes.append(
            f"{len(strange)} of {len(rows)} names are none of {card.TITLE if card else ''} and "
            f"tell no case: {listed(strange)}"
        )
    twice = len(rows) - len({(row["name"], row["part"]) for row in rows})
    if twice:
        notes.append(f"{twice} names stand in their part more than once")
    return rows, notes


def _shared(rows: Sequence[Mapping[str, str]], group: str) -> list[Shared]:
    """Groups that lie in two parts."""
    members: dict[str, dict[str, list[Mapping[str, str]]]] = {}
    for row in rows:
        if row[group]:
            members.setdefault(row[group], {}).setdefault(row["part"], []).append(row)
    finer = {"case": ("slide", "folder"), "slide": ("folder",), "folder": ()}[group]
    found = []
    for first, second in PAIRS_OF_PARTS:
        for name in sorted(members):
            there = members[name]
            if first in there and second in there:
                a, b = there[first], there[second]
                found.append(
                    Shared(
                        group, name, (first, second), (_each(a, "name"), _each(b, "name")),
                        (_within(a, finer), _within(b, finer)),
                    )
                )  # fmt: skip
    return found


def _each(rows: Iterable[Mapping[str, str]], column: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row[column] for row in rows))


def _within(rows: Sequence[Mapping[str, str]], finer: Sequence[str]) -> tuple[str, ...]:
    """What of a group is in a part: its slides or folders, else how many names."""
    for column in finer:
        if all(row[column] for row in rows):
            return _each(rows, column)
    return (rows[0]["name"],) if len(rows) == 1 else (f"{len(rows)} names",)


def _same_names(rows: Sequence[Mapping[str, str]], kind: str) -> tuple[list[Shared], list[str]]:
    """Images, or other names, that are listed in two parts; and namesakes in other folders."""
    named: dict[str, dict[str, list[Mapping[str, str]]]] = {}
    for row in rows:
        if not known_name(row["name"]):
            continue
        key = row["image"] or stem(row["name"])
        named.setdefault(key, {}).setdefault(row["part"], []).append(row)
    found, namesakes = [], []
    for first, second in PAIRS_OF_PARTS:
        for key in sorted(named):
            a, b = (named[key].get(part, []) for part in (first, second))
            if not a or not b:
                continue
            if a[0]["image"] or any(_one_path(x["name"], y["name"]) for x in a for y in b):
                names = _each(a, "name"), _each(b, "name")
                found.append(Shared(kind, names[1][0], (first, second), names, names))
            else:
                namesakes.append(names_of(b[0]["name"])[-1])
    return found, namesakes


def names_of(path: str) -> list[str]:
    """Folders and name of a path, without the ending of an image, in small letters.

    Parameters
    ----------
    path : str
        With either kind of slash.
    """
    parts = path.replace("\\", "/").casefold().split("/")
    if looks_like_image(parts[-1]):
        parts[-1] = parts[-1].rpartition(".")[0]
    return [part for part in parts if part not in ("", ".")]


def _one_path(a: str, b: str) -> bool:
    """Whether two paths may be one, of which one begins further up."""
    first, second = names_of(a), names_of(b)
    n = min(len(first), len(second))
    return first[-n:] == second[-n:]


# --- pixels -----------------------------------------------------------------------------------


def _copies(rows: Sequence[Mapping[str, str]], root: Path, card: Card | None) -> dict[str, Any]:
    """Compare the images of a split."""
    import pandas as pd

    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder of the images as --data-dir")
    files = pictures(root)
    by_name: dict[str, list[str]] = {}
    by_group: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(stem(file), []).append(file)
        told = _named(card, file) or {}
        for group in GROUPS:
            if told.get(group):
                by_group.setdefault(told[group], []).append(file)
    there = set(files)
    found: dict[str, str] = {}
    missing = []
    for row in rows:
        path = row["name"].replace("\\", "/")
        images = [path] if path in there else by_name.get(stem(path), [])
        # Of a namesake in another folder only a data set can say that it is the same image.
        moved = images[:1] if row["image"] else []
        images = [each for each in images if _one_path(each, path)] or moved
        if not images:
            group = next((row[g] for g in ("folder", "slide", "case") if row[g]), "")
            alone = not row["image"] and not looks_like_image(row["name"])
            images = by_group.get(group, []) if alone else []
        if not images:
            missing.append(row["name"])
        for image in images:
            found.setdefault(image, row["part"])
    if missing:
        raise InputError(
            f"{root}: {len(missing)} of {len(rows)} names of the split have no image there: "
            f"{listed(missing)}; give the --data-dir that the split was made on, or none"
        )
    split = pd.DataFrame({"image": list(found), "part": list(found.values())})
    return leakage.report(split, root)
