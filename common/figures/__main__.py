"""Figures of runs: python -m common.figures confusion|curves|augmented RUN ... --out PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import config, errors, evaluation, figures, images, papers, predictions, runs, samples
from common.arguments import Parser
from common.datasets import DATA_VARIABLE
from common.errors import InputError
from common.files import output_file, path_argument, read_table
from common.metrics import confusion_matrix

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ALL = "all magnifications"

ROUND = ("fold", "seed")
"""Settings by which runs of one row differ."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a figure of one run or several.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: the process's own.

    Returns
    -------
    int
        Exit code.
    """
    parser = Parser(prog="python -m common.figures", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what, several in (
        ("confusion", "confusion matrices of the test images, one for each magnification", False),
        ("curves", "accuracy and loss of several runs in one figure", True),
        ("augmented", "training images, and what augmentation makes of them", False),
    ):
        part = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        part.add_argument(
            "runs", nargs="+" if several else 1, metavar="RUN", type=path_argument,
            help="a run folder, or what names one",
        )  # fmt: skip
        part.add_argument("--out", required=True, type=output_file, metavar="PNG")
        if name == "augmented":
            part.add_argument(
                "--data-dir", type=path_argument, default=os.environ.get(DATA_VARIABLE) or None,
                help=f"folder of the images (default: ${DATA_VARIABLE})",
            )  # fmt: skip
            part.add_argument("--images", type=int, default=3, help="how many (default: 3)")
            part.add_argument("--draws", type=int, default=4, help="of each (default: 4)")
            part.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    flags = parser.parse_args(arguments)
    found = [runs.load(each) for each in flags.runs]
    if flags.command == "curves":
        figure = curves(found)
    elif flags.command == "confusion":
        figure = confusion(found[0])
    else:
        figure = augmented(found[0], flags.data_dir, flags.images, flags.draws, flags.seed)
    figures.save(figure, flags.out, synthetic=any(run.synthetic for run in found))
    print(flags.out)
    return 0


def confusion(run: runs.Run) -> Figure:
    """Draw a run's confusion matrices: of each magnification, then of all images.

    Parameters
    ----------
    run : Run
        A finished one.

    Returns
    -------
    Figure
    """
    test = predictions.of_part(evaluation.read_run(run))
    classes = predictions.classes_of(test)
    names = sorted(set(test["magnification"]) - {""}, key=lambda name: (len(name), name))
    chosen = {name: test[test["magnification"] == name].reset_index(drop=True) for name in names}
    if len(names) != 1:
        chosen[ALL if names else "all test images"] = test
    matrices = {
        f"{name}, {len(part)} images": confusion_matrix(
            predictions.labels(part, classes),
            predictions.predicted_classes(predictions.probabilities(part, classes)),
            len(classes),
        )
        for name, part in chosen.items()
    }
    return figures.confusion_matrices(matrices, classes)


def curves(found: Sequence[runs.Run]) -> Figure:
    """Draw the learning curves of runs.

    Parameters
    ----------
    found : sequence of Run

    Returns
    -------
    Figure
    """
    names = [str(run.record.name or run.record.preset or run.path.name) for run in found]
    rounds = [", ".join(f"{key} {run.config[key]}" for key in ROUND if key in run.config)
              for run in found]  # fmt: skip
    both = [f"{name}, {each}" for name, each in zip(names, rounds, strict=True)]
    histories: dict[str, pd.DataFrame] = {}
    for run, name, full in zip(found, names, both, strict=True):
        shown = name if names.count(name) == 1 else full
        if both.count(full) > 1 and shown == full:
            shown = f"{full}, {run.record.run_id}"
        path = run.path / "history.csv"
        histories[shown] = read_table(path, ("epoch", "loss", "accuracy"))
    return figures.run_curves(histories)


def augmented(
    run: runs.Run, data_dir: Path | None, count: int = 3, draws: int = 4, seed: int = 0
) -> Figure:
    """Draw training images beside what the run's augmentation makes of them.

    Parameters
    ----------
    run : Run
        With split.csv and samples.csv.
    data_dir : Path or None
        Folder of the images.
    count : int
        Images.
    draws : int
        Of each.
    seed : int
        Of the draws.

    Returns
    -------
    Figure
        A row for each image: as it is, then augmented. Stain normalisation is left out.

    Raises
    ------
    InputError
        If there are no images, or the run augments nothing.
    """
    if count < 1 or draws < 1:
        raise InputError("--images and --draws: at least 1")
    if data_dir is None:
        raise InputError(f"give the folder of the images: --data-dir, or ${DATA_VARIABLE}")
    package = run.record.package
    settings = config.from_dict(papers.module_of(package, "config", run.path).Config, run.config)
    make = getattr(papers.module_of(package, "train"), "augmenter", None)
    augmenter = make(settings) if make is not None else None
    table = samples.from_csv(run.path / "samples.csv")
    table = table[table["part"] == "train"] if "part" in table else table
    changed = {image: part for image, part in table[table["op"] != "none"].groupby("image")}
    names = [name for name in dict.fromkeys(table["image"]) if not changed or name in changed]
    if augmenter is None and not changed:
        raise InputError(f"{run.path}: this run augments nothing")
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)]
    rng = np.random.default_rng(seed)
    shown: list[Any] = []
    titles: list[str] = []
    for name in chosen:
        path = data_dir / name
        if not path.is_file():
            raise InputError(f"{path}: no such image; give the --data-dir of the training")
        image = images.resize(images.read(path), settings.image_size, settings.resize_filter)
        shown.append(image)
        titles.append(Path(name).name)
        rows = changed.get(name)
        for draw in range(draws):
            made, title = image, []
            if rows is not None:
                row = rows.iloc[draw % len(rows)]
                made, title = samples.apply(row["op"], row["args"], made), [str(row["op"])]
            if augmenter is not None:
                given = augmenter.draw(rng, made.shape)
                made = augmenter.apply(made, given)
                title.append(_said(given))
            shown.append(made)
            titles.append(", ".join(filter(None, title)) or "unchanged")
    return figures.examples(shown, titles, columns=draws + 1)


def _said(given: dict[str, Any]) -> str:
    """The parameters of a transform that change anything, in words."""
    told = []
    if round(given["theta"]):
        told.append(f"{given['theta']:.0f}°")
    if round(given["tx"]) or round(given["ty"]):
        told.append(f"shift {given['tx']:.0f}, {given['ty']:.0f}")
    if given["shear"]:
        told.append(f"shear {given['shear']:.1f}")
    if given["zx"] != 1 or given["zy"] != 1:
        told.append(f"zoom {given['zx']:.2f}, {given['zy']:.2f}")
    flips = [name for name in ("horizontal", "vertical") if given[f"flip_{name}"]]
    if flips:
        told.append(f"flip {' and '.join(flips)}")
    return "; ".join(told)


if __name__ == "__main__":
    errors.main(main)
