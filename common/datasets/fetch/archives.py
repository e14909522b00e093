"""Unpack a .zip, .tar.gz or .tar from elsewhere without trusting it.

Only plain files and folders come out. Nothing is handed to `tarfile`'s or `zipfile`'s own
`extract`: names are checked here more strictly than by ``filter="data"``, no link is ever made, and
no owner, mode or time is taken from the archive.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from common import terminal
from common.datasets.fetch import names
from common.errors import InputError
from common.terminal import megabytes

CHUNK = 1 << 20
MAX_FILES = 50_000
MAX_BYTES = 200 * 10**9
# Images are compressed already: unpacked they take little more. A bomb takes a thousand times.
MAX_RATIO = 20
RATIO_FREE = 64 << 20  # bytes that may come out of however small an archive

# tarfile reads a header and all that extends it into memory, however large it says it is.
_MAX_HEADER = 1 << 20
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError,
    NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error,
)  # fmt: skip


class DamagedError(InputError):
    """An archive cannot be read to its end."""


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive: how many files, and their bytes in all."""

    files: int
    bytes: int


def kind(head: bytes) -> str | None:
    """Tell an archive by its beginning.

    Parameters
    ----------
    head : bytes
        The first 512.

    Returns
    -------
    str or None
        "zip", "gzip" or "tar"; None for anything else.
    """
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else None


def unpack(
    archive: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
) -> Unpacked:
    """Unpack an archive into a new folder, whole or not at all.

    Hidden entries and the shadow files of macOS are passed over. What was written may still be in
    memory only when this returns; `to_disk` waits for it.

    Parameters
    ----------
    archive : path
        A .zip, .tar.gz or .tar; recognised by its content.
    folder : path
        It must not exist. After an error or Ctrl-C it does not exist either.
    max_bytes, max_files : int
        Limits on what comes out, passed-over entries included. Independent of them, no more than
        20 times the archive's size comes out, beyond the first 64 MiB.

    Returns
    -------
    Unpacked
        Number and total size of the files written.

    Raises
    ------
    DamagedError
        If the archive is cut short, a checksum in it is wrong, or it is none of these kinds.
    InputError
        If the archive holds a link, a device, an unsafe or doubled name, or more than the limits
        allow; or the disk is full.
    """
    archive, folder = Path(archive), Path(folder)
    size = archive.stat().st_size
    most = min(max_bytes, RATIO_FREE + MAX_RATIO * size)
    with archive.open("rb") as file:
        found = kind(file.read(512))
    if found is None:
        raise DamagedError(f"{archive}: not a .zip, .tar.gz or .tar archive")
    folder.mkdir(parents=True)
    try:
        with terminal.progress(f"unpacking {archive.name}", unit="bytes") as bar:
            writer = _Writer(archive, folder, most, max_files, bar)
            if found == "zip":
                _unpack_zip(archive, writer)
            else:
                _unpack_tar(archive, writer, compressed=found == "gzip")
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, InputError) or not isinstance(error, (*_DAMAGED, OSError)):
            raise
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise InputError(disk_problem(folder, error)) from None
        raise DamagedError(f"{archive}: damaged ({str(error) or type(error).__name__})") from None
    return Unpacked(writer.files, writer.bytes)


def to_disk(folder: str | os.PathLike) -> None:
    """Wait until all that was written on a folder's file system is on its disk.

    One call for all files: an fsync for each of 8,000 small ones takes minutes on a hard disk.
    Windows has no such call; it is left to itself there.

    Parameters
    ----------
    folder : path
        Any folder on the file system.

    Raises
    ------
    InputError
        If the disk could not take all of it.
    """
    import ctypes

    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs  # Linux; `os` has only `sync`
    except (OSError, AttributeError, TypeError):
        getattr(os, "sync", lambda: None)()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise InputError(disk_problem(Path(folder), OSError(code, os.strerror(code))))
    finally:
        os.close(descriptor)


def unpacked_bytes(archive: str | os.PathLike) -> int | None:
    """Sum of the sizes that a zip's directory states.

    Parameters
    ----------
    archive : path
        Any archive.

    Returns
    -------
    int or None
        None for other archives, which state none in advance.
    """
    with contextlib.suppress(*_DAMAGED), zipfile.ZipFile(archive) as source:
        return sum(info.file_size for info in source.infolist())
    return None


def disk_problem(path: Path, error: OSError) -> str:
    """Words for a file that cannot be written.

    Parameters
    ----------
    path : Path
        The file or its folder.
    error : OSError
        What the system says.
    """
    return f"{path}: cannot be written ({error.strerror or error})"


class _Readable(Protocol):
    """What a file has been opened as, if it can be read."""

    def read(self, size: int, /) -> bytes: ...


