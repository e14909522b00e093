"""Rules of the splits that no example of another test decides: edges, refusals, agreement."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common import splits
from common.errors import InputError
from common.splits import draw
from common.splits.files import is_fold_list

NAME = "SOB_B_A-14-{case}-{magnification}-{number:03d}.png"


def is_said(message):
    return pytest.raises(InputError, match=message)


def index(n=8, **changes):
    """Images of two classes, four to a case; every second one has both classes, too."""
    base = {
        "image": [f"{i:02d}.png" for i in range(n)],
        "label": list("aabb") * (n // 4),
        "case": [f"c{i // 4}" for i in range(n)],
        "slide": "",
        "folder": "",
        "magnification": "100X",
    }
    return pd.DataFrame({**base, **changes})


# --- drawing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shares",
    [
        [], [[1, 2]], ["a"], [np.nan, 1], [1, np.inf], [2, -1], [0, 0], [-1, -1], [[1], [1, 2]],
        [True],
    ],
)  # fmt: skip
def test_shares_that_are_none(shares):
    with is_said("shares must be numbers"):
        draw.apportion(4, shares)


def test_shares_that_are_some():
    assert draw.apportion(5, [0, 1]).tolist() == [0, 5]
    assert draw.apportion(5, np.uint8([1, 1])).tolist() == [3, 2]
    assert draw.apportion(0, [0.5]).tolist() == [0]


def test_images_that_stand_twice_have_no_order():
    with is_said("index: 2 images stand twice: x, x"):
        draw.sorted_rows(pd.DataFrame({"image": ["x", "y", "x"]}).iloc[[0, 1, 2, 0]])
    with is_said("there are no images to split"):
        draw.sorted_rows(pd.DataFrame({"image": []}, dtype=str))


def test_nothing_is_drawn_from_nothing():
    with is_said("there are no images left to draw a part from"):
        draw.draw(index(), np.array([], dtype=int), 0.5, 0, False)


@pytest.mark.parametrize("k", [1, 0, -2, 2.5, np.inf, np.nan, "2", None, True])
def test_folds_are_a_whole_number(k):
    with is_said(r"folds \(k\): a whole number, at least 2"):
        splits.k_folds(index(), k, seed=0)


def test_folds_need_labels_only_where_they_count():
    without = index().drop(columns="label")
    assert sorted(splits.k_folds(without, 2, seed=0).tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]
    for settings in ({"stratify": True}, {"group": "case"}):
        with is_said("index: the column 'label' is missing"):
            splits.k_folds(without, 2, seed=0, **settings)
    assert (
        splits.k_folds(index(), 2.0, seed=0).tolist() == splits.k_folds(index(), 2, seed=0).tolist()
    )


# --- files ---------------------------------------------------------------------------------------


def write(path, rows):
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_split_file_is_of_these_images(tmp_path):
    file = write(tmp_path / "s.csv", {"image": index()["image"], "part": ["train", "test"] * 4})
    assert splits.from_file(index(), file)["part"].tolist() == ["train", "test"] * 4
    with is_said("index: 1 image stands twice: 00.png"):
        splits.from_file(pd.concat([index(), index()[:1]]), file)
    with is_said("index: the column 'label' is missing"):
        splits.from_file(index().drop(columns="label"), file)
    with is_said("no such split file"):
        splits.from_file(index(), tmp_path / "none.csv")


def test_magnifications_of_a_split_file_agree_with_the_names(tmp_path):
    rows = {"image": index()["image"], "part": ["train", "test"] * 4}
    for said in ("100X", "100x", "100", ""):
        file = write(tmp_path / "s.csv", {**rows, "magnification": said})
        assert len(splits.from_file(index(), file)) == 8
    unknown = index(magnification="")
    file = write(tmp_path / "s.csv", {**rows, "magnification": "400X"})
    assert len(splits.from_file(unknown, file)) == 8
    assert len(splits.from_file(index().drop(columns="magnification"), file)) == 8
    with is_said("8 images contradict their names, for example 00.png: '400', by its name '100X'"):
        splits.from_file(index(), file)
    one = ["100X"] * 7 + ["40X"]
    with is_said("1 image contradicts its name, for example 07.png: '40', by its name '100X'"):
        splits.from_file(index(), write(tmp_path / "s.csv", {**rows, "magnification": one}))


def test_magnifications_are_compared_by_file_name_in_another_layout(tmp_path):
    images = [f"there/{name}" for name in index()["image"]]
    rows = {"image": images[::-1], "part": ["train", "test"] * 4, "magnification": "100X"}
    found = splits.from_file(index(), write(tmp_path / "s.csv", rows))
    assert found["part"].tolist() == ["test", "train"] * 4
    rows["magnification"] = ["40X"] + ["100X"] * 7
    with is_said("1 image contradicts its name, for example 07"):
        splits.from_file(index(), write(tmp_path / "s.csv", rows))


def four(magnifications=(100, 100, 100, 100)):
    """Names of four images, and their index."""
    names = [
        NAME.format(case=1, magnification=m, number=number)
        for number, m in enumerate(magnifications, 1)
    ]
    known = [f"{m}X" for m in magnifications]
    return names, index(4, image=names, case=["1"] * 4, magnification=known)


def test_fold_files_name_the_magnification_twice(tmp_path):
    names, data = four((40, 100, 40, 100))
    file = tmp_path / "dsfold1.txt"
    rest = f"{names[2]}|40|1|train\n{names[3]}|100|1|test\n"
    for given in ("40", "40X", "40x"):
        file.write_text(f"{names[0]}|{given}|1|train\n\n {names[1]} | 100 |1| test \n{rest}")
        found = splits.from_fold_files(data, tmp_path, 1, validation=0, seed=0)
        assert found["part"].tolist() == ["train", "test"] * 2
    file.write_text(f"{names[0]}|100|1|train\n{names[1]}|100|1|test\n{rest}")
    with is_said(r"dsfold1.txt:1: .* is of magnification 40 by its name, '100' by the column"):
        splits.from_fold_files(data, tmp_path, 1, validation=0, seed=0)


def test_which_list_of_folds_a_folder_has(tmp_path):
    names, data = four()
    kaggle = tmp_path / "Folds.csv"
    lines = ["fold,mag,grp,filename"]
    for fold, parts in ((1, ("train", "test")), (2, ("test", "train"))):
        for name, part in zip(names, parts * 2, strict=True):
            lines.append(f"{fold},100,{part},a/{name}")
    kaggle.write_text("\n".join(lines) + "\n")

    def parts(place):
        found = splits.from_fold_files(data, place, 1, validation=0, seed=0)
        return found["part"].tolist()

    assert parts(tmp_path) == ["train", "test"] * 2
    upper = tmp_path / "OTHER.CSV"
    upper.write_text(kaggle.read_text())
    assert parts(upper) == ["train", "test"] * 2
    own = zip(names, ("test", "train") * 2, strict=True)  # the data set's own list comes first
    (tmp_path / "dsfold1.txt").write_text("".join(f"{n}|100|1|{part}\n" for n, part in own))
    assert parts(tmp_path) == ["test", "train"] * 2
    folder = tmp_path / "x.csv"
    folder.mkdir()
    with is_said(r"x\.csv/dsfold1\.txt: missing"):
        parts(folder)
    assert splits.from_file(data, kaggle, 2)["part"].tolist() == ["test", "train"] * 2
    columns = lines[0].split(",")
    assert is_fold_list(columns)
    assert is_fold_list([*columns, "more"])
    assert not is_fold_list(columns[1:])


def test_what_a_split_file_holds(tmp_path):
    """Every column, whether it is known or not, and no other."""
    few = pd.DataFrame(
        {"part": ["train", "test"], "label": list("xy"), "image": list("ab"), "n": 1}
    )
    splits.write(few, tmp_path / "s.csv")
    head = "image,case,slide,folder,magnification,label,part"
    assert (tmp_path / "s.csv").read_text().split() == [head, "a,,,,,x,train", "b,,,,,y,test"]
    splits.write(few.assign(case=["1", "2"], magnification="40X"), tmp_path / "s.csv")
    rows = ["a,1,,,40X,x,train", "b,2,,,40X,y,test"]
    assert (tmp_path / "s.csv").read_text().split() == [head, *rows]
    for column in ("image", "label", "part"):
        with is_said(f"split: the column '{column}' is missing"):
            splits.write(few.drop(columns=column), tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"image,part\na,\0", "holds zero bytes"), (b"image,part\na,b,c\n", "line 2: 3 values")],
)
def test_what_is_said_of_a_damaged_split_file(data, problem, tmp_path):
    file = tmp_path / "s.csv"
    file.write_bytes(data)
    for call in (splits.read, lambda path: splits.from_file(index(), path)):
        with is_said(f"{problem}.*; a split is a CSV file with the columns image and part$"):
            call(file)


def test_what_is_said_of_a_damaged_list_of_folds(tmp_path):
    file = tmp_path / "Folds.csv"
    file.write_text("fold,mag,grp,filename\n1,100\n")
    with is_said("line 2: 2 values, not 4; take it from the data set again$"):
        splits.from_fold_files(index(), file, 1, validation=0, seed=0)
    (tmp_path / "dsfold1.txt").write_bytes(b"a|\0")
    with is_said("holds zero bytes; dsfold1.txt ... dsfold5.txt come with the data set's own page"):
        splits.from_fold_files(index(), tmp_path, 1, validation=0, seed=0)


def test_a_list_of_other_images_than_these(tmp_path):
    file = tmp_path / "Folds.csv"
    file.write_text("fold,mag,grp,filename\n1,100,train,a/x.png\n")
    with is_said("8 images of the data are left out: 00, 01, 02, 03"):
        splits.from_file(index(), file, 1)
