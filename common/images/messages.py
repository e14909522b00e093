"""What the image cache says on stderr while it works."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

_LIST_AT_MOST = 20


def say(shown: bool, text: str) -> None:
    """Print text on stderr, over a line that counts.

    Parameters
    ----------
    shown : bool
        Whether to print it at all.
    text : str
    """
    if shown:
        clear = "\x1b[2K" if sys.stderr.isatty() else ""
        print(clear + text, file=sys.stderr, flush=True)


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


class Progress:
    """A line on stderr that counts images: rewritten on a terminal, rarely repeated in a log.

    Parameters
    ----------
    total : int
        Images to come.
    shown : bool
        Whether to print anything.
    """

    def __init__(self, total: int, shown: bool):
        self.total, self.shown, self.done = total, shown, 0
        self.terminal = sys.stderr.isatty()
        self.start = self.last = time.monotonic()

    def step(self) -> None:
        """Count one image more."""
        self.done += 1
        now = time.monotonic()
        if not self.shown or now - self.last < (0.5 if self.terminal else 30.0):
            return
        self.last = now
        rate = self.done / (now - self.start)
        text = f"image cache: {self.done}/{self.total} images, {rate:.0f} images/s"
        print(text, end="\r" if self.terminal else "\n", file=sys.stderr, flush=True)
