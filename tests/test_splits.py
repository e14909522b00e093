"""Splits against scikit-learn, by invariances, and the leakage report on planted duplicates."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, train_test_split

from common import datasets, splits
from common.errors import InputError
from common.splits import leakage

TYPES = ("A", "F", "PT", "TA", "DC", "LC", "MC", "PC")


def frame(labels: list[str], cases: list[str] | None = None, official="") -> pd.DataFrame:
    """An index without files."""
    n = len(labels)
    cases = cases or [""] * n
    return pd.DataFrame(
        {
            "image": [f"data/{i:05d}.png" for i in range(n)],
            "bytes": np.full(n, 9),
            "label": labels,
            "type": labels,
            "case": cases,
            "slide": cases,
            "folder": cases,
            "magnification": "",
            "official": official,
            "synthetic": False,
        }
    )


def like_breakhis(seed: int = 0) -> pd.DataFrame:
    """7,909 images of eight types in 70 cases of unequal sizes; PT has three cases."""
    random = np.random.default_rng(seed)
    cases = dict(zip(TYPES, (4, 8, 3, 6, 32, 4, 7, 6), strict=True))
    images = dict(zip(TYPES, (444, 1014, 453, 569, 3451, 626, 792, 560), strict=True))
    labels, names = [], []
    for kind in TYPES:
        share = random.dirichlet(np.full(cases[kind], 4.0))
        drawn = random.choice(cases[kind], images[kind], p=share)
        drawn[: cases[kind]] = np.arange(cases[kind])
        labels += [kind] * images[kind]
        names += [f"{kind}{i}" for i in drawn]
    return frame(labels, names)


def members(split: pd.DataFrame) -> dict[str, set[str]]:
    return {part: set(split.loc[split["part"] == part, "image"]) for part in (*splits.PARTS, "")}


def sizes(split: pd.DataFrame) -> dict[str, int]:
    return {part: len(found) for part, found in members(split).items() if found}


WAYS = {
    "image": lambda index, seed: splits.by_image(index, test=0.3, validation=0.25, seed=seed),
    "stratified": lambda index, seed: splits.by_image(
        index, test=0.3, validation=0.25, seed=seed, stratify=True
    ),
    "case": lambda index, seed: splits.by_group(index, test=0.3, validation=0.25, seed=seed),
    "counts": lambda index, seed: splits.by_counts(
        index, {kind: {"train": 30, "validation": 9, "test": 11} for kind in TYPES}, seed
    ),
    "official": lambda index, seed: splits.official(index, validation=0.1, seed=seed),
}


# --- every way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_depends_on_seed_and_names_only(way):
    index = like_breakhis()
    index["official"] = np.where(index.index % 5 == 0, "test", "train")
    split = WAYS[way](index, 3)
    assert split.drop(columns="part").equals(index)
    assert members(split) == members(WAYS[way](index, 3))
    assert members(split) != members(WAYS[way](index, 4))
    shuffled = index.sample(frac=1, random_state=1)
    assert members(WAYS[way](shuffled, 3)) == members(split)
    moved = index.assign(image="elsewhere/" + index["image"].str[5:-4] + ".PNG")
    # Another layout: the same images have the same parts.
    assert list(WAYS[way](moved, 3)["part"]) == list(split["part"])


def test_by_image_has_the_papers_sizes():
    index = like_breakhis()
    split = splits.by_image(index, test=0.3, validation=0.25, seed=42)
    assert sizes(split) == {"test": 2373, "validation": 1384, "train": 7909 - 2373 - 1384}
    assert sizes(splits.by_image(index, test=0.3, validation=0, seed=42)) == {
        "train": 5536,
        "test": 2373,
    }


@pytest.mark.parametrize("n", [13, 57, 100, 213, 999])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 0.7])
def test_by_image_is_scikit_learns_split_of_the_sorted_names(n, fraction):
    index = frame([str(i % 2) for i in range(n)])
    try:
        split = splits.by_image(index, test=fraction, validation=0.25, seed=n)
    except InputError as error:  # a part of one class, which small numbers can give
        assert "one class" in str(error)
        return
    rest, test = train_test_split(list(index["image"]), test_size=fraction, random_state=n)
    train, validation = train_test_split(rest, test_size=0.25, random_state=n)
    assert members(split) == {
        "train": set(train),
        "validation": set(validation),
        "test": set(test),
        "": set(),
    }


def test_by_image_stratified():
    index = like_breakhis()
    split = splits.by_image(index, test=0.3, validation=0.25, seed=0, stratify=True)
    assert sizes(split) == {"test": 2373, "validation": 1384, "train": 4152}
    test = split[split["part"] == "test"]["label"].value_counts()
    for kind, n in index["label"].value_counts().items():
        assert abs(test[kind] - n * 2373 / 7909) < 1


# --- by patient --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_by_group_on_random_data(seed):
    """Groups are whole, every class is trained and tested on, and the parts' sizes are near."""
    index = like_breakhis(seed)
    split = splits.by_group(index, test=0.3, validation=0.25, seed=seed)
    assert split.groupby("case")["part"].nunique().max() == 1
    for part in splits.PARTS:
        assert set(split.loc[split["part"] == part, "label"]) == set(TYPES)
    found = sizes(split)
    assert found["test"] == pytest.approx(2373, rel=0.05)
    assert found["validation"] == pytest.approx(1384, rel=0.05)
    # The large class is near its share too.
    ductal = split[split["label"] == "DC"]["part"].value_counts(normalize=True)
    assert ductal["test"] == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("seed", range(40))
