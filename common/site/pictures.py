"""Pictures over the runs of a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common import charts, config, tables
from common.report.pictures import Picture, embedded
from common.site.gather import Known, setting_beside
from common.site.run import Made

ROWS = 22
"""How many rows one picture has at most."""

LONGEST = 28
"""Letters of a row's name beside a picture."""

LINES = 6
"""How many learning curves one picture has at most."""

Runs = Mapping[str, tuple[str, Made]]
"""Key of a finished training -> address of its page from the front page, and what it showed."""


def overview(known: Known) -> list[Picture]:
    """Accuracies of all rows as dots; empty where nothing has run.

    Parameters
    ----------
    known : Known

    Returns
    -------
    list of Picture
    """
    table = known.table[
        (known.table["unit"] == "percent")
        & known.table["metrics_key"].str.fullmatch(r"(by_magnification\.\w+\.)?accuracy")
        & known.table["ours"].notna()
    ].drop_duplicates(["preset", "metrics_key", "printed"])
    rows = [
        charts.Row(
            _name(record), float(record["printed"]),
            _known(record["ours"]), _pair(record, ""),
            _known(record["honest_ours"]), _pair(record, "honest_"),
        )
        for record in table.to_dict("records")
    ]  # fmt: skip
    return [
        embedded(charts.rows(part), _in_words(part))
        for part in (rows[i : i + ROWS] for i in range(0, len(rows), ROWS))
    ]


def _name(record: Mapping[str, Any]) -> str:
    """A row's name or, where that is long, its preset's, which tells it from others sooner."""
    name = f"{record['table']}, {record['row']}"
    if len(name) <= LONGEST:
        return name
    path = str(record["metrics_key"]).split(".")
    return f"{record['preset']}" if len(path) == 1 else f"{record['preset']} {path[1]}"


def _in_words(rows: Sequence[charts.Row]) -> str:
    said = []
    for row in rows:
        twin = "" if row.twin is None else f", honest twin {row.twin:.1f}"
        said.append(f"{row.name}: printed {row.printed:.1f}, ours {row.ours:.1f}{twin}")
    return f"Accuracy in percent. {'; '.join(said)}."


def _known(value: Any) -> float | None:
    return None if tables.unknown(value) else float(value)


def _pair(record: Mapping[str, Any], prefix: str) -> tuple[float, float] | None:
    low, high = _known(record[f"{prefix}low"]), _known(record[f"{prefix}high"])
    return None if low is None or high is None else (low, high)


def curves(known: Known, made: Runs) -> list[tuple[Picture, str]]:
    """Learning curves of the rows of each table, beside one another.

    Parameters
    ----------
    known : Known
    made : mapping
        See `Runs`.

    Returns
    -------
    list of (Picture, str)
        With captions.
    """
    lines: dict[str, list[Made]] = {}
    for item in known.trainings:
        if item.key in made and made[item.key][1].epochs:
            lines.setdefault(item.preset, []).append(made[item.key][1])
    found, drawn = [], set()
    for name, part in known.table.groupby("table", sort=False):
        presets = [p for p in dict.fromkeys(part["preset"]) if p in lines]
        for group in beside(known, presets):
            if tuple(group) in drawn:
                continue
            drawn.add(tuple(group))
            means = {preset: mean_curve(lines[preset]) for preset in group}
            title = tables.table_title(str(name))
            ends = ", ".join(f"{p} {y[-1]:.3f}" for p, (_, y) in means.items())
            alt = f"Validation accuracy by epoch. At the end: {ends}."
            counts = {len(lines[preset]) for preset in group}
            rounds = f"; means of {max(counts)} rounds" if max(counts) > 1 else ""
            picture = embedded(charts.progress(means, "Validation accuracy"), alt)
            found.append((picture, f"{title}{rounds}."))
    return found


def beside(known: Known, presets: Sequence[str]) -> list[list[str]]:
    """Put presets together that belong in one picture.

    Parameters
    ----------
    known : Known
    presets : sequence of str
        Of one table.

    Returns
    -------
    list of list of str
        Those that differ in the paper's chosen setting alone, where it has one with several values
        here; otherwise a few at a time.
    """
    name = setting_beside(known.package)
    values = {preset: config.to_dict(known.paper.presets[preset]) for preset in presets}
    if name and len({values[preset].get(name) for preset in presets}) > 1:
        groups: dict[str, list[str]] = {}
        for preset in presets:
            rest = {key: value for key, value in values[preset].items() if key != name}
            groups.setdefault(repr(rest), []).append(preset)
        return list(groups.values())
    return [list(presets[i : i + LINES]) for i in range(0, len(presets), LINES)]


def mean_curve(found: Sequence[Made]) -> tuple[list[float], list[float]]:
    """Mean of several learning curves, as far as the shortest goes.

    Parameters
    ----------
    found : sequence of Made
        At least one.

    Returns
    -------
    (list of float, list of float)
        Epochs and means.
    """
    length = min(len(each.epochs) for each in found)
    values = np.mean([each.accuracy[:length] for each in found], axis=0)
    return found[0].epochs[:length], values.tolist()


def magnifications(known: Known, made: Runs) -> list[dict[str, Any]]:
    """Confusion matrices and ROC curves by magnification, of runs that drew them.

    Parameters
    ----------
    known : Known
    made : mapping
        See `Runs`.

    Returns
    -------
    list of dict
        As the template shows them.
    """
    return [
        {
            "name": f"{item.preset}{' (honest twin)' if item.twin else ''}",
            "pictures": list(made[item.key][1].pictures.values()),
            "address": f"../{made[item.key][0]}",
        }
        for item in known.trainings
        if item.key in made and made[item.key][1].pictures
    ]
