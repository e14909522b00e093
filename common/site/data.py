"""What the page of a data set shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common import datasets, protocols
from common.report.words import UNKNOWN, percent
from common.site.gather import Known
from common.site.run import Made

HEADS = ("Train", "Validation", "Test", "Patients in train and test", "Test images of them",
         "Exact copies", "Near copies")  # fmt: skip
"""Columns of the table of splits."""

_SAID = ("images", "datasets", "magnification", "magnifications", "stains", "split", "test_share",
         "test", "validation", "folds", "patients")  # fmt: skip
"""What papers state of their data, by its names in protocol.toml."""


def names(found: Sequence[Known]) -> dict[str, list[Known]]:
    """Data sets, and the papers that use each.

    Parameters
    ----------
    found : sequence of Known

    Returns
    -------
    dict of str to list of Known
    """
    used: dict[str, list[Known]] = {}
    for known in found:
        for name in dict.fromkeys(item.dataset for item in known.trainings if item.dataset):
            used.setdefault(name, []).append(known)
    return used


def title(name: str) -> str:
    """What a data set is called.

    Parameters
    ----------
    name : str
    """
    return datasets.get(name).TITLE


def in_brief(name: str) -> str:
    """A few words on a data set.

    Parameters
    ----------
    name : str
    """
    card = datasets.get(name)
    return f"{card.EXPECTED_IMAGES:,} images; {card.LICENCE}"


def page(name: str, users: Sequence[Known], made: Mapping[str, tuple[str, Made]]) -> dict[str, Any]:
    """Gather what the template shows.

    Parameters
    ----------
    name : str
        Of the data set.
    users : sequence of Known
        The papers that use it.
    made : mapping
        Key of a finished training -> address of its page, and what it showed.

    Returns
    -------
    dict
    """
    card = datasets.get(name)
    return {
        "title": card.TITLE,
        "kicker": "Data set",
        "images": card.EXPECTED_IMAGES,
        "groups": ", ".join(f"{n} {what}s" for what, n in card.EXPECTED_GROUPS.items()),
        "licence": card.LICENCE,
        "home": card.HOME,
        "citation": f"{card.CITATION}.",
        "notes": [note.replace("`", "") for note in card.NOTES],
        "obtain": card.OBTAIN.replace("`", ""),
        "layout": card.LAYOUT,
        **_counts(card),
        "heads": HEADS,
        "splits": splits(name, users, made),
        "papers": [
            {
                "title": known.about.title,
                "address": f"../papers/{known.package}.html",
                "stated": [
                    f"{each.where}: {each.says}"
                    for key, each in protocols.protocol(known.package).stated.items()
                    if key in _SAID
                ],
            }
            for known in users
        ],
    }


def _counts(card: datasets.Card) -> dict[str, Any]:
    """The card's counts as a table: its first key down, its second across."""
    counts = card.EXPECTED_COUNTS
    by = [{"label": "class", "official": "part"}.get(name, name) for name in card.COUNTED_BY]
    pairs = {key if isinstance(key, tuple) else (key, "Images"): n for key, n in counts.items()}
    rows = list(dict.fromkeys(row for row, _ in pairs))
    columns = list(dict.fromkeys(column for _, column in pairs))
    cells = [(row, [pairs.get((row, column), 0) for column in columns]) for row in rows]
    many = len(columns) > 1
    if many:
        cells = [(row, [*values, sum(values)]) for row, values in cells]
    return {
        "row_head": by[0].capitalize(),
        "counted_by": " and ".join(by),
        "columns": [*columns, *(["All"] if many else [])],
        "rows": cells,
        "totals": [sum(column) for column in zip(*(values for _, values in cells), strict=True)],
    }


def splits(
    name: str, users: Sequence[Known], made: Mapping[str, tuple[str, Made]]
) -> list[dict[str, Any]]:
    """What the parts of each split share that runs used; equal ones once.

    Parameters
    ----------
    name : str
        Of the data set.
    users : sequence of Known
    made : mapping
        See `page`.

    Returns
    -------
    list of dict
        As the template shows them.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for known in users:
        seen: set[str] = set()
        for item in known.trainings:
            if item.dataset != name or item.key not in made or item.preset in seen:
                continue
            seen.add(item.preset)
            address, run = made[item.key]
            if not run.parts:
                continue
            called = f"{known.package}: {run.parts['split']}"
            cells = _cells(run.parts)
            found.setdefault(
                (called, *cells),
                {"name": called, "preset": item.preset, "address": f"../{address}",
                 "cells": cells},
            )  # fmt: skip
    return list(found.values())


def _cells(parts: Mapping[str, Any]) -> list[str]:
    sizes = [parts["sizes"].get(part) for part in ("train", "validation", "test")]
    return [
        *(UNKNOWN if size is None else f"{size:,}" for size in sizes),
        "unknown" if parts["patients"] is None else f"{parts['patients']:,}",
        "unknown" if parts["patients"] is None else percent(parts["share"], 1),
        *("not compared" if parts[kind] is None else f"{parts[kind]:,}" for kind in
          ("exact", "near")),
    ]  # fmt: skip
