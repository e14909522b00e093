"""Image networks of `keras.applications` with their own input scaling, built flat.

Every network becomes part of one flat functional graph: an `Input` for raw RGB pixels, one
`InputScaling` layer, then the application's own layers under their own names. A nested backbone
would hide its layers from Grad-CAM, from freezing by index and from loading by name.

Layers that Keras names by a global counter (``conv2d_12``, ``activation_281``) get fixed names
with the network's name in front (``inception_v3_conv2d_12``), the number being that of a fresh
process. Otherwise the names would depend on what was built before.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import socket
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from common import errors
from common.errors import InputError
from common.normalise import IMAGENET_MEAN, IMAGENET_STD, InputScaling


@dataclass(frozen=True)
class Network:
    """What is particular about one network of `keras.applications`."""

    application: str
    """Name of the constructor in `keras.applications`."""
    scale: str
    """Input convention of the ImageNet weights, see `InputScaling`."""
    smallest_size: int
    """Smallest image side in px."""
    gradcam: dict[str, str]
    """Stage -> layer whose output Grad-CAM looks at, from the finest to the last stage."""
    note: str = ""
    options: dict = field(default_factory=dict)
    """Further arguments of the constructor."""


_RESNET_NOTE = "convolutions with bias, stride in the first 1x1 convolution of a block (ResNet v1)"

NETWORKS: dict[str, Network] = {
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
    ),
    "resnet50": Network(
        "ResNet50",
        "caffe",
        32,
        {f"stage_{k - 1}": f"conv{k}_block{n}_out" for k, n in ((2, 3), (3, 4), (4, 6), (5, 3))},
        _RESNET_NOTE,
    ),
    "resnet101": Network(
        "ResNet101",
        "caffe",
        32,
        {f"stage_{k - 1}": f"conv{k}_block{n}_out" for k, n in ((2, 3), (3, 4), (4, 23), (5, 3))},
        _RESNET_NOTE,
    ),
    "inception_v3": Network(
        "InceptionV3",
        "tf",
        75,
        {"stage_1": "mixed2", "stage_2": "mixed7", "stage_3": "mixed10"},
        "BatchNorm without scale",
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
    ),
    "vgg16": Network(
        "VGG16",
        "caffe",
        32,
        {f"stage_{k}": f"block{k}_conv{n}" for k, n in enumerate((2, 2, 3, 3, 3), 1)},
    ),
    "vgg19": Network(
        "VGG19",
        "caffe",
        32,
        {f"stage_{k}": f"block{k}_conv{n}" for k, n in enumerate((2, 2, 4, 4, 4), 1)},
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
    ),
}

NORMALISATIONS = ("own", "none", "dataset", "imagenet", "per_image")

# Seconds without an answer from the download server before we give up.
DOWNLOAD_TIMEOUT = 20

# Downloaded files that Keras stores under another name than the server's.
_DOWNLOADED_AS = {"NASNet-mobile-no-top.h5": "nasnet_mobile_no_top.h5"}

# Names of an application's layers in its own order, unprefixed; `freeze` counts along them.
_layer_names: dict[str, list[str]] = {}


def features(
    name: str,
    image_size: int,
    *,
    weights: str | Path | None = "none",
    normalisation: str = "own",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bn_momentum: float | None = 0.9,
    prefix: str = "",
    inputs=None,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Build a network without its classifier, from raw pixels to its last feature map.

    Parameters
    ----------
    name : str
        Key of `NETWORKS`.
    image_size : int
        Side of the square images in px.
    weights : {"none", "imagenet"} or path
        "none" for random weights, or a file: ``.weights.h5`` or ``.keras`` written by Keras for
        this application with ``include_top=False``, or ``.h5`` as Keras downloads it.
    normalisation : {"own", "none", "dataset", "imagenet", "per_image"}
        "own" is the scaling that comes with the network; "none" passes the pixels on as they are;
        the others z-score the image with `mean` and `std`, with ImageNet's, or with its own
        statistics, and map the result to the scale of the weights (see `InputScaling`).
    mean, std : three floats
        RGB statistics in [0, 1], for "dataset" only.
    bn_momentum : float or None
        Replaces BatchNorm momenta above 0.99; None keeps Keras' values.
    prefix : str
        Goes before every layer's name, for several networks in one model.
    inputs : KerasTensor, optional
        A `keras.Input` to share between several networks; made here by default.

    Returns
    -------
    inputs : KerasTensor, float32, (None, image_size, image_size, 3), RGB [0, 255]
    feature_map : KerasTensor, (None, h, w, channels)

    Raises
    ------
    InputError
        For an unknown network, too small an image, weights that are missing, damaged or of another
        network, or normalisation values that do not fit.
    """
    network = _network(name, image_size)
    application = _load(name, image_size, weights, include_top=False)
    inputs, scaled = _scaled_input(network, image_size, normalisation, mean, std, prefix, inputs)
    return inputs, _connect(name, application, inputs, scaled, bn_momentum, prefix)


