"""A paper's printed numbers with our runs beside them.

``python -m PKG.tables`` reads ``PKG/published.csv`` and the finished runs, and nothing else. A run
fills a row only if its whole config equals the row's preset (seed, split seed and fold aside) and
it saw every image of the data set; any other run is listed with what differs. Synthetic runs never
appear.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import config as configuration
from common import datasets, evaluation, runs
from common.errors import InputError
from common.files import write_text
from common.metrics import LEVEL, class_scores, clopper_pearson
from common.predictions import of_part

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("table", "row", "metric", "printed", "unit", "decimals", "n_test", "preset"),
    *("metrics_key", "select", "note"),
)
BEGIN, END = "<!-- published:begin -->", "<!-- published:end -->"
SCALES = {"percent": 100, "fraction": 1}
"""Units of scores on the test images, and what 1 is in them. Others have no interval."""
MARGIN = 0.03
"""Largest half-width of the interval of a difference that still counts as agreement."""


# --- the printed numbers -----------------------------------------------------------------------


def published(package: str) -> pd.DataFrame:
    """Read a paper's published.csv.

    Returns
    -------
    DataFrame
        One row per printed number, columns `COLUMNS` and ``rounds``; ``printed`` stays text
        (``97.30``), ``decimals`` is int, ``n_test`` a nullable Int64. ``rounds`` may be missing
        from the file: of how many runs the number is a mean, "" for one.

    Raises
    ------
    InputError
        If the file or a column is missing, or a number is none.
    """
    import pandas as pd

    path = _folder(package) / "published.csv"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}")
    if "rounds" not in table:
        table["rounds"] = ""
    table = table.loc[:, [*COLUMNS, "rounds"]]
    for column, kind in (("decimals", "int64"), ("n_test", "Int64"), ("printed", "float64")):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = numbers.isna() & ~((table[column] == "") & (column == "n_test"))
        if wrong.any():
            line = int(np.flatnonzero(wrong)[0]) + 2
            value = table[column][line - 2]
            raise InputError(f"{path}, line {line}, column {column}: {value!r} is no number")
        if column != "printed":
            table[column] = numbers.astype(kind)
    return table


def _folder(package: str) -> Path:
    """Find a package's folder without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{package}: no such package")
    return Path(spec.submodule_search_locations[0])


def recover_count(printed: str | float, decimals: int, n: int) -> int | None:
    """Count k for which k/n, in percent, rounds to the printed number; None if there is none.

    Numbers halfway between two roundings are accepted either way. With so many images that
    several counts fit, the nearest one is given.

    References
    ----------
    Brown and Heathers, The GRIM test, 2017.
    """
    value = float(printed)
    k = round(value / 100 * n)
    if not 0 <= k <= n:
        return None
    return k if _rounds_to(k, n, value, decimals) else None


def _rounds_to(k: int, n: int, value: float, decimals: int) -> bool:
    return abs(100 * k / n - value) <= 0.5 * 10.0**-decimals + 1e-9


def paper_count(row: Mapping[str, Any], siblings: pd.DataFrame) -> tuple[bool | None, int, int]:
    """Recover the counts behind a printed number.

    Parameters
    ----------
    row : mapping
        A row of published.csv.
    siblings : DataFrame
        All numbers that must agree with it, see `paper_counts`.

    Returns
    -------
    possible : bool or None
        False: no count of test images gives the printed number. None: its counts cannot be
        recovered (a macro average, a score of one class).
    k, n : int
        The counts where `possible` is True, else 0, 0.
    """
    if row["unit"] in ("fraction", "images"):
        return _beside_counts(row, siblings)
    if row["unit"] != "percent" or _unknown(row["n_test"]):
        return None, 0, 0
    n_test, rounds = int(row["n_test"]), int(row.get("rounds") or 1)
    score = row["metrics_key"].rsplit(".", 1)[-1]
    per_class = row["metrics_key"].startswith("per_class.") or ".per_class." in row["metrics_key"]
    if score in ("accuracy", "recall_micro_at_half") and not per_class:
        k = recover_count(row["printed"], row["decimals"], n_test * rounds)
        if k is None:
            return False, 0, 0
        # Rounds share their test images: their sum is no count of independent ones.
        return (True, k, n_test) if rounds == 1 else (None, 0, 0)
    if score == "f1" and per_class:
        return (None if _f1_fits(row, siblings, rounds) else False), 0, 0
    if score == "precision_micro_at_half":
        # The recall beside it has the same numerator; its denominator is then the only unknown.
        key = row["metrics_key"].replace("precision_micro", "recall_micro")
        for _, other in siblings[siblings["metrics_key"] == key].iterrows():
            k = recover_count(other["printed"], other["decimals"], n_test)
            fits = [
                n
                for n in range(max(k or 0, 1), n_test + 1)
                if k is not None and _rounds_to(k, n, float(row["printed"]), row["decimals"])
            ]
            if len(fits) == 1:
                return True, k, fits[0]
    return None, 0, 0


