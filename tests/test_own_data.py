"""One's own images: lists and folders as people write them, and what becomes of them in a run."""

import importlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common import (
    acquaintance,
    classification,
    datasets,
    evaluation,
    export,
    external,
    material,
    predictions,
    report,
    splits,
    tables,
)  # fmt: skip
from common import config as configuration
from common.datasets import bci, breakhis, own, synthetic
from common.datasets.synthetic import plans
from common.errors import InputError
from common.external import adapting
from common.files import read_json
from common.papers import PAPERS
from common.runs import contents
from common.tables.paper import _sort_in as sort_in

HEAD = "image,label,patient\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eighteen images in three folders, named alike in each; one with an upper-case ending."""
    root = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(0)
    for label in ("b", "a", "ü"):
        for i in range(6):
            image = random.integers(0, 255, (24, 24, 3), np.uint8)
            file = root / "data" / label / f"{i}.{'PNG' if i == 5 else 'png'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return root


def write(folder, text, name="list.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def lines(labels="ab", patients=True, separator=","):
    rows = [f"data/{label}/{i}.png{separator}{label}{separator}{label}{i // 2}"
            for label in labels for i in range(5)]  # fmt: skip
    return "".join(f"{row}\n" for row in rows)


# --- reading -----------------------------------------------------------------------------------


def test_a_folder_per_class(folder, capsys):
    images = own.read(folder / "data")
    assert len(images.table) == 18 and images.root == folder / "data"
    assert list(images.table.columns) == list(datasets.COLUMNS)
    card = own.card(images)
    assert card.classes == ("a", "b", "ü") and card.POSITIVE == {3: None}
    assert own.card(images, order=["ü", "b", "a"]).classes == ("ü", "b", "a")
    assert datasets.counts(images.table, "label") == {"a": 6, "b": 6, "ü": 6}
    other = own.card(images, order=["ü", "b", "a"])  # another network: its outputs stand otherwise
    assert other.identity(images.table) != card.identity(images.table)
    assert (images.table.case == "").all() and not images.table.synthetic.any()


def test_folders_that_are_parts_are_parts(folder, tmp_path):
    for part in ("Train", "val", "test"):
        shutil.copytree(folder / "data", tmp_path / part)
    images = own.read(tmp_path)
    assert images.columns == ("image", "label", "part")
    assert datasets.counts(images.table, ["official", "label"])["validation", "ü"] == 6
    assert own.card(images).classes == ("a", "b", "ü")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (HEAD + lines(), "utf-8"),
        (HEAD + lines(), "utf-8-sig"),
        ("sep=;\r\n" + (HEAD + lines()).replace(",", ";").replace("\n", "\r\n"), "utf-8"),
        ((HEAD + lines()).replace(",", "\t"), "utf-8"),
        ("Image , LABEL,patient,,\n" + lines().replace("\n", ",,\n") + ",,,,\n\n,,,,\n", "utf-8"),
        ('"image","label","patient"\n' + "".join(
            f'" {row.split(",")[0]}","{row.split(",")[1]} ","{row.split(",")[2]}"\n'
            for row in lines().splitlines()), "utf-8"),
        (HEAD + lines().replace("/", "\\"), "utf-8"),
        (HEAD + lines().replace("data/", "./data/../data/"), "utf-8"),
    ],
)  # fmt: skip
def test_lists_as_people_save_them_are_one_table(folder, text, encoding):
    plain = own.read(write(folder, HEAD + lines(), "plain.csv")).table
    assert len(plain) == 10 and plain.case.nunique() == 6
    found = own.read(write(folder, text, "other.csv", encoding))
    pd.testing.assert_frame_equal(found.table, plain)


def test_what_excel_does_to_numbers_and_letters(folder, capsys):
    text = "image;label;patient\n" + "".join(
        f"data/{name}/{i}.png;{n}.0;{'' if i == 4 else f'{i}.0'}\n"
        for n, name in enumerate("ab") for i in range(5)
    )  # fmt: skip
    images = own.read(write(folder, text))
    assert set(images.table.label) == {"0", "1"}
    assert set(images.table.case) == {"0", "1", "2", "3", ""}
    card = own.card(images)
    assert card.classes == ("0", "1") and card.POSITIVE == {2: "1"}
    # A grade of 1.5 among them: then they are no whole numbers, and stay as they stand there.
    assert "1.0" in set(own.read(write(folder, text.replace("0.0;", "1.5;"))).table.label)
    latin = "image,label\ndata/ü/0.png,gutartig\ndata/ü/1.png,bösartig\n"
    found = own.read(write(folder, latin, encoding="latin-1"))
    assert list(found.table.label) == ["gutartig", "bösartig"]
    assert "read as Windows-1252" in capsys.readouterr().err


