"""Tiles of a slide through a model: read beside predicting, kept step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common import acquaintance, images, runs, terminal
from common.backend import cores
from common.errors import InputError
from common.slides.journal import Journal
from common.slides.reading import Slide
from common.slides.scale import Field
from common.slides.tiles import Tiles

if TYPE_CHECKING:
    import keras

BATCH = 16

_STEP_BYTES = 24 * 2**20  # of a step's pixels, twice: one is read while another is predicted
_MOST_BATCHES = 4

Normalise = Callable[[np.ndarray], np.ndarray]


@dataclass
class Found:
    """What the model says of a slide's tiles.

    Attributes
    ----------
    probabilities : float32 array (tiles, classes)
    odd : dict
        In which way tiles are unlike the training images -> their numbers.
    """

    probabilities: NDArray[np.float32]
    odd: dict[str, list[int]] = field(default_factory=dict)


def step_sizes(count: int, image_size: int) -> list[int]:
    """Divide tiles into steps of whole batches, whatever was done before.

    Parameters
    ----------
    count : int
        Tiles.
    image_size : int
        px of the network's input.
    """
    batches = max(1, min(_MOST_BATCHES, _STEP_BYTES // (3 * BATCH * image_size**2)))
    step = BATCH * batches
    return [min(step, count - begin) for begin in range(0, count, step)]


def predict(
    run: runs.Run,
    slide: Slide,
    tiles: Tiles,
    field: Field,
    normalise: Normalise,
    journal: Journal,
    load_model: Callable[[], keras.Model],
) -> Found:
    """Predict a slide's tiles; steps that the journal holds are taken from it.

    Parameters
    ----------
    run : Run
    slide : Slide
    tiles : Tiles
    field : Field
        What a tile shows.
    normalise : callable
        The run's stain normalisation, of a whole image.
    journal : Journal
    load_model : callable
        Called once, if anything is to be predicted.

    Returns
    -------
    Found

    Raises
    ------
    InputError
        If the slide is damaged where a tile lies.
    KeyboardInterrupt
        Saying how many tiles are kept.
    """
    size, filter = run.setting("image_size", int), run.setting("resize_filter", str)
    sizes = step_sizes(len(tiles), size)
    classes = len(run.record.classes or [])
    found = Found(np.empty((len(tiles), classes), np.float32))
    oddities = acquaintance.oddities(run)

    def read(number: int) -> tuple[np.ndarray, list[str]]:
        image = slide.region(tiles.box(number), (field.height, field.width))
        # The slide's name may state its magnification, which is not that of its tiles.
        return images.resize(normalise(image), size, filter), oddities(Path("tile"), image)

    done = 0
    for probabilities, odd in journal.begin(sizes, classes):
        _keep(found, done, probabilities, odd)
        done += len(probabilities)
    remaining = sizes[_steps(sizes, done) :]
    if not remaining:
        return found
    if done:
        terminal.line(f"{done} of {len(tiles)} tiles are there from before")
    model = load_model()
    if model.output_shape[-1] != classes:
        raise InputError(
            f"{run.path / 'config.json'}: names {classes} classes, and the model has "
            f"{model.output_shape[-1]}; take the file as the training wrote it"
        )
    pool = ThreadPoolExecutor(cores())

    def begin(at: int, count: int) -> list[Future[tuple[np.ndarray, list[str]]]]:
        return [pool.submit(read, number) for number in range(at, at + count)]

    try:
        with terminal.progress("predicting", len(tiles), "tiles") as bar:
            bar.restart(done, len(tiles))
            coming = begin(done, remaining[0])
            for index, count in enumerate(remaining):
                got = [each.result() for each in coming]
                after = remaining[index + 1 : index + 2]
                coming = begin(done + count, after[0]) if after else []
                pixels = np.stack([image for image, _ in got])
                odd = _by_kind([kinds for _, kinds in got])
                del got
                probabilities = model.predict(pixels, batch_size=BATCH, verbose=0)
                probabilities = np.asarray(probabilities, np.float32)
                journal.add(probabilities, odd)
                _keep(found, done, probabilities, odd)
                done += count
                bar.at(done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; {done} of {len(tiles)} tiles are kept in {journal.path.parent}\n"
            "the same command goes on from there"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _keep(
    found: Found, at: int, probabilities: NDArray[np.float32], odd: dict[str, list[int]]
) -> None:
    found.probabilities[at : at + len(probabilities)] = probabilities
    for kind, rows in odd.items():
        found.odd.setdefault(kind, []).extend(at + row for row in rows)


def _by_kind(kinds: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    odd: dict[str, list[int]] = {}
    for row, each in enumerate(kinds):
        for kind in each:
            odd.setdefault(kind, []).append(row)
    return odd


def _steps(sizes: Sequence[int], done: int) -> int:
    """How many whole steps so many tiles are."""
    return int(np.searchsorted(np.cumsum(sizes), done, side="right")) if done else 0
