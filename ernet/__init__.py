"""Benign or malignant from BreakHis images, by ResNets with dense normalised shortcuts.

Reproduces R. K. Chandana Mani, J. Kamalakannan, "ERNet: Enhanced ResNet for classification of
breast histopathological images", ELCVIA, 2023.

>>> from ernet import Config, build_model
>>> model = build_model(Config(network="ernet50"))  # doctest: +SKIP
"""

from ernet.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model"]


def __getattr__(name: str) -> object:
    """Import the model only when it is asked for: Keras takes seconds, `--help` must not."""
    if name == "build_model":
        from ernet.model import build_model

        return build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
