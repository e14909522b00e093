"""Read an image, check that it is tissue, and resize it as the training did."""

from __future__ import annotations

import importlib
import io
import math
import os
import stat
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
# First bytes, Pillow's module and class. Image.open would load readers of eight formats.
_READERS = {
    b"\x89PNG\r\n\x1a\n": ("PngImagePlugin", "PngImageFile"),
    b"\xff\xd8\xff": ("JpegImagePlugin", "JpegImageFile"),
    b"II*\x00": ("TiffImagePlugin", "TiffImageFile"),
    b"MM\x00*": ("TiffImagePlugin", "TiffImageFile"),
}
MAX_BYTES = 2**28
MAX_PIXELS = 2**25  # 96 MiB once decoded: what a device with 1 GB can afford
_BLOCK_ROWS = 16


class ImageError(Exception):
    """What is wrong with an image.

    Parameters
    ----------
    reason : str
    incomplete : bool
        It may be whole a moment later.
    """

    def __init__(self, reason: str, *, incomplete: bool = False):
        super().__init__(reason)
        self.incomplete = incomplete


def read(path: str | os.PathLike) -> np.ndarray:
    """Read an 8-bit RGB image from a PNG, JPEG or TIFF file.

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
    data = _bytes(path)
    for first, (module, name) in _READERS.items():
        if data.startswith(first):
            reader = getattr(importlib.import_module(f"PIL.{module}"), name)
            break
    else:
        # A half-copied file may not show its kind yet.
        raise ImageError("not a PNG, JPEG or TIFF image", incomplete=True)
    try:
        with reader(io.BytesIO(data)) as image:
            _require_plain(image, Path(path).suffix)
            if image.format == "PNG":
                with reader(io.BytesIO(data)) as again:
                    again.verify()  # the checksums of the pixels, which load() skips
            image.load()
            return _rgb(image)
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, struct.error) as error:
        raise ImageError(f"cut short or damaged ({error})", incomplete=True) from None
    except MemoryError:
        raise ImageError("too large for this device's memory") from None


def _bytes(path: str | os.PathLike) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("is not a file")
            if status.st_size == 0:
                raise ImageError("is empty", incomplete=True)
            if status.st_size > MAX_BYTES:
                raise ImageError(f"is larger than {MAX_BYTES // 2**20} MiB")
            return file.read()
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})", incomplete=True) from None


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe would hold the program up for ever otherwise."""
    return os.open(path, flags | os.O_NONBLOCK)


def _require_plain(image: ImageFile.ImageFile, suffix: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"is {width}x{height} px, more than {MAX_PIXELS // 2**20} megapixels")
    claimed = FORMATS.get(suffix.lower(), image.format)
    if claimed != image.format:
        raise ImageError(f"is a {image.format} file with a {claimed} name, so not the original")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ImageError(f"holds {frames} pictures")
    # Pillow shows 16-bit RGB as 8-bit: the decoder's own mode tells.
    raw_mode = image.tile[0][3] if image.tile else ""
    raw_mode = raw_mode[0] if isinstance(raw_mode, tuple) else raw_mode
    if image.mode not in ("RGB", "RGBA") or "16" in str(raw_mode):
        raise ImageError(f"is no 8-bit RGB image (its mode is {raw_mode or image.mode})")
    if "transparency" in image.info:
        raise ImageError("has a transparent colour")
    if image.getexif().get(0x0112, 1) not in (0, 1):
        raise ImageError("is turned by its EXIF orientation; save it with its pixels turned")


def _rgb(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    if image.mode == "RGBA":
        if pixels[..., 3].min() < 255:
            raise ImageError("is partly transparent")
        pixels = np.ascontiguousarray(pixels[..., :3])
    return pixels


# --- is it tissue ------------------------------------------------------------------------------

WHITE_LEVEL = 240.0
DARK = 0.15  # mean optical density of a pixel that is more than background
LEAST_DARK = 0.05
LEAST_CONTRAST = 4.0
LEAST_STAINED = 0.40
_DENSITY = -np.log((np.minimum(np.arange(256), WHITE_LEVEL) + 1) / (WHITE_LEVEL + 1), dtype="f4")


def tissue(pixels: np.ndarray) -> tuple[dict[str, float], str]:
    """Judge by colour whether a picture can be a stained section.

    Haematoxylin and eosin both absorb green most, which paper, screens, skin, sky and leaves do
    not. With OD = -ln((I + 1) / 241), per channel:

    - dark: share of pixels with a mean OD above 0.15; at least 0.05, or the picture is blank;
    - contrast: standard deviation of brightness, grey levels; at least 4, or it is one colour;
    - stained: share of the dark pixels whose OD is highest in green; at least 0.40.

    Parameters
    ----------
    pixels : ndarray
        RGB, shape (S, S, 3), uint8: the resized picture.

    Returns
    -------
    measures : dict
        dark, contrast, stained.
    problem : str
        Empty if it may be tissue.
    """
    grey = pixels.mean(axis=2, dtype=np.float32)
    density = _DENSITY[pixels]
    dark = density.mean(axis=2) > DARK
    red, green, blue = np.moveaxis(density[dark], -1, 0)
    stained = ((green > red) & (green > blue)).mean() if green.size else 0.0
    measures = {
        "dark": float(dark.mean()), "contrast": float(grey.std()), "stained": float(stained),
    }  # fmt: skip
    if measures["dark"] < LEAST_DARK:
        return measures, f"blank: {100 * measures['dark']:.0f} % of it is darker than background"
    if measures["contrast"] < LEAST_CONTRAST:
        return measures, "one plain colour"
    if measures["stained"] < LEAST_STAINED:
        share = 100 * measures["stained"]
        return (
            measures,
            f"not the colours of H&E: {share:.0f} % of its dark pixels absorb green most",
        )
    return measures, ""


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
    for start in range(0, size, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, size)
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
    taps = []
    for target in range(size):
        begin = target * scale
        end = begin + scale
        width = min(scale, length - begin)
        first, last = math.ceil(begin), min(math.floor(end), length - 1)
        first = min(first, last)
        row = []
        if first - begin > 1e-3:
            row.append((first - 1, (first - begin) / width))
        row += [(pixel, 1.0 / width) for pixel in range(first, last)]
        if end - last > 1e-3:
            row.append((last, min(min(end - last, 1.0), width) / width))
        taps.append(row)
    most = max(len(row) for row in taps)
    taps = [row + [(row[-1][0], 0.0)] * (most - len(row)) for row in taps]
    table = np.array(taps)  # (size, taps, 2)
    return table[..., 0].T.astype(np.intp), table[..., 1].T.astype(np.float32)


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
    source = image.astype(np.int32)
    weights = column_weights[:, None, :, None]
    wide = source[:, columns[0]] * weights[0] + source[:, columns[1]] * weights[1]
    weights = row_weights[:, :, None, None]
    upper = (weights[0] * (wide[rows[0]] >> 4)) >> 16
    lower = (weights[1] * (wide[rows[1]] >> 4)) >> 16
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
