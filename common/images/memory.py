"""Memory that a process frees and needs again at once."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def keep_freed() -> None:
    """Let glibc keep large freed blocks instead of handing them back to the system.

    A decoded image, or a batch of them, is a large block that is freed and wanted again at once.
    Mapped and unmapped each time, its pages are cleared and faulted in anew. TensorFlow 2.21 makes
    it worse: as soon as a dataset is made from a generator, which is how Keras reads a PyDataset,
    it sets malloc's trim threshold to 128 KiB, and the page faults took more than half of an epoch
    of MobileNetV2 at 96 px on a CPU.

    The process then holds on to its peak memory; whoever minds sets glibc's MALLOC_TRIM_THRESHOLD_,
    and nothing is touched here. Does nothing without glibc.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    mallopt = _mallopt()
    if mallopt is not None:
        # Older versions of glibc take no more than 32 MiB.
        mallopt(_M_MMAP_THRESHOLD, 2**30) or mallopt(_M_MMAP_THRESHOLD, 2**25)
        mallopt(_M_TRIM_THRESHOLD, 2**30)


@functools.cache
def _mallopt() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
