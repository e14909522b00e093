"""Macenko's normalisation of a whole batch with `keras.ops`, for an accelerator.

The same steps and the same samples as `MacenkoNormalizer.transform`, in float32 and without a
branch on the content, so that it compiles. It pays on a GPU; on a CPU the other one is quicker.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.backend import keras, ops
from common.errors import InputError
from common.stain.estimation import Flag
from common.stain.padding import BLACK, WHITE
from common.stain.tissue import (
    MAX_SAMPLES,
    MIN_PIXELS,
    MIN_SAMPLES,
    MIN_TISSUE,
    density_table,
    grid_stride,
)
from common.stain.unmixing import MacenkoNormalizer


@keras.saving.register_keras_serializable(package="histopapers")
class StainNormalization(keras.layers.Layer):
    """Give each image of a batch the target's stains, as `MacenkoNormalizer.transform` does.

    Parameters
    ----------
    normalizer : MacenkoNormalizer
        Fitted; any convention except `brightness`, `mask="luminosity"` and `engine="staintools"`.
    **arguments
        Those of `keras.layers.Layer`.

    Notes
    -----
    Takes RGB (N, H, W, 3), uint8 or float in [0, 255], and gives float32 whole numbers in [0, 255];
    they agree with the other implementation within one grey level. Height and width are fixed.
    `flags(images)` gives the flags (N,), int32. An image in which no stains can be estimated comes
    back unchanged. Nothing here is trained, and no gradient is meant to pass.

    Raises
    ------
    InputError
        The normaliser has no target, or conventions that are not offered here.
    """

    def __init__(self, normalizer: MacenkoNormalizer | dict, **arguments: Any) -> None:
        super().__init__(**{"dtype": "float32", "trainable": False, **arguments})
        if isinstance(normalizer, dict):  # from a saved model
            target = normalizer["target"]
            normalizer = MacenkoNormalizer(normalizer["preset"], **normalizer["conventions"])
            normalizer.set_target(**target)
        if not isinstance(normalizer, MacenkoNormalizer) or normalizer.engine != "own":
            raise InputError("StainNormalization: expected a MacenkoNormalizer with engine='own'")
        normalizer.require_fitted()
        chosen = normalizer.conventions
        if chosen.brightness is not None or chosen.mask == "luminosity":
            raise InputError(
                "StainNormalization: brightness and mask='luminosity' need 8-bit CIELAB, which is "
                "not offered on an accelerator"
            )
        self._normalizer = normalizer
        self._table = density_table(chosen.white_level, chosen.zero)

    def get_config(self) -> dict[str, Any]:
        """Everything that makes the same layer again."""
        return {**super().get_config(), "normalizer": self._normalizer.state()}

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the output.

        Parameters
        ----------
        input_shape : tuple

        Returns
        -------
        tuple
            That of the input.
        """
        return input_shape

    def call(self, images: Any) -> Any:
        """Normalise a batch.

        Parameters
        ----------
        images : tensor, uint8 or float, shape (N, H, W, 3), RGB in [0, 255]

        Returns
        -------
        tensor, float32, shape (N, H, W, 3)
            Whole numbers in [0, 255].
        """
        return self._run(images)[0]

    def flags(self, images: Any) -> Any:
        """What happens to each image of a batch.

        Parameters
        ----------
        images : tensor, uint8 or float, shape (N, H, W, 3), RGB in [0, 255]

        Returns
        -------
        tensor, int32, shape (N,)
            See `Flag`.
        """
        return self._run(images)[1]

    def _run(self, images: Any) -> tuple[Any, Any]:
        chosen = self._normalizer.conventions
        target = self._normalizer.fitted_target
        height, width = images.shape[1:3]
        if height is None or width is None:
            raise InputError("StainNormalization: the images' height and width must be known")
        images = ops.cast(images, "float32")
        density = self._density(images)

        stride = grid_stride(height, width, chosen.stride)
        rows, columns = height // stride, width // stride
        grid = density[:, : rows * stride : stride, : columns * stride : stride]
        grid = ops.reshape(grid, (-1, rows * columns, 3))
        counted = _content(images)
        sampled = counted[:, : rows * stride : stride, : columns * stride : stride]
        sampled = ops.reshape(sampled, (-1, rows * columns))
        matrix, enough, scarce = self._matrix(grid, sampled)
        if stride > 1 and height * width <= MAX_SAMPLES:
            # Both are computed: a batch cannot branch.
            whole = ops.reshape(density, (-1, height * width, 3))
            whole_matrix, whole_enough, _ = self._matrix(
                whole, ops.reshape(counted, (-1, height * width))
            )
            matrix = ops.where(scarce[:, None, None], whole_matrix, matrix)
            enough = ops.where(scarce, whole_enough, enough)

        amounts, inverse = self._unmix(grid, matrix)
        maximum = ops.stack(
            [
                self._percentile(amounts[..., k], sampled, chosen.concentration_percentile)
                for k in range(2)
            ],
            axis=1,
        )
        cosine = ops.sum(matrix[:, 0] * matrix[:, 1], axis=1)
        single = cosine > float(np.cos(np.radians(chosen.min_angle)))
        # A comparison with NaN is false: such a stain is none.
        single = single | ~ops.all(maximum > 1e-3, axis=1) | ops.any(matrix != matrix, axis=(1, 2))
        ratio = ops.convert_to_tensor(target.maximum.astype(np.float32)) / maximum
        gain = ops.clip(ratio, 1 / chosen.max_gain, chosen.max_gain)
        flags = ops.where(ops.all(gain == ratio, axis=1), Flag.OK.value, Flag.GAIN_LIMITED.value)
        flags = ops.where(single, Flag.SINGLE_STAIN.value, flags)
        flags = ops.cast(ops.where(enough, flags, Flag.NO_TISSUE.value), "int32")

        mix = gain[:, :, None] * ops.convert_to_tensor(target.matrix.astype(np.float32))
        flat = ops.reshape(density, (-1, height * width, 3))
        if chosen.concentrations == "least_squares":
            mixed = ops.matmul(flat, ops.matmul(inverse, mix))
        else:
            mixed = ops.matmul(self._unmix(flat, matrix)[0], mix)
        pixels = ops.minimum(chosen.white_level * ops.exp(-mixed), 255.0)
        pixels = ops.round(pixels) if chosen.rounding == "nearest" else ops.floor(pixels)
        pixels = ops.reshape(pixels, (-1, height, width, 3))
        unchanged = flags >= Flag.NO_TISSUE.value
        return ops.where(unchanged[:, None, None, None], images, pixels), flags

    def _density(self, images: Any) -> Any:
        white, zero = self._normalizer.conventions.white_level, self._normalizer.conventions.zero
        shifted = images + 1 if zero == "plus_one" else ops.maximum(images, 1)
        return -ops.log(shifted / white)

    def _matrix(self, density: Any, counted: Any) -> tuple[Any, Any, Any]:
        """Stain matrices (N, 2, 3), whether there is tissue (N,), whether it is scarce (N,)."""
        chosen = self._normalizer.conventions
        tissue = counted
        if chosen.mask == "optical_density":
            # A boundary half way to the next possible density: logarithms differ in the last bit.
            inside = self._table[self._table >= chosen.mask_threshold]
            outside = self._table[self._table < chosen.mask_threshold]
            edges = [float(part) for part in (*inside[-1:], *outside[:1])]
            tissue = ops.all(density >= sum(edges) / len(edges), axis=-1) & counted
        count = ops.sum(ops.cast(tissue, "float32"), axis=1)
        pixels = ops.sum(ops.cast(counted, "float32"), axis=1)
        enough = count >= ops.maximum(float(MIN_PIXELS), MIN_TISSUE * pixels)
        weights = ops.cast(tissue, "float32")[..., None]
        mean = ops.sum(density * weights, axis=1) / ops.maximum(count, 1.0)[:, None]
        centred = (density - mean[:, None]) * weights
        # The vectors of the sums of squares are those of the covariance.
        _, vectors = ops.eigh(ops.matmul(ops.transpose(centred, (0, 2, 1)), centred))
        principal, second = vectors[..., 2], vectors[..., 1]
        if chosen.eigenvectors == "red":
            principal = principal * ops.where(principal[:, :1] < 0, -1.0, 1.0)
        else:
            # `solver` leaves the sign, which decides nothing while tissue lies on one side.
            along = ops.sum(principal * mean, axis=1, keepdims=True)
            principal = principal * ops.where(along < 0, -1.0, 1.0)
        plane = ops.stack([principal, second], axis=1)
        projected = ops.matmul(density, ops.transpose(plane, (0, 2, 1)))
        angle = ops.arctan2(projected[..., 1], projected[..., 0])
        angles = [
            self._percentile(angle, tissue, percent)
            for percent in (chosen.angle_percentile, 100 - chosen.angle_percentile)
        ]
        directions = ops.stack(
            [ops.stack([ops.cos(x), ops.sin(x)], axis=1) for x in angles], axis=1
        )
        matrix = ops.matmul(directions, plane)
        ordered = matrix[:, 0, 0] > matrix[:, 1, 0]
        matrix = ops.where(ordered[:, None, None], matrix, ops.flip(matrix, axis=1))
        return matrix, enough, count < MIN_SAMPLES

    def _percentile(self, values: Any, mask: Any, percent: float) -> Any:
        """Percentile of each row's values (N, n) where the mask holds."""
        ordered = ops.sort(ops.where(mask, values, np.float32(3e38)))
        last = ops.sum(ops.cast(mask, "float32"), axis=1) - 1
        place = ops.maximum(last, 0.0) * (percent / 100)
        if self._normalizer.conventions.percentile == "nearest":
            place = ops.round(place)
        low = ops.floor(place)
        high = ops.minimum(low + 1, ops.maximum(last, 0.0))
        below, above = (
            ops.take_along_axis(ordered, ops.cast(x, "int32")[:, None], axis=1)[:, 0]
            for x in (low, high)
        )
        return below + (above - below) * (place - low)

    def _unmix(self, density: Any, matrix: Any) -> tuple[Any, Any]:
        """Concentrations (N, n, 2), and the pseudo-inverse (N, 3, 2) of the stain matrix."""
        chosen = self._normalizer.conventions
        cosine = ops.sum(matrix[:, 0] * matrix[:, 1], axis=1)
        # 1 - cosine^2 from the difference: exact where the vectors are close.
        apart = ops.sum((matrix[:, 0] - matrix[:, 1]) ** 2, axis=1) / 2
        determinant = ops.maximum(apart * (1 + cosine), 1e-12)
        one = ops.ones_like(cosine)
        gram = ops.stack(
            [ops.stack([one, -cosine], axis=1), ops.stack([-cosine, one], axis=1)], axis=1
        ) / determinant[:, None, None]  # fmt: skip
        transposed = ops.transpose(matrix, (0, 2, 1))
        inverse = ops.matmul(transposed, gram)
        if chosen.concentrations == "least_squares":
            return ops.matmul(density, inverse), inverse
        correlation = ops.matmul(density, transposed) - chosen.regularizer
        both = ops.matmul(correlation, gram)
        return ops.maximum(ops.minimum(both, correlation), 0.0), inverse