class _Writer:
    """Writes checked entries below a folder and keeps count."""

    def __init__(
        self, archive: Path, folder: Path, max_bytes: int, max_files: int, bar: terminal.Bar
    ):
        self.archive, self.folder, self.bar = archive, folder, bar
        self.max_bytes, self.max_files = max_bytes, max_files
        self.entries = self.read = self.files = self.bytes = 0
        self.kinds: dict[tuple[str, ...], str] = {}  # names as a careless file system sees them

    def refuse(self, name: str, reason: str) -> InputError:
        return InputError(f"{self.archive}: refused, nothing is unpacked: {name!r} {reason}")

    def check(self, name: str, is_folder: bool, size: int) -> tuple[str, ...] | None:
        """Parts of an entry's name that may be written; None for one to pass over."""
        self.entries += 1
        if self.entries > self.max_files:
            raise self.refuse(name, f"is entry {self.entries:,}; at most {self.max_files:,} are")
        if size < 0 or self.read + size > self.max_bytes:
            raise self.refuse(
                name,
                f"makes the content larger than {megabytes(self.max_bytes)}, too much for an "
                f"archive of {megabytes(self.archive.stat().st_size)}",
            )
        try:
            parts = names.safe_parts(name)
        except ValueError as error:
            raise self.refuse(name, str(error)) from None
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return None
        if not parts:
            if is_folder:
                return None
            raise self.refuse(name, "is no name")
        folded = names.folded(parts)
        for depth in range(1, len(folded)):
            if self.kinds.setdefault(folded[:depth], "folder") == "file":
                raise self.refuse(name, "lies in a folder that is a file")
        if folded in self.kinds and not (is_folder and self.kinds[folded] == "folder"):
            raise self.refuse(name, "is there twice, or differs from another only in its case")
        self.kinds[folded] = "folder" if is_folder else "file"
        return parts

    def folder_at(self, parts: tuple[str, ...]) -> None:
        self.folder.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def file_at(
        self, parts: tuple[str, ...] | None, name: str, source: _Readable, size: int,
        position: Callable[[], int],
    ) -> None:  # fmt: skip
        """Copy `size` bytes of an entry; read them to no end if `parts` is None."""
        if parts is None:
            self.copy(name, source, size, position, None)
            return
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            self.copy(name, source, size, position, target)
        self.files += 1
        self.bytes += size

    def copy(
        self, name: str, source: _Readable, size: int, position: Callable[[], int],
        target: IO[bytes] | None,
    ) -> None:  # fmt: skip
        count = 0
        while chunk := source.read(CHUNK):
            count += len(chunk)
            self.read += len(chunk)
            if count > size or self.read > self.max_bytes:
                raise self.refuse(name, "is larger than it says")
            if target:
                target.write(chunk)
            self.bar.at(position())
        if count != size:
            raise DamagedError(f"{self.archive}: damaged ({name!r} is cut short)")


def _unpack_zip(archive: Path, writer: _Writer) -> None:
    with zipfile.ZipFile(archive) as source:
        entries = []
        for info in source.infolist():
            name = info.orig_filename  # `filename` ends at a NUL character
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise writer.refuse(name, "is a link or a device")
            if info.flag_bits & 1:
                raise writer.refuse(name, "is encrypted")
            parts = writer.check(name, info.is_dir(), 0 if info.is_dir() else info.file_size)
            entries.append((info, name, parts))
        total = sum(info.file_size for info, *_ in entries)
        if total > writer.max_bytes:
            raise writer.refuse(entries[-1][1], f"and the others are {megabytes(total)} unpacked")
        writer.bar.restart(0, total)
        for info, name, parts in entries:
            if info.is_dir():
                if parts:
                    writer.folder_at(parts)
            elif parts:
                with source.open(info) as content:  # checks the CRC-32 at its end
                    writer.file_at(parts, name, content, info.file_size, lambda: writer.read)


def _unpack_tar(archive: Path, writer: _Writer, *, compressed: bool) -> None:
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(archive.open("rb"))
        plain: _Readable = raw
        if compressed:
            plain = stack.enter_context(gzip.GzipFile(fileobj=raw))
        metered = _Metered(plain)
        writer.bar.restart(0, archive.stat().st_size)
        metered.left = _MAX_HEADER
        source = stack.enter_context(tarfile.open(fileobj=metered, mode="r|"))
        for member in _members(source, metered):
            name = member.name
            if member.isdir():
                parts = writer.check(name, True, 0)
                if parts:
                    writer.folder_at(parts)
                continue
            content = source.extractfile(member) if member.isreg() else None
            if content is None or member.issparse():
                raise writer.refuse(name, "is a link, a device or a sparse file")
            parts = writer.check(name, False, member.size)
            metered.left = member.size + _MAX_HEADER
            writer.file_at(parts, name, content, member.size, raw.tell)
        # tarfile takes a damaged header for the end. What follows the end are zeros, and reading
        # them makes gzip compare its checksum of the whole.
        metered.left = RATIO_FREE
        while source.fileobj and (rest := source.fileobj.read(CHUNK)):
            if rest.strip(b"\0"):
                raise DamagedError(f"{archive}: damaged (it goes on behind its end)")


def _members(source: tarfile.TarFile, metered: _Metered) -> Iterator[tarfile.TarInfo]:
    while True:
        metered.left = _MAX_HEADER
        member = source.next()
        if member is None:
            return
        yield member
        # Or all headers stay in memory.
        source.members.clear()  # type: ignore[attr-defined]  # missing in typeshed


class _Metered(io.RawIOBase):
    """A stream that stops when more is read than was allowed."""

    def __init__(self, stream: _Readable):
        super().__init__()
        self.stream, self.left = stream, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise tarfile.ReadError("a header is too large")
        return data
