"""Jobs as tasks of a Ray cluster that is up already; the extra ``ray`` brings what it takes.

Its nodes must see the folder of the runs, the data and this project under the same paths.

Ray takes a node for dead whose processes may live and write on, and of a node that hangs it never
says what has become of a task that was sent there, nor of later ones that wait for the same kind of
place. So each task is sent to one node and is `GONE` when that is dead for Ray; Ray begins none
again by itself. The runner does, when nobody shows a sign of life in the job's claim any more
(`common.leases`): a process that goes on, its node being dead or not, ends its job undisturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import runs, terminal
from common.errors import INTERRUPTED, InputError
from common.reproduce import ray_node
from common.reproduce.executor import GONE
from common.reproduce.job import Job

ANSWER = 60.0
"""Seconds within which each node must answer at the start."""

LOOK = 1.0
"""Seconds between two looks at which nodes live."""

_PASSED_ON = ("HISTOPAPERS_", "KERAS_", "TF_", "XLA_", "JAX_")
_PASSED_ON_TOO = ("PYTHONPATH", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS")
"""Environment variables that jobs have from the runner: those that decide results or find them."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a Ray cluster.

    Parameters
    ----------
    parser : ArgumentParser
    """
    group = parser.add_argument_group("Ray", "of each job, with --executor ray")
    group.add_argument("--ray-address", metavar="HOST:PORT", help="the cluster's head (default: "
                        "$RAY_ADDRESS, or the cluster of this machine)")  # fmt: skip
    group.add_argument("--ray-cpus", type=int, metavar="N", help="cores of each job (default: "
                        "those of the smallest node, divided by its graphics cards)")  # fmt: skip
    group.add_argument("--ray-gpus", type=int, metavar="N", help="graphics cards of each job "
                        "(default: 1 where the cluster has any)")  # fmt: skip


def make(chosen: argparse.Namespace, folder: Path) -> RayCluster:
    """Make the executor that a command line describes.

    Parameters
    ----------
    chosen : Namespace
    folder : Path
        Of what `run` writes down.

    Returns
    -------
    RayCluster

    Raises
    ------
    InputError
        See `RayCluster`.
    """
    data = None if chosen.demo else chosen.data_dir or os.environ.get("HISTOPAPERS_DATA")
    return RayCluster(
        folder,
        chosen.ray_address,
        cpus=chosen.ray_cpus,
        gpus=chosen.ray_gpus,
        jobs=chosen.jobs,
        needs=[Path(each) for each in (data, chosen.patients) if each],
    )


@dataclass(frozen=True)
class Task:
    """A job that Ray has.

    Attributes
    ----------
    key : str
        The item's.
    job : Path
        Its file.
    node : str
        Where it is done; empty: on any.
    """

    key: str
    job: Path
    node: str


class RayCluster:
    """Tasks of a Ray cluster, as many as its nodes have room for.

    Parameters
    ----------
    folder : Path
        Of what `run` writes down; all nodes must see it.
    address : str, optional
        ``HOST:PORT`` of the head, or ``ray://HOST:PORT``; unset: RAY_ADDRESS, or the cluster to
        which this machine belongs.
    cpus, gpus : int, optional
        Of each job; unset: see `flags`.
    jobs : int, optional
        How many at once; unset: as many as there is room for now.
    needs : sequence of Path
        What all nodes must see besides.

    Raises
    ------
    InputError
        If Ray is not installed, the cluster cannot be reached, no node is large enough, or one
        does not see the folder, cannot import this project, or has another commit of it.
    """

    held = None

    def __init__(
        self,
        folder: Path,
        address: str | None = None,
        *,
        cpus: int | None = None,
        gpus: int | None = None,
        jobs: int | None = None,
        needs: Sequence[Path] = (),
    ) -> None:
        for name, number, least in (
            ("--ray-cpus", cpus, 1), ("--ray-gpus", gpus, 0), ("--jobs", jobs, 1),
        ):  # fmt: skip
            if number is not None and number < least:
                raise InputError(f"{name} {number}: must be {least} or more")
        self.ray = connected(address)
        nodes = self._nodes()
        self.jobs = jobs
        self.gpus = int(any(_has(node, "GPU") for node in nodes)) if gpus is None else gpus
        self.cpus = _share(nodes, self.gpus) if cpus is None else cpus
        self.setting = ray_node.Setting(
            self.cpus,
            self.gpus,
            str(Path.cwd()),
            {
                name: value
                for name, value in os.environ.items()
                if name.startswith(_PASSED_ON) or name in _PASSED_ON_TOO
            },
        )
        self._look(folder, needs)
        self.tasks: dict[Any, Task] = {}
        self.lost: list[Any] = []
        self.looked = 0.0

    def free(self) -> int:
        """How many more tasks there is room for; without any node, one that waits for it."""
        if self.jobs is not None:
            return self.jobs - len(self.tasks)
        rooms = self._rooms().values()
        return sum(room for room in rooms if room > 0) if rooms else 1 - len(self.tasks)

    def start(self, key: str, job: Path) -> None:
        """Hand a job to the node with most room.

        Parameters
        ----------
        key : str
            The item's.
        job : Path
            Its file.
        """
        rooms = self._rooms()
        node = max(rooms, key=lambda each: rooms[each], default="")
        task = self._remote(ray_node.work, node, name=key, num_cpus=self.cpus, num_gpus=self.gpus)
        self.tasks[task.remote(str(job.absolute()), self.setting)] = Task(key, job, node)

    def knows(self, key: str, job: Path) -> bool:
        """Tasks end with the `run` that began them.

        Parameters
        ----------
        key : str
        job : Path
        """
        return False

    def ended(self) -> dict[str, int]:
        """Jobs that have ended since the last call: key -> exit code."""
        if not self.tasks:
            return {}
        over, _ = self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0)
        found = {self.tasks[ref].key: self._code(ref) for ref in over}
        for ref in over:
            del self.tasks[ref]
        if time.monotonic() - self.looked > LOOK:
            self.looked = time.monotonic()
            living = {"", *(node["NodeID"] for node in self._nodes())}
            lost = [ref for ref, task in self.tasks.items() if task.node not in living]
            self.lost += lost
            found |= {self.tasks.pop(ref).key: GONE for ref in lost}
        return found

    def stop(self) -> None:
        """Ask all jobs to end; those that have not begun never do."""
        for ref in (*self.tasks, *self.lost):
            self.ray.cancel(ref)

    def kill(self) -> None:
        """End all jobs at once."""
        for ref in (*self.tasks, *self.lost):
            self.ray.cancel(ref, force=True)

    def _code(self, ref: Any) -> int:
        """Exit code of a task that is over; what Ray says of one that has none goes to its log."""
        errors = self.ray.exceptions
        try:
            return int(self.ray.get(ref))
        except errors.TaskCancelledError:
            return INTERRUPTED
        except errors.RayError as error:
            ours = isinstance(error, errors.RayTaskError)  # it ends with what was raised
            lines = str(error).strip().splitlines() or [type(error).__name__]
            with Job.read(self.tasks[ref].job).log.open("a", encoding="utf-8") as log:
                log.write(f"Ray: {lines[-1 if ours else 0]}\n")
            return 1 if ours or isinstance(error, errors.OutOfMemoryError) else GONE

    def _nodes(self) -> list[Mapping[str, Any]]:
        return [node for node in self.ray.nodes() if node["Alive"]]

    def _room(self, node: Mapping[str, Any]) -> int:
        """How many jobs a node can do at once."""
        by_cards = [_has(node, "GPU") // self.gpus] if self.gpus else []
        return min([_has(node, "CPU") // self.cpus, *by_cards])

    def _rooms(self) -> dict[str, int]:
        """For how many more jobs each node that can do one has room."""
        mine = Counter(task.node for task in self.tasks.values())
        rooms = {node["NodeID"]: self._room(node) for node in self._nodes()}
        return {node: room - mine[node] for node, room in rooms.items() if room}

    def _remote(self, function: Callable[..., Any], node: str, **options: Any) -> Any:
        """A function that Ray calls on a node, once; on any if none is named."""
        if node:
            on: Any = importlib.import_module("ray.util.scheduling_strategies")
            options["scheduling_strategy"] = on.NodeAffinitySchedulingStrategy(node, soft=False)
        return self.ray.remote(max_retries=0, **options)(function)

    def _look(self, folder: Path, needs: Sequence[Path]) -> None:
        """Have every node that can do a job look whether it can."""
        fit = [node for node in self._nodes() if self._room(node)]
        if not fit:
            raise InputError(
                f"--executor ray: no node has {self.cpus} CPUs and {self.gpus} graphics cards for "
                "a job; give fewer with --ray-cpus and --ray-gpus"
            )
        folder.mkdir(parents=True, exist_ok=True)
        token = folder.absolute() / f".ray-{uuid.uuid4().hex}"
        asked = str(token), [str(each.absolute()) for each in needs], self.setting
        try:
            token.touch()
            tasks = [
                self._remote(ray_node.look, node["NodeID"], num_cpus=0).remote(*asked)
                for node in fit
            ]
            answers = self.ray.get(tasks, timeout=ANSWER)
        except self.ray.exceptions.RayError as error:
            raise InputError(f"--executor ray: a node does not answer ({_line(error)})") from None
        finally:
            with contextlib.suppress(OSError):
                token.unlink()
        judge(answers, str(runs.commit()))
        terminal.line(
            f"Ray: nodes {len(fit)}, jobs at once {self.jobs or sum(map(self._room, fit))}, each "
            f"with CPUs {self.cpus}, graphics cards {self.gpus}"
        )


def judge(answers: Sequence[Mapping[str, str]], commit: str) -> None:
    """Make sure that every node can do jobs.

    Parameters
    ----------
    answers : sequence of mapping
        See `ray_node.look`.
    commit : str
        Of this process.

    Raises
    ------
    InputError
        Naming the first that cannot.
    """
    for answer in answers:
        if answer["lacks"]:
            raise InputError(
                f"--executor ray: node {answer['host']} {answer['lacks']}; runs, data and this "
                "project must be on all nodes under the same paths"
            )
        if answer["commit"] != commit:
            raise InputError(
                f"--executor ray: node {answer['host']} has commit {answer['commit']} of this "
                f"project, this process {commit}; give all the same"
            )


def connected(address: str | None) -> Any:
    """Connect to a cluster.

    Parameters
    ----------
    address : str or None
        See `RayCluster`.

    Returns
    -------
    module
        The package ray.

    Raises
    ------
    InputError
        If it is not installed, or no cluster of its version answers there.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # A task without a graphics card sees none: `ray_node` takes care of that, and Ray warns of it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray: Any = importlib.import_module("ray")
        worker: Any = importlib.import_module("ray._private.worker")
    except ImportError as error:
        raise InputError(
            f"--executor ray: {error.name or 'ray'} is not installed here (pip install "
            '"histopapers[ray]"; Ray has no package for each version of Python)'
        ) from None
    # Ray prints the last forty lines of every lost node's log, and has no switch for that.
    worker.print_to_stdstream = lambda *_, **__: None
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    if address != "auto":
        _reach(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        if address == "auto" and isinstance(error, ConnectionError):
            raise InputError(
                "--executor ray: this machine belongs to no Ray cluster; name its head with "
                "--ray-address HOST:PORT"
            ) from None
        raise InputError(f"--ray-address {address}: {_line(error)}") from None
    ray.cloudpickle.register_pickle_by_value(ray_node)
    return ray


def _reach(address: str) -> None:
    """Make sure that somebody listens there: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--ray-address {address}: give HOST:PORT of the cluster's head")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--ray-address {address}: no Ray cluster answers there ({error}); `ray start --head` "
            "starts one and says its address"
        ) from None


def _has(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))


def _share(nodes: Sequence[Mapping[str, Any]], gpus: int) -> int:
    """Cores of a job, so that as many find room on each node as it has graphics cards, or one."""
    able = [node for node in nodes if _has(node, "CPU") and _has(node, "GPU") >= gpus]
    shares = [_has(node, "CPU") // (_has(node, "GPU") // gpus if gpus else 1) for node in able]
    return max(1, min(shares, default=1))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
