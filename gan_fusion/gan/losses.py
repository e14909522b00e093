"""What the critic and the generator minimise, and the penalties; the same for every backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.backend import ops
from gan_fusion.gan.config import GanConfig

_ROOT_OF_ZERO = 1e-12  # inside the root: its gradient at 0 is infinite


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

    Returns
    -------
    loss : scalar tensor
    terms : dict of str to scalar tensor
        `distance` (mean D(x) - mean D(G)); `penalty` and `r1`, without their weights, where their
        weights are not 0.

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

    Parameters
    ----------
    critic : callable
        (images, one-hot classes) -> (scores, features).
    fake, real : tensors (N, S, S, 3), [-1, 1]
    label : tensor (N, classes)
        Of the generated and of the real images.
    config : GanConfig
        `generator_loss`; `feature_weight` is lambda.

    Returns
    -------
    loss : scalar tensor
    terms : dict of str to scalar tensor
        `generator`, and `features` where lambda is not 0, without it.
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


def mean_terms(terms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of each term over several steps.

    Parameters
    ----------
    terms : sequence of mapping
        Of one step each, all with the same names.
    """
    return {name: sum(each[name] for each in terms) / len(terms) for name in terms[0]}
