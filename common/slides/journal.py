"""What is known of a slide's tiles while it is worked on: kept so that a kill loses little."""

from __future__ import annotations

import base64
import binascii
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import WriteError
from common.files import disk_is_full

NAME = "tiles.journal"

Step = tuple[NDArray[np.float32], dict[str, list[int]]]
"""Probabilities (n, classes) of a step's tiles, and which of them are odd in which way."""


class Journal:
    """A file to which a line is added for each step, with its checksum.

    What a kill cut, and whatever follows a line that is not whole, is dropped when it is opened
    again; steps are as long as they were, so that the result is the same to the last byte.

    Parameters
    ----------
    folder : Path
        In which it lies.
    key : str
        Says everything that decides the result; a file of another is begun anew.
    """

    def __init__(self, folder: Path, key: str):
        self.path = folder / NAME
        self._head = f"{key}\n".encode("ascii")
        self._steps = 0

    def begin(self, sizes: Sequence[int], classes: int) -> list[Step]:
        """Read the steps that are whole, and make the file end with them.

        Parameters
        ----------
        sizes : sequence of int
            How many tiles each step has.
        classes : int
        """
        try:
            data = self.path.read_bytes() if self.path.is_file() else b""
        except OSError:
            data = b""
        steps: list[Step] = []
        end = len(self._head)
        if data.startswith(self._head):
            for line in data[end:].splitlines(keepends=True)[: len(sizes)]:
                step = _parsed(line, len(steps), sizes[len(steps)], classes)
                if step is None:
                    break
                steps.append(step)
                end += len(line)
        self._steps = len(steps)
        if steps:
            os.truncate(self.path, end)
        else:
            self._write(self._head, "wb")
        return steps

    def add(self, probabilities: NDArray[np.float32], odd: Mapping[str, list[int]]) -> None:
        """Add a step; it is on the disk when this returns.

        Parameters
        ----------
        probabilities : float32 array (n, classes)
        odd : mapping
            Kind -> numbers of tiles within the step.
        """
        packed = base64.b64encode(np.ascontiguousarray(probabilities, "<f4").tobytes())
        known = {"step": self._steps, "p": packed.decode("ascii"), "odd": dict(odd)}
        body = json.dumps(known).encode("ascii")
        self._write(b"%08x %s\n" % (zlib.crc32(body), body), "ab")
        self._steps += 1

    def _write(self, data: bytes, mode: str) -> None:
        try:
            with self.path.open(mode) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            room = ", the disk is full; make room, then the same command goes on"
            reason = room if disk_is_full(error) else f" ({error.strerror}); give another --output"
            raise WriteError(f"{self.path}: cannot be written{reason}") from None

    def remove(self) -> None:
        """Remove the file: all that it held stands in the results."""
        self.path.unlink(missing_ok=True)


def _parsed(line: bytes, step: int, size: int, classes: int) -> Step | None:
    """One step, None if the line is not whole, of another step or of another size."""
    try:
        if not line.endswith(b"\n") or int(line[:8], 16) != zlib.crc32(line[9:-1]):
            return None
        found: dict[str, Any] = json.loads(line[9:-1])
        if found["step"] != step:
            return None
        values = np.frombuffer(base64.b64decode(found["p"]), "<f4").reshape(size, classes)
        return values.astype(np.float32), {kind: list(rows) for kind, rows in found["odd"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return None
