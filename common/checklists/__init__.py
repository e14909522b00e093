"""What reports on such models should say: TRIPOD+AI (27 items) and CLAIM (44), as data.

Titles and questions are in our own words; each checklist names its source. What of it files alone
can show is a matter of few facts; all else has to be asked.

>>> from common import checklists
>>> item = checklists.checklist("claim").items[19]
>>> item.number, item.title
('20', 'At what level parts are disjoint')
>>> checklists.seen(item, {"split": "a split"}) is None
True
"""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

CHECKLISTS = ("tripod_ai", "claim")
"""Names of the checklists, which are those of their files."""

FACTS = (
    "split",
    "test part",
    "patients of the split",
    "probabilities",
    "labels and predictions",
    "patients tested",
    "images of each class",
    "scores",
    "scores of each class",
    "intervals over patients",
)
"""What files can show; `Item.needs` names some of them."""


@dataclass(frozen=True)
class Item:
    """One item of a checklist.

    Attributes
    ----------
    number : str
        As the checklist counts.
    section : str
        Part of a report it belongs to.
    title : str
        What it is about, in a few words.
    ask : str
        The question to the authors.
    needs : tuple of str
        Of `FACTS`: with all of them, files show it; without any, files cannot.
    """

    number: str
    section: str
    title: str
    ask: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checklist:
    """A checklist, and where it stands.

    Attributes
    ----------
    name : str
        One of `CHECKLISTS`.
    title : str
    year : int
    source : str
        Authors, title, journal.
    doi : str
    items : tuple of Item
    """

    name: str
    title: str
    year: int
    source: str
    doi: str
    items: tuple[Item, ...]


def checklist(name: str) -> Checklist:
    """Read a checklist.

    Parameters
    ----------
    name : str
        One of `CHECKLISTS`.

    Returns
    -------
    Checklist

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in CHECKLISTS:
        raise ValueError(f"no checklist {name!r}; there are {', '.join(CHECKLISTS)}")
    text = importlib.resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")
    content = tomllib.loads(text)
    items = [
        Item(**{**entry, "needs": tuple(entry.get("needs", ()))}) for entry in content.pop("item")
    ]
    return Checklist(name=name, items=tuple(items), **content)


def seen(item: Item, facts: Mapping[str, str]) -> str | None:
    """Say where files show an item.

    Parameters
    ----------
    item : Item
    facts : mapping of str to str
        Of `FACTS`, those that the files at hand show, each in words.

    Returns
    -------
    str or None
        The words of the facts it needs; None where files do not show it, and one has to ask.
    """
    if not item.needs or any(need not in facts for need in item.needs):
        return None
    return "; ".join(dict.fromkeys(facts[need] for need in item.needs))
