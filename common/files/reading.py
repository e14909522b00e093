"""Text, JSON and CSV of a folder that may come from a stranger: bounded, and checked when read.

Whatever is wrong with a file is an `InputError` that names it. Nothing is loaded before its size is
known, so neither a file of gigabytes nor one without an end takes the memory.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import stat
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import RESTORE, InputError

if TYPE_CHECKING:
    import pandas as pd

MAX_JSON = 32 << 20
"""Most bytes of a JSON file; the largest that this library writes, a leakage report, has 2 MB."""

MAX_CSV = 128 << 20
"""Most bytes of a CSV file: a million lines of a split."""

MAX_COLUMNS = 2000
"""Most columns of a CSV file."""

MAX_DEPTH = 32
"""How deep lists and objects of a JSON file may lie in one another."""

_SEPARATORS = ",;\t|"
_LONGEST_FIELD = 1 << 20  # a stain normaliser's state in samples.csv has some kB


def read_text(path: str | Path, limit: int = MAX_CSV, *, repair: str = RESTORE) -> str:
    """Read a UTF-8 text file, with or without a byte order mark, line ends as they are.

    Parameters
    ----------
    path : path
    limit : int
        Most bytes.
    repair : str
        What to do about a damaged file, to end the message.

    Returns
    -------
    str
        Bytes that are no UTF-8, as of a file name in another encoding, are kept as surrogates
        (`surrogateescape`), which `write_text` turns into the same bytes.

    Raises
    ------
    InputError
        If it is missing, no regular file, too large, in UTF-16, or binary.
    """
    path = Path(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise InputError(f"{path}: is no regular file; {repair}")
            # A file of /proc says 0 bytes and gives more; one that grows gives more, too.
            data = file.read(limit + 1) if state.st_size <= limit else None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {repair}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {repair}") from None
    if data is None or len(data) > limit:
        raise InputError(
            f"{path}: has more than {limit >> 20} MiB, which is no such file; {repair}"
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: not a text file in UTF-8 but in UTF-16; save it as UTF-8")
    if b"\0" in data:
        reason = ValueError("zero bytes")  # as a power cut leaves a file
        raise InputError(f"{path}: not a text file, it holds zero bytes; {repair}") from reason
    return data.decode("utf-8-sig", "surrogateescape")


def _without_waiting(name: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would be waited for."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def read_json(path: str | Path, limit: int = MAX_JSON, *, repair: str = RESTORE) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : path
    limit : int
        Most bytes.
    repair : str
        What to do about a damaged file, to end the message.

    Returns
    -------
    dict
        Its numbers are finite, its lists and objects at most `MAX_DEPTH` deep.

    Raises
    ------
    InputError
        As `read_text`; if it is no JSON object, holds NaN, an infinite or endless number, a key
        twice, or nests too deeply. What `json` found is its cause.
    """
    text = read_text(path, limit, repair=repair)
    try:
        return parsed_object(text)
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {repair}") from error


