"""Settings of the fusion classifier, every value with its source, and its table rows.

W. Deebani, L. Aziz, A. Aziz, W. S. Basri, W. M. Alawad, S. A. Althubiti, "Synergistic transfer
learning and adversarial networks for breast cancer diagnosis: benign vs. invasive classification",
2025. The GAN's settings stand in `gan/config.py`.

Cost of a row: BreakHis at most 50 epochs of 6,198 images, BACH at most 200 of 280, at 224 px
through three networks. Command of the main row:
``python -m gan_fusion.train --preset T11-fusion-trad-gan --gan-images G --data-dir D``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from common.config import ASSUMED, DEVIATION, Group, MixedPrecision, ResizeFilter, hp
from common.networks import Backbone
from gan_fusion.gan import config as gan_config
from gan_fusion.gan.config import (
    GAN_ROWS,
    OWN_WAY,
    DataExecution,
    DataSet,
    Split,
    split_by_patient,
    split_leaks,
)
from gan_fusion.gan.config import leaks as gan_leaks

Fusion = Literal["fusion_described", "fusion_counts"]
Baseline = Literal[
    "densenet201", "nasnet_mobile", "vgg16", "vgg19", "mobilenet", "resnet50", "xception"
]

FUSIONS: dict[str, tuple[str, ...]] = {
    "fusion_counts": ("nasnet_mobile", "vgg16", "densenet201"),
    "fusion_described": ("nasnet_mobile", "resnet101", "densenet201"),
}
"""Networks of each reading of the paper, from the low to the high level (Fig. 4, Table 6)."""

FIRST_LAYERS: dict[str, int] = {"densenet201": 200, "resnet101": 50}
"""Layers that `frozen="first"` keeps as they are; NASNetMobile is not mentioned (G06)."""

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    # Table 5 with Keras' meaning of every number: zoom 2 draws factors from -1 to 3 (G24).
    "printed": {
        "zoom_range": 2.0,
        "rotation_range": 95,
        "shear_range": 0.5,
        "width_shift_range": 0.4,
        "height_shift_range": 0.4,
        "horizontal_flip": True,
        "vertical_flip": True,
        "fill_mode": "nearest",
    },
    "sane": {
        "zoom_range": 0.2,
        "rotation_range": 95,
        "shear_range": 0.5,
        "width_shift_range": 0.4,
        "height_shift_range": 0.4,
        "horizontal_flip": True,
        "vertical_flip": True,
        "fill_mode": "reflect",
    },
    "flips": {"horizontal_flip": True, "vertical_flip": True},
}
"""Arguments of `common.augment.Augmenter`, by the name of the augmentation."""

EPOCHS_TRIED = (10, 20, 30, 40, 50)
"""Numbers of epochs that Table 10 tries; one training tells of all of them (G21)."""

TASK = {"breakhis": 2, "bach": 4}
"""Number of classes, by data set."""


@dataclass(frozen=True)
class Config:
    """Defaults are the main row: BreakHis, described fusion, TradAug and GAN images (Table 11)."""

    # Data
    dataset: DataSet = hp(
        "breakhis",
        "breakhis: benign, malignant; bach: ICIAR 2018's four classes; own: those of --images",
        "datasets",
    )
    own_classes: int = hp(
        0, "number of classes of --images", ASSUMED + "none of the data sets named", flag=False
    )
    magnifications: tuple[str, ...] = hp(
        ("40X", "100X", "200X", "400X"),
        "which BreakHis images are used, together",
        "Table 3",
        aliases=("magnification",),
    )
    split: Split = hp(
        "counts",
        "counts: the printed numbers per class and part; partition: BACH's published one by "
        "patient, 132 of 400 images test; patient: of BACH, those of --patients",
        "Table 2 (leaks patients: G33)",
    )
    group: Group = hp(
        "case", "what counts as one patient", ASSUMED + "letter suffixes may be one patient"
    )
    test: float = hp(
        0.3,
        "share of the images (of the patients' images), for --split image and patient",
        DEVIATION + "Table 2 tests on 160 of 7909, which carry no claim (G32)",
        low=0.01,
        high=0.9,
    )
    validation: float = hp(
        0.2, "share of the training images", "Table 2: 1551 of 7749", low=0.01, high=0.9
    )
    image_size: int = hp(224, "side of the input, px; images are squeezed", "Table 6", low=32)
    resize_filter: ResizeFilter = hp(
        "area", "filter from the original size down", ASSUMED + "not mentioned"
    )
    augmentation: Literal["none", "printed", "sane", "flips"] = hp(
        "printed",
        "random transforms while training; sane zooms by 0.8 to 1.2, flips mirrors alone",
        DEVIATION
        + "Table 5 (G24); random crops (abstract, Algorithm 1) have no size and are not built",
    )
    gan: str = hp(
        "T9-batch32",
        "preset of the GAN whose images are trained on as well, or none; read from --gan-images",
        "Tables 8-9: gamma 1.0, batch 32",
    )
    generated: int = hp(
        640,
        "the GAN's images, in the training part only; read from --gan-images",
        "methods",
        low=0,
        flag=False,
    )
    stain_augmentation: float = hp(
        0.0,
        "largest random change of the stains while training (H&E): 0.05 is light, 0.2 strong",
        ASSUMED + "no paper's way",
        low=0,
        high=1,
    )
    # Network
    network: Literal[Fusion, Baseline, Backbone] = hp(
        "fusion_described",
        "the two readings of the fusion (G04), or one network alone",
        "methods, Fig. 4, Table 6",
    )
    weights: str = hp(
        "imagenet", "imagenet, none, or (one network alone) a file of weights", "methods"
    )
    frozen: Literal["none", "first", "base"] = hp(
        "first",
        "layers that keep their weights: first: 200 of DenseNet201 and 50 of ResNet101",
        "results (G06)",
    )
    mscf_channels: int = hp(
        256, "channels of a contextual module", ASSUMED + "not given (G05)", low=1
    )
    mscf_dilations: tuple[int, ...] = hp(
        (1, 2, 3), "dilations of its parallel 3x3 convolutions", ASSUMED + "only named (G05)"
    )
    chain_pools: int = hp(
        3, "successive 3x3 max pools of the chain", ASSUMED + "details only by reference", low=1
    )
    dropout_before: float = hp(
        0.2, "rate before the dense layer", "Tables 6, 10 (G22)", low=0, high=0.99
    )
    dense: int = hp(128, "units of the dense layer", "Table 6", low=1)
    dropout_after: float = hp(
        0.4, "rate after the dense layer", "Tables 6, 10 (G22)", low=0, high=0.99
    )
    l2: float = hp(1e-4, "L2 on the new layers' kernels", ASSUMED + "no coefficient", low=0)
    bn_momentum: float | None = hp(
        0.9,
        "of the new layers' BatchNorm, and in place of momenta above 0.99; None: Keras' own",
        DEVIATION + "at 0.99 and NASNetMobile's 0.9997 BACH's nine steps an epoch never catch up",
    )
    # Training
    learning_rate: float = hp(1e-4, "Adam's rate at the start", "Tables 10, 13", low=0)
    decay: float = hp(
        0.96,
        "factor on the rate after each epoch",
        ASSUMED + "exponential decay without numbers (Table 10)",
        low=0,
        high=1,
    )
    epochs: int = hp(50, "passes over the training images, at most", "Table 13", low=1)
    patience: int = hp(
        10, "epochs without a lower validation loss that end the training", "Table 10", low=1
    )
    batch_size: int = hp(32, "images per step", "Table 13 (Table 10: 64, G21)", low=1)
    select_on: Literal["validation", "last"] = hp(
        "validation",
        "epoch whose weights are kept: lowest validation loss, or the last",
        ASSUMED + "early stopping's own choice",
    )
    # Repetition
    seed: int = hp(0, "of initialisation, order, augmentation", ASSUMED + "not given", low=0)
    split_seed: int = hp(0, "of the split", ASSUMED + "not given; decides the result", low=0)
    mixed_precision: MixedPrecision = hp(
        "off", "number format of the layers", ASSUMED + "not mentioned"
    )
    deterministic: bool = hp(
        True, "same command, same predictions; slower on a GPU", ASSUMED + "not mentioned"
    )

    @property
    def classes(self) -> int:
        """Number of classes of the data set's task."""
        return self.own_classes or TASK[self.dataset]


