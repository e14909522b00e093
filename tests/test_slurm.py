"""Jobs of a Slurm cluster: a real one of two nodes, whose limits are met and nodes taken down."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.kill_anywhere import TELLS_WHEN, require_same
from common import leases, reproduce, writers
from common.reproduce.commands import Options
from common.reproduce.executor import Local
from common.reproduce.runner import Runner
from common.reproduce.show import Board
from common.reproduce.slurm import Settings, Slurm, flags, settings
from common.reproduce.states import Place, states
from tests.sketch import epochs, start, until

SCRIPT = Path(__file__).parent / "clusters" / "slurm_two_nodes.sh"
TIME = ("--executor", "slurm", "--slurm-time", "60")


@pytest.fixture(scope="module")
def cluster():
    """Folder of a Slurm of two nodes, which is the one that commands find."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [
        name for name in ("slurmctld", "slurmd", "munged") if not shutil.which(name, path=path)
    ]
    if missing:
        pytest.skip(f"no {missing[0]}: apt-get install slurm-wlm munge")
    if os.getuid():
        pytest.skip("two nodes of Slurm on one machine must be started as root")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket lies in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        begun = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True)
        try:
            if begun.returncode:
                pytest.skip(f"Slurm does not start here: {begun.stdout[-1000:]} {begun.stderr}")
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield folder
        finally:
            subprocess.run([SCRIPT, "stop", folder], check=True)
            shutil.rmtree(folder)


def scontrol(*arguments):
    subprocess.run(["scontrol", *arguments], check=True)


@pytest.fixture
def idle(cluster):
    """Wait until jobs of the test before have left the queue."""
    until(lambda: not queue(), 30)


@pytest.fixture
def quick(idle, monkeypatch):
    """Ask Slurm more often than is polite."""
    monkeypatch.setattr("common.reproduce.slurm.executor.ASK", 1.0)
    monkeypatch.setattr("common.reproduce.slurm.executor.SETTLES", 3.0)


def run(place, found, executor):
    return Runner(found, place, Options(), executor, Board(place)).run()


def slurm(place, **asked):
    return Slurm(Settings(**{"time": "60", **asked}), place.folder / "slurm")


def give_up(cluster, node):
    """Kill a node's daemon and declare the node dead, whose processes live; the node."""
    os.kill(int((cluster / f"{node}.pid").read_text()), signal.SIGKILL)
    scontrol("update", f"NodeName={node}", "State=DOWN", "Reason=test")
    return node


def restore(cluster, *killed):
    """Give nodes back that were taken down."""
    for node in killed:
        subprocess.run([SCRIPT, "node", cluster, node], check=True)
    for _ in range(2):
        for node in ("n1", "n2"):
            subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"],
                           capture_output=True)  # fmt: skip
    count = ["sinfo", "--noheader", "--states=idle", "--format=%D"]
    until(lambda: subprocess.check_output(count, text=True).split() == ["2"], 30)


def queue():
    """Jobs in the queue: number -> state, and node where it runs."""
    said = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i %T %N"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {number: rest for number, *rest in map(str.split, said.stdout.splitlines())}


def during(run, act, seconds=150):
    """Do something beside a run, which ends by Ctrl-C when it takes too long; the run's answer."""
    limit = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    limit.start()
    try:
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(act)
            code = run()
            beside.result()
    finally:
        limit.cancel()
    return code


def at_most_one_again(text):
    """Whether all three epochs were trained, and only that one again in which it was lost."""
    return set(text.split()) == {"0", "1", "2"} and len(text.split()) <= 4


def owners(place):
    """Item -> process that holds its claim."""
    return {file.stem: held["pid"] for file in (place.folder / "claims").glob("*.json")
            if (held := leases.read(file)) is not None}  # fmt: skip


