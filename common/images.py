"""Read, check and resize images, and keep their resized pixels in a memory-mapped cache.

An image is RGB, HWC, uint8 everywhere. Nothing is converted silently: a file that is not an 8-bit
RGB image is an error that names the file, says what is wrong and what to do.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import shutil
import stat
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import filelock
import numpy as np

from common.errors import InputError, main
from common.runs import write_text

# The cache's layout and everything that decides a pixel's value; raise it when either changes.
VERSION = 1

FILTERS = {
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}

# A patch, not a whole slide: 128 megapixels are 384 MiB once decoded.
MAX_PIXELS = 2**27
MAX_BYTES = 2**30

_EXTENSIONS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".tif": "TIFF", ".tiff": "TIFF",
    ".bmp": "BMP", ".gif": "GIF", ".webp": "WebP",
}  # fmt: skip
_OTHER_FORMATS = {b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WebP", b"\x00\x00\x00\x0cjP": "JPEG 2000"}

_COMMIT_SECONDS = 5.0  # a killed build loses no more than this
_LIST_AT_MOST = 20


class _ImageError(Exception):
    """What is wrong with an image, and what to do; the caller knows the file's name."""


# --- checking a file without decoding it -------------------------------------------------------


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    alpha: bool


_RESAVE = "save it as 8-bit RGB, or take the original image"
_CUT = "is cut short; copy or download it again"


def _inspect(data: bytes, extension: str) -> _Header:
    """Check header, structure and end marker of an encoded image; cheap beside decoding it."""
    if not data:
        raise _ImageError("is empty (0 bytes); copy or download it again")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        kind, header = "PNG", _png
    elif data.startswith(b"\xff\xd8\xff"):
        kind, header = "JPEG", _jpeg
    elif data[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        kind, header = "TIFF", _tiff
    else:
        for magic, name in _OTHER_FORMATS.items():
            if data.startswith(magic):
                raise _ImageError(f"is a {name} file; PNG, JPEG and TIFF are read: convert it")
        raise _ImageError(
            f"is not an image (it begins with {data[:8]!r}); remove it, or download it again"
        )
    claimed = _EXTENSIONS.get(extension.lower(), kind)
    if claimed != kind:
        raise _ImageError(
            f"is a {kind} file with a {claimed} name, so not the original; "
            "take the original image, or rename the file"
        )
    try:
        found = header(data)
    except (struct.error, IndexError):
        raise _ImageError(_CUT) from None
    if found.width == 0 or found.height == 0:
        raise _ImageError(f"has no pixels ({found.width}x{found.height}); download it again")
    if found.width * found.height > MAX_PIXELS:
        raise _ImageError(
            f"is {found.width}x{found.height} px, more than {MAX_PIXELS // 2**20} megapixels; "
            "cut it into patches"
        )
    return found


def _png(data: bytes) -> _Header:
    view = memoryview(data)
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    position, ended = 8, False
    transparent = animated = False
    orientation = 1
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        # OpenCV's reader does not look at the checksums: a flipped bit would pass as pixels.
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise _ImageError("is damaged (a PNG checksum is wrong); copy or download it again")
        if name == b"IEND":
            ended = True
            break
        if name == b"tRNS":
            transparent = True
        elif name == b"acTL":
            animated = struct.unpack_from(">I", data, position + 8)[0] > 1
        elif name == b"eXIf":
            orientation = _orientation(data[position + 8 : end])
        position = end + 4
    if not ended:
        raise _ImageError(_CUT)
    if animated:
        raise _ImageError("is an animation; save the frame that is meant as an image of its own")
    if colour == 3:
        raise _ImageError(f"has palette colours; {_RESAVE}")
    if colour in (0, 4):
        raise _ImageError(f"is a grey-scale image; {_RESAVE}")
    if colour not in (2, 6):
        raise _ImageError(f"has an unknown PNG colour type ({colour}); {_RESAVE}")
    _require_8_bit(depth)
    if transparent:
        raise _ImageError(f"has a transparent colour; {_RESAVE}")
    _require_upright(orientation)
    return _Header(width, height, alpha=colour == 6)


def _jpeg(data: bytes) -> _Header:
    position, orientation = 2, 1
    frame: tuple[int, int, int, int] | None = None
    while True:
        if data[position] != 0xFF:
            raise _ImageError("is damaged (a JPEG marker is missing); copy or download it again")
        marker = data[position + 1]
        if marker == 0xFF:  # padding before a marker
            position += 1
            continue
        if marker == 0xD9:
            raise _ImageError(_CUT)
        if marker == 0xDA:  # compressed pixels follow
            break
        length = struct.unpack_from(">H", data, position + 2)[0]
        body = position + 4
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = struct.unpack_from(">BHHB", data, body)
        elif marker == 0xE1 and data[body : body + 6] == b"Exif\x00\x00":
            orientation = _orientation(data[body + 6 : body + length - 2])
        position += 2 + length
    if frame is None or data.rfind(b"\xff\xd9", position) < 0:
        raise _ImageError(_CUT)
    depth, height, width, components = frame
    _require_8_bit(depth)
    if components == 1:
        raise _ImageError(f"is a grey-scale image; {_RESAVE}")
    if components == 4:
        raise _ImageError(f"has CMYK colours; {_RESAVE}")
    _require_upright(orientation)
    return _Header(width, height, alpha=False)


_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}


