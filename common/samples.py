"""What is trained on: one table of images and the operation that each goes through.

A row is `image, op, args, label`. Oversampling, patches, copies and generated images are all rows
of it; the image cache holds each image once and the operation is applied on reading.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.errors import InputError
from common.files import read_table, write_csv

__all__ = ["COLUMNS", "apply", "from_csv", "operation", "oversample", "plain", "to_csv"]

COLUMNS = ("image", "op", "args", "label")

# What `oversample` may do to a copy. The identity is not among them.
_COPIES = {
    "flip": ({"axis": "h"}, {"axis": "v"}),
    "rot90": ({"k": 1}, {"k": 2}, {"k": 3}),
}


def plain(split: pd.DataFrame, part: str = "train") -> pd.DataFrame:
    """Every image of one part of a split, as it is.

    Parameters
    ----------
    split : DataFrame
        With columns `image`, `label`, `part`.
    part : str
        Which one.

    Returns
    -------
    DataFrame
        `image, op, args, label`, in the order of the split.

    Raises
    ------
    InputError
        If the part is empty.
    """
    rows = split[split["part"] == part]
    if rows.empty:
        raise InputError(f"the split has no image in its part {part!r}")
    table = pd.DataFrame({"image": rows["image"], "op": "none", "args": "", "label": rows["label"]})
    return table.reset_index(drop=True)


def oversample(
    table: pd.DataFrame,
    *,
    operations: Sequence[str] = ("flip", "rot90"),
    seed: int,
    to: str | int = "largest",
) -> pd.DataFrame:
    """Raise every class to the same number of samples by flipped and turned copies.

    Within a class every image is copied once before any is copied twice, and every image goes
    through all operations before it goes through one for the second time. A copy is never the
    image itself. What is drawn depends on the seed, the class and its images, not on their order.

    Parameters
    ----------
    table : DataFrame
        Samples, or a split, of which the part "train" is taken.
    operations : sequence of str
        "flip" (horizontal, vertical) and "rot90" (by 90, 180, 270 degrees).
    seed : int
        Of what is drawn.
    to : "largest" or int
        Samples per class; a class that has more keeps all.

    Returns
    -------
    DataFrame
        The samples as given, then the copies.

    Raises
    ------
    InputError
        For an unknown operation, or a class of which every sample is a copy already.
    """
    samples = plain(table) if "part" in table.columns else table[list(COLUMNS)]
    if not operations or not set(operations) <= set(_COPIES):
        raise InputError(f"oversampling by {list(operations)}: choose from {', '.join(_COPIES)}")
    variants = [
        (op, json.dumps(arguments)) for op in dict.fromkeys(operations) for arguments in _COPIES[op]
    ]
    counts = samples["label"].value_counts()
    target = int(counts.max()) if to == "largest" else int(to)
    copies = []
    for label in sorted(counts.index):
        missing = target - int(counts[label])
        if missing <= 0:
            continue
        of_class = samples[samples["label"] == label]
        images = np.sort(of_class.loc[of_class["op"] == "none", "image"].unique())
        if not len(images):
            raise InputError(f"class {label!r} has no unchanged image to copy")
        rng = np.random.default_rng([seed, zlib.crc32(str(label).encode())])
        while missing > 0:
            # One cycle takes every image through every operation, each in an order of its own.
            order = rng.permuted(np.tile(np.arange(len(variants)), (len(images), 1)), axis=1)
            for turn in range(len(variants)):
                for i in rng.permutation(len(images))[:missing]:
                    copies.append((images[i], *variants[order[i, turn]], label))
                missing -= min(missing, len(images))
    copied = pd.DataFrame(copies, columns=list(COLUMNS)).astype(samples.dtypes)
    return pd.concat([samples, copied], ignore_index=True)


def apply(op: str, args: str | Mapping[str, Any], image: np.ndarray) -> np.ndarray:
    """Apply one operation of the table to an image.

    =========  ===================================================================================
    none       the image as it is
    synthetic  a generated image, as it is
    flip       ``{"axis": "h" or "v"}``: h mirrors left and right, v top and bottom
    rot90      ``{"k": 1, 2 or 3}``: counter-clockwise quarter turns
    patch      ``{"box": [left, top, right, bottom]}``, fractions of the image's sides, so that a
               box holds at every size; the patch is resized to the image's own size, or to a square
               of ``"size"`` px
    affine     parameters of `common.augment.Augmenter.apply`, and ``"fill_mode"``
    stain      ``{"seed": int}`` and arguments of `common.stain.StainAugmenter`: stain
               concentrations drawn once, from the seed; or ``{"normalizer": state}`` with the
               `state()` of a fitted `common.stain` normaliser: stained like its target
    =========  ===================================================================================

    Parameters
    ----------
    op : str
        Name of the operation.
    args : str or mapping
        Its arguments: a JSON object, as text or as a mapping; "" is an empty one.
    image : ndarray
        RGB, shape (H, W, 3), uint8.

    Returns
    -------
    ndarray
        RGB uint8; `image` itself where nothing is done.

    Raises
    ------
    InputError
        For an unknown operation or arguments that do not fit it.
    """
    text = args if isinstance(args, str) else json.dumps(dict(args), sort_keys=True)
    function = operation(op, text)
    return image if function is None else function(image)


@functools.lru_cache(maxsize=4096)
def operation(op: str, args: str) -> Callable[[np.ndarray], np.ndarray] | None:
    """Function that `apply` calls for an operation.

    Parameters
    ----------
    op : str
        Name of the operation.
    args : str
        Its arguments as JSON.

    Returns
    -------
    function or None
        Of an image; None if it stays as it is.

    Raises
    ------
    InputError
        For an unknown operation or arguments that do not fit it.
    """
    try:
        given = json.loads(args) if args else {}
        if not isinstance(given, dict):
            raise TypeError("args is no JSON object")
        if op in ("none", "synthetic"):
            _take(given)
            return None
        if op == "flip":
            (axis,) = _take(given, "axis")
            return functools.partial(_flip, code={"h": 1, "v": 0}[axis])
        if op == "rot90":
            (k,) = _take(given, "k")
            return functools.partial(_rotate, code={1: 2, 2: 1, 3: 0}[k])
        if op == "patch":
            size = given.pop("size", None)
            left, top, right, bottom = _take(given, "box")[0]
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ValueError("the box is left, top, right, bottom as fractions of the sides")
            return functools.partial(_patch, box=(left, top, right, bottom), size=size)
        if op == "affine":
            return _affine(given)
        if op == "stain":
            return _stain(given)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"sample operation {op} with args {args!r}: {error}") from None
    raise InputError(
        f"sample operation {op!r} is unknown; "
        "known: none, synthetic, flip, rot90, patch, affine, stain"
    )


def _take(given: dict[str, Any], *names: str) -> list[Any]:
    if set(given) != set(names):
        raise ValueError(f"needs {', '.join(names) or 'no arguments'}")
    return [given[name] for name in names]


def _flip(image: np.ndarray, code: int) -> np.ndarray:
    import cv2

    return cv2.flip(image, code)


def _rotate(image: np.ndarray, code: int) -> np.ndarray:
    import cv2

    # OpenCV's codes: 0 is 90 degrees clockwise, 1 is 180, 2 is 90 counter-clockwise.
    return cv2.rotate(image, code)


def _patch(
    image: np.ndarray, box: tuple[float, float, float, float], size: int | None
) -> np.ndarray:
    from common.images import resize

    height, width = image.shape[:2]
    left, right = (round(fraction * width) for fraction in (box[0], box[2]))
    top, bottom = (round(fraction * height) for fraction in (box[1], box[3]))
    if left == right or top == bottom:
        raise InputError(f"patch {box} of a {width}x{height} image is empty; enlarge the box")
    # INTER_AREA does not interpolate when it enlarges.
    part = image[top:bottom, left:right]
    target = (height, width) if size is None else (size, size)
    enlarges = target[0] > part.shape[0] or target[1] > part.shape[1]
    return resize(part, target, "linear" if enlarges else "area")


def _affine(given: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    from common.augment import Augmenter

    augmenter = Augmenter(fill_mode=given.pop("fill_mode", "nearest"))
    known = {"theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical"}
    if not set(given) <= known:
        raise ValueError(f"knows {', '.join(sorted(known))}")
    return functools.partial(augmenter.apply, parameters=given)


def _stain(given: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    from common import stain

    if "normalizer" in given:
        (state,) = _take(given, "normalizer")
        return stain.from_state(state).transform
    seed = given.pop("seed", None)
    if not isinstance(seed, int) or seed < 0:
        raise ValueError("needs a seed, a whole number, or a normalizer, a fitted one's state()")
    known = {"stains", "sigma_alpha", "sigma_beta", "background"}
    if not set(given) <= known:
        raise ValueError(f"knows seed, {', '.join(sorted(known))}")
    augmenter = stain.StainAugmenter(**given)
    drawn = augmenter.draw(np.random.default_rng(seed))
    return functools.partial(augmenter.apply, parameters=drawn)


def to_csv(path: str | Path, samples: pd.DataFrame) -> None:
    """Write a table of samples, whole or not at all.

    Parameters
    ----------
    path : path
        A CSV file.
    samples : DataFrame
        With columns `COLUMNS`; others are left out.
    """
    write_csv(path, samples[list(COLUMNS)])


def from_csv(path: str | Path) -> pd.DataFrame:
    """Read what `to_csv` wrote.

    Parameters
    ----------
    path : path
        A CSV file.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, all text.

    Raises
    ------
    InputError
        If the file is missing, is no table of samples, or names an unknown operation.
    """
    table = read_table(path, COLUMNS, repair="the training command writes it")
    for op, args in table[["op", "args"]].drop_duplicates().itertuples(index=False):
        try:
            operation(op, args)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return table[list(COLUMNS)]
