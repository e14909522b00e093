"""The fabricated grid: every row is filled by it when asked, and never when not."""

from __future__ import annotations

import shutil

import grid
import numpy as np
import pytest

from common import evaluation, reproduce, results, tables
from common.notices import FABRICATED
from common.papers import PAPERS
from common.reproduce.__main__ import main as command
from common.reproduce.check import check
from common.reproduce.collect import collect
from common.reproduce.states import Place, states
from common.runs import find, load
from common.tables.comparison import compared

NO_METRIC = {"flops", "parameters", "latency_ms", "memory_mb"}
"""Parts of the keys of numbers that no test prediction gives."""


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A row of three trials with its twin, and one of BCI; give where they live."""
    folder = tmp_path_factory.mktemp("few") / "runs"
    items = reproduce.items(["wrn_edge"], row="T1-40X")
    items += reproduce.items(["her2scoring"], row="T3-convnext_tiny-he")
    grid.make(folder, items)
    return folder


def test_runs_are_drawn_at_the_printed_accuracy(few):
    found = find(few, "wrn_edge")
    assert len(found) == 6
    values = {run.record.preset: [] for run in found}
    for run in found:
        scores = evaluation.read_metrics(run)
        assert scores["n"] in (599, 600) or run.record.preset.endswith("honest")
        values[run.record.preset].append(scores["accuracy"])
    assert np.mean(values["T1-40X"]) == pytest.approx(0.8988, abs=0.006)
    assert np.mean(values["T1-40X-honest"]) == pytest.approx(0.8988 - grid.TWIN, abs=0.006)


def test_they_count_when_asked_and_only_then(few):
    paper = tables.load("wrn_edge", few, fabricated=True)
    assert {name: len(group.runs) for name, group in paper.groups.items()} == {
        "T1-40X": 3, "T1-40X-honest": 3,
    }  # fmt: skip
    for text in (tables.markdown(paper), tables.latex(paper)):
        assert FABRICATED in text
    asked = tables.load("wrn_edge", few)
    assert asked.groups == {} and asked.others == []
    assert FABRICATED not in tables.markdown(asked)


def test_no_command_counts_them(few, tmp_path, capsys):
    assert command(["collect", "--runs-dir", str(few), "--results", str(tmp_path)]) == 0
    assert command(["collect", "--demo", "--runs-dir", str(few), "--results", str(tmp_path)]) == 0
    assert list(tmp_path.iterdir()) == []
    run = find(few, "wrn_edge")[0]
    assert command(["check", str(run.path), "--add", str(tmp_path)]) == 1
    assert "WRONG  tissue      FABRICATED" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    items = reproduce.items(["wrn_edge"], row="T1-40X")
    for place, done in ((Place(few), 0), (Place(few, True), 0), (Place(few, False, True), 6)):
        assert sum(state.done for state in states(items, place).values()) == done


def test_what_check_looks_at_is_as_real_runs_have_it(few):
    for run in (find(few, "wrn_edge")[0], find(few, "her2scoring")[0]):
        wrong = {finding.what for finding in check(run.path).findings if not finding.fine}
        assert wrong <= {"tissue", "scores"}  # with a fortieth of the bootstrap's replicates


def test_tables_stand_without_the_runs_and_lines_keep_the_mark(few, tmp_path):
    runs_dir = shutil.copytree(few, tmp_path / "runs")
    place = Place(runs_dir, fabricated=True)
    before = compared(tables.load("wrn_edge", runs_dir, fabricated=True))
    assert collect(place, "wrn_edge", tmp_path / "results")[0] == 6
    lines = results.read(tmp_path / "results" / "wrn_edge.csv")
    assert {line["synthetic"] for line in lines} == {"fabricated"}
    shutil.rmtree(runs_dir)
    after = compared(tables.load("wrn_edge", runs_dir, tmp_path / "results", fabricated=True))
    for name in ("ours", "low", "high", "difference", "honest_ours"):
        np.testing.assert_allclose(before[name], after[name], rtol=1e-6, atol=1e-6)
    assert before["status"].equals(after["status"])
    real = compared(tables.load("wrn_edge", runs_dir, tmp_path / "results"))
    assert real["ours"].isna().all()


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_the_whole_grid_fills_every_row(whole_grid, paper):
    table = compared(tables.load(paper, whole_grid, fabricated=True))
    empty = table[table["ours"].isna() | (table["n_runs"] == 0)]
    assert all(NO_METRIC & set(key.split(".")) for key in empty["metrics_key"])
    filled = table[table["ours"].notna()]
    assert not filled["status"].str.contains("rounds|not run").any()
    twins = filled[filled["honest_command"] != ""]
    assert twins["honest_ours"].notna().all()


LEAST = {"her2scoring": 0, "breakhis": 43, "ernet": 19, "gan_fusion": 659, "wrn_edge": 41}
"""Verdicts of each paper when all its rows have run: of 991 numbers, at least 551 in all."""


@pytest.mark.slow
def test_every_number_of_the_whole_grid_is_judged(whole_grid):
    found = {}
    for paper in PAPERS:
        table = compared(tables.load(paper, whole_grid, fabricated=True))
        found[paper] = tables.tally(table).verdicts
        scores = ~table["metrics_key"].map(lambda key: bool(NO_METRIC & set(key.split("."))))
        assert table["difference"][scores].notna().all()
        assert set(table["status"][~scores]) == {"not run"} or scores.all()
        judged = table["status"].map(tables.judgement_of)
        assert set(judged) <= set(tables.JUDGEMENTS)
        reasons = table["because"][judged == "not comparable"]
        assert set(reasons) <= set(tables.REASONS)
        assert (table["because"][judged != "not comparable"] == "").all()
        impossible = judged == "impossible as printed"
        assert (table["nearest"] != "").equals(impossible)
        # what is judged on other images is what has another test set, and a score
        other = (table["because"] == "other test set") & (table["unit"] != "images")
        assert (table["other_images"] != "").equals(other)
        assert table["difference_low"][other].notna().all()
    assert sum(found.values()) >= 551
    assert found == LEAST


@pytest.mark.slow
def test_the_whole_grid_is_the_whole_plan(whole_grid):
    items = [item for item in reproduce.items() if item.step is None]
    found = states(items, Place(whole_grid, fabricated=True))
    assert {state.name for state in found.values()} == {"done"}
    assert sum(len(find(whole_grid, paper)) for paper in PAPERS) == len(items)
    assert all(load(state.run).record.fabricated for state in found.values())


@pytest.mark.slow
def test_the_whole_grid_s_tables_stand_without_it(whole_grid, tmp_path):
    place = Place(whole_grid, fabricated=True)
    for paper in PAPERS:
        collect(place, paper, tmp_path)
        before = compared(tables.load(paper, whole_grid, fabricated=True))
        after = compared(tables.load(paper, tmp_path / "none", tmp_path, fabricated=True))
        for name in ("ours", "sd", "low", "high", "difference", "honest_ours"):
            np.testing.assert_allclose(
                before[name], after[name], rtol=1e-6, atol=1e-6, err_msg=name
            )
        assert before["status"].equals(after["status"])
