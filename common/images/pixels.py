"""A data set's resized images as one read-only array: what a training looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from common.images.fingerprints import Fingerprints


class Pixels:
    """Resized images of a data set as one read-only array, mapped from the cache.

    Index it like an array of shape (N, S, S, 3), uint8, RGB: an int gives a read-only view of one
    image, a slice or an array of ints a copy of several. The order is that of `images`.

    Parameters
    ----------
    images : sequence of str
        Names of the N images.
    store : ndarray
        Shape (M, S, S, 3), uint8, RGB.
    order : ndarray
        Shape (N,), int: row of each image in `store`.
    digests : sequence of str
        SHA-256 of each image's file, hex.
    skipped : sequence of (image, reason)
        What could not be used and is not among `images`.
    fingerprints : callable, optional
        Gives those of the N images; what no files stand behind has none.
    """

    def __init__(
        self,
        images: Sequence[str],
        store: np.ndarray,
        order: np.ndarray,
        digests: Sequence[str] = (),
        skipped: Sequence[tuple[str, str]] = (),
        fingerprints: Callable[[], Fingerprints] | None = None,
    ):
        self.images = tuple(images)
        self.digests = tuple(digests)
        self.skipped = tuple(skipped)
        self._store = store
        self._order = order
        self._fingerprints = fingerprints
        self._row: dict[str, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, S, S, 3)."""
        return (len(self._order), *self._store.shape[1:])

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._store[self._order[key]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self._store[self._order]
        return array if dtype is None else array.astype(dtype, copy=False)

    def row(self, image: str) -> int:
        """Find the position of an image.

        Parameters
        ----------
        image : str
            As it stands in `images`.

        Returns
        -------
        int

        Raises
        ------
        InputError
            If it is not among them.
        """
        if self._row is None:
            # Backwards, so that the first of equal names wins.
            last = len(self.images) - 1
            self._row = {name: last - i for i, name in enumerate(reversed(self.images))}
        try:
            return self._row[image]
        except KeyError:
            raise InputError(f"{image}: not among the {len(self)} cached images") from None

    def rows(self, images: Sequence[str]) -> np.ndarray:
        """Find the positions of several images, for instance of a split's column `image`.

        Parameters
        ----------
        images : sequence of str

        Returns
        -------
        ndarray
            Shape (n,), int64.

        Raises
        ------
        InputError
            If one is not among `images`.
        """
        return np.fromiter((self.row(image) for image in images), np.int64)

    def renamed(self, images: Sequence[str]) -> Pixels:
        """Give the same pixels under other names, for instance shorter ones of files elsewhere.

        Parameters
        ----------
        images : sequence of str
            N names.

        Returns
        -------
        Pixels
        """
        if len(images) != len(self):
            raise ValueError(f"{len(images)} names for {len(self)} images")
        return Pixels(
            images, self._store, self._order, self.digests, self.skipped, self._fingerprints
        )

    def fingerprints(self) -> Fingerprints | None:
        """Give what recognises the images again: hashes of them as decoded, before any resize.

        An older cache has none or not all; those are taken now, and kept.

        Returns
        -------
        Fingerprints or None
            Of the N images, in their order; None where no files stand behind these pixels.

        Raises
        ------
        InputError
            If a file that has to be read once more has changed or gone.
        """
        return None if self._fingerprints is None else self._fingerprints()

    def kept(self, index: pd.DataFrame) -> pd.DataFrame:
        """Leave the images that were skipped out of an index.

        Parameters
        ----------
        index : DataFrame
            Whose images were asked for.

        Returns
        -------
        DataFrame
        """
        skipped = {image for image, _ in self.skipped}
        return index[~index["image"].isin(skipped)].reset_index(drop=True) if skipped else index
