"""The files below a data folder, however they lie there, and names for messages."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common import terminal
from common.errors import InputError, listed
from common.notices import SYNTHETIC_MARKER

LOSSLESS = (".png", ".tif", ".tiff", ".bmp")
"""Endings of formats in which a copy has the pixels of its original."""
LOSSY = (".jpg", ".jpeg", ".jpe")
"""Endings of formats in which it has others."""
OTHER = (
    ".webp", ".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".jfif", ".dib", ".ppm",
    ".pgm", ".svs", ".ndpi", ".mrxs", ".scn", ".czi", ".dcm",
)  # fmt: skip
"""Endings of pictures that are not read, for a word about those in a folder."""
LISTS = (".csv", ".tsv", ".txt")
"""Endings of lists of images."""
ENDING = rf"(?:{'|'.join((*LOSSLESS, *LOSSY))})".replace(".", r"\.")
"""Pattern of an image's ending; to be matched in any case."""


@dataclass(frozen=True)
class File:
    """A file below a data folder.

    Attributes
    ----------
    path : str
        Relative to the data folder, forward slashes.
    name : str
        Its last part.
    entry : os.DirEntry
        As the system lists it.
    marked : bool
        Whether the synthetic marker lies in one of its folders.
    """

    path: str
    name: str
    entry: os.DirEntry[str] = field(repr=False)
    marked: bool

    def size(self) -> int:
        """Bytes of the file; 0 if it leads nowhere or is no regular file."""
        try:
            information = self.entry.stat()
        except OSError:
            return 0
        return information.st_size if stat.S_ISREG(information.st_mode) else 0


def scan(root: Path) -> tuple[list[File], list[str]]:
    """List the files below a folder, sorted by path, and its sub-folders.

    Links are followed; a folder that was already seen (a link to a parent) is not entered again.
    Hidden entries and the shadow files that macOS puts into archives are passed over.

    Parameters
    ----------
    root : Path
        The folder.

    Returns
    -------
    files : list of File
        Sorted by path.
    folders : list of str
        Relative to `root`.

    Raises
    ------
    InputError
        If a folder cannot be read.
    """
    files: list[File] = []
    folders: list[str] = []
    seen: set[tuple[int, int]] = set()
    real: list[tuple[Path, str, bool]] = [(root, "", False)]
    links: list[tuple[Path, str, bool]] = []
    while real or links:
        # Links come last, so that a link into the tree never takes the place of the folder itself.
        folder, prefix, marked = real.pop() if real else links.pop()
        try:
            identity = folder.stat()
            with os.scandir(folder) as entries:
                listing = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be read ({error.strerror}); give yourself the right to read it, "
                "or take it out of the data folder"
            ) from None
        if (identity.st_dev, identity.st_ino) in seen:
            continue
        seen.add((identity.st_dev, identity.st_ino))
        marked = marked or any(entry.name == SYNTHETIC_MARKER for entry in listing)
        for entry in listing:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if _is_folder(entry):
                waiting = links if entry.is_symlink() else real
                waiting.append((Path(entry.path), f"{prefix}{entry.name}/", marked))
                folders.append(prefix + entry.name)
            else:
                files.append(File(prefix + entry.name, entry.name, entry, marked))
    files.sort(key=lambda file: file.path)
    return files, folders


def pictures(root: Path) -> list[str]:
    """Paths of the files below a folder that are named as images are, sorted.

    Parameters
    ----------
    root : Path
        The folder.
    """
    return [file.path for file in scan(root)[0] if looks_like_image(file.name)]


def looks_like_image(name: str) -> bool:
    """Whether a file name ends as an image's does.

    Parameters
    ----------
    name : str
        With its suffix.
    """
    return Path(name).suffix.lower() in (*LOSSLESS, *LOSSY)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def tell_others(folder: Path, names: Iterable[str]) -> None:
    """Say which pictures of a folder are in a format that is not read.

    Parameters
    ----------
    folder : Path
    names : iterable of str
        All files in it.
    """
    others = [name for name in names if name.lower().endswith(OTHER)]
    if others:
        terminal.line(
            f"{folder}: LEFT OUT {len(others)} of a format that is not read: {listed(others)}; "
            "save what is to count as PNG or TIFF",
            always=True,
        )


def named_images(paths: Sequence[Path], *, skip: bool = False) -> tuple[list[Path], list[str]]:
    """Image files among paths that a person typed, of a folder all images directly in it.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders.
    skip : bool
        Whether to go on where one is neither.

    Returns
    -------
    files, problems : list of Path, list of str
        What there is, and what is wrong with the other paths.

    Raises
    ------
    InputError
        Without `skip`, if anything is wrong.
    """
    files: list[Path] = []
    problems: list[str] = []
    for path in paths:
        if path.is_dir():
            there = sorted(path.iterdir())
            inside = [each for each in there if looks_like_image(each.name)]
            tell_others(path, (each.name for each in there))
            if not inside:
                problems.append(f"{path}: no images in this folder")
            files += inside
        elif path.suffix.lower() in LISTS and path.is_file():
            problems.append(f"{path}: is a list, no image; give it with --images {path}")
        elif path.exists():
            files.append(path)
        else:
            problems.append(f"{path}: no such file")
        if problems and not skip:
            raise InputError(problems[0])
    return files, problems
