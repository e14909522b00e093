"""The catalogue of scores: one entry, and a metric stands in the file, the summary and on pages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common import evaluation, metrics
from common.metrics import catalogue, shown
from common.report import summary as report_summary

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
SURE = np.array([0.9, 0.8, 0.7, 0.2, 0.9, 0.8, 0.7, 0.6, 0.6, 0.35])
"""Probability of the true class; the last of each class is wrong."""


def binary(**options):
    probabilities = np.where(np.eye(2, dtype=bool)[LABELS], SURE[:, None], 1 - SURE[:, None])
    options = {"positive": "malignant", "cases": list("aaabbbcccc")} | options
    return metrics.compute(LABELS, probabilities, ["benign", "malignant"], **options)


def by_title(result):
    return {each.score.title: each for each in shown.of_test(result)}


def test_every_score_stands_in_metrics_json():
    result = binary(magnifications=["40X"] * 10, folders=list("aaabbbccdd"))
    result = result["by_magnification"]["40X"]  # where the rate over slide folders stands, too
    for score in catalogue.SCORES:
        if not score.key.startswith("per_class."):
            assert score.key in result
        for name in (*(score.k_of_n or ()), *score.facts):
            assert name in result
    for score in catalogue.PER_CLASS:
        assert score.key in result["per_class"]["benign"]
        assert f"{score.key}_macro" in result
        assert f"per_class.benign.{score.key}" in result["intervals"]
    listed = [score for score in catalogue.SCORES if score.line is not None]
    assert len(shown.of_test(result)) == len(listed)


def test_keys_are_unique():
    for scores in (catalogue.SCORES, catalogue.PER_CLASS):
        keys = [score.key for score in scores]
        assert len(set(keys)) == len(keys)


def test_ranges_are_those_of_the_definitions():
    """Shares lie in [0, 1]; agreement begins at -1, squared errors of a row sum to 2 at most."""
    agreement, share = (-1, 1), (0, 1)
    of_all, of_classes = (
        {score.key: (score.lowest, score.highest) for score in scores}
        for scores in (catalogue.SCORES, catalogue.PER_CLASS)
    )
    for ranges in (of_all, of_classes):
        assert ranges["kappa"] == ranges["mcc"] == agreement
    assert of_all["kappa_macro"] == of_all["mcc_macro"] == agreement
    assert (of_all["brier"], of_all["log_loss"]) == ((0, 2), (0, np.inf))
    others = {key for key, ends in (of_all | of_classes).items() if ends != share}
    assert others == {"kappa", "mcc", "kappa_macro", "mcc_macro", "brier", "log_loss"}


def test_what_a_score_cannot_do_without():
    """A mean over images needs no class; of one class the denominator says what counts."""
    assert {score.key for score in catalogue.SCORES if score.rests_on == "images"} == {
        "accuracy", "patient_recognition_rate", "folder_recognition_rate",
        "precision_micro_at_half", "recall_micro_at_half", "ece", "brier", "log_loss",
        "aurc", "error_at_80_coverage", "coverage_at_5_error",
    }  # fmt: skip
    assert {score.rests_on for score in catalogue.SCORES} == {"images", "classes"}
    assert {score.key: score.rests_on for score in catalogue.PER_CLASS} == {
        "recall": "class", "fpr": "others", "tnr": "others",
        **dict.fromkeys(("precision", "f1", "kappa", "mcc"), "class and others"),
    }  # fmt: skip
    assert {score.applies for score in catalogue.PER_CLASS} == {"per class"}


@pytest.mark.parametrize(
    ("key", "title", "mean", "text"),
    [
        ("fpr", "False positive rate", "Macro false positive rate", "-25.00 %"),
        ("kappa", "Cohen’s kappa", "Macro kappa", "-0.250"),
        ("mcc", "Matthews correlation", "Macro MCC", "-0.250"),
    ],
)
def test_what_stands_in_no_list_has_its_name_and_form_too(key, title, mean, text):
    one, all_classes = catalogue.find(f"per_class.a.{key}"), catalogue.find(f"{key}_macro")
    assert (one.title, one.text(-0.25), one.line) == (title, text, None)
    assert (all_classes.title, all_classes.text(-0.25), all_classes.line) == (mean, text, None)


def test_what_is_shown_of_a_test_set():
    found = by_title(binary())
    assert list(found)[:5] == [
        "Accuracy", "Patient recognition rate", "Balanced accuracy", "Sensitivity", "Specificity",
    ]  # fmt: skip
    texts = {title: each.text for title, each in found.items()}
    assert texts["Accuracy"] == "80.00 %"
    assert found["Accuracy"].k_of_n == (8, 10)
    # a: 3 of 3, b: 2 of 3, c: 3 of 4
    assert texts["Patient recognition rate"] == "80.56 %"
    assert texts["Sensitivity"] == "83.33 %"
    assert texts["Specificity"] == "75.00 %"
    assert found["Precision above 0.5"].k_of_n == (8, 10)
    assert found["Recall above 0.5"].k_of_n == (8, 10)
    # chance: (4 * 4 + 6 * 6) / 100 = 0.52
    assert texts["Cohen’s kappa"] == f"{(0.8 - 0.52) / 0.48:.3f}" == "0.583"
    # Of 24 pairs the benign 0.1, 0.2 and 0.3 win six each, the 0.8 one, and a half against the 0.8.
    assert texts["Area under the ROC curve"] == f"{19.5 / 24:.4f}" == "0.8125"
    assert found["Area under the ROC curve"].meaning == "positive class, malignant"
    assert found["Sensitivity"].meaning == "recall of malignant"
    assert found["Patient recognition rate"].meaning.startswith("mean over the patients (3)")


SUMMARY = """\
test images        10, patients 3
accuracy           80.00 %  (8/10), 95 % interval 27.07 to 97.73 %  (jackknife over patients)
patient rate       80.56 %  (each patient counts once)
balanced accuracy  79.17 %
sensitivity        83.33 %, specificity 75.00 %  (positive: malignant)
macro averages     precision 79.17 %, recall 79.17 %, F1 79.17 %
above 0.5, pooled  precision 80.00 %  (8/10), recall 80.00 %  (8/10)
kappa, MCC         0.583, 0.583
AUC                0.8125  (positive class, malignant)
calibration        ECE 0.265, Brier 0.333, log loss 0.505
abstaining         AURC 0.1460, error at 80 % coverage 25.00 %, coverage at 5 % error 20.00 %

