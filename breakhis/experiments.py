"""What the rows take: one training each; how much work that is."""

from dataclasses import replace

from breakhis.config import HONEST, PRESETS, Config
from common import experiments, networks
from common.datasets import breakhis

EXPERIMENTS = experiments.experiments(PRESETS, HONEST, tuple(HONEST))
"""Preset -> experiment."""

DEMO_PRESETS = {
    name: replace(PRESETS[name], network="mobilenet", weights="none", image_size=32, epochs=2)
    for name in EXPERIMENTS
}
"""The rows with a small network, for synthetic tissue."""

DEMO_EXPERIMENTS = EXPERIMENTS
"""The same of them."""

_OVERSAMPLED = 14_568 / 4_152
"""Training samples by image once every class has as many as the largest (Fig. 2: 14,568)."""


def work(config: Config) -> float:
    """About how many multiply-accumulates a training takes.

    Parameters
    ----------
    config : Config
    """
    images = float(breakhis.expected_images(config.magnifications))
    images *= (1 - config.test) * (1 - config.validation)
    if config.oversample != "none":
        images *= _OVERSAMPLED
    each = networks.operations(config.network, config.image_size)
    return experiments.training_work(images, config.epochs, each)


def dataset(config: Config) -> str:
    """Name of the data set that a config trains on.

    Parameters
    ----------
    config : Config
    """
    return breakhis.NAME
