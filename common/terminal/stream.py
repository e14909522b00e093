"""The stream on which things are said: stderr, also while its descriptor is led elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

lock = threading.RLock()
"""Held by whoever writes."""

_kept: TextIO | None = None


def stderr() -> TextIO:
    """Give the error stream as the user sees it; not to be held on to."""
    return _kept or sys.stderr


class Stderr:
    """`stderr` as an object that may be held on to."""

    def __getattr__(self, name: str) -> Any:
        return getattr(stderr(), name)


@contextlib.contextmanager
def kept() -> Iterator[int]:
    """Go on speaking on the error stream while its descriptor, 2, is led elsewhere.

    What is said is then as it always was, a bar on a terminal too, and only what other code writes
    to the descriptor goes another way.

    Returns
    -------
    int
        A duplicate of the descriptor as it is, to be open meanwhile.
    """
    global _kept
    sys.stderr.flush()
    descriptor, before = os.dup(2), _kept
    try:
        with lock:
            if before is None and _is_descriptor_2(sys.stderr):
                _kept = open(  # noqa: SIM115
                    descriptor, "w", buffering=1, encoding=sys.stderr.encoding,
                    errors=sys.stderr.errors, closefd=False,
                )  # fmt: skip
        yield descriptor
    finally:
        with lock:
            ours, _kept = _kept, before
            if ours is not before and ours is not None:
                with contextlib.suppress(OSError):  # the terminal is gone
                    ours.close()
        os.close(descriptor)


def _is_descriptor_2(stream: TextIO) -> bool:
    """Whether it is; a notebook's or a test's stream is not."""
    try:
        return stream.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return False
