"""The smallest difference that a table's test set can show, and which rows tie with the best.

Of our runs on the same test images from their differences, image by image; of what has not run, or
shares no images, from the number of test images alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common import config as configuration
from common import evaluation
from common.errors import InputError, many
from common.metrics import LEVEL, compare
from common.runs import Run
from common.tables.judge import difference_interval
from common.tables.other_images import wilson
from common.tables.ours import Group
from common.tables.printed import SCALES

if TYPE_CHECKING:
    import pandas as pd

_NO_SHARE = ("kappa", "mcc", "fpr", "auc")
"""Scores that are no share of right images: left out where no accuracy is printed."""


COLUMNS = ("test_set", "smallest", "smallest_by", "tie")
"""What `resolved` adds."""

SHOWN = 3
"""Rows that a sentence names of those that tie; the others are marked alone."""

BEST, TIE, ALONE = "best", "tie", "alone"

MARK = " ≈"
"""Behind the name of a row that ties with another one for the best."""


Scored = tuple[Run, float]
"""A run and its accuracy."""

Pairs = dict[tuple[Path, Path], dict[str, Any]]
"""What `compare` found of two runs, by their folders: tables repeat rows."""


class Resolution(NamedTuple):
    """What one test set can tell apart."""

    lines: tuple[int, ...]
    """Numbers that are of it: their labels in the table's index."""
    smallest: float
    """Difference in accuracy, a fraction: smaller ones are not told apart."""
    basis: str
    """From what: ``paired jackknife over 81 patients``."""
    best: str = ""
    """Preset of the best row; "" where none can be named."""
    ties: tuple[str, ...] = ()
    """Presets that are not told apart from it."""


def resolved(table: pd.DataFrame, groups: Mapping[str, Group]) -> pd.DataFrame:
    """Say of every number what its test set can tell apart, and whether its row is of the best.

    Parameters
    ----------
    table : DataFrame
        From `published`.
    groups : mapping
        Preset -> our runs of it; without any, it is the printed accuracies that are compared.

    Returns
    -------
    DataFrame
        The table's index, columns `COLUMNS`: ``test_set``, from 1 in each printed table, equal
        where images are shared; ``smallest``, the difference in points of accuracy below which
        nothing is told apart, and ``smallest_by``, from what; ``tie``, of a row that is the best of
        its test set "best", or "alone" if no other one ties with it, and "tie" of those. Empty
        where there is no score of test images.
    """
    import pandas as pd

    pairs: Pairs = {}
    out = pd.DataFrame(
        {"test_set": pd.NA, "smallest": math.nan, "smallest_by": "", "tie": ""}, index=table.index
    ).astype({"test_set": "Int64", "smallest": "float64", "smallest_by": object, "tie": object})
    for _, part in table.groupby("table"):
        for number, found in enumerate(_resolutions(part, groups, pairs), 1):
            lines = list(found.lines)
            out.loc[lines, "test_set"] = number
            out.loc[lines, "smallest"] = SCALES["percent"] * found.smallest
            out.loc[lines, "smallest_by"] = found.basis
            first = BEST if found.ties else ALONE
            places = {found.best: first, **dict.fromkeys(found.ties, TIE)}
            out.loc[lines, "tie"] = [places.get(name, "") for name in part.loc[lines, "preset"]]
    return out


def told(part: pd.DataFrame) -> list[str]:
    """Put what a printed table's test sets can tell apart into sentences.

    Parameters
    ----------
    part : DataFrame
        Numbers of one table with `COLUMNS`.

    Returns
    -------
    list of str
        One for each test set of which a best row can be named, one for all others.
    """
    names = _names(part)
    out, without = [], []
    for _, own in part[part["test_set"].notna()].groupby("test_set"):
        first = own.iloc[0]
        smallest = f"{first['smallest']:.1f} points of accuracy ({first['smallest_by']})"
        rows = dict(zip(own["preset"], own["tie"], strict=True))
        best = [names[preset] for preset, place in rows.items() if place in (BEST, ALONE)]
        ties = [names[preset] for preset, place in rows.items() if place == TIE]
        if not best:
            without.append(smallest)
        elif ties:
            more = f" and {len(ties) - SHOWN} more" if len(ties) > SHOWN else ""
            listed = "; ".join(ties[:SHOWN]) + more
            out.append(f"Not told apart below {smallest}: {best[0]} is best, tied with {listed}.")
        else:
            out.append(f"Not told apart below {smallest}: {best[0]} is best, and alone.")
    return out + ([f"Not told apart below {', '.join(without)}."] if without else [])


