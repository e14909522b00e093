"""Random affine transforms and flips with `ImageDataGenerator`'s arguments and semantics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from common.errors import InputError

FILL_MODES = {
    "nearest": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_CONSTANT,  # through explicit coordinates, see `Augmenter.apply`
    "constant": cv2.BORDER_CONSTANT,
}

# Uniform numbers that one image takes, in this order: rotation, shift by height_shift_range, shift
# by width_shift_range, shear, two zooms, horizontal flip, vertical flip.
DRAWS = 8

_UINT8 = np.dtype(np.uint8)  # one object in a process, so that `is` will do
# What `draw` gives, and `apply` takes.
PARAMETERS = frozenset({
    "theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical",
})  # fmt: skip
# A zoom factor near zero makes an image out of one or two pixels, and zero has no meaning.
SMALLEST_ZOOM = 0.05


class Augmenter:
    """Random rotation, shifts, shear, zoom and flips, applied as one warp per image.

    The arguments, their distributions and what they do to an image are those of
    `keras.preprocessing.image.ImageDataGenerator`, with two differences.

    DEVIATION: the generator turns a non-square image about the point (height/2, width/2) given as
    (x, y); we turn about the true centre. Square images agree to 0.51 grey level.

    DEVIATION: where `zoom_range` reaches across zero (``zoom_range=2`` means factors from -1 to 3,
    and a negative factor mirrors), factors with between -0.05 and 0.05 are left out.

    Parameters
    ----------
    rotation_range : float
        Degrees; angles are uniform in [-range, range].
    width_shift_range, height_shift_range : float, int or sequence
        A float below 1 is a fraction of the side, other floats are pixels, both uniform in
        [-range, range]. An int n draws from 0..n-1 pixels, a sequence from its items, either way
        with a random sign. As in the generator, `height_shift_range` gives its `tx`, which moves
        the image horizontally, and `width_shift_range` its `ty`, which moves it vertically.
    shear_range : float
        Degrees.
    zoom_range : float or (float, float)
        z means [1 - z, 1 + z]; factors above 1 show more than the image holds. Both axes are drawn
        on their own.
    horizontal_flip, vertical_flip : bool
        With probability one half.
    fill_mode : {"nearest", "reflect", "wrap", "constant"}
    cval : float
        Grey level outside the image for ``fill_mode="constant"``.

    Raises
    ------
    InputError
        If a setting or, of the methods, an argument is not what it must be.
    """

    def __init__(
        self,
        rotation_range: float = 0,
        width_shift_range: float | Sequence[float] = 0,
        height_shift_range: float | Sequence[float] = 0,
        shear_range: float = 0,
        zoom_range: float | tuple[float, float] = 0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        fill_mode: str = "nearest",
        cval: float = 0,
    ):
        if not isinstance(fill_mode, str) or fill_mode not in FILL_MODES:
            raise InputError(f"fill mode {fill_mode!r}: choose from {', '.join(FILL_MODES)}")
        _number(rotation_range, "rotation_range")
        _number(shear_range, "shear_range")
        _number(cval, "cval")
        flips = {"horizontal_flip": horizontal_flip, "vertical_flip": vertical_flip}
        for name, value in flips.items():
            if value not in (False, True):
                raise InputError(f"{name}: true or false is wanted, not {value!r}")
        zoom = _zoom_limits(zoom_range)
        self.rotation_range = rotation_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.shear_range = shear_range
        self.zoom_range = zoom
        self.horizontal_flip = bool(horizontal_flip)
        self.vertical_flip = bool(vertical_flip)
        self.fill_mode = fill_mode
        self.cval = cval
        self._tx = _shifter(height_shift_range, "height_shift_range")
        self._ty = _shifter(width_shift_range, "width_shift_range")
        self._zoom = _outside_zero(*zoom)

    def draw(self, rng: np.random.Generator, shape: Sequence[int]) -> dict[str, Any]:
        """Draw the parameters of one transform.

        Parameters
        ----------
        rng : numpy.random.Generator
            Gives `DRAWS` numbers, whatever the settings.
        shape : sequence of int
            Of the image, (H, W, ...); shifts by a fraction are of its sides.

        Returns
        -------
        dict
            With the generator's keys: theta (degrees), tx and ty (pixels), shear (degrees), zx, zy,
            flip_horizontal, flip_vertical.
        """
        if not isinstance(rng, np.random.Generator):
            raise InputError(f"rng must be a numpy.random.Generator, not {type(rng).__name__}")
        return self.parameters(rng.random(DRAWS), shape)

    def parameters(
        self, uniforms: Sequence[float] | np.ndarray, shape: Sequence[int]
    ) -> dict[str, Any]:
        """Turn uniform numbers into the parameters of one transform.

        Parameters
        ----------
        uniforms : array of float
            `DRAWS` numbers in [0, 1).
        shape : sequence of int
            Of the image, (H, W, ...).

        Returns
        -------
        dict
            As `draw` gives it.
        """
        try:
            given = uniforms.tolist() if isinstance(uniforms, np.ndarray) else map(float, uniforms)
            theta, tx, ty, shear, zx, zy, flip_horizontal, flip_vertical = given
            sound = (
                0 <= theta < 1 and 0 <= tx < 1 and 0 <= ty < 1 and 0 <= shear < 1
                and 0 <= zx < 1 and 0 <= zy < 1 and 0 <= flip_horizontal < 1
                and 0 <= flip_vertical < 1
            )  # fmt: skip
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise InputError(f"uniforms must be {DRAWS} numbers in [0, 1), not {uniforms!r}")
        try:
            sound = 0 < shape[0] < math.inf and 0 < shape[1] < math.inf
        except (TypeError, ValueError, IndexError, KeyError):
            sound = False
        if not sound:
            raise InputError(f"shape must be (H, W, ...) of an image, not {shape!r}")
        return {
            "theta": (2 * theta - 1) * self.rotation_range,
            "tx": self._tx(tx, shape[0]),
            "ty": self._ty(ty, shape[1]),
            "shear": (2 * shear - 1) * self.shear_range,
            "zx": _zoom(zx, self._zoom),
            "zy": _zoom(zy, self._zoom),
            "flip_horizontal": self.horizontal_flip and flip_horizontal < 0.5,
            "flip_vertical": self.vertical_flip and flip_vertical < 0.5,
        }

    def apply(
        self, image: np.ndarray, parameters: Mapping[str, Any], out: np.ndarray | None = None
    ) -> np.ndarray:
        """Transform an image.

        Parameters
        ----------
        image : ndarray
            RGB, shape (H, W, 3), uint8.
        parameters : mapping
            From `draw`; what is missing changes nothing. Numbers are finite, flips true or false.
        out : ndarray, optional
            C-contiguous array of the same shape and type that takes the result.

        Returns
        -------
        ndarray
            A new image, or `out`; same shape and type.

        Raises
        ------
        InputError
            If `image` is anything but an RGB image of uint8 with the channels last, a parameter is
            unknown or not finite, or `out` does not fit.
        """
        try:
            height, width, channels = image.shape
            sound = channels == 3 and image.dtype is _UINT8 and height > 0 and width > 0
        except (AttributeError, TypeError, ValueError):
            sound = False
        if not sound:
            raise _no_image(image)
        matrix = _matrix(parameters, height, width)
        if out is None:
            out = np.empty_like(image, order="C")
        elif out.shape != image.shape or out.dtype is not _UINT8 or not out.flags.c_contiguous:
            raise InputError(f"out must be a C-contiguous uint8 array of shape {image.shape}")
        flips = parameters.get("flip_horizontal"), parameters.get("flip_vertical")
        if matrix is None:
            return _flip(image, *flips, out)
        x, y = matrix[0, 2], matrix[1, 2]
        only_shifted = (matrix[:, :2] == np.eye(2)).all()
        if only_shifted and self.fill_mode == "nearest" and abs(x) < width and abs(y) < height:
            if not any(flips):
                return _translate(image, x, y, out)
            return _flip(_translate(image, x, y, np.empty_like(out)), *flips, out)
        # The flip comes last: the matrix takes the flipped place to its source.
        for axis, flip in enumerate(flips):
            if flip:
                matrix[:, 2] += matrix[:, axis] * (image.shape[1 - axis] - 1)
                matrix[:, axis] *= -1
        if self.fill_mode in ("wrap", "constant"):
            x, y = self._coordinates(matrix, height, width)
            # Outside is the constant, which no place within touches.
            return cv2.remap(image, x, y, cv2.INTER_LINEAR, out, borderValue=[self.cval] * 4)
        return cv2.warpAffine(
            image,
            matrix,
            (width, height),
            out,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=FILL_MODES[self.fill_mode],
        )

    def _coordinates(
        self, matrix: np.ndarray, height: int, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Source of every pixel, outside the image as SciPy's `affine_transform` takes it.

        SciPy's "wrap" repeats after side - 1 pixels (first and last pixel coincide), and its
        "constant" does not blend the last pixel with the constant; OpenCV does neither.
        """
        columns, rows = np.arange(width), np.arange(height)[:, None]
        x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
        y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
        if self.fill_mode == "wrap":
            x = np.where(x == width - 1, x, np.mod(x, width - 1))
            y = np.where(y == height - 1, y, np.mod(y, height - 1))
        else:
            outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
            x = np.where(outside, -9.0, x)
        return x.astype(np.float32), y.astype(np.float32)


