"""What the runner asks of a place that does jobs; the one on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common import backend
from common.errors import InputError

FREE_GIB = 3.0
"""No further job begins while less memory is free."""

GONE = 69  # EX_UNAVAILABLE of sysexits.h
"""Exit code of a job whose place was taken from it (a lost node, a time limit, a job of higher
priority): it did not fail, and is begun again however often that happens."""


SMALL_GIB = 1.5
"""Memory that a demo's job takes at most."""


class Executor(Protocol):
    """Does jobs somewhere."""

    @property
    def held(self) -> Collection[str] | None:
        """Keys of what `start` was given and `ended` will submit; None where it begins at once."""

    def free(self) -> int:
        """How many more jobs can be begun now."""

    def start(self, key: str, job: Path) -> None:
        """Begin a job (`common.reproduce.worker`).

        Parameters
        ----------
        key : str
            The item's.
        job : Path
            Its file.
        """

    def knows(self, key: str, job: Path) -> bool:
        """Whether a job that is under way was begun by an earlier `run` here: then it is ours.

        Parameters
        ----------
        key : str
            The item's.
        job : Path
            Its file.
        """

    def ended(self) -> dict[str, int]:
        """Jobs that have ended since they were asked for last: key -> exit code, or `GONE`."""

    def stop(self) -> None:
        """Ask all jobs to end; they keep what they have done."""

    def kill(self) -> None:
        """End all jobs at once."""


@dataclass
class Slot:
    """A share of this machine.

    Attributes
    ----------
    cores : tuple of int
        Numbers of its cores; none: all.
    gpu : str, optional
        What CUDA_VISIBLE_DEVICES is for its job.
    """

    cores: tuple[int, ...] = ()
    gpu: str | None = None
    key: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)


class Local:
    """Processes on this machine: one for each graphics card, or for each share of the cores.

    Parameters
    ----------
    jobs : int, optional
        How many at once; unset: one per graphics card, or one alone. On a machine without one, the
        cores are divided among them.
    small : bool
        Jobs of a demo: unset, one per core as far as memory goes, since most of what they do uses
        no more than one.

    Raises
    ------
    InputError
        If there are fewer cores than jobs.
    """

    held = None

    def __init__(self, jobs: int | None = None, *, small: bool = False) -> None:
        cards = gpus()
        if jobs is None and small and not cards and hasattr(os, "sched_getaffinity"):
            cores = min(len(os.sched_getaffinity(0)), backend.cores())
            jobs = max(1, min(cores, int(_free_gib() / SMALL_GIB)))
        if cards:
            self.slots = [Slot(gpu=card) for card in cards[: jobs or len(cards)]]
        else:
            self.slots = [Slot(cores) for cores in shares(jobs or 1)]

    def free(self) -> int:
        """How many slots are empty, as far as memory goes: the first job always begins."""
        empty = sum(slot.process is None for slot in self.slots)
        if empty < len(self.slots) and _free_gib() < FREE_GIB:
            return 0
        return empty

    def start(self, key: str, job: Path) -> None:
        """Begin a job in an empty slot.

        Parameters
        ----------
        key : str
            The item's.
        job : Path
            Its file.
        """
        slot = next(slot for slot in self.slots if slot.process is None)
        environment = dict(os.environ)
        if slot.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        cores = ["--cores", ",".join(map(str, slot.cores))] if slot.cores else []
        slot.key = key
        slot.process = subprocess.Popen(
            [sys.executable, "-m", "common.reproduce.child", "--parent", str(os.getpid()), *cores,
             "--", sys.executable, "-m", "common.reproduce.worker", str(job)],
            stdin=subprocess.DEVNULL, start_new_session=True, env=environment,
        )  # fmt: skip

    def knows(self, key: str, job: Path) -> bool:
        """Processes end with the `run` that began them.

        Parameters
        ----------
        key : str
        job : Path
        """
        return False

    def ended(self) -> dict[str, int]:
        """Jobs that have ended since the last call: key -> exit code."""
        found = {}
        for slot in self.slots:
            if slot.process is not None and (code := slot.process.poll()) is not None:
                found[slot.key] = code
                slot.process = None
        return found

    def stop(self) -> None:
        """Ask all jobs to end."""
        self._send(signal.SIGINT)

    def kill(self) -> None:
        """End all jobs at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        for slot in self.slots:
            if slot.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    slot.process.send_signal(number)


def shares(jobs: int) -> list[tuple[int, ...]]:
    """Divide the cores of this process into as many like shares.

    Parameters
    ----------
    jobs : int

    Returns
    -------
    list of tuple of int
        Cores that no share needs are left over, so that all runs have equally many: their number
        decides the bytes.

    Raises
    ------
    InputError
        If there are fewer cores.
    """
    if jobs == 1:
        return [()]
    if not hasattr(os, "sched_getaffinity"):
        raise InputError("--jobs: cores cannot be divided on this system; leave it out")
    cores = sorted(os.sched_getaffinity(0))
    each = min(len(cores), backend.cores()) // jobs
    if not each:
        raise InputError(f"--jobs {jobs}: this process has {len(cores)} cores; give fewer")
    return [tuple(cores[i * each : (i + 1) * each]) for i in range(jobs)]


def gpus() -> list[str]:
    """Graphics cards that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [each for each in said.split(",") if each and each != "-1"]
    return [path.name.removeprefix("nvidia") for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def _free_gib() -> float:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return float("inf")
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(fields["MemAvailable"].split()[0]) / 2**20
