"""Find images that are equal or nearly so, and count their pairs by the parts of a split.

A set of n equal images holds n (n - 1) / 2 pairs: they are counted without being listed. Near pairs
are sought block by block and counted as they are found, so that memory stays small when thousands
of blank tiles are all near one another.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from common.backend import cores
from common.splits.parts import PARTS

PAIRS_OF_PARTS = (("train", "test"), ("train", "validation"), ("validation", "test"))
SHOWN_PAIRS = 100  # pairs that a leakage report lists; all of them are counted
SHOWN_SETS = 20  # sets of equal images that it lists
SHOWN_WITHIN = 20  # pairs within one part that it lists

_TRAIN, _VALIDATION, _TEST = range(3)

# Bits of one number that ranks a pair, the highest first: whether it is no leak into the test part,
# differing bits of the hashes, both images' rows, whether one is turned.
_WIDTHS = (1, 8, 24, 24, 1)

# Rows and columns compared at once: what is written meanwhile stays in the processor's cache.
_ROWS, _COLUMNS = 64, 1024


class Pairs(NamedTuple):
    """Pairs of images, as arrays of equal length.

    `a` and `b` are row numbers, a < b; `bits` differ between their hashes; `turned` says whether
    one of them must be turned or flipped for that.
    """

    a: np.ndarray
    b: np.ndarray
    bits: np.ndarray
    turned: np.ndarray


class Tally:
    """Count pairs by the parts they lie in, and keep the worst of those across parts.

    Parameters
    ----------
    parts : ndarray
        Part of each image, shape (n,), str; none of them "".
    labels : ndarray
        Label of each image, shape (n,), str.
    """

    def __init__(self, parts: np.ndarray, labels: np.ndarray):
        self.part = np.array([PARTS.index(part) for part in parts], np.int8)
        self.label = np.unique(labels, return_inverse=True)[1]
        self.pairs = self.label_conflicts = 0
        self.by_parts = np.zeros((len(PARTS), len(PARTS)), np.int64)
        self.twins = np.zeros(len(self.part), bool)
        self._worst = self._within = np.zeros(0, np.int64)

    @property
    def worst(self) -> Pairs:
        """The worst `SHOWN_PAIRS` across parts: training and test images first, then few bits.

        `a` is the image in the earlier part.
        """
        return _ranked(self._worst)

    @property
    def within(self) -> Pairs:
        """The first `SHOWN_WITHIN` within one part: of different labels first, then few bits."""
        return _ranked(self._within)

    @property
    def across(self) -> int:
        """Pairs whose images lie in different parts."""
        return int(np.triu(self.by_parts, 1).sum())

    def by_pair_of_parts(self) -> dict[str, int]:
        """Pairs across each two parts: {"train-test": ...}."""
        return {
            f"{first}-{second}": int(self.by_parts[PARTS.index(first), PARTS.index(second)])
            for first, second in PAIRS_OF_PARTS
        }

    def add(self, pairs: Pairs) -> None:
        """Count pairs that have not been counted.

        Parameters
        ----------
        pairs : Pairs
        """
        a, b, bits, turned = pairs
        self.pairs += len(a)
        self.label_conflicts += int((self.label[a] != self.label[b]).sum())
        swap = self.part[a] > self.part[b]
        first, second = np.where(swap, b, a), np.where(swap, a, b)
        where = len(PARTS) * self.part[first] + self.part[second]
        size = len(PARTS) ** 2
        self.by_parts += np.bincount(where, minlength=size).reshape(self.by_parts.shape)
        leaks = (self.part[first] == _TRAIN) & (self.part[second] == _TEST)
        self.twins[second[leaks]] = True
        across = self.part[first] != self.part[second]
        fields = (~leaks, bits, first, second, turned)
        self._keep([field[across] for field in fields])
        fields = (self.label[a] == self.label[b], bits, first, second, turned)
        self._keep([field[~across] for field in fields], within=True)

    def add_sets(self, sets: list[np.ndarray]) -> None:
        """Count the pairs of images within sets of equal images, without listing them.

        Parameters
        ----------
        sets : list of ndarray
            Row numbers of each set, rising.
        """
        for rows in sets:
            n = len(rows)
            self.pairs += n * (n - 1) // 2
            same = np.bincount(self.label[rows])
            self.label_conflicts += n * (n - 1) // 2 - int((same * (same - 1) // 2).sum())
            held = np.bincount(self.part[rows], minlength=len(PARTS))
            self.by_parts += np.triu(np.outer(held, held), 1)
            if held[_TRAIN]:
                self.twins[rows[self.part[rows] == _TEST]] = True
        of_part = [[rows[self.part[rows] == part] for part in range(len(PARTS))] for rows in sets]
        members = sorted((int(row), number) for number, rows in enumerate(sets) for row in rows)
        for of_kind in ({_TRAIN: _TEST}, {_TRAIN: _VALIDATION, _VALIDATION: _TEST}):
            found = (
                (of_kind != {_TRAIN: _TEST}, 0, first, int(second), False)
                for first, number in members
                if self.part[first] in of_kind
                for second in of_part[number][of_kind[self.part[first]]]
            )
            shown = np.array([*itertools.islice(found, SHOWN_PAIRS)], int).reshape(-1, 5)
            self._keep(list(shown.T))
        alike = [
            (self.label[rows[0]] == self.label[other], 0, rows[0], other, False)
            for of_set in of_part
            for rows in of_set
            for other in rows[1:]
        ]
        self._keep(list(np.array(alike, int).reshape(-1, 5).T), within=True)

    def _keep(self, fields: Sequence[np.ndarray], within: bool = False) -> None:
        """Keep the worst of those that are kept and of these, whose fields are the `_WIDTHS`."""
        rank = np.zeros(len(fields[0]), np.int64)
        for field, width in zip(fields, _WIDTHS, strict=True):
            rank = (rank << width) | field
        if within:
            self._within = np.sort(np.concatenate([self._within, rank]))[:SHOWN_WITHIN]
        else:
            self._worst = np.sort(np.concatenate([self._worst, rank]))[:SHOWN_PAIRS]


def _ranked(rank: np.ndarray) -> Pairs:
    """Give the pairs that are kept as ranks."""
    fields = []
    for width in _WIDTHS[::-1]:
        fields.append(rank & (1 << width) - 1)
        rank = rank >> width
    turned, b, a, bits, _ = fields
    return Pairs(a, b, bits, turned.astype(bool))


def equal_sets(digests: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Group images by the hash of their pixels.

    Parameters
    ----------
    digests : ndarray
        Shape (n, 32), uint8.

    Returns
    -------
    number : ndarray
        Shape (n,), int: equal for equal images.
    sets : list of ndarray
        Row numbers, rising, of each set of two images or more; the set with the first row first.
    """
    whole = np.ascontiguousarray(digests).view(f"V{digests.shape[1]}").ravel()
    _, number, counts = np.unique(whole, return_inverse=True, return_counts=True)
    order = np.argsort(number, kind="stable")
    groups = np.split(order, np.cumsum(counts)[:-1])
    return number, sorted((rows for rows in groups if len(rows) > 1), key=lambda rows: rows[0])


