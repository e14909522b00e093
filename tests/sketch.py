"""A paper named sketch that trains in no time, for tests of `common.reproduce`: four rows, of which
one fails and one needs what is made of another's run. Its trainings count the epochs they train."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import reproduce
from common.papers import PAPERS
from common.reproduce.states import Place

ROOT = Path(__file__).parent.parent

CONFIG = """
from dataclasses import dataclass

from common.config import hp


@dataclass(frozen=True)
class Config:
    classes: int = hp(2, "classes", "1")
    network: str = hp("small", "network", "1")
    split: str = hp("image", "split", "1")
    weights: str = hp("none", "weights", "1")
    epochs: int = hp(3, "epochs", "1")
    seed: int = hp(0, "seed", "1")
    fold: int = hp(0, "fold", "1")


PRESETS = {
    "T1-a": Config(),
    "T1-a-honest": Config(split="patient"),
    "T1-b": Config(network="large"),
    "T1-broken": Config(network="broken"),
    "T1-with": Config(network="with images"),
}
HONEST = {"T1-a": "T1-a-honest", "T1-b": "none: nobody is known"}
"""

TRAIN = '''
"""Counts epochs: one line in epochs.txt for each, so that one trained twice is seen."""
import json, sys, time
from pathlib import Path

from common import config, errors, runs
from common.files import write_text
from common.runs import Record
from sketch.config import PRESETS, Config
from dataclasses import dataclass
from common.config import Execution, hp


@dataclass(frozen=True)
class More(Execution):
    images: Path | None = hp(None, "folder of images", "")


def main():
    request = config.parse(Config, PRESETS, package="sketch", description="", execution_class=More)
    pace = float((Path(request.execution.runs_dir) / "pace.txt").read_text())
    record = Record(
        package="sketch", preset=request.preset, config=config.to_dict(request.config),
        sources=config.sources(request.config), synthetic=False, n_images=9, expected_images=9,
    )
    with runs.open_run(request.execution.runs_dir, record) as run:
        if request.config.network == "broken":
            raise errors.InputError("this network is broken")
        if request.config.network == "with images":
            assert (request.execution.images / "made.json").is_file()
        done = run.path / "done.txt"
        for epoch in range(request.config.epochs):
            if done.is_file() and int(done.read_text()) > epoch:
                continue
            time.sleep(pace)
            with (run.path / "epochs.txt").open("a") as file:
                file.write(f"{epoch}\\n")
            write_text(done, str(epoch + 1))
        write_text(run.path / "weights.txt", f"{request.config} trained")
        run.record_environment()
        run.finish()


if __name__ == "__main__":
    errors.main(main)
'''

DRAW = """
import json, sys
from pathlib import Path

from common.files import write_json

run, out = map(Path, sys.argv[1:])
assert (run / "weights.txt").is_file()
write_json(out / "made.json", {"finished": "now"})
"""


EXPERIMENTS = """
from common import experiments
from common.experiments import Experiment, Needed, Step
from sketch.config import HONEST, PRESETS

MADE = Step("generation", (("-m", "sketch.draw", "{run}", "{out}"),), "{out}/made.json")

EXPERIMENTS = experiments.experiments(
    PRESETS, HONEST, ("T1-a", "T1-b"), rounds=({"fold": 0}, {"fold": 1})
)
EXPERIMENTS["T1-broken"] = Experiment("T1-broken", after=(MADE,))
EXPERIMENTS["T1-with"] = Experiment("T1-with", needed=Needed("T1-b", MADE, "--images"))


def work(config):
    return 1e9


def dataset(config):
    return ""
"""

RUN = """
import sys

from common import papers

papers.PAPERS += ("sketch",)

from common.reproduce.__main__ import main

sys.exit(main(["run", "--paper", "sketch", *sys.argv[1:]]))
"""


def placed(tmp_path: Path, monkeypatch: Any) -> Iterator[Place]:
    """Write the paper into a folder and make it one of the papers; the place of its runs."""
    folder = tmp_path / "site" / "sketch"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "config.py").write_text(CONFIG)
    (folder / "train.py").write_text(TRAIN)
    (folder / "draw.py").write_text(DRAW)
    (folder / "experiments.py").write_text(EXPERIMENTS)
    (folder.parent / "run.py").write_text(RUN)
    head = "table,row,metric,printed,unit,decimals,n_test,preset,metrics_key,select,note\n"
    rows = "".join(
        f"T1,{name},accuracy,90.00,percent,2,100,T1-{name},accuracy,,\n"
        for name in ("a", "b", "broken", "with")
    )
    (folder / "published.csv").write_text(head + rows)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("PYTHONPATH", f"{folder.parent}:{ROOT}")
    importlib.invalidate_caches()
    monkeypatch.setattr("common.papers.PAPERS", (*PAPERS, "sketch"))
    monkeypatch.setattr("common.reproduce.work.PAPERS", (*PAPERS, "sketch"))
    runs_dir = tmp_path / "runs"
    runs_dir.mkdir()
    (runs_dir / "pace.txt").write_text("0.02")
    yield Place(runs_dir)
    for name in ("sketch.experiments", "sketch.config", "sketch"):
        sys.modules.pop(name, None)
    reproduce.of_paper.cache_clear()


def start(place: Place, *more: str) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    script = place.runs_dir.parent / "site" / "run.py"
    return subprocess.Popen(
        [sys.executable, str(script), "--runs-dir", str(place.runs_dir), "--row", "T1-a", *more],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


PATIENCE = 3
"""How much longer than usual something may take on a machine that does other things, too."""


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something that usually takes less than that."""
    end = time.monotonic() + PATIENCE * seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def epochs(place: Place) -> dict[str, str]:
    """Run -> the epochs that it trained, one a line."""
    return {file.parent.name: file.read_text() for file in place.runs_dir.rglob("epochs.txt")}


def processes(place: Place) -> list[int]:
    """Numbers of the living processes whose command names the runs folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(place.runs_dir).encode() in (each / "cmdline").read_bytes():
                found.append(int(each.name))
    return [number for number in found if number != os.getpid()]
