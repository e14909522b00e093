"""The closed lists of judgements: what is in them, what fills them, what is counted."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from test_table_rules import IMPOSSIBLE, number, ours

from common import tables
from common.metrics import clopper_pearson
from common.papers import PAPERS
from common.tables.behind import counts_behind
from common.tables.cells import _difference
from common.tables.judge import Difference, Judgement, other_images
from common.tables.nearest import nearest
from common.tables.other_images import ends as of_both
from common.tables.other_images import share_of_all, wilson

DOCS = Path(__file__).parent.parent / "docs"


# --- words --------------------------------------------------------------------------------------


def test_the_page_explains_every_word():
    text = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    heads = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
    assert heads - {"word", "reason"} == {*tables.JUDGEMENTS, *tables.REASONS}
    assert all(f"`{word}`" in text for word in tables.OTHER_IMAGES)


@pytest.mark.parametrize("package", PAPERS)
def test_what_is_not_run_is_impossible_or_not_run(package, tmp_path):
    table = tables.rows(package, tmp_path / "none")
    assert set(table["status"]) <= {"not run", "impossible as printed"}
    assert (table["nearest"] != "").equals(table["status"] == "impossible as printed")
    assert set(table["because"]) == set(table["other_images"]) == {""}
    counted = tables.tally(table)
    assert (counted.numbers, counted.verdicts, counted.differences) == (len(table), 0, 0)
    assert sum(counted.judgements.values()) == len(table)


# --- the nearest possible number ----------------------------------------------------------------


def test_the_nearest_possible_numbers():
    found = {}
    for package in PAPERS:
        table = tables.published(package)
        wrong = [counted.possible is False for counted in tables.paper_counts(table)]
        lines = table.to_dict("records")
        for row, near in zip(lines, nearest(package, wrong), strict=True):
            found[package, row["table"], row["row"], row["metric"], row["printed"]] = near
    for key, near in {
        ("breakhis", "F8", "8-class VGG19, augmented", "accuracy", "92.85"): "92.84",  # 2203/2373
        ("ernet", "T2", "100x", "accuracy", "93.54"): "93.53",  # 3671 of 5 * 785
        ("gan_fusion", "T11", "MobileNet, Malignant", "TNR", "0.54"): "0.53",  # 40 of 75
        # 81 + 41 + 28 + 4 = 154 of 160, of which 75 are benign
        ("gan_fusion", "T11", "ResNet-50, Malignant", "TN", "41"): "47",
        ("gan_fusion", "T11", "ResNet-50, Malignant", "TP", "81"): "81 with TN 47",
        # 10 + 29 + 0 + 0 = 39 of 40: there are 10 invasive images, so no TP is missing
        ("gan_fusion", "T12", "Proposed + TradAug, Invasive", "TN", "29"): "30",
        ("gan_fusion", "T12", "Proposed + TradAug, Invasive", "TP", "10"): "10 with TN 30",
        ("wrn_edge", "T4", "200X WRN+Aug", "TN", "136"): "197",  # 61 more, or 61 more elsewhere
        ("wrn_edge", "T4", "200X WRN+Aug", "FP", "1"): "62",
        ("breakhis", "T2", "binary ResNet50", "accuracy", "99.03"): "",
    }.items():
        assert found[key] == near, key


# --- counts of images ---------------------------------------------------------------------------

TP = {**number("72", "per_class.a.tp", unit="images", n_test=160), "decimals": 0}


def count(value, low, high, *, n=75, n_test=160):
    found = ours(value, low, high, n_test=n_test)
    found.k, found.n, found.out_of = value, n, n
    return found


def test_a_count_is_judged_as_the_share_of_its_class_in_images():
    low, high = (75 * end for end in clopper_pearson(72, 75))
    found = tables.difference(TP, True, 72, 75, count(70, 66, 73))
    assert found.value == -2
    assert found.low == pytest.approx(-2 - math.hypot(70 - 66, high - 72))
    assert found.high == pytest.approx(-2 + math.hypot(73 - 70, 72 - low))
    for estimate, word in (
        (count(70, 66, 73), "inconclusive"),
        (count(50, 45, 55), "below"),
    ):
        assert tables.status(TP, True, 72, 75, estimate) == (word, "")
    # the margin is 3 % of what it is out of: 30 of 1000
    many = {**TP, "printed": "960", "n_test": 2000}
    for reach in (15, 26.5):  # 29.4 on each side: more than 3 % of the count
        near = count(955, 955 - reach, 955 + reach, n=1000, n_test=2000)
        assert tables.status(many, True, 960, 1000, near)[0] == "consistent"
    wide = count(955, 955 - 27.5, 955 + 27.5, n=1000, n_test=2000)
    assert tables.status(many, True, 960, 1000, wide)[0] == "inconclusive"


def test_counts_out_of_other_totals_have_no_interval():
    for estimate, counts, reason in (
        (count(70, 66, 73, n_test=150), (True, 72, 75),
         "quoted totals: ours of 150 images, the paper's of 160"),
        (count(70, 66, 73, n=80), (True, 72, 75),
         "other test set: ours has a class of 80 images, the paper 75"),
        (count(70, 66, 73, n=None), (True, 72, 75),
         "other test set: ours has a class of several sizes, the paper 75"),
        (count(70, 66, 73), (None, 0, 0),
         "quoted totals: out of how many images of the class the count is, is not known"),
    ):  # fmt: skip
        assert tables.status(TP, *counts, estimate) == ("not comparable", reason)
        apart = tables.difference(TP, *counts, estimate)
        assert apart == (-2, None, None)
        found = tables.judgement(TP, *counts, estimate)
        assert other_images(found, TP, apart) == ""


def test_a_count_is_shown_in_images():
    table = tables.rows("gan_fusion", "nowhere")
    found = table[(table["table"] == "T11") & (table["row"] == "Xception, Malignant")]
    found = found.set_index("metric").loc["TP"]
    low, high = clopper_pearson(80, 85)
    assert (found.paper_low, found.paper_high) == pytest.approx((85 * low, 85 * high))
    ends = {"difference": -2.0, "difference_low": -3.26, "difference_high": 0.04}
    record = {"unit": "images", "decimals": 0, "sd": None, **ends}
    assert _difference(record) == "-2 [-3.3 to +0.0]"


def test_a_count_beside_nothing_is_out_of_its_class():
    row = {**TP, "classes": "a=75; b=85"}
    alone = pd.DataFrame([row])
    assert tables.paper_count(row, alone) == (True, 72, 75)
    for printed in (0, 75):
        edge = {**row, "printed": str(printed)}
        assert tables.paper_count(edge, pd.DataFrame([edge])) == (True, printed, 75)
    single = {**row, "printed": "1", "classes": "a=1; b=159"}
    assert tables.paper_count(single, pd.DataFrame([single])) == (True, 1, 1)
    unknown = {**single, "classes": "c=1; b=159"}
    assert tables.paper_count(unknown, pd.DataFrame([unknown])) == (None, 0, 0)
    none = {**row, "printed": "0", "classes": "a=0; b=160"}
    assert tables.paper_count(none, pd.DataFrame([none])) == (None, 0, 0)
    half = {**row, "printed": "7.5"}
    assert tables.paper_count(half, pd.DataFrame([half])) == (None, 0, 0)
    assert tables.paper_count({**row, "metrics_key": "per_class.a.fp"}, alone) == (None, 0, 0)
    assert tables.paper_count({**row, "classes": "a=70-75; b=85"}, alone) == (None, 0, 0)
    assert tables.paper_count({**row, "classes": "a=71; b=85"}, alone) == (None, 0, 0)


# --- intervals where every bootstrap sample is the same -----------------------------------------


def constant(why="the same in every bootstrap sample", **more):
    row = {"tp": 10, "tn": 30, "fp": 0, "fn": 0, "recall": 1.0, "fpr": 0.0, "f1": 1.0, "mcc": 1.0}
    reasons = {f"per_class.a.{name}": why for name in row}
    return {"n": 40, "correct": 40, "per_class": {"a": row}, "intervals": {}, "reasons": reasons,
            **more}  # fmt: skip


def test_an_exact_interval_takes_the_place_of_an_empty_bootstrap():
    group = tables.Group([None], [constant()])
    low, _ = clopper_pearson(10, 10)
    for key, ends in (
        ("recall", (low, 1)),
        ("fpr", clopper_pearson(0, 30)),
        ("f1", (2 * low / (1 + low), 1)),  # of J = 10 of 10
        ("tp", (10 * low, 10)),
        ("fn", (0, 10 * (1 - low))),
        ("tn", (30 * (1 - clopper_pearson(0, 30)[1]), 30)),
        ("mcc", (None, None)),
    ):
        found = tables.estimate(group, f"per_class.a.{key}")
        assert (found.low, found.high) == (pytest.approx(ends) if ends[0] is not None else ends)
    one = tables.Group([None], [constant("the same without any one patient")])
    assert tables.estimate(one, "per_class.a.recall").low == pytest.approx(low)
    # patients are what was drawn: four of them are four trials, of which the class has who knows
    found = constant("the same without any one patient", n_patients=4, accuracy=1.0)
    found["reasons"]["accuracy"] = found["reasons"]["per_class.a.recall"]
    group = tables.Group([None], [found])
    assert tables.estimate(group, "accuracy").low == clopper_pearson(4, 4)[0]
    for name in ("recall", "fpr", "f1", "tp", "fn", "fp", "tn"):
        one = tables.estimate(group, f"per_class.a.{name}")
        assert (one.low, one.high) == (None, None)
        assert one.reason == "the same without any one patient"
    group = tables.Group([None], [{**constant(), "reasons": {"per_class.a.recall": "one patient"}}])
    assert tables.estimate(group, "per_class.a.recall").low is None


def test_the_exact_interval_of_an_f1_is_that_of_its_share():
    def f1(**counts):
        found = constant()
        found["per_class"]["a"] |= {"f1": 0.5, **counts}
        one = tables.estimate(tables.Group([None], [found]), "per_class.a.f1")
        return one.low, one.high

    low, high = clopper_pearson(8, 13)  # of those that are or were called so
    assert f1(tp=8, fp=2, fn=3) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert f1(tp=0, fp=0, fn=0) == (0, 1)
    for lacking in ("tp", "fp", "fn"):
        assert f1(**{lacking: None}) == (None, None)


def test_counts_of_right_images_and_of_no_images():
    found = constant()
    found["reasons"]["accuracy"] = found["reasons"]["per_class.a.recall"]
    right = tables.estimate(tables.Group([None], [found]), "correct")
    assert (right.low, right.high) == (pytest.approx(40 * clopper_pearson(40, 40)[0]), 40)
    # shown as "k of n" is a share, not a count, which says it itself
    assert counts_behind(found, "per_class.a.recall") == (10, 10)
    assert counts_behind(found, "per_class.a.tp") is counts_behind(found, "correct") is None
    found["per_class"]["a"] |= {"tp": 0, "fn": 0}
    none = tables.estimate(tables.Group([None], [found]), "per_class.a.recall")
    assert (none.low, none.high) == (None, None)


# --- same task, other images --------------------------------------------------------------------


def test_wilson_against_newcombes_examples():
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3
    for (k, n), ends in {
        (81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718), (29, 29): (0.8830, 1),
    }.items():  # fmt: skip
        assert wilson(k, n) == pytest.approx(ends, abs=5e-5)
    for n in range(1, 2000):
        assert wilson(0, n)[0] >= 0 and wilson(n, n)[1] <= 1


@pytest.mark.parametrize(
    ("paper", "mine", "ends"),
    # Newcombe, Interval estimation for the difference, 1998, table II, method 10: (a) to (e)
    [
        ((48, 80), (56, 70), (0.0524, 0.3339)),
        ((3, 10), (9, 10), (0.1705, 0.8090)),
        ((2, 7), (6, 7), (0.0582, 0.8062)),
        ((0, 29), (5, 56), (-0.0381, 0.1926)),
        ((0, 20), (0, 10), (-0.1611, 0.2775)),
    ],
)
def test_the_difference_on_other_images_is_newcombes(paper, mine, ends):
    row = number(f"{100 * paper[0] / paper[1]:.2f}", n_test=paper[1])
    estimate = ours(mine[0] / mine[1], 0.0, 1.0, n_test=999)
    estimate.k, estimate.n = mine
    found = tables.difference(row, True, *paper, estimate)
    assert (found.low, found.high) == pytest.approx(ends, abs=5e-5)
    # images of patients hang together: then our own interval, here all of [0, 1]
    estimate.by_image = False
    wide = tables.difference(row, True, *paper, estimate)
    assert wide.low <= found.low and wide.high > found.high


def test_a_printed_mean_counts_as_one_round_and_other_scores_as_ours():
    row = number("91.45", n_test=728, rounds="5")
    found = tables.difference(row, None, 0, 0, ours(0.9, 0.88, 0.92, n_test=599, runs=5))
    low, high = wilson(0.9145 * 728, 728)
    assert found == pytest.approx(
        (-0.0145, -0.0145 - math.hypot(0.02, high - 0.9145),
         -0.0145 + math.hypot(0.02, 0.9145 - low))
    )  # fmt: skip
    # on four times our images the paper's F1 is taken to be half as uncertain
    row = number("90.00", "f1_macro", n_test=400)
    found = tables.difference(
        row, None, 0, 0, ours(0.9, 0.86, 0.94, n_test=100, widths=(0.06, 0.03))
    )
    # ours reaches 0.04 to each side, the paper's 0.03 down and 0.015 up
    assert found == pytest.approx((0, -math.hypot(0.04, 0.015), math.hypot(0.04, 0.03)))


def test_a_share_of_all_images_and_what_is_none():
    assert share_of_all(number("91.45", n_test=728, rounds="5")) == (pytest.approx(665.756), 728)
    for printed, k in (("0", 0), ("100", 1)):
        assert share_of_all(number(printed, n_test=1)) == (k, 1)
    for row in (
        number("91.45", n_test=0),
        number("91.45", n_test=pd.NA),
        number("-0.01"),
        number("100.01"),
        number("91.45", "f1_macro"),
        number("91", unit="epoch"),
    ):
        assert share_of_all(row) is None


def test_the_ends_on_other_images_one_by_one():
    mine = ours(0.9, 0.86, 0.94, n_test=100, widths=(0.06, 0.03))
    for counts in (None, (0, 0)):
        paper, kept = of_both(0.8, counts, 400, mine)
        assert paper == pytest.approx((0.77, 0.815)) and kept == (0.86, 0.94)
    assert of_both(0.8, (320, 400), 400, mine)[0] == wilson(320, 400)
    assert of_both(0.8, None, 1, mine)[0] == pytest.approx((0.2, 1.1))
    assert of_both(0.8, None, 0, mine) == (None, (0.86, 0.94))
    mine.n_test = None
    assert of_both(0.8, None, 400, mine) == (None, (0.86, 0.94))
    assert of_both(0.8, None, 400, ours(0.9, 0.86, 0.94, n_test=100)) == (None, (0.86, 0.94))


def test_the_second_judgement_and_what_has_none():
    elsewhere = Judgement("not comparable", "other test set")
    row = number("90.00")
    for (low, high), word in {
        (0.001, 0.02): "higher", (-0.02, -0.001): "lower", (-0.03, 0.03): "alike",
        (-0.031, 0.03): "unclear", (None, None): "unclear",
    }.items():  # fmt: skip
        assert other_images(elsewhere, row, Difference(0.0, low, high)) == word
    near = Difference(0.0, -0.01, 0.01)
    assert other_images(Judgement("consistent"), row, near) == ""
    assert other_images(Judgement("not comparable", "unit"), row, near) == ""
    assert other_images(elsewhere, number("9", unit="images"), near) == ""
    assert other_images(elsewhere, row, Difference()) == ""


def test_what_is_printed_may_be_no_share():
    estimate = ours(0.9, 0.88, 0.92, n_test=599, widths=(0.02, 0.02))
    for printed in ("101.00", "-1.00"):
        found = tables.difference(number(printed, n_test=728, rounds="5"), None, 0, 0, estimate)
        assert found.low < found.value < found.high  # as wide as ours
    assert tables.difference(number("90.00", n_test=0), None, 0, 0, estimate).low is None
    for counts in ("-1", "7.5", "90"):
        row = {**TP, "printed": counts, "classes": "a=75"}
        assert tables.paper_count(row, pd.DataFrame([row])) == (None, 0, 0)


# --- counts -------------------------------------------------------------------------------------


def test_a_tally_by_hand():
    table = pd.DataFrame(
        [
            ("below", "", "", -1.0, -2.0), ("consistent", "", "", 0.0, -1.0),
            ("2 of 5 rounds", "", "", 1.0, None), ("4 of 5 rounds", "", "", 1.0, None),
            ("not comparable", "other test set", "alike", 0.0, -1.0),
            ("not comparable", "unit", "", 3.0, None), ("not run", "", "", None, None),
        ],
        columns=["status", "because", "other_images", "difference", "difference_low"],
    )  # fmt: skip
    found = tables.tally(table)
    assert list(found.judgements.items()) == [
        ("consistent", 1), ("below", 1), ("m of n rounds", 2), ("not comparable: unit", 1),
        ("not comparable: other test set", 1), ("not run", 1),
    ]  # fmt: skip
    assert tables.in_words(found) == [
        "2 of 7 printed numbers have a verdict; 6 show a difference, 3 of them with its interval.",
        "Same task on other images, which reproduces nothing: 1 alike.",
    ]


def test_what_is_impossible_has_a_judgement_whatever_has_run():
    for estimate in (None, ours(0.9, 0.8, 0.95), ours(0.9, 0.8, 0.95, n_test=3)):
        found = tables.judgement(number("95.02"), *IMPOSSIBLE, estimate)
        assert found == ("impossible as printed", "", "not possible with n = 2000")
