"""Settings of Sphinx for `make docs`; `documents.py` puts the pages together that it reads."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

_setup = configparser.ConfigParser()
_setup.read(Path(__file__).parents[2] / "setup.cfg")

project = _setup["metadata"]["name"]
release = version = _setup["metadata"]["version"]
copyright = "the histopapers authors, Apache-2.0. Research use, not for diagnosis"

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc"]
root_doc = "docs/README"
default_role = "code"  # docstrings write `name`
smartquotes = False  # a command's -- is no dash
highlight_language = "none"  # most blocks are commands; Python says so
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "off"  # documents.py takes executed notebooks
nb_ipywidgets_js: dict[str, Any] = {}  # otherwise scripts are fetched from elsewhere
numpydoc_show_class_members = False
autodoc_typehints = "none"  # numpydoc's sections say them
autodoc_member_order = "bysource"

html_theme = "pydata_sphinx_theme"
html_title = "histopapers"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_nav_level": 1,
    "header_links_before_dropdown": 8,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc"],
}


def setup(app: Any) -> None:
    """Let Sphinx know the kinds of blocks that our pages have and Pygments has not.

    Parameters
    ----------
    app : Sphinx
        The application.
    """
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-process-docstring", _commands)
    app.connect("html-page-context", _breaks)


def _breaks(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Let a narrow column break code after / _ - = , and nowhere inside a word or a flag."""

    def broken(found: re.Match[str]) -> str:
        word = found[1]
        if re.fullmatch(r"--?[\w-]{1,30}", word):
            return f'<span class="pre flag">{word}'
        return '<span class="pre">' + re.sub(r"(?<=\w)([/_=,-]+)(?=\w)", r"\1<wbr>", word)

    if "body" in context:
        context["body"] = re.sub(r'<span class="pre">([^<]+)', broken, context["body"])


def _commands(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Show a module's indented commands as they stand, and not as a quotation."""
    if what == "module":
        text = "\n".join(lines)
        command = r"(?m)(?<=\n)\n(?= +(?:python|pip|make) )"
        lines[:] = re.sub(command, "\n::\n\n", text).split("\n")
