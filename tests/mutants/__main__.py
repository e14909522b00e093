"""``make mutants``: small errors are put into the code; a test has to fail for each.

For each room: how many errors there are, how many a test reaches, how many make a test fail or run
without an end, and which do not. What is no end is told by processor time, which a busy machine
does not change. Those that survive and are known, with the reason, stand in known.toml; so do
functions that no test of the room reaches. A room passes if at least 95 % of the reached errors
make a test fail and no survivor and nothing unreached is without a reason.

Why not mutmut, which does the same: version 3.8 was tried on `common.metrics`. It makes 1,917
errors there for 833 of ours, since it changes the text of every message in three ways; it leaves
constants and defaults alone; it names a survivor by its number in the function
(``x_kappa__mutmut_7``), so that a list of known ones with reasons is wrong after the next edit; it
tests a copy of the tree; and modules that import TensorFlow hang in the processes that it forks.
What makes this tool fast is coverage.py: it says which tests reach a line.

Tests do not see HISTOPAPERS_TEST_DATA here: the result is the same with and without real images.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .operators import Mutant, mutants
from .running import KILLED, SURVIVED, TIMED_OUT, UNREACHED, run

LEAST = 0.95
KNOWN = Path(__file__).parent / "known.toml"


@dataclass(frozen=True)
class Room:
    """What is changed, and the tests that have to notice.

    Parameters
    ----------
    code
        Files and folders, from the repository's root; of a folder not ``__main__``, whose tests
        start processes of their own.
    tests
        Names of the files of tests.
    libraries
        Imported once, before anything is forked.
    sample
        How many errors are drawn, with seed 11; None: all.
    """

    code: tuple[str, ...]
    tests: tuple[str, ...]
    libraries: tuple[str, ...] = ("numpy", "pandas", "scipy.special", "PIL.Image")
    sample: int | None = None


ROOMS = {
    "metrics": Room(
        ("common/metrics",),
        (
            "metrics",
            "catalogue",
            "metric_arguments",
            "metric_rules",
            "summary_rules",
            "stored_scores",
            "undefined",
            "jackknife",
            "plan",
            "simulation",
            "selective",
        ),
    ),
    "splits": Room(
        ("common/splits",),
        (
            "splits",
            "draws",
            "golden_splits",
            "leakage",
            "pairs",
            "split_files",
            "split_arguments",
            "split_rules",
            "leakage_rules",
            "draw_rules",
            "formats",
            "audit",
        ),
        ("numpy", "pandas", "scipy", "cv2", "sklearn.model_selection", "PIL.Image"),
    ),
    "tables": Room(
        ("common/tables",),
        (
            "tables",
            "table_rules",
            "table_texts",
            "judgements",
            "resolution",
            "rounds",
            "merged",
            "results",
            "measurements",
            "quoted",
            "unprinted",
            "table_elsewhere",
        ),
    ),
    "augment": Room(
        ("common/augment.py",),
        ("augment", "augment_rules", "augment_arguments"),
        ("numpy", "cv2", "scipy.ndimage", "scipy.stats"),
    ),
    "stain": Room(
        ("common/stain",),
        (
            "stain",
            "stain_rules",
            "stain_arguments",
            "stain_accelerator",
            "reinhard_rules",
            "padding_rules",
            "stain_engine",
            "dictionary_rules",
        ),
        ("numpy", "cv2", "scipy.optimize", "tensorflow", "keras"),
    ),
    "normalise": Room(("common/normalise.py",), ("normalise",), ("tensorflow", "keras"), 60),
    "pipeline": Room(("common/pipeline.py",), ("pipeline",), ("tensorflow", "keras"), 60),
    "training": Room(
        ("common/training",), ("training_rules", "training"), ("tensorflow", "keras", "cv2"), 60
    ),
    "gradcam": Room(
        ("common/gradcam",), ("gradcam", "gradcam_models"), ("tensorflow", "keras", "cv2"), 60
    ),
    "backbones": Room(("common/backbones",), ("backbones",), ("tensorflow", "keras"), 60),
}
SEED = 11


def main() -> None:
    """Test the mutants of the rooms, and say PASS or MISS."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.split("\n")[0])
    rooms = [[], *ROOMS]
    parser.add_argument("rooms", nargs="*", metavar="ROOM", choices=rooms, help="default: all")
    parser.add_argument("--lines", help="of one file, for work on it: common/x.py:10-40")
    parser.add_argument(
        "--trust-known",
        action="store_true",
        help="count the survivors of known.toml as such without testing them: much faster, since "
        "each of them takes all its tests; the share is never higher for it",
    )
    chosen = parser.parse_args()
    os.environ.pop("HISTOPAPERS_TEST_DATA", None)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(Path.cwd()))
    verdicts = [_room(name, chosen.lines, chosen.trust_known) for name in chosen.rooms or ROOMS]
    print(f"{'room':10s} {HEAD}")
    for verdict in verdicts:
        print(verdict)
    sys.exit(any(verdict.endswith("MISS") for verdict in verdicts))


