"""Text in Markdown that stays text: names of classes come from whoever made the data."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_SIGNS = re.compile(r"([\\`*\[\]])")


def text(words: str) -> str:
    """Write what others may have written so that no HTML is made of it.

    Parameters
    ----------
    words : str
        May hold Markdown.
    """
    return html.escape(" ".join(words.split()), quote=False)


def name(words: str) -> str:
    """Write a name so that no Markdown is made of it, in what becomes `text` or a cell.

    Parameters
    ----------
    words : str
    """
    return _SIGNS.sub(r"\\\1", words)


def code(words: str) -> str:
    """Write a name as code, in which nothing is markup.

    Parameters
    ----------
    words : str
    """
    words = " ".join(words.split())
    if "`" not in words:
        return f"`{words}`"
    fence = "`" * (max(map(len, re.findall("`+", words))) + 1)
    return f"{fence} {words} {fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write a table, and an empty line after it.

    Parameters
    ----------
    head : sequence of str
    rows : iterable of sequence of str
        Cells may hold Markdown, but no HTML.

    Returns
    -------
    list of str
        Lines.
    """
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(_cell, line))} |" for line in lines] + [""]


def _cell(words: str) -> str:
    return text(words).replace("|", "\\|")
