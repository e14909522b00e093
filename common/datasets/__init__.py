"""Public data sets as code: one module per data set holds its card and indexes a copy of it.

An *index* is a table with one row per image. It is built from file names alone, wherever the files
lie, so the official layout, a copy with an extra level and a copy by class give the same table but
for the folder in `image`. No image is decoded.

Columns of an index (str unless noted): `image` path below the data folder with forward slashes |
`bytes` int64, 0 where nothing can be read: an empty file, a link that leads nowhere | `label` class
of the chosen task | `type` finest class | `case`, `slide`, `folder` "" where unknown |
`magnification` | `official` part given by the data set | `synthetic` bool.
"""

from __future__ import annotations

import filecmp
import hashlib
import importlib
import os
import stat
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from common.datasets.marks import says_synthetic
from common.errors import InputError
from common.notices import SYNTHETIC_MARKER

if TYPE_CHECKING:
    import pandas as pd

MODULES = {
    "breakhis": "common.datasets.breakhis",
    "bci": "common.datasets.bci",
    "bach": "common.datasets.bach",
}
DATA_VARIABLE = "HISTOPAPERS_DATA"
COLUMNS = (
    "image", "bytes", "label", "type", "case", "slide", "folder", "magnification", "official",
    "synthetic",
)  # fmt: skip
SHOWN = 5  # how many names a message lists

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


def get(name: str) -> ModuleType:
    """Module of a data set: its card and its `index` function.

    Raises
    ------
    InputError
        If there is no data set of that name.
    """
    if name not in MODULES:
        raise InputError(f"unknown data set {name!r}; there are {', '.join(MODULES)}")
    return importlib.import_module(MODULES[name])


def data_folder(card: ModuleType, data_dir: str | os.PathLike | None) -> Path:
    """Folder that holds a data set: `data_dir`, else the one that $HISTOPAPERS_DATA names.

    Raises
    ------
    InputError
        If no folder is given, or it does not exist; the message says how the data are obtained.
    """
    given = data_dir if data_dir else os.environ.get(DATA_VARIABLE)
    origin = "--data-dir" if data_dir else f"${DATA_VARIABLE}"
    if not given:
        raise InputError(f"no data folder is given for {card.TITLE}.\n{_how(card)}")
    root = Path(given).expanduser()
    if not root.exists():
        raise InputError(f"{root} ({origin}): no such folder.\n{_how(card)}")
    if not root.is_dir():
        raise InputError(
            f"{root} ({origin}): not a folder; unpack the archive and give its folder.\n"
            f"{_how(card)}"
        )
    return root


def counts(index: pd.DataFrame, by: str | Sequence[str]) -> dict[Any, int]:
    """Count images per value of a column, or per tuple of values of several columns."""
    by = [by] if isinstance(by, str) else list(by)
    sizes = index.groupby(by, sort=True).size()  # of one column: keyed by value, not by tuple
    return {key: int(size) for key, size in sizes.items()}


def missing_classes(index: pd.DataFrame, classes: Iterable[str]) -> tuple[str, ...]:
    """Classes of the task without a single image in the index, in the task's order."""
    present = set(index["label"])
    return tuple(name for name in classes if name not in present)


def two_labels(index: pd.DataFrame, group: str = "case") -> dict[str, tuple[str, ...]]:
    """Groups (patients) whose images carry more than one label, with these labels sorted."""
    known = index[index[group] != ""]
    labels = known.groupby(group)["label"].unique()
    return {name: tuple(sorted(found)) for name, found in labels.items() if len(found) > 1}


