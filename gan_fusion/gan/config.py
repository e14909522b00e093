"""Settings of the conditional Wasserstein GAN, every value with its source, and its table rows.

A GAN's `metrics.json`: `fid`, `kid`, `kid_se`, `precision`, `recall`, `kimg` of the last
evaluation; `points`, a list of the same for every evaluation; `floor` {`fid`, `kid`, `kid_se`,
`images`}: two halves of the real images against each other; `features` (network, weights, size,
resize, "not comparable with published values"); `real_images`, `generated_images`,
`memorisation`. In `config.json` `kind` is "gan" and `no_classifier` a sentence; a classifier's run
has neither.

Cost of a row: 120 to 690 kimg at 512 px, which needs a graphics card. Command of the main row:
``python -m gan_fusion.train_gan --preset T9-batch32 --data-dir D``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from common.config import ASSUMED, DEVIATION, Execution, Group, ResizeFilter, hp
from common.datasets import bach
from common.errors import InputError

DataSet = Literal["breakhis", "bach", "own"]
Split = Literal["counts", "image", "patient", "partition", "file"]


@dataclass(frozen=True)
class GanConfig:
    """Defaults are the paper's choice: benign BreakHis images, gamma 1.0, batch 32 (Table 9)."""

    # Data
    dataset: DataSet = hp("breakhis", "data set; own: that of --images", "methods")
    own_classes: int = hp(
        0, "number of classes of --images", ASSUMED + "none of the data sets named", flag=False
    )
    magnifications: tuple[str, ...] = hp(
        ("40X", "100X", "200X", "400X"),
        "which BreakHis images are used, together",
        "Table 7",
        aliases=("magnification",),
    )
    labels: tuple[str, ...] = hp(
        ("benign",), "classes it learns to draw; empty: all of the data set", "Table 7 (G16)"
    )
    split: Split = hp("counts", "the classifier's split", "Table 2 (leaks patients: G33)")
    group: Group = hp(
        "case", "what counts as one patient", ASSUMED + "letter suffixes may be one patient"
    )
    test: float = hp(
        0.3, "share of the images, for --split image and patient",
        DEVIATION + "Table 2: 160 of 7909; as the classifier",
        low=0.01, high=0.9,
    )  # fmt: skip
    validation: float = hp(
        0.2, "share of the training images", "Table 2: 1551 of 7749", low=0.01, high=0.9
    )
    train_on: Literal["train", "all"] = hp(
        "train",
        "all also sees validation and test images, as printed; for T11-...-as-printed alone",
        DEVIATION + "the paper's 2480 images hold the classifier's test images (G15)",
    )
    image_size: int = hp(512, "side of the images, px; a power of two", "Table 7", low=32, high=512)
    resize_filter: ResizeFilter = hp(
        "area", "filter from the original size down", ASSUMED + "not mentioned"
    )
    crop: float = hp(
        1.0,
        "side of the random square crops that are shown, as a share of the image's shorter side; "
        "1: whole images, squeezed to a square",
        ASSUMED + "no crops are mentioned",
        low=0.05,
        high=1,
    )
    flips: bool = hp(
        True,
        "mirror real images at random, both ways; crops are turned as well",
        ASSUMED + "tissue has no up or left",
    )
    # Networks
    latent: int = hp(128, "length of the noise vector", ASSUMED + "not given", low=1)
    channels: int = hp(
        8192,
        "channels of a feature map are this over its side in px, up to --channels-most",
        ASSUMED + "not given",
        low=64,
    )
    channels_most: int = hp(256, "most channels of a feature map", ASSUMED + "not given", low=4)
    # Losses
    critic_loss: Literal["wasserstein", "logistic"] = hp(
        "wasserstein", "D(G) - D(x), or the logistic loss of both", "eq. 1"
    )
    generator_loss: Literal["hinge", "wasserstein", "logistic"] = hp(
        "hinge", "max(0, 1 - D(G)), -D(G), or the logistic loss", "eq. 2 (G17)"
    )
    feature_weight: float = hp(
        0.0, "lambda of the feature loss", ASSUMED + "optional, not given (eq. 2)", low=0
    )
    penalty: float = hp(
        10.0, "weight of the gradient penalty", ASSUMED + "the WGAN-GP paper's own (G17)", low=0
    )
    gamma: float = hp(1.0, "weight of R1, as gamma / 2", "Tables 7-8, read as R1's weight (G18)",
                      low=0)  # fmt: skip
    penalty_every: int = hp(
        1,
        "both penalties at every n-th step alone, n times as heavy",
        ASSUMED + "not mentioned",
        low=1,
    )
    drift: float = hp(
        1e-3,
        "weight of the squared scores of real images",
        ASSUMED + "a linear critic has no zero, the hinge needs one",
        low=0,
    )
    # Training
    kimg: float = hp(600, "thousands of real images shown to the critic", "Table 9", low=0.001)
    batch_size: int = hp(32, "images per critic step", "Table 9", low=1)
    learning_rate: float = hp(0.0025, "Adam's rate, generator", "Table 7", low=0)
    critic_learning_rate: float = hp(0.0025, "Adam's rate, critic", "Table 7", low=0)
    beta_1: float = hp(0.0, "Adam's first moment", ASSUMED + "the WGAN-GP paper's", low=0, high=1)
    beta_2: float = hp(0.9, "Adam's second moment", ASSUMED + "the WGAN-GP paper's", low=0, high=1)
    critic_steps: int = hp(
        5, "critic steps per generator step", ASSUMED + "the WGAN-GP paper's (G17)", low=1
    )
    critic_first: int = hp(
        100, "critic steps before the generator's first", ASSUMED + "only named (methods)", low=0
    )
    average: float = hp(
        0.999,
        "decay per generator step of the averaged generator, whose images are used; 0: none",
        ASSUMED + "not mentioned",
        low=0,
        high=0.99999,
    )
    # Evaluation
    evaluate_every: float = hp(20, "kimg between evaluations", ASSUMED + "not given", low=0.001)
    samples: int = hp(2000, "images generated for FID and KID", ASSUMED + "not given", low=20)
    feature_network: Literal[
        "inception_v3", "mobilenet_v2", "resnet50", "densenet201", "vgg16", "xception",
    ] = hp("inception_v3", "network whose features are compared", "FID section (G20)")  # fmt: skip
    feature_size: int = hp(299, "side in px of its input", ASSUMED + "InceptionV3's own", low=32)
    feature_filter: ResizeFilter = hp("linear", "filter to that size", ASSUMED + "not mentioned")
    weights: str = hp(
        "imagenet", "of the feature network: imagenet, none, or a file", "FID section"
    )
    # Repetition
    seed: int = hp(0, "of initialisation, order, noise", ASSUMED + "not given", low=0)
    split_seed: int = hp(0, "of the split", ASSUMED + "as the classifier", low=0)
    mixed_precision: Literal["off", "bfloat16"] = hp(
        "off", "number format of the layers; penalties stay in float32", ASSUMED + "not mentioned"
    )
    deterministic: bool = hp(
        True, "same command, same images; slower on a GPU", ASSUMED + "not mentioned"
    )

    @property
    def classes(self) -> int:
        """Number of classes of the data set's task."""
        return self.own_classes or {"breakhis": 2, "bach": 4}[self.dataset]


