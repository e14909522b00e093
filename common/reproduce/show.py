"""What `run` and `status` say: a live table on a terminal, plain lines elsewhere, summary.md."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import runs, tables, terminal
from common.files import write_text
from common.notices import SYNTHETIC
from common.reproduce.hours import estimates
from common.reproduce.states import STATES, Place, State
from common.reproduce.work import Item
from common.reproduce.worker import complaint, tail

EVERY = 600.0
"""Seconds between two lines on how far it is, without a terminal."""

LINES = 3
"""How many lines of what a failed item said are shown."""


class Board:
    """Says what happens while a `Runner` runs.

    Parameters
    ----------
    place : Place
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.began_at: dict[str, float] = {}
        self.said = 0.0
        self.live = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self.live.start()

    def began(self, item: Item, state: State, *, queued: bool = False) -> None:
        """An item was begun.

        Parameters
        ----------
        item : Item
        state : State
            What it was.
        queued : bool
            Whether it was put into a queue.
        """
        self.began_at[item.key] = time.monotonic()
        words = "goes on" if state.name == "interrupted" else "begins"
        words = "is submitted" if queued else words
        self._line(f"{item.key} {words}")

    def finished(self, item: Item) -> None:
        """An item is done.

        Parameters
        ----------
        item : Item
        """
        self._line(f"{item.key} done in {self._took(item)}")

    def failed(self, item: Item, code: int, log: Path) -> None:
        """An item's commands failed.

        Parameters
        ----------
        item : Item
        code : int
        log : Path
        """
        self._line(f"{item.key} FAILED after {self._took(item)}; see {log}", always=True)
        for line in complaint(log, LINES):
            self._line(f"    {terminal.plain(line)}", always=True)

    def elsewhere(self, item: Item) -> None:
        """Somebody else was quicker.

        Parameters
        ----------
        item : Item
        """
        self._line(f"{item.key} is done elsewhere")

    def lost(self, item: Item) -> None:
        """An item's place was taken from it.

        Parameters
        ----------
        item : Item
        """
        self._line(f"{item.key} lost its place; it is begun again")

    def show(self, items: Sequence[Item], found: Mapping[str, State]) -> None:
        """How far it is; also in summary.md.

        Parameters
        ----------
        items : sequence of Item
        found : mapping
            Key -> state.
        """
        write_text(self.place.folder / "summary.md", summary(items, found, self.place))
        if self.live is not None:
            from rich.text import Text

            self.live.update(Text(self._table(items, found)), refresh=True)
        elif time.monotonic() - self.said > EVERY:
            self.said = time.monotonic()
            self._line(counted(found))

    def stopping(self, count: int) -> None:
        """Ctrl-C was pressed.

        Parameters
        ----------
        count : int
            How many jobs are still at work.
        """
        self._line(
            f"interrupted: {count} at work write what they have (Ctrl-C again ends them at once)",
            always=True,
        )

    def stopped(self) -> None:
        """All jobs have ended after Ctrl-C."""
        self._line("stopped; the same command goes on where this one was", always=True)

    def close(self) -> None:
        """Take the live table away."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _line(self, text: str, *, always: bool = False) -> None:
        if self.live is not None:
            self.live.console.print(text, markup=False, highlight=False)
        else:
            clock = runs.now().strftime("%H:%M:%S")
            terminal.line(f"{clock} {text}", always=always)

    def _took(self, item: Item) -> str:
        return terminal.duration(time.monotonic() - self.began_at.get(item.key, time.monotonic()))

    def _table(self, items: Sequence[Item], found: Mapping[str, State]) -> str:
        lines = [counted(found)]
        for item in items:
            if found[item.key].name == "running":
                said = [line for line in tail(self.place.log(item), 3) if line.strip()]
                lines.append(f"  {item.key}  {terminal.plain(said[-1].strip()) if said else ''}")
        return "\n".join(line[: self.live.console.width] for line in lines) if self.live else ""


def counted(found: Mapping[str, State]) -> str:
    """How many items are what, in words.

    Parameters
    ----------
    found : mapping
        Key -> state.
    """
    count = Counter(state.name for state in found.values())
    done = count["done"] + count["stale"]
    words = [f"{done} of {len(found)} done"]
    words += [f"{count[name]} {name}" for name in STATES[1:] if count[name]]
    return ", ".join(words)


def summary(items: Sequence[Item], found: Mapping[str, State], place: Place) -> str:
    """What has become of everything, as Markdown.

    Parameters
    ----------
    items : sequence of Item
        Each after what it needs.
    found : mapping
        Key -> state.
    place : Place
    """
    out = ["# Reproduction", ""]
    if place.synthetic:
        out += [f"**{SYNTHETIC}**", ""]
    out += [f"{counted(found)}.", ""]
    hours = estimates(items, found, place)
    header = ["experiment", "rounds", *STATES, "hours to go"]
    lines = []
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        what = item.kind if item.step is not None else item.module
        groups.setdefault((f"{item.paper} {item.preset}".strip(), what), []).append(item)
    for (name, what), group in groups.items():
        count = Counter(found[item.key].name for item in group)
        left = sum(hours[item.key].hours for item in group if not found[item.key].done)
        done = count["done"] + count["stale"]
        lines.append(
            [f"{name} {what}", f"{done} of {len(group)}",
             *(str(count[state] or "") for state in STATES), f"{left:.1f}"]
        )  # fmt: skip
    out += [*tables.markdown_table(header, lines), ""]
    for item in items:
        state = found[item.key]
        if state.name == "failed":
            out += [f"## {item.key} failed", "", state.words, "", "```"]
            out += [terminal.plain(line) for line in complaint(place.log(item), 10)]
            out += ["```", "", f"Log: {place.log(item)}", ""]
    return "\n".join(out)
