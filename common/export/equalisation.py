"""Give the channels of every feature map like ranges, without changing what a network computes.

int8 has one step for all channels of a feature map: a channel whose values are a tenth of the
largest's has a tenth of the steps. Where one layer writes a channel and others read it, with only
ReLU, sums and pooling between, the writer's weights can be multiplied and the readers' divided.

References
----------
M. Nagel and others, "Data-Free Quantization Through Weight Equalization and Bias Correction",
ICCV 2019, section 4.1; ranges are measured here, and residual sums are equalised too.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from common.export.graph import calls, copied

if TYPE_CHECKING:
    import keras

STRENGTH = 0.75
"""0 leaves all as it is, 1 makes the channels' ranges equal and the weights' as unequal."""
SMALLEST = 0.01
"""Share of the largest channel's range below which a smaller range counts no more."""
_BATCH = 8


def equalise(model: keras.Model, images: np.ndarray) -> keras.Model:
    """Copy a model with its channels rescaled; the outputs differ by rounding only.

    Parameters
    ----------
    model : keras.Model
        From `rewrite`. One that is not functional is given back as it is.
    images : ndarray, uint8, (N, S, S, 3), RGB
        Training images, on which the ranges are measured.

    Returns
    -------
    keras.Model
        Layers keep their names.
    """
    if not hasattr(model, "operations"):
        return model
    groups = _groups(model)
    if not groups:
        return model
    scales: dict[int, np.ndarray] = {}
    for group, largest in zip(groups, _largest(model, groups, images), strict=True):
        if not largest.any():
            continue
        scale = (largest.max() / np.maximum(largest, SMALLEST * largest.max())) ** STRENGTH
        scales |= {id(tensor): scale for tensor in group}
    result = copied(model)
    for layer, inputs, outputs in calls(model):
        before, after = (scales.get(id(each[0])) if each else None for each in (inputs, outputs))
        if getattr(layer, "weights", None) and not (before is None and after is None):
            result.get_layer(layer.name).set_weights(_rescaled(layer, before, after))
    return result


def _groups(model: keras.Model) -> list[list[Any]]:
    """Feature maps that have to be rescaled together, those aside that cannot be."""
    from scipy.cluster.hierarchy import DisjointSet

    from common.backend import layers

    passing = (
        layers.Add, layers.AveragePooling2D, layers.Dropout, layers.GlobalAveragePooling2D,
        layers.MaxPooling2D, layers.ZeroPadding2D,
    )  # fmt: skip
    tensors = {}
    fixed = [*model.inputs, *model.outputs]
    together = DisjointSet()
    graph = calls(model)
    times = Counter(id(each) for each, _, _ in graph)
    for each, inputs, outputs in graph:
        for tensor in (*inputs, *outputs):
            tensors[id(tensor)] = tensor
            together.add(id(tensor))
        if isinstance(each, passing) or _is_relu(each):
            for tensor in inputs:
                together.merge(id(tensor), id(outputs[0]))
        elif times[id(each)] > 1:
            fixed += inputs + outputs
        elif isinstance(each, layers.BatchNormalization) and each.scale and each.center:
            fixed += inputs  # the convolution before it, into which it is folded
        elif not _is_linear(each):
            fixed += inputs + outputs
    unchanged = {together[id(tensor)] for tensor in fixed}
    return [
        [tensors[key] for key in group]
        for group in together.subsets()
        if together[next(iter(group))] not in unchanged
    ]


def _is_relu(operation: Any) -> bool:
    from common.backend import layers

    if isinstance(operation, layers.ReLU):
        return not (operation.max_value or operation.negative_slope or operation.threshold)
    return isinstance(operation, layers.Activation) and _homogeneous(operation)


def _is_linear(operation: Any) -> bool:
    """Whether it is a layer that takes factors on its input and its output into its weights."""
    from common.backend import layers

    if type(operation) is layers.Conv2D:
        return operation.groups == 1 and _homogeneous(operation)
    if type(operation) is layers.DepthwiseConv2D:
        return operation.depth_multiplier == 1 and _homogeneous(operation)
    return type(operation) is layers.Dense and _homogeneous(operation)


def _homogeneous(layer: keras.layers.Layer) -> bool:
    return layer.activation.__name__ in ("linear", "relu")


def _largest(model: keras.Model, groups: list[list[Any]], images: np.ndarray) -> list[np.ndarray]:
    """Largest absolute value of every channel of each group.

    What only a ReLU reads is left out: an int8 file has no such tensor.
    """
    from common.backend import keras, ops, tree

    read = {
        id(tensor) for each, inputs, _ in calls(model) if not _is_relu(each) for tensor in inputs
    }
    groups = [[each for each in group if id(each) in read] or group for group in groups]
    flat = [tensor for group in groups for tensor in group]
    probe = keras.Model(
        model.inputs[0],
        [ops.max(ops.abs(tensor), axis=tuple(range(len(tensor.shape) - 1))) for tensor in flat],
    )
    found = [
        [np.asarray(each) for each in tree.flatten(probe(images[i : i + _BATCH].astype("float32")))]
        for i in range(0, len(images), _BATCH)
    ]
    largest = iter([np.max(values, axis=0) for values in zip(*found, strict=True)])
    return [np.max([next(largest) for _ in group], axis=0) for group in groups]


def _rescaled(
    layer: keras.layers.Layer, before: np.ndarray | None, after: np.ndarray | None
) -> list[np.ndarray]:
    """Weights of a layer whose input and output are multiplied by these factors."""
    from common.backend import layers

    weights = layer.get_weights()
    if before is not None:
        weights[0] = weights[0] / before[:, None]
    if after is not None:
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        weights[0] = weights[0] * (after[:, None] if depthwise else after)
        if len(weights) > 1:  # bias, or BatchNorm's beta
            weights[1] = weights[1] * after
    return weights
