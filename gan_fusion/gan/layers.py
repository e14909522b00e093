"""Layers that a saved GAN is made of, registered with Keras when this module is imported.

Weights start at unit variance and are scaled to He's at run time, so that Adam moves all of them by
the same share. The paper's rate of 0.0025 comes from a program that does so (G18); on plain weights
it is thirty times too high.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.backend import keras, ops


@keras.saving.register_keras_serializable("histopapers")
class ScaledDense(keras.layers.Dense):
    """Dense layer whose kernel is scaled by `gain` over the root of its inputs.

    Parameters
    ----------
    units : int
    gain : float
    **kwargs
        Of `keras.layers.Dense`.
    """

    def __init__(self, units: int, gain: float = 2**0.5, **kwargs: Any):
        super().__init__(units, **{"kernel_initializer": _unit(), **kwargs})
        self.gain = gain

    def call(self, inputs: Any) -> Any:
        """Apply the layer.

        Parameters
        ----------
        inputs : tensor (N, C)

        Returns
        -------
        tensor (N, units)
        """
        kernel = self.kernel * (self.gain * self.kernel.shape[0] ** -0.5)
        x = ops.matmul(inputs, kernel)
        return x + self.bias if self.use_bias else x

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "gain": self.gain}


@keras.saving.register_keras_serializable("histopapers")
class ScaledConv(keras.layers.Conv2D):
    """Convolution ("same" padding) whose kernel is scaled by `gain` over the root of its inputs.

    `upsample` doubles the sides first, by repeating pixels. Repetition and 3x3 convolution
    together are one transposed convolution with a 4x4 kernel and stride 2, which needs 4 instead
    of 9 multiplications per output; so they are computed as that.

    Parameters
    ----------
    filters, kernel_size, strides : int
        As in `keras.layers.Conv2D`.
    gain : float
    upsample : bool
        Needs a kernel size of 3.
    **kwargs
        Of `keras.layers.Conv2D`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        gain: float = 2**0.5,
        upsample: bool = False,
        **kwargs: Any,
    ):
        kwargs.pop("padding", None)
        super().__init__(
            filters, kernel_size, strides, "same", **{"kernel_initializer": _unit(), **kwargs}
        )
        self.gain = gain
        self.upsample = upsample
        if upsample and self.kernel_size != (3, 3):
            raise ValueError("upsample needs a 3x3 kernel")

    def call(self, inputs: Any) -> Any:
        """Apply the layer.

        Parameters
        ----------
        inputs : tensor (N, H, W, C)

        Returns
        -------
        tensor (N, H / strides, W / strides, filters), or (N, 2 H, 2 W, filters)
        """
        fan_in = np.prod(self.kernel.shape[:3])
        kernel = self.kernel * (self.gain * float(fan_in) ** -0.5)
        if self.upsample:
            x = ops.conv_transpose(inputs, upsampling_kernel(kernel), 2, "same")
        else:
            x = self.convolution_op(inputs, kernel)
        return x + self.bias

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of what `call` gives.

        Parameters
        ----------
        input_shape : tuple
            (N, H, W, C); None where a side is not known.
        """
        shape = super().compute_output_shape(input_shape)
        if not self.upsample:
            return shape
        return (shape[0], 2 * input_shape[1], 2 * input_shape[2], shape[3])

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "gain": self.gain, "upsample": self.upsample}


def upsampling_kernel(kernel: Any) -> Any:
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

    def call(self, inputs: Any) -> Any:
        """Apply the layer.

        Parameters
        ----------
        inputs : tensor (..., C)

        Returns
        -------
        tensor (..., C)
        """
        square = ops.mean(ops.square(inputs), axis=-1, keepdims=True)
        return inputs * ops.rsqrt(square + 1e-8)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of what `call` gives.

        Parameters
        ----------
        input_shape : tuple
        """
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

    def call(self, inputs: Any) -> Any:
        """Apply the layer.

        Parameters
        ----------
        inputs : pair of tensors
            Maps (N, H, W, C) and styles (N, 2 C): C scales, of which 0 leaves a channel's
            deviation at 1, then C shifts.

        Returns
        -------
        tensor (N, H, W, C)
        """
        x, style = inputs
        scale, shift = ops.split(ops.cast(style, "float32")[:, None, None, :], 2, axis=-1)
        mean, variance = ops.moments(ops.cast(x, "float32"), axes=(1, 2), keepdims=True)
        scale = (1 + scale) * ops.rsqrt(variance + 1e-6)
        return x * ops.cast(scale, x.dtype) + ops.cast(shift - mean * scale, x.dtype)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape of what `call` gives.

        Parameters
        ----------
        input_shape : pair of tuples
            Of the maps and of the styles.
        """
        return input_shape[0]


def _unit() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=1.0)