@dataclass(frozen=True)
class TrainExecution(DataExecution):
    """What the training command takes besides: patients, and where the GAN's images lie."""

    gan_images: Path | None = hp(
        None, "folder that python -m gan_fusion.generate wrote; its content is hashed", ""
    )


BASELINES: tuple[Baseline, ...] = get_args(Baseline)
"""Networks of Tables 11 and 12."""

_BREAKHIS = Config()
_BACH = replace(_BREAKHIS, dataset="bach", learning_rate=1e-3, epochs=200)


def _rows(main: Config, table: str, gan: str, generated: int) -> dict[str, Config]:
    """The rows of one data set: baselines, fusion without and with each kind of images."""
    alone: dict[str, Any] = {"augmentation": "none", "gan": "none", "generated": 0}
    rows = {
        f"{table}-{network}": replace(main, network=network, frozen="base", batch_size=64, **alone)
        for network in BASELINES
    }
    readings: dict[str, Fusion] = {"fusion": "fusion_described", "counts": "fusion_counts"}
    for name, reading in readings.items():
        # The parameters printed in Table 6 are those of a network without a frozen layer (G06).
        first: Literal["first", "none"] = "first" if name == "fusion" else "none"
        fusion = replace(main, network=reading)
        rows |= {
            f"T14-{main.dataset}-{name}": replace(fusion, frozen="none", **alone),
            f"{table}-{name}-trad": replace(fusion, frozen=first, gan="none", generated=0),
            f"{table}-{name}-trad-gan": replace(fusion, frozen=first, gan=gan, generated=generated),
        }
    return rows


