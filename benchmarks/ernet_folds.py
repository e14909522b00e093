"""Five folds of ERNet and of the plain ResNet, image-wise and patient-wise, at a CPU's size.

The paper's flow on any part of BreakHis: Macenko's normalisation to a training image, 70/30, five
folds inside the 70 %, every fold's network tested on the same 30 %. Small images and few epochs;
the numbers compare the two splits and the two networks with one another, not with the paper.

    python -m benchmarks.ernet_folds --data-dir D

Finished trainings answer from their files, so a stopped command goes on where it was.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from common import backend, errors, evaluation, runs
from common import config as configuration
from common.arguments import Parser
from common.datasets import breakhis
from ernet import compare
from ernet.config import PRESETS, Config

SETTINGS = Config(
    network="ernet18",
    magnifications=("100X",),
    image_size=64,
    bn_momentum=0.9,
    epochs=8,
    # With twelve patients a fold may validate on one class only: no epoch can be chosen on that.
    select_on="last",
)


def majority(run: runs.Run) -> float:
    """Accuracy on the run's test images of always saying its training images' larger class."""
    split = pd.read_csv(run.path / "split.csv", dtype=str)
    larger = split.label[split.part == "train"].value_counts().idxmax()
    return float((split.label[split.part == "test"] == larger).mean())


def main() -> None:
    """Train, or read what was trained, and print the comparison."""
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["ernet18", "resnet18"])
    parser.add_argument("--image-size", type=int, default=SETTINGS.image_size)
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--output", type=Path, default=Path("runs/ernet-folds"))
    flags = parser.parse_args()
    backend.load()
    from common.backend import keras
    from ernet.train import train

    execution = configuration.Execution(data_dir=flags.data_dir, runs_dir=flags.output)
    found = []
    for network in flags.networks:
        for split in ("image", "patient"):
            for fold in range(SETTINGS.folds):
                config = dataclasses.replace(
                    SETTINGS,
                    network=network,
                    split=split,
                    fold=fold,
                    image_size=flags.image_size,
                    epochs=flags.epochs,
                )
                preset = configuration.preset_name(config, PRESETS)
                found.append(train(configuration.Request(config, execution, preset)))
                keras.backend.clear_session()

    index = breakhis.index(flags.data_dir, magnifications=SETTINGS.magnifications)
    print(f"\n{len(index)} images, {index.case.nunique()} cases\n")
    lines = [["network", "split", "fold", "test images", "accuracy", "balanced", "AUC", "majority"]]
    for run in found:
        scores = evaluation.read_metrics(run)
        lines.append(
            [
                run.config["network"],
                run.config["split"],
                str(run.config["fold"]),
                f"{scores['n']} of {scores['n_patients']} cases",
                evaluation.percent(scores["accuracy"], 1),
                evaluation.percent(scores["balanced_accuracy"], 1),
                "–" if scores["auc"] is None else f"{scores['auc']:.3f}",
                evaluation.percent(majority(run), 1),
            ]
        )
    print("\n".join(evaluation.aligned(lines)), end="\n\n")
    print(compare.text(compare.rounds(found), "accuracy"))


if __name__ == "__main__":
    errors.main(main)
