"""Command line: fit a normaliser to a target, apply it to a folder, show what it does."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import datasets, images, notices, terminal, writers
from common import errors as command
from common.arguments import Parser
from common.datasets import own
from common.errors import InputError, many
from common.files import (
    atomic_path,
    output_file,
    output_folder,
    output_text,
    path_argument,
    read_json,
    write_json,
)
from common.images.formats import EXTENSIONS
from common.stain import METHODS, Flag, Normalizer, choose_target, load
from common.stain.unmixing import StainMatrixNormalizer

# In the output folder: the normaliser that made it, and what happened to its images.
RECORD = "stain.json"
_SUFFIXES = tuple(
    suffix for suffix, kind in EXTENSIONS.items() if kind in ("PNG", "TIFF", "JPEG", "BMP")
)
"""What is read here; a file is written as what it was."""
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_CHROMA_QUALITY, 95]
_LIST_AT_MOST = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the command line.

    Returns
    -------
    int
        0 if all is well, 1 if `apply` met files that it cannot read.
    """
    parser = Parser(
        prog="python -m common.stain",
        description=f"Stain normalisation of H&E images. {notices.RESEARCH_USE}",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    part = commands.add_parser("fit", help="take a target image's stains, and write them to a file")
    part.add_argument(
        "target",
        type=path_argument,
        help="an image, or training images, a folder or a CSV with a column image: then the one "
        "whose stains are nearest the median of all is taken; of a list with a column part, of "
        "those that train",
    )
    part.add_argument(
        "--output", type=output_text, required=True, metavar="FILE", help="JSON to write"
    )
    part.add_argument("--method", choices=METHODS, default="macenko", help="default: macenko")
    part.add_argument(
        "--preset",
        default="default",
        help="conventions: default, luminosity, staintools, torchstain, torchstain_numpy "
        "(default: default)",
    )
    part.add_argument("--engine", choices=("own", "staintools"), default="own", help="default: own")
    part.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="conventions that differ from the preset, for instance white_level=255",
    )
    part.set_defaults(run=lambda o: fit(o.target, o.output, o.method, o.preset, o.engine, o.set))

    part = commands.add_parser("apply", help="normalise a folder of images; continues if stopped")
    part.add_argument("normalizer", type=path_argument, help="file that fit wrote")
    part.add_argument(
        "folder", type=path_argument,
        help="images, also in folders below it; or a CSV with a column image",
    )  # fmt: skip
    part.add_argument("output", type=output_folder, help="folder to write to; names are kept")
    part.add_argument("--workers", type=int, default=1, help="threads (default: 1)")
    part.set_defaults(run=lambda o: apply(o.normalizer, o.folder, o.output, o.workers))

    part = commands.add_parser("show", help="draw images before and after, and their two stains")
    part.add_argument("normalizer", type=path_argument, help="file that fit wrote")
    part.add_argument("images", type=path_argument, nargs="+", help="images")
    part.add_argument(
        "--output", type=output_file, required=True, metavar="FILE", help="PNG to write"
    )
    part.set_defaults(run=lambda o: show(o.normalizer, o.images, o.output))

    options = parser.parse_args(arguments)
    return options.run(options) or 0


def fit(
    target: Path, output: Path, method: str, preset: str, engine: str, changes: Sequence[str]
) -> None:
    """Fit a normaliser to an image, or to the most typical one of a folder, and save it.

    Parameters
    ----------
    target : Path
        An image, or a folder of training images.
    output : Path
        JSON to write.
    method, preset, engine : str
        As the classes of `common.stain` take them.
    changes : sequence of str
        Conventions that differ from the preset, NAME=VALUE.

    Raises
    ------
    InputError
        If there is no stained tissue, or a convention does not exist.
    """
    normalizer = METHODS[method](preset, engine=engine, **_conventions(changes))
    if target.is_dir() or target.suffix.lower() == ".csv":
        target, names = _named(target, "train")
        with terminal.progress("estimating stains", len(names), "images") as bar:
            chosen = choose_target(bar.over(target / name for name in names), normalizer)
        print(f"target: {names[chosen]}, nearest the median of {len(names)} images")
        target = target / names[chosen]
    try:
        normalizer.fit(images.read(target))
    except InputError as error:
        text = str(error)
        raise InputError(text if str(target) in text else f"{target}: {text}") from None
    normalizer.save(output)
    print(f"{method} normaliser written to {output}")


