"""Configs as values: bounds, comparison, identity, and how they go to JSON and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.config.fields import VARIED, C
from common.errors import InputError


def check(config: Any) -> None:
    """Refuse values outside the bounds that their `hp` states.

    Parameters
    ----------
    config : dataclass
        Fields made by `hp`.

    Raises
    ------
    InputError
        Naming the flag, the value and the bounds.
    """
    for field in dataclasses.fields(config):
        low, high = field.metadata["low"], field.metadata["high"]
        value = getattr(config, field.name)
        if value is None or (low is None and high is None):
            continue
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f"at least {low}" if high is None else f"between {low} and {high}"
            raise InputError(f"--{field.name.replace('_', '-')} {value}: must be {bounds}")


def preset_name(config: Any, presets: Mapping[str, Any], asked: str | None = None) -> str:
    """Name of the preset that `config` equals (seeds and fold aside), or what to call it.

    Parameters
    ----------
    config : dataclass
    presets : mapping of str to dataclass
    asked : str, optional
        The preset that was asked for: it comes before others that are equal.
    """
    if asked and differences(config, presets[asked]) == []:
        return asked
    for name, preset in presets.items():
        if differences(config, preset) == []:
            return name
    return f"{asked}-changed" if asked else "custom"


def differences(config: Any, other: Any) -> list[str]:
    """Names of the fields in which two configs differ, the `VARIED` ones aside.

    Parameters
    ----------
    config, other : dataclass or mapping
        Either may be what a run's `config.json` holds; a field that it lacks is newer than the run
        and has its first default.
    """
    first = {**first_defaults(config), **first_defaults(other)}
    a, b = ({**first, **json.loads(json.dumps(to_dict(each)))} for each in (config, other))
    missing = object()
    return [
        name
        for name in {**to_dict(config), **to_dict(other)}
        if name not in VARIED and a.get(name, missing) != b.get(name, missing)
    ]


def first_defaults(config: Any) -> dict[str, Any]:
    """First default of every field, as JSON holds it; nothing for a mapping.

    Parameters
    ----------
    config : dataclass, its type, or mapping
    """
    if isinstance(config, Mapping):
        return {}
    return json.loads(
        json.dumps(
            {
                field.name: _plain(field.metadata["first"])
                for field in dataclasses.fields(config)
                if "first" in field.metadata
            }
        )
    )


def identity(config: Any) -> dict[str, Any]:
    """What a config is known by: its fields that differ from their first defaults.

    So a new setting leaves the identity of every older run alone, and a default that changes
    makes other runs.

    Parameters
    ----------
    config : dataclass
        Fields made by `hp`.

    Returns
    -------
    dict
        As JSON holds it.
    """
    first = first_defaults(config)
    values = json.loads(json.dumps(to_dict(config)))
    return {
        name: value
        for name, value in values.items()
        if name not in first or value != first[name] or type(value) is not type(first[name])
    }


def config_sha256(config: Any, first: Mapping[str, Any] | None = None) -> str:
    """Hash of all that a config says, seeds and fold aside: what makes a row.

    Parameters
    ----------
    config : dataclass or mapping
        Fields made by `common.config.hp`, or what a run's `config.json` holds of them.
    first : mapping, optional
        Of a mapping: the first default of every field (`common.config.first_defaults`).
    """
    if isinstance(config, Mapping):
        said = {**(first or {}), **config}
    else:
        said, first = to_dict(config), first_defaults(config)
    telling = {
        name: text
        for name, value in said.items()
        if name not in VARIED
        and (text := json.dumps(value)) != json.dumps((first or {}).get(name, ...), default=str)
    }
    return hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()


def to_dict(config: Any) -> dict[str, Any]:
    """Field names and values of a config, as JSON can hold them.

    Parameters
    ----------
    config : dataclass or mapping
    """
    values = dict(config) if isinstance(config, Mapping) else shallow(config)
    return {name: _plain(value) for name, value in values.items()}


def from_dict(config_class: type[C], values: Mapping[str, Any]) -> C:
    """Make a config from what `to_dict` gave (after JSON: lists become tuples again).

    Parameters
    ----------
    config_class : type
        The paper's Config.
    values : mapping
        What a run's `config.json` holds. A field that it lacks is newer than the run and has its
        first default.

    Raises
    ------
    InputError
        If a field is unknown, which means that another version wrote it.
    """
    known = {field.name for field in dataclasses.fields(config_class)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(
            f"the run's config has unknown fields {', '.join(unknown)}: another version of "
            f"histopapers wrote it; use that version (see environment.json)"
        )
    values = {**first_defaults(config_class), **values}
    return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def sources(config: Any) -> list[dict[str, Any]]:
    """One row per field: name, value, default, first, changed, help, source.

    Parameters
    ----------
    config : dataclass
        Fields made by `hp`.
    """
    rows = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        rows.append(
            {
                "name": field.name,
                "value": value,
                "default": field.default,
                "first": field.metadata["first"],
                "changed": value != field.default,
                "help": field.metadata["help"],
                "source": field.metadata["source"],
            }
        )
    return rows


def _plain(value: Any) -> Any:
    return value.as_posix() if isinstance(value, Path) else value


def shallow(config: Any) -> dict[str, Any]:
    """Field names and values of a dataclass, as they are.

    Parameters
    ----------
    config : dataclass
    """
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
