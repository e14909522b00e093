"""What a random split of the images flatters: the same images, network and training size, twice.

Four folds in which patients stay whole (each tests on one benign and two malignant cases), and four
image-wise folds with the same number of benign and of malignant test images in each, so that
every network trains on as many images of each class as its twin. Every image is predicted once per
seed by a network that has not seen it; the two accuracies are compared image by image, and the
interval leaves out each patient in turn.

    python -m benchmarks.patient_vs_image --data-dir D --weights mobilenet_v2.weights.h5

`--data-dir` is any part of BreakHis with four benign and eight malignant cases.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from breakhis.config import PRESETS, Config
from common import backend, errors, evaluation, metrics, predictions
from common import config as configuration
from common.datasets import breakhis
from common.files import write_csv

FOLDS = 4
SETTINGS = Config(
    network="mobilenet_v2",
    split="file",
    image_size=160,
    normalisation="own",
    learning_rate=1e-4,
    schedule="constant",
    weight_decay=0.0,
    epochs=8,
    batch_size=16,
    horizontal_flip=True,
    vertical_flip=True,
    select_on="last",
)


def patient_folds(index: pd.DataFrame, seed: int) -> np.ndarray:
    """Fold of each image: every fold tests on one benign and two malignant cases."""
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(index), int)
    for label, share in (("benign", 1), ("malignant", 2)):
        cases = sorted(set(index.case[index.label == label]))
        if len(cases) != FOLDS * share:
            raise errors.InputError(
                f"needs {FOLDS * share} {label} cases, found {len(cases)}: {', '.join(cases)}"
            )
        for place, case in enumerate(rng.permutation(cases)):
            folds[index.case == case] = place // share
    return folds


def image_folds(index: pd.DataFrame, patients: np.ndarray, seed: int) -> np.ndarray:
    """Shuffle the fold numbers among the images of each class: the same sizes, cases mixed."""
    rng = np.random.default_rng([seed, 1])
    folds = patients.copy()
    for label in ("benign", "malignant"):
        rows = np.flatnonzero(index.label == label)
        folds[rows] = folds[rng.permutation(rows)]
    return folds


def out_of_fold(
    index: pd.DataFrame, folds: np.ndarray, name: str, config: Config, flags: argparse.Namespace
) -> pd.DataFrame:
    """Predictions of every image by the network that did not train on its fold."""
    from breakhis.train import train
    from common.backend import keras

    frames = []
    for fold in range(FOLDS):
        file = flags.output / "splits" / f"{name}-seed{config.seed}-fold{fold}.csv"
        part = np.where(folds == fold, "test", "train")
        write_csv(file, pd.DataFrame({"image": index.image, "part": part}))
        execution = configuration.Execution(
            data_dir=flags.data_dir, runs_dir=flags.output, split_file=file
        )
        preset = configuration.preset_name(config, PRESETS)
        run = train(configuration.Request(config, execution, preset))
        frames.append(evaluation.read_run(run))
        keras.backend.clear_session()
    return pd.concat(frames, ignore_index=True)


def by_case(patient: pd.DataFrame, image: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each case in percent, mean over the seeds, under both kinds of folds."""
    table = {}
    for name, frame in (("patient-wise", patient), ("image-wise", image)):
        right = pd.Series(predictions.correct(frame), frame.index)
        table[name] = 100 * right.groupby([frame.label, frame.case]).mean()
    counts = patient.groupby(["label", "case"]).image.nunique().rename("images")
    return pd.concat([counts, pd.DataFrame(table).round(1)], axis=1).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--output", type=Path, default=Path("runs/patient-vs-image"))
    flags = parser.parse_args()
    index = breakhis.index(flags.data_dir, classes=2)
    backend.load()
    patient, image = [], []
    for seed in range(flags.seeds):
        config = dataclasses.replace(
            SETTINGS, seed=seed, split_seed=seed, weights=flags.weights, epochs=flags.epochs
        )
        folds = patient_folds(index, seed)
        patient.append(out_of_fold(index, folds, "patient", config, flags).assign(seed=seed))
        folds = image_folds(index, folds, seed)
        image.append(out_of_fold(index, folds, "image", config, flags).assign(seed=seed))

    print(f"\n{len(index)} images, {index.case.nunique()} patients, {flags.seeds} seeds\n")
    for seed in range(flags.seeds):
        a, b = (predictions.correct(each[seed]).mean() for each in (patient, image))
        print(f"seed {seed}: patient-wise {100 * a:.1f} %, image-wise {100 * b:.1f} %")
    majority = index.label.value_counts(normalize=True)
    print(f"always {majority.index[0]}: {100 * majority.iloc[0]:.1f} %\n")
    # One image under three seeds is three rows of one patient, who is left out whole.
    rows = [
        pd.concat([frame.assign(image=frame.image + f" {frame.seed.iloc[0]}") for frame in frames])
        for frames in (image, patient)
    ]
    print(by_case(pd.concat(patient), pd.concat(image)).to_string(index=False))
    found = metrics.compare(*rows)
    low, high = (100 * value for value in found["difference_ci"])
    print(
        f"\nimage-wise minus patient-wise: {100 * found['difference']:.1f} points, 95 % interval "
        f"{low:.1f} to {high:.1f} (paired jackknife over {found['n_patients']} patients; few "
        f"patients, wide interval)"
    )


if __name__ == "__main__":
    errors.main(main)
