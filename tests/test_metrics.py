"""Metrics against hand-computed cases, scikit-learn, and the two papers' recovered counts."""

from __future__ import annotations

import json
import re

import golden_metrics
import numpy as np
import pandas as pd
import pytest

from common import metrics, predictions
from common.errors import InputError
from common.metrics import bootstrap, pairs
from common.metrics.counts import ratio, two_by_two
from common.metrics.groups import by_number, known
from common.metrics.summary import summary

# Four classes, ten images, worked out by hand.
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3])
PREDICTED = np.array([0, 0, 0, 1, 1, 1, 0, 2, 1, 3])
MATRIX = np.array([[3, 1, 0, 0], [1, 2, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])


def softmax(rng, n, n_classes, scale=1.5):
    logits = rng.normal(scale=scale, size=(n, n_classes))
    exponent = np.exp(logits)
    return exponent / exponent.sum(axis=1, keepdims=True)


def one_hot(predicted, n_classes, top=0.9):
    probabilities = np.full((len(predicted), n_classes), (1 - top) / (n_classes - 1))
    probabilities[np.arange(len(predicted)), predicted] = top
    return probabilities


def from_matrix(matrix):
    """Labels and predicted classes that have this confusion matrix."""
    pairs = [(i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) for _ in range(n)]
    labels, predicted = np.array(pairs).T
    return labels, predicted


# --- hand-computed -----------------------------------------------------------------------------


def test_confusion_matrix_by_hand():
    np.testing.assert_array_equal(metrics.confusion_matrix(LABELS, PREDICTED, 4), MATRIX)


@pytest.mark.parametrize(
    ("labels", "predicted"), [([0, 4], [0, 1]), ([0, 1], [0, -1]), ([0], [0, 1]), ([[0]], [[0]])]
)
def test_confusion_matrix_refuses_what_is_no_class(labels, predicted):
    with pytest.raises(ValueError, match=r"outside|must be"):
        metrics.confusion_matrix(np.array(labels), np.array(predicted), 4)


def test_one_class_is_a_matrix_of_one():
    assert metrics.confusion_matrix(np.array([0, 0]), np.array([0, 0]), 1).tolist() == [[2]]


def test_per_class_needs_a_name_for_every_class():
    for names in ("abc", "abcde"):
        with pytest.raises(ValueError, match="4, 4"):
            metrics.per_class(MATRIX, names)


def test_scores_by_hand():
    assert metrics.accuracy(MATRIX) == pytest.approx(7 / 10)
    np.testing.assert_allclose(metrics.precision(MATRIX), [3 / 4, 2 / 4, 1, 1])
    np.testing.assert_allclose(metrics.recall(MATRIX), [3 / 4, 2 / 3, 1 / 2, 1])
    np.testing.assert_allclose(metrics.f1(MATRIX), [3 / 4, 4 / 7, 2 / 3, 1])
    assert metrics.balanced_accuracy(MATRIX) == pytest.approx((3 / 4 + 2 / 3 + 1 / 2 + 1) / 4)
    # chance agreement: (4*4 + 3*4 + 2*1 + 1*1) / 100 = 0.31
    assert metrics.kappa(MATRIX) == pytest.approx((0.7 - 0.31) / (1 - 0.31))
    # R_K: (7*10 - 31) / sqrt((100 - 30) (100 - 34))
    assert metrics.mcc(MATRIX) == pytest.approx(39 / np.sqrt(70 * 66))


def test_stacked_matrices_are_scored_one_by_one():
    stack = np.stack([MATRIX, MATRIX.T, 3 * MATRIX])
    for score in (metrics.accuracy, metrics.balanced_accuracy, metrics.kappa, metrics.mcc):
        np.testing.assert_array_equal(score(stack), [score(each) for each in stack])
    for name, found in metrics.class_scores(stack).items():
        alone = [metrics.class_scores(each)[name] for each in stack]
        np.testing.assert_array_equal(found, alone)
        np.testing.assert_array_equal(
            metrics.macro(found, stack),
            [metrics.macro(a, b) for a, b in zip(alone, stack, strict=True)],
        )


def test_stacked_matrices_with_a_class_that_does_not_occur():
    # All predicted as the first class: of the second there are one image, and none.
    stack = np.array([[[2, 0], [1, 0]], [[2, 0], [0, 0]], [[1, 1], [0, 0]]])
    np.testing.assert_allclose(metrics.balanced_accuracy(stack), [1 / 2, 1, 1 / 2])
    np.testing.assert_allclose(metrics.macro(metrics.recall(stack), stack), [1 / 2, 1, 1 / 2])
    np.testing.assert_array_equal(two_by_two(stack[0]), [[[0, 1], [0, 2]], [[2, 0], [1, 0]]])
    np.testing.assert_array_equal(two_by_two(stack), [two_by_two(each) for each in stack])


def test_matrices_of_a_small_type():
    assert metrics.kappa(np.array([[0, 1], [1, 0]], np.uint8)) == -1
    assert metrics.mcc(np.array([[0, 1], [1, 0]], np.uint8)) == pytest.approx(-1)


def test_one_vs_rest_by_hand():
    row = metrics.per_class(MATRIX, "abcd")["b"]
    assert (row["tp"], row["tn"], row["fp"], row["fn"], row["support"]) == (2, 5, 2, 1, 3)
    assert row["fpr"] == pytest.approx(2 / 7)
    assert row["tnr"] == pytest.approx(5 / 7)
    assert row["mcc"] == pytest.approx((2 * 5 - 2 * 1) / np.sqrt(4 * 3 * 7 * 6))
    # observed 7/10, chance (3*4 + 7*6) / 100
    assert row["kappa"] == pytest.approx((0.7 - 0.54) / (1 - 0.54))


def test_roc_by_hand_with_ties():
    positive = np.array([1, 1, 0, 1, 0, 0])
    scores = np.array([0.9, 0.8, 0.8, 0.4, 0.3, 0.3])
    fpr, tpr, thresholds = metrics.roc_curve(positive, scores)
    np.testing.assert_allclose(fpr, [0, 0, 1 / 3, 1 / 3, 1])
    np.testing.assert_allclose(tpr, [0, 1 / 3, 2 / 3, 1, 1])
    np.testing.assert_allclose(thresholds, [np.inf, 0.9, 0.8, 0.4, 0.3])
    # of 9 pairs: 3 + 2.5 + 2 in the right order
    assert metrics.auc(positive, scores) == pytest.approx(7.5 / 9)
    assert metrics.auc(positive, np.full(6, 0.5)) == 0.5


def test_roc_of_scores_without_a_sign():
    scores = np.array([0, 5, 9], np.uint8)
    assert metrics.auc(np.array([False, True, True]), scores) == 1
    np.testing.assert_array_equal(
        metrics.roc_curve(np.array([False, True, True]), scores)[2], [np.inf, 9, 5, 0]
    )


def test_micro_at_half_is_strictly_greater():
    probabilities = np.array([[0.5, 0.5], [0.6, 0.4], [0.2, 0.8], [0.49, 0.51]])
    # the first has no class above 0.5; the last is wrong
    assert metrics.micro_at_half(np.array([0, 0, 1, 0]), probabilities) == (2, 3)


def test_above_half_is_one_rule_for_the_score_and_its_interval():
    # Twenty images of class a: ten exactly on one half, ten above it. On one half is no prediction.
    probabilities = np.array([[0.5, 0.5]] * 10 + [[0.9, 0.1]] * 10)
    result = metrics.compute(np.zeros(20, int), probabilities, ["a", "b"])
    assert (result["correct"], result["tp_at_half"], result["above_half"]) == (20, 10, 10)
    assert result["precision_micro_at_half"] == 1
    assert result["recall_micro_at_half"] == 0.5
    # all of the ten that are above it are right: exact, since nothing varies
    ends = pytest.approx(metrics.clopper_pearson(10, 10))
    assert result["intervals"]["precision_micro_at_half"] == ends
    # standard error sqrt(0.25 / 20) = 0.112
    low, high = result["intervals"]["recall_micro_at_half"]
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.112, 0.5 + 1.96 * 0.112), abs=0.035)