def paper_counts(table: pd.DataFrame) -> list[tuple[bool | None, int, int]]:
    """`paper_count` of every number in a table such as `published` reads.

    A number's siblings are those of the same row of the same table; where a table prints a model's
    classes in rows of their own, as fractions beside counts, those of the model.
    """
    rows, models = (dict(list(table.groupby(["table", name]))) for name in ("row", "preset"))
    found = []
    for row in table.to_dict("records"):
        beside = row["unit"] in ("fraction", "images")
        groups, name = (models, row["preset"]) if beside else (rows, row["row"])
        found.append(paper_count(row, groups[row["table"], name]))
    return found


def _beside_counts(row: Mapping[str, Any], siblings: pd.DataFrame) -> tuple[bool | None, int, int]:
    """`paper_count` of a number printed beside the four counts of its class, or of a mean of such.

    A mean over the classes may be that of the printed or of the exact scores.
    """
    keys, values = siblings["metrics_key"], siblings["printed"]
    printed = {key: float(value) for key, value in zip(keys, values, strict=True)}
    path, _, score = str(row["metrics_key"]).rpartition(".")
    if not path and score.endswith("_macro"):
        name = score.removesuffix("_macro")
        paths = [key.rpartition(".")[0] for key in printed if key.endswith(f".{name}")]
        exact = [_score_of_counts(printed, each, name) for each in paths]
        if not paths or None in exact:
            return None, 0, 0
        means = np.mean(exact), np.mean([printed[f"{each}.{name}"] for each in paths])
        fits = any(_rounds_to_printed(mean, row) for mean in means)
        return (None if fits else False), 0, 0
    counts = _counts_of(printed, path)
    if counts is None:
        return None, 0, 0
    if score in counts:
        possible = _unknown(row["n_test"]) or sum(counts.values()) == row["n_test"]
        return (None if possible else False), 0, 0
    exact = _score_of_counts(printed, path, score)
    if exact is None or not _rounds_to_printed(exact, row):
        return (None if exact is None else False), 0, 0
    over = {"precision": ("tp", "fp"), "recall": ("tp", "fn"), "fpr": ("fp", "tn"),
            "tnr": ("tn", "fp")}.get(score)  # fmt: skip
    if over is None:
        return None, 0, 0
    k, n = int(counts[over[0]]), int(counts[over[0]] + counts[over[1]])
    return (True, k, n) if n else (None, 0, 0)


def _f1_fits(row: Mapping[str, Any], siblings: pd.DataFrame, rounds: int) -> bool:
    """Whether a class' printed F1 can follow from the precision and the recall beside it.

    The F1 of one round is their harmonic mean. The mean of several rounds' F1 is at most the mean
    of the two printed means, as no harmonic mean is above the arithmetic one. It is least, being
    concave, where all that is missing from 1 is missing in one round, or in one round each.
    """
    path = str(row["metrics_key"]).removesuffix("f1")
    ends = []
    for name in ("precision", "recall"):
        found = siblings[siblings["metrics_key"] == path + name]
        if found.empty:
            return True
        value, half = float(found["printed"].iloc[0]), 0.5 * 10.0 ** -int(found["decimals"].iloc[0])
        ends.append((max(value - half, 0) / 100, min(value + half, 100) / 100))
    low, high = (_f1_range(*pair, rounds) for pair in zip(*ends, strict=True))
    half = 0.5 * 10.0 ** -int(row["decimals"]) + 1e-9
    return 100 * low[0] - half <= float(row["printed"]) <= 100 * high[1] + half