def _content(images: Any) -> Any:
    """Which pixels (N, H, W) are no padding, by the rules of `common.stain.padding`."""
    black, white = ops.all(images <= BLACK, axis=-1), ops.all(images >= WHITE, axis=-1)
    inside = ops.ones_like(black)
    for axis in (2, 1, 2):  # lines across: rows, columns, rows
        pad = ops.all(black | ~inside, axis=axis) | ops.all(white | ~inside, axis=axis)
        whole = ops.cast(~pad, "int32")
        kept = ops.cumsum(whole, axis=1) * ops.flip(
            ops.cumsum(ops.flip(whole, axis=1), axis=1), axis=1
        )
        inside = inside & ops.expand_dims(kept > 0, axis)
    # Corners of what is left: its first and last row, and their first and last column.
    for flips in ((), (1,), (2,), (1, 2)):
        seen, dark = ops.flip(inside, axis=flips), ops.flip(black, axis=flips)
        place = ops.argmax(
            ops.reshape(ops.cast(seen, "int32"), (-1, seen.shape[1] * seen.shape[2])), 1
        )
        corner = ops.take_along_axis(
            ops.reshape(dark, (-1, seen.shape[1] * seen.shape[2])), place[:, None], axis=1
        )
        inside = inside & ~(corner[:, :, None] & black)
    return inside | ~ops.any(inside, axis=(1, 2), keepdims=True)
