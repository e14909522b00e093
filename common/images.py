"""Read, check and resize images, and keep their resized pixels in a memory-mapped cache.

An image is RGB, HWC, uint8 everywhere. Nothing is converted silently: a file that is not an 8-bit
RGB image is an error that names the file, says what is wrong and what to do.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import io
import json
import os
import shutil
import stat
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import filelock
import numpy as np

from common import formats, memory
from common.errors import InputError, main
from common.files import write_text
from common.formats import ImageError

if TYPE_CHECKING:
    import pandas as pd

# The cache's layout and everything that decides a pixel's value; raise it when either changes.
VERSION = 2

FILTERS = {
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}

MAX_BYTES = 2**30

_COMMIT_SECONDS = 5.0  # a killed build loses no more than this
_LIST_AT_MOST = 20


# --- reading -----------------------------------------------------------------------------------


def _load(path: str | Path) -> tuple[bytes, os.stat_result]:
    try:
        status = os.stat(path)  # noqa: PTH116 (Path() per file costs more than the call)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("is a folder; name an image file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("is not a regular file; name an image file")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"is larger than {MAX_BYTES // 2**20} MiB; cut it into patches")
        with open(path, "rb") as file:  # noqa: PTH123
            status = os.fstat(file.fileno())
            return file.read(), status
    except FileNotFoundError:
        if Path(path).is_symlink():
            raise ImageError("is a link that leads nowhere; mend or remove it") from None
        raise ImageError("does not exist; check the folder that was given") from None
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror}); check its permissions") from None


def _decode(data: bytes, extension: str) -> np.ndarray:
    header = formats.inspect(data, extension)
    image = _decode_strictly(data, header) if header.forgiven else _decode_fast(data, header)
    if image is None or image.shape[:2] != (header.height, header.width):
        raise ImageError(f"cannot be decoded, so is damaged or unusual; {formats.AGAIN}")
    if header.alpha:
        if image.ndim != 3 or image.shape[2] != 4 or image[..., 3].min() < 255:
            raise ImageError(f"is partly transparent; {formats.RESAVE}")
        image = np.ascontiguousarray(image[..., :3])
    return image


def _decode_fast(data: bytes, header: formats.Header) -> np.ndarray | None:
    """Decode what `formats.inspect` has verified; RGB, or RGBA with an alpha channel."""
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if header.alpha and image is not None and image.ndim == 3 and image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    return image


def _decode_strictly(data: bytes, header: formats.Header) -> np.ndarray | None:
    """Decode with Pillow, which stops at broken data where OpenCV goes on."""
    image = _decode_with_pillow(data, header)
    if header.segments and image is not None:
        filled = _decode_with_pillow(formats.with_filler(data, header.segments), header)
        if filled is None or not np.array_equal(image, filled):
            raise ImageError(f"is cut short or damaged; {formats.AGAIN}")
    return image


def _decode_with_pillow(data: bytes, header: formats.Header) -> np.ndarray | None:
    from PIL import Image

    # It warns of odd metadata, which are not the pixels, and of sizes, which have been checked.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        with Image.open(io.BytesIO(data), formats=[header.kind]) as image:
            image.load()
            return np.array(image) if image.mode in ("RGB", "RGBA") else None
    except Exception:  # a damaged file makes it raise almost anything; all of it means the same
        return None


def read(path: str | Path) -> np.ndarray:
    """Read an 8-bit RGB image from a PNG, JPEG or TIFF file.

    An alpha channel that is opaque everywhere is dropped. Everything else that is no plain 8-bit
    RGB image is refused: grey, palette, CMYK, 16-bit, transparent, turned by EXIF, animated or
    with several pages, larger than `MAX_PIXELS`, cut short, damaged, or named as another format.

    Returns
    -------
    ndarray
        RGB, shape (H, W, 3), uint8.

    Raises
    ------
    InputError
        Names the file, what is wrong with it and what to do.

    Notes
    -----
    A PNG is verified to the last bit by its checksums. JPEG and TIFF carry none: a cut file and
    broken structure are found, a bit flipped among the pixels is not always.
    """
    try:
        return _decode(_load(path)[0], Path(path).suffix)
    except ImageError as problem:
        raise InputError(f"{path}: {problem}") from None


def check(paths: Sequence[str | Path], workers: int | None = None) -> list[tuple[str | Path, str]]:
    """Find all files that `read` would refuse by their structure.

    Only what must be is decoded: images with an alpha channel, to see whether it is opaque, JPEGs
    and compressed TIFFs, whose damage shows nowhere else.

    Returns
    -------
    list of (path, problem)
        In the order of `paths`; empty if all are well.
    """

    def problem(path: str | Path) -> str | None:
        try:
            data, _ = _load(path)
            header = formats.inspect(data, Path(path).suffix)
            if header.alpha or header.forgiven:
                _decode(data, Path(path).suffix)
        except ImageError as found:
            return str(found)
        return None

    with ThreadPoolExecutor(workers or _cores()) as pool:
        found = list(pool.map(problem, paths))
    return [(path, text) for path, text in zip(paths, found, strict=True) if text]


def resize(image: np.ndarray, size: int | tuple[int, int], filter: str = "area") -> np.ndarray:
    """Resize an image to `size` px square, or to (height, width).

    Parameters
    ----------
    image : ndarray
        Shape (H, W) or (H, W, C), uint8 or float32.
    size : int or (int, int)
    filter : {"area", "nearest", "linear", "cubic", "lanczos"}
        `area` averages the pixels that fall together. The others look at a fixed number of
        neighbours whatever the scale, so they alias when an image shrinks.
    """
    if filter not in FILTERS:
        raise InputError(f"resize filter {filter!r}: choose from {', '.join(FILTERS)}")
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if height < 1 or width < 1:
        raise InputError(f"image size {size}: give at least 1 px")
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (int(width), int(height)), interpolation=FILTERS[filter])


# --- cache of resized pixels -------------------------------------------------------------------


class Pixels:
    """Resized images of a data set as one read-only array, mapped from the cache.

    Index it like an array of shape (N, S, S, 3), uint8, RGB: an int gives a read-only view of one
    image, a slice or an array of ints a copy of several. The order is that of `images`.

    Attributes
    ----------
    images : tuple of str
    digests : tuple of str
        SHA-256 of each image's file.
    skipped : tuple of (image, reason)
        What could not be used and is not among `images`.
    """

    def __init__(
        self,
        images: Sequence[str],
        store: np.ndarray,
        order: np.ndarray,
        digests: Sequence[str] = (),
        skipped: Sequence[tuple[str, str]] = (),
    ):
        self.images = tuple(images)
        self.digests = tuple(digests)
        self.skipped = tuple(skipped)
        self._store = store
        self._order = order
        self._row: dict[str, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, S, S, 3)."""
        return (len(self._order), *self._store.shape[1:])

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._store[self._order[key]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self._store[self._order]
        return array if dtype is None else array.astype(dtype, copy=False)

    def row(self, image: str) -> int:
        """Position of an image (as it stands in `images`)."""
        if self._row is None:
            # Backwards, so that the first of equal names wins.
            last = len(self.images) - 1
            self._row = {name: last - i for i, name in enumerate(reversed(self.images))}
        try:
            return self._row[image]
        except KeyError:
            raise InputError(f"{image}: not among the {len(self)} cached images") from None

    def rows(self, images: Sequence[str]) -> np.ndarray:
        """Positions of several images, for instance of a split's column `image`."""
        return np.fromiter((self.row(image) for image in images), np.int64)

    def renamed(self, images: Sequence[str]) -> Pixels:
        """The same pixels under other names, for instance shorter ones of files elsewhere."""
        if len(images) != len(self):
            raise ValueError(f"{len(images)} names for {len(self)} images")
        return Pixels(images, self._store, self._order, self.digests, self.skipped)

    def kept(self, index: pd.DataFrame) -> pd.DataFrame:
        """Rows of an index, whose images were asked for, without those that were skipped."""
        skipped = {image for image, _ in self.skipped}
        return index[~index["image"].isin(skipped)].reset_index(drop=True) if skipped else index


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """`cache_dir`, else $HISTOPAPERS_CACHE, else `histopapers` in the user's cache folder."""
    if cache_dir is not None:
        return Path(cache_dir)
    if os.environ.get("HISTOPAPERS_CACHE"):
        return Path(os.environ["HISTOPAPERS_CACHE"])
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "histopapers"


def cached(
    data_dir: str | Path,
    images: Sequence[str],
    size: int,
    *,
    filter: str = "area",
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
    transform_id: str = "none",
    skip_bad: bool = False,
) -> Pixels:
    """Decode and resize images once; from then on map them from the cache.

    An image is known by the SHA-256 of its file's bytes, so a renamed or copied file is not
    decoded again, equal files are stored once, and a changed file is noticed (the hash of a file
    is remembered by path, size and modification time). Several processes may ask at once: one
    builds, the others wait. A build that was killed goes on where it stopped.

    Parameters
    ----------
    data_dir : path
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
    root = Path(data_dir).resolve()
    paths = [str(root / image) for image in images]
    store = _Store(cache_folder(cache_dir), int(size), filter, transform_id)
    workers = workers or _cores()
    store.load()
    rows = store.find(paths)
    if (rows < 0).any() or store.damaged(rows, workers):
        with store.lock(progress):
            # Another process may have built or mended it while this one waited.
            store.load()
            rows = store.find(paths)
            damaged = store.damaged(rows[rows >= 0], workers)
            if damaged:
                _say(progress, f"image cache: {damaged}; it is built anew ({store.folder})")
                store.forget()
                rows = store.find(paths)
            missing = list(dict.fromkeys(np.array(paths, object)[rows < 0]))
            if missing:
                problems = store.build(missing, transform, workers, progress)
                rows = store.find(paths)
                for path in np.array(paths, object)[rows < 0]:
                    problems.setdefault(path, "changed while it was read; start the command again")
                if problems and (not skip_bad or (rows < 0).all()):
                    raise InputError(_all_problems(problems))
    good = np.flatnonzero(rows >= 0)
    skipped = [(images[i], problems[paths[i]]) for i in np.flatnonzero(rows < 0)]
    if skipped:
        lines = [f"{image}: {reason}" for image, reason in skipped]
        _say(progress, _several(f"{len(lines)} images are left out (--skip-bad):", lines))
    rows = rows[good]
    digests = [store.rows[row][0] for row in rows]
    return Pixels([images[i] for i in good], store.map(), rows, digests, skipped)


class _Store:
    """One folder of the cache: `pixels.u8`, rows one after another, and `index.json`."""

    def __init__(self, root: Path, size: int, filter: str, transform_id: str):
        name = "none"
        if transform_id != "none":
            name = hashlib.sha256(transform_id.encode()).hexdigest()[:10]
        self.folder = root / f"v{VERSION}-{size}px-{filter}-{name}"
        self.settings = {"version": VERSION, "size": size, "filter": filter}
        self.settings["transform"] = transform_id
        self.size, self.filter = size, filter
        self.row_bytes = size * size * 3
        self.rows: list[tuple[str, int]] = []  # SHA-256 of the file, CRC-32 of the pixels
        self.by_hash: dict[str, int] = {}
        self.files: dict[str, tuple[int, int, int]] = {}  # path: size, mtime_ns, row
        self.unreadable = False

    @property
    def pixels_file(self) -> Path:
        return self.folder / "pixels.u8"

    @property
    def index_file(self) -> Path:
        return self.folder / "index.json"

    def load(self) -> None:
        self.rows, self.files, self.unreadable = [], {}, False
        try:
            index = json.loads(self.index_file.read_text(encoding="utf-8"))
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
                f"{self.index_file}: cannot be read ({error.strerror}); {_ELSEWHERE}"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            self.unreadable = True
        self.by_hash = {digest: row for row, (digest, _) in enumerate(self.rows)}

    def find(self, paths: Sequence[str]) -> np.ndarray:
        """Row of each file; -1 where it is unknown, has changed or is gone."""
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
        """Say what is wrong with the files or with the rows that are asked for; "" if nothing.

        Every row is read once for its checksum, which also brings the pixels into memory.
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
        shape = (len(self.rows), self.size, self.size, 3)
        if not self.rows:
            return np.empty(shape, np.uint8)
        # A plain view: indexing an np.memmap costs several times as much.
        return np.asarray(np.memmap(self.pixels_file, np.uint8, "r", shape=shape))

    @contextlib.contextmanager
    def lock(self, progress: bool) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.folder / ".lock")
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                _say(progress, f"image cache: waiting for another process ({self.folder})")
                lock.acquire()
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{self.folder}: the image cache cannot be written ({reason}); {_ELSEWHERE}"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def forget(self) -> None:
        # Unlinked, not overwritten: a process that has mapped the old file keeps it.
        self.index_file.unlink(missing_ok=True)
        self.pixels_file.unlink(missing_ok=True)
        self.load()

    def commit(self, file: Any) -> None:
        """Make the index say what the pixel file holds; the pixels reach the disk first."""
        file.flush()
        os.fsync(file.fileno())
        index = {**self.settings, "rows": self.rows, "files": self.files}
        write_text(self.index_file, json.dumps(index, separators=(",", ":")))

    def build(
        self,
        paths: Sequence[str],
        transform: Callable[[np.ndarray], np.ndarray] | None,
        workers: int,
        progress: bool,
    ) -> dict[str, str]:
        """Append the images in `paths`; memory holds a few of them at a time.

        Returns
        -------
        dict
            Path of each image that cannot be used, and why.
        """
        memory.keep_freed()
        start = last = time.monotonic()
        problems: dict[str, str] = {}
        before = {path: self.rows[self.files[path][2]][0] for path in paths if path in self.files}
        level = cv2.utils.logging.getLogLevel()
        # Scanners' private TIFF tags would print a warning per image; errors are ours to report.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        pool = ThreadPoolExecutor(workers)
        try:
            for half in self.folder.glob(".part-*"):  # what a killed build was writing
                half.unlink()
            self.pixels_file.touch()
            with self.pixels_file.open("r+b") as file:
                # A memmap that hits a full disk dies by SIGBUS; this fails with a message.
                committed = len(self.rows) * self.row_bytes
                _reserve(file.fileno(), committed, committed + len(paths) * self.row_bytes)
                file.seek(committed)
                try:
                    bar = _Progress(len(paths), progress)
                    work = ((path, pool.submit(self._prepare, path, transform)) for path in paths)
                    for path, future in _few_at_a_time(work, 2 * workers):
                        try:
                            self._append(file, path, *future.result())
                        except ImageError as problem:
                            problems[path] = str(problem)
                        bar.step()
                        if time.monotonic() - last > _COMMIT_SECONDS:
                            self.commit(file)
                            last = time.monotonic()
                finally:
                    # What was reserved and is not used goes back first: it may be the last room.
                    file.truncate(len(self.rows) * self.row_bytes)
                    self.commit(file)
        except OSError as error:
            raise InputError(
                f"{self.folder}: the image cache cannot be written ({error.strerror}; "
                f"{len(paths)} images need {_size(len(paths) * self.row_bytes)}); {_ELSEWHERE}"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)
            cv2.utils.logging.setLogLevel(level)
        changed = [
            path
            for path, digest in before.items()
            if path not in problems and self.rows[self.files[path][2]][0] != digest
        ]
        if changed:
            text = f"image cache: {len(changed)} images have changed and were read again:"
            _say(progress, _several(text, changed))
        if problems:
            return problems
        seconds = time.monotonic() - start
        _say(
            progress,
            f"image cache: {len(paths)} images read in {seconds:.1f} s "
            f"({len(paths) / max(seconds, 1e-3):.0f} images/s); it now holds {len(self.rows)} "
            f"images, {_size(len(self.rows) * self.row_bytes)}, in {self.folder}",
        )
        return problems

    def _prepare(
        self, path: str, transform: Callable[[np.ndarray], np.ndarray] | None
    ) -> tuple[str, os.stat_result, np.ndarray | None]:
        data, status = _load(path)
        digest = hashlib.sha256(data).hexdigest()
        if digest in self.by_hash:
            return digest, status, None
        image = _decode(data, os.path.splitext(path)[1])  # noqa: PTH122
        if transform is not None:
            try:
                image = transform(image)
            except InputError as error:
                raise ImageError(str(error)) from None
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise TypeError(f"transform gave {image.dtype} {image.shape}, not uint8 (H, W, 3)")
        return digest, status, np.ascontiguousarray(resize(image, self.size, self.filter))

    def _append(
        self, file: Any, path: str, digest: str, status: os.stat_result, image: np.ndarray | None
    ) -> None:
        if digest not in self.by_hash:
            file.write(image)
            self.by_hash[digest] = len(self.rows)
            self.rows.append((digest, zlib.crc32(image)))
        self.files[path] = (status.st_size, status.st_mtime_ns, self.by_hash[digest])


