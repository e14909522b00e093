"""Measure what everyday commands cost beside the plain way of doing the same.

- `predict --gradcam` of a ResNet50: one compiled pass for predictions and all stages, and overlays
  without a figure each, beside `model.predict`, an eager pass for each stage, and a Matplotlib
  figure for each image. The greatest difference of two maps is printed; of pixels, too.
- `ernet.compare --roc`: predictions of many runs, five to a split, read and checked against it,
  beside `csv` and pandas line by line; and the whole command over 250 runs of five networks, with
  what its parts take.

Processor seconds of this process, so that other work on the machine changes little; medians of
pairs, both sides in turn. Prints both sides, their ratio, the target and PASS or MISS.

    python -m benchmarks.commands
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common import evaluation, figures, gradcam, networks, predictions, runs, splits
from common.arguments import Parser
from common.backend import keras
from common.errors import main as command
from common.files import write_json
from common.predictions import agreement
from ernet import compare

MAPS_TOLERANCE = 7e-4
COMPARED = 25
RUNS, ROC_SECONDS = 250, 3.0
ROC_NETWORKS = ("ernet18", "ernet34", "ernet50", "resnet18", "resnet34")
PATIENTS, IMAGES = 82, 7909


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def line(name: str, ours: float, plain: float, target: float, more: str = "") -> bool:
    met = plain / ours >= target
    print(f"{'PASS' if met else 'MISS'}  {name}: {ours:.2f} s, plain {plain:.2f} s, ratio "
          f"{plain / ours:.1f} (target {target:g}){more}", flush=True)  # fmt: skip
    return met


# --- maps --------------------------------------------------------------------------------------


def eager_maps(model: Any, pixels: np.ndarray, layer: str) -> np.ndarray:
    """Grad-CAM of one layer as users write it: a model with two outputs, and a tape."""
    import tensorflow as tf

    outputs = [model.get_layer(layer).output, model.get_layer("logits").output]
    both = keras.Model(model.inputs[0], outputs)
    found = []
    for start in range(0, len(pixels), 16):
        with tf.GradientTape() as tape:
            activation, scores = both(pixels[start : start + 16].astype(np.float32))
            tape.watch(activation)
            score = tf.reduce_sum(tf.reduce_max(scores, axis=1))
        weights = tf.reduce_mean(tape.gradient(score, activation), axis=(1, 2))
        maps = tf.nn.relu(tf.einsum("nhwk,nk->nhw", activation, weights)).numpy()
        peak = maps.max(axis=(1, 2), keepdims=True)
        found.append(np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0))
    return np.concatenate(found)


def maps(folder: Path, count: int, pairs: int) -> list[bool]:
    from breakhis import Config
    from breakhis.model import build_model

    keras.utils.set_random_seed(0)
    model = build_model(Config(weights="none", normalisation="own"))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 14, 14, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    stages = {gradcam.title(k): v for k, v in networks.gradcam_layers("resnet50").items()}
    titles = [f"SOB_M_DC-14-2523-100-{i:03}.png\nmalignant, 90.0 %" for i in range(count)]

    def predicted() -> Any:
        return model.predict(pixels, batch_size=16, verbose=0)

    def compiled() -> tuple[np.ndarray, dict[str, np.ndarray]]:
        found = list(gradcam.by_stage(model, pixels, stages))
        return (
            np.concatenate([each for each, _ in found]),
            {stage: np.concatenate([each[stage] for _, each in found]) for stage in stages},
        )

    def drawn(maps: dict[str, np.ndarray]) -> None:
        overlays = figures.Overlays()
        for i, title in enumerate(titles):
            found = {stage: each[i] for stage, each in maps.items()}
            overlays.save(folder / "ours.png", pixels[i], found, title)

    def figured(maps: dict[str, np.ndarray]) -> None:
        for i, title in enumerate(titles):
            found = {stage: each[i : i + 1] for stage, each in maps.items()}
            figure = figures.gradcam_gallery(pixels[i : i + 1], found, [title])
            figures.save(figure, folder / "plain.png")

    predicted()
    times: dict[str, list[float]] = {}
    for _ in range(pairs):
        alone, outputs = seconds(predicted)
        passed, (ours, found) = seconds(compiled)
        eager, plain = seconds(
            lambda: {stage: eager_maps(model, pixels, layer) for stage, layer in stages.items()}
        )
        pasted, _ = seconds(functools.partial(drawn, found))
        for name, value in (
            ("predict", alone), ("pass", passed), ("eager", eager), ("drawn", pasted),
            ("figures", seconds(functools.partial(figured, found))[0]),
        ):  # fmt: skip
            times.setdefault(name, []).append(value)
    worst = max(float(np.abs(found[stage] - plain[stage]).max()) for stage in stages)
    same = (
        f"; maps differ by {worst:.1e} at most, predictions by {np.abs(ours - outputs).max():.1e}"
    )
    t = {name: statistics.median(values) for name, values in times.items()}
    print(f"{count} images, {len(stages)} stages: " + ", ".join(f"{k} {t[k]:.2f} s" for k in t))
    return [
        line("maps and predictions", t["pass"], t["predict"] + t["eager"], 1, same)
        and worst <= MAPS_TOLERANCE,
        line("overlays", t["drawn"], t["figures"], 2),
        line("predict --gradcam without its start", t["pass"] + t["drawn"],
             t["predict"] + t["eager"] + t["figures"], 1),
        line("what --gradcam adds to predict", t["pass"] + t["drawn"] - t["predict"],
             t["eager"] + t["figures"], 8),
    ]  # fmt: skip


# --- many runs ---------------------------------------------------------------------------------


def made(root: Path) -> list[runs.Run]:
    """Folders of runs, SYNTHETIC: a fifth as many splits of the images of BreakHis as runs."""
    rng = np.random.default_rng(0)
    case = rng.integers(0, PATIENTS, IMAGES)
    magnification = np.array(["40X", "100X", "200X", "400X"])[np.arange(IMAGES) % 4]
    index = pd.DataFrame(
        {
            "image": [
                f"BreaKHis_v1/histology_slides/breast/SOB-14-{c:05}/{m}/SOB_M_DC-14-{c:05}-{i:04}.png"
                for i, (c, m) in enumerate(zip(case, magnification, strict=True))
            ],
            "case": case.astype(str), "slide": [f"14-{c:05}" for c in case],
            "folder": [f"SOB_M_DC_14-{c:05}" for c in case], "magnification": magnification,
            "label": np.where(case % 3 == 0, "benign", "malignant"),
        }
    )  # fmt: skip
    found = []
    root.mkdir(exist_ok=True)
    for number in range(COMPARED):
        fold = number % (COMPARED // 5)
        part = np.where(case % 5 == fold, "test", np.where(case % 7 == 0, "validation", "train"))
        folder = root / f"run{number}"
        folder.mkdir()
        split = index.assign(part=part)
        splits.write(split, folder / "split.csv")
        judged = split[split.part != "train"]
        chance = rng.random(len(judged))
        names = ("benign", "malignant")
        table = predictions.table(judged, np.column_stack([chance, 1 - chance]), names)
        predictions.write(folder / "predictions.csv", table)
        record = runs.Record(package="ernet", config={}, synthetic=True, classes=list(names))
        write_json(folder / "config.json", {"classes": list(names)})
        found.append(runs.Run(folder, record))
    return found


def lines_of(path: Path) -> pd.DataFrame:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return pd.DataFrame(rows, columns=header, dtype=str)


def by_lines(run: runs.Run) -> pd.DataFrame:
    """Predictions, checked against the split, with a list for each line."""
    table, split = (lines_of(run.path / f"{name}.csv") for name in ("predictions", "split"))
    for name in ("p_benign", "p_malignant"):
        table[name] = [float(value) for value in table[name]]
    assert np.allclose(table.p_benign + table.p_malignant, 1, atol=1e-3)
    assert not table.image.duplicated().any()
    wanted, said = (each[each.part == "test"].set_index("image") for each in (split, table))
    assert not len(wanted.index.symmetric_difference(said.index))
    for name in ("label", "magnification"):
        assert (said[name] == wanted[name].reindex(said.index)).all()
    return table


def many_runs(folder: Path, pairs: int) -> list[bool]:
    found = made(folder)
    for run in found[:1]:  # imports are no part of it
        pd.testing.assert_frame_equal(by_lines(run), evaluation.read_run(run), check_dtype=False)
    ours, plain = [], []
    for _ in range(pairs):
        agreement._SPLITS.clear()
        ours.append(seconds(lambda: [evaluation.read_run(run) for run in found])[0])
        plain.append(seconds(lambda: [by_lines(run) for run in found])[0])
    name = f"predictions of {COMPARED} runs of {COMPARED // 5} splits"
    return [line(name, statistics.median(ours), statistics.median(plain), 3)]


def finished(path: Path, **changes: Any) -> None:
    """Say in a folder that its run is one of ernet's, finished."""
    from common.config import to_dict
    from ernet.config import Config

    config = to_dict(dataclasses.replace(Config(), **changes))
    note = {
        "schema": 1, "package": "ernet", "config": config, "weights": "none", "synthetic": False,
        "classes": ["benign", "malignant"], "positive": "malignant", "finished": "2026-01-01",
    }  # fmt: skip
    write_json(path / "config.json", note)