def index_hash(index: pd.DataFrame) -> str:
    """SHA-256 that names the data of a run.

    Made of each image's file name, size, label, case and whether it is synthetic; folders and the
    order of the rows do not enter, so a copy in another layout gives the same hash.
    """
    names = index["image"].str.rpartition("/")[2]
    rows = sorted(
        f"{name}\t{size}\t{label}\t{case}\t{int(synthetic)}"
        for name, size, label, case, synthetic in zip(
            names, index["bytes"], index["label"], index["case"], index["synthetic"], strict=True
        )
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def is_synthetic(data_dir: str | os.PathLike, images: Sequence[str] | None = None) -> bool:
    """Whether a data folder holds synthetic images.

    Parameters
    ----------
    data_dir : path
        A marker file in it or in a folder above it tells.
    images : sequence of str, optional
        Paths below `data_dir`. Some of them are asked for the text that every synthetic image
        carries, so that a copied folder without the marker is still recognised. Without `images`
        some of all below `data_dir` are asked.
    """
    root = Path(data_dir).expanduser().resolve()
    if any((folder / SYNTHETIC_MARKER).is_file() for folder in (root, *root.parents)):
        return True
    if images is None:
        files, _ = scan(root)
        if any(file.marked for file in files):
            return True
        images = [file.path for file in files if looks_like_image(file.name)]
    if not len(images):
        return False
    # The ends and some between: opening all would make the index slow on a network disk.
    asked = np.unique(np.linspace(0, len(images) - 1, 8).astype(int))
    return any(says_synthetic(root / images[i]) for i in asked)


# --- from files to an index --------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """A file below a data folder."""

    path: str  # relative to the data folder, forward slashes
    name: str
    entry: os.DirEntry = field(repr=False)
    marked: bool  # whether the synthetic marker lies in one of its folders


def scan(root: Path) -> tuple[list[File], list[str]]:
    """List the files below a folder, sorted by path, and its sub-folders.

    Links are followed; a folder that was already seen (a link to a parent) is not entered again.
    Hidden entries and the shadow files that macOS puts into archives are passed over.

    Raises
    ------
    InputError
        If a folder cannot be read.
    """
    files: list[File] = []
    folders: list[str] = []
    seen: set[tuple[int, int]] = set()
    real: list[tuple[Path, str, bool]] = [(root, "", False)]
    links: list[tuple[Path, str, bool]] = []
    while real or links:
        # Links come last, so that a link into the tree never takes the place of the folder itself.
        folder, prefix, marked = real.pop() if real else links.pop()
        try:
            identity = folder.stat()
            with os.scandir(folder) as entries:
                listing = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be read ({error.strerror}); give yourself the right to read it, "
                "or take it out of the data folder"
            ) from None
        if (identity.st_dev, identity.st_ino) in seen:
            continue
        seen.add((identity.st_dev, identity.st_ino))
        marked = marked or any(entry.name == SYNTHETIC_MARKER for entry in listing)
        for entry in listing:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if _is_folder(entry):
                waiting = links if entry.is_symlink() else real
                waiting.append((Path(entry.path), f"{prefix}{entry.name}/", marked))
                folders.append(prefix + entry.name)
            else:
                files.append(File(prefix + entry.name, entry.name, entry, marked))
    files.sort(key=lambda file: file.path)
    return files, folders


def assemble(
    card: ModuleType,
    root: Path,
    rows: Mapping[str, Mapping[str, str]],
    found: tuple[list[File], list[str]],
    near_misses: Sequence[str] = (),
    *,
    wanted: str = "",
    strict: bool = False,
) -> pd.DataFrame:
    """Build an index of the files that a data set's module recognised.

    Parameters
    ----------
    card : module
        The data set, for messages.
    root : Path
        The data folder.
    rows : mapping
        Path of a recognised file -> its columns other than `image`, `bytes` and `synthetic`.
    found : tuple
        What `scan` returned for `root`.
    near_misses : sequence of str
        Paths whose names nearly follow the data set's scheme.
    wanted : str
        What was asked for in particular ("at 40X"), for messages.
    strict : bool
        Near misses are an error instead of a warning.

    Raises
    ------
    InputError
        If no file is recognised, or one name stands for different files.
    """
    files, folders = found
    if near_misses:
        text = (
            f"{root}: {len(near_misses)} file names nearly follow the scheme of {card.TITLE} and "
            f"are left out: {listed(near_misses)}"
        )
        if strict:
            raise InputError(text)
        warnings.warn(text, stacklevel=3)
    if not rows:
        raise InputError(_nothing(card, root, files, folders, wanted))
    import pandas as pd

    sizes = {file.path: _size(file) for file in files if file.path in rows}
    kept = _without_copies(root, [file for file in files if file.path in rows], sizes)
    index = pd.DataFrame(
        [{"image": file.path, "bytes": sizes[file.path], **rows[file.path]} for file in kept]
    )
    # Beside a marked folder there may be real images; among unmarked ones, one that says it is
    # synthetic makes all of them suspect.
    unmarked = [file.path for file in kept if not file.marked and sizes[file.path]]
    everything = is_synthetic(root, unmarked)
    index["synthetic"] = [everything or file.marked for file in kept]
    index = index.sort_values("image", ignore_index=True)[list(COLUMNS)]
    return index.astype({"bytes": "int64", "synthetic": bool})


