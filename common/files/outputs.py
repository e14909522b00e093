"""Where a command may write; looked at before any work, so that nothing is lost or done in vain.

A flag says by its type what it writes, and `common.arguments.Parser` looks at all of them by
`require_outputs` as soon as the command line is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from common.errors import InputError
from common.files.paths import path_argument
from common.files.reading import read_json

MANIFEST = "manifest.json"
"""In a folder: what its files are."""

_BEGIN = 8192  # bytes; every format of images has a zero byte in its first few


def output_text(text: str) -> Path:
    """`path_argument` of a file of text that is written: a table, JSON, a page.

    Parameters
    ----------
    text : str
        As typed.
    """
    return path_argument(text)


def output_file(text: str) -> Path:
    """`path_argument` of another file that is written: a picture, an archive.

    Parameters
    ----------
    text : str
        As typed.
    """
    return path_argument(text)


def output_folder(text: str) -> Path:
    """`path_argument` of a folder that is written to.

    Parameters
    ----------
    text : str
        As typed.
    """
    return path_argument(text)


def output_path(text: str) -> Path:
    """`path_argument` of what other flags decide: the command asks `require_output`.

    Parameters
    ----------
    text : str
        As typed.
    """
    return path_argument(text)


OUTPUTS = (output_text, output_file, output_folder, output_path)
"""The types of flags that say where something is written."""


def require_outputs(outputs: Mapping[str, tuple[object, Path]], inputs: Iterable[object]) -> None:
    """Refuse outputs that would replace an input or each other, or that cannot be written.

    Parameters
    ----------
    outputs : mapping
        Flag -> its type (one of `OUTPUTS`) and what was given.
    inputs : iterable
        What else was given; what is no path of a file or folder counts for nothing.

    Raises
    ------
    InputError
        Naming the flag.
    """
    known = [path for each in inputs for path in _paths(each)]
    seen: dict[str, Path] = {}
    for flag, (kind, path) in outputs.items():
        require_not_among(path, known, flag)
        for other, one in seen.items():
            if _same(path, one):
                raise InputError(f"{flag} {path}: is {other}, too; give each its own")
        seen[flag] = path
        if kind is output_file and path.is_file() and any(_holds(each, path) for each in known):
            raise InputError(
                f"{flag} {path}: is there, in a folder that this command reads; remove it, or "
                "give another name"
            )
        if kind is not output_path:
            require_output(path, flag, folder=kind is output_folder, text=kind is output_text)


def require_not_among(path: Path, inputs: Iterable[Path], flag: str) -> None:
    """Refuse an output that is an input, also by another name or a link.

    Parameters
    ----------
    path : Path
        What is to be written.
    inputs : iterable of Path
        For instance the images of a list.
    flag : str
        Which says where to write.

    Raises
    ------
    InputError
        Naming the flag.
    """
    if any(_same(path, each) for each in inputs):
        raise InputError(f"{flag} {path}: is an input of this command; give another name")


def require_output(path: Path, flag: str, *, folder: bool, text: bool = False) -> None:
    """Refuse a file or folder that cannot be written, or that would replace something else.

    Parameters
    ----------
    path : Path
        What is to be written; folders that are missing are made later.
    flag : str
        Which says where to write.
    folder : bool
        Whether it is to be a folder.
    text : bool
        Whether it is to be a file of text, which replaces no other file than one of text.

    Raises
    ------
    InputError
        Naming the flag.
    """
    if folder and path.exists() and not path.is_dir():
        raise InputError(f"{flag} {path}: is no folder; give one, or a new name")
    if not folder and path.is_dir():
        raise InputError(f"{flag} {path}: is a folder; give the name of a file")
    if not folder and path.exists() and not path.is_file():
        raise InputError(f"{flag} {path}: is no ordinary file; give another name")
    where = path if folder else path.parent
    while not os.path.lexists(where) and where != where.parent:
        where = where.parent
    if not where.is_dir():
        raise InputError(f"{flag} {path}: cannot be written, {where} is no folder")
    if not os.access(where, os.W_OK | os.X_OK):
        raise InputError(f"{flag} {path}: cannot be written in {where}; give another folder")
    if folder or not path.is_file():
        return
    if text and not _is_text(path):
        raise InputError(
            f"{flag} {path}: is there and holds no text, which would replace it; give another name"
        )
    for parent in path.resolve().parents[:3]:
        if path.resolve().relative_to(parent).as_posix() in _noted(parent):
            raise InputError(f"{flag} {path}: is a file of the run {parent}; give another name")


def _paths(value: object) -> Iterator[Path]:
    """Files and folders that a value names."""
    for each in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(each, (str, Path)) and str(each):
            path = Path(each).expanduser() if str(each).startswith("~/") else Path(each)
            if os.path.exists(path):  # noqa: PTH110  # False also of what can be no path
                yield path


def _same(a: Path, b: Path) -> bool:
    # Also of a/../b where there is no a: it will be made.
    if os.path.realpath(a) == os.path.realpath(b):
        return True
    return a.exists() and b.exists() and a.samefile(b)


def _holds(folder: Path, path: Path) -> bool:
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(_BEGIN)
    except OSError:
        return True  # that it cannot be read is no reason not to replace it


def _noted(folder: Path) -> Mapping[str, object]:
    """Files of a finished run, as its manifest has them; of another folder none."""
    if not (folder / MANIFEST).is_file() or not (folder / "config.json").is_file():
        return {}
    try:
        found = read_json(folder / MANIFEST).get("files")
    except InputError:
        return {}
    return found if isinstance(found, dict) else {}
