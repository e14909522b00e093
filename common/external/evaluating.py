"""Judging a run on other data; what these share with the data it was trained on."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import acquaintance, confidence, evaluation, runs, splits, terminal
from common.errors import InputError
from common.external import adapting, scale, trained
from common.external import copies as copied
from common.external.others import Others
from common.external.reading import Reader, Seen
from common.files import read_json, write_json
from common.predictions import of_part
from common.predictions import table as predictions_table
from common.predictions import write as write_predictions
from common.runs import EXTERNAL, WITHOUT_COPIES

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    run: runs.Run,
    others: Others,
    adapted: Sequence[str] = (),
    *,
    share: float = 0.3,
    seed: int = 0,
    match: scale.Match | None = None,
    stain_method: str = "macenko",
    trained_data_dir: Path | None = None,
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
    match : Match, optional
        Brings the images to the training's scale first.
    stain_method : str
        Of `common.stain.METHODS`, for the way "stain".
    trained_data_dir : Path, optional
        Where the run's own images lie, if not where it notes it.

    Returns
    -------
    dict
        What external.json holds; its `metrics` are those of metrics.json, `adapted` is what
        adapted.json holds, `without_copies` the metrics of what the run has no copy of, None where
        there is none.

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
    names = table["image"].tolist()
    adapts, by = np.zeros(len(table), bool), ""
    if adapted:  # what cannot be is told before hours of images
        trained.require_method(stain_method)
        adapts, by = adapting.parted(run, table, adapted, share=share, seed=seed)
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
        "scale": scale.compare(run, others),
    }
    backend.load()
    model = runs.load_model(run)
    if "batchnorm" in adapted:
        adapting.require_norms(run, model)
    own = functools.cache(lambda: trained.find_or_say(run, trained_data_dir))
    if trained_data_dir is not None:
        own()  # refuses a folder that is not it
    reader, seen = Reader(run, others, match), Seen()
    values = reader.probabilities(model, names, seen)
    if match is not None:
        matched = scale.told(match, seen.fields, seen.shares)
        found["scale"] |= {"matched": matched, "words": matched["words"]}
    shared, copies = copied.shared(run, others, seen, own)
    found |= shared
    for words in found["leaks"]:
        terminal.line(f"warning: {words}", always=True)
    odd: dict[str, list[Path]] = {}
    for name in names:
        for kind in seen.odd[name]:
            odd.setdefault(kind, []).append(others.root / name)
    acquaintance.tell(odd, len(names))
    found["unlike"] = {kind: len(which) for kind, which in odd.items()}
    judged = predictions_table(table, values, list(run.record["classes"]))
    validation = _validation(run)
    metrics = _metrics(run, judged, found, validation)
    apart = judged[~judged["image"].isin(copies)]
    without = _metrics(run, apart, found, validation) if copies and len(apart) else None
    tables: dict[str, Any] = {}
    ways: dict[str, Any] = {}
    if adapted:
        ways, tables = adapting.adapt(
            reader, judged, adapted, adapts, fields=seen.fields,
            stain=lambda: trained.stain_of(run, stain_method, own()),
        )  # fmt: skip
        ways = {"by": by, "share": share, "seed": seed} | ways
    with runs.changing(run.path):
        _write(folder, found, judged, metrics, without, tables, ways)
    report.write(run.path)
    return found | {"metrics": metrics, "without_copies": without, "adapted": ways}


def _validation(run: runs.Run) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """A run's predictions of its own validation images, and its split; None if they are damaged."""
    with contextlib.suppress(InputError):
        return of_part(evaluation.read_run(run), "validation"), splits.read(run.path / "split.csv")
    return None, None


def _metrics(
    run: runs.Run,
    judged: pd.DataFrame,
    found: dict[str, Any],
    validation: tuple[pd.DataFrame | None, pd.DataFrame | None],
) -> dict[str, Any]:
    """Scores, and how what the run chose on its own validation images holds here."""
    import pandas as pd

    classes, positive = list(run.record["classes"]), run.record.positive
    metrics = evaluation.evaluate(
        judged, classes, positive=positive, split="other data", synthetic=bool(found["synthetic"])
    )
    own, split = validation
    metrics["confidence"] = confidence.of_predictions(
        judged if own is None else pd.concat([own, judged], ignore_index=True),
        classes,
        positive=positive,
        split=split,
    )
    return metrics


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
    without: dict[str, Any] | None,
    tables: dict[str, pd.DataFrame],
    ways: dict[str, Any],
) -> None:
    """Write a folder of which external.json is the last: without it, it counts as not there."""
    (folder / "external.json").unlink(missing_ok=True)
    stales = (folder / "adapted.json", folder / WITHOUT_COPIES, *folder.glob("predictions-*.csv"))
    for stale in stales:
        stale.unlink(missing_ok=True)  # of an earlier command
    write_predictions(folder / "predictions.csv", judged)
    write_json(folder / "metrics.json", metrics)
    if without is not None:
        write_json(folder / WITHOUT_COPIES, without)
    for name in (each for each in tables if each in adapting.METHODS):
        write_predictions(folder / f"predictions-{name}.csv", tables[name])
    if ways:
        write_json(folder / "adapted.json", ways)
    write_json(folder / "external.json", found)
