"""A review finds every planted fault, passes what is clean, and names what it cannot read."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pandas as pd
import pytest
import run_folder
from pages import measured, parse
from submissions import Submission

from common.errors import InputError
from common.papers import PAPERS
from common.review import TOPICS, judged, parts, resolvable, review
from common.review.__main__ import main
from common.review.predicted import Predictions

RNG = np.random.default_rng(7)


def reviewed(submission, folder, *more):
    """A review of a submission's files."""
    given = dict(zip(*[iter(submission.write(folder))] * 2, strict=True))
    return review(
        printed=given.get("--numbers"),
        split=given.get("--split"),
        predictions=given.get("--predictions"),
        images=next((folder for flag in more if flag == "--images"), None),
    )


# --- what is clean ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_a_clean_submission_passes(tmp_path, seed):
    found = reviewed(Submission(seed), tmp_path)
    assert [each for each in found.found if each.level != "told"] == []
    assert [each.rule for each in found.found] == ["predictions give the numbers"]


def test_a_clean_submission_passes_with_images(tmp_path, capsys):
    clean = Submission()
    given = [*clean.write(tmp_path), *clean.draw(tmp_path)]
    assert main([str(tmp_path / "page.html"), *given]) == 0
    assert "nothing wrong, nothing in doubt" in capsys.readouterr().out


# --- planted faults -----------------------------------------------------------------------------


def _patients_in_two_parts(s):
    rows = s.split.index[s.split["patient_id"] == "P03"]
    s.split.loc[rows[:2], "part"] = "test"
    s.predictions = None


def _image_in_two_parts(s):
    again = s.split[s.split["part"] == "test"].head(3).assign(part="train")
    s.split = pd.concat([s.split, again])


def _impossible(s):
    s.numbers.loc[0, "printed"] = "93.11"  # 111/120 = 92.50, 112/120 = 93.33
    s.predictions = None


def _impossible_together(s):
    s.numbers.loc[3, "printed"] = "99.17"
    s.predictions = None


def _other_numbers(s):
    s.predictions["prob_malignant"] = s.predictions["prob_malignant"].sample(
        frac=1, random_state=0, ignore_index=True
    )
    s.predictions["prob_benign"] = 1 - s.predictions["prob_malignant"]


def _sums(s):
    s.predictions.loc[5:9, "prob_benign"] += 0.05


def _negative(s):
    s.predictions[["prob_benign", "prob_malignant"]] = RNG.normal(0, 3, (120, 2)).round(4)


def _nan(s):
    s.predictions["prob_benign"] = s.predictions["prob_benign"].astype(object)
    s.predictions.loc[3, "prob_benign"] = "n/a"


def _exchanged(s):
    other = {"benign": "malignant", "malignant": "benign"}
    s.predictions["y_true"] = s.predictions["y_true"].map(other)
    s.split = s.numbers = None


def _exchanged_beside_split(s):
    _exchanged(s)
    s.split = Submission().split


def _one_label(s):
    s.predictions.loc[2, "y_true"] = "malignant"


def _training_images(s):
    s.predictions.loc[:4, "filename"] = s.split["image"][:5].tolist()


def _validation_images(s):
    s.split.loc[s.split["patient_id"] == "P40", "part"] = "validation"


def _training_patients(s):
    s.predictions.loc[:4, "filename"] = [f"img/new_{i}.png" for i in range(5)]
    s.predictions.loc[:4, "patient_id"] = "P01"


def _left_out(s):
    s.predictions = s.predictions.drop(index=range(10, 20))


def _foreign(s):
    s.predictions.loc[len(s.predictions)] = ["img/X.png", "P99", "benign", 0.9, 0.1]


def _twice(s):
    s.predictions = pd.concat([s.predictions, s.predictions.head(6)])


def _copies(s):
    columns = ["prob_benign", "prob_malignant"]
    s.predictions.loc[20:24, columns] = s.predictions.loc[10:14, columns].to_numpy()


def _one_class(s):
    s.predictions[["prob_benign", "prob_malignant"]] = [0.2, 0.8]


def _no_patients(s):
    s.predictions = s.predictions.drop(columns="patient_id")
    s.split = s.split.drop(columns="patient_id")


