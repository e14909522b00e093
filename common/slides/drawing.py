"""A synthetic slide whose tumour is known: a pyramid of synthetic tissue, for trials and tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import terminal
from common.datasets.breakhis import MICRONS
from common.datasets.marks import STATEMENT
from common.datasets.synthetic.files import write_png
from common.errors import InputError
from common.files import atomic_path
from common.slides.sources import EXTRA
from common.slides.structure import Image

SMALLEST, LARGEST = 512, 30_000
"""px of a slide's side."""

MPP = MICRONS["100X"] / 2
"""Micrometres per px: half of the demo's, so that its tiles are read from the second level."""

TRUTH = 16
"""px of the slide that one px of the tumour's mask stands for."""

BENIGN, MALIGNANT = ("A", "F", "PT", "TA"), ("DC", "LC", "MC", "PC")
"""BreakHis' types, of which scenes are drawn."""

_FIELD = 512  # px of a drawn picture, of which the tissue is put together
_TILE = 256


def draw_slide(path: Path, *, side: int = 10_000, seed: int = 0, fields: int = 16) -> Path:
    """Write a synthetic slide as a tiled pyramid in JPEG, and beside it where its tumour lies.

    An island of benign tissue on glass, with some malignant nests; all of one slide's stain. It is
    put together from drawn fields, so that edges show where these meet.

    Parameters
    ----------
    path : Path
        Of the slide, a .tif.
    side : int
        px of its width and height.
    seed : int
        Another seed gives another stain, and other nests.
    fields : int
        How many pictures are drawn of each side; they are turned and flipped when used again.

    Returns
    -------
    Path
        The mask, ``<slide>-tumour.png``: a px for `TRUTH` of the slide, 255 in tumour, 128 in
        other tissue.

    Raises
    ------
    InputError
        If the side is out of range, or tifffile is not installed.
    """
    try:
        import tifffile
    except ImportError:
        raise InputError(f"a slide is written by tifffile: {EXTRA}") from None
    if not SMALLEST <= side <= LARGEST:
        raise InputError(f"side {side}: from {SMALLEST} to {LARGEST} px")
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{path}: name it .tif")
    shape = _shape(side, seed)
    pools = [_fields(kinds, seed, fields) for kinds in (BENIGN, MALIGNANT)]
    half = np.empty((side // 2, side // 2, 3), np.uint8)
    levels = max(1, int(np.log2(side / 400)))
    options: dict[str, Any] = {
        "photometric": "rgb", "tile": (_TILE, _TILE), "compression": "jpeg",
        "compressionargs": {"level": 85}, "metadata": None,
    }  # fmt: skip
    scale = (1e4 / MPP, 1e4 / MPP)
    with (
        atomic_path(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=True) as file,
        terminal.progress("drawing the slide", side, "rows") as bar,
    ):
        file.write(
            _tiles(shape, pools, side, seed, half, bar), shape=(side, side, 3), dtype=np.uint8,
            subifds=levels - 1, resolution=scale, resolutionunit="CENTIMETER",
            description=STATEMENT.decode("ascii"), **options,
        )  # fmt: skip
        for _ in range(levels - 1):
            file.write(half, subfiletype=1, **options)
            half = _halved(half)
    truth = path.with_name(f"{path.stem}-tumour.png")
    write_png(truth, np.array([0, 128, 255], np.uint8)[shape])
    return truth


def _shape(side: int, seed: int) -> NDArray[np.uint8]:
    """0 glass, 1 tissue, 2 tumour, a px for `TRUTH` of the slide: sums of round hills."""
    rng = np.random.default_rng((seed, 1))
    length = -(-side // TRUTH)
    y, x = (np.mgrid[:length, :length] + 0.5) / length
    angle = np.arctan2(y - 0.5, x - 0.5)
    wobble = sum(rng.uniform(0, 0.03) * np.sin(n * angle + rng.uniform(0, 6)) for n in range(2, 6))
    tissue = np.hypot(x - 0.5, y - 0.5) < 0.44 + wobble
    hills = np.zeros_like(x)
    for _ in range(4):
        radius, turn = rng.uniform(0.05, 0.3), rng.uniform(0, 2 * np.pi)
        cx, cy = 0.5 + radius * np.cos(turn), 0.5 + radius * np.sin(turn)
        hills += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.01, 0.025))
    return (tissue.astype(np.uint8) + (tissue & (hills > 0.5))).astype(np.uint8)


def _fields(kinds: tuple[str, ...], seed: int, count: int) -> list[Image]:
    from common.datasets.synthetic import scenes

    return [
        scenes.picture(
            scenes.BREAKHIS[kinds[number % len(kinds)]], (_FIELD, _FIELD), 1 / MPP,
            np.random.default_rng((seed, 2)), np.random.default_rng((seed, 3, number)),
        )
        for number in range(count)
    ]  # fmt: skip


def _tiles(
    shape: NDArray[np.uint8],
    pools: list[list[Image]],
    side: int,
    seed: int,
    half: Image,
    bar: terminal.Bar,
) -> Iterator[Image]:
    """The tiles of the full size, row after row; `half` is filled on the way."""
    for top in range(0, side, _FIELD):
        band = _band(shape, pools, top, min(_FIELD, side - top), side, seed)
        pairs = _halved(band)
        half[top // 2 : top // 2 + len(pairs)] = pairs[: len(half) - top // 2]
        bar.at(min(top + _FIELD, side))
        for y in range(0, len(band), _TILE):
            for x in range(0, side, _TILE):
                yield np.ascontiguousarray(band[y : y + _TILE, x : x + _TILE])


def _band(
    shape: NDArray[np.uint8], pools: list[list[Image]], top: int, tall: int, side: int, seed: int
) -> Image:
    """Rows of the slide, as high as a field."""
    band = np.empty((tall, side, 3), np.uint8)
    for left in range(0, side, _FIELD):
        rng = np.random.default_rng((seed, 4, top, left))
        wide = min(_FIELD, side - left)
        rows = np.arange(top, top + tall) // TRUTH
        columns = np.arange(left, left + wide) // TRUTH
        which = shape[rows[:, None], columns[None, :]]
        piece = np.full((tall, wide, 3), 243, np.uint8)
        if not (which == 0).all():
            for value, pool in zip((1, 2), pools, strict=True):
                drawn = _turned(pool[rng.integers(len(pool))], int(rng.integers(8)))
                piece = np.where((which == value)[..., None], drawn[:tall, :wide], piece)
        band[:, left : left + wide] = piece
    return band


def _turned(image: Image, number: int) -> Image:
    turned = np.rot90(image, number % 4)
    return turned[:, ::-1] if number >= 4 else turned


def _halved(image: Image) -> Image:
    import cv2

    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = np.ascontiguousarray(image[: 2 * height, : 2 * width])
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
