"""What one arithmetic found about some printed numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.forensics.reading import Number

RULES: dict[str, str] = {
    "range": "a share lies between 0 and 1, a count is whole and at most n",
    "k of n": "a share of n images is k/n with a whole k",
    "mean of k of n": "a mean of such shares is their sum over the rounds",
    "size": "numbers of one test set have one n",
    "one matrix": "all scores of two classes follow from four counts",
    "one class": "the scores of a class follow from its four counts against the rest",
    "counts beside it": "a score follows from the four counts printed beside it",
    "sum of counts": "counts of all images add up to n, and those of two classes mirror each other",
    "above one half": "pooled precision and recall above a threshold share their numerator, and "
    "what is above one half is the predicted class",
    "F1 of two means": "a mean F1 is at most the harmonic mean of mean precision and mean recall",
    "accuracy between": "accuracy is a weighted mean of specificity and recall",
    "share of positives": "accuracy, specificity, recall and precision leave one share of "
    "positive images",
    "precision and specificity": "false positives that lower the specificity lower the precision",
    "pooled": "pooled over all classes, precision, recall and F1 are the accuracy",
    "macro and accuracy": "what the classes lack in the mean, the images lack in sum",
    "a matrix of all classes": "accuracy and macro scores follow from one matrix of all classes",
    "mean over classes": "a macro score is the mean of the classes' scores",
    "mean and sd": "whole counts have few standard deviations (GRIMMER)",
    "printed twice": "one quantity has one value",
    "elsewhere": "what is printed elsewhere of the same system gives another value",
    "merged classes": "merging classes makes no right prediction wrong",
    "parts": "a score of all images is the weighted mean of its parts",
    "same matrix": "two systems with one matrix made the same predictions, or were copied",
    "sum": "a number that is said to follow from others does",
}
"""Every arithmetic, and what it rests on."""

VERDICTS = (
    *("impossible", "impossible together", "differs", "possible", "not contradicted"),
    *("not decided", "not checked"),
)
"""What is said of a number, the first that applies."""


BY_COUNTS = (
    *("k of n", "mean of k of n", "size", "one matrix", "one class", "above one half"),
    *("counts beside it", "sum of counts", "mean and sd", "sum"),
    "a matrix of all classes",
)
"""Rules that give counts where they find a number possible; others find no bound broken."""


@dataclass(frozen=True)
class Finding:
    """One arithmetic on some numbers.

    Attributes
    ----------
    rule : str
        Of `RULES`.
    lines : tuple of int
        The numbers' positions in the table.
    possible : bool or None
        None where the search was bounded, or more would have to be known.
    shown : str
        The arithmetic, written out.
    number : int or None
        How many counts or matrices fit, where they were counted.
    counts : str
        Those that fit, or the first of them.
    repairs : dict of int to str
        For a position: what the number would have to be, if it alone is wrong.
    differs : bool
        Whether it is no contradiction, but two printed things do not agree.
    remark : bool
        Whether it is worth telling though nothing is wrong by it.
    together : bool or None
        Whether another number may be the wrong one. Default: where there is another.
    """

    rule: str
    lines: tuple[int, ...]
    possible: bool | None
    shown: str
    number: int | None = None
    counts: str = ""
    repairs: Mapping[int, str] = field(default_factory=dict)
    differs: bool = False
    remark: bool = False
    together: bool | None = None

    @property
    def verdict(self) -> str:
        """One of `VERDICTS` for its numbers."""
        if self.differs:
            return "differs"
        if self.possible is None:
            return "not decided"
        if self.possible:
            return "possible" if self.rule in BY_COUNTS else "not contradicted"
        joint = len(self.lines) > 1 if self.together is None else self.together
        return "impossible together" if joint else "impossible"


def lines(numbers: Iterable[Number]) -> tuple[int, ...]:
    """Positions of numbers, each once, in order.

    Parameters
    ----------
    numbers : iterable of Number
    """
    return tuple(sorted({number.line for number in numbers}))


def in_words(number: int) -> str:
    """Write a small number as a word, a larger one in digits.

    Parameters
    ----------
    number : int
    """
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number] if number < len(words) else str(number)


def listing(names: Iterable[str], shown: int = 4) -> str:
    """Join words with commas; of many, the first ones and how many more there are.

    Parameters
    ----------
    names : iterable of str
    shown : int
    """
    names = list(names)
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
