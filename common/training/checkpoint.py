"""States of a training that can go on exactly, in two generations."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from common import models, terminal
from common.errors import InputError
from common.files import atomic_path


def trained(run: str | Path) -> list[dict[str, float]]:
    """History of the whole epochs that the checkpoint in a run folder holds.

    Parameters
    ----------
    run : path
        The run folder.

    Returns
    -------
    list of dict
        One per epoch, as in history.csv; empty when there is no checkpoint.
    """
    found = Checkpoint(Path(run) / "checkpoint", {}).newest()
    return list(found[1].get("history", ())) if found else []


def trained_epochs(run: str | Path) -> int:
    """Count the whole epochs that the checkpoint in a run folder holds; 0 when there is none.

    Parameters
    ----------
    run : path
        The run folder.
    """
    found = Checkpoint(Path(run) / "checkpoint", {}).newest()
    return int(found[1]["epoch"]) if found else 0


class Checkpoint:
    """State of a training that can go on exactly, in two generations.

    Works with or without `fit`: a loop of its own saves whatever variables it names.

    Parameters
    ----------
    folder : path
    variables : mapping of str to sequence of keras.Variable
        All that changes while training. `model.variables` holds weights, moving statistics and
        the states of seed generators (Dropout); `optimizer.variables` the moments and the step.
    """

    def __init__(self, folder: str | Path, variables: Mapping[str, Sequence[Any]]):
        self.folder = Path(folder)
        self.variables = variables
        self._files: dict[Path, tuple[str, ...]] = {}  # that the states known to be whole refer to

    def save(self, epoch: int, meta: Mapping[str, Any], files: Iterable[str] = ()) -> None:
        """Write the state after `epoch`; states before the previous one are deleted.

        Parameters
        ----------
        epoch : int
            Whole epochs (or steps) done.
        meta : mapping
            What else must be known to go on; JSON.
        files : iterable of str
            Names of files in the folder that this state refers to.
        """
        record = {**meta, "epoch": epoch, "files": list(files)}
        state = self.folder / f"state-{epoch:06d}.npz"
        with (
            atomic_path(state) as temporary,
            # As numpy.savez writes it, but one array at a time: a state may be gigabytes.
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        ):
            _append(archive, "meta", np.frombuffer(json.dumps(record).encode(), dtype=np.uint8))
            for group, variables in self.variables.items():
                for i, variable in enumerate(variables):
                    # numpy() also of a variable that several devices mirror.
                    _append(archive, f"{group}/{i}", np.asarray(variable.numpy()))
        self._files[state] = tuple(record["files"])
        states = self._states()
        for old in states[2:]:
            old.unlink()
            self._files.pop(old, None)
        used = {name for kept in states[:2] for name in self._files_of(kept)}
        for file in self.folder.glob("best-*.keras"):
            if file.name not in used:
                file.unlink()

    def _files_of(self, state: Path) -> tuple[str, ...]:
        """Files that a state refers to; it is read once at most."""
        if state not in self._files:
            self._files[state] = tuple(self._meta(state).get("files", ()))
        return self._files[state]

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Newest state that is whole, and what it says; a cut one is named and passed over."""
        states = self._states()
        for state in states:
            meta = self._meta(state)
            if meta and all(_is_whole(self.folder / name) for name in meta["files"]):
                self._files[state] = tuple(meta["files"])
                return state, meta
            instead = "starting anew" if state is states[-1] else "using the state before it"
            terminal.line(f"{state}: damaged, or a file beside it; {instead}", always=True)
        return None

    def restore(self) -> dict[str, Any] | None:
        """Set the variables to the newest whole state; None when there is none.

        Raises
        ------
        InputError
            If the state belongs to another model.
        """
        found = self.newest()
        if found is None:
            return None
        path, meta = found
        with np.load(path) as arrays:
            try:
                whole = all(
                    self._assign(group, variables, arrays)
                    for group, variables in self.variables.items()
                )
            except ValueError:  # objects, which NumPy would have to unpickle
                whole = False
        if not whole:
            raise InputError(
                f"{path}: holds the state of another model (another version of Keras?); "
                f"start anew with --fresh"
            )
        return meta

    @staticmethod
    def _assign(group: str, variables: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> bool:
        """Set a group of variables; False if the arrays are not theirs."""
        names = [f"{group}/{i}" for i in range(len(variables))]
        if sum(name.startswith(f"{group}/") for name in arrays) != len(names):
            return False
        pairs = list(zip(names, variables, strict=True))
        if any(arrays[name].shape != tuple(variable.shape) for name, variable in pairs):
            return False
        for name, variable in pairs:
            variable.assign(arrays[name])
        return True

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("state-*.npz"), reverse=True)

    @staticmethod
    def _meta(path: Path) -> dict[str, Any]:
        """Read a state's record after checking every byte; {} when it is damaged."""
        if not _is_whole(path):
            return {}
        try:
            models.check_arrays(path)
            with np.load(path) as arrays:
                return json.loads(arrays["meta"].tobytes())
        except (OSError, ValueError, KeyError, EOFError):
            return {}


def _append(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    member: IO[bytes]
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _is_whole(path: Path) -> bool:
    """Whether every byte of a zip archive (.npz, .keras) is as it was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError):
        return False
