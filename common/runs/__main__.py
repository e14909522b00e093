"""Runs and their files: python -m common.runs verify RUN ..."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from common import errors, runs, terminal
from common.errors import InputError

_LISTED = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m common.runs``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m common.runs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser(
        "verify",
        help="compare the files of finished runs with their manifests",
        description="Compare every file of finished runs with the run's manifest.json, byte for "
        "byte.",
        epilog="Exit code: 0 if every file is as it was, 1 if one has changed or is missing, 2 if "
        "a run has no manifest to compare with. Additional files are named and change nothing.",
    )
    part.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    flags = parser.parse_args(arguments)
    return max(_verify(text) for text in flags.runs)


def _verify(text: str) -> int:
    """Compare one run; say what differs."""
    try:
        run = runs.load(text)
        if not run.finished:
            raise InputError(f"{run.path}: no manifest, the run has not finished")
        if not runs.has_manifest(run.path):
            raise InputError(f"{run.path}: no manifest, an earlier version finished this run")
        found = runs.compare(run.path)
    except InputError as error:
        terminal.line(f"error: {error}", always=True)
        return 2
    lines = [f"{what:<10}  {terminal.plain(name)}" for name, what in found.items()]
    damaged = sum(what != "additional" for what in found.values())
    for line in lines[:_LISTED]:
        print(line)
    if len(lines) > _LISTED:
        print(f"and {len(lines) - _LISTED} more")
    print(f"{terminal.plain(run.path)}: {f'{damaged} files damaged' if damaged else 'whole'}")
    return 1 if damaged else 0


if __name__ == "__main__":
    errors.main(main)
