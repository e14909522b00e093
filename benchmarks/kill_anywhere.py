"""Kill a training at random moments and see whether it ends with the same bytes.

One run is left alone. Then the same command is started in another folder, with an image cache of
its own, and killed with SIGKILL, over and over, until it ends by itself; its predictions, history,
metrics and split must be those of the first, byte for byte, and so must the cached pixels. Half of
the kills come after a random part of the time that the first run took. The others aim at a write:
at the cache while it grows, or at the moment when the temporary file of a checkpoint, a model, a
table, a picture or the report appears.

    python -m benchmarks.kill_anywhere --kills 30
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import errors
from common.datasets import synthetic

COMPARED = ("predictions.csv", "history.csv", "metrics.json", "split.csv")
TEMPORARY = ".part-*"

# What is aimed at, in the order in which a run comes to it: a file that is being written, and how
# many of its kind go before it, at random up to this many.
WRITES = {
    "image cache": ("pixels.u8", 0),
    "JSON": (f"{TEMPORARY}.json", 3),
    "checkpoint": (f"{TEMPORARY}.npz", 1),
    "model": (f"{TEMPORARY}.keras", 1),
    "table": (f"{TEMPORARY}.csv", 5),
    "picture": (f"{TEMPORARY}.png", 3),
    "report": (f"{TEMPORARY}.html", 0),
}
KILLS_PER_ROUND = 8  # then the run is left to end, and compared


def command(work: Path, name: str, epochs: int) -> list[str]:
    return [
        sys.executable, "-m", "her2scoring.train", "--demo", "--network", "mobilenet",
        "--image-size", "32", "--epochs", str(epochs), "--data-dir", str(work / "bci"),
        "--runs-dir", str(work / name / "runs"), "--cache-dir", str(work / name / "cache"),
    ]  # fmt: skip


def stage(root: Path) -> str:
    """What a killed run had reached, by its files, and what it was writing."""
    found = list((root / "runs" / "her2scoring").glob("*"))
    if not found:
        reached = "image cache" if list(root.rglob("pixels.u8")) else "start"
    else:
        (run,) = found
        states = sorted((run / "checkpoint").glob("state-*.npz"))
        reached = f"epoch {int(states[-1].stem[6:]) + 1}" if states else "epoch 1"
        for name, word in (
            ("model.keras", "prediction"),
            ("predictions.csv", "evaluation"),
            ("metrics.json", "evidence"),
            ("report.html", "report"),
        ):
            if (run / name).exists():
                reached = word
    half = [file.suffix for file in root.rglob(TEMPORARY)]
    return reached + (f", half a {' and a '.join(half)} left" if half else "")


def never() -> bool:
    return False


def after(seconds: float) -> Callable[[], bool]:
    """Condition: so much time has passed from now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def writing(root: Path, aim: str, rng: random.Random) -> Callable[[], bool]:
    """Condition: a file of this kind is being written, after a random number of others."""
    pattern, most = WRITES[aim]
    before = rng.randint(0, most)
    seen: set[str] = set()

    def growing() -> bool:
        return any(
            file.stat().st_size and not (file.parent / "index.json").exists()
            for file in root.rglob(pattern)
        )

    def appeared() -> bool:
        seen.update(file.name for file in root.rglob(pattern))
        return len(seen) > before

    return growing if aim == "image cache" else appeared


def killed(arguments: list[str], condition: Callable[[], bool]) -> bool:
    """Start a command and kill it when the condition is met; False if it ended before."""
    with tempfile.TemporaryFile("w+") as errors_file:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=errors_file)
        while process.poll() is None:
            # A folder may go while it is looked through.
            with contextlib.suppress(FileNotFoundError):
                if condition():
                    process.kill()
                    process.wait()
                    return True
            time.sleep(0.001)
        errors_file.seek(0)
        if process.returncode:
            raise errors.InputError(f"MISS: the resumed run failed:\n{errors_file.read()}")
    return False


def same(root: Path, whole: Path) -> None:
    """Compare the results of a run that was killed with those of the run that was left alone."""
    (run,), (left_alone,) = ((r / "runs" / "her2scoring").iterdir() for r in (root, whole))
    pairs = [(run / name, left_alone / name) for name in COMPARED]
    pairs += [
        (file, whole / file.relative_to(root)) for file in (root / "cache").rglob("pixels.u8")
    ]
    for ours, theirs in pairs:
        if ours.read_bytes() != theirs.read_bytes():
            raise errors.InputError(f"MISS: {ours} differs from {theirs}")
    if left := [str(file) for file in root.rglob(TEMPORARY)]:
        raise errors.InputError(f"MISS: half-written files are left: {', '.join(left)}")


def next_aim(moments: int, writes: list[str], last: str | None, rng: random.Random) -> str | None:
    """A random moment, or the earliest write that a run killed at `last` still comes to."""
    order = list(WRITES)
    to_come = [
        aim
        for aim in order
        if aim in writes and (not last or order.index(aim) >= order.index(last))
    ]
    if moments and (not to_come or rng.random() < 0.5):
        return "random moment"
    return to_come[0] if to_come else None


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
    killed(command(work, "whole", flags.epochs), never)
    duration = time.monotonic() - began
    print(f"left alone: {duration:.0f} s", flush=True)

    writes = [list(WRITES)[i % len(WRITES)] for i in range(flags.kills // 2)]
    moments = flags.kills - len(writes)
    kills = rounds = 0
    reached: collections.Counter[str] = collections.Counter()
    while moments or writes:
        rounds += 1
        root = work / f"round{rounds}"
        last, alive = None, True
        for _ in range(KILLS_PER_ROUND):
            aim = next_aim(moments, writes, last, rng)
            if aim is None:
                break
            start = time.monotonic()
            moment = aim == "random moment"
            condition = after(rng.uniform(0, duration)) if moment else writing(root, aim, rng)
            alive = killed(command(work, root.name, flags.epochs), condition)
            if not alive:
                break
            kills += 1
            if moment:
                moments -= 1
            else:
                writes.remove(aim)
                last = aim
            place = stage(root)
            reached[place.split(",")[0].split(" ")[0]] += 1
            print(
                f"kill {kills:2d} at {aim}, {time.monotonic() - start:4.1f} s, in: {place}",
                flush=True,
            )
        if alive:
            killed(command(work, root.name, flags.epochs), never)
        same(root, work / "whole")
        print(f"round {rounds}: the same {', '.join(COMPARED)} and cached pixels", flush=True)
        shutil.rmtree(root)
    places = ", ".join(f"{count} in {place}" for place, count in reached.most_common())
    print(f"PASS: {kills} kills ({places}) in {rounds} rounds, every run ended with the same bytes")
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    errors.main(main)
