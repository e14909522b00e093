"""Tests a mutant in a forked process, with the tests that reach its line.

Those that have failed for errors of the same function or file go first, then the fastest.

What costs time is done once: libraries are imported in the first process, the tests of a room are
collected in a fork of it. An error in the body of a function is put into the loaded function in a
fork of that second process; one that acts at import (a default, a constant of the module, what is
called while modules load) is imported afresh in a fork of the first, unless the module of many such
errors can be run again in its place. No process that forks has reckoned anything, so that no pool
of threads is lost by it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import coverage
import pytest

from .operators import Mutant
from .placing import Finder, execute, patch

KILLED, SURVIVED, TIMED_OUT, UNREACHED, BROKEN = range(5)

# A test may use this many processor seconds beside three times what the longest needs without an
# error; on a busy machine the clock may show ten times as much.
PATIENCE = 5.0

# From this many errors at import on it pays to see whether a module can be run again in its place.
AGAIN = 8

# And so much memory of its own, in bytes: an error in a shape can ask for all there is.
MEMORY = 6 * 2**30


@dataclass
class Clean:
    """What the tests of a room do without an error.

    Parameters
    ----------
    failed
        Tests that fail, skipped ones not among them.
    seconds
        Processor seconds of each test.
    reached
        File -> line -> tests that reach it.
    imported
        File -> lines that run while the tests are collected.
    """

    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    imported: dict[str, list[int]] = field(default_factory=dict)

    def tests(self, mutant: Mutant) -> list[str]:
        """Tests that can meet a mutant, the fastest first."""
        lines = self.reached.get(mutant.path, {})
        found = {t for line in _span(mutant) for t in lines.get(line, [])}
        if self.at_import(mutant) and self._imports(mutant):
            # A test that only reads a constant runs no line of its file: all may meet it, those
            # that run one first.
            near = {t for tests in lines.values() for t in tests}
            return sorted(self.seconds, key=lambda test: (test not in near, self.seconds[test]))
        return sorted(found, key=lambda test: self.seconds.get(test, 0))

    def at_import(self, mutant: Mutant) -> bool:
        """The error acts while modules are imported, or may."""
        return not mutant.inside or self._imports(mutant)

    def _imports(self, mutant: Mutant) -> bool:
        return not set(_span(mutant)).isdisjoint(self.imported.get(mutant.path, ()))


class _Killers:
    """Tests that failed last for errors of a function and of a file: they are tried first."""

    def __init__(self, folder: Path) -> None:
        self.said = folder / "killer"
        self.last: dict[str, list[str]] = {}

    def first(self, mutant: Mutant, tests: list[str]) -> list[str]:
        """Those of the tests that failed lately."""
        keys = (f"{mutant.path} {mutant.function}", mutant.path)
        wanted = set(tests)
        return [t for t in dict.fromkeys(t for k in keys for t in self.last.get(k, ()))
                if t in wanted]  # fmt: skip

    def note(self, mutant: Mutant) -> None:
        """Remember which test has failed."""
        if self.said.exists():
            test = self.said.read_text(encoding="utf-8")
            self.said.unlink()
            for key in (f"{mutant.path} {mutant.function}", mutant.path):
                last = self.last.setdefault(key, [])
                self.last[key] = [test, *(t for t in last if t != test)][:6]


def _read(folder: Path) -> Clean:
    clean = Clean(**json.loads((folder / "clean.json").read_text(encoding="utf-8")))
    for path, lines in clean.reached.items():
        clean.reached[path] = {int(line): names for line, names in lines.items()}
    return clean


def _span(mutant: Mutant) -> range:
    return range(mutant.lines[0], mutant.lines[1] + 1)


def run(
    mutants: list[Mutant], tests: list[str], told: Callable[[Mutant, int], None]
) -> tuple[list[int], list[str]]:
    """Test all mutants of a room.

    Parameters
    ----------
    mutants
        What is tested.
    tests
        Files of tests, from the repository's root.
    told
        Called with each mutant and what became of it.

    Returns
    -------
    list of int
        For each mutant: KILLED, SURVIVED, TIMED_OUT or UNREACHED.
    list of str
        Tests that fail without an error; if there are any, no mutant has been tested.
    """
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    try:
        room = partial(_pytest, tests, _Room(mutants, folder, told), folder / "room")
        if _forked(room, math.inf, quiet=False) != 0:
            raise SystemExit("the tests of the room could not be run; see above")
        clean = _read(folder)
        if clean.failed:
            return [], clean.failed
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        killers = _Killers(folder)
        stop = _Stop(killers.said, clean)
        for index, mutant in enumerate(mutants):
            if results[index] is None:
                chosen = clean.tests(mutant)
                first = killers.first(mutant, chosen)
                # Few tests are collected sooner than all.
                for some in (first, [test for test in chosen if test not in first]):
                    if some and results[index] in (None, SURVIVED):
                        child = partial(_imported, mutant, some, folder / "import", stop)
                        results[index] = _forked(child, _limit(clean, chosen))
                killers.note(mutant)
                told(mutant, results[index])
            if results[index] == BROKEN:
                results[index] = KILLED
        return results, []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Room:
    """Plugin: instead of running the collected tests, test the mutants with them."""

    def __init__(
        self, mutants: list[Mutant], folder: Path, told: Callable[[Mutant, int], None]
    ) -> None:
        self.mutants, self.folder, self.told = mutants, folder, told
        self.several = Counter(m.path for m in mutants if not m.inside)
        self.again: dict[str, bool] = {}
        self.files = sorted({str(Path(m.path).resolve()) for m in mutants})
        self.trace = coverage.Coverage(data_file=None, include=self.files, config_file=False)
        self.trace.start()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop."""
        self.trace.stop()
        data = self.trace.get_data()
        imported = {file: sorted(data.lines(file) or ()) for file in self.files}
        session.config._tmp_path_factory.getbasetemp()
        if session.testsfailed:
            raise SystemExit("some tests cannot be collected")
        _forked(partial(self._clean, session, imported), math.inf)
        clean = _read(self.folder)
        if clean.failed:
            return True
        items = {item.nodeid: item for item in session.items}
        results: list[int | None] = []
        killers = _Killers(self.folder)
        stop = _Stop(killers.said, clean)
        for mutant in self.mutants:
            chosen = clean.tests(mutant)
            chosen = [*dict.fromkeys([*killers.first(mutant, chosen), *chosen])]
            if not chosen:
                result: int | None = UNREACHED
            elif clean.at_import(mutant):
                result = self._in_loaded_module(mutant, clean, items, chosen, killers, stop)
            else:
                child = partial(_patched, mutant, [items[name] for name in chosen], stop)
                result = _forked(child, _limit(clean, chosen))
                killers.note(mutant)
                if result == BROKEN:
                    result = None
            results.append(result)
            if result is not None:
                self.told(mutant, result)
        (self.folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
        return True

    def _in_loaded_module(
        self,
        mutant: Mutant,
        clean: Clean,
        items: dict[str, pytest.Item],
        chosen: list[str],
        killers: _Killers,
        stop: _Stop,
    ) -> int | None:
        """KILLED if a test fails with the module run again with the error; None: not known yet.

        So only for a module that may be run again without an error: all its tests are tried once.
        """
        if self.several[mutant.path] < AGAIN:
            return None
        if mutant.path not in self.again:
            tests = {t for some in clean.reached.get(mutant.path, {}).values() for t in some}
            child = partial(_again, mutant.path, None, [items[t] for t in tests], stop)
            self.again[mutant.path] = _forked(child, _limit(clean, list(tests))) == SURVIVED
            killers.said.unlink(missing_ok=True)
        if not self.again[mutant.path]:
            return None
        child = partial(_again, mutant.path, mutant, [items[t] for t in chosen], stop)
        result = _forked(child, _limit(clean, chosen))
        killers.note(mutant)
        return KILLED if result == KILLED else None

    def _clean(self, session: pytest.Session, imported: dict[str, list[int]]) -> int:
        """Run all tests without an error, and note what each reaches."""
        clean = Clean(imported={_relative(file): lines for file, lines in imported.items()})
        trace = coverage.Coverage(data_file=None, include=self.files, config_file=False)
        trace.start()
        session.config.pluginmanager.register(_Noted(clean.failed))
        for item in session.items:
            trace.switch_context(item.nodeid)
            start = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            clean.seconds[item.nodeid] = time.process_time() - start
        trace.stop()
        data = trace.get_data()
        for file in data.measured_files():
            lines = data.contexts_by_lineno(file)
            clean.reached[_relative(file)] = {
                line: [name for name in names if name] for line, names in lines.items()
            }
        text = json.dumps(asdict(clean))
        (self.folder / "clean.json").write_text(text, encoding="utf-8")
        return 0


class _Noted:
    """Plugin: note the tests that fail."""

    def __init__(self, failed: list[str]) -> None:
        self.failed = failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one."""
        if report.failed:
            self.failed.append(f"{report.nodeid}: {str(report.longrepr)[-400:]}")


class _Stop:
    """Plugin: the first failure is the end of the process, and a test that takes far too long."""

    def __init__(self, said: Path, clean: Clean) -> None:
        self.said = said
        # Whichever test is the first to need it makes what several share.
        self.limit = PATIENCE + 3 * max(clean.seconds.values(), default=0)

    def pytest_runtest_logstart(self) -> None:
        """Give the next test its time."""
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        limit = math.ceil(time.process_time() + self.limit)
        resource.setrlimit(resource.RLIMIT_CPU, (min(limit, most), most))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """End, if it is one, and say which."""
        if report.failed:
            self.said.write_text(report.nodeid, encoding="utf-8")
            os._exit(KILLED)


def _pytest(tests: list[str], plugin: object, folder: Path) -> int:
    """Run pytest in this process, with nothing kept and nothing captured."""
    arguments = ["-s", "-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:xdist"]
    arguments += [f"--basetemp={folder}", "-o", "tmp_path_retention_policy=none"]
    return int(pytest.main([*arguments, *tests], plugins=[plugin]))


def _patched(mutant: Mutant, items: list[pytest.Item], stop: _Stop) -> int:
    """Put the error into the loaded function, and run tests."""
    if not patch(mutant):
        return BROKEN
    items[0].config.pluginmanager.register(stop)
    for item in items:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return SURVIVED


def _again(path: str, mutant: Mutant | None, items: list[pytest.Item], stop: _Stop) -> int:
    """Run a loaded module again, with an error or without, and run tests."""
    execute(path, mutant)
    items[0].config.pluginmanager.register(stop)
    for item in items:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return SURVIVED


def _imported(mutant: Mutant, tests: list[str], folder: Path, stop: _Stop) -> int:
    """Import everything with the error, and run tests."""
    sys.meta_path.insert(0, Finder(mutant))
    return SURVIVED if _pytest(tests, stop, folder) == 0 else KILLED


def _relative(file: str) -> str:
    return Path(file).relative_to(Path.cwd()).as_posix()


def _limit(clean: Clean, tests: list[str]) -> float:
    return PATIENCE + 3 * sum(clean.seconds.get(name, 0) for name in tests)


def _forked(child: Callable[[], int], limit: float, *, quiet: bool = True) -> int:
    """Call a function in a forked process, and give what it returns; stop it at its limit."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        result = KILLED
        try:
            if quiet:
                _alone(limit)
            result = child()
        except BaseException:
            if not quiet:
                traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(result)
    start, ended, status = time.monotonic(), 0, 0
    while not ended and time.monotonic() - start < 10 * limit:
        time.sleep(0.005)
        ended, status = os.waitpid(pid, os.WNOHANG)
    if quiet:  # nothing that it started lives on
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    if not ended:
        status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        timed_out = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        return TIMED_OUT if timed_out else KILLED
    return os.WEXITSTATUS(status)


def _alone(limit: float) -> None:
    """Make this process the first of a group, silent, with bounded time and memory."""
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    if limit < math.inf:
        seconds = math.ceil(limit)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
