"""What is said on stderr while work goes on: how far it is, how fast, how long it takes yet.

On a terminal a bar stands on the last line and lines of text go above it. Elsewhere (a log, a
pipe, ``TERM=dumb``) the same words come as plain lines, few of them. Work of less than a second
says nothing of itself. stdout is left to what a command gives out.

There is no thread that draws: a bar is drawn when it is told of progress, so a process may fork,
stop or be killed under it at any time.
"""

from __future__ import annotations

import collections
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from common.terminal.output import shown
from common.terminal.words import duration, megabytes, plain

if TYPE_CHECKING:
    import rich.console
    import rich.live

SHORTEST = 1.0  # seconds; what takes less says nothing of itself
REDRAW = 0.1  # seconds between two drawings on a terminal
# Between two lines in a log. A line comes with each further tenth, and after a minute without one.
LEAST_GAP, MOST_GAP = 2.0, 60.0
WINDOW = 30.0  # seconds over which the rate is measured

_NARROWEST_BAR, _WIDEST_BAR = 10, 40

T = TypeVar("T")

_lock = threading.RLock()
_screen: _Screen | None = None
_quiet = False


def quiet(on: bool = True) -> None:
    """Say nothing more of progress, and no ordinary lines; warnings and errors remain.

    Parameters
    ----------
    on : bool
        False takes it back.
    """
    global _quiet
    _quiet = on


def is_quiet() -> bool:
    """Whether `quiet` is on: a training then gives out its run folder's path alone."""
    return _quiet


def line(text: str, *, always: bool = False) -> None:
    """Print text on stderr, above the bars where there are any.

    Parameters
    ----------
    text : str
        One line or several; control characters other than line ends are escaped.
    always : bool
        Also after `quiet`: for warnings and errors.
    """
    if _quiet and not always:
        return
    text = shown("\n".join(map(plain, text.split("\n"))), getattr(sys.stderr, "encoding", None))
    with _lock:
        if _screen is None:
            print(text, file=sys.stderr, flush=True)
        else:
            _screen.line(text)


def progress(
    title: str,
    total: int | None = None,
    unit: str = "",
    *,
    transient: bool = False,
    closing: bool = True,
    shown: bool = True,
) -> Bar:
    """Begin to show how far a piece of work is; used as ``with progress(...) as bar:``.

    Parameters
    ----------
    title : str
        What is done, "decoding"; may hold a file's name.
    total : int, optional
        How many there are to do; without it only count and rate are shown.
    unit : str
        What is counted, in the plural: "images". With "bytes", sizes are shown as MB or GB.
    transient : bool
        For a terminal only: no lines without one, and none that remains at the end.
    closing : bool
        A last line says how long it took; False where the caller says so.
    shown : bool
        False shows nothing at all.

    Returns
    -------
    Bar
        To be told of progress, by any thread.
    """
    return Bar(
        title, total, unit, lines=shown and not transient, closing=closing,
        live=shown and _is_terminal(),
    )  # fmt: skip


