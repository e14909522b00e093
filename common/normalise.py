"""Channel statistics of a data set, and the layer that turns raw pixels into model input.

Every model of this library takes raw RGB pixels in [0, 255]; what its weights expect is made by
one `InputScaling` layer inside it, so that a saved model cannot be fed a wrong scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.backend import keras, ops
from common.errors import InputError

if TYPE_CHECKING:
    from common.images import Pixels

__all__ = [
    "CAFFE_MEAN_BGR",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SCALES",
    "SMALLEST_STD",
    "InputScaling",
    "rgb_statistics",
]

# Channel mean and standard deviation (R, G, B in [0, 1]) of the ImageNet training images, as used
# by torchvision's networks and by keras.applications.imagenet_utils in mode "torch".
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Channel mean in grey levels, in the order B, G, R, that Caffe's networks subtract: the VGG and
# ResNet weights of Keras come from there (keras.applications.imagenet_utils, mode "caffe").
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)

SCALES = ("caffe", "tf", "torch", "raw")
# One grey level: below it an image is blank and its z-score would only amplify rounding.
SMALLEST_STD = 1 / 255


def rgb_statistics(
    pixels: np.ndarray | Pixels,
    rows: Sequence[int] | np.ndarray | None = None,
    weights: Sequence[float] | np.ndarray | None = None,
    block: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every colour channel over a set of images.

    Streams over the images; the sums are exact integers, so neither the order nor the number of
    images costs accuracy. Give the rows of the training images only: statistics from test images
    would leak.

    Parameters
    ----------
    pixels : ndarray or Pixels, uint8, shape (N, H, W, 3), RGB in [0, 255]
        May be memory-mapped.
    rows : sequence of int, optional
        Which images to count, all by default. A row listed twice counts twice.
    weights : sequence of float, optional
        Weight of each entry of `rows` (how often an oversampled image occurs, for example).
    block : int
        Images looked at in one go; the result does not depend on it.

    Returns
    -------
    mean, std : ndarray, float64, shape (3,), R, G, B in [0, 1]
        `std` is the population standard deviation (divisor n).

    Raises
    ------
    InputError
        If there is nothing to count, or `pixels`, `rows`, `weights` or `block` have the wrong form.
    """
    shape: tuple[int, ...] = tuple(getattr(pixels, "shape", ()))
    if len(shape) != 4 or shape[-1] != 3:
        raise InputError(f"RGB statistics need pixels of images (N, H, W, 3), not {shape}")
    if isinstance(block, bool) or not isinstance(block, int | np.integer) or block < 1:
        raise InputError(f"block must be a whole number above 0, not {block!r}")
    chosen = np.arange(shape[0]) if rows is None else _rows(rows, shape[0])
    if chosen.size == 0 or 0 in shape:
        raise InputError(
            "RGB statistics of no images at all (pixels, rows): the training part is empty"
        )
    counted = _weights(weights, chosen)

    # Python numbers: integers of any size, so the products below do not overflow.
    count, total, squares = 0, [0, 0, 0], [0, 0, 0]
    for start in range(0, len(chosen), block):
        # One by one they are views: nothing is copied.
        images = [np.asarray(pixels[row]) for row in chosen[start : start + block].tolist()]
        if images[0].dtype != np.uint8:
            raise InputError(f"RGB statistics need uint8 pixels, not {images[0].dtype}")
        for image, weight in zip(images, counted[start : start + block].tolist(), strict=True):
            sums, sums_of_squares = (_histogram(image) @ _POWERS).T.tolist()
            count += weight * image.shape[0] * image.shape[1]
            for channel in range(3):
                total[channel] += weight * sums[channel]
                squares[channel] += weight * sums_of_squares[channel]
    mean = [s / count / 255 for s in total]
    # n * sum(x^2) - sum(x)^2 >= 0 exactly for integer weights; max() is for fractional ones.
    std = [
        math.sqrt(max(count * q - s * s, 0)) / count / 255
        for s, q in zip(total, squares, strict=True)
    ]
    return np.array(mean), np.array(std)


