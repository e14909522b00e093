"""One owner at a time for a folder or a piece of work, also among hosts that share a disk.

A lease is a file that names its owner, who touches it every few seconds. It ends when the owner
gives it back, when its process is gone (seen at once on the same host), or when it has not been
touched for a while (all that another host can see). An owner that was given up may live on, as a
job does whose node is taken for dead: so it asks `Lease.check` before it writes.

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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from common import writers
from common.errors import InputError

BEAT = 5.0
"""Seconds between two touches."""

PATIENCE = 60.0
"""Seconds without a touch after which another host's owner is given up."""

VARIABLE = "HISTOPAPERS_LEASE"
"""Environment variable by which a command is told its starter's lease (`Lease.name`)."""


class LostError(InputError):
    """The lease has another owner now: nothing more may be written."""


class Lease:
    """A lease that this process holds.

    Parameters
    ----------
    path : Path
        Its file.
    owner : dict
        What the file says.
    replaced : bool
        Whether it was taken from a predecessor that may still live (`heir` of `take`).

    Attributes
    ----------
    lost : bool
        Whether it was seen that another has it now.
    on_loss : callable, optional
        Called once when that is seen, from another thread.
    """

    def __init__(self, path: Path, owner: dict[str, Any], replaced: bool = False) -> None:
        self.path, self.owner, self.replaced = path, owner, replaced
        self.lost = False
        self.on_loss: Callable[[], object] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beats, daemon=True)
        self._thread.start()

    @classmethod
    def take(
        cls, path: str | Path, *, patience: float = PATIENCE, heir: str = "", **facts: Any
    ) -> Self | None:
        """Take a lease, if it is free or its owner is gone.

        Parameters
        ----------
        path : path
            The file; its folder must be there.
        patience : float
            Seconds without a touch after which an owner on another host is given up.
        heir : str
            Name that a cluster gave this work and gives it again when it is moved: an owner of the
            same name is one that the cluster has given up, and is replaced at once, alive or not.
        **facts : object
            What the file says besides, for whoever reads it.

        Returns
        -------
        Lease or None
            None while somebody else has it.
        """
        path = Path(path)
        owner = {"token": uuid.uuid4().hex, **process(), "heir": heir, **facts}
        replaced = False
        for _ in range(3):
            if _created(path, owner):
                return cls(path, owner, replaced)
            held = read(path)
            if not _given_up(path, held, patience):
                if not heir or held is None or held.get("heir") != heir:
                    return None
                replaced = True
            _remove(path, held)
        return None

    @property
    def name(self) -> str:
        """What `VARIABLE` is set to for a command that works under this lease."""
        return json.dumps([str(self.path.absolute()), self.owner["token"]])

    def check(self) -> None:
        """Make sure that this process still has the lease.

        Raises
        ------
        LostError
            If another has taken it, or the file is gone.
        """
        _check(self.path, self.owner["token"])

    def release(self) -> None:
        """Give the lease back; nothing happens if it is no longer held."""
        self._stop.set()
        if self.holds():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def holds(self) -> bool:
        """Whether this process still has the lease."""
        return _is(self.path, self.owner["token"])

    def _taken(self) -> bool:
        """Whether it is surely gone: a disk that does not answer for a moment says nothing."""
        try:
            self.path.stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        held = read(self.path)
        return held is not None and held["token"] != self.owner["token"]

    def _beats(self) -> None:
        while not self._stop.wait(BEAT):
            if self._taken():
                self.lost = not self._stop.is_set()
                if self.lost and self.on_loss is not None:
                    self.on_loss()
                return
            with contextlib.suppress(OSError):
                os.utime(self.path)


def guard() -> None:
    """Stop this process from writing if whoever started it has lost the lease.

    `common.files` calls it before a file gets its name.

    Raises
    ------
    LostError
        See `Lease.check`.
    """
    said = os.environ.get(VARIABLE)
    if said:
        path, token = json.loads(said)
        _check(Path(path), token)


def _check(path: Path, token: str) -> None:
    if not _is(path, token):
        raise LostError(
            f"{path}: this process was given up, another has taken its place; it stops and writes "
            "nothing more"
        )


def _is(path: Path, token: str) -> bool:
    held = read(path)
    return held is not None and held["token"] == token


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
    return None if held is None or _given_up(Path(path), held, patience) else held


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


def process() -> dict[str, Any]:
    """What tells this process from every other one, here and elsewhere.

    Returns
    -------
    dict
        `host`, `machine`, `pid`, `began`.
    """
    pid = os.getpid()
    began = writers.begun(pid)
    return {"host": platform.node(), "machine": writers.machine(), "pid": pid, "began": began}


def lives(owner: Mapping[str, Any]) -> bool | None:
    """Whether a process lives.

    Parameters
    ----------
    owner : mapping
        As `process` names it.

    Returns
    -------
    bool or None
        None of another machine's.
    """
    if owner.get("machine") != writers.machine():
        return None
    pid = owner.get("pid")
    return isinstance(pid, int) and pid >= 1 and writers.begun(pid) == owner.get("began")


def _given_up(path: Path, held: dict[str, Any] | None, patience: float) -> bool:
    """Whether an owner is gone. Of a file that says nothing (it may be being written), the age."""
    here = None if held is None else lives(held)
    return _age(path) > patience if here is None else not here


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