def test_paths_may_be_absolute_or_above_the_list(folder, tmp_path):
    rows = [f"{folder}/data/{label}/{i}.png,{label}\n" for label in "ab" for i in range(3)]
    images = own.read(write(tmp_path, "image,label\n" + "".join(rows)))
    assert images.root == folder / "data" and images.table.image[0] == "a/0.png"
    given = own.read(write(tmp_path, "image,label\na/0.png,x\nb/0.png,y\n"),
                     data_dir=folder / "data")  # fmt: skip
    assert given.root == folder / "data"
    # Where they lie is no part of what they are.
    assert own.card(images).identity(images.table) == own.card(
        own.read(write(folder / "data", "image,label\n" + "".join(
            f"{label}/{i}.png,{label}\n" for label in "ab" for i in range(3))))
    ).identity(images.table)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a list of images has the columns image and label"),
        (HEAD, "names no image, there is nothing below its first line"),
        ("file,label\nx,a\n", "line 1: no column image .found: file, label.; rename 'file' to"),
        ("image,class\nx,a\n", "line 1: the column 'class' is not read; rename it to label"),
        ("image,label,Patient ID\nx,a,1\n", "line 1: the column 'patient id' is not read; rename"),
        ("image,label,split\nx,a,1\n", "line 1: the column 'split' is not read; rename it to part"),
        ("image,patient\ndata/a/0.png,1\n", "line 1: no column label"),
        ("image,label\ndata/a/0.png,\n", "line 2: no label, nor in any other line"),
        ("image,label\ndata/a/0.png,a\ndata/a/1.png,\n", "line 3: data/a/1.png has no label"),
        ("image,label\n,a\n", "line 2: no image"),
        ("image,label\ndata/a/9.png,a\n", "line 2: data/a/9.png leads nowhere; paths count from"),
        ("image,label\nx.png,a\ny.png,a\ndata/a/0.png,a\n",
         "2 of 3 images cannot be used: line 2: x.png leads nowhere, line 3: y.png leads nowhere"),
        ("image,label\ndata/a/0.PNG,a\n", "line 2: data/a/0.PNG leads nowhere .there is 0.png"),
        (f"image,label\n{'x' * 300}.png,a\n", "line 2: x+.png leads nowhere"),
        ("image,label\ndata/a,a\n", "line 2: data/a is a folder"),
        ("image,label\nlist.csv,a\n", "line 2: list.csv ends like none of PNG"),
        ("image,label\ndata/a/0.png,a\ndata/a/0.png,b\n",
         "line 3: data/a/0.png has the label 'b' here and 'a' in line 2"),
        (HEAD + "data/a/0.png,a,1\n./data/a/0.png,a,2\n", "line 3: .* the patient '2' here and"),
        ("image,label\ndata/a/0.png,Tumor\ndata/b/0.png,tumor\n",
         "line 3: class 'tumor', and 'Tumor' in line 2; write it in one way"),
        ("image,label\ndata/a/0.png,a,b\n", "line 2: 3 values under 2 columns"),
        ("image,label,\ndata/a/0.png,a,b\n", "line 2: 'b' stands under no column"),
        ('image,label\n"data/a/0.png,a\n', "line 2: no CSV table"),
        ("image,label,part\ndata/a/0.png,a,fold1\n", "line 2: part 'fold1'; parts are train"),
        ("image,label,magnification\ndata/a/0.png,a,big\n", "line 2: magnification 'big'"),
        ("image,label\ndata/a/0.png,a\x1b[2J\n", "line 2: the label .* do not print"),
    ],
)  # fmt: skip
def test_a_list_that_is_none_is_one_line(folder, text, message):
    path = write(folder, text)
    with pytest.raises(InputError, match=rf"list\.csv(, |: ){message}") as error:
        own.read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("data/a/0.png,a\ndata/a/1.png,a\n", {}, "2 images, of one class alone, a;"),
        ("data/a/0.png,a\ndata/a/1.png,a\ndata/b/1.png,b\n", {},
         "line 4: the only image of class b; a class needs at least 2"),
        (None, {"order": ["a"]}, "--classes-order a: .* has the classes a, b; name each"),
        (None, {"positive": "c"}, "--positive c: is none of the classes a, b"),
    ],
)  # fmt: skip
def test_classes_that_cannot_be_trained_on(folder, text, options, message):
    rows = text or "".join(f"data/{c}/{i}.png,{c}\n" for c in "ab" for i in range(2))
    images = own.read(write(folder, f"image,label\n{rows}"))
    with pytest.raises(InputError, match=message):
        own.card(images, **options)


