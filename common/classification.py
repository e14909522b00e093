"""Classify any image with a trained run: `python -m PKG.predict --run RUN IMAGE...`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from common import (
    acquaintance,
    backend,
    confidence,
    datasets,
    files,
    images,
    notices,
    predictions,
    runs,
    slides,
    terminal,
)
from common.datasets import own
from common.errors import InputError

if TYPE_CHECKING:
    import keras

__all__ = [
    "SKIPPED", "cannot_use", "main", "predict", "preparation", "read", "read_and_look", "stain_of",
]  # fmt: skip

_LARGEST = 4096  # px; the networks' inputs are of some hundred

SKIPPED = 3
"""Exit code where some images were classified and some could not be used."""


def predict(run: runs.Run, paths: Sequence[Path], *, batch_size: int = 16) -> pd.DataFrame:
    """Class probabilities of image files.

    Parameters
    ----------
    run : Run
        A finished run.
    paths : sequence of Path
        Image files; each is decoded and resized as the run's training images were.
    batch_size : int
        Images per step; the results do not depend on it.

    Returns
    -------
    DataFrame
        One row per image: image, predicted, probability, p_<class>..., with the run's temperature;
        where validation images told it, ``abstain`` (whether no answer should be given) and
        ``set`` (classes with ``|`` between them, of which one is promised to be the true one).

    Raises
    ------
    InputError
        Naming every file that cannot be used.
    """
    pixels = read(run, paths)
    probabilities = _probabilities(runs.load_model(run), pixels, batch_size)
    return _table(run, paths, probabilities, confidence.read(run.path))


def read(run: runs.Run, paths: Sequence[Path]) -> np.ndarray:
    """Decode, stain-normalise and resize images as the run does.

    Parameters
    ----------
    run : Run
        Its config names the size and the filter; its record may hold a stain normaliser.
    paths : sequence of Path

    Returns
    -------
    uint8 array (N, S, S, 3)
        RGB.

    Raises
    ------
    InputError
        Naming every file that cannot be used.
    """
    return read_and_look(run, paths)[0]


def read_and_look(run: runs.Run, paths: Sequence[Path]) -> tuple[np.ndarray, dict[str, list[Path]]]:
    """Decode images as `read`, and say which are unlike those that were trained on.

    Parameters
    ----------
    run, paths
        As `read` takes them.

    Returns
    -------
    pixels, odd : uint8 array (N, S, S, 3), RGB, and dict
        What is odd, in words -> the files of which it is.

    Raises
    ------
    InputError
        Naming every file that cannot be used.
    """
    pixels, _, bad, odd = _usable(run, paths)
    if bad:
        raise cannot_use(bad, len(paths))
    return np.stack(pixels), odd


def cannot_use(bad: Sequence[str], count: int) -> InputError:
    """Error that names images that cannot be used; to be raised.

    Parameters
    ----------
    bad : sequence of str
        What is wrong, file by file.
    count : int
        Of how many images.
    """
    told = [f"{len(bad)} of {count} images cannot be used:", *bad, *slides.hint(bad)]
    return InputError("\n".join(told))


def _usable(
    run: runs.Run, paths: Sequence[Path]
) -> tuple[list[np.ndarray], list[Path], list[str], dict[str, list[Path]]]:
    """Images that can be used, their files, why the others cannot, and what is odd about which."""
    prepare, oddities = preparation(run, stain_of(run)), acquaintance.oddities(run)

    def read(path: Path) -> tuple[np.ndarray, list[str]] | str:
        try:
            image = images.read(path)
            return prepare(image), oddities(path, image)
        except (InputError, OSError) as error:
            return str(error)

    # Not beside the start of TensorFlow, which holds Python's lock: both then take longer.
    pool = ThreadPoolExecutor(backend.cores())
    try:
        with terminal.progress("reading", len(paths), "images") as bar:
            results = list(bar.over(pool.map(read, paths)))
    finally:
        pool.shutdown(cancel_futures=True)
    good = [
        (path, *found)
        for path, found in zip(paths, results, strict=True)
        if not isinstance(found, str)
    ]
    bad = [found for found in results if isinstance(found, str)]
    odd: dict[str, list[Path]] = {}
    for path, _, kinds in good:
        for kind in kinds:
            odd.setdefault(kind, []).append(path)
    return [pixels for _, pixels, _ in good], [path for path, _, _ in good], bad, odd


def preparation(
    run: runs.Run, stain: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """What makes the network's input of a decoded image.

    Parameters
    ----------
    run : Run
    stain : callable
        What comes before: `stain_of` the run, or another.

    Returns
    -------
    callable
        Of RGB uint8 (H, W, 3); gives (S, S, 3).

    Raises
    ------
    InputError
        If the run's size is none.
    """
    size, filter = run.setting("image_size", int), run.setting("resize_filter", str)
    if not 1 <= size <= _LARGEST:
        raise InputError(f"{run.path / 'config.json'}: image_size is {size}, at most {_LARGEST}")
    return lambda image: images.resize(stain(image), size, filter)


def stain_of(run: runs.Run) -> Callable[[np.ndarray], np.ndarray]:
    """Stain normalisation of a run's images, where its `config.json` holds one.

    Parameters
    ----------
    run : Run

    Returns
    -------
    callable
        Of RGB uint8 (H, W, 3).
    """
    state = run.record.get("stain_normalizer")
    if state is None:
        return lambda image: image
    from common import stain

    return stain.from_state(state).transform


def _probabilities(model: keras.Model, pixels: np.ndarray, batch_size: int) -> np.ndarray:
    step, found = 16 * batch_size, []  # whole batches, so that parts change no result
    with terminal.progress("predicting", len(pixels), "images") as bar:
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            found.append(model.predict(part, batch_size=batch_size, verbose=0))
            bar.advance(len(part))
    return np.concatenate(found)


def _table(
    run: runs.Run, paths: Sequence[Path], probabilities: np.ndarray, kept: confidence.Kept
) -> pd.DataFrame:
    classes = list(run.record.classes or [])
    if len(classes) != probabilities.shape[1]:
        raise InputError(
            f"{run.path / 'config.json'}: names {len(classes)} classes, and the model has "
            f"{probabilities.shape[1]}; take the file as the training wrote it"
        )
    best = predictions.predicted_classes(probabilities)  # no temperature changes it
    sure = kept.calibrated(probabilities).astype(probabilities.dtype)
    table = pd.DataFrame(
        {
            "image": [path.as_posix() for path in paths],
            "predicted": [classes[i] for i in best],
            "probability": sure.max(axis=1),
            **{predictions.column(name): sure[:, i] for i, name in enumerate(classes)},
        }
    )
    return table.assign(**kept.columns(probabilities, classes))


def main(package: str, arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m PKG.predict``.

    Parameters
    ----------
    package : str
        The paper's package, which must have made the run.
    arguments : list of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        0; with --skip-bad `SKIPPED` if images were left out.

    Raises
    ------
    InputError
        If an image cannot be used, with --skip-bad if none can; exit code 2.
    """
    from common.arguments import Parser

    parser = Parser(
        prog=f"python -m {package}.predict",
        description=f"Classify images with a trained run. {notices.RESEARCH_USE}",
        epilog=f"Exit code: 0 if all images are classified, {SKIPPED} if --skip-bad left some out, "
        "2 if nothing is.",
    )
    parser.add_argument(
        "images", nargs="*", type=files.path_argument, metavar="IMAGE", help="files or folders"
    )
    parser.add_argument(
        "--images", dest="listing", type=files.path_argument, metavar="FILE",
        help="those of a CSV with a column image, or of a folder and all folders in it",
    )  # fmt: skip
    parser.add_argument(
        "--run", required=True, type=files.path_argument, metavar="RUN", help="a run folder"
    )
    parser.add_argument(
        "--output", type=files.output_path, metavar="CSV", help="also write the table there"
    )
    parser.add_argument(
        "--gradcam", type=files.output_folder, metavar="DIR",
        help="write a Grad-CAM overlay of each image there",
    )  # fmt: skip
    parser.add_argument(
        "--skip-bad", action="store_true",
        help="classify the other images where some cannot be used, and say why these cannot",
    )  # fmt: skip
    slides.add_flags(parser)
    flags = parser.parse_args(arguments)
    slides.require_tiles(flags)
    run = runs.load_classifier(flags.run, package)
    runs.require_model(run)
    if flags.tiles:
        return slides.predict(run, flags, stain_of(run))
    if flags.output:
        files.require_output(flags.output, "--output", folder=False, text=True)
    if not flags.images and flags.listing is None:
        raise InputError("no image is named: give files or folders, or --images FILE.csv")
    paths, bad = datasets.named_images(
        [_found(run, path) for path in flags.images], skip=flags.skip_bad
    )
    if flags.listing is not None:
        paths += own.read(flags.listing, needs=()).paths()
    if flags.output:
        files.require_not_among([flags.output], paths, "--output")
    if flags.gradcam:
        from common import evidence

        evidence.require_new(paths, flags.gradcam)
    terminal.line(acquaintance.introduction(run))
    count = len(paths)

    usable, paths, unusable, odd = _usable(run, paths)
    bad += unusable
    if unusable and not flags.skip_bad:
        raise cannot_use(unusable, count)
    if not paths:
        raise InputError(f"none of {len(bad)} images can be used:\n" + "\n".join(bad))
    pixels = np.stack(usable)
    acquaintance.tell(odd, len(paths))
    backend.load()
    model = runs.load_model(run)
    if flags.gradcam:
        probabilities, maps = evidence.explained(run, model, pixels)
    else:
        probabilities = _probabilities(model, pixels, 16)
    kept = confidence.read(run.path)
    table = _table(run, paths, probabilities, kept)
    if run.synthetic:
        print(notices.SYNTHETIC_MODEL)
    print(_text(table))
    terminal.line(str(kept))
    if flags.output:
        files.write_sheet(flags.output, table)
    if flags.gradcam:
        for path in evidence.overlays(run, paths, pixels, maps, table, flags.gradcam):
            print(terminal.plain(path))
    print(f"{notices.RESEARCH_USE} Data set: {run.record.dataset}, {run.record.licence}.")
    if bad:
        left_out = f"LEFT OUT {len(bad)} of {len(bad) + len(paths)} images that cannot be used:"
        terminal.line("\n".join([left_out, *bad]), always=True)
        return SKIPPED
    return 0


def _found(run: runs.Run, path: Path) -> Path:
    """A path as split.csv has it, of a run on one's own images; any other, as it is."""
    root = run.record.own_root
    if not root or path.is_absolute() or path.exists():
        return path
    image = Path(root) / path
    return image if image.is_file() else path


def _text(table: pd.DataFrame) -> str:
    """One line per image: class, probability, and the others' probabilities."""
    shown = [terminal.plain(name) for name in table.image]
    width = max(map(len, shown))
    classes = predictions.classes_of(table)
    lines = []
    for name, row in zip(shown, table.to_dict("records"), strict=True):
        others = "  ".join(f"{each} {row[predictions.column(each)]:.3f}" for each in classes)
        told = f"{name:<{width}}  {row['predicted']}  {100 * row['probability']:.1f} %  ({others})"
        if "set" in row:
            told += f"  set {{{row['set'].replace('|', ', ')}}}"
        lines.append(told + ("  abstains" if row.get("abstain") == "yes" else ""))
    return "\n".join(lines)
