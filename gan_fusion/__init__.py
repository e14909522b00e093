"""Three ImageNet networks fused, with and without a GAN's images, on BreakHis and BACH.

Reproduces W. Deebani, L. Aziz, A. Aziz, W. S. Basri, W. M. Alawad, S. A. Althubiti, "Synergistic
transfer learning and adversarial networks for breast cancer diagnosis: benign vs. invasive
classification", 2025.

>>> from gan_fusion import Config, build_model, train
>>> model = build_model(Config(network="mobilenet_v2", weights="none", generated=0))
>>> model.output_shape
(None, 2)
>>> run = train(Config(), data_dir="/data", epochs=3)  # doctest: +SKIP
"""

from common.papers import lazily
from gan_fusion.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model", "train"]

__getattr__ = lazily(
    __name__,
    build_model="model",
    train="train",
    # Under the names by which they were imported before they became a part of `gan_fusion.gan`.
    gan_config="gan.config",
    gan_draws="gan.draws",
    gan_evaluation="gan.evaluation",
)
