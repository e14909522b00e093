"""The leakage report on planted duplicates, and its pair search against every pair."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from test_splits import frame

from common import evidence, images, splits
from common.errors import InputError
from common.images import fingerprints
from common.splits import leakage
from common.splits.__main__ import main


def field(seed: int, height: int = 92, width: int = 140) -> np.ndarray:
    """Blurred noise of several scales: an image with structure; (H, W, 3), uint8, RGB."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for sigma in (2, 5, 12):
        noise = random.normal(size=image.shape).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), sigma)
        image += noise / noise.std()
    return np.clip(128 + 30 * image, 0, 255).astype(np.uint8)


def save(root: Path, name: str, image: np.ndarray, *options: int) -> None:
    root.mkdir(exist_ok=True)
    cv2.imwrite(str(root / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), list(options))


@pytest.fixture
def planted(tmp_path) -> tuple[Path, pd.DataFrame]:
    """Twelve fields; copies of five of them lie in other parts."""
    rows = []

    def add(name: str, image: np.ndarray, part: str, label: str = "x", *options: int) -> None:
        save(tmp_path, name, image, *options)
        rows.append({"image": name, "case": name[:2], "label": label, "part": part})

    for i in range(8):
        add(f"t{i}.png", field(i), "train")
    for i in range(4):
        add(f"v{i}.png", field(20 + i), "validation")
    for i in range(4):
        add(f"e{i}.png", field(40 + i), "test")
    add("exact.png", field(0), "test", "y", cv2.IMWRITE_PNG_COMPRESSION, 1)  # other bytes
    add("jpeg.jpg", field(1), "test", "x", cv2.IMWRITE_JPEG_QUALITY, 60)
    add("bright.png", cv2.add(field(2), (25, 25, 25, 0)), "test")
    add("turned.png", np.ascontiguousarray(np.rot90(field(3))), "test")
    add("small.png", cv2.resize(field(20), (70, 46), interpolation=cv2.INTER_AREA), "test")
    add("twice.png", field(4), "train")  # within a part: no leak
    split = pd.DataFrame(rows)
    assert (tmp_path / "exact.png").read_bytes() != (tmp_path / "t0.png").read_bytes()
    return tmp_path, split


def test_leakage_finds_planted_copies(planted):
    root, split = planted
    report = json.loads(json.dumps(leakage.report(split, root)))
    assert report["parts"] == {"train": 9, "validation": 4, "test": 9}
    exact = report["exact"]
    assert exact["pairs"] == 2
    assert exact["across"] == 1
    assert exact["label_conflicts"] == 1
    assert exact["test_images"] == 1
    assert exact["share"] == pytest.approx(1 / 9)
    assert exact["worst"] == [
        {
            "a": "t0.png",
            "a_part": "train",
            "b": "exact.png",
            "b_part": "test",
            "bits": 0,
            "turned": False,
            "same_label": False,
            "exact": True,
        }
    ]
    within = [(pair["a"], pair["b"], pair["a_part"], pair["b_part"]) for pair in exact["within"]]
    assert within == [("t4.png", "twice.png", "train", "train")]
    near = report["near"]
    found = {(pair["a"], pair["b"], pair["turned"]) for pair in near["worst"]}
    assert found == {
        ("t1.png", "jpeg.jpg", False),
        ("t2.png", "bright.png", False),
        ("t3.png", "turned.png", True),
        ("v0.png", "small.png", False),
    }
    assert near["pairs"] == near["across"] == 4
    assert near["by_parts"] == {"train-test": 3, "train-validation": 0, "validation-test": 1}
    assert near["test_images"] == 4  # with the exact copy
    assert all(pair["bits"] <= 40 for pair in near["worst"])
    assert [pair["b_part"] for pair in near["worst"]][:3] == ["test"] * 3
    text = leakage.text(report)
    assert "4 of 9 test images (44.4%) have an exact or near copy among the training images" in text
    assert "t0.png (train) and exact.png (test): 0 bits" in text
    assert "1 pair with different labels" in text


def test_leakage_does_not_depend_on_row_order(planted):
    root, split = planted
    assert leakage.report(split, root) == leakage.report(split[::-1], root)


def test_leakage_without_near_and_without_images(planted):
    root, split = planted
    report = leakage.report(split, root, near=False)
    assert report["exact"]["across"] == 1
    assert report["near"] is None
    report = leakage.report(split)
    assert report["exact"] is report["near"] is None
    assert "images were not compared" in leakage.text(report)
    (root / "t1.png").unlink()
    with pytest.raises(InputError, match=r"1 of 22 images of the split are not there: t1\.png"):
        leakage.report(split, root)


def test_leakage_of_groups():
    split = frame(list("xyxyxyxy"), list("aabbccdd"))
    split["part"] = ["train", "test", "train", "train", "test", "validation", "test", "test"]
    case = leakage.report(split)["groups"]["case"]
    assert (case["groups"], case["shared"], case["unknown"]) == (4, 2, 0)
    assert case["pairs"] == {
        "train-test": {"groups": 1, "names": ["a"], "images": 1, "share": 0.25},
        "train-validation": {"groups": 0, "names": [], "images": 0, "share": 0.0},
        "validation-test": {"groups": 1, "names": ["c"], "images": 1, "share": 0.25},
    }
    text = leakage.text(leakage.report(split))
    assert "1 of 4 test images (25.0%) belong to a case that is also trained on" in text
    split["part"] = ["", "test", "train", "train", "test", "test", "test", "test"]
    assert leakage.report(split)["groups"]["case"]["shared"] == 0


