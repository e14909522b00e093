"""The rules by which images and groups are drawn, against trying every possibility."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from test_splits import frame

from common import splits
from common.errors import InputError
from common.splits import folds as folds_module
from common.splits import group_wise
from common.splits.draw import draw, group_table, random_state
from common.splits.folds import k_folds
from common.splits.group_wise import draw_groups

# --- shares ---


@pytest.mark.parametrize(
    ("total", "shares", "expected"),
    [
        (7, [5, 3, 2], [4, 2, 1]),  # 3.5, 2.1, 1.4
        (10, [1, 1, 1], [4, 3, 3]),  # of equal remainders the first is served first
        (11, [1, 1, 1], [4, 4, 3]),
        (5, [1, 2, 1, 1], [1, 2, 1, 1]),
        (1, [1, 9, 9], [0, 1, 0]),
        (3, [0, 1, 0], [0, 3, 0]),
        (0, [3, 4], [0, 0]),
        (390, [152, 915, 1696, 1080], [15, 93, 172, 110]),
        (10, [0.25, 0.5, 0.25], [3, 5, 2]),
    ],
)
def test_apportion(total, shares, expected):
    assert splits.apportion(total, np.array(shares)).tolist() == expected


@pytest.mark.parametrize("seed", range(20))
def test_apportion_gives_the_largest_remainders_one_more(seed):
    random = np.random.default_rng(seed)
    shares = random.integers(1, 50, int(random.integers(1, 9)))
    total = int(random.integers(0, 200))
    counts = splits.apportion(total, shares)
    exact = shares * total / shares.sum()
    assert counts.sum() == total
    more = counts - np.floor(exact)
    assert set(more.tolist()) <= {0, 1}
    remainder = exact - np.floor(exact)
    assert min(remainder[more == 1], default=1) >= max(remainder[more == 0], default=0) - 1e-9


# --- images ---


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 0.55])
def test_a_stratified_draw_takes_each_class_its_share(fraction):
    labels = ["x"] * 31 + ["y"] * 17 + ["z"] * 5
    index = frame(list(np.random.default_rng(0).permutation(labels)))
    rows = np.arange(53)
    others, drawn = draw(index, rows, fraction, seed=3, stratify=True)
    assert sorted([*others, *drawn]) == rows.tolist()
    assert len(drawn) == math.ceil(fraction * 53)
    counts = index["label"].iloc[drawn].value_counts()
    expected = splits.apportion(len(drawn), np.array([31, 17, 5]))
    assert [counts.get(name, 0) for name in "xyz"] == expected.tolist()
    # Each class has a stream of random numbers that begins with the seed and its name.
    for name in "xyz":
        mine = np.flatnonzero(index["label"] == name)
        order = np.random.RandomState([3, ord(name)]).permutation(len(mine))
        taken = sorted(mine[order[: counts.get(name, 0)]].tolist())
        assert sorted(row for row in drawn.tolist() if row in set(mine.tolist())) == taken


def test_a_draw_takes_no_more_than_there_is():
    index = frame(list("xyxyx"))
    for stratify in (False, True):
        others, drawn = draw(index, np.array([4, 2, 0]), 1.0, seed=0, stratify=stratify)
        assert sorted(drawn) == [0, 2, 4]
        assert len(others) == 0
    index = frame(["x", "y"] * 50)
    assert len(draw(index, np.arange(100), 0.29, seed=0, stratify=False)[1]) == 29


def test_of_many_equal_remainders_the_first_are_served():
    assert splits.apportion(150, np.ones(300)).tolist() == [1] * 150 + [0] * 150
    # Of 30 shares 13 images: the large ones have the larger remainders, three are left.
    assert splits.apportion(13, np.tile([1.0, 2.0], 10)).tolist() == [1, 1] * 3 + [0, 1] * 7


def test_seeds():
    assert random_state(2**32 - 1).randint(100) == np.random.RandomState(2**32 - 1).randint(100)
    assert random_state(0).randint(10**6) == np.random.RandomState(0).randint(10**6)
    expected = np.random.RandomState([7, 48, 43]).randint(10**6)
    assert random_state(7, "0+").randint(10**6) == expected
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=f"from 0 to 4294967295, not {seed}"):
            random_state(seed)


# --- groups ---


def test_group_table():
    index = frame(list("xyxyxx"), list("bbacaa"))
    names, member, table = group_table(index, np.array([5, 0, 1, 3, 2]), "case")
    assert names.tolist() == ["a", "b", "c"]
    assert member.tolist() == [0, 1, 1, 2, 0]
    assert table.tolist() == [[2, 0], [1, 1], [0, 1]]


def group_index(table: np.ndarray) -> pd.DataFrame:
    """An index with so many images of each group and class, (G, K)."""
    labels, cases = [], []
    for g, row in enumerate(table):
        for k, n in enumerate(row):
            labels += [f"c{k}"] * n
            cases += [f"g{g:02}"] * n
    return frame(labels, cases)


def badness(table: np.ndarray, taken: np.ndarray, fraction: float, left: int) -> tuple:
    """How bad a draw of whole groups is: faults first, then images too many or too few."""
    faults, distance = 0, 0.0
    for images in table.T:
        groups, drawn = int((images > 0).sum()), int(((images > 0) & taken).sum())
        stay = min(left, max(groups - 1, 1))
        remaining = groups - drawn
        faults += 4 * (remaining == 0) + 2 * (drawn == 0 and groups > 1) + (remaining < stay)
        distance += abs(images[taken].sum() - fraction * images.sum())
    distance += 2 * abs(table[taken].sum() - fraction * table.sum())
    return faults, round(float(distance), 6)


def random_table(random: np.random.Generator, most: int = 9) -> np.ndarray:
    """Images of 4 groups or more of 2 or 3 classes; most groups have one class."""
    groups, classes = int(random.integers(4, most + 1)), int(random.integers(2, 4))
    table = random.integers(1, 30, (groups, classes))
    one = random.integers(classes, size=groups)
    single = random.random(groups) < 0.7
    table[single] = np.where(np.arange(classes) == one[single, None], table[single], 0)
    return table[:, table.sum(axis=0) > 0]


@pytest.mark.parametrize("left", [1, 2])
@pytest.mark.parametrize("seed", range(25))
def test_groups_are_drawn_as_well_as_can_be(seed, left):
    random = np.random.default_rng(seed)
    table = random_table(random)
    fraction = float(random.choice([0.2, 0.25, 0.3, 0.5]))
    index = group_index(table)
    rows = np.arange(len(index))
    others, drawn = draw_groups(index, rows, "case", fraction, seed, left=left)
    assert sorted([*others, *drawn]) == rows.tolist()
    names = sorted(set(index["case"]))
    taken = np.array([name in set(index["case"].iloc[drawn]) for name in names])
    assert not set(index["case"].iloc[drawn]) & set(index["case"].iloc[others])
    best = min(
        badness(table, np.array(choice), fraction, left)
        for choice in itertools.product([False, True], repeat=len(table))
    )
    assert badness(table, taken, fraction, left) == best


@pytest.mark.parametrize("seed", range(30))
def test_no_exchange_makes_a_single_draw_better(seed, monkeypatch):
    """What the best of several draws hides: each of them is at its end."""
    monkeypatch.setattr(group_wise, "TRIALS", 1)
    random = np.random.default_rng(200 + seed)
    table, left = random_table(random, 14), 1 + seed % 2
    index = group_index(table)
    _, drawn = draw_groups(index, np.arange(len(index)), "case", 0.3, seed, left=left)
    taken = np.isin(sorted(set(index["case"])), index["case"].iloc[drawn])
    now = badness(table, taken, 0.3, left)
    singles = [[g] for g in range(len(table))]
    exchanges = itertools.product(np.flatnonzero(taken), np.flatnonzero(~taken))
    for change in (*singles, *map(list, exchanges)):
        other = taken.copy()
        other[change] = ~other[change]
        assert badness(table, other, 0.3, left) >= now


def test_more_groups_than_stay_are_needed():
    index = group_index(np.full((3, 2), 4))
    split = splits.by_group(index, test=0.3, validation=0.4, seed=0)
    assert sorted(split.groupby("part")["case"].nunique()) == [1, 1, 1]
    with pytest.raises(InputError, match="2 patients; keeping patients apart needs 3"):
        splits.by_group(group_index(np.full((2, 2), 4)), test=0.3, validation=0.4, seed=0)
    split = splits.by_group(group_index(np.full((2, 2), 4)), test=0.5, validation=0, seed=0)
    assert sorted(split["part"].unique()) == ["test", "train"]
    with pytest.raises(InputError, match="1 patient; keeping patients apart needs 2"):
        splits.by_group(group_index(np.full((1, 2), 4)), test=0.5, validation=0, seed=0)


@pytest.mark.parametrize("seed", range(6))
def test_validation_is_drawn_with_the_next_seed_from_what_is_left(seed):
    index = group_index(np.full((14, 2), 3))  # all draws are equally good: the seed decides
    rows = splits.sorted_rows(index)
    train, test = draw_groups(index, rows, "case", 0.3, seed, left=2)
    train, validation = draw_groups(index, train, "case", 0.25, seed + 1, left=1)
    split = splits.by_group(index, test=0.3, validation=0.25, seed=seed)
    for part, expected in (("train", train), ("validation", validation), ("test", test)):
        assert np.flatnonzero(split["part"] == part).tolist() == sorted(expected)
    without = splits.by_group(index, test=0.3, validation=0, seed=seed)
    _, test = draw_groups(index, rows, "case", 0.3, seed, left=1)
    assert np.flatnonzero(without["part"] == "test").tolist() == sorted(test)


def test_a_class_of_three_groups_is_in_every_part_and_one_of_two_in_two():
    table = np.array([[9, 0, 0]] * 8 + [[0, 5, 0]] * 3 + [[0, 0, 5]] * 2)
    # Seven tenths of three groups would be two, and leave none to validate on.
    for test, seed in itertools.product((0.4, 0.7), range(6)):
        split = splits.by_group(group_index(table), test=test, validation=0.4, seed=seed)
        assert set(split.loc[split["label"] == "c1", "part"]) == set(splits.PARTS)
        two = set(split.loc[split["label"] == "c2", "part"])
        assert len(two) == 2
        assert "train" in two


def test_a_class_is_tested_on_however_large_its_groups_are():
    table = np.array([[1, 0]] * 20 + [[0, 60]] * 2)
    for seed in range(4):
        split = splits.by_group(group_index(table), test=0.1, validation=0, seed=seed)
        # 14 images are asked for. Of the small groups one, lest it be yet more, but not none.
        assert (split["part"] == "test").sum() == 61
        assert set(split.loc[split["label"] == "c1", "part"]) == {"train", "test"}


def test_the_warning_of_a_single_group_points_at_the_caller():
    index = group_index(np.array([[5, 4, 0]] * 4 + [[0, 0, 1]]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splits.by_group(index, test=0.3, validation=0, seed=0)
    assert [warning.filename for warning in caught] == [__file__]
    assert str(caught[0].message).endswith(
        "1 class has a single case, so in one part only: c2 (case g04: train)"
    )


# --- folds ---


def unevenness(table: np.ndarray, fold: np.ndarray, k: int) -> float:
    """Sum over folds of the squared shares of each class, and four times those of all images."""
    total = 0.0
    for f in range(k):
        mine = table[fold == f]
        total += ((mine.sum(axis=0) / table.sum(axis=0)) ** 2).sum()
        total += 4 * (mine.sum() / table.sum()) ** 2
    return total


@pytest.mark.parametrize("seed", range(16))
def test_groups_are_dealt_as_evenly_as_can_be(seed):
    random = np.random.default_rng(100 + seed)
    table, k = random_table(random), int(random.integers(2, 4))
    folds = k_folds(group_index(table), k, seed=seed, group="case")
    index = group_index(table).assign(fold=folds)
    per_group = index.groupby("case")["fold"]
    assert per_group.nunique().max() == 1
    best = min(
        unevenness(table, np.array(choice), k)
        for choice in itertools.product(range(k), repeat=len(table))
    )
    assert unevenness(table, per_group.first().to_numpy(), k) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(30))
def test_no_move_or_exchange_makes_a_single_deal_more_even(seed, monkeypatch):
    monkeypatch.setattr(folds_module, "TRIALS", 1)
    random = np.random.default_rng(300 + seed)
    table, k = random_table(random, 14), int(random.integers(2, 5))
    index = group_index(table)
    index["fold"] = k_folds(index, k, seed=seed, group="case")
    fold = index.groupby("case")["fold"].first().to_numpy()
    now = unevenness(table, fold, k)
    for g in range(len(table)):
        for f in range(k):
            moved = fold.copy()
            moved[g] = f
            assert unevenness(table, moved, k) >= now - 1e-8
        for h in range(g):
            exchanged = fold.copy()
            exchanged[[g, h]] = fold[[h, g]]
            assert unevenness(table, exchanged, k) >= now - 1e-8


def test_as_many_folds_as_groups_or_images():
    folds = k_folds(group_index(np.full((4, 1), 2)), 4, seed=0, group="case")
    assert sorted(folds) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(k_folds(frame(list("xyxy")), 4, seed=0)) == [0, 1, 2, 3]
    assert sorted(k_folds(frame(list("xyxy")), 4, seed=0, stratify=True)) == [0, 1, 2, 3]
    assert sorted(k_folds(frame(list("xyxy")), 2, seed=0)) == [0, 0, 1, 1]


def test_classes_are_dealt_in_the_order_of_their_names():
    index = frame(list("hgfedcba"))
    assert k_folds(index, 8, seed=0, stratify=True).tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
