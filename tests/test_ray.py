"""Tasks of a Ray cluster: a real one, whose nodes are killed and stopped."""

from __future__ import annotations

import _thread
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.kill_anywhere import TELLS_WHEN, require_same
from common import leases, reproduce, runs, writers
from common.errors import INTERRUPTED, InputError
from common.reproduce import ray_cluster, ray_node
from common.reproduce.__main__ import main
from common.reproduce.commands import Options, commands
from common.reproduce.executor import GONE
from common.reproduce.job import Job
from common.reproduce.states import Place, states
from tests.clusters.ray_nodes import Cluster
from tests.sketch import ROOT, epochs, processes, until


def pace(place, seconds):
    """How long the epochs of a sketch take."""
    (place.runs_dir / "pace.txt").write_text(str(seconds))


# --- without Ray ---------------------------------------------------------------------------------


class Fake:
    """As much of Ray as tells nodes from each other."""

    def __init__(self, *nodes):
        self.alive = [
            {"NodeID": name, "Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}}
            for name, cpus, gpus in nodes
        ]
        self.cancelled = []

    def nodes(self):
        return self.alive

    def wait(self, tasks, *, num_returns, timeout):
        return [], tasks

    def cancel(self, ref, force=False):
        self.cancelled.append(ref)


def executor(monkeypatch, fake, **asked):
    """An executor of that Ray, whose nodes find all that they need; tasks are numbered."""
    monkeypatch.setattr(ray_cluster, "connected", lambda address: fake)
    monkeypatch.setattr(ray_cluster.RayCluster, "_look", lambda *_: None)
    cluster = ray_cluster.RayCluster(Path(), **asked)
    made = []

    def remote(function, node, **options):
        made.append((node, options))
        return SimpleNamespace(remote=lambda *_: len(made))

    monkeypatch.setattr(cluster, "_remote", remote)
    return cluster, made


def test_jobs_share_the_nodes_by_cores_and_cards(monkeypatch):
    fake = Fake(("head", 0, 0), ("small", 8, 2), ("large", 64, 4), ("plain", 16, 0))
    cluster, made = executor(monkeypatch, fake)
    assert (cluster.cpus, cluster.gpus) == (4, 1)  # of the small node, for each of its cards
    assert cluster.free() == 6
    for number in range(6):
        cluster.start(f"job {number}", Path(f"{number}.json"))
    assert Counter(node for node, _ in made) == {"small": 2, "large": 4}
    assert made[0][1] == {"name": "job 0", "num_cpus": 4, "num_gpus": 1}
    assert cluster.free() == 0
    cluster, _ = executor(monkeypatch, fake, cpus=16, gpus=0)
    assert cluster.free() == 5  # large and plain
    cluster, _ = executor(monkeypatch, fake, jobs=3)
    assert cluster.free() == 3
    cluster, _ = executor(monkeypatch, Fake(("a", 3, 0), ("b", 2, 0)))
    assert (cluster.cpus, cluster.gpus, cluster.free()) == (2, 0, 2)


def test_a_task_is_gone_with_its_node_and_waits_for_one_where_there_is_none(monkeypatch):
    monkeypatch.setattr(ray_cluster, "LOOK", -1.0)
    fake = Fake(("a", 1, 0), ("b", 1, 0))
    cluster, made = executor(monkeypatch, fake)
    for key in ("first", "second"):
        cluster.start(key, Path(key))
    assert cluster.ended() == {}
    fake.alive[0]["Alive"] = False
    assert cluster.ended() == {"first": GONE}
    assert cluster.free() == 0
    fake.alive[1]["Alive"] = False
    assert cluster.ended() == {"second": GONE}
    assert cluster.free() == 1
    cluster.start("third", Path("third"))
    assert made[-1][0] == ""
    assert cluster.free() == 0
    assert cluster.ended() == {}
    cluster.stop()  # also what may live on a node that is dead for Ray
    assert sorted(fake.cancelled) == [1, 2, 3]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ray-address", "nowhere"], "--ray-address nowhere: give HOST:PORT"),
        (["--ray-address", "127.0.0.1:1"], "--ray-address 127.0.0.1:1: no Ray cluster answers"),
        (["--ray-address", "[::1]:99999"], "no Ray cluster answers"),
        (["--ray-cpus", "0"], "--ray-cpus 0: must be 1 or more"),
        (["--ray-gpus", "-1"], "--ray-gpus -1: must be 0 or more"),
        (["--jobs", "0"], "--jobs 0: must be 1 or more"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, monkeypatch, flags, message):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ray._private.worker", SimpleNamespace())
    command = ["run", "--demo", "--runs-dir", str(tmp_path), "--executor", "ray", *flags]
    with pytest.raises(InputError, match=re.escape(message)):
        main(command)
    assert list(tmp_path.iterdir()) == []


def test_flags_of_another_executor_are_not_passed_over(tmp_path):
    for flags in (["--ray-cpus", "4"], ["--executor", "slurm", "--ray-gpus", "0"]):
        with pytest.raises(InputError, match=f"{flags[-2]} goes with --executor ray"):
            main(["run", "--demo", "--runs-dir", str(tmp_path), *flags])
    with pytest.raises(InputError, match="--slurm-time goes with --executor slurm"):
        main(["run", "--demo", "--runs-dir", str(tmp_path), "--slurm-time", "60"])


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        InputError, match=r'ray is not installed here \(pip install "histopapers\[ray'
    ):
        main(["run", "--demo", "--runs-dir", str(tmp_path), "--executor", "ray"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("no instance"), "this machine belongs to no Ray cluster; name its head"),
        (RuntimeError("Version mismatch:\n    Ray: 2.40"), "auto: Version mismatch: Ray: 2.40$"),
    ],
)
def test_what_ray_says_when_it_cannot_connect(monkeypatch, error, message):
    def init(**_):
        raise error

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    monkeypatch.setitem(sys.modules, "ray._private.worker", SimpleNamespace())
    with pytest.raises(InputError, match=message):
        ray_cluster.connected(None)


