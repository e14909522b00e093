"""A network from raw pixels to its feature map, and a classifier on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from common import networks
from common.backbones.flat import connect
from common.backbones.weights import load
from common.backend import keras
from common.errors import InputError
from common.networks import NORMALISATIONS, Network
from common.normalise import IMAGENET_MEAN, IMAGENET_STD, InputScaling

Statistics = Sequence[float] | np.ndarray


def features(
    name: str,
    image_size: int,
    *,
    weights: str | Path | None = "none",
    normalisation: str = "own",
    mean: Statistics | None = None,
    std: Statistics | None = None,
    bn_momentum: float | None = 0.9,
    prefix: str = "",
    inputs: keras.KerasTensor | None = None,
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
    network = networks.get(name, image_size)
    application = load(name, image_size, weights, include_top=False)
    inputs, scaled = _scaled_input(network, image_size, normalisation, mean, std, prefix, inputs)
    return inputs, connect(name, application, inputs, scaled, bn_momentum, prefix)


def classifier(
    name: str,
    image_size: int,
    classes: int,
    *,
    head: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None,
    dropout: float | None = None,
    keep_top_dense: bool = False,
    weights: str | Path | None = "none",
    normalisation: str = "own",
    mean: Statistics | None = None,
    std: Statistics | None = None,
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
    network = networks.get(name, image_size)
    if keep_top_dense:
        if not network.dense:
            having = " and ".join(known for known, each in networks.NETWORKS.items() if each.dense)
            raise InputError(f"{name} has no dense layers to keep: only {having} do")
        if image_size != 224:
            raise InputError(
                f"{name} with its two 4096 layers takes 224 px images only, not {image_size}: "
                "their weights belong to a 7x7 feature map"
            )
        if head is not None:
            raise InputError("keep_top_dense is a head of its own: give no other head")
    elif head is not None and dropout is not None:
        raise InputError("dropout belongs to the default head: put it into the given head instead")

    application = load(name, image_size, weights, include_top=keep_top_dense)
    inputs, scaled = _scaled_input(network, image_size, normalisation, mean, std, prefix, None)
    if keep_top_dense:
        # The 1000 ImageNet classes go; dropout sits where the VGG paper and Caffe have it.
        last = application.get_layer(network.dense[-1]).output
        application = keras.Model(application.input, last)
        rate = 0.5 if dropout is None else dropout
        after = {
            layer: keras.layers.Dropout(rate, name=f"{prefix}{layer}_dropout")
            for layer in network.dense
        }
    else:
        after = {}
    x = connect(name, application, inputs, scaled, bn_momentum, prefix, after)
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


def _scaled_input(
    network: Network,
    image_size: int,
    normalisation: str,
    mean: Statistics | None,
    std: Statistics | None,
    prefix: str,
    inputs: keras.KerasTensor | None,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
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
            None if mean is None else [float(value) for value in mean],
            None if std is None else [float(value) for value in std],
            per_image=normalisation == "per_image",
            name=f"{prefix}input_scaling",
        )
    except ValueError as error:
        raise InputError(f"normalisation {normalisation!r}: {error}") from error
    if inputs is None:
        inputs = keras.Input((image_size, image_size, 3), dtype="float32", name=f"{prefix}image")
    return inputs, scaling(inputs)
