"""Intervals over patients: by hand, at the ends of a range, and how often they hold the truth."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import interval_coverage
from common import metrics
from common.metrics import pairs, simulation
from common.metrics.bootstrap import percentile_interval, resample
from common.metrics.jackknife import NOISE, jackknife_interval, without_each


def test_samples_lack_one_patient_each():
    draws = without_each(np.array(["q", "p", "q", "r"]))
    assert draws.times.tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert draws.unit.tolist() == [1, 0, 1, 2]
    assert draws.sums(np.array([1, 10, 2, 100])).tolist() == [103, 110, 13]
    with pytest.raises(ValueError, match="no image"):
        without_each(np.array([]))


def test_without_ends_it_is_students():
    """Of a mean: the standard error is that of the mean; four equal moves count as four units."""
    values = np.array([1.0, 3.0, 1.0, 3.0])
    without = (values.sum() - values) / 3
    low, high = jackknife_interval(2.0, without)
    half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) / 2
    assert (low, high) == (pytest.approx(2 - half), pytest.approx(2 + half))


def test_one_patient_with_all_the_errors_is_one_unit():
    values = np.array([1.0] * 9 + [0.5])
    without = (values.sum() - values) / 9
    value = values.mean()
    moves = without - value
    freedom = 2 * (moves**2).sum() ** 2 / (moves**4).sum()
    assert 2 < freedom < 2.6
    error = np.sqrt(0.9 * (moves**2).sum())
    step = stats.t.ppf(0.975, freedom) * error / (value * (1 - value))
    expected = 1 / (1 + np.exp(-(np.log(value / (1 - value)) + np.array([-step, step]))))
    assert jackknife_interval(value, without, 0, 1) == pytest.approx(tuple(expected))


def test_the_ends_of_a_range_are_kept():
    without = np.array([0.2, 0.9, 0.5])
    for lowest, highest in ((0, 1), (-1, 1), (0, 2), (0, np.inf)):
        low, high = jackknife_interval(0.6, without, lowest, highest)
        assert lowest < low < 0.6 < high < highest
    # The logit of a score is the logit of the rest, turned round.
    low, high = jackknife_interval(0.6, without, 0, 1)
    assert jackknife_interval(0.4, 1 - without, 0, 1) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("value", "without"),
    [(0.5, [0.5, 0.5]), (1.0, [1.0, 1.0, 0.9]), (0.0, [0.0, 0.1]), (0.5, [0.4])],
)
def test_where_nothing_moves_or_the_end_is_reached_there_is_none(value, without):
    assert np.isnan(jackknife_interval(value, np.array(without), 0, 1)).all()


def test_moves_as_small_as_rounding_are_none():
    assert np.isnan(jackknife_interval(0.0, np.array([NOISE, -NOISE]))).all()
    assert np.isfinite(jackknife_interval(0.0, np.array([3 * NOISE, -NOISE]))).all()


def test_a_score_without_an_upper_end_may_be_anything_above():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert jackknife_interval(1e-5, np.array([1.0, 0.0]), 0) == (0, np.inf)
        assert np.isnan(jackknife_interval(1.0, np.array([1.0, 1.1]), 1)).all()
    without = np.array([0.2, 0.9, 0.5])
    low, high = jackknife_interval(0.6, without, 0)
    assert jackknife_interval(1.6, 1 + without, 1) == pytest.approx((1 + low, 1 + high))
    # of three units that move it evenly no more than two degrees of freedom count
    half = stats.t.ppf(0.975, 2) * np.sqrt(2 / 3 * ((without - 0.6) ** 2).sum())
    assert low == pytest.approx(0.6 * np.exp(-half / 0.6))


@pytest.mark.parametrize(
    ("value", "without"),
    [([0.5], [0.5]), (0.5, [[0.5]]), (0.5, []), (0.5, 0.5), ("a", [1.0]), ([0.5], [[]])],
)
def test_what_does_not_fit_is_refused(value, without):
    with pytest.raises(ValueError, match=r"without must be|numbers are wanted"):
        jackknife_interval(value, without)


def test_many_scores_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    values, without = rng.random(5), rng.random((5, 7))
    low, high = jackknife_interval(values, without, 0, 1)
    for i in range(5):
        assert jackknife_interval(values[i], without[i], 0, 1) == pytest.approx((low[i], high[i]))


def test_the_interval_of_what_is_gained(monkeypatch):
    gain = np.array([1, 0, -1, 1, 0, 1, 0, 0])
    cases = np.array(list("aabbccdd"))
    means = np.array([gain[cases != case].mean() for case in "abcd"])
    expected = jackknife_interval(gain.mean(), means, -1, 1)
    assert pairs.difference_interval(gain, cases) == pytest.approx(expected)
    assert pairs.difference_interval(gain, np.array(["a"] * 8)) is None
    assert pairs.difference_interval(np.zeros(8), cases) is None
    each = np.stack([gain, np.ones(8)], axis=1).astype(float)
    monkeypatch.setattr(pairs, "MOST_UNITS", 3)  # of more patients a bootstrap is drawn
    for of in (None, cases):
        sums = resample(each, of, replicates=200, seed=0)
        drawn = percentile_interval(sums[:, 0] / sums[:, 1])
        assert pairs.difference_interval(gain, of, replicates=200) == drawn
    monkeypatch.setattr(pairs, "MOST_UNITS", 4)
    assert pairs.difference_interval(gain, cases) == pytest.approx(expected)


# --- simulated studies ---------------------------------------------------------------------------


def test_simulated_studies_are_what_they_say():
    studies = simulation.studies(40, 0.9, 0.3, 4000, seed=1)
    share = studies.right / studies.images
    assert share.mean() == pytest.approx(0.9, abs=0.005)
    # variance of a patient's share: p (1 - p) (rho + (1 - rho) E[1 / n])
    expected = 0.09 * (0.3 + 0.7 * (1 / studies.images).mean())
    assert share.var() == pytest.approx(expected, rel=0.03)
    assert studies.malignant.sum() == 31  # of the 70 cases of BreakHis, 54 are malignant
    sizes = simulation.images_per_case()
    assert sum(map(len, sizes)) == 70 and sum(map(sum, sizes)) == 2081


def test_a_simulated_interval_is_that_of_metrics():
    """The simulation's counts, given to `compute` as images of patients."""
    studies = simulation.studies(15, 0.85, 0.3, 3, seed=2)
    for i in range(3):
        labels, predicted, cases = [], [], []
        for patient, malignant in enumerate(studies.malignant.astype(int)):
            n, k = studies.images[i, patient], studies.right[i, patient]
            labels += [malignant] * n
            predicted += [malignant] * k + [1 - malignant] * (n - k)
            cases += [f"p{patient:02d}"] * n
        found = metrics.compute(
            np.array(labels), np.eye(2)[predicted], ["b", "m"], cases=cases, positive="m"
        )["intervals"]
        for name, path in (
            ("accuracy", "accuracy"), ("balanced accuracy", "balanced_accuracy"),
            ("recall, benign", "per_class.b.recall"), ("F1, malignant", "per_class.m.f1"),
        ):  # fmt: skip
            low, high = simulation.jackknife(studies, name)
            assert found[path] == pytest.approx([low[i], high[i]], rel=1e-9), name
            low, high = simulation.percentile(studies, name, replicates=300)
            assert 0 <= low[i] < high[i] <= 1