@pytest.mark.slow
@pytest.mark.cluster
def test_all_rows_as_arrays_and_one_that_fails_stops_only_what_needs_it(sketch, cluster, quick):
    found = reproduce.items(["sketch"])
    assert during(lambda: run(sketch, found, slurm(sketch)), lambda: None) == 1
    seen = states(found, sketch)
    names = Counter(state.name for state in seen.values())
    assert names == {"done": 8, "failed": 1, "waiting": 1}
    assert seen["sketch/T1-broken/seed=0"].words == "error: this network is broken"
    assert set(epochs(sketch).values()) == {"0\n1\n2\n"}
    tickets = [json.loads(f.read_text())["job"] for f in sketch.folder.glob("jobs/*.slurm.json")]
    assert len(tickets) == len(set(tickets)) == 9
    assert sum(number.endswith("_3") for number in tickets) == 1  # the first ones, as an array
    until(lambda: not queue())


@pytest.mark.slow
@pytest.mark.cluster
def test_what_is_killed_is_submitted_again(sketch, cluster, quick, capsys):
    (sketch.runs_dir / "pace.txt").write_text("2")
    found = reproduce.items(["sketch"], row="T1-a", twins="no")

    def kill():
        until(lambda: len(epochs(sketch)) == 2, 60)
        first, second = owners(sketch).values()
        os.kill(first, signal.SIGKILL)  # a worker
        status = Path(f"/proc/{second}/status").read_text()
        os.kill(int(re.search(r"PPid:\s+(\d+)", status)[1]), signal.SIGKILL)  # what began one

    file = sketch.runs_dir / "cluster.toml"
    file.write_text("time = '1-0'\npartition = 'main'\ncpus = 1\n[sbatch]\nnice = 5\n")
    parser = argparse.ArgumentParser()
    flags(parser)
    asked = settings(parser.parse_args(["--slurm-file", str(file)]))
    executor = Slurm(asked, sketch.folder / "slurm")
    assert during(lambda: run(sketch, found, executor), kill) == 0
    # On a busy machine a successor may come while what it follows has not ended, and fail as well.
    assert 2 <= capsys.readouterr().err.count("FAILED after") <= 3
    for item, text in zip(found, epochs(sketch).values(), strict=True):
        assert at_most_one_again(text)
        assert 2 <= sketch.log(item).read_text().count("python -m sketch.train") <= 3


@pytest.mark.slow
@pytest.mark.cluster
def test_a_time_limit_is_met_over_and_over(sketch, cluster, quick):
    # Slurm looks at limits every 30 s: it meets a training of 39 s at least once.
    (sketch.runs_dir / "pace.txt").write_text("13")
    found = reproduce.items(["sketch"], row="T1-b")[:1]
    asked = {"time": "1", "warning": 59}
    assert during(lambda: run(sketch, found, slurm(sketch, **asked)), lambda: None) == 0
    assert list(epochs(sketch).values()) == ["0\n1\n2\n"]  # none twice
    log = sketch.log(found[0]).read_text()
    assert log.count("interrupted; it will go on") >= 1


@pytest.mark.slow
@pytest.mark.cluster
def test_a_node_is_taken_down(sketch, cluster, quick):
    (sketch.runs_dir / "pace.txt").write_text("4")
    found = reproduce.items(["sketch"], row="T1-a", twins="no")

    def down():
        until(lambda: len(epochs(sketch)) == 2, 60)
        scontrol("update", "NodeName=n1", "State=DOWN", "Reason=test")
        until(lambda: all(node != "n1" for _, *nodes in queue().values() for node in nodes), 30)

    try:
        assert during(lambda: run(sketch, found, slurm(sketch)), down) == 0
    finally:
        restore(cluster)
    assert all(at_most_one_again(text) for text in epochs(sketch).values())
    log = "".join(sketch.log(item).read_text() for item in found)
    assert log.count("python -m sketch.train") == 3


