"""What patients that a network has not seen get: by image, by patient, with stains dealt with.

    python -m benchmarks.unseen_patients --data-dir D --weights FILE [--figure PNG]
    python -m benchmarks.unseen_patients --data-dir D --weights FILE --other FOLDER|FILE.csv

The same trainings of `breakhis` four times, in grouped folds: on folds of images (its test images
are of patients that it knows), on folds of patients, and on these with all images normalised by
Macenko's method to a training image, or with their stains changed at random while training. What
is finished answers from its files, so the command goes on where it was stopped. `--other` judges
all these networks on another site's images, by what `python -m breakhis.evaluate` calls.

Scores are means over the seeds; their intervals and those of the differences leave out each
patient, with the answers of all seeds, in turn.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common import (
    datasets,
    errors,
    external,
    figures,
    images,
    metrics,
    notices,
    predictions,
    stain,
)
from common.arguments import Parser
from common.datasets import own
from common.external.others import Others, parsed_map
from common.files import path_argument, write_csv
from common.metrics.groups import known
from common.metrics.summary import aligned
from common.reproduce import price
from common.runs import EXTERNAL, Run
from common.stain import __main__ as stains

AUGMENTATION = 0.1
"""Between light and strong (`--stain-augmentation`)."""

SETTINGS = (
    "--network", "mobilenet_v2", "--frozen-layers", "100", "--magnifications", "100X",
    "--image-size", "128", "--normalisation", "own", "--learning-rate", "1e-4",
    "--schedule", "constant", "--weight-decay", "0", "--epochs", "8", "--batch-size", "16",
    "--horizontal-flip", "--vertical-flip", "--select-on", "last",
)  # fmt: skip

VARIANTS = {
    # name: the folds, what is done about stains
    "patient-wise": ("patient", ""),
    "image-wise": ("image", ""),
    "stains normalised": ("patient", "normalised"),
    "stains augmented": ("patient", "augmented"),
}
BASE = "patient-wise"
SCORES = ("accuracy", "balanced accuracy", "AUC")


def plan_of(plan: price.Plan, kind: str, seed: int, fold: int, stains_are: str) -> price.Plan:
    """The plan of one training: its settings, and the folder of its images."""
    request = plan.request
    if stains_are == "augmented":
        config = dataclasses.replace(request.config, stain_augmentation=AUGMENTATION)
        return dataclasses.replace(plan, request=dataclasses.replace(request, config=config))
    if stains_are != "normalised":
        return plan
    index = price.index_of(plan)
    numbers = price.folds_of(index, plan.folds, seed)[kind]
    root = datasets.data_folder(datasets.get("breakhis"), request.execution.data_dir)
    folder = normalised(plan, seed, fold)
    if not normaliser(folder).is_file():
        method = stain.MacenkoNormalizer()
        pixels = images.cached(root, index["image"], 224)
        stain.fit_typical(method, root, list(index["image"][numbers != fold]), pixels)
        method.save(normaliser(folder))
    listed = plan.output / "normalised" / "images.csv"
    paths = [str((root / image).resolve()) for image in index["image"]]
    write_csv(listed, pd.DataFrame({"image": paths}))
    if stains.apply(normaliser(folder), listed, folder):
        raise errors.InputError(f"{folder}: some images cannot be read; see above")
    execution = dataclasses.replace(request.execution, data_dir=folder)
    return dataclasses.replace(plan, request=dataclasses.replace(request, execution=execution))


def normalised(plan: price.Plan, seed: int, fold: int) -> Path:
    """The folder of the images of one training, in the stains of one of them."""
    return plan.output / "normalised" / f"seed{seed}-fold{fold}"


def normaliser(folder: Path) -> Path:
    """The file of the normaliser that made a folder of images."""
    return folder.with_suffix(".json")


def trained(plan: price.Plan) -> dict[str, dict[tuple[int, int], Run]]:
    """Train the networks of all variants, or find them: by seed and fold."""
    runs: dict[str, dict[tuple[int, int], Run]] = {name: {} for name in VARIANTS}
    for seed in range(plan.seeds):
        for name, (kind, stains_are) in VARIANTS.items():
            for fold in range(plan.folds):
                mine = plan_of(plan, kind, seed, fold, stains_are)
                index = price.index_of(mine)
                numbers = price.folds_of(index, plan.folds, seed)[kind]
                runs[name][seed, fold] = price.trained(mine, index, numbers, kind, seed, fold)
    return runs


def elsewhere(
    plan: price.Plan, variant: str, runs: Mapping[tuple[int, int], Run], flags: argparse.Namespace
) -> pd.DataFrame:
    """Answers of all networks of a variant on another site's images."""
    frames = []
    for (seed, fold), run in runs.items():
        others = external.of_images(
            run, flags.other, parsed_map(flags.label_map), listing=flags.patients
        )
        folder = flags.data_dir
        if VARIANTS[variant][1] == "normalised":
            folder = normalised(plan, seed, fold)
            others = _in_stains_of(folder, others, flags.other)
        external.evaluate(run, others, trained_data_dir=folder)
        found = predictions.read(run.path / EXTERNAL / others.name / "predictions.csv")
        frames.append(found.assign(network=f"{seed} {fold}"))
    return pd.concat(frames, ignore_index=True)