def _other_names(s):
    s.predictions["filename"] = [f"case{i}.png" for i in range(120)]


def _said_otherwise(s):
    s.predictions["prediction"] = np.where(np.arange(120) % 3, "benign", "malignant")


def _misspelt(s):
    said = np.where(s.predictions["prob_malignant"] > 0.5, "malignant", "benign")
    s.predictions = s.predictions.assign(prediction=said).drop(
        columns=["prob_benign", "prob_malignant"]
    )
    s.predictions.loc[3, "prediction"] = "malginant"


def _too_sure(s):
    for column in ("prob_benign", "prob_malignant"):
        s.predictions[column] = (s.predictions[column] > 0.5) * 0.99998 + 0.00001


def _small(s):
    s.numbers["n_test"] = 60
    s.numbers.loc[:, "printed"] = ["93.33", "93.33", "93.33", "93.33"]


FAULTS = {
    "patients in two parts": (_patients_in_two_parts, "wrong"),
    "an image in two parts": (_image_in_two_parts, "wrong"),
    "k of n": (_impossible, "wrong"),
    "one matrix": (_impossible_together, "wrong"),
    "predictions do not give the numbers": (_other_numbers, "wrong"),
    "probabilities do not add up": (_sums, "wrong"),
    "no probability": (_negative, "wrong"),
    "no number": (_nan, "wrong"),
    "classes exchanged": (_exchanged, "wrong"),
    "labels exchanged": (_exchanged_beside_split, "wrong"),
    "labels differ": (_one_label, "wrong"),
    "tested on training images": (_training_images, "wrong"),
    "tested on validation images": (_validation_images, "wrong"),
    "tested on patients of the training": (_training_patients, "wrong"),
    "test images without a prediction": (_left_out, "wrong"),
    "images that the split lacks": (_foreign, "doubt"),
    "an image twice": (_twice, "wrong"),
    "equal probabilities": (_copies, "doubt"),
    "the same for every image": (_one_class, "wrong"),
    "patients unknown": (_no_patients, "doubt"),
    "no name in common": (_other_names, "wrong"),
    "prediction is not the most probable": (_said_otherwise, "wrong"),
    "calibration": (_too_sure, "doubt"),
    "a class that no image has": (_misspelt, "doubt"),
    "another number of images": (_small, "wrong"),
}


@pytest.mark.parametrize("rule", FAULTS)
def test_a_planted_fault_is_found(tmp_path, rule):
    plant, level = FAULTS[rule]
    submission = Submission()
    plant(submission)
    found = reviewed(submission, tmp_path)
    (named,) = {(each.level, each.rule) for each in found.found if each.rule == rule}
    assert named == (level, rule)
    assert all(each.question for each in found.found if each.rule == rule)
    assert all(each.topic in TOPICS for each in found.found)


def _copied(folder, names, change=lambda image: image):
    first, second = (str(folder / name) for name in names)
    cv2.imwrite(second, change(cv2.imread(first)))


@pytest.mark.parametrize(
    ("names", "change", "rule"),
    [
        (("P00_0.png", "P40_0.png"), None, "equal images in two parts"),
        (("P00_0.png", "P40_0.png"), "turned", "nearly equal images in two parts"),
        (("P41_0.png", "P41_1.png"), None, "equal images"),
        (("P41_0.png", "P42_1.png"), None, "equal images with two labels"),
    ],
)
def test_copies_among_the_images_are_found(tmp_path, names, change, rule):
    submission = Submission()
    submission.draw(tmp_path)
    turned = (lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)) if change else None
    _copied(tmp_path / "img", names, *([turned] if turned else []))
    found = reviewed(submission, tmp_path, "--images")
    assert rule in {each.rule for each in found.wrong}
    assert any(names[0] in each.shown for each in found.wrong if each.rule == rule)
    two = [each for each in found.found if each.rule == "an image of two patients"]
    patients = {name.partition("_")[0] for name in names}
    assert len(two) == len(patients) - 1
    if two:
        assert "1 pair of" in two[0].what and two[0].level == "doubt"
        assert f"are {' and '.join(sorted(patients))} one patient?" in two[0].shown


