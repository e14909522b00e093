"""What may be asked of Grad-CAM: images, classes and models are checked before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import InputError
from common.gradcam.layers import operations

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike


def require_model(model: Any) -> None:
    """Refuse what is no model, was never built, or takes more than one image at a time.

    Parameters
    ----------
    model : object

    Raises
    ------
    InputError
    """
    from common.backend import keras

    if not isinstance(model, keras.Model):
        raise InputError(f"model: a keras.Model is expected, not {type(model).__name__}")
    if not model.built:
        raise InputError(
            f"the model {model.name} is not built: begin it with an Input, or call it on images "
            "(and train it) first"
        )
    inputs = _inputs(model)
    if inputs is not None and len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise InputError(
            f"the model {model.name} has {len(inputs)} inputs ({names}); a map explains one image: "
            "build a model with that one input, the others being constants"
        )
    if inputs is not None and len(inputs[0].shape) != 4:
        raise InputError(
            f"the model {model.name} takes {tuple(inputs[0].shape)}, not images (N, H, W, channels)"
        )


def _inputs(model: keras.Model) -> list[Any] | None:
    """Symbolic inputs; None of a subclassed model, which has none."""
    try:
        return list(model.inputs)
    except (AttributeError, TypeError, ValueError):
        return None


def pixels_of(model: keras.Model, images: ArrayLike) -> np.ndarray:
    """Images as an array, checked against the model.

    Parameters
    ----------
    model : keras.Model
    images : array-like

    Returns
    -------
    ndarray, shape (N, H, W, channels)

    Raises
    ------
    InputError
        If they are no finite numbers, have the wrong shape, or lie on another scale than that from
        which the model scales them.
    """
    try:
        pixels = np.asarray(images)
    except ValueError:
        raise InputError("images: of one size are expected, (N, H, W, 3)") from None
    inputs = _inputs(model)
    expected = (None, None, None) if inputs is None else tuple(inputs[0].shape[1:])
    wanted = f"the model takes images (N, {', '.join(str(n or 'any') for n in expected)})"
    if pixels.dtype.kind not in "uif":
        raise InputError(f"images: uint8 or float are expected, not {pixels.dtype}; {wanted}")
    if pixels.ndim != 4 or any(
        want is not None and want != got
        for want, got in zip(expected, pixels.shape[1:], strict=True)
    ):
        raise InputError(f"{wanted}, not {pixels.shape}")
    if not pixels.size:
        raise InputError(f"no images to explain: their shape is {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise InputError("images: NaN or infinity is among the pixels")
    low, high = float(pixels.min()), float(pixels.max())
    most = _scaled_from(model)
    small = pixels.dtype.kind == "f" and 0 < high <= 1
    if most == 255 and (low < 0 or high > 255 or small):
        raise InputError(
            "images: the model scales pixels from [0, 255] itself, these lie in "
            f"[{low:g}, {high:g}]{': multiply them by 255' if small else ''}"
        )
    if most == 1 and high > 1.5:
        raise InputError(
            f"images: the model takes pixels in [0, 1], these reach {high:g}: divide them by 255"
        )
    return pixels


def _scaled_from(model: keras.Model) -> float | None:
    """255 or 1: the white from which a layer of the model scales; None where none does."""
    from common.backend import keras
    from common.normalise import InputScaling

    for each in operations(model).values():
        if isinstance(each, InputScaling):
            return 255
        if isinstance(each, keras.layers.Rescaling):
            factor = float(np.max(np.abs(np.asarray(each.scale, float))))
            moved = bool(np.any(np.asarray(each.offset, float)))
            return (
                255 if factor < 0.05 else 1 if 1 < factor <= 4 or (factor == 1 and moved) else None
            )
        if isinstance(each, keras.layers.Normalization) and each.mean is not None:
            mean = float(np.max(np.abs(keras.ops.convert_to_numpy(each.mean))))
            spread = float(np.max(keras.ops.convert_to_numpy(each.variance))) ** 0.5
            return 255 if spread > 4 else 1 if 0 < mean < 1 and spread < 1 else None
    return None


def classes_of(class_index: ArrayLike | None, count: int) -> np.ndarray | None:
    """The class to explain for each image.

    Parameters
    ----------
    class_index : int or array-like of int, optional
    count : int
        Images.

    Returns
    -------
    ndarray, int64, shape (N,), or None
        None: each image's predicted class.

    Raises
    ------
    InputError
        If it is neither one whole number nor one for each image.
    """
    if class_index is None:
        return None
    wanted = "class_index: a whole number is expected, one for all images or one for each"
    try:
        chosen = np.asarray(class_index)
    except ValueError:
        raise InputError(f"{wanted}; they are ragged") from None
    if chosen.dtype.kind not in "iu":
        raise InputError(f"{wanted}, not {class_index!r:.60} ({chosen.dtype})")
    if chosen.shape not in ((), (count,)):
        raise InputError(f"{wanted} of the {count}, not an array of shape {chosen.shape}")
    if chosen.dtype.kind == "u" and chosen.size and int(chosen.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{wanted}; {int(chosen.max())} is no class")
    return np.broadcast_to(chosen.astype(np.int64), (count,))


def require_choice(method: Any, methods: tuple[str, ...], batch_size: Any) -> None:
    """Check the two arguments that every call has.

    Parameters
    ----------
    method : object
        Wanted: one of `methods`.
    methods : tuple of str
    batch_size : object
        Wanted: a whole number from 1 on.

    Raises
    ------
    InputError
    """
    if not isinstance(method, str) or method not in methods:
        raise InputError(f"unknown method {method!r:.60}: one of {', '.join(methods)}")
    whole = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
    if not whole or batch_size < 1:
        raise InputError(f"batch_size must be a whole number of at least 1, not {batch_size!r:.60}")


def real(values: ArrayLike) -> np.ndarray:
    """Numbers as float32.

    Parameters
    ----------
    values : array-like

    Raises
    ------
    ValueError, TypeError
        If they are no real numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise TypeError("complex")
    return array.astype(np.float32)
