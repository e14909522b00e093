"""Files of features: our own, TRIDENT's and eva's, matched with images by name.

Nothing is unpickled: of eva's files, which torch writes, the numbers are read and the rest is left.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import models, terminal
from common.errors import InputError, listed
from common.files import atomic_path, read_table
from common.probe import torch_file

_MOST = 1 << 36
_TORCH = (".pt", ".pth")
_DENSEST = 1032
"""Bytes of an array: at most 64 GiB, and what DEFLATE can make of a file's bytes."""

WAYS = (
    "an .npz or .h5 with `features` and `images`, TRIDENT's folder with an .h5 or .pt an image, "
    "eva's folder with a manifest.csv"
)


def write(path: Path, images: Sequence[str], features: np.ndarray, **facts: Any) -> None:
    """Write features as .npz.

    Parameters
    ----------
    path : Path
        The file; it is whole or not there.
    images : sequence of str
        A name for each row.
    features : float array (n, D)
        A row for each image.
    **facts : object
        What else the file is to say, such as the network's name.
    """
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in facts.items()}
    with atomic_path(path) as half, half.open("wb") as file:
        np.savez_compressed(
            file, images=np.asarray(images, dtype=str), features=np.asarray(features), **arrays
        )


def read(path: Path, images: Sequence[str]) -> np.ndarray:
    """Read the features of images.

    Parameters
    ----------
    path : Path
        An .npz or .h5 with `features` (n, D) and the names `images`; an .h5 or .pt with as many
        rows as there are images, in their order; a folder with an .h5 or .pt for each image, as
        TRIDENT writes it (`features` of the image's tiles, which are averaged), or eva's with
        manifest.csv.
    images : sequence of str
        Paths; a file's name is enough where it is of one image only.

    Returns
    -------
    float32 array (n, D)
        In the order of `images`.

    Raises
    ------
    InputError
        If the file is missing, damaged or another, lacks an image, or holds what is not finite.
    """
    if path.is_dir():
        if (path / "manifest.csv").is_file():
            found = _of_eva(path, images)
        else:
            found = _of_tiles(path, images)
    elif not path.is_file():
        raise InputError(f"{path}: no such file or folder; features are {WAYS}")
    else:
        found = _of_file(path, images)
    if found.ndim != 2 or not found.shape[1]:
        raise InputError(f"{path}: features are {found.shape}, not one row of numbers an image")
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        raise InputError(
            f"{path}: features of {int(bad.sum())} images are not finite, for example of "
            f"{images[int(bad.argmax())]}"
        )
    return found.astype(np.float32, copy=False)


def _of_file(path: Path, images: Sequence[str]) -> np.ndarray:
    names, features = _arrays(path)
    if names is None:
        if len(features) != len(images):
            raise InputError(
                f"{path}: {len(features)} rows without names, and there are {len(images)} images; "
                f"take {WAYS}"
            )
        terminal.line(f"{path}: has no names; its rows are taken in the order of the images")
        return features
    if len(names) != len(features):
        raise InputError(f"{path}: {len(names)} names of {len(features)} rows")
    return features[_places(path, names, images)]


def _arrays(path: Path) -> tuple[list[str] | None, np.ndarray]:
    """Names and rows of a file; None where it has no names."""
    if path.suffix.lower() in (".h5", ".hdf5"):
        return _of_h5(path)
    if path.suffix.lower() in _TORCH:
        return None, torch_file.read(path)
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("no zip file")
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if "features" not in file:
                raise InputError(f"{path}: no array `features` in it; take {WAYS}")
            for name in {"features", "images"} & set(file.files):
                _require_room(path, *_claimed(file.zip, name))
            names = [str(each) for each in file["images"]] if "images" in file else None
            return names, _numbers(path, file["features"])
    except (
        ValueError, OSError, zipfile.BadZipFile, zlib.error, EOFError, AttributeError, MemoryError,
    ) as error:  # fmt: skip
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: no .npz of numbers and names ({error}); take {WAYS}") from None


