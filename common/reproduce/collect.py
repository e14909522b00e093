"""From run folders to lines of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import config as configuration
from common import evaluation, measurements, results, runs, tables
from common.config import VARIED
from common.files import file_hash, read_json
from common.metrics import catalogue
from common.reproduce.states import Place, whole
from common.reproduce.work import of_paper
from common.tables import counts_behind, interval_behind, lookup

ALWAYS = (
    "accuracy", "balanced_accuracy", "f1_macro", "kappa", "mcc", "auc", "patient_recognition_rate",
    "specificity", "ece", "brier", "log_loss", "best_epoch",
)  # fmt: skip
"""Scores of every run, beside those that its paper prints."""

COUNTS = ("n", "n_patients", "correct", "tp_at_half", "above_half")
"""Counts behind scores, of the whole test set and of each magnification."""

CLASS_COUNTS = ("support", "tp", "tn", "fp", "fn")
"""Counts behind the scores of a class."""


def collect(
    place: Place, paper: str, folder: Path, tier: str = results.TIERS[2]
) -> tuple[int, int]:
    """Add a paper's finished runs to its file of results.

    Parameters
    ----------
    place : Place
        Where runs live; synthetic ones are marked as such.
    paper : str
    folder : Path
        Of the files.
    tier : str
        One of `common.results.TIERS`.

    Returns
    -------
    (int, int)
        How many runs were added or renewed, and how many lines the file has.
    """
    found = [
        run for run in runs.find(place.runs_dir, paper) if place.takes(run.record) and whole(run)
    ]
    beside = measured(place, paper, found, tier)
    return len(found), add(found, folder / f"{paper}.csv", tier, beside)


def add(
    found: Sequence[runs.Run], file: Path, tier: str, beside: Sequence[results.Row] = ()
) -> int:
    """Add finished runs of one paper to a file of results.

    Parameters
    ----------
    found : sequence of Run
    file : Path
        Made if it is missing, unless there is nothing to write.
    tier : str
        One of `common.results.TIERS`. Lines that are better vouched for stay.
    beside : sequence of mapping
        Lines of what was measured beside runs.

    Returns
    -------
    int
        How many lines the file has.
    """
    before = results.read(file) if file.is_file() else []
    mine = [line for run in found for line in lines(run, tier)]
    after = results.merged([*mine, *beside], before)
    if after:
        results.write(file, after)
    return len(after)


def lines(run: runs.Run, tier: str) -> list[dict[str, str]]:
    """Lines of a finished run.

    Parameters
    ----------
    run : Run
    tier : str
        One of `common.results.TIERS`.

    Returns
    -------
    list of dict
        A line for each score, `common.results.COLUMNS`, all text; 9 significant digits.

    Raises
    ------
    InputError
        If a file of the run is missing or damaged.
    """
    metrics = evaluation.read_metrics(run)
    common = _identity(run, tier)
    return [_line({**common, **score}) for score in _scores(run.record.package, metrics)]


def measured(
    place: Place, paper: str, found: Sequence[runs.Run], tier: str
) -> list[dict[str, str]]:
    """Lines of what was measured beside runs: counts of networks, benches of the runs' models.

    Parameters
    ----------
    place : Place
    paper : str
    found : sequence of Run
        Finished; a bench of any other run's model is left out.
    tier : str
        One of `common.results.TIERS`.

    Returns
    -------
    list of dict
        As `lines`. A line of counts has no run and no data; that of a bench those of its run, the
        device as `hardware`, and the SHA-256 of its own file in place of the predictions'.
    """
    by_id = {run.record.run_id: run for run in found}
    presets = {
        configuration.config_sha256(config): name
        for name, config in reversed(list(of_paper(paper, place.synthetic).presets.items()))
    }
    out = []
    for each in measurements.find(place.folder.parent, place.folder.name):
        if each.synthetic != place.synthetic:
            continue
        if each.paper == paper and each.config_sha256 in presets:
            about: dict[str, Any] = {
                "run_id": f"network-{each.config_sha256[:10]}",
                "paper": paper,
                "preset": presets[each.config_sha256],
                "config_sha256": each.config_sha256,
                "commit": each.commit,
            }
        elif each.run_id in by_id:
            about = _identity(by_id[each.run_id], tier)
            about |= {"seconds": None, "leaks": "", "hardware": each.device}
            about |= {"predictions_sha256": each.sha256, "threads": each.threads}
        else:
            continue
        about |= {"synthetic": each.synthetic, "tier": tier, "date": each.date}
        for key, value in each.values.items():
            low, high = each.intervals.get(key, (None, None))
            score = {"metric": key, "unit": measurements.unit_of(key), "value": value}
            out.append(_line({**about, **score, "low": low, "high": high}))
    return out


def _identity(run: runs.Run, tier: str) -> dict[str, Any]:
    """What all lines of a run say."""
    record = run.record
    made = read_json(run.path / "environment.json")
    predictions = run.path / "predictions.csv"
    kind = _kind(record.package, record.config)
    first = configuration.first_defaults(kind)
    values = {**first, **record.config}
    return {
        "run_id": record.run_id,
        "paper": record.package,
        "preset": record.preset,
        "config_sha256": configuration.config_sha256(record.config, first),
        "dataset": record.dataset,
        "n_images": record.n_images,
        "data_hash": record.data,
        "split": values.get("split", ""),
        "split_hash": record.split_sha256,
        **{name: values.get(name) for name in VARIED},
        "synthetic": results.TISSUE[2] if record.fabricated else record.synthetic,
        "leaks": "; ".join(record.leaks),
        "predictions_sha256": file_hash(predictions) if predictions.is_file() else "",
        "commit": made.get("commit"),
        "dirty": made.get("dirty"),
        "versions": _versions(made),
        "hardware": made.get("cpu"),
        "threads": made.get("threads"),
        "seconds": made.get("seconds"),
        "tier": tier,
        "date": record.finished,
    }


def _line(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(values.get(name)) for name in results.COLUMNS}


def _kind(package: str, config: Mapping[str, Any]) -> type:
    """Config class of a run: of a package's several, the one whose fields it has."""
    kinds = dict.fromkeys(type(preset) for preset in of_paper(package).presets.values())
    return min(kinds, key=lambda kind: len(set(configuration.first_defaults(kind)) ^ set(config)))


