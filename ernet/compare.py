"""Which differences between runs matter: python -m ernet.compare --runs-dir runs.

The paper names a multiple range test for the factors model and magnification and prints no result
of it (4.3.2, E28). Here Tukey's honestly significant difference compares the means of all finished
runs, grouped by network and split, and by magnification.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common import config as configuration
from common import errors, evaluation, figures, metrics, notices, predictions, runs, tables
from common.arguments import Parser
from common.errors import InputError
from common.files import output_folder, path_argument
from ernet.config import Config

FACTORS = ("model", "magnification")
NAMED = ("network", "split", "magnifications")
"""Fields of Config that the table names in columns of their own."""

POSITIVE = "malignant"
CURVES = ("part", "magnification", "label", predictions.column(POSITIVE))
"""Columns of predictions.csv that curves are made of."""


def rounds(found: Sequence[runs.Run], score: str = "accuracy") -> pd.DataFrame:
    """Scores of finished runs, one row per run and magnification of its test part.

    Parameters
    ----------
    found : sequence of Run
        Of this package.
    score : str
        Path in a magnification's part of metrics.json, for example `per_class.malignant.recall`.

    Returns
    -------
    DataFrame
        Columns model (network and split), magnification, training (which magnifications the
        network saw), settings (what else differs from the paper's rows), round (seeds and fold),
        value.

    Raises
    ------
    InputError
        If a run has no such score.
    """
    rows = []
    for run in found:
        config = run.config
        settings = ", ".join(
            f"{name} {config[name]}"
            for name in configuration.differences(config, Config())
            if name not in NAMED
        )
        for magnification, part in evaluation.read_metrics(run)["by_magnification"].items():
            value = tables.lookup(part, score)
            if not isinstance(value, int | float):
                raise InputError(f"{run.path}: its metrics.json has no {score}")
            rows.append(
                {
                    "model": f"{config['network']}, {config['split']}",
                    "magnification": magnification,
                    "training": "+".join(config["magnifications"]),
                    "settings": settings or "as the paper's rows",
                    "round": tuple(config[name] for name in configuration.VARIED),
                    "value": value,
                }
            )
    columns = ["model", "magnification", "training", "settings", "round", "value"]
    return pd.DataFrame(rows, columns=columns)


def tukey(table: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Compare the means of a factor's levels pairwise, adjusted for the number of pairs.

    Parameters
    ----------
    table : DataFrame
        From `rounds`. A round is one value: the mean over the other factor's levels.
    factor : {"model", "magnification"}
        Whose levels are compared.

    Returns
    -------
    DataFrame
        Columns a, b, n_a, n_b, difference (mean of a minus mean of b), low, high (95 %
        simultaneous interval), p. Empty where fewer than two levels have two rounds each.

    References
    ----------
    J. W. Tukey, "Comparing individual means in the analysis of variance", 1949;
    `scipy.stats.tukey_hsd`.
    """
    from scipy.stats import tukey_hsd

    one_per_round = table.groupby([factor, "training", "round"])["value"].mean()
    levels = {
        level: values.to_numpy()
        for level, values in one_per_round.groupby(level=factor, sort=False)
    }
    levels = {level: values for level, values in levels.items() if len(values) > 1}
    columns = ["a", "b", "n_a", "n_b", "difference", "low", "high", "p"]
    if len(levels) < 2:
        return pd.DataFrame(columns=columns)
    names = list(levels)
    # Where no round differs from another, nothing is divided by nothing: no difference is shown.
    with np.errstate(divide="ignore", invalid="ignore"):
        result = tukey_hsd(*levels.values())
        p = np.nan_to_num(result.pvalue, nan=1.0)
    interval = result.confidence_interval(metrics.LEVEL)
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    return pd.DataFrame(
        [
            (
                names[j], names[i], len(levels[names[j]]), len(levels[names[i]]),
                result.statistic[j, i], interval.low[j, i], interval.high[j, i],
                p[j, i],
            )
            for i, j in pairs
        ],
        columns=columns,
    )  # fmt: skip


def text(table: pd.DataFrame, score: str) -> str:
    """Means of every group, and Tukey's comparison for both factors.

    Parameters
    ----------
    table : DataFrame
        From `rounds`, runs of equal settings.
    score : str
        What its values are, for the heads.

    Returns
    -------
    str
        Lines for a terminal.
    """
    out = []
    means = table.groupby(["model", "training", "magnification"], sort=False)["value"]
    lines = [["model", "trained on", "tested on", "rounds", f"mean {score} %", "sd"]]
    for (model, training, magnification), values in means:
        sd = f"{100 * values.std(ddof=1):.2f}" if len(values) > 1 else "–"
        row = [model, training, magnification, str(len(values)), f"{100 * values.mean():.2f}", sd]
        lines.append(row)
    out += evaluation.aligned(lines)
    for factor in FACTORS:
        found = tukey(table, factor)
        out += ["", f"Tukey's HSD by {factor}:"]
        if found.empty:
            out += [f"  needs two {factor}s with two rounds each"]
            continue
        lines = [["pair", "rounds", "difference", "95 % interval", "p", ""]]
        for row in found.itertuples():
            lines.append(
                [
                    f"{row.a} - {row.b}",
                    f"{row.n_a}, {row.n_b}",
                    f"{100 * row.difference:+.2f}",
                    f"{100 * row.low:+.2f} to {100 * row.high:+.2f}",
                    f"{row.p:.3f}" if row.p >= 0.001 else "< 0.001",
                    "differs" if row.p < 1 - metrics.LEVEL else "",
                ]
            )
        out += evaluation.aligned(lines)
    out += [
        "",
        "Rounds that share test images are not independent: the intervals are then too narrow as",
        f"statements about other images. {notices.RESEARCH_USE}",
    ]
    return "\n".join(out)


def main(arguments: list[str] | None = None) -> None:
    """Read the finished runs and compare them.

    Parameters
    ----------
    arguments : list of str, optional
        Command line; that of the process by default.

    Raises
    ------
    InputError
        If there is no finished run on real images.
    """
    parser = Parser(
        prog="python -m ernet.compare",
        description="Means of finished runs by network, split and magnification, with Tukey's "
        "multiple comparison. Synthetic runs are left out.",
    )
    parser.add_argument("--runs-dir", type=path_argument, default=Path("runs"), metavar="DIR")
    parser.add_argument(
        "--score", default="accuracy", help="path in metrics.json (default: accuracy)"
    )
    parser.add_argument(
        "--roc", type=output_folder, metavar="DIR", help="draw ROC curves of each model there"
    )
    options = parser.parse_args(arguments)
    found = [run for run in runs.find(options.runs_dir, "ernet") if not run.synthetic]
    if not found:
        raise InputError(f"{options.runs_dir}: no finished run of ernet on real images")
    table = rounds(found, options.score)
    for settings, group in table.groupby("settings", sort=False):
        print(f"Settings: {settings}\n")
        print(text(group, options.score), end="\n\n")
    if options.roc:
        for name in sorted({(run.config["network"], run.config["split"]) for run in found}):
            chosen = [r for r in found if (r.config["network"], r.config["split"]) == name]
            # The images of all rounds, and of networks trained on one magnification each.
            test = pd.concat(
                [predictions.of_part(evaluation.read_run(run, CURVES)) for run in chosen]
            )
            curves = metrics.roc_by_magnification(test, POSITIVE)
            target = options.roc / f"roc-{'-'.join(name)}.png"
            print(figures.save(figures.roc(curves), target))


if __name__ == "__main__":
    errors.main(main)
