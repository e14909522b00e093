"""Rules behind the tables, by hand: counts of printed numbers, estimates of runs, the verdict."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from common import forensics, tables
from common.measurements import Measurement
from common.metrics import clopper_pearson
from common.tables import arithmetic
from common.tables.ours import measured

COLUMNS = ("metrics_key", "printed", "unit", "decimals", "n_test", "rounds")


def number(printed, key="accuracy", *, unit="percent", n_test=2000, rounds=""):
    """A row of published.csv as far as arithmetic goes; decimals are those printed."""
    decimals = len(printed.partition(".")[2])
    return dict(zip(COLUMNS, (key, printed, unit, decimals, n_test, rounds), strict=True))


def counted(row, *siblings):
    return tables.paper_count(row, pd.DataFrame([row, *siblings], columns=list(COLUMNS)))


UNRECOVERED, IMPOSSIBLE = (None, 0, 0), (False, 0, 0)


# --- counts behind printed numbers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "decimals", "n", "k"),
    [
        ("0.00", 2, 5, 0),
        ("-0.01", 2, 5, None),  # nearest to 0 of 5, and not 0
        ("-1", 0, 100, None),
        ("100.4", 1, 1000, None),  # 1004 of 1000
        ("67", 0, 3, 2),
        ("66", 0, 3, None),
        ("33", 0, 3, 1),
        ("34", 0, 3, None),
        ("62.5", 1, 8, 5),
        ("62.6", 1, 8, None),  # a tenth off, where half of one would do
        ("6.2", 1, 16, 1),  # 6.25: down
        ("6.3", 1, 16, 1),  # or up
        ("50.1", 1, 10_000, 5010),  # 5006 to 5014 fit; the nearest
        (50, 0, 2, 1),
    ],
)
def test_the_count_whose_share_rounds_to_the_printed_number(printed, decimals, n, k):
    assert tables.recover_count(printed, decimals, n) == k


@pytest.mark.parametrize(
    "key", ["accuracy", "recall_micro_at_half", "by_magnification.40X.accuracy"]
)
def test_a_share_of_all_images_gives_its_count(key):
    assert counted(number("95.05", key)) == (True, 1901, 2000)
    assert counted(number("95.02", key)) == IMPOSSIBLE
    assert counted(number("95.05", key, n_test=pd.NA)) == UNRECOVERED
    assert counted(number("95.05", key, unit="epoch")) == UNRECOVERED


def test_a_score_outside_its_range_is_impossible_whatever_the_test_set():
    for row in (
        number("100.01", n_test=pd.NA),
        number("-0.01", "f1_macro"),
        number("1.01", "by_magnification.40X.per_class.a.recall", unit="fraction"),
        number("1.01", "per_class.a.recall", unit="fraction"),
        number("-1.01", "kappa", unit="fraction"),
    ):
        assert counted(row) == IMPOSSIBLE
        assert arithmetic.impossible(row) == "lies outside the range of the score"
    for row in (
        number("100.00", "f1_macro"),
        number("-0.50", "per_class.a.mcc", unit="fraction"),
        number("101.00", "no.such"),
        number("120", "best_epoch", unit="epoch"),
    ):
        assert counted(row) == UNRECOVERED


def test_a_mean_of_rounds_is_a_count_of_all_their_images():
    # 951 of 5 x 200; no single round of 200 has 95.10 %
    assert counted(number("95.10", n_test=200)) == IMPOSSIBLE
    assert counted(number("95.10", n_test=200, rounds="5")) == UNRECOVERED
    assert counted(number("95.13", n_test=200, rounds="5")) == IMPOSSIBLE
    assert counted(number("95.00", n_test=200, rounds="1")) == (True, 190, 200)


@pytest.mark.parametrize(
    "key", ["f1_macro", "per_class.a.precision", "per_class.accuracy", "by_magnification.40X.auc",
            "by_magnification.40X.per_class.a.accuracy"],
)  # fmt: skip
def test_other_percentages_give_no_count(key):
    assert counted(number("95.02", key)) == UNRECOVERED
    assert counted(number("95.00", key)) == UNRECOVERED


@pytest.mark.parametrize(
    ("precision", "recall", "n_test", "expected"),
    [
        ("75.00", "30.00", 10, (True, 3, 4)),
        ("75.00", "75.00", 4, (True, 3, 4)),  # all of them above one half
        ("100.00", "75.00", 4, (True, 3, 3)),  # as many as are right
        ("75.00", "33.00", 10, UNRECOVERED),  # no 10 images give the recall
        ("0.00", "0.00", 10, UNRECOVERED),  # 0 of 1 or of 10
        ("0.00", "0.00", 1, (True, 0, 1)),
        ("76", "75.00", 200, UNRECOVERED),  # 150 of 197 or of 198
    ],
)
def test_a_precision_above_one_half_by_the_recall_beside_it(precision, recall, n_test, expected):
    row = number(precision, "precision_micro_at_half", n_test=n_test)
    beside = number(recall, "recall_micro_at_half", n_test=n_test)
    assert counted(row, beside) == expected
    assert counted(row, number(recall, "recall_macro", n_test=n_test)) == UNRECOVERED
    row["metrics_key"] = "by_magnification.40X.precision_micro_at_half"
    assert counted(row, beside) == UNRECOVERED
    beside["metrics_key"] = "by_magnification.40X.recall_micro_at_half"
    assert counted(row, beside) == expected


# --- an F1 from the precision and recall beside it ---------------------------------------------


@pytest.mark.parametrize(
    ("f1", "expected"),
    # 89.95 and 79.95 give 84.6557, 90.05 and 80.05 give 84.7561
    [("84.5", IMPOSSIBLE), ("84.6", IMPOSSIBLE), ("84.7", UNRECOVERED), ("84.8", UNRECOVERED),
     ("84.9", IMPOSSIBLE), ("84.655", IMPOSSIBLE), ("84.656", UNRECOVERED),
     ("84.756", UNRECOVERED), ("84.757", IMPOSSIBLE)],
)  # fmt: skip
@pytest.mark.parametrize("path", ["per_class.a.", "by_magnification.40X.per_class.a."])
def test_the_f1_of_one_round_is_the_harmonic_mean(path, f1, expected):
    beside = number("90.0", path + "precision"), number("80.0", path + "recall")
    assert counted(number(f1, path + "f1"), *beside) == expected
    assert counted(number(f1, path + "f1"), beside[0]) == UNRECOVERED
    assert counted(number(f1, path + "f1"), beside[1]) == UNRECOVERED
    other = number("80.0", path.replace(".a.", ".b.") + "recall")
    assert counted(number(f1, path + "f1"), beside[0], other) == UNRECOVERED


def test_no_f1_above_certainty():
    beside = number("100.0", "per_class.a.precision"), number("100.0", "per_class.a.recall")
    assert counted(number("99.9", "per_class.a.f1"), *beside) == UNRECOVERED
    assert counted(number("100.0", "per_class.a.f1"), *beside) == UNRECOVERED
    assert counted(number("100.1", "per_class.a.f1"), *beside) == IMPOSSIBLE
    none = number("0.0", "per_class.a.precision"), number("0.0", "per_class.a.recall")
    assert counted(number("0.0", "per_class.a.f1"), *none) == UNRECOVERED
    assert counted(number("-0.1", "per_class.a.f1"), *none) == IMPOSSIBLE
    # 0.05, the most that the two can be, is the least that rounds to 0.1
    assert counted(number("0.1", "per_class.a.f1"), *none) == UNRECOVERED


@pytest.mark.parametrize(
    ("precision", "recall", "rounds", "low", "high"),
    [
        (0.9, 0.8, 1, 1.44 / 1.7, 1.44 / 1.7),
        (0.0, 0.0, 1, 0, 0),
        # all errors of the two in a round each: (0.8, 1) and (1, 0.6), F1 8/9 and 3/4
        (0.9, 0.8, 2, (8 / 9 + 3 / 4) / 2, 1.44 / 1.7),
        # and a perfect one
        (0.9, 0.8, 3, (14 / 17 + 4 / 7 + 1) / 3, 1.44 / 1.7),
        # (0.5, 1) and (1, 0): 2/3 and 0
        (0.75, 0.5, 2, 1 / 3, 0.6),
        # all in one round: (0, 0) and (1, 1) would be 1/2, (0, 1) and (1, 0) are 0
        (0.5, 0.5, 2, 0, 0.5),
        # what is missing of the recall fills no round: no bound but 0
        (0.75, 0.25, 2, 0, 0.375),
    ],
)
def test_the_mean_f1_of_rounds(precision, recall, rounds, low, high):
    found = forensics.f1_range(precision, recall, rounds=rounds)
    assert found == pytest.approx((low, high), abs=1e-12)
    assert forensics.f1_range(recall, precision, rounds=rounds) == pytest.approx((low, high))


def test_the_mean_f1_of_rounds_decides():
    # of (89.95, 79.95) at worst 81.86, of (90.05, 80.05) at best 84.7557
    beside = number("90.0", "per_class.a.precision"), number("80.0", "per_class.a.recall")
    for f1, expected in (
        ("81.80", IMPOSSIBLE), ("81.90", UNRECOVERED), ("84.76", UNRECOVERED),
        ("84.77", IMPOSSIBLE),
    ):  # fmt: skip
        assert counted(number(f1, "per_class.a.f1", rounds="2"), *beside) == expected


# --- numbers beside the counts of their class --------------------------------------------------

COUNTS = {"tp": "8", "tn": "88", "fp": "2", "fn": "2"}


def fraction(printed, key):
    return number(printed, key, unit="fraction", n_test=100)


def beside_counts(row, counts=COUNTS, name="a", n_test=100):
    return counted(
        row,
        *(
            number(value, f"per_class.{name}.{key}", unit="images", n_test=n_test)
            for key, value in counts.items()
        ),
    )


@pytest.mark.parametrize(
    ("score", "printed", "expected"),
    [
        ("precision", "0.80", (True, 8, 10)),
        ("precision", "0.81", IMPOSSIBLE),
        ("recall", "0.80", (True, 8, 10)),
        ("fpr", "0.022", (True, 2, 90)),
        ("fpr", "0.023", IMPOSSIBLE),
        ("tnr", "0.978", (True, 88, 90)),
        ("f1", "0.80", UNRECOVERED),
        ("f1", "0.79", IMPOSSIBLE),
        # (0.96 - 0.82) / (1 - 0.82)
        ("kappa", "0.778", UNRECOVERED),
        ("kappa", "0.777", IMPOSSIBLE),
        ("mcc", "0.78", UNRECOVERED),
        ("auc", "0.99", UNRECOVERED),
    ],
)
def test_a_score_beside_the_counts_of_its_class(score, printed, expected):
    row = fraction(printed, f"per_class.a.{score}")
    assert beside_counts(row) == expected
    assert beside_counts(row, name="b") == UNRECOVERED
    for missing in COUNTS:
        fewer = {key: value for key, value in COUNTS.items() if key != missing}
        assert beside_counts(row, fewer) == UNRECOVERED


def test_unequal_counts_tell_the_scores_apart():
    counts = {"tp": "8", "tn": "80", "fp": "2", "fn": "10"}
    for score, printed, expected in (
        ("precision", "0.80", (True, 8, 10)), ("recall", "0.44", (True, 8, 18)),
        ("fpr", "0.024", (True, 2, 82)), ("tnr", "0.976", (True, 80, 82)),
    ):  # fmt: skip
        assert beside_counts(fraction(printed, f"per_class.a.{score}"), counts) == expected


def test_four_counts_add_up_to_the_test_set():
    """Each is then out of the images of its class, 10, or of all others, 90."""
    of = {"tp": 10, "fn": 10, "tn": 90, "fp": 90}
    for name, value in COUNTS.items():
        key = f"per_class.a.{name}"
        right = (True, int(value), of[name])
        for n_test, expected in ((100, right), (101, IMPOSSIBLE), (pd.NA, UNRECOVERED)):
            assert beside_counts(number(value, key, unit="images", n_test=n_test)) == expected


def test_a_share_of_no_image_is_not_judged():
    nothing = {"tp": "0", "tn": "98", "fp": "0", "fn": "2"}
    for printed in ("0.00", "1.00"):
        assert beside_counts(fraction(printed, "per_class.a.precision"), nothing) == UNRECOVERED


def test_a_mean_over_classes_is_of_the_exact_or_of_the_printed_scores():
    siblings = []
    for name, counts, precision in (
        ("a", (2, 94, 1, 3), "0.7"), ("b", (2, 94, 1, 3), "0.7"), ("c", (1, 90, 0, 9), "1.0"),
    ):  # fmt: skip
        keys = [f"per_class.{name}.{key}" for key in ("tp", "tn", "fp", "fn")]
        siblings += [number(str(c), k, unit="images") for k, c in zip(keys, counts, strict=True)]
        siblings.append(fraction(precision, f"per_class.{name}.precision"))
    # exact: (2/3 + 2/3 + 1) / 3 = 0.7778; of the printed ones: 0.8000
    for printed, expected in (
        ("0.7778", UNRECOVERED), ("0.8000", UNRECOVERED), ("0.7889", IMPOSSIBLE),
        ("0.778", UNRECOVERED), ("0.8", UNRECOVERED), ("0.7", IMPOSSIBLE),
    ):  # fmt: skip
        assert counted(fraction(printed, "precision_macro"), *siblings) == expected
    assert counted(fraction("0.5", "recall_macro"), *siblings) == UNRECOVERED  # none is printed
    # a magnification's mean is not that of all images' classes
    assert (
        counted(fraction("0.7", "by_magnification.40X.precision_macro"), *siblings) == UNRECOVERED
    )
    without = [row for row in siblings if row["metrics_key"] != "per_class.b.fn"]
    assert counted(fraction("0.7", "precision_macro"), *without) == UNRECOVERED


def test_siblings_are_of_the_same_row_or_model():
    """Percentages agree with their row, fractions and counts with their model's rows."""
    rows = [
        ("T1", "x", "P", number("84.9", "per_class.a.f1")),
        ("T1", "x", "P", number("90.0", "per_class.a.precision")),
        ("T1", "y", "P", number("80.0", "per_class.a.recall")),
        ("T2", "x", "P", number("80.0", "per_class.a.recall")),
        *(("T3", key, "Q", number(value, f"per_class.a.{key}", unit="images", n_test=100))
          for key, value in COUNTS.items()),
        ("T3", "precision", "Q", fraction("0.9", "per_class.a.precision")),
        ("T3", "precision", "R", fraction("0.9", "per_class.a.precision")),
        ("T4", "precision", "Q", fraction("0.9", "per_class.a.precision")),
    ]  # fmt: skip
    table = pd.DataFrame(
        [{"table": t, "row": r, "preset": p, **values} for t, r, p, values in rows]
    )
    counts = [(True, 8, 10), (True, 88, 90), (True, 2, 90), (True, 2, 10)]
    expected = [UNRECOVERED] * 4 + counts + [IMPOSSIBLE, UNRECOVERED, UNRECOVERED]
    assert tables.paper_counts(table) == expected
    table.loc[2, "row"] = "x"  # now the recall stands beside the F1
    assert tables.paper_counts(table)[0] == IMPOSSIBLE


