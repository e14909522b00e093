"""Results as data: one line per run and score, in ``results/<paper>.csv``.

Tables are built from these files, too, without the run folders, and two people's files can be put
together. A line says which config, data, split, code and machine it comes from, and the hash of the
predictions from which anybody can compute it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import read_table, write_csv
from common.measurements import Measurement, kind_of

FOLDER = Path("results")
"""Where the files lie, in the repository."""

COLUMNS = (
    "run_id", "paper", "preset", "config_sha256", "dataset", "n_images", "data_hash", "split",
    "split_hash", "seed", "split_seed", "fold", "synthetic", "leaks", "metric", "unit", "value",
    "k", "n", "low", "high", "predictions_sha256", "commit", "dirty", "versions", "hardware",
    "threads", "seconds", "tier", "date",
)  # fmt: skip
"""Of every file, in this order."""

KEY = ("run_id", "metric", "predictions_sha256")
"""What a line is known by."""

TIERS = ("reproduced here", "reproduced by others", "self-reported")
"""Who vouches for a line: this repository's own runs; others' runs, checked from their predictions;
others' word alone."""

TISSUE = ("False", "True", "fabricated")
"""What `synthetic` may be: real tissue; generated images; nothing at all, made up by a test."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class Recorded:
    """A run that is known from its lines alone.

    Attributes
    ----------
    run_id, preset, config_sha256, tier : str
    config : dict
        `seed`, `split_seed` and `fold`, as far as the lines say them.
    synthetic : bool
        Of no real tissue: generated, or made up by a test.
    fabricated : bool
        Made up by a test.
    metrics : dict
        In the shape of metrics.json, with the scores that the lines have.
    """

    run_id: str
    preset: str
    config_sha256: str
    tier: str
    config: dict[str, int]
    synthetic: bool
    fabricated: bool
    metrics: dict[str, Any] = field(repr=False)


def read(file: str | Path) -> list[dict[str, str]]:
    """Read a file of results, and check it.

    Parameters
    ----------
    file : path

    Returns
    -------
    list of dict
        A line each, all text.

    Raises
    ------
    InputError
        If a column is missing, a line stands twice, or a number is none.
    """
    table = read_table(file, COLUMNS, repair="collect the results again")
    lines: list[dict[str, str]] = [
        {str(name): str(value) for name, value in row.items()} for row in table.to_dict("records")
    ]
    seen: set[tuple[str, ...]] = set()
    for number, line in enumerate(lines, 2):
        key = tuple(line[name] for name in KEY)
        if key in seen:
            raise InputError(f"{file}, line {number}: {line['metric']} of {line['run_id']} twice")
        seen.add(key)
        for name in ("value", "low", "high", "k", "n", "seconds"):
            if line[name] and not _is_number(line[name]):
                raise InputError(f"{file}, line {number}, column {name}: {line[name]!r}: no number")
        if line["tier"] not in TIERS:
            raise InputError(f"{file}, line {number}: tier {line['tier']!r}: {', '.join(TIERS)}")
        if line["synthetic"] not in TISSUE:
            raise InputError(
                f"{file}, line {number}: synthetic {line['synthetic']!r}: {', '.join(TISSUE)}"
            )
    return lines


def write(file: str | Path, lines: Iterable[Row]) -> None:
    """Write a file of results, its lines in an order of their own.

    Parameters
    ----------
    file : path
    lines : iterable of mapping
    """
    import pandas as pd

    order = sorted(
        lines,
        key=lambda line: (
            *(line[name] for name in ("preset", "seed", "split_seed", "fold")),
            *(line[name] for name in KEY),
        ),
    )
    frame = pd.DataFrame([{name: line[name] for name in COLUMNS} for line in order])
    write_csv(file, frame.reindex(columns=list(COLUMNS)))


def merged(*files: Iterable[Row]) -> list[Row]:
    """Put lines of several files together; of one that stands twice, the one best vouched for.

    Parameters
    ----------
    *files : iterable of mapping
        Lines of each.

    Returns
    -------
    list of mapping
    """
    found: dict[tuple[str, ...], Row] = {}
    for line in (line for lines in files for line in lines):
        key = tuple(line[name] for name in KEY)
        if key not in found or TIERS.index(line["tier"]) < TIERS.index(found[key]["tier"]):
            found[key] = line
    return list(found.values())


def recorded(lines: Iterable[Row]) -> list[Recorded]:
    """Runs that lines tell of.

    Parameters
    ----------
    lines : iterable of mapping
        Of one paper.

    Returns
    -------
    list of Recorded
        In the order of their first lines.
    """
    groups = _grouped(line for line in lines if kind_of(line["metric"]) is None)
    return [_recorded(group) for group in groups]


def measured(lines: Iterable[Row]) -> list[Measurement]:
    """Counts of networks and benches that lines tell of.

    Parameters
    ----------
    lines : iterable of mapping
        Of one paper.

    Returns
    -------
    list of Measurement
        In the order of their first lines.
    """
    groups = _grouped(line for line in lines if kind_of(line["metric"]) is not None)
    return [_measured(group) for group in groups]


def _grouped(lines: Iterable[Row]) -> list[list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for line in lines:
        groups.setdefault((line["run_id"], line["predictions_sha256"]), []).append(line)
    return list(groups.values())


def _measured(lines: list[Row]) -> Measurement:
    first = lines[0]
    kind = kind_of(first["metric"]) or ""
    timed = kind == "bench"
    return Measurement(
        kind,
        {line["metric"]: _number(line["value"]) for line in lines if line["value"]},
        {
            line["metric"]: (float(line["low"]), float(line["high"]))
            for line in lines
            if line["low"] and line["high"]
        },
        paper=first["paper"],
        config_sha256=first["config_sha256"],
        run_id=first["run_id"] if timed else "",
        device=first["hardware"] if timed else "",
        words=f"{kind}, {first['tier']}",
        synthetic=first["synthetic"] != "False",
        commit=first["commit"],
        date=first["date"],
        sha256=first["predictions_sha256"],
    )


def _recorded(lines: list[Row]) -> Recorded:
    first = lines[0]
    metrics: dict[str, Any] = {}
    for line in lines:
        if line["value"]:
            _put(metrics, line["metric"], _number(line["value"]))
        if line["low"] and line["high"]:
            section, path = metrics, line["metric"]
            if path.startswith("by_magnification."):
                _, magnification, path = path.split(".", 2)
                section = metrics.setdefault("by_magnification", {}).setdefault(magnification, {})
            section.setdefault("intervals", {})[path] = [float(line["low"]), float(line["high"])]
    varied = {
        name: int(first[name]) for name in ("seed", "split_seed", "fold") if first[name] != ""
    }
    return Recorded(
        first["run_id"],
        first["preset"],
        first["config_sha256"],
        first["tier"],
        varied,
        first["synthetic"] != TISSUE[0],
        first["synthetic"] == TISSUE[2],
        metrics,
    )


def _put(metrics: dict[str, Any], path: str, value: float) -> None:
    """Set a value at a dotted path; the name of a magnification or class has no dot."""
    *sections, last = path.split(".")
    for name in sections:
        metrics = metrics.setdefault(name, {})
    metrics[last] = value


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() and "." not in text and "e" not in text else value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
