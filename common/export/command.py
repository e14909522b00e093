"""Export a finished run of any package: which images calibrate, which are held out, the flags."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import backend, confidence, notices, runs
from common.arguments import Parser
from common.backend import cores
from common.errors import InputError
from common.export import preparing
from common.export.conversion import CONVERTERS, PRECISIONS
from common.export.writing import export, table
from common.files import output_folder, path_argument, read_table
from common.runs import data_folder

if TYPE_CHECKING:
    import pandas as pd

CALIBRATION_IMAGES = 200
HELDOUT_IMAGES = 100
INCOMPLETE = 3
"""Exit code where some files were written and some could not be."""


def symmetries(pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Flips and rotations of images, all eight of them.

    Parameters
    ----------
    pixels : ndarray, uint8, (N, S, S, 3)
        Square images.

    Yields
    ------
    name : str
        What was done; empty at first, when nothing was.
    turned : ndarray, uint8, (N, S, S, 3)
        The images after it.
    """
    for flip, turns in itertools.product((False, True), range(4)):
        turned = np.rot90(pixels[:, :, ::-1] if flip else pixels, turns, axes=(1, 2))
        name = " ".join(["flipped"] * flip + [f"turned {90 * turns}"] * bool(turns))
        yield name, np.ascontiguousarray(turned)


def export_run(
    run: runs.Run,
    data_dir: Path,
    out: Path,
    *,
    calibration: int = CALIBRATION_IMAGES,
    heldout: int = HELDOUT_IMAGES,
    **options: Any,
) -> dict[str, Any]:
    """Export a finished run of any package; its own training images calibrate.

    Parameters
    ----------
    run : Run
        A finished one.
    data_dir : path
        The folder the run's `split.csv` names its images in.
    out : path
        Folder of the files.
    calibration : int
        Images of the run's training part, evenly over the classes' folders.
    heldout : int
        Images to compare: of the test part, then of the validation part, then flips and rotations
        of them.
    **options
        For `export`.

    Returns
    -------
    dict
        What `export.json` holds.

    Raises
    ------
    InputError
        As `export`; or without training or held-out images.
    """
    import pandas as pd

    from common import classification

    split = read_table(run.path / "split.csv", ("image", "part"))
    train = evenly(split.image[split.part == "train"], calibration)
    held = pd.concat([split.image[split.part == part] for part in ("test", "validation")])
    held = evenly(held, heldout)
    if not len(train) or not len(held):
        raise InputError(f"{run.path / 'split.csv'}: has no training or no held-out images")
    pixels = classification.read(run, [data_dir / image for image in [*train, *held]])
    originals = pixels[len(train) :]
    names, images = [], []
    for name, turned in symmetries(originals):
        names += [f"{image} {name}".strip() for image in held]
        images.append(turned)
        if len(names) >= heldout:
            break
    model, temperature = runs.load_model(run), confidence.read(run.path).temperature
    preparing.divide_logits(model, temperature)
    return export(
        model,
        out,
        calibration=pixels[: len(train)],
        heldout=np.concatenate(images)[:heldout],
        heldout_names=names[:heldout],
        facts=_facts(run) | {"temperature": temperature},
        **options,
    )


def evenly(images: pd.Series, count: int) -> list[str]:
    """Choose images evenly along the sorted names, which are sorted by class.

    Parameters
    ----------
    images : Series of str
        Paths.
    count : int
        How many at most.

    Returns
    -------
    list of str
        All of them where there are no more.
    """
    names = sorted(images)
    if len(names) <= count:
        return names
    return [names[i] for i in np.linspace(0, len(names) - 1, count).round().astype(int)]


def _facts(run: runs.Run) -> dict[str, Any]:
    record = run.record
    classes, positive = record["classes"], record["positive"]
    return {
        "run_id": record["run_id"],
        "package": record["package"],
        "preset": record["preset"],
        "dataset": record["dataset"],
        "licence": record["licence"],
        "synthetic": run.synthetic,
        "classes": classes,
        "positive": positive,
        "threshold": 0.5 if len(classes) == 2 and positive else None,
        "resize_filter": run.config["resize_filter"],
        "stain_normalised": record.get("stain_normalizer") is not None,
    }


def main(package: str | None = None, arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m PKG.export``, and of ``python -m common.export`` for any run.

    Parameters
    ----------
    package : str, optional
        The paper's package, which must then have made the run.
    arguments : list of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        0; `INCOMPLETE` where some of the files could not be written.
    """
    parser = Parser(
        prog=f"python -m {package or 'common'}.export",
        description="Write a run's model as TFLite files: uint8 pixels in, float32 probabilities "
        f"out. Files that fail their checks are not written. {notices.RESEARCH_USE}",
        epilog=f"Exit code: 0 if all files are written, {INCOMPLETE} if some are, 2 if none is.",
    )
    parser.add_argument(
        "--run", required=True, type=path_argument, metavar="RUN", help="a run folder"
    )
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="default: all"
    )
    parser.add_argument("--out", type=output_folder, metavar="DIR", help="default: RUN/export")
    parser.add_argument("--data-dir", type=path_argument, metavar="D", help="the data set's folder")
    parser.add_argument(
        "--converter", choices=tuple(CONVERTERS), help="default: the one that agrees better"
    )
    parser.add_argument(
        "--onnx", action="store_true", help="model.onnx, too (pip install 'histopapers[onnx]')"
    )
    parser.add_argument(
        "--calibration", type=int, default=CALIBRATION_IMAGES, metavar="N",
        help=f"training images to calibrate on (default: {CALIBRATION_IMAGES})",
    )  # fmt: skip
    parser.add_argument(
        "--heldout", type=int, default=HELDOUT_IMAGES, metavar="N",
        help="held-out images to compare on, with their flips and rotations where there are "
        f"fewer (default: {HELDOUT_IMAGES})",
    )  # fmt: skip
    flags = parser.parse_args(arguments)
    for name in ("calibration", "heldout"):
        if getattr(flags, name) < 1:
            raise InputError(f"--{name} {getattr(flags, name)}: give at least 1")
    run = runs.load(flags.run, package)
    if not run.finished:
        raise InputError(f"{run.path}: the training has not finished; run its command again")
    runs.require_model(run)
    data_dir = data_folder(run, flags.data_dir)
    out = flags.out or run.path / "export"
    with runs.changing(run.path) if run.path in out.parents else contextlib.nullcontext():
        backend.load()
        record = export_run(
            run,
            data_dir,
            out,
            calibration=flags.calibration,
            heldout=flags.heldout,
            precisions=flags.precision,
            converters=[flags.converter] if flags.converter else tuple(CONVERTERS),
            threads=cores(),
            onnx=flags.onnx,
        )
    if run.synthetic:
        print(notices.SYNTHETIC_MODEL)
    print(table(record))
    print(f"\nwritten to {out}")
    print(f"{notices.RESEARCH_USE} Data set: {record['dataset']}, {record['licence']}.")
    return INCOMPLETE if record["refused"] else 0
