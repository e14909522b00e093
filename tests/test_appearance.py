"""What predict says of a run and of images unlike those that it was trained on."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import run_folder

from common import acquaintance, appearance, images, runs
from common.datasets import breakhis, synthetic


def test_numbers_by_hand():
    image = np.full((4, 4, 3), 255, np.uint8)
    image[:2] = 63, 31, 127  # optical densities ln 4, ln 8 and ln 2
    tissue, density, red, blue, contrast = appearance.numbers(image)
    assert tissue == 0.5
    assert density == pytest.approx(np.log(2 * np.log(2) + 1e-3), abs=1e-6)
    assert (red, blue) == pytest.approx((2 / 6, 1 / 6), abs=1e-3)
    assert contrast == pytest.approx(np.log(2), abs=1e-6)  # half at 2 ln 2, half at 0


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("SOB_B_A-14-22549AB-40-001.png", "40X"), ("SOB_M_DC-14-2523-400-012.png", "400X"),
        ("case3_200X_b.tif", "200X"), ("20x.png", "20X"), ("a-40x-b.png", "40X"),
        ("1024x768.png", ""), ("patch_12.png", ""), ("x40.png", ""), ("10xyz.png", ""),
    ],
)  # fmt: skip
def test_magnification_in_a_name(name, stated):
    assert appearance.magnification(name) == stated


@pytest.fixture(scope="module")
def tissue_run(tmp_path_factory):
    """A run's folder with what predict reads of it, and its synthetic images by part."""
    root = tmp_path_factory.mktemp("appearance")
    data = synthetic.breakhis(
        root / "data", patients=24, images_per_patient=2, magnifications=("100X",), size=(46, 70)
    )
    index = breakhis.index(data, classes=2)
    split = index.assign(part=np.where(np.arange(len(index)) % 3 == 0, "test", "train"))
    pixels = images.cached(data, index.image, 64, cache_dir=root / "cache", progress=False)
    folder = root / "run"
    folder.mkdir()
    split[["image", "case", "slide", "folder", "magnification", "label", "part"]].to_csv(
        folder / "split.csv", index=False
    )
    known = appearance.of_training(pixels, np.flatnonzero(split.part == "train"))
    record = runs.Record(
        package="breakhis", config={"image_size": 64, "resize_filter": "area"}, synthetic=True,
        dataset="breakhis", facts={"appearance": known},
    )  # fmt: skip
    return runs.Run(folder, record), split, data


def test_range_is_stored_as_json_and_holds_the_training_images(tissue_run):
    run, split, data = tissue_run
    known = json.loads(json.dumps(run.record["appearance"]))
    assert known["images"] == (split.part == "train").sum()
    assert set(known["range"]) == set(appearance.KINDS)
    inside = [
        not appearance.unlike(
            appearance.checked(known), images.resize(images.read(data / name), 64)
        )
        for name in split.image
    ]
    assert np.mean(inside) > 0.95


def test_images_of_other_kinds_are_told_each_once(tissue_run, capsys, monkeypatch):
    run, split, data = tissue_run
    of = acquaintance.oddities(run)
    name = data / split.image[split.part == "test"].iloc[0]
    image = images.read(name)
    assert of(name, image) == []
    (words,) = of(name, (image * 0.45).astype(np.uint8))
    assert words.startswith("unlike the training images: ") and "darker" in words
    assert of(name, np.full_like(image, 245)) == ["no stained tissue, it seems"]
    assert of(name.with_name("a_400x.png"), image) == [
        "at 400X, by their names; it was trained at 100X"
    ]
    assert of(name, np.kron(image, np.ones((3, 3, 1), np.uint8))) == []  # synthetic: any size
    monkeypatch.setattr(run.record, "synthetic", False)
    (words,) = acquaintance.oddities(run)(name, image)
    assert words.startswith("of another size than the 700x460 px")

    acquaintance.tell({"odd": [name] * 4, "strange": [name]}, 5)
    said = capsys.readouterr().err.splitlines()
    four = ", ".join([name.name] * 3)
    assert said == [
        f"warning: 4 of 5 images: odd ({four} and 1 more)",
        f"warning: 1 of 5 images: strange ({name.name})",
    ]


