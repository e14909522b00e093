"""What the splits are given: what is taken, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common.errors import InputError
from common.splits import arguments


def is_said(message):
    return pytest.raises(InputError, match=message)


def test_require_table():
    table = pd.DataFrame({"label": ["a", ""], "case": ["1", None], "n": [1, 2]})
    arguments.require_table(table)
    arguments.require_table(table, "label", "n")
    with is_said(r"index must be a table \(DataFrame\), not list"):
        arguments.require_table([], "label")
    with is_said("split: the column 'slide' is missing"):
        arguments.require_table(table, "label", "slide", name="split")
    with is_said("split: the column 'case' holds NaN"):
        arguments.require_table(table, "label", "case", name="split")


def test_require_images():
    arguments.require_images(pd.DataFrame({"image": ["a", "b"], "label": ["x", "y"]}), "label")
    with is_said("index: the column 'image' is missing"):
        arguments.require_images(pd.DataFrame({"label": ["x"]}))
    with is_said("split: the column 'label' is missing"):
        arguments.require_images(pd.DataFrame({"image": ["a"]}), "label", name="split")
    with is_said("split: the column 'image' must hold paths as text"):
        arguments.require_images(pd.DataFrame({"image": ["a", 1]}), name="split")
    with is_said("split: 3 images stand twice: a, b, a"):
        arguments.require_images(pd.DataFrame({"image": list("abcaba")}), name="split")


def test_whole():
    for given in (2, np.int64(2), np.uint8(2)):
        found = arguments.whole(given, 2, "images")
        assert (found, type(found)) == (2, int)
    for wrong in (1, 2.0, "2", None, True):
        with is_said("images must be a whole number of at least 2, not"):
            arguments.whole(wrong, 2, "images")
    with is_said("at least 0, not True"):
        arguments.whole(True, 0, "images")


def test_is_number():
    for value in (1, 0.5, np.float32(1), np.int8(1), float("nan")):
        assert arguments.is_number(value)
    for value in (True, False, "1", None, [1]):
        assert not arguments.is_number(value)
