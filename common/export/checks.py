"""What a .tflite file must pass before it is written: structure, outputs, agreement with Keras."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common import backend, metrics, terminal
from common.errors import InputError
from common.export.conversion import PRECISIONS
from common.export.flatbuffer import Description, describe
from common.predictions import predicted_classes

if TYPE_CHECKING:
    import keras

WEIGHT_BYTES = {"float32": 4, "float16": 2, "dynamic": 1, "int8": 1}
PROBABILITY_LIMIT = {"float32": 1e-3, "float16": 0.02}
"""Largest error of a probability; with 8 bits the top-1 agreement alone decides."""
TOP1_LIMIT = 0.985
"""A file whose agreement with the Keras model lies below this even at the upper end of its 95 %
interval is refused."""
_STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}
# TensorFlow leaves smaller weights as they are under dynamic-range quantisation.
_DYNAMIC_SMALLEST = 1024


def check_structure(content: bytes, precision: str, model: keras.Model) -> Description:
    """Check everything about a file that can be seen without running it.

    Parameters
    ----------
    content : bytes
        Of a .tflite file.
    precision : str
        One of `PRECISIONS`.
    model : keras.Model
        What was converted, from `rewrite`.

    Returns
    -------
    Description
        What the file says of itself.

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
    sides = itertools.zip_longest(model.inputs[0].shape[1:], found.input["shape"][1:])
    # A side that the model leaves open is that of the images.
    shape = [1, *(there if here is None else here for here, there in sides)]
    image: dict[str, Any] = {"shape": shape, "dtype": "uint8"}
    image["scale"], image["zero_point"] = (1.0, 0) if precision == "int8" else (None, None)
    probabilities: dict[str, Any] = {
        "shape": [1, model.outputs[0].shape[-1]],
        "dtype": "float32",
    }
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
        Of a .tflite file.
    pixels : ndarray, uint8, (N, S, S, 3), RGB
        At least one image.
    threads : int
        That the interpreter may use.

    Returns
    -------
    ndarray, float32, (N, K)
        Probabilities.

    Raises
    ------
    InputError
        If it does not run, or an output is not finite or no probability.
    """
    try:
        runner = interpreter(content, threads)
        image = runner.get_input_details()[0]["index"]
        result = runner.get_output_details()[0]["index"]
        outputs = []
        with terminal.progress("running it", len(pixels), "images", transient=True) as bar:
            for each in pixels:
                runner.set_tensor(image, each[None])
                runner.invoke()
                outputs.append(runner.get_tensor(result)[0])
                bar.advance()
    except (RuntimeError, ValueError) as error:
        raise InputError(f"does not run: {str(error).splitlines()[0]}") from None
    probabilities = np.stack(outputs)
    check_probabilities(probabilities)
    return probabilities


def check_probabilities(outputs: np.ndarray) -> None:
    """Refuse outputs that are not finite or no probabilities.

    Parameters
    ----------
    outputs : ndarray, float, (N, K)
        Of a network that ends in a softmax.

    Raises
    ------
    InputError
        Saying which of the two.
    """
    if not np.isfinite(outputs).all():
        bad = int((~np.isfinite(outputs).all(axis=1)).sum())
        raise InputError(f"the output is not finite for {bad} of {len(outputs)} images")
    if (outputs < 0).any() or np.abs(outputs.sum(axis=1) - 1).max() > 1e-3:
        raise InputError(
            "the outputs are not probabilities (sum 1, none negative); end the model in a softmax: "
            "keras.Model(model.inputs, keras.layers.Softmax()(model.outputs[0]))"
        )


def interpreter(content: bytes, threads: int = 1) -> Any:
    """Interpreter of a file, ready to run: LiteRT's, or the copy of it inside TensorFlow.

    Parameters
    ----------
    content : bytes
        Of a .tflite file.
    threads : int
        That it may use.

    Returns
    -------
    Interpreter
        With its tensors allocated.
    """
    with warnings.catch_warnings(), backend.without_greetings():
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            from tensorflow.lite.python.interpreter import Interpreter
        warnings.simplefilter("ignore")  # that the class moves to LiteRT
        made = Interpreter(model_content=content, num_threads=threads)
        made.allocate_tensors()
    return made


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
    reference = np.asarray(reference, dtype=np.float64)
    outputs = np.asarray(outputs, dtype=np.float64)
    same = predicted_classes(reference) == predicted_classes(outputs)
    error = np.abs(logits(reference) - logits(outputs))
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
            for i in np.flatnonzero(~same).tolist()
        ],
    }


def logits(probabilities: np.ndarray) -> np.ndarray:
    """Logits of probabilities, without their mean.

    Parameters
    ----------
    probabilities : ndarray, float, (N, K)
        Taken as 1e-30 at least.

    Returns
    -------
    ndarray, float, (N, K)
        Each row with mean 0.
    """
    logits = np.log(np.maximum(probabilities, 1e-30))
    return logits - logits.mean(axis=1, keepdims=True)


def check_agreement(found: Mapping[str, Any], precision: str) -> None:
    """Refuse a file that differs too much from the Keras model.

    Parameters
    ----------
    found : mapping
        From `agreement`.
    precision : str
        One of `PRECISIONS`; float files have a limit on every probability, too.

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
