"""The two normalisers that unmix stains and mix them again: Macenko's and Vahadane's.

References
----------
M. Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
A. Vahadane et al., "Structure-preserving color normalization and sparse stain separation for
histological images", IEEE TMI 35(8), 2016.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from dataclasses import fields
from typing import Any

import cv2
import numpy as np

from common.errors import InputError
from common.stain import staintools
from common.stain.conventions import Conventions
from common.stain.estimation import (
    Flag,
    Stains,
    macenko_matrix,
    online_matrix,
    percentiles,
    unusable,
    vahadane_matrix,
)
from common.stain.mixing import (
    checked_matrix,
    mix_densities,
    real_numbers,
    square,
    to_pixels,
    unmix,
    unmix_flat,
)
from common.stain.normalizer import REASON, Normalizer, each
from common.stain.padding import content
from common.stain.tissue import (
    density_table,
    require_images,
    sample_tissue,
    standardize_brightness,
    strips,
    tissue_mask,
)


class StainMatrixNormalizer(Normalizer):
    """A normaliser that unmixes two stains and mixes them again with the target's colours."""

    target: Stains | None = None

    @property
    def fitted_target(self) -> Stains:
        """The target's stains; InputError where there is none."""
        if self.target is None:
            raise self._no_target()
        return self.target

    @abstractmethod
    def _matrix(self, density: np.ndarray) -> np.ndarray: ...

    @functools.cached_property
    def _table(self) -> np.ndarray:
        return density_table(self.conventions.white_level, self.conventions.zero)

    @property
    def fitted(self) -> bool:
        """Whether there is a target."""
        return self.target is not None

    def estimate(self, image: np.ndarray) -> Stains:
        """Estimate the stains of an image; never fails on its content.

        Parameters
        ----------
        image : ndarray, uint8, shape (H, W, 3), RGB

        Returns
        -------
        Stains
            With a flag where they cannot be estimated.
        """
        require_images(image)
        if image.ndim != 3:
            raise InputError(f"image: expected one image (H, W, 3), received {image.shape}")
        return self._estimate(self._prepared(image), self.conventions.stride)

    def stain_matrix(self, image: np.ndarray) -> np.ndarray:
        """Stain matrix of an image.

        Parameters
        ----------
        image : ndarray, uint8, shape (H, W, 3), RGB

        Returns
        -------
        ndarray, float64, shape (2, 3)
            Unit rows of optical densities (R, G, B), haematoxylin first.

        Raises
        ------
        InputError
            No stains can be estimated; `estimate` gives a flag instead.
        """
        stains = self.estimate(image)
        if stains.flag.unchanged:
            raise InputError(f"image: {REASON[stains.flag]}; its stains cannot be estimated")
        return stains.matrix

    def concentrations(self, image: np.ndarray, matrix: np.ndarray | None = None) -> np.ndarray:
        """Concentrations of haematoxylin and eosin.

        Parameters
        ----------
        image : ndarray, uint8, shape (H, W, 3), RGB
        matrix : ndarray, shape (2, 3), optional
            The stains; by default the image's own.

        Returns
        -------
        ndarray, float32, shape (H, W, 2)
            In optical density along the unit vectors.

        Raises
        ------
        InputError
            No stains are given, and none can be estimated.
        """
        matrix = self.stain_matrix(image) if matrix is None else checked_matrix(matrix)
        image = self._prepared(require_images(image))
        result = np.empty((*image.shape[:2], 2), np.float32)
        for rows in strips(image):
            result[rows] = self._unmix(image[rows], matrix)[..., :2]
        return result

    def separate(
        self, image: np.ndarray, normalized: bool = True, return_flags: bool = False
    ) -> tuple[np.ndarray, ...]:
        """Images of haematoxylin alone and of eosin alone, RGB uint8, shaped like `image`.

        Parameters
        ----------
        image : ndarray
            RGB uint8, (H, W, 3) or (N, H, W, 3).
        normalized : bool
            In the target's colours and strengths; otherwise in the image's own.
        return_flags : bool
            Give flags as a third result. Where `Flag.unchanged` holds, both images are `image`.

        Returns
        -------
        tuple
            The two images, and the flags if asked for.
        """
        if normalized:
            self.require_fitted()
        results = [
            each(functools.partial(self._remix, only=k, normalized=normalized), image, True)
            for k in range(2)
        ]
        (first, flags), (second, _) = results
        return (first, second, flags) if return_flags else (first, second)

    def _fit(self, target: np.ndarray) -> Flag:
        stains = self._estimate(self._prepared(target), 1)
        if not stains.flag.unchanged:
            self.target = stains
        return stains.flag

    def _target(self) -> dict[str, list]:
        target = self.fitted_target
        return {"matrix": target.matrix.tolist(), "maximum": target.maximum.tolist()}

    def set_target(self, **target: Any) -> None:
        """Take a target as `state` describes it.

        Parameters
        ----------
        **target
            `matrix` (2, 3), and `maximum`, two positive numbers.

        Raises
        ------
        InputError
            They are something else.
        """
        if set(target) != {"matrix", "maximum"}:
            raise InputError(f"stain target: expected matrix and maximum, received {set(target)}")
        strongest = real_numbers(target["maximum"])
        if strongest.shape != (2,) or not (np.isfinite(strongest) & (strongest > 0)).all():
            raise InputError("maximum: expected two positive numbers")
        self.target = Stains(checked_matrix(target["matrix"]), strongest)

    def _prepared(self, image: np.ndarray) -> np.ndarray:
        if self.conventions.brightness is None or image.size == 0:
            return image
        whole = np.ascontiguousarray(image)
        return standardize_brightness(whole, self.conventions.brightness, content(whole, 1)[0])

    def _mask(self, image: np.ndarray) -> np.ndarray:
        return tissue_mask(
            image, self.conventions.mask, self.conventions.mask_threshold, self._table
        )

    def _estimate(self, image: np.ndarray, stride: int) -> Stains:
        if image.size == 0:
            return unusable(Flag.NO_TISSUE)
        chosen = self.conventions
        image, grid = content(image, stride)
        tissue, enough = sample_tissue(image, grid, self._mask)
        if not enough:
            return unusable(Flag.NO_TISSUE)
        matrix: np.ndarray | None
        if self.engine == "own":
            matrix = self._matrix(cv2.LUT(tissue[None], self._table)[0])
        else:
            matrix = staintools.matrix(self.method, image)
        if matrix is None or not np.isfinite(matrix).all():
            return unusable(Flag.SINGLE_STAIN)
        if matrix[0] @ matrix[1] > np.cos(np.radians(chosen.min_angle)):
            return unusable(Flag.SINGLE_STAIN)
        if self.engine == "own":
            density = cv2.LUT(grid, self._table)
            amounts = unmix_flat(density, matrix, chosen.concentrations, chosen.regularizer)
        else:
            amounts = self._unmix(grid, matrix).reshape(-1, 3).T[:2]
        maximum = np.concatenate([
            percentiles(one, [chosen.concentration_percentile], chosen.percentile)
            for one in amounts
        ])  # fmt: skip
        # The strongest of a stain's pixels would change 240 by less than a quarter of a level.
        if not (maximum > 1e-3).all():
            return unusable(Flag.SINGLE_STAIN)
        return Stains(matrix, maximum)

    def _unmix(self, image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        if self.engine == "own":
            chosen = self.conventions
            density = cv2.LUT(np.ascontiguousarray(image), self._table)
            return unmix(density, matrix, chosen.concentrations, chosen.regularizer)
        amounts = np.zeros((*image.shape[:2], 3), np.float32)
        amounts[..., :2] = staintools.concentrations(image, matrix)
        return amounts

    def _transform(self, image: np.ndarray) -> tuple[np.ndarray, Flag]:
        return self._remix(image, only=None, normalized=True)

    def _remix(
        self, image: np.ndarray, only: int | None, normalized: bool
    ) -> tuple[np.ndarray, Flag]:
        """Unmix the stains, scale them and mix all or one of them with the target's colours."""
        prepared = self._prepared(image)
        stains = self._estimate(prepared, self.conventions.stride)
        if stains.flag.unchanged:
            return image.copy(), stains.flag
        wanted = self.fitted_target if normalized else stains
        ratio = wanted.maximum / stains.maximum
        limit = self.conventions.max_gain
        gain = np.clip(ratio, 1 / limit, limit)
        flag = Flag.OK if (gain == ratio).all() else Flag.GAIN_LIMITED
        shown = np.ones(2) if only is None else np.eye(2)[only]
        mix = (wanted.matrix * (gain * shown)[:, None]).T
        return self._mixed(prepared, stains.matrix, mix), flag

    def _mixed(self, image: np.ndarray, source: np.ndarray, mix: np.ndarray) -> np.ndarray:
        """Give white * exp(-mix C), C the concentrations of the stains `source` in the image."""
        chosen = self.conventions
        if self.engine == "own" and chosen.concentrations == "least_squares":
            # C is linear in the density: unmixing, scaling and mixing are one 3 x 3 matrix.
            return mix_densities(
                image, self._table, mix @ np.linalg.pinv(source.T), np.zeros(3),
                chosen.white_level, chosen.rounding,
            )  # fmt: skip
        result = np.empty(image.shape, np.uint8)
        exponent = np.column_stack([-square(mix), np.full(3, np.log(chosen.white_level))])
        for rows in strips(image):
            amounts = self._unmix(image[rows], source)
            to_pixels(cv2.transform(amounts, exponent), chosen.rounding, result[rows])
        return result


class MacenkoNormalizer(StainMatrixNormalizer):
    """Normalise by stain vectors at the extreme angles of the plane of optical densities.

    The parameters are those of `Normalizer`.

    References
    ----------
    M. Macenko et al., "A method for normalizing histology slides for quantitative analysis",
    ISBI 2009, section 2.
    """

    method = "macenko"
    uses = frozenset(field.name for field in fields(Conventions)) - {
        "lab", "dictionary_regularizer"
    }  # fmt: skip

    def _matrix(self, density: np.ndarray) -> np.ndarray:
        chosen = self.conventions
        return macenko_matrix(
            density, chosen.angle_percentile, chosen.percentile, chosen.eigenvectors
        )


class VahadaneNormalizer(StainMatrixNormalizer):
    """Normalise by stain vectors from sparse non-negative dictionary learning.

    The parameters are those of `Normalizer`. By default the learning starts at Macenko's vectors
    and goes on to the minimum. The preset `staintools` stops as early as StainTools, which learns
    for one second: usually close to the same place, several degrees off it at worst.

    References
    ----------
    A. Vahadane et al., "Structure-preserving color normalization and sparse stain separation for
    histological images", IEEE TMI 35(8), 2016, section III.
    """

    method = "vahadane"
    uses = frozenset(field.name for field in fields(Conventions)) - {
        "lab", "angle_percentile", "eigenvectors"
    }  # fmt: skip

    def _matrix(self, density: np.ndarray) -> np.ndarray:
        chosen = self.conventions
        if chosen.dictionary == "online":
            return online_matrix(
                density, chosen.dictionary_regularizer, int(chosen.dictionary_batches)
            )
        start = macenko_matrix(density, 1.0, "linear", "oriented")
        return vahadane_matrix(density, start, chosen.dictionary_regularizer)