@pytest.mark.parametrize("turned", [False, True])
def test_images_that_are_alike_within_one_part_are_named(tmp_path, turned):
    submission = Submission()
    submission.draw(tmp_path)
    change = (lambda image: cv2.rotate(image, cv2.ROTATE_180)) if turned else None
    for i in range(6):
        _copied(tmp_path / "img", (f"P0{i}_0.png", f"P0{i}_1.png"), *([change] if turned else []))
    found = reviewed(submission, tmp_path, "--images")
    rule = "nearly equal images" if turned else "equal images"
    [alike] = [each for each in found.found if each.rule == rule]
    assert alike.level == "doubt" and "6 pairs" in alike.what
    assert alike.shown.startswith("P00_0.png (train) and P00_1.png (train); P01_0.png (train) and")
    assert alike.shown.endswith("; and 1 more")


def test_predictions_that_give_no_number_name_no_system(tmp_path):
    """Of two systems without a hit, the one with fewer numbers is no better."""
    submission = Submission()
    other = submission.numbers.iloc[:1].assign(row="Other", printed="61.67")
    submission.numbers = pd.concat([submission.numbers.assign(printed="60.00"), other])
    [none] = [x for x in reviewed(submission, tmp_path).found if x.topic == "together"]
    assert none.level == "wrong" and none.rule == "predictions do not give the numbers"
    assert none.what == "the predictions give none of 5 printed numbers of 2 systems"
    assert none.shown.startswith("systems: Net, Other")
    submission.numbers.iloc[0, submission.numbers.columns.get_loc("printed")] = (
        Submission().numbers["printed"].iloc[0]
    )
    found = reviewed(submission, tmp_path).found
    [some] = [x for x in found if x.rule == "predictions do not give the numbers"]
    assert "of Net, which they fit best" in some.what


def test_breakhis_names_tell_cases_and_labels(tmp_path):
    """Slides AB and CD of a case in two parts; a benign name with a malignant label."""
    split = tmp_path / "split.csv"
    split.write_text(
        "image,label,part\n"
        "SOB_B_A-14-22549AB-40-001.png,benign,train\n"
        "SOB_B_A-14-22549CD-40-001.png,benign,test\n"
        "SOB_M_DC-14-2523-40-010.png,malignant,train\n"
        "SOB_B_F-14-9133-40-001.png,malignant,test\n"
    )
    rules = {each.rule: each for each in review(split=split).wrong}
    assert rules.keys() == {"patients in two parts", "labels differ"}
    assert rules["patients in two parts"].shown == "22549"
    assert "a case number may be one patient" in rules["patients in two parts"].what
    assert "SOB_B_F-14-9133-40-001.png" in rules["labels differ"].shown


def test_splits_of_any_form_are_reviewed(tmp_path):
    """Lists of folders; folds dealt to patients, of which the predictions belong to one."""
    lists = tmp_path / "split.json"
    lists.write_text(json.dumps({"train": ["SOB_B_TA_14-16184"], "test": ["SOB_B_TA_14-16184CD"]}))
    (shared,) = review(split=lists).wrong
    assert shared.rule == "patients in two parts" and shared.shown == "16184"
    predictions = tmp_path / "p.csv"
    predictions.write_text("image,label,prediction\nSOB_B_TA-14-16184-40-001.png,benign,benign\n")
    rules = {each.rule for each in review(split=lists, predictions=predictions).wrong}
    assert "tested on training images" in rules

    folds = tmp_path / "folds.csv"
    rows = [f"img{i}.png,P{i // 2},{i // 2 % 3}" for i in range(12)]
    folds.write_text("\n".join(["image,patient,fold", *rows]) + "\n")
    assert review(split=folds).wrong == []
    predictions.write_text("image,label,prediction\nimg2.png,a,a\nimg3.png,b,a\n")
    made = review(split=folds, predictions=predictions)
    assert made.split.name.endswith("fold 1 against the others")
    assert {each.rule for each in made.wrong} == {
        "one class alone", "test images without a prediction"
    }  # fmt: skip
    folds.write_text("\n".join(["image,patient,fold", *rows, "img12.png,P0,1"]) + "\n")
    assert {each.rule for each in review(split=folds).wrong} == {"patients in two parts"}


