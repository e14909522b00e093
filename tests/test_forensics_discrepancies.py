"""Which of the papers' discrepancies arithmetic finds: what is marked, and what is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import protocols
from common.forensics import RULES, discrepancies
from common.papers import PAPERS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def found():
    return {package: discrepancies.Found(package) for package in PAPERS}


@pytest.mark.parametrize("package", PAPERS)
def test_what_is_marked_is_found(package, found):
    for each in protocols.discrepancies(package).values():
        assert set(each.found_by) <= set(RULES)
        for rule in each.found_by:
            assert (each.id, rule) in found[package].by, "marked as countable, and not found"


@pytest.mark.parametrize("package", PAPERS)
def test_what_is_found_is_marked(package, found):
    """Every finding that speaks against a number belongs to a discrepancy that says so."""
    known = protocols.discrepancies(package)
    explained = {
        id(finding)
        for (name, rule), findings in found[package].by.items()
        if rule in known[name].found_by
        for finding in findings
    }
    rest = [f for f in found[package].findings if id(f) not in explained and not f.remark]
    assert [(f.rule, f.shown) for f in rest] == []


def test_48_of_129_are_countable():
    all_ = [each for package in PAPERS for each in protocols.discrepancies(package).values()]
    assert (len([each for each in all_ if each.found_by]), len(all_)) == (48, 129)


@pytest.mark.parametrize("package", PAPERS)
def test_readme_has_what_arithmetic_finds(package, tmp_path):
    """`python -m common.protocols readme` writes it anew."""
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / package / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    assert not discrepancies.update_readme(copy, package)
