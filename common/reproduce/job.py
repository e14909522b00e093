"""A job: an item's commands, written down so that a process on any host can do it."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import read_json, write_json


@dataclass(frozen=True)
class Job:
    """An item's commands and where its notes go, as a file that a worker reads.

    Attributes
    ----------
    key : str
        The item's.
    commands : list of list of str
        After ``python``.
    claim, log, failure : Path
        See `Place`.
    """

    key: str
    commands: list[list[str]] = field(repr=False)
    claim: Path
    log: Path
    failure: Path

    def write(self, path: Path) -> None:
        """Write the file.

        Parameters
        ----------
        path : Path
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "key": self.key,
            "commands": self.commands,
            **{name: str(getattr(self, name)) for name in ("claim", "log", "failure")},
        }
        write_json(path, values)

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read it.

        Parameters
        ----------
        path : Path

        Raises
        ------
        InputError
            If it is no such file.
        """
        values = read_json(path, repair="`python -m common.reproduce run` writes it anew")
        try:
            paths = {name: Path(values[name]) for name in ("claim", "log", "failure")}
            return cls(values["key"], [list(map(str, c)) for c in values["commands"]], **paths)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: not a job ({error})") from None


def noted(file: Path | None) -> dict[str, Any]:
    """What a note says, a JSON object; empty where there is none, or it is damaged.

    Parameters
    ----------
    file : Path, optional
    """
    if file is not None:
        with contextlib.suppress(OSError, InputError, ValueError):
            values = read_json(file)
            if isinstance(values, dict):
                return values
    return {}


def typed(command: list[str]) -> str:
    """A command as it would be typed.

    Parameters
    ----------
    command : list of str
        After ``python``.
    """
    return shlex.join(["python", *command])
