"""A heat map laid over its image."""

from __future__ import annotations

import numpy as np

from common.errors import InputError


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

    image, heatmap = np.asarray(image), np.asarray(heatmap, np.float32)
    if image.ndim != 3 or image.shape[2] != 3 or heatmap.ndim != 2:
        raise InputError(
            f"overlay needs an RGB image and one map, not {image.shape} and {heatmap.shape}"
        )
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must be in [0, 1], not {alpha}")
    if not np.isfinite(heatmap).all() or heatmap.min() < 0 or heatmap.max() > 1:
        raise InputError("overlay needs a map in [0, 1]: compute it with normalise=True")
    height, width = image.shape[:2]
    enlarged = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)
    levels = np.rint(enlarged * 255).clip(0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_JET)[..., ::-1]
    mixed = (1 - alpha) * image.astype(np.float32) + alpha * colours.astype(np.float32)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)
