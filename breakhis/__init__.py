"""Benign or malignant, or the tumour type, from BreakHis images of all magnifications.

Reproduces J. Nishio, N. Nishio, A. Nishio, "Magnification Independent Multi-Classification of
Breast Cancer in Histopathology Images Using Deep Learning", 2024.

>>> from breakhis import Config, build_model
>>> model = build_model(Config(weights="none", normalisation="imagenet"))  # doctest: +SKIP
"""

from breakhis.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model"]


def __getattr__(name: str) -> object:
    """Import the model only when it is asked for: Keras takes seconds, `--help` must not."""
    if name == "build_model":
        from breakhis.model import build_model

        return build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
