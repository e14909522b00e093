"""What the rows take: one training each; how much work that is."""

from dataclasses import replace

from common import experiments, networks
from common.datasets import bci
from her2scoring.config import AS_PRINTED, HONEST, PRESETS, Config

EXPERIMENTS = {
    # The epoch chosen on test images and the one chosen on validation images: one training.
    name: replace(each, yields=name.removesuffix("-as-printed")) if each.as_printed else each
    for name, each in experiments.experiments(PRESETS, HONEST, tuple(HONEST), AS_PRINTED).items()
}
"""Preset -> experiment."""

BESIDE = "stain"
"""The setting whose values stand in one picture of learning curves: IHC beside H&E."""

DEMO_PRESETS = {
    name: replace(
        PRESETS[name], network="mobilenet", weights="none", image_size=32, head_units=(16,),
        epochs=2,
    )
    for name in EXPERIMENTS
}  # fmt: skip
"""The rows with a small network, for synthetic tissue."""

DEMO_EXPERIMENTS = EXPERIMENTS
"""The same of them."""


def work(config: Config) -> float:
    """About how many multiply-accumulates a training takes.

    Parameters
    ----------
    config : Config
    """
    images = bci.expected_images(config.stain) * (1 - config.test) * (1 - config.validation)
    each = networks.operations(config.network, config.image_size)
    return experiments.training_work(images, config.epochs, each)


def dataset(config: Config) -> str:
    """Name of the data set that a config trains on.

    Parameters
    ----------
    config : Config
    """
    return bci.NAME
