"""By what a slide and its results are known again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from common import runs
from common.errors import InputError
from common.files import file_hash, read_json
from common.slides.reading import Slide
from common.slides.scale import Field
from common.slides.tiles import Tiles

_END = 2**20  # bytes of each end by which a slide is known again
_VERSION = 1  # of what decides the results; another one begins a journal anew


def key_of(
    run: runs.Run, slide: Slide, scale: tuple[float, float], tiles: Tiles, field: Field
) -> str:
    """Hash everything that decides what is predicted.

    Parameters
    ----------
    run : Run
    slide : Slide
    scale : (float, float)
        Micrometres per px of the full size.
    tiles : Tiles
    field : Field
    """
    status = slide.path.stat()
    known = {
        "version": _VERSION,
        "config": run.config,
        "model": file_hash(run.path / "model.keras"),
        "stain": run.record.get("stain_normalizer"),
        "slide": [status.st_size, status.st_mtime_ns, *([slide.mark] if slide.mark else [])],
        "scale": scale,
        "field": [field.height, field.width, field.mpp],
    }
    digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode())
    for each in (tiles.x, tiles.y, np.array([tiles.width, tiles.height])):
        digest.update(each.tobytes())
    return digest.hexdigest()


def require_same(folder: Path, slide: Slide) -> None:
    """Refuse a folder that holds another slide's results.

    Parameters
    ----------
    folder : Path
    slide : Slide

    Raises
    ------
    InputError
        Naming the folder and what it holds.
    """
    file = folder / "slide.json"
    if not file.is_file():
        return
    held = read_json(file)
    name = held.get("slide")
    if name != slide.path.name:
        raise InputError(f"{folder}: holds the results of {name}; give another --output")
    # Folders of older versions know less.
    if any(held.get(key, value) != value for key, value in identity(slide).items()):
        raise InputError(
            f"{folder}: holds the results of another file that is called {name}; give another "
            "--output, or remove the folder if the slide was changed"
        )


def identity(slide: Slide) -> dict[str, Any]:
    """Tell a slide from others of its name.

    Parameters
    ----------
    slide : Slide

    Returns
    -------
    dict
        Size and hash of both ends of its file and, where there are several, OpenSlide's hash.
    """
    size = slide.path.stat().st_size
    digest = hashlib.sha256()
    with slide.path.open("rb") as file:
        digest.update(file.read(_END))
        file.seek(max(size - _END, 0))
        digest.update(file.read(_END))
    of_all = {"quickhash": slide.mark} if slide.mark else {}
    return {"bytes": size, "sha256_of_ends": digest.hexdigest(), **of_all}
