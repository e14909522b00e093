"""Download a public data set from its own host, resume, verify and unpack it.

Only what its authors publish, from where they publish it, or a copy that the user names. The
standard library does it all: resuming safely is a matter of the few headers below, which general
HTTP clients leave to the caller anyway. Proxies are taken from the usual environment variables.

While a file arrives, two files lie beside its later place: ``NAME.part``, what has arrived, and
``NAME.part.json``, what it is a part of. The name itself appears when all has arrived and been
checked.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from common import archives, datasets
from common.archives import Progress, megabytes
from common.errors import InputError
from common.files import write_json

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 6  # in a row without a byte more than before
FIRST_WAIT, LONGEST_WAIT = 1.0, 120.0  # seconds; each wait is twice the one before
# So much of the end of a part is asked for again and compared, lest two versions be joined.
OVERLAP = 64 << 10
# Space that unpacked images take, as a multiple of their archive: an estimate, on the safe side.
UNPACKED_RATIO = 1.25

_RETRIED = {408, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524}
_ELSEWHERE = "--url gives another address, --archive a copy that you have"


def dataset(
    card: ModuleType,
    data_dir: str | os.PathLike | None,
    *,
    url: str | None = None,
    archive: str | os.PathLike | None = None,
    keep_archive: bool = False,
) -> bool:
    """Bring a data set into a folder: download, check, unpack, count.

    Each step that is done already is left out, so the same command continues after a stop.

    Parameters
    ----------
    card : module
        The data set (`common.datasets.get`).
    data_dir : path or None
        Folder that the data set's own folder will lie in; None means $HISTOPAPERS_DATA.
    url : str, optional
        Address of a mirror; a path or a ``file:`` address is taken as `archive`.
    archive : path, optional
        A copy of the archive to unpack; it is left where it is.
    keep_archive : bool
        Keep the downloaded archive once its content has been counted.

    Returns
    -------
    bool
        Whether the folder now holds exactly the images that the data set is known to have.

    Raises
    ------
    InputError
        If it cannot be obtained; the message says why and how to go on.
    """
    import filelock

    if url and archive:
        raise InputError("give --url or --archive, not both")
    if url and (local := _local_path(url)):
        archive, url = local, None
    root = _folder(card, data_dir)
    url = url or card.URL
    print(
        f"{card.TITLE}\nlicence:  {card.LICENCE}\ncite:     {card.CITATION}\nhome:     {card.HOME}",
        flush=True,
    )
    if not archive and not url:
        if root.is_dir() and _already_there(card, root):
            return True
        raise InputError(
            f"{card.TITLE} has no fixed address to download it from. Obtain it {card.OBTAIN}\n"
            f"Mind its licence: {card.LICENCE}. Then unpack it with --archive FILE."
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(root / f".download-{card.NAME}.lock").acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(
            f"{root}: another process is downloading {card.TITLE} to it; wait for it to end"
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{root}: cannot be written ({reason}); choose another folder") from None
    with lock:
        if _already_there(card, root):
            return True
        source = Path(archive).expanduser() if archive else _obtain(card, root, url)
        if not source.is_file():
            raise InputError(f"--archive {source}: no such file")
        folder, wrong = _unpack(card, root, source)
    if wrong:
        print(f"{folder}: NOT whole: {wrong}; the archive is kept: {source}")
        return False
    if not archive and not keep_archive:
        source.unlink()
    print(f"{folder}: whole, {card.EXPECTED_IMAGES} images; `verify` opens every one of them")
    return True


# --- one file over HTTP ------------------------------------------------------------------------


def fetch(
    url: str,
    path: str | os.PathLike,
    *,
    size: int | None = None,
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
        Its published size in bytes.
    checksum : str, optional
        Its published checksum, ``algorithm:hex``.
    unpacked_ratio : float
        Space to leave on the disk besides the file, as a multiple of its size.
    timeout : float, optional
        Seconds without a byte after which the connection counts as cut; 30 by default.

    Raises
    ------
    InputError
        If the address is wrong or refused, what it gives is no archive or not the published one,
        the server fails again and again, or the disk is full.
    """
    transfer = _Transfer(url, Path(path), size, unpacked_ratio, timeout or TIMEOUT)
    try:
        transfer.run()
    except KeyboardInterrupt:
        transfer.progress.say(f"{transfer.kept()}; the same command goes on")
        raise
    finally:
        transfer.progress.end()
    if checksum:
        transfer.compare(checksum)
    transfer.finish()
    return transfer.path


