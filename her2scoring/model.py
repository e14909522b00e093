"""The paper's network: an ImageNet backbone, two dense layers with dropout, softmax."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from common import backbones
from common.backend import keras
from her2scoring.config import Config


def build_model(config: Config) -> keras.Model:
    """Build the classifier of section III.B.

    Parameters
    ----------
    config : Config
        Its `network` under `head_units` dense layers with dropout, for `classes` classes.

    Returns
    -------
    model : keras.Model
        Takes raw RGB pixels, (N, S, S, 3) in [0, 255]; gives probabilities (N, classes) float32.
        The layer before them is named "logits"; every layer is trainable (III.C).
    """

    def head(features: keras.KerasTensor) -> keras.KerasTensor:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(features)
        for number, units in enumerate(config.head_units, start=1):
            x = keras.layers.Dense(units, config.head_activation, name=f"dense_{number}")(x)
            x = keras.layers.Dropout(config.dropout, name=f"dropout_{number}")(x)
        return x

    return backbones.classifier(
        config.network,
        config.image_size,
        config.classes,
        head=head,
        weights=config.weights,
        normalisation=config.normalisation,
        bn_momentum=config.bn_momentum,
    )


def crossentropy(weights: np.ndarray | None) -> keras.losses.Loss | Callable:
    """Categorical cross-entropy (III.C), each image weighted by its class if `weights` are given.

    Parameters
    ----------
    weights : (classes,) array or None
        Factor of each class, in the classes' order.

    Returns
    -------
    keras.losses.Loss or callable
        Of one-hot targets and probabilities, (N, classes) both.
    """
    if weights is None:
        return keras.losses.CategoricalCrossentropy()
    weights = np.asarray(weights, dtype="float32")

    def weighted(target: keras.KerasTensor, probabilities: keras.KerasTensor) -> keras.KerasTensor:
        loss = keras.losses.categorical_crossentropy(target, probabilities)
        return loss * keras.ops.sum(target * weights, axis=-1)

    return weighted