@pytest.mark.parametrize("patients", [12, 24])
def test_intervals_hold_the_truth_as_often_as_they_say(patients):
    for accuracy in (0.6, 0.8, 0.9, 0.95):
        studies = simulation.studies(patients, accuracy, 0.3, 1500, seed=3)
        for name in simulation.SCORES:
            found = simulation.coverage(studies, name, *simulation.jackknife(studies, name))
            assert 0.92 <= found.share <= 0.995, (accuracy, name)
        low, high = simulation.percentile(studies, "accuracy", replicates=500)
        assert simulation.coverage(studies, "accuracy", low, high).share < 0.935


def test_the_page_is_what_its_command_prints_and_names_every_cell_outside():
    page = (Path(__file__).parents[1] / "docs" / "intervals.md").read_text("utf-8")
    assert f"{interval_coverage.STUDIES} studies a cell" in page
    cells = {title: [] for title in interval_coverage.TITLES}
    for accuracy, texts in re.findall(r"^\| \d+ \| (0\.\d+) \| (.*→.*) \|$", page, re.M):
        for title, text in zip(cells, texts.split(" | "), strict=True):
            cells[title].append((float(accuracy), float(re.search(r"→ (\d+)", text)[1])))
    assert "\n".join(interval_coverage.outside(cells)) in page


def study(*patients):
    """Metrics of patients whose images are (label, predicted), of classes a and b."""
    labels, called = (np.array([image[at] for each in patients for image in each]) for at in (0, 1))
    cases = np.repeat([f"P{number}" for number in range(len(patients))], [*map(len, patients)])
    table = np.where(np.eye(2)[called] == 1, 0.9, 0.1)
    return metrics.compute(labels, table, ["a", "b"], positive="b", cases=cases)


def test_what_rests_on_one_patient_has_no_interval_but_a_reason():
    right = [(0, 0)] * 5
    # b is of one patient, and another's image is called so: numbers there are, also without it
    found = study([(1, 1)] * 4 + [(1, 0)] * 2, [(0, 1), *right], right, right)
    for score in ("precision", "recall", "f1"):
        assert found["intervals"][f"per_class.b.{score}"] is None
        assert found["reasons"][f"per_class.b.{score}"] == "one patient of b"
