"""The rooms used on their own, with a table of one's own: any column may name the patients."""

import importlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import common
from common import evaluation, predictions, splits
from common.datasets import synthetic
from common.errors import InputError
from common.pipeline import batches

CLASSES = ["benign", "malignant"]


class Pixels:
    """The least that `batches` asks of decoded images."""

    shape = (24, 8, 8, 3)

    def __len__(self):
        return 24

    def __getitem__(self, rows):
        return np.broadcast_to(np.uint8(rows)[..., None, None, None], (*np.shape(rows), 8, 8, 3))

    def rows(self, names):
        return [int(name) for name in names]


@pytest.fixture(scope="module")
def split():
    index = pd.DataFrame(
        {
            "image": [str(i) for i in range(24)],
            "label": [CLASSES[i // 2 % 2] for i in range(24)],
            "who": [f"p{i // 2}" for i in range(24)],
        }
    )
    return splits.by_group(index, group="who", test=0.3, validation=0.2, seed=0)


def test_any_column_keeps_patients_apart(split, tmp_path):
    splits.check_disjoint(split, "who")
    assert splits.shared_groups(split, "who") == {}
    assert splits.k_folds(split, 3, group="who", seed=0).shape == (24,)
    with pytest.raises(InputError, match="unknown group 'whom'; did you mean 'who'"):
        splits.by_patient(split, group="whom", test=0.3, validation=0, seed=0)
    splits.write(split, tmp_path / "split.csv")
    assert splits.read(tmp_path / "split.csv").part.tolist() == split.part.tolist()


def test_batches_of_a_split(split):
    with pytest.raises(InputError, match="test, train, validation: say which, part="):
        batches(split, Pixels(), CLASSES, batch_size=4)
    with pytest.raises(InputError, match="no image is in the part 'tests'"):
        batches(split, Pixels(), CLASSES, batch_size=4, part="tests")
    test = split[split.part == "test"]
    for given in (batches(split, Pixels(), CLASSES, batch_size=100, part="test"),
                  batches(test, Pixels(), CLASSES, batch_size=100)):  # fmt: skip
        images, labels = given[0]
        assert images[:, 0, 0, 0].tolist() == [int(name) for name in test.image]
        assert [CLASSES[i] for i in labels.argmax(axis=1)] == test.label.tolist()


def test_intervals_are_over_the_column_named(split):
    rows = split[split.part == "test"].reset_index(drop=True)
    given = batches(split, Pixels(), CLASSES, batch_size=4, part="test")
    half = lambda images: np.full((len(images), 2), 0.5)  # noqa: E731
    frame = evaluation.predict(half, given, rows, CLASSES, group="who")
    assert frame.case.tolist() == rows.who.tolist()
    assert evaluation.evaluate(frame, CLASSES)["ci_unit"] == "patient"
    assert predictions.table(rows, np.full((len(rows), 2), 0.5), CLASSES).case.eq("").all()
    with pytest.raises(InputError, match="unknown group 'whom'"):
        evaluation.predict(half, given, rows, CLASSES, group="whom")


def test_rooms_are_shown_and_found():
    assert {"splits", "metrics", "stain", "appearance", "terminal"} <= set(dir(common))
    assert not [name for name in dir(common) if name.startswith("_")]
    with pytest.raises(AttributeError):
        common.nonsense  # noqa: B018


@pytest.mark.parametrize("room", [
    "acquaintance", "appearance", "classification", "datasets", "evaluation", "images", "metrics",
    "networks", "normalise", "pipeline", "predictions", "runs", "samples", "splits", "stain",
    "tables", "terminal", "training",
])  # fmt: skip
def test_public_names_of_a_room_exist(room):
    module = importlib.import_module(f"common.{room}")
    assert module.__doc__ and module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.slow
def test_the_parts_that_getting_started_shows_run_as_they_stand(tmp_path, monkeypatch):
    """On synthetic tissue and, for time, without pretrained weights and in small batches."""
    text = (Path(__file__).parent.parent / "docs" / "getting-started.md").read_text("utf-8")
    text = text[text.index("## Use a part of it") :]
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    data = synthetic.breakhis(
        tmp_path / "data", patients=16, images_per_patient=2, magnifications=("100X",),
        size=(46, 70),
    )  # fmt: skip
    monkeypatch.setenv("HISTOPAPERS_CACHE", str(tmp_path / "cache"))
    code = "\n".join(blocks)
    for shown, here in (
        ('"/data/BreaKHis_v1"', repr(str(data))),
        ('weights="imagenet"', 'weights="none"'),
        ("batch_size=32", "batch_size=2"),
    ):
        assert code.count(shown) == 1
        code = code.replace(shown, here)
    names = {}
    exec(code, names)
    assert names["maps"].shape == (2, 7, 7)
    assert 0 <= names["maps"].min() <= names["maps"].max() <= 1
    assert names["normalised"].shape == (224, 224, 3)
    # Of any framework: probabilities of one half, over patients.
    assert names["scores"]["n"] == len(names["test"]) and names["scores"]["ci_unit"] == "patient"
    assert names["scores"]["auc"] == 0.5
    assert predictions.read("predictions.csv").equals(names["answers"])