_POWERS = np.arange(256, dtype=np.int64)[:, None] ** np.array([1, 2])
_COUNTED_EXACTLY = 2**24
"""OpenCV gives counts in float32."""


def _histogram(image: np.ndarray) -> np.ndarray:
    """How many pixels have each value, int64 (3, 256); every sum is exact in them."""
    import cv2

    found = np.zeros((3, 256), np.int64)
    pixels = np.ascontiguousarray(image).reshape(-1, 1, 3)
    for start in range(0, len(pixels), _COUNTED_EXACTLY):
        part = pixels[start : start + _COUNTED_EXACTLY]
        for channel in range(3):
            counts = cv2.calcHist([part], [channel], None, [256], [0, 256])
            found[channel] += counts.ravel().astype(np.int64)
    return found


def _rows(rows: Any, n: int) -> np.ndarray:
    """Row numbers, checked."""
    try:
        chosen = np.asarray(rows)
    except ValueError:  # ragged
        chosen = np.empty(())
    if chosen.size == 0 and chosen.ndim == 1:
        return chosen.astype(np.int64)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise InputError(f"rows must be row numbers (n,), not {chosen.dtype} {chosen.shape}")
    if chosen.min() < 0 or chosen.max() >= n:
        raise InputError(f"rows must be from 0 to {n - 1}: {chosen.min()} to {chosen.max()} given")
    return chosen


