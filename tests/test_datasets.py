"""Indexing of BreakHis, BCI and BACH by file name, on hand-made trees, and the command."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import datasets
from common.datasets import __main__ as command
from common.datasets import bach, bci, breakhis
from common.errors import InputError

FOLDERS = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes_tumor",
    "TA": "tubular_adenoma",
    "DC": "ductal_carcinoma",
    "LC": "lobular_carcinoma",
    "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}
# The slide folders of BreakHis, without the year 14.
SLIDES = {
    "A": "22549AB 22549CD 22549G 29960CD",
    "F": "14134 14134E 21998CD 21998EF 23060AB 23060CD 23222AB 25197 29960AB 9133",
    "PT": "21998AB 22704 29315EF",
    "TA": "13200 15275 16184 16184CD 19854C 21978AB 3411F",
    "DC": "10926 11031 11520 11951 12312 13412 13993 14015 14926 14946 15572 15696 15792 16188 "
    "16336 16448 16601 16716 16875 17614 17901 17915 18650 20629 20636 2523 2773 2980 2985 3909 "
    "4364 4372 5287 5694 5695 6241 8168 9461",
    "LC": "12204 13412 15570 15570C 16196",
    "MC": "10147 12773 13413 13418DE 16456 18842 18842D 19979 19979C",
    "PC": "12465 15687B 15704 190EF 19440 9146",
}


def breakhis_names() -> list[str]:
    """Paths with the right number of images per type and magnification, dealt over the slides."""
    paths = []
    for (kind, magnification), n in breakhis.EXPECTED_COUNTS.items():
        side, name = ("B", "benign") if kind in ("A", "F", "PT", "TA") else ("M", "malignant")
        slides = SLIDES[kind].split()
        for i in range(n):
            slide = slides[i % len(slides)]
            paths.append(
                f"BreaKHis_v1/histology_slides/breast/{name}/SOB/{FOLDERS[kind]}/"
                f"SOB_{side}_{kind}_14-{slide}/{magnification}/"
                f"SOB_{side}_{kind}-14-{slide}-{magnification[:-1]}-{i:03d}.png"
            )
    return paths


def put(root: Path, paths: list[str], content: bytes = b"\x89PNG\r\n\x1a\n") -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root


def png(path: Path, value: int = 0, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((side, side, 3), value, np.uint8))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return put(tmp_path_factory.mktemp("breakhis"), breakhis_names())


ONE = "SOB_B_A-14-22549AB-40-001.png"
TWO = "SOB_M_DC-14-2523-400-012.png"


# --- BreakHis ----------------------------------------------------------------------------------


def test_breakhis_counts_of_the_whole_set(whole):
    with pytest.warns(UserWarning, match=r"13412 \(DC and LC, on one slide\)"):
        index = breakhis.index(whole, classes=8)
    assert len(index) == breakhis.EXPECTED_IMAGES == 7909
    assert datasets.counts(index, ["type", "magnification"]) == breakhis.EXPECTED_COUNTS
    assert datasets.counts(index, "magnification") == {
        "40X": 1995,
        "100X": 2081,
        "200X": 2013,
        "400X": 1820,
    }
    assert {name: index[name].nunique() for name in ("folder", "slide", "case")} == {
        "folder": 82,
        "slide": 81,
        "case": 70,
    }
    folders_per_case = index.groupby("case")["folder"].nunique()
    assert folders_per_case[folders_per_case > 1].sum() == 22
    assert list(index.columns) == list(datasets.COLUMNS)
    assert index["image"].is_monotonic_increasing
    assert not index["synthetic"].any()
    assert list(index.index) == list(range(7909))


def test_breakhis_two_classes_have_no_case_with_two_labels(whole):
    index = breakhis.index(whole)  # a warning would be an error
    assert datasets.counts(index, "label") == {"benign": 2480, "malignant": 5429}
    assert sum(breakhis.EXPECTED_COUNTS.values()) == 7909
    assert breakhis.expected_images() == 7909
    assert breakhis.expected_images(("200X",)) == 2013
    assert len(breakhis.index(whole, magnifications=("100X", "400X"))) == 2081 + 1820


def test_breakhis_two_labels(whole):
    with pytest.warns(UserWarning):
        index = breakhis.index(whole, classes=8)
    assert datasets.two_labels(index) == {
        "13412": ("DC", "LC"),
        "21998": ("F", "PT"),
        "29960": ("A", "F"),
    }
    assert datasets.two_labels(index, "slide") == {"14-13412": ("DC", "LC")}
    with pytest.raises(InputError, match="13412"):
        breakhis.index(whole, classes=8, strict=True)


def test_breakhis_columns(tmp_path):
    put(tmp_path, [f"x/{ONE}", TWO])
    rows = breakhis.index(tmp_path, classes=8).to_dict("records")
    assert rows == [
        {
            "image": "SOB_M_DC-14-2523-400-012.png",
            "bytes": 8,
            "label": "DC",
            "type": "DC",
            "case": "2523",
            "slide": "14-2523",
            "folder": "SOB_M_DC_14-2523",
            "magnification": "400X",
            "official": "",
            "synthetic": False,
        },
        {
            "image": "x/SOB_B_A-14-22549AB-40-001.png",
            "bytes": 8,
            "label": "A",
            "type": "A",
            "case": "22549",
            "slide": "14-22549AB",
            "folder": "SOB_B_A_14-22549AB",
            "magnification": "40X",
            "official": "",
            "synthetic": False,
        },
    ]
    assert breakhis.index(tmp_path)["bytes"].dtype == np.int64
    assert list(breakhis.index(tmp_path)["label"]) == ["malignant", "benign"]


def test_layouts_give_the_same_index(tmp_path):
    """Kaggle's extra level, copies by class, upper-case suffixes: the same but for the folder."""
    names = breakhis_names()[::97]
    put(tmp_path / "official", names)
    put(tmp_path / "extra", [f"BreaKHis_v1/{name}" for name in names])
    put(tmp_path / "classes", [f"{name.split('/')[3]}/{Path(name).name}" for name in names])
    put(tmp_path / "flat", [Path(name).name for name in names])
    tables = [breakhis.index(tmp_path / name) for name in ("official", "extra", "classes", "flat")]
    for table in tables[1:]:
        table["image"] = table["image"].str.rpartition("/")[2]
        left = tables[0].assign(image=tables[0]["image"].str.rpartition("/")[2])
        left, table = (t.sort_values("image", ignore_index=True) for t in (left, table))
        assert left.equals(table)
    assert len({datasets.index_hash(table) for table in tables}) == 1
    put(tmp_path / "upper", [Path(name).name.upper() for name in names])
    upper = breakhis.index(tmp_path / "upper")
    assert sorted(upper["folder"]) == sorted(tables[0]["folder"])
    assert set(upper["magnification"]) == {"40X", "100X", "200X", "400X"}


