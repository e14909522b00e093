from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import run_folder
from PIL import Image

from common import evidence, runs


@pytest.fixture
def run(tmp_path) -> runs.Run:
    return runs.load(run_folder.make(tmp_path, "four", pictures=False))


@pytest.fixture
def data(tmp_path) -> tuple[pd.DataFrame, Path]:
    """Three fields, the second also turned by a quarter and under another label in the test."""
    rng = np.random.default_rng(0)
    fields = [run_folder.tissue(rng) for _ in range(3)]
    images = {
        "a.png": (fields[0], "train", "0"), "b.png": (fields[1], "train", "0"),
        "c.png": (fields[1], "test", "0"), "d.png": (np.rot90(fields[1]), "test", "1+"),
        "e.png": (fields[2], "validation", "0"),
    }  # fmt: skip
    folder = tmp_path / "images"
    folder.mkdir()
    for name, (image, _, _) in images.items():
        Image.fromarray(image).save(folder / name)
    rows = [
        {"image": name, "part": part, "label": label, "case": "", "slide": "", "folder": ""}
        for name, (_, part, label) in images.items()
    ]
    return pd.DataFrame(rows), folder


def test_the_parts_are_compared_before_there_is_a_model(run, data):
    (run.path / "predictions.csv").unlink()
    evidence.compare_parts(run, *data)
    found = json.loads((run.path / "leakage.json").read_text(encoding="utf-8"))
    assert [(pair["a"], pair["b"]) for pair in found["exact"]["worst"]] == [("b.png", "c.png")]
    assert [(pair["a"], pair["b"]) for pair in found["near"]["worst"]] == [("b.png", "d.png")]
    with Image.open(run.path / "figures" / "leakage.png") as picture:
        assert picture.info["Description"] == (
            "Pairs of images: train: b.png; test: c.png: exact copy; train: b.png; test: d.png: "
            f"{found['near']['worst'][0]['bits']} of 256 bits differ, turned or flipped, different "
            "labels"
        )


def test_without_pairs_there_is_no_picture_and_an_old_one_goes(run, data):
    split, folder = data
    evidence.compare_parts(run, split, folder)
    evidence.compare_parts(run, split[~split["image"].isin(["c.png", "d.png"])], folder)
    assert not (run.path / "figures" / "leakage.png").exists()
    found = json.loads((run.path / "leakage.json").read_text(encoding="utf-8"))
    assert (found["images"], found["exact"]["across"]) == (3, 0)
