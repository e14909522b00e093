"""One file over HTTP: receive it, go on after a cut, compare its checksum.

The standard library does it: resuming safely is a matter of the few headers below, which general
HTTP clients leave to the caller anyway. pooch, which fetches files for many packages, begins anew
after a cut, compares nothing before the end and has no limit on what it receives or unpacks, so
that only its checksum, one call of `hashlib`, would be left to it here.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
from pathlib import Path

from common import terminal
from common.datasets.fetch import archives, connection
from common.datasets.fetch.connection import ELSEWHERE, ChangedError, TransientError
from common.datasets.fetch.part import Part, Source
from common.errors import InputError
from common.terminal import megabytes

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 6  # in a row without a byte more than before
FIRST_WAIT, LONGEST_WAIT = 1.0, 120.0  # seconds; each wait is twice the one before
# So much of the end of a part is asked for again and compared, lest two versions be joined.
OVERLAP = 64 << 10


def fetch(
    url: str,
    path: str | os.PathLike,
    *,
    size: int | None = None,
    limit: int | None = None,
    checksum: str | None = None,
    unpacked_ratio: float = 0.0,
    timeout: float | None = None,
) -> Path:
    """Download an archive, continuing what an earlier call left.

    A part is continued only if the server says that the file is the same (If-Range with its ETag
    or date, the total size) and the end of the part arrives again as it was. Otherwise the file is
    fetched anew.

    Parameters
    ----------
    url : str
        An http or https address.
    path : path
        Where the file goes; its folder exists.
    size : int, optional
        Its published size in bytes. A server that announces no length is read up to it.
    limit : int, optional
        More bytes than these are not received, where `size` is unknown.
    checksum : str, optional
        Its published checksum, ``algorithm:hex``.
    unpacked_ratio : float
        Space to leave on the disk besides the file, as a multiple of its size.
    timeout : float, optional
        Seconds without a byte after which the connection counts as cut; 30 by default.

    Returns
    -------
    Path
        `path`, where the whole file lies now.

    Raises
    ------
    InputError
        If the address is wrong or refused, what it gives is no archive or not the published one,
        the server fails again and again, or the disk is full.
    """
    path = Path(path)
    with terminal.progress(path.name, unit="bytes") as bar:
        transfer = _Transfer(
            connection.checked(url), path, bar,
            size=size, limit=limit, ratio=unpacked_ratio, timeout=timeout or TIMEOUT,
        )  # fmt: skip
        try:
            transfer.run()
        except KeyboardInterrupt:
            bar.say(f"{transfer.part.kept()}; the same command goes on")
            raise
    if checksum:
        transfer.compare(checksum)
    transfer.part.finish()
    return path


class _Transfer:
    """One file on its way from a server to a place.

    Parameters
    ----------
    url : str
        A checked address.
    path : Path
        Where the whole file will lie.
    bar : Bar
        Is told of every byte, and says what goes wrong.
    size, limit, ratio, timeout
        `fetch` describes them.
    """

    def __init__(
        self, url: str, path: Path, bar: terminal.Bar, *,
        size: int | None, limit: int | None, ratio: float, timeout: float,
    ):  # fmt: skip
        self.url, self.path, self.bar = url, path, bar
        self.size, self.limit, self.ratio, self.timeout = size, limit, ratio, timeout
        self.part = Part(path, url)

    def run(self) -> None:
        """Receive the whole file into the part, in as many connections as it takes."""
        best, failures = self.part.size() if self.part.source() else 0, 0
        while True:
            try:
                if self.receive():
                    return
                reason, wait = "the connection was cut", None
            except TransientError as error:
                if isinstance(error, ChangedError):
                    self.part.forget_source()
                reason, wait = str(error), error.wait
            except OSError as error:
                problem = archives.disk_problem(self.part.file, error)
                raise InputError(
                    f"{problem}. {self.part.kept()}; make room, and give the same command"
                ) from None
            # Only bytes beyond the best so far count as progress: a server that always breaks off
            # at the same place, or has another file each time, does not keep us here for ever.
            have = self.part.size()
            failures = 1 if have > best else failures + 1
            best = max(best, have)
            if failures >= ATTEMPTS:
                raise InputError(
                    f"{connection.shown(self.url)}: {reason}, {ATTEMPTS} times. "
                    f"{self.part.kept()}; try the same command later. {ELSEWHERE}"
                )
            wait = min(wait or FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT)
            self.bar.say(f"{self.path.name}: {reason} at {megabytes(have)}; again in {wait:.0f} s")
            time.sleep(wait)

    def receive(self) -> bool:
        """Receive what one connection gives; True if the file is then whole."""
        source = self.part.source()
        have = self.part.size() if source else 0
        start = max(have - OVERLAP, 0)
        headers = {}
        if source and start:
            headers["Range"] = f"bytes={start}-"
            if source.validator:
                headers["If-Range"] = source.validator
        with connection.connect(self.url, headers, self.timeout) as response:
            first = b""
            if source and start and response.status == http.client.PARTIAL_CONTENT:
                total, end = self.check_range(response, start, source)
                check_space(self.path.parent, total - have, round(total * self.ratio))
                self.check_overlap(response, start, have)
                return self.copy(response, first, have, end, total)
            if response.status != http.client.OK:
                # Bytes that were not asked for; the next time all is asked for.
                raise ChangedError(f"the server answers {response.status} out of place")
            whole = self.check_total(response)
            first = self.check_beginning(response, whole)
            room = whole or 0
            missing = max(room - self.part.size(), 0)  # the old part makes room
            check_space(self.path.parent, missing, round(room * self.ratio))
            self.part.begin_anew(Source(connection.validator(response), whole))
            return self.copy(response, first, 0, whole, whole)

    def copy(
        self,
        response: http.client.HTTPResponse,
        first: bytes,
        have: int,
        end: int | None,
        total: int | None,
    ) -> bool:
        """Append what arrives up to `end` to the part; True if it then has `total` bytes.

        Without a length the end of the connection is that of the file.
        """
        self.bar.restart(have, total)
        # Unbuffered: a full disk shows at once, and what was written before it is in the part.
        with self.part.file.open("ab", buffering=0) as file:
            while True:
                rest = memoryview(first)
                while rest:
                    rest = rest[file.write(rest) :]
                have += len(first)
                self.bar.at(have)
                if self.limit is not None and have > self.limit:
                    self.part.discard()
                    raise self.too_large(f"more than {self.limit}")
                # `read1` itself stops at the announced length only in newer Pythons.
                most = connection.CHUNK if end is None else min(connection.CHUNK, end - have)
                first = connection.read(response, most) if most else b""
                if not first:
                    return total is None or have == total

    def check_range(
        self, response: http.client.HTTPResponse, start: int, source: Source
    ) -> tuple[int, int]:
        """Total size and end of what is sent, if it continues what the part belongs to."""
        found = re.fullmatch(
            r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip()
        )
        if not found or int(found[1]) != start or not start <= int(found[2]) < int(found[3]):
            raise ChangedError("the server sends another range than asked for")
        total = int(found[3])
        sizes = {source.bytes, self.size, total} - {None}
        if len(sizes) > 1 or self.part.size() > total:
            raise ChangedError("the file's size has changed on the server")
        validator = connection.validator(response)
        if source.validator and validator and validator != source.validator:
            raise ChangedError("the file has changed on the server")
        return total, int(found[2]) + 1

    def check_overlap(self, response: http.client.HTTPResponse, start: int, have: int) -> None:
        """Compare the end of the part with what arrives again."""
        with self.part.file.open("rb") as file:
            file.seek(start)
            while start < have:
                chunk = connection.read(response, have - start)
                if not chunk:
                    raise TransientError("the connection was cut")
                if chunk != file.read(len(chunk)):
                    raise ChangedError("the file has changed on the server")
                start += len(chunk)

    def check_total(self, response: http.client.HTTPResponse) -> int | None:
        """Size of the whole file: announced, else published; None if neither is."""
        total = response.length
        if total is None:
            return self.size
        if self.size is not None and total != self.size:
            raise InputError(
                f"{connection.shown(self.url)}: {total} bytes; the published file has {self.size}. "
                f"{ELSEWHERE}"
            )
        if self.limit is not None and total > self.limit:
            raise self.too_large(str(total))
        return total

    def too_large(self, count: str) -> InputError:
        """Error for a file that cannot be what is wanted."""
        return InputError(
            f"{connection.shown(self.url)}: {count} bytes; the file that is wanted has less than "
            f"{megabytes(self.limit or 0)}. {ELSEWHERE}"
        )

    def check_beginning(self, response: http.client.HTTPResponse, total: int | None) -> bytes:
        """First bytes of a whole file, if they are an archive's; before the old part goes."""
        head = b""
        wanted = 512 if total is None else min(512, total)
        while len(head) < wanted and (chunk := connection.read(response, wanted - len(head))):
            head += chunk
        if response.length is not None and len(head) < wanted:
            raise TransientError("the connection was cut")
        if archives.kind(head) is None:
            text = " ".join(head[:60].decode("latin-1").split())
            raise InputError(
                f"{connection.shown(self.url)}: not an archive; it begins with {text!r}. The file "
                f"may have moved, or the network asks you to log in first. {ELSEWHERE}"
            )
        return head

    def compare(self, checksum: str) -> None:
        """Compare the part with a published checksum; without a match it is deleted."""
        algorithm, _, expected = checksum.partition(":")
        self.bar.say(f"{self.path.name}: comparing the {algorithm} checksum")
        found = digest(self.part.file, algorithm)
        if found != expected.lower():
            self.part.discard()
            raise InputError(
                f"{connection.shown(self.url)}: what arrived is damaged or not the published file "
                f"({algorithm} {found}, published {expected}). It is deleted; run the command again"
            )


def digest(path: Path, algorithm: str) -> str:
    """Checksum of a file, as hex.

    Parameters
    ----------
    path : Path
        The file.
    algorithm : str
        As `hashlib` names it.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()


def check_space(folder: Path, archive: int, unpacked: int) -> None:
    """Stop if the rest of an archive and its content cannot fit on the folder's disk.

    Parameters
    ----------
    folder : Path
        Where both go.
    archive, unpacked : int
        Bytes that are still to come.

    Raises
    ------
    InputError
        Names what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if archive + unpacked > free:
        wanted = [f"{megabytes(archive)} to download"] if archive else []
        wanted += [f"{megabytes(unpacked)} unpacked"] if unpacked else []
        raise InputError(
            f"{folder}: {megabytes(archive + unpacked)} are needed ({' and '.join(wanted)}), "
            f"{megabytes(free)} are free; make room, or choose another --data-dir"
        )
