"""What a split over images is worth: folds in pairs, the difference, the file, the command."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from common.datasets import breakhis
from common.errors import InputError
from common.reproduce import price
from common.reproduce.states import Place
from common.site import front
from common.splits import __main__ as command


@pytest.fixture
def index():
    """Twelve cases, four of them benign, of 3 to 14 images; what `breakhis.index` would give."""
    rows = []
    for case in range(12):
        label = "benign" if case % 3 == 0 else "malignant"
        rows += [(f"d/{case:02d}-{i}.png", label, str(case), False) for i in range(3 + case)]
    return pd.DataFrame(rows, columns=["image", "label", "case", "synthetic"])


def test_folds_in_pairs_have_as_many_images_of_each_class(index):
    found = price.folds_of(index, 4, seed=0)
    for kind in price.KINDS:
        assert set(found[kind]) == {0, 1, 2, 3}
    for label in ("benign", "malignant"):
        mine = (index["label"] == label).to_numpy()
        counts = [np.bincount(found[kind][mine], minlength=4).tolist() for kind in price.KINDS]
        assert counts[0] == counts[1]
    spread = [index.assign(fold=found[kind]).groupby("case")["fold"].nunique() for kind in found]
    assert (spread[0] == 1).all() and (spread[1] > 1).sum() > 8
    moved = index.assign(image="e/" + index["image"]).sample(frac=1, random_state=1)
    again = dict(zip(moved["case"] + moved["image"].str[4:], price.folds_of(moved, 4, 0)["image"],
                     strict=True))  # fmt: skip
    assert again == dict(zip(index["case"] + index["image"].str[2:], found["image"], strict=True))


def predicted(index, right):
    """Predictions that are right where it is said."""
    wrong = np.where(index["label"] == "benign", "malignant", "benign")
    chosen = np.where(right, index["label"], wrong)
    return pd.DataFrame({
        "image": index["image"], "case": index["case"], "slide": "", "magnification": "",
        "part": "test",
        "label": index["label"], "predicted": chosen,
        "p_benign": (chosen == "benign") * 1.0, "p_malignant": (chosen == "malignant") * 1.0,
    })  # fmt: skip


def test_a_price_is_the_difference_of_the_pairs(index, tmp_path, monkeypatch, capsys):
    """With trainings that are right on every image of mixed patients, on some cases otherwise."""

    def trained(plan, index, numbers, kind, seed, fold):
        mine = index[numbers == fold]
        right = np.ones(len(mine), bool) if kind == "image" else mine["case"].astype(int) % 2 == 0
        return predicted(mine, right)

    monkeypatch.setattr(price, "trained", trained)
    monkeypatch.setattr(price, "tested", lambda found: found)
    monkeypatch.setattr(breakhis, "index", lambda *args, **options: index)
    asked = ["price", "breakhis", "--data-dir", str(tmp_path), "--output", str(tmp_path / "o"),
             "--folds", "3", "--seeds", "2", "--", "--network", "mobilenet_v2"]  # fmt: skip
    assert command.main(asked) == 0
    said = capsys.readouterr().out
    odd = int((index["case"].astype(int) % 2 == 1).sum())
    found = json.loads((tmp_path / "o" / price.FILE).read_text())
    assert found["difference"] == pytest.approx(odd / len(index))
    assert f"image-wise minus patient-wise: {100 * odd / len(index):+.1f} points" in said
    low, high = found["over_patients"]
    assert low < found["difference"] < high
    low, high = found["over_pairs"]
    each = [pair["image"] - pair["patient"] for pair in found["pairs"]]
    assert (low + high) / 2 == pytest.approx(np.mean(each))
    assert len(found["pairs"]) == 6
    assert {c["case"]: (c["images"], c["patient"], c["image"]) for c in found["cases"]} == {
        str(case): (3 + case, float(case % 2 == 0), 1.0) for case in range(12)
    }
    assert found["settings"]["network"] == "mobilenet_v2"
    assert price.read(tmp_path / "o" / price.FILE) == found


def test_what_cannot_be_priced_is_said(tmp_path, monkeypatch, index):
    with pytest.raises(InputError, match="2 folds and 1 seed are the least"):
        command.main(["price", "breakhis", "--folds", "1"])
    with pytest.raises(InputError, match="none is left to train on; give --folds 3"):
        command.main(["price", "breakhis", "--folds", "2"])
    assert price.planned("breakhis", None, tmp_path, 2, 1, ["--select-on", "last"]).folds == 2
    with pytest.raises(InputError, match="price alone takes it"):
        command.main(["audit", "x.csv", "--", "--epochs", "3"])
    monkeypatch.setattr(breakhis, "index", lambda *a, **o: index.assign(case=""))
    asked = ["price", "breakhis", "--data-dir", str(tmp_path), "--output", str(tmp_path / "o")]
    with pytest.raises(InputError, match="no folds by patient can be made"):
        command.main(asked)
    (tmp_path / "bad.json").write_text('{"difference": 1}')
    with pytest.raises(InputError, match="no price of a split"):
        price.read(tmp_path / "bad.json")


def test_the_site_says_the_price_where_its_file_lies(tmp_path):
    found = {"package": "breakhis", "dataset": "breakhis", "difference": 0.502, "pairs": [],
             "over_patients": [0.263, 0.647], "synthetic": False}  # fmt: skip
    known = SimpleNamespace(package="breakhis", place=Place(tmp_path))
    assert front._price(known) == "–"
    file = tmp_path / "price-breakhis" / price.FILE
    file.parent.mkdir()
    file.write_text(json.dumps(found))
    assert front._price(known) == "+50.2 points (+26.3 to +64.7)"
    # What synthetic tissue says stands on a site of synthetic tissue alone.
    file.write_text(json.dumps(found | {"synthetic": True, "over_patients": None}))
    assert front._price(known) == "–"
    demo = SimpleNamespace(package="breakhis", place=Place(tmp_path, synthetic=True))
    assert front._price(demo) == "+50.2 points (no interval)"
