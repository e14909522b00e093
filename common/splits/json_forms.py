"""Splits in JSON: lists of names under keys that tell a part."""

from __future__ import annotations

import json
from pathlib import Path

from common.errors import InputError
from common.files import read_text
from common.splits.lists import NAMES, REPAIR, Listed, part_of


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


def _name(value: object) -> str | None:
    """A name, or that of a record: {"image": "a.png", "label": 1}."""
    if isinstance(value, dict):
        value = next((value[key] for key in NAMES if isinstance(value.get(key), str)), None)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _lists_of(
    value: object, title: str, above: list[tuple[str, list[str]]], found: list[Listed]
) -> None:
    """Lists of an object and of those above it make a split, unless folds below it do."""
    if isinstance(value, list):
        value = {"split": value}  # a list of splits
    if not isinstance(value, dict):
        return
    own = list(above)
    for key, each in value.items():
        part = part_of(str(key)) if isinstance(each, list) and each else ""
        read = [_name(one) for one in each] if part else []
        if read and None not in read:
            own.append((part, [str(name) for name in read]))
    before = len(found)
    for key, each in value.items():
        inner = each if isinstance(each, list) else [each]
        for number, one in enumerate(inner):
            if isinstance(one, dict) and _name(one) is None:
                place = f"{key} {number}" if isinstance(each, list) else str(key)
                _lists_of(one, f"{title}, {place}", own, found)
    if len(found) == before and len(own) > len(above) and len({part for part, _ in own}) > 1:
        split = Listed(title)
        for part, names in own:
            split.add(names, part)
        found.append(split)