def test_shadow_files_and_hidden_folders_are_passed_over(tmp_path):
    put(tmp_path, [ONE, f"._{ONE}", f"__MACOSX/{TWO}", f".cache/{TWO}", "Thumbs.db", "Folds.csv"])
    assert list(breakhis.index(tmp_path)["image"]) == [ONE]


def test_links_do_not_hang_or_double(tmp_path):
    put(tmp_path, [f"real/a/{ONE}", f"real/b/{TWO}"])
    (tmp_path / "real/a/up").symlink_to(tmp_path)
    (tmp_path / "a_first_by_name").symlink_to(tmp_path / "real")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert list(breakhis.index(tmp_path)["image"]) == [f"real/a/{ONE}", f"real/b/{TWO}"]
    other = tmp_path / "elsewhere" / "data"
    other.parent.mkdir()
    other.symlink_to(tmp_path / "real")
    assert len(breakhis.index(other.parent)) == 2


def test_what_cannot_be_read_stands_in_the_index_with_no_bytes(tmp_path):
    """Whoever reads the pixels names it, together with every other bad image."""
    names = [f"SOB_M_DC-14-2523-400-{i:03d}.png" for i in range(5)]
    put(tmp_path, names[:1])
    put(tmp_path, names[1:2], b"")
    (tmp_path / names[2]).symlink_to("missing.png")
    (tmp_path / names[3]).symlink_to(names[3])
    os.mkfifo(tmp_path / names[4])
    index = breakhis.index(tmp_path)
    assert dict(zip(index["image"], index["bytes"], strict=True)) == dict(
        zip(names, [8, 0, 0, 0, 0], strict=True)
    )
    assert not index["synthetic"].any()