class _TransientError(Exception):
    """Something that may go better next time."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class _ChangedError(_TransientError):
    """The server's file is not the one that the part belongs to."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirections to http and https only, and never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = (urllib.parse.urlsplit(address).scheme for address in (req.full_url, newurl))
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise InputError(f"{_shown(req.full_url)}: redirected to an unsafe address, {new}:")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    """Open an address; what went wrong is sorted into `InputError` and what is worth a retry."""
    opener = urllib.request.build_opener(_SafeRedirects)
    # Some servers turn away the name that urllib gives itself.
    headers = {"User-Agent": "histopapers", "Accept-Encoding": "identity", **headers}
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            answer = f"the server answers {error.code} {error.reason}"
            if error.code == 416:
                raise _ChangedError(answer) from None
            if error.code in _RETRIED:
                after = error.headers.get("Retry-After", "")
                raise _TransientError(answer, float(after) if after.isdecimal() else None) from None
        raise InputError(f"{_shown(url)}: {answer}; {_ELSEWHERE}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise InputError(
                f"{_shown(url)}: the server's certificate is not trusted "
                f"({error.reason.verify_message}); behind a proxy that opens connections, name its "
                f"certificate in $SSL_CERT_FILE. {_ELSEWHERE}"
            ) from None
        raise _TransientError(_words(error.reason)) from None
    except http.client.InvalidURL as error:
        raise InputError(f"--url {_shown(url)}: {error}") from None
    except (http.client.HTTPException, OSError) as error:
        raise _TransientError(_words(error)) from None


