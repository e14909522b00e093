"""Whether heat maps can be trusted: the sanity check, and the pointing game."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from common.gradcam.maps import Method, heatmaps
from common.predictions import predicted_classes

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike


def sanity_check(
    model: keras.Model,
    images: ArrayLike,
    layer: str,
    class_index: ArrayLike | None = None,
    method: Method = "gradcam",
    batch_size: int = 16,
    seed: int = 0,
) -> np.ndarray:
    """Correlate heat maps with those of the same network with re-initialised weights.

    A map that explains what the network has learned must change when the weights are random: values
    near 1 say that it shows the image's edges or the architecture instead.

    Parameters
    ----------
    model, images, layer, class_index, method, batch_size
        As in `heatmaps`; both networks explain the class that `model` predicts.
    seed : int
        Of the random weights.

    Returns
    -------
    ndarray, float64, shape (N,)
        Spearman's rank correlation per image, NaN where one of the two maps is constant.

    References
    ----------
    Adebayo et al. 2018, section 3 (model parameter randomisation test).
    """
    from scipy.stats import rankdata

    from common.backend import keras

    pixels = np.asarray(images)
    if class_index is None:
        class_index = _predicted(model, pixels, batch_size)
    learned = heatmaps(model, pixels, layer, class_index, method, batch_size)
    state = random.getstate()
    random.seed(seed)  # Keras draws the seeds of its initialisers from here.
    try:
        untrained = keras.models.clone_model(model)
    finally:
        random.setstate(state)
    chance = heatmaps(untrained, pixels, layer, class_index, method, batch_size)

    correlations = np.full(len(pixels), np.nan)
    for i, (a, b) in enumerate(zip(learned, chance, strict=True)):
        if a.min() < a.max() and b.min() < b.max():
            correlations[i] = np.corrcoef(rankdata(a), rankdata(b))[0, 1]
    return correlations


def pointing_game(heatmaps: np.ndarray, masks: np.ndarray) -> float:
    """Share of heat maps whose maximum lies inside the object's mask.

    Parameters
    ----------
    heatmaps : ndarray, float, shape (N, h, w)
        Enlarged bilinearly to the size of the masks. A map without a positive value is a miss.
    masks : ndarray, bool or integer, shape (N, H, W)
        True (non-zero) where the object is.

    Returns
    -------
    float
        Hits / N, in [0, 1].

    Raises
    ------
    InputError
        If there are no maps or not as many as masks.

    References
    ----------
    Zhang et al. 2018, section 4.2, without its tolerance of 15 px.
    """
    import cv2

    heatmaps, masks = np.asarray(heatmaps, np.float32), np.asarray(masks)
    if heatmaps.ndim != 3 or masks.ndim != 3 or len(heatmaps) != len(masks) or not len(masks):
        raise InputError(
            f"the pointing game needs one mask per map: {heatmaps.shape} and {masks.shape}"
        )
    size = masks.shape[2], masks.shape[1]
    hits = 0
    for heatmap, mask in zip(heatmaps, masks, strict=True):
        if heatmap.max() > 0:
            enlarged = cv2.resize(heatmap, size, interpolation=cv2.INTER_LINEAR)
            hits += bool(mask[np.unravel_index(enlarged.argmax(), enlarged.shape)])
    return hits / len(masks)


def _predicted(model: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    from common.backend import keras

    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    return np.concatenate(
        [
            predicted_classes(keras.ops.convert_to_numpy(model(each, training=False)))
            for each in batches
        ]
    )
