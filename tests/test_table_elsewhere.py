"""A paper's tables: what runs were worth on other data, beside their own test images."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import run_folder

from common import evaluation, runs, tables, terminal
from common.files import write_json
from common.tables import comparison, elsewhere


@pytest.fixture
def run(tmp_path):
    made = runs.load(run_folder.make(tmp_path / "runs", "binary", pictures=False))
    made.note(name="mine")
    return made


def judged(run, name, title, **found):
    """As `PKG.evaluate` leaves it, with the metrics of the run's own test images."""
    folder = run.path / "external" / name
    folder.mkdir(parents=True)
    shutil.copy(run.path / "metrics.json", folder / "metrics.json")
    write_json(folder / "external.json", {"name": name, "title": title, "synthetic": False} | found)
    return folder


def test_a_run_on_other_data_stands_beside_its_own_test_images(run, tmp_path, capsys):
    own = evaluation.read_metrics(run)
    place = tmp_path / "runs"
    assert tables.load("breakhis", place).elsewhere == []
    before = tables.compared(tables.load("breakhis", place))
    folder = judged(run, "site", "site.csv")
    few = {**own, "n": 10, "correct": 7, "accuracy": 0.7, "accuracy_ci": None, "n_patients": None}
    write_json(folder / "metrics-without-copies.json", few)
    way = {"metrics": {"accuracy": 0.5, "accuracy_ci": [0.25, 0.75], "balanced_accuracy": None}}
    ways = [{"name": "as it is"} | way, {"name": "stain", "difference": 0.125,
            "difference_ci": [-0.25, 0.5]} | way]  # fmt: skip
    write_json(folder / "adapted.json", {"held_out": 8, "held_out_patients": 3, "ways": ways})
    judged(run, "drawn", "drawn.csv", synthetic=True)
    (judged(run, "broken", "broken.csv") / "metrics.json").write_text("{", encoding="utf-8")
    score, n = f"{100 * own['accuracy']:.2f}", str(own["n"])
    low, high = (100 * end for end in own["accuracy_ci"])
    ends, balanced = f"{low:.2f} to {high:.2f}", f"{100 * own['balanced_accuracy']:.2f}"
    patients = str(own["n_patients"])
    lines = [
        ["mine", "its own test images", n, patients, score, ends, balanced, ""],
        ["", "site.csv", n, patients, score, ends, balanced, ""],
        ["", "site.csv, without copies", "10", "unknown", "70.00", "–", balanced, ""],
        ["", "site.csv, held out: as it is", "8", "3", "50.00", "25.00 to 75.00", "–", ""],
        ["", "site.csv, held out: stain", "8", "3", "50.00", "25.00 to 75.00", "–",
         "+12.50 (-25.00 to +50.00)"],
    ]  # fmt: skip
    paper = tables.load("breakhis", place)
    assert elsewhere.cells(paper.elsewhere) == lines
    assert "external/broken is damaged and was left out" in capsys.readouterr().err
    part = tables.markdown(paper).partition(f"## {elsewhere.TITLE}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert [cells[0], *cells[2:7]] == [list(elsewhere.HEADER), *lines]
    part = tables.latex(paper).partition(f"% {elsewhere.TITLE}\n")[2]
    assert part.startswith("\\begin{tabular}{llrrrrrr}\n")
    assert " & site.csv, held out: stain & 8 & 3 & 50.00 & 25.00 to 75.00 & -- & +12.5" in part
    table = comparison.with_others(before, paper)
    pd.testing.assert_frame_equal(table[: len(before)], before, check_dtype=False)
    assert len(table) == len(before) + 5 and list(table.columns) == list(before.columns)
    line = table[table["row"] == "mine: site.csv, without copies"].iloc[0]
    assert (line["table"], line["ours"], line["k"], line["n"]) == (elsewhere.TITLE, 70, 7, 10)
    assert line["status"] == "not judged" and pd.isna(line["printed"])
    assert pd.isna(line["low"]) and pd.isna(line["high"])
    line = table[table["row"] == "mine: site.csv"].iloc[0]
    assert (line["low"], line["high"]) == pytest.approx((low, high))
    assert (line["n_runs"], line["decimals"], line["k"]) == (1, 2, own["correct"])
    assert line["preset"] == run.record.preset == paper.elsewhere[1].preset


def test_damage_is_told_also_after_quiet_and_leaves_nothing(run, tmp_path, capsys):
    assert elsewhere.of_run(run) == []
    (judged(run, "broken", "broken.csv") / "metrics.json").write_text("{", encoding="utf-8")
    write_json(judged(run, "half", "half.csv") / "adapted.json", {"ways": [{}]})
    terminal.quiet()
    try:
        assert elsewhere.of_run(run) == []
    finally:
        terminal.quiet(False)
    said = capsys.readouterr().err
    assert f"{run.path}: external/broken is damaged and was left out: " in said
    assert f"{run.path}: half is damaged and was left out: " in said


def test_two_of_one_title_are_told_apart_by_name(run):
    judged(run, "at-scale", "site.csv")
    judged(run, "as-it-is", "site.csv")
    judged(run, "other", "other.csv")
    assert [each.title for each in runs.elsewhere(run.path)[0]] == [
        "site.csv (as-it-is)", "site.csv (at-scale)", "other.csv",
    ]  # fmt: skip
    (run.path / "metrics.json").write_text(json.dumps({}), encoding="utf-8")
    assert [line.on for line in elsewhere.of_run(run)] == [
        "site.csv (as-it-is)", "site.csv (at-scale)", "other.csv",
    ]  # fmt: skip
