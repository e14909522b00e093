"""Measure where a training of one epoch spends its time and its memory, and what `predict` costs.

`breakhis.train` with MobileNetV2 at 224 px on images of BreakHis' size, cache cold, in a process of
its own. Training is the epoch's steps with their validation; the rest, from the start of Python to
the finished folder, is not, also what runs beside it is counted to where the run waits for it.
Memory is what the process holds by itself, and that of mapped files beside it, at the peak of each
phase, and in a process that gives the same network as many batches of the same size, without us.

`predict` classifies 200 of the images with the trained network, from the command to its end, beside
a script as users write it (`load_model`, `load_img` one by one, `predict`), and beside itself with
images decoded by one thread.

The start, until all images are decoded and TensorFlow is there, is measured with one beside the
other, and one after the other.

What the run's tables take on disk is told for each image.

Prints seconds, share, processor seconds and memory of each phase, the share that is not training,
the targets and PASS or MISS.

    python -m benchmarks.one_run --images 2000
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.arguments import Parser
from common.errors import main as command

NOT_TRAINING = 0.12
PRIVATE = 2.5  # GB
PREDICT = 2.0
PATIENTS = 40
TYPES = {
    "A": "adenosis", "F": "fibroadenoma", "PT": "phyllodes_tumor", "TA": "tubular_adenoma",
    "DC": "ductal_carcinoma", "LC": "lobular_carcinoma", "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}  # fmt: skip


# --- images ------------------------------------------------------------------------------------


def write_images(folder: Path, count: int) -> None:
    """SYNTHETIC images of BreakHis' size and names: turned and tinted crops of a few drawn ones."""
    from common import images
    from common.datasets import synthetic

    with tempfile.TemporaryDirectory() as scratch:
        drawn = synthetic.breakhis(
            scratch, patients=8, images_per_patient=1, magnifications=("100X",), size=(560, 800)
        )
        fields = [images.read(path)[..., ::-1] for path in sorted(drawn.rglob("*.png"))]
    rng = np.random.default_rng(0)
    for i in range(count):
        patient = i % PATIENTS
        kind, lesion = list(TYPES.items())[patient % 8]
        benign = patient % 8 < 4
        top, left = rng.integers(0, (100, 100))
        image = fields[patient % 8][top : top + 460, left : left + 700]
        image = image[:: rng.choice((1, -1)), :: rng.choice((1, -1))]
        image = np.clip(image * rng.uniform(0.85, 1.0, 3) + rng.normal(0, 3, image.shape), 0, 255)
        letter, slide = ("B", "benign") if benign else ("M", "malignant")
        name = f"SOB_{letter}_{kind}-14-{90001 + patient}-100-{i // PATIENTS + 1:03}.png"
        patients = folder / "BreaKHis_v1/histology_slides/breast" / slide / "SOB" / lesion
        path = patients / f"SOB_{letter}_{kind}_14-{90001 + patient}" / "100X" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image.astype(np.uint8))


# --- one run -----------------------------------------------------------------------------------


class Phases:
    """Wall and processor seconds of each phase, without those inside it, and its peak of memory."""

    def __init__(self) -> None:
        self.stack = ["start"]
        self.found: dict[str, list[float]] = {}
        self.last = time.time(), 0.0
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def __call__(self, name: str, owner: Any, function: str) -> None:
        """Count a function of a module or class as a phase from now on."""
        plain: Callable[..., Any] = getattr(owner, function)

        @functools.wraps(plain)
        def counted(*arguments: Any, **options: Any) -> Any:
            with self.within(name):
                return plain(*arguments, **options)

        setattr(owner, function, counted)

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:  # noqa: D102
        self.mark()
        self.stack.append(name)
        try:
            yield
        finally:
            self.mark()
            self.stack.pop()

    def mark(self) -> None:  # noqa: D102
        now = time.time(), sum(os.times()[:4])
        row = self.found.setdefault(self.stack[-1], [0.0, 0.0, 0.0, 0.0])
        for i in range(2):
            row[i] += now[i] - self.last[i]
        self.last = now

    def watch(self) -> None:  # noqa: D102
        while not self.over.wait(0.1):
            phase, (private, mapped) = self.stack[-1], memory()
            row = self.found.setdefault(phase, [0.0, 0.0, 0.0, 0.0])
            if private > row[2]:
                row[2:] = private, mapped


def memory() -> tuple[float, float]:
    """GB that the process holds by itself, and of files that it maps."""
    # Not smaps_rollup, which walks through all pages: ten times a second it took a third of a run.
    kb = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(kb[name].split()[0]) / 1e6 for name in ("RssAnon", "RssFile"))


