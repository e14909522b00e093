"""Rules of the metrics that no example of another test decides: edges, refusals, orders."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common import metrics
from common.errors import InputError
from common.metrics import arguments, bootstrap, catalogue, counts, groups, intervals, replicates
from common.metrics.counts import confusion_matrix, fpr, kappa, macro, mcc, tnr
from common.metrics.ground import ground_of
from common.metrics.probabilities import squared_errors
from common.metrics.score import Images
from common.predictions import SUM_TOLERANCE

NAMES = ["a", "b", "c"]


def is_said(message):
    return pytest.raises(ValueError, match=message)


# --- what a score rests on ---------------------------------------------------------------------


def test_ground_counts_images_and_patients():
    labels = np.array([0, 0, 0, 1, 1, 2])
    cases = np.array(["p", "p", "q", "q", "r", "r"])
    ground = ground_of(labels, NAMES, cases)
    assert ground.images.tolist() == [3, 2, 1]
    assert ground.units.tolist() == [2, 2, 1]
    # Of all other classes: a's others are q and r, b's p, q and r, c's all three.
    assert ground.other_units.tolist() == [2, 3, 3]
    assert (ground.total, ground.unit) == (3, "patient")
    alone = ground_of(labels, NAMES, None)
    assert alone.units.tolist() == [3, 2, 1]
    assert alone.other_units.tolist() == [3, 4, 5]
    assert (alone.total, alone.unit) == (6, "image")


@pytest.mark.parametrize(
    ("labels", "names", "rests_on", "number", "reason"),
    [
        ([0, 0], NAMES, "classes", None, "all test images are of a"),
        ([1, 1], NAMES, "classes", None, "all test images are of b"),
        ([0, 0], NAMES, "images", None, ""),
        ([0, 1], NAMES, "classes", None, ""),
        ([0, 1], NAMES, "class", 2, "no test image of c"),
        ([0, 1], NAMES, "class and others", 2, "no test image of c"),
        ([0, 1], NAMES, "others", 2, ""),
        ([0, 1], NAMES, "class", 0, ""),
        ([0, 0], NAMES, "class", 0, ""),
        ([0, 0], NAMES, "others", 0, "no test image of any class but a"),
        ([0, 0], NAMES, "class and others", 0, "no test image of any class but a"),
        ([0, 0], ["a", "b"], "others", 0, "no test image of b"),
        ([1, 1], ["a", "b"], "class and others", 1, "no test image of a"),
        ([1, 1], ["a", "b"], "class and others", 0, "no test image of a"),
        ([0, 1], ["a", "b"], "class and others", 0, ""),
    ],
)
def test_why_a_score_has_no_value(labels, names, rests_on, number, reason):
    assert ground_of(np.array(labels), names, None).missing(rests_on, number) == reason


@pytest.mark.parametrize(
    ("labels", "cases", "rests_on", "number", "reason"),
    [
        ([0, 1], "pp", "images", None, "one patient"),
        ([0, 1], "pp", "class", 0, "one patient"),
        ([0], None, "images", None, ""),
        ([0, 0, 1, 1], "pqpq", "classes", None, ""),
        ([0, 0, 1, 1], "pqpp", "classes", None, "one patient of b"),
        ([0, 0, 1, 2], "pqpp", "classes", None, "one patient each of b, c"),
        ([0, 0, 1, 2], "pqpp", "images", None, ""),
        ([0, 0, 1, 1], None, "classes", None, ""),
        ([0, 0, 1, 2], None, "classes", None, "one image each of b, c"),
        ([0, 0, 1, 1], "pqpp", "class", 1, "one patient of b"),
        ([0, 0, 1, 1], "pqpp", "class", 0, ""),
        ([0, 0, 1, 1], "pqpp", "others", 1, ""),
        ([0, 0, 1, 1], "pqpp", "others", 0, "one patient of any class but a"),
        ([0, 0, 1, 1], "pqpp", "class and others", 0, "one patient of any class but a"),
    ],
)
def test_why_a_score_has_no_interval(labels, cases, rests_on, number, reason):
    known = None if cases is None else np.array(list(cases))
    assert ground_of(np.array(labels), NAMES, known).lone(rests_on, number) == reason


def test_which_samples_hold_what_a_score_rests_on():
    ground = ground_of(np.array([0, 0, 1, 1]), NAMES, None)  # none of c
    samples = np.array([[2, 2, 0], [4, 0, 0], [0, 4, 0], [1, 3, 0]])
    held = {
        ("images", None): [True, True, True, True],
        ("classes", None): [True, False, False, True],  # c is not asked for
        ("class", 0): [True, True, False, True],
        ("others", 0): [True, False, True, True],
        ("class and others", 0): [True, False, False, True],
        ("class", 2): [True, True, True, True],  # the test set lacks it, too
        ("class and others", 2): [True, True, True, True],
    }
    for (rests_on, number), expected in held.items():
        found = ground.held(rests_on, samples, number)
        assert found.shape == (4,)
        assert found.tolist() == expected, (rests_on, number)
    assert ground.held("class", samples[None], 0).shape == (1, 4)
    assert ground.held("classes", samples[None]).tolist() == [[True, False, False, True]]
    rare = ground_of(np.array([0, 1, 1, 1]), NAMES, None)  # one image of a
    few = np.array([[0, 4, 0], [1, 3, 0], [3, 1, 0]])
    assert rare.held("classes", few).tolist() == [False, True, True]
    assert rare.held("others", few, 0).tolist() == [True, True, True]
    assert rare.held("others", few, 1).tolist() == [False, True, True]
    of_one = ground_of(np.array([1, 1]), NAMES, None)  # no other class than b
    assert of_one.held("class and others", np.array([[0, 2, 0]]), 1).tolist() == [True]


# --- counts --------------------------------------------------------------------------------------


def test_as_many_classes_as_there_may_be(monkeypatch):
    with is_said("n_classes 10001: at most 10000"):
        confusion_matrix([0], [0], 10_001)
    monkeypatch.setattr(counts, "MOST_CLASSES", 20)
    assert confusion_matrix([0], [19], 20).shape == (20, 20)


def test_a_mean_is_of_as_many_scores_as_classes():
    with is_said(r"per_class must be \(2,\), as matrix is, not \(1,\)"):
        macro(np.array([0.5]), np.eye(2))
    with is_said(r"per_class must be \(2,\), as matrix is, not \(3, 2\)"):
        macro(np.zeros((3, 2)), np.eye(2))


def test_rates_against_one_other_image():
    matrix = np.array([[3, 0], [1, 0]])  # one image of the second class, taken for the first
    assert fpr(matrix).tolist() == [1.0, 0.0]
    assert tnr(matrix).tolist() == [0.0, 1.0]


def test_a_matrix_is_left_as_it_was():
    matrix = np.array([[3.0, 1.0], [1.0, 2.0]])
    before = matrix.copy()
    kappa(matrix)
    mcc(matrix)
    np.testing.assert_array_equal(matrix, before)


# --- arguments -----------------------------------------------------------------------------------


def test_sums_of_a_softmax_at_the_tolerance():
    most = SUM_TOLERANCE * 1.001
    for total in (1 + SUM_TOLERANCE, 1 - SUM_TOLERANCE):
        arguments.softmax([[total / 2, total / 2]])
    for total in (1 + 1.01 * most, 1 - 1.01 * most):
        with is_said("adds up to"):
            arguments.softmax([[total / 2, total / 2]])


def test_columns_hold_no_nan():
    frame = pd.DataFrame({"image": ["a", None], "label": ["x", "y"]})
    arguments.columns(frame, ["label"], "predictions")
    with is_said("predictions: the column image holds NaN; unknown values are empty"):
        arguments.columns(frame, ["label", "image"], "predictions")
    with is_said("predictions: the column part is missing"):
        arguments.columns(frame, ["part"], "predictions")


# --- patients, magnifications --------------------------------------------------------------------


def test_unknown_values_are_unknown():
    assert groups.known(None) is None
    assert groups.known([]) is None
    assert groups.known(["a", ""]) is None
    assert groups.known(["a", None]) is None
    assert groups.known(np.array(["a", np.nan], dtype=object)) is None
    assert groups.known([1.0, np.nan]) is None
    assert groups.known([1.0, 2.0]).tolist() == ["1.0", "2.0"]
    assert groups.known(np.array(["a", "b"], dtype=object)).tolist() == ["a", "b"]
    assert groups.known(["nan", "None"]).tolist() == ["nan", "None"]  # texts are texts


def test_of_no_image():
    assert groups.per_patient(np.array([], dtype=bool), np.array([])) == {}
    with is_said("correct and cases of no image"):
        metrics.patient_recognition_rate(np.array([], dtype=bool), np.array([]))


def test_counts_of_a_patient_are_whole_numbers():
    found = groups.per_patient(np.array([True, False, True]), np.array(["q", "p", "q"]))
    assert found == {"p": (0, 1), "q": (2, 2)}
    assert list(found) == ["p", "q"]
    assert {type(count) for pair in found.values() for count in pair} == {int}


def test_magnifications_by_number():
    names = np.array(["400X", "40X", "100X", "x"])
    found = groups.rates_by_folder([True] * 4, ["a", "b", "c", "d"], names)
    assert list(found) == ["x", "40X", "100X", "400X"]


def test_rates_of_each_magnification_by_hand():
    right = np.array([True, False, True, True, False])
    where = np.array(["40X", "40X", "40X", "100X", "100X"])
    found = groups.rates_by_folder(right, np.array(["a", "a", "b", "a", "b"]), where)
    assert found == {"40X": ((0.5 + 1) / 2, 2), "100X": ((1 + 0) / 2, 2)}


def table(**changes):
    base = {
        "image": ["1", "2", "3", "4"],
        "case": ["p", "q", "o", "p"],
        "slide": "",
        "folder": "",
        "magnification": ["40X", "40X", "40X", "40X"],
        "part": "test",
        "label": ["a", "b", "b", "b"],
        "p_a": [0.9, 0.2, 0.9, 0.1],
        "p_b": [0.1, 0.8, 0.1, 0.9],
    }
    return pd.DataFrame({**base, **changes})


def test_cases_of_equal_accuracy_are_sorted_by_name():
    found = metrics.case_table(table())
    assert found["case"].tolist() == ["o", "p", "q"]
    assert found.index.tolist() == [0, 1, 2]
    assert found["label"].tolist() == ["b", "a+b", "b"]
    assert found["correct"].tolist() == [0, 2, 1]
    found = metrics.case_table(table(case=["p", "q", "z", "p"]))
    assert found["case"].tolist() == ["z", "p", "q"]
    assert found.index.tolist() == [0, 1, 2]


def test_the_labels_of_one_case_are_joined_in_order():
    names = list("gcaifbhd")
    rows = {"case": "o", "label": names, **{f"p_{name}": 1 / 8 for name in names}}
    assert metrics.case_table(pd.DataFrame(rows))["label"].tolist() == ["a+b+c+d+f+g+h+i"]


def test_tables_that_lack_a_column():
    with is_said("predictions: the column case is missing"):
        metrics.case_table(table().drop(columns="case"))
    with is_said("predictions: the column p_b holds NaN"):
        metrics.case_table(table(p_b=[0.1, np.nan, 0.1, 0.9]))
    with is_said("predictions: the column magnification is missing"):
        metrics.roc_by_magnification(table().drop(columns="magnification"), "b")
    assert set(metrics.roc_by_magnification(table().drop(columns="part"), "b")) == {"40X"}
    with is_said("predictions: the column p_c is missing"):
        metrics.roc_by_magnification(table(), "c")


# --- pairs ---------------------------------------------------------------------------------------


def test_pairs_are_refused_with_their_argument():
    a, b = table(), table(p_a=[0.1, 0.2, 0.9, 0.1], p_b=[0.9, 0.8, 0.1, 0.9])
    compared = metrics.compare(a, b)
    assert (compared["n"], compared["ci_unit"], compared["only_a"]) == (4, "patient", 1)
    unknown = {"case": ["", "q", "o", "p"]}
    assert metrics.compare(table(**unknown), b.assign(**unknown))["ci_unit"] == "image"
    with is_said("predictions_a: the column part is missing"):
        metrics.compare(a.drop(columns="part"), b)
    with is_said("predictions_b: the column p_<class> is missing"):
        metrics.compare(a, b.drop(columns=["p_a", "p_b"]))
    with is_said("predictions_b: the column p_a holds NaN"):
        metrics.compare(a, b.assign(p_a=[np.nan, 0.2, 0.9, 0.1]))
    left = {seed: metrics.compare(a, b, seed=seed, replicates=7) for seed in range(8)}
    assert all(each == left[0] for each in left.values())  # each patient is left out, none drawn
    a, b = a.assign(**unknown), b.assign(**unknown)
    drawn = {seed: metrics.compare(a, b, seed=seed, replicates=7) for seed in range(8)}
    assert metrics.compare(a, b, replicates=7) == drawn[0]
    assert any(each != drawn[0] for each in drawn.values())
    with pytest.raises(InputError, match=r"the second run has predictions of 1 twice"):
        metrics.compare(a, b.assign(image=["1", "1", "3", "4"]))
    with pytest.raises(InputError, match=r"the first run has predictions of 3 twice"):
        metrics.compare(a.assign(image=["1", "2", "3", "3"]), b)


# --- intervals -----------------------------------------------------------------------------------


def test_what_is_not_resampled():
    for wrong in (np.zeros((0, 2)), np.zeros(3), np.array([[np.nan]]), np.array([[1.0], [np.inf]])):
        with is_said("features must be"):
            intervals.resample(wrong)
    with is_said(r"groups must be one per image, \(2,\)"):
        intervals.resample(np.ones((2, 1)), ["p"])


def test_an_interval_of_replicates():
    assert intervals.percentile_interval([0.5, 0.5]) is None
    assert intervals.percentile_interval([np.nan, np.nan]) is None
    assert intervals.percentile_interval([np.nan, 0.0, 1.0], 0.5) == (0.25, 0.75)
    with is_said("values of no bootstrap sample"):
        intervals.percentile_interval([])


def test_the_first_seed_is_nought():
    features = np.eye(3)
    for cases in (None, ["p", "q", "q"]):
        first = metrics.draw(3, cases, replicates=20)
        assert (first.times == metrics.draw(3, cases, replicates=20, seed=0).times).all()
        assert (first.times != metrics.draw(3, cases, replicates=20, seed=1).times).any()
        sums = metrics.resample(features, cases, replicates=20)
        assert (sums == metrics.resample(features, cases, replicates=20, seed=0)).all()
        assert (sums != metrics.resample(features, cases, replicates=20, seed=1)).any()


def test_samples_sum_whole_numbers_as_floats():
    draws = intervals.draw(3, replicates=4, seed=1)
    sums = draws.sums(np.array([1, 2, 3], dtype=np.uint8) * 80)  # 240 + 240 is more than a byte
    assert sums.dtype == np.float64
    np.testing.assert_array_equal(sums, draws.times @ [80.0, 160.0, 240.0])


def some(n=60, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n)


def test_a_seed_is_of_every_interval():
    labels, probabilities = some()
    one, two = (
        metrics.compute(labels, probabilities, NAMES, replicates=50, seed=seed)["intervals"]
        for seed in (1, 2)
    )
    for name in ("accuracy", "kappa", "auc", "brier", "log_loss"):
        assert one[name] != two[name], name


def test_intervals_of_probabilities_are_of_drawn_images():
    labels, probabilities = some()
    found = metrics.compute(labels, probabilities, NAMES, replicates=50, seed=3)["intervals"]
    order = np.lexsort((*probabilities.T, labels))
    errors = squared_errors(labels, probabilities)[order]
    draws = metrics.draw(60, replicates=50, seed=3)
    samples = [np.repeat(errors, times.astype(int)).mean() for times in draws.times]
    assert found["brier"] == pytest.approx(np.percentile(samples, [2.5, 97.5]))


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_do_not_depend_on_the_order_of_images(clustered):
    labels, probabilities = some()
    cases = np.array(list("pqrstu") * 10)
    folders, magnifications = np.char.add(cases, np.repeat(["1", "2"], 30)), np.full(60, "40X")
    order = np.random.default_rng(1).permutation(60)
    one, two = (
        metrics.compute(
            labels[chosen], probabilities[chosen], NAMES, replicates=50,
            cases=cases[chosen] if clustered else None,
            magnifications=magnifications, folders=folders[chosen],
        )
        for chosen in (np.arange(60), order)
    )  # fmt: skip
    assert one["intervals"] == two["intervals"]
    one, two = (each["by_magnification"]["40X"]["intervals"] for each in (one, two))
    assert one == two
    assert (one["folder_recognition_rate"] is not None) == clustered


def test_sorted_images_are_the_same_images():
    labels, probabilities = some(8)
    rows = np.array([f"r{i}" for i in range(8)])
    images = Images(
        labels=labels, probabilities=probabilities, predicted=np.arange(8) * 10,
        correct=np.arange(8) % 2 == 0, matrix=np.eye(3), cases=rows, positive=None, folders=rows,
    )  # fmt: skip
    found = bootstrap._sorted(images)
    order = [int(name[1:]) for name in found.cases]
    assert sorted(order) == list(range(8))
    assert order != list(range(8))
    for name in ("labels", "probabilities", "predicted", "correct", "folders"):
        np.testing.assert_array_equal(getattr(found, name), getattr(images, name)[order])
    bare = bootstrap._sorted(images._replace(cases=None, folders=None))
    assert bare.cases is None
    assert bare.folders is None


def test_the_order_of_intervals():
    labels, probabilities = some(6, 2)
    found = list(metrics.compute(labels, probabilities, ["a", "b"], replicates=5)["intervals"])
    means = [f"{score.key}_macro" for score in catalogue.PER_CLASS]
    first = found.index(means[0])
    assert found[first : first + len(means)] == means
    assert found[:first] == ["accuracy", "balanced_accuracy"]
    assert found[-len(catalogue.PER_CLASS) :] == [
        f"per_class.b.{score.key}" for score in catalogue.PER_CLASS
    ]


def test_the_area_of_samples_is_over_the_classes_there_are():
    labels, probabilities = some(40, 2)
    probabilities = np.hstack([0.9 * probabilities, np.full((40, 1), 0.1)])
    draws = metrics.draw(40, replicates=30)
    found = replicates.auc_of(labels, probabilities, None, draws)  # none of the third class
    expected = [replicates.auc(labels == i, probabilities[:, i], draws) for i in (0, 1)]
    np.testing.assert_array_equal(found, np.mean(expected, axis=0))
    assert metrics.compute(labels, probabilities, NAMES)["intervals"]["auc"] is not None
    positive = replicates.auc_of(labels, probabilities[:, :2], 1, draws)
    np.testing.assert_array_equal(positive, expected[1])
    of_three = replicates.auc_of(labels, probabilities, 1, draws)  # a positive one of two only
    np.testing.assert_array_equal(of_three, found)
    assert np.isnan(replicates.auc_of(np.zeros(40, int), probabilities, None, draws)).all()


def test_the_area_of_one_pair():
    draws = metrics.Draws(np.array([[1.0, 1.0], [2.0, 0.0]]), np.arange(2))
    for positive, area in (([True, False], 1.0), ([False, True], 0.0), ([1, 0], 1.0)):
        found = replicates.auc(np.array(positive), np.array([0.7, 0.2]), draws)
        np.testing.assert_array_equal(found, [area, np.nan])


def test_areas_of_many_images():
    draws = metrics.Draws(np.array([[40000.0, 40000.0]]), np.arange(2))  # 3.2e9 twice won pairs
    assert replicates.auc(np.array([True, False]), np.array([0.7, 0.2]), draws).tolist() == [1.0]


# --- probabilities -------------------------------------------------------------------------------


def test_scores_of_a_curve():
    with is_said(r"scores \(2,\) and positive \(3,\) must be \(n,\)"):
        metrics.roc_curve([True, False, True], [0.1, 0.2])
    for bad in (np.nan, np.inf):
        with is_said("scores must be finite"):
            metrics.roc_curve([True, False], [0.1, bad])


def test_a_positive_class_is_one_of_the_classes():
    labels, probabilities = [0, 1], [[0.9, 0.1], [0.2, 0.8]]
    assert metrics.auc_of(labels, probabilities, 1) == (1.0, "positive class")
    with is_said("positive must be a class number below 2, not 2"):
        metrics.auc_of(labels, probabilities, 2)


def test_one_bin_holds_all():
    found = metrics.reliability([0, 1], [[0.9, 0.1], [0.2, 0.8]], bins=1)
    assert found["n"].tolist() == [2]
    assert found["confidence"].tolist() == pytest.approx([0.85])


# --- the catalogue -------------------------------------------------------------------------------


def test_an_entry_is_found_by_its_path():
    assert catalogue.find("accuracy").key == "accuracy"
    assert catalogue.find("per_class.benign.recall") in catalogue.PER_CLASS
    assert catalogue.find("per_class.benign.recall").key == "recall"
    assert catalogue.find("recall") is None or catalogue.find("recall") in catalogue.SCORES
    assert catalogue.find("per_class.benign.accuracy") is None
    assert catalogue.find("nothing") is None
