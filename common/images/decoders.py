"""Processes that decode, with a reader of PNG that is faster than OpenCV's and holds Python's lock.

It is optional (the extra `decode`), its pixels are the same, and it sees only what `inspect` has
passed; what it does not read OpenCV does. Many threads with OpenCV are slower than as many such
processes, few images are not worth their start.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Self

import numpy as np

from common.images.fingerprints import fingerprint, from_bytes
from common.images.header import Header, ImageError
from common.images.reading import decode, decode_fast, resize

if TYPE_CHECKING:
    from types import TracebackType

ENOUGH = 300
"""Images from which on the processes are worth their start."""

_ASKED = struct.Struct("<Q8s")  # bytes of the file, ending of its name
_ANSWER = struct.Struct("<?QQ")  # whether it can be used, bytes of the image, of its fingerprint


def worth_it(paths: Sequence[str], workers: int) -> bool:
    """Whether `Decoders` would be faster than threads.

    Parameters
    ----------
    paths : sequence of str
        Image files.
    workers : int
        How many there may be.
    """
    pngs = sum(path[-4:].lower() == ".png" for path in paths)
    there = importlib.util.find_spec("kornia_rs") is not None
    return there and workers > 1 and pngs >= ENOUGH


def reduce(
    data: bytes,
    extension: str,
    size: int,
    filter: str,
    decoding: Callable[[bytes, Header], np.ndarray | None] = decode_fast,
) -> tuple[np.ndarray, np.void]:
    """Decode, and keep what the cache keeps.

    Parameters
    ----------
    data : bytes
        The whole file.
    extension : str
        Of its name.
    size : int
        Side of the small image, px.
    filter : str
        See `resize`.
    decoding : callable
        Decodes what `inspect` has passed.

    Returns
    -------
    image : ndarray, uint8, (S, S, 3), RGB
    fingerprint : void

    Raises
    ------
    ImageError
        Says what is wrong with it.
    """
    image = decode(data, extension, decoding)
    return np.ascontiguousarray(resize(image, size, filter)), fingerprint(image)


class Decoders:
    """Processes that `reduce` images; threads ask, each of one process at a time.

    Parameters
    ----------
    count : int
    size : int
        Side of the small images, px.
    filter : str
        See `resize`.
    """

    def __init__(self, count: int, size: int, filter: str):
        self._size, self._filter = size, filter
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).strip(
            os.pathsep
        )
        command = [sys.executable, "-P", "-m", "common.images.decoder", str(size), filter]
        self._processes = [
            # Of a group of its own: Ctrl-C is for this process, whose end is theirs.
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path}, process_group=0,
            )
            for _ in range(count)
        ]  # fmt: skip
        self._free: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        for process in self._processes:
            self._free.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.kill()
            process.communicate()

    def reduce(self, data: bytes, extension: str) -> tuple[np.ndarray, np.void]:
        """As the function, in one of the processes; here where that has died.

        Parameters
        ----------
        data : bytes
            The whole file.
        extension : str
            Of its name.

        Returns
        -------
        image : ndarray, uint8, (S, S, 3), RGB
        fingerprint : void

        Raises
        ------
        ImageError
            Says what is wrong with it.
        """
        process = self._free.get()
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(_ASKED.pack(len(data), os.fsencode(extension)[:8]) + data)
            process.stdin.flush()
            good, length, more = _ANSWER.unpack(_exactly(process.stdout, _ANSWER.size))
            image, mark = (_exactly(process.stdout, each) for each in (length, more))
        except (OSError, EOFError, ValueError):
            return reduce(data, extension, self._size, self._filter)
        finally:
            self._free.put(process)
        if not good:
            raise ImageError(image.decode("utf-8"))
        shape = self._size, self._size, 3
        return np.frombuffer(image, np.uint8).reshape(shape), from_bytes(mark)


def serve(asked: BinaryIO, answers: BinaryIO, size: int, filter: str) -> None:
    """Answer until nobody asks any more.

    Parameters
    ----------
    asked, answers : binary file
    size : int
        Side of the small images, px.
    filter : str
        See `resize`.
    """
    while head := asked.read(_ASKED.size):
        length, extension = _ASKED.unpack(head)
        data = asked.read(length)
        try:
            image, mark = reduce(
                data, os.fsdecode(extension.rstrip(b"\0")), size, filter, _decode_png
            )
            parts = True, image.tobytes(), mark.tobytes()
        except ImageError as problem:
            parts = False, str(problem).encode("utf-8", "backslashreplace"), b""
        answers.write(_ANSWER.pack(parts[0], len(parts[1]), len(parts[2])) + parts[1] + parts[2])
        answers.flush()


def _decode_png(data: bytes, header: Header) -> np.ndarray | None:
    import kornia_rs.io

    if header.kind == "PNG" and not header.alpha:
        # It raises Exception itself; a panic of Rust code is a BaseException.
        with contextlib.suppress(BaseException):
            shape = header.height, header.width
            return np.asarray(kornia_rs.io.decode_image_png_u8(data, shape, "rgb"))
    return decode_fast(data, header)


def _exactly(file: IO[bytes], count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise EOFError
    return found