def test_names_that_nearly_parse(tmp_path):
    near = [
        "SOB_M_A-14-22549AB-40-001.png",  # adenosis is benign
        "SOB_B_A-14-22549AB-50-001.png",
        "SOB_B_XX-14-22549AB-40-001.png",
        "SOB_B_A_14-22549AB-40-001.png",
        "SOB_B_A-14-22549AB-40-001_thumb.jpg",
        "SOB_B_A-14-22549AB-40-.png",
        "SOB_B_A-14-22549AB-40-001 (1).png",
    ]
    put(tmp_path, [ONE, *near])
    text = r"7 file names nearly follow the scheme of BreakHis.* and 2 more"
    with pytest.warns(UserWarning, match=text) as seen:
        assert len(breakhis.index(tmp_path)) == 1
    assert sum(name in str(seen[0].message) for name in near) == 5
    with pytest.raises(InputError, match=text):
        breakhis.index(tmp_path, strict=True)


def test_same_name_twice(tmp_path):
    put(tmp_path / "a", [ONE, TWO])
    put(tmp_path / "b", [ONE])
    with pytest.warns(UserWarning, match=rf"1 file is a copy.*b/{ONE}"):
        assert list(breakhis.index(tmp_path)["image"]) == [f"a/{ONE}", f"a/{TWO}"]
    for content in (b"other", b"87654321"):  # another size; the same size
        put(tmp_path / "b", [ONE], content)
        with pytest.raises(InputError, match=f"different content: a/{ONE} and b/{ONE}; give"):
            breakhis.index(tmp_path)


def test_nothing_found_says_what_was_found(tmp_path):
    put(tmp_path / "cats", ["a.jpg", "b.jpg", "notes"])
    with pytest.raises(
        InputError, match=r"Found instead: 3 files \(2 \.jpg, 1 no suffix\): a\.jpg"
    ):
        breakhis.index(tmp_path / "cats")
    (tmp_path / "hollow/benign").mkdir(parents=True)
    with pytest.raises(InputError, match="only empty folders: benign"):
        breakhis.index(tmp_path / "hollow")
    with pytest.raises(InputError, match="It is empty"):
        breakhis.index(tmp_path / "hollow/benign")


@pytest.mark.parametrize("card", [breakhis, bci, bach])
def test_no_data_folder_says_how_to_get_one(card, tmp_path, monkeypatch):
    monkeypatch.delenv("HISTOPAPERS_DATA", raising=False)
    with pytest.raises(InputError) as caught:
        card.index(None)
    for part in (card.TITLE, card.HOME, card.LAYOUT, "--data-dir", "$HISTOPAPERS_DATA", "--demo"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"absent \(--data-dir\): no such folder"):
        card.index(tmp_path / "absent")
    monkeypatch.setenv("HISTOPAPERS_DATA", str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"absent \(\$HISTOPAPERS_DATA\): no such folder"):
        card.index(None)
    (tmp_path / "file.zip").write_bytes(b"x")
    with pytest.raises(InputError, match="not a folder; unpack"):
        card.index(tmp_path / "file.zip")


def test_data_folder_from_the_environment(tmp_path, monkeypatch):
    put(tmp_path, [ONE])
    monkeypatch.setenv("HISTOPAPERS_DATA", str(tmp_path))
    assert len(breakhis.index(None)) == 1


def test_wrong_choices(tmp_path):
    put(tmp_path, [TWO])
    with pytest.raises(InputError, match="unknown magnification 50X"):
        breakhis.index(tmp_path, magnifications=("50X",))
    with pytest.raises(InputError, match="no BreakHis image at 40X, 100X; the folder holds 400X"):
        breakhis.index(tmp_path, magnifications=("100X", "40X"))
    with pytest.raises(InputError, match="2 or 8 classes"):
        breakhis.index(tmp_path, classes=3)
    with pytest.raises(
        InputError, match=r"unknown data set 'cifar'; there are breakhis, bci, bach"
    ):
        datasets.get("cifar")
    assert datasets.get("bach") is bach


def test_missing_classes_do_not_break(tmp_path):
    put(tmp_path, [TWO, ONE])
    index = breakhis.index(tmp_path, classes=8)
    assert datasets.missing_classes(index, breakhis.CLASSES[8]) == (
        "F", "PT", "TA", "LC", "MC", "PC",
    )  # fmt: skip
    assert datasets.missing_classes(index.assign(label="benign"), ("benign",)) == ()


