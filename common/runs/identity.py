"""How a run is known: by what can change its predictions, and by nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import datasets, terminal
from common.config import PaperConfig, Request
from common.datasets import Card
from common.datasets.own import OwnImages
from common.errors import InputError
from common.files import expanded, file_hash, plain
from common.runs.record import Record

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = 2
"""Version of the way in which ids are made."""


def weights_id(weights: str) -> str:
    """`none`, `imagenet`, or the SHA-256 of the file that `weights` names.

    Parameters
    ----------
    weights : str
        What `--weights` says.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if weights in ("none", "imagenet"):
        return weights
    path = expanded(weights)
    if not path.is_file():
        raise InputError(f"--weights {weights}: no such file; give imagenet, none or a file")
    return file_hash(path)


def run_id(
    package: str,
    config: Mapping[str, Any],
    data: str,
    weights: str,
    first: Mapping[str, Any] | None = None,
) -> str:
    """First 10 hex digits of the SHA-256 over all that can change a run's predictions.

    Parameters
    ----------
    package : str
        Name of the paper's package.
    config : mapping
        Every field of its Config. `weights` is left out: the file's place does not matter, its
        content does.
    data : str
        Hash of the index (`common.datasets.index_hash`).
    weights : str
        From `weights_id`.
    first : mapping, optional
        The first default of each field. A field that has it is left out, so that a new setting
        leaves old ids alone, and a default that changes makes new ones.
    """
    identity = {
        "schema": IDENTITY,
        "package": package,
        "config": dict(_telling(config, first or {})),
        "data": data,
        "weights": weights,
    }
    text = json.dumps(plain(identity), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _telling(config: Mapping[str, Any], first: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Fields that tell a run from others: not `weights`, and not at their first default."""
    return [
        (name, value)
        for name, value in sorted(config.items())
        if name != "weights"
        and not (name in first and json.dumps(plain(value)) == json.dumps(plain(first[name])))
    ]


def id_of(record: Record) -> str:
    """The id of the run that a record describes.

    Parameters
    ----------
    record : Record
    """
    return run_id(record.package, record.config, record.data, record.weights, _first(record))


def same_run(record: Record, other: Record) -> bool:
    """Whether two records describe one run, whatever version of the code named its folder.

    Parameters
    ----------
    record, other : Record
        A field that only one of them knows counts as the first default that one of them gives.
    """
    first = {**_first(other), **_first(record)}
    return all(
        getattr(record, name) == getattr(other, name)
        for name in ("package", "data", "weights", "synthetic")
    ) and plain(_telling(record.config, first)) == plain(_telling(other.config, first))


def _first(record: Record) -> dict[str, Any]:
    return {
        str(row["name"]): row["first"] for row in record.sources if "first" in row and "name" in row
    }


def describe(
    package: str,
    request: Request[PaperConfig],
    dataset: Card,
    index: pd.DataFrame,
    *,
    leaks: Sequence[str] = (),
    skipped: Sequence[tuple[str, str]] = (),
    expected_images: int | None = None,
    more_data: str = "",
) -> Record:
    """Gather what `config.json` says of a run before it starts.

    Parameters
    ----------
    package : str
        The paper's package.
    request : common.config.Request
    dataset : Card
        For example `common.datasets.bci`.
    index : DataFrame
        The images used.
    leaks : sequence of str
        What may flatter the result, in words.
    skipped : sequence of (image, reason)
        What `--skip-bad` left out (`Pixels.skipped`).
    expected_images : int, optional
        Images that the whole data set has under this config; unset, what its card says of the
        config's selection.
    more_data : str
        Hash of what else is trained on; other such data make another run.
    """
    config, execution = request.config, request.execution
    classes = dataset.CLASSES[config.classes]
    missing = datasets.missing_classes(index, classes)
    if missing:
        terminal.line(
            f"no images of {', '.join(missing)}: every table keeps it, empty", always=True
        )
    data = datasets.index_hash(index)
    root, _ = datasets.resolved(execution.data_dir)
    jpegs = 0
    if not isinstance(dataset, OwnImages):  # which may be JPEG files, and are whole as they are
        jpegs = datasets.recompressed(root or Path(), list(index["image"]))
        if expected_images is None:
            expected_images = dataset.expected_images(**datasets.selection(dataset, config))
    # Another split of the same images is another run, and so is more to train on.
    beside = []
    if config.split == "file" and execution.split_file is not None:
        beside.append(file_hash(execution.split_file))
    beside += [more_data] if more_data else []
    for each in beside:
        data = hashlib.sha256(f"{data} {each}".encode()).hexdigest()
    return Record(
        package=package,
        preset=request.preset,
        config=configuration.to_dict(config),
        sources=configuration.sources(config),
        data=data,
        weights=weights_id(config.weights),
        dataset=dataset.NAME,
        licence=dataset.LICENCE,
        classes=list(classes),
        positive=dataset.POSITIVE[config.classes],
        n_images=len(index),
        expected_images=expected_images,
        synthetic=bool(index.synthetic.any()),
        leaks=list(leaks),
        skipped=[{"image": image, "reason": reason} for image, reason in skipped],
        command=request.command,
        name=execution.name,
        facts={"recompressed": jpegs} if jpegs else {},
    )
