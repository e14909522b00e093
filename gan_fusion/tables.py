"""The paper's tables with our runs beside them, and what the GAN's images change.

python -m gan_fusion.tables                every printed number
python -m gan_fusion.tables per-class      Tables 11 and 12 in the paper's form
python -m gan_fusion.tables gan-effect     runs without and with generated images
python -m gan_fusion.tables epochs         Table 10's numbers of epochs, read off each training
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from common import errors, evaluation, metrics, tables
from common.errors import InputError
from gan_fusion import lengths
from gan_fusion.config import EPOCHS_TRIED, HONEST

if TYPE_CHECKING:
    from common.runs import Run

SCORES = ("TP", "TN", "FP", "FN", "precision", "recall", "FPR", "TNR", "F1", "kappa", "MCC")
"""Columns of Tables 11 and 12."""

PAIRS = tuple(
    (f"{table}-{reading}-trad", f"{table}-{reading}-trad-gan")
    for table in ("T11", "T12")
    for reading in ("fusion", "counts")
)
"""Rows that differ in the GAN's images alone."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m gan_fusion.tables``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    """
    views = {
        "per-class": ("Tables 11 and 12 in the paper's form", per_class),
        "gan-effect": ("runs without and with generated images", gan_effect),
        "epochs": ("Table 10's numbers of epochs, read off each training", by_epochs),
    }
    return tables.main("gan_fusion", arguments, views)


def per_class(paper: tables.Paper) -> str:
    """Tables 11 and 12 as printed, each line with ours and our honest twin's below it, Markdown.

    Parameters
    ----------
    paper : Paper
        From `common.tables.load`.
    """
    out = []
    table = paper.table.assign(possible=[each[0] for each in tables.paper_counts(paper.table)])
    for name in ("T11", "T12"):
        printed = table[table["table"] == name]
        lines = []
        for row, numbers in printed.groupby("row", sort=False):
            lines.append([str(row), "paper", *_printed_cells(numbers)])
            preset = numbers["preset"].iloc[0]
            for who, key in (("ours", preset), ("honest", HONEST[preset])):
                if key in paper.groups:
                    lines.append(["", who, *_our_cells(numbers, paper.groups[key])])
        header = ["model, category", "", *SCORES]
        out += [f"## {tables.table_title(name)}", "", *tables.markdown_table(header, lines), ""]
    out += [
        "\\* does not agree with the counts: they do not add up to the size of the test set, the",
        "score is not theirs, or the average is neither that of the printed nor of the exact",
        "scores. Ours: one run, or the mean of several. honest: patients kept apart, of ICIAR",
        "those that are published; another and larger test set.",
    ]
    return "\n".join(out) + "\n"


def _printed_cells(numbers: pd.DataFrame) -> Iterator[str]:
    by_metric = numbers.set_index("metric")
    for score in SCORES:
        if score not in by_metric.index:
            yield ""  # averages have no counts
            continue
        number = by_metric.loc[score]
        yield number["printed"] + "*" * (number["possible"] is False)


def _our_cells(numbers: pd.DataFrame, group: tables.Group) -> Iterator[str]:
    by_metric = numbers.set_index("metric")
    for score in SCORES:
        if score not in by_metric.index:
            yield ""
            continue
        number = by_metric.loc[score]
        value = tables.estimate(group, number["metrics_key"]).value
        decimals = 1 if number["unit"] == "images" and len(group.runs) > 1 else number["decimals"]
        yield "–" if value is None else f"{value:.{decimals}f}"


def gan_effect(paper: tables.Paper) -> str:
    """Accuracy without and with generated images, the paper's and ours, with intervals.

    Parameters
    ----------
    paper : Paper
        From `common.tables.load`.

    Returns
    -------
    str
        Markdown.
    """
    lines = []
    for without, with_gan in PAIRS:
        for who, pair in (
            ("paper's way", (without, with_gan)),
            ("honest", (HONEST[without], HONEST[with_gan])),
        ):
            cells = [_accuracy(paper.groups.get(preset)) for preset in pair]
            claimed = _claimed(paper, *pair) if who != "honest" else ""
            lines.append([with_gan, who, claimed, *cells, *_difference(paper, *pair)])
    header = ["row", "split", "paper", "without GAN", "with GAN", "difference", "95 % interval"]
    out = [
        "## Effect of the GAN's images on accuracy (%)",
        "",
        *tables.markdown_table(header, lines),
        "",
        "paper: Table 14's accuracies, in brackets what the counts of Tables 11 and 12 give.",
        "difference: with minus without, in points, over runs of equal seeds on the same test",
        "images; the interval of a single pair is the paired jackknife over patients (over images,",
        "where they are unknown, the bootstrap).",
    ]
    return "\n".join(out) + "\n"


