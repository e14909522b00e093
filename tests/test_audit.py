"""Splits of anybody, read in their forms and audited; the public ones, counted by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from common.datasets import breakhis
from common.datasets.lists import read_list
from common.errors import InputError
from common.review.parts import read as read_split
from common.splits import __main__ as command
from common.splits import audit, forms, public, shown

AB, CD, G = (f"SOB_B_A-14-22549{letters}-40-001" for letters in ("AB", "CD", "G"))
OTHER = "SOB_M_DC-14-2523-100-007"


def only(path: Path, **options) -> audit.Audit:
    (split,) = forms.read_all([path])
    return audit.audit(split, **options)


def shared(found: audit.Audit) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for each in found.shared:
        names.setdefault(each.group, []).append(each.name)
    return names


# --- what a name tells --------------------------------------------------------------------------


def test_the_folders_of_breakhis_add_up_to_its_card():
    folders = breakhis.folders()
    told = {name: breakhis.named(name) for name in folders}
    for group, n in breakhis.EXPECTED_GROUPS.items():
        assert len({each[group] for each in told.values()}) == n, group
    for (kind, magnification), n in breakhis.EXPECTED_COUNTS.items():
        place = breakhis.MAGNIFICATIONS.index(magnification)
        assert sum(c[place] for f, c in folders.items() if told[f]["type"] == kind) == n


def test_folders_that_share_their_case_number_with_another():
    folders = breakhis.folders()
    cases = [breakhis.named(name)["case"] for name in folders]
    sharing = [sum(counts) for counts, case in zip(folders.values(), cases, strict=True)
               if cases.count(case) > 1]  # fmt: skip
    assert (len(sharing), sum(sharing)) == (22, 2493)


@pytest.mark.parametrize(
    ("name", "image", "case", "slide", "folder"),
    [
        (AB, AB, "22549", "14-22549AB", "SOB_B_A_14-22549AB"),
        (f"a/b\\{AB}.PNG".upper(), AB, "22549", "14-22549AB", "SOB_B_A_14-22549AB"),
        (f"{AB}_flip(1).jpg", AB, "22549", "14-22549AB", "SOB_B_A_14-22549AB"),
        ("SOB_B_A_14-22549AB/40X/1.png", "", "22549", "14-22549AB", "SOB_B_A_14-22549AB"),
        ("SOB_B_A-14-22549AB", "", "22549", "14-22549AB", "SOB_B_A_14-22549AB"),
        ("14-22549ab", "", "22549", "14-22549AB", "SOB_B_A_14-22549AB"),
        ("190EF", "", "190", "15-190EF", "SOB_M_PC_15-190EF"),
        ("13412", "", "13412", "14-13412", ""),
        ("22549", "", "22549", "", ""),
    ],
)
def test_names_of_breakhis(name, image, case, slide, folder):
    found = breakhis.named(name)
    wanted = {"image": image, "case": case, "slide": slide, "folder": folder}
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    "name",
    ["", "1", "00012.png", "22549X", f"{AB}.png".replace("B_A", "M_A"), AB.replace("AB", "ABX5")],
)
def test_names_that_are_none(name):
    assert breakhis.named(name) is None


# --- forms --------------------------------------------------------------------------------------

FORMS = {
    "a.csv": f"image,part\n{AB}.png,train\n{CD}.png,test\n{OTHER}.png,train\n",
    "b.csv": "\ufeffFile Name;Set\r\n"
    f"C:\\x\\{AB}.PNG;Training\r\nD:\\{CD}.PNG;TEST\r\n{OTHER};trn\r\n",
    "excel.csv": f"sep=;\r\nimage;part\r\n{AB}.png;train\r\n{CD}.png;test\r\n{OTHER}.png;train\r\n",
    "c.csv": f"{AB}.png,train\n{CD}.png,test\n{OTHER}.png,train\n",
    "d.tsv": f"id\tpath\tsplit\n1\tx/{AB}.png\ttrain\n2\t{CD}.png\ttest\n3\t{OTHER}.png\ttrain\n",
    "e.csv": "train,test\n22549AB,22549CD\n2523,\n",
    "f.csv": ",train,val,test\n22549AB,True,False,False\n22549CD,False,False,True\n2523,1,0,0\n",
    "g.json": json.dumps(
        {"x": {"train_ids": ["22549AB", "2523"], "test": ["22549CD"]}, "seed": [1]}
    ),
    "h.json": json.dumps([{"train": ["22549AB", "2523"], "val": ["22549CD"]}]).replace(
        "val", "test"
    ),
    "i.json": json.dumps(
        {
            "training": [{"image": AB, "label": 0}, {"image": OTHER, "label": 1}],
            "test": [{"image": CD, "label": 0}],
            "numTest": 1,
        }
    ),
    "j.txt": f"{AB}.png train\n{CD}.png test\n{OTHER}.png train\n",
    "dsfold3.txt": f"{AB}.png|40|3|train\n{CD}.png|40|3|test\n\n{OTHER}.png|100|3|train\n",
    "k.csv": f",image,train,test\n0,{AB}.png,1,0\n1,{CD}.png,0,1\n2,{OTHER}.png,1,0\n",
    "l.csv": f"mag,scan,train,test\n40,{AB},1,0\n40,{CD},0,1\n40,{OTHER},1,0\n",
    "m.csv": f"part,grade,scan\ntrain,1,{AB}\ntest,1,{CD}\ntrain,1,{OTHER}\n",
    "n.txt": f"# mine\n{AB}.png train\n  # theirs\n{CD}.png test\n{OTHER}.png train\n",
    "fold.csv": "fold,mag,grp,filename\n"
    f"2,40,train,q/{AB}.png\n2,40,test,{CD}.png\n2,1,train,{OTHER}.png\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_tells_the_same(tmp_path, name):
    file = tmp_path / name
    file.write_text(FORMS[name], encoding="utf-8", newline="")
    found = only(file)
    assert found.parts == {"train": 2, "validation": 0, "test": 1}
    assert shared(found) == {"case": ["22549"]}
    (each,) = found.shared
    assert each.within == (("14-22549AB",), ("14-22549CD",))
    assert "A case number may be one patient" in shown.text(found)


def test_lists_of_names(tmp_path):
    (tmp_path / "x_train.txt").write_text(f"# mine\n{AB}.png 0\n{OTHER}.png 1\n")
    (tmp_path / "x_test.csv").write_text(f"image\nq/{CD}.png\n")
    (tmp_path / "readme.md").write_text("no list")
    lists = {"train": tmp_path / "x_train.txt", "test": tmp_path / "x_test.csv"}
    for splits in (
        forms.read_all([], lists),
        forms.read_all([*lists.values()]),
        forms.read_all([tmp_path]),
    ):
        (split,) = splits
        assert sorted(split.parts) == ["test", "train", "train"]
        assert shared(audit.audit(split)) == {"case": ["22549"]}


def test_tables_named_by_their_part(tmp_path):
    """As train.csv and test.csv with images and labels lie beside each other; a run's folder."""
    (tmp_path / "train.csv").write_text(f"image,label\n{AB}.png,0\n{OTHER}.png,1\n")
    (tmp_path / "test.csv").write_text(f"image;label\n{CD}.png;0\n")
    (split,) = forms.read_all([tmp_path])
    assert sorted(split.parts) == ["test", "train", "train"]
    assert shared(audit.audit(split)) == {"case": ["22549"]}
    (tmp_path / "split.csv").write_text(f"image,part\n{AB},train\n{OTHER},test\n")
    assert audit.audit(*forms.read_all([tmp_path])).clean


