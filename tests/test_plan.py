"""What a study of so many patients can tell: against formulas, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.metrics import __main__ as command
from common.metrics import plan, simulation

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


def test_power_is_the_share_of_the_intervals_above_nothing(monkeypatch):
    ends = np.array([0.0, np.nan, 1e-9, -0.1])
    monkeypatch.setattr(simulation, "jackknife_difference", lambda drawn: (ends, ends + 1))
    assert plan.power(ALONE, 2, 0.1, 1) == 0.25


def test_seed_and_images_are_those_of_the_question():
    one, other, same = (plan.Question(0.8, 0.3, 4, seed=seed) for seed in (0, 1, 0))
    assert plan.Question(0.8, 0.3, 4) == one  # the command's default
    assert plan.width(one, 5, 20) == plan.width(same, 5, 20) != plan.width(other, 5, 20)
    assert plan.power(one, 9, 0.3, 50) == plan.power(same, 9, 0.3, 50)
    assert len({plan.power(plan.Question(0.8, 0.3, 4, s), 9, 0.3, 50) for s in range(4)}) > 1


def patients_asked(monkeypatch, fewest):
    """Ask for a width and a power that `fewest` patients just have; what was asked on the way."""
    asked = []

    def enough(n, studies):
        assert len(asked) < 100 and n <= plan.MOST_PATIENTS
        asked.append((n, studies))
        return n >= fewest

    monkeypatch.setattr(
        plan, "width", lambda q, n, studies: plan.Width(0.1 if enough(n, studies) else 0.2, 0, 0, 0)
    )
    monkeypatch.setattr(plan, "power", lambda q, n, _, studies: 0.75 if enough(n, studies) else 0.7)
    found = plan.patients_for_width(ALONE, 0.1)
    first, asked[:] = asked[:], []
    assert plan.patients_for_power(ALONE, 0.03, 0.75) == found
    assert asked == first
    return found, [n for n, _ in first], [studies for _, studies in first]


@pytest.mark.parametrize(
    ("fewest", "found", "asked"),
    [
        (3, 3, [4, 3]),
        (4, 4, [4, 3]),
        (39, 39, [4, 8, 16, 32, 64, 48, 40, 36, 38, 39]),
        (300, 304, [4, 8, 16, 32, 64, 128, 256, 512, 384, 320, 288, 304, 296]),
        # 16 are a twentieth of 320 and more than one of 319
        (325, 336, [4, 8, 16, 32, 64, 128, 256, 512, 384, 320, 352, 336]),
        (4900, 5000, [*(2**i for i in range(2, 13)), 5000, 4548, 4774]),
        (5001, None, [*(2**i for i in range(2, 13)), 5000]),
    ],
)
def test_the_fewest_patients_are_found_to_a_twentieth(monkeypatch, fewest, found, asked):
    result, patients, studies = patients_asked(monkeypatch, fewest)
    assert (result, patients) == (found, asked)
    assert studies == [plan._studies(n) for n in asked]


def test_of_many_patients_fewer_studies_are_drawn():
    assert [plan._studies(n) for n in (2, 100, 101, 333, 500, 501, 5000)] == [
        1000, 1000, 990, 300, 200, 200, 200,
    ]  # fmt: skip


def test_patients_are_from_2_to_5000():
    assert [plan._patients(n) for n in (2, 5000)] == [2, 5000]
    for wrong in (1, 5001):
        with pytest.raises(InputError, match=f"--patients {wrong}: from 2 to 5000"):
            plan._patients(wrong)


def least(monkeypatch, accuracy, first, wanted=plan.POWER):
    """Seek the smallest difference of a network that is told apart from `first` half points on."""
    asked = []

    def power(question, patients, difference, studies=plan.STUDIES):
        assert len(asked) < 100 and patients == 17 and 0 < difference < accuracy
        asked.append((difference, studies))
        return wanted if difference >= first / 200 else wanted - 0.01

    monkeypatch.setattr(plan, "power", power)
    return plan.smallest_difference(plan.Question(accuracy), 17, wanted), asked


@pytest.mark.parametrize("first", [1, 2, 3, 50, 178, 179])
def test_the_smallest_difference_is_found_to_half_a_point(monkeypatch, first):
    found, asked = least(monkeypatch, 0.9, first)
    assert found == first / 200
    assert asked[0] == (0.895, 1000)
    assert {studies for _, studies in asked[1:]} == {500}


def test_no_difference_may_be_told_apart(monkeypatch):
    assert least(monkeypatch, 0.9, 180) == (None, [(0.895, 1000)])
    assert least(monkeypatch, 0.01, 1) == (0.005, [(0.005, 1000)])
    assert least(monkeypatch, 0.005, 1) == (None, [])
    assert least(monkeypatch, 0.998, 199) == (None, [(0.99, 1000)])
    assert least(monkeypatch, 0.9, 3, wanted=0.5)[0] == 0.015


ASSUMED = (
    "assumed      accuracy 90 %, intraclass correlation within patients 0.25, images of each: {}; "
    "two networks find the same patients hard (correlation 0.8)"
)
APART = "             smallest difference told apart in {} of 100: {}"


def test_the_answer_word_for_word(monkeypatch):
    """Of made-up numbers, each of them its own."""
    asked = {}
    numbers = {
        "width": plan.Width(0.111, 0.082, 0.163, 0.944), "power": 0.376,
        "smallest_difference": 0.035, "patients_for_width": 41, "patients_for_power": None,
    }  # fmt: skip

    def answered(name):
        return lambda *arguments: (asked.update({name: arguments}), numbers[name])[1]

    for name in numbers:
        monkeypatch.setattr(plan, name, answered(name))
    question = plan.Question(0.9, 0.25, 7)
    assert plan.answer(question, 30, 0.045, 0.123, 0.7).splitlines() == [
        ASSUMED.format(7),
        "30 patients  95 % interval of the accuracy 11.1 points wide, in 80 of 100 studies "
        "8.2 to 16.3 points; holds the truth in 94 of 100",
        "             a network 4.5 points worse on the same images is told apart in 38 of 100 "
        "studies",
        APART.format(70, "about 3.5 points"),
        "needed       about 41 patients for an interval 12.3 points wide",
        "needed       more than 5000 patients for 4.5 points in 70 of 100 studies",
    ]
    assert asked == {
        "width": (question, 30), "power": (question, 30, 0.045),
        "smallest_difference": (question, 30, 0.7), "patients_for_width": (question, 0.123),
        "patients_for_power": (question, 0.045, 0.7),
    }  # fmt: skip

    numbers.update(smallest_difference=None, patients_for_width=None, patients_for_power=52)
    question = plan.Question(0.9, 0.25)
    breakhis = ASSUMED.format("as cases of BreakHis at 100x")
    asked.clear()
    assert plan.answer(question, 30).splitlines()[::2] == [breakhis, APART.format(80, "none")]
    assert plan.answer(question, difference=0.045).splitlines() == [
        breakhis, "needed       about 52 patients for 4.5 points in 80 of 100 studies",
    ]  # fmt: skip
    assert "power" not in asked and "patients_for_width" not in asked
    assert plan.answer(question, wanted_width=0.123).splitlines() == [
        breakhis, "needed       more than 5000 patients for an interval 12.3 points wide",
    ]  # fmt: skip


def test_the_page_shows_what_the_command_prints(capsys):
    page = (Path(__file__).parents[1] / "docs" / "intervals.md").read_text("utf-8")
    asked = "plan --patients 12 --accuracy 0.9"
    assert command.main(asked.split()) == 0
    assert f"$ python -m common.metrics {asked}\n{capsys.readouterr().out}$" in page


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
        ("--accuracy 0 --width 0.1", "--accuracy 0"),
        ("--accuracy 1 --width 0.1", "--accuracy 1"),
        ("--accuracy 0.9", "nothing is asked"),
        ("--accuracy 0.9 --patients 1", "--patients 1: from 2"),
        ("--accuracy 0.9 --patients 5001", "--patients 5001: from 2 to 5000"),
        ("--accuracy 0.9 --detect 0.95", "a difference of 0.95: between 0 and the accuracy"),
        ("--accuracy 0.9 --detect -0.1", "a difference of -0.1"),
        ("--accuracy 0.9 --detect 0", "a difference of 0: between"),
        ("--accuracy 0.9 --detect 0.9", "a difference of 0.9: between"),
        ("--accuracy 0.9 --width 2", "--width 2"),
        ("--accuracy 0.9 --width 0", "--width 0: a share"),
        ("--accuracy 0.9 --width 1", "--width 1: a share"),
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