def marked(row: str, tie: str) -> str:
    """Name of a row, with `MARK` where others tie with it.

    Parameters
    ----------
    row : str
    tie : str
        Its `tie`.

    Returns
    -------
    str
    """
    return row + MARK if tie in (BEST, TIE) else row


def _resolutions(part: pd.DataFrame, groups: Mapping[str, Group], pairs: Pairs) -> list[Resolution]:
    """What the test sets of a printed table can tell apart, each once."""
    part = part[part["unit"].isin(SCALES) & part["n_test"].notna()]
    presets = list(dict.fromkeys(part["preset"]))
    found: list[Resolution] = []
    shared: dict[tuple[str, ...], list[str]] = {}
    for preset in presets:
        if preset in groups and (split := _splits(groups[preset])):
            shared.setdefault(split, []).append(preset)
    done: set[str] = set()
    for own in shared.values():
        one = _of_runs({preset: groups[preset] for preset in own}, pairs)
        if one is not None:
            lines = part.index[part["preset"].isin(own)]
            found.append(one._replace(lines=tuple(lines)))
            done.update(own)
    rest = part[~part["preset"].isin(done)]
    for (n, _), numbers in rest.groupby(["n_test", "classes"], sort=False):
        found += _of_size(numbers, int(n))
    return found


def _names(part: pd.DataFrame) -> dict[str, str]:
    """Preset -> what to call it: its row, or itself where it has several rows."""
    rows = part.groupby("preset")["row"].unique()
    return {str(preset): str(own[0] if len(own) == 1 else preset) for preset, own in rows.items()}


# --- from runs ------------------------------------------------------------------------------------


def _rounds(group: Group) -> dict[tuple[str, ...], Scored]:
    """Each round's run and accuracy; of several runs of a round the last."""
    return {
        tuple(str(run.config.get(name)) for name in configuration.VARIED): (
            run,
            float(metrics["accuracy"]),
        )
        for run, metrics in zip(group.runs, group.metrics, strict=True)
        if isinstance(run, Run) and isinstance(metrics.get("accuracy"), float)
    }


def _splits(group: Group) -> tuple[str, ...]:
    """Hashes of the rounds' splits: rows that share them are tried on the same images."""
    return tuple(sorted(str(run.record.split_sha256) for run, _ in _rounds(group).values()))


