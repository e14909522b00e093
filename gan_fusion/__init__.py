"""Three ImageNet networks fused, with and without a GAN's images, on BreakHis and BACH.

Reproduces W. Deebani, L. Aziz, A. Aziz, W. S. Basri, W. M. Alawad, S. A. Althubiti, "Synergistic
transfer learning and adversarial networks for breast cancer diagnosis: benign vs. invasive
classification", 2025.

>>> from gan_fusion import Config, build_model
>>> model = build_model(Config(network="fusion_counts", weights="none"))  # doctest: +SKIP
"""

from gan_fusion.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model"]


def __getattr__(name: str) -> object:
    """Import the model only when it is asked for: Keras takes seconds, `--help` must not."""
    if name == "build_model":
        from gan_fusion.model import build_model

        return build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