def _in_stains_of(trained_on: Path, others: Others, source: Path) -> Others:
    """The other site's images, normalised as a network's own were."""
    folder = trained_on.with_name(f"{others.name}-{trained_on.name}")
    if stains.apply(normaliser(trained_on), source, folder):
        raise errors.InputError(f"{others.source}: some images cannot be read; see above")
    return dataclasses.replace(others, root=folder)


# --- judging -----------------------------------------------------------------------------------


def scores(frame: pd.DataFrame, classes: Sequence[str], positive: str = "malignant") -> np.ndarray:
    """`SCORES` of predictions, each the mean over the networks; NaN where a class is lacking."""
    found = []
    for _, mine in frame.groupby("network"):
        right, label = predictions.correct(mine), mine["label"].to_numpy()
        recalls = [right[label == name].mean() if name in label else np.nan for name in classes]
        area = metrics.auc(label == positive, mine[predictions.column(positive)].to_numpy())
        found.append([right.mean(), np.mean(recalls), np.nan if area is None else area])
    return np.mean(found, axis=0)


def judged(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Scores of all variants, and what each has more than the base, with intervals.

    A patient is left out of all seeds and variants at once. Where some patients are not known,
    an image is.
    """
    base = frames[BASE]
    unit = "case" if known(base["case"]) is not None else "image"
    units = sorted(set(base[unit]))
    classes = sorted(set(base["label"]))
    whole = {name: scores(frame, classes) for name, frame in frames.items()}
    without = {
        name: np.stack([scores(frame[frame[unit] != each], classes) for each in units], axis=-1)
        for name, frame in frames.items()
    }
    rows = []
    for name in frames:
        low, high = metrics.jackknife_interval(whole[name], without[name], 0, 1)
        more, moved = whole[name] - whole[BASE], without[name] - without[BASE]
        below, above = metrics.jackknife_interval(more, moved, -1, 1)
        for i, score in enumerate(SCORES):
            rows.append((name, score, whole[name][i], low[i], high[i], more[i], below[i], above[i]))
    columns = ["variant", "score", "value", "low", "high", "more", "more_low", "more_high"]
    return pd.DataFrame(rows, columns=columns)


def verdict(low: float, high: float) -> str:
    """What an interval of a difference says; nothing else ranks two variants."""
    if np.isnan(low):
        return "no interval: no difference shown"
    if low <= 0 <= high:
        return "holds 0: no difference shown"
    return "all above 0: higher" if low > 0 else "all below 0: lower"


def text(table: pd.DataFrame, unit: str) -> str:
    """Lay out what `judged` found for a terminal."""

    def ends(low: float, high: float, sign: str = "") -> str:
        return "–" if np.isnan(low) else f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"

    head = ["", "score", "%", f"95 % over {unit}s", "points", "95 %", f"minus {BASE}"]
    lines = [head]
    for row in table.itertuples():
        line = [row.variant, row.score, f"{100 * row.value:.1f}", ends(row.low, row.high)]
        if row.variant != BASE:
            line += [f"{100 * row.more:+.1f}", ends(row.more_low, row.more_high, "+"),
                     verdict(row.more_low, row.more_high)]  # fmt: skip
        lines.append(line + [""] * (len(head) - len(line)))
    return "\n".join(aligned(lines))


def by_patient(frames: Mapping[str, pd.DataFrame]) -> str:
    """Accuracy of each patient, mean over the networks, under all variants."""
    rates = {}
    for name, frame in frames.items():
        right = pd.Series(predictions.correct(frame), frame.index)
        rates[name] = (100 * right.groupby([frame["label"], frame["case"]]).mean()).round(1)
    base = frames[BASE]
    counts = base.groupby(["label", "case"])["image"].nunique().rename("images")
    table = pd.concat([counts, pd.DataFrame(rates)], axis=1).reset_index()
    return "\n".join(aligned([list(table), *table.astype(str).to_numpy().tolist()]))


def drawn(table: pd.DataFrame, unit: str, path: Path, synthetic: bool) -> None:
    """Draw the scores and the differences, with their intervals."""
    from common.figures import canvas

    names = list(dict.fromkeys(table["variant"]))
    margins = canvas.Margins(left=1.25, top=0.5)
    figure, both = canvas.chart(figures.WIDTH, 3.2, margins=margins, columns=2)
    for axes, keys, label in (
        (both[0], ("value", "low", "high"), f"Score (%), 95 % over {unit}s"),
        (both[1], ("more", "more_low", "more_high"), f"Minus {BASE} (points)"),
    ):
        canvas.style(axes, grid="x")
        canvas.label(axes, label)
        shown = names if axes is both[0] else [name for name in names if name != BASE]
        for i, score in enumerate(SCORES):
            mine = table[table["score"] == score].set_index("variant").loc[shown]
            at = np.arange(len(shown)) + 0.22 * (i - 1)
            value, low, high = (100 * mine[key].to_numpy() for key in keys)
            colour = canvas.COLOURS[i]
            axes.hlines(at, low, high, color=colour, linewidth=1.4)
            axes.plot(value, at, canvas.MARKERS[i], color=colour, markersize=5, label=score)
        axes.set_yticks(range(len(shown)), shown)
        axes.set_ylim(len(shown) - 0.5, -0.5)
    both[0].set_xlim(0, 100)
    both[1].axvline(0, color=canvas.GREY, linewidth=0.9, linestyle=(0, (2, 2)))
    both[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False,
                   prop=canvas.font(), handletextpad=0.2, columnspacing=1.2)  # fmt: skip
    figures.save(figure, path, synthetic, "Scores of unseen patients, with intervals")


def by_shares(index: pd.DataFrame, folds: int, seeds: int) -> float:
    """Accuracy of always naming the class that is commoner in a fold's training images.

    What a network gets that has learnt nothing but the shares of the classes. Folds of images have
    as many of each class as those of patients, so that it is the same for both.
    """
    right: list[bool] = []
    for seed in range(seeds):
        numbers = price.folds_of(index, folds, seed)["patient"]
        for fold in range(folds):
            counts = index["label"][numbers != fold].value_counts().sort_index()
            right += list(index["label"][numbers == fold] == counts.idxmax())
    return float(np.mean(right))


def told(
    frames: Mapping[str, pd.DataFrame],
    figure: Path | None,
    synthetic: bool,
    network: str = "seed",
    shares: float | None = None,
) -> str:
    """Say all that was found, and draw it where that is asked for."""
    base = frames[BASE]
    patients = known(base["case"]) is not None
    once = base.drop_duplicates("image")
    counts = once["label"].value_counts().sort_index()
    lines = [notices.SYNTHETIC] if synthetic else []
    lines += [
        f"{len(once)} images of {once['case'].nunique() if patients else 'unknown'} patients: "
        f"{', '.join(f'{n} {name}' for name, n in counts.items())}; always {counts.idxmax()} is "
        f"{100 * counts.max() / len(once):.1f} % accuracy",
    ]
    if shares is not None:
        lines.append(
            f"always the class that is commoner in a fold's training: {100 * shares:.1f} %"
        )
    lines.append("")
    for name, frame in frames.items():
        each = [f"{100 * predictions.correct(g).mean():.1f}" for _, g in frame.groupby("network")]
        lines.append(f"accuracy of each {network}, {name}: {' '.join(each)} %")
    table, unit = judged(frames), "patient" if patients else "image"
    lines += ["", text(table, unit)]
    if patients:
        lines += ["", by_patient(frames)]
    if figure:
        drawn(table, unit, figure, synthetic)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the command line.
    """
    parser = Parser(
        prog="python -m benchmarks.unseen_patients", description=__doc__.split("\n\n")[0],
        epilog="What follows -- is given to the training command, after this page's settings.",
    )  # fmt: skip
    parser.add_argument("--data-dir", type=path_argument, required=True, help="of BreakHis")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=path_argument, default=Path("runs/unseen-patients"))
    parser.add_argument("--figure", type=path_argument, metavar="PNG")
    parser.add_argument("--other", type=path_argument, metavar="FILE",
                        help="another site's images: a folder per class, or a CSV")  # fmt: skip
    parser.add_argument("--label-map", nargs="+", default=[], metavar="THEIRS=OURS")
    parser.add_argument("--patients", type=path_argument, help="of the other site: image,patient")
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    flags = parser.parse_args(given[:end])
    settings = [*SETTINGS, "--weights", flags.weights, *given[end + 1 :]]
    plan = price.planned(
        "breakhis", flags.data_dir, flags.output, flags.folds, flags.seeds, settings
    )
    if flags.other:  # what is wrong with them is told before hours of training
        parsed_map(flags.label_map)
        own.read(flags.other)
    elif flags.label_map or flags.patients:
        raise errors.InputError("--label-map, --patients: are for --other")
    runs = trained(plan)
    if flags.other:
        frames = {name: elsewhere(plan, name, mine, flags) for name, mine in runs.items()}
    else:
        frames = {name: inside(mine) for name, mine in runs.items()}
    index = price.index_of(plan)
    shares = None if flags.other else by_shares(index, flags.folds, flags.seeds)
    network = "network" if flags.other else "seed"
    print(told(frames, flags.figure, bool(index["synthetic"].any()), network, shares))


def inside(runs: Mapping[tuple[int, int], Run]) -> pd.DataFrame:
    """Answers of a variant's networks on the images that each was tested on: a seed is a network.

    What a fold's network has tested is put together for each seed.
    """
    frames = [price.tested(run).assign(network=seed) for (seed, _), run in runs.items()]
    return pd.concat(frames, ignore_index=True)


if __name__ == "__main__":
    errors.main(main)
