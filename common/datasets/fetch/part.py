"""What has arrived of a file, and what it is a part of: two files beside the later place.

``NAME.part`` holds the bytes, ``NAME.part.json`` says which file they are of. The name itself
appears when all has arrived and been checked.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from common import terminal
from common.files import write_json


@dataclass(frozen=True)
class Source:
    """The file that a part belongs to, as its server described it.

    Attributes
    ----------
    validator : str
        Its ETag or date; "" if it gave none.
    bytes : int or None
        Its size, if it was known.
    """

    validator: str
    bytes: int | None


class Part:
    """The bytes of a file that have arrived.

    Parameters
    ----------
    path : Path
        Where the whole file will lie.
    url : str
        Where it comes from; a part from another address is not continued.
    """

    def __init__(self, path: Path, url: str):
        self.path = path
        self.file = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")
        self.identity = hashlib.sha256(url.encode()).hexdigest()

    def size(self) -> int:
        """How many bytes are there; 0 without the file."""
        return self.file.stat().st_size if self.file.exists() else 0

    def source(self) -> Source | None:
        """What the part belongs to; None if unknown or from another address."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            known = Source(note["validator"], note["bytes"])
            return known if note["url"] == self.identity else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin_anew(self, source: Source) -> None:
        """Empty the part, and note what it will be a part of.

        Parameters
        ----------
        source : Source
            What the server says now.
        """
        with self.file.open("wb"):
            pass
        write_json(
            self.note,
            {"url": self.identity, "validator": source.validator, "bytes": source.bytes},
        )

    def forget_source(self) -> None:
        """Make the part one of unknown origin; the next connection asks for the whole file."""
        self.note.unlink(missing_ok=True)

    def kept(self) -> str:
        """Words for what a later call can continue."""
        if self.size() and self.source():
            return f"{terminal.megabytes(self.size())} are kept in {self.file}"
        return "nothing is kept"

    def discard(self) -> None:
        """Delete it."""
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the part its name; it is whole."""
        with self.file.open("rb+") as file:
            os.fsync(file.fileno())
        self.file.replace(self.path)
        self.note.unlink(missing_ok=True)
