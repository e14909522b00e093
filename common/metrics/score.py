"""What an entry of the catalogue is, and what its functions are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from common.metrics.intervals import Draws

RestsOn = Literal["images", "classes", "class", "others", "class and others"]
"""What a score rests on: all images together; each class that has one; of a score per class, the
images of the class, those of the others, or both.

Where that is lacking there is no score; bootstrap samples that lack it are left out; and where a
single patient stands for it there is no interval.
"""


class Counts(NamedTuple):
    """Counts of a test set, or of many bootstrap samples of it at once."""

    matrix: np.ndarray
    """(..., K, K), true classes in rows."""
    tp_at_half: np.ndarray
    """(...), images whose true class has a probability above one half."""
    above_half: np.ndarray
    """(...), probabilities above one half."""


class Images(NamedTuple):
    """The images of a test set, one by one."""

    labels: np.ndarray
    """int64 (n,), true class numbers."""
    probabilities: np.ndarray
    """float64 (n, K)."""
    predicted: np.ndarray
    """int64 (n,), predicted class numbers."""
    correct: np.ndarray
    """bool (n,), which have their label predicted."""
    matrix: np.ndarray
    """int64 (K, K), their confusion matrix."""
    cases: np.ndarray | None
    """str (n,), patients; None unless all are known."""
    positive: int | None
    """Number of the positive class; None without one."""
    folders: np.ndarray | None = None
    """str (n,), slide folders of one magnification; None unless all are known."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score.

    Attributes
    ----------
    key : str
        Its path in metrics.json; ``{positive_class}`` stands for that class's name. An entry
        without a function is a number that another entry writes.
    title : str
        What it is called on a page.
    meaning : str
        What it is, in a few words. Keys of metrics.json in braces are filled in, and
        ``{of_positive}``, the positive class after a comma.
    line : str, optional
        Scores with the same one stand together, in one line of the summary. Unset, it stands in
        metrics.json and in no list; of a score per class, it is a column of the table of classes.
    short : str
        What it is called within its line, where the line has several scores.
    aside : str
        What its line says in parentheses, filled in as `meaning` is.
    percent : bool
        Whether it is shown as a percentage; else as a plain number.
    decimals : int
        How many are shown.
    applies : {"always", "two classes", "patients", "folders", "per class"}
        To what it applies: every test set; two classes of which one is positive; known patients;
        the images of one magnification, of known slide folders (elsewhere it is left out); each
        class against the rest. Where it does not apply it is null, and not shown.
    k_of_n : (str, str), optional
        Keys of the two counts that a proportion is made of; they stand before it.
    share : (str, str), optional
        Of a score per class that is a share of images: the count above the line, and the other
        one below it.
    facts : tuple of str
        Keys that say what the value is of; they stand after it.
    interval : str, optional
        Path of its interval in `intervals`, where that is another one than `key`.
    mean_line : str, optional
        Of a score per class: the `line` of its mean over the classes.
    mean_of : str, optional
        Key of the score per class whose mean over the classes it is.
    rests_on : RestsOn
        What it cannot do without.
    lowest, highest : float
        Ends of its range; no interval leaves it.
    most : float
        What it can be at most although its range has no end; its interval ends there.
    from_matrix : callable, optional
        Confusion matrices (..., K, K) to values (...), or (..., K) for a score per class.
    from_counts : callable, optional
        `Counts` to values (...).
    from_images : callable, optional
        `Images` to a float, or None where it is not defined.
    from_draws : callable, optional
        `Images` and bootstrap samples of them to values (replicates,), for the interval of a score
        that has ``from_images``.
    """

    key: str
    title: str
    meaning: str
    line: str | None = None
    short: str = ""
    aside: str = ""
    percent: bool = True
    decimals: int = 2
    applies: Literal["always", "two classes", "patients", "folders", "per class"] = "always"
    k_of_n: tuple[str, str] | None = None
    share: tuple[str, str] | None = None
    facts: tuple[str, ...] = ()
    interval: str | None = None
    mean_line: str | None = None
    mean_of: str | None = None
    rests_on: RestsOn = "classes"
    lowest: float = 0.0
    highest: float = 1.0
    most: float = np.inf
    from_matrix: Callable[[np.ndarray], np.ndarray] | None = None
    from_counts: Callable[[Counts], np.ndarray] | None = None
    from_images: Callable[[Images], float | None] | None = None
    from_draws: Callable[[Images, Draws], np.ndarray] | None = None

    def text(self, value: float | None) -> str:
        """Write a value as it is shown.

        Parameters
        ----------
        value : float or None
            A fraction where `percent` is set.

        Returns
        -------
        str
            With its sign of percent; a dash where it is undefined.
        """
        if value is None:
            return "–"
        return (
            f"{100 * value:.{self.decimals}f} %" if self.percent else f"{value:.{self.decimals}f}"
        )
