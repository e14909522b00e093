"""Atomic writing of text, JSON and CSV, and hashes of files.

Every file of this project is written through `atomic_path`: to a temporary name in the same folder,
renamed when it is complete. The temporary name says which process is writing, so that what a killed
one left can be told from what a living one needs (`common.writers`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import leases, writers
from common.errors import InputError, WriteError
from common.files.reading import read_text

if TYPE_CHECKING:
    import pandas as pd

_SURROGATE = re.compile("[\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # the wide ones, too, where these are typed
_LONGEST_SUFFIX = 16  # a name may have 255 bytes, and the temporary one has a few of its own


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path that becomes `path` only when the block ends without an error.

    The temporary file lies in the same folder, so the rename is atomic, and keeps the suffix, so
    that writers which look at it (Keras, OpenCV) behave. After an error nothing is left behind.

    Parameters
    ----------
    path : path
        Where the file is to be; its folder is made.

    Raises
    ------
    WriteError
        If the disk is full or the folder cannot be written; names `path` and what to do.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writers.sweep(path.parent)
        suffix = path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX else ""
        handle, name = tempfile.mkstemp(
            prefix=writers.half_prefix(), suffix=suffix, dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from None
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        leases.guard()
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if disk_is_full(error):
            raise _unwritable(path, error) from None
        raise


def disk_is_full(error: BaseException) -> bool:
    """Whether an error means that there is no room, whoever raised it.

    Parameters
    ----------
    error : BaseException
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    # HDF5 wraps the system's error into a text of its own.
    return os.strerror(errno.ENOSPC) in str(error)


def _unwritable(path: Path, error: BaseException) -> WriteError:
    if not disk_is_full(error):
        reason = getattr(error, "strerror", None) or error
        return WriteError(f"{path}: cannot be written ({reason}); give another folder")
    return WriteError(
        f"{path}: cannot be written, the disk is full; make room there, then start the same "
        "command again"
    )


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all.

    Parameters
    ----------
    path : path
    text : str
    """
    data = as_bytes(text)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def as_bytes(text: str) -> bytes:
    """Encode text as UTF-8; of a file name that is none, the bytes that it has.

    Parameters
    ----------
    text : str
        Surrogates as the system gives them for such a name (`surrogateescape`); others, that no
        file has, become ``?``.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _SURROGATE.sub("?", text).encode("utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN and infinity become null.

    Parameters
    ----------
    path : path
    value : object
        What `plain` knows.
    """
    text = json.dumps(plain(value), indent=2, ensure_ascii=False)
    # In JSON a byte that is no UTF-8 is written as an escape, which reads as the same name.
    write_text(path, _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def csv_text(frame: pd.DataFrame) -> str:
    """Write a table as CSV text: 9 significant digits, unknown values empty.

    Parameters
    ----------
    frame : DataFrame
        Its index is left out.
    """
    return frame.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def sheet_text(frame: pd.DataFrame) -> str:
    """Write a table that people open in a spreadsheet as `csv_text`; no text in it is a formula.

    Parameters
    ----------
    frame : DataFrame
        Text that begins with =, +, -, @, a tab or a line end gets an apostrophe before it: a
        spreadsheet would take a file's name for a formula.
    """
    safe = frame.copy()
    for name in safe.columns:
        if safe[name].dtype.kind not in "iufb":
            safe[name] = [_no_formula(value) for value in safe[name]]
    return csv_text(safe.rename(columns=_no_formula))


def write_sheet(path: str | Path, frame: pd.DataFrame) -> None:
    """Write `sheet_text`, whole or not at all.

    Parameters
    ----------
    path : path
    frame : DataFrame
    """
    write_text(path, sheet_text(frame))


def _no_formula(value: Any) -> Any:
    text = isinstance(value, str) and value.lstrip().startswith(_FORMULA)
    text = text or (isinstance(value, str) and value.startswith(("\t", "\r", "\n")))
    return f"'{value}" if text else value


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    """Write `csv_text`, whole or not at all.

    Parameters
    ----------
    path : path
    frame : DataFrame
    """
    write_text(path, csv_text(frame))


def replace_block(path: str | Path, begin: str, end: str, block: str) -> bool:
    """Replace what stands between two marks in a text file.

    Parameters
    ----------
    path : path
        A UTF-8 text file, a README for instance.
    begin, end : str
        The marks, each once in the file; they stay.
    block : str
        What is to stand between them; a blank line is put around it.

    Returns
    -------
    bool
        Whether the file changed.

    Raises
    ------
    InputError
        If the marks are not there, once each and in order.
    """
    path = Path(path)
    text = read_text(path)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise InputError(f"{path}: needs one line {begin} and below it one line {end}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    new = f"{before}{begin}\n\n{block}\n{end}{after}"
    if new == text:
        return False
    write_text(path, new)
    return True


def plain(value: Any) -> Any:
    """Turn NumPy values, tuples and paths into what JSON knows; NaN and infinity become None.

    Parameters
    ----------
    value : object
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hex.

    Parameters
    ----------
    path : path
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
