"""Numbers of a file that ``torch.save`` wrote, without torch and without unpickling anything.

Such a file is a zip with one pickle, which says of which type and length each storage of numbers
is and which of its numbers a tensor takes, and with the storages as they are in memory. The
pickle's opcodes are read, and never executed. A tensor must be one row and all of a storage of its
own, as those that eva writes; slices, views and tables are refused.
"""

from __future__ import annotations

import pickletools
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import InputError

TYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8"}
"""Storages that are read, as NumPy names their numbers, with the last byte first or last."""

_MOST = 1 << 30  # bytes of a storage


class _Storage(NamedTuple):
    kind: str
    key: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage


_MARK = object()
_EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LEAVES_ITS_OBJECT = {"SETITEM": 2, "BUILD": 1}


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
            if "byteorder" in names and _content(file, names["byteorder"]).strip() == b"big":
                order = ">"
            rows = []
            for kind, key, length in _storages(_content(file, names["data.pkl"])):
                dtype = np.dtype(TYPES[kind].replace("<", order))
                content = _content(file, names[f"data/{key}"])
                if len(content) != length * dtype.itemsize:
                    raise ValueError(f"storage {key} is of {len(content)} bytes")
                rows.append(np.frombuffer(content, dtype).astype(np.float64))
    except (
        OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, IndexError, TypeError,
        ValueError, RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        raise InputError(f"{path}: no tensors of numbers in it ({error})") from None
    if not rows or len({len(row) for row in rows}) != 1:
        raise InputError(f"{path}: no tensors, or tensors of different lengths")
    return np.stack(rows)


def _content(file: zipfile.ZipFile, name: str) -> bytes:
    """Bytes of a member; torch compresses none, so that none is longer than the file."""
    info = file.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > _MOST:
        raise ValueError(f"{name} is compressed, or of {info.file_size} bytes")
    return file.read(info)


def _storages(pickled: bytes) -> list[_Storage]:
    """Storage of each tensor of the list, or of the only tensor, that a pickle is of."""
    found = _unpickled(pickled)
    tensors = found if isinstance(found, list) else [found]
    if not all(isinstance(each, _Tensor) for each in tensors):
        raise ValueError("neither a tensor nor a list of tensors")
    storages = [each.storage for each in tensors if isinstance(each, _Tensor)]
    if len({each.key for each in storages}) != len(storages):
        raise ValueError("several tensors have one storage: clone them before they are saved")
    return storages


def _unpickled(pickled: bytes) -> object:
    """What a pickle is of, with the name of a class for the class, and nothing that is called."""
    stack: list[object] = []
    memo: dict[int, object] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            break
        if name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[int(str(argument))] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[int(str(argument))])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "TUPLE":
            stack.append(tuple(_to_mark(stack)))
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in ("APPEND", "APPENDS"):
            new = [stack.pop()] if name == "APPEND" else _to_mark(stack)
            if not isinstance(stack[-1], list):
                raise ValueError("something is put into what is no list")
            stack[-1].extend(new)
        elif name == "SETITEMS":
            _to_mark(stack)
        elif name in _LEAVES_ITS_OBJECT:
            del stack[-_LEAVES_ITS_OBJECT[name] :]
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "STACK_GLOBAL":
            stack[-2:] = [f"{stack[-2]} {stack[-1]}"]
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            is_tensor = called == "torch._utils _rebuild_tensor_v2"
            stack.append(_tensor(arguments) if is_tensor else None)
        elif isinstance(argument, str | int | float):  # GLOBAL, too: the name of a class
            stack.append(argument)
        else:
            raise ValueError(f"{name} in its pickle")
    return stack[-1]


def _to_mark(stack: list[object]) -> list[object]:
    """Take what came since the last mark, and the mark."""
    place = max(i for i, each in enumerate(stack) if each is _MARK)
    taken = stack[place + 1 :]
    del stack[place:]
    return taken


def _storage(said: object) -> _Storage:
    """Read ``("storage", type, key, device, length)``."""
    if not isinstance(said, tuple) or len(said) != 5 or said[0] != "storage":
        raise ValueError("a reference to what is no storage")
    name, length = str(said[1]).rpartition(" ")[2], said[4]
    if name not in TYPES or type(length) is not int:
        raise ValueError(f"tensors of {name}; float numbers are wanted")
    return _Storage(name, str(said[2]), length)


def _tensor(said: object) -> _Tensor:
    """Read ``(storage, offset, sizes, strides, ...)`` of a tensor that is all of its storage."""
    if not isinstance(said, tuple) or len(said) < 4 or not isinstance(said[0], _Storage):
        raise ValueError("a tensor without a storage")
    storage, offset, sizes, strides = said[:4]
    shape = " x ".join(map(str, sizes))
    if len(sizes) not in (1, 2) or (len(sizes) == 2 and sizes[0] != 1):
        raise ValueError(f"a tensor of {shape} numbers; one row is wanted of each, as eva writes")
    if offset != 0 or sizes[-1] != storage.length or (strides[-1] != 1 and sizes[-1] != 1):
        raise ValueError(
            f"a tensor of {shape} numbers is a view of {storage.length}: clone it before saving it"
        )
    return _Tensor(storage)
