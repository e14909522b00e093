"""Tables of printed numbers: what is known of them, the verdicts, the command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from common import forensics, tables
from common.errors import InputError
from common.forensics.__main__ import main
from common.papers import PAPERS

ROOT = Path(__file__).parent.parent


def table(*rows, **columns):
    """Key and number of each line, percent unless said."""
    frame = pd.DataFrame(rows, columns=["metrics_key", "printed"])
    return frame.assign(**{"unit": "percent", **columns})


def verdicts(frame):
    return list(forensics.judged(frame)["verdict"])


# --- verdicts -----------------------------------------------------------------------------------


def test_a_share_names_what_it_would_have_to_be():
    found = forensics.judged(table(("accuracy", "93.91"), n_test="407")).iloc[0]
    assert (found["verdict"], found["arithmetic"]) == ("impossible", "k of n")
    assert found["shown"] == "382/407 = 93.86 and 383/407 = 94.10, not 93.91"
    assert found["repair"] == "93.86"


@pytest.mark.parametrize(
    ("n_test", "more", "verdict"),
    [
        ("407", {}, "impossible"),
        ("390-420", {}, "possible"),
        ("405-407", {}, "impossible"),
        ("", {}, "possible"),
        ("407", {"n_from": "a guess"}, "possible"),
        ("", {"rounds": "5"}, "not checked"),
        ("", {"classes": "a=300; b=107"}, "impossible"),
        ("", {"classes": "a=300; b=90-110"}, "possible"),
        ("407", {"n_from": "a guess", "n_range": "405-407"}, "impossible"),
        ("407", {"rounds": "5"}, "possible"),
        ("788", {"rounds": "2", "averages": "folds"}, "possible"),
        ("20", {"rounds": "2", "averages": "folds"}, "impossible"),
    ],
)
def test_how_much_is_known_of_the_size(n_test, more, verdict):
    assert verdicts(table(("accuracy", "93.91"), n_test=n_test, **more)) == [verdict]


def test_the_smallest_test_set_of_unknown_ones():
    one = forensics.judged(table(("accuracy", "93.91"), n_test="407", n_from="a guess"))
    # 108/115 = 0.93913; below it no share rounds so
    assert "108/115 = 93.91" in one["shown"][0]
    assert "n = 407, which was taken, does not give it, n = 394 would" in one["shown"][0]
    rows = [("specificity", "66.67"), ("per_class.a.recall", "75.00"), ("accuracy", "71.43")]
    found = forensics.judged(table(*rows, classes="2"))
    assert set(found["counts"]) == {"(3, 1, 1, 2)"} and set(found["verdict"]) == {"possible"}
    rows[2] = ("accuracy", "71.44")
    found = forensics.judged(table(*rows, classes="2"))
    assert found["verdict"][0] == "not contradicted"


BENIGN = [
    ("accuracy", "99.03"),
    ("per_class.benign.precision", "98.53"),
    ("per_class.benign.recall", "98.40"),
    ("per_class.benign.f1", "98.46"),
]


def test_two_matrices_are_called_two():
    found = forensics.judged(table(*BENIGN, n_test="2373", classes="benign; malignant"))
    assert set(found["verdict"]) == {"possible"} and set(found["fits"]) == {"2"}
    assert set(found["counts"]) == {"(736, 12, 11, 1614) (737, 12, 11, 1613)"}
    assert found["shown"].str.contains("two matrices").all()
    one = table(*BENIGN, n_test="2373", classes="benign=749; malignant")
    assert set(forensics.judged(one)["counts"]) == {"(737, 12, 11, 1613)"}
    # The class is one against the rest where there are more: the accuracy then bounds it alone.
    lower = table(("accuracy", "98.02"), *BENIGN[1:], n_test="2373")
    assert set(verdicts(lower.assign(classes="3"))) == {"possible"}
    assert set(verdicts(lower.assign(classes="2"))) == {"impossible together"}


def test_unnamed_scores_may_be_of_either_class_or_means():
    rows = [("accuracy", "96.59"), ("precision", "96.00"), ("recall", "96.10"), ("f1", "96.05")]
    found = forensics.judged(table(*rows, n_test="2373", classes="benign; malignant"))
    assert set(found["verdict"]) == {"possible"}
    assert found["shown"].str.contains("matrices macro").all()
    rows[2] = ("recall", "96.60")
    wrong = forensics.judged(table(*rows, n_test="2373", classes="benign; malignant"))
    assert set(wrong["verdict"]) == {"impossible together"}


def test_a_true_table_of_three_classes_passes():
    """Its accuracy is that of all classes, not of one against the rest."""
    # rows: 40 5 5; 4 30 6; 1 2 57
    rows = [
        ("accuracy", "84.67"), ("precision_macro", "83.86"), ("recall_macro", "83.33"),
        ("f1_macro", "83.47"), ("per_class.a.precision", "88.89"), ("per_class.a.recall", "80.00"),
        ("per_class.b.precision", "81.08"), ("per_class.b.recall", "75.00"),
        ("per_class.c.precision", "83.82"), ("per_class.c.recall", "95.00"),
    ]  # fmt: skip
    true = table(*rows, n_test="150", classes="a=50; b=40; c=60")
    macro = {key: value for key, value in rows}
    macro["precision_macro"] = "84.60"
    assert "impossible together" not in verdicts(true[~true.metrics_key.str.endswith("macro")])
    found = forensics.judged(true.assign(printed=list(macro.values())))
    mean = found[found.metrics_key == "recall_macro"].iloc[0]
    assert mean["verdict"] == "not contradicted" and "(80.00 + 75.00 + 95.00) / 3" in mean["shown"]
    # 84.60 is (88.89 + 81.08 + 83.82) / 3
    assert found[found.metrics_key == "precision_macro"]["verdict"].item() == "not contradicted"
    assert verdicts(true.assign(printed=[*("84.67", "83.86"), *list(macro.values())[2:]]))[1] == (
        "impossible together"
    )


def test_accuracy_lies_between_specificity_and_recall():
    rows = [("accuracy", "89.88"), ("specificity", "93.94"), ("per_class.m.recall", "93.03")]
    one = table(("accuracy", "89.82"), *rows[1:], n_test="599", classes="b; m")
    assert set(verdicts(one)) == {"impossible together"}
    # of several classes the specificity may be a mean
    assert set(verdicts(one.assign(classes=""))) == {"possible", "not checked"}
    # of three rounds it need not, unless something is known of the classes
    three = table(*rows, n_test="", rounds="3", classes="b; m")
    assert set(verdicts(three)) == {"not contradicted"}
    known = table(*rows, n_test="", n_range="598-599", rounds="3", classes="b=150-240; m=358-449")
    assert verdicts(known)[1:] == ["impossible together"] * 2


def test_pooled_above_one_half():
    rows = [("accuracy", "93.86"), ("precision_micro_at_half", "93.84"),
            ("recall_micro_at_half", "93.61")]  # fmt: skip
    found = forensics.judged(table(*rows, n_test="407", classes="3"))
    assert set(found["counts"]) == {"(382, 381, 406)"}
    rows[0] = ("accuracy", "94.10")
    found = forensics.judged(table(*rows, n_test="407", classes="3"))
    assert set(found["verdict"]) == {"impossible together"}
    assert found["repair"][0] == "93.86"


def test_scores_beside_four_counts():
    rows = [("per_class.a.tp", "8"), ("per_class.a.tn", "88"), ("per_class.a.fp", "2"),
            ("per_class.a.fn", "2")]  # fmt: skip
    scores = [("per_class.a.precision", "0.80"), ("per_class.a.kappa", "0.777")]
    frame = table(*rows, *scores, n_test="100").assign(unit=["images"] * 4 + ["fraction"] * 2)
    assert verdicts(frame) == ["possible"] * 5 + ["impossible together"]
    assert forensics.judged(frame)["repair"][5] == "0.778"
    short = forensics.judged(frame.assign(n_test="101"))
    assert set(short["verdict"][:4]) == {"impossible together"}
    assert "8 + 88 + 2 + 2 = 100 where there are 101 images" in short["shown"][0]


def test_mean_and_deviation_of_counts():
    frame = table(("correct", "2.00"), ("correct", "2.00"), unit="images", rounds="4")
    assert verdicts(frame.assign(sd=["1.00", "1.08"])) == ["possible", "impossible"]


def test_cut_instead_of_rounded_is_a_remark():
    rows = [("per_class.m.precision", "98.23"), ("per_class.m.recall", "93.62"),
            ("per_class.m.f1", "95.86")]  # fmt: skip
    found = forensics.judged(table(*rows))
    assert set(found["verdict"]) == {"not contradicted"}
    assert found["remark"][2].endswith("= 95.87, cut to 95.86")


def test_cut_instead_of_rounded_is_a_repair():
    found = forensics.judged(table(("accuracy", "93.85"), n_test="407"))
    assert found["verdict"][0] == "impossible" and found["repair"][0] == "93.86"
    assert "cut instead of rounded: 382/407" in found["shown"][0]
    # 382/407 and 150/160, both cut: 93.857 and 93.75
    rows = [("accuracy", "93.85"), ("per_class.a.recall", "93.75")]
    found = forensics.judged(table(*rows, n_test="407", classes="a=160; b"))
    assert found["verdict"][1] == "impossible together"
    assert "cut instead of rounded: (150, 10, 15, 232)" in found["shown"][1]


def test_pooled_over_all_classes_they_are_the_accuracy():
    rows = [("accuracy", "93.86"), ("precision_micro", "93.61"), ("recall_micro", "93.86")]
    found = forensics.judged(table(*rows, n_test="407", classes="3"))
    assert list(found["verdict"]) == ["impossible together"] * 2 + ["possible"]
    assert found["arithmetic"][1] == "pooled"


def test_merged_classes_and_one_value_in_two_places():
    frame = table(
        ("accuracy", "93.86"), ("accuracy", "96.56"), ("accuracy", "96.50"), n_test="407",
        table=["T1", "T1", "T2"], system=["three", "four", "four"], merges=["four", "", ""],
    )  # fmt: skip
    found = forensics.judged(frame.assign(n_test=""))
    assert set(found["verdict"]) == {"impossible together"}
    assert set(found["arithmetic"]) == {"merged classes", "printed twice; merged classes"}


def test_one_matrix_for_two_systems_is_told():
    rows = [(f"per_class.a.{key}", value) for key, value in
            (("tp", "5"), ("fn", "1"), ("fp", "0"), ("tn", "4"))]  # fmt: skip
    frame = table(*rows, *rows, unit="images", n_test="10", table="T", classes="a; b")
    found = forensics.judged(frame.assign(system=["x"] * 4 + ["y"] * 4))
    assert set(found["verdict"]) == {"possible"}
    assert set(found["remark"]) == {"x and y have one matrix: TP, FN, FP, TN = 5, 1, 0, 4 of a"}


def test_sums_and_shares_that_are_said_to_follow():
    frame = pd.DataFrame(
        {
            "id": ["a", "b", "all", "part", "mean"],
            "printed": ["195", "906", "1102", "331", "550.5"],
            "unit": ["images"] * 4 + [""],
            "equals": ["", "", "a + b", "whole(0.3 * all)", "mean(a, b)"],
        }
    )
    found = forensics.judged(frame)
    assert list(found["verdict"])[2:] == ["impossible together", "possible", "possible"]
    assert found["shown"][2] == "195 + 906 = 1101, not 1102" and found["repair"][2] == "1101"


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"printed": ["n/a"]}, "line 2, column printed: 'n/a' is no number"),
        ({"printed": ["93,91"]}, "line 2, column printed: '93,91' is no number; write 93.91$"),
        ({"printed": ["1,2,3"]}, "'1,2,3' is no number$"),
        ({"decimals": ["1"]}, "column decimals: 1, but 93.91 has 2"),
        ({"n_test": ["many"]}, "column n_test: 'many' is no size"),
        ({"n_test": ["9-3"]}, "column n_test: '9-3' is no range"),
        ({"rounds": ["0"]}, "column rounds: '0' is no number from 1"),
        ({"averages": ["runs"]}, "column averages: 'runs' is not folds or rounds"),
        ({"classes": ["a; a"]}, "column classes: 'a; a' names a class twice"),
        ({"sd": ["x"]}, "column sd: 'x' is no number"),
        ({"equals": ["a +"]}, "column equals: 'a \\+' is no sum"),
        ({"equals": ["b"]}, "no number has the id 'b'"),
        ({"equals": ["__import__('os')"]}, "column equals: only \\+ - \\* /"),
        ({"equals": ["1 / (2 - 2)"]}, "divides by zero"),
        ({"equals": ["1e999"]}, "a number above 1e\\+15"),
        ({"equals": ["-" * 400 + "1"]}, "is no sum"),
        ({"equals": ["2 ** 9 ** 9"]}, "only"),
        ({"equals": ["f1(1, -1)"]}, "not negative"),
        ({"metrics_key": ["per_class.f1"]}, "names no class"),
    ],
)
def test_bad_tables_are_named(columns, message):
    with pytest.raises(InputError, match=message):
        forensics.judged(table(("accuracy", "93.91")).assign(**columns))


def test_numbers_as_people_write_them():
    frame = pd.DataFrame(
        {
            "metric": [
                "Accuracy",
                "F1-score",
                "Sensitivity",
                "TP",
                "Cohen's kappa",
                "AUC",
                "FLOPs",
            ],
            "printed": ["93.91 %", "0.95", "97.3", "12", "0.80", "0.99", "4.1"],
            "n_test": ["407"] * 7,
        }
    )
    found = forensics.numbers(frame)
    assert [n.key for n in found] == ["accuracy", "f1", "sensitivity", "tp", "kappa", "auc", ""]
    assert [n.unit for n in found] == [
        "percent", "fraction", "percent", "images", "fraction", "fraction", "fraction",
    ]  # fmt: skip
    assert forensics.judged(frame)["verdict"][0] == "impossible"
    for text in ("95.10 ± 0.35", "95.10±0.35 %", "95.10 % ± 0.35 %", "95.10 +/- 0.35"):
        (number,) = forensics.numbers(table(("accuracy", text)))
        assert (number.printed.text, number.sd.text, number.sd.scale) == ("95.10", "0.35", 100)
    keys = ["acc", "per_class.a.F1 score", "sens", "per_class.a.b.tp", "by_magnification.40X.acc"]
    found = forensics.numbers(pd.DataFrame({"metrics_key": keys, "printed": ["1"] * 5}))
    assert [(n.path, n.of_class, n.score) for n in found] == [
        ("", "", "accuracy"), ("", "a", "f1"), ("", "", "recall"), ("", "a.b", "tp"),
        ("by_magnification.40X", "", "accuracy"),
    ]  # fmt: skip


def test_lines_without_a_name_are_of_one_system_at_most():
    rows = [("accuracy", "93.86"), ("per_class.a.recall", "95.00"), ("specificity", "94.00")]
    once = table(*rows, n_test="407", classes="2")
    assert "impossible together" in verdicts(once)
    assert "impossible together" not in verdicts(pd.concat([once, once.assign(printed="93.86")]))


def test_rows_of_one_name_in_two_tables_are_two_systems_unless_said():
    frame = table(("accuracy", "97.30"), ("accuracy", "93.86"), n_test="407", row="ResNet50")
    frame["table"] = ["T1", "T2"]
    assert verdicts(frame) == ["possible"] * 2
    assert verdicts(frame.assign(system="ResNet50")) == ["impossible together"] * 2


def test_what_is_no_table():
    for wrong, message in (([1], "DataFrame"), (pd.DataFrame({"x": []}), "no column printed"),
                           (pd.DataFrame({"printed": []}), "no column metrics_key")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            forensics.judged(wrong)


# --- the command, and the papers ---------------------------------------------------------------


def test_the_command(tmp_path, capsys):
    path = tmp_path / "numbers.csv"
    path.write_text("metrics_key,printed,n_test\naccuracy,93.91 %,407\naccuracy,93.86 %,407\n")
    out, page = tmp_path / "out.csv", tmp_path / "page.html"
    assert main([str(path), "--csv", str(out), "--page", str(page)]) == 1
    printed = capsys.readouterr().out
    assert "2 numbers: 1 impossible, 1 possible" in printed and "382/407 = 93.86" in printed
    assert list(pd.read_csv(out)["verdict"]) == ["impossible", "possible"]
    text = page.read_text(encoding="utf-8")
    assert "382/407 = 93.86 and 383/407 = 94.10, not 93.91" in text and "Run report" not in text
    path.write_text("metrics_key,printed,n_test\naccuracy,93.86 %,407\n")
    assert main([str(path)]) == 0
    with pytest.raises(InputError, match="no such file"):
        main([str(tmp_path / "none.csv")])


def test_exit_code_of_bad_input(tmp_path):
    (tmp_path / "bad.csv").write_text("metrics_key,printed\naccuracy,x\n")
    done = subprocess.run(
        [sys.executable, "-m", "common.forensics", str(tmp_path / "bad.csv")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "line 2, column printed: 'x' is no number" in done.stderr


@pytest.fixture(scope="module")
def judged():
    return {package: forensics.judged(forensics.of_paper(package)) for package in PAPERS}


@pytest.mark.parametrize("package", PAPERS)
def test_what_the_tables_star_is_impossible(package, judged):
    found = judged[package]
    stars = [
        counted.possible is False for counted in tables.paper_counts(tables.published(package))
    ]
    starred = found[: len(stars)][stars]
    assert set(starred["verdict"]) <= {"impossible", "impossible together"}


def test_findings_of_the_papers(judged):
    """One of each kind, by the sums of the discrepancies."""
    her2 = judged["her2scoring"]
    wrong = her2[her2["printed"] == "93.91"].iloc[0]
    assert wrong["repair"] == "93.86" and "n = 407 gives 13" in wrong["shown"]
    assert her2[her2["printed"] == "95.29"]["repair"].tolist() == ["95.09"]
    binary = judged["breakhis"][:4]
    assert list(binary["fits"]) == ["2"] * 4
    assert binary["shown"].str.contains("T2, T3 together: one matrix").all()
    assert json.dumps(judged["gan_fusion"]["remark"].tolist()).count("have one matrix") == 16


# --- the page about it ----------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "forensics.md").read_text(encoding="utf-8")


def test_the_page_shows_what_the_command_prints(tmp_path, monkeypatch, capsys):
    """Its table of numbers, put to the command, gives the text below it."""
    csv, text = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("csv", "text"))
    (tmp_path / "numbers.csv").write_text(csv)
    monkeypatch.chdir(tmp_path)
    assert main(["numbers.csv", "--all"]) == 1
    assert capsys.readouterr().out == text


def test_the_page_names_every_column_and_rule():
    head = PAGE.partition("## What each arithmetic shows")
    for column in forensics.COLUMNS:
        assert f"`{column}`" in head[0] or column == "preset", column
    for rule in forensics.RULES:
        assert rule in head[2] or rule in ("range", "mean of k of n"), rule
