"""What bytes the images of a run have: noted when it begins, the same whenever it goes on."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from common import terminal
from common.errors import InputError, listed
from common.files import read_table, write_text

if TYPE_CHECKING:
    from common.images import Pixels


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
                f"{file.parent}: {len(changed)} images have changed since this run began: "
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