def test_index_hash(tmp_path):
    put(tmp_path, [ONE, TWO])
    index = breakhis.index(tmp_path)
    by_hand = f"{ONE}\t8\tbenign\t22549\t0\n{TWO}\t8\tmalignant\t2523\t0"
    assert datasets.index_hash(index) == hashlib.sha256(by_hand.encode()).hexdigest()
    assert datasets.index_hash(index[::-1]) == datasets.index_hash(index)
    for column, value in (("bytes", 9), ("label", "x"), ("case", "1"), ("synthetic", True)):
        assert datasets.index_hash(index.assign(**{column: value})) != datasets.index_hash(index)
    moved = index.assign(slide="", folder="", magnification="")
    assert datasets.index_hash(moved) == datasets.index_hash(index)


# --- synthetic ---------------------------------------------------------------------------------


def test_synthetic_marker(tmp_path):
    put(tmp_path / "made/deep", [ONE])
    put(tmp_path / "real", [TWO])
    (tmp_path / "made" / datasets.SYNTHETIC_MARKER).write_text("made up")
    assert datasets.is_synthetic(tmp_path / "made")
    assert datasets.is_synthetic(tmp_path / "made/deep")
    assert not datasets.is_synthetic(tmp_path / "real")
    assert breakhis.index(tmp_path / "made/deep")["synthetic"].all()
    # In a folder of both, each image is known for what it is.
    mixed = breakhis.index(tmp_path)
    assert dict(zip(mixed["image"], mixed["synthetic"], strict=True)) == {
        f"made/deep/{ONE}": True,
        f"real/{TWO}": False,
    }


def test_synthetic_images_are_recognised_without_the_marker(tmp_path):
    from common.datasets import synthetic

    synthetic.breakhis(
        tmp_path / "made", patients=3, images_per_patient=1, magnifications=("40X",), size=(64, 96)
    )
    synthetic.bach(tmp_path / "made too", per_class=1, size=(64, 64))
    for made, suffix, card in (("made", "png", breakhis), ("made too", "tif", bach)):
        copy = tmp_path / f"copy {suffix}"
        copy.mkdir()
        for file in sorted((tmp_path / made).rglob(f"*.{suffix}"))[:3]:
            shutil.copyfile(file, copy / file.name)
        assert not (copy / datasets.SYNTHETIC_MARKER).exists()
        assert datasets.is_synthetic(copy)
        index = card.index(copy)
        assert len(index) == 3
        assert index["synthetic"].all()


# --- BCI ---------------------------------------------------------------------------------------


def bci_tree(root: Path, names: list[str], stains=("HE", "IHC")) -> Path:
    return put(root, [f"{s}/{n.split('_')[1]}/{n}" for s in stains for n in names])


BCI_NAMES = [
    "00000_train_0.png",
    "00001_train_1+.png",
    "00002_train_2+.png",
    "00003_train_3+.png",
    "00000_test_2+.png",
    "00001_test_0.png",
]


def test_bci_counts_of_the_whole_set(tmp_path):
    names = [
        f"{i:05d}_{part}_{score}.png"
        for part in ("train", "test")
        for i, score in enumerate(
            score for score in bci.SCORES for _ in range(bci.EXPECTED_COUNTS[part, score])
        )
    ]
    bci_tree(tmp_path, names, stains=("HE",))
    index = bci.index(tmp_path)
    assert len(index) == bci.EXPECTED_IMAGES == 4873
    assert datasets.counts(index, ["official", "label"]) == bci.EXPECTED_COUNTS
    assert datasets.counts(index, "official") == {"test": 977, "train": 3896}
    assert datasets.counts(index, "label") == {"0": 240, "1+": 1153, "2+": 2142, "3+": 1338}
    assert datasets.counts(bci.index(tmp_path, classes=3), "label") == {
        "borderline": 2142,
        "negative": 1393,
        "positive": 1338,
    }