def test_a_changed_copy_of_a_training_image_is_found_by_its_name(tmp_path):
    split = tmp_path / "split.csv"
    split.write_text(
        "image,part\nSOB_B_A-14-22549AB-40-001.png,train\nSOB_B_A-14-22549AB-40-001_flip.png,test\n"
    )
    assert "an image in two parts" in {each.rule for each in review(split=split).wrong}


# --- names that are not told apart ---


@pytest.mark.parametrize(
    ("names", "cases", "rules"),
    [
        (("images/p2/1.png", "images/p2/2.png"), ["B", "B"], set()),
        (("p2/1.png", r"D:\p2\2.PNG"), ["B", "B"], set()),
        (("p2/1.png", "p2/2.png", "p3/1.png"), ["B", "B", ""], {"images that the split lacks"}),
        (("p2/1.png", "p2/2.png", "p2/3.png"), ["B", "B", ""], {"images that the split lacks"}),
        (("1.png", "2.png"), ["", ""], {"names of several images"}),
        (("p2/1.png", "x/p1/1.png"), ["B", "A"],
         {"tested on training images", "test images without a prediction"}),
    ],
)  # fmt: skip
def test_images_of_one_name_in_several_folders(tmp_path, names, cases, rules):
    """Each patient's images are 1.png, 2.png, ...: the folder says which one is meant."""
    split, predictions = tmp_path / "split.csv", tmp_path / "p.csv"
    split.write_text(
        "image,case,part\np1/1.png,A,train\np1/2.png,A,train\np1/3.png,A,train\n"
        "p2/1.png,B,test\np2/2.png,B,test\n"
    )
    predictions.write_text("image,label,prediction\n" + "".join(f"{n},a,a\n" for n in names))
    made = review(split=split, predictions=predictions)
    assert {each.rule for each in made.found if each.topic == "together"} == rules
    assert list(made.predictions.frame["case"]) == cases
    for i, name in enumerate(("p1/1.png", "p1/2.png", "p2/1.png", "p2/2.png")):
        path = tmp_path / "all" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8))
    made = review(split=split, images=tmp_path / "all")
    assert made.looked.images == 4
    (missing,) = [each for each in made.found if each.topic == "images"]
    assert missing.shown == "p1/3.png"


@pytest.mark.parametrize("word", ["unknown", "NA", "nan", "?", "None", ""])
def test_words_for_an_unknown_patient_are_no_patient(tmp_path, word):
    """Neither shared between parts nor one whose images go together."""
    split, predictions = tmp_path / "split.csv", tmp_path / "p.csv"
    split.write_text(f"image,patient,part\na.png,{word},train\nb.png,{word},test\nc.png,P,test\n")
    predictions.write_text(
        f"image,patient,label,prediction\nb.png,{word},x,x\nc.png,P,y,y\nd.png,{word},y,y\n"
    )
    made = review(split=split, predictions=predictions)
    assert made.split.report["groups"]["case"]["unknown"] == 2
    assert not made.judged.patients
    assert {each.rule for each in made.wrong} == set()
    shown = {each.what for each in made.found if each.rule == "patients unknown"}
    assert any("2 of 3 images" in what for what in shown) and len(shown) == 2


def test_names_alone_count_where_they_tell_images_apart(tmp_path):
    split, predictions = tmp_path / "split.csv", tmp_path / "p.csv"
    split.write_text("image,part\na/IMG_1.tif,train\nb/IMG_2.tif,test\n")
    predictions.write_text("image,label,prediction\nnew/img_1.png,a,a\nnew/img_2.png,b,b\n")
    found = review(split=split, predictions=predictions).found
    assert [e.shown for e in found if e.rule == "tested on training images"] == ["a/IMG_1.tif"]


