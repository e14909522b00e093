"""The index of a data set: one row per image, from file names alone.

No image is decoded. It does not matter where the files lie: the official layout, a copy with an
extra level and a copy by class give the same table but for the folder in `image`.
"""

from __future__ import annotations

import filecmp
import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.datasets import folder
from common.datasets.card import Card
from common.datasets.listing import LOSSY, File
from common.datasets.marks import is_jpeg
from common.errors import InputError, listed, many
from common.files import as_bytes

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "image", "bytes", "label", "type", "case", "slide", "folder", "magnification", "official",
    "synthetic",
)  # fmt: skip
"""`common.datasets` says what they hold."""


def counts(index: pd.DataFrame, by: str | Sequence[str]) -> dict[Any, int]:
    """Count images per value of a column, or per tuple of values of several columns.

    Parameters
    ----------
    index : DataFrame
        One row per image.
    by : str or sequence of str
        Columns of it.
    """
    by = [by] if isinstance(by, str) else list(by)
    sizes = index.groupby(by, sort=True).size()  # of one column: keyed by value, not by tuple
    return {key: int(size) for key, size in sizes.items()}


def missing_classes(index: pd.DataFrame, classes: Iterable[str]) -> tuple[str, ...]:
    """Classes of the task without a single image in the index, in the task's order.

    Parameters
    ----------
    index : DataFrame
        Column `label`.
    classes : iterable of str
        Those of the task.
    """
    present = set(index["label"])
    return tuple(name for name in classes if name not in present)


def two_labels(index: pd.DataFrame, group: str = "case") -> dict[str, tuple[str, ...]]:
    """Groups (patients) whose images carry more than one label, with these labels sorted.

    Parameters
    ----------
    index : DataFrame
        Column `label`.
    group : str
        Column of the groups; "" in it means unknown.
    """
    known = index[index[group] != ""]
    labels = known.groupby(group)["label"].unique()
    return {name: tuple(sorted(found)) for name, found in labels.items() if len(found) > 1}


def index_hash(index: pd.DataFrame) -> str:
    """SHA-256 that names the data of a run.

    Made of each image's file name, size, label, case and whether it is synthetic; folders and the
    order of the rows do not enter, so a copy in another layout gives the same hash.

    Parameters
    ----------
    index : DataFrame
        As `assemble` gives it.
    """
    names = [_with_small_ending(name) for name in index["image"].str.rpartition("/")[2]]
    rows = sorted(
        f"{name}\t{size}\t{label}\t{case}\t{int(synthetic)}"
        for name, size, label, case, synthetic in zip(
            names, index["bytes"], index["label"], index["case"], index["synthetic"], strict=True
        )
    )
    return hashlib.sha256(as_bytes("\n".join(rows))).hexdigest()


def _with_small_ending(name: str) -> str:
    """`a.PNG`, as some systems write it, is `a.png`."""
    stem, dot, ending = name.rpartition(".")
    return stem + dot + ending.lower()


def recompressed(root: Path, images: Sequence[str]) -> int:
    """Count the images that are JPEG copies, of a data set that has none.

    Parameters
    ----------
    root : Path
        The data folder.
    images : sequence of str
        Paths below it. Of TIFFs some are asked for their compression.
    """
    by_name = sum(Path(name).suffix.lower() in LOSSY for name in images)
    tiffs = [name for name in images if Path(name).suffix.lower() in (".tif", ".tiff")]
    if any(is_jpeg(root / name) for name in folder.some(tiffs)):
        by_name += len(tiffs)
    return by_name


