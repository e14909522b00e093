"""Fill one folder of the cache: read, decode, transform and resize images, a few at a time."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import cv2
import numpy as np

from common import terminal, writers
from common.errors import InputError, many
from common.images.fingerprints import (
    RECORD_BYTES,
    Fingerprints,
    fingerprint,
    seal,
    stored,
    together,
)
from common.images.header import ImageError
from common.images.memory import keep_freed
from common.images.messages import say, several, size
from common.images.reading import decode, load, resize
from common.images.store import ELSEWHERE, Store

Transform: TypeAlias = Callable[[np.ndarray], np.ndarray]
_Prepared: TypeAlias = tuple[str, os.stat_result, np.ndarray | None, np.void | None]

_COMMIT_SECONDS = 5.0  # a killed build loses no more than this


def build(
    store: Store,
    paths: Sequence[str],
    transform: Transform | None,
    workers: int,
    progress: bool,
) -> dict[str, str]:
    """Append images to a folder of the cache, whose lock is held; memory holds a few at a time.

    Parameters
    ----------
    store : Store
    paths : sequence of str
        Files that it does not know or that have changed, each once.
    transform : callable, optional
        RGB uint8 (H, W, 3) in and out, applied before the resize.
    workers : int
        Threads.
    progress : bool
        Say on stderr how far it is, and what came of it.

    Returns
    -------
    dict
        Path of each image that cannot be used, and why.

    Raises
    ------
    InputError
        If the folder cannot be written or the disk is full.
    """
    keep_freed()
    start = time.monotonic()
    before = {path: store.rows[store.files[path][2]][0] for path in paths if path in store.files}
    level = cv2.utils.logging.getLogLevel()
    # Scanners' private TIFF tags would print a warning per image; errors are ours to report.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        problems = _append_all(store, paths, transform, workers, progress)
    except OSError as error:
        raise InputError(
            f"{store.folder}: the image cache cannot be written ({error.strerror}; "
            f"{len(paths)} images need {size(len(paths) * store.row_bytes)}); {ELSEWHERE}"
        ) from None
    finally:
        cv2.utils.logging.setLogLevel(level)
    changed = [
        path
        for path, digest in before.items()
        if path not in problems and store.rows[store.files[path][2]][0] != digest
    ]
    if changed:
        text = f"image cache: {many(len(changed), 'image has', 'images have')} changed, read again:"
        say(progress, several(text, changed))
    if problems:
        return problems
    seconds = time.monotonic() - start
    say(
        progress,
        f"image cache: {many(len(paths), 'image')} read in {seconds:.1f} s "
        f"({len(paths) / max(seconds, 1e-3):.0f} images/s); it now holds "
        f"{many(len(store.rows), 'image')}, {size(len(store.rows) * store.row_bytes)}, in "
        f"{store.folder}",
    )
    return problems


def _append_all(
    store: Store, paths: Sequence[str], transform: Transform | None, workers: int, progress: bool
) -> dict[str, str]:
    """Append what can be used and commit every few seconds; the others' reasons are returned."""
    problems: dict[str, str] = {}
    last = time.monotonic()
    writers.remove_halves(store.folder, deep=False, alone=True)  # of a killed build
    store.pixels_file.touch()
    store.fingerprints_file.touch()
    bar = terminal.progress("image cache", len(paths), "images", closing=False, shown=progress)
    pool = ThreadPoolExecutor(workers)
    try:
        with store.pixels_file.open("r+b") as file, store.fingerprints_file.open("r+b") as marks:
            # A memmap that hits a full disk dies by SIGBUS; this fails with a message.
            count = len(store.rows)
            files = ((file, store.row_bytes), (marks, RECORD_BYTES))
            for each, row_bytes in files:
                _reserve(each.fileno(), count * row_bytes, (count + len(paths)) * row_bytes)
            file.seek(count * store.row_bytes)
            try:
                work = ((path, pool.submit(_prepare, store, path, transform)) for path in paths)
                for path, future in _few_at_a_time(work, 2 * workers):
                    try:
                        store.append(file, marks, path, *future.result())
                    except ImageError as problem:
                        problems[path] = str(problem)
                    bar.advance()
                    if time.monotonic() - last > _COMMIT_SECONDS:
                        store.commit(file, marks)
                        last = time.monotonic()
            finally:
                # What was reserved and is not used goes back first: it may be the last room.
                for each, row_bytes in files:
                    each.truncate(len(store.rows) * row_bytes)
                store.commit(file, marks)
    finally:
        bar.end()
        pool.shutdown(cancel_futures=True)
    return problems


