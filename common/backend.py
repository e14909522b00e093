"""Load Keras and its backend, quietly, or say what is missing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from common.errors import InputError


def load() -> str:
    """Import Keras with the backend that KERAS_BACKEND names; unset means TensorFlow.

    Returns
    -------
    backend : str
        "tensorflow" or "jax".

    Raises
    ------
    InputError
        If the backend is not installed.
    """
    # TensorFlow greets every process with pages about oneDNN and missing GPUs. Users who want to
    # read them set the variable themselves.
    silent = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    try:
        with no_stderr() if silent else contextlib.nullcontext():
            import keras
    except ImportError as error:
        wanted = os.environ.get("KERAS_BACKEND", "tensorflow")
        other = "tensorflow" if wanted == "jax" else "jax"
        raise InputError(
            f"the Keras backend {wanted} cannot be imported ({error}); install it, or use another: "
            f"pip install {other} and set KERAS_BACKEND={other}"
        ) from None
    return keras.backend.backend()


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