def assemble(
    card: Card,
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
    card : Card
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

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, sorted by `image`.

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

    known = _of_best_format(card, root, [file for file in files if file.path in rows])
    sizes = {file.path: file.size() for file in known}
    kept = _without_copies(root, known, sizes)
    index = pd.DataFrame(
        [{"image": file.path, "bytes": sizes[file.path], **rows[file.path]} for file in kept]
    )
    # Beside a marked folder there may be real images; among unmarked ones, one that says it is
    # synthetic makes all of them suspect.
    unmarked = [file.path for file in kept if not file.marked and sizes[file.path]]
    everything = folder.is_synthetic(root, unmarked)
    jpegs = recompressed(root, [file.path for file in kept])
    if jpegs:
        warnings.warn(
            f"{root}: {jpegs} of {len(kept)} images are JPEG copies. {card.TITLE} has none: their "
            "pixels are others, so this is another data set, which fills no row of a table",
            stacklevel=3,
        )
    index["synthetic"] = [everything or file.marked for file in kept]
    index = index.sort_values("image", ignore_index=True)[list(COLUMNS)]
    return index.astype({"bytes": "int64", "synthetic": bool})


def warn_two_labels(index: pd.DataFrame, *, strict: bool = False) -> None:
    """Warn of patients whose images carry more than one label.

    Parameters
    ----------
    index : DataFrame
        As `assemble` gives it.
    strict : bool
        Raise instead.

    Raises
    ------
    InputError
        With `strict`.
    """
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


def _of_best_format(card: Card, root: Path, files: list[File]) -> list[File]:
    """Of an image that is there in several formats: its own, else a lossless copy, else a JPEG."""

    def rank(file: File) -> int:
        suffix = Path(file.name).suffix.lower()
        own = suffix.replace(".tiff", ".tif") == card.SUFFIX
        return 0 if own else 2 if suffix in LOSSY else 1

    best: dict[str, int] = {}
    for file in files:
        name = Path(file.name).stem.casefold()
        best[name] = min(best.get(name, 2), rank(file))
    left_out = [file.path for file in files if rank(file) > best[Path(file.name).stem.casefold()]]
    if not left_out:
        return files
    warnings.warn(
        f"{root}: {many(len(left_out), 'file is another image', 'files are other images')} "
        "again in another format and left "
        f"out: {listed(left_out)}",
        stacklevel=4,
    )
    dropped = set(left_out)
    return [file for file in files if file.path not in dropped]


def _without_copies(root: Path, files: list[File], sizes: Mapping[str, int]) -> list[File]:
    """Keep one of byte-identical files of the same name; different files of one name are an error.

    A name is the image's identity in this project. Files that share it are told apart from a BCI
    pair beforehand, as only one stain is indexed at a time.
    """
    first: dict[str, File] = {}
    copies, different = [], []
    for file in files:
        name = Path(file.name).stem.casefold()
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
            f"{root}: {many(len(different), 'file has', 'files have')} the name of another "
            "but different content: "
            f"{listed(different)}; give a --data-dir that holds one copy of the data set"
        )
    if copies:
        warnings.warn(
            f"{root}: {many(len(copies), 'file is a copy', 'files are copies')} of others of "
            "the same name and left out: "
            f"{listed(copies)}; comparing them takes time, so give a --data-dir with one copy",
            stacklevel=4,
        )
    return list(first.values())


def _nothing(card: Card, root: Path, files: list[File], folders: list[str], wanted: str) -> str:
    """What was found where nothing of the data set was."""
    how = folder.how_to_obtain(card)
    wanted = f" {wanted}" if wanted else ""
    head = f"{root}: no image of {card.TITLE}{wanted} below this folder."
    if not files and not folders:
        return f"{head} It is empty.\n{how}"
    if not files:
        return f"{head} It holds only empty folders: {listed(folders)}.\n{how}"
    kinds: dict[str, int] = {}
    for file in files:
        suffix = Path(file.name).suffix.lower() or "no suffix"
        kinds[suffix] = kinds.get(suffix, 0) + 1
    kinds_text = ", ".join(f"{n} {suffix}" for suffix, n in sorted(kinds.items()))
    examples = listed([file.path for file in files], 3)
    return f"{head} Found instead: {len(files)} files ({kinds_text}): {examples}.\n{how}"
