"""Layers of a dense shortcut: the normalisation of an earlier map, and the weighted sum of them.

They are registered with Keras when this module is imported.
"""

from __future__ import annotations

from typing import Any

from common.backend import keras, ops

EPSILON = 1.001e-5
"""Of every batch normalisation: that of Keras' ResNet, which a loaded network must share."""


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
    **arguments
        Of `keras.layers.Layer`.

    Notes
    -----
    Maps (N, H, W, C) to float32 (N or 1, 2, C): scale and offset. As Keras' BatchNormalization, a
    frozen layer uses its moving statistics while training, too.
    """

    GROUPS = 32

    def __init__(
        self, kind: str = "batch", affine: bool = False, momentum: float = 0.99, **arguments: Any
    ):
        super().__init__(**arguments)
        self.kind, self.affine, self.momentum = kind, affine, momentum

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the variables.

        Parameters
        ----------
        shape : tuple
            Of the maps, (N, H, W, C).
        """
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

    def call(self, maps: Any, training: bool = False) -> Any:
        """Give the two terms of a batch of maps.

        Parameters
        ----------
        maps : tensor (N, H, W, C)
            Of any float type.
        training : bool
            With "batch": use the batch's statistics, and move the moving ones.

        Returns
        -------
        tensor (N or 1, 2, C), float32
            Scale and offset.
        """
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

    def _batch_statistics(self, x: Any, training: bool) -> tuple[Any, Any]:
        if not training:
            return self.moving_mean[None], self.moving_variance[None]
        mean, variance = ops.moments(x, axes=(0, 1, 2))
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return mean[None], variance[None]

    def _group_statistics(self, x: Any) -> tuple[Any, Any]:
        height, width, channels = x.shape[1:]
        grouped = (-1, height * width, self.GROUPS, channels // self.GROUPS)
        mean, variance = ops.moments(ops.reshape(x, grouped), axes=(1, 3))
        repeats = channels // self.GROUPS
        return ops.repeat(mean, repeats, axis=1), ops.repeat(variance, repeats, axis=1)

    def compute_output_spec(
        self, maps: keras.KerasTensor, training: bool = False
    ) -> keras.KerasTensor:
        """Shape and type of the output.

        Parameters
        ----------
        maps : KerasTensor (N, H, W, C)
        training : bool
            Changes neither.

        Returns
        -------
        KerasTensor (N or 1, 2, C), float32
        """
        rows = maps.shape[0] if self.kind == "group" else 1
        return keras.KerasTensor((rows, 2, maps.shape[-1]), dtype="float32")

    def get_config(self) -> dict[str, Any]:
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
    **arguments
        Of `keras.layers.Layer`.

    Notes
    -----
    Takes the maps, each (N, H, W, C), and then their terms from `ShortcutNorm`, in one list.
    """

    def __init__(self, weight: str = "channel", **arguments: Any):
        # The terms stay float32 under mixed precision: their offsets are large beside the sum.
        super().__init__(autocast=False, **arguments)
        self.weight = weight

    def build(self, shapes: list[tuple[int | None, ...]]) -> None:
        """Make the weights (maps, C or 1).

        Parameters
        ----------
        shapes : list of tuple
            Of the maps, then of their terms.
        """
        maps = len(shapes) // 2
        self.scales = self.add_weight(
            shape=(maps, shapes[0][-1] if self.weight == "channel" else 1),
            initializer=keras.initializers.Constant(1 / maps),
            autocast=False,
            name="scales",
        )

    def call(self, maps_and_terms: list[Any]) -> Any:
        """Give the sum for a batch.

        Parameters
        ----------
        maps_and_terms : list of tensor
            Maps (N, H, W, C), then their terms (N or 1, 2, C).

        Returns
        -------
        tensor (N, H, W, C)
            Of the maps' type.
        """
        count = len(maps_and_terms) // 2
        total: Any = 0.0
        constant: Any = 0.0
        for i in range(count):
            y, terms = maps_and_terms[i], maps_and_terms[count + i]
            factors = terms * self.scales[i]
            total = total + y * ops.cast(factors[:, None, None, 0], y.dtype)
            constant = constant + factors[:, None, None, 1]
        return total - ops.cast(constant, total.dtype)

    def compute_output_spec(self, maps_and_terms: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Shape and type of the output, those of each map.

        Parameters
        ----------
        maps_and_terms : list of KerasTensor
            As in `call`.

        Returns
        -------
        KerasTensor (N, H, W, C)
        """
        return keras.KerasTensor(maps_and_terms[0].shape, dtype=maps_and_terms[0].dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "weight": self.weight}