def test_folders_that_are_none(folder, tmp_path):
    with pytest.raises(InputError, match=r"no such list or folder"):
        own.read(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no image in this folder"):
        own.read(tmp_path)
    with pytest.raises(InputError, match=r": 6 images lie in no folder of a class"):
        own.read(folder / "data" / "a")
    with pytest.raises(InputError, match=r"is one image"):
        own.read(folder / "data" / "a" / "0.png")
    shutil.copytree(folder / "data" / "a", tmp_path / "A")
    shutil.copytree(folder / "data" / "a", tmp_path / "b")
    shutil.copy(folder / "data" / "a" / "0.png", tmp_path)
    with pytest.raises(InputError, match=r"1 image lies beside the folders of the classes: 0.png"):
        own.read(tmp_path)
    (tmp_path / "0.png").unlink()
    shutil.copytree(folder / "data" / "a", tmp_path / "a")
    with pytest.raises(InputError, match=r"differ in small and capital letters alone"):
        own.read(tmp_path)


# --- patients, parts, requests ------------------------------------------------------------------


def ask(paper, folder, text, **settings):
    config = importlib.import_module(f"{paper}.config")
    request = configuration.request(
        config.Config, config.PRESETS, package=paper, images=write(folder, text), **settings
    )
    return material.gather(request, breakhis, lambda *_: pytest.fail("no data set is wanted"))


def test_known_patients_are_kept_apart_unless_images_are_asked_for(folder, capsys):
    found = ask("breakhis", folder, HEAD + lines())
    config = found.request.config
    assert (config.split, config.group, config.classes, config.stratify) == (
        "patient", "case", 2, True,
    )  # fmt: skip
    assert found.request.preset == "own" and found.leaks(lambda _: []) == []
    assert "10 images, 5 a, 5 b; 6 patients" in capsys.readouterr().err
    asked = ask("breakhis", folder, HEAD + lines(), split="image")
    assert asked.request.config.split == "image"
    assert asked.leaks(lambda _: []) == [
        "image-wise split: a patient's images may lie in training and test alike"
    ]
    unknown = ask("her2scoring", folder, "image,label\n" + "".join(
        f"{row.rpartition(',')[0]}\n" for row in lines().splitlines()))  # fmt: skip
    assert unknown.request.config.split == "image"  # and not BCI's official parts
    assert unknown.leaks(lambda _: [])[0].startswith("patients unknown")
    with pytest.raises(InputError, match=r"--split patient: .* names no patients"):
        ask("breakhis", folder, "image,label\ndata/a/0.png,a\ndata/a/1.png,a\ndata/b/0.png,b\n"
            "data/b/1.png,b\n", split="patient")  # fmt: skip
    with pytest.raises(InputError, match=r"--split official: is a fact of the paper's data set"):
        ask("breakhis", folder, HEAD + lines(), split="official")
    with pytest.raises(InputError, match=r"--classes 8: .* has 2 classes"):
        ask("breakhis", folder, HEAD + lines(), classes=8)


def test_unknown_patients_stay_together_and_unknown(folder):
    text = HEAD + lines().replace(",a2\n", ",\n").replace(",b2\n", ",unknown\n")
    found = ask("breakhis", folder, text)
    assert (found.index.case == "").sum() == 2
    seen = []

    def make(index):
        seen.append(set(index.case))
        return index.assign(part="train")

    split = found.split(found.index, make)
    assert seen == [{"a0", "a1", "b0", "b1", splits.UNKNOWN}]
    assert list(split.case) == list(found.index.case)
    assert found.leaks(lambda _: []) == [
        "the patients of 2 of 10 images are unknown: some may lie in both training and test"
    ]


def parted(rows):
    return "image,label,patient,part\n" + "".join(
        f"{row},{'test' if i % 5 > 2 else 'train'}\n" for i, row in enumerate(rows.splitlines())
    )


def test_a_column_part_is_the_split(folder, tmp_path, capsys):
    found = ask("ernet", folder, parted(lines()))
    assert found.request.config.split == "file"
    split = found.split(found.index, lambda _: pytest.fail("not drawn"))
    assert datasets.counts(split, "part") == {"test": 4, "train": 6}
    # Images 2 and 3 of a class are of one patient, on both sides.
    assert "2 patients lie in more than one part: a1 (train and test)" in capsys.readouterr().err
    with pytest.raises(
        InputError, match=r"--split patient: .*2 patients lie in more than one part"
    ):
        again = ask("ernet", folder, parted(lines()), split="patient")
        again.split(again.index, lambda _: None)
    for kind in ("image", "partition"):
        with pytest.raises(InputError, match=rf"--split {kind}: .* says the parts .*; leave out"):
            ask("ernet", folder, parted(lines()), split=kind)
    assert ask("ernet", folder, parted(lines()), split="file").request.config.split == "file"
    other = split.assign(part=split.part.where(split.image != "data/a/0.png", "test"))
    other[["image", "part"]].to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(
        InputError, match=r"line 2: part train, and test in .*split.csv; two sources"
    ):
        again = ask("ernet", folder, parted(lines()), split_file=tmp_path / "split.csv")
        again.split(again.index, lambda _: None)


def test_a_file_of_parts_that_would_not_be_read_is_refused(folder, tmp_path):
    file = write(tmp_path, "image,part\n", "split.csv")
    assert ask("ernet", folder, HEAD + lines(), split_file=file).request.config.split == "file"
    with pytest.raises(InputError, match=r"--split-file .*: is for --split file, and .* is image"):
        ask("ernet", folder, HEAD + lines(), split="image", split_file=file)


def test_magnifications_are_those_of_the_list(folder):
    text = "image,label,magnification\n" + "".join(
        f"data/{c}/{i}.png,{c},{40 if i < 3 else '100x'}\n" for c in "ab" for i in range(5)
    )
    assert ask("wrn_edge", folder, text).request.config.magnification == "40X+100X"
    found = ask("wrn_edge", folder, text, magnification="40X")
    assert len(found.index) == 6 and found.request.config.magnification == "40X"
    with pytest.raises(InputError, match=r"--magnification 200X: no such image in .*40X, 100X"):
        ask("wrn_edge", folder, text, magnification="200X")
    with pytest.raises(InputError, match=r"does not say the magnification"):
        ask("wrn_edge", folder, HEAD + lines(), magnification="200X")


def test_a_list_of_patients_is_for_any_data_set(tmp_path):
    patches = synthetic.bci(tmp_path / "bci", slides=8, patches_per_slide=2, size=64)
    index = bci.index(patches)
    names = index.image.str.rpartition("/")[2]
    write(tmp_path, "image,patient\n" + "".join(
        f"{name},{i // 4}\n" for i, name in enumerate(names)))  # fmt: skip
    her2 = importlib.import_module("her2scoring.config")
    data = importlib.import_module("her2scoring.data")
    for settings in ({"images": tmp_path / "list.csv"}, {"patients": tmp_path / "list.csv"}):
        request = configuration.request(
            her2.Config, her2.PRESETS, package="her2scoring", data_dir=patches, split="patient",
            **settings,
        )  # fmt: skip
        found = material.gather(request, bci, data.load_index)
        assert not found.own and found.index.case.nunique() == len(index) // 4
        assert her2.leaks(request.config) == []
    slides = synthetic.breakhis(tmp_path / "b", patients=4, images_per_patient=1,
                                magnifications=("100X",), size=(46, 70))  # fmt: skip
    first = breakhis.index(slides).image[0]
    path = write(tmp_path, f"image,patient\n{first},other\n", "wrong.csv")
    with pytest.raises(InputError, match=r"line 2: .* is of patient other here and of .* by the "):
        datasets.patients.with_patients(breakhis.index(slides), path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image,klasse,patient\nx,a,1\n", r"no column label \(found: image, klasse, patient\);.*"
         "rename 'klasse' to label, if it is that; .* --patients"),
        ("image,label,patient\nx,,1\n", "line 2: no label, nor in any other line"),
        ("image,patient\nx,1\ny,\n", "line 3: no patient"),
    ],
)  # fmt: skip
def test_a_list_that_is_none_of_patients_is_refused_before_a_demo_is_drawn(tmp_path, text, told):
    wrn = importlib.import_module("wrn_edge.config")
    request = configuration.request(
        wrn.Config, wrn.PRESETS, package="wrn_edge", preset="demo", runs_dir=tmp_path / "runs",
        images=write(tmp_path, text),
    )  # fmt: skip
    with pytest.raises(InputError, match=told):
        material.gather(request, breakhis, lambda config, data_dir: breakhis.index(data_dir))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flag", "paper", "card", "text", "told"),
    [
        ("images", "wrn_edge", "breakhis", "a.png,1", "names no image of these .*: a"),
        ("patients", "wrn_edge", "breakhis", "SOB_B_A-14-90001AB-100-001,7",
         "line 2: .* is of patient 7 here and of 90001 by the data"),
        ("patients", "her2scoring", "bci", "90000_train_0,1\n90000_train_0,2",
         "line 3: .* patient 2 here and of 1 in line 2"),
        ("images", "her2scoring", "bci", "90000_train_9,1", "names no image"),
        ("images", "gan_fusion", "bach", "b001,1", "names no image"),
    ],
)  # fmt: skip
def test_a_list_that_does_not_fit_a_demo_is_refused_before_it_is_drawn(
    tmp_path, flag, paper, card, text, told
):
    module = importlib.import_module(f"{paper}.config")
    data_set = {"dataset": "bach"} if card == "bach" else {}
    request = configuration.request(
        module.Config, module.PRESETS, package=paper, preset="demo", runs_dir=tmp_path / "runs",
        **{flag: write(tmp_path, f"image,patient\n{text}\n")}, **data_set,
    )  # fmt: skip
    load = importlib.import_module(f"{paper}.data").load_index
    with pytest.raises(InputError, match=told):
        material.gather(request, lambda: datasets.get(card), load)
    assert not (tmp_path / "runs").exists()


