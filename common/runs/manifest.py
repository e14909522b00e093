"""The manifest of a finished run: size and SHA-256 of each file, and what has become of them.

`manifest.json` is the last file that a run gets. Commands that write into a finished run (a report
made again, an export, a bundle) do it inside `changing`, which brings the manifest up to date with
what they wrote, and with nothing else: damage elsewhere in the folder still shows.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from common import writers
from common.errors import InputError
from common.files import file_hash, read_json, write_json
from common.files.outputs import MANIFEST
from common.runs.environment import now

SCHEMA = 1

BUSY = "another process is working on this run; wait for it, or change a setting"
"""What is said of a run whose lock is held."""

CHANGED, MISSING, ADDITIONAL = "changed", "missing", "additional"
"""What `compare` says of a file."""

_SMALL = 4 << 20
_NO_PART = ("checkpoint",)  # of the run while it is made, and gone when it is finished


def write_manifest(run_path: str | Path) -> None:
    """Write the manifest of a run that has all its files.

    Parameters
    ----------
    run_path : path
    """
    path = Path(run_path)
    _write(path, {name: _described(path / name) for name in sorted(_states(path))})


def has_manifest(run_path: str | Path) -> bool:
    """Whether a run has a manifest; those that earlier versions finished have none.

    Parameters
    ----------
    run_path : path
    """
    return (Path(run_path) / MANIFEST).is_file()


def compare(run_path: str | Path, *, quick: bool = False) -> dict[str, str]:
    """Compare a run's files with its manifest.

    Parameters
    ----------
    run_path : path
    quick : bool
        Hash no file above 4 MiB whose size is right and that was not written after the manifest. It
        takes milliseconds, and misses only what was damaged without a trace in size and time.

    Returns
    -------
    dict
        File -> `CHANGED`, `MISSING` or `ADDITIONAL`; empty if all is as it was.

    Raises
    ------
    InputError
        If there is no manifest, or it is damaged.
    """
    path = Path(run_path)
    noted = _read(path)
    there = _states(path)
    written = (path / MANIFEST).stat().st_mtime_ns
    found = {}
    for name, entry in noted.items():
        if name not in there:
            found[name] = MISSING
            continue
        _, size, modified = there[name]
        trusted = quick and size > _SMALL and modified <= written
        if size != entry["bytes"] or not (trusted or _hash(path / name) == entry["sha256"]):
            found[name] = CHANGED
    found |= {name: ADDITIONAL for name in there if name not in noted}
    return dict(sorted(found.items()))


@contextlib.contextmanager
def changing(run_path: str | Path) -> Iterator[None]:
    """Hold a run's lock while a block writes into its folder, and note what it wrote.

    Parameters
    ----------
    run_path : path
        A run folder. If it has no manifest it gets none: nobody knows what its files were.

    Raises
    ------
    InputError
        If another process is working on the run, or the folder cannot be written.
    """
    path = Path(run_path)
    with writers.alone(path, BUSY):
        before = _states(path)
        try:
            yield
        finally:
            if has_manifest(path):
                after = _states(path)
                renew(path, {n for n in {*before, *after} if before.get(n) != after.get(n)})


def renew(run_path: str | Path, names: Iterable[str]) -> None:
    """Note files as they are now; those that are gone are noted no more.

    Parameters
    ----------
    run_path : path
        With a manifest; a damaged one is left as it is.
    names : iterable of str
        Paths below the run folder.
    """
    path = Path(run_path)
    try:
        noted = _read(path)
    except InputError:
        return
    was = dict(noted)
    for name in names:
        noted.pop(name, None)
        if (path / name).is_file():
            noted[name] = _described(path / name)
    if noted != was:
        _write(path, dict(sorted(noted.items())))


def _write(path: Path, files: Mapping[str, Any]) -> None:
    write_json(path / MANIFEST, {"schema": SCHEMA, "made": now().isoformat(), "files": files})


def _read(path: Path) -> dict[str, dict[str, Any]]:
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(f"{path}: no manifest")
    content = read_json(file, repair=_REPAIR)
    schema, files = content.get("schema"), content.get("files")
    if isinstance(schema, int) and schema > SCHEMA:
        raise InputError(f"{file}: written by a newer version of histopapers; update yours")
    if not isinstance(files, dict) or not all(map(_is_entry, files.values())):
        raise InputError(f"{file}: damaged; {_REPAIR}")
    return files


_REPAIR = "delete it, if you need not know whether other files are damaged, or train again with "
_REPAIR += "--fresh"


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
    )


def _described(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": file_hash(file)}


def _hash(file: Path) -> str:
    """SHA-256 of a file; "" of one that cannot be read."""
    try:
        return file_hash(file)
    except OSError:
        return ""


def _states(path: Path) -> dict[str, tuple[int, int, int]]:
    """Files of a run: number, size and time of the last change; hidden names are no part of it."""
    found = {}
    for folder, folders, names in os.walk(path):
        here = Path(folder)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not (here == path and name in _NO_PART)
        ]
        for name in names:
            file = here / name
            if name.startswith(".") or (here == path and name == MANIFEST):
                continue
            with contextlib.suppress(OSError):
                status = file.stat()
                if stat.S_ISREG(status.st_mode):
                    state = status.st_ino, status.st_size, status.st_mtime_ns
                    found[file.relative_to(path).as_posix()] = state
    return found
