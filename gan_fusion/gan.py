"""Conditional Wasserstein GAN: generator, critic, losses, and one training step.

Inside the two networks an image is float, RGB, in [-1, 1]; `as_pixels` makes the generator that
users get, which answers in [0, 255].

The step needs gradients of gradients, which Keras has no word for: `_tensorflow_steps` and
`_jax_steps` are the only parts that know a backend, the losses are the same for both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from common.errors import InputError
from gan_fusion.gan_config import GanConfig, check_size

ENTRY = 16
"""Side in px of the map that noise and class are turned into, where the U begins."""

_ROOT_OF_ZERO = 1e-12  # inside the root: its gradient at 0 is infinite


# --- layers ------------------------------------------------------------------------------------
#
# Weights start at unit variance and are scaled to He's at run time, so that Adam moves all of them
# by the same share. The paper's rate of 0.0025 comes from a program that does so (G18); on plain
# weights it is thirty times too high.


@keras.saving.register_keras_serializable("histopapers")
class ScaledDense(keras.layers.Dense):
    """Dense layer whose kernel is scaled by `gain` over the root of its inputs."""

    def __init__(self, units: int, gain: float = 2**0.5, **kwargs: object):
        super().__init__(units, **{"kernel_initializer": _unit(), **kwargs})
        self.gain = gain

    def call(self, inputs):
        """Apply the layer."""
        kernel = self.kernel * (self.gain * self.kernel.shape[0] ** -0.5)
        x = ops.matmul(inputs, kernel)
        return x + self.bias if self.use_bias else x

    def get_config(self) -> dict:
        """Arguments of the constructor."""
        return {**super().get_config(), "gain": self.gain}


@keras.saving.register_keras_serializable("histopapers")
class ScaledConv(keras.layers.Conv2D):
    """Convolution ("same" padding) whose kernel is scaled by `gain` over the root of its inputs.

    `upsample` doubles the sides first, by repeating pixels. Repetition and 3x3 convolution
    together are one transposed convolution with a 4x4 kernel and stride 2, which needs 4 instead
    of 9 multiplications per output; so they are computed as that.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        gain: float = 2**0.5,
        upsample: bool = False,
        **kwargs: object,
    ):
        kwargs.pop("padding", None)
        super().__init__(
            filters, kernel_size, strides, "same", **{"kernel_initializer": _unit(), **kwargs}
        )
        self.gain = gain
        self.upsample = upsample
        if upsample and self.kernel_size != (3, 3):
            raise ValueError("upsample needs a 3x3 kernel")

    def call(self, inputs):
        """Apply the layer."""
        fan_in = np.prod(self.kernel.shape[:3])
        kernel = self.kernel * (self.gain * float(fan_in) ** -0.5)
        if self.upsample:
            x = ops.conv_transpose(inputs, upsampling_kernel(kernel), 2, "same")
        else:
            x = self.convolution_op(inputs, kernel)
        return x + self.bias

    def compute_output_shape(self, input_shape):
        """Shape of what `call` gives."""
        shape = super().compute_output_shape(input_shape)
        if not self.upsample:
            return shape
        return (shape[0], 2 * input_shape[1], 2 * input_shape[2], shape[3])

    def get_config(self) -> dict:
        """Arguments of the constructor."""
        return {**super().get_config(), "gain": self.gain, "upsample": self.upsample}


def upsampling_kernel(kernel):
    """4x4 kernel whose transposed convolution of stride 2 repeats pixels and convolves.

    Parameters
    ----------
    kernel : tensor (3, 3, in, out)

    Returns
    -------
    tensor (4, 4, out, in)
    """
    kernel = ops.transpose(ops.flip(kernel, axis=(0, 1)), (0, 1, 3, 2))
    none = (0, 0)
    # An input pixel stands for two in each direction: the kernel is added to itself, shifted by 1.
    for pads in (((0, 1), none), ((1, 0), none)), ((none, (0, 1)), (none, (1, 0))):
        kernel = sum(ops.pad(kernel, (*pad, none, none)) for pad in pads)
    return kernel


@keras.saving.register_keras_serializable("histopapers")
class PixelNorm(keras.layers.Layer):
    """Divides each pixel's (or vector's) channels by their root mean square."""

    def call(self, inputs):
        """Apply the layer."""
        square = ops.mean(ops.square(inputs), axis=-1, keepdims=True)
        return inputs * ops.rsqrt(square + 1e-8)

    def compute_output_shape(self, input_shape):
        """Shape of what `call` gives."""
        return input_shape


