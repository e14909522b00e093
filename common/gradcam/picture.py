"""A heat map laid over its image."""

from __future__ import annotations

import numpy as np

from common.errors import InputError
from common.gradcam.arguments import real


def overlay(image: np.ndarray, heatmap: np.ndarray, alpha: float = 0.4) -> np.ndarray:
    """Lay a heat map over its image in false colours, blue (0) to red (1).

    Parameters
    ----------
    image : ndarray, uint8 or float, shape (H, W, 3), RGB in [0, 255]
    heatmap : ndarray, float, shape (h, w), in [0, 1]
        Enlarged bilinearly to the image's size.
    alpha : float
        Share of the colours, in [0, 1].

    Returns
    -------
    ndarray, uint8, shape (H, W, 3), RGB

    Raises
    ------
    InputError
        If the image or the heat map has the wrong form or `alpha` lies outside [0, 1].
    """
    import cv2

    try:
        image, heatmap = np.asarray(image), real(heatmap)
    except (ValueError, TypeError):
        raise InputError("overlay needs an RGB image and one heatmap, as numbers") from None
    if image.ndim != 3 or image.shape[2] != 3 or heatmap.ndim != 2 or not heatmap.size:
        raise InputError(
            f"overlay needs an RGB image and one map (heatmap), not {image.shape} and "
            f"{heatmap.shape}"
        )
    if image.dtype.kind not in "uif" or not image.size or not np.isfinite(image).all():
        raise InputError(f"image: finite pixels in [0, 255] are expected, not {image.dtype}")
    number = isinstance(alpha, int | float | np.number) and not isinstance(alpha, bool)
    if not number or not 0 <= alpha <= 1:
        raise InputError(f"alpha must be in [0, 1], not {alpha!r:.60}")
    if not np.isfinite(heatmap).all() or heatmap.min() < 0 or heatmap.max() > 1:
        raise InputError("overlay needs a heatmap in [0, 1]: compute it with normalise=True")
    height, width = image.shape[:2]
    enlarged = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)
    levels = np.rint(enlarged * 255).clip(0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_JET)[..., ::-1]
    mixed = (1 - alpha) * image.astype(np.float32) + alpha * colours.astype(np.float32)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)
