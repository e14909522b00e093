"""The pages of the documentation: one index, links that lead somewhere, blocks that run."""

import doctest
import importlib.util
import re
import shlex
import subprocess
import sys

import pytest
from import_graph import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("wrn_edge/device/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Their blocks are run by tests/test_guides.py, in a copy with what they add.
GUIDES = {path.name for path in DOCS.glob("add-a-*.md")}

sys.path.append(str(DOCS / "site"))
import documents  # noqa: E402
import reference  # noqa: E402

from common.papers import PAPERS  # noqa: E402


def named(path):
    return path.relative_to(ROOT).as_posix()


def links(text):
    """Relative targets of a page's links and pictures, without code."""
    text = BLOCK.sub("", text)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(text):
    """Anchors of a page's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for link in links(text):
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{named(path)}: {link}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{named(path)}: {link}"


def test_the_index_has_every_page_once():
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    text = text[text.index("\n## ") :]  # what stands above says where to begin
    linked = [(DOCS / link.partition("#")[0]).resolve() for link in links(text)]
    assert len(linked) == len(set(linked))
    pages = {*DOCS.glob("*.md"), *(ROOT / "notebooks").rglob("*.ipynb")} - {DOCS / "README.md"}
    assert pages - set(linked) == set()


@pytest.mark.parametrize("name", sorted(p.name for p in DOCS.glob("*.md") if p.name not in GUIDES))
def test_examples_print_what_they_say(name):
    path = DOCS / name
    if ">>> " not in path.read_text(encoding="utf-8"):
        return
    found = doctest.testfile(str(path), module_relative=False)
    assert found.attempted and not found.failed


def commands():
    """Every `python -m` that a page shows, with the flags it shows, by module and subcommand."""
    found = {}
    for path in PAGES:
        if path.name in GUIDES or path.name == "CHANGELOG.md":
            continue
        for _, block in BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                for shown in re.findall(r"python3? -m ([^;#|]+)", line):
                    try:
                        module, *words = shlex.split(shown)
                    except ValueError:
                        module, *words = shown.split()
                    if module in ("venv", "pip", "build", "pytest"):
                        continue
                    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
                    first = words[0] if words and re.fullmatch("[a-z]+", words[0]) else ""
                    found.setdefault((module, first), set()).update(flags)
    return found


def test_commands_that_pages_show_are_there():
    shown = commands()
    assert len(shown) > 25
    papers = {"PKG": "breakhis"}
    for module, _ in shown:
        first, _, rest = module.partition(".")
        name = ".".join(filter(None, (papers.get(first, first), rest)))
        spec = importlib.util.find_spec(name)
        assert spec, module
        assert not spec.submodule_search_locations or importlib.util.find_spec(f"{name}.__main__")


def test_commands_of_every_paper_are_every_papers():
    """``python -m PKG.train``, in a block or in a line."""
    pages = [*PAGES, ROOT / "setup.cfg"]
    named = {
        module
        for path in pages
        for module in re.findall(r"python3? -m PKG\.([\w.]+)", path.read_text(encoding="utf-8"))
    }
    assert {"train", "predict", "evaluate", "tables"} <= named
    missing = [
        f"{paper}.{module}"
        for paper in PAPERS
        for module in sorted(named)
        if not importlib.util.find_spec(f"{paper}.{module.rstrip('.')}")
    ]
    assert missing == []


@pytest.mark.slow
def test_flags_that_pages_show_are_in_the_help():
    wrong = []
    for (module, first), flags in commands().items():
        if not flags or module.startswith("benchmarks."):
            continue
        name = module.replace("PKG", "breakhis")
        helps = ""
        for words in ([first] if first else [], []):
            done = subprocess.run(
                [sys.executable, "-m", name, *words, "--help"],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            helps += done.stdout
            if not first:
                break
        wrong += [f"{module} {first} {flag}" for flag in flags if f"{flag}" not in helps]
    assert wrong == []


def test_the_reference_has_a_page_for_every_room_and_says_all_its_names():
    rooms = {path.stem for path in (ROOT / "common").glob("[a-z]*") if path.name != "README.md"}
    assert {f"common.{room}" for room in rooms} <= set(reference.modules())
    from common import metrics, splits

    for module in (metrics, splits):
        page = reference.page(module)
        for name in module.__all__:
            assert re.search(rf"^\.\. .*:: ({re.escape(module.__name__)}\.)?{name}$", page, re.M), (
                name
            )
    assert "Of every interval in this project." in reference.page(metrics)  # of LEVEL


def test_the_index_is_the_sites_sections(tmp_path):
    documents.gather(tmp_path)
    index = (tmp_path / "docs" / "README.md").read_text(encoding="utf-8")
    assert "\nexplanation\n" in index
    section = (tmp_path / "docs" / "explanation.md").read_text(encoding="utf-8")
    assert section.startswith("# Explanation\n") and "\nleakage\n" in section
    page = (tmp_path / "her2scoring" / "protocol.md").read_text(encoding="utf-8")
    assert "| Epochs |" in page and "## What it leaves open" in page
    assert (tmp_path / "docs" / "reference" / "common.metrics.rst").is_file()
    lesson = (tmp_path / "notebooks" / "course" / "3-intervals.ipynb").read_text(encoding="utf-8")
    assert documents.EXERCISE in lesson and documents.NOT_EXECUTED not in lesson


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://x.org/a.js">',
        "<script async src='//x.org/a.js'>",
        '<link rel="stylesheet" href="https://x.org/a.css">',
        '<link href="https://x.org/a.css" rel="stylesheet">',
        '<img alt="a" src="http://x.org/a.png">',
    ],
)
def test_a_page_that_asks_elsewhere_is_found(html, tmp_path):
    (tmp_path / "a.html").write_text('<a href="https://x.org">x</a><script src="a.js"></script>')
    assert documents.fetched(tmp_path) == []
    (tmp_path / "a.html").write_text(html)
    assert len(documents.fetched(tmp_path)) == 1
