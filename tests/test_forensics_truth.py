"""Tables of which the truth is known: no false alarm, and what other programs say of them."""

from __future__ import annotations

import logging
import random

import pandas as pd
import pytest

from benchmarks import forensics as benchmark
from common import forensics
from common.forensics import scores


@pytest.mark.parametrize("kind", benchmark.KINDS)
def test_true_tables_are_possible_and_wrong_digits_are_noticed(kind):
    """A share of what `python -m benchmarks.forensics` draws."""
    noticed = 0
    for seed in range(20):
        rows, alarms, found = benchmark.trial(kind, 1_000_000 + seed)
        assert alarms == [], rows
        noticed += found
    assert noticed >= 4


def test_a_weighted_mean_was_a_false_alarm_once():
    assert benchmark.trial("binary", 426)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", benchmark.KINDS)
def test_more_true_tables_are_possible(kind):
    for seed in range(300):
        rows, alarms, _ = benchmark.trial(kind, 2_000_000 + seed)
        assert alarms == [], rows


NAMES = {
    "acc": ("accuracy", "accuracy"),
    "sens": ("per_class.a.recall", "recall"),
    "spec": ("per_class.a.tnr", "tnr"),
    "ppv": ("per_class.a.precision", "precision"),
    "npv": ("per_class.a.npv", "npv"),
    "f1": ("per_class.a.f1", "f1"),
    "kappa": ("kappa", "kappa"),
    "bacc": ("balanced_accuracy", "recall_macro"),
}
"""What mlscorecheck calls a score: our key, and our name of it."""


@pytest.mark.slow
def test_mlscorecheck_says_the_same_of_one_binary_matrix(monkeypatch):
    """Its sound part: one test set whose two classes' sizes are known."""
    reason = "mlscorecheck is not installed: pip install -e .[test]"
    check = pytest.importorskip("mlscorecheck.check.binary", reason=reason)
    monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)
    rng = random.Random(0)
    theirs, ours = [], []
    for _ in range(400):
        p, n = rng.randint(5, 400), rng.randint(5, 400)
        tp, tn = rng.randint(0, p), rng.randint(0, n)
        matrix = forensics.Matrix(tp, p - tp, n - tn, tn)
        texts = {}
        for name in rng.sample(list(NAMES), rng.randint(2, 4)):
            value = float(scores.values(matrix, NAMES[name][1])[0])
            if rng.random() < 0.2:
                value = min(1, abs(value + rng.choice([-1, 1]) * rng.randint(1, 300) / 1e4))
            texts[name] = f"{value:.4f}"
        # Where a kappa is 0 it lets every other score pass, though precision is then prevalence.
        if texts.get("kappa") in ("0.0000", "-0.0000"):
            continue
        rows = [(NAMES[name][0], text, "fraction") for name, text in texts.items()]
        table = pd.DataFrame(rows, columns=["metrics_key", "printed", "unit"])
        found = forensics.judged(table.assign(n_test=p + n, classes=f"b={n}; a={p}"))
        ours.append(bool(found["verdict"].str.startswith("impossible").any()))
        said = check.check_1_testset_no_kfold(
            testset={"p": p, "n": n}, scores={k: float(v) for k, v in texts.items()}, eps=5e-5
        )
        theirs.append(bool(said["inconsistency"]))
    assert 50 < sum(theirs) < 350
    assert ours == theirs
