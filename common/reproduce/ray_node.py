"""What a node of a Ray cluster does for `common.reproduce.ray_cluster`: look around, do a job.

Ray sends these functions by value, so that a node where this project is not installed can say so.
They therefore use the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SEEN = """
from common import runs
from common.reproduce import worker
print("commit", runs.commit())
"""


@dataclass(frozen=True)
class Setting:
    """How a job's process is started on a node.

    Attributes
    ----------
    cpus : int
        Cores that it is bound to: their number decides the bytes.
    gpus : int
        Graphics cards that Ray gives it.
    folder : str
        Working directory, where a node has it.
    variables : dict
        Environment variables of the runner that decide results.
    """

    cpus: int
    gpus: int
    folder: str
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Environment of the process."""
        found = dict(os.environ)
        found.pop("OMP_NUM_THREADS", None)  # Ray's own idea, which BLAS would follow
        if not self.gpus:
            found["CUDA_VISIBLE_DEVICES"] = "-1"
        return {**found, **self.variables}

    def directory(self) -> str | None:
        """Working directory of the process; None for Ray's own."""
        return self.folder if Path(self.folder).is_dir() else None


def look(token: str, folders: list[str], setting: Setting) -> dict[str, str]:
    """Say what the node lacks.

    Parameters
    ----------
    token : str
        File that the runner has just written into the folder of the runs.
    folders : list of str
        What must be there besides.
    setting : Setting

    Returns
    -------
    dict
        `host`; `lacks`, in words, empty if nothing; `commit` of the code, "None" if unknown.
    """
    found = {"host": os.uname().nodename, "lacks": "", "commit": "None"}
    if not Path(token).is_file():
        found["lacks"] = f"does not see {Path(token).parent}"
    elif not os.access(Path(token).parent, os.W_OK):
        found["lacks"] = f"may not write into {Path(token).parent}"
    elif missing := [folder for folder in folders if not Path(folder).exists()]:
        found["lacks"] = f"does not see {missing[0]}"
    elif (able := len(_able())) < setting.cpus:
        found["lacks"] = f"offers {setting.cpus} CPUs, but its processes may use {able}"
    else:
        said = subprocess.run(
            [sys.executable, "-c", _SEEN], capture_output=True, text=True, check=False,
            cwd=setting.directory(), env=setting.environment(),
        )  # fmt: skip
        if said.returncode:
            last = (said.stderr.strip() or "no word").splitlines()[-1]
            found["lacks"] = f"cannot import this project with {sys.executable} ({last})"
        else:
            found["commit"] = said.stdout.split()[-1]
    return found


def work(job: str, setting: Setting) -> int:
    """Do a job in a process of its own, which ends with this one.

    An interruption (Ray's way to cancel a task) is passed on to it.

    Parameters
    ----------
    job : str
        Its file.
    setting : Setting

    Returns
    -------
    int
        The worker's exit code.

    Raises
    ------
    FileNotFoundError
        If the node does not see the file.
    """
    if not Path(job).is_file():
        raise FileNotFoundError(f"node {os.uname().nodename} does not see {job}")
    # A cluster that a script has started in the background ignores SIGINT, and so do its workers.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with cores(setting.cpus) as mine:
        bound = ["--cores", ",".join(map(str, mine))] if mine else []
        child = subprocess.Popen(
            [sys.executable, "-m", "common.reproduce.child", "--parent", str(os.getpid()), *bound,
             "--", sys.executable, "-m", "common.reproduce.worker", job],
            stdin=subprocess.DEVNULL, start_new_session=True,
            cwd=setting.directory(), env=setting.environment(),
        )  # fmt: skip
        try:
            while True:
                try:
                    # Not wait(): Ray interrupts without a signal, which no system call notices.
                    while (code := child.poll()) is None:
                        time.sleep(0.1)
                    return code
                except KeyboardInterrupt:
                    child.send_signal(signal.SIGINT)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


@contextlib.contextmanager
def cores(count: int) -> Iterator[list[int]]:
    """Cores that no other task of this user on this machine has, as far as they go.

    Parameters
    ----------
    count : int

    Yields
    ------
    list of int
        Their numbers; empty where a process cannot be bound to some.
    """
    able = _able()
    if not hasattr(os, "sched_setaffinity"):
        yield []
        return
    import fcntl  # not on Windows

    shares = [able[i : i + count] for i in range(0, len(able) - count + 1, count)]
    for share in shares:
        with contextlib.ExitStack() as held:
            try:
                for core in share:
                    name = f"histopapers-{os.getuid()}-core{core}"
                    file = held.enter_context((Path(tempfile.gettempdir()) / name).open("a"))
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield share
            return
    yield shares[os.getpid() % len(shares)]


def _able() -> list[int]:
    """Cores that processes may use here."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
