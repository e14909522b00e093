"""Other data through a run's input path, an image or several fields of it at a time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from common import acquaintance, backend, classification, runs, terminal
from common.errors import InputError
from common.external.others import Others
from common.external.scale import Match
from common.images import fingerprints
from common.images.reading import read_with_bytes

if TYPE_CHECKING:
    import keras

_AT_ONCE = 256
"""Fields in memory that a network is given together."""

_BATCH = 16


@dataclass
class Seen:
    """What is noted of images while they are read, each by its name.

    Attributes
    ----------
    digests : dict
        SHA-256 of the files, hex.
    marks : dict
        Fingerprints.
    odd : dict
        What is odd, in words.
    fields, shares : dict
        How many fields were cut, and the share of a field that an image fills.
    """

    digests: dict[str, str] = field(default_factory=dict)
    marks: dict[str, np.void] = field(default_factory=dict)
    odd: dict[str, list[str]] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """Decodes other data as a run's training images were.

    Attributes
    ----------
    run : Run
    others : Others
    match : Match or None
        Brings images to the training's scale.
    stain : callable, optional
        Instead of what the run does in stain normalisation.
    """

    run: runs.Run
    others: Others
    match: Match | None = None
    stain: Callable[[np.ndarray], np.ndarray] | None = None

    def each(self, names: Sequence[str], seen: Seen | None = None) -> Iterator[np.ndarray]:
        """Read images.

        Parameters
        ----------
        names : sequence of str
            Images of the table.
        seen : Seen, optional
            Takes notes.

        Yields
        ------
        ndarray
            Of each image in turn its fields, uint8 (k, S, S, 3), RGB; k is 1 without a match.

        Raises
        ------
        InputError
            When all are read, naming every file that cannot be used.
        """
        stain = self.stain or classification.stain_of(self.run)
        prepare = classification.preparation(self.run, stain)
        oddities = acquaintance.oddities(self.run, scale=self.match is None)

        def read(name: str) -> np.ndarray | str:
            path = self.others.root / name
            try:
                image, data = read_with_bytes(path)
                fields = [image] if self.match is None else self.match.fields(name, image)
                found = np.stack([prepare(each) for each in fields])
            except (InputError, OSError) as error:
                return str(error)
            if seen is not None:
                seen.digests[name] = hashlib.sha256(data).hexdigest()
                seen.marks[name] = fingerprints.fingerprint(image)
                seen.odd[name] = oddities(path, fields[len(fields) // 2])
                seen.fields[name] = len(fields)
                seen.shares[name] = 1.0 if self.match is None else self.match.share(name, image)
            return found

        bad = []
        waiting: deque[Future[np.ndarray | str]] = deque()
        ahead = 2 * backend.cores()
        pool = ThreadPoolExecutor(backend.cores())
        try:
            for place in range(len(names) + ahead):
                if place < len(names):
                    waiting.append(pool.submit(read, names[place]))
                if place < ahead:
                    continue
                found = waiting.popleft().result()
                if isinstance(found, str):
                    bad.append(found)
                elif not bad:
                    yield found
        finally:
            pool.shutdown(cancel_futures=True)
        if bad:
            raise classification.cannot_use(bad, len(names))

    def probabilities(
        self, model: keras.Model, names: Sequence[str], seen: Seen | None = None
    ) -> np.ndarray:
        """Class probabilities of images, of several fields their mean.

        Parameters
        ----------
        model : keras.Model
        names : sequence of str
            Images of the table.
        seen : Seen, optional
            Takes notes.

        Returns
        -------
        ndarray
            Shape (n, K), float64.
        """
        parts: list[np.ndarray] = []
        fields: list[np.ndarray] = []

        def answer() -> None:
            given = model.predict(np.concatenate(fields), batch_size=_BATCH, verbose=0)
            starts = np.cumsum([0, *map(len, fields[:-1])])
            sums = np.add.reduceat(np.asarray(given, np.float64), starts, axis=0)
            parts.append(sums / np.array([[len(each)] for each in fields]))
            fields.clear()

        with terminal.progress("predicting", len(names), "images") as bar:
            for found in bar.over(self.each(names, seen)):
                fields.append(found)
                if sum(map(len, fields)) >= _AT_ONCE:
                    answer()
        if fields:
            answer()
        return np.concatenate(parts)