def _f1_range(precision: float, recall: float, rounds: int) -> tuple[float, float]:
    """Least and largest mean F1 of rounds with these mean precision and recall."""

    def harmonic(p: float, r: float) -> float:
        return 2 * p * r / (p + r) if p + r else 0.0

    if rounds == 1:
        return harmonic(precision, recall), harmonic(precision, recall)
    worst = [1 - rounds * (1 - each) for each in (precision, recall)]
    if min(worst) < 0:
        return 0.0, (precision + recall) / 2
    together = harmonic(*worst) + rounds - 1
    apart = harmonic(worst[0], 1) + harmonic(1, worst[1]) + rounds - 2
    return min(together, apart) / rounds, (precision + recall) / 2


def _counts_of(printed: Mapping[str, float], path: str) -> dict[str, float] | None:
    names = ("tp", "tn", "fp", "fn")
    if not all(f"{path}.{name}" in printed for name in names):
        return None
    return {name: printed[f"{path}.{name}"] for name in names}


def _score_of_counts(printed: Mapping[str, float], path: str, score: str) -> float | None:
    counts = _counts_of(printed, path)
    if counts is None:
        return None
    matrix = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]])
    scores = class_scores(matrix)
    return float(scores[score][1]) if score in scores else None


def _rounds_to_printed(value: float, row: Mapping[str, Any]) -> bool:
    return abs(value - float(row["printed"])) <= 0.5 * 10.0 ** -int(row["decimals"]) + 1e-9


# --- our runs ----------------------------------------------------------------------------------


@dataclass
class Group:
    """Runs of one preset."""

    runs: list[runs.Run]
    metrics: list[dict[str, Any]] = field(repr=False)

    @property
    def varied(self) -> list[str]:
        """Which of seed, split seed and fold differ between the runs."""
        return [
            name
            for name in configuration.VARIED
            if len({str(run.config.get(name)) for run in self.runs}) > 1
        ]

    @property
    def independent(self) -> bool:
        """False if folds share test images: then the spread between them is too small."""
        if "fold" not in self.varied:
            return True
        seen: set[str] = set()
        for run in self.runs:
            table = evaluation.read_run(run)
            images = set(of_part(table)["image"])
            if images & seen:
                return False
            seen |= images
        return True


@dataclass
class Estimate:
    """What runs say about one number, in the unit of metrics.json (fractions, epochs)."""

    value: float | None
    sd: float | None
    n_runs: int
    low: float | None
    high: float | None
    k: int | None
    n: int | None
    n_test: int | None
    half_widths: tuple[float, float] | None
    """Of the runs' own bootstrap intervals, on average: how uncertain one test set is."""


def lookup(metrics: Mapping[str, Any], key: str) -> Any:
    """Value at a dotted path of metrics.json, or None."""
    value: Any = metrics
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _section(metrics: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], str]:
    """Split a key into the part of metrics.json it is about, and the rest of the path."""
    if key.startswith("by_magnification."):
        _, magnification, rest = key.split(".", 2)
        return lookup(metrics, f"by_magnification.{magnification}") or {}, rest
    return metrics, key


def _counts(metrics: Mapping[str, Any], key: str) -> tuple[int, int] | None:
    """Numerator and denominator of a score, where it is a share of images."""
    section, rest = _section(metrics, key)
    if rest == "accuracy":
        pair = section.get("correct"), section.get("n")
    elif rest == "recall_micro_at_half":
        pair = section.get("tp_at_half"), section.get("n")
    elif rest == "precision_micro_at_half":
        pair = section.get("tp_at_half"), section.get("above_half")
    elif rest.startswith("per_class.") and rest.endswith((".recall", ".precision")):
        row = lookup(section, rest.rsplit(".", 1)[0]) or {}
        other = "fn" if rest.endswith(".recall") else "fp"
        pair = row.get("tp"), (row["tp"] + row[other] if other in row else None)
    else:
        return None
    return None if None in pair else pair