class _Transfer:
    """One file on its way from a server to a place."""

    def __init__(self, url: str, path: Path, size: int | None, ratio: float, timeout: float):
        self.url, self.path, self.size = _checked(url), path, size
        self.ratio, self.timeout = ratio, timeout
        self.part = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")
        self.progress = Progress(path.name)

    def run(self) -> None:
        """Receive the whole file into the part, in as many connections as it takes."""
        best, failures = self.have() if self.read_note() else 0, 0
        while True:
            try:
                if self.receive():
                    return
                reason, wait = "the connection was cut", None
            except _TransientError as error:
                if isinstance(error, _ChangedError):
                    self.note.unlink(missing_ok=True)
                reason, wait = str(error), error.wait
            except OSError as error:
                raise InputError(self.disk_problem(error)) from None
            # Only bytes beyond the best so far count as progress: a server that always breaks off
            # at the same place, or has another file each time, does not keep us here for ever.
            failures = 1 if self.have() > best else failures + 1
            best = max(best, self.have())
            if failures >= ATTEMPTS:
                raise InputError(
                    f"{_shown(self.url)}: {reason}, {ATTEMPTS} times. {self.kept()}; try the "
                    f"same command later. {_ELSEWHERE}"
                )
            wait = min(wait or FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT)
            self.progress.say(
                f"{self.path.name}: {reason} at {megabytes(self.have())}; again in {wait:.0f} s"
            )
            time.sleep(wait)

    def receive(self) -> bool:
        """Receive what one connection gives; True if the file is then whole."""
        note = self.read_note()
        have = self.have() if note else 0
        start = max(have - OVERLAP, 0)
        headers = {}
        if start:
            headers["Range"] = f"bytes={start}-"
            if note["validator"]:
                headers["If-Range"] = note["validator"]
        with _open(self.url, headers, self.timeout) as response:
            first = b""
            if start and response.status == http.client.PARTIAL_CONTENT:
                total, end = self.check_range(response, start, note)
                self.check_space(total - have, total)
                self.check_overlap(response, start, have)
            elif response.status == http.client.OK:
                have, total = 0, response.length
                end = total
                first = self.check_beginning(response, total)
                whole = total or self.size or 0
                self.check_space(whole - self.have(), whole)  # the old part makes room
                self.begin_anew(_validator(response), total)
            else:
                # Bytes that were not asked for; the next time all is asked for.
                raise _ChangedError(f"the server answers {response.status} out of place")
            self.progress.begin(have, total)
            # Unbuffered: a full disk shows at once, and what was written before it is in the part.
            with self.part.open("ab", buffering=0) as file:
                while True:
                    rest = memoryview(first)
                    while rest:
                        rest = rest[file.write(rest) :]
                    have += len(first)
                    self.progress.at(have)
                    # `read1` itself stops at the announced length only in newer Pythons.
                    most = archives.CHUNK if end is None else min(archives.CHUNK, end - have)
                    first = _read(response, most) if most else b""
                    if not first:
                        break
        return total is None or have == total

    def begin_anew(self, validator: str, total: int | None) -> None:
        """Empty the part and note what it will be a part of."""
        with self.part.open("wb"):
            pass
        write_json(self.note, {"url": _identity(self.url), "validator": validator, "bytes": total})

    def check_range(self, response, start: int, note: dict[str, Any]) -> tuple[int, int]:
        """Total size and end of what is sent, if it continues what the part belongs to."""
        found = re.fullmatch(
            r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip()
        )
        if not found or int(found[1]) != start or not start <= int(found[2]) < int(found[3]):
            raise _ChangedError("the server sends another range than asked for")
        total = int(found[3])
        validator = _validator(response)
        sizes = {note["bytes"], self.size, total} - {None}
        if len(sizes) > 1 or self.have() > total:
            raise _ChangedError("the file's size has changed on the server")
        if note["validator"] and validator and validator != note["validator"]:
            raise _ChangedError("the file has changed on the server")
        return total, int(found[2]) + 1

    def check_overlap(self, response, start: int, have: int) -> None:
        """Compare the end of the part with what arrives again."""
        with self.part.open("rb") as file:
            file.seek(start)
            while start < have:
                chunk = _read(response, have - start)
                if not chunk:
                    raise _TransientError("the connection was cut")
                if chunk != file.read(len(chunk)):
                    raise _ChangedError("the file has changed on the server")
                start += len(chunk)

    def check_beginning(self, response, total: int | None) -> bytes:
        """First bytes of a whole file, if they are an archive's; before the old part goes."""
        if self.size is not None and total not in (None, self.size):
            raise InputError(
                f"{_shown(self.url)}: {total} bytes; the published file has {self.size}. "
                f"{_ELSEWHERE}"
            )
        head = b""
        wanted = 512 if total is None else min(512, total)
        while len(head) < wanted and (chunk := _read(response, wanted - len(head))):
            head += chunk
        if total is not None and len(head) < wanted:
            raise _TransientError("the connection was cut")
        if archives.kind(head) is None:
            text = " ".join(head[:60].decode("latin-1").split())
            raise InputError(
                f"{_shown(self.url)}: not an archive; it begins with {text!r}. The file may have "
                f"moved, or the network asks you to log in first. {_ELSEWHERE}"
            )
        return head

    def check_space(self, missing: int, whole: int) -> None:
        """Stop before the first byte if the file and its content cannot fit."""
        check_space(self.path.parent, max(missing, 0), round(whole * self.ratio))

    def have(self) -> int:
        """Size of the part."""
        return self.part.stat().st_size if self.part.exists() else 0

    def read_note(self) -> dict[str, Any]:
        """What the part belongs to; empty if unknown or from another address."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            fits = note["url"] == _identity(self.url)
            known = {"validator": note["validator"], "bytes": note["bytes"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return known if fits else {}

    def kept(self) -> str:
        """Words for what a later call can continue."""
        if self.have() and self.read_note():
            return f"{megabytes(self.have())} are kept in {self.part}"
        return "nothing is kept"

    def disk_problem(self, error: OSError) -> str:
        return (
            f"{archives.disk_problem(self.part, error)}. {self.kept()}; make room, and give the "
            "same command"
        )

    def compare(self, checksum: str) -> None:
        """Compare the part with a published checksum; without a match it is deleted."""
        algorithm, _, expected = checksum.partition(":")
        self.progress.say(f"{self.path.name}: comparing the {algorithm} checksum")
        found = _digest(self.part, algorithm)
        if found != expected.lower():
            self.discard()
            raise InputError(
                f"{_shown(self.url)}: what arrived is damaged or not the published file "
                f"({algorithm} {found}, published {expected}). It is deleted; run the command again"
            )

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the part its name."""
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())
        self.part.replace(self.path)
        self.note.unlink(missing_ok=True)


