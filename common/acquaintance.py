"""What a run was trained on, told before it is used; which images are unlike those."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import appearance, datasets, evaluation, images, runs, splits, terminal, tissue
from common.errors import InputError, listed
from common.metrics.summary import percent
from common.report.words import known, plural

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ALIKE", "UNLIKE", "introduction", "magnifications", "microns", "oddities",
    "tell", "tell_sizes", "trained_size",
]  # fmt: skip

UNLIKE = "unlike the training images: "
"""Begins a kind that says in which ways an image looks otherwise than those."""

ALIKE = 1.1
"""By what factor two scales may differ and be called one."""

SIZES = 1000
"""Of how many images that are trained on the size is looked at, at most."""

_OTHER_SIZE = 0.1  # logarithm of a side by that of the data set's images: about a tenth


def oddities(run: runs.Run, *, scale: bool = True) -> Callable[[Path, np.ndarray], list[str]]:
    """Make what says in which ways an image is unlike those that a run was trained on.

    Parameters
    ----------
    run : Run
        What its folder lacks is not compared.
    scale : bool
        Look at sizes and at magnifications in names, too.

    Returns
    -------
    callable
        Of a file and its image (RGB uint8, whole, not normalised); gives kinds, in words, the same
        for all images of a kind.
    """
    trained = magnifications(run) if scale else set()
    trained_on = appearance.checked(run.record.get("appearance"))
    height, width = (trained_size(run) if scale else None) or (0, 0)
    # Immunohistochemistry has other colours than the rule knows.
    may_judge = run.config.get("stain") != "ihc"
    size, filter = run.setting("image_size", int), run.setting("resize_filter", str)

    def find(path: Path, image: np.ndarray) -> list[str]:
        kinds = []
        stated = appearance.magnification(path.name)
        if trained and stated and stated not in trained:
            kinds.append(f"at {stated}, by their names; it was trained at {_joined(trained)}")
        if height and _other_size(image.shape[:2], (height, width)):
            kinds.append(
                f"of another size than the {width}x{height} px it was trained on, so their tissue "
                "may be shown at another scale"
            )
        small = images.resize(image, size, filter)
        if may_judge and tissue.judge(small)[1]:
            kinds.append("no stained tissue, it seems")
        elif ways := appearance.unlike(trained_on, small):
            kinds.append(UNLIKE + ", ".join(ways))
        return kinds

    return find


def trained_size(run: runs.Run) -> tuple[int, int] | None:
    """Height and width of the images that a run was trained on, before they were resized.

    Parameters
    ----------
    run : Run
        Of one that did not note it, the data set's card says it, unless it is synthetic.

    Returns
    -------
    (int, int) or None
        In px.
    """
    noted = run.record.get("trained_size")
    if isinstance(noted, list) and len(noted) == 2:
        height, width = noted
        if all(isinstance(side, int) and 0 < side <= images.MAX_SIDE for side in noted):
            return height, width
    if run.synthetic:
        return None
    try:
        height, width = datasets.get(run.record.dataset or "").IMAGE_SIZE
    except InputError:
        return None
    return (height, width) if height and width else None  # of one's own images no card says it


def microns(run: runs.Run) -> dict[str, float]:
    """At which scale a run's training images lie, as far as its data set's card or list says it.

    Parameters
    ----------
    run : Run

    Returns
    -------
    dict
        Magnification, "" where there is one -> micrometres per px; empty where it is not known.
    """
    noted = run.record.facts.get("own")
    if not isinstance(noted, dict):
        with contextlib.suppress(InputError):
            return dict(datasets.get(run.record.dataset or "").MICRONS)
        return {}
    match noted.get("mpp"):
        case [float() | int() as low, float() | int() as high] if 0 < low <= high <= ALIKE * low:
            return dict.fromkeys(magnifications(run) or {""}, (low * high) ** 0.5)
    return {}


def magnifications(run: runs.Run) -> set[str]:
    """At which magnifications a run's training images are, as far as its split says it.

    Parameters
    ----------
    run : Run
    """
    train = _part(run, "train")
    return set() if train is None else set(train.get("magnification", ())) - {""}


def _part(run: runs.Run, part: str) -> pd.DataFrame | None:
    """Rows of one part of a run's split; None if it has no readable split."""
    try:
        split = splits.read(run.path / "split.csv")
    except InputError:
        return None
    return split[split["part"] == part]


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(names, key=lambda name: (len(name), name)))


def introduction(run: runs.Run) -> str:
    """Say what a run was trained on, and how well it did on its test images.

    Parameters
    ----------
    run : Run
        What its folder lacks is left out.

    Returns
    -------
    str
        One or two lines.
    """
    train, test = _part(run, "train"), _part(run, "test")
    words = [f"trained on {run.record.dataset or 'an unnamed data set'}"]
    if train is not None and len(train):
        words.append(plural(len(train), "image") + _patients(train))
        if magnifications := set(train.get("magnification", ())) - {""}:
            words.append(f"at {_joined(magnifications)}")
    words.append(f"{run.setting('image_size', int)} px")
    lines = [", ".join(words)]
    try:
        found = evaluation.read_metrics(run)
    except InputError:
        return lines[0]
    accuracy, interval, count = (found.get(name) for name in ("accuracy", "accuracy_ci", "n"))
    if not known(accuracy) or not known(count):
        return lines[0]
    score = f"accuracy {percent(accuracy)}"
    if isinstance(interval, list) and all(map(known, interval)):
        score += f", 95 % interval {' to '.join(map(percent, interval))}"
    on = f"on its {plural(int(count), 'test image')}"
    if test is not None and train is not None and len(test):
        on += _patients(test)
        if shared := (set(train["case"]) & set(test["case"])) - {""}:
            on += f", {len(shared)} of whom it was trained on: expect less of new patients"
        elif (test["case"] != "").all():
            on += ", none of whom it was trained on"
    lines.append(f"{score}, {on}")
    return "\n".join(lines)


def _patients(rows: pd.DataFrame) -> str:
    cases = rows["case"][rows["case"] != ""].nunique()
    return f" of {plural(cases, 'patient')}" if cases else " (patients unknown)"


def tell_sizes(paths: Sequence[Path]) -> None:
    """Warn of images that are trained on and have another size than most of them.

    Parameters
    ----------
    paths : sequence of Path
        Of many, `SIZES` evenly spaced ones are looked at.
    """
    found = images.sizes(paths, SIZES)
    if not found:
        return
    (height, width), _ = Counter(found.values()).most_common(1)[0]
    kind = f"of another size than the commonest, {width}x{height} px, so their tissue may be shown "
    odd = [path for path, size in found.items() if _other_size(size, (height, width))]
    if odd:
        tell({f"{kind}at another scale": odd}, len(found))


def _other_size(size: tuple[int, ...], usual: tuple[int, int]) -> bool:
    return bool(max(abs(np.log(np.divide(size, usual)))) > _OTHER_SIZE)


def tell(odd: Mapping[str, Sequence[Path]], count: int) -> None:
    """Warn once for each kind of images unlike those that were trained on.

    Parameters
    ----------
    odd : mapping
        Kind -> files, from what `oddities` says of each image.
    count : int
        How many images there are.
    """
    for kind, paths in odd.items():
        names = listed((path.name for path in paths), shown=3)
        terminal.line(f"warning: {len(paths)} of {count} images: {kind} ({names})", always=True)
