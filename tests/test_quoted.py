"""Tables that are no result of a paper: all there, shown, never judged."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from common import forensics, papers, protocols, tables
from common.errors import InputError
from common.papers import PAPERS

TABLES = {"her2scoring": 4, "breakhis": 3, "ernet": 2, "gan_fusion": 14, "wrn_edge": 6}


@pytest.mark.parametrize("package", PAPERS)
def test_no_table_of_a_paper_is_absent(package):
    judged = set(tables.published(package)["table"])
    shown = {table.id for table in tables.quoted(package)}
    assert {f"T{i + 1}" for i in range(TABLES[package])} <= judged | shown


def test_137_rows_are_quoted():
    rows = {kind: 0 for kind in ("literature", "data", "settings")}
    for package in PAPERS:
        for table in tables.quoted(package):
            rows[table.kind] += len(table.rows)
    assert rows == {"literature": 53, "data": 30, "settings": 54}


def test_printed_sums_of_breakhis_are_those_of_the_tables():
    """The ninth row adds up the eight before it, in the paper that has them right."""
    for package, table in (("breakhis", "T1"), ("gan_fusion", "T3")):
        (found,) = [each for each in tables.quoted(package) if each.id == table]
        counts = pd.DataFrame(found.rows)[[2, 3, 4, 5, 6]].astype(int)
        assert (counts[:8].sum() == counts.iloc[8]).all()
        assert (counts[[2, 3, 4, 5]].sum(axis=1) == counts[6]).all()


@pytest.mark.parametrize("package", PAPERS)
def test_numbers_that_forensics_takes_from_a_quoted_table_stand_in_it(package):
    numbers = forensics.read(papers.folder(package) / "numbers.csv")
    for table in tables.quoted(package):
        cells = {cell for row in table.rows for cell in row}
        printed = numbers.loc[numbers["table"] == table.id, "printed"]
        assert set(printed) <= cells


@pytest.mark.parametrize("package", ["gan_fusion", "wrn_edge"])
def test_the_tables_command_shows_them_below_its_own(package, capsys, tmp_path):
    assert tables.main(package, ["--runs-dir", str(tmp_path)]) == 0
    judged, quoted = capsys.readouterr().out.split(f"## {tables.HEADING}\n")
    for table in tables.quoted(package):
        assert f"**{table.heading}**" in quoted and table.heading not in judged
        for row in table.rows:
            pattern = r"\s*\|\s*".join(re.escape(cell or "–") for cell in row)
            assert re.search(rf"^\| {pattern}\s*\|$", quoted, re.M), row


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(papers, "folder", lambda package: tmp_path)
    file = tmp_path / "quoted.toml"
    for text, said in (
        ("[[table]\n", "quoted.toml: "),
        ('[[table]]\nid = "T1"\n', "T1: 'rows'"),
        (
            '[[table]]\nid = "T1"\nlabel = "Table 1"\nkind = "odd"\ntitle = "t"\n'
            'columns = ["a"]\nrows = [["1"]]\n',
            "kind is one of literature, data, settings",
        ),
        (
            '[[table]]\nid = "T1"\nlabel = "Table 1"\nkind = "data"\ntitle = "t"\n'
            'columns = ["a"]\nrows = [["1"], ["1", "2"]]\n',
            "every row has 1 cells",
        ),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=re.escape(said)):
            tables.quoted("any")
    file.unlink()
    assert tables.quoted("any") == [] and tables.quoted_markdown("any") == ""


def test_a_quoted_table_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(papers, "folder", lambda package: tmp_path)
    head = '[[table]]\nid = "T{0}"\nlabel = "Table {0}"\nkind = "data"\ntitle = "t"\n'
    rows = 'columns = ["a", "b"]\nrows = [["x|y", ""]]\n'
    note = 'note = "As printed."\n'
    (tmp_path / "quoted.toml").write_text(head.format(1) + rows + head.format(2) + rows + note)
    one, two = tables.quoted("any")
    table = ["| a    | b |", "| ---- | - |", "| x\\|y | – |", ""]
    assert tables.quoted_markdown("any").splitlines() == [
        f"## {tables.HEADING}", "", f"**{one.heading}**", "", *table,
        f"**{two.heading}**", "", *table, "As printed.",
    ]  # fmt: skip


def test_what_is_claimed_and_never_described_is_told():
    assert list(protocols.protocol("ernet").not_built) == [
        "self_attention", "segmentation", "transfer_learning"
    ]  # fmt: skip
    announced = protocols.protocol("wrn_edge").not_built
    assert {"pruning", "attention", "federated_learning"} <= set(announced)
    for package in ("ernet", "wrn_edge"):
        readme = (papers.folder(package) / "README.md").read_text(encoding="utf-8")
        text = protocols.text(package)
        for each in protocols.protocol(package).not_built.values():
            assert f"{each.where}: {each.says}. Not built: {each.why}." in readme
            assert f"not built: {each.why}" in text
