"""The executor: jobs go to Slurm as arrays, and their ends come back as notes.

A job's end is read from the note that it leaves beside its file, and from squeue: without
accounting Slurm does not say what became of a job, and waiting for the result of one that was
killed never ends.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import signal
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import leases, terminal
from common.errors import INTERRUPTED, InputError
from common.files import write_json
from common.reproduce.executor import GONE
from common.reproduce.job import Job, noted
from common.reproduce.slurm import node, queue
from common.reproduce.slurm.settings import Settings, settings
from common.reproduce.worker import tail

LOOK = 1.0
"""Seconds between two looks at the jobs' notes."""

ASK = 10.0
"""Seconds between two questions to Slurm, which many users ask."""

SETTLES = 15.0
"""Seconds for which a job that has left the queue may still leave a note: a shared disk shows new
files late."""

AT_ONCE = 256
"""How many jobs are in the queue at most, if --jobs does not say it."""

NEEDED = ("sbatch", "srun", "squeue", "scancel", "scontrol")
"""Slurm's commands."""


@dataclass
class Submitted:
    """A job in the queue.

    Attributes
    ----------
    number : str
        Slurm's: 17, or 17_3 of an array.
    file : Path
        The job's.
    shared : bool
        Whether another runner, which lives, submitted it.
    state : str
        The last that squeue said.
    left : float, optional
        When it was first seen to have left the queue.
    """

    number: str
    file: Path
    shared: bool = False
    state: str = "PENDING"
    left: float | None = None


def make(chosen: argparse.Namespace, folder: Path) -> Slurm:
    """Make the executor.

    Parameters
    ----------
    chosen : Namespace
        What was given: the flags, and `jobs`.
    folder : Path
        Of what `run` writes down.

    Returns
    -------
    Slurm

    Raises
    ------
    InputError
        If there is no Slurm here, submitit is not installed, or a setting is wrong.
    """
    return Slurm(settings(chosen), folder / "slurm", chosen.jobs)


