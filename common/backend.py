"""Load Keras and its backend, quietly and as this project needs it, or say what is missing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from common import terminal
from common.errors import InputError

BACKENDS = ("tensorflow", "jax")
"""Backends of Keras on which everything here but TFLite export runs."""


def load() -> str:
    """Import Keras with the backend that KERAS_BACKEND names; unset means TensorFlow.

    What Keras' own settings file (``keras.json``) or a notebook has set otherwise is set back, and
    said: images are NHWC and weights float32, whatever the file says, and the backend is never
    taken from it.

    Returns
    -------
    backend : str
        "tensorflow" or "jax".

    Raises
    ------
    InputError
        If the backend is not installed, or is none on which this project runs.
    """
    wanted = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if wanted not in BACKENDS:
        raise InputError(
            f"KERAS_BACKEND={wanted}: this project runs on {' and '.join(BACKENDS)}; unset it, or "
            "set it to one of these"
        )
    # TensorFlow greets every process with pages about oneDNN and missing GPUs. Users who want to
    # read them set the variable themselves.
    silent = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    try:
        with no_stderr() if silent else contextlib.nullcontext():
            import keras
    except ImportError as error:
        other = "tensorflow" if wanted == "jax" else "jax"
        raise InputError(
            f"the Keras backend {wanted} cannot be imported ({error}); install it, or use another: "
            f"pip install {other} and set KERAS_BACKEND={other}"
        ) from None
    if keras.config.image_data_format() != "channels_last":
        terminal.line("Keras was set to channels_first; images are NHWC here: set back")
        keras.config.set_image_data_format("channels_last")
    if keras.config.floatx() != "float32":
        terminal.line(f"Keras was set to {keras.config.floatx()}; weights are float32: set back")
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    return keras.backend.backend()


def cores() -> int:
    """Processor cores that this process may use; kernels divide their sums among them."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


@contextlib.contextmanager
def no_stderr() -> Iterator[None]:
    """Keep what C++ code writes to the error stream before its logging is set up."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as null:  # noqa: PTH123 - a descriptor is needed
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
