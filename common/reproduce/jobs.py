"""An item as a job: its commands, written down so that any process on any host can do it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import config as configuration
from common import datasets
from common.datasets import synthetic
from common.errors import InputError
from common.files import read_json, write_json
from common.reproduce.items import Item, of_paper
from common.reproduce.states import Place, State, names


@dataclass(frozen=True)
class Options:
    """What trainings are told besides their preset.

    Parameters
    ----------
    data_dir : str or None
        Folder of the data, or of one folder per data set (``breakhis``, ``bci``, ``bach``); unset:
        $HISTOPAPERS_DATA.
    cache_dir : str or None
        Of decoded images.
    patients : str or None
        List of BACH's patients.
    """

    data_dir: str | None = None
    cache_dir: str | None = None
    patients: str | None = None


def commands(
    item: Item,
    known: Mapping[str, Item],
    found: Mapping[str, State],
    place: Place,
    options: Options,
) -> list[list[str]]:
    """What does an item, one command after the other, as they would be typed after ``python``.

    Parameters
    ----------
    item : Item
    known : mapping
        Key -> item.
    found : mapping
        Key -> state; what the item needs is done.
    place : Place
    options : Options

    Returns
    -------
    list of list of str

    Raises
    ------
    InputError
        If there are no data, or what it needs is not done.
    """
    data = _data(item, place, options)
    if item.step is None:
        return [_training(item, known, place, data, options)]
    run = found[item.of].run
    if run is None:
        raise InputError(f"{item.key}: its training is not done")
    stands = {**names(item, known, run, place), "data": data}
    return [[part.format(**stands) for part in command] for command in item.step.commands]


def _training(
    item: Item, known: Mapping[str, Item], place: Place, data: str, options: Options
) -> list[str]:
    preset = of_paper(item.paper).presets[item.preset]
    command = ["-m", f"{item.paper}.{item.module}"]
    command += configuration.typed(item.config, preset, item.preset)
    command += ["--data-dir", data, "--runs-dir", str(place.runs_dir)]
    if options.cache_dir is not None:
        command += ["--cache-dir", options.cache_dir]
    if options.patients is not None and item.dataset == "bach":
        command += ["--patients", options.patients]
    if item.flag:
        command += [item.flag, str(place.made(known[item.needs[0]]))]
    return command


def _data(item: Item, place: Place, options: Options) -> str:
    """Folder of an item's data set."""
    if place.synthetic:
        return str(tissue(place, item.dataset))
    if not item.dataset:
        return options.data_dir or ""
    root = datasets.data_folder(datasets.get(item.dataset), options.data_dir)
    own = root / item.dataset
    return str(own if own.is_dir() else root)


TISSUE: dict[str, dict[str, Any]] = {
    "bci": {"slides": 24, "patches_per_slide": 4, "size": 64},
    "breakhis": {"patients": 24, "images_per_patient": 4, "size": (64, 64)},
    "bach": {"per_class": 24, "size": (64, 64)},
}
"""Synthetic tissue of `--demo`, by data set: little of it, small."""


def tissue(place: Place, dataset: str) -> Path:
    """Write synthetic tissue, or find it written.

    Parameters
    ----------
    place : Place
    dataset : str
        A key of `TISSUE`.
    """
    return getattr(synthetic, dataset)(place.folder / "tissue" / dataset, **TISSUE[dataset])


@dataclass(frozen=True)
class Job:
    """An item's commands and where its notes go, as a file that a worker reads.

    Parameters
    ----------
    key : str
        The item's.
    commands : list of list of str
        After ``python``.
    claim, log, failure : Path
        See `Place`.
    """

    key: str
    commands: list[list[str]] = field(repr=False)
    claim: Path
    log: Path
    failure: Path

    def write(self, path: Path) -> None:
        """Write the file.

        Parameters
        ----------
        path : Path
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "key": self.key,
            "commands": self.commands,
            **{name: str(getattr(self, name)) for name in ("claim", "log", "failure")},
        }
        write_json(path, values)

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read it.

        Parameters
        ----------
        path : Path

        Raises
        ------
        InputError
            If it is no such file.
        """
        values = read_json(path, repair="`python -m common.reproduce run` writes it anew")
        try:
            paths = {name: Path(values[name]) for name in ("claim", "log", "failure")}
            return cls(values["key"], [list(map(str, c)) for c in values["commands"]], **paths)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: not a job ({error})") from None


def typed(command: list[str]) -> str:
    """A command as it would be typed.

    Parameters
    ----------
    command : list of str
        After ``python``.
    """
    return shlex.join(["python", *command])
