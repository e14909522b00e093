"""Kill a training at random moments and see whether it ends with the same bytes.

One run is left alone. Then the same command is started in another folder and killed with SIGKILL
after a random part of the time that the first one took, over and over until it ends by itself; its
predictions.csv and history.csv must be those of the first, byte for byte. Every write lies in the
killed time too: the image cache, checkpoints, models, predictions, figures, the report.

    python -m benchmarks.kill_anywhere --kills 30
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import errors
from common.datasets import synthetic

COMPARED = ("predictions.csv", "history.csv", "metrics.json", "split.csv")


def command(work: Path, name: str, epochs: int) -> list[str]:
    return [
        sys.executable, "-m", "her2scoring.train", "--demo", "--image-size", "32",
        "--epochs", str(epochs), "--data-dir", str(work / "bci"),
        "--runs-dir", str(work / name), "--cache-dir", str(work / f"{name}-cache"),
    ]  # fmt: skip


def stage(run: Path) -> str:
    """What a killed run had reached, by its files."""
    for name, word in (
        ("report.html", "report"),
        ("metrics.json", "evidence"),
        ("predictions.csv", "evaluation"),
        ("model.keras", "prediction"),
    ):
        if (run / name).exists():
            return word
    states = sorted((run / "checkpoint").glob("state-*.npz"))
    return f"epoch {int(states[-1].stem[6:]) + 1}" if states else "start"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    rng = random.Random(flags.seed)
    work = Path(tempfile.mkdtemp(prefix="histopapers-kills-"))
    synthetic.bci(work / "bci", slides=16, patches_per_slide=3, size=64)

    began = time.monotonic()
    subprocess.run(command(work, "whole", flags.epochs), check=True, capture_output=True)
    duration = time.monotonic() - began
    (whole,) = (work / "whole" / "her2scoring").iterdir()
    print(f"left alone: {duration:.0f} s")

    kills = rounds = 0
    while kills < flags.kills:
        rounds += 1
        name = f"round{rounds}"
        while True:
            # A run that has nothing left to do takes a tenth of the time: kill early too.
            wait = rng.uniform(0, duration) if kills < flags.kills else None
            process = subprocess.Popen(
                command(work, name, flags.epochs),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                _, text = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                found = list((work / name / "her2scoring").glob("*"))
                reached = stage(found[0]) if found else "before the run folder"
                print(f"kill {kills:2d} after {wait:5.1f} s, in: {reached}", flush=True)
                continue
            if process.returncode:
                print(f"MISS: the resumed run failed:\n{text}")
                return 1
            break
        (run,) = (work / name / "her2scoring").iterdir()
        for file in COMPARED:
            if (run / file).read_bytes() != (whole / file).read_bytes():
                print(f"MISS: {run / file} differs from {whole / file}")
                return 1
        print(f"round {rounds}: the same {', '.join(COMPARED)}", flush=True)
        shutil.rmtree(work / name)
    print(f"PASS: {kills} kills in {rounds} rounds, every run ended with the same bytes")
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    errors.main(main)
