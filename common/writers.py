"""Who is writing where: temporary names that say so, what a kill left, locks of folders."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from common.errors import InputError, WriteError

HALF = ".part-"
"""Begins the name of what is not whole."""

_WRITER = re.compile(rf"{re.escape(HALF)}([0-9a-f]{{8}})-([0-9]+)-([0-9]+)-")
_DAY = 24 * 3600
_HELD: set[tuple[Path, int]] = set()  # folder, thread
_SWEPT: set[tuple[Path, int]] = set()  # folder, process


def half_prefix() -> str:
    """Begin the temporary name of a file or folder that this process writes.

    Returns
    -------
    str
        For `tempfile.mkstemp` or `mkdtemp`; it names the machine's start, the process and the
        process's start, since numbers of processes are given again.
    """
    pid = os.getpid()
    return f"{HALF}{machine()}-{pid}-{begun(pid) or 0}-"


def remove_halves(folder: str | Path, *, deep: bool = True, alone: bool = False) -> None:
    """Remove half-written files and folders that killed processes left.

    What a living process of this machine is writing stays. Of what another machine or container
    left, nobody here knows whether its writer lives: it goes after a day, or at once if nobody else
    can be writing there, and so does what an earlier version left.

    Parameters
    ----------
    folder : path
        Need not exist.
    deep : bool
        Look into its folders, too.
    alone : bool
        The folder's lock is held.
    """
    folder = Path(folder)
    found = sorted((folder.rglob if deep else folder.glob)(f"{HALF}*"))
    for half in found:
        with contextlib.suppress(OSError):  # gone already, or not ours to remove
            if _is_written(half.name, half.lstat().st_mtime, alone):
                continue
            if half.is_dir() and not half.is_symlink():
                shutil.rmtree(half)
            else:
                half.unlink()


def sweep(folder: str | Path) -> None:
    """Remove the halves in a folder into which this process writes for the first time.

    Parameters
    ----------
    folder : path
    """
    key = Path(folder).absolute(), os.getpid()
    if key not in _SWEPT:
        _SWEPT.add(key)
        remove_halves(folder, deep=False)


@contextlib.contextmanager
def room_beside(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`, for a folder that takes its place when it is whole.

    It is removed when the block ends, with what is still in it.

    Parameters
    ----------
    out : Path
        Need not exist.

    Yields
    ------
    Path
        On the same disk, so that a folder in it can be renamed to `out`.

    Raises
    ------
    WriteError
        If it, or what the block writes, cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out.parent)
        room = Path(tempfile.mkdtemp(prefix=half_prefix(), dir=out.parent))
    except OSError as error:
        raise WriteError(f"{out}: cannot be written ({error.strerror}); give another") from None
    try:
        yield room
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise WriteError(f"{out}: cannot be written ({reason}); give another folder") from None
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _is_written(name: str, changed: float, alone: bool) -> bool:
    """Whether a process may still be writing the half of this name."""
    writer = _WRITER.match(name)
    if writer is None:
        return not alone
    if writer[1] == machine():
        began = begun(int(writer[2]))
        return began is not None and str(began) == writer[3]
    return not alone and time.time() - changed < _DAY


@functools.cache
def machine() -> str:
    """Name what numbers the processes: the machine, since when it runs, and the container.

    Returns
    -------
    str
        8 hex digits.
    """
    texts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        texts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with contextlib.suppress(OSError):
        texts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()[:8]


def begun(pid: int) -> int | None:
    """When a process of this machine began: numbers of processes are given again.

    Parameters
    ----------
    pid : int

    Returns
    -------
    int or None
        Ticks since the machine did, 0 where that cannot be known; None if there is no such process.
    """
    try:
        # After the program's name in brackets, which may hold anything: state, ..., start.
        values = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = values.rpartition(")")[2].split()
        return None if state in "ZX" else int(rest[18])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, ValueError, IndexError):
        return 0
    try:  # no /proc here, as on macOS
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return 0


@contextlib.contextmanager
def alone(folder: str | Path, busy: str) -> Iterator[None]:
    """Hold a folder's lock while a block writes there; what killed processes left goes first.

    The system gives the lock of a process back when it ends, however it ends. A thread that holds a
    folder's lock may ask for it again.

    Parameters
    ----------
    folder : path
        Made if it is missing; gets a file ``.lock``.
    busy : str
        What to say if another process holds it, after the folder's name.

    Raises
    ------
    InputError
        If another process holds it, or the folder cannot be written.
    """
    import filelock

    folder = Path(folder)
    key = folder.absolute(), threading.get_ident()
    if key in _HELD:
        yield
        return
    # A moment's patience: whoever only looks whether the lock is held, holds it while looking.
    lock = filelock.FileLock(folder / ".lock", timeout=0.3)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise InputError(f"{folder}: {busy}") from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WriteError(
            f"{folder}: cannot be written ({reason}); make room, or give another folder"
        ) from None
    _HELD.add(key)
    try:
        remove_halves(folder, alone=True)
        yield
    finally:
        _HELD.discard(key)
        lock.release()


def is_held(folder: str | Path) -> bool:
    """Whether a process is working in a folder (`alone`).

    Parameters
    ----------
    folder : path
    """
    import filelock

    file = Path(folder) / ".lock"
    if not file.is_file():
        return False
    try:
        with filelock.FileLock(file, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except (OSError, NotImplementedError):  # a folder that we may only read
        return False