def test_a_demo_is_known_before_it_is_drawn(tmp_path, monkeypatch):
    few = {"bach": {"per_class": 2, "size": (32, 32)},
           "bci": {"slides": 4, "patches_per_slide": 1, "size": 32},
           "breakhis": {"patients": 3, "images_per_patient": 2, "size": (32, 32)}}  # fmt: skip
    for name, numbers in few.items():
        monkeypatch.setitem(plans.DEMO_TISSUE, name, plans.DEMO_TISSUE[name] | numbers)
        load = datasets.get(name).index
        known = synthetic.demo_index(name, load)
        drawn = load(synthetic.demo(tmp_path, name))
        columns = ["image", "label", "case"]
        assert known[columns].equals(drawn[columns])


def test_a_copy_under_two_classes_is_refused(folder):
    images = own.read(folder / "data")
    digests = [str(i) for i in range(18)]
    own.require_one_label(images, images.table, digests)
    digests[-1] = "0"
    with pytest.raises(InputError, match=r"ü.*is ü, and a copy of a/0.png, which is a"):
        own.require_one_label(images, images.table, digests)


# --- runs --------------------------------------------------------------------------------------

TINY = {
    "her2scoring": {"network": "mobilenet_v2", "head_units": (8,)},
    "breakhis": {"network": "mobilenet_v2"},
    "ernet": {"network": "ernet18"},
    "gan_fusion": {"network": "mobilenet_v2"},
    "wrn_edge": {"stem": "patch", "depth": 10, "augmentation": "none"},
}


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """Three classes of synthetic tissue: a folder per class, and a list with patients."""
    root = tmp_path_factory.mktemp("tissue")
    slides = synthetic.breakhis(root / "slides", patients=24, images_per_patient=2,
                                magnifications=("100X",), size=(46, 70))  # fmt: skip
    rows = []
    for i, row in enumerate(breakhis.index(slides).itertuples()):
        label = f"class {'äbc'[i % 3]}"
        to = root / "data" / label / row.image.rpartition("/")[2]
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(slides / row.image, to)
        rows.append(f"data/{label}/{to.name};{label};{row.case}\n")
    write(root, "image;label;patient\n" + "".join(rows))
    return root


