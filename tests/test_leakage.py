"""The leakage report on planted duplicates, and its pair search against every pair."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from test_splits import frame

from common import evidence, images, splits
from common.errors import InputError
from common.images import fingerprints
from common.splits import leakage, pairs
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
    _, hashes = leakage.fingerprints(tmp_path, [f"{i}.png" for i in range(8)])
    frequencies = fingerprints.frequencies(image)
    found = fingerprints.perceptual_hashes(frequencies)
    assert len({hash_.tobytes() for hash_ in found}) == 8
    # The file that shows the image so, and the frequencies turned so, give one hash.
    for turned, hash_ in zip(hashes[:, 0], found, strict=True):
        bits = int(np.bitwise_count(hash_ ^ turned).sum())
        assert bits <= 8  # rounding of grey levels at the resize


def test_hashes_are_signs_against_the_median():
    frequencies = np.random.default_rng(1).normal(size=(3, 16, 16)).astype(np.float32)
    hashes = fingerprints.perceptual_hashes(frequencies)
    assert hashes.shape == (3, 8, 4)
    bits = np.unpackbits(hashes[:, 0].view(np.uint8), axis=1).reshape(3, 256)
    for image, its in zip(frequencies.reshape(3, 256), bits, strict=True):
        assert its[0] == 0  # the mean is no sign
        assert its[1:].tolist() == (image[1:] > np.sort(image[1:])[127]).tolist()
        assert its.sum() == 127
    # One by one or together: the same.
    np.testing.assert_array_equal(fingerprints.perceptual_hashes(frequencies[2]), hashes[2])


# --- pairs ---


def distance(a: np.ndarray, b: np.ndarray) -> int:
    return sum(int(x ^ y).bit_count() for x, y in zip(a.tolist(), b.tolist(), strict=True))


def every_pair(hashes: np.ndarray) -> dict[tuple[int, int], tuple[int, bool]]:
    """Near pairs by their definition: (a, b) -> (bits, turned)."""
    found = {}
    for a in range(len(hashes)):
        for b in range(a + 1, len(hashes)):
            plain, *others = (distance(hashes[a, 0], turned) for turned in hashes[b])
            bits = min(plain, *others)
            if bits <= leakage.NEAR_BITS:
                found[a, b] = (bits, bits < plain)
    return found


def found_pairs(hashes: np.ndarray) -> dict[tuple[int, int], tuple[int, bool]]:
    found = {}
    for block in pairs.near_pairs(hashes, leakage.NEAR_BITS):
        for a, b, bits, turned in zip(*map(np.ndarray.tolist, block), strict=True):
            assert (a, b) not in found
            found[a, b] = (bits, turned)
    return found


def flipped(hash_: np.ndarray, bits: int, random: np.random.Generator) -> np.ndarray:
    """A hash of which so many bits differ; the first, which is always 0, is none of them."""
    chosen = np.unpackbits(hash_.view(np.uint8))
    chosen[random.choice(np.arange(1, 256), bits, replace=False)] ^= 1
    return np.packbits(chosen).view(np.uint64)


def random_hashes(random: np.random.Generator, n: int) -> np.ndarray:
    """Hashes (n, 8, 4) of which most pairs are far apart and many near, about the limit too."""
    hashes = random.integers(0, 2**64, (n, 8, 4), np.uint64)
    hashes.view(np.uint8)[..., 0] &= 0x7F
    for b in range(1, n):
        if random.random() < 0.6:
            a, turn = int(random.integers(b)), int(random.integers(8))
            bits = int(random.choice([0, 1, 40, 63, 64, 65, 66, 90]))
            hashes[b, turn] = flipped(hashes[a, 0], bits, random)
    return hashes


@pytest.mark.parametrize("turn", [0, 1, 5, 7])
def test_a_pair_is_near_up_to_the_limit_and_no_further(turn):
    random = np.random.default_rng(turn)
    assert leakage.NEAR_BITS == 64
    for bits, near in ((0, True), (1, True), (63, True), (64, True), (65, False), (66, False)):
        hashes = random_hashes(random, 1).repeat(2, axis=0)
        hashes[1] = random_hashes(random, 1)
        hashes[1, turn] = flipped(hashes[0, 0], bits, random)
        assert found_pairs(hashes) == ({(0, 1): (bits, turn > 0)} if near else {})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("block", [(64, 1024), (7, 13), (1, 1)])
def test_pair_search_against_every_pair(seed, block, monkeypatch):
    random = np.random.default_rng(seed)
    monkeypatch.setattr(pairs, "_ROWS", block[0])
    monkeypatch.setattr(pairs, "_COLUMNS", block[1])
    hashes = random_hashes(random, int(random.integers(2, 70)))
    expected = every_pair(hashes)
    assert len(expected) > len(hashes) // 4
    assert found_pairs(hashes) == expected


def test_pair_search_in_images_frequencies():
    random = np.random.default_rng(0)
    frequencies = random.normal(size=(700, 16, 16)).astype(np.float32)  # more than one block
    frequencies[650] = frequencies[3] + 0.2 * random.normal(size=(16, 16))
    sign = np.where(np.arange(16) % 2, -1, 1)
    frequencies[10] = frequencies[600] * sign
    frequencies[11] = frequencies[601].T
    found = found_pairs(fingerprints.perceptual_hashes(frequencies))
    assert found.keys() == {(3, 650), (10, 600), (11, 601)}
    assert found[10, 600] == found[11, 601] == (0, True)
    assert 0 < found[3, 650][0] <= leakage.NEAR_BITS
    assert not found[3, 650][1]


def test_two_images_that_agree_in_no_orientation_are_no_pair():
    hashes = np.zeros((2, 8, 4), np.uint64)
    hashes[1] = np.iinfo(np.uint64).max
    hashes.view(np.uint8)[..., 0] &= 0x7F  # 255 bits differ, the most there are
    assert found_pairs(hashes) == {}
    assert list(pairs.near_pairs(hashes[:0], 64)) == []


def expected_counts(
    split: pd.DataFrame, found: dict[tuple[int, int], tuple[int, bool]], exact: bool
) -> dict:
    """What a report says of pairs, counted one by one."""
    part, label, image = (split[name].tolist() for name in ("part", "label", "image"))
    across, twins = [], set()
    by_parts = {"-".join(names): 0 for names in leakage.PAIRS_OF_PARTS}
    for (a, b), (bits, turned) in found.items():
        if part[a] == part[b]:
            continue
        first, second = sorted((a, b), key=lambda row: splits.PARTS.index(part[row]))
        name = f"{part[first]}-{part[second]}"
        by_parts[name] += 1
        across.append((name != "train-test", bits, first, second, turned))
        if name == "train-test":
            twins.add(second)
    return {
        "pairs": len(found),
        "across": len(across),
        "by_parts": by_parts,
        "label_conflicts": sum(label[a] != label[b] for a, b in found),
        "twins": twins,
        "worst": [
            {
                "a": image[first], "a_part": part[first], "b": image[second],
                "b_part": part[second], "bits": bits, "turned": turned,
                "same_label": label[first] == label[second], "exact": exact,
            }
            for _, bits, first, second, turned in sorted(across)[: leakage.SHOWN_PAIRS]
        ],
    }  # fmt: skip


def hashed_images(
    digests: np.ndarray, hashes: np.ndarray, random: np.random.Generator
) -> tuple[pd.DataFrame, images.Pixels]:
    """A split of images that are known by their fingerprints only."""
    n = len(digests)
    names = [f"{i:05}.png" for i in range(n)]
    split = pd.DataFrame(
        {
            "image": names,
            "label": random.choice(["x", "y"], n),
            "part": random.choice(splits.PARTS, n, p=[0.5, 0.2, 0.3]),
        }
    )
    order = random.permutation(n)  # the cache's rows are in another order
    pixels = np.zeros((n, 32), np.uint8)
    pixels[:, :4] = np.asarray(digests, "<u4")[:, None].view(np.uint8)
    prints = fingerprints.Fingerprints(pixels[order], hashes[order])
    cached = images.Pixels(
        [names[i] for i in order],
        np.zeros((n, 1, 1, 3), np.uint8),
        np.arange(n),
        fingerprints=lambda: prints,
    )
    return split, cached


@pytest.mark.parametrize("seed", range(8))
def test_the_report_counts_as_if_every_pair_were_listed(seed, monkeypatch):
    """With sets of equal images, near ones, and more pairs than are shown."""
    random = np.random.default_rng(seed)
    monkeypatch.setattr(leakage, "SHOWN_PAIRS", 5)
    monkeypatch.setattr(pairs, "SHOWN_PAIRS", 5)
    monkeypatch.setattr(pairs, "_ROWS", 16)
    n = int(random.integers(30, 60))
    digests = random.integers(0, n // 2 if seed % 2 else 3 * n, n)
    hashes = random_hashes(random, n)
    for digest in set(digests.tolist()):  # equal pixels have equal hashes
        same = np.flatnonzero(digests == digest)
        hashes[same] = hashes[same[0]]
    split, cached = hashed_images(digests, hashes, random)
    report = leakage.report(split, pixels=cached)
    every = every_pair(hashes)
    equal = {(a, b) for a in range(n) for b in range(a + 1, n) if digests[a] == digests[b]}
    exact = expected_counts(split, dict.fromkeys(equal, (0, False)), exact=True)
    near = {pair: found for pair, found in every.items() if pair not in equal}
    near = expected_counts(split, near, exact=False)
    near["twins"] |= exact["twins"]
    assert exact["pairs"] > 0
    assert near["pairs"] > 5
    tested = (split["part"] == "test").sum()
    for kind, expected in (("exact", exact), ("near", near)):
        twins = len(expected.pop("twins"))
        found = report[kind]
        assert {key: found[key] for key in expected} == expected
        assert found["test_images"] == twins
        assert found["share"] == twins / tested


def test_equal_images_are_counted_as_sets():
    digests = np.array([5, 1, 2, 5, 3, 1, 1, 4, 1])
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, (6, 8, 4), np.uint64)[digests]
    hashes.view(np.uint8)[..., 0] &= 0x7F
    split, cached = hashed_images(digests, hashes, random)
    split["part"] = list(np.array(["train", "test"])[[0, 0, 1, 1, 0, 1, 0, 0, 1]])
    exact = leakage.report(split, pixels=cached)["exact"]
    assert (exact["sets"], exact["set_images"], exact["pairs"]) == (2, 6, 7)
    assert exact["largest_sets"] == [
        {
            "images": 4,
            "parts": {"train": 2, "validation": 0, "test": 2},
            "first": "00001.png",
        },
        {
            "images": 2,
            "parts": {"train": 1, "validation": 0, "test": 1},
            "first": "00000.png",
        },
    ]
    text = leakage.text(leakage.report(split, pixels=cached, near=False))
    assert "6 images in 2 sets of equal ones; the largest has 4 (00001.png ...)" in text


def test_thousands_of_blank_tiles_take_little_memory():
    n = 3000
    split, cached = hashed_images(
        np.zeros(n, int), np.zeros((n, 8, 4), np.uint64), np.random.default_rng(0)
    )
    tracemalloc.start()
    report = leakage.report(split, pixels=cached)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report["exact"]["pairs"] == n * (n - 1) // 2
    assert report["exact"]["sets"] == 1
    assert len(report["exact"]["worst"]) == leakage.SHOWN_PAIRS
    assert report["near"]["pairs"] == 0
    assert report["near"]["test_images"] == (split["part"] == "test").sum()
    # Each in other bytes, all near one another: counted as they are found.
    split, cached = hashed_images(
        np.arange(n), np.zeros((n, 8, 4), np.uint64), np.random.default_rng(0)
    )
    report = leakage.report(split, pixels=cached)
    assert report["exact"]["pairs"] == 0
    assert report["near"]["pairs"] == n * (n - 1) // 2
    assert not report["near"]["worst"][0]["exact"]
    assert peak < 64 * 2**20  # the pairs of 3,000 images took 1.9 GB as a list


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
    titles = [axis.get_title(loc="left") for axis in figure.axes]
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
