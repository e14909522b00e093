"""Errors that a user can mend, and how every command line reports them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


class InputError(ValueError):
    """Something the user gave is wrong; the message names it and says what to do."""


def main(function: Callable[[], int | None]) -> None:
    """Run a command's `function` and end the process with its exit code.

    An `InputError`, or an operating-system error that names a file, becomes one line on stderr and
    exit code 2; Ctrl-C exits with 130; a reader that closed the pipe (``| head``) is no error.
    Anything else is a defect of ours and keeps its traceback.
    """
    try:
        sys.exit(function() or 0)
    except InputError as error:
        message = str(error)
    except BrokenPipeError:
        # Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename is not None else ""
        message = f"{error.strerror or error}{where}"
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