def train(paper, tissue, images, **settings):
    return importlib.import_module(paper).train(
        preset="demo", image_size=32, epochs=1, batch_size=16, images=images,
        runs_dir=tissue / "runs", cache_dir=tissue / "cache", workers=0, **TINY[paper], **settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    "paper",
    [name if name == "wrn_edge" else pytest.param(name, marks=pytest.mark.slow) for name in PAPERS],
)
def test_every_paper_trains_on_ones_own_images(paper, tissue, monkeypatch, capsys):
    sized = []
    monkeypatch.setattr(acquaintance, "tell_sizes", sized.extend)
    run = train(paper, tissue, tissue / "list.csv")
    assert run.record.classes == ["class b", "class c", "class ä"] and run.finished
    assert run.record.expected_images is None and run.record["own"]["source"] == "list.csv"
    assert run.path.name.startswith("SYNTHETIC-own-demo-")
    split = pd.read_csv(run.path / "split.csv", dtype=str, keep_default_na=False)
    assert sorted(sized) == sorted(tissue / name for name in split.image[split.part != ""])
    assert (split.groupby("case").part.nunique() == 1).all() and run.config["split"] == "patient"
    assert evaluation.read_metrics(run)["n"] == (split.part == "test").sum()
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "own data (list.csv)" in page and "fills no row of the paper" in page
    assert "this run fills no row" in capsys.readouterr().out
    assert (run.path / "figures" / "gradcam.png").is_file()
    assert tables.missing_images(run.record) == ["own data (list.csv), not the paper's images"]
    assert export.data_folder(run, None) == tissue
    rows = tables.load(paper, tissue / "runs")
    sort_in(rows, run, list(rows.presets))
    assert rows.others == [] and rows.groups == {}
    # The same list finds it again, also where it was moved to.
    moved = tissue.parent / f"{paper}-moved"
    shutil.copytree(tissue / "data", moved / "data")
    shutil.copy(tissue / "list.csv", moved)
    assert train(paper, tissue, moved / "list.csv").path == run.path


