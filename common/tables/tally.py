"""How many printed numbers have a verdict, and why the others have none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.tables.words import JUDGEMENTS, NOT_COMPARABLE, OTHER_IMAGES, VERDICTS, judgement_of
from common.tables.words import REASONS as WHY

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tally:
    """Printed numbers of a paper, counted by what is said of them.

    Attributes
    ----------
    numbers : int
        All of them.
    judgements : dict of str to int
        In the order of `words.JUDGEMENTS`, without those of no number; what is not comparable
        with its reason, ``not comparable: unit``.
    other_images : dict of str to int
        Second judgements, of numbers that are not comparable.
    differences, intervals : int
        How many show a difference, and how many of those its interval.
    """

    numbers: int
    judgements: dict[str, int]
    other_images: dict[str, int]
    differences: int
    intervals: int

    @property
    def verdicts(self) -> int:
        """Numbers that have a verdict."""
        return sum(self.judgements.get(name, 0) for name in VERDICTS)


def tally(table: pd.DataFrame) -> Tally:
    """Count the judgements of a paper's numbers.

    Parameters
    ----------
    table : DataFrame
        From `compared`.

    Returns
    -------
    Tally
    """
    named = zip(map(judgement_of, table["status"]), table["because"], strict=True)
    found = Counter(f"{word}: {because}" if because else word for word, because in named)
    order = [
        name
        for word in JUDGEMENTS
        for name in (
            [f"{word}: {because}" for because in WHY] if word == NOT_COMPARABLE else [word]
        )
    ]
    second = Counter(table["other_images"])
    return Tally(
        len(table),
        {name: found[name] for name in order if found[name]},
        {name: second[name] for name in OTHER_IMAGES if second[name]},
        int(table["difference"].notna().sum()),
        int(table["difference_low"].notna().sum()),
    )


def in_words(counted: Tally) -> list[str]:
    """Sum up a tally in sentences.

    Parameters
    ----------
    counted : Tally

    Returns
    -------
    list of str
        One or two: the second only where numbers are judged on other images.
    """
    out = [
        f"{counted.verdicts} of {counted.numbers} printed numbers have a verdict; "
        f"{counted.differences} show a difference, {counted.intervals} of them with its interval."
    ]
    if counted.other_images:
        parts = ", ".join(f"{count} {name}" for name, count in counted.other_images.items())
        out.append(f"Same task on other images, which reproduces nothing: {parts}.")
    return out
