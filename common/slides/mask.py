"""Where a slide has tissue: by saturation, without glass, pen marks and black borders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common import tissue
from common.slides.structure import Image

# Of 255. Otsu divides whatever it is given, glass alone and tissue alone, too: hence bounds.
_LEAST_SATURATION, _MOST_SATURATION = 12, 40
_SPECK = 5  # px of the thumbnail
# Shares of the density of all channels, as in `common.tissue`: both stains absorb green most. Blue,
# green and black inks do not, red ink absorbs about as much blue as green, and violet ink no blue.
# A purple one has the colours of tissue.
_LEAST_OVER_RED, _LEAST_OVER_BLUE, _LEAST_BLUE = -0.05, 0.11, 0.11


def tissue_mask(thumbnail: Image, *, any_stain: bool = False) -> NDArray[np.bool_]:
    """Find the tissue on a thumbnail.

    Saturation above Otsu's threshold, smoothed by a median and closed, as CLAM does [1]_; the light
    is evened out before, since many scanners' glass is tinted, and what is opaque or of no stain's
    colour is left out, before the threshold is chosen.

    Parameters
    ----------
    thumbnail : uint8 array (H, W, 3)
        RGB.
    any_stain : bool
        Ask for no colours of H&E: immunohistochemistry has others. Coloured pen marks are taken
        for tissue then.

    Returns
    -------
    bool array (H, W)

    References
    ----------
    .. [1] M. Y. Lu et al., "Data-efficient and weakly supervised computational pathology on
       whole-slide images", Nature Biomedical Engineering 5, 2021; N. Otsu, "A threshold selection
       method from gray-level histograms", IEEE Trans. SMC 9, 1979.
    """
    import cv2

    dark = thumbnail.max(axis=2) < 80
    see_through = thumbnail[~dark] if (~dark).any() else thumbnail
    white = tissue.light(see_through)
    even = np.minimum(thumbnail * (255 / white), 255).astype(np.float32)
    brightest = even.max(axis=2)
    saturation = 255 * (brightest - even.min(axis=2)) / np.maximum(brightest, 1)
    density = -np.log((even + 1) / 256)
    usable = density.mean(axis=2) < tissue.OPAQUE_DENSITY
    if not any_stain:
        shares = density / density.sum(axis=2, keepdims=True).clip(1e-6)
        red, green, blue = np.moveaxis(shares, 2, 0)
        ink = (green - red < _LEAST_OVER_RED) | (green - blue < _LEAST_OVER_BLUE)
        ink |= blue < _LEAST_BLUE
        usable &= ~ink | (saturation < _LEAST_SATURATION)
    levels = saturation.round().astype(np.uint8)
    if not usable.any():
        return np.zeros(usable.shape, bool)
    otsu, _ = cv2.threshold(levels[usable][None], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    threshold = np.clip(otsu, _LEAST_SATURATION, _MOST_SATURATION)
    found = ((levels > threshold) & usable).astype(np.uint8)
    found = cv2.medianBlur(found, _SPECK)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_SPECK, _SPECK))
    return cv2.morphologyEx(found, cv2.MORPH_CLOSE, disc).astype(bool)
