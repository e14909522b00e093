"""Rows that a paper lacks: its ablation, the networks it builds on."""

from __future__ import annotations

import json
import re
import shutil
from importlib import import_module

import grid
import numpy as np
import pytest
from test_tables import CONFIG, edit, make_run, paper, scored  # noqa: F401

from common import reproduce, tables
from common.papers import PAPERS
from common.reproduce.states import Place
from common.site import paper as site_page
from common.site.gather import gather
from common.tables.unprinted import HEADING, Unprinted, unprinted_markdown


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
    found = tables.load("her2scoring", tmp_path)
    assert unprinted_markdown(found, tmp_path) == ""


LACKING = """
UNPRINTED = {
    "plain": ("T1-small", {"network": "plain"}),
    "wide": ("T1-large", {"sizes": (1, 2)}),
    "named": ("T1-small", {"epochs": 31}),
    "long": ("T1-small", {"epochs": 99, "split_seed": 4}),
}
PRESETS["my-own"] = Config(epochs=31)
"""


def test_a_paper_that_lacks_no_row_is_told_nothing():
    assert Unprinted([], []).told == ""


def test_rows_that_a_paper_lacks_whole(paper, tmp_path):  # noqa: F811
    (paper / "config.py").write_text(CONFIG + LACKING)
    runs_dir = tmp_path / "runs"
    runs_dir.mkdir()

    def shown():
        return unprinted_markdown(tables.load("fakepaper", runs_dir), runs_dir).splitlines()

    start = "python -m fakepaper.train --preset"
    asked = [
        f"- `{start} T1-small --network plain --data-dir DIR`",
        f"- `{start} T1-large --sizes (1, 2) --data-dir DIR`",
    ]
    assert shown() == [HEADING, "", "4 rows have no run yet. Made, for example, by:", "", *asked]
    for k, seed in ((1500, 0), (1600, 1)):
        make_run(tmp_path, f"plain{seed}", scored(k, 2000), network="plain", seed=seed)
    make_run(tmp_path, "twin", scored(1000, 2000), network="plain", split="patient")
    make_run(tmp_path, "beside", scored(1700, 2000))
    make_run(tmp_path, "wide", scored(1200, 2000), network="large", sizes=[1, 2])
    # None of these is such a row.
    make_run(tmp_path, "synthetic", scored(1, 2000), network="plain", synthetic=True)
    make_run(tmp_path, "part", scored(1, 2000), network="plain", images=1)
    edit(make_run(tmp_path, "mine", scored(1, 2000), network="plain"), own={"root": "x"})
    make_run(tmp_path, "also", scored(1, 2000), network="plain", epochs=5)
    head, _, titles, _, plain, wide, _, left, _, named, long = shown()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (plain, wide)]
    assert head == HEADING and titles.startswith("| row ")
    assert cells[0][:2] == ["plain", "77.50 (2 runs)"]
    assert cells[0][3:] == ["85.00", "-7.50", "50.00"]
    assert cells[1][0::3] == ["wide", "–"] and cells[1][1] == "60.00" and cells[1][4:] == ["–", "–"]
    assert left == "2 rows have no run yet. Made, for example, by:"
    assert named == f"- `{start} my-own --data-dir DIR`"
    assert long == f"- `{start} T1-small --epochs 99 --split-seed 4 --data-dir DIR`"
    make_run(tmp_path, "named", scored(1200, 2000), epochs=31)
    assert shown()[-3] == "1 row has no run yet. Made, for example, by:"
    make_run(tmp_path, "long", scored(1200, 2000), epochs=99, split_seed=4)
    assert "no run yet" not in "".join(shown()) and len(shown()) == 8
    shutil.rmtree(runs_dir / "fakepaper" / "long")
    for name in ("plain0", "plain1"):
        shutil.rmtree(runs_dir / "fakepaper" / name)
    edit(make_run(tmp_path, "made-up", scored(1400, 2000), network="plain"), fabricated=True,
         synthetic=True)  # fmt: skip
    text = unprinted_markdown(tables.load("fakepaper", runs_dir, fabricated=True), runs_dir)
    assert "| plain | 70.00 " in text and "85.00" not in text and "3 rows" in text


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
