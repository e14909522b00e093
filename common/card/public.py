"""What of a run's record may go out: chosen by name, so that a new fact is private at first."""

from __future__ import annotations

import re
from typing import Any

from common.runs import Record

_FIELDS = (
    "package", "config", "synthetic", "preset", "data", "weights", "schema", "run_id", "created",
    "finished", "sources", "dataset", "licence", "classes", "positive", "n_images",
    "expected_images", "leaks", "kept_epoch", "gradcam_layers",
)  # fmt: skip

_FACTS = (
    "appearance", "trained_size", "rgb_mean", "rgb_std", "stain_normalizer", "recompressed",
    "generated", "fabricated", "second_epoch",
)  # fmt: skip
"""Facts beside the fields, of which `example.py` needs some."""

_PLACE = re.compile(r"[/\\]|^~")

_FILE = "a file"
"""Stands for a file of its maker's."""

OWN = "own data"
"""A data set of one's own, whose list or folder is not named."""


def public(record: Record) -> Record:
    """Leave out of a record whatever tells of its maker's folders, machines, commands and images.

    Parameters
    ----------
    record : Record
        Of a run.

    Returns
    -------
    Record
        What a published `config.json` holds, and a card is written from.
    """
    values = record.to_json()
    kept = {name: values[name] for name in _FIELDS if name in values}
    kept |= {name: _placeless(values[name]) for name in _FACTS if name in values}
    kept["config"] = {name: _setting(name, value) for name, value in record.config.items()}
    kept["sources"] = [
        {
            name: _setting(str(row.get("name")), value)
            if name in ("value", "default", "first")
            else value
            for name, value in row.items()
        }
        for row in record.sources
    ]
    if record.skipped:
        kept["left_out"] = len(record.skipped)
    if record.own:
        kept |= {"dataset": OWN, "own": {}}
    return Record.from_json(kept)


def _setting(name: str, value: Any) -> Any:
    """A setting's value; a file of weights needs no separator to be one."""
    if name == "weights" and value not in ("none", "imagenet"):
        return _FILE
    return _placeless(value)


def _placeless(value: Any) -> Any:
    """A value of JSON with no path in it."""
    if isinstance(value, dict):
        return {key: _placeless(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_placeless(each) for each in value]
    return _FILE if isinstance(value, str) and _PLACE.search(value) else value
