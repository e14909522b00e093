"""Whole slides: memory whatever the slide's size, speed, and whether the map finds a known tumour.

- Memory: the peak of `python -m breakhis.predict --tiles` on synthetic slides of 10,000 and 20,000
  px a side, above that of the same command on a slide of one tile; each in a process of its own.
- Map: area under the ROC curve of the tiles' probabilities against the tumour that was drawn, on
  slides whose stains the network has not seen; a tile is tumour if more than half of it is.

Prints figures, targets and PASS or MISS. Without --run the demo is trained first, which takes some
minutes.

    python -m benchmarks.slides [--run RUN]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common import metrics, predictions, runs
from common.arguments import Parser
from common.errors import main as command
from common.slides.drawing import TRUTH, draw_slide

SIDES = (10_000, 20_000)
MOST_MEMORY = 0.4  # GB above one tile
SEEDS = (1, 2, 3)
LEAST_AUC = 0.75


def trained(folder: Path) -> Path:
    """The demo's run."""
    line = [sys.executable, "-m", "breakhis.train", "--demo", "--runs-dir", str(folder), "--quiet"]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.split()[-1])


def predicted(run: Path, slide: Path, output: Path) -> tuple[float, float]:
    """Peak memory in GB and seconds of the command on a slide."""
    line = [sys.executable, "-m", "breakhis.predict", "--run", str(run), str(slide), "--tiles",
            "--quiet", "--output", str(output)]  # fmt: skip
    begun = time.monotonic()
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the command ended with {process.returncode}")
    return usage.ru_maxrss * 1024 / 1e9, time.monotonic() - begun


def in_tumour(output: Path, truth: Path) -> tuple[np.ndarray, np.ndarray]:
    """Whether each tile is tumour, and its probability."""
    mask = cv2.imread(str(truth), cv2.IMREAD_GRAYSCALE) == 255
    tiles = pd.read_csv(output / "tiles.csv")
    share = [
        mask[y // TRUTH : (y + tall) // TRUTH, x // TRUTH : (x + wide) // TRUTH].mean()
        for x, y, wide, tall in tiles[["x", "y", "width", "height"]].to_numpy()
    ]
    return np.array(share) > 0.5, tiles[predictions.column("malignant")].to_numpy()


def memory(run: Path, folder: Path) -> bool:
    """Peak of each size above that of one tile."""
    small = folder / "one.tif"
    draw_slide(small, side=512, seed=1)
    one, _ = predicted(run, small, folder / "one")
    print(f"one tile: {one:.2f} GB")
    passed = True
    for side in SIDES:
        slide = folder / f"{side}.tif"
        draw_slide(slide, side=side, seed=1)
        peak, seconds = predicted(run, slide, folder / str(side))
        count = len(pd.read_csv(folder / str(side) / "tiles.csv"))
        good = peak - one <= MOST_MEMORY
        passed &= good
        print(
            f"{side} px: {peak:.2f} GB, {peak - one:.2f} above (target at most {MOST_MEMORY}); "
            f"{count} tiles, {seconds:.0f} s in all  {'PASS' if good else 'MISS'}"
        )
        slide.unlink()
    return passed


def finds(run: Path, folder: Path) -> bool:
    """The map's area under the curve on each slide."""
    test = predictions.of_part(predictions.read(run / "predictions.csv"))
    classes = list(runs.load(run).record.classes or [])
    right = predictions.labels(test, classes) == classes.index("malignant")
    scores = test[predictions.column("malignant")].to_numpy()
    print(f"the run's test images: AUC {metrics.auc(right, scores):.3f}")
    passed = True
    for seed in SEEDS:
        slide = folder / f"seed-{seed}.tif"
        truth = draw_slide(slide, side=10_000, seed=seed)
        predicted(run, slide, folder / f"seed-{seed}")
        tumour, probability = in_tumour(folder / f"seed-{seed}", truth)
        found = metrics.auc(tumour, probability)
        good = found is not None and found >= LEAST_AUC
        passed &= good
        print(
            f"slide {seed}: AUC {found:.3f} over {len(tumour)} tiles, {tumour.sum()} of tumour "
            f"(target at least {LEAST_AUC})  {'PASS' if good else 'MISS'}"
        )
        slide.unlink()
    return passed


def main() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a demo run of breakhis; default: train one")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = flags.run or trained(folder / "runs")
        passed = [memory(run, folder), finds(run, folder)]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    command(main)