def test_a_star_needs_a_printed_size():
    """95.02 is no count of 2000 images: of 2007 it is, 1907, and of none that is nearer."""
    row = {**number("95.02"), "n_from": "a share"}
    table = pd.DataFrame([
        {**row, "preset": "A"},
        {**row, "preset": "A", "n_from": ""},
        {**row, "preset": "B", "printed": "95.00"},
        {**row, "preset": "B", "metrics_key": "per_class.a.recall"},
        {**row, "preset": "B", "unit": "images", "metrics_key": "per_class.a.tp"},
        {**row, "preset": "B", "n_test": pd.NA},
        {**row, "preset": "B", "printed": "95.01", "n_test": 1001, "rounds": "2"},
    ]).assign(table="T1", row="r")  # fmt: skip
    table["n_test"] = table["n_test"].astype("Int64")
    possible = [counted.possible for counted in tables.paper_counts(table)]
    assert possible == [None, False, True, None, None, None, None]
    text = "no test size is printed; n = {} (a share){} does not give it, n = {} would fit"
    assert tables.size_remarks(table) == [
        text.format(2000, "", 2007), "", "", "", "", "", text.format(1001, " in 2 rounds", 1002),
    ]  # fmt: skip
    # A size that the paper prints for the same row comes before a nearer one.
    table.loc[1, "n_test"] = 663
    assert tables.recover_count("95.02", 2, 663) == 630
    assert tables.size_remarks(table)[0] == text.format(2000, "", 663)
    # Of two such sizes the smaller one is named.
    assert tables.recover_count("95.02", 2, 1326) == 1260
    two = table.copy()
    two.loc[2, ["preset", "n_from", "n_test"]] = ["A", "", 1326]
    assert tables.size_remarks(two)[0] == text.format(2000, "", 663)
    none = table.assign(printed="101.00")  # as no size gives
    assert tables.size_remarks(none)[0] == (
        "no test size is printed; n = 2000 (a share) does not give it, nor does any size near it"
    )
    four = [{**each, "n_from": "a share"} for each in (
        number(k, f"per_class.a.{name}", unit="images", n_test=99) for name, k in COUNTS.items()
    )]  # fmt: skip
    table = pd.DataFrame(four).assign(table="T1", row="r", preset="A")
    assert tables.paper_counts(table) == [UNRECOVERED] * 4
    assert tables.paper_counts(table.assign(n_from="")) == [IMPOSSIBLE] * 4


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (number("95.02"), "not possible with n = 2000"),
        (number("95.02", rounds="1"), "not possible with n = 2000"),
        (number("95.02", rounds="2"), "not possible with n = 2000 in 2 rounds"),
        (number("84.9", "per_class.a.f1"), "does not follow from the precision and recall printed "
         "beside it"),
        (fraction("0.9", "per_class.a.f1"), "does not follow from the counts printed beside it"),
        (number("8", "per_class.a.tp", unit="images", n_test=99),
         "is one of four counts that do not add up to n = 99"),
    ],
)  # fmt: skip
def test_what_speaks_against_a_number(row, words):
    assert arithmetic.impossible(row) == words


