"""Slides and large images: opened, checked, and read in parts of bounded size."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common import images, terminal
from common.errors import InputError
from common.slides.sources import Source, source_of
from common.slides.structure import AGAIN, Image, in_short

_BLOCK = 4 * 2**20  # source px that are read at once to be averaged


class Slide:
    """A slide or large image.

    Parameters
    ----------
    path : Path
        Its file.
    source : Source
        What reads it.
    """

    def __init__(self, path: Path, source: Source):
        self.path, self._source = path, source
        self.kind, self.mpp, self.synthetic = source.kind, source.mpp, source.synthetic
        self.origin, self.mark = source.origin, source.mark
        self.width, self.height = source.levels[0]
        # A level of another shape is a picture of something else.
        self.levels = {
            number: (self.width / width, self.height / height)
            for number, (width, height) in enumerate(source.levels)
            if abs(self.width / width * height / self.height - 1) < 0.02 or min(width, height) < 64
        }

    def region(
        self,
        box: tuple[float, float, float, float],
        size: tuple[int, int],
        *,
        progress: bool = False,
    ) -> Image:
        """Read a rectangle at a scale: from the level that is nearest above, by area averaging.

        Parameters
        ----------
        box : (float, float, float, float)
            x, y, width, height in px of the full size, inside the slide.
        size : (int, int)
            Height and width of the result in px.
        progress : bool
            Say how far it is, if it takes long.

        Returns
        -------
        uint8 array (H, W, 3)
            RGB. What the file leaves out is white.

        Raises
        ------
        InputError
            If the file is damaged there.
        """
        x, y, width, height = box
        wanted = min(width / size[1], height / size[0])
        level = max(
            (each for each, factors in self.levels.items() if max(factors) <= wanted * 1.001),
            key=lambda each: self.levels[each],
            default=0,
        )
        across, down = self.levels[level]
        most_wide, most_tall = self._source.levels[level]
        left, top = round(x / across), round(y / down)
        right = min(max(left + 1, round((x + width) / across)), most_wide)
        bottom = min(max(top + 1, round((y + height) / down)), most_tall)
        left, top = min(left, right - 1), min(top, bottom - 1)
        wide, tall = right - left, bottom - top
        if wide * tall <= _BLOCK:
            return images.resize(self._read(level, left, top, wide, tall), size, "area")
        return self._averaged(level, (left, top, wide, tall), size, progress)

    def _averaged(
        self, level: int, box: tuple[int, int, int, int], size: tuple[int, int], progress: bool
    ) -> Image:
        """Average a rectangle piece by piece, so that its size does not matter."""
        left, top, wide, tall = box
        out = np.empty((*size, 3), np.uint8)
        columns = 1 if self._source.rows else math.ceil(wide / math.isqrt(_BLOCK))
        down = _edges(size[0], math.ceil(wide / columns * tall / _BLOCK))
        across = _edges(size[1], columns)
        with terminal.progress("reading the slide", tall, "rows", shown=progress) as bar:
            for a, b in itertools.pairwise(down):
                y0, y1 = top + a * tall // size[0], top + b * tall // size[0]
                for c, d in itertools.pairwise(across):
                    x0, x1 = left + c * wide // size[1], left + d * wide // size[1]
                    piece = self._read(level, x0, y0, x1 - x0, y1 - y0)
                    out[a:b, c:d] = images.resize(piece, (b - a, d - c), "area")
                bar.at(y1 - top)
        return out

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> Image:
        try:
            return self._source.pixels(level, x, y, width, height)
        except InputError:
            raise
        except Exception as error:  # libraries raise almost anything over damaged data
            raise InputError(
                f"{self.path}: cannot be decoded at x {x}, y {y} of level {level} "
                f"({in_short(error)}); it is damaged: {AGAIN}"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _edges(length: int, pieces: int) -> list[int]:
    pieces = min(max(pieces, 1), length)
    return [piece * length // pieces for piece in range(pieces + 1)]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Slide]:
    """Open a slide, or a large image.

    Parameters
    ----------
    path : Path
        What tiffslide or, where it is installed, OpenSlide reads; or a picture that can be decoded
        in `PICTURE_ROOM`.

    Yields
    ------
    Slide

    Raises
    ------
    InputError
        Naming the file, what is wrong and what to do.
    """
    slide = Slide(path, source_of(path))
    try:
        yield slide
    finally:
        slide.close()
