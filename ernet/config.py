"""Settings of ERNet, every value with its source, and its table rows.

R. K. Chandana Mani, J. Kamalakannan, "ERNet: Enhanced ResNet for classification of breast
histopathological images", ELCVIA, accepted 2023.

Cost of a row: five trainings (`--fold 0` to `--fold 4`) of 100 epochs on 56 % of the images: 4,429
of all magnifications, 1,117 of 40x. Command of the main row:
``python -m ernet.train --preset T1-ernet50 --fold 0 --data-dir D``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from common.config import ASSUMED, DEVIATION, Group, MixedPrecision, ResizeFilter, hp
from common.errors import InputError

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks of the four stages, by depth."""


Network = Literal[
    "ernet18",
    "ernet34",
    "ernet50",
    "ernet101",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
]


@dataclass(frozen=True)
class Config:
    """Defaults are the main row: ERNet-50, all magnifications together (Table 1)."""

    # Task
    classes: Literal[2] = hp(2, "benign, malignant", "4.1")
    magnifications: tuple[str, ...] = hp(
        ("40X", "100X", "200X", "400X"),
        "which images are used, together",
        ASSUMED + "Table 1 pooled, Table 2 one network per magnification (E24)",
        aliases=("magnification",),
    )
    # Data
    split: Literal["image", "patient", "file"] = hp(
        "image", "what is kept whole", ASSUMED + "patients are never mentioned (E31)"
    )
    group: Group = hp(
        "case", "what counts as one patient", ASSUMED + "letter suffixes may be one patient"
    )
    test: float = hp(
        0.3, "share of the images (of the patients' images)", "3.1", low=0.01, high=0.9
    )
    folds: int = hp(5, "folds of the images that are not tested on", "4.1", low=2)
    fold: int = hp(0, "the fold that validates: 0 to folds - 1", "4.1, a round each (E23)", low=0)
    stratify: bool = hp(False, "keep class shares, for --split image", ASSUMED + "not mentioned")
    image_size: int = hp(
        224,
        "side of the input, px; 700x460 is squeezed",
        DEVIATION + "3.1, 4.2: 224 as there, but edges are cropped there; by how much is not said",
        low=32,
    )
    resize_filter: ResizeFilter = hp("area", "filter from 700x460 down", ASSUMED + "not mentioned")
    stain: Literal["macenko", "none"] = hp(
        "macenko",
        "stain normalisation to the training image whose stains are nearest their median",
        "3.1, eq. 1; the reference image is not named",
    )
    white_level: float = hp(
        240.0, "of Macenko's method", ASSUMED + "its authors' value", low=1, high=255
    )
    test_stain: Literal["same", "raw"] = hp(
        "same",
        "raw: validation and test images keep their colours",
        "3.1 against 4.2 (E22): a network trained on normalised colours cannot be judged on others",
    )
    # Augmentation of training images: one warp
    rotation: float = hp(20.0, "degrees, both ways", ASSUMED + "no ranges given (4.2)", low=0)
    shift: float = hp(
        0.1, "share of the side, both ways", ASSUMED + "no ranges given (4.2)", low=0, high=0.9
    )
    zoom: float = hp(
        0.1,
        "share, in and out",
        ASSUMED + "no ranges given (4.2)",
        low=0,
        high=0.9,
        aliases=("scale",),
    )
    crop: float = hp(
        0.9,
        "side of a random crop as a share; its size joins the zoom, its place the shift",
        ASSUMED + "no ranges given (4.2)",
        low=0.1,
        high=1,
    )
    horizontal_flip: bool = hp(True, "random flips", "3.1")
    vertical_flip: bool = hp(True, "random flips", ASSUMED + "'flip' beside the horizontal one")
    stain_augmentation: float = hp(
        0.0,
        "largest random change of the stains while training (H&E): 0.05 is light, 0.2 strong",
        ASSUMED + "no paper's way",
        low=0,
        high=1,
    )
    # Network
    network: Network = hp("ernet50", "plain ResNets are not measured by the paper", "3.2, 4.3.2")
    er_sum: Literal["output", "input"] = hp(
        "output",
        "output: earlier maps of the stage are added where the identity was; input: to the input "
        "of every block, which has no other shortcut",
        DEVIATION
        + "eq. 10 adds to the input, the newest map unweighted (E29); this is the sum of Dense "
        "Shortcuts (2021), from which the equations come",
    )
    er_norm: Literal["batch", "group", "none"] = hp(
        "batch", "normalisation N of an earlier map", ASSUMED + "only 'normalisation' is said (3.2)"
    )
    er_affine: bool = hp(
        False, "N with a scale and an offset to learn", ASSUMED + "the weight scales already"
    )
    er_weight: Literal["channel", "scalar"] = hp(
        "channel", "one weight per channel of a shortcut, or one per shortcut", "3.2"
    )
    er_source: Literal["output", "branch"] = hp(
        "output",
        "which map of a block goes on: its output, or its convolutions' before the sum",
        ASSUMED + "'all earlier feature maps' (3.2)",
    )
    er_block: Literal["resnet", "text"] = hp(
        "resnet",
        "convolutions of a block: those of ResNet, or 1x1, 3x3, 3x3",
        DEVIATION + "3.2 says the latter; the printed channels and counts are ResNet's (E20)",
    )
    stride: Literal["first", "middle"] = hp(
        "first",
        "convolution of a bottleneck that halves the map: 1x1 as in Keras' ResNet, or 3x3 as in "
        "torchvision's",
        ASSUMED + "Keras' weights fit the former",
    )
    scaling: Literal["unit", "caffe"] = hp(
        "unit", "pixels to [0, 1], or as Keras' ImageNet weights want them", "4.2, range not named"
    )
    weights: str = hp(
        "none",
        "none; depths 50 and 101: imagenet, or a file of Keras' weights",
        ASSUMED + "transfer learning is claimed and never described (E19)",
    )
    bn_momentum: float = hp(
        0.99,
        "momentum of all batch normalisation",
        ASSUMED + "Keras' own; short trainings want 0.9",
        low=0,
        high=0.9999,
    )
    # Training
    learning_rate: float = hp(1e-4, "Adam's rate, constant", "4.1 (E15)", low=0)
    beta_1: float = hp(
        0.6,
        "of Adam",
        "4.1, the only reading of its three numbers (E15); usual: 0.9",
        low=0,
        high=1,
    )
    beta_2: float = hp(0.8, "of Adam", "4.1 (E15); usual: 0.999", low=0, high=1)
    epsilon: float = hp(1e-7, "of Adam", ASSUMED + "Keras' own", low=0)
    epochs: int = hp(100, "passes over the training images", "4.1", low=1)
    batch_size: int = hp(16, "images per step", "4.1", low=1)
    select_on: Literal["validation", "last"] = hp(
        "validation", "whose result chooses the epoch", ASSUMED + "what a validation fold is for"
    )
    monitor: Literal["accuracy", "loss"] = hp(
        "accuracy", "what chooses the epoch on validation images", ASSUMED + "not mentioned"
    )
    # Repetition
    seed: int = hp(0, "of initialisation, order, augmentation", ASSUMED + "not given", low=0)
    split_seed: int = hp(0, "of the split and the folds", ASSUMED + "not given", low=0)
    mixed_precision: MixedPrecision = hp(
        "off", "number format of the layers", ASSUMED + "not mentioned"
    )
    deterministic: bool = hp(
        True, "same command, same predictions; slower on a GPU", ASSUMED + "not mentioned"
    )


