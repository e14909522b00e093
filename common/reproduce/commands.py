"""The commands that do an item, as they would be typed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import datasets
from common.errors import InputError
from common.reproduce.items import Item
from common.reproduce.states import Place, State, names


@dataclass(frozen=True)
class Data:
    """Where the data sets lie.

    Parameters
    ----------
    folder : str or None
        What `--data-dir` says, "" of nothing: then $HISTOPAPERS_DATA does.
    more : mapping
        Paper -> further flags of its trainings, such as ``--patients FILE``.
    """

    folder: str | None = None
    more: Mapping[str, Sequence[str]] | None = None

    def of(self, card: str) -> str:
        """Folder of a data set: the one given, or its own folder in it.

        Parameters
        ----------
        card : str
            Its name.
        """
        return str(datasets.data_folder(datasets.get(card), self.folder))


def commands(
    item: Item, known: Mapping[str, Item], found: Mapping[str, State], place: Place, data: Data
) -> list[list[str]]:
    """What is to be run for an item, one after the other.

    Parameters
    ----------
    item : Item
    known : mapping
        Key -> item.
    found : mapping
        Key -> state; what the item needs is done.
    place : Place
    data : Data

    Returns
    -------
    list of list of str
        Each begins with the interpreter.
    """
    if item.step is None:
        return [[sys.executable, "-m", *training(item, known, place, data)]]
    run = found[item.of].run
    if run is None:
        raise InputError(f"{item.key}: its training is not done")
    stands = {**names(item, known, run, place), "data": data.folder or ""}
    return [
        [sys.executable, *(part.format(**stands) for part in command)]
        for command in item.step.commands
    ]
