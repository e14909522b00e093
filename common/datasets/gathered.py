"""Images of one's own, from a CSV list or a folder with a folder per class, as a table."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import terminal
from common.datasets import folder as folders
from common.datasets.index import COLUMNS
from common.datasets.listing import LOSSLESS, LOSSY, File, looks_like_image, scan, tell_others
from common.datasets.lists import List, Row, read_list
from common.datasets.words import part_word
from common.errors import InputError, listed, many
from common.files import expanded

if TYPE_CHECKING:
    import pandas as pd

_ENDINGS = "PNG, TIFF, BMP or JPEG"


@dataclass(frozen=True)
class Images:
    """Images as a list or a folder names them.

    Attributes
    ----------
    source : Path
        The list, or the folder.
    root : Path
        Folder that the paths in the table are below.
    table : DataFrame
        Columns `common.datasets.COLUMNS`, sorted by `image`; `official` is the part, and `label`
        "" where none is given.
    columns : tuple of str
        What is known of some image at least, of `common.datasets.lists.LIST_COLUMNS`.
    where : dict
        Image -> where it is named, for messages: "a.csv, line 3".
    mpp : dict
        Image -> micrometres per px, of those whose list says it.
    """

    source: Path
    root: Path
    table: pd.DataFrame
    columns: tuple[str, ...]
    where: dict[str, str]
    mpp: dict[str, float] = field(default_factory=dict)

    def paths(self) -> list[Path]:
        """Where each image of the table is."""
        return [self.root / image for image in self.table["image"]]


def read(
    source: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    needs: tuple[str, ...] = ("label",),
) -> Images:
    """Read a list of images, or a folder with a folder per class.

    Parameters
    ----------
    source : path
        A CSV file with the columns of `common.datasets.lists.LIST_COLUMNS`, or a folder: its
        folders are the classes, or the parts (train, validation, test) with the classes in them.
    data_dir : path, optional
        Folder that the list's paths count from; by default its own.
    needs : tuple of str
        Columns that a list must have beside `image`. Without "label" a folder of images without
        folders in it will do, too.

    Returns
    -------
    Images
        All files are there and end like images; none has been opened.

    Raises
    ------
    InputError
        If there is no such list or folder, or something in it has two meanings or none.
    """
    path = expanded(source).absolute()
    if path.is_dir():
        return _of_folder(path, labelled="label" in needs)
    if not path.exists():
        raise InputError(f"{path} (--images): no such list or folder")
    if looks_like_image(path.name):
        raise InputError(f"{path} (--images): is one image; give a CSV list of images or a folder")
    return of_list(read_list(path, needs=needs), data_dir)


def of_list(found: List, data_dir: str | os.PathLike[str] | None = None) -> Images:
    """Find the images of a list.

    Parameters
    ----------
    found : List
        As it was read.
    data_dir : path, optional
        Folder that its paths count from; by default the list's own.

    Raises
    ------
    InputError
        As `read`.
    """
    if found.unused:
        terminal.line(f"{found.path}: columns that are not used: {listed(found.unused)}")
    base = expanded(data_dir).absolute() if data_dir else found.path.absolute().parent
    files = {row.line: _file(base, row["image"]) for row in found.rows}
    _require_files(found, files, base)
    below = all(Path(base) in path.parents for path, _ in files.values())
    root = base if below else Path(os.path.commonpath([p.parent for p, _ in files.values()]))
    rows: dict[str, tuple[Row, Path]] = {}
    again = []
    for row in found.rows:
        file = files[row.line][0]
        name = file.relative_to(root).as_posix()
        first = rows.setdefault(name, (row, file))[0]
        if first is row:
            continue
        for what in ("label", "patient", "slide", "magnification", "mpp", "part"):
            if row[what] != first[what]:
                raise InputError(
                    f"{found.path}, line {row.line}: {row['image']} has the {what} "
                    f"{row[what] or '(none)'!r} here and {first[what] or '(none)'!r} in line "
                    f"{first.line}; an image has one"
                )
        again.append(f"line {row.line}")
    if again:
        terminal.line(f"{found.path}: {many(len(again), 'line says', 'lines say')} again what "
                      "others say: "
                      f"{listed(again)}", always=True)  # fmt: skip
    if "label" in found.columns:
        _require_labels(found)
    table = [
        (name, file.stat().st_size, row["label"], row["label"], row["patient"], row["slide"], "",
         row["magnification"], row["part"])
        for name, (row, file) in rows.items()
    ]  # fmt: skip
    where = {name: f"{found.path}, line {row.line}" for name, (row, _) in rows.items()}
    mpp = {name: float(row["mpp"]) for name, (row, _) in rows.items() if row["mpp"]}
    return _images(found.path, root, table, found.columns, where, mpp)


def _file(base: Path, image: str) -> tuple[Path, str]:
    """Path of a list's image, and what is wrong with it."""
    tried = [image, image.replace("\\", "/"), *(
        unicodedata.normalize(form, image.replace("\\", "/")) for form in ("NFC", "NFD")
    )]  # fmt: skip
    for name in dict.fromkeys(tried):
        path = Path(os.path.normpath(base / name))
        if os.path.isfile(path):  # noqa: PTH113  # False also for names that no system takes
            fine = looks_like_image(path.name)
            return path, "" if fine else f"{image} ends like none of {_ENDINGS}"
    path = Path(os.path.normpath(base / tried[1]))
    if os.path.isdir(path):  # noqa: PTH112
        return path, f"{image} is a folder"
    return path, f"{image} leads nowhere{_other_case(path)}"


