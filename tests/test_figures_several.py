"""Several of a kind in one figure, and the command that draws them."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
import run_folder

from common import figures, runs, samples
from common.errors import InputError
from common.figures import __main__ as command
from common.figures.png import pixels
from common.files import read_json, write_json
from common.splits import read


def _history(last, validated=True):
    epochs = np.arange(3)
    known = {"epoch": epochs, "loss": 2.0 - epochs, "accuracy": epochs / 4}
    more = {"val_loss": last - epochs, "val_accuracy": epochs / last} if validated else {}
    return pd.DataFrame({**known, **more})


def test_curves_of_runs_are_of_validation_where_there_is_one():
    figure = figures.run_curves({"a": _history(4), "b": _history(5)})
    above, below = figure.axes
    assert above.get_ylabel() == "Accuracy, validation" and below.get_xlabel() == "Epoch"
    assert [line.get_ydata().tolist() for line in above.lines] == [[0, 0.25, 0.5], [0, 0.2, 0.4]]
    assert [line.get_ydata().tolist() for line in below.lines] == [[4, 3, 2], [5, 4, 3]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    figure = figures.run_curves({"a": _history(4), "b": _history(0, validated=False)})
    assert figure.axes[0].get_ylabel() == "Accuracy, either"
    assert figure.axes[1].lines[1].get_ydata().tolist() == [2, 1, 0]


@pytest.mark.parametrize("count", [0, 9])
def test_runs_that_cannot_be_told_apart_are_refused(count):
    with pytest.raises(InputError, match=f"{count} runs: 1 to 8"):
        figures.run_curves({str(i): _history(4) for i in range(count)})


def test_confusion_matrices_stand_two_beside_each_other_as_each_is_alone():
    matrix = [[3, 1], [2, 4]]
    figure = figures.confusion_matrices({"40X": matrix, "100X": matrix, "all": matrix}, ["a", "b"])
    assert "100X: [[3, 1], [2, 4]]" in figure.get_label()
    whole, one = pixels(figure), pixels(figures.confusion_matrix(matrix, ["a", "b"]))
    tall, wide = one.shape[:2]
    # Both columns of the first line hold the very picture.
    found = cv2.matchTemplate(whole, one, cv2.TM_SQDIFF)
    places = np.argwhere(found < 1e-6 * np.square(one, dtype=float).sum())
    assert len(places) == 3
    assert places[0][0] == places[1][0] and places[1][1] - places[0][1] >= wide
    assert places[2][0] - places[0][0] >= tall
    with pytest.raises(InputError, match="no confusion matrix"):
        figures.confusion_matrices({}, ["a"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with images of its split."""
    folder = tmp_path_factory.mktemp("runs")
    path = run_folder.make(folder, pictures=False)
    split = read(path / "split.csv")
    rng = np.random.default_rng(0)
    for image in split["image"]:
        target = folder / "data" / image
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    samples.to_csv(path / "samples.csv", samples.plain(split).assign(part="train"))
    return path


def test_the_command_draws_matrices_and_curves(run, tmp_path, capsys):
    for name, more in (("confusion", []), ("curves", [])):
        out = tmp_path / f"{name}.png"
        assert command.main([name, str(run), *more, "--out", str(out)]) == 0
        assert cv2.imread(str(out)).shape[0] > 200
        assert capsys.readouterr().out == f"{out}\n"
    label = command.confusion(runs.load(run)).get_label()
    assert "100X, " in label and "all magnifications, " in label


def test_augmented_images_are_what_the_run_trains_on(run, monkeypatch):
    """Of this paper, flips: each picture is the image turned over in one of four ways."""
    shown = {}
    monkeypatch.setattr(
        figures,
        "examples",
        lambda images, titles, columns: shown.update(zip(titles, images, strict=True)),
    )
    command.augmented(runs.load(run), run.parents[1] / "data", count=1, draws=8)
    original, *others = shown.items()
    expected = {"unchanged": original[1], "flip vertical": original[1][::-1],
                "flip horizontal": original[1][:, ::-1],
                "flip horizontal and vertical": original[1][::-1, ::-1]}  # fmt: skip
    assert others and original[0].endswith(".png")
    for title, image in others:
        np.testing.assert_array_equal(image, expected[title])


def test_what_is_missing_for_augmentation_is_named(run, tmp_path):
    for given, said in (
        ({"data_dir": None}, "--data-dir"),
        ({"data_dir": tmp_path}, "no such image"),
        ({"data_dir": tmp_path, "count": 0}, "at least 1"),
    ):
        with pytest.raises(InputError, match=said):
            command.augmented(runs.load(run), **given)


def test_a_package_that_a_run_names_is_not_imported(run, tmp_path, monkeypatch):
    path = tmp_path / run.name
    shutil.copytree(run, path)
    record = read_json(path / "config.json")
    write_json(path / "config.json", record | {"package": "evil"})
    (tmp_path / "evil").mkdir()
    for module in ("config", "train"):
        (tmp_path / "evil" / f"{module}.py").write_text("assert False")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="a run of 'evil', which is none of her2scoring"):
        command.augmented(runs.load(path), tmp_path)
