"""A matrix that gives macro scores: found where there is one, checked by other arithmetic."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common import forensics
from common.forensics.witness import witness


def _table(values, **more):
    rows = [(key, text) for key, text in values.items()]
    known = {"unit": "percent", "n_test": 2373, "classes": "8"} | more
    return pd.DataFrame(rows, columns=["metrics_key", "printed"]).assign(**known)


def _matrix(counts):
    """A confusion matrix with the counts (TP, FN, FP) of each class, off the diagonal by a flow."""
    counts = np.array(counts)
    matrix = np.diag(counts[:, 0])
    missed, taken = counts[:, 1].copy(), counts[:, 2].copy()
    while missed.sum():
        # The class that has most of both left can go to no place of its own: it goes first.
        i = int(np.argmax(missed + taken - (missed == 0) * 10**6))
        j = int(np.argmax(np.where(np.arange(len(counts)) == i, -1, taken)))
        if taken[i] and missed[i] + taken[i] < missed.sum():
            j = int(np.argmax(np.where(np.arange(len(counts)) == i, -1, taken + missed)
                              - (taken == 0) * 10**6))  # fmt: skip
        matrix[i, j] += 1
        missed[i] -= 1
        taken[j] -= 1
    return matrix


def _rounded(matrix):
    right = np.diag(matrix)
    recall, precision = right / matrix.sum(axis=1), right / matrix.sum(axis=0)
    f1 = 2 * precision * recall / (precision + recall)
    values = (right.sum() / matrix.sum(), recall.mean(), precision.mean(), f1.mean())
    return [f"{100 * value:.2f}" for value in values]


KEYS = ("accuracy", "recall_macro", "precision_macro", "f1_macro")


@pytest.mark.parametrize("seed", range(4))
def test_a_matrix_is_found_where_there_is_one(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(80, 500, 8)
    drawn = np.array([rng.multinomial(n, [0.9 if i == j else 0.1 / 7 for j in range(8)])
                      for i, n in enumerate(sizes)])  # fmt: skip
    printed = dict(zip(KEYS, _rounded(drawn), strict=True))
    for classes in ("8", "; ".join(f"c{i}={n}" for i, n in enumerate(sizes))):
        verdicts = forensics.judged(_table(printed, n_test=int(sizes.sum()), classes=classes))
        assert set(verdicts["verdict"]) == {"possible"}, classes
        found = verdicts["counts"][1]
        counts = [tuple(map(int, part.strip("()").split(", "))) for part in found.split(") (")]
        matrix = _matrix(counts)
        assert _rounded(matrix) == list(printed.values())
        if "=" in classes:
            assert matrix.sum(axis=1).tolist() == sizes.tolist()


def test_no_matrix_is_shown_of_what_cannot_be():
    """A macro recall of 99 % leaves at least 92 of 100 images right."""
    wrong = {"accuracy": "20.02", "recall_macro": "99.00"}
    verdicts = forensics.judged(_table(wrong))
    assert set(verdicts["verdict"]) == {"impossible together"}
    one = forensics.printed("50.00")
    assert witness(100, [50], {"recall_macro": forensics.printed("99.99")}, 3, [40, 30, 30]) is None
    assert witness(5, [2], {"recall_macro": one}, 3) is None  # too few to speak of
    assert witness(100, [], {"recall_macro": one}, 3) is None


def test_breakhis_macro_scores_are_possible():
    table = forensics.of_paper("breakhis")
    verdicts = forensics.judged(table)
    of = verdicts[verdicts["arithmetic"] == "a matrix of all classes"]
    assert len(of) >= 12 and set(of["verdict"]) == {"possible"}
