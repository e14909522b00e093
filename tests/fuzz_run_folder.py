"""Damage the JSON and CSV files of a run folder, and read them by every command that does.

    python tests/fuzz_run_folder.py --count 500 --seed 7

Every case takes one file of a finished run and mutates it: flipped bits, a cut, zeros, another
encoding; in JSON values of another type, keys that are gone, named otherwise or there twice,
numbers that are none; in CSV rows shuffled, gone or there twice, columns likewise, cells of all
kinds. A case depends on seed, file and number alone: ``--file F --first N --count 1`` repeats it.

What must hold of every case and command: it ends with exit code 0 or 1, or with 2 and one message,
within `SECONDS` and `MEGABYTES`. Anything else fell; a table per file and command is printed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import csv
import io
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import run_folder

import breakhis
from common import classification, config, errors, evaluation, gradcam, report, runs, samples
from common import splits as parts
from common import tables as papers
from common.figures import png
from common.files import file_hash, write_csv
from common.metrics.__main__ import main as metrics_command
from common.reproduce.__main__ import main as reproduce_command
from common.runs.__main__ import main as runs_command
from common.splits.__main__ import main as splits_command

SECONDS, MEGABYTES = 20, 1000
PRESET = "T2-binary-resnet50-honest"

# --- the folder ----------------------------------------------------------------------------------


def make(root: Path) -> Path:
    """Write a finished run that fills a row, with every JSON and CSV file that a run has."""
    run_folder.TASKS["small"] = (
        "breakhis", "breakhis", PRESET, ("benign", "malignant"), "malignant", "patient", (6, 6),
    )  # fmt: skip
    path = run_folder.make(root, "small", pictures=False)
    run = runs.load(path)
    split = pd.read_csv(path / "split.csv", dtype=str, keep_default_na=False)
    write_csv(
        path / "samples.csv",
        split[["image", "label", "part"]].assign(op="none", args="")[list(samples.COLUMNS)],
    )
    names = split["image"].str.rpartition("/")[2]
    write_csv(path / "images.csv", pd.DataFrame({"image": names, "sha256": "0a" * 32}))
    run.note(
        config=config.to_dict(breakhis.PRESETS[PRESET]),
        sources=config.sources(breakhis.PRESETS[PRESET]),
        split_sha256=file_hash(path / "split.csv"),
        samples_sha256=file_hash(path / "samples.csv"),
        machines=[{"backend": "tensorflow", "threads": 2}],
        skipped=[{"image": "a.png", "reason": "is empty"}],
        gradcam_layers={"Stage 1": "conv1"},
        generated={"images": {"benign": 3, "malignant": 4}, "sha256": "0b" * 32, "run": "x"},
    )
    run.note(skipped=[])
    return path


FILES = (
    "config.json", "metrics.json", "environment.json", "leakage.json", "predictions.csv",
    "split.csv", "samples.csv", "images.csv", "history.csv",
)  # fmt: skip

# --- what reads it -------------------------------------------------------------------------------


def _tables(run: Path, other: Path) -> None:
    for style in ("markdown", "csv", "latex"):
        papers.main("breakhis", ["--runs-dir", str(run.parent.parent), "--format", style])


def _resume(run: Path, other: Path) -> None:
    """What the same training command reads of a run that is there."""
    found = runs.load(run)
    with runs.open_run(run.parent.parent, found.record) as again:
        again.note_machine()
        print(again.closing_words())
        runs.contents.image_digests(again.path / "images.csv")


def _predict(run: Path, other: Path) -> None:
    found = runs.load_classifier(run, "breakhis")
    pixels = classification.read(found, [other.parent / "image.png"])
    gradcam.stages(found)
    table = pd.DataFrame({"image": ["a.png"], "predicted": "x", "probability": 1.0})
    print(len(pixels), classification._text(table), found.record["classes"])


def _runs(run: Path, other: Path) -> None:
    """The commands on runs; of a damaged one `list` says so, and `show` and `diff` refuse it."""
    runs_command(["list", "--runs-dir", str(run.parent.parent)])
    runs_command(["show", str(run)])
    runs_command(["diff", str(run), str(other)])


def _reproduce(run: Path, other: Path) -> None:
    """What `reproduce` reads of runs: for its states, for the results, of a stranger."""
    where = ["--runs-dir", str(run.parent.parent)]
    reproduce_command(["status", "--paper", "breakhis", *where])
    results = str(run.parent.parent / "results")
    reproduce_command(["collect", "--paper", "breakhis", "--results", results, *where])
    reproduce_command(["check", str(run)])


COMMANDS: dict[str, Callable[[Path, Path], Any]] = {
    "tables": _tables,
    "report": lambda run, other: print(report.write(run)),
    "evaluate": lambda run, other: evaluation.main("breakhis", ["--run", str(run)]),
    "compare": lambda run, other: metrics_command(["compare", str(run), str(other)]),
    "splits": lambda run, other: splits_command(["report", "--split-file", str(run / "split.csv")]),
    "split file": lambda run, other: parts.from_file(_index(other), run / "split.csv"),
    "samples": lambda run, other: samples.from_csv(run / "samples.csv"),
    "resume": _resume,
    "predict": _predict,
    "runs": _runs,
    "reproduce": _reproduce,
}
READ_BY = {
    "config.json": (
        "tables", "report", "evaluate", "compare", "resume", "predict", "runs", "reproduce",
    ),
    "metrics.json": ("tables", "report", "runs", "reproduce"),
    "environment.json": ("report", "resume", "runs", "reproduce"),
    "leakage.json": ("report",),
    "predictions.csv": ("report", "evaluate", "compare", "reproduce"),
    "split.csv": ("report", "evaluate", "splits", "split file", "reproduce"),
    "samples.csv": ("samples",),
    "images.csv": ("resume",),
    "history.csv": ("report",),
}  # fmt: skip


def _index(run: Path) -> pd.DataFrame:
    split = pd.read_csv(run / "split.csv", dtype=str, keep_default_na=False)
    return split.drop(columns="part")


# --- mutations -----------------------------------------------------------------------------------

VALUES = (
    None, True, False, 0, -1, 1, 3, 10**18, 2**63, -0.5, 2.5, 1e-320, 1e308, "", "x", "0", "nan",
    "x" * 70_000, "<b>&", "\x1b[2J", "caf\udce9", "\ud800", "2026-99-99T00:00", "../../x", [], {},
    [1, 2], [None], [[]], {"a": 1}, {"": None}, [{"a": []}], [1e308, 1e308], ["x", 1],
)  # fmt: skip
CELLS = (
    "", "nan", "inf", "-1", "1e400", "1e-400", "0", "1", "1.5", "99999999999999999999", "x", "test",
    "train", "benign", " ", '"', "a\nb", "\r", "=1+1", "../../x", "caf\udce9", "\x1b[2J",
    "y" * 70_000, "100X", "\u0661",
)  # fmt: skip


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths to everything below a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*path, key))


def mutate_json(text: str, draw: random.Random) -> str:
    value = json.loads(text)
    kind = draw.choice(
        ["value", "value", "value", "key", "gone", "twice", "number", "wrap", "swap"]
    )
    # Half of all changes are made at the top: there a few keys decide what is read.
    all_places = list(places(value))
    top = [each for each in all_places if len(each) == 1]
    place = draw.choice(top if draw.random() < 0.5 else all_places)
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    last = place[-1]
    if kind == "value":
        holder[last] = copy.deepcopy(draw.choice(VALUES))
    elif kind == "key" and isinstance(holder, dict):
        holder[draw.choice(["x", "", "__class__", "facts", "schema", "p_x"])] = holder.pop(last)
    elif kind == "gone":
        del holder[last]
    elif kind == "wrap":
        holder[last] = draw.choice([[holder[last]], {"x": holder[last]}, str(holder[last])])
    elif kind == "swap":
        other = draw.choice(top)[0]
        holder[last] = copy.deepcopy(value[other])
    elif kind == "number":
        holder[last] = "@@@"
        token = draw.choice(["NaN", "-Infinity", "1e999", "9" * 5000, "[" * 2000, "01", "-"])
        return json.dumps(value).replace('"@@@"', token)
    text = json.dumps(value)
    if kind == "twice":
        name = json.dumps(top[draw.randrange(len(top))][0])
        text = text[:-1] + f", {name}: {json.dumps(draw.choice(VALUES))}}}"
    return text


def mutate_csv(text: str, draw: random.Random) -> str:
    rows = list(csv.reader(io.StringIO(text, newline="")))
    head, body = rows[0], rows[1:]
    kinds = ["cell", "cell", "cell", "shuffle", "again", "gone", "columns", "column gone"]
    kinds += [
        "column again",
        "renamed",
        "longer",
        "shorter",
        "header alone",
        "same",
        "many columns",
    ]
    kind = draw.choice(kinds)
    column, row = draw.randrange(len(head)), draw.choice(body)
    if kind == "cell":
        row[column] = draw.choice(CELLS)
    elif kind == "shuffle":
        draw.shuffle(body)
    elif kind == "again":
        body += [list(row)] * draw.choice([1, 50])
    elif kind == "gone":
        del body[: draw.randrange(1, len(body) + 1)]
    elif kind == "columns":
        order = draw.sample(range(len(head)), len(head))
        head, body = [head[i] for i in order], [[each[i] for i in order] for each in body]
    elif kind == "column gone":
        for each in (head, *body):
            del each[column]
    elif kind == "column again":
        head, body = [*head, head[column]], [[*each, each[column]] for each in body]
    elif kind == "renamed":
        names = ["", "x", "image", "p_", "p_x", "part", "label", head[column].upper()]
        head[column] = draw.choice(names)
    elif kind == "longer":
        row.append(draw.choice(CELLS))
    elif kind == "shorter":
        row.pop()
    elif kind == "header alone":
        body = []
    elif kind == "same":
        cell = draw.choice(CELLS)
        for each in body:
            each[column] = cell
    elif kind == "many columns":
        head = head + [f"p_{i}" for i in range(400)]
        body = [[*each, *["0"] * 400] for each in body]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([head, *body])
    return out.getvalue()


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    kind = draw.choice(["flip", "flip", "cut", "zeros", "again", "utf-16", "bom", "empty", "noise"])
    changed = bytearray(data)
    at = draw.randrange(len(data))
    if kind == "flip":
        for _ in range(draw.choice([1, 1, 3, 30])):
            changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del changed[at:]
    elif kind == "zeros":
        changed[at : at + 64] = bytes(64)
    elif kind == "again":
        changed[at:at] = data[at : at + 300]
    elif kind == "utf-16":
        return data.decode().encode("utf-16")
    elif kind == "bom":
        return b"\xef\xbb\xbf" + data
    elif kind == "empty":
        return b""
    else:
        changed[at:at] = draw.randbytes(40)
    return bytes(changed)


def mutated(name: str, data: bytes, seed: int, number: int) -> bytes:
    draw = random.Random(f"{seed} {name} {number}")
    if draw.random() < 0.25:
        return mutate_bytes(data, draw)
    mutate = mutate_json if name.endswith(".json") else mutate_csv
    return mutate(data.decode(), draw).encode("utf-8", "surrogatepass")


# --- cases ---------------------------------------------------------------------------------------


class TooLong(BaseException):
    """A command ran longer than `SECONDS`."""


def _stop(*_: object) -> None:
    raise TooLong


def outcome(command: Callable[[], Any]) -> str:
    """Run a command as `errors.main` does: "read", "refused", or what fell."""
    said = io.StringIO()
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS)
    show = warnings.showwarning
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            errors.main(lambda: None if command() is None else 0)
    except SystemExit as end:
        if end.code != 2:
            return "read"
        messages = ("\n" + said.getvalue()).split("\nerror: ")[1:]
        long = len(messages[0]) > 3000 if messages else True
        return "refused" if len(messages) == 1 and not long else f"fell: said {said.getvalue()!r}"
    except TooLong:
        return "fell: took too long"
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = next(
            (f for f in reversed(traceback.extract_tb(error.__traceback__))
             if "site-packages" not in f.filename and "/lib/python" not in f.filename), frame,
        )  # fmt: skip
        where = f"{Path(place.filename).name}:{place.lineno}"
        return f"fell: {type(error).__name__} at {where}: {error}"[:200]
    finally:
        signal.alarm(0)
        warnings.showwarning = show
    return "fell: no exit"


@contextlib.contextmanager
def not_drawn() -> Iterator[None]:
    """Make figures, but paint none: that takes most of a report's time, and reads no file."""
    paint = png._png
    blank = cv2.imencode(".png", np.full((8, 8, 3), 255, np.uint8))[1].tobytes()

    def close(figure: Any, *_: Any) -> bytes:
        plt.close(figure)
        return blank

    png._png = close
    try:
        yield
    finally:
        png._png = paint


