"""Judging a run on other data; what these share with the data it was trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import acquaintance, classification, datasets, evaluation, runs, terminal
from common.errors import InputError, listed
from common.external import adapting
from common.external.others import Others
from common.files import file_hash, read_json, read_table, write_json
from common.predictions import table as predictions_table
from common.predictions import write as write_predictions
from common.report.files import EXTERNAL
from common.report.words import plural

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 256  # images in memory


def evaluate(
    run: runs.Run,
    others: Others,
    adapted: Sequence[str] = (),
    *,
    share: float = 0.3,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a run on other data, and write what is found under the run.

    Parameters
    ----------
    run : Run
        A finished classifier. Images are decoded, stain-normalised and scaled as in its training.
    others : Others
        The data.
    adapted : sequence of str
        Ways to adapt it to part of them, keys of `adapting.METHODS`; the rest is judged.
    share : float
        Of the images that adapt.
    seed : int
        Of their draw.

    Returns
    -------
    dict
        What external.json holds; its `metrics` are those of metrics.json, `adapted` is what
        adapted.json holds.

    Raises
    ------
    InputError
        Naming every file that cannot be used; if the run has results on other data of this name.
    """
    from common import backend, report

    _require_other(run, others)
    folder = run.path / EXTERNAL / others.name
    _require_same(folder, others)
    table = others.table.assign(part="test")
    paths = [others.root / image for image in table["image"]]
    found: dict[str, Any] = {
        "name": others.name,
        "title": others.title,
        "dataset": others.dataset,
        "source": others.source,
        "root": str(others.root.resolve()),
        "images": len(table),
        "patients": int(table["case"][table["case"] != ""].nunique()),
        "unknown_patients": int((table["case"] == "").sum()),
        "synthetic": bool(table["synthetic"].any()),
        "labels": others.labels,
        "left_out": others.left_out,
        "scale": _scale(run, others),
    } | _shared(run, others, paths)
    for words in found["leaks"]:
        terminal.line(f"warning: {words}", always=True)
    backend.load()
    model = runs.load_model(run)
    values: list[np.ndarray] = []
    odd: dict[str, list[Path]] = {}
    for start in range(0, len(paths), _AT_ONCE):
        pixels, kinds = classification.read_and_look(run, paths[start : start + _AT_ONCE])
        for kind, which in kinds.items():
            odd.setdefault(kind, []).extend(which)
        values.append(model.predict(pixels, batch_size=16, verbose=0))
    acquaintance.tell(odd, len(paths))
    found["unlike"] = {kind: len(which) for kind, which in odd.items()}
    classes = list(run.record["classes"])
    judged = predictions_table(table, np.concatenate(values).astype(float), classes)
    metrics = evaluation.evaluate(
        judged,
        classes,
        positive=run.record.positive,
        split="other data",
        synthetic=bool(found["synthetic"]),
    )
    tables: dict[str, Any] = {}
    ways: dict[str, Any] = {}
    if adapted:
        ways, tables = adapting.adapt(run, judged, paths, adapted, share=share, seed=seed)
    with runs.changing(run.path):
        _write(folder, found, judged, metrics, tables, ways)
    report.write(run.path)
    return found | {"metrics": metrics, "adapted": ways}


def _require_other(run: runs.Run, others: Others) -> None:
    if not run.finished:
        raise InputError(f"{run.path}: the training has not finished; run its command again")
    if others.table.empty:
        raise InputError(f"{others.title}: no image is left to judge; see --label-map")


def _require_same(folder: Path, others: Others) -> None:
    """Refuse a name under which results on other data stand."""
    held: dict[str, Any] = {}
    with contextlib.suppress(InputError):  # none, or damaged: it is written anew
        held = read_json(folder / "external.json")
    mine = {"title": others.title, "source": others.source, "root": str(others.root.resolve())}
    # Folders of older versions name no source, and roots as they were typed.
    keys = ("source", "root") if "source" in held else ("title",)
    if held and any(held.get(key) != mine[key] for key in keys):
        raise InputError(
            f"{folder}: holds the results on other data ({held.get('source', held.get('title'))}, "
            f"images in {held.get('root')}); give these a name of their own with --name"
        )


