"""How things are written on a terminal: text from elsewhere, sizes, times."""

from __future__ import annotations

import unicodedata

# Cc, Cs: not to be printed. Cf: among them those that reverse what follows. Zl, Zp: line ends.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: object) -> str:
    r"""Show control characters as escapes, so that text from elsewhere does nothing to a terminal.

    Markup is no danger: none is ever interpreted here.

    Parameters
    ----------
    text : object
        A file name, an answer of a server or whatever else; `str` is applied to it.

    Returns
    -------
    str
        On one line; ``"\x1b[2J"`` becomes ``"\\x1b[2J"``. Letters of any script stay.
    """
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _ESCAPED
        else character
        for character in str(text)
    )


def megabytes(count: float) -> str:
    """Size in decimal units, as the data sets' pages state it.

    Parameters
    ----------
    count : float
        Bytes.
    """
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Time as ``m:ss`` or ``h:mm:ss``.

    Parameters
    ----------
    seconds : float
        What is above 99:59:59 is shown as that.
    """
    minutes, whole = divmod(round(min(seconds, 359_999)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"
