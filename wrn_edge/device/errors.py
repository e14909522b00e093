"""Errors that the user can mend, and how every command here reports them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


class InputError(Exception):
    """Something the user can mend; the message names it and says what to do."""


def main(function: Callable[[], int]) -> None:
    """Run a command and end the process: 0 done, 1 a check failed, 2 an error, 130 stopped."""
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
