"""What a study of so many patients can tell: against formulas, and the command."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import InputError
from common.metrics import __main__ as command
from common.metrics import plan

ALONE = plan.Question(0.9, correlation=0.001, images=1)
"""One image of each patient: an ordinary proportion."""


def test_the_width_of_independent_images_is_that_of_a_proportion():
    found = plan.width(ALONE, 400)
    assert found.middle == pytest.approx(2 * 1.96 * np.sqrt(0.09 / 400), rel=0.05)
    assert found.low < found.middle < found.high
    assert found.held == pytest.approx(0.95, abs=0.02)
    # and four times the patients halve it
    assert plan.width(ALONE, 1600, 300).middle == pytest.approx(found.middle / 2, rel=0.05)


def test_patients_who_are_all_right_or_all_wrong_are_what_counts():
    """At a correlation near 1 a hundred images of a patient tell as much as one."""
    many = plan.width(plan.Question(0.8, correlation=0.999, images=100), 150, 300)
    assert many.middle == pytest.approx(plan.width(plan.Question(0.8, 0.001, 1), 150, 300).middle,
                                        rel=0.05)  # fmt: skip


def test_power_rises_with_difference_and_patients():
    question = plan.Question(0.9)
    found = [plan.power(question, 30, difference, 400) for difference in (0.001, 0.05, 0.2)]
    assert found[0] < 0.05 < found[1] < found[2]
    assert found[2] > 0.9
    assert plan.power(question, 120, 0.05, 400) > found[1] + 0.2


def test_power_of_independent_images_is_that_of_mcnemar():
    """Nearly independent errors of both: the difference has their two variances."""
    n, difference = 600, 0.05
    error = np.sqrt((0.9 * 0.1 + 0.85 * 0.15) / n)
    from scipy.stats import norm

    expected = norm.cdf(difference / error - 1.96)
    assert plan.power(ALONE, n, difference, 600) == pytest.approx(expected, abs=0.05)


@pytest.mark.slow
def test_as_many_as_are_needed():
    question = plan.Question(0.9)
    n = plan.patients_for_width(question, 0.2)
    assert plan.width(question, n).middle <= 0.205
    assert plan.width(question, round(0.8 * n)).middle > 0.2
    n = plan.patients_for_power(question, 0.1)
    assert plan.power(question, n, 0.1) >= 0.76 > plan.power(question, n // 2, 0.1)
    least = plan.smallest_difference(question, n)
    assert least == pytest.approx(0.1, abs=0.015)
    assert plan.smallest_difference(question, 2) is None


@pytest.mark.parametrize(
    ("fewest", "least", "most"), [(3, 3, 3), (300, 300, 315), (4500, 4500, 4725)]
)
def test_the_fewest_are_sought_among_what_can_be_asked(fewest, least, most):
    asked = []
    found = plan._fewest(lambda n, _: asked.append(n) or n >= fewest)
    assert least <= found <= most and max(asked) <= plan.MOST_PATIENTS
    assert plan._fewest(lambda n, _: n > plan.MOST_PATIENTS) is None


def test_the_command(capsys):
    asked = ["plan", "--patients", "12", "--accuracy", "0.9", "--detect", "0.2", "--width", "0.3"]
    assert command.main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("12 patients  95 % interval of the accuracy ")
    assert "20.0 points worse" in lines[2]
    assert lines[4].endswith("patients for an interval 30.0 points wide")
    assert lines[5].endswith("patients for 20.0 points in 80 of 100 studies")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("--accuracy 90 --width 0.1", "--accuracy 90: a share between 0 and 1"),
        ("--accuracy nan --width 0.1", "--accuracy nan"),
        ("--accuracy 0.9", "nothing is asked"),
        ("--accuracy 0.9 --patients 1", "--patients 1: from 2"),
        ("--accuracy 0.9 --patients 5001", "--patients 5001: from 2 to 5000"),
        ("--accuracy 0.9 --detect 0.95", "a difference of 0.95: between 0 and the accuracy"),
        ("--accuracy 0.9 --detect -0.1", "a difference of -0.1"),
        ("--accuracy 0.9 --width 2", "--width 2"),
        ("--accuracy 0.9 --width 0.1 --power 80", "--power 80"),
        ("--accuracy 0.9 --width 0.1 --correlation 1", "--correlation 1"),
        ("--accuracy 0.9 --width 0.1 --images 0", "--images 0"),
        ("--accuracy 0.9 --width 0.1 --seed -1", "--seed -1"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line(asked, message):
    with pytest.raises(InputError, match=message) as caught:
        command.main(["plan", *asked.split()])
    assert "\n" not in str(caught.value)
