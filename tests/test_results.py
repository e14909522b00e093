"""Runs as lines of data: collected, read, put together; tables without the run folders."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from test_tables import make_run, paper, scored  # noqa: F401  # paper is a fixture

from common import results, tables
from common.errors import InputError
from common.files import write_json, write_text
from common.reproduce import collect as collecting
from common.reproduce.states import Place
from common.reproduce.work import of_paper
from common.tables.comparison import compared


@pytest.fixture
def finished(tmp_path, monkeypatch, paper):  # noqa: F811
    """Three runs of the fake paper's rows, whole; give where they live."""
    monkeypatch.setattr("common.papers.PAPERS", ("fakepaper",))
    monkeypatch.setattr("common.reproduce.work.PAPERS", ("fakepaper",))
    of_paper.cache_clear()
    for seed, right in ((0, 1880), (1, 1900)):
        folder = make_run(tmp_path, f"small-{seed}", scored(right, 2000), seed=seed)
        complete(folder, f"id-{seed}", f"predictions {seed}")
    folder = make_run(tmp_path, "twin", scored(1700, 2000), split="patient")
    complete(folder, "id-twin", "predictions of the twin")
    yield Place(tmp_path / "runs")
    of_paper.cache_clear()


def complete(folder, run_id, predictions):
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "run_id": run_id, "dataset": "bci"})
    write_text(folder / "predictions.csv", predictions)
    made = {
        "commit": "c0ffee", "dirty": False, "cpu": "a processor", "threads": 2, "seconds": 61.5,
        "backend": "tensorflow", "packages": {"tensorflow": "2.21", "keras": "3.15", "x": "1"},
    }  # fmt: skip
    write_json(folder / "environment.json", made)


def table(place, **more):
    found = compared(tables.load("fakepaper", place.runs_dir, **more))
    return found.drop(columns=["independent"])


def test_tables_stand_without_the_runs(finished, tmp_path):
    before = table(finished)
    assert before["n_runs"].max() == 2
    count, lines = collecting.collect(finished, "fakepaper", tmp_path / "results")
    assert count == 3
    shutil.rmtree(finished.runs_dir)
    assert table(finished)["ours"].isna().all()
    after = table(finished, results_dir=tmp_path / "results")
    shown = ["row", "metric", "ours", "sd", "n_runs", "low", "high", "k", "n", "status", "reason"]
    shown += ["difference", "difference_low", "difference_high", "honest_ours", "honest_low"]
    for name in shown:
        ours, theirs = before[name], after[name]
        if ours.dtype == "float64":  # nine digits are kept
            np.testing.assert_allclose(ours, theirs, rtol=1e-8)
        else:
            assert ours.equals(theirs), name
    assert len(results.read(tmp_path / "results" / "fakepaper.csv")) == lines


def test_a_run_at_hand_is_not_counted_twice(finished, tmp_path):
    collecting.collect(finished, "fakepaper", tmp_path / "results")
    both = table(finished, results_dir=tmp_path / "results")
    assert both.equals(table(finished))


@pytest.mark.parametrize("gone", ["small-1", "twin"])
def test_a_run_that_is_gone_is_counted_by_its_lines(finished, tmp_path, gone):
    before = table(finished)["n_runs"]
    collecting.collect(finished, "fakepaper", tmp_path / "results")
    shutil.rmtree(finished.runs_dir / "fakepaper" / gone)
    both = table(finished, results_dir=tmp_path / "results")
    assert both["n_runs"].equals(before)
    assert both["honest_n_runs"].max() == 1


def test_collected_again_nothing_changes(finished, tmp_path):
    file = tmp_path / "results" / "fakepaper.csv"
    collecting.collect(finished, "fakepaper", tmp_path / "results")
    before = file.read_bytes()
    collecting.collect(finished, "fakepaper", tmp_path / "results")
    assert file.read_bytes() == before


def test_what_a_line_says(finished, tmp_path):
    collecting.collect(finished, "fakepaper", tmp_path / "results", results.TIERS[0])
    lines = results.read(tmp_path / "results" / "fakepaper.csv")
    (line,) = [ln for ln in lines if (ln["run_id"], ln["metric"]) == ("id-1", "accuracy")]
    assert float(line["value"]) == 0.95
    assert (line["k"], line["n"], line["unit"], line["seed"]) == ("1900", "2000", "fraction", "1")
    assert 0.93 < float(line["low"]) < 0.95 < float(line["high"]) < 0.97
    assert line["versions"] == "tensorflow 2.21, keras 3.15"
    assert (line["hardware"], line["threads"], line["seconds"]) == ("a processor", "2", "61.5")
    assert (line["tier"], line["synthetic"]) == ("reproduced here", "False")
    assert len(line["predictions_sha256"]) == 64


