"""What a layer gives for a batch, and the gradient of a class score with respect to it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.errors import InputError
from common.predictions import predicted_classes

if TYPE_CHECKING:
    import keras


class Pass(NamedTuple):
    """What one pass of a network, there and back, gives for a batch."""

    outputs: Any
    """What the model gives: an array, or what it has of them."""
    activations: list[np.ndarray]
    """Output of each layer, float32, (N, h, w, channels)."""
    gradients: list[np.ndarray]
    """Of the chosen class score with respect to each of them."""
    classes: np.ndarray
    """The classes that are explained, int64, (N,)."""

    def first(self, count: int) -> Pass:
        """Leave out what stands behind the first `count` images.

        Parameters
        ----------
        count : int
        """
        from common.backend import keras

        return Pass(*(keras.tree.map_structure(lambda each: each[:count], part) for part in self))


def passes(
    model: keras.Model,
    targets: Sequence[keras.Operation],
    scores: keras.Operation,
    *,
    compiled: bool = False,
) -> Callable[[np.ndarray, np.ndarray | None], Pass]:
    """Make what runs a network there and back, for all layers at once.

    Parameters
    ----------
    model : keras.Model
    targets : sequence of keras.Operation
        The layers, none twice.
    scores : keras.Operation
        What gives the class scores: its values before the softmax or sigmoid, if it has one.
    compiled : bool
        Worth it from the second batch on; all should have one size.

    Returns
    -------
    callable
        Of images, ndarray, float32, (N, H, W, 3), RGB in [0, 255], and the class to explain for
        each, ndarray, int, (N,), or None: that of the highest score. It raises an InputError if a
        layer has no feature map, no influence on the scores, does not run or runs more than once,
        if a class does not exist, or if the scores are probabilities or not finite.

    Raises
    ------
    InputError
        If the backend is neither TensorFlow nor JAX.
    """
    from common.backend import keras

    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise InputError(f"Grad-CAM needs the TensorFlow or JAX backend, not {backend}")
    make = _with_tensorflow if backend == "tensorflow" else _with_jax
    run = make(model, targets, scores, compiled)

    def there_and_back(images: np.ndarray, class_index: np.ndarray | None) -> Pass:
        outputs, values, activations, gradients = run(images, class_index)
        values = np.asarray(values)
        return Pass(
            keras.tree.map_structure(np.asarray, outputs),
            [np.asarray(each) for each in activations],
            [np.asarray(each) for each in gradients],
            _checked_classes(values, class_index),
        )

    return there_and_back


_Run = Callable[[np.ndarray, np.ndarray | None], tuple[Any, Any, Sequence[Any], Sequence[Any]]]


def _with_tensorflow(
    model: keras.Model,
    targets: Sequence[keras.Operation],
    scores: keras.Operation,
    compiled: bool,
) -> _Run:
    import tensorflow as tf

    def run(images: Any, class_index: Any) -> tuple[Any, Any, list[Any], list[Any]]:
        caught = _Caught(targets, scores)

        def watch(_: int, output: Any) -> Any:
            # A copy of its own: the tape then knows this tensor even where the layer, an identity
            # for example, returns its input.
            output = tf.identity(output)
            tape.watch(output)
            return output

        # Only what follows the layers is recorded: nothing before them needs a gradient.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            with caught.during(watch, lambda values: tf.cast(values, tf.float32)):
                outputs = _run(model, images)
            values = _table(caught.scores, tf.concat)
            score = tf.reduce_sum(values * _one_hot(values, class_index))
        activations = caught.in_order()
        gradients = tape.gradient(score, activations)
        for layer, gradient in zip(targets, gradients, strict=True):
            if gradient is None:
                raise InputError(f"layer {layer.name!r} has no influence on the class scores")
        activations, gradients = (
            [tf.cast(each, tf.float32) for each in part] for part in (activations, gradients)
        )
        return outputs, values, activations, gradients

    traced = tf.function(run, autograph=False) if compiled else run

    def quiet(images: np.ndarray, class_index: np.ndarray | None) -> Any:
        with _quiet_tensorflow():
            return traced(
                tf.constant(images), None if class_index is None else tf.constant(class_index)
            )

    return quiet


def _with_jax(
    model: keras.Model,
    targets: Sequence[keras.Operation],
    scores: keras.Operation,
    compiled: bool,
) -> _Run:
    import jax
    import jax.numpy as jnp

    from common.backend import keras

    def run(weights: Any, images: Any, class_index: Any) -> tuple[Any, Any, list[Any], list[Any]]:
        def forward(changes: Any) -> tuple[Any, Any]:
            """Score with `changes` (zero) added to the layers' outputs, and all that is caught."""
            caught = _Caught(targets, scores)

            def add(number: int, output: Any) -> Any:
                return output if changes is None else output + changes[number]

            # Compiled code that holds the weights as constants takes long to compile.
            state = keras.StatelessScope(zip(model.variables, weights, strict=True))
            with state, caught.during(add, lambda values: values.astype(jnp.float32)):
                outputs = _run(model, images)
            values = _table(caught.scores, jnp.concatenate)
            score = (values * _one_hot(values, class_index)).sum()
            return score, (outputs, values, caught.in_order())

        shapes = jax.eval_shape(lambda: forward(None)[1][2])
        zeros = [jnp.zeros(each.shape, each.dtype) for each in shapes]
        gradients, (outputs, values, activations) = jax.grad(forward, has_aux=True)(zeros)
        activations, gradients = (
            [each.astype(jnp.float32) for each in part] for part in (activations, gradients)
        )
        return outputs, values, activations, gradients

    traced = jax.jit(run) if compiled else run
    return lambda images, class_index: traced(
        [each.value for each in model.variables], images, class_index
    )


