"""Fill one folder of the cache: read, decode, transform and resize images, a few at a time."""

from __future__ import annotations

import collections
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import cv2
import numpy as np

from common import memory, terminal
from common.errors import InputError
from common.images.header import ImageError
from common.images.messages import say, several, size
from common.images.reading import decode, load, resize
from common.images.store import ELSEWHERE, Store

Transform: TypeAlias = Callable[[np.ndarray], np.ndarray]
_Prepared: TypeAlias = tuple[str, os.stat_result, np.ndarray | None]

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
    memory.keep_freed()
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
        text = f"image cache: {len(changed)} images have changed and were read again:"
        say(progress, several(text, changed))
    if problems:
        return problems
    seconds = time.monotonic() - start
    say(
        progress,
        f"image cache: {len(paths)} images read in {seconds:.1f} s "
        f"({len(paths) / max(seconds, 1e-3):.0f} images/s); it now holds {len(store.rows)} "
        f"images, {size(len(store.rows) * store.row_bytes)}, in {store.folder}",
    )
    return problems


def _append_all(
    store: Store, paths: Sequence[str], transform: Transform | None, workers: int, progress: bool
) -> dict[str, str]:
    """Append what can be used and commit every few seconds; the others' reasons are returned."""
    problems: dict[str, str] = {}
    last = time.monotonic()
    for half in store.folder.glob(".part-*"):  # what a killed build was writing
        half.unlink()
    store.pixels_file.touch()
    bar = terminal.progress("image cache", len(paths), "images", closing=False, shown=progress)
    pool = ThreadPoolExecutor(workers)
    try:
        with store.pixels_file.open("r+b") as file:
            # A memmap that hits a full disk dies by SIGBUS; this fails with a message.
            committed = len(store.rows) * store.row_bytes
            _reserve(file.fileno(), committed, committed + len(paths) * store.row_bytes)
            file.seek(committed)
            try:
                work = ((path, pool.submit(_prepare, store, path, transform)) for path in paths)
                for path, future in _few_at_a_time(work, 2 * workers):
                    try:
                        store.append(file, path, *future.result())
                    except ImageError as problem:
                        problems[path] = str(problem)
                    bar.advance()
                    if time.monotonic() - last > _COMMIT_SECONDS:
                        store.commit(file)
                        last = time.monotonic()
            finally:
                # What was reserved and is not used goes back first: it may be the last room.
                file.truncate(len(store.rows) * store.row_bytes)
                store.commit(file)
    finally:
        bar.end()
        pool.shutdown(cancel_futures=True)
    return problems


def _prepare(store: Store, path: str, transform: Transform | None) -> _Prepared:
    """Do what needs no order: the file's digest and state, and its pixels unless they are known."""
    data, status = load(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest in store.by_hash:
        return digest, status, None
    image = decode(data, os.path.splitext(path)[1])  # noqa: PTH122
    if transform is not None:
        try:
            image = transform(image)
        except InputError as error:
            raise ImageError(str(error)) from None
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise TypeError(f"transform gave {image.dtype} {image.shape}, not uint8 (H, W, 3)")
    return digest, status, np.ascontiguousarray(resize(image, store.size, store.filter))


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