def test_above_half_counts_wrong_classes_too():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.5, 0.5]])
    result = metrics.compute(np.array([0, 0, 1, 1]), probabilities, ["a", "b"])
    # right and above: the first and the third; above: the first three; the last has none
    assert (result["tp_at_half"], result["above_half"], result["n"]) == (2, 3, 4)
    assert result["precision_micro_at_half"] == pytest.approx(2 / 3)
    assert result["recall_micro_at_half"] == pytest.approx(2 / 4)


def test_ties_go_to_the_first_class():
    np.testing.assert_array_equal(
        metrics.predicted_classes(np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]])), [0, 1]
    )


def test_calibration_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.45, 0.55]])
    labels = np.array([0, 1, 0, 1])
    table = metrics.reliability(labels, probabilities, bins=10)
    np.testing.assert_array_equal(table["n"], [0, 0, 0, 0, 0, 2, 0, 0, 0, 2])
    assert table["accuracy"][9] == 0.5
    assert table["accuracy"][5] == 1.0
    assert np.isnan(table["accuracy"][0])
    assert metrics.ece(labels, probabilities, bins=10) == pytest.approx(0.45)
    assert metrics.brier(labels, probabilities) == pytest.approx(
        (2 * 0.05**2 + 2 * 0.95**2 + 4 * 0.45**2) / 4
    )
    assert metrics.log_loss(labels, probabilities) == pytest.approx(
        -(np.log(0.95) + np.log(0.05) + 2 * np.log(0.55)) / 4
    )