def test_bci_index_and_pairs(tmp_path):
    bci_tree(tmp_path / "BCI_dataset", BCI_NAMES)
    index = bci.index(tmp_path, stain="ihc", classes=3)
    assert list(index["image"].str.startswith("BCI_dataset/IHC/")) == [True] * 6
    assert list(index["label"]) == [
        "borderline", "negative", "negative", "negative", "borderline", "positive",
    ]  # fmt: skip
    assert list(index["type"]) == ["2+", "0", "0", "1+", "2+", "3+"]
    assert list(index["official"]) == ["test"] * 2 + ["train"] * 4
    assert set(index[["case", "slide", "folder", "magnification"]].to_numpy().ravel()) == {""}
    pairs = bci.pairs(tmp_path)
    assert len(pairs) == 6
    assert pairs.iloc[0].to_dict() == {
        "number": "00000",
        "part": "test",
        "he": "BCI_dataset/HE/test/00000_test_2+.png",
        "ihc": "BCI_dataset/IHC/test/00000_test_2+.png",
        "score": "2+",
    }


def test_bci_stain_is_read_off_the_folder(tmp_path):
    put(tmp_path / "HE" / "train", BCI_NAMES[:4])
    assert len(bci.index(tmp_path / "HE", "he")) == 4
    assert len(bci.index(tmp_path / "HE/train", "he")) == 4
    with pytest.raises(InputError, match="no IHC image of BCI; the folder holds 4 of the other"):
        bci.index(tmp_path, "ihc")
    put(tmp_path / "somewhere", BCI_NAMES)
    with pytest.raises(InputError, match="6 BCI images lie in no folder named HE or IHC"):
        bci.index(tmp_path / "somewhere")
    with pytest.raises(InputError, match="unknown stain 'pas'"):
        bci.index(tmp_path, "pas")


def test_bci_unpaired(tmp_path):
    bci_tree(tmp_path, BCI_NAMES)
    (tmp_path / "IHC/train/00003_train_3+.png").unlink()
    assert len(bci.index(tmp_path, "he")) == 6  # one stain alone is enough to train on it
    with pytest.raises(InputError, match=r"1 image has no partner.*HE/train/00003_train_3\+"):
        bci.pairs(tmp_path)
    with pytest.raises(InputError, match="no image of BCI"):
        bci.pairs(put(tmp_path / "no", ["readme.txt"]))


def test_bci_scores_that_disagree(tmp_path):
    bci_tree(tmp_path, BCI_NAMES)
    (tmp_path / "IHC/train/00003_train_3+.png").rename(tmp_path / "IHC/train/00003_train_2+.png")
    text = r"two different HER2 scores: HE/train/00003_train_3\+\.png and IHC/train/00003_train_2\+"
    for function in (bci.pairs, bci.index):
        with pytest.raises(InputError, match=text):
            function(tmp_path)


# --- BACH --------------------------------------------------------------------------------------


def test_bach_counts_of_the_whole_set(tmp_path):
    names = [
        f"Photos/{label}/{prefix}{i:03d}.{'TIF' if i == 7 else 'tif'}"
        for prefix, label in bach.PREFIXES.items()
        for i in range(1, 101)
    ]
    put(tmp_path, [*names, "Photos/test0.tif", "WSI/A01.svs"])
    index = bach.index(tmp_path)
    assert len(index) == bach.EXPECTED_IMAGES == 400
    assert datasets.counts(index, ["label"]) == bach.EXPECTED_COUNTS
    assert (index["image"].str.split("/").str[1] == index["label"]).all()
    assert set(index["case"]) == {""}
    put(tmp_path, ["n1.tif", "b02.png"])
    with pytest.warns(UserWarning, match="2 file names nearly follow the scheme of BACH"):
        assert len(bach.index(tmp_path)) == 400


@pytest.fixture
def four(tmp_path):
    """An index of four BACH images."""
    put(tmp_path / "data", [f"Photos/{name}" for name in (
        "Benign/b001.tif", "Benign/b002.tif", "InSitu/is001.tif", "Normal/n001.tif",
    )])  # fmt: skip
    return bach.index(tmp_path / "data")


