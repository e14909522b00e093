"""The table of image networks, without Keras: names, sizes, scaling, stages, weights.

A network is named as Keras names its module. Papers take the names of their settings from
`Backbone`: a paper's own networks stand first, and the rest follow in the table's order,
``Literal[Own, Backbone]``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from common.errors import InputError

__all__ = [
    "NETWORKS",
    "NORMALISATIONS",
    "Backbone",
    "Network",
    "Normalisation",
    "Scale",
    "get",
    "gradcam_layers",
    "operations",
    "stored_weights",
    "title",
]

Backbone = Literal[
    "convnext_tiny", "resnet50", "resnet101", "inception_v3", "mobilenet_v2", "vgg16",
    "vgg19", "densenet201", "nasnet_mobile", "mobilenet", "xception",
]  # fmt: skip
"""Names of the networks that `common.backbones` builds."""

Scale = Literal["caffe", "tf", "torch"]
"""Input conventions of ImageNet weights; `common.normalise.InputScaling` knows one more, "raw"."""

Normalisation = Literal["own", "none", "dataset", "imagenet", "per_image"]
"""What a network does to the raw pixels first; see `common.backbones.features`."""

NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)


@dataclass(frozen=True)
class Network:
    """What is particular about one network of `keras.applications`."""

    application: str
    """Name of the constructor in `keras.applications`."""
    scale: Scale
    """Input convention of the ImageNet weights, see `common.normalise.InputScaling`."""
    smallest_size: int
    """Smallest image side in px."""
    gradcam: dict[str, str]
    """Stage -> layer whose output Grad-CAM looks at, from the finest to the last stage."""
    note: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the constructor."""
    dense: tuple[str, ...] = ()
    """Dense layers before the ImageNet classes; their weights fit images of 224 px only."""
    weights_size: int | None = None
    """The one image side in px at which Keras gives ImageNet weights; None: any."""
    operations: float = 0.0
    """Multiply-accumulates of one image of 224 px up to the last map, in units of 10^9."""
    stored_as: dict[str, str] = field(default_factory=dict)
    """Files that Keras stores under another name than the server's: server's -> stored."""


_RESNET_NOTE = "convolutions with bias, stride in the first 1x1 convolution of a block (ResNet v1)"
_VGG_DENSE = ("fc1", "fc2")


def _resnet_stages(*blocks: int) -> dict[str, str]:
    return {f"stage_{k - 1}": f"conv{k}_block{n}_out" for k, n in enumerate(blocks, 2)}


def _vgg_stages(*convolutions: int) -> dict[str, str]:
    return {f"stage_{k}": f"block{k}_conv{n}" for k, n in enumerate(convolutions, 1)}


NETWORKS: dict[Backbone, Network] = {
    "convnext_tiny": Network(
        "ConvNeXtTiny",
        "torch",
        32,
        # The sums that end a block are operations without a layer, so the last layer of a stage
        # that still has a spatial 2-D output of its own is the depthwise convolution.
        {
            f"stage_{k + 1}": f"convnext_tiny_stage_{k}_block_{last}_depthwise_conv"
            for k, last in enumerate((2, 2, 8, 2))
        },
        "stem and downsampling are nested Sequentials; pointwise convolutions are Dense layers",
        # Keras' Normalization layer inside ConvNeXt is left out: InputScaling does the same.
        {"include_preprocessing": False},
        operations=4.455,
    ),
    "resnet50": Network(
        "ResNet50", "caffe", 32, _resnet_stages(3, 4, 6, 3), _RESNET_NOTE, operations=3.856
    ),
    "resnet101": Network(
        "ResNet101", "caffe", 32, _resnet_stages(3, 4, 23, 3), _RESNET_NOTE, operations=7.568
    ),
    "inception_v3": Network(
        "InceptionV3",
        "tf",
        75,
        {"stage_1": "mixed2", "stage_2": "mixed7", "stage_3": "mixed10"},
        "BatchNorm without scale",
        operations=2.836,
    ),
    "mobilenet_v2": Network(
        "MobileNetV2",
        "tf",
        32,
        {
            "stage_1": "block_2_add",
            "stage_2": "block_5_add",
            "stage_3": "block_12_add",
            "stage_4": "out_relu",
        },
        "BatchNorm momentum 0.999; ImageNet weights of their own for 96, 128, 160, 192, 224 px, "
        "those of 224 px at other sizes",
        operations=0.299,
    ),
    "vgg16": Network(
        "VGG16", "caffe", 32, _vgg_stages(2, 2, 3, 3, 3), dense=_VGG_DENSE, operations=15.347
    ),
    "vgg19": Network(
        "VGG19", "caffe", 32, _vgg_stages(2, 2, 4, 4, 4), dense=_VGG_DENSE, operations=19.508
    ),
    "densenet201": Network(
        "DenseNet201",
        "torch",
        32,
        {
            "stage_1": "conv2_block6_concat",
            "stage_2": "conv3_block12_concat",
            "stage_3": "conv4_block48_concat",
            "stage_4": "relu",
        },
        operations=4.289,
    ),
    "nasnet_mobile": Network(
        "NASNetMobile",
        "tf",
        32,
        {
            "stage_1": "normal_concat_3",
            "stage_2": "normal_concat_8",
            "stage_3": "normal_concat_12",
        },
        "BatchNorm momentum 0.9997; ImageNet weights come at 224 px and are copied to other sizes",
        weights_size=224,
        stored_as={"NASNet-mobile-no-top.h5": "nasnet_mobile_no_top.h5"},
        operations=0.563,
    ),
    "mobilenet": Network(
        "MobileNet",
        "tf",
        32,
        {
            "stage_1": "conv_pw_3_relu",
            "stage_2": "conv_pw_5_relu",
            "stage_3": "conv_pw_11_relu",
            "stage_4": "conv_pw_13_relu",
        },
        "ImageNet weights of their own for 128, 160, 192, 224 px, those of 224 px at other sizes",
        operations=0.568,
    ),
    "xception": Network(
        "Xception",
        "tf",
        71,
        {
            "stage_1": "xception_add",
            "stage_2": "xception_add_1",
            "stage_3": "xception_add_10",
            "stage_4": "block14_sepconv2_act",
        },
        operations=4.551,
    ),
}
"""Every network by its name, in the order in which they are shown."""


