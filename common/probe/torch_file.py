"""Numbers of a file that ``torch.save`` wrote, without torch and without unpickling anything.

Such a file is a zip with one pickle, which says of which type and length each storage of numbers
is, and with the storages as they are in memory. The pickle's opcodes are read, and never executed.
Tensors must be contiguous and have a storage of their own, as those that eva writes.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

import numpy as np

from common.errors import InputError

TYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8"}
"""Storages that are read, as NumPy names their numbers, with the last byte first or last."""

_MOST = 1 << 30  # bytes of a storage


def read(path: Path) -> np.ndarray:
    """Read the tensors of a file, all of the same length.

    Parameters
    ----------
    path : Path
        Of one tensor or of a list of them, of one dimension each (or of one row).

    Returns
    -------
    float64 array (n, D)

    Raises
    ------
    InputError
        If it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.partition("/")[2]: name for name in file.namelist()}
            order = "<"
            if "byteorder" in names and file.read(names["byteorder"]).strip() == b"big":
                order = ">"
            rows = []
            for kind, key, length in _storages(file.read(names["data.pkl"])):
                info = file.getinfo(names[f"data/{key}"])
                dtype = np.dtype(TYPES[kind].replace("<", order))
                if info.file_size != length * dtype.itemsize or info.file_size > _MOST:
                    raise ValueError(f"storage {key} is of {info.file_size} bytes")
                rows.append(np.frombuffer(file.read(info), dtype).astype(np.float64))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{path}: no tensors of numbers in it ({error})") from None
    if not rows or len({len(row) for row in rows}) != 1:
        raise InputError(f"{path}: no tensors, or tensors of different lengths")
    return np.stack(rows)


def _storages(pickled: bytes) -> list[tuple[str, str, int]]:
    """Type, key and length of each storage that a pickle refers to, in order.

    A reference is pickled as ``("storage", type, key, device, length)``, and what repeats is taken
    from the memo: so texts and types are followed through it.
    """
    stack: list[object] = []  # texts, types and numbers as they come
    memo: dict[int, object] = {}
    found: list[tuple[str, str, int]] = []
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[int(str(argument))] = stack[-1] if stack else None
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1] if stack else None
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo.get(int(str(argument))))
        elif name == "GLOBAL":
            stack.append(str(argument))
        elif name == "STACK_GLOBAL":
            stack.append(f"{stack[-2]} {stack[-1]}")
        elif name == "BINPERSID":
            found.append(_storage([each for each in stack[-6:] if each is not None]))
        elif opcode.arg is not None and isinstance(argument, str | int):
            stack.append(argument)
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append(None)  # what a memo may name, and nothing that is looked for
    return found


def _storage(last: list[object]) -> tuple[str, str, int]:
    """Read ``storage, type, key, device, length`` off the end of what came."""
    marker, kind, key, _, length = last[-5:]
    name = str(kind).rpartition(" ")[2]
    if marker != "storage" or name not in TYPES or not isinstance(length, int):
        raise ValueError(f"tensors of {name}; float numbers are wanted")
    return name, str(key), length
