"""What is asked of Slurm for each job: from flags, or from a file."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import path_argument, read_text

RESERVED = ("array", "error", "export", "job-name", "open-mode", "output", "requeue", "signal")
"""Parameters of sbatch that are set here."""

PASSED = ("HISTOPAPERS_", "JAX_", "KERAS_", "PYTHONPATH", "TF_", "XLA_")
"""Beginnings of environment variables that decide what a job does: it gets them also where sbatch
passes none on."""

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<rest>\d+(?::\d+){0,2})")
_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class Settings:
    """What is asked of Slurm for each job. Unset: the cluster's defaults.

    Attributes
    ----------
    time : str
        Time limit, as sbatch takes it: ``90`` (minutes), ``12:00:00``, ``2-12``.
    partition, account, qos : str, optional
    gpus, cpus : int, optional
        Of a job. The number of cores decides the bytes of a result.
    memory : str, optional
        As sbatch takes it: ``16G``.
    warning : int
        Seconds before the time limit at which a job ends its work and is requeued.
    setup : list of str
        Lines of bash before the work begins: ``module load cuda``.
    sbatch : dict
        Further parameters of sbatch; true for those without a value.
    """

    time: str
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gpus: int | None = None
    cpus: int | None = None
    memory: str | None = None
    warning: int = 90
    setup: list[str] = field(default_factory=list)
    sbatch: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("gpus", "cpus", "warning"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise InputError(f"--slurm-{name} {value}: must be a whole number, 1 or more")
        for name in ("partition", "account", "qos", "memory"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not _fits(value)):
                raise InputError(f"--slurm-{name} {value!r}: must be a word")
        if self.memory is not None and not re.fullmatch(r"\d+[KMGT]?", self.memory):
            raise InputError(f"--slurm-memory {self.memory}: must be a size, such as 16G")
        if self.warning >= 60 * self.minutes:
            raise InputError(
                f"--slurm-warning {self.warning}: no time is left to work in within "
                f"--slurm-time {self.time}; give a longer limit, or a later warning"
            )
        if not isinstance(self.setup, list) or not all(
            isinstance(each, str) for each in self.setup
        ):
            raise InputError("--slurm-file: setup must be a list of lines of bash")
        if not isinstance(self.sbatch, dict):
            raise InputError("--slurm-file: sbatch must be a table of parameters")
        for name, value in self.sbatch.items():
            if not _NAME.fullmatch(name) or isinstance(value, dict | list) or not _fits(value):
                raise InputError(f"--slurm-sbatch {name}={value!r}: no parameter of sbatch")
            if name in RESERVED:
                raise InputError(f"--slurm-sbatch {name}: is set by this command; leave it out")

    @property
    def minutes(self) -> int:
        """The time limit in whole minutes, as Slurm counts it."""
        found = _TIME.fullmatch(str(self.time))
        if found is None:
            raise InputError(
                f"--slurm-time {self.time}: must be minutes, hours:minutes:seconds or days-hours"
            )
        parts = [int(part) for part in found["rest"].split(":")]
        if found["days"] is not None:  # days-hours[:minutes[:seconds]]
            hours, minutes, seconds = (*parts, 0, 0)[:3]
        else:  # minutes[:seconds], hours:minutes:seconds
            hours, minutes, seconds = parts if len(parts) == 3 else (0, *parts, 0)[:3]
        total = 60 * (24 * int(found["days"] or 0) + hours) + minutes + (seconds > 0)
        if not total:
            raise InputError(f"--slurm-time {self.time}: must be a minute or more")
        return total

    def parameters(self) -> dict[str, Any]:
        """What `submitit.SlurmExecutor.update_parameters` is given."""
        more: dict[str, Any] = {"requeue": True, **self.sbatch}
        if self.memory is not None:
            more["mem"] = self.memory
        step = ["--export=ALL"]
        if self.cpus is not None:  # srun does not take it over from sbatch since Slurm 22.05
            step.append(f"--cpus-per-task={self.cpus}")
        named = {
            "partition": self.partition, "account": self.account, "qos": self.qos,
            "gpus_per_node": self.gpus, "cpus_per_task": self.cpus,
        }  # fmt: skip
        return {
            "job_name": "histopapers",
            "time": self.minutes,
            "signal_delay_s": self.warning,
            "setup": [*_exports(os.environ), *self.setup],
            "srun_args": step,
            "additional_parameters": more,
            **{name: value for name, value in named.items() if value is not None},
        }


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of Slurm.

    Parameters
    ----------
    parser : ArgumentParser
    """
    group = parser.add_argument_group(
        "Slurm", "of each job, with --executor slurm; what is unset is as the cluster has it"
    )
    group.add_argument("--slurm-file", type=path_argument, metavar="TOML", help="these settings "
                       "without --slurm- (time = '12:00:00'), setup = [lines of bash], and a "
                       "table [sbatch]; flags go before it")  # fmt: skip
    group.add_argument("--slurm-time", metavar="T", help="time limit (needed): minutes, hours:"
                       "minutes:seconds, days-hours; one that meets it goes on")  # fmt: skip
    group.add_argument("--slurm-partition", metavar="NAME")
    group.add_argument("--slurm-account", metavar="NAME")
    group.add_argument("--slurm-qos", metavar="NAME")
    group.add_argument("--slurm-gpus", type=int, metavar="N", help="graphics cards of a job")
    group.add_argument("--slurm-cpus", type=int, metavar="N", help="cores of a job")
    group.add_argument("--slurm-memory", metavar="SIZE", help="16G")
    group.add_argument("--slurm-warning", type=int, metavar="S", help="seconds before the limit at "
                       "which a job stops and is requeued (default: 90)")  # fmt: skip
    group.add_argument("--slurm-sbatch", nargs="+", metavar="KEY=VALUE",
                       help="further parameters of sbatch: gres=gpu:a100:1 exclusive")  # fmt: skip


def settings(chosen: argparse.Namespace) -> Settings:
    """Put together what flags and file say.

    Parameters
    ----------
    chosen : Namespace
        Of a parser that has the flags.

    Raises
    ------
    InputError
        If the file cannot be read, a setting is wrong, or there is no time limit.
    """
    found = {} if chosen.slurm_file is None else _read(chosen.slurm_file)
    for each in fields(Settings):
        given = getattr(chosen, f"slurm_{each.name}", None)
        if given is not None and each.name != "sbatch":
            found[each.name] = given
    if chosen.slurm_sbatch is not None:
        pairs = [each.partition("=") for each in chosen.slurm_sbatch]
        more = {name.lstrip("-"): value if given else True for name, given, value in pairs}
        found["sbatch"] = {**found.get("sbatch", {}), **more}
    if "time" not in found:
        raise InputError("--executor slurm: give the time limit of a job: --slurm-time 12:00:00")
    return Settings(**found)


def _read(path: Path) -> dict[str, Any]:
    known = [each.name for each in fields(Settings)]
    try:
        found = tomllib.loads(read_text(path, repair="see docs/clusters.md"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not a TOML file ({error})") from None
    if wrong := sorted(set(found) - set(known)):
        raise InputError(f"{path}: {wrong[0]}: none of {', '.join(known)}")
    try:
        Settings(**{"time": "1-0", **found})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return found


def _fits(value: object) -> bool:
    """Whether a value is one line, so that it stays one parameter."""
    return bool(str(value)) and str(value).isprintable()


def _exports(environment: Mapping[str, str]) -> list[str]:
    return [
        f"export {name}={shlex.quote(value)}"
        for name, value in sorted(environment.items())
        if name.startswith(PASSED)
    ]
