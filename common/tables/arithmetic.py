"""What the arithmetic of printed numbers tells: the counts behind them, and which are impossible.

A share of n test images is k/n with a whole k, an F1 is the harmonic mean of a precision and a
recall, four counts add up to the test set: a printed number that fits none is marked, not mended.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.forensics.cells import classes_of
from common.forensics.means import f1_ends, within
from common.forensics.rounding import Printed, recover_count, rounds_to
from common.metrics import catalogue, class_scores
from common.tables.printed import SCALES, unknown

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("tp", "tn", "fp", "fn")

OVER = {
    "precision": ("tp", "fp"),
    "recall": ("tp", "fn"),
    "fpr": ("fp", "tn"),
    "tnr": ("tn", "fp"),
}
"""Scores of a class that are shares: the count above the line, and the other one below it."""

_OTHER = {"tp": "fn", "fn": "tp", "fp": "tn", "tn": "fp"}
"""With which count a count makes up the images of its class, or all others."""


class Counted(NamedTuple):
    """What is known of the counts behind a printed number."""

    possible: bool | None
    """False: no count of test images gives the number. None: its counts cannot be recovered."""
    k: int = 0
    """Numerator where `possible` is True."""
    n: int = 0
    """Denominator where `possible` is True."""


UNRECOVERED = Counted(None)
IMPOSSIBLE = Counted(False)


def paper_count(row: Mapping[str, Any], siblings: pd.DataFrame) -> Counted:
    """Recover the counts behind a printed number.

    Parameters
    ----------
    row : mapping
        A row of published.csv.
    siblings : DataFrame
        All numbers that must agree with it, see `paper_counts`.

    Returns
    -------
    Counted
        ``possible`` False: no count of as many test images as the paper prints gives the number, or
        it lies outside its score's range.
        None: its counts cannot be recovered (a macro average, a score of one class), or the size
        of the test set is not printed and the one taken does not fit (`size_remarks`).
        ``k, n``: the counts where it is True, else 0, 0; of a printed count itself and the images
        that it is out of, those of the class or all others.
    """
    if _outside(row):
        return IMPOSSIBLE
    if row["unit"] in ("fraction", "images"):
        return _beside_counts(row, siblings)
    if row["unit"] != "percent" or unknown(row["n_test"]):
        return UNRECOVERED
    n_test, rounds = int(row["n_test"]), int(row.get("rounds") or 1)
    score = str(row["metrics_key"]).rpartition(".")[2]
    if is_share(row):
        k = recover_count(row["printed"], row["decimals"], n_test * rounds)
        if k is None:
            return UNRECOVERED if row.get("n_from") else IMPOSSIBLE
        # Rounds share their test images: their sum is no count of independent ones.
        return Counted(True, k, n_test) if rounds == 1 else UNRECOVERED
    if score == "f1":  # of a class; the macro average has another name
        return UNRECOVERED if _f1_fits(row, siblings, rounds) else IMPOSSIBLE
    if score == "precision_micro_at_half":
        return _of_precision(row, siblings, n_test)
    return UNRECOVERED


def _outside(row: Mapping[str, Any]) -> bool:
    """Whether a score lies outside its range, whatever the test set."""
    key = str(row["metrics_key"])
    if key.startswith("by_magnification."):
        key = key.split(".", 2)[-1]
    score = catalogue.find(key)
    if score is None or row["unit"] not in SCALES:
        return False
    value = float(row["printed"]) / SCALES[row["unit"]]
    return not score.lowest <= value <= score.highest


def is_share(row: Mapping[str, Any]) -> bool:
    """Whether a score is a share of all test images.

    Parameters
    ----------
    row : mapping
        A row of published.csv.

    Returns
    -------
    bool
    """
    path, _, score = str(row["metrics_key"]).rpartition(".")
    return score in ("accuracy", "recall_micro_at_half") and "per_class" not in path.split(".")


def _of_precision(row: Mapping[str, Any], siblings: pd.DataFrame, n_test: int) -> Counted:
    """Counts of a precision by the recall beside it, which has the same numerator.

    Its denominator is then the only unknown; it is taken where only one fits.
    """
    key = row["metrics_key"].replace("precision_micro", "recall_micro")
    value, decimals = float(row["printed"]), int(row["decimals"])
    beside = siblings[siblings["metrics_key"] == key]
    if beside.empty:
        return UNRECOVERED
    k = recover_count(beside["printed"].iloc[0], beside["decimals"].iloc[0], n_test)
    if k is None:
        return UNRECOVERED
    fits = [n for n in range(max(k, 1), n_test + 1) if rounds_to(100 * k / n, value, decimals)]
    return Counted(True, k, fits[0]) if len(fits) == 1 else UNRECOVERED


def paper_counts(table: pd.DataFrame) -> list[Counted]:
    """`paper_count` of every number in a table such as `published` reads.

    A number's siblings are those of the same row of the same table; where a table prints a model's
    classes in rows of their own, as fractions beside counts, those of the model.

    Parameters
    ----------
    table : DataFrame
        All printed numbers of a paper.

    Returns
    -------
    list of Counted
        In the order of the table.
    """
    rows: dict[Hashable, pd.DataFrame] = dict(list(table.groupby(["table", "row"])))
    models: dict[Hashable, pd.DataFrame] = dict(list(table.groupby(["table", "preset"])))
    return [
        paper_count(row, models[row["table"], row["preset"]])
        if row["unit"] in ("fraction", "images")
        else paper_count(row, rows[row["table"], row["row"]])
        for row in table.to_dict("records")
    ]


def size_remarks(table: pd.DataFrame) -> list[str]:
    """Say of which numbers the size of the test set is not printed, and the one taken not right.

    Parameters
    ----------
    table : DataFrame
        All printed numbers of a paper.

    Returns
    -------
    list of str
        In the order of the table: "" or, for example, ``no test size is printed; n = 604 (30 % of
        the images) does not give it, n = 595 would fit``. The size named is one that the paper
        prints elsewhere for the same row, or else the one nearest to that taken.
    """
    printed = table[(table["n_from"] == "") & table["n_test"].notna()]
    elsewhere: dict[Hashable, list[int]] = {
        preset: sorted({int(n) for n in sizes}) for preset, sizes in
        printed.groupby("preset")["n_test"]
    }  # fmt: skip
    return [_size_remark(row, elsewhere.get(row["preset"], ())) for row in table.to_dict("records")]


def _size_remark(row: Mapping[str, Any], elsewhere: Iterable[int]) -> str:
    """`size_remarks` of one number; `elsewhere` are sizes that the paper prints for its row."""
    if row["unit"] != "percent" or not row["n_from"] or unknown(row["n_test"]):
        return ""
    n, rounds = int(row["n_test"]), int(row["rounds"] or 1)

    def fits(size: int) -> bool:
        return recover_count(row["printed"], row["decimals"], size * rounds) is not None

    if not is_share(row) or fits(n):
        return ""
    near = [size for off in range(1, n) for size in (n - off, n + off)]
    fitting = next((size for size in (*elsewhere, *near) if fits(size)), None)
    other = "nor does any size near it" if fitting is None else f"n = {fitting} would fit"
    taken = f"n = {n} ({row['n_from']}){_in_rounds(rounds)} does not give it"
    return f"no test size is printed; {taken}, {other}"


def _in_rounds(rounds: int) -> str:
    return f" in {rounds} rounds" if rounds > 1 else ""


def impossible(row: Mapping[str, Any]) -> str:
    """Say what speaks against a printed number of which `paper_count` says that none fits.

    Parameters
    ----------
    row : mapping
        A row of published.csv.

    Returns
    -------
    str
        For example ``not possible with n = 407``.
    """
    if _outside(row):
        return "lies outside the range of the score"
    if row["unit"] == "fraction":
        return "does not follow from the counts printed beside it"
    if row["unit"] == "images":
        return f"is one of four counts that do not add up to n = {int(row['n_test'])}"
    if str(row["metrics_key"]).endswith(".f1"):
        return "does not follow from the precision and recall printed beside it"
    return f"not possible with n = {int(row['n_test'])}{_in_rounds(int(row.get('rounds') or 1))}"


# --- numbers printed beside the counts of their class --------------------------------------------


def _beside_counts(row: Mapping[str, Any], siblings: pd.DataFrame) -> Counted:
    """`paper_count` of a number printed beside the four counts of its class, or of a mean of such.

    A mean over the classes may be that of the printed or of the exact scores.
    """
    keys, values = siblings["metrics_key"], siblings["printed"]
    printed = {str(key): float(value) for key, value in zip(keys, values, strict=True)}
    path, _, score = str(row["metrics_key"]).rpartition(".")
    if not path and score.endswith("_macro"):
        return _mean_of_classes(row, printed, score.removesuffix("_macro"))
    counts = _counts_of(printed, path)
    if row["unit"] == "images":
        return _count_itself(row, counts, score)
    if counts is None:
        return UNRECOVERED
    share = _share(counts, score)
    exact = _score(counts, score)
    if exact is None or (share and share.n == 0):  # of nothing: any convention may hold
        return UNRECOVERED
    if not _is_printed(exact, row):
        return IMPOSSIBLE
    return share or UNRECOVERED


def _count_itself(
    row: Mapping[str, Any], counts: Mapping[str, float] | None, score: str
) -> Counted:
    """`paper_count` of a printed count: what it is out of, by its siblings or the class's size."""
    unprinted = unknown(row["n_test"]) or bool(row.get("n_from"))
    if counts is not None and score in counts:
        if not unprinted and sum(counts.values()) != row["n_test"]:
            return IMPOSSIBLE
        k, of = counts[score], counts[score] + counts[_OTHER[score]]
    else:
        unprinted = score not in ("tp", "fn")
        name = str(row["metrics_key"]).rpartition(".")[0].rpartition(".")[2]
        size = classes_of(str(row.get("classes") or ""), "published.csv")[1].get(name, ())
        k, of = float(row["printed"]), float(size[0]) if len(size) == 1 else 0.0
    sound = 0 <= k <= of and of > 0 and k == int(k) and of == int(of)
    return UNRECOVERED if unprinted or not sound else Counted(True, int(k), int(of))


