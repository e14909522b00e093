"""Near and equal images: the hashes, the search against every pair, counting without listing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from common import images, splits
from common.images import fingerprints
from common.splits import leakage, pairs


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


def test_sets_of_equal_images_stand_in_the_order_of_their_first():
    digests = np.zeros((7, 32), np.uint8)
    digests[:, 5] = [9, 3, 3, 9, 4, 3, 1]
    number, sets = pairs.equal_sets(digests)
    assert [rows.tolist() for rows in sets] == [[0, 3], [1, 2, 5]]
    assert len(set(number.tolist())) == 4
    for rows in sets:
        assert len(set(number[rows].tolist())) == 1


def test_a_hundred_pairs_and_twenty_sets_are_listed():
    random = np.random.default_rng(0)
    digests = np.repeat(np.arange(25), 6)
    split, cached = hashed_images(digests, np.zeros((150, 8, 4), np.uint64), random)
    split["part"] = ["train", "test"] * 75
    report = leakage.report(split, pixels=cached)
    assert report["exact"]["across"] == 25 * 9
    assert len(report["exact"]["worst"]) == len(report["near"]["worst"]) == 100
    assert report["exact"]["sets"] == 25
    assert len(report["exact"]["largest_sets"]) == 20


def test_two_blocks_a_worker_are_under_way(monkeypatch):
    """More would fill the memory with pairs that nobody has counted yet."""
    begun = []

    class Pool:
        def __init__(self, workers: int):
            assert workers == 3

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def submit(self, function, *arguments) -> Pool:
            begun.append(arguments)
            self.result = lambda: function(*arguments)
            return self

    monkeypatch.setattr(pairs, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(pairs, "_ROWS", 2)
    next(pairs.near_pairs(np.zeros((60, 8, 4), np.uint64), 64, workers=3))
    assert len(begun) == 7


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
