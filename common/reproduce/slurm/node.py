"""What runs on a node: the worker, as a part of the job that submitit began there.

Slurm sends signals to all processes of a job. This one passes on what they mean, and
`common.reproduce.child` makes the others deaf to them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from common.files import write_json
from common.reproduce.executor import GONE
from common.reproduce.worker import REPLACED

STOP = signal.SIGUSR1
"""Tells a job to write what it has, and to end. (submitit takes SIGUSR2 for the time limit.)"""


@dataclass
class Work:
    """A job's work, as submitit pickles it.

    Attributes
    ----------
    grace : float
        Seconds that its command has to end when the time limit is near.
    """

    grace: float
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __call__(self, job: str) -> int:
        """Do it, and leave a note of its end.

        Parameters
        ----------
        job : str
            The job's file.
        """
        number = _number()
        cluster = os.environ.get("SLURM_CLUSTER_NAME", "")
        given = ["--cores", ",".join(map(str, found))] if (found := cores()) else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "common.reproduce.child", "--parent", str(os.getpid()), *given,
             "--deaf", "--", sys.executable, "-m", "common.reproduce.worker", job,
             "--heir", f"slurm {cluster} {number}"],
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        signal.signal(STOP, self._stop)
        try:
            code = self.process.wait()
        except subprocess.CalledProcessError:  # submitit's requeueing: not allowed here
            code = GONE
        if code != REPLACED:  # of this job another one writes the note
            write_json(note(Path(job)), {"job": number, "code": code})
        return code

    def checkpoint(self, job: str) -> Any:
        """End the command near the time limit; submitit then requeues what is returned.

        Parameters
        ----------
        job : str
            The job's file.
        """
        from submitit.helpers import DelayedSubmission

        self._stop()
        end = time.monotonic() + self.grace
        while not self._ended():
            if time.monotonic() > end:
                assert self.process is not None
                self.process.kill()
            time.sleep(0.1)
        return DelayedSubmission(Work(self.grace), job)

    def _stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)

    def _ended(self) -> bool:
        """Whether the worker has. `Popen.poll` does not say it while `wait` is under way."""
        if self.process is None:
            return True
        try:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.process.pid, flags) is not None
        except ChildProcessError:
            return True


def note(job: Path) -> Path:
    """The file that says how a job ended.

    Parameters
    ----------
    job : Path
        Its file.
    """
    return job.with_suffix(".ended.json")


def cores() -> tuple[int, ...]:
    """Cores that this job may use, where Slurm gave it fewer than it sees.

    Returns
    -------
    tuple of int
        None where nodes bind jobs to their cores. Others are chosen by the job's number, so that
        neighbours seldom share them.
    """
    said = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE") or "0"
    given = int(said)
    seen = sorted(os.sched_getaffinity(0))
    if not 0 < given < len(seen):
        return ()
    first = given * int(os.environ.get("SLURM_JOB_ID", "0"))
    return tuple(seen[(first + i) % len(seen)] for i in range(given))


def _number() -> str:
    """The job's number, as squeue says it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ["SLURM_JOB_ID"]
