"""The wide residual network, its weights, and Adam with two rates."""

from __future__ import annotations

from pathlib import Path

from common import models
from common.backend import keras
from common.errors import InputError
from common.normalise import InputScaling
from wrn_edge.config import Config

SMALLEST_SIZE = 32
GROUPS = (16, 32, 64)
"""Channels of the three groups before widening."""


def build_model(config: Config) -> keras.Model:
    """Build the classifier that a config describes, with its starting weights.

    Parameters
    ----------
    config : Config

    Returns
    -------
    model : keras.Model
        Takes raw RGB pixels, (N, S, S, 3) in [0, 255]; gives probabilities (N, classes) float32.
    """
    model = wide_resnet(
        config.image_size,
        config.classes,
        depth=config.depth,
        width=config.width,
        stem=config.stem,
        l2=config.l2,
        bn_momentum=config.bn_momentum,
    )
    if config.weights != "none":
        load_weights(model, config.weights)
    return model


def wide_resnet(
    image_size: int,
    classes: int,
    *,
    depth: int = 28,
    width: int = 2,
    stem: str = "cifar",
    l2: float = 1e-4,
    bn_momentum: float = 0.9,
) -> keras.Model:
    """Build WRN-`depth`-`width` on raw pixels, flat, every layer named.

    Three groups of (depth - 4) / 6 pre-activation blocks: BatchNorm, ReLU, 3x3 convolution,
    BatchNorm, ReLU, 3x3 convolution, and the sum with the block's input. The first block of a group
    widens (and, from the second group on, halves both sides); its shortcut is a 1x1 convolution of
    the activated input. The order is what matters to a converter: every second BatchNorm follows a
    convolution and can be folded into it, every first one but that of the very first block follows
    a sum and cannot.

    Parameters
    ----------
    image_size : int
        Side of the square images in px, at least 32.
    classes : int
    depth : int
        6 n + 4: 10, 16, 22, 28, ...
    width : int
        Factor on the groups' 16, 32 and 64 channels.
    stem : {"cifar", "strided", "pooled", "patch"}
        "cifar": 3x3 convolution, as published for 32 px images; "strided": the same with stride 2;
        "pooled": 7x7 convolution with stride 2, then 3x3 max-pooling with stride 2 (the stem of
        ImageNet's residual networks); "patch": 4x4 convolution with stride 4.
    l2 : float
        Times the sum of squares of every kernel joins the loss.
    bn_momentum : float

    Returns
    -------
    keras.Model
        Not compiled. Layers `image`, `input_scaling` (ImageNet's mean and standard deviation, as
        the paper's device does), `stem_conv`, `group1_block1_bn1` ..., `bn`, `relu`, `pool`,
        `logits`, `probabilities` (float32 softmax, (None, classes)).

    Raises
    ------
    InputError
        For an impossible depth, width, size or number of classes.

    References
    ----------
    S. Zagoruyko, N. Komodakis, "Wide Residual Networks", BMVC 2016, Table 1, section 2.
    """
    if depth < 10 or (depth - 4) % 6:
        raise InputError(f"--depth {depth}: a wide residual network has 6 n + 4: 10, 16, 22, 28...")
    if width < 1:
        raise InputError(f"--width {width}: give at least 1")
    if image_size < SMALLEST_SIZE:
        raise InputError(f"--image-size {image_size}: give at least {SMALLEST_SIZE}")
    if classes < 2:
        raise InputError(f"a softmax classifier needs at least 2 classes, not {classes}")

    def regularizer() -> keras.Regularizer | None:
        return keras.regularizers.L2(l2) if l2 else None

    def conv(
        x: keras.KerasTensor, channels: int, name: str, size: int = 3, strides: int = 1
    ) -> keras.KerasTensor:
        return keras.layers.Conv2D(
            channels,
            size,
            strides,
            "same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizer(),
            name=name,
        )(x)

    def bn_relu(x: keras.KerasTensor, name: str, number: int | str = "") -> keras.KerasTensor:
        # 1e-5 is the WRN authors' (Torch's) epsilon; Keras' is 1e-3.
        x = keras.layers.BatchNormalization(
            momentum=bn_momentum, epsilon=1e-5, name=f"{name}bn{number}"
        )(x)
        return keras.layers.ReLU(name=f"{name}relu{number}")(x)

    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    x = InputScaling("torch", name="input_scaling")(inputs)
    match stem:
        case "cifar":
            x = conv(x, GROUPS[0], "stem_conv")
        case "strided":
            x = conv(x, GROUPS[0], "stem_conv", strides=2)
        case "pooled":
            x = conv(x, GROUPS[0], "stem_conv", size=7, strides=2)
            x = keras.layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x)
        case "patch":
            x = conv(x, GROUPS[0], "stem_conv", size=4, strides=4)
        case _:
            raise InputError(f"--stem {stem}: choose cifar, strided, pooled or patch")
    for group, channels in enumerate(GROUPS, start=1):
        for block in range(1, (depth - 4) // 6 + 1):
            name = f"group{group}_block{block}_"
            strides = 2 if group > 1 and block == 1 else 1
            activated = bn_relu(x, name, 1)
            branch = conv(activated, channels * width, f"{name}conv1", strides=strides)
            branch = conv(bn_relu(branch, name, 2), channels * width, f"{name}conv2")
            # With the same number of channels the input itself is added (WRN-d-1, first group).
            if strides > 1 or x.shape[-1] != channels * width:
                x = conv(activated, channels * width, f"{name}shortcut", size=1, strides=strides)
            x = keras.layers.Add(name=f"{name}sum")([branch, x])
    x = bn_relu(x, "")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(
        classes, kernel_regularizer=regularizer(), dtype="float32", name="logits"
    )(x)
    x = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, x, name=f"wrn{depth}_{width}")


