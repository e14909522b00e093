"""The one module that knows predictions.csv; what damages the file is in `test_evaluation`."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from common import evaluation, metrics, predictions
from common.errors import InputError

CLASSES = ("0", "1+", "p_x")


def frame(values, labels, parts=None):
    n = len(labels)
    rows = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(n)],
            "case": "",
            "slide": "",
            "folder": "not in the file",
            "magnification": "",
            "label": labels,
            "part": parts or "test",
        }
    )
    return predictions.table(rows, np.asarray(values, dtype=float), CLASSES)


@pytest.fixture
def table():
    values = [[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7]]
    return frame(values, ["0", "p_x", "1+", "p_x"], ["test", "validation", "test", "test"])


def test_columns_are_spelt_here(table):
    assert list(table.columns) == [
        *("image", "case", "slide", "magnification", "part", "label"),
        *("p_0", "p_1+", "p_p_x"),
    ]
    assert predictions.column("1+") == "p_1+"
    assert predictions.classes_of(table) == list(CLASSES)
    assert predictions.classes_of(table[["part", "image"]]) == []


def test_of_equal_probabilities_the_first_class_is_predicted(table):
    assert predictions.predicted(table).tolist() == ["0", "1+", "0", "p_x"]
    assert predictions.correct(table).tolist() == [True, False, False, True]
    np.testing.assert_array_equal(
        predictions.predicted_classes(predictions.probabilities(table)), [0, 1, 0, 2]
    )
    # The order of the columns is the order of the classes.
    turned = table[[*predictions.COLUMNS, "p_p_x", "p_1+", "p_0"]]
    assert predictions.predicted(turned).tolist() == ["1+", "p_x", "p_x", "p_x"]


def test_probabilities_and_labels_follow_the_classes_asked_for(table):
    np.testing.assert_array_equal(
        predictions.probabilities(table, ["p_x", "0"])[[0, 3]], [[0.2, 0.4], [0.7, 0.1]]
    )
    assert predictions.probabilities(table).dtype == np.float64
    np.testing.assert_array_equal(predictions.labels(table), [0, 2, 1, 2])
    np.testing.assert_array_equal(predictions.labels(table, ["p_x", "1+", "0"]), [2, 0, 1, 0])
    with pytest.raises(ValueError, match=r"'1\+' is none of \['0', 'p_x'\]"):
        predictions.labels(table, ["0", "p_x"])


def test_a_part_is_numbered_from_zero(table):
    test = predictions.of_part(table)
    assert test["image"].tolist() == ["0.png", "2.png", "3.png"]
    assert test.index.tolist() == [0, 1, 2]
    assert predictions.of_part(table, "validation")["image"].tolist() == ["1.png"]
    assert predictions.of_part(table, "train").empty


def test_nine_digits_are_kept_before_and_after_writing(table, tmp_path):
    assert table["p_0"][2] == 0.333333333
    path = tmp_path / "predictions.csv"
    predictions.write(path, table.assign(note="left out"))
    header, first, *_ = path.read_text().splitlines()
    assert header == "image,case,slide,magnification,part,label,p_0,p_1+,p_p_x"
    assert first == "0.png,,,,test,0,0.4,0.4,0.2"
    back = predictions.read(path, CLASSES)
    pd.testing.assert_frame_equal(back, table, check_dtype=False)


def test_some_columns_are_read_and_the_whole_file_is_checked(table, tmp_path):
    path = tmp_path / "predictions.csv"
    predictions.write(path, table)
    some = ["part", "label", "p_1+"]
    split = table[["image", "part", "label", "magnification"]]
    for known in (split, split.iloc[::-1], {name: split[name].tolist() for name in split}):
        found = predictions.read(path, CLASSES, columns=some, split=known)
        pd.testing.assert_frame_equal(found, table[some], check_dtype=False)
    with pytest.raises(InputError, match=r"no column p_2, case s; its classes: 0, 1\+, p_x$"):
        predictions.read(path, CLASSES, columns=["image", "p_2", "case s"])
    changes = (
        (split.assign(label="0"), "2.png has another label"),
        (split.assign(magnification="40X"), "0.png has another magnification"),
        (split.iloc[1:], "1 test images are not in the test part of split.csv, for example 0.png"),
        (pd.concat([split, split.iloc[:1]]), "its split.csv names 0.png twice"),
        (split.assign(part="test"), "1 test images are missing, .* for example 1.png"),
    )
    for other, message in changes:
        with pytest.raises(InputError, match=f"predictions.csv: {message}"):
            predictions.read(path, CLASSES, columns=some, split=other)
    path.write_text(path.read_text().replace("0.4,0.4,0.2", "0.4,0.4,0.4"))
    with pytest.raises(InputError, match=r"line 2: the probabilities add up to 1.2, not 1"):
        predictions.read(path, columns=["part"])


def test_other_modules_use_the_same_functions():
    assert evaluation.COLUMNS is predictions.COLUMNS
    assert evaluation.read_predictions is predictions.read
    assert evaluation.write_predictions is predictions.write
    assert metrics.correct is predictions.correct
    assert metrics.predicted_classes is predictions.predicted_classes


def test_importing_it_needs_neither_keras_nor_run_folders():
    code = (
        "import sys, common.predictions; "
        "print(sorted({'keras', 'pandas', 'common.runs', 'common.evaluation'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
