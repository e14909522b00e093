"""CSV lists of images that users write by hand or save from Excel, read strictly.

How a table is written is forgiven: a byte order mark, semicolons or tabs, quotes, trailing empty
columns and rows, spaces, `1.0` for 1, Windows' encoding. What it says is not: whatever has two
meanings or none is one line that names file and line.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from common import terminal
from common.datasets.words import COLUMNS, part_word
from common.errors import InputError, listed
from common.files import read_text, separated

LIST_COLUMNS = ("image", "label", "patient", "slide", "magnification", "mpp", "part")
"""Columns that a list may have; all but `image` may be missing."""

LEAST_MPP, MOST_MPP = 0.02, 20.0
"""Micrometres per px that a microscope gives; what lies outside is a slip."""

_UNKNOWN = {"", "na", "n/a", "nan", "none", "null", "unknown", "?", "-"}
_REPAIR = "save it as CSV UTF-8 with the columns image and label"
_NEAR = {
    "image": (*COLUMNS["image"], "picture"),
    "label": ("class", "target", "diagnosis", "category"),
    "patient": COLUMNS["case"],
    "slide": COLUMNS["slide"],
    "magnification": COLUMNS["magnification"],
    "mpp": COLUMNS["mpp"],
    "part": ("split", "set", "subset", "fold", "partition"),
}
"""Names that people give the columns; a patient that is not read is a leak that nobody sees."""


@dataclass(frozen=True)
class Row:
    """One line of a list.

    Attributes
    ----------
    line : int
        Its number in the file, from 1.
    values : dict of str to str
        The columns that are known here, without spaces around them.
    """

    line: int
    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


@dataclass(frozen=True)
class List:
    """A list as it was read.

    Attributes
    ----------
    path : Path
        The file.
    columns : tuple of str
        Those of `LIST_COLUMNS` that it has, and that are not empty throughout.
    rows : list of Row
        Its lines.
    unused : tuple of str
        Its other columns.
    named : tuple of str
        All of its columns, those that are empty throughout, too.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]
    unused: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def only_patients(self) -> bool:
        """Whether it says whose images are, and nothing that may be meant for their classes."""
        return "patient" in self.columns and "label" not in self.named and not self.unused


def read_list(path: Path, *, needs: tuple[str, ...] = ()) -> List:
    """Read a list of images.

    Parameters
    ----------
    path : Path
        The CSV file.
    needs : tuple of str
        Columns that must be there beside `image`.

    Returns
    -------
    List
        Unknown values are "", magnifications like "40X", parts as `common.splits.PARTS`.

    Raises
    ------
    InputError
        If it is no such list; file and line are named.
    """
    text = _decoded(path)
    separator, text, before = separated(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        head = next(reader, [])
        names = _header(path, head, reader.line_num + before, needs)
        rows = []
        for fields in reader:
            if any(field.strip() for field in fields):
                rows.append(_row(path, reader.line_num + before, names, fields))
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num + before}: no CSV table ({error}); {_REPAIR}"
        ) from None
    if not rows:
        raise InputError(f"{path}: names no image, there is nothing below its first line")
    _as_whole_numbers(rows)
    columns = tuple(
        name for name in LIST_COLUMNS if any(row[name] for row in rows) or name == "image"
    )
    for name in needs:
        if name not in names:
            raise InputError(
                f"{path}, line 1: no column {name} (found: {listed(filter(None, names), 10)}); a "
                f"list has image, label and, where known, {', '.join(LIST_COLUMNS[2:])}"
                f"{_instead(name, names)}"
            )
        if name not in columns:
            raise InputError(f"{path}, line {rows[0].line}: no {name}, nor in any other line")
    unused = tuple(name for name in names if name and name not in LIST_COLUMNS)
    named = tuple(filter(None, names))
    return List(path, columns, [_checked(path, row) for row in rows], unused, named)


def known(value: str) -> str:
    """Give the name of a patient or a slide; "" for the words that say that it is unknown.

    Parameters
    ----------
    value : str
        As it stands in a table.
    """
    value = value.strip()
    return "" if value.lower() in _UNKNOWN else value


def _decoded(path: Path) -> str:
    text = read_text(path, repair=_REPAIR)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogateescape")
        try:
            text = raw.decode("cp1252")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        terminal.line(
            f"{path}: is no UTF-8, read as Windows-1252; save it as CSV UTF-8 if names look wrong"
        )
    return unicodedata.normalize("NFC", text)


