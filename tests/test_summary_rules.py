"""How a metrics.json is shown where parts of it are missing, old or of one class."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from common import metrics
from common.metrics import pairs, shown, stored
from common.metrics.summary import aligned, summary

TWO = ["benign", "malignant"]
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
HEAD = ["95", "%", "interval", "precision", "recall", "specificity", "F1"]
PREDICTED = np.array([0, 0, 1, 0, 1, 1, 1, 0])


def computed(labels=LABELS, predicted=PREDICTED, classes=TWO, **options):
    probabilities = np.full((len(labels), len(classes)), 0.1 / max(1, len(classes) - 1))
    probabilities[np.arange(len(labels)), predicted] = 1.0 if len(classes) == 1 else 0.9
    options = {"replicates": 50, "positive": "malignant" if classes == TWO else None} | options
    return metrics.compute(labels, probabilities, classes, **options)


def by_key(found):
    return {each.score.key: each for each in found}


# --- what a file tells ---------------------------------------------------------------------------


def test_counts_stand_beside_a_share_only_together():
    result = computed()
    assert by_key(shown.of_test(result))["recall_micro_at_half"].k_of_n == (6, 8)
    del result["tp_at_half"]
    found = by_key(shown.of_test(result))
    assert found["recall_micro_at_half"].k_of_n is None
    assert found["accuracy"].k_of_n == (6, 8)
    assert found["kappa"].k_of_n is None


def test_an_interval_of_its_own_comes_first():
    result = computed()
    result["intervals"]["specificity"] = [0.1, 0.2]
    result["intervals"]["per_class.malignant.tnr"] = [0.3, 0.4]
    assert shown.interval(result, "specificity") == (0.1, 0.2)
    del result["intervals"]["specificity"]
    assert shown.interval(result, "specificity") == (0.3, 0.4)
    assert shown.interval(result, "best_epoch") is None  # no score
    assert shown.interval({}, "accuracy") is None


def test_reasons_are_told_once_each():
    result = computed(cases=["p"] * 8)
    found = shown.of_class(result, "benign")
    assert {each.reason for each in found} == {"one patient"}
    assert shown.notes(found) == ["No interval: Precision, Recall, Specificity, F1 (one patient)"]
    nothing = shown.of_class(computed(np.zeros(3, int), np.zeros(3, int)), "malignant")
    assert shown.notes(nothing) == [
        "Not defined: Precision, Recall, F1 (no test image of malignant)"
    ]
    same = computed(np.zeros(4, int), np.zeros(4, int), cases=list("ppqq"))
    assert shown.notes(shown.of_class(same, "malignant"))[1:] == [
        "No interval: Specificity (the same without any one patient)"
    ]
    assert shown.notes([]) == []


def test_a_rate_over_unknown_folders_or_patients_is_not_shown():
    result = computed(cases=list("ppqqrrss"), magnifications=["40X"] * 8, folders=list("ppqqrrss"))
    part = result["by_magnification"]["40X"]
    for key, count in (
        ("folder_recognition_rate", "n_folders"), ("patient_recognition_rate", "n_patients"),
    ):  # fmt: skip
        assert key in by_key(shown.of_test(part))
        del part[count]
        assert key not in by_key(shown.of_test(part))


# --- the summary ---------------------------------------------------------------------------------


def test_an_area_near_one_is_warned_of():
    """Over patients alone: in simulated studies such intervals are too short."""
    labels = np.arange(40) % 2
    first = np.where(labels == 0, 0.9, 0.1)
    first[[0, 1]] = 0.45, 0.55  # two images in the wrong order
    probabilities = np.stack([first, 1 - first], axis=1)
    said = "Area under the ROC curve: near 1 an interval over patients is too short"
    options = {"classes": ["b", "m"], "positive": "m"}
    cases = [f"p{i // 2 % 5}{i % 2}" for i in range(40)]
    found = metrics.compute(labels, probabilities, cases=cases, **options)
    assert 0.98 < found["auc"] < 1 and found["intervals"]["auc"] is not None
    assert said in summary(found)
    assert said not in summary(metrics.compute(labels, probabilities, **options))
    for auc in (0.98, 0.0, None):
        assert said not in summary({**found, "auc": auc})
    assert said in summary({**found, "auc": 0.9801})
    first[[2, 4, 6]] = 0.05  # three of the first class below all of the other
    worse = metrics.compute(labels, np.stack([first, 1 - first], 1), cases=cases, **options)
    assert worse["auc"] < 0.98 and said not in summary(worse)


def test_one_patient_in_a_summary():
    text = summary(computed(cases=["p"] * 8))
    assert "accuracy           75.00 %  (6/8), no interval (one patient)" in text
    assert "score  " not in text  # no table of intervals
    assert "\n95 % interval  " not in text
    assert text.splitlines()[-1] == (
        "malignant: No interval: Precision, Recall, Specificity, F1 (one patient)"
    )


def test_an_older_file_in_a_summary():
    result = computed()
    del result["intervals"]
    text = summary(result)
    assert text.count("95 % interval") == 1  # the accuracy's
    assert text.splitlines()[-1].split() == ["malignant", "1", "3"]  # no notes, no empty line
    result["accuracy_ci"] = None
    assert "(6/8), no interval (not known)" in summary(result)
    result["reasons"] = {"kappa": "?"}
    assert "(6/8), no interval (not known)" in summary(result)
    result["reasons"] = {"accuracy": "one patient"}
    assert "(6/8), no interval (one patient)" in summary(result)


def test_classes_with_some_intervals_and_with_none():
    result = computed()
    for score in ("precision", "recall", "f1", "tnr"):
        result["intervals"][f"per_class.benign.{score}"] = None
        result["intervals"][f"per_class.malignant.{score}"] = None
    result["intervals"]["per_class.malignant.recall"] = [0.25, 1.0]
    lines = summary(result).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("95 % interval"))
    assert lines[head - 1] == lines[head + 2] == ""
    assert lines[head].split() == [
        "95",
        "%",
        "interval",
        "precision",
        "recall",
        "specificity",
        "F1",
    ]
    assert lines[head + 1].split() == ["malignant", "–", *["25.00", "to", "100.00", "%"], "–", "–"]


def test_a_single_class_in_a_summary():
    result = computed(np.zeros(4, int), np.zeros(4, int), ["only"])
    rows = [line.split() for line in summary(result).splitlines()]
    assert ["only", "4"] in rows  # the confusion matrix
    result["intervals"]["per_class.only.recall"] = [0.5, 1.0]
    assert HEAD in [line.split() for line in summary(result).splitlines()]


@pytest.mark.parametrize("width", [98, 99])
def test_notes_are_as_wide_as_a_terminal(width):
    result = computed()
    note = "No interval: Accuracy ()"
    result["reasons"] = {"accuracy": "y" * 9 + " " + "x" * (width - len(note) - 10)}
    lines = summary(result).splitlines()
    if width == 98:
        assert lines[-1].startswith("No interval: Accuracy (yyyyyyyyy xxx")
        assert len(lines[-1]) == 98
    else:
        assert lines[-2] == "No interval: Accuracy (yyyyyyyyy"
        assert lines[-1] == textwrap.indent("x" * (width - len(note) - 10) + ")", "  ")


def test_columns_of_a_text_table():
    assert aligned([["a", "b"]]) == ["a  b"]
    assert aligned([["name", "n"], ["x", "10"], ["longest", ""]]) == [
        "name      n", "x        10", "longest",
    ]  # fmt: skip


# --- patients that are known of some images ------------------------------------------------------

HALF = "4 of 8 images have no patient, so intervals are over images and too narrow"


@pytest.mark.parametrize("unknown", ["", None, np.nan])
def test_patients_known_of_some_images_are_told_with_what_follows(unknown):
    """It said "patients unknown", and the interval was narrower than with all of them named."""
    result = computed(cases=np.array([*"ppqq", *[unknown] * 4], dtype=object))
    assert result["n_without_patient"] == 4 and result["n_patients"] is None
    stored.require_scores(result)
    assert shown.half_known(result) == HALF
    text = summary(result)
    assert "test images        8, of 4 the patient is unknown\n" in text
    assert HALF in text.splitlines()
    compared = {"n": 8, "n_patients": None, "n_without_patient": 4, "difference_ci": None}
    counts = dict.fromkeys(("both_right", "only_a", "only_b", "both_wrong"), 2)
    scores = dict.fromkeys(("accuracy_a", "accuracy_b", "difference", "mcnemar_p"), 0.5)
    assert f"note       {HALF}" in pairs.text("a", "b", compared | counts | scores)
    for cases in (list("ppqqrrss"), [unknown] * 8, None):
        result = computed(cases=cases)
        assert "n_without_patient" not in result and shown.half_known(result) == ""
    one = shown.half_known({"n": 8, "n_without_patient": 1})
    assert one.startswith("1 of 8 images has no patient")


def test_each_magnification_tells_of_its_own_patients():
    result = computed(cases=[*"ppqqrr", "", ""], magnifications=["40X"] * 5 + ["100X"] * 3)
    assert result["n_without_patient"] == 2
    parts = result["by_magnification"]
    assert parts["100X"]["n_without_patient"] == 2
    assert parts["40X"]["ci_unit"] == "image" and "n_without_patient" not in parts["40X"]
