"""What runs there are, and what a run is: for lists, in words and numbers."""

from __future__ import annotations

import contextlib
import csv
import datetime
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import writers
from common.errors import InputError, many
from common.files import read_json, read_text
from common.metrics import shown
from common.notices import SYNTHETIC_PREFIX
from common.runs.environment import now
from common.runs.folder import Run, load
from common.runs.naming import folders

FINISHED, RUNNING, INTERRUPTED, FAILED, DAMAGED = (
    "finished", "running", "interrupted", "failed", "damaged",
)  # fmt: skip
"""What a state begins with."""


@dataclass(frozen=True)
class Listed:
    """A run as a list shows it."""

    path: Path
    run: Run | None
    """None if its `config.json` is damaged."""
    state: str
    """One of the words above, and how far it came."""
    score: str
    size: int
    """Bytes on disk, checkpoints included."""
    changed: datetime.datetime | None
    """When it finished or, unfinished, began."""


def listing(runs_dir: str | Path, package: str | None = None) -> list[Listed]:
    """Describe all runs below a folder, the oldest first.

    Parameters
    ----------
    runs_dir : path
    package : str, optional
        Only those of this paper.

    Raises
    ------
    InputError
        If `runs_dir` is no folder.
    """
    found = [describe_run(folder) for folder in folders(runs_dir, package)]
    oldest = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return sorted(found, key=lambda each: (each.changed or oldest, each.path))


def describe_run(path: Path) -> Listed:
    """Describe one run.

    Parameters
    ----------
    path : Path
        Its folder.
    """
    try:
        run = load(path)
    except InputError:
        return Listed(path, None, DAMAGED, "", size_on_disk(path), None)
    record = run.record
    changed = None
    with contextlib.suppress(TypeError, ValueError):
        changed = datetime.datetime.fromisoformat(record.finished or record.created or "")
        if changed.tzinfo is None:
            changed = changed.replace(tzinfo=datetime.UTC)
    return Listed(path, run, state(run), score(run), size_on_disk(path), changed)


def state(run: Run) -> str:
    """Say whether a run is finished or, if not, how far it came.

    Parameters
    ----------
    run : Run
    """
    if run.finished:
        return FINISHED
    far = _progress(run)
    if writers.is_held(run.path):
        return f"{RUNNING}, {far}"
    if run.record.failed is not None:
        return f"{FAILED} {far}"
    return f"{INTERRUPTED} {far}"


def _progress(run: Run) -> str:
    if run.record.get("kind") == "gan":  # its states count steps of the critic
        last = _last_row(run.path / "history.csv").get("kimg")
        return f"at {last} of {run.config.get('kimg')} kimg" if last else "before the first save"
    done = max(
        (int(file.stem[6:]) for file in (run.path / "checkpoint").glob("state-[0-9]*.npz")
         if file.stem[6:].isdigit()), default=0,
    )  # fmt: skip
    total = run.config.get("epochs")
    if (run.path / "model.keras").is_file():
        return "after the training"
    return f"at epoch {done}{f' of {total}' if total else ''}"


def _last_row(file: Path) -> dict[str, str]:
    try:
        rows = list(csv.DictReader(read_text(file).splitlines()))
    except (InputError, csv.Error):
        return {}
    return rows[-1] if rows else {}


def score(run: Run) -> str:
    """Give a run's main score with its interval, as text; "" where it has none.

    Parameters
    ----------
    run : Run
    """
    found = scores(run)
    if isinstance(found.get("accuracy"), (int, float)):
        text = f"{100 * found['accuracy']:.1f} %"
        pair = found.get("accuracy_ci")
        if isinstance(pair, list) and len(pair) == 2:
            text += f" [{100 * pair[0]:.1f} to {100 * pair[1]:.1f}]"
        return text
    if isinstance(found.get("kid"), (int, float)):
        return f"KID {found['kid']:.3g}"
    return ""


def scores(run: Run) -> Mapping[str, Any]:
    """What a run's `metrics.json` holds; nothing where it is missing or damaged.

    Parameters
    ----------
    run : Run
    """
    with contextlib.suppress(InputError):
        return read_json(run.path / "metrics.json")
    return {}


def size_on_disk(path: Path) -> int:
    """Bytes of all files in a folder.

    Parameters
    ----------
    path : Path
    """
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
    return total


def age(when: datetime.datetime | None) -> str:
    """Time since then, in its largest unit.

    Parameters
    ----------
    when : datetime or None
        None gives "".
    """
    if when is None:
        return ""
    seconds = max(0.0, (now() - when).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def row_of(run: Run) -> str:
    """The table row that a run is of, or what its config is called.

    Parameters
    ----------
    run : Run
    """
    return f"{SYNTHETIC_PREFIX if run.synthetic else ''}{run.record.preset}"


def drawn(run: Run) -> str:
    """Count the images and patients of each part of a run's split.

    Parameters
    ----------
    run : Run

    Returns
    -------
    str
        "" without a split.csv that can be read.
    """
    try:
        rows = list(csv.DictReader(read_text(run.path / "split.csv").splitlines()))
    except (InputError, csv.Error):
        return ""
    images = Counter(row.get("part") for row in rows)
    cases = Counter(
        part for part, case in {(row.get("part"), row.get("case")) for row in rows} if case
    )
    return ", ".join(
        f"{part} {many(count, 'image')}"
        + (f" of {many(cases[part], 'patient')}" if cases[part] else "")
        for part, count in images.items()
        if part
    )


def environment_of(run: Run) -> dict[str, Any]:
    """What a run's `environment.json` says, packages among the rest, its times aside.

    Parameters
    ----------
    run : Run
    """
    try:
        found = dict(read_json(run.path / "environment.json"))
    except InputError:
        return {}
    packages = found.pop("packages", {})
    found |= packages if isinstance(packages, dict) else {}
    return {
        name: value
        for name, value in found.items()
        if name not in ("command", "started", "finished", "seconds")
    }


def scores_of(run: Run) -> dict[str, str]:
    """Scores of a run's test set by their titles, each with its interval.

    Parameters
    ----------
    run : Run
    """
    found = scores(run)
    if "accuracy" not in found:
        names = ("kid", "fid", "precision", "recall")
        return {n: f"{found[n]:.4g}" for n in names if isinstance(found.get(n), (int, float))}
    lines = {}
    try:
        told = [("", each) for each in shown.of_test(found)]
        for name in found.get("classes", ()):
            told += [(f"{name}: ", each) for each in shown.of_class(found, name)]
        for prefix, each in told:
            text = each.text
            if each.interval is not None:
                low, high = (each.score.text(end).removesuffix(" %") for end in each.interval)
                text += f" [{low} to {high}]"
            lines[f"{prefix}{each.score.title}"] = text
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return {}  # a damaged file
    return {"images": str(found.get("n", "")), **lines}
