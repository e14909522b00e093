"""The maps of Grad-CAM and Grad-CAM++ from activations and gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from common.gradcam.arguments import classes_of, pixels_of, require_choice, require_model
from common.gradcam.gradients import Pass, passes
from common.gradcam.layers import find, last_feature_map, scores_layer

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike

Method = Literal["gradcam", "gradcam++"]
METHODS: tuple[Method, ...] = get_args(Method)


def heatmaps(
    model: keras.Model,
    images: ArrayLike,
    layer: str | None = None,
    class_index: ArrayLike | None = None,
    method: Method = "gradcam",
    batch_size: int = 16,
    *,
    normalise: bool = True,
    logits: str | None = None,
) -> np.ndarray:
    """Compute a Grad-CAM or Grad-CAM++ map for every image.

    Parameters
    ----------
    model : keras.Model
        A built model of one image, of any kind; a subclassed one needs `layer` and `logits`.
    images : array-like, uint8 or float, shape (N, H, W, channels)
        As the model takes them: RGB in [0, 255] for those of this library.
    layer : str, optional
        Name of the layer to look at; its output must be a feature map (N, h, w, channels).
        `common.networks.gradcam_layers` names good ones; by default the last one.
    class_index : int or array-like of int, optional
        Class to explain, one for all or one per image; each image's predicted class by default.
    method : {"gradcam", "gradcam++"}
    batch_size : int
        Images at a time; changes only speed and memory.
    normalise : bool
        Divide each map by its maximum, so that it lies in [0, 1]; 0 stays "no evidence for the
        class", and a map without any evidence stays 0. Otherwise the map is as in the papers.
    logits : str, optional
        Name of the layer with the class scores; by default the one called "logits", else the
        model's only output. Of a softmax or sigmoid, what comes before it is taken. A single score
        speaks for class 1 and against class 0.

    Returns
    -------
    ndarray, float32, shape (N, h, w)
        In the layer's resolution; `overlay` enlarges it.

    Raises
    ------
    InputError
        Saying what was expected: for a layer that is missing, has no feature map or is applied more
        than once, a class that does not exist, images that do not fit the model, a model that is
        not built or has several inputs, or a backend without gradients here.

    Notes
    -----
    Grad-CAM++ weights by ``exp(score)``, one factor for the whole map; it is left out of raw maps,
    since it overflows for confident networks and is gone after normalising.

    References
    ----------
    Selvaraju et al. 2017, equations 1 and 2; Chattopadhyay et al. 2018, equation 19.
    """
    result, _ = explained(model, images, layer, class_index, method, batch_size, logits)
    return _normalised(result) if normalise else result


def by_stage(
    model: keras.Model,
    images: ArrayLike,
    stages: Mapping[str, str],
    class_index: ArrayLike | None = None,
    method: Method = "gradcam",
    batch_size: int = 16,
    *,
    logits: str | None = None,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Run a network once, there and back, for its outputs and its maps at several layers.

    A map for each layer by `heatmaps` runs it as often as there are layers.

    Parameters
    ----------
    model, images, class_index, method, batch_size, logits
        As in `heatmaps`.
    stages : mapping of str to str
        What a map is called, to its layer; `common.gradcam.stages` gives a run's.

    Yields
    ------
    outputs : ndarray
        What the model gives for a batch of the images.
    maps : dict of str to ndarray, float32, shape (n, h, w)
        Its maps, each divided by its maximum.

    Raises
    ------
    InputError
        As `heatmaps`.
    """
    targets = {name: find(model, layer) for name, layer in stages.items()}
    distinct = list({id(each): each for each in targets.values()}.values())
    for found in _batches(model, images, distinct, class_index, method, batch_size, logits):
        maps = {
            id(layer): _normalised(_combine(activation, gradient, method))
            for layer, activation, gradient in zip(
                distinct, found.activations, found.gradients, strict=True
            )
        }
        yield found.outputs, {name: maps[id(layer)] for name, layer in targets.items()}


def explained(
    model: keras.Model,
    images: ArrayLike,
    layer: str | None,
    class_index: ArrayLike | None,
    method: str,
    batch_size: int,
    logits: str | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Raw maps (N, h, w) and the class (N,) that each explains.

    Parameters
    ----------
    model, images, layer, class_index, method, batch_size, logits
        As in `heatmaps`.
    """
    require_choice(method, METHODS, batch_size)
    require_model(model)
    target = last_feature_map(model) if layer is None else find(model, layer)
    maps, classes = [], []
    for found in _batches(model, images, [target], class_index, method, batch_size, logits):
        maps.append(_combine(found.activations[0], found.gradients[0], method))
        classes.append(found.classes)
    return np.concatenate(maps), np.concatenate(classes)


def _batches(
    model: keras.Model,
    images: ArrayLike,
    targets: Sequence[keras.Operation],
    class_index: ArrayLike | None,
    method: str,
    batch_size: int,
    logits: str | None,
) -> Iterator[Pass]:
    """What a pass over each batch gives."""
    require_choice(method, METHODS, batch_size)
    require_model(model)
    scores = scores_layer(model, logits)
    pixels = pixels_of(model, images)
    count = len(pixels)
    wanted = classes_of(class_index, count)
    several = count > batch_size
    run = passes(model, targets, scores, compiled=several)
    for start in range(0, count, batch_size):
        # Compiled code is for one size: the last batch is filled with its last image.
        rows = np.arange(start, start + batch_size if several else count)
        rows = np.minimum(rows, count - 1)
        found = run(pixels[rows].astype(np.float32), None if wanted is None else wanted[rows])
        yield found.first(count - start)


def _combine(activation: np.ndarray, gradient: np.ndarray, method: str) -> np.ndarray:
    """Weighted sum over the channels, then ReLU: (N, h, w, K) twice -> (N, h, w)."""
    if method == "gradcam":
        weights = gradient.mean(axis=(1, 2), dtype=np.float64)  # Eq. 1 of Selvaraju et al.
    else:
        # The third power of a gradient underflows in float32.
        activation, gradient = activation.astype(np.float64), gradient.astype(np.float64)
        # Eq. 19 of Chattopadhyay et al.: for Y = exp(S) the derivatives are exp(S) times powers of
        # dS/dA, and exp(S) cancels. The sum runs over A alone: the cube stays at its own place.
        square, cube = gradient**2, gradient**3
        denominator = 2 * square + activation.sum(axis=(1, 2), keepdims=True) * cube
        alpha = np.divide(square, denominator, out=np.zeros_like(square), where=denominator != 0)
        weights = (alpha * np.maximum(gradient, 0)).sum(axis=(1, 2))
    # Of the activation's own precision: what is float32 makes no copy of it in float64.
    maps = activation @ weights.astype(activation.dtype)[:, None, :, None]  # Eq. 2
    return np.maximum(maps[..., 0], 0).astype(np.float32)


def _normalised(maps: np.ndarray) -> np.ndarray:
    """Each divided by its maximum; a map without any evidence stays 0."""
    peak = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0)
