"""How large a model is: its parameters, and the multiplications of one image."""

from __future__ import annotations

import math

import numpy as np

from common.backend import keras


def parameters(model: keras.Model) -> dict[str, int]:
    """Count the parameters of a model.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    dict
        `total`, `trainable`, `non_trainable`.
    """
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    fixed = sum(int(np.prod(v.shape)) for v in model.non_trainable_weights)
    return {"total": trainable + fixed, "trainable": trainable, "non_trainable": fixed}


def multiply_accumulates(model: keras.Model) -> int:
    """Count the multiply-accumulates of a model's convolutions and dense layers for one image.

    Batch normalisation, activations, pooling and additions are not counted, as is usual.

    Parameters
    ----------
    model : keras.Model
        Built for images of a fixed size; the layers of models inside it (ConvNeXt's stem) count.

    Returns
    -------
    int
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += multiply_accumulates(layer)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            # Its kernel is (height, width, input channels, multiplier).
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.SeparableConv2D):
            places = math.prod(layer.output.shape[1:3])
            total += places * math.prod(layer.depthwise_kernel.shape)
            total += places * math.prod(layer.pointwise_kernel.shape)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            # A grouped convolution's kernel has the channels of one group, as it multiplies.
            total += math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return total