def _other_case(path: Path) -> str:
    """A file of this name in other letters, or with another ending."""
    try:
        there = sorted(os.listdir(path.parent))  # noqa: PTH208  # names alone, of a large folder
    except OSError:
        return ""
    like = [name for name in there if name.casefold() == path.name.casefold()]
    like += [
        name for name in there
        if Path(name).stem == path.stem and Path(name).suffix.lower() in (*LOSSLESS, *LOSSY)
    ]  # fmt: skip
    return f" (there is {like[0]})" if like else ""


def _require_files(found: List, files: dict[int, tuple[Path, str]], base: Path) -> None:
    wrong = [f"line {line}: {problem}" for line, (_, problem) in files.items() if problem]
    if wrong:
        many = f": {len(wrong)} of {len(files)} images cannot be used: "
        raise InputError(
            f"{found.path}{', ' if len(wrong) == 1 else many}{listed(wrong)}; paths count from "
            f"{base}"
        )


def _require_labels(found: List) -> None:
    first: dict[str, Row] = {}
    for row in found.rows:
        name = row["label"]
        if not name:
            raise InputError(
                f"{found.path}, line {row.line}: {row['image']} has no label; give it one, or take "
                "the line out"
            )
        other = first.setdefault(name.casefold(), row)
        if other["label"] != name:
            raise InputError(
                f"{found.path}, line {row.line}: class {name!r}, and {other['label']!r} in line "
                f"{other.line}; write it in one way"
            )


def _of_folder(root: Path, *, labelled: bool) -> Images:
    files, _ = scan(root)
    pictures = [file for file in files if looks_like_image(file.name)]
    tell_others(root, (file.path for file in files))
    if not pictures:
        raise InputError(f"{root}: no image in this folder ({_ENDINGS})")
    direct = [file for file in pictures if "/" not in file.path]
    if labelled and len(direct) == len(pictures):
        raise InputError(
            f"{root}: {many(len(direct), 'image lies', 'images lie')} in no folder of a "
            "class; make a folder for each "
            "class, or a CSV list with the columns image and label"
        )
    if labelled and direct:
        raise InputError(
            f"{root}: {many(len(direct), 'image lies', 'images lie')} beside the folders of "
            "the classes: "
            f"{listed(file.name for file in direct)}; put them into one, or take them out"
        )
    table, where = [], {}
    parted = labelled and _has_parts(pictures)
    for each in pictures:
        above = each.path.split("/")[:-1]
        part = part_word(above[0]) if parted else ""
        label = (above[1] if parted else above[0]) if labelled else ""
        table.append((each.path, each.size(), label, label, "", "", "", "", part))
        where[each.path] = str(root / each.path)
    if labelled:
        _require_one_case(root, [row[2] for row in table])
        _tell_empty(root, {row[2] for row in table}, parted)
    columns = ("image", *(("label",) if labelled else ()), *(("part",) if parted else ()))
    return _images(root, root, table, columns, where)


def _has_parts(pictures: Sequence[File]) -> bool:
    """Whether the folders are parts with the classes in them: a split that was made before."""
    tops = {file.path.split("/")[0] for file in pictures}
    return all(map(part_word, tops)) and all(file.path.count("/") >= 2 for file in pictures)


def _require_one_case(root: Path, labels: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for name in labels:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(
                f"{root / name}: and {root / other}: two classes whose names differ in small and "
                "capital letters alone; put them together, or name one otherwise"
            )


def _tell_empty(root: Path, classes: set[str], parted: bool) -> None:
    if parted:
        return
    empty = sorted(
        each.name for each in root.iterdir()
        if each.is_dir() and not each.name.startswith(".") and each.name not in classes
    )  # fmt: skip
    if empty:
        terminal.line(f"{root}: no image in {listed(empty)}, so no class", always=True)


def _images(
    source: Path,
    root: Path,
    rows: list[tuple[Any, ...]],
    columns: tuple[str, ...],
    where: dict[str, str],
    mpp: dict[str, float] | None = None,
) -> Images:
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    synthetic = folders.is_synthetic(root, sorted(table["image"]))
    table = table.assign(synthetic=synthetic).sort_values("image", ignore_index=True)
    table = table.astype({"bytes": "int64", "synthetic": bool})
    return Images(source, root, table, columns, where, mpp or {})
