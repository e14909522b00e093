"""The sentences above a run's numbers: every rule, and where the numbers come from."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import run_folder

from common import report
from common.files import write_csv, write_json
from common.report.verdict import FEW_PATIENTS, Facts, facts, sentences

PLAIN = Facts(
    majority="malignant", images=200, difference=0.2, interval=(0.1, 0.3), patients=FEW_PATIENTS
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "better than always saying malignant; +20.0 points in accuracy, 95 % interval +10.0 "
             "to +30.0."),
        ({"difference": -0.02, "interval": (-0.04, 0.03)},
         "no better than always saying malignant; −2.0 points in accuracy, 95 % interval −4.0 to "
         "+3.0."),
        ({"difference": 0.0, "interval": (-0.3, 0.3)},
         "no better than always saying malignant; +0.0 points in accuracy, 95 % interval −30.0 to "
         "+30.0, which is too wide to say more."),
        ({"difference": 0.02, "interval": (0.0, 0.04)},
         "not clearly better than always saying malignant; +2.0 points in accuracy, 95 % interval "
         "+0.0 to +4.0."),
        ({"difference": 0.1, "interval": (-0.1, 0.3)},
         "not clearly better than always saying malignant; +10.0 points in accuracy, 95 % interval "
         "−10.0 to +30.0, which is too wide to say more."),
        ({"difference": -0.2, "interval": (-0.3, -0.1)},
         "worse than always saying malignant; −20.0 points in accuracy, 95 % interval −30.0 to "
         "−10.0."),
        ({"difference": 0.0, "interval": None},
         "no better than always saying malignant; +0.0 points in accuracy, the same of every "
         "patient."),
        ({"difference": -0.1, "interval": (-0.4, 0.2), "patients": 4},
         "no better than always saying malignant; 4 patients are too few to say more."),
        ({"patients": FEW_PATIENTS - 1},
         f"better than always saying malignant; {FEW_PATIENTS - 1} patients are too few to say "
         "more."),
        ({"interval": None, "patients": 1},
         "not clearly better than always saying malignant; 1 patient is too few to say more."),
        ({"majority": "2+"}, "better than always saying “2+”; +20.0 points in accuracy, 95 % "
                             "interval +10.0 to +30.0."),
    ],
)  # fmt: skip
def test_the_finding(changes, told):
    assert sentences(replace(PLAIN, **changes)) == [
        f"On patients it has not seen, this network is {told}"
    ]


@pytest.mark.parametrize(
    ("changes", "whom", "then"),
    [
        ({"acquaintance": "seen", "seen": 150}, "patients of whom it was trained on some",
         "150 of 200 test images (75.0 %) are of patients that it was trained on: that says "
         "little about new patients."),
        ({"acquaintance": "seen", "seen": 200}, "patients it was trained on",
         "200 of 200 test images (100.0 %) are of patients that it was trained on: that says "
         "little about new patients."),
        ({"acquaintance": "unknown", "patients": None}, "patients it may have seen",
         "Whose images they are is not known for all: it may have been trained on the same "
         "patients, and the interval is narrower than it would be over patients."),
        ({"acquaintance": "unknown"}, "patients it may have seen",
         "Whose images they are is not known for all: it may have been trained on the same "
         "patients, and then this says little about new ones."),
        ({"copies": 3}, "patients it has not seen",
         "3 of 200 test images (1.5 %) have an equal or nearly equal image among the training "
         "images."),
        ({"rounds": 5}, "patients it has not seen",
         "This is one round of 5; only all of them make the row."),
        ({"synthetic": True}, "generated images of patients it has not seen",
         "Generated images say nothing about tissue."),
    ],
)  # fmt: skip
def test_what_limits_it(changes, whom, then):
    first, *others = sentences(replace(PLAIN, **changes))
    assert first.startswith(f"On {whom}, this network is better than")
    assert others == [then]


def test_all_that_limits_is_told():
    all_of_it = replace(
        PLAIN, synthetic=True, acquaintance="seen", seen=150, copies=3, rounds=5, patients=4
    )
    assert len(sentences(all_of_it)) == 5


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    return run_folder.make(tmp_path_factory.mktemp("runs"), "binary", pictures=False)


def test_the_facts_are_those_of_the_files(binary):
    found = facts(report.read(binary))
    test = pd.read_csv(binary / "predictions.csv", dtype={"case": str}).query("part == 'test'")
    right = (test[["p_benign", "p_malignant"]].to_numpy().argmax(axis=1) == 1) == (
        test.label == "malignant"
    )
    share = test.label.value_counts(normalize=True)
    assert (found.majority, found.images) == (share.idxmax(), len(test))
    assert found.difference == pytest.approx(right.mean() - share.max())
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.patients == test.case.nunique()
    assert (found.acquaintance, found.seen, found.copies) == ("unseen", 0, 0)
    assert (found.rounds, found.synthetic) == (1, False)


def test_a_split_by_image_has_seen_the_patients(binary):
    split = pd.read_csv(binary / "split.csv", dtype=str, keep_default_na=False)
    one = split.case[split.part == "test"].iloc[0]
    mine = split.index[(split.case == one)]
    write_csv(binary / "split.csv", split.assign(
        part=["train" if i == mine[0] else part for i, part in split.part.items()]
    ))  # fmt: skip
    found = facts(report.read(binary))
    assert (found.acquaintance, found.seen) == ("seen", len(mine) - 1)
    write_csv(binary / "split.csv", split.assign(case=""))
    assert facts(report.read(binary)).acquaintance == "unknown"
    (binary / "split.csv").unlink()
    assert facts(report.read(binary)).acquaintance == "unknown"


def test_copies_are_those_of_the_leakage_report(binary):
    write_json(binary / "leakage.json", {"exact": {"test_images": 2}, "near": {"test_images": 7}})
    assert facts(report.read(binary)).copies == 7
    write_json(binary / "leakage.json", {"exact": {"test_images": 2}, "near": None})
    assert facts(report.read(binary)).copies == 2


def test_unknown_patients_and_no_predictions(tmp_path):
    folder = run_folder.make(tmp_path, "four", pictures=False)
    found = facts(report.read(folder))
    assert (found.patients, found.acquaintance, found.rounds) == (None, "unknown", 1)
    assert (found.majority, found.difference > 0.2) == ("2+", True)
    (folder / "predictions.csv").unlink()
    assert facts(report.read(folder)) is None


@pytest.mark.parametrize("preset", ["T1-ernet50", "T1-ernet50-honest", "demo"])
def test_rounds_are_those_of_the_row(preset, tmp_path):
    folder = run_folder.make(tmp_path, "binary", pictures=False)
    record = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**record, "package": "ernet", "preset": preset})
    assert facts(report.read(folder)).rounds == (1 if preset == "demo" else 5)