def test_a_path_of_the_split_is_found_from_any_folder(tissue, tmp_path, monkeypatch, capsys):
    run = train("wrn_edge", tissue, tissue / "list.csv")
    image = pd.read_csv(run.path / "split.csv", dtype=str).image[0]
    monkeypatch.chdir(tmp_path)
    assert classification.main("wrn_edge", ["--run", str(run.path), image]) == 0
    assert str(tissue / image) in capsys.readouterr().out
    (tmp_path / "data").symlink_to(tissue / "data")  # what lies here goes first
    assert classification._found(run, Path(image)) == Path(image)
    with pytest.raises(InputError, match=r"data/nosuch\.png: no such file"):
        classification.main("wrn_edge", ["--run", str(run.path), "data/nosuch.png"])


@pytest.mark.slow
def test_a_run_is_judged_on_other_data(tissue, capsys):
    run = train("wrn_edge", tissue, tissue / "list.csv")
    rows = (tissue / "list.csv").read_text(encoding="utf-8").replace("class c", "Ce").splitlines()
    rows = [row.replace("data/Ce/", "data/class c/") for row in rows[:25]]
    write(tissue, "\n".join(rows) + "\n", "else where.csv")
    command = ["--run", str(run.path), "--images", str(tissue / "else where.csv")]
    with pytest.raises(InputError, match=r": Ce: none of the classes .*--label-map Ce=\.\.\."):
        external.main("wrn_edge", command)
    for wrong, message in (
        (["Ce=class d"], "Ce=class d: class d is none of the run's classes"),
        (["Xe=class c"], "--label-map Xe=: .* has Ce, class b, class ä"),
        (["Ce"], "give THEIRS=OURS"),
        (["Ce=class c", "Ce=class b"], "is class c and class b"),
    ):
        with pytest.raises(InputError, match=message):
            external.main("wrn_edge", [*command, "--label-map", *wrong])
    capsys.readouterr()
    assert external.main("wrn_edge", [*command, "--label-map", "Ce=class c,class ä="]) == 0
    out, err = capsys.readouterr()
    assert "on its own test images  " in out and "on else where.csv  " in out
    folder = run.path / "external" / "else-where"
    found = read_json(folder / "external.json")
    assert found["left_out"] == {"class ä": 8} and found["images"] == 16
    judged = predictions.read(folder / "predictions.csv", run.record.classes)
    assert set(judged.label) == {"class b", "class c"} and len(judged) == 16
    # Of images that the run was judged on, it says the same again; and whose copies these are.
    split = pd.read_csv(run.path / "split.csv", dtype=str, keep_default_na=False)
    part = split.set_index("image").part[judged.image]
    assert found["copies"] == {name: (part == name).sum() for name in
                               ("train", "validation", "test")}  # fmt: skip
    assert found["near"] == found["copies"]
    some = f"{found['copies']['train']} of 16 images are copies or near copies of images"
    assert f"{some} that the run was trained on" in err
    mine = evaluation.read_run(run).set_index("image")
    again = judged.set_index("image").loc[part.index[part != "train"]]
    columns = [predictions.column(name) for name in run.record.classes]
    np.testing.assert_allclose(again[columns], mine.loc[again.index, columns], atol=1e-4)
    assert read_json(folder / "metrics.json")["n"] == 16
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert 'id="elsewhere"' in page and "else where.csv" in page
    command += ["--label-map", "Ce=class c,class ä="]
    with pytest.raises(InputError, match="--adapt threshold: the run has no positive class of two"):
        external.main("wrn_edge", [*command, "--adapt", "threshold"])
    ways = [*command, "--adapt", "batchnorm", "temperature", "--adapt-share", "0.5"]
    assert external.main("wrn_edge", ways) == 0
    assert "drawn by patient" in capsys.readouterr().out
    found = read_json(folder / "adapted.json")
    kept = predictions.read(folder / "predictions-batchnorm.csv", run.record.classes)
    assert len(kept) == found["held_out"] == 16 - found["adapted"]
    own_way, batchnorm, *_ = found["ways"]
    assert (own_way["name"], batchnorm["name"]) == ("as it is", "batchnorm")
    right = predictions.correct(judged.set_index("image").loc[kept.image].reset_index())
    assert own_way["metrics"]["accuracy"] == right.mean()
    expected = predictions.correct(kept).mean() - right.mean()
    assert batchnorm["difference"] == pytest.approx(expected)
    assert external.main("wrn_edge", command) == 0 and not (folder / "adapted.json").exists()
    # It is no damage of the run, and the command without data does what it did.
    assert train("wrn_edge", tissue, tissue / "list.csv").path == run.path
    assert external.main("wrn_edge", ["--run", str(run.path)]) == 0
    with pytest.raises(InputError, match="--name: is for --images or --dataset"):
        external.main("wrn_edge", ["--run", str(run.path), "--name", "x"])
    (folder / "external.json").write_text("{", encoding="utf-8")
    assert "else-where is damaged" in report.write(run.path).read_text(encoding="utf-8")


