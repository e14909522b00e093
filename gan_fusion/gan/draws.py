"""What a GAN sees at each step, what it is measured against, and the images that it draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gan_fusion.gan.config import GanConfig

if TYPE_CHECKING:
    import keras

    from common.images import Pixels

# One stream of random numbers per purpose, so that one does not shift the other.
ORDER, CRITIC, GENERATOR, SAMPLES, HALVES, CROPS = range(6)


def random(seed: int, stream: int, step: int = 0) -> np.random.Generator:
    """Random numbers of one purpose at one step; no other step's draws shift them.

    Parameters
    ----------
    seed : int
        0 or more.
    stream : int
        The purpose: `ORDER` ... `CROPS`, or a number of one's own above them.
    step : int
        0 or more.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, stream, step))))


def central_square(image: np.ndarray) -> np.ndarray:
    """The largest square around the middle of an image.

    Parameters
    ----------
    image : ndarray (H, W, 3)

    Returns
    -------
    ndarray (S, S, 3)
        A view; S is the smaller of H and W. Of an odd surplus the larger half falls below or to
        the right.
    """
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def variant(image: np.ndarray, which: int) -> np.ndarray:
    """One of a square's eight turned and mirrored images.

    Parameters
    ----------
    image : ndarray (..., S, S, 3)
    which : int
        0 to 7: 0 is the image itself; 1 mirrors left and right, 2 up and down, 4 along the
        diagonal, and their sums do one after the other.

    Returns
    -------
    ndarray (..., S, S, 3)
        A view.
    """
    if which & 4:
        image = image.swapaxes(-2, -3)
    return image[..., :: -1 if which & 2 else 1, :: -1 if which & 1 else 1, :]


def variants(config: GanConfig) -> int:
    """How many of `variant`'s images are shown: a squeezed image must not change its aspect.

    Parameters
    ----------
    config : GanConfig
        `flips` and `crop`.

    Returns
    -------
    int
        1, 4 or 8.
    """
    if not config.flips:
        return 1
    return 4 if config.crop == 1 else 8


class Draws:
    """Batches of real images, noise and mixing weights; each depends on seed and step alone.

    Every image is shown once before any is shown twice.

    Parameters
    ----------
    pixels : Pixels or ndarray
        RGB uint8, (N, T, T, 3); where T is above the image size S, random crops are shown.
    labels : int array (N,)
    classes : int
    config : GanConfig
    """

    def __init__(
        self, pixels: Pixels | np.ndarray, labels: np.ndarray, classes: int, config: GanConfig
    ):
        self.pixels = pixels
        self.labels = np.eye(classes, dtype=np.float32)[labels]
        self.config = config
        self._order = (-1, np.empty(0, int))

    def batch(self, first: int) -> dict[str, np.ndarray]:
        """What `Gan.step` takes.

        Parameters
        ----------
        first : int
            Number of the first of the critic's steps, counted over the whole training.

        Returns
        -------
        dict
            `real`, `label`, `noise`, `mix`: see `Gan.step`.
        """
        config = self.config
        shape = config.critic_steps, config.batch_size
        rows = self._rows(first * config.batch_size, math.prod(shape)).reshape(shape)
        side = config.image_size
        real = np.empty((*shape, side, side, 3), np.uint8)
        noise = np.empty((shape[0] + 1, shape[1], config.latent), np.float32)
        mix = np.empty((*shape, 1, 1, 1), np.float32)
        for i in range(config.critic_steps):
            rng = random(config.seed, CRITIC, first + i)
            mix[i] = rng.random(mix[i].shape, np.float32)
            noise[i] = rng.standard_normal(noise[i].shape, np.float32)
            which = rng.integers(0, variants(config), config.batch_size)
            corners = _corners(rng, config.batch_size, self.pixels.shape[1], side)
            for out, row, each, corner in zip(real[i], rows[i], which, corners, strict=True):
                out[:] = variant(_cut(self.pixels[row], corner, side), each)
        rng = random(config.seed, GENERATOR, first)
        noise[-1] = rng.standard_normal(noise[-1].shape, np.float32)
        return {"real": real, "label": self.labels[rows], "noise": noise, "mix": mix}

    def _rows(self, first: int, count: int) -> np.ndarray:
        """Rows of the images shown as number `first` and following, counted over all passes."""
        total = len(self.labels)
        found = []
        while count:
            epoch, start = divmod(first, total)
            if self._order[0] != epoch:
                uniforms = random(self.config.seed, ORDER, epoch).random(total)
                self._order = (epoch, np.argsort(uniforms, kind="stable"))
            found.append(self._order[1][start : start + count])
            first, count = first + len(found[-1]), count - len(found[-1])
        return np.concatenate(found)


def _corners(rng: np.random.Generator, count: int, whole: int, side: int) -> np.ndarray:
    """Top and left of crops that may lie anywhere in the image, (count, 2)."""
    return rng.integers(0, whole - side + 1, (count, 2))


def _cut(image: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    top, left = corner
    return image[top : top + side, left : left + side]


class Reference(NamedTuple):
    """Real images that generated ones are compared with, the same at every evaluation."""

    pixels: np.ndarray
    """RGB uint8, (M, S, S, 3)."""
    rows: np.ndarray
    """The training image that each comes from; of an image several crops may stand here."""


def reference(pixels: np.ndarray, config: GanConfig) -> Reference:
    """The training images themselves, or as many crops of them as images are generated.

    Parameters
    ----------
    pixels : ndarray
        RGB uint8, (N, T, T, 3).
    config : GanConfig
        With `crop` at 1 the images are taken as they are (T is `image_size`), else
        `max(samples, N)` crops, as many of each image as of another, or one more.
    """
    side = config.image_size
    if config.crop == 1:
        return Reference(pixels, np.arange(len(pixels)))
    rows = np.arange(max(config.samples, len(pixels))) % len(pixels)
    corners = _corners(random(config.seed, CROPS), len(rows), pixels.shape[1], side)
    cuts = [_cut(pixels[row], corner, side) for row, corner in zip(rows, corners, strict=True)]
    return Reference(np.stack(cuts), rows)


def draw_images(
    generator: keras.Model, noise: np.ndarray, label: np.ndarray, batch_size: int = 50
) -> np.ndarray:
    """Images for noise and classes.

    Batches are always whole, so that an image does not depend on how many are asked for.

    Parameters
    ----------
    generator : keras.Model
        From `networks.as_pixels`.
    noise : float32 array (N, latent)
    label : float32 array (N, classes)
        One-hot.
    batch_size : int
        Images computed at once.

    Returns
    -------
    uint8 array (N, S, S, 3)
    """
    images = []
    for start in range(0, len(noise), batch_size):
        part = noise[start : start + batch_size], label[start : start + batch_size]
        short = batch_size - len(part[0])
        padded = [np.pad(each, ((0, short), (0, 0))) for each in part]
        found = np.asarray(generator.predict_on_batch(padded))[: len(part[0])]
        images.append(np.clip(np.rint(found), 0, 255).astype(np.uint8))
    return np.concatenate(images)