def warn_two_labels(index: pd.DataFrame, *, strict: bool = False) -> None:
    """Warn of patients whose images carry more than one label; with `strict` raise `InputError`."""
    found = two_labels(index)
    if not found:
        return
    slides = two_labels(index, "slide")
    same_slide = set(index.loc[index["slide"].isin(slides), "case"])
    names = [
        f"{case} ({' and '.join(labels)}{', on one slide' if case in same_slide else ''})"
        for case, labels in found.items()
    ]
    text = (
        f"{len(found)} {'case has' if len(found) == 1 else 'cases have'} images of more than one "
        f"class: {', '.join(names)}; split by case keeps each of them in one part"
    )
    if strict:
        raise InputError(text)
    warnings.warn(text, stacklevel=3)


def listed(names: Sequence[str], shown: int = SHOWN) -> str:
    """Names for a message: the first few, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def looks_like_image(name: str) -> bool:
    """Whether a file name ends as an image's does."""
    return Path(name).suffix.lower() in _IMAGE_SUFFIXES


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _size(file: File) -> int:
    """Bytes of a file; 0 if it leads nowhere or is no regular file."""
    try:
        information = file.entry.stat()
    except OSError:
        return 0
    return information.st_size if stat.S_ISREG(information.st_mode) else 0


def _without_copies(root: Path, files: list[File], sizes: Mapping[str, int]) -> list[File]:
    """Keep one of byte-identical files of the same name; different files of one name are an error.

    A name is the image's identity in this project. Files that share it are told apart from a BCI
    pair beforehand, as only one stain is indexed at a time.
    """
    first: dict[str, File] = {}
    copies, different = [], []
    for file in files:
        name = file.name.casefold()
        if name not in first:
            first[name] = file
            continue
        other = first[name]
        same = sizes[file.path] == sizes[other.path] and (
            sizes[file.path] == 0 or filecmp.cmp(root / other.path, root / file.path, shallow=False)
        )
        if same:
            copies.append(file.path)
        else:
            different.append(f"{other.path} and {file.path}")
    if different:
        raise InputError(
            f"{root}: {len(different)} files have the name of another but different content: "
            f"{listed(different)}; give a --data-dir that holds one copy of the data set"
        )
    if copies:
        warnings.warn(
            f"{root}: {len(copies)} files are copies of others of the same name and are left out: "
            f"{listed(copies)}; comparing them takes time, so give a --data-dir with one copy",
            stacklevel=4,
        )
    return list(first.values())


def _how(card: ModuleType) -> str:
    return (
        f"How to obtain it: {card.OBTAIN}\n"
        f"Expected layout (any other with the same file names will do):\n{card.LAYOUT}\n"
        f"Then give its folder with --data-dir or ${DATA_VARIABLE}. --demo needs no data."
    )


def _nothing(
    card: ModuleType, root: Path, files: list[File], folders: list[str], wanted: str
) -> str:
    """What was found where nothing of the data set was."""
    wanted = f" {wanted}" if wanted else ""
    head = f"{root}: no image of {card.TITLE}{wanted} below this folder."
    if not files and not folders:
        return f"{head} It is empty.\n{_how(card)}"
    if not files:
        return f"{head} It holds only empty folders: {listed(folders)}.\n{_how(card)}"
    kinds: dict[str, int] = {}
    for file in files:
        suffix = Path(file.name).suffix.lower() or "no suffix"
        kinds[suffix] = kinds.get(suffix, 0) + 1
    kinds_text = ", ".join(f"{n} {suffix}" for suffix, n in sorted(kinds.items()))
    examples = listed([file.path for file in files], 3)
    return f"{head} Found instead: {len(files)} files ({kinds_text}): {examples}.\n{_how(card)}"
