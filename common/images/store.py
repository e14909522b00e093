"""One folder of the cache: its pixel file, its index, and the lock that one builder holds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import numpy as np

from common.errors import InputError
from common.files import write_text
from common.images import fingerprints
from common.images.messages import say

# The cache's layout and everything that decides a pixel's value; raise it when either changes.
VERSION = 2

_SEAL = re.compile(r'\{"sha256":"([0-9a-f]{64})",')

ELSEWHERE = "make room, or give another folder with --cache-dir or $HISTOPAPERS_CACHE"


class Store:
    """One folder of the cache: `pixels.u8`, rows one after another, and `index.json`.

    Beside them a file of fingerprints, one a row. Each vouches for itself, so that the index need
    not know of them: a cache of an older version has none, or some.

    Parameters
    ----------
    root : path
        The cache's folder.
    size : int
        Side of the images, px.
    filter : str
        See `images.resize`.
    transform_id : str
        What is done to the images before; "none" if nothing is.

    Attributes
    ----------
    rows : list of (str, int)
        SHA-256 of the file and CRC-32 of the pixels of each row.
    by_hash : dict
        Row of each SHA-256.
    files : dict
        Path -> size in bytes and modification time in ns when it was read, row.
    """

    def __init__(self, root: Path, size: int, filter: str, transform_id: str):
        name = "none"
        if transform_id != "none":
            name = hashlib.sha256(transform_id.encode()).hexdigest()[:10]
        self.folder = root / f"v{VERSION}-{size}px-{filter}-{name}"
        self.settings: dict[str, int | str] = {
            "version": VERSION,
            "size": size,
            "filter": filter,
            "transform": transform_id,
        }
        self.size, self.filter = size, filter
        self.row_bytes = size * size * 3
        self.rows: list[tuple[str, int]] = []
        self.by_hash: dict[str, int] = {}
        self.files: dict[str, tuple[int, int, int]] = {}
        self.unreadable = False

    @property
    def pixels_file(self) -> Path:
        """The rows' pixels, one row after another."""
        return self.folder / "pixels.u8"

    @property
    def fingerprints_file(self) -> Path:
        """The rows' fingerprints, as far as they have been taken."""
        return self.folder / fingerprints.FILE

    @property
    def index_file(self) -> Path:
        """What the rows hold."""
        return self.folder / "index.json"

    def load(self) -> None:
        """Read the index; a damaged one is an empty one, and `damaged` says so.

        Raises
        ------
        InputError
            If the system refuses to read it.
        """
        self.rows, self.files, self.unreadable = [], {}, False
        try:
            index = _unsealed(self.index_file.read_text(encoding="utf-8"))
            if {key: index[key] for key in self.settings} != self.settings:
                raise ValueError
            rows = [(str(digest), int(crc)) for digest, crc in index["rows"]]
            files = {}
            for path, (size, mtime, row) in index["files"].items():
                if not 0 <= row < len(rows):
                    raise ValueError
                files[path] = (size, mtime, row)
            self.rows, self.files = rows, files
        except FileNotFoundError:
            pass
        except OSError as error:
            raise InputError(
                f"{self.index_file}: cannot be read ({error.strerror}); {ELSEWHERE}"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            self.unreadable = True
        self.by_hash = {digest: row for row, (digest, _) in enumerate(self.rows)}

    def find(self, paths: Sequence[str]) -> np.ndarray:
        """Find the row of each file.

        Parameters
        ----------
        paths : sequence of str

        Returns
        -------
        ndarray
            Shape (n,), int64; -1 where a file is unknown, has changed or is gone.
        """
        rows = np.full(len(paths), -1, np.int64)
        for i, path in enumerate(paths):
            known = self.files.get(path)
            if known is None:
                continue
            with contextlib.suppress(OSError):
                status = os.stat(path)  # noqa: PTH116
                if (status.st_size, status.st_mtime_ns) == known[:2]:
                    rows[i] = known[2]
        return rows

    def damaged(self, rows: np.ndarray, workers: int) -> str:
        """Say what is wrong with the files or with the rows that are asked for.

        Every row is read once for its checksum, which also brings the pixels into memory.

        Parameters
        ----------
        rows : ndarray
            Shape (n,), int64, none of them -1.
        workers : int
            Threads.

        Returns
        -------
        str
            "" if nothing is wrong.
        """
        if self.unreadable:
            return "index.json is damaged"
        if not self.rows:
            return ""
        try:
            length = self.pixels_file.stat().st_size
        except OSError:
            return "pixels.u8 is missing"
        if length < len(self.rows) * self.row_bytes:
            return "pixels.u8 is cut short"
        store = self.map()

        def wrong(chunk: np.ndarray) -> int:
            return sum(zlib.crc32(store[row]) != self.rows[row][1] for row in chunk)

        chunks = np.array_split(np.unique(rows), 4 * workers)
        with ThreadPoolExecutor(workers) as pool:
            count = sum(pool.map(wrong, chunks))
        return f"{count} of {len(self.rows)} images have a wrong checksum" if count else ""

    def map(self) -> np.ndarray:
        """Map the pixels.

        Returns
        -------
        ndarray
            Shape (rows, S, S, 3), uint8, RGB, read-only.
        """
        shape = (len(self.rows), self.size, self.size, 3)
        if not self.rows:
            return np.empty(shape, np.uint8)
        # A plain view: indexing an np.memmap costs several times as much.
        return np.asarray(np.memmap(self.pixels_file, np.uint8, "r", shape=shape))

    @contextlib.contextmanager
    def lock(self, progress: bool, wait: bool = True) -> Iterator[None]:
        """Hold the folder's lock, which its builder needs and its readers do not.

        Parameters
        ----------
        progress : bool
            Say so on stderr where another process is waited for.
        wait : bool
            Wait for it.

        Raises
        ------
        InputError
            If the folder cannot be written, or another process holds it and is not waited for.
        """
        lock = _locked(self.folder, progress, wait)
        try:
            yield
        finally:
            lock.release()

    def forget(self) -> None:
        """Begin anew with an empty folder."""
        # Unlinked, not overwritten: a process that has mapped the old file keeps it.
        self.index_file.unlink(missing_ok=True)
        self.pixels_file.unlink(missing_ok=True)
        self.fingerprints_file.unlink(missing_ok=True)
        self.load()

    def append(
        self,
        pixels: BinaryIO,
        marks: BinaryIO,
        path: str,
        digest: str,
        status: os.stat_result,
        image: np.ndarray | None,
        fingerprint: np.void | None,
    ) -> None:
        """Add an image; the index does not know of it until `commit`.

        Parameters
        ----------
        pixels : binary file
            The pixel file, at the end of its last row.
        marks : binary file
            The file of fingerprints.
        path : str
            Where the image was read.
        digest : str
            SHA-256 of its file's bytes, hex.
        status : os.stat_result
            Of the file when it was read.
        image : ndarray or None
            Shape (S, S, 3), uint8, RGB; None where the digest is known.
        fingerprint : void or None
            Of the whole image; None where the digest is known.
        """
        if image is not None and fingerprint is not None and digest not in self.by_hash:
            pixels.write(image.data)
            marks.seek(len(self.rows) * fingerprints.RECORD_BYTES)
            marks.write(fingerprints.seal(fingerprint, digest))
            self.by_hash[digest] = len(self.rows)
            self.rows.append((digest, zlib.crc32(image.data)))
        self.files[path] = (status.st_size, status.st_mtime_ns, self.by_hash[digest])

    def commit(self, pixels: BinaryIO, marks: BinaryIO) -> None:
        """Make the index say what the files hold, which reaches the disk first.

        Parameters
        ----------
        pixels, marks : binary file
            The pixel file, the file of fingerprints.
        """
        for file in (marks, pixels):
            file.flush()
            os.fsync(file.fileno())
        index = {**self.settings, "rows": self.rows, "files": self.files}
        write_text(self.index_file, _sealed(index))


def _locked(folder: Path, progress: bool, wait: bool) -> filelock.BaseFileLock:
    """Take a folder's lock; one that is held is waited for, or an error."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            if not wait:
                raise InputError(f"{folder}: another process is building it") from None
            say(progress, f"image cache: waiting for another process ({folder})")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{folder}: the image cache cannot be written ({reason}); {ELSEWHERE}"
        ) from None
    return lock


def _sealed(index: dict[str, Any]) -> str:
    """Write an index with its SHA-256 in front: a changed number would give another image's row."""
    body = json.dumps(index, separators=(",", ":"))
    return f'{{"sha256":"{hashlib.sha256(body.encode()).hexdigest()}",{body[1:]}'


def _unsealed(text: str) -> dict[str, Any]:
    """Read an index; `ValueError` if it is damaged. One without SHA-256 is of an older version."""
    seal = _SEAL.match(text)
    if seal is None:
        index = json.loads(text)
        if index.keys() - {"version", "size", "filter", "transform", "rows", "files"}:
            raise ValueError
        return index
    body = "{" + text[seal.end() :]
    if hashlib.sha256(body.encode()).hexdigest() != seal[1]:
        raise ValueError
    return json.loads(body)
