"""Give an exported model its last feature maps as a second output.

With global average pooling and one dense layer behind them, the maps times that layer's weights
are class activation maps: their mean, plus the bias, are the logits.

References
----------
B. Zhou and others, "Learning Deep Features for Discriminative Localization", CVPR 2016, eqs. 1, 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from common import backend
from common.errors import InputError


@dataclass(frozen=True)
class Opened:
    """A model with a second output, and what is known of its end."""

    content: bytes
    weights: np.ndarray
    """Of the dense layer, (C, K) float32: feature maps times these are activation maps."""
    logit_step: float | None
    """One step of the quantised logits; None if they are not quantised."""


def open_up(content: bytes) -> Opened:
    """Add the tensor that is averaged over the picture to the outputs; change nothing else.

    Parameters
    ----------
    content : bytes
        A .tflite file whose end is MEAN, FULLY_CONNECTED, SOFTMAX, with conversions and reshapes
        between.

    Raises
    ------
    InputError
        If the model ends otherwise.
    """
    with backend.without_greetings():
        from tensorflow.lite.python import schema_py_generated as schema
        from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    makers = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        makers[operator.outputs[0]] = (name, operator)

    def back_to(wanted: str, tensor: int) -> Any:
        while tensor in makers:
            name, operator = makers[tensor]
            if name == wanted:
                return operator
            if name not in ("SOFTMAX", "DEQUANTIZE", "QUANTIZE", "RESHAPE"):
                break
            tensor = operator.inputs[0]
        raise InputError(f"the model does not end in average pooling and one layer: no {wanted}")

    dense = back_to("FULLY_CONNECTED", graph.outputs[0])
    features = back_to("MEAN", dense.inputs[0]).inputs[0]
    if len(dense.inputs) < 3 or dense.inputs[2] < 0:
        # A bias that is zero throughout is left out by the converter; no training ends so.
        raise InputError("the last layer has no bias: tflite-runtime 2.14 crashes on it on armv7l")
    weights = _values(model, graph, makers, dense.inputs[1])
    quantization = graph.tensors[dense.outputs[0]].quantization
    quantised = quantization is not None and quantization.scale is not None
    graph.outputs = [graph.outputs[0], features]
    for signature in model.signatureDefs or []:
        signature.outputs = [*signature.outputs, _named(schema, "features", features)]
    return Opened(
        flatbuffer_utils.convert_object_to_bytearray(model),
        np.ascontiguousarray(weights.T, np.float32),
        float(quantization.scale[0]) if quantised else None,
    )


def _values(model: Any, graph: Any, makers: dict[int, tuple[str, Any]], index: int) -> np.ndarray:
    """A constant's values in float32, whatever it is stored as."""
    if index in makers:  # float16 weights pass a DEQUANTIZE
        index = makers[index][1].inputs[0]
    tensor = graph.tensors[index]
    dtype = {0: np.float32, 1: np.float16, 9: np.int8}[tensor.type]
    stored = np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)
    if dtype is not np.int8:
        return stored.astype(np.float32)
    scale, zero_point = (
        np.asarray(each, np.float32).reshape(-1, *[1] * (stored.ndim - 1))
        for each in (tensor.quantization.scale, tensor.quantization.zeroPoint)
    )
    return (stored - zero_point) * scale


def _named(schema: Any, name: str, index: int) -> Any:
    result = schema.TensorMapT()
    result.name, result.tensorIndex = name.encode(), index
    return result