def child(folder: Path, began: float, network: str) -> None:
    """Train with every phase counted; prints them as JSON."""
    phases = Phases()
    phases.last = began, 0.0
    phases.watcher.start()
    from breakhis import data, train
    from common import appearance, backend, evaluation, images, material, runs

    phases("index of the images", material, "gather")
    phases("decode into the cache", images, "cached")
    phases("split, samples", data, "make_split")
    phases("look of the images", appearance, "of_training")
    phases("look of the images", images, "commonest_size")
    phases("predictions", evaluation, "predict_run")
    phases("metrics", evaluation, "evaluate_run")
    phases("finish", runs.Run, "finish")
    phases("finish", runs.Run, "record_environment")
    plain = backend.load

    def load() -> str:
        """What needs Keras is counted once it is there."""
        backend.load = plain
        found = plain()
        from breakhis import model
        from common import evidence, normalise, report
        from common.backend import keras
        from common.training import fitting

        phases("fingerprints, leakage", evidence, "compare_parts")
        phases("statistics", normalise, "rgb_statistics")
        phases("network built", model, "build_model")
        phases("Grad-CAM", evidence, "gallery")
        phases("pictures", evidence, "examples")
        phases("pictures", evidence, "mistakes")
        phases("report", report, "write")
        phases("TRAINING", keras.Model, "fit")
        phases("checkpoint", fitting._Recorder, "on_epoch_end")
        phases("kept epoch loaded", fitting.models, "load_weights")
        return found

    backend.load = load
    phases("start of TensorFlow", backend, "load")
    train.train(
        network=network, weights="none", epochs=1, data_dir=folder, runs_dir=folder / "runs",
        cache_dir=folder / "cache",
    )  # fmt: skip
    phases.mark()
    phases.over.set()
    print(json.dumps(phases.found))


# --- beside it ---------------------------------------------------------------------------------

BARE = """
import sys
import numpy as np
from breakhis import Config
from breakhis.model import AdamL2, build_model
from benchmarks.one_run import memory
from common import training
model = build_model(Config(network=sys.argv[1], weights="none", normalisation="own"))
model.compile(AdamL2(3e-4), loss="categorical_crossentropy", metrics=[training.accuracy()])
pixels, labels = np.zeros((32, 224, 224, 3), np.uint8), np.eye(2, dtype=np.float32)[[0, 1] * 16]
for _ in range(4):
    model.train_on_batch(pixels, labels)
print(memory()[0])
"""

SCRIPT = """
import sys
import numpy as np
import keras
import breakhis.model
model = keras.saving.load_model(sys.argv[1] + "/model.keras", compile=False)
paths = sys.argv[2:]
images = [keras.utils.load_img(path, target_size=(224, 224)) for path in paths]
found = model.predict(np.stack([np.asarray(each) for each in images]), batch_size=16, verbose=0)
for path, each in zip(paths, found):
    print(path, each)
"""

ONE_BY_ONE = """
import sys
from common import backend, classification
backend.cores = lambda: 1
classification.main("breakhis", sys.argv[1:])
"""

START = """
import sys
from pathlib import Path
from common import backend, images
folder, cache, way = sys.argv[1:]
names = [str(path) for path in sorted(Path(folder).glob("BreaKHis_v1/**/*.png"))]
meanwhile = backend.load if way == "beside" else None
images.cached(folder, names, 224, cache_dir=cache, meanwhile=meanwhile)
backend.load()
"""