_ELSEWHERE = "make room, or give another folder with --cache-dir or $HISTOPAPERS_CACHE"


def _few_at_a_time(work: Iterator[tuple[str, Future]], limit: int) -> Iterator[tuple[str, Future]]:
    """Keep at most `limit` jobs submitted, and give them in order."""
    pending: collections.deque[tuple[str, Future]] = collections.deque()
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


def _all_problems(problems: Mapping[str, str]) -> str:
    lines = [f"{path}: {reason}" for path, reason in problems.items()]
    if len(lines) == 1:
        return lines[0]
    return _several(f"{len(lines)} images cannot be used:", lines)


def _several(head: str, lines: Sequence[str]) -> str:
    more = [f"... and {len(lines) - _LIST_AT_MOST} more"] if len(lines) > _LIST_AT_MOST else []
    return "\n  ".join([head, *lines[:_LIST_AT_MOST], *more])


class _Progress:
    """A line on stderr that counts images: rewritten on a terminal, rarely repeated in a log."""

    def __init__(self, total: int, shown: bool):
        self.total, self.shown, self.done = total, shown, 0
        self.terminal = sys.stderr.isatty()
        self.start = self.last = time.monotonic()

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if not self.shown or now - self.last < (0.5 if self.terminal else 30.0):
            return
        self.last = now
        rate = self.done / (now - self.start)
        text = f"image cache: {self.done}/{self.total} images, {rate:.0f} images/s"
        print(text, end="\r" if self.terminal else "\n", file=sys.stderr, flush=True)


