"""The maps of Grad-CAM and Grad-CAM++ from activations and gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from common.errors import InputError
from common.gradcam.gradients import activation_and_gradient
from common.gradcam.layers import find

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike

Method = Literal["gradcam", "gradcam++"]
METHODS: tuple[Method, ...] = get_args(Method)


def heatmaps(
    model: keras.Model,
    images: ArrayLike,
    layer: str,
    class_index: ArrayLike | None = None,
    method: Method = "gradcam",
    batch_size: int = 16,
    *,
    normalise: bool = True,
    logits: str = "logits",
) -> np.ndarray:
    """Compute a Grad-CAM or Grad-CAM++ map for every image.

    Parameters
    ----------
    model : keras.Model
        A model whose class scores before the softmax are the output of the layer `logits`.
    images : array-like, uint8 or float32, shape (N, H, W, 3), RGB in [0, 255]
    layer : str
        Name of the layer to look at; its output must be a feature map (N, h, w, channels).
        `common.networks.gradcam_layers` names good ones.
    class_index : int or array-like of int, optional
        Class to explain, one for all or one per image; each image's predicted class by default.
    method : {"gradcam", "gradcam++"}
    batch_size : int
        Images at a time; changes only speed and memory.
    normalise : bool
        Divide each map by its maximum, so that it lies in [0, 1]; 0 stays "no evidence for the
        class", and a map without any evidence stays 0. Otherwise the map is as in the papers.
    logits : str
        Name of the layer with the class scores.

    Returns
    -------
    ndarray, float32, shape (N, h, w)
        In the layer's resolution; `overlay` enlarges it.

    Raises
    ------
    InputError
        For a layer that is missing or has no feature map, a class that does not exist, images that
        do not fit the model, or a backend without gradients here.

    Notes
    -----
    Grad-CAM++ weights by ``exp(score)``, one factor for the whole map; it is left out of raw maps,
    since it overflows for confident networks and is gone after normalising.

    References
    ----------
    Selvaraju et al. 2017, equations 1 and 2; Chattopadhyay et al. 2018, equation 19.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}: one of {', '.join(METHODS)}")
    if batch_size < 1:
        raise InputError(f"batch size must be at least 1, not {batch_size}")
    pixels = np.asarray(images)
    expected = model.input_shape[1:]
    if pixels.ndim != 4 or any(
        want is not None and want != got
        for want, got in zip(expected, pixels.shape[1:], strict=True)
    ):
        raise InputError(
            f"the model takes images (N, {', '.join(map(str, expected))}), not {pixels.shape}"
        )
    target, scores = find(model, layer), find(model, logits)
    wanted = None
    if class_index is not None:
        wanted = np.broadcast_to(np.asarray(class_index, np.int64), len(pixels))

    maps = []
    for start in range(0, len(pixels), batch_size):
        batch = slice(start, start + batch_size)
        chosen = None if wanted is None else wanted[batch]
        activation, gradient = activation_and_gradient(
            model, pixels[batch].astype(np.float32), target, scores, chosen
        )
        maps.append(_combine(activation, gradient, method))
    if not maps:
        raise InputError("no images to explain")
    result = np.concatenate(maps)
    if normalise:
        peak = result.max(axis=(1, 2), keepdims=True)
        result = np.divide(result, peak, out=np.zeros_like(result), where=peak > 0)
    return result


def _combine(activation: np.ndarray, gradient: np.ndarray, method: Method) -> np.ndarray:
    """Weighted sum over the channels, then ReLU: (N, h, w, K) twice -> (N, h, w)."""
    if method == "gradcam":
        weights = gradient.mean(axis=(1, 2))  # Eq. 1 of Selvaraju et al.
    else:
        # Eq. 19 of Chattopadhyay et al.: for Y = exp(S) the derivatives are exp(S) times powers of
        # dS/dA, and exp(S) cancels. The sum runs over A alone: the cube stays at its own place.
        square, cube = gradient**2, gradient**3
        denominator = 2 * square + activation.sum(axis=(1, 2), keepdims=True) * cube
        alpha = np.divide(square, denominator, out=np.zeros_like(square), where=denominator != 0)
        weights = (alpha * np.maximum(gradient, 0)).sum(axis=(1, 2))
    maps = np.einsum("nhwk,nk->nhw", activation, weights)
    return np.maximum(maps, 0).astype(np.float32)  # Eq. 2