def classifier(
    name: str,
    image_size: int,
    classes: int,
    *,
    head: Callable | None = None,
    dropout: float | None = None,
    keep_top_dense: bool = False,
    weights: str | Path | None = "none",
    normalisation: str = "own",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bn_momentum: float | None = 0.9,
    prefix: str = "",
) -> keras.Model:
    """Build a classifier: raw pixels -> network -> head -> `logits` -> `probabilities`.

    Parameters
    ----------
    name, image_size, weights, normalisation, mean, std, bn_momentum, prefix
        As in `features`.
    classes : int
        Number of classes, at least 2.
    head : callable, optional
        Maps the feature map (None, h, w, channels) to a vector per image. Global average pooling
        by default.
    dropout : float, optional
        Rate before `logits` under the default head (0 if not given), or after each of the two
        4096 layers with `keep_top_dense` (0.5 if not given).
    keep_top_dense : bool
        VGG only, 224 px only: keep the application's two dense layers of 4096 units (`fc1`, `fc2`)
        with their weights; a weights file must then be one for ``include_top=True``.

    Returns
    -------
    keras.Model
        Flat functional model, not compiled. `probabilities` is a float32 softmax (None, classes).

    Raises
    ------
    InputError
        As `features`; also for `keep_top_dense` with another network, size or a head.
    """
    if classes < 2:
        raise InputError(f"a softmax classifier needs at least 2 classes, not {classes}")
    network = _network(name, image_size)
    if keep_top_dense:
        if name not in ("vgg16", "vgg19"):
            raise InputError(f"{name} has no dense layers to keep: only vgg16 and vgg19 do")
        if image_size != 224:
            raise InputError(
                f"{name} with its two 4096 layers takes 224 px images only, not {image_size}: "
                "their weights belong to a 7x7 feature map"
            )
        if head is not None:
            raise InputError("keep_top_dense is a head of its own: give no other head")
    elif head is not None and dropout is not None:
        raise InputError("dropout belongs to the default head: put it into the given head instead")

    application = _load(name, image_size, weights, include_top=keep_top_dense)
    inputs, scaled = _scaled_input(network, image_size, normalisation, mean, std, prefix, None)
    if keep_top_dense:
        # The 1000 ImageNet classes go; dropout sits where the VGG paper and Caffe have it.
        application = keras.Model(application.input, application.get_layer("fc2").output)
        rate = 0.5 if dropout is None else dropout
        after = {
            layer: keras.layers.Dropout(rate, name=f"{prefix}{layer}_dropout")
            for layer in ("fc1", "fc2")
        }
    else:
        after = {}
    x = _connect(name, application, inputs, scaled, bn_momentum, prefix, after)
    if head is not None:
        x = head(x)
    elif not keep_top_dense:
        x = keras.layers.GlobalAveragePooling2D(name=f"{prefix}pool")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{prefix}dropout")(x)
    # float32 under every policy: bfloat16 knows 2.0 and 2.016, and nothing between.
    x = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    x = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, x, name=name)


def gradcam_layers(name: str, prefix: str = "") -> dict[str, str]:
    """Layers whose output Grad-CAM shows, stage by stage, the last stage last.

    Raises
    ------
    InputError
        For an unknown network.
    """
    return {stage: prefix + layer for stage, layer in _network(name).gradcam.items()}


