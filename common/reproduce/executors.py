"""Where jobs are done: flags of all kinds of executors, and the one that is chosen.

A kind is a module with two functions: `flags` adds its own flags (``--slurm-...``) to a command
line; `make` makes the executor from what was given, or says as an `InputError` what is missing. A
module is imported to read a command line, so what it needs is imported in `make`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common.errors import InputError
from common.reproduce import ray_cluster, slurm
from common.reproduce.executor import Executor, Local

EXECUTORS = ("local", "slurm", "ray")
"""Processes here; jobs of a Slurm cluster; tasks of a Ray cluster."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags by which an executor is chosen.

    Parameters
    ----------
    parser : ArgumentParser
    """
    parser.add_argument("--executor", choices=EXECUTORS, default="local", help="where: on this "
                        "machine, a Slurm or a Ray cluster (default: local)")  # fmt: skip
    slurm.flags(parser)
    ray_cluster.flags(parser)


def make(chosen: argparse.Namespace, folder: Path) -> Executor:
    """Make the executor that a command line names.

    Parameters
    ----------
    chosen : Namespace
        What was given: `executor`, `jobs`, `demo`, and the flags of the kinds.
    folder : Path
        Of what `run` writes down; an executor may have one of its own in it.

    Returns
    -------
    Executor

    Raises
    ------
    InputError
        If it cannot be used here, the message says what is missing; or if a flag of another kind
        was given.
    """
    for name, value in vars(chosen).items():
        kind = name.partition("_")[0]
        if kind in EXECUTORS and kind != chosen.executor and value is not None:
            raise InputError(f"--{name.replace('_', '-')} goes with --executor {kind}")
    if chosen.executor == "slurm":
        return slurm.make(chosen, folder)
    if chosen.executor == "ray":
        return ray_cluster.make(chosen, folder)
    return Local(chosen.jobs, small=chosen.demo)
