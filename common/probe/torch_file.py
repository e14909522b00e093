"""Numbers of a file that ``torch.save`` wrote, without torch and without unpickling anything.

Such a file is a zip with one pickle, which says of which type and length each storage of numbers
is and which of its numbers a tensor takes, and with the storages as they are in memory. Before
version 1.6, and where it is asked to, torch writes the pickle and the storages after each other.
The pickle's opcodes are read, and never executed.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.errors import InputError

TYPES = {
    "FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "BFloat16Storage": "<u2"
}  # fmt: skip
"""Storages that are read, as NumPy names their numbers, with the last byte first or last.

NumPy has no bfloat16: it is the upper half of a float of four bytes.
"""

_MOST = 1 << 30  # bytes of a storage, and of a file of the older form
_MAGIC = 0x1950A86A20F9469CFC6C  # with which that begins


class _Storage(NamedTuple):
    kind: str
    key: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()
_EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def read(path: Path) -> np.ndarray:
    """Read the rows of a file: of a table, of a vector, or of a list of vectors.

    Parameters
    ----------
    path : Path
        Of a tensor, of a list of them, or of a dictionary in which one is called `features`, or
        is the only one.

    Returns
    -------
    float64 array (n, D)

    Raises
    ------
    InputError
        If it is no such file.
    """
    try:
        rows = _of_zip(path) if zipfile.is_zipfile(path) else _of_stream(path)
    except (
        OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, IndexError, TypeError,
        ValueError, RuntimeError, MemoryError, OverflowError, struct.error,
    ) as error:  # fmt: skip
        raise InputError(f"{path}: no tensors of numbers in it ({error})") from None
    if not rows or len({each.shape[1] for each in rows}) != 1:
        raise InputError(f"{path}: no tensors, or tensors of different lengths")
    return np.concatenate(rows)


def _of_zip(path: Path) -> list[np.ndarray]:
    with zipfile.ZipFile(path) as file:
        names = {name.partition("/")[2]: name for name in file.namelist()}
        order = "<"
        if "byteorder" in names and _content(file, names["byteorder"]).strip() == b"big":
            order = ">"
        found = _unpickled(io.BytesIO(_content(file, names["data.pkl"])))
        return _rows(found, lambda key: _content(file, names[f"data/{key}"]), order)


def _content(file: zipfile.ZipFile, name: str) -> bytes:
    """Bytes of a member; torch compresses none, so that none is longer than the file."""
    info = file.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > _MOST:
        raise ValueError(f"{name} is compressed, or of {info.file_size} bytes")
    return file.read(info)


def _of_stream(path: Path) -> list[np.ndarray]:
    """Rows of the older form: five pickles, and each storage with its length before it."""
    if path.stat().st_size > _MOST:
        raise ValueError(f"is of {path.stat().st_size} bytes; save it with a newer torch")
    stream = io.BytesIO(path.read_bytes())
    if _unpickled(stream) != _MAGIC:
        raise ValueError("it is none that torch saved")
    _, system, found, keys = (_unpickled(stream) for _ in range(4))
    order = "<" if isinstance(system, dict) and system.get("little_endian", True) else ">"
    sizes = {each.storage.key: each.storage for each in _tensors(found)}
    contents: dict[str, bytes] = {}
    for key in keys if isinstance(keys, list) else ():
        (length,) = struct.unpack(f"{order}q", stream.read(8))
        if key not in sizes:
            raise ValueError("it holds tensors of several kinds; save the features alone")
        contents[key] = stream.read(length * np.dtype(TYPES[sizes[key].kind]).itemsize)
    return _rows(found, contents.__getitem__, order)


def _rows(found: object, content: Callable[[str], bytes], order: str) -> list[np.ndarray]:
    """Rows of each tensor."""
    tensors = _tensors(found)
    storages = {each.storage.key: each.storage for each in tensors}
    taken = sum(math.prod(each.sizes) for each in tensors)
    if taken > sum(each.length for each in storages.values()):
        raise ValueError("several tensors have one storage: clone them before they are saved")
    arrays = {key: _numbers(each, content(key), order) for key, each in storages.items()}
    rows = []
    for storage, offset, sizes, _ in tensors:
        row = arrays[storage.key][offset : offset + math.prod(sizes)]
        rows.append(row.reshape(-1, sizes[-1]))
    if len(rows) > 1 and any(len(each) != 1 for each in rows):
        raise ValueError("a list of tables; one table, or a list of vectors, is wanted")
    return rows


def _numbers(storage: _Storage, content: bytes, order: str) -> np.ndarray:
    dtype = np.dtype(TYPES[storage.kind].replace("<", order))
    if len(content) != storage.length * dtype.itemsize:
        raise ValueError(f"storage {storage.key} is of {len(content)} bytes")
    array = np.frombuffer(content, dtype)
    if storage.kind == "BFloat16Storage":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


def _tensors(found: Any) -> list[_Tensor]:
    """Tensors that are features, in what a pickle is of."""
    if isinstance(found, dict):
        only = [each for each in found.values() if isinstance(each, _Tensor)]
        if "features" not in found and len(only) != 1:
            names = ", ".join(str(name) for name in list(found)[:5])
            raise ValueError(f"a dictionary of {names:.200}: call the tensor `features`")
        found = found.get("features", only[0] if only else None)
    several = isinstance(found, list | tuple) and not isinstance(found, _Tensor)
    tensors = list(found) if several else [found]
    if not all(isinstance(each, _Tensor) for each in tensors):
        raise ValueError("neither a tensor nor a list of tensors")
    return [_checked(each) for each in tensors]


def _unpickled(stream: io.BytesIO) -> object:
    """What a pickle is of, with the name of a class for the class, and nothing that is called."""
    stack: list[object] = []
    memo: dict[int, object] = {}
    for opcode, argument, _ in pickletools.genops(stream):
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
        elif name in ("SETITEM", "SETITEMS"):
            new = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _to_mark(stack)
            if isinstance(stack[-1], dict):
                stack[-1].update(zip(map(str, new[::2]), new[1::2], strict=True))
        elif name == "BUILD":
            stack.pop()
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "STACK_GLOBAL":
            stack[-2:] = [f"{stack[-2]} {stack[-1]}"]
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_made(called, arguments))
        elif isinstance(argument, str | int | float):  # GLOBAL, too: the name of a class
            stack.append(argument)
        else:
            raise ValueError(f"{name} in its pickle")
    return stack[-1]


def _made(called: object, arguments: object) -> object:
    """What a call would make, of those that make tensors and what holds them."""
    if called == "torch._utils _rebuild_tensor_v2":
        return _tensor(arguments)
    if called == "torch._utils _rebuild_parameter" and isinstance(arguments, tuple):
        return arguments[0]
    return {} if called == "collections OrderedDict" else None


def _to_mark(stack: list[object]) -> list[object]:
    """Take what came since the last mark, and the mark."""
    place = max(i for i, each in enumerate(stack) if each is _MARK)
    taken = stack[place + 1 :]
    del stack[place:]
    return taken


def _storage(said: object) -> _Storage:
    """Read ``("storage", type, key, device, length)``, with a None behind it in the older form."""
    if not isinstance(said, tuple) or said[0] != "storage" or len(said) not in (5, 6):
        raise ValueError("a reference to what is no storage")
    kind, key, length = str(said[1]).rpartition(" ")[2], said[2], said[4]
    if type(length) is not int or length < 0 or said[5:] not in ((), (None,)):
        raise ValueError("a storage of no length, or a view of another")
    return _Storage(kind, str(key), length)


def _tensor(said: object) -> _Tensor:
    """Read ``(storage, offset, sizes, strides, ...)``."""
    if not isinstance(said, tuple) or len(said) < 4 or not isinstance(said[0], _Storage):
        raise ValueError("a tensor without a storage")
    return _Tensor(said[0], said[1], tuple(said[2]), tuple(said[3]))


def _checked(tensor: _Tensor) -> _Tensor:
    """Require rows of float numbers that lie behind each other in their storage."""
    storage, offset, sizes, strides = tensor
    shape = " x ".join(map(str, sizes))
    if storage.kind not in TYPES:
        raise ValueError(f"tensors of {storage.kind}; float numbers are wanted")
    if any(type(each) is not int or each < 1 for each in sizes) or type(offset) is not int:
        raise ValueError(f"a tensor of {shape} numbers")
    wide = [size for size in sizes[:-2] if size != 1]
    if not sizes or wide:
        raise ValueError(f"a tensor of {shape or 'no'} numbers; a table or a vector is wanted")
    steps = [math.prod(sizes[place + 1 :]) for place in range(len(sizes))]
    if any(size != 1 and step != stride
           for size, step, stride in zip(sizes, steps, strides, strict=True)):  # fmt: skip
        raise ValueError(f"a tensor of {shape} numbers is a view: save its .contiguous()")
    if not 0 <= offset <= storage.length - math.prod(sizes):
        raise ValueError(f"a tensor of {shape} numbers beyond the {storage.length} of its storage")
    return tensor