def _weights(weights: Sequence[float] | np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    """Weight of each row, as integers where all are whole."""
    if weights is None:
        return np.ones(len(rows), np.int64)
    try:
        given = np.asarray(weights)
        if given.dtype.kind in "cSU":
            raise TypeError
        given = given.astype(np.float64) if given.dtype.kind == "O" else given
    except (TypeError, ValueError):
        raise InputError("weights of images must be numbers") from None
    if given.shape != rows.shape:
        raise InputError(f"{given.size} weights given for {rows.size} images")
    if not np.isfinite(given).all() or given.min() < 0 or given.sum() <= 0:
        raise InputError("weights of images must be finite, not negative and not all zero")
    return given.astype(np.int64) if np.array_equal(given, np.floor(given)) else given


@keras.saving.register_keras_serializable(package="histopapers")
class InputScaling(keras.layers.Layer):
    """Map raw RGB pixels to the input that a network's weights expect.

    Without `mean` and `per_image` this is what the network's own ``preprocess_input`` does, to the
    last bit. With them the image is z-scored first, and the z-score stands in for ImageNet's own:
    it is taken back through ImageNet's mean and standard deviation to the scale of the weights,
    since a z-score itself is on none of the scales below except "torch".

    =======  ==========================  =====================================
    scale    own scaling of RGB x        after a z-score z
    =======  ==========================  =====================================
    caffe    BGR, x - Caffe's mean       BGR, ``255 * z * std_imagenet``
    tf       ``x / 127.5 - 1``           ``2 * (z * std_imagenet + mean_imagenet) - 1``
    torch    ``(x / 255 - mean) / std``  ``z``
    raw      x                           ``255 * (z * std_imagenet + mean_imagenet)``
    =======  ==========================  =====================================

    The layer has no weights, only constants, and computes in float32 under every mixed-precision
    policy: bfloat16 has eight bits, too few for pixel values with a fraction.

    Parameters
    ----------
    scale : {"caffe", "tf", "torch", "raw"}
        Convention of the weights, named as in keras.applications.imagenet_utils.
    mean, std : three floats, optional
        Z-score every image with these (RGB, in [0, 1]), for example from `rgb_statistics`.
    per_image : bool
        Z-score every image with its own channel mean and standard deviation (at least one grey
        level, so that a blank image becomes zero).
    **kwargs
        Of `keras.layers.Layer`; the type is float32 in any case.

    Raises
    ------
    ValueError
        For an unknown scale or an impossible mean and std.
    """

    def __init__(
        self,
        scale: str,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        per_image: bool = False,
        **kwargs: Any,
    ):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        if not isinstance(scale, str) or scale not in SCALES:
            raise ValueError(f"unknown scale {scale!r}: one of {', '.join(SCALES)}")
        if per_image and mean is not None:
            raise ValueError("per_image takes each image's own statistics: give no mean and std")
        self.scale, self.per_image = scale, per_image
        self.mean: list[float] | None
        self.std: list[float] | None
        self.mean, self.std = _constants(mean, std)

    def call(self, images: Any) -> Any:
        """Scale a batch.

        Parameters
        ----------
        images : tensor (N, H, W, 3), RGB, uint8 or float, [0, 255]

        Returns
        -------
        tensor (N, H, W, 3), float32
            In the range and the order of channels that the scale has.
        """
        x = ops.cast(images, "float32")
        if self.per_image:
            # In grey levels: their sum is an integer, so the mean of a blank image is exact.
            mean = ops.mean(x, axis=(1, 2), keepdims=True)
            std = ops.sqrt(ops.mean(ops.square(x - mean), axis=(1, 2), keepdims=True))
            return self._from_z((x - mean) / ops.maximum(std, 255 * SMALLEST_STD))
        if self.mean is not None and self.std is not None:
            return self._from_z((x / 255.0 - _constant(self.mean)) / _constant(self.std))
        if self.scale == "caffe":
            return ops.flip(x, axis=-1) - _constant(CAFFE_MEAN_BGR)
        if self.scale == "tf":
            return x / 127.5 - 1.0
        if self.scale == "torch":
            return (x / 255.0 - _constant(IMAGENET_MEAN)) / _constant(IMAGENET_STD)
        return x

    def _from_z(self, z: Any) -> Any:
        """Take a z-score to the scale of the weights."""
        if self.scale == "torch":
            return z
        if self.scale == "caffe":
            return ops.flip(z * _constant(IMAGENET_STD) * 255.0, axis=-1)
        like_pixels = z * _constant(IMAGENET_STD) + _constant(IMAGENET_MEAN)
        return 2.0 * like_pixels - 1.0 if self.scale == "tf" else 255.0 * like_pixels

    def compute_output_spec(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Return the same shape, in float32.

        Parameters
        ----------
        images : KerasTensor (N, H, W, 3)

        Returns
        -------
        KerasTensor (N, H, W, 3)
        """
        return keras.KerasTensor(images.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "mean": self.mean,
            "std": self.std,
            "per_image": self.per_image,
        }


def _constants(
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[list[float], list[float]] | tuple[None, None]:
    """Check the statistics of a z-score, and give them as numbers."""
    if mean is None and std is None:
        return None, None
    if mean is None or std is None:
        raise ValueError("mean and std belong together: give both or neither")
    try:
        if np.iscomplexobj(mean) or np.iscomplexobj(std):
            raise TypeError
        means, deviations = [float(value) for value in mean], [float(value) for value in std]
    except (TypeError, ValueError):
        raise ValueError(f"mean and std need three numbers each: {mean!r}, {std!r}") from None
    if len(means) != 3 or len(deviations) != 3 or not all(map(math.isfinite, means + deviations)):
        raise ValueError(f"mean and std need three finite numbers each: {means}, {deviations}")
    if min(deviations) < SMALLEST_STD:
        raise ValueError(f"std {deviations} is below one grey level (1/255): blank images?")
    if min(means) < 0 or max(means) > 1:
        raise ValueError(f"mean {means} must be in [0, 1], not in grey levels")
    return means, deviations


def _constant(values: Sequence[float]) -> Any:
    return ops.convert_to_tensor(np.array(values, np.float32))