def test_tables_named_by_their_part_tell_patients(tmp_path):
    (tmp_path / "train.csv").write_text("image,patient\na.png,P\nb.png,unknown\n")
    (tmp_path / "test.csv").write_text("image,label,patient\nc.png,0,P\nd.png,1,unknown\n")
    (tmp_path / "val.txt").write_text("e.png\n")
    (split,) = forms.read_all([tmp_path])
    assert shared(audit.audit(split)) == {"case": ["P"]}
    lists = {part: tmp_path / f"{part}.csv" for part in ("train", "test")}
    assert shared(audit.audit(*forms.read_all([], lists))) == {"case": ["P"]}


def test_folds_are_splits_of_their_own(tmp_path):
    file = tmp_path / "Folds.csv"
    rows = [f"{fold},40,{part},{name}" for fold, part, name in
            ((1, "train", AB), (1, "test", OTHER), (2, "train", AB), (2, "test", G))]  # fmt: skip
    file.write_text("\n".join(["fold,mag,grp,filename", *rows]))
    assert [audit.audit(split).clean for split in forms.read_all([tmp_path])] == [True, False]
    numbered = tmp_path / "numbered.csv"
    numbered.write_text(f"image,kfold\n{AB},0\n{CD},0\n{G},1\n{OTHER},2\nunused,\n")
    found = [audit.audit(split) for split in forms.read_all([numbered])]
    assert [each.parts["test"] for each in found] == [2, 1, 1]
    assert [each.clean for each in found] == [False, False, True]


