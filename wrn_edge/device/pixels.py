"""Read an image, and resize it as the training did."""

from __future__ import annotations

import importlib
import io
import os
import stat
import struct
import zlib
from pathlib import Path

import limits
import numpy as np
from errors import quiet
from PIL import Image

# The training reads by the same rules; these files come with the bundle.
from common.images.formats import AGAIN, EXTENSIONS, Header, ImageError, inspect
from common.images.jpeg import with_filler

# Pillow's module and class. Image.open would load readers of eight formats.
_READERS = {
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
}
SUFFIXES = tuple(suffix for suffix, kind in EXTENSIONS.items() if kind in _READERS)
MAX_BYTES = 2**27
MAX_PIXELS = 2**25  # 96 MiB once decoded
_BLOCK = 2**22  # bytes of a temporary array, where its size is ours to choose
_SMALLER = "save it smaller"
_PNG_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def read(path: str | os.PathLike) -> np.ndarray:
    """Read an 8-bit RGB image from a PNG, JPEG, TIFF or BMP file.

    An alpha channel that is opaque everywhere is dropped. As in training, nothing else is
    converted: grey, palette, CMYK, 16-bit, transparent, turned (EXIF), several pages are refused.

    Parameters
    ----------
    path : path

    Returns
    -------
    ndarray
        RGB, shape (H, W, 3), uint8.

    Raises
    ------
    ImageError
        Says what is wrong with the file.
    """
    image, header = _decoded(path)  # the file's bytes are free again
    if image.mode != ("RGBA" if header.alpha else "RGB"):
        raise ImageError(f"cannot be decoded, so is damaged or unusual; {AGAIN}")
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BLOCK // (4 * width))
    for top in range(0, height, rows):
        strip = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        if header.alpha and strip[..., 3].min() < 255:
            raise ImageError("is partly transparent; save it as 8-bit RGB")
        pixels[top : top + rows] = strip[..., :3]
    return pixels


def _decoded(path: str | os.PathLike) -> tuple[Image.Image, Header]:
    data = _bytes(path)
    header = inspect(data, Path(path).suffix)
    _require_room(header, len(data))
    if header.kind == "PNG":
        first, last = header.segments
        # What else stands in the file is not the pixels, and Pillow stumbles over some of it.
        data = data[:33] + data[first:last] + _PNG_END
        _require_all_rows(data, header)
    image = _load(data, header)
    if header.kind == "JPEG":
        once = _checksum(image)
        del image
        data = with_filler(data, header.segments)
        image = _load(data, header)
        if _checksum(image) != once:
            raise ImageError(f"is cut short or damaged; {AGAIN}")
    return image, header


def _load(data: bytes, header: Header) -> Image.Image:
    module, name = _READERS[header.kind]
    reader = getattr(importlib.import_module(f"PIL.{module}"), name)
    try:
        # Closed, so that the image does not keep the file.
        with io.BytesIO(data) as file, quiet(), reader(file) as image:
            if image.size != (header.width, header.height):
                raise ValueError("other pixels than the header's")
            image.load()
            return image
    except (MemoryError, limits.TooSlowError):
        raise
    except Exception:  # a damaged file makes it raise almost anything; all of it means the same
        raise ImageError(f"cannot be decoded, so is damaged or unusual; {AGAIN}") from None