class Bar:
    """How far a piece of work is; `progress` makes it.

    Parameters
    ----------
    title, total, unit
        As `progress` takes them.
    live : bool
        Draw a bar.
    lines : bool
        Print lines: without a bar from time to time, and at the end.
    closing : bool
        Print one at the end, also if nothing went wrong.
    """

    def __init__(
        self, title: str, total: int | None, unit: str, *, live: bool, lines: bool, closing: bool
    ):
        self.title, self.unit = plain(title), unit
        self._live, self._lines, self._closing = live, lines, closing
        self._begun = self._line_at = time.monotonic()
        self._due = self._begun + SHORTEST
        self._ended = self._drawn = False
        self._there = self.done = 0  # what was there already
        self.restart(0, total)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(stopped=kind is not None)

    def restart(self, done: int, total: int | None) -> None:
        """Measure anew, from `done` of `total`: what is there already was not done now.

        Parameters
        ----------
        done : int
            How much is there.
        total : int or None
            How much there will be, if known.
        """
        with _lock:
            self._there += done - self.done
            self.done, self.total = done, total
            self._samples = collections.deque([(time.monotonic(), done)])
            self._tenth = self._tenths()

    def advance(self, count: int = 1) -> None:
        """Note that so much more is done.

        Parameters
        ----------
        count : int
            In the bar's unit.
        """
        with _lock:
            self.at(self.done + count)

    def at(self, done: int) -> None:
        """Note how much is done in all.

        Parameters
        ----------
        done : int
            In the bar's unit, with what was there at the start.
        """
        with _lock:
            self.done = done
            now = time.monotonic()
            if now < self._due or self._ended or _quiet:
                return
            self._due = now + REDRAW
            self._sample(now)
            if self._live:
                _show(self)
                self._drawn = True
            elif self._lines and self._line_is_due(now):
                self._line_at, self._tenth, self._drawn = now, self._tenths(), True
                line(f"{self.title}: {self.words()}")

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """Give items on, and note each as done when the next is asked for.

        Parameters
        ----------
        items : iterable
            One for each unit.
        """
        for item in items:
            yield item
            self.advance()

    def say(self, text: str) -> None:
        """Print a line above the bar.

        Parameters
        ----------
        text : str
            As `line` takes it.
        """
        line(text)

    def end(self, *, stopped: bool = False) -> None:
        """Take the bar away and print a last line, unless the work was short.

        Parameters
        ----------
        stopped : bool
            The work is not done: the line says how far it came.
        """
        with _lock:
            if self._ended:
                return
            self._ended = True
            if _screen is not None:
                _screen.remove(self)
            seconds = time.monotonic() - self._begun
            if not self._lines or not (self._drawn or seconds >= SHORTEST):
                return
            if stopped:
                line(f"{self.title}: stopped after {duration(seconds)}, {self._count()}")
            elif self._closing:
                rate = self._rate_words((self.done - self._there) / max(seconds, 1e-3))
                line(f"{self.title}: {self._amount(self.done)} in {duration(seconds)}{rate}")

    def words(self) -> str:
        """Count, share, rate and time left, as far as they are known."""
        (then, before), (now, done) = self._samples[0], self._samples[-1]
        rate = (done - before) / max(now - then, 1e-3)
        text = self._count() + self._rate_words(rate)
        if self.total and rate > 0:
            text += f", {duration(max(self.total - self.done, 0) / rate)} left"
        return text

    def _count(self) -> str:
        if not self.total:
            return self._amount(self.done)
        done = megabytes(self.done) if self.unit == "bytes" else self.done
        return f"{done} of {self._amount(self.total)} ({100 * self.done // self.total} %)"

    def _amount(self, count: int) -> str:
        return megabytes(count) if self.unit == "bytes" else f"{count} {self.unit}".rstrip()

    def _rate_words(self, rate: float) -> str:
        if rate <= 0:
            return ""
        if self.unit == "bytes":
            return f", {megabytes(rate)}/s"
        if rate < 1:
            return f", {1 / rate:.1f} s each"
        return f", {rate:.0f}/s" if rate >= 10 else f", {rate:.1f}/s"

    def _sample(self, now: float) -> None:
        self._samples.append((now, self.done))
        while len(self._samples) > 2 and now - self._samples[1][0] >= WINDOW:
            self._samples.popleft()

    def _tenths(self) -> int:
        return min(10, 10 * self.done // self.total) if self.total else 0

    def _line_is_due(self, now: float) -> bool:
        gap = now - self._line_at
        further = gap >= LEAST_GAP and self._tenths() > self._tenth
        return not self._drawn or further or gap >= MOST_GAP


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def _show(bar: Bar) -> None:
    """Draw a bar; the first one brings the screen."""
    global _screen
    if _screen is None:
        _screen = _Screen()
    _screen.draw(bar)


class _Screen:
    """The bars that stand on a terminal at the moment, one below the other."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        class Quieter(Console):
            def show_cursor(self, show: bool = True) -> bool:
                """Leave the cursor as it is: a killed process could not bring it back."""
                return False

        self.bars: list[Bar] = []
        # Markup, emoji codes and highlighting off: what is shown comes from files and servers, too.
        self.console = Quieter(
            file=sys.stderr, force_terminal=True, force_jupyter=False, markup=False, emoji=False,
            highlight=False,
        )  # fmt: skip
        self.live = Live(
            console=self.console, get_renderable=self.render, auto_refresh=False, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self.live.start()

    def draw(self, bar: Bar) -> None:
        if bar not in self.bars:
            self.bars.append(bar)
        self.live.refresh()

    def remove(self, bar: Bar) -> None:
        """Take a bar away; the last one takes the screen with it."""
        global _screen
        if bar in self.bars:
            self.bars.remove(bar)
        if self.bars:
            self.live.refresh()
        else:
            _screen = None
            self.live.stop()

    def line(self, text: str) -> None:
        from rich.text import Text

        self.console.print(Text(text), soft_wrap=True)

    def render(self) -> rich.console.RenderableType:
        from rich.console import Group

        return Group(*map(self.row, self.bars))

    def row(self, bar: Bar) -> rich.console.RenderableType:
        """One line: title, bar, words; the bar only where there is room."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        words = bar.words()
        title = Text(bar.title)
        # Some terminals wrap when the last column is written.
        room = self.console.width - 1 - title.cell_len - len(words) - 2
        if not bar.total or room < _NARROWEST_BAR:
            text = Text(f"{bar.title}: {words}")
            text.truncate(max(self.console.width - 1, 1), overflow="ellipsis")
            return text
        row = Table.grid(padding=(0, 1))
        row.add_row(
            title,
            ProgressBar(bar.total, min(bar.done, bar.total), width=min(room, _WIDEST_BAR)),
            words,
        )
        return row
