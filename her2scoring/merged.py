"""Networks of four classes scored on the three that merge them (H12).

The three classes of Tables I and II are the four of Table III with 0 and 1+ as one. So a network of
four classes answers for three as well: the probability of negative is that of 0 and of 1+ together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common import evaluation, predictions, tables
from common.datasets import bci
from common.runs import Run

if TYPE_CHECKING:
    import pandas as pd

PAIRS = {
    f"T3-{network}-{stain}": f"{table}-{network}"
    for network in ("convnext_tiny", "resnet50")
    for table, stain in (("T1", "ihc"), ("T2", "he"))
}
"""Row of four classes -> row of three classes of the same network on the same images."""

HEADER = ["images, network", "three classes", "paper", "ours", "95 % interval"]
"""Heads of the columns."""


def merge(table: pd.DataFrame, *, answers: bool = False) -> pd.DataFrame:
    """Predictions of three classes from those of four.

    Parameters
    ----------
    table : DataFrame
        As in predictions.csv, with a column for each score of 0, 1+, 2+, 3+.
    answers : bool
        Merge the answers instead of the probabilities: the class of the likeliest score has 1. Then
        nothing that was right becomes wrong; two unlikely scores do not outvote a likely one.

    Returns
    -------
    DataFrame
        With a column for each of negative, borderline, positive, and these labels.
    """
    three, four = bci.CLASSES[3], bci.CLASSES[4]
    merged = table.drop(columns=[predictions.column(score) for score in four])
    merged["label"] = table["label"].map(bci.THREE)
    said = predictions.predicted(table)
    for name in three:
        scores = [score for score in four if bci.THREE[score] == name]
        merged[predictions.column(name)] = (
            np.isin(said, scores).astype(float)
            if answers
            else table[[predictions.column(score) for score in scores]].sum(axis=1)
        )
    return merged


def scores(run: Run, *, answers: bool = False) -> dict[str, Any]:
    """Metrics of a run of four classes on the three that merge them.

    Parameters
    ----------
    run : Run
    answers : bool
        As in `merge`; then only what rests on the predicted classes means anything.

    Returns
    -------
    dict
        As metrics.json.
    """
    return evaluation.evaluate(
        merge(evaluation.read_run(run), answers=answers),
        bci.CLASSES[3],
        split=str(run.config.get("split", "")),
        synthetic=run.synthetic,
    )


def lines(paper: tables.Paper) -> list[str]:
    """Accuracy on three classes: of networks of three, and of networks of four, merged.

    Parameters
    ----------
    paper : Paper
        From `common.tables.load`.

    Returns
    -------
    list of str
        Markdown.
    """
    printed = paper.table[paper.table["metric"] == "accuracy"]
    cells = []
    for four, three in PAIRS.items():
        row = printed[(printed["preset"] == three)].iloc[0]
        stain = "IHC" if four.endswith("ihc") else "H&E"
        # The paper's accuracy on four classes is the least that merging can give.
        least = printed[(printed["preset"] == four)].iloc[0]["printed"]
        cells += [
            [f"{stain}, {row['row']}", "trained on three", row["printed"], *_ours(paper, three)],
            ["", "answers of four", f"at least {least}", *_ours(paper, four, answers=True)],
            ["", "probabilities of four", "", *_ours(paper, four, answers=False)],
        ]
    return [
        "## Three classes from four (H12), accuracy (%)",
        "",
        *tables.markdown_table(HEADER, cells),
        "",
        "Merging the answers cannot make one wrong; of merged probabilities two small ones may",
        "outvote a large one. ours: k/n of one run, or the mean of several; the interval is the",
        "bootstrap of a single one.",
        "",
    ]


def _ours(paper: tables.Paper, preset: str, answers: bool | None = None) -> tuple[str, str]:
    """Accuracy of a row's runs; of merged answers or probabilities where `answers` says which."""
    group = paper.groups.get(preset)
    if group is None:
        return "not run", "–"
    found = group.metrics
    if answers is not None:
        # Of results without their runs no predictions are at hand.
        known = [run for run in group.runs if isinstance(run, Run)]
        if not known:
            return "no predictions", "–"
        found = [scores(run, answers=answers) for run in known]
    mean = 100 * sum(each["accuracy"] for each in found) / len(found)
    if len(found) > 1:
        return f"{mean:.2f} ({len(found)} runs)", "–"
    ends = found[0]["accuracy_ci"]
    between = "–" if ends is None else f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"
    return f"{mean:.2f} ({found[0]['correct']}/{found[0]['n']})", between