class Slurm:
    """Jobs of a Slurm cluster.

    Parameters
    ----------
    asked : Settings
        What is asked of Slurm for each job.
    folder : Path
        For what submitit writes.
    jobs : int, optional
        How many are in the queue at most.

    Raises
    ------
    InputError
        If there is no Slurm here, or submitit is not installed.
    """

    def __init__(self, asked: Settings, folder: Path, jobs: int | None = None) -> None:
        for program in NEEDED:
            if shutil.which(program) is None:
                raise InputError(
                    f"--executor slurm: there is no {program} on the PATH; give the command on a "
                    "machine from which jobs are submitted"
                )
        try:
            import submitit
        except ImportError:
            raise InputError(
                "--executor slurm needs submitit: pip install 'histopapers[slurm]'"
            ) from None
        if jobs is not None and jobs < 1:
            raise InputError(f"--jobs {jobs}: must be 1 or more")
        self.jobs = jobs or AT_ONCE
        self.work = node.Work(grace=max(5.0, asked.warning - 20.0))
        # A preempted job counts as one that met its limit; neither may be the last time.
        self.submits = submitit.SlurmExecutor(folder.absolute(), max_num_timeout=10**9)
        self.submits.update_parameters(array_parallelism=self.jobs, **asked.parameters())
        self.begun: dict[str, Path] = {}
        self.mine: dict[str, Submitted] = {}
        self.over: dict[str, int] = {}
        self.queue: dict[str, tuple[str, str]] = {}
        self.told: set[str] = set()
        self.stopping = False
        self.looked = self.asked = self.refused = -SETTLES

    @property
    def held(self) -> Collection[str]:
        """Keys of jobs that are not submitted yet."""
        return self.begun

    def free(self) -> int:
        """How many more jobs may be in the queue."""
        return max(0, self.jobs - len(self.mine) - len(self.begun))

    def start(self, key: str, job: Path) -> None:
        """Begin a job together with others, when `ended` is asked next.

        One that an earlier `run` submitted, or another one, is waited for.

        Parameters
        ----------
        key : str
            The item's.
        job : Path
            Its file.
        """
        if not self.knows(key, job):
            self.begun[key] = job

    def knows(self, key: str, job: Path) -> bool:
        """Whether a job is in the queue that this or another `run` submitted.

        Parameters
        ----------
        key : str
            The item's.
        job : Path
            Its file.
        """
        ticket = noted(_ticket(job))
        if not ticket:
            return False
        if time.monotonic() - self.asked > LOOK:
            self._ask(time.monotonic())
        state, _ = self.queue.get(number := str(ticket.get("job")), ("", ""))
        if state in ("", queue.HELD, *queue.ENDED):
            return False
        runner = ticket.get("runner")
        # One of another host lives, perhaps.
        shared = isinstance(runner, dict) and leases.lives(runner) is not False
        shared = shared and runner != leases.process()
        self.mine[key] = Submitted(number, job, shared, state)
        return True

    def ended(self) -> dict[str, int]:
        """Jobs that have ended since the last call: key -> exit code, or `GONE`.

        Raises
        ------
        InputError
            If Slurm refuses all jobs.
        """
        self._submit()
        now = time.monotonic()
        if now - self.looked > LOOK:
            self.looked = now
            self._look(now)
        over, self.over = self.over, {}
        for key in over:
            self.mine.pop(key, None)
        return over

    def stop(self) -> None:
        """Take waiting jobs out of the queue; those that run write what they have, and end."""
        self.stopping = True
        self.over.update(dict.fromkeys(self.begun, INTERRUPTED))
        self.begun.clear()
        queue.cancel(self._own(), "--state=PENDING")
        queue.cancel(self._own(), f"--signal={node.STOP.name.removeprefix('SIG')}")
        self.over.update({key: INTERRUPTED for key, job in self.mine.items() if job.shared})
        self.asked = -SETTLES  # those that waited are gone

    def kill(self) -> None:
        """End all jobs at once."""
        queue.cancel(self._own(), "--signal=KILL")
        queue.cancel(self._own())

    def _own(self) -> list[str]:
        return [job.number for job in self.mine.values() if not job.shared]

    def _submit(self) -> None:
        """Submit what was begun, several as an array."""
        now = time.monotonic()
        if not self.begun or now - self.refused < ASK:
            return
        files = list(self.begun.values())
        try:
            with _whole():
                numbers = self._sbatch(files)
                for key, file, number in zip(self.begun, files, numbers, strict=True):
                    write_json(_ticket(file), {"job": number, "runner": leases.process()})
                    self.mine[key] = Submitted(number, file)
                self.begun.clear()
        except InputError as error:
            if not self.mine:
                raise
            if self.refused < 0:
                terminal.line(f"{error}; again when others have ended")
            self.refused = now

    def _sbatch(self, files: Sequence[Path]) -> list[str]:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            with contextlib.redirect_stderr(io.StringIO()):  # said below
                jobs = self.submits.map_array(self.work, [str(file.absolute()) for file in files])
        except (FailedJobError, FailedSubmissionError) as error:
            words = " ".join(str(error).split()).replace("sbatch: error: ", "")
            raise InputError(f"--executor slurm: sbatch refuses the jobs: {words}") from None
        return [str(job.job_id) for job in jobs]

    def _look(self, now: float) -> None:
        """See which jobs have left a note, and which have left the queue without one."""
        if self.mine and now - self.asked > ASK:
            self._ask(now)
        for key, job in self.mine.items():
            said = noted(node.note(job.file))
            if said.get("job") == job.number:
                self.over[key] = int(said["code"])
            elif job.left is not None and self.stopping and job.state == "CANCELLED":
                self.over[key] = INTERRUPTED
            elif job.left is not None and now - job.left > SETTLES:
                self.over[key] = self._without_a_word(job)

    def _ask(self, now: float) -> None:
        self.asked = now
        found = queue.states()
        if found is None:  # Slurm does not answer now
            return
        self.queue = found
        for job in self.mine.values():
            job.state, waits = found.get(job.number, (job.state, ""))
            if waits and waits not in self.told:
                self.told.add(waits)
                terminal.line(f"Slurm lets job {job.number} wait: {waits}")
            if job.state == queue.HELD:
                queue.cancel([job.number])  # it is submitted anew, some times
            elif job.number in found and job.state not in queue.ENDED:
                job.left = None
                continue
            if job.left is None:
                job.left = now

    def _without_a_word(self, job: Submitted) -> int:
        """A job was killed, or never came to its work: what Slurm wrote down goes to its log."""
        if job.state in queue.NO_FAULT:
            return GONE
        lines = tail(self.submits.folder / f"{job.number}_0_log.err", 20)
        with Job.read(job.file).log.open("a", encoding="utf-8") as log:
            log.write("\n".join([*lines, f"Slurm job {job.number} ended: {job.state}", ""]))
        return -signal.SIGKILL


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """Let Ctrl-C come after a block: of jobs that nobody wrote down, nobody knows."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if told:
            raise KeyboardInterrupt


def _ticket(job: Path) -> Path:
    """The file that says as which job of Slurm one was submitted, and by whom."""
    return job.with_suffix(".slurm.json")