@dataclass(frozen=True)
class DataExecution(Execution):
    """What the GAN's command takes besides: BACH's patients, as far as they are known."""

    patients: Path | None = hp(
        None,
        f"CSV with the columns image and patient, for BACH ({bach.PATIENTS}); its content is "
        "hashed",
        "",
    )


_GAMMAS = {0.5: 240, 1.0: 300, 1.5: 300, 1.55: 300, 2.0: 300, 5.0: 120, 6.55: 320}
_BATCHES = {16: 620, 32: 600, 64: 644, 128: 690}

_ROWS: dict[str, GanConfig] = {
    # Table 8 gives no batch size, Table 9 no gamma: the ones found best (G19).
    **{f"T8-gamma{g}": GanConfig(gamma=g, kimg=kimg) for g, kimg in _GAMMAS.items()},
    **{f"T9-batch{n}": GanConfig(batch_size=n, kimg=kimg) for n, kimg in _BATCHES.items()},
    # The paper uses images of a GAN on ICIAR (Table 12) and describes none: classes, images and
    # length (that of most rows of Table 8) are our choice.
    "T12-gan": GanConfig(dataset="bach", labels=(), kimg=300),
}


def split_by_patient(dataset: DataSet) -> Split:
    """Split of the honest twins: of BACH, whose patients are partly known, a published one.

    Parameters
    ----------
    dataset : {"breakhis", "bach"}
    """
    return "partition" if dataset == "bach" else "patient"


