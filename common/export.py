"""Export a trained model to TFLite files, each checked before it is written.

Every file keeps one contract, whatever its precision: a uint8 image (1, S, S, 3), RGB, raw pixels
[0, 255], goes in, float32 class probabilities (1, K) come out. The scaling lies inside the graph,
so a device has no scaling to get wrong.

The graph is rewritten first, exactly: input scaling becomes one 1x1 convolution, and a BatchNorm
that cannot be folded into a convolution before it becomes a 1x1 depthwise convolution, which int8
kernels run faster than a multiplication and an addition.

    python -m common.export --run RUN --data-dir D
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import backend, errors, metrics, runs
from common.errors import InputError

if TYPE_CHECKING:
    import keras
    import pandas as pd

SCHEMA = 1
NOTICE = "Research use, not for diagnosis."
PRECISIONS = ("float32", "float16", "dynamic", "int8")
WEIGHT_BYTES = {"float32": 4, "float16": 2, "dynamic": 1, "int8": 1}
PROBABILITY_LIMIT = {"float32": 1e-3, "float16": 0.02}
"""Largest error of a probability; with 8 bits the top-1 agreement alone decides."""
TOP1_LIMIT = 0.985
"""A file whose agreement with the Keras model lies below this even at the upper end of its 95 %
interval is refused."""
CALIBRATION_IMAGES = 200
HELDOUT_IMAGES = 100
_STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}
# Values of a tensor, over all calibration images, from which its range is chosen.
_RANGE_VALUES = 100_000
# TensorFlow leaves smaller weights as they are under dynamic-range quantisation.
_DYNAMIC_SMALLEST = 1024


# --- the graph ---------------------------------------------------------------------------------


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
    import keras

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
    import keras

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
    import keras

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


# --- converters --------------------------------------------------------------------------------


def _trace(model: keras.Model, dtype: str) -> Any:
    """Graph of a model for one image, its weights constants in it.

    A graph with variables would be converted into a small file without weights.
    """
    import tensorflow as tf

    trainable = [np.asarray(variable) for variable in model.trainable_variables]
    others = [np.asarray(variable) for variable in model.non_trainable_variables]
    height, width, channels = model.inputs[0].shape[1:]

    def graph(image):
        if dtype == "uint8":
            image = tf.cast(image, tf.float32)
        else:  # int8 files: this makes the scale of the input exactly 1, its zero point 0
            image = tf.quantization.fake_quant_with_min_max_args(image, 0.0, 255.0)
        return model.stateless_call(trainable, others, image, training=False)[0]

    signature = tf.TensorSpec((1, height, width, channels), dtype, name="image")
    return tf.function(graph, autograph=False).get_concrete_function(signature)


def with_tensorflow(model: keras.Model, precision: str, calibration: np.ndarray) -> bytes:
    """Convert with TensorFlow's own converter.

    Parameters
    ----------
    model : keras.Model
        From `rewrite`.
    precision : str
        One of `PRECISIONS`.
    calibration : ndarray, uint8, (N, S, S, 3), RGB
        Training images, from which int8 learns the range of every tensor.
    """
    import tensorflow as tf

    graph = _trace(model, "float32" if precision == "int8" else "uint8")
    with warnings.catch_warnings():
        # "Statistics for quantized inputs were expected": they come from the calibration images.
        warnings.simplefilter("ignore")
        with backend.no_stderr():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: (
                [image[None].astype(np.float32)] for image in calibration
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.float32
        with backend.no_stderr():
            content = converter.convert()
    return _float_softmax(content) if precision == "int8" else content


def with_quantizer(model: keras.Model, precision: str, calibration: np.ndarray) -> bytes:
    """Convert to float32 with TensorFlow, then quantise with ai-edge-quantizer.

    Parameters and result as in `with_tensorflow`; `precision` is dynamic or int8. The ranges are
    those of `best_range`, not the quantizer's moving averages.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    content = with_tensorflow(model, "float32", calibration)
    work = quantizer.Quantizer(content)
    if precision == "dynamic":
        work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
        with backend.no_stderr():
            return bytes(work.quantize(enable_progress_report=False).quantized_model)
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    for name in ("SOFTMAX", "OUTPUT"):
        kind = qtyping.TFLOperationName[name]
        work.update_quantization_recipe(".*", kind, algorithm_key="no_quantize")
    ranges = _ranges(content, calibration)
    with backend.no_stderr():
        result = work.quantize(ranges, enable_progress_report=False)
    return _quantised_input(bytes(result.quantized_model))


