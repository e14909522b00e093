"""Decode in a process of its own while this one imports TensorFlow.

Threads would not do: the import holds Python's lock, and so does part of decoding. That process
fills the cache as any other command may; what it leaves undone its caller finds missing, and does.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, cast

from common import terminal
from common.errors import InputError

MANY = 300
"""So many images take longer than such a process takes to start."""

_PROGRAM = """
import json, sys
asked = json.loads(sys.stdin.readline())
sys.path[:] = asked.pop("path")
from common.images import apart, cached
apart.fill(asked, cached)
"""


def fill_beside(asked: dict[str, Any], load: Callable[[], object]) -> None:
    """Let another process fill the cache while this one loads what is needed next.

    Parameters
    ----------
    asked : dict
        Arguments of `common.images.cached`, as JSON has them.
    load : callable
        What it refuses (`InputError`) is left to be told where it is loaded in earnest; whatever
        else it raises ends the other process, which keeps what it has, and is raised.
    """
    if not _can_start():
        return
    asked = {**asked, "path": sys.path, "quiet": terminal.is_quiet()}
    # Without SIGINT: Ctrl-C ends this process, and thereby that.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    asking = cast(IO[str], process.stdin)
    try:
        with contextlib.suppress(OSError):
            asking.write(json.dumps(asked) + "\n")
            asking.flush()
        with contextlib.suppress(InputError):
            load()
        process.wait()
    finally:
        with contextlib.suppress(OSError):
            asking.close()
        process.wait()


def fill(asked: dict[str, Any], cached: Callable[..., object]) -> None:
    """Fill the cache, as the other process; ends with what there is when its caller has gone.

    Parameters
    ----------
    asked : dict
        See `fill_beside`.
    cached : callable
        `common.images.cached`.
    """

    def watch() -> None:
        sys.stdin.read()  # until the caller closes it, or is killed
        _thread.interrupt_main()

    terminal.quiet(asked.pop("quiet"))
    threading.Thread(target=watch, daemon=True).start()
    with contextlib.suppress(InputError, OSError, KeyboardInterrupt):  # the caller tells it
        cached(**asked)


def _can_start() -> bool:
    """Whether Python can be started, and what it says is read where this process is."""
    if not sys.executable or getattr(sys, "frozen", False):
        return False
    try:
        spoken = sys.stderr.fileno() == 2  # a notebook's and a test's is not
    except (AttributeError, OSError, ValueError):
        return False
    return spoken and hasattr(signal, "pthread_sigmask")
