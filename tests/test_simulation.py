"""Studies that are drawn: their scores and intervals of a few patients, by hand."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

from common.metrics import plan, simulation
from common.metrics.intervals import clopper_pearson, percentile_interval, resample
from common.metrics.jackknife import jackknife_interval
from common.metrics.pairs import difference_interval


def drawn(images, right, malignant):
    images, right = np.atleast_2d(images), np.atleast_2d(right)
    return simulation.Studies(0.9, np.array(malignant), images, right, right / images)


# One study of three patients with 1, 4 and 5 images; the last two are malignant.
SMALL = drawn([1, 4, 5], [0, 3, 5], [False, True, True])


def test_scores_of_samples_by_hand():
    times = np.array([[1, 1, 1], [2, 0, 1], [0, 1, 1], [1, 0, 0]])
    scores = {name: simulation.score(SMALL, name, times)[0] for name in simulation.SCORES}
    assert scores["accuracy"] == pytest.approx([8 / 10, 5 / 7, 8 / 9, 0])
    # without a benign patient none of them is defined; without a malignant one only the recall
    assert scores["recall, benign"] == pytest.approx([0, 0, np.nan, 0], nan_ok=True)
    assert scores["balanced accuracy"] == pytest.approx(
        [(8 / 9 + 0) / 2, 0.5, np.nan, np.nan], nan_ok=True
    )
    # 2 TP / (2 TP + FP + FN)
    assert scores["F1, malignant"] == pytest.approx(
        [16 / (16 + 1 + 1), 10 / (10 + 2), np.nan, np.nan], nan_ok=True
    )


def test_one_image_of_a_class_is_enough_for_a_score():
    for malignant in ([True, False], [False, True]):
        study = drawn([1, 1], [1, 1], malignant)
        for name in simulation.SCORES:
            assert simulation.score(study, name, np.ones(2)) == pytest.approx([1]), name


def test_nothing_warns_where_a_score_is_not_defined():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in simulation.SCORES[1:]:
            times = np.array([[0, 0, 0]])
            assert np.isnan(simulation.score(SMALL, name, times)).all(), name


def test_an_accuracy_that_no_patient_moves_has_the_interval_of_a_proportion():
    studies = drawn([[4, 8, 4], [4, 4, 4], [2, 2, 2]], [[2, 4, 2], [4, 4, 4], [0, 1, 2]],
                    [False, True, True])  # fmt: skip
    for found in (simulation.jackknife, simulation.percentile):
        low, high = found(studies, "accuracy")
        assert (low[0], high[0]) == clopper_pearson(1.5, 3)
        assert (low[1], high[1]) == clopper_pearson(3, 3)
        assert np.isnan(found(studies, "balanced accuracy")[0][:2]).all()
    low, high = simulation.jackknife(studies, "accuracy")
    assert (low[2], high[2]) == jackknife_interval(0.5, np.array([0.75, 0.5, 0.25]), 0, 1)


def test_the_percentile_bootstrap_is_that_of_the_test_sets():
    """Each image told one by one to `resample`; the same samples for every study."""
    studies = simulation.studies(6, 0.8, 0.3, 2, images=5, seed=4)
    for seed, replicates in ((0, 400), (3, 300)):
        low, high = simulation.percentile(studies, "accuracy", replicates, seed)
        for i, right in enumerate(studies.right):
            images = np.concatenate([np.repeat([1, 0], [k, 5 - k]) for k in right])
            each = np.stack([images, np.ones(30)], axis=1)
            sums = resample(each, np.repeat(np.arange(6), 5), replicates=replicates, seed=seed)
            assert percentile_interval(sums[:, 0] / sums[:, 1]) == pytest.approx((low[i], high[i]))


def test_one_study_that_does_not_vary_has_no_percentiles_beside_one_that_does():
    studies = drawn([[4, 4, 4, 4]] * 2, [[2, 2, 2, 2], [1, 2, 3, 4]], [False, False, True, True])
    low, high = simulation.percentile(studies, "balanced accuracy", 200)
    assert np.isnan([low[0], high[0]]).all()
    assert 0.25 < low[1] < high[1] < 1


# Gains of two studies of four patients, image by image; of the second nothing differs.
GAINED = [[1, 0, -2, 3], [0, 0, 0, 0]]
IMAGES = [[3, 2, 4, 5], [1, 2, 3, 4]]


def gains():
    """What each image gains, and its patient, of the first study."""
    gain = [np.sign(g) * (np.arange(n) < abs(g)) for g, n in zip(GAINED[0], IMAGES[0], strict=True)]
    return np.concatenate(gain), np.repeat([*"abcd"], IMAGES[0])


def test_intervals_of_a_difference_are_those_of_compare():
    pairs = simulation.Pairs(np.array(IMAGES), np.array(GAINED))
    gain, cases = gains()
    low, high = simulation.jackknife_difference(pairs)
    assert difference_interval(gain, cases) == pytest.approx((low[0], high[0]))
    assert np.isnan([low[1], high[1]]).all()


def test_percentiles_of_a_difference_are_those_of_its_images():
    pairs = simulation.Pairs(np.array(IMAGES), np.array(GAINED))
    gain, cases = gains()
    for seed, replicates in ((0, 2000), (5, 300)):
        low, high = simulation.percentile_difference(pairs, replicates, seed)
        each = np.stack([gain, np.ones(len(gain))], axis=1)
        sums = resample(each, cases, replicates=replicates, seed=seed)
        assert percentile_interval(sums[:, 0] / sums[:, 1]) == pytest.approx((low[0], high[0]))
        assert np.isnan([low[1], high[1]]).all()


def test_two_networks_see_the_images_of_the_studies():
    for seed in (0, 7):
        pairs = simulation.pairs(5, 0.9, 0.1, 0.3, 3, seed=seed)
        studies = simulation.studies(5, 0.9, 0.3, 3, seed=seed)
        assert (pairs.images == studies.images).all()
    assert (simulation.pairs(5, 0.9, 0.1, count=2, images=4).images == np.full((2, 5), 4)).all()


def test_the_drawn_pairs_stay_as_they_are():
    """The numbers in docs/intervals.md rest on them."""
    pairs = simulation.pairs(6, 0.8, 0.2, 0.3, 2, images=20, seed=3)
    assert pairs.gained.tolist() == [[8, 5, 3, 3, 11, 3], [3, 3, 2, 8, 12, 1]]


def test_the_second_network_is_worse_and_finds_the_same_patients_hard():
    pairs = simulation.pairs(40, 0.8, 0.2, 0.3, 200, images=500, seed=1)
    gain = pairs.gained / pairs.images
    assert gain.mean() == pytest.approx(0.2, abs=0.01)
    # if the two found other patients hard, the variances of both chances would add up
    apart = 0.3 * (0.8 * 0.2 + 0.6 * 0.4)
    assert 0.1 * apart < gain.var() < 0.4 * apart


def test_held_by_hand():
    low = np.array([0.2, 0.5, 0.6, 0.1, np.nan])
    high = np.array([0.5, 0.9, 0.7, 0.2, np.nan])
    found = simulation.held(0.5, low, high)  # both ends belong to an interval
    assert (found.share, found.none) == (0.5, pytest.approx(0.2))
    assert found.width == pytest.approx(0.2)  # middle of 0.3, 0.4, 0.1 and 0.1
    assert simulation.held(0.5, low[:4], high[:4]).none == 0
    nothing = simulation.held(0.5, low[4:], high[4:])
    assert np.isnan([nothing.share, nothing.width]).all() and nothing.none == 1


def test_no_seed_is_seed_0_everywhere():
    for function in (
        simulation.studies, simulation.pairs, simulation.percentile,
        simulation.percentile_difference, plan.Question,
    ):  # fmt: skip
        assert inspect.signature(function).parameters["seed"].default == 0
