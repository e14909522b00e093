"""Predictions to file and back, damaged files, metrics of a run folder, its summary."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from common import evaluation, runs
from common.errors import InputError
from common.files import write_csv, write_json
from common.metrics.__main__ import main as metrics_command

CLASSES = ("benign", "malignant")
N = 24


def rows(n=N):
    """Rows of a split: half validation, half test; four patients of three images in each."""
    return pd.DataFrame(
        {
            "image": [f"x/SOB_{i:03d}.png" for i in range(n)],
            "bytes": 1,
            "case": [f"c{i // 3}" for i in range(n)],
            "slide": "",
            "folder": "",
            "magnification": ["40X" if i % 2 else "200X" for i in range(n)],
            "part": ["validation"] * (n // 2) + ["test"] * (n - n // 2),
            "label": [CLASSES[(i // 3) % 2] for i in range(n)],
        }
    )


class Batches:
    """Like a PyDataset: a length and numbered batches, no end when iterated."""

    def __init__(self, table, size=5, labels=None):
        numbers = table["label"].map({name: i for i, name in enumerate(CLASSES)}).to_numpy()
        self.targets = np.eye(2, dtype=np.float32)[numbers if labels is None else labels]
        self.size = size

    def __len__(self):
        return -(-len(self.targets) // self.size)

    def __getitem__(self, i):
        chosen = slice(i * self.size, (i + 1) * self.size)
        return np.arange(len(self.targets))[chosen], self.targets[chosen]


def model(pixels):
    """Be wrong for every fifth image, with probabilities that need all their digits."""
    numbers = np.asarray(pixels)
    right = (numbers // 3) % 2
    predicted = np.where(numbers % 5 == 4, 1 - right, right)
    sure = np.float32(0.5) + np.float32(1) / (numbers + 3).astype(np.float32)
    result = np.empty((len(numbers), 2), np.float32)
    result[np.arange(len(numbers)), predicted] = sure
    result[np.arange(len(numbers)), 1 - predicted] = 1 - sure
    return result


@pytest.fixture
def predictions():
    return evaluation.predict(model, Batches(rows()), rows(), CLASSES)


# --- predict -----------------------------------------------------------------------------------


def test_predict_puts_probabilities_beside_rows(predictions):
    assert list(predictions.columns) == [
        *("image", "case", "slide", "magnification", "part", "label"),
        *("p_benign", "p_malignant"),
    ]
    np.testing.assert_array_equal(
        predictions[["p_benign", "p_malignant"]].to_numpy(np.float32), model(np.arange(N))
    )
    assert list(predictions["image"]) == list(rows()["image"])


def test_predict_accepts_an_iterator():
    batches = Batches(rows())
    pairs = ((x, None) for x, _ in (batches[i] for i in range(len(batches))))
    assert len(evaluation.predict(model, pairs, rows(), CLASSES)) == N


def test_predict_with_a_keras_model_equals_calling_it():
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    pixels = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    batches = [(pixels[i : i + 7], None) for i in range(0, N, 7)]
    found = evaluation.predict(network, batches, rows(), CLASSES)
    expected = keras.ops.convert_to_numpy(network(pixels))
    np.testing.assert_allclose(found[["p_benign", "p_malignant"]], expected, rtol=1e-5)


def test_predict_refuses_other_labels_count_and_outputs():
    table = rows()
    with pytest.raises(ValueError, match="shuffled"):
        evaluation.predict(model, Batches(table, labels=np.zeros(N, int)), table, CLASSES)
    with pytest.raises(ValueError, match="24 predictions for 23 images"):
        evaluation.predict(model, [(x, None) for x, _ in _pairs(table)], table.iloc[:-1], CLASSES)
    with pytest.raises(ValueError, match="not softmax"):
        evaluation.predict(lambda x: model(x) * 1.01, Batches(table), table, CLASSES)
    with pytest.raises(ValueError, match="not softmax"):
        bad = [np.array([[1.5, -0.5]] * N)]
        evaluation.predict(lambda x: bad[0], [(None, None)], table, CLASSES)
    with pytest.raises(ValueError, match=r"not \(batch, 3\)"):
        evaluation.predict(model, Batches(table), table, (*CLASSES, "third"))
    with pytest.raises(ValueError, match="'benign' is none of"):
        evaluation.predict(model, Batches(table), table, ("good", "bad"))


def _pairs(table):
    batches = Batches(table)
    return [batches[i] for i in range(len(batches))]


def test_predict_says_that_training_diverged():
    def diverged(pixels):
        result = model(pixels)
        result[np.asarray(pixels) == 7] = np.nan
        return result

    with pytest.raises(InputError, match=r"SOB_007.png is not finite: the training diverged"):
        evaluation.predict(diverged, Batches(rows()), rows(), CLASSES)


class Pixels:
    """Like common.images.Pixels: images in another order than the split's."""

    def __init__(self, names, array):
        self.names, self.array, self.shape = list(names), array, array.shape

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        return self.array[key]

    def rows(self, names):
        return np.array([self.names.index(name) for name in names])