ERNETS: tuple[Network, ...] = ("ernet18", "ernet34", "ernet50", "ernet101")
RESNETS: tuple[Network, ...] = ("resnet18", "resnet34", "resnet50", "resnet101")

_ROWS: dict[str, Config] = {
    **{f"T1-{name}": Config(network=name) for name in ERNETS},
    **{f"T2-{m}": Config(magnifications=(m.upper(),)) for m in ("40x", "100x", "200x", "400x")},
    # Not in the paper, which measures no plain ResNet (E25).
    **{f"plain-{name}": Config(network=name) for name in RESNETS},
}


def honest(row: Config) -> Config:
    """Keep patients apart, in the test part and in the folds.

    Parameters
    ----------
    row : Config
        A row as the paper has it.
    """
    return replace(row, split="patient")


PRESETS: dict[str, Config] = {
    **{
        name: each
        for row, c in _ROWS.items()
        for name, each in ((row, c), (f"{row}-honest", honest(c)))
    },
    # Synthetic tissue, minutes on a laptop CPU; fills no row.
    "demo": replace(
        honest(Config()),
        network="ernet18",
        magnifications=("100X",),
        image_size=64,
        bn_momentum=0.9,
        learning_rate=1e-3,
        beta_1=0.9,
        beta_2=0.999,
        epochs=6,
    ),
}
"""Table rows by name, each with its honest twin; each holds only its differences."""

HONEST: dict[str, str] = {row: f"{row}-honest" for row in _ROWS}
"""The honest twin of each row."""


UNPRINTED: dict[str, tuple[str, dict[str, Any]]] = {
    f"plain ResNet-{name.removeprefix('resnet')}": (
        f"T1-ernet{name.removeprefix('resnet')}",
        {"network": name},
    )
    for name in RESNETS
}
"""The networks that the paper builds on and does not measure (E25)."""


def leaks(config: Config) -> list[str]:
    """What may flatter a run of this config.

    Parameters
    ----------
    config : Config
    """
    if config.split == "image":
        return ["image-wise split: most patients lie in both training and test (E31)"]
    return []


LEAKS: dict[str, str] = {row: "; ".join(leaks(config)) for row, config in PRESETS.items()}
"""What may flatter each row, for the table."""


def depth(config: Config) -> int:
    """Depth of the network: 18, 34, 50 or 101.

    Parameters
    ----------
    config : Config
    """
    return int(config.network.removeprefix("ernet").removeprefix("resnet"))


def check(config: Config) -> None:
    """Refuse settings that do not go together.

    Parameters
    ----------
    config : Config

    Raises
    ------
    InputError
        Naming the flags.
    """
    if config.fold >= config.folds:
        raise InputError(f"--fold {config.fold}: {config.folds} folds are 0 to {config.folds - 1}")
    if config.network.startswith("ernet") and config.er_sum == "input":
        if max(BLOCKS[depth(config)]) < 3:
            raise InputError(
                f"--er-sum input: {config.network} has two blocks in a stage, so no block has an "
                "earlier map than the one before it; use a deeper network or --er-sum output"
            )
        if config.er_source == "branch":
            raise InputError("--er-source branch goes with --er-sum output only")
    if config.weights != "none":
        if depth(config) < 50:
            raise InputError(
                f"--weights {config.weights}: Keras has no weights of ResNet-18 and ResNet-34; "
                "use --weights none, or a network of depth 50 or 101"
            )
        if config.er_block != "resnet":
            raise InputError("--weights: only the convolutions of --er-block resnet match")
    if config.weights == "imagenet" and config.scaling != "caffe":
        raise InputError("--weights imagenet was trained on --scaling caffe: give that too")