def load_weights(model: keras.Model, path: str | Path) -> None:
    """Start from another network's weights, the last layer aside (sections 3 and 4).

    Parameters
    ----------
    model : keras.Model
        From `wide_resnet`.
    path : path
        A `model.keras` that `wrn_edge.pretrain` or `wrn_edge.train` wrote. Number of classes and
        image size may differ; depth, width and stem may not.

    Raises
    ------
    InputError
        If the file is no such model; the message names the first layer that does not fit.
    """
    try:
        source = models.load(path)
    except InputError as error:
        raise InputError(
            f"--weights {error}; give the model.keras that python -m wrn_edge.pretrain wrote"
        ) from None
    known = {layer.name: layer for layer in source.layers}
    wanted = [layer for layer in model.layers if layer.weights and layer.name != "logits"]
    for layer in wanted:
        shapes = [tuple(w.shape) for w in layer.weights]
        given = [tuple(w.shape) for w in known[layer.name].weights] if layer.name in known else None
        if shapes != given:
            found = "no such layer" if given is None else f"shape {given[0]}"
            raise InputError(
                f"--weights {path}: layer {layer.name} has {found} there and shape {shapes[0]} "
                f"here ({source.name} for {model.name}); pre-train with the same --depth, --width "
                "and --stem"
            )
    surplus = {layer.name for layer in source.layers if layer.weights}
    surplus -= {layer.name for layer in wanted} | {"logits"}
    if surplus:
        raise InputError(
            f"--weights {path}: {source.name} has layer {min(surplus)}, which {model.name} has "
            "not; pre-train with the same --depth, --width and --stem"
        )
    for layer in wanted:
        layer.set_weights(known[layer.name].get_weights())


def gradcam_layers(config: Config) -> dict[str, str]:
    """Layers that Grad-CAM shows: the sum that ends each group, the last one after its ReLU.

    Parameters
    ----------
    config : Config
        `depth`.

    Returns
    -------
    dict of str to str
        Title of the picture: name of the layer.
    """
    last = (config.depth - 4) // 6
    return {
        "group_1": f"group1_block{last}_sum",
        "group_2": f"group2_block{last}_sum",
        "group_3": "relu",
    }


def optimizer(config: Config) -> keras.Optimizer:
    """Adam with one rate for the new last layer and another for all others (sections 3 and 4).

    Two optimizers, not scaled gradients: Adam divides a factor on the gradient out again (W23).

    Parameters
    ----------
    config : Config
        `learning_rate`, `head_learning_rate`.
    """
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.Adam(config.learning_rate),
            {"logits/.*": keras.optimizers.Adam(config.head_learning_rate)},
        )
    )