_ROWS: dict[str, Config] = {
    **_rows(_BREAKHIS, "T11", "T9-batch32", 640),
    **_rows(_BACH, "T12", "T12-gan", 256),
}


def honest(row: Config) -> Config:
    """Keep patients apart; the GAN sees the training patients only.

    Parameters
    ----------
    row : Config
    """
    gan = row.gan if row.gan == "none" else f"{row.gan}-honest"
    return replace(row, split=split_by_patient(row.dataset), gan=gan)


# Synthetic tissue, random weights, minutes on a laptop CPU; fills no row.
_DEMO = replace(
    honest(_BREAKHIS),
    network="mobilenet_v2",
    weights="none",
    frozen="none",
    magnifications=("100X",),
    image_size=96,
    augmentation="flips",
    gan="none",
    generated=0,
    learning_rate=1e-3,
    decay=0.85,
    batch_size=16,
    epochs=12,
)

# With images of a GAN that saw all benign images (G15), those that are tested on too.
_OWN_WAY: dict[str, Config] = {
    f"{row}-as-printed": replace(each, gan=gan_config.AS_PRINTED[each.gan])
    for row, each in _ROWS.items()
    if each.gan in gan_config.AS_PRINTED
}

PRESETS: dict[str, Config] = {
    **{
        name: each
        for row, c in _ROWS.items()
        for name, each in ((row, c), (f"{row}-honest", honest(c)))
    },
    **_OWN_WAY,
    "demo": _DEMO,
    "demo-bach": replace(_DEMO, dataset="bach", split="image"),
}
"""Table rows by name, each with its honest twin; each holds only its differences."""

OTHER_PRESETS = GAN_ROWS | OWN_WAY
"""Table rows that `train_gan` makes, and the paper's own way with them."""

TRAINED_BY: dict[str, str] = dict.fromkeys(OTHER_PRESETS, "train_gan")
"""Training command of the rows that `train` does not make."""

AS_PRINTED: dict[str, str] = {
    **gan_config.AS_PRINTED,
    **{name.removesuffix("-as-printed"): name for name in _OWN_WAY},
}
"""The row as the paper did it where the row does otherwise, because that flatters."""

HONEST: dict[str, str] = {
    row: f"{row}-honest" for row in (*_ROWS, *GAN_ROWS) if not row.endswith("-honest")
}
"""The honest twin of each row."""


def leaks(config: Config, *, listed: bool = False, own_way: bool = False) -> list[str]:
    """What may flatter a run of this config.

    Parameters
    ----------
    config : Config
        `dataset` and `split`.
    listed : bool
        A list of BACH's patients was given.
    own_way : bool
        The generated images come from a GAN that saw all images, whatever it is called.
    """
    found = split_leaks(config.dataset, config.split)
    if own_way or config.gan in OWN_WAY:
        found.append("the GAN whose images are trained on saw validation and test images (G15)")
    if config.split == "partition" and not listed:
        found.append("validation images are drawn by class, not by patient (--patients)")
    return found


LEAKS: dict[str, str] = {
    **{row: "; ".join(leaks(config)) for row, config in PRESETS.items()},
    **{row: "; ".join(gan_leaks(config)) for row, config in OTHER_PRESETS.items()},
}
"""What may flatter each row, for the table."""
