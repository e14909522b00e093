"""The Grad-CAM of many images, each a picture of its own, without a figure for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.figures.canvas import DPI, SMALL, words
from common.figures.paper import Sheet, scaled
from common.figures.png import pixels, save_pixels
from common.figures.settings import own
from common.figures.sheets import (
    GAP,
    HEADINGS,
    Image,
    gallery_columns,
    gallery_height,
    gradcam_gallery,
    hot,
    listing,
    title_height,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text


class Overlays:
    """Draws what `gradcam_gallery` draws of one image, the same to the last pixel.

    What is the same for all images of a shape is drawn once, and pictures are pasted into it: a
    fifth of the time.
    """

    def __init__(self) -> None:
        self._frames: dict[tuple[object, ...], _Frame] = {}

    @own
    def save(
        self,
        path: str | Path,
        image: Image,
        heatmaps: Mapping[str, NDArray[np.floating]],
        title: str,
        synthetic: bool = False,
    ) -> Path:
        """Write an image beside its Grad-CAM at every stage as PNG, as `figures.save` would.

        Parameters
        ----------
        path : path
            The file; folders are made.
        image, heatmaps, title
            As in `draw`.
        synthetic : bool
            As in `figures.save`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        described = listing(f"Grad-CAM of {', '.join(heatmaps)}", [title])
        return save_pixels(self.draw(image, heatmaps, title), path, synthetic, described)

    @own
    def draw(
        self, image: Image, heatmaps: Mapping[str, NDArray[np.floating]], title: str
    ) -> NDArray[np.uint8]:
        """Draw an image beside its Grad-CAM at every stage.

        Parameters
        ----------
        image : uint8 (H, W, 3), RGB
        heatmaps : mapping of str to float (h, w) in [0, 1]
            Stage name to map.
        title : str
            One line or more, written above them.

        Returns
        -------
        uint8 array (H, W, 3)
            RGB.
        """
        shape, stages = np.shape(image)[:2], tuple(heatmaps)
        side, width = gallery_columns(len(stages))
        drawn = words(title, SMALL, width - 0.1)
        lines = drawn.count("\n") + 1
        key = shape, stages, lines
        if key not in self._frames:
            self._frames[key] = _frame(shape, stages, lines)
        frame = self._frames[key]
        paper = frame.paper.copy()
        frame.title.set_text(drawn)
        paper[frame.band] = pixels(frame.titled)[frame.band]
        wide = side - GAP
        plain = scaled(image, round(wide * DPI), round(wide * shape[0] / shape[1] * DPI))
        top = round(frame.y * DPI)
        for column, each in enumerate([None, *heatmaps.values()]):
            left = round((GAP / 2 + side * column) * DPI)
            place = paper[top : top + plain.shape[0], left : left + plain.shape[1]]
            picture = plain if each is None else hot(plain, each)
            place[:] = picture[: place.shape[0], : place.shape[1]]
        return paper


@dataclass
class _Frame:
    """What is drawn once for all images of a shape whose titles have as many lines."""

    paper: NDArray[np.uint8]
    """Everything but the pictures and the title."""
    titled: Figure
    """White, with the title alone."""
    title: Text
    y: float
    """Inches from the upper edge to the pictures."""

    @property
    def band(self) -> slice:
        """Rows in which the title stands."""
        return slice(round(HEADINGS * DPI), round(self.y * DPI))


def _frame(shape: tuple[int, ...], stages: tuple[str, ...], lines: int) -> _Frame:
    white = np.full((*shape, 3), 255, np.uint8)
    blank = "\n" * (lines - 1)
    maps = {stage: [np.zeros((1, 1), np.float32)] for stage in stages}
    paper = pixels(gradcam_gallery([white], maps, [blank]))
    side, width = gallery_columns(len(stages))
    head, tall = title_height(lines), (side - GAP) * shape[0] / shape[1]
    y = HEADINGS + head
    sheet = Sheet(width, gallery_height([tall], head))
    title = sheet.write("", GAP / 2, y - 0.05)
    return _Frame(paper, sheet.words(), title, y)
