"""Do what is missing: start what can begin, see what has ended, until all is done or cannot be."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import INTERRUPTED
from common.files import write_json
from common.reproduce.commands import Options, commands
from common.reproduce.executor import GONE, Executor
from common.reproduce.job import Job
from common.reproduce.show import Board
from common.reproduce.states import Place, State, states
from common.reproduce.work import Item
from common.reproduce.worker import BUSY, REPLACED

LOOK = 2.0
"""Seconds between two looks at what has ended, and at what others do."""

TRIES = 3
"""How often an item is begun whose process is killed without a word (memory, a lost machine)."""


@dataclass
class Runner:
    """One `run`: others may work on the same items, here and on other hosts.

    Attributes
    ----------
    items : sequence of Item
        Each after what it needs.
    place : Place
    options : Options
    executor : Executor
    board : Board
        Told of all that happens.
    """

    items: Sequence[Item]
    place: Place
    options: Options
    executor: Executor
    board: Board
    mine: dict[str, Item] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    untold: dict[str, State] = field(default_factory=dict)

    def run(self) -> int:
        """Work until nothing is left that can be done.

        Returns
        -------
        int
            0: all is done; 1: something failed; 130: interrupted.
        """
        known = {item.key: item for item in self.items}
        self._forget_failures()
        try:
            while True:
                found = states(self.items, self.place)
                self._take_up(found)
                if self._over(found):
                    return int(any(not state.done for state in found.values()))
                for item in self._next(found):
                    self._start(item, known, found)
                self.board.show(self.items, found)
                self._wait(known)
        except KeyboardInterrupt:
            return self._stop()

    def _forget_failures(self) -> None:
        """What failed in an earlier `run` is tried again."""
        for item in self.items:
            self.place.failure(item).unlink(missing_ok=True)

    def _take_up(self, found: Mapping[str, State]) -> None:
        """Jobs of an earlier `run` that was killed are ours again, if their place outlives us."""
        for item in self.items:
            runs = found[item.key].name == "running" and item.key not in self.mine
            if runs and self.executor.knows(item.key, self._file(item)):
                self.mine[item.key] = item

    def _file(self, item: Item) -> Path:
        return self.place.folder / "jobs" / f"{item.slug}.json"

    def _over(self, found: Mapping[str, State]) -> bool:
        """Nothing runs, here or elsewhere, and nothing can begin."""
        busy = self.mine or any(state.name == "running" for state in found.values())
        return not busy and not self._next(found)

    def _next(self, found: Mapping[str, State]) -> list[Item]:
        """What can begin, what others wait for first."""
        wanted = {need for item in self.items if not found[item.key].done for need in item.needs}
        able = [
            item
            for item in self.items
            if found[item.key].name in ("ready", "interrupted") and item.key not in self.mine
        ]
        able.sort(key=lambda item: item.key not in wanted)
        return able[: self.executor.free()]

    def _start(self, item: Item, known: Mapping[str, Item], found: Mapping[str, State]) -> None:
        job = Job(
            item.key,
            commands(item, known, found, self.place, self.options),
            self.place.claim(item),
            self.place.log(item),
            self.place.failure(item),
        )
        file = self._file(item)
        job.write(file)
        self.executor.start(item.key, file)
        self.mine[item.key] = item
        self.untold[item.key] = found[item.key]

    def _wait(self, known: Mapping[str, Item]) -> None:
        """Wait for an end, or for what others may have done."""
        until = time.monotonic() + LOOK
        while time.monotonic() < until:
            ended = self.executor.ended()
            held = self.executor.held
            for key in [key for key in self.untold if key not in (held or ())]:
                self.board.began(known[key], self.untold.pop(key), queued=held is not None)
            for key, code in ended.items():
                self._ended(known[key], code)
            if ended:
                return
            time.sleep(0.1)

    def _ended(self, item: Item, code: int) -> None:
        del self.mine[item.key]
        if code in (BUSY, REPLACED):
            self.board.elsewhere(item)
        elif code == GONE:
            self.board.lost(item)
        elif code == 0:
            self.board.finished(item)
        else:
            self.board.failed(item, code, self.place.log(item))
            if not self.place.failure(item).exists():
                self._worker_died(item, code)

    def _worker_died(self, item: Item, code: int) -> None:
        """The worker itself was killed: once more, then it counts as failed."""
        self.tried[item.key] = self.tried.get(item.key, 0) + 1
        if self.tried[item.key] >= TRIES:
            reason = f"its process was killed {TRIES} times (exit code {code})"
            write_json(self.place.failure(item), {"key": item.key, "reason": reason})

    def _stop(self) -> int:
        """Ctrl-C: let all jobs write what they have; a second one ends them at once."""
        self.board.stopping(len(self.mine))
        self.executor.stop()
        try:
            while self.mine:
                for key in self.executor.ended():
                    del self.mine[key]
                time.sleep(0.1)
        except KeyboardInterrupt:
            self.executor.kill()
        self.board.stopped()
        return INTERRUPTED
