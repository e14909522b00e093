"""Before the hours are spent: data, weights, device, memory, disk; and how fast this machine is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from common import backend, datasets, networks, papers, runs, terminal
from common.datasets import patients
from common.errors import InputError, WriteError, listed
from common.files import atomic_path, read_json, write_json
from common.images import cache_folder
from common.reproduce.check import Finding
from common.reproduce.commands import Options
from common.reproduce.executor import gpus
from common.reproduce.hours import MEASURED, disk, machine_name, rate_name
from common.reproduce.states import Place, State
from common.reproduce.work import Item

NEEDED_GIB = 6.0
"""Memory of a training of 224 px images: TensorFlow, a batch, the mapped cache."""

STEPS = 3
"""Timed steps of a network, after one that builds its graph."""


def examine(
    items: Sequence[Item], found: Mapping[str, State], place: Place, options: Options
) -> list[Finding]:
    """Look whether what is to be done can be done here.

    Parameters
    ----------
    items : sequence of Item
    found : mapping
        Key -> state.
    place : Place
    options : Options

    Returns
    -------
    list of Finding
    """
    left = [item for item in items if not found[item.key].done]
    return [
        *_data(left, place, options),
        *_weights(left),
        _device(),
        _memory(),
        _disk(items, found, place),
        *_folders(place, options),
    ]


def require(
    items: Sequence[Item], found: Mapping[str, State], place: Place, options: Options
) -> None:
    """Make sure that what is to be done does not fail at its first step, before anything begins.

    Parameters
    ----------
    items : sequence of Item
    found : mapping
        Key -> state.
    place : Place
    options : Options

    Raises
    ------
    InputError
        If data that are needed are not there as a whole, as no row would be filled; if the list of
        patients is none, or runs or cache cannot be written.
    """
    left = [item for item in items if not found[item.key].done]
    for finding in [*_data(left, place, options), *_folders(place, options)]:
        if not finding.fine:
            raise InputError(finding.words)


def text(findings: Sequence[Finding]) -> str:
    """What was found, in words.

    Parameters
    ----------
    findings : sequence of Finding
    """
    lines = [
        f"{'ok   ' if each.fine else 'WRONG'}  {each.what:9s} {each.words}" for each in findings
    ]
    wrong = sum(not each.fine for each in findings)
    lines += ["", "all is there" if not wrong else f"{wrong} to mend before `run`"]
    return "\n".join(lines)


# --- what is looked at ---------------------------------------------------------------------------


def _data(left: Sequence[Item], place: Place, options: Options) -> list[Finding]:
    if place.synthetic:
        return [Finding("data", True, "synthetic tissue, drawn when it is needed")]
    found = []
    for name in dict.fromkeys(item.dataset for item in left if item.dataset):
        card = datasets.get(name)
        try:
            folder = options.folder(name)
            index = card.index(folder)
            have = len(index)
            if options.patients is not None and name == "bach":
                patients.require_fitting(index, options.patients)
            wanted = sum(card.EXPECTED_COUNTS.values()) if name != "bci" else card.expected_images()
            faults = card.check(folder)
        except InputError as error:
            found.append(Finding("data", False, str(error)))
            continue
        words = f"{name}: {have} of {wanted} images in {folder}"
        if faults:
            words += f"; {listed(faults)}"
        if have != wanted:
            words += "; rows are of the whole data set, python -m PKG.train takes a part of it"
        found.append(Finding("data", have == wanted and not faults, words))
    return found


def _folders(place: Place, options: Options) -> list[Finding]:
    cache = Path(options.cache_dir) if options.cache_dir else cache_folder()
    return [_writing("runs", place.runs_dir), _writing("cache", cache)]


def _weights(left: Sequence[Item]) -> list[Finding]:
    """ImageNet weights, which a machine without network needs beforehand."""
    wanted = {
        part
        for item in left
        if item.step is None and getattr(item.config, "weights", "none") == "imagenet"
        for part in _networks(item)
    }
    missing = sorted(name for name in wanted if not networks.stored_weights(name))
    if missing:
        words = (
            f"not on this machine: {', '.join(missing)}; where there is a network, Keras downloads "
            f"them; else python -m common.backbones download {' '.join(missing)} elsewhere"
        )
        return [Finding("weights", False, words)]
    return [
        Finding("weights", True, f"{len(wanted)} networks' are here" if wanted else "none needed")
    ]


def _networks(item: Item) -> tuple[str, ...]:
    """Networks of `common.networks` that a training builds."""
    name = str(getattr(item.config, "network", getattr(item.config, "feature_network", "")))
    said = papers.module_of(item.paper, "config")
    parts = getattr(said, "FUSIONS", {}).get(name, (name,))
    return tuple(part for part in parts if part in networks.NETWORKS)


def _device() -> Finding:
    cards, cores = gpus(), backend.cores()
    if cards:
        return Finding("device", True, f"{len(cards)} graphics cards, {cores} cores")
    return Finding("device", True, f"no graphics card; {cores} cores: rows take days, see `plan`")


def _memory() -> Finding:
    total = runs.environment(None).get("memory_gib")
    if total is None:
        return Finding("memory", True, "not known on this system")
    words = f"{total:.0f} GiB, of which a job at 224 px takes up to {NEEDED_GIB:.0f}"
    return Finding("memory", total >= NEEDED_GIB, words)


def _disk(items: Sequence[Item], found: Mapping[str, State], place: Place) -> Finding:
    there = next(p for p in [place.runs_dir, *place.runs_dir.absolute().parents] if p.exists())
    free, wanted = shutil.disk_usage(there).free, disk(items, found)
    words = f"{free / 1e9:.0f} GB free, about {wanted / 1e9:.1f} to be written in {place.runs_dir}"
    return Finding("disk", free > wanted, words)


def _writing(what: str, folder: Path) -> Finding:
    """Whether a file can be written in a folder, or in the one in which it will be made."""
    there = next(p for p in [folder, *folder.absolute().parents] if p.exists())
    try:
        with atomic_path(there / ".doctor") as path:
            path.write_bytes(b"x")
        (there / ".doctor").unlink()
    except (WriteError, OSError) as error:
        return Finding(what, False, f"{folder} (--{what}-dir): {error}")
    return Finding(what, True, f"{folder} can be written")


# --- how fast ------------------------------------------------------------------------------------


def measure(items: Sequence[Item], found: Mapping[str, State], place: Place) -> dict[str, float]:
    """Time a few steps of each classifier that is to be trained; kept for `plan`.

    Parameters
    ----------
    items : sequence of Item
    found : mapping
        Key -> state.
    place : Place

    Returns
    -------
    dict
        Paper and network -> multiply-accumulates a second, a pass back counted as two forward.
    """
    wanted = {
        rate_name(item): item
        for item in items
        if item.step is None and item.module == "train" and not found[item.key].done
    }
    rates: dict[str, float] = {}
    with terminal.progress("timing", len(wanted), "networks") as bar:
        for name, item in wanted.items():
            rates[name] = _rate(item)
            bar.advance()
    file = place.folder / MEASURED
    before = read_json(file) if file.is_file() else {}
    mine = {**before.get(machine_name(), {}), **rates}
    write_json(file, {**before, machine_name(): mine})
    return rates


def _rate(item: Item) -> float:
    """Multiply-accumulates a second of training steps with random images."""
    import keras
    import numpy as np

    from common import backbones

    keras.backend.clear_session()
    config = replace(item.config, weights="none")
    model = papers.module_of(item.paper, "model").build_model(config)
    model.compile(optimizer="adam", loss="categorical_crossentropy")
    rng = np.random.default_rng(0)
    size, n = config.image_size, config.batch_size
    images = rng.integers(0, 256, (n, size, size, 3)).astype(np.uint8)
    labels = np.eye(model.output_shape[-1], dtype=np.float32)[
        rng.integers(0, model.output_shape[-1], n)
    ]
    model.train_on_batch(images, labels)
    start = time.perf_counter()
    for _ in range(STEPS):
        model.train_on_batch(images, labels)
    seconds = (time.perf_counter() - start) / STEPS
    return 3.0 * n * backbones.multiply_accumulates(model) / seconds
