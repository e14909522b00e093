"""ResNet50, VGG19 or another backbone on z-scored images; Adam with PyTorch's weight decay."""

from __future__ import annotations

import numpy as np

from breakhis.config import Config
from common import backbones, networks
from common.backend import keras


def build_model(
    config: Config, mean: np.ndarray | None = None, std: np.ndarray | None = None
) -> keras.Model:
    """Build the classifier: the network as published, its last layer replaced (III.D).

    Parameters
    ----------
    config : Config
        Its `network`, `normalisation`, `dropout` and `frozen_layers`, for `classes` classes.
    mean, std : (3,) float, optional
        Per-channel statistics of the training images in [0, 1], RGB, for
        ``normalisation="dataset"`` (eq. 1).

    Returns
    -------
    model : keras.Model
        Takes raw RGB pixels, (N, S, S, 3) in [0, 255]; gives probabilities (N, classes) float32.
    """
    # VGG keeps its two dense layers of 4096 units; the others have none.
    dense = bool(networks.get(config.network).dense)
    model = backbones.classifier(
        config.network,
        config.image_size,
        config.classes,
        weights=config.weights,
        normalisation=config.normalisation,
        mean=mean,
        std=std,
        bn_momentum=config.bn_momentum,
        keep_top_dense=dense,
        dropout=config.dropout if dense else None,
    )
    if config.frozen_layers:
        backbones.freeze(model, config.frozen_layers, config.network)
    return model


@keras.saving.register_keras_serializable("histopapers")
class AdamL2(keras.optimizers.Adam):
    """Adam whose weight decay is PyTorch's: l2 * w joins the gradient before the moments.

    Keras' own `weight_decay` is decoupled (AdamW): at 1e-4 the two train differently.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        As Adam's.
    l2 : float
        The decay; applied to every variable, biases and normalisation included, as PyTorch does.
    **kwargs
        Adam's other arguments.
    """

    def __init__(self, learning_rate: object = 1e-3, l2: float = 0.0, **kwargs: object):
        super().__init__(learning_rate, **kwargs)
        self.l2 = l2

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: object
    ) -> None:
        """Update one variable, as `keras.optimizers.Adam` does with the decay in the gradient.

        Parameters
        ----------
        gradient : tensor
            Of the loss, shaped like the variable.
        variable : keras.Variable
            Changed in place.
        learning_rate : tensor
            Of this step.
        """
        decay = keras.ops.cast(self.l2, gradient.dtype) * keras.ops.cast(variable, gradient.dtype)
        super().update_step(gradient + decay, variable, learning_rate)

    def get_config(self) -> dict:
        """Arguments of the constructor."""
        return {**super().get_config(), "l2": self.l2}
