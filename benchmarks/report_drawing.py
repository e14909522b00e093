"""How long a report and the pictures of its evidence take to draw, and metrics.json to reckon.

python -m benchmarks.report_drawing

Processor seconds, the best of `TIMES` after a first call that imports and reads the font. The
report is that of a binary run on 393 images (`tests/run_folder.py`), the evidence are its eight
examples, eight mistakes, four pairs of likenesses and Grad-CAM of four images at four stages. The
metrics are those of BreakHis' 2,373 test images in eight classes at four magnifications. Before:
the same on the same machine when Matplotlib laid out every figure and each picture was an axes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common import figures, metrics, report
from tests import run_folder

TIMES = 5
BEFORE = {"report": 1.6, "evidence": 2.9, "metrics": 2.2}
"""Seconds."""
TARGETS = {"report": 0.53, "evidence": 1.0, "metrics": 1.1}
"""A third of the time of drawing, half of that of reckoning."""


def main() -> int:
    """Print seconds before and now; 1 if a target is missed."""
    with tempfile.TemporaryDirectory() as folder:
        run = run_folder.make(Path(folder), "binary")
        jobs: dict[str, Callable[[], object]] = {
            "report": lambda: report.write(run),
            "evidence": lambda: _evidence(Path(folder)),
            "metrics": _metrics,
        }
        missed = False
        print("             before     now  target   processor seconds")
        for name, job in jobs.items():
            seconds = _seconds(job)
            missed |= seconds > TARGETS[name]
            verdict = "MISS" if seconds > TARGETS[name] else "PASS"
            print(
                f"{name:<12} {BEFORE[name]:6.2f}  {seconds:6.2f}  {TARGETS[name]:6.2f}   {verdict}"
            )
    return int(missed)


def _seconds(job: Callable[[], object]) -> float:
    job()
    found = []
    for _ in range(TIMES):
        begin = time.process_time()
        job()
        found.append(time.process_time() - begin)
    return min(found)


def _evidence(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = [run_folder.tissue(rng) for _ in range(8)]
    maps = {
        f"Stage {k}": [run_folder.heat(rng, side) for _ in range(4)]
        for k, side in ((1, 24), (2, 12), (3, 6), (4, 3))
    }
    titles = [f"SOB_A-14-{i}-001\ntrue benign, said malignant (9{i} %)" for i in range(8)]
    drawn = {
        "examples": figures.examples(images, ["benign  40X"] * 8),
        "mistakes": figures.mistakes(images, titles),
        "pairs": figures.pairs(
            [(images[i], images[i + 4]) for i in range(4)],
            [("train: a.png", "test: b.png")] * 4,
            ["exact copy"] * 4,
        ),
        "gradcam": figures.gradcam_gallery(images[:4], maps, titles[:4]),
    }
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")


def _metrics() -> None:
    rng = np.random.default_rng(0)
    count, classes = 2373, list("ABCDEFGH")
    labels = rng.integers(0, 8, count)
    logits = rng.normal(0, 1.2, (count, 8))
    logits[np.arange(count), labels] += 2
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    metrics.compute(
        labels,
        probabilities,
        classes,
        magnifications=rng.choice(["40X", "100X", "200X", "400X"], count),
    )


if __name__ == "__main__":
    sys.exit(main())
