"""Benign or malignant with WRN-28-2, small enough for a Raspberry Pi.

Reproduces H. Alaeddine, L. Tekari, "Application and Deployment of a Fine-Tuned Pre-trained Deep
Model for Breast Cancer Classification", ICCK Journal of Image Analysis and Processing 1(4), 2025,
162-171. doi:10.62762/JIAP.2025.421429

>>> from wrn_edge import Config, build_model
>>> model = build_model(Config(image_size=64, stem="strided"))  # doctest: +SKIP
"""

from wrn_edge.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model"]


def __getattr__(name: str) -> object:
    """Import the model only when it is asked for: Keras takes seconds, `--help` must not."""
    if name == "build_model":
        from wrn_edge.model import build_model

        return build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
