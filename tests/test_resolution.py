"""What a test set can tell apart: from runs, from rounds, from the number of images."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from common import evaluation, metrics, tables
from common.review import numbers
from common.runs import Run
from common.tables import resolution
from common.tables.resolution import told_apart


def table(*rows):
    """Printed accuracies: row, percent, test images, classes."""
    return pd.DataFrame(
        [
            {"table": "T1", "row": row, "printed": printed, "unit": "percent", "n_test": n,
             "preset": row, "metrics_key": "accuracy", "classes": classes}
            for row, printed, n, classes in rows
        ]
    ).astype({"n_test": "Int64"})  # fmt: skip


def of(frame, groups=None):
    return frame.join(tables.resolved(frame, groups or {}))


# --- from the number of images --------------------------------------------------------------------


def test_how_many_images_fewer_show():
    # Wilson: 10 of 10 from 0.7225, 7 and 6 of 10 up to 0.8922 and 0.8318:
    # 0.3 - hypot(0.2775, 0.1922) = -0.04, 0.4 - hypot(0.2775, 0.2318) = 0.04
    assert told_apart(1.0, 10) == 4
    for share, n in ((0.9, 40), (0.965, 407), (0.99, 2373)):
        fewer, k = told_apart(share, n), round(share * n)
        low = [
            tables.difference_interval(
                (k / n, *resolution.wilson(k, n)), ((k - f) / n, *resolution.wilson(k - f, n))
            )[0]
            for f in (fewer - 1, fewer)
        ]
        assert low[0] <= 0 < low[1]
    assert told_apart(1.0, 1) == 2  # not even 1 and 0 of 1
    assert told_apart(0.0, 50) == told_apart(1.02, 50) == told_apart(-0.02, 50) == 51


def test_printed_accuracies_tie_within_what_n_images_show():
    assert told_apart(0.92, 200) == 13  # of (95 + 92 + 88 + 93) / 4 %
    printed = {"A": "95.00", "B": "92.00", "C": "88.00", "D": "93.00"}
    frame = of(table(*((row, value, 200, "2") for row, value in printed.items())))
    assert frame["tie"].tolist() == ["best", "tie", "", "tie"]
    assert frame["smallest"].tolist() == pytest.approx([6.5] * 4)
    assert tables.told(frame) == [
        "Not told apart below 6.5 points of accuracy (13 of 200 images at the printed 92.0 %, not "
        "paired): A is best, tied with B; D."
    ]
    # one image fewer than show ties, exactly as many are told apart
    frame = of(table(("A", "95.00", 200, "2"), ("B", "89.00", 200, "2")))
    assert frame["tie"].tolist() == ["best", "tie"]
    frame = of(table(("A", "95.25", 200, "2"), ("B", "88.75", 200, "2")))
    assert frame["tie"].tolist() == ["alone", ""]
    assert tables.told(frame)[0].endswith("A is best, and alone.")


def test_a_review_says_the_same_of_printed_accuracies(tmp_path):
    rows = [("T1", "A", "95.00"), ("T1", "B", "92.00"), ("T1", "C", "88.00"), ("T1", "D", "93.00"),
            ("T2", "A", "95.25"), ("T2", "B", "88.75"), ("T3", "A", "95.00"), ("T3", "B", "88.76"),
            ("T4", "A", "95.00")]  # fmt: skip
    lines = [f"{of},{row},accuracy,{printed},percent,200" for of, row, printed in rows]
    # Of one image not even none right would show, of three it would.
    lines += [f"T{4 + n},{row},accuracy,100.00,percent,{n}" for n in (1, 3) for row in "AB"]
    (tmp_path / "n.csv").write_text(
        "\n".join(["table,row,metrics_key,printed,unit,n_test", *lines]) + "\n"
    )
    found = numbers.read(str(tmp_path / "n.csv"))
    assert found.apart == [
        ("T1", "accuracy", "A", "95.00", 4, 2, "6.50 points"),
        ("T2", "accuracy", "A", "95.25", 2, 0, "6.50 points"),
        ("T3", "accuracy", "A", "95.00", 2, 1, "6.50 points"),
        ("T7", "accuracy", "A", "100.00", 2, 1, "100.00 points"),
    ]
    told = [each.what for each in found.found if each.rule == "rows cannot be told apart"]
    assert [text[:3] for text in told] == ["T1,", "T3,", "T7,"]


def test_other_sizes_and_other_classes_are_other_test_sets():
    frame = of(table(("A", "95.00", 200, "2"), ("B", "94.00", 100, "2"), ("C", "95.00", 200, "8")))
    assert frame["test_set"].tolist() == [1, 2, 3]
    assert set(frame["tie"]) == {""}
    (text,) = tables.told(frame)
    assert text.count("not paired") == 3 and text.endswith(".")


def test_many_ties_are_named_in_part():
    frame = of(table(*((name, "95.00", 200, "2") for name in "ABCDEF")))
    assert tables.told(frame)[0].endswith("A is best, tied with B; C; D and 2 more.")


def test_a_preset_of_several_rows_is_called_by_its_own_name():
    frame = table(
        ("A", "95.00", 200, "2"), ("A again", "95.00", 200, "8"), ("B", "70.00", 200, "2")
    )
    (one, _) = tables.told(of(frame.assign(preset=["P", "P", "B"])))
    assert one.endswith("P is best, and alone.")


def test_what_is_no_score_has_no_test_set():
    frame = table(("A", "19", 200, "2")).assign(unit="epoch")
    assert of(frame)["test_set"].isna().all() and tables.told(of(frame)) == []
    frame = table(("A", "95.00", pd.NA, "2"))
    assert of(frame)["smallest"].isna().all()
    # without an accuracy the other shares tell how large they are; kappa is none
    frame = table(("A", "90.00", 200, "2"), ("A", "10.00", 200, "2"))
    frame["metrics_key"] = ["recall_macro", "per_class.a.kappa"]
    assert "at the printed 90.0 %" in tables.told(of(frame))[0]


def test_two_images_show_a_difference_of_all_and_none():
    assert told_apart(1.0, 2) == 2
    (text,) = tables.told(of(table(("A", "100.00", 2, "2"))))
    assert text.startswith("Not told apart below 100.0 points of accuracy (2 of 2 images ")


def test_what_shows_nothing_is_not_told():
    for printed, n in (("101.00", 200), ("-5.00", 200), ("100.00", 1), ("90.00", 0)):
        assert tables.told(of(table(("A", printed, n, "2")))) == []


# --- from runs ------------------------------------------------------------------------------------


def of_two(mine):
    """Two rows that are printed alike, with these runs."""
    return of(table(("A", "90.00", 100, "2"), ("B", "90.00", 100, "2")), mine)


def run(name, right, *, cases=None, split="s", **config):
    """A run whose predictions are right at these images; give it and its metrics."""
    n = len(right)
    frame = pd.DataFrame(
        {"image": [f"i{i}" for i in range(n)], "case": cases or [""] * n, "slide": "",
         "magnification": "", "part": "test", "label": "a",
         "p_a": np.where(right, 0.9, 0.1), "p_b": np.where(right, 0.1, 0.9)}
    )  # fmt: skip
    made = Run(name, SimpleNamespace(split_sha256=split, config=config))
    return made, {"accuracy": float(np.mean(right))}, frame


def several(name, shares, vary="split_seed"):
    """A run for each share, on splits of its own."""
    return [
        run(f"{name}{i}", np.arange(100) < 100 * share, split=f"s{i}", **{vary: i})
        for i, share in enumerate(shares)
    ]


@pytest.fixture
def groups(monkeypatch):
    """Make groups of runs: preset -> their images that are right."""

    def make(**made):
        frames, found = {}, {}
        for preset, runs in made.items():
            for each, _, frame in runs:
                frames[each.path] = frame
            found[preset] = tables.Group([each for each, _, _ in runs], [m for _, m, _ in runs])
        monkeypatch.setattr("common.evaluation.read_run", lambda each: frames[each.path])
        return found

    return make


def test_runs_on_the_same_images_are_paired(groups):
    rng = np.random.default_rng(0)
    base = rng.random(400) < 0.9
    near, far, farther = base.copy(), base.copy(), base.copy()
    near[:4] = False
    far[:80] = False
    farther[:300] = False
    mine = groups(A=[run("a", base)], B=[run("b", near)], C=[run("c", far)], D=[run("d", farther)])
    printed = {"A": "99.00", "B": "50.00", "C": "99.00", "D": "99.00"}
    frame = of(table(*((row, value, 400, "2") for row, value in printed.items())), mine)
    assert frame["tie"].tolist()[2:] == ["", ""]
    reaches = []
    for run_b in (mine["B"], mine["C"], mine["D"]):
        pair = metrics.compare(*(evaluation.read_run(g.runs[0]) for g in (mine["A"], run_b)))
        reaches.append(pair["difference"] - pair["difference_ci"][0])
        assert (pair["difference_ci"][0] <= 0) == (run_b is mine["B"] and frame["tie"][1] == "tie")
    assert frame["smallest"].tolist() == pytest.approx([100 * np.median(reaches)] * 4)
    assert np.median(reaches) != pytest.approx(np.mean(reaches), rel=0.01)
    assert set(frame["smallest_by"]) == {"paired bootstrap over 400 images"}


def test_patients_are_what_is_drawn(groups):
    right = np.arange(40) % 10 != 0
    cases = [f"p{i // 10}" for i in range(40)]
    other = right & (np.arange(40) >= 10)
    mine = groups(A=[run("a", right, cases=cases)], B=[run("b", other, cases=cases)])
    frame = of(table(("A", "90.00", 40, "2"), ("B", "90.00", 40, "2")), mine)
    assert set(frame["smallest_by"]) == {"paired jackknife over 4 patients"}
    assert frame["tie"].tolist() == ["best", "tie"]  # of one patient alone: 0 is in the interval


def test_rounds_are_compared_by_t(groups):
    mine = groups(A=several("a", (0.90, 0.92, 0.94)), B=several("b", (0.80, 0.81, 0.85)))
    frame = of_two(mine)
    # differences 10, 11, 9: sd 1, t of two degrees of freedom 4.302653
    assert frame["smallest"][0] == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert frame["smallest_by"][0] == "t of the differences in 3 rounds"
    assert frame["tie"].tolist() == ["alone", ""]


def test_the_best_of_several_rounds_is_so_in_the_mean(groups):
    mine = groups(A=several("a", (0.9, 0.9, 0.3)), B=several("b", (0.8, 0.8, 0.8)))
    frame = of_two(mine)
    assert frame["tie"].tolist() == ["tie", "best"]
    mine = groups(A=several("a", (0.9, 0.8)), B=several("b", (0.5, 0.41)))
    frame = of_two(mine)
    assert set(frame["smallest_by"]) == {"t of the differences in 2 rounds"}
    assert frame["tie"].tolist() == ["alone", ""]


def test_rounds_that_differ_much_are_told_by_t_on_the_same_images_too(groups):
    mine = groups(A=several("a", (0.9, 0.7), "fold"), B=several("b", (0.3, 0.7), "fold"))
    frame = of_two(mine)
    assert set(frame["smallest_by"]) == {"t of the differences in 2 rounds"}
    # differences 0.6 and 0: sd 0.6 / sqrt(2); t of one degree of freedom is tan(0.475 pi)
    assert frame["smallest"][0] == pytest.approx(100 * math.tan(0.475 * math.pi) * 0.3)


def test_from_what_the_middle_width_is(groups):
    rounds = {"A": (0.9, 0.9), "B": (0.3, 0.9), "C": (0.6, 0.6)}  # B by t, C by its images
    for order in ("ABC", "ACB"):
        mine = groups(**{row: several(row, rounds[row], "fold") for row in order})
        frame = of(table(*((row, "90.00", 100, "2") for row in order)), mine)
        assert set(frame["smallest_by"]) == {"t of the differences in 2 rounds"}


def test_rounds_are_the_same_in_any_order(groups):
    mine = groups(A=several("a", (0.9, 0.8)), B=several("b", (0.5, 0.41))[::-1])
    frame = of_two(mine)
    assert set(frame["smallest_by"]) == {"t of the differences in 2 rounds"}


def test_of_rounds_on_the_same_images_the_first_is_paired(groups):
    at = np.arange(100)
    pairs = [(at < 90, at < 60), (at < 60, (at >= 60) & (at < 90))]  # by 30 of 30, of 90 apart
    runs = [
        [run(f"{name}{i}", pair[k], split=f"s{i}", fold=i) for i, pair in enumerate(pairs)]
        for k, name in enumerate("ab")
    ]
    mine = groups(A=runs[0], B=runs[1])
    frame = of_two(mine)
    assert frame["smallest_by"][0].endswith("over 100 images in a round")
    reaches = []
    for one, other in zip(*runs, strict=True):
        found = metrics.compare(one[2], other[2])
        reaches.append(100 * (found["difference"] - found["difference_ci"][0]))
    assert frame["smallest"][0] == pytest.approx(reaches[0]) and reaches[1] > 1.5 * reaches[0]


def test_runs_that_tell_no_width_are_not_paired(groups):
    right = np.arange(100) < 90
    for mine in (
        groups(A=[run("a", right)], B=[run("b", right)]),  # nothing differs
        groups(A=[run("a", right, seed=0)], B=[run("b", right, seed=1)]),  # no round of both
        groups(
            A=[run("a", right, cases=["p"] * 100)], B=[run("b", right & False, cases=["p"] * 100)]
        ),  # one patient
    ):
        frame = of_two(mine)
        assert frame["smallest_by"].str.endswith("not paired").all()
    # a rival that is the same run again says nothing of the width, nor from what it is
    far = np.arange(100) < 60
    mine = groups(A=[run("a", right)], B=[run("b", far)], C=[run("c", right)])
    frame = of(table(*((row, "90.00", 100, "2") for row in "ABC")), mine)
    assert frame["smallest_by"].tolist() == ["paired bootstrap over 100 images"] * 3
    assert frame["tie"].tolist() == ["best", "", "tie"]


def test_rounds_on_the_same_images_say_nothing_of_others(groups):
    def folds(name, share):
        right = np.arange(100) < 100 * share
        return [run(f"{name}{i}", right, split=f"s{i}", fold=i) for i in range(3)]

    mine = groups(A=folds("a", 0.90), B=folds("b", 0.89))
    frame = of_two(mine)
    assert frame["smallest_by"][0] == "paired bootstrap over 100 images in a round"
    assert frame["tie"].tolist() == ["best", "tie"]


def test_runs_on_other_images_are_not_paired(groups):
    right = np.arange(100) < 90
    mine = groups(A=[run("a", right, split="s")], B=[run("b", right, split="t")])
    frame = of_two(mine)
    assert frame["smallest_by"].str.endswith("not paired").all()
