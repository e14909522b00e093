"""Whether a picture can be a stained section: blank ones and other subjects are told by colour.

Needs NumPy alone, and Python 3.9: a device judges by this file, too.
"""

from __future__ import annotations

import numpy as np

WHITE_LEVEL = 240.0
"""Pixel value of the light that met no tissue, where nothing else is said."""
TISSUE_DENSITY = 0.15
"""Optical density, natural logarithm, from which on a pixel is more than background: Macenko's."""
LEAST_DARK = 0.05
LEAST_CONTRAST = 4.0
LEAST_STAINED = 0.40
_DENSITY = -np.log((np.minimum(np.arange(256), WHITE_LEVEL) + 1) / (WHITE_LEVEL + 1), dtype="f4")


def judge(pixels: np.ndarray) -> tuple[dict[str, float], str]:
    """Judge by colour whether a picture can be a stained section.

    Haematoxylin and eosin both absorb green most, which paper, screens, skin, sky and leaves do
    not. With OD = -ln((I + 1) / 241), per channel:

    - dark: share of pixels with a mean OD above 0.15; at least 0.05, or the picture is blank;
    - contrast: standard deviation of brightness, grey levels; at least 4, or it is one colour;
    - stained: share of the dark pixels whose OD is highest in green; at least 0.40.

    Parameters
    ----------
    pixels : ndarray
        RGB, shape (S, S, 3), uint8: the resized picture.

    Returns
    -------
    measures : dict
        dark, contrast, stained.
    problem : str
        Empty if it may be tissue.
    """
    grey = pixels.mean(axis=2, dtype=np.float32)
    density = _DENSITY[pixels]
    dark = density.mean(axis=2) > TISSUE_DENSITY
    red, green, blue = np.moveaxis(density[dark], -1, 0)
    stained = ((green > red) & (green > blue)).mean() if green.size else 0.0
    measures = {
        "dark": float(dark.mean()), "contrast": float(grey.std()), "stained": float(stained),
    }  # fmt: skip
    if measures["dark"] < LEAST_DARK:
        return measures, f"blank: {100 * measures['dark']:.0f} % of it is darker than background"
    if measures["contrast"] < LEAST_CONTRAST:
        return measures, "one plain colour"
    if measures["stained"] < LEAST_STAINED:
        share = 100 * measures["stained"]
        return (
            measures,
            f"not the colours of H&E: {share:.0f} % of its dark pixels absorb green most",
        )
    return measures, ""
