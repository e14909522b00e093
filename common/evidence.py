"""What a run shows beside its numbers: leakage, examples, mistakes, Grad-CAM.

These need the images and the model, which `figures` (drawing) and `report` (files of a finished
run) do not have.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common import evaluation, figures, gradcam, images, predictions, runs, terminal
from common.files import require_not_among, write_json
from common.images import Pixels
from common.runs.contents import write_looks
from common.splits import leakage

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

EXAMPLES_PER_CLASS = 4
MISTAKES = 8
GRADCAM_PER_CLASS = 1
PAIRS = 4


def collect(run: runs.Run, model: keras.Model, split: pd.DataFrame, pixels: Pixels) -> None:
    """Draw what the report shows of images and model: examples, mistakes, Grad-CAM.

    Parameters
    ----------
    run : Run
        With `predictions.csv` written.
    model : keras.Model
        The model of the chosen epoch.
    split : DataFrame
        Index with the column `part`.
    pixels : Pixels
        The decoded images of the split, as the model takes them.
    """
    test = predictions.of_part(evaluation.read_run(run))
    examples(run, split, pixels)
    mistakes(run, test, pixels)
    gallery(run, model, test, pixels)


def compare_parts(
    run: runs.Run, split: pd.DataFrame, data_dir: str | Path, pixels: Pixels | None = None
) -> dict[str, Any]:
    """Write what the parts share: cases, slides, identical and nearly identical images.

    It needs neither a model nor predictions: it is done before the training.

    Parameters
    ----------
    run : Run
        Gets `leakage.json`, `looks.bin` and, where images lie in two parts,
        `figures/leakage.png`.
    split : DataFrame
        Index with the column `part`.
    data_dir : path
        Where the images lie.
    pixels : Pixels, optional
        The decoded images of the split, which know their fingerprints: none is decoded again.

    Returns
    -------
    dict
        What `leakage.report` gives.
    """
    found = leakage.report(split, data_dir, pixels)
    figure = leakage_picture(found, data_dir)
    target = _target(run, "leakage")
    if figure is not None:
        figures.save(figure, target, synthetic=run.synthetic)
    else:
        target.unlink(missing_ok=True)
    if pixels is not None:
        write_looks(run.path, split, pixels)
    write_json(run.path / "leakage.json", {**found, "text": leakage.text(found)})
    return found


def leakage_picture(found: Mapping[str, Any], data_dir: str | Path) -> Figure | None:
    """Show the most alike images of two parts side by side, with names, parts and distance.

    Parameters
    ----------
    found : mapping
        What `leakage.report` gives. Exact copies come first, then near ones by distance, those of
        training and test images before others.
    data_dir : path
        Where the images lie.

    Returns
    -------
    Figure or None
        `PAIRS` pairs at most; None if there is none.
    """
    worst = [pair for kind in ("exact", "near") for pair in (found[kind] or {}).get("worst", ())]
    if not worst:
        return None
    worst = worst[:PAIRS]
    shown = [(images.read(Path(data_dir) / each["a"]), images.read(Path(data_dir) / each["b"]))
             for each in worst]  # fmt: skip
    titles = [
        (f"{each['a_part']}: {Path(each['a']).name}", f"{each['b_part']}: {Path(each['b']).name}")
        for each in worst
    ]
    return figures.pairs(shown, titles, [_likeness(each) for each in worst])


def _likeness(pair: Mapping[str, Any]) -> str:
    """Say how alike a pair of a leakage report is."""
    same = "exact copy" if pair["exact"] else f"{pair['bits']} of 256 bits differ"
    turned = ", turned or flipped" if pair["turned"] else ""
    return f"{same}{turned}{'' if pair['same_label'] else ', different labels'}"


def examples(run: runs.Run, split: pd.DataFrame, pixels: Pixels) -> None:
    """Draw a few training images of every class.

    Parameters
    ----------
    run : Run
        Gets `figures/examples.png`.
    split : DataFrame
        Index with the column `part`.
    pixels : Pixels
        The decoded images of the split.
    """
    train = split[split.part == "train"]
    chosen = pd.concat(
        [
            train[train.label == name].iloc[
                np.linspace(0, (train.label == name).sum() - 1, EXAMPLES_PER_CLASS).astype(int)
            ]
            for name in run.record.classes or []
            if (train.label == name).any()
        ]
    )
    titles = [f"{row.label}  {row.magnification}".strip() for row in chosen.itertuples()]
    figure = figures.examples(_pixels(pixels, chosen.image), titles, columns=EXAMPLES_PER_CLASS)
    figures.save(figure, _target(run, "examples"), synthetic=run.synthetic)


def mistakes(run: runs.Run, test: pd.DataFrame, pixels: Pixels) -> None:
    """Draw the test images that the model got wrong with the most confidence.

    Parameters
    ----------
    run : Run
        Gets `figures/mistakes.png`, or loses it where nothing is wrong.
    test : DataFrame
        The test part of predictions.csv.
    pixels : Pixels
        The decoded images of the split.
    """
    sure = predictions.probabilities(test).max(axis=1)
    said = predictions.predicted(test)
    wrong = np.flatnonzero(~predictions.correct(test))
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    if not len(worst):
        _target(run, "mistakes").unlink(missing_ok=True)
        return
    titles = [
        f"{Path(test.image[i]).stem}\ntrue {test.label[i]}, said {said[i]} ({100 * sure[i]:.0f} %)"
        for i in worst
    ]
    figure = figures.mistakes(_pixels(pixels, test.image.iloc[worst]), titles)
    figures.save(figure, _target(run, "mistakes"), synthetic=run.synthetic)


def gallery(run: runs.Run, model: keras.Model, test: pd.DataFrame, pixels: Pixels) -> None:
    """Draw Grad-CAM at every stage for the test image of each class that is surest of it.

    Parameters
    ----------
    run : Run
        Gets `figures/gradcam.png`.
    model : keras.Model
        The model of the chosen epoch.
    test : DataFrame
        The test part of predictions.csv.
    pixels : Pixels
        The decoded images of the split.
    """
    probabilities = predictions.probabilities(test)
    said = predictions.predicted(test)
    chosen = []
    for number, name in enumerate(predictions.classes_of(test)):
        rows = np.flatnonzero(test.label == name)
        sure = rows[np.argsort(-probabilities[rows, number], kind="stable")]
        chosen += sure[:GRADCAM_PER_CLASS].tolist()
    shown = _pixels(pixels, test.image.iloc[chosen])
    titles = [
        f"true {test.label[i]}, said {said[i]} ({100 * probabilities[i].max():.0f} %)"
        for i in chosen
    ]
    stages = gradcam.titled_stages(run)
    # Of eight classes, eight images at once.
    _, maps = next(gradcam.by_stage(model, shown, stages, batch_size=len(shown)))
    figure = figures.gradcam_gallery(list(shown), maps, titles)
    figures.save(figure, _target(run, "gradcam"), synthetic=run.synthetic)


def explained(
    run: runs.Run, model: keras.Model, pixels: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Classify images and explain each, in one pass of the network.

    Parameters
    ----------
    run : Run
        Knows the stages.
    model : keras.Model
        The run's.
    pixels : uint8 array (N, S, S, 3)
        RGB.

    Returns
    -------
    probabilities : float array (N, K)
    maps : dict of str to float32 array (N, h, w)
        Title of each stage of the network to the Grad-CAM of every image, in [0, 1].
    """
    stages = gradcam.titled_stages(run)
    outputs: list[np.ndarray] = []
    maps: dict[str, list[np.ndarray]] = {stage: [] for stage in stages}
    with terminal.progress("predicting, with Grad-CAM", len(pixels), "images") as bar:
        for probabilities, found in gradcam.by_stage(model, pixels, stages):
            outputs.append(probabilities)
            for stage, each in found.items():
                maps[stage].append(each)
            bar.advance(len(probabilities))
    return np.concatenate(outputs), {each: np.concatenate(maps[each]) for each in maps}


