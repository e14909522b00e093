"""From a user's Keras model to the graphs that are converted, each held to the model's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from common import terminal
from common.errors import InputError
from common.export import checks
from common.export.equalisation import equalise
from common.export.graph import copied, functional, rewrite

if TYPE_CHECKING:
    import keras

# A rewriting is exact; what is left is rounding, of deep networks some 1e-5.
_ROUNDING = 1e-3
_PROBES = 16


def check_model(model: keras.Model) -> None:
    """Refuse a model that is not one image in, probabilities of the classes out.

    Parameters
    ----------
    model : keras.Model

    Raises
    ------
    InputError
        Saying what it is and what works.
    """
    inputs, outputs = (getattr(model, name, None) for name in ("inputs", "outputs"))
    if not inputs or not outputs:
        raise InputError(
            f"{model.name}: has no graph of layers; wrap it: x = keras.Input((S, S, 3)), then "
            "keras.Model(x, model(x))"
        )
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[-1] != 3:
        shapes = ", ".join(str(tuple(each.shape)) for each in inputs)
        raise InputError(
            f"{model.name}: takes {shapes}; a file takes one RGB image (None, S, S, 3)"
        )
    if len(outputs) != 1 or len(outputs[0].shape) != 2:
        shapes = ", ".join(str(tuple(each.shape)) for each in outputs)
        raise InputError(
            f"{model.name}: gives {shapes}; a file gives the probabilities of one set of classes "
            "(None, K): export keras.Model(model.inputs, model.outputs[0]) or another one of them"
        )


def divide_logits(model: keras.Model, temperature: float | None) -> None:
    """Build a temperature into a model: its last weights are divided by it.

    Parameters
    ----------
    model : keras.Model
        A run's: a layer "logits", linear, and a softmax. It is changed.
    temperature : float or None
        Above 0; None changes nothing.

    Raises
    ------
    InputError
        If the model has no such layer.
    """
    if temperature is None:
        return
    layer = next((each for each in model.layers if each.name == "logits"), None)
    if layer is None or not hasattr(layer, "kernel"):
        raise InputError(
            f"{model.name}: no dense layer logits, whose weights a temperature divides"
        )
    layer.set_weights([each / temperature for each in layer.get_weights()])


def in_float32(model: keras.Model) -> keras.Model:
    """See a model in float32: a copy where layers compute or keep weights otherwise.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    keras.Model
        What the files are held to, since they compute in float32 or approximate that.
    """
    types = {
        dtype
        for each in model._flatten_layers()
        for dtype in (each.compute_dtype, each.variable_dtype)
    }
    model = functional(model)
    if types <= {"float32", None} or not hasattr(model, "operations"):
        return model
    return copied(model)


def graphs(model: keras.Model, calibration: np.ndarray) -> Callable[[str], keras.Model]:
    """Prepare what is converted at each precision.

    A rewriting that fails on a model, or changes its outputs, is left out: the model itself can be
    converted, if into a slower or less exact file.

    Parameters
    ----------
    model : keras.Model
        From `in_float32`.
    calibration : ndarray, uint8, (N, S, S, 3), RGB
        Training images.

    Returns
    -------
    callable
        Precision -> graph.
    """
    probes = calibration[:_PROBES]
    expected = predict(model, probes)

    def tried(change: Callable[..., keras.Model], graph: keras.Model, *arguments: Any) -> Any:
        try:
            changed = change(graph, *arguments)
            error = float(np.abs(predict(changed, probes) - expected).max())
            problem = f"changes a probability by {error:.2g}" if error > _ROUNDING else ""
        except Exception as error:  # users' layers may do anything when they are copied
            problem = (f"{type(error).__name__}: {error}").splitlines()[0]
        if not problem:
            return changed
        terminal.line(terminal.plain(f"{change.__name__} is left out: {problem}"))
        return graph

    rewritten = tried(rewrite, model)
    made: list[keras.Model] = []

    def graph(precision: str) -> keras.Model:
        if precision != "int8":
            return rewritten
        if not made:
            made.append(tried(equalise, rewritten, calibration))
        return made[0]

    return graph


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Probabilities of a Keras model that gives what can be compared.

    Parameters
    ----------
    model : keras.Model
    images : ndarray, uint8, (N, S, S, 3), RGB

    Returns
    -------
    ndarray, float, (N, K)

    Raises
    ------
    InputError
        If an output is not finite or no probability.
    """
    outputs = np.asarray(model.predict(images, batch_size=16, verbose=0))
    try:
        checks.check_probabilities(outputs)
    except InputError as error:
        raise InputError(f"the Keras model itself: {error}") from None
    return outputs
