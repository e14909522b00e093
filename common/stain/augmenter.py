"""Random changes of how strongly an image is stained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

import numpy as np

from common.errors import InputError
from common.stain.estimation import RUIFROK, Flag
from common.stain.mixing import checked_matrix, mix_densities, real_numbers
from common.stain.tissue import density_table, require_images, tissue_mask
from common.stain.unmixing import MacenkoNormalizer, StainMatrixNormalizer, VahadaneNormalizer


class StainAugmenter:
    """Draw stain concentrations anew: each stain's C becomes alpha C + beta.

    alpha is uniform in [1 - sigma_alpha, 1 + sigma_alpha], beta in [-sigma_beta, sigma_beta], in
    optical density with natural logarithms. What the two stains do not explain is kept, so that
    alpha = 1, beta = 0 gives the image back exactly.

    Parameters
    ----------
    stains : "ruifrok", "macenko", "vahadane" or array
        Whose stain vectors: Ruifrok and Johnston's constants, an estimate on each image, or a
        matrix (2, 3). The constants need no estimate and are the quickest.
    sigma_alpha, sigma_beta : float
        0.05 is the literature's light setting, 0.2 its strong one.
    background : bool
        Also change pixels that are not tissue. beta tints a white background; without it, the
        border of tissue can show.

    References
    ----------
    D. Tellez et al., "Whole-slide mitosis detection in H&E breast histology using PHH3 as a
    reference to train distilled stain-invariant convolutional networks", IEEE TMI 37(9), 2018.
    D. Tellez et al., "Quantifying the effects of data augmentation and stain color normalization
    in convolutional neural networks for computational pathology", Med. Image Anal. 58, 2019.
    """

    def __init__(
        self,
        stains: str | Any = "ruifrok",
        *,
        sigma_alpha: float = 0.05,
        sigma_beta: float = 0.05,
        background: bool = True,
    ) -> None:
        for name, value in (("sigma_alpha", sigma_alpha), ("sigma_beta", sigma_beta)):
            if not isinstance(value, int | float | np.floating) or not 0 <= value <= 1:
                raise InputError(f"{name}: expected a number from 0 to 1, received {value!r}")
        self._estimator: StainMatrixNormalizer | None = None
        if isinstance(stains, str):
            estimators = {"macenko": MacenkoNormalizer, "vahadane": VahadaneNormalizer}
            known = ("ruifrok", *estimators)
            if stains not in known:
                raise InputError(f"stains {stains!r}: choose from {', '.join(known)}, or a matrix")
            self._matrix = RUIFROK
            if stains in estimators:
                self._estimator = estimators[stains]()
        else:
            self._matrix = checked_matrix(stains)
        self.sigma_alpha, self.sigma_beta = float(sigma_alpha), float(sigma_beta)
        self.background = background
        self._table = density_table(255.0, "floor")

    def draw(self, rng: np.random.Generator) -> dict[str, list[float]]:
        """Draw alpha and beta of both stains.

        Parameters
        ----------
        rng : Generator

        Returns
        -------
        dict
            `alpha` and `beta`, two numbers each, haematoxylin's first; ready for JSON.
        """
        alpha = rng.uniform(1 - self.sigma_alpha, 1 + self.sigma_alpha, 2)
        beta = rng.uniform(-self.sigma_beta, self.sigma_beta, 2)
        return {"alpha": alpha.tolist(), "beta": beta.tolist()}

    def parameters(self, uniforms: np.ndarray) -> dict[str, list[float]]:
        """Make what `draw` gives of numbers that were drawn elsewhere.

        Parameters
        ----------
        uniforms : ndarray
            Shape (4,), from 0 to 1: alpha of both stains, then beta.
        """
        spread = 2 * np.asarray(uniforms, float) - 1
        alpha = 1 + self.sigma_alpha * spread[:2]
        return {"alpha": alpha.tolist(), "beta": (self.sigma_beta * spread[2:]).tolist()}

    @overload
    def apply(
        self,
        image: np.ndarray,
        parameters: Mapping[str, Any],
        return_flags: Literal[False] = False,
    ) -> np.ndarray: ...

    @overload
    def apply(
        self, image: np.ndarray, parameters: Mapping[str, Any], return_flags: Literal[True]
    ) -> tuple[np.ndarray, Flag]: ...

    def apply(
        self, image: np.ndarray, parameters: Mapping[str, Any], return_flags: bool = False
    ) -> np.ndarray | tuple[np.ndarray, Flag]:
        """Change the stains of an image by what `draw` gave.

        Parameters
        ----------
        image : ndarray, uint8, shape (H, W, 3), RGB
        parameters : mapping
            `alpha` and `beta` of `draw`, and nothing else.
        return_flags : bool
            Also give a `Flag`.

        Returns
        -------
        ndarray, or ndarray and Flag
            A new image; one on which no stains can be estimated is given as it came, and the flag
            says so.
        """
        require_images(image)
        if not isinstance(parameters, Mapping) or not set(parameters) == {"alpha", "beta"}:
            raise InputError(
                f"parameters must be alpha and beta, as `draw` gives it: {parameters!r}"
            )
        if image.ndim != 3:
            raise InputError(f"image: expected one image (H, W, 3), received {image.shape}")
        matrix, flag = self._matrix, Flag.OK
        if image.size == 0:
            flag = Flag.NO_TISSUE
        elif self._estimator is not None:
            found = self._estimator.estimate(image)
            matrix, flag = found.matrix, found.flag
        if flag.unchanged:
            result = image.copy()
        else:
            alpha, beta = _two(parameters, "alpha"), _two(parameters, "beta")
            change = np.eye(3) + (matrix.T * (alpha - 1)) @ np.linalg.pinv(matrix.T)
            result = mix_densities(image, self._table, change, beta @ matrix, 255.0, "nearest")
            if not self.background:
                rest = tissue_mask(image, "luminosity", 0.8, self._table) == 0
                result[rest] = image[rest]
        return (result, flag) if return_flags else result

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw and apply.

        Parameters
        ----------
        image : ndarray, uint8, shape (H, W, 3) or (N, H, W, 3), RGB
            Each image of a batch gets a draw of its own.
        rng : Generator

        Returns
        -------
        ndarray, uint8, shaped like `image`
        """
        if require_images(image).ndim == 3:
            return self.apply(image, self.draw(rng))
        result = np.empty_like(image, order="C")
        for i, one in enumerate(image):
            result[i] = self.apply(one, self.draw(rng))
        return result


def _two(parameters: Mapping[str, Any], name: str) -> np.ndarray:
    """Two finite numbers of the parameters."""
    values = real_numbers(parameters[name])
    if values.shape != (2,) or not np.isfinite(values).all():
        raise InputError(f"parameters: {name} must be two finite numbers, one of each stain")
    return values
