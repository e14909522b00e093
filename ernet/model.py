"""ResNets whose identity shortcuts are dense, normalised and weighted, and plain ResNets.

Layers bear the names of `keras.applications.ResNet50` and `ResNet101`, so that their weights load
into the convolutions that match; the depths 18 and 34, which Keras does not have, follow suit.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from common import backbones
from common.backend import keras, layers
from common.errors import InputError
from common.normalise import InputScaling
from ernet.config import BLOCKS, Config, check, depth
from ernet.shortcuts import EPSILON, DenseShortcut, ShortcutNorm

Maps: TypeAlias = keras.KerasTensor
"""Feature maps of a batch, symbolic: (N, H, W, C)."""

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages inside a block; bottlenecks end in four times as many."""

GRADCAM = {f"stage_{k - 1}": f"conv{k}_block{{}}_out" for k in (2, 3, 4, 5)}


def build_model(config: Config) -> keras.Model:
    """Build the classifier: the network of `config`, average pooling, two logits, softmax (3.2).

    Parameters
    ----------
    config : Config
        Names the network, the size of its input and what the paper leaves open.

    Returns
    -------
    model : keras.Model
        Takes raw RGB pixels, (N, S, S, 3) in [0, 255]; gives probabilities (N, classes) float32.

    Raises
    ------
    InputError
        Settings that do not go together, or weights that cannot be loaded.
    """
    check(config)
    inputs = keras.Input((config.image_size, config.image_size, 3), dtype="float32", name="image")
    if config.scaling == "caffe":
        x = InputScaling("caffe", name="input_scaling")(inputs)
    else:
        x = layers.Rescaling(1 / 255, dtype="float32", name="input_scaling")(inputs)
    x = _Network(config).features(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(config.classes, dtype="float32", name="logits")(x)
    x = layers.Softmax(dtype="float32", name="probabilities")(x)
    model = keras.Model(inputs, x, name=config.network)
    if config.weights != "none":
        load_keras_weights(model, config)
    return model


def gradcam_layers(config: Config) -> dict[str, str]:
    """Layers whose output Grad-CAM shows.

    Parameters
    ----------
    config : Config
        Names the network.

    Returns
    -------
    dict
        Stage -> layer, in the order in which an image passes them.
    """
    return {
        stage: name.format(blocks)
        for (stage, name), blocks in zip(GRADCAM.items(), BLOCKS[depth(config)], strict=True)
    }


class _Network:
    """Builds the layers; holds what all of them share."""

    def __init__(self, config: Config):
        self.config = config
        self.blocks = BLOCKS[depth(config)]
        bottleneck = depth(config) >= 50
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        self.kernels = (1, 3, 3) if config.er_block == "text" else kernels
        self.growth = 4 if bottleneck else 1
        self.halving = 1 if bottleneck and config.stride == "middle" else 0
        self.dense = config.network.startswith("ernet")

    def features(self, x: Maps) -> Maps:
        """Last feature map (N, S/32, S/32, channels) of a scaled image."""
        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = self._convolve(x, 64, 7, "conv1", strides=2)
        x = layers.ReLU(name="conv1_relu")(x)
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
        for stage, (blocks, width) in enumerate(zip(self.blocks, WIDTHS, strict=True), start=2):
            names = [f"conv{stage}_block{n}" for n in range(1, blocks + 1)]
            make = self._dense_stage if self.dense else self._plain_stage
            if self.dense and self.config.er_sum == "input":
                make = self._input_stage
            x = make(x, width, names, strides=1 if stage == 2 else 2)
        return x

    def _plain_stage(self, x: Maps, width: int, names: list[str], strides: int) -> Maps:
        for name in names:
            shortcut = self._entry(x, width, name, strides)
            x = self._add(shortcut, self._branch(x, width, name, strides), name)
            strides = 1
        return x

    def _dense_stage(self, x: Maps, width: int, names: list[str], strides: int) -> Maps:
        """y_l = ReLU(F_l(x_l) + sum_{i<l} w_{l,i} N(y_i)); y_0 projects x_1, then x_l = y_{l-1}."""
        maps: list[Maps] = []
        terms: list[keras.KerasTensor] = []
        newest = self._entry(x, width, names[0], strides)
        for name in names:
            maps.append(newest)
            terms.append(self._norm(newest, name))
            branch = self._branch(x, width, name, strides)
            x = self._add(self._shortcut(maps, terms, name), branch, name)
            newest = branch if self.config.er_source == "branch" else x
            strides = 1
        return x

    def _input_stage(self, x: Maps, width: int, names: list[str], strides: int) -> Maps:
        """y_l = ReLU(F_l(y_{l-1} + sum_{0<i<l-1} w_{l,i} N(y_i))); the first block is ResNet's."""
        x = self._plain_stage(x, width, names[:1], strides)
        maps: list[Maps] = []
        terms: list[keras.KerasTensor] = []
        for name, following in zip(names[1:], [*names[2:], None], strict=True):
            entered = x
            if maps:
                shortcut = self._shortcut(maps, terms, name)
                entered = layers.Add(name=f"{name}_add")([shortcut, x])
            if following:  # an earlier map of the block after this one
                maps.append(x)
                terms.append(self._norm(x, name))
            x = layers.ReLU(name=f"{name}_out")(self._branch(entered, width, name, 1))
        return x

    def _entry(self, x: Maps, width: int, name: str, strides: int) -> Maps:
        """Identity of a plain block, or the 1x1 projection where the shape changes."""
        channels = width * self.growth
        if strides == 1 and x.shape[-1] == channels:
            return x
        return self._convolve(x, channels, 1, f"{name}_0", strides)

    def _branch(self, x: Maps, width: int, name: str, strides: int) -> Maps:
        """Convolutions of a block, without the last ReLU."""
        last = len(self.kernels) - 1
        for i, kernel in enumerate(self.kernels):
            channels = width * self.growth if i == last else width
            x = self._convolve(
                x, channels, kernel, f"{name}_{i + 1}", strides if i == self.halving else 1
            )
            if i < last:
                x = layers.ReLU(name=f"{name}_{i + 1}_relu")(x)
        return x

    def _convolve(self, x: Maps, channels: int, kernel: int, name: str, strides: int = 1) -> Maps:
        padding = "same" if strides == 1 else "valid"
        if kernel == 3 and strides == 2:
            # "same" would pad on one side only.
            x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        x = layers.Conv2D(
            channels, kernel, strides, padding, use_bias=False, kernel_initializer="he_normal",
            name=f"{name}_conv",
        )(x)  # fmt: skip
        return layers.BatchNormalization(
            momentum=self.config.bn_momentum, epsilon=EPSILON, name=f"{name}_bn"
        )(x)

    def _add(self, shortcut: Maps, branch: Maps, name: str) -> Maps:
        x = layers.Add(name=f"{name}_add")([shortcut, branch])
        return layers.ReLU(name=f"{name}_out")(x)

    def _norm(self, x: Maps, name: str) -> keras.KerasTensor:
        return ShortcutNorm(
            self.config.er_norm,
            affine=self.config.er_affine,
            momentum=self.config.bn_momentum,
            name=f"{name}_er_norm",
        )(x)

    def _shortcut(self, maps: list[Maps], terms: list[keras.KerasTensor], name: str) -> Maps:
        return DenseShortcut(self.config.er_weight, name=f"{name}_er")([*maps, *terms])


def load_keras_weights(model: keras.Model, config: Config) -> None:
    """Take the convolutions and batch normalisations of Keras' ResNet50 or ResNet101 over.

    Keras' convolutions have a bias and ours have none: it is subtracted from the moving mean of the
    batch normalisation that follows, which gives the same output.

    Parameters
    ----------
    model : keras.Model
        Of `build_model`, depth 50 or 101.
    config : Config
        `weights` is "imagenet", or a file of that application's weights without its top.

    Raises
    ------
    InputError
        The file is missing, damaged or another network's.
    """
    inputs, maps = backbones.features(
        f"resnet{depth(config)}", config.image_size, weights=config.weights
    )
    source = {layer.name: layer for layer in keras.Model(inputs, maps).layers}
    for layer in model.layers:
        if not layer.name.endswith("_conv"):
            continue
        kernel, bias = source[layer.name].get_weights()
        if kernel.shape != layer.kernel.shape:
            raise InputError(f"--weights: {layer.name} has another shape than in Keras' network")
        layer.set_weights([kernel])
        norm = layer.name.removesuffix("conv") + "bn"
        gamma, beta, mean, variance = source[norm].get_weights()
        model.get_layer(norm).set_weights([gamma, beta, mean - bias, variance])


def shortcut_parameters(model: keras.Model) -> tuple[int, int]:
    """Count the dense shortcuts of a network and the parameters they add.

    Parameters
    ----------
    model : keras.Model
        From `build_model`.

    Returns
    -------
    shortcuts, parameters : int
        Both 0 for a plain ResNet.
    """
    found = [layer for layer in model.layers if isinstance(layer, DenseShortcut | ShortcutNorm)]
    shortcuts = sum(each.scales.shape[0] for each in found if isinstance(each, DenseShortcut))
    return shortcuts, sum(
        int(np.prod(variable.shape)) for each in found for variable in each.trainable_variables
    )
