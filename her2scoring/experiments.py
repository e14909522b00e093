"""What the rows take: one training each; how much work that is."""

from common import experiments, networks
from common.datasets import bci
from her2scoring.config import HONEST, PRESETS, Config

EXPERIMENTS = experiments.experiments(PRESETS, HONEST, tuple(HONEST))
"""Preset -> experiment."""


def work(config: Config) -> float:
    """About how many multiply-accumulates a training takes.

    Parameters
    ----------
    config : Config
    """
    images = bci.expected_images(config.stain) * (1 - config.test) * (1 - config.validation)
    each = networks.operations(config.network, config.image_size)
    return experiments.training_work(images, config.epochs, each)