def test_confidence_on_an_edge_belongs_below():
    # Quarters are exact in binary, so that these confidences lie on the edges themselves.
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0], [0.625, 0.375]])
    table = metrics.reliability(np.array([0, 1, 0, 0]), probabilities, bins=4)
    np.testing.assert_array_equal(table["edges"], [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(table["n"], [0, 1, 2, 1])


def test_calibration_error_on_an_edge_by_hand():
    # On the edge 0.5 and right: alone in its bin, off by 0.5. At 0.625 and wrong: off by 0.625.
    # In one bin they would be off by |0.5 - 0.5625| = 0.0625.
    probabilities = np.array([[0.5, 0.5], [0.625, 0.375]])
    labels = np.array([0, 1])
    assert metrics.ece(labels, probabilities, bins=4) == (0.5 + 0.625) / 2


def test_many_classes_reach_the_first_bin():
    table = metrics.reliability(np.array([3]), np.full((1, 20), 0.05))
    assert table["n"].tolist() == [1] + [0] * 14
    assert table["confidence"][0] == pytest.approx(0.05)


def test_calibration_has_fifteen_bins():
    # 0.61 lies in (9/15, 10/15], 0.67 in (10/15, 11/15]; ten bins would hold them in one.
    probabilities = np.array([[0.61, 0.39], [0.67, 0.33]])
    labels = np.array([1, 0])
    assert len(metrics.reliability(labels, probabilities)["n"]) == 15
    assert metrics.ece(labels, probabilities) == pytest.approx((0.61 + 0.33) / 2)
    assert metrics.ece(labels, probabilities, bins=10) == pytest.approx(0.64 - 0.5)


def test_probabilities_that_add_up_to_a_little_more_stay_in_the_last_bin():
    table = metrics.reliability(np.array([0]), np.array([[1.0005, 0.0]]), bins=4)
    np.testing.assert_array_equal(table["n"], [0, 0, 0, 1])


def test_certainty_loses_nothing():
    for sure in (1.0, 1 + 1e-6):  # rounded sums of a softmax may pass 1
        loss = metrics.log_loss(np.array([0]), np.array([[sure, 0.0]]))
        assert (loss, np.signbit(loss)) == (0, False)


def test_scores_of_probabilities_do_not_depend_on_their_type():
    labels, small = np.array([0, 1, 1]), np.float32([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    for score in (metrics.brier, metrics.log_loss, metrics.ece):
        assert score(labels, small) == score(labels, small.astype(np.float64))


def test_the_interval_of_a_log_loss_ends_where_no_log_loss_is_larger():
    """Of few patients it would be infinite, and the file could not be read again."""
    p = np.array([1 - 1e-9] * 5 + [1e-9])
    cases = np.array(["a", "a", "b", "b", "c", "c"])
    for certain in (p, np.array([0.9, 0.9, 0.9, 0.9, 0.9, 1e-6])):
        table = np.stack([certain, 1 - certain], axis=1)
        found = metrics.compute(np.zeros(6, int), table, ["a", "b"], cases=cases)
        low, high = found["intervals"]["log_loss"]
        assert 0 <= low < found["log_loss"] and high == -np.log(1e-15)
    even = np.array([0.9, 0.8, 0.7, 0.9, 0.6, 0.7])
    found = metrics.compute(
        np.zeros(6, int), np.stack([even, 1 - even], 1), ["a", "b"], cases=cases
    )
    assert found["log_loss"] < found["intervals"]["log_loss"][1] < 2


def test_log_loss_of_a_certain_mistake_is_finite():
    assert metrics.log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-15))


# --- edges -------------------------------------------------------------------------------------


def test_what_one_class_leaves_undefined():
    matrix = np.array([[5, 0], [0, 0]])
    assert metrics.accuracy(matrix) == 1
    assert np.isnan(metrics.kappa(matrix))
    assert np.isnan(metrics.mcc(matrix))
    assert metrics.balanced_accuracy(matrix) == 1
    found = metrics.per_class(matrix, ["a", "b"])
    assert found["b"] == {
        "support": 0, "tp": 0, "tn": 5, "fp": 0, "fn": 0, "precision": None, "recall": None,
        "fpr": 0.0, "tnr": 1.0, "f1": None, "kappa": None, "mcc": None,
    }  # fmt: skip
    assert found["a"] == {
        "support": 5, "tp": 5, "tn": 0, "fp": 0, "fn": 0, "precision": 1.0, "recall": 1.0,
        "fpr": None, "tnr": None, "f1": 1.0, "kappa": None, "mcc": None,
    }  # fmt: skip


def test_a_class_that_is_never_predicted_has_zeros():
    matrix = np.array([[0, 4], [0, 6]])
    found = metrics.per_class(matrix, ["a", "b"])["a"]
    assert [found[key] for key in ("precision", "recall", "f1", "kappa", "mcc")] == [0] * 5
    assert metrics.kappa(matrix) == 0
    assert metrics.mcc(matrix) == 0


def test_without_an_image_nothing_is_defined():
    nothing = np.zeros((2, 2), int)
    for score in (metrics.accuracy, metrics.balanced_accuracy, metrics.kappa, metrics.mcc):
        assert np.isnan(score(nothing))
    assert all(np.isnan(each).all() for each in metrics.class_scores(nothing).values())


def test_absent_class_is_listed_and_lowers_no_average():
    labels, predicted = from_matrix([[3, 1, 0], [1, 3, 0], [0, 0, 0]])
    result = metrics.compute(labels, one_hot(predicted, 3), ["a", "b", "c"])
    assert result["support"] == {"a": 4, "b": 4, "c": 0}
    assert result["recall_macro"] == 0.75
    assert result["balanced_accuracy"] == 0.75
    assert result["auc_kind"] == "macro one-vs-rest over 2 of 3 classes"


def test_macro_averages_are_scikit_learns_over_the_classes_present():
    """A class without a test image lowers no mean; one that is never predicted counts as 0."""
    from sklearn import metrics as oracle

    # b is never predicted; c has no image, and one is taken for it.
    labels, predicted = np.array([0, 0, 0, 1, 1, 3, 3]), np.array([0, 0, 2, 0, 3, 3, 3])
    result = metrics.compute(labels, one_hot(predicted, 4), list("abcd"))
    options = {"labels": np.unique(labels), "average": "macro", "zero_division": 0}
    for name in ("precision", "recall", "f1"):
        score = getattr(oracle, f"{name}_score")
        assert result[f"{name}_macro"] == pytest.approx(score(labels, predicted, **options))
    assert result["recall_macro"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert result["balanced_accuracy"] == result["recall_macro"]
    assert result["per_class"]["b"]["precision"] == 0
    assert result["per_class"]["c"]["precision"] is None
    # Without `labels` scikit-learn counts c as well: 1.67 / 4.
    del options["labels"]
    counted = oracle.recall_score(labels, predicted, **options)
    assert counted == pytest.approx((2 / 3 + 0 + 0 + 1) / 4)


def test_single_class_test_set_has_no_auc():
    result = metrics.compute(
        np.zeros(4, int), one_hot(np.array([0, 0, 1, 0]), 2), ["a", "b"], positive="b"
    )
    assert result["auc"] is None
    assert result["specificity"] == 0.75
    assert result["per_class"]["b"]["recall"] is None
    assert result["reasons"]["auc"] == "all test images are of a"
    assert result["reasons"]["per_class.b.recall"] == "no test image of b"
    assert metrics.roc_curve(np.zeros(4), np.arange(4.0)) is None


def test_empty_part_is_an_error():
    with pytest.raises(InputError, match="empty"):
        metrics.compute(np.zeros(0, int), np.zeros((0, 2)), ["a", "b"])


# --- scikit-learn ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 4, 8])
def test_against_scikit_learn(n_classes):
    from sklearn import metrics as oracle

    rng = np.random.default_rng(n_classes)
    classes = [f"c{i}" for i in range(n_classes)]
    for trial in range(6):
        n = int(rng.integers(40, 300))
        labels = rng.choice(n_classes, size=n, p=rng.dirichlet(np.ones(n_classes) * 2))
        labels[:n_classes] = np.arange(n_classes)
        probabilities = softmax(rng, n, n_classes)
        probabilities[np.arange(n), labels] += rng.uniform(0, 2)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        if trial % 2:  # ties
            probabilities = np.round(probabilities, 1)
            largest = np.arange(n), probabilities.argmax(axis=1)
            probabilities[largest] += 1 - probabilities.sum(axis=1)
        predicted = probabilities.argmax(axis=1)
        positive = classes[1] if n_classes == 2 else None
        ours = metrics.compute(labels, probabilities, classes, positive=positive, replicates=20)
        options = {"average": "macro", "zero_division": 0}
        expected = {
            "accuracy": oracle.accuracy_score(labels, predicted),
            "balanced_accuracy": oracle.balanced_accuracy_score(labels, predicted),
            "precision_macro": oracle.precision_score(labels, predicted, **options),
            "recall_macro": oracle.recall_score(labels, predicted, **options),
            "f1_macro": oracle.f1_score(labels, predicted, **options),
            "kappa": oracle.cohen_kappa_score(labels, predicted),
            "mcc": oracle.matthews_corrcoef(labels, predicted),
        }
        areas = [oracle.roc_auc_score(labels == i, probabilities[:, i]) for i in range(n_classes)]
        expected["auc"] = areas[1] if n_classes == 2 else np.mean(areas)
        for name, value in expected.items():
            assert ours[name] == pytest.approx(value, abs=1e-12), name
        np.testing.assert_array_equal(
            ours["confusion_matrix"], oracle.confusion_matrix(labels, predicted)
        )
        per_class = oracle.precision_recall_fscore_support(labels, predicted, zero_division=0)
        for i, name in enumerate(classes):
            row = ours["per_class"][name]
            for key, values in zip(
                ("precision", "recall", "f1", "support"), per_class, strict=True
            ):
                assert row[key] == pytest.approx(values[i], abs=1e-12)
            rest = (labels == i, predicted == i)
            tn, fp, fn, tp = oracle.confusion_matrix(*rest).ravel()
            assert (row["tn"], row["fp"], row["fn"], row["tp"]) == (tn, fp, fn, tp)
            assert row["kappa"] == pytest.approx(oracle.cohen_kappa_score(*rest), abs=1e-12)
            assert row["mcc"] == pytest.approx(oracle.matthews_corrcoef(*rest), abs=1e-12)


def test_roc_and_log_loss_against_scikit_learn():
    from sklearn import metrics as oracle

    rng = np.random.default_rng(5)
    for _ in range(20):
        positive = rng.random(60) < 0.4
        scores = np.round(rng.random(60), 1)
        curves = zip(
            metrics.roc_curve(positive, scores),
            oracle.roc_curve(positive, scores, drop_intermediate=False),
            strict=True,
        )
        for ours, theirs in curves:
            np.testing.assert_allclose(ours, theirs)
        probabilities = softmax(rng, 60, 3)
        labels = rng.integers(0, 3, 60)
        assert metrics.log_loss(labels, probabilities) == pytest.approx(
            oracle.log_loss(labels, probabilities, labels=[0, 1, 2])
        )


def test_micro_at_half_against_keras():
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, 200)
    probabilities = softmax(rng, 200, 4, scale=2).astype(np.float32)
    targets = np.eye(4, dtype=np.float32)[labels]
    result = metrics.compute(labels, probabilities, list("abcd"), replicates=10)
    for metric, key in (
        (keras.metrics.Precision(), "precision_micro_at_half"),
        (keras.metrics.Recall(), "recall_micro_at_half"),
    ):
        metric.update_state(targets, probabilities)
        assert result[key] == pytest.approx(float(metric.result()), abs=1e-6)
    assert 0 < result["above_half"] < 200


# --- the papers' own counts --------------------------------------------------------------------


def printed(value, decimals=2):
    return f"{100 * value:.{decimals}f}"


@pytest.mark.parametrize(
    ("matrix", "accuracy", "macro", "benign"),
    [
        # breakhis Table III (macro) and Table II (benign class only), binary ResNet50
        (
            [[737, 12], [11, 1613]],
            "99.03",
            ("98.90", "98.86", "98.88"),
            ("98.53", "98.40", "98.46"),
        ),
        # breakhis Tables II and III, binary VGG19
        ([[710, 39], [42, 1582]], "96.59", ("96.00", "96.10", "96.05"), None),
    ],
)
def test_breakhis_binary_tables(matrix, accuracy, macro, benign):
    labels, predicted = from_matrix(matrix)
    result = metrics.compute(
        labels, one_hot(predicted, 2), ["benign", "malignant"], positive="malignant"
    )
    assert result["n"] == 2373
    assert printed(result["accuracy"]) == accuracy
    found = tuple(printed(result[f"{name}_macro"]) for name in ("precision", "recall", "f1"))
    assert found == macro
    if benign:
        row = result["per_class"]["benign"]
        assert tuple(printed(row[name]) for name in ("precision", "recall", "f1")) == benign


# her2scoring: right, right above 0.5, all above 0.5, of 407; accuracy, precision, recall. The
# accuracy of T2 ResNet50 (printed 93.91) and the recall of T1 MobileNetV2 (printed 95.29) are the
# two that no count gives.
HER2 = [
    ("T1 InceptionV3", 393, 391, 405, "96.56", "96.54", "96.07"),
    ("T1 ResNet50", 396, 396, 407, "97.30", "97.30", "97.30"),
    ("T1 MobileNetV2", 388, 387, 404, "95.33", "95.79", "95.09"),
    ("T1 ConvNeXt", 398, 398, 407, "97.79", "97.79", "97.79"),
    ("T2 InceptionV3", 366, 361, 399, "89.93", "90.48", "88.70"),
    ("T2 ResNet50", 382, 381, 406, "93.86", "93.84", "93.61"),
    ("T2 MobileNetV2", 353, 348, 399, "86.73", "87.22", "85.50"),
    ("T2 ConvNeXt", 385, 385, 407, "94.59", "94.59", "94.59"),
    ("T3 ConvNeXt IHC", 398, 398, 407, "97.79", "97.79", "97.79"),
    ("T3 ConvNeXt H&E", 389, 389, 405, "95.58", "96.05", "95.58"),
    ("T3 ResNet50 IHC", 391, 391, 406, "96.07", "96.31", "96.07"),
    ("T3 ResNet50 H&E", 393, 392, 406, "96.56", "96.55", "96.31"),
]


@pytest.mark.parametrize("row", HER2, ids=lambda row: row[0])
def test_her2scoring_tables(row):
    _, correct, tp, above, accuracy, precision, recall = row
    labels = np.arange(407) % 3
    predicted = labels.copy()
    predicted[correct:] = (labels[correct:] + 1) % 3
    probabilities = one_hot(predicted, 3, top=0.8)
    # the least sure images: right ones below the threshold, then wrong ones
    unsure = [*range(correct - (correct - tp), correct)]
    unsure += [*range(correct, correct + (407 - above) - (correct - tp))]
    probabilities[unsure] = one_hot(predicted[unsure], 3, top=0.45)
    result = metrics.compute(labels, probabilities, ["negative", "borderline", "positive"])
    assert result["n"] == 407
    assert printed(result["accuracy"]) == accuracy
    assert printed(result["precision_micro_at_half"]) == precision
    assert printed(result["recall_micro_at_half"]) == recall


# --- patients ----------------------------------------------------------------------------------


def test_patient_recognition_rate_by_hand():
    correct = np.array([True, True, False, True, False, False, False, True])
    cases = np.array(["a", "a", "a", "b", "c", "c", "c", "c"])
    assert metrics.per_patient(correct, cases) == {"a": (2, 3), "b": (1, 1), "c": (1, 4)}
    assert metrics.patient_recognition_rate(correct, cases) == pytest.approx(
        (2 / 3 + 1 + 1 / 4) / 3
    )


def test_each_patient_counts_once_however_many_images():
    # Nine of ten images are one patient's and right; the other patient's one is wrong.
    labels, predicted = np.zeros(10, int), np.array([0] * 9 + [1])
    result = metrics.compute(labels, one_hot(predicted, 2), ["a", "b"], cases=["p"] * 9 + ["q"])
    assert result["accuracy"] == 0.9
    assert result["patient_recognition_rate"] == 0.5


def frame(labels, predicted, cases="", images=None, classes=("benign", "malignant"), part="test"):
    names = np.array(classes)
    table = pd.DataFrame(
        {
            "image": images or [f"i{i:04d}.png" for i in range(len(labels))],
            "case": cases,
            "slide": "",
            "magnification": "",
            "part": part,
            "label": names[labels],
        }
    )
    return predictions.table(table, one_hot(np.asarray(predicted), len(classes)), classes)


def test_patients_that_are_numbers_are_names():
    assert known([9, 10]).tolist() == ["9", "10"]
    found = metrics.per_patient(np.array([True, False, True]), np.array([9, 10, 10]))
    assert list(found.items()) == [("10", (1, 2)), ("9", (1, 1))]


def test_magnifications_in_the_order_of_their_numbers():
    assert sorted(["400X", "40X", "low", "100X"], key=by_number) == ["low", "40X", "100X", "400X"]
    assert by_number("low") == (0, "low")


def test_case_table_lists_the_worst_first():
    table = metrics.case_table(
        frame([0, 0, 1, 1, 1], [0, 0, 0, 1, 0], cases=["a", "b", "b", "c", "c"])
    )
    assert table.to_dict("records") == [
        {"case": "b", "label": "benign+malignant", "n": 2, "correct": 1, "accuracy": 0.5},
        {"case": "c", "label": "malignant", "n": 2, "correct": 1, "accuracy": 0.5},
        {"case": "a", "label": "benign", "n": 1, "correct": 1, "accuracy": 1.0},
    ]


def test_roc_by_magnification_by_hand():
    table = frame([0, 1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 0, 1, 1]).assign(
        magnification=["100X", "100X", "40X", "40X", "200X", "", "", "200X"]
    )
    table.loc[4, "magnification"] = "400X"  # one class only: no curve
    table.loc[7, "magnification"] = ""
    found = metrics.roc_by_magnification(table, "malignant")
    assert list(found) == ["40X", "100X"]
    fpr, tpr, area = found["100X"]
    np.testing.assert_array_equal([fpr, tpr], [[0, 0, 1], [0, 1, 1]])
    assert area == 1
    fpr, tpr, area = found["40X"]
    np.testing.assert_array_equal([fpr, tpr], [[0, 1, 1], [0, 0, 1]])
    assert area == 0


def test_magnifications_are_evaluated_apart():
    labels, predicted = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 1, 1, 1, 0, 0])
    result = metrics.compute(
        labels,
        one_hot(predicted, 2),
        ["benign", "malignant"],
        cases=["a", "a", "b", "b", "a", "b"],
        magnifications=["100X", "100X", "40X", "40X", "100X", "100X"],
        positive="malignant",
        replicates=50,
    )
    assert list(result["by_magnification"]) == ["40X", "100X"]
    part = result["by_magnification"]["100X"]
    assert (part["n"], part["correct"], part["n_patients"]) == (4, 2, 2)
    assert part["patient_recognition_rate"] == pytest.approx((2 / 3 + 0) / 2)
    assert result["patient_recognition_rate"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert part["per_class"]["benign"]["recall"] == pytest.approx(2 / 3)


def test_the_official_recognition_rate_is_over_folders_at_a_magnification():
    # Case a has the folders a1 and a2, as 22549AB and 22549CD of BreakHis may be one patient.
    table = [  # folder, magnification, right of all
        ("a1", "40X", 2, 2), ("a1", "100X", 1, 4), ("a2", "40X", 0, 1), ("b1", "100X", 3, 3),
    ]  # fmt: skip
    rows = [(f, m, i < k) for f, m, k, n in table for i in range(n)]
    folders, magnifications, right = (np.array(each) for each in zip(*rows, strict=True))
    labels = np.arange(len(rows)) % 2
    shared = dict(cases=[name[0] for name in folders], magnifications=magnifications, replicates=20)
    probabilities = one_hot(np.where(right, labels, 1 - labels), 2)
    result = metrics.compute(labels, probabilities, ["x", "y"], folders=folders, **shared)
    parts = result["by_magnification"]
    assert {m: (p["folder_recognition_rate"], p["n_folders"]) for m, p in parts.items()} == {
        "40X": ((1 + 0) / 2, 2), "100X": ((1 / 4 + 1) / 2, 2),
    }  # fmt: skip
    # Over cases: 2 of 3 at 40X; together 3 of 7 of a, all of b.
    assert parts["40X"]["patient_recognition_rate"] == pytest.approx(2 / 3)
    assert result["patient_recognition_rate"] == pytest.approx((3 / 7 + 1) / 2)
    text = summary(result)
    assert "patient rate       71.43 %  (each patient counts once)" in text
    head, forty, hundred = text.splitlines()[-3:]
    titles = ["magnification", "slide folders", "official patient recognition rate"]
    assert re.split(" {2,}", head) == [*titles, "95 % interval"]
    assert forty.split() == ["40X", "2", "50.00", "%", "–"]  # a single case there
    assert parts["40X"]["reasons"]["folder_recognition_rate"] == "one patient"
    assert hundred.split() == ["100X", "2", "62.50", "%", "0.00", "to", "100.00", "%"]
    for unknown in (None, ["", *folders[1:]]):
        result = metrics.compute(labels, probabilities, ["x", "y"], folders=unknown, **shared)
        assert all("n_folders" not in part for part in result["by_magnification"].values())
        assert "slide folders" not in summary(result)


def test_folders_named_alike_of_two_patients_are_two():
    labels = np.array([0, 1, 0, 1])
    probabilities = one_hot(np.array([0, 1, 1, 1]), 2)
    result = metrics.compute(
        labels, probabilities, ["x", "y"], cases=["p", "p", "q", "q"], folders=["a"] * 4,
        magnifications=["40X"] * 4, replicates=50,
    )  # fmt: skip
    part = result["by_magnification"]["40X"]
    assert (part["n_folders"], part["folder_recognition_rate"]) == (2, (1 + 1 / 2) / 2)
    low, high = part["intervals"]["folder_recognition_rate"]
    assert 0 < low < 0.5 and 0.5 < high < 1  # two patients: one degree of freedom
    with pytest.raises(ValueError, match="folders"):
        metrics.compute(labels, probabilities, ["x", "y"], folders=["a"] * 3,
                        magnifications=["40X"] * 4)  # fmt: skip


def test_the_official_rate_is_drawn_over_patients_with_all_their_folders(monkeypatch):
    """Against the same bootstrap done one sample at a time."""
    monkeypatch.setattr(bootstrap, "MOST_UNITS", 0)
    rng = np.random.default_rng(3)
    owner = {"a1": "a", "a2": "a", "b1": "b", "c1": "c", "c2": "c", "c3": "c", "d1": "d"}
    folders = np.array(sorted(owner) * 6)
    cases = np.array([owner[name] for name in folders])
    right = rng.random(len(folders)) < 0.6
    labels = np.arange(len(folders)) % 2
    found = metrics.compute(
        labels, one_hot(np.where(right, labels, 1 - labels), 2), ["x", "y"], cases=cases,
        folders=folders, magnifications=np.full(len(folders), "40X"), replicates=300, seed=5,
    )["by_magnification"]["40X"]  # fmt: skip
    rates = {name: right[folders == name].mean() for name in owner}
    times = metrics.draw(len(cases), cases, replicates=300, seed=5).times
    drawn = []
    for sample in times:
        held = [f for case, n in zip("abcd", sample, strict=True) for f in owner
                if owner[f] == case for _ in range(int(n))]  # fmt: skip
        drawn.append(np.mean([rates[name] for name in held]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found["folder_recognition_rate"] == pytest.approx(np.mean(list(rates.values())))
    assert found["intervals"]["folder_recognition_rate"] == pytest.approx([low, high])
    unknown = metrics.compute(
        labels, one_hot(labels, 2), ["x", "y"], folders=folders,
        magnifications=np.full(len(folders), "40X"), replicates=20,
    )["by_magnification"]["40X"]  # fmt: skip
    assert unknown["intervals"]["folder_recognition_rate"] is None
    assert unknown["reasons"]["folder_recognition_rate"] == "patients unknown"


def test_magnifications_without_patients():
    result = metrics.compute(
        np.array([0, 1, 1]), np.eye(2)[[0, 1, 0]], ["a", "b"], magnifications=["40X", "40X", "100X"]
    )
    parts = result["by_magnification"]
    assert [(name, part["correct"], part["n"]) for name, part in parts.items()] == [
        ("40X", 2, 2), ("100X", 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "positive", "message"),
    [((2, 3), None, "probabilities .2, 3., not .2, 2."), ((3, 2), None, "not .2, 2."),
     ((2, 2), "c", "positive class 'c' is none of")],
)  # fmt: skip
def test_what_does_not_fit_is_said(shape, positive, message):
    with pytest.raises(ValueError, match=message):
        metrics.compute(np.array([0, 1]), np.zeros(shape), ["a", "b"], positive=positive)


def test_small_types_are_reckoned_in_large_ones():
    rng = np.random.default_rng(5)
    labels = np.arange(20, dtype=np.uint8)  # the cell of 19 is 399
    probabilities = rng.dirichlet(np.ones(20), 20).astype(np.float32)
    names = [str(i) for i in range(20)]
    found = metrics.compute(labels, probabilities, names, replicates=20)
    assert found == metrics.compute(
        labels.astype(int), probabilities.astype(np.float64), names, replicates=20
    )
    assert ratio(np.float32([1]), np.float32([3])).tolist() == [1 / 3]


# --- intervals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "low", "high"), [(398, 95.84, 98.98), (396, 95.22, 98.64), (385, 91.93, 96.58)]
)
def test_clopper_pearson_of_the_papers(k, low, high):
    found = metrics.clopper_pearson(k, 407)
    assert [round(100 * value, 2) for value in found] == [low, high]


def test_clopper_pearson_against_scipy_and_at_the_ends():
    from scipy.stats import binomtest

    for k, n in ((0, 7), (7, 7), (1, 3), (50, 977), (2350, 2373)):
        expected = binomtest(k, n).proportion_ci(0.95, method="exact")
        assert metrics.clopper_pearson(k, n) == pytest.approx((expected.low, expected.high))
    assert metrics.clopper_pearson(0, 7)[0] == 0
    assert metrics.clopper_pearson(7, 7)[1] == 1
    for k, n in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="proportion"):
            metrics.clopper_pearson(k, n)


def test_clopper_pearson_by_hand():
    # One end is closed: 1 - (1 - p)^n = 0.975. Of two images one: (1 - p)^2 = 0.975, p^2 = 0.975.
    assert metrics.clopper_pearson(0, 1) == pytest.approx((0, 0.975))
    assert metrics.clopper_pearson(1, 1) == pytest.approx((0.025, 1))
    assert metrics.clopper_pearson(0, 10) == pytest.approx((0, 1 - 0.025**0.1))
    assert metrics.clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1))
    assert metrics.clopper_pearson(1, 2) == pytest.approx((1 - 0.975**0.5, 0.975**0.5))
    assert metrics.clopper_pearson(0, 10, level=0.9) == pytest.approx((0, 1 - 0.05**0.1))