def _number(value: Any, name: str) -> None:
    """Refuse what is no finite number."""
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool) or not math.isfinite(value):
        raise InputError(f"{name}: a finite number is wanted, not {value!r}")


def _no_image(image: Any) -> InputError:
    """Say what is given instead of an image."""
    given = type(image).__name__
    if isinstance(image, np.ndarray):
        given = f"{image.dtype} of shape {image.shape}"
    return InputError(f"image must be RGB uint8 of shape (H, W, 3), channels last, not {given}")


def _shifter(limit: float | Sequence[float], name: str) -> Callable[[float, int], float]:
    """Function from a uniform number and the image's side to a shift in pixels."""
    values: list[float]
    for each in np.atleast_1d(np.asarray(limit, dtype=object)):
        _number(each, name)
    if isinstance(limit, int | np.integer):
        if limit < 0:
            raise InputError(f"{name}, a shift of {limit} pixels: give 0 or more")
        values, fraction = [*range(int(limit))] or [0], False
    elif isinstance(limit, float | np.floating):
        span = float(limit)
        return lambda uniform, side: (2 * uniform - 1) * span * (side if span < 1 else 1)
    else:
        values = [*limit]
        if not values:
            raise InputError(f"{name}: no shift to choose from")
        fraction = max(values) < 1
    choices = [sign * value for value in values for sign in (-1, 1)]
    return lambda uniform, side: choices[int(uniform * len(choices))] * (side if fraction else 1)