def estimate(group: Group, key: str) -> Estimate:
    """Sum up the runs of a group for one number.

    One run: its value, k/n and bootstrap interval. Several: mean, standard deviation (ddof=1) and
    the t-interval of the mean.
    """
    values, pairs, ns = [], [], []
    for metrics in group.metrics:
        section, rest = _section(metrics, key)
        value = lookup(section, rest)
        if value is None:
            continue
        values.append(float(value))
        pairs.append((section.get("intervals") or {}).get(rest))
        ns.append(section.get("n"))
    if not values:
        return Estimate(None, None, len(group.runs), None, None, None, None, None, None)
    known = [(v - pair[0], pair[1] - v) for v, pair in zip(values, pairs, strict=True) if pair]
    widths = tuple(float(np.mean(side)) for side in zip(*known, strict=True)) if known else None
    n_test = ns[0] if len(set(ns)) == 1 else None
    mean = float(np.mean(values))
    if len(values) == 1:
        low, high = pairs[0] or (None, None)
        k, n = _counts(group.metrics[0], key) or (None, None)
        return Estimate(mean, None, 1, low, high, k, n, n_test, widths)
    from scipy.special import stdtrit

    sd = float(np.std(values, ddof=1))
    reach = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * sd / math.sqrt(len(values))
    low, high = mean - reach, mean + reach
    if widths is not None:  # a share of images: the interval cannot leave [0, 1]
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(mean, sd, len(values), low, high, None, None, n_test, widths)


