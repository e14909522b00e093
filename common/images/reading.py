"""Read, check and resize image files.

An image is RGB, HWC, uint8 everywhere. Nothing is converted silently: a file that is not an 8-bit
RGB image is an error that names the file, says what is wrong and what to do.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from common.backend import cores
from common.errors import InputError
from common.images.fast_png import decode_png, decode_with_opencv
from common.images.formats import AGAIN, MAX_PIXELS, RESAVE, Header, ImageError, inspect
from common.images.jpeg import with_filler

FILTERS = {
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}

MAX_BYTES = 2**30


def load(path: str | Path) -> tuple[bytes, os.stat_result]:
    """Read a file's bytes.

    Parameters
    ----------
    path : path

    Returns
    -------
    data : bytes
    status : os.stat_result
        Of the file that was read.

    Raises
    ------
    ImageError
        If it is no regular file of at most `MAX_BYTES`, or cannot be read.
    """
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


def decode(data: bytes, extension: str) -> np.ndarray:
    """Check and decode an encoded image.

    Parameters
    ----------
    data : bytes
        The whole file.
    extension : str
        Of its name, such as ".png".

    Returns
    -------
    ndarray
        RGB, shape (H, W, 3), uint8.

    Raises
    ------
    ImageError
        Says what is wrong with it and what to do.
    """
    header = inspect(data, extension)
    image = _decode_strictly(data, header) if header.forgiven else _decode(data, header)
    if image is None or image.shape[:2] != (header.height, header.width):
        raise ImageError(f"cannot be decoded, so is damaged or unusual; {AGAIN}")
    if header.alpha:
        if image.ndim != 3 or image.shape[2] != 4 or image[..., 3].min() < 255:
            raise ImageError(f"is partly transparent; {RESAVE}")
        image = np.ascontiguousarray(image[..., :3])
    return image


def _decode(data: bytes, header: Header) -> np.ndarray | None:
    """Decode what `inspect` has verified; None if it cannot be decoded."""
    image = decode_png(data, header) if header.kind == "PNG" else None
    return decode_with_opencv(data, header) if image is None else image


def _decode_strictly(data: bytes, header: Header) -> np.ndarray | None:
    """Decode with Pillow, which stops at broken data where OpenCV goes on."""
    image = _decode_with_pillow(data, header)
    if header.segments and image is not None:
        filled = _decode_with_pillow(with_filler(data, header.segments), header)
        if filled is None or not np.array_equal(image, filled):
            raise ImageError(f"is cut short or damaged; {AGAIN}")
    return image


def _decode_with_pillow(data: bytes, header: Header) -> np.ndarray | None:
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
    """Read an 8-bit RGB image from a PNG, JPEG, TIFF or BMP file.

    An alpha channel that is opaque everywhere is dropped. Everything else that is no plain 8-bit
    RGB image is refused: grey, palette, CMYK, 16-bit, transparent, turned by EXIF, animated or
    with several pages, larger than `MAX_PIXELS`, cut short, damaged, or named as another format.

    Parameters
    ----------
    path : path

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
    A PNG is verified to the last bit by its checksums. The others carry none: a cut file and
    broken structure are found, a bit flipped among the pixels is not always.
    """
    return read_with_bytes(path)[0]


def read_with_bytes(path: str | Path) -> tuple[np.ndarray, bytes]:
    """Read an image as `read` does, and give what its file holds, too.

    Parameters
    ----------
    path : path

    Returns
    -------
    image : ndarray
        RGB, shape (H, W, 3), uint8.
    data : bytes

    Raises
    ------
    InputError
        As `read`.
    """
    try:
        data, _ = load(path)
        return decode(data, Path(path).suffix), data
    except ImageError as problem:
        raise InputError(f"{path}: {problem}") from None


def check(paths: Sequence[str | Path], workers: int | None = None) -> list[tuple[str | Path, str]]:
    """Find all files that `read` would refuse by their structure.

    Only what must be is decoded: images with an alpha channel, to see whether it is opaque, JPEGs
    and compressed TIFFs, whose damage shows nowhere else.

    Parameters
    ----------
    paths : sequence of path
    workers : int, optional
        Threads; by default one per available core.

    Returns
    -------
    list of (path, problem)
        In the order of `paths`; empty if all are well.
    """

    def problem(path: str | Path) -> str | None:
        try:
            data, _ = load(path)
            header = inspect(data, Path(path).suffix)
            if header.alpha or header.forgiven:
                decode(data, Path(path).suffix)
        except ImageError as found:
            return str(found)
        return None

    with ThreadPoolExecutor(workers or cores()) as pool:
        found = list(pool.map(problem, paths))
    return [(path, text) for path, text in zip(paths, found, strict=True) if text]


def commonest_size(paths: Sequence[str | Path], most: int = 9) -> tuple[int, int] | None:
    """Height and width that most images have, by what their files say.

    Parameters
    ----------
    paths : sequence of path
    most : int
        How many files are looked at, evenly spaced.

    Returns
    -------
    (int, int) or None
        In px, the first of several; None where no file can be read.
    """
    found = Counter(sizes(paths, most).values())
    return found.most_common(1)[0][0] if found else None


def sizes(paths: Sequence[str | Path], most: int) -> dict[Path, tuple[int, int]]:
    """Height and width of images, by what their files say.

    Parameters
    ----------
    paths : sequence of path
    most : int
        How many files are looked at, evenly spaced.

    Returns
    -------
    dict
        Those that can be read: file -> height and width, in px.
    """
    found: dict[Path, tuple[int, int]] = {}
    for place in dict.fromkeys(np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int)):
        path = Path(paths[place])
        with contextlib.suppress(ImageError):
            header = inspect(load(path)[0], path.suffix)
            found[path] = header.height, header.width
    return found


def resize(image: np.ndarray, size: int | tuple[int, int], filter: str = "area") -> np.ndarray:
    """Resize an image to `size` px square, or to (height, width).

    Parameters
    ----------
    image : ndarray
        Shape (H, W) or (H, W, C), uint8 or float32.
    size : int or (int, int)
        In px.
    filter : {"area", "nearest", "linear", "cubic", "lanczos"}
        `area` averages the pixels that fall together. The others look at a fixed number of
        neighbours whatever the scale, so they alias when an image shrinks.

    Returns
    -------
    ndarray
        Shape (height, width) or (height, width, C), of the image's dtype; the image itself where
        it has that size.

    Raises
    ------
    InputError
        If the filter is unknown, a side is below 1 px, or it has more than `MAX_PIXELS`.
    """
    if filter not in FILTERS:
        raise InputError(f"resize filter {filter!r}: choose from {', '.join(FILTERS)}")
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if height < 1 or width < 1:
        raise InputError(f"image size {size}: give at least 1 px")
    if height * width > MAX_PIXELS:
        raise InputError(f"image size {size}: more than {MAX_PIXELS // 2**20} megapixels")
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (int(width), int(height)), interpolation=FILTERS[filter])
