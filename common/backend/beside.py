"""Images decoded beside the start of TensorFlow, which uses one core and takes seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_SWITCH = 0.0005  # seconds; of Python's 0.005 a decoding thread waits ten for each image


def beside(work: Callable[[threading.Event], T], load: Callable[[], object] | None) -> T:
    """Do work in another thread while this one loads what is needed next.

    Loading stays here, in the thread that Ctrl-C interrupts.

    Parameters
    ----------
    work : callable
        Is given an event, and ends as soon as it can once that is set.
    load : callable or None
        What it raises stops the work, and is raised. None: the work is done here.

    Returns
    -------
    object
        What `work` gives; what it raises is raised when `load` has ended.
    """
    stop = threading.Event()
    if load is None:
        return work(stop)
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(work, stop)
            try:
                load()
                return job.result()
            except BaseException:
                stop.set()
                raise
    finally:
        sys.setswitchinterval(before)
