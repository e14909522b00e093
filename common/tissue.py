"""Whether a picture can be a stained section: blank ones and other subjects are told by colour.

Needs NumPy alone, and Python 3.9: a device judges by this file, too.
"""

from __future__ import annotations

import numpy as np

WHITE_LEVEL = 240.0
"""Pixel value of the light that met no tissue, where nothing else is said."""
TISSUE_DENSITY = 0.15
"""Optical density, natural logarithm, from which on a pixel is more than background: Macenko's."""

# `python -m benchmarks.tissue_check` prints what these let pass and what they refuse.
LEAST_WHITE = 150.0
LEAST_DARK = 0.005
OPAQUE_DENSITY, MOST_OPAQUE = 1.6, 0.20
LEAST_CONTRAST = 3.0
LEAST_STAINED = 0.40
LEAST_STAINED_IF_PURE, MOST_FOREIGN = 0.25, 0.10
DRAWN = 0.25
_BRIGHT = 95  # percentile of each channel that is the light
_PALEST = 0.82  # green over the mean of red and blue, below which that light has met tissue
# What green absorbs above blue, above red, and above blue if red absorbs little; as shares of all
# three. Eosin is far in red, haematoxylin in blue: reds and navy blues of inks lie outside.
_STAINS = (0.06, -0.05, 0.12)
_STAINS_IF_DRAWN = (0.10, 0.03, 0.12)
_LITTLE_RED = 0.15
_FOREIGN = -0.10  # green below red or blue by as much: yellow, green, cyan


def light(pixels: np.ndarray) -> np.ndarray:
    """Estimate what the light that met no tissue has in each channel.

    Parameters
    ----------
    pixels : ndarray
        RGB, shape (..., 3), uint8.

    Returns
    -------
    ndarray, float, (3,)
        What the brightest pixels have, from `LEAST_WHITE` to `WHITE_LEVEL`.
    """
    found = np.percentile(pixels.reshape(-1, 3), _BRIGHT, axis=0)
    if 2 * found[1] < _PALEST * (found[0] + found[2]):  # purple: all of the picture is tissue
        found[:] = found.max()
    return found.clip(LEAST_WHITE, WHITE_LEVEL)


def judge(pixels: np.ndarray) -> tuple[dict[str, float], str]:
    """Judge by colour whether a picture can be a section stained with haematoxylin and eosin.

    Both stains absorb green more than blue, and no less than red; paper, screens, skin, sky and
    leaves do not. The light that met no tissue is what the brightest pixels have in each channel,
    so that a yellow or dim lamp changes nothing. With OD = -ln((I + 1) / (light + 1)):

    - dark: share of pixels whose mean OD is more than background; below 0.005 the picture is blank;
    - opaque: share of pixels with a mean OD above 1.6; a section, through which light falls, has at
      most 0.20;
    - contrast: standard deviation of brightness, grey levels; below 3 it is one colour;
    - stained: share of the dark pixels that have the colour of a stain; at least 0.40;
    - foreign: share of the dark pixels whose colour no stain has (the others are greyish); where
      they are 0.10 at most, 0.25 stained ones are enough: pale and over-exposed sections;
    - drawn: share of pixels equal to their neighbour. A camera leaves few: from 0.25 on the colours
      must be purple beyond doubt, which inks are not.

    Parameters
    ----------
    pixels : ndarray
        RGB, shape (S, S, 3), uint8: the resized picture.

    Returns
    -------
    measures : dict
        dark, contrast, stained, foreign, opaque, drawn.
    problem : str
        Empty if it may be tissue.
    """
    white = light(pixels)
    levels = np.minimum(np.arange(256)[:, None], white)
    tables = -np.log((levels + 1) / (white + 1)).astype(np.float32)
    # Channel by channel: NumPy takes twice as long along an axis of three.
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    density = np.stack([tables[:, c].take(planes[c]) for c in range(3)])
    total = density[0] + density[1] + density[2]
    mean = total / np.float32(3)
    dark = mean > TISSUE_DENSITY
    same = planes[:, :, 1:] == planes[:, :, :-1]
    drawn = float((same[0] & same[1] & same[2]).mean())
    red, green, blue = density[:, dark] / total[dark]
    over_blue, over_red, least = _STAINS if drawn < DRAWN else _STAINS_IF_DRAWN
    stained = (green - blue > over_blue) & (green - red > over_red)
    stained &= (green - blue > least) | (green - red < _LITTLE_RED)
    foreign = (green - red < _FOREIGN) | (green - blue < _FOREIGN)
    values = planes.astype(np.float32)
    measures = {
        "dark": float(dark.mean()),
        "contrast": float(((values[0] + values[1] + values[2]) / np.float32(3)).std()),
        "stained": float(stained.mean()) if stained.size else 0.0,
        "foreign": float(foreign.mean()) if foreign.size else 0.0,
        "opaque": float((mean > OPAQUE_DENSITY).mean()),
        "drawn": drawn,
    }
    if measures["dark"] < LEAST_DARK:
        return measures, f"blank: {100 * measures['dark']:.1f} % of it is darker than background"
    if measures["contrast"] < LEAST_CONTRAST:
        return measures, "one plain colour"
    if measures["opaque"] > MOST_OPAQUE:
        return measures, f"no light falls through {100 * measures['opaque']:.0f} % of it"
    pure = measures["foreign"] <= MOST_FOREIGN
    if measures["stained"] < (LEAST_STAINED_IF_PURE if pure else LEAST_STAINED):
        share = 100 * measures["stained"]
        return (
            measures,
            f"not the colours of H&E: {share:.0f} % of its dark pixels have those of a stain",
        )
    return measures, ""