def setting(**values):
    return ray_node.Setting(**{"cpus": 1, "gpus": 0, "folder": str(ROOT), **values})


def test_a_node_says_what_it_lacks(tmp_path):
    token = tmp_path / "token"
    there = ray_node.look(str(token), [], setting())
    assert there["lacks"] == f"does not see {tmp_path}"
    token.touch()
    there = ray_node.look(str(token), [str(tmp_path / "data")], setting())
    assert there["lacks"] == f"does not see {tmp_path / 'data'}"
    assert "offers 9999 CPUs" in ray_node.look(str(token), [], setting(cpus=9999))["lacks"]
    broken = setting(folder=str(tmp_path), variables={"PYTHONPATH": str(tmp_path / "broken")})
    package = tmp_path / "broken" / "common"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not here')")
    assert "(ImportError: not here)" in ray_node.look(str(token), [], broken)["lacks"]
    there = ray_node.look(str(token), [str(tmp_path)], setting())
    assert there == {"host": os.uname().nodename, "lacks": "", "commit": str(runs.commit())}
    ray_cluster.judge([there], there["commit"])
    with pytest.raises(InputError, match="has commit"):
        ray_cluster.judge([there], "another")
    with pytest.raises(InputError, match="node n1 does not see x; runs, data and this"):
        ray_cluster.judge([{"host": "n1", "lacks": "does not see x", "commit": "None"}], "None")


def test_a_job_on_a_node_ends_with_its_worker_and_is_interrupted_with_its_task(sketch):
    pace(sketch, 30)
    (item,) = reproduce.items(["sketch"], row="T1-a", twins="no")[:1]
    job = Job(
        item.key,
        commands(item, {item.key: item}, {}, sketch, Options()),
        sketch.claim(item), sketch.log(item), sketch.failure(item),
    )  # fmt: skip
    file = sketch.folder / "job.json"
    with pytest.raises(FileNotFoundError, match="does not see"):
        ray_node.work(str(file), setting())
    job.write(file)

    def interrupt():
        until(lambda: any(b"sketch.train" in command(pid) for pid in processes(sketch)))
        until(lambda: list(sketch.runs_dir.glob("sketch/*/config.json")))
        _thread.interrupt_main()  # as Ray does: without a signal

    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(interrupt)
        # Deaf to Ctrl-C, as the nodes of a cluster that a script has started.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            assert ray_node.work(str(file), setting()) == INTERRUPTED
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        beside.result()
    assert "interrupted; it will go on" in job.log.read_text()
    assert not processes(sketch)
    pace(sketch, 0)
    assert ray_node.work(str(file), setting()) == 0
    assert states([item], sketch)[item.key].done


