"""Unpack a .zip, .tar.gz or .tar from elsewhere without trusting it.

Only plain files and folders come out. Nothing is handed to `tarfile`'s or `zipfile`'s own
`extract`: names are checked here more strictly than by ``filter="data"``, no link is ever made, and
no owner, mode or time is taken from the archive.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import stat
import struct
import sys
import tarfile
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common.errors import InputError

CHUNK = 1 << 20
MAX_FILES = 50_000
MAX_BYTES = 200 * 10**9
# Images are compressed already: unpacked they take little more. A bomb takes a thousand times.
MAX_RATIO = 20
RATIO_FREE = 64 << 20  # bytes that may come out of however small an archive

LOG_SECONDS = 2.0  # between two lines of progress in a log

# tarfile reads a header and all that extends it into memory, however large it says it is.
_MAX_HEADER = 1 << 20
_MAX_NAME, _MAX_PATH, _MAX_DEPTH = 255, 1024, 32
# Windows opens a device under these names, in any folder and with any suffix.
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"
}
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError,
    NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error,
)  # fmt: skip


class DamagedError(InputError):
    """An archive cannot be read to its end."""


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive."""

    files: int
    bytes: int


def kind(head: bytes) -> str | None:
    """Tell an archive by its first 512 bytes: "zip", "gzip", "tar", or None for anything else."""
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

    Hidden entries and the shadow files of macOS are passed over. Each file is on the disk, not only
    in memory, when this returns.

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
    writer = _Writer(archive, folder, min(max_bytes, RATIO_FREE + MAX_RATIO * size), max_files)
    with archive.open("rb") as file:
        found = kind(file.read(512))
    if found is None:
        raise DamagedError(f"{archive}: not a .zip, .tar.gz or .tar archive")
    folder.mkdir(parents=True)
    try:
        (_unpack_zip if found == "zip" else _unpack_tar)(archive, found, writer)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, InputError) or not isinstance(error, (*_DAMAGED, OSError)):
            raise
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise InputError(disk_problem(folder, error)) from None
        raise DamagedError(f"{archive}: damaged ({str(error) or type(error).__name__})") from None
    finally:
        writer.progress.end()
    return Unpacked(writer.files, writer.bytes)


def unpacked_bytes(archive: str | os.PathLike) -> int | None:
    """Sum of the sizes that a zip's directory states; None for other archives, which have none."""
    with contextlib.suppress(*_DAMAGED), zipfile.ZipFile(archive) as source:
        return sum(info.file_size for info in source.infolist())
    return None


def disk_problem(path: Path, error: OSError) -> str:
    """Words for a file that cannot be written."""
    return f"{path}: cannot be written ({error.strerror or error})"


def safe_parts(name: str) -> tuple[str, ...]:
    """Split an entry's name into folders and file name.

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


class Progress:
    """Percent, MB/s and time left: one rewritten line on a terminal, every tenth in a log."""

    def __init__(self, title: str):
        self.title = title
        self.terminal = sys.stderr.isatty()
        self.dirty = False
        self.begin(0, None)

    def begin(self, done: int, total: int | None) -> None:
        """Start to measure, with `done` of `total` bytes there already."""
        self.first, self.total = done, total
        self.start = self.last = time.monotonic()
        self.tenth = 10 * done // total if total else 0

    def at(self, done: int) -> None:
        """Show that `done` bytes are there."""
        now = time.monotonic()
        tenth = min(10, 10 * done // self.total) if self.total else 0
        if self.terminal:
            due = now - self.last > 0.25
        else:
            due = now - self.last > (LOG_SECONDS if self.total else 60) and (
                tenth > self.tenth or not self.total
            )
        if not due:
            return
        self.last, self.tenth = now, tenth
        rate = max(done - self.first, 0) / max(now - self.start, 1e-3)
        text = f"{self.title}: {megabytes(done)}"
        if self.total:
            text = f"{self.title}: {100 * done / self.total:3.0f} % of {megabytes(self.total)}"
        text += f", {rate / 1e6:.1f} MB/s"
        if self.total and rate:
            text += f", {_duration((self.total - done) / rate)} left"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[2K{text[:width]}", end="", file=sys.stderr, flush=True)
            self.dirty = True
        else:
            print(text, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.end()
        print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line as it is and go to the next."""
        if self.dirty:
            print(file=sys.stderr, flush=True)
            self.dirty = False