def freeze(model: keras.Model, layers: int | str, application: str, prefix: str = "") -> list[str]:
    """Make the first layers of a network inside `model` untrainable.

    Layers are counted along the application's own ``layers`` list, input layer included, as in
    ``for layer in base.layers[:layers]: layer.trainable = False``; in the flat model the order is
    another. A frozen BatchNorm also runs on its moving statistics (Keras' rule). Compile after
    freezing.

    Parameters
    ----------
    layers : int or "all"
        How many of the application's layers to freeze.
    application : str
        Which network, key of `NETWORKS`.
    prefix : str
        The prefix it was built with.

    Returns
    -------
    list of str
        Names of the frozen layers.

    Raises
    ------
    InputError
        If the network is not part of the model or has fewer layers.
    """
    if application not in _layer_names:
        network = _network(application)
        state = random.getstate()  # Keras draws its initial weights from here; leave no trace.
        _remember_layers(application, _build(network, network.smallest_size, None, False))
        random.setstate(state)
    names = _layer_names[application]
    count = len(names) if layers == "all" else layers
    if not isinstance(count, int) or not 0 <= count <= len(names):
        raise InputError(
            f"cannot freeze {layers!r} layers of {application}: 0 to {len(names)}, or 'all'"
        )
    # names[0] is the application's input layer, which counts but has no counterpart.
    wanted = [prefix + name for name in names[1:]]
    found = {layer.name: layer for layer in model.layers}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"{application} with prefix {prefix!r} is not part of the model {model.name}: "
            f"no layer {missing[0]}"
        )
    frozen = wanted[: max(count - 1, 0)]
    for name in frozen:
        found[name].trainable = False
    return frozen


