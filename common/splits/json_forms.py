"""Splits in JSON: lists of names under keys that tell a part."""

from __future__ import annotations

import json
from pathlib import Path

from common.errors import InputError
from common.files import read_text
from common.splits.lists import REPAIR, Listed, part_of


def in_json(path: Path) -> list[Listed]:
    """Read the splits of a file; each object of a list of folds is one.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        If it is no JSON, or holds no such lists.
    """
    text = read_text(path, repair=REPAIR)
    found: list[Listed] = []
    try:
        _lists_of(json.loads(text), path.name, [], found)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON ({error}); {REPAIR}") from None
    if not found:
        raise InputError(f"{path}: no lists of names under train, validation or test; {REPAIR}")
    return found


def _lists_of(
    value: object, title: str, above: list[tuple[str, list[str]]], found: list[Listed]
) -> None:
    """Lists of an object and of those above it make a split, unless folds below it do."""
    if not isinstance(value, dict):
        return
    own = list(above)
    for key, each in value.items():
        part = part_of(str(key)) if isinstance(each, list) and each else ""
        if part and all(isinstance(name, str | int) for name in each):
            own.append((part, [str(name) for name in each]))
    before = len(found)
    for key, each in value.items():
        inner = each if isinstance(each, list) else [each]
        for number, one in enumerate(inner):
            if isinstance(one, dict):
                place = f"{key} {number}" if isinstance(each, list) else str(key)
                _lists_of(one, f"{title}, {place}", own, found)
    if len(found) == before and len(own) > len(above) and len({part for part, _ in own}) > 1:
        split = Listed(title)
        for part, names in own:
            split.add(names, part)
        found.append(split)