# --- files as others write them -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        ("label,p_benign,p_malignant", ["benign,0.9,0.1", "malignant,0.2,0.8", "benign,0.3,0.7"]),
        ("y_true,y_pred", ["benign,benign", "malignant,malignant", "benign,malignant"]),
        ("Ground Truth,Predicted Class", ["0,0", "1,1", "0,1"]),
        ("target,probability", ["0,0.1", "1,0.8", "0,0.7"]),
        ("y_true,y_pred", ["0,0.1", "1,0.8", "0,0.7"]),
        ("label,benign,malignant", ["benign,90,10", "malignant,20,80", "benign,30,70"]),
        ("label,p_benign,p_malignant", ["0,0.9,0.1", "1,0.2,0.8", "0,0.3,0.7"]),
        ("truth,prediction,confidence", ["a,a,0.9", "b,b,0.8", "a,b,0.7"]),
        ("label,malignant_prob", ["benign,0.1", "malignant,0.8", "benign,0.7"]),
        ("Label,Prediction", ["Benign,benign", "Malignant,malignant", "Benign,malignant"]),
        ("label,prediction", ["1.0,1", "0.0,0", "1.0,0"]),
        ("label;prediction", ["a;a", "b;b", "a;b"]),
        ("label\tprediction", ["a\ta", "b\tb", "a\tb"]),
        # As spreadsheets write them where the comma is in the numbers.
        ("label;p_a;p_b", ["a;0,9;0,1", "b;,2;,8", "a;0,3;7,0E-1"]),
        ("sep=;\nlabel;p_a;p_b", ["a;90,5%;9,5%", "b;20%;80%", "a;30%;70%"]),
        ("sep=,\nlabel,p_a,p_b", ['a,"0,9","0,1"', "b,0.2,0.8", "a,0.3,0.7"]),
        ("label|prediction", ["a|a", "b|b", "a|b"]),
        ("label,class_0,class_1", ["0,0.9,0.1", "1,0.2,0.8", "0,0.3,0.7"]),
        ("y_true,y_pred,y_prob", ["0,0,0.1", "1,1,0.8", "0,1,0.7"]),
        ("truth,pred,conf", ["a,a,.9", "b,b,.8", "a,b,.7"]),
        ("label,malignant", ["0,0.1", "1,0.8", "0,0.7"]),
        ("label,benign,malignant", ["0,0.9,0.1", "1,0.2,0.8", "0,0.3,0.7"]),
        ("label,prob_a,prob_b", ["a,90%,10%", "b,20%,80%", "a,30%,70%"]),
        ("image,label,probability", ["i,0,10", "j,1,80", "k,0,70"]),
        ("label,probability", ["0,10%", "1,90%", "0,70%"]),
        ("y_true,y_pred", ["0,10%", "1,90%", "0,70%"]),
        ("truth,prediction,confidence", ["a,a,90", "b,b,80", "a,b,70.5"]),
        ("label,prediction", ["-1,-1", "1,1", "1,-1"]),
        ("label,prediction", ["-1.0,-1", "1.0,1", "1.0,-1"]),
        ("label,prob_-1,prob_1", ["-1,0.9,0.1", "1,0.2,0.8", "-1,0.3,0.7"]),
        ("label,prediction", ["in situ,In_Situ", "benign,BENIGN", "benign,In_Situ"]),
        ("label,logit_a,logit_b", ["a,2.5,-1", "b,0.2,8", "a,0.3,7"]),
        ("label,prediction,part", ["a,b,train", "a,a,test", "b,b,test", "b,a,test"]),
    ],
)
def test_usual_columns_are_understood(tmp_path, header, lines):
    path = tmp_path / "predictions.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    judged = review(predictions=path).judged
    assert (judged.metrics["correct"], judged.metrics["n"]) == (2, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no header"),
        ("a,b\n1,2\n", "no column of true labels among a, b"),
        ("label;prediction\n1;2;3\n", "line 2: 3 values, not 2"),
        ("sep=;\nlabel;prediction\n1;2;3\n", "line 3: 3 values, not 2"),
        ('label;prediction\na;"b"c\n', "no CSV table \\(';' expected"),
        ("label;label\na;a\n", "a column stands there twice"),
        ("label\na\n", "neither a column of predictions nor one of probabilities"),
        ("label,prediction\n", "no line below the header"),
        ("label,prediction\na,x\n", "no prediction \\(x\\) is one of the labels \\(a\\)"),
        ("label,prediction\n,\n", "no prediction"),
        ("label,p\na,0.1\nb,0.9\n", "nothing says of which; give --positive"),
        ("label,prediction\na,a,a\n", "line 2: 3 values, not 2"),
        ("label,class_0,class_1\nbenign,0.9,0.1\nm,0.1,0.9\n", "rename each to its label, prob_b"),
        ("label,prob_a,prob_b\n1,0.9,0.1\n2,0.1,0.9\n", "\\(a, b\\) are of none of the labels"),
        ('label\n"a\nb"\n', "one of probabilities for each class"),
    ],
)
def test_predictions_that_cannot_be_read_are_named(tmp_path, text, said):
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        review(predictions=path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image\na.png\n", "no column of parts"),
        ("image,part\na.png,odd\n", "odd is no part"),
        ("image,part\na.png,\n", "no image is in any part"),
    ],
)
def test_splits_that_cannot_be_read_are_named(tmp_path, text, said):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        review(split=path)