def test_percentile_bounds_by_hand():
    assert metrics.percentile_interval(np.arange(101)) == pytest.approx((2.5, 97.5))
    assert metrics.percentile_interval(np.arange(101)[::-1], level=0.9) == pytest.approx((5, 95))
    assert metrics.percentile_interval(np.array([0.0, 1.0])) == pytest.approx((0.025, 0.975))
    assert metrics.percentile_interval(np.full(50, 0.7)) is None
    # One of fifty does not reach the percentile: an interval without width would claim certainty.
    assert metrics.percentile_interval(np.array([0.7] * 49 + [0.8])) is None
    assert metrics.percentile_interval(np.array([0.7] * 48 + [0.8] * 2)) is not None


def test_a_bootstrap_sample_has_as_many_units_as_there_are():
    images = metrics.resample(np.eye(3, dtype=bool)[[0, 0, 1, 2, 2, 2]], replicates=50)
    assert images.dtype == np.float64
    np.testing.assert_array_equal(images.sum(axis=1), np.full(50, 6))
    # Patients of one, two and three images: each comes whole, and three are drawn.
    cases = np.array(["a", "b", "b", "c", "c", "c"])
    own = np.eye(3)[[0, 1, 1, 2, 2, 2]]
    drawn = metrics.resample(own, cases) / [1, 2, 3]
    np.testing.assert_array_equal(drawn, drawn.round())
    np.testing.assert_array_equal(drawn.sum(axis=1), np.full(metrics.REPLICATES, 3))
    assert len(np.unique(drawn, axis=0)) == 10  # all that three of three can be
    np.testing.assert_allclose(drawn.mean(axis=0), [1, 1, 1], atol=0.07)  # sd of it: 0.018