def test_outer_lists_of_json_belong_to_every_fold(tmp_path):
    file = tmp_path / "s.json"
    folds = [{"train": ["22549CD"], "val": ["2523"]}, {"train": ["2523"], "val": ["22549CD"]}]
    file.write_text(json.dumps({"test_patients": ["22549AB"], "folds": folds}))
    found = [audit.audit(split) for split in forms.read_all([file])]
    assert [[each.parts for each in one.shared] for one in found] == [
        [("train", "test")], [("validation", "test")],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("image,part\n", "no line below"),
        ("image,part\na,train\nb,tset\nc,test\n", r":3: 'tset' is no part"),
        ("image,part\na,train\nb\n", r":3: 1 values, not 2"),
        ("sep=;\nimage;part\na;train\nb;tset\nc;test\n", r":4: 'tset' is no part"),
        ("image,part\na,train\nb,train\n", "only a part train"),
        ("image,label\na,1\nb,2\n", "no column says the part"),
        ('image,part\n"a,train\n', "no table"),
        ("image,fold\na,1\nb,1\n", "one fold alone"),
        ("train,test\n1,0\n0,1\n", "no column of names"),
        ("part\ntrain\ntest\n", "no column of names"),
    ],
)
def test_what_is_no_split_is_said_in_a_line(tmp_path, text, message):
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        forms.read_all([file])
    assert str(file.name) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"train": [1.5]}', "[" * 100_000])
def test_json_that_is_none(tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"x\.json: no "):
        forms.read_all([file])


# --- what is shared -----------------------------------------------------------------------------


def test_columns_of_a_table_tell_patients_of_other_data(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("image,patient_id,part\np/1.png,A,train\nq/1.png,B,test\nq/2.png,A,val\n")
    found = only(file)
    assert shared(found) == {"case": ["A"]}
    assert found.shared[0].parts == ("train", "validation")
    # p/1.png and q/1.png have one name: whether they are one image, it does not say.
    assert any("may be one image: 1" in note for note in found.notes)


@pytest.mark.parametrize(
    ("first", "second"), [("Training set", "Test set"), ("trn", "eval"), ("TRAIN", "Held-out")]
)
def test_audit_review_and_own_lists_read_the_same_words_for_parts(tmp_path, first, second):
    file = tmp_path / "x.csv"
    file.write_text(f"image,label,part\na.png,x,{first}\nb.png,x,{second}\n")
    parts = ["train", "test"]
    assert forms.read_all([file])[0].parts == parts
    assert list(read_split(file)[0].frame["part"]) == parts
    assert [row["part"] for row in read_list(file).rows] == parts


def test_a_column_for_each_part_beside_other_columns(tmp_path):
    """Neither the number of a line nor its label is a name; its patient is told."""
    file = tmp_path / "x.csv"
    file.write_text(",image,train,test\n0,a.png,1,0\n1,b.png,1,0\n2,a.png,0,1\n")
    assert shared(only(file)) == {"image": ["a.png"]}
    file.write_text("label,image,patient,train,test\nx,a.png,P,1,0\nx,b.png,P,0,1\n")
    assert shared(only(file)) == {"case": ["P"]}


@pytest.mark.parametrize("word", ["unknown", "NA", "nan", "?", ""])
def test_words_for_an_unknown_patient_are_no_patient(tmp_path, word):
    file = tmp_path / "x.csv"
    file.write_text(f"image,patient,part\na.png,{word},train\nb.png,{word},test\nc.png,P,test\n")
    found = only(file)
    assert found.clean and found.groups["case"] == {"train": 0, "validation": 0, "test": 1}
    assert "the case of 2 of 3 names is unknown" in found.notes
    file.write_text(f"patient,part\nA,train\n{word},train\n{word},test\nB,test\n")
    assert only(file).clean


def test_a_namesake_in_another_folder_is_not_compared(tmp_path):
    for folder in "abc":
        (tmp_path / "x" / folder).mkdir(parents=True)
        (tmp_path / "x" / folder / "1.png").touch()
    listing = tmp_path / "l.csv"
    listing.write_text("image,part\nx/a/1.png,train\nold/b2/1.png,test\n")
    with pytest.raises(InputError, match=r"1 of 2 names .* have no image there: old/b2/1\.png"):
        only(listing, data_dir=tmp_path)


def test_the_report_counts_a_lists_paths_from_the_data_folder(tmp_path, monkeypatch, capsys):
    import cv2

    monkeypatch.setenv("HISTOPAPERS_DATA", str(tmp_path / "elsewhere"))  # is of public data
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, name in enumerate("abcd"):
        picture = np.random.default_rng(i).integers(0, 255, (32, 32, 3), np.uint8)
        assert cv2.imwrite(str(pictures / f"{name}.png"), picture)
    listing = tmp_path / "l.csv"
    rows = ("a.png,x,P,train", "b.png,y,Q,train", "c.png,x,P,test", "d.png,y,R,test")
    listing.write_text("\n".join(["image,label,patient,part", *rows]))
    assert command.main(["report", "--images", str(listing), "--data-dir", str(pictures)]) == 0
    assert "1 of 3 in more than" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"a\.png"):
        command.main(["report", "--images", str(listing)])