def parsed_object(text: str) -> dict[str, Any]:
    """Make an object of JSON text, as `read_json`.

    Parameters
    ----------
    text : str

    Raises
    ------
    ValueError
        What is wrong with it.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_once_each,
        )
    except RecursionError:
        raise ValueError("nests too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return value
    raise ValueError("nests too deeply")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _whole(text: str) -> int:
    if len(text) > 20:  # 2 ** 64 has 20 digits, and no count or seed is larger
        raise ValueError(f"{text[:20]}... is too large a number")
    return int(text)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} stands there twice")
    return found


def separated(text: str) -> tuple[str, str, int]:
    """Find what parts the columns of a table that any program may have written.

    Parameters
    ----------
    text : str
        The table, from its header on, or with Excel's line ``sep=;`` above it.

    Returns
    -------
    separator : str
        The one that stands most often in the header; a comma if there is none.
    text : str
        Without Excel's line.
    lines : int
        How many were left out.
    """
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=(.)\r?", first, re.IGNORECASE)
    if told:
        return told[1], rest, 1
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return max(_SEPARATORS, key=header.count), text, 0


def csv_lines(
    path: str | Path,
    *,
    limit: int = MAX_CSV,
    whole: bool = False,
    repair: str = RESTORE,
    foreign: bool = False,
) -> Generator[tuple[int, list[str]]]:
    """Read a CSV file line by line: its header first, empty lines left out.

    Parameters
    ----------
    path : path
    limit : int
        Most bytes.
    whole : bool
        Whether its last line must end, as of every file that this library writes.
    repair : str
        What to do about a damaged file, to end the message.
    foreign : bool
        Whether any program may have written it: columns are parted by what `separated` finds.

    Yields
    ------
    line : int
        Number of the line, from 1.
    values : list of str
        As many as the header has.

    Raises
    ------
    InputError
        As `read_text`; if it has no header, a column twice or without a name, too many columns, a
        field of more than a MiB, a line with more or fewer values than the header, or is cut short.
    """
    text = read_text(path, limit, repair=repair)
    if whole and not text.endswith("\n"):
        raise InputError(f"{path}: cut short, its last line does not end; {repair}")
    separator, text, above = separated(text) if foreign else (",", text, 0)
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        header = next(rows, [])
        _check_header(path, header, repair)
        yield rows.line_num + above, header
        for values in rows:
            if not values:
                continue
            if len(values) != len(header):
                raise InputError(
                    f"{path}, line {rows.line_num + above}: {len(values)} values, not "
                    f"{len(header)}; {repair}"
                )
            yield rows.line_num + above, values
    except csv.Error as error:
        raise InputError(f"{path}: no CSV table ({error}); {repair}") from None
    finally:
        csv.field_size_limit(before)


def _check_header(path: str | Path, header: list[str], repair: str) -> None:
    if not header:
        raise InputError(f"{path}: no CSV table (it has no header); {repair}")
    if len(header) > MAX_COLUMNS:
        raise InputError(f"{path}: {len(header)} columns, more than any such table; {repair}")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path}: a column stands there twice: {twice[:40]!r}; {repair}")


def read_columns(
    path: str | Path,
    *,
    limit: int = MAX_CSV,
    whole: bool = False,
    repair: str = RESTORE,
    foreign: bool = False,
) -> dict[str, list[str]]:
    """Read a CSV file as text, column by column.

    Parameters
    ----------
    path : path
    limit, whole, repair, foreign
        As `csv_lines` takes them.

    Returns
    -------
    dict
        Each column's values in the order of the lines, "" where nothing stands.

    Raises
    ------
    InputError
        As `csv_lines`.
    """
    text = read_text(path, limit, repair=repair)
    as_ours = not foreign or separated(text)[::2] == (",", 0)
    columns = _plain_columns(text) if as_ours else None
    if columns is None:
        lines = csv_lines(path, limit=limit, whole=whole, repair=repair, foreign=foreign)
        _, header = next(lines)
        rows = [values for _, values in lines]
        columns = [[name, *values] for name, *values in zip(header, *rows, strict=True)]
    _check_header(path, [name for name, *_ in columns], repair)
    return {each[0]: each[1:] for each in columns}


def _plain_columns(text: str) -> list[list[str]] | None:
    """Columns, headers first, of a table without quotes, all of whose lines are whole; else None.

    A quarter of the time of `csv.reader`, which makes a list of every line.
    """
    if '"' in text or "\r" in text or not text.endswith("\n") or _has_long_line(text):
        return None
    first, lines = text.index("\n"), text.count("\n")
    width = text.count(",", 0, first) + 1
    if not first or width > MAX_COLUMNS or text.count(",") != (width - 1) * lines:
        return None
    # `read_text` gives no zero bytes: one marks the end of each line.
    cells = text.replace("\n", ",\0,").split(",")
    if cells[width :: width + 1] != ["\0"] * lines:
        return None
    return [cells[number : -1 : width + 1] for number in range(width)]


def _has_long_line(text: str) -> bool:
    start = 0
    while len(text) - start > _LONGEST_FIELD:
        start = text.rfind("\n", start, start + _LONGEST_FIELD) + 1
        if not start:
            return True
    return False


def read_table(
    path: str | Path,
    columns: Sequence[str] = (),
    *,
    limit: int = MAX_CSV,
    whole: bool = False,
    repair: str = RESTORE,
    foreign: bool = False,
) -> pd.DataFrame:
    """Read a CSV file as text: case numbers and the class "0" are names, "NA" is no gap.

    Parameters
    ----------
    path : path
    columns : sequence of str
        Columns that it must have.
    limit, whole, repair, foreign
        As `csv_lines` takes them.

    Returns
    -------
    DataFrame
        All its columns, str, "" where nothing stands.

    Raises
    ------
    InputError
        As `csv_lines`; or if a column is missing.
    """
    import pandas as pd

    table = read_columns(path, limit=limit, whole=whole, repair=repair, foreign=foreign)
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; {repair}")
    return pd.DataFrame(table, dtype=str)