def _conventions(changes: Sequence[str]) -> dict[str, Any]:
    result = {}
    for change in changes:
        name, sign, text = change.partition("=")
        if not sign:
            raise InputError(f"--set {change}: expected NAME=VALUE, for instance white_level=255")
        try:
            result[name] = json.loads(text)
        except ValueError:
            result[name] = text
    return result


def _named(source: Path, part: str = "") -> tuple[Path, list[str]]:
    """Folder of images and their names; of a list with a column part those of one part."""
    if source.suffix.lower() != ".csv":
        return source, _images(source)
    named = own.read(source, needs=())
    table = named.table
    if part and "part" in named.columns:
        table = table[table["official"] == part]
        if table.empty:
            raise InputError(f"{named.source}: no image of the part {part}")
    return named.root, list(table["image"])


def _images(folder: Path) -> list[str]:
    """Names of all images below a folder, sorted; hidden files are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder")
    there = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    names = [name for name in there if name.lower().endswith(_SUFFIXES)]
    datasets.tell_others(folder, there)
    if not names:
        raise InputError(f"{folder}: holds no PNG, TIFF or JPEG images")
    return names


# --- apply -------------------------------------------------------------------------------------


def apply(normalizer_file: Path, folder: Path, output: Path, workers: int = 1) -> int:
    """Normalise all images of a folder into another, under the same names.

    An output that exists is whole, so it is skipped: a stopped run goes on where it was.

    Parameters
    ----------
    normalizer_file : Path
        What `fit` wrote.
    folder, output : Path
        Of the images, or a list of them, and of the normalised ones; neither folder lies in the
        other.
    workers : int
        Threads.

    Returns
    -------
    int
        1 if files could not be read, otherwise 0.

    Raises
    ------
    InputError
        If there are no images, or the output belongs to another normaliser.
    """
    normalizer = load(normalizer_file)
    folder, names = _named(folder)
    if workers < 1:
        raise InputError(f"--workers {workers}: give at least 1")
    source, aim = folder.resolve(), output.resolve()
    if aim == source or source in aim.parents:
        raise InputError(f"{output}: lies in the folder of the images; choose another one")
    if aim in source.parents:
        raise InputError(f"{output}: holds the folder of the images; choose another one")
    with writers.alone(output, "another process is writing there; wait for it, or choose another"):
        try:
            return _apply(normalizer, folder, output, names, workers)
        finally:
            with contextlib.suppress(OSError):  # a folder of images holds nothing else
                (output / ".lock").unlink()


def _apply(
    normalizer: Normalizer, folder: Path, output: Path, names: Sequence[str], workers: int
) -> int:
    flags = _flags_so_far(output / RECORD, normalizer)
    synthetic = datasets.is_synthetic(folder, names)
    if synthetic:
        output.mkdir(parents=True, exist_ok=True)
        marker = folder / notices.SYNTHETIC_MARKER
        if marker.is_file():
            shutil.copyfile(marker, output / notices.SYNTHETIC_MARKER)
        else:
            with atomic_path(output / notices.SYNTHETIC_MARKER) as part:
                part.write_text(f"{notices.SYNTHETIC}\n", encoding="utf-8")
    lock = threading.Lock()
    work = [name for name in names if not (output / name).is_file()]
    if len(work) < len(names):
        print(f"{len(names) - len(work)} of {len(names)} images are there already", flush=True)

    def one(name: str) -> tuple[str, Flag | None, str]:
        try:
            image = images.read(folder / name)
        except InputError as error:
            return name, None, str(error)
        result, flag = normalizer.transform(image, return_flags=True)
        if flag != Flag.OK:
            # Before the output exists: a run that is killed between the two repeats the image.
            with lock:
                flags[name] = flag.name
                _record(output / RECORD, normalizer, flags)
        _write(output / name, result, synthetic)
        return name, flag, ""

    _record(output / RECORD, normalizer, flags)
    problems = []
    pool = ThreadPoolExecutor(workers)
    try:
        with terminal.progress("normalising", len(work), "images") as bar:
            for _, _, problem in pool.map(one, work):
                if problem:
                    problems.append(problem)
                bar.advance()
    finally:
        pool.shutdown(cancel_futures=True)
    _report(names, flags, problems, output)
    return 1 if problems else 0


def _flags_so_far(path: Path, normalizer: Normalizer) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        record = read_json(path)
        identity, flags = record["normalizer"], dict(record["images"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: cannot be read; delete the folder and start anew") from None
    if identity != normalizer.identity():
        raise InputError(
            f"{path.parent}: was made with another normaliser; choose another folder, or delete it"
        )
    return flags


def _record(path: Path, normalizer: Normalizer, flags: Mapping[str, str]) -> None:
    images = dict(sorted(flags.items()))
    write_json(path, {"normalizer": normalizer.identity(), "images": images})


def _write(path: Path, image: np.ndarray, synthetic: bool) -> None:
    suffix = path.suffix.lower()
    if synthetic and suffix in (".png", ".tif", ".tiff"):
        from common.datasets.synthetic import files

        write = files.write_png if suffix == ".png" else files.write_tiff
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, image)
        return
    options = _QUALITY if EXTENSIONS[suffix] == "JPEG" else []
    with atomic_path(path) as part:
        if not cv2.imwrite(str(part), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options):
            raise InputError(f"{path}: cannot be written")


def _report(
    names: Sequence[str], flags: Mapping[str, str], problems: Sequence[str], output: Path
) -> None:
    print(f"{many(len(names) - len(problems), 'image is', 'images are')} in {output}")
    for flag, text in (
        (Flag.NO_TISSUE, "unchanged, no stained tissue"),
        (Flag.SINGLE_STAIN, "unchanged, a single stain or colour"),
        (Flag.GAIN_LIMITED, "normalised, but a weak or strong stain met the limit of its gain"),
    ):
        _list(text, [name for name in names if flags.get(name) == flag.name])
    _list("not read", problems)


def _list(text: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    print(f"{text}: {len(lines)}")
    for line in lines[:_LIST_AT_MOST]:
        print(f"  {line}")
    if len(lines) > _LIST_AT_MOST:
        print(f"  ... and {len(lines) - _LIST_AT_MOST} more")


# --- show --------------------------------------------------------------------------------------


def show(normalizer_file: Path, paths: Sequence[Path], output: Path) -> None:
    """Draw each image before and after, and with Macenko and Vahadane its stains apart.

    Parameters
    ----------
    normalizer_file : Path
        What `fit` wrote.
    paths : sequence of Path
        Images.
    output : Path
        PNG to write.
    """
    from common import figures

    normalizer = load(normalizer_file)
    pictures, titles = [], []
    for path in paths:
        image = images.read(path)
        after, flag = normalizer.transform(image, return_flags=True)
        note = "" if flag == Flag.OK else f" ({flag.name.lower().replace('_', ' ')})"
        pictures += [image, after]
        titles += [f"{path.name}\nbefore", f"{normalizer.method}\nafter{note}"]
        if isinstance(normalizer, StainMatrixNormalizer):
            pictures += normalizer.separate(image)
            titles += ["haematoxylin\nalone", "eosin\nalone"]
    columns = 4 if isinstance(normalizer, StainMatrixNormalizer) else 2
    synthetic = any(datasets.is_synthetic(path.parent, [path.name]) for path in paths)
    figures.save(figures.examples(pictures, titles, columns), output, synthetic=synthetic)
    print(f"{many(len(paths), 'image')} drawn in {output}")


if __name__ == "__main__":
    command.main(main)
