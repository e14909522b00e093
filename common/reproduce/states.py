"""What has become of each item, read from the run folders and the workers' notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import config as configuration
from common import leases, measurements, runs, tables, writers
from common.errors import InputError
from common.files import expanded
from common.reproduce.job import noted
from common.reproduce.work import Item

FOLDER = measurements.FOLDER
"""Folder under that of the runs: claims, logs, failures, and what steps make."""

STATES = ("done", "stale", "running", "failed", "interrupted", "ready", "waiting")
"""What an item can be. stale: done, by other code; interrupted: begun, it will go on; ready: it can
begin; waiting: something that it needs is not done."""


@dataclass(frozen=True)
class State:
    """What has become of an item.

    Attributes
    ----------
    name : str
        One of `STATES`.
    run : Path, optional
        The training's run folder.
    words : str
        Why, or who, in words.
    facts : mapping
        Of a finished run: seconds, commit and cpu of its environment.json.
    """

    name: str
    run: Path | None = None
    words: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def done(self) -> bool:
        """Whether what it makes is there."""
        return self.name in ("done", "stale")


@dataclass(frozen=True)
class Place:
    """Where runs live, and whether they are of synthetic tissue.

    Attributes
    ----------
    runs_dir : Path
    synthetic : bool
        Look at runs of the demo's tissue, which fill no row, or at the others.
    fabricated : bool
        Look at runs that a test made up, and no others.
    """

    runs_dir: Path
    synthetic: bool = False
    fabricated: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs_dir", expanded(self.runs_dir))
        if self.runs_dir.exists() and not self.runs_dir.is_dir():
            raise InputError(f"{self.runs_dir}: no folder of runs; give one with --runs-dir")

    @property
    def folder(self) -> Path:
        """Claims, logs, failures, made: of this kind of tissue."""
        return self.runs_dir / (f"{FOLDER}-demo" if self.synthetic else FOLDER)

    def takes(self, record: runs.Record) -> bool:
        """Whether a run is of the kind that is looked at.

        Parameters
        ----------
        record : Record
        """
        if self.fabricated or record.fabricated:
            return self.fabricated and record.fabricated
        return record.synthetic == self.synthetic

    def claim(self, item: Item) -> Path:
        """Who works on an item.

        Parameters
        ----------
        item : Item
        """
        return self.folder / "claims" / f"{item.slug}.json"

    def log(self, item: Item) -> Path:
        """What its commands said.

        Parameters
        ----------
        item : Item
        """
        return self.folder / "logs" / f"{item.slug}.txt"

    def failure(self, item: Item) -> Path:
        """When it failed, and why.

        Parameters
        ----------
        item : Item
        """
        return self.folder / "failed" / f"{item.slug}.json"

    def made(self, item: Item) -> Path:
        """The folder that a step fills.

        Parameters
        ----------
        item : Item
        """
        return self.folder / measurements.MADE / item.slug


def states(items: Sequence[Item], place: Place) -> dict[str, State]:
    """Look at all items.

    Parameters
    ----------
    items : sequence of Item
        In order: each after what it needs.
    place : Place

    Returns
    -------
    dict
        Key -> state.
    """
    found: dict[str, State] = {}
    known = {item.key: item for item in items}
    kinds: dict[str, dict[type, None]] = {}
    for item in items:
        kinds.setdefault(item.paper, {})[type(item.config)] = None
    trained = {paper: _runs(paper, list(classes), place) for paper, classes in kinds.items()}
    commit = runs.commit()
    for item in items:
        found[item.key] = _state(item, known, found, trained[item.paper], place, commit)
    return found


Key = tuple[str, tuple[tuple[str, int], ...]]
Runs = dict[Key, runs.Run]


def _state(
    item: Item,
    known: Mapping[str, Item],
    found: Mapping[str, State],
    trained: Runs,
    place: Place,
    commit: str | None,
) -> State:
    source = known[item.of] if item.of else item
    alone = item.step is not None and not item.of  # a step of no run
    run = None if alone else trained.get(_key(source.config, source.round))
    path = None if run is None else run.path
    if item.step is None:
        done = run is not None and run.finished
    else:
        done = (not item.of or found[item.of].done) and _proven(proof(item, known, found, place))
    if done:
        facts = _environment(path) if path else noted(proof(item, known, found, place))
        stale = commit is not None and facts.get("commit") not in (commit, None)
        words = f"made by commit {str(facts.get('commit'))[:10]}" if stale else ""
        return State("stale" if stale else "done", path, words, facts)
    claimed = leases.holder(place.claim(item))
    if claimed is not None:
        words = f"on {claimed.get('host')}, process {claimed.get('pid')}"
        return State("running", path, words)
    if item.step is None and path is not None and writers.is_held(path):
        return State("running", path, "by a command of its own")
    failure = noted(place.failure(item))
    if failure:
        return State("failed", path, str(failure.get("reason", "")))
    missing = [each for each in item.needs if not found[each].done]
    if missing:
        failed = [each for each in missing if found[each].name == "failed"]
        return State("waiting", path, f"for {missing[0]}" + (", which failed" if failed else ""))
    if run is not None and item.step is None:
        return State("interrupted", path, "it goes on where it stopped")
    return State("ready", path)


def proof(
    item: Item, known: Mapping[str, Item], found: Mapping[str, State], place: Place
) -> Path | None:
    """The file that is there when a step is done; None before the training that it needs is.

    Parameters
    ----------
    item : Item
        Of a step.
    known : mapping
        Key -> item.
    found : mapping
        Key -> state of what it needs.
    place : Place
    """
    assert item.step is not None
    run = found[item.of].run if item.of else None
    if item.of and run is None:
        return None
    return Path(item.step.proof.format(**names(item, known, run, place)))


def names(item: Item, known: Mapping[str, Item], run: Path | None, place: Place) -> dict[str, str]:
    """What stands for what in a step's commands: the run, its own folder, those of steps before.

    Parameters
    ----------
    item : Item
    known : mapping
        Key -> item.
    run : Path or None
        Folder of the training's run; None of a step that needs none.
    place : Place
    """
    found = {"out": str(place.made(item))} | ({} if run is None else {"run": str(run)})
    for key in item.needs:
        if known[key].step is not None:
            found[known[key].kind] = str(place.made(known[key]))
    return found


def _proven(file: Path | None) -> bool:
    if file is None or not file.is_file():
        return False
    if file.suffix != ".json":
        return True
    values = noted(file)
    return bool(values) and values.get("finished", True) is not None


def whole(run: runs.Run) -> bool:
    """Whether a run saw all images that it should have.

    Parameters
    ----------
    run : Run
        Of one of synthetic tissue nobody knows how many there should be.
    """
    record = run.record
    if record.skipped or record.own:
        return False
    return record.synthetic or not tables.missing_images(record)


def _runs(package: str, kinds: Sequence[type], place: Place) -> Runs:
    """Whole runs of a package by config and round; of several of one, the last one finished."""
    found: Runs = {}
    for file in sorted((place.runs_dir / package).glob("*/config.json")):
        try:
            run = runs.load(file.parent)
        except InputError:
            continue  # `python -m common.runs` says what is wrong with it
        record = run.record
        if not place.takes(record) or not whole(run):
            continue
        for kind in kinds:
            key = _key_of(record.config, configuration.first_defaults(kind))
            if key not in found or run.finished >= found[key].finished:
                found[key] = run
    return found


def _key(config: Any, varied: Mapping[str, int]) -> Key:
    return configuration.config_sha256(config), tuple(sorted(varied.items()))


def _key_of(config: Mapping[str, Any], first: Mapping[str, Any]) -> Key:
    """The key of a run's config, as `_key` makes it of a preset's."""
    values = {**first, **config}
    varied = {name: values[name] for name in configuration.VARIED if name in values}
    return configuration.config_sha256(config, first), tuple(sorted(varied.items()))


def _environment(run: Path | None) -> dict[str, Any]:
    return {} if run is None else noted(run / "environment.json")
