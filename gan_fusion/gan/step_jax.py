"""A training step on JAX: the same as on TensorFlow, on values instead of variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax

from common.backend import ops
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
        As `step_tensorflow.make`.
    """

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
            real, label = from_pixels(batch["real"][i]), batch["label"][i]
            fake = generate(state["generator"], batch["noise"][i], label)

            def of_critic(
                weights: Any,
                real: Any = real,
                fake: Any = fake,
                label: Any = label,
                mix: Any = batch["mix"][i],
            ) -> tuple[Any, dict[str, Any]]:
                return critic_loss(
                    lambda images, label: critic(weights, images, label),
                    real, fake, label, mix, config, input_gradient, gan.in_float32,
                )  # fmt: skip

            state["critic"], state["critic_optimizer"], terms = update(
                of_critic, state["critic"], state["critic_optimizer"], gan.critic_optimizer
            )
            found.append(terms)
        terms = mean_terms(found)
        if critic_only:
            return state, terms

        def of_generator(weights: Any) -> tuple[Any, dict[str, Any]]:
            return generator_loss(
                lambda images, label: critic(state["critic"], images, label),
                generate(weights, batch["noise"][-1], label), real, label, config,
            )  # fmt: skip

        state["generator"], state["generator_optimizer"], more = update(
            of_generator, state["generator"], state["generator_optimizer"], gan.generator_optimizer
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
