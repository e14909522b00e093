"""Find images that are listed of two patients, who may be one.

A copy under another patient's name defeats a split by patient, and a count of patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.splits.pairs import SHOWN_WITHIN, Pairs

if TYPE_CHECKING:
    import pandas as pd

SAID = 3
"""Pairs that a sentence names."""


class TwoPatients:
    """Count pairs of equal or nearly equal images of two known patients.

    Parameters
    ----------
    images : DataFrame
        `image`, `part` and, where known, `case`.
    """

    def __init__(self, images: pd.DataFrame):
        self.image, self.part = images["image"].to_numpy(), images["part"].to_numpy()
        self.case = images["case"].to_numpy(str) if "case" in images else np.full(len(images), "")
        self.pairs = 0
        self._number = np.unique(self.case, return_inverse=True)[1]
        self._first: dict[tuple[int, int], tuple[int, int]] = {}

    def add(self, pairs: Pairs) -> None:
        """Count pairs that have not been counted.

        Parameters
        ----------
        pairs : Pairs
        """
        two = self._number[pairs.a] != self._number[pairs.b]
        two &= (self.case[pairs.a] != "") & (self.case[pairs.b] != "")
        self.pairs += int(two.sum())
        a, b = pairs.a[two], pairs.b[two]
        order = np.argsort(self._rank(a, b), kind="stable")
        numbers = np.sort(np.stack([self._number[a], self._number[b]], axis=1))[order]
        # Of thousands of blank tiles all are near one another: one pair of each two patients.
        for row in order[np.unique(numbers, axis=0, return_index=True)[1]]:
            self._keep(int(a[row]), int(b[row]))

    def add_sets(self, sets: Sequence[np.ndarray]) -> None:
        """Count the pairs within sets of equal images, without listing them.

        Parameters
        ----------
        sets : sequence of ndarray
            Row numbers of each set, rising.
        """
        for rows in sets:
            known = rows[self.case[rows] != ""]
            _, first, counts = np.unique(self.case[known], return_index=True, return_counts=True)
            self.pairs += (len(known) ** 2 - int((counts**2).sum())) // 2
            ones = sorted(known[first].tolist())
            for other in ones[1:]:
                self._keep(ones[0], other)

    def _keep(self, a: int, b: int) -> None:
        """Keep one pair of each two patients: the first, of training and test before others."""
        low, high = sorted((int(self._number[a]), int(self._number[b])))
        kept = self._first.setdefault((low, high), (a, b))
        if self._rank(a, b) < self._rank(*kept):
            self._first[low, high] = a, b

    def _rank(self, a: Any, b: Any) -> Any:
        """0 of what leaks into the test part, else 1; of rows, or of arrays of them."""
        one, other = self.part[a], self.part[b]
        leaks = ((one == "train") & (other == "test")) | ((one == "test") & (other == "train"))
        return 1 - np.asarray(leaks, int)

    def found(self) -> dict[str, Any]:
        """Give what was counted, ready for JSON.

        Returns
        -------
        dict
            `pairs` of images, `patients` pairs of them, `first` one of each, those of training and
            test images before others: {`a`, `a_part`, `a_case`, `b`, `b_part`, `b_case`}.
        """
        first = sorted(self._first.values(), key=lambda pair: (self._rank(*pair), pair))
        columns = (("", self.image), ("_part", self.part), ("_case", self.case))
        return {
            "pairs": self.pairs,
            "patients": len(first),
            "first": [
                {
                    f"{name}{field}": str(values[row])
                    for name, row in (("a", a), ("b", b))
                    for field, values in columns
                }
                for a, b in first[:SHOWN_WITHIN]
            ],
        }


def sentences(found: Mapping[str, Any] | None, where: Mapping[str, str] | None = None) -> list[str]:
    """Ask whether patients who share an image are one, a sentence for each two.

    Parameters
    ----------
    found : mapping, optional
        What `TwoPatients.found` gives; None where images were not compared.
    where : mapping, optional
        Image to where it is listed, for example "a.csv, line 3".

    Returns
    -------
    list of str
        Of the first few; the last says how many more there are.
    """
    if not found:
        return []
    told = []
    for pair in found["first"][:SAID]:
        one, other = (
            f"{f'{where[pair[name]]}: ' if where else ''}{pair[name]} "
            f"({_part(pair[f'{name}_part'])}patient {pair[f'{name}_case']})"
            for name in ("a", "b")
        )
        told.append(
            f"{one} and {other} are the same image, or nearly so: are {pair['a_case']} and "
            f"{pair['b_case']} one patient?"
        )
    rest = found["patients"] - len(told)
    if rest > 0:
        told.append(f"{rest} more pair{'s' * (rest > 1)} of patients have such an image")
    return told


def _part(part: str) -> str:
    return f"{part}, " if part else ""