def test_few_patients_may_lie_below_chance(tmp_path):
    """47 of 216 images of 12 patients are right; so few patients may give it by chance."""
    path = tmp_path / "p.csv"
    rows = [
        ("ab"[p % 2], "ab"[p % 2] if i < right else "ba"[p % 2], p)
        for p, right in enumerate((18, 18, 9, 2, *[0] * 8))
        for i in range(18)
    ]
    table = pd.DataFrame(rows, columns=["label", "prediction", "patient"])
    for given in (table, table.drop(columns="patient")):
        given.to_csv(path, index=False)
        found = [each for each in review(predictions=path).found if "exchanged" in each.rule]
        assert [each.level for each in found] == ["doubt"]


def test_nothing_given_is_refused():
    with pytest.raises(InputError, match="nothing to review: give --numbers"):
        review()


def test_our_own_files_are_read_and_their_parts_compared(tmp_path):
    run = run_folder.make(tmp_path, pictures=False)
    made = review(predictions=run / "predictions.csv", split=run / "split.csv")
    scores = json.loads((run / "metrics.json").read_text())
    for key in ("n", "correct", "n_patients", "confusion_matrix", "accuracy_ci"):
        assert made.judged.metrics[key] == scores[key]
    assert made.wrong == []
    table = pd.read_csv(run / "predictions.csv", dtype=str, keep_default_na=False)
    table.loc[table["part"] == "test", "case"] = table.loc[table["part"] != "test", "case"].iloc[0]
    table.to_csv(tmp_path / "p.csv", index=False)
    assert "patients in two parts" in {
        each.rule for each in review(predictions=tmp_path / "p.csv").wrong
    }


def test_items_of_checklists_are_seen_where_files_show_them(tmp_path):
    submission = Submission()
    for patients in (True, False):
        if not patients:
            _no_patients(submission)
        tripod, claim = reviewed(submission, tmp_path).gaps
        seen = {item.number: shown for item, shown in claim.items}
        assert bool(seen["19"]) and bool(seen["20"]) == patients == bool(seen["37"])
        assert seen["20"] is None or "60 patients in the split" in seen["20"]
        assert seen["1"] is seen["13"] is seen["44"] is None
        assert bool(dict((i.number, s) for i, s in tripod.items)["23"]) == patients
        assert (len(tripod.items), len(claim.items)) == (27, 44)


