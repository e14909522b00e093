"""Networks of four HER2 scores, judged on the three classes that merge them."""

import numpy as np
import pandas as pd
import pytest

from common import config as configuration
from common import evaluation, metrics, predictions, tables
from common.files import write_json
from her2scoring import merged
from her2scoring import tables as command
from her2scoring.config import PRESETS

FOUR, THREE = ["0", "1+", "2+", "3+"], ["negative", "borderline", "positive"]


def frame(rows):
    table = pd.DataFrame({
        "image": [f"{i}.png" for i in range(len(rows))], "case": "", "slide": "",
        "magnification": "", "part": "test", "label": [label for label, _ in rows],
    })  # fmt: skip
    return predictions.table(table, np.array([p for _, p in rows]), FOUR)


ROWS = [
    ("0", [0.1, 0.5, 0.3, 0.1]),  # 0 taken for 1+: wrong of four, right of three
    ("1+", [0.3, 0.2, 0.4, 0.1]),  # taken for 2+, but negative together: 0.5 against 0.4
    ("2+", [0.3, 0.3, 0.35, 0.05]),  # right of four; negative together is 0.6
    ("3+", [0.0, 0.0, 0.1, 0.9]),
]


def test_probabilities_are_added_and_labels_renamed():
    found = merged.merge(frame(ROWS))
    assert predictions.classes_of(found) == THREE
    np.testing.assert_allclose(
        predictions.probabilities(found),
        [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.6, 0.35, 0.05], [0, 0.1, 0.9]], atol=1e-9,
    )  # fmt: skip
    assert list(found["label"]) == ["negative", "negative", "borderline", "positive"]
    assert list(predictions.correct(found)) == [True, True, False, True]
    answers = merged.merge(frame(ROWS), answers=True)
    assert list(predictions.predicted(answers)) == ["negative", *["borderline"] * 2, "positive"]
    assert list(predictions.correct(answers)) == [True, False, True, True]


def make_run(root, preset, rows, classes=FOUR):
    folder = root / "her2scoring" / preset
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {
        "schema": 1, "package": "her2scoring", "preset": preset, "run_id": preset,
        "config": configuration.to_dict(PRESETS[preset]), "classes": classes, "n_images": 4873,
        "expected_images": 4873, "synthetic": False, "finished": "2026-01-01T00:00:00",
    })  # fmt: skip
    evaluation.write_predictions(folder / "predictions.csv", rows)
    write_json(folder / "metrics.json", metrics.compute(
        predictions.labels(rows, classes), predictions.probabilities(rows, classes), classes
    ))  # fmt: skip
    return folder


def test_the_table_sets_merged_runs_beside_those_of_three_classes(tmp_path, capsys):
    paper = tables.load("her2scoring", tmp_path)
    assert len(merged.PAIRS) == 4
    text = "\n".join(merged.lines(paper))
    assert text.count("not run") == 12
    make_run(tmp_path, "T3-resnet50-he", frame(ROWS))
    three = merged.merge(frame(ROWS[:2]))
    make_run(tmp_path, "T2-resnet50", three, THREE)
    assert command.main(["merged", "--runs-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = [i for i, line in enumerate(lines) if "H&E, ResNet50" in line]
    cells = [[cell.strip() for cell in lines[i].strip("|").split("|")] for i in range(row, row + 3)]
    assert cells[0][1:4] == ["trained on three", "93.91", "100.00 (2/2)"]
    assert cells[1][1:4] == ["answers of four", "at least 96.56", "75.00 (3/4)"]
    assert cells[2][1:4] == ["probabilities of four", "", "75.00 (3/4)"]
    low, high = (100 * end for end in merged.scores(
        tables.load("her2scoring", tmp_path).groups["T3-resnet50-he"].runs[0]
    )["accuracy_ci"])  # fmt: skip
    assert cells[2][4] == f"{low:.2f} to {high:.2f}"


def test_the_tables_say_where_it_stands(tmp_path, capsys):
    assert command.main(["--runs-dir", str(tmp_path)]) == 0
    assert "her2scoring.tables merged" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(3))
def test_merged_answers_are_right_wherever_those_of_four_are(seed):
    rng = np.random.default_rng(seed)
    rows = [(FOUR[i % 4], list(rng.dirichlet(np.ones(4)))) for i in range(40)]
    four = predictions.correct(frame(rows))
    assert (predictions.correct(merged.merge(frame(rows), answers=True)) >= four).all()
    by_sum = predictions.predicted(merged.merge(frame(rows)))
    expected = [THREE[int(np.argmax([p[0] + p[1], p[2], p[3]]))] for _, p in rows]
    assert list(by_sum) == expected