def _header(path: Path, head: list[str], line: int, needs: tuple[str, ...]) -> list[str]:
    """Name of each column in small letters, "" for one without."""
    names = [name.strip().lower() for name in head]
    if not any(names):
        what = "patients" if "patient" in needs else "images"
        has = f"columns {' and '.join(['image', *needs])}" if needs else "column image"
        raise InputError(f"{path}: is empty; a list of {what} has the {has}")
    for name in LIST_COLUMNS:
        if names.count(name) > 1:
            raise InputError(f"{path}, line {line}: the column {name} stands there twice")
    if "image" not in names:
        guess = _near("image", names)
        hint = f"; rename {guess!r} to image" if guess else ""
        raise InputError(
            f"{path}, line {line}: no column image (found: {listed(filter(None, names), 10)}){hint}"
        )
    for name in LIST_COLUMNS[1:]:
        guess = None if name in names else _near(name, names)
        if guess:
            raise InputError(
                f"{path}, line {line}: the column {guess!r} is not read; rename it to {name}, or "
                "to anything else if it is not that"
            )
    return names


def _near(name: str, names: list[str]) -> str | None:
    """The column that someone may have meant by another name."""
    plain = {re.sub(r"[^a-z]", "", each): each for each in names if each not in LIST_COLUMNS}
    wanted = [name, f"{name}s", f"{name}id", *(re.sub("_", "", each) for each in _NEAR[name])]
    for each in wanted:
        if each in plain:
            return plain[each]
    close = difflib.get_close_matches(name, plain, n=1, cutoff=0.85)
    return plain[close[0]] if close else None


def _instead(name: str, names: list[str]) -> str:
    """What may be meant where a column is missing."""
    others = [each for each in names if each and each not in LIST_COLUMNS]
    told = f"; rename {others[0]!r} to {name}, if it is that" if len(others) == 1 else ""
    if name == "label" and "patient" in names:
        told += "; a list that only says whose images are is given with --patients"
    return told


def _row(path: Path, line: int, names: list[str], fields: list[str]) -> Row:
    beyond = [field for field in fields[len(names) :] if field.strip()]
    if beyond or len(fields) < len(names) - sum(not name for name in names):
        raise InputError(
            f"{path}, line {line}: {len(fields)} values under {len([n for n in names if n])} "
            "columns; put quotes around a value that holds the separator"
        )
    values = {}
    for name, field in zip(names, fields, strict=False):
        if name in LIST_COLUMNS:
            values[name] = field.strip()
        elif not name and field.strip():
            raise InputError(f"{path}, line {line}: {field.strip()!r} stands under no column")
    return Row(line, values)


def _as_whole_numbers(rows: list[Row]) -> None:
    """Of a column of whole numbers alone, `1.0` is 1: so spreadsheets and pandas write them."""
    for name in ("label", "patient", "slide"):
        said = [row[name] for row in rows if row[name]]
        if said and all(re.fullmatch(r"-?\d+(\.0+)?", value) for value in said):
            for row in rows:
                if row[name]:
                    row.values[name] = row[name].partition(".")[0]


def _scale(where: str, said: str) -> str:
    """Micrometres per px as Python writes them; a comma is a decimal point."""
    try:
        mpp = float(said.replace(",", "."))
    except ValueError:
        mpp = 0.0
    if not LEAST_MPP <= mpp <= MOST_MPP:
        raise InputError(
            f"{where}: mpp {said!r}; write how many micrometres of tissue a px is, from "
            f"{LEAST_MPP} to {MOST_MPP:g}, or leave it empty"
        )
    return repr(mpp)


def _checked(path: Path, row: Row) -> Row:
    where = f"{path}, line {row.line}"
    values = dict(row.values)
    if not values["image"]:
        raise InputError(f"{where}: no image; remove the line, or say which image it is about")
    for name in ("patient", "slide", "magnification", "mpp"):
        values[name] = known(values.get(name, ""))
    if values["magnification"]:
        found = re.fullmatch(r"(\d+)(?:\.0+)? ?[xX×]?", values["magnification"])
        if not found:
            raise InputError(
                f"{where}: magnification {values['magnification']!r}; write 40X, or leave it empty"
            )
        values["magnification"] = f"{int(found[1])}X"
    if values["mpp"]:
        values["mpp"] = _scale(where, values["mpp"])
    if part := values.get("part", ""):
        if not part_word(part):
            raise InputError(
                f"{where}: part {part!r}; parts are train, validation, test, or empty for an image "
                "that is not used"
            )
        values["part"] = part_word(part)
    for name, value in values.items():
        if not value.isprintable():
            raise InputError(f"{where}: the {name} {value!r} holds characters that do not print")
    return Row(row.line, values)
