"""The fusion network in both readings, and the single-network baselines, with one head for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import backbones
from common.backend import keras
from common.errors import InputError
from gan_fusion.config import FIRST_LAYERS, FUSIONS, Config


def build_model(config: Config) -> keras.Model:
    """Build the classifier that `config.network` names.

    ``fusion_counts`` concatenates the pooled vectors of DenseNet201, NASNetMobile and VGG16: the
    reading whose trainable parameters are the printed 37,494,676 (Table 6, G01-G04).
    ``fusion_described`` fuses 7x7 maps of NASNetMobile, ResNet101 and DenseNet201 by contextual
    modules and pools them in a chain (methods, Fig. 4). Any other network stands alone under the
    same head.

    Parameters
    ----------
    config : Config

    Returns
    -------
    model : keras.Model
        Takes raw RGB pixels, (N, S, S, 3) in [0, 255], each network scaling them in its own way;
        gives probabilities (N, classes), float32. Not compiled.

    Raises
    ------
    InputError
        If the images are too small for one of the networks, their maps do not fit each other, or
        one file of weights is given for several networks.
    """
    if config.network in FUSIONS:
        inputs, maps = _branches(config)
        fuse = _plain if config.network == "fusion_counts" else _described
        vector = fuse(maps, config)
    else:
        inputs, feature_map = backbones.features(
            config.network,
            config.image_size,
            weights=config.weights,
            bn_momentum=config.bn_momentum,
        )
        vector = keras.layers.GlobalAveragePooling2D(name="pool")(feature_map)
    model = keras.Model(inputs, head(vector, config), name=config.network)
    freeze(model, config)
    return model


def head(x: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Dropout, BatchNorm, dense, dropout, BatchNorm, softmax (Table 6, in its order: G22).

    Parameters
    ----------
    x : (N, channels)
    config : Config
        `dropout_before`, `dense`, `dropout_after`, `classes`, `l2`, `bn_momentum`.

    Returns
    -------
    (N, classes), float32, rows of sum 1
    """
    new = _new_layers(config)
    x = keras.layers.Dropout(config.dropout_before, name="dropout_before")(x)
    x = _norm(config, "bn_before")(x)
    x = keras.layers.Dense(config.dense, activation="relu", name="dense", **new)(x)
    x = keras.layers.Dropout(config.dropout_after, name="dropout_after")(x)
    x = _norm(config, "bn_after")(x)
    x = keras.layers.Dense(config.classes, dtype="float32", name="logits", **new)(x)
    return keras.layers.Softmax(dtype="float32", name="probabilities")(x)


def _new_layers(config: Config) -> dict[str, Any]:
    """Initialisation and penalty of every layer that the paper adds (Table 10)."""
    return {
        "kernel_initializer": "he_normal",
        "kernel_regularizer": keras.regularizers.L2(config.l2) if config.l2 else None,
    }


def _norm(config: Config, name: str) -> keras.layers.BatchNormalization:
    momentum = {} if config.bn_momentum is None else {"momentum": config.bn_momentum}
    return keras.layers.BatchNormalization(name=name, **momentum)


def _branches(config: Config) -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor]]:
    """One input and the last feature map of each network, from the low to the high level."""
    if config.weights not in ("imagenet", "none"):
        raise InputError(
            f"--weights {config.weights}: {config.network} holds three networks, one file does not "
            "fit them all; give imagenet or none, or --network with one of them"
        )
    inputs = keras.Input((config.image_size,) * 2 + (3,), dtype="float32", name="image")
    maps = {}
    for name in FUSIONS[config.network]:
        _, maps[name] = backbones.features(
            name,
            config.image_size,
            weights=config.weights,
            bn_momentum=config.bn_momentum,
            prefix=f"{name}_",
            inputs=inputs,
        )
    return inputs, maps


def _plain(maps: Mapping[str, keras.KerasTensor], config: Config) -> keras.KerasTensor:
    """Concatenate the pooled vectors: 3488 numbers of DenseNet201, NASNetMobile and VGG16."""
    pooled = [
        keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(maps[name])
        for name in reversed(FUSIONS[config.network])
    ]
    return keras.layers.Concatenate(name="fusion")(pooled)


