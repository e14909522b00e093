"""stdout as a terminal can take it: no control characters, and no character that it cannot show."""

from __future__ import annotations

import contextlib
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

from common.terminal.words import plain

_PLAINER = {
    "–": "-", "—": "-", "−": "-", "±": "+/-", "×": "x", "…": "...", "’": "'", "‘": "'", "“": '"',
    "”": '"', "≤": "<=", "≥": ">=", "→": "->", "µ": "u", "·": ".", "━": "-", "≈": "~", "≠": "!=",
}  # fmt: skip


def shown(text: str, encoding: str | None = None) -> str:
    """Text as it is safe and readable on a terminal.

    Parameters
    ----------
    text : str
        One line or several. Control characters other than line ends and tabs are escaped.
    encoding : str, optional
        Of the terminal or the log. A character that it lacks is written in others (a dash as "-"),
        or escaped.
    """
    if not text.isascii() or not text.replace("\n", "").replace("\t", "").isprintable():
        pieces = (each.split("\t") for each in text.split("\n"))
        text = "\n".join("\t".join(map(plain, each)) for each in pieces)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return "".join(_readable(each, encoding or "utf-8") for each in text)
    except LookupError:
        pass
    return text


def _readable(character: str, encoding: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character)
    accents = "".join(each for each in decomposed if not unicodedata.combining(each))
    for text in (character, _PLAINER.get(character, ""), accents):
        with contextlib.suppress(UnicodeEncodeError):
            if text and text.encode(encoding):
                return text
    return character.encode("ascii", "backslashreplace").decode("ascii")


def out(text: object, end: str = "\n") -> None:
    """Give out a result of a command or a call, on stdout, as `shown`.

    Parameters
    ----------
    text : object
        `str` is applied to it.
    end : str
        What follows it.
    """
    stream = sys.stdout
    print(shown(str(text), getattr(stream, "encoding", None)), end=end)


class Escaping:
    """A stream of text that writes everything as `shown`.

    Parameters
    ----------
    stream : TextIO
        Where it goes.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """Write text as `shown`; give its length.

        Parameters
        ----------
        text : str
        """
        self.stream.write(shown(text, getattr(self.stream, "encoding", None)))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def escaped_output() -> Iterator[None]:
    """Let everything that is printed on stdout be `shown`, also by what knows nothing of it."""
    stream = sys.stdout
    sys.stdout = Escaping(stream)
    try:
        yield
    finally:
        sys.stdout = stream


@contextlib.contextmanager
def as_it_is() -> Iterator[None]:
    """Let stdout be as it was before `escaped_output`: for text of ours that has colours."""
    stream = sys.stdout
    if isinstance(stream, Escaping):
        sys.stdout = stream.stream
    try:
        yield
    finally:
        sys.stdout = stream
