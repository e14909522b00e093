"""Abstaining: risk-coverage curve, and what is read off it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from common import metrics

CORRECT = np.array([True, True, False, True, False])
SURE = np.array([0.9, 0.8, 0.7, 0.6, 0.5])


def test_by_hand():
    coverage, risk = metrics.risk_coverage(CORRECT, SURE)
    assert coverage.tolist() == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert risk == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5])
    assert metrics.aurc(CORRECT, SURE) == pytest.approx((1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert metrics.error_at_coverage(CORRECT, SURE) == pytest.approx(1 / 4)
    assert metrics.coverage_at_risk(CORRECT, SURE) == pytest.approx(0.4)
    assert metrics.threshold_at_risk(CORRECT, SURE) == 0.8
    # The risk falls to a quarter at four images, though it is a third at three.
    assert metrics.coverage_at_risk(CORRECT, SURE, 0.25) == pytest.approx(0.8)
    assert metrics.threshold_at_risk(CORRECT, SURE, 0.4) == 0.5


def test_the_order_of_the_images_changes_nothing():
    order = np.random.default_rng(0).permutation(5)
    assert metrics.aurc(CORRECT[order], SURE[order]) == metrics.aurc(CORRECT, SURE)


def test_equal_confidences_are_the_mean_over_their_orders():
    correct = np.array([True, False, True, False, True, True])
    sure = np.array([0.9, 0.7, 0.7, 0.7, 0.6, 0.6])
    curves = []
    for middle in itertools.permutations([1, 2, 3]):
        for last in itertools.permutations([4, 5]):
            wrong = ~correct[[0, *middle, *last]]
            curves.append(np.cumsum(wrong) / np.arange(1, 7))
    assert metrics.risk_coverage(correct, sure)[1] == pytest.approx(np.mean(curves, axis=0))
    assert metrics.aurc(correct, sure) == pytest.approx(np.mean(curves))
    # A threshold takes all three images of 0.7 or none of them.
    assert metrics.threshold_at_risk(correct, sure, 0.34) == 0.6
    assert metrics.coverage_at_risk(correct, sure, 0.3) == pytest.approx(1 / 6)


def test_all_equally_sure():
    same = np.full(5, 0.5)
    assert metrics.risk_coverage(CORRECT, same)[1] == pytest.approx([0.4] * 5)
    assert metrics.aurc(CORRECT, same) == metrics.error_at_coverage(CORRECT, same) == 0.4
    assert metrics.coverage_at_risk(CORRECT, same) == 0
    assert metrics.threshold_at_risk(CORRECT, same) is None


def test_all_right_all_wrong_and_one_image():
    right, wrong = np.ones(3, bool), np.zeros(3, bool)
    sure = np.array([0.5, 0.9, 1.0])
    assert (metrics.aurc(right, sure), metrics.coverage_at_risk(right, sure)) == (0, 1)
    assert (metrics.aurc(wrong, sure), metrics.coverage_at_risk(wrong, sure)) == (1, 0)
    assert metrics.error_at_coverage(right[:1], sure[:1], 0.001) == 0
    assert metrics.risk_coverage(wrong[:1], sure[:1])[1].tolist() == [1]


@pytest.mark.parametrize(("n", "answered"), [(1, 1), (5, 4), (7, 6), (10, 8), (35, 28), (100, 80)])
def test_coverage_takes_the_next_whole_number_of_images(n, answered):
    """0.8 n is a little more than a whole number in floating point, at times."""
    correct = np.arange(n) < answered - 1  # the last one answered is wrong
    sure = np.linspace(1, 0, n)
    assert metrics.error_at_coverage(correct, sure) == pytest.approx(1 / answered)


@pytest.mark.parametrize(
    ("correct", "sure"),
    [
        ([], []),
        ([True], [0.5, 0.6]),
        ([True], [float("nan")]),
        ([2], [0.5]),
        ([True], ["much"]),
        ([True, True], [0.5, float("inf")]),
    ],
)
def test_what_is_no_answer_is_refused(correct, sure):
    with pytest.raises(ValueError, match=r"correct|confidence"):
        metrics.aurc(correct, sure)


def test_when_all_may_be_wrong_all_are_answered():
    assert metrics.coverage_at_risk(CORRECT, SURE, 1) == 1
    assert metrics.threshold_at_risk(CORRECT, SURE, 1) == min(SURE)


@pytest.mark.parametrize("share", [0, 1.1, float("nan"), True, "all"])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match="coverage"):
        metrics.error_at_coverage(CORRECT, SURE, share)
    with pytest.raises(ValueError, match="risk"):
        metrics.coverage_at_risk(CORRECT, SURE, share)


def test_they_stand_in_metrics_json_and_in_the_summary():
    from common import evaluation

    labels = np.array([0, 0, 1, 1, 1])
    first = np.array([0.9, 0.8, 0.7, 0.4, 0.5])  # wrong: the third, and 0.5, which is class 0
    found = metrics.compute(labels, np.stack([first, 1 - first], 1), ["a", "b"])
    assert found["aurc"] == pytest.approx((1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert found["error_at_80_coverage"] == 0.25
    assert found["coverage_at_5_error"] == 0.4
    line = "AURC 0.1967, error at 80 % coverage 25.00 %, coverage at 5 % error 40.00 %"
    assert f"abstaining         {line}" in evaluation.summary(found).splitlines()
