"""Where a data set lies, and whether what lies there is synthetic."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from common.datasets import listing
from common.datasets.card import Card
from common.datasets.marks import says_synthetic
from common.errors import InputError
from common.files import expanded
from common.notices import SYNTHETIC_MARKER

DATA_VARIABLE = "HISTOPAPERS_DATA"
"""Environment variable that names the data folder where none is given."""

_ASKED = 8  # images that are asked whether they are synthetic


def resolved(data_dir: str | os.PathLike[str] | None) -> tuple[Path | None, str]:
    """Resolve where data lie: as given, else as $HISTOPAPERS_DATA says.

    Parameters
    ----------
    data_dir : path or None
        With ``~`` and variables such as ``$HOME``; None or "" means that none is given.

    Returns
    -------
    root : Path or None
        Absolute, links in it as they are; None if no folder is named at all.
    origin : str
        What named it, for messages: "--data-dir" or "$HISTOPAPERS_DATA".

    Raises
    ------
    InputError
        If it begins with the home of a user that there is not.
    """
    given = os.fspath(data_dir) if data_dir else os.environ.get(DATA_VARIABLE)
    origin = "--data-dir" if data_dir else f"${DATA_VARIABLE}"
    if not given:
        return None, origin
    return expanded(given).absolute(), origin


def data_folder(card: Card, data_dir: str | os.PathLike[str] | None, *, new: bool = False) -> Path:
    """Folder that holds a data set, or shall hold it.

    Parameters
    ----------
    card : Card
        The data set, for messages.
    data_dir : path or None
        As `resolved` takes it.
    new : bool
        It need not exist yet.

    Returns
    -------
    Path
        Absolute. Links in it stay as they are.

    Raises
    ------
    InputError
        If no folder is given, or it does not exist; the message says how the data are obtained.
    """
    root, origin = resolved(data_dir)
    if root is None and new:
        raise InputError(
            f"where shall {card.TITLE} go? Give a folder with --data-dir or ${DATA_VARIABLE}"
        )
    if root is None:
        raise InputError(f"no data folder is given for {card.TITLE}.\n{how_to_obtain(card)}")
    if root.is_dir() or (new and not root.exists()):
        return root
    if new:
        raise InputError(f"{root} ({origin}): not a folder")
    if not root.exists():
        raise InputError(f"{root} ({origin}): no such folder.\n{how_to_obtain(card)}")
    raise InputError(
        f"{root} ({origin}): not a folder; unpack the archive and give its folder.\n"
        f"{how_to_obtain(card)}"
    )


def how_to_obtain(card: Card) -> str:
    """Lines for a message: where the data come from, how they lie, and which flag names them.

    Parameters
    ----------
    card : Card
        The data set.
    """
    return (
        f"How to obtain it: {card.OBTAIN}\n"
        f"Expected layout (any other with the same file names will do):\n{card.LAYOUT}\n"
        f"Then give its folder with --data-dir or ${DATA_VARIABLE}. --demo needs no data."
    )


def is_synthetic(data_dir: str | os.PathLike[str], images: Sequence[str] | None = None) -> bool:
    """Whether a data folder holds synthetic images.

    Parameters
    ----------
    data_dir : path
        A marker file in it or in a folder above it tells.
    images : sequence of str, optional
        Paths below `data_dir`. Some of them are asked for the text that every synthetic image
        carries, so that a copied folder without the marker is still recognised. Without `images`
        some of all below `data_dir` are asked.
    """
    root = expanded(data_dir).resolve()
    if any((folder / SYNTHETIC_MARKER).is_file() for folder in (root, *root.parents)):
        return True
    if images is None:
        files, _ = listing.scan(root)
        if any(file.marked for file in files):
            return True
        images = [file.path for file in files if listing.looks_like_image(file.name)]
    return any(says_synthetic(root / image) for image in some(images))


def some(images: Sequence[str]) -> list[str]:
    """The ends and some between: opening all would make the index slow on a network disk.

    Parameters
    ----------
    images : sequence of str
        Any number.
    """
    asked = {i * (len(images) - 1) // (_ASKED - 1) for i in range(_ASKED)} if images else set()
    return [images[i] for i in sorted(asked)]