def test_a_shifted_threshold_is_one_half_and_keeps_the_order():
    p = np.array([0.9, 0.7, 0.6, 0.2, 0.1, 0.65])
    values, truth = np.stack([1 - p, p], axis=1), np.array([1, 1, 0, 0, 0, 1])
    adapts = np.array([True] * 5 + [False])
    changed, chosen = adapting._shifted(values, truth, adapts, 1)
    assert chosen == pytest.approx(0.65)  # halfway between 0.7 and 0.6
    assert changed[5] == pytest.approx([0.5, 0.5]) and (changed.sum(axis=1) == 1).all()
    assert (changed[:5, 1] > 0.5).tolist() == [True, True, False, False, False]
    assert (np.argsort(changed[:, 1]) == np.argsort(p)).all()
    logit = np.log(changed[:, 1] / changed[:, 0]) - np.log(p / (1 - p))
    np.testing.assert_allclose(logit, np.log(0.35 / 0.65), atol=1e-9)


def test_batchnorm_takes_the_mean_of_the_batches(monkeypatch):
    from common.backend import keras

    inputs = keras.Input((2, 2, 3))
    norm = keras.layers.BatchNormalization(name="norm", trainable=False)
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(norm(inputs)))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 2, 2, 3)).astype(np.uint8)
    monkeypatch.setattr(adapting.runs, "load_model", lambda run: model)
    assert adapting._with_statistics_of(None, iter(images), 40) is model
    halves = images.astype(float).reshape(2, 20, 2, 2, 3)  # 40 images are two batches of 20
    mean, variance = (np.asarray(each) for each in (norm.moving_mean, norm.moving_variance))
    np.testing.assert_allclose(mean, halves.mean(axis=(1, 2, 3)).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, halves.var(axis=(1, 2, 3)).mean(axis=0), rtol=1e-4)


