"""Slurm's commands: what is in the queue, and out with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence

ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT",
)  # fmt: skip
"""States of jobs that have ended; all others go on, or will."""

NO_FAULT = ("BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "TIMEOUT")
"""Of these, the ends that are not the job's own doing."""

HELD = "HELD"
"""State of a job that Slurm could not launch, and holds until somebody releases it."""

USUAL = (
    "None", "BeginTime", "Cleaning", "Dependency", "JobArrayTaskLimit", "Priority", "Prolog",
    "Reservation", "Resources",
)  # fmt: skip
"""Reasons to wait that pass by themselves. Others may be a wrong setting: a limit longer than the
partition's waits for ever, if Slurm is not told to refuse it."""

PATIENCE = 60.0
"""Seconds in which a command must answer."""


def states() -> dict[str, tuple[str, str]] | None:
    """Jobs of the user, also those that have ended lately: number -> state, why it waits.

    Returns
    -------
    dict or None
        Numbers are 17, or 17_3 of an array; states are Slurm's, and `HELD`; "" is why a job waits
        that waits for nothing unusual. None if Slurm does not answer.
    """
    # sacct would know more, but many clusters have no accounting.
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
    try:
        answer = subprocess.run(
            [*command, "--format=%i|%T|%r"], capture_output=True, text=True, timeout=PATIENCE,
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return parsed(answer.stdout)


def parsed(text: str) -> dict[str, tuple[str, str]]:
    """Read squeue's answer.

    Parameters
    ----------
    text : str
        Lines of number|state|reason.
    """
    found = {}
    for line in text.splitlines():
        number, state, reason = (*line.strip().split("|", 2), "", "")[:3]
        if state:
            waits = reason if state == "PENDING" and reason.split(",")[0] not in USUAL else ""
            found[number] = (HELD if waits == "launch failed requeued held" else state, waits)
    return found


def cancel(numbers: Sequence[str], *how: str) -> None:
    """Give jobs to scancel; that one has ended in between is no error.

    Parameters
    ----------
    numbers : sequence of str
    *how : str
        Its flags: ``--signal=USR1``, ``--state=PENDING``.
    """
    if numbers:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                ["scancel", *how, *numbers], capture_output=True, timeout=PATIENCE, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