def _bytes(path: str | os.PathLike) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if stat.S_ISDIR(status.st_mode):
                raise ImageError("is a folder; name an image file")
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("is not a regular file; name an image file")
            data = b"" if status.st_size > MAX_BYTES else file.read(MAX_BYTES + 1)
            if max(status.st_size, len(data)) > MAX_BYTES:
                raise ImageError(f"is larger than {MAX_BYTES // 2**20} MiB; {_SMALLER}")
            return data
    except IsADirectoryError:
        raise ImageError("is a folder; name an image file") from None
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror}); {AGAIN}") from None


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe would hold the program up for ever otherwise."""
    return os.open(path, flags | os.O_NONBLOCK)


def _require_room(header: Header, size: int) -> None:
    """Refuse what would not fit into `limits.MEMORY` while it is decoded."""
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        raise ImageError(
            f"is {header.width}x{header.height} px, more than {MAX_PIXELS // 2**20} megapixels; "
            f"{_SMALLER}"
        )
    # Pillow takes 4 bytes for a pixel, and its decoders more: a JPEG of several passes keeps the
    # coefficients of all of them, a compressed TIFF may be one strip.
    more = 3 if header.kind == "TIFF" and header.forgiven else 6 if header.passes > 1 else 0
    copies = 2 if header.forgiven else 1
    needed = max(2 * size, copies * size + (4 + more) * pixels, 7 * pixels)
    if needed > limits.MEMORY:
        raise ImageError(
            f"needs {needed // 2**20} MiB of memory, more than the {limits.MEMORY // 2**20} MiB "
            f"that a picture may take here; {_SMALLER}"
        )


_INTERLACED = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip  (left, top, across, down) of the passes of Adam7


def _require_all_rows(png: bytes, header: Header) -> None:
    """Count what a PNG's pixels unpack to: Pillow leaves missing rows black."""
    passes = _INTERLACED if png[28] else ((0, 0, 1, 1),)
    needed = 0
    for left, top, across, down in passes:
        columns = -(-(header.width - left) // across)
        if columns > 0:
            rows = max(0, -(-(header.height - top) // down))
            needed += rows * (1 + columns * (4 if header.alpha else 3))
    unpack, position = zlib.decompressobj(), 33
    try:
        while not unpack.eof and png[position + 4 : position + 8] == b"IDAT":
            (length,) = struct.unpack_from(">I", png, position)
            packed = memoryview(png)[position + 8 : position + 8 + length]
            for start in range(0, length, 4096):  # at most a thousandfold once unpacked
                needed -= len(unpack.decompress(packed[start : start + 4096]))
            position += 12 + length
    except zlib.error:
        pass  # then it has not come to its end
    if needed > 0 or not unpack.eof:
        raise ImageError(f"is cut short or damaged; {AGAIN}")


def _checksum(image: Image.Image) -> int:
    """CRC-32 of an image's pixels."""
    width, height = image.size
    rows = max(1, _BLOCK // (4 * width))
    value = 0
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        value = zlib.crc32(strip.tobytes(), value)
    return value


# --- resizing ----------------------------------------------------------------------------------


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize to `size` px square as OpenCV's INTER_AREA does, which the training used.

    Parameters
    ----------
    image : ndarray
        RGB, shape (H, W, 3), uint8.
    size : int
        px.

    Returns
    -------
    ndarray
        RGB, shape (size, size, 3), uint8.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if height < size or width < size:
        return _enlarge(image, size)
    if height % size == 0 and width % size == 0:
        return _average_blocks(image, size)
    return _average_areas(image, size)


def _average_areas(image: np.ndarray, size: int) -> np.ndarray:
    """Average the pixels that fall together, those on a border by the share that does.

    Float32 and in OpenCV's order of additions, so that even ties round alike.
    """
    rows, row_weights = _shares(image.shape[0], size)
    columns, column_weights = _shares(image.shape[1], size)
    column_weights = column_weights[:, None, :, None]
    result = np.empty((size, size, 3), np.uint8)
    # A few rows at a time: float copies of a whole photograph would not fit the memory.
    block = max(1, min(16, _BLOCK // (len(rows) * size * 12)))
    for start in range(0, size, block):
        stop = min(start + block, size)
        first, last = int(rows[0, start]), int(rows[:, stop - 1].max()) + 1
        source = image[first:last]
        narrow = source[:, columns[0]] * column_weights[0]
        for tap in range(1, len(columns)):
            narrow += source[:, columns[tap]] * column_weights[tap]
        taken = rows[:, start:stop] - first
        weights = row_weights[:, start:stop, None, None]
        total = narrow[taken[0]] * weights[0]
        for tap in range(1, len(rows)):
            total += narrow[taken[tap]] * weights[tap]
        result[start:stop] = np.clip(np.rint(total), 0, 255)
    return result


def _shares(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Source pixels under each of `size` target pixels and their weights, (taps, size) each.

    Weights are float32; unused taps have weight 0 and repeat the last pixel.
    """
    scale = 1 / (size / length)  # not length / size: the last bit decides which pixel begins
    begin = np.arange(size) * scale
    end = begin + scale
    width = np.minimum(scale, length - begin)
    last = np.minimum(np.floor(end), length - 1)
    first = np.minimum(np.ceil(begin), last)
    before, after = first - begin > 1e-3, end - last > 1e-3
    start = (first - before).astype(np.intp)
    count = (last - first).astype(np.intp) + before + after
    tap = np.arange(count.max())[:, None]
    pixels = start + np.minimum(tap, count - 1)
    weights = np.where(tap < count, 1.0 / width, 0.0)
    weights[0] = np.where(before, (first - begin) / width, weights[0])
    rest = np.minimum(np.minimum(end - last, 1.0), width) / width
    columns = np.flatnonzero(after)
    weights[count[columns] - 1, columns] = rest[columns]
    return pixels, weights.astype(np.float32)


def _average_blocks(image: np.ndarray, size: int) -> np.ndarray:
    """Average whole blocks: both sides shrink by an integer."""
    down, across = image.shape[0] // size, image.shape[1] // size
    result = np.empty((size, size, 3), np.uint8)
    for row in range(size):
        block = image[row * down : (row + 1) * down].reshape(down, size, across, 3)
        total = block.sum(axis=(0, 2), dtype=np.uint32)
        if down == across == 2:
            result[row] = (total + 2) >> 2  # OpenCV rounds these halves up, others to even
        else:
            result[row] = np.rint(total.astype(np.float32) * np.float32(1 / (down * across)))
    return result


def _enlarge(image: np.ndarray, size: int) -> np.ndarray:
    """Interpolate, as OpenCV does when a side is shorter than `size`: 11-bit fixed point."""
    rows, row_weights = _neighbours(image.shape[0], size)
    columns, column_weights = _neighbours(image.shape[1], size)
    weights = column_weights[:, None, :, None]
    # Only the pixels that are used: a picture may be one pixel high and endless.
    wide = [
        image[row[:, None], columns[0]].astype(np.int32) * weights[0]
        + image[row[:, None], columns[1]].astype(np.int32) * weights[1]
        for row in rows
    ]
    weights = row_weights[:, :, None, None]
    upper = (weights[0] * (wide[0] >> 4)) >> 16
    lower = (weights[1] * (wide[1] >> 4)) >> 16
    return np.clip((upper + lower + 2) >> 2, 0, 255).astype(np.uint8)


def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two source pixels of each target pixel and their weights of 2048ths, (2, size) each."""
    shrink = size / length
    scale = 1 / shrink
    target = np.arange(size)
    first = np.floor(target * scale).astype(np.intp)
    share = ((target + 1) - (first + 1) * shrink).astype(np.float32)
    share = np.where(share <= 0, 0, share - np.floor(share)).astype(np.float32)
    share = np.where(first >= length - 1, 0, share)
    first = np.minimum(first, length - 1)
    weights = np.rint(np.stack([1 - share, share]) * 2048).astype(np.int32)
    return np.stack([first, np.minimum(first + 1, length - 1)]), weights