def _prepare(store: Store, path: str, transform: Transform | None) -> _Prepared:
    """Do what needs no order: digest and state of the file, what is kept of an unknown image."""
    data, status = load(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest in store.by_hash:
        return digest, status, None, None
    extension = os.path.splitext(path)[1]  # noqa: PTH122
    return digest, status, *_reduced(store, transform, data, extension)


def _reduced(
    store: Store, transform: Transform | None, data: bytes, extension: str
) -> tuple[np.ndarray, np.void]:
    """What is kept of an image: small, after its transform; and its fingerprint."""
    image = decode(data, extension)
    mark = fingerprint(image)
    if transform is not None:
        try:
            image = transform(image)
        except InputError as error:
            raise ImageError(str(error)) from None
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise TypeError(f"transform gave {image.dtype} {image.shape}, not uint8 (H, W, 3)")
    return np.ascontiguousarray(resize(image, store.size, store.filter)), mark


def fill_fingerprints(
    store: Store, paths: Sequence[str], digests: Sequence[str], workers: int, progress: bool
) -> Fingerprints:
    """Give the fingerprints of cached images, and take those that an older cache lacks.

    Parameters
    ----------
    store : Store
    paths : sequence of str
        Files of the n images.
    digests : sequence of str
        SHA-256 of each of them, hex, as the store knows them.
    workers : int
        Threads.
    progress : bool
        Say on stderr that images are read once more.

    Returns
    -------
    Fingerprints
        Of the n images, in their order.

    Raises
    ------
    InputError
        If a file that has to be read once more has changed or gone.
    """
    rows = [store.by_hash.get(digest, -1) for digest in digests]
    found, known = stored(store.fingerprints_file, rows, digests)
    lacking = np.flatnonzero(~known).tolist()
    if not lacking:
        return found
    # Equal files have one row: each is read once.
    missing = {digests[i]: paths[i] for i in lacking}
    again = many(len(missing), "image is", "images are")
    text = f"image cache: {again} read once more, to be compared"
    say(progress, f"{text} ({store.folder})")

    def take(digest: str) -> np.void:
        path = missing[digest]
        try:
            data, _ = load(path)
            if hashlib.sha256(data).hexdigest() != digest:
                raise ImageError("has changed since it was read; start the command again")
            return fingerprint(decode(data, os.path.splitext(path)[1]))  # noqa: PTH122
        except ImageError as problem:
            raise InputError(f"{path}: {problem}") from None

    with (
        terminal.progress("image cache", len(missing), "images", shown=progress) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        taken = dict(zip(missing, bar.over(pool.map(take, missing)), strict=True))
    # A cache that cannot be written, or that another process is building, serves all the same.
    with contextlib.suppress(InputError, OSError), store.lock(progress, wait=False):
        store.load()
        store.fingerprints_file.touch()
        with store.fingerprints_file.open("r+b") as marks:
            for digest, mark in taken.items():
                if digest in store.by_hash:
                    marks.seek(store.by_hash[digest] * RECORD_BYTES)
                    marks.write(seal(mark, digest))
    new = together([taken[digests[i]] for i in lacking])
    found.pixels[lacking], found.hashes[lacking] = new.pixels, new.hashes
    return found


def _few_at_a_time(
    work: Iterator[tuple[str, Future[_Prepared]]], limit: int
) -> Iterator[tuple[str, Future[_Prepared]]]:
    """Keep at most `limit` jobs submitted, and give them in order."""
    pending: collections.deque[tuple[str, Future[_Prepared]]] = collections.deque()
    for job in work:
        pending.append(job)
        if len(pending) >= limit:
            yield pending.popleft()
    yield from pending


def _reserve(descriptor: int, used: int, wanted: int) -> None:
    if not hasattr(os, "posix_fallocate"):  # macOS and Windows: write() reports a full disk
        return
    try:
        os.posix_fallocate(descriptor, used, wanted - used)
    except OSError:
        os.ftruncate(descriptor, used)
        raise