def test_what_is_not_given():
    features = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    np.testing.assert_array_equal(
        metrics.resample(features), metrics.resample(features, replicates=2000, seed=0)
    )
    result = metrics.compute(np.array([0, 1]), np.eye(2), ["a", "b"])
    assert result["synthetic"] is False
    assert (result["split"], result["positive_class"], result["n_patients"]) == ("", None, None)
    assert result["by_magnification"] == {}


def test_bootstrap_of_images_agrees_with_theory():
    labels = np.zeros(2000, int)
    predicted = (np.arange(2000) < 200).astype(int)
    result = metrics.compute(labels, one_hot(predicted, 2), ["a", "b"])
    error = 1.96 * np.sqrt(0.9 * 0.1 / 2000)
    assert result["ci_unit"] == "image"
    np.testing.assert_allclose(result["accuracy_ci"], [0.9 - error, 0.9 + error], atol=0.0015)
    assert result["accuracy_ci"] == result["intervals"]["accuracy"]


def test_bootstrap_over_patients_is_wider_and_agrees_with_theory():
    rng = np.random.default_rng(0)
    cases = np.repeat([f"p{i:02d}" for i in range(80)], 25)
    labels = np.zeros(2000, int)
    rates = rng.beta(4, 1, 80)
    predicted = (rng.random(2000) > np.repeat(rates, 25)).astype(int)
    kept = {"classes": ["a", "b"], "replicates": 4000}
    clustered = metrics.compute(labels, one_hot(predicted, 2), cases=cases, **kept)
    by_image = metrics.compute(labels, one_hot(predicted, 2), **kept)
    assert clustered["ci_unit"] == "patient"
    assert np.diff(clustered["accuracy_ci"]) > 2 * np.diff(by_image["accuracy_ci"])
    # equal patients: the standard error of the mean of patients' rates
    found = (predicted == 0).reshape(80, 25).mean(axis=1)
    width = 2 * 1.96 * found.std() / np.sqrt(80)
    assert np.diff(clustered["accuracy_ci"])[0] == pytest.approx(width, rel=0.06)


