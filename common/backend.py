"""Load Keras and its backend, quietly and as we need it, or say what is missing.

``from common.backend import keras`` is how modules import it: whichever is first loads it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from common import terminal
from common.errors import InputError

if TYPE_CHECKING:
    import keras as keras
    from keras import layers as layers
    from keras import ops as ops
    from keras import tree as tree

BACKENDS = ("tensorflow", "jax")
"""Backends of Keras on which everything here but TFLite export runs."""

_EPSILON = 1e-7  # Keras' own

# What C++ code says at every start, and what nobody can do anything about. TensorFlow prints it
# before it reads TF_CPP_MIN_LOG_LEVEL.
_GREETINGS = re.compile(
    rb"All log messages before absl::InitializeLog"
    rb"|oneDNN custom operations are on"
    rb"|Could not find cuda drivers on your machine"
    rb"|This TensorFlow binary is optimized to use available CPU instructions"
    rb"|^To enable the following instructions: .* rebuild TensorFlow"
    rb"|failed call to cuInit: .*(UNKNOWN ERROR \(303\)|NO_DEVICE|no CUDA-capable device)"
    rb"|cuda_diagnostics\.cc:\d+\]"
    rb"|Unable to register cu(FFT|DNN|BLAS) factory: .* already been registered"
    rb"|computation placer already registered"
    rb"|Could not find TensorRT"
    rb"|Memory patch applied: M_TRIM_THRESHOLD"
    # Of a conversion to TFLite and of its interpreter.
    rb"|tf_tfl_flatbuffer_helpers\.cc:\d+\] Ignored (output_format|drop_control_dependency)"
    rb"|Created TensorFlow Lite XNNPACK delegate"
    rb"|^fully_quantize: \d+, inference_type: "
)


def __getattr__(name: str) -> Any:
    """Load Keras when it, or a part of it, is asked for: ``from common.backend import keras``."""
    if name in ("keras", "layers", "ops", "tree"):
        load()
        loaded = sys.modules["keras"]
        return loaded if name == "keras" else getattr(loaded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load() -> str:
    """Import Keras with the backend that KERAS_BACKEND names; unset means TensorFlow.

    What Keras' own settings file (``keras.json``) or a notebook has set otherwise is set back, and
    said: images are NHWC, weights float32 and epsilon 1e-7, whatever the file says, and the
    backend is never taken from it.

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
    try:
        with contextlib.nullcontext() if "keras" in sys.modules else without_greetings():
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
    policy = keras.config.dtype_policy()
    if policy.variable_dtype != "float32":
        terminal.line(f"Keras' policy was {policy.name}; weights are float32: set back")
        keras.config.set_dtype_policy("float32")
    if keras.config.epsilon() != _EPSILON:  # losses clip probabilities by it
        terminal.line(f"Keras' epsilon was {keras.config.epsilon()}; it is {_EPSILON}: set back")
        keras.config.set_epsilon(_EPSILON)
    return keras.backend.backend()


def cores() -> int:
    """Processor cores that this process may use; kernels divide their sums among them."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


@contextlib.contextmanager
def without_greetings() -> Iterator[None]:
    """Leave out of the error stream what TensorFlow's C++ code says at every start.

    All else is passed on, also what is said just before the process aborts. Whoever sets
    TF_CPP_MIN_LOG_LEVEL below 3 wants to read it. Unset, it is set to 3: what TensorFlow logs later
    as an error is none, or is raised too (that a graph could not be made faster; that a machine
    without a GPU has none).
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3" or not hasattr(os, "fork"):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Of threads: the child takes no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(writing)
        _pass_on(reading, kept)
    os.close(reading)
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.waitpid(child, 0)


def _pass_on(reading: int, target: int) -> None:
    """Copy lines until nobody writes any more, but for greetings; ends the process."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the other process, then this
        rest = b""
        while data := os.read(reading, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if not _GREETINGS.search(line):
                    os.write(target, line + b"\n")
        if rest and not _GREETINGS.search(rest):
            os.write(target, rest)
    finally:
        os._exit(0)