def run_cases(
    files: tuple[str, ...], count: int, seed: int, first: int = 0
) -> tuple[collections.Counter, dict[str, list[str]], dict[tuple[str, str], float]]:
    """Give counts by file, command and outcome; what fell; the slowest of each."""
    counts: collections.Counter = collections.Counter()
    fell: dict[str, list[str]] = collections.defaultdict(list)
    slowest: dict[tuple[str, str], float] = collections.defaultdict(float)
    with tempfile.TemporaryDirectory() as folder, not_drawn():
        whole = make(Path(folder) / "whole")
        other = make(Path(folder) / "other")
        image = np.full((64, 64, 3), 200, np.uint8)
        cv2.imwrite(str(other.parent / "image.png"), image)
        root = Path(folder) / "runs" / "breakhis" / whole.name
        for name in files:
            data = (whole / name).read_bytes()
            for number in range(first, first + count):
                changed = mutated(name, data, seed, number)
                for command in READ_BY[name]:
                    shutil.rmtree(root, ignore_errors=True)
                    shutil.copytree(whole, root)
                    (root / name).write_bytes(changed)
                    began = time.perf_counter()
                    found = outcome(lambda command=command: COMMANDS[command](root, other))
                    took = time.perf_counter() - began
                    slowest[name, command] = max(slowest[name, command], took)
                    kind, _, what = found.partition(": ")
                    counts[name, command, kind] += 1
                    if kind == "fell":
                        fell[f"{command}: {what}"].append(f"{name} {number}")
    return counts, fell, slowest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=500, help="mutations of each file")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--file", choices=FILES, nargs="+", default=FILES)
    options = parser.parse_args()
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts, fell, slowest = run_cases(
        tuple(options.file), options.count, options.seed, options.first
    )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) / 1024
    print("file              command        cases   read  refused  fell  slowest")
    for name in options.file:
        for command in READ_BY[name]:
            found = [counts[name, command, kind] for kind in ("read", "refused", "fell")]
            print(
                f"{name:<17} {command:<13} {sum(found):>6} {found[0]:>6} {found[1]:>8} "
                f"{found[2]:>5}  {slowest[name, command]:.1f} s"
            )
    for what, where in sorted(fell.items(), key=lambda item: -len(item[1])):
        print(f"{len(where)} x {what}  [{', '.join(where[:3])}]")
    down = sum(map(len, fell.values()))
    print(f"memory grew by {grown:.0f} MB")
    bad = down or grown > MEGABYTES
    total = sum(counts.values())
    print(f"{'FAIL' if bad else 'PASS'}: {total} readings, {down} fell, seed {options.seed}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
