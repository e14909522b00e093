"""A data set in another format: lossless copies are its images, JPEG copies another data set."""

import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common import config as configuration
from common import datasets, images, runs, splits
from common.datasets import synthetic
from common.errors import InputError


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Small data sets, and a function that copies one in another format."""
    root = tmp_path_factory.mktemp("formats")
    made = {
        "breakhis": synthetic.breakhis(
            root / "breakhis", patients=8, images_per_patient=1, magnifications=("100X",),
            size=(46, 70),
        ),
        "bci": synthetic.bci(root / "bci", slides=8, patches_per_slide=1, size=32),
        "bach": synthetic.bach(root / "bach", per_class=2, size=(48, 64)),
    }  # fmt: skip

    def copy(name, ending, target, **options):
        for file in sorted(made[name].rglob("*")):
            if file.suffix.lower() in (".png", ".tif") and "mask" not in file.name:
                place = target / file.relative_to(made[name]).with_suffix(ending)
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(images.read(file)).save(place, **options)
        return target

    return made, copy


def listed(name, folder):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        index = datasets.get(name).index(folder)
    return index, [str(each.message) for each in said]


@pytest.mark.parametrize("ending", [".tif", ".TIFF", ".bmp", ".png", ".PNG"])
@pytest.mark.parametrize("name", ["breakhis", "bci", "bach"])
def test_lossless_copies_are_the_same_images(name, ending, copies, tmp_path):
    made, copy = copies
    index, _ = listed(name, made[name])
    other, said = listed(name, copy(name, ending, tmp_path))
    assert said == []
    same = [each for each in index.columns if each not in ("image", "bytes", "synthetic")]
    pd.testing.assert_frame_equal(index[same], other[same])
    assert list(index["image"].map(splits.draw.stem)) == list(other["image"].map(splits.draw.stem))
    assert datasets.recompressed(tmp_path, list(other["image"])) == 0
    for a, b in list(zip(index["image"], other["image"], strict=True))[:2]:
        np.testing.assert_array_equal(images.read(made[name] / a), images.read(tmp_path / b))


def test_an_ending_in_capitals_is_no_other_data_set(copies, tmp_path):
    made, _ = copies
    for file in made["breakhis"].rglob("*.png"):
        (tmp_path / file.name).with_suffix(".PNG").write_bytes(file.read_bytes())
    shutil.copy(made["breakhis"] / datasets.SYNTHETIC_MARKER, tmp_path)
    index, other = (listed("breakhis", each)[0] for each in (made["breakhis"], tmp_path))
    assert datasets.index_hash(index) == datasets.index_hash(other)


@pytest.mark.parametrize("name", ["breakhis", "bci", "bach"])
@pytest.mark.parametrize(
    ("ending", "options"),
    [(".JPG", {"quality": 95}), (".jpe", {"quality": 95}), (".tif", {"compression": "jpeg"})],
)
def test_jpeg_copies_work_and_are_another_data_set(name, ending, options, copies, tmp_path):
    _, copy = copies
    index, said = listed(name, copy(name, ending, tmp_path, **options))
    assert len(said) == 1
    assert f"{len(index)} of {len(index)} images are JPEG copies." in said[0]
    assert "another data set, which fills no row of a table" in said[0]
    images.check([tmp_path / image for image in index["image"]])


def test_a_run_on_jpeg_copies_says_so_and_fills_no_row(copies, tmp_path):
    import breakhis
    from common import report
    from common.report import files, summary
    from common.tables import paper as tables

    made, copy = copies
    for folder, jpegs in ((made["breakhis"], 0), (copy("breakhis", ".jpg", tmp_path), 8)):
        index, _ = listed("breakhis", folder)
        request = configuration.request(
            breakhis.Config, breakhis.PRESETS, package="breakhis", data_dir=folder
        )
        record = runs.describe("breakhis", request, datasets.get("breakhis"), index)
        assert record.get("recompressed", 0) == jpegs
        what = tables.missing_images(record)
        assert any("8 images are JPEG copies, so another data set" in each for each in what) == (
            jpegs > 0
        )
    read = files.RunFiles(tmp_path, record, {}, {}, {}, None, None, None, (), ())
    assert "8 images are JPEG copies, whose pixels are not" in summary._recompressed(read)
    assert report.write


def test_of_an_image_in_several_formats_its_own_is_taken(copies, tmp_path):
    _, copy = copies
    copy("breakhis", ".jpg", tmp_path)
    copy("breakhis", ".bmp", tmp_path)
    index, said = listed("breakhis", tmp_path)
    assert set(index["image"].str[-4:]) == {".bmp"}
    assert len(said) == 1
    assert "8 files are other images again in another format and left out" in said[0]
    copy("breakhis", ".png", tmp_path)
    assert set(listed("breakhis", tmp_path)[0]["image"].str[-4:]) == {".png"}
    (tmp_path / "again").mkdir()
    own = next(tmp_path.rglob("*.bmp"))
    for file in (*tmp_path.rglob("*.png"), *tmp_path.rglob("*.jpg")):
        file.unlink()
    Image.fromarray(images.read(own)).save(tmp_path / "again" / f"{own.stem}.tif")
    with pytest.raises(InputError, match="the name of another but different content"):
        listed("breakhis", tmp_path)  # which of two lossless ones is the image?


def test_names_that_differ_by_case_alone_are_one_image(copies, tmp_path):
    made, _ = copies
    file = next(made["breakhis"].rglob("*.png"))
    (tmp_path / "a").mkdir()
    shutil.copy(file, tmp_path / file.name)
    shutil.copy(file, tmp_path / "a" / file.name.upper())
    index, said = listed("breakhis", tmp_path)
    assert len(index) == 1
    assert "1 file is a copy of others of the same name" in said[0]


# --- Kaggle's list of folds --------------------------------------------------------------------


def kaggle(path, index):
    rows = ["fold,mag,grp,filename"]
    for fold in range(1, 6):
        for i, row in enumerate(index.itertuples()):
            grp = "test" if i % 5 == fold - 1 else "train"
            rows.append(f"{fold},{row.magnification[:-1]},{grp},BreaKHis_v1/x/{row.image}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("fold", [1, 3])
def test_a_fold_of_kaggles_list_is_read(fold, copies, tmp_path):
    made, copy = copies
    index, _ = listed("breakhis", made["breakhis"])
    folds = kaggle(tmp_path / "Folds.csv", index)
    expected = ["test" if i % 5 == fold - 1 else "train" for i in range(len(index))]
    assert list(splits.from_file(index, folds, fold)["part"]) == expected
    other, _ = listed("breakhis", copy("breakhis", ".tif", tmp_path / "tif"))
    assert list(splits.from_file(other, folds, fold)["part"]) == expected
    for place in (folds, tmp_path):  # the file, or its folder
        found = splits.from_fold_files(index, place, fold, validation=0, seed=0)
        assert list(found["part"]) == expected


def test_what_kaggles_list_lacks_is_said(copies, tmp_path):
    made, _ = copies
    index, _ = listed("breakhis", made["breakhis"])
    folds = kaggle(tmp_path / "Folds.csv", index[1:])
    for call, said in (
        (lambda: splits.from_file(index, folds), "lists the folds of BreakHis, and this command"),
        (lambda: splits.from_file(index, folds, 7), "has no fold 7"),
        (lambda: splits.from_file(index, folds, 1), "1 image of the data is left out"),
        (
            lambda: splits.from_fold_files(index, folds, 1, validation=0, seed=0),
            "does not name 1 of the images",
        ),
    ):
        with pytest.raises(InputError, match=said):
            call()
    text = folds.read_text()
    for wrong, said in (
        (text.replace("1,100,train", "1,40,train", 1), "of magnification 100 by its name, '40'"),
        (text.replace("1,100,train", "1,100,val", 1), "expected a fold's number and train or"),
        (text.replace("1,100,train", "one,100,train", 1), "expected a fold's number"),
        (text.replace("fold,", "part,", 1), "has the columns fold, mag, grp, filename"),
    ):
        folds.write_text(wrong)
        with pytest.raises(InputError, match=said):
            splits.from_fold_files(index, folds, 1, validation=0, seed=0)


def test_a_list_of_folds_in_utf_16_is_one_line(tmp_path):
    line = "SOB_B_A-14-22549AB-100-001.png|100|1|train\n"
    (tmp_path / "dsfold1.txt").write_text(line, encoding="utf-16")
    with pytest.raises(InputError, match=r"dsfold1\.txt: .*UTF-16; save it as UTF-8") as caught:
        splits.from_fold_files(pd.DataFrame(), tmp_path, 1, validation=0, seed=0)
    assert "\n" not in str(caught.value)
