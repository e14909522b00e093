"""What the image cache says on stderr while it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common import terminal

_LIST_AT_MOST = 20


def say(shown: bool, text: str) -> None:
    """Print text on stderr, above a bar.

    Parameters
    ----------
    shown : bool
        Whether to print it at all.
    text : str
    """
    if shown:
        terminal.line(text)


def several(head: str, lines: Sequence[str]) -> str:
    """Put lines below a heading, not more than a screen takes.

    Parameters
    ----------
    head : str
    lines : sequence of str
        The first twenty are shown, and how many more there are.

    Returns
    -------
    str
    """
    more = [f"... and {len(lines) - _LIST_AT_MOST} more"] if len(lines) > _LIST_AT_MOST else []
    return "\n  ".join([head, *lines[:_LIST_AT_MOST], *more])


def all_problems(problems: Mapping[str, str]) -> str:
    """Name all images that cannot be used at once.

    Parameters
    ----------
    problems : mapping
        Path -> what is wrong and what to do.

    Returns
    -------
    str
    """
    lines = [f"{path}: {reason}" for path, reason in problems.items()]
    if len(lines) == 1:
        return lines[0]
    return several(f"{len(lines)} images cannot be used:", lines)


def size(count: float) -> str:
    """Say a number of bytes as MiB or GiB.

    Parameters
    ----------
    count : float
        Bytes.

    Returns
    -------
    str
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
