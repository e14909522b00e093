"""Turn a rewritten Keras model into the bytes of a .tflite file, with either converter."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from common import backend
from common.errors import InputError
from common.export import flatbuffer

if TYPE_CHECKING:
    import keras

PRECISIONS = ("float32", "float16", "dynamic", "int8")
# Values of a tensor, over all calibration images, from which its range is chosen.
_RANGE_VALUES = 100_000


def _trace(model: keras.Model, dtype: str, shape: tuple[int, ...]) -> Any:
    """Graph of a model for one image of a shape, its weights constants in it.

    A graph with variables would be converted into a small file without weights.
    """
    import tensorflow as tf

    trainable = [np.asarray(variable) for variable in model.trainable_variables]
    others = [np.asarray(variable) for variable in model.non_trainable_variables]

    def graph(image: tf.Tensor) -> tf.Tensor:
        if dtype == "uint8":
            image = tf.cast(image, tf.float32)
        else:  # int8 files: this makes the scale of the input exactly 1, its zero point 0
            image = tf.quantization.fake_quant_with_min_max_args(image, 0.0, 255.0)
        return model.stateless_call(trainable, others, image, training=False)[0]

    signature = tf.TensorSpec((1, *shape), dtype, name="image")
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

    Returns
    -------
    bytes
        Of a .tflite file.
    """
    import tensorflow as tf

    dtype = "float32" if precision == "int8" else "uint8"
    graph = _trace(model, dtype, calibration.shape[1:])
    with warnings.catch_warnings():
        # "Statistics for quantized inputs were expected": they come from the calibration images.
        warnings.simplefilter("ignore")
        with backend.without_greetings():
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
        with backend.without_greetings():
            content = converter.convert()
    return flatbuffer.float_softmax(content) if precision == "int8" else content


def with_quantizer(model: keras.Model, precision: str, calibration: np.ndarray) -> bytes:
    """Convert to float32 with TensorFlow, then quantise with ai-edge-quantizer.

    The ranges are those of `best_range`, not the quantizer's moving averages.

    Parameters
    ----------
    model : keras.Model
        From `rewrite`.
    precision : {"dynamic", "int8"}
        What the quantizer can make.
    calibration : ndarray, uint8, (N, S, S, 3), RGB
        Training images, from which int8 learns the range of every tensor.

    Returns
    -------
    bytes
        Of a .tflite file.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    content = with_tensorflow(model, "float32", calibration)
    work = quantizer.Quantizer(content)
    if precision == "dynamic":
        work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
        with backend.without_greetings():
            return bytes(work.quantize(enable_progress_report=False).quantized_model)
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    for name in ("SOFTMAX", "OUTPUT"):
        kind = qtyping.TFLOperationName[name]
        work.update_quantization_recipe(".*", kind, algorithm_key="no_quantize")
    ranges = _ranges(content, calibration)
    with backend.without_greetings():
        result = work.quantize(ranges, enable_progress_report=False)
    return flatbuffer.quantised_input(bytes(result.quantized_model))


CONVERTERS: dict[str, Callable[[keras.Model, str, np.ndarray], bytes]] = {
    "tensorflow": with_tensorflow,
    "ai-edge-quantizer": with_quantizer,
}


def require(converter: str) -> None:
    """Make sure that a converter is installed.

    Parameters
    ----------
    converter : str
        A key of `CONVERTERS`.

    Raises
    ------
    InputError
        If it is not, with what installs it.
    """
    module = converter.replace("-", "_")
    if CONVERTERS[converter] is with_quantizer and importlib.util.find_spec(module) is None:
        raise not_installed(module)


def not_installed(module: str | None) -> InputError:
    """Error that a module is missing which a converter needs; to be raised.

    Parameters
    ----------
    module : str
    """
    return InputError(f"{module} is not installed (pip install 'histopapers[edge-quantizer]')")


def _ranges(content: bytes, calibration: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Range of every tensor that an operator makes, in the quantizer's form; see `best_range`."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = flatbuffer.parse(content).subgraphs[0]
    computed = [index for operator in graph.operators for index in operator.outputs]
    with warnings.catch_warnings(), backend.without_greetings():
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