def test_bach_patients_of_a_list(four, tmp_path, capsys):
    assert (four.case == "").all()
    path = tmp_path / "list.csv"
    path.write_text(
        "\ufeffpatient, image ,note\n07,b001,x\n\n7,Photos\\Benign\\B002.TIF,\n07,iv099.tif,\n"
        "07,b001.tif,again\n",
        encoding="utf-8",
    )
    index = bach.with_patients(four, path)
    cases = dict(zip(index.image.str.rpartition("/")[2], index.case, strict=True))
    # As it stands there: 7 and 07 are two patients.
    assert cases == {"b001.tif": "07", "b002.tif": "7", "is001.tif": "", "n001.tif": ""}
    assert index.drop(columns="case").equals(four.drop(columns="case"))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{path}: the patients of 2 of 4 images, 2 in all"
    assert said[1] == f"{path}: 1 images of the list are not in the data: iv099"
    assert said[2].endswith("1 lines name an image again, with the same patient: b001.tif (line 6)")
    assert "2 images are not in the list, their patients stay unknown: " in said[3]
    assert said[3].endswith("is001.tif, Photos/Normal/n001.tif") and len(said) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a list of patients has the columns image and patient"),
        ("image,case\nb001,1\n", "line 1: the column 'case' is not read; rename it to patient"),
        ("image,patient,image\nb001,1,\n", "line 1: the column image stands there twice"),
        ("image,patient\nb001,1\nb002\n", "line 3: 1 values under 2 columns"),
        ("image,patient\nb001, \n", "line 2: no patient"),
        ("image,patient\n,3\n", "line 2: no image"),
        ("image,patient\nb001,1\nn001,2\nb001.tif,2\n",
         "line 4: b001.tif is of patient 2 here and of 1 in line 2"),
        ("image,patient\nx1,1\nx2,1\n", r"names no image of these data \(of the list: x1, x2\)"),
        ('image,patient\n"b001,1\n', "line 2: no CSV table"),
        ("image,patient\nb\xe9,1\n", "names no image of these data"),
    ],
)  # fmt: skip
def test_a_list_of_patients_that_is_none(four, tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=rf"list\.csv(, |: ){message}"):
        bach.with_patients(four, path)


def test_no_list_of_patients(four, tmp_path):
    with pytest.raises(InputError, match="no such list of patients"):
        bach.with_patients(four, tmp_path / "none.csv")


# --- cards -------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", [breakhis, bci, bach])
def test_cards_answer_alike(card):
    """What `Card` asks for is there; what its facts say agrees."""
    for name in datasets.Card.__annotations__:
        assert hasattr(card, name), name
    assert datasets.get(card.NAME) is card
    assert set(card.CLASSES) == set(card.POSITIVE)
    assert all(card.POSITIVE[n] in (None, *names) for n, names in card.CLASSES.items())
    assert all(len(names) == n for n, names in card.CLASSES.items())
    assert sum(card.EXPECTED_COUNTS.values()) == card.EXPECTED_IMAGES == card.expected_images()
    for options in card.SERIES.values():
        assert set(options) <= set(card.SELECTED_BY)
        assert card.expected_images(**options) == card.EXPECTED_IMAGES
    assert (card.URL is None) == (card.ARCHIVE is None)
    assert bool(card.NO_PATIENTS) == ("case" not in card.EXPECTED_GROUPS)
    assert ("C" in card.LICENCE and "NC" not in card.LICENCE) == (not card.NON_COMMERCIAL)


def test_expected_images_of_what_a_config_selects():
    from types import SimpleNamespace

    config = SimpleNamespace(magnifications=("40X", "100X"), stain="ihc", classes=2)
    for card, expected in ((breakhis, 1995 + 2081), (bci, 4873), (bach, 400)):
        assert card.expected_images(**datasets.selection(card, config)) == expected
    assert datasets.selection(breakhis, SimpleNamespace()) == {}
    with pytest.raises(InputError, match="unknown stain 'pas'"):
        bci.expected_images("pas")
    with pytest.raises(InputError, match="unknown magnification 50X"):
        breakhis.expected_images(("50X",))


def test_split_by_patient_needs_patients():
    assert not breakhis.NO_PATIENTS
    assert str(datasets.no_patients(bci)).startswith(
        "--split patient: BCI's file names carry no slide or patient, so no patient-wise split"
    )
    text = str(datasets.no_patients(bach, ("counts", "image")))
    assert "BACH's file names carry no patient" in text
    assert text.endswith(" --split counts, image.")


# --- where the data lie ------------------------------------------------------------------------


