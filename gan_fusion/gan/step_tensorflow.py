"""A training step on TensorFlow: gradients of gradients, for which Keras has no word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from gan_fusion.gan.losses import critic_loss, generator_loss, mean_terms
from gan_fusion.gan.networks import from_pixels

if TYPE_CHECKING:
    from gan_fusion.gan.step import Gan


def make(gan: Gan) -> Callable[..., dict[str, Any]]:
    """Make the function that takes one step of a GAN and changes its variables.

    Parameters
    ----------
    gan : Gan

    Returns
    -------
    callable
        (batch, keep, critic_only, penalised) -> terms, as `Gan.step` uses it: `keep` is the share
        of the averaged generator that is kept; the two flags choose which graph is traced.
    """

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
            real, label = from_pixels(batch["real"][i]), batch["label"][i]
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
        terms = mean_terms(found)
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