def test_scores_of_predictions_alone_need_no_probability(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("label,prediction\nbenign,benign\nmalignant,benign\nmalignant,malignant\n")
    keys = {each.score.key for each in review(predictions=path).judged.scores()}
    assert {"accuracy", "specificity", "per_class.{positive_class}.recall", "mcc"} <= keys
    assert not {"auc", "ece", "brier", "recall_micro_at_half"} & keys


# --- scores, page, command ----------------------------------------------------------------------


def test_what_a_test_set_resolves():
    """Two proportions of 100 images at one half, then the same where patients are all or none."""
    right = np.arange(100) % 2 == 0
    share = 52 / 104
    expected = 1.96 * (2 * share * (1 - share) / 100) ** 0.5
    assert resolvable(right) == pytest.approx(expected)
    cases = np.repeat(np.arange(10), 10).astype(str)
    whole = np.repeat(np.arange(10) % 2 == 0, 10)
    # Ten patients of ten images, off by five images each: sqrt(10/9 * 10 * 25) / 100.
    assert resolvable(whole, cases) == pytest.approx(
        1.96 * 2**0.5 * (10 / 9 * 10 * 25) ** 0.5 / 100
    )
    assert resolvable(right, np.full(100, "a")) is None


def test_a_number_is_asked_once_and_the_terminal_shows_the_first(tmp_path, capsys):
    assert main([str(tmp_path / "page.html"), "--numbers", "wrn_edge"]) == 1
    said, page = capsys.readouterr().out, parse(tmp_path / "page.html").text
    made = review(printed="wrn_edge")
    assert sum("accuracy 88.29" in each.what for each in made.found) == 3
    [asked] = [question for question in made.questions if "accuracy 88.29" in question]
    assert asked.startswith("T1, WRN 200X: accuracy 88.29; T2, 200X WRN: specificity 81.66, recall")
    assert all(each.question in made.questions for each in made.wrong)
    assert all(question in page for question in made.questions)
    asked = said.partition("questions to the authors")[2]
    assert "\n  15. " in asked and "\n  16. " not in asked and "more, on the page" in asked
    assert said.count("the printed numbers, ") == 15 + 3 < len(made.found)
    assert f"  and {len(made.wrong) - 15} more, on the page" in said
    for rule in {each.rule for each in made.wrong}:  # one of each kind before a second of any
        assert f"the printed numbers, {rule}:" in said


def test_the_page_holds_all_in_itself(tmp_path, capsys):
    submission = Submission()
    _one_label(submission)
    out, table, json_ = (tmp_path / name for name in ("page.html", "found.csv", "found.json"))
    given = submission.write(tmp_path)
    assert main([str(out), *given, "--csv", str(table), "--json", str(json_)]) == 1
    said = capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert not re.search(r"<script|https?://|src=\"(?!data:)", text)
    page = parse(out)
    found = json.loads(json_.read_text())["findings"]
    assert len(found) == len(pd.read_csv(table)) > 1
    for each in found:
        assert each["what"] in page.text
        assert each["rule"] in said
    for item in ("TRIPOD+AI (2024)", "CLAIM (2024)", "items are seen"):
        assert item in page.text
    assert len(page.all("img")) == 2
    for table in page.all("table"):
        assert table.all("caption")
        assert all("scope" in head.attributes for head in table.all("th"))


@pytest.mark.slow
@pytest.mark.parametrize("package", PAPERS)
def test_our_papers_are_reviewed(tmp_path, package):
    assert main([str(tmp_path / "page.html"), "--numbers", package]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_phones_and_screens(browser, tmp_path, width):
    submission = Submission()
    for plant in (_image_in_two_parts, _training_images, _one_label, _impossible):
        predictions = submission.predictions
        plant(submission)
        submission.predictions = predictions
    out = tmp_path / "page.html"
    assert main([str(out), *submission.write(tmp_path), *submission.draw(tmp_path)]) == 1
    found = measured(browser, out, tmp_path, width)
    assert found == {"inner": width, "scroll": width, "wide": [], "cut": [], "broken": 0}


# --- a single patient ----------------------------------------------------------------------------


def one_patient(images):
    """Predictions of images of one patient of each class but the last, which has two."""
    labels = ["a", "b", "b"][:images]
    frame = pd.DataFrame(
        {"image": [f"{i}.png" for i in range(images)], "case": ["p", "q", "r"][:images],
         "slide": "", "folder": "", "magnification": "", "part": "test", "label": labels,
         "predicted": labels}
    )  # fmt: skip
    sure = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]][:images])
    return Predictions("p.csv", frame, ["a", "b"], sure, True, "b", {})


def test_one_prediction_asks_nothing_about_calibration():
    """It was asked why 95.6 % sure is 100.0 % right (100.0 to 100.0)."""
    found = judged.judge(one_patient(1)).found
    assert {each.rule for each in found} == {"one class alone", "a single patient"}


def test_how_far_one_patient_holds_is_asked_once():
    given = one_patient(3)
    split = parts.looked_at("s.csv", given.frame, by_name=False)
    asked = [
        each.question for each in [*split.found, *judged.judge(given).found]
        if each.rule == "a single patient"
    ]  # fmt: skip
    assert asked == ["How far do results of one patient hold for others (a)?"] * 2