def roc_command(root: Path, pairs: int) -> list[bool]:
    """Processor seconds of `ernet.compare --roc` and of its parts; its runs are copies of a few."""
    sources = [run.path for run in made(root)]
    folds = COMPARED // 5
    for path in sources[:folds]:
        finished(path)
        evaluation.evaluate_run(path)
    for number in range(RUNS):
        path = root / "runs" / "ernet" / str(number)
        path.mkdir(parents=True)
        for name in ("predictions.csv", "split.csv"):
            os.link(sources[number % COMPARED] / name, path / name)
        os.link(sources[number % folds] / "metrics.json", path / "metrics.json")
        network = ROC_NETWORKS[number // folds % 5]
        finished(path, network=network, fold=number % folds, seed=number // COMPARED)
    command = ["-m", "ernet.compare", "--runs-dir", str(root / "runs"), "--roc", str(root / "roc")]
    begin = ["-c", "import ernet.compare, pandas\nfrom matplotlib import figure, legend\n"
             "from matplotlib.backends import backend_agg"]  # fmt: skip
    taken, told, start = [], [], []
    for _ in range(pairs):
        clock = time.perf_counter()
        taken.append(child_seconds(command))
        told.append(time.perf_counter() - clock)
        start.append(child_seconds(begin))
    found = runs.find(root / "runs", "ernet")
    compare.rounds(found[:1])  # imports are no part of it
    folders, _ = seconds(lambda: compare.rounds(runs.find(root / "runs", "ernet")))
    agreement._SPLITS.clear()
    tables, _ = seconds(lambda: [evaluation.read_run(run, compare.CURVES) for run in found])
    whole = statistics.median(taken)
    parts = {
        "Python and its packages": statistics.median(start),
        "folders and metrics.json": folders,
        "predictions, checked against their splits": tables,
    }
    parts["the rest"] = whole - sum(parts.values())
    met = whole <= ROC_SECONDS
    print(f"{'PASS' if met else 'MISS'}  ernet.compare --roc over {RUNS} runs, its start included: "
          f"{whole:.1f} s, {statistics.median(told):.1f} s by the clock (target {ROC_SECONDS:g}): "
          + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()),
          flush=True)  # fmt: skip
    return [met]


def child_seconds(arguments: list[str]) -> float:
    """Processor seconds of a Python of its own."""
    before = sum(os.times()[2:4])
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return sum(os.times()[2:4]) - before


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=48, help="of which maps are made")
    parser.add_argument("--pairs", type=int, default=3, help="repetitions of either side")
    flags = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        met = many_runs(Path(scratch) / "runs", flags.pairs)
        met += roc_command(Path(scratch) / "roc", flags.pairs)
        met += maps(Path(scratch), flags.images, flags.pairs)
    return 0 if all(met) else 1


if __name__ == "__main__":
    command(main)
