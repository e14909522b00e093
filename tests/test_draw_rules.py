"""Rules of the ways to split, each by a case that is drawn by hand, and what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common import splits
from common.errors import InputError
from common.splits import parts
from common.splits.group_wise import draw_groups


def is_said(message):
    return pytest.raises(InputError, match=message)


def index(labels, **columns):
    """Images 00.png, 01.png, ... with one letter of each text."""
    table = {"image": [f"{i:02d}.png" for i in range(len(labels))], "label": list(labels)}
    return pd.DataFrame({**table, **{name: list(values) for name, values in columns.items()}})


def letters(split):
    """Say the parts of all images in one word: t, v, e for test, - for none."""
    names = {"train": "t", "validation": "v", "test": "e", "": "-"}
    return "".join(names[part] for part in split["part"])


WAYS = {
    "image": lambda index, **given: splits.by_image(index, seed=0, **given),
    "group": lambda index, **given: splits.by_group(index, seed=0, **given),
}


# --- what all of them refuse ---------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_fractions_and_tables_that_are_refused(way):
    split, table = WAYS[way], index("xyxyxyxy", case="aabbccdd")
    for test in (None, 0, 1, np.nan, "0.3", True):
        with is_said("the test part must be a fraction between 0 and 1, not"):
            split(table, test=test, validation=0)
    for validation in (1, -0.1, np.nan, None, False):
        with is_said("the validation part must be a fraction from 0 to below 1, not"):
            split(table, test=0.5, validation=validation)
    with is_said("index: the column 'label' is missing"):
        split(table.drop(columns="label"), test=0.5, validation=0)
    with is_said(r"index must be a table \(DataFrame\), not list"):
        split([], test=0.5, validation=0)


def test_official_parts_that_are_refused():
    table = index("xyxy", official=["train", "train", "test", "test"])
    assert letters(splits.official(table, validation=0, seed=0)) == "ttee"
    with is_said("the validation part must be a fraction from 0 to below 1, not 1"):
        splits.official(table, validation=1, seed=0)
    for column in ("image", "label", "official"):
        with is_said(f"index: the column '{column}' is missing"):
            splits.official(table.drop(columns=column), validation=0, seed=0)
    with is_said("the train part of this split is empty"):
        splits.official(table.assign(official="test"), validation=0, seed=0)


# --- by counts -----------------------------------------------------------------------------------


def test_counts_that_are_refused():
    table = index("xxxxxyyyyy")
    good = {"train": 1, "validation": 0, "test": 1}
    for counts in ([good], {"x": 3, "y": 3}, {"x": good, "y": 3}, None):
        with is_said("counts must map each class to its numbers of images by part"):
            splits.by_counts(table, counts, 0)
    for number in (-1, 1.0, "1", None):
        with is_said("counts of y, validation, must be a whole number of at least 0, not"):
            splits.by_counts(table, {"x": good, "y": {**good, "validation": number}}, 0)
    with is_said("index: the column 'label' is missing"):
        splits.by_counts(table.drop(columns="label"), {}, 0)
    with is_said("counts name no numbers for the classes a, b, c, d, e, f, g, h$"):
        splits.by_counts(index("hgfedcba"), {}, 0)
    with is_said("counts of x: unknown part a, b, c, d, e, f, g, h$"):
        splits.by_counts(table, {"x": dict.fromkeys("hgfedcba", 1), "y": good}, 0)
    said = (
        r"class y: 2 \+ 0 \+ 4 images are asked for \(train \+ validation \+ test\), the data set"
    )
    with is_said(f"{said} holds 5"):
        splits.by_counts(table, {"x": good, "y": {"test": 4, "train": 2}}, 0)


def test_parts_that_counts_leave_out_have_no_image():
    two = {"train": 2, "test": 2}
    found = letters(splits.by_counts(index("xxxxxyyyyy"), {"x": two, "y": two}, 0))
    assert sorted(found) == list("--eeeetttt")
    counts = {"x": two, "y": two, "z": {}}
    assert letters(splits.by_counts(index("xxxxyyyyzz"), counts, 0))[8:] == "--"


# --- by group ------------------------------------------------------------------------------------


def drawn(table, fraction, left):
    """Draw of groups with these numbers of images of the classes, (G, K)."""
    rows = [(g, k) for g, held in enumerate(table) for k, n in enumerate(held) for _ in range(n)]
    images = index("." * len(rows)).assign(label=[f"k{k}" for _, k in rows])
    images["case"] = [f"g{g}" for g, _ in rows]
    order = np.arange(len(rows))
    others, found = draw_groups(images, order, "case", fraction, 0, left=left)
    assert sorted([*others, *found]) == order.tolist()
    return "".join(sorted(set(images["case"].iloc[found].str[1:])))


@pytest.mark.parametrize(
    ("table", "fraction", "left", "expected"),
    [
        # Each class lies in two groups. To draw two groups leaves one class without any, which is
        # worse than a class that is not drawn from.
        ([[3, 2, 0], [2, 0, 3], [0, 2, 3]], 0.3, 1, "1"),
        # Both groups are the only one of a class: rather than that, two others go untested ...
        ([[1, 1, 1, 0], [0, 1, 1, 1]], 0.1, 1, ""),
        # ... but not three.
        ([[1, 1, 1, 1, 0], [0, 2, 2, 2, 2]], 0.1, 1, "0"),
        # The middle class has two groups and is drawn from, though of the third, which has three,
        # only one is left.
        ([[3, 2, 0], [0, 2, 1], [3, 0, 2], [2, 0, 2]], 0.3, 2, "13"),
        # The ninth random order would give 0, 3 and 4, which is nearer; there are eight.
        ([[1, 0], [3, 3], [2, 3], [1, 0], [0, 2]], 0.3, 1, "2"),
    ],
)
def test_which_groups_are_drawn(table, fraction, left, expected):
    assert drawn(table, fraction, left) == expected


def test_a_group_is_moved_rather_than_exchanged():
    """Of two ways that are as good; the other one would give 0, 0, 1."""
    table = index("x" * 8, case="aabbcccc")
    assert splits.k_folds(table, 2, seed=0, group="case").tolist() == [1] * 4 + [0] * 4


# --- by position ---------------------------------------------------------------------------------


def test_positions_that_are_refused():
    table = index("xyxy")
    with is_said("the validation part must be a fraction from 0 to below 1, not 1"):
        splits.by_positions(table, list(table["image"]), [(0, 1)], validation=1, seed=0)


def test_positions_count_the_list_and_not_the_rows():
    table = index("xyxyxy")
    order = list(table["image"])
    for rows in (table, table[::-1]):
        split = splits.by_positions(rows, order, [(0, 1)], validation=0, seed=0)
        assert letters(split.sort_values("image")) == "eetttt"


@pytest.mark.parametrize("seed", range(4))
def test_validation_beside_positions_keeps_the_classes_shares(seed):
    table = index("xy" * 12)
    order = list(table["image"])
    split = splits.by_positions(table, order, [(0, 3)], validation=0.5, seed=seed)
    validated = split.loc[split["part"] == "validation", "label"]
    assert validated.value_counts().to_dict() == {"x": 5, "y": 5}


def test_groups_beside_positions():
    table = index("xyxyxyxy", case="aabbccdd")
    order = list(table["image"])
    split = splits.by_positions(table, order, [(0, 3)], validation=0, seed=0, group="case")
    assert letters(split) == "eeeetttt"
    split = splits.by_positions(table, order, [(0, 3)], validation=0.5, seed=0, group="case")
    assert letters(split) in ("eeeettvv", "eeeevvtt")  # one of two groups is left to train on


# --- parts ---------------------------------------------------------------------------------------


def test_tables_of_parts_that_are_refused():
    table = index("xyxy", case="aabb", part=["train"] * 4)
    for function in (splits.check_disjoint, lambda given: parts.shared_groups(given, "case")):
        with is_said("split: the column 'part' is missing"):
            function(table.drop(columns="part"))
        with is_said("unknown group 'case'; columns that can say it: none"):
            function(table.drop(columns="case"))
    with is_said("split: the column 'case' holds NaN; unknown values are empty"):
        parts.shared_groups(table.assign(case=["a", "a", None, "b"]), "case")
    with is_said("index: the column 'case' holds NaN; unknown values are empty"):
        parts.check_known(table.assign(case=["a", "a", None, "b"]), "case", "so what")
    with is_said("unknown group 'cas'; did you mean 'case'\\? columns that can say it: case$"):
        parts.shared_groups(table, "cas")
    for group in (3, None, ["x"]):
        with is_said(r"unknown group .*; columns that can say it: case"):
            parts.shared_groups(table, group)


def test_a_validation_part_is_held_where_one_is_meant():
    rows = {"train": [0, 1], "validation": [], "test": [2, 3]}
    assert letters(parts.with_parts(index("xyxy"), rows, 0)) == "ttee"
    with is_said("the validation part of this split is empty"):
        parts.with_parts(index("xyxy"), rows, 0.1)
