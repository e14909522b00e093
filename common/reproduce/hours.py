"""How long work takes, and how much disk.

From runs that exist, else from what `doctor` measured, else a guess from the operations.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import config as configuration
from common import runs
from common.errors import InputError
from common.files import read_json
from common.reproduce.states import Place, State
from common.reproduce.work import Item

GUESSED = 30e9
"""Multiply-accumulates a second, where nothing was measured: two or three cores of a laptop; a
graphics card does fifty times as many."""

START = 20 / 3600
"""Hours that each command takes besides: framework, compiling, pictures, page."""

STEP = 0.1
"""Hours of a generation, an export or a measurement, where none was timed; of a demo, `START`."""

SOURCES = ("runs", "rate", "doctor", "guess")
"""Where hours come from: runs of the same row on this machine; other runs of it here, by their
operations; `doctor --time`; a stated rate."""

MEASURED = "rates.json"
"""What `doctor --time` measured on each machine, in the folder of `Place`."""

RUN_BYTES = 150e6
"""Bytes of a finished run, where there is none to look at."""


@dataclass(frozen=True)
class Estimate:
    """Hours of an item.

    Attributes
    ----------
    hours : float
    source : str
        One of `SOURCES`.
    """

    hours: float
    source: str


def estimates(
    items: Sequence[Item], found: Mapping[str, State], place: Place
) -> dict[str, Estimate]:
    """Hours that each item takes, or took, on this machine.

    Parameters
    ----------
    items : sequence of Item
    found : mapping
        Key -> state.
    place : Place

    Returns
    -------
    dict
        Key -> estimate.
    """
    here = runs.machine()
    timed: dict[tuple[str, str], list[float]] = {}
    speeds: dict[tuple[str, str], list[float]] = {}
    for item in items:
        seconds = _seconds(found[item.key], here)
        if item.step is None and seconds:
            row = item.paper, configuration.config_sha256(item.config)
            timed.setdefault(row, []).append(seconds)
            if item.amount:
                speeds.setdefault((item.paper, item.module), []).append(item.amount / seconds)
    measured = _measured(place)
    return {
        item.key: _step(item, place)
        if item.step is not None
        else _estimate(item, found[item.key], timed, speeds, measured, here)
        for item in items
    }


def _estimate(
    item: Item,
    state: State,
    timed: Mapping[tuple[str, str], list[float]],
    speeds: Mapping[tuple[str, str], list[float]],
    measured: Mapping[str, float],
    here: Mapping[str, Any],
) -> Estimate:
    own = _seconds(state, here)
    same = [own] if own else timed.get((item.paper, configuration.config_sha256(item.config)), [])
    if same:
        return Estimate(statistics.median(same) / 3600, "runs")
    near = speeds.get((item.paper, item.module), [])
    if near:
        return Estimate(item.amount / statistics.median(near) / 3600, "rate")
    if rate_name(item) in measured:
        return Estimate(item.amount / measured[rate_name(item)] / 3600, "doctor")
    return Estimate(item.amount / GUESSED / 3600 + START, "guess")


def _step(item: Item, place: Place) -> Estimate:
    """Of what is no training: counting takes its start, and so does all that is small."""
    small = place.synthetic or item.kind == "complexity"
    return Estimate(START if small else STEP, "guess")


def _seconds(state: State, here: Mapping[str, Any]) -> float | None:
    """How long a finished run took, if it was made on this machine in one go."""
    seconds = state.facts.get("seconds")
    same = state.facts.get("cpu") == here["cpu"] and state.facts.get("threads") == here["threads"]
    return float(seconds) if same and isinstance(seconds, int | float) and seconds > 0 else None


def _measured(place: Place) -> dict[str, float]:
    """Multiply-accumulates a second by paper and network, as measured on this machine."""
    with contextlib.suppress(OSError, InputError):
        values = read_json(place.folder / MEASURED)
        if isinstance(values, dict):
            mine = values.get(machine_name(), {})
            return {name: float(rate) for name, rate in mine.items() if float(rate) > 0}
    return {}


def rate_name(item: Item) -> str:
    """Name a training's speed: its paper and, where that has several, its network.

    Parameters
    ----------
    item : Item
        A training.
    """
    return f"{item.paper} {getattr(item.config, 'network', item.module)}"


def machine_name() -> str:
    """Name this machine by what decides how fast it is: processor, cores, backend."""
    here = runs.machine()
    return ", ".join(str(here[name]) for name in ("cpu", "threads", "backend"))


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder.

    Parameters
    ----------
    folder : Path
    """
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def disk(items: Sequence[Item], found: Mapping[str, State]) -> float:
    """Bytes that what is not done will take, from the finished runs of each paper.

    Parameters
    ----------
    items : sequence of Item
    found : mapping
        Key -> state.
    """
    sizes: dict[str, list[int]] = {}
    for item in items:
        run = found[item.key].run
        few = len(sizes.get(item.paper, ())) < 3  # enough to know, and quick
        if item.step is None and found[item.key].done and run is not None and few:
            sizes.setdefault(item.paper, []).append(folder_bytes(run))
    total = 0.0
    for item in items:
        if item.step is None and not found[item.key].done:
            known = sizes.get(item.paper)
            total += statistics.mean(known) if known else RUN_BYTES
    return total