# --- what our runs say --------------------------------------------------------------------------


def scores(value, n=100, *, interval=None, **more):
    """A metrics.json with one score that has an interval, one that has none."""
    return {
        "accuracy": value, "n": n, "correct": round(value * n), "best_epoch": 7,
        "intervals": {"accuracy": interval}, **more,
    }  # fmt: skip


def group(*metrics):
    return tables.Group([None] * len(metrics), list(metrics))


def test_one_run_is_its_value_counts_and_interval():
    found = tables.estimate(group(scores(0.9, interval=[0.8, 0.95])), "accuracy")
    assert (found.value, found.sd, found.n_runs) == (0.9, None, 1)
    assert (found.low, found.high, found.k, found.n, found.n_test) == (0.8, 0.95, 90, 100, 100)
    assert found.half_widths == pytest.approx((0.1, 0.05))
    epoch = tables.estimate(group(scores(0.9)), "best_epoch")
    assert (epoch.value, epoch.low, epoch.k, epoch.half_widths) == (7, None, None, None)


def test_several_runs_are_mean_deviation_and_t_interval():
    runs = [scores(v, interval=[v - w, v + 2 * w]) for v, w in ((0.5, 0.1), (0.6, 0.2))]
    found = tables.estimate(group(*runs), "accuracy")
    # ddof=1: 0.1 / sqrt(2); the t quantile for one degree of freedom is tan(0.475 pi) = 12.7062
    assert (found.value, found.sd) == (pytest.approx(0.55), pytest.approx(0.1 / math.sqrt(2)))
    assert (found.low, found.high) == (0, 1)  # 0.55 -+ 0.635 leaves [0, 1]
    assert (found.n_runs, found.k, found.n, found.n_test) == (2, None, None, 100)
    assert found.half_widths == pytest.approx((0.15, 0.3))
    without = tables.estimate(group(scores(0.5), scores(0.6)), "accuracy")
    assert (without.low, without.high, without.half_widths) == (0, 1, None)
    epochs = [scores(0.5), {**scores(0.5), "best_epoch": 8}]  # no score: it has no range
    found = tables.estimate(group(*epochs), "best_epoch")
    reach = math.tan(0.475 * math.pi) * 0.5
    assert (found.low, found.high) == pytest.approx((7.5 - reach, 7.5 + reach))
    three = [scores(v, interval=[v - 0.1, v + 0.1]) for v in (0.58, 0.60, 0.62)]
    found = tables.estimate(group(*three), "accuracy")
    reach = 4.302653 * 0.02 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.6 - reach, 0.6 + reach))
    skewed = [scores(v, interval=[v - w, v + w]) for v, w in ((0.5, 0.1), (0.5, 0.1), (0.8, 0.4))]
    found = tables.estimate(group(*skewed), "accuracy")
    assert found.value == pytest.approx(0.6)
    assert found.half_widths == pytest.approx((0.2, 0.2))


