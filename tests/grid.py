"""A whole grid of runs that nobody trained: FABRICATED, for tests of tables, results and site.

Every training of the plan gets a run folder whose predictions are drawn at a known accuracy: that
which the paper prints for the row, in the honest twin `TWIN` less. Images, patients and splits have
the numbers of the real data sets and are drawn by the papers' own code, but no image exists. Each
`config.json` says ``fabricated`` and ``synthetic``: no command counts such a run, and what asks for
them (``tables.load(..., fabricated=True)``, `Place`) counts no other. Their pages say FABRICATED.

    python -m tests.grid FOLDER
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common import config as configuration
from common import datasets, metrics, predictions, reproduce, runs, tables
from common.config import Execution
from common.datasets import bach, bci, breakhis
from common.files import as_bytes, csv_text, plain, write_json
from common.papers import PAPERS
from common.reproduce import Item
from common.runs import Record
from common.runs.manifest import write_manifest
from common.splits import SPLIT_COLUMNS, leakage

TWIN = 0.07
"""How much less accurate a twin is."""

REPLICATES = 50
"""Of the bootstrap; a real run has 2000, and smoother intervals."""

DATE = "2026-01-01T{:02d}:{:02d}:00+00:00"
FOLDERS = {"A": 4, "F": 10, "PT": 7, "TA": 3, "DC": 38, "LC": 5, "MC": 9, "PC": 6}
"""Slide folders of each type in BreakHis."""


def make(runs_dir: Path, items: Sequence[Item] | None = None) -> list[Item]:
    """Write a finished run for every training.

    Parameters
    ----------
    runs_dir : Path
    items : sequence of Item, optional
        Of the plan; all of it by default.

    Returns
    -------
    list of Item
        The trainings.
    """
    chosen = [each for each in items or reproduce.items() if each.step is None]
    maker = Maker(runs_dir)
    for number, item in enumerate(chosen):
        maker.write(item, DATE.format(number // 60 % 24, number % 60))
    return chosen


@dataclass
class Maker:
    """Writes runs; splits and hashes that several share are made once."""

    runs_dir: Path
    splits: dict[str, Split] = field(default_factory=dict)
    leaks: dict[str, bytes] = field(default_factory=dict)

    def write(self, item: Item, date: str) -> Path:
        """Write one run; give its folder."""
        gan = item.module == "train_gan"
        split = self._split(item)
        rng = np.random.default_rng(zlib.crc32(item.key.encode()))
        record = _record(item, split, date)
        folder = self.runs_dir / item.paper / f"SYNTHETIC-{item.preset}-{record.run_id}"
        folder.mkdir(parents=True)
        (folder / "split.csv").write_bytes(split.text)
        (folder / "leakage.json").write_bytes(split.leakage)
        write_json(folder / "environment.json", _environment(item, date))
        if gan:
            write_json(folder / "config.json", record.to_json())
            write_json(folder / "metrics.json", _gan_scores(item, rng))
            write_manifest(folder)
            return folder
        history = _history(rng, item.config.epochs, accuracy(item))
        record.note(kept_epoch=1 + int(history["val_accuracy"].argmax()))
        write_json(folder / "config.json", record.to_json())
        (folder / "history.csv").write_bytes(as_bytes(csv_text(history)))
        classes = list(record.classes or [])
        found = _predictions(rng, split.judged, classes, accuracy(item))
        (folder / "predictions.csv").write_bytes(as_bytes(csv_text(found)))
        test = predictions.of_part(found)
        scores = metrics.compute(
            predictions.labels(test, classes),
            predictions.probabilities(test, classes),
            classes,
            cases=test["case"].to_numpy(),
            magnifications=test["magnification"].to_numpy(),
            folders=[split.folders[image] for image in test["image"]],
            positive=record.positive,
            split=str(item.config.split),
            synthetic=True,
            replicates=REPLICATES,
        )
        write_json(folder / "metrics.json", {**scores, "best_epoch": record.kept_epoch})
        write_manifest(folder)
        return folder

    def _split(self, item: Item) -> Split:
        names = (
            "dataset", "stain", "classes", "magnifications", "magnification", "split", "group",
            "test", "validation", "stratify", "train_on",
        )  # fmt: skip
        kind = f"{item.paper} {[(n, getattr(item.config, n, None)) for n in names]}"
        drawn = ("split_seed", "fold", *(["seed"] if item.paper == "wrn_edge" else []))
        key = f"{kind} {[(n, getattr(item.config, n, None)) for n in drawn]}"
        if key not in self.splits:
            table, self.splits[key] = Split.draw(item)
            if kind not in self.leaks:  # of the first round: rounds differ by little
                self.leaks[kind] = _leakage(table)
            self.splits[key].leakage = self.leaks[kind]
        return self.splits[key]


@dataclass
class Split:
    """How images are parted, and what is written of that."""

    data: str
    images: int
    text: bytes
    sha256: str
    judged: pd.DataFrame
    folders: dict[str, str]
    leakage: bytes = b""

    @classmethod
    def draw(cls, item: Item) -> tuple[pd.DataFrame, Split]:
        config = item.config
        index = _index(item)
        room = "parts" if item.paper == "gan_fusion" else "data"
        table = import_module(f"{item.paper}.{room}").make_split(index, config, Execution())
        if getattr(config, "train_on", "") == "all":
            table = table.assign(part="train")
        text = as_bytes(csv_text(table[[name for name in SPLIT_COLUMNS if name in table]]))
        judged = table[table["part"].isin(["validation", "test"])].reset_index(drop=True)
        return table, cls(
            datasets.index_hash(index), len(index), text, hashlib.sha256(text).hexdigest(), judged,
            dict(zip(table["image"], table["folder"], strict=True)),
        )  # fmt: skip


def _leakage(table: pd.DataFrame) -> bytes:
    """What leakage.json says: groups as they are, and a few duplicates that were never there."""
    found = leakage.report(table)
    tested = max(1, found["parts"].get("test", 0))
    twins = {"pairs": 9, "across": 4, "by_parts": {"train-test": 2}, "label_conflicts": 0,
             "test_images": 2, "share": 2 / tested, "worst": []}  # fmt: skip
    found |= {"exact": {**twins, "sets": 9, "set_images": 18, "largest_sets": []}, "near": twins}
    found["notes"] = [each for each in found["notes"] if "not compared" not in each]
    return as_bytes(json.dumps(plain({**found, "text": ""}), indent=2, ensure_ascii=False) + "\n")


def _index(item: Item) -> pd.DataFrame:
    config = item.config
    if item.dataset == "bci":
        return _bci(config.stain, config.classes)
    if item.dataset == "bach":
        return _bach()
    one = getattr(config, "magnification", None)
    return _breakhis(config.classes if item.paper == "breakhis" else 2,
                     (one,) if one else tuple(config.magnifications))  # fmt: skip


@functools.cache
def _breakhis(classes: int, magnifications: tuple[str, ...]) -> pd.DataFrame:
    """Images in the numbers of BreakHis, of slides that do not exist."""
    rows = []
    for kind, count in FOLDERS.items():
        benign = kind in ("A", "F", "PT", "TA")
        label = kind if classes == 8 else breakhis.CLASSES[2][0 if benign else 1]
        first = 30000 + 100 * list(FOLDERS).index(kind)
        for magnification in magnifications:
            for i in range(breakhis.EXPECTED_COUNTS[kind, magnification]):
                case = str(first + i % count)
                slide, side = f"14-{case}", "B" if benign else "M"
                name = f"SOB_{side}_{kind}-{slide}-{magnification[:-1]}-{i // count + 1:03d}.png"
                folder = f"SOB_{side}_{kind}_{slide}"
                rows.append((f"{folder}/{magnification}/{name}", label, kind, case, slide, folder,
                             magnification, ""))  # fmt: skip
    return _frame(rows)


@functools.cache
def _bci(stain: str, classes: int) -> pd.DataFrame:
    """Images in the numbers of BCI."""
    rows = []
    for (part, score), count in bci.EXPECTED_COUNTS.items():
        label = score if classes == 4 else bci.THREE[score]
        rows += [
            (f"{bci.STAINS[stain]}/{part}/{len(rows) + i:05d}_{part}_{score}.png", label, score,
             "", "", "", "", part)
            for i in range(count)
        ]  # fmt: skip
    return _frame(rows)


@functools.cache
def _bach() -> pd.DataFrame:
    """Images in the numbers of BACH."""
    return _frame(
        [
            (f"Photos/{label}/{prefix}{i + 1:03d}.tif", label, label, "", "", "", "", "")
            for prefix, label in bach.PREFIXES.items()
            for i in range(bach.EXPECTED_COUNTS[label])
        ]
    )


def _frame(rows: list[tuple[str, ...]]) -> pd.DataFrame:
    names = ["image", "label", "type", "case", "slide", "folder", "magnification", "official"]
    table = pd.DataFrame(rows, columns=names).sort_values("image", ignore_index=True)
    return table.assign(bytes=1, synthetic=True)


def _record(item: Item, split: Split, date: str) -> Record:
    config, card = item.config, datasets.get(item.dataset)
    paper = import_module(f"{item.paper}.config")
    classes = list(card.CLASSES[config.classes])
    record = Record(
        package=item.paper,
        preset=item.preset,
        config=configuration.to_dict(config),
        sources=configuration.sources(config),
        synthetic=True,
        data=split.data,
        weights="none" if config.weights == "none" else "imagenet",
        created=date,
        finished=date,
        dataset=card.NAME,
        licence=card.LICENCE,
        classes=classes,
        positive=card.POSITIVE[config.classes],
        n_images=split.images,
        expected_images=split.images,
        leaks=[each for each in paper.LEAKS.get(item.preset, "").split("; ") if each],
        command=f"python -m {item.paper}.{item.module} --preset {item.preset} --data-dir DIR",
        split_sha256=split.sha256,
        facts={"fabricated": True},
    )
    if item.module == "train_gan":
        from gan_fusion.gan.train import NO_CLASSIFIER

        record.note(kind="gan", no_classifier=NO_CLASSIFIER)
    return record.changed(run_id=runs.id_of(record))


@functools.cache
def _printed(paper: str) -> dict[str, float]:
    """Preset -> the first accuracy that the paper prints for it."""
    table = tables.published(paper)
    table = table[(table["metrics_key"] == "accuracy") & (table["unit"] == "percent")]
    found: dict[str, float] = {}
    for row in table.to_dict("records"):
        found.setdefault(row["preset"], float(row["printed"]) / 100)
    return found


def accuracy(item: Item) -> float:
    """At which the test predictions of a training are drawn; a few rounds differ by a little."""
    row = item.preset.removesuffix("-as-printed").removesuffix("-honest")
    apart = ((item.round.get("fold", 0) + item.round.get("seed", 0)) % 5 - 2) * 0.004
    value = _printed(item.paper).get(row, 0.9) - TWIN * item.twin
    return min(value + apart, 0.995)


def _predictions(
    rng: np.random.Generator, rows: pd.DataFrame, classes: list[str], share: float
) -> pd.DataFrame:
    """Predictions of which exactly this share is right, in each part."""
    names = {name: i for i, name in enumerate(classes)}
    truth = rows["label"].map(names).to_numpy()
    said = truth.copy()
    for part in rows["part"].unique():
        here = np.flatnonzero((rows["part"] == part).to_numpy())
        wrong = rng.choice(here, size=len(here) - round(share * len(here)), replace=False)
        said[wrong] = (truth[wrong] + rng.integers(1, len(classes), len(wrong))) % len(classes)
    sure = np.where(said == truth, rng.beta(9, 1, len(rows)), rng.beta(3, 2, len(rows)))
    least = 0.505 if len(classes) == 2 else 0.46
    top = least + (0.999 - least) * sure
    values = rng.uniform(0.5, 1.5, (len(rows), len(classes)))
    values[np.arange(len(rows)), said] = 0
    values *= ((1 - top) / values.sum(axis=1))[:, None]
    # Below one half the others could pass the first; they share alike then.
    over = values.max(axis=1) >= top
    values[over] = ((1 - top[over]) / (len(classes) - 1))[:, None]
    values[np.arange(len(rows)), said] = top
    return predictions.table(rows, values, classes)


def _history(rng: np.random.Generator, epochs: int, share: float) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    rise = 1 - np.exp(-epoch / max(2, epochs / 6))
    loss = 1.3 * (1 - rise) + 0.05 + rng.normal(0, 0.01, epochs)
    accuracy = np.clip(0.45 + (share + 0.02 - 0.45) * rise + rng.normal(0, 0.004, epochs), 0, 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": loss.clip(0.001),
            "accuracy": accuracy,
            "val_loss": (loss + 0.1 + rng.normal(0, 0.02, epochs)).clip(0.001),
            "val_accuracy": np.clip(accuracy - 0.03 + rng.normal(0, 0.01, epochs), 0, 1),
            "learning_rate": np.full(epochs, 1e-4),
        }
    )


def _gan_scores(item: Item, rng: np.random.Generator) -> dict[str, Any]:
    table = tables.published(item.paper)
    row = item.preset.removesuffix("-as-printed").removesuffix("-honest")
    printed = table[table["preset"] == row].groupby("metrics_key")["printed"].first()
    found = {name: float(printed.get(name, near)) * (1 + 0.3 * item.twin) * rng.uniform(0.98, 1.02)
             for name, near in (("fid", 17.5), ("kid", 0.004))}  # fmt: skip
    return {**found, "kid_se": found["kid"] / 10, "precision": 0.7, "recall": 0.4,
            "kimg": item.config.kimg, "synthetic": True}  # fmt: skip


def _environment(item: Item, date: str) -> dict[str, Any]:
    return {
        "command": f"python -m {item.paper}.{item.module} --preset {item.preset} --data-dir DIR",
        "commit": None,
        "dirty": None,
        "python": "3.11.9",
        "platform": "no machine: FABRICATED",
        "cpu": "no processor: FABRICATED",
        "cores": 2,
        "threads": 2,
        "memory_gib": 8.0,
        "packages": {"keras": "3.15.1", "numpy": "2.4.0", "tensorflow": "2.21.0"},
        "backend": "tensorflow",
        "started": date,
        "finished": date,
        "seconds": 3600.0,
    }


def main() -> int:
    """Write the grid, and its site if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.grid", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--paper", nargs="+", choices=PAPERS, default=PAPERS)
    chosen = parser.parse_args()
    made = make(chosen.folder / "runs", reproduce.items(chosen.paper))
    print(f"{len(made)} runs in {chosen.folder / 'runs'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
