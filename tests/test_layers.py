"""The house: what imports what, how large a file may be, and the map that says so."""

import ast
import re
from pathlib import Path

import pytest
from import_graph import ROOT, circles, graph, modules, rooms

from common.papers import PAPERS

MAP = ROOT / "common" / "README.md"


def layers():
    """Rooms in the map's order, each group of a line being on one level."""
    rows = re.findall(r"^\| (`[^|]+) \|", MAP.read_text(encoding="utf-8"), re.M)
    return [re.findall(r"`([a-z_]+)`", row) for row in rows]


def test_nothing_imports_in_a_circle():
    edges = graph("common", *PAPERS)
    assert circles(edges) == []
    assert circles(rooms(edges)) == []
    # The finder finds: one edge back, from files to reports, and a circle is there.
    edges["common.files"] = {"common.report"}
    assert circles(edges) != []


def test_the_map_names_every_room_once():
    named = [name for level in layers() for name in level]
    there = {name.split(".")[1] for name in modules("common") if name.count(".")}
    assert sorted(named) == sorted(there)


def test_a_room_imports_only_from_lines_above_it_on_the_map():
    height = {name: i for i, level in enumerate(layers()) for name in level}
    wrong = [
        f"{room} imports {other}"
        for room, others in rooms(graph("common")).items()
        for other in others
        if height[other] >= height[room]
    ]
    assert wrong == []


def test_papers_call_common_and_never_each_other():
    edges = graph("common", *PAPERS)
    for paper in PAPERS:
        reached = {
            target.split(".")[0]
            for name, targets in edges.items()
            if name.split(".")[0] == paper
            for target in targets
        }
        assert reached <= {paper, "common"}, paper
    assert not {
        name
        for name, targets in edges.items()
        if name.split(".")[0] == "common" and any(not t.startswith("common") for t in targets)
    }


@pytest.mark.parametrize("package", ["common", *PAPERS])
def test_files_and_classes_are_of_a_size_that_one_reads(package):
    for file in modules(package).values():
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, file.relative_to(ROOT)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno - node.lineno < 250, f"{file}: {node.name}"


def test_no_room_is_a_drawer():
    drawers = {"utils", "util", "helpers", "helper", "base", "misc", "tools"}
    names = {Path(file).stem for file in modules("common", *PAPERS).values()}
    assert not names & drawers
