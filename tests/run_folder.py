"""A run folder as training leaves it, with plausible random predictions, for tests of readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from common import confidence, evaluation, figures, metrics, runs
from common import predictions as tables
from common.files import write_csv, write_json
from common.splits import leakage

TASKS = {
    # name: data set, package, preset, classes, positive class, split, images per class
    "binary": (
        "breakhis", "breakhis", "T2-binary-resnet50-honest", ("benign", "malignant"), "malignant",
        "patient", (26, 26),
    ),
    "eight": (
        "breakhis", "breakhis", "T2-8class-resnet50",
        ("A", "F", "PT", "TA", "DC", "LC", "MC", "PC"), None, "patient", (6, 8, 5, 6, 14, 1, 6, 5),
    ),
    "four": (
        "bci", "her2scoring", "T3-convnext_tiny-he", ("0", "1+", "2+", "3+"), None, "official",
        (38, 235, 446, 258),
    ),
}  # fmt: skip


def make(
    root: Path,
    task: str = "binary",
    *,
    synthetic: bool = False,
    seed: int = 0,
    pictures: bool = True,
) -> Path:
    """Write a finished run of `task` below `root`; give its folder."""
    rng = np.random.default_rng(seed)
    dataset, package, preset, classes, positive, split_name, sizes = TASKS[task]
    patients = dataset == "breakhis"
    index = _index(rng, classes, sizes, patients)
    split = _split(rng, index, patients)
    name = f"{'SYNTHETIC-' if synthetic else ''}{preset}-0123456789"
    folder = root / package / name
    folder.mkdir(parents=True)

    columns = ["image", "case", "slide", "folder", "magnification", "label", "part"]
    write_csv(folder / "split.csv", split[columns])
    predictions = _predictions(rng, split[split["part"].isin(["validation", "test"])], classes)
    tables.write(folder / "predictions.csv", predictions)
    history = _history(rng)
    write_csv(folder / "history.csv", history)
    found = leakage.report(split)
    write_json(folder / "leakage.json", {**found, "text": leakage.text(found)})
    write_json(folder / "environment.json", _environment(package, preset))
    write_json(
        folder / "config.json",
        {
            "schema": 1,
            "run_id": "0123456789",
            "package": package,
            "preset": preset,
            "config": {
                "network": "resnet50" if patients else "convnext_tiny",
                "split": split_name,
                "epochs": 30,
                "seed": 0,
            },
            "sources": _sources(split_name),
            "data": "9f" * 32,
            "weights": "imagenet",
            "dataset": dataset,
            "licence": "as the data set's card says",
            "n_images": len(split),
            "expected_images": len(split),
            "synthetic": synthetic,
            "classes": list(classes),
            "positive": positive,
            "leaks": [] if patients else ["slides unknown: one patient may lie in several parts"],
            "command": f"python -m {package}.train --preset {preset}",
            "created": "2026-11-20T08:00:00+00:00",
            "finished": "2026-11-20T09:12:31+00:00",
        },
    )
    test = tables.of_part(predictions)
    scores = metrics.compute(
        tables.labels(test, classes),
        tables.probabilities(test, classes),
        classes,
        cases=test["case"].to_numpy(),
        magnifications=test["magnification"].to_numpy(),
        positive=positive,
        split=split_name,
        synthetic=synthetic,
        replicates=200,
    )
    best = history.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).epoch.iloc[0]
    runs.load(folder).note(kept_epoch=int(best))
    scores["best_epoch"] = evaluation.best_epoch(runs.load(folder))
    scores["confidence"] = confidence.of_predictions(
        predictions, classes, positive=positive, split=split
    )
    write_json(folder / "metrics.json", scores)
    if pictures:
        _pictures(rng, folder, classes, synthetic)
    return folder


def _index(
    rng: np.random.Generator, classes: tuple[str, ...], sizes: tuple[int, ...], patients: bool
) -> pd.DataFrame:
    """With patients, `sizes` are patients per class; else images per class."""
    rows = []
    for label, size in zip(classes, sizes, strict=True):
        if not patients:
            rows += [
                {"image": f"HE/all/{len(rows) + i:05d}_{label}.png", "label": label}
                for i in range(size)
            ]
            continue
        for case in rng.choice(np.arange(2000, 30000), size=size, replace=False):
            for magnification in ("40X", "100X", "200X", "400X"):
                rows += [
                    {
                        "image": f"{label}/14-{case}/{magnification}/SOB-{case}-{i:03d}.png",
                        "label": label,
                        "case": str(case),
                        "slide": f"14-{case}",
                        "folder": f"SOB_{label}_14-{case}",
                        "magnification": magnification,
                    }
                    for i in range(int(rng.integers(3, 12)))
                ]
    names = ["image", "label", "case", "slide", "folder", "magnification"]
    return pd.DataFrame([{name: "" for name in names} | row for row in rows])


def _split(rng: np.random.Generator, index: pd.DataFrame, patients: bool) -> pd.DataFrame:
    if not patients:
        parts = rng.choice(["train", "validation", "test"], len(index), p=[0.7, 0.1, 0.2])
        return index.assign(part=parts, synthetic=False)
    parts = {}
    for _, rows in index.groupby("label", sort=False):
        for i, case in enumerate(rng.permutation(rows["case"].unique())):
            parts[case] = ("train", "test", "train", "validation")[i % 4]
    return index.assign(part=index["case"].map(parts), synthetic=False)


def _predictions(
    rng: np.random.Generator, rows: pd.DataFrame, classes: tuple[str, ...]
) -> pd.DataFrame:
    """Softmax of noise around the true class; some patients are harder than others."""
    labels = rows["label"].map({name: i for i, name in enumerate(classes)}).to_numpy()
    ease = {case: rng.normal(2.6, 1.1) for case in rows["case"].unique()}
    logits = rng.normal(0, 1.2, (len(rows), len(classes)))
    logits[np.arange(len(rows)), labels] += rows["case"].map(ease).to_numpy()
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return tables.table(rows, probabilities, classes)


def _history(rng: np.random.Generator, epochs: int = 30) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    loss = 1.3 * np.exp(-epoch / 6) + 0.06 + rng.normal(0, 0.01, epochs)
    accuracy = 0.98 - 0.55 * np.exp(-epoch / 5) + rng.normal(0, 0.004, epochs)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": loss,
            "accuracy": accuracy,
            "val_loss": loss
            + 0.12
            + 0.008 * np.maximum(0, epoch - 15)
            + rng.normal(0, 0.03, epochs),
            "val_accuracy": accuracy - 0.08 + rng.normal(0, 0.01, epochs),
            "learning_rate": np.where(epoch <= 15, 1e-4, 1e-5),
        }
    )


def _environment(package: str, preset: str) -> dict[str, object]:
    return {
        "command": f"python -m {package}.train --preset {preset}",
        "commit": "4be1a7" * 6 + "4be1",
        "dirty": True,
        "python": "3.11.9",
        "platform": "Linux-6.1.0-x86_64-with-glibc2.36",
        "cpu": "a processor",
        "cores": 8,
        "memory_gib": 31.2,
        "packages": {"keras": "3.15.1", "numpy": "2.4.0", "tensorflow": "2.21.0"},
        "backend": "tensorflow",
        "started": "2026-11-20T08:00:00+00:00",
        "finished": "2026-11-20T09:12:31+00:00",
        "seconds": 4351.0,
    }


def _sources(split: str) -> list[dict[str, object]]:
    rows = [
        ("network", "convnext_tiny", "convnext_tiny", "the first four are the paper's", "III.B"),
        ("split", split, "official", "how images are divided",
         "DEVIATION: the paper's split cannot be had; see its README"),
        ("validation", 0.1, 0.1, "share of the training images",
         "ASSUMED: the paper names no validation images (H06)"),
        ("image_size", 224, 224, "side of the input, px", "III.A"),
        ("horizontal_flip", True, True, "random flips, training images only", "III.C"),
        ("head_units", [512, 256], [512, 256], "dense layers before the logits", "III.B"),
        ("dropout", 0.5, 0.5, "share of units dropped", "ASSUMED: the rate is not printed"),
        ("bn_momentum", 0.9, 0.9, "momentum of batch normalisation",
         "DEVIATION: Keras' 0.999 never catches up in short trainings"),
        ("learning_rate", 1e-4, 1e-4, "Adam's rate at the start", "III.C"),
        ("epochs", 30, 30, "passes over the training images", "III.C"),
        ("batch_size", 16, 16, "images per step", "III.C"),
        ("class_weights", "none", "none", "weights of the classes", "ASSUMED: not mentioned"),
        ("seed", 0, 0, "of initialisation, order and augmentation", "ASSUMED: not mentioned"),
    ]  # fmt: skip
    return [
        {"name": name, "value": value, "default": default, "changed": value != default,
         "help": text, "source": source}
        for name, value, default, text, source in rows
    ]  # fmt: skip


def tissue(rng: np.random.Generator, side: int = 96) -> np.ndarray:
    """Pink image with purple discs, uint8 RGB (side, side, 3)."""
    y, x = np.mgrid[:side, :side]
    image = np.full((side, side, 3), (236.0, 196.0, 214.0)) + rng.normal(0, 7, (side, side, 3))
    for _ in range(40):
        (cy, cx), radius = rng.uniform(0, side, 2), rng.uniform(2, 5)
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = (120, 76, 150)
    return image.clip(0, 255).astype(np.uint8)


def heat(rng: np.random.Generator, side: int) -> np.ndarray:
    """One bump, float32 (side, side) in [0, 1]."""
    y, x = np.mgrid[:side, :side] / side
    cy, cx = rng.uniform(0.2, 0.8, 2)
    bump = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 0.05)
    return (bump / bump.max()).astype(np.float32)


def _pictures(
    rng: np.random.Generator, folder: Path, classes: tuple[str, ...], synthetic: bool
) -> None:
    images = [tissue(rng) for _ in range(8)]
    shown = list(classes[:4])
    maps = {
        f"Stage {k}": [heat(rng, side) for _ in shown]
        for k, side in ((1, 24), (2, 12), (3, 6), (4, 3))
    }
    drawn = {
        "examples": figures.examples(
            images, [f"{classes[i % len(classes)]}  40X" for i in range(8)]
        ),
        "mistakes": figures.mistakes(
            images,
            [f"SOB_A-14-{i}-001\ntrue {classes[0]}, said {classes[1]} 9{i} %" for i in range(8)],
        ),
        "gradcam": figures.gradcam_gallery(
            images[: len(shown)], maps, [f"true {name}, said {name} 97 %" for name in shown]
        ),
    }
    for name, figure in drawn.items():
        figures.save(figure, folder / "figures" / f"{name}.png", synthetic=synthetic)
