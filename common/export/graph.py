"""Rewrite a Keras model, exactly, into the layers that int8 kernels are fastest at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def rewrite(model: keras.Model) -> keras.Model:
    """Copy a model with the same function in the layers that int8 kernels are fastest at.

    `InputScaling` (unless it takes each image's own statistics) becomes a 1x1 convolution; a
    BatchNorm on a feature map becomes a 1x1 depthwise convolution unless the converter can fold
    it into the convolution before it. LayerNorm is written without a negation, which has no int8
    kernel. Everything computes in float32.

    Parameters
    ----------
    model : keras.Model
        Functional or Sequential. Others are given back as they are.

    Returns
    -------
    keras.Model
        Layers keep their names; outputs differ by rounding only.
    """
    from common.backend import keras

    model = functional(model)
    if not hasattr(model, "operations"):
        return model
    folded = _folded(model)
    norm = _layer_norm()

    def replacement(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        if _is_affine(layer):
            return keras.layers.Conv2D(3, 1, name=layer.name)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.name not in folded:
            return keras.layers.DepthwiseConv2D(1, name=layer.name)
        if type(layer) is keras.layers.LayerNormalization and layer.axis in (-1, [-1], (-1,)):
            return norm.from_config(layer.get_config() | {"dtype": "float32"})
        return None

    return copied(model, replacement)


def functional(model: keras.Model) -> keras.Model:
    """See a Sequential model as the functional one that it holds; others are given back.

    Parameters
    ----------
    model : keras.Model
    """
    from common.backend import keras

    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return model


def copied(
    model: keras.Model,
    replacement: Callable[[keras.layers.Layer], keras.layers.Layer | None] = lambda layer: None,
) -> keras.Model:
    """Copy a functional model, nested ones in it too, layer by layer, in float32.

    Parameters
    ----------
    model : keras.Model
        Functional.
    replacement : callable, optional
        Gives a layer that stands for another, or None: a copy of the layer itself. A convolution
        that stands for `InputScaling` or BatchNorm takes its weights from there.

    Returns
    -------
    keras.Model
        Layers keep their names.
    """
    from common.backend import keras

    made: dict[str, keras.layers.Layer] = {}

    def copy(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer.__class__.from_config(layer.get_config())
        inner = functional(layer) if isinstance(layer, keras.Model) else layer
        if hasattr(inner, "operations"):
            return copied(inner, replacement)
        made[layer.name] = new = replacement(layer) or _same(layer)
        return new

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            options = {}  # what the layer it stands for was called with: mask, training
        return layer(*arguments, **options)

    result = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.name not in made:  # the input, or a model whose copy has its weights
            continue
        new = made[layer.name]
        if isinstance(new, type(layer)):
            new.set_weights(layer.get_weights())
        elif isinstance(layer, keras.layers.BatchNormalization):
            new.set_weights(_scale_and_offset(layer))
        else:
            new.set_weights(_matrix_and_offset(layer))
    return result


def _same(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Copy of a layer without its weights, in float32."""
    from common.backend import keras

    if type(layer) is keras.layers.Lambda:  # its config is byte code
        return keras.layers.Lambda(
            layer.function,
            output_shape=layer._output_shape,
            arguments=layer.arguments,
            name=layer.name,
        )
    config = layer.get_config()
    if "dtype" in config:
        config["dtype"] = "float32"
    return layer.__class__.from_config(config)


def _layer_norm() -> type[keras.layers.LayerNormalization]:
    """Keras' layer, over the last axis, written with a difference instead of a negated mean."""
    from common.backend import keras, ops

    class LayerNorm(keras.layers.LayerNormalization):
        def call(self, x: Any) -> Any:
            x = x - ops.mean(x, axis=-1, keepdims=True)
            variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
            x = x * ops.rsqrt(variance + self.epsilon)
            x = x * self.gamma if self.scale else x
            return x + self.beta if self.center else x

    return LayerNorm


def _is_affine(layer: keras.layers.Layer) -> bool:
    from common.normalise import InputScaling

    return isinstance(layer, InputScaling) and not layer.per_image


def _folded(model: keras.Model) -> set[str]:
    """Names of the BatchNorms that a converter folds into the layer before, and of the flat ones.

    It folds one that is alone in reading a convolution without activation.
    """
    from common.backend import keras

    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    graph = calls(model)
    times = Counter(id(each) for each, _, _ in graph)
    readers = Counter(id(tensor) for _, inputs, _ in graph for tensor in inputs)
    makers = {id(tensor): each for each, _, outputs in graph for tensor in outputs}
    names = set()
    for layer, inputs, _ in graph:
        inner = functional(layer)
        if hasattr(inner, "operations"):
            names |= _folded(inner)
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        before = makers.get(id(inputs[0]))
        alone = readers[id(inputs[0])] == 1
        convolved = isinstance(before, convolutions) and before.activation.__name__ == "linear"
        flat = len(inputs[0].shape) != 4 or layer.axis not in (3, -1)
        if (alone and convolved) or flat or times[id(layer)] > 1:
            names.add(layer.name)
    return names


def calls(model: keras.Model) -> list[tuple[Any, list[Any], list[Any]]]:
    """Every use of a layer in a functional model; a layer's own `input` may be another model's.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    list of (operation, inputs, outputs)
        With the symbolic tensors of that use.
    """
    return [
        (node.operation, list(node.arguments.keras_tensors), list(node.outputs))
        for nodes in model._nodes_by_depth.values()
        for node in nodes
    ]


def _scale_and_offset(norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    """Kernel (1, 1, C, 1) and bias (C,) of the depthwise convolution that is this BatchNorm."""
    mean, variance = (np.float64(each) for each in (norm.moving_mean, norm.moving_variance))
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * np.float64(norm.gamma)
    offset = -mean * scale
    if norm.center:
        offset = offset + np.float64(norm.beta)
    return [scale.reshape(1, 1, -1, 1), offset]


def _matrix_and_offset(scaling: keras.layers.Layer) -> list[np.ndarray]:
    """Kernel (1, 1, 3, 3) and bias (3,) of the convolution that is this input scaling.

    Read off the layer itself: what it makes of black and of the three pure colours.
    """
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).reshape(4, 1, 1, 3)
    black, *colours = np.float64(scaling(probes.astype(np.float32))).reshape(4, 3)
    return [(np.stack(colours) - black).reshape(1, 1, 3, 3) / 255, black]
