"""Reinhard's normaliser: means and standard deviations in CIELAB.

References
----------
E. Reinhard et al., "Color transfer between images", IEEE CG&A 21(5), 2001.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from common.errors import InputError
from common.stain import staintools
from common.stain.conventions import TISSUE_DENSITY, WHITE_LEVEL, Conventions
from common.stain.estimation import Flag, macenko_matrix
from common.stain.mixing import real_numbers
from common.stain.normalizer import Normalizer
from common.stain.padding import content
from common.stain.tissue import (
    MIN_PIXELS,
    density_table,
    sample_tissue,
    strips,
    tissue_mask,
)

# Root mean square of a and b below which an image is grey, or white; stained tissue has tens.
SMALLEST_CHROMA = 2.0
# As `Conventions` has it for Macenko: vectors closer than this are one stain.
_SAME_STAIN = np.cos(np.radians(Conventions.min_angle))
_DENSITY = density_table(WHITE_LEVEL, "floor")


class ReinhardNormalizer(Normalizer):
    """Normalise by the mean and the standard deviation of each CIELAB channel.

    The parameters are those of `Normalizer`. It knows no stains, but an image that is grey, or all
    of whose tissue has one colour, is left as it is: it would be recoloured. With
    `mask="luminosity"` or `"optical_density"` the statistics are those of tissue, so that the share
    of background does not matter.

    References
    ----------
    E. Reinhard et al., "Color transfer between images", IEEE CG&A 21(5), 2001.
    """

    method = "reinhard"
    uses = frozenset(
        {"mask", "mask_threshold", "white_level", "rounding", "stride", "max_gain", "lab"}
    )

    mean: np.ndarray | None = None
    deviation: np.ndarray | None = None

    @property
    def fitted(self) -> bool:
        """Whether there is a target."""
        return self.mean is not None

    def _fit(self, target: np.ndarray) -> Flag:
        mean, deviation, flag = self._statistics(target, 1)
        if not flag.unchanged:
            self.mean, self.deviation = mean, deviation
        return flag

    def _target(self) -> dict[str, list]:
        mean, deviation = self._statistics_wanted()
        return {"mean": mean.tolist(), "deviation": deviation.tolist()}

    def _statistics_wanted(self) -> tuple[np.ndarray, np.ndarray]:
        if self.mean is None or self.deviation is None:
            raise self._no_target()
        return self.mean, self.deviation

    def set_target(self, **target: Any) -> None:
        """Take a target as `state` describes it.

        Parameters
        ----------
        **target
            `mean` and `deviation` of L (0 to 100), a and b.

        Raises
        ------
        InputError
            They are something else.
        """
        if set(target) != {"mean", "deviation"}:
            raise InputError(f"stain target: expected mean and deviation, received {set(target)}")
        centre, spread = real_numbers(target["mean"]), real_numbers(target["deviation"])
        if not all(x.shape == (3,) and np.isfinite(x).all() for x in (centre, spread)):
            raise InputError("mean, deviation: expected three numbers each")
        if spread.min() < 0:
            raise InputError("deviation: expected three numbers that are not negative")
        self.mean, self.deviation = centre, spread

    def _statistics(self, image: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray, Flag]:
        """Mean and standard deviation of L (0 to 100), a and b."""
        none = np.full(3, np.nan)
        if image.size == 0:
            return none, none, Flag.NO_TISSUE
        chosen = self.conventions
        table = density_table(chosen.white_level, chosen.zero)
        image, grid = content(image, stride)
        tissue, enough = sample_tissue(
            image,
            grid,
            lambda part: tissue_mask(part, chosen.mask, chosen.mask_threshold, table),
        )
        if not enough:
            return none, none, Flag.NO_TISSUE
        if chosen.lab == "8bit":
            lab = cv2.LUT(cv2.cvtColor(tissue[None], cv2.COLOR_RGB2LAB), _LAB_VALUES)
        else:
            lab = cv2.transform(_cube_roots(tissue[None]), _LAB)
        # One channel at a time, as StainTools does: where it truncates, the last bit can matter.
        mean, deviation = np.array([cv2.meanStdDev(one) for one in cv2.split(lab)])[..., 0, 0].T
        # A fifth of a unit is rounding noise: a white, black or uniform image.
        if deviation[0] < 0.2 or _one_colour(tissue, mean, deviation):
            return none, none, Flag.NO_TISSUE if mean[0] > 95 else Flag.SINGLE_STAIN
        return mean, deviation, Flag.OK

    def _transform(self, image: np.ndarray) -> tuple[np.ndarray, Flag]:
        mean, deviation, flag = self._statistics(image, self.conventions.stride)
        if flag.unchanged:
            return image.copy(), flag
        wanted_mean, wanted_deviation = self._statistics_wanted()
        ratio = wanted_deviation / np.maximum(deviation, 1e-6)
        limit = self.conventions.max_gain
        gain = np.clip(ratio, 1 / limit, limit)
        flag = Flag.OK if (gain == ratio).all() else Flag.GAIN_LIMITED
        if self.engine == "staintools":
            return staintools.reinhard(image, wanted_mean, wanted_deviation), flag
        truncate = self.conventions.rounding == "truncate"
        result = np.empty(image.shape, np.uint8)
        if self.conventions.lab == "8bit":
            # 256 values per channel: the whole transform is a table.
            values = (_LAB_VALUES[0] - mean) * gain + wanted_mean
            values = np.clip(values * _LAB_SCALE + _LAB_SHIFT, 0, 255)
            table = (values if truncate else np.rint(values)).astype(np.uint8)[None]
            for rows in strips(image):
                lab = cv2.cvtColor(np.ascontiguousarray(image[rows]), cv2.COLOR_RGB2LAB)
                cv2.cvtColor(cv2.LUT(lab, table), cv2.COLOR_LAB2RGB, dst=result[rows])
            return result, flag
        # Lab is linear in the cube roots, so matching it is one affine map of them.
        back = np.linalg.inv(_LAB[:, :3])
        centre = gain * (_LAB[:, 3] - mean) + wanted_mean - _LAB[:, 3]
        change = np.column_stack([back @ (gain[:, None] * _LAB[:, :3]), back @ centre])
        for rows in strips(image):
            roots = cv2.transform(_cube_roots(np.ascontiguousarray(image[rows])), change)
            pixels = _from_cube_roots(roots)
            if truncate:
                np.copyto(result[rows], pixels, casting="unsafe")
            else:
                cv2.convertScaleAbs(pixels, dst=result[rows])
        return result, flag


def _one_colour(tissue: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> bool:
    """Whether pixels (n, 3) are grey, or one stain by Macenko's rule; a sample is enough for it."""
    if float((mean[1:] ** 2 + deviation[1:] ** 2).sum()) < SMALLEST_CHROMA**2:
        return True
    density = cv2.LUT(tissue[None, :: max(1, len(tissue) // 4096)], _DENSITY)[0]
    density = density[(density >= TISSUE_DENSITY).all(axis=1)]
    if len(density) < MIN_PIXELS:
        return False
    matrix = macenko_matrix(density, 1.0, "linear", "oriented")
    return not matrix[0] @ matrix[1] < _SAME_STAIN


# CIELAB of sRGB under D65 (CIE 15; IEC 61966-2-1). OpenCV's conversion of floats interpolates in a
# coarse table and is off by up to 3 grey levels there and back, hence our own.
_XYZ = np.array([
    [0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227],
]) / np.array([[0.95047], [1.0], [1.08883]])  # fmt: skip
_LAB = np.array([[0.0, 116, 0, -16], [500, -500, 0, 0], [0, 200, -200, 0]])
_LINEAR = np.arange(256) / 255
_LINEAR = np.where(_LINEAR > 0.04045, ((_LINEAR + 0.055) / 1.055) ** 2.4, _LINEAR / 12.92)
_LINEAR = _LINEAR.astype(np.float32)
# The 8-bit encoding of OpenCV: L * 2.55, a + 128, b + 128.
_LAB_SCALE, _LAB_SHIFT = np.array([2.55, 1, 1]), np.array([0, 128, 128])
_LAB_VALUES = np.arange(256, dtype=np.float32)[None, :, None] - _LAB_SHIFT.astype(np.float32)
_LAB_VALUES /= _LAB_SCALE.astype(np.float32)


def _cube_roots(image: np.ndarray) -> np.ndarray:
    """CIE's f(X / Xn), f(Y / Yn), f(Z / Zn) of an image: float32 (H, W, 3)."""
    xyz = cv2.transform(cv2.LUT(image, _LINEAR), _XYZ)
    roots = cv2.pow(xyz, 1 / 3)
    np.copyto(roots, xyz * np.float32(7.787) + np.float32(16 / 116), where=xyz <= 0.008856)
    return roots


def _from_cube_roots(roots: np.ndarray) -> np.ndarray:
    """Pixel values 0 to 255, float32; `roots` is overwritten."""
    xyz = roots * roots * roots
    low = roots <= 0.2068966
    np.copyto(xyz, (roots - np.float32(16 / 116)) / np.float32(7.787), where=low)
    linear = cv2.transform(xyz, np.linalg.inv(_XYZ), roots)
    pixels: np.ndarray = cv2.pow(linear, 1 / 2.4)
    pixels *= np.float32(1.055 * 255)
    pixels -= np.float32(0.055 * 255)
    np.copyto(pixels, linear * np.float32(12.92 * 255), where=linear <= 0.0031308)
    return np.clip(pixels, 0, 255, out=pixels)