def test_predict_run_writes_validation_and_test(tmp_path, predictions):
    keras = pytest.importorskip("keras")
    table = rows()
    table.loc[:3, "part"] = "train"
    run = make_run(tmp_path / "run", predictions)
    pixels = np.zeros((N, 2, 2, 3), np.uint8)
    pixels[:, :, :, 0] = 10 * np.arange(N)[::-1, None, None]
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((2, 2, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    evaluation.predict_run(
        runs.load(run), network, table, Pixels(table["image"][::-1], pixels), batch_size=7
    )
    found = evaluation.read_predictions(run / "predictions.csv", CLASSES)
    assert list(found["image"]) == list(table["image"][4:])
    assert found["part"].value_counts().to_dict() == {"test": 12, "validation": 8}
    expected = keras.ops.convert_to_numpy(network(pixels[::-1].astype(np.float32)))[4:]
    np.testing.assert_allclose(found[["p_benign", "p_malignant"]], expected, rtol=1e-5)


# --- the file ----------------------------------------------------------------------------------


def test_round_trip_is_exact_and_the_same_bytes(tmp_path, predictions):
    path = tmp_path / "predictions.csv"
    evaluation.write_predictions(path, predictions)
    back = evaluation.read_predictions(path, CLASSES)
    pd.testing.assert_frame_equal(back, predictions, check_dtype=False)
    assert np.array_equal(back["p_benign"].to_numpy(np.float32), model(np.arange(N))[:, 0])
    again = tmp_path / "again.csv"
    evaluation.write_predictions(again, back)
    assert again.read_bytes() == path.read_bytes()
    assert evaluation.evaluate(back, CLASSES) == evaluation.evaluate(predictions, CLASSES)


def test_write_refuses_a_table_without_its_columns(tmp_path, predictions):
    with pytest.raises(ValueError, match="case"):
        evaluation.write_predictions(tmp_path / "p.csv", predictions.drop(columns="case"))
    with pytest.raises(ValueError, match="p_<class>"):
        evaluation.write_predictions(tmp_path / "p.csv", predictions.iloc[:, :6])
    assert not list(tmp_path.iterdir())


def _replace(text, line, column, value):
    lines = text.splitlines()
    cells = lines[line - 1].split(",")
    cells[column] = value
    lines[line - 1] = ",".join(cells)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", r"predictions.csv: cut short"),
        (lambda text: text[:-20], r"predictions.csv: cut short"),
        (lambda text: text[:-20] + "\n", r"line 25: .*(not 8|add up)"),
        (lambda text: text.splitlines()[0] + "\n", "no predictions in it"),
        (lambda text: text.replace("slide", "slides", 1), "no column slide"),
        (lambda text: text.replace("part", "parts", 1), "no column part"),
        (lambda text: text.replace("p_malignant", "p_bad", 1), "no column p_malignant"),
        (lambda text: text.replace("slide", "case", 1), "twice: 'case'"),
        (lambda text: _replace(text, 5, 6, "nan"), "line 5, column p_benign: 'nan' is no prob"),
        (lambda text: _replace(text, 5, 6, ""), "line 5, column p_benign: '' is no probability"),
        (lambda text: _replace(text, 5, 6, "1.5"), "line 5, column p_benign: '1.5' is no prob"),
        (lambda text: _replace(text, 5, 7, "0.98765"), "line 5: the probabilities add up to"),
        (lambda text: _replace(text, 9, 5, "Benign"), "line 9, column label: 'Benign' is none"),
        (lambda text: _replace(text, 9, 4, "tset"), "line 9, column part: 'tset' is none"),
        (lambda text: _replace(text, 9, 0, "x/SOB_001.png"), "line 9: .* stands in line 3 already"),
        (lambda text: _replace(text, 4, 5, "a,b"), "line 4: 9 values, not 8"),
    ],
)
def test_damaged_files_are_named(tmp_path, predictions, damage, message):
    path = tmp_path / "predictions.csv"
    evaluation.write_predictions(path, predictions)
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=message) as caught:
        evaluation.read_predictions(path, CLASSES)
    assert str(path) in str(caught.value)


