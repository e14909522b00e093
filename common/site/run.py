"""The page of a run, and what the pages of papers and data sets need of it."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import charts, report, runs
from common.files import write_text
from common.metrics import roc_by_magnification
from common.report import making
from common.report.data import data
from common.report.page import context, render
from common.report.pictures import Picture, embedded
from common.report.words import number

if TYPE_CHECKING:
    from common.report import RunFiles

COMMAND = "python -m common.reproduce site OUT"
"""What makes the pages."""


@dataclass(frozen=True)
class Task:
    """A page to write.

    Attributes
    ----------
    run : Path
        The run's folder.
    file : Path
        The page.
    crumbs : list of (str, str)
        Pages above it, and their addresses from it.
    here : str
        What it is called among them.
    pictures : bool
        Draw it by magnification, for the paper's page.
    """

    run: Path
    file: Path
    crumbs: list[tuple[str, str]]
    here: str
    pictures: bool = False


@dataclass(frozen=True)
class Made:
    """What other pages need of a run.

    Attributes
    ----------
    epochs, accuracy : list of float
        Its learning curve, on validation images or else on those trained on.
    parts : dict
        What its split shares.
    pictures : dict
        By magnification, as templates show them.
    """

    epochs: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)


def write_page(task: Task) -> Made:
    """Write a run's page.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Made
    """
    classifier = _classifies(runs.load(task.run).record)
    files = report.read(task.run, classifier=classifier, light=True)
    kinds = None if classifier else {"settings": making.settings, "data": data,
                                     "environment": making.environment}  # fmt: skip
    known = context(files) if kinds is None else context(files, kinds)
    more: dict[str, Any] = {"page_command": COMMAND, "crumbs": task.crumbs, "here": task.here}
    if files.synthetic and not files.record.fabricated:
        more["published"] = None  # no synthetic value beside a printed number
    if classifier:
        text = render("common.report/page.html", known | more)
    else:
        more["scores"] = _scores(files.metrics)
        text = render("common.site/other.html", known | more)
    write_text(task.file, text)
    return _made(files, task)


def address(run: Path) -> str:
    """Where a run's page lies, from the front page.

    Parameters
    ----------
    run : Path
        Its folder.
    """
    return f"runs/{run.parent.name}/{urllib.parse.quote(run.name)}.html"


def _classifies(record: runs.Record) -> bool:
    return record.no_classifier is None and "kind" not in record.facts


def _scores(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Plain numbers of a run that classifies nothing."""
    return [
        (name.replace("_", " "), number(float(value), 4))
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _made(files: RunFiles, task: Task) -> Made:
    history = files.history
    epochs: list[float] = []
    accuracy: list[float] = []
    if history is not None:
        column = "val_accuracy" if "val_accuracy" in history else "accuracy"
        epochs, accuracy = history["epoch"].tolist(), history[column].tolist()
    pictures = _by_magnification(files) if task.pictures else {}
    return Made(epochs, accuracy, _parts(files), pictures)


def _parts(files: RunFiles) -> dict[str, Any]:
    """What train and test share, by leakage.json."""
    compared = files.leakage
    if not compared:
        return {}
    cases = (compared.get("groups") or {}).get("case") or {}
    pair = (cases.get("pairs") or {}).get("train-test") or {}
    found: dict[str, Any] = {
        "split": files.metrics.get("split") or files.config.get("split") or "",
        "sizes": compared.get("parts") or {},
        "patients": None if not cases.get("groups") else pair.get("groups"),
        "share": None if not cases.get("groups") else pair.get("share"),
    }
    for kind in ("exact", "near"):
        twins = compared.get(kind) or {}
        found[kind] = twins.get("test_images")
    return found


def _by_magnification(files: RunFiles) -> dict[str, Picture]:
    parts = files.metrics.get("by_magnification") or {}
    positive = files.record.positive
    if not parts or files.test is None:
        return {}
    found: dict[str, Picture] = {}
    for name, part in parts.items():
        matrix, classes = part.get("confusion_matrix"), files.metrics["classes"]
        if matrix is None:
            continue
        right = sum(matrix[i][i] for i in range(len(matrix)))
        alt = f"Confusion matrix at {name}: {right} of {part['n']} test images on the diagonal."
        found[name] = embedded(charts.confusion_matrix(matrix, classes, name), alt)
    if positive in files.classes:
        curves = roc_by_magnification(files.test, positive)
        if curves:
            areas = ", ".join(f"{name} {area:.3f}" for name, (_, _, area) in curves.items())
            alt = f"ROC curves by magnification. Area under the curve: {areas}."
            found["ROC"] = embedded(charts.roc(curves), alt)
    return found
