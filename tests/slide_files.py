"""Slides for tests: pyramids and striped TIFFs as scanners and programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile


def tissue(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Glass with an island of stained dots in the middle; every px is another."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 243, np.int16)
    y, x = np.mgrid[:height, :width]
    inside = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) < 0.16
    image[inside] = (214, 130, 178)
    nuclei = inside & (np.hypot(y % 12 - 6, x % 12 - 6) < 3)
    image[nuclei] = (110, 70, 140)
    image += rng.integers(-4, 5, image.shape, np.int16)
    return image.clip(0, 255).astype(np.uint8)


def pyramid(
    path: Path,
    image: np.ndarray,
    *,
    mpp: float | None = 0.5,
    levels: int = 2,
    tile: int = 64,
    **options: Any,
) -> Path:
    """Write a pyramid as tifffile does it: levels in SubIFDs, by plain averages of 2x2 px."""
    known = {} if mpp is None else {"resolution": (1e4 / mpp, 1e4 / mpp),
                                    "resolutionunit": "CENTIMETER"}  # fmt: skip
    options = {"photometric": "rgb", "metadata": None, "tile": (tile, tile), **options}
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as file:
        file.write(image, subifds=levels - 1, **known, **options)
        for _ in range(levels - 1):
            image = halved(image)
            file.write(image, subfiletype=1, **options)
    return path


def halved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    pairs = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(float)
    return np.rint(pairs.mean((1, 3))).astype(np.uint8)
