"""What the metrics are given: what is taken, as which type, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common.metrics import arguments
from common.predictions import SUM_TOLERANCE


def is_said(message):
    return pytest.raises(ValueError, match=message)


def test_numbers():
    for given, kind in (([1, 2], "i"), ([True], "b"), ([0.5], "f"), (np.uint8([3]), "u")):
        assert arguments.numbers(given, "x").dtype.kind == kind
    objects = arguments.numbers(np.array([1, 0.5], dtype=object), "x")
    assert (objects.dtype, objects.tolist()) == (np.float64, [1, 0.5])
    for wrong in (["a"], [1j], np.array(["2020-01-01"], "datetime64[D]")):
        with is_said("x: numbers are wanted"):
            arguments.numbers(wrong, "x")
    for wrong in ([[1], [1, 2]], np.array([None, "a"], dtype=object)):
        with is_said("x: an array of numbers is wanted"):
            arguments.numbers(wrong, "x")


def test_class_numbers():
    for given in ([0, 2], np.uint8([0, 2]), [0.0, 2.0], np.array([0, 2], dtype=object)):
        found = arguments.class_numbers(given, 3)
        assert (found.dtype, found.tolist()) == (np.int64, [0, 2])
    assert arguments.class_numbers([], 3).tolist() == []
    already = np.array([0, 2])
    assert arguments.class_numbers(already, 3) is already
    for wrong, message in (
        ([[0]], r"labels must be \(n,\), not \(1, 1\)"), ([0, 1.5], "1.5 is no class number"),
        ([np.nan], "nan is no class number"), ([0, 3], r"labels outside \[0, 3\)"),
        ([-1, 0], "labels outside"), ([-1.0], "labels outside"),
    ):  # fmt: skip
        with is_said(message):
            arguments.class_numbers(wrong, 3)


def test_softmax():
    given = np.float32([[0.25, 0.75], [1, 0]])
    found = arguments.softmax(given)
    assert (found.dtype, found.tolist()) == (np.float64, given.tolist())
    assert arguments.softmax(found) is found
    assert arguments.softmax(np.zeros((0, 2))).shape == (0, 2)
    # each within the tolerance, sums as well
    edge = SUM_TOLERANCE
    for row in ([1 + edge, -edge], [1 + edge, 0], [1 - edge, 0], [-edge, 1]):
        assert arguments.softmax([row]).tolist() == [row]
    for wrong, message in (
        ([0.5, 0.5], r"must be \(n, K\), not \(2,\)"), (np.zeros((2, 0)), r"must be \(n, K\)"),
        ([[1 + 2 * edge, -2 * edge]], "not in"), ([[1 + 2 * edge, 0]], "a row adds up to 1.002"),
        ([[-2 * edge, 1]], "not in"), ([[np.nan, 1]], "not in"),
        ([[0.5, 0.5], [0.5, 0.25]], "a row adds up to 0.75, not 1"),
        ([[1, 1], [1, 0]], "a row adds up to 2, not 1"),
        ([[1 - 2 * edge, 0]], "a row adds up to"),
    ):  # fmt: skip
        with is_said(message):
            arguments.softmax(wrong)


def test_judged():
    labels, table = arguments.judged([1], [[0, 1]])
    assert (labels.dtype, table.dtype) == (np.int64, np.float64)
    assert (labels.tolist(), table.tolist()) == ([1], [[0, 1]])
    for labels, table, message in (
        ([0, 1], [[0, 1]], "probabilities of 1 images, labels of 2"),
        ([2], [[0, 1]], r"labels outside \[0, 2\)"),
        ([], np.zeros((0, 2)), "of no image"),
    ):
        with is_said(message):
            arguments.judged(labels, table)


def test_truths():
    for given in ([True, False], [1, 0], [1.0, 0.0]):
        found = arguments.truths(given, "right")
        assert (found.dtype, found.tolist()) == (bool, [True, False])
    already = np.array([True])
    assert arguments.truths(already, "right") is already
    for wrong, message in (
        ([[True]], r"right must be \(n,\), not \(1, 1\)"), ([0, 2], "right: true or false"),
        ([0.5], "right: true or false"), ([-1], "right: true or false"),
    ):  # fmt: skip
        with is_said(message):
            arguments.truths(wrong, "right")


def test_same_length():
    assert arguments.same_length(["a", "b"], 2, "cases").tolist() == ["a", "b"]
    for wrong in (["a"], [["a"], ["b"]], "ab", [[1], [1, 2]]):
        with is_said(r"cases must be one per image, \(2,\), not"):
            arguments.same_length(wrong, 2, "cases")


def test_matrices():
    for given in (
        [[1, 0], [0, 2]],
        np.zeros((3, 4, 4)),
        np.zeros((0, 2, 2)),
        np.zeros((2, 0, 3, 3)),
        [[0.5]],
    ):
        np.testing.assert_array_equal(arguments.matrices(given), given)
    for wrong, message in (
        ([1, 2], r"matrix must be \(\.\.\., K, K\), not \(2,\)"), ([[1, 2]], "must be"),
        (np.zeros((2, 0, 0)), "must be"), ([[-1, 0], [0, 0]], "finite and not negative"),
        ([[np.inf, 0], [0, 0]], "finite and not negative"),
        ([[np.nan, 0], [0, 0]], "finite and not negative"),
    ):  # fmt: skip
        with is_said(message):
            arguments.matrices(wrong)


def test_whole():
    for given in (5, 5.0, np.int32(5), np.float32(5), np.uint8(5)):
        found = arguments.whole(given, 5, "bins")
        assert (found, type(found)) == (5, int)
    for wrong in (4, 5.5, np.nan, True, "5", None, np.float64(4.99)):
        with is_said("bins must be a whole number of at least 5"):
            arguments.whole(wrong, 5, "bins")
    with is_said("at least 0, not True"):
        arguments.whole(True, 0, "bins")


def test_coverage():
    for given in (0.5, np.float32(0.5)):
        found = arguments.coverage(given)
        assert (found, type(found)) == (0.5, float)
    for wrong in (0, 1, 0.0, 1.0, -0.5, 2, "0.5", None, np.nan):
        with is_said("level must be between 0 and 1"):
            arguments.coverage(wrong)


def test_class_names():
    assert arguments.class_names(("a", "b")) == ["a", "b"]
    assert arguments.class_names("ab") == ["a", "b"]
    for wrong in ([], None, 3, ["a", 1]):
        with is_said("classes must be a sequence of names"):
            arguments.class_names(wrong)
    with is_said("classes: a, b, c, d, e, f stands there twice"):
        arguments.class_names([*"fdbeacg", *"acebdf"])


def test_columns():
    frame = pd.DataFrame({"image": [], "part": []})
    arguments.columns(frame, ["part", "image"], "split")
    with is_said("split: the column case, label is missing"):
        arguments.columns(frame, ["part", "case", "label"], "split")
    with is_said(r"split: a table is wanted \(DataFrame\), not dict"):
        arguments.columns({"part": []}, ["part"], "split")