def test_data_folder_is_absolute_whatever_is_given(tmp_path, monkeypatch):
    (tmp_path / "home" / "data").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATA", "data")
    monkeypatch.delenv("HISTOPAPERS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    wanted = tmp_path / "home" / "data"
    for given in ("home/data", Path("home/data"), "~/data", "$HOME/data", "~/${DATA}", wanted):
        assert datasets.data_folder(bci, given) == wanted
        monkeypatch.setenv("HISTOPAPERS_DATA", str(given))
        assert datasets.data_folder(bci, None) == datasets.data_folder(bci, "") == wanted
        monkeypatch.delenv("HISTOPAPERS_DATA")
    monkeypatch.setenv("HISTOPAPERS_DATA", "elsewhere")
    assert datasets.data_folder(bci, wanted) == wanted  # the flag comes first
    with pytest.raises(InputError, match=rf"{tmp_path}/elsewhere \(\$HISTOPAPERS_DATA\): no such"):
        datasets.data_folder(bci, None)
    with pytest.raises(InputError, match=rf"{tmp_path}/no/\$SUCH \(--data-dir\): no such folder"):
        datasets.data_folder(bci, "no/$SUCH")
    with pytest.raises(InputError, match="no such user"):
        datasets.data_folder(bci, "~nobody-of-that-name/data")


def test_data_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HISTOPAPERS_DATA", raising=False)
    assert datasets.data_folder(bci, "new/one", new=True) == tmp_path / "new/one"
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match=r"where shall BCI go\? Give a folder with --data-dir or"):
        datasets.data_folder(bci, None, new=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file \(--data-dir\): not a folder$"):
        datasets.data_folder(bci, "file", new=True)


# --- command -----------------------------------------------------------------------------------


def test_class_order_and_positive_class():
    assert breakhis.CLASSES[8] == ("A", "F", "PT", "TA", "DC", "LC", "MC", "PC")
    assert breakhis.CLASSES[2] == ("benign", "malignant")
    assert breakhis.POSITIVE == {2: "malignant", 8: None}
    assert bci.CLASSES == {3: ("negative", "borderline", "positive"), 4: ("0", "1+", "2+", "3+")}
    assert bach.CLASSES == {4: ("Normal", "Benign", "InSitu", "Invasive")}


def test_info(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HISTOPAPERS_DATA", raising=False)
    for card in (breakhis, bci, bach):
        assert command.main(["info", card.NAME]) == 0
        text = capsys.readouterr().out
        for part in (
            card.LICENCE,
            "not commercial" if card.NON_COMMERCIAL else "also commercial",
            card.CITATION,
            card.HOME,
            card.LAYOUT,
            str(card.EXPECTED_IMAGES),
        ):
            assert part in text
    put(tmp_path, [ONE, TWO])
    assert command.main(["info", "breakhis", "--data-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"A\s+40X\s+1\s+114\s+-113", text)


def small_bach(monkeypatch, root: Path) -> None:
    """Two images per class are the whole data set; written as TIFF."""
    monkeypatch.setattr(bach, "EXPECTED_COUNTS", dict.fromkeys(bach.CLASSES[4], 2))
    monkeypatch.setattr(bach, "EXPECTED_IMAGES", 8)
    for k, (prefix, label) in enumerate(bach.PREFIXES.items()):
        for i in (1, 2):
            png(root / f"Photos/{label}/{prefix}{i:03d}.tif", 20 * k + 3 * i)


def test_verify(tmp_path, capsys, monkeypatch):
    small_bach(monkeypatch, tmp_path)
    verify = ["verify", "bach", "--data-dir", str(tmp_path)]
    assert command.main(verify) == 0
    assert "the data set is whole" in capsys.readouterr().out

    shutil.copyfile(tmp_path / "Photos/Normal/n001.tif", tmp_path / "Photos/Normal/n002.tif")
    assert command.main(verify) == 0
    text = capsys.readouterr().out
    assert "1 sets of images with the same pixels\n    n001.tif, n002.tif" in text

    png(tmp_path / "Photos/Benign/b003.tif", 99)
    (tmp_path / "Photos/InSitu/is001.tif").unlink()
    assert command.main(verify) == 1
    text = capsys.readouterr().out
    assert "Benign: 1 extra (3 of 2)" in text
    assert "InSitu: 1 missing (1 of 2)" in text
    assert "NOT whole" in text


def test_verify_reads_each_file_once(tmp_path, capsys, monkeypatch):
    from common.images import reading

    small_bach(monkeypatch, tmp_path)
    damaged = tmp_path / "Photos/Benign/b002.tif"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    shutil.copyfile(tmp_path / "Photos/Normal/n001.tif", tmp_path / "Photos/Normal/n002.tif")
    read: list[str] = []
    load = reading.load
    monkeypatch.setattr(reading, "load", lambda path: read.append(str(path)) or load(path))
    assert command.main(["verify", "bach", "--data-dir", str(tmp_path)]) == 1
    assert sorted(read) == sorted(map(str, tmp_path.rglob("*.tif")))
    text = capsys.readouterr().out
    assert "b002.tif: is cut short" in text
    # Damage in one hides no copies among the others.
    assert "1 sets of images with the same pixels\n    n001.tif, n002.tif" in text


def test_verify_of_bci_looks_at_the_pairs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bci, "EXPECTED_COUNTS", {("train", "2+"): 1})
    monkeypatch.setattr(bci, "EXPECTED_IMAGES", 1)
    for k, name in enumerate(("HE/00000_train_2+.png", "IHC/00000_train_2+.png")):
        png(tmp_path / name, 90 * k)
    assert command.main(["verify", "bci", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("BCI HE: 1 images")
    (tmp_path / "IHC/00000_train_2+.png").rename(tmp_path / "IHC/00001_train_2+.png")
    assert command.main(["verify", "bci", "--data-dir", str(tmp_path)]) == 1
    assert "pairs of H&E and IHC: " in (text := capsys.readouterr().out)
    assert "2 images have no partner" in text


def test_verify_finds_damage_and_wrong_labels(tmp_path, capsys, monkeypatch):
    small_bach(monkeypatch, tmp_path)
    csv = tmp_path / "Photos/microscopy_ground_truth.csv"
    csv.write_text("n001.tif,Normal\nis001.tif,In Situ\nb001.tif,Invasive\nb002.tif,\x1b[2J\n")
    verify = ["verify", "bach", "--data-dir", str(tmp_path)]
    assert command.main(verify) == 1
    text = capsys.readouterr().out
    assert "b001.tif: Benign by its name, Invasive in" in text
    assert r"b002.tif: Benign by its name, \x1b[2J in" in text
    csv.unlink()
    file = tmp_path / "Photos/Benign/b002.tif"
    cv2.imwrite(str(file), np.zeros((8, 8, 3), np.uint16))
    assert command.main(verify) == 1
    assert "b002.tif" in capsys.readouterr().out


def test_command_line(tmp_path):
    """As users run it: user mistakes end with one line on stderr and exit code 2."""
    environment = {k: v for k, v in os.environ.items() if k != "HISTOPAPERS_DATA"}
    result = subprocess.run(
        [sys.executable, "-m", "common.datasets", "verify", "bci"],
        cwd=Path(__file__).parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: no data folder is given for BCI.")


def test_write_synthetic_and_verify_refuses_it(tmp_path, capsys):
    root = str(tmp_path / "made")
    write = ["synthetic", "bach", "--data-dir", root]
    assert command.main([*write, "--size", "64"]) == 0
    assert "SYNTHETIC images" in capsys.readouterr().out
    assert command.main(["verify", "bach", "--data-dir", root]) == 1
    text = capsys.readouterr().out
    assert "this is not the data set" in text
    assert "NOT whole" in text
    with pytest.raises(InputError, match="takes one number, or a height and a width"):
        command.main([*write, "--size", "64", "64", "3"])
    with pytest.raises(InputError, match="BCI images are square"):
        command.main(["synthetic", "bci", "--data-dir", root, "--size", "64", "96"])


# --- real images -------------------------------------------------------------------------------


@pytest.mark.data
def test_real_breakhis(real_data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index = breakhis.index(real_data / "data" / "breakhis_100x", classes=8)
    assert len(index) == 213
    assert datasets.counts(index, ["type", "magnification"]) == {
        ("A", "100X"): 57,
        ("DC", "100X"): 30,
        ("F", "100X"): 31,
        ("LC", "100X"): 10,
        ("MC", "100X"): 28,
        ("PC", "100X"): 46,
        ("PT", "100X"): 11,
    }
    assert index["case"].nunique() == 12
    assert (index["image"].str.split("/").str[-3] == index["folder"]).all()
    assert not index["synthetic"].any()
    assert datasets.missing_classes(index, breakhis.CLASSES[8]) == ("TA",)
