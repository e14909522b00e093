"""From amounts of stain to pixels: Beer-Lambert mixing, and how slides differ."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Optical-density vectors (R, G, B), Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23 (2001),
# 291-299: one unit of stain multiplies the light by 10 ** -vector.
HAEMATOXYLIN = (0.650, 0.704, 0.286)
EOSIN = (0.072, 0.990, 0.105)
DAB = (0.268, 0.570, 0.776)


@dataclass(frozen=True)
class Look:
    """How one slide was stained and photographed.

    Attributes
    ----------
    vectors : ndarray, shape (3, 3), float32
        Unit optical-density vectors of two or three stains, one per row, in RGB.
    gains : ndarray, shape (3,), float32
        Staining strength of haematoxylin, eosin and DAB on this slide.
    glass : ndarray, shape (3,), float32
        RGB of the light where there is no tissue, in [0, 255].
    """

    vectors: np.ndarray
    gains: np.ndarray
    glass: np.ndarray

    def photograph(self, amounts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Turn amounts of stain into an RGB picture.

        Parameters
        ----------
        amounts : ndarray, shape (H, W, 3), float32
            Haematoxylin, eosin and DAB, in units of the vectors above.
        rng : Generator
            Draws the uneven light and the sensor's noise.

        Returns
        -------
        ndarray, shape (H, W, 3), uint8, RGB
        """
        height, width = amounts.shape[:2]
        # light = glass * 10 ** -(amounts @ vectors), the glass as an offset in the exponent
        matrix = np.empty((3, 4))
        matrix[:, :3] = -np.log(10.0) * (self.vectors * self.gains[:, None]).T
        matrix[:, 3] = np.log(self.glass)
        light = cv2.exp(cv2.transform(amounts, matrix.astype(np.float32)))
        corners = (1.0 + 0.02 * rng.standard_normal((2, 2))).astype(np.float32)
        uneven = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
        noise = 1.6 * rng.standard_normal((height, width), dtype=np.float32)
        light = cv2.add(cv2.multiply(light, cv2.merge([uneven] * 3)), cv2.merge([noise] * 3))
        return cv2.convertScaleAbs(light)


def look(rng: np.random.Generator, *, ihc: bool = False) -> Look:
    """Draw a slide's stains: hue, strength and white level vary as between batches.

    Parameters
    ----------
    rng : Generator
        The slide's.
    ihc : bool
        Immunohistochemistry, where haematoxylin is only a counterstain.

    Returns
    -------
    Look
    """
    vectors = np.array([HAEMATOXYLIN, EOSIN, DAB])
    # Pure Ruifrok eosin is magenta; most laboratories' eosin absorbs somewhat more blue.
    vectors[1] += [0.0, 0.0, 0.20]
    vectors = np.abs(vectors + rng.normal(0.0, [0.022, 0.020, 0.028], (3, 3)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gains = np.exp(rng.normal(0.0, [0.11, 0.13, 0.06]))
    if ihc:
        gains[0] *= 0.85
    glass = rng.normal(240.0, 5.0) + rng.normal(0.0, 2.5, 3)
    return Look(
        vectors.astype(np.float32),
        gains.astype(np.float32),
        np.clip(glass, 222.0, 252.0).astype(np.float32),
    )