def test_other_trouble_with_the_file(tmp_path, predictions):
    path = tmp_path / "predictions.csv"
    with pytest.raises(InputError, match="no such file"):
        evaluation.read_predictions(path)
    path.write_bytes(b"\xff\xfe\x00\x01\n")
    with pytest.raises(InputError, match="not a text file"):
        evaluation.read_predictions(path)
    evaluation.write_predictions(path, predictions)
    with pytest.raises(InputError, match="classes benign, malignant, but the run has"):
        evaluation.read_predictions(path, CLASSES[::-1])


def test_line_ends_and_marks_of_other_programs_are_read(tmp_path, predictions):
    path = tmp_path / "predictions.csv"
    evaluation.write_predictions(path, predictions)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(evaluation.read_predictions(path, CLASSES)) == N


# --- metrics -----------------------------------------------------------------------------------


def test_evaluate_takes_one_part_only(predictions):
    test = evaluation.evaluate(predictions, CLASSES, positive="malignant", split="image")
    validation = evaluation.evaluate(predictions, CLASSES, part="validation")
    # wrong: 4, 9 of the first twelve, 14, 19 of the last
    assert (test["n"], test["correct"], validation["n"]) == (12, 10, 12)
    assert test["split"] == "image"
    assert test["n_patients"] == 4
    # patients of 12-14 and 18-20 have 2 of 3
    assert test["patient_recognition_rate"] == pytest.approx((2 / 3 + 1 + 2 / 3 + 1) / 4)
    assert list(test["by_magnification"]) == ["40X", "200X"]
    assert test["by_magnification"]["40X"]["correct"] == 5
    with pytest.raises(InputError, match="train part"):
        evaluation.evaluate(predictions, CLASSES, part="train")


def make_run(folder, predictions, *, synthetic=False, **record):
    record = {
        "schema": 1,
        "package": "breakhis",
        "preset": "T2-binary-resnet50",
        "config": {"split": "image", "monitor": "accuracy"},
        "classes": list(CLASSES),
        "positive": "malignant",
        "synthetic": synthetic,
        "finished": "2026-01-01T00:00:00+00:00",
        **record,
    }
    folder.mkdir()
    write_json(folder / "config.json", record)
    evaluation.write_predictions(folder / "predictions.csv", predictions)
    columns = ["image", "case", "slide", "folder", "magnification", "label", "part"]
    write_csv(folder / "split.csv", rows()[columns])
    return folder


def test_evaluate_run_writes_metrics(tmp_path, predictions):
    run = make_run(tmp_path / "run", predictions)
    result = evaluation.evaluate_run(run)
    assert json.loads((run / "metrics.json").read_text()) == result
    first = (run / "metrics.json").read_bytes()
    (run / "metrics.json").write_text("{cut")
    evaluation.evaluate_run(run)
    assert (run / "metrics.json").read_bytes() == first
    assert evaluation.read_metrics(run) == result
    assert result["positive_class"] == "malignant"
    assert result["best_epoch"] is None


def test_folders_stand_in_split_csv_alone(tmp_path, predictions):
    run = make_run(tmp_path / "run", predictions)
    assert all("n_folders" not in part for part in _parts(run))  # unknown there
    table = rows()
    write_csv(run / "split.csv", table.assign(folder=table["case"]))
    # 19 and 14 are wrong, of 18 to 20 and 12 to 14; odd images at 40X.
    assert [(part["n_folders"], part["folder_recognition_rate"]) for part in _parts(run)] == [
        (4, (1 + 1 + 0 + 1) / 4), (4, (1 / 2 + 1 + 1 + 1) / 4),
    ]  # fmt: skip
    (run / "split.csv").unlink()
    assert all("n_folders" not in part for part in _parts(run))


def _parts(run):
    return list(evaluation.evaluate_run(run)["by_magnification"].values())


def test_best_epoch_is_the_one_that_training_noted(tmp_path, predictions):
    run = make_run(tmp_path / "run", predictions)
    history = (
        "epoch,loss,val_loss,val_accuracy\n1,9,0.2,0.5\n2,8,0.6,0.9\n3,7,0.5,0.9\n4,6,0.5,0.9\n"
    )
    (run / "history.csv").write_text(history)
    assert evaluation.best_epoch(runs.load(run)) is None  # no rule of its own
    runs.load(run).note(kept_epoch=2)
    assert evaluation.best_epoch(runs.load(run)) == 2
    assert evaluation.evaluate_run(run)["best_epoch"] == 2
    # A run of an earlier version has it in its metrics.json, which a recomputation keeps.
    runs.load(run).note(kept_epoch=None)
    assert evaluation.evaluate_run(run)["best_epoch"] == 2


