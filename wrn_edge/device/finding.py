"""Find pictures in folders; our own drawings, hidden files and what links lead to are none."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pixels import SUFFIXES

import results

DRAWING = "-cam.png"  # ends the names of our own drawings, which may lie among the pictures
_HIDDEN = (".", "$", "System Volume Information")


@dataclass(frozen=True)
class Found:
    """A file that was found: where it is, what it is called, and its state."""

    path: str
    name: str
    bytes: int
    mtime_ns: int
    link: bool


def pictures(folder: Path) -> Iterator[Found]:
    """Pictures in a folder and the folders in it, in the order of their names.

    Links are found, but never followed. Hidden files (such as macOS leaves on drives) and our own
    drawings are not found. What cannot be read is said on stderr and passed over.

    Parameters
    ----------
    folder : Path

    Yields
    ------
    Found
        Named by its path below the folder.
    """
    yield from _scan(str(folder), "")


def _scan(folder: str, prefix: str) -> Iterator[Found]:
    waiting: list[tuple[os.DirEntry | None, str, str]] = [(None, folder, prefix)]
    while waiting:  # and no recursion: folders may lie in each other deeper than that goes
        entry, path, name = waiting.pop()
        if entry is not None and not _is_folder(entry):
            with contextlib.suppress(OSError):  # gone since the folder was read
                link, status = entry.is_symlink(), entry.stat(follow_symlinks=False)
                yield Found(path, name, status.st_size, status.st_mtime_ns, link)
            continue
        below = name if entry is None else f"{name}/"
        try:
            with os.scandir(path) as entries:
                inside = sorted(entries, key=lambda each: each.name, reverse=True)
        except OSError as error:
            print(f"{results.one_line(path)}: cannot be read ({error.strerror})", file=sys.stderr)
            continue
        waiting += [(each, each.path, below + each.name) for each in inside if _is_wanted(each)]


def _is_wanted(entry: os.DirEntry) -> bool:
    if entry.name.startswith(_HIDDEN) or entry.name.endswith(DRAWING):
        return False
    return entry.name.lower().endswith(SUFFIXES) or entry.is_symlink() or _is_folder(entry)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def given(paths: list[Path]) -> Iterator[Found]:
    """Files named on the command line; of a folder, the pictures in it.

    Names are below the first folder, or beside the first file, where the results lie too.

    Parameters
    ----------
    paths : list of Path
        One or more, all of which exist.

    Yields
    ------
    Found
    """
    base = first_folder(paths) or paths[0].parent
    for path in paths:
        name = os.path.relpath(path, base)
        if path.is_dir():
            yield from _scan(str(path), "" if name == "." else f"{name}/")
        else:
            size = mtime_ns = 0
            with contextlib.suppress(OSError):  # reading it says what is wrong
                size, mtime_ns = path.stat().st_size, path.stat().st_mtime_ns
            yield Found(str(path), name, size, mtime_ns, link=False)


def first_folder(paths: list[Path]) -> Path | None:
    """The first of these paths that is a folder.

    Parameters
    ----------
    paths : list of Path
    """
    return next((path for path in paths if path.is_dir()), None)
