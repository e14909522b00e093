"""Find pictures in folders; our own drawings, hidden files and what links lead to are none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pixels import FORMATS

DRAWING = "-cam.png"  # ends the names of our own drawings, which may lie among the pictures
_SUFFIXES = tuple(FORMATS)
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
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        print(f"{folder}: cannot be read ({error.strerror})", file=sys.stderr)
        return
    for entry in inside:
        if entry.name.startswith(_HIDDEN) or entry.name.endswith(DRAWING):
            continue
        try:
            link = entry.is_symlink()
            if not link and entry.is_dir(follow_symlinks=False):
                yield from _scan(entry.path, f"{prefix}{entry.name}/")
            elif link or entry.name.lower().endswith(_SUFFIXES):
                status = entry.stat(follow_symlinks=False)
                yield Found(
                    entry.path, prefix + entry.name, status.st_size, status.st_mtime_ns, link
                )
        except OSError:
            continue  # gone since the folder was read


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
    base = folder_of(paths[0])
    for path in paths:
        name = os.path.relpath(path, base)
        if path.is_dir():
            yield from _scan(str(path), "" if name == "." else f"{name}/")
        else:
            status = path.stat()
            yield Found(str(path), name, status.st_size, status.st_mtime_ns, link=False)


def folder_of(path: Path) -> Path:
    """The folder itself, or the one that a file lies in.

    Parameters
    ----------
    path : Path
    """
    return path if path.is_dir() else path.parent
