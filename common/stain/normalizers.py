"""What normalisers share, and the two that unmix stains: Macenko's and Vahadane's.

References
----------
M. Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
A. Vahadane et al., "Structure-preserving color normalization and sparse stain separation for
histological images", IEEE TMI 35(8), 2016.
"""

from __future__ import annotations

import functools
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import cv2
import numpy as np

from common.errors import InputError
from common.files import write_json
from common.stain.conventions import PRESETS, VERSION, Conventions
from common.stain.estimation import (
    RUIFROK,
    Flag,
    Stains,
    density_table,
    macenko_matrix,
    online_matrix,
    percentiles,
    require_images,
    sample,
    sample_tissue,
    standardize_brightness,
    strips,
    tissue_mask,
    unusable,
    vahadane_matrix,
)

_ENGINES = ("own", "staintools")
_STAINTOOLS_LOCK = threading.Lock()


class Normalizer(ABC):
    """What the three normalisers share; use one of them.

    Parameters
    ----------
    preset : str
        Named conventions: `default`, `staintools`, `torchstain` (its tensors), `torchstain_numpy`.
    engine : {"own", "staintools"}
        `staintools` calls that package (extra `stain`). Its Vahadane learns for one second on
        random pixels, so two runs differ a little.
    **changes
        Fields of `Conventions` that differ from the preset.

    Raises
    ------
    InputError
        An unknown preset, engine or convention, or one that the method does not use.

    Notes
    -----
    After `fit` nothing changes any more: one normaliser may serve several threads. The same image
    gives the same pixels, also inside a batch.
    """

    method: ClassVar[str]
    # Conventions that this method looks at.
    uses: ClassVar[frozenset[str]]

    def __init__(self, preset: str = "default", *, engine: str = "own", **changes: Any) -> None:
        presets = PRESETS[self.method]
        if preset not in presets:
            raise InputError(f"stain preset {preset!r}: {self.method} has {', '.join(presets)}")
        if engine not in _ENGINES:
            raise InputError(f"stain engine {engine!r}: choose from {', '.join(_ENGINES)}")
        if engine == "staintools":
            if changes or preset not in ("default", "staintools"):
                raise InputError(
                    "engine 'staintools' has its package's conventions: give no others, or take "
                    "preset='staintools', which reproduces it"
                )
            preset = "staintools"
            staintools_package()
        strange = set(changes) - self.uses
        if strange:
            raise InputError(
                f"{self.method} does not use {', '.join(sorted(strange))}; "
                f"its conventions are {', '.join(sorted(self.uses))}"
            )
        self.preset = preset
        self.engine = engine
        self.conventions = replace(Conventions(**presets[preset]), **changes)

    @property
    @abstractmethod
    def fitted(self) -> bool:
        """Whether there is a target."""

    @abstractmethod
    def _fit(self, target: np.ndarray) -> Flag: ...

    @abstractmethod
    def _transform(self, image: np.ndarray) -> tuple[np.ndarray, Flag]: ...

    @abstractmethod
    def _target(self) -> dict[str, list]: ...

    @abstractmethod
    def set_target(self, **target: list) -> None:
        """Take a target as `state()["target"]` gives it; InputError if it is none."""

    def fit(self, target: np.ndarray) -> Self:
        """Take the stains of `target`, RGB uint8 (H, W, 3), as those to normalise to.

        Raises
        ------
        InputError
            Not such an image, or an image in which no stains can be estimated.
        """
        require_images(target, "stain target")
        if target.ndim != 3:
            raise InputError(f"stain target: expected one image, received {target.shape}")
        flag = self._fit(target)
        if flag.unchanged:
            raise InputError(f"stain target: {_REASON[flag]}; choose an image with stained tissue")
        return self

    def transform(
        self, image: np.ndarray, return_flags: bool = False
    ) -> np.ndarray | tuple[np.ndarray, Flag | np.ndarray]:
        """Give the image, or each image of a batch, the target's stains.

        Parameters
        ----------
        image : ndarray
            RGB uint8, (H, W, 3) or (N, H, W, 3).
        return_flags : bool
            Also give what happened: a `Flag`, for a batch an int8 array (N,) of them. An image
            whose `Flag.unchanged` holds is returned as it came; nothing is raised for it.

        Returns
        -------
        ndarray, or ndarray and flags
            RGB uint8, a new array of the same shape.

        Raises
        ------
        InputError
            The normaliser has no target, or `image` is not RGB uint8 with the channels last.
        """
        self.require_fitted()
        return _each(self._transform, image, return_flags)

    __call__ = transform

    def identity(self) -> str:
        """Everything that decides the output as one line, for `images.cached(transform_id=)`."""
        self.require_fitted()
        return json.dumps({"version": VERSION, **self.state()}, separators=(",", ":"))

    def save(self, path: str | Path) -> None:
        """Write the fitted normaliser as a small JSON file, whole or not at all."""
        self.require_fitted()
        write_json(path, {"stain_normalizer": VERSION, **self.state()})

    def state(self) -> dict[str, Any]:
        """Give everything that makes the same fitted normaliser again, ready for JSON."""
        used = {key: value for key, value in asdict(self.conventions).items() if key in self.uses}
        return {
            "method": self.method, "engine": self.engine, "preset": self.preset,
            "conventions": used, "target": self._target(),
        }  # fmt: skip

    def require_fitted(self) -> None:
        """Raise an InputError unless there is a target."""
        if not self.fitted:
            name = type(self).__name__
            raise InputError(
                f"{name} has no target yet: call fit(target) with an image, or load one"
            )


