"""Three ImageNet networks fused, with and without a GAN's images, on BreakHis and BACH.

Reproduces W. Deebani, L. Aziz, A. Aziz, W. S. Basri, W. M. Alawad, S. A. Althubiti, "Synergistic
transfer learning and adversarial networks for breast cancer diagnosis: benign vs. invasive
classification", 2025.

>>> from gan_fusion import Config, build_model
>>> model = build_model(Config(network="fusion_counts", weights="none"))  # doctest: +SKIP
"""

from importlib import import_module

from gan_fusion.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model"]

_MOVED = {
    "gan_config": "gan_fusion.gan.config",
    "gan_draws": "gan_fusion.gan.draws",
    "gan_evaluation": "gan_fusion.gan.evaluation",
}
"""Modules that have become a part of `gan_fusion.gan`, under the names they were imported by."""


def __getattr__(name: str) -> object:
    """Import the model only when it is asked for (Keras takes seconds); find moved modules."""
    if name == "build_model":
        from gan_fusion.model import build_model

        return build_model
    if name in _MOVED:
        return import_module(_MOVED[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
