"""Figures do not depend on a matplotlibrc, or on what a notebook has set."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_ELSEWHERE = {
    "backend", "backend_fallback", "date.epoch", "docstring.hardcopy", "figure.max_open_warning",
    "figure.raise_window", "interactive", "savefig.directory", "timezone", "tk.window_focus",
    "toolbar", "webagg.address", "webagg.open_in_browser", "webagg.port", "webagg.port_retries",
}  # fmt: skip
"""What says where and how a window shows a figure, which no style sheet sets either."""

_lock = threading.RLock()  # rcParams belong to the whole process


def own(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function that draws see Matplotlib's defaults; the user's settings stand again after.

    Parameters
    ----------
    function : callable
    """

    @functools.wraps(function)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> R:
        from matplotlib import rc_context

        with _lock, rc_context(_changed()):
            return function(*args, **kwargs)

    return drawing


def _changed() -> Any:
    """Defaults of what the user has set otherwise, all but backend and folders.

    As `matplotlib.style.use("default")`, which reads every style sheet there is.
    """
    from matplotlib import rcParams, rcParamsDefault

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are about to go
        return {
            name: default
            for name, default in rcParamsDefault.items()
            if name not in _ELSEWHERE and rcParams[name] != default
        }