_REASON = {
    Flag.NO_TISSUE: "it has too little stained tissue (white, blank or tiny)",
    Flag.SINGLE_STAIN: "all its tissue has one colour, so two stains cannot be told apart",
}


def _each(
    function: Callable[[np.ndarray], tuple[np.ndarray, Flag]],
    image: np.ndarray,
    return_flags: bool,
) -> Any:
    require_images(image)
    if image.ndim == 3:
        result, flag = function(image)
        return (result, flag) if return_flags else result
    result = np.empty_like(image, order="C")
    flags = np.zeros(len(image), np.int8)
    for i, one in enumerate(image):
        result[i], flags[i] = function(one)
    return (result, flags) if return_flags else result


# --- Macenko and Vahadane ----------------------------------------------------------------------


class StainMatrixNormalizer(Normalizer):
    """A normaliser that unmixes two stains and mixes them again with the target's colours."""

    target: Stains | None = None

    @abstractmethod
    def _matrix(self, density: np.ndarray) -> np.ndarray | None: ...

    @functools.cached_property
    def _table(self) -> np.ndarray:
        return density_table(self.conventions.white_level, self.conventions.zero)

    @property
    def fitted(self) -> bool:
        """Whether there is a target."""
        return self.target is not None

    def estimate(self, image: np.ndarray) -> Stains:
        """Estimate the stains of an image, RGB uint8 (H, W, 3); never fails on its content."""
        require_images(image)
        if image.ndim != 3:
            raise InputError(f"image: expected one image (H, W, 3), received {image.shape}")
        return self._estimate(self._prepared(image), self.conventions.stride)

    def stain_matrix(self, image: np.ndarray) -> np.ndarray:
        """Stain matrix of an image: (2, 3) float64, unit rows, haematoxylin first.

        Raises
        ------
        InputError
            No stains can be estimated; `estimate` gives a flag instead.
        """
        stains = self.estimate(image)
        if stains.flag.unchanged:
            raise InputError(f"image: {_REASON[stains.flag]}; its stains cannot be estimated")
        return stains.matrix

    def concentrations(self, image: np.ndarray, matrix: np.ndarray | None = None) -> np.ndarray:
        """Concentrations of haematoxylin and eosin: (H, W, 2) float32.

        `matrix` (2, 3) gives the stains; by default they are the image's own.
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
        """
        if normalized:
            self.require_fitted()
        results = [
            _each(functools.partial(self._remix, only=k, normalized=normalized), image, True)
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
        return {"matrix": self.target.matrix.tolist(), "maximum": self.target.maximum.tolist()}

    def set_target(self, matrix: list, maximum: list) -> None:
        """Take a target as `state()["target"]` gives it; InputError if it is none."""
        strongest = np.asarray(maximum, float)
        if strongest.shape != (2,) or not (np.isfinite(strongest) & (strongest > 0)).all():
            raise InputError("maximum: expected two positive numbers")
        self.target = Stains(checked_matrix(matrix), strongest)

    def _prepared(self, image: np.ndarray) -> np.ndarray:
        if self.conventions.brightness is None or image.size == 0:
            return image
        return standardize_brightness(np.ascontiguousarray(image), self.conventions.brightness)

    def _mask(self, image: np.ndarray) -> np.ndarray:
        return tissue_mask(
            image, self.conventions.mask, self.conventions.mask_threshold, self._table
        )

    def _estimate(self, image: np.ndarray, stride: int) -> Stains:
        if image.size == 0:
            return unusable(Flag.NO_TISSUE)
        chosen = self.conventions
        grid = sample(image, stride)
        tissue, enough = sample_tissue(image, grid, self._mask)
        if not enough:
            return unusable(Flag.NO_TISSUE)
        if self.engine == "own":
            matrix = self._matrix(cv2.LUT(tissue[None], self._table)[0])
        else:
            matrix = _staintools_matrix(self.method, image)
        if matrix is None or not np.isfinite(matrix).all():
            return unusable(Flag.SINGLE_STAIN)
        if matrix[0] @ matrix[1] > np.cos(np.radians(chosen.min_angle)):
            return unusable(Flag.SINGLE_STAIN)
        if self.engine == "own":
            density = cv2.LUT(grid, self._table)
            amounts = _unmix_flat(density, matrix, chosen.concentrations, chosen.regularizer)
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
            return _unmix(density, matrix, chosen.concentrations, chosen.regularizer)
        with _STAINTOOLS_LOCK:
            # The package writes into the image that it is given.
            found = staintools_package().get_concentrations(image.copy(), matrix)
        amounts = np.zeros((*image.shape[:2], 3), np.float32)
        amounts[..., :2] = found.reshape(*image.shape[:2], 2)
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
        wanted = self.target if normalized else stains
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
        exponent = np.column_stack([-_square(mix), np.full(3, np.log(chosen.white_level))])
        for rows in strips(image):
            amounts = self._unmix(image[rows], source)
            _to_pixels(cv2.transform(amounts, exponent), chosen.rounding, result[rows])
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

    def _matrix(self, density: np.ndarray) -> np.ndarray | None:
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

    def _matrix(self, density: np.ndarray) -> np.ndarray | None:
        chosen = self.conventions
        if chosen.dictionary == "online":
            return online_matrix(
                density, chosen.dictionary_regularizer, int(chosen.dictionary_batches)
            )
        start = macenko_matrix(density, 1.0, "linear", "oriented")
        if start is None:
            start = RUIFROK
        return vahadane_matrix(density, start, chosen.dictionary_regularizer)


def _unmix(density: np.ndarray, matrix: np.ndarray, rule: str, regularizer: float) -> np.ndarray:
    """Concentrations of densities (H, W, 3): (H, W, 3) float32, the last channel 0.

    OpenCV's 3 x 3 transform is ten times as fast as its 2 x 3 one.
    """
    if rule == "least_squares":
        return cv2.transform(density, _square(np.linalg.pinv(matrix.T)))
    # Lasso with two unit atoms: where both are used, the solution is that of the normal equations;
    # otherwise the one used takes its own correlation less the penalty, and that is the smaller.
    penalty = np.array([[-regularizer], [-regularizer], [0]])
    correlation = cv2.transform(density, np.hstack([_square(matrix), penalty]))
    both = cv2.transform(correlation, _square(np.linalg.inv(matrix @ matrix.T)))
    # Atoms at more than 90 degrees, which no two stains are, would turn the order around.
    cv2.min(both, correlation, dst=both)
    return cv2.max(both, 0.0, dst=both)


def _unmix_flat(
    density: np.ndarray, matrix: np.ndarray, rule: str, regularizer: float
) -> np.ndarray:
    """The same as two rows (2, n) float32, which percentiles want."""
    flat = density.reshape(-1, 3).T
    if rule == "least_squares":
        return np.linalg.pinv(matrix.T).astype(np.float32) @ flat
    correlation = matrix.astype(np.float32) @ flat
    correlation -= np.float32(regularizer)
    both = np.linalg.inv(matrix @ matrix.T).astype(np.float32) @ correlation
    np.minimum(both, correlation, out=both)
    return np.maximum(both, 0, out=both)


def _square(matrix: np.ndarray) -> np.ndarray:
    """Fill a matrix with zeros to 3 x 3."""
    full = np.zeros((3, 3))
    full[: matrix.shape[0], : matrix.shape[1]] = matrix
    return full


def _to_pixels(
    exponent: np.ndarray, rounding: str, out: np.ndarray, highest: float = np.inf
) -> None:
    """Write exp(exponent), which is overwritten, as uint8; no exponent is above `highest`."""
    cv2.exp(exponent, dst=exponent)
    # A float beyond int32 would wrap around; below that OpenCV's conversion saturates by itself.
    if rounding == "truncate" or highest > 20:
        flat = exponent.reshape(len(exponent), -1)  # a scalar counts for one channel only
        cv2.min(flat, 255.0, dst=flat)
    if rounding == "nearest":
        cv2.convertScaleAbs(exponent, dst=out)
    else:
        np.copyto(out, exponent, casting="unsafe")


def mix_densities(
    image: np.ndarray,
    table: np.ndarray,
    matrix: np.ndarray,
    shift: np.ndarray,
    white_level: float,
    rounding: str,
) -> np.ndarray:
    """white_level * exp(-(matrix OD + shift)) of an image, a strip at a time: uint8 (H, W, 3)."""
    result = np.empty(image.shape, np.uint8)
    exponent = np.column_stack([-matrix, np.log(white_level) - shift])
    highest = (
        exponent[:, 3] + np.maximum(-matrix * table[0], -matrix * table[-1]).sum(axis=1)
    ).max()
    density = mixed = None
    for rows in strips(image):
        # Buffers are used again while the strips are equal: fresh memory costs more than the sums.
        density = cv2.LUT(np.ascontiguousarray(image[rows]), table, density)
        mixed = cv2.transform(density, exponent, mixed)
        _to_pixels(mixed, rounding, result[rows], highest)
    return result


def checked_matrix(matrix: Any) -> np.ndarray:
    """Give a stain matrix (2, 3) with unit rows; InputError if it is none."""
    try:
        matrix = np.asarray(matrix, float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (2, 3) or not np.isfinite(matrix).all() or not matrix.any(axis=1).all():
        raise InputError("stain matrix: expected 2 x 3 numbers, haematoxylin's row first")
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    # Unit rows stay as they are to the last bit: a loaded normaliser has the saved one's identity.
    return matrix if abs(norms - 1).max() < 1e-12 else matrix / norms


# --- StainTools --------------------------------------------------------------------------------


class _StainTools:
    """The parts of the package that are called."""

    def __init__(self) -> None:
        import staintools
        from staintools.miscellaneous.exceptions import TissueMaskException
        from staintools.miscellaneous.get_concentrations import get_concentrations

        self.extractors = {
            "macenko": staintools.MacenkoStainExtractor,
            "vahadane": staintools.VahadaneStainExtractor,
        }
        self.reinhard = staintools.ReinhardColorNormalizer
        self.no_tissue = TissueMaskException
        self.get_concentrations = get_concentrations


@functools.cache
def staintools_package() -> _StainTools:
    """Import StainTools; InputError if it is not installed."""
    try:
        return _StainTools()
    except ImportError as error:
        raise InputError(
            f"engine 'staintools' needs StainTools and spams-bin ({error}): install the extra, "
            "pip install \"histopapers[stain]\", or take engine='own', preset='staintools'"
        ) from None


def _staintools_matrix(method: str, image: np.ndarray) -> np.ndarray | None:
    package = staintools_package()
    # The package writes into the image that it is given, and its learner is not made for threads.
    with _STAINTOOLS_LOCK:
        try:
            return package.extractors[method].get_stain_matrix(image.copy())
        except (package.no_tissue, np.linalg.LinAlgError):
            return None