def test_by_group_small_random_trials(seed):
    """Few groups, groups of several classes, very unequal sizes."""
    random = np.random.default_rng(seed)
    groups = int(random.integers(8, 20))
    labels, cases = [], []
    for g in range(groups):
        kinds = random.choice(["x", "y", "z"], size=int(random.integers(1, 3)), replace=False)
        n = int(random.integers(1, 40))
        labels += list(random.choice(kinds, n))
        cases += [f"case{g}"] * n
    index = frame(labels, cases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split = splits.by_group(index, test=0.3, validation=0.25, seed=seed)
    splits.check_disjoint(split, "case")
    assert set(split["part"]) == set(splits.PARTS)
    per_class = split.groupby(["label", "case"]).size().groupby("label").size()
    for kind, n in per_class.items():
        parts = set(split.loc[split["label"] == kind, "part"])
        if n >= 2:
            assert "train" in parts
            assert len(parts) >= 2


def test_by_group_two_groups_are_trained_and_tested_on():
    index = frame(
        ["x"] * 60 + ["y"] * 20, [f"x{i // 10}" for i in range(60)] + ["y0"] * 12 + ["y1"] * 8
    )
    for seed in range(10):
        split = splits.by_group(index, test=0.25, validation=0, seed=seed)
        assert set(split.loc[split["label"] == "y", "part"]) == {"train", "test"}
        assert set(split.loc[split["label"] == "x", "part"]) == {"train", "test"}


def test_by_group_class_with_one_patient_is_warned_about():
    labels = ["x"] * 60 + ["y"] * 60 + ["z"] * 9
    cases = [f"x{i // 6}" for i in range(60)] + [f"y{i // 6}" for i in range(60)] + ["only"] * 9
    for seed in range(5):
        with pytest.warns(UserWarning, match=r"single case.*z \(case only: train\)"):
            splits.by_group(frame(labels, cases), test=0.3, validation=0.25, seed=seed)


def test_by_group_refusals():
    with pytest.raises(InputError, match="the case of 9 of 9 images is unknown"):
        splits.by_group(frame(list("xyz") * 3), test=0.3, validation=0.2, seed=0)
    with pytest.raises(InputError, match="2 patients; keeping patients apart needs 3"):
        splits.by_patient(frame(list("xyxy"), list("aabb")), test=0.3, validation=0.2, seed=0)
    with pytest.raises(InputError, match="unknown group 'city'"):
        splits.by_group(frame(list("xy")), group="city", test=0.3, validation=0.2, seed=0)


def test_by_group_other_groups():
    index = like_breakhis()
    index["slide"] = index["case"] + (index.index % 2).astype(str)
    split = splits.by_group(index, group="slide", test=0.3, validation=0.25, seed=0)
    splits.check_disjoint(split, "slide")
    with pytest.raises(InputError, match=r"cases lie in more than one part: \w+ \(train, "):
        splits.check_disjoint(split, "case")


# --- official, counts, files -------------------------------------------------------------------


def test_official():
    official = ["train"] * 3896 + ["test"] * 977
    labels = [("0", "1+", "2+", "3+")[i % 7 % 4] for i in range(4873)]
    split = splits.official(frame(labels, official=official), validation=0.1, seed=0)
    assert sizes(split) == {"train": 3506, "validation": 390, "test": 977}
    assert list(split["part"] == "test") == [name == "test" for name in official]
    counts = datasets.counts(split[split["official"] == "train"], "label")
    validation = datasets.counts(split[split["part"] == "validation"], "label")
    for name, n in counts.items():
        assert abs(validation[name] - n * 390 / 3896) < 1
    with pytest.raises(InputError, match="4 images have no official part"):
        splits.official(frame(list("xyxy")), validation=0.1, seed=0)


def test_by_counts():
    counts = {
        "benign": {"train": 1924, "validation": 481, "test": 75},
        "malignant": {"train": 4274, "validation": 1070, "test": 85},
    }
    index = frame(["benign"] * 2480 + ["malignant"] * 5429)
    split = splits.by_counts(index, counts, seed=0)
    assert {k: datasets.counts(g, "part") for k, g in split.groupby("label")} == counts
    fewer = splits.by_counts(index, counts | {"benign": dict.fromkeys(splits.PARTS, 2)}, seed=0)
    assert sizes(fewer) == {"train": 4276, "validation": 1072, "test": 87, "": 2474}
    # One class' numbers do not change another one's draw.
    assert list(fewer["part"][2480:]) == list(split["part"][2480:])
    with pytest.raises(InputError, match=r"1924 \+ 481 \+ 75 images.*holds 2479"):
        splits.by_counts(index[1:], counts, seed=0)
    with pytest.raises(InputError, match="no numbers for the classes malignant"):
        splits.by_counts(index, {"benign": counts["benign"]}, seed=0)
    with pytest.raises(InputError, match="unknown part val"):
        splits.by_counts(index, counts | {"benign": {"val": 1}}, seed=0)


def test_parts_that_cannot_work():
    index = frame(["x"] * 99 + ["y"])
    with pytest.raises(InputError, match=r"part of this split has images of one class only \(x"):
        splits.by_image(index, test=0.3, validation=0.25, seed=0)
    with pytest.raises(InputError, match="the train part of this split is empty"):
        splits.by_image(frame(list("xy")), test=0.9, validation=0, seed=0)
    with pytest.raises(InputError, match="no images to split"):
        splits.by_image(index[:0], test=0.3, validation=0, seed=0)
    for test, validation in ((0, 0.1), (1, 0.1), (0.3, 1), (0.3, -0.1)):
        with pytest.raises(InputError, match="must be a fraction"):
            splits.by_image(index, test=test, validation=validation, seed=0)
    with pytest.raises(InputError, match="split seed must be from 0"):
        splits.by_image(index, test=0.3, validation=0.2, seed=-1)


def test_check_disjoint():
    split = frame(list("xyxy"), list("aabb")).assign(part=["train", "test", "test", "test"])
    with pytest.raises(InputError, match=r"1 cases lie in more than one part: a \(train, test\)"):
        splits.check_disjoint(split)
    split.loc[0, "part"] = ""  # unused images do not count
    splits.check_disjoint(split)
    split.loc[3, "case"] = ""
    with pytest.raises(InputError, match="the case of 1 of 3 images is unknown"):
        splits.check_disjoint(split)


# --- folds -------------------------------------------------------------------------------------


def test_k_folds_are_scikit_learns():
    index = frame([str(i % 3) for i in range(103)])
    folds = splits.k_folds(index, 5, seed=7)
    for fold, (_, rows) in enumerate(KFold(5, shuffle=True, random_state=7).split(index)):
        assert list(np.flatnonzero(folds == fold)) == list(rows)
    order = np.random.default_rng(0).permutation(103)
    assert list(splits.k_folds(index.iloc[order], 5, seed=7)) == list(folds[order])


def test_k_folds_stratified():
    index = like_breakhis()
    folds = splits.k_folds(index, 5, seed=0, stratify=True)
    table = pd.crosstab(folds, index["label"])
    assert (table.max() - table.min()).max() <= 1
    assert np.ptp(np.bincount(folds)) <= 1
    assert not np.array_equal(folds, splits.k_folds(index, 5, seed=1, stratify=True))


@pytest.mark.parametrize("seed", range(5))
def test_k_folds_by_group(seed):
    index = like_breakhis(seed)
    folds = splits.k_folds(index, 5, seed=seed, group="case")
    assert index.assign(fold=folds).groupby("case")["fold"].nunique().max() == 1
    assert np.bincount(folds) == pytest.approx(np.full(5, 7909 / 5), rel=0.06)
    table = pd.crosstab(folds, index["label"])
    assert table["DC"].to_numpy() == pytest.approx(np.full(5, 3451 / 5), rel=0.15)
    # Classes with at least five cases are in every fold.
    assert (table[["F", "TA", "MC", "PC"]] > 0).all(axis=None)
    order = np.random.default_rng(0).permutation(len(index))
    again = splits.k_folds(index.iloc[order], 5, seed=seed, group="case")
    assert list(again) == list(folds[order])
    assert not np.array_equal(folds, splits.k_folds(index, 5, seed=seed + 1, group="case"))


def test_k_folds_refusals():
    index = frame(list("xyxyxy"), list("aabbcc"))
    assert sorted(splits.k_folds(index, 3, seed=0, group="case")) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(InputError, match="4 folds need at least 4 groups by case; there are 3"):
        splits.k_folds(index, 4, seed=0, group="case")
    with pytest.raises(InputError, match="7 folds need at least 7 images"):
        splits.k_folds(index, 7, seed=0)
    with pytest.raises(InputError, match="at least 2"):
        splits.k_folds(index, 1, seed=0)
    with pytest.raises(InputError, match="is unknown: no folds by patient"):
        splits.k_folds(frame(list("xyxy")), 2, seed=0, group="slide")


# --- real images -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(real_data) -> tuple[Path, pd.DataFrame]:
    from common.datasets import breakhis

    root = real_data / "data" / "breakhis_100x"
    return root, breakhis.index(root)


@pytest.mark.data
def test_real_images_by_image_leak(real):
    _, index = real
    split = splits.by_image(index, test=0.3, validation=0.25, seed=42)
    assert sizes(split) == {"train": 111, "validation": 38, "test": 64}
    pair = leakage.report(split)["groups"]["case"]["pairs"]["train-test"]
    assert pair["share"] == 1.0
    assert pair["groups"] == 12
    assert math.ceil(0.3 * 213) == 64


# --- by position -------------------------------------------------------------------------------


def test_by_positions_by_hand():
    index = frame(["a", "b"] * 6, [*"wwxxyyzz", *[""] * 4])
    order = list(index["image"][::-1])
    ranges = [(0, 1), (11, 11)]  # the last two images and the first
    split = splits.by_positions(index, order, ranges, validation=0, seed=0)
    assert list(split["part"]) == ["test", *["train"] * 9, "test", "test"]
    drawn = splits.by_positions(index, order, ranges, validation=0.4, seed=0)
    # Of nine others, four, two of each class: 4 * (4, 5) / 9 = 1.8 and 2.2.
    labels = drawn.loc[drawn["part"] == "validation", "label"]
    assert sorted(labels) == ["a", "a", "b", "b"]
    assert members(drawn)["test"] == members(split)["test"]
    with pytest.raises(InputError, match="1 cases lie on both sides of the partition: w"):
        splits.by_positions(index, order, ranges, validation=0.4, seed=0, group="case")
    ranges = [(0, 1), (10, 11)]
    drawn = splits.by_positions(index, order, ranges, validation=0.25, seed=0, group="case")
    # Of eight others two: one patient of x, y, z; images of an unknown patient are trained on.
    (group,) = set(drawn.loc[drawn["part"] == "validation", "case"])
    assert group in ("x", "y", "z") and sizes(drawn)["validation"] == 2
    assert set(drawn.loc[drawn["case"] == "", "part"]) == {"train", "test"}
    assert set(drawn.loc[drawn["case"] == "w", "part"]) == {"test"}
    with pytest.raises(InputError, match="the case of 6 of 8 images is known, too few"):
        splits.by_positions(index, order, ranges, validation=0.75, seed=0, group="case")


def test_positions_outside_and_of_other_images():
    index = frame(["a", "b"] * 3)
    order = list(index["image"])
    for ranges in ([(0, 6)], [(-1, 2)], [(3, 2)]):
        with pytest.raises(InputError, match="are not in a list of 6"):
            splits.by_positions(index, order, ranges, validation=0, seed=0)
    for other in (order[1:], [*order, "x"], [order[0], *order[:5]]):
        with pytest.raises(InputError, match="count other images"):
            splits.by_positions(index, other, [(0, 1)], validation=0, seed=0)
