"""What is said on stderr while work goes on: how far it is, how fast, how long it takes yet.

On a terminal a bar stands on the last line and lines of text go above it. Elsewhere (a log, a
pipe, ``TERM=dumb``) the same words come as plain lines, few of them. Work of less than a second
says nothing of itself. stdout is left to what a command gives out.

There is no thread that draws: a bar is drawn when it is told of progress, so a process may fork,
stop or be killed under it at any time.

`output` makes what goes to stdout harmless and readable on any terminal.
"""

from common.terminal.bars import Bar, is_quiet, line, progress, quiet
from common.terminal.output import as_it_is, escaped_output, out, shown
from common.terminal.words import duration, megabytes, plain

__all__ = [
    "Bar",
    "as_it_is",
    "duration",
    "escaped_output",
    "is_quiet",
    "line",
    "megabytes",
    "out",
    "plain",
    "progress",
    "quiet",
    "shown",
]