@keras.saving.register_keras_serializable("histopapers")
class Modulation(keras.layers.Layer):
    """Normalises each channel of an image, then scales and shifts it by the image's style.

    Takes maps (N, H, W, C) and styles (N, 2 C). Without it a stain, which is one for the whole
    image, has no way to all its pixels but through their channels' directions.

    References
    ----------
    Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks",
    2019 (AdaIN).
    """

    def call(self, inputs):
        """Apply the layer."""
        x, style = inputs
        scale, shift = ops.split(ops.cast(style, "float32")[:, None, None, :], 2, axis=-1)
        mean, variance = ops.moments(ops.cast(x, "float32"), axes=(1, 2), keepdims=True)
        scale = (1 + scale) * ops.rsqrt(variance + 1e-6)
        return x * ops.cast(scale, x.dtype) + ops.cast(shift - mean * scale, x.dtype)

    def compute_output_shape(self, input_shape):
        """Shape of what `call` gives."""
        return input_shape[0]


def _unit() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=1.0)


# --- networks ----------------------------------------------------------------------------------


def channels(side: int, config: GanConfig) -> int:
    """Channels of a feature map of that side."""
    return max(4, min(config.channels_most, config.channels // side))


def build_generator(config: GanConfig, classes: int) -> keras.Model:
    """Build the generator: noise and class -> a U from 16 to 4 px and back -> upsampling -> tanh.

    Noise and class enter twice: as the map that the U begins with, and as a style that modulates
    every convolution's result. From 16 px on each side adds its own detail to the image.

    Parameters
    ----------
    config : GanConfig
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

    def conv(x, side, name, **options):
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
    """The generator with images in [0, 255], which is what is saved and given to users."""
    image = keras.layers.Rescaling(127.5, 127.5, dtype="float32", name="pixels")(generator.output)
    return keras.Model(generator.inputs, image, name="generator_pixels")


# --- losses ------------------------------------------------------------------------------------


def critic_loss(
    critic: Callable,
    real: Any,
    fake: Any,
    label: Any,
    mix: Any,
    config: GanConfig,
    input_gradient: Callable,
    in_float32: Callable = contextlib.nullcontext,
) -> tuple[Any, dict[str, Any]]:
    """What the critic minimises, and its terms.

    ``mean D(G) - mean D(x) + penalty mean (|dD/dm| - 1)^2 + gamma/2 mean |dD/dx|^2
    + drift mean D(x)^2``, with m between real and generated images. The logistic loss has
    ``mean log(1 + exp D(G)) + mean log(1 + exp -D(x))`` in place of the first two terms.

    Parameters
    ----------
    critic : callable
        (images, one-hot classes) -> (scores, features).
    real, fake : tensors (N, S, S, 3), [-1, 1]
    label : tensor (N, classes)
        Of the real and of the generated images.
    mix : tensor (N, 1, 1, 1)
        Where m lies, from 0 (real) to 1 (generated).
    config : GanConfig
        The weights of the terms.
    input_gradient : callable
        (function, images) -> gradient of the sum of the function's results.
    in_float32 : callable
        Context in which the critic computes in float32.

    References
    ----------
    Gulrajani et al., "Improved Training of Wasserstein GANs", 2017 (penalty); Mescheder et al.,
    "Which Training Methods for GANs do actually Converge?", 2018 (R1); Karras et al., "Progressive
    Growing of GANs", 2018 (drift); Goodfellow et al., "Generative Adversarial Nets", 2014
    (logistic). The paper's eq. 1 names the Wasserstein loss and a penalty.
    """
    count = real.shape[0]
    scores, _ = critic(ops.concatenate([real, fake]), ops.concatenate([label, label]))
    real_scores, fake_scores = scores[:count], scores[count:]
    distance = ops.mean(real_scores) - ops.mean(fake_scores)
    if config.critic_loss == "logistic":
        loss = ops.mean(ops.softplus(fake_scores)) + ops.mean(ops.softplus(-real_scores))
    else:
        loss = -distance
    loss = loss + config.drift * ops.mean(ops.square(real_scores))
    terms = {"distance": distance}
    points = [real + mix * (fake - real)] if config.penalty else []
    points += [real] if config.gamma else []
    if points:
        labels = ops.concatenate([label] * len(points))
        with in_float32():
            slope = input_gradient(lambda x: critic(x, labels)[0], ops.concatenate(points))
        squares = ops.sum(ops.square(ops.cast(slope, "float32")), axis=(1, 2, 3))
    if config.penalty:
        norms = ops.sqrt(squares[:count] + _ROOT_OF_ZERO)
        terms["penalty"] = ops.mean(ops.square(norms - 1))
        loss = loss + config.penalty * terms["penalty"]
    if config.gamma:
        terms["r1"] = ops.mean(squares[-count:])
        loss = loss + config.gamma / 2 * terms["r1"]
    return loss, terms


def generator_loss(
    critic: Callable, fake: Any, real: Any, label: Any, config: GanConfig
) -> tuple[Any, dict[str, Any]]:
    """What the generator minimises, and its terms (eq. 2).

    ``mean max(0, 1 - D(G))``, ``-mean D(G)`` or ``mean log(1 + exp -D(G))``, plus lambda times the
    mean squared difference between the mean features of generated and of real images of the same
    classes.
    """
    scores, features = critic(fake, label)
    shortfall = {
        "hinge": lambda: ops.relu(1 - scores),
        "wasserstein": lambda: -scores,
        "logistic": lambda: ops.softplus(-scores),
    }[config.generator_loss]
    loss = ops.mean(shortfall())
    terms = {"generator": loss}
    if config.feature_weight:
        _, wanted = critic(real, label)
        gap = ops.mean(features, axis=0) - ops.mean(wanted, axis=0)
        terms["features"] = ops.mean(ops.square(gap))
        loss = loss + config.feature_weight * terms["features"]
    return loss, terms


# --- training step -----------------------------------------------------------------------------


class Gan:
    """Both networks, the averaged generator and both optimizers.

    Parameters
    ----------
    config : GanConfig
    classes : int
        Number of classes it draws.
    """

    def __init__(self, config: GanConfig, classes: int):
        self.config = config
        self.classes = classes
        self.generator = build_generator(config, classes)
        self.critic = build_critic(config, classes)
        self.averaged = build_generator(config, classes)
        self.averaged.set_weights(self.generator.get_weights())
        betas = {"beta_1": config.beta_1, "beta_2": config.beta_2, "epsilon": 1e-8}
        self.generator_optimizer = keras.optimizers.Adam(config.learning_rate, **betas)
        self.critic_optimizer = keras.optimizers.Adam(config.critic_learning_rate, **betas)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)
        make = {"tensorflow": _tensorflow_steps, "jax": _jax_steps}.get(keras.backend.backend())
        if make is None:
            raise InputError(
                f"a GAN trains on TensorFlow or JAX, not on {keras.backend.backend()}; set "
                "KERAS_BACKEND=tensorflow"
            )
        self._steps = make(self)

    def variables(self) -> dict[str, Sequence[Any]]:
        """All that changes while training, for `common.training.Checkpoint`."""
        return {
            "generator": self.generator.variables,
            "critic": self.critic.variables,
            "averaged": self.averaged.variables,
            "generator_optimizer": self.generator_optimizer.variables,
            "critic_optimizer": self.critic_optimizer.variables,
        }

    def step(
        self, batch: Mapping[str, np.ndarray], iteration: int, *, critic_only: bool = False
    ) -> dict[str, Any]:
        """Take the critic's steps and one of the generator.

        Parameters
        ----------
        batch : mapping
            For C critic steps of N images: `real` uint8 (C, N, S, S, 3); `label` float32
            (C, N, classes); `noise` float32 (C + 1, N, latent), the last for the generator's
            step, which takes the last step's classes; `mix` float32 (C, N, 1, 1, 1).
        iteration : int
            Generator steps taken before, which decides how much the average remembers and whether
            the penalties are due.
        critic_only : bool
            Leave the generator as it is.

        Returns
        -------
        dict of str to scalar tensor
            `distance`, `penalty`, `r1` (means over the critic's steps), `generator`, `features`;
            those that the config has and this step took.
        """
        # Early on the average must forget the untrained generator sooner.
        keep = np.float32(min(self.config.average, (1 + iteration) / (10 + iteration)))
        return self._steps(batch, keep, critic_only, iteration % self.config.penalty_every == 0)

    def at(self, penalised: bool) -> GanConfig:
        """Settings of one step: the penalties weigh more where they are due, nothing elsewhere.

        References
        ----------
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020 (lazy
        regularization).
        """
        weight = self.config.penalty_every if penalised else 0
        return replace(
            self.config, penalty=weight * self.config.penalty, gamma=weight * self.config.gamma
        )

    @contextlib.contextmanager
    def in_float32(self) -> Iterator[None]:
        """Let the critic's layers compute in float32 while a step is traced."""
        if self.config.mixed_precision == "off":
            yield
            return
        policies = {layer: layer.dtype_policy for layer in self.critic.layers}
        for layer in policies:
            layer.dtype_policy = keras.DTypePolicy("float32")
        try:
            yield
        finally:
            for layer, policy in policies.items():
                layer.dtype_policy = policy


def _scaled(pixels: Any) -> Any:
    return ops.cast(pixels, "float32") / 127.5 - 1


def _mean_terms(terms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: sum(each[name] for each in terms) / len(terms) for name in terms[0]}


def _tensorflow_steps(gan: Gan) -> Callable:
    import tensorflow as tf

    def input_gradient(function: Callable, images: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            result = function(images)
        return tape.gradient(result, images)

    def critic(images: Any, label: Any) -> Any:
        return gan.critic([images, label])

    def update(loss: Callable, model: keras.Model, optimizer: Any) -> dict[str, Any]:
        variables = model.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable.value)
            value, terms = loss()
        gradients = tape.gradient(value, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return terms

    @tf.function
    def steps(
        batch: Mapping[str, Any], keep: Any, critic_only: bool, penalised: bool
    ) -> dict[str, Any]:
        config, found = gan.at(penalised), []
        for i in range(config.critic_steps):
            real, label = _scaled(batch["real"][i]), batch["label"][i]
            fake = gan.generator([batch["noise"][i], label])
            found.append(
                update(
                    lambda real=real, fake=fake, label=label, mix=batch["mix"][i]: critic_loss(
                        critic, real, fake, label, mix, config, input_gradient, gan.in_float32
                    ),
                    gan.critic,
                    gan.critic_optimizer,
                )
            )
        terms = _mean_terms(found)
        if critic_only:
            return terms
        terms |= update(
            lambda: generator_loss(
                critic, gan.generator([batch["noise"][-1], label]), real, label, config
            ),
            gan.generator,
            gan.generator_optimizer,
        )
        for average, value in zip(gan.averaged.variables, gan.generator.variables, strict=True):
            average.assign(keep * average + (1 - keep) * value)
        return terms

    return lambda batch, keep, *which: steps(dict(batch), tf.constant(keep), *which)


def _jax_steps(gan: Gan) -> Callable:
    import jax

    def input_gradient(function: Callable, images: Any) -> Any:
        return jax.grad(lambda x: ops.sum(function(x)))(images)

    def critic(weights: Sequence[Any], images: Any, label: Any) -> Any:
        return gan.critic.stateless_call(weights, [], [images, label])[0]

    def generate(weights: Sequence[Any], noise: Any, label: Any) -> Any:
        return gan.generator.stateless_call(weights, [], [noise, label])[0]

    def update(loss: Callable, weights: Any, state: Any, optimizer: Any) -> tuple[Any, Any, Any]:
        gradients, terms = jax.grad(loss, has_aux=True)(weights)
        weights, state = optimizer.stateless_apply(state, gradients, weights)
        return weights, state, terms

    def steps(
        state: dict[str, Any],
        batch: Mapping[str, Any],
        keep: Any,
        critic_only: bool,
        penalised: bool,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        state = dict(state)
        config, found = gan.at(penalised), []
        for i in range(config.critic_steps):
            real, label = _scaled(batch["real"][i]), batch["label"][i]
            fake = generate(state["generator"], batch["noise"][i], label)

            def loss(weights, real=real, fake=fake, label=label, mix=batch["mix"][i]):
                return critic_loss(
                    lambda images, label: critic(weights, images, label),
                    real, fake, label, mix, config, input_gradient, gan.in_float32,
                )  # fmt: skip

            state["critic"], state["critic_optimizer"], terms = update(
                loss, state["critic"], state["critic_optimizer"], gan.critic_optimizer
            )
            found.append(terms)
        terms = _mean_terms(found)
        if critic_only:
            return state, terms

        def loss(weights):
            return generator_loss(
                lambda images, label: critic(state["critic"], images, label),
                generate(weights, batch["noise"][-1], label), real, label, config,
            )  # fmt: skip

        state["generator"], state["generator_optimizer"], more = update(
            loss, state["generator"], state["generator_optimizer"], gan.generator_optimizer
        )
        state["averaged"] = [
            keep * average + (1 - keep) * value
            for average, value in zip(state["averaged"], state["generator"], strict=True)
        ]
        return state, terms | more

    compiled = jax.jit(steps, static_argnums=(3, 4), donate_argnums=0)

    def run(batch: Mapping[str, Any], keep: Any, *which: bool) -> dict[str, Any]:
        variables = gan.variables()
        state = {name: [v.value for v in group] for name, group in variables.items()}
        state, terms = compiled(state, dict(batch), keep, *which)
        for name, group in variables.items():
            for variable, value in zip(group, state[name], strict=True):
                variable.assign(value)
        return terms

    return run
