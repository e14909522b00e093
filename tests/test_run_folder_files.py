"""A run folder from a stranger: every JSON and CSV is one message, or read. What fell is named."""

import json

import cv2
import fuzz_run_folder as fuzz
import numpy as np
import pytest

from common import classification, evaluation, images, predictions, runs
from common import tables as papers
from common.errors import InputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fuzz.make(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def changed(whole, tmp_path):
    """Copy the run with one value of a JSON file changed."""

    def change(name, keys, value):
        run = tmp_path / "runs" / "breakhis" / whole.name
        run.mkdir(parents=True)
        for file in whole.iterdir():
            if file.is_file():
                (run / file.name).write_bytes(file.read_bytes())
        content = json.loads((run / name).read_text())
        place = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        (run / name).write_text(json.dumps(content))
        return run

    return change


def test_mutations_of_every_file_by_every_command():
    """The short form; ``python tests/fuzz_run_folder.py`` takes 500 of each file."""
    counts, fell, _ = fuzz.run_cases(fuzz.FILES, 3, seed=1)
    assert not fell
    assert counts.total() == 3 * sum(map(len, fuzz.READ_BY.values()))


SCORES = [
    (("intervals", "accuracy"), 1),
    (("intervals", "accuracy"), [0.9, 0.1]),
    (("intervals",), [{"a": []}]),
    (("accuracy",), "0.9"),
    (("accuracy",), 1e9),
    (("accuracy",), True),
    (("per_class", "benign", "recall"), [None]),
    (("per_class",), {}),
    (("classes",), 2.5),
    (("classes",), ["benign", "benign"]),
    (("by_magnification", "200X", "classes"), 2.5),
    (("by_magnification",), [1]),
    (("confusion_matrix",), [[1, -2], [0, 3]]),
    (("confusion_matrix",), [[1, 2, 3]]),
    (("support", "benign"), -1),
    (("n",), 0),
    (("correct",), 10**9),
    (("ci_unit",), "x"),
    (("reasons",), {"accuracy": 1}),
    (("synthetic",), "no"),
]


@pytest.mark.parametrize(("keys", "value"), SCORES, ids=[str(each) for each in SCORES])
def test_scores_that_cannot_be_are_named(keys, value, changed):
    run = changed("metrics.json", keys, value)
    with pytest.raises(InputError, match=r"metrics\.json: damaged .*common\.metrics recompute"):
        evaluation.read_metrics(run)
    with pytest.raises(InputError, match=r"metrics\.json: damaged"):
        papers.main("breakhis", ["--runs-dir", str(run.parent.parent)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", "96"),
        ("image_size", ""),
        ("image_size", None),
        ("image_size", True),
        ("image_size", 10**9),
        ("image_size", -1),
        ("resize_filter", 3),
        ("resize_filter", "none of ours"),
    ],
)
def test_a_setting_that_cannot_be_is_named_before_an_image_is_resized(
    name, value, changed, tmp_path
):
    run = runs.load(changed("config.json", ("config", name), value))
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), np.full((8, 8, 3), 200, np.uint8))
    with pytest.raises(InputError, match=rf"{name}|resize filter"):
        classification.read(run, [image])


def test_predictions_of_hundreds_of_classes_are_refused_before_they_are_judged(tmp_path):
    names = [f"p_{i}" for i in range(400)]
    head = ",".join([*predictions.COLUMNS, *names])
    row = ",".join(["a.png", "", "", "", "test", "0", "1", *["0"] * 399])
    (tmp_path / "predictions.csv").write_text(f"{head}\n{row}\n")
    with pytest.raises(InputError, match="400 classes, and at most 100 are judged"):
        predictions.read(tmp_path / "predictions.csv")


def test_a_split_that_names_an_image_twice_is_said(changed):
    run = changed("config.json", ("preset",), "x")
    lines = (run / "split.csv").read_text().splitlines()
    again = next(line for line in lines if line.endswith(",test"))
    (run / "split.csv").write_text("\n".join([*lines, again]) + "\n")
    with pytest.raises(InputError, match=r"split\.csv names .* twice in the test part"):
        evaluation.evaluate_run(run)


def test_no_image_is_made_larger_than_one_that_is_read():
    with pytest.raises(InputError, match="more than 128 megapixels"):
        images.resize(np.zeros((4, 4, 3), np.uint8), 100_000)


def test_what_says_nothing_is_left_out(changed, capsys):
    run = changed("config.json", ("sources",), [{"name": ["seed"], "default": 0}])
    (run / "environment.json").write_text('{"packages": "keras"}')
    fuzz.COMMANDS["runs"](run, run)
    fuzz.COMMANDS["reproduce"](run, run)
    assert run.name in capsys.readouterr().out
