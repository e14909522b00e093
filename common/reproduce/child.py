"""Start a command as a part of the work: on some cores, and never longer than who started it.

python -m common.reproduce.child --parent PID [--cores 0,1] [--deaf] -- COMMAND ...

It is replaced by the command, so the command's process is the one that was started.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str] | None = None) -> None:
    """Become the command.

    Parameters
    ----------
    arguments : list of str, optional
        Command line; that of the process by default.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, prog="python -m common.reproduce.child")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--cores", default="")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("command", nargs="+")
    chosen = parser.parse_args(arguments)
    with contextlib.suppress(OSError, AttributeError):  # Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != chosen.parent:  # it ended before that was set
        sys.exit(1)
    # Shells start what runs in the background deaf to it, Ray its nodes; their children inherit it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    if chosen.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in chosen.cores.split(",")})
    if chosen.deaf:
        # Clusters send them to all processes of a job; only the first one knows what they mean.
        # SIGTERM comes some time before SIGKILL: time in which an epoch may end and be kept.
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
    os.execv(chosen.command[0], chosen.command)


if __name__ == "__main__":
    main()
