"""What a split of anybody tells: which name is in which part, by whatever words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.datasets.words import COLUMNS, PART_WORDS

REPAIR = "give a list of names, a table with a column of parts, JSON lists, or a folder"
"""What to do about a file that is no split; ends messages."""

NAMES = (
    *COLUMNS["image"], "name", "slide_id", "folder", "slide", "id", "case_id", "case",
    "patient_id", "patient",
)  # fmt: skip
"""What a column of names is called, in small letters."""


@dataclass
class Listed:
    """A split as it was found.

    Attributes
    ----------
    title : str
        What it is called: the file, and the fold.
    names : list of str
        Each name of an image, a slide, a folder or a patient, as it stands there.
    parts : list of str
        Part of each, of `PARTS`.
    groups : dict
        "case", "slide" or "folder" -> that of each name, where the file tells them.
    root : Path or None
        Folder below which the names are files, where the split is one of folders.
    """

    title: str
    names: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    root: Path | None = None

    def add(
        self, names: Iterable[str], part: str, groups: Mapping[str, list[str]] | None = None
    ) -> None:
        """Put names into a part.

        Parameters
        ----------
        names : iterable of str
        part : str
        groups : mapping, optional
            "case", "slide" or "folder" -> that of each name.
        """
        names = list(names)
        for group in {**self.groups, **(groups or {})}:
            told = (groups or {}).get(group) or [""] * len(names)
            self.groups[group] = self.groups.get(group, [""] * len(self.names)) + told
        self.names += names
        self.parts += [part] * len(names)


def part_of(text: str) -> str:
    """Part that a word, a column or a file's name means.

    Parameters
    ----------
    text : str
        "Training", "val", "test_patients", "fold0-train".

    Returns
    -------
    str
        One of `PARTS`; "" if it names none, or two.
    """
    words = re.findall(
        r"[a-z]+", text.lower().replace("held-out", "test").replace("held_out", "test")
    )
    found = {PART_WORDS[word] for word in words if word in PART_WORDS}
    if found == {"train", "validation"}:
        return "train"  # train_val: what is trained on, validation images with it
    return found.pop() if len(found) == 1 else ""
