"""How a path is read that somebody typed."""

from __future__ import annotations

import os
from pathlib import Path

from common.errors import InputError


def expanded(path: str | os.PathLike[str]) -> Path:
    """Read a path as a shell would: with ``~`` and variables such as ``$HOME``.

    A folder or file whose very name holds a ``$`` is meant where it is there.

    Parameters
    ----------
    path : path
        From a flag, a variable or a call; `--run=~/x` reaches us as it is typed.

    Returns
    -------
    Path
        Relative to the working directory, or absolute.

    Raises
    ------
    InputError
        If it is empty, as of a variable that is not set, or begins with the home of a user that
        there is not.
    """
    text = os.fsdecode(path)
    if not text:
        raise InputError("an empty path was given; is a variable in it not set?")
    if "\0" in text:
        raise InputError(f"{text!r}: no path holds a zero byte")
    if "$" in text or "%" in text:
        text = _with_variables(text)
    if not text.startswith("~"):
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~nobody, or a file of such a name
        if os.path.lexists(text):
            return Path(text)
        raise InputError(f"{text}: there is no such user; write the path out") from None


def path_argument(text: str) -> Path:
    """`expanded` as argparse takes it: its message reaches the user.

    Parameters
    ----------
    text : str
        As typed.

    Raises
    ------
    ArgumentTypeError
        Where `expanded` raises an InputError.
    """
    import argparse

    try:
        return expanded(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _with_variables(text: str) -> str:
    """Put values in place of variables, but in folders that are there under the name as it is."""
    whole = Path(text)
    for there in (whole, *whole.parents):
        if os.path.lexists(there):  # False also where it is too long to be there
            break
    if there == whole:
        return text
    rest = os.path.expandvars(str(whole.relative_to(there)))
    return rest if there == Path() else os.path.join(there, rest.lstrip(os.sep))  # noqa: PTH118