def test_images_missing_from_a_run_are_noticed(tmp_path, predictions):
    for i, (edited, message) in enumerate(
        [
            (predictions.iloc[:-1], r"1 test images are missing.*SOB_023"),
            (predictions.assign(part="test"), r"12 test images are not in the test part"),
            (
                predictions.assign(label=lambda t: t.label.where(t.index != 20, "malignant")),
                r"SOB_020.png has another label",
            ),
        ]
    ):
        run = make_run(tmp_path / f"run{i}", edited)
        with pytest.raises(InputError, match=message):
            evaluation.evaluate_run(run)
        assert not (run / "metrics.json").exists()


def test_read_metrics_says_how_to_mend(tmp_path, predictions):
    run = make_run(tmp_path / "run", predictions)
    with pytest.raises(InputError, match=r"python -m common.metrics recompute"):
        evaluation.read_metrics(run)
    (run / "metrics.json").write_text("[]")
    with pytest.raises(InputError, match="damaged"):
        evaluation.read_metrics(run)


@pytest.mark.parametrize(
    "path, value, fits",
    [
        ("accuracy", -0.5, False),
        ("balanced_accuracy", 1.5, False),
        ("kappa", -0.5, True),
        ("kappa", -1.5, False),
        ("brier", 1.5, True),
        ("log_loss", 30.0, True),
        ("log_loss", -1.0, False),
        ("per_class.benign.recall", -0.1, False),
        ("per_class.benign.mcc", -0.1, True),
        ("intervals.accuracy", [-0.5, 0.5], False),
        ("intervals.per_class.benign.recall", [0.2, 1.2], False),
        ("accuracy_ci", [-0.5, 0.5], False),
    ],
)
def test_a_score_outside_its_range_is_damage(tmp_path, predictions, path, value, fits):
    run = make_run(tmp_path / "run", predictions)
    evaluation.evaluate_run(run)
    file = run / "metrics.json"
    metrics = json.loads(file.read_text())
    *folders, last = path.split(".", 1) if path.startswith("intervals.") else path.split(".")
    place = metrics
    for name in folders:
        place = place[name]
    place[last] = value
    file.write_text(json.dumps(metrics))
    if fits:
        assert evaluation.read_metrics(run)
    else:
        with pytest.raises(InputError, match=re.escape(f"damaged ({path}")):
            evaluation.read_metrics(run)


# --- for people --------------------------------------------------------------------------------


def test_summary_tells_counts_interval_and_matrix(predictions):
    result = evaluation.evaluate(predictions, CLASSES, positive="malignant", split="patient")
    text = evaluation.summary(result)
    low, high = result["accuracy_ci"]
    assert f"83.33 %  (10/12), 95 % interval {100 * low:.2f} to {100 * high:.2f} %" in text
    assert "jackknife over patients" in text
    assert "sensitivity        100.00 %, specificity 66.67 %  (positive: malignant)" in text
    lines = text.splitlines()
    matrix = lines.index("true \\ predicted  benign  malignant")
    assert lines[matrix + 1] == "benign                 4          2"
    assert lines[matrix + 2] == "malignant              0          6"
    assert "SYNTHETIC" not in text
    assert max(map(len, lines)) <= 100


def test_summary_labels_synthetic_and_leaves_unknown_out(predictions):
    table = predictions.assign(case="", magnification="")
    text = evaluation.summary(evaluation.evaluate(table, CLASSES, synthetic=True))
    assert text.startswith("SYNTHETIC")
    assert "patients unknown" in text
    assert "patient rate" not in text
    assert "bootstrap over images" in text


def test_commands_print_and_report_errors(tmp_path, predictions, capsys):
    run = make_run(tmp_path / "run", predictions)
    other = make_run(tmp_path / "other", predictions, synthetic=True)
    assert evaluation.main("breakhis", ["--run", str(run)]) == 0
    assert "10/12" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"a run of breakhis, not of ernet"):
        evaluation.main("ernet", ["--run", str(run)])
    assert metrics_command(["recompute", str(run)]) == 0
    assert "10/12" in capsys.readouterr().out
    assert metrics_command(["compare", str(run), str(other)]) == 0
    out = capsys.readouterr().out
    assert "p = 1" in out
    assert "SYNTHETIC" in out
    assert metrics_command(["compare", str(run), str(run / ".." / "run")]) == 0
    assert "a and b are the same run" in capsys.readouterr().out
