"""Rows that a paper lacks: its ablation, the networks it builds on."""

from __future__ import annotations

import json
import re
import shutil
from importlib import import_module

import grid
import numpy as np
import pytest

from common import reproduce, tables
from common.papers import PAPERS
from common.reproduce.states import Place
from common.site import paper as site_page
from common.site.gather import gather
from common.tables.unprinted import HEADING, unprinted_markdown


@pytest.mark.parametrize("package", PAPERS)
def test_rows_that_a_paper_lacks_differ_from_rows_that_it_has(package):
    module = import_module(f"{package}.config")
    printed = set(tables.published(package)["preset"])
    rows = getattr(module, "UNPRINTED", {})
    assert len(rows) == {"breakhis": 12, "ernet": 4}.get(package, 0)
    for base, settings in rows.values():
        assert base in printed and base in module.HONEST
        assert all(getattr(module.PRESETS[base], name) != v for name, v in settings.items())


def test_without_runs_commands_are_named(tmp_path, capsys):
    assert tables.main("breakhis", ["--runs-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    _, _, part = out.partition(f"{HEADING}\n")
    assert "12 rows have no run yet" in part.partition("## ")[0]
    assert "--preset T2-binary-resnet50 --normalisation imagenet --data-dir DIR`" in part
    paper = tables.load("her2scoring", tmp_path)
    assert unprinted_markdown(paper, tmp_path) == ""


@pytest.mark.slow
def test_runs_stand_beside_those_of_the_paper_s_row(tmp_path):
    """Means of five rounds; the twin's beside it; a run of one other setting is no such row."""
    items = reproduce.items(["ernet"], row="plain-resnet18")
    items += reproduce.items(["ernet"], row="T1-ernet18", twins="no")
    folder = tmp_path / "runs"
    grid.make(folder, items)
    accuracies = {
        preset: np.mean([
            json.loads((run / "metrics.json").read_text())["accuracy"]
            for run in (folder / "ernet").iterdir()
            if json.loads((run / "config.json").read_text())["preset"] == preset
        ])
        for preset in ("plain-resnet18", "plain-resnet18-honest", "T1-ernet18")
    }  # fmt: skip
    text = unprinted_markdown(tables.load("ernet", folder, fabricated=True), folder)
    (line,) = [each for each in text.splitlines() if each.startswith("| plain ResNet-18")]
    _, ours, ends, theirs, apart, twin = (cell.strip() for cell in line.strip("|").split("|"))
    expected = [f"{100 * value:.2f} (5 runs)" for value in accuracies.values()]
    assert [ours, twin, theirs] == expected
    difference = 100 * (accuracies["plain-resnet18"] - accuracies["T1-ernet18"])
    assert apart == f"{difference:+.2f}" and re.fullmatch(r"\d+\.\d\d to \d+\.\d\d", ends)
    assert "3 rows have no run yet" in text
    # The site shows the same.
    shown = site_page.unprinted(gather("ernet", Place(folder, fabricated=True), None))
    assert shown["told"].startswith("3 rows have no run yet") and len(shown["commands"]) == 2
    assert shown["rows"] == [["plain ResNet-18", ours, ends, theirs, apart.replace("-", "−"), twin]]
    # Without one round, a mean of four.
    shutil.rmtree(next(run for run in (folder / "ernet").iterdir()
                       if json.loads((run / "config.json").read_text())["preset"]
                       == "plain-resnet18"))  # fmt: skip
    text = unprinted_markdown(tables.load("ernet", folder, fabricated=True), folder)
    assert "(4 runs)" in text
