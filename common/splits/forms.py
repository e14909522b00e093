"""Splits in whatever form they come: lists, tables, fold files, JSON, a folder for each part.

Our own commands take split.csv and the official folds (`common.splits.files`), and refuse what does
not fit the data. Here a split of anybody is read to be looked at: all that it must tell is which
name is in which part.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from common.datasets.listing import looks_like_image, scan
from common.datasets.words import COLUMNS, PART_WORDS
from common.errors import InputError, listed
from common.files import read_text, separated
from common.splits.json_forms import in_json
from common.splits.lists import NAMES, REPAIR, Listed, part_of
from common.splits.parts import GROUPS, PARTS

_GROUPS = {group: COLUMNS[group] for group in GROUPS}
_FOLD = re.compile(r"(cv|k)?_?(fold|split|round|run|seed)s?(_?id)?_?\d*|\d+", re.IGNORECASE)
_TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_LISTS = (".txt", ".csv", ".tsv", ".lst", ".list")


def read_all(paths: Sequence[Path], lists: Mapping[str, Path] | None = None) -> list[Listed]:
    """Read every split that files and folders hold.

    Parameters
    ----------
    paths : sequence of Path
        Each in one of the forms; lists whose names tell their part ("train.txt") make one split.
    lists : mapping, optional
        Part -> list of names.

    Returns
    -------
    list of Listed
        Each with two parts or more.

    Raises
    ------
    InputError
        If one is missing or in none of the forms; file and line are named.
    """
    found: list[Listed] = []
    beside: dict[tuple[Path, str], Listed] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; {REPAIR}")
        for each in _in_folder(path) if path.is_dir() else [path]:
            if isinstance(each, Listed):
                found.append(each)
            elif (part := _part_of_list(each)) and (told := _names_of_part(each)) is not None:
                rest = re.sub(
                    r"[a-z]+", lambda m: "" if m[0] in PART_WORDS else m[0], each.stem.lower()
                )
                title = rest.strip("-_. ") or str(each.parent)
                beside.setdefault((each.parent, rest), Listed(title)).add(told[0], part, told[1])
            else:
                found += _in_file(each)
    given = Listed("lists of names")
    for part, path in (lists or {}).items():
        names = _names_alone(path)
        told = _column_of_names(path) if names is None else (names, {})
        given.add(told[0], part, told[1])
    found += [*beside.values(), *([given] if lists else [])]
    for split in found:
        there = set(split.parts) - {""}
        if len(there) < 2:
            only = f"has only a part {there.pop()}" if there else "names nothing"
            raise InputError(f"{split.title}: {only}; two parts or more can share something")
    return found


def _in_folder(root: Path) -> list[Path | Listed]:
    """Splits of a folder: images in folders of parts, else files of splits."""
    files, _ = scan(root)
    splits: dict[str, Listed] = {}
    for file in files:
        if not looks_like_image(file.name):
            continue
        folders = file.path.split("/")[:-1]
        place = next((i for i, name in enumerate(folders) if part_of(name)), None)
        if place is None:
            continue
        # Folders above the part's are folds, or classes and magnifications of one split.
        fold = "/".join(name for name in folders[:place] if _FOLD.fullmatch(name))
        title = f"{root}/{fold}" if fold else str(root)
        split = splits.setdefault(fold, Listed(title, root=root))
        split.add([file.path], part_of(folders[place]))
    if splits:
        return list(splits.values())
    top = [root / file.path for file in files if "/" not in file.path]
    if root / "split.csv" in top:  # a run's folder
        return [root / "split.csv"]
    for pattern in (r"dsfold\d+\.txt", r"folds\.csv"):
        official = [path for path in top if re.fullmatch(pattern, path.name, re.IGNORECASE)]
        if official:
            return list(official)
    tables = [path for path in top if path.suffix.lower() in (*_LISTS, ".json")]
    if not tables:
        raise InputError(
            f"{root}: no folder train, validation or test in it, and no list; {REPAIR}"
        )
    return list(tables)


def _part_of_list(path: Path) -> str:
    return part_of(path.stem) if path.suffix.lower() in _LISTS else ""


# --- files ------------------------------------------------------------------------------------


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Lines of a table, with their numbers; what parts its fields is found."""
    told, text, above = separated(read_text(path, repair=REPAIR))
    numbered = [
        (n, line) for n, line in enumerate(text.splitlines(), 1 + above)
        if line.strip() and not line.lstrip().startswith("#")
    ]  # fmt: skip
    lines = [line for _, line in numbered]
    if not lines:
        raise InputError(f"{path}: empty; {REPAIR}")
    mark = told if above else max(
        ",;\t|", key=lambda mark: (min(line.count(mark) for line in lines[:20]), mark == ",")
    )  # fmt: skip
    if not min(line.count(mark) for line in lines[:20]) and all(map(_spaced, lines)):
        return [(n, line.split()) for n, line in numbered]
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        rows = [(reader.line_num + above, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: no table ({error}); {REPAIR}") from None
    return [(n, row) for n, row in rows if any(row) and not row[0].startswith("#")]


def _spaced(line: str) -> bool:
    """Whether a line is a name and its part, with nothing but spaces between."""
    words = line.split()
    return len(words) == 2 and words[1].lower() in PART_WORDS


class _NoPartsError(InputError):
    """A table that says no part."""


def _names_of_part(path: Path) -> tuple[list[str], dict[str, list[str]]] | None:
    """Names and groups of a file of one part by its own name; None if it says parts itself."""
    names = _names_alone(path)
    if names is not None:
        return names, {}
    try:
        _in_file(path)
    except _NoPartsError:
        return _column_of_names(path)
    return None


def _names_alone(path: Path) -> list[str] | None:
    """Names of a list, one a line; None if the file is a table."""
    rows = _rows(path)
    if max(len(row) for _, row in rows) > 1:
        return None
    names = [_without_label(row[0]) for _, row in rows]
    return names[1:] if names[0].lower() in NAMES else names


def _without_label(line: str) -> str:
    """A name before a label, as lists for Caffe have it: `a/b.png 3`."""
    match = re.match(r"(.*\.(?:png|tiff?|bmp|jpe?g|jpe|svs|ndpi))\s+\S+$", line, re.IGNORECASE)
    return match[1] if match else line


def _column_of_names(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Names in a table that is all of one part, and their groups."""
    header, rows = _with_header(path)
    place = _names_column(path, header, [row for _, row in rows])
    there = [row for _, row in rows if row[place]]
    return [row[place] for row in there], _groups(header, there, {place})


def _with_header(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns, in small letters, "" where there is no header; and the lines."""
    rows = _rows(path)
    first = rows[0][1]
    header = [re.sub(r"[\s-]+", "_", cell.lower()) for cell in first]
    known = {*NAMES, *(name for names in _GROUPS.values() for name in names), "fold", "part"}
    wide = [part_of(cell) for cell in first if cell.lower() in PART_WORDS]
    if not known & set(header) and len(set(wide)) < 2:
        header = [""] * len(first)
    else:
        rows = rows[1:]
    for n, row in rows:
        if len(row) != len(first):
            raise InputError(f"{path}:{n}: {len(row)} values, not {len(first)}; {REPAIR}")
    if not rows:
        raise InputError(f"{path}: no line below its header; {REPAIR}")
    return header, rows


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _names_column(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], without: Collection[int] = ()
) -> int:
    """Column of names: that which is called so, else images', else the one that repeats least.

    A column that counts the lines, as pandas writes it, is taken where no other tells them apart.
    """
    here = [i for i in range(len(header)) if i not in without]
    called = _column([name if i in here else "" for i, name in enumerate(header)], NAMES)
    if called is not None:
        return called
    columns = {i: [row[i] for row in rows] for i in here}
    if not any(cell for column in columns.values() for cell in column):
        raise InputError(f"{path}: no column of names beside that of their parts; {REPAIR}")
    for i, column in columns.items():
        if all(map(looks_like_image, column)):
            return i
    apart = {i: len(set(column) - {""}) for i, column in columns.items()}
    counting = [
        i for i, column in columns.items()
        if any(column == [str(n + first) for n in range(len(rows))] for first in (0, 1))
    ]  # fmt: skip
    others = [i for i in here if i not in counting and 2 * apart[i] > len(rows)]
    return max(others or here, key=lambda i: apart[i])


def _in_file(path: Path) -> list[Listed]:
    """Splits of one file."""
    if path.suffix.lower() == ".json":
        return in_json(path)
    header, rows = _with_header(path)
    cells = [row for _, row in rows]
    columns = list(zip(*cells, strict=True))
    shares = [sum(_exact(cell) != "" for cell in column) / len(column) for column in columns]
    place = max(range(len(columns)), key=lambda i: shares[i])
    fold = _column(header, ("fold", "folds", "kfold", "fold_id", "cv_fold"))
    wide = {i: name for i, name in enumerate(header) if name in PART_WORDS}
    if shares[place] <= 0.5 and len({PART_WORDS[name] for name in wide.values()}) > 1:
        return [_wide(path, header, cells, {i: PART_WORDS[name] for i, name in wide.items()})]
    if shares[place] <= 0.5 and fold is None:
        raise _NoPartsError(
            f"{path}: no column says the part (train, validation, test) of a name; if it is a list "
            "of one part, give it with --train, --validation or --test"
        )
    taken = {i for i in (place if shares[place] > 0.5 else None, fold) if i is not None}
    named = _names_column(path, header, cells, taken)
    groups = _groups(header, cells, {named, *taken})
    names = [row[named] for row in cells]
    if shares[place] <= 0.5:
        assert fold is not None
        return _dealt(path, names, [row[fold] for row in cells], groups)
    parts = [_exact(row[place]) for row in cells]
    for (number, row), part in zip(rows, parts, strict=True):
        if row[place] and not part:
            raise InputError(
                f"{path}:{number}: {row[place][:40]!r} is no part; {listed(PARTS)} are"
            )
    folds = [row[fold] if fold is not None else "" for row in cells]
    found = []
    for value in sorted(set(folds), key=_by_number):
        rows_here = [i for i, each in enumerate(folds) if each == value]
        title = f"{path.name}, fold {value}" if value else path.name
        found.append(_chosen(title, names, parts, groups, rows_here))
    return found


def _groups(
    header: Sequence[str], cells: Sequence[Sequence[str]], without: Collection[int]
) -> dict[str, list[str]]:
    """Cases, slides and folders that other columns tell."""
    here = [name if i not in without else "" for i, name in enumerate(header)]
    return {
        group: [row[i] for row in cells]
        for group, names in _GROUPS.items()
        if (i := _column(here, names)) is not None
    }


def _exact(cell: str) -> str:
    """Part that a cell says and says alone."""
    return PART_WORDS.get(re.sub(r"[^a-z]", "", cell.lower()), "")


def _by_number(text: str) -> tuple[float, str]:
    return (float(text), "") if re.fullmatch(r"\d+(\.0)?", text) else (float("inf"), text)


def _chosen(
    title: str, names: list[str], parts: list[str], groups: Mapping[str, list[str]], rows: list[int]
) -> Listed:
    """Some lines of a table as a split; those without a part are unused."""
    rows = [i for i in rows if parts[i] and names[i]]
    return Listed(
        title,
        [names[i] for i in rows],
        [parts[i] for i in rows],
        {group: [values[i] for i in rows] for group, values in groups.items()},
    )


def _dealt(
    path: Path, names: list[str], folds: list[str], groups: Mapping[str, list[str]]
) -> list[Listed]:
    """Numbered folds: each is tested on by what is trained on all others."""
    values = sorted(set(folds) - {""}, key=_by_number)
    if len(values) < 2:
        raise InputError(f"{path}: one fold alone; two or more can share something")
    found = []
    for value in values:
        parts = ["" if not each else "test" if each == value else "train" for each in folds]
        title = f"{path.name}, fold {value} against the others"
        found.append(_chosen(title, names, parts, groups, list(range(len(names)))))
    return found


def _wide(
    path: Path, header: Sequence[str], cells: Sequence[Sequence[str]], parts: Mapping[int, str]
) -> Listed:
    """A column for each part: of names, or of whether a line's name is in it."""
    split = Listed(path.name)
    values = {row[i].lower() for row in cells for i in parts} - {""}
    if not values <= set(_TRUTHS):
        for i, part in parts.items():
            split.add([row[i] for row in cells if row[i]], part)
        return split
    named = _names_column(path, header, cells, parts)
    for i, part in parts.items():
        there = [row for row in cells if row[named] and _TRUTHS.get(row[i].lower())]
        split.add([row[named] for row in there], part, _groups(header, there, {named, *parts}))
    return split
