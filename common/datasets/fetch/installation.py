"""One data set: obtain its archive, unpack it beside its place, count, and move it there."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import warnings
from pathlib import Path

from common import terminal
from common.datasets.card import Card, indexes
from common.datasets.fetch import archives, connection, transfer
from common.datasets.folder import data_folder
from common.datasets.index import counts
from common.errors import InputError, listed, many
from common.files import expanded
from common.terminal import megabytes

# Space that unpacked images take, as a multiple of their archive: an estimate, on the safe side.
UNPACKED_RATIO = 1.25
# An archive is at most so many times what is known of its size, and its content.
LARGEST_ARCHIVE, LARGEST_CONTENT = 2, 10


def dataset(
    card: Card,
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
    card : Card
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
    if url and (local := connection.local_path(url)):
        archive, url = local, None
    root = data_folder(card, data_dir, new=True)
    address = url or card.URL
    print(
        f"{card.TITLE}\nlicence:  {card.LICENCE}\ncite:     {card.CITATION}\nhome:     {card.HOME}",
        flush=True,
    )
    if not archive and not address:
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
        if archive:
            source = expanded(archive)
            if not source.is_file():
                raise InputError(f"--archive {source}: no such file")
        else:
            source = _obtain(card, root, address or "")
        folder, wrong = _unpack(card, root, source)
        if wrong:
            print(f"{folder}: NOT whole: {wrong}; the archive is kept: {source}")
            return False
        if not archive and not keep_archive:
            source.unlink()
    print(f"{folder}: whole, {card.EXPECTED_IMAGES} images; `verify` opens every one of them")
    return True


def _already_there(card: Card, root: Path) -> bool:
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


def _obtain(card: Card, root: Path, url: str) -> Path:
    """Download the archive, unless it has arrived before."""
    # A mirror's file is the same file, so it gets the published name.
    path = root / (card.ARCHIVE or f"{card.NAME}.archive")
    if path.is_file():
        print(f"{path}: downloaded before")
        return path
    size, checksum = _published(card)
    size_text = megabytes(size) if size else f"about {megabytes(card.ARCHIVE_BYTES)}"
    print(f"from:     {connection.shown(url)} ({size_text})\nto:       {path}", flush=True)
    transfer.fetch(
        url, path, size=size, limit=LARGEST_ARCHIVE * card.ARCHIVE_BYTES, checksum=checksum,
        unpacked_ratio=UNPACKED_RATIO,
    )  # fmt: skip
    if not checksum:
        found = transfer.digest(path, "sha256")
        print(f"no published checksum to compare; SHA-256 {found}", flush=True)
    return path


def _published(card: Card) -> tuple[int | None, str | None]:
    """Size and checksum that the data set's record states, if it has one and it answers."""
    if not card.RECORD:
        return None, None
    try:
        headers = {"Accept": "application/json"}
        with connection.connect(card.RECORD, headers, transfer.TIMEOUT / 3) as response:
            record = json.loads(response.read(4 << 20))
        files = record["files"]
        # Two forms of the record are in use: a list, and a mapping under `entries`.
        files = files if isinstance(files, list) else list(files["entries"].values())
        file = next(file for file in files if file["key"] == card.ARCHIVE)
        algorithm, _, digest = file["checksum"].partition(":")
        if algorithm not in ("md5", "sha256", "sha512") or not re.fullmatch("[0-9a-fA-F]+", digest):
            raise ValueError("unknown kind of checksum")
        return int(file["size"]), file["checksum"]
    except (connection.TransientError, InputError, http.client.HTTPException, OSError) as error:
        reason = connection.words(error)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        reason = "it is not as expected"
    warnings.warn(
        f"{card.RECORD}: no published size and checksum ({reason}); the checksums inside the "
        "archive are compared while unpacking",
        stacklevel=2,
    )
    return None, None


def _unpack(card: Card, root: Path, archive: Path) -> tuple[Path, str]:
    """Unpack an archive beside its later place, count, rename; the folder and what is wrong."""
    beside = root / f".unpacking-{card.NAME}"
    shutil.rmtree(beside, ignore_errors=True)  # of a run that was killed
    size = archive.stat().st_size
    expected = archives.unpacked_bytes(archive)
    transfer.check_space(root, 0, round(size * UNPACKED_RATIO) if expected is None else expected)
    try:
        most = LARGEST_CONTENT * max(card.ARCHIVE_BYTES, size)
        archives.unpack(archive, beside, max_bytes=most)
        try:
            wrong = _differences(card, beside)
        except InputError as error:
            first = str(error).splitlines()[0]
            first = first.replace(f"{beside}{os.sep}", "").replace(f"{beside}: ", "")
            raise InputError(
                f"{archive}: unpacked and removed again, this is not {card.TITLE}: {first}"
            ) from None
        archives.to_disk(beside)  # before the archive goes
        return _install(card, beside, root), wrong
    except archives.DamagedError as error:
        raise InputError(
            f"{error}. Nothing is unpacked; delete the file and download it again"
        ) from None
    except KeyboardInterrupt:
        terminal.line(f"nothing is unpacked, {archive} is kept; the same command continues")
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _install(card: Card, beside: Path, root: Path) -> Path:
    """Move what was unpacked to its place, in one rename."""
    entries = list(beside.iterdir())
    alone = len(entries) == 1 and entries[0].is_dir()
    source = entries[0] if alone else beside
    target = root / (source.name if alone else card.FOLDER)
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} exists; move it away, or choose another --data-dir")
    source.rename(target)
    return target


def _differences(card: Card, root: Path) -> str:
    """What a copy lacks or has too much; "" if nothing.

    Raises
    ------
    InputError
        If there is no image of the data set, or some are unusable.
    """
    found = wrong = expected = 0
    synthetic = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on names and labels; `verify` shows them
        for index in indexes(card, root).values():
            empty = index.loc[index["bytes"] == 0, "image"].tolist()
            if empty:
                raise InputError(
                    f"{root}: {many(len(empty), 'image is', 'images are')} empty: {listed(empty)}"
                )
            cells = counts(index, list(card.COUNTED_BY))
            wrong += sum(
                cells.get(cell, 0) != card.EXPECTED_COUNTS.get(cell, 0)
                for cell in {*cells, *card.EXPECTED_COUNTS}
            )
            found += len(index)
            expected += card.EXPECTED_IMAGES
            synthetic |= bool(index["synthetic"].any())
    if synthetic:
        return f"{found} SYNTHETIC images"
    return f"{found} of {expected} images" if wrong else ""
