"""Files of synthetic data: images that say what they are, and folders that are whole or resumed."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import writers
from common.datasets.marks import KEYWORD, PNG_SIGNATURE, STATEMENT
from common.errors import InputError
from common.files import atomic_path, read_json, write_json, write_text
from common.notices import SYNTHETIC_MARKER

VERSION = 1  # of what is drawn; raise it when the same parameters give other pixels
MANIFEST = "synthetic.json"
_NOTICE = """\
SYNTHETIC: every image below this folder was drawn by a program (histopapers).
It shows no patient. The folders and names are those of {title}; the content is not.
Never mix it with real images, and report no result on it as one on tissue.
"""


# --- images ------------------------------------------------------------------------------------


def write_png(path: Path, image: np.ndarray, statements: Sequence[bytes] = (STATEMENT,)) -> None:
    """Write an image as a PNG that says what it is.

    Parameters
    ----------
    path : Path
    image : ndarray, uint8, shape (H, W, 3), RGB, or (H, W), grey
    statements : sequence of bytes
        Become text chunks; by default that the image is synthetic.
    """
    import cv2

    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".png", image)[1].tobytes()
    text = b"".join(_chunk(b"tEXt", KEYWORD + b"\0" + each) for each in statements)
    header = len(PNG_SIGNATURE) + 25  # IHDR is always the first chunk and always 25 bytes long
    _write(path, data[:header] + text + data[header:])


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def write_tiff(path: Path, image: np.ndarray) -> None:
    """Write an image as a TIFF whose ImageDescription says that it is synthetic.

    Uncompressed, one strip: what TIFF 6.0 calls a baseline RGB image.

    Parameters
    ----------
    path : Path
    image : ndarray, uint8, shape (H, W, 3), RGB
    """
    height, width, _ = image.shape
    pixels = np.ascontiguousarray(image).tobytes()
    description = STATEMENT + b"\0"
    description += b"\0" * (len(description) % 2)
    short, long, text = 3, 4, 2
    entries = 11
    after = 8 + 2 + 12 * entries + 4
    samples, strip = after + len(description), after + len(description) + 6
    tags = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, 3, samples),  # bits per sample: 8, 8, 8
        (259, short, 1, 1),  # not compressed
        (262, short, 1, 2),  # RGB
        (270, text, len(description), after),
        (273, long, 1, strip),
        (277, short, 1, 3),  # samples per pixel
        (278, long, 1, height),  # rows per strip
        (279, long, 1, len(pixels)),
        (284, short, 1, 1),  # channels interleaved
    ]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    _write(
        path,
        struct.pack("<2sHIH", b"II", 42, 8, entries) + directory + struct.pack("<I", 0)
        + description + struct.pack("<3H", 8, 8, 8) + pixels,
    )  # fmt: skip


def _write(path: Path, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


# --- folders -----------------------------------------------------------------------------------


@contextlib.contextmanager
def folder(root: Path, title: str, parameters: Mapping[str, Any]) -> Iterator[bool]:
    """Open a folder of synthetic data.

    One process at a time fills a folder; others wait. It is marked as whole when the block ends
    without an error.

    Parameters
    ----------
    root : Path
        Made if it is not there.
    title : str
        Name of the data set that is imitated.
    parameters : mapping
        Everything that decides the content, ready for JSON.

    Yields
    ------
    bool
        True if it has to be filled, False if it is whole.

    Raises
    ------
    InputError
        If the folder holds synthetic data of other parameters, or anything else.
    """
    import filelock

    wanted = json.loads(json.dumps({"version": VERSION, **parameters}))
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(root / ".synthetic.lock")
        with lock:
            whole = _claim(root, title, wanted)
            yield not whole
            if not whole:
                write_json(root / MANIFEST, {"parameters": wanted, "whole": True})
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{root}: synthetic data cannot be written there ({error.strerror}); "
            "give another folder"
        ) from None


def _claim(root: Path, title: str, wanted: Mapping[str, Any]) -> bool:
    """Check or write the manifest; whether the folder is already whole."""
    file = root / MANIFEST
    if file.exists():
        try:
            found = read_json(file)
            parameters, whole = found["parameters"], bool(found["whole"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{file}: damaged; delete the folder, or choose another") from None
        if parameters != wanted:
            differing = sorted(
                name for name in {*parameters, *wanted} if parameters.get(name) != wanted.get(name)
            )
            raise InputError(
                f"{root}: holds synthetic data made with other parameters "
                f"({', '.join(differing)}); delete it, or choose another folder"
            )
        if not whole:
            writers.remove_halves(root, alone=True)
        return whole
    writers.remove_halves(root, deep=False)
    strangers = [entry.name for entry in root.iterdir() if entry.name not in _OURS]
    if strangers:
        raise InputError(
            f"{root}: holds other files ({strangers[0]}); synthetic data are never mixed with "
            "others: choose another folder"
        )
    # The marker comes first: no image may lie here without it.
    write_text(root / SYNTHETIC_MARKER, _NOTICE.format(title=title))
    write_json(file, {"parameters": wanted, "whole": False})
    return False


_OURS = {".synthetic.lock", SYNTHETIC_MARKER}