def test_whether_patients_are_known_to_each_run():
    alone, whose = scores(0.9), {**scores(0.9), "n_patients": 12}
    for runs, by_image in (
        ((alone,), True), ((whose,), False), ((alone, alone), True), ((alone, whose), False),
        ((whose, alone), False), ((whose, whose), False),
    ):  # fmt: skip
        assert tables.estimate(group(*runs), "accuracy").by_image is by_image
    lacking = {"n": 50, "n_patients": 3}  # has no accuracy: it does not count
    assert tables.estimate(group(lacking, alone), "accuracy").by_image is True


def test_what_shares_and_counts_are_out_of():
    assert tables.estimate(group(scores(0.9)), "accuracy").out_of == 100
    assert tables.estimate(group(scores(0.9), scores(0.8)), "accuracy").out_of == 100
    assert tables.estimate(group(scores(0.9), scores(0.8, 90)), "accuracy").out_of is None
    assert tables.estimate(group(scores(0.9)), "best_epoch").out_of is None
    counts = [{"n": 9, "per_class": {"a": {"tp": k, "fn": 4 - k}}} for k in (0, 4)]
    found = tables.estimate(group(*counts), "per_class.a.tp")
    assert (found.out_of, found.low, found.high) == (4, 0, 4)


def test_kappa_may_be_worse_than_chance():
    runs = [
        {"n": 100, "kappa": v, "mcc": v, "f1_macro": v,
         "intervals": {key: [v - 0.1, v + 0.1] for key in ("kappa", "mcc", "f1_macro")}}
        for v in (0.0, 0.1)
    ]  # fmt: skip
    reach = math.tan(0.475 * math.pi) * 0.05
    for key in ("kappa", "mcc"):
        assert tables.estimate(group(*runs), key).low == pytest.approx(0.05 - reach)
    assert tables.estimate(group(*runs), "f1_macro").low == 0
    far = [{**run, "kappa": v, "mcc": v} for run, v in zip(runs, (-0.9, 0.9), strict=True)]
    for key in ("kappa", "mcc"):
        found = tables.estimate(group(*far), key)
        assert (found.low, found.high) == (-1, 1)