def _run(model: keras.Model, images: Any) -> Any:
    """Call a model; one that was made from a list or mapping of inputs gets its image as such."""
    from common.backend import keras

    structure = getattr(model, "_inputs_struct", None)
    if isinstance(structure, list | tuple | dict):
        images = keras.tree.map_structure(lambda _: images, structure)
    return model(images, training=False)


class _Caught:
    """What a run of a model gives at some layers, and its class scores."""

    def __init__(self, targets: Sequence[keras.Operation], scores: keras.Operation):
        self._layers, self._scores_layer = targets, scores
        self._activations: dict[int, Any] = {}
        self.scores: Any = None

    @contextlib.contextmanager
    def during(
        self, change: Callable[[int, Any], Any], convert: Callable[[Any], Any]
    ) -> Iterator[None]:
        """Let `change` see and replace what each layer gives, and `convert` the scores."""
        with contextlib.ExitStack() as stack:
            for number, layer in enumerate(self._layers):
                catch = functools.partial(self._catch, number, change)
                stack.enter_context(_replaced_call(layer, catch))
            stack.enter_context(_tapped(self._scores_layer, lambda v: self._note(convert(v))))
            yield
        missing = [layer for n, layer in enumerate(self._layers) if n not in self._activations] + [
            self._scores_layer
        ] * (self.scores is None)
        for layer in missing:
            raise InputError(f"layer {layer.name!r} does not run when the model does")

    def in_order(self) -> list[Any]:
        """Outputs in the order of the layers, whatever order they ran in."""
        return [self._activations[number] for number in range(len(self._layers))]

    def _catch(self, number: int, change: Callable[[int, Any], Any], output: Any) -> Any:
        name, shape = self._layers[number].name, tuple(getattr(output, "shape", ()))
        if len(shape) != 4:
            given = shape or f"a {type(output).__name__}"
            raise InputError(
                f"layer {name!r} has no feature map (N, h, w, channels): its output is {given}"
            )
        if number in self._activations:
            raise InputError(
                f"layer {name!r} runs more than once for an image: the network applies it to "
                "several inputs, which have a map each; name a layer behind them"
            )
        self._activations[number] = output = change(number, output)
        return output

    def _note(self, values: Any) -> None:
        name = self._scores_layer.name
        if self.scores is not None:
            raise InputError(
                f"layer {name!r} runs more than once for an image: name with logits= the layer "
                "that joins its class scores"
            )
        if len(values.shape) != 2:
            raise InputError(
                f"layer {name!r} gives no class scores (N, classes), but {tuple(values.shape)}; "
                "name another with logits="
            )
        self.scores = values


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


def _one_hot(scores: Any, class_index: Any) -> Any:
    """One-hot (N, classes), float32, of the class to explain: as given, or the highest score's."""
    from common.backend import keras

    if class_index is not None:
        return keras.ops.one_hot(class_index, scores.shape[1], dtype="float32")
    highest = keras.ops.cast(scores == keras.ops.max(scores, axis=1, keepdims=True), "float32")
    return highest * keras.ops.cast(keras.ops.cumsum(highest, axis=1) == 1, "float32")  # the first


def _checked_classes(scores: np.ndarray, class_index: np.ndarray | None) -> np.ndarray:
    """The class that `_one_hot` took for each image."""
    if not np.isfinite(scores).all():
        raise InputError("the class scores are not finite: the weights hold NaN or infinity")
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-4):
        raise InputError(
            "the class scores are probabilities already, whose gradient vanishes where the network "
            "is sure: name the layer before the softmax with logits="
        )
    if class_index is None:
        return predicted_classes(scores)
    if class_index.min() < 0 or class_index.max() >= scores.shape[1]:
        wrong = class_index[(class_index < 0) | (class_index >= scores.shape[1])][0]
        raise InputError(f"class_index {wrong}: the model has classes 0 to {scores.shape[1] - 1}")
    return class_index


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