def taken(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a command."""
    start, before = time.time(), sum(os.times()[2:4])
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.time() - start, sum(os.times()[2:4]) - before


def starting(folder: Path, pairs: int) -> None:
    """Decoding beside the start of TensorFlow, and before it."""
    found: dict[str, list[tuple[float, float]]] = {"before": [], "beside": []}
    for _ in range(pairs):
        for way, each in found.items():
            with tempfile.TemporaryDirectory() as cache:
                each.append(taken([sys.executable, "-c", START, str(folder), cache, way]))
    before, beside = (np.median(each, axis=0) for each in found.values())
    ratio = np.median([a[0] / b[0] for a, b in zip(*found.values(), strict=True)])
    print(f"start: decoded before TensorFlow {before[0]:.1f} s, processor {before[1]:.1f} s; "
          f"beside it {beside[0]:.1f} s, processor {beside[1]:.1f} s; ratio {ratio:.2f}",
          flush=True)  # fmt: skip


def predicting(folder: Path, count: int, pairs: int) -> bool:
    """`predict` beside a script as users write it, and beside itself with one thread."""
    (run,) = (path.parent for path in folder.glob("runs/breakhis/*/model.keras"))
    paths = [str(path) for path in sorted(folder.glob("BreaKHis_v1/**/*.png"))[:count]]
    python, arguments = sys.executable, ["--run", str(run), *paths]
    commands = {
        "a script": [python, "-c", SCRIPT, str(run), *paths],
        "one by one": [python, "-c", ONE_BY_ONE, *arguments],
        "ours": [python, "-m", "breakhis.predict", *arguments],
    }
    found = [{name: taken(each) for name, each in commands.items()} for _ in range(pairs)]
    mine, theirs, before = (
        np.median([each[name] for each in found], axis=0)
        for name in ("ours", "a script", "one by one")
    )
    ratio, faster = (
        float(np.median([each[name][0] / each["ours"][0] for each in found]))
        for name in ("a script", "one by one")
    )
    met = ratio >= PREDICT
    print(f"{'PASS' if met else 'MISS'}  predict, {len(paths)} images: {mine[0]:.1f} s, processor "
          f"{mine[1]:.1f} s; a script {theirs[0]:.1f} s, processor {theirs[1]:.1f} s; ratio "
          f"{ratio:.2f} (target {PREDICT:g}); decoded by one thread "
          f"{before[0]:.1f} s, processor {before[1]:.1f} s; ratio {faster:.2f}",
          flush=True)  # fmt: skip
    return met


# --- what came out -----------------------------------------------------------------------------


def measured(folder: Path, network: str) -> dict[str, list[float]]:
    """Phases of one run in a process of its own."""
    run = [sys.executable, "-m", "benchmarks.one_run", "--child", str(folder), "--network", network]
    began = time.time()
    done = subprocess.run([*run, "--began", str(began)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--pairs", type=int, default=3, help="of predict and a script")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.child:
        child(flags.child, flags.began, flags.network)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_images(folder, flags.images)
        met = told(measured(folder, flags.network), bare_memory(flags.network))
        texts(folder)
        if flags.pairs:
            starting(folder, flags.pairs)
            met &= predicting(folder, 200, flags.pairs)
    return 0 if met else 1


def bare_memory(network: str) -> float:
    """GB that a process holds which trains on the same batches and does nothing else."""
    call = [sys.executable, "-c", BARE, network]
    return float(subprocess.run(call, check=True, stdout=subprocess.PIPE).stdout)


def texts(folder: Path) -> None:
    """What the tables of the run take on disk, for each image, and compressed."""
    (run,) = (path.parent for path in folder.glob("runs/breakhis/*/model.keras"))
    count = len((run / "split.csv").read_bytes().splitlines()) - 1
    sizes = []
    for name in ("split", "samples", "images", "predictions"):
        data = (run / f"{name}.csv").read_bytes()
        small = len(gzip.compress(data))
        sizes.append(f"{name}.csv {len(data) / count:.0f} bytes, as gzip {small / count:.0f}")
    whole = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    print(f"on disk, for each of {count} images: {'; '.join(sizes)}; the run's folder in all "
          f"{whole / 1e6:.1f} MB", flush=True)  # fmt: skip


def told(found: dict[str, list[float]], bare: float) -> bool:
    whole, processors = (sum(row[i] for row in found.values()) for i in range(2))
    for name, (wall, processor, private, mapped) in sorted(found.items(), key=lambda x: -x[1][1]):
        shares = f"{100 * wall / whole:5.1f} %", f"{100 * processor / processors:5.1f} %"
        print(f"{name:22} {wall:6.1f} s {shares[0]}   processor {processor:6.1f} s {shares[1]}   "
              f"memory {private:.2f} GB, files {mapped:.2f} GB")  # fmt: skip
    training, predictions = (found[name][1] / processors for name in ("TRAINING", "predictions"))
    held = max(row[2] for row in found.values())
    met = 1 - training <= NOT_TRAINING, held <= PRIVATE
    print(f"{'PASS' if met[0] else 'MISS'}  not training: {100 * (1 - training):.1f} % of "
          f"{processors:.0f} processor seconds (target {100 * NOT_TRAINING:.0f} %); without the "
          f"network's predictions {100 * (1 - training - predictions):.1f} %")  # fmt: skip
    print(f"{'PASS' if met[1] else 'MISS'}  memory without mapped files: {held:.2f} GB at its peak "
          f"(target {PRIVATE} GB); of the bare network {bare:.2f} GB")  # fmt: skip
    return all(met)


if __name__ == "__main__":
    command(main)
