"""What the rows take: a training for each of five folds; how much work that is."""

from dataclasses import replace

from common import experiments
from common.datasets import breakhis
from ernet.config import HONEST, PRESETS, Config

_COUNTS = experiments.counting("ernet.complexity")

EXPERIMENTS = {
    # Table 1 prints parameters and operations.
    name: replace(each, counted=_COUNTS) if name.startswith("T1-") else each
    for name, each in experiments.experiments(
        PRESETS,
        HONEST,
        tuple(HONEST),
        rounds=tuple({"fold": fold} for fold in range(Config().folds)),
    ).items()
}
"""Preset -> experiment."""

DEMO_PRESETS = {
    name: replace(
        PRESETS[name],
        network="ernet18" if PRESETS[name].network.startswith("ernet") else "resnet18",
        image_size=32,
        epochs=1,
    )
    for name in EXPERIMENTS
}
"""The rows with the smallest network, for synthetic tissue."""

DEMO_EXPERIMENTS = experiments.counting_demo(EXPERIMENTS)
"""The same of them."""

OPERATIONS = {
    "ernet18": 1.815,
    "ernet34": 3.667,
    "ernet50": 3.870,
    "ernet101": 7.633,
    "resnet18": 1.814,
    "resnet34": 3.663,
    "resnet50": 3.856,
    "resnet101": 7.568,
}
"""Multiply-accumulates of one image of 224 px, in units of 10^9 (`python -m ernet.complexity`)."""


def work(config: Config) -> float:
    """About how many multiply-accumulates a training takes.

    Parameters
    ----------
    config : Config
    """
    images = breakhis.expected_images(config.magnifications) * (1 - config.test)
    each = OPERATIONS[config.network] * 1e9 * (config.image_size / 224) ** 2
    return experiments.training_work(images * (1 - 1 / config.folds), config.epochs, each)


def dataset(config: Config) -> str:
    """Name of the data set that a config trains on.

    Parameters
    ----------
    config : Config
    """
    return breakhis.NAME