def test_runs_without_the_number_do_not_count():
    lacking = {"n": 50, "correct": 1}
    found = tables.estimate(group(lacking, scores(0.9, interval=[0.8, 0.95])), "accuracy")
    assert (found.value, found.n_runs, found.k, found.n, found.n_test) == (0.9, 1, 90, 100, 100)
    nothing = tables.estimate(group(lacking, lacking), "accuracy")
    assert (nothing.value, nothing.n_runs, nothing.n_test) == (None, 2, None)
    # nor do counts that are not whole
    for metrics, key in (
        ({"n": 100, "accuracy": 0.9}, "accuracy"),
        ({"correct": 90, "accuracy": 0.9}, "accuracy"),
        ({"n": 100, "per_class": {"a": {"recall": 0.75, "tp": 30}}}, "per_class.a.recall"),
        ({"n": 100, "per_class": {"a": {"recall": 0.75, "fn": 10}}}, "per_class.a.recall"),
    ):
        found = tables.estimate(group(metrics), key)
        assert (found.k, found.n) == (None, None)
        assert found.value is not None
    # of one run's interval only: that one tells the width
    one = tables.estimate(group(scores(0.5), scores(0.6, interval=[0.5, 0.8])), "accuracy")
    assert one.half_widths == pytest.approx((0.1, 0.2))