CONVERTERS: dict[str, Callable[[keras.Model, str, np.ndarray], bytes]] = {
    "tensorflow": with_tensorflow,
    "ai-edge-quantizer": with_quantizer,
}


def _ranges(content: bytes, calibration: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Range of every tensor that an operator makes, in the quantizer's form; see `best_range`."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = _parse(content).subgraphs[0]
    computed = [index for operator in graph.operators for index in operator.outputs]
    with warnings.catch_warnings(), backend.no_stderr():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        interpreter = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    image_index = interpreter.get_input_details()[0]["index"]
    seen: dict[int, list[np.ndarray]] = {index: [] for index in computed}
    share = max(_RANGE_VALUES // len(calibration), 1)
    for image in calibration:
        interpreter.set_tensor(image_index, image[None])
        interpreter.invoke()
        for index, values in seen.items():
            tensor = interpreter.get_tensor(index).ravel()
            # An odd step meets every channel in turn; the extremes count whatever it skips.
            step = max(tensor.size // share, 1) | 1
            values.append(np.append(tensor[::step], [tensor.min(), tensor.max()]))
    cast = graph.operators[0].outputs[0]
    ranges = {index: best_range(np.concatenate(values)) for index, values in seen.items()}
    ranges[cast] = 0.0, 255.0  # so that the scale of the input is exactly 1
    return {
        graph.tensors[index].name.decode(): {
            "min": np.full((1, 1, 1, 1), low, np.float32),
            "max": np.full((1, 1, 1, 1), high, np.float32),
        }
        for index, (low, high) in ranges.items()
    }


def best_range(values: np.ndarray) -> tuple[float, float]:
    """Range of values that 8-bit numbers represent with the smallest mean square error.

    Activations have long tails: cutting a few values off makes the steps of all others smaller.

    Parameters
    ----------
    values : ndarray, float, (N,)
        A sample, the smallest and the largest value in it. Of fewer than 1000 the tails are
        unknown, and the whole range is kept.

    Returns
    -------
    low, high : float
        Around 0, which has to be a step of its own.
    """
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if len(values) < 1000 or low == high:
        return low, high

    def error(share: float) -> float:
        step = share * (high - low) / 255
        zero = np.round(-share * low / step)
        steps = np.clip(np.round(values / step) + zero, 0, 255) - zero
        return float(np.mean((steps * step - values) ** 2))

    best = min(np.linspace(1, 0.3, 15), key=error)
    return float(best * low), float(best * high)


# --- files as objects --------------------------------------------------------------------------


def _parse(content: bytes) -> Any:
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def _pack(model: Any) -> bytes:
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils.convert_object_to_bytearray(model)


def _name(model: Any, operator: Any) -> str:
    """Name of an operator: a built-in one's own, "CUSTOM <name>" of another."""
    from tensorflow.lite.python import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    name = names.get(number, f"UNKNOWN {number}")
    return f"CUSTOM {code.customCode.decode()}" if name == "CUSTOM" else name


def _dtype(tensor: Any) -> str:
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils.type_to_name(tensor.type).lower()


def _float_softmax(content: bytes) -> bytes:
    """Move the conversion to float32 from behind the final softmax to before it.

    Behind it a probability is one of 256 steps, and two classes are often equal.
    """
    model = _parse(content)
    graph = model.subgraphs[0]
    if [_name(model, operator) for operator in graph.operators[-2:]] != ["SOFTMAX", "DEQUANTIZE"]:
        return content
    softmax, dequantize = graph.operators[-2:]
    between = graph.tensors[softmax.outputs[0]]
    between.type, between.quantization = graph.tensors[dequantize.outputs[0]].type, None
    softmax.inputs, softmax.outputs, dequantize.inputs, dequantize.outputs = (
        softmax.outputs, dequantize.outputs, softmax.inputs, dequantize.inputs,
    )  # fmt: skip
    graph.operators[-2:] = [dequantize, softmax]
    return _pack(model)


def _quantised_input(content: bytes) -> bytes:
    """Let the uint8 image be quantised itself, with scale 1, and not cast to float32 first."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = _parse(content)
    graph = model.subgraphs[0]
    names = [_name(model, operator) for operator in graph.operators[:2]]
    cast, quantize = graph.operators[:2]
    readers = [each for each in graph.operators if cast.outputs[0] in each.inputs]
    if names != ["CAST", "QUANTIZE"] or readers != [quantize]:
        return content
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [1.0], [0]
    graph.tensors[cast.inputs[0]].quantization = quantization
    quantize.inputs = cast.inputs
    del graph.operators[0]
    return _pack(model)


# --- checks ------------------------------------------------------------------------------------


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

    Raises
    ------
    InputError
        If it cannot be parsed.
    """
    try:
        model = _parse(content)
        graph = model.subgraphs[0]
        names = [_name(model, operator) for operator in graph.operators]
        floats = [
            name
            for name, operator in zip(names, graph.operators, strict=True)
            if name not in ("DEQUANTIZE", "SOFTMAX")
            and any(_dtype(graph.tensors[index]) == "float32" for index in operator.outputs)
        ]
        return Description(
            _tensor(graph.tensors[graph.inputs[0]]),
            _tensor(graph.tensors[graph.outputs[0]]),
            dict(sorted(Counter(names).items())),
            floats,
        )
    except (IndexError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise InputError(f"not a TFLite model ({type(error).__name__}: {error})") from None


def _tensor(tensor: Any) -> dict[str, Any]:
    quantization = tensor.quantization
    quantised = quantization is not None and quantization.scale is not None
    return {
        "name": tensor.name.decode(),
        "shape": [int(side) for side in tensor.shape],
        "dtype": _dtype(tensor),
        "scale": float(quantization.scale[0]) if quantised else None,
        "zero_point": int(quantization.zeroPoint[0]) if quantised else None,
    }


def check_structure(content: bytes, precision: str, model: keras.Model) -> Description:
    """Check everything about a file that can be seen without running it.

    Parameters
    ----------
    content : bytes
    precision : str
    model : keras.Model
        What was converted, from `rewrite`.

    Raises
    ------
    InputError
        Saying what is wrong: size, operators, shape, dtype or scale.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r}: choose from {', '.join(PRECISIONS)}")
    found = describe(content)
    problems = []
    for name in found.ops:
        if name in _STATEFUL:
            problems.append(f"{name}: its weights are variables, which the file does not hold")
        elif name.startswith(("CUSTOM", "UNKNOWN")):
            problems.append(f"{name}: not a built-in operator, a device could not run it")
    smallest, largest = _expected_bytes(model, precision, sum(found.ops.values()))
    if not smallest <= len(content) <= largest:
        problems.append(
            f"{len(content)} bytes, where {model.count_params()} parameters in {precision} "
            f"take {smallest} to {largest}"
        )
    image = {"shape": [1, *model.inputs[0].shape[1:]], "dtype": "uint8"}
    image["scale"], image["zero_point"] = (1.0, 0) if precision == "int8" else (None, None)
    probabilities = {"shape": [1, model.outputs[0].shape[-1]], "dtype": "float32"}
    probabilities["scale"] = probabilities["zero_point"] = None
    for tensor, wanted, side in (
        (found.input, image, "input"), (found.output, probabilities, "output"),
    ):  # fmt: skip
        got = {key: tensor[key] for key in wanted}
        if got != wanted:
            problems.append(f"{side} is {got}, not {wanted}")
    if precision == "int8" and found.float_ops:
        problems.append(f"computes in float32: {', '.join(sorted(set(found.float_ops)))}")
    if problems:
        raise InputError("; ".join(problems))
    return found


def _expected_bytes(model: keras.Model, precision: str, operators: int) -> tuple[int, int]:
    """Smallest and largest plausible size of a file: parameters times bytes, and some more."""
    kernels = [int(np.prod(each.shape)) for each in model.weights if len(each.shape) > 1]
    others = model.count_params() - sum(kernels)
    width = WEIGHT_BYTES[precision]
    smallest = 0.95 * width * sum(kernels)
    largest = 4 * others + sum(
        size * (4 if precision == "dynamic" and size < _DYNAMIC_SMALLEST else width)
        for size in kernels
    )
    # Names, shapes and the scales of every channel.
    return int(smallest), int(1.15 * largest + 2048 * operators + 32768)


def run(content: bytes, pixels: np.ndarray, threads: int = 1) -> np.ndarray:
    """Run a file on images, one at a time.

    LiteRT runs it where it is installed, else the copy of it inside TensorFlow.

    Parameters
    ----------
    content : bytes
    pixels : ndarray, uint8, (N, S, S, 3), RGB
    threads : int

    Returns
    -------
    ndarray, float32, (N, K)

    Raises
    ------
    InputError
        If it does not run, or an output is not finite or no probability.
    """
    try:
        interpreter = _interpreter(content, threads)
        image = interpreter.get_input_details()[0]["index"]
        result = interpreter.get_output_details()[0]["index"]
        outputs = []
        for each in pixels:
            interpreter.set_tensor(image, each[None])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(result)[0])
    except (RuntimeError, ValueError) as error:
        raise InputError(f"does not run: {str(error).splitlines()[0]}") from None
    outputs = np.stack(outputs)
    _check_probabilities(outputs)
    return outputs


def _check_probabilities(outputs: np.ndarray) -> None:
    if not np.isfinite(outputs).all():
        bad = int((~np.isfinite(outputs).all(axis=1)).sum())
        raise InputError(f"the output is not finite for {bad} of {len(outputs)} images")
    if (outputs < 0).any() or np.abs(outputs.sum(axis=1) - 1).max() > 1e-3:
        raise InputError("the outputs are not probabilities (sum 1, none negative)")


def _interpreter(content: bytes, threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter
    with warnings.catch_warnings(), backend.no_stderr():
        warnings.simplefilter("ignore")  # that the class moves to LiteRT
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


def agreement(
    reference: np.ndarray, outputs: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Compare a file's probabilities with those of the Keras model.

    Parameters
    ----------
    reference, outputs : ndarray, float, (N, K)
        Probabilities of the Keras model and of the file.
    names : sequence of str, optional
        What each row was; by default its number.

    Returns
    -------
    dict
        `n`; `k`, how often the top class is the same; `top1`, k / n; `interval`, Clopper-Pearson,
        95 %; `mean_logit_error` and `max_logit_error` over all classes, logits being taken without
        their mean; `max_abs_probability_error`; `disagreements`, each with its name, both rows of
        probabilities and `float_margin`, by how much the reference's first class leads its second.
    """
    reference, outputs = np.float64(reference), np.float64(outputs)
    same = reference.argmax(axis=1) == outputs.argmax(axis=1)
    error = np.abs(_logits(reference) - _logits(outputs))
    ordered = np.sort(reference, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    n, k = len(same), int(same.sum())
    return {
        "n": n,
        "k": k,
        "top1": k / n,
        "interval": list(metrics.clopper_pearson(k, n)),
        "mean_logit_error": float(error.mean()),
        "max_logit_error": float(error.max()),
        "max_abs_probability_error": float(np.abs(reference - outputs).max()),
        "disagreements": [
            {
                "image": str(i) if names is None else names[i],
                "float_margin": float(margins[i]),
                "float": reference[i].tolist(),
                "file": outputs[i].tolist(),
            }
            for i in np.flatnonzero(~same)
        ],
    }


def _logits(probabilities: np.ndarray) -> np.ndarray:
    logits = np.log(np.maximum(probabilities, 1e-30))
    return logits - logits.mean(axis=1, keepdims=True)


def check_agreement(found: Mapping[str, Any], precision: str) -> None:
    """Refuse a file that differs too much from the Keras model.

    Raises
    ------
    InputError
        With the numbers and the limit.
    """
    limit = PROBABILITY_LIMIT.get(precision)
    error = found["max_abs_probability_error"]
    if limit is not None and error > limit:
        raise InputError(f"a probability differs by {error:.2g} from Keras' (limit {limit:g})")
    if found["interval"][1] < TOP1_LIMIT:
        raise InputError(
            f"agrees with the Keras model on {found['k']} of {found['n']} images only "
            f"(limit {TOP1_LIMIT:g}, the interval ends at {found['interval'][1]:.4f})"
        )


# --- exporting ---------------------------------------------------------------------------------


@dataclass
class Candidate:
    """A converted file that passed its checks."""

    converter: str
    content: bytes = field(repr=False)
    description: Description
    agreement: dict[str, Any]

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: top-1 agreement, then the logit error."""
        return self.agreement["top1"], -self.agreement["mean_logit_error"]


def export(
    model: keras.Model,
    out: str | Path,
    *,
    calibration: np.ndarray,
    heldout: np.ndarray,
    precisions: Sequence[str] = PRECISIONS,
    converters: Sequence[str] = tuple(CONVERTERS),
    heldout_names: Sequence[str] | None = None,
    facts: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Write ``model-<precision>.tflite`` and ``export.json``, all of them or, on a failure, none.

    Where both converters can make a file, the one is kept that agrees better with the Keras model
    on the held-out images.

    Parameters
    ----------
    model : keras.Model
        From raw RGB pixels (None, S, S, 3) in [0, 255] to probabilities (None, K).
    out : path
        A folder. Files of an earlier export in it are replaced.
    calibration : ndarray, uint8, (N, S, S, 3), RGB
        Training images only.
    heldout : ndarray, uint8, (M, S, S, 3), RGB
        Images that were not trained on; they measure the agreement.
    precisions : sequence of str
        From `PRECISIONS`.
    converters : sequence of str
        From `CONVERTERS`; one that is not installed is passed over, and `export.json` says so.
    heldout_names : sequence of str, optional
        Names of the held-out images, for the list of disagreements.
    facts : mapping, optional
        What else `export.json` shall hold (classes, licence, run).
    threads : int
        Threads for running the files.

    Returns
    -------
    dict
        What `export.json` holds.

    Raises
    ------
    InputError
        If the backend is not TensorFlow, the images do not fit the model, the model's own output
        is not finite, or a file fails its checks; nothing is written then.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InputError("TFLite files are made by TensorFlow: unset KERAS_BACKEND for the export")
    for name in precisions:
        if name not in PRECISIONS:
            raise InputError(f"precision {name!r}: choose from {', '.join(PRECISIONS)}")
    shape = tuple(model.inputs[0].shape[1:])
    for name, images in (("calibration", calibration), ("held-out", heldout)):
        if not len(images) or images.shape[1:] != shape or images.dtype != np.uint8:
            raise InputError(
                f"{name} images are {images.dtype} {images.shape}, the model takes uint8 "
                f"{('N', *shape)}"
            )
    reference = np.asarray(model.predict(heldout, batch_size=16, verbose=0))
    try:
        _check_probabilities(reference)
    except InputError as error:
        raise InputError(f"the Keras model itself: {error}; train it again") from None

    folded = rewrite(model)
    files, contents, refusals = [], {}, []
    for precision in precisions:
        passed, tried = [], []
        for converter in _converters(precision, converters):
            try:
                candidate = _convert(
                    converter, folded, precision, calibration, heldout, reference,
                    heldout_names, threads,
                )  # fmt: skip
            except InputError as error:
                tried.append({"converter": converter, "problem": str(error)})
                continue
            passed.append(candidate)
            tried.append({"converter": converter, "problem": None} | _numbers(candidate))
        if not passed:
            refusals += [f"{precision}, {each['converter']}: {each['problem']}" for each in tried]
            continue
        best = max(passed, key=lambda candidate: candidate.rank)
        name = f"model-{precision}.tflite"
        contents[name] = best.content
        files.append(
            {
                "file": name,
                "precision": precision,
                "sha256": hashlib.sha256(best.content).hexdigest(),
                "bytes": len(best.content),
                "input": best.description.input,
                "output": best.description.output,
                "ops": best.description.ops,
                "converter": {"name": best.converter, "tried": tried},
                "agreement": best.agreement,
            }
        )
    if refusals:
        raise InputError("nothing written, files failed their checks:\n" + "\n".join(refusals))
    record = {
        "schema": SCHEMA,
        "notice": NOTICE,
        "network": model.name,
        "parameters": model.count_params(),
        "image_size": shape[0],
        **(facts or {}),
        "calibration": {
            "count": len(calibration),
            "part": "train",
            "sha256": hashlib.sha256(np.ascontiguousarray(calibration)).hexdigest(),
        },
        "versions": versions(),
        "files": files,
    }
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with runs.atomic_path(out / name) as temporary:
            temporary.write_bytes(content)
    for precision in set(PRECISIONS) - set(precisions):  # of an earlier model, perhaps
        (out / f"model-{precision}.tflite").unlink(missing_ok=True)
    runs.write_json(out / "export.json", record)
    return record


def _converters(precision: str, wanted: Sequence[str]) -> list[str]:
    """Converters for a precision; float files need no quantizer."""
    if precision in ("float32", "float16"):
        return ["tensorflow"]
    return list(wanted)


def _convert(
    converter: str,
    model: keras.Model,
    precision: str,
    calibration: np.ndarray,
    heldout: np.ndarray,
    reference: np.ndarray,
    names: Sequence[str] | None,
    threads: int,
) -> Candidate:
    """Convert and check; InputError says why there is no such file."""
    try:
        content = CONVERTERS[converter](model, precision, calibration)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed (pip install histopapers[edge-quantizer])"
        ) from None
    except Exception as error:  # what a converter raises is its result: the other one may manage
        text = str(error).strip().splitlines() or [""]
        raise InputError(f"{type(error).__name__}: {text[0]}") from error
    found = check_structure(content, precision, model)
    agrees = agreement(reference, run(content, heldout, threads), names)
    check_agreement(agrees, precision)
    return Candidate(converter, content, found, agrees)


def _numbers(candidate: Candidate) -> dict[str, Any]:
    keys = ("top1", "mean_logit_error", "max_logit_error", "max_abs_probability_error")
    return {"bytes": len(candidate.content)} | {key: candidate.agreement[key] for key in keys}


def versions() -> dict[str, str]:
    """Versions of what converted and what ran the files."""
    found = {}
    for name in ("tensorflow", "keras", "ai-edge-quantizer", "ai-edge-litert"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def table(record: Mapping[str, Any]) -> str:
    """Lay out an export for a terminal: sizes, agreement, errors, and every disagreement."""
    from common.evaluation import aligned

    rows = [
        ["file", "bytes", "same top class", "95 % interval", "logit error", "at most",
         "probability", "converter"]
    ]  # fmt: skip
    notes = []
    for each in record["files"]:
        found = each["agreement"]
        low, high = found["interval"]
        rows.append(
            [
                each["file"],
                f"{each['bytes']:,}",
                f"{found['k']}/{found['n']}",
                f"{low:.4f} to {high:.4f}",
                f"{found['mean_logit_error']:.4f}",
                f"{found['max_logit_error']:.4f}",
                f"{found['max_abs_probability_error']:.4f}",
                each["converter"]["name"],
            ]
        )
        notes += [
            f"{each['file']} differs on {other['image']}: float margin {other['float_margin']:.3f}"
            for other in found["disagreements"]
        ]
        for other in each["converter"]["tried"]:
            if other["problem"]:
                notes.append(f"{each['file']} not by {other['converter']}: {other['problem']}")
            elif other["converter"] != each["converter"]["name"]:
                notes.append(
                    f"{each['file']} by {other['converter']}: top-1 {other['top1']:.4f}, logit "
                    f"error {other['mean_logit_error']:.4f}, at most {other['max_logit_error']:.4f}"
                )
    return "\n".join([*aligned(rows), *notes])


# --- runs --------------------------------------------------------------------------------------


def symmetries(pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Name and pixels of the eight flips and rotations of images (N, S, S, 3), none first."""
    for flip, turns in itertools.product((False, True), range(4)):
        turned = np.rot90(pixels[:, :, ::-1] if flip else pixels, turns, axes=(1, 2))
        name = " ".join(["flipped"] * flip + [f"turned {90 * turns}"] * bool(turns))
        yield name, np.ascontiguousarray(turned)


def export_run(
    run: runs.Run,
    data_dir: Path,
    out: Path,
    *,
    calibration: int = CALIBRATION_IMAGES,
    heldout: int = HELDOUT_IMAGES,
    **options: Any,
) -> dict[str, Any]:
    """Export a finished run of any package; its own training images calibrate.

    Parameters
    ----------
    run : Run
    data_dir : path
        The folder the run's `split.csv` names its images in.
    out : path
    calibration : int
        Images of the run's training part, evenly over the classes' folders.
    heldout : int
        Images to compare: of the test part, then of the validation part, then flips and rotations
        of them.
    **options
        For `export`.
    """
    import pandas as pd

    from common import prediction

    split = pd.read_csv(run.path / "split.csv", dtype=str, keep_default_na=False)
    train = _some(split.image[split.part == "train"], calibration)
    held = pd.concat([split.image[split.part == part] for part in ("test", "validation")])
    held = _some(held, heldout)
    if not len(train) or not len(held):
        raise InputError(f"{run.path / 'split.csv'}: has no training or no held-out images")
    pixels = prediction.read(run, [data_dir / image for image in [*train, *held]])
    originals = pixels[len(train) :]
    names, images = [], []
    for name, turned in symmetries(originals):
        names += [f"{image} {name}".strip() for image in held]
        images.append(turned)
        if len(names) >= heldout:
            break
    return export(
        runs.load_model(run),
        out,
        calibration=pixels[: len(train)],
        heldout=np.concatenate(images)[:heldout],
        heldout_names=names[:heldout],
        facts=_facts(run),
        **options,
    )


def _some(images: pd.Series, count: int) -> list[str]:
    """At most `count` images, evenly along the sorted names, which are sorted by class."""
    images = sorted(images)
    if len(images) <= count:
        return images
    return [images[i] for i in np.linspace(0, len(images) - 1, count).round().astype(int)]


def _facts(run: runs.Run) -> dict[str, Any]:
    record = run.record
    classes, positive = record["classes"], record["positive"]
    return {
        "run_id": record["run_id"],
        "package": record["package"],
        "preset": record["preset"],
        "dataset": record["dataset"],
        "licence": record["licence"],
        "synthetic": run.synthetic,
        "classes": classes,
        "positive": positive,
        "threshold": 0.5 if len(classes) == 2 and positive else None,
        "resize_filter": run.config["resize_filter"],
        "stain_normalised": record.get("stain_normalizer") is not None,
    }


def _data_dir(run: runs.Run, given: Path | None) -> Path:
    if given is not None:
        return given
    if run.synthetic:  # where --demo puts its images
        return run.path.parents[1] / "demo-data" / run.record["dataset"]
    if os.environ.get("HISTOPAPERS_DATA"):
        return Path(os.environ["HISTOPAPERS_DATA"])
    raise InputError(
        f"{run.path}: the export calibrates on the run's training images: give the data set's "
        "folder with --data-dir, or set HISTOPAPERS_DATA"
    )


def main(package: str | None = None, arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m PKG.export``, and of ``python -m common.export`` for any run."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {package or 'common'}.export",
        description="Write a run's model as TFLite files: uint8 pixels in, float32 probabilities "
        f"out. Files that fail their checks are not written. {NOTICE}",
    )
    parser.add_argument("--run", required=True, type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="default: all"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: RUN/export")
    parser.add_argument("--data-dir", type=Path, metavar="D", help="the data set's folder")
    parser.add_argument(
        "--converter", choices=tuple(CONVERTERS), help="default: the one that agrees better"
    )
    parser.add_argument(
        "--calibration", type=int, default=CALIBRATION_IMAGES, metavar="N",
        help=f"training images to calibrate on (default: {CALIBRATION_IMAGES})",
    )  # fmt: skip
    parser.add_argument(
        "--heldout", type=int, default=HELDOUT_IMAGES, metavar="N",
        help="held-out images to compare on, with their flips and rotations where there are "
        f"fewer (default: {HELDOUT_IMAGES})",
    )  # fmt: skip
    flags = parser.parse_args(arguments)
    for name in ("calibration", "heldout"):
        if getattr(flags, name) < 1:
            raise InputError(f"--{name} {getattr(flags, name)}: give at least 1")
    run = runs.load(flags.run, package)
    if not run.finished:
        raise InputError(f"{run.path}: the training has not finished; run its command again")
    data_dir = _data_dir(run, flags.data_dir)
    out = flags.out or run.path / "export"
    backend.load()
    record = export_run(
        run,
        data_dir,
        out,
        calibration=flags.calibration,
        heldout=flags.heldout,
        precisions=flags.precision,
        converters=[flags.converter] if flags.converter else tuple(CONVERTERS),
        threads=os.cpu_count() or 1,
    )
    if run.synthetic:
        print("SYNTHETIC: this model was trained on synthetic tissue and means nothing elsewhere.")
    print(table(record))
    print(f"\nwritten to {out}")
    print(f"{NOTICE} Data set: {record['dataset']}, {record['licence']}.")
    return 0


if __name__ == "__main__":
    errors.main(main)