def megabytes(count: float) -> str:
    """Size in decimal units, as the data sets' pages state it."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(min(seconds, 359_999)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Writer:
    """Writes checked entries below a folder and keeps count."""

    def __init__(self, archive: Path, folder: Path, max_bytes: int, max_files: int):
        self.archive, self.folder = archive, folder
        self.max_bytes, self.max_files = max_bytes, max_files
        self.entries = self.read = self.files = self.bytes = 0
        self.kinds: dict[tuple[str, ...], str] = {}  # names as a careless file system sees them
        self.progress = Progress(f"unpacking {archive.name}")

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
            parts = safe_parts(name)
        except ValueError as error:
            raise self.refuse(name, str(error)) from None
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return None
        if not parts:
            if is_folder:
                return None
            raise self.refuse(name, "is no name")
        folded = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
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
        self, parts: tuple[str, ...] | None, name: str, source: IO[bytes], size: int,
        position: Callable[[], int],
    ) -> None:  # fmt: skip
        """Copy `size` bytes of an entry; read them to no end if `parts` is None."""
        path = self.folder.joinpath(*parts) if parts else None
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        count = 0
        with path.open("xb") if path else contextlib.nullcontext() as target:
            while chunk := source.read(CHUNK):
                count += len(chunk)
                self.read += len(chunk)
                if count > size or self.read > self.max_bytes:
                    raise self.refuse(name, "is larger than it says")
                if target:
                    target.write(chunk)
                self.progress.at(position())
            if count != size:
                raise DamagedError(f"{self.archive}: damaged ({name!r} is cut short)")
            if target:
                target.flush()
                os.fsync(target.fileno())
                self.files += 1
                self.bytes += count


def _unpack_zip(archive: Path, _: str, writer: _Writer) -> None:
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
        writer.progress.begin(0, total)
        for info, name, parts in entries:
            if info.is_dir():
                if parts:
                    writer.folder_at(parts)
            elif parts:
                with source.open(info) as content:  # checks the CRC-32 at its end
                    writer.file_at(parts, name, content, info.file_size, lambda: writer.read)


def _unpack_tar(archive: Path, found: str, writer: _Writer) -> None:
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(archive.open("rb"))
        plain = stack.enter_context(gzip.GzipFile(fileobj=raw)) if found == "gzip" else raw
        metered = _Metered(plain)
        writer.progress.begin(0, archive.stat().st_size)
        metered.left = _MAX_HEADER
        source = stack.enter_context(tarfile.open(fileobj=metered, mode="r|"))
        for member in _members(source, metered):
            name = member.name
            if member.isdir():
                parts = writer.check(name, True, 0)
                if parts:
                    writer.folder_at(parts)
                continue
            if not member.isreg() or member.issparse():
                raise writer.refuse(name, "is a link, a device or a sparse file")
            parts = writer.check(name, False, member.size)
            metered.left = member.size + _MAX_HEADER
            content = source.extractfile(member)
            writer.file_at(parts, name, content, member.size, raw.tell)
        # tarfile takes a damaged header for the end. What follows the end are zeros, and reading
        # them makes gzip compare its checksum of the whole.
        metered.left = RATIO_FREE
        while rest := source.fileobj.read(CHUNK):
            if rest.strip(b"\0"):
                raise DamagedError(f"{archive}: damaged (it goes on behind its end)")


def _members(source: tarfile.TarFile, metered: _Metered) -> Iterator[tarfile.TarInfo]:
    while True:
        metered.left = _MAX_HEADER
        member = source.next()
        if member is None:
            return
        yield member
        source.members.clear()  # or all headers stay in memory


class _Metered:
    """A stream that stops when more is read than was allowed."""

    def __init__(self, stream: IO[bytes]):
        self.stream, self.left = stream, 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise tarfile.ReadError("a header is too large")
        return data
