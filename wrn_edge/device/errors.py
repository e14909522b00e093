"""Errors that the user can mend, and how every command here reports them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator


class InputError(Exception):
    """Something the user can mend; the message names it and says what to do."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what libraries write on stderr: each load of a model, each odd tag of a picture."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def main(function: Callable[[], int]) -> None:
    """Run a command and end the process: 0 done, 1 a check failed, 2 an error, 130 stopped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no terminal's alphabet ends the program
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(function())
    except InputError as error:
        message = str(error)
    except BrokenPipeError:  # the reader of our output went away (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        where = f" ({error.filename})" if error.filename is not None else ""
        message = f"{error.strerror or error}{where}"
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