def test_an_image_in_two_parts(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text(f"image,part\nC:\\d\\{AB}.PNG,train\nb/{AB}_rot90.png,test\n")
    assert shared(only(file))["image"] == [f"b/{AB}_rot90.png"]
    file.write_text("image,part\nC:\\d\\p\\x.PNG,train\np/x.png,test\no/x.png,test\n")
    assert shared(only(file)) == {"image": ["p/x.png"]}


def test_names_of_another_data_set_are_refused(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("image,part\na.png,train\nb.png,test\n")
    assert only(file).clean
    with pytest.raises(InputError, match=r"no name is one of BreakHis, for example 'a\.png'"):
        only(file, card=breakhis)
    file.write_text(f"image,part\na.png,train\n{AB},train\n{OTHER},test\n")
    assert any(note.startswith("1 of 3 names are none of BreakHis") for note in only(file).notes)


def test_a_folder_for_each_part_with_copies(tmp_path):
    import cv2

    random = np.random.default_rng(0)
    pictures = [
        cv2.resize(random.integers(0, 255, (12, 12, 3), np.uint8), (64, 64)) for _ in range(3)
    ]
    for place, picture in (
        ("Train/benign/a.png", 0), ("Train/malignant/b.png", 1), ("Test/benign/a.png", 2),
        ("Test/malignant/c.png", 0),
    ):  # fmt: skip
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), pictures[picture])
    found = only(tmp_path)
    assert found.parts == {"train": 2, "validation": 0, "test": 2}
    assert not found.shared and found.copies["exact"]["across"] == 1 and not found.clean
    (line,) = shown.table([found])
    assert (line["group"], line["within"], line["other_within"]) == (
        "exact copy", "Train/benign/a.png", "Test/malignant/c.png",
    )  # fmt: skip
    assert only(tmp_path, images=False).clean
    listing = tmp_path / "l.csv"
    listing.write_text("image,part\na,train\nzzz,test\n")
    with pytest.raises(InputError, match="1 of 2 names of the split have no image there: zzz"):
        only(listing, data_dir=tmp_path)


def test_the_command_answers_by_its_exit_code(tmp_path, capsys):
    file = tmp_path / "x.csv"
    file.write_text(FORMS["a.csv"])
    out = tmp_path / "out.csv"
    assert command.main(["audit", str(file), "--dataset", "breakhis", "--csv", str(out)]) == 1
    assert (
        out.read_text(encoding="utf-8-sig")
        .splitlines()[1]
        .startswith("x.csv,case,22549,train,test,")
    )
    assert re.search(r"cases: 1 of 1 of test are in train, too, with 1 of its 1 names\n    22549: "
                     r"train 14-22549AB; test 14-22549CD", capsys.readouterr().out)  # fmt: skip
    file.write_text(f"image,part\n{AB},train\n{OTHER},test\n")
    assert command.main(["audit", str(file)]) == 0
    with pytest.raises(InputError, match="nothing to audit"):
        command.main(["audit"])


# --- public splits ------------------------------------------------------------------------------


def test_public_splits_share_what_was_counted_by_hand():
    found = {each.key: public.audited(each) for each in public.protocols()}
    assert {key: [s.name for s in each.shared] for key, each in found.items()} == {
        "eva-4": ["16184", "18842", "19979", "23060"],
        "eva-8": ["14134", "15570", "16184", "19979", "21998"],
        "patient-level-audit": ["15570", "16184", "19979", "21998", "22549", "23060"],
    }
    assert [each.parts["test"] for each in found.values()] == [14, 25, 16]
    # eva's own counts of the images of both parts
    first = public.protocols()[0].split()
    sizes = dict.fromkeys(("train", "test"), 0)
    for name, part in zip(first.names, first.parts, strict=True):
        sizes[part] += breakhis.folders()[name][0]
    assert sizes == {"train": 1132, "test": 339}


def test_the_page_is_what_the_command_writes():
    page = Path(__file__).parents[1] / "docs" / "audits.md"
    assert page.read_text(encoding="utf-8") == public.page(), f"run {public.COMMAND}"
