"""What a run shows beside its numbers: leakage, examples, mistakes, Grad-CAM.

These need the images and the model, which `figures` (drawing) and `report` (files of a finished
run) do not have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from common import evaluation, figures, gradcam, predictions, runs
from common.files import write_json
from common.images import Pixels
from common.splits import leakage

EXAMPLES_PER_CLASS = 4
MISTAKES = 8
GRADCAM_PER_CLASS = 1


def collect(
    run: runs.Run, model: object, split: pd.DataFrame, pixels: Pixels, data_dir: str | Path
) -> None:
    """Write `leakage.json` and the pictures that the report shows.

    Parameters
    ----------
    run : Run
        With `predictions.csv` written.
    model : keras.Model
        The model of the chosen epoch.
    split : DataFrame
        Index with the column `part`.
    pixels : Pixels
        The decoded images of the split.
    data_dir : path
        Where the images lie.
    """
    compare_parts(run, split, data_dir)
    test = predictions.of_part(evaluation.read_run(run))
    examples(run, split, pixels)
    mistakes(run, test, pixels)
    gallery(run, model, test, pixels)


def compare_parts(run: runs.Run, split: pd.DataFrame, data_dir: str | Path) -> None:
    """Write what the parts share: cases, slides, identical and nearly identical images."""
    found = leakage.report(split, data_dir)
    write_json(run.path / "leakage.json", {**found, "text": leakage.text(found)})
    figure = leakage.picture(found, data_dir)
    if figure is not None:
        figures.save(figure, run.path / "figures" / "leakage.png", synthetic=run.synthetic)


def examples(run: runs.Run, split: pd.DataFrame, pixels: Pixels) -> None:
    """Draw a few training images of every class."""
    train = split[split.part == "train"]
    chosen = pd.concat(
        [
            train[train.label == name].iloc[
                np.linspace(0, (train.label == name).sum() - 1, EXAMPLES_PER_CLASS).astype(int)
            ]
            for name in run.record["classes"]
            if (train.label == name).any()
        ]
    )
    titles = [f"{row.label}  {row.magnification}".strip() for row in chosen.itertuples()]
    figure = figures.examples(_pixels(pixels, chosen.image), titles, columns=EXAMPLES_PER_CLASS)
    figures.save(figure, run.path / "figures" / "examples.png", synthetic=run.synthetic)


def mistakes(run: runs.Run, test: pd.DataFrame, pixels: Pixels) -> None:
    """Draw the test images that the model got wrong with the most confidence."""
    probabilities = predictions.probabilities(test)
    predicted = predictions.predicted(test)
    wrong = np.flatnonzero(~predictions.correct(test))
    worst = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:MISTAKES]
    target = run.path / "figures" / "mistakes.png"
    if not len(worst):
        target.unlink(missing_ok=True)
        return
    titles = [
        f"{Path(test.image[i]).stem}\ntrue {test.label[i]}, "
        f"said {predicted[i]} {100 * probabilities[i].max():.0f} %"
        for i in worst
    ]
    figure = figures.mistakes(_pixels(pixels, test.image.iloc[worst]), titles)
    figures.save(figure, target, synthetic=run.synthetic)


def gallery(run: runs.Run, model: object, test: pd.DataFrame, pixels: Pixels) -> None:
    """Draw Grad-CAM at every stage for the surest right prediction of each class."""
    probabilities, predicted = predictions.probabilities(test), predictions.predicted(test)
    chosen = []
    for number, name in enumerate(run.record["classes"]):
        rows = np.flatnonzero(test.label == name)
        sure = rows[np.argsort(-probabilities[rows, number], kind="stable")]
        chosen += sure[:GRADCAM_PER_CLASS].tolist()
    shown = _pixels(pixels, test.image.iloc[chosen])
    titles = [
        f"true {test.label[i]}\nsaid {predicted[i]} {100 * probabilities[i].max():.0f} %"
        for i in chosen
    ]
    stages = gradcam.stages(run)
    maps = {
        stage.replace("_", " ").capitalize(): gradcam.heatmaps(model, shown, layer)
        for stage, layer in stages.items()
    }
    figure = figures.gradcam_gallery(shown, maps, titles)
    figures.save(figure, run.path / "figures" / "gradcam.png", synthetic=run.synthetic)


def _pixels(pixels: Pixels, names: pd.Series) -> np.ndarray:
    return np.stack([pixels[pixels.row(name)] for name in names])
