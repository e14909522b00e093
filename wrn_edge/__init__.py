"""Benign or malignant with WRN-28-2, small enough for a Raspberry Pi.

Reproduces H. Alaeddine, L. Tekari, "Application and Deployment of a Fine-Tuned Pre-trained Deep
Model for Breast Cancer Classification", ICCK Journal of Image Analysis and Processing 1(4), 2025,
162-171. doi:10.62762/JIAP.2025.421429

>>> from wrn_edge import Config, build_model, train
>>> model = build_model(Config(image_size=64, stem="strided"))
>>> model.output_shape
(None, 2)
>>> run = train(Config(), data_dir="/data", epochs=3)  # doctest: +SKIP
"""

from common.papers import lazily
from wrn_edge.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model", "train"]

__getattr__ = lazily(__name__, build_model="model", train="train")