def test_bootstrap_repeats_itself_and_does_not_depend_on_the_order():
    rng = np.random.default_rng(3)
    labels, probabilities = rng.integers(0, 3, 150), softmax(rng, 150, 3)
    cases = rng.choice(list("abcdefgh"), 150)
    first = metrics.compute(labels, probabilities, "xyz", cases=cases)
    order = rng.permutation(150)
    second = metrics.compute(labels[order], probabilities[order], "xyz", cases=cases[order])
    assert first["intervals"] == second["intervals"]
    # Over patients nothing is drawn: each of them is left out once. Over images, the seed counts.
    other = metrics.compute(labels, probabilities, "xyz", cases=cases, seed=1)
    assert first["accuracy_ci"] == other["accuracy_ci"]
    drawn = [metrics.compute(labels, probabilities, "xyz", seed=seed) for seed in (0, 0, 1)]
    assert drawn[0]["accuracy_ci"] == drawn[1]["accuracy_ci"] != drawn[2]["accuracy_ci"]


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_agree_with_drawing_images_one_by_one(clustered):
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 3, 240)
    probabilities = softmax(rng, 240, 3)
    probabilities[np.arange(240), labels] += 0.25
    probabilities /= 1.25
    cases = np.array([f"p{i // 8}" for i in range(240)])
    found = metrics.compute(
        labels, probabilities, "xyz", cases=cases if clustered else None, replicates=8000
    )["intervals"]
    members = [np.flatnonzero(cases == name) for name in np.unique(cases)]
    drawn = []
    for _ in range(2000):
        if clustered:
            rows = np.concatenate([members[i] for i in rng.integers(0, 30, 30)])
        else:
            rows = rng.integers(0, 240, 240)
        predicted = probabilities[rows].argmax(axis=1)
        matrix = metrics.confusion_matrix(labels[rows], predicted, 3)
        tp, above = metrics.micro_at_half(labels[rows], probabilities[rows])
        drawn.append((metrics.macro(metrics.f1(matrix), matrix), metrics.kappa(matrix), tp / above))
    for name, values in zip(
        ("f1_macro", "kappa", "precision_micro_at_half"), np.array(drawn).T, strict=True
    ):
        expected = np.percentile(values, [2.5, 97.5])
        np.testing.assert_allclose(found[name], expected, atol=0.15 * np.diff(expected)[0])


