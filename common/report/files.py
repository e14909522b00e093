"""The files of a run folder, read once; what is missing or damaged is None or empty, and named."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pandas as pd

from common import charts, figures, predictions, runs
from common.errors import DAMAGE, RESTORE
from common.files import read_json, read_table
from common.metrics import read_scores
from common.report.words import known

Content = TypeVar("Content")


@dataclass(frozen=True)
class RunFiles:
    """What a run folder says; only `config.json` is sure to be there."""

    path: Path
    record: runs.Record
    """`config.json`."""
    metrics: Mapping[str, Any]
    """`metrics.json`; empty without it."""
    environment: Mapping[str, Any]
    """`environment.json`; empty without it."""
    leakage: Mapping[str, Any]
    """`leakage.json`; empty without it."""
    split: pd.DataFrame | None
    """`split.csv`, all text: case numbers and the class "0" are names."""
    history: pd.DataFrame | None
    """`history.csv`, all float; what is no number is NaN."""
    test: pd.DataFrame | None
    """Test part of `predictions.csv`; None without it, or without an image in it."""
    classes: tuple[str, ...]
    """In the order of `config.json`, else of `predictions.csv`."""
    damaged: tuple[str, ...]
    """A sentence for each file that was left out because it is damaged."""
    light: bool = False
    """For a page among many: drawn in milliseconds, without pictures of tissue, without links to
    the run's files and without the places of a machine."""

    @property
    def synthetic(self) -> bool:
        """Whether the run saw synthetic images."""
        return self.record.synthetic

    @property
    def charts(self) -> ModuleType:
        """What draws its charts: `figures`, or `charts` for a light page."""
        return charts if self.light else figures

    @property
    def config(self) -> Mapping[str, Any]:
        """The fields of the paper's Config."""
        return self.record.config

    @property
    def kept_epoch(self) -> int | None:
        """Epoch whose weights were kept, as the training noted it; None where no file says it."""
        if self.record.kept_epoch is not None:
            return self.record.kept_epoch
        # Runs of before the training noted it.
        epoch = self.metrics.get("best_epoch")
        return int(epoch) if known(epoch) else None

    @property
    def whole(self) -> bool:
        """Whether every image of the data set was there, as far as it is known."""
        images, expected = self.record.n_images, self.record.expected_images
        return images is None or expected is None or images == expected


def read(run_path: str | Path, *, classifier: bool = True, light: bool = False) -> RunFiles:
    """Read a run folder.

    Parameters
    ----------
    run_path : path
        The run folder; only `config.json` must be there.
    classifier : bool
        Refuse another run than a classifier's. Of any other, `history.csv` and `predictions.csv`
        are not read: what they hold is its paper's business.
    light : bool
        For a page among many, see `RunFiles`.

    Returns
    -------
    RunFiles
        With `damaged` telling what could not be read.

    Raises
    ------
    InputError
        If the folder is no run folder, or holds no classifier though one is wanted.
    """
    run = runs.load_classifier(run_path) if classifier else runs.load(run_path)
    damaged: list[str] = []

    def take(name: str, reader: Callable[[Path], Content]) -> Content | None:
        path = run.path / name
        if not path.is_file():
            return None
        try:
            return reader(path)
        except DAMAGE as error:
            reason = str(error).replace(f"{path}: ", "").replace(str(path), name)
            damaged.append(f"{name} is damaged and was left out: {reason}")
            return None

    scores = functools.partial(read_scores, repair=RESTORE)
    metrics = take("metrics.json", scores if classifier else read_json) or {}
    environment = take("environment.json", read_json) or {}
    split = take("split.csv", _split)
    history = take("history.csv", _history) if classifier else None
    classes = list(run.record.classes or [])
    found = None
    if classifier:
        found = take("predictions.csv", lambda path: predictions.read(path, classes or None))
    if not classes and found is not None:
        classes = predictions.classes_of(found)
    test = None if found is None else predictions.of_part(found)
    return RunFiles(
        path=run.path,
        record=run.record,
        metrics=metrics,
        environment=environment,
        leakage=take("leakage.json", read_json) or {},
        split=split,
        history=history,
        test=test if test is not None and len(test) else None,
        classes=tuple(classes),
        damaged=tuple(damaged),
        light=light,
    )


def _split(path: Path) -> pd.DataFrame:
    return read_table(path, ("image", "label", "part"), whole=True)


def _history(path: Path) -> pd.DataFrame:
    frame = read_table(path, ("epoch", "loss", "accuracy"), whole=True)
    if frame.empty:
        raise ValueError("no epochs in it")
    return frame.apply(pd.to_numeric, errors="coerce").astype(float)