def difference_interval(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> tuple[float, float]:
    """Interval of a - b from (value, low, high) of each, independent of one another.

    References
    ----------
    Zou and Donner, Construction of confidence limits about effect measures: a general approach,
    2008 (MOVER); for two proportions Newcombe, 1998.
    """
    (p, p_low, p_high), (q, q_low, q_high) = a, b
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return low, high


def status(
    row: Mapping[str, Any], possible: bool | None, k: int, n: int, ours: Estimate | None
) -> tuple[str, str]:
    """Judge a printed number against our runs.

    Parameters
    ----------
    row : mapping
        A row of published.csv.
    possible, k, n
        From `paper_count`.
    ours : Estimate or None
        None if nothing has run.

    Returns
    -------
    status : str
        ``consistent`` (the 95 % interval of paper minus ours contains 0, half-width at most 3
        points), ``inconclusive`` (contains 0, wider; or there is no interval), ``above``,
        ``below`` (ours, of the paper's), ``not comparable``, ``not run``.
    reason : str
        Why, for the last but one and for ``inconclusive`` without interval.

    Notes
    -----
    The paper's interval is Clopper-Pearson where its counts are known. Elsewhere (macro averages)
    the paper is taken to be as uncertain as one of our runs, which has the same test size.
    """
    if ours is None:
        return "not run", ""
    if row["unit"] not in SCALES:
        return "not comparable", _NO_TEST_SET.get(row["unit"], "not a score on test images")
    if possible is False:
        return "not comparable", f"printed value {_impossible(row)}"
    if ours.value is None:
        return "not comparable", f"the runs have no {row['metrics_key']}"
    if _unknown(row["n_test"]):
        return "not comparable", "the paper's test set is not known"
    if ours.n_test != row["n_test"]:
        found = "of several sizes" if ours.n_test is None else f"of {ours.n_test} images"
        return (
            "not comparable",
            f"another test set: ours {found}, the paper's of {int(row['n_test'])}",
        )
    value = float(row["printed"]) / SCALES[row["unit"]]
    if possible:
        value = k / n
        paper = (value, *clopper_pearson(k, n))
    elif ours.half_widths is not None:
        below, above = ours.half_widths
        paper = (value, value - below, value + above)
    else:
        return "inconclusive", "no interval"
    if ours.low is None or ours.high is None:
        return "inconclusive", "no interval"
    low, high = difference_interval(paper, (ours.value, ours.low, ours.high))
    if low > 0:
        return "below", ""
    if high < 0:
        return "above", ""
    return ("consistent" if (high - low) / 2 <= MARGIN else "inconclusive"), ""


_NO_TEST_SET = {
    "epoch": "an epoch has no test set to compare on",
    "images": "a count; the shares beside it are compared",
    "FID": "FID and KID compare only over equal features and equally many images",
    "KID": "FID and KID compare only over equal features and equally many images",
    "ms": "a latency compares on the same device alone; the bundle's bench.py measures it there",
    "MB": "a memory use compares on the same device alone; the bundle's bench.py measures it there",
}


def _impossible(row: Mapping[str, Any]) -> str:
    """What speaks against a printed number, in words."""
    if row["unit"] == "fraction":
        return "does not follow from the counts printed beside it"
    if row["unit"] == "images":
        return f"is one of four counts that do not add up to n = {int(row['n_test'])}"
    if str(row["metrics_key"]).endswith(".f1"):
        return "does not follow from the precision and recall printed beside it"
    rounds = int(row.get("rounds") or 1)
    several = f" in {rounds} rounds" if rounds > 1 else ""
    return f"not possible with n = {int(row['n_test'])}{several}"


@dataclass
class Paper:
    """A paper package's presets, and the runs that belong to each."""

    package: str
    table: pd.DataFrame
    presets: Mapping[str, Any]
    honest: Mapping[str, str]
    leaks: Mapping[str, str]
    groups: dict[str, Group] = field(default_factory=dict)
    others: list[tuple[str, runs.Run, list[str]]] = field(default_factory=list)
    """Runs that fill no row: the nearest preset, the run, what differs."""
    trained_by: Mapping[str, str] = field(default_factory=dict)
    """Training command of presets that are not ``train``'s."""


def load(package: str, runs_dir: str | Path) -> Paper:
    """Read a paper's printed numbers and presets, and sort its finished runs into rows.

    Raises
    ------
    InputError
        If published.csv names a preset that the package does not have, or a run is damaged.
    """
    module = importlib.import_module(f"{package}.config")
    paper = Paper(
        package,
        published(package),
        module.PRESETS | getattr(module, "OTHER_PRESETS", {}),
        getattr(module, "HONEST", {}),
        getattr(module, "LEAKS", {}),
        trained_by=getattr(module, "TRAINED_BY", {}),
    )
    unknown = [name for name in paper.table["preset"].unique() if name not in paper.presets]
    if unknown:
        raise InputError(f"{package}/published.csv: no preset {', '.join(unknown)}")
    for name, twin in paper.honest.items():
        if twin not in paper.presets and not twin.startswith("none: "):
            raise InputError(f"{package}.config: HONEST[{name!r}] is neither a preset nor 'none: '")
    rows = list(dict.fromkeys(paper.table["preset"]))
    twins = [paper.honest[name] for name in rows if name in paper.honest]
    candidates = rows + [name for name in twins if name in paper.presets]
    for run in runs.find(runs_dir, package):
        if run.synthetic:
            continue
        found = {
            name: configuration.differences(run.config, paper.presets[name]) for name in candidates
        }
        base = str(run.record.get("preset", "")).removesuffix("-changed")
        nearest = min(candidates, key=lambda name: (len(found[name]), name != base))
        what = [
            f"{name} {_shown(run.config, name)} (row: {_shown(paper.presets[nearest], name)})"
            for name in found[nearest]
        ]
        images, expected = run.record.get("n_images"), run.record.get("expected_images")
        if images is None or images != expected:
            what.append(f"{images} of {expected} images")
        skipped = run.record.get("skipped") or []
        if skipped:
            names = datasets.listed([f"{each['image']}: {each['reason']}" for each in skipped], 3)
            what.append(f"{len(skipped)} left out by --skip-bad ({names})")
        if what:
            paper.others.append((nearest, run, what))
            continue
        metrics = evaluation.read_metrics(run)
        # Presets may be equal (a later row printed again): the runs belong to each of them.
        for name in candidates:
            if not found[name]:
                group = paper.groups.setdefault(name, Group([], []))
                group.runs.append(run)
                group.metrics.append(metrics)
    return paper


def _shown(config: Any, name: str) -> str:
    values = configuration.to_dict(config)
    if name not in values:
        return "missing"
    value = values[name]
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def command(package: str, preset: str, trained_by: Mapping[str, str] | None = None) -> str:
    """Command that makes a run of a preset; `trained_by` as in `Paper`."""
    module = (trained_by or {}).get(preset, "train")
    return f"python -m {package}.{module} --preset {preset} --data-dir DIR"


def rows(package: str, runs_dir: str | Path) -> pd.DataFrame:
    """Every printed number with ours beside it.

    Parameters
    ----------
    package : str
        Name of the paper's package.
    runs_dir : path
        Where runs live.

    Returns
    -------
    DataFrame
        One row per row of published.csv: its columns, then ``paper_possible, paper_k, paper_n,
        paper_low, paper_high``; ours (``ours, sd, n_runs, low, high, k, n, varied,
        independent``), ``status, reason``, the honest twin (``honest`` its preset or why there is
        none, ``honest_ours, honest_sd, honest_n_runs, honest_low, honest_high``), ``leaks,
        command, honest_command``. Values are in the printed unit.
    """
    return _rows(load(package, runs_dir))


def _rows(paper: Paper) -> pd.DataFrame:
    import pandas as pd

    records = []
    independent = {name: group.independent for name, group in paper.groups.items()}
    for (_, row), counted in zip(paper.table.iterrows(), paper_counts(paper.table), strict=True):
        possible, k, n = counted
        paper_low, paper_high = clopper_pearson(k, n) if possible else (None, None)
        scale = SCALES.get(row["unit"], 1)
        twin = paper.honest.get(row["preset"], "none: not set up")
        group, twin_group = paper.groups.get(row["preset"]), paper.groups.get(twin)
        ours = estimate(group, row["metrics_key"]) if group else None
        beside = estimate(twin_group, row["metrics_key"]) if twin_group else None
        judged, reason = status(row, possible, k, n, ours)
        record = {
            **row.to_dict(),
            "paper_possible": possible,
            "paper_k": k if possible else None,
            "paper_n": n if possible else None,
            "paper_low": _scaled(paper_low, scale),
            "paper_high": _scaled(paper_high, scale),
            **_columns(ours, scale),
            "k": ours.k if ours else None,
            "n": ours.n if ours else None,
            "varied": ",".join(group.varied) if group else "",
            "independent": independent[row["preset"]] if group else None,
            "status": judged,
            "reason": reason,
            "honest": twin,
            **{f"honest_{name}": value for name, value in _columns(beside, scale).items()},
            "leaks": paper.leaks.get(row["preset"], ""),
            "command": command(paper.package, row["preset"], paper.trained_by),
            "honest_command": (
                command(paper.package, twin, paper.trained_by) if twin in paper.presets else ""
            ),
        }
        records.append(record)
    table = pd.DataFrame(records)
    for name in ("paper_k", "paper_n", "n_runs", "honest_n_runs", "k", "n"):
        table[name] = table[name].astype("Int64")
    for name in ("paper_possible", "independent"):
        table[name] = table[name].astype("boolean")
    for name in ("ours", "sd", "low", "high", "paper_low", "paper_high"):
        table[name] = table[name].astype("float64")
        if f"honest_{name}" in table:
            table[f"honest_{name}"] = table[f"honest_{name}"].astype("float64")
    return table


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value


def _columns(ours: Estimate | None, scale: float) -> dict[str, Any]:
    if ours is None:
        return {"ours": None, "sd": None, "n_runs": 0, "low": None, "high": None}
    return {
        "ours": _scaled(ours.value, scale),
        "sd": _scaled(ours.sd, scale),
        "n_runs": ours.n_runs,
        "low": _scaled(ours.low, scale),
        "high": _scaled(ours.high, scale),
    }


# --- how it is shown ---------------------------------------------------------------------------

HEADER = [
    "row",
    "metric",
    "paper",
    "ours",
    "95 % interval",
    "status",
    "honest twin",
    "command",
    "notes",
]


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"


def _unknown(value: Any) -> bool:
    """Whether a table's cell is empty: None, NaN or pandas' NA."""
    import pandas as pd

    return bool(pd.isna(value))


def _decimals(record: Mapping[str, Any]) -> int:
    least = {"percent": 2, "fraction": 3}.get(record["unit"], 1)
    return max(int(record["decimals"]), least)


def _ours(record: Mapping[str, Any], prefix: str = "") -> str:
    """Value with k/n for one run; mean ± sd (runs) for several."""
    value, sd = record[f"{prefix}ours"], record[f"{prefix}sd"]
    decimals = _decimals(record)
    if _unknown(value):
        return "–"
    if not _unknown(sd):
        runs_count = record[f"{prefix}n_runs"]
        return f"{_number(value, decimals)} ± {_number(sd, decimals)} ({runs_count})"
    if record["unit"] not in SCALES:
        return _number(value, int(record["decimals"]))
    if not prefix and not _unknown(record["k"]):
        return f"{_number(value, decimals)} ({record['k']}/{record['n']})"
    return _number(value, decimals)


def _interval(record: Mapping[str, Any], prefix: str = "") -> str:
    low, high = record[f"{prefix}low"], record[f"{prefix}high"]
    decimals = {"percent": 2, "fraction": 3}.get(record["unit"], 1)
    return "–" if _unknown(low) else f"{_number(low, decimals)} to {_number(high, decimals)}"


class _Notes:
    """Footnotes: each text once, numbered in order of appearance."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return str(self.texts.index(text) + 1)


def _cells(
    table: pd.DataFrame, commands: _Notes, notes: _Notes
) -> list[tuple[str, list[list[str]]]]:
    """Tables as text: for each printed table its name and its lines."""
    found = []
    for name, part in table.groupby("table", sort=False):
        lines, before = [], None
        for _, record in part.iterrows():
            # Missing where the counts are unknown; only a plain False says that none fits.
            impossible = not _unknown(record["paper_possible"]) and not record["paper_possible"]
            texts = split_notes(record["note"])
            if impossible:
                texts.append(f"* {_impossible(record)}")
            elif record["reason"]:
                texts.append(record["reason"])
            texts += [f"may flatter ours: {text}" for text in record["leaks"].split("; ") if text]
            if record["n_runs"] > 1:
                text = f"± over {record['varied'].replace(',', ', ') or 'repeated runs'}"
                if not record["independent"]:
                    text += "; not independent: folds share test images"
                texts.append(text)
            marks = [notes.mark(text) for text in texts]
            twin = record["honest"]
            if not record["honest_command"]:
                honest = f"none [{notes.mark(twin.removeprefix('none: '))}]"
            elif not record["honest_n_runs"]:
                honest = "not run"
            else:
                honest = _ours(record, "honest_")
                if not _unknown(record["honest_low"]):
                    honest += f" [{_interval(record, 'honest_')}]"
            asked = f"({commands.mark(record['command'])})"
            if record["honest_command"]:
                asked += f" ({commands.mark(record['honest_command'])})"
            again = record["row"] == before
            before = record["row"]
            lines.append(
                [
                    "" if again else record["row"],
                    record["metric"],
                    record["printed"] + "*" * impossible,
                    _ours(record),
                    _interval(record),
                    record["status"],
                    honest,
                    asked,
                    f"[{','.join(sorted(marks, key=int))}]" if marks else "",
                ]
            )
        found.append((str(name), lines))
    return found


def split_notes(note: str) -> list[str]:
    """Split a note of published.csv into its discrepancies, ``H05: ...; H04: ...``."""
    return [text for text in re.split(r"; (?=[A-Z]\d\d: )", note) if text]


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table whose columns also line up in a terminal."""
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    out = []
    for line in (header, ["-" * width for width in widths], *lines):
        out.append(
            "| "
            + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            + " |"
        )
    return out


def _other_lines(paper: Paper, presets: set[str]) -> list[str]:
    """Runs that fill no row, with what differs from the nearest preset."""
    lines = []
    for preset, run, what in paper.others:
        if preset not in presets:
            continue
        try:
            metrics = evaluation.read_metrics(run)
            if "accuracy" in metrics:
                found = f"accuracy {100 * metrics['accuracy']:.2f} % ({metrics.get('n')} images)"
            else:
                found = f"FID {metrics['fid']:.4f}, KID {metrics['kid']:.4f}"
        except InputError:
            found = "no metrics.json"
        lines.append(f"- {preset}: {run.path.as_posix()}: {found}; {'; '.join(what)}")
    return lines


def markdown(paper: Paper) -> str:
    """The tables as Markdown that also reads well in a terminal."""
    table = _rows(paper)
    commands, notes = _Notes(), _Notes()
    out: list[str] = []
    listed: set[str] = set()
    for name, lines in _cells(table, commands, notes):
        out += [f"## {table_title(name)}", "", *markdown_table(HEADER, lines), ""]
        part = table[table["table"] == name]
        presets = {*part["preset"], *part["honest"]} - listed  # once, where the row comes first
        listed |= presets
        others = _other_lines(paper, presets)
        if others:
            out += ["Runs that fill no row, with what differs:", "", *others, ""]
    out += [
        "Percentages, or in the unit that the paper prints. ours: one run with its k/n, or mean ± "
        "standard deviation (runs).",
        "Interval: bootstrap for one run, t for the mean of several. status: our 95 % interval "
        "against the paper's",
        "(Clopper-Pearson, or as wide as ours where its counts are not known); above, below: ours, "
        "of the paper's.",
        "",
        "Notes:",
        "",
        *(f"[{i}] {text}  " for i, text in enumerate(notes.texts, 1)),
        "",
        "Commands:",
        "",
        *(f"({i}) `{text}`  " for i, text in enumerate(commands.texts, 1)),
    ]
    return "\n".join(out) + "\n"


def table_title(name: str) -> str:
    """Write out a table's short name: ``T2`` as Table 2, ``F8`` as Figure 8."""
    found = re.fullmatch(r"([TF])(\d+)", name)
    if not found:
        return name
    return f"Table {found[2]}" if found[1] == "T" else f"Figure {found[2]}"


def latex(paper: Paper) -> str:
    """The tables as LaTeX ``tabular`` environments, notes and commands as comments."""
    commands, notes = _Notes(), _Notes()
    out: list[str] = []
    for name, lines in _cells(_rows(paper), commands, notes):
        out += [f"% {table_title(name)}", "\\begin{tabular}{llrrrlrll}", "\\hline"]
        for i, line in enumerate([HEADER, *lines]):
            out.append(" & ".join(_escaped(cell) for cell in line) + " \\\\")
            if i == 0:
                out.append("\\hline")
        out += ["\\hline", "\\end{tabular}", ""]
    out += [f"% [{i}] {text}" for i, text in enumerate(notes.texts, 1)]
    out += [f"% ({i}) {text}" for i, text in enumerate(commands.texts, 1)]
    return "\n".join(out) + "\n"


def _escaped(text: str) -> str:
    text = re.sub(r"([&%$#_{}])", r"\\\1", text)
    return text.replace("±", "$\\pm$").replace("–", "--")


# --- the printed numbers, for a paper's README -------------------------------------------------


def block(package: str) -> str:
    """Markdown of all printed numbers, one table per printed table, from published.csv alone."""
    table = published(package)
    counts = paper_counts(table)
    notes = _Notes()
    impossible: dict[str, None] = {}
    out: list[str] = []
    for name, part in table.groupby("table", sort=False):
        shown = list(dict.fromkeys(part["metric"]))
        lines = []
        for row, numbers in part.groupby("row", sort=False):
            cells = {metric: "" for metric in shown}
            marks: list[str] = []
            for _, number in numbers.iterrows():
                wrong = counts[number.name][0] is False
                cells[number["metric"]] = number["printed"] + "*" * wrong
                marks += [m for m in map(notes.mark, split_notes(number["note"])) if m not in marks]
                if wrong:
                    impossible[_impossible(number)] = None
            presets = ", ".join(f"`{preset}`" for preset in dict.fromkeys(numbers["preset"]))
            lines.append([str(row), *cells.values(), presets, ", ".join(sorted(marks, key=int))])
        units = dict(zip(part["metric"], part["unit"], strict=True))
        heads = [f"{metric} %" if units[metric] == "percent" else metric for metric in shown]
        header = ["row", *heads, "preset", "notes"]
        out += [f"**{table_title(str(name))}**", "", *markdown_table(header, lines), ""]
    for text in impossible:
        why = ": no count of test images rounds to it" if text.startswith("not possible") else ""
        out += [f"\\* {text}{why}.", ""]
    out += [f"{i}. {text}" for i, text in enumerate(notes.texts, 1)]
    return "\n".join(out).rstrip() + "\n"


def update_readme(path: str | Path, package: str) -> bool:
    """Replace what stands between a README's two markers by `block`.

    Returns
    -------
    bool
        Whether the file changed.

    Raises
    ------
    InputError
        If the markers are not there, once each and in order.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InputError(f"{path}: needs one line {BEGIN} and below it one line {END}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = f"{before}{BEGIN}\n\n{block(package)}\n{END}{after}"
    if new == text:
        return False
    write_text(path, new)
    return True


def main(package: str, arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m PKG.tables``."""
    import argparse

    parser = argparse.ArgumentParser(
        prog=f"python -m {package}.tables",
        description="The paper's numbers with our finished runs beside them.",
    )
    parser.add_argument(
        "--runs-dir", default="runs", metavar="DIR", help="where runs live (default: runs)"
    )
    parser.add_argument("--format", choices=["markdown", "csv", "latex"], default="markdown")
    parser.add_argument("--output", metavar="FILE", help="write there instead of printing")
    flags = parser.parse_args(arguments)
    paper = load(package, flags.runs_dir)
    if flags.format == "csv":
        text = _rows(paper).to_csv(index=False, float_format="%.9g", lineterminator="\n")
    else:
        text = {"markdown": markdown, "latex": latex}[flags.format](paper)
    if flags.output:
        write_text(flags.output, text)
    else:
        print(text, end="")
    return 0
