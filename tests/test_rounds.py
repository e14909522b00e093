"""Rows that are means of several runs: never judged before all rounds are there."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from common import metrics, tables
from common.tables.comparison import compared

JUDGED = {"above", "below", "consistent", "inconclusive"}


def scored(n, wrong):
    """Metrics of n test images, the classes in turn, of which some are wrong."""
    labels = np.arange(n) % 2
    predicted = np.where(np.arange(n) < wrong, 1 - labels, labels)
    return metrics.compute(
        labels, np.eye(2)[predicted], ["benign", "malignant"], positive="malignant", replicates=200
    )


def rows_with(monkeypatch, tmp_path, package, preset, configs):
    """Rows of a preset that runs with these settings fill."""
    monkeypatch.setattr(tables.Group, "independent", True)
    paper = tables.load(package, tmp_path)
    mine = paper.table["preset"] == preset
    n_test = int(paper.table.loc[mine, "n_test"].dropna().iloc[0])
    found = [scored(n_test, n_test // 10 + 7 * i) for i in range(len(configs))]
    runs = [SimpleNamespace(config=config) for config in configs]
    paper.groups[preset] = tables.Group(runs, found)
    rows = compared(paper)
    rows = rows[(rows["preset"] == preset) & (rows["unit"] == "percent")]
    # A printed number that cannot be is never judged, whatever has run.
    return rows[rows["status"] != "impossible as printed"]


@pytest.mark.parametrize("preset", ["T1-ernet50", "T1-ernet18"])
def test_ernet_is_a_mean_over_five_folds(monkeypatch, tmp_path, preset):
    def statuses(*rounds):
        configs = [{"fold": fold, "seed": seed} for fold, seed in rounds]
        rows = rows_with(monkeypatch, tmp_path, "ernet", preset, configs)
        rows = rows[rows["table"] == "T1"]  # Table 2 is by magnification
        assert set(rows["rounds"]) == {"5"}
        return set(rows["status"])

    assert statuses((0, 0)) == {"1 of 5 rounds"}
    # Five seeds of one fold are one round.
    assert statuses((0, 0), (0, 1), (0, 2), (0, 3), (0, 4)) == {"1 of 5 rounds"}
    assert statuses((0, 0), (1, 0), (2, 0), (3, 0)) == {"4 of 5 rounds"}
    assert statuses((0, 0), (1, 0), (2, 0), (3, 0), (4, 0)) <= JUDGED
    assert statuses((0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (4, 1)) <= JUDGED


def test_wrn_edge_is_a_mean_of_three_trials(monkeypatch, tmp_path):
    for count in (1, 2, 3, 4):
        configs = [{"seed": seed} for seed in range(count)]
        rows = rows_with(monkeypatch, tmp_path, "wrn_edge", "T1-40X", configs)
        rows = rows[rows["rounds"] == "3"]
        assert "specificity" in set(rows["metrics_key"])
        expected = {f"{count} of 3 rounds"} if count < 3 else JUDGED
        assert set(rows["status"]) <= expected
        assert (rows["low"] < rows["ours"]).all()
        assert ((rows["ours"] < rows["high"]) & (rows["high"] <= 100)).all()


def test_rounds_that_have_the_number_count(monkeypatch, tmp_path):
    found = [scored(40, 4), {**scored(40, 6), "auc": None, "reasons": {"auc": "one class"}}]
    runs = [SimpleNamespace(config={"fold": fold, "seed": 0}) for fold in (0, 1)]
    group = tables.Group(runs, found)
    assert (group.rounds("accuracy"), group.rounds("auc")) == (2, 1)
    assert tables.estimate(group, "auc").reason == "one class"


@pytest.mark.parametrize(
    ("key", "lowest"), [("kappa_macro", -1), ("per_class.a.mcc", -1), ("auc", 0), ("f1_macro", 0)]
)
def test_the_interval_of_a_mean_stays_in_the_range_of_its_score(key, lowest):
    """With 0.1 and 0.9 the t interval of the mean would be -4.58 to 5.58."""
    found = []
    for value in (0.1, 0.9):
        of_class = {"per_class": {"a": {"mcc": value}}}
        found.append({"n": 50, "kappa_macro": value, "auc": value, "f1_macro": value, **of_class})
    estimate = tables.estimate(tables.Group([None, None], found), key)
    assert (estimate.low, estimate.high) == (lowest, 1)


def test_a_score_that_is_not_defined_says_why():
    labels = np.zeros(20, int)
    found = metrics.compute(labels, np.eye(2)[labels], ["a", "b"], cases=list("pq") * 10)
    estimate = tables.estimate(tables.Group([None], [found]), "per_class.b.recall")
    row = {
        "metrics_key": "per_class.b.recall", "printed": "90.0", "unit": "percent", "decimals": 1,
        "n_test": 20, "rounds": "",
    }  # fmt: skip
    assert tables.status(row, None, 0, 0, estimate) == (
        "not comparable", "no value: per_class.b.recall is not defined: no test image of b",
    )  # fmt: skip
    assert tables.reason(found, "per_class.b.recall") == "no test image of b"
    assert tables.reason(found, "by_magnification.40X.accuracy") == ""
