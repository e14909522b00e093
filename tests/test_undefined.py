"""Scores that are not defined, samples that lack them, intervals that a single patient decides."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from common import evaluation, metrics
from common.metrics import bootstrap, catalogue, replicates, shown
from common.metrics.ground import CONSTANT, NEARLY, NEEDED, UNMOVED, ground_of

TWO = ["benign", "malignant"]


def computed(counts, classes=TWO, **options):
    """Metrics of patients: name to (class, images right, images taken for the next class)."""
    labels, predicted, cases = [], [], []
    for name, (label, right, wrong) in counts.items():
        labels += [label] * (right + wrong)
        predicted += [label] * right + [(label + 1) % len(classes)] * wrong
        cases += [name] * (right + wrong)
    top = 0.6 + 0.3 * np.sin(np.arange(len(labels))) ** 2
    probabilities = np.repeat((1 - top)[:, None] / (len(classes) - 1), len(classes), axis=1)
    probabilities[np.arange(len(labels)), predicted] = top
    options = {"cases": cases, "positive": "malignant" if classes == TWO else None} | options
    return metrics.compute(np.array(labels), probabilities, classes, **options)


SEVERAL = {"a": (0, 5, 1), "b": (0, 4, 2), "c": (1, 6, 1), "d": (1, 3, 4), "e": (1, 8, 0)}
LONE = {"a": (0, 3, 9), "c": (1, 12, 6), "d": (1, 16, 6), "e": (1, 15, 3)}


# --- one quantity, one interval ------------------------------------------------------------------


def test_equal_scores_have_equal_intervals():
    """recall_macro .4571 had [.152, .566], balanced_accuracy, the same number, [.304, .604]."""
    result = computed(SEVERAL)
    intervals = result["intervals"]
    for names in (
        ("recall_macro", "balanced_accuracy", "tnr_macro"),
        ("kappa", "kappa_macro", "per_class.benign.kappa", "per_class.malignant.kappa"),
        ("mcc", "mcc_macro", "per_class.benign.mcc", "per_class.malignant.mcc"),
        ("per_class.benign.recall", "per_class.malignant.tnr", "specificity"),
        ("per_class.malignant.recall", "per_class.benign.tnr"),
    ):
        assert intervals[names[0]] is not None
        for name in names:
            assert intervals[name] == pytest.approx(intervals[names[0]], rel=1e-12), name
    low, high = intervals["recall_macro"]
    assert intervals["fpr_macro"] == pytest.approx([1 - high, 1 - low])


def test_samples_without_a_class_are_left_out_and_counted(monkeypatch):
    """By all 5^5 samples of five patients, each as likely as another."""
    monkeypatch.setattr(bootstrap, "MOST_UNITS", 0)
    result = computed(SEVERAL, replicates=20000)
    recalls = []
    for sample in itertools.product(SEVERAL.values(), repeat=5):
        found = [
            (sum(r for label, r, _ in sample if label == i),
             sum(r + w for label, r, w in sample if label == i))
            for i in (0, 1)
        ]  # fmt: skip
        recalls.append([k / n if n else np.nan for k, n in found])
    recalls = np.array(recalls)
    whole = ~np.isnan(recalls).any(axis=1)
    share = whole.mean()
    assert share == pytest.approx(1 - 0.6**5 - 0.4**5)
    used = result["intervals_replicates"]["recall_macro"]
    assert used / 20000 == pytest.approx(share, abs=0.01)  # sd: 0.002
    expected = np.percentile(recalls[whole].mean(axis=1), [2.5, 97.5])
    assert result["intervals"]["recall_macro"] == pytest.approx(expected, abs=0.02)
    benign = np.percentile(recalls[~np.isnan(recalls[:, 0]), 0], [2.5, 97.5])
    assert result["intervals"]["per_class.benign.recall"] == pytest.approx(benign, abs=0.02)
    assert benign[0] > 0.6  # not 0, which a sample without a benign patient would have given
    assert result["intervals_replicates"]["per_class.benign.recall"] / 20000 == pytest.approx(
        1 - 0.6**5, abs=0.01
    )
    for name in ("accuracy", "patient_recognition_rate", "recall_micro_at_half", "brier"):
        assert name not in result["intervals_replicates"]


# --- one patient ---------------------------------------------------------------------------------


def test_what_one_patient_decides_has_no_interval():
    result = computed(LONE)
    assert result["per_class"]["benign"]["recall"] == 0.25
    rests_on_both = [
        *("balanced_accuracy", "recall_macro", "precision_macro", "kappa", "mcc", "auc"),
        *("specificity", "per_class.benign.recall", "per_class.benign.precision"),
        *("per_class.malignant.precision", "per_class.malignant.f1", "per_class.malignant.tnr"),
    ]
    for name in rests_on_both:
        assert result["intervals"][name] is None, name
        assert result["reasons"][name] == "one patient of benign"
    for name in ("accuracy", "per_class.malignant.recall", "per_class.benign.tnr",
                 "per_class.benign.fpr", "log_loss"):  # fmt: skip
        assert result["intervals"][name] is not None
        assert name not in result["reasons"]


def test_a_second_patient_is_enough():
    assert computed({**LONE, "b": (0, 1, 2)})["intervals"]["balanced_accuracy"] is not None


def test_a_patient_may_have_images_of_both_classes():
    labels = np.array([0, 1, 0, 1, 1, 0])
    found = ground_of(labels, TWO, np.array(list("aabbcc")))
    assert found.units.tolist() == [3, 3]
    found = ground_of(labels, TWO, np.array(list("abacca")))
    assert found.units.tolist() == [1, 2]
    assert found.other_units.tolist() == [2, 1]
    assert found.lone("class", 0) == found.lone("others", 1) == "one patient of benign"
    assert found.lone("class", 1) == found.lone("images") == ""


def test_one_image_of_a_class_where_patients_are_not_known():
    labels = np.array([0, 1, 1, 1, 1])
    result = metrics.compute(labels, np.eye(2)[[1, 1, 0, 1, 1]], TWO)
    assert result["intervals"]["balanced_accuracy"] is None
    assert result["reasons"]["balanced_accuracy"] == "one image of benign"
    assert result["accuracy_ci"] is not None


# --- an absent class -----------------------------------------------------------------------------


def test_an_absent_class():
    classes = ["A", "F", "LC"]
    result = computed(
        {"a": (0, 5, 1), "b": (0, 3, 2), "c": (1, 4, 0), "d": (1, 5, 3)}, classes
    )  # F is taken for LC
    absent = result["per_class"]["LC"]
    assert (absent["support"], absent["fp"]) == (0, 3)
    assert [key for key, value in absent.items() if value is None] == [
        "precision", "recall", "f1", "kappa", "mcc",
    ]  # fmt: skip
    assert absent["fpr"] == pytest.approx(3 / 23)
    for key in ("precision", "recall", "f1", "kappa", "mcc"):
        assert result["intervals"][f"per_class.LC.{key}"] is None
        assert result["reasons"][f"per_class.LC.{key}"] == "no test image of LC"
    assert result["intervals"]["per_class.LC.tnr"] is not None
    expected = (8 / 11 + 9 / 12) / 2
    assert result["recall_macro"] == result["balanced_accuracy"] == pytest.approx(expected)
    assert result["intervals"]["recall_macro"] == result["intervals"]["balanced_accuracy"]
    text = evaluation.summary(result)
    assert "LC: Not defined: Precision, Recall, F1 (no test image of LC)" in text
    line = next(line for line in text.splitlines() if line.startswith("LC  "))
    assert line.split() == ["LC", "0", "–", "–", "86.96", "%", "–"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_one_class_only():
    result = computed({"a": (1, 5, 1), "b": (1, 3, 2), "c": (1, 4, 0)})
    assert result["balanced_accuracy"] == result["accuracy"] == pytest.approx(12 / 15)
    assert result["intervals"]["balanced_accuracy"] == result["accuracy_ci"]
    assert result["intervals"]["per_class.malignant.recall"] == result["accuracy_ci"]
    for name in ("kappa", "mcc", "auc", "tnr_macro", "kappa_macro"):
        assert result[name] is None
        assert result["intervals"][name] is None
        assert result["reasons"][name] == "all test images are of malignant"
    assert result["specificity"] is None
    assert result["reasons"]["specificity"] == "no test image of benign"
    assert result["per_class"]["malignant"]["precision"] == 1
    assert result["reasons"]["per_class.malignant.precision"] == UNMOVED
    text = evaluation.summary(result)
    assert "sensitivity        80.00 %, specificity –  (positive: malignant)" in text
    assert "Not defined: Specificity (no test image of benign)" in text


def test_a_class_that_is_never_predicted_counts_as_zero():
    result = computed({"a": (0, 0, 6), "b": (0, 0, 4), "c": (1, 5, 0), "d": (1, 7, 0)})
    assert result["per_class"]["benign"]["precision"] == 0
    assert result["precision_macro"] == pytest.approx((0 + 12 / 22) / 2)
    assert (result["kappa"], result["mcc"], result["recall_macro"]) == (0, 0, 0.5)
    assert result["reasons"]["recall_macro"] == UNMOVED


# --- nothing varies ------------------------------------------------------------------------------


def predicted(labels, said, cases=None, **options):
    return metrics.compute(
        np.array(labels), np.eye(2)[said] * 0.8 + 0.1, TWO, cases=cases, positive="malignant",
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("images", [1, 3, 4, 9])
def test_a_share_of_images_that_no_sample_changes_has_the_exact_interval(images):
    """Precision 4/4 had [1, 1] and 3/3 [0, 1]: a sample without a predicted image counted as 0."""
    labels = [1] * images + [0] * 8 + [1] * 3
    result = predicted(labels, [1] * images + [0] * 11)
    found = result["intervals"]
    assert found["per_class.malignant.precision"] == list(metrics.clopper_pearson(images, images))
    assert found["per_class.malignant.fpr"] == list(metrics.clopper_pearson(0, 8))
    assert found["per_class.benign.recall"] == found["specificity"]
    assert found["specificity"] == list(metrics.clopper_pearson(8, 8))
    assert "reasons" not in result or not {*result["reasons"]} & {
        "per_class.malignant.precision", "specificity", "per_class.benign.recall"}  # fmt: skip
    assert all(pair is None or pair[0] < pair[1] for pair in found.values())


def test_samples_that_predict_no_image_as_the_class_do_not_tell_its_precision():
    """Of twelve images two are predicted, one of them among four of the class."""
    result = predicted([1] * 4 + [0] * 8, [1, 0, 0, 0, 1] + [0] * 7, replicates=20000)
    used = result["intervals_replicates"]["per_class.malignant.precision"]
    lacking = ((10 / 12) ** 12, (8 / 12) ** 12, (7 / 12) ** 12)  # of the two, of the four, of both
    lacking = lacking[0] + lacking[1] - lacking[2]
    assert used / 20000 == pytest.approx(1 - lacking, abs=0.01)


def test_patients_that_do_not_move_a_share_give_no_interval():
    labels, cases = [1] * 4 + [0] * 8, list("aabbccddeeff")
    result = predicted(labels, labels, cases)
    assert result["intervals"]["per_class.malignant.precision"] is None
    assert result["reasons"]["per_class.malignant.precision"] == UNMOVED
    assert result["accuracy_ci"] == list(metrics.clopper_pearson(6, 6))
    # One patient has all images that are called malignant: without it there is no precision.
    result = predicted(labels, [1, 1] + [0] * 10, cases)
    assert result["reasons"]["per_class.malignant.precision"] == NEEDED


def test_an_interval_without_width_is_none():
    draws = np.array([1.0] * 990 + [0.5] * 10)
    assert metrics.percentile_interval(draws) is None
    found, score = bootstrap.Found(), catalogue.find("kappa")
    bootstrap._add(found, "kappa", score, draws, "")
    bootstrap._add(found, "same", score, np.ones(9), "")
    assert found.intervals == {"kappa": None, "same": None}
    assert found.reasons == {"kappa": NEARLY, "same": CONSTANT}


# --- any test set --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_what_holds_of_any_test_set(seed):
    rng = np.random.default_rng(seed)
    n_classes, n = int(rng.integers(2, 5)), int(rng.integers(4, 40))
    names = list("wxyz")[:n_classes]
    labels = rng.choice(n_classes, n, p=rng.dirichlet(np.full(n_classes, 0.5)))
    result = metrics.compute(
        labels, rng.dirichlet(np.ones(n_classes), n), names,
        cases=rng.choice(list("pqrs")[: int(rng.integers(1, 5))], n) if seed % 3 else None,
        positive=names[1] if n_classes == 2 else None, replicates=300,
    )  # fmt: skip
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    values = {name: result[name] for name in result["intervals"] if "." not in name}
    values |= {
        f"per_class.{name}.{key}": row[key]
        for name, row in result["per_class"].items()
        for key in (score.key for score in catalogue.PER_CLASS)
    }
    reasons = result.get("reasons", {})
    assert set(values) == set(result["intervals"])
    for name, value in values.items():
        interval = result["intervals"][name]
        assert (interval is None) == (name in reasons), name
        if value is None:
            assert reasons[name].startswith(("no test image of", "all test images are of"))
        if interval is not None:
            score = catalogue.find(name)
            assert score.lowest <= interval[0] <= interval[1] <= score.highest
    for name, used in result.get("intervals_replicates", {}).items():
        assert 0 < used < 300
        assert result["intervals"][name] is not None


# --- AUC -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clustered", [False, True])
def test_the_area_of_a_sample_is_that_of_its_images(clustered):
    rng = np.random.default_rng(4)
    positive, scores = rng.random(60) < 0.4, np.round(rng.random(60), 1)
    cases = rng.choice(list("abcdef"), 60) if clustered else None
    draws = metrics.draw(60, cases, replicates=25, seed=1)
    found = replicates.auc(positive, scores, draws)
    for times, area in zip(draws.times[:, draws.unit].astype(int), found, strict=True):
        assert area == pytest.approx(
            metrics.auc(np.repeat(positive, times), np.repeat(scores, times))
        )
    nothing = replicates.auc(np.ones(60, bool), scores, draws)
    assert np.isnan(nothing).all()


def test_many_images_are_drawn_in_blocks(monkeypatch):
    rng = np.random.default_rng(2)
    positive, scores = rng.random(50) < 0.5, rng.random(50)
    draws = metrics.draw(50, replicates=40)
    whole = replicates.auc(positive, scores, draws)
    monkeypatch.setattr(replicates, "AT_ONCE", 200)
    np.testing.assert_array_equal(replicates.auc(positive, scores, draws), whole)


def test_the_interval_of_the_area_agrees_with_theory():
    """Hanley and McNeil's standard error, exponential scores: AUC 0.8, 400 of each class."""
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.exponential(1, 400), rng.exponential(4, 400)])
    first = 1 - scores / scores.max()
    labels = np.repeat([0, 1], 400)
    result = metrics.compute(labels, np.stack([first, 1 - first], 1), TWO, positive="malignant")
    area = result["auc"]
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    error = np.sqrt((area * (1 - area) + 399 * (q1 - area**2) + 399 * (q2 - area**2)) / 400**2)
    low, high = result["intervals"]["auc"]
    assert (low, high) == pytest.approx((area - 1.96 * error, area + 1.96 * error), abs=0.006)