def _of_runs(groups: Mapping[str, Group], known: Pairs) -> Resolution | None:
    """Compare the best row with each other one; None where that cannot be, or there is none."""
    runs = {preset: _rounds(group) for preset, group in groups.items()}
    best = max(runs, key=lambda name: float(np.mean([value for _, value in runs[name].values()])))
    reaches, ties = [], []
    for name in runs:
        if name == best:
            continue
        pairs = [(run, runs[name][key]) for key, run in runs[best].items() if key in runs[name]]
        try:
            if len(pairs) > 1:
                apart, reach, basis = _rounds_apart(pairs, groups[best].independent, known)
            elif pairs:
                apart, reach, basis = _images_apart(*pairs[0], known)
            else:
                return None
        except InputError:  # without predictions, or of other images
            return None
        if apart <= reach + 1e-12:  # an interval that ends at 0 holds it
            ties.append(name)
        if reach:
            reaches.append((reach, basis))
    if not reaches:
        return None
    basis = sorted(reaches)[len(reaches) // 2][1]
    return Resolution(
        (), float(np.median([reach for reach, _ in reaches])), basis, best, tuple(ties)
    )


def _rounds_apart(
    pairs: Sequence[tuple[Scored, Scored]], independent: bool, known: Pairs
) -> tuple[float, float, str]:
    """Mean difference of rounds, its reach by t, and from what.

    Rounds on the same images do not tell how others would come out: then it is at least as wide as
    one round's paired interval.
    """
    from scipy.special import stdtrit

    apart = np.array([one - other for (_, one), (_, other) in pairs])
    quantile = float(stdtrit(len(apart) - 1, (1 + LEVEL) / 2))
    reach = quantile * float(apart.std(ddof=1)) / math.sqrt(len(apart))
    basis = f"t of the differences in {len(apart)} rounds"
    if not independent:
        _, image_reach, image_basis = _images_apart(*pairs[0], known)
        if image_reach > reach:
            reach, basis = image_reach, f"{image_basis} in a round"
    return float(apart.mean()), reach, basis


def _images_apart(one: Scored, other: Scored, known: Pairs) -> tuple[float, float, str]:
    """Difference of two runs on the same images, and its reach towards 0."""
    key = one[0].path, other[0].path
    if key not in known:
        known[key] = compare(evaluation.read_run(one[0]), evaluation.read_run(other[0]))
    result = known[key]
    units = many(result["n"], "image")
    if result["ci_unit"] == "patient":
        units = many(result["n_patients"], "patient")
    apart = float(result["difference"])
    low = result["difference_ci"][0] if result["difference_ci"] else apart
    return apart, apart - low, f"paired {result['ci_method']} over {units}"


# --- from the number of images --------------------------------------------------------------------


def _of_size(numbers: pd.DataFrame, n: int) -> list[Resolution]:
    """What n images can show of shares as large as those printed, each on images of its own."""
    accuracies = numbers[numbers["metrics_key"].str.rpartition(".")[2] == "accuracy"]
    scores = accuracies if len(accuracies) else numbers[~_no_share(numbers)]
    values = [_fraction(row) for row in scores.to_dict("records")]
    if not values or n < 1:
        return []
    near = nearest(values, n)
    if near is None:  # too few images to show anything, or what is printed is no share
        return []
    mean = 100 * float(np.mean(values))
    basis = f"{near.fewer} of {n} images at the printed {mean:.1f} %, not paired"
    found = Resolution(tuple(numbers.index), near.fewer / n, basis)
    presets = list(accuracies["preset"])
    if len(presets) > 1 and len(set(presets)) == len(presets):
        ties = tuple(presets[place] for place in near.ties)
        found = found._replace(best=presets[near.best], ties=ties)
    return [found]


def _no_share(numbers: pd.DataFrame) -> pd.Series:
    last = numbers["metrics_key"].str.rpartition(".")[2].str.removesuffix("_macro")
    return last.isin(_NO_SHARE)


def _fraction(row: Mapping[str, Any]) -> float:
    return float(row["printed"]) / SCALES[row["unit"]]


class Near(NamedTuple):
    """Which of several shares are not told from the best one."""

    fewer: int
    """Images by which two have to differ, at the mean of all."""
    best: int
    """Place of the best one, of several the first."""
    ties: tuple[int, ...]
    """Places of those that lie nearer to it, by half an image: what is printed is rounded."""


def nearest(values: Sequence[float], n: int) -> Near | None:
    """Find the shares that cannot be told from the best one, each of n images of its own.

    Parameters
    ----------
    values : sequence of float
        Shares of right images; those that are printed are rounded.
    n : int
        Test images of each.

    Returns
    -------
    Near or None
        None where no difference would show.
    """
    fewer = told_apart(float(np.mean(values)), n)
    if fewer > n:
        return None
    best = max(range(len(values)), key=lambda place: values[place])
    ties = [
        place for place, value in enumerate(values)
        if place != best and n * (values[best] - value) < fewer - 0.5
    ]  # fmt: skip
    return Near(fewer, best, tuple(ties))


def told_apart(share: float, n: int) -> int:
    """How many images fewer of n are right when the difference shows.

    Parameters
    ----------
    share : float
        Of right images, of the better one of the two.
    n : int
        Test images of each, which are independent.

    Returns
    -------
    int
        The smallest number at which Newcombe's 95 % interval of the difference leaves out 0; n + 1
        where even none right would not show.
    """
    k = round(share * n)
    if not 0 <= k <= n:
        return n + 1
    better = (k / n, *wilson(k, n))
    for fewer in range(1, k + 1):
        worse = k - fewer
        if difference_interval(better, (worse / n, *wilson(worse, n)))[0] > 0:
            return fewer
    return n + 1
