"""One owner at a time for a folder or a piece of work, also among hosts that share a disk.

A lease is a file that names its owner and that the owner touches every few seconds. It ends when the
owner gives it back, when its process is gone (seen at once on the same host), or when it has not
been touched for a while (all that another host can see). An owner that was given up may live on, as
a job does whose node is taken for dead: so it asks `Lease.check` before it writes.

Times are compared with the disk's own clock: hosts' clocks differ.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Self

from common.errors import InputError

BEAT = 5.0
"""Seconds between two touches."""

PATIENCE = 60.0
"""Seconds without a touch after which another host's owner is given up."""


class Lost(InputError):
    """The lease has another owner now: nothing more may be written."""


class Lease:
    """A lease that this process holds.

    Parameters
    ----------
    path : Path
        Its file.
    owner : dict
        What the file says.
    """

    def __init__(self, path: Path, owner: dict[str, Any]) -> None:
        self.path, self.owner = path, owner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beats, daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, path: str | Path, *, patience: float = PATIENCE, **facts: Any) -> Self | None:
        """Take a lease, if it is free or its owner is gone.

        Parameters
        ----------
        path : path
            The file; its folder must be there.
        patience : float
            Seconds without a touch after which an owner on another host is given up.
        **facts : object
            What the file says besides, for whoever reads it.

        Returns
        -------
        Lease or None
            None while somebody else has it.
        """
        path = Path(path)
        owner = {"token": uuid.uuid4().hex, **_process(), **facts}
        for _ in range(3):
            if _created(path, owner):
                return cls(path, owner)
            held = read(path)
            if not _given_up(path, held, patience):
                return None
            _remove(path, held)
        return None

    def check(self) -> None:
        """Make sure that this process still has the lease.

        Raises
        ------
        Lost
            If another has taken it, or the file is gone.
        """
        if not self._mine():
            raise Lost(
                f"{self.path}: this process was given up, another has taken its place; it stops "
                "and writes nothing more"
            )

    def release(self) -> None:
        """Give the lease back; nothing happens if it is no longer held."""
        self._stop.set()
        if self._mine():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _mine(self) -> bool:
        held = read(self.path)
        return held is not None and held["token"] == self.owner["token"]

    def _beats(self) -> None:
        while not self._stop.wait(BEAT):
            if not self._mine():
                return
            with contextlib.suppress(OSError):
                os.utime(self.path)


def holder(path: str | Path, *, patience: float = PATIENCE) -> dict[str, Any] | None:
    """Who has a lease.

    Parameters
    ----------
    path : path
        The file.
    patience : float
        As in `Lease.take`.

    Returns
    -------
    dict or None
        What its file says (`host`, `pid` and what was added); None if nobody has it.
    """
    held = read(Path(path))
    return None if _given_up(Path(path), held, patience) else held


def read(path: Path) -> dict[str, Any] | None:
    """What a lease's file says.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict or None
        None if there is none, or it is damaged.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) and isinstance(held.get("token"), str) else None


def _process() -> dict[str, Any]:
    """What tells this process from every other one, here and elsewhere."""
    pid = os.getpid()
    return {"host": _host(), "pid": pid, "began": _began(pid)}


def _host() -> str:
    """This machine since it was started, and its processes' numbers: containers have their own."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _began(pid: int) -> str:
    """When a process began: numbers of processes are used again. "" where that cannot be known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return fields[19] if fields[0] not in ("Z", "X") else "ended"


def _given_up(path: Path, held: dict[str, Any] | None, patience: float) -> bool:
    """Whether an owner is gone. Of a file that says nothing (it may be being written), the age."""
    if held is not None and held.get("host") == _host():
        return not _lives(held)
    return _age(path) > patience


def _lives(held: dict[str, Any]) -> bool:
    """Whether a process of this host is there."""
    pid = held.get("pid")
    if not isinstance(pid, int) or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _began(pid) == held.get("began")


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the clock of the disk on which it lies."""
    probe = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
    except OSError:
        now = time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    try:
        return now - path.stat().st_mtime
    except OSError:
        return 0.0


def _created(path: Path, owner: dict[str, Any]) -> bool:
    """Make the file with its content in one step; False if there is one.

    A hard link is whole or not there, also on network disks.
    """
    half = path.with_name(f".{path.name}-{owner['token']}")
    text = json.dumps(owner)
    half.write_text(text, encoding="utf-8")
    try:
        os.link(half, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        try:  # a disk without links
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return False
    finally:
        with contextlib.suppress(OSError):
            half.unlink()
    return True


def _remove(path: Path, judged: dict[str, Any] | None) -> None:
    """Remove a lease whose owner is gone; one that was taken in between is put back."""
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        path.rename(aside)  # of several that try this, one succeeds
    except OSError:
        return
    now = read(aside)
    if now is not None and now["token"] != (judged or {}).get("token"):
        with contextlib.suppress(OSError):
            os.link(aside, path)
    with contextlib.suppress(OSError):
        aside.unlink()