def test_test_sets_of_several_sizes_have_no_size():
    assert tables.estimate(group(scores(0.5), scores(0.5, 90)), "accuracy").n_test is None


@pytest.mark.parametrize(
    ("key", "pair"),
    [
        ("accuracy", (90, 100)),
        ("recall_micro_at_half", (80, 100)),
        ("precision_micro_at_half", (80, 85)),
        ("per_class.a.recall", (30, 40)),
        ("per_class.a.precision", (30, 32)),
        ("per_class.a.f1", (None, None)),
        ("per_class.a.tp", (30, 40)),
        ("per_class.a.fn", (10, 40)),
        ("per_class.a.fpr", (2, 60)),
        ("per_class.a.tnr", (58, 60)),
        ("per_class.a.fp", (2, 60)),
        ("per_class.a.tn", (58, 60)),
        ("f1_macro", (None, None)),
        ("by_magnification.40X.accuracy", (9, 10)),
        ("by_magnification.40X.per_class.a.recall", (3, 4)),
        ("per_class.b.recall", (None, None)),
    ],
)
def test_which_scores_are_shares_of_images(key, pair):
    def section(scale):
        return {
            "n": 100 * scale, "correct": 90 * scale, "accuracy": 0.9, "f1_macro": 0.5,
            "tp_at_half": 80 * scale, "above_half": 85 * scale,
            "recall_micro_at_half": 0.8, "precision_micro_at_half": 80 / 85,
            "per_class": {
                "a": {"tp": 30 * scale, "fn": 10 * scale, "fp": 2 * scale, "tn": 58 * scale,
                      "recall": 0.75, "precision": 0.9375, "f1": 0.8, "fpr": 2 / 60,
                      "tnr": 58 / 60},
                "b": {"recall": 0.5},
            },
        }  # fmt: skip

    metrics = {**section(1), "by_magnification": {"40X": section(0.1)}}
    found = tables.estimate(group(metrics), key)
    assert found.value is not None
    assert (found.k, found.n) == pytest.approx(pair)


def test_what_varied_is_what_differs():
    def run(**config):
        return SimpleNamespace(config=config)

    runs = [
        run(seed=0, split_seed=1, fold=0, epochs=3),
        run(seed=0, split_seed=2, fold=0, epochs=4),
    ]
    assert tables.Group(runs, []).varied == ["split_seed"]
    assert tables.Group(runs[:1], []).varied == []
    assert tables.Group([run(seed=0), run(seed=1, fold=2)], []).varied == ["seed", "fold"]
    assert tables.Group(runs, []).independent  # another draw of the split is not another fold


# --- the verdict --------------------------------------------------------------------------------


def ours(value, low, high, *, n_test=2000, runs=1, widths=None):
    return tables.Estimate(value, None, runs, low, high, None, None, n_test, widths)


def verdict(row, estimate, counts=UNRECOVERED):
    return tables.status(row, *counts, estimate)


def test_the_interval_of_a_difference_by_hand():
    # each end: the square root of the sum of the squares of the two reaches towards it
    low, high = tables.difference_interval((0.5, 0.46, 0.62), (0.25, 0.13, 0.28))
    assert (low, high) == pytest.approx((0.25 - 0.05, 0.25 + math.hypot(0.12, 0.12)))