def overlays(
    run: runs.Run,
    paths: Sequence[Path],
    pixels: np.ndarray,
    maps: Mapping[str, np.ndarray],
    table: pd.DataFrame,
    folder: Path,
) -> list[Path]:
    """Write each image beside its Grad-CAM at every stage of the network, as PNG.

    Parameters
    ----------
    run : Run
        Whether it is synthetic.
    paths : sequence of Path
        The images' files.
    pixels, maps
        As `explained` takes and gives them.
    table : DataFrame
        One row per image: predicted, probability.
    folder : Path
        Of the pictures.

    Returns
    -------
    list of Path
        The pictures, one per image.
    """
    names = _overlay_names(paths)
    written: list[Path] = []
    drawing = figures.Overlays()
    rows = table.to_dict("records")
    with terminal.progress("drawing maps", len(paths), "images") as bar:
        for i, (path, row) in enumerate(zip(bar.over(paths), rows, strict=True)):
            target = folder / names[i]
            title = f"{path.name}\n{row['predicted']}, {100 * row['probability']:.1f} %"
            found = {stage: each[i] for stage, each in maps.items()}
            written.append(drawing.save(target, pixels[i], found, title, run.synthetic))
    return written


_LONGEST_STEM = 220  # bytes; a name has at most 255


def require_new(paths: Sequence[Path], folder: Path) -> None:
    """Refuse a folder in which an overlay would replace an image.

    Parameters
    ----------
    paths : sequence of Path
        The images' files.
    folder : Path
        Of the pictures.

    Raises
    ------
    InputError
        Naming the overlay.
    """
    require_not_among([folder / name for name in _overlay_names(paths)], paths, "--gradcam")


def _overlay_names(paths: Sequence[Path]) -> list[str]:
    names: dict[str, None] = {}  # in order; each once
    for i, path in enumerate(paths):
        names[overlay_name(path, i, names.keys())] = None
    return list(names)


def overlay_name(path: Path, number: int, taken: Collection[str]) -> str:
    """Name an image's overlay: with its number where the name is taken, in any case, or long.

    Parameters
    ----------
    path : Path
        The image's file.
    number : int
        Of the image.
    taken : collection of str
        Names of other overlays.
    """
    stem = path.stem
    while len(os.fsencode(stem)) > _LONGEST_STEM:
        stem = stem[:-1]
    name = f"{stem}-gradcam.png"
    if stem == path.stem and name.casefold() not in {each.casefold() for each in taken}:
        return name
    return f"{stem}-{number}-gradcam.png"


def _target(run: runs.Run, name: str) -> Path:
    return run.path / "figures" / f"{name}.png"


def _pixels(pixels: Pixels, names: pd.Series) -> np.ndarray:
    return np.stack([pixels[pixels.row(name)] for name in names])
