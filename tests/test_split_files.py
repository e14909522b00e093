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


def test_fold_files_of_every_number(tmp_path):
    index = frame(list("xyxyxy"), list("aabbcc"))
    for fold in range(1, 6):
        fold_file(tmp_path / f"dsfold{fold}.txt", index, fold, {"c"})
        split = splits.from_fold_files(index, tmp_path, fold, validation=0, seed=0)
        assert list(split["part"]) == ["train"] * 4 + ["test"] * 2
    for fold in (0, 6):
        with pytest.raises(InputError, match="folds are 1 to 5"):
            splits.from_fold_files(index, tmp_path, fold, validation=0, seed=0)


def test_an_empty_line_of_a_fold_file_is_passed_over(tmp_path):
    index = frame(list("xyxyxy"), list("aabbcc"))
    file = tmp_path / "dsfold1.txt"
    fold_file(file, index, 1, {"c"})
    file.write_text(file.read_text().replace("\n", "\n \n\n"))
    split = splits.from_fold_files(index, tmp_path, 1, validation=0, seed=0)
    assert list(split["part"]) == ["train"] * 4 + ["test"] * 2


def test_one_patient_of_a_fold_is_trained_on_at_least(tmp_path):
    index = frame(list("xyxyxy"), list("aabbcc"))
    fold_file(tmp_path / "dsfold1.txt", index, 1, {"c"})
    split = splits.from_fold_files(index, tmp_path, 1, validation=0.5, seed=0)
    assert sorted(split.groupby("case")["part"].first()[["a", "b"]]) == ["train", "validation"]


def test_what_a_fold_needs(tmp_path):
    index = frame(list("xyxyxy"), list("aabbcc"))
    fold_file(tmp_path / "dsfold1.txt", index, 1, {"c"})
    with pytest.raises(InputError, match="needs --fold-files DIR"):
        splits.from_fold_files(index, None, 1, validation=0, seed=0)
    with pytest.raises(InputError, match="from 0 to below 1, not 1"):
        splits.from_fold_files(index, tmp_path, 1, validation=1, seed=0)
    with pytest.raises(InputError, match="no validation part can be drawn by patient"):
        splits.from_fold_files(index.assign(case=""), tmp_path, 1, validation=0.5, seed=0)


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
        "1 image stands twice: data/00001.png",
        "1 image is not in the data: data/00009.png",
        "3 images of the data are left out: data/00003.png, data/00004.png, data/00005.png",
    ):
        assert part in str(caught.value)


def parts_file(path: Path, parts: dict[str, str]) -> Path:
    path.write_text("\n".join(["image,part", *(f"{k},{v}" for k, v in parts.items())]))
    return path


def test_the_parts_of_a_file_hold_two_classes(tmp_path):
    index, file = frame(list("xyxyxy")), tmp_path / "mine.csv"
    names = list(index["image"])
    both = ["train", "train", "test", "test"]
    found = splits.from_file(index[:4], parts_file(file, dict(zip(names[:4], both, strict=True))))
    assert list(found["part"]) == both
    for parts, problem in (
        (["train"] * 6, "the test part of this split is empty"),
        ([*both, "validation", "train"], "the validation part of this split has images of one"),
        (["train", "train", "test", "train", "train", "train"], "the test part of this split has"),
        (["test"] * 6, "the train part of this split is empty"),
    ):
        with pytest.raises(InputError, match=problem):
            splits.from_file(index, parts_file(file, dict(zip(names, parts, strict=True))))


def test_names_in_refusals_stand_in_order(tmp_path):
    index, file = frame(list("xy") * 10), tmp_path / "mine.csv"
    with pytest.raises(InputError, match="needs --split-file CSV"):
        splits.from_file(index, None)
    names = [f"data/{i:05d}.png" for i in range(19, -1, -1)]
    file.write_text("\n".join(["image,part", *(f"{name},train" for name in names * 2)]))
    with pytest.raises(InputError, match=r"twice: data/00000\.png, data/00001\.png"):
        splits.from_file(index, file)
    parts_file(file, {name: "train" for name in ["data/00000.png", *"qponmlkjihgfedcba"]})
    with pytest.raises(InputError, match=r"17 images are not in the data: a, b, c"):
        splits.from_file(index, file)
    parts_file(file, {f"data/{i:05d}.png": f"part {19 - i:02d}" for i in range(20)})
    with pytest.raises(InputError, match="unknown part 'part 00', 'part 01'"):
        splits.from_file(index, file)


def test_a_class_may_be_called_na(tmp_path):
    file = tmp_path / "split.csv"
    file.write_text("image,part,label,case\na.png,train,NA,\nb.png,test,null,7\n")
    table = splits.read(file)
    assert table["label"].tolist() == ["NA", "null"]
    assert table["case"].tolist() == ["", "7"]
