"""Both networks with their optimizers, and one training step; a backend's own part lies beside.

The step needs gradients of gradients, which Keras has no word for: `step_tensorflow` and `step_jax`
are the only modules that know a backend, the losses are the same for both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from common.backend import keras
from common.errors import InputError
from gan_fusion.gan.config import GanConfig
from gan_fusion.gan.networks import build_critic, build_generator


class Gan:
    """Both networks, the averaged generator and both optimizers.

    Parameters
    ----------
    config : GanConfig
    classes : int
        Number of classes it draws.

    Raises
    ------
    InputError
        On a backend other than TensorFlow and JAX.
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
        self._steps = _backend()(self)

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

        Parameters
        ----------
        penalised : bool
            Whether they are due.

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


def _backend() -> Callable[[Gan], Callable[..., dict[str, Any]]]:
    """What makes the step on the backend that Keras runs on."""
    name = keras.backend.backend()
    if name == "tensorflow":
        from gan_fusion.gan.step_tensorflow import make
    elif name == "jax":
        from gan_fusion.gan.step_jax import make
    else:
        raise InputError(
            f"a GAN trains on TensorFlow or JAX, not on {name}; set KERAS_BACKEND=tensorflow"
        )
    return make
