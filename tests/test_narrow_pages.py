"""Pages of the documentation on a telephone: what `make docs` asks of all of them, on a few."""

import shutil
import subprocess
import sys

import pytest
from import_graph import ROOT

sys.path.append(str(ROOT / "docs" / "site"))
import narrow

PAGE = """<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>body {{ margin: 0 }}</style><article>{}</article>"""
LONG = "a" * 80


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<p>short</p>", []),
        (f"<div style='overflow-x: auto'><pre>{LONG}</pre></div>", []),
        (f"<p class='long'>{LONG}</p>", ["px wide at 360: article., p.long"]),
        (f"<table><td><code style='overflow-wrap: anywhere'>{LONG}</code></table>",
         [f"breaks inside '{LONG}'"]),
        (f"<table><td><code>{'ab<wbr>/' * 40}</code></table>", []),
    ],
)  # fmt: skip
def test_a_page_that_is_too_wide_and_a_word_that_is_torn_are_found(body, said, tmp_path):
    program = narrow.browser()
    if program is None:
        pytest.skip("no chromium or google-chrome here to look at the page with")
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(body), encoding="utf-8")
    found = narrow.unfit([page], program)
    assert len(found) == len(said)
    for line, words in zip(found, said, strict=True):
        assert words in line and line.startswith(f"{page}: ")


@pytest.mark.slow
def test_tables_of_the_site_keep_words_whole_and_scroll_by_themselves(tmp_path):
    pytest.importorskip("pydata_sphinx_theme")
    pytest.importorskip("myst_nb")
    program = narrow.browser()
    if program is None:
        pytest.skip("no chromium or google-chrome here to look at the page with")
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "docs").mkdir(parents=True)
    for name in ("run-folder", "outside-settings", "glossary"):
        shutil.copy(ROOT / "docs" / f"{name}.md", source / "docs")
    cells = "| `environment_of_machines.json`, `checkpoints/best` | what | `--a-long-flag VALUE` |"
    text = f"# {LONG}\n\n| a | b | c |\n|---|---|---|\n{cells}\n\n`{LONG}` and `{'a_b/' * 30}`\n"
    (source / "docs" / "README.md").write_text(f"---\norphan: true\n---\n{text}", encoding="utf-8")
    settings = str(ROOT / "docs" / "site")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", settings, source, out]
    subprocess.run(command, check=True, capture_output=True)
    page = (out / "docs" / "README.html").read_text(encoding="utf-8")
    assert "environment_<wbr>of_<wbr>machines.json" in page
    assert narrow.unfit(sorted((out / "docs").glob("*.html")), program) == []