def command(pid):
    """Command line of a process."""
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes()
    return b""


def test_tasks_of_one_machine_have_cores_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # other tests hold cores, too
    able = sorted(os.sched_getaffinity(0))
    with ray_node.cores(1) as first:
        assert first == [able[0]]
        with ray_node.cores(1) as second:
            assert len(able) == 1 or second == [able[1]]
    with ray_node.cores(len(able)) as whole:
        assert whole == able
        with ray_node.cores(1) as shared:  # more tasks than cores
            assert len(shared) == 1


# --- a cluster -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """A cluster whose head has one core."""
    pytest.importorskip("ray", reason="Ray is not installed")
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def add(cluster):
    """Add nodes of one core each, which are gone after the test."""
    added = []

    def add():
        added.append(cluster.add())
        return added[-1]

    until(lambda: cluster.living() == 1, 30)
    yield add
    for node in added:
        node.kill()


@contextlib.contextmanager
def running(place, cluster, *more, script=None):
    """The command on that cluster, in a process of its own, which ends with the test."""
    script = script or place.runs_dir.parent / "site" / "run.py"
    process = subprocess.Popen(
        [sys.executable, str(script), "--runs-dir", str(place.runs_dir), "--executor", "ray",
         "--ray-address", cluster.address, *more],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:  # waits for it, and closes what it said
        try:
            yield process
        except AssertionError:
            process.kill()
            print(*process.communicate())
            raise
        finally:
            process.kill()


def end(process, code=0, seconds=120):
    """Wait for the end; what was said."""
    out, said = process.communicate(timeout=seconds)
    print(out, said)
    assert process.returncode == code
    assert "Traceback" not in said
    assert "raylet" not in said + out
    return said


def on(place, node):
    """The claim of the job that a node does, and the job's process there; None while none is."""
    for claim in (place.folder / "claims").glob("*.json"):
        held = leases.read(claim)
        if held is not None and held["pid"] in node.pids():
            return claim, held["pid"]
    return None


def repeated(place):
    """Epochs that were trained more often than once: how often."""
    found = [Counter(text.split()) for text in epochs(place).values()]
    assert all(set(each) == {"0", "1", "2"} for each in found)
    return [count for each in found for count in each.values() if count > 1]


def begun(claim):
    """How often a job's training was begun."""
    log = claim.parent.parent / "logs" / f"{claim.stem}.txt"
    return log.read_text().count("python -m sketch.train")


@pytest.mark.slow
@pytest.mark.cluster
def test_ctrl_c_and_kill_end_all_tasks_and_the_same_command_goes_on(sketch, cluster, add):
    add()
    row = ("--row", "T1-a", "--twins", "no")
    pace(sketch, 2)
    with running(sketch, cluster, *row) as process:
        until(lambda: len(epochs(sketch)) == 2, 60)
        process.send_signal(signal.SIGINT)
        said = end(process, 130)
    assert "interrupted: 2 at work write what they have" in said
    assert "the same command goes on" in said
    assert not processes(sketch)
    logs = [file.read_text() for file in sketch.folder.glob("logs/*.txt")]
    assert ["interrupted; it will go on" in log for log in logs] == [True, True]
    assert not list((sketch.folder / "claims").iterdir())
    kept = epochs(sketch)
    with running(sketch, cluster, *row) as process:
        until(lambda: all(text != kept[run] for run, text in epochs(sketch).items()), 60)
        process.kill()
    until(lambda: not processes(sketch), 30)
    pace(sketch, 0)
    with running(sketch, cluster, *row) as process:
        end(process)
    assert all(count == 2 for count in repeated(sketch))  # the epoch in which it was


@pytest.mark.slow
@pytest.mark.cluster
def test_nodes_are_killed_and_stopped_and_one_experiment_fails(sketch, cluster, add):
    pace(sketch, 5)
    killed, stopped, waking = nodes = add(), add(), add()
    with running(sketch, cluster) as process:
        until(lambda: len(epochs(sketch)) >= 4 and all(on(sketch, node) for node in nodes), 60)
        (_, old), *living = jobs = [on(sketch, node) for node in nodes]
        os.kill(killed.raylet, signal.SIGKILL)
        os.kill(stopped.raylet, signal.SIGSTOP)
        os.kill(waking.raylet, signal.SIGSTOP)
        pace(sketch, 0.5)
        until(lambda: cluster.living() == 1, 30)
        assert writers.begun(old) is None
        for claim, pid in living:  # their nodes are dead, says Ray: they work, and nobody else does
            assert (leases.read(claim) or {"pid": pid})["pid"] == pid
        os.kill(waking.raylet, signal.SIGCONT)  # it sees that it is dead, and ends its job
        said = end(process, 1)
    claims = [claim for claim, _ in jobs]
    found = reproduce.items(["sketch"])
    count = Counter(state.name for state in states(found, sketch).values())
    assert count == {"done": 8, "failed": 1, "waiting": 1}
    assert "Ray: nodes 4, jobs at once 4, each with CPUs 1, graphics cards 0" in said
    assert "error: this network is broken" in said
    assert said.count("lost its place") >= 3
    # Of each that was killed at most the epoch in which it was; nothing of the one that worked on.
    assert repeated(sketch) in ([], [2], [2, 2])
    assert [begun(claim) for claim in claims] == [2, 1, 2]
    assert not list(sketch.folder.glob(".ray-*"))
    assert not list((sketch.folder / "claims").iterdir())


GRID = """
import sys
from dataclasses import replace

from wrn_edge import experiments

presets = experiments.DEMO_PRESETS
experiments.DEMO_PRESETS = {name: replace(each, epochs=12) for name, each in presets.items()}

from common.reproduce.__main__ import main

row = ["--paper", "wrn_edge", "--row", "T1-40X", "--rounds", "2", "--only", "training"]
sys.exit(main(["run", "--demo", *row, *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.cluster
def test_networks_end_with_the_bytes_of_a_quiet_local_run(tmp_path, cluster, add, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    script = tmp_path / "grid.py"
    script.write_text(GRID)
    quiet, place = Place(tmp_path / "quiet", True), Place(tmp_path / "runs", True)
    command = [sys.executable, script, "--jobs", "2", "--runs-dir", quiet.runs_dir]  # a core each
    subprocess.run(command, check=True, capture_output=True)
    node = add()
    with running(place, cluster, script=script) as process:
        until(lambda: on(place, node), 60)
        claim, _ = on(place, node)
        log = place.folder / "logs" / f"{claim.stem}.txt"
        until(lambda: log.exists() and "epoch  3/12" in log.read_text(), 120)
        os.kill(node.raylet, signal.SIGKILL)
        assert "lost its place" in end(process, seconds=240)
    logs = [file.read_text() for file in place.folder.glob("logs/*.txt")]
    assert ["resuming after epoch" in each for each in logs].count(True) == 1
    for each in logs:
        trained = Counter(re.findall(r"^epoch +(\d+)/", each, re.MULTILINE))
        assert set(trained.values()) == {1}  # none twice, none left out
        assert len(trained) == 12
    require_same(place.runs_dir / "wrn_edge", quiet.runs_dir / "wrn_edge")
    for folder in (quiet.runs_dir / "wrn_edge").iterdir():
        names = {file.name for file in folder.rglob("*")} - TELLS_WHEN
        assert {"predictions.csv", "history.csv", "model.keras", "metrics.json"} < names
