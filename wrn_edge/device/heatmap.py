"""Class activation maps drawn over the picture: what spoke for the predicted class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from notices import SYNTHETIC
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

if TYPE_CHECKING:
    from classifier import Classifier

SIDE = 448  # longest side of a drawing, px
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


def draw(model: Classifier, picture: np.ndarray, label: str, probability: float) -> Image.Image:
    """Leave the last classified picture its colours where the map speaks for the label.

    The rest fades to grey: any false colour would be lost on pink and purple. A caption stands
    below.

    Parameters
    ----------
    model : Classifier
        Has just run on the picture.
    picture : ndarray
        RGB, shape (H, W, 3), uint8.
    label : str
    probability : float
    """
    maps = model.activation_maps()
    heat = evidence(maps, model.bundle.classes.index(label))
    image = Image.fromarray(picture)
    factor = SIDE / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    image = image.resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)
    enlarged = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    heat = np.clip(np.asarray(enlarged), 0, 1)[..., None]
    pixels = np.asarray(image, np.float32)
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
        Of the drawing; slashes become underscores.
    synthetic : bool
        Say in the file that the model knows generated images only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flat = "_".join(part for part in Path(name).parts if part not in ("..", "/"))
    path = folder / flat
    half = path.with_name(f".{path.name}.part")
    words = PngImagePlugin.PngInfo()
    if synthetic:
        words.add_text("SYNTHETIC", SYNTHETIC)
    with half.open("wb") as file:
        drawing.save(file, "PNG", pnginfo=words)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    return path
