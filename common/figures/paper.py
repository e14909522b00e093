"""A sheet of pictures and words: pictures are pasted as pixels, words are set by Matplotlib.

A figure with an axes for each picture takes many times as long, and lays out what needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from common.figures.canvas import DPI, INK, SMALL, empty, font

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text


def scaled(
    image: NDArray[np.uint8], wide: int, tall: int, *, exact: bool = False
) -> NDArray[np.uint8]:
    """Scale a picture to its place on a sheet.

    Parameters
    ----------
    image : uint8 (H, W, 3), RGB
    wide, tall : int
        Pixels on the sheet.
    exact : bool
        Keep the edges of its pixels.

    Returns
    -------
    uint8 array (tall, wide, 3)
    """
    import cv2

    smooth = cv2.INTER_AREA if wide < image.shape[1] else cv2.INTER_LINEAR
    how = cv2.INTER_NEAREST if exact else smooth
    drawn = cv2.resize(np.ascontiguousarray(image), (wide, tall), interpolation=how)
    return np.asarray(drawn, dtype=np.uint8)


class Sheet:
    """White paper of a size, measured in inches from its upper left corner.

    Parameters
    ----------
    width, height : float
        Inches, at `DPI` pixels each.
    """

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        size = round(height * DPI), round(width * DPI), 3
        self._pixels = np.full(size, 255, np.uint8)
        self._figure = empty(size[1] / DPI, size[0] / DPI)

    def paste(
        self,
        image: NDArray[np.uint8],
        x: float,
        y: float,
        width: float,
        height: float | None = None,
        *,
        frame: str | None = None,
        exact: bool = False,
        fill: bool = False,
    ) -> NDArray[np.uint8]:
        """Put a picture on the sheet.

        Parameters
        ----------
        image : uint8 (H, W, 3), RGB
        x, y : float
            Its upper left corner.
        width : float
            Of the picture.
        height : float, optional
            At most; the picture keeps its shape and is made smaller. Unset: no limit.
        frame : str, optional
            Colour of a frame around it.
        exact : bool
            Keep the edges of its pixels.
        fill : bool
            Stretch it to width and height.

        Returns
        -------
        uint8 array (h, w, 3)
            The picture as it stands on the sheet.
        """
        shape = image.shape[0] / image.shape[1]
        if height is None:
            height = width * shape
        elif not fill:
            width = min(width, height / shape)
            height = width * shape
        left, top = round(x * DPI), round(y * DPI)
        wide, tall = max(1, round(width * DPI)), max(1, round(height * DPI))
        drawn = scaled(image, wide, tall, exact=exact)
        if frame is not None:
            from matplotlib.colors import to_rgb

            edge, colour = 4, np.rint(np.multiply(to_rgb(frame), 255)).astype(np.uint8)
            drawn[:edge], drawn[-edge:], drawn[:, :edge], drawn[:, -edge:] = (colour,) * 4
        place = self._pixels[top : top + tall, left : left + wide]
        place[:] = drawn[: place.shape[0], : place.shape[1]]
        return drawn

    def write(
        self,
        words: str,
        x: float,
        y: float,
        size: float = SMALL,
        *,
        weight: str = "normal",
        align: Literal["left", "center"] = "left",
        upright: bool = False,
    ) -> Text:
        """Set words on the sheet.

        Parameters
        ----------
        words : str
            One line or more.
        x, y : float
            Where the last line begins, or its middle is; of turned words, the left of their middle.
        size : float
            Points.
        weight : str
            `normal` or `bold`.
        align : {"left", "center"}
        upright : bool
            Turn them to be read from below.

        Returns
        -------
        Text
            May be set anew while only the words are drawn.
        """
        turned = {"rotation": 90, "va": "center", "ha": "left"} if upright else {"va": "bottom"}
        return self._figure.text(
            x / self.width, 1 - y / self.height, words, color=INK, parse_math=False,
            fontproperties=font(size, weight),
            **({"ha": align, "multialignment": align} | turned),
        )  # fmt: skip

    def words(self) -> Figure:
        """Give the words alone, on white."""
        return self._figure

    def figure(self, description: str) -> Figure:
        """Give the sheet as a figure.

        Parameters
        ----------
        description : str
            Its label, as alternative text.

        Returns
        -------
        Figure
        """
        self._figure.figimage(self._pixels, origin="upper")
        self._figure.set_label(description)
        return self._figure
