"""The arithmetic of printed numbers: by hand, and against every matrix there is."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from common import forensics
from common.forensics import binary, means, rounding, scores, show
from common.forensics.scores import Matrix


def limits(**texts):
    """Ends of scores printed in percent."""
    numbers = {name: forensics.printed(text) for name, text in texts.items()}
    return {name: (number.low, number.high) for name, number in numbers.items()}


# --- a printed number -------------------------------------------------------------------------


def test_halves_round_either_way_and_cutting_is_another_thing():
    number = forensics.printed("0.12", "fraction")
    assert (number.low, number.high) == (Fraction(23, 200), Fraction(25, 200))
    assert number.holds(Fraction(125, 1000)) and number.holds(Fraction(115, 1000))
    assert not number.holds(Fraction(1251, 10000))
    assert number.cut_holds(Fraction(129, 1000)) and not number.cut_holds(Fraction(13, 100))
    assert not number.cut_holds(Fraction(119, 1000))
    below = forensics.printed("-0.5", "fraction")
    assert below.cut_holds(Fraction(-59, 100)) and not below.cut_holds(Fraction(-49, 100))


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (Fraction(1, 8), 2, "0.13"),
        (Fraction(-1, 8), 2, "-0.13"),
        (Fraction(1999, 20), 1, "100.0"),
        (Fraction(-1, 1000), 2, "0.00"),
        (Fraction(5, 2), 0, "3"),
        (Fraction(1, 200), 2, "0.01"),
    ],
)
def test_exact_numbers_are_written_half_up(value, decimals, text):
    assert rounding.shown(value, decimals) == text


def test_counts_of_a_share():
    assert list(forensics.printed("93.91").counts(407)) == []
    assert list(forensics.printed("93.9").counts(407)) == [382]
    assert list(forensics.printed("50.1").counts(10_000)) == list(range(5005, 5016))
    assert list(forensics.printed("100.00").counts(7)) == [7]
    assert list(forensics.printed("0.0").counts(7)) == [0]


# --- matrices of two classes --------------------------------------------------------------------


def test_the_benign_triple_of_breakhis_has_two_matrices():
    found = forensics.matrices(
        limits(accuracy="99.03", precision="98.53", recall="98.40", f1="98.46"), [2373]
    )
    assert found.number == 2 and found.complete
    assert found.some == [Matrix(736, 12, 11, 1614), Matrix(737, 12, 11, 1613)]


def test_as_macro_averages_they_have_none():
    texts = {"accuracy": "99.03", "precision_macro": "98.53", "recall_macro": "98.40"}
    assert forensics.matrices(limits(**texts), [2373]).number == 0


def by_brute_force(wanted, n):
    """Every matrix of n images, both classes there, that keeps within limits."""
    for positive in range(1, n):
        for tp, fp in itertools.product(range(positive + 1), range(n - positive + 1)):
            matrix = Matrix(tp, positive - tp, fp, n - positive - fp)
            if all(
                scores.between(matrix, scores.SAME.get(name, name), *ends)
                for name, ends in wanted.items()
            ):
                yield matrix


@pytest.mark.parametrize("seed", range(60))
def test_a_search_finds_what_trying_all_finds(seed):
    """Each score in turn among others, true values and altered ones, at sizes up to 18."""
    rng = random.Random(seed)
    names = [*scores.SCORES, *scores.SAME]
    n = rng.randint(2, 18)
    positive = rng.randint(1, n - 1)
    tp, fp = rng.randint(0, positive), rng.randint(0, n - positive)
    matrix = Matrix(tp, positive - tp, fp, n - positive - fp)
    wanted = {}
    for name in [names[seed % len(names)], *rng.sample(names, rng.randint(0, 3))]:
        with np.errstate(invalid="ignore"):
            value = float(scores.floats(np.array(matrix)[:, None], scores.SAME.get(name, name))[0])
        value = rng.choice([0, 1]) if math.isnan(value) else value + rng.choice([0, 0, 0.07])
        number = forensics.printed(f"{value:.{rng.choice([1, 2])}f}", "fraction")
        wanted[name] = number.low, number.high
    found = [Matrix(*map(int, c)) for b in binary.blocks(wanted, [n]) for c in b.T]
    assert sorted(found) == sorted(by_brute_force(wanted, n))
    counted = forensics.matrices(wanted, [n])
    assert counted.number == len(found)
    assert set(counted.some) <= set(found) and len(counted.some) == min(6, len(found))


def test_known_classes_and_a_range_of_sizes():
    wanted = limits(recall="75.00", tnr="50.00")
    known = forensics.matrices(wanted, [10], range(4, 5))
    assert known.some == [Matrix(3, 1, 3, 3)]
    assert forensics.matrices(wanted, range(4, 9)).some == [Matrix(3, 1, 1, 1), Matrix(3, 1, 2, 2)]
    assert forensics.matrices(wanted, [10], range(5, 6)).number == 0


def test_too_large_a_search_decides_nothing():
    found = forensics.matrices(limits(mcc="50.00"), [5000], most=1000)
    assert (found.possible, found.complete, found.some) == (None, False, [])


def test_a_score_of_nothing_is_printed_as_0_or_1_only():
    nothing = Matrix(0, 3, 0, 7)
    for text, fits in (("0.0", True), ("100.0", True), ("50.0", False)):
        number = forensics.printed(text)
        assert scores.holds(nothing, "precision", number) is fits
    # 0 or 1 or left out, beside 7/10 of the other class
    for text, fits in (("35.0", True), ("85.0", True), ("70.0", True), ("60.0", False)):
        assert scores.holds(nothing, "precision_macro", forensics.printed(text)) is fits


# --- means ----------------------------------------------------------------------------------------


def test_a_mean_f1_is_at_most_that_of_the_means():
    rng = np.random.default_rng(0)
    for parts in (2, 3, 8):
        p, r = rng.uniform(0.01, 1, (2, 300, parts))
        f1 = (2 * p * r / (p + r)).mean(axis=1)
        for mean_p, mean_r, mean in zip(p.mean(axis=1), r.mean(axis=1), f1, strict=True):
            low, high = forensics.f1_range(float(mean_p), float(mean_r), rounds=parts)
            assert low - 1e-12 <= mean <= high + 1e-12


def test_parts_without_a_prediction_may_be_left_out_of_two_means():
    """Three classes of 9, 9 and 2 images, the third never predicted."""
    p, r, f1 = (Fraction(18, 20),) * 2, (ONE, ONE, Fraction(0)), (Fraction(36, 38),) * 2
    mean_p, mean_r, mean = sum(p) / 2, sum(r) / 3, sum(f1) / 2
    assert mean > means.harmonic(mean_p, mean_r)
    low, high = means.f1_ends((mean_p, mean_p), (mean_r, mean_r), 3)
    assert low <= mean <= high


ONE = Fraction(1)


def test_a_weighted_mean_f1_has_wider_ends():
    rng = np.random.default_rng(1)
    for _ in range(300):
        w = rng.dirichlet([0.3] * 3)
        p, r = rng.uniform(0.01, 1, (2, 3))
        mean_p, mean_r, mean = (float(w @ each) for each in (p, r, 2 * p * r / (p + r)))
        low, high = means.f1_ends((mean_p, mean_p), (mean_r, mean_r), None)
        assert low - 1e-12 <= mean <= high + 1e-12
    # 200 of 1390 images in the second class: outside what a plain mean of two can have
    low, _ = means.f1_ends((Fraction("0.9693"),) * 2, (Fraction("0.9604"),) * 2, None)
    assert low < Fraction("0.9625") < means.f1_range(0.9693, 0.9604, rounds=2)[0]


def test_folds_of_two_sizes():
    # 3/4 and 2/3 in turn: 17/24 = 0.7083
    number = forensics.printed("0.7083", "fraction")
    assert means.mean_share_fits(number, [4, 3])
    assert not means.mean_share_fits(number, [4, 4])
    assert means.fold_sizes(7, 2) == [4, 3]


def test_a_precision_beside_a_low_specificity():
    """All false positives in one round of three, 100 negative images beside 300."""
    specificity, recall = forensics.printed("90.00"), forensics.printed("95.00")
    most = means.precision_at_most(specificity, recall, (Fraction(3, 4),) * 2, 3)
    # 29.985 of 100 in one round, beside 300 found
    wrong = Fraction("29.985")
    assert most == 1 - wrong / (300 + wrong) / 3


@pytest.mark.parametrize("seed", range(20))
def test_grimmer_passes_what_is_true(seed):
    rng = random.Random(seed)
    for _ in range(20):
        n = rng.randint(2, 9)
        counts = [rng.randint(0, 30) for _ in range(n)]
        deviation = rng.choice([statistics.stdev, statistics.pstdev])(counts)
        d = rng.choice([1, 2, 3])
        pair = [
            forensics.printed(f"{value:.{d}f}", "images")
            for value in (statistics.mean(counts), deviation)
        ]
        assert forensics.grimmer(*pair, n) is True
        assert forensics.grimmer(*pair, n, most=30) is True


def test_grimmer_by_hand():
    def one(text):
        return forensics.printed(text, "images")

    # Sum 10 of 4, squares: 25 + q with an even q; n sd^2 = 1.29^2 * 3 = 5 -> (1, 2, 3, 4)
    assert forensics.grimmer(one("2.50"), one("1.29"), 4)
    # The squares would have to be odd
    assert forensics.grimmer(one("2.00"), one("1.00"), 4) is True  # 1, 1, 3, 3
    assert forensics.grimmer(one("2.00"), one("1.08"), 4) is False
    assert forensics.grimmer(one("3.44"), one("2.47"), 18) is False  # Anaya's own example
    # No more than 3 can be counted
    assert forensics.grimmer(one("2.50"), one("1.29"), 4, most=3) is False


def test_a_mean_of_shares_that_were_rounded_first():
    """566, 566 and 571 of 624 are 90.71, 90.71 and 91.51, whose mean is 90.9767."""
    exact = forensics.printed("90.98")
    assert not means.mean_share_fits(exact, [624] * 3) and means.rounded_shares_fit(
        exact, [624] * 3
    )
    shares = {n: [Fraction(round(1000 * Fraction(k, n)), 1000) for k in range(n + 1)]
              for n in (7, 8)}  # fmt: skip
    for sizes in ([7, 7], [8, 7, 7]):
        averages = {
            sum(each) / len(sizes) for each in itertools.product(*(shares[n] for n in sizes))
        }
        for units in range(0, 1001, 3):
            number = forensics.printed(f"{units / 10:.1f}")
            assert means.rounded_shares_fit(number, sizes) >= any(map(number.holds, averages)), (
                number
            )
    assert means.rounded_shares_fit(forensics.printed("33.37"), [3] * 3) is False
    assert means.rounded_shares_fit(forensics.printed("90.98765432"), [624] * 3) is None


@pytest.mark.parametrize(
    "cells, said",
    [
        ({"printed": "90.98", "n_test": "624"}, "a mean of exact shares; of shares that were rou"),
        ({"printed": "89.64", "n_test": "546"}, "as a mean of exact shares or of rounded ones"),
        ({"printed": "99.16", "n_test": "604", "n_from": "30 %", "n_range": "603-604"},
         "the size is derived, not printed: n = 598 would give it"),
        ({"printed": "99.16", "n_range": "603-604", "rounds": ""},
         "the size is derived, not printed: n = 598 would give it"),
    ],
)  # fmt: skip
def test_what_an_impossible_number_rests_on_is_said(cells, said):
    row = {"metrics_key": "accuracy", "unit": "percent", "rounds": "3"} | cells
    table = pd.DataFrame([row])
    [found] = forensics.findings(forensics.numbers(table))
    assert found.verdict == "impossible" and said in found.shown
    notes = show.assumed(forensics.numbers(table), [found])
    assert len(notes) == (row["rounds"] == "3") + ("n_range" in row)