def by_epochs(paper: tables.Paper) -> str:
    """Accuracy on the test images after 10, 20, ... 50 epochs, of each row's runs.

    Parameters
    ----------
    paper : Paper
        From `common.tables.load`.

    Returns
    -------
    str
        Markdown.
    """
    lines = []
    for row in dict.fromkeys(paper.table["preset"]):
        for who, preset in (("paper's way", row), ("honest", HONEST[row])):
            group = paper.groups.get(preset)
            known = [lengths.read(run) for run in group.folders] if group else []
            found = [each for each in known if each is not None]
            if found:
                trained = ", ".join(str(count) for count, _ in found)
                lines.append([row, who, *_lengths_cells(found), trained])
    header = ["row", "split", *(f"{n} epochs" for n in EPOCHS_TRIED), "epochs trained"]
    out = ["## Numbers of epochs (Table 10, which prints no results)", ""]
    if not lines:
        return "\n".join([*out, "no finished run of a row tells of them"]) + "\n"
    out += [
        *tables.markdown_table(header, lines),
        "",
        "Accuracy on the test images (%) of what a training of so many epochs keeps, with its 95 %",
        "interval, or mean ± standard deviation (runs). Read off one training: the rate falls by",
        "epoch whatever their number. A training that stopped earlier keeps the same from then on.",
        "The test images choose nothing here: which number is best is no result.",
    ]
    return "\n".join(out) + "\n"


def _lengths_cells(found: Sequence[tuple[int, Mapping[int, Mapping[str, Any]]]]) -> Iterator[str]:
    for length in EPOCHS_TRIED:
        scores = [dict(each[length]) for _, each in found if length in each]
        if not scores:
            yield "–"
            continue
        ours = tables.estimate(tables.Group([], scores), "accuracy")
        value = 100 * (ours.value or 0)
        if ours.sd is not None:
            yield f"{value:.2f} ± {100 * ours.sd:.2f} ({ours.n_runs})"
        elif ours.low is None or ours.high is None:
            yield f"{value:.2f} ({ours.k}/{ours.n})"
        else:
            ends = f"{100 * ours.low:.2f} to {100 * ours.high:.2f}"
            yield f"{value:.2f} ({ours.k}/{ours.n}) [{ends}]"


def _claimed(paper: tables.Paper, without: str, with_gan: str) -> str:
    """Printed accuracies, then those of the printed counts, without -> with."""
    found = []
    for preset in (without, with_gan):
        rows = paper.table[paper.table["preset"] == preset]
        accuracy = rows.loc[(rows["table"] == "T14"), "printed"].iloc[0]
        hits = rows[rows["metrics_key"].str.endswith(".tp") & rows["table"].str.match("T1[12]")]
        right = hits["printed"].astype(int).sum()
        size = f" ({right}/{hits['n_test'].iloc[0]})" if len(hits) else ""
        found.append(f"{accuracy}{size}")
    return " -> ".join(found)


def _accuracy(group: tables.Group | None) -> str:
    if group is None:
        return "not run"
    ours = tables.estimate(group, "accuracy")
    if ours.value is None:
        return "–"
    text = f"{100 * ours.value:.2f}"
    if ours.sd is not None:
        return f"{text} ± {100 * ours.sd:.2f} ({ours.n_runs})"
    return f"{text} ({ours.k}/{ours.n})"


def _difference(paper: tables.Paper, without: str, with_gan: str) -> tuple[str, str]:
    """Mean difference over pairs of runs of equal seeds, and the interval of a single pair."""
    groups = [paper.groups[name] for name in (without, with_gan) if name in paper.groups]
    if len(groups) < 2:
        return "", ""
    first, second = ({_seeds(run): run for run in group.folders} for group in groups)
    results: list[dict[str, Any]] = []
    for seeds in sorted(set(first) & set(second)):
        try:
            pair = (evaluation.read_run(each[seeds]) for each in (second, first))
            results.append(metrics.compare(*pair))
        except InputError as error:
            return "", f"not comparable: {error}"
    if not results:
        return "", "no two runs at hand share seed and split seed"
    mean = 100 * sum(each["difference"] for each in results) / len(results)
    if len(results) > 1:
        return f"{mean:+.2f} ({len(results)} pairs)", ""
    interval = results[0]["difference_ci"]
    if interval is None:
        return f"{mean:+.2f}", "none: every image counts the same"
    low, high = (100 * value for value in interval)
    return f"{mean:+.2f}", f"{low:+.2f} to {high:+.2f}"


def _seeds(run: Run) -> tuple[int, int]:
    return run.config["seed"], run.config["split_seed"]


if __name__ == "__main__":
    errors.main(main)
