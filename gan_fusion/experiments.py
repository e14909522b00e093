"""What the rows take: GANs, the images they draw, classifiers; how much work that is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from common import experiments, networks
from common.experiments import Experiment, Needed, Step
from gan_fusion.config import (
    AS_PRINTED,
    BASELINES,
    FUSIONS,
    HONEST,
    OTHER_PRESETS,
    PRESETS,
    Config,
)
from gan_fusion.gan.config import GAN_ROWS, GanConfig


def _drawn(config: Config) -> tuple[GanConfig, int]:
    """The GAN that a row's images are of, and how many classes it draws."""
    gan = OTHER_PRESETS[config.gan.removesuffix("-changed")]
    return gan, len(gan.labels) or gan.classes


def _images(config: Config) -> Needed:
    """The generated images that a row trains on: as many of each class that its GAN draws."""
    gan, classes = _drawn(config)
    each = config.generated // classes
    labels = ("--labels", *gan.labels) if gan.labels else ()
    command = (
        "-m", "gan_fusion.generate", "--run", "{run}", "--output", "{out}",
        "--count", str(each), *labels,
    )  # fmt: skip
    step = Step("generation", (command,), "{out}/generation.json", f"{each} of each class")
    return Needed(config.gan.removesuffix("-changed"), step, "--gan-images")


_GANS = tuple(name for name in HONEST if name in GAN_ROWS)
_CLASSIFIERS = tuple(name for name in HONEST if name in PRESETS)


_COUNTS = experiments.counting("gan_fusion.complexity")
_COUNTED = tuple(
    each for row in ("T14-breakhis-fusion", "T14-breakhis-counts") for each in (row, HONEST[row])
)
"""Rows whose parameters Table 6 prints, in either reading."""


def _experiments(presets: Mapping[str, Any]) -> dict[str, Experiment]:
    """GANs, then classifiers, which say by their config which images they need."""
    found = experiments.experiments(presets, HONEST, _CLASSIFIERS, AS_PRINTED)
    found |= {name: replace(found[name], counted=_COUNTS) for name in _COUNTED}
    return {
        **experiments.experiments(presets, HONEST, _GANS, AS_PRINTED, module="train_gan"),
        **{
            name: each if presets[name].gan == "none" else replace(
                each, needed=_images(presets[name])
            )
            for name, each in found.items()
        },
    }  # fmt: skip


_ALL = {**OTHER_PRESETS, **PRESETS}
EXPERIMENTS = _experiments(_ALL)
"""Preset -> experiment."""


def _small(config: Any) -> Any:
    """A row for synthetic tissue, of which there is too little for the printed counts."""
    split: Any = "image" if config.split in ("counts", "partition") else config.split
    if isinstance(config, GanConfig):
        return replace(
            config, split=split, image_size=32, channels=256, channels_most=32,
            kimg=config.kimg / 1000, evaluate_every=config.kimg / 1000, samples=40,
            feature_network="vgg16", feature_size=32, weights="none", critic_first=1,
        )  # fmt: skip
    wants = config.gan != "none"
    return replace(
        config,
        split=split,
        network="mobilenet",
        weights="none",
        frozen="none",
        image_size=32,
        epochs=1,
        gan=f"{config.gan}-changed" if wants else "none",
        generated=8 * _drawn(config)[1] if wants else 0,
    )


TABLES = {"T10": tuple(f"T11-{network}" for network in BASELINES)}
"""Its settings are those of the single networks; each training tells of all numbers of epochs."""

DEMO_PRESETS = {name: _small(config) for name, config in _ALL.items() if name in EXPERIMENTS}
"""The rows with small networks, for synthetic tissue."""

DEMO_EXPERIMENTS = experiments.counting_demo(_experiments(DEMO_PRESETS))
"""The same of them."""

_GENERATOR, _CRITIC = 5.726, 2.253
"""Multiply-accumulates of one image of 512 px, in units of 10^9, of the rows' GAN."""

_TRAINED = {"breakhis": 6198, "bach": 280}
"""Training images (Table 2)."""


def work(config: Any) -> float:
    """About how many multiply-accumulates a training takes.

    Parameters
    ----------
    config : Config or GanConfig
    """
    if isinstance(config, GanConfig):
        # For each real image the critic sees one that is drawn and one between them, and its
        # penalties take a second pass back; the generator learns every few steps.
        scale = 1e9 * (config.image_size / 512) ** 2 * 1000 * config.kimg
        drawn = _GENERATOR * (1 + 3 / config.critic_steps)
        return scale * (drawn + 3 * 5 * _CRITIC)
    parts = FUSIONS.get(config.network, (config.network,))
    each = sum(networks.operations(part, config.image_size) for part in parts)
    work = experiments.training_work(_TRAINED[config.dataset], config.epochs, each)
    return work / 3 if config.frozen == "base" else work


def dataset(config: Any) -> str:
    """Name of the data set that a config trains on.

    Parameters
    ----------
    config : Config or GanConfig
    """
    return str(config.dataset)
