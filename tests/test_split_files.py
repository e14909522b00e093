"""Splits that stand in files: BreakHis' fold files, a run's split.csv, a user's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from test_splits import TYPES, frame, like_breakhis

from common import splits
from common.errors import InputError


def fold_file(path: Path, index: pd.DataFrame, fold: int, tested: set[str]) -> None:
    path.write_text(
        "".join(
            f"{Path(image).name}|40|{fold}|{'test' if case in tested else 'train'}\r\n"
            for image, case in zip(index["image"], index["case"], strict=True)
        )
    )


def test_from_fold_files(tmp_path):
    index = like_breakhis()
    tested = {f"{kind}0" for kind in TYPES}
    fold_file(tmp_path / "dsfold2.txt", index, 2, tested)
    split = splits.from_fold_files(index, tmp_path, 2, validation=0.25, seed=0)
    assert (split["part"] == "test").equals(index["case"].isin(tested))
    splits.check_disjoint(split, "case")
    assert set(split.loc[split["part"] == "validation", "label"]) == set(TYPES)
    # A part of the data set is a part of the fold.
    some = splits.from_fold_files(index[::3], tmp_path, 2, validation=0, seed=0)
    assert (some["part"] == "test").equals(index["case"].isin(tested)[::3])
    assert "validation" not in set(some["part"])


def test_from_fold_files_refusals(tmp_path):
    index = like_breakhis()[::50]
    with pytest.raises(InputError, match=r"dsfold1\.txt: missing\. .*UFPR|ufpr.*--fold-files"):
        splits.from_fold_files(index, tmp_path, 1, validation=0.2, seed=0)
    with pytest.raises(InputError, match="folds are 1 to 5"):
        splits.from_fold_files(index, tmp_path, 0, validation=0.2, seed=0)
    file = tmp_path / "dsfold1.txt"
    fold_file(file, index[2:], 1, {"A0"})
    with pytest.raises(InputError, match=r"does not name 2 of the images: data/00000\.png"):
        splits.from_fold_files(index, tmp_path, 1, validation=0.2, seed=0)
    for row in ("a.png|40|2|train", "a.png|40|1|val", "a.png 40 1 train"):
        file.write_text(f"b.png|40|1|train\n{row}\n")
        with pytest.raises(InputError, match=r"dsfold1\.txt:2: expected image\|magnification"):
            splits.from_fold_files(index, tmp_path, 1, validation=0.2, seed=0)
    file.write_text("a.png|40|1|train\na.png|40|1|test\n")
    with pytest.raises(InputError, match=r":2: a\.png is both in train and in test"):
        splits.from_fold_files(index, tmp_path, 1, validation=0.2, seed=0)


def test_file_round_trip(tmp_path):
    index = like_breakhis()
    index["case"] = index["case"].str.replace(r"\D", "", regex=True).str.zfill(5)
    split = splits.by_image(index, test=0.3, validation=0.25, seed=1)
    file = tmp_path / "split.csv"
    splits.write(split, file)
    assert file.read_text().splitlines()[0] == ",".join(splits.SPLIT_COLUMNS)
    assert splits.from_file(index, file).equals(split)
    assert splits.from_file(index[::-1], file).equals(split[::-1])
    table = splits.read(file)
    assert table["case"].equals(split["case"])  # zeros in front survive
    moved = index.assign(image="other/" + index["image"].str[5:])
    assert list(splits.from_file(moved, file)["part"]) == list(split["part"])


def test_from_file_refusals(tmp_path):
    index = frame(list("xyxyxy"))
    file = tmp_path / "mine.csv"
    with pytest.raises(InputError, match=r"mine\.csv: no such split file"):
        splits.from_file(index, file)
    for text, problem in (
        ("", "no CSV table"),
        ("image,set\na,train\n", "column part is missing"),
        ("image,part\na,val\n", "unknown part 'val'"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=problem):
            splits.from_file(index, file)
    rows = [f"data/0000{i}.png,train" for i in (0, 1, 1, 2, 9)]
    file.write_text("\n".join(["image,part", *rows]))
    with pytest.raises(InputError) as caught:
        splits.from_file(index, file)
    for part in (
        "1 images stand twice: data/00001.png",
        "1 images are not in the data: data/00009.png",
        "3 images of the data are left out: data/00003.png, data/00004.png, data/00005.png",
    ):
        assert part in str(caught.value)
