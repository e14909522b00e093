"""ResNets whose identity shortcuts are dense, normalised and weighted, and plain ResNets.

Layers bear the names of `keras.applications.ResNet50` and `ResNet101`, so that their weights load
into the convolutions that match; the depths 18 and 34, which Keras does not have, follow suit.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from common import backbones
from common.errors import InputError
from common.normalise import InputScaling
from ernet.config import BLOCKS, Config, check, depth

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages inside a block; bottlenecks end in four times as many."""

# Those of Keras' ResNet, which a loaded network must share.
EPSILON = 1.001e-5

GRADCAM = {f"stage_{k - 1}": f"conv{k}_block{{}}_out" for k in (2, 3, 4, 5)}


def build_model(config: Config) -> keras.Model:
    """Build the classifier: the network of `config`, average pooling, two logits, softmax (3.2).

    Parameters
    ----------
    config : Config

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
    """Layers whose output Grad-CAM shows, stage by stage, the last stage last."""
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

    def features(self, x):
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

    def _plain_stage(self, x, width: int, names: list[str], strides: int):
        for name in names:
            shortcut = self._entry(x, width, name, strides)
            x = self._add(shortcut, self._branch(x, width, name, strides), name)
            strides = 1
        return x

    def _dense_stage(self, x, width: int, names: list[str], strides: int):
        """y_l = ReLU(F_l(y_{l-1}) + sum_{i<l} w_{l,i} N(y_i)); y_0 is the stage's projection."""
        maps, terms = [], []
        newest = self._entry(x, width, names[0], strides)
        for name in names:
            maps.append(newest)
            terms.append(self._norm(newest, name))
            branch = self._branch(x, width, name, strides)
            x = self._add(self._shortcut(maps, terms, name), branch, name)
            newest = branch if self.config.er_source == "branch" else x
            strides = 1
        return x

    def _input_stage(self, x, width: int, names: list[str], strides: int):
        """y_l = ReLU(F_l(y_{l-1} + sum_{0<i<l-1} w_{l,i} N(y_i))); the first block is ResNet's."""
        x = self._plain_stage(x, width, names[:1], strides)
        maps, terms = [], []
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

    def _entry(self, x, width: int, name: str, strides: int):
        """Identity of a plain block, or the 1x1 projection where the shape changes."""
        channels = width * self.growth
        if strides == 1 and x.shape[-1] == channels:
            return x
        return self._convolve(x, channels, 1, f"{name}_0", strides)

    def _branch(self, x, width: int, name: str, strides: int):
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

    def _convolve(self, x, channels: int, kernel: int, name: str, strides: int = 1):
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

    def _add(self, shortcut, branch, name: str):
        x = layers.Add(name=f"{name}_add")([shortcut, branch])
        return layers.ReLU(name=f"{name}_out")(x)

    def _norm(self, x, name: str):
        return ShortcutNorm(
            self.config.er_norm,
            affine=self.config.er_affine,
            momentum=self.config.bn_momentum,
            name=f"{name}_er_norm",
        )(x)

    def _shortcut(self, maps: list, terms: list, name: str):
        return DenseShortcut(self.config.er_weight, name=f"{name}_er")([*maps, *terms])


