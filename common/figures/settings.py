"""Figures do not depend on a matplotlibrc, or on what a notebook has set."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_lock = threading.RLock()  # rcParams belong to the whole process


def own(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function that draws see Matplotlib's defaults; the user's settings stand again after.

    Parameters
    ----------
    function : callable
    """

    @functools.wraps(function)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib
        from matplotlib import style

        with _lock, matplotlib.rc_context():
            style.use("default")  # all but backend and folders
            return function(*args, **kwargs)

    return drawing
