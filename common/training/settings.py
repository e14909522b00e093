"""What is settled before the first step: seeds, the number format, the metric."""

from __future__ import annotations

from common.backend import keras


def set_seed(seed: int, *, deterministic: bool = True, mixed_precision: str = "off") -> None:
    """Seed Python, NumPy and the backend; choose deterministic kernels and the number format.

    Parameters
    ----------
    seed : int
        Of every random draw that takes no seed of its own.
    deterministic : bool
        The same command gives the same bytes. Free on a CPU, slower on a GPU.
    mixed_precision : {"off", "bfloat16", "float16"}
    """
    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_dtype_policy(
        "float32" if mixed_precision == "off" else f"mixed_{mixed_precision}"
    )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if deterministic:
            tf.config.experimental.enable_op_determinism()


def accuracy() -> keras.metrics.Metric:
    """Give the metric that `fit` asks for, as ``compile(metrics=[training.accuracy()])``.

    It is the one that the name "accuracy" stands for. Named alone, its variables are made in the
    first step, and TensorFlow then traces that step twice.

    Returns
    -------
    keras.metrics.Metric
        Not to be shared by two models.
    """
    return keras.metrics.CategoricalAccuracy(name="accuracy")
