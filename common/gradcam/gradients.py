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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Output A of a layer and the gradient of the chosen class score with respect to it.

    Parameters
    ----------
    model : keras.Model
    images : ndarray, float32, shape (N, H, W, 3), RGB in [0, 255]
    target : keras.Operation
        The layer.
    scores : keras.Operation
        What gives the class scores: its values before the softmax or sigmoid, if it has one.
    class_index : ndarray, int, shape (N,), or None
        Class to explain for each image; None: the one of the highest score.

    Returns
    -------
    activation, gradient : ndarray, float64, shape (N, h, w, channels)
    classes : ndarray, int64, shape (N,)
        The classes that are explained.

    Raises
    ------
    InputError
        If the layer has no feature map, no influence on the scores, does not run or runs more than
        once, if a class does not exist, if the scores are probabilities or not finite, or the
        backend is neither TensorFlow nor JAX.
    """
    from common.backend import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        *pair, one_hot = _with_tensorflow(model, images, target, scores, class_index)
    elif backend == "jax":
        *pair, one_hot = _with_jax(model, images, target, scores, class_index)
    else:
        raise InputError(f"Grad-CAM needs the TensorFlow or JAX backend, not {backend}")
    # float64: Grad-CAM++ raises gradients to the third power, which underflows in float32.
    activation, gradient = (np.asarray(part, np.float64) for part in pair)
    return activation, gradient, one_hot.argmax(axis=1)


def _with_tensorflow(
    model: keras.Model,
    images: np.ndarray,
    target: keras.Operation,
    scores: keras.Operation,
    class_index: np.ndarray | None,
) -> tuple[Any, Any, np.ndarray]:
    import tensorflow as tf

    caught: dict[str, Any] = {}
    # Only what follows the layer is recorded: nothing before it needs a gradient.
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(output: Any) -> Any:
            _check_feature_map(caught, target, output)
            # A copy of its own: the tape then knows this tensor even where the layer, an identity
            # for example, returns its input.
            caught["activation"] = output = tf.identity(output)
            tape.watch(output)
            return output

        def keep(output: Any) -> None:
            _note_scores(caught, scores, tf.cast(output, tf.float32))

        with _quiet_tensorflow(), _replaced_call(target, watch), _tapped(scores, keep):
            _run(model, images)
        _check_connected(caught, target, scores)
        caught["scores"] = _table(caught["scores"], tf.concat)
        one_hot = _chosen(caught["scores"].numpy(), class_index)
        score = tf.reduce_sum(caught["scores"] * one_hot)
    with _quiet_tensorflow():
        gradient = tape.gradient(score, caught["activation"])
    if gradient is None:
        raise InputError(f"layer {target.name!r} has no influence on the class scores")
    return (
        tf.cast(caught["activation"], tf.float32).numpy(),
        tf.cast(gradient, tf.float32).numpy(),
        one_hot,
    )


def _with_jax(
    model: keras.Model,
    images: np.ndarray,
    target: keras.Operation,
    scores: keras.Operation,
    class_index: np.ndarray | None,
) -> tuple[Any, Any, np.ndarray]:
    import jax
    import jax.numpy as jnp

    def run(perturbation: Any) -> tuple[Any, Any]:
        """Scores with `perturbation` (zero) added to the layer's output, and that output."""
        caught: dict[str, Any] = {}

        def add(output: Any) -> Any:
            _check_feature_map(caught, target, output)
            caught["activation"] = output
            return output if perturbation is None else output + perturbation

        def keep(output: Any) -> None:
            _note_scores(caught, scores, output.astype(jnp.float32))

        with _replaced_call(target, add), _tapped(scores, keep):
            _run(model, images)
        _check_connected(caught, target, scores)
        return _table(caught["scores"], jnp.concatenate), caught["activation"]

    shape = jax.eval_shape(lambda: run(None)[1])
    result, backward, activation = jax.vjp(run, jnp.zeros(shape.shape, shape.dtype), has_aux=True)
    one_hot = _chosen(np.asarray(result), class_index)
    (gradient,) = backward(jnp.asarray(one_hot))
    return activation.astype(jnp.float32), gradient.astype(jnp.float32), one_hot


