"""What is in a model file, without Keras: the archive, its HDF5 data, arrays of a training state.

Everything here is bounded by the size of the file: a member, a data set or an array that claims
more than the file can hold is refused before memory is asked for.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from common.errors import InputError

if TYPE_CHECKING:
    import h5py

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
_MEMBERS = {CONFIG, WEIGHTS, "metadata.json"}
# The largest of our networks, NASNetMobile, has 0.8 MB; a GAN's and users' own are smaller.
_CONFIG_BYTES = 8 * 2**20
# Weights hardly compress: what unpacks to more than this many times its size is no network.
_EXPANSION = 4
_FLOOR = 2**20
_OBJECTS = 100_000


@contextmanager
def damaged(file: str | Path, other: str = "no Keras model") -> Iterator[None]:
    """Turn whatever zip, HDF5 and NumPy raise over a damaged file into one line that names it.

    Parameters
    ----------
    file : path
        What the line begins with.
    other : str
        What else it may be.

    Raises
    ------
    InputError
        Instead of any other exception.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # damaged files raise almost anything, a RecursionError too
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{file}: damaged or {other} ({reason})") from None


def check_keras(file: str | Path) -> tuple[bytes, dict[str, int]]:
    """Look through a `.keras` file: which members, how large, and the data sets of its weights.

    Parameters
    ----------
    file : path
        A zip archive as Keras writes it.

    Returns
    -------
    config : bytes
        Its config.json, not yet parsed.
    weights : dict of str to int
        Path of every data set of the weights -> how many numbers it holds; the optimizer's are
        left out.

    Raises
    ------
    InputError
        If it is damaged, has other members, or claims to be larger than it is.
    """
    file = _regular(file)
    with damaged(file), zipfile.ZipFile(file) as archive:
        names = [info.filename for info in archive.infolist()]
        others = sorted(set(names) - _MEMBERS)
        if others:
            raise InputError(f"{file}: refused, {others[0]!r:.100} is no part of a Keras model")
        if len(set(names)) < len(names) or not {CONFIG, WEIGHTS} <= set(names):
            raise InputError(f"{file}: refused, {CONFIG} and {WEIGHTS} must be in it once each")
        _check_sizes(file, archive)
        if archive.getinfo(CONFIG).file_size > _CONFIG_BYTES:
            raise InputError(
                f"{file}: refused, its {CONFIG} has {archive.getinfo(CONFIG).file_size:,} bytes "
                f"(at most {_CONFIG_BYTES:,})"
            )
        config = archive.read(CONFIG)
        weights = check_hdf5(io.BytesIO(archive.read(WEIGHTS)), file)
    return config, weights


def check_weights(file: str | Path) -> dict[str, int]:
    """Look through a file of weights: `.keras`, `.weights.h5`, `.h5` or `.hdf5`.

    Parameters
    ----------
    file : path

    Returns
    -------
    dict of str to int
        As `check_hdf5`.

    Raises
    ------
    InputError
        As `check_keras` and `check_hdf5`.
    """
    if Path(file).suffix == ".keras":
        return check_keras(file)[1]
    with damaged(file), _regular(file).open("rb") as content:
        return check_hdf5(content, file)


def check_hdf5(content: IO[bytes], file: str | Path) -> dict[str, int]:
    """Look through HDF5 data: numbers only, all of them inside, no more than there is room for.

    Parameters
    ----------
    content : binary file
        Open for reading.
    file : path
        Its name, for messages.

    Returns
    -------
    dict of str to int
        Path of every data set -> how many numbers it holds; the optimizer's are left out.

    Raises
    ------
    InputError
        If it is damaged, refers to other files, or claims to be larger than it is.
    """
    import h5py

    room = _EXPANSION * content.seek(0, io.SEEK_END) + _FLOOR
    found: dict[str, int] = {}
    claimed = 0
    with damaged(file), h5py.File(content, "r") as data:
        for path, each in _objects(data, file):
            if each.external or each.is_virtual:
                raise InputError(f"{file}: refused, {path:.100} refers to another file")
            if each.dtype.kind not in "fiubV" or each.dtype.hasobject:
                raise InputError(f"{file}: refused, {path:.100} holds no numbers")
            size = math.prod(each.shape)
            claimed += size * each.dtype.itemsize
            if claimed > room:
                raise InputError(
                    f"{file}: refused, its weights claim {claimed:,} bytes or more, up to "
                    f"{path:.100}; the file cannot hold them"
                )
            if not path.startswith("optimizer/"):
                found[path] = size
    return found


@contextmanager
def data_sets(file: str | Path, names: Collection[str]) -> Iterator[dict[str, h5py.Dataset]]:
    """Open some data sets of an HDF5 file that lie in it themselves, whatever they hold.

    Parameters
    ----------
    file : path
    names : collection of str
        Which, in its root.

    Yields
    ------
    dict
        Those that there are, open until the end of the block.

    Raises
    ------
    InputError
        If the file is damaged, or anything in it refers to elsewhere.
    """
    import h5py

    with (
        damaged(file, "no HDF5 file"),
        _regular(file).open("rb") as content,
        h5py.File(content, "r") as data,
    ):
        found = {}
        for path, each in _objects(data, file):
            if each.external or each.is_virtual:
                raise InputError(f"{file}: refused, {path:.100} refers to another file")
            if path in names:
                found[path] = each
        yield found


def _objects(data: h5py.File, file: str | Path) -> Iterator[tuple[str, Any]]:
    """Path and data set, each object once; links that lead out of their place are refused."""
    import h5py

    waiting: list[tuple[str, Any]] = [("", data)]
    seen = 0
    known = set()
    while waiting:
        path, group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            place = f"{path}{name}"
            seen += 1
            if not isinstance(link, h5py.HardLink):
                raise InputError(f"{file}: refused, {place:.100} is a link to elsewhere")
            if seen > _OBJECTS:
                raise InputError(f"{file}: refused, more than {_OBJECTS:,} objects in it")
            each = group[name]
            address = h5py.h5o.get_info(each.id).addr
            if address in known:
                raise InputError(f"{file}: refused, {place:.100} stands in it twice")
            known.add(address)
            if isinstance(each, h5py.Group):
                waiting.append((f"{place}/", each))
            elif isinstance(each, h5py.Dataset):
                yield place, each
            else:
                raise InputError(f"{file}: refused, {place:.100} holds no numbers")


def check_arrays(file: str | Path) -> None:
    """Look through an archive of arrays (`.npz`): none may claim more than its member holds.

    Parameters
    ----------
    file : path

    Raises
    ------
    InputError
        If it is damaged or claims to be larger than it is.
    """
    file = _regular(file)
    with damaged(file), zipfile.ZipFile(file) as archive:
        _check_sizes(file, archive)
        for info in archive.infolist():
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
                shape, _, dtype = read(member)
                held = info.file_size - member.tell()
            # Of Python objects nothing is known here; they are not read at all.
            if not dtype.hasobject and math.prod(shape) * dtype.itemsize != held:
                raise InputError(
                    f"{file}: refused, {info.filename:.100} claims shape {shape} and holds "
                    f"{held:,} bytes"
                )


def _regular(file: str | Path) -> Path:
    if not Path(file).is_file():  # a pipe would be waited for
        raise InputError(f"{file}: no such file")
    return Path(file)


def _check_sizes(file: Path, archive: zipfile.ZipFile) -> None:
    room = _EXPANSION * file.stat().st_size + _FLOOR
    if sum(info.file_size for info in archive.infolist()) > room:
        raise InputError(f"{file}: refused, its members unpack to many times its size")
