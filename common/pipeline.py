"""From the pixel cache and a table of samples to batches that Keras trains on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.augment import DRAWS, Augmenter
from common.backend import keras
from common.errors import InputError
from common.images import Pixels, memory
from common.samples import operation
from common.stain import StainAugmenter

__all__ = ["Batches", "batches"]

# One stream of random numbers per purpose, so that one does not shift the other.
_ORDER, _AUGMENT, _STAIN = 0, 1, 2


class Batches(keras.utils.PyDataset):
    """Batches of images and one-hot labels for `fit`, `evaluate` and `predict`.

    A batch is (images, labels): RGB uint8 of shape (B, S, S, 3), which a Keras model casts to its
    own input type (a quarter of float32's bytes to copy), and float32 of shape (B, K). The last
    batch may be smaller.

    What a sample looks like depends on the seed, the epoch and the sample's place in the table
    alone: not on the batch size, on the order in which batches are asked for, or on `workers`.

    `common.training.fit` says which epoch it is in (`start`). In a loop of your own do the same, or
    call `on_epoch_begin`, take every batch, and call `on_epoch_end`. Keras' own `fit` does the
    latter: give it ``shuffle=False``, or it shuffles the batches once more with the global random
    state, and on JAX call `start` in a callback's `on_epoch_begin`: there Keras takes a batch of
    its own before the first epoch, which is a whole pass where there is only one.

    Parameters
    ----------
    pixels : common.images.Pixels or ndarray
        RGB uint8, shape (N, S, S, 3).
    rows : array of int
        Which image each sample takes.
    labels : sequence of str
        Class name of each sample.
    classes : sequence of str
        Class names in their fixed order: the columns of the one-hot labels.
    batch_size : int
        Samples in a batch, at least 1.
    seed : int
        Of order and augmentation.
    shuffle : bool
        A new order in each epoch.
    augmenter : common.augment.Augmenter, optional
        Drawn anew for each sample in each epoch.
    stain_augmentation : float
        Largest random change of how strongly both stains of H&E stain, sigma of
        `common.stain.StainAugmenter`, before the augmenter; 0 for none.
    samples : DataFrame, optional
        With columns `op`, `args`, one row per sample: the operation that comes before the
        augmenter.
    initial_epoch : int
        The epoch that the first pass stands for.
    workers : int
        Threads in which Keras prepares batches; on JAX always one. One is enough beside a real
        network; OpenCV uses several cores within it.
    """

    def __init__(
        self,
        pixels: Pixels | np.ndarray,
        rows: Sequence[int] | np.ndarray,
        labels: Sequence[str],
        classes: Sequence[str],
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
        augmenter: Augmenter | None = None,
        stain_augmentation: float = 0.0,
        samples: pd.DataFrame | None = None,
        initial_epoch: int = 0,
        workers: int = 1,
    ):
        # On JAX, Keras 3.15 takes a batch before the first epoch and leaves what its other threads
        # had prepared in their queue: the epoch would begin with the second batch.
        super().__init__(workers=1 if keras.backend.backend() == "jax" else workers)
        chosen = np.asarray(rows, np.int64)
        if batch_size < 1:
            raise InputError(f"batch size {batch_size}: give at least 1")
        if not len(chosen):
            raise InputError("there are no samples to make batches of")
        if not len(chosen) == len(labels) == (len(labels) if samples is None else len(samples)):
            raise ValueError("rows, labels and samples differ in length")
        if chosen.min() < 0 or chosen.max() >= len(pixels):
            raise ValueError(f"rows must lie in 0..{len(pixels) - 1}")
        self.pixels = pixels
        self.rows = chosen
        self.classes = tuple(classes)
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.augmenter = augmenter
        self.stains = None
        if stain_augmentation:
            self.stains = StainAugmenter(
                sigma_alpha=stain_augmentation, sigma_beta=stain_augmentation
            )
        self.labels = _one_hot(labels, self.classes)
        self.operations = None
        if samples is not None:
            found = [operation(op, args) for op, args in zip(samples.op, samples.args, strict=True)]
            self.operations = found if any(found) else None
        self._begun = self._asked_for_last = False
        self._epoch = self._draw(initial_epoch)

    @property
    def epoch(self) -> int:
        """The epoch whose batches are given now, counted from 0."""
        return self._epoch[0]

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        if index == 0:
            # At every epoch: TensorFlow undoes it when it makes its dataset.
            memory.keep_freed()
        if index == len(self) - 1:
            self._asked_for_last = True
        # Read once: another thread may start the next epoch meanwhile.
        _, order, uniforms, stained = self._epoch
        chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
        if self.operations is None and self.augmenter is None and self.stains is None:
            return self.pixels[self.rows[chosen]], self.labels[chosen]
        images = np.empty((len(chosen), *self.pixels.shape[1:]), np.uint8)
        for out, sample in zip(images, chosen, strict=True):
            image = self.pixels[self.rows[sample]]
            if self.operations is not None and self.operations[sample] is not None:
                image = self.operations[sample](image)
                if image.shape != out.shape:
                    raise InputError(
                        f"a sample operation gave an image of {image.shape[1]}x{image.shape[0]} px "
                        f"among images of {out.shape[1]}x{out.shape[0]} px"
                    )
            if self.stains is not None and stained is not None:
                image = self.stains.apply(image, self.stains.parameters(stained[sample]))
            if self.augmenter is None or uniforms is None:
                out[:] = image
            else:
                parameters = self.augmenter.parameters(uniforms[sample], image.shape)
                self.augmenter.apply(image, parameters, out)
        return images, self.labels[chosen]

    def on_epoch_begin(self) -> None:
        """Note that a pass has begun; see `on_epoch_end`."""
        self._begun = True

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order and draws, if this one was begun and asked for whole.

        Keras also calls this before the first epoch of every `fit`, when it resets its iterator,
        on JAX after it took a batch to learn the shapes. Those are no epochs.
        """
        if self._begun and self._asked_for_last:
            self.start(self.epoch + 1)
        # Not cleared in on_epoch_begin: workers may have asked for every batch before it.
        self._begun = self._asked_for_last = False

    def start(self, epoch: int) -> None:
        """Give the batches of an epoch from now on.

        Parameters
        ----------
        epoch : int
            Counted from 0.
        """
        if epoch != self.epoch:
            self._epoch = self._draw(epoch)

    def _draw(self, epoch: int) -> tuple[int, np.ndarray, np.ndarray | None, np.ndarray | None]:
        """An epoch's number, its order of the samples and the uniform numbers of each sample.

        Those of its transform, and those of its stains.
        """
        # Drawing all numbers of an epoch at once costs next to nothing, a generator per image
        # takes longer than a flip. Sample i's numbers are row i, however many samples there are.
        count = len(self.rows)
        order = np.arange(count)
        if self.shuffle:
            # Sorting uniforms: `permutation` may change between NumPy versions.
            order = np.argsort(self._random(epoch, _ORDER, count), kind="stable")
        uniforms = None
        if self.augmenter is not None:
            uniforms = self._random(epoch, _AUGMENT, (count, DRAWS))
        stained = None if self.stains is None else self._random(epoch, _STAIN, (count, 4))
        return epoch, order, uniforms, stained

    def _random(self, epoch: int, stream: int, shape: int | tuple[int, int]) -> np.ndarray:
        sequence = np.random.SeedSequence((self.seed, epoch, stream))
        return np.random.Generator(np.random.PCG64(sequence)).random(shape)


def batches(
    samples: pd.DataFrame,
    pixels: Pixels,
    classes: Sequence[str],
    *,
    part: str | None = None,
    **arguments: Any,
) -> Batches:
    """Batches of a split (`image, label, part`) or a table of samples (`image, op, args, label`).

    Parameters
    ----------
    samples : DataFrame
        From `common.splits` or `common.samples`.
    pixels : common.images.Pixels
        Holds every image that the table names.
    classes : sequence of str
        Class names in their fixed order.
    part : str, optional
        Which part of the table; to be given where it has several.
    **arguments
        Of `Batches`: `batch_size`, `seed`, `shuffle`, `augmenter`, `stain_augmentation`,
        `initial_epoch`, `workers`.

    Returns
    -------
    Batches

    Raises
    ------
    InputError
        If the part is to be named, or a column is missing.
    """
    missing = {"image", "label"} - set(samples)
    if missing:
        raise InputError(f"the table of samples has no column {', '.join(sorted(missing))}")
    parts = sorted(set(samples["part"])) if "part" in samples else []
    if part is not None:
        if part not in parts:
            raise InputError(f"no image is in the part {part!r}; parts are {', '.join(parts)}")
        samples = samples[samples["part"] == part]
    elif len(parts) > 1:
        raise InputError(
            f"the table has the parts {', '.join(parts)}: say which, part={parts[-1]!r}"
        )
    rows = pixels.rows(samples["image"])
    operations = samples if "op" in samples else None
    return Batches(pixels, rows, list(samples["label"]), classes, samples=operations, **arguments)


def _one_hot(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    column = {name: i for i, name in enumerate(classes)}
    unknown = sorted({str(label) for label in labels} - set(map(str, column)))
    if unknown:
        raise InputError(
            f"label {', '.join(unknown)} is none of the classes {', '.join(map(str, classes))}"
        )
    return np.eye(len(classes), dtype=np.float32)[[column[label] for label in labels]]
