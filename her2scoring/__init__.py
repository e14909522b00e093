"""HER2 score of breast cancer patches, from H&E or IHC.

Reproduces Lamiaa Abdel-Hamid, "ConvNeXt for Breast Cancer HER2 Scoring Using Different Types of
Histopathological Stained Images", 2025, doi 10.12720/jait.16.7.966-972 (CC BY 4.0).

>>> from her2scoring import Config, build_model, train
>>> model = build_model(Config(network="mobilenet_v2", weights="none"))
>>> model.output_shape
(None, 4)
>>> run = train(Config(), data_dir="/data", epochs=3)  # doctest: +SKIP
"""

from common.papers import lazily
from her2scoring.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model", "train"]

__getattr__ = lazily(__name__, build_model="model", train="train")
