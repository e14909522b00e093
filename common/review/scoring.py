"""Which columns of a stranger's file are probabilities, and of which class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.predictions import SUM_TOLERANCE
from common.review.names import CONFIDENCE, POSITIVE, POSITIVE_SCORE, class_of_column, plain
from common.review.predicted import by_number, floats, has_numbers, in_percent

if TYPE_CHECKING:
    import pandas as pd

HALF = 0.5 - SUM_TOLERANCE
"""The predicted one of two classes has at least one half."""


@dataclass
class Scores:
    """Probabilities as far as a file has them.

    Attributes
    ----------
    classes : list of str
    values : float array (n, K), or None
        As they stand there; where a file tells one class of two, the other is what is left to 1.
    columns : dict of str to str
        Class, or what it is -> its column.
    unclear : str
        A column of probabilities of one class, of which nothing says which; "" if there is none.
    percent : bool
        Whether a single column was in percent; `values` are shares then.
    """

    classes: list[str]
    values: np.ndarray | None
    columns: dict[str, str]
    unclear: str = ""
    percent: bool = False


def scores_of(
    table: pd.DataFrame,
    taken: Sequence[str],
    labels: Sequence[str],
    said: Sequence[str] | None,
    share: str | None,
    asked: str | None,
) -> Scores:
    """Find the probabilities of a file.

    Parameters
    ----------
    table : DataFrame
        Of text.
    taken : sequence of str
        Columns that are something else.
    labels : sequence of str
        True classes.
    said : sequence of str, optional
        Predicted classes.
    share : str, optional
        A column that is named like predictions and holds shares.
    asked : str, optional
        The positive class, where the user says it.

    Returns
    -------
    Scores
    """
    known = sorted({*labels, *(said or ())} - {""}, key=by_number)
    free = [c for c in table if c not in taken and c != share and has_numbers(table[c])]
    single = share or next((c for c in free if plain(c) in POSITIVE_SCORE), None)
    sure = next((c for c in free if plain(c) in CONFIDENCE), None)
    rest = [c for c in free if plain(c) not in (*POSITIVE_SCORE, *CONFIDENCE)]
    named: dict[str, str] = {}
    for column in rest:
        if name := class_of_column(column, known):
            named.setdefault(name, column)
    if len(named) < 2 and len(rest) > 1 and _add_up(table, rest):
        named = {name: name for name in rest}
    if len(named) > 1:
        values = np.column_stack([floats(table[column]) for column in named.values()])
        told = {f"probability of {name}": column for name, column in named.items()}
        return Scores(list(named), values, told)
    if known in (["0"], ["1"]):
        known = ["0", "1"]
    if single is None and not named:
        single = next((c for c in rest if plain(c) in POSITIVE), None)
    if named:
        (single,) = named.values()
    if single is None:
        single = sure
    if single is None or len(known) > 2:
        return Scores(known, None, {})
    values = floats(table[single])
    percent = in_percent(table[single])
    values = values / 100 if percent else values
    own: str | None = next(iter(named), None)
    of_class = own or asked or _by_predictions(values, said, known)
    likely = [name for name in known if plain(name) in POSITIVE]
    if of_class is None and single != sure and len(likely) == 1:
        of_class = likely[0]
    if of_class is None and said is not None and len(known) == 2 and (values >= HALF).all():
        first = np.array(said) == known[0]
        both = np.column_stack([np.where(first, values, 1 - values)] * 2)
        both[:, 1] = 1 - both[:, 0]
        told = {"probability of the predicted class": single}
        return Scores(known, both, told, percent=percent)
    if of_class is None:
        return Scores(known, None, {}, unclear=single)
    if of_class not in known and len(known) == 2:
        # A column called malignant, of labels 0 and 1.
        of_class = likely[0] if len(likely) == 1 and plain(of_class) in POSITIVE else of_class
    known = known if of_class in known else [*known, of_class]
    if len(known) != 2:
        return Scores(known[:-1], None, {}, unclear=single)
    other = next(name for name in known if name != of_class)
    by_class = {of_class: values, other: 1 - values}
    return Scores(
        known, np.column_stack([by_class[name] for name in known]),
        {f"probability of {of_class}": single}, percent=percent,
    )  # fmt: skip


def _add_up(table: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether columns are shares of each row, or percentages."""
    values = np.column_stack([floats(table[column]) for column in columns])
    sums = values.sum(axis=1)
    near = np.minimum(np.abs(sums - 1), np.abs(sums / 100 - 1)) < 10 * SUM_TOLERANCE
    return bool((values >= 0).all() and near.mean() > 0.9)


def _by_predictions(
    values: np.ndarray, said: Sequence[str] | None, known: Sequence[str]
) -> str | None:
    """The class that is predicted where the probability is large."""
    for name in known if said is not None else ():
        chosen = np.array(said) == name
        if chosen.any() and not chosen.all() and values[chosen].min() > values[~chosen].max():
            return name
    return None