def test_no_error_at_all_is_not_certainty():
    labels = np.arange(50) % 2
    cases = np.array([f"p{i // 10}" for i in range(50)])
    by_image = metrics.compute(labels, one_hot(labels, 2), ["a", "b"])
    assert by_image["accuracy_ci"] == pytest.approx([0.025 ** (1 / 50), 1])
    by_patient = metrics.compute(labels, one_hot(labels, 2), ["a", "b"], cases=cases)
    assert by_patient["accuracy_ci"] == pytest.approx([0.025 ** (1 / 5), 1])
    assert by_patient["ci_method"] == "clopper-pearson"
    assert by_patient["intervals"]["f1_macro"] is None


def test_no_hit_at_all_is_not_certainty():
    labels = np.arange(10) % 2
    none = metrics.compute(labels, one_hot(1 - labels, 2), ["a", "b"])
    assert none["accuracy_ci"] == pytest.approx([0, 1 - 0.025**0.1])
    assert none["ci_method"] == "clopper-pearson"


def test_the_same_share_of_every_patient_is_not_certainty():
    """Whichever patients are drawn, one half is right: it is the interval of one of two."""
    labels = np.array([0, 1, 0, 1])
    found = metrics.compute(
        labels, one_hot([0, 0, 0, 0], 2), ["a", "b"], cases=["p", "p", "q", "q"]
    )
    assert (found["accuracy"], found["ci_unit"]) == (0.5, "patient")
    assert found["ci_method"] == "clopper-pearson"
    assert found["accuracy_ci"] == pytest.approx([1 - 0.975**0.5, 0.975**0.5])


@pytest.mark.parametrize("predicted", [[0, 1, 1, 1], [0, 0, 1, 1]])
def test_one_patient_cannot_be_resampled(predicted):
    labels = np.array([0, 0, 1, 1])
    result = metrics.compute(labels, one_hot(predicted, 2), ["a", "b"], cases=["p"] * 4)
    assert (result["n_patients"], result["ci_unit"]) == (1, "patient")
    assert (result["accuracy_ci"], result["ci_method"]) == (None, None)
    assert set(result["intervals"].values()) == {None}
    assert set(result["reasons"].values()) == {"one patient"}
    assert "intervals_replicates" not in result


def test_two_patients_can_be_resampled():
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    cases = ["p", "p", "q", "q"]
    result = metrics.compute(labels, one_hot(predicted, 2), ["a", "b"], cases=cases)
    assert (result["n_patients"], result["ci_unit"], result["ci_method"]) == (
        2, "patient", "jackknife",
    )  # fmt: skip
    # 0.5 and 1 without either: a standard error of 0.25, and Student's 12.7 at one degree.
    ends = 1 / (1 + np.exp(-(np.log(3) + np.array([-1, 1]) * 12.7062047 * 0.25 / 0.1875)))
    assert result["accuracy_ci"] == pytest.approx(ends)


def test_one_replicate_says_nothing():
    result = metrics.compute(np.array([0, 1]), np.eye(2)[[0, 0]], ["a", "b"], replicates=1)
    told = {name for name, pair in result["intervals"].items() if pair}
    shares = {"precision", "recall", "fpr", "tnr"}
    assert {name.rpartition(".")[2] for name in told if "." in name} <= shares
    assert "accuracy" in told and not any(name.endswith("_macro") for name in told)


def test_a_partly_unknown_patient_means_unknown():
    labels = np.array([0, 1, 1])
    result = metrics.compute(labels, one_hot(labels, 2), ["a", "b"], cases=["p", "", "q"])
    assert result["n_patients"] is None
    assert result["patient_recognition_rate"] is None


