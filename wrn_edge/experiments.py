"""What the rows take: three trials each, then a device's files; how much work that is."""

from dataclasses import replace

from common import experiments
from common.datasets import breakhis
from common.experiments import Step
from wrn_edge.config import HONEST, PRESETS, Config

EXPORT = Step(
    "export",
    (
        ("-m", "wrn_edge.export", "--run", "{run}", "--data-dir", "{data}"),
        ("-m", "wrn_edge.bundle", "--run", "{run}", "--data-dir", "{data}", "--out", "{out}"),
    ),
    "{out}/manifest.json",
)
"""TFLite files, and the folder that is copied to a device (5)."""

BENCH = Step(
    "bench",
    (("{export}/bench.py", "--json", "{out}.json"),),
    "{out}.json",
)
"""Latency and memory here; on a device, ``python3 bench.py`` in the folder (Table 6, 6.4)."""

_TRIALS = tuple({"seed": seed} for seed in (42, 43, 44))

EXPERIMENTS = experiments.experiments(
    PRESETS, HONEST, tuple(HONEST), rounds=_TRIALS, seeds=True, after=(EXPORT, BENCH)
)
"""Preset -> experiment; trials differ in the seed (W12)."""

DEMO_PRESETS = {
    name: replace(PRESETS[name], depth=10, stem="pooled", image_size=32, epochs=2)
    for name in EXPERIMENTS
}
"""The rows with a small network, for synthetic tissue."""

DEMO_EXPERIMENTS = EXPERIMENTS
"""The same of them."""

OPERATIONS = {"cifar": 10.503, "strided": 2.626, "pooled": 0.685, "patch": 0.658}
"""Multiply-accumulates of WRN-28-2 for one image of 224 px, in units of 10^9, by stem
(`python -m benchmarks.wrn_stems`)."""


def work(config: Config) -> float:
    """About how many multiply-accumulates a training takes.

    Parameters
    ----------
    config : Config
    """
    images = float(breakhis.expected_images((config.magnification,)))
    images *= (1 - config.test) * (1 - config.validation)
    if config.augmentation == "fourfold":
        images *= 4
    each = OPERATIONS[config.stem] * 1e9 * (config.image_size / 224) ** 2
    # Kernels of three by three dominate, and grow with the square of the width.
    each *= (config.width / 2) ** 2 * (config.depth - 4) / 24
    return experiments.training_work(images, config.epochs, each)


def dataset(config: Config) -> str:
    """Name of the data set that a config trains on.

    Parameters
    ----------
    config : Config
    """
    return breakhis.NAME
