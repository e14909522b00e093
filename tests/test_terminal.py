"""What is shown on a real terminal, and what is written to a pipe."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
import threading
from pathlib import Path

import pytest

from common import terminal
from common.terminal import bars

ROOT = Path(__file__).parent.parent
WORK = """
import sys, threading, time
from common import terminal
from common.terminal import bars
bars.SHORTEST = bars.REDRAW = 0.01
with terminal.progress("decoding", total=20, unit="images") as bar:
    for i in range(20):
        time.sleep(0.012)
        bar.advance()
        if i == 9:
            bar.say("a line above: [bold]x[/] :smile: \\x1b[2J\\x07")
assert threading.active_count() == 1
"""


def on_terminal(code: str, columns: int = 80, **environment: str) -> str:
    """What a process writes on a pseudo-terminal of its own."""
    child, descriptor = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        names = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "CI")}
        os.chdir(ROOT)
        os.execve(
            sys.executable,
            [sys.executable, "-c", textwrap.dedent(code)],
            names | {"TERM": "xterm-256color"} | environment,
        )
    written = b""
    with contextlib.suppress(OSError):  # Linux ends a pseudo-terminal with an error
        while data := os.read(descriptor, 1 << 16):
            written += data
    os.close(descriptor)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, written.decode()
    return written.decode()


def screen(written: str) -> list[str]:
    """What stands on an endless terminal after all that was written."""
    rows, row, column = [""], 0, 0
    for escape, end, text in re.findall(
        r"\x1b\[([\d;?]*[A-Za-z])|([\r\n])|([^\x1b\r\n]+)", written
    ):
        if escape.endswith("A"):
            row -= int(escape[:-1] or 1)
        elif escape == "2K":
            rows[row] = ""
        elif end == "\r":
            column = 0
        elif end == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif text:
            rows[row] = rows[row][:column].ljust(column) + text + rows[row][column + len(text) :]
            column += len(text)
    return [each for each in rows if each]


def drawn(written: str) -> list[str]:
    """Every state of every line, without its colours."""
    return [re.sub(r"\x1b\[[\d;]*m", "", each) for each in re.split(r"\x1b\[2K|[\r\n]", written)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""
    now = [100.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])
    return now


# --- on a terminal -----------------------------------------------------------------------------


def test_bar_on_a_terminal():
    written = on_terminal(WORK)
    bars = [each for each in drawn(written) if "━" in each]
    assert len(bars) >= 10
    assert all(each.startswith("decoding ━") for each in bars)
    assert re.search(r"━ 19 of 20 images \(95 %\), \d+/s, 0:00 left", bars[-2] + bars[-1])
    assert max(map(len, bars)) < 80
    # At the end only lines are there; no code from the text was obeyed, and no markup.
    above, last = screen(written)
    assert above == r"a line above: [bold]x[/] :smile: \x1b[2J\x07"
    assert re.fullmatch(r"decoding: 20 images in 0:00, \d+/s", last)
    assert "\x1b[?25" not in written  # or a killed process leaves a terminal without a cursor
    assert re.search(r"\x1b\[[\d;]*3[0-9]", written)


@pytest.mark.parametrize("columns", [1, 12, 30, 45, 60, 200])
def test_bar_never_wraps(columns):
    lines = [each for each in drawn(on_terminal(WORK, columns)) if "left" in each or "…" in each]
    assert lines
    assert max(map(len, lines)) <= max(columns - 1, 1)
    assert any("━" in each for each in lines) == (columns >= 60)


def test_colours_can_be_off():
    written = on_terminal(WORK, NO_COLOR="1")
    assert "━" in written
    assert not re.search(r"\x1b\[[\d;]*(3|9)[0-9]", written)


def test_dumb_terminal_gets_lines():
    written = on_terminal(WORK, TERM="dumb")
    assert "\x1b" not in written
    assert [each.split(",")[0] for each in written.splitlines()] == [
        "decoding: 1 of 20 images (5 %)",
        r"a line above: [bold]x[/] :smile: \x1b[2J\x07",
        "decoding: 20 images in 0:00",
    ]


def test_bars_one_below_the_other():
    written = on_terminal(
        """
        import time
        from common import terminal
        from common.terminal import bars
        bars.SHORTEST = bars.REDRAW = 0.0
        with terminal.progress("outer", total=2) as outer:
            outer.advance()
            with terminal.progress("inner", total=1000, unit="bytes", transient=True) as inner:
                inner.at(500)
            outer.advance()
            with terminal.progress("failed", total=4, unit="images") as failed:
                failed.at(1)
                terminal.line("said")
                failed.end(stopped=True)
        """
    )
    states = drawn(written)
    inner = next(i for i, each in enumerate(states) if each.startswith("inner ━"))
    assert "1 of 2 (50 %)" in states[inner - 2]  # a line end on a terminal is two characters
    assert [re.sub("in.*", "in", each) for each in screen(written)] == [
        "said", "failed: stopped after 0:00, 1 of 4 images (25 %)", "outer: 2 in",
    ]  # fmt: skip


def test_nothing_is_imported_for_short_work():
    code = (
        "import sys; from common import terminal\n"
        "with terminal.progress('short', total=3) as bar:\n    bar.advance(3)\n"
        "assert 'rich' not in sys.modules\n"
    )
    assert on_terminal(code) == ""


# --- in a log ----------------------------------------------------------------------------------


def test_lines_in_a_log(clock, capsys):
    """The first after a second, then with each tenth, never two within two seconds."""
    with terminal.progress("x", total=1_000_000_000, unit="bytes") as bar:
        for step in range(1, 1001):
            clock[0] = 100 + step / 10
            bar.at(step * 1_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[0] == "x: 10.0 MB of 1.00 GB (1 %), 10.0 MB/s, 1:39 left"
    assert lines[3] == "x: 300.0 MB of 1.00 GB (30 %), 10.0 MB/s, 1:10 left"
    assert lines[11] == "x: 1.00 GB in 1:40, 10.0 MB/s"


def test_quick_work_in_a_log(clock, capsys):
    """Ten tenths within four seconds are not ten lines."""
    with terminal.progress("x", total=400, unit="images") as bar:
        for _ in range(400):
            clock[0] += 0.01
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [each.partition(" (")[0] for each in lines] == [
        "x: 100 of 400 images", "x: 300 of 400 images", "x: 400 images in 0:04, 100/s",
    ]  # fmt: skip


def test_unknown_total_and_slow_work_in_a_log(clock, capsys):
    with terminal.progress("x", unit="images") as bar:
        for _ in range(3):
            clock[0] += 50
            bar.advance()
    with terminal.progress("y", total=1000) as bar:
        for _ in range(4):
            clock[0] += 45
            bar.advance()
    assert capsys.readouterr().err.splitlines() == [
        "x: 1 images, 50.0 s each",
        "x: 3 images, 50.0 s each",
        "x: 3 images in 2:30, 50.0 s each",
        "y: 1 of 1000 (0 %), 45.0 s each, 12:29:15 left",
        "y: 3 of 1000 (0 %), 45.0 s each, 12:27:45 left",
        "y: 4 in 3:00, 45.0 s each",
    ]


def test_what_was_there_before_is_not_speed(clock, capsys):
    with terminal.progress("x", total=None, unit="bytes") as bar:
        bar.restart(500_000_000, 1_000_000_000)
        clock[0] += 10
        bar.at(600_000_000)
        assert bar.words() == "600.0 MB of 1.00 GB (60 %), 10.0 MB/s, 0:40 left"
        bar.restart(500_000_000, 1_000_000_000)  # the server had another file
        clock[0] += 40
        bar.at(1_000_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "x: 600.0 MB of 1.00 GB (60 %), 10.0 MB/s, 0:40 left"
    assert lines[-1] == "x: 1.00 GB in 0:50, 12.0 MB/s"  # 600 MB came in all


def test_rate_is_that_of_the_last_half_minute(clock):
    bar = terminal.progress("x", total=100_000)
    for step in range(200):  # 100 s at 10 a second, then 100 s at 1 a second
        clock[0] += 1
        bar.advance(10 if step < 100 else 1)
    assert bar.words() == f"1100 of 100000 (1 %), 1.0/s, {terminal.duration(98_900)} left"


def test_items_are_counted_when_they_are_done():
    seen = []
    bar = terminal.progress("x", total=3)
    for item in bar.over(iter("abc")):
        seen.append((item, bar.done))
    assert seen == [("a", 0), ("b", 1), ("c", 2)]
    assert bar.done == 3


def test_short_work_says_nothing(clock, capsys):
    with terminal.progress("x", total=3) as bar:
        clock[0] += 0.9
        bar.at(3)
    with terminal.progress("x", total=3, transient=True) as bar:
        clock[0] += 99
        bar.at(3)
    assert capsys.readouterr().err == ""


def test_closing_line_left_to_the_caller(clock, capsys):
    with terminal.progress("x", total=3, closing=False) as bar:
        clock[0] += 5
        bar.at(1)
    with pytest.raises(ValueError), terminal.progress("y", total=3, closing=False):
        clock[0] += 5
        raise ValueError
    with terminal.progress("z", total=3, shown=False) as bar:
        clock[0] += 5
        bar.at(1)
    assert capsys.readouterr().err.splitlines() == [
        "x: 1 of 3 (33 %), 5.0 s each, 0:10 left",
        "y: stopped after 0:05, 0 of 3 (0 %)",
    ]


def test_work_that_stops_says_how_far_it_came(clock, capsys):
    with pytest.raises(KeyboardInterrupt), terminal.progress("x", total=8, unit="images") as bar:
        bar.at(2)
        clock[0] += 70
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "x: stopped after 1:10, 2 of 8 images (25 %)\n"


def test_threads_lose_no_count():
    bar = terminal.progress("x", total=80_000)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: [bar.advance() for _ in range(10_000)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert bar.done == 80_000


def test_quiet(clock, capsys):
    terminal.quiet()
    try:
        with terminal.progress("x", total=3) as bar:
            clock[0] += 5
            bar.at(2)
            bar.say("said")
        terminal.line("ordinary")
        terminal.line("warning: heard", always=True)
    finally:
        terminal.quiet(False)
    terminal.line("again")
    assert capsys.readouterr().err == "warning: heard\nagain\n"


def test_pipe_gets_no_codes():
    done = subprocess.run(
        [sys.executable, "-c", WORK], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "\x1b" not in done.stderr and "━" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("decoding: 20 images in 0:00")


# --- text from elsewhere -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b.png", "a b.png"),
        ("Gewebe_ä_組織_Ω.png", "Gewebe_ä_組織_Ω.png"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("x\u202egnp.exe", r"x\u202egnp.exe"),
        ("\x9b2J\u2028", r"\x9b2J\u2028"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), r"caf\udce9"),
        ("[red]x[/red]", "[red]x[/red]"),
        (r"C:\x1b", r"C:\x1b"),
    ],
)
def test_plain(text, shown, monkeypatch):
    assert terminal.plain(text) == shown == terminal.plain(shown)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    terminal.line(text)
    lines = [terminal.plain(each) for each in text.split("\n")]
    assert written.getvalue() == "\n".join(lines) + "\n"


def test_sizes_and_durations():
    assert [terminal.megabytes(n) for n in (0, 999_949_999, 10**9)] == [
        "0.0 MB",
        "999.9 MB",
        "1.00 GB",
    ]
    assert [terminal.duration(s) for s in (0, 59.6, 3599, 3600, 1e9)] == [
        "0:00", "1:00", "59:59", "1:00:00", "99:59:59",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("raise InputError('a\\x1b[2Jb\\nsecond line')", 2, "error: a\\x1b[2Jb\nsecond line\n"),
        ("raise KeyboardInterrupt", 130, "\ninterrupted\n"),
        (
            "raise KeyboardInterrupt('interrupted; 3 are saved')",
            130,
            "\ninterrupted; 3 are saved\n",
        ),
        ("open('missing\\x1b[2J')", 2, "error: missing\\x1b[2J: No such file or directory\n"),
        ("warnings.warn('odd \\x07 name')", 0, "warning: odd \\x07 name\n"),
    ],
)
def test_errors_and_warnings_of_commands(code, status, said):
    """Escaped, and said whatever `quiet` is."""
    script = (
        "import warnings; from common import errors, terminal; from common.errors import InputError"
        f"\ndef function():\n    {code}\nterminal.quiet()\nerrors.main(function)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (status, said)


def test_quiet_is_a_flag_of_every_command():
    """Taken where it is a flag, told by every help, and known to what gives out a result."""
    code = (
        "import argparse, sys; from common import errors, terminal\n"
        "def function():\n"
        "    parser = argparse.ArgumentParser(prog='x')\n"
        "    parser.add_argument('names', nargs='*')\n"
        "    print(parser.parse_args().names, terminal.is_quiet())\n"
        "    terminal.line('ordinary'); terminal.line('warning', always=True)\n"
        "errors.main(function)"
    )

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip

    assert (run("a").stdout, run("a").stderr) == ("['a'] False\n", "ordinary\nwarning\n")
    done = run("a", "--quiet", "--", "b")
    assert (done.stdout, done.stderr) == ("['a', 'b'] True\n", "warning\n")
    assert run("--", "--quiet").stdout == "['--quiet'] False\n"
    *_, empty, last = run("--help").stdout.splitlines()
    assert empty == "" and last.startswith("Every command takes --quiet") and len(last) <= 80


def test_warning_goes_above_the_bar():
    written = on_terminal(
        """
        import warnings
        from common import errors, terminal
        from common.terminal import bars
        bars.SHORTEST = bars.REDRAW = 0.0
        def work():
            with terminal.progress("decoding", total=3) as bar:
                bar.advance()
                warnings.warn("odd name")
                bar.advance(2)
        errors.main(work)
        """
    )
    assert [re.sub(" in.*", "", each) for each in screen(written)] == [
        "warning: odd name",
        "decoding: 3",
    ]
