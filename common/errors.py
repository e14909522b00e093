"""Errors that a user can mend, and how every command line reports them."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import TextIO

from common import terminal

RESTORE = "restore the file, or train again with --fresh"
"""What to do about a file of a run folder that is damaged; stands at the end of messages."""

DAMAGE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
"""What reading a damaged or foreign file may raise (JSON, CSV and `InputError` are ValueErrors)."""


_LONGEST_LINE = 2000

SHOWN = 5
"""How many names a message lists."""

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as of a shell's."""

BEFORE_ANYTHING = "interrupted before anything was saved; the same command begins anew"
"""What Ctrl-C ends with that leaves no run folder."""

QUIET_HELP = "Every command takes --quiet: it then says errors and warnings only."


class InputError(ValueError):
    """Something the user gave is wrong; the message names it and says what to do."""


class WriteError(InputError):
    """A file cannot be written: the disk is full, or the folder is closed to us."""


def listed(names: Iterable[str], shown: int = SHOWN) -> str:
    """Join names for a message; of many, the first ones and how many more there are.

    Parameters
    ----------
    names : iterable of str
    shown : int
        How many are named.
    """
    names = list(names)
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def many(amount: int, one: str, several: str | None = None) -> str:
    """Write an amount with its noun, and the verb that follows.

    Parameters
    ----------
    amount : int
    one : str
        What follows a 1: "image", "image has".
    several : str, optional
        What follows any other; by default `one` with an s.
    """
    return f"{amount} {one if amount == 1 else several or f'{one}s'}"


def first_line(error: BaseException) -> str:
    """Say in one line what another library raised: its kind, and the first line of its text.

    Parameters
    ----------
    error : BaseException
    """
    text = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {text[0]}"


def brief(value: object) -> str:
    """Show a value in a message, in at most 40 characters.

    Parameters
    ----------
    value : object
    """
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def main(function: Callable[[], int | None]) -> None:
    """Run a command's `function` and end the process with its exit code.

    An `InputError`, or an operating-system error that names a file, becomes one line on stderr and
    exit code 2; Ctrl-C exits with 130; a reader that closed the pipe (``| head``) is no error.
    Anything else is a defect of ours and keeps its traceback. Warnings are one line each.

    Every command has the flag ``--quiet``, which is taken here: `terminal.quiet`.

    Parameters
    ----------
    function : callable
        Called without arguments; what it returns is the exit code, None means 0.
    """
    warnings.showwarning = show_warning
    # A stream that was closed before the start (`>&-`) is None; what is written is for nobody.
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    _take_quiet()
    try:
        with terminal.escaped_output():
            code = function() or 0
        # Here and not at exit, where a full disk behind `> file` would be no error of ours.
        sys.stdout.flush()
        sys.exit(code)
    except SystemExit as end:
        # argparse's, after --help; the reader may have gone.
        try:
            if not end.code and {"-h", "--help"} & set(sys.argv[1:]):
                print(f"\n{QUIET_HELP}")
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_output()
        raise
    except InputError as error:
        message = str(error)
    except BrokenPipeError:
        _forget_output()
        sys.exit(0)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        message = f"{where}{error.strerror or error}"
    except KeyboardInterrupt as interruption:
        terminal.line(f"\n{str(interruption) or 'interrupted'}", always=True)
        sys.exit(INTERRUPTED)
    terminal.line(f"error: {_bounded(message)}", always=True)
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()
    sys.exit(2)


def _take_quiet() -> None:
    """Take `--quiet` out of the command line, unless it stands where only names do."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    if "--quiet" in sys.argv[1:end]:
        sys.argv.remove("--quiet")
        terminal.quiet()


def _bounded(message: str) -> str:
    """Cut lines that nobody reads: a damaged file may have 100,000 letters in one of its cells."""
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 200]} ... {line[-150:]}"
        for line in message.split("\n")
    )


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # until the process ends


def _forget_output() -> None:
    # Python would complain once more when it flushes stdout at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line, above a bar where there is one; for `warnings.showwarning`.

    Parameters
    ----------
    message : Warning or str
        What is warned of.
    category, filename, lineno, file, line
        Passed by `warnings`; they say nothing to a user.
    """
    terminal.line(f"warning: {message}", always=True)