def _write(
    folder: Path,
    found: dict[str, Any],
    judged: pd.DataFrame,
    metrics: dict[str, Any],
    tables: dict[str, pd.DataFrame],
    ways: dict[str, Any],
) -> None:
    """Write a folder of which external.json is the last: without it, it counts as not there."""
    (folder / "external.json").unlink(missing_ok=True)
    for stale in (folder / "adapted.json", *folder.glob("predictions-*.csv")):
        stale.unlink(missing_ok=True)  # of an earlier command
    write_predictions(folder / "predictions.csv", judged)
    write_json(folder / "metrics.json", metrics)
    for name in (each for each in tables if each in adapting.METHODS):
        write_predictions(folder / f"predictions-{name}.csv", tables[name])
    if ways:
        write_json(folder / "adapted.json", ways)
    write_json(folder / "external.json", found)


def _shared(run: runs.Run, others: Others, paths: Sequence[Path]) -> dict[str, Any]:
    """Images, by the hash of their files, and patients that the run has seen."""
    copies = {"train": 0, "validation": 0, "test": 0}
    leaks, known = [], False
    with contextlib.suppress(InputError):
        split = read_table(run.path / "split.csv", ("image", "part"))
        hashes = read_table(run.path / "images.csv", ("image", "sha256"))
        names = split["image"].str.rpartition("/")[2]
        parts = dict(zip(names, split["part"], strict=True))
        parts |= dict(zip(split["image"], split["part"], strict=True))
        seen = {
            sha: parts.get(image, "")
            for image, sha in zip(hashes["image"], hashes["sha256"], strict=True)
        }
        with terminal.progress("comparing", len(paths), "images") as bar:
            for path in bar.over(paths):
                if (part := seen.get(file_hash(path), "")) in copies:
                    copies[part] += 1
        known = True
        cases = set(split.get("case", ())) - {""}
        leaks += _patients(run, others, cases)
    for part, what in (("train", "trained on"), ("validation", "chosen by")):
        if copies[part]:
            leaks.append(
                f"{copies[part]} of {len(paths)} images are copies of images that the run was "
                f"{what}: these are no other data"
            )
    if not known:
        leaks.append("whether images are copies of those trained on is not known: the run's "
                     "images.csv or split.csv is missing")  # fmt: skip
    return {"copies": copies, "leaks": leaks}


def _patients(run: runs.Run, others: Others, cases: set[str]) -> list[str]:
    """Patients of the run's data; where a list named them, equal names may be chance."""
    shared = others.table["case"].isin(cases)
    same = others.dataset and others.dataset == run.record.dataset
    if not shared.any() or not (same or run.record.own or not others.dataset):
        return []
    names = others.table["case"][shared].unique()
    some = f"{int(shared.sum())} of {len(shared)} images are of {plural(len(names), 'patient')}"
    if same:
        return [f"{some} of the run's own data"]
    return [
        f"{some} whose names stand in the run's own data, too ({listed(names)}): they may be the "
        "same"
    ]


def _scale(run: runs.Run, others: Others) -> dict[str, Any]:
    """At which magnification the run was trained, and these images are, as far as it is known."""
    trained: set[str] = set()
    with contextlib.suppress(InputError):
        split = read_table(run.path / "split.csv", ("image", "part"))
        if "magnification" in split:
            trained = set(split["magnification"][split["part"] == "train"]) - {""}
    here = set(others.table["magnification"]) - {""}
    theirs: dict[str, float] = {}
    with contextlib.suppress(InputError):
        theirs = datasets.get(run.record.dataset or "").MICRONS
    found: dict[str, Any] = {
        "trained": _sorted(trained),
        "here": _sorted(here),
        "trained_microns": [theirs[m] for m in (_sorted(trained) or [""]) if m in theirs],
        "microns": [others.microns[m] for m in (_sorted(here) or [""]) if m in others.microns],
    }
    words = ""
    if found["trained_microns"] and found["microns"]:
        a, b = (float(np.mean(found[name])) for name in ("trained_microns", "microns"))
        if abs(np.log(b / a)) > 0.1:
            words = (
                f"one px of these images is {b:.3g} µm of tissue, in the training it was {a:.3g}: "
                "they show it at another scale"
            )
    elif trained and here and not here & trained:
        words = (
            f"these images are at {', '.join(_sorted(here))}, the run was trained at "
            f"{', '.join(_sorted(trained))}"
        )
    elif not (trained or found["trained_microns"]) or not (here or found["microns"]):
        words = "the scale of these images or of the training is not known, so not compared"
    return found | {"words": words}


def _sorted(magnifications: set[str]) -> list[str]:
    return sorted(magnifications, key=lambda name: (len(name), name))