def test_leakage_of_unknown_patients():
    split = splits.by_image(frame(list("xyz") * 20), test=0.3, validation=0.25, seed=0)
    report = leakage.report(split)
    assert report["groups"]["case"]["groups"] == 0
    assert "patient leakage cannot be excluded" in leakage.text(report)
    only = split[["image", "part"]]  # a user's own file
    assert "cannot be excluded" in leakage.text(leakage.report(only))


def test_orientations_are_those_of_the_turned_images(tmp_path):
    image = field(5)
    turns = [
        image, image[:, ::-1], image[::-1], image[::-1, ::-1],
        *(t.transpose(1, 0, 2) for t in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])),
    ]  # fmt: skip
    for i, turn in enumerate(turns):
        save(tmp_path, f"{i}.png", np.ascontiguousarray(turn))
    hashes = leakage.fingerprints(tmp_path, [f"{i}.png" for i in range(8)]).hashes
    frequencies = fingerprints.frequencies(image)
    found = fingerprints.perceptual_hashes(frequencies)
    assert len({hash_.tobytes() for hash_ in found}) == 8
    # The file that shows the image so, and the frequencies turned so, give one hash.
    for turned, hash_ in zip(hashes[:, 0], found, strict=True):
        bits = int(np.bitwise_count(hash_ ^ turned).sum())
        assert bits <= 8  # rounding of grey levels at the resize


def test_cached_images_are_compared_as_if_they_were_decoded(planted, monkeypatch):
    root, split = planted
    decoded = leakage.report(split, root)
    cached = images.cached(root, list(split["image"]), 8, cache_dir=root / "cache", progress=False)
    monkeypatch.setattr(images.reading, "decode", None)  # whatever decodes fails
    assert leakage.report(split, root, cached) == decoded
    assert leakage.report(split, None, cached) | {"synthetic": False} == decoded


def test_leakage_picture(planted):
    root, split = planted
    report = leakage.report(split, root)
    figure = evidence.leakage_picture(report, root)
    titles = [text.get_text() for text in figure.texts]
    assert titles[:2] == ["exact copy, different labels\ntrain: t0.png", "test: exact.png"]
    assert len(titles) == 2 * evidence.PAIRS
    alone = leakage.report(split[split["part"] == "train"], root)
    assert evidence.leakage_picture(alone, root) is None


def test_command(planted, capsys, monkeypatch):
    root, split = planted
    monkeypatch.delenv("HISTOPAPERS_DATA", raising=False)
    out = root / "out"
    split.to_csv(root / "split.csv", index=False)
    arguments = ["report", "--split-file", str(root / "split.csv")]
    files = ["--json", str(out / "l.json"), "--picture", str(out / "l.png")]
    assert main([*arguments, "--data-dir", str(root), *files]) == 0
    assert "near duplicates (at most 64 of 256 bits differ): 4 pairs" in capsys.readouterr().out
    assert json.loads((out / "l.json").read_text())["near"]["across"] == 4
    assert cv2.imread(str(out / "l.png")).shape[1] > 400
    assert main(arguments) == 0
    assert "images were not compared" in capsys.readouterr().out
    with pytest.raises(InputError, match="--picture needs the images"):
        main([*arguments, *files])


def test_damaged_image_is_named(planted):
    root, split = planted
    (root / "t1.png").write_bytes((root / "t1.png").read_bytes()[:200])
    with pytest.raises(InputError, match=r"t1\.png"):
        leakage.report(split, root)


# --- real images ---


@pytest.fixture(scope="module")
def real(real_data) -> tuple[Path, pd.DataFrame]:
    from common.datasets import breakhis

    root = real_data / "data" / "breakhis_100x"
    return root, breakhis.index(root)


@pytest.mark.data
def test_real_images_have_one_field_that_was_taken_twice(real, tmp_path):
    """No neighbouring field counts as a copy, re-saved and brightened copies do."""
    root, index = real
    split = index[index["case"].isin(["15704", "22549", "12312"])].copy()
    names = split["image"].str.rpartition("/")[2]
    for image, name in zip(split["image"], names, strict=True):
        (tmp_path / name).symlink_to(root / image)
    # Of the two pictures of one field, one is tested on.
    taken_twice = ("SOB_M_PC-14-15704-100-024.png", "SOB_M_PC-14-15704-100-026.png")
    split["image"] = names
    split["part"] = np.where(names == taken_twice[1], "test", "train")
    copies = []
    for row in split[split["part"] == "train"].iloc[::9].itertuples(index=False):
        pixels = cv2.imread(str(tmp_path / row.image))
        for name, copy, options in (
            ("jpeg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 50]),
            ("bright", cv2.add(pixels, (20, 20, 20, 0)), []),
            ("half", cv2.resize(pixels, None, fx=0.5, fy=0.5), []),
        ):
            file = f"{name}-{Path(row.image).stem}.{'jpg' if name == 'jpeg' else 'png'}"
            cv2.imwrite(str(tmp_path / file), copy, options)
            copies.append((row.image, file))
    planted = pd.DataFrame({"image": [file for _, file in copies], "label": "x", "part": "test"})
    planted = pd.concat([split[["image", "label", "part"]], planted], ignore_index=True)
    report = leakage.report(planted, tmp_path)
    assert report["exact"]["pairs"] == 0
    assert {(p["a"], p["b"]) for p in report["near"]["worst"]} == {*copies, taken_twice}
    assert report["near"]["by_parts"]["train-test"] == len(copies) + 1
    # The three copies of an image are near one another.
    assert report["near"]["pairs"] == len(copies) + 1 + len(copies)