def _zoom_limits(zoom_range: float | Sequence[float]) -> tuple[float, float]:
    """Smallest and largest factor."""
    given = np.ravel(zoom_range).tolist()
    for each in given:
        _number(each, "zoom_range")
    limits = [1 - given[0], 1 + given[0]] if np.ndim(zoom_range) == 0 else given
    if len(limits) != 2 or limits[0] > limits[1]:
        raise InputError(f"zoom_range {zoom_range}: give one number, or a smaller and a larger")
    return limits[0], limits[1]


def _outside_zero(low: float, high: float) -> list[tuple[float, float]]:
    """Parts of [low, high] that stay clear of zero by `SMALLEST_ZOOM`."""
    parts = [(low, min(high, -SMALLEST_ZOOM)), (max(low, SMALLEST_ZOOM), high)]
    parts = [(a, b) for a, b in parts if a <= b]
    if not parts:
        raise InputError(f"zoom_range from {low} to {high}: every factor is below {SMALLEST_ZOOM}")
    return parts


def _zoom(uniform: float, parts: Sequence[tuple[float, float]]) -> float:
    """Factor at a share of the parts' length, the first part first."""
    place = uniform * sum(high - low for low, high in parts)
    for low, high in parts[:-1]:
        if place <= high - low:
            return low + place
        place -= high - low
    return parts[-1][0] + place


