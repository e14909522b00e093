"""The one list of papers. Nothing else is ever imported by a name that a file gives.

A new paper is one more line here; commands, tests and packaging read this list.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from common.errors import InputError

PAPERS = (
    "her2scoring",
    "breakhis",
    "ernet",
    "gan_fusion",
    "wrn_edge",
)
"""Names of the papers' packages, in the order in which they are shown."""


def folder(package: str) -> Path:
    """Folder of a paper's package, found without importing it.

    Parameters
    ----------
    package : str
        Its name. It need not stand in `PAPERS`: a file beside it is read, nothing is run.

    Returns
    -------
    Path
        Holds its modules, ``published.csv`` and ``README.md``.

    Raises
    ------
    InputError
        If there is no such package.
    """
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{package}: no such package")
    return Path(spec.submodule_search_locations[0])
