"""What other stems of WRN-28-2 cost and gain, the published network as the reference.

Latency: one image at 224 px, float32 and int8 TFLite, batch 1, each network in turn in every round.
Accuracy (with --data-dir): two image-wise halves of the real images at a small size, each predicted
by a network that was trained on the other, once for every seed, which draws halves and weights; the
difference to the reference is paired image by image, its interval leaves out each patient in turn.

    python -m benchmarks.wrn_stems --data-dir D
    python -m benchmarks.wrn_stems                  # latency only

Finished networks are kept in --output; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common import backend, errors, evaluation, images, metrics, predictions
from common.arguments import Parser
from common.datasets import breakhis
from wrn_edge.config import Config

REFERENCE = "WRN-28-2"
NETWORKS: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    "strided stem": {"stem": "strided"},
    "pooled stem": {"stem": "pooled"},
    "patch stem": {"stem": "patch"},
}
FOLDS = 2
SEEDS = (42, 43)
SETTINGS = Config(
    magnification="100X", image_size=64, augmentation="none", epochs=15, batch_size=16
)
# At least half the reference's latency, at an accuracy that does not differ from it.
TARGET = 0.5


# --- accuracy ----------------------------------------------------------------------------------


def image_folds(index: pd.DataFrame, seed: int) -> np.ndarray:
    """Fold of each image, the same number of each class in every fold to within one."""
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(index), int)
    for label in sorted(set(index.label)):
        rows = np.flatnonzero(index.label == label)
        folds[rng.permutation(rows)] = np.arange(len(rows)) % FOLDS
    return folds


def train_and_test(config: Config, split: pd.DataFrame, pixels: Any) -> pd.DataFrame:
    """Train on one part of the split, with random flips, and predict the other."""
    from common import samples, training
    from common.augment import Augmenter
    from common.backend import keras
    from common.pipeline import batches
    from wrn_edge.model import build_model, optimizer

    classes = breakhis.CLASSES[2]
    training.set_seed(config.seed)
    model = build_model(config)
    model.compile(optimizer=optimizer(config), loss="categorical_crossentropy")
    train = batches(
        samples.plain(split),
        pixels,
        classes,
        batch_size=config.batch_size,
        shuffle=True,
        seed=config.seed,
        augmenter=Augmenter(horizontal_flip=True, vertical_flip=True),
    )
    model.fit(train, epochs=config.epochs, shuffle=False, verbose=0)
    test = batches(samples.plain(split, "test"), pixels, classes, batch_size=config.batch_size)
    found = evaluation.predict(model, test, predictions.of_part(split), classes)
    keras.backend.clear_session()
    return found


def accuracies(
    data_dir: Path, output: Path, names: list[str], seeds: list[int]
) -> dict[str, pd.DataFrame]:
    """Predictions of each network for every image and seed; finished files are not made again."""
    index = breakhis.index(data_dir, magnifications=(SETTINGS.magnification,))
    pixels = images.cached(data_dir, index.image, SETTINGS.image_size)
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for seed, name in itertools.product(seeds, names):
        config = dataclasses.replace(SETTINGS, seed=seed, **NETWORKS[name])
        folds = image_folds(index, seed)
        for fold in range(FOLDS):
            file = output / f"{name.replace(' ', '-')}-seed{seed}-fold{fold}.csv"
            if not file.is_file():
                start = time.perf_counter()
                split = index.assign(part=np.where(folds == fold, "test", "train"))
                predictions.write(file, train_and_test(config, split, pixels))
                seconds = time.perf_counter() - start
                print(f"{name}, seed {seed}, fold {fold}: {seconds:.0f} s", flush=True)
            frame = predictions.read(file)
            found[name].append(frame.assign(image=f"seed {seed}: " + frame.image))
    return {name: pd.concat(frames, ignore_index=True) for name, frames in found.items()}


# --- latency -----------------------------------------------------------------------------------


def convert(name: str) -> dict[str, bytes]:
    """Make float32 and int8 TFLite of a network at 224 px; random weights cost the same time."""
    from common import export
    from wrn_edge.model import build_model

    model = export.rewrite(build_model(dataclasses.replace(Config(), **NETWORKS[name])))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    return {
        precision: export.with_tensorflow(model, precision, pixels)
        for precision in ("float32", "int8")
    }


def latencies(files: dict[str, bytes], rounds: int, threads: int) -> dict[str, float]:
    """Median milliseconds of one inference of each file, all in turn in every round."""
    from common import export

    running = {}
    image = np.random.default_rng(1).integers(0, 256, (1, 224, 224, 3), np.uint8)
    for name, content in files.items():
        running[name] = export.interpreter(content, threads)
        running[name].set_tensor(running[name].get_input_details()[0]["index"], image)
        running[name].invoke()  # the first one allocates
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(rounds):
        for name, each in running.items():
            start = time.perf_counter()
            each.invoke()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--data-dir", type=Path, help="BreakHis images at 100X; unset: latency only"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/wrn-stems"))
    parser.add_argument("--only", choices=["accuracy", "latency"])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    flags = parser.parse_args()
    backend.load()
    found = {}
    if flags.data_dir is not None and flags.only != "latency":
        found = accuracies(flags.data_dir, flags.output, flags.networks, flags.seeds)
        report_accuracy(found, flags.seeds)
    if flags.only != "accuracy":
        files = {
            f"{name} {precision}": content
            for name in flags.networks
            for precision, content in convert(name).items()
        }
        report_latency(latencies(files, flags.rounds, flags.threads), flags)


def report_accuracy(frames: dict[str, pd.DataFrame], seeds: list[int]) -> None:
    """Print each network's accuracy and its paired difference to the reference."""
    some = next(iter(frames.values()))
    majority = some.label.value_counts()
    print(
        f"\n{len(some) // len(seeds)} images of {some.case.nunique()} patients at "
        f"{SETTINGS.image_size} px, {FOLDS} image-wise folds (patients lie on both sides), "
        f"{SETTINGS.epochs} epochs, seeds {', '.join(map(str, seeds))}; "
        f"always {majority.index[0]}: {100 * majority.iloc[0] / len(some):.1f} %\n"
    )
    for name, frame in frames.items():
        right = predictions.correct(frame)
        text = f"{name:<14}{100 * right.mean():6.1f} %  ({int(right.sum())}/{len(right)})"
        if name != REFERENCE and REFERENCE in frames:
            found = metrics.compare(frame, frames[REFERENCE])
            low, high = (100 * value for value in found["difference_ci"])
            text += (
                f"  minus {REFERENCE}: {100 * found['difference']:+.1f} points, "
                f"95 % interval {low:+.1f} to {high:+.1f}"
            )
        print(text)


def report_latency(measured: dict[str, float], flags: argparse.Namespace) -> None:
    """Print costs and ratios, with the target for the reference's substitutes."""
    from common.backbones import multiply_accumulates
    from wrn_edge.model import build_model

    print(
        f"\none image at 224 px, {flags.threads} thread(s), median of {flags.rounds} rounds, "
        f"{os.cpu_count()} cores; ratios to {REFERENCE}\n"
    )
    for name in flags.networks:
        model = build_model(dataclasses.replace(Config(), **NETWORKS[name]))
        cells = [f"{name:<14}{multiply_accumulates(model) / 1e9:7.2f} GMAC"]
        cells.append(f"{model.count_params():>9,} parameters")
        for precision in ("float32", "int8"):
            ms = measured[f"{name} {precision}"]
            cell = f"{precision} {ms:7.1f} ms"
            if name != REFERENCE and REFERENCE in flags.networks:
                ratio = ms / measured[f"{REFERENCE} {precision}"]
                cell += f" {ratio:5.2f}x {'PASS' if ratio <= TARGET else 'MISS'}"
            cells.append(cell)
        print("  ".join(cells))


if __name__ == "__main__":
    errors.main(main)