def _mean_of_classes(row: Mapping[str, Any], printed: Mapping[str, float], score: str) -> Counted:
    """`paper_count` of a mean over the classes whose scores and counts are printed beside it."""
    paths = [key.rpartition(".")[0] for key in printed if key.endswith(f".{score}")]
    exact = []
    for path in paths:
        counts = _counts_of(printed, path)
        value = None if counts is None else _score(counts, score)
        if value is None:
            return UNRECOVERED
        exact.append(value)
    if not exact:
        return UNRECOVERED
    means = np.mean(exact), np.mean([printed[f"{path}.{score}"] for path in paths])
    return UNRECOVERED if any(_is_printed(float(each), row) for each in means) else IMPOSSIBLE


def _counts_of(printed: Mapping[str, float], path: str) -> dict[str, float] | None:
    """Four counts of the class at a path, if all are printed."""
    if not all(f"{path}.{name}" in printed for name in COUNTS):
        return None
    return {name: printed[f"{path}.{name}"] for name in COUNTS}


def _share(counts: Mapping[str, float], score: str) -> Counted | None:
    """Numerator and denominator of a score that is a share of images."""
    if score not in OVER:
        return None
    k, other = (int(counts[name]) for name in OVER[score])
    return Counted(True, k, k + other)


def _score(counts: Mapping[str, float], score: str) -> float | None:
    """Score that follows from four counts; None if it is no score of a class, or undefined."""
    matrix = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]])
    scores = class_scores(matrix)
    value = float(scores[score][1]) if score in scores else math.nan
    return None if math.isnan(value) else value


def _is_printed(exact: float, row: Mapping[str, Any]) -> bool:
    return rounds_to(exact, float(row["printed"]), int(row["decimals"]))


# --- F1 from a precision and a recall ------------------------------------------------------------


def _f1_fits(row: Mapping[str, Any], siblings: pd.DataFrame, rounds: int) -> bool:
    """Whether a class' printed F1 can follow from the precision and the recall beside it.

    The F1 of one round is their harmonic mean; see `f1_ends` for the mean of several.
    """
    path = str(row["metrics_key"]).removesuffix("f1")
    beside = [siblings[siblings["metrics_key"] == path + name] for name in ("precision", "recall")]
    if any(found.empty for found in beside):
        return True
    precision, recall = (
        within(Printed(str(found["printed"].iloc[0]), int(found["decimals"].iloc[0]), 100))
        for found in beside
    )
    low, high = f1_ends(precision, recall, rounds)
    f1 = Printed(str(row["printed"]), int(row["decimals"]), 100)
    return f1.low <= high and low <= f1.high