def _of_h5(path: Path) -> tuple[list[str] | None, np.ndarray]:
    with models.data_sets(path, ("features", "images")) as found:
        if "features" not in found:
            raise InputError(f"{path}: no data set `features` in it; take {WAYS}")
        for each in found.values():
            _require_room(path, each.shape or (), each.dtype)
        names = None
        if "images" in found:
            names = [str(each) for each in found["images"].asstr()[()]]
        return names, _numbers(path, found["features"][()])


def _claimed(file: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an array of an .npz is said to have; none of it is read."""
    member = f"{name}.npy" if f"{name}.npy" in file.namelist() else name
    with file.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format
        reader = header.read_array_header_1_0 if version == (1, 0) else header.read_array_header_2_0
        shape, _, dtype = reader(stream)
    return shape, dtype


def _require_room(path: Path, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuse an array that is said to be larger than its file can hold, before room is made."""
    size = math.prod(shape) * dtype.itemsize
    if size > min(_MOST, _DENSEST * path.stat().st_size):
        raise InputError(
            f"{path}: says that it holds an array of {' x '.join(map(str, shape))}, {size:,} "
            f"bytes, and is itself of {path.stat().st_size:,}; it is damaged, or never filled"
        )


def _numbers(path: Path, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: features are {array.dtype}, not numbers")
    return array[0] if array.ndim == 3 and len(array) == 1 else array


def _of_tiles(folder: Path, images: Sequence[str]) -> np.ndarray:
    """Mean features of each image's tiles, from a file of its own."""
    files = sorted(folder.glob("*.h5")) or sorted(folder.glob("*.pt"))
    if not files:
        raise InputError(
            f"{folder}: no .h5 or .pt file in it, and no manifest.csv; features are {WAYS}"
        )
    places = _places(folder, [file.stem for file in files], [_without_ending(e) for e in images])
    means = []
    for place in places:
        array = np.atleast_2d(_arrays(files[place])[1])  # one row: of the slide as a whole
        if array.ndim != 2 or not len(array):
            raise InputError(f"{files[place]}: features are {array.shape}, not (tiles, numbers)")
        means.append(array.mean(axis=0, dtype=np.float64))
    return _stacked(folder, means)


def _of_eva(folder: Path, images: Sequence[str]) -> np.ndarray:
    """Mean of each image's embeddings, which manifest.csv names by the image's origin."""
    manifest = read_table(folder / "manifest.csv", ("origin", "embeddings"))
    origins = manifest["origin"].astype(str).tolist()
    files = manifest["embeddings"].astype(str).tolist()
    chosen = [folder / files[place] for place in _places(folder, origins, images)]
    return _stacked(folder, [torch_file.read(file).mean(axis=0) for file in chosen])


def _stacked(folder: Path, rows: list[np.ndarray]) -> np.ndarray:
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise InputError(f"{folder}: features of different lengths: {listed(map(str, lengths))}")
    return np.stack(rows)


def _without_ending(image: str) -> str:
    head, dot, ending = image.rpartition(".")
    # TRIDENT takes .ome.tif for one ending.
    return head.removesuffix(".ome") if dot and "/" not in ending else image


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _ends_alike(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    return all(x == y for x, y in zip(reversed(a), reversed(b), strict=False))


def _places(path: Path, names: Sequence[str], images: Sequence[str]) -> list[int]:
    """Row of each image: of the name that shares its end, as far as both go.

    Raises
    ------
    InputError
        If an image has no row, or several.
    """
    by_file: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        by_file.setdefault((_parts(name) or ("",))[-1], []).append(i)
    places: list[int] = []
    missing: list[str] = []
    several: list[str] = []
    for image in images:
        wanted = _parts(image)
        rows = by_file.get((wanted or ("",))[-1], [])
        near = [i for i in rows if _ends_alike(wanted, _parts(names[i]))]
        near = [i for i in near if _parts(names[i]) == wanted] or near
        if len(near) == 1:
            places.append(near[0])
        else:
            (several if near else missing).append(image)
    if missing:
        raise InputError(
            f"{path}: no features of {len(missing)} of {len(images)} images: {listed(missing)}"
        )
    if several:
        raise InputError(
            f"{path}: several rows for {len(several)} of {len(images)} images: {listed(several)}"
        )
    return places
