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
        "threads": _threads(),
        **_changed_kernels(),
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
    found = {"backend": _backend(), "threads": _threads(), "cpu": _cpu(), **versions}
    return found | _changed_kernels()


_RECKON = ("keras", "tensorflow", "jax", "numpy")


def _backend() -> str:
    """The backend that ran, else the one that would."""
    keras = sys.modules.get("keras")
    if keras is not None:
        return str(keras.backend.backend())
    return os.environ.get("KERAS_BACKEND", "tensorflow")


_FLAGS = ("TF_XLA_FLAGS", "XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS", "NVIDIA_TF32_OVERRIDE")
"""Variables that choose other kernels."""


def _threads() -> int:
    """Threads among which kernels divide their sums."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and _backend() == "tensorflow":
        set_by_code = tensorflow.config.threading.get_intra_op_parallelism_threads()
        set_outside = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
        if set_by_code > 0:
            return int(set_by_code)
        if set_outside.isdecimal() and int(set_outside):
            return int(set_outside)
    return cores()


def _changed_kernels() -> dict[str, Any]:
    """What chooses other kernels than a plain start does, as far as it is set."""
    found: dict[str, Any] = {name: os.environ[name] for name in _FLAGS if os.environ.get(name)}
    tensorflow, jax = sys.modules.get("tensorflow"), sys.modules.get("jax")
    if tensorflow is not None and _backend() == "tensorflow":
        if not tensorflow.config.experimental.tensor_float_32_execution_enabled():
            found["tf32"] = False
        if tensorflow.config.optimizer.get_jit():
            found["xla"] = str(tensorflow.config.optimizer.get_jit())
    if jax is not None and _backend() == "jax":
        if jax.config.jax_default_matmul_precision is not None:
            found["jax_default_matmul_precision"] = jax.config.jax_default_matmul_precision
        if jax.config.jax_enable_x64:
            found["jax_enable_x64"] = True
    return found


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