def _say(shown: bool, text: str) -> None:
    if shown:
        clear = "\x1b[2K" if sys.stderr.isatty() else ""
        print(clear + text, file=sys.stderr, flush=True)


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


# --- command line ------------------------------------------------------------------------------


def _stores(root: Path) -> list[Path]:
    """Folders of the cache, of any version; other things in `root` are none of ours."""
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.glob("v[0-9]*px-*") if (folder / ".lock").is_file())


def _features(root: Path) -> list[Path]:
    """Files that `common.generative.FeatureNetwork` keeps in the cache, and what a kill left."""
    return sorted(path for path in (root / "features").glob("*.npy") if path.is_file())


def _info(root: Path) -> None:
    total = 0
    for folder in _stores(root):
        used = sum(file.stat().st_size for file in folder.iterdir())
        total += used
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            what = f"{len(index['rows'])} images, transform {index['transform']}"
        except (OSError, ValueError, KeyError):
            what = "unfinished or damaged"
        print(f"{folder.name}: {what}, {_size(used)}")
    features = _features(root)
    if features:
        used = sum(file.stat().st_size for file in features)
        total += used
        print(f"features: of {len(features)} sets of images, {_size(used)}")
    print(f"{_size(total)} in {root}")


def _clear(root: Path) -> None:
    total = 0
    for folder in _stores(root):
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"{folder}: a process is building it; wait for it to end") from None
        with lock:
            total += sum(file.stat().st_size for file in folder.iterdir())
            shutil.rmtree(folder)
    for file in _features(root):
        total += file.stat().st_size
        file.unlink()
    with contextlib.suppress(OSError):  # not there, or it holds files of others
        (root / "features").rmdir()
    print(f"removed {_size(total)} from {root}")


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m common.images", description="The cache of decoded, resized images."
    )
    cache = parser.add_subparsers(dest="command", required=True).add_parser(
        "cache", help="show or empty the cache", description="Show or empty the cache."
    )
    action = cache.add_mutually_exclusive_group(required=True)
    action.add_argument("--info", action="store_true", help="list what it holds")
    action.add_argument("--clear", action="store_true", help="delete all of it")
    cache.add_argument(
        "--cache-dir",
        type=Path,
        help="its folder (default: $HISTOPAPERS_CACHE, else the user's cache folder)",
    )
    arguments = parser.parse_args()
    root = cache_folder(arguments.cache_dir)
    _info(root) if arguments.info else _clear(root)


if __name__ == "__main__":
    main(_main)