def test_ours_minus_the_papers():
    row = number("90.00", "f1_macro")
    found = tables.difference(row, None, 0, 0, ours(0.95, 0.91, 0.98, widths=(0.03, 0.04)))
    reach = math.hypot(0.04, 0.04), math.hypot(0.03, 0.03)
    assert found == pytest.approx((0.05, 0.05 - reach[0], 0.05 + reach[1]))
    # counts give the exact share and Clopper-Pearson's interval
    low, high = clopper_pearson(1901, 2000)
    found = tables.difference(number("95.05"), True, 1901, 2000, ours(0.96, 0.95, 0.965))
    assert found == pytest.approx(
        (0.0095, 0.0095 - math.hypot(0.01, high - 0.9505),
         0.0095 + math.hypot(0.005, 0.9505 - low))
    )  # fmt: skip
    # 1 of 3, not the printed 33.33 %
    assert tables.difference(number("33.33"), True, 1, 3, ours(0.5, 0.4, 0.6)).value == 0.5 - 1 / 3
    # an impossible number differs all the same
    found = tables.difference(row, False, 0, 0, ours(0.95, 0.91, 0.98, widths=(0.03, 0.04)))
    assert found.low == pytest.approx(0.05 - reach[0])


def test_a_difference_without_an_interval():
    for row, estimate, expected in (
        (number("90.00"), None, None),
        (number("90.00"), ours(None, None, None), None),
        (number("90.00", "f1_macro"), ours(0.95, 0.9, 1.0), 0.05),
        (number("90.00"), ours(0.95, None, None, widths=(0.1, 0.1)), 0.05),
        (number("90.00"), ours(0.95, 0.9, None, widths=(0.1, 0.1)), 0.05),
        (number("0.90", "per_class.a.f1", unit="fraction"), ours(0.95, None, None), 0.05),
        (number("12", "best_epoch", unit="epoch"), ours(9, 8, 10, widths=(1, 1)), -3),
    ):
        found = tables.difference(row, None, 0, 0, estimate)
        assert found == (expected if expected is None else pytest.approx(expected), None, None)


def test_three_points_half_width_is_agreement(monkeypatch):
    # Dyadic numbers, which floats hold exactly: reaches of 3/128 and 4/128 make 5/128.
    monkeypatch.setattr("common.tables.judge.MARGIN", 5 / 128)
    row = number("50.00", "f1_macro")
    for ours_reach, expected in ((4 / 128, "consistent"), (4.01 / 128, "inconclusive")):
        estimate = ours(0.5, 0.5 - ours_reach, 0.5 + ours_reach, widths=(3 / 128, 3 / 128))
        assert verdict(row, estimate) == (expected, "")
    # the half-width counts, not the reach to one side
    lopsided = ours(0.5, 0.5 - 6 / 128, 0.5 + 2 / 128, widths=(0, 0))
    assert verdict(row, lopsided) == ("consistent", "")


def test_the_margin_is_three_points():
    assert tables.MARGIN == 0.03


def reaching(value, reach):
    return ours(value, value - reach, value + reach, widths=(0, 0))


def test_an_interval_that_touches_zero_holds_it():
    row = number("50.00", "f1_macro")
    for value, beyond in ((0.5625, "above"), (0.4375, "below")):  # 1/16 off
        assert verdict(row, reaching(value, 1 / 16)) == ("inconclusive", "")
        assert verdict(row, reaching(value, 0.999 / 16)) == (beyond, "")


PI = {**number("512", "latency_ms", unit="ms", n_test=""), "row": "Raspberry Pi 4 (1 GB)"}


def timed(value, below, above, *, device="Raspberry Pi 4 Model B Rev 1.4"):
    return tables.Estimate(
        value, None, 1, value - below, value + above, None, None, None, (below, above),
        device=device,
    )  # fmt: skip


def test_a_latency_is_judged_by_its_interval_on_the_same_device_alone():
    """The paper's is taken to be as uncertain as ours; three percent of the printed are 15.36."""
    found = tables.difference(PI, None, 0, 0, timed(500.0, 10, 6))
    assert found == pytest.approx((-12, -12 - math.hypot(10, 6), -12 + math.hypot(6, 10)))
    for value, reach, expected in (
        (512, 10.8, "consistent"), (512, 10.9, "inconclusive"),  # times the square root of 2
        (530, 10, "above"), (490, 10, "below"),
    ):  # fmt: skip
        assert verdict(PI, timed(value, reach, reach)) == (expected, "")
    elsewhere = timed(500.0, 10, 6, device="AMD EPYC 7R13")
    assert tables.difference(PI, None, 0, 0, elsewhere) == (None, None, None)
    assert verdict(PI, elsewhere) == (
        "not comparable",
        "other device: ours on AMD EPYC 7R13, the paper's on Raspberry Pi 4 (1 GB)",
    )


