"""Recognise an image again, in other files and other orientations: hashes of its decoded pixels."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

HASH_SIDE = 16
"""The perceptual hash keeps 16 x 16 of the lowest frequencies: 256 bits."""

ORIENTATIONS = 8
"""By flips and quarter turns; the image as it is comes first."""

_SIGNS = np.where(np.arange(HASH_SIDE) % 2, -1, 1).astype(np.float32)
_FLIPS = np.stack(
    [np.outer(rows, columns) for rows in (_SIGNS**2, _SIGNS) for columns in (_SIGNS**2, _SIGNS)]
)

# Of one image in a file of the cache. `check` binds it to the file that was decoded: what a killed
# process left, or what belongs to another row, is not taken for a fingerprint.
_RECORD = np.dtype(
    [
        ("pixels", "u1", 32),
        ("hashes", "<u8", (ORIENTATIONS, HASH_SIDE * HASH_SIDE // 64)),
        ("check", "<u4"),
    ]
)
RECORD_BYTES = _RECORD.itemsize

FILE = "fingerprints-1.bin"
"""In a folder of the cache: one record a row. Another number means another kind of hash."""


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of n images.

    Attributes
    ----------
    pixels : ndarray
        Shape (n, 32), uint8: SHA-256 of the decoded image's shape and RGB pixels, before any
        resize.
    hashes : ndarray
        Shape (n, 8, 4), uint64: perceptual hash in each of the `ORIENTATIONS`.
    """

    pixels: np.ndarray
    hashes: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: np.ndarray) -> Fingerprints:
        return Fingerprints(self.pixels[rows], self.hashes[rows])


def pixel_hash(image: np.ndarray) -> bytes:
    """Hash an image's pixels: equal for equal images, whatever their files' bytes.

    Parameters
    ----------
    image : ndarray
        RGB, shape (H, W, 3), uint8.

    Returns
    -------
    bytes
        SHA-256 of its shape and pixels.
    """
    image = np.ascontiguousarray(image)
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(image.data)
    return digest.digest()


def frequencies(image: np.ndarray) -> np.ndarray:
    """Take the lowest frequencies of an image.

    Parameters
    ----------
    image : ndarray
        RGB, shape (H, W, 3), uint8.

    Returns
    -------
    ndarray
        Shape (16, 16), float32: DCT coefficients of the grey image at 64 x 64.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # Four samples per kept period; a square, so that a quarter turn is a transpose.
    side = 4 * HASH_SIDE
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    return cv2.dct(small)[:HASH_SIDE, :HASH_SIDE]


def perceptual_hashes(frequencies: np.ndarray) -> np.ndarray:
    """Hash images' lowest frequencies in all orientations: their signs against their median.

    A flip changes the sign of the odd frequencies along its axis; a transpose transposes.

    Parameters
    ----------
    frequencies : ndarray
        Shape (..., 16, 16), float32.

    Returns
    -------
    ndarray
        Shape (..., 8, 4), uint64.
    """
    both = np.stack([frequencies, np.swapaxes(frequencies, -1, -2)], axis=-3)
    turned = both[..., None, :, :] * _FLIPS
    flat = turned.reshape(*frequencies.shape[:-2], ORIENTATIONS, HASH_SIDE * HASH_SIDE)
    # The mean (first coefficient) is left out: brightness and contrast do not change the others'
    # order. They are odd in number: the middle one is the median, which NumPy takes longer for.
    middle = (HASH_SIDE * HASH_SIDE - 1) // 2
    median = np.partition(flat[..., 1:], middle, axis=-1)[..., middle, None]
    bits = flat > median
    bits[..., 0] = False
    return np.ascontiguousarray(np.packbits(bits, axis=-1)).view(np.uint64)


def fingerprint(image: np.ndarray) -> np.void:
    """Take the fingerprint of one image.

    Parameters
    ----------
    image : ndarray
        RGB, shape (H, W, 3), uint8, as decoded.

    Returns
    -------
    void
        A record with the fields `pixels` and `hashes`; its `check` is set by `seal`.
    """
    record = np.zeros(1, _RECORD)[0]
    record["pixels"] = np.frombuffer(pixel_hash(image), np.uint8)
    record["hashes"] = perceptual_hashes(frequencies(image))
    return record


def seal(record: np.void, digest: str) -> bytes:
    """Bind a record to the file whose image it tells of.

    Parameters
    ----------
    record : void
        As `fingerprint` gives it.
    digest : str
        SHA-256 of the file's bytes, hex.

    Returns
    -------
    bytes
        `RECORD_BYTES` of them, for the cache's file.
    """
    body = record.tobytes()[:-4]
    return body + _check(body, digest).to_bytes(4, "little")


def stored(
    file: Path, rows: Sequence[int] | np.ndarray, digests: Sequence[str]
) -> tuple[Fingerprints, np.ndarray]:
    """Read fingerprints from a file of the cache.

    Parameters
    ----------
    file : path
        May be missing.
    rows : sequence of int
        Its rows, n of them; -1 for an image that has none.
    digests : sequence of str
        SHA-256 of the file that each row is of, hex.

    Returns
    -------
    found : Fingerprints
        Zeros where there is none.
    known : ndarray
        Shape (n,), bool: where there is one, and it is of that file.
    """
    found = np.zeros(len(rows), _RECORD)
    known = np.zeros(len(rows), bool)
    try:
        data = file.read_bytes()
    except OSError:  # an older cache has none, and they can be taken again
        data = b""
    for i, (row, digest) in enumerate(zip(rows, digests, strict=True)):
        record = data[row * RECORD_BYTES : (row + 1) * RECORD_BYTES]
        if row < 0 or len(record) < RECORD_BYTES:
            continue
        if int.from_bytes(record[-4:], "little") == _check(record[:-4], digest):
            found[i] = np.frombuffer(record, _RECORD)[0]
            known[i] = True
    return together(found), known


def together(records: Sequence[np.void] | np.ndarray) -> Fingerprints:
    """Put records side by side.

    Parameters
    ----------
    records : sequence of void
        As `fingerprint` gives them.

    Returns
    -------
    Fingerprints
    """
    table = np.array(records, _RECORD)
    return Fingerprints(table["pixels"].copy(), table["hashes"].astype(np.uint64))


def _check(body: bytes, digest: str) -> int:
    return zlib.crc32(body, zlib.crc32(digest.encode()))