@pytest.mark.slow
@pytest.mark.cluster
def test_what_lives_on_a_node_that_was_given_up_writes_nothing_more(sketch, cluster, quick):
    (sketch.runs_dir / "pace.txt").write_text("5")
    found = reproduce.items(["sketch"], row="T1-b")[:1]
    lost = []

    def kill():
        until(lambda: epochs(sketch), 60)
        (old,) = owners(sketch).values()
        ((_, node),) = queue().values()
        lost.append(give_up(cluster, node))
        until(lambda: list(owners(sketch).values()) not in ([], [old]), 60)
        assert writers.begun(old) is not None  # both live: it has not noticed yet
        until(lambda: writers.begun(old) is None, 20)

    try:
        assert during(lambda: run(sketch, found, slurm(sketch)), kill) == 0
    finally:
        restore(cluster, *lost)
    (text,) = epochs(sketch).values()
    assert at_most_one_again(text)


@pytest.mark.slow
@pytest.mark.cluster
def test_ctrl_c_and_a_killed_runner(sketch, cluster, idle):
    (sketch.runs_dir / "pace.txt").write_text("5")
    process = start(sketch, *TIME)
    until(lambda: len(epochs(sketch)) == 2, 60)
    process.kill()
    process.communicate()
    before = set(queue())
    assert len(before) == 4  # two run, two wait
    (sketch.folder / "summary.md").unlink()
    process = start(sketch, *TIME)
    until(lambda: (sketch.folder / "summary.md").is_file(), 60)
    time.sleep(3)
    assert set(queue()) <= before  # none twice
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    until(lambda: not queue(), 20)
    found = reproduce.items(["sketch"], row="T1-a")
    names = {state.name for state in states(found, sketch).values()}
    assert names <= {"done", "interrupted", "ready"}
    (sketch.runs_dir / "pace.txt").write_text("0")
    process = start(sketch, *TIME)
    process.communicate(timeout=150)
    assert process.returncode == 0
    assert list(epochs(sketch).values()) == ["0\n1\n2\n"] * 4


@pytest.mark.slow
@pytest.mark.cluster
def test_the_demo_ends_with_the_bytes_of_a_quiet_local_run(tmp_path, cluster, quick, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SCRIPT.parents[2]))
    found = [
        replace(item, config=replace(item.config, epochs=12))
        for item in reproduce.items(["wrn_edge"], row="T1-40X", demo=True, rounds=2, twins="no")
        if item.kind == "training"
    ]
    quiet, place = Place(tmp_path / "quiet", True), Place(tmp_path / "runs", True)
    assert run(quiet, found, Local(2)) == 0  # a core each, as on the nodes

    def freeze():
        """A training freezes, its node is given up, and it wakes when another has its place."""
        until(lambda: "epoch  3/12" in said(place, found[0]), 120)
        worker = owners(place)[found[0].slug]
        training = int(Path(f"/proc/{worker}/task/{worker}/children").read_text())
        os.kill(training, signal.SIGSTOP)
        number = json.loads(next(place.folder.glob("jobs/*seed=42.slurm.json")).read_text())["job"]
        lost.append(give_up(cluster, queue()[number][1]))
        until(lambda: owners(place).get(found[0].slug, worker) != worker, 180)
        os.kill(training, signal.SIGCONT)
        until(lambda: writers.begun(training) is None, 20)

    lost = []
    try:
        assert during(lambda: run(place, found, slurm(place)), freeze, 300) == 0
    finally:
        restore(cluster, *lost)
    assert said(place, found[0]).count("resuming after epoch") == 1
    for item in found:
        trained = Counter(re.findall(r"^epoch +(\d+)/", said(place, item), re.MULTILINE))
        assert set(trained.values()) == {1}  # none twice
        assert len(trained) >= 11  # of one that was killed, the line may be missing
    require_same(place.runs_dir / "wrn_edge", quiet.runs_dir / "wrn_edge")
    for folder in (quiet.runs_dir / "wrn_edge").iterdir():
        names = {file.name for file in folder.rglob("*")} - TELLS_WHEN
        assert {"predictions.csv", "history.csv", "model.keras", "metrics.json"} < names


def said(place, item):
    log = place.log(item)
    return log.read_text() if log.exists() else ""
