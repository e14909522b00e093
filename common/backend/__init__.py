"""Load Keras and its backend, quietly and as we need it, or say what is missing.

``from common.backend import keras`` is how modules import it: whichever is first loads it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, cast

from common import terminal
from common.backend import greetings
from common.errors import InputError

if TYPE_CHECKING:
    import keras as keras
    from keras import layers as layers
    from keras import ops as ops
    from keras import tree as tree

BACKENDS = ("tensorflow", "jax")
"""Backends of Keras on which everything here but TFLite export runs."""

_HINTS = ("triggered tf.function retracing", "providing the trackable_obj argument")

_EPSILON = 1e-7  # Keras' own


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
        if "keras" in sys.modules:
            import keras
        else:
            with without_greetings(), _uncollected():
                import keras
    except ImportError as error:
        other = "tensorflow" if wanted == "jax" else "jax"
        raise InputError(
            f"the Keras backend {wanted} cannot be imported ({error}); install it, or use another: "
            f"pip install {other} and set KERAS_BACKEND={other}"
        ) from None
    for name in ("absl", "tensorflow"):  # absl's exists only now, with a class of its own
        logging.getLogger(name).addFilter(_is_no_hint)
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


def _is_no_hint(record: logging.LogRecord) -> bool:
    """Whether TensorFlow says more than how our code could be written."""
    return not any(hint in str(record.msg) for hint in _HINTS)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Import without the garbage collector, and leave alone for good what is there afterwards.

    It would look through ever more modules again and again: a third of the processor time of
    TensorFlow's start, and a quarter of a second at each full collection afterwards.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


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
    asked = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3"
    embedded = not sys.executable or getattr(sys, "frozen", False)  # that is no Python to start
    if asked or embedded or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        passing = _passing_on(kept)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            os.dup2(kept, 2)
            passing.wait()
    finally:
        os.close(kept)


def _passing_on(target: int) -> subprocess.Popen[bytes]:
    """Lead descriptor 2 to a process that passes on what is no greeting."""
    # Not a fork, which is not safe beside threads, as a notebook has them. Without SIGINT: Ctrl-C
    # ends this process, and then that.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        passing = subprocess.Popen(
            [sys.executable, "-S", "-P", greetings.__file__], stdin=subprocess.PIPE, stdout=target
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with cast(IO[bytes], passing.stdin) as writing:
        os.dup2(writing.fileno(), 2)
    return passing
