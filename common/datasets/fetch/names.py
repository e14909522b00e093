"""Names in archives from elsewhere: which of them may become files here."""

from __future__ import annotations

import os
import unicodedata

_MAX_NAME, _MAX_PATH, _MAX_DEPTH = 255, 1024, 32
# Windows opens a device under these names, in any folder and with any suffix.
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"
}


def safe_parts(name: str) -> tuple[str, ...]:
    """Split an entry's name into folders and file name.

    Parameters
    ----------
    name : str
        As it stands in the archive.

    Returns
    -------
    tuple of str
        Empty for a name of the archive's own top folder.

    Raises
    ------
    ValueError
        If the name leads out of the folder, or cannot be a file's on every system.
    """
    # Some zip programs on Windows write backslashes.
    name = name.replace("\\", "/")
    if name.startswith("/"):
        raise ValueError("is an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if len(parts) > _MAX_DEPTH or len(os.fsencode(name)) > _MAX_PATH:
        raise ValueError("is too long")
    for part in parts:
        if part == "..":
            raise ValueError("leads out of the folder")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in part):
            raise ValueError("holds characters that are no text")
        if len(os.fsencode(part)) > _MAX_NAME:
            raise ValueError("is too long")
        if set(part) & set('<>:"|?*') or part[-1] in ". ":
            raise ValueError("cannot be a file name on Windows")
        if part.partition(".")[0].rstrip().upper() in _DEVICES:
            raise ValueError("is a device on Windows")
    return parts


def folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Name as a careless file system sees it: without case, in one Unicode form.

    Parameters
    ----------
    parts : tuple of str
        What `safe_parts` gave.
    """
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
