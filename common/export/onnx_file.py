"""A model as an ONNX file, held to the Keras model's outputs by onnxruntime."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from common import terminal
from common.errors import InputError, first_line
from common.export import checks, preparing

if TYPE_CHECKING:
    import keras

FILE = "model.onnx"

OPSET = 17
"""Of the operators: onnxruntime knows it since 1.13, of 2022."""

MARGIN = 1e-4
"""By which a probability may differ: both compute in float32, in another order."""

_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def make(
    model: keras.Model, heldout: np.ndarray, names: Sequence[str] | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Make ``model.onnx``: uint8 pixels in, float32 probabilities out, any number of images.

    Parameters
    ----------
    model : keras.Model
        From raw RGB pixels (None, S, S, 3) in [0, 255] to probabilities (None, K), in float32.
    heldout : ndarray, uint8, (M, S, S, 3), RGB
        Images on which it has to agree with the Keras model.
    names : sequence of str, optional
        Of the images.

    Returns
    -------
    content : bytes
        The file's.
    record : dict
        What `export.json` says of it.

    Raises
    ------
    InputError
        If a package is missing, the model cannot be converted, or its outputs are others.
    """
    content = _converted(model, heldout.shape[1:])
    outputs = _run(content, heldout)
    agreement = checks.agreement(preparing.predict(model, heldout), outputs, names)
    error = agreement["max_abs_probability_error"]
    if not error <= MARGIN:
        raise InputError(
            f"a probability differs by {error:.2g} from the Keras model's, at most {MARGIN:g} may"
        )
    return content, {
        "file": FILE,
        "opset": OPSET,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "agreement": agreement,
    }


def line(record: dict[str, Any]) -> str:
    """Say what was written.

    Parameters
    ----------
    record : dict
        From `write`.

    Returns
    -------
    str
    """
    found = record["agreement"]
    return (
        f"{record['file']}: {record['bytes']:,} bytes, opset {record['opset']}; same top class on "
        f"{found['k']} of {found['n']} held-out images, probabilities differ by at most "
        f"{found['max_abs_probability_error']:.1g}"
    )


def _converted(model: keras.Model, shape: Sequence[int]) -> bytes:
    with _packages():
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import tf2onnx
    import tensorflow as tf

    terminal.line("ONNX: converting with tf2onnx")

    def probabilities(images: Any) -> Any:
        return model(tf.cast(images, tf.float32), training=False)

    signature = [tf.TensorSpec((None, *shape), tf.uint8, name="images")]
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    eagerly = tf.config.functions_run_eagerly()
    try:
        # Functions inside are traced as their parts: Keras hides grouped convolutions in one.
        tf.config.run_functions_eagerly(True)
        convert = functools.partial(
            tf2onnx.convert.from_function,
            tf.function(probabilities),
            input_signature=signature,
            opset=OPSET,
            custom_op_handlers={"Erfc": (_erfc, [])},
        )
        try:
            with _without_copies():
                made, _ = convert()
        except Exception:  # maybe of a pass that may be left out
            made, _ = convert()
        return bytes(made.SerializeToString())
    except Exception as error:  # whatever a converter raises is its answer
        raise InputError(first_line(error)) from error
    finally:
        tf.config.run_functions_eagerly(eagerly)


@contextlib.contextmanager
def _without_copies() -> Iterator[None]:
    """Let tf2onnx work in place.

    Otherwise it copies the network before each of some twenty passes, in order to go on without one
    that fails, and the copies stay for long: 10 GiB for 43 M parameters. And each pass writes every
    weight into its node's message once more, which gives no memory back while it is there: 8 GiB
    for 28 M parameters. So a node gets a new message.
    """
    from tf2onnx.graph import Node

    update = Node.update_proto

    def anew(node: Any, *arguments: Any) -> None:
        before = node._op
        before.ClearField("attribute")  # which is written from what the node knows
        node._op = type(before)()
        node._op.CopyFrom(before)
        update(node, *arguments)

    name = "TF2ONNX_CATCH_ERRORS"  # it looks whether this is there, and at nothing else
    kept = os.environ.get(name)
    os.environ[name] = "FALSE"
    Node.update_proto = anew
    try:
        yield
    finally:
        Node.update_proto = update
        del os.environ[name]
        if kept is not None:
            os.environ[name] = kept


def _erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Write erfc(x), of GELU, which ONNX lacks, as 1 - erf(x)."""
    kind, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
    source = graph.make_node("Erf", list(node.input)).output[0]
    one = graph.make_const(f"{name}_one", np.array(1, np.float32)).output[0]
    graph.remove_node(node.name)
    graph.make_node(
        "Sub", [one, source], name=name, outputs=node.output, shapes=[shape], dtypes=[kind]
    )


def _run(content: bytes, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        feed = session.get_inputs()[0].name
        found = [session.run(None, {feed: batch})[0] for batch in np.array_split(
            images, max(1, len(images) // 16))]  # fmt: skip
    except Exception as error:  # onnxruntime has no common class of its errors
        raise InputError(f"onnxruntime refuses it: {error}") from error
    return np.concatenate(found)


@contextlib.contextmanager
def _packages() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed; an ONNX file needs pip install 'histopapers[onnx]'"
        ) from None