def near_pairs(hashes: np.ndarray, limit: int, workers: int | None = None) -> Iterator[Pairs]:
    """Find the pairs whose perceptual hashes are near in any orientation.

    The earlier image of a pair is taken as it is, the later one is turned: which of them is turned
    may change the distance by a bit or two, as the median has its place among the signs.

    Parameters
    ----------
    hashes : ndarray
        Shape (n, orientations, words), uint64, the orientation as it is first. No two of them
        differ in all bits.
    limit : int
        Bits that may differ.
    workers : int, optional
        Threads; by default one per core.

    Yields
    ------
    Pairs
        Every pair once, with the smallest distance that any orientation gives; `turned` where the
        orientation as it is does not reach it.
    """
    # One word of all images after another, so that a block of columns lies together.
    turned = np.ascontiguousarray(hashes.transpose(1, 2, 0))
    workers = workers or cores()
    waiting: deque[Future[Pairs]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(hashes), _ROWS):
            waiting.append(pool.submit(_near_rows, turned, start, limit))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _near_rows(turned: np.ndarray, start: int, limit: int) -> Pairs:
    """Compare a block of rows with all columns from its own on."""
    found = []
    rows = turned[0, :, start : start + _ROWS]
    for column in range(start, turned.shape[-1], _COLUMNS):
        columns = turned[:, :, column : column + _COLUMNS]
        shape = rows.shape[1], columns.shape[-1]
        differ, ones = np.empty(shape, np.uint64), np.empty(shape, np.uint8)
        # The mean's bit is always 0, so that at most 255 differ.
        bits, plain, best = (np.empty(shape, np.uint8) for _ in range(3))
        for orientation, words in enumerate(columns):
            for number, (row, word) in enumerate(zip(rows, words, strict=True)):
                np.bitwise_xor(row[:, None], word, out=differ)
                np.bitwise_count(differ, out=ones if number else bits)
                if number:
                    np.add(bits, ones, out=bits)
            if orientation:
                np.minimum(best, bits, out=best)
            else:
                plain[...] = bits
                best[...] = bits
        if best.min() > limit:
            continue
        i, j = np.nonzero(best <= limit)
        i, j = i[i + start < j + column], j[i + start < j + column]
        found.append(Pairs(i + start, j + column, best[i, j], best[i, j] < plain[i, j]))
    # Never empty: an image is near itself.
    return Pairs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
