"""What all normalisers share: conventions, target, images and batches, file, identity."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, overload

import numpy as np

from common.errors import InputError
from common.files import write_json
from common.stain import staintools
from common.stain.conventions import FILE_VERSION, PRESETS, VERSION, Conventions
from common.stain.estimation import Flag
from common.stain.tissue import require_images

_ENGINES = ("own", "staintools")


class Normalizer(ABC):
    """What the three normalisers share; use one of them.

    Parameters
    ----------
    preset : str
        Named conventions: `default`, `staintools`, `torchstain` (its tensors), `torchstain_numpy`;
        of Macenko also `luminosity`: tissue by lightness, which keeps pale eosin.
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
            staintools.package()
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
    def set_target(self, **target: Any) -> None:
        """Take a target as `state` describes it.

        Parameters
        ----------
        **target
            The entries of `state()["target"]`.

        Raises
        ------
        InputError
            They are none of this method.
        """

    def fit(self, target: np.ndarray) -> Self:
        """Take the stains of an image as those to normalise to.

        Parameters
        ----------
        target : ndarray, uint8, shape (H, W, 3), RGB

        Returns
        -------
        Normalizer
            Itself.

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
            raise InputError(f"stain target: {REASON[flag]}; choose an image with stained tissue")
        return self

    @overload
    def transform(self, image: np.ndarray, return_flags: Literal[False] = False) -> np.ndarray: ...

    @overload
    def transform(
        self, image: np.ndarray, return_flags: Literal[True]
    ) -> tuple[np.ndarray, Any]: ...

    def transform(self, image: np.ndarray, return_flags: bool = False) -> Any:
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
        return each(self._transform, image, return_flags)

    __call__ = transform

    def identity(self) -> str:
        """Everything that decides the output as one line, for `images.cached(transform_id=)`.

        Returns
        -------
        str
            JSON.

        Raises
        ------
        InputError
            The normaliser has no target.
        """
        return json.dumps({"version": VERSION, **self.state()}, separators=(",", ":"))

    def save(self, path: str | Path) -> None:
        """Write the fitted normaliser as a small JSON file, whole or not at all.

        Parameters
        ----------
        path : path
            `common.stain.load` reads it.

        Raises
        ------
        InputError
            The normaliser has no target.
        """
        write_json(path, {"stain_normalizer": FILE_VERSION, **self.state()})

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
            raise self._no_target()

    def _no_target(self) -> InputError:
        name = type(self).__name__
        return InputError(f"{name} has no target yet: call fit(target) with an image, or load one")


REASON = {
    Flag.NO_TISSUE: "it has too little stained tissue (white, blank or tiny)",
    Flag.SINGLE_STAIN: "all its tissue has one colour, so two stains cannot be told apart",
}
"""Why an image was left unchanged, for messages."""


def each(
    function: Callable[[np.ndarray], tuple[np.ndarray, Flag]],
    image: np.ndarray,
    return_flags: bool,
) -> Any:
    """Apply a function to an image, or to each image of a batch.

    Parameters
    ----------
    function : callable
        Image -> image and `Flag`.
    image : ndarray, uint8, shape (H, W, 3) or (N, H, W, 3), RGB
    return_flags : bool

    Returns
    -------
    ndarray, or ndarray and flags
        As `Normalizer.transform`.
    """
    require_images(image)
    if image.ndim == 3:
        result, flag = function(image)
        return (result, flag) if return_flags else result
    result = np.empty_like(image, order="C")
    flags = np.zeros(len(image), np.int8)
    for i, one in enumerate(image):
        result[i], flags[i] = function(one)
    return (result, flags) if return_flags else result
