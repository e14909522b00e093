"""The documentation as a site: gather its pages from where they lie, then let Sphinx build them.

The pages keep their places (docs/, the papers' README.md, notebooks/), so that a link holds on the
site as it does in the repository. `docs/README.md` is the one index: its headings are the site's
sections. What is made of data is made here: protocols, the API, the results of runs.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import narrow  # noqa: E402
import nbformat  # noqa: E402
import reference  # noqa: E402

from common import protocols  # noqa: E402
from common.papers import PAPERS  # noqa: E402
from common.protocols.show import flag, words  # noqa: E402

PAGES = ("*.md", "docs/*.md", "*/README.md", "wrn_edge/device/README.md", "notebooks/**/*.ipynb")
"""Files of the repository that are pages."""

EXECUTED = ROOT / "build" / "notebooks"
"""Where tests/test_notebooks.py leaves what it has executed."""

NOT_EXECUTED = "*Shown without its outputs: `make notebooks` executes it.*"
EXERCISE = "*An exercise: open it in Jupyter, and put your answers in.*"

_NAMED = re.compile(r"\[(?:[\w/-]+/)?[\w-]+\.md\]\(((?:\.\./)?(?:[\w/-]+/)?[\w-]+\.md)\)")
_LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")


def main() -> int:
    """Build the site.

    Returns
    -------
    int
        Exit code; not 0 also where Sphinx warned.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the site's folder, which is written anew")
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs", help="default: runs")
    chosen = parser.parse_args()
    out = chosen.out.resolve()
    source = out.with_name(out.name + "-source")
    for folder in (out, source):
        shutil.rmtree(folder, ignore_errors=True)
    gather(source)
    runs = any(chosen.runs_dir.glob("*/*/metrics.json"))
    if runs:
        with (source / "results" / "README.md").open("a", encoding="utf-8") as file:
            file.write('\n<p><a href="site/index.html">Site of the runs that are there</a></p>\n')
    settings = str(Path(__file__).parent)
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", settings, "-j", "2"]
    built = subprocess.run([sys.executable, *command, source, out], check=False)
    if built.returncode:
        return built.returncode
    first = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/README.html">\n'
    (out / "index.html").write_text(first, encoding="utf-8")
    if runs:
        place = ("site", out / "results" / "site", "--runs-dir", chosen.runs_dir.resolve())
        command = ["-m", "common.reproduce", *map(str, place)]
        if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode:
            return 1
    wrong = [*missing(out / "objects.inv"), *fetched(out)]
    if program := narrow.browser():
        wrong += narrow.unfit(own(out), program)
    else:
        print("no Chromium: how the pages lie on a telephone was not looked at")
    print("\n".join(wrong) if wrong else f"open {out / 'index.html'}")
    return 1 if wrong else 0


def own(out: Path) -> list[Path]:
    """Give the pages of the documentation, without the site of the runs, which has its own tests.

    Parameters
    ----------
    out : path
        The site's folder.

    Returns
    -------
    list of Path
    """
    runs = out / "results" / "site"
    return [page for page in sorted(out.rglob("*.html")) if not page.is_relative_to(runs)]


def missing(inventory: Path) -> list[str]:
    """Say which public names of rooms and papers the site lacks.

    Parameters
    ----------
    inventory : path
        Sphinx's list of what has an entry.

    Returns
    -------
    list of str
    """
    from sphinx.util.inventory import InventoryFile

    there = {name for kind in InventoryFile.loads(inventory.read_bytes(), uri="").data.values()
             for name in kind}  # fmt: skip
    wanted = [
        f"{module}.{name}"
        for module in reference.modules()
        for name in reference.public(importlib.import_module(module))
    ]
    return [f"{name} has no entry in the reference" for name in wanted if name not in there]


def fetched(out: Path) -> list[str]:
    """Say which pages would load a script, style or picture from elsewhere.

    Parameters
    ----------
    out : path
        The site's folder.

    Returns
    -------
    list of str
    """
    asks = re.compile(
        r"""<(?:script|img|iframe)\b[^>]*\ssrc=["'](?:https?:)?//[^"']+"""
        r"""|<link\b(?=[^>]*rel=["'](?:stylesheet|preload))[^>]*href=["'](?:https?:)?//[^"']+"""
    )
    return [
        f"{page.relative_to(out)} fetches {found[0][:200]}"
        for page in sorted(out.rglob("*.html"))
        for found in asks.finditer(page.read_text(encoding="utf-8"))
    ]