def _read(response: http.client.HTTPResponse, most: int = archives.CHUNK) -> bytes:
    """Read what is there already, up to `most` bytes; b"" at the end."""
    try:
        return response.read1(most)
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise _TransientError(_words(error)) from None


def _validator(response: http.client.HTTPResponse) -> str:
    """What If-Range may hold: a strong ETag, else the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _checked(url: str) -> str:
    """The address, if it is one to download from."""
    try:
        parts = urllib.parse.urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        right = False
    if not right or not url.isascii() or any(character <= " " for character in url):
        raise InputError(f"--url {_shown(url)}: not an http or https address, nor a file")
    if "@" in parts.netloc:
        raise InputError(
            "--url: a password in the address is not supported; download the file with another "
            "program and give it with --archive"
        )
    return url


def _local_path(url: str) -> Path | None:
    """The file that a ``file:`` address or a plain path names."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"--url {url}: a file: address names no host; write file:///PATH")
        return Path(urllib.request.url2pathname(parts.path))
    return None if "://" in url else Path(url)


def _shown(url: str) -> str:
    """An address for messages; what follows ``?`` may be secret."""
    return url.partition("?")[0]


def _identity(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _words(error: object) -> str:
    """What happened to a connection, in words."""
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "no answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was cut"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()


def check_space(folder: Path, archive: int, unpacked: int) -> None:
    """Stop if the rest of an archive and its content cannot fit on the folder's disk."""
    free = shutil.disk_usage(folder).free
    if archive + unpacked > free:
        wanted = [f"{megabytes(archive)} to download"] if archive else []
        wanted += [f"{megabytes(unpacked)} unpacked"] if unpacked else []
        raise InputError(
            f"{folder}: {megabytes(archive + unpacked)} are needed ({' and '.join(wanted)}), "
            f"{megabytes(free)} are free; make room, or choose another --data-dir"
        )


# --- one data set ------------------------------------------------------------------------------


def _folder(card: ModuleType, data_dir: str | os.PathLike | None) -> Path:
    given = data_dir or os.environ.get(datasets.DATA_VARIABLE)
    if not given:
        raise InputError(
            f"where shall {card.TITLE} go? Give a folder with --data-dir or "
            f"${datasets.DATA_VARIABLE}"
        )
    root = Path(given).expanduser()
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} (--data-dir): not a folder")
    return root


def _already_there(card: ModuleType, root: Path) -> bool:
    """Whether the folder holds the whole data set; an error if it holds something of it."""
    target = root / card.FOLDER
    advice = "move that away, or choose another --data-dir"
    try:
        wrong = _differences(card, root)
    except InputError as error:
        if target.exists():
            first = str(error).splitlines()[0]
            raise InputError(f"{target} exists but is no copy to use: {first}; {advice}") from None
        return False
    if wrong:
        raise InputError(f"{root} holds a part of {card.TITLE} already: {wrong}; {advice}")
    print(f"{root}: whole already, {card.EXPECTED_IMAGES} images; nothing to do")
    return True


def _obtain(card: ModuleType, root: Path, url: str) -> Path:
    """Download the archive, unless it has arrived before."""
    # A mirror's file is the same file, so it gets the published name.
    path = root / (card.ARCHIVE or f"{card.NAME}.archive")
    if path.is_file():
        print(f"{path}: downloaded before")
        return path
    size, checksum = _published(card)
    size_text = megabytes(size) if size else f"about {megabytes(card.ARCHIVE_BYTES)}"
    print(f"from:     {_shown(url)} ({size_text})\nto:       {path}", flush=True)
    fetch(url, path, size=size, checksum=checksum, unpacked_ratio=UNPACKED_RATIO)
    if not checksum:
        print(f"no published checksum to compare; SHA-256 {_digest(path, 'sha256')}", flush=True)
    return path


