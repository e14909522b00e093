"""What one picture may cost, whatever its file makes the decoders do: memory and seconds."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

MEMORY = 288 * 2**20  # with the model and the interpreter below 400 MB: a device may have 1 GB
SECONDS = 60.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


class TooSlowError(Exception):
    """The time for one picture is over."""


def _held() -> int | None:
    """Private memory of this process, bytes; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return None


def _return_what_is_freed() -> None:
    """Map large blocks one by one; glibc would keep a picture's, in pieces, from the next one."""
    with contextlib.suppress(OSError, AttributeError):  # other systems have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**20)
        mallopt(_M_TRIM_THRESHOLD, 2**22)


class Limits:
    """Bounds what pictures cost, from the state at which it was made: the model is loaded."""

    def __init__(self) -> None:
        _return_what_is_freed()
        held = _held()
        self._most = None if held is None else held + MEMORY

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Let what is inside raise MemoryError or TooSlowError instead of taking more."""
        with contextlib.ExitStack() as stack:
            if self._most is not None:
                before, hard = resource.getrlimit(resource.RLIMIT_DATA)
                most = [self._most] + [n for n in (before, hard) if n != resource.RLIM_INFINITY]
                resource.setrlimit(resource.RLIMIT_DATA, (min(most), hard))
                stack.callback(resource.setrlimit, resource.RLIMIT_DATA, (before, hard))
            if threading.current_thread() is threading.main_thread():
                handler = signal.signal(signal.SIGALRM, _raise)
                stack.callback(signal.signal, signal.SIGALRM, handler)
                signal.setitimer(signal.ITIMER_REAL, SECONDS)
                stack.callback(signal.setitimer, signal.ITIMER_REAL, 0)
            yield


def _raise(*_: object) -> None:
    raise TooSlowError(f"takes longer than {SECONDS:.0f} s; save it smaller, or as another format")