def gather(source: Path) -> None:
    """Put all pages together.

    Parameters
    ----------
    source : path
        The folder that Sphinx will read; it holds the pages in the repository's layout.
    """
    pages = _pages()
    for page in pages:
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".ipynb":
            _notebook(page, source / page)
        else:
            text = (ROOT / page).read_text(encoding="utf-8")
            (source / page).write_text(_linked(text, page, source), encoding="utf-8")
    for package in PAPERS:
        with (source / package / "README.md").open("a", encoding="utf-8") as file:
            file.write("\n" + _toctree(["protocol"]))
        (source / package / "protocol.md").write_text(protocol(package), encoding="utf-8")
    folder = source / "docs" / "reference"
    folder.mkdir()
    reference.write(folder)
    sections(source / "docs")


def sections(docs: Path) -> None:
    """Make a page of each section of the index, from the index alone.

    Parameters
    ----------
    docs : path
        Folder of the index, ``README.md``.
    """
    index = docs / "README.md"
    text = index.read_text(encoding="utf-8")
    names = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        linked = [path for path in _LINK.findall(section) if path.endswith((".md", ".ipynb"))]
        if title == "Reference":
            linked.insert(0, "reference/index.rst")
            section += "\nOf every public name: the [API](reference/index.rst).\n"
        name = title.lower().replace(" ", "-")
        if len(linked) == 1:  # a section of one page is that page
            names.append(f"{title} <{linked[0].rpartition('.')[0]}>")
            continue
        page = docs / f"{name}.md"
        if page.exists():
            raise ValueError(f"{index}: the section {title} has the name of a page")
        page.write_text(f"# {section}\n{_toctree(_without_endings(linked))}", encoding="utf-8")
        names.append(name)
    text += "\n" + _toctree(names)
    index.write_text(text, encoding="utf-8")


def protocol(package: str) -> str:
    """Page of what a paper says and leaves open, made of its protocol.toml.

    Parameters
    ----------
    package : str
        The paper's.

    Returns
    -------
    str
        Markdown.
    """
    read = protocols.protocol(package)
    about = read.paper
    doi = f" [doi {about.doi}](https://doi.org/{about.doi})." if about.doi else ""
    out = [
        f"# Protocol of {package}",
        "",
        f"{', '.join(about.authors)}: *{about.title}*. {about.venue}, {about.year}.{doi}",
        f"Licence of the paper: {about.licence}. Trainings: {about.trainings}.",
        "",
        f"Made of `{package}/protocol.toml`, as is what",
        f"`python -m common.protocols show {package}` prints.",
        "",
        "## What the paper says",
        "",
        *_table(
            ("what", "where", "says", "setting", "here"),
            (
                (words(e.name), e.where, e.says, _setting(e.field),
                 "the same" if e.ours is None else f"{_shown(e.ours)}: {e.why}")
                for e in read.stated.values()
            ),
        ),
        "## What it leaves open",
        "",
        *_table(
            ("what", "setting", "here", "why"),
            (
                (words(e.name), _setting(e.field), _shown(e.default), e.why)
                for e in read.open.values()
            ),
        ),
    ]  # fmt: skip
    return "\n".join(out)


def _pages() -> list[Path]:
    """Give the repository's pages, relative to it."""
    found = {path.relative_to(ROOT) for each in PAGES for path in ROOT.glob(each)}
    made = ("build", "dist", "runs")
    return sorted(p for p in found if p.parts[0] not in made and p.parts[0][0] != ".")


def _notebook(page: Path, target: Path) -> None:
    """Copy a notebook: the executed one if it is of the same cells."""
    there = nbformat.read(ROOT / page, as_version=4)
    done = EXECUTED / page.relative_to("notebooks")
    executed = nbformat.read(done, as_version=4) if done.is_file() else None
    if executed and [c.source for c in executed.cells] == [c.source for c in there.cells]:
        there = executed
    else:
        exercise = any("answer" in cell.metadata for cell in there.cells)
        words = EXERCISE if exercise else NOT_EXECUTED
        there.cells.insert(1, nbformat.v4.new_markdown_cell(words))
    nbformat.write(there, target)


def _linked(text: str, page: Path, source: Path) -> str:
    """Make links to folders lead to their README.md, and copy the files that are no pages."""
    pages = {ROOT / path for path in _pages()}

    def found(link: re.Match[str]) -> str:
        target = (ROOT / page.parent / link[1]).resolve()
        if target.is_dir() and (target / "README.md").is_file():
            return link[1].rstrip("/") + "/README.md"
        if target.is_file() and target not in pages and target.is_relative_to(ROOT):
            copy = source / target.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(target, copy)
        return link[1]

    # A page that is named by its file in the repository has its title on the site.
    return _LINK.sub(found, _NAMED.sub(r"[](\1)", text))


def _toctree(names: Iterable[str]) -> str:
    return "```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"


def _without_endings(paths: Iterable[str]) -> list[str]:
    return [path.rpartition(".")[0] for path in dict.fromkeys(paths)]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines] + [""]


def _setting(field: str) -> str:
    return f"`{flag(field)}`" if field else ""


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    sys.exit(main())
