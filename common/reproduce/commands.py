"""From an item to its commands, as they would be typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import config as configuration
from common import datasets
from common.datasets import synthetic
from common.errors import InputError
from common.reproduce.states import Place, State, names
from common.reproduce.work import Item, of_paper


@dataclass(frozen=True)
class Options:
    """What trainings are told besides their preset.

    Attributes
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

    def folder(self, dataset: str) -> Path:
        """Folder of a data set: the one of its name in `data_dir`, or that itself.

        Parameters
        ----------
        dataset : str

        Raises
        ------
        InputError
            If there is none; the message says how the data are obtained.
        """
        root = datasets.data_folder(datasets.get(dataset), self.data_dir)
        own = root / dataset
        return own if own.is_dir() else root


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
    run = found[item.of].run if item.of else None
    if item.of and run is None:
        raise InputError(f"{item.key}: its training is not done")
    stands = {**names(item, known, run, place), "data": data}
    return [[part.format(**stands) for part in command] for command in item.step.commands]


def _training(
    item: Item, known: Mapping[str, Item], place: Place, data: str, options: Options
) -> list[str]:
    preset = of_paper(item.paper).presets[item.preset]
    command = ["-m", f"{item.paper}.{item.module}"]
    command += configuration.typed(item.config, preset, item.preset)
    command += ["--data-dir", data] if data else []
    command += ["--runs-dir", str(place.runs_dir)]
    if options.cache_dir is not None:
        command += ["--cache-dir", options.cache_dir]
    if options.patients is not None and item.dataset == "bach":
        command += ["--patients", options.patients]
    if item.flag:
        command += [item.flag, str(place.made(known[item.needs[0]]))]
    return command


def _data(item: Item, place: Place, options: Options) -> str:
    """Folder of an item's data set."""
    if not item.dataset:
        return options.data_dir or ""
    if place.synthetic:
        return str(tissue(place, item.dataset))
    return str(options.folder(item.dataset))


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
