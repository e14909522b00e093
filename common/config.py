"""Hyper-parameters that state their source, and the command line made from them.

A paper's `Config` is a frozen dataclass whose fields are made by `hp`. `parse` turns it, with the
paper's presets, into flags; `--help` prints for every value where it comes from.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from common.errors import InputError

ASSUMED = "ASSUMED: "
"""Begins the source of a value that the paper leaves open; the reason follows."""

DEVIATION = "DEVIATION: "
"""Begins the source of a value that differs from what the paper says; the reason follows."""

VARIED = ("seed", "split_seed", "fold")
"""Fields in which runs of one table row may differ."""

C = TypeVar("C")


def hp(
    default: Any, help: str, source: str, *, low: float | None = None, high: float | None = None
) -> Any:
    """Make a dataclass field for a hyper-parameter.

    Parameters
    ----------
    default : object
        The value of the paper's main row.
    help : str
        What it is, with its unit.
    source : str
        Section or table of the paper, or `ASSUMED` or `DEVIATION` followed by the reason.
    low, high : float, optional
        Smallest and largest value that make sense; `check` refuses others.
    """
    metadata = {"help": help, "source": source, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=metadata)


def _option(default: Any, help: str) -> Any:
    return hp(default, help, source="")


@dataclass(frozen=True)
class Execution:
    """How a run is executed. Nothing here can change a prediction, so nothing here is hashed."""

    data_dir: Path | None = _option(
        None, "folder with the data set; unset: the environment variable HISTOPAPERS_DATA"
    )
    runs_dir: Path = _option(Path("runs"), "folder for run folders")
    cache_dir: Path | None = _option(
        None, "folder for decoded images; unset: HISTOPAPERS_CACHE or the user's cache folder"
    )
    split_file: Path | None = _option(
        None, "CSV with the columns image and part, for --split file; its content is hashed"
    )
    fold_files: Path | None = _option(
        None, "folder with dsfold1.txt ... dsfold5.txt, for BreakHis' official split"
    )
    workers: int = _option(1, "threads that prepare batches; one keeps up with a real network")
    skip_bad: bool = _option(
        False, "leave out images that cannot be used instead of stopping; the run says which"
    )
    fresh: bool = _option(False, "delete what an earlier run of the same config left, start anew")


@dataclass(frozen=True)
class Request(Generic[C]):
    """What a user asked for on the command line."""

    config: C
    execution: Execution
    preset: str


def parse(
    config_class: type[C],
    presets: Mapping[str, C],
    *,
    package: str,
    description: str,
    arguments: Sequence[str] | None = None,
    execution_class: type[Any] = Execution,
    module: str = "train",
) -> Request[C]:
    """Read a training command's flags.

    `--preset NAME` (or `--demo`, short for `--preset demo`) sets the values from which the other
    flags differ; without it they are the defaults of `config_class`.

    Parameters
    ----------
    config_class : type
        The paper's frozen dataclass of `hp` fields.
    presets : mapping of str to config_class
        The paper's table rows and `demo`.
    package, description : str
        Shown by `--help`.
    arguments : sequence of str, optional
        Default: `sys.argv[1:]`.
    execution_class : type
        `Execution`, a subclass of it with what one paper adds, or what another command needs.
    module : str
        The command's module in the package.
    """
    import tyro

    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = _take_preset(arguments, presets)
    start = presets[name] if name else config_class()
    flags = _described(config_class, start)
    execution_flags = _described(execution_class, execution_class())
    both = dataclasses.make_dataclass(
        "Flags",
        [
            ("config", Annotated[flags, tyro.conf.arg(name="")], flags()),
            ("execution", Annotated[execution_flags, tyro.conf.arg(name="")], execution_flags()),
        ],
        frozen=True,
    )
    description = (
        f"{description}\n\nEvery value names its source in [brackets]: the paper's section or "
        f"table, or why we assumed it."
    )
    if presets:
        listing = "\n".join(f"  {preset}" for preset in presets)
        description += (
            f"\n\n--preset NAME starts from one of (--demo is short for --preset demo):\n{listing}"
        )
    parsed = tyro.cli(
        tyro.conf.OmitArgPrefixes[both],
        args=rest,
        prog=f"python -m {package}.{module}",
        description=description,
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )
    config = config_class(**_shallow(parsed.config))
    check(config)
    execution = execution_class(**_shallow(parsed.execution))
    if execution.data_dir is None and os.environ.get("HISTOPAPERS_DATA"):
        execution = dataclasses.replace(execution, data_dir=Path(os.environ["HISTOPAPERS_DATA"]))
    return Request(config, execution, preset_name(config, presets, name))


def check(config: Any) -> None:
    """Refuse values outside the bounds that their `hp` states.

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
    """Name of the preset that `config` equals (seeds and fold aside), or what to call it."""
    if asked and differences(config, presets[asked]) == []:
        return asked
    for name, preset in presets.items():
        if differences(config, preset) == []:
            return name
    return f"{asked}-changed" if asked else "custom"


def differences(config: Any, other: Any) -> list[str]:
    """Names of the fields in which two configs differ, the `VARIED` ones aside.

    Either may be a dataclass or the mapping that a run's `config.json` holds.
    """
    a, b = (json.loads(json.dumps(to_dict(each))) for each in (config, other))
    names = [*a, *(name for name in b if name not in a)]
    missing = object()
    return [
        name
        for name in names
        if name not in VARIED and a.get(name, missing) != b.get(name, missing)
    ]


def to_dict(config: Any) -> dict[str, Any]:
    """Field names and values of a config, as JSON can hold them."""
    values = dict(config) if isinstance(config, Mapping) else _shallow(config)
    return {
        name: value.as_posix() if isinstance(value, Path) else value
        for name, value in values.items()
    }


def from_dict(config_class: type[C], values: Mapping[str, Any]) -> C:
    """Make a config from what `to_dict` gave (after JSON: lists become tuples again).

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
    return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def sources(config: Any) -> list[dict[str, Any]]:
    """One row per field: name, value, default, changed, help, source. For the report."""
    rows = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        rows.append(
            {
                "name": field.name,
                "value": value,
                "default": field.default,
                "changed": value != field.default,
                "help": field.metadata["help"],
                "source": field.metadata["source"],
            }
        )
    return rows


def _shallow(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _take_preset(arguments: list[str], presets: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """Take `--preset NAME` and `--demo` out of the arguments."""
    import argparse

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    parser.add_argument("--demo", action="store_true")
    known, rest = parser.parse_known_args(arguments)
    if known.demo and known.preset not in (None, "demo"):
        raise InputError("--demo is a preset of its own: leave out --preset, or --demo")
    name = "demo" if known.demo else known.preset
    if name is not None and name not in presets:
        import difflib

        near = difflib.get_close_matches(name, presets, n=3, cutoff=0.3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise InputError(f"--preset {name}: unknown; {hint}--help lists all {len(presets)}")
    return name, rest


def _described(dataclass_type: type, start: Any) -> type:
    """Copy a dataclass with `start`'s values as defaults and help texts that tyro can read."""
    import tyro

    hints = typing.get_type_hints(dataclass_type)
    fields = []
    for field in dataclasses.fields(dataclass_type):
        text = field.metadata["help"]
        if field.metadata["source"]:
            text = f"{text} [{field.metadata['source']}]"
        fields.append(
            (
                field.name,
                Annotated[hints[field.name], tyro.conf.arg(help=text)],
                dataclasses.field(default=getattr(start, field.name)),
            )
        )
    return dataclasses.make_dataclass(dataclass_type.__name__, fields, frozen=True)