def _matrix(parameters: Mapping[str, Any], height: int, width: int) -> np.ndarray | None:
    """2x3 matrix from a pixel's place (x, y) to its source, flips aside; None if nothing moves."""
    try:
        theta, shear = parameters.get("theta", 0), parameters.get("shear", 0)
        tx, ty = parameters.get("tx", 0), parameters.get("ty", 0)
        zx, zy = parameters.get("zx", 1), parameters.get("zy", 1)
        sound = all(map(math.isfinite, (theta, shear, tx, ty, zx, zy)))
        sound = sound and parameters.keys() <= PARAMETERS
    except (AttributeError, TypeError, ValueError):
        sound = False
    if not sound:
        raise _unsound(parameters)
    theta, shear = math.radians(theta), math.radians(shear)
    if not (theta or shear or tx or ty) and zx == zy == 1:
        return None
    cos, sin = math.cos(theta), math.sin(theta)
    # Rotation, shift, shear and zoom in the generator's order, multiplied out:
    # R(theta) T(tx, ty) [[1, -sin(shear)], [0, cos(shear)]] diag(zx, zy)
    a, b = cos * zx, (-cos * math.sin(shear) - sin * math.cos(shear)) * zy
    c, d = sin * zx, (-sin * math.sin(shear) + cos * math.cos(shear)) * zy
    # DEVIATION: the generator swaps the two coordinates of the centre.
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array(
        [
            [a, b, cos * tx - sin * ty + x - a * x - b * y],
            [c, d, sin * tx + cos * ty + y - c * x - d * y],
        ]
    )


def _unsound(parameters: Any) -> InputError:
    """Say what is wrong with the parameters of a transform."""
    names = parameters if isinstance(parameters, Mapping) else ()
    unknown = [str(name) for name in names if name not in PARAMETERS]
    if unknown:
        return InputError(
            f"parameters: unknown {', '.join(unknown)}; known are {', '.join(sorted(PARAMETERS))}"
        )
    return InputError(f"parameters must be a mapping to finite numbers, not {parameters!r}")


def _flip(image: np.ndarray, horizontal: Any, vertical: Any, out: np.ndarray) -> np.ndarray:
    if horizontal or vertical:
        code = -1 if horizontal and vertical else 1 if horizontal else 0
        return cv2.flip(image, code, out)
    np.copyto(out, image)
    return out


def _translate(image: np.ndarray, x: float, y: float, out: np.ndarray) -> np.ndarray:
    """Move an image by a fraction of a pixel, edges repeated: out(i, j) = image(i + y, j + x).

    A shift weighs the same four neighbours alike everywhere, so it is a 2x2 filter on a part of
    the image: about five times as fast as the general warp.
    """
    rows, row_anchor, row_weights = _part(y, image.shape[0])
    columns, column_anchor, column_weights = _part(x, image.shape[1])
    kernel = np.outer(row_weights, column_weights)
    filtered = cv2.filter2D(
        image[rows[0], columns[0]],
        -1,
        kernel,
        anchor=(column_anchor, row_anchor),
        borderType=cv2.BORDER_REPLICATE,
    )
    top, bottom = rows[1].start, image.shape[0] - rows[1].stop
    left, right = columns[1].start, image.shape[1] - columns[1].stop
    return cv2.copyMakeBorder(filtered, top, bottom, left, right, cv2.BORDER_REPLICATE, out)


def _part(shift: float, side: int) -> tuple[tuple[slice, slice], int, tuple[float, float]]:
    """Source and target ranges along one axis, the filter's anchor and its two weights."""
    whole = math.floor(shift)
    weights = (1 - (shift - whole), shift - whole)
    if whole >= 0:
        return (slice(whole, side), slice(0, side - whole)), 0, weights
    # Anchored at the second weight, the first result is the repeated edge itself.
    return (slice(0, side + whole + 1), slice(-whole - 1, side)), 1, weights