score                        95 % interval
Patient recognition rate  20.92 to 98.48 %
Balanced accuracy          0.09 to 99.99 %
Sensitivity               0.00 to 100.00 %
Specificity               0.00 to 100.00 %
Macro precision            0.10 to 99.99 %
Macro recall               0.09 to 99.99 %
Macro F1                   0.11 to 99.99 %
Precision above 0.5       27.07 to 97.73 %
Recall above 0.5          27.07 to 97.73 %
Cohen’s kappa              -0.998 to 1.000
Matthews correlation       -0.998 to 1.000
Area under the ROC curve  0.0000 to 1.0000
Brier score                 0.075 to 1.010
Log loss                    0.179 to 1.428

class      images  precision   recall  specificity       F1
benign          4    75.00 %  75.00 %      83.33 %  75.00 %
malignant       6    83.33 %  83.33 %      75.00 %  83.33 %

95 % interval         precision            recall       specificity                F1
benign         0.00 to 100.00 %  0.00 to 100.00 %  0.00 to 100.00 %  0.00 to 100.00 %
malignant      0.00 to 100.00 %  0.00 to 100.00 %  0.00 to 100.00 %  18.99 to 99.07 %

true \\ predicted  benign  malignant
benign                 3          1
malignant              1          5"""


def test_a_summary_whole():
    assert evaluation.summary(binary()) == SUMMARY


def test_what_else_a_summary_may_say():
    """SYNTHETIC first, the split, unknown patients, magnifications last."""
    magnifications = ["40X"] * 5 + ["100X"] * 5
    result = binary(cases=None, split="official", synthetic=True, magnifications=magnifications)
    lines = evaluation.summary(result).splitlines()
    assert lines[0].startswith("SYNTHETIC")
    assert lines[1:3] == [
        "split              official",
        "test images        10, patients unknown",
    ]
    assert lines[-4:] == [
        "",
        "magnification  images  accuracy      95 % interval  patient rate",
        "40X                 5   80.00 %  40.00 to 100.00 %             –",
        "100X                5   80.00 %  40.00 to 100.00 %             –",
    ]


def test_intervals_are_found_at_their_path():
    result = binary()
    found, intervals = by_title(result), result["intervals"]
    assert found["Accuracy"].interval == tuple(result["accuracy_ci"])
    assert found["Sensitivity"].interval == tuple(intervals["per_class.malignant.recall"])
    assert found["Specificity"].interval == tuple(intervals["per_class.malignant.tnr"])
    assert found["Macro F1"].interval == tuple(intervals["f1_macro"])
    assert found["Area under the ROC curve"].interval == tuple(intervals["auc"])
    assert [title for title, each in found.items() if each.interval is None] == [
        "Expected calibration error", "Area under the risk-coverage curve",
        "Error at 80 % coverage", "Coverage at 5 % error",
    ]  # fmt: skip
    assert shown.of_class(result, "benign")[0].interval == tuple(
        intervals["per_class.benign.precision"]
    )


def test_a_score_that_does_not_apply_is_not_shown():
    two = {"Sensitivity", "Specificity"}
    assert two <= set(by_title(binary()))
    assert not two & set(by_title(binary(positive=None)))
    assert "Patient recognition rate" not in by_title(binary(cases=None))
    labels = np.array([0, 1, 2])
    three = metrics.compute(labels, np.eye(3), ["a", "b", "c"], positive="b")
    assert three["specificity"] is None
    assert not two & set(by_title(three))


def test_what_is_not_defined_is_a_dash():
    one_class = metrics.compute(np.zeros(3, int), np.eye(2)[[0, 0, 1]], ["a", "b"])
    area = by_title(one_class)["Area under the ROC curve"]
    assert (area.value, area.text) == (None, "–")
    assert area.aside == "macro one-vs-rest over 0 of 2 classes"


def test_an_older_file_lacks_a_score():
    result = binary()
    del result["brier"], result["intervals"]
    found = by_title(result)
    assert "Brier score" not in found
    assert found["Log loss"].value == result["log_loss"]
    assert found["Accuracy"].interval is None
    assert "Brier" not in evaluation.summary(result)


def test_a_class_may_have_a_dot_in_its_name():
    result = metrics.compute(LABELS, np.eye(2)[LABELS], ["grade 1.5", "b"], positive="grade 1.5")
    assert by_title(result)["Sensitivity"].value == 1
    assert [each.text for each in shown.of_class(result, "grade 1.5")] == ["100.00 %"] * 4


def test_a_metric_is_added_by_its_function_and_one_entry(monkeypatch):
    def error_rate(matrix):
        return 1 - metrics.accuracy(matrix)

    whole = catalogue.Score(
        key="error_rate", title="Error rate", meaning="share of the images that are wrong",
        line="error rate", rests_on="images", from_matrix=error_rate,
    )  # fmt: skip
    of_images = replace(
        whole, key="surest", title="Surest", line="surest", percent=False, decimals=1,
        from_matrix=None, from_images=lambda images: float(images.probabilities.max()),
    )  # fmt: skip
    monkeypatch.setattr(catalogue, "SCORES", (*catalogue.SCORES, whole, of_images))
    result = binary()
    assert result["error_rate"] == pytest.approx(0.2)
    low, high = result["accuracy_ci"]
    assert result["intervals"]["error_rate"] == pytest.approx([1 - high, 1 - low])
    assert "surest" not in result["intervals"]
    lines = evaluation.summary(result).splitlines()
    assert [line.split() for line in lines if line.startswith(("error", "surest"))] == [
        ["error", "rate", "20.00", "%"], ["surest", "0.9"],
    ]  # fmt: skip
    rows = {title: (value, meaning) for title, value, _, meaning in report_summary._scores(result)}
    assert rows["Error rate"] == ("20.00\xa0%", "share of the images that are wrong")
    assert rows["Surest"][0] == "0.9"
