"""What the cells, lists and commands around a paper's tables say."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from test_tables import CONFIG, DEFAULT, make_run, paper, scored  # noqa: F401  # paper is a fixture

from common import tables
from common.errors import InputError
from common.files import write_json
from common.results import Recorded
from common.tables.as_printed import experiment_lines
from common.tables.comparison import compared


def own_way(folder, row="T1-large"):
    """Add an experiment that does a row the paper's own way."""
    own = f"PRESETS['own'] = Config(epochs=31)\nAS_PRINTED = {{{row!r}: 'own'}}\n"
    (folder / "config.py").write_text(CONFIG + own)


# --- the paper's own way -------------------------------------------------------------------------


def test_the_own_way_of_a_later_row(paper, tmp_path):  # noqa: F811
    own_way(paper)
    make_run(tmp_path, "own", scored(1960, 2000), epochs=31)
    lines, missing = experiment_lines(tables.load("fakepaper", tmp_path / "runs"))
    low, high = scored(1960, 2000)["accuracy_ci"]
    interval = f"{100 * low:.2f} to {100 * high:.2f}"
    assert lines == [["T1, Large", "accuracy", "95.02", "98.00", interval, "–", "–"]]
    assert missing == []


def test_several_runs_of_the_own_way(paper, tmp_path):  # noqa: F811
    own_way(paper, "T1-small")
    for seed, right in ((0, 1960), (1, 1940)):
        make_run(tmp_path, f"own-{seed}", scored(right, 2000), epochs=31, seed=seed)
        make_run(tmp_path, f"row-{seed}", scored(right - 40, 2000), seed=seed)
    lines, _ = experiment_lines(tables.load("fakepaper", tmp_path / "runs"))
    # t of one degree of freedom: 12.706 half differences
    assert lines[0] == [
        "T1, Small", "accuracy", "95.00", "97.50 (2 runs)", "91.15 to 100.00", "95.50 (2 runs)",
        "+2.00",
    ]  # fmt: skip
    assert [line[0] for line in lines] == ["T1, Small", "", ""]


def test_which_experiments_are_not_run(paper, tmp_path):  # noqa: F811
    own = "PRESETS |= {'own': Config(epochs=31), 'other': Config(epochs=32)}\n"
    ways = "AS_PRINTED = {'T1-small': 'own', 'T1-large': 'other'}\n"
    (paper / "config.py").write_text(CONFIG + own + ways)
    command = "`python -m fakepaper.train --preset {} --data-dir DIR`"
    title = "## The paper's own way, which flatters and fills no row\n"
    make_run(tmp_path, "own", scored(1960, 2000), epochs=31)
    shown = tables.markdown(tables.load("fakepaper", tmp_path / "runs"))
    assert title in shown
    assert f"\n\n1 more are not run, such as {command.format('other')}.\n\n" in shown
    make_run(tmp_path, "other", scored(1960, 2000), epochs=32)
    shown = tables.markdown(tables.load("fakepaper", tmp_path / "runs"))
    assert title in shown
    assert "not run, " not in shown[shown.index(title) :]


# --- where runs come from ------------------------------------------------------------------------


def test_runs_are_sought_in_folders(paper, tmp_path):  # noqa: F811
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: no folder of runs; give one with --runs-dir$"):
        tables.load("fakepaper", tmp_path / "file")
    assert tables.load("fakepaper", tmp_path / "none", tmp_path / "no results").groups == {}


def test_images_that_were_compressed_again_are_another_data_set(paper, tmp_path):  # noqa: F811
    folder = make_run(tmp_path, "one", scored(190, 200))
    record = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**record, "recompressed": 3})
    loaded = tables.load("fakepaper", tmp_path / "runs")
    assert loaded.groups == {}
    assert [what for _, _, what in loaded.others] == [
        ["3 images are JPEG copies, so another data set"]
    ]


def test_runs_that_fill_no_row_stand_below_the_table_of_the_nearest(paper, tmp_path):  # noqa: F811
    (paper / "published.csv").write_text(DEFAULT.replace("T1,Large", "T2,Large"))
    many = {"epochs": 1, "split": "slide", "network": "tiny"}
    make_run(tmp_path, "a", scored(180, 200), network="large", epochs=31)
    make_run(tmp_path, "b", scored(180, 200), **many)
    make_run(tmp_path, "c", scored(180, 200), **many, sizes=[3])
    folder = make_run(tmp_path, "d", scored(180, 200), epochs=32)
    record = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**record, "name": "my own"})
    shown = tables.markdown(tables.load("fakepaper", tmp_path / "runs"))
    first, second = shown[: shown.index("## Table 2")], shown[shown.index("## Table 2") :]
    runs = f"{(tmp_path / 'runs').as_posix()}/fakepaper"
    score = "accuracy 90.00 % (200 images)"
    lines = [line for line in first.splitlines() if line.startswith("- ")]
    assert lines[-1] == f"- T1-small: {runs}/d (my own): {score}; epochs 32 (row: 30)"
    whole, cut = lines[:2]
    assert f"{runs}/b: {score}; " in whole
    assert whole.count("(row: ") == cut.count("(row: ") == 3
    assert whole.endswith(")")
    assert cut.endswith("; 1 more")
    assert [line for line in second.splitlines() if line.startswith("- ")] == [
        f"- T1-large: {runs}/a: {score}; epochs 31 (row: 30)"
    ]