def get(name: str, image_size: int | None = None) -> Network:
    """Look a network up.

    Parameters
    ----------
    name : str
        Key of `NETWORKS`.
    image_size : int, optional
        Side in px of the images that it has to take.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        For an unknown network, or images that are too small for it.
    """
    network = next((each for known, each in NETWORKS.items() if known == name), None)
    if network is None:
        raise InputError(f"unknown network {name!r}: one of {', '.join(NETWORKS)}")
    if image_size is not None and image_size < network.smallest_size:
        raise InputError(
            f"{name} needs images of at least {network.smallest_size} px, not {image_size}"
        )
    return network


def gradcam_layers(name: str, prefix: str = "") -> dict[str, str]:
    """Layers whose output Grad-CAM shows, stage by stage, the last stage last.

    Parameters
    ----------
    name : str
        Key of `NETWORKS`.
    prefix : str
        The prefix that the network's layers were built with.

    Returns
    -------
    dict
        Stage ("stage_1" ...) -> name of the layer.

    Raises
    ------
    InputError
        For an unknown network.
    """
    return {stage: prefix + layer for stage, layer in get(name).gradcam.items()}


def stored_weights(name: str) -> list[Path]:
    """Find the files of a network's ImageNet weights that Keras has stored on this machine.

    Parameters
    ----------
    name : str
        Key of `NETWORKS`.

    Returns
    -------
    list of Path
        Of other image sizes too; empty if there is none.
    """
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if not os.access(home, os.W_OK):  # as keras.utils.get_file decides
        home = Path("/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()) / ".keras"

    def network(file: Path) -> str:
        # Every file begins with its network's name, mobilenet_v2's therefore also with another's.
        return max((n for n in NETWORKS if file.name.startswith(f"{n}_")), key=len, default="")

    return sorted(file for file in (home / "models").glob("*.h5") if network(file) == name)


def operations(name: str, image_size: int) -> float:
    """About how many multiply-accumulates one image costs, forward, without a head.

    Parameters
    ----------
    name : str
        Key of `NETWORKS`.
    image_size : int
        Side of the input, px.

    Returns
    -------
    float
        Those of 224 px, by area: what is at hand without building the network
        (`common.backbones.multiply_accumulates` counts a built one).
    """
    return get(name).operations * 1e9 * (image_size / 224) ** 2


def title(config: Mapping[str, Any]) -> str:
    """Name the network of a run.

    Parameters
    ----------
    config : mapping
        Every field of a paper's Config.

    Returns
    -------
    str
        The setting `network`; of a wide residual network, which has none, WRN-depth-width; "" where
        neither is said.
    """
    if network := config.get("network"):
        return str(network)
    depth, width = config.get("depth"), config.get("width")
    return f"WRN-{depth}-{width}" if depth and width else ""