HEAD = "mutants reached killed timed-out survived    new unreached    new seconds  share"


def _room(name: str, lines: str | None, trust_known: bool) -> str:
    """Test one room; print what is new, and give its line of the table."""
    room, start = ROOMS[name], time.monotonic()
    every = [mutant for path in _files(room) for mutant in mutants(path)]
    tested = every
    if lines:
        path, _, span = lines.rpartition(":")
        first, _, last = span.partition("-")
        inside = range(int(first), int(last or first) + 1)
        tested = [m for m in every if m.path == path and m.line in inside]
    elif room.sample is not None and room.sample < len(every):
        drawn = random.Random(SEED).sample(range(len(every)), room.sample)
        tested = [every[index] for index in sorted(drawn)]
        print(f"{name}: {room.sample} of {len(every)} mutants, drawn with seed {SEED}")
    for library in room.libraries:
        importlib.import_module(library)
    survivors, unreached = _known(name)

    def is_new(mutant: Mutant, result: int) -> bool:
        if result == SURVIVED:
            return mutant.key not in survivors
        somewhere = {(mutant.path, mutant.function), (mutant.path, "*")}
        return result == UNREACHED and not somewhere & unreached

    said = {SURVIVED: "new survived", UNREACHED: "new unreached", TIMED_OUT: "timed out"}
    done = 0

    def told(mutant: Mutant, result: int) -> None:
        nonlocal done
        done += 1
        if result == TIMED_OUT or is_new(mutant, result):
            where = f"{mutant.path}:{mutant.line} {mutant.function}"
            print(f"{said[result]}: {where}: {mutant.change}: {mutant.text}", flush=True)
        if done % 100 == 0:
            print(f"{name}: {done} of {len(tested)}", file=sys.stderr, flush=True)

    listed = [m for m in tested if trust_known and m.key in survivors]
    tested = [m for m in tested if not (trust_known and m.key in survivors)]
    results, failed = run(tested, [f"tests/test_{test}.py" for test in room.tests], told)
    if failed:
        print(f"{name}: these tests fail without any error in the code:", *failed, sep="\n  ")
        return f"{name:10s} MISS"
    results += [SURVIVED] * len(listed)
    pairs = zip([*tested, *listed], results, strict=True)
    new = Counter(result for mutant, result in pairs if is_new(mutant, result))
    existing = {mutant.key for mutant in every}
    for key in [*(survivors - existing), *(unreached - {key[:2] for key in existing})]:
        if key[1:] != ("*",):
            new["stale"] += 1
            print(f"known.toml names what is no longer there: {key}")
    count = Counter(results)
    reached = len(results) - count[UNREACHED]
    share = (count[KILLED] + count[TIMED_OUT]) / reached if reached else 1.0
    verdict = "PASS" if share >= LEAST and not new else "MISS"
    return (
        f"{name:10s} {len(results):7d} {reached:7d} {count[KILLED]:6d} {count[TIMED_OUT]:9d} "
        f"{count[SURVIVED]:8d} {new[SURVIVED]:6d} {count[UNREACHED]:9d} {new[UNREACHED]:6d} "
        f"{time.monotonic() - start:7.0f} {100 * share:5.1f}% {verdict}"
    )


def _files(room: Room) -> list[str]:
    """Files of a room, without what only other processes import."""
    found = []
    for name in room.code:
        path = Path(name)
        inner = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found += [each.as_posix() for each in inner if each.name != "__main__.py"]
    return found


def _known(name: str) -> tuple[set[tuple[str, ...]], set[tuple[str, ...]]]:
    """Read the survivors and the unreached functions of a room that have a reason."""
    with KNOWN.open("rb") as file:
        entries = tomllib.load(file).get(name, {})
    survivors = {
        (entry["file"], entry["function"], entry["line"], change)
        for entry in entries.get("survived", [])
        for change in entry["changes"]
        if entry["reason"]
    }
    unreached = {
        (entry["file"], function)
        for entry in entries.get("unreached", [])
        for function in entry["functions"]
        if entry["reason"]
    }
    return survivors, unreached


if __name__ == "__main__":
    main()