@keras.saving.register_keras_serializable("histopapers")
class ShortcutNorm(keras.layers.Layer):
    """Normalisation N of a feature map y as its two terms per channel: N(y) = scale y - offset.

    Computed once per map, whatever the number of shortcuts that start there. The normalised map
    itself is never written: a shortcut's weight and the scale are one factor (`DenseShortcut`).

    Parameters
    ----------
    kind : {"batch", "group", "none"}
        Batch normalisation; 32 groups of channels within each image; N(y) = y.
    affine : bool
        Learn a scale and an offset per channel.
    momentum : float
        Of the moving statistics, with "batch".

    Notes
    -----
    Maps (N, H, W, C) to float32 (N or 1, 2, C): scale and offset. As Keras' BatchNormalization, a
    frozen layer uses its moving statistics while training, too.
    """

    GROUPS = 32

    def __init__(
        self, kind: str = "batch", affine: bool = False, momentum: float = 0.99, **arguments
    ):
        super().__init__(**arguments)
        self.kind, self.affine, self.momentum = kind, affine, momentum

    def build(self, shape: tuple) -> None:
        """Make the variables for maps of `shape`."""
        channels = (shape[-1],)
        make = {"shape": channels, "dtype": "float32", "autocast": False}
        if self.kind == "batch":
            self.moving_mean = self.add_weight(
                initializer="zeros", trainable=False, name="moving_mean", **make
            )
            self.moving_variance = self.add_weight(
                initializer="ones", trainable=False, name="moving_variance", **make
            )
        if self.affine:
            self.gamma = self.add_weight(initializer="ones", name="gamma", **make)
            self.beta = self.add_weight(initializer="zeros", name="beta", **make)

    def call(self, maps, training: bool = False):
        """Give the two terms of a batch of maps."""
        x = ops.cast(maps, "float32")
        if self.kind == "batch":
            mean, variance = self._batch_statistics(x, training and self.trainable)
        elif self.kind == "group":
            mean, variance = self._group_statistics(x)
        else:
            mean = ops.zeros((1, x.shape[-1]), "float32")
            variance = ops.full((1, x.shape[-1]), 1 - EPSILON, "float32")
        scale = ops.rsqrt(variance + EPSILON)
        offset = mean * scale
        if self.affine:
            scale, offset = scale * self.gamma, offset * self.gamma - self.beta
        return ops.stack([scale, offset], axis=1)

    def _batch_statistics(self, x, training: bool):
        if not training:
            return self.moving_mean[None], self.moving_variance[None]
        mean, variance = ops.moments(x, axes=(0, 1, 2))
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return mean[None], variance[None]

    def _group_statistics(self, x):
        height, width, channels = x.shape[1:]
        grouped = (-1, height * width, self.GROUPS, channels // self.GROUPS)
        mean, variance = ops.moments(ops.reshape(x, grouped), axes=(1, 3))
        return tuple(ops.repeat(each, channels // self.GROUPS, axis=1) for each in (mean, variance))

    def compute_output_spec(self, maps, training: bool = False):
        """Shape and type of the output."""
        rows = maps.shape[0] if self.kind == "group" else 1
        return keras.KerasTensor((rows, 2, maps.shape[-1]), dtype="float32")

    def get_config(self) -> dict:
        """Arguments of the constructor."""
        own = {"kind": self.kind, "affine": self.affine, "momentum": self.momentum}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("histopapers")
class DenseShortcut(keras.layers.Layer):
    """Weighted sum of the normalised earlier maps of a stage: sum_i w_i N(y_i) (eq. 10).

    Parameters
    ----------
    weight : {"channel", "scalar"}
        One weight per channel of each map, or one per map. They start at 1 / number of maps.

    Notes
    -----
    Takes the maps, each (N, H, W, C), and then their terms from `ShortcutNorm`, in one list.
    """

    def __init__(self, weight: str = "channel", **arguments):
        # The terms stay float32 under mixed precision: their offsets are large beside the sum.
        super().__init__(autocast=False, **arguments)
        self.weight = weight

    def build(self, shapes: list[tuple]) -> None:
        """Make the weights (maps, C or 1) for maps and terms of these shapes."""
        maps = len(shapes) // 2
        self.scales = self.add_weight(
            shape=(maps, shapes[0][-1] if self.weight == "channel" else 1),
            initializer=keras.initializers.Constant(1 / maps),
            autocast=False,
            name="scales",
        )

    def call(self, maps_and_terms: list):
        """Give the sum for a batch."""
        count = len(maps_and_terms) // 2
        total = constant = 0.0
        for i in range(count):
            y, terms = maps_and_terms[i], maps_and_terms[count + i]
            factors = terms * self.scales[i]
            total = total + y * ops.cast(factors[:, None, None, 0], y.dtype)
            constant = constant + factors[:, None, None, 1]
        return total - ops.cast(constant, total.dtype)

    def compute_output_spec(self, maps_and_terms: list):
        """Shape and type of the output, those of each map."""
        return keras.KerasTensor(maps_and_terms[0].shape, dtype=maps_and_terms[0].dtype)

    def get_config(self) -> dict:
        """Arguments of the constructor."""
        return {**super().get_config(), "weight": self.weight}


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
    """Count the dense shortcuts of a network and the parameters they add."""
    found = [layer for layer in model.layers if isinstance(layer, DenseShortcut | ShortcutNorm)]
    shortcuts = sum(each.scales.shape[0] for each in found if isinstance(each, DenseShortcut))
    return shortcuts, sum(
        int(np.prod(variable.shape)) for each in found for variable in each.trainable_variables
    )