@pytest.mark.slow
def test_other_commands_take_lists(tissue, tmp_path, capsys):
    from common import classification
    from common.splits.__main__ import main as splits_main
    from common.stain.__main__ import main as stain_main

    rows = (tissue / "list.csv").read_text(encoding="utf-8").splitlines()
    parts = [row + (";test" if i % 4 == 0 else ";train") for i, row in enumerate(rows[1:])]
    write(tissue, "\n".join([f"{rows[0]};part", *parts]), "parts.csv")
    assert splits_main(["report", "--images", str(tissue / "parts.csv")]) == 0
    assert "cases   12 of 24 in more than" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"list\.csv: says no parts"):
        splits_main(["report", "--images", str(tissue / "list.csv")])
    kept = tmp_path / "stain.json"
    assert stain_main(["fit", str(tissue / "parts.csv"), "--output", str(kept)]) == 0
    assert f"nearest the median of {sum(row.endswith('train') for row in parts)} images" in (
        capsys.readouterr().out
    )
    few = write(
        tissue, "image\n" + "".join(f"{row.split(';')[0]}\n" for row in rows[1:4]), "few.csv"
    )
    assert stain_main(["apply", str(kept), str(few), str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3
    run = train("wrn_edge", tissue, tissue / "list.csv")
    command = ["--run", str(run.path), "--output", str(tmp_path / "answers.csv")]
    assert classification.main("wrn_edge", [*command, "--images", str(few)]) == 0
    assert len(pd.read_csv(tmp_path / "answers.csv")) == 3
    with pytest.raises(InputError, match="no image is named"):
        classification.main("wrn_edge", command)


@pytest.mark.slow
def test_pretraining_and_the_gan_take_lists(tissue):
    from wrn_edge import pretrain

    shared = {"image_size": 32, "runs_dir": tissue / "runs", "cache_dir": tissue / "cache"}
    asked = configuration.request(
        pretrain.PretrainConfig, {}, package="wrn_edge", module="pretrain",
        execution_class=pretrain.Folders, images=tissue / "list.csv", depth=10, stem="patch",
        epochs=1, batch_size=16, workers=0, **shared,
    )  # fmt: skip
    before = pretrain.pretrain(asked)
    assert before.record.classes == ["class b", "class c", "class ä"]
    run = train("wrn_edge", tissue, tissue / "list.csv", weights=str(before.path / "model.keras"),
                seed=7)  # fmt: skip
    assert run.finished
    gan = importlib.import_module("gan_fusion.train_gan").train(
        preset="demo", images=tissue / "list.csv", kimg=0.016, batch_size=8, **shared
    )
    assert gan.record.classes == ["class b", "class c", "class ä"] and gan.record["own"]


def test_images_of_one_name_in_two_folders_are_told_apart(folder, tmp_path):
    class Known:
        images = ("a/0.png", "b/0.png")
        digests = ("1" * 64, "2" * 64)

    contents.require_same_images(tmp_path / "images.csv", Known)
    assert contents.image_digests(tmp_path / "images.csv") == dict(
        zip(Known.images, Known.digests, strict=True)
    )
    Known.digests = ("1" * 64, "3" * 64)
    with pytest.raises(InputError, match=r"1 image has changed since this run began: b/0.png"):
        contents.require_same_images(tmp_path / "images.csv", Known)