def _described(maps: Mapping[str, keras.KerasTensor], config: Config) -> keras.KerasTensor:
    """Contextual modules from shallow to deep, concatenated and pooled in a chain (Fig. 4)."""
    sizes = {name: tuple(each.shape[1:3]) for name, each in maps.items()}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} {h}x{w}" for name, (h, w) in sizes.items())
        raise InputError(
            f"--image-size {config.image_size}: the feature maps do not fit each other ({found}); "
            "give a multiple of 32"
        )
    pyramid, shallower = [], None
    for number, feature_map in enumerate(maps.values(), 1):
        shallower = contextual_module(feature_map, shallower, config, f"mscf_{number}")
        pyramid.append(shallower)
    fused = keras.layers.Concatenate(name="msff")(pyramid)
    return chain_pooling(fused, config.chain_pools)


def contextual_module(
    feature_map: keras.KerasTensor,
    shallower: keras.KerasTensor | None,
    config: Config,
    name: str,
) -> keras.KerasTensor:
    """Multi-scale contextual module: dilated convolutions side by side around a residual path.

    Parameters
    ----------
    feature_map : (N, h, w, channels)
        Of one network.
    shallower : (N, h, w, config.mscf_channels), optional
        The module before it, added at the start.
    config : Config
        `mscf_channels`, `mscf_dilations`, `l2`, `bn_momentum`.
    name : str
        Of the module's last layer, and the beginning of the others' names.

    Returns
    -------
    (N, h, w, config.mscf_channels), not negative

    Notes
    -----
    Dilated convolutions, the residual path and the order of the merge are the paper's (methods);
    widths, the 1x1 projection with its BatchNorm, sums and ReLU are ours (G05).
    """
    new = _new_layers(config)
    x = keras.layers.Conv2D(
        config.mscf_channels, 1, use_bias=False, name=f"{name}_projection", **new
    )(feature_map)
    # Without it the three networks' maps would enter the sums on scales of their own.
    x = _norm(config, f"{name}_bn")(x)
    if shallower is not None:
        x = keras.layers.Add(name=f"{name}_merge")([x, shallower])
    contexts = [
        keras.layers.Conv2D(
            config.mscf_channels,
            3,
            padding="same",
            dilation_rate=dilation,
            activation="relu",
            name=f"{name}_dilation_{dilation}",
            **new,
        )(x)
        for dilation in config.mscf_dilations
    ]
    x = keras.layers.Add(name=f"{name}_residual")([x, *contexts])
    return keras.layers.ReLU(name=name)(x)


def chain_pooling(x: keras.KerasTensor, pools: int) -> keras.KerasTensor:
    """Sum the averages of a map and of its successive 3x3 maxima; no parameters.

    Parameters
    ----------
    x : (N, h, w, channels)
    pools : int
        Length of the chain: max pools of stride 1, each on the result of the one before.

    Returns
    -------
    (N, channels)
    """
    averages = [keras.layers.GlobalAveragePooling2D(name="cpp_average_0")(x)]
    for number in range(1, pools + 1):
        x = keras.layers.MaxPooling2D(3, 1, padding="same", name=f"cpp_pool_{number}")(x)
        averages.append(keras.layers.GlobalAveragePooling2D(name=f"cpp_average_{number}")(x))
    return keras.layers.Add(name="cpp")(averages)


def freeze(model: keras.Model, config: Config) -> None:
    """Make the layers untrainable that `config.frozen` says.

    Parameters
    ----------
    model : keras.Model
        From `build_model`; changed.
    config : Config
        `frozen`, `network`.
    """
    if config.frozen == "none":
        return
    alone = config.network not in FUSIONS
    for name in [config.network] if alone else FUSIONS[config.network]:
        count = "all" if config.frozen == "base" else FIRST_LAYERS.get(name, 0)
        backbones.freeze(model, count, name, prefix="" if alone else f"{name}_")


def gradcam_layers(config: Config) -> dict[str, str]:
    """Layers that pictures of a run show: each network's last map, then the fused one.

    Parameters
    ----------
    config : Config
        `network`.

    Returns
    -------
    dict of str to str
        Title of the picture: name of the layer.
    """
    if config.network not in FUSIONS:
        return backbones.gradcam_layers(config.network)
    last = {
        name: list(backbones.gradcam_layers(name, f"{name}_").values())[-1]
        for name in FUSIONS[config.network]
    }
    return last if config.network == "fusion_counts" else {**last, "fused": "msff"}
