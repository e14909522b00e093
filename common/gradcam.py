"""Grad-CAM and Grad-CAM++: where in the image a network found its class.

Works on any layer with a feature map, in any functional model of this library, on the TensorFlow
and the JAX backend. The layer's output is caught while the whole model runs, so that skip
connections and dense concatenations around the layer count.

References
----------
.. [1] Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
   Localization", ICCV 2017, equations 1 and 2.
.. [2] Chattopadhyay et al., "Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep
   Convolutional Networks", WACV 2018, equation 19.
.. [3] Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.
.. [4] Zhang et al., "Top-Down Neural Attention by Excitation Backprop", IJCV 2018 (pointing game).
"""

from __future__ import annotations

import contextlib
import difflib
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError
from common.predictions import predicted_classes

if TYPE_CHECKING:
    from common.runs import Run

METHODS = ("gradcam", "gradcam++")


def stages(run: Run) -> dict[str, str]:
    """Stage -> layer that the pictures of a run show, the last stage last.

    `gradcam_layers` in the run's `config.json` where the paper's model noted them (a network of
    its own), otherwise those of the application that `network` names.
    """
    noted = run.record.get("gradcam_layers")
    if noted:
        return noted
    from common import backbones

    return backbones.gradcam_layers(run.config["network"])


def heatmaps(
    model,
    images,
    layer: str,
    class_index: int | Sequence[int] | None = None,
    method: str = "gradcam",
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
        `common.backbones.gradcam_layers` names good ones.
    class_index : int or sequence of int, optional
        Class to explain, one for all or one per image; each image's predicted class by default.
    method : {"gradcam", "gradcam++"}
    batch_size : int
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
    images = np.asarray(images)
    expected = model.input_shape[1:]
    if images.ndim != 4 or any(
        want is not None and want != got
        for want, got in zip(expected, images.shape[1:], strict=True)
    ):
        raise InputError(
            f"the model takes images (N, {', '.join(map(str, expected))}), not {images.shape}"
        )
    target, scores = _find(model, layer), _find(model, logits)
    if class_index is not None:
        class_index = np.broadcast_to(np.asarray(class_index, np.int64), len(images))

    maps = []
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        chosen = None if class_index is None else class_index[batch]
        activation, gradient = _activation_and_gradient(
            model, images[batch].astype(np.float32), target, scores, chosen
        )
        maps.append(_combine(activation, gradient, method))
    if not maps:
        raise InputError("no images to explain")
    result = np.concatenate(maps)
    if normalise:
        peak = result.max(axis=(1, 2), keepdims=True)
        result = np.divide(result, peak, out=np.zeros_like(result), where=peak > 0)
    return result


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


def sanity_check(
    model,
    images,
    layer: str,
    class_index: int | Sequence[int] | None = None,
    method: str = "gradcam",
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
    import keras
    from scipy.stats import rankdata

    images = np.asarray(images)
    if class_index is None:
        class_index = _predicted(model, images, batch_size)
    options = {"class_index": class_index, "method": method, "batch_size": batch_size}
    learned = heatmaps(model, images, layer, **options)
    state = random.getstate()
    random.seed(seed)  # Keras draws the seeds of its initialisers from here.
    try:
        untrained = keras.models.clone_model(model)
    finally:
        random.setstate(state)
    chance = heatmaps(untrained, images, layer, **options)

    correlations = np.full(len(images), np.nan)
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


def _combine(activation: np.ndarray, gradient: np.ndarray, method: str) -> np.ndarray:
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


def _find(model, name: str):
    """Layer or operation of a model by name, also inside nested models."""
    found = {}

    def collect(part):
        for operation in getattr(part, "operations", part.layers):
            found.setdefault(operation.name, operation)
            if hasattr(operation, "layers"):
                collect(operation)

    collect(model)
    if name not in found:
        near = difflib.get_close_matches(name, found, n=5, cutoff=0.5)
        hint = f"near names: {', '.join(near)}" if near else f"the last is {list(found)[-1]}"
        raise InputError(f"the model {model.name} has no layer {name!r}; {hint}")
    return found[name]


@contextlib.contextmanager
def _replaced_call(layer, function) -> Iterator[None]:
    """Let `function(output)` see and replace what `layer` returns.

    Set past Keras' attribute tracking, which has no business with it. Not for several threads.
    """
    replaced_before = layer.__dict__.get("call")
    original = layer.call
    layer.__dict__["call"] = lambda *args, **kwargs: function(original(*args, **kwargs))
    try:
        yield
    finally:
        if replaced_before is None:
            del layer.__dict__["call"]
        else:
            layer.__dict__["call"] = replaced_before


def _check_feature_map(layer, output) -> None:
    if len(output.shape) != 4:
        raise InputError(
            f"layer {layer.name!r} has no feature map (N, h, w, channels): its output is "
            f"{tuple(output.shape)}"
        )


def _chosen(scores: np.ndarray, class_index: np.ndarray | None) -> np.ndarray:
    """One-hot (N, classes) of the class to explain."""
    if class_index is None:
        class_index = predicted_classes(scores)
    if class_index.min() < 0 or class_index.max() >= scores.shape[1]:
        raise InputError(
            f"class index {class_index.tolist()}: the model has classes 0 to {scores.shape[1] - 1}"
        )
    return np.eye(scores.shape[1], dtype=np.float32)[class_index]


def _predicted(model, images: np.ndarray, batch_size: int) -> np.ndarray:
    import keras

    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    return np.concatenate(
        [
            predicted_classes(keras.ops.convert_to_numpy(model(each, training=False)))
            for each in batches
        ]
    )


def _activation_and_gradient(model, images, target, scores, class_index):
    """Output A of `target` and the gradient of the chosen class score with respect to it."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        pair = _with_tensorflow(model, images, target, scores, class_index)
    elif backend == "jax":
        pair = _with_jax(model, images, target, scores, class_index)
    else:
        raise InputError(f"Grad-CAM needs the TensorFlow or JAX backend, not {backend}")
    # float64: Grad-CAM++ raises gradients to the third power, which underflows in float32.
    return tuple(np.asarray(part, np.float64) for part in pair)


def _with_tensorflow(model, images, target, scores, class_index):
    import tensorflow as tf

    caught = {}
    # Only what follows the layer is recorded: nothing before it needs a gradient.
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(output):
            _check_feature_map(target, output)
            # A copy of its own: the tape then knows this tensor even where the layer, an identity
            # for example, returns its input.
            caught["activation"] = output = tf.identity(output)
            tape.watch(output)
            return output

        def keep(output):
            caught["scores"] = tf.cast(output, tf.float32)
            return output

        with _quiet_tensorflow(), _replaced_call(target, watch), _replaced_call(scores, keep):
            model(images, training=False)
        _check_connected(caught, target)
        one_hot = _chosen(caught["scores"].numpy(), class_index)
        score = tf.reduce_sum(caught["scores"] * one_hot)
    with _quiet_tensorflow():
        gradient = tape.gradient(score, caught["activation"])
    if gradient is None:
        raise InputError(f"layer {target.name!r} has no influence on the class scores")
    return (
        tf.cast(caught["activation"], tf.float32).numpy(),
        tf.cast(gradient, tf.float32).numpy(),
    )


@contextlib.contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Silence retracing warnings: Keras compiles grouped convolutions (ConvNeXt) at every call."""
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _with_jax(model, images, target, scores, class_index):
    import jax
    import jax.numpy as jnp

    def run(perturbation):
        """Scores with `perturbation` (zero) added to the layer's output, and that output."""
        caught = {}

        def add(output):
            _check_feature_map(target, output)
            caught["activation"] = output
            return output if perturbation is None else output + perturbation

        def keep(output):
            caught["scores"] = output
            return output

        with _replaced_call(target, add), _replaced_call(scores, keep):
            model(images, training=False)
        _check_connected(caught, target)
        return caught["scores"].astype(jnp.float32), caught["activation"]

    shape = jax.eval_shape(lambda: run(None)[1])
    result, backward, activation = jax.vjp(run, jnp.zeros(shape.shape, shape.dtype), has_aux=True)
    (gradient,) = backward(jnp.asarray(_chosen(np.asarray(result), class_index)))
    return activation.astype(jnp.float32), gradient.astype(jnp.float32)


def _check_connected(caught: dict, target) -> None:
    if "activation" not in caught or "scores" not in caught:
        raise InputError(f"layer {target.name!r} does not run when the model does")