def test_a_count_is_exact():
    row = number("23.55", "parameters", unit="M", n_test="")
    for millions, expected in (
        (23.551, "consistent"), (23.549, "consistent"), (23.5551, "above"), (23.5449, "below"),
    ):  # fmt: skip
        found = tables.Estimate(millions, None, 1, None, None, None, None, None, None)
        assert verdict(row, found) == (expected, "")
    for value, expected in ((0, "below"), (1, "consistent")):
        found = tables.Estimate(value, None, 1, None, None, None, None, None, None)
        assert verdict({**row, "printed": "1", "decimals": 0}, found) == (expected, "")
    nothing = tables.Estimate(None, None, 1, None, None, None, None, None, None)
    assert verdict(row, nothing) == ("not comparable", "no value: the runs have no parameters")


@pytest.mark.parametrize(
    ("unit", "value", "low", "high", "expected"),
    [
        ("G", 3.5e9, 3e9, 4.5e9, (3.5, 3, 4.5, (0.5, 1))),
        ("M", 3e6, 2e6, 5e6, (3, 2, 5, (1, 2))),
        ("ms", 500, 490, 506, (500, 490, 506, (10, 6))),
    ],
)
def test_a_measurement_in_the_printed_unit(unit, value, low, high, expected):
    key = "latency_ms"
    one = Measurement("bench", {key: value}, {key: (low, high)}, device="x", words="so")
    found = measured({"metrics_key": key, "unit": unit, "row": "any"}, [one])
    assert (found.value, found.low, found.high) == pytest.approx(expected[:3])
    assert found.half_widths == pytest.approx(expected[3])
    assert (found.n_runs, found.device, found.words) == (1, "x", "so")
    assert measured({"metrics_key": "memory_mb", "unit": "MB", "row": "any"}, [one]) is None
    counts = Measurement("complexity", {"parameters": 2e6}, {})
    found = measured({"metrics_key": "parameters", "unit": "M", "row": "any"}, [counts])
    assert (found.value, found.low, found.high, found.half_widths) == (2, None, None, None)
    half = Measurement("bench", {key: value}, {key: (low, None)})  # type: ignore[dict-item]
    found = measured({"metrics_key": key, "unit": unit, "row": "any"}, [half])
    assert found.half_widths is None


def test_a_row_is_judged_when_its_rounds_are_whole():
    row = number("50.00", "f1_macro", rounds="5")
    for runs, expected in ((1, "1 of 5 rounds"), (4, "4 of 5 rounds"), (5, "above"), (6, "above")):
        estimate = ours(0.9, 0.89, 0.91, runs=runs, widths=(0.01, 0.01))
        assert verdict(row, estimate) == (expected, "")
    assert verdict({**row, "rounds": "1"}, ours(0.9, 0.89, 0.91, widths=(0.01, 0.01)))[0] == "above"


def test_what_comes_first_of_several_reasons():
    """Impossible, not run, another unit, no such number, no test set, another one, rounds."""
    row = number("95.02", n_test=2000, rounds="5")
    few = ours(0.9, 0.89, 0.91, n_test=1000, widths=(0.01, 0.01))
    assert verdict(row, None, IMPOSSIBLE)[0] == "impossible as printed"
    assert verdict(row, None) == ("not run", "")
    assert verdict(row, few, IMPOSSIBLE) == (
        "impossible as printed", "not possible with n = 2000 in 5 rounds",
    )  # fmt: skip
    epoch = {**row, "unit": "epoch", "n_test": pd.NA}
    assert verdict(epoch, few) == ("not comparable", "unit: an epoch is no score of test images")
    assert verdict({**row, "unit": "G"}, few) == (
        "not comparable",
        "unit: not a score on test images",
    )
    lacking = ours(None, None, None, n_test=None)
    unknown = {**row, "n_test": pd.NA}
    assert verdict(unknown, lacking) == ("not comparable", "no value: the runs have no accuracy")
    assert verdict(unknown, few) == (
        "not comparable",
        "no test size: the paper's test set is not known",
    )
    assert verdict(row, few) == (
        "not comparable", "other test set: ours of 1000 images, the paper's of 2000",
    )  # fmt: skip
    assert verdict(row, ours(0.9, 0.89, 0.91, n_test=None)) == (
        "not comparable", "other test set: ours of several sizes, the paper's of 2000",
    )  # fmt: skip
    assert verdict(row, ours(0.9, None, None)) == ("1 of 5 rounds", "")


def test_without_an_interval_nothing_is_concluded():
    for estimate in (ours(0.9, None, None, widths=(0.01, 0.01)), ours(0.9, 0.89, 0.91)):
        assert verdict(number("50.00", "f1_macro"), estimate) == ("inconclusive", "no interval")