def test_everything_is_json():
    rng = np.random.default_rng(4)
    result = metrics.compute(
        rng.integers(0, 2, 30),
        softmax(rng, 30, 2),
        ["a", "b"],
        cases=rng.choice(list("pqrs"), 30),
        magnifications=rng.choice(["40X", "400X"], 30),
        positive="b",
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    needed = [
        *("n", "accuracy", "accuracy_ci", "balanced_accuracy", "precision_macro", "recall_macro"),
        *("f1_macro", "precision_micro_at_half", "recall_micro_at_half", "kappa", "mcc", "auc"),
        *("confusion_matrix", "classes", "per_class", "patient_recognition_rate", "split"),
        *("synthetic", "positive_class", "ci_unit", "n_patients", "by_magnification"),
        *("auc_kind", "specificity", "support"),
    ]
    assert set(needed) <= set(result)


def golden(n, n_classes, positive=None, patients=0, magnifications=()):
    """Metrics of inputs that come from a formula, not from a generator."""
    i = np.arange(n)
    labels = (i * i + i // 3) % n_classes
    raw = 1 + np.abs(np.sin(1.7 * i[:, None] + 2.3 * np.arange(n_classes)))
    raw[i, labels] += 2.0 * (i % 4 > 0)
    return metrics.compute(
        labels,
        raw / raw.sum(axis=1, keepdims=True),
        ["benign", "malignant"] if n_classes == 2 else ["0", "1+", "2+", "3+"],
        cases=[str(j % patients) for j in i] if patients else None,
        magnifications=[magnifications[j % len(magnifications)] for j in i]
        if magnifications
        else None,
        positive=positive,
        split="patient",
        synthetic=True,
    )


def leaves(value, path=""):
    """Every number and text with its path, in the order of the file."""
    if isinstance(value, dict):
        return [leaf for key, each in value.items() for leaf in leaves(each, f"{path}/{key}")]
    if isinstance(value, list):
        return [leaf for i, each in enumerate(value) for leaf in leaves(each, f"{path}/{i}")]
    return [(path, value)]


def test_keys_their_order_and_values_stay_as_they_were():
    """Pinned before the catalogue was made: runs that are finished must read the same.

    New since then are the intervals of AUC, patient rate, specificity, Brier score and log loss,
    ``reasons``, and what is said of abstaining; then the intervals over patients, which leave each
    of them out instead of drawing them, and ``intervals_method``; the MCC of 100X, 1 in every
    sample but for rounding, has no interval any more; a share of images of unknown patients that is
    the same in every sample has Clopper and Pearson's.
    """
    found = {
        "two classes": golden(60, 2, "malignant", 7, ("40X", "100X")),
        "four classes": golden(50, 4),
    }
    ours, theirs = leaves(found), leaves(golden_metrics.pinned(found))
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (path, value), (_, before) in zip(ours, theirs, strict=True):
        assert type(value) is type(before), path
        assert value == (pytest.approx(before, rel=1e-12) if isinstance(value, float) else before)


# --- two runs ----------------------------------------------------------------------------------


def test_mcnemar_by_hand_and_against_scipy():
    from scipy.stats import binomtest

    assert metrics.mcnemar(0, 0) == 1
    assert metrics.mcnemar(5, 0) == pytest.approx(2 / 32)
    assert metrics.mcnemar(3, 3) == 1
    for a, b in ((1, 9), (20, 12), (400, 350), (0, 2000)):
        assert metrics.mcnemar(a, b) == pytest.approx(binomtest(a, a + b).pvalue)


def test_compare_pairs_by_image():
    labels = np.zeros(40, int)
    a, b = labels.copy(), labels.copy()
    a[:4] = 1  # a wrong on 0-3
    b[2:12] = 1  # b wrong on 2-11
    first, second = frame(labels, a), frame(labels, b).sample(frac=1, random_state=0)
    result = metrics.compare(first, second)
    counts = tuple(result[name] for name in ("both_right", "only_a", "only_b", "both_wrong"))
    assert counts == (28, 8, 2, 2)
    assert result["difference"] == pytest.approx(0.15)
    assert result["mcnemar_p"] == pytest.approx(2 * (1 + 10 + 45) / 1024)
    low, high = result["difference_ci"]
    # paired standard error: sqrt((10/40 - 0.15^2) / 40) = 0.0754
    assert low == pytest.approx(0.15 - 1.96 * 0.0754, abs=0.02)
    assert high == pytest.approx(0.15 + 1.96 * 0.0754, abs=0.02)


def test_every_outcome_of_a_pair_is_counted():
    labels = np.zeros(10, int)
    a = np.array([0] * 4 + [0] * 3 + [1] * 2 + [1])
    b = np.array([0] * 4 + [1] * 3 + [0] * 2 + [1])
    result = metrics.compare(frame(labels, a), frame(labels, b))
    counts = tuple(result[name] for name in ("both_right", "only_a", "only_b", "both_wrong"))
    assert counts == (4, 3, 2, 1)


def test_compare_draws_patients_where_there_are_two():
    labels, right, wrong = np.zeros(8, int), np.zeros(8, int), np.array([0, 1] * 4)
    by_image = metrics.compare(frame(labels, right), frame(labels, wrong))
    assert by_image["difference_ci"] is not None
    one = metrics.compare(frame(labels, right, cases=["p"] * 8), frame(labels, wrong))
    # Drawing one patient again and again varies nothing.
    assert (one["n_patients"], one["ci_unit"], one["difference_ci"]) == (1, "patient", None)
    assert "no interval (one patient)" in pairs.text("a", "b", one)
    # Of either patient every second image differs: whichever are drawn, it is one half.
    two = metrics.compare(frame(labels, right, cases=list("ppppqqqq")), frame(labels, wrong))
    assert (two["n_patients"], two["ci_unit"], two["difference_ci"]) == (2, "patient", None)


def test_compare_draws_as_it_is_told():
    labels, a = np.zeros(50, int), np.arange(50) % 3 == 0
    runs = frame(labels, a.astype(int)), frame(labels, labels)
    assert metrics.compare(*runs, replicates=1)["difference_ci"] is None
    few = [metrics.compare(*runs, replicates=3, seed=seed)["difference_ci"] for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]


def test_compare_a_run_with_itself():
    labels = np.array([0, 1, 0, 1])
    run = frame(labels, [0, 1, 1, 1], cases=list("aabb"))
    result = metrics.compare(run, run)
    assert (result["difference"], result["difference_ci"], result["mcnemar_p"]) == (0, None, 1)
    assert result["ci_unit"] == "patient"


def test_compare_refuses_other_images():
    labels = np.array([0, 1, 0])
    with pytest.raises(InputError, match=r"1 only in the first, 1 only in the second"):
        metrics.compare(
            frame(labels, labels, images=["a", "b", "c"]),
            frame(labels, labels, images=["b", "c", "d"]),
        )
    with pytest.raises(InputError, match="second run has no predictions"):
        metrics.compare(frame(labels, labels), frame(labels, labels, part="validation"))


def test_a_comparison_in_words():
    labels = np.zeros(8, int)
    a, b = np.array([0] * 6 + [1, 1]), np.array([1, 1, 1, 0, 0, 0, 0, 1])
    result = metrics.compare(frame(labels, a, cases=list("ppqqrrss")), frame(labels, b))
    low, high = result["difference_ci"]
    assert pairs.text("runs/a", "runs/b", result).splitlines() == [
        "a  runs/a",
        "b  runs/b",
        "images     8, patients 4",
        "accuracy   a 75.00 %   b 50.00 %",
        f"a - b      +25.00 points, 95 % interval {100 * low:+.2f} to {100 * high:+.2f} "
        "(paired jackknife over patients)",
        "right      both 3   only a 3   only b 1   neither 1",
        "McNemar    p = 0.625 (exact, two-sided; images taken as independent)",
    ]
    same = pairs.text("a", "a", metrics.compare(frame(labels, a), frame(labels, a)))
    assert "patients unknown" in same
    assert "+0.00 points, no interval (every image counts the same)" in same
