"""Settings of the HER2 scoring paper, every value with its source; its twelve rows, its own way.

Lamiaa Abdel-Hamid, "ConvNeXt for Breast Cancer HER2 Scoring Using Different Types of
Histopathological Stained Images", 2025, doi 10.12720/jait.16.7.966-972.

Cost of a row: one fine-tuning of 30 epochs on 3,506 images. Command of the main row:
``python -m her2scoring.train --preset T3-convnext_tiny-he --data-dir D``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from common.config import ASSUMED, DEVIATION, MixedPrecision, ResizeFilter, hp
from common.datasets import bci
from common.networks import Backbone

Paper = Literal["convnext_tiny", "resnet50", "inception_v3", "mobilenet_v2"]


@dataclass(frozen=True)
class Config:
    """Defaults are the main row: ConvNeXt-Tiny, H&E, four classes (Table III)."""

    # Task
    stain: Literal["he", "ihc"] = hp("he", "stain of the patches", "III.A")
    classes: Literal[3, 4] = hp(4, "4: 0, 1+, 2+, 3+; 3: negative, borderline, positive", "III.A")
    # Data
    split: Literal["official", "image", "patient", "file"] = hp(
        "official",
        "official: BCI's train and test folders",
        DEVIATION
        + "III.A trains on about 90 %, its 407 test images are not known (H02); these are BCI's "
        "own folders",
    )
    validation: float = hp(
        0.1,
        "share of the training images",
        DEVIATION + "III.A has none; the epoch would be chosen on test images (H06)",
        low=0.01,
        high=0.9,
    )
    test: float = hp(
        0.2,
        "share of test images, for --split image",
        DEVIATION + "III.A leaves about 10 %; this is the share of BCI's own test folder",
        low=0.01,
        high=0.9,
    )
    min_tissue: float = hp(
        0.0,
        "leave out patches with a smaller share of tissue, 0 to 1",
        DEVIATION + "III.A leaves patches out by a rule that it does not give (H13); 0 keeps all",
        low=0,
        high=1,
    )
    image_size: int = hp(224, "side of the input, px", "III.A", low=32)
    resize_filter: ResizeFilter = hp(
        "area", "filter from 1024 px down", ASSUMED + "smaller by 4.57: others alias"
    )
    horizontal_flip: bool = hp(True, "random flips, training images only", "III.C")
    vertical_flip: bool = hp(True, "random flips, training images only", "III.C")
    shift: float = hp(
        0.1,
        "largest shift, share of width and height",
        ASSUMED + "the size is not given",
        low=0,
        high=1,
    )
    fill_mode: Literal["nearest", "reflect", "wrap", "constant"] = hp(
        "nearest", "what a shift leaves bare", ASSUMED + "ImageDataGenerator's default"
    )
    stain_augmentation: float = hp(
        0.0,
        "largest random change of the stains while training (H&E): 0.05 is light, 0.2 strong",
        ASSUMED + "no paper's way",
        low=0,
        high=1,
    )
    # Network
    network: Literal[Paper, Backbone] = hp(
        "convnext_tiny", "the first four are the paper's", "III.B"
    )
    weights: str = hp("imagenet", "imagenet, none, or a file of weights without top", "III.B")
    normalisation: Literal["own", "none"] = hp(
        "own", "own: the input scaling of the network's weights", ASSUMED + "not mentioned"
    )
    head_units: tuple[int, ...] = hp((512, 256), "dense layers before the logits", "III.B")
    head_activation: Literal["relu", "gelu", "swish"] = hp(
        "relu", "of the dense layers", ASSUMED + "customary before a softmax"
    )
    dropout: float = hp(
        0.5, "rate after each dense layer", ASSUMED + "the rate is not given", low=0, high=0.99
    )
    bn_momentum: float | None = hp(
        0.9,
        "replaces BatchNorm momenta above 0.99; None keeps them",
        DEVIATION + "MobileNetV2's 0.999 never catches up in 30 epochs",
    )
    # Training
    learning_rate: float = hp(1e-4, "Adam's rate at the start", "III.C", low=0)
    drop_epoch: int = hp(15, "epochs before the rate drops", "III.C", low=1)
    drop_factor: float = hp(0.1, "what the rate is multiplied by then", "III.C", low=0, high=1)
    epochs: int = hp(30, "passes over the training images", "III.C", low=1)
    batch_size: int = hp(16, "images per step", "III.C", low=1)
    class_weights: Literal["none", "balanced"] = hp(
        "none", "balanced: n / (classes x n of the class)", ASSUMED + "not mentioned"
    )
    select_on: Literal["validation", "test", "last"] = hp(
        "validation",
        "whose accuracy chooses the epoch; test is the paper's way and flatters",
        DEVIATION + "the paper's epoch column shows that it chose on the reported set (H06)",
    )
    # Repetition
    seed: int = hp(0, "of initialisation, order and augmentation", ASSUMED + "not mentioned", low=0)
    split_seed: int = hp(0, "of split and validation draw", ASSUMED + "not mentioned", low=0)
    mixed_precision: MixedPrecision = hp(
        "off", "number format of the layers", ASSUMED + "not mentioned"
    )
    deterministic: bool = hp(
        True, "same command, same predictions; slower on a GPU", ASSUMED + "not mentioned"
    )


_NETWORKS: tuple[Paper, ...] = ("inception_v3", "resnet50", "mobilenet_v2", "convnext_tiny")

PRESETS: dict[str, Config] = {
    # Table I: IHC, 3 classes. Table II: H&E, 3 classes. Table III: 4 classes, the two best.
    **{f"T1-{n}": Config(stain="ihc", classes=3, network=n) for n in _NETWORKS},
    **{f"T2-{n}": Config(stain="he", classes=3, network=n) for n in _NETWORKS},
    **{
        f"T3-{n}-{stain}": Config(stain=stain, classes=4, network=n)
        for n in ("convnext_tiny", "resnet50")
        for stain in ("ihc", "he")
    },
    # The paper's own way with Tables I and II, whose epochs were chosen on the reported images
    # (H06): experiments that show what it is worth. Their training yields the row's run as well.
    **{
        f"T1-{n}-as-printed": Config(stain="ihc", classes=3, network=n, select_on="test")
        for n in _NETWORKS
    },
    **{
        f"T2-{n}-as-printed": Config(stain="he", classes=3, network=n, select_on="test")
        for n in _NETWORKS
    },
    # Synthetic tissue, random weights, minutes on a laptop CPU; fills no row.
    "demo": replace(
        Config(),
        network="mobilenet_v2",
        weights="none",
        image_size=96,
        head_units=(64,),
        dropout=0.2,
        learning_rate=1e-3,
        drop_epoch=8,
        epochs=10,
        validation=0.15,
    ),
}
"""Table rows by name; each holds only its differences from `Config`."""

AS_PRINTED: dict[str, str] = {
    name.removesuffix("-as-printed"): name for name in PRESETS if name.endswith("-as-printed")
}
"""The row as the paper did it where the row does otherwise, because that flatters."""

HONEST: dict[str, str] = {
    row: f"none: {bci.NO_PATIENTS}, so no patient-wise split can be built"
    for row in PRESETS
    if row != "demo" and row not in AS_PRINTED.values()
}
"""The honest twin of each row, or why there is none."""


def leaks(config: Config, *, own: bool = False) -> list[str]:
    """What may flatter a run of this config.

    Parameters
    ----------
    config : Config
    own : bool
        Of images that are not BCI's, whose slides may be known.
    """
    found = []
    if config.split != "patient" and not own:
        found.append("slides unknown: one patient's patches may lie in both training and test")
    if config.select_on == "test":
        found.append("the epoch was chosen on the test images (the paper's way)")
    if config.split == "official":
        found.append("validation images may come from the slides that were trained on")
    return found


LEAKS: dict[str, str] = {row: "; ".join(leaks(config)) for row, config in PRESETS.items()}
"""What may flatter each row, for the table."""