def test_a_preset_s_name_alone_fills_no_row(finished, tmp_path):
    make_run(tmp_path, "other", scored(1999, 2000), epochs=31)  # says that it is T1-small
    complete(finished.runs_dir / "fakepaper" / "other", "id-other", "others")
    collecting.collect(finished, "fakepaper", tmp_path / "results")
    shutil.rmtree(finished.runs_dir)
    found = tables.load("fakepaper", finished.runs_dir, tmp_path / "results")
    assert {name: len(group.runs) for name, group in found.groups.items()} == {
        "T1-small": 2, "T1-small-honest": 1,
    }  # fmt: skip


def test_partial_and_synthetic_runs(finished, tmp_path):
    make_run(tmp_path, "part", scored(1, 2), images=10)
    make_run(tmp_path, "synthetic", scored(1, 2), synthetic=True)
    make_run(tmp_path, "begun", scored(1, 2), finished=False)
    for name in ("part", "synthetic", "begun"):
        complete(finished.runs_dir / "fakepaper" / name, name, name)
    assert collecting.collect(finished, "fakepaper", tmp_path / "results")[0] == 3
    demo = Place(finished.runs_dir, synthetic=True)
    assert collecting.collect(demo, "fakepaper", tmp_path / "demo")[0] == 1
    found = tables.load("fakepaper", tmp_path / "none", tmp_path / "demo")
    assert found.groups == {}


def test_two_files_are_put_together(finished, tmp_path):
    collecting.collect(finished, "fakepaper", tmp_path / "a")
    shutil.rmtree(finished.runs_dir / "fakepaper" / "twin")
    collecting.collect(finished, "fakepaper", tmp_path / "b", results.TIERS[0])
    a, b = (results.read(tmp_path / name / "fakepaper.csv") for name in "ab")
    both = results.merged(a, b)
    assert len(both) == len(a)
    tiers = {line["run_id"]: line["tier"] for line in both}
    assert tiers == {
        "id-0": "reproduced here", "id-1": "reproduced here", "id-twin": "self-reported",
    }  # fmt: skip
    assert results.merged(b, a) != []
    assert {json.dumps(line, sort_keys=True) for line in results.merged(b, a)} == {
        json.dumps(line, sort_keys=True) for line in both
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, lines[0]], "twice"),
        (lambda lines: [{**lines[0], "value": "high"}], "line 2, column value: 'high': no number"),
        (lambda lines: [{**lines[0], "low": "nan"}], "line 2, column low: 'nan': no number"),
        (lambda lines: [{**lines[0], "tier": "mine"}], "tier 'mine'"),
    ],
)
def test_files_that_are_wrong(finished, tmp_path, change, message):
    collecting.collect(finished, "fakepaper", tmp_path / "results")
    file = tmp_path / "results" / "fakepaper.csv"
    results.write(file, change(results.read(file)))
    with pytest.raises(InputError, match=message):
        results.read(file)


def test_a_file_that_lacks_a_column(tmp_path):
    (tmp_path / "x.csv").write_text("run_id,paper\n1,2\n")
    with pytest.raises(InputError, match=r"x\.csv"):
        results.read(tmp_path / "x.csv")


def test_made_up_runs_are_shown_when_asked_for_and_alone(finished, tmp_path):
    """With their folders and from their lines; the page says so at its head."""
    folder = finished.runs_dir / "fakepaper" / "small-0"
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "synthetic": True, "fabricated": True})
    assert set(table(finished, fabricated=True)["n_runs"]) == {0, 1}
    for fabricated in (True, False):
        found = tables.load("fakepaper", finished.runs_dir, fabricated=fabricated)
        names = {run.path.name for group in found.groups.values() for run in group.runs}
        assert ("small-0" in names) is fabricated and (names == {"small-0"}) is fabricated
    assert table(finished)["n_runs"].max() == 1
    made_up = Place(finished.runs_dir, fabricated=True)
    count, _ = collecting.collect(made_up, "fakepaper", tmp_path / "results")
    assert count == 1
    shutil.rmtree(finished.runs_dir)
    assert table(finished, results_dir=tmp_path / "results")["n_runs"].max() == 0
    found = tables.load(
        "fakepaper", finished.runs_dir, results_dir=tmp_path / "results", fabricated=True
    )
    assert compared(found)["n_runs"].max() == 1
    assert tables.markdown(found).startswith("**FABRICATED")
    assert tables.latex(found).startswith("% FABRICATED")
    found.fabricated = False
    assert not tables.latex(found).startswith("% FABRICATED")
    assert tables.markdown(found).startswith("## ")
