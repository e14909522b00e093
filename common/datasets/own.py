"""Images of one's own as a data set, with a card like those of the public ones.

`read` makes a table of a list or a folder, `card` a card with the classes that the images have.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.datasets.gathered import Images, of_list, read
from common.datasets.index import counts
from common.datasets.words import likely_positive
from common.errors import InputError, many
from common.files import as_bytes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Images", "OwnImages", "card", "of_list", "read", "require_one_label"]

LICENCE = "its owners' terms"
FEWEST = 2
"""Images that a class must have: one to train on, one to test on."""


@dataclass
class OwnImages:
    """A card that a user's own images make; see `common.datasets.card.Card` for its attributes."""

    images: Images
    CLASSES: dict[int, tuple[str, ...]]
    POSITIVE: dict[int, str | None]
    NAME: str
    TITLE: str
    EXPECTED_IMAGES: int
    IMAGE_SIZE: tuple[int, int] = (0, 0)
    MICRONS: dict[str, float] = field(default_factory=dict)
    LICENCE: str = LICENCE
    NON_COMMERCIAL: bool = False
    CITATION: str = ""
    HOME: str = ""
    OBTAIN: str = "it is your own."
    URL: str | None = None
    ARCHIVE: str | None = None
    ARCHIVE_BYTES: int = 0
    RECORD: str | None = None
    SUFFIX: str = ".png"
    FOLDER: str = ""
    LAYOUT: str = ""
    MAGNIFICATIONS: tuple[str, ...] = ()
    NO_PATIENTS: str = ""
    SELECTED_BY: tuple[str, ...] = ()
    SERIES: dict[str, dict[str, Any]] = field(default_factory=dict)
    COUNTED_BY: tuple[str, ...] = ("label",)
    EXPECTED_COUNTS: dict[Any, int] = field(default_factory=dict)
    EXPECTED_GROUPS: dict[str, int] = field(default_factory=dict)
    NOTES: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes, in the order of the network's outputs."""
        return next(iter(self.CLASSES.values()))

    def index(
        self, data_dir: str | os.PathLike[str] | None, *args: Any, **options: Any
    ) -> pd.DataFrame:
        """Give the table that was read.

        Parameters
        ----------
        data_dir : path or None
            Not needed: the table knows where its images are.
        *args, **options
            As other cards take them; there is nothing to choose from.
        """
        return self.images.table.copy()

    def expected_images(self, *args: Any, **selection: Any) -> int:
        """Count its images.

        Parameters
        ----------
        *args, **selection
            As other cards take them.
        """
        return self.EXPECTED_IMAGES

    def check(self, data_dir: str | os.PathLike[str] | None) -> tuple[str, ...]:
        """Find nothing: whatever is wrong with a list stops the reading of it.

        Parameters
        ----------
        data_dir : path or None
            Not needed.
        """
        return ()

    def identity(self, index: pd.DataFrame) -> str:
        """Hash of what the images' own hash leaves out: paths, slides, parts, order of classes.

        Parameters
        ----------
        index : DataFrame
            The images that are used.
        """
        rows = index.sort_values("image")
        said = rows[["image", "slide", "magnification", "official"]].to_numpy().tolist()
        text = json.dumps([list(self.classes), self.POSITIVE[len(self.classes)], said])
        return hashlib.sha256(as_bytes(text)).hexdigest()


def card(
    images: Images,
    *,
    order: Sequence[str] = (),
    positive: str | None = None,
    index: pd.DataFrame | None = None,
) -> OwnImages:
    """Make a card of images with labels.

    Parameters
    ----------
    images : Images
        Each with a label.
    order : sequence of str
        The classes in the order in which they are to stand; sorted by default.
    positive : str, optional
        The positive one of two; by default the one whose name says so (`POSITIVE_WORDS`).
    index : DataFrame, optional
        The images that are used, of those; by default all.

    Raises
    ------
    InputError
        If there are no two classes with two images each, or `order` or `positive` names others.
    """
    source, table = images.source, images.table if index is None else index
    found = sorted(set(table["label"]))
    sizes = counts(table, "label")
    if len(found) < 2:
        raise InputError(
            f"{source}: {many(len(table), 'image')}, of one class alone, {found[0]}; a "
            "classifier needs "
            "two or more"
        )
    for name in found:
        if sizes[name] < FEWEST:
            only = images.where[str(table.loc[table["label"] == name, "image"].iloc[0])]
            raise InputError(
                f"{only}: the only image of class {name}; a class needs at least {FEWEST}, one to "
                "train on and one to test on: add images, or take this one out"
            )
    if order and sorted(order) != found:
        raise InputError(
            f"--classes-order {' '.join(order)}: {source} has the classes {', '.join(found)}; name "
            "each of them once"
        )
    classes = tuple(order) or tuple(found)
    if positive is None:
        positive = likely_positive(classes)
    elif positive not in classes or len(classes) != 2:
        why = "is none of the classes" if positive not in classes else "takes two classes, not"
        raise InputError(f"--positive {positive}: {why} {', '.join(classes)}")
    title = f"own data ({source.name})"
    n = len(classes)
    return OwnImages(
        images=images, CLASSES={n: classes}, POSITIVE={n: positive}, NAME=title, TITLE=title,
        EXPECTED_IMAGES=len(table), EXPECTED_COUNTS=dict(sizes), SERIES={title: {}},
        NO_PATIENTS=f"{source} names no patients",
    )  # fmt: skip


def require_one_label(images: Images, index: pd.DataFrame, digests: Sequence[str | bytes]) -> None:
    """Refuse the same file under two classes.

    Parameters
    ----------
    images : Images
        Say where each image is named.
    index : DataFrame
        The images used.
    digests : sequence
        Hash of each of their files.

    Raises
    ------
    InputError
        Naming both places.
    """
    first: dict[str | bytes, tuple[str, str]] = {}
    for image, label, digest in zip(index["image"], index["label"], digests, strict=True):
        other, said = first.setdefault(digest, (image, label))
        if said != label:
            raise InputError(
                f"{images.where[image]}: {image} is {label}, and a copy of {other}, which is "
                f"{said} ({images.where[other]}); an image has one label: correct one, or take "
                "both out"
            )
