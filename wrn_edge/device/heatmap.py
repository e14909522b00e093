"""Class activation maps drawn over the picture: what spoke for the predicted class."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from common.notices import SYNTHETIC_MODEL

if TYPE_CHECKING:
    from classifier import Classifier

SIDE = 448  # longest side of a drawing, px
_LONGEST = 255 - len("..part")  # bytes of a name, as most file systems take it
FADED = 0.65  # how much of its contrast a part without evidence loses


def evidence(maps: np.ndarray, index: int) -> np.ndarray:
    """Evidence for one class against the mean of all, in [0, 1].

    A softmax does not see what all classes have in common, so that part is taken away.

    Parameters
    ----------
    maps : ndarray
        Class activation maps, shape (h, w, K).
    index : int
        The class.

    Returns
    -------
    ndarray
        Shape (h, w), float64; all zero where nothing speaks for the class.
    """
    heat = np.maximum(maps[..., index] - maps.mean(axis=-1), 0)
    return heat / heat.max() if heat.max() > 0 else heat


def reduced(picture: np.ndarray) -> np.ndarray:
    """A copy of a picture that is small enough to be kept until it is drawn on.

    Parameters
    ----------
    picture : ndarray
        RGB, shape (H, W, 3), uint8.

    Returns
    -------
    ndarray
        RGB, shape (h, w, 3), uint8; the longest side has `SIDE` px.
    """
    height, width = picture.shape[:2]
    factor = SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize(size, way))


def draw(model: Classifier, picture: np.ndarray, label: str, probability: float) -> Image.Image:
    """Leave the last classified picture its colours where the map speaks for the label.

    The rest fades to grey: any false colour would be lost on pink and purple. A caption stands
    below.

    Parameters
    ----------
    model : Classifier
        Has just run on the picture.
    picture : ndarray
        RGB, shape (h, w, 3), uint8: what `reduced` gives.
    label : str
    probability : float
    """
    maps = model.activation_maps()
    heat = evidence(maps, model.bundle.classes.index(label))
    size = picture.shape[1::-1]
    enlarged = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    heat = np.clip(np.asarray(enlarged), 0, 1)[..., None]
    pixels = np.asarray(picture, np.float32)
    faded = (1 - FADED) * pixels.mean(axis=2, keepdims=True) + FADED * 235
    mixed = heat * pixels + (1 - heat) * faded
    caption = f"{label} {100 * probability:.1f} %; in colour: evidence for {label}"
    return _with_caption(
        Image.fromarray(np.rint(mixed).astype(np.uint8)),
        [caption, *model.bundle.notice().split("\n")],
    )


def _with_caption(image: Image.Image, lines: list[str]) -> Image.Image:
    font = ImageFont.load_default()
    high = 16
    result = Image.new("RGB", (image.width, image.height + high * len(lines) + 8), "white")
    result.paste(image)
    pen = ImageDraw.Draw(result)
    for number, text in enumerate(lines):
        pen.text((6, image.height + 4 + number * high), text, fill="black", font=font)
    return result


def save(drawing: Image.Image, folder: Path, name: str, synthetic: bool) -> Path:
    """Write a drawing as PNG, whole or not at all; give its path.

    Parameters
    ----------
    drawing : Image
    folder : Path
        Made if it does not exist.
    name : str
        Of the drawing; slashes become underscores, and what no folder takes is cut.
    synthetic : bool
        Say in the file that the model knows generated images only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flat = "_".join(part for part in Path(name).parts if part not in ("..", "/"))
    path = folder / _short(flat)
    half = path.with_name(f".{path.name}.part")
    words = PngImagePlugin.PngInfo()
    if synthetic:
        words.add_text("SYNTHETIC", SYNTHETIC_MODEL)
    with half.open("wb") as file:
        drawing.save(file, "PNG", pnginfo=words)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    return path


def _short(name: str) -> str:
    """A name of at most `_LONGEST` bytes; a long one keeps its end, and its checksum stands first.

    The end is what says that it is a drawing.
    """
    data = os.fsencode(name)
    if len(data) <= _LONGEST:
        return name
    kept = data[9 - _LONGEST :].decode("utf-8", "ignore")
    return f"{zlib.crc32(data):08x}-{kept}"