def _run(model: keras.Model, images: np.ndarray) -> None:
    """Call a model; one that was made from a list or mapping of inputs gets its image as such."""
    from common.backend import keras

    structure = getattr(model, "_inputs_struct", None)
    if isinstance(structure, list | tuple | dict):
        model(keras.tree.map_structure(lambda _: images, structure), training=False)
    else:
        model(images, training=False)


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


@contextlib.contextmanager
def _tapped(layer: keras.Operation, function: Callable[[Any], None]) -> Iterator[None]:
    """Let `function` see the values that a layer gives, before its softmax or sigmoid."""
    original = layer.call
    before = layer.__dict__.get("call")
    activation = getattr(layer, "activation", None)
    squashes = getattr(activation, "__name__", "") in _SQUASHING

    def call(*args: Any, **kwargs: Any) -> Any:
        if type(layer).__name__.lower() in _SQUASHING:
            function(args[0] if args else next(iter(kwargs.values())))
            return original(*args, **kwargs)
        if squashes:
            layer.__dict__["activation"] = lambda values: values
        try:
            values = original(*args, **kwargs)
        finally:
            if squashes:
                layer.__dict__["activation"] = activation
        function(values)
        return activation(values) if squashes and activation is not None else values

    layer.__dict__["call"] = call
    try:
        yield
    finally:
        if before is None:
            del layer.__dict__["call"]
        else:
            layer.__dict__["call"] = before


_SQUASHING = ("softmax", "logsoftmax", "log_softmax", "sigmoid")


def _table(scores: Any, concatenate: Callable[..., Any]) -> Any:
    """Scores (N, classes); a single one speaks for class 1 and against class 0."""
    return concatenate([-scores, scores], 1) if scores.shape[1] == 1 else scores


def _chosen(scores: np.ndarray, class_index: np.ndarray | None) -> np.ndarray:
    """One-hot (N, classes) of the class to explain."""
    if not np.isfinite(scores).all():
        raise InputError("the class scores are not finite: the weights hold NaN or infinity")
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-4):
        raise InputError(
            "the class scores are probabilities already, whose gradient vanishes where the network "
            "is sure: name the layer before the softmax with logits="
        )
    if class_index is None:
        class_index = predicted_classes(scores)
    if class_index.min() < 0 or class_index.max() >= scores.shape[1]:
        wrong = class_index[(class_index < 0) | (class_index >= scores.shape[1])][0]
        raise InputError(f"class_index {wrong}: the model has classes 0 to {scores.shape[1] - 1}")
    return np.eye(scores.shape[1], dtype=np.float32)[class_index]


def _check_feature_map(caught: dict[str, Any], layer: keras.Operation, output: Any) -> None:
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) != 4:
        given = shape or f"a {type(output).__name__}"
        raise InputError(
            f"layer {layer.name!r} has no feature map (N, h, w, channels): its output is {given}"
        )
    if "activation" in caught:
        raise InputError(
            f"layer {layer.name!r} runs more than once for an image: the network applies it to "
            "several inputs, which have a map each; name a layer behind them"
        )


def _note_scores(caught: dict[str, Any], layer: keras.Operation, values: Any) -> None:
    if "scores" in caught:
        raise InputError(
            f"layer {layer.name!r} runs more than once for an image: name with logits= the layer "
            "that joins its class scores"
        )
    if len(values.shape) != 2:
        raise InputError(
            f"layer {layer.name!r} gives no class scores (N, classes), but {tuple(values.shape)}; "
            "name another with logits="
        )
    caught["scores"] = values


def _check_connected(
    caught: dict[str, Any], target: keras.Operation, scores: keras.Operation
) -> None:
    for name, layer in (("activation", target), ("scores", scores)):
        if name not in caught:
            raise InputError(f"layer {layer.name!r} does not run when the model does")


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