def honest(row: GanConfig, kimg: float) -> GanConfig:
    """Training patients only, and as many images shown as to the other rows of the table (G19).

    Parameters
    ----------
    row : GanConfig
    kimg : float
        Thousands of images shown.
    """
    return replace(row, split=split_by_patient(row.dataset), kimg=kimg)


GAN_ROWS: dict[str, GanConfig] = {
    **_ROWS,
    **{
        f"{name}-honest": honest(row, 600 if name.startswith("T9") else 300)
        for name, row in _ROWS.items()
    },
}
"""Table rows by name, each with its honest twin."""

AS_PRINTED: dict[str, str] = {name: f"{name}-as-printed" for name in _ROWS if name != "T12-gan"}
"""The GAN as the paper trained it: on all 2,480 benign images, those tested on too (G15)."""

OWN_WAY: dict[str, GanConfig] = {
    own: replace(_ROWS[name], train_on="all") for name, own in AS_PRINTED.items()
}
"""Presets of these, which fill no row."""

# Both classes at 64 px with a small network, for a machine without a graphics card. Crops show
# nuclei where whole images do not; the logistic loss with a light R1 keeps one critic step per
# generator step in balance, where the Wasserstein loss falls behind.
_SMALL = replace(
    GanConfig(),
    labels=(),
    split="patient",
    magnifications=("100X",),
    image_size=64,
    crop=0.4,
    channels=1024,
    channels_most=128,
    critic_loss="logistic",
    generator_loss="logistic",
    penalty=0.0,
    gamma=0.1,
    penalty_every=8,
    drift=0.0,
    kimg=48,
    batch_size=16,
    learning_rate=0.001,
    critic_learning_rate=0.002,
    beta_2=0.99,
    critic_steps=1,
    critic_first=0,
    average=0.998,
    evaluate_every=4,
    samples=1000,
    feature_network="mobilenet_v2",
    feature_size=96,
)

PRESETS: dict[str, GanConfig] = {
    **GAN_ROWS,
    **OWN_WAY,
    "small": _SMALL,
    # Synthetic tissue, random features, minutes on a laptop CPU; fills no row.
    "demo": replace(
        _SMALL,
        image_size=32,
        crop=1.0,
        channels=512,
        channels_most=64,
        kimg=8,
        average=0.99,
        evaluate_every=2,
        samples=200,
        # Random features of the others are nearly zero, and so are all distances between them.
        feature_network="vgg16",
        feature_size=32,
        weights="none",
    ),
}
"""Table rows by name, and settings for small machines; each holds only its differences."""


def check_size(size: int) -> None:
    """Refuse sides that are no power of two between 32 and 512 px.

    Parameters
    ----------
    size : int
        px.

    Raises
    ------
    InputError
        Naming the flag.
    """
    if size not in (32, 64, 128, 256, 512):
        raise InputError(f"--image-size {size}: a GAN draws 32, 64, 128, 256 or 512 px")


def leaks(config: GanConfig) -> list[str]:
    """What may flatter a classifier that trains on this GAN's images.

    Parameters
    ----------
    config : GanConfig
    """
    found = ["the GAN sees validation and test images (G15)"] if config.train_on == "all" else []
    return found + split_leaks(config.dataset, config.split)


def split_leaks(dataset: DataSet, split: Split) -> list[str]:
    """How training and test part of a split may share patients.

    Parameters
    ----------
    dataset : {"breakhis", "bach"}
    split : str
        As the settings name it.
    """
    if split in ("counts", "image"):
        many = "patients may lie" if dataset == "bach" else "most patients lie"
        return [f"image-wise split: {many} in both training and test (G33)"]
    if split == "partition":
        return ["the partition keeps apart the patients that are known, which are not all"]
    if split == "file" and dataset == "bach":
        return [f"{bach.NO_PATIENTS}: whether the file keeps them apart is not known"]
    return []
