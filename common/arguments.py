"""The parser of every command line: no flag is abbreviated, the nearest name is suggested.

Where a command is to write is looked at as soon as the line is read (`common.files.outputs`).
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from common.files import OUTPUTS, require_outputs


class Parser(argparse.ArgumentParser):
    """A command's parser, and those of its subcommands.

    An abbreviation would change what it means with the next flag, so that none is taken.

    Parameters
    ----------
    *args, **kwargs
        As `argparse.ArgumentParser` takes them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self._given: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known, as `argparse` does, and look at what is to be written.

        Parameters
        ----------
        args, namespace
            As there.

        Raises
        ------
        InputError
            As `require_outputs`.
        """
        self._given = list(sys.argv[1:] if args is None else args)
        found, rest = super().parse_known_args(args, namespace)
        given = [(each, getattr(found, each.dest, None)) for each in self._actions
                 if each.choices is None]  # fmt: skip
        outputs = {
            each.option_strings[-1] if each.option_strings else str(each.metavar or each.dest):
            (each.type, value)
            for each, value in given if each.type in OUTPUTS and value is not None
        }  # fmt: skip
        require_outputs(outputs, [value for each, value in given if each.type not in OUTPUTS])
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong and which names are near, and end with exit code 2.

        Parameters
        ----------
        message : str
            What is wrong.
        """
        words = [message, *self._suggestions(message), f"{self.prog} --help says more"]
        self.exit(2, f"error: {'; '.join(words)}\n")

    def _suggestions(self, message: str) -> Iterator[str]:
        known = sorted(set(self._flags()))
        before = itertools.takewhile(lambda word: word != "--", self._given)
        for flag in [word.partition("=")[0] for word in before if word.startswith("--")]:
            if flag not in known:
                yield from _suggestion(flag, known)
        if found := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            yield from _suggestion(found[1], re.sub("'", "", found[2]).split(", "))

    def _flags(self) -> Iterator[str]:
        """Flags of this parser and of all below it."""
        for action in self._actions:
            yield from (each for each in action.option_strings if each.startswith("--"))
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser._flags()


def _suggestion(name: str, known: Sequence[str]) -> Iterator[str]:
    near = [each for each in known if each.startswith(name)]
    if not near:
        plain = {each.strip("-"): each for each in known}
        close = difflib.get_close_matches(name.strip("-"), plain, n=2)
        near = [plain[each] for each in close]
    if near:
        yield f"{name}: did you mean {' or '.join(near[:3])}?"