# --- estimates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, "0.9", [0.9]])
def test_a_score_is_a_number(value):
    group = tables.Group([SimpleNamespace(config={})], [{"n": 10, "accuracy": value}])
    with pytest.raises(InputError, match="accuracy is no number; recompute it from predictions"):
        tables.estimate(group, "accuracy")


def test_folds_known_from_lines_alone_count_as_dependent():
    def recorded(fold):
        return Recorded("id", "preset", "hash", "self-reported", {"fold": fold}, False, False, {})

    assert not tables.Group([recorded(0), recorded(1)], []).independent
    assert tables.Group([recorded(0), recorded(0)], []).independent


# --- the command line ----------------------------------------------------------------------------


def test_folders_and_files_of_the_command(paper, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"^--runs-dir .*none: is no folder$"):
        tables.main("fakepaper", ["--runs-dir", str(tmp_path / "none")])
    (tmp_path / "runs").mkdir()
    assert tables.main("fakepaper", ["--runs-dir", "~/runs", "--output", "~/table.md"]) == 0
    assert (tmp_path / "table.md").read_text().startswith("## Table 1")
    asked = []
    monkeypatch.setattr("common.tables.entry.unprinted_markdown", lambda *a: asked.append(a) or "")
    monkeypatch.chdir(tmp_path)
    for flags in ([], ["--runs-dir", "~/runs"]):
        tables.main("fakepaper", [*flags, "--output", "~/table.md"])
    assert [str(each) for _, each in asked] == ["runs", str(tmp_path / "runs")]
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit):
        tables.main("fakepaper", ["--runs-dir", "~/runs", "--results", "~nobody-of-this-name/x"])
    assert "argument --results" in capsys.readouterr().err


def test_views_of_the_command(paper, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    views = {"merged": ("three classes", lambda paper: f"seen {paper.package}\n")}
    assert tables.main("fakepaper", ["merged"], views) == 0
    assert capsys.readouterr() == ("seen fakepaper\n", "")
    assert tables.main("fakepaper", ["merged", "--format", "markdown"], views) == 0
    capsys.readouterr()
    with pytest.raises(InputError, match=r"^--format csv: is for all numbers, merged is Markdown"):
        tables.main("fakepaper", ["merged", "--format", "csv"], views)
    with pytest.raises(SystemExit):
        tables.main("fakepaper", ["other"], views)
    assert "merged" in capsys.readouterr().err
    more = "more: python -m fakepaper.tables merged (--help says what)"
    for found, expected in ((views, True), ({}, False), (None, False)):
        assert tables.main("fakepaper", [], found) == 0
        printed, said = capsys.readouterr()
        assert (more in printed + said) is expected and ("more: python" in said) is expected
        with pytest.raises(SystemExit):
            tables.main("fakepaper", ["--help"], found)
        shown = capsys.readouterr().out
        assert ("instead of all numbers: merged: three classes" in shown) is expected
        assert ("instead of all numbers" in shown) is expected


# --- commands ------------------------------------------------------------------------------------

EXPERIMENTS = """
from types import SimpleNamespace


def made(needed=None, rounds=1, after=()):
    return SimpleNamespace(
        needed=needed and SimpleNamespace(preset=needed),
        rounds=[SimpleNamespace()] * rounds,
        after=[SimpleNamespace(kind=kind) for kind in after],
    )


EXPERIMENTS = {
    "T1-small": made(),
    "T1-large": made(rounds=5),
    "T1-small-honest": made("gan", after=("FID", "merged")),
    "demo": made(after=("merged",)),
}
"""


def test_what_a_row_takes_beside_a_training(paper, tmp_path):  # noqa: F811
    (paper / "experiments.py").write_text(EXPERIMENTS)
    try:
        loaded = tables.load("fakepaper", tmp_path)
    finally:
        sys.modules.pop("fakepaper.experiments", None)
    assert loaded.chains == {
        "T1-large": "5 trainings",
        "T1-small-honest": "gan, its images, the training, FID, merged",
        "demo": "the training, merged",
    }
    commands = compared(loaded)["command"].tolist()
    assert commands[0] == "python -m fakepaper.train --preset T1-small --data-dir DIR"
    assert commands[-1] == (
        "python -m common.reproduce run --paper fakepaper --row T1-large --twins no "
        "--data-dir DIR  # 5 trainings"
    )
