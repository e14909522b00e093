"""Where a run was made: commit, versions, hardware, command."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from common.backend import cores


def environment(command: str | None) -> dict[str, Any]:
    """What a reader needs to know about where a run was made.

    Parameters
    ----------
    command : str or None
        The command line that made it.
    """
    return {
        "command": command,
        **_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": cores(),
        "memory_gib": _memory_gib(),
        "packages": _packages(),
        "backend": _backend(),
        "started": now().isoformat(),
        "finished": None,
        "seconds": None,
    }


def machine() -> dict[str, Any]:
    """What must be equal for the same command to give the same bytes.

    Kernels divide sums among the cores and choose instructions by the processor, and another
    version may do both in another way.
    """
    versions = {name: version for name, version in _packages().items() if name in _RECKON}
    return {"backend": _backend(), "threads": cores(), "cpu": _cpu(), **versions}


_RECKON = ("keras", "tensorflow", "jax", "numpy")


def _backend() -> str:
    """The backend that ran, else the one that would."""
    keras = sys.modules.get("keras")
    if keras is not None:
        return str(keras.backend.backend())
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def commit() -> str | None:
    """Commit of the source tree this code runs from; None for an installed package."""
    return _commit()["commit"]


def now() -> datetime.datetime:
    """Present time, UTC, in whole seconds."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _commit() -> dict[str, Any]:
    """Commit of the source tree, if the package runs from one."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _packages() -> dict[str, str]:
    from importlib import metadata

    names = (
        "histopapers", "keras", "tensorflow", "jax", "numpy", "opencv-python-headless",
        "pandas", "scikit-learn", "scipy", "matplotlib",
    )  # fmt: skip
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
