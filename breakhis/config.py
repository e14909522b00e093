"""Settings of the BreakHis z-score paper, every value with its source, and its table rows.

J. Nishio, N. Nishio, A. Nishio, "Magnification Independent Multi-Classification of Breast Cancer
in Histopathology Images Using Deep Learning", 2024.

Cost of a row: one fine-tuning of 30 epochs on 4,152 images (14,568 when oversampled). Command of
the main row: ``python -m breakhis.train --preset T2-binary-resnet50 --data-dir D``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from common.config import ASSUMED, Group, MixedPrecision, ResizeFilter, hp
from common.networks import Backbone

Paper = Literal["resnet50", "vgg19"]


@dataclass(frozen=True)
class Config:
    """Defaults are the main row: binary, ResNet50, all magnifications together (Table II)."""

    # Task
    classes: Literal[2, 8] = hp(2, "2: benign, malignant; 8: tumour types", "III.A")
    magnifications: tuple[str, ...] = hp(
        ("40X", "100X", "200X", "400X"),
        "which images are used, together",
        "III.B",
        aliases=("magnification",),
    )
    # Data
    split: Literal["image", "patient", "official", "file"] = hp(
        "image", "what is kept whole; official needs --fold-files", "III.B (leaks patients: B08)"
    )
    group: Group = hp(
        "case", "what counts as one patient", ASSUMED + "letter suffixes may be one patient"
    )
    fold: int = hp(
        1, "1 to 5, for --split official", ASSUMED + "the data set's own protocol", low=1, high=5
    )
    test: float = hp(
        0.3, "share of the images (of the patients' images)", "III.B", low=0.01, high=0.9
    )
    validation: float = hp(0.25, "share of the training images", "III.D", low=0.01, high=0.9)
    stratify: bool = hp(
        False,
        "keep class shares, for --split image",
        ASSUMED + "749 benign test images (B14), not 744",
    )
    image_size: int = hp(224, "side of the input, px; 700x460 is squeezed", "III.B", low=32)
    resize_filter: ResizeFilter = hp("area", "filter from 700x460 down", ASSUMED + "not mentioned")
    normalisation: Literal["dataset", "imagenet", "per_image", "own"] = hp(
        "dataset",
        "RGB z-score with statistics of the training set, of ImageNet or of each image; own: the "
        "scaling that comes with the network's weights",
        "III.C, eq. 1",
    )
    statistics_from: Literal["train", "train+validation"] = hp(
        "train+validation",
        "images whose mean and std are used",
        ASSUMED + "'all training images' are the 5536",
    )
    oversample: Literal["none", "before", "after"] = hp(
        "none",
        "raise each class to the largest, before (leaks copies: B05) or after the validation draw",
        "III.B",
    )
    oversample_with: tuple[Literal["flip", "rot90"], ...] = hp(
        ("flip", "rot90"), "how copies are made", ASSUMED + "rotations by 90 degrees need no fill"
    )
    stain_augmentation: float = hp(
        0.0,
        "largest random change of the stains while training (H&E): 0.05 is light, 0.2 strong",
        ASSUMED + "no paper's way",
        low=0,
        high=1,
    )
    # Network
    network: Literal[Paper, Backbone] = hp("resnet50", "the first two are the paper's", "III.D")
    weights: str = hp("imagenet", "imagenet, none, or a file of weights", "III.D")
    frozen_layers: int = hp(
        0, "first layers of the application that are not trained", ASSUMED + "not mentioned", low=0
    )
    dropout: float = hp(
        0.5, "VGG's dense layers only", ASSUMED + "VGG's own rate", low=0, high=0.99
    )
    bn_momentum: float | None = hp(
        0.9,
        "replaces BatchNorm momenta above 0.99; None keeps them",
        ASSUMED + "PyTorch's own value; ResNet50 of Keras has 0.99 and keeps it",
    )
    # Training
    learning_rate: float = hp(3e-4, "Adam's rate at the start", "III.D", low=0)
    learning_rate_end: float = hp(1e-5, "Adam's rate at the end", "III.D", low=0)
    schedule: Literal["cosine", "plateau", "constant"] = hp(
        "cosine", "how the rate falls", ASSUMED + "meets both printed ends"
    )
    weight_decay: float = hp(
        1e-4, "added to the gradient before Adam's moments, as PyTorch does", "III.D", low=0
    )
    epsilon: float = hp(1e-8, "Adam's epsilon", ASSUMED + "PyTorch's default", low=0)
    epochs: int = hp(30, "passes over the training images", "III.D (B09)", low=1)
    batch_size: int = hp(32, "images per step", "III.D", low=1)
    horizontal_flip: bool = hp(False, "random flips while training", ASSUMED + "none described")
    vertical_flip: bool = hp(False, "random flips while training", ASSUMED + "none described")
    select_on: Literal["validation", "last"] = hp(
        "validation", "whose result chooses the epoch", "III.D"
    )
    monitor: Literal["accuracy", "loss"] = hp(
        "accuracy", "what chooses the epoch on validation images", ASSUMED + "'best weights'"
    )
    # Repetition
    seed: int = hp(
        42, "of initialisation, order, oversampling", ASSUMED + "fixed, not given", low=0
    )
    split_seed: int = hp(42, "of split and validation draw", ASSUMED + "fixed, not given", low=0)
    mixed_precision: MixedPrecision = hp(
        "off", "number format of the layers", ASSUMED + "not mentioned"
    )
    deterministic: bool = hp(
        True, "same command, same predictions; slower on a GPU", ASSUMED + "not mentioned"
    )


_ROWS: dict[str, Config] = {
    "T2-binary-resnet50": Config(),
    "T2-binary-vgg19": Config(network="vgg19"),
    "T2-8class-resnet50": Config(classes=8),
    "T2-8class-resnet50-oversampled": Config(classes=8, oversample="before"),
    "T2-8class-vgg19": Config(classes=8, network="vgg19"),
    "T2-8class-vgg19-oversampled": Config(classes=8, network="vgg19", oversample="before"),
    # The second figures for one setting (B02, B03): tentatively the runs of 50 epochs.
    "F8-8class-resnet50-oversampled-50": Config(classes=8, oversample="before", epochs=50),
    "F8-8class-vgg19-oversampled-50": Config(
        classes=8, network="vgg19", oversample="before", epochs=50
    ),
}


def honest(row: Config) -> Config:
    """Keep patients apart; statistics and oversampling see training images only.

    Parameters
    ----------
    row : Config
        A row as the paper has it.
    """
    return replace(
        row,
        split="patient",
        statistics_from="train",
        oversample="none" if row.oversample == "none" else "after",
    )


PRESETS: dict[str, Config] = {
    **{
        name: each
        for row, c in _ROWS.items()
        for name, each in ((row, c), (f"{row}-honest", honest(c)))
    },
    # Synthetic tissue, random weights, minutes on a laptop CPU; fills no row.
    "demo": replace(
        honest(Config()),
        network="mobilenet_v2",
        weights="none",
        magnifications=("100X",),
        image_size=96,
        learning_rate=1e-3,
        horizontal_flip=True,
        vertical_flip=True,
        batch_size=16,
        epochs=12,
    ),
}
"""Table rows by name, each with its honest twin; each holds only its differences."""

HONEST: dict[str, str] = {row: f"{row}-honest" for row in _ROWS}
"""The honest twin of each row."""


UNPRINTED: dict[str, tuple[str, dict[str, Any]]] = {
    f"{row}, {words}": (row, {"normalisation": value})
    for row in (
        "T2-binary-resnet50",
        "T2-binary-vgg19",
        "T2-8class-resnet50",
        "T2-8class-resnet50-oversampled",
        "T2-8class-vgg19",
        "T2-8class-vgg19-oversampled",
    )
    for value, words in (
        ("imagenet", "ImageNet's statistics"),
        ("own", "no z-score: the weights' own scaling"),
    )
}
"""The ablation that the paper lacks (B07): its rows without the training set's z-score."""


def leaks(config: Config) -> list[str]:
    """What may flatter a run of this config.

    Parameters
    ----------
    config : Config
    """
    found = []
    if config.split == "image":
        found.append("image-wise split: most patients lie in both training and test (B08)")
    if config.oversample == "before":
        found.append("oversampled before the validation draw: copies of training images (B05)")
    if config.split == "patient" and config.statistics_from == "train+validation":
        found.append("z-score statistics include the validation images")
    return found


LEAKS: dict[str, str] = {row: "; ".join(leaks(config)) for row, config in PRESETS.items()}
"""What may flatter each row, for the table."""
