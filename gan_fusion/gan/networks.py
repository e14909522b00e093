"""Generator and critic, whose images are RGB in [-1, 1], and the generator that users get."""

from __future__ import annotations

from typing import Any

from common.backend import keras, ops
from gan_fusion.gan.config import GanConfig, check_size
from gan_fusion.gan.layers import Modulation, PixelNorm, ScaledConv, ScaledDense

ENTRY = 16
"""Side in px of the map that noise and class are turned into, where the U begins."""


def channels(side: int, config: GanConfig) -> int:
    """Channels of a feature map.

    Parameters
    ----------
    side : int
        Its side, px.
    config : GanConfig
        `channels` over the side, from 4 up to `channels_most`.
    """
    return max(4, min(config.channels_most, config.channels // side))


def build_generator(config: GanConfig, classes: int) -> keras.Model:
    """Build the generator: noise and class -> a U from 16 to 4 px and back -> upsampling -> tanh.

    Noise and class enter twice: as the map that the U begins with, and as a style that modulates
    every convolution's result. From 16 px on each side adds its own detail to the image.

    Parameters
    ----------
    config : GanConfig
        `image_size` (S), `latent`, `channels`, `channels_most`.
    classes : int
        Number of classes it draws.

    Returns
    -------
    keras.Model
        Takes noise (N, latent) and one-hot classes (N, classes), float32; gives RGB images
        (N, S, S, 3), float32 in [-1, 1].
    """
    check_size(config.image_size)
    layers = keras.layers
    noise = keras.Input((config.latent,), name="noise")
    label = keras.Input((classes,), name="label")

    def conv(x: Any, side: int, name: str, **options: Any) -> Any:
        x = ScaledConv(channels(side, config), name=name, **options)(x)
        x = layers.LeakyReLU(0.2, name=f"{name}_relu")(x)
        own = ScaledDense(2 * channels(side, config), gain=1, name=f"{name}_style")(style)
        return Modulation(name=f"{name}_modulated")([x, own])

    embedded = ScaledDense(config.latent, gain=1, use_bias=False, name="class_embedding")(label)
    x = layers.Concatenate(name="noise_and_class")(
        [PixelNorm(name="noise_norm")(noise), PixelNorm(name="class_norm")(embedded)]
    )
    style = x
    for name in ("style_1", "style_2"):
        style = ScaledDense(config.latent, name=name)(style)
        style = layers.LeakyReLU(0.2, name=f"{name}_relu")(style)
    width = max(4, channels(ENTRY, config) // 4)
    x = ScaledDense(ENTRY * ENTRY * width, name="entry")(x)
    x = layers.Reshape((ENTRY, ENTRY, width), name="entry_map")(x)
    x = layers.LeakyReLU(0.2, name="entry_relu")(x)
    across = {ENTRY: PixelNorm(name="entry_norm")(x)}
    across[8] = conv(across[ENTRY], 8, "down_8", kernel_size=4, strides=2)
    x = conv(across[8], 4, "down_4", kernel_size=4, strides=2)
    x = conv(x, 4, "bottom")
    side, colours = 4, None
    while side < config.image_size:
        side *= 2
        x = conv(x, side, f"up_{side}", upsample=True)
        if side in across:
            x = layers.Concatenate(name=f"across_{side}")([x, across[side]])
            x = conv(x, side, f"merge_{side}", kernel_size=1)
        if side >= ENTRY:
            own = ScaledConv(3, 1, gain=0.25, name=f"colours_{side}")(x)
            if colours is not None:
                coarse = layers.UpSampling2D(interpolation="bilinear", name=f"coarse_{side}")
                own = layers.Add(name=f"sum_{side}")([coarse(colours), own])
            colours = own
    image = layers.Activation("tanh", dtype="float32", name="image")(colours)
    return keras.Model([noise, label], image, name="generator")


def build_critic(config: GanConfig, classes: int) -> keras.Model:
    """Build the critic: strided convolutions to 4 px, no normalisation, an unbounded score.

    At 8 and 16 px a residual convolution follows, without which it is no match for the generator.

    The score is a linear function of the features plus their product with the class' embedding,
    so that it judges an image as one of its class.

    Parameters
    ----------
    config : GanConfig
        `image_size` (S), `channels`, `channels_most`.
    classes : int
        Number of classes that it judges.

    Returns
    -------
    keras.Model
        Takes images (N, S, S, 3) in [-1, 1] and one-hot classes (N, classes); gives the score
        (N,) and the features (N, F) before it, float32.
    """
    check_size(config.image_size)
    layers = keras.layers
    image = keras.Input((config.image_size, config.image_size, 3), name="image")
    label = keras.Input((classes,), name="label")
    x, side = image, config.image_size
    while side > 4:
        side //= 2
        x = ScaledConv(channels(side, config), 4, 2, name=f"level_{side}")(x)
        x = layers.LeakyReLU(0.2, name=f"level_{side}_relu")(x)
        if side in (8, 16):
            more = ScaledConv(channels(side, config), name=f"more_{side}")(x)
            more = layers.LeakyReLU(0.2, name=f"more_{side}_relu")(more)
            x = layers.Add(name=f"sum_{side}")([x, more])
            x = layers.Rescaling(0.5**0.5, name=f"sum_{side}_scaled")(x)
    x = layers.Flatten(name="flat")(x)
    width = channels(4, config)
    x = ScaledDense(width, name="dense")(x)
    features = layers.LeakyReLU(0.2, dtype="float32", name="features")(x)
    judged = ScaledDense(1, gain=1, dtype="float32", name="realism")(features)
    direction = ScaledDense(width, gain=1, use_bias=False, dtype="float32", name="class_direction")(
        label
    )
    matched = layers.Dot(axes=1, dtype="float32", name="match")([features, direction])
    matched = layers.Rescaling(width**-0.5, dtype="float32", name="match_scaled")(matched)
    score = layers.Add(dtype="float32", name="score")([judged, matched])
    score = layers.Reshape((), dtype="float32", name="scores")(score)
    return keras.Model([image, label], [score, features], name="critic")


def as_pixels(generator: keras.Model) -> keras.Model:
    """The generator with images in [0, 255], which is what is saved and given to users.

    Parameters
    ----------
    generator : keras.Model
        From `build_generator`; the weights are shared.

    Returns
    -------
    keras.Model
        Takes what the generator takes; gives RGB images (N, S, S, 3), float32.
    """
    image = keras.layers.Rescaling(127.5, 127.5, dtype="float32", name="pixels")(generator.output)
    return keras.Model(generator.inputs, image, name="generator_pixels")


def from_pixels(pixels: Any) -> Any:
    """The opposite of `as_pixels`: what the critic takes of a real image.

    Parameters
    ----------
    pixels : tensor, RGB in [0, 255]

    Returns
    -------
    tensor of the same shape, float32 in [-1, 1]
    """
    return ops.cast(pixels, "float32") / 127.5 - 1
