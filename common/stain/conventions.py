"""What implementations of the three methods disagree on, and the presets that reproduce them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.errors import InputError
from common.tissue import TISSUE_DENSITY, WHITE_LEVEL

# Raise it when a change of the code changes pixels: it is part of `identity()`. 2: padding takes no
# part in an estimate, and Reinhard leaves an image of one colour as it is. 3: StainTools' Vahadane
# learns from the same pixels in the same batches as StainTools does.
VERSION = 3
# Of the files of fitted normalisers, which say nothing of pixels.
FILE_VERSION = 1

_CHOICES = {
    "zero": ("floor", "plus_one"),
    "mask": ("optical_density", "luminosity", "none"),
    "percentile": ("linear", "nearest"),
    "eigenvectors": ("oriented", "red", "solver"),
    "concentrations": ("least_squares", "lasso"),
    "dictionary": ("minimum", "online"),
    "rounding": ("nearest", "truncate"),
    "lab": ("float", "8bit"),
}


@dataclass(frozen=True)
class Conventions:
    """Everything on which implementations of the three methods disagree.

    Attributes
    ----------
    white_level : float
        Pixel value of the light that met no tissue.
    zero : {"floor", "plus_one"}
        How the logarithm of 0 is avoided: 0 is read as 1, or 1 is added to every value.
    mask : {"optical_density", "luminosity", "none"}
        Tissue has an optical density >= `mask_threshold` in all channels, or a CIELAB lightness
        below that fraction of white. Reinhard's usual form has none.
    mask_threshold : float
        Optical density, natural logarithm, or fraction of white.
    brightness : float or None
        Stretch the lightness first, so that this percentile of it is white.
    angle_percentile : float
        Macenko: stains lie at this percentile of the angles, and at 100 minus it.
    eigenvectors : {"oriented", "red", "solver"}
        Macenko: the sign of an eigenvector, see `estimation.macenko_matrix`.
    percentile : {"linear", "nearest"}
        Interpolate between two samples, or take the nearer.
    concentrations : {"least_squares", "lasso"}
        Any sign, or non-negative with the L1 penalty `regularizer`.
    regularizer, dictionary_regularizer : float
        L1 penalties of the concentrations and, for Vahadane, while the stains are learnt.
    dictionary : {"minimum", "online"}
        Vahadane: learn the stains to the end, or by `dictionary_batches` batches of 768 pixels.
    dictionary_batches : int
        Of 768 pixels, for `dictionary="online"`.
    concentration_percentile : float
        What is matched to the target; over all pixels, background included.
    rounding : {"nearest", "truncate"}
        From float to uint8.
    stride : int
        Estimate on every `stride`-th pixel in both directions, best odd; if that leaves
        little tissue, the stain vectors come from all of it. A target is always estimated on all.
    max_gain : float
        A stain's concentration (Reinhard: a channel's spread) is scaled by no more than this, and
        by no less than 1 / max_gain.
    min_angle : float
        Stain vectors closer than this, in degrees, are one stain.
    lab : {"float", "8bit"}
        Reinhard: precision of CIELAB.
    """

    white_level: float = WHITE_LEVEL
    zero: str = "floor"
    mask: str = "optical_density"
    mask_threshold: float = TISSUE_DENSITY
    brightness: float | None = None
    angle_percentile: float = 1.0
    eigenvectors: str = "oriented"
    percentile: str = "linear"
    concentrations: str = "least_squares"
    regularizer: float = 0.01
    dictionary_regularizer: float = 0.1
    dictionary: str = "minimum"
    dictionary_batches: int = 128
    concentration_percentile: float = 99.0
    rounding: str = "nearest"
    stride: int = 3
    max_gain: float = 5.0
    min_angle: float = 2.0
    lab: str = "float"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"stain convention {name}: expected one of {', '.join(choices)}, "
                    f"received {getattr(self, name)!r}"
                )
        whole = ("stride", "dictionary_batches")
        for name, low, high in (
            ("brightness", 1, 100), ("white_level", 1, 255), ("mask_threshold", 0, 10),
            ("angle_percentile", 0, 49), ("regularizer", 0, 10), ("dictionary_regularizer", 0, 10),
            ("concentration_percentile", 50, 100), ("stride", 1, 100), ("max_gain", 1, 1e6),
            ("dictionary_batches", 1, 1e6), ("min_angle", 0, 90),
        ):  # fmt: skip
            value = getattr(self, name)
            if name == "brightness" and value is None:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value <= high or (name in whole and value != int(value)):
                kind = "a whole number" if name in whole else "a number"
                raise InputError(
                    f"stain convention {name}: expected {kind} from {low:g} to {high:g}, "
                    f"received {value!r}"
                )


_TORCHSTAIN = {
    "white_level": WHITE_LEVEL, "zero": "plus_one", "eigenvectors": "solver",
    "percentile": "nearest", "rounding": "truncate", "stride": 1, "max_gain": 100.0,
    "min_angle": 0.5,
}  # fmt: skip
_STAINTOOLS = {
    "white_level": 255.0, "mask": "luminosity", "mask_threshold": 0.8, "eigenvectors": "red",
    "concentrations": "lasso", "rounding": "truncate", "stride": 1, "max_gain": 100.0,
    "min_angle": 0.5,
}  # fmt: skip
_BOTH_REINHARDS = {"rounding": "truncate", "stride": 1, "max_gain": 100.0}
# torchstain's tensors take the nearest percentile, its NumPy code interpolates.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "macenko": {
        "default": {},
        # Pale eosin lets red light pass: the default's mask, all channels dense, leaves it out.
        "luminosity": {"mask": "luminosity", "mask_threshold": 0.8},
        "torchstain": _TORCHSTAIN,
        "torchstain_numpy": {**_TORCHSTAIN, "percentile": "linear"},
        "staintools": _STAINTOOLS,
    },
    "vahadane": {
        # Non-negative concentrations cannot be brighter than the white level: 240 would turn a
        # background of 250 grey.
        "default": {
            "white_level": 255.0, "mask": "luminosity", "mask_threshold": 0.8,
            "concentrations": "lasso",
        },
        "staintools": {**_STAINTOOLS, "dictionary": "online"},
    },
    "reinhard": {
        "default": {"mask": "none"},
        "torchstain": {**_BOTH_REINHARDS, "mask": "none"},
        "staintools": {**_BOTH_REINHARDS, "mask": "none", "lab": "8bit"},
    },
}  # fmt: skip
