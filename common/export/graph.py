"""Rewrite a Keras model, exactly, into the layers that int8 kernels are fastest at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def rewrite(model: keras.Model) -> keras.Model:
    """Copy a model with the same function in the layers that int8 kernels are fastest at.

    `InputScaling` (unless it takes each image's own statistics) becomes a 1x1 convolution; a
    BatchNorm on a feature map becomes a 1x1 depthwise convolution unless the converter can fold
    it into the convolution before it. Everything computes in float32.

    Parameters
    ----------
    model : keras.Model
        Functional. Others are given back as they are.

    Returns
    -------
    keras.Model
        Layers keep their names; outputs differ by rounding only.
    """
    from common.backend import keras

    if not hasattr(model, "operations"):
        return model
    folded = _folded(model)
    made: dict[str, keras.layers.Layer] = {}

    def copy(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer.__class__.from_config(layer.get_config())
        if _is_affine(layer):
            new = keras.layers.Conv2D(3, 1, name=layer.name)
        elif isinstance(layer, keras.layers.BatchNormalization) and layer.name not in folded:
            new = keras.layers.DepthwiseConv2D(1, name=layer.name)
        else:
            config = layer.get_config()
            if "dtype" in config:
                config["dtype"] = "float32"
            new = layer.__class__.from_config(config)
        made[layer.name] = new
        return new

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            options = {}  # what the layer it stands for was called with: mask, training
        return layer(*arguments, **options)

    result = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.name not in made:  # the input
            continue
        new = made[layer.name]
        if type(new) is type(layer):
            new.set_weights(layer.get_weights())
        elif isinstance(layer, keras.layers.BatchNormalization):
            new.set_weights(_scale_and_offset(layer))
        else:
            new.set_weights(_matrix_and_offset(layer))
    return result


def _is_affine(layer: keras.layers.Layer) -> bool:
    from common.normalise import InputScaling

    return isinstance(layer, InputScaling) and not layer.per_image


def _folded(model: keras.Model) -> set[str]:
    """Names of the BatchNorms that a converter folds into the layer before, and of the flat ones.

    It folds one that is alone in reading a convolution without activation.
    """
    from common.backend import keras

    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    readers = Counter(id(tensor) for each in model.operations for tensor in _list(each.input))
    makers = {id(tensor): each for each in model.operations for tensor in _list(each.output)}
    names = set()
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        before = makers[id(layer.input)]
        alone = readers[id(layer.input)] == 1
        convolved = isinstance(before, convolutions) and before.activation.__name__ == "linear"
        if (alone and convolved) or len(layer.input.shape) != 4 or layer.axis not in (3, -1):
            names.add(layer.name)
    return names


def _list(tensors: Any) -> list[Any]:
    from common.backend import keras

    return keras.tree.flatten(tensors)


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
