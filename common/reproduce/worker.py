"""Do one job: ``python -m common.reproduce.worker JOB.json [--heir NAME]``.

It takes the job's claim, so that nobody else does the same, here or on another host; gives the
commands one after the other, what they say going to the job's log; and notes a failure. The
commands know the claim: when it is lost (a node that was given up lives on), the next file that
they write stops them, and the worker ends them as soon as it sees it. A cluster that moves a job
gives it the same name again: it replaces the one that was given up (`common.leases`). Ends with 0
if all is done, 1 if a command failed, 75 if another is at it, 76 if another has replaced it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO

from common import errors, leases
from common.arguments import Parser
from common.files import path_argument, write_json
from common.reproduce.job import Job, typed

_COMMAND = re.compile(r"\d{4}-\d\d-\d\dT\S+ python ")
"""With which the log of each command begins."""

FAILED, BUSY, REPLACED = 1, 75, 76  # EX_TEMPFAIL and EX_PROTOCOL of sysexits.h


def main(arguments: list[str] | None = None) -> int:
    """Do a job.

    Parameters
    ----------
    arguments : list of str, optional
        Command line; that of the process by default.
    """
    parser = Parser(prog="python -m common.reproduce.worker")
    parser.add_argument("job", type=path_argument, metavar="FILE", help="its file")
    parser.add_argument("--heir", default="", help="its name on a cluster")
    chosen = parser.parse_args(arguments)
    job = Job.read(chosen.job)
    for path in (job.claim, job.log, job.failure):
        path.parent.mkdir(parents=True, exist_ok=True)
    lease = leases.Lease.take(job.claim, heir=chosen.heir, key=job.key)
    if lease is None:
        return BUSY
    with lease, job.log.open("a", encoding="utf-8") as log:
        if lease.replaced:
            time.sleep(2 * leases.BEAT)  # in which the other one sees it, and ends its command
        return _do(job, lease, log)


def _do(job: Job, lease: leases.Lease, log: IO[str]) -> int:
    told: list[int] = []
    for command in job.commands:
        log.write(f"\n{_now()} {typed(command)}\n")
        log.flush()
        code = _run(command, lease, log, told)
        if not lease.holds():
            return REPLACED
        # Told to end while it started or loaded, a command dies in its own way; and one that ended
        # all the same is not followed by the next.
        if code == errors.INTERRUPTED or (told and (code or command is not job.commands[-1])):
            log.write("interrupted; it will go on\n")
            return errors.INTERRUPTED
        if code:
            log.write(f"ended with {code}\n")
            lease.check()
            write_json(
                job.failure,
                {
                    "key": job.key,
                    "when": _now(),
                    "host": lease.owner["host"],
                    "command": typed(command),
                    "code": code,
                    "reason": _reason(job.log, code),
                },
            )
            return FAILED
    with contextlib.suppress(FileNotFoundError):
        job.failure.unlink()
    return 0


def _run(command: list[str], lease: leases.Lease, log: IO[str], told: list[int]) -> int:
    """Run a command as a part of this process: it is told to end when we are, and dies with us.

    `told` gets the signals.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "common.reproduce.child", "--parent", str(os.getpid()), "--",
         sys.executable, *command],
        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        env={**os.environ, leases.VARIABLE: lease.name},
        start_new_session=True,
    )  # fmt: skip

    def end(number: int, _: FrameType | None) -> None:
        told.append(number)
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGINT)

    lease.on_loss = child.kill
    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # `child --deaf`
        heard.remove(signal.SIGTERM)
    before = {number: signal.signal(number, end) for number in heard}
    try:
        return child.wait()
    finally:
        lease.on_loss = None
        for number, handler in before.items():
            signal.signal(number, handler)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()


def _reason(log: Path, code: int) -> str:
    """The first line of the error, or the last one that says something."""
    if code < 0:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    said = complaint(log, 1)
    return said[0].strip()[:500] if said else f"ended with {code}"


def complaint(log: Path, lines: int) -> list[str]:
    """What the last command of a log said when it failed.

    Parameters
    ----------
    log : Path
    lines : int
        How many lines at most: the first ones of the error that it ended with; the last ones of
        all that it said, if there is no such error.
    """
    said: list[str] = []
    for line in tail(log, 1000):
        if _COMMAND.match(line):
            said.clear()
        elif line.strip() and not line.startswith("ended with "):
            said.append(line)
    errors_at = [i for i, line in enumerate(said) if line.startswith("error: ")]
    return said[errors_at[-1] :][:lines] if errors_at else said[-lines:]


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log.

    Parameters
    ----------
    log : Path
    lines : int
        How many.
    """
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]


if __name__ == "__main__":
    errors.main(lambda: sys.exit(main()))
