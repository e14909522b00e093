"""Benign or malignant, or the tumour type, from BreakHis images of all magnifications.

Reproduces J. Nishio, N. Nishio, A. Nishio, "Magnification Independent Multi-Classification of
Breast Cancer in Histopathology Images Using Deep Learning", 2024.

>>> from breakhis import Config, build_model, train
>>> model = build_model(Config(network="mobilenet_v2", weights="none", normalisation="imagenet"))
>>> model.output_shape
(None, 2)
>>> run = train(Config(), data_dir="/data", epochs=3)  # doctest: +SKIP
"""

from breakhis.config import PRESETS, Config
from common.papers import lazily

__all__ = ["PRESETS", "Config", "build_model", "train"]

__getattr__ = lazily(__name__, build_model="model", train="train")
