"""Our runs of one preset, and what they say about one number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common import config as configuration
from common import evaluation, measurements, predictions
from common.errors import InputError
from common.measurements import Measurement
from common.metrics import LEVEL, catalogue
from common.results import Recorded
from common.runs import Run
from common.tables.behind import counts_of, interval_behind, lookup, reason, section_of


@dataclass
class Group:
    """Runs of one preset.

    Attributes
    ----------
    runs : list of Run
        Finished, and equal to the preset but for seed, split seed and fold.
    metrics : list of dict
        What each one's metrics.json holds.
    """

    runs: list[Run | Recorded]
    metrics: list[dict[str, Any]] = field(repr=False)

    @property
    def varied(self) -> list[str]:
        """Which of seed, split seed and fold differ between the runs."""
        return [
            name
            for name in configuration.VARIED
            if len({str(run.config.get(name)) for run in self.runs}) > 1
        ]

    def rounds(self, key: str) -> int:
        """Count the rounds of the paper's protocol that have a number.

        Parameters
        ----------
        key : str
            Path in metrics.json.

        Returns
        -------
        int
            Different folds or, where the paper has none, different seeds: two runs of one fold are
            one round.
        """
        have = [
            run.config
            for run, metrics in zip(self.runs, self.metrics, strict=True)
            if lookup(metrics, key) is not None
        ]
        return len(
            {
                tuple(str(config.get(name)) for name in configuration.VARIED)
                if config.get("fold") is None
                else str(config["fold"])
                for config in have
            }
        )

    @property
    def folders(self) -> list[Run]:
        """The runs whose folder is at hand: what compares images needs it."""
        return [run for run in self.runs if not isinstance(run, Recorded)]

    @property
    def independent(self) -> bool:
        """False if folds share test images: then the spread between them is too small.

        Of runs that are known from results alone nobody knows, so they count as such.
        """
        if "fold" not in self.varied:
            return True
        if len(self.folders) < len(self.runs):
            return False
        seen: set[str] = set()
        for run in self.folders:
            table = evaluation.read_run(run)
            images = set(predictions.of_part(table)["image"])
            if images & seen:
                return False
            seen |= images
        return True


@dataclass
class Estimate:
    """What runs say about one number, in the unit of metrics.json (fractions, epochs).

    Attributes
    ----------
    value : float or None
        Of one run, or the mean; None if no run has it.
    sd : float or None
        Standard deviation over several runs (ddof=1).
    n_runs : int
        How many runs have the number.
    low, high : float or None
        95 % interval: its own of one run, t of the mean of several.
    k, n : int or None
        Counts behind the number of one run, where it is a share of images.
    n_test : int or None
        Test images; None if the runs differ.
    half_widths : (float, float) or None
        Of the runs' own intervals, below and above, on average: how uncertain one test
        set is.
    reason : str
        Why there is no value, or a single run's value has no interval; "" where that is not said.
    device : str
        That was timed; "" of everything else.
    words : str
        How it was measured, of what is no score.
    out_of : int or None
        Images that a share, or a count, is out of; None if the runs differ.
    by_image : bool
        Whether the runs' own intervals take images to be independent, and not patients.
    """

    value: float | None
    sd: float | None
    n_runs: int
    low: float | None
    high: float | None
    k: int | None
    n: int | None
    n_test: int | None
    half_widths: tuple[float, float] | None
    reason: str = ""
    device: str = ""
    words: str = ""
    out_of: int | None = None
    by_image: bool = True

    @property
    def ends(self) -> tuple[float, float] | None:
        """Low and high, or None where there is no interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def ends_text(ends: Sequence[float] | None, scale: float, decimals: int) -> str:
    """Show an interval of ours.

    Parameters
    ----------
    ends : (float, float) or None
    scale : float
        Printed units in one of metrics.json: 100 for percent.
    decimals : int
    """
    if ends is None:
        return "–"
    low, high = ends
    return f"{scale * low:.{decimals}f} to {scale * high:.{decimals}f}"


def run_id(run: Run | Recorded) -> str:
    """Id of a run, whether or not its folder is at hand.

    Parameters
    ----------
    run : Run or Recorded
    """
    return run.run_id if isinstance(run, Recorded) else run.record.run_id


def estimate(group: Group, key: str) -> Estimate:
    """Sum up the runs of a group for one number.

    One run: its value, k/n and interval, and where that has none since no patient moves it the
    exact one of the counts. Several: mean, standard deviation
    (ddof=1) and the t-interval of the mean, which for a score ends where the score does.

    Parameters
    ----------
    group : Group
    key : str
        Path in metrics.json.

    Returns
    -------
    Estimate
        Without a value if no run has the number.
    """
    values, pairs, ns, behind = [], [], [], []
    why, by_image = "", True
    for metrics in group.metrics:
        section, rest = section_of(metrics, key)
        value = lookup(section, rest)
        why = why or reason(metrics, key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"metrics.json: {key} is no number; recompute it from predictions.csv")
        values.append(float(value))
        pairs.append(interval_behind(metrics, key))
        ns.append(section.get("n"))
        behind.append(counts_of(section, rest))
        by_image = by_image and not metrics.get("n_patients")
    if not values:
        return Estimate(None, None, len(group.runs), None, None, None, None, None, None, why)
    outs = {pair and pair[1] for pair in behind}
    out_of = outs.pop() if len(outs) == 1 else None
    known = [(v - pair[0], pair[1] - v) for v, pair in zip(values, pairs, strict=True) if pair]
    widths = None
    if known:
        below, above = np.mean(known, axis=0)
        widths = float(below), float(above)
    n_test = ns[0] if len(set(ns)) == 1 else None
    mean = float(np.mean(values))
    if len(values) == 1:
        low, high = pairs[0] or (None, None)
        k, n = behind[0] or (None, None)
        return Estimate(
            mean, None, 1, low, high, k, n, n_test, widths, why, out_of=out_of, by_image=by_image
        )
    from scipy.special import stdtrit

    sd = float(np.std(values, ddof=1))
    reach = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * sd / math.sqrt(len(values))
    low, high = mean - reach, mean + reach
    score = catalogue.find(rest)
    if score is not None:  # its interval cannot leave its range
        low, high = max(low, score.lowest), min(high, score.highest)
    elif out_of is not None:  # a count
        low, high = max(low, 0.0), min(high, float(out_of))
    return Estimate(
        mean, sd, len(values), low, high, None, None, n_test, widths, why, out_of=out_of,
        by_image=by_image,
    )  # fmt: skip


_FACTORS = {"M": 1e-6, "G": 1e-9}
"""Units of printed counts: what one is in them."""


def measured(row: Mapping[str, Any], found: Sequence[Measurement]) -> Estimate | None:
    """What was measured of a printed number that is no score: counts, latency, memory.

    Parameters
    ----------
    row : mapping
        A row of published.csv.
    found : sequence of Measurement
        Of its preset.

    Returns
    -------
    Estimate or None
        In the printed unit; None if nothing was measured.
    """
    key = str(row["metrics_key"])
    one = measurements.chosen(str(row["row"]), key, found)
    if one is None:
        return None
    factor = _FACTORS.get(row["unit"], 1)
    low, high = one.intervals.get(key, (None, None))
    value, widths = factor * one.values[key], None
    if low is not None and high is not None:
        low, high = factor * low, factor * high
        widths = value - low, high - value
    return Estimate(
        value, None, 1, low, high, None, None, None, widths, device=one.device, words=one.words
    )
