"""Benign or malignant from BreakHis images, by ResNets with dense normalised shortcuts.

Reproduces R. K. Chandana Mani, J. Kamalakannan, "ERNet: Enhanced ResNet for classification of
breast histopathological images", ELCVIA, 2023.

>>> from ernet import Config, build_model, train
>>> model = build_model(Config(network="ernet18"))
>>> model.output_shape
(None, 2)
>>> run = train(Config(), data_dir="/data", epochs=3)  # doctest: +SKIP
"""

from common.papers import lazily
from ernet.config import PRESETS, Config

__all__ = ["PRESETS", "Config", "build_model", "train"]

__getattr__ = lazily(__name__, build_model="model", train="train")
