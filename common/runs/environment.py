"""Where a run was made: commit, versions, hardware, command."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


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
        "memory_gib": _memory_gib(),
        "packages": _packages(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "started": now().isoformat(),
        "finished": None,
        "seconds": None,
    }


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
