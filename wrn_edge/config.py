"""Settings of the WRN-28-2 paper, every value with its source, and its table rows.

H. Alaeddine, L. Tekari, "Application and Deployment of a Fine-Tuned Pre-trained Deep Model for
Breast Cancer Classification", 2025.

Cost of a row: 100 epochs on 70 % of one magnification (1,274 to 1,456 images, four times as many
when augmented) at 10.5 billion multiply-accumulates per image; three seeds. Command of the main
row: ``python -m wrn_edge.train --preset T1-200X-aug --data-dir D``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from common.config import ASSUMED, DEVIATION, Group, MixedPrecision, ResizeFilter, hp

Magnification = Literal["40X", "100X", "200X", "400X"]
Augmentation = Literal["none", "fourfold"]

MAGNIFICATIONS: tuple[Magnification, ...] = get_args(Magnification)


@dataclass(frozen=True)
class Config:
    """Defaults are the main row: 200X with augmentation (Tables 1, 2 and 4)."""

    # Task
    classes: Literal[2] = hp(2, "benign, malignant", "3")
    magnification: Magnification = hp(
        "200X",
        "which images are used; every magnification has a network of its own",
        "5.2",
        aliases=("magnifications",),
    )
    # Data
    split: Literal["image", "patient", "file"] = hp(
        "image", "what is kept whole", "2.3 (leaks patients: W01)"
    )
    group: Group = hp(
        "case", "what counts as one patient", ASSUMED + "letter suffixes may be one patient"
    )
    test: float = hp(
        0.3, "share of the images (of the patients' images)", "2.3, 4", low=0.01, high=0.9
    )
    validation: float = hp(
        0.0, "share of the training images", ASSUMED + "no validation images (W17)", low=0, high=0.9
    )
    stratify: bool = hp(False, "keep class shares, for --split image", ASSUMED + "'at random'")
    image_size: int = hp(224, "side of the input, px; 700x460 is squeezed", "3, 4", low=32)
    resize_filter: ResizeFilter = hp("area", "filter from 700x460 down", ASSUMED + "not mentioned")
    augmentation: Augmentation = hp(
        "fourfold",
        "fourfold: every training image, a patch, an affine and a stain-normalised copy of it",
        "2.2",
    )
    augment_when: Literal["after", "before"] = hp(
        "after",
        "after the split, training images only; before: copies of test images are trained on",
        ASSUMED + "'the data set' is enlarged; copies in the test set would leak (W19)",
    )
    patch_side: float = hp(
        0.8, "side of a patch, share of the image's", ASSUMED + "no value", low=0.1, high=1
    )
    rotation: float = hp(20.0, "largest turn, degrees", ASSUMED + "no value", low=0, high=180)
    shift: float = hp(0.1, "largest shift, share of the side", ASSUMED + "no value", low=0, high=1)
    scale: float = hp(
        0.1,
        "largest change of scale",
        ASSUMED + "no value",
        low=0,
        high=0.9,
        aliases=("zoom",),
    )
    shear: float = hp(5.0, "largest shear, degrees", ASSUMED + "no value", low=0, high=60)
    stain: Literal["macenko", "vahadane", "reinhard"] = hp(
        "macenko", "how the copy is stain-normalised", ASSUMED + "a general reference only"
    )
    stain_augmentation: float = hp(
        0.0,
        "largest random change of the stains while training (H&E): 0.05 is light, 0.2 strong",
        ASSUMED + "no paper's way",
        low=0,
        high=1,
    )
    # Network
    depth: Literal[10, 16, 22, 28, 40] = hp(
        28, "convolutions along the trunk, 6 n + 4", "abstract, 3"
    )
    width: int = hp(2, "widening factor", "abstract, 3", low=1)
    stem: Literal["cifar", "strided", "pooled", "patch"] = hp(
        "cifar",
        "first layers: cifar keeps 224 px in the first group; strided halves both sides; pooled "
        "(7x7, stride 2, max-pooling) and patch (4x4, stride 4) quarter them",
        ASSUMED + "the network's name is all that is given: the CIFAR network, unchanged",
    )
    weights: str = hp(
        "none",
        "none, or a model.keras of wrn_edge.pretrain (or of a run) with the same network",
        DEVIATION + "'pretrained on ImageNet': no such weights of WRN-28-2 exist (W10)",
    )
    bn_momentum: float = hp(
        0.9, "of BatchNorm's moving statistics", ASSUMED + "the WRN authors' 0.1", low=0, high=0.999
    )
    # Training
    head_learning_rate: float = hp(0.01, "Adam's rate for the new last layer", "3, 4", low=0)
    learning_rate: float = hp(0.001, "Adam's rate for all other layers", "3, 4", low=0)
    l2: float = hp(1e-4, "times the sum of squares of every kernel, added to the loss", "4", low=0)
    epochs: int = hp(100, "passes over the training images", "4", low=1)
    batch_size: int = hp(32, "images per step", "4", low=1)
    select_on: Literal["last", "validation"] = hp(
        "last", "whose result chooses the epoch", ASSUMED + "no validation images (W17)"
    )
    monitor: Literal["accuracy", "loss"] = hp(
        "accuracy", "what chooses the epoch on validation images", ASSUMED + "not mentioned"
    )
    # Repetition
    seed: int = hp(
        42,
        "of split, initialisation, order and augmentation; the three trials are 42, 43, 44",
        "4, 5 (one seed would give three copies: W12)",
        low=0,
    )
    mixed_precision: MixedPrecision = hp(
        "off", "number format of the layers", ASSUMED + "not mentioned"
    )
    deterministic: bool = hp(
        True, "same command, same predictions; slower on a GPU", ASSUMED + "not mentioned"
    )


_SUFFIXES: dict[str, Augmentation] = {"": "none", "-aug": "fourfold"}

_ROWS: dict[str, Config] = {
    f"T1-{magnification}{suffix}": Config(magnification=magnification, augmentation=augmentation)
    for magnification in MAGNIFICATIONS
    for suffix, augmentation in _SUFFIXES.items()
}


def honest(row: Config) -> Config:
    """Keep patients apart; choose the epoch on patients who are neither trained nor tested on.

    Parameters
    ----------
    row : Config
    """
    return replace(
        row, split="patient", validation=0.1, select_on="validation", augment_when="after"
    )


PRESETS: dict[str, Config] = {
    **{
        name: each
        for row, c in _ROWS.items()
        for name, each in ((row, c), (f"{row}-honest", honest(c)))
    },
    # Synthetic tissue, a small network, a minute or two on a laptop CPU; fills no row.
    "demo": replace(
        honest(Config()),
        magnification="100X",
        validation=0.2,
        image_size=96,
        stem="pooled",
        depth=10,
        epochs=5,
        monitor="loss",
    ),
}
"""Settings of the table rows by name, each with its honest twin. Tables 1 and 2 print the same
eight networks; Tables 3 and 4 are one test set of the two at 200X."""

HONEST: dict[str, str] = {row: f"{row}-honest" for row in _ROWS}
"""The honest twin of each row."""


def leaks(config: Config) -> list[str]:
    """What may flatter a run of this config.

    Parameters
    ----------
    config : Config
        `split`, `augmentation`, `augment_when`.
    """
    found = []
    if config.split == "image":
        found.append("image-wise split: most patients lie in both training and test (W01)")
    if config.augmentation == "fourfold" and config.augment_when == "before":
        found.append("augmented before the split: copies of test images are trained on (W19)")
    return found


LEAKS: dict[str, str] = {row: "; ".join(leaks(config)) for row, config in PRESETS.items()}
"""What may flatter each row, for the table."""
