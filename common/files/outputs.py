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

_DRAWN_AS_TEXT = (".svg", ".eps", ".ps", ".pgf")


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
        require_not_among([path], known, flag)
        for other, one in seen.items():
            if not _marks(path).isdisjoint(_marks(one)):
                raise InputError(f"{flag} {path}: is {other}, too; give each its own")
        seen[flag] = path
        # A run's files are known by name.
        if (
            kind is output_file
            and path.is_file()
            and any(_holds(each, path) and not _is_run(each) for each in known)
        ):
            raise InputError(
                f"{flag} {path}: is there, in a folder that this command reads; remove it, or "
                "give another name"
            )
        if kind is not output_path:
            require_output(path, flag, folder=kind is output_folder, text=kind is output_text)


def require_not_among(outputs: Iterable[Path], inputs: Iterable[Path], flag: str) -> None:
    """Refuse outputs that are inputs, also by another name or a link.

    Parameters
    ----------
    outputs : iterable of Path
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
    known = {mark for each in inputs for mark in _marks(each)}
    for path in outputs:
        if not known.isdisjoint(_marks(path)):
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
        Whether it is to be a file of text. Text replaces text alone, and no other file does.

    Raises
    ------
    InputError
        Naming the flag.
    """
    if any(_is_of_the_system(each) for each in _links(path)):
        raise InputError(f"{flag} {path}: is of the system; give the name of a file of yours")
    if folder and path.exists() and not path.is_dir():
        raise InputError(f"{flag} {path}: is no folder; give one, or a new name")
    if folder and _is_run(path):
        raise InputError(f"{flag} {path}: is the folder of a run; give another, or one in it")
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
    drawn = path.suffix.lower() in _DRAWN_AS_TEXT
    if not text and not drawn and path.stat().st_size and _is_text(path):
        raise InputError(
            f"{flag} {path}: is there and holds text, which would be replaced; give another name"
        )
    for parent in path.resolve().parents[:3]:
        if _is_run(parent) and _is_of_run(path.resolve().relative_to(parent).as_posix(), parent):
            raise InputError(f"{flag} {path}: is a file of the run {parent}; give another name")


def _paths(value: object) -> Iterator[Path]:
    """Files and folders that a value names."""
    for each in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(each, (str, Path)) and str(each):
            path = Path(each).expanduser() if str(each).startswith("~/") else Path(each)
            if os.path.exists(path):  # noqa: PTH110  # False also of what can be no path
                yield path


def _marks(path: Path) -> set[object]:
    """What two names of one file share: the place to which they lead, or the file itself."""
    marks: set[object] = {os.path.realpath(path)}
    if path.exists():
        status = path.stat()
        marks.add((status.st_dev, status.st_ino))
    return marks


def _holds(folder: Path, path: Path) -> bool:
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(_BEGIN)
    except OSError:
        return True  # that it cannot be read is no reason not to replace it


def _links(path: Path) -> Iterator[Path]:
    """What a path names, and where it leads if it is a link, step by step."""
    for _ in range(40):
        yield path
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()


def _is_of_the_system(path: Path) -> bool:
    """Whether it lies where files are none, such as /dev/stdout, which would be replaced."""
    parts = Path(os.path.abspath(path)).parts  # noqa: PTH100  # resolve() would follow the link
    return parts[1:2] in (("proc",), ("sys",)) or (
        parts[1:2] == ("dev",) and parts[2:3] != ("shm",)
    )


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run's, by its config.json, whatever else is there."""
    try:
        return {"package", "config"} <= read_json(folder / "config.json").keys()
    except InputError:
        return False


def _is_of_run(name: str, run: Path) -> bool:
    """Whether a file is one of a run: of a finished one its manifest says, of another all are."""
    try:
        found = read_json(run / MANIFEST).get("files")
    except InputError:
        return True
    return name in (MANIFEST, ".lock") or not isinstance(found, dict) or name in found