def test_a_run_without_the_range_or_a_split_says_nothing_of_them(tissue_run, tmp_path):
    record = runs.Record(
        package="breakhis", config={"image_size": 64, "resize_filter": "area"}, synthetic=True
    )
    run = runs.Run(tmp_path, record)
    _, split, data = tissue_run
    image = images.read(data / split.image.iloc[0])
    assert acquaintance.oddities(run)(tmp_path / "a_40x.png", image) == []
    assert acquaintance.introduction(run) == "trained on an unnamed data set, 64 px"


def test_introduction_says_who_was_seen(tissue_run, monkeypatch):
    from common import evaluation

    run, split, _ = tissue_run
    monkeypatch.setattr(
        evaluation, "read_metrics",
        lambda run: {"accuracy": 0.75, "accuracy_ci": [0.5, 0.9], "n": 16},
    )  # fmt: skip
    train, test = (split[split.part == part] for part in ("train", "test"))
    both = len(set(train.case) & set(test.case))
    assert both  # the images of a patient lie in both parts here
    assert acquaintance.introduction(run).splitlines() == [
        f"trained on breakhis, {len(train)} images of {train.case.nunique()} patients, "
        "at 100X, 64 px",
        f"accuracy 75.00 %, 95 % interval 50.00 % to 90.00 %, on its 16 test images of "
        f"{test.case.nunique()} patients, {both} of whom it was trained on: expect less of new "
        "patients",
    ]
    apart = split[~((split.part == "test") & split.case.isin(set(train.case)))]
    monkeypatch.setattr(acquaintance.splits, "read", lambda path: pd.DataFrame(apart))
    assert acquaintance.introduction(run).endswith("none of whom it was trained on") == (
        (apart.part == "test").any()
    )


@pytest.mark.parametrize(
    "damaged", [None, 3, [], {}, {"range": 1}, {"range": {"density": "ab", "red": [1], "blue": 2}}]
)
def test_a_damaged_range_is_none(damaged):
    image = np.zeros((8, 8, 3), np.uint8)
    assert appearance.checked(damaged) == {}
    assert appearance.unlike(appearance.checked(damaged), image) == []


@pytest.mark.data
def test_few_real_images_of_new_patients_are_warned_of(real_data, tmp_path):
    """`python -m benchmarks.appearance` prints these rates over more splits."""
    from common import splits

    folder = real_data / "data" / "breakhis_100x"
    index = breakhis.index(folder, classes=2)
    pixels = images.cached(folder, index.image, 64, cache_dir=tmp_path, progress=False)
    new, darker, brighter = [], [], []
    for seed in range(8):
        part = splits.by_patient(index, test=0.3, validation=0, seed=seed).part
        known = appearance.checked(appearance.of_training(pixels, np.flatnonzero(part == "train")))
        for row in np.flatnonzero(part == "test"):
            image = pixels[int(row)].astype(float)
            found = [
                bool(appearance.unlike(known, np.clip(image * f, 0, 255).astype(np.uint8)))
                for f in (1, 0.6, 1.5)
            ]
            for kept, each in zip((new, darker, brighter), found, strict=True):
                kept.append(each)
    assert np.mean(new) < 0.1
    assert np.mean(darker) > 0.9 and np.mean(brighter) > 0.7


@pytest.mark.parametrize("place", ["run", "run/breakhis", "run/breakhis/NAME"])
def test_a_demos_images_are_found_from_wherever_its_run_is_named(tmp_path, monkeypatch, place):
    folder = run_folder.make(tmp_path / "run", "binary", synthetic=True, pictures=False)
    (tmp_path / "run" / "demo-data" / "breakhis").mkdir(parents=True)
    here = tmp_path / place.replace("NAME", folder.name)
    monkeypatch.chdir(here)
    run = runs.load(Path(os.path.relpath(folder, here)))
    found = runs.data_folder(run, None)
    assert found.resolve() == tmp_path / "run" / "demo-data" / "breakhis"