def test_each_magnification_has_its_own_area_and_interval():
    rng = np.random.default_rng(6)
    labels, cases = rng.integers(0, 2, 200), rng.choice(list("abcdefgh"), 200)
    first = np.clip(rng.normal(0.6 - 0.2 * labels, 0.2), 0, 1)
    where = rng.choice(["40X", "100X"], 200)
    probabilities = np.stack([first, 1 - first], 1)
    options = {"classes": TWO, "positive": "malignant", "replicates": 400}
    whole = metrics.compute(labels, probabilities, cases=cases, magnifications=where, **options)
    chosen = where == "40X"
    alone = metrics.compute(labels[chosen], probabilities[chosen], cases=cases[chosen], **options)
    part = whole["by_magnification"]["40X"]
    assert part["intervals"] == alone["intervals"]
    assert part["intervals"]["auc"][0] < part["auc"] < part["intervals"]["auc"][1]


# --- older files ---------------------------------------------------------------------------------


def test_files_of_earlier_versions_tell_what_they_have():
    result = computed(SEVERAL)
    expected = result["intervals"]["specificity"]
    for key in ("auc", "specificity", "patient_recognition_rate", "brier", "log_loss"):
        del result["intervals"][key]
    del result["intervals_method"]
    found = {each.score.key: each for each in shown.of_test(result)}
    assert found["specificity"].interval == tuple(expected)
    assert shown.interval(result, "specificity") == tuple(expected)
    assert found["auc"].interval is None
    assert found["auc"].reason == ""
    assert shown.notes(list(found.values())) == []
    assert "Specificity" in evaluation.summary(result)
