"""Decode and resize the images of a data set once: from then on they are mapped."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.backend import cores
from common.errors import InputError, many
from common.files import expanded
from common.images import apart
from common.images.build import Transform, build, fill_fingerprints
from common.images.messages import all_problems, say, several
from common.images.pixels import Pixels
from common.images.reading import FILTERS
from common.images.store import Store


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Find the cache's folder; it need not exist.

    Parameters
    ----------
    cache_dir : path, optional
        The user's wish. Without it $HISTOPAPERS_CACHE, else `histopapers` in the user's own cache
        folder.

    Returns
    -------
    Path
    """
    if cache_dir is not None:
        return expanded(cache_dir)
    if os.environ.get("HISTOPAPERS_CACHE"):
        return expanded(os.environ["HISTOPAPERS_CACHE"])
    home = os.environ.get("XDG_CACHE_HOME")
    return (expanded(home) if home else Path.home() / ".cache") / "histopapers"


def cached(
    data_dir: str | Path,
    images: Sequence[str],
    size: int,
    *,
    filter: str = "area",
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
    transform: Transform | None = None,
    transform_id: str = "none",
    skip_bad: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> Pixels:
    """Decode and resize images once; from then on map them from the cache.

    An image is known by the SHA-256 of its file's bytes, so a renamed or copied file is not
    decoded again, equal files are stored once, and a changed file is noticed (the hash of a file
    is remembered by path, size and modification time). Several processes may ask at once: one
    builds, the others wait. A build that was killed goes on where it stopped.

    Parameters
    ----------
    data_dir : path
        The data set's folder.
    images : sequence of str
        Paths below `data_dir`. An absolute path is taken as it is.
    size : int
        Side of the square images, px.
    filter : str
        See `resize`.
    cache_dir : path, optional
        See `cache_folder`.
    workers : int, optional
        Decoding threads; by default one per available core.
    progress : bool
        Write a progress line and the cache's size on stderr while building.
    transform : callable, optional
        Applied to each whole decoded image before it is resized, for instance a stain normaliser:
        RGB uint8 (H, W, 3) in and out. Called from several threads.
    transform_id : str
        Says everything that decides what `transform` does; another text is another cache.
    skip_bad : bool
        Leave out images that cannot be used; the result's `skipped` names them.
    meanwhile : callable, optional
        Loads what is needed afterwards, such as `backend.load`: called where many images are to be
        decoded, which another process does then. What it refuses is told where it is called again.

    Returns
    -------
    Pixels
        In the order asked for.

    Raises
    ------
    InputError
        All images that cannot be used are named at once; the good ones stay cached. Also if no
        image can be used, the cache cannot be written there or the disk is full.
    """
    if filter not in FILTERS:
        raise InputError(f"resize filter {filter!r}: choose from {', '.join(FILTERS)}")
    if size < 1:
        raise InputError(f"image size {size}: give at least 1 px")
    if (transform is None) != (transform_id == "none"):
        raise ValueError("a transform needs a transform_id that says what it does, and only then")
    images = list(images)
    root = expanded(data_dir).resolve()
    paths = [str(root / image) for image in images]
    store = Store(cache_folder(cache_dir), int(size), filter, transform_id)
    workers = workers or cores()
    store.load()
    rows = store.find(paths)
    if meanwhile is not None and transform is None and (rows < 0).sum() >= apart.MANY:
        asked: dict[str, Any] = {
            "data_dir": str(root), "images": images, "size": int(size), "filter": filter,
            "cache_dir": str(cache_folder(cache_dir)), "workers": workers, "progress": progress,
        }  # fmt: skip
        apart.fill_beside(asked, meanwhile)
        store.load()
        rows = store.find(paths)
    if (rows < 0).any() or store.damaged(rows, workers):
        with store.lock(progress):
            # Another process may have built or mended it while this one waited.
            store.load()
            rows = store.find(paths)
            damaged = store.damaged(rows[rows >= 0], workers)
            if damaged:
                say(progress, f"image cache: {damaged}; it is built anew ({store.folder})")
                store.forget()
                rows = store.find(paths)
            missing = list(dict.fromkeys(np.array(paths, object)[rows < 0]))
            if missing:
                problems = build(store, missing, transform, workers, progress)
                rows = store.find(paths)
                for path in np.array(paths, object)[rows < 0]:
                    problems.setdefault(path, "changed while it was read; start the command again")
                if problems and (not skip_bad or (rows < 0).all()):
                    raise InputError(all_problems(problems))
    good = np.flatnonzero(rows >= 0)
    skipped = [(images[i], problems[paths[i]]) for i in np.flatnonzero(rows < 0)]
    if skipped:
        lines = [f"{image}: {reason}" for image, reason in skipped]
        say(
            progress,
            several(f"{many(len(lines), 'image is', 'images are')} left out (--skip-bad):", lines),
        )
    rows = rows[good]
    digests = [store.rows[row][0] for row in rows]
    used = [paths[i] for i in good]
    fingerprints = functools.partial(fill_fingerprints, store, used, digests, workers, progress)
    names = [images[i] for i in good]
    return Pixels(names, store.map(), rows, digests, skipped, fingerprints)
