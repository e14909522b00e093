"""Whether heat maps can be trusted: the sanity check, and the pointing game."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from common.gradcam.arguments import real
from common.gradcam.maps import Method, explained

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike


def sanity_check(
    model: keras.Model,
    images: ArrayLike,
    layer: str | None = None,
    class_index: ArrayLike | None = None,
    method: Method = "gradcam",
    batch_size: int = 16,
    seed: int = 0,
    *,
    logits: str | None = None,
) -> np.ndarray:
    """Correlate heat maps with those of the same network with re-initialised weights.

    A map that explains what the network has learned must change when the weights are random: values
    near 1 say that it shows the image's edges or the architecture instead.

    Parameters
    ----------
    model, images, layer, class_index, method, batch_size, logits
        As in `heatmaps`; both networks explain the class that `model` predicts.
    seed : int
        Of the random weights.

    Returns
    -------
    ndarray, float64, shape (N,)
        Spearman's rank correlation per image, NaN where one of the two maps is constant.

    Raises
    ------
    InputError
        As `heatmaps`, and for a model that cannot be made anew.

    References
    ----------
    Adebayo et al. 2018, section 3 (model parameter randomisation test).
    """
    from scipy.stats import rankdata

    from common.backend import keras

    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"seed must be a whole number from 0 on, not {seed!r:.60}")
    learned, classes = explained(model, images, layer, class_index, method, batch_size, logits)
    state = random.getstate()
    random.seed(int(seed))  # Keras draws the seeds of its initialisers from here.
    try:
        untrained = keras.models.clone_model(model)
        untrained.build(model.input_shape)
    except Exception:
        raise InputError(
            f"the model {model.name} cannot be made anew with random weights: the check takes "
            "Functional and Sequential models"
        ) from None
    finally:
        random.setstate(state)
    chance, _ = explained(untrained, images, layer, classes, method, batch_size, logits)

    correlations = np.full(len(learned), np.nan)
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
        If there are no maps, not as many as masks, or they are not finite.

    References
    ----------
    Zhang et al. 2018, section 4.2, without its tolerance of 15 px.
    """
    import cv2

    try:
        heatmaps, masks = real(heatmaps), np.asarray(masks)
    except (ValueError, TypeError):
        raise InputError("the pointing game needs heatmaps and masks of numbers") from None
    fits = heatmaps.ndim == masks.ndim == 3 and len(heatmaps) == len(masks)
    if not fits or not heatmaps.size or not masks.size:
        raise InputError(
            f"the pointing game needs one mask per map: heatmaps {heatmaps.shape} and masks "
            f"{masks.shape}"
        )
    if not np.isfinite(heatmaps).all():
        raise InputError("heatmaps: NaN or infinity is among them")
    if masks.dtype.kind not in "bui":
        raise InputError(f"masks: bool or whole numbers are expected, not {masks.dtype}")
    size = masks.shape[2], masks.shape[1]
    hits = 0
    for heatmap, mask in zip(heatmaps, masks, strict=True):
        if heatmap.max() > 0:
            enlarged = cv2.resize(heatmap, size, interpolation=cv2.INTER_LINEAR)
            hits += bool(mask[np.unravel_index(enlarged.argmax(), enlarged.shape)])
    return hits / len(masks)
