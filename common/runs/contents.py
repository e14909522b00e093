"""What a run notes of its images: their bytes, the same whenever it goes on, and their looks."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import terminal
from common.errors import InputError, listed, many
from common.files import atomic_path, read_table, write_text

if TYPE_CHECKING:
    import pandas as pd

    from common.images import Pixels

LOOKS = "looks.bin"
"""For each row of split.csv the perceptual hash of its image, as it is: 4 numbers of 64 bits, the
lowest byte first. Another kind of hash would have a file of another name."""

_WORDS = 4


def require_same_images(file: Path, pixels: Pixels) -> None:
    """Write down what the images hold; refuse to go on with others under the same names.

    Parameters
    ----------
    file : Path
        The run's `images.csv`.
    pixels : Pixels
        The images as they are now.

    Raises
    ------
    InputError
        Naming images that have changed since the run began.
    """
    names = [name.rpartition("/")[2] for name in pixels.images]
    if len(set(names)) < len(names):  # of one's own images, which have one name in many folders
        names = list(pixels.images)
    now = dict(zip(names, pixels.digests, strict=True))
    if file.exists():
        before = image_digests(file)
        if before is None:
            terminal.line(f"{file}: damaged, written anew", always=True)
            before = {}
        changed = sorted(name for name in now if before.get(name, now[name]) != now[name])
        if changed:
            raise InputError(
                f"{file.parent}: {many(len(changed), 'image has', 'images have')} changed "
                "since this run began: "
                f"{listed(changed)}; put the old ones back, or start anew with --fresh"
            )
        if before.keys() == now.keys():
            return
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerows([("image", "sha256"), *sorted(now.items())])
    write_text(file, rows.getvalue())


def image_digests(file: Path) -> dict[str, str] | None:
    """Read what `images.csv` says: name and SHA-256; None if it is damaged.

    Parameters
    ----------
    file : Path
    """
    try:
        table = read_table(file, ("image", "sha256"))
    except InputError:
        return None
    found = dict(zip(table["image"], table["sha256"], strict=True))
    whole = all(re.fullmatch("[0-9a-f]{64}", digest or "") for digest in found.values())
    return found if whole else None


def write_looks(folder: Path, split: pd.DataFrame, pixels: Pixels) -> None:
    """Write `LOOKS`, so that near copies are found where the images are not.

    Parameters
    ----------
    folder : Path
        The run's.
    split : DataFrame
        As in its split.csv.
    pixels : Pixels
        The decoded images; nothing is written of pixels that no files stand behind.
    """
    known = pixels.fingerprints()
    if known is None:
        return
    used = (split["part"] != "").to_numpy()
    hashes = np.zeros((len(split), _WORDS), "<u8")
    hashes[used] = known.hashes[pixels.rows(split["image"][used]), 0]
    with atomic_path(folder / LOOKS) as temporary:
        temporary.write_bytes(hashes.tobytes())


def read_looks(folder: Path, count: int) -> np.ndarray | None:
    """Read what `write_looks` wrote.

    Parameters
    ----------
    folder : Path
        The run's.
    count : int
        Rows of its split.csv.

    Returns
    -------
    ndarray or None
        Shape (count, 4), uint64; None of a run of an earlier version, and where it is damaged.
    """
    file, size = folder / LOOKS, 8 * _WORDS * count
    try:
        if file.stat().st_size != size:
            return None
        found = np.frombuffer(file.read_bytes(), "<u8")
    except (OSError, ValueError):
        return None
    return found.reshape(-1, _WORDS).astype(np.uint64) if found.nbytes == size else None
