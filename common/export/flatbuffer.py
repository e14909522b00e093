"""Read and edit .tflite files as objects, with the schema inside TensorFlow."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import InputError


def parse(content: bytes) -> Any:
    """Bytes of a file as an object.

    Parameters
    ----------
    content : bytes
        Of a .tflite file.

    Returns
    -------
    ModelT
        Of the schema.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def pack(model: Any) -> bytes:
    """Turn an object into the bytes of a file; the opposite of `parse`.

    Parameters
    ----------
    model : ModelT
        Of the schema.

    Returns
    -------
    bytes
        Of a .tflite file.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils.convert_object_to_bytearray(model)


def name_of(model: Any, operator: Any) -> str:
    """Name of an operator.

    Parameters
    ----------
    model : ModelT
        From `parse`.
    operator : OperatorT
        One of its operators.

    Returns
    -------
    str
        A built-in operator's own, "CUSTOM <name>" of another.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    name = names.get(number, f"UNKNOWN {number}")
    return f"CUSTOM {code.customCode.decode()}" if name == "CUSTOM" else name


def dtype_of(tensor: Any) -> str:
    """Data type of a tensor.

    Parameters
    ----------
    tensor : TensorT
        Of the schema.

    Returns
    -------
    str
        As NumPy names it.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils.type_to_name(tensor.type).lower()


def float_softmax(content: bytes) -> bytes:
    """Move the conversion to float32 from behind the final softmax to before it.

    Behind it a probability is one of 256 steps, and two classes are often equal.

    Parameters
    ----------
    content : bytes
        Of an int8 file.

    Returns
    -------
    bytes
        As they were, if the file ends otherwise.
    """
    model = parse(content)
    graph = model.subgraphs[0]
    if [name_of(model, operator) for operator in graph.operators[-2:]] != ["SOFTMAX", "DEQUANTIZE"]:
        return content
    softmax, dequantize = graph.operators[-2:]
    between = graph.tensors[softmax.outputs[0]]
    between.type, between.quantization = graph.tensors[dequantize.outputs[0]].type, None
    softmax.inputs, softmax.outputs, dequantize.inputs, dequantize.outputs = (
        softmax.outputs, dequantize.outputs, softmax.inputs, dequantize.inputs,
    )  # fmt: skip
    graph.operators[-2:] = [dequantize, softmax]
    return pack(model)


def quantised_input(content: bytes) -> bytes:
    """Let the uint8 image be quantised itself, with scale 1, and not cast to float32 first.

    Parameters
    ----------
    content : bytes
        Of an int8 file.

    Returns
    -------
    bytes
        As they were, if the file begins otherwise.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    model = parse(content)
    graph = model.subgraphs[0]
    names = [name_of(model, operator) for operator in graph.operators[:2]]
    cast, quantize = graph.operators[:2]
    readers = [each for each in graph.operators if cast.outputs[0] in each.inputs]
    if names != ["CAST", "QUANTIZE"] or readers != [quantize]:
        return content
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [1.0], [0]
    graph.tensors[cast.inputs[0]].quantization = quantization
    quantize.inputs = cast.inputs
    del graph.operators[0]
    return pack(model)


def shift_logits(content: bytes, shift: np.ndarray) -> bytes:
    """Add to the biases of the layer before the final softmax of an int8 file.

    Parameters
    ----------
    content : bytes
        One that ends otherwise is given back as it is.
    shift : ndarray, float, (K,)
        What is added to the logits, rounded to steps of the biases.

    Returns
    -------
    bytes
        Of the file with other biases.
    """
    model = parse(content)
    graph = model.subgraphs[0]
    names = [name_of(model, operator) for operator in graph.operators[-3:]]
    if names != ["FULLY_CONNECTED", "DEQUANTIZE", "SOFTMAX"]:
        return content
    dense = graph.operators[-3]
    if len(dense.inputs) < 3 or dense.inputs[2] < 0:
        return content
    bias = graph.tensors[dense.inputs[2]]
    steps = np.rint(shift / np.asarray(bias.quantization.scale)).astype(np.int32)
    stored = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
    model.buffers[bias.buffer].data = np.frombuffer((stored + steps).tobytes(), np.uint8)
    return pack(model)


@dataclass
class Description:
    """What a .tflite file says of itself."""

    input: dict[str, Any]
    output: dict[str, Any]
    ops: dict[str, int]
    float_ops: list[str]
    """Operators that compute in float32, conversions and the final softmax aside."""


def describe(content: bytes) -> Description:
    """Read input, output and operators out of a .tflite file.

    Parameters
    ----------
    content : bytes
        Of the file.

    Returns
    -------
    Description
        Of its first graph.

    Raises
    ------
    InputError
        If it cannot be parsed.
    """
    try:
        model = parse(content)
        graph = model.subgraphs[0]
        names = [name_of(model, operator) for operator in graph.operators]
        floats = [
            name
            for name, operator in zip(names, graph.operators, strict=True)
            if name not in ("DEQUANTIZE", "SOFTMAX")
            and any(dtype_of(graph.tensors[index]) == "float32" for index in operator.outputs)
        ]
        return Description(
            _tensor(graph.tensors[graph.inputs[0]]),
            _tensor(graph.tensors[graph.outputs[0]]),
            dict(sorted(Counter(names).items())),
            floats,
        )
    except (IndexError, TypeError, ValueError, AttributeError, KeyError, struct.error) as error:
        raise InputError(f"not a TFLite model ({type(error).__name__}: {error})") from None


def _tensor(tensor: Any) -> dict[str, Any]:
    quantization = tensor.quantization
    quantised = quantization is not None and quantization.scale is not None
    return {
        "name": tensor.name.decode(),
        "shape": [int(side) for side in tensor.shape],
        "dtype": dtype_of(tensor),
        "scale": float(quantization.scale[0]) if quantised else None,
        "zero_point": int(quantization.zeroPoint[0]) if quantised else None,
    }
