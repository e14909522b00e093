"""What a metrics.json may hold when it is read again, value by value."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from common import metrics
from common.errors import InputError
from common.metrics.stored import require_scores

MANY = 2**53 - 1
"""The largest count."""


@pytest.fixture(scope="module")
def whole():
    """As it stands in a file: two classes, patients, two magnifications, slide folders."""
    labels, right = np.arange(8) % 2, np.array([1, 1, 1, 0, 1, 1, 0, 1], dtype=bool)
    found = metrics.compute(
        labels, np.eye(2)[np.where(right, labels, 1 - labels)], ["a", "b"],
        cases=list("ppqqrrss"), magnifications=["40X", "100X"] * 4, folders=list("ppqqrrss"),
        positive="b", split="official", replicates=20,
    )  # fmt: skip
    return json.loads(json.dumps(found))


def changed(whole, path, value):
    """The file with another value at a path."""
    found = copy.deepcopy(whole)
    *folders, last = path.split("/")
    inner = found
    for name in folders:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return found


def test_what_compute_gives_may_be_read(whole, tmp_path):
    require_scores(whole)
    require_scores({"n": 1, "accuracy": 0.5})
    (tmp_path / "metrics.json").write_text(json.dumps(whole), encoding="utf-8")
    assert metrics.read_scores(tmp_path / "metrics.json", repair="do it again") == whole


def test_a_damaged_file_is_named(whole, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(changed(whole, "n", -1)), encoding="utf-8")
    with pytest.raises(InputError) as error:
        metrics.read_scores(path, repair="do it again")
    assert str(error.value) == f"{path}: damaged (n is -1); do it again"
    path.write_text('{"n": 8, "acc', encoding="utf-8")
    with pytest.raises(InputError, match="do it again"):
        metrics.read_scores(path, repair="do it again")


def test_each_part_is_looked_at_without_the_others(whole):
    part = changed(whole, "per_class/a/tp", -1)
    del part["support"]
    with pytest.raises(ValueError, match=r"^per_class\.a\.tp is -1$"):
        require_scores(part)
    nothing = {"n": 1, "accuracy": 1, "classes": 3}
    inner = {"by_magnification": {"40X": {"confusion_matrix": [[1]]}}}
    with pytest.raises(ValueError, match=r"^by_magnification\.40X\.confusion_matrix is \[\[1\]\]$"):
        require_scores(nothing | inner)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "it lacks n, accuracy"),
        ({"n": 1}, "it lacks accuracy"),
        ({"accuracy": 1}, "it lacks n"),
    ],
)
def test_what_it_cannot_lack(values, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        require_scores(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("correct", 8), ("correct", None), ("n_patients", None), ("above_half", MANY),
        ("above_half", 0), ("best_epoch", 3), ("split", None), ("auc_kind", None),
        ("ci_unit", None), ("ci_unit", "image"), ("ci_method", None),
        ("ci_method", "clopper-pearson"), ("synthetic", True),
        ("accuracy", None), ("accuracy", 1), ("accuracy", 1.0), ("accuracy", 0),
        ("kappa", -1.0), ("log_loss", 1e6), ("a paper's own", ["anything"]),
        ("accuracy_ci", None), ("accuracy_ci", [0.5, 0.5]), ("intervals/log_loss", [0, 1e6]),
        ("reasons/kappa", "one patient"), ("intervals_replicates/kappa", 5),
        ("confusion_matrix", None), ("confusion_matrix", [[0, MANY], [1, 2]]),
        ("by_magnification", {}), ("by_magnification/200X", {}),
        ("by_magnification/200X", {"n": 3, "accuracy": 1}),
        ("by_magnification/200X", {"correct": 3}),
        ("by_magnification/200X", {"confusion_matrix": [[1, 2], [3, 4]]}),  # of the same classes
        ("by_magnification/200X", {"classes": ["c"], "confusion_matrix": [[1]]}),
        ("per_class/a/recall", None), ("per_class/a/tp", 0), ("support/a", 0),
        ("per_class/a/another score", -1e6), ("per_class/a/another score", 1e6),
    ],
)  # fmt: skip
def test_what_may_stand_there(whole, path, value):
    require_scores(changed(whole, path, value))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        # counts
        ("n", 0, "correct is 6 of 0"), ("correct", 9, "correct is 9 of 8"), ("n", None, None),
        ("n", -1, None), ("n", 8.0, None), ("n", True, None), ("n", "8", None), ("n", 2**53, None),
        ("correct", -1, None), ("n_patients", 1.5, None), ("n_folders", [], None),
        ("tp_at_half", "1", None), ("above_half", MANY + 1, None), ("best_epoch", -1, None),
        # texts
        ("split", 3, None), ("auc_kind", [], None), ("positive_class", True, None),
        ("ci_unit", "slide", None), ("ci_unit", 1, None), ("ci_method", "exact", None),
        ("synthetic", "yes", None), ("synthetic", 1, None), ("synthetic", None, None),
        # scores
        ("accuracy", 1.01, None), ("accuracy", "0.5", None), ("accuracy", True, None),
        ("accuracy", float("nan"), None), ("balanced_accuracy", -1.5, None),
        ("kappa", 1e6 + 0.5, None), ("log_loss", float("inf"), None), ("mcc", [0.5], None),
        ("per_class/a/another score", -1e6 - 0.5, None),
        ("per_class/a/another score", 1e6 + 0.5, None),
        # intervals, reasons
        ("accuracy_ci", [0.5], None), ("accuracy_ci", [0.1, 0.2, 0.3], None),
        ("accuracy_ci", [0.1, None], None), ("accuracy_ci", "ab", None),
        ("accuracy_ci", [0.2, 0.1], None), ("accuracy_ci", [0.1, True], "accuracy_ci is True"),
        ("intervals", [], None), ("intervals/kappa", [1], None), ("intervals/auc", 0.5, None),
        ("intervals/accuracy", [0, 1.5], "intervals.accuracy is 1.5"),
        ("reasons", "none", None), ("reasons/kappa", 3, None), ("reasons/kappa", None, None),
        ("intervals_replicates", None, None), ("intervals_replicates/kappa", "5", None),
        ("intervals_replicates/kappa", True, None), ("intervals_replicates/kappa", None, None),
        # magnifications
        ("by_magnification", [], None), ("by_magnification/40X", 3, None),
        ("by_magnification/40X/accuracy", 2, None), ("by_magnification/40X/kappa", "1", None),
        ("by_magnification/40X/correct", 5, "by_magnification.40X.correct is 5 of 4"),
        ("by_magnification/40X/n", 0, "by_magnification.40X.correct is 3 of 0"),
        ("by_magnification/40X/intervals/auc", 1, None), ("by_magnification/40X/n", None, None),
        ("by_magnification/40X/accuracy_ci", 1, None), ("by_magnification/40X/split", 1, None),
        ("by_magnification/40X/classes", "ab", None),
        ("by_magnification/40X/confusion_matrix", [[1]], None),
        ("by_magnification/40X/support", [], None),
        ("by_magnification/40X/per_class/a/tp", -1, None),
        ("by_magnification/40X/support", {"a": 1}, "by_magnification.40X.support is of ['a']"),
        # classes
        ("classes", "ab", None), ("classes", {}, None), ("classes", ["a", "a"], None),
        ("classes", ["1", 1], None), ("classes", ["a", 3], "classes is 3"),
        ("confusion_matrix", "x", None), ("confusion_matrix", 3, None),
        ("confusion_matrix", [[1, 2]], None), ("confusion_matrix", [[1, 2], [3]], None),
        ("confusion_matrix", [[1, 2], 3], None), ("confusion_matrix", [[1, 2, 3]] * 3, None),
        ("confusion_matrix", [[1, 2], [3, -1]], "confusion_matrix is -1"),
        ("confusion_matrix", [[1, 2], [3, None]], "confusion_matrix is None"),
        ("support", [], None), ("support", {"b": 4, "a": 4}, "support is of ['b', 'a']"),
        ("support", {"a": 4}, "support is of ['a']"), ("support/a", -1, None),
        ("support/a", None, None), ("support/b", -1, None),
        ("per_class", 3, None), ("per_class", {}, "per_class is of []"), ("per_class/a", 3, None),
        ("per_class/a/tp", -1, None), ("per_class/a/fn", 0.5, None), ("per_class/a/fp", None, None),
        ("per_class/b/recall", "x", None), ("per_class/b/f1", 2e6, None),
    ],
)  # fmt: skip
def test_what_cannot_stand_there(whole, path, value, words):
    words = words or f"{path.replace('/', '.')} is {value!r}"
    with pytest.raises(ValueError) as error:
        require_scores(changed(whole, path, value))
    assert str(error.value) == words


@pytest.mark.parametrize(
    ("length", "told"), [(38, f"'{'x' * 38}'"), (39, f"'{'x' * 36}...")], ids=["whole", "cut"]
)
def test_a_long_value_is_cut(whole, length, told):
    with pytest.raises(ValueError) as error:
        require_scores(changed(whole, "kappa", "x" * length))
    assert str(error.value) == f"kappa is {told}"
