"""How a person names a run: by folder, name, or the beginning of its id or folder's name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.errors import InputError, listed
from common.files import expanded, read_json

RUNS_DIR = Path("runs")
"""Where runs live if nothing else is said."""


def folders(runs_dir: str | Path, package: str | None = None) -> list[Path]:
    """Find the run folders below a folder of runs, of every state.

    Parameters
    ----------
    runs_dir : path
    package : str, optional
        Only of this package.

    Raises
    ------
    InputError
        If `runs_dir` is no folder.
    """
    root = expanded(runs_dir)
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: no folder of runs; give one with --runs-dir")
    return sorted(
        file.parent
        for file in root.glob(f"{package or '*'}/*/config.json")
        if not file.parent.name.startswith(".")
    )


def named(
    text: str | Path, runs_dir: str | Path = RUNS_DIR, package: str | None = None
) -> Path | None:
    """Find the run that a person means.

    Parameters
    ----------
    text : str or path
        A run folder; or the run's name, id, or folder's name, or the beginning of the last two.
        Where another folder or file of this name is there, it is no beginning.
    runs_dir : path
        Where named runs are looked for.
    package : str, optional
        Look among the runs of this package.

    Returns
    -------
    Path or None
        Its folder; None if there is no such run.

    Raises
    ------
    InputError
        If several runs are meant.
    """
    path = expanded(text)
    there = (path / "config.json").is_file()
    text = os.fspath(text)
    is_name = bool(text) and Path(text).name == text
    if there and not (is_name and is_foreign(_told(path))):
        return path
    if not is_name:
        return None
    known = [(folder, _told(folder)) for folder in folders(runs_dir, package)]
    ways = (
        lambda folder, told: told.get("name") == text,
        lambda folder, told: text in (folder.name, told.get("run_id")),
        lambda folder, told: (
            folder.name.startswith(text) or str(told.get("run_id", "")).startswith(text)
        ),
    )
    for fits in ways[:-1] if path.exists() else ways:
        found = [folder for folder, told in known if fits(folder, told)]
        if len(found) > 1:
            raise InputError(
                f"{text}: may be {len(found)} runs: {listed(folder.name for folder in found)}; "
                "give more of it"
            )
        if found:
            return found[0]
    return path if there else None


def is_foreign(told: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is none of a run, as models of other libraries have one.

    Parameters
    ----------
    told : mapping
        What it says; nothing if it is damaged, as a run's may be.
    """
    return bool(told) and not {"schema", "package", "config"} & told.keys()


def no_run(text: str | Path, runs_dir: str | Path = RUNS_DIR) -> InputError:
    """Error that something names no run; to be raised.

    Parameters
    ----------
    text : str or path
        What was given.
    runs_dir : path
        Where named runs were looked for.
    """
    what = "it has no config.json"
    if (expanded(text) / "config.json").is_file():
        what = "its config.json is of something else"
    return InputError(
        f"{text}: not a run folder ({what}), nor the name or id of a run in "
        f"{runs_dir}; python -m common.runs list shows them"
    )


def require_free_name(name: str, runs_dir: str | Path, path: Path) -> None:
    """Refuse a name that another run has.

    Parameters
    ----------
    name : str
        What `--name` says.
    runs_dir : path
        Where runs live.
    path : Path
        Folder of the run that is to have it.

    Raises
    ------
    InputError
        Naming the run that has it.
    """
    for folder, told in _others(runs_dir, path):
        if told.get("name") == name:
            raise InputError(
                f"--name {name}: {folder} has this name; choose another, or remove that run "
                f"(python -m common.runs remove)"
            )


def _others(runs_dir: str | Path, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in folders(runs_dir):
        if folder.absolute() != path.absolute():
            yield folder, _told(folder)


def _told(folder: Path) -> dict[str, Any]:
    """What a `config.json` says; nothing if it is damaged."""
    with contextlib.suppress(InputError):
        return read_json(folder / "config.json")
    return {}
