"""What is said of lists and folders of one's own that cannot be split, or name other pictures."""

import functools
import importlib
import re

import cv2
import numpy as np
import pytest

from common import acquaintance, datasets, material, splits
from common import config as configuration
from common.datasets import breakhis, own, patients
from common.errors import InputError
from common.splits.__main__ import main as splits_command
from common.stain import __main__ as stain


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve images of two classes."""
    root = tmp_path_factory.mktemp("own")
    picture = cv2.imencode(".png", np.full((24, 24, 3), 200, np.uint8))[1].tobytes()
    for i in range(12):
        (root / f"{i}.png").write_bytes(picture)
    return root


def drawn(folder, name, whose, **settings):
    """Split the images with so many patients; `whose` gives that of an image."""
    wrn = importlib.import_module("wrn_edge.config")
    path = folder / f"{name}.csv"
    rows = "".join(f"{i}.png,{'ab'[i % 2]},{whose(i)}\n" for i in range(12))
    path.write_text(f"image,label,patient\n{rows}")
    request = configuration.request(
        wrn.Config, wrn.PRESETS, package="wrn_edge", images=path, **settings
    )
    found = material.gather(request, breakhis, lambda *_: None)
    by_patient = functools.partial(splits.by_patient, test=0.3, validation=0.2, seed=0)
    return found.split(found.index, by_patient)


def test_too_few_patients_are_told_in_the_users_words(folder):
    for name, count, whose in (("one", "1 patient;", lambda i: "P"),
                               ("two", "2 patients;", lambda i: f"P{i // 6}")):  # fmt: skip
        words = (f"{folder / name}.csv: {count} keeping patients apart needs 3 or more, one for "
                 "each part; --split image draws images")  # fmt: skip
        with pytest.raises(InputError, match=rf"^{re.escape(words)}$"):
            drawn(folder, name, whose)
    assert set(drawn(folder, "three", lambda i: f"P{i // 4}").part) == {*splits.PARTS}


def test_images_without_patient_are_named_where_no_split_can_be_drawn(folder):
    with pytest.raises(InputError) as error:
        drawn(folder, "half", lambda i: "P" if i == 0 else "")
    text = str(error.value)
    assert text.startswith(f"{folder / 'half.csv'}: 2 patients; ")
    assert text.endswith(
        ". The 11 images whose patient is unknown stay together in one part, as if they were of "
        "one: say their patients, or leave them out"
    )


def test_what_helps_is_of_the_split(folder):
    index = own.read(folder, needs=()).table.assign(label="a", part="train")
    for cure in (splits.DRAWN, splits.GIVEN):
        with pytest.raises(InputError, match=f"one class only .*; {cure}$"):
            splits.check_parts(index, ["train"], cure=cure)
        with pytest.raises(InputError, match=f"is empty .*; {cure}"):
            splits.check_parts(index, ["test"], cure=cure)
    assert "--seed" in splits.DRAWN and "--split-seed" in splits.DRAWN


def test_a_list_without_labels_beside_its_images_lacks_labels(folder, tmp_path):
    def gathered(path):
        wrn = importlib.import_module("wrn_edge.config")
        request = configuration.request(
            wrn.Config, wrn.PRESETS, package="wrn_edge", preset="demo",
            runs_dir=tmp_path / "runs", images=path,
        )  # fmt: skip
        return material.gather(request, breakhis, lambda _, place: breakhis.index(place))

    path = folder / "nolabel.csv"
    path.write_text("image,patient\n0.png,P\n1.png,Q\n")
    with pytest.raises(InputError, match=r"nolabel.csv, line 1: no column label \(found: image, p"):
        gathered(path)
    other = tmp_path / "other.csv"  # where no such images are it may be a list of patients
    other.write_text("image,patient\nA/Photo_0.png,P\n")
    with pytest.raises(InputError, match=r"no image of these data .*: A/Photo_0.png\); .* label$"):
        gathered(other)
    assert not (tmp_path / "runs").exists()


def test_images_of_another_size_than_most_are_named(tmp_path, capsys):
    paths = []
    for i, (height, width) in enumerate([(46, 70)] * 4 + [(1, 1), (20, 150), (44, 70), (46, 78)]):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), np.zeros((height, width, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"")
    acquaintance.tell_sizes([*paths, tmp_path / "broken.png"])
    assert capsys.readouterr().err == (
        "warning: 3 of 8 images: of another size than the commonest, 70x46 px, so their tissue may "
        "be shown at another scale (4.png, 5.png, 7.png)\n"
    )
    acquaintance.tell_sizes(paths[:4])
    acquaintance.tell_sizes([])
    assert capsys.readouterr().err == ""


def test_an_empty_list_says_which_columns_it_needs(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("")
    for read, words in (
        (patients.read, "a list of patients has the columns image and patient"),
        (own.read, "a list of images has the columns image and label"),
        (functools.partial(own.read, needs=()), "a list of images has the column image"),
    ):
        with pytest.raises(InputError, match=f"empty.csv: is empty; {words}$"):
            read(path)


def test_a_list_without_parts_points_to_split_csv(folder):
    path = folder / "parts.csv"
    path.write_text("image,label\n0.png,a\n")
    with pytest.raises(InputError, match=r"in a column part, a run in its split.csv \(--split-f"):
        splits_command(["report", "--images", str(path)])


def test_pictures_that_are_not_read_are_named(folder, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes((folder / "0.png").read_bytes())
    (tmp_path / "a" / "1.WEBP").write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_bytes(b"")
    told = "LEFT OUT 1 of a format that is not read: {}; save what is to count as PNG or TIFF\n"
    own.read(tmp_path)
    assert capsys.readouterr().err == f"{tmp_path}: {told.format('a/1.WEBP')}"
    datasets.named_images([tmp_path / "a"])
    assert capsys.readouterr().err == f"{tmp_path / 'a'}: {told.format('1.WEBP')}"
    assert stain._images(tmp_path) == ["a/0.png", "b/0.png"]
    assert capsys.readouterr().err == f"{tmp_path}: {told.format('a/1.WEBP')}"
    datasets.named_images([tmp_path / "b"])
    assert capsys.readouterr().err == ""
