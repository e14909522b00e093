"""What a layer gives for a batch, and the gradient of a class score with respect to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import InputError
from common.predictions import predicted_classes

if TYPE_CHECKING:
    import keras


def activation_and_gradient(
    model: keras.Model,
    images: np.ndarray,
    target: keras.Operation,
    scores: keras.Operation,
    class_index: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Output A of a layer and the gradient of the chosen class score with respect to it.

    Parameters
    ----------
    model : keras.Model
    images : ndarray, float32, shape (N, H, W, 3), RGB in [0, 255]
    target : keras.Operation
        The layer.
    scores : keras.Operation
        The layer that gives the class scores before the softmax.
    class_index : ndarray, int, shape (N,), or None
        Class to explain for each image; None: the one of the highest score.

    Returns
    -------
    activation, gradient : ndarray, float64, shape (N, h, w, channels)

    Raises
    ------
    InputError
        If the layer has no feature map, no influence on the scores or does not run, if a class does
        not exist, or the backend is neither TensorFlow nor JAX.
    """
    from common.backend import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        pair = _with_tensorflow(model, images, target, scores, class_index)
    elif backend == "jax":
        pair = _with_jax(model, images, target, scores, class_index)
    else:
        raise InputError(f"Grad-CAM needs the TensorFlow or JAX backend, not {backend}")
    # float64: Grad-CAM++ raises gradients to the third power, which underflows in float32.
    activation, gradient = (np.asarray(part, np.float64) for part in pair)
    return activation, gradient


def _with_tensorflow(
    model: keras.Model,
    images: np.ndarray,
    target: keras.Operation,
    scores: keras.Operation,
    class_index: np.ndarray | None,
) -> tuple[Any, Any]:
    import tensorflow as tf

    caught: dict[str, Any] = {}
    # Only what follows the layer is recorded: nothing before it needs a gradient.
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(output: Any) -> Any:
            _check_feature_map(target, output)
            # A copy of its own: the tape then knows this tensor even where the layer, an identity
            # for example, returns its input.
            caught["activation"] = output = tf.identity(output)
            tape.watch(output)
            return output

        def keep(output: Any) -> Any:
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


def _with_jax(
    model: keras.Model,
    images: np.ndarray,
    target: keras.Operation,
    scores: keras.Operation,
    class_index: np.ndarray | None,
) -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp

    def run(perturbation: Any) -> tuple[Any, Any]:
        """Scores with `perturbation` (zero) added to the layer's output, and that output."""
        caught: dict[str, Any] = {}

        def add(output: Any) -> Any:
            _check_feature_map(target, output)
            caught["activation"] = output
            return output if perturbation is None else output + perturbation

        def keep(output: Any) -> Any:
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


@contextlib.contextmanager
def _replaced_call(layer: keras.Operation, function: Callable[[Any], Any]) -> Iterator[None]:
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


def _chosen(scores: np.ndarray, class_index: np.ndarray | None) -> np.ndarray:
    """One-hot (N, classes) of the class to explain."""
    if class_index is None:
        class_index = predicted_classes(scores)
    if class_index.min() < 0 or class_index.max() >= scores.shape[1]:
        raise InputError(
            f"class index {class_index.tolist()}: the model has classes 0 to {scores.shape[1] - 1}"
        )
    return np.eye(scores.shape[1], dtype=np.float32)[class_index]


def _check_feature_map(layer: keras.Operation, output: Any) -> None:
    if len(output.shape) != 4:
        raise InputError(
            f"layer {layer.name!r} has no feature map (N, h, w, channels): its output is "
            f"{tuple(output.shape)}"
        )


def _check_connected(caught: dict[str, Any], target: keras.Operation) -> None:
    if "activation" not in caught or "scores" not in caught:
        raise InputError(f"layer {target.name!r} does not run when the model does")


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