def _tiff_pages(data: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """Integer tags of every page of a TIFF, or of EXIF data, which is a TIFF without pixels."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, count_format, entry_size, field = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    offset = struct.unpack_from(order + word, data, 8 if big else 4)[0]
    seen = set()
    while offset and offset not in seen:
        seen.add(offset)
        entries = struct.unpack_from(order + count_format, data, offset)[0]
        first = offset + struct.calcsize(order + count_format)
        tags = {}
        for entry in range(first, first + entries * entry_size, entry_size):
            tag, kind, count = struct.unpack_from(order + "HH" + word, data, entry)
            if kind not in _TIFF_TYPES:
                continue
            values = f"{order}{count}{_TIFF_TYPES[kind]}"
            at = entry + entry_size - field
            if struct.calcsize(values) > field:
                at = struct.unpack_from(order + word, data, at)[0]
            tags[tag] = struct.unpack_from(values, data, at)
        yield tags
        offset = struct.unpack_from(order + word, data, first + entries * entry_size)[0]


def _tiff(data: bytes) -> _Header:
    # Pages marked as reduced copies (NewSubfileType bit 0) are previews of the first one.
    pages = [page for page in _tiff_pages(data) if not page.get(254, (0,))[0] & 1]
    if not pages or 256 not in pages[0] or 257 not in pages[0]:
        raise _ImageError(_CUT)
    if len(pages) > 1:
        raise _ImageError(f"holds {len(pages)} images; save the one that is meant on its own")
    page = pages[0]
    offsets = page.get(273) or page.get(324) or ()
    lengths = page.get(279) or page.get(325) or ()
    if not offsets or any(
        offset + length > len(data) for offset, length in zip(offsets, lengths, strict=False)
    ):
        raise _ImageError(_CUT)
    photometric = page.get(262, (2,))[0]
    if photometric in (0, 1):
        raise _ImageError(f"is a grey-scale image; {_RESAVE}")
    if photometric == 3:
        raise _ImageError(f"has palette colours; {_RESAVE}")
    if photometric == 5:
        raise _ImageError(f"has CMYK colours; {_RESAVE}")
    _require_8_bit(max(page.get(258, (1,))))
    samples = page.get(277, (1,))[0]
    if photometric not in (2, 6) or samples not in (3, 4):
        raise _ImageError(f"has unusual colours (TIFF photometric {photometric}); {_RESAVE}")
    _require_upright(page.get(274, (1,))[0])
    return _Header(page[256][0], page[257][0], alpha=samples == 4)


def _orientation(exif: bytes) -> int:
    # Damaged EXIF data is the writer's slip, not a fault of the pixels.
    with contextlib.suppress(struct.error, IndexError):
        for tags in _tiff_pages(exif):
            return tags.get(274, (1,))[0]
    return 1


def _require_8_bit(depth: int) -> None:
    if depth != 8:
        raise _ImageError(f"has {depth} bits per channel; {_RESAVE}")


def _require_upright(orientation: int) -> None:
    if orientation not in (0, 1):
        raise _ImageError(
            f"is turned by its EXIF orientation ({orientation}); save it with its pixels turned"
        )


# --- reading -----------------------------------------------------------------------------------


def _load(path: str | Path) -> tuple[bytes, os.stat_result]:
    try:
        status = os.stat(path)  # noqa: PTH116 (Path() per file costs more than the call)
        if stat.S_ISDIR(status.st_mode):
            raise _ImageError("is a folder; name an image file")
        if not stat.S_ISREG(status.st_mode):
            raise _ImageError("is not a regular file; name an image file")
        if status.st_size > MAX_BYTES:
            raise _ImageError(f"is larger than {MAX_BYTES // 2**20} MiB; cut it into patches")
        with open(path, "rb") as file:  # noqa: PTH123
            status = os.fstat(file.fileno())
            return file.read(), status
    except FileNotFoundError:
        raise _ImageError("does not exist; check the folder that was given") from None
    except OSError as error:
        raise _ImageError(f"cannot be read ({error.strerror}); check its permissions") from None


def _decode(data: bytes, extension: str) -> np.ndarray:
    header = _inspect(data, extension)
    buffer = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None or image.shape[:2] != (header.height, header.width):
        raise _ImageError("is damaged (it cannot be decoded); copy or download it again")
    if header.alpha:
        if image.ndim != 3 or image.shape[2] != 4 or image[..., 3].min() < 255:
            raise _ImageError(f"is partly transparent; {_RESAVE}")
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    return image


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
    A PNG is verified to the last bit by its checksums. JPEG and TIFF carry none: a cut file is
    found, a bit flipped among the pixels is not.
    """
    try:
        return _decode(_load(path)[0], Path(path).suffix)
    except _ImageError as problem:
        raise InputError(f"{path}: {problem}") from None


def check(paths: Sequence[str | Path], workers: int | None = None) -> list[tuple[str | Path, str]]:
    """Find all files that `read` would refuse by their structure, without decoding them.

    Only images with an alpha channel are decoded, to see whether it is opaque.

    Returns
    -------
    list of (path, problem)
        In the order of `paths`; empty if all are well.
    """

    def problem(path: str | Path) -> str | None:
        try:
            data, _ = _load(path)
            if _inspect(data, Path(path).suffix).alpha:
                _decode(data, Path(path).suffix)
        except _ImageError as found:
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
    """

    def __init__(self, images: Sequence[str], store: np.ndarray, order: np.ndarray):
        self.images = tuple(images)
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

    Raises
    ------
    InputError
        All images that cannot be used are named at once; the good ones stay cached. Also if the
        cache cannot be written there or the disk is full.
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
                store.build(missing, transform, workers, progress)
                rows = store.find(paths)
    return Pixels(images, store.map(), rows)


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
    ) -> None:
        """Append the images in `paths`; memory holds a few of them at a time."""
        start = last = time.monotonic()
        problems: list[str] = []
        level = cv2.utils.logging.getLogLevel()
        # Scanners' private TIFF tags would print a warning per image.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        pool = ThreadPoolExecutor(workers)
        try:
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
                        except _ImageError as problem:
                            problems.append(f"{path}: {problem}")
                        bar.step()
                        if time.monotonic() - last > _COMMIT_SECONDS:
                            self.commit(file)
                            last = time.monotonic()
                finally:
                    self.commit(file)
                    file.truncate(len(self.rows) * self.row_bytes)
        except OSError as error:
            raise InputError(
                f"{self.folder}: the image cache cannot be written ({error.strerror}; "
                f"{len(paths)} images need {_size(len(paths) * self.row_bytes)}); {_ELSEWHERE}"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)
            cv2.utils.logging.setLogLevel(level)
        if problems:
            raise InputError(_all_problems(problems))
        seconds = time.monotonic() - start
        _say(
            progress,
            f"image cache: {len(paths)} images read in {seconds:.1f} s "
            f"({len(paths) / max(seconds, 1e-3):.0f} images/s); it now holds {len(self.rows)} "
            f"images, {_size(len(self.rows) * self.row_bytes)}, in {self.folder}",
        )

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
                raise _ImageError(str(error)) from None
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


def _all_problems(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    lines = [f"{len(problems)} images cannot be used:", *problems[:_LIST_AT_MOST]]
    if len(problems) > _LIST_AT_MOST:
        lines.append(f"... and {len(problems) - _LIST_AT_MOST} more")
    return "\n  ".join(lines)


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