def download(name: str, image_size: int = 224) -> list[Path]:
    """Let Keras fetch a network's ImageNet weights, for later use without a network connection.

    Parameters
    ----------
    name : str
        One of `NETWORKS`. VGG comes with and without its dense layers.
    image_size : int
        Side of the square images in px: Keras keeps MobileNet's and MobileNetV2's weights for
        128, 160 and 192 px (MobileNetV2: 96 too) in files of their own.

    Returns
    -------
    list of Path
        The network's files in Keras' cache, of other sizes too.

    Raises
    ------
    InputError
        If the network is unknown, or a file cannot be had.
    """
    _network(name, image_size)
    _load(name, image_size, "imagenet", include_top=False)
    if name in ("vgg16", "vgg19"):
        _load(name, 224, "imagenet", include_top=True)
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if not os.access(home, os.W_OK):  # as keras.utils.get_file decides
        home = Path("/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()) / ".keras"

    def network(file: Path) -> str:
        # Every file begins with its network's name, mobilenet_v2's therefore also with another's.
        return max((n for n in NETWORKS if file.name.startswith(f"{n}_")), key=len, default="")

    return sorted(file for file in (home / "models").glob("*.h5") if network(file) == name)


def parameters(model: keras.Model) -> dict[str, int]:
    """Count the parameters of a model: `total`, `trainable`, `non_trainable`."""
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    fixed = sum(int(np.prod(v.shape)) for v in model.non_trainable_weights)
    return {"total": trainable + fixed, "trainable": trainable, "non_trainable": fixed}


def multiply_accumulates(model: keras.Model) -> int:
    """Count the multiply-accumulates of a model's convolutions and dense layers for one image.

    Batch normalisation, activations, pooling and additions are not counted, as is usual.
    """
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            # Its kernel is (height, width, input channels, multiplier).
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            # A grouped convolution's kernel has the channels of one group, as it multiplies.
            total += math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return total


def _network(name: str, image_size: int | None = None) -> Network:
    if name not in NETWORKS:
        raise InputError(f"unknown network {name!r}: one of {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    if image_size is not None and image_size < network.smallest_size:
        raise InputError(
            f"{name} needs images of at least {network.smallest_size} px, not {image_size}"
        )
    return network


def _build(
    network: Network, image_size: int, weights: str | None, include_top: bool
) -> keras.Model:
    with warnings.catch_warnings():
        # MobileNet and MobileNetV2 say that they take the 224 px weights at an odd size; that is
        # what we want and what `Network.note` says.
        warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
        return getattr(keras.applications, network.application)(
            include_top=include_top,
            weights=weights,
            input_shape=(image_size, image_size, 3),
            **network.options,
        )


def _load(name: str, image_size: int, weights: str | Path | None, include_top: bool) -> keras.Model:
    """Build the application on a plain Input and load its weights there."""
    network = NETWORKS[name]
    if weights is None or str(weights) == "none":
        return _build(network, image_size, None, include_top)
    if str(weights) == "imagenet":
        if name != "nasnet_mobile" or image_size == 224:
            return _download(name, image_size, include_top)
        # Keras documents these weights for 224 px only. Copying them is right at any size: the
        # network is convolutional, only its padding depends on the size.
        application = _build(network, image_size, None, include_top)
        application.set_weights(_download(name, 224, include_top).get_weights())
        return application

    path = Path(weights)
    if not path.is_file():
        raise InputError(f"no weights file {path} for {name}: give a file, 'imagenet' or 'none'")
    if not path.name.endswith((".weights.h5", ".keras", ".h5", ".hdf5")):
        raise InputError(
            f"weights file {path}: the name must end in .weights.h5, .keras, .h5 or .hdf5"
        )
    application = _build(network, image_size, None, include_top)
    untouched = _beginnings(application)
    try:
        with warnings.catch_warnings():
            # A warning about groups that a file may or may not have; what counts is checked below.
            warnings.filterwarnings("ignore", message="Skipping nested container")
            application.load_weights(path)
        left = [
            key
            for key, values in _beginnings(application).items()
            if np.array_equal(values, untouched[key])
        ]
        if left:
            raise ValueError(f"{len(left)} of {len(untouched)} weights not in the file: {left[0]}")
    except Exception as error:
        # Keras and h5py raise a dozen kinds of errors here, from KeyError to BadZipFile; each of
        # them means that this file is not what it should be.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"cannot load {path} as weights of {name}: the file is damaged or belongs to another "
            f"network. Expected: weights of keras.applications.{network.application}"
            f"(include_top={include_top}), {application.count_params():,} parameters. "
            f"Keras says: {reason}"
        ) from error
    return application


def _beginnings(model: keras.Model) -> dict[str, np.ndarray]:
    """First values of every randomly initialised weight, to see whether a file has replaced it."""
    random_values = (v for v in model.trainable_weights if len(v.shape) > 1)
    return {
        v.path: keras.ops.convert_to_numpy(v[(0,) * (len(v.shape) - 1)])[:16] for v in random_values
    }


def _download(name: str, image_size: int, include_top: bool) -> keras.Model:
    """Build the application with ImageNet weights, from Keras' cache or the network."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return _build(NETWORKS[name], image_size, "imagenet", include_top)
    except Exception as error:
        # keras.utils.get_file raises a bare Exception when the server cannot be reached, a
        # ValueError for an incomplete file, and h5py an OSError for a damaged one.
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
        address = re.search(r"https?://\S*/([^/\s:]+)", str(error))
        file = address[1] if address else f"for keras.applications.{NETWORKS[name].application}"
        file = _DOWNLOADED_AS.get(file, file)
        raise InputError(
            f"no ImageNet weights for {name}: the file {file} is not in {folder} or damaged there, "
            f"and could not be downloaded. Run `python -m common.backbones download {name}` on a "
            "machine with network access and copy the file from its ~/.keras/models to that "
            "folder, or use --weights PATH or --weights none. "
            f"Keras says: {' '.join(str(error).split())[:300]}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _scaled_input(network, image_size, normalisation, mean, std, prefix, inputs):
    """Input of raw pixels and the tensor after its scaling layer."""
    if normalisation not in NORMALISATIONS:
        raise InputError(
            f"unknown normalisation {normalisation!r}: one of {', '.join(NORMALISATIONS)}"
        )
    if normalisation == "dataset" and (mean is None or std is None):
        raise InputError("normalisation 'dataset' needs the mean and std of the training images")
    if normalisation != "dataset" and (mean is not None or std is not None):
        raise InputError(f"mean and std given, but normalisation {normalisation!r} uses none")
    if normalisation == "imagenet":
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    try:
        scaling = InputScaling(
            "raw" if normalisation == "none" else network.scale,
            mean,
            std,
            per_image=normalisation == "per_image",
            name=f"{prefix}input_scaling",
        )
    except ValueError as error:
        raise InputError(f"normalisation {normalisation!r}: {error}") from error
    if inputs is None:
        inputs = keras.Input((image_size, image_size, 3), dtype="float32", name=f"{prefix}image")
    return inputs, scaling(inputs)


def _connect(name, application, inputs, scaled, bn_momentum, prefix, after=None):
    """Rebuild `application` on `scaled`, layer by layer, and copy its weights.

    The layers are new ones: the old ones would keep their connection to the old Input, and
    ``layer.output`` would answer with that.
    """
    after = after or {}
    names = _stable_names(name, application)
    _remember_layers(name, application)

    def copy(layer):
        config = layer.get_config()
        config["name"] = prefix + names[layer.name]
        if (
            isinstance(layer, keras.layers.BatchNormalization)
            and bn_momentum is not None
            and layer.momentum > 0.99
        ):
            # DEVIATION: Keras' 0.999 (MobileNetV2) and 0.9997 (NASNetMobile) keep the moving
            # statistics at their start through a short training, validation accuracy at chance.
            config["momentum"] = bn_momentum
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(
            lambda x: scaled if x is inputs else x, (args, kwargs)
        )
        x = layer(*args, **kwargs)
        extra = after.get(layer.name.removeprefix(prefix))
        return x if extra is None else extra(x)

    flat = keras.models.clone_model(
        application, input_tensors=inputs, clone_function=copy, call_function=call
    )
    old = {prefix + names[layer.name]: layer for layer in application.layers}
    for layer in flat.layers:
        if layer.name in old and layer.weights:
            layer.set_weights(old[layer.name].get_weights())
    return flat.outputs[0]


def _stable_names(name: str, application: keras.Model) -> dict[str, str]:
    """Map every operation's name to one that does not depend on what was built before."""
    numbered: dict[str, list[tuple[int, str]]] = {}
    names = {}
    for operation in application.operations:
        given = names[operation.name] = operation.name
        match = re.fullmatch(rf"({_snake_case(type(operation).__name__)})(?:_(\d+))?", given)
        # VGG names its layer "flatten" itself.
        if match and given != "flatten":
            numbered.setdefault(match[1], []).append((int(match[2] or 0), given))
    for kind, found in numbered.items():
        first = min(found)[0]
        for number, given in found:
            suffix = f"_{number - first}" if number > first else ""
            names[given] = f"{name}_{kind}{suffix}"
    return names


def _snake_case(name: str) -> str:
    """Class name as Keras turns it into an automatic layer name: Conv2D -> conv2d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _remember_layers(name: str, application: keras.Model) -> None:
    names = _stable_names(name, application)
    top = ("flatten", "fc1", "fc2")
    _layer_names[name] = [
        names[layer.name] for layer in application.layers if layer.name not in top
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch ImageNet weights: ``python -m common.backbones download NAME...|all``."""
    parser = argparse.ArgumentParser(
        prog="python -m common.backbones", description="ImageNet weights of the networks."
    )
    command = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "download", help="let Keras fetch weights, to copy them to a machine without network"
    )
    command.add_argument("names", nargs="+", choices=[*NETWORKS, "all"], metavar="NAME")
    command.add_argument("--image-size", type=int, default=224, metavar="PX", help="default: 224")
    options = parser.parse_args(arguments)
    names = list(NETWORKS) if "all" in options.names else list(dict.fromkeys(options.names))
    for name in names:
        for file in download(name, options.image_size):
            print(f"{name}: {file} ({file.stat().st_size / 1e6:.1f} MB)", flush=True)
    print("copy these files to ~/.keras/models (or $KERAS_HOME/models) of the other machine")


if __name__ == "__main__":
    errors.main(main)
