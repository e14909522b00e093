"""Where the images of a run lie, as far as it says it."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

from common import datasets
from common.errors import InputError
from common.runs.folder import Run


def data_folder(run: Run, given: Path | None, flag: str = "--data-dir") -> Path:
    """Folder of a run's images: as given, the demo's own, that of its command, or the variable's.

    Parameters
    ----------
    run : Run
        Its record names the data set, and the command that was typed.
    given : Path or None
        What a flag names.
    flag : str
        That flag, for messages.

    Raises
    ------
    InputError
        If nothing says where they are.
    """
    if run.record.own:
        return _own_folder(run, given, flag)
    above = run.path.resolve().parent.parent  # a run may be given as "." or by its bare name
    own = above / "demo-data" / run.record["dataset"]  # where --demo puts them
    if given is None and run.synthetic and own.is_dir():
        return own
    if given is None:
        given = typed_folder(run, "--data-dir")
    return datasets.data_folder(datasets.get(run.record["dataset"]), given)


def _own_folder(run: Run, given: Path | None, flag: str) -> Path:
    """Folder that the images' paths of a run on one's own data count from."""
    folder = given or Path(run.record.own_root or "(not noted)")  # as in a published run
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; the run was trained on {run.record['dataset']}: give the "
            f"folder that its paths in split.csv count from with {flag}"
        )
    return folder


def typed_folder(run: Run, flag: str) -> Path | None:
    """Folder that a run's command names with a flag, if it is there.

    Parameters
    ----------
    run : Run
    flag : str
        Such as --data-dir; a relative path counts from here, as it did.
    """
    words = shlex.split(run.record["command"] or "")
    for word, after in itertools.pairwise([*words, ""]):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag:
            folder = Path(value if equals else after).expanduser()
            return folder if folder.is_dir() else None
    return None