def _scores(package: str, metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a run says of each score: value, unit, counts behind it, interval."""
    for path in _paths(package, metrics):
        value = lookup(metrics, path)
        if not isinstance(value, int | float):
            continue
        rest = path.split(".", 2)[2] if path.startswith("by_magnification.") else path
        score = catalogue.find(rest)
        k, n = counts_behind(metrics, path) or (None, None)
        # A count's is that of its share, which stands in a line of its own.
        low, high = (score and interval_behind(metrics, path)) or (None, None)
        unit = "count" if isinstance(value, int) and score is None else "fraction"
        if rest == "best_epoch":
            unit = "epoch"
        yield {
            "metric": path,
            "unit": unit,
            "value": value,
            "k": k,
            "n": n,
            "low": low,
            "high": high,
        }


def _paths(package: str, metrics: Mapping[str, Any]) -> list[str]:
    """Paths of what is kept: printed scores, some of every run, the counts behind them."""
    printed = list(tables.published(package)["metrics_key"])
    classes = metrics.get("classes", [])
    counts = [
        *COUNTS, *(f"per_class.{name}.{count}" for name in classes for count in CLASS_COUNTS)
    ]  # fmt: skip
    whole = [*counts, *ALWAYS, *(f"per_class.{name}.recall" for name in classes)]
    parts = [
        f"by_magnification.{m}.{path}"
        for m in metrics.get("by_magnification", {})
        for path in whole
    ]
    return list(dict.fromkeys([*whole, *parts, *printed]))


def _versions(made: Mapping[str, Any]) -> str:
    """Versions of what reckons: ``keras 3.15.1, numpy 2.4.6``."""
    packages = made.get("packages")
    if not isinstance(packages, Mapping):  # damaged
        return ""
    reckon = [str(made.get("backend")), "keras", "numpy"]
    return ", ".join(f"{name} {packages[name]}" for name in reckon if name in packages)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return format(value, ".9g")
    return str(value)
