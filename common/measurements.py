"""What papers print beside scores: how large a network is, how long a device takes.

A paper's ``python -m PKG.complexity --json FILE`` counts parameters and operations, a bundle's
``bench.py`` times a device. `common.reproduce` keeps both in ``reproduce/made`` below the runs; a
file that a device wrote may be put there under any name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import config as configuration
from common import runs
from common.errors import InputError
from common.files import file_hash, read_json, write_json

FOLDER, MADE = "reproduce", "made"
"""Where the files lie: in the second, in the first, below the folder of the runs."""

KINDS = {
    "parameters": "complexity",
    "flops": "complexity",
    "latency_ms": "bench",
    "memory_mb": "bench",
}
"""First part of a key in published.csv -> what measures it; every other key is a score's."""

_UNITS = {"latency_ms": "ms", "memory_mb": "MB"}

_MEBIBYTE = 1.048576
"""In megabytes."""

_AGAIN = "`python -m common.reproduce run` makes it again"


@dataclass(frozen=True)
class Measurement:
    """Counts of a network, or what a device took.

    Attributes
    ----------
    kind : str
        "complexity" or "bench".
    values : mapping
        Key, such as ``parameters.trainable`` or ``latency_ms`` -> value.
    intervals : mapping
        Key -> 95 % interval, of what has one.
    paper, config_sha256 : str
        Of the network: configs of two papers may have one hash. "" of a bench, which knows its run.
    run_id : str
        Of the run whose model was timed.
    device : str
        On which; "" of counts.
    words : str
        How it was measured.
    synthetic : bool
        Of a demo: fills no row.
    commit : str
        That counted; "" if it is not known.
    date : str
        When it was made.
    sha256 : str
        Of a bench's file, which tells two of one run apart.
    threads : int or None
    """

    kind: str
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    paper: str = ""
    config_sha256: str = ""
    run_id: str = ""
    device: str = ""
    words: str = ""
    synthetic: bool = False
    commit: str = ""
    date: str = ""
    sha256: str = ""
    threads: int | None = None


def kind_of(key: str) -> str | None:
    """What measures a number that a paper prints; None of a score.

    Parameters
    ----------
    key : str
        `metrics_key` of published.csv.
    """
    return KINDS.get(str(key).partition(".")[0])


def unit_of(key: str) -> str:
    """Unit in which a value is kept.

    Parameters
    ----------
    key : str
        One of which `kind_of` knows.
    """
    return _UNITS.get(key, "count")


def write_counts(
    file: str | Path,
    paper: str,
    counts: Iterable[tuple[Any, Mapping[str, int]]],
    *,
    synthetic: bool,
) -> None:
    """Write counts of a paper's networks.

    Parameters
    ----------
    file : path
    paper : str
    counts : iterable of (config, mapping)
        A config, and key -> count of the network that it builds.
    synthetic : bool
        Of the networks of a demo.
    """
    write_json(
        file,
        {
            "kind": "complexity",
            "paper": paper,
            "synthetic": synthetic,
            "counts": [
                {"config_sha256": configuration.config_sha256(config), "values": dict(values)}
                for config, values in counts
            ],
            "commit": runs.commit(),
            "finished": runs.now().isoformat(timespec="seconds"),
        },
    )


def find(runs_dir: str | Path, folder: str = FOLDER) -> list[Measurement]:
    """Read all that was measured beside runs.

    Parameters
    ----------
    runs_dir : path
        Where runs live.
    folder : str
        Another one in place of `FOLDER`: that of a demo.

    Returns
    -------
    list of Measurement
        In the order of their files' names.

    Raises
    ------
    InputError
        If a file is damaged.
    """
    found: list[Measurement] = []
    for file in sorted((Path(runs_dir) / folder / MADE).glob("*.json")):
        found += read(file)
    return found


def read(file: Path) -> list[Measurement]:
    """Read a file of counts, or of a valid bench; nothing of another kind of file.

    Parameters
    ----------
    file : Path

    Raises
    ------
    InputError
        If it is damaged.
    """
    said = read_json(file, repair=_AGAIN)
    try:
        if said.get("kind") == "complexity":
            return [_counts(said, each) for each in said["counts"]]
        if "mean_ms" in said and "machine" in said:
            # A device that was throttled says itself that its numbers do not count.
            return [_bench(said, file)] if said["valid"] else []
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: damaged ({error!r}); {_AGAIN}") from None
    return []


def _counts(said: Mapping[str, Any], each: Mapping[str, Any]) -> Measurement:
    return Measurement(
        "complexity",
        {str(key): _number(value) for key, value in each["values"].items()},
        {},
        paper=str(said["paper"]),
        config_sha256=str(each["config_sha256"]),
        words="counted on the built network",
        synthetic=bool(said["synthetic"]),
        commit=str(said.get("commit") or ""),
        date=str(said["finished"]),
    )


def _bench(said: Mapping[str, Any], file: Path) -> Measurement:
    mean, count = _number(said["mean_ms"]), int(said["runs"])
    intervals = {}
    if said.get("sd_ms") is not None and count > 1:
        reach = 1.96 * _number(said["sd_ms"]) / math.sqrt(count)
        intervals["latency_ms"] = mean - reach, mean + reach
    device, threads = str(said["machine"]["device"]), int(said["threads"])
    words = f"{count} timed inferences of the {said['precision']} model with {threads} threads"
    return Measurement(
        "bench",
        {"latency_ms": mean, "memory_mb": _MEBIBYTE * _number(said["peak_memory_mib"])},
        intervals,
        run_id=str(said.get("run") or ""),
        device=device,
        words=words,
        synthetic=bool(said["synthetic"]),
        date=str(said.get("finished") or ""),
        sha256=file_hash(file),
        threads=threads,
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return value


def of_device(row: str, device: str) -> bool:
    """Whether a device is the one that a printed row names.

    Parameters
    ----------
    row : str
        ``Raspberry Pi 4 (1 GB)``.
    device : str
        As it calls itself: ``Raspberry Pi 4 Model B Rev 1.4``.
    """
    return row.partition(" (")[0].casefold() in device.casefold()


def chosen(row: str, key: str, found: Iterable[Measurement]) -> Measurement | None:
    """Of several, the one that stands beside a printed number: of its device, the last one.

    Parameters
    ----------
    row, key : str
        Of published.csv.
    found : iterable of Measurement
        Of the row's preset.
    """
    able = [each for each in found if key in each.values]
    return max(
        able, key=lambda each: (of_device(row, each.device), each.date, each.sha256), default=None
    )