def _published(card: ModuleType) -> tuple[int | None, str | None]:
    """Size and checksum that the data set's record states, if it has one and it answers."""
    if not card.RECORD:
        return None, None
    try:
        with _open(card.RECORD, {"Accept": "application/json"}, TIMEOUT / 3) as response:
            record = json.loads(response.read(4 << 20))
        files = record["files"]
        # Two forms of the record are in use: a list, and a mapping under `entries`.
        files = files if isinstance(files, list) else list(files["entries"].values())
        file = next(file for file in files if file["key"] == card.ARCHIVE)
        algorithm, _, digest = file["checksum"].partition(":")
        if algorithm not in ("md5", "sha256", "sha512") or not re.fullmatch("[0-9a-fA-F]+", digest):
            raise ValueError("unknown kind of checksum")
        return int(file["size"]), file["checksum"]
    except (_TransientError, InputError, http.client.HTTPException, OSError) as error:
        reason = _words(error)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        reason = "it is not as expected"
    Progress("").say(
        f"warning: {card.RECORD}: no published size and checksum ({reason}); the checksums inside "
        "the archive are compared while unpacking"
    )
    return None, None


def _unpack(card: ModuleType, root: Path, archive: Path) -> tuple[Path, str]:
    """Unpack an archive beside its later place, count, rename; the folder and what is wrong."""
    beside = root / f".unpacking-{card.NAME}"
    shutil.rmtree(beside, ignore_errors=True)  # of a run that was killed
    size = archive.stat().st_size
    expected = archives.unpacked_bytes(archive)
    check_space(root, 0, round(size * UNPACKED_RATIO) if expected is None else expected)
    try:
        archives.unpack(archive, beside, max_bytes=10 * max(card.ARCHIVE_BYTES, size))
        try:
            wrong = _differences(card, beside)
        except InputError as error:
            first = (
                str(error)
                .splitlines()[0]
                .replace(f"{beside}{os.sep}", "")
                .replace(f"{beside}: ", "")
            )
            raise InputError(
                f"{archive}: unpacked and removed again, this is not {card.TITLE}: {first}"
            ) from None
        return _install(card, beside, root), wrong
    except archives.DamagedError as error:
        raise InputError(
            f"{error}. Nothing is unpacked; delete the file and download it again"
        ) from None
    except KeyboardInterrupt:
        Progress("").say(f"nothing is unpacked, {archive} is kept; the same command continues")
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _install(card: ModuleType, beside: Path, root: Path) -> Path:
    """Move what was unpacked to its place, in one rename."""
    entries = list(beside.iterdir())
    alone = len(entries) == 1 and entries[0].is_dir()
    source = entries[0] if alone else beside
    target = root / (source.name if alone else card.FOLDER)
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} exists; move it away, or choose another --data-dir")
    source.rename(target)
    return target


def _differences(card: ModuleType, root: Path) -> str:
    """What a copy lacks or has too much; "" if nothing.

    Raises
    ------
    InputError
        If there is no image of the data set, or some are unusable.
    """
    choices = [{"stain": stain} for stain in card.STAINS] if card.NAME == "bci" else [{}]
    found = wrong = 0
    synthetic = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on names and labels; `verify` shows them
        for choice in choices:
            index = card.index(root, classes=max(card.CLASSES), **choice)
            empty = index.loc[index["bytes"] == 0, "image"].tolist()
            if empty:
                raise InputError(f"{root}: {len(empty)} images are empty: {datasets.listed(empty)}")
            counts = datasets.counts(index, list(card.COUNTED_BY))
            cells = {*counts, *card.EXPECTED_COUNTS}
            wrong += sum(counts.get(c, 0) != card.EXPECTED_COUNTS.get(c, 0) for c in cells)
            found += len(index)
            synthetic |= bool(index["synthetic"].any())
    if synthetic:
        return f"{found} SYNTHETIC images"
    expected = card.EXPECTED_IMAGES * len(choices)
    return f"{found} of {expected} images" if wrong else ""
