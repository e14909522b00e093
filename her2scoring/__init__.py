"""HER2 score of breast cancer patches, from H&E or IHC.

Reproduces Lamiaa Abdel-Hamid, "ConvNeXt for Breast Cancer HER2 Scoring Using Different Types of
Histopathological Stained Images", 2025, doi 10.12720/jait.16.7.966-972 (CC BY 4.0).

>>> from her2scoring import Config, build_model
>>> model = build_model(Config(weights="none"))  # doctest: +SKIP
"""

from her2scoring.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model"]


def __getattr__(name: str) -> object:
    """Import the model only when it is asked for: Keras takes seconds, `--help` must not."""
    if name == "build_model":
        from her2scoring.model import build_model

        return build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
